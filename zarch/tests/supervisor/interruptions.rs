//! Interruptions: codes, lengths, lowcore fields, masks, priority, loops.

use adjunct_zarch::environment::Floating;
use adjunct_zarch::psw::{
    ADDRESSING_64, BASIC_ADDRESSING, DAT, EXTERNAL, FIXED_POINT_OVERFLOW, IO, MACHINE_CHECK, PER, PROBLEM,
    Psw, WAIT,
};
use adjunct_zarch::storage::Width;
use adjunct_zarch::{Absent, Environment, ProgramCode, Stop, Storage};

use crate::guest::{CAUGHT, Guest, START};

#[test]
fn program_interruptions_tell_code_length_and_the_next_instruction() {
    // (instruction, registers 2 and 4, code, length)
    let cases = [
        ("0000", 0, 0, 0x01, 2),
        ("b2fe0000ffff", 0, 0, 0x01, 4),
        ("58102000", 0x10_0000, 0, 0x05, 4),
        ("58102000", 0xf_fffe, 0, 0x05, 4),
        ("1d36", 0, 0, 0x06, 2),
        ("c41d00000001", 0, 0, 0x06, 6),
        ("1d24", 1, 0, 0x09, 2),
        ("fa0020002000", START, 0, 0x07, 6),
        ("0d00 0700", 0, 0, 0x01, 2),
    ];
    for (program, gr2, gr4, code, length) in cases {
        let mut guest = Guest::new(program);
        (guest.cpu.state.gprs[2], guest.cpu.state.gprs[4]) = (gr2, gr4);
        let (found, ilc, offset) = guest.program_check();
        if program.starts_with("0d00") {
            // Runs on into zeros: the operation exception is of what follows.
            assert_eq!((found, ilc, offset), (1, 2, 6), "{program}");
            continue;
        }
        assert_eq!((found, ilc, offset), (code, length, u64::from(length)), "{program}");
    }
}

#[test]
fn a_program_may_not_be_privileged_in_the_problem_state() {
    for program in ["82000200", "b2020200", "eb010200002f", "ac fe 02 00", "b2200012", "83120308", "ae120003"]
    {
        let mut guest = Guest::new(program);
        guest.cpu.state.psw.mask |= PROBLEM;
        let length = u16::try_from(program.replace(' ', "").len() / 2).unwrap_or_default();
        assert_eq!(guest.program_check(), (2, length, u64::from(length)), "{program}");
    }
}

#[test]
fn every_instruction_marked_privileged_refuses_the_problem_state_and_no_other_does() {
    for instruction in adjunct_zarch::instructions() {
        let mut guest = Guest::new("");
        guest.around.adjuncts = Some(crate::guest::Echo::default());
        guest.storage.store(START, Width::Double, instruction.template()).expect("inside");
        guest.cpu.state.psw.mask |= PROBLEM;
        // Key 15 and the key instructions' semi-privilege would look the same.
        guest.cpu.state.crs[3] = 0xffff_0000;
        guest.cpu.state.crs[0] |= 0x0800_0000;
        guest.run(1);
        let refused = guest.half(0x8e) == 2 && guest.cpu.state.psw.address == CAUGHT + 0x150;
        assert_eq!(refused, instruction.privileged, "{}", instruction.mnemonic);
    }
}

#[test]
fn fixed_point_overflow_interrupts_only_when_the_program_mask_has_it() {
    let mut guest = Guest::new("1a23 0000");
    (guest.cpu.state.gprs[2], guest.cpu.state.gprs[3]) = (0x7fff_ffff, 1);
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!((guest.cc(), guest.cpu.state.gprs[2]), (3, 0x8000_0000));
    let mut guest = Guest::new("1a23 0000");
    guest.cpu.state.psw.mask |= FIXED_POINT_OVERFLOW;
    (guest.cpu.state.gprs[2], guest.cpu.state.gprs[3]) = (0x7fff_ffff, 1);
    assert_eq!(guest.program_check(), (8, 2, 2));
    assert_eq!(guest.cpu.state.gprs[2], 0x8000_0000, "the operation is completed");
    assert_eq!(guest.psw_at(0x150).condition_code(), 3);
}

#[test]
fn compare_and_trap_is_a_data_exception_with_code_ff() {
    let mut guest = Guest::new("ec1000058070");
    guest.cpu.state.gprs[1] = 5;
    assert_eq!(guest.program_check(), (7, 6, 6));
    assert_eq!(guest.word(0x90), 0xff);
}

#[test]
fn execute_of_execute_is_an_execute_exception_with_the_first_ones_length() {
    let mut guest = Guest::new("44002000");
    guest.cpu.state.gprs[2] = START;
    assert_eq!(guest.program_check(), (3, 4, 4));
}

#[test]
fn an_exception_of_an_execute_target_has_executes_length_and_address() {
    let mut guest = Guest::new("c60000000080");
    guest.put(START + 0x100, "1d24");
    guest.cpu.state.gprs[4] = 0;
    assert_eq!(guest.program_check(), (9, 6, 6));
}

#[test]
fn an_odd_instruction_address_is_a_specification_exception() {
    let mut guest = Guest::new("");
    guest.cpu.state.psw.address = START + 1;
    assert_eq!(guest.program_check().0, 6);
}

#[test]
fn an_invalid_psw_is_loaded_and_then_a_specification_exception_of_length_zero() {
    let mut guest = Guest::new("b2b20200");
    let bad = Psw::new(ADDRESSING_64 | 1, 0x4444);
    guest.storage.write(0x200, &bad.to_be_bytes()).expect("inside");
    assert_eq!(guest.caught(), (0x150, bad));
    assert_eq!((guest.half(0x8e), guest.half(0x8c)), (6, 0));
}

#[test]
fn an_invalid_program_new_psw_is_a_program_loop() {
    let mut guest = Guest::new("1d36");
    guest.new_psw(0x150, Psw::new(1, 0));
    assert_eq!(guest.run(10), Stop::ProgramLoop);
    assert_eq!((guest.half(0x8e), guest.cpu.state.psw.address), (0, START + 2), "nothing was stored");
}

#[test]
fn an_odd_program_new_psw_is_a_program_loop_once_an_instruction_is_fetched_there() {
    for (program, stored) in [("1d36", 0), ("0000", 1)] {
        let mut guest = Guest::new(program);
        guest.new_psw(0x150, Psw::new(ADDRESSING_64, 0x4001));
        assert_eq!(guest.run(10), Stop::ProgramLoop, "{program}");
        assert_eq!(guest.half(0x8e), stored, "{program}");
    }
}

#[test]
fn a_new_psw_that_is_invalid_after_another_exception_is_a_program_loop() {
    let mut guest = Guest::new("0a2a");
    guest.new_psw(0x140, Psw::new(1, 0));
    guest.new_psw(0x150, Psw::new(1, 0x10));
    assert_eq!(guest.run(10), Stop::ProgramLoop);
    assert_eq!((guest.half(0x8a), guest.cpu.state.psw), (42, Psw::new(1, 0)));
}

#[test]
fn an_operation_exception_at_the_program_new_psw_is_an_operation_loop() {
    let mut guest = Guest::new("0000");
    guest.new_psw(0x150, Psw::new(ADDRESSING_64, START));
    assert_eq!(guest.run(10), Stop::OperationLoop { ipa: 0, ipb: 0 });
    assert_eq!((guest.half(0x8e), guest.cpu.state.psw.address), (0, START + 2), "nothing was stored");
}

#[test]
fn an_operation_exception_elsewhere_or_in_problem_state_is_no_loop() {
    for (old, new) in [
        (Psw::new(ADDRESSING_64, START), Psw::new(ADDRESSING_64, START + 0x100)),
        (Psw::new(ADDRESSING_64, START), Psw::new(ADDRESSING_64 | WAIT, START)),
        (Psw::new(ADDRESSING_64 | PROBLEM, START), Psw::new(ADDRESSING_64 | WAIT, START)),
        (Psw::new(ADDRESSING_64 | PROBLEM, START), Psw::new(ADDRESSING_64, START)),
    ] {
        let mut guest = Guest::new("0000");
        guest.put(START + 0x100, "a7f40000");
        guest.cpu.state.psw = old;
        guest.new_psw(0x150, new);
        assert_ne!(guest.run(1), Stop::OperationLoop { ipa: 0, ipb: 0 }, "{old:x?} {new:x?}");
        assert_eq!(guest.half(0x8e), 1, "{old:x?} {new:x?}");
    }
}

#[test]
fn supervisor_call_stores_its_number_and_swaps_psws() {
    let mut guest = Guest::new("0a2a");
    let (old, psw) = guest.caught();
    assert_eq!((old, psw), (0x140, Psw::new(ADDRESSING_64, START + 2)));
    assert_eq!((guest.half(0x88), guest.half(0x8a)), (2, 42));
}

#[test]
fn monitor_call_is_an_event_when_its_class_is_enabled() {
    let mut guest = Guest::new("af050123 0000");
    guest.cpu.state.crs[8] = 0xfbff;
    assert_eq!(guest.run(1), Stop::Budget);
    let mut guest = Guest::new("af050123");
    guest.cpu.state.crs[8] = 0x0400;
    assert_eq!(guest.program_check(), (0x40, 4, 4));
    assert_eq!((guest.half(0x94), guest.double(0xb0)), (5, 0x123));
}

#[test]
fn interruptions_go_through_the_prefix() {
    let mut guest = Guest::new("0a2a");
    guest.cpu.state.prefix = 0x8000;
    guest.storage.write(0x81c0, &Psw::new(WAIT, 0x77).to_be_bytes()).expect("inside");
    assert_eq!(guest.run(10), Stop::DisabledWait);
    assert_eq!(guest.cpu.state.psw.address, 0x77);
    assert_eq!((guest.half(0x808a), guest.half(0x8a)), (42, 0));
    assert_eq!(guest.double(0x8148), START + 2);
}

#[test]
fn a_prefix_outside_storage_is_a_validity_interception() {
    let mut guest = Guest::new("0700");
    guest.cpu.state.prefix = 0x10_0000;
    assert_eq!(guest.run(1), Stop::Validity);
    guest.cpu.state.prefix = 0x1000;
    assert_eq!(guest.run(1), Stop::Validity);
}

/// A guest in an enabled wait with every external subclass on.
fn waiting() -> Guest {
    let mut guest = Guest::new("");
    guest.cpu.state.psw.mask |= WAIT | EXTERNAL;
    guest.cpu.state.crs[0] |= 0x6e00;
    guest
}

#[test]
fn the_clock_comparator_interrupts_when_the_clock_is_past_it() {
    let mut guest = waiting();
    guest.cpu.state.clock_comparator = 2000;
    assert_eq!(guest.run(10), Stop::EnabledWait);
    let left = guest.cpu.next_timer(&guest.around).expect("the comparator is enabled");
    assert!((900..1000).contains(&left), "{left}");
    guest.around.set_tod(2001);
    assert_eq!(guest.caught().0, 0x130);
    assert_eq!(guest.half(0x86), 0x1004);
}

#[test]
fn the_cpu_timer_interrupts_once_it_is_negative_even_in_a_wait() {
    let mut guest = waiting();
    guest.cpu.state.cpu_timer = 500;
    assert_eq!(guest.run(10), Stop::EnabledWait);
    assert!(guest.cpu.next_timer(&guest.around).is_some_and(|left| left <= 500));
    guest.around.set_tod(5000);
    assert_eq!(guest.caught().0, 0x130);
    assert_eq!(guest.half(0x86), 0x1005);
}

#[test]
fn the_cpu_timer_stands_still_between_runs_but_in_a_wait() {
    let mut guest = Guest::new("0700 0700");
    assert_eq!(guest.run(1), Stop::Budget);
    let before = guest.cpu.state.cpu_timer;
    guest.around.set_tod(1 << 40);
    assert_eq!(guest.run(1), Stop::Budget);
    assert!(before - guest.cpu.state.cpu_timer < 100);
}

#[test]
fn a_timer_whose_new_psw_is_enabled_is_an_external_loop() {
    let mut guest = waiting();
    guest.cpu.state.clock_comparator = 0;
    guest.new_psw(0x130, Psw::new(EXTERNAL | ADDRESSING_64, START));
    assert_eq!(guest.run(10), Stop::ExternalLoop);
    assert_eq!(guest.half(0x86), 0, "nothing was stored");
}

#[test]
fn signals_between_cpus_tell_their_source_and_have_their_subclass_masks() {
    let mut guest = waiting();
    guest.cpu.inject_emergency(4);
    assert!(guest.cpu.inject_external_call(5));
    assert!(!guest.cpu.inject_external_call(6), "one external call is pending already");
    assert_eq!(guest.caught().0, 0x130);
    assert_eq!((guest.half(0x86), guest.half(0x84)), (0x1201, 4));
    guest.cpu.state.psw.mask = WAIT | EXTERNAL;
    guest.cpu.state.crs[0] = 0;
    assert_eq!(guest.run(1), Stop::EnabledWait);
    guest.cpu.state.crs[0] = 0x2000;
    assert_eq!(guest.caught().0, 0x130);
    assert_eq!((guest.half(0x86), guest.half(0x84)), (0x1202, 5));
}

#[test]
fn interruptions_that_let_each_other_in_for_ever_use_the_budget_up() {
    let mut guest = waiting();
    guest.cpu.state.clock_comparator = 0;
    guest.new_psw(0x130, Psw::new(BASIC_ADDRESSING, 0x8000_0000));
    guest.new_psw(0x150, Psw::new(EXTERNAL | ADDRESSING_64, START));
    let before = guest.around.tod.get();
    assert_eq!(guest.run(1000), Stop::Budget);
    assert_eq!((guest.half(0x86), guest.half(0x8e)), (0x1004, 6));
    assert!((1000..2000).contains(&(guest.around.tod.get() - before)), "a look at the clock for each");
}

/// A guest that lets interruptions in one after the other, with three external ones and a restart pending. What would be
/// executed between two of them is `LHI %r2,1`.
fn with_four_pending() -> Guest {
    let mut guest = Guest::new("a7280001");
    guest.cpu.state.psw.mask |= EXTERNAL;
    guest.cpu.state.crs[0] |= 0x6e00;
    guest.new_psw(0x130, Psw::new(ADDRESSING_64 | EXTERNAL, START));
    guest.cpu.inject_restart();
    guest.around.floating.push(Floating::ServiceSignal { parameter: 8 });
    assert!(guest.cpu.inject_external_call(5));
    guest.cpu.inject_emergency(4);
    guest
}

#[test]
fn pending_interruptions_can_be_taken_in_their_order_and_nothing_is_executed() {
    let mut guest = with_four_pending();
    for (code, source) in [(0x1201, 4), (0x1202, 5), (0x2401, 0)] {
        assert_eq!(guest.take_interruptions(1), Some(Stop::Budget));
        assert_eq!((guest.half(0x86), guest.half(0x84)), (code, source));
        assert_eq!(guest.cpu.state.psw.address, START);
    }
    assert_eq!(guest.take_interruptions(1), Some(Stop::Budget));
    assert_eq!(guest.cpu.state.psw.address, CAUGHT + 0x120);
    assert_eq!((guest.psw_at(0x120).address, guest.cpu.state.gprs[2]), (START, 0));
    assert_eq!(guest.take_interruptions(1), None);
}

#[test]
fn as_many_interruptions_are_taken_as_are_pending_and_at_most_so_many() {
    let mut guest = with_four_pending();
    assert_eq!(guest.take_interruptions(3), Some(Stop::Budget));
    assert_eq!(guest.half(0x86), 0x2401);
    assert_eq!(guest.take_interruptions(100), None);
    assert_eq!((guest.psw_at(0x120).address, guest.cpu.state.gprs[2]), (START, 0));
    let mut guest = waiting();
    assert_eq!(guest.take_interruptions(100), None, "a CPU that waits has nothing to take");
    guest.cpu.state.clock_comparator = 0;
    guest.new_psw(0x130, Psw::new(BASIC_ADDRESSING, 0x8000_0000));
    guest.new_psw(0x150, Psw::new(EXTERNAL | ADDRESSING_64, START));
    assert_eq!(guest.take_interruptions(1000), Some(Stop::Budget), "these let each other in for ever");
}

#[test]
fn interruptions_that_loop_or_have_no_lowcore_stop_who_takes_them() {
    let mut guest = waiting();
    guest.cpu.state.clock_comparator = 0;
    guest.new_psw(0x130, Psw::new(EXTERNAL | ADDRESSING_64, START));
    assert_eq!(guest.take_interruptions(100), Some(Stop::ExternalLoop));
    let mut guest = Guest::new("");
    guest.cpu.inject_program(ProgramCode::Specification);
    guest.new_psw(0x150, Psw::new(1, 0));
    assert_eq!(guest.take_interruptions(100), Some(Stop::ProgramLoop));
    let mut guest = with_four_pending();
    guest.cpu.state.prefix = 0x10_0000;
    assert_eq!(guest.take_interruptions(100), Some(Stop::Validity));
    guest.cpu.state.prefix = 0;
    assert_eq!(guest.take_interruptions(1), Some(Stop::Budget));
    assert_eq!((guest.half(0x86), guest.half(0x84)), (0x1201, 4), "all of them are pending still");
}

#[test]
fn an_interruption_counts_as_an_instruction() {
    let mut guest = Guest::new("");
    guest.put(0x2000, "0700 0700");
    guest.new_psw(0x120, Psw::new(ADDRESSING_64, 0x2000));
    guest.cpu.inject_restart();
    assert_eq!(guest.run(2), Stop::Budget);
    assert_eq!(guest.cpu.state.psw.address, 0x2002);
}

#[test]
fn an_external_call_is_pending_until_it_is_taken_or_reset() {
    let mut guest = waiting();
    assert!(!guest.cpu.external_call_pending());
    assert!(guest.cpu.inject_external_call(5) && guest.cpu.external_call_pending());
    assert_eq!(guest.around.external_calls_taken, 0);
    guest.caught();
    assert!(!guest.cpu.external_call_pending());
    assert_eq!(guest.around.external_calls_taken, 1);
    assert!(guest.cpu.inject_external_call(5));
    guest.cpu.normal_reset();
    assert!(!guest.cpu.external_call_pending());
    assert_eq!(guest.around.external_calls_taken, 1, "nobody took that one");
}

#[test]
fn a_service_signal_stores_its_parameter() {
    let mut guest = waiting();
    guest.around.floating.push(Floating::ServiceSignal { parameter: 0x1234_5001 });
    assert_eq!(guest.caught().0, 0x130);
    assert_eq!((guest.half(0x86), guest.half(0x84), guest.word(0x80)), (0x2401, 0, 0x1234_5001));
    assert!(guest.around.floating.is_empty());
}

#[test]
fn an_adapter_interruption_waits_for_its_subclass() {
    let mut guest = Guest::new("");
    guest.cpu.state.psw.mask |= WAIT | IO;
    guest.cpu.state.crs[6] = 0x8000_0000;
    guest.around.floating.push(Floating::adapter(6));
    assert_eq!(guest.run(10), Stop::EnabledWait);
    assert_eq!(guest.around.asked.io_subclasses, 0x80);
    guest.cpu.state.crs[6] |= 0x0200_0000;
    assert_eq!(guest.caught().0, 0x170);
    assert_eq!((guest.word(0xb8), guest.word(0xbc), guest.word(0xc0)), (0, 0, 0xb000_0000));
}

#[test]
fn a_machine_check_saves_the_registers_and_comes_first() {
    let mut guest = waiting();
    guest.cpu.state.psw.mask |= MACHINE_CHECK;
    guest.cpu.state.crs[14] = 0x1000_0000;
    guest.cpu.state.gprs[9] = 0x99;
    guest.cpu.state.clock_comparator = 0x1234_5678_9abc_deff;
    let floating = [
        Floating::ServiceSignal { parameter: 8 },
        Floating::MachineCheck {
            code: 0x0040_0000_0000_0000,
            external_damage: 1,
            failing_storage: 2,
            fixed_logout: 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978_u128.to_be_bytes(),
        },
    ];
    guest.around.floating.extend(floating);
    assert_eq!(guest.caught().0, 0x160);
    assert_eq!(guest.double(0xe8), 0x0040_0000_0000_0000);
    assert_eq!(guest.word(0xa0) & 0xff, 1, "z/Architecture");
    assert_eq!((guest.word(0xf4), guest.double(0xf8)), (1, 2));
    assert_eq!((guest.double(0x1300), guest.double(0x1308)), (0x0123_4567_89ab_cdef, 0x0f1e_2d3c_4b5a_6978));
    assert_eq!((guest.double(0x1280 + 72), guest.double(0x1380 + 14 * 8)), (0x99, 0x1000_0000));
    assert_eq!(guest.double(0x1330), 0x0012_3456_789a_bcde);
}

#[test]
fn nothing_is_taken_while_the_cpu_is_disabled() {
    let mut guest = Guest::new("0700 0700 0700");
    guest.cpu.state.crs[0] |= 0x6e00;
    guest.cpu.state.crs[6] = 0xff00_0000;
    guest.cpu.state.clock_comparator = 0;
    guest.cpu.inject_emergency(1);
    guest.around.floating.push(Floating::adapter(0));
    assert_eq!(guest.run(3), Stop::Budget);
    assert_eq!(guest.cpu.state.psw.address, START + 6);
}

#[test]
fn enabling_interruptions_lets_one_in_after_that_instruction() {
    // STOSM 512,3
    let mut guest = Guest::new("ad030200 0700");
    guest.cpu.state.crs[0] |= 0x4000;
    guest.cpu.inject_emergency(1);
    let (old, psw) = guest.caught();
    assert_eq!((old, psw.address), (0x130, START + 4));
    assert_eq!(psw.mask & (IO | EXTERNAL), IO | EXTERNAL);
}

#[test]
fn a_restart_interruption_is_taken_whatever_the_masks() {
    let mut guest = Guest::new("0700");
    guest.cpu.inject_restart();
    assert_eq!(guest.caught(), (0x120, Psw::new(ADDRESSING_64, START)));
}

#[test]
fn an_injected_operation_exception_is_for_the_intercepted_instruction() {
    let mut guest = Guest::new("b2af0000");
    assert_eq!(guest.run(10), Stop::Instruction { ipa: 0xb2af, ipb: 0 });
    guest.cpu.inject_program(ProgramCode::Operation);
    assert_eq!(guest.program_check(), (1, 4, 4));
}

#[test]
fn waits_are_told_apart_by_what_they_are_enabled_for() {
    for (mask, stop) in [
        (0, Stop::DisabledWait),
        (IO, Stop::EnabledWait),
        (EXTERNAL, Stop::EnabledWait),
        (MACHINE_CHECK, Stop::EnabledWait),
    ] {
        let mut guest = Guest::new("");
        guest.cpu.state.psw.mask |= WAIT | mask;
        assert_eq!(guest.run(10), stop);
    }
}

#[test]
fn translation_and_per_are_said_to_be_missing() {
    for (bit, what) in [(DAT, Absent::Dat), (PER, Absent::Per)] {
        let mut guest = Guest::new("b2b20200");
        guest.storage.write(0x200, &Psw::new(ADDRESSING_64 | bit, 0).to_be_bytes()).expect("inside");
        assert_eq!(guest.run(10), Stop::Unsupported { what });
    }
}

#[test]
fn base_instructions_that_are_missing_are_said_to_be_and_unknown_ones_are_exceptions() {
    for (program, start) in [("b31a0001", 0xb31a), ("ee1320004000", 0xee13), ("3a02", 0x3a02)] {
        let mut guest = Guest::new(program);
        let what = Absent::Instruction(start);
        assert_eq!(guest.run(10), Stop::Unsupported { what }, "{program}");
    }
    for program in ["b2fe0000", "e7000000003e", "0001", "b9a20000"] {
        assert_eq!(Guest::new(program).program_check().0, 1, "{program}");
    }
}

#[test]
fn addresses_wrap_at_the_end_of_the_addressing_mode() {
    // L %r1,0(%r2) with a base whose bits left of 31 do not count.
    let mut guest = Guest::new("58102000");
    guest.cpu.state.psw.mask = BASIC_ADDRESSING;
    guest.storage.store(0x500, Width::Word, 0xabcd).expect("inside");
    guest.cpu.state.gprs[2] = 0x1234_5678_8000_0500;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.cpu.state.gprs[1], 0xabcd);
}
