//! `--qmp` on KVM: the device comes and goes as a client of QEMU's wants it.

use super::{guests::lines, mdev};
use crate::qmp::{a_device_comes_and_goes, client::Guest};
use serde_json::json;
use std::{
    fs::{self, File},
    os::fd::AsFd,
};

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_device_is_plugged_and_unplugged_by_qmp() {
    let mdev = mdev();
    let apqns = lines(&mdev, "guest_matrix");
    assert!(!apqns.is_empty(), "ADJUNCT_MDEV has no queues that a guest gets");
    a_device_comes_and_goes("kvm", &mdev.display().to_string(), &apqns);
}

/// With character devices of VFIO's own, which Linux has since 6.6 and not every distribution builds.
mod cdev {
    use super::*;

    #[test]
    #[ignore = "needs /dev/kvm, ADJUNCT_MDEV and VFIO's character devices; the lab runs it"]
    fn a_device_is_plugged_by_files_that_a_client_sends() {
        let mdev = mdev();
        let apqns = lines(&mdev, "guest_matrix");
        let name = fs::read_dir(mdev.join("vfio-dev")).expect("a host with VFIO's character devices");
        let name = name.map(|entry| entry.expect("readable").file_name()).next().expect("one");
        let open = |path: &str| File::options().read(true).write(true).open(path).expect(path);
        let guest = Guest::start("kvm", &[]);
        let mut client = guest.client();
        let done = json!({ "return": {} });
        for _ in 0..3 {
            // Ours are closed at once: what was sent is enough.
            let device = open(&format!("/dev/vfio/devices/{}", name.display()));
            assert_eq!(client.hand_over("dev", device.as_fd()), done);
            assert_eq!(client.hand_over("io", open("/dev/iommu").as_fd()), done);
            drop(device);
            let object = json!({ "qom-type": "iommufd", "id": "iommufd0", "fd": "io" });
            assert_eq!(client.execute("object-add", object), Ok(json!({})));
            let device = json!({ "driver": "vfio-ap", "id": "ap0", "fd": "dev", "iommufd": "iommufd0" });
            assert_eq!(client.execute("device_add", device), Ok(json!({})));
            let ap = client.execute("x-query-ap", json!({})).expect("known");
            assert_eq!(ap["device"]["matrix"]["apqns"], json!(apqns));
            assert_eq!(client.execute("device_del", json!({ "id": "ap0" })), Ok(json!({})));
            assert_eq!(client.execute("object-del", json!({ "id": "iommufd0" })), Ok(json!({})));
        }
    }
}
