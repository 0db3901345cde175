//! A VM as other parts of the kernel hold it: what VFIO is told of by KVM's VFIO device.

use super::vm::{Shared, SimVm};
use crate::{OpenMdev, SimHost, lock::lock, sysfs::Errno};
use adjunct_ap::Uuid;
use std::sync::{Arc, Weak};

/// A reference to a VM (`kvm_get_kvm`).
#[derive(Clone, Debug)]
pub(crate) struct Kvm(SimVm);

/// What does not keep a VM (`struct kvm *` of a VFIO file).
#[derive(Clone, Debug)]
pub(crate) struct KvmRef(Weak<Shared>);

impl KvmRef {
    /// The VM, unless it is going (`kvm_get_kvm_safe`).
    pub(crate) fn get(&self) -> Option<Kvm> {
        self.0.upgrade().map(|shared| Kvm(SimVm { shared }))
    }
}

impl Kvm {
    pub(crate) fn of(vm: &SimVm) -> Self {
        Self(vm.clone())
    }

    pub(crate) fn vm(&self) -> &SimVm {
        &self.0
    }

    pub(crate) fn weak(&self) -> KvmRef {
        KvmRef(Arc::downgrade(&self.0.shared))
    }

    /// Opens an mdev for the VM: from when its masks are there, the guest's PQAP(AQIC) goes to it, until it is closed.
    ///
    /// # Errors
    /// As [`OpenMdev::open`].
    pub(crate) fn open(&self, host: &SimHost, uuid: Uuid) -> Result<Arc<OpenMdev>, Errno> {
        let shared = &self.0.shared;
        let mut hook = shared.change_hook();
        let mdev = Arc::new(OpenMdev::open(host, uuid, shared.id, shared.crypto.clone(), Vec::new())?);
        let weak: Weak<OpenMdev> = Arc::downgrade(&mdev);
        *hook = Some(weak);
        Ok(mdev)
    }

    /// Takes the place of the VM's VFIO device.
    ///
    /// # Errors
    /// EBUSY when it has one (`virt/kvm/vfio.c: kvm_vfio_create`).
    pub(crate) fn take_vfio_device(&self) -> Result<(), Errno> {
        let host = &self.0.shared.host;
        host.act("KVM_CREATE_DEVICE", "VFIO").map_err(|refused| refused.errno.errno())?;
        let mut vfio = lock(&self.0.shared.vfio);
        match *vfio {
            Some(_) => Err(libc::EBUSY),
            None => {
                *vfio = Some(host.hold("KVM device VFIO"));
                Ok(())
            }
        }
    }

    /// The VM has no VFIO device any more.
    pub(crate) fn give_vfio_device_back(&self) {
        *lock(&self.0.shared.vfio) = None;
    }
}
