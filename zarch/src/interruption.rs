//! Interruptions: program exceptions and their codes, old and new PSWs in the lowcore, and the order in which what
//! is pending is taken.


/// Program-interruption codes (Principles of Operation, figure 6-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ProgramCode {
    /// Operation exception.
    Operation = 0x01,
    /// Privileged-operation exception.
    PrivilegedOperation = 0x02,
    /// Execute exception.
    Execute = 0x03,
    /// Protection exception.
    Protection = 0x04,
    /// Addressing exception.
    Addressing = 0x05,
    /// Specification exception.
    Specification = 0x06,
    /// Data exception.
    Data = 0x07,
    /// Fixed-point-overflow exception.
    FixedPointOverflow = 0x08,
    /// Fixed-point-divide exception.
    FixedPointDivide = 0x09,
    /// Decimal-overflow exception.
    DecimalOverflow = 0x0a,
    /// Decimal-divide exception.
    DecimalDivide = 0x0b,
    /// Special-operation exception.
    SpecialOperation = 0x13,
    /// Operand exception.
    Operand = 0x15,
    /// Monitor event.
    Monitor = 0x40,
}

/// Interruptions pending at one CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// A program interruption that the embedder asks for, such as the operation exception for an intercepted
    /// instruction that nobody has.
    pub(crate) program: Option<ProgramCode>,
    pub(crate) restart: bool,
    /// Addresses of the CPUs that sent an emergency signal, one each.
    pub(crate) emergency: Vec<u16>,
    pub(crate) external_call: Option<u16>,
}
