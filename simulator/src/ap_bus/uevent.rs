//! What the kernel tells udev.

use super::{ApBus, CardDevice};
use crate::sysfs::Errno;
use adjunct_ap::{Apid, Apqn, host::Mode};

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

    /// What a write to a device's `uevent` does: it repeats an event (`lib/kobject_uevent.c: kobject_synth_uevent`).
    pub(super) fn synthesize(&mut self, devpath: String, text: &str) -> Result<(), Errno> {
        const ACTIONS: [&str; 8] = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"];
        let word = super::drivers::name(text).split(' ').next().unwrap_or_default();
        let action = ACTIONS.into_iter().find(|action| *action == word).ok_or(libc::EINVAL)?;
        self.tell(action, devpath, &["SYNTH_UUID=0".to_owned()]);
        Ok(())
    }
}

/// What events of a card say (`ap_bus.c: ap_uevent`).
pub(super) fn card_environment(card: &CardDevice) -> Vec<String> {
    let kind = card.hardware_type;
    let mut environment = vec![format!("DEV_TYPE={kind:04X}"), format!("MODALIAS=ap:t{kind:02X}")];
    environment.extend(mode_text(card));
    environment
}

/// What events of a card and of its queues say of its use.
pub(super) fn mode_text(card: &CardDevice) -> Option<String> {
    let mode = match card.mode()? {
        Mode::Accelerator => "accel",
        Mode::Cca => "cca",
        Mode::Ep11 => "ep11",
    };
    Some(format!("MODE={mode}"))
}
