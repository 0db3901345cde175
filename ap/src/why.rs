//! Why a guest would get the queues it gets, and not others.
//!
//! The kernel filters an mdev's matrix before a guest sees it, silently and by whole adapters. This module compares
//! `matrix` with `guest_matrix` and finds the reason for each queue that is missing. It reads only, and it does not
//! predict: what a guest gets is what the kernel says in `guest_matrix`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    Apid, Apqi, Apqn, Aqm, Matrix, Sysfs, Uuid,
    host::{Bus, QueueDriver, QueueStatus},
    mdev::{Mdev, OpenError},
    sysfs::ReadError,
};

/// What a guest of an mdev would get, and why not more. Displayed as a few lines for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The mdev.
    pub uuid: Uuid,
    /// What is assigned to it. Without any queue ([`Matrix::has_queues`]) a guest gets nothing.
    pub assigned: Matrix,
    /// A queue whose `status` says that some VM has the mdev already. Unknown, and `None`, when no queue is given.
    pub in_use: Option<Apqn>,
    /// The queues that a guest gets, in sysfs' order.
    pub given: Vec<Apqn>,
    /// The assigned queues that a guest does not get, and why, in sysfs' order.
    pub withheld: Vec<(Apqn, Reason)>,
}

/// Why a guest does not get a queue that is assigned. Displayed as one line that ends with what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The machine can't say what its configuration is, and so vfio_ap takes it for empty.
    NoConfiguration,
    /// The adapter is not in the host's configuration.
    AdapterNotConfigured(Apid),
    /// The domain is not in the host's configuration.
    DomainNotConfigured(Apqi),
    /// The adapter was filtered out whole, because one queue of it can't be given to a guest.
    AdapterFiltered {
        /// That queue: the withheld one if it is at fault itself, else the first of the adapter that is.
        because_of: Apqn,
        /// What is the matter with it.
        fault: QueueFault,
    },
    /// Nothing stands against it now, but the kernel did not filter anew since it did, or the last reset of a queue
    /// of this adapter failed.
    NotFilteredAnew(Apid),
}

/// Why a queue in the host's configuration can't be given to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueFault {
    /// The host has no such queue.
    Absent,
    /// No driver has it.
    Unbound,
    /// The host's own driver has it.
    BoundToHost,
}

/// Reads mdev `uuid` and explains what a guest of it would get. The rest of the host is read only when an assigned
/// queue is missing.
///
/// # Errors
///
/// [`OpenError`] when there is no such AP device, or the host could not be read.
pub fn diagnose(sysfs: &dyn Sysfs, uuid: Uuid) -> Result<Diagnosis, OpenError> {
    let mdev = Mdev::known(sysfs, uuid);
    // Only an AP device has these two. What else it is, or why it is not there, is asked when they can't be read.
    let (assigned, guest) = match mdev.matrix().and_then(|assigned| Ok((assigned, mdev.guest_matrix()?))) {
        Ok(both) => both,
        Err(error) => return Err(Mdev::open(sysfs, uuid).err().unwrap_or(error.into())),
    };
    let bus = Bus::new(sysfs);
    let listed = Matrix { apm: guest.apm, aqm: guest.aqm, ..Matrix::EMPTY };
    let (given, missing): (Vec<_>, Vec<_>) = assigned.apqns().partition(|apqn| listed.contains(*apqn));
    let mut diagnosis = Diagnosis { uuid, assigned, in_use: None, given, withheld: Vec::new() };
    // Only what is missing needs the bus to explain it, and a guest that gets everything need not wait for that.
    if !missing.is_empty() {
        let host = Host::read(&bus)?;
        for apqn in missing {
            // What the kernel had no room to list is given unless a reason is known: the one guess made here. It
            // comes after all that is listed, so sysfs' order is kept.
            let unlisted = guest.cut && guest.apm.last() < Some(apqn.apid);
            match host.reason(&assigned, apqn) {
                Some(reason) => diagnosis.withheld.push((apqn, reason)),
                None if unlisted => diagnosis.given.push(apqn),
                None => diagnosis.withheld.push((apqn, Reason::NotFilteredAnew(apqn.apid))),
            }
        }
    }
    // A VM has all of them or none.
    if let Some(apqn) = diagnosis.given.first().copied() {
        diagnosis.in_use = (bus.status(apqn)? == Some(QueueStatus::InUse)).then_some(apqn);
    }
    Ok(diagnosis)
}

/// What the kernel's filter looks at (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_filter_matrix`), but for the
/// result of each queue's last reset, which it shows nowhere.
struct Host {
    configuration: Option<Matrix>,
    queues: BTreeSet<Apqn>,
    bound: BTreeMap<Apqn, QueueDriver>,
}

impl Host {
    fn read(bus: &Bus<'_>) -> Result<Self, ReadError> {
        let queues = bus.apqns()?.into_iter().collect();
        Ok(Self { configuration: bus.configuration()?, queues, bound: bus.bound()? })
    }

    /// What now stands against giving `apqn`, of an mdev with this matrix, to a guest.
    fn reason(&self, assigned: &Matrix, apqn: Apqn) -> Option<Reason> {
        let Some(configuration) = self.configuration else { return Some(Reason::NoConfiguration) };
        if !configuration.apm.contains(apqn.apid) {
            return Some(Reason::AdapterNotConfigured(apqn.apid));
        }
        if !configuration.aqm.contains(apqn.apqi) {
            return Some(Reason::DomainNotConfigured(apqn.apqi));
        }
        let domains: Aqm = assigned.aqm & configuration.aqm;
        let siblings = domains.iter().map(|apqi| Apqn { apid: apqn.apid, apqi });
        let (because_of, fault) =
            std::iter::once(apqn).chain(siblings).find_map(|queue| Some((queue, self.fault(queue)?)))?;
        Some(Reason::AdapterFiltered { because_of, fault })
    }

    fn fault(&self, apqn: Apqn) -> Option<QueueFault> {
        match self.bound.get(&apqn) {
            Some(QueueDriver::VfioAp) => None,
            Some(QueueDriver::Cex4queue) => Some(QueueFault::BoundToHost),
            None if self.queues.contains(&apqn) => Some(QueueFault::Unbound),
            None => Some(QueueFault::Absent),
        }
    }
}

impl Diagnosis {
    /// Each reason once, with the queues withheld for it.
    pub fn reasons(&self) -> BTreeMap<Reason, Vec<Apqn>> {
        let mut reasons: BTreeMap<Reason, Vec<Apqn>> = BTreeMap::new();
        for (apqn, reason) in &self.withheld {
            reasons.entry(*reason).or_default().push(*apqn);
        }
        reasons
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.given.len() + self.withheld.len();
        write!(f, "a guest of mdev {} gets {} of {all} queues", self.uuid, self.given.len())?;
        if !self.given.is_empty() {
            write!(f, ": {}", Names(&self.given))?;
        }
        match (self.assigned.apm.is_empty(), self.assigned.aqm.is_empty()) {
            (true, true) => f.write_str("\n  nothing is assigned: assign an adapter and a domain")?,
            (true, false) => f.write_str("\n  no adapter is assigned, so its domains bring no queue")?,
            (false, true) => f.write_str("\n  no domain is assigned, so its adapters bring no queue")?,
            (false, false) => {}
        }
        self.reasons().iter().try_for_each(|(reason, apqns)| write!(f, "\n  not {}: {reason}", Names(apqns)))
    }
}

/// `05.0004, 05.0047`, and how many more after a dozen.
struct Names<'a>(&'a [Apqn]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 12;
        let names: Vec<_> = self.0.iter().take(NAMED).map(Apqn::to_string).collect();
        f.write_str(&names.join(", "))?;
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoConfiguration => f.write_str(
                "this machine has no QCI (/sys/bus/ap/ap_adapter_mask says not supported), without which vfio_ap \
                 gives no queue to any guest",
            ),
            Reason::AdapterNotConfigured(apid) => write!(
                f,
                "adapter {apid} is not in the host's configuration (/sys/bus/ap/ap_adapter_mask): add it to the \
                 partition, or unassign it"
            ),
            Reason::DomainNotConfigured(apqi) => write!(
                f,
                "domain {apqi} is not in the host's configuration (/sys/bus/ap/ap_usage_domain_mask): add it to the \
                 partition, or unassign it"
            ),
            Reason::AdapterFiltered { because_of, fault } => {
                let (adapter, queue) = (because_of.apid, because_of);
                write!(f, "adapter {adapter} is filtered out of guest_matrix because queue {queue} {fault}")
            }
            Reason::NotFilteredAnew(apid) => write!(
                f,
                "nothing stands against it any more, but the kernel has not filtered the matrix anew: unassign adapter \
                 {apid} and assign it again; if that does not help, a reset of one of its queues failed (see dmesg)"
            ),
        }
    }
}

/// Follows "queue 05.0004", and ends with what to do.
impl fmt::Display for QueueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueueFault::Absent => "does not exist on this host: unassign its adapter or its domain",
            QueueFault::Unbound => {
                "is bound to no driver: write its name to /sys/bus/ap/drivers_probe once vfio_ap is loaded and \
                 apmask, aqmask or its driver_override leave it to vfio_ap"
            }
            QueueFault::BoundToHost => {
                "is bound to cex4queue, not to vfio_ap: take its adapter out of /sys/bus/ap/apmask or its domain out \
                 of /sys/bus/ap/aqmask"
            }
        })
    }
}
