//! The event mask: who listens to what.

use super::*;

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
