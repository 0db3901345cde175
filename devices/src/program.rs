//! Program interruptions that devices answer a guest with.

use adjunct_hypervisor::Local;

/// A program interruption, by its code (z/Architecture Principles of Operation, chapter 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ProgramInterruption {
    /// The instruction does not exist on this machine.
    Operation = 0x0001,
    /// The instruction is for the supervisor state only.
    PrivilegedOperation = 0x0002,
    /// The storage may not be changed.
    Protection = 0x0004,
    /// There is no storage at this address.
    Addressing = 0x0005,
    /// An operand breaks a rule of the instruction.
    Specification = 0x0006,
    /// An operand is not of the form that an I/O instruction wants.
    Operand = 0x0015,
}

impl ProgramInterruption {
    /// The interruption code.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// What [`adjunct_hypervisor::Vcpu::inject`] takes.
impl From<ProgramInterruption> for Local {
    fn from(interruption: ProgramInterruption) -> Self {
        Self::Program { code: interruption.code() }
    }
}
