//! Resets of the guest, step by step, with every vCPU in hand.

use super::{IPL_CPU, Loop};
use crate::{chain::chain, event::Event};
use adjunct_devices::{
    ipl::{self, ResetKind, ResetStep},
    vfio_ap::VfioAp,
};
use adjunct_hypervisor::{CpuReset, KernelError, Psw, RunState};
use std::sync::PoisonError;

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
        self.events.send(&Event::GuestReset { kind: kind.into() });
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

    fn reset_ap(&mut self) {
        let Some(device) = self.ap.lend() else { return };
        let reset = |device: VfioAp| {
            let warning = device.reset().err();
            (device, warning)
        };
        let Some((device, warning)) = self.send_on_errand("ap-reset", device, reset) else { return };
        if let Some(warning) = warning {
            tracing::warn!("{}", chain(&warning));
        }
        self.ap.put_back(device);
        // An adapter that could not be reset may be checkstopped.
        self.look_at_ap();
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
