//! `apmask` and `aqmask`: how they are written, and what becomes of queues.

use super::left;
use crate::fixture::{A, B, Host, Place, attr, on_every_host, unmasked};
use adjunct_simulator::KernelProfile;

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
    a_queue_without_driver_is_probed_only_when_the_masks_reserve_it
}

const ALL: &str = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n";

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
