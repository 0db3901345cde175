#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[expect(clippy::cast_possible_truncation, reason = "numbers are cut out of wider ones")]
mod access;
#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
pub mod ap;
#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
mod control;
pub mod environment;
mod execution;
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "instructions cut fields out of words and read bits as signed and unsigned"
)]
mod general;
mod instruction;
mod interruption;
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "operands are read as signed, unsigned and shorter numbers"
)]
mod operand;
pub mod psw;
mod run;
pub mod state;
pub mod storage;
#[expect(clippy::cast_possible_truncation, reason = "opcodes are cut out of words")]
mod table;

pub use environment::Environment;
pub use instruction::{Facility, Format, Instruction};
pub use interruption::ProgramCode;
pub use run::{Absent, Cpu, Stop};
pub use state::State;
pub use storage::Storage;
pub use table::{IMPLEMENTED_FACILITIES, instructions};
