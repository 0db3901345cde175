//! Making and removing mdevs.

use crate::fixture::{A, B, Host, TYPE, attr, id};
use adjunct_hypervisor::EventFd;
use std::{sync::mpsc, thread, time::Duration};

fn event() -> (EventFd, EventFd) {
    let event = EventFd::new(libc::EFD_NONBLOCK).unwrap();
    (event.try_clone().unwrap(), event)
}

// 61: vfio_ap_drv.c:features_show
#[test]
fn the_matrix_device_says_what_it_can() {
    let host = Host::new();
    for path in ["devices/vfio_ap/matrix/features", "bus/matrix/devices/matrix/features"] {
        assert_eq!(host.read(path), "guest_matrix hotplug ap_config\n");
    }
}

// 62: mdev_sysfs.c:mdev_types_core_is_visible
#[test]
fn an_mdev_type_has_no_description() {
    let host = Host::new();
    assert_eq!(host.list(TYPE), ["available_instances", "create", "device_api", "devices", "name"]);
    assert_eq!(host.read(&format!("{TYPE}/name")), "VFIO AP Passthrough Device\n");
    assert_eq!(host.read(&format!("{TYPE}/device_api")), "vfio-ap\n");
    assert_eq!(host.read(&format!("{TYPE}/available_instances")), "65536\n");
}

// 64, 65, 66: mdev_sysfs.c:create_store, lib/uuid.c:uuid_is_valid
#[test]
fn a_uuid_is_36_characters_and_one_more_that_nobody_looks_at() {
    let host = Host::new();
    let create = |text: &str| host.try_write(&format!("{TYPE}/create"), text);
    for text in [&A[..35], &format!("{A}\n\n"), &A.replace("6c", "6g"), &A.replacen("-0d3e", "0-d3e", 1), "x"]
    {
        assert_eq!(create(text), libc::EINVAL, "{text:?}");
    }
    assert_eq!(create(&format!("{}Z", A.to_uppercase())), 0);
    assert_eq!(create(&format!("{B}\0")), 0);
    assert_eq!(host.list("bus/mdev/devices"), [A, B]);
}

// 68: mdev_core.c:mdev_device_create
#[test]
fn a_uuid_can_be_used_once() {
    let host = Host::new();
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
#[test]
fn a_new_mdev_has_nothing() {
    let host = Host::new();
    host.mdev(A, &[], &[]);
    for attribute in ["matrix", "guest_matrix", "control_domains"] {
        assert_eq!(host.mdev_read(A, attribute), "");
    }
}

// 72, 73: mdev_sysfs.c:remove_store
#[test]
fn removing_takes_a_number_other_than_zero() {
    let host = Host::new();
    host.mdev(A, &[5], &[4]);
    host.write(&attr(A, "remove"), "0\n");
    for text in ["abc", "18446744073709551616", "-1", " 1"] {
        assert_eq!(host.mdev_write(A, "remove", text), libc::EINVAL, "{text:?}");
    }
    host.leave_message("05.0004");
    host.write(&attr(A, "remove"), "0x10");
    assert_eq!(host.list("bus/mdev/devices"), [""; 0]);
    assert!(host.queue_empty("05.0004"), "its queues were reset");
    assert_eq!(host.read("bus/ap/devices/05.0004/status"), "unassigned\n");
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
            let answer = Host { host: simulated }.mdev_write(A, "remove", "1");
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
        assert_eq!(host.mdev_read(A, "guest_matrix"), "05.0004\n");
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
    let remover = thread::spawn(move || Host { host: simulated }.mdev_write(A, "remove", "1"));
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
