//! Sets of features, and the shortest way to name one.

use std::fmt;

use super::{COUNT, Feature, FeatureGroup, table};

const WORDS: usize = COUNT.div_ceil(64);

/// A set of features: a bit for each, so copying and comparing cost a few words.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FeatureSet {
    words: [u64; WORDS],
}

impl FeatureSet {
    /// No feature at all.
    pub const EMPTY: FeatureSet = FeatureSet { words: [0; WORDS] };

    /// The set of these features.
    pub const fn of(features: &[Feature]) -> FeatureSet {
        let mut set = FeatureSet::EMPTY;
        let mut n = 0;
        while n < features.len() {
            set.insert(features[n]);
            n += 1;
        }
        set
    }

    /// Every feature there is.
    pub fn all() -> FeatureSet {
        Feature::all().collect()
    }

    /// Whether `feature` is in the set.
    pub const fn contains(&self, feature: Feature) -> bool {
        self.words[feature as usize / 64] & bit(feature) != 0
    }

    /// Adds `feature`.
    pub const fn insert(&mut self, feature: Feature) {
        self.words[feature as usize / 64] |= bit(feature);
    }

    /// Takes `feature` out.
    pub const fn remove(&mut self, feature: Feature) {
        self.words[feature as usize / 64] &= !bit(feature);
    }

    /// Adds `feature` or takes it out.
    pub const fn set(&mut self, feature: Feature, on: bool) {
        if on { self.insert(feature) } else { self.remove(feature) }
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(mut self, other: FeatureSet) -> FeatureSet {
        let mut n = 0;
        while n < WORDS {
            self.words[n] |= other.words[n];
            n += 1;
        }
        self
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(mut self, other: FeatureSet) -> FeatureSet {
        let mut n = 0;
        while n < WORDS {
            self.words[n] &= other.words[n];
            n += 1;
        }
        self
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(mut self, other: FeatureSet) -> FeatureSet {
        let mut n = 0;
        while n < WORDS {
            self.words[n] &= !other.words[n];
            n += 1;
        }
        self
    }

    /// Whether all of this set is in `other`.
    pub fn is_subset(&self, other: FeatureSet) -> bool {
        self.difference(other).is_empty()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        *self == FeatureSet::EMPTY
    }

    /// How many features are in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The features in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = Feature> + use<> {
        let words = self.words;
        (0..WORDS).flat_map(move |n| Ones(words[n]).map(move |bit| table::ROWS[n * 64 + bit].feature))
    }

    /// The set in as few words as the option syntax has: whole groups first, then what is left, feature by
    /// feature.
    ///
    /// Source: QEMU's `s390_feat_bitmap_to_ascii` (`target/s390x/cpu_features.c`), whose order this is.
    pub fn properties(&self) -> Vec<Property> {
        let mut left = *self;
        let mut properties = Vec::new();
        for group in FeatureGroup::all().filter(|group| group.features().is_subset(*self)) {
            left = left.difference(group.features());
            properties.push(Property::Group(group));
        }
        properties.extend(left.iter().map(Property::Feature));
        properties
    }
}

const fn bit(feature: Feature) -> u64 {
    1 << (feature as usize % 64)
}

/// The numbers of the bits that are on in a word, least significant first.
struct Ones(u64);

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.checked_sub(1)?;
        Some(bit)
    }
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> FeatureSet {
        let mut set = FeatureSet::EMPTY;
        set.extend(features);
        set
    }
}

impl Extend<Feature> for FeatureSet {
    fn extend<I: IntoIterator<Item = Feature>>(&mut self, features: I) {
        for feature in features {
            self.insert(feature);
        }
    }
}

/// The features' names in order, a space between them.
impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, feature) in self.iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{feature}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a key of the `-cpu` option can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Property {
    /// One feature.
    Feature(Feature),
    /// Several at once.
    Group(FeatureGroup),
}

impl Property {
    /// The name in the `-cpu` option.
    pub fn name(self) -> &'static str {
        match self {
            Property::Feature(feature) => feature.name(),
            Property::Group(group) => group.name(),
        }
    }

    /// The features that it switches.
    pub fn features(self) -> FeatureSet {
        match self {
            Property::Feature(feature) => FeatureSet::of(&[feature]),
            Property::Group(group) => group.features(),
        }
    }

    /// The feature or group of that name.
    pub(crate) fn by_name(name: &str) -> Option<Property> {
        let feature = name.parse().map(Property::Feature).ok();
        feature.or_else(|| name.parse().map(Property::Group).ok())
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_not_what_was_taken_out() {
        let mut set = FeatureSet::of(&[Feature::Esan3, Feature::PfcrCststg, Feature::Ap]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Feature::Esan3, Feature::Ap, Feature::PfcrCststg]);
        set.remove(Feature::Ap);
        set.set(Feature::Apqci, true);
        assert!(!set.contains(Feature::Ap) && set.contains(Feature::Apqci));
        assert_eq!((set.len(), set.to_string().as_str()), (3, "esan3 apqci pfcr-cststg"));
        assert_eq!(format!("{set:?}"), "{esan3, apqci, pfcr-cststg}");
    }

    #[test]
    fn all_features_are_a_set_of_all_features() {
        assert_eq!(FeatureSet::all().len(), COUNT);
        assert!(FeatureSet::all().iter().eq(Feature::all()));
        assert_eq!(FeatureSet::EMPTY.iter().next(), None);
    }

    #[test]
    fn a_whole_group_is_named_as_one_and_a_part_of_it_feature_by_feature() {
        let mut set = FeatureGroup::Msa7.features();
        set.insert(Feature::Ap);
        let names = |set: FeatureSet| set.properties().iter().map(|p| p.name()).collect::<Vec<_>>();
        assert_eq!(names(set), ["msa7", "ap"]);
        set.remove(Feature::PrnoTrng);
        assert_eq!(names(set), ["ap", "prno-trng-qrtcr"]);
    }
}
