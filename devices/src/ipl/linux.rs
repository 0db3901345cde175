//! What Linux wants from its loader (`arch/s390/include/asm/setup.h: struct parmarea`, 6.12; QEMU: `hw/s390x/ipl.c`).

use super::image::{LoadError, end_of};
use adjunct_hypervisor::GuestMemory;
use vm_memory::{Bytes, GuestAddress};

/// Where a Linux image is entered.
pub(super) const ENTRY: u64 = 0x1_0000;
/// Entry point in the ELF files of old kernels, which is not to be used.
const OLD_ELF_ENTRY: u64 = 0x800;
const MAGIC_ADDRESS: u64 = 0x1_0008;
const MAGIC: [u8; 6] = *b"S390EP";

/// The parameter area.
mod parameters {
    pub(super) const INITRD_START: u64 = 0x1_0408;
    pub(super) const INITRD_SIZE: u64 = 0x1_0410;
    pub(super) const MAX_COMMAND_LINE_SIZE: u64 = 0x1_0430;
    pub(super) const COMMAND_LINE: u64 = 0x1_0480;
}

/// Room for the command line, with its NUL, in kernels that do not say (`LEGACY_COMMAND_LINE_SIZE`).
const OLD_COMMAND_LINE_SIZE: u64 = 896;
const INITRD: u64 = 0x80_0000;
const MIB: u64 = 1 << 20;

/// Whether what is loaded up to `end` and entered at `entry` is Linux with a parameter area.
pub(super) fn is_linux(memory: &GuestMemory, entry: u64, end: u64) -> bool {
    let mut magic = [0; MAGIC.len()];
    (entry == ENTRY || entry == OLD_ELF_ENTRY)
        && end > parameters::COMMAND_LINE
        && memory.read_slice(&mut magic, GuestAddress(MAGIC_ADDRESS)).is_ok()
        && magic == MAGIC
}

/// A Linux kernel in memory.
pub(super) struct Linux<'a> {
    pub(super) memory: &'a GuestMemory,
    pub(super) kernel_end: u64,
}

impl Linux<'_> {
    /// Stores the command line with its NUL.
    pub(super) fn put_command_line(&self, line: &str) -> Result<(), LoadError> {
        if line.contains('\0') {
            return Err(LoadError::CommandLineWithNul);
        }
        let maximum = match self.read(parameters::MAX_COMMAND_LINE_SIZE) {
            0 => OLD_COMMAND_LINE_SIZE,
            size => size,
        } - 1;
        let too_long = || LoadError::CommandLineTooLong { length: line.len(), maximum };
        if line.len() as u64 > maximum {
            return Err(too_long());
        }
        let bytes = [line.as_bytes(), &[0]].concat();
        self.memory.write_slice(&bytes, GuestAddress(parameters::COMMAND_LINE)).map_err(|_| too_long())
    }

    /// Stores the initrd at 8 MiB, or in steps of 1 MiB higher, until 1 MiB is free behind the kernel.
    pub(super) fn put_initrd(&self, initrd: &[u8]) -> Result<(), LoadError> {
        let start = INITRD.max(self.kernel_end.saturating_add(MIB).next_multiple_of(MIB));
        let end = start.saturating_add(initrd.len() as u64);
        let too_large = || LoadError::InitrdTooLarge { end, memory: end_of(self.memory) };
        self.memory.write_slice(initrd, GuestAddress(start)).map_err(|_| too_large())?;
        self.write(parameters::INITRD_START, start).ok_or_else(too_large)?;
        self.write(parameters::INITRD_SIZE, initrd.len() as u64).ok_or_else(too_large)
    }

    fn read(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read_slice(&mut bytes, GuestAddress(address)).map_or(0, |()| u64::from_be_bytes(bytes))
    }

    fn write(&self, address: u64, value: u64) -> Option<()> {
        self.memory.write_slice(&value.to_be_bytes(), GuestAddress(address)).ok()
    }
}
