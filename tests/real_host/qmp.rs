//! `--qmp` on KVM: the device comes and goes as a client of QEMU's wants it.

use super::{guests::lines, mdev};
use crate::qmp::a_device_comes_and_goes;

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_device_is_plugged_and_unplugged_by_qmp() {
    let mdev = mdev();
    let apqns = lines(&mdev, "guest_matrix");
    assert!(!apqns.is_empty(), "ADJUNCT_MDEV has no queues that a guest gets");
    a_device_comes_and_goes("kvm", &mdev.display().to_string(), &apqns);
}
