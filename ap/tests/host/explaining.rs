//! Why a guest lacks queues.

use super::*;

/// A host where mdev 1 has 5,6 x 4,47, of which the kernel lists `guest`.
fn with_guest(guest: &Matrix) -> Canned {
    let mut host = host();
    add_mdev(&mut host, uuid(1), &matrix(&[5, 6], &[4, 0x47]), guest);
    host
}

#[test]
fn a_guest_of_a_sound_mdev_gets_all_of_it() {
    let host = with_guest(&matrix(&[5, 6], &[4, 0x47]));
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    assert_eq!(diagnosis.given, matrix(&[5, 6], &[4, 0x47]).apqns().collect::<Vec<_>>());
    assert!(diagnosis.withheld.is_empty() && diagnosis.in_use.is_none());
    assert_eq!(
        diagnosis.to_string(),
        format!("a guest of mdev {} gets 4 of 4 queues: 05.0004, 05.0047, 06.0004, 06.0047", uuid(1))
    );
    assert!(host.writes.borrow().is_empty());
}

/// The files of mdev 1 that every explanation needs, in the order in which they are read.
fn of_the_mdev() -> Vec<String> {
    let uuid = uuid(1);
    vec![
        format!("devices/vfio_ap/matrix/{uuid}/ap_config"),
        format!("devices/vfio_ap/matrix/{uuid}/guest_matrix"),
    ]
}

#[test]
fn of_an_mdev_that_a_guest_gets_whole_nothing_but_one_status_is_read_from_the_bus() {
    let mut host = with_guest(&matrix(&[5, 6], &[4, 0x47]));
    for mask in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
        host.refuse(format!("bus/ap/{mask}"), libc::EIO);
    }
    let diagnosis = diagnose(&host, uuid(1)).expect("no mask is needed");
    assert_eq!((diagnosis.given.len(), diagnosis.withheld.len()), (4, 0));
    let mut expected = of_the_mdev();
    expected.push("bus/ap/devices/05.0004/status".to_owned());
    assert_eq!(host.looked_at.take(), expected);
}

#[test]
fn a_missing_queue_is_explained_by_the_whole_bus_read_once() {
    let mut host = with_guest(&matrix(&[5], &[4, 0x47]));
    unbind(&mut host, Apqn::new(6, 0x47));
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    let fault = QueueFault::Unbound;
    let reason = Reason::AdapterFiltered { because_of: Apqn::new(6, 0x47), fault };
    assert_eq!(diagnosis.withheld, [(Apqn::new(6, 4), reason), (Apqn::new(6, 0x47), reason)]);
    let mut expected = of_the_mdev();
    expected.extend(
        [
            "devices",
            "ap_adapter_mask",
            "ap_usage_domain_mask",
            "ap_control_domain_mask",
            "drivers/cex4queue",
            "drivers/vfio_ap",
            "devices/05.0004/status",
        ]
        .map(|name| format!("bus/ap/{name}")),
    );
    assert_eq!(host.looked_at.take(), expected);

    host.refuse("bus/ap/ap_adapter_mask", libc::EIO);
    let error = diagnose(&host, uuid(1)).expect_err("without the mask there is no reason");
    assert!(
        matches!(&error, OpenError::Read(ReadError::Io { path, .. }) if path == "bus/ap/ap_adapter_mask")
    );
}

#[test]
fn an_mdev_without_queues_is_known_by_its_own_files() {
    let mut host = host();
    add_mdev(&mut host, uuid(1), &matrix(&[5], &[]), &matrix(&[5], &[]));
    assert!(!diagnose(&host, uuid(1)).expect("readable").assigned.has_queues());
    assert_eq!(host.looked_at.take(), of_the_mdev());
}

#[test]
fn one_queue_without_the_driver_takes_its_whole_adapter_and_is_named() {
    let mut host = with_guest(&matrix(&[5], &[4, 0x47]));
    unbind(&mut host, Apqn::new(6, 0x47));
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    assert_eq!(diagnosis.given, [Apqn::new(5, 4), Apqn::new(5, 0x47)]);
    let reason = Reason::AdapterFiltered { because_of: Apqn::new(6, 0x47), fault: QueueFault::Unbound };
    assert_eq!(diagnosis.withheld, [(Apqn::new(6, 4), reason), (Apqn::new(6, 0x47), reason)]);
    let text = diagnosis.to_string();
    let line = "\n  not 06.0004, 06.0047: adapter 06 is filtered out of guest_matrix because queue 06.0047 is \
                bound to no driver";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_queue_of_the_hosts_driver_and_an_absent_one_are_told_apart() {
    let mut host = with_guest(&Matrix { apm: Apm::EMPTY, ..matrix(&[], &[4, 0x47]) });
    unbind(&mut host, Apqn::new(5, 4));
    host.set("bus/ap/drivers/cex4queue/05.0004", "");
    unbind(&mut host, Apqn::new(6, 4));
    host.attrs.remove("bus/ap/devices/06.0004/config");
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    assert!(diagnosis.given.is_empty());
    let filtered = |because_of, fault| Reason::AdapterFiltered { because_of, fault };
    let reasons: Vec<Reason> = diagnosis.reasons().into_keys().collect();
    assert_eq!(
        reasons,
        [filtered(Apqn::new(5, 4), QueueFault::BoundToHost), filtered(Apqn::new(6, 4), QueueFault::Absent)]
    );
    assert!(reasons[0].to_string().contains("bound to cex4queue"), "{}", reasons[0]);
    assert!(reasons[1].to_string().contains("does not exist"), "{}", reasons[1]);
}

#[test]
fn every_faulty_queue_of_an_adapter_is_named_for_itself() {
    let mut host = with_guest(&matrix(&[5], &[4, 0x47]));
    unbind(&mut host, Apqn::new(6, 4));
    unbind(&mut host, Apqn::new(6, 0x47));
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    for (apqn, reason) in &diagnosis.withheld {
        let fault = QueueFault::Unbound;
        assert_eq!(*reason, Reason::AdapterFiltered { because_of: *apqn, fault });
    }
    assert_eq!(diagnosis.withheld.len(), 2);
}

#[test]
fn ids_out_of_the_hosts_configuration_are_named() {
    let mut host = host();
    let assigned = matrix(&[5, 7], &[4, 8]);
    add_mdev(&mut host, uuid(1), &assigned, &matrix(&[5], &[4]));
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    assert_eq!(diagnosis.given, [Apqn::new(5, 4)]);
    let expected = [
        (Apqn::new(5, 8), Reason::DomainNotConfigured(Apqi(8))),
        (Apqn::new(7, 4), Reason::AdapterNotConfigured(Apid(7))),
        (Apqn::new(7, 8), Reason::AdapterNotConfigured(Apid(7))),
    ];
    assert_eq!(diagnosis.withheld, expected);
}

#[test]
fn a_domain_out_of_the_configuration_filters_no_adapter() {
    let mut host = host();
    add_mdev(&mut host, uuid(1), &matrix(&[6], &[2, 4, 0x47]), &Matrix::EMPTY);
    unbind(&mut host, Apqn::new(6, 0x47));
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    let because_of = Apqn::new(6, 0x47);
    let filtered = Reason::AdapterFiltered { because_of, fault: QueueFault::Unbound };
    let reasons: Vec<Reason> = diagnosis.withheld.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons, [Reason::DomainNotConfigured(Apqi(2)), filtered, filtered]);
}

#[test]
fn without_qci_nothing_can_be_given() {
    let mut host = with_guest(&Matrix::EMPTY);
    for name in ["ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"] {
        host.set(format!("bus/ap/{name}"), "not supported\n");
    }
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    assert_eq!(diagnosis.reasons().into_keys().collect::<Vec<_>>(), [Reason::NoConfiguration]);
}

#[test]
fn an_adapter_that_nothing_stands_against_was_not_filtered_anew() {
    let host = with_guest(&matrix(&[5], &[4, 0x47]));
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    assert_eq!(diagnosis.reasons().into_keys().collect::<Vec<_>>(), [Reason::NotFilteredAnew(Apid(6))]);
}

#[test]
fn an_empty_mdev_gives_nothing_and_says_what_is_missing() {
    for (assigned, missing) in [
        (matrix(&[], &[]), "nothing is assigned"),
        (matrix(&[5], &[]), "no domain is assigned"),
        (matrix(&[], &[4]), "no adapter is assigned"),
    ] {
        let mut host = host();
        add_mdev(&mut host, uuid(1), &assigned, &assigned);
        let diagnosis = diagnose(&host, uuid(1)).expect("readable");
        assert!(diagnosis.given.is_empty() && diagnosis.withheld.is_empty());
        assert!(!diagnosis.assigned.has_queues());
        assert!(diagnosis.to_string().contains(missing), "{diagnosis}");
    }
}

#[test]
fn an_mdev_that_a_vm_has_is_in_use() {
    let mut host = with_guest(&matrix(&[5, 6], &[4, 0x47]));
    host.set("bus/ap/devices/05.0004/status", "in use\n");
    assert_eq!(diagnose(&host, uuid(1)).expect("readable").in_use, Some(Apqn::new(5, 4)));
}

#[test]
fn queues_that_the_kernel_had_no_room_to_list_are_given_unless_a_reason_is_known() {
    let mut host = host();
    let ids: Vec<u8> = (0..32).collect();
    let assigned = matrix(&ids, &ids);
    host.set("bus/ap/ap_adapter_mask", format!("{}\n", assigned.apm));
    host.set("bus/ap/ap_usage_domain_mask", format!("{}\n", assigned.aqm));
    for apqn in assigned.apqns() {
        host.set(format!("bus/ap/devices/{apqn}/status"), "assigned\n");
        host.set(format!("bus/ap/drivers/vfio_ap/{apqn}"), "");
    }
    unbind(&mut host, Apqn::new(31, 0));
    let guest = Matrix { apm: assigned.apm - [3, 31].map(Apid).into_iter().collect(), ..assigned };
    add_mdev(&mut host, uuid(1), &assigned, &guest);
    let diagnosis = diagnose(&host, uuid(1)).expect("readable");
    assert_eq!(diagnosis.given, guest.apqns().collect::<Vec<_>>());
    let because_of = Apqn::new(31, 0);
    let reasons: Vec<Reason> = diagnosis.reasons().into_keys().collect();
    let filtered = Reason::AdapterFiltered { because_of, fault: QueueFault::Unbound };
    assert_eq!(reasons, [filtered, Reason::NotFilteredAnew(Apid(3))]);
}

#[test]
fn what_is_no_ap_mdev_is_not_explained() {
    assert!(matches!(diagnose(&host(), uuid(7)), Err(OpenError::Missing { .. })));
    assert!(matches!(diagnose(&Canned::default(), uuid(7)), Err(OpenError::NoDriver { .. })));
    let mut host = host();
    host.set(format!("bus/mdev/devices/{}/mdev_type/device_api", uuid(7)), "vfio-ccw\n");
    let error = diagnose(&host, uuid(7)).expect_err("a channel device");
    assert!(matches!(error, OpenError::NotAp { device_api, .. } if device_api == "vfio-ccw"));
}

#[test]
fn an_ap_mdev_that_can_not_be_read_is_refused_by_the_file_at_fault() {
    let mut host = with_guest(&Matrix::EMPTY);
    let path = format!("devices/vfio_ap/matrix/{}/guest_matrix", uuid(1));
    host.refuse(path.clone(), libc::EIO);
    let error = diagnose(&host, uuid(1)).expect_err("refused");
    assert!(matches!(&error, OpenError::Read(ReadError::Io { path: at, .. }) if *at == path));
}
