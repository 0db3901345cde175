//! Instructions that QEMU cannot be asked about: examples of the Principles of Operation (appendix A, "Number
//! Representation and Instruction-Use Examples"), and what its text says.

use adjunct_zarch::psw::{ADDRESSING_64, BASIC_ADDRESSING, DECIMAL_OVERFLOW};
use adjunct_zarch::{Stop, Storage};

use crate::guest::{Guest, START};

const FIRST: u64 = 0x2000;
const SECOND: u64 = 0x3000;

/// Executes one instruction on operands at 0x2000 (register 12) and 0x3000 (register 13): the first operand after it,
/// and the condition code.
fn decimal(program: &str, first: &str, second: &str) -> (String, u8) {
    let (guest, after) = decimal_guest(program, first, second);
    (after, guest.cc())
}

fn decimal_guest(program: &str, first: &str, second: &str) -> (Guest, String) {
    let mut guest = prepared(program, first, second);
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.cpu.state.psw.address & !0xff, START, "an interruption of code {:x}", guest.half(0x8e));
    let after = hex(&guest, FIRST, first.split_whitespace().count());
    (guest, after)
}

fn prepared(program: &str, first: &str, second: &str) -> Guest {
    let mut guest = Guest::new(program);
    guest.put(FIRST, first);
    guest.put(SECOND, second);
    (guest.cpu.state.gprs[12], guest.cpu.state.gprs[13]) = (FIRST, SECOND);
    guest
}

fn hex(guest: &Guest, address: u64, length: usize) -> String {
    let mut bytes = vec![0; length];
    guest.storage.read(address, &mut bytes).expect("inside");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn done(text: &str, cc: u8) -> (String, u8) {
    (text.to_owned(), cc)
}

#[test]
fn add_decimal() {
    // AP 0(3,12),0(4,13)
    assert_eq!(decimal("fa23c000d000", "38 46 0d", "01 12 34 5c"), done("73 88 5c", 2));
    assert_eq!(decimal("fa11c000d000", "12 3c", "12 3d"), done("00 0c", 0));
    assert_eq!(decimal("fa11c000d000", "99 9c", "00 2c"), done("00 1c", 3));
    // The sign of a zero that lost digits stays.
    assert_eq!(decimal("fa11c000d000", "99 9d", "00 1d"), done("00 0d", 3));
}

#[test]
fn decimal_overflow_interrupts_when_the_program_mask_has_it() {
    let mut guest = prepared("fa11c000d000", "99 9c", "00 2c");
    guest.cpu.state.psw.mask |= DECIMAL_OVERFLOW;
    assert_eq!(guest.program_check(), (0xa, 6, 6));
    assert_eq!(hex(&guest, FIRST, 2), "00 1c");
}

#[test]
fn subtract_decimal() {
    assert_eq!(decimal("fb11c000d000", "12 3c", "45 6c"), done("33 3d", 1));
}

#[test]
fn zero_and_add() {
    // ZAP 0(5,12),0(3,13)
    assert_eq!(decimal("f842c000d000", "12 34 56 78 90", "38 46 0d"), done("00 00 38 46 0d", 1));
    assert_eq!(decimal("f811c000d000", "ff ff", "00 0d"), done("00 0c", 0));
}

#[test]
fn compare_decimal() {
    // CP 0(4,12),0(4,13)
    assert_eq!(decimal("f933c000d000", "17 25 35 6d", "00 72 14 2d").1, 1);
    assert_eq!(decimal("f911c000d000", "00 0d", "00 0c").1, 0);
}

#[test]
fn multiply_decimal() {
    // MP 0(5,12),0(2,13)
    assert_eq!(decimal("fc41c000d000", "00 00 38 46 0d", "32 1d").0, "01 23 45 66 0c");
    assert_eq!(prepared("fc11c000d000", "00 1c", "00 1c").program_check().0, 6);
    assert_eq!(prepared("fc21c000d000", "12 34 5c", "00 1c").program_check().0, 7);
}

#[test]
fn divide_decimal() {
    // DP 0(5,12),0(2,13)
    assert_eq!(decimal("fd41c000d000", "01 23 45 67 8c", "32 1d").0, "38 46 0d 01 8c");
    assert_eq!(prepared("fd41c000d000", "01 23 45 67 8c", "00 0c").program_check(), (0xb, 6, 6));
    assert_eq!(prepared("fd41c000d000", "99 99 99 99 9c", "00 1c").program_check(), (0xb, 6, 6));
}

#[test]
fn shift_and_round_decimal() {
    // SRP 0(6,12),3,0; SRP 0(4,12),61,5
    assert_eq!(decimal("f050c0000003", "00 01 23 45 67 8c", ""), done("12 34 56 78 00 0c", 2));
    assert_eq!(decimal("f035c000003d", "12 39 60 0d", ""), done("00 01 24 0d", 1));
    assert_eq!(decimal("f010c0000001", "12 3c", ""), done("23 0c", 3));
}

#[test]
fn bad_digits_and_signs_are_data_exceptions() {
    for (first, second) in [("1a 0c", "00 0c"), ("00 0c", "a0 0c"), ("00 01", "00 0c"), ("00 0c", "00 02")] {
        assert_eq!(prepared("fa11c000d000", first, second).program_check(), (7, 6, 6), "{first} {second}");
    }
}

#[test]
fn edit() {
    // ED 0(13,12),0(13) of a credit pattern: b dd,dd(.ddb CR
    let pattern = "40 20 20 6b 20 20 21 4b 20 20 40 c3 d9";
    assert_eq!(
        decimal("de0cc000d000", pattern, "02 57 42 6c"),
        done("40 40 f2 6b f5 f7 f4 4b f2 f6 40 40 40", 2)
    );
    assert_eq!(
        decimal("de0cc000d000", pattern, "00 00 02 6d"),
        done("40 40 40 40 40 40 40 4b f2 f6 40 c3 d9", 1)
    );
    assert_eq!(prepared("de0cc000d000", pattern, "a0 00 02 6d").program_check().0, 7);
}

#[test]
fn edit_and_mark() {
    let pattern = "40 20 20 6b 20 20 21 4b 20 20 40 c3 d9";
    for (source, mark) in [("02 57 42 6c", FIRST + 2), ("00 00 02 6d", 0x77)] {
        let mut guest = prepared("df0cc000d000", pattern, source);
        guest.cpu.state.gprs[1] = 0x77;
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!(guest.cpu.state.gprs[1], mark, "{source}");
    }
}

#[test]
fn convert_to_binary() {
    // CVB %r7,0(0,%r13)
    let (guest, _) = decimal_guest("4f70d000", "", "00 00 00 00 00 25 59 4f");
    assert_eq!(guest.cpu.state.gprs[7], 0x63fa);
    let (guest, _) = decimal_guest("4f70d000", "", "00 00 02 14 74 83 64 8d");
    assert_eq!(guest.cpu.state.gprs[7], 0x8000_0000);
    let mut guest = prepared("4f70d000", "", "00 00 02 14 74 83 64 8c");
    assert_eq!(guest.program_check().0, 9);
}

#[test]
fn convert_to_binary_of_64_bits_has_its_own_range() {
    for (second, result) in [
        ("0000000000009223372036854775808d", Some(1 << 63)),
        ("0000000000009223372036854775807c", Some(u64::MAX >> 1)),
        ("0000000000009223372036854775808c", None),
    ] {
        let mut guest = prepared("e370d000000e", "", second);
        match result {
            Some(value) => {
                assert_eq!(guest.run(1), Stop::Budget);
                assert_eq!(guest.cpu.state.gprs[7], value);
            }
            None => assert_eq!(guest.program_check(), (9, 6, 6)),
        }
    }
}

#[test]
fn convert_to_decimal_of_64_bits() {
    for (value, text) in [
        (u64::MAX >> 1, "00 00 00 00 00 00 92 23 37 20 36 85 47 75 80 7c"),
        (u64::MAX, "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1d"),
    ] {
        let mut guest = prepared("e370c000002e", "", "");
        guest.cpu.state.gprs[7] = value;
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!(hex(&guest, FIRST, 16), text);
    }
}

#[test]
fn load_multiple_disjoint_joins_halves() {
    // LMD 2,3,0(12),0(13)
    let (guest, _) = decimal_guest("ef23c000d000", "11111111 22222222", "33333333 44444444");
    assert_eq!(guest.cpu.state.gprs[2..4], [0x1111_1111_3333_3333, 0x2222_2222_4444_4444]);
}

#[test]
fn branch_and_save_and_set_mode_remembers_the_old_mode() {
    // BASSM 1,2 to 31-bit mode and, there, BSM 0,1 back.
    let mut guest = Guest::new("0c12");
    guest.put(0x4000, "0b01");
    guest.cpu.state.gprs[2] = 0x8000_4000;
    assert_eq!(guest.run(1), Stop::Budget);
    let psw = guest.cpu.state.psw;
    assert_eq!((psw.mask & ADDRESSING_64, psw.address), (BASIC_ADDRESSING, 0x4000));
    assert_eq!(guest.cpu.state.gprs[1], START + 3);
    assert_eq!(guest.run(1), Stop::Budget);
    let psw = guest.cpu.state.psw;
    assert_eq!((psw.mask & ADDRESSING_64, psw.address), (ADDRESSING_64, START + 2));
}

#[test]
fn branch_and_set_mode_puts_the_old_mode_into_its_first_register() {
    // BSM 1,2 to 24-bit mode
    for (mode, before, after) in
        [(ADDRESSING_64, 0x10, 0x11), (BASIC_ADDRESSING, 0x10, 0x8000_0010), (0, 0x8000_0010, 0x10)]
    {
        let mut guest = Guest::new("0b12");
        guest.cpu.state.psw.mask = mode;
        (guest.cpu.state.gprs[1], guest.cpu.state.gprs[2]) = (before, 0x4000);
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!((guest.cpu.state.gprs[1], guest.cpu.state.psw.mask), (after, 0));
    }
}

#[test]
fn branch_and_link_in_24_bit_mode_saves_codes() {
    // BALR 1,2
    let mut guest = Guest::new("0512");
    guest.cpu.state.psw.mask = 0x2b << 40;
    (guest.cpu.state.gprs[1], guest.cpu.state.gprs[2]) = (u64::MAX, 0x4000);
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.cpu.state.gprs[1], 0xffff_ffff_6b00_0000 | (START + 2));
}

#[test]
fn copy_access_register() {
    let mut guest = Guest::new("b24d0012");
    guest.cpu.state.acrs[2] = 0x1234_5678;
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.cpu.state.acrs[1], 0x1234_5678);
}

#[test]
fn compare_until_substring_equal_finds_a_run() {
    // CUSE 2,4 of "abcXYef" and "1bcdYeg": two equal bytes.
    for (length, cc, ends) in [(2, 0, (0x2001, 6)), (3, 2, (0x2007, 0))] {
        let mut guest = prepared("b2570024", "61 62 63 58 59 65 66", "31 62 63 64 59 65 67");
        let gprs = &mut guest.cpu.state.gprs;
        (gprs[0], gprs[1]) = (length, 0x40);
        (gprs[2], gprs[3], gprs[4], gprs[5]) = (FIRST, 7, SECOND, 7);
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!((guest.cc(), guest.cpu.state.gprs[2], guest.cpu.state.gprs[3]), (cc, ends.0, ends.1));
    }
}

#[test]
fn translate_and_test_extended_stops_at_a_function_code() {
    // TRTE 2,4,0 over 05 06 07, where the table has 99 for 06; TRTRE from the right.
    for (program, start, found) in [("b9bf0024", FIRST, FIRST + 1), ("b9bd0024", FIRST + 2, FIRST + 1)] {
        let mut guest = prepared(program, "05 06 07", "");
        guest.put(SECOND + 6, "99");
        let gprs = &mut guest.cpu.state.gprs;
        (gprs[1], gprs[2], gprs[3], gprs[4]) = (SECOND, start, 3, u64::MAX);
        assert_eq!(guest.run(1), Stop::Budget);
        let gprs = guest.cpu.state.gprs;
        assert_eq!((guest.cc(), gprs[2], gprs[3], gprs[4]), (1, found, 2, 0x99));
    }
}

#[test]
fn move_page_moves_4096_bytes() {
    let mut guest = Guest::new("b2540024");
    guest.put(0x5000, "01");
    guest.put(0x5ffe, "0203");
    (guest.cpu.state.gprs[2], guest.cpu.state.gprs[4]) = (0x6123, 0x5456);
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(
        (guest.half(0x6000), guest.half(0x6ffe), guest.half(0x7000), guest.cc()),
        (0x0100, 0x0203, 0, 0)
    );
}

#[test]
fn compare_and_swap_and_store_stores_only_when_equal() {
    // CSST 512(0),528(0),2 of 4 and 8 bytes
    for (expected, cc, stored) in [(7, 0, 0x2222_2222_2222_2222), (8, 1, 0)] {
        let mut guest = Guest::new("c82202000210");
        guest.put(0x200, "00000007");
        guest.put(0x4000, &format!("{}{}", "11".repeat(16), "22".repeat(16)));
        let gprs = &mut guest.cpu.state.gprs;
        (gprs[0], gprs[1], gprs[2]) = (0x0300, 0x4000, expected);
        assert_eq!(guest.run(1), Stop::Budget);
        assert_eq!((guest.cc(), guest.double(0x210)), (cc, stored));
        assert_eq!(guest.word(0x200), if cc == 0 { 0x1111_1111 } else { 7 });
        assert_eq!(guest.cpu.state.gprs[2], if cc == 0 { expected } else { 7 });
    }
}

#[test]
fn store_multiple_high_stores_left_halves() {
    // STMH 2,3,512
    let mut guest = Guest::new("eb2302000026");
    (guest.cpu.state.gprs[2], guest.cpu.state.gprs[3]) = (0x1111_1111_0000_0000, 0x2222_2222_0000_0000);
    assert_eq!(guest.run(1), Stop::Budget);
    assert_eq!(guest.double(0x200), 0x1111_1111_2222_2222);
}
