//! `adjunct cpu`: the CPU models as text and as JSON. Needs no host.

use crate::exit_status::ExitStatus;
use adjunct_cpu_model::{
    Cpu, CpuSpec, FeatureSet, Model, ModelChoice, NoBaseline, ParseError, Property, Relation, ResolveError,
    baseline, compare,
};
use clap::Subcommand;
use serde::Serialize;
use std::fmt::Write;

/// What can be asked about CPU models.
#[derive(Debug, Subcommand)]
pub enum CpuCommand {
    /// List all CPU models, oldest first
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a CPU model: its base, default and full features
    Show {
        /// Name of the model, for example z14 or gen16a
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare two CPUs: identical, superset, subset or incompatible
    Compare {
        /// A CPU as --cpu takes it, for example z14,ap=on
        #[arg(value_name = "CPU")]
        a: CpuSpec,
        /// Another one
        #[arg(value_name = "OTHER")]
        b: CpuSpec,
    },
    /// Show the CPU that two CPUs can both be: what a guest needs to run on either
    Baseline {
        /// A CPU as --cpu takes it
        #[arg(value_name = "CPU")]
        a: CpuSpec,
        /// Another one
        #[arg(value_name = "OTHER")]
        b: CpuSpec,
    },
}

/// Why a question about CPU models has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// No such model.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A CPU that can't be.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Nothing in common.
    #[error(transparent)]
    NoBaseline(#[from] NoBaseline),
    /// `host` and `max` are no models.
    #[error("{0} is whatever a host can give; name a machine, for example z14 (see adjunct cpu list)")]
    NotAModel(ModelChoice),
    /// Features besides a model.
    #[error(
        "{0:?} is a model with features, and show takes a model alone, of which it says what can be switched on"
    )]
    Features(String),
}

impl CpuError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Parse(_) | Self::NotAModel(_) | Self::Features(_) => ExitStatus::Usage,
            Self::Resolve(_) | Self::NoBaseline(_) => ExitStatus::Refused,
        }
    }
}

/// The answer to `command`, as it is printed.
///
/// # Errors
/// [`CpuError`].
pub fn answer(command: &CpuCommand) -> Result<String, CpuError> {
    match command {
        CpuCommand::List { json } => Ok(list(*json)),
        CpuCommand::Show { name, json } => show(name, *json),
        CpuCommand::Compare { a, b } => compared(a, b),
        CpuCommand::Baseline { a, b } => {
            let common = baseline(&a.expand()?, &b.expand()?)?;
            Ok(format!("{}\n", common.static_expansion()))
        }
    }
}

/// `adjunct cpu list --json`: an array of these.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    description: &'static str,
}

/// `adjunct cpu show NAME --json`. The shape is part of the interface.
#[derive(Serialize)]
struct Shown {
    name: String,
    description: &'static str,
    #[serde(rename = "type")]
    machine_type: u16,
    generation: u8,
    ec_ga: u8,
    ibc: u16,
    base: Vec<&'static str>,
    default: Vec<&'static str>,
    full: Vec<&'static str>,
}

/// JSON of ours: strings and numbers, which `serde_json` can always write.
fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn list(as_json: bool) -> String {
    let models = Model::all();
    if as_json {
        let listed = models.iter().map(|m| Listed { name: m.name, description: m.description });
        return json(&listed.collect::<Vec<_>>());
    }
    let mut text = String::new();
    for model in models {
        // Writing to a String can't fail.
        let _ = write!(text, "{:<10}{}", model.name, model.description);
        text += match model.name {
            "gen15a" => " (also: z15)\n",
            "gen16a" => " (IBM z16; also: z16)\n",
            "gen17a" => " (IBM z17; also: z17)\n",
            _ => "\n",
        };
    }
    text
}

fn show(name: &str, as_json: bool) -> Result<String, CpuError> {
    if name.contains(',') {
        return Err(CpuError::Features(name.to_owned()));
    }
    let choice: ModelChoice = name.parse()?;
    let (model, default) = match choice {
        ModelChoice::Named(model) => (model, model.default_features()),
        ModelChoice::Base(model) => (model, model.base()),
        ModelChoice::Host | ModelChoice::Max => return Err(CpuError::NotAModel(choice)),
    };
    if as_json {
        return Ok(json(&Shown {
            name: choice.to_string(),
            description: model.description,
            machine_type: model.machine_type,
            generation: model.generation,
            ec_ga: model.ec_ga,
            ibc: model.ibc,
            base: sorted_names(model.base()),
            default: sorted_names(default),
            full: sorted_names(model.full()),
        }));
    }
    let mut text = format!(
        "{choice}: {}\nmachine type {:#06x}, generation {}, GA {}, IBC {:#05x}\n",
        model.description, model.machine_type, model.generation, model.ec_ga, model.ibc
    );
    let base = model.base();
    text += &paragraph("base: what every such machine has", base);
    text += &paragraph("default, besides the base", default.difference(base));
    text += &paragraph("may be switched on", model.full().difference(base.union(default)));
    Ok(text)
}

fn sorted_names(features: FeatureSet) -> Vec<&'static str> {
    let mut names: Vec<_> = features.iter().map(|feature| feature.name()).collect();
    names.sort_unstable();
    names
}

/// A heading and the features below it, groups by their names, in lines of up to 80 characters.
fn paragraph(heading: &str, features: FeatureSet) -> String {
    let mut text = format!("\n{heading}:\n");
    let mut line = String::new();
    let names = features.properties().into_iter().map(Property::name);
    for name in names.chain(features.is_empty().then_some("(nothing)")) {
        if line.len() + name.len() >= 78 {
            let _ = writeln!(text, " {line}");
            line.clear();
        }
        line.push(' ');
        line.push_str(name);
    }
    let _ = writeln!(text, " {line}");
    text
}

fn compared(a: &CpuSpec, b: &CpuSpec) -> Result<String, CpuError> {
    let (first, second): (Cpu, Cpu) = (a.expand()?, b.expand()?);
    let comparison = compare(&first, &second);
    let (word, meaning) = match comparison.relation {
        Relation::Identical => ("identical", format!("{a} and {b} are the same to a guest")),
        Relation::Superset => ("superset", format!("a guest made for {b} can run on {a}")),
        Relation::Subset => ("subset", format!("a guest made for {a} can run on {b}")),
        Relation::Incompatible => ("incompatible", "neither can take the other's guests".to_owned()),
    };
    let mut text = format!("{word}: {meaning}\n");
    if comparison.ages_differ {
        let _ = writeln!(text, "\n{a}: {}\n{b}: {}", first.model.description, second.model.description);
    }
    for (name, only) in [(a, comparison.only_first), (b, comparison.only_second)] {
        if !only.is_empty() {
            text += &paragraph(&format!("only {name} has"), only);
        }
    }
    Ok(text)
}
