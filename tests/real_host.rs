//! On this machine's KVM, with a mediated device that the caller names: `ADJUNCT_MDEV` is its directory in sysfs,
//! `ADJUNCT_SECOND_MDEV` that of another one, which needs no queues. Both must be free; their queues are reset.
//! docs/testing.md says how to run these on a real host; the lab (`tests/lab`) runs them too.

mod console;
pub(crate) mod guests;
mod qmp;
pub(crate) mod vfio;

use adjunct_hypervisor::kvm::Kvm;
use std::path::PathBuf;

/// This machine's KVM.
pub(crate) fn kvm() -> Kvm {
    Kvm::open().expect("these tests need /dev/kvm on IBM Z")
}

/// The mediated device with queues.
pub(crate) fn mdev() -> PathBuf {
    named("ADJUNCT_MDEV")
}

/// Another one.
pub(crate) fn second_mdev() -> PathBuf {
    named("ADJUNCT_SECOND_MDEV")
}

fn named(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("set {variable} to /sys/devices/vfio_ap/matrix/UUID: see docs/testing.md"));
    let path = PathBuf::from(path);
    assert!(path.join("matrix").exists(), "{variable}: {} is no mediated matrix device", path.display());
    path
}
