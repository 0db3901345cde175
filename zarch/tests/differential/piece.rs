//! One instruction of the table with operands, the instructions it needs around it, and putting such pieces together.

use crate::program::{BODY, CODE, DATA, Program, TAIL};

/// Where a relative operand points.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// That many pieces after this one; past the end means the end.
    Skip(usize),
    /// An offset in the program's data.
    Data(u64),
    /// This piece's own instruction in the tail.
    Tail,
    /// A byte distance, already known.
    Bytes(i64),
}

/// A relative operand: where its instruction begins in the piece, how many bytes the operand has (it is always at
/// byte 2), and the target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixup {
    at: usize,
    wide: bool,
    target: Target,
}

impl Fixup {
    /// The same, in an instruction that begins so many bytes later.
    pub(crate) fn later(self, bytes: usize) -> Self {
        Self { at: self.at + bytes, ..self }
    }
}

/// One row of the table with operands, and whatever must stand before and after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    pub(crate) mnemonic: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) fixups: Vec<Fixup>,
    pub(crate) tail: Vec<u8>,
}

/// Places the pieces one after the other.
pub(crate) fn assemble(seed: u64, pieces: &[Piece]) -> Program {
    let mut starts = vec![0];
    let mut tails = vec![0];
    for piece in pieces {
        starts.push(starts[starts.len() - 1] + piece.bytes.len());
        tails.push(tails[tails.len() - 1] + piece.tail.len());
    }
    let mut program = Program { seed, body: Vec::new(), tail: Vec::new() };
    for (index, piece) in pieces.iter().enumerate() {
        program.body.extend_from_slice(&piece.bytes);
        program.tail.extend_from_slice(&piece.tail);
        for fixup in &piece.fixups {
            let from = starts[index] + fixup.at;
            let distance = match fixup.target {
                Target::Skip(pieces_ahead) => {
                    starts[(index + 1 + pieces_ahead).min(pieces.len())] as i64 - from as i64
                }
                Target::Data(offset) => (DATA - CODE + offset) as i64 - (BODY as i64 + from as i64),
                Target::Tail => TAIL as i64 + tails[index] as i64 - (BODY as i64 + from as i64),
                Target::Bytes(distance) => distance,
            };
            let halfwords = ((distance / 2) as i32).to_be_bytes();
            if fixup.wide {
                program.body[from + 2..from + 6].copy_from_slice(&halfwords);
            } else {
                program.body[from + 2..from + 4].copy_from_slice(&halfwords[2..]);
            }
        }
    }
    program
}

impl Piece {
    pub(crate) fn new(mnemonic: &'static str) -> Self {
        Self { mnemonic, ..Self::default() }
    }

    /// Appends the first `length` bytes of a left-aligned instruction and returns where it begins.
    pub(crate) fn push(&mut self, code: u64, length: usize) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&code.to_be_bytes()[..length]);
        at
    }

    pub(crate) fn fix(&mut self, at: usize, wide: bool, target: Target) {
        self.fixups.push(Fixup { at, wide, target });
    }

    /// The mnemonic and every instruction in hexadecimal, EXECUTE's target last.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{:<6}", self.mnemonic);
        let mut rest = &self.bytes[..];
        while let Some(first) = rest.first() {
            let length = [2, 4, 4, 6][usize::from(first >> 6)].min(rest.len());
            text.push(' ');
            text.extend(rest[..length].iter().map(|byte| format!("{byte:02x}")));
            rest = &rest[length..];
        }
        if !self.tail.is_empty() {
            text.push_str(" ->");
            text.extend(self.tail.iter().map(|byte| format!("{byte:02x}")));
        }
        text
    }

    /// LGHI of zero: QEMU 7.2 clears the left half of a register that an address of 24 or 31 bits is loaded into,
    /// where the architecture leaves it unchanged.
    pub(crate) fn clear(&mut self, r: u8) {
        self.push(0xa709 << 48 | u64::from(r) << 52, 4);
    }

    /// LARL
    pub(crate) fn load_relative(&mut self, r: u8, target: Target) {
        self.clear(r);
        let at = self.push(0xc000 << 48 | u64::from(r) << 52, 6);
        self.fix(at, true, target);
    }

    /// LGFI
    pub(crate) fn load_value(&mut self, r: u8, value: i32) {
        self.push(0xc001 << 48 | u64::from(r) << 52 | u64::from(value as u32) << 16, 6);
    }

    /// LAY
    pub(crate) fn load_address(&mut self, r: u8, base: u8, displacement: i64) {
        if r != base {
            self.clear(r);
        }
        let code = 0xe300_0000_0071 << 16 | u64::from(r) << 52 | u64::from(base) << 44;
        self.push(code | long_displacement(displacement), 6);
    }

    /// MVI
    pub(crate) fn store_byte(&mut self, base: u8, displacement: u64, value: u8) {
        self.push(0x92 << 56 | u64::from(value) << 48 | u64::from(base) << 44 | displacement << 32, 4);
    }

    /// BRC 1 back to the instruction at `at`: the program's part of an interruptible instruction.
    pub(crate) fn repeat(&mut self, at: usize) {
        let here = self.push(0xa714 << 48, 4);
        self.fix(here, false, Target::Bytes(at as i64 - here as i64));
    }
}

/// A 20-bit displacement at its place in bits 20-39.
pub(crate) fn long_displacement(displacement: i64) -> u64 {
    let d = displacement as u64;
    (d & 0xfff) << 32 | (d >> 12 & 0xff) << 24
}

pub(crate) fn field(value: u8, first: u32) -> u64 {
    u64::from(value & 15) << (60 - first)
}
