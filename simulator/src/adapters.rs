//! The crypto hardware: adapters and their queues, as AP instructions find them.
//!
//! No cryptography is simulated. Every adapter answers a message by echoing it under its PSMID, which shows that
//! the message went to this queue and came back, and nothing else. The module knows no driver, no mask of a bus
//! and no guest: which queues a guest may reach is for SIE (crate `adjunct-zarch`) to decide before it asks here.

mod card;
mod machine;
mod queue;
mod status;

pub use card::Card;
pub(crate) use card::function;
pub use machine::{ApFacilities, Machine, Qci};
pub use queue::{InterruptSink, Interruption, ReplyPart};
pub use status::{QueueStatus, Response};

use crate::Clock;
use adjunct_ap::Apqn;
use machine::Reached;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What TAPQ and QACT answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The status word.
    pub status: QueueStatus,
    /// What GR2 gets: there for response codes 00, 02, 03 and 04, else 0. Layout as `struct ap_tapq_hwinfo` in
    /// `arch/s390/include/asm/ap.h`.
    pub info: u64,
}

/// A handle to the crypto hardware of one host. Clones share it.
///
/// It has a lock of its own, taken last: after the host's and after any VM's. It is never held while somebody else
/// is called.
#[derive(Clone, Debug)]
pub struct Adapters {
    machine: Arc<Mutex<Machine>>,
    clock: Clock,
}

impl Adapters {
    /// How far an AP instruction moves the clock.
    pub const INSTRUCTION: Duration = Duration::from_micros(10);

    /// The hardware of `machine`.
    pub fn new(machine: Machine, clock: Clock) -> Self {
        Self { machine: Arc::new(Mutex::new(machine)), clock }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the hardware, or changes it as an operator does. No other method of the handle may be used inside.
    pub fn operate<R>(&self, operator: impl FnOnce(&mut Machine) -> R) -> R {
        operator(&mut self.machine())
    }

    /// PQAP(QCI): the configuration of the host; `None` without facility 12.
    pub fn query_configuration(&self) -> Option<Qci> {
        self.machine().qci()
    }

    /// PQAP(TAPQ), with the T bit where the machine has facility 15; else nothing is told of the adapter.
    pub fn test(&self, apqn: Apqn) -> Tested {
        self.instruction(|machine, now| {
            let (max_domain, tells) = (machine.max_domain, machine.facilities.test);
            match machine.reach(apqn, now) {
                Reached::Gone => Tested { status: Reached::gone(), info: 0 },
                Reached::There { card, queue, response } => Tested {
                    status: queue.status(response, card.depth, now),
                    info: if tells { card.tapq_info(max_domain) } else { 0 },
                },
            }
        })
    }

    /// PQAP(QACT), query AP compatibility type: which type the adapter of `apqn` can stand for to software that
    /// knows types up to the one in bits 32-39 of `query`. The answer has the same layout.
    pub fn query_type(&self, apqn: Apqn, query: u64) -> Tested {
        self.on_queue(apqn, |card, queue, now| {
            let [_, _, _, _, known, ..] = query.to_be_bytes();
            let kind = card.hardware_type.min(known);
            let info = query & !0xff00_0000 | u64::from(kind) << 24;
            Tested { status: queue.status(Response::Normal, card.depth, now), info }
        })
        .unwrap_or_else(|status| Tested { status, info: 0 })
    }

    /// PQAP(RAPQ): resets a queue; response code 02 from then on until the reset is done.
    pub fn reset(&self, apqn: Apqn) -> QueueStatus {
        self.instruction(|machine, now| {
            let reset_time = u64::try_from(machine.reset_time.as_nanos()).unwrap_or(u64::MAX);
            match machine.reach(apqn, now) {
                Reached::Gone => Reached::gone(),
                Reached::There { card, queue, response: Response::Normal } => {
                    queue.reset(now.saturating_add(reset_time));
                    queue.status(Response::Normal, card.depth, now)
                }
                Reached::There { card, queue, response } => queue.status(response, card.depth, now),
            }
        })
    }

    /// PQAP(ZAPQ): resets a queue and clears what the adapter keeps for it. There are no keys here to clear.
    pub fn zeroize(&self, apqn: Apqn) -> QueueStatus {
        self.reset(apqn)
    }

    /// NQAP: puts a message of `psmid` into the queue.
    pub fn enqueue(&self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus {
        let service = u64::try_from(self.machine().service_time.as_nanos()).unwrap_or(u64::MAX);
        let status = self.on_queue(apqn, |card, queue, now| {
            let response = if message.len() > card.max_message_bytes() {
                Response::MessageTooBig
            } else {
                queue.enqueue(psmid, message, card.depth, now.saturating_add(service))
            };
            queue.status(response, card.depth, now)
        });
        self.clock.plan();
        status.unwrap_or_else(|status| status)
    }

    /// DQAP: takes up to `room` bytes of the next reply. The part is there when the response code is 00; when
    /// bytes of the reply are left, the next call goes on with them.
    pub fn dequeue(&self, apqn: Apqn, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        self.on_queue(apqn, |card, queue, now| {
            let part = queue.dequeue(room, now);
            let response = if part.is_some() { Response::Normal } else { Response::FullOrEmpty };
            (queue.status(response, card.depth, now), part)
        })
        .unwrap_or_else(|status| (status, None))
    }

    /// PQAP(AQIC): enables interruptions of a queue, or disables them (`None`). Response code 07 when they are so
    /// already; whom they go to then stays as it was.
    pub fn set_interruption(&self, apqn: Apqn, interruption: Option<Interruption>) -> QueueStatus {
        let status = self.instruction(|machine, now| {
            machine.telling.insert(apqn);
            match machine.reach(apqn, now) {
                Reached::Gone => Reached::gone(),
                Reached::There { card, queue, response: Response::Normal } => {
                    let response = queue.set_interruption(interruption);
                    queue.status(response, card.depth, now)
                }
                Reached::There { card, queue, response } => queue.status(response, card.depth, now),
            }
        });
        // Somebody is going to be told of the replies that are under way.
        self.clock.plan();
        status
    }

    /// When the next reply arrives that somebody is going to be told of, in nanoseconds of the clock.
    pub(crate) fn next_reply(&self) -> Option<u64> {
        self.machine().next_reply()
    }

    /// Delivers the interruptions that are due by the clock.
    pub(crate) fn deliver(&self) {
        let due = self.machine().take_due(self.clock.now());
        for interruption in due {
            if let Some(sink) = interruption.sink {
                sink.notify(interruption.nib, interruption.isc);
            }
        }
    }

    /// One AP instruction: time passes, something happens, and then whoever waits for replies is told.
    fn instruction<R>(&self, action: impl FnOnce(&mut Machine, u64) -> R) -> R {
        let now = self.clock.advance(Self::INSTRUCTION);
        let answer = action(&mut self.machine(), now);
        self.deliver();
        answer
    }

    /// An AP instruction that needs a queue in working order; else the status that says why it is not.
    fn on_queue<R>(
        &self,
        apqn: Apqn,
        action: impl FnOnce(&Card, &mut queue::Queue, u64) -> R,
    ) -> Result<R, QueueStatus> {
        self.instruction(|machine, now| match machine.reach(apqn, now) {
            Reached::Gone => Err(Reached::gone()),
            Reached::There { card, queue, response: Response::Normal } => Ok(action(&card, queue, now)),
            Reached::There { card, queue, response } => Err(queue.status(response, card.depth, now)),
        })
    }
}
