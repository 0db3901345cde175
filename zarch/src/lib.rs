#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod ap;
pub mod environment;
mod instruction;
mod interruption;
pub mod psw;
mod run;
pub mod state;
pub mod storage;
mod table;

pub use environment::Environment;
pub use instruction::{Facility, Format, Instruction};
pub use interruption::ProgramCode;
pub use run::{Absent, Cpu, Stop};
pub use state::State;
pub use storage::Storage;
pub use table::{IMPLEMENTED_FACILITIES, instructions};
