//! Assigning and unassigning (`assign_adapter_store` and its kin, `ap_config_store`).

use super::Mdev;
use crate::{
    host::State,
    sysfs::{Errno, unsigned},
};
use adjunct_ap::{Apid, Apm, Apqi, Apqn, Aqm, ControlDomain, Matrix, Uuid, text};

/// An id as the mdev attributes take it, at most `max`.
fn id(text: &str, max: u8) -> Result<u8, Errno> {
    u8::try_from(unsigned(text)?).ok().filter(|id| *id <= max).ok_or(libc::ENODEV)
}

impl State {
    /// Whether any mdev has a queue of `matrix`: the answer that keeps the bus from giving it to the host
    /// (`vfio_ap_mdev_resource_in_use`).
    pub(crate) fn vfio_in_use(&mut self, matrix: &Matrix) -> bool {
        let Some((uuid, queues)) = self.vfio.user(matrix, None) else { return false };
        for apqn in queues {
            self.log(format!(
                "vfio_ap_mdev {uuid}: Can not reserve queue {apqn} for host driver: in use by mdev"
            ));
        }
        true
    }

    /// Whether an mdev may have all of `matrix`: first that the host keeps none of it, then that no other mdev has
    /// any (`vfio_ap_mdev_validate_masks`).
    fn validate(&mut self, uuid: Uuid, matrix: &Matrix) -> Result<(), Errno> {
        if self.bus.owns_any(matrix) {
            return Err(libc::EADDRNOTAVAIL);
        }
        let Some((other, queues)) = self.vfio.user(matrix, Some(uuid)) else { return Ok(()) };
        for apqn in queues {
            self.log(format!(
                "vfio_ap_mdev {uuid}: Userspace may not assign queue {apqn} to mdev: already assigned to {other}"
            ));
        }
        Err(libc::EADDRINUSE)
    }

    /// Gives an mdev the matrix `new`, which may be wider than what it has, and links its queues.
    fn widen(&mut self, uuid: Uuid, new: Matrix) -> Result<(), Errno> {
        self.validate(uuid, &new)?;
        let old = std::mem::replace(&mut self.vfio.mdev_mut(uuid)?.matrix, new);
        self.link(uuid, &old);
        Ok(())
    }

    /// Links every bound queue of an mdev's matrix to it that was not in its `old` one.
    fn link(&mut self, uuid: Uuid, old: &Matrix) {
        let Ok(new) = self.vfio.mdev(uuid).map(|mdev| mdev.matrix) else { return };
        for apid in new.apm.iter() {
            let domains = if old.apm.contains(apid) { new.aqm - old.aqm } else { new.aqm };
            for apqi in domains.iter() {
                self.vfio.set_link(Apqn { apid, apqi }, Some(uuid));
            }
        }
    }

    pub(super) fn store_assign_adapter(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let mdev = self.vfio.mdev(uuid)?;
        let apid = Apid(id(text, mdev.max_adapter)?);
        let mut new = mdev.matrix;
        if new.apm.contains(apid) {
            return Ok(());
        }
        new.apm.insert(apid);
        self.widen(uuid, new)?;
        self.filter_and_update(uuid);
        Ok(())
    }

    pub(super) fn store_assign_domain(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let mdev = self.vfio.mdev(uuid)?;
        let apqi = Apqi(id(text, mdev.max_domain)?);
        let mut new = mdev.matrix;
        if new.aqm.contains(apqi) {
            return Ok(());
        }
        new.aqm.insert(apqi);
        self.widen(uuid, new)?;
        self.filter_and_update(uuid);
        Ok(())
    }

    pub(super) fn store_assign_control_domain(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let mdev = self.vfio.mdev_mut(uuid)?;
        let domain = ControlDomain(id(text, mdev.max_domain)?);
        if mdev.matrix.adm.contains(domain) {
            return Ok(());
        }
        mdev.matrix.adm.insert(domain);
        if self.vfio.filter_control_domains(uuid) {
            self.vfio.mdev(uuid)?.update_guest();
        }
        Ok(())
    }

    pub(super) fn store_unassign_adapter(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let mdev = self.vfio.mdev(uuid)?;
        let apid = Apid(id(text, mdev.max_adapter)?);
        if mdev.matrix.apm.contains(apid) {
            self.unplug_adapters(uuid, Apm::from_iter([apid]));
        }
        Ok(())
    }

    pub(super) fn store_unassign_domain(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let mdev = self.vfio.mdev(uuid)?;
        let apqi = Apqi(id(text, mdev.max_domain)?);
        if mdev.matrix.aqm.contains(apqi) {
            self.unplug_domains(uuid, Aqm::from_iter([apqi]));
        }
        Ok(())
    }

    pub(super) fn store_unassign_control_domain(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let mdev = self.vfio.mdev_mut(uuid)?;
        let domain = ControlDomain(id(text, mdev.max_domain)?);
        mdev.matrix.adm.remove(domain);
        if mdev.shadow.adm.contains(domain) {
            mdev.shadow.adm.remove(domain);
            mdev.update_guest();
        }
        Ok(())
    }

    /// Takes adapters from an mdev, and from its guest (`vfio_ap_mdev_hot_unplug_adapters`). The shadow only
    /// shrinks: an adapter that was dropped for the sake of another queue does not come back by this.
    fn unplug_adapters(&mut self, uuid: Uuid, apm: Apm) {
        let unplug = |mdev: &mut Mdev| {
            let had = mdev.shadow.apm.intersects(&apm);
            mdev.matrix.apm = mdev.matrix.apm - apm;
            mdev.shadow.apm = mdev.shadow.apm - apm;
            had
        };
        self.unplug(uuid, |apqn| apm.contains(apqn.apid), unplug);
    }

    /// Takes domains from an mdev, and from its guest (`vfio_ap_mdev_hot_unplug_domains`).
    fn unplug_domains(&mut self, uuid: Uuid, aqm: Aqm) {
        let unplug = |mdev: &mut Mdev| {
            let had = mdev.shadow.aqm.intersects(&aqm);
            mdev.matrix.aqm = mdev.matrix.aqm - aqm;
            mdev.shadow.aqm = mdev.shadow.aqm - aqm;
            had
        };
        self.unplug(uuid, |apqn| aqm.contains(apqn.apqi), unplug);
    }

    /// Unlinks queues; then the guest loses them; then those it had are reset.
    fn unplug(&mut self, uuid: Uuid, taken: impl Fn(Apqn) -> bool, shrink: impl FnOnce(&mut Mdev) -> bool) {
        // DEVNOTE: the kernel takes the queue's own link to the mdev (`q->matrix_mdev`) only from queues that it
        // resets here, those that the guest had. Of the others it stays, also when the mdev is gone: a bug of the
        // kernel's that nobody can rely on, and that is not copied.
        let linked = self.vfio.linked(uuid, taken);
        for apqn in &linked {
            self.vfio.set_link(*apqn, None);
        }
        let Ok(mdev) = self.vfio.mdev_mut(uuid) else { return };
        let had: Vec<Apqn> = linked.into_iter().filter(|apqn| mdev.shadow.contains(*apqn)).collect();
        if shrink(mdev) {
            mdev.update_guest();
        }
        // Unassigned they are, whatever the reset says; its code is remembered with the queue.
        let _ = self.reset_queues(&had);
    }

    /// `ap_config`: the whole matrix at once. What goes, goes first; the guest may see up to three changes.
    pub(super) fn store_ap_config(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let new = text::parse_ap_config(text.as_bytes()).map_err(text::Malformed::errno)?;
        let (old, max_adapter, max_domain) = {
            let mdev = self.vfio.mdev(uuid)?;
            (mdev.matrix, mdev.max_adapter, mdev.max_domain)
        };
        self.validate(uuid, &new)?;
        let beyond = new.apm.last().is_some_and(|apid| apid.0 > max_adapter)
            || new.aqm.last().is_some_and(|apqi| apqi.0 > max_domain)
            || new.adm.last().is_some_and(|domain| domain.0 > max_domain);
        if beyond {
            return Err(libc::ENODEV);
        }
        self.unplug_adapters(uuid, old.apm - new.apm);
        self.unplug_domains(uuid, old.aqm - new.aqm);
        let old = std::mem::replace(&mut self.vfio.mdev_mut(uuid)?.matrix, new);
        self.link(uuid, &old);
        let mut filtered = self.vfio.filter_matrix(uuid);
        filtered.changed |= self.vfio.filter_control_domains(uuid);
        self.apply(uuid, filtered);
        Ok(())
    }
}
