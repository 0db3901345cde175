//! What sysfs says of adapters, queues and masks.

use super::*;

#[test]
fn the_bus_says_what_the_machine_can_have_and_has() {
    let host = host();
    let bus = Bus::new(&host);
    assert!(bus.is_present());
    assert_eq!(bus.max_adapter().expect("readable"), Apid(63));
    assert_eq!(bus.max_domain().expect("readable"), Apqi(255));
    assert_eq!(bus.scans().expect("readable"), 3);
    let features = bus.features().expect("readable").expect("QCI");
    assert_eq!(features.names().collect::<Vec<_>>(), ["APSC", "APXA", "QACT"]);
    assert_eq!(bus.configuration().expect("readable"), Some(matrix(&ADAPTERS, &DOMAINS)));
    let share = bus.share().expect("readable");
    assert_eq!(share, HostShare { apmask: bus.apmask().expect("readable"), ..share.clone() });
    assert!(share.keeps(Apqn::new(4, 5)) && !share.keeps(Apqn::new(5, 4)));
}

#[test]
fn a_machine_without_qci_has_no_configuration_to_show() {
    let mut host = host();
    for name in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
        host.set(format!("bus/ap/{name}"), "not supported\n");
    }
    assert_eq!(Bus::new(&host).configuration().expect("readable"), None);
}

#[test]
fn a_host_without_an_ap_bus_has_neither_cards_nor_queues() {
    let host = Canned::default();
    let bus = Bus::new(&host);
    assert!(!bus.is_present());
    assert_eq!(bus.cards().expect("none"), []);
    assert_eq!(bus.queues().expect("none"), []);
    assert!(bus.apmask().expect_err("no such file").is_absent());
}

#[test]
fn cards_are_read_with_or_without_a_driver() {
    let mut host = host();
    host.attrs.remove("bus/ap/devices/card06/type");
    host.attrs.remove("bus/ap/devices/card06/online");
    let cards = Bus::new(&host).cards().expect("readable");
    assert_eq!(cards.iter().map(|card| card.apid).collect::<Vec<_>>(), ADAPTERS.map(Apid));
    assert_eq!(cards[0].kind, CardType::new(5, Mode::Cca));
    assert_eq!((cards[0].online, cards[0].configured, cards[0].checkstopped), (Some(true), true, false));
    assert_eq!((cards[0].hwtype, cards[0].depth, cards[0].max_msg_size), (11, 8, 12288));
    assert_eq!((cards[1].kind, cards[1].online), (None, None));
}

#[test]
fn a_queue_is_known_with_its_driver_and_what_vfio_ap_does_with_it() {
    let mut host = host();
    let [first, second, third] = [Apqn::new(5, 4), Apqn::new(5, 0x47), Apqn::new(5, 0xab)];
    host.set(format!("bus/ap/devices/{first}/status"), "in use\n");
    unbind(&mut host, second);
    unbind(&mut host, third);
    host.set(format!("bus/ap/drivers/cex4queue/{third}"), "");
    let queues = Bus::new(&host).queues().expect("readable");
    assert_eq!(queues.len(), 8);
    assert_eq!((queues[0].apqn, queues[0].driver), (first, Some(QueueDriver::VfioAp)));
    assert_eq!(queues[0].status, Some(QueueStatus::InUse));
    assert_eq!((queues[1].apqn, queues[1].driver, queues[1].status), (second, None, None));
    assert_eq!((queues[2].driver, queues[2].status), (Some(QueueDriver::Cex4queue), None));
    assert_eq!(queues[3].status, Some(QueueStatus::Unassigned));
}

#[test]
fn driver_overrides_of_bound_queues_are_part_of_the_hosts_share() {
    let mut host = host();
    host.set("bus/ap/apmask", format!("{}\n", Apm::ALL));
    host.set("bus/ap/aqmask", format!("{}\n", Aqm::ALL));
    for (apqn, name) in [(Apqn::new(5, 4), "vfio_ap\n"), (Apqn::new(5, 0x47), "\n")] {
        host.set(format!("bus/ap/devices/{apqn}/driver_override"), name);
    }
    let bus = Bus::new(&host);
    let share = bus.share().expect("readable");
    assert_eq!(share.overrides, [(Apqn::new(5, 4), false)].into());
    let queues = bus.queues().expect("readable");
    assert_eq!(queues[0].driver_override.as_deref(), Some("vfio_ap"));
    assert_eq!(queues[1].driver_override, None);
}

#[test]
fn what_the_kernel_never_prints_is_reported_with_its_path() {
    let mut host = host();
    host.set("bus/ap/apmask", "everything\n");
    let error = Bus::new(&host).apmask().expect_err("malformed");
    assert!(matches!(&error, ReadError::Unexpected { path, .. } if path == "bus/ap/apmask"), "{error}");
    assert!(!error.is_absent());
}

#[test]
fn card_types_are_written_as_sysfs_writes_them() {
    for (text, hwtype) in [("CEX4A", 10), ("CEX5C", 11), ("CEX8P", 14)] {
        let card: CardType = text.parse().expect("a card");
        assert_eq!((card.to_string().as_str(), card.hwtype()), (text, hwtype));
    }
    for text in ["", "CEX3C", "CEX9C", "CEX5", "CEX5X", "CEX5CC", "cex5c"] {
        assert!(text.parse::<CardType>().is_err(), "{text:?}");
    }
}
