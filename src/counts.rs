//! What is counted while guests run: cheap enough to be always on, read by whoever asks for the counters.

use crate::control::Counters;
use adjunct_devices::{intercept::Intercept, ipl::ResetKind};
use adjunct_hypervisor::Exit;
use std::{
    array,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Why a vCPU came out of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitKind {
    /// SERVICE CALL.
    ServiceCall,
    /// DIAGNOSE.
    Diagnose,
    /// SIGNAL PROCESSOR.
    Sigp,
    /// An instruction of channel I/O.
    ChannelIo,
    /// An AP instruction: the guest has none.
    Ap,
    /// An instruction or interruption that becomes a program interruption.
    Program,
    /// A disabled wait.
    Wait,
    /// The CPU was ordered to stop, and has taken what was pending.
    Stop,
    /// DIAGNOSE 0x308, which the host has looked into.
    Reset,
    /// Somebody wanted the vCPU back.
    Kick,
    /// Something that ends the guest.
    Unserved,
}

impl ExitKind {
    /// All of them, as they are declared; the metrics' names.
    const NAMES: [(Self, &'static str); 11] = [
        (Self::ServiceCall, "service-call"),
        (Self::Diagnose, "diagnose"),
        (Self::Sigp, "sigp"),
        (Self::ChannelIo, "channel-io"),
        (Self::Ap, "ap"),
        (Self::Program, "program"),
        (Self::Wait, "wait"),
        (Self::Stop, "stop"),
        (Self::Reset, "reset"),
        (Self::Kick, "kick"),
        (Self::Unserved, "unserved"),
    ];
}

impl ExitKind {
    /// Of an exit; an intercept must be looked into: [`ExitKind::of`].
    pub(crate) fn told_by(exit: &Exit) -> Option<Self> {
        match exit {
            Exit::Sieic { .. } => None,
            Exit::Reset { .. } => Some(Self::Reset),
            Exit::Interrupted => Some(Self::Kick),
            Exit::Tsch { .. } => Some(Self::ChannelIo),
            Exit::Stsi { .. } | Exit::Debug | Exit::Unknown { .. } => Some(Self::Unserved),
        }
    }

    /// Of an intercept.
    pub(crate) fn of(intercept: &Intercept) -> Self {
        match intercept {
            Intercept::ServiceCall(_) => Self::ServiceCall,
            Intercept::Diagnose { .. } => Self::Diagnose,
            Intercept::Sigp(_) => Self::Sigp,
            Intercept::ChannelIo(_) => Self::ChannelIo,
            Intercept::Ap(_) => Self::Ap,
            Intercept::Program(_) => Self::Program,
            Intercept::DisabledWait => Self::Wait,
            Intercept::Stopped => Self::Stop,
            Intercept::ProgramLoop
            | Intercept::OperationLoop
            | Intercept::ExternalLoop
            | Intercept::Unknown { .. } => Self::Unserved,
        }
    }
}

/// Resets as events and metrics name them.
const RESETS: [(ResetKind, &str); 4] = [
    (ResetKind::External, "external"),
    (ResetKind::ReIpl, "re-ipl"),
    (ResetKind::ModifiedClear, "modified-clear"),
    (ResetKind::LoadNormal, "load-normal"),
];

fn place_of(kind: ResetKind) -> usize {
    match kind {
        ResetKind::External => 0,
        ResetKind::ReIpl => 1,
        ResetKind::ModifiedClear => 2,
        ResetKind::LoadNormal => 3,
    }
}

/// Exits and resets of all guests of this process, and what happened to their AP devices. Clones count together.
#[derive(Clone, Debug)]
pub struct Counts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    exits: [AtomicU64; ExitKind::NAMES.len()],
    resets: [AtomicU64; RESETS.len()],
    ap: [AtomicU64; 4],
}

impl Default for Counts {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self(Arc::new(Inner {
            exits: array::from_fn(zero),
            resets: array::from_fn(zero),
            ap: array::from_fn(zero),
        }))
    }
}

/// What can happen to an AP device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApHappening {
    Attached,
    Detached,
    ConfigChanged,
    ReleaseRequested,
}

/// Nobody orders anything by these numbers.
fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub(crate) fn exit(&self, kind: ExitKind) {
        add(&self.0.exits[kind as usize]);
    }

    pub(crate) fn reset(&self, kind: ResetKind) {
        add(&self.0.resets[place_of(kind)]);
    }

    pub(crate) fn ap(&self, happened: ApHappening) {
        add(&self.0.ap[happened as usize]);
    }

    /// All but what a guest has now.
    pub(crate) fn read(&self) -> Counters {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ap = |happened: ApHappening| value(&self.0.ap[happened as usize]);
        let named = |names: &mut dyn Iterator<Item = &'static str>, counters: &[AtomicU64]| {
            names.zip(counters.iter().map(value)).collect::<BTreeMap<_, _>>()
        };
        Counters {
            exits: named(&mut ExitKind::NAMES.iter().map(|(_, name)| *name), &self.0.exits),
            resets: named(&mut RESETS.iter().map(|(_, name)| *name), &self.0.resets),
            ap_config_changes: ap(ApHappening::ConfigChanged),
            ap_release_requests: ap(ApHappening::ReleaseRequested),
            ap_attached: ap(ApHappening::Attached),
            ap_detached: ap(ApHappening::Detached),
            ..Counters::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reset;

    #[test]
    fn each_exit_and_each_reset_is_counted_under_its_own_name() {
        for (n, (kind, name)) in ExitKind::NAMES.into_iter().enumerate() {
            assert_eq!(kind as usize, n, "{name}");
            let counts = Counts::default();
            counts.exit(kind);
            let exits = counts.read().exits;
            assert_eq!(exits.len(), ExitKind::NAMES.len());
            assert!(exits.iter().all(|(other, count)| *count == u64::from(*other == name)), "{exits:?}");
        }
        for (n, (kind, name)) in RESETS.into_iter().enumerate() {
            assert_eq!(place_of(kind), n, "{name}");
            assert_eq!(serde_json::to_value(Reset::from(kind)).expect("a word"), name, "as events name it");
            let counts = Counts::default();
            counts.reset(kind);
            assert_eq!(
                counts.read().resets.into_iter().filter(|(_, n)| *n > 0).collect::<Vec<_>>(),
                [(name, 1)]
            );
        }
    }

    #[test]
    fn what_happens_to_ap_devices_is_counted_apart() {
        let counts = Counts::default();
        for (happened, times) in [
            (ApHappening::Attached, 1),
            (ApHappening::Detached, 2),
            (ApHappening::ConfigChanged, 3),
            (ApHappening::ReleaseRequested, 4),
        ] {
            (0..times).for_each(|_| counts.clone().ap(happened));
        }
        let read = counts.read();
        let ap = [read.ap_attached, read.ap_detached, read.ap_config_changes, read.ap_release_requests];
        assert_eq!(ap, [1, 2, 3, 4]);
    }
}
