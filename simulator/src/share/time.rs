//! Real time for a host that others use.

use crate::SimHost;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The shortest that the host sleeps, when there is more due than it can do at once.
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
    /// Where the host's drivers wait (for the reset of a queue) they sleep.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn keep_time(&self) -> io::Result<TimeKeeper> {
        let (host, end) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let keep = {
            let (host, end) = (host.clone(), Arc::clone(&end));
            move || keep(&host, &end)
        };
        self.clock().keep();
        // It ends what was begun also when there is no thread.
        let mut keeper = TimeKeeper { host, end, thread: None };
        keeper.thread = Some(thread::Builder::new().name("host-time".to_owned()).spawn(keep)?);
        Ok(keeper)
    }
}

/// Does what is due when it is due, and sleeps in between: a look at the clock needs nobody who moves it.
fn keep(host: &SimHost, end: &AtomicBool) {
    loop {
        let plans = host.clock().plans();
        if end.load(Ordering::Acquire) {
            return;
        }
        let now = host.clock().now();
        host.advance_to(now);
        let sleep =
            host.next_due().map_or(Duration::MAX, |due| Duration::from_nanos(due.saturating_sub(now)));
        host.clock().wait_for_plan(plans, sleep.max(SHORTEST));
    }
}

impl Drop for TimeKeeper {
    fn drop(&mut self) {
        self.host.clock().unkeep();
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
    use crate::{HostFile, InterruptSink, Interruption, Machine};
    use adjunct_ap::Apqn;
    use std::{
        sync::{Mutex, mpsc},
        time::Instant,
    };

    fn host() -> SimHost {
        SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts")
    }

    #[test]
    fn a_host_whose_time_is_kept_moves_by_itself_and_one_whose_time_is_kept_no_more_stands() {
        let host = host();
        let kept = host.keep_time().expect("a thread");
        let start = host.clock().now();
        // Ended by time's passing alone.
        while host.clock().now() == start {}
        drop(kept);
        let end = host.clock().now();
        // A clock that moved would have moved by now: a look at it is what moves it.
        let spent = Instant::now();
        while spent.elapsed().is_zero() {}
        assert_eq!(host.clock().now(), end);
        let again = host.keep_time().expect("a thread");
        while host.clock().now() == end {}
        drop(again);
    }

    /// A guest that waits for an interruption.
    #[derive(Debug)]
    struct Waiting(Mutex<mpsc::Sender<(u64, u8)>>);

    impl InterruptSink for Waiting {
        fn notify(&self, nib: u64, isc: u8) {
            let _ = self.0.lock().expect("nobody panicked").send((nib, isc));
        }
    }

    #[test]
    fn a_reply_that_comes_up_while_the_host_sleeps_arrives_in_its_time() {
        let host = host();
        host.adapters().operate(|machine: &mut Machine| machine.service_time = Duration::from_millis(20));
        let _kept = host.keep_time().expect("a thread");
        let (sender, receiver) = mpsc::channel();
        let sink = Some(Arc::new(Waiting(Mutex::new(sender))) as Arc<dyn InterruptSink>);
        let queue = Apqn::new(5, 4);
        host.adapters().set_interruption(queue, Some(Interruption { nib: 0x1000, isc: 3, sink }));
        host.adapters().enqueue(queue, 1, &[0; 64]);
        // Long before the scan that it sleeps until.
        assert_eq!(receiver.recv_timeout(Duration::from_secs(15)), Ok((0x1000, 3)));
    }
}
