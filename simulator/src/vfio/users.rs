//! Who has a device: what VFIO counts for each, so that it is opened in one way only and goes when nobody has it
//! (`drivers/vfio/group.c`, `device_cdev.c`, `vfio_main.c`).

use crate::{SimHost, host::State, sysfs::Errno};
use adjunct_ap::Uuid;

/// What VFIO counts for a device.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// Files of the device itself, bound or not: `remove` waits for them.
    files: u32,
    /// Its group is open.
    group: bool,
    /// Files of the device that are bound to an iommufd: the group can't be opened.
    bound: u32,
}

impl Users {
    /// Whether somebody has a file of the device.
    pub(crate) fn any(&self) -> bool {
        self.files > 0
    }
}

/// What somebody has of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// A file of the device (`vfio_device_try_get_registration`).
    File,
    /// Its group, alone (`vfio_group_fops_open`).
    Group,
    /// The device without its group (`vfio_device_block_group`).
    Bound,
}

/// Somebody who is registered as having a share of a device, until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    host: SimHost,
    uuid: Uuid,
    /// Tells an mdev from a later one of the same name.
    made: u64,
    share: Share,
}

impl Registration {
    /// Takes a share.
    ///
    /// # Errors
    /// ENODEV when the device is not there, or for a file of it is going; EBUSY when the group is open, or may not be
    /// opened because the device is bound.
    pub(crate) fn take(host: &SimHost, uuid: Uuid, share: Share) -> Result<Self, Errno> {
        let mut state = host.state();
        let mdev = state.vfio.mdevs.get_mut(&uuid).ok_or(libc::ENODEV)?;
        let (made, going) = (mdev.made, mdev.is_being_removed());
        let users = &mut mdev.users;
        match share {
            Share::File if going => return Err(libc::ENODEV),
            Share::File => users.files += 1,
            Share::Group if users.bound > 0 || users.group => return Err(libc::EBUSY),
            Share::Group => users.group = true,
            Share::Bound if users.group => return Err(libc::EBUSY),
            Share::Bound => users.bound += 1,
        }
        drop(state);
        Ok(Self { host: host.clone(), uuid, made, share })
    }

    /// Whether the device is the one it was.
    pub(crate) fn is_there(&self) -> bool {
        self.host.state().vfio.mdevs.get(&self.uuid).is_some_and(|mdev| mdev.made == self.made)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.host.state().give_back(self.uuid, self.made, self.share) {
            self.host.closed();
        }
    }
}

impl State {
    /// Whether that was the last file of a device that is to be removed, which it then is.
    fn give_back(&mut self, uuid: Uuid, made: u64, share: Share) -> bool {
        let Some(mdev) = self.vfio.mdevs.get_mut(&uuid).filter(|mdev| mdev.made == made) else {
            return false;
        };
        let users = &mut mdev.users;
        match share {
            Share::File => users.files -= 1,
            Share::Group => users.group = false,
            Share::Bound => users.bound -= 1,
        }
        let last = share == Share::File && !users.any() && mdev.is_being_removed();
        if last {
            self.remove_mdev(uuid);
        }
        last
    }
}
