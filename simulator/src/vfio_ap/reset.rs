//! Resetting queues (`vfio_ap_mdev_reset_queues`, `apq_reset_check`).

use crate::{Response, host::State, sysfs::Errno};
use adjunct_ap::Apqn;
use std::time::Duration;

/// How long the driver waits before it looks whether a reset is done, and before it looks again.
const WAIT: Duration = Duration::from_millis(20);

/// After so many looks (20 s) whoever waits sleeps, also on a host whose time nobody keeps: somebody has to come and
/// free the queue.
const PATIENCE: usize = 1000;

/// Response codes that say "not yet": reset in progress, busy, state change in progress.
const NOT_YET: [u8; 3] = [0x02, 0x05, 0x0a];

impl State {
    /// Zeroizes queues, all at once, then waits for every one of them. There is no limit to the wait, as in the
    /// kernel; it is the clock's time that passes, until a queue seems stuck, and from then on real time.
    ///
    /// # Errors
    /// EIO when any queue could not be reset; the others are.
    pub(super) fn reset_queues(&mut self, queues: &[Apqn]) -> Result<(), Errno> {
        let mut waiting: Vec<Apqn> = Vec::new();
        for apqn in queues {
            let code = self.adapters.zeroize(*apqn).code();
            self.note_reset(*apqn, code);
            match code {
                0x00 => waiting.push(*apqn),
                code if NOT_YET.contains(&code) => waiting.push(*apqn),
                0x03 | 0x04 => self.forget_notification(*apqn),
                0x01 if self.profile.frees_interrupt_of_vanished_queue() => self.forget_notification(*apqn),
                _ => {}
            }
        }
        for look in 0_usize.. {
            if waiting.is_empty() {
                break;
            }
            match look {
                ..PATIENCE => self.clock.wait(WAIT),
                _ => self.clock.sleep(WAIT),
            }
            waiting.retain(|apqn| self.is_still_resetting(*apqn));
        }
        let failed =
            queues.iter().any(|apqn| self.vfio.queues.get(apqn).is_some_and(|queue| queue.reset_code != 0));
        if failed { Err(libc::EIO) } else { Ok(()) }
    }

    fn is_still_resetting(&mut self, apqn: Apqn) -> bool {
        let status = self.adapters.test(apqn).status;
        match status.code() {
            0x00 | 0x03 | 0x04 => {
                let started =
                    self.vfio.queues.get(&apqn).is_none_or(|queue| !NOT_YET.contains(&queue.reset_code));
                if started {
                    self.forget_notification(apqn);
                    return false;
                }
                // The reset that was asked for was not even begun.
                let code = self.adapters.zeroize(apqn).code();
                self.note_reset(apqn, code);
                true
            }
            0x02 | 0x05 => true,
            _ => {
                if status.is(Response::NotAvailable) && self.profile.frees_interrupt_of_vanished_queue() {
                    self.forget_notification(apqn);
                }
                false
            }
        }
    }

    fn note_reset(&mut self, apqn: Apqn, code: u8) {
        if let Some(queue) = self.vfio.queues.get_mut(&apqn) {
            queue.reset_code = code;
        }
    }

    /// The guest's registration for interruptions of a queue is gone: page unpinned, subclass given back.
    pub(super) fn forget_notification(&mut self, apqn: Apqn) {
        if let Some(queue) = self.vfio.queues.get_mut(&apqn) {
            queue.nib = None;
        }
    }
}
