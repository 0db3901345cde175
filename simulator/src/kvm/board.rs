//! What the vCPUs of a VM know of each other: who runs, who waits, and what is pending for whom.
//!
//! One lock and one condition variable for a VM. Under the lock nobody is called, so it may be taken
//! with any other lock of the simulator held.

use super::{clock::HostTime, floating::Pending, host::HostGone};
use adjunct_hypervisor::{Floating, RunState};
use adjunct_zarch as zarch;
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// No vCPU waits for a point in time.
const NEVER: u64 = u64::MAX;

/// Where a vCPU is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In user space, for who knows how long: not run yet, kicked out, at the end of its program.
    #[default]
    Outside,
    /// In user space for an exit that it will come back from.
    Exit,
    /// In `KVM_RUN`, executing.
    Executing,
    /// In `KVM_RUN`, waiting; until when, in nanoseconds of the host's clock, or [`NEVER`].
    Waiting(u64),
}

/// What other vCPUs and user space have for one vCPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    /// A restart interruption. Until it is taken the vCPU is busy for those who signal it.
    pub(super) restart: bool,
    /// Emergency signals, by the addresses of their senders.
    pub(super) emergencies: Vec<u16>,
    /// An external call, by the address of its sender.
    pub(super) external_call: Option<u16>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the board knows of one vCPU.
#[derive(Debug)]
pub(super) struct Slot {
    /// Whether it may run.
    pub(super) run_state: RunState,
    place: Place,
    /// What is for it.
    pub(super) mail: Mail,
    /// Whether it has been ordered to stop, which it does once it has taken what is pending. Until then it is busy for
    /// those who signal it.
    pub(super) stop_ordered: bool,
    /// Whether an external call that it took out of its mail is still pending.
    pub(super) external_call_pending: bool,
}

impl Slot {
    /// Whether it is loaded on a CPU of the host.
    pub(super) fn running(&self) -> bool {
        self.place == Place::Executing
    }
}

/// What a vCPU looks at after every few thousand instructions, without the lock.
#[derive(Debug, Default)]
pub(super) struct Bell {
    kicked: AtomicBool,
    mail: AtomicBool,
}

impl Bell {
    /// Whether somebody kicked since this was last asked.
    pub(super) fn take_kick(&self) -> bool {
        // The load keeps the common case free of a locked instruction.
        self.kicked.load(Ordering::Acquire) && self.kicked.swap(false, Ordering::AcqRel)
    }

    /// Whether there is mail.
    pub(super) fn has_mail(&self) -> bool {
        self.mail.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
struct State {
    floating: Pending,
    slots: Vec<Slot>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Something came in, or the time has come: look again.
    Look,
    /// Nobody in the VM executes and this vCPU's time is the next to come: move the clock to it, which is
    /// so many nanoseconds from now.
    Jump(u64),
}

/// The board of one VM.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
    wake: Condvar,
    bells: Vec<Arc<Bell>>,
    time: HostTime,
    /// Whether anything floats, so that vCPUs need not take the lock to see that nothing does.
    floats: AtomicBool,
    /// Counts floating interruptions as they come in, so that a vCPU can tell that one came since it looked.
    arrivals: AtomicU64,
    /// The earliest time a vCPU waits for.
    next: AtomicU64,
}

impl Board {
    /// The board of a VM of `vcpus` vCPUs, all stopped.
    pub(super) fn new(vcpus: u16, time: HostTime) -> Self {
        let slot = || Slot {
            run_state: RunState::Stopped,
            place: Place::Outside,
            mail: Mail::default(),
            stop_ordered: false,
            external_call_pending: false,
        };
        let slots = std::iter::repeat_with(slot).take(vcpus.into()).collect();
        Self {
            state: Mutex::new(State { floating: Pending::default(), slots }),
            wake: Condvar::new(),
            bells: std::iter::repeat_with(Arc::default).take(vcpus.into()).collect(),
            time,
            floats: AtomicBool::new(false),
            arrivals: AtomicU64::new(0),
            next: AtomicU64::new(NEVER),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of vCPUs.
    pub(super) fn vcpus(&self) -> usize {
        self.bells.len()
    }

    /// What vCPU `id` looks at while it executes.
    pub(super) fn bell(&self, id: u16) -> Arc<Bell> {
        Arc::clone(&self.bells[usize::from(id)])
    }

    /// Makes a floating interruption pending.
    pub(super) fn inject(&self, interruption: Floating) {
        self.float(|pending| pending.enqueue(interruption));
    }

    /// Makes the adapter interruption of subclass `isc` pending.
    pub(super) fn adapter_interruption(&self, isc: u8) {
        self.float(|pending| pending.set_adapter(isc));
    }

    /// Forgets all floating interruptions.
    pub(super) fn clear_floating(&self) {
        let mut state = self.state();
        state.floating = Pending::default();
        self.floats.store(false, Ordering::Release);
    }

    fn float(&self, change: impl FnOnce(&mut Pending)) {
        let mut state = self.state();
        change(&mut state.floating);
        self.floats.store(true, Ordering::Release);
        // With the lock held, so that no vCPU is between its look at the count and its sleep.
        self.arrivals.fetch_add(1, Ordering::AcqRel);
        drop(state);
        self.wake.notify_all();
    }

    /// How many floating interruptions have come in.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Acquire)
    }

    /// Takes the floating interruption of the highest priority that `enabled` lets through.
    pub(super) fn take_floating(
        &self,
        enabled: zarch::environment::Enabled,
    ) -> Option<zarch::environment::Floating> {
        if !self.floats.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        let taken = state.floating.take(enabled);
        self.floats.store(!state.floating.is_empty(), Ordering::Release);
        taken
    }

    /// Looks at vCPU `id`, or leaves mail for it; `None` if there is no such vCPU.
    pub(super) fn with<R>(&self, id: u16, visit: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        let mut state = self.state();
        let slot = state.slots.get_mut(usize::from(id))?;
        let answer = visit(slot);
        if !slot.mail.is_empty() {
            self.bells[usize::from(id)].mail.store(true, Ordering::Release);
            self.wake.notify_all();
        }
        Some(answer)
    }

    /// Takes what is in the mail of vCPU `id`.
    pub(super) fn take_mail(&self, id: u16) -> Mail {
        let mut state = self.state();
        self.bells[usize::from(id)].mail.store(false, Ordering::Release);
        let slot = &mut state.slots[usize::from(id)];
        // Senders see that one is pending and send no other, without a gap.
        slot.external_call_pending |= slot.mail.external_call.is_some();
        std::mem::take(&mut slot.mail)
    }

    /// Throws the mail of vCPU `id` away, and the order to stop.
    pub(super) fn discard_mail(&self, id: u16) {
        self.take_mail(id);
        self.with(id, |slot| (slot.external_call_pending, slot.stop_ordered) = (false, false));
    }

    /// Whether vCPU `id` has been ordered to stop.
    pub(super) fn stop_ordered(&self, id: u16) -> bool {
        self.state().slots[usize::from(id)].stop_ordered
    }

    /// Makes `KVM_RUN` of vCPU `id` return.
    pub(super) fn kick(&self, id: u16) {
        self.bells[usize::from(id)].kicked.store(true, Ordering::Release);
        // With the lock, so that no vCPU is between its look at the bell and its sleep.
        drop(self.state());
        self.wake.notify_all();
    }

    /// vCPU `id` enters `KVM_RUN`; `false` if it is stopped.
    pub(super) fn enter(&self, id: u16) -> bool {
        let mut state = self.state();
        let slot = &mut state.slots[usize::from(id)];
        let may_run = slot.run_state == RunState::Operating;
        if may_run {
            slot.place = Place::Executing;
        }
        may_run
    }

    /// vCPU `id` leaves `KVM_RUN`; `returning` if it does so for an exit that it will come back from.
    pub(super) fn leave(&self, id: u16, returning: bool) {
        self.state().slots[usize::from(id)].place = if returning { Place::Exit } else { Place::Outside };
        self.wake.notify_all();
    }

    /// Starts or stops vCPU `id`.
    pub(super) fn set_run_state(&self, id: u16, run_state: RunState) {
        let mut state = self.state();
        let slot = &mut state.slots[usize::from(id)];
        slot.run_state = run_state;
        if run_state == RunState::Stopped {
            slot.place = Place::Outside;
            slot.stop_ordered = false;
        }
        drop(state);
        self.wake.notify_all();
    }

    /// Wakes who waits for a time that has come. Executing vCPUs say so after they moved the clock.
    pub(super) fn time_passed(&self) {
        if self.next.load(Ordering::Acquire) <= self.time.now() {
            drop(self.state());
            self.wake.notify_all();
        }
    }

    /// vCPU `id`, which saw `arrivals`, waits until it is kicked, gets mail, an interruption floats in,
    /// or `until` (nanoseconds of the host's clock) has come.
    ///
    /// Where guests move the time: when no vCPU of the VM executes, the next to wake is told to move the clock.
    pub(super) fn wait(&self, id: u16, arrivals: u64, until: Option<u64>) -> Woken {
        let until = until.unwrap_or(NEVER);
        let bell = &self.bells[usize::from(id)];
        let mut state = self.state();
        state.slots[usize::from(id)].place = Place::Waiting(until);
        self.publish_next(&state);
        // Whoever stopped executing may have been the last one that others waited for.
        self.wake.notify_all();
        let woken = loop {
            let called = bell.kicked.load(Ordering::Acquire) || bell.has_mail();
            if called || self.arrivals() != arrivals || until <= self.time.now() {
                break Woken::Look;
            }
            state = if until == NEVER {
                self.wake.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else if self.time.passes() {
                let left = Duration::from_nanos(until.saturating_sub(self.time.now()));
                self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            } else if until == state.next() && !state.busy() {
                break Woken::Jump(until.saturating_sub(self.time.now()));
            } else {
                self.wake.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        };
        state.slots[usize::from(id)].place = Place::Executing;
        self.publish_next(&state);
        woken
    }

    fn publish_next(&self, state: &State) {
        self.next.store(state.next(), Ordering::Release);
    }
}

impl HostGone for Board {
    /// Whoever waits looks again.
    fn host_gone(&self) {
        let state = self.state();
        self.arrivals.fetch_add(1, Ordering::AcqRel);
        drop(state);
        self.wake.notify_all();
    }
}

impl State {
    /// The earliest time a vCPU waits for.
    fn next(&self) -> u64 {
        let times = self.slots.iter().filter_map(|slot| match slot.place {
            Place::Waiting(until) => Some(until),
            _ => None,
        });
        times.min().unwrap_or(NEVER)
    }

    /// Whether a vCPU executes, or is about to.
    fn busy(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot.place, Place::Executing | Place::Exit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    fn board(vcpus: u16) -> (Board, Clock) {
        let clock = Clock::default();
        let board = Board::new(vcpus, HostTime::of_guests(clock.clone()));
        for id in 0..vcpus {
            board.set_run_state(id, RunState::Operating);
        }
        (board, clock)
    }

    #[test]
    fn a_lone_vcpu_that_waits_for_a_time_is_told_to_move_the_clock_there() {
        let (board, clock) = board(1);
        clock.advance(Duration::from_nanos(5));
        assert!(board.enter(0));
        assert_eq!(board.wait(0, board.arrivals(), Some(1_005)), Woken::Jump(1_000));
        clock.advance(Duration::from_nanos(1_000));
        assert_eq!(board.wait(0, board.arrivals(), Some(1_005)), Woken::Look);
    }

    #[test]
    fn what_came_before_the_wait_ends_it() {
        let (board, _) = board(2);
        assert!(board.enter(0));
        let seen = board.arrivals();
        board.adapter_interruption(6);
        assert_eq!(board.wait(0, seen, None), Woken::Look);
        board.kick(0);
        assert_eq!(board.wait(0, board.arrivals(), None), Woken::Look);
        assert!(board.bell(0).take_kick() && !board.bell(0).take_kick());
        board.with(0, |slot| slot.mail.restart = true);
        assert_eq!(board.wait(0, board.arrivals(), None), Woken::Look);
        assert!(board.take_mail(0).restart && !board.bell(0).has_mail());
    }

    #[test]
    fn the_clock_does_not_jump_while_another_vcpu_executes_or_handles_an_exit() {
        let (board, clock) = board(2);
        assert!(board.enter(0) && board.enter(1));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| board.wait(0, board.arrivals(), Some(1_000)));
            // The other one moves the clock by executing; the waiter wakes by that, not by a jump.
            while board.next.load(Ordering::Acquire) == NEVER {
                std::thread::yield_now();
            }
            board.leave(1, true);
            assert!(board.enter(1));
            clock.advance(Duration::from_nanos(1_000));
            board.time_passed();
            assert_eq!(waiter.join().expect("it ends"), Woken::Look);
        });
    }

    #[test]
    fn a_vcpu_that_has_left_for_good_does_not_hold_the_clock() {
        let (board, _) = board(2);
        assert!(board.enter(0) && board.enter(1));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| board.wait(0, board.arrivals(), Some(1_000)));
            board.leave(1, false);
            assert_eq!(waiter.join().expect("it ends"), Woken::Jump(1_000));
        });
    }

    #[test]
    fn mail_is_taken_once_and_thrown_away_at_a_reset() {
        let (board, _) = board(1);
        board.with(0, |slot| slot.mail.external_call = Some(1));
        assert_eq!(board.take_mail(0), Mail { external_call: Some(1), ..Mail::default() });
        assert_eq!(board.take_mail(0), Mail::default());
        board.with(0, |slot| {
            (slot.mail.restart, slot.external_call_pending, slot.stop_ordered) = (true, true, true);
        });
        board.discard_mail(0);
        assert_eq!(board.with(0, |slot| slot.external_call_pending), Some(false));
        assert!(!board.stop_ordered(0));
        assert!(!board.bell(0).has_mail());
        assert_eq!(board.take_mail(0), Mail::default());
    }

    #[test]
    fn a_stopped_vcpu_may_not_run() {
        let (board, _) = board(1);
        board.set_run_state(0, RunState::Stopped);
        assert!(!board.enter(0));
    }
}
