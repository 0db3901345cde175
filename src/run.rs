//! Running a machine: one thread for each vCPU, one event loop that owns everything else.
//!
//! A vCPU belongs to whoever runs it. The loop hands it to its thread; the thread hands it back with
//! the reason when something concerns more than this vCPU. So resets, SIGP orders and the end are
//! plain code here, with the vCPUs they touch in hand and none of those in KVM_RUN. Only the loop
//! ends the guest, and every path out of a thread reports.

mod ap;
mod errand;
mod input;
mod requests;
mod reset;
mod seats;
mod sigp;
mod vcpu;

use crate::{
    config::Config,
    console::{
        Console,
        input::{Input, Room},
    },
    control::{Act, Mailbox, Reply},
    counts::Counts,
    event::Events,
    host::Host,
    machine::{Machine, Reload, ap::ApSlot},
    outcome::Outcome,
    plan::Model,
    sandbox,
    signals::Signals,
};
use adjunct_hypervisor::{KernelError, Psw, Tod};
use event_manager::{EventManager, EventOps, EventSet, MutEventSubscriber, SubscriberId, SubscriberOps};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use seats::{Report, Seats};
use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use vcpu::{Shared, Why};

/// What the loop watches besides the guest, and where it counts.
#[derive(Clone, Debug, Default)]
pub struct Watch<'a> {
    /// Whether standard input is the guest's console.
    pub input: bool,
    /// Signals that end this guest.
    pub signals: Option<&'a Signals>,
    /// Where the guest's output waits for its reader; none: it is kept.
    pub console: Option<Console>,
    /// What others ask, if they can.
    pub managed: Option<Managed<'a>>,
    /// Exits, resets and what happens to the AP device.
    pub counts: Counts,
}

/// A guest that others ask about.
#[derive(Clone, Copy, Debug)]
pub struct Managed<'a> {
    /// What they ask.
    pub mailbox: &'a Mailbox,
    /// The guest as it was asked for.
    pub config: &'a Config,
}

/// A guest that has ended; all that it held is given back, but for what the host had not done yet with its AP device: that
/// goes when it is done.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Who ordered it, and waits to hear that it is done.
    pub(crate) order: Option<Order>,
}

/// An order that ends a guest.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) act: Act,
    pub(crate) reply: Reply<()>,
}

/// Whether a guest ends, and how.
#[derive(Debug, Default)]
enum End {
    /// It goes on.
    #[default]
    Not,
    /// Somebody has asked for it, which is not served yet, and something else was left undone for that.
    Asked,
    /// Somebody ordered it.
    Ordered(Order),
    /// By something else.
    By(Outcome),
}

impl End {
    /// Whether it is known how.
    fn is_settled(&self) -> bool {
        matches!(self, Self::Ordered(_) | Self::By(_))
    }

    /// Notes that there is one more reason. How it ends is settled by the first.
    fn note(&mut self, end: Self) {
        if !self.is_settled() {
            *self = end;
        }
    }
}

/// A guest that has begun to run; dropped, it ends.
pub struct Started<'a> {
    manager: EventManager<Loop<'a>>,
    id: SubscriberId,
}

impl fmt::Debug for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").finish_non_exhaustive()
    }
}

/// Runs `machine` until its guest ends; everything it held is given back.
///
/// # Errors
/// As [`start`]; how the guest ended is no error.
pub fn run(machine: Machine, host: &Host, events: &Events, watch: Watch<'_>) -> io::Result<Ended> {
    start(machine, host, events, watch)?.run()
}

/// Lets `machine` run, with all that serves it.
///
/// # Errors
/// There are not the threads and files to be had that this needs. The guest has not run, and everything it held is given
/// back.
pub fn start<'a>(
    machine: Machine,
    host: &'a Host,
    events: &'a Events,
    watch: Watch<'a>,
) -> io::Result<Started<'a>> {
    let mut manager = EventManager::new().map_err(io::Error::other)?;
    let event_loop = Loop::new(machine, host, events, watch)?;
    sandbox::enter(sandbox::Thread::Loop).map_err(io::Error::other)?;
    let id = manager.add_subscriber(event_loop);
    match manager.subscriber_mut(id).map_err(io::Error::other)?.unwatched.take() {
        Some(error) => Err(io::Error::other(error)),
        None => Ok(Started { manager, id }),
    }
}

impl Started<'_> {
    /// Serves the guest until it ends; everything it held is given back.
    ///
    /// # Errors
    /// Nobody can be waited for any more.
    pub fn run(self) -> io::Result<Ended> {
        let Self { mut manager, id } = self;
        let (outcome, order) = loop {
            let event_loop = manager.subscriber_mut(id).map_err(io::Error::other)?;
            match std::mem::take(&mut event_loop.end) {
                going_on @ (End::Not | End::Asked) => event_loop.end = going_on,
                End::Ordered(order) => break (Outcome::Ordered, Some(order)),
                End::By(outcome) => break (outcome, None),
            }
            match manager.run() {
                Ok(_) => {}
                Err(event_manager::Error::Epoll(e)) if e.errno() == libc::EINTR => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        };
        // Whoever ordered it hears of it when all is given back.
        drop(manager);
        Ok(Ended { outcome, order })
    }
}

/// The CPU that an IPL starts.
const IPL_CPU: u16 = 0;

/// What the loop's descriptors mean.
mod token {
    pub(super) const REPORT: u32 = 0;
    pub(super) const AP_RELEASE: u32 = 1;
    pub(super) const AP_CONFIG: u32 = 2;
    pub(super) const INPUT: u32 = 3;
    pub(super) const SIGNAL: u32 = 4;
    pub(super) const REQUEST: u32 = 5;
    pub(super) const LOOK: u32 = 6;
}

struct Loop<'a> {
    // Fields drop in this order: the terminal is given back, threads give their vCPUs back and end before anything
    // goes away under them, and a device goes before the VM it is in.
    input: Option<Input>,
    seats: Seats,
    ap: ApSlot,
    /// Fires when the AP device is to be looked at.
    look: TimerFd,
    shared: Arc<Shared>,
    reload: Reload,
    model: Model,
    host: &'a Host,
    events: &'a Events,
    watch: Watch<'a>,
    end: End,
    ipl_psw: Psw,
    /// The guest's time while it is paused.
    stopped_at: Option<Tod>,
    /// A descriptor that can't be watched: without it the loop would wait for ever.
    unwatched: Option<event_manager::Error>,
}

impl<'a> Loop<'a> {
    fn new(machine: Machine, host: &'a Host, events: &'a Events, watch: Watch<'a>) -> io::Result<Self> {
        let Machine { ap, vcpus, vm, sclp, reload, model } = machine;
        let (memory, counts) = (reload.memory.clone(), watch.counts.clone());
        let room = Arc::new(Room::new()?);
        let shared = Arc::new(Shared {
            vm,
            memory,
            sclp: Mutex::new(sclp),
            css: Mutex::default(),
            room: room.clone(),
            console: watch.console.clone(),
            counts,
            kickers: vcpus.iter().map(|vcpu| vcpu.kicker()).collect(),
            one_is_out: AtomicBool::new(false),
        });
        let seats = Seats::new(vcpus, &shared)?;
        // Before the guest says anything.
        let input = if watch.input { Some(Input::open(room, watch.console.as_ref())?) } else { None };
        let look =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        Ok(Self {
            input,
            seats,
            ap,
            look,
            shared,
            reload,
            model,
            host,
            events,
            watch,
            end: End::Not,
            ipl_psw: Psw::default(),
            stopped_at: None,
            unwatched: None,
        })
    }

    /// Serves what the threads have reported.
    fn serve_reports(&mut self) {
        self.serve_reports_of(|_| true);
    }

    /// Serves those of `wanted`: one report for each CPU at most, or a guest whose CPUs report without end would keep the
    /// loop from all else.
    fn serve_reports_of(&mut self, wanted: fn(&Why) -> bool) {
        for _ in 0..self.seats.len() {
            if self.end.is_settled() {
                return;
            }
            // None while the guest is paused: what is reported then is served when it goes on.
            let Some(report) = self.seats.next_report(wanted) else { return };
            if let Err(refused) = self.serve(report) {
                self.end.note(End::By(Outcome::Refused(refused)));
            }
        }
        self.seats.look_again();
    }

    /// Whether the guest ends, and what is under way is cut short for that.
    fn is_ending(&self) -> bool {
        !matches!(self.end, End::Not)
    }

    fn look_at_signals(&mut self) {
        if let Some(signal) = self.watch.signals.and_then(Signals::came) {
            self.end.note(End::By(Outcome::Signal(signal)));
        }
    }

    /// Lets the guest begin.
    fn begin(&mut self) {
        self.seats.run(IPL_CPU);
        // What the guest has now is what later changes are told against; the guest need not wait for that.
        self.ap.look_first(&*self.host.sysfs);
    }

    /// Notes whether a CPU is out that the host may want to wake for an interruption.
    fn note_who_is_out(&self) {
        let one_is_out = self.seats.one_waits();
        let one_was_out = self.shared.one_is_out.swap(one_is_out, Ordering::SeqCst);
        if one_is_out && !one_was_out {
            // It may have been wanted since it went.
            self.shared.have_all_look();
        }
    }

    fn serve(&mut self, Report { cpu, why }: Report) -> Result<(), KernelError> {
        match why {
            Why::Kicked => self.seats.run(cpu),
            Why::Reset(kind) => self.reset(cpu, kind)?,
            Why::Sigp(order) => self.sigp(cpu, order)?,
            Why::Stopped => self.stopped(cpu)?,
            Why::DisabledWait => self.seats.wait(cpu),
            Why::Broken(how) => {
                let registers = self.seats.registers(cpu);
                self.end.note(End::By(Outcome::Broken { how, cpu, registers }));
            }
            Why::Refused(refused) => return Err(refused),
        }
        self.note_who_is_out();
        // A reset that was cut short leaves all CPUs stopped.
        if !self.is_ending() && self.seats.all_at_rest() {
            // How the guest ends is how the last CPU came to rest (as in QEMU, `target/s390x/helper.c: s390_handle_wait`,
            // `sigp.c: do_stop_interrupt`).
            self.end.note(End::By(if self.seats.is_stopped(cpu) {
                Outcome::Stopped
            } else {
                Outcome::DisabledWait { cpu, registers: self.seats.registers(cpu) }
            }));
        }
        Ok(())
    }
}

impl MutEventSubscriber for Loop<'_> {
    fn init(&mut self, ops: &mut EventOps) {
        let mut failed = None;
        let mut add = |fd: &dyn AsRawFd, what: u32| {
            let watched = event_manager::Events::with_data_raw(fd.as_raw_fd(), what, EventSet::IN);
            if let Err(error) = ops.add(watched) {
                failed.get_or_insert(error);
            }
        };
        add(&self.seats.ready().as_fd(), token::REPORT);
        add(&self.look.as_fd(), token::LOOK);
        self.look_regularly();
        ap::watched(&self.ap).for_each(|(event, what)| add(event, what));
        if let Some(signals) = self.watch.signals {
            add(&signals.as_fd(), token::SIGNAL);
        }
        if let Some(managed) = &self.watch.managed {
            add(&managed.mailbox.as_fd(), token::REQUEST);
        }
        if let Some(input) = &self.input {
            add(&input.as_fd(), token::INPUT);
        }
        match failed {
            Some(error) => self.unwatched = Some(error),
            None => self.begin(),
        }
    }

    fn process(&mut self, event: event_manager::Events, ops: &mut EventOps) {
        match event.data() {
            token::REPORT => self.serve_reports(),
            token::AP_CONFIG => self.ap_configuration_changed(ops),
            token::AP_RELEASE => self.release_ap(ops),
            token::INPUT => self.serve_input(),
            token::SIGNAL => self.look_at_signals(),
            token::REQUEST => self.serve_request(ops),
            token::LOOK => self.look_on_time(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_guest_ends_is_settled_once() {
        let mut end = End::default();
        assert!(matches!(end, End::Not));
        for (next, now) in [
            (End::Asked, "Asked"),
            (End::By(Outcome::Stopped), "By(Stopped)"),
            (End::Asked, "By(Stopped)"),
            (End::By(Outcome::Fault("too late")), "By(Stopped)"),
        ] {
            end.note(next);
            assert_eq!(format!("{end:?}"), now);
        }
        assert!(end.is_settled());
    }
}
