//! A vfio-ap mediated device: how it is found, and what it is once a VM has it open.

use crate::{EventFd, Result};
use std::{
    fmt::{self, Debug},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// By which of VFIO's two ways a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VfioBackend {
    /// The group of the device in a container: `/dev/vfio/N` and `/dev/vfio/vfio`.
    Group,
    /// The device's own character device and an I/O address space: `/dev/vfio/devices/vfioN` (since Linux
    /// 6.6) and `/dev/iommu` (since 6.2).
    Iommufd,
}

/// The vfio-ap device to open.
#[derive(Debug)]
pub enum ApSource {
    /// The mediated device in sysfs.
    Mdev {
        /// Its directory, by any of its names.
        path: PathBuf,
        /// The way; none: by its character device where there is one that can be opened, else by its group.
        backend: Option<VfioBackend>,
    },
    /// Files that somebody else has opened, perhaps with more rights than we have.
    Descriptors {
        /// The device's character device, `/dev/vfio/devices/vfioN`, not yet bound to an iommufd. It is
        /// closed when the device is: a file that stays open somewhere keeps the mdev in use.
        device: OwnedFd,
        /// `/dev/iommu`.
        iommufd: OwnedFd,
    },
}

impl From<PathBuf> for ApSource {
    fn from(path: PathBuf) -> Self {
        Self::Mdev { path, backend: None }
    }
}

impl From<&Path> for ApSource {
    fn from(path: &Path) -> Self {
        path.to_path_buf().into()
    }
}

/// As messages name it: its path, or `descriptor 3`.
impl fmt::Display for ApSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mdev { path, .. } => write!(f, "{}", path.display()),
            Self::Descriptors { device, .. } => write!(f, "descriptor {}", device.as_raw_fd()),
        }
    }
}

/// Answer of `VFIO_DEVICE_GET_INFO` (`include/uapi/linux/vfio.h: struct vfio_device_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApDeviceInfo {
    /// `VFIO_DEVICE_FLAGS_*`.
    pub flags: u32,
    /// Number of regions; 0 for an AP device.
    pub num_regions: u32,
    /// Number of interrupts: 2 since Linux 6.17, 1 since 6.5, 0 before.
    pub num_irqs: u32,
}

impl ApDeviceInfo {
    /// `VFIO_DEVICE_FLAGS_RESET`: the device can be reset.
    pub const FLAG_RESET: u32 = 1 << 0;
    /// `VFIO_DEVICE_FLAGS_AP`: this is a vfio-ap device.
    pub const FLAG_AP: u32 = 1 << 5;
}

/// An interrupt of a vfio-ap device, with the kernel's index
/// (`include/uapi/linux/vfio.h: VFIO_AP_*_IRQ_INDEX`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ApIrq {
    /// The host wants the device back (`VFIO_AP_REQ_IRQ_INDEX`, since 6.5).
    ReleaseRequest = 0,
    /// The guest's AP configuration has changed (`VFIO_AP_CFG_CHG_IRQ_INDEX`, since 6.17).
    ConfigChanged = 1,
}

impl ApIrq {
    /// The kernel's index.
    pub fn index(self) -> u32 {
        self as u32
    }
}

/// Answer of `VFIO_DEVICE_GET_IRQ_INFO` (`struct vfio_irq_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqInfo {
    /// `VFIO_IRQ_INFO_*`; bit 0 = EVENTFD.
    pub flags: u32,
    /// Number of interrupts at this index.
    pub count: u32,
}

/// An open vfio-ap device. While it lives, KVM has the mdev's masks in the guest's CRYCB; dropping
/// it closes the device, and the kernel clears the masks and resets the queues
/// (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_close_device`, 7.2).
pub trait ApDevice: Debug + Send {
    /// `VFIO_DEVICE_GET_INFO`.
    fn info(&self) -> Result<ApDeviceInfo>;

    /// `VFIO_DEVICE_GET_IRQ_INFO`. EINVAL if the kernel does not know this interrupt.
    fn irq_info(&self, irq: ApIrq) -> Result<IrqInfo>;

    /// `VFIO_DEVICE_SET_IRQS` with an eventfd that shall be signalled, or none (-1).
    fn set_irq(&self, irq: ApIrq, event: Option<&EventFd>) -> Result<()>;

    /// `VFIO_DEVICE_RESET`: zeroizes every queue of the mdev that is bound to vfio_ap. EIO if a
    /// queue could not be reset; the others are.
    fn reset(&self) -> Result<()>;
}
