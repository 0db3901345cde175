//! Guest memory as the interpreter's absolute storage.
//!
//! Aligned accesses are single-copy atomic, so that several vCPU threads and the VMM may share the
//! memory; byte order is turned here and nowhere else.

use adjunct_hypervisor::GuestMemory;
use adjunct_zarch::storage::{OutsideStorage, Storage, StorageKeys, Width};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
};
use vm_memory::{Bytes, GuestMemoryBackend as _, GuestMemoryRegion, VolatileMemory, VolatileSlice};

/// The memory of a VM and what the machine keeps about it.
#[derive(Debug)]
pub(super) struct Memory {
    guest: GuestMemory,
    keys: StorageKeys,
    /// Held for interlocked updates of 16 bytes, which Rust has no atomic for: they are atomic among
    /// themselves only.
    wide: Mutex<()>,
}

impl Memory {
    /// Takes the block at absolute address 0 of `guest`; `None` if there is none.
    pub(super) fn new(guest: &GuestMemory) -> Option<Self> {
        let region = guest.iter().next()?;
        let keys = StorageKeys::new(region.len());
        (region.start_addr().0 == 0).then(|| Self { guest: guest.clone(), keys, wide: Mutex::default() })
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.guest.iter().next().map_or(0, GuestMemoryRegion::len)
    }

    /// The memory for one run of a vCPU.
    pub(super) fn absolute(&self) -> Option<Absolute<'_>> {
        let ram = self.guest.iter().next()?.as_volatile_slice().ok()?;
        Some(Absolute { ram, memory: self })
    }

    /// Makes the byte at `absolute` non-zero, as an AP sets a notification-indicator byte.
    pub(super) fn notify(&self, absolute: u64) -> Result<(), OutsideStorage> {
        self.absolute().ok_or(OutsideStorage)?.store(absolute, Width::Byte, 1)
    }
}

/// Absolute storage, borrowed for one run.
#[derive(Debug)]
pub(super) struct Absolute<'a> {
    ram: VolatileSlice<'a>,
    memory: &'a Memory,
}

impl Absolute<'_> {
    #[inline]
    fn offset(absolute: u64) -> Result<usize, OutsideStorage> {
        usize::try_from(absolute).map_err(|_| OutsideStorage)
    }

    /// An aligned doubleword.
    #[inline]
    fn doubleword(&self, at: usize) -> Result<u128, OutsideStorage> {
        self.ram
            .load::<u64>(at, Ordering::Acquire)
            .map(|n| u64::from_be(n).into())
            .map_err(|_| OutsideStorage)
    }

    /// A number that is not aligned, cut out of the doublewords that it lies in: this is how most instructions are
    /// fetched, so it must be fast.
    #[inline]
    fn load_unaligned(&self, at: usize, width: usize) -> Result<u64, OutsideStorage> {
        let (first, skip) = (at & !7, at & 7);
        let mut bits = self.doubleword(first)? << 64;
        if skip + width > 8 {
            bits |= self.doubleword(first.checked_add(8).ok_or(OutsideStorage)?)?;
        }
        let number = bits << (8 * skip) >> (128 - 8 * width);
        // At most eight bytes are left.
        u64::try_from(number).map_err(|_| OutsideStorage)
    }
}

/// Swaps in one atomic of the given type; values of guest memory are big-endian.
macro_rules! swap {
    ($ram:expr, $at:expr, $atomic:ty, $number:ty, $expected:expr, $new:expr) => {{
        let cell = $ram.get_atomic_ref::<$atomic>($at).map_err(|_| OutsideStorage)?;
        // The caller's numbers are `width` bytes wide; what is above them was never there.
        let [expected, new] = [$expected, $new].map(|n| narrow::<{ size_of::<$number>() }>(n));
        let [expected, new] = [<$number>::from_ne_bytes(expected), <$number>::from_ne_bytes(new)];
        let old = match cell.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(old) | Err(old) => old,
        };
        Ok(u64::from(<$number>::from_be(old)))
    }};
}

/// The low `N` bytes of a number in storage order.
fn narrow<const N: usize>(number: u64) -> [u8; N] {
    let bytes = number.to_be_bytes();
    std::array::from_fn(|i| bytes[8 - N + i])
}

impl Storage for Absolute<'_> {
    fn size(&self) -> u64 {
        self.ram.len() as u64
    }

    fn keys(&self) -> &StorageKeys {
        &self.memory.keys
    }

    fn read(&self, absolute: u64, buffer: &mut [u8]) -> Result<(), OutsideStorage> {
        self.ram.read_slice(buffer, Self::offset(absolute)?).map_err(|_| OutsideStorage)
    }

    fn write(&self, absolute: u64, data: &[u8]) -> Result<(), OutsideStorage> {
        let at = Self::offset(absolute)?;
        // Nothing may be stored when part of it is outside.
        let target = self.ram.subslice(at, data.len()).map_err(|_| OutsideStorage)?;
        target.copy_from(data);
        Ok(())
    }

    #[inline]
    fn load(&self, absolute: u64, width: Width) -> Result<u64, OutsideStorage> {
        let at = Self::offset(absolute)?;
        if !at.is_multiple_of(width.bytes()) {
            return self.load_unaligned(at, width.bytes());
        }
        let order = Ordering::Acquire;
        match width {
            Width::Byte => self.ram.load::<u8>(at, order).map(u64::from),
            Width::Half => self.ram.load::<u16>(at, order).map(|n| u64::from(u16::from_be(n))),
            Width::Word => self.ram.load::<u32>(at, order).map(|n| u64::from(u32::from_be(n))),
            Width::Double => self.ram.load::<u64>(at, order).map(u64::from_be),
        }
        .map_err(|_| OutsideStorage)
    }

    #[inline]
    fn store(&self, absolute: u64, width: Width, value: u64) -> Result<(), OutsideStorage> {
        let at = Self::offset(absolute)?;
        if !at.is_multiple_of(width.bytes()) {
            return self.write(absolute, &value.to_be_bytes()[8 - width.bytes()..]);
        }
        let order = Ordering::Release;
        match width {
            Width::Byte => self.ram.store(u8::from_ne_bytes(narrow(value)), at, order),
            Width::Half => self.ram.store(u16::from_ne_bytes(narrow(value)), at, order),
            Width::Word => self.ram.store(u32::from_ne_bytes(narrow(value)), at, order),
            Width::Double => self.ram.store(value.to_be(), at, order),
        }
        .map_err(|_| OutsideStorage)
    }

    fn compare_and_swap(
        &self,
        absolute: u64,
        width: Width,
        expected: u64,
        new: u64,
    ) -> Result<u64, OutsideStorage> {
        let at = Self::offset(absolute)?;
        match width {
            Width::Byte => swap!(self.ram, at, AtomicU8, u8, expected, new),
            Width::Half => swap!(self.ram, at, AtomicU16, u16, expected, new),
            Width::Word => swap!(self.ram, at, AtomicU32, u32, expected, new),
            Width::Double => swap!(self.ram, at, AtomicU64, u64, expected, new),
        }
    }

    fn compare_and_swap_16(&self, absolute: u64, expected: u128, new: u128) -> Result<u128, OutsideStorage> {
        let _guard = self.memory.wide.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; 16];
        self.read(absolute, &mut bytes)?;
        let old = u128::from_be_bytes(bytes);
        if old == expected {
            self.write(absolute, &new.to_be_bytes())?;
        }
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_hypervisor::{MemorySize, allocate};
    use adjunct_zarch::storage::FlatStorage;
    use proptest::prelude::*;

    const SIZE: u64 = 1 << 20;

    fn memory() -> Memory {
        let guest = allocate(MemorySize::mebibytes(1).expect("not zero")).expect("1M can be had");
        Memory::new(&guest).expect("it starts at 0")
    }

    fn width() -> impl Strategy<Value = Width> {
        prop_oneof![Just(Width::Byte), Just(Width::Half), Just(Width::Word), Just(Width::Double)]
    }

    #[derive(Clone, Debug)]
    enum Access {
        Load(u64, Width),
        Store(u64, Width, u64),
        Swap(u64, Width, u64, u64),
        Swap16(u64, u128, u128),
        Write(u64, Vec<u8>),
    }

    /// Addresses near the start, so that accesses meet, and around the end.
    fn address() -> impl Strategy<Value = u64> {
        prop_oneof![0..64_u64, SIZE - 32..SIZE + 32, Just(u64::MAX - 3)]
    }

    fn access() -> impl Strategy<Value = Access> {
        let aligned = |at: u64, width: Width| at - at % width.bytes() as u64;
        prop_oneof![
            (address(), width()).prop_map(|(at, w)| Access::Load(at, w)),
            (address(), width(), any::<u64>()).prop_map(|(at, w, n)| Access::Store(at, w, n)),
            (address(), width(), 0..2_u64, any::<u64>()).prop_map(move |(at, w, old, new)| Access::Swap(
                aligned(at, w),
                w,
                old,
                new & 0xff
            )),
            (address(), 0..2_u128, any::<u128>()).prop_map(|(at, old, n)| Access::Swap16(at & !15, old, n)),
            (address(), proptest::collection::vec(any::<u8>(), 0..40))
                .prop_map(|(at, data)| Access::Write(at, data)),
        ]
    }

    fn answer(storage: &dyn Storage, access: &Access) -> Result<u128, OutsideStorage> {
        match access {
            Access::Load(at, width) => storage.load(*at, *width).map(u128::from),
            Access::Store(at, width, value) => storage.store(*at, *width, *value).map(|()| 0),
            Access::Swap(at, width, old, new) => {
                storage.compare_and_swap(*at, *width, *old, *new).map(u128::from)
            }
            Access::Swap16(at, old, new) => storage.compare_and_swap_16(*at, *old, *new),
            Access::Write(at, data) => storage.write(*at, data).map(|()| 0),
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_the_interpreters_own_storage_does(accesses in proptest::collection::vec(access(), 1..40)) {
            let memory = memory();
            let ours = memory.absolute().expect("there is memory");
            let flat = FlatStorage::new(1 << 20);
            for access in &accesses {
                prop_assert_eq!(answer(&ours, access), answer(&flat, access), "{:?}", access);
            }
            for start in [0, SIZE - 64] {
                let (mut a, mut b) = ([0; 64], [0; 64]);
                ours.read(start, &mut a).expect("inside");
                flat.read(start, &mut b).expect("inside");
                prop_assert_eq!(a, b);
            }
        }
    }

    #[test]
    fn a_notification_sets_the_byte_and_not_its_neighbours() {
        let memory = memory();
        memory.notify(0x1003).expect("inside");
        assert_eq!(memory.absolute().expect("there is memory").load(0x1000, Width::Double), Ok(1 << 32));
        assert_eq!(memory.notify(SIZE), Err(OutsideStorage));
    }
}
