//! How two CPUs stand to each other, and what they have in common.

use std::cmp::Ordering;

use crate::cpu::Cpu;
use crate::features::FeatureSet;
use crate::models::{Age, Model, Wanted};

/// How the first of two CPUs stands to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same age and the same features; what runs on one runs on the other.
    Identical,
    /// The first has all of the second and more.
    Superset,
    /// The second has all of the first and more.
    Subset,
    /// Each has what the other lacks.
    Incompatible,
}

impl Relation {
    fn and(self, other: Relation) -> Relation {
        match (self, other) {
            (a, b) if a == b => a,
            (Relation::Identical, other) => other,
            (one, Relation::Identical) => one,
            _ => Relation::Incompatible,
        }
    }
}

/// What [`compare`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How the first stands to the second.
    pub relation: Relation,
    /// Whether one is newer than the other.
    pub ages_differ: bool,
    /// What only the first has.
    pub only_first: FeatureSet,
    /// What only the second has.
    pub only_second: FeatureSet,
}

impl Comparison {
    /// What keeps the two from being identical: `type` if one is newer, then what only the first has, then
    /// what only the second has; groups before features.
    pub fn responsible(&self) -> Vec<&'static str> {
        let kind = self.ages_differ.then_some("type");
        let sets = [self.only_first, self.only_second];
        let features = sets.iter().flat_map(|set| set.properties()).map(|property| property.name());
        kind.into_iter().chain(features).collect()
    }
}

/// Compares two CPUs by age and features. An enterprise-class machine and its business-class sister are the
/// same age.
///
/// Source: QEMU's `query-cpu-model-comparison` (`target/s390x/cpu_models_system.c`).
pub fn compare(first: &Cpu, second: &Cpu) -> Comparison {
    let only_first = first.features.difference(second.features);
    let only_second = second.features.difference(first.features);
    let features = match (only_first.is_empty(), only_second.is_empty()) {
        (true, true) => Relation::Identical,
        (true, false) => Relation::Subset,
        (false, true) => Relation::Superset,
        (false, false) => Relation::Incompatible,
    };
    let ages = match first.model.age().cmp(&second.model.age()) {
        Ordering::Less => Relation::Subset,
        Ordering::Equal => Relation::Identical,
        Ordering::Greater => Relation::Superset,
    };
    Comparison {
        relation: ages.and(features),
        ages_differ: ages != Relation::Identical,
        only_first,
        only_second,
    }
}

/// Two CPUs have no model in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first} and {second} have no CPU model in common: features that every model has are off in one of them"
)]
pub struct NoBaseline {
    /// The model of the first.
    pub first: &'static Model,
    /// The model of the second.
    pub second: &'static Model,
}

/// The best CPU that runs wherever either of the two runs: what both have, on the newest model whose base set
/// that fills, no newer than the older of the two.
///
/// # Errors
///
/// [`NoBaseline`] if what they share is not even the oldest model's base set.
///
/// Source: QEMU's `query-cpu-model-baseline` (`target/s390x/cpu_models_system.c`).
pub fn baseline(first: &Cpu, second: &Cpu) -> Result<Cpu, NoBaseline> {
    let shared = first.features.intersection(second.features);
    let (a, b) = (first.model, second.model);
    let (machine_type, Age { generation, ec_ga }) = if a.generation == b.generation {
        let machine_type = if a.machine_type == b.machine_type { a.machine_type } else { 0 };
        (machine_type, a.age().min(b.age()))
    } else {
        let older = if a.generation < b.generation { a } else { b };
        (older.machine_type, older.age())
    };
    let wanted = Wanted { machine_type, generation, ec_ga, features: Some(shared) };
    let model = Model::find(&wanted).ok_or(NoBaseline { first: a, second: b })?;
    Ok(Cpu::new(model, shared.intersection(model.full())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::CpuSpec;

    fn cpu(text: &str) -> Cpu {
        text.parse::<CpuSpec>().expect(text).expand().expect(text)
    }

    #[test]
    fn a_cpu_is_identical_to_itself_and_to_its_business_class_sister() {
        assert_eq!(compare(&cpu("z14"), &cpu("z14")).relation, Relation::Identical);
        let sisters = compare(&cpu("gen16a"), &cpu("gen16b"));
        assert_eq!((sisters.relation, sisters.responsible()), (Relation::Identical, vec![]));
    }

    #[test]
    fn more_features_on_the_same_age_are_a_superset() {
        let found = compare(&cpu("z14,ap=on,apft=on"), &cpu("z14"));
        assert_eq!((found.relation, found.responsible()), (Relation::Superset, vec!["apft", "ap"]));
        assert_eq!(compare(&cpu("z14"), &cpu("z14,ap=on")).relation, Relation::Subset);
    }

    #[test]
    fn newer_with_less_is_incompatible() {
        let found = compare(&cpu("z14,ap=on"), &cpu("z14.2"));
        assert_eq!((found.relation, found.responsible()), (Relation::Incompatible, vec!["type", "ap"]));
        let found = compare(&cpu("z14"), &cpu("gen15a"));
        assert_eq!(found.relation, Relation::Incompatible, "csske and bpb went away with z15");
        assert_eq!(found.only_first.to_string(), "csske bpb");
    }

    #[test]
    fn newer_with_the_same_features_is_a_superset_by_type_alone() {
        let found = compare(&cpu("z14.2"), &cpu("z14"));
        assert_eq!((found.relation, found.responsible()), (Relation::Superset, vec!["type"]));
    }

    #[test]
    fn a_baseline_is_the_older_model_with_what_both_have() {
        let shared = baseline(&cpu("z14,ap=on"), &cpu("gen16a,ap=on")).expect("much in common");
        assert_eq!((shared.model.name, shared.has(crate::Feature::Ap)), ("z14", true));
        assert_eq!(shared.features.difference(cpu("z14,ap=on,csske=off,bpb=off").features).to_string(), "");
    }

    #[test]
    fn a_missing_base_feature_takes_the_baseline_back_to_a_model_without_it() {
        let shared = baseline(&cpu("z14,eec=off"), &cpu("z14")).expect("a z13s");
        assert_eq!(shared.model.name, "z13s", "the newest before, as the types differ");
        assert!(shared.features.is_subset(shared.model.full()), "z14's vxeh and the like are left out");
        assert!(baseline(&cpu("z14,esan3=off"), &cpu("z14")).is_err());
    }
}
