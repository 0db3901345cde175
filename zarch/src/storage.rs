//! Absolute storage as a CPU sees it: bytes, single-copy atomic fetches and stores, interlocked updates, keys.
//!
//! It knows nothing of prefixing, translation or protection: those belong to the CPU that makes the access.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

/// An access touches bytes that the configuration does not have: an addressing exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address is outside the configured storage")]
pub struct OutsideStorage;

/// How many bytes one fetch or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Width {
    /// 1 byte.
    Byte = 1,
    /// 2 bytes.
    Half = 2,
    /// 4 bytes.
    Word = 4,
    /// 8 bytes.
    Double = 8,
}

impl Width {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self as usize
    }
}

/// The absolute storage of a configuration. Methods take `&self`: several CPUs share it.
///
/// Values are numbers: byte order is the implementation's business, and storage itself is big-endian.
pub trait Storage {
    /// Bytes of storage: the lowest address that is outside. A multiple of 4096.
    fn size(&self) -> u64;

    /// The storage keys, one for each 4096-byte block.
    fn keys(&self) -> &StorageKeys;

    /// Copies `buffer.len()` bytes from `absolute` on.
    ///
    /// # Errors
    /// Any byte outside storage; `buffer` is unspecified then.
    fn read(&self, absolute: u64, buffer: &mut [u8]) -> Result<(), OutsideStorage>;

    /// Copies `data` to `absolute` and on.
    ///
    /// # Errors
    /// Any byte outside storage; nothing is stored then.
    fn write(&self, absolute: u64, data: &[u8]) -> Result<(), OutsideStorage>;

    /// Fetches an unsigned big-endian number. The address may have any alignment; an aligned fetch is single-copy
    /// atomic when several threads use the storage.
    ///
    /// # Errors
    /// Any byte outside storage.
    #[inline]
    fn load(&self, absolute: u64, width: Width) -> Result<u64, OutsideStorage> {
        let mut bytes = [0; 8];
        self.read(absolute, &mut bytes[8 - width.bytes()..])?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Stores the low `width` bytes of a number, big-endian. Alignment and atomicity as for [`Storage::load`].
    ///
    /// # Errors
    /// Any byte outside storage; nothing is stored then.
    #[inline]
    fn store(&self, absolute: u64, width: Width, value: u64) -> Result<(), OutsideStorage> {
        self.write(absolute, &value.to_be_bytes()[8 - width.bytes()..])
    }

    /// Stores `new` where `expected` is, as one interlocked update, and returns what was there before: the store
    /// was made exactly when that equals `expected`. `absolute` is a multiple of the width.
    ///
    /// # Errors
    /// Any byte outside storage.
    fn compare_and_swap(
        &self,
        absolute: u64,
        width: Width,
        expected: u64,
        new: u64,
    ) -> Result<u64, OutsideStorage>;

    /// [`Storage::compare_and_swap`] of 16 bytes on a 16-byte boundary; atomic where the implementation can.
    ///
    /// # Errors
    /// Any byte outside storage.
    fn compare_and_swap_16(&self, absolute: u64, expected: u128, new: u128) -> Result<u128, OutsideStorage>;
}

/// One storage key for each 4096-byte block: access-control bits, fetch protection, reference and change
/// (`ACC 0-3, F 4, R 5, C 6`, as ISKE shows it).
#[derive(Debug)]
pub struct StorageKeys {
    keys: Box<[AtomicU8]>,
}

impl StorageKeys {
    /// Fetch-protection bit of a key.
    pub const FETCH_PROTECTED: u8 = 0x08;
    /// Reference bit of a key.
    pub const REFERENCED: u8 = 0x04;
    /// Change bit of a key.
    pub const CHANGED: u8 = 0x02;

    /// Keys of zero for `size` bytes of storage.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let blocks = usize::try_from(size >> 12).unwrap_or(usize::MAX);
        Self { keys: std::iter::repeat_with(AtomicU8::default).take(blocks).collect() }
    }

    /// The key of the block that `absolute` is in.
    ///
    /// # Errors
    /// The address is outside storage.
    pub fn get(&self, absolute: u64) -> Result<u8, OutsideStorage> {
        Ok(self.at(absolute)?.load(Ordering::Relaxed))
    }

    /// Sets the key of the block that `absolute` is in; bit 7 of `key` is ignored. Returns the old key.
    ///
    /// # Errors
    /// The address is outside storage.
    pub fn set(&self, absolute: u64, key: u8) -> Result<u8, OutsideStorage> {
        Ok(self.at(absolute)?.swap(key & 0xfe, Ordering::Relaxed))
    }

    fn at(&self, absolute: u64) -> Result<&AtomicU8, OutsideStorage> {
        usize::try_from(absolute >> 12).ok().and_then(|block| self.keys.get(block)).ok_or(OutsideStorage)
    }
}

/// Storage in one allocation, for one thread: what tests, benches and small tools need.
#[derive(Debug)]
pub struct FlatStorage {
    bytes: Box<[Cell<u8>]>,
    keys: StorageKeys,
}

impl FlatStorage {
    /// `size` bytes of zeros, rounded up to a multiple of 4096.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let size = size.next_multiple_of(4096);
        Self { bytes: vec![Cell::new(0); size].into(), keys: StorageKeys::new(size as u64) }
    }

    #[inline]
    fn range(&self, absolute: u64, length: usize) -> Result<&[Cell<u8>], OutsideStorage> {
        let start = usize::try_from(absolute).map_err(|_| OutsideStorage)?;
        let end = start.checked_add(length).ok_or(OutsideStorage)?;
        self.bytes.get(start..end).ok_or(OutsideStorage)
    }

    #[inline]
    fn array<const N: usize>(&self, absolute: u64) -> Result<[u8; N], OutsideStorage> {
        let cells = self.range(absolute, N)?;
        Ok(std::array::from_fn(|index| cells[index].get()))
    }
}

impl Storage for FlatStorage {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn keys(&self) -> &StorageKeys {
        &self.keys
    }

    #[inline]
    fn read(&self, absolute: u64, buffer: &mut [u8]) -> Result<(), OutsideStorage> {
        let cells = self.range(absolute, buffer.len())?;
        for (byte, cell) in buffer.iter_mut().zip(cells) {
            *byte = cell.get();
        }
        Ok(())
    }

    #[inline]
    fn write(&self, absolute: u64, data: &[u8]) -> Result<(), OutsideStorage> {
        let cells = self.range(absolute, data.len())?;
        for (cell, byte) in cells.iter().zip(data) {
            cell.set(*byte);
        }
        Ok(())
    }

    #[inline]
    fn load(&self, absolute: u64, width: Width) -> Result<u64, OutsideStorage> {
        Ok(match width {
            Width::Byte => u64::from(self.array::<1>(absolute)?[0]),
            Width::Half => u64::from(u16::from_be_bytes(self.array(absolute)?)),
            Width::Word => u64::from(u32::from_be_bytes(self.array(absolute)?)),
            Width::Double => u64::from_be_bytes(self.array(absolute)?),
        })
    }

    #[inline]
    fn store(&self, absolute: u64, width: Width, value: u64) -> Result<(), OutsideStorage> {
        let bytes = value.to_be_bytes();
        match width {
            Width::Byte => self.write(absolute, &bytes[7..]),
            Width::Half => self.write(absolute, &bytes[6..]),
            Width::Word => self.write(absolute, &bytes[4..]),
            Width::Double => self.write(absolute, &bytes),
        }
    }

    fn compare_and_swap(
        &self,
        absolute: u64,
        width: Width,
        expected: u64,
        new: u64,
    ) -> Result<u64, OutsideStorage> {
        let old = self.load(absolute, width)?;
        if old == expected {
            self.store(absolute, width, new)?;
        }
        Ok(old)
    }

    fn compare_and_swap_16(&self, absolute: u64, expected: u128, new: u128) -> Result<u128, OutsideStorage> {
        let old = u128::from_be_bytes(self.array(absolute)?);
        if old == expected {
            self.write(absolute, &new.to_be_bytes())?;
        }
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_at_any_alignment() {
        let storage = FlatStorage::new(4096);
        assert_eq!(storage.store(3, Width::Double, 0x0102_0304_0506_0708), Ok(()));
        assert_eq!(storage.load(4, Width::Half), Ok(0x0203));
        assert_eq!(storage.load(7, Width::Word), Ok(0x0506_0708));
        let mut bytes = [0; 3];
        assert_eq!(storage.read(3, &mut bytes), Ok(()));
        assert_eq!(bytes, [1, 2, 3]);
    }

    #[test]
    fn an_access_over_the_end_stores_nothing() {
        let storage = FlatStorage::new(4096);
        assert_eq!(storage.write(4094, &[1, 2, 3]), Err(OutsideStorage));
        assert_eq!(storage.load(4094, Width::Half), Ok(0));
        assert_eq!(storage.load(u64::MAX, Width::Double), Err(OutsideStorage));
        assert_eq!(storage.keys().get(4096), Err(OutsideStorage));
    }

    #[test]
    fn compare_and_swap_stores_only_when_equal() {
        let storage = FlatStorage::new(4096);
        assert_eq!(storage.store(8, Width::Word, 5), Ok(()));
        assert_eq!(storage.compare_and_swap(8, Width::Word, 4, 9), Ok(5));
        assert_eq!(storage.load(8, Width::Word), Ok(5));
        assert_eq!(storage.compare_and_swap(8, Width::Word, 5, 9), Ok(5));
        assert_eq!(storage.load(8, Width::Word), Ok(9));
        assert_eq!(storage.compare_and_swap_16(16, 0, 7), Ok(0));
        assert_eq!(storage.load(24, Width::Double), Ok(7));
    }
}
