//! Instructions that cannot stand alone: what they need in registers or storage is put there just before, and
//! interruptible ones are repeated until they are done.

use adjunct_zarch::{Format, Instruction};

use super::{Generator, PAIRS, Place, has_length_limit};
use crate::piece::{Piece, Target, field, long_displacement};
use crate::program::{BASES, TABLE, utf8};

impl Generator<'_> {
    pub(super) fn execute(&mut self, row: &'static Instruction) -> Piece {
        use Format::*;
        let executable: Vec<_> = self
            .rows
            .iter()
            .copied()
            .filter(|r| matches!(r.format, SSa | SSb | SI | SIY | SIL | RXa | RXYa | RRE))
            .collect();
        let mut piece = Piece::new(row.mnemonic);
        let (target_row, target) = loop {
            let row = self.rng.pick(&executable);
            let plain = self.plain(row);
            let same = self.piece(row).bytes.len() == plain.bytes.len();
            // Rows that need company cannot be executed alone; the rest of the formats are safe under OR.
            if same && plain.fixups.is_empty() {
                break (row, plain);
            }
        };
        // OR-ing the second byte must not move registers: only where it is a length or an immediate.
        let or = matches!(target_row.format, SSa | SSb | SI | SIY)
            && target_row.mnemonic != "TS"
            && !has_length_limit(target_row.mnemonic);
        let mut r1 = if or { self.any() } else { 0 };
        if self.rng.one_in(4) {
            r1 = 0;
        }
        piece.tail = target.bytes;
        if row.mnemonic == "EXRL" {
            let at = piece.push(row.template() | field(r1, 8), 6);
            piece.fix(at, true, Target::Tail);
        } else {
            let address = 1 + self.rng.below(10) as u8;
            piece.load_relative(address, Target::Tail);
            piece.push(row.template() | field(r1, 8) | field(address, 16), 4);
        }
        piece
    }

    /// Without the two overflow masks, see [`Program::start`].
    pub(super) fn set_program_mask(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let r = self.writable();
        let value = self.rng.below(4) << 28 | self.rng.below(4) << 24 | self.rng.below(1 << 24);
        piece.load_value(r, value as i32);
        piece.push(row.template() | field(r, 8), 2);
        piece
    }

    pub(super) fn branch_and_set_mode(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let (r1, r2) = (self.writable(), self.rng.below(11) as u8);
        let target = self.skip();
        piece.load_relative(r2, target);
        // Bit 63 asks for 64-bit addressing, bit 32 for 31-bit: OILL 1, OILH 0x8000.
        match self.rng.below(3) {
            0 => drop(piece.push(0xa50b_0001 << 32 | field(r2, 8), 4)),
            1 => drop(piece.push(0xa50a_8000 << 32 | field(r2, 8), 4)),
            _ => {}
        }
        piece.push(row.template() | field(r1, 8) | field(r2, 12), 2);
        piece
    }

    pub(super) fn branch_to_register(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let r1 = if row.mnemonic == "BCR" { self.any() } else { self.writable() };
        let r2 = if self.rng.one_in(4) { 0 } else { self.writable() };
        let target = self.skip();
        piece.load_relative(r2, target);
        let fields = if row.format == Format::RRE {
            field(r1, 24) | field(r2, 28)
        } else {
            field(r1, 8) | field(r2, 12)
        };
        piece.push(row.template() | fields, usize::from(row.length()));
        piece
    }

    /// Branch addresses made of a register and a displacement.
    pub(super) fn branch_to_storage(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let base = 1 + self.rng.below(10) as u8;
        let target = self.skip();
        piece.load_relative(base, target);
        let displacement = if self.rng.one_in(2) { self.rng.below(0x1000) } else { 0 };
        if displacement != 0 {
            piece.load_address(base, base, -(displacement as i64));
        }
        let (r1, r3) = match row.format {
            Format::RXb => (self.any(), 0),
            Format::RXa | Format::RXYa => (self.writable(), 0),
            _ => (self.writable(), self.any()),
        };
        // BRANCH RELATIVE's fields, with the displacement in the low 12 bits for the long formats too.
        let fields = field(r1, 8) | field(r3, 12) | field(base, 16) | displacement << 32;
        piece.push(row.template() | fields, usize::from(row.length()));
        piece
    }

    pub(super) fn compare_and_branch(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let base = 1 + self.rng.below(10) as u8;
        let target = self.skip();
        piece.load_relative(base, target);
        let operands = if row.format == Format::RIS {
            field(self.any(), 8) | field(self.any(), 12) | (self.rng.value() & 0xff) << 24
        } else {
            field(self.any(), 8) | field(self.any(), 12) | field(self.any(), 32)
        };
        piece.push(row.template() | operands | field(base, 16), 6);
        piece
    }

    /// The branch address comes from storage.
    pub(super) fn branch_indirect(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let (r, mask) = (self.writable(), self.any());
        let (base, _) = self.rng.pick(&BASES);
        let target = self.skip();
        let storage = field(base, 16) | long_displacement(self.rng.below(200) as i64);
        piece.load_relative(r, target);
        piece.push(0xe300_0000_0024 << 16 | field(r, 8) | storage, 6); // STG
        piece.push(row.template() | field(mask, 8) | storage, 6);
        piece
    }

    /// See [`Piece::clear`].
    pub(super) fn short_address(&mut self, row: &'static Instruction) -> Piece {
        let plain = self.plain(row);
        let mut piece = Piece::new(row.mnemonic);
        piece.clear(plain.bytes[1] >> 4);
        for fixup in plain.fixups {
            piece.fixups.push(fixup.later(piece.bytes.len()));
        }
        piece.bytes.extend(plain.bytes);
        piece
    }

    /// The length is in register 0.
    pub(super) fn move_right_to_left(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        piece.load_value(0, self.rng.below(256) as i32);
        piece.push(row.template() | self.fields(row), 6);
        piece
    }

    /// Mostly valid contents: exceptions masked, no flags that need them.
    pub(super) fn floating_point_control(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let (r, (base, _)) = (self.writable(), self.rng.pick(&BASES));
        // Without the bits of the floating-point extension facility, which QEMU has.
        let value = self.rng.next() & if self.rng.one_in(6) { 0xfbfb_fffb } else { 0x00f8_ff73 };
        piece.load_value(r, value as i32);
        if row.format == Format::S {
            piece.push(0x50 << 56 | field(r, 8) | field(base, 16) | 16 << 32, 4); // ST
            piece.push(row.template() | field(base, 16) | 16 << 32, 4);
        } else {
            piece.push(row.template() | field(r, 24), 4);
        }
        piece
    }

    /// Half the time with a dividend whose quotient is likely to fit.
    pub(super) fn divide(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let r1 = self.pair();
        let wide = row.mnemonic.starts_with("DSG");
        if r1.is_multiple_of(2) && !wide && !self.rng.one_in(4) {
            let signed = matches!(row.mnemonic, "D" | "DR");
            let value = self.rng.value() as i32;
            let high = match (signed, self.rng.one_in(4)) {
                (true, false) => value >> 31,
                (false, false) => 0,
                (_, true) => self.rng.below(200) as i32,
            };
            piece.load_value(r1, high);
            piece.load_value(r1 + 1, value);
        }
        let register = self.any();
        let fields = match row.format {
            Format::RR => field(r1, 8) | field(register, 12),
            Format::RRE => field(r1, 24) | field(register, 28),
            _ => self.indexed_storage(row, r1, Place::Any),
        };
        piece.push(row.template() | fields, usize::from(row.length()));
        piece
    }

    /// Half the time the comparison comes out equal.
    pub(super) fn compare_and_swap(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let double = row.mnemonic.starts_with("CD");
        // QEMU 7.2 takes an odd register of CDSG for the even one.
        let (r1, r3) = match (double, row.mnemonic) {
            (true, "CDSG") => (self.rng.pick(&PAIRS), self.rng.pick(&PAIRS)),
            (true, _) => (self.pair(), self.pair()),
            _ => (self.writable(), self.any()),
        };
        let place = if self.rng.one_in(50) { Place::Any } else { Place::Aligned };
        let (base, _) = self.rng.pick(&BASES);
        let displacement = self.displacement(place);
        if self.rng.one_in(2) && (!double || r1 % 2 == 0) {
            let last = if double { r1 + 1 } else { r1 };
            let load = if row.mnemonic.ends_with('G') { 0x04 } else { 0x98 }; // LMG, LMY
            let code = 0xeb << 56 | load << 16 | field(r1, 8) | field(last, 12);
            piece.push(code | field(base, 16) | displacement << 32, 6);
        }
        let fields = field(r1, 8) | field(r3, 12) | field(base, 16) | displacement << 32;
        piece.push(row.template() | fields, usize::from(row.length()));
        piece
    }

    /// MOVE/COMPARE LONG and their extended forms: two address-length pairs that do not overlap.
    pub(super) fn long_operands(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let (r1, r2) = self.two_pairs();
        let unit = if row.mnemonic.ends_with('U') { 2 } else { 1 };
        let first = self.rng.below(150 / unit) * unit;
        let second = if self.rng.one_in(3) { first } else { self.rng.below(150 / unit) * unit };
        let pad = self.rng.below(256);
        let old = row.format == Format::RR;
        piece.load_address(r1, BASES[0].0, self.rng.below(100) as i64);
        piece.load_value(r1 + 1, first as i32);
        piece.load_address(r2, BASES[1].0, self.rng.below(200) as i64);
        piece.load_value(r2 + 1, (second | if old { pad << 24 } else { 0 }) as u32 as i32);
        let at = if old {
            piece.push(row.template() | field(r1, 8) | field(r2, 12), 2)
        } else {
            let fields = field(r1, 8) | field(r2, 12) | pad << 32;
            piece.push(row.template() | fields, usize::from(row.length()))
        };
        if !old {
            piece.repeat(at);
        }
        piece
    }

    pub(super) fn search_string(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let first = 1 + self.rng.below(5) as u8;
        let second = 6 + self.rng.below(5) as u8;
        let (end, start) = self.rng.pick(&[(first, second), (second, first)]);
        let sought = self.rng.pick(&[0, 0, b'a', b' ', 0x40, 0xff]);
        let from = self.rng.below(200) as i64;
        let length = self.rng.below(150) as i64 & if row.mnemonic == "SRSTU" { !1 } else { !0 };
        piece.load_value(0, i32::from(sought));
        piece.load_address(start, BASES[1].0, from);
        piece.load_address(end, BASES[1].0, from + length);
        let at = piece.push(row.template() | field(end, 24) | field(start, 28), 4);
        piece.repeat(at);
        piece
    }

    /// MVST and CLST: both strings end inside the data.
    pub(super) fn terminated_strings(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let first = 1 + self.rng.below(5) as u8;
        let second = 6 + self.rng.below(5) as u8;
        let end = self.rng.pick(&[0, 0, b'a', b' ', 0x40]);
        let starts = [self.rng.below(100), self.rng.below(100)];
        for ((base, _), start) in BASES.into_iter().zip(starts) {
            let length = self.rng.below(140);
            piece.store_byte(base, start + length, end);
        }
        piece.load_value(0, end.into());
        piece.load_address(first, BASES[0].0, starts[0] as i64);
        piece.load_address(second, BASES[1].0, starts[1] as i64);
        let at = piece.push(row.template() | field(first, 24) | field(second, 28), 4);
        piece.repeat(at);
        piece
    }

    /// A checksum or a translation of an address-length pair; the table's address has no length.
    pub(super) fn address_and_length(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let (r1, r2) = self.two_pairs();
        piece.load_value(0, self.rng.below(256) as i32);
        for (register, (base, _)) in [(r1, BASES[0]), (r2, BASES[1])] {
            // QEMU 7.2 does not ignore the last three bits of the address of TRE's table.
            let displacement = self.rng.below(25) * if row.mnemonic == "TRE" { 8 } else { 7 };
            piece.load_address(register, base, displacement as i64);
            piece.load_value(register + 1, self.rng.below(56) as i32);
        }
        let first = if row.mnemonic == "CKSM" { self.rng.pick(&[0, 1, r1, r1 + 1]) } else { r1 };
        let at = piece.push(row.template() | field(first, 24) | field(r2, 28), 4);
        piece.repeat(at);
        piece
    }

    /// Conversions between UTF-8, UTF-16 and UTF-32, of text and of anything.
    pub(super) fn convert_unicode(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let (r1, r2) = self.two_pairs();
        let text = utf8(self.rng);
        let mut length = text.len() as u64;
        for (offset, byte) in (64..).zip(text) {
            piece.store_byte(BASES[1].0, offset, byte);
        }
        // Well-formedness: QEMU 7.2 accepts a lone low surrogate, and refuses what is between U+0800 and U+0FFF.
        let checked = matches!(row.mnemonic, "CU12" | "CU14") && self.rng.one_in(2);
        let mut displacement = 64;
        if checked {
            length -= self.rng.below(length);
        } else {
            displacement = self.rng.pick(&[64, 64, 65, 96, 13]);
            length = self.rng.below(150);
        }
        piece.load_address(r1, BASES[0].0, self.rng.below(100) as i64);
        piece.load_value(r1 + 1, self.rng.below(150) as i32);
        piece.load_address(r2, BASES[1].0, displacement);
        piece.load_value(r2 + 1, length as i32);
        let mask = field(checked.into(), 16);
        let at = piece.push(row.template() | mask | field(r1, 24) | field(r2, 28), 4);
        piece.repeat(at);
        piece
    }

    /// The TRANSLATE family whose table register 1 points to; the table is shared and read only.
    pub(super) fn translate_extended(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let (r1, r2) = self.two_pairs();
        piece.load_value(0, self.rng.below(0x1_0000) as i32);
        piece.load_value(1, TABLE as i32);
        piece.load_address(r1, BASES[0].0, self.rng.below(100) as i64);
        // QEMU 7.2 takes a length of zero for 2^64.
        piece.load_value(r1 + 1, (1 + self.rng.below(34) as i32) * 2);
        piece.load_address(r2, BASES[1].0, self.rng.below(100) as i64);
        // QEMU 7.2 never finds TROT's test character: no comparison then.
        let mask = if row.mnemonic == "TROT" { 1 } else { self.rng.below(2) as u8 };
        let at = piece.push(row.template() | field(mask, 16) | field(r1, 24) | field(r2, 28), 4);
        piece.repeat(at);
        piece
    }

    /// QEMU 7.2 loses the leftmost source byte (UNPK) or character (PKA, PKU): a zero there makes no difference.
    pub(super) fn leading_zero(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = Piece::new(row.mnemonic);
        let code = row.template() | self.fields(row);
        let displacement = code >> 16 & 0xfff;
        let last = if row.mnemonic == "PKU" { 1 } else { 0 };
        piece.store_byte(BASES[1].0, displacement + last, 0);
        piece.push(code, 6);
        piece
    }

    /// QEMU 7.2 forgets the condition code, which TR leaves alone: another instruction sets it.
    pub(super) fn translate(&mut self, row: &'static Instruction) -> Piece {
        let mut piece = self.plain(row);
        piece.push(0x1200 << 48, 2); // LTR 0,0
        piece
    }
}
