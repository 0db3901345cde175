//! What of an mdev's matrix a guest may have: the shadow APCB, shown as `guest_matrix`
//! (`vfio_ap_mdev_filter_matrix`, `vfio_ap_mdev_filter_cdoms`, `vfio_ap_mdev_update_guest_apcb`).

use super::{Mdev, VfioAp, mdev::CONFIG_CHANGED};
use crate::host::State;
use adjunct_ap::{Apid, Apm, Apqi, Apqn, Aqm, Uuid};

/// What filtering changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filtered {
    /// The shadow is not what it was.
    pub(super) changed: bool,
    /// Adapters that a guest had and may have no more.
    pub(super) dropped: Apm,
}

impl VfioAp {
    /// Which queues of an adapter a guest may be given: bound, linked to its mdev, and well after its last reset. A queue that
    /// is configured off or checkstopped is passed on all the same.
    fn passable(&self, uuid: Uuid, apid: Apid) -> Aqm {
        let all = Apqn { apid, apqi: Apqi(0) }..=Apqn { apid, apqi: Apqi(u8::MAX) };
        let linked = self.queues.range(all).filter(|(_, queue)| queue.mdev == Some(uuid));
        linked
            .filter(|(_, queue)| matches!(queue.reset_code, 0x00 | 0x03 | 0x04))
            .map(|(apqn, _)| apqn.apqi)
            .collect()
    }

    /// Works out adapters and usage domains anew. The queues of a guest are a product, so one queue that can't be
    /// passed costs its adapter all of them.
    pub(super) fn filter_matrix(&mut self, uuid: Uuid) -> Filtered {
        let Some(mdev) = self.mdevs.get(&uuid) else { return Filtered::default() };
        let (old, host) = (mdev.shadow, self.config.matrix);
        let mut shadow = old;
        shadow.apm = mdev.matrix.apm & host.apm;
        shadow.aqm = mdev.matrix.aqm & host.aqm;
        for apid in shadow.apm.iter() {
            if !(shadow.aqm - self.passable(uuid, apid)).is_empty() {
                shadow.apm.remove(apid);
            }
        }
        if let Some(mdev) = self.mdevs.get_mut(&uuid) {
            mdev.shadow = shadow;
        }
        Filtered { changed: shadow != old, dropped: old.apm - shadow.apm }
    }

    /// Works out control domains anew; whether they changed.
    pub(super) fn filter_control_domains(&mut self, uuid: Uuid) -> bool {
        let host = self.config.matrix.adm;
        let Some(mdev) = self.mdevs.get_mut(&uuid) else { return false };
        let old = std::mem::replace(&mut mdev.shadow.adm, mdev.matrix.adm & host);
        mdev.shadow.adm != old
    }
}

impl Mdev {
    /// Gives the guest that has the mdev open, if any, what it may have, and says so.
    pub(super) fn update_guest(&self) {
        if let Some(guest) = &self.guest {
            guest.crypto.set_masks(&self.shadow);
            self.signal(CONFIG_CHANGED);
        }
    }
}

impl State {
    /// Filters adapters and domains, updates the guest and resets what it lost.
    pub(super) fn filter_and_update(&mut self, uuid: Uuid) {
        let filtered = self.vfio.filter_matrix(uuid);
        self.apply(uuid, filtered);
    }

    /// Updates the guest if filtering changed something, then resets the queues of the adapters it lost.
    pub(super) fn apply(&mut self, uuid: Uuid, filtered: Filtered) {
        let Ok(mdev) = self.vfio.mdev(uuid) else { return };
        if filtered.changed {
            mdev.update_guest();
        }
        let domains = mdev.shadow.aqm;
        let lost = self
            .vfio
            .linked(uuid, |apqn| filtered.dropped.contains(apqn.apid) && domains.contains(apqn.apqi));
        // The guest has lost them whether or not the reset succeeds; the code is remembered with the queue.
        let _ = self.reset_queues(&lost);
    }
}
