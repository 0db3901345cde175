//! One AP queue: messages on their way, replies, a reset under way, interruptions.

use super::status::{Flags, QueueStatus, Response};
use std::{collections::VecDeque, fmt::Debug, sync::Arc};

/// Who is told that a reply has arrived: on hardware the machine sets the notification-indicator byte and the bit
/// of the GISC in the guest's GISA.
///
/// Called with no lock of the adapters held, on the thread whose AP instruction (or whose
/// [`SimHost::advance`](crate::SimHost::advance)) found the reply there. It must not wait for a lock that a caller
/// of queue operations may hold.
pub trait InterruptSink: Debug + Send + Sync {
    /// A reply is there: the byte at absolute address `nib` of the guest, and its interruption subclass `isc`.
    fn notify(&self, nib: u64, isc: u8);
}

/// How a queue interrupts.
#[derive(Clone, Debug)]
pub struct Interruption {
    /// Absolute address of the notification-indicator byte.
    pub nib: u64,
    /// Interruption subclass, 0 to 7.
    pub isc: u8,
    /// Whom to tell; `None` when it is the host itself, which polls.
    pub sink: Option<Arc<dyn InterruptSink>>,
}

#[derive(Debug)]
struct Message {
    psmid: u64,
    data: Vec<u8>,
    /// Bytes already dequeued.
    taken: usize,
    /// When the reply is there, in nanoseconds of the host's clock.
    ready: u64,
    announced: bool,
}

/// What DQAP takes out of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyPart {
    /// The identifier of the request this replies to.
    pub psmid: u64,
    /// As many bytes of the reply as fit.
    pub data: Vec<u8>,
    /// Bytes of the reply that are still in the queue: the next DQAP goes on with them.
    pub residual: usize,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Message>,
    reset_until: u64,
    interruption: Option<Interruption>,
    /// A reset of this queue never ends.
    pub(super) stuck: bool,
}

impl Queue {
    pub(super) fn resetting(&self, now: u64) -> bool {
        now < self.reset_until || (self.stuck && self.reset_until > 0)
    }

    pub(super) fn status(&self, response: Response, depth: u8, now: u64) -> QueueStatus {
        let flags = Flags {
            empty: self.messages.is_empty(),
            replies_waiting: self.messages.front().is_some_and(|message| message.ready <= now),
            full: self.messages.len() >= usize::from(depth),
            interruptions: self.interruption.is_some(),
        };
        QueueStatus::with(response, flags)
    }

    /// Forgets messages, replies and interruptions. Zeroizing differs only in what it does to keys, and there are
    /// none.
    pub(super) fn reset(&mut self, until: u64) {
        self.messages.clear();
        self.interruption = None;
        self.reset_until = until;
    }

    pub(super) fn enqueue(&mut self, psmid: u64, data: &[u8], depth: u8, ready: u64) -> Response {
        if self.messages.len() >= usize::from(depth) {
            return Response::FullOrEmpty;
        }
        self.messages.push_back(Message { psmid, data: data.to_vec(), taken: 0, ready, announced: false });
        Response::Normal
    }

    pub(super) fn dequeue(&mut self, room: usize, now: u64) -> Option<ReplyPart> {
        let message = self.messages.front_mut().filter(|message| message.ready <= now)?;
        let rest = &message.data[message.taken..];
        let data = rest[..room.min(rest.len())].to_vec();
        message.taken += data.len();
        let (psmid, residual) = (message.psmid, rest.len() - data.len());
        if residual == 0 {
            self.messages.pop_front();
        }
        Some(ReplyPart { psmid, data, residual })
    }

    pub(super) fn set_interruption(&mut self, interruption: Option<Interruption>) -> Response {
        if self.interruption.is_some() == interruption.is_some() {
            return Response::OtherwiseChanged;
        }
        self.interruption = interruption;
        Response::Normal
    }

    /// Whether there is somebody to tell of replies.
    pub(super) fn tells(&self) -> bool {
        self.interruption.as_ref().is_some_and(|interruption| interruption.sink.is_some())
    }

    /// When the next reply arrives that nobody was told of.
    pub(super) fn next_reply(&self) -> Option<u64> {
        self.messages.iter().filter(|message| !message.announced).map(|message| message.ready).min()
    }

    /// The interruption that is due, once for each time replies arrive.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Interruption> {
        let mut due = false;
        for message in self.messages.iter_mut().filter(|message| message.ready <= now) {
            due |= !message.announced;
            message.announced = true;
        }
        self.interruption.clone().filter(|_| due)
    }
}
