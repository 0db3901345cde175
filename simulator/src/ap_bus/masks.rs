//! `apmask` and `aqmask`: writes, what refuses them, and who gets the queues afterwards.

use super::uevent::ROOT;
use crate::{MaskBusyRule, host::State, sysfs::Errno};
use adjunct_ap::{Adm, Apm, Apqn, Aqm, Matrix, host::QueueDriver, text};

impl State {
    /// `drivers/s390/crypto/ap_bus.c: apmask_store`.
    pub(super) fn store_apmask(&mut self, text: &str) -> Result<(), Errno> {
        self.refuse_while_overridden()?;
        let old = self.bus.apmask;
        let new = text::apply_mask_write(old, text.as_bytes()).map_err(text::Malformed::errno)?;
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
        let new = text::apply_mask_write(old, text.as_bytes()).map_err(text::Malformed::errno)?;
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
        let queues: Vec<Apqn> = self.bus.queues.keys().copied().collect();
        for apqn in queues {
            let driver = self.bus.queues.get(&apqn).and_then(|queue| queue.driver);
            // A queue without driver counts as one of a driver that is not the host's.
            let hosts = driver == Some(QueueDriver::Cex4queue);
            if hosts != self.bus.reserves(apqn) {
                self.unbind(apqn);
                self.attach(apqn);
            }
        }
        self.bus.tell_change(ROOT, what);
    }
}
