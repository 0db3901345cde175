//! What the kernel tells udev.

use super::ApBus;
use adjunct_ap::{Apid, Apqn};

/// One uevent, as udev receives it but for sequence number and subsystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `remove`, `change`, `bind` or `unbind`.
    pub action: &'static str,
    /// The device below `/sys`: `/devices/ap/card05/05.0004`.
    pub devpath: String,
    /// What else it says: `CONFIG=0`.
    pub environment: Vec<String>,
}

pub(super) const ROOT: &str = "/devices/ap";

pub(super) fn card_path(apid: Apid) -> String {
    format!("{ROOT}/card{apid}")
}

pub(super) fn queue_path(apqn: Apqn) -> String {
    format!("{ROOT}/card{}/{apqn}", apqn.apid)
}

impl ApBus {
    pub(super) fn tell(&mut self, action: &'static str, devpath: impl Into<String>, environment: &[String]) {
        let event = Uevent { action, devpath: devpath.into(), environment: environment.to_vec() };
        self.uevents.push(event);
    }

    /// A `change` of one thing.
    pub(super) fn tell_change(&mut self, devpath: impl Into<String>, what: String) {
        self.tell("change", devpath, &[what]);
    }
}
