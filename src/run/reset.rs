//! Resets of the guest, step by step, with every vCPU in hand.

use super::{IPL_CPU, Loop, errand::Errand};
use crate::{counts::name_of, event::Event, machine::chain};
use adjunct_devices::{
    ipl::{self, ResetKind, ResetStep},
    vfio_ap::{VfioAp, Warning},
};
use adjunct_hypervisor::{CpuReset, KernelError, Psw, RunState};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::PoisonError,
};

impl Loop<'_> {
    /// Resets the guest as the CPU `caller` asked for, and lets it go on.
    pub(super) fn reset(&mut self, caller: u16, kind: ResetKind) -> Result<(), KernelError> {
        if let Some(report) = self.seats.gather_all() {
            return self.serve(report);
        }
        for step in kind.steps() {
            self.reset_step(*step, caller)?;
            if self.is_ending() {
                return Ok(());
            }
        }
        self.watch.counts.reset(kind);
        self.events.send(&Event::GuestReset { kind: name_of(kind).to_owned() });
        Ok(())
    }

    fn reset_step(&mut self, step: ResetStep, caller: u16) -> Result<(), KernelError> {
        match step {
            ResetStep::ChannelSubsystem => {
                self.shared.css.lock().unwrap_or_else(PoisonError::into_inner).reset();
                Ok(())
            }
            ResetStep::SclpEvents => {
                self.shared.sclp.lock().unwrap_or_else(PoisonError::into_inner).reset();
                Ok(())
            }
            ResetStep::FloatingInterruptions => self.shared.vm.clear_interruptions(),
            ResetStep::ApQueues => {
                self.reset_ap();
                Ok(())
            }
            ResetStep::ClearAllCpus => self.seats.reset_cpus(CpuReset::Clear, |_| true),
            ResetStep::NormalOtherCpus => self.seats.reset_cpus(CpuReset::Normal, |cpu| cpu != caller),
            ResetStep::InitialThisCpu => self.seats.reset_cpus(CpuReset::Initial, |cpu| cpu == caller),
            ResetStep::KeyWrapping => self.reload.renew_wrapping_keys(&*self.shared.vm),
            ResetStep::LoadImage => {
                match self.reload.image() {
                    Ok(psw) => self.ipl_psw = psw,
                    // It fitted into this memory before.
                    Err(error) => tracing::error!("the kernel can't be loaded again: {}", chain(&error)),
                }
                Ok(())
            }
            ResetStep::StartIplCpu => self.start(IPL_CPU, self.ipl_psw),
            ResetStep::LoadNormalThisCpu => self.start(caller, ipl::load_normal_psw(&self.shared.memory)),
        }
    }

    /// Resets the AP queues. The host may take its time, and whoever wants to end the guest must not wait for that: so
    /// a thread has the device meanwhile, and keeps it if the guest ends first.
    fn reset_ap(&mut self) {
        let Some(device) = self.ap.lend() else { return };
        let errand = match Errand::prepare("ap-reset", |device: &VfioAp| device.reset().err()) {
            Ok(errand) => errand,
            Err(error) => {
                tracing::debug!(%error, "no thread");
                let warning = device.reset().err();
                return self.ap_is_reset(device, warning);
            }
        };
        errand.start(device);
        while !self.is_ending() {
            if let Some((device, warning)) = errand.result() {
                return self.ap_is_reset(device, warning);
            }
            self.wait_for(errand.as_fd());
        }
        tracing::warn!("the host has not reset the guest's AP queues yet: it goes on with that alone");
    }

    fn ap_is_reset(&mut self, device: VfioAp, warning: Option<Warning>) {
        if let Some(warning) = warning {
            tracing::warn!("{}", chain(&warning));
        }
        self.ap.put_back(device);
        // An adapter that could not be reset may be checkstopped.
        self.look_at_ap();
    }

    /// Waits until `done` is readable; serves meanwhile what ends the guest.
    fn wait_for(&mut self, done: BorrowedFd<'_>) {
        let asked = self.watch.managed.map(|managed| managed.mailbox.ends());
        let ends = [
            self.watch.signals.map(AsFd::as_fd),
            self.input.as_ref().map(AsFd::as_fd),
            asked.map(|asked| asked.as_fd()),
        ];
        let files = [Some(done)].into_iter().chain(ends).flatten();
        let mut files: Vec<PollFd<'_>> = files.map(|file| PollFd::new(file, PollFlags::POLLIN)).collect();
        // Interrupted or not: what is there is looked at.
        let _ = poll(&mut files, PollTimeout::NONE);
        // It is the last, and served when we are back in the loop.
        let is_asked = asked.is_some() && files.last().is_some_and(|file| file.any() == Some(true));
        drop(files);
        self.asked_to_end |= is_asked;
        self.serve_input();
        self.signalled |= self.watch.signals.is_some_and(|signals| signals.take().is_some());
    }

    /// Lets a CPU that is stopped begin at `psw`.
    fn start(&mut self, cpu: u16, psw: Psw) -> Result<(), KernelError> {
        let started = self.seats.vcpu(cpu, |vcpu| {
            vcpu.state_mut().psw = psw;
            vcpu.set_run_state(RunState::Operating)
        });
        self.seats.run(cpu);
        started.unwrap_or(Ok(()))
    }
}
