//! A VM in the simulated kernel, from `KVM_CREATE_VM` to the last reference: the object behind all its
//! file descriptors.

use super::{
    ap_device::SimApDevice,
    board::Board,
    clock::GuestClock,
    crycb,
    crypto::{Crypto, CryptoRefusal, SieBlock},
    host::{VmHeld, VmHost, VmMdev},
    model::GuestModel,
    storage::Memory,
};
use crate::{GuestCrypto, InterruptSink, VmId, lock::lock};
use adjunct_ap::Matrix;
use adjunct_hypervisor::{ApDevice, ApSource, CryptoAttribute, Floating, KernelError, Result, Tod, Vm};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

/// What errors and the list of acts call a VM.
pub(super) const THE_VM: &str = "the VM";

/// The crypto state behind the lock that stands for being in SIE: see [`Crypto`].
#[derive(Debug)]
pub(super) struct InSie(RwLock<Crypto>);

impl InSie {
    pub(super) fn new(crypto: Crypto) -> Self {
        Self(RwLock::new(crypto))
    }

    /// Enters SIE: nothing of the crypto state changes until the guard is dropped.
    pub(super) fn enter(&self) -> RwLockReadGuard<'_, Crypto> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every vCPU out of SIE and changes the crypto state.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Crypto) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl GuestCrypto for InSie {
    fn set_masks(&self, matrix: &Matrix) {
        self.change(|crypto| crypto.set_masks(matrix));
    }

    fn clear_masks(&self) {
        self.change(Crypto::clear_masks);
    }
}

/// Puts an adapter interruption where the machine puts it: the notification byte in guest memory, the
/// subclass in the GISA. It does not keep the VM alive.
#[derive(Debug)]
struct Gisa {
    memory: Arc<Memory>,
    board: Arc<Board>,
}

impl InterruptSink for Gisa {
    fn notify(&self, nib: u64, isc: u8) {
        // A byte outside memory was refused when interruptions were enabled.
        if self.memory.notify(nib).is_ok() {
            self.board.adapter_interruption(isc);
        }
    }
}

/// What the vCPUs, the devices and the VM itself share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) host: Arc<dyn VmHost>,
    pub(super) id: VmId,
    pub(super) model: GuestModel,
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) crypto: Arc<InSie>,
    pub(super) board: Arc<Board>,
    pub(super) clock: GuestClock,
    /// `kvm->arch.crypto.pqap_hook`: the open vfio-ap device.
    hook: RwLock<Option<Weak<dyn VmMdev>>>,
    /// The VFIO device of KVM, once it was needed.
    pub(super) vfio: Mutex<Option<VmHeld>>,
    /// What the kernel holds for the VM, newest first: dropped in that order, and after everything above.
    #[expect(dead_code, reason = "held for its drop")]
    held: Vec<VmHeld>,
}

impl Shared {
    /// The open vfio-ap device, if there is one.
    pub(super) fn hook(&self) -> Option<Arc<dyn VmMdev>> {
        self.hook.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// Where the guest's PQAP(AQIC) goes, held while an mdev is opened: no guest that has the masks finds no hook
    /// (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_set_kvm`, whose `get_update_locks_for_kvm` takes
    /// `pqap_hook_rwsem`, 6.12).
    pub(super) fn change_hook(&self) -> RwLockWriteGuard<'_, Option<Weak<dyn VmMdev>>> {
        self.hook.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where adapter interruptions go; `None` without memory.
    pub(super) fn sink(&self) -> Option<Arc<dyn InterruptSink>> {
        let memory = Arc::clone(self.memory.as_ref()?);
        Some(Arc::new(Gisa { memory, board: Arc::clone(&self.board) }))
    }

    /// Creates KVM's VFIO device unless the VM has it.
    fn create_vfio_device(&self) -> Result<()> {
        // An act may take its time, so the lock is not held meanwhile: see `Acts::act`.
        if lock(&self.vfio).is_none() {
            self.host.act("KVM_CREATE_DEVICE", "VFIO")?;
            lock(&self.vfio).get_or_insert_with(|| self.host.hold("KVM device VFIO"));
        }
        Ok(())
    }
}

/// A VM of the simulated host whose CPU model is frozen.
///
/// Besides what [`Vm`] offers it shows what SIE would be given, which a real host shows nobody.
#[derive(Clone, Debug)]
pub struct SimVm {
    pub(super) shared: Arc<Shared>,
}

impl SimVm {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { host, id, model, memory, crypto, vcpus, mut held } = parts;
        // The newest goes first.
        held.reverse();
        let clock = GuestClock::new(host.time());
        let board = Arc::new(Board::new(vcpus, host.time()));
        host.when_gone(board.clone());
        let (hook, vfio) = (RwLock::default(), Mutex::default());
        let shared = Shared { host, id, model, memory, crypto, board, clock, hook, vfio, held };
        Self { shared: Arc::new(shared) }
    }

    /// The crypto part of the SIE block of vCPU `id`; `None` if there is no such vCPU.
    pub fn sie_block(&self, id: u16) -> Option<SieBlock> {
        self.shared.crypto.enter().sie_block(id)
    }

    /// The VM's crypto control block, which the SIE blocks designate: see [`SieBlock::crycbd`].
    pub fn crycb(&self) -> [u8; crycb::LENGTH] {
        *self.shared.crypto.enter().crycb().as_bytes()
    }

    /// What SIE lets AP instructions of vCPU `id` have, read from those bytes; nothing if the vCPU's AP
    /// instructions are not interpreted.
    pub fn apcb(&self, id: u16) -> Matrix {
        let crypto = self.shared.crypto.enter();
        match crypto.sie_block(id) {
            Some(sie) if sie.interprets_ap() => crypto.masks(sie),
            _ => Matrix::EMPTY,
        }
    }

    /// [`Vm::open_ap`], with its own type.
    ///
    /// # Errors
    /// As there.
    pub fn open_ap(&self, source: ApSource) -> Result<SimApDevice> {
        let shared = &self.shared;
        let (uuid, backend) = super::ap_device::resolve(&*shared.host, &source)?;
        shared.create_vfio_device()?;
        SimApDevice::open(shared, uuid, backend)
    }
}

/// What a VM is made of when its CPU model freezes.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) host: Arc<dyn VmHost>,
    pub(super) id: VmId,
    pub(super) model: GuestModel,
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) crypto: Arc<InSie>,
    pub(super) vcpus: u16,
    /// What the kernel holds, oldest first.
    pub(super) held: Vec<VmHeld>,
}

impl Vm for SimVm {
    fn set_crypto(&self, attribute: CryptoAttribute) -> Result<()> {
        set_crypto(&*self.shared.host, &self.shared.crypto, attribute)
    }

    fn inject(&self, interruption: Floating) -> Result<()> {
        // A guest that prints a line gets several service signals; machine checks are the host's rare news.
        if matches!(interruption, Floating::MachineCheck { .. }) {
            self.shared.host.act("KVM_DEV_FLIC_ENQUEUE", THE_VM)?;
        }
        self.shared.board.inject(interruption);
        Ok(())
    }

    fn clear_interruptions(&self) -> Result<()> {
        self.shared.host.act("KVM_DEV_FLIC_CLEAR_IRQS", THE_VM)?;
        self.shared.board.clear_floating();
        Ok(())
    }

    fn tod(&self) -> Result<Tod> {
        Ok(Tod { epoch_index: 0, clock: self.shared.clock.tod() })
    }

    fn set_tod(&self, Tod { epoch_index, clock }: Tod) -> Result<()> {
        const REQUEST: &str = "KVM_S390_VM_TOD/EXT";
        // The simulated CPU has one epoch.
        if epoch_index != 0 {
            return Err(KernelError::new(REQUEST, THE_VM, libc::EINVAL));
        }
        self.shared.host.act(REQUEST, THE_VM)?;
        self.shared.clock.set_tod(clock);
        Ok(())
    }

    fn open_ap(&self, source: ApSource) -> Result<Box<dyn ApDevice>> {
        Ok(Box::new(Self::open_ap(self, source)?))
    }
}

/// `KVM_SET_DEVICE_ATTR` of group `KVM_S390_VM_CRYPTO`, before and after vCPUs exist.
pub(super) fn set_crypto(host: &dyn VmHost, crypto: &InSie, attribute: CryptoAttribute) -> Result<()> {
    let refused = |refusal| {
        let errno = match refusal {
            CryptoRefusal::NoWrapping => libc::EINVAL,
            CryptoRefusal::NoAp => libc::EOPNOTSUPP,
        };
        KernelError::new(attribute.name(), THE_VM, errno)
    };
    crypto.enter().check(attribute).map_err(refused)?;
    host.act(attribute.name(), THE_VM)?;
    crypto.change(|crypto| crypto.set(attribute)).map_err(refused)
}
