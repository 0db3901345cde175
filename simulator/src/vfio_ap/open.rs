//! Opening an mdev for a VM, what can be asked of it while it is open, and closing it.

use super::Guest;
use crate::{
    InterruptSink, KernelProfile, QueueStatus, SimHost,
    host::State,
    sysfs::Errno,
    vfio::{Access, AddressSpace, Registration, Rules, Share},
};
use adjunct_ap::{Apqn, Matrix, Uuid};
use adjunct_hypervisor::{ApDeviceInfo, EventFd, IrqInfo};
use std::{
    fmt::Debug,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

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

/// The masks that KVM was last given, and KVM.
#[derive(Debug)]
pub(super) struct Given {
    crypto: Arc<dyn GuestCrypto>,
    masks: Mutex<Matrix>,
}

impl Given {
    fn new(crypto: Arc<dyn GuestCrypto>) -> Self {
        Self { crypto, masks: Mutex::new(Matrix::EMPTY) }
    }

    pub(super) fn set_masks(&self, matrix: &Matrix) {
        self.crypto.set_masks(matrix);
        *self.masks.lock().unwrap_or_else(PoisonError::into_inner) = *matrix;
    }

    pub(super) fn clear_masks(&self) {
        self.crypto.clear_masks();
        *self.masks.lock().unwrap_or_else(PoisonError::into_inner) = Matrix::EMPTY;
    }

    fn masks(&self) -> Matrix {
        *self.masks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is told of an interrupt of the device.
pub(crate) trait Trigger: Debug + Send + Sync {
    /// The interrupt has come.
    fn signal(&self);
}

impl Trigger for EventFd {
    fn signal(&self) {
        // A counter that is full has been signalled more often than anybody can read.
        let _ = self.write(1);
    }
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

/// What a kernel says of every device: see [`OpenMdev::info`].
pub(crate) fn device_info(profile: KernelProfile) -> ApDeviceInfo {
    ApDeviceInfo {
        flags: ApDeviceInfo::FLAG_RESET | ApDeviceInfo::FLAG_AP,
        num_regions: 0,
        num_irqs: profile.num_irqs(),
    }
}

/// What a kernel says of every device's interrupts: see [`OpenMdev::irq_info`].
pub(crate) fn irq_info(profile: KernelProfile, index: u32) -> Result<IrqInfo, i32> {
    if index < profile.num_irqs() { Ok(IrqInfo { flags: IRQ_EVENTFD, count: 1 }) } else { Err(libc::EINVAL) }
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
    /// What else is held of the device until it is closed.
    #[expect(dead_code, reason = "held for its drop")]
    shares: Vec<Registration>,
}

impl OpenMdev {
    /// Opens the device `uuid` the way that excludes all others: by its group, with an address space of its own.
    pub(crate) fn alone(
        host: &SimHost,
        uuid: Uuid,
        vm: VmId,
        crypto: Arc<dyn GuestCrypto>,
    ) -> Result<Self, Errno> {
        let file = Registration::take(host, uuid, Share::File)?;
        let group = Registration::take(host, uuid, Share::Group)?;
        let open = Self::open(host, uuid, vm, crypto, vec![group, file])?;
        open.attach(Some(AddressSpace::new(Rules::Type1v2, host.profile()).into()))?;
        Ok(open)
    }

    /// vfio_ap opens the device `uuid`, which nobody has open, for a VM. The caller holds a file of the device.
    ///
    /// # Errors
    /// ENODEV without such a device; EPERM when this VM has a vfio-ap device.
    pub(crate) fn open(
        host: &SimHost,
        uuid: Uuid,
        vm: VmId,
        crypto: Arc<dyn GuestCrypto>,
        shares: Vec<Registration>,
    ) -> Result<Self, Errno> {
        host.state().open(uuid, vm, crypto)?;
        Ok(Self { host: host.clone(), uuid, vm, shares })
    }

    /// Gives the device an address space, another one, or none. What it used in the old one it must not use any more.
    ///
    /// # Errors
    /// As [`AddressSpace::attach`].
    pub(crate) fn attach(&self, space: Option<Arc<AddressSpace>>) -> Result<(), Errno> {
        let mut state = self.host.state();
        let same = match (&state.vfio.mdev(self.uuid)?.dma, &space) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if same {
            return Ok(());
        }
        space.iter().try_for_each(|space| space.attach(self.uuid))?;
        if let Some(old) = std::mem::replace(&mut state.vfio.mdev_mut(self.uuid)?.dma, space) {
            old.detach(self.uuid);
            state.unmapped(self.uuid, &(0..u64::MAX));
        }
        Ok(())
    }

    /// The address space of the device.
    fn space(&self) -> Option<Arc<AddressSpace>> {
        self.host.state().vfio.mdev(self.uuid).ok()?.dma.clone()
    }

    /// `VFIO_DEVICE_GET_INFO`: flags RESET and AP, no regions, 1 or 2 interrupts by kernel.
    pub fn info(&self) -> ApDeviceInfo {
        device_info(self.host.profile())
    }

    /// `VFIO_DEVICE_GET_IRQ_INFO` of an index.
    ///
    /// # Errors
    /// EINVAL for an index that this kernel does not have.
    pub fn irq_info(&self, index: u32) -> Result<IrqInfo, i32> {
        irq_info(self.host.profile(), index)
    }

    /// `VFIO_DEVICE_SET_IRQS` with one eventfd, or none (-1), which clears. Triggers outlive the close of the
    /// device, as in the kernel.
    ///
    /// # Errors
    /// EINVAL for an index that this kernel does not have.
    pub fn set_irq(&self, index: u32, event: Option<EventFd>) -> Result<(), i32> {
        self.set_trigger(index, event.map(|event| Box::new(event) as Box<dyn Trigger>))
    }

    /// [`OpenMdev::set_irq`] for whoever is no file of this process.
    pub(crate) fn set_trigger(&self, index: u32, trigger: Option<Box<dyn Trigger>>) -> Result<(), i32> {
        self.irq_info(index)?;
        let index = usize::try_from(index).map_err(|_| libc::EINVAL)?;
        let mut state = self.host.state();
        let triggers = &mut state.vfio.mdev_mut(self.uuid)?.triggers;
        *triggers.get_mut(index).ok_or(libc::EINVAL)? = trigger;
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
    ///
    /// # Errors
    /// EINVAL for what is no multiple of a page, EEXIST when some of it is mapped (`drivers/vfio/vfio_iommu_type1.c:
    /// vfio_dma_do_map`, 7.2).
    pub fn map_dma(&self, memory: Range<u64>) -> Result<(), i32> {
        let space = self.space().ok_or(libc::EINVAL)?;
        space.map(memory.start, 0, memory.end.saturating_sub(memory.start), Access::ALL)
    }

    /// `VFIO_IOMMU_UNMAP_DMA`: queues that notify into `memory` have their interruptions disabled. The answer is how
    /// many bytes were mapped.
    ///
    /// # Errors
    /// EINVAL for what is no multiple of a page, or when a mapping is only partly inside (`vfio_dma_do_unmap`).
    pub fn unmap_dma(&self, memory: Range<u64>) -> Result<u64, i32> {
        let space = self.space().ok_or(libc::EINVAL)?;
        space.unmap(&self.host, memory.start, memory.end.saturating_sub(memory.start))
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
        // Last, with no lock held: this may be all that kept the VM.
        drop(guest);
    }
}

impl State {
    /// The masks of the guest that has an mdev open: `None` without such an mdev, `Some(None)` when nobody has it open.
    pub(crate) fn guest_masks(&self, uuid: Uuid) -> Option<Option<Matrix>> {
        let mdev = self.vfio.mdevs.get(&uuid)?;
        Some(mdev.guest.as_ref().map(|guest| guest.crypto.masks()))
    }

    /// `vfio_ap_mdev_open_device`, `vfio_ap_mdev_set_kvm`.
    fn open(&mut self, uuid: Uuid, vm: VmId, crypto: Arc<dyn GuestCrypto>) -> Result<(), Errno> {
        self.vfio.mdev(uuid)?;
        let taken =
            self.vfio.mdevs.values().any(|mdev| mdev.guest.as_ref().is_some_and(|guest| guest.vm == vm));
        if !taken || self.profile.refused_mdev_takes_the_hook() {
            self.vfio.hooks.insert(vm, uuid);
        }
        if taken {
            return Err(libc::EPERM);
        }
        let mdev = self.vfio.mdev_mut(uuid)?;
        mdev.guest = Some(Guest { vm, crypto: Arc::new(Given::new(crypto)) });
        mdev.update_guest();
        Ok(())
    }

    /// `vfio_ap_mdev_close_device`, `vfio_ap_mdev_unset_kvm`. The answer keeps the VM until it is dropped.
    fn close(&mut self, uuid: Uuid) -> Option<impl Sized + use<>> {
        let mdev = self.vfio.mdevs.get_mut(&uuid)?;
        let guest = mdev.guest.take()?;
        guest.crypto.clear_masks();
        self.vfio.hooks.remove(&guest.vm);
        let queues = self.vfio.linked(uuid, |_| true);
        // Nobody is left who could be told.
        let _ = self.reset_queues(&queues);
        if let Some(space) = self.vfio.mdevs.get_mut(&uuid).and_then(|mdev| mdev.dma.take()) {
            space.detach(uuid);
        }
        Some(guest)
    }
}
