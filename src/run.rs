//! Running a machine: one thread for each vCPU, one event loop that owns everything else.
//!
//! A vCPU belongs to whoever runs it. The loop hands it to its thread; the thread hands it back with
//! the reason when something concerns more than this vCPU. So resets, SIGP orders and the end are
//! plain code here, with the vCPUs they touch in hand and none of those in KVM_RUN. Only the loop
//! ends the guest, and every path out of a thread reports.

mod seats;
mod vcpu;

pub use vcpu::Broken;

use crate::{
    event::{Event, Events},
    machine::{Machine, Reload, chain},
    outcome::Outcome,
    signals::{Ending, Signals},
};
use adjunct_ap::Sysfs;
use adjunct_devices::{
    intercept::Sigp,
    ipl::{self, ResetKind, ResetStep},
    sigp::{self, Answer},
    vfio_ap::ApBus,
};
use adjunct_hypervisor::{CpuReset, EventFd, KernelError, Psw, RunState};
use event_manager::{EventManager, EventOps, EventSet, MutEventSubscriber, SubscriberOps};
use seats::{Report, Seats};
use std::{
    io::{self, BufRead},
    os::fd::{AsFd, AsRawFd},
    sync::{Arc, Mutex, PoisonError},
};
use vcpu::{Shared, Why};

/// What the loop watches besides the guest.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// Whether standard input is the guest's console.
    pub input: bool,
    /// Signals that end this guest.
    pub signals: Option<&'a Signals>,
}

/// Runs `machine` until its guest ends; everything it held is given back.
///
/// # Errors
/// When the loop itself can't be set up; how the guest ended is no error.
pub fn run(
    machine: Machine,
    sysfs: &(dyn Sysfs + Send + Sync),
    events: &Events,
    watch: Watch<'_>,
) -> io::Result<Outcome> {
    let mut manager = EventManager::new().map_err(io::Error::other)?;
    let event_loop = Loop::new(machine, sysfs, events, watch)?;
    let id = manager.add_subscriber(event_loop);
    loop {
        let event_loop = manager.subscriber_mut(id).map_err(io::Error::other)?;
        if let Some(error) = event_loop.unwatched.take() {
            return Err(io::Error::other(error));
        }
        if let Some(outcome) = event_loop.outcome.take() {
            return Ok(outcome);
        }
        if event_loop.signalled {
            // The signal is taken last: until then it tells a console not to wait, or its vCPU would not come back.
            drop(manager);
            return Ok(Outcome::Signal(watch.signals.and_then(Signals::take).unwrap_or(Ending::Terminated)));
        }
        match manager.run() {
            Ok(_) => {}
            Err(event_manager::Error::Epoll(e)) if e.errno() == EINTR => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// `include/uapi/asm-generic/errno-base.h`.
const EINTR: i32 = 4;

/// The CPU that an IPL starts.
const IPL_CPU: u16 = 0;

/// A reset as events name it.
fn name_of(kind: ResetKind) -> &'static str {
    match kind {
        ResetKind::External => "external",
        ResetKind::ReIpl => "re-ipl",
        ResetKind::ModifiedClear => "modified-clear",
        ResetKind::LoadNormal => "load-normal",
    }
}

/// What the loop's descriptors mean.
mod token {
    pub(super) const REPORT: u32 = 0;
    pub(super) const AP_RELEASE: u32 = 1;
    pub(super) const AP_CONFIG: u32 = 2;
    pub(super) const INPUT: u32 = 3;
    pub(super) const SIGNAL: u32 = 4;
}

struct Loop<'a> {
    // Fields drop in this order: threads give their vCPUs back and end before anything goes away
    // under them, and a device goes before the VM it is in.
    seats: Seats,
    ap: ApBus,
    shared: Arc<Shared>,
    reload: Reload,
    sysfs: &'a (dyn Sysfs + Send + Sync),
    events: &'a Events,
    watch: Watch<'a>,
    signalled: bool,
    ipl_psw: Psw,
    /// A descriptor that can't be watched: without it the loop would wait for ever.
    unwatched: Option<event_manager::Error>,
    outcome: Option<Outcome>,
}

impl<'a> Loop<'a> {
    fn new(
        machine: Machine,
        sysfs: &'a (dyn Sysfs + Send + Sync),
        events: &'a Events,
        watch: Watch<'a>,
    ) -> io::Result<Self> {
        let Machine { ap, vcpus, vm, sclp, reload } = machine;
        let shared = Arc::new(Shared { vm, memory: reload.memory.clone(), sclp: Mutex::new(sclp) });
        let mut seats = Seats::new(vcpus, &shared)?;
        seats.run(IPL_CPU);
        Ok(Self {
            seats,
            ap,
            shared,
            reload,
            sysfs,
            events,
            watch,
            signalled: false,
            ipl_psw: Psw::default(),
            unwatched: None,
            outcome: None,
        })
    }

    /// Serves what the threads have reported.
    fn serve_reports(&mut self) {
        while self.outcome.is_none() {
            let Some(report) = self.seats.next_report() else { break };
            if let Err(refused) = self.serve(report) {
                self.outcome = Some(Outcome::Refused(refused));
            }
        }
    }

    fn serve(&mut self, Report { cpu, why }: Report) -> Result<(), KernelError> {
        match why {
            Why::Kicked => self.seats.run(cpu),
            Why::Reset(kind) => self.reset(cpu, kind)?,
            Why::Sigp(order) => self.sigp(cpu, order)?,
            Why::Stopped => {
                self.seats.vcpu(cpu, |vcpu| vcpu.set_run_state(RunState::Stopped)).unwrap_or(Ok(()))?;
                self.seats.stop(cpu);
            }
            Why::DisabledWait(psw) => self.seats.wait(cpu, psw),
            Why::Broken(how) => self.outcome = Some(Outcome::Broken { cpu, how }),
            Why::Refused(refused) => return Err(refused),
        }
        if self.outcome.is_none() && self.seats.all_at_rest() {
            self.outcome = Some(self.seats.first_wait().map_or(Outcome::Stopped, Outcome::DisabledWait));
        }
        Ok(())
    }

    /// Resets the guest as the CPU `caller` asked for, and lets it go on.
    fn reset(&mut self, caller: u16, kind: ResetKind) -> Result<(), KernelError> {
        if let Some(report) = self.seats.gather_all() {
            return self.serve(report);
        }
        for step in kind.steps() {
            self.reset_step(*step, caller)?;
        }
        self.events.send(&Event::GuestReset { kind: name_of(kind) });
        Ok(())
    }

    fn reset_step(&mut self, step: ResetStep, caller: u16) -> Result<(), KernelError> {
        match step {
            ResetStep::SclpEvents => {
                self.shared.sclp.lock().unwrap_or_else(PoisonError::into_inner).reset();
                Ok(())
            }
            ResetStep::FloatingInterruptions => self.shared.vm.clear_interruptions(),
            ResetStep::ApQueues => {
                if let Err(warning) = self.ap.reset() {
                    tracing::warn!("{}", chain(&warning));
                }
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

    /// Lets a CPU that is stopped begin at `psw`.
    fn start(&mut self, cpu: u16, psw: Psw) -> Result<(), KernelError> {
        let started = self.seats.vcpu(cpu, |vcpu| {
            vcpu.state_mut().psw = psw;
            vcpu.set_run_state(RunState::Operating)
        });
        self.seats.run(cpu);
        started.unwrap_or(Ok(()))
    }

    /// Carries out an order of the CPU `from` that the host leaves to us, and answers it.
    fn sigp(&mut self, from: u16, order: Sigp) -> Result<(), KernelError> {
        let to = order.cpu_address;
        let carried_out = self.seats.exists(to).then(|| {
            self.seats.gather(to);
            if to != from {
                self.seats.turn_away(to);
            }
            let (state, memory) = (self.seats.run_state(to), &self.shared.memory);
            self.seats.vcpu(to, |vcpu| sigp::carry_out(&order, vcpu, state, memory))
        });
        let (answer, after) = match carried_out.flatten().transpose()? {
            Some((answer, after)) => (answer, Some(after)),
            None => (Answer::NotOperational, None),
        };
        self.seats.vcpu(from, |vcpu| answer.tell(&order, vcpu));
        match after {
            Some(RunState::Stopped) => self.seats.stop(to),
            Some(RunState::Operating) => {
                // A CPU that waits may have something to take now; if not it comes back at once.
                self.seats.wake(to);
                self.seats.run(to);
            }
            None => {}
        }
        if to != from || after.is_none() {
            self.seats.run(from);
        }
        Ok(())
    }

    fn ap_configuration_changed(&self) {
        let Some(ap) = self.ap.device() else { return };
        // A counter: however many changes there were, the guest's queues are what they are now.
        ap.config_changes().map(EventFd::read);
        let apqns = self.reload.apqns(self.sysfs);
        self.events.send(&Event::ApConfigChanged { id: ap.id(), apqns: &apqns });
    }

    /// Gives the AP device back to the host that asks for it.
    fn release_ap(&mut self, ops: &mut EventOps) {
        let Some(ap) = self.ap.remove() else { return };
        for event in [ap.release_requests(), ap.config_changes()].into_iter().flatten() {
            if let Err(error) = ops.remove(event_manager::Events::empty(event)) {
                tracing::debug!(%error, "not watched");
            }
        }
        tracing::warn!("the host wants vfio-ap device {} back: the guest loses its AP queues", ap.id());
        self.events.send(&Event::ApReleaseRequested { id: ap.id() });
        for refused in ap.detach() {
            tracing::warn!("{}", chain(&refused));
        }
    }

    /// Passes on what was typed; what the guest has no room for is dropped, as a terminal does.
    fn read_input(&self, ops: &mut EventOps) {
        // While a vCPU is at the SCLP, perhaps waiting to be rid of its output, input can wait too: the
        // loop must stay free for signals.
        let Ok(mut sclp) = self.shared.sclp.try_lock() else { return };
        let mut input = io::stdin().lock();
        let typed = match input.fill_buf() {
            Ok([]) => {
                let end = event_manager::Events::with_data(&io::stdin(), token::INPUT, EventSet::IN);
                let _ = ops.remove(end);
                return;
            }
            Ok(typed) => typed.to_vec(),
            // Another reader of the same terminal was faster.
            Err(_) => return,
        };
        input.consume(typed.len());
        let taken = sclp.push_input(&typed);
        if taken.taken < typed.len() {
            tracing::warn!(
                "the guest did not read its console: {} bytes are lost",
                typed.len() - taken.taken
            );
        }
        if let Some(signal) = taken.signal
            && let Err(refused) = self.shared.vm.inject(signal.into())
        {
            tracing::warn!("console input is lost: {}", chain(&refused));
        }
    }
}

impl MutEventSubscriber for Loop<'_> {
    fn init(&mut self, ops: &mut EventOps) {
        let mut failed = None;
        let mut add = |fd: &dyn AsRawFd, what: u32| {
            let watched = event_manager::Events::with_data_raw(fd.as_raw_fd(), what, EventSet::IN);
            // epoll does not take regular files or /dev/null: from such an input nothing comes.
            if let Err(error) = ops.add(watched)
                && what != token::INPUT
            {
                failed.get_or_insert(error);
            }
        };
        add(self.seats.ready(), token::REPORT);
        if let Some(ap) = self.ap.device() {
            ap.release_requests().iter().for_each(|event| add(*event, token::AP_RELEASE));
            ap.config_changes().iter().for_each(|event| add(*event, token::AP_CONFIG));
        }
        if let Some(signals) = self.watch.signals {
            add(&signals.as_fd(), token::SIGNAL);
        }
        if self.watch.input {
            add(&io::stdin(), token::INPUT);
        }
        self.unwatched = failed;
    }

    fn process(&mut self, event: event_manager::Events, ops: &mut EventOps) {
        match event.data() {
            token::REPORT => self.serve_reports(),
            token::AP_CONFIG => self.ap_configuration_changed(),
            token::AP_RELEASE => self.release_ap(ops),
            token::INPUT => self.read_input(ops),
            token::SIGNAL => self.signalled = true,
            _ => {}
        }
    }
}
