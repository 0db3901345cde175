//! The AP bus: masks, bindings, scans, cards and queues.

use crate::fixture::{A, B, HOST, Host, Order, Place, attr, on_every_host, queue, unmasked};
use adjunct_simulator::{EventInformation, HostFile, KernelProfile, SimHost};
use std::time::Duration;

on_every_host! {
    masks_are_written_as_a_whole_or_changed_bit_by_bit
    masks_are_read_letter_by_letter_as_the_kernels_parser_does
    a_malformed_mask_is_einval_and_changes_nothing
    writing_the_mask_that_is_there_does_nothing
    queues_change_hands_before_a_mask_write_returns_and_udev_is_told_last
    a_queue_that_changes_hands_is_zeroized
    since_7_0_an_adapter_of_an_mdev_is_busy_whatever_the_other_mask_says
    a_queue_of_an_mdev_can_not_be_taken_back_by_the_masks
    only_bits_that_are_newly_set_are_asked_about
    clearing_bits_is_never_busy
    overrides_and_changed_masks_exclude_each_other
    an_override_is_shown_and_binds_nothing_anew
    an_override_decides_who_may_have_a_queue
    vfio_ap_can_not_have_what_the_masks_reserve_nor_the_host_the_rest
    binding_twice_is_ebusy_and_unbinding_what_is_not_bound_there_is_enodev
    a_card_can_be_taken_from_its_driver_and_given_back
    the_bus_says_what_qci_says
    config_time_is_5_to_120_seconds
    the_default_domain_must_be_the_hosts
    polling_is_at_most_every_two_minutes_and_not_needed_with_interruptions
    writing_to_scans_scans
    bindings_count_queues_that_have_a_driver
    complete_bindings_are_news_after_a_probe_or_when_the_host_was_given_something
    devices_go_with_their_domain_or_their_adapter
    a_card_without_any_usable_domain_is_not_there
    what_is_configured_off_or_checkstopped_stays_and_says_so
    a_queue_that_comes_back_is_reset_by_the_bus_also_when_a_guest_uses_it
    a_new_queue_that_does_not_work_is_not_initiated_unless_its_driver_does_it
    old_adapters_are_not_driven_and_new_ones_only_as_what_they_can_stand_for
    an_adapter_of_another_type_is_another_device
    a_card_says_what_it_is
    a_card_can_be_put_offline_and_online_unless_it_is_configured_off
    config_tells_udev_also_when_it_changes_nothing
    new_devices_stay_without_driver_while_nobody_is_asked
    a_device_shows_and_repeats_its_uevent
    a_queue_without_driver_is_probed_only_when_the_masks_reserve_it
    a_queue_that_its_driver_gives_up_is_zeroized
    what_comes_is_told_with_its_type_and_use
    going_online_or_offline_is_told_of_the_card_and_its_queues
    poll_timeout_is_a_number_in_any_base
    a_reset_is_asked_for_by_writing_anything_and_only_of_a_queue_that_the_bus_works_with
}

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
fn masks_are_written_as_a_whole_or_changed_bit_by_bit(host: &Place) {
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
        for name in ["bus/ap/apmask", "bus/ap/aqmask"] {
            host.write(name, text);
            assert_eq!(host.read(name), mask, "{text:?}");
        }
    }
}

// 6, 8, 9, 10, 12, 13, 14, 16: ap_bus.c:ap_hex2bitmap, modify_bitmap
fn masks_are_read_letter_by_letter_as_the_kernels_parser_does(host: &Place) {
    // What the kernel's own functions answered when they were compiled and run: hexadecimal digits, "" for EINVAL. A
    // relative text is applied to all ones when it begins by taking away, else to zeros.
    const ALL_BUT_5_6: &str = "f9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    for (text, mask) in [
        ("0xffff\n", "ffff"),
        ("ffff\n", "ffff"),
        ("xff\n", "ff"),
        ("0X41\n", ""),
        ("41", "41"),
        ("0x0\n", "0"),
        ("0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n", ""),
        ("0x4 1\n", ""),
        ("0x41\n\n", ""),
        ("0x4g\n", ""),
        ("f\n", "f"),
        ("00x41\n", ""),
        ("+0\n", "8"),
        ("-5,-6\n", ALL_BUT_5_6),
        ("-5-7", "f8ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        ("-0-255\n", "0"),
        ("+1,+2,\n", "6"),
        ("+1,,+2\n", "6"),
        ("+1+2\n", "6"),
        ("+1-\n", ""),
        ("-\n", ""),
        ("+0x47,-0xf0\n", "000000000000000001"),
        ("+1\n+2\n", "6"),
        // 2^64 + 1: since 7.1 numbers have an end.
        ("+18446744073709551617\n", if host.kernel > KernelProfile::V7_0 { "" } else { "4" }),
        ("-255,+255-255", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    ] {
        let start = if text.starts_with('-') { ALL.to_owned() } else { left("0") };
        host.write("bus/ap/aqmask", start.trim_end());
        let errno = if mask.is_empty() { libc::EINVAL } else { 0 };
        assert_eq!(host.try_write("bus/ap/aqmask", text), errno, "{text:?}");
        let mask = if mask.is_empty() { start } else { left(mask) };
        assert_eq!(host.read("bus/ap/aqmask"), mask, "{text:?}");
    }
}

// 8, 10, 14: ap_bus.c:ap_hex2bitmap, modify_bitmap
fn a_malformed_mask_is_einval_and_changes_nothing(host: &Place) {
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
fn writing_the_mask_that_is_there_does_nothing(host: &Place) {
    let mask = host.read("bus/ap/apmask");
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    let before = host.beyond.told();
    host.write("bus/ap/apmask", &mask);
    host.write("bus/ap/apmask", "-5");
    assert_eq!(host.beyond.told(), before);
    assert!(!host.bound("vfio_ap").contains(&"05.0004".to_owned()), "nothing was probed");
}

// 18: ap_bus.c:__ap_revise_reserved, ap_send_mask_changed_uevent
fn queues_change_hands_before_a_mask_write_returns_and_udev_is_told_last(host: &Place) {
    host.unmask();
    assert_eq!(host.bound("cex4queue").len(), 6);
    let before = host.beyond.told().len();
    host.write("bus/ap/apmask", "-5\n");
    assert_eq!(host.bound("vfio_ap"), ["05.0004", "05.0047"]);
    assert_eq!(host.bound("cex4queue"), ["04.0004", "04.0047", "06.0004", "06.0047"]);
    let told = host.beyond.told().split_off(before);
    // With the newline of the file.
    let mask = format!("APMASK={}", host.read("bus/ap/apmask"));
    assert!(told.last().unwrap().says("change", "/devices/ap", &mask), "{told:?}");
    assert!(told.iter().any(|news| news.says("unbind", "/devices/ap/card05/05.0004", "")), "{told:?}");
    assert!(
        told.iter().any(|news| news.says("bind", "/devices/ap/card05/05.0004", "DRIVER=vfio_ap")),
        "{told:?}"
    );
    host.write("bus/ap/aqmask", "-0x47");
    assert_eq!(host.bound("vfio_ap"), ["04.0047", "05.0004", "05.0047", "06.0047"]);
    host.write("bus/ap/apmask", "+5");
    assert_eq!(host.bound("vfio_ap"), ["04.0047", "05.0047", "06.0047"]);
}

// 18: the bus zeroizes what a driver gives up
fn a_queue_that_changes_hands_is_zeroized(host: &Place) {
    host.unmask();
    host.leave_message("05.0004");
    assert_eq!(host.read("bus/ap/devices/05.0004/request_count"), "0\n");
    host.write("bus/ap/apmask", "-5\n");
    assert!(host.queue_empty("05.0004"));
    assert_eq!(host.read("bus/ap/devices/05.0004/request_count"), "-\n");
    assert_eq!(host.read("bus/ap/devices/05.0004/interrupt"), "Interrupts disabled.\n");
}

// 20, 21: ap_bus.c:apmask_commit, __verify_card_reservations
fn since_7_0_an_adapter_of_an_mdev_is_busy_whatever_the_other_mask_says(host: &Place) {
    host.write("bus/ap/aqmask", "-4");
    host.mdev(A, &[5], &[4]);
    let any = host.kernel >= KernelProfile::V7_0;
    assert_eq!(host.try_write("bus/ap/apmask", "+5"), if any { libc::EBUSY } else { 0 });
    if any {
        let line = "Can not reserve queue 05.0004 for host driver: in use by mdev";
        assert!(host.logged(&[A, line]), "{:?}", host.beyond.log());
    }
}

// 22: ap_bus.c:__verify_card_reservations (6.12)
fn a_queue_of_an_mdev_can_not_be_taken_back_by_the_masks(host: &Place) {
    host.mdev(A, &[5], &[4]);
    assert_eq!(host.try_write("bus/ap/apmask", "+5"), libc::EBUSY);
    assert_eq!(host.try_write("bus/ap/apmask", "0xff"), libc::EBUSY);
    host.write("bus/ap/apmask", "+6");
    // An adapter without a domain blocks nothing.
    host.write(&attr(A, "unassign_domain"), "4");
    host.write("bus/ap/apmask", "+5");
}

// ap_bus.c:apmask_commit, aqmask_commit
fn only_bits_that_are_newly_set_are_asked_about(host: &Place) {
    host.write("bus/ap/aqmask", "-4");
    host.mdev(A, &[4], &[4]);
    host.write("bus/ap/apmask", "+6");
    host.mdev(B, &[5], &[0x47]);
    host.write("bus/ap/aqmask", "-0x48");
    host.write("bus/ap/aqmask", "+0x48");
    assert_eq!(host.try_write("bus/ap/aqmask", "+4"), libc::EBUSY);
    assert_eq!(host.try_write("bus/ap/apmask", "+5"), libc::EBUSY);
}

// 24: ap_bus.c:apmask_commit
fn clearing_bits_is_never_busy(host: &Place) {
    host.mdev(A, &[5, 6], &[4, 0x47]);
    host.write("bus/ap/apmask", "-0-255");
    host.write("bus/ap/aqmask", "-0-255");
    assert_eq!(host.bound("vfio_ap").len(), 6);
}

// 25, 26: ap_bus.c:apmask_store, ap_queue.c:driver_override_store
fn overrides_and_changed_masks_exclude_each_other(host: &Place) {
    let path = "bus/ap/devices/05.0004/driver_override";
    if has_no_override(host) {
        return;
    }
    host.unmask();
    host.write(path, "vfio_ap\n");
    for text in ["-5", "rubbish", ALL] {
        assert_eq!(host.try_write("bus/ap/apmask", text), libc::EINVAL, "{text}");
        assert_eq!(host.try_write("bus/ap/aqmask", text), libc::EINVAL, "{text}");
    }
    // Another one's, and this one's again, are counted.
    host.write("bus/ap/devices/05.0047/driver_override", "vfio_ap");
    host.write("bus/ap/devices/05.0047/driver_override", "cex4queue");
    host.write(path, "\n");
    assert_eq!(host.try_write("bus/ap/apmask", "-5"), libc::EINVAL);
    host.write("bus/ap/devices/05.0047/driver_override", "\n");
    host.write("bus/ap/apmask", "-5");
    assert_eq!(host.try_write(path, "vfio_ap"), libc::EINVAL);
    assert_eq!(host.try_write(path, "\n"), libc::EINVAL);
    host.write("bus/ap/apmask", "+5");
    host.write("bus/ap/aqmask", "-200");
    assert_eq!(host.try_write(path, "vfio_ap"), libc::EINVAL);
    host.write("bus/ap/aqmask", "+200");
    host.write(path, "vfio_ap");
}

/// Kernels before 7.0 have no `driver_override`.
fn has_no_override(host: &Place) -> bool {
    let listed = host.list("bus/ap/devices/05.0004").contains(&"driver_override".to_owned());
    assert_eq!(listed, host.kernel.has_driver_override());
    if !listed {
        assert_eq!(host.read_errno("bus/ap/devices/05.0004/driver_override"), libc::ENOENT);
    }
    !listed
}

// 28, 29: ap_queue.c:driver_override_show, driver_override_store
fn an_override_is_shown_and_binds_nothing_anew(host: &Place) {
    if has_no_override(host) {
        return;
    }
    host.unmask();
    let path = "bus/ap/devices/05.0004/driver_override";
    assert_eq!(host.read(path), "\n");
    host.write(path, "vfio_ap\njunk");
    assert_eq!(host.read(path), "vfio_ap\n");
    assert_eq!(host.bound("vfio_ap"), [""; 0]);
    assert!(host.bound("cex4queue").contains(&"05.0004".to_owned()));
    assert_eq!(host.try_write(path, &"x".repeat(4095)), libc::EINVAL);
    assert_eq!(host.read(path), "vfio_ap\n");
    assert_eq!(host.read_errno("bus/ap/devices/card05/driver_override"), libc::ENOENT, "not of cards");
}

// 30: ap_bus.c:ap_device_probe
fn an_override_decides_who_may_have_a_queue(host: &Place) {
    if has_no_override(host) {
        return;
    }
    host.unmask();
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
fn vfio_ap_can_not_have_what_the_masks_reserve_nor_the_host_the_rest(host: &Place) {
    host.write("bus/ap/drivers/cex4queue/unbind", "04.0004");
    assert_eq!(host.try_write("bus/ap/drivers/vfio_ap/bind", "04.0004"), libc::ENODEV);
    host.write("bus/ap/drivers/cex4queue/bind", "04.0004");
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    assert_eq!(host.try_write("bus/ap/drivers/cex4queue/bind", "05.0004"), libc::ENODEV);
    host.write("bus/ap/drivers/vfio_ap/bind", "05.0004");
}

// 33, 34: drivers/base/dd.c:__driver_probe_device, drivers/base/bus.c:unbind_store
fn binding_twice_is_ebusy_and_unbinding_what_is_not_bound_there_is_enodev(host: &Place) {
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

fn a_card_can_be_taken_from_its_driver_and_given_back(host: &Place) {
    host.write("bus/ap/drivers/cex4card/unbind", "card05");
    assert_eq!(host.read_errno("bus/ap/devices/card05/type"), libc::ENOENT);
    assert_eq!(host.read("bus/ap/devices/card05/hwtype"), "14\n");
    assert_eq!(host.try_write("bus/ap/drivers/cex4card/unbind", "card05"), libc::ENODEV);
    host.write("bus/ap/drivers/cex4card/bind", "card05\n");
    assert_eq!(host.read("bus/ap/devices/card05/type"), "CEX8P\n");
    assert_eq!(host.try_write("bus/ap/drivers/cex4card/bind", "card05\n"), libc::EBUSY);
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

// 45: ap_bus.c:bindings_show
fn bindings_count_queues_that_have_a_driver(host: &Place) {
    // What came with the last scan is told now at the latest.
    host.scan();
    assert_eq!(host.read("bus/ap/bindings"), "6/6 (complete)\n");
    let count = || {
        let path = "bus/ap/bindings_complete_count";
        if host.kernel.shows_bindings_complete_count() {
            return Some(host.number(path));
        }
        assert_eq!(host.read_errno(path), libc::ENOENT);
        None
    };
    let before = count();
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    assert_eq!(host.read("bus/ap/bindings"), "5/6\n");
    assert_eq!(told_complete(host, || host.write("bus/ap/drivers/vfio_ap/bind", "05.0004")), 0);
    assert_eq!(host.read("bus/ap/bindings"), "6/6 (complete)\n");
    assert_eq!(count(), before, "nobody looks until the next scan");
    let told = host.told(|| host.scan());
    let news = told.iter().find(|news| news.says("change", "/devices/ap", "BINDINGS=complete"));
    let counted = news.and_then(|news| {
        news.environment.iter().find_map(|entry| entry.strip_prefix("COMPLETECOUNT=")?.parse::<u64>().ok())
    });
    assert!(counted.is_some(), "{told:?}");
    if let (Some(before), Some(counted)) = (before, counted) {
        assert_eq!((counted, count()), (before + 1, Some(counted)));
    }
    assert_eq!(told_complete(host, || host.scan()), 0, "that is no news");
}

/// How often it is said that all queues have a driver.
fn told_complete(host: &Place, act: impl FnOnce()) -> usize {
    let told = host.told(act);
    told.iter().filter(|news| news.says("change", "/devices/ap", "BINDINGS=complete")).count()
}

// ap_bus.c:ap_scan_bus, ap_device_probe
fn complete_bindings_are_news_after_a_probe_or_when_the_host_was_given_something(host: &Place) {
    let told = |act: &dyn Fn()| {
        host.scan();
        act();
        told_complete(host, || host.scan()) != 0
    };
    assert!(!told(&|| host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004")), "not complete");
    host.write("bus/ap/drivers/vfio_ap/bind", "05.0004");
    assert!(!told(&|| host.order(Order::Configure(5, false))));
    assert!(told(&|| {
        host.write("bus/ap/drivers/cex4card/unbind", "card05");
        host.write("bus/ap/drivers/cex4card/bind", "card05");
    }));
    assert!(told(&|| host.order(Order::UsageDomain(0x48, true))));
    assert!(!told(&|| {
        host.order(Order::UsageDomain(0x47, false));
        host.order(Order::UsageDomain(0x48, false));
    }));
    // A domain that no adapter has a queue of.
    (4..=6).for_each(|apid| host.order(Order::Queue(apid, 0x50, false)));
    assert!(told(&|| host.order(Order::UsageDomain(0x50, true))), "nothing was probed");
}

#[test]
fn the_first_scan_is_announced() {
    let events = Host::of(&unmasked()).host.uevents();
    let texts: Vec<String> =
        events.iter().map(|e| format!("{} {} {}", e.action, e.devpath, e.environment.join(" "))).collect();
    for expected in [
        "add /devices/ap/card05 DEVTYPE=ap_card DEV_TYPE=000E MODALIAS=ap:t0E MODE=ep11",
        "add /devices/ap/card05/05.0047 DEVTYPE=ap_queue MODE=ep11",
        "add /devices/ap/card04/04.0004 DEVTYPE=ap_queue MODE=accel",
        "change /devices/ap INITSCAN=done",
        "change /devices/ap BINDINGS=complete COMPLETECOUNT=1",
    ] {
        assert_eq!(texts.iter().filter(|text| *text == expected).count(), 1, "{expected}: {texts:#?}");
    }
}

// 48, 49: ap_bus.c:ap_scan_domains, ap_scan_adapter
fn devices_go_with_their_domain_or_their_adapter(host: &Place) {
    host.order_and_scan(Order::UsageDomain(0x47, false));
    assert_eq!(host.cards(), ["card04", "card05", "card06"]);
    assert_eq!(host.bound("vfio_ap"), ["05.0004", "06.0004"]);
    host.order(Order::RemoveCard(5));
    let told = host.told(|| host.scan());
    assert_eq!(host.cards(), ["card04", "card06"]);
    assert_eq!(host.list("bus/ap/devices"), ["04.0004", "06.0004", "card04", "card06"]);
    let gone: Vec<&str> =
        told.iter().filter(|news| news.action == "remove").map(|news| news.devpath.as_str()).collect();
    assert_eq!(gone, ["/devices/ap/card05/05.0004", "/devices/ap/card05"]);
}

fn a_card_without_any_usable_domain_is_not_there(host: &Place) {
    host.order(Order::Queue(4, 4, false));
    host.order_and_scan(Order::Queue(4, 0x47, false));
    assert_eq!(host.cards(), ["card05", "card06"]);
    host.order_and_scan(Order::Queue(4, 0x47, true));
    assert_eq!(host.bound("cex4queue"), ["04.0047"]);
    host.order(Order::UsageDomain(4, false));
    host.order_and_scan(Order::UsageDomain(0x47, false));
    assert_eq!(host.cards(), [""; 0]);
}

// 50: ap_bus.c:ap_scan_domains
fn what_is_configured_off_or_checkstopped_stays_and_says_so(host: &Place) {
    host.scan();
    host.order(Order::Configure(5, false));
    let told = host.told(|| host.scan());
    for device in ["card05", "05.0004"] {
        assert_eq!(host.read(&format!("bus/ap/devices/{device}/config")), "0\n");
    }
    let said: Vec<&str> = told
        .iter()
        .filter(|news| news.says("change", &news.devpath, "CONFIG=0"))
        .map(|news| &*news.devpath)
        .collect();
    assert_eq!(
        said,
        ["/devices/ap/card05", "/devices/ap/card05/05.0004", "/devices/ap/card05/05.0047"],
        "{told:?}"
    );
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(host.read("bus/ap/devices/card05/online"), "0\n");
    assert_eq!(host.read("bus/ap/ap_adapter_mask"), left("0e"), "QCI does not change");
    host.order(Order::Configure(5, true));
    host.order_and_scan(Order::Checkstop(4, true));
    assert_eq!(host.read("bus/ap/devices/card05/config"), "1\n");
    assert_eq!(host.read("bus/ap/devices/card04/chkstop"), "1\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/chkstop"), "1\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/online"), "0\n");
}

// ap_bus.c:ap_scan_domains, ap_queue.c:_ap_queue_init_state
fn a_queue_that_comes_back_is_reset_by_the_bus_also_when_a_guest_uses_it(host: &Place) {
    // The bus has initiated queues that are new, and those of vfio_ap that once were the host's no more.
    host.order_and_scan(Order::UsageDomain(0x48, true));
    host.becomes("bus/ap/devices/05.0048/interrupt", "Interrupts enabled.\n");
    host.mdev(A, &[5], &[4, 0x48]);
    let _guest = host.guest(A);
    type Act = fn(bool) -> Order<'static>;
    let acts: [Act; 2] = [|on| Order::Configure(5, on), |on| Order::Checkstop(5, !on)];
    for act in acts {
        assert_eq!(host.read("bus/ap/devices/05.0048/request_count"), "0\n");
        assert_eq!(host.read("bus/ap/devices/05.0004/request_count"), "-\n");
        let left = ["05.0004", "05.0048"];
        left.iter().filter(|apqn| host.queue_empty(apqn)).for_each(|apqn| host.leave_message(apqn));
        host.order_and_scan(act(false));
        host.order(act(true));
        assert!(!host.queue_empty("05.0048"));
        host.scan();
        assert_eq!(host.reset_since(&left), ["05.0048"]);
        host.becomes("bus/ap/devices/05.0048/interrupt", "Interrupts enabled.\n");
        assert_eq!(host.read("bus/ap/devices/05.0004/interrupt"), "Interrupts disabled.\n");
    }
}

// ap_bus.c:ap_scan_domains
fn a_new_queue_that_does_not_work_is_not_initiated_unless_its_driver_does_it(host: &Place) {
    host.order(Order::Configure(4, false));
    host.order(Order::Configure(5, false));
    host.order(Order::Checkstop(6, true));
    host.order_and_scan(Order::UsageDomain(0x48, true));
    for (apqn, count) in [("04.0048", "0\n"), ("05.0048", "-\n"), ("06.0048", "-\n")] {
        assert_eq!(host.read(&format!("bus/ap/devices/{apqn}/request_count")), count, "{apqn}");
    }
    host.order_and_scan(Order::Configure(5, true));
    assert_eq!(host.read("bus/ap/devices/05.0048/config"), "1\n");
    assert_eq!(host.read("bus/ap/devices/05.0048/request_count"), "-\n");
}

// 52: ap_bus.c:ap_get_compatible_type
fn old_adapters_are_not_driven_and_new_ones_only_as_what_they_can_stand_for(host: &Place) {
    host.order(Order::AddType(9, 9));
    host.order_and_scan(Order::AddType(15, 15));
    assert_eq!(host.cards(), ["card04", "card05", "card06", "card0f"]);
    assert_eq!(host.read("bus/ap/devices/card0f/hwtype"), "14\n");
    assert_eq!(host.read("bus/ap/devices/card0f/raw_hwtype"), "15\n");
    // Nobody can be asked.
    host.order(Order::RemoveCard(15));
    host.order_and_scan(Order::Qci(0xc000_0000, 63, 84));
    host.order_and_scan(Order::AddType(15, 15));
    assert_eq!(host.cards(), ["card04", "card05", "card06"]);
}

fn an_adapter_of_another_type_is_another_device(host: &Place) {
    host.order(Order::AddCard(5, "CEX8A"));
    let told = host.told(|| host.scan());
    let actions: Vec<&str> = told.iter().map(|news| news.action.as_str()).collect();
    assert_eq!(&actions[..3], ["remove", "remove", "remove"]);
    assert_eq!(host.read("bus/ap/devices/card05/type"), "CEX8A\n");
    assert!(host.bound("vfio_ap").contains(&"05.0004".to_owned()));
}

// 53, 54: ap_card.c, zcrypt_cex4.c:zcrypt_cex4_card_probe
fn a_card_says_what_it_is(host: &Place) {
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
fn a_card_can_be_put_offline_and_online_unless_it_is_configured_off(host: &Place) {
    for text in ["2", "x", "-1"] {
        assert_eq!(host.try_write("devices/ap/card04/online", text), libc::EINVAL);
    }
    host.write("devices/ap/card04/online", "0");
    assert_eq!(host.read("devices/ap/card04/online"), "0\n");
    assert_eq!(host.read("devices/ap/card04/04.0004/online"), "0\n");
    assert_eq!(host.try_write("devices/ap/card04/04.0004/online", "1"), libc::EINVAL);
    host.write("devices/ap/card04/online", "1");
    assert_eq!(host.read("devices/ap/card04/04.0047/online"), "1\n");
    host.write("devices/ap/card04/04.0004/online", "0");
    assert_eq!(host.read("devices/ap/card04/online"), "1\n");
    host.write("devices/ap/card04/04.0004/online", "1");
    host.order_and_scan(Order::Configure(4, false));
    assert_eq!(host.try_write("devices/ap/card04/online", "1"), libc::ENODEV);
    for text in ["2", "-1", "x"] {
        assert_eq!(host.try_write("devices/ap/card04/config", text), libc::EINVAL, "{text}");
    }
}

// ap_card.c:config_store
fn config_tells_udev_also_when_it_changes_nothing(host: &Place) {
    let told = host.told(|| host.write("devices/ap/card05/config", "1 and more"));
    assert!(told.iter().any(|news| news.says("change", "/devices/ap/card05", "CONFIG=1")), "{told:?}");
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn config_switches_the_adapter_itself_and_always_tells_udev() {
    let host = Host::new();
    let told = host.told(|| host.write("devices/ap/card05/config", "0"));
    assert!(told[0].says("change", "/devices/ap/card05", "CONFIG=0"), "{told:?}");
    assert_eq!(host.host.adapters().test(queue("05.0004")).status.code(), 3);
    assert_eq!(host.read("bus/ap/ap_adapter_mask"), left("0e"), "QCI does not change");
    let told = host.told(|| host.write("devices/ap/card05/config", "0"));
    assert_eq!(told.len(), 1);
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
fn new_devices_stay_without_driver_while_nobody_is_asked(host: &Place) {
    host.write("bus/ap/drivers_autoprobe", "0");
    host.order_and_scan(Order::UsageDomain(0x48, true));
    assert_eq!(host.read("bus/ap/bindings"), "6/9\n");
    host.write("bus/ap/drivers_autoprobe", "1");
    host.write("bus/ap/drivers_probe", "04.0048");
    assert_eq!(host.read("bus/ap/bindings"), "7/9\n");
}

fn a_device_shows_and_repeats_its_uevent(host: &Place) {
    assert_eq!(
        host.read("bus/ap/devices/card05/uevent"),
        "DEVTYPE=ap_card\nDRIVER=cex4card\nDEV_TYPE=000E\nMODALIAS=ap:t0E\nMODE=ep11\n"
    );
    assert_eq!(host.read("bus/ap/devices/05.0004/uevent"), "DEVTYPE=ap_queue\nDRIVER=vfio_ap\nMODE=ep11\n");
    let told = host.told(|| host.write("bus/ap/devices/card05/uevent", "change\n"));
    assert!(told[0].says("change", "/devices/ap/card05", ""), "{told:?}");
    assert_eq!(host.try_write("bus/ap/devices/card05/uevent", "rubbish"), libc::EINVAL);
}

// ap_bus.c:__ap_revise_reserved
fn a_queue_without_driver_is_probed_only_when_the_masks_reserve_it(host: &Place) {
    host.write("bus/ap/drivers/cex4queue/unbind", "04.0004");
    host.write("bus/ap/apmask", "-4");
    // The kernel reads the flags of a driver that is not there: 7.2 finds what the last program interruption left.
    let known = host.kernel < KernelProfile::V7_2;
    if known {
        assert_eq!(host.bound("vfio_ap").len(), 5, "04.0047, and not 04.0004");
    }
    host.write("bus/ap/apmask", "+4");
    let hosts = host.bound("cex4queue");
    assert!(hosts.contains(&"04.0047".to_owned()), "{hosts:?}");
    assert!(!known || hosts == ["04.0004", "04.0047"], "{hosts:?}");
}

// ap_bus.c:ap_device_remove
fn a_queue_that_its_driver_gives_up_is_zeroized(host: &Place) {
    host.leave_message("04.0004");
    assert_eq!(host.read("bus/ap/devices/04.0004/request_count"), "0\n");
    host.write("bus/ap/drivers/cex4queue/unbind", "04.0004");
    assert!(host.queue_empty("04.0004"));
    assert_eq!(host.read("bus/ap/devices/04.0004/request_count"), "-\n");
    assert_eq!(host.read_errno("bus/ap/devices/04.0004/online"), libc::ENOENT, "that is the driver's");
}

// ap_bus.c:ap_uevent
fn what_comes_is_told_with_its_type_and_use(host: &Place) {
    for (kind, mode) in [("CEX8C", "MODE=cca"), ("CEX4P", "MODE=ep11"), ("CEX6A", "MODE=accel")] {
        host.order(Order::RemoveCard(7));
        host.scan();
        host.order(Order::AddCard(7, kind));
        let told = host.told(|| host.scan());
        let card = |text: &str| told.iter().any(|news| news.says("add", "/devices/ap/card07", text));
        let number = kind[3..4].parse::<u8>().unwrap() + 6;
        assert!(card(&format!("DEV_TYPE={number:04X}")), "{told:?}");
        assert!(card(&format!("MODALIAS=ap:t{number:02X}")) && card(mode), "{told:?}");
        let queue = "/devices/ap/card07/07.0047";
        assert!(told.iter().any(|news| news.says("add", queue, mode)), "{told:?}");
        assert!(
            !told.iter().any(|news| news.devpath == queue && news.environment.concat().contains("DEV_TYPE="))
        );
        assert_eq!(host.read("bus/ap/devices/card07/type"), format!("{kind}\n"));
    }
}

// zcrypt_card.c:online_store
fn going_online_or_offline_is_told_of_the_card_and_its_queues(host: &Place) {
    for text in ["ONLINE=0", "ONLINE=1"] {
        let told = host.told(|| host.write("devices/ap/card04/online", &text[7..]));
        for device in ["", "/04.0004", "/04.0047"] {
            let device = format!("/devices/ap/card04{device}");
            assert!(told.iter().any(|news| news.says("change", &device, text)), "{device}: {told:?}");
        }
    }
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

// ap_queue.c:reset_store
fn a_reset_is_asked_for_by_writing_anything_and_only_of_a_queue_that_the_bus_works_with(host: &Place) {
    ["04.0004", "05.0004"].iter().for_each(|apqn| host.leave_message(apqn));
    host.write("bus/ap/devices/04.0004/reset", "whatever");
    host.write("bus/ap/devices/05.0004/reset", "1");
    assert_eq!(host.reset_since(&["04.0004", "05.0004"]), ["04.0004"]);
    host.becomes("bus/ap/devices/04.0004/interrupt", "Interrupts enabled.\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/reset"), "No Reset Timer set.\n");
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
