//! Events as QEMU names them (`qapi/run-state.json`, `qapi/qdev.json`), and those of AP, which QEMU has no names for.

use super::device;
use crate::event::{EndCause, Event, PanicReason, Registers, Reset};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// An event as it is sent.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    timestamp: Timestamp,
    #[serde(flatten)]
    event: Told,
}

#[derive(Debug, Serialize)]
struct Timestamp {
    seconds: u64,
    microseconds: u32,
}

impl Timestamp {
    fn now() -> Self {
        // A clock before 1970 is QEMU's -1, and nobody's business.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: since.as_secs(), microseconds: since.subsec_micros() }
    }
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "SCREAMING_SNAKE_CASE")]
enum Told {
    Stop,
    Resume,
    Powerdown,
    Reset { guest: bool, reason: Cause },
    GuestPanicked { action: &'static str, info: Panic },
    Shutdown { guest: bool, reason: Cause },
    DeviceDeleted { device: String, path: String },
    XApAttached { id: String, apqns: Vec<String> },
    XApConfigChanged { id: String, apqns: Vec<String>, added: Vec<String>, removed: Vec<String> },
    XApCheckstopped { id: String, apqns: Vec<String> },
    XApReleaseRequested { id: String },
}

/// Who wanted a reset or an end (`ShutdownCause`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    GuestReset,
    GuestShutdown,
    GuestPanic,
    HostError,
    HostQmpQuit,
    HostQmpSystemReset,
    HostSignal,
}

/// A CPU's last word (`GuestPanicInformationS390`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Panic {
    #[serde(rename = "type")]
    kind: &'static str,
    core: u16,
    psw_mask: u64,
    psw_addr: u64,
    reason: PanicReason,
}

impl Panic {
    fn new(core: u16, reason: PanicReason, registers: &Registers) -> Self {
        let Registers { psw_mask, psw_addr, .. } = *registers;
        Self { kind: "s390", core, psw_mask, psw_addr, reason }
    }
}

impl From<EndCause> for Told {
    fn from(cause: EndCause) -> Self {
        let (guest, reason) = match cause {
            EndCause::Guest => (true, Cause::GuestShutdown),
            EndCause::Panic => (true, Cause::GuestPanic),
            EndCause::Order => (false, Cause::HostQmpQuit),
            EndCause::Signal => (false, Cause::HostSignal),
            EndCause::HostError => (false, Cause::HostError),
        };
        Self::Shutdown { guest, reason }
    }
}

impl Message {
    /// What clients are told of `event` now, if anything.
    pub(super) fn of(event: Event) -> Option<Self> {
        told(event).map(|event| Self { timestamp: Timestamp::now(), event })
    }
}

fn told(event: Event) -> Option<Told> {
    Some(match event {
        Event::Paused => Told::Stop,
        Event::Resumed => Told::Resume,
        Event::PowerDownRequested => Told::Powerdown,
        Event::GuestReset { kind } => match kind {
            Reset::External => Told::Reset { guest: false, reason: Cause::HostQmpSystemReset },
            Reset::ReIpl => Told::Reset { guest: true, reason: Cause::GuestReset },
            // Resets of the subsystem alone, for kexec and dumps, are none to QEMU's clients.
            Reset::ModifiedClear | Reset::LoadNormal => return None,
        },
        // What comes of a panic is what QEMU does unless it is told otherwise.
        Event::GuestPanicked { cpu, reason, registers } => {
            Told::GuestPanicked { action: "poweroff", info: Panic::new(cpu, reason, &registers) }
        }
        Event::GuestEnded { cause, .. } => cause.into(),
        Event::ApAttached { id, apqns, .. } => Told::XApAttached { id, apqns },
        Event::ApConfigChanged { id, apqns, added, removed } => {
            Told::XApConfigChanged { id, apqns, added, removed }
        }
        Event::ApCheckstopped { id, apqns } => Told::XApCheckstopped { id, apqns },
        Event::ApReleaseRequested { id } => Told::XApReleaseRequested { id },
        Event::ApDetached { id, .. } => Told::DeviceDeleted { path: device::path(&id), device: id },
        // What the program does before and after a guest is nothing that QEMU's clients hear of.
        Event::HostChecked { .. } | Event::VmBuilt { .. } | Event::Ended { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DetachReason;
    use adjunct_hypervisor::CpuState;
    use serde_json::json;

    fn value(event: Event) -> serde_json::Value {
        serde_json::to_value(told(event).expect("told")).expect("JSON")
    }

    #[test]
    fn events_have_qemus_names_and_data() {
        let reset = |kind| Event::GuestReset { kind };
        assert_eq!(value(Event::Paused), json!({ "event": "STOP" }));
        assert_eq!(value(Event::Resumed), json!({ "event": "RESUME" }));
        assert_eq!(value(Event::PowerDownRequested), json!({ "event": "POWERDOWN" }));
        let data = json!({ "guest": false, "reason": "host-qmp-system-reset" });
        assert_eq!(value(reset(Reset::External)), json!({ "event": "RESET", "data": data }));
        let data = json!({ "guest": true, "reason": "guest-reset" });
        assert_eq!(value(reset(Reset::ReIpl)), json!({ "event": "RESET", "data": data }));
        for subsystem in [Reset::LoadNormal, Reset::ModifiedClear] {
            assert_eq!(told(reset(subsystem)), None, "QEMU says nothing of resets of the subsystem");
        }
        let gone =
            Event::ApDetached { id: "ap0".into(), apqns: Vec::new(), reason: DetachReason::HostRequest };
        let data = json!({ "device": "ap0", "path": "/machine/peripheral/ap0" });
        assert_eq!(value(gone), json!({ "event": "DEVICE_DELETED", "data": data }));
    }

    #[test]
    fn the_end_of_a_guest_says_whose_wish_it_was() {
        let ended = |cause| value(Event::GuestEnded { cause, status: 0, reason: String::new() });
        for (cause, guest, reason) in [
            (EndCause::Guest, true, "guest-shutdown"),
            (EndCause::Panic, true, "guest-panic"),
            (EndCause::Order, false, "host-qmp-quit"),
            (EndCause::Signal, false, "host-signal"),
            (EndCause::HostError, false, "host-error"),
        ] {
            let data = json!({ "guest": guest, "reason": reason });
            assert_eq!(ended(cause), json!({ "event": "SHUTDOWN", "data": data }));
        }
    }

    /// The numbers are QEMU's of a guest that loads no PSW (7.2).
    #[test]
    fn a_panic_is_told_with_the_psw_as_numbers() {
        let mut cpu = CpuState::default();
        cpu.psw.mask = 562_956_395_872_256;
        let info = json!({
            "type": "s390", "core": 0, "psw-mask": 562_956_395_872_256_u64, "psw-addr": 0, "reason": "disabled-wait"
        });
        let told = value(Event::guest_panicked(0, PanicReason::DisabledWait, &cpu));
        let data = json!({ "action": "poweroff", "info": info });
        assert_eq!(told, json!({ "event": "GUEST_PANICKED", "data": data }));
    }

    #[test]
    fn what_qemu_has_no_name_for_begins_with_an_x() {
        let lists = || vec!["05.0004".to_owned()];
        let changed =
            Event::ApConfigChanged { id: "ap0".into(), apqns: lists(), added: Vec::new(), removed: lists() };
        let data = json!({ "id": "ap0", "apqns": ["05.0004"], "added": [], "removed": ["05.0004"] });
        assert_eq!(value(changed), json!({ "event": "X_AP_CONFIG_CHANGED", "data": data }));
        let checkstopped = value(Event::ApCheckstopped { id: "ap0".into(), apqns: lists() });
        let data = json!({ "id": "ap0", "apqns": ["05.0004"] });
        assert_eq!(checkstopped, json!({ "event": "X_AP_CHECKSTOPPED", "data": data }));
        let wanted = value(Event::ApReleaseRequested { id: "ap0".into() });
        assert_eq!(wanted, json!({ "event": "X_AP_RELEASE_REQUESTED", "data": { "id": "ap0" } }));
    }

    #[test]
    fn an_event_says_when() {
        let message = serde_json::to_value(Message::of(Event::Paused).expect("told")).expect("JSON");
        assert_eq!(message["event"], "STOP");
        assert!(message["timestamp"]["seconds"].as_u64().is_some_and(|seconds| seconds > 1_700_000_000));
        assert!(message["timestamp"]["microseconds"].as_u64().is_some_and(|micros| micros < 1_000_000));
    }
}
