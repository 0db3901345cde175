//! Guest memory as a device sees it.

use crate::GuestRegion;
use crate::{KernelError, Result};
use vm_memory::{
    Address, GuestMemoryBackend, GuestMemoryRegion, GuestRegionCollection, GuestRegionMmap,
    MemoryRegionAddress, bitmap::Bitmap,
};

/// A region of guest memory that is mapped where it says, for as long as it lives: of `GuestMemoryMmap`, or of this crate's
/// `GuestMemory`. No other can be had here: the kernel and the adapters write to the addresses that a region tells, and
/// anybody can write a region that tells others.
pub trait MappedRegion: GuestMemoryRegion + sealed::Sealed + Send + Sync + 'static {}

impl<B: Bitmap + Send + Sync + 'static> MappedRegion for GuestRegionMmap<B> {}
impl MappedRegion for GuestRegion {}

mod sealed {
    use super::*;

    pub trait Sealed {}

    impl<B: Bitmap> Sealed for GuestRegionMmap<B> {}
    impl Sealed for GuestRegion {}
}

/// A block of guest memory: the address that the guest and the device use, and where the host has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    iova: u64,
    host: u64,
    size: u64,
}

impl Block {
    /// All of `memory`, which stays where it is as long as anybody holds a clone of it.
    ///
    /// # Errors
    /// EFAULT if a part of it can't be had by a host address.
    pub(super) fn all_of<R: MappedRegion>(memory: &GuestRegionCollection<R>) -> Result<Vec<Self>> {
        let unreachable = || KernelError::new("mmap", "guest memory", libc::EFAULT);
        memory
            .iter()
            .map(|region| {
                let host = region.get_host_address(MemoryRegionAddress(0)).map_err(|_| unreachable())?;
                Ok(Self { iova: region.start_addr().raw_value(), host: host as u64, size: region.len() })
            })
            .collect()
    }

    /// The address that the device uses: the guest's absolute address.
    pub(super) fn iova(&self) -> u64 {
        self.iova
    }

    /// The address in this process.
    pub(super) fn host(&self) -> u64 {
        self.host
    }

    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    #[test]
    fn a_device_sees_every_region_at_its_guest_address() {
        let ranges = [(GuestAddress(0), 0x10_0000), (GuestAddress(0x8000_0000), 0x20_0000)];
        let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&ranges).expect("3 MiB can be had");
        let blocks = Block::all_of(&memory).expect("it is mapped");
        let seen: Vec<_> = blocks.iter().map(|block| (block.iova(), block.size())).collect();
        assert_eq!(seen, [(0, 0x10_0000), (0x8000_0000, 0x20_0000)]);
        for block in &blocks {
            let host = memory.get_host_address(GuestAddress(block.iova())).expect("inside");
            assert_eq!(block.host(), host as u64);
        }
    }

    #[test]
    fn a_clone_of_guest_memory_is_the_same_memory() {
        let memory: GuestMemoryMmap =
            GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10_0000)]).expect("1 MiB can be had");
        assert_eq!(Block::all_of(&memory), Block::all_of(&memory.clone()));
    }
}
