//! What programs in the problem state cannot be compared for: interruptions, control instructions, adjunct
//! processors, facilities; and instructions that QEMU lacks. Instructions are written as GNU as assembles them.

mod adjuncts;
mod control;
mod facilities;
mod guest;
mod interruptions;
mod principles;
