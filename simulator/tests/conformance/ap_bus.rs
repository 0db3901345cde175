//! The AP bus: what it says of itself, and when it scans. What it has is in the modules below.

mod devices;
mod drivers;
mod masks;

use crate::fixture::{A, HOST, Host, Order, Place, on_every_host, unmasked};
use adjunct_simulator::{EventInformation, HostFile, SimHost};
use std::time::Duration;

on_every_host! {
    the_bus_says_what_qci_says
    config_time_is_5_to_120_seconds
    the_default_domain_must_be_the_hosts
    polling_is_at_most_every_two_minutes_and_not_needed_with_interruptions
    writing_to_scans_scans
    poll_timeout_is_a_number_in_any_base
}

/// A mask as sysfs shows it whose first digits are these.
fn left(digits: &str) -> String {
    format!("0x{digits:0<64}\n")
}

// 36, 37, 46: ap_bus.c:ap_init_qci_info, ap_adapter_mask_show, features_show
fn the_bus_says_what_qci_says(host: &Place) {
    assert_eq!(host.read("bus/ap/ap_max_adapter_id"), "63\n");
    assert_eq!(host.read("bus/ap/ap_max_domain_id"), "84\n");
    assert_eq!(host.read("bus/ap/ap_adapter_mask"), left("0e"));
    assert_eq!(host.read("bus/ap/ap_usage_domain_mask"), left("080000000000000001"));
    assert_eq!(host.read("bus/ap/ap_control_domain_mask"), left("0c0000000000000001"));
    assert_eq!(host.read("bus/ap/features"), "APSC APXA QACT\n");
    assert_eq!(host.read("bus/ap/ap_interrupts"), "1\n");
    assert_eq!(host.read_errno("bus/ap/ap_version"), libc::ENOENT);
    // Without extended addressing there are 64 adapters and 16 domains.
    host.order_and_scan(Order::Qci(0x8000_0000, 0, 0));
    assert_eq!(host.read("bus/ap/ap_max_adapter_id"), "63\n");
    assert_eq!(host.read("bus/ap/ap_max_domain_id"), "15\n");
    assert_eq!(host.read("bus/ap/features"), "APSC\n");
    host.order_and_scan(Order::Qci(0xf080_0000, 63, 84));
    assert_eq!(host.read("bus/ap/features"), "APSC APXA QACT RC8A APSB\n");
    host.order_and_scan(Order::Qci(0x0040_0000, 63, 84));
    assert_eq!(host.read("bus/ap/features"), "", "none of those that have a name");
}

// 38, 46: ap_bus.c:ap_adapter_mask_show, features_show
#[test]
fn without_qci_the_bus_has_no_masks_to_show_and_tries_all_ids() {
    let plain = "[ap]\nfeatures = [\"APSC\"]\nusage_domains = [4]\n[[ap.card]]\nid = 5\ntype = \"CEX4C\"\n";
    let host = Host::of(plain);
    assert_eq!(host.highest(), (63, 15));

    let host = Host::of(&plain.replace("\"APSC\"", ""));
    assert_eq!(host.read("bus/ap/features"), "-\n");
    for mask in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
        assert_eq!(host.read(&format!("bus/ap/{mask}")), "not supported\n");
    }
    assert_eq!(host.bound("cex4queue"), ["05.0004"], "without QCI all ids are tried");
}

// 40: ap_bus.c:config_time_store
fn config_time_is_5_to_120_seconds(host: &Place) {
    assert_eq!(host.read("bus/ap/config_time"), "30\n");
    for text in ["4", "121", "x", "", "-5"].iter().filter(|text| !text.is_empty()) {
        assert_eq!(host.try_write("bus/ap/config_time", text), libc::EINVAL, "{text}");
    }
    for (text, shown) in [("5", "5\n"), ("120\n", "120\n"), ("30junk", "30\n")] {
        host.write("bus/ap/config_time", text);
        assert_eq!(host.read("bus/ap/config_time"), shown);
    }
}

// 41: ap_bus.c:ap_domain_store
fn the_default_domain_must_be_the_hosts(host: &Place) {
    assert_eq!(host.read("bus/ap/ap_domain"), "4\n");
    host.write("bus/ap/ap_domain", "0x47junk");
    assert_eq!(host.read("bus/ap/ap_domain"), "71\n");
    host.write("bus/ap/aqmask", "-4");
    for text in ["4", "85", "-1", "256", "x"] {
        assert_eq!(host.try_write("bus/ap/ap_domain", text), libc::EINVAL, "{text}");
    }
}

// ap_bus.c:ap_domain_show
#[test]
fn without_adapters_there_is_no_default_domain() {
    assert_eq!(Host::of("[ap]\n").read("bus/ap/ap_domain"), "-1\n");
}

// 42: ap_bus.c:poll_timeout_store
fn polling_is_at_most_every_two_minutes_and_not_needed_with_interruptions(host: &Place) {
    assert_eq!(host.read("bus/ap/poll_timeout"), "250000\n");
    assert_eq!(host.try_write("bus/ap/poll_timeout", "120000000001"), libc::EINVAL);
    host.write("bus/ap/poll_timeout", "120000000000");
    assert_eq!(host.try_write("bus/ap/poll_thread", "2"), libc::EINVAL);
    host.write("bus/ap/poll_thread", "1");
    assert_eq!(host.read("bus/ap/poll_thread"), "0\n");
}

// 44: ap_bus.c:scans_store, ap_bus_force_rescan
fn writing_to_scans_scans(host: &Place) {
    let scans = host.number("bus/ap/scans");
    host.order(Order::UsageDomain(0x48, true));
    assert_eq!(host.read_errno("bus/ap/devices/05.0048/config"), libc::ENOENT);
    host.write("bus/ap/scans", "whatever");
    assert_eq!(host.number("bus/ap/scans"), scans + 1);
    assert_eq!(host.read("bus/ap/devices/05.0048/config"), "1\n");
    assert_eq!(host.read("bus/ap/devices/05.0048/status"), "unassigned\n");
}

// 213: ap_bus.c:ap_scan_bus_timer_callback
#[test]
fn a_change_is_noticed_at_the_next_scan_or_at_once_when_the_machine_tells() {
    let host = Host::new();
    host.set_usage_domains(&[4]);
    host.host.advance(Duration::from_secs(29));
    assert_eq!(host.read("bus/ap/scans"), "1\n");
    host.host.advance(Duration::from_secs(1));
    assert_eq!(host.read("bus/ap/scans"), "2\n");
    assert_eq!(host.read_errno("bus/ap/devices/05.0047/config"), libc::ENOENT);
    host.set_usage_domains(&[4, 0x47]);
    host.host.config_changed();
    assert_eq!(host.read("bus/ap/devices/05.0047/config"), "1\n");
}

#[test]
fn a_host_file_is_applied_as_a_person_would() {
    let text = HOST.replacen("id = 4\n", "id = 4\nonline = false\n", 1).replacen(
        "id = 6\n",
        "id = 6\nconfig = false\n",
        1,
    );
    let host = Host::of(&text);
    assert_eq!(host.read("bus/ap/devices/card04/online"), "0\n");
    assert_eq!(host.read("bus/ap/devices/card06/config"), "0\n");
    let mdevs = format!(
        "{HOST}[[mdev]]\nuuid = \"{A}\"\nadapters = [5]\ndomains = [4]\n[[mdev]]\nuuid = \"{}\"\nadapters = [5]\ndomains = [0x47, 4]\n",
        crate::fixture::B
    );
    let error = SimHost::new(HostFile::parse(&mdevs).unwrap()).expect_err("one queue in two mdevs");
    assert_eq!(error.to_string(), format!("mdev[1].domains: 05.0004 is given to mdev {A}"));
    let kept = format!("{}[[mdev]]\nuuid = \"{A}\"\nadapters = [5]\ndomains = [4]\n", unmasked());
    let error = SimHost::new(HostFile::parse(&kept).unwrap()).expect_err("the host keeps it");
    let why = "the host keeps 05.0004; take the adapter out of ap.apmask or the domain out of ap.aqmask";
    assert_eq!(error.to_string(), format!("mdev[0].domains: {why}"));
}

// 60: ap_bus.c:ap_module_init, vfio_ap_drv.c:vfio_ap_init
#[test]
fn without_ap_instructions_there_is_neither_bus_nor_vfio_ap() {
    let host = Host::of("machine = \"z900\"\n");
    assert!(!host.host.has_ap());
    for path in ["bus/ap", "devices/ap", "devices/vfio_ap", "bus/matrix", "class/mdev_bus"] {
        assert!(
            !host
                .list(path.split('/').next().unwrap())
                .contains(&path.rsplit('/').next().unwrap().to_owned())
        );
        assert_eq!(crate::fixture::errno(adjunct_ap::Sysfs::list(&host.host, path)), libc::ENOENT, "{path}");
    }
    host.host.config_changed();
    host.host.advance(Duration::from_secs(100));
    assert!(host.host.uevents().is_empty());
}

// ap_bus.c:poll_timeout_store
fn poll_timeout_is_a_number_in_any_base(host: &Place) {
    host.write("bus/ap/poll_timeout", "0x10\n");
    assert_eq!(host.read("bus/ap/poll_timeout"), "16\n");
    for (text, errno) in [("08", libc::EINVAL), ("-1", libc::EINVAL), ("18446744073709551616", libc::ERANGE)]
    {
        assert_eq!(host.try_write("bus/ap/poll_timeout", text), errno, "{text}");
    }
    assert_eq!(host.read("bus/ap/poll_timeout"), "16\n");
}

// 205: ap_bus.c:ap_queue_info
#[test]
fn without_facility_15_no_adapter_appears() {
    let host = Host::new();
    host.host.adapters().operate(|machine| machine.facilities.test = false);
    host.scan();
    assert_eq!(host.cards(), [""; 0]);
    host.host.adapters().operate(|machine| machine.facilities.test = true);
    host.scan();
    assert_eq!(host.cards().len(), 3);
}

// 212, 214: drivers/s390/cio/chsc.c:chsc_process_crw, chsc_process_sei_ap_cfg_chg
#[test]
fn a_channel_report_of_an_ap_change_is_a_scan_and_any_other_is_not() {
    let host = Host::new();
    let scans = host.number("bus/ap/scans");
    let changed = EventInformation { source: 5, code: 3 };
    host.host.channel_report(0x0b00_0000, &[changed]);
    assert_eq!(host.number("bus/ap/scans"), scans + 1);
    for (word, event) in [
        (0x0b00_0000, EventInformation { source: 4, code: 3 }),
        (0x0b00_0000, EventInformation { source: 5, code: 2 }),
        (0x2000_0000, changed),
        (0x2b00_0000, changed),
        (0x0300_0000, changed),
    ] {
        host.host.channel_report(word, &[event]);
        assert_eq!(host.number("bus/ap/scans"), scans + 1, "{word:#x} {event:?}");
    }
}
