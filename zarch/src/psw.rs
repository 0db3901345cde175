//! The program status word: its bits, its addressing mode, and which values the architecture calls invalid.

/// The 128-bit PSW of z/Architecture as its two doublewords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Psw {
    /// Bits 0-63: masks, key, address-space control, condition code, program mask, addressing mode.
    pub mask: u64,
    /// Bits 64-127: the address of the next instruction.
    pub address: u64,
}

/// Bit 1, PER.
pub const PER: u64 = 1 << 62;
/// Bit 5, dynamic address translation.
pub const DAT: u64 = 1 << 58;
/// Bit 6, input/output interruptions.
pub const IO: u64 = 1 << 57;
/// Bit 7, external interruptions.
pub const EXTERNAL: u64 = 1 << 56;
/// Bits 8-11, the access key.
pub const KEY: u64 = 0xf << 52;
/// Bit 13, machine-check interruptions.
pub const MACHINE_CHECK: u64 = 1 << 50;
/// Bit 14, wait state.
pub const WAIT: u64 = 1 << 49;
/// Bit 15, problem state.
pub const PROBLEM: u64 = 1 << 48;
/// Bits 16-17, address-space control.
pub const ADDRESS_SPACE: u64 = 3 << 46;
/// Bits 18-19, condition code.
pub const CONDITION_CODE: u64 = 3 << 44;
/// Bits 20-23, program mask: fixed-point overflow, decimal overflow, HFP underflow, HFP significance.
pub const PROGRAM_MASK: u64 = 0xf << 40;
/// Bit 20, fixed-point overflow.
pub const FIXED_POINT_OVERFLOW: u64 = 1 << 43;
/// Bit 21, decimal overflow.
pub const DECIMAL_OVERFLOW: u64 = 1 << 42;
/// Bit 31, extended addressing mode.
pub const EXTENDED_ADDRESSING: u64 = 1 << 32;
/// Bit 32, basic addressing mode.
pub const BASIC_ADDRESSING: u64 = 1 << 31;
/// Bits 31-32 together: 64-bit addressing.
pub const ADDRESSING_64: u64 = EXTENDED_ADDRESSING | BASIC_ADDRESSING;

/// Bits that must be zero: 0, 2-4, 12, 24-30 and 33-63.
const MUST_BE_ZERO: u64 = 0xb808_00fe_7fff_ffff;

/// The width of addresses, PSW bits 31 and 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressingMode {
    /// 24-bit addresses.
    Bits24,
    /// 31-bit addresses.
    Bits31,
    /// 64-bit addresses.
    Bits64,
}

impl AddressingMode {
    /// The bits that an address of this mode may have.
    #[must_use]
    pub const fn address_mask(self) -> u64 {
        match self {
            Self::Bits24 => 0x00ff_ffff,
            Self::Bits31 => 0x7fff_ffff,
            Self::Bits64 => u64::MAX,
        }
    }
}

impl Psw {
    /// A PSW of these two doublewords.
    #[must_use]
    pub const fn new(mask: u64, address: u64) -> Self {
        Self { mask, address }
    }

    /// The 16 bytes as storage has them.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 16] {
        (u128::from(self.mask) << 64 | u128::from(self.address)).to_be_bytes()
    }

    /// From the 16 bytes in storage.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 16]) -> Self {
        let [m0, m1, m2, m3, m4, m5, m6, m7, a0, a1, a2, a3, a4, a5, a6, a7] = bytes;
        Self::new(
            u64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]),
            u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
        )
    }

    /// A PSW from the short form of LPSW and of the IPL PSW at absolute 0: bit 12 inverted, bits 33-63 the
    /// address. `None` when bit 12 is zero, which makes the short form invalid.
    #[must_use]
    pub const fn from_short(short: u64) -> Option<Self> {
        const BIT_12: u64 = 1 << 51;
        if short & BIT_12 == 0 {
            return None;
        }
        Some(Self::new((short ^ BIT_12) & !0x7fff_ffff, short & 0x7fff_ffff))
    }

    /// The addressing mode of bits 31 and 32. The invalid combination counts as 24-bit.
    #[must_use]
    pub const fn addressing_mode(self) -> AddressingMode {
        match self.mask & ADDRESSING_64 {
            ADDRESSING_64 => AddressingMode::Bits64,
            BASIC_ADDRESSING => AddressingMode::Bits31,
            _ => AddressingMode::Bits24,
        }
    }

    /// The condition code, 0-3.
    #[must_use]
    pub const fn condition_code(self) -> u8 {
        (self.mask >> 44 & 3) as u8
    }

    /// Sets the condition code; bits above the lowest two of `code` are ignored.
    pub const fn set_condition_code(&mut self, code: u8) {
        self.mask = self.mask & !CONDITION_CODE | ((code & 3) as u64) << 44;
    }

    /// The access key, 0-15.
    #[must_use]
    pub const fn key(self) -> u8 {
        (self.mask >> 52 & 0xf) as u8
    }

    /// Whether the program is in the problem state.
    #[must_use]
    pub const fn problem_state(self) -> bool {
        self.mask & PROBLEM != 0
    }

    /// Whether the CPU takes no input/output, external or machine-check interruption.
    #[must_use]
    pub const fn disabled(self) -> bool {
        self.mask & (IO | EXTERNAL | MACHINE_CHECK) == 0
    }

    /// Whether the PSW may be loaded without an early specification exception (Principles of Operation,
    /// chapter 6, "Early Exception Recognition"; an odd address is recognised late).
    #[must_use]
    pub const fn valid(self) -> bool {
        if self.mask & MUST_BE_ZERO != 0 {
            return false;
        }
        match self.mask & ADDRESSING_64 {
            ADDRESSING_64 => true,
            BASIC_ADDRESSING => self.address <= 0x7fff_ffff,
            0 => self.address <= 0x00ff_ffff,
            _ => false,
        }
    }

    /// [`Psw::valid`], and the address is even: the next instruction can be fetched without a specification exception
    /// (`arch/s390/kvm/priv.c: is_valid_psw`).
    #[must_use]
    pub const fn fetchable(self) -> bool {
        self.valid() && self.address & 1 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_psws_need_bit_12_and_lose_it() {
        assert_eq!(Psw::from_short(0), None);
        assert_eq!(
            Psw::from_short(0x0008_0000_8001_0000),
            Some(Psw::new(0x0000_0000_8000_0000, 0x0001_0000))
        );
    }

    #[test]
    fn addresses_beyond_the_addressing_mode_make_a_psw_invalid() {
        assert!(Psw::new(ADDRESSING_64, u64::MAX).valid());
        assert!(Psw::new(BASIC_ADDRESSING, 0x7fff_ffff).valid());
        assert!(!Psw::new(BASIC_ADDRESSING, 0x8000_0000).valid());
        assert!(Psw::new(0, 0x00ff_ffff).valid());
        assert!(!Psw::new(0, 0x0100_0000).valid());
        assert!(!Psw::new(EXTENDED_ADDRESSING, 0).valid());
    }

    #[test]
    fn an_odd_address_is_valid_until_an_instruction_is_fetched_there() {
        let odd = Psw::new(ADDRESSING_64, 0x1001);
        assert!(odd.valid() && !odd.fetchable());
        assert!(Psw::new(ADDRESSING_64, 0x1000).fetchable());
        assert!(!Psw::new(ADDRESSING_64 | 1, 0x1000).fetchable());
    }

    #[test]
    fn every_unassigned_mask_bit_makes_a_psw_invalid() {
        for bit in [0, 2, 3, 4, 12, 24, 30, 33, 63] {
            assert!(!Psw::new(ADDRESSING_64 | 1 << (63 - bit), 0).valid(), "bit {bit}");
        }
        for bit in [1, 5, 6, 7, 8, 11, 13, 14, 15, 16, 17, 18, 19, 20, 23] {
            assert!(Psw::new(ADDRESSING_64 | 1 << (63 - bit), 0).valid(), "bit {bit}");
        }
    }

    #[test]
    fn bytes_are_big_endian_and_round_trip() {
        let psw = Psw::new(0x0102_0304_0506_0708, 0x090a_0b0c_0d0e_0f10);
        assert_eq!(psw.to_be_bytes()[..3], [1, 2, 3]);
        assert_eq!(Psw::from_be_bytes(psw.to_be_bytes()), psw);
    }
}
