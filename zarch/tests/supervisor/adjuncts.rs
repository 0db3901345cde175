//! PQAP, NQAP and DQAP against a guest's masks.

use adjunct_zarch::Stop;
use adjunct_zarch::ap::{Apcb, Configuration};
use adjunct_zarch::psw::PROBLEM;

use crate::guest::{Echo, FACTS, Guest};

const PQAP: &str = "b2af0000";
/// R1 pair 4, R2 pair 6.
const NQAP: &str = "b2ad0046";
const DQAP: &str = "b2ae0046";
const APQN: u64 = 0x0504;
/// Response codes in GR1.
const NOT_AVAILABLE: u64 = 0x0001_0000;

/// A guest with adapter 5 and domains 4 and 0xab on a machine with APXA.
fn guest(program: &str, gr0: u64) -> Guest {
    let mut guest = Guest::new(program);
    let mut apcb = Apcb::default();
    apcb.apm[0] = 0x04;
    apcb.aqm[0] = 0x08;
    apcb.aqm[21] = 0x10;
    apcb.adm[8] = 0x01;
    let flags = 0x8000_0000 | Configuration::APXA | Configuration::QACT;
    let configuration = Configuration { flags, na: 63, nd: 255 };
    guest.around.adjuncts = Some(Echo { apcb, configuration, ..Echo::default() });
    guest.cpu.state.gprs[0] = gr0;
    guest.cpu.state.gprs[1] = u64::MAX;
    guest
}

/// Executes one PQAP; condition code, GR1 and GR2.
fn pqap(gr0: u64) -> (u8, u64, u64) {
    let mut guest = guest(PQAP, gr0);
    assert_eq!(guest.run(1), Stop::Budget);
    (guest.cc(), guest.cpu.state.gprs[1], guest.cpu.state.gprs[2])
}

fn echo(guest: &mut Guest) -> &mut Echo {
    guest.around.adjuncts.as_mut().expect("it was given")
}

#[test]
fn without_interpretation_every_ap_instruction_is_the_hosts_in_any_state() {
    for (program, ipa, ipb) in [(PQAP, 0xb2af, 0), (NQAP, 0xb2ad, 0x0046_0000), (DQAP, 0xb2ae, 0x0046_0000)] {
        for mask in [0, PROBLEM] {
            let mut guest = Guest::new(program);
            guest.cpu.state.psw.mask |= mask;
            assert_eq!(guest.run(1), Stop::Instruction { ipa, ipb });
        }
    }
}

#[test]
fn ap_instructions_are_privileged() {
    for program in [PQAP, NQAP, DQAP] {
        let mut guest = guest(program, APQN);
        guest.cpu.state.psw.mask |= PROBLEM;
        assert_eq!(guest.program_check(), (2, 4, 4), "{program}");
    }
}

#[test]
fn tapq_tells_status_and_with_the_t_bit_all_facts() {
    assert_eq!(pqap(APQN), (0, 0x8000_0000, FACTS & 0xffff_ffff));
    assert_eq!(pqap(0x0080_0000 | APQN), (0, 0x8000_0000, FACTS));
    assert_eq!(pqap(0x0080_0000 | 0x05ab).0, 0);
}

#[test]
fn queues_outside_the_masks_are_not_available_and_never_touched() {
    for function in [0, 1, 2, 5] {
        for apqn in [0x0405, 0x0500, 0x0604, 0xff04, 0x05ff] {
            let mut guest = guest(PQAP, function << 24 | apqn);
            assert_eq!(guest.run(1), Stop::Budget);
            assert_eq!((guest.cc(), guest.cpu.state.gprs[1]), (3, NOT_AVAILABLE), "{function} {apqn:x}");
            assert!(echo(&mut guest).resets.is_empty());
        }
    }
    for program in [NQAP, DQAP] {
        let mut guest = guest(program, 0x0604);
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!((guest.cc(), guest.cpu.state.gprs[1]), (3, NOT_AVAILABLE));
    }
}

#[test]
fn resets_reach_the_queue_and_their_response_code_decides_the_condition_code() {
    for (function, name, cc, gr1) in [(1, "reset", 3, 0x0002_0000), (2, "zeroize", 0, 0x8000_0000)] {
        let mut guest = guest(PQAP, function << 24 | APQN);
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!((guest.cc(), guest.cpu.state.gprs[1]), (cc, gr1));
        assert_eq!(echo(&mut guest).resets, [(name, 0x0504)]);
    }
}

#[test]
fn reserved_bits_and_unknown_functions_are_specification_exceptions() {
    for gr0 in [
        0x0001_0000 | APQN,
        0x0020_0000 | APQN,
        0x0040_0000 | APQN,
        0x0180_0000 | APQN,
        0x0480_0000,
        0x0600_0000 | APQN,
        0x0700_0000 | APQN,
        0xff00_0000 | APQN,
    ] {
        assert_eq!(guest(PQAP, gr0).program_check(), (6, 4, 4), "{gr0:x}");
    }
}

#[test]
fn the_t_bit_and_qci_need_their_facilities() {
    for (facility, gr0) in [(15, 0x0080_0000 | APQN), (12, 0x0400_0000)] {
        let mut guest = guest(PQAP, gr0);
        guest.cpu.state.gprs[2] = 0x4000;
        guest.around.set_facility(facility, false);
        assert_eq!(guest.program_check(), (6, 4, 4));
    }
}

#[test]
fn without_apxa_large_numbers_are_specification_exceptions() {
    for (apqn, refused) in [(0x0504, false), (0x4504, true), (0x0514, true)] {
        let mut guest = guest(PQAP, apqn);
        echo(&mut guest).configuration.flags = 0;
        if refused {
            assert_eq!(guest.program_check().0, 6, "{apqn:x}");
        } else {
            assert_eq!(guest.run(1), Stop::Budget);
            assert_eq!(guest.cc(), 0);
        }
    }
}

#[test]
fn aqic_is_always_the_hosts() {
    for mask in [0, PROBLEM] {
        let mut guest = guest(PQAP, 0x0300_0000 | APQN);
        guest.cpu.state.psw.mask |= mask;
        assert_eq!(guest.run(1), Stop::Instruction { ipa: 0xb2af, ipb: 0 });
    }
}

#[test]
fn qci_stores_the_machines_flags_and_the_guests_masks() {
    let mut guest = guest(PQAP, 0x0400_0000);
    guest.cpu.state.gprs[2] = 0x4008;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.cc(), 0);
    assert_eq!((guest.word(0x4008), guest.half(0x400c)), (0xe000_0000, 0x3fff));
    assert_eq!(guest.double(0x4018), 0x0400_0000_0000_0000);
    assert_eq!((guest.double(0x4038), guest.double(0x4048)), (0x0800_0000_0000_0000, 0x0000_0000_0010_0000));
    assert_eq!(guest.double(0x4060), 0x0100_0000_0000_0000);
}

#[test]
fn qci_stores_128_bytes_on_a_doubleword_boundary() {
    let mut aligned = guest(PQAP, 0x0400_0000);
    aligned.put(0x4000, &"ff".repeat(144));
    aligned.cpu.state.gprs[2] = 0x4008;
    assert_eq!(aligned.run(1), Stop::Budget);
    assert_eq!((aligned.double(0x4000), aligned.double(0x4088)), (u64::MAX, u64::MAX));
    assert_eq!((aligned.double(0x4078), aligned.double(0x4080)), (0, 0));
    let mut askew = guest(PQAP, 0x0400_0000);
    askew.cpu.state.gprs[2] = 0x4004;
    assert_eq!(askew.program_check().0, 6);
}

#[test]
fn qact_is_there_when_the_machine_says_so() {
    let mut with = guest(PQAP, 0x0500_0000 | APQN);
    with.cpu.state.gprs[1] = 0x1000_0000_0b00_0000;
    assert_eq!(with.run(1), Stop::Budget);
    assert_eq!((with.cc(), with.cpu.state.gprs[2]), (0, 0x1000_0000_0b00_0001));
    let mut without = guest(PQAP, 0x0500_0000 | APQN);
    echo(&mut without).configuration.flags = Configuration::APXA;
    assert_eq!(without.program_check().0, 6);
}

/// Enqueues `length` bytes at 0x6000 with PSMID 0x1234567800abcdef.
fn enqueue(guest: &mut Guest, length: u64) {
    let gprs = &mut guest.cpu.state.gprs;
    gprs[0] = 0x4000_0000 | APQN;
    (gprs[4], gprs[5]) = (0xffff_ffff_1234_5678, 0xffff_ffff_00ab_cdef);
    (gprs[6], gprs[7]) = (0x6000, length);
    assert_eq!(guest.run(1), Stop::Budget);
}

fn dequeue(guest: &mut Guest, room: u64) {
    let gprs = &mut guest.cpu.state.gprs;
    gprs[0] = 0x8000_0000 | APQN;
    gprs[2] = 0;
    (gprs[6], gprs[7]) = (0x7000, room);
    assert_eq!(guest.run(1), Stop::Budget);
}

#[test]
fn a_message_goes_in_and_its_reply_comes_out_with_the_psmid() {
    let mut guest = guest(&[NQAP, DQAP].concat(), 0);
    guest.put(0x6000, "0102030405060708");
    enqueue(&mut guest, 8);
    assert_eq!((guest.cc(), guest.cpu.state.gprs[1]), (0, 0));
    assert_eq!(echo(&mut guest).queue[0].0, 0x1234_5678_00ab_cdef);
    assert_eq!(echo(&mut guest).special, [false]);
    dequeue(&mut guest, 64);
    let gprs = guest.cpu.state.gprs;
    assert_eq!((guest.cc(), gprs[4], gprs[5]), (0, 0x1234_5678, 0x00ab_cdef));
    assert_eq!((gprs[6], gprs[7], gprs[2]), (0x7008, 56, 0));
    assert_eq!(guest.double(0x7000), 0x0102_0304_0506_0708);
}

#[test]
fn a_reply_that_does_not_fit_comes_in_parts() {
    let mut guest = guest(&[NQAP, DQAP, DQAP].concat(), 0);
    guest.put(0x6000, "0102030405060708");
    enqueue(&mut guest, 8);
    dequeue(&mut guest, 5);
    assert_eq!((guest.cc(), guest.cpu.state.gprs[2], guest.cpu.state.gprs[7]), (2, 3, 0));
    dequeue(&mut guest, 64);
    assert_eq!((guest.cc(), guest.cpu.state.gprs[2], guest.cpu.state.gprs[7]), (0, 0, 61));
    assert_eq!(guest.double(0x7000) >> 40, 0x06_0708);
}

#[test]
fn a_full_queue_takes_no_message_and_an_empty_one_gives_none() {
    let mut guest = guest(&[NQAP, NQAP, NQAP, DQAP, DQAP, DQAP].concat(), 0);
    for cc in [0, 0, 3] {
        enqueue(&mut guest, 4);
        assert_eq!(guest.cc(), cc);
    }
    assert_eq!((guest.cpu.state.gprs[1], guest.cpu.state.gprs[6]), (0x0010_0000, 0x6000));
    for cc in [0, 0, 3] {
        dequeue(&mut guest, 4);
        assert_eq!(guest.cc(), cc);
    }
    assert_eq!((guest.cpu.state.gprs[1], guest.cpu.state.gprs[7]), (0x8010_0000, 4));
}

#[test]
fn odd_register_pairs_are_specification_exceptions() {
    for program in ["b2ad0056", "b2ad0045", "b2ae0056", "b2ae0045"] {
        assert_eq!(guest(program, APQN).program_check().0, 6, "{program}");
    }
}

#[test]
fn a_buffer_outside_storage_takes_nothing_out_of_the_queue() {
    let mut guest = guest(&[NQAP, DQAP].concat(), 0);
    enqueue(&mut guest, 4);
    guest.cpu.state.gprs[0] = 0x8000_0000 | APQN;
    (guest.cpu.state.gprs[6], guest.cpu.state.gprs[7]) = (0xf_fffe, 4);
    assert_eq!(guest.program_check().0, 5);
    assert_eq!(echo(&mut guest).queue.len(), 1);
}

#[test]
fn the_special_command_bit_reaches_the_queue() {
    let mut guest = guest(NQAP, 0x4040_0000 | APQN);
    guest.cpu.state.gprs[7] = 0;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(echo(&mut guest).special, [true]);
}

#[test]
fn a_message_longer_than_any_queue_takes_is_refused() {
    let mut guest = guest(NQAP, 0x4000_0000 | APQN);
    guest.cpu.state.gprs[7] = u64::MAX;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!((guest.cc(), guest.cpu.state.gprs[1]), (3, 0x0015_0000));
}

#[test]
fn a_pair_that_is_used_twice_has_what_is_put_into_it_last() {
    // PSMID and buffer in the same pair, then each in GR0 and GR1; GR0-2, GR4 and GR5 after it.
    let cases = [
        ("b2ae0044", [0x0504, 0, 0, 0x7008, 56]),
        ("b2ae0004", [0, 0, 0, 0x7008, 56]),
        ("b2ae0060", [0x050c, 0, 0, 0x7000, 64]),
    ];
    for (program, after) in cases {
        let mut guest = guest(&[NQAP, program].concat(), 0);
        enqueue(&mut guest, 8);
        echo(&mut guest).queue[0].0 = 1;
        guest.cpu.state.gprs = [0x0504, 64, 9, 9, 0x7000, 64, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
        assert_eq!(guest.run(1), Stop::Budget, "{program}");
        let [gr0, gr1, gr2, _, gr4, gr5, ..] = guest.cpu.state.gprs;
        assert_eq!([gr0, gr1, gr2, gr4, gr5], after, "{program}");
    }
}
