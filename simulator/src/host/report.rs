//! What the machine reports by channel report words (`drivers/s390/cio/crw.c`, `chsc.c: chsc_process_crw`, 7.2), as far as
//! the AP bus hears of it.

use super::SimHost;

/// Bits of a channel report word: overflow, and the source that has event information for CHSC.
const OVERFLOW: u32 = 0x2000_0000;
const SOURCE: u32 = 0x0f00_0000;
const CHANNEL_SUBSYSTEM: u32 = 0x0b00_0000;

/// The reporting source and content code that say "the AP configuration has changed".
const ADJUNCT_PROCESSOR: u8 = 5;
const CONFIGURATION_CHANGED: u8 = 3;

/// Event information of notification type 0, as CHSC stores it (`chsc.c: struct chsc_sei_nt0_area`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventInformation {
    /// Reporting source, at byte 0x1a of the response.
    pub source: u8,
    /// Content code, at byte 0x1b.
    pub code: u8,
}

impl SimHost {
    /// The machine presents the channel report word `word`, and has `events` for who then asks for event information.
    ///
    /// The AP bus scans at once for an event that says so (source 5, code 3). A word that says that others were lost has the
    /// kernel look at all its subchannels, and not at its adapters; the events stay unread.
    pub fn channel_report(&self, word: u32, events: &[EventInformation]) {
        if word & OVERFLOW != 0 || word & SOURCE != CHANNEL_SUBSYSTEM {
            return;
        }
        let changed = EventInformation { source: ADJUNCT_PROCESSOR, code: CONFIGURATION_CHANGED };
        for _ in events.iter().filter(|event| **event == changed) {
            self.config_changed();
        }
    }
}
