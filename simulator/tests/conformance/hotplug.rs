//! What a running guest sees when its mdev, the host's drivers or the host's configuration change.

use crate::fixture::{A, Guest, HOST, Host, Order, Place, attr, on_every_host};
use adjunct_simulator::KernelProfile;

on_every_host! {
    an_assignment_reaches_a_running_guest_at_once
    no_assignment_is_refused_because_a_guest_is_running
    a_domain_can_cost_a_guest_an_adapter
    an_adapter_that_is_unassigned_is_taken_from_the_guest_and_reset
    a_queue_that_a_guest_had_not_is_not_reset_when_it_is_unassigned
    ap_config_takes_away_first_and_tells_the_guest_up_to_three_times
    unbinding_one_queue_takes_its_adapter_from_the_guest
    unbinding_a_queue_that_the_guest_has_not_changes_nothing_for_it
    a_domain_that_leaves_the_host_leaves_the_guest_and_stays_assigned
    an_adapter_that_comes_is_given_to_the_guest_it_was_assigned_to
    before_7_2_a_guest_that_loses_everything_keeps_its_masks
    before_7_2_a_guest_that_loses_its_last_adapter_or_domain_keeps_its_masks
    before_7_2_a_guest_is_told_when_the_host_loses_what_the_guest_had_not
    control_domains_follow_the_host
    taking_queues_back_by_override_takes_them_from_the_guest
}

/// A guest with adapters 5 and 6, and these domains.
fn guest<'a>(host: &'a Place, domains: &[u8]) -> Guest<'a> {
    host.mdev(A, &[5, 6], domains);
    host.guest(A)
}

const ALL: [&str; 4] = ["05.0004", "05.0047", "06.0004", "06.0047"];

// 124: vfio_ap_ops.c:vfio_ap_mdev_update_guest_apcb
fn an_assignment_reaches_a_running_guest_at_once(host: &Place) {
    let mut guest = guest(host, &[4]);
    host.write(&attr(A, "assign_domain"), "0x47");
    guest.has(&ALL, 1);
    host.write(&attr(A, "assign_control_domain"), "5");
    guest.changed(1);
    host.write(&attr(A, "assign_control_domain"), "6");
    guest.changed(0);
    host.write(&attr(A, "unassign_control_domain"), "6");
    guest.changed(0);
    host.write(&attr(A, "unassign_control_domain"), "5");
    guest.changed(1);
    host.write(&attr(A, "assign_domain"), "0x47");
    guest.changed(0);
    host.write(&attr(A, "unassign_domain"), "0x48");
    guest.changed(0);
}

// 128: vfio_ap_ops.c:assign_adapter_store (5.15)
fn no_assignment_is_refused_because_a_guest_is_running(host: &Place) {
    // Kernels before 6.0 did so, with EBUSY.
    let mut guest = guest(host, &[4]);
    for (attribute, id) in [
        ("assign_domain", "0x47"),
        ("unassign_domain", "0x47"),
        ("unassign_adapter", "6"),
        ("assign_adapter", "6"),
        ("assign_control_domain", "4"),
        ("unassign_control_domain", "4"),
    ] {
        host.write(&attr(A, attribute), id);
        guest.changed(1);
    }
}

// 125: vfio_ap_ops.c:assign_domain_store, reset_queues_for_apids
fn a_domain_can_cost_a_guest_an_adapter(host: &Place) {
    let mut guest = guest(host, &[4]);
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    host.leave_message("05.0004");
    host.leave_message("06.0004");
    host.write(&attr(A, "assign_domain"), "0x47");
    guest.has(&["05.0004", "05.0047"], 1);
    assert_eq!(host.reset_since(&["05.0004", "06.0004"]), ["06.0004"], "what it lost is reset");
}

// 126: vfio_ap_ops.c:vfio_ap_mdev_hot_unplug_adapters
fn an_adapter_that_is_unassigned_is_taken_from_the_guest_and_reset(host: &Place) {
    let mut guest = guest(host, &[4]);
    host.leave_message("05.0004");
    host.leave_message("06.0004");
    host.write(&attr(A, "unassign_adapter"), "6");
    guest.has(&["05.0004"], 1);
    assert_eq!(host.reset_since(&["05.0004", "06.0004"]), ["06.0004"], "when the write returned");
    assert_eq!(host.status("06.0004"), "unassigned");
    host.write(&attr(A, "unassign_domain"), "4");
    guest.has(&[], 1);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.\n");
    assert!(host.queue_empty("05.0004"));
}

// vfio_ap_ops.c:vfio_ap_mdev_hot_unplug_adapters, vfio_ap_mdev_hot_unplug_domains
fn a_queue_that_a_guest_had_not_is_not_reset_when_it_is_unassigned(host: &Place) {
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    let mut guest = guest(host, &[4, 0x47]);
    host.leave_message("06.0004");
    host.leave_message("05.0004");
    host.write(&attr(A, "unassign_domain"), "4");
    guest.has(&["05.0047"], 1);
    assert_eq!(host.reset_since(&["06.0004", "05.0004"]), ["05.0004"]);
    host.leave_message("05.0047");
    host.write(&attr(A, "unassign_adapter"), "6");
    guest.has(&["05.0047"], 0);
    assert!(!host.queue_empty("06.0004") && !host.queue_empty("05.0047"));
}

// 108: vfio_ap_ops.c:ap_config_store
fn ap_config_takes_away_first_and_tells_the_guest_up_to_three_times(host: &Place) {
    let mut guest = guest(host, &[4]);
    host.write(&attr(A, "unassign_adapter"), "6");
    guest.has(&["05.0004"], 1);
    host.leave_message("05.0004");
    host.write(&attr(A, "ap_config"), &format!("0x02,0x{}01,\n", "0".repeat(16)));
    guest.has(&["06.0047"], 3);
    assert!(host.queue_empty("05.0004"));
    host.write(&attr(A, "ap_config"), &host.mdev_read(A, "ap_config"));
    guest.has(&["06.0047"], 0);
    host.write(&attr(A, "ap_config"), &format!("0x02,0x{}01,04\n", "0".repeat(16)));
    guest.has(&["06.0047"], 1);
}

// 118: vfio_ap_ops.c:vfio_ap_mdev_remove_queue
fn unbinding_one_queue_takes_its_adapter_from_the_guest(host: &Place) {
    let mut guest = guest(host, &[4, 0x47]);
    ["05.0004", "05.0047", "06.0004"].iter().for_each(|apqn| host.leave_message(apqn));
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    guest.has(&["06.0004", "06.0047"], 1);
    assert_eq!(host.reset_since(&["05.0004", "05.0047", "06.0004"]), ["05.0004", "05.0047"]);
    host.write("bus/ap/drivers/vfio_ap/bind", "05.0004");
    guest.has(&ALL, 1);
}

// 120: vfio_ap_ops.c:vfio_ap_mdev_remove_queue
fn unbinding_a_queue_that_the_guest_has_not_changes_nothing_for_it(host: &Place) {
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    let mut guest = guest(host, &[4, 0x47]);
    host.leave_message("06.0004");
    host.leave_message("05.0004");
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0004");
    guest.has(&["05.0004", "05.0047"], 0);
    assert_eq!(host.reset_since(&["06.0004", "05.0004"]), ["06.0004"]);
}

// 121: vfio_ap_ops.c:vfio_ap_on_cfg_changed, vfio_ap_mdev_hot_unplug_cfg
// 122: vfio_ap_ops.c:vfio_ap_mdev_probe_queue, vfio_ap_on_scan_complete
fn a_domain_that_leaves_the_host_leaves_the_guest_and_stays_assigned(host: &Place) {
    let mut guest = guest(host, &[4, 0x47]);
    host.leave_message("05.0004");
    host.order_and_scan(Order::UsageDomain(0x47, false));
    guest.has(&["05.0004", "06.0004"], 1);
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n05.0047\n06.0004\n06.0047\n");
    assert!(!host.queue_empty("05.0004"), "what stays is not reset");
    host.order_and_scan(Order::UsageDomain(0x47, true));
    // Once, at the end of the scan.
    guest.has(&ALL, 1);
}

// vfio_ap_ops.c:vfio_ap_on_scan_complete
fn an_adapter_that_comes_is_given_to_the_guest_it_was_assigned_to(host: &Place) {
    host.order_and_scan(Order::RemoveCard(6));
    let mut guest = guest(host, &[4]);
    guest.has(&["05.0004"], 0);
    host.order_and_scan(Order::AddCard(6, "CEX8C"));
    guest.has(&["05.0004", "06.0004"], 1);
}

// vfio_ap_ops.c:vfio_ap_mdev_hot_unplug_cfg
fn before_7_2_a_guest_that_loses_everything_keeps_its_masks(host: &Place) {
    let mut guest = guest(host, &[4]);
    for order in [
        Order::UsageDomain(4, false),
        Order::UsageDomain(0x47, false),
        Order::RemoveCard(4),
        Order::RemoveCard(5),
        Order::RemoveCard(6),
    ] {
        host.order(order);
    }
    host.scan();
    guest.changed(usize::from(host.kernel == KernelProfile::V7_2));
    assert_eq!(host.mdev_read(A, "guest_matrix"), "");
}

// vfio_ap_ops.c:vfio_ap_mdev_hot_unplug_cfg
fn before_7_2_a_guest_that_loses_its_last_adapter_or_domain_keeps_its_masks(host: &Place) {
    let mut guest = guest(host, &[4]);
    let updates = usize::from(host.kernel == KernelProfile::V7_2);
    host.order_and_scan(Order::UsageDomain(4, false));
    guest.changed(updates);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.\n06.\n");
    host.order_and_scan(Order::UsageDomain(4, true));
    guest.has(&["05.0004", "06.0004"], 1);
    host.order(Order::RemoveCard(5));
    host.order_and_scan(Order::RemoveCard(6));
    guest.changed(updates);
    assert_eq!(host.mdev_read(A, "guest_matrix"), ".0004\n");
}

// vfio_ap_ops.c:vfio_ap_mdev_cfg_remove
fn before_7_2_a_guest_is_told_when_the_host_loses_what_the_guest_had_not(host: &Place) {
    let mut guest = guest(host, &[4]);
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    guest.has(&["06.0004"], 1);
    host.order_and_scan(Order::RemoveCard(5));
    guest.has(&["06.0004"], usize::from(host.kernel < KernelProfile::V7_2));
}

// vfio_ap_ops.c:vfio_ap_mdev_filter_cdoms, vfio_ap_mdev_cfg_remove
fn control_domains_follow_the_host(host: &Place) {
    // Before 7.2 what the host loses stays with the guests it is assigned to.
    let follows = host.kernel == KernelProfile::V7_2;
    host.mdev(A, &[5], &[4]);
    host.write(&attr(A, "assign_control_domain"), "5");
    host.write(&attr(A, "assign_control_domain"), "6");
    let mut guest = host.guest(A);
    host.order_and_scan(Order::ControlDomain(5, false));
    guest.has(&["05.0004"], follows.into());
    assert_eq!(host.mdev_read(A, "control_domains"), "0005\n0006\n");
    host.order_and_scan(Order::ControlDomain(5, true));
    guest.has(&["05.0004"], follows.into());
    // One of another guest's is nothing to this one.
    host.order_and_scan(Order::ControlDomain(7, true));
    guest.has(&["05.0004"], 0);
    host.order_and_scan(Order::ControlDomain(6, true));
    guest.has(&["05.0004"], 1);
    host.order_and_scan(Order::ControlDomain(7, false));
    guest.has(&["05.0004"], (!follows).into());
}

#[test]
fn a_guest_has_the_control_domains_that_the_host_has_and_before_7_2_those_that_it_had() {
    for kernel in KernelProfile::ALL {
        let host = Host::with_kernel(HOST, kernel.name());
        host.mdev(A, &[], &[]);
        host.write(&attr(A, "assign_control_domain"), "5");
        let (_open, vm) = host.open(A);
        host.order_and_scan(Order::ControlDomain(5, false));
        assert_eq!(vm.now().unwrap().adm.is_empty(), kernel == KernelProfile::V7_2, "{kernel}");
        host.order_and_scan(Order::ControlDomain(5, true));
        assert_eq!(vm.now().unwrap().adm.count(), 1);
    }
}

// ap_bus.c:ap_device_probe
fn taking_queues_back_by_override_takes_them_from_the_guest(host: &Place) {
    if !host.kernel.has_driver_override() {
        assert_eq!(host.read_errno("bus/ap/devices/05.0004/driver_override"), libc::ENOENT);
        return;
    }
    host.unmask();
    for apqn in ["05.0004", "06.0004"] {
        host.write(&format!("bus/ap/devices/{apqn}/driver_override"), "vfio_ap");
        host.write("bus/ap/drivers/cex4queue/unbind", apqn);
        host.write("bus/ap/drivers_probe", apqn);
    }
    let mut guest = guest(host, &[4]);
    guest.has(&["05.0004", "06.0004"], 0);
    host.write("bus/ap/devices/06.0004/driver_override", "\n");
    guest.changed(0);
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0004");
    host.write("bus/ap/drivers_probe", "06.0004");
    guest.has(&["05.0004"], 1);
    assert_eq!(host.bound("vfio_ap"), ["05.0004"]);
    // It is the host's again.
    host.becomes("bus/ap/devices/06.0004/interrupt", "Interrupts enabled.\n");
}
