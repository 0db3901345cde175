//! Channel I/O instructions of a guest, wherever their operands are: each ends as it does without subchannels, and
//! stores nothing.
#![no_main]

use adjunct_fuzz::{Around, Class, Ended, Few, Guest, HOST, Place, Sparse, code::*};
use adjunct_hypervisor::Vm;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Step {
    around: Around,
    instruction: u8,
    /// Base register and displacement, or registers.
    operand: u16,
    /// Whether the displacement counts, so that the place is not where the operand is.
    displaced: bool,
    place: Place,
    gr1: Gr1,
    gr2: Sparse,
    /// The operand: what its words are made of.
    block: [Sparse; 16],
    /// Whether the AP configuration changes first.
    changed: bool,
}

/// General register 1, of which most instructions want a subchannel's id.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Gr1 {
    Subchannel(u16, Sparse),
    Sparse(Sparse),
    Any(u64),
}

impl Gr1 {
    fn bits(self) -> u64 {
        match self {
            Self::Subchannel(number, other) => 0x1_0000 | u64::from(number) | u64::from(other.word()),
            Self::Sparse(word) => word.word().into(),
            Self::Any(bits) => bits,
        }
    }
}

/// CSCH, HSCH, MSCH, SSCH, STSCH, TSCH, TPI, SAL, RSCH, STCRW, STCPS, RCHP, SCHM, CHSC, SIGA, XSCH.
const INSTRUCTIONS: [u8; 16] =
    [0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x5f, 0x74, 0x76];

fuzz_target!(|steps: Few<Step, 8>| {
    let mut guest = Guest::new(&HOST, 1, 0);
    for step in steps.iter() {
        execute(&mut guest, step);
    }
    guest.finish();
});

fn execute(guest: &mut Guest, step: &Step) {
    let around = step.around;
    let opcode = INSTRUCTIONS[usize::from(step.instruction) % INSTRUCTIONS.len()];
    let text = if step.displaced || opcode == 0x5f { step.operand } else { step.operand & 0xf000 };
    let [high, low] = text.to_be_bytes();
    let (address, gr1) = (step.place.address(), step.gr1.bits());
    let base = usize::from(if opcode == 0x5f { low >> 4 } else { high >> 4 });
    guest.set(0, &[(base, address), (1, gr1), (2, step.gr2.word().into())]);
    let register = |r: usize| match r {
        1 => gr1,
        2 => step.gr2.word().into(),
        _ => address,
    };
    let displacement = u64::from(text & 0xfff);
    let operand = match (opcode, base) {
        (0x5f, _) => register(base),
        (_, 0) => displacement,
        _ => register(base).wrapping_add(displacement),
    };
    let effective = operand & around.address_mask();
    let at = around.absolute(effective);
    let block: Vec<u8> = step.block.iter().flat_map(|word| word.word().to_be_bytes()).collect();
    let needed = Guest::is_needed(at) || Guest::is_needed(at.saturating_add(64));
    if !needed {
        guest.storage.put(at, &block);
    }
    if step.changed
        && let Some(check) = guest.css.ap_configuration_changed()
    {
        guest.vm.inject(check).expect("it is taken");
    }
    let ended = guest.execute(0, around, &[0xb2, opcode, high, low]);
    if matches!(ended, Ended::Before(Class::MachineCheck)) {
        return;
    }
    if needed && [0x39, 0x5f].contains(&opcode) {
        // It may have changed what was executed next.
        guest.storage.permit(0, 1 << 20);
        return guest.mend();
    }
    if around.problem_state() {
        return assert!(matches!(ended, Ended::Program(PRIVILEGED)), "{ended:?}");
    }
    let access = |length: u64, stores: bool| {
        let outside = effective >= 1 << 20 || effective.saturating_add(length) > 1 << 20;
        match (outside, stores && around.protects(effective, length)) {
            (false, false) => None,
            (true, true) if matches!(ended, Ended::Program(PROTECTION)) => Some(PROTECTION),
            (true, _) => Some(ADDRESSING),
            (false, true) => Some(PROTECTION),
        }
    };
    let alignment = (operand & 3 != 0).then_some(SPECIFICATION);
    let known = gr1 & 0x1_0000 != 0 && (gr1 & 0x8_0000 != 0 || gr1 & 0xff00_0000 == 0);
    let id = (!known).then_some(OPERAND);
    let operand_or = |condition: u8| match ended {
        Ended::Program(OPERAND) => Expected::Program(OPERAND),
        _ => Expected::Done(condition),
    };
    let first = |checks: &[Option<u16>], else_: Expected| {
        checks.iter().flatten().next().map_or(else_, |code| Expected::Program(*code))
    };
    let expected = match opcode {
        0x30 | 0x31 | 0x38 | 0x76 => first(&[id], Expected::Done(3)),
        0x32 => first(&[alignment, access(52, false), id], operand_or(3)),
        0x33 => first(&[alignment, access(12, false), id], operand_or(3)),
        0x34 => first(&[alignment, access(52, true), id], Expected::Done(3)),
        0x35 => first(&[id, alignment, access(64, true)], Expected::Done(3)),
        0x36 => first(&[alignment], Expected::Done(0)),
        0x39 => {
            let found = !matches!(ended, Ended::Done(1));
            first(&[alignment, access(4, true)], Expected::Done(u8::from(!found)))
        }
        0x3b => operand_or(3),
        0x37 | 0x3a | 0x3c => operand_or(around.condition_code()),
        0x74 => Expected::Done(3),
        // The target `chsc` has more of it.
        _ => match ended {
            Ended::Program(code) if [ADDRESSING, PROTECTION, SPECIFICATION, OPERAND].contains(&code) => {
                return;
            }
            _ => Expected::Done(0),
        },
    };
    match (&ended, expected) {
        (Ended::Done(is), Expected::Done(should)) if *is == should => {
            if opcode == 0x39 {
                guest.storage.permit(at, 4);
            }
            if opcode == 0x5f {
                guest.storage.permit(at, 4096);
            }
        }
        (Ended::Program(is), Expected::Program(should)) if *is == should => {}
        _ => panic!("b2{opcode:02x}{text:04x}: {ended:?}, not {expected:?}"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Done(u8),
    Program(u16),
}
