//! A VM whose CPU model is frozen.

use super::{attributes::VmAttributes, ioctls::descriptor, refused};
use crate::{
    ApDevice, ApSource, CryptoAttribute, Floating, GuestMemory, Result, Tod, Vm,
    vfio::{self, KvmVfio},
};
use kvm_bindings::{
    KVM_CAP_S390_MEM_OP_EXTENSION, KVM_DEV_FLIC_CLEAR_IRQS, KVM_DEV_FLIC_ENQUEUE, KVM_S390_INT_SERVICE,
    KVM_S390_MCHK, kvm_device_attr, kvm_s390_irq,
};
use kvm_ioctls::{DeviceFd, VmFd};
use std::sync::{Arc, Mutex, PoisonError};

/// What errors call a VM.
pub(super) const THE_VM: &str = "the VM";

/// A VM of KVM. Its vCPUs hold it too.
#[derive(Debug)]
pub(super) struct KvmVm {
    flic: DeviceFd,
    /// KVM's VFIO device, once it was needed: a VM has one.
    vfio: Mutex<Option<Arc<KvmVfio>>>,
    /// Whether KVM looks at storage keys when it is asked for an access of the guest's; it does since Linux 5.18.
    pub(super) checks_keys: bool,
    pub(super) vm: VmFd,
    /// All memory that KVM was told of. Last: it goes after everything by which KVM could use it.
    pub(super) memory: Vec<GuestMemory>,
}

impl KvmVm {
    pub(super) fn new(vm: VmFd, flic: DeviceFd, memory: Vec<GuestMemory>) -> Self {
        let checks_keys = vm.check_extension_raw(KVM_CAP_S390_MEM_OP_EXTENSION.into()) > 0;
        Self { flic, vfio: Mutex::default(), checks_keys, vm, memory }
    }

    fn vfio(&self) -> Result<Arc<KvmVfio>> {
        let mut vfio = self.vfio.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vfio) = &*vfio {
            return Ok(Arc::clone(vfio));
        }
        let device = Arc::new(KvmVfio::create(descriptor(&self.vm))?);
        Ok(Arc::clone(vfio.insert(device)))
    }
}

/// `interruption` as the FLIC takes it.
fn irq(interruption: Floating) -> kvm_s390_irq {
    let mut irq = kvm_s390_irq::default();
    match interruption {
        Floating::Service { parameter } => {
            irq.type_ = KVM_S390_INT_SERVICE.into();
            irq.u.ext.ext_params = parameter;
        }
        Floating::MachineCheck { cr14, mcic } => {
            irq.type_ = KVM_S390_MCHK.into();
            irq.u.mchk.cr14 = cr14;
            irq.u.mchk.mcic = mcic;
        }
    }
    irq
}

impl Vm for KvmVm {
    fn set_crypto(&self, attribute: CryptoAttribute) -> Result<()> {
        VmAttributes::set_crypto(&self.vm, attribute)
    }

    fn inject(&self, interruption: Floating) -> Result<()> {
        let irq = irq(interruption);
        let request = kvm_device_attr {
            group: KVM_DEV_FLIC_ENQUEUE,
            // The length of what is enqueued.
            attr: size_of_val(&irq) as u64,
            addr: (&raw const irq).expose_provenance() as u64,
            flags: 0,
        };
        self.flic.set_device_attr(&request).map_err(|errno| refused("KVM_DEV_FLIC_ENQUEUE", THE_VM, errno))
    }

    fn clear_interruptions(&self) -> Result<()> {
        let request = kvm_device_attr { group: KVM_DEV_FLIC_CLEAR_IRQS, ..Default::default() };
        self.flic.set_device_attr(&request).map_err(|errno| refused("KVM_DEV_FLIC_CLEAR_IRQS", THE_VM, errno))
    }

    fn tod(&self) -> Result<Tod> {
        VmAttributes::tod(&self.vm)
    }

    fn set_tod(&self, tod: Tod) -> Result<()> {
        VmAttributes::set_tod(&self.vm, tod)
    }

    fn open_ap(&self, source: ApSource) -> Result<Box<dyn ApDevice>> {
        // A VM without memory has nothing to map for the device.
        let nothing = GuestMemory::new();
        let memory = self.memory.last().unwrap_or(&nothing);
        Ok(Box::new(vfio::open(source, &self.vfio()?, memory)?))
    }
}
