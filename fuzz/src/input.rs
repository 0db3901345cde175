//! What inputs of the fuzzer are made of: mostly what an instruction can work with.

use crate::{CODE, LOWCORE, PREFIXES};
use adjunct_hypervisor::Psw;
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};

/// What an instruction finds besides its operands.
#[derive(Clone, Copy, Debug, Default, Arbitrary)]
pub struct Around {
    problem_state: bool,
    key: u8,
    modes: u8,
    /// Which interruptions are let in: machine checks, I/O, external.
    enabled: u8,
    condition_code: u8,
    low_address_protection: bool,
    prefix: bool,
}

impl Around {
    fn key(self) -> u64 {
        // Most guests use key 0.
        if self.key < 0xc0 { 0 } else { u64::from(self.key & 0xf) }
    }

    pub fn problem_state(self) -> bool {
        self.problem_state && self.modes < 0x40
    }

    /// The bits of an address that count.
    pub fn address_mask(self) -> u64 {
        match self.modes & 7 {
            0 => 0x00ff_ffff,
            1 => 0x7fff_ffff,
            _ => u64::MAX,
        }
    }

    /// Whether storage keys keep it from storing: all blocks have key 0.
    pub fn may_store(self) -> bool {
        self.key() == 0
    }

    /// Whether a store to these bytes, at a real address, is refused for their sake.
    pub fn protects(self, real: u64, length: u64) -> bool {
        let touches = |start: u64| real < start + 512 && start < real.saturating_add(length);
        !self.may_store() || self.low_address_protection && (touches(0) || touches(4096))
    }

    pub fn condition_code(self) -> u8 {
        self.condition_code & 3
    }

    pub fn prefix(self) -> u32 {
        PREFIXES[usize::from(self.prefix)]
    }

    /// The absolute address of a real one.
    pub fn absolute(self, real: u64) -> u64 {
        let prefix = u64::from(self.prefix());
        match real {
            0..LOWCORE => real + prefix,
            _ if (prefix..prefix + LOWCORE).contains(&real) => real - prefix,
            _ => real,
        }
    }

    pub(crate) fn psw(self) -> Psw {
        const PROBLEM: u64 = 0x0001_0000_0000_0000;
        let mode = match self.modes & 7 {
            0 => 0,
            1 => 0x8000_0000,
            _ => 0x1_8000_0000,
        };
        let problem = if self.problem_state() { PROBLEM } else { 0 };
        let bit =
            |n: u8, bit: u64| if self.enabled >> 4 == 0xf && self.enabled >> n & 1 != 0 { bit } else { 0 };
        let enabled =
            bit(0, 0x0004_0000_0000_0000) | bit(1, 0x0200_0000_0000_0000) | bit(2, 0x0100_0000_0000_0000);
        let mask = mode | problem | enabled | self.key() << 52 | u64::from(self.condition_code()) << 44;
        Psw { mask, address: CODE }
    }

    pub(crate) fn cr0(self) -> u64 {
        const SERVICE_SIGNAL: u64 = 0x200;
        const LOW_ADDRESS_PROTECTION: u64 = 0x1000_0000;
        0xe0 | SERVICE_SIGNAL | if self.low_address_protection { LOW_ADDRESS_PROTECTION } else { 0 }
    }
}

/// An address in guest storage, or near its end, or nowhere.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Place {
    Page(u8),
    Inside(u32),
    Word(u32),
    Lowcore(u16),
    /// So many bytes before the end.
    End(u16),
    Prefix(u16),
    /// A little before or behind where something begins or ends.
    Near(u8, i8),
    Any(u64),
}

impl Place {
    pub fn address(self) -> u64 {
        match self {
            Self::Page(page) => u64::from(page) << 12,
            Self::Inside(at) => u64::from(at) & 0xf_ffff,
            Self::Word(at) => u64::from(at) & 0xf_fffc,
            Self::Lowcore(at) => u64::from(at) & 0x1fff,
            Self::End(before) => (1 << 20) - u64::from(before & 0x1fff),
            Self::Prefix(at) => 0x8000 + u64::from(at & 0x1fff),
            Self::Near(which, distance) => {
                const EDGES: [u64; 8] = [0, 512, 4096, 4608, LOWCORE, 0x8000, 0xa000, 1 << 20];
                EDGES[usize::from(which & 7)].wrapping_add_signed(distance.into())
            }
            Self::Any(at) => at,
        }
    }
}

/// Up to `N` of them: lists that chance makes are mostly short.
#[derive(Debug)]
pub struct Few<T, const N: usize>(Vec<T>);

impl<T, const N: usize> Few<T, N> {
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// Without a least size, below which an input would not be tried.
impl<'a, T: Arbitrary<'a>, const N: usize> Arbitrary<'a> for Few<T, N> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let count = N - usize::from(bytes.arbitrary::<u8>()?) % (N + 1);
        let mut all = Vec::new();
        while all.len() < count && !bytes.is_empty() {
            all.push(bytes.arbitrary()?);
        }
        Ok(Self(all))
    }
}

/// A word of which most bits are zero, as reserved ones should be.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Sparse {
    Zero,
    Bit(u8),
    Low(u16),
    Any(u32),
}

impl Sparse {
    pub fn word(self) -> u32 {
        match self {
            Self::Zero => 0,
            Self::Bit(bit) => 1 << (bit & 31),
            Self::Low(low) => low.into(),
            Self::Any(word) => word,
        }
    }
}
