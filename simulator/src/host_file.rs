//! The host file: a machine, its adapters and what was done to its AP bus and mdevs, in TOML.
//!
//! Reading checks all that the text alone can tell and says where it is wrong. What a running kernel would refuse
//! (a queue in two mdevs) is refused when the host starts, by the same stores a person would use.

mod check;
mod error;
mod raw;

pub use error::HostFileError;

use crate::KernelProfile;
use adjunct_ap::{Adm, Apid, Apm, Aqm, Uuid, host::CardType, text::Features};
use adjunct_cpu_model::Model;
use serde::{Serialize, Serializer};
use std::path::Path;

/// A host, described. [`HostFile::default`] is [`HostFile::THREE_GUESTS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile {
    /// `machine`: the CPU model of the host.
    pub machine: &'static Model,
    /// `kernel`: whose behaviour.
    pub kernel: KernelProfile,
    /// `[ap]`: the crypto hardware and the bus.
    pub ap: ApSection,
    /// `[[mdev]]`, in the order in which they are made.
    pub mdevs: Vec<MdevEntry>,
}

/// `[ap]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApSection {
    /// `features`: the flags of QCI. `None` for an empty list, which the kernel takes for a machine without QCI.
    pub features: Option<Features>,
    /// `max_adapter`: the highest adapter number of the machine.
    pub max_adapter: u8,
    /// `max_domain`: the highest domain number of the machine.
    pub max_domain: u8,
    /// `usage_domains`.
    pub usage_domains: Aqm,
    /// `control_domains`.
    pub control_domains: Adm,
    /// `apmask`: what is written to `/sys/bus/ap/apmask` at start, if anything.
    pub apmask: Option<String>,
    /// `aqmask`: what is written to `/sys/bus/ap/aqmask` at start, if anything.
    pub aqmask: Option<String>,
    /// `[[ap.card]]`.
    pub cards: Vec<CardEntry>,
}

/// `[[ap.card]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardEntry {
    /// `id`.
    pub id: Apid,
    /// `type`.
    pub kind: CardType,
    /// `config`: configured on.
    pub config: bool,
    /// `online`: what is written to the card's `online` at start.
    pub online: bool,
    /// `chkstop`: checkstopped.
    pub chkstop: bool,
    /// `missing_queues`: usage domains for which this adapter has no queue.
    pub missing_queues: Aqm,
}

/// `[[mdev]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdevEntry {
    /// `uuid`.
    pub uuid: Uuid,
    /// `adapters`, assigned first.
    pub adapters: Apm,
    /// `domains`, assigned next.
    pub domains: Aqm,
    /// `control_domains`, assigned last.
    pub control_domains: Adm,
}

impl HostFile {
    /// The text of the built-in host: the example of the kernel's documentation,
    /// `resources/hosts/three-guests.toml`.
    pub const THREE_GUESTS: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../resources/hosts/three-guests.toml"));

    /// Reads a host from TOML text.
    ///
    /// # Errors
    /// [`HostFileError::Malformed`] with the line and column of what is wrong.
    pub fn parse(text: &str) -> Result<Self, HostFileError> {
        let raw: raw::Host = toml::from_str(text).map_err(|error| HostFileError::of_toml(text, &error))?;
        check::host(raw).map_err(|wrong| wrong.at(text))
    }

    /// Reads the host file at `path`.
    ///
    /// # Errors
    /// [`HostFileError::File`], which names the file.
    pub fn read(path: &Path) -> Result<Self, HostFileError> {
        let read = || Self::parse(&std::fs::read_to_string(path)?);
        read().map_err(|error| HostFileError::File { path: path.to_owned(), source: Box::new(error) })
    }

    /// The host as the text of a host file.
    pub fn to_toml(&self) -> String {
        // A table of strings, numbers and lists: there is nothing that TOML could not write.
        toml::to_string(self).unwrap_or_default()
    }
}

impl Default for HostFile {
    fn default() -> Self {
        Self::parse(Self::THREE_GUESTS).expect("a test reads the built-in host file")
    }
}

impl Serialize for HostFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        raw::Written::of(self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
