//! What the guest writes.

use super::*;

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
