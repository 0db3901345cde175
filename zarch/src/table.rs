//! The one table of instructions, and the look-up from an instruction's bits to its row.
//!
//! A row's handler is often one operation over one form of operands (see `operand`): `add::<i64, Rxy<i32>>` adds a
//! 32-bit signed number in storage, addressed as RXY has it, to a 64-bit register.

mod rows;

use crate::execution::{Done, Execution, Trap};
use crate::instruction::{Code, Instruction, OpcodePart};
use crate::interruption::ProgramCode;
use crate::run::Absent;
use rows::ROWS;

/// What an instruction does.
pub(crate) type Handler = fn(&mut Execution<'_>, Code) -> Done;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) instruction: Instruction,
    /// Whether the problem state is refused before the handler is called. AP instructions look themselves, as they may
    /// not be there at all.
    pub(crate) refuses_problem_state: bool,
    pub(crate) execute: Handler,
}

/// Every instruction the interpreter executes, ascending by opcode.
#[must_use]
pub fn instructions() -> &'static [Instruction] {
    const INSTRUCTIONS: [Instruction; ROWS.len()] = {
        let mut instructions = [ROWS[0].instruction; ROWS.len()];
        let mut index = 0;
        while index < ROWS.len() {
            instructions[index] = ROWS[index].instruction;
            index += 1;
        }
        instructions
    };
    &INSTRUCTIONS
}

/// Facility numbers whose every instruction and function is there: a configuration that offers a guest nothing else
/// never lies.
///
/// 0, 1, 2 and 138 say that this is z/Architecture, always; that includes floating point, which is missing. 13, 14 and
/// 10 are about storage keys and page-table entries; 12 and 15 are PQAP's, for a configuration with adjunct processors.
/// 65 (AQIC) is not here: that function is intercepted, and whoever carries it out may offer it.
#[rustfmt::skip]
pub const IMPLEMENTED_FACILITIES: &[u16] = &[
    0, 1, 2, 7, 10, 12, 13, 14, 15, 16, 18, 19, 21, 22, 24, 25, 26, 27, 30, 31, 32, 33, 34, 35, 45, 49, 52, 53, 58, 61,
    138,
];

/// The second part of opcodes: where it is, and where in [`INDEX`] the first byte's rows are.
#[derive(Clone, Copy)]
struct FirstByte {
    shift: u8,
    mask: u8,
    base: u16,
}

const NO_ROW: u16 = u16::MAX;

const fn part_of(first_byte: u8) -> OpcodePart {
    let mut index = 0;
    while index < ROWS.len() {
        let instruction = ROWS[index].instruction;
        if (instruction.opcode >> 8) as u8 == first_byte {
            return instruction.format.opcode_part();
        }
        index += 1;
    }
    OpcodePart::None
}

const fn slots(part: OpcodePart) -> usize {
    match part {
        OpcodePart::None => 1,
        OpcodePart::Nibble => 16,
        OpcodePart::SecondByte | OpcodePart::SixthByte => 256,
    }
}

static FIRST_BYTE: [FirstByte; 256] = FIRST_BYTES;

const FIRST_BYTES: [FirstByte; 256] = {
    let mut table = [FirstByte { shift: 0, mask: 0, base: 0 }; 256];
    let mut base = 0;
    let mut byte = 0;
    while byte < 256 {
        let part = part_of(byte as u8);
        let shift = match part {
            OpcodePart::None => 0,
            OpcodePart::Nibble | OpcodePart::SecondByte => 48,
            OpcodePart::SixthByte => 16,
        };
        table[byte] = FirstByte { shift, mask: (slots(part) - 1) as u8, base: base as u16 };
        base += slots(part);
        byte += 1;
    }
    table
};

const INDEX_LENGTH: usize = FIRST_BYTES[255].base as usize + FIRST_BYTES[255].mask as usize + 1;

/// The row of each possible opcode, or [`NO_ROW`].
static INDEX: [u16; INDEX_LENGTH] = {
    let mut index = [NO_ROW; INDEX_LENGTH];
    let mut row = 0;
    while row < ROWS.len() {
        let opcode = ROWS[row].instruction.opcode;
        let first = FIRST_BYTES[(opcode >> 8) as usize];
        index[first.base as usize + (opcode as u8 & first.mask) as usize] = row as u16;
        row += 1;
    }
    index
};

/// The row of an instruction.
#[inline]
pub(crate) fn find(code: Code) -> Option<&'static Row> {
    let first = FIRST_BYTE[(code.0 >> 56) as usize];
    let second = (code.0 >> first.shift) as u8 & first.mask;
    let row = INDEX[usize::from(first.base) + usize::from(second)];
    ROWS.get(usize::from(row))
}

/// What becomes of an instruction that is not in the table: an operation exception, unless every z/Architecture CPU
/// has it.
#[cold]
pub(crate) fn not_in_table(code: Code) -> Trap {
    let start = (code.0 >> 48) as u16;
    let known = match start >> 8 {
        // Hexadecimal floating point, registers and storage.
        0x20..=0x3f | 0x60 | 0x67..=0x70 | 0x78..=0x7f => true,
        // Binary and hexadecimal floating point, their controls, and MSDB and the like.
        0xb3 | 0xed => true,
        0xb2 => matches!(
            start & 0xff,
            // SIE, SQDR, SQER, CMPSC, SRNM, TRAP4
            0x14 | 0x44 | 0x45 | 0x63 | 0x99 | 0xff
        ),
        // UPT, TRAP2, TRACE
        0x01 => matches!(start & 0xff, 0x02 | 0xff),
        0x99 => true,
        0xeb => code.0 >> 16 & 0xff == 0x0f,
        // PERFORM LOCKED OPERATION
        0xee => true,
        _ => false,
    };
    if known { Trap::Unsupported(Absent::Instruction(start)) } else { ProgramCode::Operation.into() }
}
