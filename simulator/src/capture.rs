//! A host file of a host that is there: what its `/sys` shows is read and written down, so that a simulated host can be
//! started that shows the same.
//!
//! The host is known by its [`Sysfs`] alone: a machine's own, a mounted one, a [`Snapshot`], a [`SimHost`]. What `/sys`
//! does not show can't be captured, and what a simulated host would show differently is said: see [`Capture::notes`].

mod devices;
mod look;
mod snapshot;

pub use snapshot::{Difference, ParseSnapshotError, Snapshot};

use crate::{ApSection, HostFile, KernelProfile, SimHost};
use adjunct_ap::{Apm, Apqi, Aqm, HostShare, Matrix, Sysfs, text};
use adjunct_cpu_model::Model;
use look::Look;
use std::collections::BTreeMap;

/// A captured host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The host file.
    pub host: HostFile,
    /// What is missing in it, or will be different on a host that is started from it, a sentence each.
    pub notes: Vec<String>,
}

/// Why a host can't be captured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// There is no AP bus, or not all of it.
    #[error("there is no {directory}: no AP bus, or not all of it")]
    Missing {
        /// What is not there.
        directory: &'static str,
    },
}

/// Attributes that count or tell the moment, so that no two hosts agree on them: `scans`, `request_count` and their kin.
pub const MOMENTARY: [&str; 8] = [
    "bindings_complete_count",
    "interrupt",
    "load",
    "pendingq_count",
    "request_count",
    "requestq_count",
    "reset",
    "scans",
];

impl Capture {
    /// Captures the host that `sysfs` shows, whose CPU model and kernel that does not tell.
    ///
    /// Attributes that can't be read are as on any host, and noted.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn of(
        sysfs: &dyn Sysfs,
        machine: &'static Model,
        kernel: KernelProfile,
    ) -> Result<Self, CaptureError> {
        let mut look = Look::new(sysfs);
        if let Some(directory) = ["bus/ap", "devices/ap"].into_iter().find(|dir| !look.is_dir(dir)) {
            return Err(CaptureError::Missing { directory });
        }
        let host = HostFile { machine, kernel, ap: bus(&mut look), mdevs: devices::mdevs(&mut look) };
        let mut capture = Self { host, notes: look.notes };
        capture.compare(&Snapshot::of(sysfs));
        Ok(capture)
    }

    /// Starts the host and looks where it differs: what a host file can say of that is added to it, the rest is noted.
    fn compare(&mut self, original: &Snapshot) {
        let Some(mut differences) = self.differences(original) else { return };
        let mut filtered = false;
        for difference in &differences {
            filtered |= devices::guest_matrix(&mut self.host.mdevs, difference);
        }
        if filtered {
            let Some(now) = self.differences(original) else { return };
            differences = now;
        }
        let lasting = |difference: &&Difference| !MOMENTARY.contains(&difference.name());
        self.notes.extend(differences.iter().filter(lasting).map(Difference::to_string));
    }

    fn differences(&mut self, original: &Snapshot) -> Option<Vec<Difference>> {
        match SimHost::new(self.host.clone()) {
            Ok(host) => Some(original.differences(&Snapshot::of(&host))),
            Err(error) => {
                self.notes.push(format!("A simulated host does not start from this: {error}."));
                None
            }
        }
    }

    /// The host file, with the notes as comments before it.
    pub fn to_toml(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("# {}\n", note.replace(char::is_control, " ")));
        notes.chain([self.host.to_toml()]).collect()
    }
}

/// `[ap]`, and its cards.
fn bus(look: &mut Look<'_>) -> ApSection {
    let features = look.parsed("bus/ap/features", text::parse_features).flatten();
    let apm: Option<Apm> = look.parsed("bus/ap/ap_adapter_mask", text::parse_qci_mask).flatten();
    let aqm = look.parsed("bus/ap/ap_usage_domain_mask", text::parse_qci_mask).flatten();
    let adm = look.parsed("bus/ap/ap_control_domain_mask", text::parse_qci_mask).flatten();
    let queues = devices::queues(look);
    // Without QCI only queues tell which domains there are.
    let seen: Aqm = queues.values().flat_map(adjunct_ap::ApMask::iter).collect();
    let usage_domains = aqm.unwrap_or(seen) | seen;
    let apmask: Apm = look.parsed("bus/ap/apmask", text::parse_mask).unwrap_or(Apm::ALL);
    let aqmask: Aqm = look.parsed("bus/ap/aqmask", text::parse_mask).unwrap_or(Aqm::ALL);
    let share = HostShare { apmask, aqmask, overrides: BTreeMap::new() };
    let cards = devices::cards(look, &queues, usage_domains, &share);
    let present: Apm = cards.iter().map(|card| card.id).collect();
    let silent_adapters = apm.unwrap_or(Apm::EMPTY) - present;
    ApSection {
        features,
        max_adapter: look.word("bus/ap/ap_max_adapter_id").unwrap_or(63),
        max_domain: look.word("bus/ap/ap_max_domain_id").unwrap_or(15),
        usage_domains,
        control_domains: adm.unwrap_or_else(|| adjunct_ap::ApMask::from_bytes(*usage_domains.as_bytes())),
        silent_adapters,
        ap_interrupts: look.word::<u8>("bus/ap/ap_interrupts").map(|flag| flag != 0),
        ap_domain: look.word::<i32>("bus/ap/ap_domain").and_then(|id| u8::try_from(id).ok()).map(Apqi),
        config_time: look.word("bus/ap/config_time").unwrap_or(30),
        poll_timeout: look.word("bus/ap/poll_timeout").unwrap_or(250_000),
        poll_thread: look.word::<u8>("bus/ap/poll_thread").is_some_and(|flag| flag != 0),
        drivers_autoprobe: look.word::<u8>("bus/ap/drivers_autoprobe").is_none_or(|flag| flag != 0),
        apmask: (apmask != Apm::ALL).then(|| text::format_mask_change(&Apm::ALL, &apmask)),
        aqmask: (aqmask != Aqm::ALL).then(|| text::format_mask_change(&Aqm::ALL, &aqmask)),
        cards,
    }
}

impl SimHost {
    /// The host as a host file: what its `/sys` shows, as [`Capture::of`] finds it, and of the hardware what that does not
    /// show. It is no act, and no fault that is planned for reads strikes it.
    ///
    /// What a host file can't say is lost: messages in queues, guests and their interrupts, what waits for a scan.
    pub fn dump(&self) -> HostFile {
        let (model, kernel) = (self.machine_model(), self.profile());
        let captured = Capture::of(&self.quietly(), model, kernel).map(|capture| capture.host);
        let mut host = captured.unwrap_or_else(|_| HostFile::bare(model, kernel));
        self.adapters().operate(|machine| devices::add_hardware(&mut host.ap, machine));
        host
    }
}

/// What of `matrix` is left to a guest, as sysfs prints it.
fn left(apm: Apm, aqm: Aqm) -> Matrix {
    Matrix { apm, aqm, ..Matrix::EMPTY }
}
