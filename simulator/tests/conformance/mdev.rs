//! Making and removing mdevs.

use crate::fixture::{A, B, Host, Place, TYPE, attr, id, on_every_host};
use adjunct_hypervisor::{ApIrq, EventFd};
use std::{sync::mpsc, thread, time::Duration};

on_every_host! {
    the_matrix_device_says_what_it_can
    an_mdev_type_has_no_description
    a_uuid_is_36_characters_and_one_more_that_nobody_looks_at
    a_uuid_can_be_used_once
    a_new_mdev_has_nothing
    removing_takes_a_number_other_than_zero
    the_matrix_device_can_not_be_taken_from_its_driver
    an_open_mdev_that_shall_go_is_asked_for_at_once_and_goes_when_it_is_closed
}

fn event() -> (EventFd, EventFd) {
    let event = EventFd::new(libc::EFD_NONBLOCK).unwrap();
    (event.try_clone().unwrap(), event)
}

// 61: vfio_ap_drv.c:features_show
fn the_matrix_device_says_what_it_can(host: &Place) {
    for path in ["devices/vfio_ap/matrix/features", "bus/matrix/devices/matrix/features"] {
        assert_eq!(host.read(path), "guest_matrix hotplug ap_config\n");
    }
}

// 62: mdev_sysfs.c:mdev_types_core_is_visible
fn an_mdev_type_has_no_description(host: &Place) {
    assert_eq!(host.list(TYPE), ["available_instances", "create", "device_api", "devices", "name"]);
    assert_eq!(host.read(&format!("{TYPE}/name")), "VFIO AP Passthrough Device\n");
    assert_eq!(host.read(&format!("{TYPE}/device_api")), "vfio-ap\n");
    assert_eq!(host.read(&format!("{TYPE}/available_instances")), "65536\n");
}

// 64, 65, 66: mdev_sysfs.c:create_store, lib/uuid.c:uuid_is_valid
fn a_uuid_is_36_characters_and_one_more_that_nobody_looks_at(host: &Place) {
    let create = |text: &str| host.try_write(&format!("{TYPE}/create"), text);
    for text in [&A[..35], &format!("{A}\n\n"), &A.replace("6c", "6g"), &A.replacen("-0d3e", "0-d3e", 1), "x"]
    {
        assert_eq!(create(text), libc::EINVAL, "{text:?}");
    }
    assert_eq!(create(&format!("{}Z", A.to_uppercase())), 0);
    assert_eq!(create(&format!("{B}\0")), 0);
    assert_eq!(host.mdevs(), [A, B]);
}

// 68: mdev_core.c:mdev_device_create
fn a_uuid_can_be_used_once(host: &Place) {
    host.mdev(A, &[], &[]);
    assert_eq!(host.try_write(&format!("{TYPE}/create"), &A.to_uppercase()), libc::EEXIST);
    assert_eq!(host.read(&format!("{TYPE}/available_instances")), "65535\n");
    host.write(&attr(A, "remove"), "1\n");
    assert_eq!(host.read(&format!("{TYPE}/available_instances")), "65536\n");
    host.mdev(A, &[], &[]);
}

// 69: mdev_core.c:mdev_device_create
#[test]
fn when_no_instance_is_left_another_mdev_is_eusers() {
    let host = Host::new();
    let uuid = |n: u32| format!("6c4a5d2e-0d3e-4c7a-9b0a-{n:012x}");
    (0..65536).for_each(|n| host.write(&format!("{TYPE}/create"), &uuid(n)));
    assert_eq!(host.read(&format!("{TYPE}/available_instances")), "0\n");
    assert_eq!(host.try_write(&format!("{TYPE}/create"), &uuid(65536)), libc::EUSERS);
    assert_eq!(host.try_write(&format!("{TYPE}/create"), &uuid(7)), libc::EEXIST, "asked first");
}

// 70: vfio_ap_ops.c:vfio_ap_mdev_matrix_show
fn a_new_mdev_has_nothing(host: &Place) {
    host.mdev(A, &[], &[]);
    for attribute in ["matrix", "guest_matrix", "control_domains"] {
        assert_eq!(host.mdev_read(A, attribute), "");
    }
}

// 72, 73: mdev_sysfs.c:remove_store
fn removing_takes_a_number_other_than_zero(host: &Place) {
    host.mdev(A, &[5], &[4]);
    host.write(&attr(A, "remove"), "0\n");
    for text in ["abc", "18446744073709551616", "-1", " 1"] {
        assert_eq!(host.mdev_write(A, "remove", text), libc::EINVAL, "{text:?}");
    }
    host.leave_message("05.0004");
    host.write(&attr(A, "remove"), "0x10");
    assert_eq!(host.list("bus/mdev/devices"), [""; 0]);
    assert!(host.queue_empty("05.0004"), "its queues were reset");
    assert_eq!(host.status("05.0004"), "unassigned");
    assert_eq!(host.mdev_write(A, "remove", "1"), libc::ENOENT);
}

// 158: vfio_main.c:vfio_unregister_group_dev, vfio_ap_ops.c:vfio_ap_mdev_request
#[test]
fn removing_an_open_mdev_waits_until_it_is_closed() {
    for (kernel, clears) in [("6.12", false), ("6.17", true), ("7.2", true)] {
        let host = Host::with_kernel(crate::fixture::HOST, kernel);
        host.mdev(A, &[5], &[4]);
        let (open, vm) = host.open(A);
        let (request, requested) = event();
        open.set_irq(0, Some(request)).unwrap();
        let changed = clears.then(event).map(|(trigger, changed)| {
            open.set_irq(1, Some(trigger)).unwrap();
            changed
        });
        let (done, removed) = mpsc::channel();
        let simulated = host.host.clone();
        let remover = thread::spawn(move || {
            let answer = Host::around(simulated).mdev_write(A, "remove", "1");
            done.send(()).unwrap();
            answer
        });
        // The file goes first: that is when the request was made.
        while host.list(&format!("devices/vfio_ap/matrix/{A}")).contains(&"remove".to_owned()) {
            thread::yield_now();
        }
        assert_eq!(requested.read().unwrap(), 1, "{kernel}");
        assert_eq!(vm.now().is_none(), clears, "{kernel}: masks");
        if let Some(changed) = changed {
            assert_eq!(changed.read().unwrap(), 1);
        }
        assert_eq!(host.status("05.0004"), "in use");
        let relayed = |n| {
            let line = format!("vfio_ap_mdev {A}: Relaying device request to user (#{n})");
            host.host.log().iter().filter(|said| **said == line).count()
        };
        assert_eq!(relayed(0), 1, "{kernel}");
        host.host.advance(Duration::from_secs(9));
        assert!(requested.read().is_err());
        host.host.advance(Duration::from_secs(1));
        assert_eq!(requested.read().unwrap(), 1, "asked again after ten seconds");
        assert_eq!(relayed(1), 0, "said at every tenth only");
        (0..9).for_each(|_| host.host.advance(Duration::from_secs(10)));
        assert_eq!((requested.read().unwrap(), relayed(10)), (9, 1));
        assert!(removed.try_recv().is_err(), "it still waits");
        let refused = host.host.open_mdev(id(A), host.host.new_vm_id(), vm.clone());
        assert_eq!(refused.err(), Some(libc::ENODEV));
        drop(open);
        assert_eq!(remover.join().unwrap(), 0);
        assert_eq!(host.list("bus/mdev/devices"), [""; 0]);
    }
}

#[test]
fn a_guest_that_can_not_be_asked_is_mentioned_in_the_log() {
    let host = Host::new();
    host.mdev(A, &[], &[]);
    let (open, _) = host.open(A);
    let simulated = host.host.clone();
    let remover = thread::spawn(move || Host::around(simulated).mdev_write(A, "remove", "1"));
    while !host.host.log().iter().any(|line| line.contains("No device request registered")) {
        thread::yield_now();
    }
    (0..12).for_each(|_| host.host.advance(Duration::from_secs(10)));
    let log = host.host.log();
    let said = |text| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!((said("No device request registered"), said("Relaying")), (1, 0));
    drop(open);
    assert_eq!(remover.join().unwrap(), 0);
}

// vfio_ap_drv.c:vfio_ap_matrix_dev_create
fn the_matrix_device_can_not_be_taken_from_its_driver(host: &Place) {
    let names = host.list("bus/matrix/drivers/vfio_ap");
    assert!(names.contains(&"matrix".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name == "bind" || name == "unbind"), "{names:?}");
}

// 158: vfio_main.c:vfio_unregister_group_dev, vfio_ap_ops.c:vfio_ap_mdev_request
fn an_open_mdev_that_shall_go_is_asked_for_at_once_and_goes_when_it_is_closed(host: &Place) {
    host.mdev(A, &[5], &[4]);
    let guest = host.guest(A);
    let (request, requested) = event();
    guest.opened.set_trigger(ApIrq::ReleaseRequest, Some(&request)).unwrap();
    thread::scope(|threads| {
        let remover = threads.spawn(|| host.mdev_write(A, "remove", "1"));
        let asked = (0..20_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            requested.read().is_ok()
        });
        assert!(asked, "nobody was asked");
        // Kernels before 6.17 take nothing away yet.
        guest.told_of(usize::from(host.kernel.clears_masks_on_remove_request()));
        // The driver's files go before the driver; what a guest may have stays.
        assert_eq!(host.read_errno(&attr(A, "guest_matrix")), libc::ENOENT);
        assert_eq!(host.status("05.0004"), "in use");
        assert!(!remover.is_finished());
        drop(guest);
        assert_eq!(remover.join().unwrap(), 0);
    });
    assert_eq!(host.mdevs(), [""; 0]);
    assert_eq!(host.status("05.0004"), "unassigned");
}
