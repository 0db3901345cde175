//! The AP bus and its own drivers (`drivers/s390/crypto/ap_bus.c`, `ap_card.c`, `ap_queue.c`, `zcrypt_*.c`, 7.2):
//! devices for adapters and queues, who drives them, and the masks that say which queues the host keeps.
//!
//! It knows of guests and mdevs only what vfio_ap answers when asked whether queues are in use.

mod bus_attributes;
mod card_attributes;
mod drivers;
mod masks;
mod queue_attributes;
mod restore;
mod scan;
mod state_machine;
mod uevent;

pub(crate) use bus_attributes::{BUS, ROOT_DEVICE};
pub(crate) use card_attributes::CARD;
pub(crate) use drivers::{DRIVER, DriverName};
pub(crate) use queue_attributes::QUEUE;

use crate::{Qci, adapters::function};
use adjunct_ap::host::{Mode, QueueDriver};
use adjunct_ap::{Apid, Apm, Apqi, Apqn, Aqm, HostShare, Matrix};
use std::collections::{BTreeMap, BTreeSet};

/// The bus's state.
#[derive(Debug)]
pub(crate) struct ApBus {
    pub(crate) apmask: Apm,
    pub(crate) aqmask: Aqm,
    /// Whether a write left a mask that is not all ones; driver overrides are then refused.
    masks_changed: bool,
    /// How many overrides are set. As in the kernel it is not counted down when a queue goes away.
    overrides: usize,
    /// How many queues have a driver.
    bound: usize,
    /// QCI as of the last scan; `None` without it.
    pub(crate) qci: Option<Qci>,
    pub(crate) cards: BTreeMap<Apid, CardDevice>,
    pub(crate) queues: BTreeMap<Apqn, QueueDevice>,
    scans: u64,
    /// When the next scan is due, in nanoseconds of the clock.
    next_scan: u64,
    /// Seconds between scans.
    config_time: i32,
    poll_timeout: u64,
    poll_thread: bool,
    domain: Option<Apqi>,
    bindings_complete: u64,
    /// A driver was asked for a device, or new adapters or domains came, since all queues were last found bound: that
    /// they are is news.
    bindings_armed: bool,
    /// Drivers are asked for every new device.
    autoprobe: bool,
    /// How many devices were registered or bound: devices are walked in the order of registration.
    order: u64,
    /// Queues that are being brought up.
    starting: BTreeSet<Apqn>,
    /// When the bus looks at them again, in nanoseconds of the clock.
    poll_at: Option<u64>,
}

/// A card device.
#[derive(Clone, Debug)]
pub(crate) struct CardDevice {
    /// Which of the devices that had this name.
    pub(crate) born: u64,
    /// The type that drivers take it for: 10 to 14.
    hardware_type: u8,
    raw_hardware_type: u8,
    functions: u32,
    depth: u8,
    /// In units of 4 KiB; 0 stands for 12 KiB.
    max_message: u8,
    config: bool,
    checkstop: bool,
    /// Bound to cex4card.
    pub(crate) bound: bool,
    /// What was last written to `online`.
    online: bool,
}

/// Whether the bus works with a queue (`ap_bus.h: enum ap_dev_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueueState {
    /// Not reset by the bus yet, or not since it was unbound.
    Uninitiated,
    /// Reset, or being reset, by the bus.
    Operating,
    /// It did not take its reset, or is configured off or checkstopped.
    Error,
}

/// How far the bus is with bringing up a queue (`ap_bus.h: enum ap_sm_state`). It sends no requests, so there are no
/// states beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// To be reset.
    ResetStart,
    /// Being reset.
    ResetWait,
    /// Interruptions were asked for.
    SetIrqWait,
    /// Ready.
    Idle,
}

/// A queue device.
#[derive(Clone, Debug)]
pub(crate) struct QueueDevice {
    /// Which of the devices that had this name.
    pub(crate) born: u64,
    pub(crate) driver: Option<QueueDriver>,
    pub(crate) driver_override: Option<String>,
    state: QueueState,
    step: Step,
    config: bool,
    checkstop: bool,
    online: bool,
    /// When it was registered, and when it was last bound: places in the order of such things.
    registered: u64,
    bound: u64,
}

impl CardDevice {
    /// What it is used as: the first of accelerator, CCA, EP11
    /// (`drivers/s390/crypto/zcrypt_cex4.c: zcrypt_cex4_card_probe`).
    fn mode(&self) -> Option<Mode> {
        let modes = [
            (function::ACCELERATOR, Mode::Accelerator),
            (function::CCA, Mode::Cca),
            (function::EP11, Mode::Ep11),
        ];
        modes.into_iter().find(|(bit, _)| self.functions & bit != 0).map(|(_, mode)| mode)
    }
}

impl ApBus {
    /// Seconds between scans unless told otherwise (`AP_CONFIG_TIME`).
    const CONFIG_TIME: i32 = 30;
    /// Poll interval in a partition, in nanoseconds.
    const POLL_TIMEOUT: u64 = 250_000;

    pub(crate) fn new() -> Self {
        Self {
            apmask: Apm::ALL,
            aqmask: Aqm::ALL,
            masks_changed: false,
            overrides: 0,
            bound: 0,
            qci: None,
            cards: BTreeMap::new(),
            queues: BTreeMap::new(),
            scans: 0,
            next_scan: 0,
            config_time: Self::CONFIG_TIME,
            poll_timeout: Self::POLL_TIMEOUT,
            poll_thread: false,
            domain: None,
            bindings_complete: 0,
            bindings_armed: true,
            autoprobe: true,
            order: 0,
            starting: BTreeSet::new(),
            poll_at: None,
        }
    }

    /// The next place in the order of registering and binding.
    fn next_place(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// The queue devices of a card, by number.
    pub(crate) fn queues_of(&self, apid: Apid) -> impl Iterator<Item = (&Apqn, &QueueDevice)> {
        self.queues.range(Apqn { apid, apqi: Apqi(0) }..=Apqn { apid, apqi: Apqi(u8::MAX) })
    }

    /// Queue devices in the order in which they were registered, as the kernel walks them (`bus_for_each_dev`).
    fn registered<'a>(queues: impl Iterator<Item = (&'a Apqn, &'a QueueDevice)>) -> Vec<Apqn> {
        let mut queues: Vec<_> = queues.map(|(apqn, queue)| (queue.registered, *apqn)).collect();
        queues.sort_unstable();
        queues.into_iter().map(|(_, apqn)| apqn).collect()
    }

    fn extended(&self) -> Option<&Qci> {
        self.qci.as_ref().filter(|qci| qci.apxa())
    }

    /// `ap_max_adapter_id`.
    pub(crate) fn max_adapter(&self) -> u8 {
        self.extended().map(|qci| qci.max_adapter).filter(|max| *max != 0).unwrap_or(63)
    }

    /// `ap_max_domain_id`.
    pub(crate) fn max_domain(&self) -> u8 {
        self.extended().map(|qci| qci.max_domain).filter(|max| *max != 0).unwrap_or(15)
    }

    /// Whether the masks reserve a queue for the host's own drivers.
    pub(crate) fn reserves(&self, apqn: Apqn) -> bool {
        self.apmask.contains(apqn.apid) && self.aqmask.contains(apqn.apqi)
    }

    /// Whether the host owns any queue of `matrix`, there or not
    /// (`drivers/s390/crypto/ap_bus.c: ap_apqn_in_matrix_owned_by_def_drv`).
    pub(crate) fn owns_any(&self, matrix: &Matrix) -> bool {
        self.share().conflicts_with(matrix)
    }

    /// What the host keeps: only bound queues can be decided about by an override.
    pub(crate) fn share(&self) -> HostShare {
        // While none is set there is no need to look for one.
        let all = (self.overrides > 0).then_some(&self.queues).into_iter().flatten();
        let overridden = all.filter(|(_, queue)| queue.driver_override.is_some());
        let decided = overridden
            .filter_map(|(apqn, queue)| queue.driver.map(|driver| (*apqn, driver == QueueDriver::Cex4queue)));
        HostShare { apmask: self.apmask, aqmask: self.aqmask, overrides: decided.collect() }
    }
}
