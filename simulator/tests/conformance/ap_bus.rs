//! The AP bus: masks, bindings, scans, cards and queues.

use crate::fixture::{A, HOST, Host, queue, unmasked};
use adjunct_ap::Apid;
use adjunct_simulator::{Card, HostFile, SimHost};
use std::time::Duration;

const ALL: &str = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n";

fn left(digits: &str) -> String {
    format!("0x{digits:0<64}\n")
}

// 5: ap_bus.c:apmask_show
#[test]
fn masks_are_all_ones_after_boot() {
    let host = Host::of(&unmasked());
    assert_eq!(host.read("bus/ap/apmask"), ALL);
    assert_eq!(host.read("bus/ap/aqmask"), ALL);
    assert_eq!(ALL.len(), 67);
}

// 6, 9, 12, 13, 16: ap_bus.c:ap_hex2bitmap, modify_bitmap
#[test]
fn masks_are_written_as_a_whole_or_changed_bit_by_bit() {
    let host = Host::of(&unmasked());
    for (text, mask) in [
        ("0x41\n", left("41")),
        ("\n", left("0")),
        ("0x\n", left("0")),
        ("+0-15,+32,-128,-0xFF\n", left("ffff000080")),
        ("0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", ALL.to_owned()),
        ("-5-7\n", format!("0xf8{}\n", "f".repeat(62))),
        ("0\n", left("0")),
        ("+010\n", left("008")),
    ] {
        host.write("bus/ap/apmask", text);
        assert_eq!(host.read("bus/ap/apmask"), mask, "{text:?}");
    }
}

// 8, 10, 14: ap_bus.c:ap_hex2bitmap, modify_bitmap
#[test]
fn a_malformed_mask_is_einval_and_changes_nothing() {
    let host = Host::new();
    let before = host.read("bus/ap/apmask");
    let long = "f".repeat(66);
    for text in [
        "0XFF\n", &long, "+5-3\n", "+256\n", "+\n", "+ 1\n", "+1,2\n", "+1 ,+2\n", "+08\n", "0x4g", "5,6\n",
        "+1,+256",
    ] {
        assert_eq!(host.try_write("bus/ap/apmask", text), libc::EINVAL, "{text:?}");
        assert_eq!(host.try_write("bus/ap/aqmask", text), libc::EINVAL, "{text:?}");
        assert_eq!(host.read("bus/ap/apmask"), before);
        assert_eq!(host.read("bus/ap/aqmask"), ALL);
    }
}

// 17: ap_bus.c:apmask_store
#[test]
fn writing_the_mask_that_is_there_does_nothing() {
    let host = Host::new();
    let mask = host.read("bus/ap/apmask");
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    let before = host.host.uevents();
    host.write("bus/ap/apmask", &mask);
    host.write("bus/ap/apmask", "-5");
    assert_eq!(host.host.uevents(), before);
    assert!(!host.bound("vfio_ap").contains(&"05.0004".to_owned()), "nothing was probed");
}

// 18: ap_bus.c:__ap_revise_reserved, ap_send_mask_changed_uevent
#[test]
fn queues_change_hands_before_a_mask_write_returns_and_udev_is_told_last() {
    let host = Host::of(&unmasked());
    assert_eq!(host.bound("cex4queue").len(), 6);
    let before = host.host.uevents().len();
    host.write("bus/ap/apmask", "-5\n");
    assert_eq!(host.bound("vfio_ap"), ["05.0004", "05.0047"]);
    assert_eq!(host.bound("cex4queue"), ["04.0004", "04.0047", "06.0004", "06.0047"]);
    let events = host.host.uevents().split_off(before);
    let last = events.last().unwrap();
    assert_eq!((last.action, last.devpath.as_str()), ("change", "/devices/ap"));
    assert_eq!(last.environment, [format!("APMASK={}", host.read("bus/ap/apmask"))]);
    assert!(events.iter().any(|e| e.action == "unbind" && e.devpath == "/devices/ap/card05/05.0004"));
    host.write("bus/ap/aqmask", "-0x47");
    assert_eq!(host.bound("vfio_ap"), ["04.0047", "05.0004", "05.0047", "06.0047"]);
    host.write("bus/ap/apmask", "+5");
    assert_eq!(host.bound("vfio_ap"), ["04.0047", "05.0047", "06.0047"]);
}

// 18: the bus zeroizes what a driver gives up
#[test]
fn a_queue_that_changes_hands_is_zeroized() {
    let host = Host::of(&unmasked());
    host.leave_message("05.0004");
    assert_eq!(host.read("bus/ap/devices/05.0004/request_count"), "0\n");
    host.write("bus/ap/apmask", "-5\n");
    assert!(host.queue_empty("05.0004"));
    assert_eq!(host.read("bus/ap/devices/05.0004/request_count"), "-\n");
    assert_eq!(host.read("bus/ap/devices/05.0004/interrupt"), "Interrupts disabled.\n");
}

// 20, 21: ap_bus.c:apmask_commit, __verify_card_reservations
#[test]
fn since_7_0_an_adapter_of_an_mdev_is_busy_whatever_the_other_mask_says() {
    for (kernel, answer) in [("7.2", libc::EBUSY), ("7.0", libc::EBUSY), ("6.17", 0), ("6.12", 0)] {
        let host = Host::with_kernel(&HOST.replace("[ap]\n", "[ap]\naqmask = \"-4\"\n"), kernel);
        host.mdev(A, &[5], &[4]);
        assert_eq!(host.try_write("bus/ap/apmask", "+5"), answer, "{kernel}");
        if answer != 0 {
            let line = "Can not reserve queue 05.0004 for host driver: in use by mdev";
            assert!(
                host.host.log().iter().any(|l| l.contains(A) && l.contains(line)),
                "{:?}",
                host.host.log()
            );
        }
    }
}

// 22: ap_bus.c:__verify_card_reservations (6.12)
#[test]
fn a_queue_of_an_mdev_can_not_be_taken_back_by_the_masks() {
    for kernel in ["6.12", "6.17", "7.0", "7.2"] {
        let host = Host::with_kernel(HOST, kernel);
        host.mdev(A, &[5], &[4]);
        assert_eq!(host.try_write("bus/ap/apmask", "+5"), libc::EBUSY, "{kernel}");
        assert_eq!(host.try_write("bus/ap/apmask", "0xff"), libc::EBUSY, "{kernel}");
        host.write("bus/ap/apmask", "+6");
        // An adapter without a domain blocks nothing.
        host.write(&crate::fixture::attr(A, "unassign_domain"), "4");
        host.write("bus/ap/apmask", "+5");
    }
}

// ap_bus.c:apmask_commit, aqmask_commit
#[test]
fn only_bits_that_are_newly_set_are_asked_about() {
    let host = Host::new();
    host.write("bus/ap/aqmask", "-4");
    host.mdev(A, &[4], &[4]);
    host.write("bus/ap/apmask", "+6");
    host.mdev(crate::fixture::B, &[5], &[0x47]);
    host.write("bus/ap/aqmask", "-0x48");
    host.write("bus/ap/aqmask", "+0x48");
    assert_eq!(host.try_write("bus/ap/aqmask", "+4"), libc::EBUSY);
    assert_eq!(host.try_write("bus/ap/apmask", "+5"), libc::EBUSY);
}

// 24: ap_bus.c:apmask_commit
#[test]
fn clearing_bits_is_never_busy() {
    let host = Host::new();
    host.mdev(A, &[5, 6], &[4, 0x47]);
    host.write("bus/ap/apmask", "-0-255");
    host.write("bus/ap/aqmask", "-0-255");
    assert_eq!(host.bound("vfio_ap").len(), 6);
}

// 25, 26: ap_bus.c:apmask_store, ap_queue.c:driver_override_store
#[test]
fn overrides_and_changed_masks_exclude_each_other() {
    for kernel in ["7.0", "7.2"] {
        let host = Host::with_kernel(&unmasked(), kernel);
        let path = "bus/ap/devices/05.0004/driver_override";
        host.write(path, "vfio_ap\n");
        for text in ["-5", "rubbish", ALL] {
            assert_eq!(host.try_write("bus/ap/apmask", text), libc::EINVAL, "{text}");
            assert_eq!(host.try_write("bus/ap/aqmask", text), libc::EINVAL, "{text}");
        }
        host.write(path, "\n");
        host.write("bus/ap/apmask", "-5");
        assert_eq!(host.try_write(path, "vfio_ap"), libc::EINVAL);
        assert_eq!(host.try_write(path, "\n"), libc::EINVAL);
        host.write("bus/ap/apmask", "+5");
        host.write(path, "vfio_ap");
    }
}

// 28, 29: ap_queue.c:driver_override_show, driver_override_store
#[test]
fn an_override_is_shown_and_binds_nothing_anew() {
    let host = Host::of(&unmasked());
    let path = "bus/ap/devices/05.0004/driver_override";
    assert_eq!(host.read(path), "\n");
    host.write(path, "vfio_ap\njunk");
    assert_eq!(host.read(path), "vfio_ap\n");
    assert_eq!(host.bound("vfio_ap"), [""; 0]);
    assert!(host.bound("cex4queue").contains(&"05.0004".to_owned()));
    assert_eq!(host.try_write(path, &"x".repeat(4095)), libc::EINVAL);
}

#[test]
fn there_is_no_override_before_7_0() {
    for kernel in ["6.12", "6.17"] {
        let host = Host::with_kernel(&unmasked(), kernel);
        assert_eq!(host.read_errno("bus/ap/devices/05.0004/driver_override"), libc::ENOENT);
        assert!(!host.list("bus/ap/devices/05.0004").contains(&"driver_override".to_owned()));
    }
}

// 30: ap_bus.c:ap_device_probe
#[test]
fn an_override_decides_who_may_have_a_queue() {
    let host = Host::of(&unmasked());
    host.write("bus/ap/devices/05.0004/driver_override", "vfio_ap");
    host.write("bus/ap/drivers/cex4queue/unbind", "05.0004\n");
    assert_eq!(host.try_write("bus/ap/drivers/cex4queue/bind", "05.0004"), libc::ENODEV);
    host.write("bus/ap/drivers_probe", "05.0004\n");
    assert_eq!(host.bound("vfio_ap"), ["05.0004"]);
    host.write("bus/ap/devices/05.0047/driver_override", "nobody");
    host.write("bus/ap/drivers/cex4queue/unbind", "05.0047");
    host.write("bus/ap/drivers_probe", "05.0047");
    assert_eq!(host.read("bus/ap/bindings"), "5/6\n");
}

// A leak of the kernel's: ap_queue.c
#[test]
fn an_override_of_a_queue_that_went_away_locks_the_masks_for_good() {
    let host = Host::of(&unmasked());
    host.write("bus/ap/devices/05.0047/driver_override", "vfio_ap");
    host.set_usage_domains(&[4]);
    host.write("bus/ap/scans", "1");
    assert_eq!(host.try_write("bus/ap/apmask", "-5"), libc::EINVAL);
}

// 32: ap_bus.c:ap_device_probe
#[test]
fn vfio_ap_can_not_have_what_the_masks_reserve_nor_the_host_the_rest() {
    let host = Host::new();
    host.write("bus/ap/drivers/cex4queue/unbind", "04.0004");
    assert_eq!(host.try_write("bus/ap/drivers/vfio_ap/bind", "04.0004"), libc::ENODEV);
    host.write("bus/ap/drivers/cex4queue/bind", "04.0004");
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    assert_eq!(host.try_write("bus/ap/drivers/cex4queue/bind", "05.0004"), libc::ENODEV);
    host.write("bus/ap/drivers/vfio_ap/bind", "05.0004");
}

// 33, 34: drivers/base/dd.c:__driver_probe_device, drivers/base/bus.c:unbind_store
#[test]
fn binding_twice_is_ebusy_and_unbinding_what_is_not_bound_there_is_enodev() {
    let host = Host::new();
    assert_eq!(host.try_write("bus/ap/drivers/vfio_ap/bind", "05.0004"), libc::EBUSY);
    assert_eq!(host.try_write("bus/ap/drivers/cex4queue/bind", "05.0004"), libc::EBUSY);
    for (driver, device) in [
        ("cex4queue", "05.0004"),
        ("vfio_ap", "07.0004"),
        ("vfio_ap", "5.4"),
        ("vfio_ap", ""),
        ("cex4card", "05.0004"),
    ] {
        let device = format!("{device}\n");
        assert_eq!(
            host.try_write(&format!("bus/ap/drivers/{driver}/unbind"), &device),
            libc::ENODEV,
            "{device}"
        );
    }
    assert_eq!(host.try_write("bus/ap/drivers/vfio_ap/bind", "07.0004"), libc::ENODEV);
    assert_eq!(host.try_write("bus/ap/drivers/vfio_ap/bind", "card05"), libc::ENODEV);
    assert_eq!(host.try_write("bus/ap/drivers_probe", "07.0004"), libc::ENODEV);
    host.write("bus/ap/drivers_probe", "05.0004");
}

#[test]
fn a_card_can_be_taken_from_its_driver_and_given_back() {
    let host = Host::new();
    host.write("bus/ap/drivers/cex4card/unbind", "card05");
    assert_eq!(host.read_errno("bus/ap/devices/card05/type"), libc::ENOENT);
    assert_eq!(host.read("bus/ap/devices/card05/hwtype"), "14\n");
    assert_eq!(host.try_write("bus/ap/drivers/cex4card/unbind", "card05"), libc::ENODEV);
    host.write("bus/ap/drivers/cex4card/bind", "card05\n");
    assert_eq!(host.read("bus/ap/devices/card05/type"), "CEX8P\n");
    assert_eq!(host.try_write("bus/ap/drivers/cex4card/bind", "card05\n"), libc::EBUSY);
}

// 36, 37, 38, 46: ap_bus.c:ap_init_qci_info, ap_adapter_mask_show, features_show
#[test]
fn the_bus_says_what_qci_says() {
    let host = Host::new();
    assert_eq!(host.read("bus/ap/ap_max_adapter_id"), "63\n");
    assert_eq!(host.read("bus/ap/ap_max_domain_id"), "84\n");
    assert_eq!(host.read("bus/ap/ap_adapter_mask"), left("0e"));
    assert_eq!(host.read("bus/ap/ap_usage_domain_mask"), left("080000000000000001"));
    assert_eq!(host.read("bus/ap/ap_control_domain_mask"), left("0c0000000000000001"));
    assert_eq!(host.read("bus/ap/features"), "APSC APXA QACT\n");
    assert_eq!(host.read("bus/ap/ap_interrupts"), "1\n");

    let plain = "[ap]\nfeatures = [\"APSC\"]\nusage_domains = [4]\n[[ap.card]]\nid = 5\ntype = \"CEX4C\"\n";
    let host = Host::of(plain);
    assert_eq!(host.read("bus/ap/ap_max_adapter_id"), "63\n");
    assert_eq!(host.read("bus/ap/ap_max_domain_id"), "15\n");
    assert_eq!(host.read("bus/ap/features"), "APSC\n");

    let host = Host::of(&plain.replace("\"APSC\"", ""));
    assert_eq!(host.read("bus/ap/features"), "-\n");
    for mask in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
        assert_eq!(host.read(&format!("bus/ap/{mask}")), "not supported\n");
    }
    assert_eq!(host.bound("cex4queue"), ["05.0004"], "without QCI all ids are tried");
}

// 40: ap_bus.c:config_time_store
#[test]
fn config_time_is_5_to_120_seconds() {
    let host = Host::new();
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
#[test]
fn the_default_domain_must_be_the_hosts() {
    let host = Host::new();
    assert_eq!(host.read("bus/ap/ap_domain"), "4\n");
    host.write("bus/ap/ap_domain", "0x47junk");
    assert_eq!(host.read("bus/ap/ap_domain"), "71\n");
    host.write("bus/ap/aqmask", "-4");
    for text in ["4", "85", "-1", "256", "x"] {
        assert_eq!(host.try_write("bus/ap/ap_domain", text), libc::EINVAL, "{text}");
    }
    assert_eq!(Host::of("[ap]\n").read("bus/ap/ap_domain"), "-1\n");
}

// 42: ap_bus.c:poll_timeout_store
#[test]
fn polling_is_at_most_every_two_minutes_and_not_needed_with_interruptions() {
    let host = Host::new();
    assert_eq!(host.read("bus/ap/poll_timeout"), "250000\n");
    assert_eq!(host.try_write("bus/ap/poll_timeout", "120000000001"), libc::EINVAL);
    host.write("bus/ap/poll_timeout", "120000000000");
    assert_eq!(host.try_write("bus/ap/poll_thread", "2"), libc::EINVAL);
    host.write("bus/ap/poll_thread", "1");
    assert_eq!(host.read("bus/ap/poll_thread"), "0\n");
}

// 44: ap_bus.c:scans_store, ap_bus_force_rescan
#[test]
fn writing_to_scans_scans() {
    let host = Host::new();
    assert_eq!(host.read("bus/ap/scans"), "1\n");
    host.set_usage_domains(&[4, 0x47, 0x48]);
    assert_eq!(host.read_errno("bus/ap/devices/05.0048/config"), libc::ENOENT);
    host.write("bus/ap/scans", "whatever");
    assert_eq!(host.read("bus/ap/scans"), "2\n");
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

// 45: ap_bus.c:bindings_show
#[test]
fn bindings_count_queues_that_have_a_driver() {
    let host = Host::new();
    assert_eq!(host.read("bus/ap/bindings"), "6/6 (complete)\n");
    let count = |host: &Host| host.read("bus/ap/bindings_complete_count").trim().parse::<u64>().unwrap();
    let before = count(&host);
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    assert_eq!(host.read("bus/ap/bindings"), "5/6\n");
    let events = host.uevents(|| host.write("bus/ap/drivers/vfio_ap/bind", "05.0004"));
    assert_eq!(host.read("bus/ap/bindings"), "6/6 (complete)\n");
    assert_eq!((events.len(), count(&host)), (0, before), "nobody looks until the next scan");
    let complete = ["BINDINGS=complete".to_owned(), format!("COMPLETECOUNT={}", before + 1)];
    let events = host.uevents(|| host.write("bus/ap/scans", "1"));
    assert_eq!(events.iter().map(|event| &event.environment[..]).collect::<Vec<_>>(), [&complete[..]]);
    assert_eq!(count(&host), before + 1);
    let events = host.uevents(|| host.write("bus/ap/scans", "1"));
    assert_eq!((events.len(), count(&host)), (0, before + 1), "that is no news");
}

// ap_bus.c:ap_scan_bus, ap_device_probe
#[test]
fn complete_bindings_are_news_after_a_probe_or_when_the_host_was_given_something() {
    let told = |host: &Host, act: &dyn Fn()| {
        host.write("bus/ap/scans", "1");
        act();
        let events = host.uevents(|| host.write("bus/ap/scans", "1"));
        events.iter().any(|event| event.environment.iter().any(|text| text == "BINDINGS=complete"))
    };
    let host = Host::new();
    assert!(!told(&host, &|| host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004")), "not complete");
    host.write("bus/ap/drivers/vfio_ap/bind", "05.0004");
    assert!(!told(&host, &|| host.configure(5, false)));
    assert!(told(&host, &|| {
        host.write("bus/ap/drivers/cex4card/unbind", "card05");
        host.write("bus/ap/drivers/cex4card/bind", "card05");
    }));
    assert!(told(&host, &|| host.set_usage_domains(&[4, 0x47, 0x48])));
    assert!(!told(&host, &|| host.set_usage_domains(&[4])));
    // A domain that no adapter has a queue of.
    for apid in 4..=6 {
        host.host.adapters().operate(|machine| {
            machine.cards.get_mut(&Apid(apid)).unwrap().missing =
                [0x50].into_iter().map(Into::into).collect();
        });
    }
    assert!(told(&host, &|| host.set_usage_domains(&[4, 0x50])), "nothing was probed");
}

#[test]
fn the_first_scan_is_announced() {
    let events = Host::of(&unmasked()).host.uevents();
    let texts: Vec<String> =
        events.iter().map(|e| format!("{} {} {}", e.action, e.devpath, e.environment.join(" "))).collect();
    for expected in [
        "add /devices/ap/card05 DEV_TYPE=000E MODALIAS=ap:t0E MODE=ep11",
        "add /devices/ap/card05/05.0047 MODE=ep11",
        "add /devices/ap/card04/04.0004 MODE=accel",
        "change /devices/ap INITSCAN=done",
        "change /devices/ap BINDINGS=complete COMPLETECOUNT=1",
    ] {
        assert_eq!(texts.iter().filter(|text| *text == expected).count(), 1, "{expected}: {texts:#?}");
    }
}

// 48, 49: ap_bus.c:ap_scan_domains, ap_scan_adapter
#[test]
fn devices_go_with_their_domain_or_their_adapter() {
    let host = Host::new();
    host.set_usage_domains(&[4]);
    host.write("bus/ap/scans", "1");
    assert_eq!(host.list("devices/ap"), ["card04", "card05", "card06"]);
    assert_eq!(host.bound("vfio_ap"), ["05.0004", "06.0004"]);
    host.host.adapters().operate(|machine| machine.cards.remove(&Apid(5)));
    let events = host.uevents(|| host.write("bus/ap/scans", "1"));
    assert_eq!(host.list("devices/ap"), ["card04", "card06"]);
    assert_eq!(host.list("bus/ap/devices"), ["04.0004", "06.0004", "card04", "card06"]);
    let gone: Vec<&str> =
        events.iter().filter(|e| e.action == "remove").map(|e| e.devpath.as_str()).collect();
    assert_eq!(gone, ["/devices/ap/card05/05.0004", "/devices/ap/card05"]);
}

#[test]
fn a_card_without_any_usable_domain_is_not_there() {
    let host = Host::new();
    host.set_usage_domains(&[]);
    host.write("bus/ap/scans", "1");
    assert_eq!(host.list("devices/ap"), [""; 0]);
    let missing = HOST.replacen("id = 4\n", "id = 4\nmissing_queues = [4, 0x47]\n", 1);
    assert_eq!(Host::of(&missing).list("devices/ap"), ["card05", "card06"]);
    let missing = HOST.replacen("id = 4\n", "id = 4\nmissing_queues = [4]\n", 1);
    assert_eq!(Host::of(&missing).bound("cex4queue"), ["04.0047"]);
}

// 50: ap_bus.c:ap_scan_domains
#[test]
fn what_is_configured_off_or_checkstopped_stays_and_says_so() {
    let host = Host::new();
    host.write("bus/ap/scans", "1");
    host.configure(5, false);
    let events = host.uevents(|| host.write("bus/ap/scans", "1"));
    for device in ["card05", "05.0004"] {
        assert_eq!(host.read(&format!("bus/ap/devices/{device}/config")), "0\n");
    }
    let told: Vec<_> = events.iter().map(|e| (e.devpath.as_str(), e.environment[0].as_str())).collect();
    assert_eq!(
        told,
        [
            ("/devices/ap/card05", "CONFIG=0"),
            ("/devices/ap/card05/05.0004", "CONFIG=0"),
            ("/devices/ap/card05/05.0047", "CONFIG=0")
        ]
    );
    assert_eq!(host.read("bus/ap/devices/card05/online"), "0\n");
    host.configure(5, true);
    host.host.adapters().operate(|machine| machine.cards.get_mut(&Apid(4)).unwrap().checkstopped = true);
    host.write("bus/ap/scans", "1");
    assert_eq!(host.read("bus/ap/devices/card05/config"), "1\n");
    assert_eq!(host.read("bus/ap/devices/card04/chkstop"), "1\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/chkstop"), "1\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/online"), "0\n");
}

// ap_bus.c:ap_scan_domains, ap_queue.c:_ap_queue_init_state
#[test]
fn a_queue_that_comes_back_is_reset_by_the_bus_also_when_a_guest_uses_it() {
    type Act = fn(&Host, bool);
    let config: Act = |host, on| host.configure(5, on);
    let checkstop: Act = |host, on| {
        host.host.adapters().operate(|machine| machine.cards.get_mut(&Apid(5)).unwrap().checkstopped = !on);
    };
    for set in [config, checkstop] {
        let host = Host::new();
        // The bus has initiated queues that are new, and those of vfio_ap that once were the host's no more.
        host.set_usage_domains(&[4, 0x47, 0x48]);
        host.write("bus/ap/scans", "1");
        host.mdev(A, &[5], &[4, 0x48]);
        let _guest = host.open(A);
        assert_eq!(host.read("bus/ap/devices/05.0048/request_count"), "0\n");
        assert_eq!(host.read("bus/ap/devices/05.0004/request_count"), "-\n");
        for apqn in ["05.0004", "05.0048"] {
            assert!(host.host.adapters().reset(queue(apqn)).code() == 0);
            host.leave_message(apqn);
        }
        set(&host, false);
        host.write("bus/ap/scans", "1");
        set(&host, true);
        assert!(!host.queue_empty("05.0048"));
        host.write("bus/ap/scans", "1");
        assert!(host.queue_empty("05.0048"));
        assert_eq!(host.read("bus/ap/devices/05.0048/interrupt"), "Interrupts enabled.\n");
        assert!(!host.queue_empty("05.0004"));
        assert_eq!(host.read("bus/ap/devices/05.0004/interrupt"), "Interrupts disabled.\n");
    }
}

// ap_bus.c:ap_scan_domains
#[test]
fn a_new_queue_that_does_not_work_is_not_initiated_unless_its_driver_does_it() {
    let host = Host::new();
    host.configure(4, false);
    host.configure(5, false);
    host.host.adapters().operate(|machine| machine.cards.get_mut(&Apid(6)).unwrap().checkstopped = true);
    host.set_usage_domains(&[4, 0x47, 0x48]);
    host.write("bus/ap/scans", "1");
    for (apqn, count) in [("04.0048", "0\n"), ("05.0048", "-\n"), ("06.0048", "-\n")] {
        assert_eq!(host.read(&format!("bus/ap/devices/{apqn}/request_count")), count, "{apqn}");
    }
    host.configure(5, true);
    host.write("bus/ap/scans", "1");
    assert_eq!(host.read("bus/ap/devices/05.0048/config"), "1\n");
    assert_eq!(host.read("bus/ap/devices/05.0048/request_count"), "-\n");
}

// 52: ap_bus.c:ap_get_compatible_type
#[test]
fn old_adapters_are_not_driven_and_new_ones_only_as_what_they_can_stand_for() {
    let host = Host::new();
    let card = Card { hardware_type: 9, ..Card::new("CEX4C".parse().unwrap()) };
    let new = Card { hardware_type: 15, ..Card::new("CEX8C".parse().unwrap()) };
    host.host.adapters().operate(|machine| {
        machine.cards.insert(Apid(9), card);
        machine.cards.insert(Apid(15), new.clone());
    });
    host.write("bus/ap/scans", "1");
    assert_eq!(host.list("devices/ap"), ["card04", "card05", "card06", "card0f"]);
    assert_eq!(host.read("bus/ap/devices/card0f/hwtype"), "14\n");
    assert_eq!(host.read("bus/ap/devices/card0f/raw_hwtype"), "15\n");

    let host = Host::of(&HOST.replace(", \"QACT\"", ""));
    host.host.adapters().operate(|machine| machine.cards.insert(Apid(15), new));
    host.write("bus/ap/scans", "1");
    assert_eq!(host.list("devices/ap"), ["card04", "card05", "card06"]);
}

#[test]
fn an_adapter_of_another_type_is_another_device() {
    let host = Host::new();
    host.host
        .adapters()
        .operate(|machine| machine.cards.insert(Apid(5), Card::new("CEX8A".parse().unwrap())));
    let events = host.uevents(|| host.write("bus/ap/scans", "1"));
    let actions: Vec<&str> = events.iter().map(|event| event.action).collect();
    assert_eq!(&actions[..3], ["remove", "remove", "remove"]);
    assert_eq!(host.read("bus/ap/devices/card05/type"), "CEX8A\n");
    assert!(host.bound("vfio_ap").contains(&"05.0004".to_owned()));
}

// 53, 54: ap_card.c, zcrypt_cex4.c:zcrypt_cex4_card_probe
#[test]
fn a_card_says_what_it_is() {
    let host = Host::new();
    let read = |card: &str, attribute: &str| host.read(&format!("devices/ap/{card}/{attribute}"));
    for (attribute, text) in [
        ("hwtype", "14\n"),
        ("raw_hwtype", "14\n"),
        ("depth", "8\n"),
        ("ap_functions", "0x86000000\n"),
        ("modalias", "ap:t0E\n"),
        ("max_msg_size", "12288\n"),
        ("config", "1\n"),
        ("chkstop", "0\n"),
        ("online", "1\n"),
        ("request_count", "0\n"),
        ("type", "CEX8P\n"),
    ] {
        assert_eq!(read("card05", attribute), text, "{attribute}");
    }
    assert_eq!(read("card06", "type"), "CEX8C\n");
    assert_eq!(read("card04", "type"), "CEX8A\n");
    assert_eq!(host.read("devices/ap/card05/05.0004/ap_functions"), "0x86000000\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/interrupt"), "Interrupts enabled.\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/reset"), "No Reset Timer set.\n");
}

// 56: zcrypt_card.c:online_store
#[test]
fn a_card_can_be_put_offline_and_online_unless_it_is_configured_off() {
    let host = Host::new();
    for text in ["2", "x", "-1"] {
        assert_eq!(host.try_write("devices/ap/card04/online", text), libc::EINVAL);
    }
    host.write("devices/ap/card04/online", "0");
    assert_eq!(host.read("devices/ap/card04/online"), "0\n");
    assert_eq!(host.read("devices/ap/card04/04.0004/online"), "0\n");
    assert_eq!(host.try_write("devices/ap/card04/04.0004/online", "1"), libc::EINVAL);
    host.write("devices/ap/card04/online", "1");
    assert_eq!(host.read("devices/ap/card04/04.0047/online"), "1\n");
    host.write("devices/ap/card04/config", "0");
    assert_eq!(host.try_write("devices/ap/card04/online", "1"), libc::ENODEV);
    assert_eq!(host.try_write("devices/ap/card04/config", "2"), libc::EINVAL);
}

#[test]
fn config_switches_the_adapter_itself_and_always_tells_udev() {
    let host = Host::new();
    let events = host.uevents(|| host.write("devices/ap/card05/config", "0"));
    assert_eq!(events[0].environment, ["CONFIG=0"]);
    assert_eq!(host.host.adapters().test(queue("05.0004")).status.code(), 3);
    assert_eq!(host.read("bus/ap/ap_adapter_mask"), left("0e"), "QCI does not change");
    let events = host.uevents(|| host.write("devices/ap/card05/config", "0"));
    assert_eq!(events.len(), 1);
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

// drivers/base/bus.c: drivers_autoprobe
#[test]
fn new_devices_stay_without_driver_while_nobody_is_asked() {
    let host = Host::new();
    host.write("bus/ap/drivers_autoprobe", "0");
    host.set_usage_domains(&[4, 0x47, 0x48]);
    host.write("bus/ap/scans", "1");
    assert_eq!(host.read("bus/ap/bindings"), "6/9\n");
    host.write("bus/ap/drivers_autoprobe", "1");
    host.write("bus/ap/drivers_probe", "04.0048");
    assert_eq!(host.read("bus/ap/bindings"), "7/9\n");
}

#[test]
fn a_device_shows_and_repeats_its_uevent() {
    let host = Host::new();
    assert_eq!(
        host.read("bus/ap/devices/card05/uevent"),
        "DRIVER=cex4card\nDEV_TYPE=000E\nMODALIAS=ap:t0E\nMODE=ep11\n"
    );
    assert_eq!(host.read("bus/ap/devices/05.0004/uevent"), "DRIVER=vfio_ap\nMODE=ep11\n");
    let events = host.uevents(|| host.write("bus/ap/devices/card05/uevent", "change\n"));
    assert_eq!((events[0].action, events[0].devpath.as_str()), ("change", "/devices/ap/card05"));
    assert_eq!(host.try_write("bus/ap/devices/card05/uevent", "rubbish"), libc::EINVAL);
}
