//! KVM of the simulated host, as a VMM and as a guest find it.

mod acts;
mod aqic;
mod crycb;
mod guest;
mod intercepts;
mod refusals;
mod smp;
mod support;
