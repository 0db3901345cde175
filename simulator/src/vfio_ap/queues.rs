//! Queue devices that are bound to vfio_ap, and taken from it (`vfio_ap_mdev_probe_queue`,
//! `vfio_ap_mdev_remove_queue`), and what their `status` says.

use super::BoundQueue;
use crate::host::State;
use adjunct_ap::{Apm, Apqn, Uuid, host::QueueStatus};

impl State {
    /// A queue is bound: if an mdev has it assigned, a guest may get it.
    pub(crate) fn vfio_probe(&mut self, apqn: Apqn) {
        let owner =
            self.vfio.mdevs.iter().find(|(_, mdev)| mdev.matrix.contains(apqn)).map(|(uuid, _)| *uuid);
        self.vfio.queues.insert(apqn, BoundQueue::default());
        self.vfio.set_link(apqn, owner);
        let Some(uuid) = owner else { return };
        let growing = self
            .vfio
            .mdevs
            .get(&uuid)
            .is_some_and(|mdev| !mdev.adding.apm.is_empty() || !mdev.adding.aqm.is_empty());
        // While the host's configuration grows, the end of the scan does it once for all queues.
        if !growing {
            self.filter_and_update(uuid);
        }
    }

    /// A queue is taken away: a guest that has it loses its adapter.
    pub(crate) fn vfio_remove(&mut self, apqn: Apqn) {
        let Some(owner) = self.vfio.queues.get(&apqn).map(|queue| queue.mdev) else { return };
        let guests = owner.and_then(|uuid| Some((uuid, self.vfio.mdevs.get(&uuid)?.shadow)));
        match guests.filter(|(_, shadow)| shadow.contains(apqn)) {
            Some((uuid, shadow)) => {
                let siblings = self
                    .vfio
                    .linked(uuid, |other| other.apid == apqn.apid && shadow.aqm.contains(other.apqi));
                self.drop_adapter(uuid, Apm::from_iter([apqn.apid]));
                let _ = self.reset_queues(&siblings);
            }
            None if self.vfio.config.matrix.contains(apqn) => {
                let _ = self.reset_queues(&[apqn]);
            }
            None => {}
        }
        self.vfio.set_link(apqn, None);
        self.vfio.queues.remove(&apqn);
    }

    fn drop_adapter(&mut self, uuid: Uuid, apm: Apm) {
        if let Ok(mdev) = self.vfio.mdev_mut(uuid) {
            mdev.shadow.apm = mdev.shadow.apm - apm;
            mdev.update_guest();
        }
    }

    /// `status` of a queue bound to vfio_ap (`vfio_ap_ops.c: status_show`).
    pub(crate) fn vfio_status(&self, apqn: Apqn) -> QueueStatus {
        let owner = self.vfio.queues.get(&apqn).and_then(|queue| self.vfio.mdevs.get(&queue.mdev?));
        match owner {
            None => QueueStatus::Unassigned,
            Some(mdev) if mdev.guest.is_some() && mdev.shadow.contains(apqn) => QueueStatus::InUse,
            Some(_) => QueueStatus::Assigned,
        }
    }
}
