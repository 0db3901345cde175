//! A private copy of a service call control block.
//!
//! ```text
//! 0  u16 length   2 function code   3 control mask, 3 bytes   6 u16 response code   8 data
//! ```

use super::command::Response;
use crate::ProgramInterruption;
use adjunct_hypervisor::GuestMemory;
use vm_memory::{Bytes, GuestAddress};

/// The copy. It is as long as the guest said before the command began; all access is checked against
/// that, so that no length inside can lead out of it.
#[derive(Debug)]
pub(super) struct Sccb {
    bytes: Vec<u8>,
}

impl Sccb {
    /// Length of the header.
    pub(super) const HEADER: usize = 8;
    /// In the third byte of the control mask: the length may be changed to that of the response.
    const VARIABLE_LENGTH: u8 = 0x80;

    /// Reads the SCCB at `address`: addressing exception if it is not all in memory, specification
    /// exception if its length does not cover the header.
    pub(super) fn read(memory: &GuestMemory, address: GuestAddress) -> Result<Self, ProgramInterruption> {
        let mut header = [0; Self::HEADER];
        memory.read_slice(&mut header, address).map_err(|_| ProgramInterruption::Addressing)?;
        let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
        if length < Self::HEADER {
            return Err(ProgramInterruption::Specification);
        }
        let mut bytes = vec![0; length];
        memory.read_slice(&mut bytes, address).map_err(|_| ProgramInterruption::Addressing)?;
        // Another CPU may have changed the header in between.
        bytes[..Self::HEADER].copy_from_slice(&header);
        Ok(Self { bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length in bytes, at least 8.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn function_code(&self) -> u8 {
        self.bytes[2]
    }

    pub(super) fn has_variable_length(&self) -> bool {
        self.bytes[5] & Self::VARIABLE_LENGTH != 0
    }

    pub(super) fn clear_variable_length(&mut self) {
        self.bytes[5] &= !Self::VARIABLE_LENGTH;
    }

    /// Tells the guest a length; the copy keeps its own.
    pub(super) fn set_length(&mut self, length: u16) {
        self.bytes[..2].copy_from_slice(&length.to_be_bytes());
    }

    pub(super) fn respond(&mut self, response: Response) {
        self.bytes[6..8].copy_from_slice(&response.code().to_be_bytes());
    }

    /// What follows the header.
    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[Self::HEADER..]
    }

    /// `length` bytes at `offset`, if the SCCB has them.
    pub(super) fn get(&self, offset: usize, length: usize) -> Option<&[u8]> {
        self.bytes.get(offset..offset.checked_add(length)?)
    }

    /// Stores `field` at `offset`; what lies beyond the SCCB is not stored.
    pub(super) fn put(&mut self, offset: usize, field: &[u8]) {
        let room = self.bytes.get_mut(offset..).unwrap_or_default();
        let length = room.len().min(field.len());
        room[..length].copy_from_slice(&field[..length]);
    }
}
