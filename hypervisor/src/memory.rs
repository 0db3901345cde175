//! Guest memory: one block at absolute address 0, as s390x has it.

use std::{fmt, str::FromStr};
use vm_memory::{
    GuestAddress, GuestMemoryError, GuestMemoryRegion, GuestMemoryRegionBytes, GuestRegionCollection,
    GuestUsize, MemoryRegionAddress, MmapRegion, VolatileMemory, VolatileSlice, mmap::FromRangesError,
};

/// Guest memory, shared by the VMM, its devices and the host.
pub type GuestMemory = GuestRegionCollection<GuestRegion>;

/// A block of guest memory that begins at a multiple of 1 MiB in this process, wherever it is for the guest.
///
/// Kernels before 7.2 refuse other blocks with EINVAL (`arch/s390/kvm/kvm-s390.c: kvm_arch_prepare_memory_region`), later
/// ones can map large pages only into such.
#[derive(Debug)]
pub struct GuestRegion {
    start: GuestAddress,
    len: usize,
    /// The block, with up to 1 MiB before and after it that nobody touches.
    mapping: MmapRegion,
    /// Where in the mapping the block begins.
    skipped: usize,
}

impl GuestRegion {
    const ALIGNMENT: usize = 1 << 20;

    /// Maps `len` bytes of zeros for the guest to have at `start`.
    ///
    /// # Errors
    /// If the operating system has no such block, or `start` and `len` make no range of addresses.
    pub fn new(start: GuestAddress, len: usize) -> Result<Self, FromRangesError> {
        let end = u64::try_from(len).ok().and_then(|len| start.0.checked_add(len));
        let mapped = len.checked_add(Self::ALIGNMENT).filter(|_| len > 0 && end.is_some());
        let mapping = MmapRegion::new(mapped.ok_or(FromRangesError::InvalidGuestRegion)?)?;
        let address = mapping.as_ptr().addr();
        let skipped = address.next_multiple_of(Self::ALIGNMENT) - address;
        Ok(Self { start, len, mapping, skipped })
    }
}

impl GuestMemoryRegion for GuestRegion {
    type B = ();

    fn len(&self) -> GuestUsize {
        self.len as GuestUsize
    }

    fn start_addr(&self) -> GuestAddress {
        self.start
    }

    fn bitmap(&self) {}

    fn get_host_address(&self, address: MemoryRegionAddress) -> Result<*mut u8, GuestMemoryError> {
        let offset = self.check_address(address).ok_or(GuestMemoryError::InvalidBackendAddress)?;
        let offset = usize::try_from(offset.0).map_err(|_| GuestMemoryError::InvalidBackendAddress)?;
        Ok(self.mapping.as_ptr().wrapping_add(self.skipped + offset))
    }

    fn get_slice(
        &self,
        offset: MemoryRegionAddress,
        count: usize,
    ) -> Result<VolatileSlice<'_, ()>, GuestMemoryError> {
        let block = self.mapping.get_slice(self.skipped, self.len)?;
        let offset = usize::try_from(offset.0).map_err(|_| GuestMemoryError::InvalidBackendAddress)?;
        Ok(block.subslice(offset, count)?)
    }
}

impl GuestMemoryRegionBytes for GuestRegion {}

/// A size of guest memory: a multiple of 1 MiB, at least one.
///
/// Kernels before 7.2 refuse memory slots that are not multiples of 1 MiB with EINVAL
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
    Unavailable(MemorySize, #[source] FromRangesError),
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
    let region = GuestRegion::new(GuestAddress(0), bytes);
    let memory = region.and_then(|region| Ok(GuestMemory::from_regions(vec![region])?));
    memory.map_err(|source| MemoryError::Unavailable(size, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Bytes, GuestMemoryBackend};

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

    /// The address in this process of the guest's address 0.
    fn host_address(memory: &GuestMemory) -> usize {
        memory.get_host_address(GuestAddress(0)).expect("it is there").addr()
    }

    #[test]
    fn guest_memory_begins_at_a_multiple_of_a_mebibyte_in_this_process() {
        // Several at once, and odd things between them, so that chance can't do it.
        let kept: Vec<_> = (1..8_u8)
            .map(|count| {
                let odd = MmapRegion::<()>::new(0x1000 * usize::from(count)).expect("a few pages");
                let size = MemorySize::mebibytes(count.into()).expect("not zero");
                (odd, allocate(size).expect("some MiB can be had"))
            })
            .collect();
        for (_, memory) in &kept {
            assert_eq!(host_address(memory) % (1 << 20), 0);
        }
    }

    #[test]
    fn a_region_is_as_long_as_was_asked_for_and_no_longer() {
        let region = GuestRegion::new(GuestAddress(0x10_0000), 0x3000).expect("three pages");
        let memory = GuestMemory::from_regions(vec![region]).expect("one region");
        let last = GuestAddress(0x10_2fff);
        assert_eq!(memory.last_addr(), last);
        memory.write_obj(0xa9_u8, last).expect("inside");
        assert_eq!(memory.read_obj::<u8>(last).expect("inside"), 0xa9);
        assert!(memory.write_obj(0_u16, last).is_err());
        assert!(memory.get_slice(GuestAddress(0x10_0000), 0x3000).is_ok());
        assert!(memory.get_slice(GuestAddress(0x10_0000), 0x3001).is_err());
        assert!(memory.get_host_address(GuestAddress(0x10_3000)).is_err());
        assert!(memory.read_obj::<u8>(GuestAddress(0x0f_ffff)).is_err());
    }

    #[test]
    fn what_is_written_by_guest_address_lies_at_the_host_address() {
        let memory = allocate(MemorySize::MEBIBYTE).expect("1M can be had");
        memory.write_obj(0x5a_u8, GuestAddress(0x1234)).expect("inside");
        let (from, slice) = (
            memory.get_host_address(GuestAddress(0x1234)).expect("inside"),
            memory.get_slice(GuestAddress(0x1234), 1).expect("inside"),
        );
        assert_eq!(from.cast_const(), slice.ptr_guard().as_ptr());
        assert_eq!(from.addr(), host_address(&memory) + 0x1234);
    }

    #[test]
    fn a_region_that_is_empty_or_leaves_the_address_space_is_refused() {
        for (start, len) in [(0, 0), (u64::MAX, 0x1000), (0, usize::MAX)] {
            assert!(GuestRegion::new(GuestAddress(start), len).is_err(), "{start:#x} {len:#x}");
        }
    }
}
