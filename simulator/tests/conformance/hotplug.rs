//! What a running guest sees when its mdev, the host's drivers or the host's configuration change.

use crate::fixture::{A, HOST, Host, Vm, attr, queue};
use adjunct_ap::Apid;
use adjunct_hypervisor::EventFd;
use adjunct_simulator::OpenMdev;
use std::sync::Arc;

struct Guest {
    open: OpenMdev,
    vm: Arc<Vm>,
    changed: EventFd,
    updates: usize,
}

/// A guest with adapters 5 and 6, and these domains.
fn guest(host: &Host, domains: &[u8]) -> Guest {
    host.mdev(A, &[5, 6], domains);
    let (open, vm) = host.open(A);
    let changed = EventFd::new(libc::EFD_NONBLOCK).unwrap();
    open.set_irq(1, Some(changed.try_clone().unwrap())).unwrap();
    Guest { updates: vm.updates(), open, vm, changed }
}

impl Guest {
    /// How often its masks were written since the last question, which is how often it was told.
    fn changes(&mut self) -> usize {
        let changes = self.vm.updates() - self.updates;
        self.updates = self.vm.updates();
        assert_eq!(self.changed.read().unwrap_or(0), changes as u64, "events");
        changes
    }
}

// 124: vfio_ap_ops.c:vfio_ap_mdev_update_guest_apcb
#[test]
fn an_assignment_reaches_a_running_guest_at_once() {
    let host = Host::new();
    let mut guest = guest(&host, &[4]);
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!(guest.changes(), 1);
    assert_eq!(guest.vm.queues(), ["05.0004", "05.0047", "06.0004", "06.0047"]);
    host.write(&attr(A, "assign_control_domain"), "5");
    assert_eq!(guest.changes(), 1);
    host.write(&attr(A, "assign_control_domain"), "6");
    assert_eq!(guest.changes(), 0, "the host has no control domain 6");
    host.write(&attr(A, "unassign_control_domain"), "5");
    assert_eq!(guest.changes(), 1);
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!(guest.changes(), 0, "it was assigned");
}

// 125: vfio_ap_ops.c:assign_domain_store, reset_queues_for_apids
#[test]
fn a_domain_can_cost_a_guest_an_adapter() {
    let host = Host::new();
    let mut guest = guest(&host, &[4]);
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    host.leave_message("05.0004");
    host.leave_message("06.0004");
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!(guest.changes(), 1);
    assert_eq!(guest.vm.queues(), ["05.0004", "05.0047"]);
    assert!(host.queue_empty("06.0004") && !host.queue_empty("05.0004"), "what it lost is reset");
}

// 126: vfio_ap_ops.c:vfio_ap_mdev_hot_unplug_adapters
#[test]
fn an_adapter_that_is_unassigned_is_taken_from_the_guest_and_reset() {
    let host = Host::new();
    let mut guest = guest(&host, &[4]);
    host.leave_message("06.0004");
    host.write(&attr(A, "unassign_adapter"), "6");
    assert_eq!(guest.changes(), 1);
    assert_eq!(guest.vm.queues(), ["05.0004"]);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n");
    assert!(host.queue_empty("06.0004"), "when the write returned");
    assert_eq!(host.read("bus/ap/devices/06.0004/status"), "unassigned\n");
    host.leave_message("05.0004");
    host.write(&attr(A, "unassign_domain"), "4");
    assert_eq!(guest.changes(), 1);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "05.\n");
    assert!(host.queue_empty("05.0004"));
}

#[test]
fn a_queue_that_a_guest_had_not_is_not_reset_when_it_is_unassigned() {
    let host = Host::new();
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    let mut guest = guest(&host, &[4, 0x47]);
    host.leave_message("06.0004");
    host.write(&attr(A, "unassign_adapter"), "6");
    assert_eq!(guest.changes(), 0);
    assert!(!host.queue_empty("06.0004"));
}

// 108: vfio_ap_ops.c:ap_config_store
#[test]
fn ap_config_takes_away_first_and_tells_the_guest_up_to_three_times() {
    let host = Host::new();
    let mut guest = guest(&host, &[4]);
    host.write(&attr(A, "unassign_adapter"), "6");
    guest.changes();
    host.leave_message("05.0004");
    host.write(&attr(A, "ap_config"), &format!("0x02,0x{}01,\n", "0".repeat(16)));
    assert_eq!(guest.changes(), 3);
    assert_eq!(guest.vm.queues(), ["06.0047"]);
    assert!(host.queue_empty("05.0004"));
    host.write(&attr(A, "ap_config"), &host.mdev_read(A, "ap_config"));
    assert_eq!(guest.changes(), 0);
}

// 118: vfio_ap_ops.c:vfio_ap_mdev_remove_queue
#[test]
fn unbinding_one_queue_takes_its_adapter_from_the_guest() {
    let host = Host::new();
    let mut guest = guest(&host, &[4, 0x47]);
    for apqn in ["05.0004", "05.0047", "06.0004"] {
        host.leave_message(apqn);
    }
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    assert_eq!(guest.changes(), 1);
    assert_eq!(guest.vm.queues(), ["06.0004", "06.0047"]);
    assert_eq!(host.mdev_read(A, "guest_matrix"), "06.0004\n06.0047\n");
    assert!(host.queue_empty("05.0004") && host.queue_empty("05.0047") && !host.queue_empty("06.0004"));
    host.write("bus/ap/drivers/vfio_ap/bind", "05.0004");
    assert_eq!(guest.changes(), 1);
    assert_eq!(guest.vm.queues().len(), 4, "binding brings it back");
}

// 120: vfio_ap_ops.c:vfio_ap_mdev_remove_queue
#[test]
fn unbinding_a_queue_that_the_guest_has_not_changes_nothing_for_it() {
    let host = Host::new();
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    let mut guest = guest(&host, &[4, 0x47]);
    host.leave_message("06.0004");
    host.leave_message("05.0004");
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0004");
    assert_eq!(guest.changes(), 0);
    assert!(host.queue_empty("06.0004") && !host.queue_empty("05.0004"));
}

// 121: vfio_ap_ops.c:vfio_ap_on_cfg_changed, vfio_ap_mdev_hot_unplug_cfg
#[test]
fn a_domain_that_leaves_the_host_leaves_the_guest_and_stays_assigned() {
    let host = Host::new();
    let mut guest = guest(&host, &[4, 0x47]);
    host.leave_message("05.0004");
    host.set_usage_domains(&[4]);
    host.host.config_changed();
    assert_eq!(guest.changes(), 1);
    assert_eq!(guest.vm.queues(), ["05.0004", "06.0004"]);
    assert_eq!(host.mdev_read(A, "matrix"), "05.0004\n05.0047\n06.0004\n06.0047\n");
    assert!(!host.queue_empty("05.0004"), "what stays is not reset");
    // 122: vfio_ap_mdev_probe_queue, vfio_ap_on_scan_complete
    host.set_usage_domains(&[4, 0x47]);
    host.host.config_changed();
    assert_eq!(guest.changes(), 1, "once, at the end of the scan");
    assert_eq!(guest.vm.queues(), ["05.0004", "05.0047", "06.0004", "06.0047"]);
}

#[test]
fn an_adapter_that_comes_is_given_to_the_guest_it_was_assigned_to() {
    let host = Host::new();
    let card = host.host.adapters().operate(|machine| machine.cards.remove(&Apid(6))).unwrap();
    host.host.config_changed();
    let mut guest = guest(&host, &[4]);
    assert_eq!(guest.vm.queues(), ["05.0004"]);
    host.host.adapters().operate(|machine| machine.cards.insert(Apid(6), card));
    host.write("bus/ap/scans", "1");
    assert_eq!(guest.changes(), 1);
    assert_eq!(guest.vm.queues(), ["05.0004", "06.0004"]);
    drop(guest.open);
}

#[test]
fn before_7_2_a_guest_that_loses_everything_keeps_its_masks() {
    for (kernel, changes) in [("6.17", 0), ("7.0", 0), ("7.2", 1)] {
        let host = Host::with_kernel(HOST, kernel);
        let mut guest = guest(&host, &[4]);
        host.host.adapters().operate(|machine| {
            machine.usage_domains = Default::default();
            machine.cards.clear();
        });
        host.host.config_changed();
        assert_eq!(guest.changes(), changes, "{kernel}");
        assert_eq!(host.mdev_read(A, "guest_matrix"), "");
    }
}

#[test]
fn control_domains_follow_the_host() {
    let host = Host::new();
    host.mdev(A, &[], &[]);
    host.write(&attr(A, "assign_control_domain"), "5");
    let (_open, vm) = host.open(A);
    let control = |domains: &[u8]| {
        let mask = domains.iter().copied().map(Into::into).collect();
        host.host.adapters().operate(|machine| machine.control_domains = mask);
        host.host.config_changed();
    };
    control(&[4]);
    assert!(vm.now().unwrap().adm.is_empty());
    assert_eq!(host.mdev_read(A, "control_domains"), "0005\n");
    control(&[4, 5]);
    assert_eq!(vm.now().unwrap().adm.count(), 1);
}

#[test]
fn taking_queues_back_by_override_takes_them_from_the_guest() {
    let host = Host::of(&crate::fixture::unmasked());
    for apqn in ["05.0004", "06.0004"] {
        host.write(&format!("bus/ap/devices/{apqn}/driver_override"), "vfio_ap");
        host.write("bus/ap/drivers/cex4queue/unbind", apqn);
        host.write("bus/ap/drivers_probe", apqn);
    }
    let mut guest = guest(&host, &[4]);
    assert_eq!(guest.vm.queues(), ["05.0004", "06.0004"]);
    host.write("bus/ap/devices/06.0004/driver_override", "\n");
    assert_eq!(guest.changes(), 0);
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0004");
    host.write("bus/ap/drivers_probe", "06.0004");
    assert_eq!(guest.vm.queues(), ["05.0004"]);
    assert_eq!(host.bound("vfio_ap"), ["05.0004"]);
    assert!(
        host.host.adapters().test(queue("06.0004")).status.interruptions_enabled(),
        "it is the host's again"
    );
}
