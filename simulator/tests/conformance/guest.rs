//! An mdev that a VM has open: information, interrupts, reset, AQIC.

use crate::fixture::{A, B, EPERM, HOST, Host, Order, Place, Told, Vm, attr, id, on_every_host, queue};
use adjunct_hypervisor::{ApDeviceInfo, ApIrq, EventFd, IrqInfo};
use adjunct_simulator::{Notification, OpenMdev};
use std::{sync::Arc, thread, time::Duration};

on_every_host! {
    a_queue_says_whether_a_guest_has_it
    the_device_says_how_many_interrupts_it_has
    a_trigger_stays_until_it_is_replaced_even_when_the_device_is_closed
    a_queue_that_can_not_be_reset_is_eio_and_the_others_are_reset
    a_reset_and_a_close_cover_all_queues_of_the_mdev_and_opening_resets_none
}

// 136: drivers/vfio/group.c:vfio_device_get_from_name
#[test]
fn an_mdev_that_is_not_there_is_enodev() {
    let host = Host::new();
    let refused = host.host.open_mdev(id(A), host.host.new_vm_id(), Arc::new(Vm::default()));
    assert_eq!(refused.err(), Some(libc::ENODEV));
}

// 141: drivers/vfio/group.c:vfio_group_fops_open
#[test]
fn an_mdev_can_be_open_once() {
    let host = Host::new();
    host.mdev(A, &[], &[]);
    let (open, _) = host.open(A);
    let again = || host.host.open_mdev(id(A), host.host.new_vm_id(), Arc::new(Vm::default()));
    assert_eq!(again().err(), Some(libc::EBUSY));
    drop(open);
    assert!(again().is_ok());
}

// 138: vfio_ap_ops.c:vfio_ap_mdev_set_kvm
#[test]
fn a_vm_has_one_vfio_ap_device() {
    for (kernel, keeps_aqic) in [("7.2", true), ("7.0", false), ("6.12", false)] {
        let host = Host::with_kernel(HOST, kernel);
        host.mdev(A, &[5], &[4]);
        host.mdev(B, &[6], &[4]);
        let vm = host.host.new_vm_id();
        let masks = Arc::new(Vm::default());
        let first = host.host.open_mdev(id(A), vm, masks.clone()).unwrap();
        first.map_dma(0..0x10_0000).unwrap();
        assert_eq!(host.host.open_mdev(id(B), vm, masks.clone()).err(), Some(EPERM), "{kernel}");
        assert_eq!(masks.queues(), ["05.0004"]);
        let status = first.aqic(queue("05.0004"), notification(0x1000));
        assert_eq!(status.code() == 0, keeps_aqic, "{kernel}: {status:?}");
        drop(first);
        assert!(host.host.open_mdev(id(B), vm, masks).is_ok());
    }
}

#[test]
fn a_guest_has_the_masks_while_the_mdev_is_open() {
    let host = Host::new();
    host.mdev(A, &[5, 6], &[4]);
    host.write(&attr(A, "assign_control_domain"), "5");
    host.write(&attr(A, "assign_control_domain"), "6");
    let (open, vm) = host.open(A);
    assert_eq!(vm.queues(), ["05.0004", "06.0004"]);
    assert_eq!(vm.now().unwrap().adm, [5].map(Into::into).into_iter().collect(), "0x06 is not the host's");
    host.leave_message("05.0004");
    drop(open);
    assert_eq!((vm.updates(), vm.now()), (2, None));
    assert!(host.queue_empty("05.0004"), "closing resets");
    assert_eq!(Arc::strong_count(&vm), 1, "nothing keeps the VM");
}

// 57, 58: vfio_ap_ops.c:status_show
fn a_queue_says_whether_a_guest_has_it(host: &Place) {
    host.mdev(A, &[5, 6], &[4]);
    assert_eq!(host.status("05.0047"), "unassigned");
    assert_eq!(host.status("05.0004"), "assigned");
    let guest = host.guest(A);
    assert_eq!(host.status("05.0004"), "in use");
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!((&*host.status("06.0004"), &*host.status("05.0047")), ("assigned", "in use"));
    drop(guest);
    assert_eq!(host.status("05.0004"), "assigned");
    assert_eq!(host.read_errno("bus/ap/devices/04.0004/status"), libc::ENOENT, "only for vfio_ap's queues");
}

// 146, 148: vfio_ap_ops.c:vfio_ap_mdev_get_device_info, vfio_ap_get_irq_info
fn the_device_says_how_many_interrupts_it_has(host: &Place) {
    let irqs = host.kernel.num_irqs();
    host.mdev(A, &[], &[]);
    let device = host.guest(A).opened;
    assert_eq!(device.info(), ApDeviceInfo { flags: 0x21, num_regions: 0, num_irqs: irqs });
    for irq in [ApIrq::ReleaseRequest, ApIrq::ConfigChanged] {
        let there = irq.index() < irqs;
        let answer = if there { Ok(IrqInfo { flags: 1, count: 1 }) } else { Err(libc::EINVAL) };
        assert_eq!(device.irq_info(irq), answer, "{irq:?}");
        assert_eq!(device.set_trigger(irq, None), if there { Ok(()) } else { Err(libc::EINVAL) });
    }
}

// 149, 160: vfio_ap_ops.c:vfio_ap_set_cfg_change_irq
fn a_trigger_stays_until_it_is_replaced_even_when_the_device_is_closed(host: &Place) {
    host.mdev(A, &[5], &[]);
    let device = host.beyond.open(A).unwrap();
    let event = || EventFd::new(libc::EFD_NONBLOCK).unwrap();
    let (first, second) = (event(), event());
    if host.kernel.num_irqs() < 2 {
        assert_eq!(device.set_trigger(ApIrq::ConfigChanged, Some(&first)), Err(libc::EINVAL));
        return;
    }
    device.set_trigger(ApIrq::ConfigChanged, Some(&first)).unwrap();
    device.set_trigger(ApIrq::ConfigChanged, Some(&second)).unwrap();
    host.write(&attr(A, "assign_domain"), "4");
    assert!(first.read().is_err(), "replaced");
    assert_eq!(second.read().unwrap(), 1);
    drop(device);
    assert!(second.read().is_err(), "closing changes nothing for anybody");
    let device = host.beyond.open(A).unwrap();
    assert_eq!(second.read().unwrap(), 1, "opening does");
    device.set_trigger(ApIrq::ConfigChanged, None).unwrap();
    host.write(&attr(A, "unassign_domain"), "4");
    assert!(second.read().is_err());
}

// 129: vfio_ap_ops.c:apq_reset_check, vfio_ap_mdev_reset_queues
#[test]
fn a_reset_waits_20_milliseconds_for_all_queues_together() {
    let host = Host::new();
    host.mdev(A, &[5, 6], &[4, 0x47]);
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    let (open, vm) = host.open(A);
    assert_eq!(vm.queues(), ["05.0004", "05.0047"]);
    for apqn in ["05.0004", "05.0047", "06.0004"] {
        host.leave_message(apqn);
    }
    let before = host.host.clock().now();
    assert_eq!(open.reset(), Ok(()));
    let took = Duration::from_nanos(host.host.clock().now() - before);
    assert!(took >= Duration::from_millis(20) && took < Duration::from_millis(21), "{took:?}");
    // Filtered or not, what is linked is reset.
    assert!(["05.0004", "05.0047", "06.0004"].iter().all(|apqn| host.queue_empty(apqn)));
}

// 130: vfio_ap_ops.c:vfio_ap_mdev_reset_queues
fn a_queue_that_can_not_be_reset_is_eio_and_the_others_are_reset(host: &Place) {
    host.mdev(A, &[5, 6], &[4]);
    let device = host.guest(A).opened;
    host.leave_message("06.0004");
    host.order(Order::Configure(5, false));
    assert_eq!(device.reset(), Err(libc::EIO));
    assert!(host.queue_empty("06.0004"));
    host.order(Order::Configure(5, true));
    assert_eq!(device.reset(), Ok(()));
}

// 133: vfio_ap_ops.c:vfio_ap_mdev_reset_queues, vfio_ap_mdev_close_device
fn a_reset_and_a_close_cover_all_queues_of_the_mdev_and_opening_resets_none(host: &Place) {
    host.mdev(A, &[5, 6], &[4, 0x47]);
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    let all = ["05.0004", "05.0047", "06.0004", "06.0047"];
    let leave = || {
        all.iter().filter(|apqn| host.queue_empty(apqn)).for_each(|apqn| host.leave_message(apqn));
    };
    leave();
    let mut guest = host.guest(A);
    guest.has(&["05.0004", "05.0047"], 0);
    assert_eq!(host.reset_since(&all), [""; 0]);
    assert_eq!(guest.opened.reset(), Ok(()));
    // Filtered or not, what is bound and assigned is reset.
    assert_eq!(host.reset_since(&all), ["05.0004", "05.0047", "06.0004"]);
    leave();
    drop(guest);
    assert_eq!(host.reset_since(&all), ["05.0004", "05.0047", "06.0004"]);
}

// vfio_ap_ops.c:vfio_ap_mdev_reset_queue
#[test]
fn a_queue_that_is_off_is_not_waited_for() {
    let host = Host::new();
    let (open, _) = attached(&host);
    open.aqic(queue("05.0004"), notification(0x1000));
    host.write(&attr(A, "unassign_adapter"), "6");
    host.configure(5, false);
    let before = host.host.clock().now();
    assert_eq!(open.reset(), Err(libc::EIO));
    assert!(Duration::from_nanos(host.host.clock().now() - before) < Duration::from_millis(20));
}

// 132: vfio_ap_ops.c:apq_reset_check
#[test]
fn a_reset_that_never_ends_is_waited_for_without_limit() {
    let host = Host::new();
    host.mdev(A, &[5], &[4]);
    let (open, _) = host.open(A);
    host.host.adapters().operate(|machine| machine.set_stuck(queue("05.0004"), true));
    let clock = host.host.clock().clone();
    let start = clock.now();
    let reset = thread::spawn(move || open.reset());
    // From 20 s on it is real time that passes.
    while Duration::from_nanos(clock.now() - start) < Duration::from_millis(20_100) {
        thread::yield_now();
    }
    assert!(!reset.is_finished());
    host.host.adapters().operate(|machine| machine.set_stuck(queue("05.0004"), false));
    assert_eq!(reset.join().unwrap(), Ok(()));
}

fn notification(nib: u64) -> Option<Notification> {
    Some(Notification { nib: Some(nib), isc: 6, sink: Arc::new(Told::default()) })
}

fn attached(host: &Host) -> (OpenMdev, Arc<Vm>) {
    host.mdev(A, &[5, 6], &[4]);
    let (open, vm) = host.open(A);
    for memory in [0..0x1000, 0x1000..0x2000, 0x2000..0x100_0000] {
        open.map_dma(memory).unwrap();
    }
    assert_eq!(open.reset(), Ok(()));
    (open, vm)
}

// vfio_ap_ops.c:vfio_ap_irq_disable
#[test]
fn disabling_the_interruptions_of_a_queue_that_is_reset_is_tried_six_times_in_100_ms_and_given_up_after_120()
{
    for (reset_time, code, waited) in [(90, 0, 100), (110, 2, 120), (500, 2, 120)] {
        let host = Host::new();
        let (open, _) = attached(&host);
        assert_eq!(open.aqic(queue("05.0004"), notification(0x1000)).code(), 0);
        let adapters = host.host.adapters();
        adapters.operate(|machine| machine.reset_time = Duration::from_millis(reset_time));
        adapters.reset(queue("05.0004"));
        let before = host.host.clock().now();
        // A reset disables them, so that there is nothing to do when it has ended.
        let seen = open.aqic(queue("05.0004"), None).code();
        assert!(seen == code || (code, seen) == (0, 7), "{reset_time}: {seen}");
        let time = Duration::from_nanos(host.host.clock().now() - before);
        assert_eq!(time.as_millis(), waited, "{reset_time}");
    }
}

// 164, 165: vfio_ap_ops.c:vfio_ap_validate_nib, vfio_ap_irq_enable
#[test]
fn a_notification_byte_must_be_in_guest_memory_that_the_device_may_reach() {
    let host = Host::new();
    let (open, _) = attached(&host);
    let mut nowhere = notification(0x1000).unwrap();
    nowhere.nib = None;
    assert_eq!(open.aqic(queue("05.0004"), Some(nowhere)).code(), 6);
    for nib in [0, 0x100_0000] {
        assert_eq!(open.aqic(queue("05.0004"), notification(nib)).code(), 6, "{nib:#x}");
    }
    assert_eq!(open.aqic(queue("05.0004"), notification(0xff_ffff)).code(), 0);
}

// 166: vfio_ap_ops.c:handle_pqap
#[test]
fn aqic_of_a_queue_that_is_not_the_mdevs_or_not_bound_is_response_code_1() {
    let host = Host::new();
    let (open, _) = attached(&host);
    for apqn in ["05.0047", "07.0004", "04.0004"] {
        assert_eq!(open.aqic(queue(apqn), notification(0x1000)).code(), 1, "{apqn}");
        assert_eq!(open.aqic(queue(apqn), None).code(), 1, "{apqn}");
    }
    host.write("bus/ap/drivers/vfio_ap/unbind", "05.0004");
    assert_eq!(open.aqic(queue("05.0004"), notification(0x1000)).code(), 1);
}

// vfio_ap_ops.c:handle_pqap
#[test]
fn a_queue_that_is_kept_from_the_guest_by_a_sibling_can_still_be_asked() {
    let host = Host::new();
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.0047");
    let (open, vm) = attached(&host);
    host.write(&attr(A, "assign_domain"), "0x47");
    assert_eq!(vm.queues(), ["05.0004", "05.0047"]);
    assert_eq!(open.aqic(queue("06.0004"), notification(0x1000)).code(), 0);
}

// 168, 169: vfio_ap_ops.c:vfio_ap_irq_enable, vfio_ap_irq_disable
#[test]
fn interruptions_are_enabled_once_and_disabled_once() {
    let host = Host::new();
    let (open, _) = attached(&host);
    let told = Arc::new(Told::default());
    let first = Notification { nib: Some(0x1000), isc: 6, sink: told.clone() };
    assert_eq!(open.aqic(queue("05.0004"), Some(first)).code(), 0);
    assert_eq!(open.aqic(queue("05.0004"), notification(0x2000)).code(), 7);
    host.host.adapters().enqueue(queue("05.0004"), 1, b"x");
    assert_eq!(*told.0.lock().unwrap(), [(0x1000, 6)], "the first registration is kept");
    assert_eq!(open.aqic(queue("05.0004"), None).code(), 0);
    assert_eq!(open.aqic(queue("05.0004"), None).code(), 7);
}

// 134: vfio_ap_ops.c:vfio_ap_free_aqic_resources
#[test]
fn a_reset_ends_interruptions() {
    let host = Host::new();
    let (open, _) = attached(&host);
    open.aqic(queue("05.0004"), notification(0x1000));
    assert!(host.host.adapters().test(queue("05.0004")).status.interruptions_enabled());
    open.reset().unwrap();
    assert!(!host.host.adapters().test(queue("05.0004")).status.interruptions_enabled());
    assert_eq!(open.aqic(queue("05.0004"), notification(0x1000)).code(), 0);
}

// 170: vfio_ap_ops.c:vfio_ap_mdev_dma_unmap
#[test]
fn unmapping_a_notification_byte_disables_its_queue() {
    let host = Host::new();
    let (open, _) = attached(&host);
    open.aqic(queue("05.0004"), notification(0x1000));
    open.aqic(queue("06.0004"), notification(0x5000));
    open.unmap_dma(0x1000..0x2000).unwrap();
    let enabled = |apqn: &str| host.host.adapters().test(queue(apqn)).status.interruptions_enabled();
    assert!(!enabled("05.0004") && enabled("06.0004"));
    for (nib, code) in [(0x1000, 6), (0x1fff, 6), (0xfff, 0)] {
        assert_eq!(open.aqic(queue("05.0004"), notification(nib)).code(), code, "{nib:#x}");
    }
}

#[test]
fn mappings_end_with_the_device() {
    let host = Host::new();
    let (open, _) = attached(&host);
    drop(open);
    let (open, _) = host.open(A);
    assert_eq!(open.aqic(queue("05.0004"), notification(0x1000)).code(), 6);
}
