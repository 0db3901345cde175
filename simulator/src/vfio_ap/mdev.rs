//! Making and removing mdevs (`drivers/vfio/mdev/mdev_sysfs.c`, `mdev_core.c`), and asking a guest to give one back.

use super::{Mdev, Removal, VfioAp};
use crate::{
    host::State,
    sysfs::{Errno, unsigned},
    vfio::Users,
};
use adjunct_ap::{Matrix, Uuid};
use std::collections::BTreeSet;

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

    /// When a guest is asked again to give an mdev back, in nanoseconds of the clock.
    pub(crate) fn next_request(&self) -> Option<u64> {
        self.going.iter().filter_map(|uuid| self.mdevs.get(uuid)?.next_request()).min()
    }
}

/// Numbers of IOMMU groups and of VFIO's devices: always the lowest that is free (`ida_alloc`).
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// No number from here on was ever taken.
    next: u32,
    /// Those below that were given back.
    free: BTreeSet<u32>,
}

impl Numbers {
    fn take(&mut self) -> u32 {
        self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn give_back(&mut self, number: u32) {
        self.free.insert(number);
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
        let group = self.vfio.numbers.take();
        self.vfio.made += 1;
        let mdev = Mdev {
            born: self.birth(),
            matrix: Matrix::EMPTY,
            shadow: Matrix::EMPTY,
            adding: Matrix::EMPTY,
            max_adapter: self.vfio.config.max_adapter,
            max_domain: self.vfio.config.max_domain,
            guest: None,
            triggers: [None, None],
            dma: None,
            users: Users::default(),
            made: self.vfio.made,
            group,
            removing: None,
        };
        self.vfio.mdevs.insert(uuid, mdev);
        self.tell_made(uuid, group);
        Ok(())
    }

    /// `remove`: at once, or when the guest that has it open gives it back; the write waits for that.
    pub(super) fn store_remove(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        // Here the kernel does not tell the errors of kstrtoul apart.
        if unsigned(text).map_err(|_| libc::EINVAL)? == 0 {
            return Ok(());
        }
        let mdev = self.vfio.mdev(uuid)?;
        let held = mdev.users.any();
        self.tell_going(uuid, mdev.group);
        if !held {
            self.remove_mdev(uuid);
            return Ok(());
        }
        self.request_release(uuid);
        self.waiting = Some(uuid);
        Ok(())
    }

    /// Takes an mdev away that nobody has open: its queues are reset and free again.
    pub(crate) fn remove_mdev(&mut self, uuid: Uuid) {
        let queues = self.vfio.linked(uuid, |_| true);
        // The mdev goes whatever becomes of its queues.
        let _ = self.reset_queues(&queues);
        for apqn in queues {
            self.vfio.set_link(apqn, None);
        }
        self.vfio.going.remove(&uuid);
        if let Some(mdev) = self.vfio.mdevs.remove(&uuid) {
            self.vfio.numbers.give_back(mdev.group);
            self.tell_gone(uuid, mdev.group);
        }
    }

    /// Asks whoever has an mdev open to give it back (`vfio_ap_mdev_request`).
    fn request_release(&mut self, uuid: Uuid) {
        let now = self.clock.now();
        let clears = self.profile.clears_masks_on_remove_request();
        let Some(mdev) = self.vfio.mdevs.get_mut(&uuid) else { return };
        let count = mdev.removing.map_or(0, |removal| removal.count.wrapping_add(1));
        mdev.removing = Some(Removal { asked: now, count });
        self.vfio.going.insert(uuid);
        self.clock.plan();
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
        let due =
            |uuid: &Uuid| self.vfio.mdevs.get(uuid).and_then(Mdev::next_request).is_some_and(|at| now >= at);
        let due: Vec<Uuid> = self.vfio.going.iter().copied().filter(due).collect();
        due.into_iter().for_each(|uuid| self.request_release(uuid));
    }
}

impl Mdev {
    /// When the guest is asked again to give it back, in nanoseconds of the clock.
    fn next_request(&self) -> Option<u64> {
        Some(self.removing?.asked.saturating_add(REQUEST_INTERVAL))
    }

    /// Whether somebody waits to remove it.
    pub(crate) fn is_being_removed(&self) -> bool {
        self.removing.is_some()
    }

    /// Signals an interrupt; whether anybody had asked for it.
    pub(super) fn signal(&self, index: usize) -> bool {
        let Some(Some(trigger)) = self.triggers.get(index) else { return false };
        trigger.signal();
        true
    }
}
