//! PQAP(AQIC) of a guest, which KVM intercepts and hands over (`handle_pqap`, `vfio_ap_irq_enable`,
//! `vfio_ap_irq_disable`).

use super::{Notification, VmId};
use crate::{Interruption, QueueStatus, Response, host::State};
use adjunct_ap::{Apqn, Uuid};
use std::{ops::Range, time::Duration};

/// How often the driver tries to disable interruptions of a queue that is being reset, and how long it waits after each
/// time, the last too.
const ATTEMPTS: usize = 6;
const RETRY_WAIT: Duration = Duration::from_millis(20);

impl State {
    /// The hook: `notification` to enable, `None` to disable.
    pub(super) fn aqic(
        &mut self,
        uuid: Uuid,
        vm: VmId,
        apqn: Apqn,
        notification: Option<Notification>,
    ) -> QueueStatus {
        let open = self.vfio.mdevs.get(&uuid).is_some_and(|mdev| mdev.guest.is_some());
        let hooked = self.vfio.hooks.get(&vm) == Some(&uuid);
        let linked = self.vfio.queues.get(&apqn).is_some_and(|queue| queue.mdev == Some(uuid));
        if !(open && hooked && linked) {
            return QueueStatus::response(Response::NotAvailable);
        }
        match notification {
            Some(notification) => self.enable_interruption(uuid, apqn, notification),
            None => self.disable_interruption(apqn),
        }
    }

    fn enable_interruption(&mut self, uuid: Uuid, apqn: Apqn, notification: Notification) -> QueueStatus {
        let Notification { nib, isc, sink } = notification;
        let space = self.vfio.mdevs.get(&uuid).and_then(|mdev| mdev.dma.as_ref());
        let pinned = |nib: &u64| space.is_some_and(|space| space.can_pin(*nib));
        let Some(nib) = nib.filter(|nib| *nib != 0).filter(pinned) else {
            return QueueStatus::response(Response::InvalidAddress);
        };
        let status =
            self.adapters.set_interruption(apqn, Some(Interruption { nib, isc: isc & 7, sink: Some(sink) }));
        match status.code() {
            0x00 => {
                if let Some(queue) = self.vfio.queues.get_mut(&apqn) {
                    queue.nib = Some(nib);
                }
            }
            // The registration that is there stays.
            0x07 => {}
            _ => {
                self.disable_interruption(apqn);
            }
        }
        status
    }

    fn disable_interruption(&mut self, apqn: Apqn) -> QueueStatus {
        let mut status = self.adapters.set_interruption(apqn, None);
        for attempt in 1..=ATTEMPTS {
            if !matches!(status.code(), 0x02 | 0x05) {
                break;
            }
            self.clock.wait(RETRY_WAIT);
            if attempt < ATTEMPTS {
                status = self.adapters.set_interruption(apqn, None);
            }
        }
        self.forget_notification(apqn);
        status
    }

    /// Guest memory is not for the device any more: queues that notify into it must not
    /// (`vfio_ap_mdev_dma_unmap`).
    pub(crate) fn unmapped(&mut self, uuid: Uuid, memory: &Range<u64>) {
        let notifying = |apqn: &Apqn| {
            self.vfio.queues.get(apqn).and_then(|queue| queue.nib).is_some_and(|nib| memory.contains(&nib))
        };
        let queues: Vec<Apqn> = self.vfio.linked(uuid, |_| true).into_iter().filter(notifying).collect();
        for apqn in queues {
            self.disable_interruption(apqn);
        }
    }
}
