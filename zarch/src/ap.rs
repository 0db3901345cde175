//! Adjunct processors: the trait an embedder gives its queues through, and the AP instructions against it.

/// The AP masks of one guest as SIE finds them in its CRYCB; bit 0 is leftmost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apcb {
    /// Adapters.
    pub apm: [u8; 32],
    /// Usage domains.
    pub aqm: [u8; 32],
    /// Control domains.
    pub adm: [u8; 32],
}

impl Apcb {
    /// Whether the queue of this APQN (adapter in the high byte) is the guest's.
    #[must_use]
    pub const fn has(&self, apqn: u16) -> bool {
        const fn bit(mask: &[u8; 32], number: u8) -> bool {
            mask[(number >> 3) as usize] & 0x80 >> (number & 7) != 0
        }
        bit(&self.apm, (apqn >> 8) as u8) && bit(&self.aqm, (apqn & 0xff) as u8)
    }
}

/// What PQAP(QCI) tells of the machine besides the masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The flags word at offset 0 of the block: APSC 0x80000000, APXA 0x40000000, QACT 0x20000000, RC8A 0x10000000.
    pub flags: u32,
    /// Highest adapter number, offset 4.
    pub na: u8,
    /// Highest domain number, offset 5.
    pub nd: u8,
}

impl Configuration {
    /// Flag of the AP extended addressing facility.
    pub const APXA: u32 = 0x4000_0000;
    /// Flag of the function QACT.
    pub const QACT: u32 = 0x2000_0000;
}

/// The AP-queue status word, as the low half of GR1 has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus(pub u32);

impl QueueStatus {
    /// The queue is empty.
    pub const EMPTY: u32 = 0x8000_0000;
    /// Replies are waiting.
    pub const REPLIES_WAITING: u32 = 0x4000_0000;
    /// The queue is full.
    pub const FULL: u32 = 0x2000_0000;
    /// Interruptions are enabled.
    pub const INTERRUPTIONS: u32 = 0x0100_0000;

    /// A status of this response code and no flags.
    #[must_use]
    pub const fn response(code: u8) -> Self {
        Self((code as u32) << 16)
    }

    /// The response code, bits 8-15.
    #[must_use]
    pub const fn code(self) -> u8 {
        (self.0 >> 16 & 0xff) as u8
    }
}

/// What DQAP takes out of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyPart {
    /// The identifier of the request this replies to.
    pub psmid: u64,
    /// As many bytes of the reply as fit.
    pub data: Vec<u8>,
    /// Bytes of the reply that are still in the queue: the next DQAP goes on with them.
    pub residual: u64,
}

/// The AP queues behind a guest. Methods are asked only for APQNs within the masks of [`Adjuncts::apcb`]; the
/// rest the interpreter answers with response code 01 itself. An APQN has its adapter in the high byte.
pub trait Adjuncts {
    /// The guest's masks, read for each instruction.
    fn apcb(&self) -> Apcb;

    /// Flags and limits of the machine.
    fn configuration(&self) -> Configuration;

    /// TAPQ: the status, and what GR2 gets (0 where the response code says there is nothing to tell).
    fn test(&mut self, apqn: u16) -> (QueueStatus, u64);

    /// RAPQ.
    fn reset(&mut self, apqn: u16) -> QueueStatus;

    /// ZAPQ.
    fn zeroize(&mut self, apqn: u16) -> QueueStatus;

    /// QACT: `query` is GR1; the status, and what GR2 gets.
    fn query_type(&mut self, apqn: u16, query: u64) -> (QueueStatus, u64);

    /// NQAP: puts a request into the queue; `special` is the special-command bit of GR0.
    fn enqueue(&mut self, apqn: u16, psmid: u64, message: &[u8], special: bool) -> QueueStatus;

    /// DQAP: takes up to `room` bytes of the next reply. The part is there when the response code is 00.
    fn dequeue(&mut self, apqn: u16, room: usize) -> (QueueStatus, Option<ReplyPart>);
}
