//! Whatever the guest asks and whatever is typed.

use super::*;
use proptest::prelude::*;

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
