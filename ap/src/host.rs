//! The host's AP bus: which adapters and domains there are, which queues, and who drives them.
//!
//! Reads only. It knows nothing of mdevs; whether a queue is in one shows in the queue's `status`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{
    Apid, Apm, Apqi, Apqn, Aqm, HostShare, Matrix,
    sysfs::{ReadError, Sysfs, if_present, list_if_present, read, read_word},
    text::{self, Features},
};

/// The AP bus, `/sys/bus/ap`. Nothing is remembered: every method reads the host anew.
#[derive(Clone, Copy)]
pub struct Bus<'a> {
    sysfs: &'a dyn Sysfs,
}

impl<'a> Bus<'a> {
    /// The AP bus of the host that `sysfs` shows.
    pub fn new(sysfs: &'a dyn Sysfs) -> Self {
        Self { sysfs }
    }

    /// Whether the host has an AP bus at all.
    pub fn is_present(&self) -> bool {
        self.sysfs.list("bus/ap").is_ok()
    }

    /// The highest adapter id the machine can have.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every method of `Bus`.
    pub fn max_adapter(&self) -> Result<Apid, ReadError> {
        read_word(self.sysfs, "bus/ap/ap_max_adapter_id").map(Apid)
    }

    /// The highest domain id the machine can have, usage and control domains alike.
    pub fn max_domain(&self) -> Result<Apqi, ReadError> {
        read_word(self.sysfs, "bus/ap/ap_max_domain_id").map(Apqi)
    }

    /// The features that QCI reports; `None` without QCI.
    pub fn features(&self) -> Result<Option<Features>, ReadError> {
        read(self.sysfs, "bus/ap/features", text::parse_features)
    }

    /// The adapters, usage domains and control domains in the host's configuration; `None` without QCI.
    pub fn configuration(&self) -> Result<Option<Matrix>, ReadError> {
        let apm = read(self.sysfs, "bus/ap/ap_adapter_mask", text::parse_qci_mask)?;
        let aqm = read(self.sysfs, "bus/ap/ap_usage_domain_mask", text::parse_qci_mask)?;
        let adm = read(self.sysfs, "bus/ap/ap_control_domain_mask", text::parse_qci_mask)?;
        Ok(apm.zip(aqm).zip(adm).map(|((apm, aqm), adm)| Matrix { apm, aqm, adm }))
    }

    /// How many scans of the bus are finished.
    pub fn scans(&self) -> Result<u64, ReadError> {
        read_word(self.sysfs, "bus/ap/scans")
    }

    /// The adapters that belong to the host's drivers.
    pub fn apmask(&self) -> Result<Apm, ReadError> {
        read(self.sysfs, "bus/ap/apmask", text::parse_mask)
    }

    /// The domains that belong to the host's drivers.
    pub fn aqmask(&self) -> Result<Aqm, ReadError> {
        read(self.sysfs, "bus/ap/aqmask", text::parse_mask)
    }

    /// What the host keeps for its own drivers: both masks, and the queues decided by `driver_override`.
    pub fn share(&self) -> Result<HostShare, ReadError> {
        let mut overrides = BTreeMap::new();
        for (apqn, driver) in self.bound()? {
            if self.driver_override(apqn)?.is_some_and(|name| !name.is_empty()) {
                overrides.insert(apqn, driver != QueueDriver::VfioAp);
            }
        }
        Ok(HostShare { apmask: self.apmask()?, aqmask: self.aqmask()?, overrides })
    }

    /// The adapters that the bus found, lowest first.
    pub fn cards(&self) -> Result<Vec<Card>, ReadError> {
        let names = list_if_present(self.sysfs, "bus/ap/devices")?;
        let ids = names.iter().filter_map(|name| name.strip_prefix("card"));
        ids.filter_map(|id| u8::from_str_radix(id, 16).ok()).map(|id| self.card(Apid(id))).collect()
    }

    fn card(&self, apid: Apid) -> Result<Card, ReadError> {
        let attr = |name: &str| format!("bus/ap/devices/card{apid}/{name}");
        let flag = |name: &str| read_word::<u8>(self.sysfs, &attr(name)).map(|flag| flag != 0);
        Ok(Card {
            apid,
            hwtype: read_word(self.sysfs, &attr("hwtype"))?,
            kind: if_present(read_word(self.sysfs, &attr("type")))?,
            online: if_present(flag("online"))?,
            configured: flag("config")?,
            checkstopped: flag("chkstop")?,
            depth: read_word(self.sysfs, &attr("depth"))?,
            max_msg_size: read_word(self.sysfs, &attr("max_msg_size"))?,
        })
    }

    /// Whether the adapter was checkstopped when the bus looked at it last. Nobody is told of that: there is no uevent
    /// (`drivers/s390/crypto/ap_bus.c: ap_scan_adapter`, 7.3).
    pub fn is_checkstopped(&self, apid: Apid) -> Result<bool, ReadError> {
        read_word::<u8>(self.sysfs, &format!("bus/ap/devices/card{apid}/chkstop")).map(|flag| flag != 0)
    }

    /// The queues that the bus found, in the order of their APQNs.
    pub fn queues(&self) -> Result<Vec<Queue>, ReadError> {
        let bound = self.bound()?;
        self.apqns()?.into_iter().map(|apqn| self.queue(apqn, bound.get(&apqn).copied())).collect()
    }

    /// The numbers of the queues that the bus found, lowest first.
    pub fn apqns(&self) -> Result<Vec<Apqn>, ReadError> {
        self.queues_in("bus/ap/devices")
    }

    /// The queues with an entry in `dir`; none where there is no such directory.
    fn queues_in(&self, dir: &str) -> Result<Vec<Apqn>, ReadError> {
        let names = list_if_present(self.sysfs, dir)?;
        Ok(names.iter().filter_map(|name| text::parse_apqn(name.as_bytes())).collect())
    }

    fn queue(&self, apqn: Apqn, driver: Option<QueueDriver>) -> Result<Queue, ReadError> {
        let status = match driver {
            Some(QueueDriver::VfioAp) => self.status(apqn)?,
            _ => None,
        };
        let driver_override = self.driver_override(apqn)?.filter(|name| !name.is_empty());
        Ok(Queue { apqn, driver, status, driver_override })
    }

    /// What vfio_ap does with `apqn`; `None` when vfio_ap does not have it.
    pub fn status(&self, apqn: Apqn) -> Result<Option<QueueStatus>, ReadError> {
        if_present(read_word(self.sysfs, &format!("bus/ap/devices/{apqn}/status")))
    }

    /// The queues that have a driver.
    pub fn bound(&self) -> Result<BTreeMap<Apqn, QueueDriver>, ReadError> {
        let mut bound = BTreeMap::new();
        for driver in [QueueDriver::Cex4queue, QueueDriver::VfioAp] {
            // A driver that is not loaded has no directory.
            let queues = self.queues_in(&format!("bus/ap/drivers/{driver}"))?;
            bound.extend(queues.into_iter().map(|apqn| (apqn, driver)));
        }
        Ok(bound)
    }

    /// The name of the only driver that may bind `apqn`, empty when that is left to the masks; `None` where there is
    /// no such attribute (before kernel 7.0).
    fn driver_override(&self, apqn: Apqn) -> Result<Option<String>, ReadError> {
        if_present(read_word(self.sysfs, &format!("bus/ap/devices/{apqn}/driver_override")))
    }
}

impl fmt::Debug for Bus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

/// An adapter of the host (`drivers/s390/crypto/ap_card.c`, `zcrypt_card.c`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its id.
    pub apid: Apid,
    /// Type as the drivers treat it: 10 for CEX4 to 14 for CEX8.
    pub hwtype: u32,
    /// What it is, `CEX5C`; `None` while no driver has the card.
    pub kind: Option<CardType>,
    /// Whether the host's applications may use it; `None` while no driver has the card.
    pub online: Option<bool>,
    /// Whether it is configured, as opposed to standby.
    pub configured: bool,
    /// Whether it is checkstopped.
    pub checkstopped: bool,
    /// How many messages a queue of it holds.
    pub depth: u32,
    /// The longest message it takes, in bytes.
    pub max_msg_size: u32,
}

/// A queue of the host (`drivers/s390/crypto/ap_queue.c`, `vfio_ap_ops.c`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its number.
    pub apqn: Apqn,
    /// Who drives it.
    pub driver: Option<QueueDriver>,
    /// What vfio_ap does with it; `None` unless vfio_ap drives it.
    pub status: Option<QueueStatus>,
    /// The only driver that may bind it, where one was named (kernel 7.0 and later).
    pub driver_override: Option<String>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        /// As sysfs writes it.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $word,)* })
            }
        }

        impl FromStr for $name {
            type Err = text::Malformed;

            fn from_str(text: &str) -> Result<Self, text::Malformed> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(text::Malformed),
                }
            }
        }
    };
}

words! {
    /// The drivers that can have a queue.
    QueueDriver {
        /// The host's own (zcrypt).
        Cex4queue = "cex4queue",
        /// The one that gives queues to guests.
        VfioAp = "vfio_ap",
    }
}

words! {
    /// What vfio_ap does with a queue bound to it (`drivers/s390/crypto/vfio_ap_ops.c: status_show`).
    QueueStatus {
        /// In no mdev.
        Unassigned = "unassigned",
        /// In an mdev, but not in the hands of a guest.
        Assigned = "assigned",
        /// In the hands of a guest.
        InUse = "in use",
    }
}

/// What a card is: generation and mode. Written `CEX5C`, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CardType {
    generation: u8,
    mode: Mode,
}

/// What a card is set up to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Clear-key accelerator, `A`.
    Accelerator,
    /// CCA coprocessor, `C`.
    Cca,
    /// EP11 coprocessor, `P`.
    Ep11,
}

impl CardType {
    /// The card of generation 4 to 8 (CEX4 to CEX8) in that mode; `None` for other generations.
    pub fn new(generation: u8, mode: Mode) -> Option<Self> {
        (4..=8).contains(&generation).then_some(Self { generation, mode })
    }

    /// 4 for CEX4 to 8 for CEX8.
    pub const fn generation(self) -> u8 {
        self.generation
    }

    /// What it is set up to do.
    pub const fn mode(self) -> Mode {
        self.mode
    }

    /// The type number of the generation: 10 for CEX4 to 14 for CEX8 (`drivers/s390/crypto/ap_bus.h`).
    pub const fn hwtype(self) -> u8 {
        self.generation + 6
    }
}

/// As lszcrypt names it: `CCA-Coproc`.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Accelerator => "Accelerator",
            Mode::Cca => "CCA-Coproc",
            Mode::Ep11 => "EP11-Coproc",
        })
    }
}

impl fmt::Display for CardType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.mode {
            Mode::Accelerator => 'A',
            Mode::Cca => 'C',
            Mode::Ep11 => 'P',
        };
        write!(f, "CEX{}{letter}", self.generation)
    }
}

/// Not a card that Linux can give to a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a card; write CEX4 to CEX8 and A, C or P, for example CEX5C")]
pub struct ParseCardTypeError(String);

impl FromStr for CardType {
    type Err = ParseCardTypeError;

    fn from_str(text: &str) -> Result<Self, ParseCardTypeError> {
        let card = || {
            let mut rest = text.strip_prefix("CEX")?.chars();
            let generation = u8::try_from(rest.next()?.to_digit(10)?).ok()?;
            let mode = match rest.next()? {
                'A' => Mode::Accelerator,
                'C' => Mode::Cca,
                'P' => Mode::Ep11,
                _ => return None,
            };
            rest.next().is_none().then(|| CardType::new(generation, mode))?
        };
        card().ok_or_else(|| ParseCardTypeError(text.to_owned()))
    }
}
