//! The 256-bit masks of adapters, usage domains and control domains.

use std::{
    fmt,
    marker::PhantomData,
    ops::{BitAnd, BitOr, Not, Sub},
};

use crate::{Apid, Apqi, ControlDomain, Number};

/// A set of ids in the order of the architecture: 32 bytes, bit 0 is the leftmost bit of byte 0.
///
/// `T` says what the bits number, so that an APM can't be handed over where an AQM is due. Sets combine with
/// `|` (union), `&` (intersection), `-` (difference) and `!` (complement). Printed as sysfs prints it: `0x` and
/// 64 hex digits. Bytes rather than words: the same on both byte orders.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApMask<T> {
    bytes: [u8; 32],
    numbers: PhantomData<T>,
}

/// Mask of adapters.
pub type Apm = ApMask<Apid>;
/// Mask of usage domains.
pub type Aqm = ApMask<Apqi>;
/// Mask of control domains.
pub type Adm = ApMask<ControlDomain>;

impl<T> ApMask<T> {
    /// No bit set.
    pub const EMPTY: Self = Self::from_bytes([0; 32]);
    /// All 256 bits set.
    pub const ALL: Self = Self::from_bytes([0xff; 32]);

    /// The mask that is `bytes` in the machine's memory (in a QCI block, in an APCB).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, numbers: PhantomData }
    }

    /// The mask as it is in the machine's memory.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether no bit is set.
    pub fn is_empty(&self) -> bool {
        self.bytes == [0; 32]
    }

    /// How many bits are set, 0 to 256.
    pub fn count(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones()).sum::<u32>() as usize
    }

    /// Whether any bit is set in both masks.
    pub fn intersects(&self, other: &Self) -> bool {
        // No early exit, so that this becomes one vector AND instead of 32 branches.
        self.bytes.iter().zip(&other.bytes).fold(0, |shared, (a, b)| shared | (a & b)) != 0
    }

    /// Whether every bit of this mask is set in `other` too.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.bytes.iter().zip(&other.bytes).all(|(a, b)| a & !b == 0)
    }

    fn combine(self, other: Self, bits: impl Fn(u8, u8) -> u8) -> Self {
        Self::from_bytes(std::array::from_fn(|i| bits(self.bytes[i], other.bytes[i])))
    }
}

impl<T: Number> ApMask<T> {
    /// Sets the bit of `id`.
    pub fn insert(&mut self, id: T) {
        let (byte, bit) = position(id);
        self.bytes[byte] |= bit;
    }

    /// Clears the bit of `id`.
    pub fn remove(&mut self, id: T) {
        let (byte, bit) = position(id);
        self.bytes[byte] &= !bit;
    }

    /// Whether the bit of `id` is set.
    pub fn contains(&self, id: T) -> bool {
        let (byte, bit) = position(id);
        self.bytes[byte] & bit != 0
    }

    /// The ids whose bits are set, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + use<T> {
        let mask = *self;
        (0..=u8::MAX).map(T::from).filter(move |id| mask.contains(*id))
    }

    /// The lowest id whose bit is set.
    pub fn first(&self) -> Option<T> {
        self.iter().next()
    }

    /// The highest id whose bit is set.
    pub fn last(&self) -> Option<T> {
        self.iter().next_back()
    }
}

/// The byte of `id`, and its bit in that byte.
fn position<T: Number>(id: T) -> (usize, u8) {
    let id: u8 = id.into();
    (usize::from(id / 8), 0x80 >> (id % 8))
}

impl<T> Default for ApMask<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T> BitOr for ApMask<T> {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.combine(other, |a, b| a | b)
    }
}

impl<T> BitAnd for ApMask<T> {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.combine(other, |a, b| a & b)
    }
}

impl<T> Sub for ApMask<T> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }
}

impl<T> Not for ApMask<T> {
    type Output = Self;

    fn not(self) -> Self {
        Self::ALL - self
    }
}

impl<T: Number> Extend<T> for ApMask<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, ids: I) {
        ids.into_iter().for_each(|id| self.insert(id));
    }
}

impl<T: Number> FromIterator<T> for ApMask<T> {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        let mut mask = Self::EMPTY;
        mask.extend(ids);
        mask
    }
}

impl<T> fmt::Display for ApMask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<T> fmt::Debug for ApMask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn mask(ids: &BTreeSet<u8>) -> Apm {
        ids.iter().copied().map(Apid).collect()
    }

    fn ids(mask: Apm) -> BTreeSet<u8> {
        mask.iter().map(u8::from).collect()
    }

    #[test]
    fn bit_0_is_the_leftmost_bit_of_the_printed_mask() {
        let apm: Apm = [Apid(1), Apid(7)].into_iter().collect();
        assert_eq!(apm.to_string(), format!("0x41{}", "00".repeat(31)));
        assert_eq!(apm.as_bytes()[0], 0x41);
    }

    #[test]
    fn the_last_bit_is_255() {
        let apm: Apm = [Apid(255)].into_iter().collect();
        assert_eq!(apm.as_bytes()[31], 1);
        assert_eq!((apm.first(), apm.last()), (Some(Apid(255)), Some(Apid(255))));
        assert_eq!(Apm::ALL.count(), 256);
        assert_eq!((Apm::EMPTY.first(), Apm::EMPTY.count()), (None, 0));
    }

    proptest! {
        #[test]
        fn a_mask_is_the_set_of_its_ids(set: BTreeSet<u8>, other: BTreeSet<u8>, id: u8) {
            let (a, b) = (mask(&set), mask(&other));
            prop_assert_eq!(ids(a), set.clone());
            prop_assert_eq!(a.count(), set.len());
            prop_assert_eq!(a.is_empty(), set.is_empty());
            prop_assert_eq!(a.first().map(u8::from), set.first().copied());
            prop_assert_eq!(a.last().map(u8::from), set.last().copied());
            prop_assert_eq!(a.contains(Apid(id)), set.contains(&id));
            prop_assert_eq!(ids(a | b), &set | &other);
            prop_assert_eq!(ids(a & b), &set & &other);
            prop_assert_eq!(ids(a - b), &set - &other);
            prop_assert_eq!(ids(!a).len(), 256 - set.len());
            prop_assert_eq!(!a & a, Apm::EMPTY);
            prop_assert_eq!(a.intersects(&b), !set.is_disjoint(&other));
            prop_assert_eq!(a.is_subset(&b), set.is_subset(&other));
            prop_assert_eq!(Apm::from_bytes(*a.as_bytes()), a);
        }

        #[test]
        fn what_is_removed_is_gone_and_nothing_else(set: BTreeSet<u8>, id: u8) {
            let mut changed = mask(&set);
            changed.remove(Apid(id));
            let mut expected = set.clone();
            expected.remove(&id);
            prop_assert_eq!(ids(changed), expected.clone());
            changed.insert(Apid(id));
            expected.insert(id);
            prop_assert_eq!(ids(changed), expected);
        }
    }
}
