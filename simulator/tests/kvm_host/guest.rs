//! Guests that execute AP instructions: what they may do is what is in the CRYCB.

use crate::support::{Builder, Ended, Guest, WAITING, host, instruction, mdev, op};
use adjunct_ap::Sysfs;
use adjunct_hypervisor::{CryptoAttribute, Vm};

const NOT_AVAILABLE: u64 = 0x0001_0000;
const T_BIT: u64 = 0x0080_0000;

/// TAPQ of a queue: condition code and status.
fn tapq(guest: &mut Guest, apqn: u64) -> (u64, u64) {
    guest.set(&[(0, apqn), (1, 0), (2, 0)]);
    match guest.ended(op::PQAP) {
        Ended::Program { condition } => (condition, guest.gpr(1) & 0xffff_ffff),
        interruption => panic!("{interruption:?}"),
    }
}

/// Whether TAPQ finds the queue.
fn sees(guest: &mut Guest, apqn: u64) -> bool {
    match tapq(guest, apqn) {
        (0, status) => {
            assert_eq!(status & 0x00ff_0000, 0);
            true
        }
        answer => {
            assert_eq!(answer, (3, NOT_AVAILABLE));
            false
        }
    }
}

// 206: ap_bus.c:ap_queue_info
#[test]
fn a_guest_finds_its_own_queues_and_no_others() {
    let mut guest = Guest::with_mdev(&host());
    for (apqn, mine) in [
        (0x0504, true),
        (0x05ab, true),
        (0x0604, true),
        (0x06ab, true),
        (0x0547, false),
        (0x06ff, false),
        (0x0404, false),
        (0x0505, false),
    ] {
        assert_eq!(sees(&mut guest, apqn), mine, "{apqn:04x}");
    }
}

#[test]
fn the_facilities_test_tells_the_type_of_the_card() {
    let mut guest = Guest::with_mdev(&host());
    guest.set(&[(0, T_BIT | 0x0504), (2, 0)]);
    assert_eq!(guest.ended(op::PQAP), Ended::Program { condition: 0 });
    assert_eq!(guest.gpr(2) >> 24 & 0xff, 11, "a CEX5");
    assert_ne!(guest.gpr(2) & 1 << 60, 0, "a CCA coprocessor");
}

#[test]
fn a_guest_whose_mdev_is_closed_finds_nothing() {
    let mut guest = Guest::with_mdev(&host());
    assert!(sees(&mut guest, 0x0504));
    guest.device = None;
    assert!(!sees(&mut guest, 0x0504));
}

#[test]
fn three_guests_share_the_machine_and_no_queue() {
    let host = host();
    let mut found = Vec::new();
    let mut guests = [1, 2, 3].map(|n| {
        let mut guest = Builder::new(&host, &[]).build(1);
        guest.device = Some(guest.vm.open_ap(mdev(n).into()).expect("the mdev is free"));
        guest
    });
    for guest in &mut guests {
        let queues: Vec<u64> = [0x0504, 0x0547, 0x05ab, 0x05ff, 0x0604, 0x0647, 0x06ab, 0x06ff]
            .into_iter()
            .filter(|apqn| sees(guest, *apqn))
            .collect();
        found.push(queues);
    }
    assert_eq!(found, [vec![0x0504, 0x05ab, 0x0604, 0x06ab], vec![0x0547, 0x05ff], vec![0x0647, 0x06ff]]);
}

#[test]
fn a_message_comes_back_through_the_queue_it_went_to() {
    let mut guest = Guest::with_mdev(&host());
    guest.write(0x4000, b"a message for the adapter");
    guest.set(&[(0, 0x4000_0000 | 0x05ab), (2, 0x1122_3344), (3, 0x5566_7788), (4, 0x4000), (5, 25)]);
    assert_eq!(guest.ended(op::NQAP), Ended::Program { condition: 0 });
    // Not through another one.
    guest.set(&[(0, 0x8000_0000 | 0x06ab), (2, 0), (6, 0), (7, 0), (8, 0x5000), (9, 64)]);
    assert_eq!(guest.ended(op::DQAP), Ended::Program { condition: 3 });
    assert_eq!(guest.gpr(1) & 0x00ff_0000, 0x0010_0000, "no reply there");
    guest.set(&[(0, 0x8000_0000 | 0x05ab), (2, 0), (6, 0), (7, 0), (8, 0x5000), (9, 64)]);
    assert_eq!(guest.ended(op::DQAP), Ended::Program { condition: 0 });
    assert_eq!((guest.gpr(6) & 0xffff_ffff, guest.gpr(7) & 0xffff_ffff), (0x1122_3344, 0x5566_7788));
    assert_eq!(guest.read::<25>(0x5000), *b"a message for the adapter");
}

#[test]
fn without_interpretation_ap_instructions_are_for_user_space() {
    let mut guest = crate::support::without_apie(&host());
    for bytes in [op::PQAP, op::NQAP, op::DQAP] {
        assert_eq!(guest.for_user_space(bytes), instruction(bytes));
    }
    guest.vm.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
    assert!(sees(&mut guest, 0x0504), "interpretation takes effect at once");
}

#[test]
fn switching_interpretation_off_again_has_no_effect_without_facility_76() {
    let mut guest = Guest::with_mdev(&host());
    guest.vm.set_crypto(CryptoAttribute::DisableApie).expect("the host has AP");
    assert!(sees(&mut guest, 0x0504));
}

#[test]
fn the_configuration_shows_the_guests_masks() {
    let mut guest = Guest::with_mdev(&host());
    guest.write(0x6000, &[0xee; 128]);
    guest.set(&[(0, 0x0400_0000), (2, 0x6000)]);
    assert_eq!(guest.ended(op::PQAP), Ended::Program { condition: 0 });
    let block = guest.read::<128>(0x6000);
    assert_eq!(block[16], 0x06, "adapters 5 and 6");
    assert_eq!((block[48], block[48 + 0x15]), (0x08, 0x10), "domains 4 and 0xab");
    assert_eq!(block[80..112], [0; 32], "no control domains");
    assert_eq!(block[4..6], [63, 255], "the machine's limits");
}

#[test]
fn a_running_guest_loses_a_queue_that_is_unassigned_from_its_mdev() {
    let host = host();
    let mut guest = Guest::with_mdev(&host);
    guest.set(&[(0, 0x0604)]);
    // TAPQ as long as it answers 0.
    let program: [&[u8]; 4] = [op::PQAP, &[0xa7, 0x84, 0xff, 0xfe], op::IPM, op::END];
    let operator = std::thread::spawn(move || {
        let attribute = mdev(1).join("unassign_adapter");
        let attribute = attribute.strip_prefix("/sys").expect("it is there").to_str().expect("text");
        host.write(attribute, "6").expect("it may be unassigned");
    });
    assert_eq!(guest.exit_of(&program), WAITING);
    operator.join().expect("it wrote");
    assert_eq!((guest.gpr(15) >> 28 & 3, guest.gpr(1) & 0x00ff_0000), (3, NOT_AVAILABLE));
    assert!(sees(&mut guest, 0x0504), "the other adapter stays");
}
