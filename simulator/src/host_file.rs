//! The host file: a machine, its adapters and what was done to its AP bus and mdevs, in TOML.
//!
//! Reading checks all that the text alone can tell and says where it is wrong. What a running kernel would refuse
//! (a queue in two mdevs) is refused when the host starts, by the same stores a person would use.

mod card;
mod check;
mod error;
mod raw;
mod write;

pub(crate) use check::{CONFIG_TIME, POLL_TIMEOUT};
pub use error::HostFileError;

use crate::KernelProfile;
use adjunct_ap::{
    Adm, Apid, Apm, Apqi, Aqm, Matrix, Uuid,
    host::{CardType, QueueDriver},
    text::Features,
};
use adjunct_cpu_model::Model;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// More than the host file of the largest machine has.
const MOST_MIB: u64 = 16;

/// What comes `from` somewhere, perhaps without end, as the text of a host file.
fn text(from: impl Read) -> io::Result<String> {
    let most = MOST_MIB << 20;
    let mut bytes = Vec::new();
    if from.take(most + 1).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::Error::other(format!("it is longer than {MOST_MIB} MiB")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// A host, described.
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
    /// `silent_adapters`: adapters of the configuration that have no queue, so that the bus makes no card of them.
    pub silent_adapters: Apm,
    /// `ap_interrupts`: whether there are AP interruptions, facility 65; without this, what the machine has.
    pub ap_interrupts: Option<bool>,
    /// `ap_domain`: what is written to `/sys/bus/ap/ap_domain` at start, if anything.
    pub ap_domain: Option<Apqi>,
    /// `config_time`: seconds between scans, 5 to 120.
    pub config_time: u8,
    /// `poll_timeout`, in nanoseconds.
    pub poll_timeout: u64,
    /// `poll_thread`. Without effect where there are interruptions, as in the kernel.
    pub poll_thread: bool,
    /// `drivers_autoprobe`, when all else is done.
    pub drivers_autoprobe: bool,
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
    /// `driver`: bound to cex4card, the host's driver. Else `"none"`.
    pub bound: bool,
    /// What it differs in from others of its type.
    pub details: CardDetails,
    /// `[[ap.card.queue]]`: queues of which more is to be said.
    pub queues: Vec<QueueEntry>,
}

/// What an adapter shows that its type alone does not tell. The keys are named as the attributes of sysfs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardDetails {
    /// `raw_hwtype`: the type number that the adapter itself shows. Drivers that know it not take it for the newest that
    /// they know.
    pub raw_hwtype: Option<u8>,
    /// `ap_functions`: the function bits, the upper half of TAPQ's GR2.
    pub ap_functions: Option<u32>,
    /// `depth`: how many messages a queue holds, 1 to 16.
    pub depth: Option<u8>,
    /// `max_msg_size`: the longest message in bytes, a multiple of 4096 up to 61440.
    pub max_msg_size: Option<u32>,
    /// What the adapter says of itself when its driver asks.
    pub firmware: Firmware,
}

/// What an adapter says of itself when its driver asks, as the attribute of that name then shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// `serialnr`, of CCA and EP11 coprocessors.
    pub serialnr: String,
    /// `API_ordinalnr`, of EP11 coprocessors.
    pub api_ordinalnr: String,
    /// `FW_version`, of EP11 coprocessors.
    pub fw_version: String,
    /// `op_modes`, of EP11 coprocessors.
    pub op_modes: String,
}

/// `[[ap.card.queue]]`: what became of a queue, where cards and masks do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// `domain`.
    pub domain: Apqi,
    /// `driver`: `"cex4queue"`, `"vfio_ap"`, or `"none"` for `Some(None)`; without this, whom the masks give it to. What
    /// the masks do not allow is reached by an override, which goes again unless `driver_override` is there too.
    pub driver: Option<Option<QueueDriver>>,
    /// `driver_override`, since kernel 7.0.
    pub driver_override: Option<String>,
    /// `online`: for the host's own driver; without this, as its card.
    pub online: Option<bool>,
    /// `config`: what the bus saw of the queue when it last looked, if that is no more so.
    pub config: Option<bool>,
    /// `chkstop`: likewise.
    pub chkstop: Option<bool>,
    /// `initiated`: whether the bus has reset it since it was last taken from a driver. Without this, only those of
    /// the host's driver are.
    pub initiated: Option<bool>,
}

impl QueueEntry {
    /// Nothing to be said of it.
    pub fn new(domain: Apqi) -> Self {
        Self {
            domain,
            driver: None,
            driver_override: None,
            online: None,
            config: None,
            chkstop: None,
            initiated: None,
        }
    }
}

impl CardEntry {
    /// An adapter that is there, works, and is used as the masks say.
    pub fn new(id: Apid, kind: CardType) -> Self {
        Self {
            id,
            kind,
            config: true,
            online: true,
            chkstop: false,
            missing_queues: Aqm::EMPTY,
            bound: true,
            details: CardDetails::default(),
            queues: Vec::new(),
        }
    }
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
    /// `guest_adapters`: which of them a guest may have, where the host's history has left others than filtering finds.
    pub guest_adapters: Option<Apm>,
    /// `guest_domains`: likewise.
    pub guest_domains: Option<Aqm>,
}

impl MdevEntry {
    /// An mdev with nothing assigned.
    pub fn new(uuid: Uuid) -> Self {
        Self {
            uuid,
            adapters: Apm::EMPTY,
            domains: Aqm::EMPTY,
            control_domains: Adm::EMPTY,
            guest_adapters: None,
            guest_domains: None,
        }
    }

    /// What is assigned to it.
    pub fn matrix(&self) -> Matrix {
        Matrix { apm: self.adapters, aqm: self.domains, adm: self.control_domains }
    }
}

impl HostFile {
    /// The machine of a host file that names none.
    pub const MACHINE: &'static Model = Model::Z16;

    /// The text of the built-in host: the example of the kernel's documentation,
    /// `resources/hosts/three-guests.toml`.
    // A link to resources/hosts, so that the crate can be packaged.
    pub const THREE_GUESTS: &str = include_str!("../hosts/three-guests.toml");

    /// The built-in host, [`HostFile::THREE_GUESTS`].
    ///
    /// # Errors
    /// None as long as the text is right, which a test sees to.
    pub fn three_guests() -> Result<Self, HostFileError> {
        Self::parse(Self::THREE_GUESTS)
    }

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
    /// [`HostFileError::File`], which names the file. One that is longer than 16 MiB, or never ends, can't be read.
    pub fn read(path: &Path) -> Result<Self, HostFileError> {
        let read = || Self::parse(&Self::text_of(path)?);
        read().map_err(|error| HostFileError::File { path: path.to_owned(), source: Box::new(error) })
    }

    /// The text of the host file at `path`, which may be a pipe or a device.
    ///
    /// # Errors
    /// It can't be opened or read, is no UTF-8, or is longer than 16 MiB.
    pub fn text_of(path: &Path) -> io::Result<String> {
        text(File::open(path)?)
    }

    /// A host without adapters.
    pub(crate) fn bare(machine: &'static Model, kernel: KernelProfile) -> Self {
        Self { machine, kernel, ap: check::no_cards(), mdevs: Vec::new() }
    }

    /// The host as the text of a host file. What is as it is by default is left out, but what every reader looks for:
    /// machine, kernel, domains, and what a card is.
    pub fn to_toml(&self) -> String {
        write::host(self)
    }
}

#[cfg(test)]
mod tests;
