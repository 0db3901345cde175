//! KVM of the simulated host, as a VMM and as a guest find it.

mod acts;
mod aqic;
mod attributes;
mod crycb;
mod everywhere;
mod files;
mod guest;
mod intercepts;
mod refusals;
mod simulated;
mod smp;
mod support;
mod vsie;

pub(crate) use simulated::on_every_host;
