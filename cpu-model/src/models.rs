//! The machines: forty models from z900 to z17, what each has at least, as a rule and at most, and how a
//! model is found again from what a host says of itself. Knows nothing of hosts or options.

mod table;

use std::fmt;

use crate::features::{Feature, FeatureGroup, FeatureSet};
use table::{ALIASES, MODELS, RELEASES};

/// The first generation that instruction blocking control (IBC) can name: z10.
const FIRST_IBC_GENERATION: u8 = 10;

/// A machine that a guest's CPU can be modelled on.
///
/// There is exactly one of each, so references to them compare by name.
///
/// Source: `S390CPUDef` of QEMU's `target/s390x/cpu_models.c` (11.1).
#[derive(PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Model {
    /// The name in the `-cpu` option, such as `z14.2`.
    pub name: &'static str,
    /// The machine's name and GA level.
    pub description: &'static str,
    /// The machine type, such as 0x3906, as STIDP and STSI show it.
    pub machine_type: u16,
    /// The hardware generation: 7 for z900 up to 17 for z17.
    pub generation: u8,
    /// The GA level of the enterprise-class machine; a business-class machine has the level of the one it
    /// follows.
    pub ec_ga: u8,
    /// The IBC value, (generation - 10) * 16 + GA level; 0 before z10.
    pub ibc: u16,
    /// The power of two that bounds host addresses, for SCLP.
    pub mha_pow: u8,
    /// The hypervisor-managed facilities, for SCLP.
    pub hmfai: u32,
}

impl Model {
    const fn row(
        name: &'static str,
        description: &'static str,
        machine_type: u16,
        generation: u8,
        ec_ga: u8,
        mha_pow: u8,
        hmfai: u32,
    ) -> Model {
        let ibc = match generation.checked_sub(FIRST_IBC_GENERATION) {
            Some(since) => ((since as u16) << 4) + ec_ga as u16,
            None => 0,
        };
        Model { name, description, machine_type, generation, ec_ga, ibc, mha_pow, hmfai }
    }

    /// IBM z16, `gen16a`.
    pub const Z16: &'static Model = &MODELS[36];

    /// All models, oldest first.
    pub fn all() -> &'static [Model] {
        &MODELS
    }

    /// The model of that name. Besides QEMU's names, `z15`, `z16` and `z17` stand for `gen15a`, `gen16a` and
    /// `gen17a`; those are ours. Names of static models (`z14-base`) are the business of
    /// [`CpuSpec`](crate::CpuSpec).
    pub fn by_name(name: &str) -> Option<&'static Model> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, name)| name);
        MODELS.iter().find(|model| model.name == name)
    }

    /// Every name that [`by_name`](Self::by_name) knows, with our own at the end.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        MODELS.iter().map(|model| model.name).chain(ALIASES.iter().map(|(alias, _)| *alias))
    }

    /// What the static model `NAME-base` has. It never changes.
    pub fn base(&self) -> FeatureSet {
        self.sets().base
    }

    /// What the model has when nothing else is said. AP features are in no default set.
    pub fn default_features(&self) -> FeatureSet {
        self.sets().default
    }

    /// The most a guest of this model can be given.
    pub fn full(&self) -> FeatureSet {
        self.sets().full
    }

    /// Generation and GA level: which of two machines is newer. An enterprise-class machine and the
    /// business-class machine that follows it are the same age.
    pub fn age(&self) -> Age {
        Age { generation: self.generation, ec_ga: self.ec_ga }
    }

    /// The oldest model that can be given all of `features`, if there is one.
    pub fn first_with(features: FeatureSet) -> Option<&'static Model> {
        MODELS.iter().find(|model| features.is_subset(model.full()))
    }

    /// Whether any model is a machine of that type.
    pub fn is_known_type(machine_type: u16) -> bool {
        MODELS.iter().any(|model| model.machine_type == machine_type)
    }

    fn sets(&self) -> &'static Sets {
        let release = RELEASES.iter().position(|release| release.age == self.age());
        // A test looks every model up.
        &SETS[release.unwrap_or_default()]
    }

    /// The model that `wanted` describes best: the newest of its type that is old enough and whose base set is
    /// among the features; or else the newest of any type.
    ///
    /// DEVNOTE: the walk stops at the first model that is too new or, with features, whose base set is not
    /// there; it does not skip it. So `z14ZR1` (GA 1, listed after `z14.2`) is not found and `z14` is taken,
    /// as QEMU does.
    ///
    /// Source: QEMU's `s390_find_cpu_def` (`target/s390x/cpu_models.c`).
    pub(crate) fn find(wanted: &Wanted) -> Option<&'static Model> {
        let generation = match wanted.generation {
            0 => MODELS.iter().find(|m| m.machine_type == wanted.machine_type).map_or(0, |m| m.generation),
            known => known,
        };
        let ec_ga = if wanted.generation == 0 { 0 } else { wanted.ec_ga };
        let too_new = |model: &Model| {
            generation != 0
                && (model.generation > generation
                    || (model.generation == generation && ec_ga != 0 && model.ec_ga > ec_ga))
        };
        let fits = |model: &Model| match wanted.features {
            Some(features) => model.base().difference(IGNORED_IN_SEARCH).is_subset(features),
            None => true,
        };
        let candidates = MODELS.iter().take_while(|model| !too_new(model) && fits(model));
        let of_type = candidates.clone().filter(|model| model.machine_type == wanted.machine_type).last();
        of_type.or_else(|| candidates.last())
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// How new a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age {
    /// The hardware generation.
    pub generation: u8,
    /// The GA level within it.
    pub ec_ga: u8,
}

/// What a search for a model knows. Zeros and `None` stand for "not known".
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) machine_type: u16,
    pub(crate) generation: u8,
    pub(crate) ec_ga: u8,
    pub(crate) features: Option<FeatureSet>,
}

/// In base sets, and yet no reason to refuse a model: DEA and SHA-1 functions may be missing on a machine,
/// and csske is going away.
///
/// Source: QEMU's `ignored_base_feat` (`target/s390x/cpu_models.c`).
const IGNORED_IN_SEARCH: FeatureSet = FeatureSet::of(&[
    Feature::KmacDea,
    Feature::KmacTdea128,
    Feature::KmacTdea192,
    Feature::KmcDea,
    Feature::KmcTdea128,
    Feature::KmcTdea192,
    Feature::KmDea,
    Feature::KmTdea128,
    Feature::KmTdea192,
    Feature::KimdSha1,
    Feature::KlmdSha1,
    Feature::Csske,
]);

/// What one GA level of one generation changed.
#[derive(Debug)]
struct Release {
    age: Age,
    base: FeatureSet,
    default: FeatureSet,
    full: FeatureSet,
    dropped: FeatureSet,
}

impl Release {
    const fn of(generation: u8, ec_ga: u8) -> Release {
        let none = FeatureSet::EMPTY;
        Release { age: Age { generation, ec_ga }, base: none, default: none, full: none, dropped: none }
    }

    const fn base(mut self, groups: &[FeatureGroup], features: &[Feature]) -> Release {
        self.base = both(groups, features);
        self
    }

    const fn default(mut self, groups: &[FeatureGroup], features: &[Feature]) -> Release {
        self.default = both(groups, features);
        self
    }

    const fn full(mut self, groups: &[FeatureGroup], features: &[Feature]) -> Release {
        self.full = both(groups, features);
        self
    }

    const fn dropped(mut self, features: &[Feature]) -> Release {
        self.dropped = FeatureSet::of(features);
        self
    }
}

const fn both(groups: &[FeatureGroup], features: &[Feature]) -> FeatureSet {
    let mut set = FeatureSet::of(features);
    let mut n = 0;
    while n < groups.len() {
        set = set.union(groups[n].features());
        n += 1;
    }
    set
}

#[derive(Clone, Copy, Debug)]
struct Sets {
    base: FeatureSet,
    default: FeatureSet,
    full: FeatureSet,
}

/// The sets of each release, added up by the compiler.
static SETS: [Sets; RELEASES.len()] = {
    let none = Sets { base: FeatureSet::EMPTY, default: FeatureSet::EMPTY, full: FeatureSet::EMPTY };
    let mut sets = [none; RELEASES.len()];
    let mut sum = none;
    let mut n = 0;
    while n < RELEASES.len() {
        let release = &RELEASES[n];
        let plain = release.base.union(release.default);
        sum.full = sum.full.union(plain).union(release.full);
        sum.default = sum.default.union(plain).difference(release.dropped);
        sum.base = sum.base.union(release.base).difference(release.dropped);
        sets[n] = sum;
        n += 1;
    }
    sets
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_its_own_release_and_every_release_a_model() {
        for model in Model::all() {
            let releases = RELEASES.iter().filter(|release| release.age == model.age()).count();
            assert_eq!(releases, 1, "{model}");
        }
        for release in &RELEASES {
            assert!(Model::all().iter().any(|model| model.age() == release.age), "{release:?}");
        }
        assert!(RELEASES.windows(2).all(|pair| pair[0].age < pair[1].age));
    }

    #[test]
    fn z16_is_the_model_of_that_name() {
        assert_eq!(Some(Model::Z16), Model::by_name("z16"));
    }

    #[test]
    fn model_names_are_unique_and_generations_ascend() {
        for model in Model::all() {
            assert!(std::ptr::eq(Model::by_name(model.name).expect("listed"), model), "{model}");
        }
        assert!(Model::all().windows(2).all(|pair| pair[0].generation <= pair[1].generation));
        let ages: Vec<Age> = Model::all().iter().map(Model::age).collect();
        let unordered: Vec<_> = (1..ages.len()).filter(|n| ages[*n] < ages[*n - 1]).collect();
        assert_eq!(unordered.iter().map(|n| Model::all()[*n].name).collect::<Vec<_>>(), ["z14ZR1"]);
    }

    #[test]
    fn a_release_never_adds_what_is_there_already() {
        for (before, release) in SETS.iter().zip(&RELEASES[1..]) {
            let twice = before.full.intersection(release.full);
            assert!(twice.is_empty(), "{:?}: {twice:?}", release.age);
            let twice = before.default.intersection(release.default);
            assert!(twice.is_empty(), "{:?}: {twice:?}", release.age);
            assert!(release.dropped.is_subset(before.default), "{:?}", release.age);
        }
    }

    #[test]
    fn base_is_in_default_and_default_in_full() {
        for model in Model::all() {
            assert!(model.base().is_subset(model.default_features()), "{model}");
            assert!(model.default_features().is_subset(model.full()), "{model}");
        }
    }

    #[test]
    fn a_group_is_in_a_full_set_as_a_whole_or_not_at_all() {
        for model in Model::all() {
            for group in FeatureGroup::all() {
                let part = group.features().intersection(model.full());
                assert!(part.is_empty() || part == group.features(), "{model} {group}");
            }
        }
    }

    #[test]
    fn marketing_names_stand_for_the_enterprise_class_machine() {
        for (alias, name) in ALIASES {
            assert_eq!(Model::by_name(alias).expect("an alias").name, *name);
            assert!(MODELS.iter().all(|model| model.name != *alias));
        }
        assert_eq!(Model::by_name("z16").map(|m| m.machine_type), Some(0x3931));
        assert_eq!(Model::by_name("z14-base"), None);
        assert_eq!(Model::by_name("Z14"), None);
    }

    #[test]
    fn the_exact_model_is_found_when_type_and_ga_level_are_known() {
        let find = |machine_type, generation, ec_ga| {
            Model::find(&Wanted { machine_type, generation, ec_ga, features: None }).map(|m| m.name)
        };
        for model in Model::all().iter().filter(|model| model.name != "z14ZR1") {
            assert_eq!(find(model.machine_type, model.generation, model.ec_ga), Some(model.name));
        }
        assert_eq!(find(0x3907, 14, 1), Some("z14"), "the walk stops at z14.2");
        assert_eq!(find(0x2064, 0, 0), Some("z900.3"), "the newest of a type whose GA level is not known");
        assert_eq!(find(0x1234, 13, 1), Some("z13"), "an unknown type of a known generation");
        assert_eq!(find(0, 0, 0), Some("gen17b"), "nothing known at all");
    }
}
