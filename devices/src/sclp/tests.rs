use super::*;
use adjunct_hypervisor::{MemorySize, allocate};
use proptest::prelude::*;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

const SCCB: u64 = 0x5000;
const PREFIX: u32 = 0x1_0000;
const MIB: u64 = 1 << 20;

const READ_SCP_INFO: u32 = 0x0002_0001;
const READ_CPU_INFO: u32 = 0x0001_0001;
const WRITE_EVENT_DATA: u32 = 0x0076_0005;
const READ_EVENT_DATA: u32 = 0x0077_0005;
const WRITE_EVENT_MASK: u32 = 0x0078_0005;

const ASCII: u64 = 0x40 << 32;
const OPERATOR_COMMAND: u64 = 0x8000_0000 << 32;
const QUIESCE: u64 = 0x8 << 32;

/// An output that can be looked at.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no thread").clone()).expect("UTF-8")
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no thread").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that is broken.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Machine {
    sclp: Sclp,
    memory: GuestMemory,
    ascii: Screen,
    lines: Screen,
}

impl Machine {
    fn new(info: ScpInfo) -> Self {
        let (ascii, lines) = (Screen::default(), Screen::default());
        let consoles =
            Consoles { ascii: Some(Box::new(ascii.clone())), line_mode: Some(Box::new(lines.clone())) };
        Self::with(info, consoles, ascii, lines)
    }

    fn with(info: ScpInfo, consoles: Consoles, ascii: Screen, lines: Screen) -> Self {
        let memory = allocate(MemorySize::mebibytes(1).expect("not zero")).expect("1M can be had");
        Self { sclp: Sclp::new(info, consoles), memory, ascii, lines }
    }

    /// Makes the call with `sccb`, which is put at [`SCCB`]; returns the signal and the SCCB as it is then.
    fn call(&mut self, command: u32, sccb: &[u8]) -> (u32, Vec<u8>) {
        self.memory.write_slice(sccb, GuestAddress(SCCB)).expect("inside");
        let call = ServiceCall { command, sccb: SCCB };
        let signal = self.sclp.service_call(call, PREFIX, &self.memory).expect("a good address");
        let mut answer = vec![0; sccb.len()];
        self.memory.read_slice(&mut answer, GuestAddress(SCCB)).expect("inside");
        (signal.parameter, answer)
    }

    fn response(&mut self, command: u32, sccb: &[u8]) -> u16 {
        response(&self.call(command, sccb).1)
    }

    /// Sets the guest's receive mask; returns the signal's parameter.
    fn want(&mut self, mask: u64) -> u32 {
        let (parameter, answer) = self.call(WRITE_EVENT_MASK, &mask_sccb(8, mask));
        assert_eq!(response(&answer), 0x0020);
        parameter
    }

    /// Reads events unconditionally, with variable length.
    fn read_events(&mut self) -> (u32, Vec<u8>) {
        let (parameter, answer) = self.call(READ_EVENT_DATA, &sccb(4096, 0, 0x80, &[]));
        let length = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
        assert_eq!(answer[5], 0, "the variable-length bit is taken back");
        (parameter, answer[..length].to_vec())
    }
}

/// An SCCB of `length` bytes that begins with `data`.
fn sccb(length: u16, function_code: u8, control: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut bytes = [&[high, low, function_code, 0, 0, control, 0, 0], data].concat();
    bytes.resize(usize::from(length).max(8), 0);
    bytes
}

/// An SCCB that `data` fills.
fn filled(data: &[u8]) -> Vec<u8> {
    sccb(u16::try_from(8 + data.len()).expect("short"), 0, 0, data)
}

fn mask_sccb(length: u16, mask: u64) -> Vec<u8> {
    let mut masks = vec![0; 4 * usize::from(length)];
    for (to, from) in masks[..usize::from(length)].iter_mut().zip(mask.to_be_bytes()) {
        *to = from;
    }
    let [high, low] = length.to_be_bytes();
    filled(&[&[0, 0, high, low], &masks[..]].concat())
}

fn event(kind: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(6 + data.len()).expect("short").to_be_bytes();
    [&[high, low, kind, 0, 0, 0], data].concat()
}

/// A message data block as Linux builds it (`drivers/s390/char/sclp_rw.c`): a general object, then a message
/// text object for each line.
fn mdb(lines: &[&str]) -> Vec<u8> {
    // struct go: u16 length, u16 type, u32 domid, time, date, flags, names.
    let mut objects = vec![0; 56];
    objects[..4].copy_from_slice(&[0, 56, 0, 1]);
    for line in lines {
        let text = to_ebcdic(line);
        let [high, low] = u16::try_from(10 + text.len()).expect("short").to_be_bytes();
        // Type 4, line type flags: end text.
        objects.extend([high, low, 0, 4, 0x10, 0, 0, 0, 0, 0]);
        objects.extend(text);
    }
    let [high, low] = u16::try_from(12 + objects.len()).expect("short").to_be_bytes();
    [&[high, low, 0, 1, 0xd4, 0xc4, 0xc2, 0x40, 0, 0, 0, 1], &objects[..]].concat()
}

fn response(sccb: &[u8]) -> u16 {
    u16::from_be_bytes([sccb[6], sccb[7]])
}

fn be16(sccb: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([sccb[offset], sccb[offset + 1]])
}

fn info() -> ScpInfo {
    ScpInfo {
        memory: 256 * MIB,
        cpus: 2,
        ibc: 0x0031_0061,
        conf_char: std::array::from_fn(|index| 0xa0 + u8::try_from(index).expect("19")),
        conf_char_ext: [0xc1, 0xc2, 0xc3, 0xc4],
        fac134: 0x80,
        fac139: 0x40,
        cpu_features: [1, 2, 3, 4, 5, 6],
        hmfai: 0x0800_0000,
        mha_pow: 47,
        loadparm: *b"\xd3\xd6\xc1\xc4\x40\x40\x40\x40",
        extended_length: true,
    }
}

fn long(info: &ScpInfo) -> ScpInfo {
    ScpInfo { extended_length: true, ..info.clone() }
}

fn short(info: &ScpInfo) -> ScpInfo {
    ScpInfo { extended_length: false, ..info.clone() }
}

// --- the address of the SCCB ---------------------------------------------------------------------

#[test]
fn the_address_of_an_sccb_is_checked_in_qemu_s_order_before_it_is_read() {
    use ProgramInterruption::{Addressing, Specification};
    let mut machine = Machine::new(info());
    machine.memory.write_slice(&[0xff; 0x2_0000], GuestAddress(0)).expect("inside");
    let mut refusal = |sccb| {
        let call = ServiceCall { command: READ_SCP_INFO, sccb };
        machine.sclp.service_call(call, PREFIX, &machine.memory).expect_err("a bad address")
    };
    assert_eq!(refusal(MIB), Addressing, "behind memory");
    assert_eq!(refusal(MIB + 4), Addressing, "which comes before alignment");
    assert_eq!(refusal(0x8000_0000), Addressing);
    assert_eq!(refusal(SCCB | 1 << 32), Addressing, "all 64 bits count");
    assert_eq!(refusal(u64::MAX), Addressing);
    assert_eq!(refusal(0), Specification);
    assert_eq!(refusal(0x1ff8), Specification, "the first 8 KiB");
    assert_eq!(refusal(u64::from(PREFIX)), Specification, "the prefix area");
    assert_eq!(refusal(u64::from(PREFIX) + 0x1ff8), Specification);
    assert_eq!(refusal(SCCB + 4), Specification, "alignment");
}

#[test]
fn an_sccb_shorter_than_its_header_is_a_specification_exception() {
    let mut machine = Machine::new(info());
    let call = ServiceCall { command: READ_SCP_INFO, sccb: SCCB };
    for length in [0u16, 7] {
        machine.memory.write_slice(&length.to_be_bytes(), GuestAddress(SCCB)).expect("inside");
        let refusal = machine.sclp.service_call(call, PREFIX, &machine.memory);
        assert_eq!(refusal, Err(ProgramInterruption::Specification));
    }
    assert_eq!(machine.response(0x0002_0002, &filled(&[])), 0x01f0, "8 bytes are enough for a header");
}

#[test]
fn an_sccb_that_leaves_memory_is_an_addressing_exception_even_for_an_unknown_command() {
    let mut machine = Machine::new(info());
    let sccb = MIB - 4096;
    machine.memory.write_slice(&4104u16.to_be_bytes(), GuestAddress(sccb)).expect("inside");
    for command in [READ_SCP_INFO, 0x7777_0077] {
        let refusal = machine.sclp.service_call(ServiceCall { command, sccb }, PREFIX, &machine.memory);
        assert_eq!(refusal, Err(ProgramInterruption::Addressing));
    }
}

#[test]
fn the_signal_carries_the_address_of_the_sccb() {
    let mut machine = Machine::new(info());
    assert_eq!(machine.call(READ_SCP_INFO, &sccb(4096, 0, 0, &[])).0, 0x5000);
    assert_eq!(Floating::from(ServiceSignal { parameter: 0x5001 }), Floating::Service { parameter: 0x5001 });
}

// --- response codes ------------------------------------------------------------------------------

#[test]
fn unknown_commands_get_01f0_and_the_third_byte_is_no_part_of_a_command() {
    let mut machine = Machine::new(info());
    for command in [0, 0x0002_0002, 0x001f_0001, 0x0004_0001, 0x0110_0001, u32::MAX] {
        assert_eq!(machine.response(command, &sccb(4096, 0, 0, &[])), 0x01f0, "{command:#x}");
    }
    assert_eq!(machine.response(READ_SCP_INFO | 0xff00, &sccb(4096, 0, 0, &[])), 0x0010);
}

#[test]
fn only_the_read_info_commands_may_cross_a_page_and_only_with_the_facility() {
    let across = sccb(4104, 0, 0, &[]);
    for (info, expected) in [(long(&info()), 0x0010), (short(&info()), 0x0100)] {
        let mut machine = Machine::new(info);
        for command in [READ_SCP_INFO, 0x0012_0001, READ_CPU_INFO] {
            assert_eq!(machine.response(command, &across), expected);
        }
        for command in [WRITE_EVENT_DATA, READ_EVENT_DATA, WRITE_EVENT_MASK, 0x001a_0001] {
            assert_eq!(machine.response(command, &across), 0x0100);
        }
    }
    // Up to the last byte of the page is no crossing; the next one is.
    let mut machine = Machine::new(short(&info()));
    assert_eq!(machine.response(READ_SCP_INFO, &sccb(4097, 0, 0, &[])), 0x0100);
    assert_eq!(machine.response(READ_SCP_INFO, &sccb(4096, 0, 0, &[])), 0x0010);
}

#[test]
fn an_sccb_too_short_for_all_cpus_gets_0300_and_the_length_to_come_back_with() {
    for (command, required) in [(READ_SCP_INFO, 144 + 2 * 16), (READ_CPU_INFO, 24 + 2 * 16)] {
        let mut machine = Machine::new(long(&info()));
        let (_, answer) = machine.call(command, &sccb(required - 1, 0, 0x80, &[]));
        assert_eq!((response(&answer), be16(&answer, 0)), (0x0300, required));
        let (_, answer) = machine.call(command, &sccb(required - 1, 0, 0, &[]));
        assert_eq!((response(&answer), be16(&answer, 0)), (0x0300, required - 1), "not if it may not vary");
        assert_eq!(machine.response(command, &sccb(required, 0, 0, &[])), 0x0010);
        let mut machine = Machine::new(short(&info()));
        let (_, answer) = machine.call(command, &sccb(required - 1, 0, 0x80, &[]));
        assert_eq!((response(&answer), be16(&answer, 0)), (0x0300, required - 1), "nor without the facility");
    }
}

#[test]
fn no_type_of_io_adapter_can_be_configured() {
    let mut machine = Machine::new(info());
    for command in [0x001a_0001, 0x001b_0001] {
        assert_eq!(machine.response(command, &sccb(15, 0, 0, &[])), 0x0300);
        assert_eq!(machine.response(command, &sccb(16, 0, 0, &[2])), 0x06f0);
    }
}

// --- the facts of the machine --------------------------------------------------------------------

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

// --- the event mask ------------------------------------------------------------------------------

#[test]
fn write_event_mask_answers_with_what_the_sclp_receives_and_sends() {
    let mut machine = Machine::new(info());
    let (_, answer) = machine.call(WRITE_EVENT_MASK, &mask_sccb(4, 0xffff_ffff << 32));
    assert_eq!(response(&answer), 0x0020);
    assert_eq!(answer[20..24], 0x4080_0040u32.to_be_bytes(), "messages, priority messages, ASCII");
    assert_eq!(answer[24..28], 0x8000_0048u32.to_be_bytes(), "operator commands, ASCII, quiesce");
}

#[test]
fn masks_of_every_length_are_answered_in_that_length() {
    let mut machine = Machine::new(info());
    for length in [1, 2, 4, 8, 9, 1021] {
        let (_, answer) = machine.call(WRITE_EVENT_MASK, &mask_sccb(length, u64::MAX));
        let length = usize::from(length);
        assert_eq!(response(&answer), 0x0020);
        let (receive, send) = answer[12 + 2 * length..].split_at(length);
        let full = |mask: u64| {
            mask.to_be_bytes().into_iter().chain(std::iter::repeat(0)).take(length).collect::<Vec<_>>()
        };
        assert_eq!(receive, full(0x4080_0040 << 32));
        assert_eq!(send, full(0x8000_0048 << 32));
    }
}

#[test]
fn a_mask_length_that_cannot_be_gets_74f0_and_one_that_does_not_fit_0300() {
    let mut machine = Machine::new(info());
    for length in [0u16, 1022, u16::MAX] {
        let [high, low] = length.to_be_bytes();
        assert_eq!(machine.response(WRITE_EVENT_MASK, &sccb(4096, 0, 0, &[0, 0, high, low])), 0x74f0);
    }
    assert_eq!(machine.response(WRITE_EVENT_MASK, &sccb(27, 0, 0, &[0, 0, 0, 4])), 0x0300);
    assert_eq!(machine.response(WRITE_EVENT_MASK, &sccb(28, 0, 0, &[0, 0, 0, 4])), 0x0020);
    assert_eq!(machine.response(WRITE_EVENT_MASK, &sccb(11, 0, 0, &[])), 0x0300);
}

#[test]
fn a_console_without_output_is_not_offered_and_takes_nothing() {
    let mut machine = Machine::with(info(), Consoles::default(), Screen::default(), Screen::default());
    let (_, answer) = machine.call(WRITE_EVENT_MASK, &mask_sccb(4, u64::MAX));
    assert_eq!(answer[20..28], [0, 0, 0, 0, 0, 0, 0, 8], "only quiesce is left");
    for kind in [0x1a, 0x02, 0x09] {
        assert_eq!(machine.response(WRITE_EVENT_DATA, &filled(&event(kind, &mdb(&["x"])))), 0x40f0);
    }
    assert_eq!(machine.sclp.push_input(b"x\n"), InputTaken { taken: 2, signal: None });
}

// --- output --------------------------------------------------------------------------------------

#[test]
fn ascii_output_passes_unchanged_and_is_accepted() {
    let mut machine = Machine::new(info());
    let bytes = b"05.0004     CEX5C CCA-Coproc\r\n\x1b[0m\xff".to_vec();
    let (_, answer) = machine.call(WRITE_EVENT_DATA, &filled(&event(0x1a, &bytes)));
    assert_eq!((response(&answer), answer[11]), (0x0020, 0x80));
    assert_eq!(*machine.ascii.0.lock().expect("no thread"), bytes);
}

#[test]
fn lines_built_as_linux_builds_them_come_out_as_text() {
    let mut machine = Machine::new(info());
    let lines = ["Linux version 7.2", "ap: [0x0a] §ä^|!", ""];
    for kind in [0x02, 0x09] {
        let (_, answer) = machine.call(WRITE_EVENT_DATA, &filled(&event(kind, &mdb(&lines))));
        assert_eq!((response(&answer), answer[11]), (0x0020, 0x80));
    }
    assert_eq!(machine.lines.text(), "Linux version 7.2\nap: [0x0a] §ä^|!\n\n".repeat(2));
    assert_eq!(machine.ascii.text(), "");
}

#[test]
fn several_event_buffers_are_taken_in_order_up_to_the_first_bad_one() {
    let mut machine = Machine::new(info());
    let mut buffers = [event(0x1a, b"1"), event(0x1a, b"2"), event(0x77, b"?"), event(0x1a, b"3")].concat();
    // The guest may have left the flag of an earlier try.
    for flags in [3, 17, 24] {
        buffers[flags] = 0x80;
    }
    let (_, answer) = machine.call(WRITE_EVENT_DATA, &filled(&buffers));
    assert_eq!(response(&answer), 0x40f0);
    assert_eq!([11, 18, 25, 32].map(|flags| answer[flags]), [0x80, 0x80, 0, 0]);
    assert_eq!(machine.ascii.text(), "12");
}

#[test]
fn a_wrong_function_code_gets_40f0_and_a_broken_chain_73f0_and_neither_is_written() {
    let mut machine = Machine::new(info());
    let good = event(0x1a, b"text");
    assert_eq!(machine.response(WRITE_EVENT_DATA, &sccb(18, 1, 0, &good)), 0x40f0);
    for (offset, value) in [(0, 0xff), (1, 5), (1, 0), (1, 11), (1, 9)] {
        let mut bad = [good.clone(), good.clone()].concat();
        bad[10 + offset] = value;
        assert_eq!(machine.response(WRITE_EVENT_DATA, &filled(&bad)), 0x73f0, "{offset} {value}");
    }
    assert_eq!(machine.ascii.text(), "");
    assert_eq!(machine.response(WRITE_EVENT_DATA, &filled(&[])), 0x0020, "nothing is a chain too");
}

#[test]
fn lengths_that_lead_out_of_a_message_data_block_get_72f0_and_no_line_is_written() {
    let mut machine = Machine::new(info());
    let good = mdb(&["first", "second"]);
    // Block too long, block too short for its header; general object of 0 and of 3; text of 0, 3 and 9; too long.
    for (offset, value) in [(0, 0x10), (1, 11), (13, 0), (13, 3), (69, 0), (69, 3), (69, 9), (68, 0xff)] {
        let mut bad = good.clone();
        bad[offset] = value;
        let (_, answer) = machine.call(WRITE_EVENT_DATA, &filled(&event(0x02, &bad)));
        assert_eq!((response(&answer), answer[11]), (0x72f0, 0), "{offset} {value}");
    }
    assert_eq!(machine.response(WRITE_EVENT_DATA, &filled(&event(0x02, &[]))), 0x72f0);
    assert_eq!(machine.lines.text(), "");
}

#[test]
fn a_broken_output_is_an_equipment_check_and_the_buffer_is_not_accepted() {
    let consoles = Consoles { ascii: Some(Box::new(Broken)), line_mode: Some(Box::new(Broken)) };
    let mut machine = Machine::with(info(), consoles, Screen::default(), Screen::default());
    for (kind, data) in [(0x1a, b"x".to_vec()), (0x02, mdb(&["x"]))] {
        let (_, answer) = machine.call(WRITE_EVENT_DATA, &filled(&event(kind, &data)));
        assert_eq!((response(&answer), answer[11]), (0x0340, 0));
    }
}

// --- input ---------------------------------------------------------------------------------------

#[test]
fn read_event_data_wants_a_whole_page_and_a_known_function() {
    let mut machine = Machine::new(info());
    assert_eq!(machine.response(READ_EVENT_DATA, &sccb(4088, 0, 0, &[])), 0x0300);
    assert_eq!(machine.response(READ_EVENT_DATA, &sccb(4096, 2, 0, &[])), 0x40f0);
    let (_, answer) = machine.read_events();
    assert_eq!((response(&answer), answer.len()), (0x60f0, 8));
}

#[test]
fn ascii_input_signals_a_guest_that_listens_and_is_read_after_a_zero_byte() {
    let mut machine = Machine::new(info());
    assert_eq!(machine.sclp.push_input(b"l"), InputTaken { taken: 1, signal: None }, "nobody listens yet");
    assert_eq!(machine.want(ASCII), 0x5001, "the answer to the mask tells of it");
    let told = machine.sclp.push_input(b"s\r");
    assert_eq!(told, InputTaken { taken: 2, signal: Some(ServiceSignal { parameter: 1 }) });
    let (parameter, answer) = machine.read_events();
    assert_eq!(answer, *b"\x00\x12\0\0\0\0\x00\x20\x00\x0a\x1a\x80\0\0\0ls\r");
    assert_eq!(parameter, 0x5000, "nothing more");
    assert_eq!(response(&machine.read_events().1), 0x60f0);
}

#[test]
fn input_is_bounded_and_what_does_not_fit_stays_with_the_caller() {
    let mut machine = Machine::new(info());
    machine.want(ASCII);
    assert_eq!(machine.sclp.push_input(&[b'x'; 5000]).taken, 4080);
    assert_eq!(machine.sclp.push_input(b"y").taken, 0);
    let (parameter, answer) = machine.read_events();
    assert_eq!((answer.len(), parameter), (8 + 6 + 1 + 4080, 0x5000));
    assert_eq!(machine.sclp.push_input(b"y").taken, 1);

    machine.want(OPERATOR_COMMAND);
    assert_eq!(machine.sclp.push_input(&[b'\n'; 20]).taken, 16);
}

/// Finds the text of an operator command as Linux does (`drivers/s390/char/sclp_tty.c`): by the lengths of the vectors.
fn command_text(event: &[u8]) -> String {
    fn vector(bytes: &[u8], id: u16) -> &[u8] {
        let length = usize::from(be16(bytes, 0));
        assert_eq!((be16(bytes, 2), length), (id, bytes.len()), "one vector that fills its place");
        &bytes[4..]
    }
    fn subvector(bytes: &[u8], key: u8) -> &[u8] {
        assert_eq!((bytes[1], usize::from(bytes[0])), (key, bytes.len()));
        &bytes[2..]
    }
    let text = vector(vector(vector(&event[6..], 0x1310), 0x1212), 0x1320);
    from_ebcdic(subvector(subvector(text, 0x31), 0x30))
}

#[test]
fn a_line_reaches_a_guest_that_listens_to_operator_commands_when_it_is_ended() {
    let mut machine = Machine::new(info());
    machine.want(OPERATOR_COMMAND);
    assert_eq!(machine.sclp.push_input("lszcrypt".as_bytes()), InputTaken { taken: 8, signal: None });
    let told = machine.sclp.push_input(" -V [ä]\nnext".as_bytes());
    assert_eq!(told.signal, Some(ServiceSignal { parameter: 1 }));
    let (parameter, answer) = machine.read_events();
    assert_eq!((answer[10], parameter), (0x01, 0x5000));
    assert_eq!(command_text(&answer[8..]), "lszcrypt -V [ä]");
    assert_eq!(response(&machine.read_events().1), 0x60f0, "the next line is not ended");
}

#[test]
fn input_goes_to_the_ascii_console_unless_only_the_other_can_have_it() {
    let mut machine = Machine::new(info());
    machine.want(OPERATOR_COMMAND | ASCII);
    let _ = machine.sclp.push_input(b"x\n");
    assert_eq!(machine.read_events().1[10], 0x1a, "the guest listens to both");

    let consoles = Consoles { ascii: None, line_mode: Some(Box::new(Screen::default())) };
    let mut machine = Machine::with(info(), consoles, Screen::default(), Screen::default());
    let _ = machine.sclp.push_input(b"typed early\n");
    machine.want(OPERATOR_COMMAND);
    assert_eq!(command_text(&machine.read_events().1[8..]), "typed early");
}

#[test]
fn what_does_not_fit_into_one_sccb_comes_in_the_next() {
    let mut machine = Machine::new(info());
    machine.want(OPERATOR_COMMAND);
    let _ = machine.sclp.push_input(b"a line\n");
    machine.want(OPERATOR_COMMAND | ASCII | QUIESCE);
    let _ = machine.sclp.push_input(&[b'x'; 4080]);
    machine.sclp.signal_quiesce();
    let (parameter, answer) = machine.read_events();
    assert_eq!((parameter, answer.len(), answer[10], answer[19]), (0x5001, 4096, 0x1d, 0x1a));
    let (parameter, answer) = machine.read_events();
    assert_eq!(
        (parameter, be16(&answer, 8), answer[10]),
        (0x5000, 6 + 1 + 8, 0x1a),
        "what was left of the input"
    );
    assert_eq!(command_text(&answer[23..]), "a line");
}

#[test]
fn lines_are_read_one_by_one_and_cut_where_a_length_byte_ends() {
    let mut machine = Machine::new(info());
    machine.want(OPERATOR_COMMAND);
    let typed = format!("{}\nb\n", "a".repeat(300));
    assert_eq!(machine.sclp.push_input(typed.as_bytes()).taken, 303);
    let (parameter, answer) = machine.read_events();
    assert_eq!(parameter, 0x5001, "one more");
    assert_eq!(command_text(&answer[8..]), "a".repeat(251));
    assert_eq!(command_text(&machine.read_events().1[8..]), "b");
}

#[test]
fn a_selective_read_gives_only_what_was_selected_and_wanted() {
    let mut machine = Machine::new(info());
    assert_eq!(machine.response(READ_EVENT_DATA, &sccb(4096, 1, 0, &[0; 8])), 0x70f0, "nothing is wanted");
    machine.want(ASCII | QUIESCE);
    let _ = machine.sclp.push_input(b"x");
    machine.sclp.signal_quiesce();
    let select = |mask: u64| sccb(4096, 1, 0x80, &mask.to_be_bytes());
    assert_eq!(machine.response(READ_EVENT_DATA, &select(OPERATOR_COMMAND)), 0x70f0);
    let (parameter, answer) = machine.call(READ_EVENT_DATA, &select(QUIESCE));
    assert_eq!((parameter, be16(&answer, 0), answer[10]), (0x5001, 17, 0x1d));
    let (parameter, answer) = machine.call(READ_EVENT_DATA, &select(ASCII));
    assert_eq!((parameter, be16(&answer, 0), answer[10]), (0x5000, 16, 0x1a));
}

#[test]
fn a_quiesce_request_waits_for_a_guest_that_listens_and_is_read_once() {
    let mut machine = Machine::new(info());
    assert_eq!(machine.sclp.signal_quiesce(), None);
    assert_eq!(machine.want(QUIESCE), 0x5001);
    assert_eq!(machine.sclp.signal_quiesce(), Some(ServiceSignal { parameter: 1 }));
    let (parameter, answer) = machine.read_events();
    assert_eq!(answer, *b"\x00\x11\0\0\0\0\x00\x20\x00\x09\x1d\x80\0\0\0\0\0");
    assert_eq!(parameter, 0x5000);
}

#[test]
fn all_waiting_events_share_an_sccb_and_a_length_of_0_ends_them() {
    let mut machine = Machine::new(info());
    machine.want(ASCII | QUIESCE);
    machine.sclp.signal_quiesce();
    let _ = machine.sclp.push_input(b"x");
    let (_, answer) = machine.call(READ_EVENT_DATA, &sccb(4096, 0, 0, &[0xee; 64]));
    assert_eq!(be16(&answer, 0), 4096, "the length may not vary");
    assert_eq!((be16(&answer, 8), answer[10]), (9, 0x1d));
    assert_eq!((be16(&answer, 17), answer[19]), (8, 0x1a));
    assert_eq!(be16(&answer, 25), 0);
}

#[test]
fn a_reset_forgets_the_mask_and_everything_that_waits() {
    let mut machine = Machine::new(info());
    machine.want(ASCII | QUIESCE | OPERATOR_COMMAND);
    machine.sclp.signal_quiesce();
    let _ = machine.sclp.push_input(b"x");
    machine.sclp.reset();
    assert_eq!(machine.sclp.signal_quiesce(), None, "nobody listens");
    machine.sclp.reset();
    assert_eq!(machine.want(ASCII | QUIESCE | OPERATOR_COMMAND), 0x5000, "nothing waits");
}

#[test]
fn an_sclp_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Sclp>();
}

// --- text ----------------------------------------------------------------------------------------

#[test]
fn ebcdic_is_code_page_500() {
    // Letters, digits and the characters in which 500 differs from 037.
    assert_eq!(to_ebcdic("AIJRSZaz09 "), [0xc1, 0xc9, 0xd1, 0xd9, 0xe2, 0xe9, 0x81, 0xa9, 0xf0, 0xf9, 0x40]);
    assert_eq!(to_ebcdic("[]!|^"), [0x4a, 0x5a, 0x4f, 0xbb, 0x5f]);
    assert_eq!(to_ebcdic("€\n"), [0x6f, 0x15]);
    assert_eq!(from_ebcdic(&[0xd4, 0xc4, 0xc2, 0x40]), "MDB ");
}

#[test]
fn every_latin_1_character_survives_ebcdic_and_back() {
    let text: String = (0..=u8::MAX).map(char::from).filter(|character| *character != '\u{85}').collect();
    assert_eq!(from_ebcdic(&to_ebcdic(&text)), text);
}

// --- anything ------------------------------------------------------------------------------------

fn any_command() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => prop::sample::select(vec![
            READ_SCP_INFO, 0x0012_0001, READ_CPU_INFO, WRITE_EVENT_DATA, READ_EVENT_DATA, WRITE_EVENT_MASK, 0x001a_0001,
        ]),
        1 => any::<u32>(),
    ]
}

/// Bytes in which lengths and types are often what a parser goes on with.
fn any_contents() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        2 => prop::sample::select(vec![0u8, 1, 2, 4, 6, 8, 9, 10, 12, 0x1a, 0x80]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..600)
}

proptest! {
    #[test]
    fn whatever_an_sccb_holds_nothing_outside_of_it_is_written(
        command in any_command(),
        page in 0u64..10,
        offset in prop_oneof![4 => Just(0u64), 1 => 0u64..4096],
        contents in any_contents(),
        length in prop_oneof![any::<u16>(), Just(4096), 0u16..700],
        input in prop::collection::vec(any::<u8>(), 0..300),
        wanted: u64,
        extended_length: bool,
    ) {
        let mut machine = Machine::new(ScpInfo { extended_length, ..info() });
        machine.want(wanted);
        let _ = machine.sclp.push_input(&input);
        // Pages 1 to 10 from the end of memory, so that some SCCBs leave it.
        let address = MIB - 4096 * (page + 1) + offset;
        let mut before = vec![0xa5; 1 << 20];
        let at = usize::try_from(address).expect("small");
        let end = before.len().min(at + contents.len());
        before[at..end].copy_from_slice(&contents[..end - at]);
        if at + 2 <= before.len() {
            before[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        machine.memory.write_slice(&before, GuestAddress(0)).expect("fits");

        let call = ServiceCall { command, sccb: address };
        let result = machine.sclp.service_call(call, PREFIX, &machine.memory);

        let mut after = vec![0; before.len()];
        machine.memory.read_slice(&mut after, GuestAddress(0)).expect("fits");
        let sccb = at..after.len().min(at + usize::from(length));
        match result {
            Ok(signal) => {
                prop_assert_eq!(u64::from(signal.parameter & !7), address);
                prop_assert_eq!(&after[..sccb.start], &before[..sccb.start]);
                prop_assert_eq!(&after[sccb.end..], &before[sccb.end..]);
            }
            Err(_) => prop_assert!(after == before, "an exception changes nothing"),
        }
    }

    #[test]
    fn what_the_guest_writes_line_by_line_is_what_comes_out(lines in prop::collection::vec("[ -~]{0,80}", 0..8)) {
        let mut machine = Machine::new(info());
        let borrowed: Vec<_> = lines.iter().map(String::as_str).collect();
        prop_assert_eq!(machine.response(WRITE_EVENT_DATA, &filled(&event(2, &mdb(&borrowed)))), 0x0020);
        prop_assert_eq!(machine.lines.text(), lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }

    #[test]
    fn what_is_typed_is_what_the_guest_reads(typed in prop::collection::vec(any::<u8>(), 1..4080)) {
        let mut machine = Machine::new(info());
        machine.want(ASCII);
        prop_assert_eq!(machine.sclp.push_input(&typed).taken, typed.len());
        prop_assert_eq!(&machine.read_events().1[15..], &typed[..]);
    }
}
