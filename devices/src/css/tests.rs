use super::*;
use crate::intercept::{Intercept, decode};
use ChannelInstruction::*;
use adjunct_hypervisor::{AdditionalState, CpuReset, CpuState, Exit, Kick, Local, RunState};
use std::{ops::Range, sync::Arc};

/// A vCPU with a little memory, part of which may not be stored to.
#[derive(Debug)]
struct Cpu {
    state: CpuState,
    memory: Vec<u8>,
    read_only: Range<u64>,
    /// Program interruptions, by code.
    interrupted: Vec<u16>,
}

/// The condition code that instructions find.
const BEFORE: u8 = 2;

impl Cpu {
    fn new() -> Self {
        let mut state = CpuState::default();
        state.psw.set_condition_code(BEFORE);
        Self { state, memory: vec![0; 0x8000], read_only: 0x6000..0x7000, interrupted: Vec::new() }
    }

    /// Executes an instruction whose operand is at `address`, with general registers 1 and 2.
    fn executes(
        &mut self,
        css: &mut Css,
        instruction: ChannelInstruction,
        address: u64,
        (gr1, gr2): (u64, u64),
    ) -> How {
        (self.state.gprs[1], self.state.gprs[2]) = (gr1, gr2);
        self.state.psw.set_condition_code(BEFORE);
        self.interrupted.clear();
        let operand = Operand { address, access_register: 0 };
        css.execute(ChannelIo { instruction, operand }, self).expect("the host takes all");
        match self.interrupted[..] {
            [] => How::Ends(self.state.psw.condition_code()),
            [code] => How::Interrupted(code),
            _ => panic!("one instruction, {:?}", self.interrupted),
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A command block of `length` bytes at `at`; the answer, zeros included, up to its length.
    fn calls(&mut self, css: &mut Css, command: u16, length: u16, words: [u32; 3]) -> Vec<u8> {
        let at = 0x2000;
        self.memory[at..at + 0x1000].fill(0xee);
        self.put(at, &[length.to_be_bytes(), command.to_be_bytes()].concat());
        self.put(at + 4, &words.map(u32::to_be_bytes).concat());
        assert_eq!(self.executes(css, Chsc, at as u64, (0, 0)), How::Ends(0), "{command:#x}");
        let answer = &self.memory[at + usize::from(length)..at + 0x1000];
        let answered = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
        assert!(answer[answered..].iter().all(|byte| *byte == 0xee), "nothing behind the answer");
        answer[..answered].to_vec()
    }

    /// The same; the response code of an answer that has nothing else.
    fn refused(&mut self, css: &mut Css, command: u16, length: u16, words: [u32; 3]) -> u16 {
        let answer = self.calls(css, command, length, words);
        assert_eq!((answer.len(), &answer[..2], &answer[4..8]), (8, &[0, 8][..], &[0; 4][..]));
        u16::from_be_bytes([answer[2], answer[3]])
    }
}

/// How an instruction ends: with a condition code, or a program interruption, by code.
#[derive(Debug, PartialEq, Eq)]
enum How {
    Ends(u8),
    Interrupted(u16),
}
use How::{Ends, Interrupted};

const ADDRESSING: How = Interrupted(5);
const PROTECTION: How = Interrupted(4);
const SPECIFICATION: How = Interrupted(6);
const OPERAND: How = Interrupted(0x15);

impl Vcpu for Cpu {
    fn id(&self) -> u16 {
        0
    }
    fn state(&self) -> &CpuState {
        &self.state
    }
    fn state_mut(&mut self) -> &mut CpuState {
        &mut self.state
    }
    fn run(&mut self) -> Result<Exit> {
        Ok(Exit::Interrupted)
    }
    fn reset(&mut self, _: CpuReset) -> Result<()> {
        Ok(())
    }
    fn set_run_state(&mut self, _: RunState) -> Result<()> {
        Ok(())
    }
    fn store_status(&mut self, _: Option<u64>) -> Result<()> {
        Ok(())
    }
    fn additional_state(&mut self) -> Result<AdditionalState> {
        Ok(AdditionalState::default())
    }
    fn access(&mut self, operand: Operand, access: Access<'_>) -> Result<Accessed> {
        let length = match &access {
            Access::Read(into) => into.len(),
            Access::Write(from) => from.len(),
            Access::CheckWrite(length) => *length as usize,
        };
        let bytes = operand.address..operand.address.saturating_add(length as u64);
        let stores = !matches!(access, Access::Read(_));
        let code = if bytes.end > self.memory.len() as u64 {
            5
        } else if stores && bytes.start < self.read_only.end && self.read_only.start < bytes.end {
            4
        } else {
            let at = usize::try_from(bytes.start).expect("inside");
            match access {
                Access::Read(into) => into.copy_from_slice(&self.memory[at..at + length]),
                Access::Write(from) => self.put(at, from),
                Access::CheckWrite(_) => {}
            }
            return Ok(Accessed::Done);
        };
        self.interrupted.push(code);
        Ok(Accessed::Interrupted)
    }
    fn inject(&mut self, interruption: Local) -> Result<()> {
        let Local::Program { code } = interruption else { panic!("{interruption:?}") };
        self.interrupted.push(code);
        Ok(())
    }
    fn kicker(&self) -> Arc<dyn Kick> {
        unreachable!("nobody kicks it")
    }
}

/// A good subchannel-identification word.
const ID: u64 = 0x0001_0000;

fn executed(instruction: ChannelInstruction, address: u64, gr1: u64) -> How {
    Cpu::new().executes(&mut Css::default(), instruction, address, (gr1, 0))
}

#[test]
fn a_subchannel_is_not_operational_and_its_id_is_looked_at_first() {
    for instruction in [Csch, Hsch, Msch, Rsch, Ssch, Stsch, Tsch, Xsch] {
        for id in [ID, 0x0007_0000, 0x0001_ffff, 0x00f9_0000, 0xfe09_0000, 0xffff_ffff_0001_0000] {
            assert_eq!(executed(instruction, 0x1000, id), Ends(3), "{instruction:?} {id:#x}");
        }
        for id in [0, 0x0000_ffff, 0xfe01_0000, 0x0100_0000_0000, 0xff07_0000] {
            assert_eq!(executed(instruction, 0x1000, id), OPERAND, "{instruction:?} {id:#x}");
        }
    }
}

#[test]
fn an_operand_must_be_aligned_and_accessible_before_anything_is_found_out() {
    assert_eq!(executed(Tpi, 0x1002, ID), SPECIFICATION);
    for instruction in [Msch, Ssch, Stsch, Tsch, Stcrw] {
        assert_eq!(executed(instruction, 0x1002, ID), SPECIFICATION, "{instruction:?}");
        assert_eq!(executed(instruction, 0x8000, ID), ADDRESSING, "{instruction:?}");
    }
    // Stored to: 52 bytes, 64, 4.
    for (instruction, length) in [(Stsch, 52), (Tsch, 64), (Stcrw, 4)] {
        assert_eq!(executed(instruction, 0x6000 - length + 4, ID), PROTECTION, "{instruction:?}");
        assert!(matches!(executed(instruction, 0x6000 - length, ID), Ends(_)), "{instruction:?}");
    }
    assert_eq!(executed(Msch, 0x6000, ID), Ends(3), "only read");
    // An access exception goes before an operand exception, but for TEST SUBCHANNEL.
    assert_eq!(executed(Stsch, 0x6000, 0), PROTECTION);
    assert_eq!(executed(Msch, 0x8000, 0), ADDRESSING);
    assert_eq!(executed(Tsch, 0x6000, 0), OPERAND);
    assert_eq!(executed(Tsch, 0x1002, 0), OPERAND);
}

/// `instruction` with `bytes` at `offset` in its block of zeros.
fn with_block(instruction: ChannelInstruction, offset: usize, bytes: &[u8]) -> How {
    let mut cpu = Cpu::new();
    cpu.put(0x1000 + offset, bytes);
    cpu.executes(&mut Css::default(), instruction, 0x1000, (ID, 0))
}

#[test]
fn what_a_subchannel_may_not_be_modified_to_is_an_operand_exception() {
    for bit in 0..16_u16 {
        let expected = if [15, 14, 9, 8].contains(&bit) { OPERAND } else { Ends(3) };
        assert_eq!(with_block(Msch, 4, &(1_u16 << bit).to_be_bytes()), expected, "flag {bit}");
    }
    for bit in 0..32_u32 {
        let expected = if [0, 2, 21, 22, 23].contains(&bit) { Ends(3) } else { OPERAND };
        assert_eq!(with_block(Msch, 24, &(1_u32 << bit).to_be_bytes()), expected, "characteristic {bit}");
    }
    assert_eq!(with_block(Msch, 47, &[0x20]), Ends(3), "no measurement block");
    let mut block = [0; 48];
    (block[27], block[47]) = (4, 0x20);
    assert_eq!(with_block(Msch, 0, &block), OPERAND, "not aligned");
    block[47] = 0x40;
    assert_eq!(with_block(Msch, 0, &block), Ends(3));
}

#[test]
fn what_a_subchannel_may_not_be_started_with_is_an_operand_exception() {
    for bit in 0..16_u16 {
        let expected = if bit == 2 { OPERAND } else { Ends(3) };
        assert_eq!(with_block(Ssch, 4, &(1_u16 << bit).to_be_bytes()), expected, "control {bit}");
    }
    for bit in 0..8_u8 {
        let expected = if (1..=6).contains(&bit) { OPERAND } else { Ends(3) };
        assert_eq!(with_block(Ssch, 7, &[1 << bit]), expected, "control 2 {bit}");
    }
    assert_eq!(with_block(Ssch, 8, &[0x80]), OPERAND);
    assert_eq!(with_block(Ssch, 8, &[0x7f]), Ends(3));
}

#[test]
fn channel_paths_limits_and_monitors_are_checked_and_are_not_there() {
    let mut css = Css::default();
    let mut cpu = Cpu::new();
    let mut executed = |instruction, registers| cpu.executes(&mut css, instruction, 0, registers);
    assert_eq!(executed(Rchp, (0x0000_00ff, 0)), Ends(3));
    for gr1 in [0x0000_0100, 0x0100_0000, 0x0001_0000, 0x00fe_0000] {
        assert_eq!(executed(Rchp, (gr1, 0)), OPERAND, "{gr1:#x}");
    }
    assert_eq!(executed(Sal, (0x7fff_0000, 0)), Ends(BEFORE));
    for gr1 in [1, 0x8000, 0x8000_0000] {
        assert_eq!(executed(Sal, (gr1, 0)), OPERAND, "{gr1:#x}");
    }
    assert_eq!(executed(Schm, (0xf000_0003, 0x20)), Ends(BEFORE));
    assert_eq!(executed(Schm, (0xf000_0001, 0x1f)), Ends(BEFORE), "an address that is not used");
    for (gr1, gr2) in [(4, 0), (0x0800_0000, 0), (2, 0x10)] {
        assert_eq!(executed(Schm, (gr1, gr2)), OPERAND, "{gr1:#x}");
    }
    assert_eq!(executed(Stcps, (0, 0)), Ends(BEFORE));
    assert_eq!(executed(Siga, (0, 0)), Ends(3));
    assert_eq!(executed(Tpi, (0, 0)), Ends(0));
}

#[test]
fn with_several_images_a_channel_path_is_in_the_one_that_is_there() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    assert_eq!(cpu.refused(&mut css, 0x31, 0x400, [0, 0, 0]), 1);
    assert_eq!(cpu.executes(&mut css, Rchp, 0, (0x00fe_0001, 0)), Ends(3));
    assert_eq!(cpu.executes(&mut css, Rchp, 0, (0, 0)), OPERAND);
    css.reset();
    assert_eq!(cpu.executes(&mut css, Rchp, 0, (0, 0)), Ends(3));
}

#[test]
fn a_command_block_is_a_page_that_has_room_for_an_answer() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    let mut executed = |at: u64, length: u16| {
        if let Some(block) = cpu.memory.get_mut(usize::try_from(at).expect("small")..) {
            block.iter_mut().zip(length.to_be_bytes()).for_each(|(byte, new)| *byte = new);
        }
        cpu.executes(&mut css, Chsc, at, (0, 0))
    };
    assert_eq!(executed(0x2008, 16), SPECIFICATION);
    assert_eq!(executed(0x8000, 16), ADDRESSING);
    for length in [0, 8, 15, 17, 20, 4092, 4096, 0xffff] {
        assert_eq!(executed(0x2000, length), OPERAND, "{length}");
    }
    for length in [16, 24, 4088] {
        assert_eq!(executed(0x2000, length), Ends(0), "{length}");
    }
    assert_eq!(executed(0x6000, 16), PROTECTION);
}

#[test]
fn commands_that_are_not_installed_are_answered_so() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    // Among them what Linux asks at boot: secondary CUs, the SSQD block, storage-class memory.
    for command in [0, 4, 6, 0x12, 0x1c, 0x24, 0x26, 0x46, 0x48, 0x4c, 0x4e, 0xffff] {
        assert_eq!(cpu.refused(&mut css, command, 16, [0; 3]), 4, "{command:#x}");
    }
}

#[test]
fn characteristics_are_those_of_qemus_channel_subsystem() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    let answer = cpu.calls(&mut css, 0x10, 16, [0; 3]);
    assert_eq!(answer.len(), 4080);
    assert_eq!(answer[..8], [0x0f, 0xf0, 0, 1, 0, 0, 0, 0]);
    let set = (8_usize..).zip(&answer[8..]).filter(|(_, byte)| **byte != 0).map(|(at, byte)| (at, *byte));
    let expected = [(8, 3), (13, 7), (14, 0x90), (21, 8), (8 + 2040, 0x40), (8 + 2040 + 13, 4)];
    assert_eq!(set.collect::<Vec<_>>(), expected);
    assert_eq!(cpu.calls(&mut css, 0x10, 16, [0x2000_fe00, 0, 0]).len(), 4080);
    for (length, first, second, code) in [
        (24, 0, 0, 3),
        (16, 0x0001_0000, 0, 7),
        (16, 0x0000_fe00, 0, 8),
        (16, 0x2000_0100, 0, 8),
        (16, 1, 0, 3),
        (16, 0x4000_0000, 0, 3),
        (16, 0, 1, 3),
    ] {
        assert_eq!(cpu.refused(&mut css, 0x10, length, [first, second, 0]), code, "{first:#x} {second:#x}");
    }
}

#[test]
fn no_channel_path_is_described() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    for (length, words, code, parameter) in [
        (16, [0, 0xff, 0], 1, 0),
        (16, [0x1000_0000, 0xff, 0], 1, 1),
        (16, [0x20fe_0200, 0xff, 0], 1, 2),
        (16, [5, 4, 0], 3, 0),
        (24, [0, 0, 0], 3, 0),
        (16, [0x8000_0000, 0, 0], 3, 0),
        (16, [0, 0x100, 0], 3, 0),
        (16, [0, 0, 1], 3, 0),
        (16, [0x0100_0000, 0, 0], 7, 0),
        (16, [0x00fe_0000, 0, 0], 8, 0),
        (16, [0x2001_0000, 0, 0], 8, 0),
    ] {
        assert_eq!(cpu.calls(&mut css, 2, length, words), [0, 8, 0, code, 0, 0, 0, parameter], "{words:x?}");
    }
}

#[test]
fn domain_attributes_are_two() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    for (length, first, code) in [
        (0x400, 0, 1),
        (0x400, 2, 1),
        (0x400, 1, 3),
        (0x400, 3, 3),
        (0x3f8, 2, 3),
        (0x400, 0x0001_0002, 3),
        (0x400, 0x1000_0002, 3),
        (0x400, 0x0100_0002, 7),
    ] {
        assert_eq!(cpu.refused(&mut css, 0x31, length, [first, 0, 0]), code, "{length:#x} {first:#x}");
    }
}

const MACHINE_CHECK: Option<Floating> =
    Some(Floating::MachineCheck { cr14: 0x1000_0000, mcic: 0x0040_0f5d_4833_0000 });

/// STORE CHANNEL REPORT WORD: condition code and word.
fn report(cpu: &mut Cpu, css: &mut Css) -> (How, u32) {
    cpu.put(0x1000, &[0xee; 8]);
    let how = cpu.executes(css, Stcrw, 0x1000, (0, 0));
    assert_eq!(cpu.memory[0x1004..0x1008], [0xee; 4], "four bytes are stored");
    let word = cpu.memory[0x1000..0x1004].try_into().expect("four");
    (how, u32::from_be_bytes(word))
}

const REPORTED: (How, u32) = (Ends(0), 0x0b00_0000);
const NO_REPORT: (How, u32) = (Ends(1), 0);

/// Store event information, as Linux asks for it.
fn event(cpu: &mut Cpu, css: &mut Css) -> Vec<u8> {
    cpu.calls(css, 0x0e, 16, [0, 0xa000_0000, 0])
}

const EVENT: [u8; 12] = [0, 12, 0, 1, 0, 0, 0, 0, 0, 0, 5, 3];
const NO_EVENT: [u8; 8] = [0, 8, 0, 5, 0, 0, 0, 0];

#[test]
fn a_guest_is_told_of_a_change_once() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    assert_eq!(event(&mut cpu, &mut css), NO_EVENT);
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
    assert_eq!(css.ap_configuration_changed(), None, "pending already");
    assert_eq!(report(&mut cpu, &mut css), REPORTED);
    assert_eq!(report(&mut cpu, &mut css), NO_REPORT);
    assert_eq!(event(&mut cpu, &mut css), EVENT);
    assert_eq!(event(&mut cpu, &mut css), NO_EVENT);
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK, "the next change");
}

#[test]
fn a_change_that_could_not_be_announced_is_announced_with_the_next_and_told_once() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
    css.not_announced();
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
    assert_eq!(css.ap_configuration_changed(), None, "that one was");
    assert_eq!(report(&mut cpu, &mut css), REPORTED);
    assert_eq!(event(&mut cpu, &mut css), EVENT);
    assert_eq!(report(&mut cpu, &mut css), NO_REPORT);
    assert_eq!(event(&mut cpu, &mut css), NO_EVENT);
}

#[test]
fn a_change_while_the_guest_looks_is_found_by_its_next_look() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
    assert_eq!(report(&mut cpu, &mut css), REPORTED);
    assert_eq!(css.ap_configuration_changed(), None, "the event of before is still to be told");
    assert_eq!(event(&mut cpu, &mut css), EVENT);
    assert_eq!(css.ap_configuration_changed(), None, "the guest looks until there is no report");
    assert_eq!(report(&mut cpu, &mut css), REPORTED);
    assert_eq!(event(&mut cpu, &mut css), EVENT);
    assert_eq!(report(&mut cpu, &mut css), NO_REPORT);
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
}

#[test]
fn a_guest_that_asks_before_it_reads_the_report_gets_a_report_without_an_event() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
    assert_eq!(event(&mut cpu, &mut css), EVENT);
    assert_eq!(css.ap_configuration_changed(), None);
    assert_eq!(report(&mut cpu, &mut css), REPORTED);
    assert_eq!(report(&mut cpu, &mut css), NO_REPORT);
    assert_eq!(event(&mut cpu, &mut css), EVENT);
}

#[test]
fn a_reset_forgets_a_change_at_whatever_point() {
    for steps in 0..3 {
        let (mut css, mut cpu) = (Css::default(), Cpu::new());
        assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
        for _ in 0..steps {
            report(&mut cpu, &mut css);
        }
        css.reset();
        assert_eq!(report(&mut cpu, &mut css), NO_REPORT, "{steps}");
        assert_eq!(event(&mut cpu, &mut css), NO_EVENT, "{steps}");
        assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK, "{steps}");
    }
}

#[test]
fn what_can_not_be_stored_stays_pending() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    assert_eq!(css.ap_configuration_changed(), MACHINE_CHECK);
    assert_eq!(cpu.executes(&mut css, Stcrw, 0x6000, (0, 0)), PROTECTION);
    assert_eq!(cpu.executes(&mut css, Stcrw, 0x1001, (0, 0)), SPECIFICATION);
    assert_eq!(report(&mut cpu, &mut css), REPORTED);
    assert_eq!(cpu.executes(&mut css, Stcrw, 0x6000, (0, 0)), PROTECTION);
    assert_eq!(css.ap_configuration_changed(), None, "not armed by it");
    cpu.put(0x6000, &[0, 16, 0, 0x0e]);
    assert_eq!(cpu.executes(&mut css, Chsc, 0x6000, (0, 0)), PROTECTION);
    assert_eq!(event(&mut cpu, &mut css), EVENT);
}

#[test]
fn an_event_is_told_only_where_it_has_room() {
    let (mut css, mut cpu) = (Css::default(), Cpu::new());
    assert_eq!(cpu.refused(&mut css, 0x0e, 4088, [0; 3]), 5);
    assert!(css.ap_configuration_changed().is_some());
    assert_eq!(cpu.refused(&mut css, 0x0e, 4088, [0; 3]), 3);
    assert_eq!(cpu.calls(&mut css, 0x0e, 4080, [0; 3]), EVENT);
}

#[test]
fn operands_are_where_the_instruction_says() {
    let mut cpu = CpuState::default();
    (cpu.gprs[4], cpu.gprs[9]) = (0x1_2345_6000, 0x1000);
    let decoded = |ipa, ipb| match decode(0x04, ipa, ipb, &cpu) {
        Intercept::ChannelIo(io) => io,
        other => panic!("{other:?}"),
    };
    let operand = |address, access_register| Operand { address, access_register };
    let expected = ChannelIo { instruction: Stcrw, operand: operand(0x1_2345_6fff, 4) };
    assert_eq!(decoded(0xb239, 0x4fff_0000), expected);
    assert_eq!(decoded(0xb234, 0x0010_0000).operand, operand(0x10, 0), "no base");
    assert_eq!(
        decoded(0xb25f, 0x0040_0000),
        ChannelIo { instruction: Chsc, operand: operand(0x1_2345_6000, 4) }
    );
    let tsch = crate::intercept::test_subchannel(0x9004_0000, &cpu);
    assert_eq!(tsch, ChannelIo { instruction: Tsch, operand: operand(0x1004, 9) });
}
