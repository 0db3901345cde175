//! A host that is captured and started again shows the same.

use adjunct_ap::{
    Adm, Apid, Apm, Apqi, Aqm, Sysfs, Uuid,
    host::{CardType, Mode, QueueDriver},
};
use adjunct_simulator::{
    CardDetails, CardEntry, Firmware, HostFile, HostFileError, KernelProfile, MdevEntry, QueueEntry, SimHost,
    capture::{Capture, CaptureError, MOMENTARY, Snapshot},
};
use proptest::prelude::*;
use std::time::Duration;

/// Longer than a queue takes to be reset.
const RESET: Duration = Duration::from_millis(1);

fn started(file: &HostFile) -> SimHost {
    let host = SimHost::new(file.clone()).unwrap_or_else(|error| panic!("{error}\n{}", file.to_toml()));
    host.advance(RESET);
    host
}

/// A host that is started anew has not scanned as often, and has brought up its queues in its own time.
const COUNTERS: [&str; 4] = ["scans", "bindings_complete_count", "interrupt", "reset"];

/// A host of which all was captured.
fn captured(host: &SimHost) -> Capture {
    let capture = Capture::of(host, host.machine_model(), host.profile()).expect("there is an AP bus");
    assert_eq!(capture.notes, [""; 0], "{}", capture.to_toml());
    capture
}

/// What is captured of a host starts a host that shows the same, of which the same is captured.
fn comes_back(host: &SimHost) {
    host.advance(RESET);
    let capture = captured(host);
    let text = capture.to_toml();
    let again = HostFile::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again, capture.host, "{text}");
    let second = started(&again);
    let mut differences = Snapshot::of(host).differences(&Snapshot::of(&second));
    differences.retain(|difference| !COUNTERS.contains(&difference.name()));
    assert_eq!(differences, [], "{text}");
    assert_eq!(captured(&second), capture);
}

#[test]
fn the_capture_of_the_built_in_host_is_its_host_file() {
    let host = started(&HostFile::three_guests().expect("the built-in host is right"));
    let mut expected = HostFile::three_guests().expect("the built-in host is right");
    // Said by the attribute, and so by the capture.
    (expected.ap.ap_interrupts, expected.ap.ap_domain) = (Some(true), Some(Apqi(4)));
    assert_eq!(captured(&host).host, expected);
}

#[test]
fn a_capture_reads_as_a_person_would_write_it() {
    let text = captured(&started(&HostFile::three_guests().expect("the built-in host is right"))).to_toml();
    let start = "machine = \"gen16a\"\nkernel = \"7.2\"\n\n[ap]\nfeatures = [\"APSC\", \"APXA\", \"QACT\"]\nmax_adapter = 63\n\
        max_domain = 255\nusage_domains = [4, 0x47, 0xab, 0xff]\ncontrol_domains = [4, 0x47, 0xab, 0xff]\n\
        ap_interrupts = true\nap_domain = 4\napmask = \"-5,-6\"\naqmask = \"-4,-0x47,-0xab,-0xff\"\n\n\
        [[ap.card]]\nid = 5\ntype = \"CEX5C\"\n";
    assert!(text.starts_with(start), "{text}");
    let end =
        "[[mdev]]\nuuid = \"6c4a5d2e-0d3e-4c7a-9b0a-000000000003\"\nadapters = [6]\ndomains = [0x47, 0xff]\n";
    assert!(text.ends_with(end), "{text}");
}

/// Changes that people make to a running host: what each leaves behind is captured.
#[test]
fn what_was_done_to_a_host_since_it_was_started_is_captured() {
    let mdev = |n: u8| format!("devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-00000000000{n}");
    let cases: &[&[(&str, &str)]] = &[
        &[("bus/ap/drivers/vfio_ap/unbind", "05.0004")],
        &[("bus/ap/drivers/cex4card/unbind", "card06")],
        &[
            ("bus/ap/config_time", "77"),
            ("bus/ap/poll_timeout", "1500000"),
            ("bus/ap/drivers_autoprobe", "0"),
        ],
        &[("bus/ap/apmask", "-0-255")],
        &[("bus/ap/ap_domain", "0x30")],
        &[("devices/ap/card06/online", "0")],
        &[("devices/ap/card06/config", "0")],
        &[("devices/ap/card06/config", "0"), ("bus/ap/scans", "1")],
        &[("bus/ap/drivers/vfio_ap/unbind", "05.0004"), ("bus/ap/drivers/vfio_ap/bind", "05.0004")],
    ];
    for writes in cases {
        for profile in KernelProfile::ALL {
            let host = started(&HostFile {
                kernel: profile,
                ..HostFile::three_guests().expect("the built-in host is right")
            });
            for (path, text) in *writes {
                host.write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
            comes_back(&host);
        }
    }
    // An adapter that filtering would give back is not given back by unassigning another domain.
    let host = started(&HostFile::three_guests().expect("the built-in host is right"));
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.00ab").expect("bound");
    host.write(&format!("{}/unassign_domain", mdev(1)), "0xab").expect("assigned");
    assert_eq!(host.read(&format!("{}/guest_matrix", mdev(1))).expect("there"), "05.0004\n");
    assert_eq!(host.read(&format!("{}/matrix", mdev(1))).expect("there"), "05.0004\n06.0004\n");
    comes_back(&host);
    assert_eq!(captured(&host).host.mdevs[0].guest_adapters, Some(Apm::from_iter([Apid(5)])));
}

#[test]
fn queues_given_to_vfio_ap_one_by_one_are_captured_with_their_overrides() {
    let text = HostFile::THREE_GUESTS.split("# As written").next().expect("the hardware").to_owned()
        + "[[ap.card]]\nid = 5\ntype = \"CEX5C\"\n[[ap.card]]\nid = 6\ntype = \"CEX6P\"\n";
    let host = started(&HostFile::parse(&text).expect("well formed"));
    let uuid = "6c4a5d2e-0d3e-4c7a-9b0a-000000000009";
    for (path, text) in [
        ("devices/ap/card05/05.0004/driver_override", "vfio_ap"),
        ("bus/ap/drivers/cex4queue/unbind", "05.0004"),
        ("bus/ap/drivers_probe", "05.0004"),
        ("devices/ap/card06/06.0047/driver_override", "vfio_ap"),
        ("bus/ap/drivers/cex4queue/unbind", "06.00ff"),
        ("devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", uuid),
        (&format!("devices/vfio_ap/matrix/{uuid}/assign_adapter"), "5"),
        (&format!("devices/vfio_ap/matrix/{uuid}/assign_domain"), "4"),
    ] {
        host.write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    comes_back(&host);
    // The override goes, the queue stays.
    host.write("devices/ap/card05/05.0004/driver_override", "\n").expect("allowed");
    comes_back(&host);
    // And so does the mdev's matrix when the queue goes.
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004").expect("bound");
    comes_back(&host);
}

#[test]
fn a_dump_knows_of_the_hardware_what_sys_does_not_show() {
    let host = started(&HostFile::three_guests().expect("the built-in host is right"));
    host.adapters().operate(|machine| {
        machine.cards.get_mut(&Apid(6)).expect("there").configured = false;
        machine.usage_domains.remove(Apqi(0xff));
    });
    // Nothing of that is seen before a scan.
    let shown = Capture::of(&host, host.machine_model(), host.profile()).expect("there is an AP bus");
    assert!(shown.host.ap.cards[1].config);
    let dump = host.dump();
    assert!(!dump.ap.cards[1].config);
    assert!(!dump.ap.usage_domains.contains(Apqi(0xff)));
    assert!(host.acts().is_empty());
    host.write("bus/ap/scans", "1").expect("a scan");
    let again = started(&host.dump());
    assert_eq!(again.read("bus/ap/ap_usage_domain_mask").ok(), host.read("bus/ap/ap_usage_domain_mask").ok());
    assert_eq!(again.read("devices/ap/card06/config").as_deref().ok(), Some("0\n"));
}

#[test]
fn what_can_not_be_captured_is_noted_in_the_text() {
    let mut snapshot = Snapshot::of(&started(&HostFile::three_guests().expect("the built-in host is right")));
    snapshot.file("devices/ap/card05/serialnr", "93AA\"\\1\u{1}\n");
    snapshot.file("devices/ap/card05/hwtype", "14\n");
    snapshot.file("devices/ap/card05/05.0004/se_bind", "unbound\n");
    snapshot.file("bus/ap/poll_timeout", "rubbish\n");
    let capture = Capture::of(&snapshot, HostFile::MACHINE, KernelProfile::V7_2).expect("there is a bus");
    let text = capture.to_toml();
    for part in ["05.0004/se_bind", "poll_timeout", "card05/hwtype"] {
        assert!(text.lines().any(|line| line.starts_with('#') && line.contains(part)), "{part}: {text}");
    }
    let again = HostFile::parse(&text).expect("a host file");
    assert_eq!(again, capture.host);
    assert_eq!(again.ap.cards[0].details.firmware.serialnr, "93AA\"\\1\u{1}");
}

#[test]
fn without_an_ap_bus_there_is_nothing_to_capture() {
    let none = Capture::of(&Snapshot::default(), HostFile::MACHINE, KernelProfile::V7_2);
    assert!(matches!(none, Err(CaptureError::Missing { .. })));
    let host = started(&HostFile::parse("machine = \"z900\"\n").expect("a host"));
    assert_eq!(host.dump().machine.name, "z900");
}

#[test]
fn a_snapshot_is_read_like_the_host_that_it_is_of() {
    let host = started(&HostFile::three_guests().expect("the built-in host is right"));
    let snapshot = Snapshot::of(&host);
    let again: Snapshot = snapshot.to_string().parse().expect("written by us");
    assert_eq!(again, snapshot);
    assert_eq!(again.read("bus/ap/apmask").ok(), host.read("bus/ap/apmask").ok());
    let queue = "bus/ap/drivers/vfio_ap/05.0004/status";
    assert_eq!(again.read(queue).expect("behind a link"), host.read(queue).expect("behind a link"));
    let errno = |answer: std::io::Result<String>| answer.expect_err("refused").raw_os_error();
    for path in ["bus/ap/nothing", "bus/ap", "devices/vfio_ap/matrix/x"] {
        assert_eq!(errno(again.read(path)), errno(host.read(path)), "{path}");
    }
    for dir in ["bus/ap/nothing", "bus/ap/apmask"] {
        let errno = |sysfs: &dyn Sysfs| sysfs.list(dir).expect_err("refused").raw_os_error();
        assert_eq!(errno(&again), errno(&host), "{dir}");
    }
    assert_eq!(again.write("bus/ap/apmask", "+1").expect_err("a copy").raw_os_error(), Some(libc::EROFS));
    assert_eq!("devices/ap".parse::<Snapshot>().expect_err("no line").line, 1);
}

#[test]
fn what_a_queue_can_not_be_is_refused_with_its_place() {
    let card = "[[ap.card]]\nid = 5\ntype = \"CEX5C\"\n";
    let queue = format!("{card}[[ap.card.queue]]\n");
    for (text, place, says) in [
        (format!("{queue}domain = 5\n"), (5, 10), "no queue for it"),
        (
            format!("{queue}domain = 4\n[[ap.card.queue]]\ndomain = 4\n"),
            (7, 10),
            "another queue with domain 4",
        ),
        (format!("{queue}domain = 4\ndriver = \"zcrypt\"\n"), (6, 10), "no driver of queues"),
        (format!("{queue}domain = 4\ndriver_override = \"\"\n"), (6, 19), "leave it out"),
        (format!("{queue}domain = 4\nstatus = 1\n"), (6, 1), "unknown key `status`"),
        (
            format!("kernel = \"6.12\"\n{queue}domain = 4\ndriver_override = \"x\"\n"),
            (7, 19),
            "has no driver_override",
        ),
        (format!("{card}driver = \"vfio_ap\"\n"), (4, 10), "no driver of cards"),
        (format!("{card}depth = 17\n"), (4, 9), "depth must be 1 to 16"),
        (format!("{card}max_msg_size = 5000\n"), (4, 16), "multiple of 4096"),
        (format!("{card}serialnr = \"a\\nb\"\n"), (4, 12), "one line"),
        (format!("[ap]\nsilent_adapters = [5]\n{card}"), (2, 20), "so it is not silent"),
        ("[ap]\nconfig_time = 4\n".to_owned(), (2, 15), "config_time must be 5 to 120"),
        ("[ap]\npoll_timeout = -1\n".to_owned(), (2, 16), "poll_timeout must be 0 to"),
        ("[ap]\nap_domain = 300\n".to_owned(), (2, 13), "beyond ap.max_domain"),
    ] {
        match HostFile::parse(&text) {
            Err(HostFileError::Malformed { line, column, what }) => {
                assert_eq!((line, column), place, "{text}{what}");
                assert!(what.contains(says), "{text}{what}");
            }
            other => panic!("{text}{other:?}"),
        }
    }
}

/// `/sys` of the lab's real kernels (tests/lab): as the lab makes it, and after a queue was unbound, a card taken offline and
/// configured off, another one added and checkstopped, and an mdev changed.
const LAB: [(KernelProfile, &str); 4] = [
    (KernelProfile::V6_12, include_str!("capture_data/6.12-fresh.txt")),
    (KernelProfile::V6_12, include_str!("capture_data/6.12-changed.txt")),
    (KernelProfile::V7_2, include_str!("capture_data/7.2-fresh.txt")),
    (KernelProfile::V7_2, include_str!("capture_data/7.2-changed.txt")),
];

#[test]
fn what_the_real_kernel_shows_is_shown_again_but_for_what_is_listed() {
    for (kernel, text) in LAB {
        let real: Snapshot = text.parse().expect("recorded");
        let capture = Capture::of(&real, HostFile::MACHINE, kernel).expect("there is an AP bus");
        let again = started(&HostFile::parse(&capture.to_toml()).expect("written by us"));
        // As far as both look.
        let mut differences = Snapshot::of(&real).differences(&Snapshot::of(&again));
        differences.retain(|difference| !MOMENTARY.contains(&difference.name()));
        assert_eq!(differences, [], "{kernel}: {}", capture.to_toml());
    }
}

const IDS: std::ops::RangeInclusive<u8> = 0..=9;

fn some<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(of, 0..4)
}

fn kinds() -> impl Strategy<Value = CardType> {
    let modes = prop_oneof![Just(Mode::Accelerator), Just(Mode::Cca), Just(Mode::Ep11)];
    (4_u8..=8, modes).prop_map(|(generation, mode)| CardType::new(generation, mode).expect("a type"))
}

prop_compose! {
    fn details()(
        raw in proptest::option::of(10_u8..=16), functions in proptest::option::of(0_u32..8),
        depth in proptest::option::of(1_u8..=16), size in proptest::option::of(1_u32..=15), serialnr in "[A-Z0-9 ]{0,8}",
    ) -> CardDetails {
        CardDetails {
            raw_hwtype: raw,
            // The modes are the type's: bits that say nothing of it.
            ap_functions: functions.map(|bits| bits << 16),
            depth,
            max_msg_size: size.map(|units| units * 4096),
            firmware: Firmware { serialnr, ..Firmware::default() },
        }
    }
}

prop_compose! {
    fn queue()(
        domain in IDS, driver in proptest::option::of(proptest::option::of(prop_oneof![
            Just(QueueDriver::Cex4queue), Just(QueueDriver::VfioAp),
        ])),
        overridden: bool, online: Option<bool>, config: Option<bool>, chkstop: Option<bool>, initiated: Option<bool>,
    ) -> QueueEntry {
        let name = driver.flatten().map_or_else(|| "other".to_owned(), |driver: QueueDriver| driver.to_string());
        QueueEntry {
            driver,
            driver_override: overridden.then_some(name),
            online, config, chkstop, initiated,
            ..QueueEntry::new(Apqi(domain))
        }
    }
}

prop_compose! {
    fn card()(
        id in IDS, kind in kinds(), config: bool, online: bool, chkstop: bool, bound: bool,
        missing in some(IDS), details in details(), queues in some(queue()),
    ) -> CardEntry {
        CardEntry {
            config, online, chkstop, bound, details, queues,
            missing_queues: missing.into_iter().map(Apqi).collect(),
            ..CardEntry::new(Apid(id), kind)
        }
    }
}

prop_compose! {
    fn mdev()(n: u8, apm in some(IDS), aqm in some(IDS), adm in some(IDS)) -> MdevEntry {
        MdevEntry {
            adapters: apm.into_iter().map(Apid).collect(),
            domains: aqm.into_iter().map(Apqi).collect(),
            control_domains: adm.into_iter().map(Into::into).collect(),
            ..MdevEntry::new(Uuid::from_bytes([n; 16]))
        }
    }
}

prop_compose! {
    /// A host file that parses; a kernel may still refuse it.
    fn host_file()(
        kernel in proptest::sample::select(&KernelProfile::ALL[..]), usage in some(IDS), adm in some(IDS), silent in some(IDS),
        cards in some(card()), mdevs in some(mdev()), apm in some(IDS), aqm in some(IDS), masks: bool,
        domain in proptest::option::of(IDS), config_time in 5_u8..=120, poll_timeout in 0_u64..10_000_000,
        flags: (Option<bool>, bool, bool),
    ) -> HostFile {
        let mut file = HostFile { kernel, mdevs: Vec::new(), ..HostFile::three_guests().expect("the built-in host is right") };
        let ap = &mut file.ap;
        ap.usage_domains = usage.into_iter().map(Apqi).collect();
        ap.control_domains = adm.into_iter().map(Into::into).collect::<Adm>();
        (ap.config_time, ap.poll_timeout, ap.ap_domain) = (config_time, poll_timeout, domain.map(Apqi));
        (ap.ap_interrupts, ap.poll_thread, ap.drivers_autoprobe) = flags;
        let minus = |ids: Vec<u8>| ids.iter().map(|id| format!("-{id}")).collect::<Vec<_>>().join(",");
        (ap.apmask, ap.aqmask) = (masks && !apm.is_empty()).then(|| (minus(apm), minus(aqm))).unzip();
        ap.aqmask = ap.aqmask.take().filter(|text| !text.is_empty());
        ap.cards.clear();
        for mut card in cards {
            card.missing_queues = card.missing_queues & ap.usage_domains;
            let there: Aqm = ap.usage_domains - card.missing_queues;
            let mut seen = Aqm::EMPTY;
            card.queues.retain(|queue| {
                let first = !seen.contains(queue.domain);
                seen.insert(queue.domain);
                first && there.contains(queue.domain)
            });
            if !kernel.has_driver_override() {
                card.queues.iter_mut().for_each(|queue| queue.driver_override = None);
            }
            if ap.cards.iter().all(|other| other.id != card.id) {
                ap.cards.push(card);
            }
        }
        ap.silent_adapters =
            silent.into_iter().map(Apid).filter(|id| ap.cards.iter().all(|card| card.id != *id)).collect();
        for mdev in mdevs {
            if file.mdevs.iter().all(|other| other.uuid != mdev.uuid) {
                file.mdevs.push(mdev);
            }
        }
        file
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn a_host_file_reads_back(file in host_file()) {
        prop_assert_eq!(HostFile::parse(&file.to_toml()).expect("what was written"), file);
    }

    #[test]
    fn a_host_that_is_captured_comes_back(file in host_file()) {
        // Some hosts no kernel would have.
        let Ok(host) = SimHost::new(file) else { return Err(TestCaseError::reject("refused")) };
        comes_back(&host);
    }
}
