//! The control instructions: what a supervisor does with the CPU.

pub(crate) mod clock;
pub(crate) mod identity;
pub(crate) mod keys;
pub(crate) mod status;
pub(crate) mod system;
pub(crate) mod tables;
