//! Where each vCPU is: running in its thread, or here with the event loop.

use super::vcpu::{self, Own, Shared, Why};
use crate::{
    control::{VcpuInfo, VcpuState},
    outcome::Broken,
    sandbox,
    wait::Flag,
};
use adjunct_devices::sigp::{Answer, State, StopOrder};
use adjunct_hypervisor::{CpuReset, CpuState, KernelError, Kick, RunState, Vcpu};
use nix::unistd::gettid;
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

/// A vCPU that came back, and why.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) cpu: u16,
    pub(super) why: Why,
}

/// What a thread sends: its vCPU with the reason, or nothing if the thread itself broke.
type Returned = (u16, Option<(Box<dyn Vcpu>, Why)>);

/// What a CPU does, as far as the loop knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Running,
    /// Back from its thread; its report is not served yet.
    Back,
    /// Kept here while the guest is paused.
    Held,
    Stopped,
    Waiting,
}

#[derive(Debug)]
struct Seat {
    vcpu: Option<Box<dyn Vcpu>>,
    doing: Doing,
    /// Why it has been ordered to stop, until it has.
    stopping: Option<StopOrder>,
    kicker: Arc<dyn Kick>,
    /// Readable while the loop waits for the vCPU.
    wanted: Flag,
    /// 0 until the thread runs.
    thread_id: Arc<AtomicI32>,
    to_thread: Option<Sender<Box<dyn Vcpu>>>,
    thread: Option<JoinHandle<()>>,
}

impl Seat {
    fn stop(&mut self) {
        (self.doing, self.stopping) = (Doing::Stopped, None);
        self.wanted.lower();
    }
}

/// All vCPUs of a guest, by CPU address.
#[derive(Debug)]
pub(super) struct Seats {
    seats: Vec<Seat>,
    returned: Receiver<Returned>,
    ready: Flag,
    unserved: VecDeque<Report>,
    paused: bool,
}

impl Seats {
    /// Starts a thread for each vCPU; all vCPUs are here and stopped.
    pub(super) fn new(vcpus: Vec<Box<dyn Vcpu>>, shared: &Arc<Shared>) -> io::Result<Self> {
        let (to_loop, returned) = mpsc::channel();
        let ready = Flag::new()?;
        let mut all = Self { seats: Vec::new(), returned, ready, unserved: VecDeque::new(), paused: false };
        for vcpu in vcpus {
            let (to_thread, from_loop) = mpsc::channel();
            let thread_id = Arc::new(AtomicI32::new(0));
            let (to_loop, ready) = (to_loop.clone(), all.ready.clone());
            let wanted = Flag::new()?;
            let own = Own { wanted: wanted.clone(), owes: false };
            let desk = Desk { to_loop, ready, cpu: vcpu.id(), thread_id: thread_id.clone() };
            let shared = shared.clone();
            let thread = thread::Builder::new()
                .name(format!("vcpu{}", vcpu.id()))
                .spawn(move || desk.work(&from_loop, &shared, own))?;
            all.seats.push(Seat {
                kicker: vcpu.kicker(),
                wanted,
                vcpu: Some(vcpu),
                doing: Doing::Stopped,
                stopping: None,
                thread_id,
                to_thread: Some(to_thread),
                thread: Some(thread),
            });
        }
        Ok(all)
    }

    /// Readable when a vCPU may have come back.
    pub(super) fn ready(&self) -> &Flag {
        &self.ready
    }

    /// Has the descriptor be readable once more: there may be more reports than were looked at.
    pub(super) fn look_again(&self) {
        self.ready.raise();
    }

    /// How many CPUs there are.
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there is a CPU with this address.
    pub(super) fn exists(&self, cpu: u16) -> bool {
        usize::from(cpu) < self.seats.len()
    }

    /// The next report that `wanted` picks, if one is there and the guest is not paused.
    pub(super) fn next_report(&mut self, wanted: impl Fn(&Why) -> bool) -> Option<Report> {
        self.ready.lower();
        while let Ok(returned) = self.returned.try_recv() {
            self.note(returned);
        }
        let next = self.unserved.iter().position(|report| wanted(&report.why))?;
        if self.paused { None } else { self.unserved.remove(next) }
    }

    fn note(&mut self, (cpu, back): Returned) {
        let seat = &mut self.seats[usize::from(cpu)];
        seat.doing = Doing::Back;
        let why = match back {
            Some((vcpu, why)) => {
                seat.vcpu = Some(vcpu);
                why
            }
            None => Why::Broken(Broken::Unserved("a fault of adjunct's own".into())),
        };
        self.unserved.push_back(Report { cpu, why });
    }

    /// Waits until the vCPU `cpu` is here. Its report, if it is only that it was kicked, is dropped.
    pub(super) fn gather(&mut self, cpu: u16) {
        let seat = &self.seats[usize::from(cpu)];
        if seat.doing == Doing::Running {
            // In this order: a kick that nobody wanted it by is none to who finds itself kicked.
            seat.wanted.raise();
            seat.kicker.kick();
        }
        while self.seats[usize::from(cpu)].doing == Doing::Running {
            // Every path out of a thread reports, so this ends.
            let Ok(returned) = self.returned.recv() else { return };
            self.note(returned);
        }
        self.seats[usize::from(cpu)].wanted.lower();
        self.unserved.retain(|report| report.cpu != cpu || !matches!(report.why, Why::Kicked));
    }

    /// Waits until every vCPU is here, and forgets what they wanted: a reset ends all that. Answers
    /// what no reset mends: a CPU that the host refused to run, or a thread that broke.
    pub(super) fn gather_all(&mut self) -> Option<Report> {
        for cpu in 0..self.seats.len() {
            self.gather(u16::try_from(cpu).unwrap_or(u16::MAX));
        }
        self.seats.iter_mut().for_each(Seat::stop);
        let lost = |cpu: u16| self.seats[usize::from(cpu)].vcpu.is_none();
        let mut reports = std::mem::take(&mut self.unserved).into_iter();
        reports.find(|report| lost(report.cpu) || matches!(report.why, Why::Refused(_)))
    }

    /// Waits until every vCPU is here, and keeps them all until [`Seats::resume`]; what they wanted waits too.
    pub(super) fn pause(&mut self) {
        self.paused = true;
        for cpu in 0..self.seats.len() {
            let address = u16::try_from(cpu).unwrap_or(u16::MAX);
            self.gather(address);
            let wants_something = self.unserved.iter().any(|report| report.cpu == address);
            if self.seats[cpu].doing == Doing::Back && !wants_something {
                self.seats[cpu].doing = Doing::Held;
            }
        }
    }

    /// Lets the vCPUs go on that were kept. What others had wanted can be served.
    pub(super) fn resume(&mut self) {
        self.paused = false;
        for cpu in 0..self.seats.len() {
            if self.seats[cpu].doing == Doing::Held {
                self.run(u16::try_from(cpu).unwrap_or(u16::MAX));
            }
        }
    }

    /// Whether vCPUs are kept here.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// What there is to say of each CPU, by address.
    pub(super) fn info(&self) -> Vec<VcpuInfo> {
        let of = |(address, seat): (u16, &Seat)| VcpuInfo {
            address,
            state: match seat.doing {
                Doing::Running | Doing::Back | Doing::Held => VcpuState::Operating,
                Doing::Stopped => VcpuState::Stopped,
                Doing::Waiting => VcpuState::DisabledWait,
            },
            thread_id: Some(seat.thread_id.load(Ordering::Relaxed)).filter(|id| *id != 0),
        };
        (0..).zip(&self.seats).map(of).collect()
    }

    /// Does something with a vCPU that is here; one whose thread broke is passed over.
    pub(super) fn vcpu<T>(&mut self, cpu: u16, act: impl FnOnce(&mut dyn Vcpu) -> T) -> Option<T> {
        self.seats[usize::from(cpu)].vcpu.as_mut().map(|vcpu| act(vcpu.as_mut()))
    }

    /// Resets the CPUs that `which` picks; they are stopped afterwards.
    pub(super) fn reset_cpus(
        &mut self,
        kind: CpuReset,
        which: impl Fn(u16) -> bool,
    ) -> Result<(), KernelError> {
        for seat in &mut self.seats {
            let Some(vcpu) = seat.vcpu.as_mut().filter(|vcpu| which(vcpu.id())) else { continue };
            vcpu.reset(kind)?;
            vcpu.set_run_state(RunState::Stopped)?;
            seat.stop();
        }
        Ok(())
    }

    /// Hands a vCPU that is here to its thread, unless it still wants something: it goes on when
    /// that is served; or unless the guest is paused: it goes on with that.
    pub(super) fn run(&mut self, cpu: u16) {
        if self.unserved.iter().any(|report| report.cpu == cpu) {
            return;
        }
        let seat = &mut self.seats[usize::from(cpu)];
        if self.paused {
            seat.doing = Doing::Held;
        } else if let (Some(vcpu), Some(to_thread)) = (seat.vcpu.take(), &seat.to_thread) {
            seat.doing = Doing::Running;
            if seat.stopping.is_some() {
                // It executes nothing more, so it need not wait for what it wrote to be read.
                seat.wanted.raise();
            }
            // A thread that broke has said so, and that report ends the guest.
            let _ = to_thread.send(vcpu);
        }
    }

    /// Answers an order that this CPU gave and that is not served yet with busy: another CPU's order to this one comes
    /// first (as in QEMU, `target/s390x/sigp.c: handle_sigp`, whose lock this one has not got).
    pub(super) fn turn_away(&mut self, cpu: u16) {
        for report in self.unserved.iter_mut().filter(|report| report.cpu == cpu) {
            let Why::Sigp(order) = &report.why else { continue };
            if let Some(vcpu) = self.seats[usize::from(cpu)].vcpu.as_mut() {
                Answer::Busy.tell(order, vcpu.as_mut());
            }
            report.why = Why::Kicked;
        }
    }

    /// Notes what SIGNAL PROCESSOR has made of a CPU that is here. One that is to run is run.
    pub(super) fn enter(&mut self, cpu: u16, state: State) {
        match state {
            State::Stopped => self.stop(cpu),
            State::Operating => {
                // There is something to wait for now, if it had come back because there was not.
                self.unserved.retain(|report| report.cpu != cpu || !matches!(report.why, Why::DisabledWait));
                self.run(cpu);
            }
            State::Stopping(order) => {
                self.seats[usize::from(cpu)].stopping = Some(order);
                self.run(cpu);
            }
            State::DisabledWait => {}
        }
    }

    /// It wants nothing more for itself. What the guest wants, and what the host refused, stands.
    fn stop(&mut self, cpu: u16) {
        self.unserved
            .retain(|report| report.cpu != cpu || matches!(report.why, Why::Reset(_) | Why::Refused(_)));
        self.seats[usize::from(cpu)].stop();
    }

    /// Notes that the CPU waits for nothing.
    pub(super) fn wait(&mut self, cpu: u16) {
        self.seats[usize::from(cpu)].doing = Doing::Waiting;
    }

    /// Whether the CPU is stopped.
    pub(super) fn is_stopped(&self, cpu: u16) -> bool {
        self.seats[usize::from(cpu)].doing == Doing::Stopped
    }

    /// The state of the CPU as SIGNAL PROCESSOR needs it.
    pub(super) fn state(&self, cpu: u16) -> State {
        let seat = &self.seats[usize::from(cpu)];
        let mut its_own = self.unserved.iter().filter(|report| report.cpu == cpu);
        match (seat.doing, seat.stopping) {
            (Doing::Stopped, _) => State::Stopped,
            (Doing::Waiting, _) => State::DisabledWait,
            (_, Some(order)) => State::Stopping(order),
            (Doing::Back, None) if its_own.any(|report| matches!(report.why, Why::DisabledWait)) => {
                State::DisabledWait
            }
            (Doing::Running | Doing::Back | Doing::Held, None) => State::Operating,
        }
    }

    /// Whether no CPU will ever do anything again.
    pub(super) fn all_at_rest(&self) -> bool {
        self.unserved.is_empty()
            && self.seats.iter().all(|seat| matches!(seat.doing, Doing::Stopped | Doing::Waiting))
    }

    /// Whether a CPU waits for nothing.
    pub(super) fn one_waits(&self) -> bool {
        self.seats.iter().any(|seat| seat.doing == Doing::Waiting)
    }

    /// The registers of a CPU that is here; of one whose thread broke nothing is known.
    pub(super) fn registers(&mut self, cpu: u16) -> Box<CpuState> {
        self.vcpu(cpu, |vcpu| Box::new(vcpu.state().clone())).unwrap_or_default()
    }
}

/// Every vCPU comes back, every thread ends.
impl Drop for Seats {
    fn drop(&mut self) {
        self.gather_all();
        for seat in &mut self.seats {
            seat.to_thread = None;
            if let Some(thread) = seat.thread.take() {
                // A panic has been printed by the thread, and reported by its desk.
                let _ = thread.join();
            }
        }
    }
}

/// A thread's side.
struct Desk {
    to_loop: Sender<Returned>,
    ready: Flag,
    cpu: u16,
    thread_id: Arc<AtomicI32>,
}

impl Desk {
    fn work(self, from_loop: &Receiver<Box<dyn Vcpu>>, shared: &Shared, mut own: Own) {
        self.thread_id.store(gettid().as_raw(), Ordering::Relaxed);
        let mut kept = sandbox::enter(sandbox::Thread::Vcpu);
        while let Ok(mut vcpu) = from_loop.recv() {
            let why = match std::mem::replace(&mut kept, Ok(())) {
                Ok(()) => vcpu::run(vcpu.as_mut(), shared, &mut own),
                Err(refused) => Why::Refused(refused),
            };
            self.report(Some((vcpu, why)));
        }
    }

    fn report(&self, back: Option<(Box<dyn Vcpu>, Why)>) {
        // Nobody listens only when the loop has ended, which it does after its threads.
        let _ = self.to_loop.send((self.cpu, back));
        self.ready.raise();
    }
}

/// A thread that panics says so, or the loop would wait for its vCPU for ever.
impl Drop for Desk {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_devices::ipl::ResetKind;

    #[derive(Debug)]
    struct Nobody;

    impl Kick for Nobody {
        fn kick(&self) {}
    }

    #[test]
    fn a_cpu_that_is_stopped_wants_nothing_more_but_what_concerns_all_is_told() {
        let refused = || Why::Refused(KernelError::new("KVM_RUN", "vCPU 0", libc::EFAULT));
        for (why, is_told) in [
            (Why::Kicked, false),
            (Why::DisabledWait, false),
            (Why::Stopped, false),
            (Why::Reset(ResetKind::External), true),
            (refused(), true),
        ] {
            let (_to_loop, returned) = mpsc::channel();
            let seat = Seat {
                vcpu: None,
                doing: Doing::Back,
                stopping: None,
                kicker: Arc::new(Nobody),
                wanted: Flag::new().expect("an eventfd"),
                thread_id: Arc::default(),
                to_thread: None,
                thread: None,
            };
            let named = format!("{why:?}");
            let mut seats = Seats {
                seats: vec![seat],
                returned,
                ready: Flag::new().expect("an eventfd"),
                unserved: VecDeque::from([Report { cpu: 0, why }]),
                paused: false,
            };
            seats.enter(0, State::Stopped);
            assert!(seats.is_stopped(0));
            let told = seats.next_report(|_| true).map(|report| format!("{:?}", report.why));
            assert_eq!(told, is_told.then_some(named));
        }
    }
}
