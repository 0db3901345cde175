//! Who has a queue: drivers, `driver_override`, bindings, and what is told when all are bound.

use crate::fixture::{Host, Order, Place, on_every_host, unmasked};

on_every_host! {
    overrides_and_changed_masks_exclude_each_other
    an_override_is_shown_and_binds_nothing_anew
    an_override_decides_who_may_have_a_queue
    vfio_ap_can_not_have_what_the_masks_reserve_nor_the_host_the_rest
    binding_twice_is_ebusy_and_unbinding_what_is_not_bound_there_is_enodev
    a_card_can_be_taken_from_its_driver_and_given_back
    bindings_count_queues_that_have_a_driver
    complete_bindings_are_news_after_a_probe_or_when_the_host_was_given_something
    new_devices_stay_without_driver_while_nobody_is_asked
    a_queue_that_its_driver_gives_up_is_zeroized
}

const ALL: &str = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n";

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

// drivers/base/bus.c: drivers_autoprobe
fn new_devices_stay_without_driver_while_nobody_is_asked(host: &Place) {
    host.write("bus/ap/drivers_autoprobe", "0");
    host.order_and_scan(Order::UsageDomain(0x48, true));
    assert_eq!(host.read("bus/ap/bindings"), "6/9\n");
    host.write("bus/ap/drivers_autoprobe", "1");
    host.write("bus/ap/drivers_probe", "04.0048");
    assert_eq!(host.read("bus/ap/bindings"), "7/9\n");
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
