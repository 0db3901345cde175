//! [`real_host`], and what is asked of the simulated host too.
#![cfg(target_arch = "s390x")]

#[path = "../../../simulator/tests/kvm_host/everywhere.rs"]
mod everywhere;
mod lab;
mod real_host;

pub(crate) use lab::on_every_host;
