//! The general instructions: everything a program in the problem state computes with.

pub(crate) mod access_registers;
pub(crate) mod arithmetic;
pub(crate) mod bits;
pub(crate) mod branch;
pub(crate) mod compare;
pub(crate) mod conversion;
pub(crate) mod decimal;
pub(crate) mod edit;
pub(crate) mod floating_point;
pub(crate) mod high_word;
pub(crate) mod interlocked;
pub(crate) mod logical;
pub(crate) mod long_string;
pub(crate) mod movement;
pub(crate) mod shift;
pub(crate) mod string;
pub(crate) mod translate;
