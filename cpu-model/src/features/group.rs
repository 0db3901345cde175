//! What [`FeatureGroup`] can be asked.

use std::fmt;
use std::str::FromStr;

use super::FeatureSet;
use super::group_table::{FeatureGroup, ROWS};

#[derive(Debug)]
pub(super) struct Row {
    pub(super) group: FeatureGroup,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) features: FeatureSet,
}

impl FeatureGroup {
    /// The name in the `-cpu` option, such as `msa4`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it is, in a few words.
    pub fn description(self) -> &'static str {
        self.row().description
    }

    /// The features it switches.
    pub const fn features(self) -> FeatureSet {
        self.row().features
    }

    /// All groups, in order.
    pub fn all() -> impl ExactSizeIterator<Item = FeatureGroup> {
        ROWS.iter().map(|row| row.group)
    }

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

/// A name that no group has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no CPU feature group {name:?}")]
pub struct UnknownGroup {
    /// The name as given.
    pub name: String,
}

impl FromStr for FeatureGroup {
    type Err = UnknownGroup;

    fn from_str(name: &str) -> Result<FeatureGroup, UnknownGroup> {
        let row = ROWS.iter().find(|row| row.name == name);
        row.map(|row| row.group).ok_or_else(|| UnknownGroup { name: name.to_owned() })
    }
}

impl fmt::Display for FeatureGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for FeatureGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_under_its_own_group_and_name() {
        for (n, row) in ROWS.iter().enumerate() {
            assert_eq!(row.group as usize, n, "{}", row.name);
            assert_eq!(row.name.parse(), Ok(row.group));
            assert!(!row.features.is_empty() && !row.description.is_empty());
        }
        assert_eq!(ROWS.len(), 27);
    }

    #[test]
    fn no_feature_is_in_two_groups() {
        let mut seen = FeatureSet::EMPTY;
        for group in FeatureGroup::all() {
            assert!(seen.intersection(group.features()).is_empty(), "{group}");
            seen = seen.union(group.features());
        }
    }
}
