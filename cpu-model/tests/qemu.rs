//! The same questions to us and to an installed QEMU, over QMP, without a machine and without KVM. QEMU need
//! not be the version that the tables follow: what it does not know is not asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use adjunct_cpu_model::{
    Cpu, CpuSpec, FeatureSet, HostCpu, Model, ModelChoice, Property, Relation, Setting, baseline, compare,
};
use serde_json::{Value, json};

struct Qemu {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Qemu {
    fn start() -> Qemu {
        let mut process = Command::new("qemu-system-s390x")
            .args(["-machine", "none", "-accel", "tcg", "-display", "none", "-nodefaults", "-qmp", "stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-s390x is installed");
        let to = process.stdin.take().expect("piped");
        let from = BufReader::new(process.stdout.take().expect("piped"));
        let mut qemu = Qemu { process, to, from };
        qemu.line();
        qemu.ask("qmp_capabilities", json!({})).expect("QMP");
        qemu
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("QEMU is there");
        serde_json::from_str(&line).expect("JSON")
    }

    /// What QEMU returns, or its error message.
    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        writeln!(self.to, "{}", json!({ "execute": command, "arguments": arguments }))
            .expect("QEMU is there");
        loop {
            let mut answer = self.line();
            if let Some(error) = answer.get("error") {
                return Err(error["desc"].as_str().unwrap_or_default().to_owned());
            }
            if answer.get("event").is_none() {
                return Ok(answer["return"].take());
            }
        }
    }

    fn expand(&mut self, kind: &str, spec: &CpuSpec) -> Result<Value, String> {
        let mut answer =
            self.ask("query-cpu-model-expansion", json!({ "type": kind, "model": model(spec) }))?;
        Ok(answer["model"].take())
    }

    /// All models but QEMU's own, in both forms.
    fn specs(&mut self) -> Vec<CpuSpec> {
        let definitions = self.ask("query-cpu-definitions", json!({})).expect("definitions");
        let names =
            definitions.as_array().expect("a list").iter().map(|d| d["name"].as_str().expect("a name"));
        let named = names.filter(|name| !["qemu", "host", "max"].contains(name));
        let specs: Vec<CpuSpec> = named.map(|name| name.parse().expect(name)).collect();
        assert!(specs.len() >= 76, "QEMU knows few models: {}", specs.len());
        specs
    }

    /// The features and groups that this QEMU knows; a name that we do not know ends the test.
    fn known(&mut self) -> Vec<Property> {
        let expanded = self.expand("full", &"gen15a".parse().expect("a model")).expect("an expansion");
        let listed: Vec<Property> = settings(&expanded).into_keys().map(|name| property(&name)).collect();
        // A group stands for its features there; those are known too.
        let features = listed.iter().fold(FeatureSet::EMPTY, |all, property| all.union(property.features()));
        let groups = listed.iter().copied().filter(|property| matches!(property, Property::Group(_)));
        let known: Vec<Property> = groups.chain(features.iter().map(Property::Feature)).collect();
        assert!(known.len() >= 300, "QEMU knows few features: {}", known.len());
        known
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Nothing is lost, and asking it to quit could panic again while a test unwinds.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A spec as QMP's `CpuModelInfo`.
fn model(spec: &CpuSpec) -> Value {
    let props: serde_json::Map<String, Value> = spec
        .settings()
        .iter()
        .map(|setting| (setting.property.name().to_owned(), setting.on.into()))
        .collect();
    json!({ "name": spec.model().to_string(), "props": props })
}

/// The properties of QMP's `CpuModelInfo`.
fn settings(model: &Value) -> BTreeMap<String, bool> {
    let props = model.get("props").and_then(Value::as_object);
    props.into_iter().flatten().map(|(name, on)| (name.clone(), on.as_bool().expect("a switch"))).collect()
}

fn property(name: &str) -> Property {
    let feature = name.parse().map(Property::Feature);
    feature.or_else(|_| name.parse().map(Property::Group)).expect(name)
}

fn cpu(spec: &CpuSpec) -> Cpu {
    spec.expand().expect("a model QEMU has too")
}

/// QEMU puts each name before the last one.
fn names(list: &Value) -> Vec<String> {
    let names = list.as_array().expect("a list").iter();
    names.rev().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// CPUs with a few features and groups off, the same ones in every run.
fn varied(qemu: &mut Qemu, count: usize) -> Vec<CpuSpec> {
    let (specs, known) = (qemu.specs(), qemu.known());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(limit).expect("small")).expect("small")
    };
    let mut vary = |_| {
        let choice = specs[below(specs.len())].model();
        let off = (0..below(4)).map(|_| Setting { property: known[below(known.len())], on: false });
        CpuSpec::new(choice, off.collect())
    };
    (0..count).map(&mut vary).collect()
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn every_model_expands_as_in_qemu() {
    let mut qemu = Qemu::start();
    for spec in qemu.specs().into_iter().chain(varied(&mut Qemu::start(), 200)) {
        let theirs = qemu.expand("static", &spec).expect("an expansion");
        let ours = cpu(&spec).static_expansion();
        assert_eq!(theirs["name"], ours.model().to_string(), "{spec}");
        assert_eq!(settings(&theirs), settings(&model(&ours)), "{spec}");

        let theirs = qemu.expand("full", &spec).expect("an expansion");
        let features = cpu(&spec).features;
        let mut named = FeatureSet::EMPTY;
        for (name, on) in settings(&theirs) {
            let listed = property(&name).features();
            let ours = if on { listed.is_subset(features) } else { listed.intersection(features).is_empty() };
            assert!(ours, "{spec}: {name} is {on} in QEMU");
            named = named.union(listed);
        }
        assert_eq!(features.difference(named).to_string(), "", "{spec}: on here and unknown to QEMU");
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn the_same_features_can_be_switched_on_as_in_qemu() {
    let mut qemu = Qemu::start();
    let known = qemu.known();
    for spec in qemu.specs().iter().filter(|spec| matches!(spec.model(), ModelChoice::Named(_))) {
        for property in &known {
            let asked = CpuSpec::new(spec.model(), vec![Setting { property: *property, on: true }]);
            let (ours, theirs) = (asked.expand(), qemu.expand("static", &asked));
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{asked}: {theirs:?}");
            if let Err(text) = theirs {
                assert!(text.ends_with("it was introduced with later models."), "{asked}: {text}");
            }
        }
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn every_two_models_compare_and_combine_as_in_qemu() {
    let mut qemu = Qemu::start();
    let (specs, varied) = (qemu.specs(), varied(&mut Qemu::start(), 600));
    let all = specs.iter().flat_map(|a| specs.iter().map(move |b| (a, b)));
    for (a, b) in all.chain(varied.iter().zip(varied.iter().skip(1))) {
        let both = json!({ "modela": model(a), "modelb": model(b) });
        let theirs = qemu.ask("query-cpu-model-comparison", both.clone()).expect("a comparison");
        let ours = compare(&cpu(a), &cpu(b));
        let relation = match ours.relation {
            Relation::Identical => "identical",
            Relation::Superset => "superset",
            Relation::Subset => "subset",
            Relation::Incompatible => "incompatible",
        };
        assert_eq!(theirs["result"], relation, "{a} and {b}");
        assert_eq!(names(&theirs["responsible-properties"]), ours.responsible(), "{a} and {b}");

        match (qemu.ask("query-cpu-model-baseline", both), baseline(&cpu(a), &cpu(b))) {
            (Ok(theirs), Ok(ours)) => {
                let ours = ours.static_expansion();
                assert_eq!(theirs["model"]["name"], ours.model().to_string(), "{a} and {b}");
                assert_eq!(settings(&theirs["model"]), settings(&model(&ours)), "{a} and {b}");
            }
            (theirs, ours) => assert!(theirs.is_err() && ours.is_err(), "{a} and {b}: {theirs:?}, {ours:?}"),
        }
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn every_model_lacks_on_qemus_emulated_host_what_qemu_says_it_lacks() {
    let mut qemu = Qemu::start();
    let max = qemu.ask("query-cpu-model-expansion", json!({ "type": "full", "model": { "name": "max" } }));
    let max = max.expect("an expansion")["model"].take();
    let name =
        max["name"].as_str().and_then(|name| name.strip_suffix("-base")).expect("a base model").to_owned();
    let on = settings(&max).into_iter().filter(|(_, on)| *on);
    let features = on.fold(FeatureSet::EMPTY, |all, (name, _)| all.union(property(&name).features()));
    let host = HostCpu::new(Model::by_name(&name).expect("a model"), features);

    let definitions = qemu.ask("query-cpu-definitions", json!({})).expect("definitions");
    let mut compared = 0;
    for definition in definitions.as_array().expect("a list") {
        let name = definition["name"].as_str().expect("a name");
        if ["qemu", "host", "max"].contains(&name) {
            continue;
        }
        let ours = host.unavailable(&cpu(&name.parse().expect(name)));
        assert_eq!(names(&definition["unavailable-features"]), ours.names(), "{name}");
        compared += 1;
    }
    assert!(compared >= 76);
}
