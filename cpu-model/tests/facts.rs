//! The tables against what QEMU says, as kept in `tests/data`.

use std::collections::BTreeSet;

use adjunct_cpu_model::{Feature, FeatureGroup, FeatureSet, Home, Model};

fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect())
}

fn features() -> impl Iterator<Item = Vec<&'static str>> {
    lines(include_str!("data/features.txt"))
}

/// `FIRST..LAST` and several of them with commas between, in the order of the models.
fn is_in(ranges: &str, model: usize) -> bool {
    let place = |name: &str| Model::all().iter().position(|model| model.name == name).expect(name);
    ranges != "-"
        && ranges.split(',').any(|range| {
            let (first, last) = range.split_once("..").expect(range);
            (place(first)..=place(last)).contains(&model)
        })
}

#[test]
fn every_model_has_exactly_qemus_base_default_and_full_sets() {
    for (n, model) in Model::all().iter().enumerate() {
        let column = |column: usize| -> FeatureSet {
            let rows = features().filter(|row| is_in(row[column], n));
            rows.map(|row| row[0].parse::<Feature>().expect(row[0])).collect()
        };
        assert_eq!(model.base(), column(4), "base set of {model}");
        assert_eq!(model.default_features(), column(5), "default set of {model}");
        assert_eq!(model.full(), column(6), "full set of {model}");
    }
}

#[test]
fn every_model_is_described_as_qemu_describes_it() {
    let rows: Vec<Vec<&str>> = lines(include_str!("data/models.txt")).collect();
    assert_eq!(rows.len(), Model::all().len());
    for (row, model) in rows.iter().zip(Model::all()) {
        let sizes = [model.base(), model.default_features(), model.full()].map(|set| set.len().to_string());
        let ours = [
            model.name.to_owned(),
            format!("{:#06x}", model.machine_type),
            format!("{}.{}", model.generation, model.ec_ga),
            model.mha_pow.to_string(),
            format!("{:#010x}", model.hmfai),
            format!("{:#05x}", model.ibc),
            sizes.join("/"),
        ];
        assert_eq!(row[..7], ours);
        assert_eq!(row[7..].join(" "), model.description);
    }
}

#[test]
fn every_feature_has_its_bit_where_qemu_has_it() {
    let mut seen = FeatureSet::EMPTY;
    for row in features() {
        let feature: Feature = row[0].parse().expect(row[0]);
        let (block, bit) = match feature.home() {
            Home::Facility(bit) => ("stfl".to_owned(), bit),
            Home::ConfChar(bit) => ("sclp-conf-char".to_owned(), bit.into()),
            Home::ConfCharExt(bit) => ("sclp-conf-char-ext".to_owned(), bit.into()),
            Home::Fac134(bit) => ("sclp-fac134".to_owned(), bit.into()),
            Home::Fac139(bit) => ("sclp-fac139".to_owned(), bit.into()),
            Home::CpuEntry(bit) => ("sclp-cpu".to_owned(), bit.into()),
            Home::NoBit => ("misc".to_owned(), 0),
            Home::Ultravisor(bit) => ("uv-feat-guest".to_owned(), bit.into()),
            Home::Function(instruction, code) => (format!("{instruction:?}").to_lowercase(), code.into()),
        };
        assert_eq!((block.as_str(), bit.to_string().as_str()), (row[1], row[2]), "{feature}");
        seen.insert(feature);
    }
    assert_eq!(seen, FeatureSet::all());
}

#[test]
fn every_group_has_exactly_qemus_features() {
    let mut groups = FeatureGroup::all();
    for row in lines(include_str!("data/groups.txt")) {
        let group = groups.next().expect("as many groups");
        let features: FeatureSet = row[1..].iter().map(|name| name.parse::<Feature>().expect(name)).collect();
        assert_eq!((group.name(), group.features()), (row[0], features));
    }
    assert_eq!(groups.next(), None);
}

#[test]
fn the_requirements_are_exactly_qemus() {
    let theirs: BTreeSet<(&str, &str)> =
        lines(include_str!("data/requires.txt")).map(|row| (row[0], row[1])).collect();
    let ours: BTreeSet<(&str, &str)> =
        Feature::requirements().iter().map(|(feature, required)| (feature.name(), required.name())).collect();
    assert_eq!(ours, theirs);
}
