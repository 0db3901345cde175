//! The one table of instructions, and the look-up from an instruction's bits to its row.

use crate::instruction::Format::*;
use crate::instruction::{Facility, Format, Instruction};

const fn row(mnemonic: &'static str, opcode: u16, format: Format, facility: Facility) -> Instruction {
    Instruction { mnemonic, opcode, format, facility, privileged: false }
}

static INSTRUCTIONS: &[Instruction] = &[
    row("LR", 0x1800, RR, Facility::Z),
    row("AR", 0x1a00, RR, Facility::Z),
    row("A", 0x5a00, RXa, Facility::Z),
    row("AGHI", 0xa70b, RIa, Facility::Z),
];

/// Every instruction the interpreter executes, ascending by opcode.
#[must_use]
pub fn instructions() -> &'static [Instruction] {
    INSTRUCTIONS
}

/// Facility numbers whose every instruction and function is there. A configuration that offers a guest nothing
/// else never lies.
pub const IMPLEMENTED_FACILITIES: &[u16] = &[];
