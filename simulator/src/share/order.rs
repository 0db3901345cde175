//! What an operator can ask of a host, in words: `card add 7 CEX8C`.

use crate::{Fault, ParseFaultError};
use adjunct_ap::{
    Apid, Apqi, Apqn, ControlDomain, ParseApqnError, ParseIdError, ParseUuidError, Uuid,
    host::{CardType, ParseCardTypeError},
};
use std::{fmt, str::FromStr};

/// One order to a host. Read and written in the words that [`Order::FORMS`] lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// `card …`: changes an adapter of the machine.
    Card(Apid, CardChange),
    /// `domain …`: changes the usage domains of the machine.
    Domain(Apqi, Change),
    /// `control-domain …`: changes the control domains of the machine.
    ControlDomain(ControlDomain, Change),
    /// `queue stuck 05.0004`: resets of the queue never end; `queue free 05.0004`: they do again.
    Queue(Apqn, QueueChange),
    /// `guest …`: a VM, made for this, opens an mdev or closes it.
    Guest(Uuid, GuestChange),
    /// `apcb UUID`: the masks that SIE would go by, of the VM that has the mdev open.
    Apcb(Uuid),
    /// `rescan`: the machine reports a change of its AP configuration, so that the AP bus scans.
    Rescan,
    /// `uevents`: what udev was told since the start.
    Uevents,
    /// `log`: the kernel's log since the start.
    Log,
    /// `acts`: what was done to the host since the start.
    Acts,
    /// `held`: what the host holds for programs.
    Held,
    /// `fault …`: has an act to come fail, or be late.
    Fault(Fault),
    /// `faults`: what is planned and has not happened yet.
    Faults,
    /// `faults forget`: nothing of that happens.
    ForgetFaults,
    /// `release NAME`: lets those go on whom a fault holds at this gate.
    Release(String),
    /// `dump`: the host as a host file.
    Dump,
}

/// What becomes of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardChange {
    /// It is plugged in, configured on.
    Add(CardType),
    /// It is taken out of the configuration.
    Remove,
    /// It is configured on.
    ConfigOn,
    /// It is configured off.
    ConfigOff,
    /// It breaks.
    Checkstop,
    /// It is mended.
    Checkstart,
}

/// Whether something comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It comes.
    Add,
    /// It goes.
    Remove,
}

/// What becomes of the resets of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueChange {
    /// They never end.
    Stuck,
    /// They end.
    Free,
}

/// What becomes of a VM that holds an mdev.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestChange {
    /// It opens the mdev.
    Open,
    /// It closes the mdev.
    Close,
}

/// Not an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseOrderError {
    /// It begins with no word that orders begin with.
    #[error("there is no order {0:?}; there are {names}", names = Order::names().join(", "))]
    Unknown(String),
    /// It is not of the form of the orders that begin with this word.
    #[error("write {}", .0.join(" or "))]
    Form(Vec<&'static str>),
    /// The number is none.
    #[error(transparent)]
    Id(#[from] ParseIdError),
    /// The type of adapter is none.
    #[error(transparent)]
    Type(#[from] ParseCardTypeError),
    /// The queue is none.
    #[error(transparent)]
    Queue(#[from] ParseApqnError),
    /// The UUID is none.
    #[error(transparent)]
    Uuid(#[from] ParseUuidError),
    /// The fault is none.
    #[error(transparent)]
    Fault(#[from] ParseFaultError),
}

impl Order {
    /// Every form of order, and what it does.
    pub const FORMS: [(&'static str, &'static str); 25] = [
        ("card add ID TYPE", "plug an adapter in: card add 7 CEX8C"),
        ("card remove ID", "take an adapter out"),
        ("card config-on ID", "configure an adapter on"),
        ("card config-off ID", "configure an adapter off"),
        ("card checkstop ID", "break an adapter; the host finds out when it scans"),
        ("card checkstart ID", "mend it; the host finds out when it scans"),
        ("domain add ID", "give the host a usage domain"),
        ("domain remove ID", "take a usage domain from the host"),
        ("control-domain add ID", "give the host a control domain"),
        ("control-domain remove ID", "take a control domain from the host"),
        ("queue stuck QUEUE", "let resets of a queue (05.0004) never end"),
        ("queue free QUEUE", "let them end again"),
        ("guest open UUID", "let a VM, made for this, open an mdev"),
        ("guest close UUID", "let that VM close it"),
        ("apcb UUID", "print what SIE goes by: masks apm, aqm and adm"),
        ("rescan", "report a change, so that the host scans"),
        ("uevents", "print what udev was told"),
        ("log", "print the kernel's log"),
        ("acts", "print what programs did to the host"),
        ("held", "print what the host holds for programs"),
        ("fault FAULT", "let an act fail: fault write nth 2: fails EBUSY"),
        ("faults", "print what is planned and has not happened"),
        ("faults forget", "forget it"),
        ("release NAME", "let acts go on that a fault holds: release door"),
        ("dump", "print the host as a host file"),
    ];

    /// The first words of [`Order::FORMS`].
    fn names() -> Vec<&'static str> {
        let first = |(form, _): (&'static str, _)| form.split(' ').next().unwrap_or(form);
        let mut names: Vec<_> = Self::FORMS.into_iter().map(first).collect();
        names.dedup();
        names
    }

    fn of_words(words: &[&str]) -> Result<Option<Self>, ParseOrderError> {
        Ok(Some(match words {
            ["card", "add", id, kind] => {
                Self::Card(Apid::from_str(id)?, CardChange::Add(CardType::from_str(kind)?))
            }
            ["card", change, id] => {
                let change = match *change {
                    "remove" => CardChange::Remove,
                    "config-on" => CardChange::ConfigOn,
                    "config-off" => CardChange::ConfigOff,
                    "checkstop" => CardChange::Checkstop,
                    "checkstart" => CardChange::Checkstart,
                    _ => return Ok(None),
                };
                Self::Card(Apid::from_str(id)?, change)
            }
            ["domain", "add", id] => Self::Domain(Apqi::from_str(id)?, Change::Add),
            ["domain", "remove", id] => Self::Domain(Apqi::from_str(id)?, Change::Remove),
            ["control-domain", "add", id] => Self::ControlDomain(ControlDomain::from_str(id)?, Change::Add),
            ["control-domain", "remove", id] => {
                Self::ControlDomain(ControlDomain::from_str(id)?, Change::Remove)
            }
            ["queue", "stuck", queue] => Self::Queue(Apqn::from_str(queue)?, QueueChange::Stuck),
            ["queue", "free", queue] => Self::Queue(Apqn::from_str(queue)?, QueueChange::Free),
            ["guest", "open", uuid] => Self::Guest(Uuid::from_str(uuid)?, GuestChange::Open),
            ["guest", "close", uuid] => Self::Guest(Uuid::from_str(uuid)?, GuestChange::Close),
            ["apcb", uuid] => Self::Apcb(Uuid::from_str(uuid)?),
            ["rescan"] => Self::Rescan,
            ["uevents"] => Self::Uevents,
            ["log"] => Self::Log,
            ["acts"] => Self::Acts,
            ["held"] => Self::Held,
            ["fault", fault @ ..] if !fault.is_empty() => Self::Fault(Fault::from_str(&fault.join(" "))?),
            ["faults"] => Self::Faults,
            ["faults", "forget"] => Self::ForgetFaults,
            ["release", gate] => Self::Release((*gate).to_owned()),
            ["dump"] => Self::Dump,
            _ => return Ok(None),
        }))
    }
}

impl FromStr for Order {
    type Err = ParseOrderError;

    fn from_str(text: &str) -> Result<Self, ParseOrderError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let Some(order) = Self::of_words(&words)? {
            return Ok(order);
        }
        let name = words.first().copied().unwrap_or_default();
        let begins = |form: &&str| form.split(' ').next() == Some(name);
        let forms: Vec<_> = Self::FORMS.iter().map(|(form, _)| *form).filter(begins).collect();
        Err(if forms.is_empty() {
            ParseOrderError::Unknown(name.to_owned())
        } else {
            ParseOrderError::Form(forms)
        })
    }
}

/// An id as people write it: `7`, `0x47`.
pub(super) struct Number(pub(super) u8);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 10 { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Remove => "remove",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card(id, change) => {
                let id = Number(id.0);
                match change {
                    CardChange::Add(kind) => write!(f, "card add {id} {kind}"),
                    CardChange::Remove => write!(f, "card remove {id}"),
                    CardChange::ConfigOn => write!(f, "card config-on {id}"),
                    CardChange::ConfigOff => write!(f, "card config-off {id}"),
                    CardChange::Checkstop => write!(f, "card checkstop {id}"),
                    CardChange::Checkstart => write!(f, "card checkstart {id}"),
                }
            }
            Self::Domain(id, change) => write!(f, "domain {change} {}", Number(id.0)),
            Self::ControlDomain(id, change) => write!(f, "control-domain {change} {}", Number(id.0)),
            Self::Queue(queue, QueueChange::Stuck) => write!(f, "queue stuck {queue}"),
            Self::Queue(queue, QueueChange::Free) => write!(f, "queue free {queue}"),
            Self::Guest(uuid, GuestChange::Open) => write!(f, "guest open {uuid}"),
            Self::Guest(uuid, GuestChange::Close) => write!(f, "guest close {uuid}"),
            Self::Apcb(uuid) => write!(f, "apcb {uuid}"),
            Self::Rescan => f.write_str("rescan"),
            Self::Uevents => f.write_str("uevents"),
            Self::Log => f.write_str("log"),
            Self::Acts => f.write_str("acts"),
            Self::Held => f.write_str("held"),
            Self::Fault(fault) => write!(f, "fault {fault}"),
            Self::Faults => f.write_str("faults"),
            Self::ForgetFaults => f.write_str("faults forget"),
            Self::Release(gate) => write!(f, "release {gate}"),
            Self::Dump => f.write_str("dump"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

    #[test]
    fn every_form_is_read_and_written_in_the_same_words() {
        for (form, _) in Order::FORMS {
            let words = [
                // First: an ID is in its name.
                ("UUID", UUID),
                ("ID", "7"),
                ("TYPE", "CEX8C"),
                ("QUEUE", "05.0004"),
                ("NAME", "door"),
                ("FAULT", "write nth 2: fails EBUSY"),
            ];
            let text =
                words.into_iter().fold(form.to_owned(), |text, (word, value)| text.replace(word, value));
            let order: Order = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(order.to_string(), text);
        }
    }

    #[test]
    fn ids_are_read_as_the_kernel_reads_them_and_written_to_be_read_again() {
        let order: Order = "domain add 0x47".parse().expect("an order");
        assert_eq!(order, Order::Domain(Apqi(0x47), Change::Add));
        assert_eq!(order.to_string(), "domain add 0x47");
        assert_eq!(
            "control-domain  remove 010".parse(),
            Ok(Order::ControlDomain(ControlDomain(8), Change::Remove))
        );
        for id in 0..=u8::MAX {
            let order = Order::Card(Apid(id), CardChange::Remove);
            assert_eq!(order.to_string().parse(), Ok(order.clone()));
        }
    }

    #[test]
    fn what_is_no_order_is_answered_with_what_to_write() {
        let error = |text: &str| text.parse::<Order>().expect_err(text).to_string();
        assert_eq!(error("card config-off"), error("card"));
        assert!(
            error("card").starts_with("write card add ID TYPE or card remove ID or "),
            "{}",
            error("card")
        );
        assert_eq!(error("guest open"), "write guest open UUID or guest close UUID");
        assert_eq!(error("apcb a b"), "write apcb UUID");
        assert!(
            error("crad add 5 CEX8C").contains("no order \"crad\"; there are card, domain, control-domain,")
        );
        assert!(error("").contains("no order \"\""));
        assert!(error("card remove 256").contains("\"256\" is not an adapter id"));
        assert!(error("card add 5 CEX9C").contains("CEX9C"));
        assert!(error("apcb 1").contains('1'));
    }
}
