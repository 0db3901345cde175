//! Control instructions.

use adjunct_zarch::psw::{ADDRESSING_64, BASIC_ADDRESSING, Psw, WAIT};
use adjunct_zarch::storage::Width;
use adjunct_zarch::{Stop, Storage};

use crate::guest::{Guest, START};

#[test]
fn load_psw_takes_the_short_form() {
    let mut guest = Guest::new("82000200");
    guest.storage.store(0x200, Width::Double, 0x000a_0000_8000_0123).expect("inside");
    assert_eq!(guest.run(10), Stop::DisabledWait);
    assert_eq!(guest.cpu.state.psw, Psw::new(WAIT | BASIC_ADDRESSING, 0x123));
}

#[test]
fn load_psw_without_bit_12_is_suppressed() {
    let mut guest = Guest::new("82000200");
    guest.storage.store(0x200, Width::Double, 0x0002_0000_8000_0123).expect("inside");
    assert_eq!(guest.program_check(), (6, 4, 4));
}

#[test]
fn control_registers_are_loaded_and_stored_whole_or_by_their_right_half() {
    // LCTLG 15,1; STCTL 15,1; LCTL 1,1
    let mut guest = Guest::new("ebf10200002f b6f10300 b7110400");
    for register in 0..3 {
        let value = 0x1111_2222_3333_0000 + register;
        guest.storage.store(0x200 + 8 * register, Width::Double, value).expect("inside");
    }
    guest.storage.store(0x400, Width::Word, 0x7777_7777).expect("inside");
    assert_eq!(guest.run(3), Stop::Budget);
    let crs = guest.cpu.state.crs;
    assert_eq!((crs[15], crs[0]), (0x1111_2222_3333_0000, 0x1111_2222_3333_0001));
    assert_eq!(crs[1], 0x1111_2222_7777_7777);
    assert_eq!((guest.word(0x300), guest.word(0x308)), (0x3333_0000, 0x3333_0002));
}

#[test]
fn control_registers_have_to_be_aligned_in_storage() {
    assert_eq!(Guest::new("eb010204002f").program_check().0, 6);
}

#[test]
fn set_prefix_moves_the_lowcore_and_wants_storage_there() {
    // SPX 512; STPX 516; L %r1,0 ; L %r2,0(%r3)
    let mut guest = Guest::new("b2100200 58100000 58203000");
    guest.storage.store(0x200, Width::Word, 0x0000_6fff).expect("inside");
    guest.storage.store(0x6000, Width::Word, 0x66).expect("inside");
    guest.storage.store(0, Width::Word, 0x11).expect("inside");
    guest.cpu.state.gprs[3] = 0x6000;
    assert_eq!(guest.run(3), Stop::Budget);
    assert_eq!(guest.cpu.state.prefix, 0x6000);
    assert_eq!((guest.cpu.state.gprs[1], guest.cpu.state.gprs[2]), (0x66, 0x11));
    let mut guest = Guest::new("b2100200");
    guest.storage.store(0x200, Width::Word, 0x0010_0000).expect("inside");
    assert_eq!(guest.program_check().0, 5);
}

#[test]
fn identity_is_the_environments() {
    // STAP 512; STIDP 520
    let mut guest = Guest::new("b2120200 b2020208");
    assert_eq!(guest.run(2), Stop::Budget);
    assert_eq!((guest.half(0x200), guest.double(0x208)), (3, 0xff12_3456_3931_8000));
}

#[test]
fn facility_lists_are_stored_as_they_are() {
    // STFL 0; STFLE 512
    let mut guest = Guest::new("b2b10000 b2b00200");
    guest.around.facilities[20] = 0x80;
    assert_eq!(guest.run(2), Stop::Budget);
    let list = |range: std::ops::Range<usize>| guest.around.facilities[range].to_vec();
    assert_eq!(guest.word(0xc8).to_be_bytes().to_vec(), list(0..4));
    assert_eq!(guest.double(0x200).to_be_bytes().to_vec(), list(0..8));
    assert_eq!((guest.double(0x208), guest.cc(), guest.cpu.state.gprs[0]), (0, 3, 2));
    let mut guest = Guest::new("b2b00200");
    guest.around.facilities[20] = 0x80;
    guest.cpu.state.gprs[0] = 0xffff_ff07;
    guest.storage.store(0x218, Width::Double, u64::MAX).expect("inside");
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.double(0x210).to_be_bytes().to_vec(), guest.around.facilities[16..24].to_vec());
    assert_eq!(guest.double(0x218), u64::MAX, "what there is not is not stored");
    assert_eq!((guest.cc(), guest.cpu.state.gprs[0]), (0, 0xffff_ff02));
}

#[test]
fn system_information_has_the_layout_of_linux_sysinfo() {
    let stsi = |function: u64, selectors: (u64, u64)| {
        let mut guest = Guest::new("b27d5000");
        guest.cpu.state.gprs[0] = function << 28 | selectors.0;
        guest.cpu.state.gprs[1] = selectors.1;
        guest.cpu.state.gprs[5] = 0x4000;
        assert_eq!(guest.run(1), Stop::Budget);
        guest
    };
    let level = stsi(0, (0, 0));
    assert_eq!((level.cpu.state.gprs[0], level.cc()), (3 << 28, 0));
    // arch/s390/include/asm/sysinfo.h: struct sysinfo_1_1_1, type at 48: "3931".
    assert_eq!(stsi(1, (1, 1)).word(0x4030), 0xf3f9_f3f1);
    let machine = stsi(1, (2, 2));
    assert_eq!((machine.word(0x4020), machine.half(0x4024), machine.half(0x4026)), (77, 2, 2));
    // struct sysinfo_2_2_2, name at 44: "LPAR1   ".
    let partition = stsi(2, (2, 2));
    assert_eq!((partition.word(0x402c), partition.word(0x4030)), (0xd3d7_c1d9, 0xf140_4040));
    // struct sysinfo_3_2_2: count in byte 31, cpi of vm[0] at 56: "KVM/Linux".
    let guest = stsi(3, (2, 2));
    assert_eq!((guest.word(0x401c) & 0xf, guest.word(0x4038)), (1, 0xd2e5_d461));
    assert_eq!(stsi(3, (2, 3)).cc(), 3);
    assert_eq!(stsi(15, (1, 2)).cc(), 3);
}

#[test]
fn system_information_wants_its_reserved_bits_zero_and_a_page() {
    let check = |gr0: u64, gr5: u64| {
        let mut guest = Guest::new("b27d5000");
        guest.cpu.state.gprs[0] = gr0;
        guest.cpu.state.gprs[1] = 1;
        guest.cpu.state.gprs[5] = gr5;
        guest.program_check().0
    };
    assert_eq!(check(0x1000_0101, 0x4000), 6);
    assert_eq!(check(0x1000_0001, 0x4008), 6);
}

#[test]
fn clocks_are_set_and_stored() {
    // SCK 512; STCK 528; SCKC 512; STCKC 536; SPT 512; STPT 544
    let mut guest = Guest::new("b2040200 b2050210 b2060200 b2070218 b2080200 b2090220");
    guest.storage.store(0x200, Width::Double, 0x1_0000_0000).expect("inside");
    assert_eq!(guest.run(6), Stop::Budget);
    assert!((0x1_0000_0000..0x1_0000_0100).contains(&guest.double(0x210)));
    assert_eq!(guest.double(0x218), 0x1_0000_0000);
    assert!((0xffff_ff00..0x1_0000_0000).contains(&guest.double(0x220)));
}

#[test]
fn store_clock_extended_puts_the_clock_after_the_epoch_index() {
    let mut guest = Guest::new("b2780201");
    guest.around.tod.set(0x1234_5678_9abc_de00);
    guest.cpu.state.tod_programmable = 0xbeef;
    assert_eq!(guest.run(1), Stop::Budget);
    let mut bytes = [0; 16];
    guest.storage.read(0x201, &mut bytes).expect("inside");
    assert_eq!((bytes[0], &bytes[1..8]), (0, [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde].as_slice()));
    assert_eq!(bytes[14..], [0xbe, 0xef]);
}

#[test]
fn keys_are_set_inserted_and_reset() {
    // SSKE 1,2; ISKE 3,2; RRBE 0,2; ISKE 4,2
    let mut guest = Guest::new("b22b0012 b2290032 b22a0002 b2290042");
    guest.cpu.state.gprs[1] = 0x3f;
    guest.cpu.state.gprs[2] = 0x5123;
    assert_eq!(guest.run(4), Stop::Budget);
    let gprs = guest.cpu.state.gprs;
    assert_eq!((gprs[3], gprs[4], guest.cc()), (0x3e, 0x3a, 3));
}

#[test]
fn conditional_key_setting_leaves_a_key_that_differs_in_reference_only() {
    // SSKE 1,2,6 with MR and MC
    let mut guest = Guest::new("b22b6012 b22b6012");
    guest.storage.keys().set(0x5000, 0x36).expect("inside");
    guest.cpu.state.gprs[1] = 0x30;
    guest.cpu.state.gprs[2] = 0x5000;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!((guest.cc(), guest.storage.keys().get(0x5000)), (0, Ok(0x36)));
    assert_eq!(guest.cpu.state.gprs[1], 0x3630);
    guest.cpu.state.gprs[1] = 0x40;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!((guest.cc(), guest.storage.keys().get(0x5000)), (1, Ok(0x40)));
}

#[test]
fn keys_protect_from_stores_and_where_they_say_so_from_fetches() {
    for (key, program, allowed) in [
        (0x30, "58102000", true),
        (0x30, "50102000", true),
        (0x40, "58102000", true),
        (0x40, "50102000", false),
        (0x48, "58102000", false),
        (0x38, "58102000", true),
    ] {
        let mut guest = Guest::new(program);
        guest.storage.keys().set(0x5000, key).expect("inside");
        guest.cpu.state.gprs[2] = 0x5000;
        guest.cpu.state.psw.mask |= 3 << 52;
        if allowed {
            assert_eq!(guest.run(1), Stop::Budget);
            assert_eq!(guest.cpu.state.psw.address, START + 4, "{key:x} {program}");
        } else {
            assert_eq!(guest.program_check(), (4, 4, 4), "{key:x} {program}");
        }
    }
}

#[test]
fn test_protection_tells_what_a_key_may_do() {
    for (key, cc) in [(0x30, 0), (0x40, 1), (0x48, 2)] {
        let mut guest = Guest::new("e50120000030");
        guest.storage.keys().set(0x5000, key).expect("inside");
        guest.cpu.state.gprs[2] = 0x5000;
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!(guest.cc(), cc, "{key:x}");
    }
}

#[test]
fn low_address_protection_is_for_stores_to_the_first_512_bytes_of_two_pages() {
    // ST 256, STY 4352, ST 512
    for (program, allowed) in [("50100100", false), ("e31001000150", false), ("50100200", true)] {
        let mut guest = Guest::new(program);
        guest.cpu.state.crs[0] |= 0x1000_0000;
        if allowed {
            assert_eq!(guest.run(1), Stop::Budget);
            assert_ne!(guest.cpu.state.psw.mask & WAIT, WAIT);
        } else {
            assert_eq!(guest.program_check().0, 4, "{program}");
        }
    }
}

#[test]
fn the_psw_key_is_set_and_inserted_within_the_problem_states_key_mask() {
    // SPKA 0x30; IPK
    let mut guest = Guest::new("b20a0030 b20b0000");
    guest.cpu.state.gprs[2] = u64::MAX;
    assert_eq!(guest.run(2), Stop::Budget);
    assert_eq!((guest.cpu.state.psw.key(), guest.cpu.state.gprs[2]), (3, 0xffff_ffff_ffff_ff30));
    let mut guest = Guest::new("b20a0030");
    guest.cpu.state.psw.mask |= adjunct_zarch::psw::PROBLEM;
    guest.cpu.state.crs[3] = 0xefff_0000;
    assert_eq!(guest.program_check().0, 2);
}

#[test]
fn the_host_gets_what_it_has_to_do() {
    for (program, ipa, ipb) in [
        ("b2200012", 0xb220, 0x0012_0000),
        ("83120308", 0x8312, 0x0308_0000),
        ("b2335678", 0xb233, 0x5678_0000),
        ("b25f0010", 0xb25f, 0x0010_0000),
        ("b2390200", 0xb239, 0x0200_0000),
    ] {
        let mut guest = Guest::new(program);
        assert_eq!(guest.run(10), Stop::Instruction { ipa, ipb });
        assert_eq!(guest.cpu.state.psw, Psw::new(ADDRESSING_64, START + 4));
    }
}

#[test]
fn an_executed_instruction_reaches_the_host_as_modified() {
    // EX 1,0(2) of DIAG 0,0,0x308
    let mut guest = Guest::new("44102000");
    guest.put(0x2_0000, "83000308");
    (guest.cpu.state.gprs[1], guest.cpu.state.gprs[2]) = (0x24, 0x2_0000);
    assert_eq!(guest.run(10), Stop::Instruction { ipa: 0x8324, ipb: 0x0308_0000 });
    assert_eq!(guest.cpu.state.psw.address, START + 4);
}

#[test]
fn every_signal_is_the_hosts_whatever_its_order_and_whoever_it_is_for() {
    for order in 0..=0xff {
        for target in [3, 4, 9] {
            let mut guest = Guest::new(&format!("ae1200{order:02x}"));
            guest.cpu.state.gprs[2] = target;
            assert_eq!(
                guest.run(1),
                Stop::Instruction { ipa: 0xae12, ipb: order << 16 },
                "{order:x} {target}"
            );
        }
    }
}

#[test]
fn a_table_that_wraps_at_the_end_of_storage_is_followed() {
    // LRAG %r1,0(%r3), with a segment table whose entry 0x7ff is at 0x2ff8.
    let mut guest = Guest::new("e31030000003");
    guest.cpu.state.crs[1] = 0xffff_ffff_ffff_f003;
    guest.cpu.state.gprs[3] = 0x7ff0_0000;
    guest.storage.store(0x2ff8, Width::Double, 0x20).expect("inside");
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!((guest.cc(), guest.cpu.state.gprs[1]), (1, 0x2ff8));
}

#[test]
fn instructions_of_translation_are_special_operations_without_it() {
    for program in ["b2190000", "0101", "b2180000", "b2260010", "da1220003000", "c80020003000"] {
        assert_eq!(Guest::new(program).program_check().0, 0x13, "{program}");
    }
}

#[test]
fn load_real_address_walks_the_tables() {
    // LRAG %r1,0(%r3), with a segment table at 0x4000 whose entry 0 leads to a page table at 0x5000.
    let run = |segment: u64, page: u64, address: u64| {
        let mut guest = Guest::new("e31030000003");
        guest.cpu.state.crs[1] = 0x4000;
        guest.storage.store(0x4000, Width::Double, segment).expect("inside");
        guest.storage.store(0x5018, Width::Double, page).expect("inside");
        guest.cpu.state.gprs[3] = address;
        assert_eq!(guest.run(1), Stop::Budget);
        (guest.cc(), guest.cpu.state.gprs[1])
    };
    assert_eq!(run(0x5000, 0x7000, 0x3abc), (0, 0x7abc));
    assert_eq!(run(0x5020, 0x7000, 0x3abc), (1, 0x4000));
    assert_eq!(run(0x5000, 0x7400, 0x3abc), (2, 0x5018));
    assert_eq!(run(0x5000, 0x7000, 0x2000_0000).0, 3);
}

#[test]
fn invalidating_pages_marks_their_entries() {
    // IPTE 1,2,3
    let mut guest = Guest::new("b2213012");
    guest.cpu.state.gprs[1] = 0x5000;
    guest.cpu.state.gprs[2] = 0x3000;
    guest.cpu.state.gprs[3] = 1;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!((guest.double(0x5010), guest.double(0x5018)), (0, 0x400));
    assert_eq!((guest.double(0x5020), guest.double(0x5028)), (0x400, 0));
}

#[test]
fn extract_cpu_time_subtracts_the_timer() {
    // ECTG 512,520,%r3
    let mut guest = Guest::new("c83102000208");
    guest.storage.store(0x200, Width::Double, 1 << 51).expect("inside");
    guest.storage.store(0x208, Width::Double, 22).expect("inside");
    guest.storage.store(0x3000, Width::Double, 33).expect("inside");
    guest.cpu.state.gprs[3] = 0x3000;
    assert_eq!(guest.run(1), Stop::Budget);
    let gprs = guest.cpu.state.gprs;
    assert!((1 << 50..(1 << 50) + 100).contains(&gprs[0]), "{:x}", gprs[0]);
    assert_eq!((gprs[1], gprs[3]), (22, 33));
}

#[test]
fn additional_floating_point_registers_need_the_afp_control() {
    let mut guest = Guest::new("68100200");
    guest.storage.store(0x200, Width::Double, 77).expect("inside");
    assert_eq!(guest.program_check().0, 7);
    assert_eq!(guest.word(0x90), 1);
    let mut guest = Guest::new("68100200");
    guest.storage.store(0x200, Width::Double, 77).expect("inside");
    guest.cpu.state.crs[0] |= 0x0004_0000;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.cpu.state.fprs[1], 77);
}

#[test]
fn moves_with_a_key_use_it_for_one_operand_only() {
    // MVCDK 0(2),0(3): the destination with the key in GR1, five bytes.
    let mut guest = Guest::new("e50f20003000");
    guest.put(0x6000, "0102030405");
    guest.storage.keys().set(0x5000, 0x40).expect("inside");
    guest.storage.keys().set(0x6000, 0x38).expect("inside");
    guest.cpu.state.psw.mask |= 3 << 52;
    let gprs = &mut guest.cpu.state.gprs;
    (gprs[0], gprs[1], gprs[2], gprs[3]) = (4, 0x40, 0x5000, 0x6000);
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!((guest.word(0x5000), guest.cpu.state.psw.key()), (0x0102_0304, 3));
}
