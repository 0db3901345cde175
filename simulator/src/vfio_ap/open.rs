//! Opening an mdev for a VM, what can be asked of it while it is open, and closing it.

use super::Guest;
use crate::{InterruptSink, QueueStatus, SimHost, host::State, sysfs::Errno};
use adjunct_ap::{Apqn, Matrix, Uuid};
use adjunct_hypervisor::{ApDeviceInfo, EventFd, IrqInfo};
use std::{fmt::Debug, ops::Range, sync::Arc};

/// `VFIO_IRQ_INFO_EVENTFD`.
const IRQ_EVENTFD: u32 = 1;

/// Which VM. Every VM of a host has its own number ([`SimHost::new_vm_id`]), never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmId(pub(crate) u64);

/// What vfio_ap asks of KVM (`arch/s390/kvm/kvm-s390.c: kvm_arch_crypto_set_masks`,
/// `kvm_arch_crypto_clear_masks`).
///
/// Called with the host's lock held: take the VM's lock inside, never call the host from there, and never wait for
/// a vCPU that may be waiting for the host.
pub trait GuestCrypto: Debug + Send + Sync {
    /// Takes every vCPU out of SIE and writes `matrix` into the APCB of the guest's CRYCB.
    fn set_masks(&self, matrix: &Matrix);

    /// Takes every vCPU out of SIE and zeroes the APCBs.
    fn clear_masks(&self);
}

/// How a guest wants to be told of replies: what its PQAP(AQIC) says.
#[derive(Clone, Debug)]
pub struct Notification {
    /// GR2: absolute address of the notification-indicator byte. `None` when it is in no memory slot of the VM.
    pub nib: Option<u64>,
    /// The guest's interruption subclass, GR1 bits 61-63.
    pub isc: u8,
    /// Whom to tell.
    pub sink: Arc<dyn InterruptSink>,
}

/// An mdev that a VM has open. Dropping it closes it: the guest's masks are cleared and every queue of the mdev
/// is reset.
///
/// None of its methods may be called with a lock held that [`GuestCrypto`] takes.
#[derive(Debug)]
pub struct OpenMdev {
    host: SimHost,
    uuid: Uuid,
    vm: VmId,
}

impl OpenMdev {
    pub(crate) fn new(host: SimHost, uuid: Uuid, vm: VmId) -> Self {
        Self { host, uuid, vm }
    }

    /// `VFIO_DEVICE_GET_INFO`: flags RESET and AP, no regions, 1 or 2 interrupts by kernel.
    pub fn info(&self) -> ApDeviceInfo {
        ApDeviceInfo {
            flags: ApDeviceInfo::FLAG_RESET | ApDeviceInfo::FLAG_AP,
            num_regions: 0,
            num_irqs: self.host.profile().num_irqs(),
        }
    }

    /// `VFIO_DEVICE_GET_IRQ_INFO` of an index.
    ///
    /// # Errors
    /// EINVAL for an index that this kernel does not have.
    pub fn irq_info(&self, index: u32) -> Result<IrqInfo, i32> {
        if index < self.host.profile().num_irqs() {
            Ok(IrqInfo { flags: IRQ_EVENTFD, count: 1 })
        } else {
            Err(libc::EINVAL)
        }
    }

    /// `VFIO_DEVICE_SET_IRQS` with one eventfd, or none (-1), which clears. Triggers outlive the close of the
    /// device, as in the kernel.
    ///
    /// # Errors
    /// EINVAL for an index that this kernel does not have.
    pub fn set_irq(&self, index: u32, event: Option<EventFd>) -> Result<(), i32> {
        self.irq_info(index)?;
        let index = usize::try_from(index).map_err(|_| libc::EINVAL)?;
        let mut state = self.host.state();
        let triggers = &mut state.vfio.mdev_mut(self.uuid)?.triggers;
        *triggers.get_mut(index).ok_or(libc::EINVAL)? = event;
        Ok(())
    }

    /// `VFIO_DEVICE_RESET`: zeroizes every queue that is linked to the mdev, in the guest's matrix or not.
    ///
    /// # Errors
    /// EIO when a queue could not be reset; the others are.
    pub fn reset(&self) -> Result<(), i32> {
        let mut state = self.host.state();
        let queues = state.vfio.linked(self.uuid, |_| true);
        state.reset_queues(&queues)
    }

    /// `VFIO_IOMMU_MAP_DMA`: makes `memory` (IOVA = absolute address of the guest) reachable for the device.
    /// Without it the guest can't enable interruptions.
    pub fn map_dma(&self, memory: Range<u64>) {
        if let Ok(mdev) = self.host.state().vfio.mdev_mut(self.uuid) {
            mdev.dma.push(memory);
        }
    }

    /// `VFIO_IOMMU_UNMAP_DMA`: queues that notify into `memory` have their interruptions disabled.
    pub fn unmap_dma(&self, memory: Range<u64>) {
        self.host.state().unmap(self.uuid, &memory);
    }

    /// The hook that KVM calls for an intercepted PQAP(AQIC): enables interruptions of a queue, or disables them
    /// (`None`). The status is for the guest's GR1; its condition code is 3 when the response code is not 0.
    pub fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus {
        self.host.state().aqic(self.uuid, self.vm, apqn, notification)
    }

    /// The name of the mdev.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl Drop for OpenMdev {
    fn drop(&mut self) {
        let guest = self.host.state().close(self.uuid);
        self.host.closed();
        // Last, with no lock held: this may be all that kept the VM.
        drop(guest);
    }
}

impl State {
    /// `vfio_ap_mdev_open_device`, `vfio_ap_mdev_set_kvm`.
    pub(crate) fn open(&mut self, uuid: Uuid, vm: VmId, crypto: Arc<dyn GuestCrypto>) -> Result<(), Errno> {
        let mdev = self.vfio.mdev(uuid)?;
        if mdev.removing.is_some() {
            return Err(libc::ENODEV);
        }
        if mdev.guest.is_some() {
            return Err(libc::EBUSY);
        }
        let taken =
            self.vfio.mdevs.values().any(|mdev| mdev.guest.as_ref().is_some_and(|guest| guest.vm == vm));
        if !taken || self.profile.refused_mdev_takes_the_hook() {
            self.vfio.hooks.insert(vm, uuid);
        }
        if taken {
            return Err(libc::EPERM);
        }
        let mdev = self.vfio.mdev_mut(uuid)?;
        mdev.guest = Some(Guest { vm, crypto });
        mdev.update_guest();
        Ok(())
    }

    /// `vfio_ap_mdev_close_device`, `vfio_ap_mdev_unset_kvm`. The answer keeps the VM until it is dropped.
    fn close(&mut self, uuid: Uuid) -> Option<impl Sized + use<>> {
        let mdev = self.vfio.mdevs.get_mut(&uuid)?;
        let guest = mdev.guest.take()?;
        mdev.dma.clear();
        guest.crypto.clear_masks();
        self.vfio.hooks.remove(&guest.vm);
        let removing = mdev.removing.is_some();
        let queues = self.vfio.linked(uuid, |_| true);
        // Nobody is left who could be told.
        let _ = self.reset_queues(&queues);
        if removing {
            self.remove_mdev(uuid);
        }
        Some(guest)
    }
}
