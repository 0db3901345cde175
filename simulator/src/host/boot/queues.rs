//! Bringing queues where the file wants them, by what a person would write to sysfs.

use super::Boot;
use crate::{HostFile, HostFileError, QueueEntry};
use adjunct_ap::{Apqn, host::QueueDriver};

/// A queue of the file: its keys' name, its APQN, what is said of it.
struct Said<'a> {
    key: String,
    apqn: Apqn,
    entry: &'a QueueEntry,
    /// What the card says, for what the queue does not.
    card_is_online: bool,
}

fn queues(file: &HostFile) -> impl Iterator<Item = Said<'_>> {
    let cards = file.ap.cards.iter().enumerate();
    cards.flat_map(|(n, card)| {
        card.queues.iter().enumerate().map(move |(m, entry)| Said {
            key: format!("ap.card[{n}].queue[{m}]"),
            apqn: Apqn { apid: card.id, apqi: entry.domain },
            entry,
            card_is_online: card.online,
        })
    })
}

impl Boot<'_> {
    /// Before there are mdevs: gives vfio_ap, by an override, the queues that it has against the masks, and those of mdevs
    /// that it had when they were assigned.
    pub(super) fn lend_queues(&mut self, file: &HostFile) -> Result<(), HostFileError> {
        for said in queues(file) {
            let in_mdev = file.mdevs.iter().any(|mdev| mdev.matrix().contains(said.apqn));
            let wanted = said.entry.driver == Some(Some(QueueDriver::VfioAp));
            if (wanted || (in_mdev && said.entry.driver.is_some())) && self.state.bus.reserves(said.apqn) {
                self.rebind(&said, Some(QueueDriver::VfioAp))?;
            }
        }
        Ok(())
    }

    /// When all mdevs are there: every queue goes to its driver, and shows what it shall.
    pub(super) fn settle_queues(&mut self, file: &HostFile) -> Result<(), HostFileError> {
        for said in queues(file) {
            if let Some(driver) = said.entry.driver {
                self.rebind(&said, driver)?;
            }
            self.set_override(&said, said.entry.driver_override.as_deref())?;
            self.set_online(&said)?;
            let QueueEntry { config, chkstop, initiated, .. } = *said.entry;
            self.state.restore_queue(said.apqn, config, chkstop, initiated);
        }
        Ok(())
    }

    /// Gives a queue to `driver`; by an override for the moment, where the masks are against it.
    fn rebind(&mut self, said: &Said<'_>, driver: Option<QueueDriver>) -> Result<(), HostFileError> {
        let key = format!("{}.driver", said.key);
        let (apqn, name) = (said.apqn, said.apqn.to_string());
        // Without a queue there is nothing to be bound: its card may not be one that the bus takes.
        let Some(queue) = self.state.bus.queues.get(&apqn) else { return Ok(()) };
        let is = queue.driver;
        if is == driver {
            return Ok(());
        }
        if let Some(old) = is {
            self.write(&key, &format!("bus/ap/drivers/{old}/unbind"), &name)?;
        }
        let Some(driver) = driver else { return Ok(()) };
        let masks = if self.state.bus.reserves(apqn) { QueueDriver::Cex4queue } else { QueueDriver::VfioAp };
        if masks != driver {
            self.set_override(said, Some(&driver.to_string()))?;
        }
        self.write(&key, &format!("bus/ap/drivers/{driver}/bind"), &name)
    }

    fn set_override(&mut self, said: &Said<'_>, name: Option<&str>) -> Result<(), HostFileError> {
        let is = self.state.bus.queues.get(&said.apqn).map(|queue| queue.driver_override.as_deref());
        if is.is_none_or(|is| is == name) {
            return Ok(());
        }
        let path = format!("devices/ap/card{}/{}/driver_override", said.apqn.apid, said.apqn);
        self.write(&format!("{}.driver_override", said.key), &path, name.unwrap_or_default())
    }

    /// A queue that is online under a card that is not has been bound since.
    fn set_online(&mut self, said: &Said<'_>) -> Result<(), HostFileError> {
        let Some(wanted) = said.entry.online.filter(|online| *online != said.card_is_online) else {
            return Ok(());
        };
        let key = format!("{}.online", said.key);
        if !wanted {
            return self.write(&key, &format!("devices/ap/card{}/{}/online", said.apqn.apid, said.apqn), "0");
        }
        let is = self.state.bus.queues.get(&said.apqn).and_then(|queue| queue.driver);
        self.rebind(said, None)?;
        self.rebind(said, is)
    }
}
