#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod css;
pub mod intercept;
pub mod ipl;
mod program;
pub mod sclp;
pub mod sigp;
pub mod vfio_ap;

pub use program::ProgramInterruption;
