//! One run of a CPU: instruction fetch and dispatch, the PSW, effective addresses.

use crate::access::Access;
use crate::environment::Environment;
use crate::instruction::{self, Code};
use crate::interruption::{Loop, Pending, ProgramCode};
use crate::psw::{self, Psw};
use crate::run::{Absent, Cpu};
use crate::state::State;
use crate::storage::{OutsideStorage, Storage, Width};
use crate::table;

/// What keeps an instruction from ending as usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// A program interruption.
    Program(ProgramCode),
    /// The host has to do it.
    Intercept,
    /// Nobody here can.
    Unsupported(Absent),
    /// An interruption would be followed by itself for ever.
    Loop(Loop),
}

impl From<ProgramCode> for Trap {
    fn from(code: ProgramCode) -> Self {
        Self::Program(code)
    }
}

impl From<OutsideStorage> for Trap {
    fn from(_: OutsideStorage) -> Self {
        Self::Program(ProgramCode::Addressing)
    }
}

/// How an instruction ends.
pub(crate) type Done = Result<(), Trap>;

/// A specification exception.
pub(crate) const SPECIFICATION: Trap = Trap::Program(ProgramCode::Specification);

/// The CPU while it runs, with everything an instruction can reach.
pub(crate) struct Execution<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) pending: &'a mut Pending,
    pub(crate) storage: &'a dyn Storage,
    pub(crate) environment: &'a mut dyn Environment,
    timer_stood_at: &'a mut Option<u64>,
    /// Length of the current instruction in bytes; of EXECUTE when that led to it.
    pub(crate) length: &'a mut u8,
    /// The first 256 bits of the facility list.
    facilities: [u64; 4],
    /// The bits an address has in the current addressing mode.
    pub(crate) address_mask: u64,
    /// Where the current instruction is: the target when EXECUTE led to it. Relative operands count from here.
    pub(crate) instruction_address: u64,
    /// The current instruction.
    pub(crate) code: Code,
    /// Whether EXECUTE led to the current instruction.
    pub(crate) executing: bool,
    /// Something changed that decides on interruptions, on waiting, or on whether the CPU can run at all.
    pub(crate) attention: bool,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(
        cpu: &'a mut Cpu,
        storage: &'a dyn Storage,
        environment: &'a mut dyn Environment,
    ) -> Self {
        let list = environment.facilities();
        let facilities = std::array::from_fn(|word| {
            list[word * 8..word * 8 + 8].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
        });
        let tod = environment.tod();
        if let Some(since) = cpu.timer_stood_at {
            cpu.state.cpu_timer = cpu.state.cpu_timer.wrapping_sub(tod.wrapping_sub(since));
        }
        cpu.timer_stood_at = Some(tod);
        let mut execution = Self {
            address_mask: 0,
            state: &mut cpu.state,
            pending: &mut cpu.pending,
            timer_stood_at: &mut cpu.timer_stood_at,
            length: &mut cpu.last_length,
            storage,
            environment,
            facilities,
            instruction_address: 0,
            code: Code(0),
            executing: false,
            attention: true,
        };
        execution.addressing_mode_changed();
        execution
    }

    /// Ends the run; the CPU timer stops unless it is to go on while the CPU waits.
    pub(crate) fn finish(&mut self, timer_goes_on: bool) {
        self.cpu_timer();
        if !timer_goes_on {
            *self.timer_stood_at = None;
        }
    }

    /// Brings the CPU timer up to date and returns it.
    pub(crate) fn cpu_timer(&mut self) -> u64 {
        let tod = self.environment.tod();
        if let Some(since) = self.timer_stood_at.replace(tod) {
            self.state.cpu_timer = self.state.cpu_timer.wrapping_sub(tod.wrapping_sub(since));
        }
        self.state.cpu_timer
    }

    /// The CPU timer, as it is in the state, counts from now.
    pub(crate) fn restart_cpu_timer(&mut self) {
        *self.timer_stood_at = Some(self.environment.tod());
    }

    /// Whether a facility below 256 is on.
    #[inline]
    pub(crate) fn facility(&self, number: u16) -> bool {
        self.facilities.get(usize::from(number >> 6)).is_some_and(|word| word << (number & 63) >> 63 != 0)
    }

    pub(crate) fn prefix_usable(&self) -> bool {
        let prefix = u64::from(self.state.prefix);
        prefix & 0x1fff == 0 && prefix.checked_add(0x2000).is_some_and(|end| end <= self.storage.size())
    }

    // ---- Instructions ----

    /// Fetches the next instruction, advances the PSW past it, and executes it.
    #[inline]
    pub(crate) fn next_instruction(&mut self) -> Done {
        let address = self.state.psw.address;
        self.executing = false;
        let code = match self.fetch_instruction(address) {
            Ok(code) => code,
            Err(trap) => {
                // The length is not known: 2, as when the first halfword was there.
                *self.length = 2;
                self.state.psw.address = address.wrapping_add(2) & self.address_mask;
                return Err(trap);
            }
        };
        let length = instruction::length((code.0 >> 56) as u8);
        *self.length = length;
        self.instruction_address = address;
        self.state.psw.address = address.wrapping_add(u64::from(length)) & self.address_mask;
        self.dispatch(code)
    }

    #[inline]
    fn dispatch(&mut self, code: Code) -> Done {
        self.code = code;
        let Some(row) = table::find(code) else {
            return Err(table::not_in_table(code));
        };
        if let Some(number) = row.instruction.facility.number()
            && !self.facility(number)
        {
            return Err(ProgramCode::Operation.into());
        }
        if row.refuses_problem_state && self.state.psw.problem_state() {
            return Err(ProgramCode::PrivilegedOperation.into());
        }
        (row.execute)(self, code)
    }

    /// EXECUTE: the instruction at `address`, its second byte ORed with the lowest byte of `modifier`.
    pub(crate) fn execute(&mut self, address: u64, modifier: u64) -> Done {
        if self.executing {
            return Err(ProgramCode::Execute.into());
        }
        let code = self.fetch_instruction(address)?;
        self.executing = true;
        self.instruction_address = address;
        self.dispatch(Code(code.0 | (modifier & 0xff) << 48))
    }

    #[inline]
    fn fetch_instruction(&mut self, address: u64) -> Result<Code, Trap> {
        if address & 1 != 0 {
            return Err(SPECIFICATION);
        }
        if address & 0xfff <= 0xff8 {
            let absolute = self.translate(address, Access::Fetch)?;
            let bits = self.storage.load(absolute, Width::Double)?;
            let length = instruction::length((bits >> 56) as u8);
            return Ok(Code(bits & u64::MAX << (64 - 8 * u32::from(length))));
        }
        let mut bits = self.load(address, Width::Half)? << 48;
        let length = u64::from(instruction::length((bits >> 56) as u8));
        for offset in (2..length).step_by(2) {
            let next = address.wrapping_add(offset) & self.address_mask;
            bits |= self.load(next, Width::Half)? << (48 - 8 * offset);
        }
        Ok(Code(bits))
    }

    // ---- PSW ----

    #[inline(always)]
    pub(crate) fn set_cc(&mut self, code: u8) {
        self.state.psw.set_condition_code(code);
    }

    /// To be called after every change of the addressing-mode bits from outside.
    pub(crate) fn addressing_mode_changed(&mut self) {
        self.address_mask = self.state.psw.addressing_mode().address_mask();
    }

    /// Makes this the current PSW, valid or not; interruptions are looked at next.
    pub(crate) fn set_psw(&mut self, psw: Psw) {
        self.state.psw = psw;
        self.addressing_mode_changed();
        self.attention = true;
    }

    #[inline(always)]
    pub(crate) fn branch(&mut self, address: u64) {
        self.state.psw.address = address & self.address_mask;
    }

    /// Overflow of a fixed-point result: condition code 3, and a program interruption when the program mask says so.
    #[cold]
    pub(crate) fn fixed_point_overflow(&mut self) -> Done {
        self.set_cc(3);
        if self.state.psw.mask & psw::FIXED_POINT_OVERFLOW != 0 {
            return Err(ProgramCode::FixedPointOverflow.into());
        }
        Ok(())
    }

    // ---- Addresses ----

    /// Base and displacement.
    #[inline(always)]
    pub(crate) fn base(&self, base: usize, displacement: u64) -> u64 {
        self.index(base).wrapping_add(displacement) & self.address_mask
    }

    /// Base, index and displacement.
    #[inline(always)]
    pub(crate) fn indexed(&self, base: usize, index: usize, displacement: u64) -> u64 {
        self.index(base).wrapping_add(self.index(index)).wrapping_add(displacement) & self.address_mask
    }

    /// A register as base or index: register 0 means zero.
    #[inline(always)]
    fn index(&self, register: usize) -> u64 {
        if register == 0 { 0 } else { self.state.gprs[register] }
    }

    /// The address that a register holds.
    #[inline(always)]
    pub(crate) fn pointer(&self, register: usize) -> u64 {
        self.state.gprs[register] & self.address_mask
    }

    /// Puts an address into a register as LA, MVCL or CLCLE do: all 64 bits in 64-bit mode, else bits 32-63 with the
    /// bits left of the address zero.
    #[inline]
    pub(crate) fn set_pointer(&mut self, register: usize, address: u64) {
        let kept = if self.address_mask == u64::MAX { 0 } else { 0xffff_ffff_0000_0000 };
        let gpr = &mut self.state.gprs[register];
        *gpr = *gpr & kept | address & self.address_mask;
    }

    /// Puts the address of a byte that was found into GR1, as TRT and EDMK do: in 24-bit mode bits 32-39 stay.
    pub(crate) fn set_found(&mut self, address: u64) {
        let gpr = &mut self.state.gprs[1];
        *gpr = match self.address_mask {
            u64::MAX => address,
            0xff_ffff => *gpr & !0xff_ffff | address,
            _ => *gpr & !0xffff_ffff | address,
        };
    }

    /// A length or count in a register: 64 bits in 64-bit mode, else bits 32-63.
    pub(crate) fn count(&self, register: usize) -> u64 {
        self.state.gprs[register] & self.count_mask()
    }

    /// Puts a length or count into a register; bits 0-31 stay unless in 64-bit mode.
    pub(crate) fn set_count(&mut self, register: usize, count: u64) {
        let mask = self.count_mask();
        let gpr = &mut self.state.gprs[register];
        *gpr = *gpr & !mask | count & mask;
    }

    fn count_mask(&self) -> u64 {
        if self.address_mask == u64::MAX { u64::MAX } else { 0xffff_ffff }
    }
}
