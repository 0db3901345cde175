#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bits;
mod compare;
mod cpu;
mod features;
mod host;
pub mod kvm;
mod models;
mod resolve;
mod spec;
mod spelling;

pub use compare::{Comparison, NoBaseline, Relation, baseline, compare};
pub use cpu::{Cpu, Identity, Sclp};
pub use features::{
    Feature, FeatureGroup, FeatureSet, Home, Instruction, Property, UnknownFeature, UnknownGroup,
};
pub use host::{HostCpu, IbcRange, TooNew, Unavailable};
pub use models::{Age, Model};
pub use resolve::{Hint, ResolveError, Resolved, Warning};
pub use spec::{CpuSpec, ModelChoice, ParseError, Setting};
