//! What the simulated host promises: that it answers as Linux does.
//!
//! Each test is named after what it promises. The numbers in comments are the rows of the project's conformance
//! list, which was made by reading kernel 7.2 and compiling its parsers; the function named there is where to look.
#![expect(clippy::unwrap_used, reason = "a test may stop at what must not happen")]

mod administration;
mod ap_bus;
mod assign;
mod fixture;
mod guest;
mod hardware;
mod hotplug;
mod mdev;
mod sysfs;
mod uevents;
mod whatever;
