//! The way by the group of the device, in a container.

use super::{
    dma::Block,
    ioctl::{self, DeviceName},
    kvm::{Known, KvmVfio},
    mdev::{Mdev, open_file},
};
use crate::{KernelError, Result};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

const CONTAINER: &str = "/dev/vfio/vfio";

/// The files of this way, opened but not yet connected.
#[derive(Debug)]
pub(super) struct Files {
    group: OwnedFd,
    container: OwnedFd,
    /// The group's path.
    path: String,
}

impl Files {
    /// Opens the group of `mdev`, and a container.
    ///
    /// # Errors
    /// ENODEV if it has no group; EBUSY if somebody has the group open, or its device by the other way; else why a
    /// file can't be opened.
    pub(super) fn open(mdev: &Mdev) -> Result<Self> {
        let path = mdev.group()?;
        let group = open_file(&path)?;
        let container = open_file(Path::new(CONTAINER))?;
        Ok(Self { group, container, path: path.display().to_string() })
    }
}

/// A device that is open by its group. The fields are dropped in their order, each with a reason to come before the
/// next:
///
/// 1. the device is closed: vfio_ap takes it from KVM, resets its queues and unpins what it had pinned;
/// 2. KVM forgets the group, then the group is closed, which takes it out of the container (with the device open, the
///    kernel would keep it there: `drivers/vfio/group.c: vfio_group_fops_release`, 7.2);
/// 3. the container is closed, and guest memory unmapped with it.
#[derive(Debug)]
pub(super) struct Group {
    device: OwnedFd,
    #[expect(dead_code, reason = "held for its drop")]
    group: Known,
    container: OwnedFd,
}

impl Group {
    /// Opens the device for the VM of `kvm`, and maps guest memory for it.
    ///
    /// Nothing is asked that the next request answers as well: a group that is not viable is refused by `SET_CONTAINER`,
    /// a container without type 1 by `SET_IOMMU`; there is one version of all this (`VFIO_API_VERSION`).
    ///
    /// # Errors
    /// The first request that is refused. Everything is closed.
    pub(super) fn open(files: Files, kvm: &Arc<KvmVfio>, mdev: &Mdev, memory: &[Block]) -> Result<Self> {
        let Files { group, container, path } = files;
        ioctl::set_container(group.as_fd(), container.as_fd(), &path)?;
        ioctl::set_iommu(container.as_fd(), CONTAINER)?;
        let group = Known::add(kvm, group, ioctl::OPENS_BY_GROUP, mdev.name())?;
        let no_device = || KernelError::new(ioctl::OPENS_BY_GROUP, mdev.name(), libc::ENODEV);
        let name = DeviceName::new(mdev.name()).ok_or_else(no_device)?;
        let device = ioctl::get_device_fd(group.as_fd(), name, mdev.name())?;
        let open = Self { device, group, container };
        for block in memory {
            ioctl::map_dma(open.container.as_fd(), block, mdev.name())?;
        }
        Ok(open)
    }

    /// The device.
    pub(super) fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
