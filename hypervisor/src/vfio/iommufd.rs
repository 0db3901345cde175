//! The way by the device's own character device, with an I/O address space of an iommufd.

use super::{
    dma::Block,
    ioctl,
    kvm::{Known, KvmVfio},
    mdev::{self, Mdev, open_file},
};
use crate::{KernelError, Result};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The files of this way: a character device that nobody has bound, as far as can be told, and an iommufd.
///
/// A device that is bound must not be bound again by another file of it. The kernel refuses that with EINVAL, but on the way
/// out it takes from the device the reference to the VM of the one who has it open: that VM is then destroyed too early or
/// never (`drivers/vfio/device_cdev.c: vfio_df_ioctl_bind_iommufd`, `vfio_main.c: vfio_device_get_kvm_safe`, 6.6 to 7.3).
/// The kernel does tell in another way, harmlessly and with the right errno: while a device is bound, its group can't be
/// opened.
#[derive(Debug)]
pub(super) struct Files {
    device: OwnedFd,
    iommufd: OwnedFd,
}

impl Files {
    /// Opens an iommufd, and the character device of `mdev`.
    ///
    /// # Errors
    /// ENOENT if the host has no iommufd, ENODEV if the mdev has no character device; EBUSY if it is bound or its group open; else why a file can't be opened.
    pub(super) fn open(mdev: &Mdev) -> Result<Self> {
        // A host without is told by this alone.
        let iommufd = open_file(Path::new("/dev/iommu"))?;
        let device = open_file(&mdev.character_device()?)?;
        refuse_busy(mdev.group().ok())?;
        Ok(Self { device, iommufd })
    }

    /// Takes files that somebody else has opened; messages call the device `name`.
    ///
    /// # Errors
    /// EBUSY if the device is bound or its group open; ENOTTY if the file is no VFIO device.
    pub(super) fn handed_over(device: OwnedFd, iommufd: OwnedFd, name: &str) -> Result<Self> {
        match ioctl::device_info(device.as_fd(), name) {
            Ok(_) => return Err(KernelError::new(ioctl::OPENS_BY_IOMMUFD, name, libc::EBUSY)),
            // What every request to a device that is not bound gets.
            Err(refused) if refused.errno.errno() == libc::EINVAL => (),
            Err(refused) => return Err(refused),
        }
        refuse_busy(mdev::group_of_device(&device))?;
        Ok(Self { device, iommufd })
    }
}

/// EBUSY if the group can't be opened for that reason. Who may not open it learns nothing.
fn refuse_busy(group: Option<PathBuf>) -> Result<()> {
    match group.map(|path| open_file(&path)) {
        Some(Err(refused)) if refused.errno.errno() == libc::EBUSY => Err(refused),
        _ => Ok(()),
    }
}

/// A device that is open by its character device. The fields are dropped in their order, each with a reason to come
/// before the next:
///
/// 1. KVM forgets the file, or it would not be released; then it is closed. Only that unbinds and closes the device: vfio_ap
///    takes it from KVM, resets its queues, unpins what it had pinned, and the address space is detached. To detach
///    before would make vfio_ap switch off interrupts one by one under a guest that still uses the queues;
/// 2. the address space, now unused, is destroyed with its mappings, because the iommufd may live on with whoever handed
///    it over; then our iommufd is closed.
#[derive(Debug)]
pub(super) struct CharacterDevice {
    device: Known,
    space: AddressSpace,
}

impl CharacterDevice {
    /// Opens the device for the VM of `kvm`, and maps guest memory for it.
    ///
    /// # Errors
    /// The first request that is refused. Everything is closed.
    pub(super) fn open(files: Files, kvm: &Arc<KvmVfio>, name: &str, memory: &[Block]) -> Result<Self> {
        let Files { device, iommufd } = files;
        let device = Known::add(kvm, device, ioctl::OPENS_BY_IOMMUFD, name)?;
        ioctl::bind_iommufd(device.as_fd(), iommufd.as_fd(), name)?;
        let open = Self { device, space: AddressSpace::new(iommufd, name)? };
        ioctl::attach_ioas(open.device(), open.space.id, name)?;
        for block in memory {
            ioctl::map_ioas(open.space.iommufd.as_fd(), open.space.id, block, name)?;
        }
        Ok(open)
    }

    /// The device.
    pub(super) fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// An I/O address space of our own.
#[derive(Debug)]
struct AddressSpace {
    iommufd: OwnedFd,
    id: u32,
}

impl AddressSpace {
    fn new(iommufd: OwnedFd, name: &str) -> Result<Self> {
        let id = ioctl::alloc_ioas(iommufd.as_fd(), name)?;
        Ok(Self { iommufd, id })
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        // Refused only while somebody else keeps the device's file open; then it goes with the iommufd.
        let _ = ioctl::destroy(self.iommufd.as_fd(), self.id, "guest memory");
    }
}
