//! Who drives which device: probing, binding, unbinding (`drivers/s390/crypto/ap_bus.c: ap_device_probe,
//! ap_device_remove`; `drivers/base/bus.c`).

use super::QueueState;
use crate::{
    host::State,
    sysfs::{Attribute, Errno},
    uevents::Synthetic,
};
use adjunct_ap::{Apid, Apqn, host::QueueDriver};

/// A driver of the AP bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DriverName {
    /// The host's driver of adapters.
    Cex4Card,
    /// The host's driver of queues.
    Cex4Queue,
    /// The one that gives queues to guests.
    VfioAp,
}

/// In the order in which they were registered, which is the order in which they are asked.
const QUEUE_DRIVERS: [QueueDriver; 2] = [QueueDriver::Cex4queue, QueueDriver::VfioAp];

impl From<QueueDriver> for DriverName {
    fn from(driver: QueueDriver) -> Self {
        match driver {
            QueueDriver::Cex4queue => Self::Cex4Queue,
            QueueDriver::VfioAp => Self::VfioAp,
        }
    }
}

impl DriverName {
    /// Its name in sysfs.
    fn name(self) -> &'static str {
        match self {
            Self::Cex4Card => "cex4card",
            Self::Cex4Queue => "cex4queue",
            Self::VfioAp => "vfio_ap",
        }
    }

    fn queue_driver(self) -> Option<QueueDriver> {
        QUEUE_DRIVERS.into_iter().find(|driver| DriverName::from(*driver) == self)
    }
}

/// Attributes of a driver.
pub(crate) const DRIVER: &[Attribute<DriverName>] = &[
    Attribute::wo("bind", |state, driver, text| state.store_bind(driver, name(text))),
    Attribute::wo("uevent", |state, driver, text| state.synthesize_driver(driver, text)),
    Attribute::wo("unbind", |state, driver, text| state.store_unbind(driver, name(text))),
];

/// The device that a write names (`sysfs_streq`): one trailing newline does not count.
pub(super) fn name(text: &str) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    text.strip_suffix('\n').unwrap_or(text)
}

impl State {
    /// A write to a driver's `uevent`.
    fn synthesize_driver(&self, driver: DriverName, text: &str) -> Result<(), Errno> {
        let Synthetic { action, environment } = Synthetic::parse(text)?;
        self.uevents.send(action, format!("/bus/ap/drivers/{}", driver.name()), "drivers", environment);
        Ok(())
    }

    fn card_named(&self, name: &str) -> Option<Apid> {
        self.bus.cards.keys().copied().find(|apid| format!("card{apid}") == name)
    }

    fn queue_named(&self, name: &str) -> Option<Apqn> {
        let apqn: Apqn = name.parse().ok()?;
        (self.bus.queues.contains_key(&apqn) && apqn.to_string() == name).then_some(apqn)
    }

    fn store_bind(&mut self, driver: DriverName, device: &str) -> Result<(), Errno> {
        if let Some(driver) = driver.queue_driver() {
            let apqn = self.queue_named(device).ok_or(libc::ENODEV)?;
            if self.driver_of(apqn).is_some() {
                return Err(libc::EBUSY);
            }
            return self.probe(apqn, driver);
        }
        let apid = self.card_named(device).ok_or(libc::ENODEV)?;
        if self.bus.cards.get(&apid).is_some_and(|card| card.bound) {
            return Err(libc::EBUSY);
        }
        self.bind_card(apid);
        Ok(())
    }

    /// cex4card takes every card.
    pub(super) fn bind_card(&mut self, apid: Apid) {
        let Some(card) = self.bus.cards.get_mut(&apid).filter(|card| !card.bound) else { return };
        (card.bound, card.online) = (true, true);
        self.bus.bindings_armed = true;
        self.tell_card("bind", apid, None);
    }

    fn store_unbind(&mut self, driver: DriverName, device: &str) -> Result<(), Errno> {
        if let Some(driver) = driver.queue_driver() {
            let apqn = self.queue_named(device).ok_or(libc::ENODEV)?;
            if self.driver_of(apqn) != Some(driver) {
                return Err(libc::ENODEV);
            }
            self.unbind(apqn);
            return Ok(());
        }
        let apid = self.card_named(device).ok_or(libc::ENODEV)?;
        let card = self.bus.cards.get_mut(&apid).filter(|card| card.bound).ok_or(libc::ENODEV)?;
        card.bound = false;
        self.tell_card("unbind", apid, None);
        Ok(())
    }

    /// `drivers_probe`: asks the drivers for a device; that none wants it is no error.
    pub(super) fn store_drivers_probe(&mut self, device: &str) -> Result<(), Errno> {
        if let Some(apid) = self.card_named(device) {
            self.bind_card(apid);
            return Ok(());
        }
        let apqn = self.queue_named(device).ok_or(libc::ENODEV)?;
        if self.driver_of(apqn).is_none() {
            self.attach(apqn);
        }
        Ok(())
    }

    fn driver_of(&self, apqn: Apqn) -> Option<QueueDriver> {
        self.bus.queues.get(&apqn)?.driver
    }

    /// Gives a queue without driver to the first one that takes it.
    pub(super) fn attach(&mut self, apqn: Apqn) {
        // A refusal is an answer: the next driver is asked.
        let _ = QUEUE_DRIVERS.into_iter().find(|driver| self.probe(apqn, *driver).is_ok());
    }

    /// Whether a driver may have a queue: an override decides, else the masks.
    fn may_probe(&self, apqn: Apqn, driver: QueueDriver) -> bool {
        match self.bus.queues.get(&apqn).map(|queue| queue.driver_override.as_deref()) {
            None => false,
            Some(Some(name)) => name == driver.to_string(),
            Some(None) => self.bus.reserves(apqn) == (driver == QueueDriver::Cex4queue),
        }
    }

    fn probe(&mut self, apqn: Apqn, driver: QueueDriver) -> Result<(), Errno> {
        if !self.may_probe(apqn, driver) {
            return Err(libc::ENODEV);
        }
        let place = self.bus.next_place();
        let queue = self.bus.queues.get_mut(&apqn).ok_or(libc::ENODEV)?;
        (queue.driver, queue.bound) = (Some(driver), place);
        self.bus.bound += 1;
        self.bus.bindings_armed = true;
        match driver {
            QueueDriver::Cex4queue => {
                queue.online = true;
                self.initiate(apqn);
                // zcrypt hands over where replies shall go to, which is one more step (`ap_queue_init_reply`).
                self.step_once(apqn);
            }
            QueueDriver::VfioAp => self.vfio_probe(apqn),
        }
        self.tell_queue("bind", apqn, None);
        Ok(())
    }

    /// Takes a queue from its driver, if it has one; the bus then zeroizes the queue.
    pub(super) fn unbind(&mut self, apqn: Apqn) {
        let Some(driver) = self.driver_of(apqn) else { return };
        if driver == QueueDriver::VfioAp {
            self.vfio_remove(apqn);
        }
        if let Some(queue) = self.bus.queues.get_mut(&apqn) {
            (queue.driver, queue.state) = (None, QueueState::Uninitiated);
            self.bus.bound -= 1;
        }
        self.bus.starting.remove(&apqn);
        self.adapters.zeroize(apqn);
        self.tell_queue("unbind", apqn, None);
    }

    /// How many queues are bound, of how many.
    pub(super) fn bindings(&self) -> (usize, usize) {
        (self.bus.bound, self.bus.queues.len())
    }

    /// Tells udev when every queue has a driver (`ap_check_bindings_complete`): at the end of a scan. The kernel also
    /// looks when a driver is registered, before the first scan here.
    pub(super) fn check_bindings(&mut self) {
        let (bound, all) = self.bindings();
        if self.bus.scans > 0 && self.bus.bindings_armed && bound == all {
            self.bus.bindings_armed = false;
            self.bus.bindings_complete += 1;
            let count = format!("COMPLETECOUNT={}", self.bus.bindings_complete);
            self.tell_root(vec!["BINDINGS=complete".to_owned(), count]);
        }
    }
}
