//! Reading, changing and explaining a host, against canned answers. What a kernel would make of a change is not
//! modelled here: each test says what it answers.

use std::{cell::RefCell, collections::BTreeMap, io};

use adjunct_ap::{
    Adm, Apid, Apm, Apqi, Apqn, Aqm, ControlDomain, HostShare, Matrix, Sysfs, Uuid,
    admin::{AdminError, Release, Resource},
    host::{Bus, CardType, Mode, QueueDriver, QueueStatus},
    mdev::{self, Mdev, OpenError},
    sysfs::ReadError,
    text::{format_ap_config, format_control_domains, format_matrix},
    why::{QueueFault, Reason, diagnose},
};

const TYPE: &str = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";

/// Attributes by path; a directory is there when something below it is.
#[derive(Default)]
struct Canned {
    attrs: BTreeMap<String, String>,
    refusals: BTreeMap<String, i32>,
    /// What was read or listed.
    looked_at: RefCell<Vec<String>>,
    writes: RefCell<Vec<(String, String)>>,
}

impl Canned {
    fn set(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.attrs.insert(path.into(), text.into());
    }

    fn refuse(&mut self, path: impl Into<String>, errno: i32) {
        self.refusals.insert(path.into(), errno);
    }

    fn check(&self, path: &str) -> io::Result<()> {
        self.refusals.get(path).map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(*errno)))
    }
}

fn absent() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

impl Sysfs for Canned {
    fn read(&self, path: &str) -> io::Result<String> {
        self.looked_at.borrow_mut().push(path.to_owned());
        self.check(path)?;
        self.attrs.get(path).cloned().ok_or_else(absent)
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        self.check(path)?;
        if !self.attrs.contains_key(path) {
            return Err(absent());
        }
        self.writes.borrow_mut().push((path.to_owned(), value.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.looked_at.borrow_mut().push(dir.to_owned());
        self.check(dir)?;
        let below = format!("{dir}/");
        let paths = self.attrs.keys().filter_map(|path| path.strip_prefix(&below));
        let mut names: Vec<String> =
            paths.filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        if names.is_empty() { Err(absent()) } else { Ok(names) }
    }
}

fn uuid(n: u8) -> Uuid {
    format!("6c4a5d2e-0d3e-4c7a-9b0a-{n:012x}").parse().expect("well formed")
}

fn matrix(apids: &[u8], apqis: &[u8]) -> Matrix {
    Matrix {
        apm: apids.iter().copied().map(Apid).collect(),
        aqm: apqis.iter().copied().map(Apqi).collect(),
        adm: Adm::EMPTY,
    }
}

const ADAPTERS: [u8; 2] = [5, 6];
const DOMAINS: [u8; 4] = [4, 0x47, 0xab, 0xff];

/// The host of the vfio-ap documentation: all queues of adapters 5 and 6 with vfio_ap, but no mdev yet.
fn host() -> Canned {
    let mut host = Canned::default();
    let all = matrix(&ADAPTERS, &DOMAINS);
    for (name, text) in [
        ("ap_max_adapter_id", "63\n".to_owned()),
        ("ap_max_domain_id", "255\n".to_owned()),
        ("ap_adapter_mask", format!("{}\n", all.apm)),
        ("ap_usage_domain_mask", format!("{}\n", all.aqm)),
        ("ap_control_domain_mask", format!("{}\n", Adm::EMPTY)),
        ("apmask", format!("{}\n", !all.apm)),
        ("aqmask", format!("{}\n", !all.aqm)),
        ("features", "APSC APXA QACT\n".to_owned()),
        ("scans", "3\n".to_owned()),
        ("drivers/cex4queue/bind", String::new()),
        ("drivers/vfio_ap/bind", String::new()),
    ] {
        host.set(format!("bus/ap/{name}"), text);
    }
    for apid in all.apm.iter() {
        for (name, text) in [
            ("hwtype", "11\n"),
            ("type", "CEX5C\n"),
            ("online", "1\n"),
            ("config", "1\n"),
            ("chkstop", "0\n"),
            ("depth", "8\n"),
            ("max_msg_size", "12288\n"),
        ] {
            host.set(format!("bus/ap/devices/card{apid}/{name}"), text);
        }
    }
    for apqn in all.apqns() {
        host.set(format!("bus/ap/devices/{apqn}/status"), "unassigned\n");
        host.set(format!("bus/ap/drivers/vfio_ap/{apqn}"), "");
    }
    host.set(format!("{TYPE}/create"), "");
    host.set(format!("{TYPE}/available_instances"), "65536\n");
    host
}

fn add_mdev(host: &mut Canned, uuid: Uuid, assigned: &Matrix, guest: &Matrix) {
    for (name, text) in [
        ("ap_config", format_ap_config(assigned)),
        ("matrix", format_matrix(&assigned.apm, &assigned.aqm)),
        ("guest_matrix", format_matrix(&guest.apm, &guest.aqm)),
        ("control_domains", format_control_domains(&assigned.adm)),
    ] {
        host.set(format!("devices/vfio_ap/matrix/{uuid}/{name}"), text);
    }
    for verb in ["assign", "unassign"] {
        for what in ["adapter", "domain", "control_domain"] {
            host.set(format!("devices/vfio_ap/matrix/{uuid}/{verb}_{what}"), "");
        }
    }
    host.set(format!("devices/vfio_ap/matrix/{uuid}/remove"), "");
    host.set(format!("{TYPE}/devices/{uuid}"), "");
    host.set(format!("bus/mdev/devices/{uuid}/mdev_type/device_api"), "vfio-ap\n");
}

fn unbind(host: &mut Canned, apqn: Apqn) {
    host.attrs.remove(&format!("bus/ap/drivers/vfio_ap/{apqn}"));
    host.attrs.remove(&format!("bus/ap/devices/{apqn}/status"));
    host.set(format!("bus/ap/devices/{apqn}/config"), "1\n");
}

mod reading {
    use super::*;

    #[test]
    fn the_bus_says_what_the_machine_can_have_and_has() {
        let host = host();
        let bus = Bus::new(&host);
        assert!(bus.is_present());
        assert_eq!(bus.max_adapter().expect("readable"), Apid(63));
        assert_eq!(bus.max_domain().expect("readable"), Apqi(255));
        assert_eq!(bus.scans().expect("readable"), 3);
        let features = bus.features().expect("readable").expect("QCI");
        assert_eq!(features.names().collect::<Vec<_>>(), ["APSC", "APXA", "QACT"]);
        assert_eq!(bus.configuration().expect("readable"), Some(matrix(&ADAPTERS, &DOMAINS)));
        let share = bus.share().expect("readable");
        assert_eq!(share, HostShare { apmask: bus.apmask().expect("readable"), ..share.clone() });
        assert!(share.keeps(Apqn::new(4, 5)) && !share.keeps(Apqn::new(5, 4)));
    }

    #[test]
    fn a_machine_without_qci_has_no_configuration_to_show() {
        let mut host = host();
        for name in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
            host.set(format!("bus/ap/{name}"), "not supported\n");
        }
        assert_eq!(Bus::new(&host).configuration().expect("readable"), None);
    }

    #[test]
    fn a_host_without_an_ap_bus_has_neither_cards_nor_queues() {
        let host = Canned::default();
        let bus = Bus::new(&host);
        assert!(!bus.is_present());
        assert_eq!(bus.cards().expect("none"), []);
        assert_eq!(bus.queues().expect("none"), []);
        assert!(bus.apmask().expect_err("no such file").is_absent());
    }

    #[test]
    fn cards_are_read_with_or_without_a_driver() {
        let mut host = host();
        host.attrs.remove("bus/ap/devices/card06/type");
        host.attrs.remove("bus/ap/devices/card06/online");
        let cards = Bus::new(&host).cards().expect("readable");
        assert_eq!(cards.iter().map(|card| card.apid).collect::<Vec<_>>(), ADAPTERS.map(Apid));
        assert_eq!(cards[0].kind, CardType::new(5, Mode::Cca));
        assert_eq!((cards[0].online, cards[0].configured, cards[0].checkstopped), (Some(true), true, false));
        assert_eq!((cards[0].hwtype, cards[0].depth, cards[0].max_msg_size), (11, 8, 12288));
        assert_eq!((cards[1].kind, cards[1].online), (None, None));
    }

    #[test]
    fn a_queue_is_known_with_its_driver_and_what_vfio_ap_does_with_it() {
        let mut host = host();
        let [first, second, third] = [Apqn::new(5, 4), Apqn::new(5, 0x47), Apqn::new(5, 0xab)];
        host.set(format!("bus/ap/devices/{first}/status"), "in use\n");
        unbind(&mut host, second);
        unbind(&mut host, third);
        host.set(format!("bus/ap/drivers/cex4queue/{third}"), "");
        let queues = Bus::new(&host).queues().expect("readable");
        assert_eq!(queues.len(), 8);
        assert_eq!((queues[0].apqn, queues[0].driver), (first, Some(QueueDriver::VfioAp)));
        assert_eq!(queues[0].status, Some(QueueStatus::InUse));
        assert_eq!((queues[1].apqn, queues[1].driver, queues[1].status), (second, None, None));
        assert_eq!((queues[2].driver, queues[2].status), (Some(QueueDriver::Cex4queue), None));
        assert_eq!(queues[3].status, Some(QueueStatus::Unassigned));
    }

    #[test]
    fn driver_overrides_of_bound_queues_are_part_of_the_hosts_share() {
        let mut host = host();
        host.set("bus/ap/apmask", format!("{}\n", Apm::ALL));
        host.set("bus/ap/aqmask", format!("{}\n", Aqm::ALL));
        for (apqn, name) in [(Apqn::new(5, 4), "vfio_ap\n"), (Apqn::new(5, 0x47), "\n")] {
            host.set(format!("bus/ap/devices/{apqn}/driver_override"), name);
        }
        let bus = Bus::new(&host);
        let share = bus.share().expect("readable");
        assert_eq!(share.overrides, [(Apqn::new(5, 4), false)].into());
        let queues = bus.queues().expect("readable");
        assert_eq!(queues[0].driver_override.as_deref(), Some("vfio_ap"));
        assert_eq!(queues[1].driver_override, None);
    }

    #[test]
    fn what_the_kernel_never_prints_is_reported_with_its_path() {
        let mut host = host();
        host.set("bus/ap/apmask", "everything\n");
        let error = Bus::new(&host).apmask().expect_err("malformed");
        assert!(matches!(&error, ReadError::Unexpected { path, .. } if path == "bus/ap/apmask"), "{error}");
        assert!(!error.is_absent());
    }

    #[test]
    fn card_types_are_written_as_sysfs_writes_them() {
        for (text, hwtype) in [("CEX4A", 10), ("CEX5C", 11), ("CEX8P", 14)] {
            let card: CardType = text.parse().expect("a card");
            assert_eq!((card.to_string().as_str(), card.hwtype()), (text, hwtype));
        }
        for text in ["", "CEX3C", "CEX9C", "CEX5", "CEX5X", "CEX5CC", "cex5c"] {
            assert!(text.parse::<CardType>().is_err(), "{text:?}");
        }
    }
}

mod mdevs {
    use super::*;

    #[test]
    fn an_mdev_is_found_by_every_name_that_sysfs_has_for_it() {
        let of_type = "mdev_supported_types/vfio_ap-passthrough/devices/";
        let parents = [
            "/sys/devices/vfio_ap/matrix/",
            "/sys/bus/matrix/devices/matrix/",
            "/sys/class/mdev_bus/matrix/",
        ];
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
            uuid.to_string(),
            format!("sys/bus/mdev/devices/{uuid}"),
            format!("/sys/bus/mdev/devices/{uuid}/matrix"),
            format!("/sys/bus/mdev/{uuid}"),
            format!("/sys/bus/mdev/devices/../devices/{uuid}"),
            format!("/dev/vfio/{uuid}"),
            "/sys/bus/mdev/devices/not-a-uuid".to_owned(),
        ] {
            let error = mdev::parse_path(&path).expect_err("no such home");
            let message = error.to_string();
            assert!(message.contains("/sys/bus/mdev/devices/UUID"), "{message}");
            assert!(message.starts_with(&format!("{path:?}")), "{message}");
        }
    }

    #[test]
    fn an_mdev_is_read_whole() {
        let mut host = host();
        let assigned =
            Matrix { adm: [ControlDomain(0x47)].into_iter().collect(), ..matrix(&[5, 6], &[4, 0xab]) };
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
        let assigned =
            Matrix { adm: [ControlDomain(0x47)].into_iter().collect(), ..matrix(&[5, 6], &[4, 0xab]) };
        add_mdev(&mut host, uuid(1), &assigned, &assigned);
        host.attrs.remove(&format!("devices/vfio_ap/matrix/{}/ap_config", uuid(1)));
        let mdev = Mdev::open(&host, uuid(1)).expect("exists");
        assert_eq!(mdev.matrix().expect("readable"), assigned);

        let cut = format_matrix(&Apm::ALL, &Aqm::ALL);
        host.set(format!("devices/vfio_ap/matrix/{}/matrix", uuid(1)), cut);
        let mdev = Mdev::open(&host, uuid(1)).expect("exists");
        assert!(
            matches!(mdev.matrix(), Err(ReadError::Unexpected { .. })),
            "a cut list is not the whole matrix"
        );
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
}

mod administration {
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
        assert!(
            matches!(error, AdminError::BeyondMax { resource: r, max: 63, .. } if r == resource),
            "{error}"
        );
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
        assert!(
            matches!(error, AdminError::BeyondMax { resource: r, max: 15, .. } if r == resource),
            "{error}"
        );
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
        let error =
            mdev.replace(&Matrix { apm: Apm::ALL, aqm: Aqm::ALL, adm: Adm::ALL }).expect_err("refused");
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
        assert_eq!(
            (path.as_str(), source.raw_os_error()),
            (attr(2, "assign_adapter").as_str(), Some(libc::EIO))
        );
        // ENODEV though the id is in range: not an explanation we could invent.
        let error = refused(&mut host, Resource::Adapter(Apid(5)), libc::ENODEV);
        assert!(matches!(error, AdminError::Io { .. }), "{error}");
    }
}

mod explaining {
    use super::*;

    /// A host where mdev 1 has 5,6 x 4,47, of which the kernel lists `guest`.
    fn with_guest(guest: &Matrix) -> Canned {
        let mut host = host();
        add_mdev(&mut host, uuid(1), &matrix(&[5, 6], &[4, 0x47]), guest);
        host
    }

    #[test]
    fn a_guest_of_a_sound_mdev_gets_all_of_it() {
        let host = with_guest(&matrix(&[5, 6], &[4, 0x47]));
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert_eq!(diagnosis.given, matrix(&[5, 6], &[4, 0x47]).apqns().collect::<Vec<_>>());
        assert!(diagnosis.withheld.is_empty() && diagnosis.in_use.is_none());
        assert_eq!(
            diagnosis.to_string(),
            format!("a guest of mdev {} gets 4 of 4 queues: 05.0004, 05.0047, 06.0004, 06.0047", uuid(1))
        );
        assert!(host.writes.borrow().is_empty());
    }

    /// The files of mdev 1 that every explanation needs, in the order in which they are read.
    fn of_the_mdev() -> Vec<String> {
        let uuid = uuid(1);
        vec![
            format!("devices/vfio_ap/matrix/{uuid}/ap_config"),
            format!("devices/vfio_ap/matrix/{uuid}/guest_matrix"),
        ]
    }

    #[test]
    fn of_an_mdev_that_a_guest_gets_whole_nothing_but_one_status_is_read_from_the_bus() {
        let mut host = with_guest(&matrix(&[5, 6], &[4, 0x47]));
        for mask in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
            host.refuse(format!("bus/ap/{mask}"), libc::EIO);
        }
        let diagnosis = diagnose(&host, uuid(1)).expect("no mask is needed");
        assert_eq!((diagnosis.given.len(), diagnosis.withheld.len()), (4, 0));
        let mut expected = of_the_mdev();
        expected.push("bus/ap/devices/05.0004/status".to_owned());
        assert_eq!(host.looked_at.take(), expected);
    }

    #[test]
    fn a_missing_queue_is_explained_by_the_whole_bus_read_once() {
        let mut host = with_guest(&matrix(&[5], &[4, 0x47]));
        unbind(&mut host, Apqn::new(6, 0x47));
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        let fault = QueueFault::Unbound;
        let reason = Reason::AdapterFiltered { because_of: Apqn::new(6, 0x47), fault };
        assert_eq!(diagnosis.withheld, [(Apqn::new(6, 4), reason), (Apqn::new(6, 0x47), reason)]);
        let mut expected = of_the_mdev();
        expected.extend(
            [
                "devices",
                "ap_adapter_mask",
                "ap_usage_domain_mask",
                "ap_control_domain_mask",
                "drivers/cex4queue",
                "drivers/vfio_ap",
                "devices/05.0004/status",
            ]
            .map(|name| format!("bus/ap/{name}")),
        );
        assert_eq!(host.looked_at.take(), expected);

        host.refuse("bus/ap/ap_adapter_mask", libc::EIO);
        let error = diagnose(&host, uuid(1)).expect_err("without the mask there is no reason");
        assert!(
            matches!(&error, OpenError::Read(ReadError::Io { path, .. }) if path == "bus/ap/ap_adapter_mask")
        );
    }

    #[test]
    fn an_mdev_without_queues_is_known_by_its_own_files() {
        let mut host = host();
        add_mdev(&mut host, uuid(1), &matrix(&[5], &[]), &matrix(&[5], &[]));
        assert!(!diagnose(&host, uuid(1)).expect("readable").assigned.has_queues());
        assert_eq!(host.looked_at.take(), of_the_mdev());
    }

    #[test]
    fn one_queue_without_the_driver_takes_its_whole_adapter_and_is_named() {
        let mut host = with_guest(&matrix(&[5], &[4, 0x47]));
        unbind(&mut host, Apqn::new(6, 0x47));
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert_eq!(diagnosis.given, [Apqn::new(5, 4), Apqn::new(5, 0x47)]);
        let reason = Reason::AdapterFiltered { because_of: Apqn::new(6, 0x47), fault: QueueFault::Unbound };
        assert_eq!(diagnosis.withheld, [(Apqn::new(6, 4), reason), (Apqn::new(6, 0x47), reason)]);
        let text = diagnosis.to_string();
        let line = "\n  not 06.0004, 06.0047: adapter 06 is filtered out of guest_matrix because queue 06.0047 is \
                    bound to no driver";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_queue_of_the_hosts_driver_and_an_absent_one_are_told_apart() {
        let mut host = with_guest(&Matrix { apm: Apm::EMPTY, ..matrix(&[], &[4, 0x47]) });
        unbind(&mut host, Apqn::new(5, 4));
        host.set("bus/ap/drivers/cex4queue/05.0004", "");
        unbind(&mut host, Apqn::new(6, 4));
        host.attrs.remove("bus/ap/devices/06.0004/config");
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert!(diagnosis.given.is_empty());
        let filtered = |because_of, fault| Reason::AdapterFiltered { because_of, fault };
        let reasons: Vec<Reason> = diagnosis.reasons().into_keys().collect();
        assert_eq!(
            reasons,
            [
                filtered(Apqn::new(5, 4), QueueFault::BoundToHost),
                filtered(Apqn::new(6, 4), QueueFault::Absent)
            ]
        );
        assert!(reasons[0].to_string().contains("bound to cex4queue"), "{}", reasons[0]);
        assert!(reasons[1].to_string().contains("does not exist"), "{}", reasons[1]);
    }

    #[test]
    fn every_faulty_queue_of_an_adapter_is_named_for_itself() {
        let mut host = with_guest(&matrix(&[5], &[4, 0x47]));
        unbind(&mut host, Apqn::new(6, 4));
        unbind(&mut host, Apqn::new(6, 0x47));
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        for (apqn, reason) in &diagnosis.withheld {
            let fault = QueueFault::Unbound;
            assert_eq!(*reason, Reason::AdapterFiltered { because_of: *apqn, fault });
        }
        assert_eq!(diagnosis.withheld.len(), 2);
    }

    #[test]
    fn ids_out_of_the_hosts_configuration_are_named() {
        let mut host = host();
        let assigned = matrix(&[5, 7], &[4, 8]);
        add_mdev(&mut host, uuid(1), &assigned, &matrix(&[5], &[4]));
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert_eq!(diagnosis.given, [Apqn::new(5, 4)]);
        let expected = [
            (Apqn::new(5, 8), Reason::DomainNotConfigured(Apqi(8))),
            (Apqn::new(7, 4), Reason::AdapterNotConfigured(Apid(7))),
            (Apqn::new(7, 8), Reason::AdapterNotConfigured(Apid(7))),
        ];
        assert_eq!(diagnosis.withheld, expected);
    }

    #[test]
    fn a_domain_out_of_the_configuration_filters_no_adapter() {
        let mut host = host();
        add_mdev(&mut host, uuid(1), &matrix(&[6], &[2, 4, 0x47]), &Matrix::EMPTY);
        unbind(&mut host, Apqn::new(6, 0x47));
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        let because_of = Apqn::new(6, 0x47);
        let filtered = Reason::AdapterFiltered { because_of, fault: QueueFault::Unbound };
        let reasons: Vec<Reason> = diagnosis.withheld.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(reasons, [Reason::DomainNotConfigured(Apqi(2)), filtered, filtered]);
    }

    #[test]
    fn without_qci_nothing_can_be_given() {
        let mut host = with_guest(&Matrix::EMPTY);
        for name in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
            host.set(format!("bus/ap/{name}"), "not supported\n");
        }
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert_eq!(diagnosis.reasons().into_keys().collect::<Vec<_>>(), [Reason::NoConfiguration]);
    }

    #[test]
    fn an_adapter_that_nothing_stands_against_was_not_filtered_anew() {
        let host = with_guest(&matrix(&[5], &[4, 0x47]));
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert_eq!(diagnosis.reasons().into_keys().collect::<Vec<_>>(), [Reason::NotFilteredAnew(Apid(6))]);
    }

    #[test]
    fn an_empty_mdev_gives_nothing_and_says_what_is_missing() {
        for (assigned, missing) in [
            (matrix(&[], &[]), "nothing is assigned"),
            (matrix(&[5], &[]), "no domain is assigned"),
            (matrix(&[], &[4]), "no adapter is assigned"),
        ] {
            let mut host = host();
            add_mdev(&mut host, uuid(1), &assigned, &assigned);
            let diagnosis = diagnose(&host, uuid(1)).expect("readable");
            assert!(diagnosis.given.is_empty() && diagnosis.withheld.is_empty());
            assert!(!diagnosis.assigned.has_queues());
            assert!(diagnosis.to_string().contains(missing), "{diagnosis}");
        }
    }

    #[test]
    fn an_mdev_that_a_vm_has_is_in_use() {
        let mut host = with_guest(&matrix(&[5, 6], &[4, 0x47]));
        host.set("bus/ap/devices/05.0004/status", "in use\n");
        assert_eq!(diagnose(&host, uuid(1)).expect("readable").in_use, Some(Apqn::new(5, 4)));
    }

    #[test]
    fn queues_that_the_kernel_had_no_room_to_list_are_given_unless_a_reason_is_known() {
        let mut host = host();
        let ids: Vec<u8> = (0..32).collect();
        let assigned = matrix(&ids, &ids);
        host.set("bus/ap/ap_adapter_mask", format!("{}\n", assigned.apm));
        host.set("bus/ap/ap_usage_domain_mask", format!("{}\n", assigned.aqm));
        for apqn in assigned.apqns() {
            host.set(format!("bus/ap/devices/{apqn}/status"), "assigned\n");
            host.set(format!("bus/ap/drivers/vfio_ap/{apqn}"), "");
        }
        unbind(&mut host, Apqn::new(31, 0));
        let guest = Matrix { apm: assigned.apm - [3, 31].map(Apid).into_iter().collect(), ..assigned };
        add_mdev(&mut host, uuid(1), &assigned, &guest);
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert_eq!(diagnosis.given, guest.apqns().collect::<Vec<_>>());
        let because_of = Apqn::new(31, 0);
        let reasons: Vec<Reason> = diagnosis.reasons().into_keys().collect();
        let filtered = Reason::AdapterFiltered { because_of, fault: QueueFault::Unbound };
        assert_eq!(reasons, [filtered, Reason::NotFilteredAnew(Apid(3))]);
    }

    #[test]
    fn what_is_no_ap_mdev_is_not_explained() {
        assert!(matches!(diagnose(&host(), uuid(7)), Err(OpenError::Missing { .. })));
        assert!(matches!(diagnose(&Canned::default(), uuid(7)), Err(OpenError::NoDriver { .. })));
        let mut host = host();
        host.set(format!("bus/mdev/devices/{}/mdev_type/device_api", uuid(7)), "vfio-ccw\n");
        let error = diagnose(&host, uuid(7)).expect_err("a channel device");
        assert!(matches!(error, OpenError::NotAp { device_api, .. } if device_api == "vfio-ccw"));
    }

    #[test]
    fn an_ap_mdev_that_can_not_be_read_is_refused_by_the_file_at_fault() {
        let mut host = with_guest(&Matrix::EMPTY);
        let path = format!("devices/vfio_ap/matrix/{}/guest_matrix", uuid(1));
        host.refuse(path.clone(), libc::EIO);
        let error = diagnose(&host, uuid(1)).expect_err("refused");
        assert!(matches!(&error, OpenError::Read(ReadError::Io { path: at, .. }) if *at == path));
    }
}
