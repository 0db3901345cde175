//! What the kernel tells udev of the AP bus and its devices (`drivers/s390/crypto/ap_bus.c: ap_uevent`,
//! `drivers/base/core.c: dev_uevent`).

use super::CardDevice;
use crate::{
    host::State,
    sysfs::Errno,
    uevents::{self, Synthetic},
};
use adjunct_ap::{Apid, Apqn, host::Mode};

/// The subsystem of all events here.
const AP: &str = "ap";
const ROOT: &str = "/devices/ap";

fn card_path(apid: Apid) -> String {
    format!("{ROOT}/card{apid}")
}

fn queue_path(apqn: Apqn) -> String {
    format!("{ROOT}/card{}/{apqn}", apqn.apid)
}

impl State {
    /// A `change` of the bus itself.
    pub(super) fn tell_root(&self, what: Vec<String>) {
        self.uevents.send("change", ROOT.to_owned(), AP, what);
    }

    /// An event of a card: what happened (`CONFIG=0`), if that has a name, then what the card is.
    pub(super) fn tell_card(&self, action: &'static str, apid: Apid, what: Option<String>) {
        self.send_card(action, apid, what.into_iter().collect());
    }

    /// An event of a queue.
    pub(super) fn tell_queue(&self, action: &'static str, apqn: Apqn, what: Option<String>) {
        self.send_queue(action, apqn, what.into_iter().collect());
    }

    fn send_card(&self, action: &'static str, apid: Apid, mut environment: Vec<String>) {
        environment.extend(self.card_environment(apid));
        uevents::forget_alias(action, &mut environment);
        self.uevents.send(action, card_path(apid), AP, environment);
    }

    fn send_queue(&self, action: &'static str, apqn: Apqn, mut environment: Vec<String>) {
        environment.extend(self.queue_environment(apqn));
        self.uevents.send(action, queue_path(apqn), AP, environment);
    }

    /// A write to the bus's root device's `uevent`.
    pub(super) fn synthesize_root(&self, text: &str) -> Result<(), Errno> {
        let Synthetic { action, environment } = Synthetic::parse(text)?;
        self.uevents.send(action, ROOT.to_owned(), AP, environment);
        Ok(())
    }

    /// A write to a card's `uevent`.
    pub(super) fn synthesize_card(&self, apid: Apid, text: &str) -> Result<(), Errno> {
        let Synthetic { action, environment } = Synthetic::parse(text)?;
        self.send_card(action, apid, environment);
        Ok(())
    }

    /// A write to a queue's `uevent`.
    pub(super) fn synthesize_queue(&self, apqn: Apqn, text: &str) -> Result<(), Errno> {
        let Synthetic { action, environment } = Synthetic::parse(text)?;
        self.send_queue(action, apqn, environment);
        Ok(())
    }

    /// What every event of a card says, and its `uevent`.
    pub(super) fn card_environment(&self, apid: Apid) -> Vec<String> {
        let Some(card) = self.bus.cards.get(&apid) else { return Vec::new() };
        let kind = card.hardware_type;
        let mut environment = vec!["DEVTYPE=ap_card".to_owned()];
        if card.bound {
            environment.push("DRIVER=cex4card".to_owned());
        }
        environment.push(format!("DEV_TYPE={kind:04X}"));
        environment.push(format!("MODALIAS=ap:t{kind:02X}"));
        environment.extend(mode_text(card));
        environment
    }

    /// What every event of a queue says, and its `uevent`.
    pub(super) fn queue_environment(&self, apqn: Apqn) -> Vec<String> {
        let mut environment = vec!["DEVTYPE=ap_queue".to_owned()];
        let driver = self.bus.queues.get(&apqn).and_then(|queue| queue.driver);
        environment.extend(driver.map(|driver| format!("DRIVER={driver}")));
        environment.extend(self.bus.cards.get(&apqn.apid).and_then(mode_text));
        environment
    }
}

/// What events of a card and of its queues say of its use.
fn mode_text(card: &CardDevice) -> Option<String> {
    let mode = match card.mode()? {
        Mode::Accelerator => "accel",
        Mode::Cca => "cca",
        Mode::Ep11 => "ep11",
    };
    Some(format!("MODE={mode}"))
}
