//! What happened to a guest, for whoever watches: one JSON object a line.

use crate::{config::EventTarget, exit_status::ExitStatus};
use adjunct_hypervisor::descriptor;
use serde::Serialize;
use std::{
    fs::File,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

/// Something that happened. The shape is part of the interface and pinned by a test; new events and
/// new members may come, what is here stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// The host was looked at and can do what was asked for. Nothing has been changed yet.
    HostChecked {
        /// What the host is.
        host: &'a str,
        /// What was worth a warning.
        warnings: &'a [String],
    },
    /// The VM and its vCPUs exist; the CPU model is frozen.
    VmBuilt {
        /// CPU model as `--cpu` takes it.
        cpu: &'a str,
        /// Number of vCPUs.
        vcpus: u16,
        /// Guest memory in bytes.
        memory: u64,
    },
    /// The AP device is open: the guest has these queues.
    ApAttached {
        /// What the user calls the device.
        id: &'a str,
        /// UUID of the mediated device, if it is known.
        mdev: Option<&'a str>,
        /// The guest's queues as sysfs writes them: `05.0004`.
        apqns: &'a [String],
    },
    /// The host changed the guest's queues (`VFIO_AP_CFG_CHG_IRQ_INDEX`).
    ApConfigChanged {
        /// What the user calls the device.
        id: &'a str,
        /// The queues the guest has now.
        apqns: &'a [String],
    },
    /// The host wants the AP device back (`VFIO_AP_REQ_IRQ_INDEX`).
    ApReleaseRequested {
        /// What the user calls the device.
        id: &'a str,
    },
    /// The guest was reset.
    GuestReset {
        /// Which: `external`, `re-ipl`, `modified-clear`, `load-normal`.
        kind: &'a str,
    },
    /// The guest ended. Always the last event.
    Ended {
        /// Exit status of the program.
        status: u8,
        /// Why, for people.
        reason: &'a str,
    },
}

impl Event<'_> {
    /// The last event.
    pub fn ended(status: ExitStatus, reason: &str) -> Event<'_> {
        Event::Ended { status: status.code(), reason }
    }
}

/// Events that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("--event-monitor {target}: it can't be written")]
pub struct EventsError {
    target: EventTarget,
    #[source]
    source: io::Error,
}

/// Where events go.
#[derive(Debug, Default)]
pub struct Events {
    monitor: Option<Monitor>,
}

#[derive(Debug)]
struct Monitor {
    target: EventTarget,
    file: Mutex<(File, Option<io::Error>)>,
}

impl Events {
    /// Opens `target`, or nothing.
    ///
    /// # Errors
    /// [`EventsError`] as opening the file or duplicating the descriptor says.
    pub fn open(target: Option<&EventTarget>) -> Result<Self, EventsError> {
        let Some(target) = target else { return Ok(Self::default()) };
        let file = match target {
            EventTarget::Path(path) => File::create(path),
            EventTarget::Descriptor(number) => descriptor::inherit(*number).map(File::from),
        };
        let file = file.map_err(|source| EventsError { target: target.clone(), source })?;
        Ok(Self { monitor: Some(Monitor { target: target.clone(), file: Mutex::new((file, None)) }) })
    }

    /// Whether anybody sees what is sent: what costs something to find out need not be found out else.
    pub fn are_seen(&self) -> bool {
        self.monitor.is_some() || tracing::enabled!(tracing::Level::INFO)
    }

    /// Writes one event. A watcher that has gone away does not end the guest: that is said at the end.
    pub fn send(&self, event: &Event<'_>) {
        tracing::info!("{}", serde_json::to_string(event).unwrap_or_default());
        let Some(monitor) = &self.monitor else { return };
        let mut guard = monitor.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, lost) = &mut *guard;
        if let Err(error) = write_line(file, event) {
            lost.get_or_insert(error);
        }
    }

    /// Whether all events were written.
    ///
    /// # Errors
    /// [`EventsError`] with the first failure.
    pub fn all_written(self) -> Result<(), EventsError> {
        let Some(Monitor { target, file }) = self.monitor else { return Ok(()) };
        let (_, lost) = file.into_inner().unwrap_or_else(PoisonError::into_inner);
        lost.map_or(Ok(()), |source| Err(EventsError { target, source }))
    }
}

/// One event as one line, written at once so that lines never mix.
fn write_line(to: &mut impl Write, event: &Event<'_>) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    to.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_json_object_on_one_line() {
        let apqns = ["05.0004".to_owned(), "05.00ab".to_owned()];
        let warnings = ["two\nlines".to_owned()];
        let events = [
            Event::HostChecked { host: "KVM", warnings: &warnings },
            Event::VmBuilt { cpu: "host", vcpus: 2, memory: 1 << 28 },
            Event::ApAttached { id: "ap0", mdev: Some("6c4a"), apqns: &apqns },
            Event::ApConfigChanged { id: "ap0", apqns: &[] },
            Event::ApReleaseRequested { id: "ap0" },
            Event::GuestReset { kind: "load-normal" },
            Event::ended(ExitStatus::GuestFailed, "disabled wait"),
        ];
        let mut text = Vec::new();
        for event in &events {
            write_line(&mut text, event).expect("a vector takes it");
        }
        let want = [
            r#"{"event":"host-checked","host":"KVM","warnings":["two\nlines"]}"#,
            r#"{"event":"vm-built","cpu":"host","vcpus":2,"memory":268435456}"#,
            r#"{"event":"ap-attached","id":"ap0","mdev":"6c4a","apqns":["05.0004","05.00ab"]}"#,
            r#"{"event":"ap-config-changed","id":"ap0","apqns":[]}"#,
            r#"{"event":"ap-release-requested","id":"ap0"}"#,
            r#"{"event":"guest-reset","kind":"load-normal"}"#,
            r#"{"event":"ended","status":1,"reason":"disabled wait"}"#,
        ];
        assert_eq!(String::from_utf8(text).expect("JSON is UTF-8").lines().collect::<Vec<_>>(), want);
    }
}
