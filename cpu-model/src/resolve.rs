//! From what was asked for to a CPU, with what there is to say against it.

use std::fmt;

use crate::cpu::Cpu;
use crate::features::{Feature, FeatureSet, Property};
use crate::host::{HostCpu, TooNew};
use crate::models::Model;
use crate::spec::{CpuSpec, ModelChoice, Setting};

/// A CPU that the host can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What the guest gets.
    pub cpu: Cpu,
    /// What does not fit together. The guest starts all the same.
    pub warnings: Vec<Warning>,
}

/// A feature is on without another that it makes no sense without. [`Display`](fmt::Display) is QEMU's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The feature that is on.
    pub feature: Feature,
    /// The feature that is missing.
    pub requires: Feature,
}

impl Warning {
    /// What can be done about it.
    pub fn hint(&self) -> Hint {
        Hint { on: self.requires, off: self.feature }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' requires '{}'.", self.feature, self.requires)
    }
}

/// Either of two ways to heed a [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Switch this on,
    pub on: Feature,
    /// or that off.
    pub off: Feature,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "add {}=on or {}=off", self.on, self.off)
    }
}

/// Why there is no such CPU, or not on this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// `host` or `max` without a host.
    #[error("CPU model {model} is whatever a host can give, and no host was asked: name a machine instead")]
    NeedsHost {
        /// `host` or `max`.
        model: ModelChoice,
    },
    /// A feature or group that the model cannot have.
    #[error("{property} is not available for CPU model {model}{}", since(.first))]
    NotInModel {
        /// What was switched on.
        property: Property,
        /// The model that cannot have it.
        model: &'static Model,
        /// The first model that can, if any can.
        first: Option<&'static Model>,
    },
    /// The model is newer than the host.
    #[error(
        "CPU model {model} is too new for this host: its {what} is above that of {host}, the newest that can run here"
    )]
    TooNew {
        /// The model that was asked for.
        model: &'static Model,
        /// What about it is too new.
        what: TooNew,
        /// The host's model.
        host: &'static Model,
    },
    /// The host lacks features.
    #[error("this host lacks {} of CPU model {model}; {}: {}", count(.missing), remedy(*.model), names(.missing))]
    Missing {
        /// The model as it was asked for.
        model: ModelChoice,
        /// What the host lacks.
        missing: FeatureSet,
    },
}

fn since(first: &Option<&'static Model>) -> String {
    first.map_or_else(|| String::from(" or any other"), |model| format!(": it was introduced with {model}"))
}

fn remedy(model: ModelChoice) -> &'static str {
    match model {
        ModelChoice::Host | ModelChoice::Max => "leave it out",
        ModelChoice::Named(_) | ModelChoice::Base(_) => {
            "take the model host or switch them off (FEATURE=off)"
        }
    }
}

fn count(features: &FeatureSet) -> String {
    match features.len() {
        1 => String::from("one feature"),
        n => format!("{n} features"),
    }
}

fn names(features: &FeatureSet) -> String {
    let names: Vec<&str> = features.properties().into_iter().map(Property::name).collect();
    names.join(" ")
}

impl CpuSpec {
    /// The CPU that this asks for, if `host` can run it.
    ///
    /// # Errors
    ///
    /// [`NotInModel`](ResolveError::NotInModel), then [`TooNew`](ResolveError::TooNew), then
    /// [`Missing`](ResolveError::Missing), in the order in which QEMU checks.
    ///
    /// Source: QEMU's `set_feature`, `check_consistency` and `check_compatibility`
    /// (`target/s390x/cpu_models.c`).
    pub fn resolve(&self, host: &HostCpu) -> Result<Resolved, ResolveError> {
        let (model, features) = match self.named() {
            Some(start) => start,
            None => (host.model, host.features),
        };
        let features = self.apply(model, features)?;
        let cpu = Cpu { model, features, identity: host.identity, lowest_ibc: host.ibc.lowest };
        let unavailable = host.unavailable(&cpu);
        if let Some(what) = unavailable.too_new {
            return Err(ResolveError::TooNew { model, what, host: host.model });
        }
        if !unavailable.missing.is_empty() {
            return Err(ResolveError::Missing { model: self.model(), missing: unavailable.missing });
        }
        Ok(Resolved { cpu, warnings: cpu.warnings() })
    }

    /// The CPU that this asks for, whatever host may run it.
    ///
    /// # Errors
    ///
    /// [`NeedsHost`](ResolveError::NeedsHost) for `host` and `max`, and
    /// [`NotInModel`](ResolveError::NotInModel).
    pub fn expand(&self) -> Result<Cpu, ResolveError> {
        let (model, features) = self.named().ok_or(ResolveError::NeedsHost { model: self.model() })?;
        Ok(Cpu::new(model, self.apply(model, features)?))
    }

    /// The named model and what it starts from.
    fn named(&self) -> Option<(&'static Model, FeatureSet)> {
        match self.model() {
            ModelChoice::Host | ModelChoice::Max => None,
            ModelChoice::Named(model) => Some((model, model.default_features())),
            ModelChoice::Base(model) => Some((model, model.base())),
        }
    }

    fn apply(&self, model: &'static Model, start: FeatureSet) -> Result<FeatureSet, ResolveError> {
        self.settings().iter().try_fold(start, |features, Setting { property, on }| {
            let switched = property.features();
            if !on {
                return Ok(features.difference(switched));
            }
            let possible = switched.intersection(model.full());
            if possible.is_empty() {
                let first = Model::first_with(switched);
                return Err(ResolveError::NotInModel { property: *property, model, first });
            }
            Ok(features.union(possible))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z14() -> &'static Model {
        Model::by_name("z14").expect("a model")
    }

    fn host() -> HostCpu {
        HostCpu::new(z14(), z14().full())
    }

    fn resolve(text: &str, host: &HostCpu) -> Result<Resolved, ResolveError> {
        text.parse::<CpuSpec>().expect(text).resolve(host)
    }

    #[test]
    fn host_and_max_are_exactly_what_the_host_gives() {
        let cut = HostCpu::new(z14(), FeatureSet::of(&[Feature::Esan3, Feature::Zarch, Feature::Ap]));
        for name in ["host", "max"] {
            assert_eq!(resolve(name, &cut).expect(name).cpu.features, cut.features);
        }
        let without_ap = resolve("host,ap=off", &cut).expect("less than the host has").cpu;
        assert_eq!(without_ap.features.to_string(), "esan3 zarch");
    }

    #[test]
    fn a_named_model_on_a_host_without_its_base_is_refused_with_what_is_missing() {
        let cut =
            HostCpu::new(z14(), z14().base().difference(FeatureSet::of(&[Feature::Stfle, Feature::Ldisp])));
        let refused = resolve("z14-base", &cut).expect_err("not all there");
        let text = "this host lacks 2 features of CPU model z14-base; \
                    take the model host or switch them off (FEATURE=off): stfle ldisp";
        assert_eq!(refused.to_string(), text);
        assert!(resolve("z14-base,stfle=off,ldisp=off", &cut).is_ok());
        let refused = resolve("host,ap=on", &cut).expect_err("no AP on that host");
        assert_eq!(refused.to_string(), "this host lacks one feature of CPU model host; leave it out: ap");
    }

    #[test]
    fn ap_features_must_be_asked_for() {
        let plain = resolve("zEC12", &host()).expect("older than the host").cpu;
        let asked = resolve("zEC12,ap=on,apqci=on,apft=on,apqi=on", &host()).expect("the host has AP").cpu;
        assert_eq!(asked.features.difference(plain.features).to_string(), "apqci apft apqi ap");
    }

    #[test]
    fn ap_facilities_without_ap_are_a_warning_and_no_error() {
        let resolved = resolve("z14,apqci=on,apqi=on", &host()).expect("the guest starts");
        let texts: Vec<String> = resolved.warnings.iter().map(|w| format!("{w} {}", w.hint())).collect();
        assert_eq!(
            texts,
            ["'apqci' requires 'ap'. add ap=on or apqci=off", "'apqi' requires 'ap'. add ap=on or apqi=off"]
        );
    }

    #[test]
    fn what_a_model_never_had_is_refused_naming_the_first_that_has_it() {
        let refused = |text| resolve(text, &host()).expect_err(text).to_string();
        assert_eq!(
            refused("z196,ap=on"),
            "ap is not available for CPU model z196: it was introduced with zEC12"
        );
        assert_eq!(
            refused("z13,msa8=on"),
            "msa8 is not available for CPU model z13: it was introduced with z14"
        );
        assert_eq!(refused("z14,idter=on"), "idter is not available for CPU model z14 or any other");
        assert!(resolve("z196,ap=off", &host()).is_ok(), "switching off what was never on is fine");
    }

    #[test]
    fn a_model_newer_than_the_host_is_refused_before_features_are_compared() {
        let what = |text| match resolve(text, &host()) {
            Err(ResolveError::TooNew { what, host, .. }) => Some((what, host.name)),
            _ => None,
        };
        assert_eq!(what("gen16a-base"), Some((TooNew::Generation, "z14")));
        assert_eq!(what("z14.2"), Some((TooNew::GaLevel, "z14")));
        assert_eq!(what("z14ZR1"), None, "the business-class machine is as old");
    }

    #[test]
    fn later_settings_win_over_earlier_ones() {
        let expand = |text: &str| text.parse::<CpuSpec>().expect(text).expand().expect(text);
        assert!(!expand("z14,msa8=on,kma-gcm-aes-128=off").has(Feature::KmaGcmAes128));
        assert!(expand("z14,kma-gcm-aes-128=off,msa8=on").has(Feature::KmaGcmAes128));
    }

    #[test]
    fn only_named_models_expand_without_a_host() {
        let refused = "max".parse::<CpuSpec>().expect("max").expand();
        assert_eq!(refused, Err(ResolveError::NeedsHost { model: ModelChoice::Max }));
    }
}
