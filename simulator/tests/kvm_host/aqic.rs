//! PQAP(AQIC): what KVM checks, in its order, and the interruption at the end.

use crate::support::{
    Builder, Ended, Guest, IO, IO_NEW, TAKEN, WAITING, host, host_with, instruction, mdev, op, without_apie,
};
use adjunct_ap::Matrix;
use adjunct_hypervisor::{CryptoAttribute, ProtoVm, Psw, Vcpu};
use adjunct_simulator::{Fault, SimProtoVm};
use std::time::Duration;

const AQIC: u64 = 0x0300_0000;
const T_BIT: u64 = 0x0080_0000;
const ENABLE: u64 = 0x0000_8000_0000_0000;
const NIB: u64 = 0x7000;
/// What the first half of GR1 has before, to be seen in.
const HIGH: u64 = 0x5a5a_0000_0000_0000;

const PRIVILEGED: Ended = Ended::Interruption { code: 2 };
const SPECIFICATION: Ended = Ended::Interruption { code: 6 };

/// AQIC with these registers: how it ended and GR1.
fn aqic(guest: &mut Guest, gr0: u64, gr1: u64, nib: u64) -> (Ended, u64) {
    guest.set(&[(0, AQIC | gr0), (1, gr1), (2, nib)]);
    let ended = guest.ended(op::PQAP);
    (ended, guest.gpr(1))
}

fn response(code: u64) -> (Ended, u64) {
    (Ended::Program { condition: if code == 0 { 0 } else { 3 } }, code << 16)
}

/// The answer without the bits that say how the queue is.
fn answer((ended, gr1): (Ended, u64)) -> (Ended, u64) {
    (ended, gr1 & !0xff00_0000)
}

// 173, 174, 177: priv.c:handle_pqap
#[test]
fn the_checks_are_kvms_in_its_order() {
    let mut guest = Guest::with_mdev(&host());
    guest.set(&[(0, AQIC | 0x0001_0000 | 0x0504)]);
    assert_eq!(guest.ended_in_problem_state(op::PQAP), PRIVILEGED);
    for bit in [0x0001_0000, 0x0040_0000] {
        assert_eq!(aqic(&mut guest, bit | 0x0504, 0, 0).0, SPECIFICATION, "GR0 bits 41-47");
    }
    assert_eq!(answer(aqic(&mut guest, T_BIT | 0x0504, ENABLE, NIB)), response(0), "facility 15 is there");

    let host = host();
    let mut guest = Builder::new(&host, &[15]).build(1);
    assert_eq!(aqic(&mut guest, T_BIT | 0x0504, ENABLE, NIB).0, SPECIFICATION, "without facility 15");
    let mut guest = Builder::new(&host, &[65]).build(1);
    assert_eq!(aqic(&mut guest, 0x0504, ENABLE, NIB).0, SPECIFICATION, "without facility 65");
}

// 178: priv.c:handle_pqap
#[test]
fn without_interpretation_it_is_for_user_space_even_in_problem_state() {
    let mut guest = without_apie(&host());
    guest.set(&[(0, AQIC | 0x0504)]);
    assert_eq!(guest.for_user_space(op::PQAP), instruction(op::PQAP));
}

// 176: priv.c:handle_pqap
#[test]
fn ids_beyond_the_crycb_are_a_specification_exception() {
    let host = host_with(&[
        ("\"APSC\", \"APXA\"", "\"APSC\""),
        ("max_domain = 255", "max_domain = 15"),
        ("[4, 0x47, 0xab, 0xff]", "[4, 7, 11, 15]"),
        ("\"-4,-0x47,-0xab,-0xff\"", "\"-4,-7,-11,-15\""),
        ("domains = [4, 0xab]", "domains = [4, 11]"),
        ("domains = [0x47, 0xff]", "domains = [7, 15]"),
    ]);
    let mut guest = Guest::with_mdev(&host);
    for apqn in [0x4004, 0x0510] {
        assert_eq!(aqic(&mut guest, apqn, ENABLE, NIB).0, SPECIFICATION, "{apqn:04x}");
    }
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE, NIB)), response(0));
}

#[test]
fn without_a_device_the_status_is_in_the_wrong_half_of_gr1() {
    let mut guest = Builder::new(&host(), &[]).build(1);
    let (ended, gr1) = aqic(&mut guest, 0x0504, HIGH | 0x1234, NIB);
    assert_eq!((ended, gr1), (Ended::Program { condition: 3 }, 0x0001_0000_0000_1234));
}

// vfio_ap_ops.c: vfio_ap_mdev_set_kvm
#[test]
fn a_guest_that_has_the_masks_has_the_hook() {
    let host = host();
    let mut guest = Builder::new(&host, &[]).build(1);
    let vm = guest.vm.clone();
    host.acts().plan(Fault::of("IOMMU_IOAS_MAP").held_at("door"));
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| vm.open_ap(mdev(1).into()));
        host.acts().wait_until_held("door");
        let masks = vm.apcb(0);
        let answered = answer(aqic(&mut guest, 0x0504, ENABLE, NIB));
        host.acts().forget_plans();
        opening.join().expect("it ends").expect("the mdev is free");
        assert_ne!(masks, Matrix::EMPTY);
        // Memory is not mapped yet.
        assert_eq!(answered, response(6));
    });
}

#[test]
fn a_queue_that_is_not_the_mdevs_is_not_available() {
    let mut guest = Guest::with_mdev(&host());
    assert_eq!(answer(aqic(&mut guest, 0x0547, ENABLE, NIB)), response(1));
    assert_eq!(answer(aqic(&mut guest, 0x0547, 0, 0)), response(1));
}

#[test]
fn a_notification_byte_must_be_in_memory() {
    let mut guest = Guest::with_mdev(&host());
    for nib in [0, 1 << 20, u64::MAX] {
        assert_eq!(answer(aqic(&mut guest, 0x0504, HIGH | ENABLE | 6, nib)), response(6), "{nib:x}");
    }
}

#[test]
fn enabling_twice_and_disabling_twice_is_otherwise_changed() {
    let mut guest = Guest::with_mdev(&host());
    let mut codes = |gr1: u64| answer(aqic(&mut guest, 0x0504, gr1, NIB)).1 >> 16;
    assert_eq!([codes(ENABLE | 6), codes(ENABLE | 6), codes(0), codes(0)], [0, 7, 0, 7]);
}

// 180: interrupt.c:isc_to_int_word, __deliver_io
#[test]
fn a_reply_sets_the_byte_and_interrupts() {
    let mut guest = Guest::with_mdev(&host());
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE | 6, NIB)), response(0));
    // Open for subclass 6 alone, and then wait for it.
    guest.vcpus[0].state_mut().crs[6] = 0x0200_0000;
    guest.wait_psw(IO);
    guest.set(&[(0, 0x4000_0000 | 0x0504), (2, 0), (3, 1), (4, 0x4000), (5, 16)]);
    assert_eq!(guest.exit_of(&[op::NQAP, op::WAIT]), WAITING);
    assert_eq!(guest.vcpus[0].state().psw.address, TAKEN + IO_NEW);
    assert_ne!(guest.read::<1>(NIB), [0]);
    assert_eq!(guest.read::<4>(0xb8), [0; 4], "no subchannel");
    assert_eq!(guest.read::<4>(0xbc), [0; 4], "no parameter");
    assert_eq!(u32::from_be_bytes(guest.read(0xc0)), 0xb000_0000);
}

// interrupt.c:kvm_s390_get_io_int, priv.c:handle_tpi
#[test]
fn a_guest_can_take_an_interruption_by_asking_for_it() {
    let host = host();
    let mut guest = Guest::with_mdev(&host);
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE | 6, NIB)), response(0));
    let tpi = |displacement| [0xb2, 0x36, 0x40, displacement];
    let message = |guest: &mut Guest| {
        guest.set(&[(0, 0x4000_0000 | 0x0504), (2, 0), (3, 1), (4, 0x4000), (5, 16)]);
        assert_eq!(guest.ended(op::NQAP), Ended::Program { condition: 0 });
        host.advance(Duration::from_secs(1));
    };
    guest.write(0x4000, &[0xee; 12]);
    message(&mut guest);
    // Not open for subclass 6, then open.
    guest.vcpus[0].state_mut().crs[6] = 0xfd00_0000;
    guest.set(&[(4, 0x4000)]);
    assert_eq!(guest.ended(&tpi(0)), Ended::Program { condition: 0 });
    guest.vcpus[0].state_mut().crs[6] = 0x0200_0000;
    // An address that is none leaves it pending.
    assert_eq!(guest.ended(&tpi(2)), Ended::Interruption { code: 6 });
    guest.set(&[(4, 1 << 40)]);
    assert_eq!(guest.ended(&tpi(0)), Ended::Interruption { code: 5 });
    guest.set(&[(4, 0x4000)]);
    assert_eq!(guest.ended(&tpi(0)), Ended::Program { condition: 1 });
    assert_eq!(guest.read::<12>(0x4000), [0, 0, 0, 0, 0, 0, 0, 0, 0xee, 0xee, 0xee, 0xee]);
    assert_eq!(guest.ended(&tpi(0)), Ended::Program { condition: 0 }, "it is taken");

    guest.write(0xb8, &[0xee; 12]);
    message(&mut guest);
    guest.set(&[(4, 0)]);
    assert_eq!(guest.ended(&tpi(0)), Ended::Program { condition: 1 });
    assert_eq!(guest.read::<12>(0xb8), [0, 0, 0, 0, 0, 0, 0, 0, 0xb0, 0, 0, 0]);
}

#[test]
fn a_guest_that_waits_for_a_slow_adapter_gets_its_interruption() {
    let host = host();
    host.adapters().operate(|machine| machine.service_time = Duration::from_secs(3600));
    let mut guest = Guest::with_mdev(&host);
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE | 3, NIB)), response(0));
    guest.vcpus[0].state_mut().crs[6] = 0x1000_0000;
    guest.wait_psw(IO);
    guest.set(&[(0, 0x4000_0000 | 0x0504), (2, 0), (3, 1), (4, 0x4000), (5, 16)]);
    assert_eq!(guest.exit_of(&[op::NQAP, op::WAIT]), WAITING);
    assert_eq!(u32::from_be_bytes(guest.read(0xc0)), 0x9800_0000);
}

#[test]
fn a_message_sent_by_an_interruption_handler_is_answered_too() {
    let host = host();
    host.adapters().operate(|machine| machine.service_time = Duration::from_secs(1));
    let mut guest = Guest::with_mdev(&host);
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE | 3, NIB)), response(0));
    guest.vcpus[0].state_mut().crs[6] = 0x1000_0000;
    guest.wait_psw(IO);
    // The I/O new PSW leads to a handler that sends again and waits, until r10 has counted down.
    let handler: u64 = 0x2_0000;
    guest.write(IO_NEW, &[Psw::MASK_64BIT, handler].map(u64::to_be_bytes).concat());
    guest.write(handler, &[&[0xa7, 0xa6, 0x00, 0x04][..], op::END, op::NQAP, op::WAIT].concat());
    guest.set(&[(0, 0x4000_0000 | 0x0504), (2, 0), (3, 1), (4, 0x4000), (5, 16), (10, 3)]);
    assert_eq!(guest.exit_of(&[op::NQAP, op::WAIT]), WAITING);
    assert_eq!((guest.gpr(10), guest.vcpus[0].state().psw.address), (0, 0), "three replies");
    let seconds = host.clock().now() / 1_000_000_000;
    assert_eq!(seconds, 3);
}

#[test]
fn an_mdev_that_is_refused_takes_the_hook_on_old_kernels() {
    for (kernel, code) in [("7.0", 1), ("7.2", 0)] {
        let host = host_with(&[("\"7.2\"", &format!("{kernel:?}"))]);
        let mut guest = Guest::with_mdev(&host);
        guest.vm.open_ap(mdev(2).into()).expect_err("the VM has one");
        assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE, NIB)), response(code), "{kernel}");
    }
}

#[test]
fn the_ap_facilities_are_off_until_user_space_asks_for_them() {
    let host = host();
    let mut proto = SimProtoVm::create(&host).expect("a VM");
    let memory = crate::support::memory();
    proto.set_memory(&memory).expect("1M is memory");
    proto.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
    let mut guest = Builder { proto, memory }.build(1);
    guest.device = Some(guest.vm.open_ap(mdev(1).into()).expect("the mdev is free"));
    assert_eq!(aqic(&mut guest, 0x0504, ENABLE, NIB).0, SPECIFICATION, "65");
    // STFLE of two doublewords.
    guest.set(&[(0, 1)]);
    guest.ended(&[0xb2, 0xb0, 0x04, 0x00]);
    let list = guest.read::<16>(0x400);
    assert_eq!((list[1] & 0x09, list[8] & 0x40), (0, 0), "12, 15 and 65");
    assert_ne!(list[0] & 0x40, 0, "z/Architecture is");
}

#[test]
fn closing_the_device_ends_interruptions() {
    let mut guest = Guest::with_mdev(&host());
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE | 6, NIB)), response(0));
    guest.device = None;
    guest.device = Some(guest.vm.open_ap(mdev(1).into()).expect("it was given back"));
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE | 6, NIB)), response(0), "it was disabled");
}

// 172: vfio_ap_ops.c:handle_pqap
#[test]
fn without_a_gisa_aqic_of_a_device_is_for_user_space() {
    let host = host();
    let mut builder = Builder::new(&host, &[]);
    builder.proto.without_gisa();
    let mut guest = builder.build(1);
    guest.set(&[(0, AQIC | 0x0504), (1, ENABLE), (2, NIB)]);
    // Without a device KVM does not look at the GISA.
    assert_eq!(answer(aqic(&mut guest, 0x0504, ENABLE, NIB)).0, Ended::Program { condition: 3 });
    guest.device = Some(guest.vm.open_ap(mdev(1).into()).expect("the mdev is free"));
    guest.set(&[(0, AQIC | 0x0504), (1, ENABLE), (2, NIB)]);
    assert_eq!(guest.for_user_space(op::PQAP), instruction(op::PQAP));
    assert_eq!(guest.gpr(1), ENABLE, "nothing was done");
    guest.set(&[(0, AQIC | 0x0504)]);
    assert_eq!(guest.ended_in_problem_state(op::PQAP), PRIVILEGED, "KVM's own checks come first");
}
