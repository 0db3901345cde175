//! Guest memory as an instruction designates it: not by where it is, but by what the CPU makes of an address.

/// Where an instruction's operand is: a logical address, for the addressing mode, the translation and the protection of
/// the CPU whose instruction it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operand {
    /// The logical address, as computed from registers and displacement.
    pub address: u64,
    /// Number of the access register that goes with it, 0 to 15: that of the base register.
    pub access_register: u8,
}

/// What is done there.
#[derive(Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// Read so many bytes.
    Read(&'a mut [u8]),
    /// Write these bytes.
    Write(&'a [u8]),
    /// Write nothing, but see whether so many bytes could be written.
    CheckWrite(u32),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an interrupted instruction must be suppressed"]
pub enum Accessed {
    /// It is done.
    Done,
    /// The guest may not, or there is nothing: it gets a program interruption, which is pending already. The instruction
    /// must have no other effect.
    Interrupted,
}
