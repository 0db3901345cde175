//! `apmask` and `aqmask`: writes, what refuses them, and who gets the queues afterwards.

use super::ApBus;
use crate::{host::State, profile::MaskBusyRule, sysfs::Errno};
use adjunct_ap::{Adm, Apm, Aqm, Matrix, host::QueueDriver, text};
use std::borrow::Cow;

impl State {
    /// `drivers/s390/crypto/ap_bus.c: apmask_store`.
    pub(super) fn store_apmask(&mut self, text: &str) -> Result<(), Errno> {
        self.refuse_while_overridden()?;
        let old = self.bus.apmask;
        let new =
            text::apply_mask_write(old, self.numbers(text).as_bytes()).map_err(text::Malformed::errno)?;
        if new == old {
            return Ok(());
        }
        let aqm = match self.profile.mask_busy_rule() {
            MaskBusyRule::AnyOther => Aqm::ALL,
            MaskBusyRule::OtherMask => self.bus.aqmask,
        };
        self.refuse_in_use(new - old, aqm)?;
        self.bus.apmask = new;
        self.revise(format!("APMASK={new}\n"));
        Ok(())
    }

    /// `drivers/s390/crypto/ap_bus.c: aqmask_store`.
    pub(super) fn store_aqmask(&mut self, text: &str) -> Result<(), Errno> {
        self.refuse_while_overridden()?;
        let old = self.bus.aqmask;
        let new =
            text::apply_mask_write(old, self.numbers(text).as_bytes()).map_err(text::Malformed::errno)?;
        if new == old {
            return Ok(());
        }
        let apm = match self.profile.mask_busy_rule() {
            MaskBusyRule::AnyOther => Apm::ALL,
            MaskBusyRule::OtherMask => self.bus.apmask,
        };
        self.refuse_in_use(apm, new - old)?;
        self.bus.aqmask = new;
        self.revise(format!("AQMASK={new}\n"));
        Ok(())
    }

    /// A mask's text with its numbers as this kernel reads them: older ones drop what is above 64 bits.
    fn numbers<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let relative = text.starts_with(['+', '-']);
        if relative && self.profile.numbers_of_masks_wrap() { wrapped(text).into() } else { text.into() }
    }

    fn refuse_while_overridden(&self) -> Result<(), Errno> {
        if self.bus.overrides > 0 { Err(libc::EINVAL) } else { Ok(()) }
    }

    /// EBUSY when an mdev has an adapter of `apm` and a domain of `aqm`.
    fn refuse_in_use(&mut self, apm: Apm, aqm: Aqm) -> Result<(), Errno> {
        if self.vfio_in_use(&Matrix { apm, aqm, adm: Adm::EMPTY }) { Err(libc::EBUSY) } else { Ok(()) }
    }

    /// Gives every queue to a driver that may have it, then tells udev
    /// (`drivers/s390/crypto/ap_bus.c: __ap_revise_reserved`).
    fn revise(&mut self, what: String) {
        self.bus.masks_changed = self.bus.apmask != Apm::ALL || self.bus.aqmask != Aqm::ALL;
        for apqn in ApBus::registered(self.bus.queues.iter()) {
            let driver = self.bus.queues.get(&apqn).and_then(|queue| queue.driver);
            // A queue without driver counts as one of a driver that is not the host's. (The kernel reads the flags of no
            // driver from low core: 0 in 6.12; in 7.2 whatever the last program interruption left there.)
            let hosts = driver == Some(QueueDriver::Cex4queue);
            if hosts != self.bus.reserves(apqn) {
                self.unbind(apqn);
                self.attach(apqn);
            }
        }
        self.tell_root(vec![what]);
    }
}

/// The same text, every number in it that has more than 64 bits replaced by its lowest 64.
fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        wrapped += &rest[..start];
        rest = &rest[start..];
        let (base, digits) = match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            Some(digits) if digits.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, digits),
            _ if rest.starts_with('0') => (8, rest),
            _ => (10, rest),
        };
        let length = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
        let (number, after) = digits.split_at(length);
        if u64::from_str_radix(number, base).is_ok() || number.is_empty() {
            wrapped += &rest[..rest.len() - after.len()];
        } else {
            let values = number.chars().filter_map(|digit| digit.to_digit(base));
            let low =
                values.fold(0_u64, |low, digit| low.wrapping_mul(base.into()).wrapping_add(digit.into()));
            wrapped += &low.to_string();
        }
        rest = after;
    }
    wrapped + rest
}
