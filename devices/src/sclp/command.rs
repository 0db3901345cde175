//! Command words and response codes (`include/hw/s390x/sclp.h` of QEMU, `drivers/s390/char/sclp.h`
//! of Linux).

/// A command that this SCLP has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Command {
    ReadScpInfo = 0x0002_0001,
    ReadScpInfoForced = 0x0012_0001,
    ReadCpuInfo = 0x0001_0001,
    ConfigureAdapter = 0x001a_0001,
    DeconfigureAdapter = 0x001b_0001,
    WriteEventData = 0x0076_0005,
    ReadEventData = 0x0077_0005,
    WriteEventMask = 0x0078_0005,
}

impl Command {
    const ALL: [Self; 8] = [
        Self::ReadScpInfo,
        Self::ReadScpInfoForced,
        Self::ReadCpuInfo,
        Self::ConfigureAdapter,
        Self::DeconfigureAdapter,
        Self::WriteEventData,
        Self::ReadEventData,
        Self::WriteEventMask,
    ];

    /// The command of a command word. Its third byte belongs to the command's operands.
    pub(super) fn of(word: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|command| *command as u32 == word & 0xffff_00ff)
    }

    /// Whether this is one of the commands that may have an SCCB of more than a page, given the
    /// extended-length-SCCB facility.
    pub(super) fn reads_info(self) -> bool {
        matches!(self, Self::ReadScpInfo | Self::ReadScpInfoForced | Self::ReadCpuInfo)
    }
}

/// The response code that a guest finds in the SCCB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Response {
    /// What was asked for is in the SCCB.
    Read = 0x0010,
    /// Done.
    Done = 0x0020,
    /// The SCCB reaches into the next page.
    BoundaryViolation = 0x0100,
    /// No such command.
    InvalidCommand = 0x01f0,
    /// The SCCB is too short for the command.
    InsufficientLength = 0x0300,
    /// An event buffer could not be processed: equipment check.
    EquipmentCheck = 0x0340,
    /// No such type of I/O adapter.
    AdapterTypeNotRecognized = 0x06f0,
    /// The function code, or the type of an event buffer, is not known.
    InvalidFunction = 0x40f0,
    /// There is no event to read.
    NoEventBuffers = 0x60f0,
    /// Events were selected that the guest's receive mask does not have.
    InvalidSelectionMask = 0x70f0,
    /// Lengths inside the event buffers contradict each other.
    InconsistentLengths = 0x72f0,
    /// The lengths of the event buffers contradict the SCCB's.
    EventBufferSyntax = 0x73f0,
    /// No mask can have this length.
    InvalidMaskLength = 0x74f0,
}

impl Response {
    pub(super) fn code(self) -> u16 {
        self as u16
    }
}
