//! Initial program load: DIAGNOSE 0x308, what a reset does in which order, and the loader.
//!
//! [`diagnose_308`] says what the guest asked for; [`ResetKind::steps`] lists what a reset does, as data,
//! so that a VMM walks one list; [`Image`] puts a kernel into memory, at the start and at every re-IPL.
//!
//! This module refuses to know vCPUs, devices and files: it yields steps and takes bytes. There is no
//! device to load from, so that a guest can't choose one.

mod image;
mod linux;
mod reset;

pub use image::{Image, LoadError};
pub use reset::{ResetKind, ResetStep};

use crate::ProgramInterruption;
use adjunct_hypervisor::{CpuState, GuestMemory, Psw};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _};

/// What a DIAGNOSE 0x308 leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IplAction {
    /// The machine is reset; this CPU does not go on after the instruction.
    Reset(ResetKind),
    /// The guest goes on and finds `rc` in general register `register`.
    Answer {
        /// Register number, odd.
        register: u8,
        /// Return code.
        rc: u64,
    },
    /// The guest gets a program interruption.
    Exception(ProgramInterruption),
}

/// Return codes (QEMU: `hw/s390x/ipl.h: DIAG_308_RC_*`).
mod rc {
    pub(super) const NO_CONFIGURATION: u64 = 0x0102;
    pub(super) const INVALID: u64 = 0x0402;
}

/// In a short PSW (8 bytes, ESA/390 format), bit 12 is one.
const SHORT_PSW: u64 = 0x0008_0000_0000_0000;
/// The instruction address of a short PSW.
const SHORT_PSW_ADDRESS: u64 = 0x7fff_ffff;

/// Size and alignment of an IPL parameter block.
const PAGE: u64 = 4096;

/// DIAGNOSE 0x308 in supervisor state, with the register numbers of the instruction (QEMU:
/// `target/s390x/diag.c: handle_diag_308`).
///
/// The subcode is in `r3`: 0 modified clear, 1 load normal, 3 and 4 load again; 5 sets an IPL parameter
/// block, and none is valid here (0x0402), so that 6 has none to store (0x0102). The subcodes for
/// protected guests (from 8) need the facility `unpack`, which is not offered: like all others they are a
/// specification exception.
///
/// On KVM the subcodes 3 and 4 come as [`adjunct_hypervisor::Exit::Reset`]: [`ResetKind::ReIpl`]
/// (`arch/s390/kvm/diag.c: __diag_ipl_functions`, 6.12).
pub fn diagnose_308(r1: u8, r3: u8, cpu: &CpuState, memory: &GuestMemory) -> IplAction {
    let register = |number: u8| cpu.gprs[usize::from(number & 0xf)];
    let rc = match register(r3) {
        0 => return IplAction::Reset(ResetKind::ModifiedClear),
        1 => return IplAction::Reset(ResetKind::LoadNormal),
        3 | 4 => return IplAction::Reset(ResetKind::ReIpl),
        5 => rc::INVALID,
        6 => rc::NO_CONFIGURATION,
        _ => return IplAction::Exception(ProgramInterruption::Specification),
    };
    let address = register(r1);
    if !r1.is_multiple_of(2) || !address.is_multiple_of(PAGE) {
        return IplAction::Exception(ProgramInterruption::Specification);
    }
    if !memory.check_range(GuestAddress(address), 4096) {
        return IplAction::Exception(ProgramInterruption::Addressing);
    }
    IplAction::Answer { register: r1 | 1, rc }
}

/// The PSW with which a CPU starts after a load-normal or modified-clear reset: the short PSW at absolute
/// address 0 (QEMU: `target/s390x/cpu-system.c: s390_cpu_load_normal`, 10.2).
///
/// Bit 12, which is one in a short PSW, is inverted, so that the CPU raises a specification exception
/// if it was not.
pub fn load_normal_psw(memory: &GuestMemory) -> Psw {
    let mut bytes = [0; 8];
    // Guest memory begins at 0 and has at least 1 MiB; without it the CPU gets the same exception.
    if memory.read_slice(&mut bytes, GuestAddress(0)).is_err() {
        bytes = [0; 8];
    }
    let short = u64::from_be_bytes(bytes);
    Psw { mask: short & !SHORT_PSW_ADDRESS ^ SHORT_PSW, address: short & SHORT_PSW_ADDRESS }
}

#[cfg(test)]
mod tests;
