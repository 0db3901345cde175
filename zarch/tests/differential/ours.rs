//! Runs programs with the interpreter under test, in the state in which Linux would run them.

use adjunct_zarch::ap::Adjuncts;
use adjunct_zarch::environment::{Enabled, Floating, Machine};
use adjunct_zarch::psw::{ADDRESSING_64, PROBLEM, Psw, WAIT};
use adjunct_zarch::storage::{FlatStorage, Width};
use adjunct_zarch::{Cpu, Environment, IMPLEMENTED_FACILITIES, ProgramCode, Stop, Storage, instructions};

use crate::image::code;
use crate::program::{
    BATCH, DATA_LEN, End, Outcome, Program, Signal, Start, TABLE, body_address, data_address, table,
};

/// Enough for the longest interruptible instruction in the smallest steps.
const BUDGET: usize = 20_000;
/// Where the program-new PSW waits.
const INTERRUPTED: u64 = 0xdeac;

/// CR0 bit 45, on in Linux: floating-point registers and control register may be used.
const AFP_REGISTERS: u64 = 1 << 18;
/// Lowcore fields (Principles of Operation, chapter 3, "Assigned Storage Locations").
const PROGRAM_CODE: u64 = 0x8e;
const DATA_EXCEPTION_CODE: u64 = 0x93;
const PROGRAM_OLD_PSW: u64 = 0x150;
const PROGRAM_NEW_PSW: u64 = 0x1d0;

/// A configuration with every facility that there is here, and nothing around it.
pub(crate) struct Bare {
    facilities: [u8; 256],
    machine: Machine,
}

impl Bare {
    pub(crate) fn new() -> Self {
        let mut facilities = [0; 256];
        let of_rows = instructions().iter().filter_map(|row| row.facility.number());
        for facility in of_rows.chain(IMPLEMENTED_FACILITIES.iter().copied()) {
            facilities[usize::from(facility / 8)] |= 0x80 >> (facility % 8);
        }
        Self { facilities, machine: Machine::default() }
    }
}

impl Environment for Bare {
    fn facilities(&self) -> &[u8; 256] {
        &self.facilities
    }
    fn machine(&self) -> &Machine {
        &self.machine
    }
    fn cpu_address(&self) -> u16 {
        0
    }
    fn tod(&self) -> u64 {
        0
    }
    fn set_tod(&mut self, _: u64) {}
    fn take_floating(&mut self, _: Enabled) -> Option<Floating> {
        None
    }
    fn adjuncts(&mut self) -> Option<&mut dyn Adjuncts> {
        None
    }
}

/// Storage for whole batches.
pub(crate) struct Machinery {
    storage: FlatStorage,
    environment: Bare,
}

impl Machinery {
    pub(crate) fn new() -> Self {
        let storage = FlatStorage::new(data_address(BATCH) as usize);
        let stop = Psw::new(WAIT | ADDRESSING_64, INTERRUPTED).to_be_bytes();
        storage.write(PROGRAM_NEW_PSW, &stop).expect("the lowcore is inside");
        storage.write(TABLE, &table()).expect("the table is inside");
        Self { storage, environment: Bare::new() }
    }

    /// What the program leaves in its slot.
    ///
    /// # Errors
    /// It neither ends nor is interrupted as a program.
    pub(crate) fn outcome(&mut self, slot: usize, program: &Program) -> Result<Outcome, String> {
        self.run(slot, program, &program.start(slot))
    }

    /// The same from another start than the program's own.
    ///
    /// # Errors
    /// As [`Machinery::outcome`].
    pub(crate) fn run(&mut self, slot: usize, program: &Program, start: &Start) -> Result<Outcome, String> {
        self.put(body_address(slot), &code(program));
        self.put(data_address(slot), &start.data);
        let end = body_address(slot) + program.body.len() as u64;
        let mut cpu = Cpu::new();
        let mask = PROBLEM | ADDRESSING_64 | u64::from(start.cc_pm) << 40;
        cpu.state.psw = Psw::new(mask, body_address(slot));
        cpu.state.gprs = start.gprs;
        cpu.state.crs[0] |= AFP_REGISTERS;
        let mut steps = 0;
        while cpu.state.psw.address != end {
            match cpu.step(&self.storage, &mut self.environment) {
                Stop::Budget if steps < BUDGET => steps += 1,
                Stop::DisabledWait if cpu.state.psw.address == INTERRUPTED => {
                    return self.interrupted(slot, &cpu);
                }
                stop => return Err(format!("{stop:?} at {:x?} after {steps} steps", cpu.state.psw)),
            }
        }
        Ok(self.left(slot, &cpu, cpu.state.psw, End::Done))
    }

    fn interrupted(&self, slot: usize, cpu: &Cpu) -> Result<Outcome, String> {
        let mut old = [0; 16];
        self.storage.read(PROGRAM_OLD_PSW, &mut old).expect("the lowcore is inside");
        let fetch = |at, width| self.storage.load(at, width).expect("the lowcore is inside");
        let code = fetch(PROGRAM_CODE, Width::Half);
        let signal = signal(code, fetch(DATA_EXCEPTION_CODE, Width::Byte))?;
        Ok(self.left(slot, cpu, Psw::from_be_bytes(old), End::Signal(signal)))
    }

    fn left(&self, slot: usize, cpu: &Cpu, psw: Psw, end: End) -> Outcome {
        let mut data = [0; DATA_LEN];
        self.storage.read(data_address(slot), &mut data).expect("the data is inside");
        Outcome {
            end,
            address: matches!(end, End::Signal(Signal::Ill | Signal::Fpe)).then_some(psw.address),
            gprs: cpu.state.gprs,
            cc_pm: (psw.mask >> 40 & 0x3f) as u8,
            data,
        }
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.storage.write(address, bytes).expect("slots are inside");
    }
}

/// What Linux makes of a program-interruption code (`arch/s390/kernel/pgm_check.S` and `traps.c`).
fn signal(code: u64, dxc: u64) -> Result<Signal, String> {
    let is = |codes: &[ProgramCode]| codes.iter().any(|&c| c as u64 == code);
    if is(&[ProgramCode::Data]) {
        return Ok(if dxc == 0 { Signal::Ill } else { Signal::Fpe });
    }
    if is(&[ProgramCode::FixedPointDivide, ProgramCode::FixedPointOverflow]) {
        return Ok(Signal::Fpe);
    }
    if is(&[ProgramCode::Protection, ProgramCode::Addressing]) {
        return Ok(Signal::Segv);
    }
    let ill = [
        ProgramCode::Operation,
        ProgramCode::PrivilegedOperation,
        ProgramCode::Execute,
        ProgramCode::Specification,
        ProgramCode::SpecialOperation,
        ProgramCode::Operand,
    ];
    if is(&ill) { Ok(Signal::Ill) } else { Err(format!("program interruption {code:#x}")) }
}
