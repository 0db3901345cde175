//! What the machine has: adapters, domains, limits, and what an operator at its console may change.

use super::{
    card::Card,
    queue::{Interruption, Queue},
    status::{QueueStatus, Response},
};
use crate::Firmware;
use adjunct_ap::{Adm, Apid, Apm, Apqn, Aqm, text::Features};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The answer of PQAP(QCI), query AP configuration information (`arch/s390/include/asm/ap.h: struct
/// ap_config_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qci {
    /// The flags word at offset 0.
    pub flags: u32,
    /// Highest adapter number, offset 4.
    pub max_adapter: u8,
    /// Highest domain number, offset 5.
    pub max_domain: u8,
    /// Adapters of the configuration.
    pub apm: Apm,
    /// Usage domains.
    pub aqm: Aqm,
    /// Control domains.
    pub adm: Adm,
}

impl Qci {
    /// Whether AP extended addressing is installed.
    pub fn apxa(&self) -> bool {
        Features::from_word(self.flags).is_some_and(Features::extended_addressing)
    }
}

/// What instructions the machine has for AP (facilities 12, 15, 65).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApFacilities {
    /// Facility 12: QCI.
    pub qci: bool,
    /// Facility 15: TAPQ with the T bit, and GR2 of TAPQ.
    pub test: bool,
    /// Facility 65: AQIC.
    pub interruptions: bool,
}

/// The crypto hardware of a machine, as an operator at its console finds and changes it. The host notices at its
/// next scan of the AP bus, or at once when [`SimHost::config_changed`](crate::SimHost::config_changed) tells it.
#[derive(Debug)]
pub struct Machine {
    /// What of it instructions can be told.
    pub facilities: ApFacilities,
    /// QCI's flags word.
    pub flags: u32,
    /// Highest adapter number the machine can have.
    pub max_adapter: u8,
    /// Highest domain number the machine can have.
    pub max_domain: u8,
    /// The adapters of the configuration.
    pub cards: BTreeMap<Apid, Card>,
    /// What adapters say of themselves when their driver asks; nothing of those that are not here.
    pub firmware: BTreeMap<Apid, Firmware>,
    /// Usage domains of the configuration.
    pub usage_domains: Aqm,
    /// Control domains of the configuration.
    pub control_domains: Adm,
    /// How long an adapter takes for a message. Zero: the reply is there when NQAP ends.
    pub service_time: Duration,
    /// How long a reset takes.
    pub reset_time: Duration,
    pub(super) queues: BTreeMap<Apqn, Queue>,
    /// Queues that may have somebody to tell of replies: asked after every instruction, so not all of them.
    pub(super) telling: BTreeSet<Apqn>,
}

impl Machine {
    /// A machine without adapters.
    pub fn new(facilities: ApFacilities, flags: u32) -> Self {
        Self {
            facilities,
            flags,
            max_adapter: 63,
            max_domain: 15,
            cards: BTreeMap::new(),
            firmware: BTreeMap::new(),
            usage_domains: Aqm::EMPTY,
            control_domains: Adm::EMPTY,
            service_time: Duration::ZERO,
            reset_time: Duration::from_micros(30),
            queues: BTreeMap::new(),
            telling: BTreeSet::new(),
        }
    }

    /// Makes resets of a queue never end, or end again.
    ///
    /// vfio_ap waits for a reset as long as it takes, as the kernel does, and here the whole host waits with it: let the
    /// reset end from another thread.
    pub fn set_stuck(&mut self, apqn: Apqn, stuck: bool) {
        self.queues.entry(apqn).or_default().stuck = stuck;
    }

    /// Whether resets of a queue never end.
    pub(crate) fn is_stuck(&self, apqn: Apqn) -> bool {
        self.queues.get(&apqn).is_some_and(|queue| queue.stuck)
    }

    /// Whether the machine has this queue, configured or not.
    pub(crate) fn has_queue(&self, apqn: Apqn) -> bool {
        self.card(apqn).is_some()
    }

    /// What QCI answers, if it is there.
    pub fn qci(&self) -> Option<Qci> {
        self.facilities.qci.then(|| Qci {
            flags: self.flags,
            max_adapter: self.max_adapter,
            max_domain: self.max_domain,
            apm: self.cards.keys().copied().collect(),
            aqm: self.usage_domains,
            adm: self.control_domains,
        })
    }

    fn card(&self, apqn: Apqn) -> Option<&Card> {
        let card = self.cards.get(&apqn.apid)?;
        (self.usage_domains.contains(apqn.apqi) && !card.missing.contains(apqn.apqi)).then_some(card)
    }

    /// What every AP instruction finds first: the card, unless a response code says why not, and what is known of
    /// it for GR2.
    pub(super) fn reach(&mut self, apqn: Apqn, now: u64) -> Reached<'_> {
        let Some(card) = self.card(apqn).cloned() else {
            // The queue is gone, and with it all that was in it.
            self.queues.remove(&apqn);
            return Reached::Gone;
        };
        let queue = self.queues.entry(apqn).or_default();
        let response = if !card.configured {
            Response::Deconfigured
        } else if card.checkstopped {
            Response::Checkstopped
        } else if queue.resetting(now) {
            Response::ResetInProgress
        } else {
            Response::Normal
        };
        Reached::There { card, queue, response }
    }

    /// When the next reply arrives that somebody is going to be told of.
    pub(super) fn next_reply(&self) -> Option<u64> {
        let queues = self.telling.iter().filter_map(|apqn| self.queues.get(apqn));
        queues.filter(|queue| queue.tells()).filter_map(Queue::next_reply).min()
    }

    /// The interruptions that are due on any queue.
    pub(super) fn take_due(&mut self, now: u64) -> Vec<Interruption> {
        let mut due = Vec::new();
        let queues = &mut self.queues;
        self.telling.retain(|apqn| {
            let Some(queue) = queues.get_mut(apqn).filter(|queue| queue.tells()) else { return false };
            due.extend(queue.take_due(now));
            true
        });
        due
    }
}

#[derive(Debug)]
pub(super) enum Reached<'a> {
    Gone,
    There { card: Card, queue: &'a mut Queue, response: Response },
}

impl Reached<'_> {
    pub(super) fn gone() -> QueueStatus {
        QueueStatus::response(Response::NotAvailable)
    }
}
