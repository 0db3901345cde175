//! How the bus brings up a queue, in the background: reset, wait, ask for interruptions (`ap_queue_init_state`, the
//! state machine of `drivers/s390/crypto/ap_queue.c`, and its timer in `ap_bus.c: ap_wait, ap_tasklet_fn`).
//!
//! It sends no requests to adapters: what a queue does when it is up is nothing.

use super::{QueueState, Step};
use crate::{Interruption, host::State};
use adjunct_ap::Apqn;
use std::time::Duration;

/// How often the bus looks whether a queue has come further (`poll_low_timeout`).
const POLL: Duration = Duration::from_millis(40);

/// What a step says of the next one (`ap_bus.h: enum ap_sm_wait`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It can be made at once.
    Again,
    /// It is to be tried after [`POLL`].
    Later,
    /// There is none.
    None,
}

impl State {
    /// Brings up a queue from the start, whoever drives it (`_ap_queue_init_state`).
    pub(super) fn initiate(&mut self, apqn: Apqn) {
        if let Some(queue) = self.bus.queues.get_mut(&apqn) {
            queue.state = QueueState::Operating;
        }
        self.restart(apqn);
    }

    /// Resets a queue, if the bus works with it at all (`ap_queue.c: reset_store`).
    pub(super) fn restart(&mut self, apqn: Apqn) {
        let Some(queue) = self.bus.queues.get_mut(&apqn) else { return };
        queue.step = Step::ResetStart;
        self.step_once(apqn);
    }

    /// One step, and another one later if there is to be one (`ap_wait(ap_sm_event(…))`).
    pub(super) fn step_once(&mut self, apqn: Apqn) {
        match self.step(apqn) {
            Next::Later => self.poll_later(),
            // Where interruptions are used nobody comes back for it but who comes anyway.
            Next::Again if !self.interrupts() => self.poll_later(),
            Next::Again | Next::None => {}
        }
    }

    fn poll_later(&mut self) {
        if self.bus.poll_at.is_none() {
            self.bus.poll_at = Some(self.clock.after(POLL));
            self.clock.plan();
        }
    }

    /// When it looks at them next, in nanoseconds of the clock.
    pub(crate) fn next_poll(&self) -> Option<u64> {
        self.bus.poll_at
    }

    /// [`State::poll`], if the time has come.
    pub(crate) fn poll_if_due(&mut self) {
        if self.bus.poll_at.is_some_and(|at| at <= self.clock.now()) {
            self.poll();
        }
    }

    /// Looks at all queues that are being brought up, if it was going to. Only those with a driver are looked at: the
    /// bus knows no others.
    pub(crate) fn poll(&mut self) -> bool {
        if self.bus.poll_at.take().is_none() {
            return false;
        }
        let starting: Vec<Apqn> = self.bus.starting.iter().copied().collect();
        for apqn in starting {
            if self.bus.queues.get(&apqn).is_none_or(|queue| queue.driver.is_none()) {
                continue;
            }
            let next = std::iter::repeat_with(|| self.step(apqn)).find(|next| *next != Next::Again);
            if next == Some(Next::Later) {
                self.poll_later();
            }
        }
        true
    }

    /// `ap_sm_event`.
    fn step(&mut self, apqn: Apqn) -> Next {
        let Some(queue) = self.bus.queues.get(&apqn) else { return Next::None };
        if !queue.config || queue.checkstop || queue.state == QueueState::Uninitiated {
            self.bus.starting.remove(&apqn);
            return Next::None;
        }
        let (state, step, next) = match queue.step {
            Step::ResetStart => match self.adapters.reset(apqn).code() {
                0x00 | 0x02 => (queue.state, Step::ResetWait, Next::Later),
                _ => (QueueState::Error, Step::ResetStart, Next::None),
            },
            Step::ResetWait => match self.adapters.test(apqn).status.code() {
                0x00 if self.enable_interruptions(apqn) => (queue.state, Step::SetIrqWait, Next::Again),
                0x00 => (queue.state, Step::Idle, Next::Again),
                0x02 | 0x05 => (queue.state, Step::ResetWait, Next::Later),
                _ => (QueueState::Error, Step::ResetWait, Next::None),
            },
            Step::SetIrqWait => {
                let status = self.adapters.test(apqn).status;
                let step = if status.interruptions_enabled() { Step::Idle } else { Step::SetIrqWait };
                match status.code() {
                    0x00 => (queue.state, step, Next::Later),
                    _ => (QueueState::Error, step, Next::None),
                }
            }
            Step::Idle => (queue.state, Step::Idle, Next::None),
        };
        // What has failed is tried again whenever the bus looks, but is no reason to look.
        if step == Step::Idle {
            self.bus.starting.remove(&apqn);
        } else {
            self.bus.starting.insert(apqn);
        }
        if let Some(queue) = self.bus.queues.get_mut(&apqn) {
            (queue.state, queue.step) = (state, step);
        }
        next
    }

    /// The host's own interruptions of a queue; whether they are enabled, or are going to be.
    fn enable_interruptions(&self, apqn: Apqn) -> bool {
        if !self.interrupts() {
            return false;
        }
        let host = Interruption { nib: 0, isc: 0, sink: None };
        matches!(self.adapters.set_interruption(apqn, Some(host)).code(), 0x00 | 0x07)
    }

    /// Whether the host uses AP interruptions: facility 65.
    pub(super) fn interrupts(&self) -> bool {
        self.adapters.operate(|machine| machine.facilities.interruptions)
    }
}
