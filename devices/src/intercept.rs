//! What an intercept asks of the VMM.
//!
//! [`decode`] turns the three numbers of a SIE intercept and the registers into one value. It knows
//! instructions; it refuses to know any device, and it never acts: whoever runs the vCPU does.
//!
//! An instruction that a VMM has no business with becomes an operation exception, as in QEMU
//! (`target/s390x/kvm/kvm.c: handle_instruction`).

use crate::{ProgramInterruption, sclp::ServiceCall};
use adjunct_hypervisor::{CpuState, Operand, Psw};

/// What the guest wants, or what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intercept {
    /// SERVICE CALL (b220): for [`crate::sclp::Sclp::service_call`].
    ServiceCall(ServiceCall),
    /// DIAGNOSE (83): 0x308 is for [`crate::ipl::diagnose_308`], the rest is a specification
    /// exception unless the VMM offers it (QEMU: `target/s390x/kvm/kvm.c: handle_diag`).
    Diagnose {
        /// Function code: the low 16 bits of the second-operand address.
        code: u16,
        /// Number of the first register, 0 to 15.
        r1: u8,
        /// Number of the second register, 0 to 15.
        r3: u8,
    },
    /// SIGNAL PROCESSOR (ae) with an order that the kernel leaves to user space: for [`crate::sigp`].
    Sigp(Sigp),
    /// A channel I/O instruction: for [`crate::css::Css::execute`].
    ChannelIo(ChannelIo),
    /// An AP instruction that SIE did not interpret and KVM leaves to user space (PQAP: `arch/s390/kvm/priv.c: handle_pqap`,
    /// 7.2): this guest has no AP instructions, or not this function, and the answer is an operation exception.
    Ap(ApInstruction),
    /// The guest shall get this program interruption.
    Program(ProgramInterruption),
    /// The CPU waits with every interruption disabled: nothing can wake it. The PSW is the guest's last word
    /// (`arch/s390/kvm/interrupt.c: kvm_s390_handle_wait`, 6.12).
    DisabledWait,
    /// A program interruption's new PSW leads to a program interruption again, for ever
    /// (`arch/s390/kvm/intercept.c: handle_prog`, 6.12).
    ProgramLoop,
    /// The new PSW for program interruptions leads to an instruction that does not exist, for ever
    /// (`handle_operexc`).
    OperationLoop,
    /// An external interruption's new PSW leads to an external interruption again, for ever
    /// (`handle_external_interrupt`).
    ExternalLoop,
    /// The CPU was ordered to stop and has taken the interruptions that were pending; [`sigp::complete`](crate::sigp::complete)
    /// finishes the order (`handle_stop`).
    Stopped,
    /// Nothing that a VMM can act on: the guest can't go on.
    Unknown {
        /// Interception code.
        icptcode: u8,
        /// First halfword of the instruction.
        ipa: u16,
        /// Its next two halfwords.
        ipb: u32,
    },
}

/// The operands of SIGNAL PROCESSOR (`arch/s390/kvm/sigp.c: kvm_s390_handle_sigp`, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sigp {
    /// Order code, for example 0x05 STOP.
    pub order: u8,
    /// CPU address of the target.
    pub cpu_address: u16,
    /// The parameter, from the odd register of the pair.
    pub parameter: u64,
    /// Number of the register that takes the status, in its bits 32-63, with condition code 1.
    pub status_register: u8,
}

/// A channel I/O instruction and what it designates in storage. Other operands are in general registers 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelIo {
    /// Which.
    pub instruction: ChannelInstruction,
    /// Its second operand; of CHANNEL SUBSYSTEM CALL its first, the command block. Without meaning for instructions
    /// that designate no storage.
    pub operand: Operand,
}

/// The channel I/O instructions. All are privileged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelInstruction {
    /// CLEAR SUBCHANNEL (b230).
    Csch,
    /// HALT SUBCHANNEL (b231).
    Hsch,
    /// MODIFY SUBCHANNEL (b232).
    Msch,
    /// START SUBCHANNEL (b233).
    Ssch,
    /// STORE SUBCHANNEL (b234).
    Stsch,
    /// TEST SUBCHANNEL (b235).
    Tsch,
    /// TEST PENDING INTERRUPTION (b236).
    Tpi,
    /// SET ADDRESS LIMIT (b237).
    Sal,
    /// RESUME SUBCHANNEL (b238).
    Rsch,
    /// STORE CHANNEL REPORT WORD (b239).
    Stcrw,
    /// STORE CHANNEL PATH STATUS (b23a).
    Stcps,
    /// RESET CHANNEL PATH (b23b).
    Rchp,
    /// SET CHANNEL MONITOR (b23c).
    Schm,
    /// CHANNEL SUBSYSTEM CALL (b25f).
    Chsc,
    /// SIGNAL ADAPTER (b274).
    Siga,
    /// CANCEL SUBCHANNEL (b276).
    Xsch,
}

/// An AP instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApInstruction {
    /// ENQUEUE ADJUNCT PROCESSOR QUEUE (b2ad).
    Nqap,
    /// DEQUEUE ADJUNCT PROCESSOR QUEUE (b2ae).
    Dqap,
    /// PROCESS ADJUNCT PROCESSOR QUEUE (b2af).
    Pqap,
}

/// Interception codes (`arch/s390/include/asm/kvm_host.h: ICPT_*`, 6.12).
mod icptcode {
    pub(super) const INSTRUCTION: u8 = 0x04;
    pub(super) const PROGRAM: u8 = 0x08;
    pub(super) const EXTERNAL: u8 = 0x14;
    pub(super) const WAIT: u8 = 0x1c;
    pub(super) const STOP: u8 = 0x28;
    pub(super) const OPERATION_EXCEPTION: u8 = 0x2c;
}

/// The instructions of opcode b2 that a VMM acts on, by their second byte, ascending (QEMU: `target/s390x/kvm/kvm.c:
/// handle_b2`).
#[rustfmt::skip]
const B2: &[(u8, B2Instruction)] = {
    use {ApInstruction::*, B2Instruction::*, ChannelInstruction::*};
    &[
        (0x20, Servc),
        (0x30, Channel(Csch)),
        (0x31, Channel(Hsch)),
        (0x32, Channel(Msch)),
        (0x33, Channel(Ssch)),
        (0x34, Channel(Stsch)),
        (0x35, Channel(Tsch)),
        (0x36, Channel(Tpi)),
        (0x37, Channel(Sal)),
        (0x38, Channel(Rsch)),
        (0x39, Channel(Stcrw)),
        (0x3a, Channel(Stcps)),
        (0x3b, Channel(Rchp)),
        (0x3c, Channel(Schm)),
        (0x5f, Channel(Chsc)),
        (0x74, Channel(Siga)),
        (0x76, Channel(Xsch)),
        (0xad, Ap(Nqap)),
        (0xae, Ap(Dqap)),
        (0xaf, Ap(Pqap)),
    ]
};

#[derive(Clone, Copy)]
enum B2Instruction {
    Servc,
    Channel(ChannelInstruction),
    Ap(ApInstruction),
}

/// Says what the intercept `icptcode` with the instruction text `ipa`, `ipb` asks for. `cpu` holds
/// the registers as of the intercept, with the PSW already past the instruction.
pub fn decode(icptcode: u8, ipa: u16, ipb: u32, cpu: &CpuState) -> Intercept {
    match icptcode {
        icptcode::INSTRUCTION => instruction(ipa, ipb, cpu),
        // KVM leaves these to user space only when the new PSW leads right back.
        icptcode::PROGRAM => Intercept::ProgramLoop,
        icptcode::OPERATION_EXCEPTION => Intercept::OperationLoop,
        icptcode::EXTERNAL => Intercept::ExternalLoop,
        icptcode::WAIT => Intercept::DisabledWait,
        icptcode::STOP => Intercept::Stopped,
        _ => Intercept::Unknown { icptcode, ipa, ipb },
    }
}

fn instruction(ipa: u16, ipb: u32, cpu: &CpuState) -> Intercept {
    let [opcode, second] = ipa.to_be_bytes();
    let intercept = match opcode {
        0x83 => diagnose(second, ipb, cpu),
        0xae => sigp(second, ipb, cpu),
        0xb2 => b2(second, ipb, cpu),
        _ => Intercept::Program(ProgramInterruption::Operation),
    };
    // An instruction that does not exist is an operation exception in every state; all that we
    // know of are privileged, and operands are looked at only after that.
    match intercept {
        Intercept::Program(_) | Intercept::Ap(_) => intercept,
        _ if cpu.psw.mask & Psw::PROBLEM_STATE != 0 => {
            Intercept::Program(ProgramInterruption::PrivilegedOperation)
        }
        _ => intercept,
    }
}

fn b2(second: u8, ipb: u32, cpu: &CpuState) -> Intercept {
    match B2.binary_search_by_key(&second, |row| row.0).map(|index| B2[index].1) {
        Ok(B2Instruction::Servc) => {
            let [_, registers, ..] = ipb.to_be_bytes();
            let (command, sccb) = nibbles(registers);
            Intercept::ServiceCall(ServiceCall { command: low_word(cpu, command), sccb: register(cpu, sccb) })
        }
        Ok(B2Instruction::Channel(instruction)) => Intercept::ChannelIo(channel_io(instruction, ipb, cpu)),
        Ok(B2Instruction::Ap(instruction)) => Intercept::Ap(instruction),
        Err(_) => Intercept::Program(ProgramInterruption::Operation),
    }
}

fn channel_io(instruction: ChannelInstruction, ipb: u32, cpu: &CpuState) -> ChannelIo {
    let operand = match instruction {
        ChannelInstruction::Chsc => {
            let [_, registers, ..] = ipb.to_be_bytes();
            let (access_register, _) = nibbles(registers);
            Operand { address: register(cpu, access_register), access_register }
        }
        _ => {
            let [base, ..] = ipb.to_be_bytes();
            let (access_register, _) = nibbles(base);
            Operand { address: base_displacement(ipb, cpu), access_register }
        }
    };
    ChannelIo { instruction, operand }
}

/// TEST SUBCHANNEL, which has an exit of its own, [`adjunct_hypervisor::Exit::Tsch`]; `ipb` is from there (QEMU:
/// `target/s390x/kvm/kvm.c: handle_tsch`).
pub fn test_subchannel(ipb: u32, cpu: &CpuState) -> ChannelIo {
    channel_io(ChannelInstruction::Tsch, ipb, cpu)
}

fn diagnose(second: u8, ipb: u32, cpu: &CpuState) -> Intercept {
    let (r1, r3) = nibbles(second);
    let [.., high, low] = base_displacement(ipb, cpu).to_be_bytes();
    Intercept::Diagnose { code: u16::from_be_bytes([high, low]), r1, r3 }
}

fn sigp(second: u8, ipb: u32, cpu: &CpuState) -> Intercept {
    let (r1, r3) = nibbles(second);
    let [.., order] = base_displacement(ipb, cpu).to_be_bytes();
    let [.., high, low] = register(cpu, r3).to_be_bytes();
    Intercept::Sigp(Sigp {
        order,
        cpu_address: u16::from_be_bytes([high, low]),
        parameter: register(cpu, r1 | 1),
        status_register: r1,
    })
}

/// The second-operand address of the RS and S formats: base register (none if 0) plus displacement.
fn base_displacement(ipb: u32, cpu: &CpuState) -> u64 {
    let [high, low, ..] = ipb.to_be_bytes();
    let (base, _) = nibbles(high);
    let displacement = u64::from(u16::from_be_bytes([high & 0xf, low]));
    match base {
        0 => displacement,
        base => register(cpu, base).wrapping_add(displacement),
    }
}

fn nibbles(byte: u8) -> (u8, u8) {
    (byte >> 4, byte & 0xf)
}

fn register(cpu: &CpuState, number: u8) -> u64 {
    cpu.gprs[usize::from(number & 0xf)]
}

/// Bits 32-63 of a register.
fn low_word(cpu: &CpuState, number: u8) -> u32 {
    let [.., a, b, c, d] = register(cpu, number).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
