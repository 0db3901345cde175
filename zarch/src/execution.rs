//! One run of a CPU: instruction fetch and dispatch, effective addresses, and the one way to storage, through which
//! prefixing and protection go (and through which translation will go).

use crate::environment::Environment;
use crate::instruction::{self, Code};
use crate::interruption::{Loop, Pending, ProgramCode};
use crate::psw::{self, Psw};
use crate::run::{Absent, Cpu};
use crate::state::State;
use crate::storage::{OutsideStorage, Storage, StorageKeys, Width};
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

/// Why storage is touched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Fetch,
    Store,
}

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

    // ---- Storage ----

    /// The absolute address of a logical one, for an access that does not cross a 4096-byte boundary.
    ///
    /// DEVNOTE: every access to a storage operand or instruction comes through here. Translation goes in front of
    /// prefixing; the protection checks are on what the program said and on the block it leads to.
    #[inline(always)]
    pub(crate) fn translate(&self, logical: u64, access: Access) -> Result<u64, Trap> {
        if access == Access::Store {
            self.check_low_address(logical)?;
        }
        let absolute = self.prefixed(logical);
        if self.state.psw.mask & psw::KEY != 0 {
            self.check_key(absolute, access, self.state.psw.key())?;
        }
        Ok(absolute)
    }

    /// Real to absolute.
    #[inline(always)]
    pub(crate) fn prefixed(&self, real: u64) -> u64 {
        let prefix = u64::from(self.state.prefix);
        match real & !0x1fff {
            0 => real | prefix,
            block if block == prefix => real & 0x1fff,
            _ => real,
        }
    }

    /// Low-address protection: CR0 bit 35, effective addresses 0-511 and 4096-4607.
    #[inline(always)]
    pub(crate) fn check_low_address(&self, effective: u64) -> Done {
        if effective & !0x11ff == 0 && self.state.crs[0] & 0x1000_0000 != 0 {
            return Err(ProgramCode::Protection.into());
        }
        Ok(())
    }

    /// Key-controlled protection, with the overrides of CR0: storage-protection override (bit 39) and fetch-protection
    /// override (bit 38).
    #[cold]
    pub(crate) fn check_key(&self, absolute: u64, access: Access, key: u8) -> Done {
        let storage_key = self.storage.keys().get(absolute)?;
        let cr0 = self.state.crs[0];
        let allowed = key == 0
            || storage_key >> 4 == key
            || access == Access::Fetch
                && (storage_key & StorageKeys::FETCH_PROTECTED == 0
                    || cr0 & 0x0200_0000 != 0 && absolute < 2048)
            || cr0 & 0x0100_0000 != 0 && storage_key >> 4 == 9;
        if allowed { Ok(()) } else { Err(ProgramCode::Protection.into()) }
    }

    #[inline(always)]
    pub(crate) fn load(&mut self, address: u64, width: Width) -> Result<u64, Trap> {
        if address & 0xfff > 0x1000 - width.bytes() as u64 {
            return self.load_across(address, width);
        }
        let absolute = self.translate(address, Access::Fetch)?;
        Ok(self.storage.load(absolute, width)?)
    }

    #[cold]
    fn load_across(&mut self, address: u64, width: Width) -> Result<u64, Trap> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes[8 - width.bytes()..])?;
        Ok(u64::from_be_bytes(bytes))
    }

    #[inline(always)]
    pub(crate) fn store(&mut self, address: u64, width: Width, value: u64) -> Done {
        if address & 0xfff > 0x1000 - width.bytes() as u64 {
            return self.write(address, &value.to_be_bytes()[8 - width.bytes()..]);
        }
        let absolute = self.translate(address, Access::Store)?;
        Ok(self.storage.store(absolute, width, value)?)
    }

    #[inline]
    pub(crate) fn byte(&mut self, address: u64) -> Result<u8, Trap> {
        Ok(self.load(address & self.address_mask, Width::Byte)? as u8)
    }

    #[inline]
    pub(crate) fn set_byte(&mut self, address: u64, value: u8) -> Done {
        self.store(address & self.address_mask, Width::Byte, u64::from(value))
    }

    /// Reads any number of bytes; addresses wrap as the addressing mode has it.
    pub(crate) fn read(&mut self, address: u64, buffer: &mut [u8]) -> Done {
        let mut address = address & self.address_mask;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(rest.len().min(to_boundary(address)));
            let absolute = self.translate(address, Access::Fetch)?;
            self.storage.read(absolute, now)?;
            address = address.wrapping_add(now.len() as u64) & self.address_mask;
            rest = later;
        }
        Ok(())
    }

    /// Writes any number of bytes, or none when some of them may not be stored to.
    pub(crate) fn write(&mut self, address: u64, data: &[u8]) -> Done {
        if data.len() > to_boundary(address & self.address_mask) {
            self.check_store(address, data.len())?;
        }
        let mut address = address & self.address_mask;
        let mut rest = data;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(to_boundary(address)));
            let absolute = self.translate(address, Access::Store)?;
            self.storage.write(absolute, now)?;
            address = address.wrapping_add(now.len() as u64) & self.address_mask;
            rest = later;
        }
        Ok(())
    }

    /// Whether all of these bytes may be stored to.
    pub(crate) fn check_store(&mut self, address: u64, length: usize) -> Done {
        let mut address = address & self.address_mask;
        let mut left = length;
        while left > 0 {
            let now = left.min(to_boundary(address));
            if self.translate(address, Access::Store)? >= self.storage.size() {
                return Err(ProgramCode::Addressing.into());
            }
            address = address.wrapping_add(now as u64) & self.address_mask;
            left -= now;
        }
        Ok(())
    }
}

/// Bytes from here to the next 4096-byte boundary.
#[inline]
pub(crate) fn to_boundary(address: u64) -> usize {
    0x1000 - (address & 0xfff) as usize
}
