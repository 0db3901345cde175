//! vfio-ap devices through Linux' VFIO: the way from a mediated device in sysfs, or from files that somebody
//! else opened, to an [`ApDevice`].
//!
//! It needs [`KvmVfio`], which is had from any VM's file, and guest memory; it knows no VM, no vCPU and no AP queue.
//! So a VMM with a KVM layer of its own uses this module as it is, and it compiles on every architecture.
//!
//! | step | group ([`VfioBackend::Group`]) | character device ([`VfioBackend::Iommufd`]) |
//! |---|---|---|
//! | files | `/dev/vfio/N`, `/dev/vfio/vfio`: `SET_CONTAINER`, `SET_IOMMU` | `/dev/vfio/devices/vfioN`, `/dev/iommu` |
//! | KVM is told | `KVM_DEV_VFIO_FILE_ADD` of the group | `KVM_DEV_VFIO_FILE_ADD` of the device |
//! | vfio_ap opens the device | `VFIO_GROUP_GET_DEVICE_FD` | `VFIO_DEVICE_BIND_IOMMUFD` |
//! | guest memory | `VFIO_IOMMU_MAP_DMA` | `IOMMU_IOAS_ALLOC`, `ATTACH_IOMMUFD_PT`, `IOMMU_IOAS_MAP` |
//!
//! KVM comes before the opening because vfio_ap takes the VM from there and answers EINVAL without one
//! (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_open_device`, 7.2). Guest memory is mapped with IOVA = absolute
//! address, or the guest gets no AP interruptions: vfio_ap pins the page of a notification-indicator byte by it.
//!
//! Structures and constants are those of crates `vfio-bindings` and `iommufd-bindings`. The types of `vfio-ioctls` don't
//! fit: they refuse every device that is not PCI or platform, and map memory without holding it.

mod dma;
mod group;
mod ioctl;
mod iommufd;
mod kvm;
mod mdev;

pub use dma::MappedRegion;
pub use kvm::KvmVfio;

use crate::{ApDevice, ApDeviceInfo, ApIrq, ApSource, EventFd, IrqInfo, KernelError, Result, VfioBackend};
use dma::Block;
use group::Group;
use iommufd::CharacterDevice;
use mdev::Mdev;
use std::{fmt, os::fd::BorrowedFd, sync::Arc};
use vm_memory::GuestRegionCollection;

/// Opens the vfio-ap device that `source` names for the VM of `kvm`, and maps all of `memory` for it.
///
/// `memory` is the guest's, by its absolute addresses: a `GuestMemoryMmap`, or this crate's `GuestMemory`. A clone of it is
/// held as long as the device is open.
///
/// # Errors
/// - ENOENT: the mdev's directory, or a file under `/dev` is missing; ENODEV: the directory is no mdev;
/// - EACCES, EPERM from `open`: no leave to open that file;
/// - EBUSY: the device is open already, here or in another program;
/// - EPERM: the VM has a vfio-ap device; [`KvmVfio`] says who refuses it;
/// - EINVAL from the request that opens the device: `kvm` is of no VM that KVM knows the device by;
/// - else what the kernel says to a request. Nothing is left half-open.
pub fn open<R: MappedRegion>(
    source: ApSource,
    kvm: &Arc<KvmVfio>,
    memory: &GuestRegionCollection<R>,
) -> Result<VfioApDevice> {
    let memory = memory.clone();
    let blocks = Block::all_of(&memory)?;
    let name = source.to_string();
    let (name, open) = match source {
        ApSource::Mdev { path, backend } => {
            let mdev = Mdev::find(&path)?;
            let open = match choose(backend, || iommufd::Files::open(&mdev), || group::Files::open(&mdev))? {
                Files::Iommufd(files) => {
                    Open::Iommufd(CharacterDevice::open(files, kvm, mdev.name(), &blocks)?)
                }
                Files::Group(files) => Open::Group(Group::open(files, kvm, &mdev, &blocks)?),
            };
            (mdev.name().to_owned(), open)
        }
        ApSource::Descriptors { device, iommufd } => {
            let files = iommufd::Files::handed_over(device, iommufd, &name)?;
            let open = Open::Iommufd(CharacterDevice::open(files, kvm, &name, &blocks)?);
            (name, open)
        }
    };
    Ok(VfioApDevice { name, open, memory: Box::new(memory) })
}

/// The files of the way that was chosen.
#[derive(Debug, PartialEq)]
enum Files<I, G> {
    Iommufd(I),
    Group(G),
}

/// Opens the files of the way that is `wanted`; if none is, those of the character device if they can be opened, else those
/// of the group.
///
/// # Errors
/// Of two refusals the one that an administrator can do something about: any other before ENOENT (no file under `/dev`)
/// before ENODEV (the kernel has no such way). Of two files that are missing, the group's, which every host can have; of two
/// that are there but refused, the character device's, which was the first choice.
fn choose<I, G>(
    wanted: Option<VfioBackend>,
    iommufd: impl FnOnce() -> Result<I>,
    group: impl FnOnce() -> Result<G>,
) -> Result<Files<I, G>> {
    let rank = |refused: &KernelError| match refused.errno.errno() {
        libc::ENODEV => 0,
        libc::ENOENT => 1,
        _ => 2,
    };
    match wanted {
        Some(VfioBackend::Iommufd) => iommufd().map(Files::Iommufd),
        Some(VfioBackend::Group) => group().map(Files::Group),
        None => iommufd().map(Files::Iommufd).or_else(|first| {
            group().map(Files::Group).map_err(|second| match (rank(&first), rank(&second)) {
                (2, _) => first,
                (one, other) if one > other => first,
                _ => second,
            })
        }),
    }
}

/// A device that is open one way or the other.
#[derive(Debug)]
enum Open {
    Group(Group),
    Iommufd(CharacterDevice),
}

/// An open vfio-ap device of the kernel. Dropping it closes the device, and when that is done the mdev can be opened
/// again.
pub struct VfioApDevice {
    name: String,
    open: Open,
    /// Mapped for the device, so it goes after it.
    #[expect(dead_code, reason = "held for its drop")]
    memory: Box<dyn Send>,
}

impl VfioApDevice {
    fn device(&self) -> BorrowedFd<'_> {
        match &self.open {
            Open::Group(group) => group.device(),
            Open::Iommufd(device) => device.device(),
        }
    }
}

impl fmt::Debug for VfioApDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VfioApDevice")
            .field("name", &self.name)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl ApDevice for VfioApDevice {
    fn info(&self) -> Result<ApDeviceInfo> {
        ioctl::device_info(self.device(), &self.name)
    }

    fn irq_info(&self, irq: ApIrq) -> Result<IrqInfo> {
        ioctl::irq_info(self.device(), irq, &self.name)
    }

    fn set_irq(&self, irq: ApIrq, event: Option<&EventFd>) -> Result<()> {
        ioctl::set_irq(self.device(), irq, event, &self.name)
    }

    fn reset(&self) -> Result<()> {
        ioctl::reset(self.device(), &self.name)
    }
}

#[cfg(test)]
mod tests;
