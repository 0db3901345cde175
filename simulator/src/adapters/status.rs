//! The AP-queue status word, as AP instructions leave it in the low half of general register 1.

use std::fmt;

/// Response codes (`arch/s390/include/asm/ap.h`: `AP_RESPONSE_*`), those that this hardware gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Response {
    /// Done.
    Normal = 0x00,
    /// There is no such queue.
    NotAvailable = 0x01,
    /// A reset is under way.
    ResetInProgress = 0x02,
    /// The adapter is configured off.
    Deconfigured = 0x03,
    /// The adapter is checkstopped.
    Checkstopped = 0x04,
    /// AQIC: the notification-indicator byte can't be used.
    InvalidAddress = 0x06,
    /// AQIC: interruptions already are as asked for.
    OtherwiseChanged = 0x07,
    /// NQAP: the queue is full. DQAP: there is no reply.
    FullOrEmpty = 0x10,
    /// NQAP: the message is longer than the adapter takes.
    MessageTooBig = 0x15,
}

/// The status word (`arch/s390/include/asm/ap.h: struct ap_queue_status`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct QueueStatus(u32);

impl QueueStatus {
    const EMPTY: u32 = 0x8000_0000;
    const REPLIES_WAITING: u32 = 0x4000_0000;
    const FULL: u32 = 0x2000_0000;
    const INTERRUPTIONS: u32 = 0x0100_0000;

    /// A status of this response code, and no flag.
    pub const fn response(response: Response) -> Self {
        Self((response as u32) << 16)
    }

    /// The status that is this word in GR1.
    pub(crate) const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The word as it is in GR1.
    pub const fn word(self) -> u32 {
        self.0
    }

    /// The response code, bits 8-15 of the word.
    pub const fn code(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// Whether the response code is `response`.
    pub const fn is(self, response: Response) -> bool {
        self.code() == response as u8
    }

    /// No message and no reply is in the queue.
    pub const fn queue_empty(self) -> bool {
        self.0 & Self::EMPTY != 0
    }

    /// A reply can be dequeued.
    pub const fn replies_waiting(self) -> bool {
        self.0 & Self::REPLIES_WAITING != 0
    }

    /// No other message fits.
    pub const fn queue_full(self) -> bool {
        self.0 & Self::FULL != 0
    }

    /// Interruptions are enabled.
    pub const fn interruptions_enabled(self) -> bool {
        self.0 & Self::INTERRUPTIONS != 0
    }

    pub(super) fn with(response: Response, flags: Flags) -> Self {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        Self(
            Self::response(response).0
                | bit(flags.empty, Self::EMPTY)
                | bit(flags.replies_waiting, Self::REPLIES_WAITING)
                | bit(flags.full, Self::FULL)
                | bit(flags.interruptions, Self::INTERRUPTIONS),
        )
    }
}

/// What the status word says of the queue itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) empty: bool,
    pub(super) replies_waiting: bool,
    pub(super) full: bool,
    pub(super) interruptions: bool,
}

impl fmt::Debug for QueueStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_word_has_the_layout_of_the_machine() {
        let flags = Flags { empty: true, replies_waiting: false, full: false, interruptions: true };
        let status = QueueStatus::with(Response::OtherwiseChanged, flags);
        assert_eq!(status.word(), 0x8107_0000);
        assert!(status.is(Response::OtherwiseChanged) && status.queue_empty() && !status.queue_full());
        let flags = Flags { empty: false, replies_waiting: true, full: true, interruptions: false };
        assert_eq!(QueueStatus::with(Response::FullOrEmpty, flags).word(), 0x6010_0000);
    }
}
