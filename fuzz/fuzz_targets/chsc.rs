//! CHANNEL SUBSYSTEM CALL and STORE CHANNEL REPORT WORD of a guest, with configuration changes and resets between them:
//! what a guest is told is what has happened, and nothing is stored outside the answer.
#![no_main]

use adjunct_fuzz::{Around, Class, Ended, Few, Guest, HOST, Place, Sparse, code::*};
use adjunct_hypervisor::{Floating, Vm};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step {
    /// CHSC, with a block.
    Call(Around, Call),
    /// STCRW.
    Report(Around, Place),
    Changed,
    /// Seldom.
    Reset(u8),
}

#[derive(Debug, Arbitrary)]
struct Call {
    block: Block,
    length: Length,
    command: Command,
    words: [Sparse; 3],
    /// What is behind the header, and whether it is what storage has after the block too.
    body: Option<u8>,
    register: u8,
}

/// Where a block is: mostly on a page of its own.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Block {
    page: u8,
    odd: u8,
    place: Place,
}

impl Block {
    fn address(self) -> u64 {
        if self.odd < 0x30 { self.place.address() } else { 0x1_1000 + u64::from(self.page % 0xee) * 4096 }
    }
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Length {
    Short,
    Attributes,
    Longest,
    Doublewords(u16),
    Any(u16),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Command {
    Event,
    Known(u8),
    Any(u16),
}

impl Length {
    fn bytes(self) -> u16 {
        match self {
            Self::Short => 16,
            Self::Attributes => 0x400,
            Self::Longest => 4088,
            Self::Doublewords(count) => count % 512 * 8,
            Self::Any(bytes) => bytes,
        }
    }
}

const EVENT: u16 = 0x0e;

impl Command {
    fn code(self) -> u16 {
        const KNOWN: [u16; 12] = [2, 4, 6, 0x10, 0x12, 0x1c, 0x24, 0x26, 0x31, 0x46, 0x48, 0x4c];
        match self {
            Self::Event => EVENT,
            Self::Known(n) => KNOWN[usize::from(n) % KNOWN.len()],
            Self::Any(code) => code,
        }
    }
}

/// What the guest may be told.
#[derive(Debug, Default)]
struct Known {
    /// Something has changed and store event information has not said so.
    untold: bool,
    /// The same of the channel report; a report may be about an event that was told without it.
    reported: bool,
    /// A machine check has announced a report, and the guest has not found the last report yet.
    announced: bool,
}

fuzz_target!(|steps: Few<Step, 12>| {
    let mut guest = Guest::new(&HOST, 1, 0);
    let mut known = Known::default();
    for step in steps.iter() {
        match step {
            Step::Call(around, call) => chsc(&mut guest, &mut known, *around, call),
            Step::Report(around, place) => stcrw(&mut guest, &mut known, *around, *place),
            Step::Changed => {
                known.reported |= !known.untold;
                known.untold = true;
                let announcement = guest.css.ap_configuration_changed();
                assert_eq!(announcement.is_some(), known.reported && !known.announced);
                if let Some(check) = announcement {
                    assert!(matches!(check, Floating::MachineCheck { cr14: 0x1000_0000, .. }), "{check:?}");
                    known.announced = true;
                    guest.vm.inject(check).expect("it is taken");
                }
            }
            Step::Reset(often) if *often >= 0x40 => {}
            Step::Reset(_) => {
                guest.css.reset();
                guest.vm.clear_interruptions().expect("the host clears them");
                known = Known::default();
            }
        }
    }
    guest.finish();
});

fn chsc(guest: &mut Guest, known: &mut Known, around: Around, call: &Call) {
    let address = call.block.address();
    let (length, command) = (call.length.bytes(), call.command.code());
    let words = call.words.map(Sparse::word);
    let block =
        [[length.to_be_bytes(), command.to_be_bytes()].concat(), words.map(u32::to_be_bytes).concat()]
            .concat();
    let at = around.absolute(address & around.address_mask());
    if let Some(byte) = call.body {
        guest.storage.put(at & !0xfff, &[byte; 4096]);
    }
    guest.storage.put(at, &block);
    // GR15 is what IPM is given.
    let register = call.register % 15;
    guest.set(0, &[(usize::from(register), address)]);
    // If the block is where the instruction or a new PSW is, anything may follow.
    let moved = Guest::is_needed(at);
    let ended = guest.execute(0, around, &[0xb2, 0x5f, 0, register << 4]);
    if moved {
        known.give_up(guest);
        return;
    }
    let effective = address & around.address_mask();
    let good = (16..=4088).contains(&length) && length.is_multiple_of(8);
    match ended {
        Ended::Done(condition) => {
            assert_eq!(condition, 0);
            assert!(!around.problem_state() && around.may_store() && effective & 0xfff == 0 && good);
            let behind = at + u64::from(length);
            let answered = u64::from(u16::from_be_bytes(guest.storage.read(behind)));
            assert!(answered >= 8 && answered + u64::from(length) <= 4096, "{answered:#x}");
            guest.storage.permit(behind, answered);
            let response = u16::from_be_bytes(guest.storage.read(behind + 2));
            assert!([1, 3, 4, 5, 7, 8].contains(&response), "{response:#x}");
            match (command, response) {
                (EVENT, 1) => {
                    assert!(known.untold, "an event that was not");
                    assert_eq!(guest.storage.read::<12>(behind), [0, 12, 0, 1, 0, 0, 0, 0, 0, 0, 5, 3]);
                    known.untold = false;
                }
                (EVENT, 5) => assert!(!known.untold, "an event is lost"),
                // There is no room for it.
                (EVENT, 3) => assert!(known.untold && length > 4084),
                (EVENT, other) => panic!("{other:#x}"),
                (_, 5) => panic!("no event, to {command:#x}"),
                _ => {}
            }
        }
        Ended::Program(PRIVILEGED) => assert!(around.problem_state()),
        Ended::Program(SPECIFICATION) => assert_ne!(effective & 0xfff, 0),
        Ended::Program(ADDRESSING) => assert!(effective >= 1 << 20),
        Ended::Program(OPERAND) => assert!(!good && effective & 0xfff == 0),
        Ended::Program(PROTECTION) => assert!(around.protects(effective, 4096)),
        Ended::Before(Class::MachineCheck) => assert!(known.announced),
        other => panic!("{other:?}"),
    }
}

fn stcrw(guest: &mut Guest, known: &mut Known, around: Around, place: Place) {
    let address = place.address();
    let effective = address & around.address_mask();
    let at = around.absolute(effective);
    guest.set(0, &[(4, address)]);
    let moved = Guest::is_needed(at);
    // STCRW 0(r4)
    match guest.execute(0, around, &[0xb2, 0x39, 0x40, 0]) {
        _ if moved => known.give_up(guest),
        Ended::Done(condition) => {
            assert!(!around.problem_state() && around.may_store() && effective & 3 == 0);
            guest.storage.permit(at, 4);
            let word = u32::from_be_bytes(guest.storage.read(at));
            match condition {
                0 => assert!(word == 0x0b00_0000 && known.reported),
                1 => assert!(word == 0 && !known.reported, "{word:#x}"),
                other => panic!("condition code {other}"),
            }
            known.announced &= known.reported;
            known.reported = false;
        }
        Ended::Program(PRIVILEGED) => assert!(around.problem_state()),
        Ended::Program(SPECIFICATION) => assert_ne!(effective & 3, 0),
        Ended::Program(ADDRESSING) => assert!(effective >= 1 << 20),
        Ended::Program(PROTECTION) => assert!(around.protects(effective, 4)),
        Ended::Before(Class::MachineCheck) => assert!(known.announced),
        other => panic!("{other:?}"),
    }
}

impl Known {
    /// What the guest was told is not known: all begins anew.
    fn give_up(&mut self, guest: &mut Guest) {
        *self = Self::default();
        guest.css.reset();
        guest.vm.clear_interruptions().expect("the host clears them");
        // It may have changed what was executed next.
        guest.storage.permit(0, 1 << 20);
        guest.mend();
    }
}
