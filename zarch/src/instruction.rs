//! What an instruction is apart from what it does: format, facility, and the fields of its 2, 4 or 6 bytes.

/// Instruction formats, named as in the Principles of Operation (chapter 5, "Instruction Formats").
///
/// Fields by bit position; `op` is the opcode, `--` is unused. B/D pairs are a base register and a 12-bit
/// displacement, DL/DH a 20-bit signed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[rustfmt::skip]
pub enum Format {
    /// `op(0-15)`
    E,
    /// `op(0-7) I(8-15)`
    I,
    /// `op(0-15) -- I1(24-27) I2(28-31)`
    IE,
    /// `op(0-7) M1(8-11) RI2(12-23) RI3(24-47)`
    MII,
    /// `op(0-7) R1(8-11) op(12-15) I2(16-31)`
    RIa,
    /// `op(0-7) R1(8-11) op(12-15) RI2(16-31)`
    RIb,
    /// `op(0-7) M1(8-11) op(12-15) RI2(16-31)`
    RIc,
    /// `op(0-7) R1(8-11) -- I2(16-31) M3(32-35) -- op(40-47)`
    RIEa,
    /// `op(0-7) R1(8-11) R2(12-15) RI4(16-31) M3(32-35) -- op(40-47)`
    RIEb,
    /// `op(0-7) R1(8-11) M3(12-15) RI4(16-31) I2(32-39) op(40-47)`
    RIEc,
    /// `op(0-7) R1(8-11) R3(12-15) I2(16-31) -- op(40-47)`
    RIEd,
    /// `op(0-7) R1(8-11) R3(12-15) RI2(16-31) -- op(40-47)`
    RIEe,
    /// `op(0-7) R1(8-11) R2(12-15) I3(16-23) I4(24-31) I5(32-39) op(40-47)`
    RIEf,
    /// `op(0-7) R1(8-11) M3(12-15) I2(16-31) -- op(40-47)`
    RIEg,
    /// `op(0-7) R1(8-11) op(12-15) I2(16-47)`
    RILa,
    /// `op(0-7) R1(8-11) op(12-15) RI2(16-47)`
    RILb,
    /// `op(0-7) M1(8-11) op(12-15) RI2(16-47)`
    RILc,
    /// `op(0-7) R1(8-11) M3(12-15) B4 D4(16-31) I2(32-39) op(40-47)`
    RIS,
    /// `op(0-7) R1(8-11) R2(12-15)`
    RR,
    /// `op(0-15) -- R1(24-27) R2(28-31)`
    RRE,
    /// `op(0-15) R3(16-19) M4(20-23) R1(24-27) R2(28-31)`
    RRFa,
    /// `op(0-15) R3(16-19) -- R1(24-27) R2(28-31)`
    RRFb,
    /// `op(0-15) M3(16-19) -- R1(24-27) R2(28-31)`
    RRFc,
    /// `op(0-7) R1(8-11) R2(12-15) B4 D4(16-31) M3(32-35) -- op(40-47)`
    RRS,
    /// `op(0-7) R1(8-11) R3(12-15) B2 D2(16-31)`
    RSa,
    /// `op(0-7) R1(8-11) M3(12-15) B2 D2(16-31)`
    RSb,
    /// `op(0-7) R1(8-11) R3(12-15) RI2(16-31)`
    RSI,
    /// `op(0-7) L1(8-11) -- B1 D1(16-31) -- op(40-47)`
    RSLa,
    /// `op(0-7) R1(8-11) R3(12-15) B2 DL2(16-31) DH2(32-39) op(40-47)`
    RSYa,
    /// `op(0-7) R1(8-11) M3(12-15) B2 DL2(16-31) DH2(32-39) op(40-47)`
    RSYb,
    /// `op(0-7) R1(8-11) X2(12-15) B2 D2(16-31)`
    RXa,
    /// `op(0-7) M1(8-11) X2(12-15) B2 D2(16-31)`
    RXb,
    /// `op(0-7) R1(8-11) X2(12-15) B2 DL2(16-31) DH2(32-39) op(40-47)`
    RXYa,
    /// `op(0-7) M1(8-11) X2(12-15) B2 DL2(16-31) DH2(32-39) op(40-47)`
    RXYb,
    /// `op(0-15) B2 D2(16-31)`
    S,
    /// `op(0-7) I2(8-15) B1 D1(16-31)`
    SI,
    /// `op(0-15) B1 D1(16-31) I2(32-47)`
    SIL,
    /// `op(0-7) I2(8-15) B1 DL1(16-31) DH1(32-39) op(40-47)`
    SIY,
    /// `op(0-7) M1(8-11) -- B3 D3(16-31) RI2(32-47)`
    SMI,
    /// `op(0-7) L(8-15) B1 D1(16-31) B2 D2(32-47)`
    SSa,
    /// `op(0-7) L1(8-11) L2(12-15) B1 D1(16-31) B2 D2(32-47)`
    SSb,
    /// `op(0-7) L1(8-11) I3(12-15) B1 D1(16-31) B2 D2(32-47)`
    SSc,
    /// `op(0-7) R1(8-11) R3(12-15) B1 D1(16-31) B2 D2(32-47)`
    SSd,
    /// `op(0-7) R1(8-11) R3(12-15) B2 D2(16-31) B4 D4(32-47)`
    SSe,
    /// `op(0-7) L2(8-15) B1 D1(16-31) B2 D2(32-47)`
    SSf,
    /// `op(0-15) B1 D1(16-31) B2 D2(32-47)`
    SSE,
    /// `op(0-7) R3(8-11) op(12-15) B1 D1(16-31) B2 D2(32-47)`
    SSF,
}

/// Where the second part of an opcode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpcodePart {
    /// The first byte is the whole opcode.
    None,
    /// Bits 12-15.
    Nibble,
    /// Bits 8-15.
    SecondByte,
    /// Bits 40-47.
    SixthByte,
}

impl Format {
    pub(crate) const fn opcode_part(self) -> OpcodePart {
        use Format::*;
        match self {
            RR | RXa | RXb | RSa | RSb | RSI | SI | I | SSa | SSb | SSc | SSd | SSe | SSf | MII | SMI => {
                OpcodePart::None
            }
            RIa | RIb | RIc | RILa | RILb | RILc | SSF => OpcodePart::Nibble,
            E | IE | RRE | RRFa | RRFb | RRFc | S | SIL | SSE => OpcodePart::SecondByte,
            RIEa | RIEb | RIEc | RIEd | RIEe | RIEf | RIEg | RIS | RRS | RSLa | RSYa | RSYb | RXYa | RXYb
            | SIY => OpcodePart::SixthByte,
        }
    }
}

/// The facility an instruction belongs to: which bit of the facility list switches it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Facility {
    /// Facility 0: N3 instructions of ESA/390.
    N3 = 0,
    /// Facility 3: DAT enhancement 1.
    DatEnhancement = 3,
    /// Facility 6: ASN and LX reuse.
    AsnLxReuse = 6,
    /// Facility 7: store facility list extended.
    StoreFacilityListExtended = 7,
    /// Facility 16: extended translation 2.
    ExtendedTranslation2 = 16,
    /// Facility 18: long displacement.
    LongDisplacement = 18,
    /// Facility 21: extended immediate.
    ExtendedImmediate = 21,
    /// Facility 22: extended translation 3.
    ExtendedTranslation3 = 22,
    /// Facility 25: STORE CLOCK FAST.
    StoreClockFast = 25,
    /// Facility 26: parsing enhancement.
    ParsingEnhancement = 26,
    /// Facility 27: MOVE WITH OPTIONAL SPECIFICATIONS.
    MoveWithOptionalSpecifications = 27,
    /// Facility 31: EXTRACT CPU TIME.
    ExtractCpuTime = 31,
    /// Facility 32: compare and swap and store.
    CompareAndSwapAndStore = 32,
    /// Facility 34: general instructions extension (z10).
    GeneralInstructionsExtension = 34,
    /// Facility 35: execute extensions.
    ExecuteExtensions = 35,
    /// Facility 45: distinct operands, high word, interlocked access 1, load/store on condition, population
    /// count (z196).
    DistinctOperands = 45,
    /// Facility 49: execution hint, load and trap, miscellaneous instruction extensions 1, processor assist
    /// (zEC12).
    ExecutionHint = 49,
    /// Facility 53: load/store on condition 2, load and zero rightmost byte (z13).
    LoadStoreOnCondition2 = 53,
    /// Facility 58: miscellaneous instruction extensions 2 (z14).
    MiscellaneousExtensions2 = 58,
    /// Facility 61: miscellaneous instruction extensions 3 (z15).
    MiscellaneousExtensions3 = 61,
    /// None: part of every z/Architecture CPU.
    Z = u16::MAX,
}

impl Facility {
    /// The bit in the facility list; `None` for what every z/Architecture CPU has.
    #[must_use]
    pub const fn number(self) -> Option<u16> {
        match self {
            Self::Z => None,
            other => Some(other as u16),
        }
    }
}

/// One instruction of the table, without what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The assembler's name.
    pub mnemonic: &'static str,
    /// First byte in the high byte. The low byte is what distinguishes: the second byte (`b9xx`), the low
    /// nibble of the second byte (`a7_x`, as `0xa70x`), the sixth byte (`e3...xx`), or zero.
    pub opcode: u16,
    /// Where its operands are.
    pub format: Format,
    /// What switches it on.
    pub facility: Facility,
    /// Whether the problem state makes it a privileged-operation exception.
    pub privileged: bool,
}

impl Instruction {
    /// Length in bytes: 2, 4 or 6, as the first two bits of the opcode say.
    #[must_use]
    pub const fn length(&self) -> u8 {
        length((self.opcode >> 8) as u8)
    }

    /// The instruction with all operand fields zero, 48 bits left-aligned.
    #[must_use]
    pub const fn template(&self) -> u64 {
        let first = ((self.opcode >> 8) as u64) << 56;
        let second = (self.opcode & 0xff) as u64;
        match self.format.opcode_part() {
            OpcodePart::None => first,
            OpcodePart::Nibble | OpcodePart::SecondByte => first | second << 48,
            OpcodePart::SixthByte => first | second << 16,
        }
    }
}

/// Bytes of an instruction that begins with this byte.
#[inline]
#[must_use]
pub(crate) const fn length(first_byte: u8) -> u8 {
    match first_byte >> 6 {
        0 => 2,
        1 | 2 => 4,
        _ => 6,
    }
}

/// The bits of one instruction, left-aligned in 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u64);

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "each field is cut out of the word by shift and mask"
)]
impl Code {
    /// `width` bits from bit `first` on.
    #[inline(always)]
    const fn bits(self, first: u32, width: u32) -> u64 {
        self.0 << first >> (64 - width)
    }
    #[inline(always)]
    const fn signed(self, first: u32, width: u32) -> i64 {
        (self.0 << first) as i64 >> (64 - width)
    }
    /// The nibble at bit 8: R1, M1 or L1 of most formats.
    #[inline(always)]
    pub(crate) const fn n8(self) -> usize {
        self.bits(8, 4) as usize
    }
    /// The nibble at bit 12.
    #[inline(always)]
    pub(crate) const fn n12(self) -> usize {
        self.bits(12, 4) as usize
    }
    /// The nibble at bit 16.
    #[inline(always)]
    pub(crate) const fn n16(self) -> usize {
        self.bits(16, 4) as usize
    }
    /// The nibble at bit 20.
    #[inline(always)]
    pub(crate) const fn n20(self) -> usize {
        self.bits(20, 4) as usize
    }
    /// The nibble at bit 24: R1 of RRE and RRF.
    #[inline(always)]
    pub(crate) const fn n24(self) -> usize {
        self.bits(24, 4) as usize
    }
    /// The nibble at bit 28: R2 of RRE and RRF.
    #[inline(always)]
    pub(crate) const fn n28(self) -> usize {
        self.bits(28, 4) as usize
    }
    /// The nibble at bit 32: base of a second storage operand, or a mask.
    #[inline(always)]
    pub(crate) const fn n32(self) -> usize {
        self.bits(32, 4) as usize
    }
    /// The byte at bit 8: I, I2, L.
    #[inline(always)]
    pub(crate) const fn b8(self) -> u8 {
        self.bits(8, 8) as u8
    }
    /// The byte at bit 16.
    #[inline(always)]
    pub(crate) const fn b16(self) -> u8 {
        self.bits(16, 8) as u8
    }
    /// The byte at bit 24.
    #[inline(always)]
    pub(crate) const fn b24(self) -> u8 {
        self.bits(24, 8) as u8
    }
    /// The byte at bit 32.
    #[inline(always)]
    pub(crate) const fn b32(self) -> u8 {
        self.bits(32, 8) as u8
    }
    /// The halfword at bit 16: I2 of RI, RIE.
    #[inline(always)]
    pub(crate) const fn h16(self) -> u16 {
        self.bits(16, 16) as u16
    }
    /// The halfword at bit 32: I2 of SIL.
    #[inline(always)]
    pub(crate) const fn h32(self) -> u16 {
        self.bits(32, 16) as u16
    }
    /// The word at bit 16: I2 of RIL.
    #[inline(always)]
    pub(crate) const fn w16(self) -> u32 {
        self.bits(16, 32) as u32
    }
    /// 12-bit displacement at bit 20.
    #[inline(always)]
    pub(crate) const fn d20(self) -> u64 {
        self.bits(20, 12)
    }
    /// 12-bit displacement at bit 36.
    #[inline(always)]
    pub(crate) const fn d36(self) -> u64 {
        self.bits(36, 12)
    }
    /// 20-bit signed displacement: DL at bit 20, DH at bit 32.
    #[inline(always)]
    pub(crate) const fn long_displacement(self) -> u64 {
        (self.signed(32, 8) << 12).cast_unsigned() | self.d20()
    }
    /// Byte distance of a 16-bit count of halfwords at bit 16.
    #[inline(always)]
    pub(crate) const fn relative16(self) -> u64 {
        (self.signed(16, 16) << 1).cast_unsigned()
    }
    /// Byte distance of a 32-bit count of halfwords at bit 16.
    #[inline(always)]
    pub(crate) const fn relative32(self) -> u64 {
        (self.signed(16, 32) << 1).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_displacements_are_signed_with_the_high_byte_last() {
        // LG %r1,-8(%r2,%r15) as GNU as assembles it: e3 12 ff f8 ff 04.
        let code = Code(0xe312_fff8_ff04_0000);
        assert_eq!((code.n8(), code.n12(), code.n16()), (1, 2, 15));
        assert_eq!(code.long_displacement(), u64::MAX - 7);
        assert_eq!(Code(0xe312_f001_0104_0000).long_displacement(), 0x1001);
    }

    #[test]
    fn relative_operands_count_halfwords() {
        assert_eq!(Code(0xa7f4_ffff_0000_0000).relative16(), u64::MAX - 1);
        assert_eq!(Code(0xc0e5_ffff_fffe_0000).relative32(), u64::MAX - 3);
    }
}
