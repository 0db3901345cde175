//! Which VFIO files KVM knows.

use super::ioctl;
use crate::{KernelError, Result};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// KVM's VFIO pseudo device of one VM: where KVM is told which VFIO files belong to the VM.
///
/// A VM can have one vfio-ap device. This knows whether there is one, so that the kernel is not asked for a second: it
/// answers EPERM, but from 5.15 to 7.0, unless mended by a stable release (6.12.117), it spoils the first one's AQIC
/// interception before it does (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_set_kvm`).
#[derive(Debug)]
pub struct KvmVfio {
    device: OwnedFd,
    taken: AtomicBool,
}

impl KvmVfio {
    /// `KVM_CREATE_DEVICE` with `KVM_DEV_TYPE_VFIO`, on the file of a VM.
    ///
    /// # Errors
    /// EBUSY if the VM has one: there is one for a VM (`virt/kvm/vfio.c: kvm_vfio_create`, 7.2).
    pub fn create(vm: BorrowedFd<'_>) -> Result<Self> {
        ioctl::create_kvm_vfio(vm).map(Self::from_device)
    }

    /// Takes over one that the VMM has created itself.
    pub fn from_device(fd: OwnedFd) -> Self {
        Self { device: fd, taken: AtomicBool::new(false) }
    }

    /// Takes the place of the VM's vfio-ap device.
    ///
    /// # Errors
    /// EPERM if it is taken, as the kernel would answer to the request `opens`.
    fn claim(self: &Arc<Self>, opens: &'static str, target: &str) -> Result<Place> {
        match self.taken.swap(true, Ordering::AcqRel) {
            true => Err(KernelError::new(opens, target, libc::EPERM)),
            false => Ok(Place(Arc::clone(self))),
        }
    }
}

/// The place of the one vfio-ap device, taken.
#[derive(Debug)]
struct Place(Arc<KvmVfio>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

/// A VFIO file that KVM knows: a group, or a device of its own.
///
/// KVM holds a reference to the *file* until it is told to forget it or the VM ends (`virt/kvm/vfio.c:
/// kvm_vfio_file_add`, 7.2). So a device's own file is not released when we close it, the device stays open, and
/// whoever removes the mdev waits for ever. `KVM_DEV_VFIO_FILE_DEL` names the file by its descriptor, thus comes before
/// the close. It does not take the VM from an open device, which has a reference of its own until it is closed
/// (`drivers/vfio/vfio_main.c: vfio_device_get_kvm_safe`).
#[derive(Debug)]
pub(super) struct Known {
    name: String,
    file: OwnedFd,
    /// Given back when the file is closed.
    place: Place,
}

impl Known {
    /// `KVM_DEV_VFIO_FILE_ADD` of `file`, through which the request `opens` will open the device `name`.
    ///
    /// # Errors
    /// EPERM if the VM has a vfio-ap device; EINVAL if `file` is no VFIO file; EEXIST if KVM knows it.
    pub(super) fn add(kvm: &Arc<KvmVfio>, file: OwnedFd, opens: &'static str, name: &str) -> Result<Self> {
        let place = kvm.claim(opens, name)?;
        ioctl::kvm_file_add(kvm.device.as_fd(), file.as_fd(), name)?;
        Ok(Self { name: name.to_owned(), file, place })
    }
}

impl AsFd for Known {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        // It is refused only if KVM does not know the file, and then there is nothing to forget.
        let _ = ioctl::kvm_file_del(self.place.0.device.as_fd(), self.file.as_fd(), &self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// A file that is no device of KVM.
    fn nothing() -> OwnedFd {
        File::open("/dev/null").expect("it is there").into()
    }

    #[test]
    fn a_vm_has_one_place_and_a_second_claim_is_eperm_until_the_first_is_given_back() {
        let kvm = Arc::new(KvmVfio::from_device(nothing()));
        let first = kvm.claim("VFIO_DEVICE_BIND_IOMMUFD", "a").expect("it is free");
        let second = kvm.claim("VFIO_DEVICE_BIND_IOMMUFD", "b").expect_err("it is taken");
        assert_eq!(second, KernelError::new("VFIO_DEVICE_BIND_IOMMUFD", "b", libc::EPERM));
        drop(first);
        kvm.claim("VFIO_DEVICE_BIND_IOMMUFD", "b").expect("it is free again");
    }

    #[test]
    fn the_place_is_free_after_a_file_that_kvm_refuses() {
        let kvm = Arc::new(KvmVfio::from_device(nothing()));
        let refused = Known::add(&kvm, nothing(), "VFIO_DEVICE_BIND_IOMMUFD", "a").expect_err("no KVM");
        // ENOTTY, and ENOSYS from an emulator that does not know the request.
        assert_eq!((refused.request, &*refused.target), ("KVM_DEV_VFIO_FILE_ADD", "a"));
        kvm.claim("VFIO_DEVICE_BIND_IOMMUFD", "a").expect("it is free");
    }

    #[test]
    fn a_file_that_is_no_vm_has_no_vfio_device() {
        let refused = KvmVfio::create(nothing().as_fd()).expect_err("no VM");
        assert_eq!((refused.request, &*refused.target), ("KVM_CREATE_DEVICE", "the VM"));
    }
}
