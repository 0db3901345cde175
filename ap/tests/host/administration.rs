//! What an administrator's order writes, and in which order.

use super::*;

/// Two mdevs that share nothing: 1 has 5,6 x 4,ab and 2 has 5 x 47.
fn two_mdevs() -> Canned {
    let mut host = host();
    for (n, has) in [(1, matrix(&[5, 6], &[4, 0xab])), (2, matrix(&[5], &[0x47]))] {
        add_mdev(&mut host, uuid(n), &has, &has);
    }
    host
}

fn attr(n: u8, name: &str) -> String {
    format!("devices/vfio_ap/matrix/{}/{name}", uuid(n))
}

#[test]
fn each_change_is_one_write_to_its_attribute() {
    let mut host = two_mdevs();
    host.set(attr(1, "ap_config"), "");
    let mdev = Mdev::create(&host, uuid(1)).expect("accepted");
    mdev.assign(Resource::Adapter(Apid(5))).expect("accepted");
    mdev.assign(Resource::Domain(Apqi(0x47))).expect("accepted");
    mdev.assign(Resource::ControlDomain(ControlDomain(0xff))).expect("accepted");
    mdev.unassign(Resource::Adapter(Apid(5))).expect("accepted");
    mdev.unassign(Resource::Domain(Apqi(0x47))).expect("accepted");
    mdev.unassign(Resource::ControlDomain(ControlDomain(0xff))).expect("accepted");
    let new = matrix(&[1], &[2]);
    mdev.replace(&new).expect("accepted");
    mdev.remove().expect("accepted");
    let written = host.writes.take();
    let expected = [
        (format!("{TYPE}/create"), uuid(1).to_string()),
        (attr(1, "assign_adapter"), "5".to_owned()),
        (attr(1, "assign_domain"), "0x47".to_owned()),
        (attr(1, "assign_control_domain"), "0xff".to_owned()),
        (attr(1, "unassign_adapter"), "5".to_owned()),
        (attr(1, "unassign_domain"), "0x47".to_owned()),
        (attr(1, "unassign_control_domain"), "0xff".to_owned()),
        (attr(1, "ap_config"), format_ap_config(&new)),
        (attr(1, "remove"), "1".to_owned()),
    ];
    assert_eq!(written, expected);
}

fn refused(host: &mut Canned, resource: Resource, errno: i32) -> AdminError {
    let name = match resource {
        Resource::Adapter(_) => "assign_adapter",
        Resource::Domain(_) => "assign_domain",
        Resource::ControlDomain(_) => "assign_control_domain",
    };
    host.refuse(attr(2, name), errno);
    let mdev = Mdev::open(host, uuid(2)).expect("exists");
    let error = mdev.assign(resource).expect_err("refused");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

#[test]
fn an_id_beyond_the_machines_is_refused_with_the_highest_and_its_file() {
    let error = refused(&mut two_mdevs(), Resource::Adapter(Apid(64)), libc::ENODEV);
    let resource = Resource::Adapter(Apid(64));
    assert!(matches!(error, AdminError::BeyondMax { resource: r, max: 63, .. } if r == resource), "{error}");
    assert_eq!(
        error.to_string(),
        "there is no adapter 64 (0x40) on this machine: the highest id is 63 (/sys/bus/ap/ap_max_adapter_id)"
    );

    let mut small = two_mdevs();
    small.set("bus/ap/ap_max_domain_id", "84\n");
    let error = refused(&mut small, Resource::ControlDomain(ControlDomain(85)), libc::ENODEV);
    assert!(error.to_string().contains("control domain 85 (0x55)"), "{error}");
    assert!(error.to_string().contains("84 (/sys/bus/ap/ap_max_domain_id)"), "{error}");
}

#[test]
fn of_a_whole_matrix_the_first_id_beyond_the_machines_is_named() {
    let mut host = two_mdevs();
    host.refuse(attr(2, "ap_config"), libc::ENODEV);
    let mdev = Mdev::open(&host, uuid(2)).expect("exists");
    let error = mdev.replace(&matrix(&[63, 64, 65], &[255])).expect_err("refused");
    let resource = Resource::Adapter(Apid(64));
    assert!(matches!(error, AdminError::BeyondMax { resource: r, .. } if r == resource), "{error}");

    host.set("bus/ap/ap_max_domain_id", "15\n");
    let mdev = Mdev::open(&host, uuid(2)).expect("exists");
    let all = Matrix { adm: Adm::ALL, ..matrix(&[63], &[15]) };
    let error = mdev.replace(&all).expect_err("refused");
    let resource = Resource::ControlDomain(ControlDomain(16));
    assert!(matches!(error, AdminError::BeyondMax { resource: r, max: 15, .. } if r == resource), "{error}");
}

#[test]
fn a_queue_of_another_mdev_is_refused_with_both_names() {
    let error = refused(&mut two_mdevs(), Resource::Domain(Apqi(4)), libc::EADDRINUSE);
    let AdminError::InAnotherMdev { shared } = &error else { panic!("{error}") };
    assert_eq!(shared, &[(Apqn::new(5, 4), uuid(1))]);
    assert_eq!(
        error.to_string(),
        format!("queue 05.0004 is in mdev {}: unassign its adapter or its domain there", uuid(1))
    );
}

#[test]
fn every_owner_of_a_wanted_queue_is_named() {
    let mut host = two_mdevs();
    add_mdev(&mut host, uuid(3), &matrix(&[6], &[0x47]), &Matrix::EMPTY);
    host.refuse(attr(3, "ap_config"), libc::EADDRINUSE);
    let mdev = Mdev::open(&host, uuid(3)).expect("exists");
    let error = mdev.replace(&matrix(&[5], &[4, 0x47, 0xab])).expect_err("refused");
    let AdminError::InAnotherMdev { shared } = &error else { panic!("{error}") };
    let expected = [(5, 4, 1), (5, 0xab, 1), (5, 0x47, 2)].map(|(a, q, n)| (Apqn::new(a, q), uuid(n)));
    assert_eq!(shared, &expected);
    let text = error.to_string();
    let first =
        format!("queues 05.0004, 05.00ab are in mdev {}, queue 05.0047 is in mdev {}", uuid(1), uuid(2));
    assert!(text.starts_with(&first), "{text}");
}

#[test]
fn a_queue_kept_for_the_host_is_refused_with_the_lines_that_free_it() {
    let mut host = two_mdevs();
    host.set("bus/ap/apmask", format!("{}\n", Apm::ALL));
    host.set("bus/ap/aqmask", format!("{}\n", Aqm::ALL));
    let error = refused(&mut host, Resource::Adapter(Apid(6)), libc::EADDRNOTAVAIL);
    let AdminError::KeptForHost { apqns, release } = &error else { panic!("{error}") };
    assert_eq!(apqns, &[Apqn::new(5, 0x47), Apqn::new(6, 0x47)]);
    let wanted = matrix(&[5, 6], &[0x47]);
    assert_eq!(release, &Release::Masks { adapters: wanted.apm, domains: wanted.aqm });
    assert_eq!(
        error.to_string(),
        "queues 05.0047, 06.0047 are kept for the host's own drivers: write -5,-6 to /sys/bus/ap/apmask or -0x47 \
         to /sys/bus/ap/aqmask"
    );
}

#[test]
fn with_driver_overrides_the_masks_are_not_the_advice() {
    let mut host = two_mdevs();
    host.set("bus/ap/apmask", format!("{}\n", Apm::ALL));
    host.set("bus/ap/aqmask", format!("{}\n", Aqm::ALL));
    host.set("bus/ap/devices/05.0047/driver_override", "vfio_ap\n");
    let error = refused(&mut host, Resource::Adapter(Apid(6)), libc::EADDRNOTAVAIL);
    let AdminError::KeptForHost { apqns, release } = &error else { panic!("{error}") };
    assert_eq!(apqns, &[Apqn::new(6, 0x47)], "05.0047 is given up by its override");
    assert_eq!(release, &Release::Overrides { first: Apqn::new(6, 0x47) });
    let text = error.to_string();
    assert!(text.contains("write vfio_ap to /sys/bus/ap/devices/06.0047/driver_override"), "{text}");
    assert!(!text.contains("apmask"), "{text}");
}

#[test]
fn culprits_that_are_gone_or_unreadable_leave_the_refusal_what_it_is() {
    let mut host = two_mdevs();
    host.refuse("bus/ap/apmask", libc::EIO);
    let error = refused(&mut host, Resource::Adapter(Apid(6)), libc::EADDRNOTAVAIL);
    assert!(
        matches!(&error, AdminError::KeptForHost { apqns, release: Release::Unknown } if apqns.is_empty())
    );
    assert!(error.to_string().contains("/sys/bus/ap/apmask"), "{error}");

    host.refuse(format!("{TYPE}/devices"), libc::EIO);
    let error = refused(&mut host, Resource::Adapter(Apid(6)), libc::EADDRINUSE);
    assert_eq!(
        error.to_string(),
        "a queue of the matrix is in another mdev: unassign its adapter or its domain there"
    );
}

#[test]
fn long_lists_of_queues_are_counted_instead() {
    let mut host = two_mdevs();
    host.set("bus/ap/apmask", format!("{}\n", Apm::ALL));
    host.set("bus/ap/aqmask", format!("{}\n", Aqm::ALL));
    host.refuse(attr(2, "ap_config"), libc::EADDRNOTAVAIL);
    let mdev = Mdev::open(&host, uuid(2)).expect("exists");
    let error = mdev.replace(&Matrix { apm: Apm::ALL, aqm: Aqm::ALL, adm: Adm::ALL }).expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("00.0007 and 65528 more are kept"), "{text}");
    assert!(text.len() < 300, "{text}");
}

#[test]
fn creating_what_exists_or_when_none_is_left_says_so() {
    let create = format!("{TYPE}/create");
    let mut host = host();
    host.refuse(create.clone(), libc::EEXIST);
    assert!(matches!(Mdev::create(&host, uuid(1)), Err(AdminError::Exists { uuid: u }) if u == uuid(1)));
    host.refuse(create, libc::EUSERS);
    let error = Mdev::create(&host, uuid(1)).expect_err("none left");
    assert!(matches!(error, AdminError::NoneLeft));
    assert!(error.to_string().contains("available_instances"), "{error}");
}

#[test]
fn without_the_driver_everything_says_to_load_it() {
    let error = Mdev::create(&Canned::default(), uuid(1)).expect_err("no driver");
    assert!(matches!(error, AdminError::NoDriver));
    assert!(error.to_string().contains("modprobe vfio_ap"), "{error}");

    let host = two_mdevs();
    let mdev = Mdev::open(&host, uuid(1)).expect("exists");
    let mut unloaded = two_mdevs();
    unloaded.attrs.retain(|path, _| !path.starts_with("devices/vfio_ap"));
    let gone = Mdev::open(&unloaded, uuid(1)).expect("the mdev bus still shows it");
    assert!(matches!(gone.assign(Resource::Adapter(Apid(5))), Err(AdminError::NoDriver)));
    mdev.assign(Resource::Adapter(Apid(5))).expect("the other host still has it");
}

#[test]
fn an_mdev_removed_meanwhile_is_missing() {
    let mut host = two_mdevs();
    host.attrs.retain(|path, _| !path.starts_with(&attr(1, "")));
    let mdev = Mdev::open(&host, uuid(1)).expect("the mdev bus still shows it");
    let error = mdev.unassign(Resource::Domain(Apqi(4))).expect_err("gone");
    assert!(matches!(error, AdminError::Missing { uuid: u } if u == uuid(1)), "{error}");
}

#[test]
fn other_errnos_keep_the_path_and_the_cause() {
    let mut host = two_mdevs();
    let error = refused(&mut host, Resource::Adapter(Apid(5)), libc::EACCES);
    assert!(matches!(error, AdminError::Permission { .. }), "{error}");
    let error = refused(&mut host, Resource::Adapter(Apid(5)), libc::EINVAL);
    assert!(matches!(&error, AdminError::Malformed { value, .. } if value == "5"), "{error}");
    let error = refused(&mut host, Resource::Adapter(Apid(5)), libc::EIO);
    let AdminError::Io { path, source } = &error else { panic!("{error}") };
    assert_eq!((path.as_str(), source.raw_os_error()), (attr(2, "assign_adapter").as_str(), Some(libc::EIO)));
    // ENODEV though the id is in range: not an explanation we could invent.
    let error = refused(&mut host, Resource::Adapter(Apid(5)), libc::ENODEV);
    assert!(matches!(error, AdminError::Io { .. }), "{error}");
}
