//! Assigning and unassigning, `ap_config`, and what a guest may have of it.

use crate::fixture::{A, B, Order, Place, attr, on_every_host};
use adjunct_simulator::KernelProfile;

on_every_host! {
    ids_are_read_as_the_kernel_reads_numbers
    ids_beyond_what_the_host_can_have_are_enodev
    what_the_host_keeps_can_not_be_assigned
    one_queue_of_the_hosts_refuses_a_whole_domain
    a_queue_is_in_one_mdev_only
    of_several_mdevs_that_have_a_queue_the_log_names_the_newest
    kept_by_the_host_comes_before_shared
    unassigning_what_is_not_assigned_succeeds_and_what_can_not_be_is_enodev
    queues_can_be_assigned_before_they_exist
    control_domains_can_be_shared_and_are_listed_in_order
    a_matrix_lists_queues_or_the_half_that_there_is
    a_matrix_that_is_longer_than_a_page_is_cut
    with_overrides_only_queues_bound_to_vfio_ap_can_be_assigned
    ap_config_takes_three_masks
    ap_config_checks_who_has_what_before_it_checks_ids
    ap_config_is_read_letter_by_letter_as_the_kernels_parser_does
    one_unbound_queue_costs_a_guest_the_whole_adapter_until_the_next_filtering
    what_the_host_has_not_is_not_for_a_guest
    a_queue_that_could_not_be_reset_because_it_is_off_is_passed_on
    a_usage_domain_is_no_control_domain
    an_adapter_that_was_dropped_does_not_come_back_because_its_domain_goes
}

fn adapters(host: &Place, values: &[&str], errno: i32) {
    for text in values {
        assert_eq!(host.mdev_write(A, "assign_adapter", text), errno, "{text:?}");
    }
}

// 74, 76, 77: lib/kstrtox.c:kstrtoul
fn ids_are_read_as_the_kernel_reads_numbers(host: &Place) {
    host.mdev(A, &[], &[]);
    adapters(host, &["08", " 5", "-1", "5,6", "0x", "5 ", "\n", "5\n\n"], libc::EINVAL);
    adapters(host, &["18446744073709551616", "0x10000000000000000\n"], libc::ERANGE);
    assert_eq!(host.mdev_read(A, "matrix"), "");
    for text in ["+5\n", "0X5\n", "05\n"] {
        adapters(host, &[text], 0);
        assert_eq!(host.mdev_read(A, "matrix"), "05.\n", "{text:?}");
        host.write(&attr(A, "unassign_adapter"), "5");
    }
}

// 78, 80: vfio_ap_ops.c:assign_adapter_store, vfio_ap_matrix_init
fn ids_beyond_what_the_host_can_have_are_enodev(host: &Place) {
    host.mdev(A, &[], &[]);
    adapters(host, &["64", "256", "18446744073709551615"], libc::ENODEV);
    adapters(host, &["63"], 0);
    assert_eq!(host.mdev_write(A, "assign_domain", "85"), libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_control_domain", "85"), libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_control_domain", "84"), 0);

    // Without extended addressing; the limits are those of the day an mdev was made.
    host.order_and_scan(Order::Qci(0x8000_0000, 0, 0));
    assert_eq!(host.mdev_write(A, "assign_control_domain", "16"), 0);
    host.write(&attr(A, "remove"), "1");
    host.mdev(A, &[], &[]);
    adapters(host, &["64"], libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_domain", "16"), libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_domain", "15"), 0);
}

// 81, 82: vfio_ap_ops.c:vfio_ap_mdev_validate_masks
fn what_the_host_keeps_can_not_be_assigned(host: &Place) {
    host.unmask();
    host.mdev(A, &[5], &[]);
    assert_eq!(host.mdev_write(A, "assign_domain", "4"), libc::EADDRNOTAVAIL);
    assert_eq!(host.mdev_read(A, "matrix"), "05.\n");
}

// 84: ap_bus.c:ap_apqn_in_matrix_owned_by_def_drv
fn one_queue_of_the_hosts_refuses_a_whole_domain(host: &Place) {
    host.write("bus/ap/apmask", "+6");
    host.mdev(A, &[5, 6], &[]);
    assert_eq!(host.mdev_write(A, "assign_domain", "4"), libc::EADDRNOTAVAIL);
    host.write("bus/ap/aqmask", "-4");
    assert_eq!(host.mdev_write(A, "assign_domain", "4"), 0);
}

// 85: vfio_ap_ops.c:vfio_ap_mdev_verify_no_sharing
fn a_queue_is_in_one_mdev_only(host: &Place) {
    host.mdev(A, &[5], &[4]);
    host.mdev(B, &[5], &[]);
    assert_eq!(host.mdev_write(B, "assign_domain", "4"), libc::EADDRINUSE);
    assert_eq!(host.mdev_read(B, "matrix"), "05.\n");
    let line = format!("Userspace may not assign queue 05.0004 to mdev: already assigned to {A}");
    assert!(host.logged(&[&line]), "{:?}", host.beyond.log());
    assert_eq!(host.mdev_write(B, "assign_domain", "0x47"), 0);
    assert_eq!(host.mdev_write(A, "assign_domain", "0x47"), libc::EADDRINUSE);
}

// vfio_ap_ops.c:vfio_ap_mdev_verify_no_sharing
fn of_several_mdevs_that_have_a_queue_the_log_names_the_newest(host: &Place) {
    // B is older than A, whose name comes first.
    host.mdev(B, &[5], &[4]);
    host.mdev(A, &[5], &[0x47]);
    let c = "6c4a5d2e-0d3e-4c7a-9b0a-00000000000c";
    host.mdev(c, &[], &[4, 0x47]);
    let said = |act: &dyn Fn() -> i32, errno: i32| {
        let before = host.beyond.log().len();
        assert_eq!(act(), errno);
        host.beyond.log().split_off(before)
    };
    let log = said(&|| host.mdev_write(c, "assign_adapter", "5"), libc::EADDRINUSE);
    let line =
        format!("vfio_ap_mdev {c}: Userspace may not assign queue 05.0047 to mdev: already assigned to {A}");
    assert_eq!(log, [line]);
    let log = said(&|| host.try_write("bus/ap/apmask", "+5"), libc::EBUSY);
    let line = format!("vfio_ap_mdev {A}: Can not reserve queue 05.0047 for host driver: in use by mdev");
    assert_eq!(log, [line]);
}

// 86: vfio_ap_ops.c:vfio_ap_mdev_validate_masks
fn kept_by_the_host_comes_before_shared(host: &Place) {
    host.mdev(A, &[5], &[4]);
    host.mdev(B, &[4, 5], &[]);
    assert_eq!(host.mdev_write(B, "assign_domain", "4"), libc::EADDRNOTAVAIL);
}

// 88: vfio_ap_ops.c:unassign_adapter_store
fn unassigning_what_is_not_assigned_succeeds_and_what_can_not_be_is_enodev(host: &Place) {
    host.mdev(A, &[], &[]);
    for attribute in ["unassign_adapter", "unassign_domain", "unassign_control_domain"] {
        assert_eq!(host.mdev_write(A, attribute, "6"), 0, "{attribute}");
        assert_eq!(host.mdev_write(A, attribute, "85"), libc::ENODEV, "{attribute}");
        assert_eq!(host.mdev_write(A, attribute, "x"), libc::EINVAL, "{attribute}");
    }
}

// 89: vfio_ap_ops.c:vfio_ap_mdev_filter_matrix
fn queues_can_be_assigned_before_they_exist(host: &Place) {
    host.write("bus/ap/apmask", "-7");
    host.mdev(A, &[5, 7], &[4, 0x47]);
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n05.0047\n07.0004\n07.0047\n");
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n05.0047\n");
}

// 90: vfio_ap_ops.c:assign_control_domain_store
fn control_domains_can_be_shared_and_are_listed_in_order(host: &Place) {
    host.mdev(A, &[], &[]);
    host.mdev(B, &[], &[]);
    for uuid in [A, B] {
        host.write(&attr(uuid, "assign_control_domain"), "0x47");
        host.write(&attr(uuid, "assign_control_domain"), "4");
        assert_eq!(host.mdev_read(uuid, "control_domains"), "0004\n0047\n");
    }
    host.write(&attr(A, "unassign_control_domain"), "4");
    assert_eq!(host.mdev_read(A, "control_domains"), "0047\n");
}

// 92, 93, 94: vfio_ap_ops.c:vfio_ap_mdev_matrix_show
fn a_matrix_lists_queues_or_the_half_that_there_is(host: &Place) {
    host.order_and_scan(Order::Qci(0xe000_0000, 63, 255));
    host.mdev(A, &[6, 5], &[0x47, 4]);
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n05.0047\n06.0004\n06.0047\n");
    host.write(&attr(A, "unassign_domain"), "4");
    host.write(&attr(A, "unassign_domain"), "0x47");
    host.write(&attr(A, "assign_adapter"), "0xa");
    assert_eq!(host.mdev_read(A, "matrix"), "05.\n06.\n0a.\n");
    host.mdev(B, &[], &[4, 0xab]);
    assert_eq!(host.mdev_read(B, "matrix"), ".0004\n.00ab\n");
}

// 96: fs/sysfs/file.c:sysfs_emit_at
fn a_matrix_that_is_longer_than_a_page_is_cut(host: &Place) {
    // 6.12 and older write beyond the page; there only what fits is tried.
    let cut = host.kernel >= KernelProfile::V6_17;
    host.write("bus/ap/apmask", "0");
    let ids: Vec<u8> = (0..if cut { 32 } else { 22 }).collect();
    host.mdev(A, &ids, &ids);
    let text = host.mdev_read(A, "matrix");
    if cut {
        assert_eq!((text.len(), text.lines().count()), (4095, 512));
        assert!(text.ends_with("\n0f.001f"), "{:?}", &text[4000..]);
    } else {
        assert_eq!((text.len(), text.lines().count()), (22 * 22 * 8, 22 * 22));
        assert!(text.ends_with("\n15.0015\n"), "{:?}", &text[3800..]);
    }
}

// 97, 98: ap_bus.c:ap_owned_by_def_drv
fn with_overrides_only_queues_bound_to_vfio_ap_can_be_assigned(host: &Place) {
    host.unmask();
    if !host.kernel.has_driver_override() {
        host.mdev(A, &[5], &[]);
        assert_eq!(host.mdev_write(A, "assign_domain", "4"), libc::EADDRNOTAVAIL);
        return;
    }
    host.write("bus/ap/devices/05.0004/driver_override", "vfio_ap");
    host.write("bus/ap/drivers/cex4queue/unbind", "05.0004");
    host.mdev(A, &[5], &[]);
    assert_eq!(host.mdev_write(A, "assign_domain", "4"), libc::EADDRNOTAVAIL, "not bound yet");
    host.write("bus/ap/drivers_probe", "05.0004");
    host.write(&attr(A, "assign_domain"), "4");
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n");
    assert_eq!(host.mdev_write(A, "assign_domain", "0x47"), libc::EADDRNOTAVAIL, "not overridden");
    assert_eq!(host.mdev_write(A, "assign_domain", "0x20"), libc::EADDRNOTAVAIL, "not there");
    host.write("bus/ap/devices/05.0047/driver_override", "vfio_ap");
    assert_eq!(
        host.mdev_write(A, "assign_domain", "0x47"),
        libc::EADDRNOTAVAIL,
        "bound to the host's driver"
    );
}

// 100, 101, 102: vfio_ap_ops.c:parse_bitmap
fn ap_config_takes_three_masks(host: &Place) {
    host.mdev(A, &[], &[]);
    host.write(&attr(A, "ap_config"), "0x04,0x08\n");
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n");
    let shown = host.mdev_read(A, "ap_config");
    assert_eq!(shown.len(), 201);
    assert_eq!(shown, format!("0x04{0},0x08{0},0x00{0}\n", "0".repeat(62)));
    for text in ["\n", "0x04\n", "0x04, 0x08,0x08\n", "zz,0,0\n", "0x04,0x08"] {
        assert_eq!(host.mdev_write(A, "ap_config", text), libc::EINVAL, "{text:?}");
        assert_eq!(host.mdev_read(A, "ap_config"), shown);
    }
    host.write(&attr(A, "ap_config"), &shown);
    host.write(&attr(A, "ap_config"), "04,08,0c\njunk");
    assert_eq!(host.mdev_read(A, "control_domains"), "0004\n0005\n");
    host.write(&attr(A, "ap_config"), ",,\n");
    assert_eq!(host.mdev_read(A, "matrix") + &host.mdev_read(A, "control_domains"), "");
}

// 104, 105, 106: vfio_ap_ops.c:ap_config_store, ap_matrix_overflow_check
fn ap_config_checks_who_has_what_before_it_checks_ids(host: &Place) {
    let high = format!("0x{}8,0x08,0\n", "0".repeat(16));
    host.mdev(A, &[], &[]);
    assert_eq!(host.mdev_write(A, "ap_config", &high), libc::EADDRNOTAVAIL);
    host.write("bus/ap/apmask", "0");
    host.write(&attr(A, "assign_adapter"), "5");
    host.write(&attr(A, "assign_domain"), "4");
    assert_eq!(host.mdev_write(A, "ap_config", &high), libc::ENODEV);
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n");
    let control = format!("0x04,0x08,0x{}04\n", "0".repeat(20));
    assert_eq!(host.mdev_write(A, "ap_config", &control), libc::ENODEV);
    // Of the higher domains the highest that can be: 84.
    let highest = format!("0x04,0x08,0x{}08\n", "0".repeat(20));
    host.write(&attr(A, "ap_config"), &highest);
    assert_eq!(host.mdev_read(A, "control_domains"), "0054\n");
    host.mdev(B, &[], &[]);
    assert_eq!(host.mdev_write(B, "ap_config", "0x04,0x08,\n"), libc::EADDRINUSE);
    assert_eq!(host.mdev_read(B, "matrix"), "");
}

// vfio_ap_ops.c:parse_bitmap, ap_config_store
fn ap_config_is_read_letter_by_letter_as_the_kernels_parser_does(host: &Place) {
    host.mdev(A, &[], &[]);
    let full = |first: &str| format!("0x{first:0<64},0x08{0},0x08{0}\n", "0".repeat(62));
    let garbage = format!("{}garbage", full("04"));
    for (text, masks) in [
        ("0x04,0x08,0x08\n", "04 08 08"),
        ("0x04,0x08,0x08", "04 08 08"),
        ("04,08,08\n", "04 08 08"),
        (",,", "0 0 0"),
        ("\n\n\n", "0 0 0"),
        ("0x04,0x08,0x08,0x01\n", "04 08 08"),
        ("0x04,0x08,zz\n", ""),
        ("0x04,+4,0\n", ""),
        ("0X04,0x08,0\n", ""),
        (&full("04"), "04 08 08"),
        (&garbage, "04 08 08"),
        (&full("04")[..200], "04 08 08"),
    ] {
        host.write(&attr(A, "ap_config"), ",,\n");
        let before = host.mdev_read(A, "ap_config");
        let errno = if masks.is_empty() { libc::EINVAL } else { 0 };
        assert_eq!(host.mdev_write(A, "ap_config", text), errno, "{text:?}");
        let shown: Vec<String> = masks.split_whitespace().map(|mask| format!("0x{mask:0<64}")).collect();
        let shown = if masks.is_empty() { before } else { shown.join(",") + "\n" };
        assert_eq!(host.mdev_read(A, "ap_config"), shown, "{text:?}");
    }
}

// 109, 110, 112: vfio_ap_ops.c:vfio_ap_mdev_filter_matrix
fn one_unbound_queue_costs_a_guest_the_whole_adapter_until_the_next_filtering(host: &Place) {
    host.mdev(A, &[5, 6], &[4, 0x47]);
    assert_eq!(host.mdev_read(A, "guest_matrix"), host.mdev_read(A, "matrix"));
    host.write(&attr(A, "remove"), "1");
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    host.mdev(A, &[5, 6], &[4, 0x47]);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n05.0047\n");
    // Unassigning only takes away.
    host.write(&attr(A, "unassign_domain"), "0x47");
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n");
    // Any assignment that stands filters anew.
    host.write(&attr(A, "unassign_domain"), "4");
    host.write(&attr(A, "assign_domain"), "4");
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n06.0004\n");
}

// 113, 114, 116: vfio_ap_ops.c:vfio_ap_mdev_filter_matrix
fn what_the_host_has_not_is_not_for_a_guest(host: &Place) {
    host.write("bus/ap/apmask", "-8");
    host.mdev(A, &[5, 8], &[4, 0x20]);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n", "neither adapter 8 nor domain 0x20 is there");
    host.mdev(B, &[6, 8], &[]);
    assert_eq!(
        host.mdev_read(B, "guest_matrix"),
        "06.\n",
        "without domains no adapter is dropped for its queues"
    );
}

// 117: vfio_ap_ops.c:_queue_passable
fn a_queue_that_could_not_be_reset_because_it_is_off_is_passed_on(host: &Place) {
    const ALL: [&str; 4] = ["05.0004", "05.0047", "06.0004", "06.0047"];
    host.mdev(A, &[5, 6], &[4]);
    let mut guest = host.guest(A);
    // At its end: when the guest's memory is unmapped, which begins at 0, interruptions of all queues are disabled
    // whose notification byte is not known (`unmap_iova`), and one that is off refuses.
    host.beyond.warns_once("vfio_ap_irq_disable");
    host.order(Order::Configure(5, false));
    assert_eq!(guest.opened.reset(), Err(libc::EIO));
    host.write(&attr(A, "assign_domain"), "0x47");
    guest.has(&ALL, 1);
    // Likewise for a checkstop.
    host.order(Order::Configure(5, true));
    host.order(Order::Checkstop(5, true));
    assert_eq!(guest.opened.reset(), Err(libc::EIO));
    host.write(&attr(A, "unassign_domain"), "0x47");
    host.write(&attr(A, "assign_domain"), "0x47");
    guest.has(&ALL, 2);
    // Gone since its reset: response code 01, of which kernels before 7.2 warn.
    if host.kernel < KernelProfile::V7_2 {
        host.beyond.warns("vfio_ap_mdev_reset_queue");
    }
    host.order(Order::Queue(6, 4, false));
    assert_eq!(guest.opened.reset(), Err(libc::EIO));
    host.write(&attr(A, "unassign_domain"), "0x47");
    host.write(&attr(A, "assign_domain"), "0x47");
    guest.has(&["05.0004", "05.0047"], 2);
}

// vfio_ap_ops.c:assign_domain_store
fn a_usage_domain_is_no_control_domain(host: &Place) {
    host.mdev(A, &[5], &[4, 0x47]);
    assert_eq!(host.mdev_read(A, "control_domains"), "");
    host.write(&attr(A, "assign_control_domain"), "0x47");
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n05.0047\n");
}

// vfio_ap_ops.c:vfio_ap_mdev_hot_unplug_cfg, vfio_ap_mdev_remove_queue
fn an_adapter_that_was_dropped_does_not_come_back_because_its_domain_goes(host: &Place) {
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    host.mdev(A, &[5, 6], &[4, 0x47]);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n05.0047\n");
    host.order_and_scan(Order::UsageDomain(0x47, false));
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n");
    // When it comes back, the bus finds drivers for all its queues.
    host.order_and_scan(Order::UsageDomain(0x47, true));
    assert_eq!(host.mdev_read(A, "guest_matrix"), host.mdev_read(A, "matrix"));
}
