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
            Next::Later => self.poll_after(POLL),
            // Where interruptions are used nobody comes back for it but who comes anyway.
            Next::Again if !self.interrupts() => self.poll_after(self.until_next_look()),
            Next::Again | Next::None => {}
        }
    }

    /// How long it is to the next look at queues that could go on: none with a poll thread, else `poll_high_timeout`.
    fn until_next_look(&self) -> Duration {
        Duration::from_nanos(if self.bus.poll_thread { 0 } else { self.bus.poll_timeout })
    }

    /// One timer is for all queues: the first that wants it sets it.
    fn poll_after(&mut self, time: Duration) {
        if self.bus.poll_at.is_none() {
            self.bus.poll_at = Some(self.clock.after(time));
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
                self.poll_after(POLL);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostFile, SimHost, ap_bus::QueueDriver};

    /// When the bus looks again after a step of a queue whose reset is over.
    fn next_look(change: impl FnOnce(&mut HostFile)) -> Option<Duration> {
        let card = "[ap]\nusage_domains = [4]\n[[ap.card]]\nid = 5\ntype = \"CEX5C\"\n";
        let mut file = HostFile::parse(card).expect("a host file");
        change(&mut file);
        let host = SimHost::new(file).expect("it starts");
        host.settle();
        let mut state = host.state();
        let apqn = state.bus.queues.iter().find(|(_, queue)| queue.driver == Some(QueueDriver::Cex4queue));
        let apqn = *apqn.expect("zcrypt has a queue").0;
        state.bus.queues.get_mut(&apqn).expect("it is there").step = Step::ResetWait;
        state.bus.poll_at = None;
        state.step_once(apqn);
        let now = state.clock.now();
        state.next_poll().map(|at| Duration::from_nanos(at - now))
    }

    #[test]
    fn a_queue_that_could_go_on_is_looked_at_after_the_poll_timeout_unless_interruptions_or_a_thread_do_it() {
        assert_eq!(next_look(|_| ()), None);
        let alone = |file: &mut HostFile| file.ap.ap_interrupts = Some(false);
        assert_eq!(next_look(alone), Some(Duration::from_micros(250)));
        let slower = |file: &mut HostFile| {
            alone(file);
            file.ap.poll_timeout = 1_500_000;
        };
        assert_eq!(next_look(slower), Some(Duration::from_micros(1500)));
        let with_thread = |file: &mut HostFile| {
            alone(file);
            file.ap.poll_thread = true;
        };
        assert_eq!(next_look(with_thread), Some(Duration::ZERO));
    }
}
