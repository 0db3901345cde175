//! The rules of the file system.

use crate::fixture::{A, B, Host, Place, TYPE, attr, errno, on_every_host};
use adjunct_ap::Sysfs;
use adjunct_simulator::Fault;

on_every_host! {
    a_file_opened_in_the_wrong_direction_is_eacces_even_for_root
    of_a_long_write_only_the_first_page_reaches_the_store
    a_nul_ends_what_a_store_sees
    writing_nothing_is_no_write
    what_is_not_there_is_enoent_and_directories_are_no_files
    every_spelling_of_an_mdevs_path_is_the_same_mdev
    an_mdev_has_its_own_group_and_its_own_character_device
}

// 1, 2: fs/kernfs/file.c:kernfs_fop_open
fn a_file_opened_in_the_wrong_direction_is_eacces_even_for_root(host: &Place) {
    host.mdev(A, &[], &[]);
    assert_eq!(host.read_errno(&attr(A, "assign_adapter")), libc::EACCES);
    assert_eq!(host.mdev_write(A, "matrix", "x"), libc::EACCES);
    assert_eq!(host.read_errno("bus/ap/drivers_probe"), libc::EACCES);
    assert_eq!(host.try_write("bus/ap/ap_max_domain_id", "1"), libc::EACCES);
}

// 4: fs/kernfs/file.c:kernfs_fop_write_iter
fn of_a_long_write_only_the_first_page_reaches_the_store(host: &Place) {
    host.mdev(A, &[], &[]);
    // The store sees 4095 zeros and a 5: octal 5. What follows it never sees.
    let text = format!("{}5{}", "0".repeat(4095), "x".repeat(904));
    let error = host.sysfs.write(&attr(A, "assign_adapter"), &text).expect_err("a short write");
    assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
    assert_eq!(host.mdev_read(A, "matrix"), "05.\n");
}

fn a_nul_ends_what_a_store_sees(host: &Place) {
    host.mdev(A, &[], &[]);
    host.write(&attr(A, "assign_adapter"), "5\0junk");
    assert_eq!(host.mdev_read(A, "matrix"), "05.\n");
    host.write("bus/ap/config_time", "31\0x");
    assert_eq!(host.read("bus/ap/config_time"), "31\n");
}

fn writing_nothing_is_no_write(host: &Place) {
    let scans = host.read("bus/ap/scans");
    host.write("bus/ap/scans", "");
    assert_eq!(host.read("bus/ap/scans"), scans);
    host.mdev(A, &[], &[]);
    host.write(&attr(A, "assign_adapter"), "");
}

fn what_is_not_there_is_enoent_and_directories_are_no_files(host: &Place) {
    for path in
        ["bus/ap/nothing", "bus/ap/devices/card07", "bus/ap/devices/05.0004/nothing", "nothing/at/all"]
    {
        assert_eq!(host.read_errno(path), libc::ENOENT, "{path}");
        assert_eq!(host.try_write(path, "x"), libc::ENOENT, "{path}");
    }
    // Names are those that the kernel made, letter by letter.
    for path in ["bus/ap/devices/card4", "bus/ap/devices/card0x", "bus/ap/devices/5.4"] {
        assert_eq!(errno(host.sysfs.list(path)), libc::ENOENT, "{path}");
    }
    assert_eq!(host.read_errno("bus/ap"), libc::EISDIR);
    assert_eq!(errno(host.sysfs.list("bus/ap/apmask")), libc::ENOTDIR);
    assert_eq!(host.read_errno("bus/ap/apmask/x"), libc::ENOTDIR);
}

fn every_spelling_of_an_mdevs_path_is_the_same_mdev(host: &Place) {
    host.mdev(A, &[5], &[]);
    for parent in [
        "devices/vfio_ap/matrix".to_owned(),
        "bus/mdev/devices".to_owned(),
        "bus/matrix/devices/matrix".to_owned(),
        "class/mdev_bus/matrix".to_owned(),
        format!("{TYPE}/devices"),
        "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/devices".to_owned(),
        "bus/matrix/devices/matrix/mdev_supported_types/vfio_ap-passthrough/devices".to_owned(),
        "class/mdev_bus/matrix/mdev_supported_types/vfio_ap-passthrough/devices".to_owned(),
        "bus/mdev/drivers/vfio_ap_mdev".to_owned(),
    ] {
        assert_eq!(host.read(&format!("{parent}/{A}/matrix")), "05.\n", "{parent}");
        assert!(host.list(&parent).contains(&A.to_owned()), "{parent}");
    }
    assert_eq!(host.read(&attr(A, "mdev_type/device_api")), "vfio-ap\n");
    assert_eq!(host.read_errno(&format!("bus/mdev/devices/{}/matrix", A.to_uppercase())), libc::ENOENT);
}

fn an_mdev_has_its_own_group_and_its_own_character_device(host: &Place) {
    host.mdev(A, &[], &[]);
    host.mdev(B, &[], &[]);
    let group = |uuid: &str| {
        assert_eq!(host.list(&attr(uuid, "iommu_group/devices")), [uuid]);
        assert_eq!(host.read(&attr(uuid, "iommu_group/name")), "vfio-noiommu\n");
        let of = |group: &String| host.list(&format!("kernel/iommu_groups/{group}/devices")) == [uuid];
        host.list("kernel/iommu_groups").into_iter().find(of).unwrap()
    };
    assert_ne!(group(A), group(B));
    let device = |uuid: &str| host.list(&attr(uuid, "vfio-dev"));
    assert!(device(A)[0].starts_with("vfio") && device(A).len() == 1, "{:?}", device(A));
    assert_ne!(device(A), device(B));
}

#[test]
fn everything_that_is_listed_is_there_and_names_are_sorted() {
    let host = Host::new();
    host.mdev(A, &[5], &[4]);
    let mut seen = 0;
    let mut todo = vec![(String::new(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        let names = host.list(&dir);
        assert!(names.is_sorted(), "{dir}: {names:?}");
        let mut unique = names.clone();
        unique.dedup();
        assert_eq!(unique, names, "{dir}");
        for name in names {
            seen += 1;
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            match host.host.read(&path) {
                Ok(text) => assert!(text.is_empty() || text.ends_with('\n'), "{path}: {text:?}"),
                Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {
                    // Links make the tree endless.
                    if depth < 7 {
                        todo.push((path, depth + 1));
                    }
                }
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{path}"),
            }
        }
    }
    assert!(seen > 500, "{seen}");
}

#[test]
fn looking_is_no_act_and_writing_is_one() {
    let host = Host::new();
    host.read("bus/ap/apmask");
    host.list("bus/ap/devices");
    assert!(host.host.acts().is_empty(), "starting the host is not the caller's doing");
    host.try_write("bus/ap/apmask", "rubbish\n");
    assert_eq!(host.host.acts().text(), "write /sys/bus/ap/apmask rubbish\n");
}

#[test]
fn an_act_that_shall_be_refused_changes_nothing() {
    let host = Host::new();
    let before = host.read("bus/ap/apmask");
    host.host.acts().plan(Fault::of_any().fails_with(libc::EBUSY));
    assert_eq!(host.try_write("bus/ap/apmask", "-4"), libc::EBUSY);
    assert_eq!(host.read("bus/ap/apmask"), before);
    assert!(host.host.acts().is_empty());
    host.write("bus/ap/apmask", "-4");
}
