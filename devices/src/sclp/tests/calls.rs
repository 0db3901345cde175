//! Where an SCCB may be, and which response a command gets.

use super::*;

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

#[test]
fn an_sclp_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Sclp>();
}
