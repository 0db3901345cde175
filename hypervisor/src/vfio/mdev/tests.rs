use super::*;
use std::os::unix::fs::symlink;
use vmm_sys_util::tempdir::TempDir;

const UUID: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

/// A tree as sysfs has it: the device, the bus' link to it, its group 5 and its character device `vfio3`.
struct Sysfs(TempDir);

impl Sysfs {
    fn new() -> Self {
        let sysfs = Self(TempDir::new().expect("a directory"));
        fs::create_dir_all(sysfs.mdev().join("vfio-dev/vfio3")).expect("a directory");
        fs::write(sysfs.mdev().join("vfio-dev/vfio3/dev"), "511:3\n").expect("a file");
        fs::create_dir_all(sysfs.path("kernel/iommu_groups/5")).expect("a directory");
        fs::create_dir_all(sysfs.path("bus/mdev/devices")).expect("a directory");
        symlink("../../../../kernel/iommu_groups/5", sysfs.mdev().join("iommu_group")).expect("a link");
        let target = format!("../../../devices/vfio_ap/matrix/{UUID}");
        symlink(target, sysfs.path("bus/mdev/devices").join(UUID)).expect("a link");
        sysfs
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.as_path().join(below)
    }

    fn mdev(&self) -> PathBuf {
        self.path("devices/vfio_ap/matrix").join(UUID)
    }
}

fn errno(refused: KernelError) -> (String, i32) {
    assert_eq!(refused.request, "open");
    (refused.target, refused.errno.errno())
}

#[test]
fn an_mdev_is_found_by_each_of_its_names() {
    let sysfs = Sysfs::new();
    let own = sysfs.path("my-crypto");
    symlink(sysfs.path("bus/mdev/devices").join(UUID), &own).expect("a link");
    for path in
        [sysfs.mdev(), sysfs.path("bus/mdev/devices").join(UUID), own, sysfs.mdev().join("vfio-dev/..")]
    {
        let mdev = Mdev::find(&path).expect("it is there");
        assert_eq!(mdev.name(), UUID, "{}", path.display());
        assert_eq!(mdev.group(), Ok("/dev/vfio/5".into()));
        assert_eq!(mdev.character_device(), Ok("/dev/vfio/devices/vfio3".into()));
    }
}

#[test]
fn a_path_that_leads_nowhere_is_enoent_and_one_that_is_no_mdev_is_enodev() {
    let sysfs = Sysfs::new();
    let name = |path: &Path| path.display().to_string();
    let other = sysfs.path(&format!("devices/vfio_ap/matrix/{}", UUID.replace("0001", "0002")));
    assert_eq!(errno(Mdev::find(&other).expect_err("none")), (name(&other), libc::ENOENT));
    let matrix = sysfs.path("devices/vfio_ap/matrix");
    assert_eq!(errno(Mdev::find(&matrix).expect_err("no mdev")), (name(&matrix), libc::ENODEV));
    let file = sysfs.path(UUID);
    fs::write(&file, "").expect("a file");
    assert_eq!(errno(Mdev::find(&file).expect_err("no directory")), (name(&file), libc::ENODEV));
}

#[test]
fn a_way_that_the_kernel_lacks_is_enodev_and_names_what_is_missing() {
    let sysfs = Sysfs::new();
    let mdev = Mdev::find(&sysfs.mdev()).expect("it is there");
    let missing = |below: &str| (sysfs.mdev().join(below).display().to_string(), libc::ENODEV);
    fs::remove_file(sysfs.mdev().join("vfio-dev/vfio3/dev")).expect("removed");
    assert_eq!(errno(mdev.character_device().expect_err("none")), missing("vfio-dev"));
    fs::remove_dir_all(sysfs.mdev().join("vfio-dev")).expect("removed");
    assert_eq!(errno(mdev.character_device().expect_err("none")), missing("vfio-dev"));
    fs::remove_file(sysfs.mdev().join("iommu_group")).expect("removed");
    assert_eq!(errno(mdev.group().expect_err("none")), missing("iommu_group"));
}

#[test]
fn only_a_uuid_names_an_mdev() {
    assert!(is_uuid(UUID));
    assert!(is_uuid(&UUID.to_uppercase()));
    for name in ["", "matrix", "0000:01:00.0", "6c4a5d2e-0d3e-4c7a-9b0a-00000000000", &UUID.replace('c', "g")]
    {
        assert!(!is_uuid(name), "{name}");
    }
}

#[test]
fn a_file_that_can_not_be_opened_is_named() {
    let refused = open_file(Path::new("/dev/vfio/no-such-group")).expect_err("it is not there");
    assert_eq!(errno(refused), ("/dev/vfio/no-such-group".to_owned(), libc::ENOENT));
}

#[test]
fn a_file_that_is_no_vfio_device_has_no_group() {
    assert_eq!(group_of_device(&File::open("/dev/null").expect("it is there").into()), None);
}
