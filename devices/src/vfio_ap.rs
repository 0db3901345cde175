//! The vfio-ap device of a VM: an AP matrix, passed through.
//!
//! [`VfioAp::attach`] opens a mediated device for a VM and from then on the host's KVM has its masks
//! in the guest's CRYCB; nothing of the guest's AP instructions comes here. What is left to a VMM is to
//! check that this is a vfio-ap device at all, to register the two interrupts of the host, and to reset
//! the queues whenever the guest is reset.
//!
//! This module refuses to know how the device is opened, which queues it has, and what the VMM does
//! when an interrupt comes. It works on any [`Vm`].

use adjunct_hypervisor::{ApDevice, ApDeviceInfo, ApIrq, ApSource, EventFd, IrqInfo, KernelError, Vm};
use std::io;
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK};

/// errno EPERM, with which the kernel refuses a second vfio-ap device for one VM
/// (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_set_kvm`, 7.2).
const EPERM: i32 = 1;
/// errno EBUSY: somebody has a file of the device open (`drivers/vfio/group.c: vfio_group_fops_open`,
/// `drivers/vfio/device_cdev.c: vfio_df_ioctl_bind_iommufd` and `drivers/vfio/vfio_main.c`, 7.2).
const EBUSY: i32 = 16;
/// The requests in which vfio_ap's open_device runs: for a group, and for a device of its own.
const OPENS_DEVICE: &str = "VFIO_GROUP_GET_DEVICE_FD";
const BINDS_DEVICE: &str = "VFIO_DEVICE_BIND_IOMMUFD";
/// errno EIO: `VFIO_DEVICE_RESET` could not reset every queue.
const EIO: i32 = 5;

/// Why no vfio-ap device was attached. The VM is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The VM has one already.
    #[error("the guest can have one vfio-ap device only; {mdev} would be its second")]
    SecondDevice {
        /// The device that was to be attached.
        mdev: String,
        /// The kernel's answer, if it was asked.
        #[source]
        source: Option<KernelError>,
    },
    /// Another program has it.
    #[error("{mdev} is in use: end the guest that has it, or take another mediated device")]
    Busy {
        /// The device that was to be attached.
        mdev: String,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// The host does not open it.
    #[error("{mdev} can't be opened for the guest")]
    Open {
        /// The device that was to be attached.
        mdev: String,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// The host does not say what it is.
    #[error("{mdev} does not say what device it is")]
    Info {
        /// The device that was to be attached.
        mdev: String,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// It is something else, for example a vfio-ccw device.
    #[error("{mdev} is not a vfio-ap device: its VFIO flags are {flags:#x}, without AP")]
    NotAp {
        /// The device that was to be attached.
        mdev: String,
        /// `VFIO_DEVICE_FLAGS_*`.
        flags: u32,
    },
    /// The queues could not be zeroized between guests.
    #[error("{mdev} can't be reset: its VFIO flags are {flags:#x}, without RESET")]
    NoReset {
        /// The device that was to be attached.
        mdev: String,
        /// `VFIO_DEVICE_FLAGS_*`.
        flags: u32,
    },
}

/// Something about an attached device that does not work as it should; the guest runs all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The host's kernel is too old for this interrupt.
    #[error("{mdev} has no {} interrupt ({}): {}", name(*irq), since(*irq), loss(*irq))]
    NotOffered {
        /// The device.
        mdev: String,
        /// The interrupt.
        irq: ApIrq,
    },
    /// The interrupt is there but can't signal an eventfd.
    #[error("{mdev} can't signal its {} interrupt (count {}, flags {:#x}): {}", name(*irq), info.count, info.flags, loss(*irq))]
    NotUsable {
        /// The device.
        mdev: String,
        /// The interrupt.
        irq: ApIrq,
        /// What the kernel says of it.
        info: IrqInfo,
    },
    /// The host refused to describe or register the interrupt.
    #[error("{mdev} did not register its {} interrupt: {}", name(*irq), loss(*irq))]
    Refused {
        /// The device.
        mdev: String,
        /// The interrupt.
        irq: ApIrq,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// There is no eventfd to register.
    #[error("no eventfd for the {} interrupt of {mdev}: {}", name(*irq), loss(*irq))]
    NoEventFd {
        /// The device.
        mdev: String,
        /// The interrupt.
        irq: ApIrq,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// EIO at a reset: the queues were reset, but for some that could not be.
    #[error(
        "{mdev} has a queue that could not be reset; it is deconfigured, checkstopped or broken (see lszcrypt -V on the host)"
    )]
    ResetIncomplete {
        /// The device.
        mdev: String,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
    /// The host refused the reset: no queue was reset.
    #[error("{mdev} was not reset: its queues may hold messages from before")]
    ResetRefused {
        /// The device.
        mdev: String,
        /// The kernel's answer.
        #[source]
        source: KernelError,
    },
}

fn name(irq: ApIrq) -> &'static str {
    match irq {
        ApIrq::ReleaseRequest => "release request",
        ApIrq::ConfigChanged => "configuration change",
    }
}

fn since(irq: ApIrq) -> &'static str {
    match irq {
        ApIrq::ReleaseRequest => "Linux has it since 6.5",
        ApIrq::ConfigChanged => "Linux has it since 6.17",
    }
}

fn loss(irq: ApIrq) -> &'static str {
    match irq {
        ApIrq::ReleaseRequest => "removing the mdev on the host blocks until the guest ends",
        ApIrq::ConfigChanged => "changes of the guest's queues are not reported",
    }
}

/// A vfio-ap device, attached.
///
/// Dropping it unregisters its interrupts and closes it, upon which the kernel takes the queues from
/// the guest and resets them.
#[derive(Debug)]
pub struct VfioAp {
    id: String,
    name: String,
    device: Box<dyn ApDevice>,
    release_requests: Option<EventFd>,
    config_changes: Option<EventFd>,
}

/// A device, and what to tell the user about it.
#[derive(Debug)]
#[must_use = "dropping it detaches the device"]
pub struct Attached {
    /// The device.
    pub device: VfioAp,
    /// What does not work as it should, in the order in which it was found.
    pub warnings: Vec<Warning>,
}

impl VfioAp {
    /// Attaches the device that `source` names to `vm`. `id` is the name that the user gave it.
    ///
    /// In this order: open, `GET_INFO`, for each interrupt `GET_IRQ_INFO` and `SET_IRQS`, reset. An
    /// interrupt that is missing or refused and a reset that fails are warnings, as in QEMU
    /// (`hw/vfio/ap.c: vfio_ap_realize`, `vfio_ap_reset`); each is kept apart.
    ///
    /// Use [`ApBus`] where a second device could be asked for: kernels from 5.15 to 7.0, unless a stable
    /// release has mended it (6.12.117), refuse it with EPERM but spoil the first one's AQIC interception before they do.
    ///
    /// # Errors
    /// See [`AttachError`]. The device is closed again.
    pub fn attach(vm: &dyn Vm, source: ApSource, id: impl Into<String>) -> Result<Attached, AttachError> {
        let name = source.to_string();
        let opened = vm.open_ap(source).map_err(|source| match (source.request, source.errno.errno()) {
            // Opening a file can be EPERM too, for example where a control group has no leave to.
            (OPENS_DEVICE | BINDS_DEVICE, EPERM) => {
                AttachError::SecondDevice { mdev: name.clone(), source: Some(source) }
            }
            (_, EBUSY) => AttachError::Busy { mdev: name.clone(), source },
            _ => AttachError::Open { mdev: name.clone(), source },
        });
        Self::set_up(opened?, name, id)
    }

    /// The second half of [`Self::attach`], for a VMM that has opened the device itself; `name` is what
    /// messages shall call it, for example its directory in sysfs.
    ///
    /// # Errors
    /// See [`AttachError`]. The device is closed.
    pub fn set_up(
        device: Box<dyn ApDevice>,
        name: impl Into<String>,
        id: impl Into<String>,
    ) -> Result<Attached, AttachError> {
        let name = name.into();
        let mdev = || name.clone();
        let info = device.info().map_err(|source| AttachError::Info { mdev: mdev(), source })?;
        if info.flags & ApDeviceInfo::FLAG_AP == 0 {
            return Err(AttachError::NotAp { mdev: mdev(), flags: info.flags });
        }
        if info.flags & ApDeviceInfo::FLAG_RESET == 0 {
            return Err(AttachError::NoReset { mdev: mdev(), flags: info.flags });
        }
        let mut device = Self { id: id.into(), name, device, release_requests: None, config_changes: None };
        let mut warnings = Vec::new();
        for irq in [ApIrq::ReleaseRequest, ApIrq::ConfigChanged] {
            match device.register(irq, info.num_irqs) {
                Ok(event) => *device.slot(irq) = Some(event),
                Err(warning) => warnings.push(warning),
            }
        }
        warnings.extend(device.reset().err());
        Ok(Attached { device, warnings })
    }

    /// The user's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What messages call it: its directory in sysfs, or the descriptor it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Signalled when the host wants the device back: answer by detaching it. Non-blocking.
    pub fn release_requests(&self) -> Option<&EventFd> {
        self.release_requests.as_ref()
    }

    /// Signalled when the host has changed the guest's matrix. Non-blocking.
    pub fn config_changes(&self) -> Option<&EventFd> {
        self.config_changes.as_ref()
    }

    /// Resets the queues: due at every reset of the guest, whatever its kind.
    ///
    /// # Errors
    /// A warning that says what was not reset; the guest goes on.
    pub fn reset(&self) -> Result<(), Warning> {
        let mdev = || self.name.clone();
        self.device.reset().map_err(|source| match source.errno.errno() {
            EIO => Warning::ResetIncomplete { mdev: mdev(), source },
            _ => Warning::ResetRefused { mdev: mdev(), source },
        })
    }

    /// Takes the device from the guest; says what the host refused. Dropping does the same and logs
    /// that.
    pub fn detach(mut self) -> Vec<KernelError> {
        self.unregister()
    }

    /// Makes an eventfd and registers it for `irq`, of which the host has `offered`.
    fn register(&self, irq: ApIrq, offered: u32) -> Result<EventFd, Warning> {
        let mdev = || self.name.clone();
        if irq.index() >= offered {
            return Err(Warning::NotOffered { mdev: mdev(), irq });
        }
        let refused = |source| Warning::Refused { mdev: mdev(), irq, source };
        let info = self.device.irq_info(irq).map_err(refused)?;
        if info.count == 0 || info.flags & IRQ_INFO_EVENTFD == 0 {
            return Err(Warning::NotUsable { mdev: mdev(), irq, info });
        }
        let event = EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(|source| Warning::NoEventFd {
            mdev: mdev(),
            irq,
            source,
        })?;
        self.device.set_irq(irq, Some(&event)).map_err(refused)?;
        Ok(event)
    }

    fn slot(&mut self, irq: ApIrq) -> &mut Option<EventFd> {
        match irq {
            ApIrq::ReleaseRequest => &mut self.release_requests,
            ApIrq::ConfigChanged => &mut self.config_changes,
        }
    }

    /// Unregisters what is registered, last first.
    fn unregister(&mut self) -> Vec<KernelError> {
        [ApIrq::ConfigChanged, ApIrq::ReleaseRequest]
            .into_iter()
            .filter(|irq| self.slot(*irq).take().is_some())
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|irq| self.device.set_irq(irq, None).err())
            .collect()
    }
}

/// `VFIO_IRQ_INFO_EVENTFD` (`include/uapi/linux/vfio.h`).
const IRQ_INFO_EVENTFD: u32 = 1 << 0;

impl Drop for VfioAp {
    fn drop(&mut self) {
        // What refuses the one refuses the other.
        if let Some(error) = self.unregister().first() {
            tracing::warn!(id = self.id, %error, errno = %error.errno, "vfio-ap interrupts not unregistered");
        }
    }
}

/// The place of a VM's vfio-ap device: there is one.
#[derive(Debug, Default)]
pub struct ApBus {
    device: Option<VfioAp>,
}

impl ApBus {
    /// [`VfioAp::attach`], but the host is not even asked if there is a device already. Returns the
    /// device and what to tell the user about it.
    ///
    /// # Errors
    /// [`AttachError::SecondDevice`] if the place is taken, else as [`VfioAp::attach`].
    pub fn attach(
        &mut self,
        vm: &dyn Vm,
        source: ApSource,
        id: impl Into<String>,
    ) -> Result<(&VfioAp, Vec<Warning>), AttachError> {
        if self.device.is_some() {
            return Err(AttachError::SecondDevice { mdev: source.to_string(), source: None });
        }
        let Attached { device, warnings } = VfioAp::attach(vm, source, id)?;
        Ok((self.device.insert(device), warnings))
    }

    /// The device, if there is one.
    pub fn device(&self) -> Option<&VfioAp> {
        self.device.as_ref()
    }

    /// Resets the device, if there is one, as [`VfioAp::reset`].
    ///
    /// # Errors
    /// A warning that says what was not reset.
    pub fn reset(&self) -> Result<(), Warning> {
        self.device.as_ref().map_or(Ok(()), VfioAp::reset)
    }

    /// Takes the device out.
    pub fn remove(&mut self) -> Option<VfioAp> {
        self.device.take()
    }

    /// Puts back the device that was taken out, for example to reset it elsewhere.
    pub fn put_back(&mut self, device: VfioAp) {
        self.device = Some(device);
    }
}

#[cfg(test)]
mod tests;
