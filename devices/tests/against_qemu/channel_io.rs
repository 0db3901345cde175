//! Channel I/O against QEMU's channel subsystem without devices: the same instructions on the same memory must leave the
//! same condition codes, program interruptions and memory.
//!
//! Not compared: events, since no AP device is to be had under emulation.

use crate::qemu::{Directory, Qemu};
use adjunct_devices::{
    css::Css,
    intercept::{Intercept, decode},
};
use adjunct_hypervisor::{
    Access, Accessed, AdditionalState, CpuReset, CpuState, Exit, GuestMemory, Kick, Local, MemorySize,
    Operand, Result, RunState, Vcpu, allocate,
};
use std::{io, sync::Arc};
use vm_memory::{Bytes, GuestAddress};

const MEMORY: u32 = 64;
const PROGRAM: usize = 0x2000;
/// Number of cases, padded to 32 bytes, then for each the instruction, registers 1, 2 and 4.
const CASES: usize = 0x3000;
/// For each case: condition code and program interruption, one of them 0.
const RESULTS: usize = 0x8000;
/// A page for each case that wants one.
const BLOCKS: usize = 0x1_0000;

/// Executes the instructions. Assembled from:
/// ```text
/// start:  larl %r1,psw; mvc 0x1d0(16,%r0),0(%r1)
///         larl %r9,0x3000; larl %r10,0x8000; lg %r8,0(%r9)
/// loop:   aghi %r9,32; lg %r1,8(%r9); lg %r2,16(%r9); lg %r4,24(%r9); lghi %r6,0
///         lghi %r3,1; ltgr %r3,%r3                condition code 2
///         ex %r0,0(%r9); ipm %r7; srl %r7,28; j store
/// program: llgh %r6,0x8e(%r0); lghi %r7,0
/// store:  st %r7,0(%r10); st %r6,4(%r10); aghi %r10,8; brctg %r8,loop
///         larl %r1,wait; lpswe 0(%r1)
/// psw:    .quad 0x180000000,program
/// wait:   .quad 0x0002000180000000,0
/// ```
const CODE: &str = "\
    c0100000003cd20f01d01000c090000007fac0a000002ff7e38090000004a79b0020e31090080004e32090100004e340\
    90180004a7690000a7390001b902003344009000b22200708870001ca7f40007e360008e0091a77900005070a0005060\
    a004a7ab0008a787ffdcc0100000000fb2b2100007070707000000018000000000000000000020500002000180000000\
    0000000000000000";

/// An instruction with general registers 1, 2 and 4; `block` is where register 4 points, if that is a page of its own.
struct Case {
    instruction: u32,
    registers: [u64; 3],
    block: Option<Vec<u8>>,
}

/// Instructions with their operand at register 4.
mod op {
    pub(super) const CSCH: u32 = 0xb230_0000;
    pub(super) const MSCH: u32 = 0xb232_4000;
    pub(super) const SSCH: u32 = 0xb233_4000;
    pub(super) const STSCH: u32 = 0xb234_4000;
    pub(super) const TSCH: u32 = 0xb235_4000;
    pub(super) const TPI: u32 = 0xb236_4000;
    pub(super) const SAL: u32 = 0xb237_0000;
    pub(super) const STCRW: u32 = 0xb239_4000;
    pub(super) const STCPS: u32 = 0xb23a_4000;
    pub(super) const RCHP: u32 = 0xb23b_0000;
    pub(super) const SCHM: u32 = 0xb23c_0000;
    pub(super) const CHSC: u32 = 0xb25f_0040;
    pub(super) const SIGA: u32 = 0xb274_4000;
    pub(super) const SUBCHANNEL: [u32; 8] =
        [CSCH, 0xb231_0000, MSCH, SSCH, STSCH, TSCH, 0xb238_0000, 0xb276_0000];
}

const ID: u64 = 0x0001_0000;

fn at(instruction: u32, gr1: u64, gr2: u64, address: u64) -> Case {
    Case { instruction, registers: [gr1, gr2, address], block: None }
}

fn with(instruction: u32, gr1: u64, block: &[u8]) -> Case {
    Case { instruction, registers: [gr1, 0, 0], block: Some(block.to_vec()) }
}

/// `bytes` at `offset` in zeros.
fn zeros_but(offset: usize, bytes: &[u8]) -> Vec<u8> {
    [&vec![0; offset], bytes].concat()
}

fn subchannels() -> Vec<Case> {
    let end = u64::from(MEMORY) << 20;
    let ids = [0, ID, 0x0007_ffff, 0x00f9_0000, 0xfe09_0000, 0xfe01_0000, 0xff07_0000, 1 << 40, ID | 1 << 40];
    let mut cases = Vec::new();
    for instruction in op::SUBCHANNEL {
        cases.extend(ids.map(|id| with(instruction, id, &[0xee; 100])));
        cases.extend(ids.map(|id| with(instruction, id, &[])));
        for address in [2, end - 4, end, u64::MAX - 3] {
            cases.extend([0, ID].map(|id| at(instruction, id, 0, address)));
        }
    }
    cases.extend((0..16).map(|bit| with(op::MSCH, ID, &zeros_but(4, &(1_u16 << bit).to_be_bytes()))));
    cases.extend((0..32).map(|bit| with(op::MSCH, ID, &zeros_but(24, &(1_u32 << bit).to_be_bytes()))));
    let measured = |low| [&zeros_but(27, &[4])[..], &zeros_but(19, &[low])].concat();
    cases.extend([0x20, 0x40].map(|low| with(op::MSCH, ID, &measured(low))));
    cases.extend((0..16).map(|bit| with(op::SSCH, ID, &zeros_but(4, &(1_u16 << bit).to_be_bytes()))));
    cases.extend((0..8).map(|bit| with(op::SSCH, ID, &zeros_but(7, &[1 << bit]))));
    cases.extend([0x80, 0x7f].map(|byte| with(op::SSCH, ID, &zeros_but(8, &[byte]))));
    cases
}

fn others() -> Vec<Case> {
    let end = u64::from(MEMORY) << 20;
    let mut cases = vec![with(op::STCRW, 0, &[0xee; 8]), with(op::TPI, 0, &[0xee; 16]), at(op::TPI, 0, 0, 2)];
    cases.extend([2, end].map(|address| at(op::STCRW, 0, 0, address)));
    cases.extend([0, 0xff, 0x100, 0x0100_0000, 0x0001_0000, 0x00fe_0000].map(|gr1| at(op::RCHP, gr1, 0, 0)));
    cases.extend([0, 0x7fff_0000, 1, 0x8000, 0x8000_0000].map(|gr1| at(op::SAL, gr1, 0, 0)));
    for (gr1, gr2) in [(0, 0x1f), (0xf000_0003, 0x20), (2, 0x10), (4, 0), (0x0800_0000, 0)] {
        cases.push(at(op::SCHM, gr1, gr2, 0));
    }
    cases.extend([with(op::STCPS, 0, &[0xee; 32]), with(op::SIGA, 0, &[])]);
    cases
}

fn call(command: u16, length: u16, words: [u32; 3]) -> Case {
    let header = [length.to_be_bytes(), command.to_be_bytes()].concat();
    let mut block = [header, words.map(u32::to_be_bytes).concat()].concat();
    block.resize(4096, 0xee);
    with(op::CHSC, 0, &block)
}

fn calls() -> Vec<Case> {
    let end = u64::from(MEMORY) << 20;
    let mut cases: Vec<_> = [8, end, !0xfff].map(|address| at(op::CHSC, 0, 0, address)).into();
    cases.extend([0, 8, 15, 17, 4092, 4096].map(|length| call(0x24, length, [0; 3])));
    cases.extend([0, 4, 6, 0x24, 0x26, 0xffff].map(|command| call(command, 24, [0; 3])));
    cases.push(call(0x24, 4088, [0; 3]));
    cases.extend([16, 24, 4080, 4088].map(|length| call(0x0e, length, [0, 0xa000_0000, 0])));
    for first in [0, 0x2000_fe00, 0x2000_0100, 0xfe00, 0x0001_0000, 1, 0x4000_0000, 0x1001_0001] {
        cases.extend([(16, 0), (24, 0), (16, 1)].map(|(length, word)| call(0x10, length, [first, word, 0])));
    }
    let firsts = [
        0,
        0x1000_0000,
        0x1000_0100,
        0x20fe_0200,
        0x0f00,
        0x8000_0000,
        0x0100_0000,
        0x00fe_0000,
        0x2001_0000,
        5,
    ];
    for first in firsts {
        for (length, second, third) in [(16, 0xff, 0), (16, 4, 0), (24, 0, 0), (16, 0x100, 0), (16, 0, 1)] {
            cases.push(call(0x02, length, [first, second, third]));
        }
    }
    for first in [2, 1, 3, 0x0001_0002, 0x1000_0002, 0x0100_0002, 0xffff, 0] {
        cases.extend([0x400, 0x3f8].map(|length| call(0x31, length, [first, 0, 0])));
    }
    // Several images are enabled now.
    cases.extend([0, 0x0001_0000, 0x00fe_0000].map(|gr1| at(op::RCHP, gr1, 0, 0)));
    cases
}

fn cases() -> Vec<Case> {
    let mut cases = [subchannels(), others(), calls()].into_iter().flatten().collect::<Vec<_>>();
    let mut next = BLOCKS as u64;
    for case in cases.iter_mut().filter(|case| case.block.is_some()) {
        case.registers[2] = next;
        next += 4096;
    }
    cases
}

fn image(cases: &[Case]) -> Vec<u8> {
    let blocks = cases.iter().filter(|case| case.block.is_some()).count();
    let mut image = vec![0; BLOCKS + 4096 * blocks];
    image[..8].copy_from_slice(&(0x0008_0000_8000_0000 | PROGRAM as u64).to_be_bytes());
    for (at, byte) in image[PROGRAM..][..CODE.len() / 2].iter_mut().enumerate() {
        *byte = u8::from_str_radix(&CODE[2 * at..2 * at + 2], 16).expect("hexadecimal");
    }
    image[CASES..CASES + 8].copy_from_slice(&(cases.len() as u64).to_be_bytes());
    assert!(CASES + 32 * (cases.len() + 1) <= RESULTS && RESULTS + 8 * cases.len() <= BLOCKS);
    for (row, case) in (CASES + 32..).step_by(32).zip(cases) {
        image[row..row + 4].copy_from_slice(&case.instruction.to_be_bytes());
        for (at, register) in (row + 8..).step_by(8).zip(case.registers) {
            image[at..at + 8].copy_from_slice(&register.to_be_bytes());
        }
        if let Some(block) = &case.block {
            let at = usize::try_from(case.registers[2]).expect("small");
            image[at..at + block.len()].copy_from_slice(block);
        }
    }
    image
}

fn run_qemu(image: &[u8]) -> io::Result<Vec<u8>> {
    let directory = Directory::new()?;
    let kernel = directory.file("image", image)?;
    let mut qemu = Qemu::start(&["-m", &MEMORY.to_string(), "-kernel", &kernel])?;
    qemu.execute_until(r#""cont""#, "GUEST_PANICKED")?;
    let memory = qemu.memory(image.len(), &directory)?;
    qemu.quit()?;
    Ok(memory)
}

/// A vCPU that executes nothing by itself.
#[derive(Debug)]
struct Cpu {
    state: CpuState,
    memory: GuestMemory,
    interruption: u32,
}

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
        let at = GuestAddress(operand.address);
        let done = match access {
            Access::Read(into) => self.memory.read_slice(into, at),
            Access::Write(from) => self.memory.write_slice(from, at),
            Access::CheckWrite(length) => self.memory.read_slice(&mut vec![0; length as usize], at),
        };
        if done.is_ok() {
            return Ok(Accessed::Done);
        }
        self.interruption = 5;
        Ok(Accessed::Interrupted)
    }
    fn inject(&mut self, interruption: Local) -> Result<()> {
        if let Local::Program { code } = interruption {
            self.interruption = code.into();
        }
        Ok(())
    }
    fn kicker(&self) -> Arc<dyn Kick> {
        unreachable!("nobody kicks it")
    }
}

/// Condition code and program interruption, as the guest program stores them.
fn run_here(case: &Case, css: &mut Css, cpu: &mut Cpu) -> (u32, u32) {
    [cpu.state.gprs[1], cpu.state.gprs[2], cpu.state.gprs[4]] = case.registers;
    cpu.state.psw.set_condition_code(2);
    cpu.interruption = 0;
    let [a, b, c, d] = case.instruction.to_be_bytes();
    let intercept = decode(0x04, u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, 0, 0]), &cpu.state);
    let Intercept::ChannelIo(io) = intercept else { panic!("{:#x}: {intercept:?}", case.instruction) };
    css.execute(io, cpu).expect("this host refuses nothing");
    match cpu.interruption {
        0 => (cpu.state.psw.condition_code().into(), 0),
        code => (0, code),
    }
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn channel_io_without_devices_answers_and_refuses_as_under_qemu() {
    let cases = cases();
    let image = image(&cases);
    let theirs = run_qemu(&image).expect("QEMU runs");
    let memory = allocate(MemorySize::mebibytes(MEMORY).expect("not zero")).expect("can be had");
    memory.write_slice(&image, GuestAddress(0)).expect("inside");
    let mut css = Css::default();
    let mut cpu = Cpu { state: CpuState::default(), memory: memory.clone(), interruption: 0 };
    for (row, case) in theirs[RESULTS..].chunks_exact(8).zip(&cases) {
        let word = |at| u32::from_be_bytes(row[at..at + 4].try_into().expect("four"));
        let Case { instruction, registers, .. } = case;
        let what = format!("{instruction:#x} {registers:x?}");
        assert_eq!(run_here(case, &mut css, &mut cpu), (word(0), word(4)), "{what}");
        let at = usize::try_from(registers[2]).expect("small");
        if case.block.is_some() {
            let mut page = vec![0; 4096];
            memory.read_slice(&mut page, GuestAddress(registers[2])).expect("inside");
            let (differs, their_page) = (page.iter().zip(&theirs[at..]), &theirs[at..at + 4096]);
            let first = differs.enumerate().find(|(_, (ours, theirs))| ours != theirs);
            assert_eq!(first, None, "{what}: {:x?}", &their_page[..64]);
        }
    }
}
