//! The facts of the machine.

use super::*;

#[test]
fn read_scp_info_has_the_layout_that_linux_reads() {
    let mut machine = Machine::new(info());
    let (_, answer) = machine.call(0x0012_0001, &sccb(4096, 0x80, 0x80, &[]));
    let mut expected = vec![0; 4096];
    let mut at = |offset: usize, bytes: &[u8]| expected[offset..offset + bytes.len()].copy_from_slice(bytes);
    at(0, &[0x10, 0x00, 0x80, 0, 0, 0x80, 0x00, 0x10]);
    at(8, &[0x01, 0x00]); // 256 increments
    at(10, &[1]); // of 1 MiB
    at(16, &[0, 2, 0, 144]); // two CPUs at 144
    at(24, b"\xd3\xd6\xc1\xc4\x40\x40\x40\x40"); // LOAD
    at(48, &[0x08, 0, 0, 0, 0x40, 0, 0, 0]);
    at(76, &[0x00, 0x31, 0x00, 0x61]);
    at(80, &info().conf_char);
    at(99, &[47]);
    at(116, &[0xc1, 0xc2, 0xc3, 0xc4]);
    at(120, &[0, 1]); // highest CPU
    at(124, &[0x08, 0, 0, 0]);
    at(134, &[0x80]);
    at(139, &[0x40]);
    at(144, &[0, 0, 1, 2, 3, 4, 5, 6]);
    at(160, &[1, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(answer, expected);
}

#[test]
fn without_extended_length_the_cpus_begin_at_128_and_bytes_134_and_139_are_theirs() {
    let mut machine = Machine::new(short(&info()));
    let (_, answer) = machine.call(READ_SCP_INFO, &sccb(4096, 0, 0, &[]));
    assert_eq!(be16(&answer, 18), 128);
    assert_eq!(answer[128..144], [0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(answer[144..152], [1, 0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn memory_of_64_gib_is_counted_in_the_wide_field() {
    for (memory, narrow, wide) in [(65535 * MIB, 65535, 0), (65536 * MIB, 0, 65536u64)] {
        let mut machine = Machine::new(ScpInfo { memory, ..info() });
        let (_, answer) = machine.call(READ_SCP_INFO, &sccb(4096, 0, 0, &[]));
        assert_eq!(be16(&answer, 8), narrow);
        assert_eq!(answer[104..112], wide.to_be_bytes());
    }
}

#[test]
fn read_cpu_info_lists_all_cpus_as_configured_and_none_as_standby() {
    let mut machine = Machine::new(info());
    let (_, answer) = machine.call(READ_CPU_INFO, &sccb(64, 0, 0, &[]));
    assert_eq!(answer[6..16], [0x00, 0x10, 0, 2, 0, 24, 0, 0, 0, 56]);
    assert_eq!(answer[24..32], [0, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(answer[40..48], [1, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(answer[56..], [0; 8]);
}

#[test]
fn the_largest_machine_needs_more_than_a_page_and_gets_it() {
    let mut machine = Machine::new(ScpInfo { cpus: u8::MAX, ..info() });
    let (_, answer) = machine.call(READ_SCP_INFO, &sccb(8192, 0, 0, &[]));
    assert_eq!(response(&answer), 0x0010);
    assert_eq!(answer[144 + 16 * 254], 254);
}
