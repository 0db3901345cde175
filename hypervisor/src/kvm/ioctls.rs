//! What kvm-ioctls lacks for s390x, as far as this host needs it.
// UNSAFETY: ioctl takes a number and a pointer, and only who knows the number knows what the kernel does with the pointer.
#![expect(unsafe_code, reason = "requests to KVM that kvm-ioctls does not have")]

use crate::Errno;
use kvm_bindings::{KVMIO, kvm_device_attr, kvm_s390_irq};
use kvm_ioctls::{VcpuFd, VmFd};
use std::{
    ffi::c_ulong,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
};
use vmm_sys_util::{
    ioctl::{ioctl, ioctl_with_ref, ioctl_with_val},
    ioctl_io_nr, ioctl_iow_nr,
};

ioctl_io_nr!(KVM_RUN, KVMIO, 0x80);
ioctl_iow_nr!(KVM_S390_STORE_STATUS, KVMIO, 0x95, c_ulong);
ioctl_io_nr!(KVM_S390_INITIAL_RESET, KVMIO, 0x97);
ioctl_iow_nr!(KVM_S390_IRQ, KVMIO, 0xb4, kvm_s390_irq);
ioctl_io_nr!(KVM_S390_NORMAL_RESET, KVMIO, 0xc3);
ioctl_io_nr!(KVM_S390_CLEAR_RESET, KVMIO, 0xc4);
ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);
ioctl_iow_nr!(KVM_GET_DEVICE_ATTR, KVMIO, 0xe2, kvm_device_attr);
ioctl_iow_nr!(KVM_HAS_DEVICE_ATTR, KVMIO, 0xe3, kvm_device_attr);

/// `KVM_S390_STORE_STATUS_NOADDR`, in C an int: no address.
pub(super) const STORE_STATUS_NOADDR: u64 = u64::MAX;

type Answer = std::result::Result<(), Errno>;

pub(super) fn answer(returned: i32) -> Answer {
    if returned < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// `descriptor` as a descriptor of `/dev/kvm`. If it is none, every request to it is refused.
pub(super) fn adopt_kvm(descriptor: OwnedFd) -> kvm_ioctls::Kvm {
    // SAFETY: the descriptor is open and nobody else's. What it is of makes no difference to memory: requests to KVM are
    // numbered in a range of their own (0xae), and any other file refuses them.
    unsafe { kvm_ioctls::Kvm::from_raw_fd(descriptor.into_raw_fd()) }
}

/// The descriptor of `vm`, which kvm-ioctls shows as a number only.
pub(super) fn descriptor(vm: &VmFd) -> BorrowedFd<'_> {
    // SAFETY: `vm` owns the descriptor, which stays open as long as the borrow.
    unsafe { BorrowedFd::borrow_raw(vm.as_raw_fd()) }
}

/// An attribute of a VM whose value is `N` bytes: `KVM_S390_VM_*`.
///
/// The kernel takes the size of a value to be known, so it belongs to the attribute here.
#[derive(Clone, Copy, Debug)]
pub(super) struct VmAttribute<const N: usize> {
    group: u32,
    number: u32,
}

/// All attributes are made here, so that here it can be seen that each has its size: that of the struct in
/// `arch/s390/include/uapi/asm/kvm.h`.
pub(super) mod attribute {
    use super::VmAttribute;
    use crate::CryptoAttribute;
    use adjunct_cpu_model::kvm::{FEAT_LEN, MACHINE_LEN, PROCESSOR_LEN, SUBFUNC_LEN, UV_FEAT_LEN};
    use kvm_bindings::*;

    const fn model<const N: usize>(number: u32) -> VmAttribute<N> {
        VmAttribute { group: KVM_S390_VM_CPU_MODEL, number }
    }

    pub(in super::super) const PROCESSOR: VmAttribute<PROCESSOR_LEN> = model(KVM_S390_VM_CPU_PROCESSOR);
    pub(in super::super) const MACHINE: VmAttribute<MACHINE_LEN> = model(KVM_S390_VM_CPU_MACHINE);
    pub(in super::super) const PROCESSOR_FEAT: VmAttribute<FEAT_LEN> = model(KVM_S390_VM_CPU_PROCESSOR_FEAT);
    pub(in super::super) const MACHINE_FEAT: VmAttribute<FEAT_LEN> = model(KVM_S390_VM_CPU_MACHINE_FEAT);
    pub(in super::super) const PROCESSOR_SUBFUNC: VmAttribute<SUBFUNC_LEN> =
        model(KVM_S390_VM_CPU_PROCESSOR_SUBFUNC);
    pub(in super::super) const MACHINE_SUBFUNC: VmAttribute<SUBFUNC_LEN> =
        model(KVM_S390_VM_CPU_MACHINE_SUBFUNC);
    pub(in super::super) const PROCESSOR_UV_FEAT_GUEST: VmAttribute<UV_FEAT_LEN> =
        model(KVM_S390_VM_CPU_PROCESSOR_UV_FEAT_GUEST);
    pub(in super::super) const MACHINE_UV_FEAT_GUEST: VmAttribute<UV_FEAT_LEN> =
        model(KVM_S390_VM_CPU_MACHINE_UV_FEAT_GUEST);

    pub(in super::super) const ENABLE_CMMA: VmAttribute<0> =
        VmAttribute { group: KVM_S390_VM_MEM_CTRL, number: KVM_S390_VM_MEM_ENABLE_CMMA };

    /// A number of 64 bits.
    pub(in super::super) const LIMIT_SIZE: VmAttribute<8> =
        VmAttribute { group: KVM_S390_VM_MEM_CTRL, number: KVM_S390_VM_MEM_LIMIT_SIZE };

    /// `struct kvm_s390_vm_tod_clock`: the epoch index, padding, the clock from byte 8 on.
    pub(in super::super) const TOD_EXT: VmAttribute<16> = tod(KVM_S390_VM_TOD_EXT);
    pub(in super::super) const TOD_LOW: VmAttribute<8> = tod(KVM_S390_VM_TOD_LOW);
    pub(in super::super) const TOD_HIGH: VmAttribute<1> = tod(KVM_S390_VM_TOD_HIGH);

    const fn tod<const N: usize>(number: u32) -> VmAttribute<N> {
        VmAttribute { group: KVM_S390_VM_TOD, number }
    }

    /// An attribute of the crypto group: switches without a value.
    pub(in super::super) const fn crypto(attribute: CryptoAttribute) -> VmAttribute<0> {
        VmAttribute { group: KVM_S390_VM_CRYPTO, number: attribute as u32 }
    }
}

/// Requests to a VM.
pub(super) trait VmRequests {
    /// `KVM_HAS_DEVICE_ATTR`.
    fn has_attribute<const N: usize>(&self, attribute: VmAttribute<N>) -> bool;

    /// `KVM_GET_DEVICE_ATTR`.
    fn attribute<const N: usize>(&self, attribute: VmAttribute<N>) -> std::result::Result<[u8; N], Errno>;

    /// `KVM_SET_DEVICE_ATTR`.
    fn set_attribute<const N: usize>(&self, attribute: VmAttribute<N>, value: &[u8; N]) -> Answer;
}

impl<const N: usize> VmAttribute<N> {
    fn at(self, address: usize) -> kvm_device_attr {
        kvm_device_attr { flags: 0, group: self.group, attr: self.number.into(), addr: address as u64 }
    }
}

impl VmRequests for VmFd {
    fn has_attribute<const N: usize>(&self, attribute: VmAttribute<N>) -> bool {
        // SAFETY: KVM reads the struct, and nothing through it.
        answer(unsafe { ioctl_with_ref(self, KVM_HAS_DEVICE_ATTR(), &attribute.at(0)) }).is_ok()
    }

    fn attribute<const N: usize>(&self, attribute: VmAttribute<N>) -> std::result::Result<[u8; N], Errno> {
        let mut value = [0; N];
        let request = attribute.at(value.as_mut_ptr().expose_provenance());
        // SAFETY: KVM writes the attribute's value, of which N is the size (module `attribute`), and `value` is N bytes that
        // nobody else sees meanwhile.
        answer(unsafe { ioctl_with_ref(self, KVM_GET_DEVICE_ATTR(), &request) })?;
        Ok(value)
    }

    fn set_attribute<const N: usize>(&self, attribute: VmAttribute<N>, value: &[u8; N]) -> Answer {
        let request = attribute.at(value.as_ptr().expose_provenance());
        // SAFETY: KVM reads the attribute's value, of which N is the size (module `attribute`), and `value` is N bytes.
        answer(unsafe { ioctl_with_ref(self, KVM_SET_DEVICE_ATTR(), &request) })
    }
}

/// Requests to a vCPU.
pub(super) trait VcpuRequests {
    /// `KVM_RUN`. Why it returned is in kvm_run. (kvm-ioctls' own `run` reads the payload of exits that are not there on
    /// s390x, and leaves those out that are.)
    fn run_guest(&mut self) -> Answer;

    /// `KVM_S390_NORMAL_RESET`.
    fn normal_reset(&self) -> Answer;

    /// `KVM_S390_INITIAL_RESET`.
    fn initial_reset(&self) -> Answer;

    /// `KVM_S390_CLEAR_RESET`.
    fn clear_reset(&self) -> Answer;

    /// `KVM_S390_STORE_STATUS`, with the address as KVM takes it.
    fn store_status(&self, at: u64) -> Answer;

    /// `KVM_S390_IRQ`.
    fn interrupt(&self, interruption: &kvm_s390_irq) -> Answer;
}

impl VcpuRequests for VcpuFd {
    fn run_guest(&mut self) -> Answer {
        // SAFETY: it has no argument. KVM writes into kvm_run, of which no reference is alive while `self` is borrowed, and the
        // guest into guest memory, which is nobody's here.
        answer(unsafe { ioctl(self, KVM_RUN()) })
    }

    fn normal_reset(&self) -> Answer {
        // SAFETY: it has no argument. KVM writes into kvm_run, of which no reference is alive while `self` is borrowed.
        answer(unsafe { ioctl(self, KVM_S390_NORMAL_RESET()) })
    }

    fn initial_reset(&self) -> Answer {
        // SAFETY: as for the normal reset.
        answer(unsafe { ioctl(self, KVM_S390_INITIAL_RESET()) })
    }

    fn clear_reset(&self) -> Answer {
        // SAFETY: as for the normal reset.
        answer(unsafe { ioctl(self, KVM_S390_CLEAR_RESET()) })
    }

    fn store_status(&self, at: u64) -> Answer {
        // SAFETY: the argument is an address in the guest; what KVM writes there is guest memory, which is nobody's here.
        answer(unsafe { ioctl_with_val(self, KVM_S390_STORE_STATUS(), at) })
    }

    fn interrupt(&self, interruption: &kvm_s390_irq) -> Answer {
        // SAFETY: KVM reads the struct.
        answer(unsafe { ioctl_with_ref(self, KVM_S390_IRQ(), interruption) })
    }
}

#[cfg(test)]
mod tests;
