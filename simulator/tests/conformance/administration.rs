//! The administration of crate `adjunct-ap`, which was written for a real host, on this one.

use crate::fixture::{Host, id};
use adjunct_ap::{
    Apid, Apqi, ControlDomain, Matrix,
    admin::Resource,
    host::{Bus, QueueDriver, QueueStatus},
    mdev::Mdev,
    why,
};
use adjunct_simulator::HostFile;

const GUEST_1: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";
const GUEST_4: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000004";

fn host() -> Host {
    Host::of(HostFile::THREE_GUESTS)
}

#[test]
fn the_built_in_host_is_read_as_it_is_described() {
    let host = host();
    let bus = Bus::new(&host.host);
    assert!(bus.is_present());
    let cards = bus.cards().unwrap();
    let kinds: Vec<String> =
        cards.iter().map(|card| format!("{} {}", card.apid, card.kind.unwrap())).collect();
    assert_eq!(kinds, ["05 CEX5C", "06 CEX5C"]);
    assert_eq!(cards[0].hwtype, 11);
    let queues = bus.queues().unwrap();
    assert_eq!(queues.len(), 8);
    assert!(queues.iter().all(|queue| queue.driver == Some(QueueDriver::VfioAp)));
    assert!(queues.iter().all(|queue| queue.status == Some(QueueStatus::Assigned)));
    let mdevs = Mdev::list(&host.host).unwrap();
    let queues =
        |n: usize| mdevs[n].matrix().unwrap().apqns().map(|apqn| apqn.to_string()).collect::<Vec<_>>();
    assert_eq!(mdevs.len(), 3);
    assert_eq!(queues(0), ["05.0004", "05.00ab", "06.0004", "06.00ab"]);
    assert_eq!(queues(1), ["05.0047", "05.00ff"]);
    assert_eq!(queues(2), ["06.0047", "06.00ff"]);
}

#[test]
fn a_fourth_mdev_can_not_have_a_queue_of_the_first_and_is_told_who_has_it() {
    let host = host();
    let mdev = Mdev::create(&host.host, id(GUEST_4)).unwrap();
    mdev.assign(Resource::Adapter(Apid(5))).unwrap();
    let refused = mdev.assign(Resource::Domain(Apqi(4))).expect_err("05.0004 is taken").to_string();
    assert!(refused.contains("05.0004") && refused.contains(GUEST_1), "{refused}");
    mdev.remove().unwrap();
    assert_eq!(Mdev::list(&host.host).unwrap().len(), 3);
}

#[test]
fn what_is_assigned_by_id_or_as_a_whole_is_read_back() {
    let host = Host::new();
    let mdev = Mdev::create(&host.host, id(GUEST_4)).unwrap();
    let matrix = Matrix {
        apm: [Apid(5), Apid(6)].into_iter().collect(),
        aqm: [Apqi(4)].into_iter().collect(),
        adm: [ControlDomain(0x47)].into_iter().collect(),
    };
    mdev.replace(&matrix).unwrap();
    assert_eq!(mdev.matrix().unwrap(), matrix);
    mdev.unassign(Resource::Adapter(Apid(6))).unwrap();
    mdev.unassign(Resource::ControlDomain(ControlDomain(0x47))).unwrap();
    assert_eq!(mdev.guest_matrix().unwrap().apm, [Apid(5)].into_iter().collect());
    assert!(mdev.control_domains().unwrap().is_empty());
}

#[test]
fn the_queue_that_costs_a_guest_its_adapter_is_named() {
    let host = host();
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.00ab");
    let diagnosis = why::diagnose(&host.host, id(GUEST_1)).unwrap().to_string();
    assert!(diagnosis.contains("06.00ab"), "{diagnosis}");
    assert_eq!(host.mdev_read(GUEST_1, "guest_matrix"), "05.0004\n05.00ab\n");
}
