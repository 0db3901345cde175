//! How time passes for a host: what is due is done at the time that it is due, in order.
//!
//! Nothing here sleeps. Whoever has the host's lock has first brought the host up to the clock, whoever moved that: a
//! look at sysfs finds the host as it is now.

use super::{SimHost, State};
use std::time::Duration;

/// How many things are done on the way when the clock is moved; what is still due after so many is done at the end of
/// the way. Hours of scans: nobody who moves the clock by years waits for them all.
const STEPS: usize = 4096;

impl SimHost {
    /// Lets time pass: replies arrive, resets end, the AP bus scans when its timer says so, and guests are asked again
    /// for mdevs that shall be removed. Each at its time, in order.
    pub fn advance(&self, by: Duration) {
        self.advance_to(self.clock().after(by));
    }

    /// Has the AP bus look now at the queues that it brings up in the background, again and again, until they are ready
    /// or have been looked at eight times. By its timer it would be 40 ms to each look; so it is one, and nothing else
    /// that waits for time to pass comes much nearer.
    pub fn settle(&self) {
        for _ in 0..8 {
            self.advance(Duration::from_millis(1));
            if !self.state().poll() {
                break;
            }
        }
    }

    /// Lets time pass until the clock shows `time`, in nanoseconds since the start; nothing if it is beyond.
    pub(crate) fn advance_to(&self, time: u64) {
        for _ in 0..STEPS {
            let Some(due) = self.next_due().filter(|due| *due <= time) else { break };
            self.clock().advance_to(due);
            self.do_due();
        }
        self.clock().advance_to(time);
        self.do_due();
    }

    /// When something is due next, in nanoseconds since the start: a reply, a step of the AP bus, a scan, a reminder.
    /// Not later than now when it is overdue; `None` when nothing waits for time to pass.
    ///
    /// Something may come up that is due earlier: [`Clock::wait_for_plan`](crate::Clock::wait_for_plan).
    pub(crate) fn next_due(&self) -> Option<u64> {
        let host = self.locked().next_due();
        host.into_iter().chain(self.adapters().next_reply()).min()
    }

    fn do_due(&self) {
        drop(self.state());
        self.adapters().deliver();
    }
}

impl State {
    /// Does what is due by the clock.
    pub(super) fn catch_up(&mut self) {
        self.poll_if_due();
        self.scan_if_due();
        self.repeat_requests();
    }

    fn next_due(&self) -> Option<u64> {
        let bus = self.has_ap.then(|| self.next_on_bus());
        bus.into_iter().chain(self.vfio.next_request()).min()
    }

    /// Lets the bus bring up its queues: a host that has booted is done with that.
    pub(super) fn settle(&mut self) {
        /// Three steps and some patience: nothing at a boot takes longer.
        const LOOKS: usize = 16;
        for _ in 0..LOOKS {
            let Some(at) = self.next_poll() else { break };
            self.clock.advance_to(at);
            self.poll_if_due();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{HostFile, SimHost};
    use adjunct_ap::Sysfs;
    use std::time::Duration;

    fn host() -> SimHost {
        SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts")
    }

    fn scans(host: &SimHost) -> u64 {
        host.read("bus/ap/scans").expect("it is there").trim_end().parse().expect("a number")
    }

    #[test]
    fn every_scan_that_was_due_on_the_way_is_done_at_its_time() {
        let host = host();
        let (before, start) = (scans(&host), host.clock().now());
        host.advance(Duration::from_secs(95));
        assert_eq!(scans(&host) - before, 3);
        assert_eq!(host.clock().now() - start, 95_000_000_000);
    }

    #[test]
    fn a_look_finds_the_host_as_it_is_now_whoever_moved_the_clock() {
        let host = host();
        let before = scans(&host);
        host.clock().advance(Duration::from_secs(31));
        assert_eq!(scans(&host) - before, 1);
    }

    #[test]
    fn the_next_thing_is_a_scan_until_a_queue_is_reset() {
        let mut file = HostFile::three_guests().expect("the built-in host is right");
        (file.ap.apmask, file.ap.aqmask) = (None, None);
        file.mdevs.clear();
        let host = SimHost::new(file).expect("a host that keeps all queues starts");
        let scan = host.next_due().expect("the bus scans");
        let seen = host.clock().plans();
        host.write("bus/ap/devices/05.0047/reset", "1").expect("it is there");
        let poll = host.next_due().expect("the bus looks at the queue");
        assert!(poll < scan && poll > host.clock().now());
        assert!(host.clock().wait_for_plan(seen, Duration::ZERO), "a sleeper is woken");
        let reset = || host.read("bus/ap/devices/05.0047/reset").expect("it is there");
        assert_eq!(reset(), "Reset in progress.\n");
        host.advance_to(poll);
        assert_eq!(reset(), "No Reset Timer set.\n");
        host.advance(Duration::from_secs(1));
        assert!(host.next_due().is_some_and(|due| due >= scan), "nothing is left to look at");
    }
}
