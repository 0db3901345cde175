//! What holds for any option, any set of features and any host.

use adjunct_cpu_model::kvm::{Capabilities, MachineAttributes, ProcessorAttributes};
use adjunct_cpu_model::{
    Cpu, CpuSpec, Feature, FeatureGroup, FeatureSet, HostCpu, Model, ModelChoice, Property, Relation,
    Setting, baseline, compare,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn any_model() -> impl Strategy<Value = &'static Model> {
    (0..Model::all().len()).prop_map(|n| &Model::all()[n])
}

fn any_features() -> impl Strategy<Value = FeatureSet> {
    let all: Vec<Feature> = Feature::all().collect();
    let count = all.len();
    subsequence(all, 0..=count).prop_map(FeatureSet::from_iter)
}

/// A model with its full set, less some of it: mostly little, so that searches get somewhere.
fn any_cpu() -> impl Strategy<Value = Cpu> {
    let features: Vec<Feature> = Feature::all().collect();
    (any_model(), subsequence(features, 0..=8), any::<bool>()).prop_map(|(model, less, full)| {
        let start = if full { model.full() } else { model.default_features() };
        Cpu::new(model, start.difference(less.into_iter().collect()))
    })
}

fn any_spec() -> impl Strategy<Value = CpuSpec> {
    let features = Feature::all().map(Property::Feature);
    let properties: Vec<Property> = features.chain(FeatureGroup::all().map(Property::Group)).collect();
    let settings = subsequence(properties, 0..20).prop_shuffle();
    let settings = settings.prop_flat_map(|properties| {
        let count = properties.len();
        (Just(properties), proptest::collection::vec(any::<bool>(), count))
    });
    let choice = any_model().prop_flat_map(|model| {
        select(vec![ModelChoice::Host, ModelChoice::Max, ModelChoice::Named(model), ModelChoice::Base(model)])
    });
    (choice, settings).prop_map(|(choice, (properties, on))| {
        let settings = properties.into_iter().zip(on).map(|(property, on)| Setting { property, on });
        CpuSpec::new(choice, settings.collect())
    })
}

proptest! {
    #[test]
    fn parsing_never_panics_and_refusals_stay_on_one_line(text in any::<String>()) {
        if let Err(refusal) = text.parse::<CpuSpec>() {
            prop_assert!(!refusal.to_string().contains('\n'));
        }
    }

    #[test]
    fn parsing_what_looks_like_an_option_never_panics(text in "(host|z14|gen1[0-9]a(-base)?)?([,=+-]|ap|ms[a-c]|on|off|é)*") {
        if let Ok(spec) = text.parse::<CpuSpec>() {
            prop_assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written(spec in any_spec()) {
        prop_assert_eq!(spec.to_string().parse(), Ok(spec));
    }

    #[test]
    fn sets_behave_like_sets(a in any_features(), b in any_features()) {
        prop_assert_eq!(a.union(b).len() + a.intersection(b).len(), a.len() + b.len());
        prop_assert_eq!(a.difference(b).union(a.intersection(b)), a);
        prop_assert_eq!(a.iter().collect::<FeatureSet>(), a);
        prop_assert_eq!(a.is_subset(b), a.iter().all(|feature| b.contains(feature)));
    }

    #[test]
    fn properties_name_exactly_the_set(set in any_features()) {
        let named = set.properties().iter().fold(FeatureSet::EMPTY, |named, p| named.union(p.features()));
        prop_assert_eq!(named, set);
    }

    #[test]
    fn both_expansions_of_a_cpu_are_that_cpu(cpu in any_cpu()) {
        prop_assert_eq!(cpu.static_expansion().expand(), Ok(cpu));
        prop_assert_eq!(cpu.full_expansion().expand(), Ok(cpu));
    }

    #[test]
    fn comparing_the_other_way_round_gives_the_opposite(a in any_cpu(), b in any_cpu()) {
        let opposite = match compare(&a, &b).relation {
            Relation::Superset => Relation::Subset,
            Relation::Subset => Relation::Superset,
            same => same,
        };
        prop_assert_eq!(compare(&b, &a).relation, opposite);
        prop_assert_eq!(compare(&a, &a).relation, Relation::Identical);
    }

    #[test]
    fn a_baseline_runs_wherever_either_runs(a in any_cpu(), b in any_cpu()) {
        if let Ok(shared) = baseline(&a, &b) {
            prop_assert!(shared.features.is_subset(shared.model.full()));
            for cpu in [a, b] {
                let host = HostCpu::new(cpu.model, cpu.features);
                prop_assert!(host.unavailable(&shared).is_empty());
                let relation = compare(&shared, &cpu).relation;
                prop_assert!(matches!(relation, Relation::Identical | Relation::Subset));
            }
        }
    }

    #[test]
    fn what_resolves_runs_on_that_host(spec in any_spec(), model in any_model(), cut in any_features()) {
        let host = HostCpu::new(model, model.full().difference(cut));
        if let Ok(resolved) = spec.resolve(&host) {
            prop_assert!(resolved.cpu.features.is_subset(host.features));
            prop_assert!(host.unavailable(&resolved.cpu).is_empty());
        }
        let exactly = CpuSpec::default().resolve(&host).map(|resolved| resolved.cpu.features);
        prop_assert_eq!(exactly, Ok(host.features));
    }

    #[test]
    fn a_decoded_host_resolves_to_a_cpu_that_its_kvm_takes(model in any_model(), features in any_features()) {
        let host = HostCpu::new(model, model.full().intersection(features));
        let machine = MachineAttributes::encode(&host);
        let host = machine.decode(&Capabilities::of(host.features)).expect("the type is known");
        let cpu = CpuSpec::default().resolve(&host).expect("host").cpu;
        let processor = ProcessorAttributes::encode(&cpu);
        // KVM refuses FEAT bits the machine lacks; the facilities that user space adds need no word of the
        // machine.
        prop_assert!(processor.feat.iter().zip(machine.feat).all(|(asked, offered)| asked & !offered == 0));
        let back = processor.decode().expect("the type is known").features;
        prop_assert!(back.is_subset(host.features));
    }

    #[test]
    fn blobs_of_any_bytes_are_read_without_panicking(seed in proptest::collection::vec(any::<u8>(), 64)) {
        let byte = |n: usize| seed[n % seed.len()].rotate_left(u32::try_from(n / seed.len()).expect("small"));
        let machine = MachineAttributes {
            machine: std::array::from_fn(byte),
            feat: std::array::from_fn(byte),
            subfunc: std::array::from_fn(byte),
            uv_feat: Some(std::array::from_fn(byte)),
        };
        if let Ok(host) = machine.decode(&Capabilities::of(FeatureSet::all())) {
            prop_assert!(host.features.is_subset(host.model.full()));
        }
        let processor = ProcessorAttributes {
            processor: std::array::from_fn(byte),
            feat: machine.feat,
            subfunc: machine.subfunc,
            cmma: true,
            apie: true,
            uv_feat: machine.uv_feat,
        };
        prop_assert!(processor.decode().is_err() || processor.decode().is_ok_and(|cpu| cpu.has(Feature::Ap)));
    }
}
