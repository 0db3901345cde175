//! Real time for a host that others use.

use crate::SimHost;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The longest that the host sleeps (somebody may look at its clock), and the shortest.
const LONGEST: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(1);

/// Lets the time of a host pass by the real clock, until it is dropped.
#[derive(Debug)]
pub struct TimeKeeper {
    host: SimHost,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SimHost {
    /// From now on the host's time passes with the real clock: replies arrive, resets end, the AP bus scans when its
    /// timer says so, and guests are asked again for mdevs that shall be removed. Until the answer is dropped.
    ///
    /// Where the host's drivers wait they still jump ahead, so it may be early, but never late.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn keep_time(&self) -> io::Result<TimeKeeper> {
        let (host, end) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let keep = {
            let (host, end) = (host.clone(), Arc::clone(&end));
            move || keep(&host, &end)
        };
        let thread = thread::Builder::new().name("host-time".to_owned()).spawn(keep)?;
        Ok(TimeKeeper { host, end, thread: Some(thread) })
    }
}

fn keep(host: &SimHost, end: &AtomicBool) {
    let mut last = Instant::now();
    loop {
        let plans = host.clock().plans();
        if end.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        host.advance(now - last);
        last = now;
        let due = host.next_due().map(|due| Duration::from_nanos(due.saturating_sub(host.clock().now())));
        host.clock().wait_for_plan(plans, due.map_or(LONGEST, |due| due.clamp(SHORTEST, LONGEST)));
    }
}

impl Drop for TimeKeeper {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        // Ends its sleep.
        self.host.clock().plan();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, and a panic of its was printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostFile;

    #[test]
    fn a_host_whose_time_is_kept_scans_and_one_whose_time_is_kept_no_more_does_not() {
        let host = SimHost::new(HostFile::default()).expect("the built-in host starts");
        let start = host.clock().now();
        let kept = host.keep_time().expect("a thread");
        // Ended by time's passing alone.
        while host.clock().now() == start {
            thread::yield_now();
        }
        drop(kept);
        let end = host.clock().now();
        thread::yield_now();
        assert_eq!(host.clock().now(), end);
    }
}
