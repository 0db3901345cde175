//! Assigning and unassigning, `ap_config`, and what a guest may have of it.

use crate::fixture::{A, B, HOST, Host, attr, unmasked};
use adjunct_ap::{Apid, Apqn};

fn adapters(host: &Host, values: &[&str], errno: i32) {
    for text in values {
        assert_eq!(host.mdev_write(A, "assign_adapter", text), errno, "{text:?}");
    }
}

// 74, 76, 77: lib/kstrtox.c:kstrtoul
#[test]
fn ids_are_read_as_the_kernel_reads_numbers() {
    let host = Host::new();
    host.mdev(A, &[], &[]);
    adapters(&host, &["08", " 5", "-1", "5,6", "0x", "5 ", "\n", "5\n\n"], libc::EINVAL);
    adapters(&host, &["18446744073709551616", "0x10000000000000000\n"], libc::ERANGE);
    assert_eq!(host.mdev_read(A, "matrix"), "");
    for text in ["+5\n", "0X5\n", "05\n"] {
        adapters(&host, &[text], 0);
        assert_eq!(host.mdev_read(A, "matrix"), "05.\n", "{text:?}");
        host.write(&attr(A, "unassign_adapter"), "5");
    }
}

// 78, 80: vfio_ap_ops.c:assign_adapter_store, vfio_ap_matrix_init
#[test]
fn ids_beyond_what_the_host_can_have_are_enodev() {
    let host = Host::new();
    host.mdev(A, &[], &[]);
    adapters(&host, &["64", "256", "18446744073709551615"], libc::ENODEV);
    adapters(&host, &["63"], 0);
    assert_eq!(host.mdev_write(A, "assign_domain", "85"), libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_control_domain", "85"), libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_control_domain", "84"), 0);

    let plain = "[ap]\nfeatures = [\"APSC\"]\nusage_domains = [4]\n[[ap.card]]\nid = 5\ntype = \"CEX4C\"\n";
    let host = Host::of(plain);
    host.mdev(A, &[], &[]);
    adapters(&host, &["64"], libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_domain", "16"), libc::ENODEV);
    assert_eq!(host.mdev_write(A, "assign_domain", "15"), 0);
}

// 81, 82: vfio_ap_ops.c:vfio_ap_mdev_validate_masks
#[test]
fn what_the_host_keeps_can_not_be_assigned() {
    let host = Host::of(&unmasked());
    host.mdev(A, &[5], &[]);
    assert_eq!(host.mdev_write(A, "assign_domain", "4"), libc::EADDRNOTAVAIL);
    assert_eq!(host.mdev_read(A, "matrix"), "05.\n");
}

// 84: ap_bus.c:ap_apqn_in_matrix_owned_by_def_drv
#[test]
fn one_queue_of_the_hosts_refuses_a_whole_domain() {
    let host = Host::new();
    host.write("bus/ap/apmask", "+6");
    host.mdev(A, &[5, 6], &[]);
    assert_eq!(host.mdev_write(A, "assign_domain", "4"), libc::EADDRNOTAVAIL);
    host.write("bus/ap/aqmask", "-4");
    assert_eq!(host.mdev_write(A, "assign_domain", "4"), 0);
}

// 85: vfio_ap_ops.c:vfio_ap_mdev_verify_no_sharing
#[test]
fn a_queue_is_in_one_mdev_only() {
    let host = Host::new();
    host.mdev(A, &[5], &[4]);
    host.mdev(B, &[5], &[]);
    assert_eq!(host.mdev_write(B, "assign_domain", "4"), libc::EADDRINUSE);
    assert_eq!(host.mdev_read(B, "matrix"), "05.\n");
    let line = format!("Userspace may not assign queue 05.0004 to mdev: already assigned to {A}");
    assert!(host.host.log().iter().any(|l| l.ends_with(&line)), "{:?}", host.host.log());
    assert_eq!(host.mdev_write(B, "assign_domain", "0x47"), 0);
    assert_eq!(host.mdev_write(A, "assign_domain", "0x47"), libc::EADDRINUSE);
}

// vfio_ap_ops.c:vfio_ap_mdev_verify_no_sharing
#[test]
fn of_several_mdevs_that_have_a_queue_the_log_names_the_newest() {
    let host = Host::new();
    // B is older than A, whose name comes first.
    host.mdev(B, &[5], &[4]);
    host.mdev(A, &[5], &[0x47]);
    let c = "6c4a5d2e-0d3e-4c7a-9b0a-00000000000c";
    host.mdev(c, &[], &[4, 0x47]);
    let before = host.host.log().len();
    assert_eq!(host.mdev_write(c, "assign_adapter", "5"), libc::EADDRINUSE);
    let log = host.host.log().split_off(before);
    let line =
        format!("vfio_ap_mdev {c}: Userspace may not assign queue 05.0047 to mdev: already assigned to {A}");
    assert_eq!(log, [line]);
    let before = host.host.log().len();
    assert_eq!(host.try_write("bus/ap/apmask", "+5"), libc::EBUSY);
    let log = host.host.log().split_off(before);
    let line = format!("vfio_ap_mdev {A}: Can not reserve queue 05.0047 for host driver: in use by mdev");
    assert_eq!(log, [line]);
}

// 86: vfio_ap_ops.c:vfio_ap_mdev_validate_masks
#[test]
fn kept_by_the_host_comes_before_shared() {
    let host = Host::new();
    host.mdev(A, &[5], &[4]);
    host.mdev(B, &[4, 5], &[]);
    assert_eq!(host.mdev_write(B, "assign_domain", "4"), libc::EADDRNOTAVAIL);
}

// 88: vfio_ap_ops.c:unassign_adapter_store
#[test]
fn unassigning_what_is_not_assigned_succeeds_and_what_can_not_be_is_enodev() {
    let host = Host::new();
    host.mdev(A, &[], &[]);
    for attribute in ["unassign_adapter", "unassign_domain", "unassign_control_domain"] {
        assert_eq!(host.mdev_write(A, attribute, "6"), 0, "{attribute}");
        assert_eq!(host.mdev_write(A, attribute, "85"), libc::ENODEV, "{attribute}");
        assert_eq!(host.mdev_write(A, attribute, "x"), libc::EINVAL, "{attribute}");
    }
}

// 89: vfio_ap_ops.c:vfio_ap_mdev_filter_matrix
#[test]
fn queues_can_be_assigned_before_they_exist() {
    let host = Host::new();
    host.write("bus/ap/apmask", "-7");
    host.mdev(A, &[5, 7], &[4, 0x47]);
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n05.0047\n07.0004\n07.0047\n");
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n05.0047\n");
}

// 90: vfio_ap_ops.c:assign_control_domain_store
#[test]
fn control_domains_can_be_shared_and_are_listed_in_order() {
    let host = Host::new();
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
#[test]
fn a_matrix_lists_queues_or_the_half_that_there_is() {
    let host = Host::of(&HOST.replace("max_domain = 84", "max_domain = 255"));
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
#[test]
fn a_matrix_that_is_longer_than_a_page_is_cut() {
    let host = Host::new();
    host.write("bus/ap/apmask", "0");
    let ids: Vec<u8> = (0..32).collect();
    host.mdev(A, &ids, &ids);
    let text = host.mdev_read(A, "matrix");
    assert_eq!(text.len(), 4095);
    assert_eq!(text.lines().count(), 512);
    assert!(text.ends_with("\n0f.001f"), "{:?}", &text[4000..]);
}

// 97, 98: ap_bus.c:ap_owned_by_def_drv
#[test]
fn with_overrides_only_queues_bound_to_vfio_ap_can_be_assigned() {
    let host = Host::of(&unmasked());
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
#[test]
fn ap_config_takes_three_masks() {
    let host = Host::new();
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
#[test]
fn ap_config_checks_who_has_what_before_it_checks_ids() {
    let high = format!("0x{}8,0x08,0\n", "0".repeat(16));
    let host = Host::of(&unmasked());
    host.mdev(A, &[], &[]);
    assert_eq!(host.mdev_write(A, "ap_config", &high), libc::EADDRNOTAVAIL);
    let host = Host::new();
    host.write("bus/ap/apmask", "0");
    host.mdev(A, &[5], &[4]);
    assert_eq!(host.mdev_write(A, "ap_config", &high), libc::ENODEV);
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n");
    let control = format!("0x04,0x08,0x{}04\n", "0".repeat(20));
    assert_eq!(host.mdev_write(A, "ap_config", &control), libc::ENODEV);
    host.mdev(B, &[], &[]);
    assert_eq!(host.mdev_write(B, "ap_config", "0x04,0x08,\n"), libc::EADDRINUSE);
}

// 109, 110, 112: vfio_ap_ops.c:vfio_ap_mdev_filter_matrix
#[test]
fn one_unbound_queue_costs_a_guest_the_whole_adapter_until_the_next_filtering() {
    let host = Host::new();
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
#[test]
fn what_the_host_has_not_is_not_for_a_guest() {
    let host = Host::new();
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
#[test]
fn a_queue_that_could_not_be_reset_because_it_is_off_is_passed_on() {
    let host = Host::new();
    host.mdev(A, &[5, 6], &[4]);
    host.configure(5, false);
    let (open, vm) = host.open(A);
    assert_eq!(open.reset(), Err(libc::EIO));
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!(vm.queues(), ["05.0004", "05.0047", "06.0004", "06.0047"]);
    // Likewise for a checkstop.
    let checkstop =
        |on| host.host.adapters().operate(|m| m.cards.get_mut(&Apid(5)).unwrap().checkstopped = on);
    checkstop(true);
    assert_eq!(open.reset(), Err(libc::EIO));
    host.write(&attr(A, "unassign_domain"), "0x47");
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!(vm.queues(), ["05.0004", "05.0047", "06.0004", "06.0047"]);
    // Gone since its reset: response code 01.
    host.host
        .adapters()
        .operate(|machine| machine.cards.get_mut(&Apid(6)).unwrap().missing.insert(Apqn::new(6, 4).apqi));
    assert_eq!(open.reset(), Err(libc::EIO));
    host.write(&attr(A, "unassign_domain"), "0x47");
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!(vm.queues(), ["05.0004", "05.0047"]);
}
