//! Mediated devices: listing, spelling of paths, opening.

use super::*;

#[test]
fn an_mdev_is_found_by_every_name_that_sysfs_has_for_it() {
    let of_type = "mdev_supported_types/vfio_ap-passthrough/devices/";
    let parents =
        ["/sys/devices/vfio_ap/matrix/", "/sys/bus/matrix/devices/matrix/", "/sys/class/mdev_bus/matrix/"];
    let mut homes: Vec<String> =
        parents.iter().flat_map(|p| [p.to_string(), format!("{p}{of_type}")]).collect();
    homes.push("/sys/bus/mdev/devices/".to_owned());
    for home in homes {
        for end in ["", "/", "//"] {
            let path = format!("{home}{}{end}", uuid(0xa).to_string().to_uppercase());
            assert_eq!(mdev::parse_path(&path), Ok(uuid(0xa)), "{path}");
        }
    }
}

#[test]
fn other_paths_are_refused_and_the_error_says_what_is_accepted() {
    let uuid = uuid(1);
    for path in [
        String::new(),
        "/".to_owned(),
        format!("sys/bus/mdev/devices/{uuid}"),
        format!("/sys/bus/mdev/devices/{uuid}/matrix"),
        format!("/sys/bus/mdev/{uuid}"),
        format!("/sys/bus/mdev/devices/../devices/{uuid}"),
        format!("/dev/vfio/{uuid}"),
    ] {
        let error = mdev::parse_path(&path).expect_err("no such home");
        let message = error.to_string();
        assert!(message.contains("/sys/bus/mdev/devices/UUID"), "{message}");
        assert!(message.starts_with(&format!("{path:?}")), "{message}");
    }
    let refused = |path: &str| mdev::parse_path(path).expect_err("no mdev").to_string();
    assert_eq!(
        refused(&uuid.to_string()),
        format!("\"{uuid}\" is a UUID and no path; write /sys/devices/vfio_ap/matrix/{uuid}")
    );
    let path = "/sys/bus/mdev/devices/not-a-uuid";
    assert_eq!(refused(path), format!("{path:?} is not the path of an AP mdev"));
    let source = "not-a-uuid".parse().map(|_: Uuid| ()).expect_err("no UUID");
    assert_eq!(mdev::parse_path(path), Err(ParsePathError::Name { path: path.to_owned(), source }));
}

#[test]
fn an_mdev_is_read_whole() {
    let mut host = host();
    let assigned = Matrix { adm: [ControlDomain(0x47)].into_iter().collect(), ..matrix(&[5, 6], &[4, 0xab]) };
    add_mdev(&mut host, uuid(1), &assigned, &matrix(&[5], &[4, 0xab]));
    let mdev = Mdev::open(&host, uuid(1)).expect("exists");
    assert_eq!(mdev.matrix().expect("readable"), assigned);
    assert_eq!(mdev.control_domains().expect("readable"), assigned.adm);
    let guest = mdev.guest_matrix().expect("readable");
    assert_eq!((guest.apm.count(), guest.aqm, guest.cut), (1, assigned.aqm, false));
    assert_eq!(mdev.path(), format!("/sys/devices/vfio_ap/matrix/{}", uuid(1)));
}

#[test]
fn kernels_without_ap_config_are_read_by_their_lists() {
    let mut host = host();
    let assigned = Matrix { adm: [ControlDomain(0x47)].into_iter().collect(), ..matrix(&[5, 6], &[4, 0xab]) };
    add_mdev(&mut host, uuid(1), &assigned, &assigned);
    host.attrs.remove(&format!("devices/vfio_ap/matrix/{}/ap_config", uuid(1)));
    let mdev = Mdev::open(&host, uuid(1)).expect("exists");
    assert_eq!(mdev.matrix().expect("readable"), assigned);

    let cut = format_matrix(&Apm::ALL, &Aqm::ALL);
    host.set(format!("devices/vfio_ap/matrix/{}/matrix", uuid(1)), cut);
    let mdev = Mdev::open(&host, uuid(1)).expect("exists");
    assert!(matches!(mdev.matrix(), Err(ReadError::Unexpected { .. })), "a cut list is not the whole matrix");
}

#[test]
fn all_mdevs_are_listed_and_none_where_there_is_no_driver() {
    let mut host = host();
    for n in [2, 1, 3] {
        add_mdev(&mut host, uuid(n), &Matrix::EMPTY, &Matrix::EMPTY);
    }
    let listed: Vec<Uuid> = Mdev::list(&host).expect("readable").iter().map(Mdev::uuid).collect();
    assert_eq!(listed, [uuid(1), uuid(2), uuid(3)]);
    assert_eq!(mdev::available_instances(&host).expect("readable"), 65536);
    assert!(Mdev::list(&Canned::default()).expect("none").is_empty());
}

#[test]
fn another_drivers_mdev_is_no_ap_device() {
    let mut host = host();
    host.set(format!("bus/mdev/devices/{}/mdev_type/device_api", uuid(9)), "vfio-ccw\n");
    let error = Mdev::open(&host, uuid(9)).expect_err("a channel device");
    assert!(matches!(&error, OpenError::NotAp { device_api, .. } if device_api == "vfio-ccw"));
    assert!(error.to_string().contains("vfio-ccw"), "{error}");
}

#[test]
fn a_missing_mdev_is_told_from_a_missing_driver() {
    assert!(matches!(Mdev::open(&host(), uuid(9)), Err(OpenError::Missing { .. })));
    let error = Mdev::open(&Canned::default(), uuid(9)).expect_err("nothing there");
    assert!(matches!(error, OpenError::NoDriver { .. }));
    assert!(error.to_string().contains("modprobe vfio_ap"), "{error}");
}
