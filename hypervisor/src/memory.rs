//! Guest memory: one block at absolute address 0, as s390x has it.

use std::{fmt, str::FromStr};
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// Guest memory, shared by the VMM, its devices and the host.
pub type GuestMemory = GuestMemoryMmap<()>;

/// A size of guest memory: a multiple of 1 MiB, at least one.
///
/// Kernels up to 6.12 refuse memory slots that are not multiples of 1 MiB with EINVAL
/// (`kvm_arch_prepare_memory_region`), and SCLP counts memory in such units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(u64);

impl MemorySize {
    /// Unit of memory sizes, in bytes.
    pub const UNIT: u64 = 1 << 20;

    /// The smallest: 1 MiB.
    pub const MEBIBYTE: Self = Self(Self::UNIT);

    /// Takes a size in MiB.
    pub const fn mebibytes(count: u32) -> Option<Self> {
        match count {
            0 => None,
            n => Some(Self(n as u64 * Self::UNIT)),
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// As options write it: `256M`, `2G`.
impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % (1 << 30) == 0 => write!(f, "{}G", n >> 30),
            n => write!(f, "{}M", n >> 20),
        }
    }
}

/// Why guest memory can't be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Not a number with a unit.
    #[error("{0:?} is not a memory size; write a number with M, G or T, for example 256M")]
    Malformed(String),
    /// Not a positive multiple of 1 MiB.
    #[error("memory size {0:?} is no multiple of 1M above zero")]
    Unaligned(String),
    /// The operating system has no such block.
    #[error("{0} of guest memory can't be had; give less with --memory")]
    Unavailable(MemorySize, #[source] vm_memory::mmap::FromRangesError),
}

impl FromStr for MemorySize {
    type Err = MemoryError;

    /// As QEMU's `-m`: a plain number is MiB; K, M, G and T are units of 1024, in either case.
    fn from_str(text: &str) -> Result<Self, MemoryError> {
        let malformed = || MemoryError::Malformed(text.to_owned());
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "K" => 10,
            "" | "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(malformed()),
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let count: u64 = digits.parse().map_err(|_| malformed())?;
        let bytes = count.checked_mul(1 << shift).ok_or_else(malformed)?;
        if bytes == 0 || bytes % Self::UNIT != 0 {
            return Err(MemoryError::Unaligned(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

/// Allocates zeroed guest memory of `size` at absolute address 0.
///
/// # Errors
/// [`MemoryError::Unavailable`] if the operating system refuses.
pub fn allocate(size: MemorySize) -> Result<GuestMemory, MemoryError> {
    let bytes = usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    GuestMemory::from_ranges(&[(GuestAddress(0), bytes)])
        .map_err(|source| MemoryError::Unavailable(size, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::Bytes;

    #[test]
    fn sizes_are_read_as_qemu_reads_them_and_written_back() {
        for (text, written) in
            [("256M", "256M"), ("256", "256M"), ("2048m", "2G"), ("1g", "1G"), ("4096K", "4M")]
        {
            let size: MemorySize = text.parse().expect(text);
            assert_eq!(size.to_string(), written, "{text}");
            assert_eq!(written.parse::<MemorySize>().expect(written), size);
        }
    }

    #[test]
    fn a_size_that_is_no_positive_multiple_of_a_mebibyte_is_refused_by_name() {
        for text in ["0", "0G", "1000K", "1K"] {
            assert!(matches!(text.parse::<MemorySize>(), Err(MemoryError::Unaligned(t)) if t == text));
        }
        for text in ["", "M", "-1M", "1.5G", "1MB", "0x10M", "99999999999999999999", "16777217T", "+1M"] {
            assert!(
                matches!(text.parse::<MemorySize>(), Err(MemoryError::Malformed(t)) if t == text),
                "{text}"
            );
        }
    }

    #[test]
    fn guest_memory_starts_at_absolute_address_0_and_is_zero() {
        let memory = allocate(MemorySize::mebibytes(2).expect("not zero")).expect("2M can be had");
        assert_eq!(memory.read_obj::<u64>(GuestAddress(0)).expect("inside"), 0);
        assert_eq!(memory.read_obj::<u64>(GuestAddress(0x1f_fff8)).expect("inside"), 0);
        assert!(memory.read_obj::<u8>(GuestAddress(0x20_0000)).is_err());
    }
}
