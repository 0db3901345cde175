//! What a CPU can do, bit by bit: features, sets of them, the groups that switch several at once, and which
//! feature needs which other. Knows nothing of models.

use std::fmt;
use std::str::FromStr;

/// Makes [`Feature`] and its table from rows of constant, name, home and description.
macro_rules! features {
    ($($id:ident $name:literal, $home:expr, $description:literal;)*) => {
        /// A CPU feature, under the name QEMU's `-cpu` option gives it. The order is QEMU's.
        ///
        /// Source: `target/s390x/cpu_features_def.h.inc` (11.1).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Feature {
            $(#[doc = concat!("`", $name, "`: ", $description, ".")] $id,)*
        }

        pub(super) const ROWS: &[super::Row] = &[
            $(super::Row { feature: Feature::$id, name: $name, home: $home, description: $description },)*
        ];
    };
}

/// Makes [`FeatureGroup`] and its table from rows of constant, name, description and features.
macro_rules! groups {
    ($($id:ident $name:literal $description:literal [$($feature:ident),* $(,)?];)*) => {
        /// Several features under one name: the switch for a whole facility with its function codes.
        ///
        /// Source: QEMU's `target/s390x/gen-features.c`, the group lists (11.1).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FeatureGroup {
            $(#[doc = concat!("`", $name, "`: ", $description, ".")] $id,)*
        }

        pub(super) const ROWS: &[super::group::Row] = &[
            $(super::group::Row {
                group: FeatureGroup::$id,
                name: $name,
                description: $description,
                features: FeatureSet::of(&[$($feature),*]),
            },)*
        ];
    };
}

mod group;
mod group_table;
mod requires_table;
mod set;
mod table;

pub use group::UnknownGroup;
pub use group_table::FeatureGroup;
pub use set::{FeatureSet, Property};
pub use table::Feature;

/// How many features there are.
pub(crate) const COUNT: usize = table::ROWS.len();

#[derive(Debug)]
struct Row {
    feature: Feature,
    name: &'static str,
    home: Home,
    description: &'static str,
}

/// Where a feature's bit lives. Bit 0 is the most significant bit of byte 0 in every block.
///
/// Source: QEMU's `S390FeatType` (`target/s390x/cpu_features.h`, 11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    /// The facility list that STORE FACILITY LIST EXTENDED stores; the number is the facility's.
    Facility(u16),
    /// SCLP Read SCP Info, counted from byte 80 (19 bytes).
    ConfChar(u8),
    /// SCLP Read SCP Info, counted from byte 116 (4 bytes).
    ConfCharExt(u8),
    /// SCLP Read SCP Info, byte 134.
    Fac134(u8),
    /// SCLP Read SCP Info, byte 139.
    Fac139(u8),
    /// The six feature bytes of each CPU entry of SCLP Read SCP Info and Read CPU Info.
    CpuEntry(u8),
    /// No bit that a guest can see.
    NoBit,
    /// The function code of an instruction, as its query or test function shows it.
    Function(Instruction, u8),
    /// The ultravisor's feature word for secure guests.
    Ultravisor(u8),
}

/// An instruction whose function codes are features one by one.
///
/// Source: `struct kvm_s390_vm_cpu_subfunc` (`arch/s390/include/uapi/asm/kvm.h`), which has a block for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instruction {
    /// PERFORM LOCKED OPERATION.
    Plo,
    /// PERFORM TIMING FACILITY FUNCTION.
    Ptff,
    /// COMPUTE MESSAGE AUTHENTICATION CODE.
    Kmac,
    /// CIPHER MESSAGE WITH CHAINING.
    Kmc,
    /// CIPHER MESSAGE.
    Km,
    /// COMPUTE INTERMEDIATE MESSAGE DIGEST.
    Kimd,
    /// COMPUTE LAST MESSAGE DIGEST.
    Klmd,
    /// PERFORM CRYPTOGRAPHIC KEY MANAGEMENT OPERATION.
    Pckmo,
    /// CIPHER MESSAGE WITH COUNTER.
    Kmctr,
    /// CIPHER MESSAGE WITH CIPHER FEEDBACK.
    Kmf,
    /// CIPHER MESSAGE WITH OUTPUT FEEDBACK.
    Kmo,
    /// PERFORM CRYPTOGRAPHIC COMPUTATION.
    Pcc,
    /// PERFORM PSEUDORANDOM NUMBER OPERATION, now PERFORM RANDOM NUMBER OPERATION.
    Ppno,
    /// CIPHER MESSAGE WITH AUTHENTICATION.
    Kma,
    /// COMPUTE DIGITAL SIGNATURE AUTHENTICATION.
    Kdsa,
    /// SORT LISTS.
    Sortl,
    /// DEFLATE CONVERSION CALL.
    Dfltcc,
    /// PERFORM FUNCTIONS WITH CONCURRENT RESULTS.
    Pfcr,
}

impl Feature {
    /// The name in the `-cpu` option, such as `apqci`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it is, in a few words.
    pub fn description(self) -> &'static str {
        self.row().description
    }

    /// Where the feature's bit lives.
    pub fn home(self) -> Home {
        self.row().home
    }

    /// All features, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Feature> {
        table::ROWS.iter().map(|row| row.feature)
    }

    /// What this feature makes no sense without; [`requirements`](Self::requirements) has all pairs.
    pub fn requires(self) -> impl Iterator<Item = Feature> {
        Self::requirements()
            .iter()
            .filter(move |(feature, _)| *feature == self)
            .map(|(_, required)| *required)
    }

    /// All pairs of a feature and another it makes no sense without, in the order of the features.
    ///
    /// Source: QEMU's `s390_feat_deps` (`target/s390x/cpu_features.c`, 11.1).
    pub fn requirements() -> &'static [(Feature, Feature)] {
        requires_table::REQUIRES
    }

    /// The features on their way out: guests that want to move to newer machines do without. That is csske,
    /// bpb, cte and te, and what requires one of them.
    ///
    /// Source: QEMU's `s390_get_deprecated_features` (`target/s390x/cpu_features.c`, 11.1).
    pub const fn deprecated() -> FeatureSet {
        DEPRECATED
    }

    fn row(self) -> &'static Row {
        &table::ROWS[self as usize]
    }
}

const DEPRECATED: FeatureSet = {
    let named = FeatureSet::of(&[Feature::Csske, Feature::Bpb, Feature::Cte, Feature::Te]);
    let mut all = named;
    let mut n = 0;
    while n < requires_table::REQUIRES.len() {
        let (feature, required) = requires_table::REQUIRES[n];
        if named.contains(required) {
            all.insert(feature);
        }
        n += 1;
    }
    all
};

/// A name that no feature has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no CPU feature {name:?}")]
pub struct UnknownFeature {
    /// The name as given.
    pub name: String,
}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(name: &str) -> Result<Feature, UnknownFeature> {
        let row = table::ROWS.iter().find(|row| row.name == name);
        row.map(|row| row.feature).ok_or_else(|| UnknownFeature { name: name.to_owned() })
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_under_its_own_feature_and_name() {
        for (n, row) in table::ROWS.iter().enumerate() {
            assert_eq!(row.feature as usize, n, "{}", row.name);
            assert_eq!(row.name.parse(), Ok(row.feature));
            assert_eq!(row.feature.to_string(), row.name);
        }
        assert_eq!(COUNT, 395);
    }

    #[test]
    fn bits_ascend_within_each_block_so_none_is_there_twice() {
        let mut homes: Vec<Home> = Feature::all().map(Feature::home).filter(|h| *h != Home::NoBit).collect();
        assert_eq!(homes.len(), COUNT - 3, "dateh2, cmm and ap have no bit");
        let same_block = |a: &Home, b: &Home| match (a, b) {
            (Home::Function(a, _), Home::Function(b, _)) => a == b,
            _ => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        for pair in homes.windows(2).filter(|pair| same_block(&pair[0], &pair[1])) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        homes.sort();
        homes.dedup();
        assert_eq!(homes.len(), COUNT - 3);
    }

    #[test]
    fn bits_stay_within_their_blocks() {
        for feature in Feature::all() {
            let (bit, bits): (usize, usize) = match feature.home() {
                Home::Facility(bit) => (bit.into(), 16384),
                Home::ConfChar(bit) => (bit.into(), 19 * 8),
                Home::ConfCharExt(bit) => (bit.into(), 4 * 8),
                Home::Fac134(bit) | Home::Fac139(bit) => (bit.into(), 8),
                Home::CpuEntry(bit) => (bit.into(), 6 * 8),
                Home::Function(Instruction::Plo | Instruction::Sortl | Instruction::Dfltcc, bit) => {
                    (bit.into(), 256)
                }
                Home::Function(_, bit) => (bit.into(), 128),
                Home::Ultravisor(bit) => (bit.into(), 64),
                Home::NoBit => continue,
            };
            assert!(bit < bits, "{feature}");
        }
    }

    #[test]
    fn names_are_lower_case_words_and_unlike_any_group() {
        for feature in Feature::all() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            assert!(feature.name().chars().all(plain), "{feature}");
            assert!(feature.name().parse::<FeatureGroup>().is_err(), "{feature} is a group too");
            assert!(!feature.description().is_empty() && !feature.description().ends_with('.'), "{feature}");
        }
    }

    #[test]
    fn requirements_are_in_order_and_none_is_there_twice() {
        assert!(Feature::requirements().windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Feature::requirements().iter().all(|(feature, required)| feature != required));
        assert_eq!(Feature::Apqci.requires().collect::<Vec<_>>(), [Feature::Ap]);
    }

    #[test]
    fn what_requires_a_deprecated_feature_is_deprecated_too() {
        assert_eq!(Feature::deprecated().to_string(), "csske cte te bpb ineff_nc_tx");
    }
}
