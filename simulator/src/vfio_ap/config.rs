//! When the host's own configuration changes (`vfio_ap_on_cfg_changed`, `vfio_ap_on_scan_complete`).

use super::{HostConfig, Mdev, filter::Filtered};
use crate::{KernelProfile, Qci, host::State};
use adjunct_ap::{Apid, Apm, Apqn, Aqm, Matrix, Uuid};

/// The oldest type of adapter that the driver takes: CEX4.
const CEX4: u8 = 10;

fn matrix(qci: &Qci) -> Matrix {
    Matrix { apm: qci.apm, aqm: qci.aqm, adm: qci.adm }
}

/// What is in `a` and not in `b`.
fn difference(a: &Matrix, b: &Matrix) -> Matrix {
    Matrix { apm: a.apm - b.apm, aqm: a.aqm - b.aqm, adm: a.adm - b.adm }
}

fn intersection(a: &Matrix, b: &Matrix) -> Matrix {
    Matrix { apm: a.apm & b.apm, aqm: a.aqm & b.aqm, adm: a.adm & b.adm }
}

impl Mdev {
    /// Takes from the shadow what the host lost; whether the guest gets the shadow and is told
    /// (`vfio_ap_mdev_cfg_remove`, `vfio_ap_mdev_hot_unplug_cfg`).
    fn unplug(&mut self, removed: &Matrix, profile: KernelProfile) -> bool {
        let mut lost = intersection(&self.matrix, removed);
        if profile.takes_lost_control_domains_of_others() {
            lost.adm = removed.adm - self.matrix.adm;
        }
        let before = self.shadow;
        self.shadow = difference(&self.shadow, &lost);
        if !profile.updates_by_what_is_left() {
            return self.shadow != before;
        }
        !lost.apm.is_empty() && !self.shadow.apm.is_empty()
            || !lost.aqm.is_empty() && !self.shadow.aqm.is_empty()
            || !lost.adm.is_empty() && !self.shadow.adm.is_empty()
    }
}

impl State {
    /// Before the bus touches any device: guests lose what the host lost, and what the host was given is remembered
    /// for the end of the scan.
    pub(crate) fn vfio_config_changed(&mut self, new: &Qci, old: &Qci) {
        let (now, before) = (matrix(new), matrix(old));
        let removed = difference(&before, &now);
        for mdev in self.vfio.mdevs.values_mut() {
            if mdev.unplug(&removed, self.profile) {
                mdev.update_guest();
            }
        }
        self.vfio.config = HostConfig::of(Some(new));
        let mut added = difference(&now, &before);
        added.apm = self.usable(added.apm, added.aqm);
        for mdev in self.vfio.mdevs.values_mut() {
            mdev.adding = intersection(&mdev.matrix, &added);
        }
    }

    /// The adapters of `apm` that the driver can take: those that say so on a domain of `aqm`
    /// (`vfio_ap_filter_apid_by_qtype`).
    fn usable(&self, apm: Apm, aqm: Aqm) -> Apm {
        let unusable = |apid: &Apid| {
            aqm.iter().any(|apqi| {
                let tested = self.adapters.test(Apqn { apid: *apid, apqi });
                let [.., kind, _, _, _] = tested.info.to_be_bytes();
                !matches!(tested.status.code(), 0x00 | 0x02..=0x05) || kind < CEX4
            })
        };
        apm.iter().filter(|apid| !unusable(apid)).collect()
    }

    /// After a scan that found another configuration: guests get what the host was given.
    pub(crate) fn vfio_scan_complete(&mut self) {
        let growing = self.vfio.mdevs.iter().filter(|(_, mdev)| mdev.adding != Matrix::EMPTY);
        let growing: Vec<(Uuid, Matrix)> = growing.map(|(uuid, mdev)| (*uuid, mdev.adding)).collect();
        for (uuid, adding) in growing {
            let mut filtered = Filtered::default();
            if !adding.apm.is_empty() || !adding.aqm.is_empty() {
                filtered = self.vfio.filter_matrix(uuid);
            }
            if !adding.adm.is_empty() {
                filtered.changed |= self.vfio.filter_control_domains(uuid);
            }
            self.apply(uuid, filtered);
            if let Ok(mdev) = self.vfio.mdev_mut(uuid) {
                mdev.adding = Matrix::EMPTY;
            }
        }
    }
}
