//! Making and removing mdevs (`drivers/vfio/mdev/mdev_sysfs.c`, `mdev_core.c`), and asking a guest to give one back.

use super::{Mdev, Removal, VfioAp};
use crate::{
    host::State,
    sysfs::{Errno, unsigned},
};
use adjunct_ap::{Matrix, Uuid};

/// A UUID as text, without the newline.
const UUID_LENGTH: usize = 36;

/// The interrupts of a vfio-ap device (`include/uapi/linux/vfio.h: VFIO_AP_*_IRQ_INDEX`).
pub(super) const RELEASE_REQUEST: usize = 0;
pub(super) const CONFIG_CHANGED: usize = 1;

/// How often a guest is asked to give an mdev back, in nanoseconds (`drivers/vfio/vfio_main.c:
/// vfio_unregister_group_dev`).
const REQUEST_INTERVAL: u64 = 10_000_000_000;

impl VfioAp {
    pub(super) fn available(&self) -> usize {
        Self::CAPACITY.saturating_sub(self.mdevs.len())
    }
}

impl State {
    /// `create`: 36 characters, and at most one more that nobody looks at.
    pub(super) fn store_create(&mut self, text: &str) -> Result<(), Errno> {
        if !(UUID_LENGTH..=UUID_LENGTH + 1).contains(&text.len()) {
            return Err(libc::EINVAL);
        }
        let uuid: Uuid = text.get(..UUID_LENGTH).and_then(|text| text.parse().ok()).ok_or(libc::EINVAL)?;
        if self.vfio.mdevs.contains_key(&uuid) {
            return Err(libc::EEXIST);
        }
        if self.vfio.available() == 0 {
            return Err(libc::EUSERS);
        }
        let group = self.vfio.next_group;
        self.vfio.next_group += 1;
        let mdev = Mdev {
            matrix: Matrix::EMPTY,
            shadow: Matrix::EMPTY,
            adding: Matrix::EMPTY,
            max_adapter: self.vfio.config.max_adapter,
            max_domain: self.vfio.config.max_domain,
            guest: None,
            triggers: [None, None],
            dma: Vec::new(),
            group,
            removing: None,
        };
        self.vfio.mdevs.insert(uuid, mdev);
        Ok(())
    }

    /// `remove`: at once, or when the guest that has it open gives it back; the write waits for that.
    pub(super) fn store_remove(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        // Here the kernel does not tell the errors of kstrtoul apart.
        if unsigned(text).map_err(|_| libc::EINVAL)? == 0 {
            return Ok(());
        }
        if self.vfio.mdev(uuid)?.guest.is_none() {
            self.remove_mdev(uuid);
            return Ok(());
        }
        self.request_release(uuid);
        self.waiting = Some(uuid);
        Ok(())
    }

    /// Takes an mdev away that nobody has open: its queues are reset and free again.
    pub(super) fn remove_mdev(&mut self, uuid: Uuid) {
        let queues = self.vfio.linked(uuid, |_| true);
        // The mdev goes whatever becomes of its queues.
        let _ = self.reset_queues(&queues);
        for apqn in queues {
            if let Some(queue) = self.vfio.queues.get_mut(&apqn) {
                queue.mdev = None;
            }
        }
        self.vfio.mdevs.remove(&uuid);
    }

    /// Asks whoever has an mdev open to give it back (`vfio_ap_mdev_request`).
    fn request_release(&mut self, uuid: Uuid) {
        let now = self.clock.now();
        let clears = self.profile.clears_masks_on_remove_request();
        let Some(mdev) = self.vfio.mdevs.get_mut(&uuid) else { return };
        let count = mdev.removing.map_or(0, |removal| removal.count.wrapping_add(1));
        mdev.removing = Some(Removal { asked: now, count });
        if let (true, Some(guest)) = (clears, &mdev.guest) {
            guest.crypto.clear_masks();
            mdev.signal(CONFIG_CHANGED);
        }
        match mdev.signal(RELEASE_REQUEST) {
            true if count % 10 == 0 => {
                self.log(format!("vfio_ap_mdev {uuid}: Relaying device request to user (#{count})"));
            }
            false if count == 0 => self.log(format!(
                "vfio_ap_mdev {uuid}: No device request registered, blocked until released by user"
            )),
            _ => {}
        }
    }

    /// Asks again whoever was asked long ago.
    pub(crate) fn repeat_requests(&mut self) {
        let now = self.clock.now();
        let due = |mdev: &Mdev| {
            mdev.removing.is_some_and(|removal| now >= removal.asked.saturating_add(REQUEST_INTERVAL))
        };
        let due: Vec<Uuid> =
            self.vfio.mdevs.iter().filter(|(_, mdev)| due(mdev)).map(|(uuid, _)| *uuid).collect();
        due.into_iter().for_each(|uuid| self.request_release(uuid));
    }
}

impl Mdev {
    /// Signals an interrupt; whether anybody had asked for it.
    pub(super) fn signal(&self, index: usize) -> bool {
        let Some(Some(event)) = self.triggers.get(index) else { return false };
        // A counter that is full has been signalled more often than anybody can read.
        let _ = event.write(1);
        true
    }
}
