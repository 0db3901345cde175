//! QEMU's questions about CPU models (`target/s390x/cpu_models_system.c`), answered by `adjunct-cpu-model`.

use super::{
    command::{answer, refused},
    message::{Arguments, Error},
};
use crate::control::Handle;
use adjunct_cpu_model::{
    Cpu, CpuSpec, Feature, FeatureSet, HostCpu, Model, ModelChoice, Property, Relation, ResolveError, Setting,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A model as it is written in answers.
#[derive(Debug, Serialize)]
struct ModelInfo {
    name: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    props: Map<String, Value>,
}

impl From<&CpuSpec> for ModelInfo {
    fn from(spec: &CpuSpec) -> Self {
        let prop = |setting: &Setting| (setting.property.name().to_owned(), setting.on.into());
        Self { name: spec.model().to_string(), props: spec.settings().iter().map(prop).collect() }
    }
}

/// `query-cpu-model-expansion`.
pub(super) fn expansion(handle: &Handle, mut arguments: Arguments) -> Result<Value, Error> {
    let kind = arguments.string("type")?;
    let kind = arguments.required("type", kind)?;
    let full = match kind.as_str() {
        "static" => false,
        "full" => true,
        _ => return Err(Error::generic(format!("Parameter 'type' does not accept value '{kind}'"))),
    };
    let model = Wanted::take(&mut arguments, "model")?;
    arguments.finish()?;
    let cpu = model.cpu(handle)?;
    let (expanded, mut deprecated) = if full {
        (cpu.full_expansion(), Feature::deprecated())
    } else {
        (cpu.static_expansion(), cpu.deprecated())
    };
    // It is not in the list of the QEMU that query-version tells of (`s390_get_deprecated_features`, 10.2).
    deprecated.remove(Feature::IneffNcTx);
    let mut expansion = json!({ "model": ModelInfo::from(&expanded) });
    if !deprecated.is_empty() {
        expansion["deprecated-props"] = names(&deprecated);
    }
    Ok(expansion)
}

/// `query-cpu-model-comparison`.
pub(super) fn comparison(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    let (a, b) = two(handle, arguments)?;
    let comparison = adjunct_cpu_model::compare(&a, &b);
    let result = match comparison.relation {
        Relation::Identical => "identical",
        Relation::Superset => "superset",
        Relation::Subset => "subset",
        Relation::Incompatible => "incompatible",
    };
    Ok(json!({ "result": result, "responsible-properties": comparison.responsible() }))
}

/// `query-cpu-model-baseline`.
pub(super) fn baseline(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    let (a, b) = two(handle, arguments)?;
    let common = adjunct_cpu_model::baseline(&a, &b).map_err(|_| {
        Error::generic("No compatible CPU model could be created as important base features are disabled")
    })?;
    Ok(json!({ "model": ModelInfo::from(&common.static_expansion()) }))
}

fn two(handle: &Handle, mut arguments: Arguments) -> Result<(Cpu, Cpu), Error> {
    let a = Wanted::take(&mut arguments, "modela")?;
    let b = Wanted::take(&mut arguments, "modelb")?;
    arguments.finish()?;
    Ok((a.cpu(handle)?, b.cpu(handle)?))
}

/// One of the answer to `query-cpu-definitions`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Definition {
    name: String,
    typename: String,
    #[serde(rename = "static")]
    fixed: bool,
    migration_safe: bool,
    deprecated: bool,
    unavailable_features: Vec<&'static str>,
}

/// `query-cpu-definitions`: whatever `--cpu` takes, and what this host lacks for it.
pub(super) fn definitions(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    let host = host(handle)?;
    let here = HostCpu::new(host.model, host.features);
    let models = Model::all().iter().flat_map(|model| {
        let named = (ModelChoice::Named(model), Cpu::new(model, model.default_features()));
        [named, (ModelChoice::Base(model), Cpu::new(model, model.base()))]
    });
    let all = models.chain([(ModelChoice::Host, host), (ModelChoice::Max, host)]);
    let definition = |(choice, cpu): (ModelChoice, Cpu)| Definition {
        name: choice.to_string(),
        typename: typename(choice),
        fixed: matches!(choice, ModelChoice::Base(_)),
        migration_safe: !matches!(choice, ModelChoice::Host | ModelChoice::Max),
        deprecated: false,
        unavailable_features: here.unavailable(&cpu).names(),
    };
    answer(all.map(definition).collect::<Vec<_>>())
}

/// A model as a client writes it, before anybody knows whether there is one.
#[derive(Debug)]
struct Wanted {
    /// The argument that it is.
    argument: &'static str,
    name: String,
    props: Option<Value>,
}

impl Wanted {
    fn take(arguments: &mut Arguments, argument: &'static str) -> Result<Self, Error> {
        let model = arguments.object(argument)?;
        let mut model = arguments.required(argument, model)?;
        let name = model.string("name")?;
        let name = model.required("name", name)?;
        let props = model.any("props");
        model.finish()?;
        Ok(Self { argument, name, props })
    }

    /// The CPU that it stands for; of `host`, the CPU of the host.
    fn cpu(self, handle: &Handle) -> Result<Cpu, Error> {
        let unknown = |_| Error::generic(format!("The CPU definition '{}' is unknown.", self.name));
        let choice: ModelChoice = self.name.parse().map_err(unknown)?;
        let wanted = settings(choice, self.argument, self.props)?;
        let spec = match choice {
            ModelChoice::Named(_) | ModelChoice::Base(_) => CpuSpec::new(choice, wanted),
            ModelChoice::Host | ModelChoice::Max => {
                let host = host(handle)?.static_expansion();
                CpuSpec::new(host.model(), [host.settings(), &wanted].concat())
            }
        };
        spec.expand().map_err(|refused| match refused {
            ResolveError::NotInModel { property, model, .. } => {
                let what = match property {
                    Property::Feature(_) => "Feature",
                    Property::Group(_) => "Group",
                };
                Error::generic(format!(
                    "{what} '{property}' is not available for CPU model '{}', it was introduced with later models.",
                    model.name
                ))
            }
            other => Error::generic(other.to_string()),
        })
    }
}

/// The features that are switched; groups before what they hold, so that the finer word counts.
fn settings(choice: ModelChoice, argument: &str, props: Option<Value>) -> Result<Vec<Setting>, Error> {
    let props = match props {
        None => return Ok(Vec::new()),
        Some(Value::Object(props)) => props,
        Some(_) => return Err(Error::wrong_type(&format!("{argument}.props"), "object")),
    };
    let setting = |(name, on): (&String, &Value)| {
        let property = (name.parse().map(Property::Feature).ok())
            .or_else(|| name.parse().map(Property::Group).ok())
            .ok_or_else(|| Error::generic(format!("Property '{}.{name}' not found", typename(choice))))?;
        let on =
            on.as_bool().ok_or_else(|| Error::wrong_type(&format!("{argument}.props.{name}"), "boolean"))?;
        Ok(Setting { property, on })
    };
    let mut settings = props.iter().map(setting).collect::<Result<Vec<_>, Error>>()?;
    settings.sort_by_key(|setting| matches!(setting.property, Property::Feature(_)));
    Ok(settings)
}

/// A model as a type of QEMU's.
fn typename(choice: ModelChoice) -> String {
    format!("{choice}-s390x-cpu")
}

fn names(features: &FeatureSet) -> Value {
    features.properties().into_iter().map(Property::name).collect()
}

fn host(handle: &Handle) -> Result<Cpu, Error> {
    handle.host().map(|host| host.cpu).map_err(|refusal| refused(&refusal))
}
