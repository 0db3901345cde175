//! The `-cpu` option: a model and what to change about it.
//!
//! ```text
//! host | max | MODEL | MODEL-base     followed by any number of     ,FEATURE=on|off
//! ```
//!
//! Model, feature and group names are QEMU's (and `z15`, `z16`, `z17`), upper and lower case as there.
//! Besides on and off, the other spellings of QEMU's switches are understood: yes and no, true and false, y
//! and n. Stricter than QEMU: a key may be given once only, and nothing may be empty between two commas.
//! Parsing looks at names only; whether a model can have a feature is for [`CpuSpec::resolve`] and
//! [`CpuSpec::expand`].

use std::fmt;
use std::str::FromStr;

use crate::features::{Feature, FeatureGroup, Property};
use crate::models::Model;
use crate::spelling::{did_you_mean, nearest};

/// What the `-cpu` option says. [`Display`](fmt::Display) writes it so that parsing gives the same again.
///
/// ```
/// # use adjunct_cpu_model::CpuSpec;
/// let spec: CpuSpec = "z16,ap=on,apqci=yes".parse()?;
/// assert_eq!(spec.to_string(), "gen16a,ap=on,apqci=on");
/// # Ok::<(), adjunct_cpu_model::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSpec {
    model: ModelChoice,
    settings: Vec<Setting>,
}

/// The model part of the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// `host`: all that the host can give.
    Host,
    /// `max`: the same as `host`, as it is under KVM.
    Max,
    /// A model with its default features.
    Named(&'static Model),
    /// The static model `NAME-base`.
    Base(&'static Model),
}

/// One `KEY=on` or `KEY=off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What is switched.
    pub property: Property,
    /// Which way.
    pub on: bool,
}

impl CpuSpec {
    /// A spec put together by hand. Later settings win over earlier ones.
    pub fn new(model: ModelChoice, settings: Vec<Setting>) -> CpuSpec {
        CpuSpec { model, settings }
    }

    /// The model.
    pub fn model(&self) -> ModelChoice {
        self.model
    }

    /// What is changed about the model, in the order given.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

impl Default for CpuSpec {
    /// `host`, QEMU's default under KVM.
    fn default() -> CpuSpec {
        CpuSpec::new(ModelChoice::Host, Vec::new())
    }
}

/// Why an option is no CPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No model, or nothing between two commas.
    #[error("the CPU option has an empty part: write MODEL[,FEATURE=on|off]...")]
    Empty,
    /// No such model.
    #[error("there is no CPU model {name:?}{}", did_you_mean(.nearest))]
    UnknownModel {
        /// The name as given.
        name: String,
        /// A known name like it.
        nearest: Option<&'static str>,
    },
    /// The model `qemu`.
    #[error(
        "CPU model qemu is what QEMU's own emulation of the CPU can do, which is not used here: take host or a machine's name"
    )]
    QemuModel,
    /// `+f` or `-f`, the syntax of other architectures.
    #[error("features are not switched with + and - on this architecture: write {}={}", .name.escape_debug(), word(*.on))]
    Signed {
        /// The name behind the sign.
        name: String,
        /// Whether the sign was a plus.
        on: bool,
    },
    /// A key without `=`.
    #[error("{key} has no value: write {key}=on or {key}=off")]
    NoValue {
        /// The key.
        key: &'static str,
    },
    /// A value that is neither on nor off.
    #[error("{key}={value:?} is neither on nor off: write {key}=on or {key}=off")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
    },
    /// No such feature or group.
    #[error("there is no CPU feature {key:?}{}", did_you_mean(.nearest))]
    UnknownFeature {
        /// The name as given.
        key: String,
        /// A known name like it.
        nearest: Option<&'static str>,
    },
    /// The same key twice.
    #[error("{key} is given more than once: keep one of them")]
    Duplicate {
        /// The key.
        key: &'static str,
    },
}

impl FromStr for CpuSpec {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<CpuSpec, ParseError> {
        let mut parts = text.split(',');
        let model = parts.next().unwrap_or_default().parse()?;
        let mut settings: Vec<Setting> = Vec::new();
        for part in parts {
            let setting: Setting = part.parse()?;
            if settings.iter().any(|earlier| earlier.property == setting.property) {
                return Err(ParseError::Duplicate { key: setting.property.name() });
            }
            settings.push(setting);
        }
        Ok(CpuSpec { model, settings })
    }
}

impl FromStr for ModelChoice {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<ModelChoice, ParseError> {
        match name {
            "" => return Err(ParseError::Empty),
            "host" => return Ok(ModelChoice::Host),
            "max" => return Ok(ModelChoice::Max),
            "qemu" => return Err(ParseError::QemuModel),
            _ => {}
        }
        let (plain, choice): (&str, fn(&'static Model) -> ModelChoice) = match name.strip_suffix("-base") {
            Some(plain) => (plain, ModelChoice::Base),
            None => (name, ModelChoice::Named),
        };
        Model::by_name(plain).map(choice).ok_or_else(|| {
            let known = Model::names().chain(["host", "max"]);
            ParseError::UnknownModel { name: name.to_owned(), nearest: nearest(plain, known) }
        })
    }
}

impl FromStr for Setting {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Setting, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Empty);
        }
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        if let Some(name) = key.strip_prefix(['+', '-']) {
            return Err(ParseError::Signed { name: name.to_owned(), on: key.starts_with('+') });
        }
        let property = Property::by_name(key).ok_or_else(|| {
            let known = Feature::all().map(Feature::name).chain(FeatureGroup::all().map(FeatureGroup::name));
            ParseError::UnknownFeature { key: key.to_owned(), nearest: nearest(key, known) }
        })?;
        let on = match value {
            Some("on" | "yes" | "true" | "y") => true,
            Some("off" | "no" | "false" | "n") => false,
            Some(value) => {
                return Err(ParseError::BadValue { key: property.name(), value: value.to_owned() });
            }
            None => return Err(ParseError::NoValue { key: property.name() }),
        };
        Ok(Setting { property, on })
    }
}

impl fmt::Display for CpuSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.model)?;
        self.settings.iter().try_for_each(|setting| write!(f, ",{setting}"))
    }
}

impl fmt::Display for ModelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelChoice::Host => f.write_str("host"),
            ModelChoice::Max => f.write_str("max"),
            ModelChoice::Named(model) => write!(f, "{model}"),
            ModelChoice::Base(model) => write!(f, "{model}-base"),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.property, word(self.on))
    }
}

fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<CpuSpec>().expect_err(text).to_string()
    }

    #[test]
    fn a_spec_is_written_as_it_was_read() {
        for text in
            ["host", "max", "z14", "z14-base", "z14.2", "gen16a", "zEC12,ap=on,apqci=off", "host,msa4=off"]
        {
            assert_eq!(text.parse::<CpuSpec>().expect(text).to_string(), text);
        }
        let z15: CpuSpec = "z15-base,ap=true,apft=n".parse().expect("an alias");
        assert_eq!(z15.to_string(), "gen15a-base,ap=on,apft=off");
    }

    #[test]
    fn all_spellings_of_on_and_off_are_read_and_no_others() {
        for (value, on) in [("on", true), ("yes", true), ("true", true), ("y", true)] {
            assert_eq!(format!("ap={value}").parse::<Setting>().expect(value).on, on);
        }
        for (value, on) in [("off", false), ("no", false), ("false", false), ("n", false)] {
            assert_eq!(format!("ap={value}").parse::<Setting>().expect(value).on, on);
        }
        for value in ["", "ON", "1", "on ", "on=on"] {
            let refused = format!("ap={value}").parse::<Setting>();
            assert_eq!(refused, Err(ParseError::BadValue { key: "ap", value: value.to_owned() }));
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        assert_eq!(error("z41"), "there is no CPU model \"z41\", did you mean z14?");
        assert_eq!(error("Z16-base"), "there is no CPU model \"Z16-base\", did you mean z16?");
        assert_eq!(error("power9"), "there is no CPU model \"power9\"");
        assert_eq!(error("z14,apci=on"), "there is no CPU feature \"apci\", did you mean apqci?");
        let signs = "features are not switched with + and - on this architecture";
        assert_eq!(error("z14,+ap"), format!("{signs}: write ap=on"));
        assert_eq!(error("z14,-ap=on"), format!("{signs}: write ap=off"));
        assert_eq!(error("z14,ap"), "ap has no value: write ap=on or ap=off");
        assert_eq!(error("z14,ap=1"), "ap=\"1\" is neither on nor off: write ap=on or ap=off");
        assert_eq!(error("z14,ap=on,ap=on"), "ap is given more than once: keep one of them");
        assert!(error("qemu").contains("take host"));
        for empty in ["", ",ap=on", "z14,", "z14,,ap=on"] {
            assert_eq!(empty.parse::<CpuSpec>(), Err(ParseError::Empty), "{empty}");
        }
    }

    #[test]
    fn refusals_stay_on_one_line_whatever_was_typed() {
        for text in ["a\nb", "z14,a\nb", "z14,a\nb=on", "z14,ap=\n", "z14,+a\nb"] {
            assert!(!error(text).contains('\n'), "{text:?}");
        }
    }
}
