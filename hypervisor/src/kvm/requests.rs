//! More requests that `kvm-ioctls` lacks for s390x, also for a VMM that works with its descriptors. They are
//! proven on a real kernel as the others are.
// UNSAFETY: ioctl takes a number and a pointer, and only who knows the number knows what the kernel does with the pointer.
#![expect(unsafe_code, reason = "requests to KVM that kvm-ioctls does not have")]

use super::ioctls::answer;
use crate::{Access, Errno, Operand};
use kvm_bindings::{
    KVM_S390_MEMOP_ABSOLUTE_READ, KVM_S390_MEMOP_ABSOLUTE_WRITE, KVM_S390_MEMOP_F_CHECK_ONLY,
    KVM_S390_MEMOP_F_INJECT_EXCEPTION, KVM_S390_MEMOP_F_SKEY_PROTECTION, KVM_S390_MEMOP_LOGICAL_READ,
    KVM_S390_MEMOP_LOGICAL_WRITE, kvm_enable_cap, kvm_s390_interrupt, kvm_s390_mem_op, kvm_sregs,
};
use kvm_ioctls::{VcpuFd, VmFd};
use std::os::fd::AsRawFd;
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref};

/// What a request answers that has nothing to say.
type Answer = std::result::Result<(), Errno>;

/// The requests by their numbers.
pub(super) mod number {
    use super::{kvm_enable_cap, kvm_s390_interrupt, kvm_s390_mem_op, kvm_sregs};
    use kvm_bindings::KVMIO;
    use vmm_sys_util::{ioctl_ior_nr, ioctl_iow_nr};

    ioctl_ior_nr!(KVM_GET_SREGS, KVMIO, 0x83, kvm_sregs);
    ioctl_iow_nr!(KVM_SET_SREGS, KVMIO, 0x84, kvm_sregs);
    ioctl_iow_nr!(KVM_S390_INTERRUPT, KVMIO, 0x94, kvm_s390_interrupt);
    ioctl_iow_nr!(KVM_ENABLE_CAP, KVMIO, 0xa3, kvm_enable_cap);
    ioctl_iow_nr!(KVM_S390_MEM_OP, KVMIO, 0xb1, kvm_s390_mem_op);
}

/// Requests to a VM.
pub trait S390Vm {
    /// `KVM_S390_INTERRUPT`: a floating interruption, for example `KVM_S390_INT_SERVICE` with the parameter in `parm`.
    ///
    /// # Errors
    /// EINVAL for a type that is not floating.
    fn floating_interrupt(&self, interruption: &kvm_s390_interrupt) -> Answer;

    /// `KVM_S390_MEM_OP`, absolute read: guest memory at `address`, whatever any vCPU's translation is.
    ///
    /// # Errors
    /// EINVAL for nothing, E2BIG above 64 KiB, EFAULT where the guest has no memory.
    fn read_absolute(&self, address: u64, into: &mut [u8]) -> Answer;

    /// `KVM_S390_MEM_OP`, absolute write.
    ///
    /// # Errors
    /// As [`S390Vm::read_absolute`].
    fn write_absolute(&self, address: u64, from: &[u8]) -> Answer;
}

/// Requests to a vCPU.
pub trait S390Vcpu {
    /// `KVM_ENABLE_CAP` of a vCPU, for example `KVM_CAP_S390_CSS_SUPPORT`.
    ///
    /// # Errors
    /// EINVAL for a capability that vCPUs don't have.
    fn enable_capability(&self, capability: u32) -> Answer;

    /// `KVM_GET_SREGS`: access and control registers.
    ///
    /// # Errors
    /// The kernel's.
    fn special_registers(&self) -> std::result::Result<kvm_sregs, Errno>;

    /// `KVM_SET_SREGS`.
    ///
    /// # Errors
    /// The kernel's.
    fn set_special_registers(&self, registers: &kvm_sregs) -> Answer;

    /// `KVM_S390_INTERRUPT`: an interruption of this vCPU.
    ///
    /// # Errors
    /// EINVAL for a type that is floating.
    fn local_interrupt(&self, interruption: &kvm_s390_interrupt) -> Answer;

    /// `KVM_S390_MEM_OP`, logical read with access register 0: `Some` is the program interruption that the guest would get.
    ///
    /// # Errors
    /// EINVAL for nothing, E2BIG above 64 KiB.
    fn read_logical(&self, address: u64, into: &mut [u8]) -> std::result::Result<Option<u16>, Errno>;

    /// `KVM_S390_MEM_OP`, logical write.
    ///
    /// # Errors
    /// As [`S390Vcpu::read_logical`].
    fn write_logical(&self, address: u64, from: &[u8]) -> std::result::Result<Option<u16>, Errno>;
}

/// The memory operation `request`, which lacks its buffer, on `length` bytes at `buffer`, which the kernel writes if the
/// operation reads; what it returned.
fn mem_op(
    file: &impl AsRawFd,
    request: kvm_s390_mem_op,
    buffer: usize,
    length: usize,
) -> std::result::Result<u16, Errno> {
    let size = u32::try_from(length).map_err(|_| Errno::new(libc::E2BIG))?;
    let request = kvm_s390_mem_op { size, buf: buffer as u64, ..request };
    // SAFETY: the callers below give the address and the length of a slice that they hold, exclusively where the kernel writes
    // to it, or have it check only, which leaves the buffer alone; in the guest it is guest memory, which is nobody's here.
    let returned = unsafe { ioctl_with_ref(file, number::KVM_S390_MEM_OP(), &request) };
    answer(returned)?;
    Ok(u16::try_from(returned).unwrap_or(u16::MAX))
}

fn read(file: &impl AsRawFd, request: kvm_s390_mem_op, into: &mut [u8]) -> std::result::Result<u16, Errno> {
    mem_op(file, request, into.as_mut_ptr().expose_provenance(), into.len())
}

fn write(file: &impl AsRawFd, request: kvm_s390_mem_op, from: &[u8]) -> std::result::Result<u16, Errno> {
    mem_op(file, request, from.as_ptr().expose_provenance(), from.len())
}

/// The operation `op` at `gaddr`, with access register 0 and without a look at storage keys.
fn plain(op: u32, gaddr: u64) -> kvm_s390_mem_op {
    kvm_s390_mem_op { gaddr, op, ..Default::default() }
}

/// What a vCPU does with an operand of its instruction, under the access key `key` if the kernel looks at keys. Beyond
/// an error: whether it is a program interruption, which is pending then.
pub(super) fn access(
    vcpu: &VcpuFd,
    operand: Operand,
    key: Option<u8>,
    access: Access<'_>,
) -> std::result::Result<bool, Errno> {
    let mut request = plain(KVM_S390_MEMOP_LOGICAL_WRITE, operand.address);
    request.flags = KVM_S390_MEMOP_F_INJECT_EXCEPTION.into();
    request.__bindgen_anon_1.__bindgen_anon_1.ar = operand.access_register;
    if let Some(key) = key {
        request.flags |= u64::from(KVM_S390_MEMOP_F_SKEY_PROTECTION);
        request.__bindgen_anon_1.__bindgen_anon_1.key = key;
    }
    let code = match access {
        Access::Read(into) => {
            request.op = KVM_S390_MEMOP_LOGICAL_READ;
            read(vcpu, request, into)
        }
        Access::Write(from) => write(vcpu, request, from),
        Access::CheckWrite(length) => {
            request.flags |= u64::from(KVM_S390_MEMOP_F_CHECK_ONLY);
            mem_op(vcpu, request, 0, length as usize)
        }
    };
    code.map(|code| code != 0)
}

/// An absolute address that is none is answered with the code of the addressing exception.
fn no_exception(code: u16) -> Answer {
    if code == 0 { Ok(()) } else { Err(Errno::new(libc::EFAULT)) }
}

impl S390Vm for VmFd {
    fn floating_interrupt(&self, interruption: &kvm_s390_interrupt) -> Answer {
        // SAFETY: KVM reads the struct.
        answer(unsafe { ioctl_with_ref(self, number::KVM_S390_INTERRUPT(), interruption) })
    }

    fn read_absolute(&self, address: u64, into: &mut [u8]) -> Answer {
        read(self, plain(KVM_S390_MEMOP_ABSOLUTE_READ, address), into).and_then(no_exception)
    }

    fn write_absolute(&self, address: u64, from: &[u8]) -> Answer {
        write(self, plain(KVM_S390_MEMOP_ABSOLUTE_WRITE, address), from).and_then(no_exception)
    }
}

impl S390Vcpu for VcpuFd {
    fn enable_capability(&self, cap: u32) -> Answer {
        let request = kvm_enable_cap { cap, ..Default::default() };
        // SAFETY: KVM reads the struct.
        answer(unsafe { ioctl_with_ref(self, number::KVM_ENABLE_CAP(), &request) })
    }

    fn special_registers(&self) -> std::result::Result<kvm_sregs, Errno> {
        let mut registers = kvm_sregs::default();
        // SAFETY: KVM writes the struct, which is numbers only.
        answer(unsafe { ioctl_with_mut_ref(self, number::KVM_GET_SREGS(), &mut registers) })?;
        Ok(registers)
    }

    fn set_special_registers(&self, registers: &kvm_sregs) -> Answer {
        // SAFETY: KVM reads the struct.
        answer(unsafe { ioctl_with_ref(self, number::KVM_SET_SREGS(), registers) })
    }

    fn local_interrupt(&self, interruption: &kvm_s390_interrupt) -> Answer {
        // SAFETY: KVM reads the struct.
        answer(unsafe { ioctl_with_ref(self, number::KVM_S390_INTERRUPT(), interruption) })
    }

    fn read_logical(&self, address: u64, into: &mut [u8]) -> std::result::Result<Option<u16>, Errno> {
        read(self, plain(KVM_S390_MEMOP_LOGICAL_READ, address), into).map(|code| (code != 0).then_some(code))
    }

    fn write_logical(&self, address: u64, from: &[u8]) -> std::result::Result<Option<u16>, Errno> {
        write(self, plain(KVM_S390_MEMOP_LOGICAL_WRITE, address), from)
            .map(|code| (code != 0).then_some(code))
    }
}
