//! Cards and queues: when they come and go, what they say, and how they are switched.

use super::left;
use crate::fixture::{A, Host, Order, Place, on_every_host, queue};

on_every_host! {
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
    a_device_shows_and_repeats_its_uevent
    what_comes_is_told_with_its_type_and_use
    going_online_or_offline_is_told_of_the_card_and_its_queues
    a_reset_is_asked_for_by_writing_anything_and_only_of_a_queue_that_the_bus_works_with
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

// ap_queue.c:reset_store
fn a_reset_is_asked_for_by_writing_anything_and_only_of_a_queue_that_the_bus_works_with(host: &Place) {
    ["04.0004", "05.0004"].iter().for_each(|apqn| host.leave_message(apqn));
    host.write("bus/ap/devices/04.0004/reset", "whatever");
    host.write("bus/ap/devices/05.0004/reset", "1");
    assert_eq!(host.reset_since(&["04.0004", "05.0004"]), ["04.0004"]);
    host.becomes("bus/ap/devices/04.0004/interrupt", "Interrupts enabled.\n");
    assert_eq!(host.read("bus/ap/devices/04.0004/reset"), "No Reset Timer set.\n");
}
