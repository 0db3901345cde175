//! What the guest reads.

use super::*;

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
