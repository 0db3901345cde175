//! The one way of a program to storage: prefixing and protection go through it, and translation will. So does an embedder
//! that executes an instruction for the program.

use crate::environment::Environment;
use crate::execution::{Done, Execution, Trap};
use crate::interruption::ProgramCode;
use crate::psw;
use crate::run::Cpu;
use crate::storage::{Storage, StorageKeys, Width};

/// Why storage is touched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Fetch,
    Store,
}

/// Storage operands of the instruction that was intercepted last, for an embedder that executes it: all is as if the
/// program had touched them. The program interruption, if one is answered, is for the embedder to make pending.
impl Cpu {
    /// Reads bytes from the logical address `address` on.
    ///
    /// # Errors
    /// The program interruption that the CPU would recognise.
    pub fn read_operand(
        &mut self,
        storage: &dyn Storage,
        environment: &mut dyn Environment,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), ProgramCode> {
        self.touch(storage, environment, |execution| execution.read(address, buffer))
    }

    /// Writes bytes from the logical address `address` on, or none of them.
    ///
    /// # Errors
    /// As [`Cpu::read_operand`].
    pub fn write_operand(
        &mut self,
        storage: &dyn Storage,
        environment: &mut dyn Environment,
        address: u64,
        data: &[u8],
    ) -> Result<(), ProgramCode> {
        self.touch(storage, environment, |execution| execution.write(address, data))
    }

    /// Whether `length` bytes could be written from the logical address `address` on.
    ///
    /// # Errors
    /// As [`Cpu::read_operand`].
    pub fn check_operand(
        &mut self,
        storage: &dyn Storage,
        environment: &mut dyn Environment,
        address: u64,
        length: usize,
    ) -> Result<(), ProgramCode> {
        self.touch(storage, environment, |execution| execution.check_store(address, length))
    }

    fn touch(
        &mut self,
        storage: &dyn Storage,
        environment: &mut dyn Environment,
        how: impl FnOnce(&mut Execution<'_>) -> Done,
    ) -> Result<(), ProgramCode> {
        let mut execution = Execution::new(self, storage, environment);
        let done = how(&mut execution);
        execution.finish(false);
        match done {
            Err(Trap::Program(code)) => Err(code),
            // Storage has no other traps.
            _ => Ok(()),
        }
    }
}

impl Execution<'_> {
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
