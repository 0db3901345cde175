//! Matrices: what one mdev is given, what the host keeps, and where two claims meet.

use std::collections::BTreeMap;

use crate::{Adm, Apm, Apqn, Aqm};

/// The AP resources assigned to one mdev, or given to one guest.
///
/// Its queues are the cross product of adapters and usage domains. Control domains are apart: they bring no
/// queue, and any number of mdevs may have the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// Adapters.
    pub apm: Apm,
    /// Usage domains.
    pub aqm: Aqm,
    /// Control domains.
    pub adm: Adm,
}

impl Matrix {
    /// Nothing assigned.
    pub const EMPTY: Self = Self { apm: Apm::EMPTY, aqm: Aqm::EMPTY, adm: Adm::EMPTY };

    /// Every queue: the cross product of adapters and usage domains, in sysfs' order.
    pub fn apqns(&self) -> impl Iterator<Item = Apqn> + use<> {
        let aqm = self.aqm;
        self.apm.iter().flat_map(move |apid| aqm.iter().map(move |apqi| Apqn { apid, apqi }))
    }

    /// Whether `apqn` is one of the queues.
    pub fn contains(&self, apqn: Apqn) -> bool {
        self.apm.contains(apqn.apid) && self.aqm.contains(apqn.apqi)
    }

    /// Whether there is any queue: at least one adapter and one usage domain.
    pub fn has_queues(&self) -> bool {
        !self.apm.is_empty() && !self.aqm.is_empty()
    }

    /// Whether any queue is in both matrices. Two mdevs must share none
    /// (`drivers/s390/crypto/vfio_ap_ops.c: vfio_ap_mdev_verify_no_sharing`).
    pub fn conflicts_with(&self, other: &Matrix) -> bool {
        self.apm.intersects(&other.apm) && self.aqm.intersects(&other.aqm)
    }

    /// The queues that are in both matrices. To ask whether there are any, [`Matrix::conflicts_with`] is faster.
    pub fn conflict(&self, other: &Matrix) -> impl Iterator<Item = Apqn> + use<> {
        Matrix { apm: self.apm & other.apm, aqm: self.aqm & other.aqm, adm: Adm::EMPTY }.apqns()
    }
}

/// The queues that the host keeps for its own (default) drivers.
///
/// A queue is kept when its adapter is in `apmask` and its domain is in `aqmask`, unless a `driver_override`
/// (kernel 7.0 and later) decided about that queue (`drivers/s390/crypto/ap_bus.c: ap_owned_by_def_drv`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostShare {
    /// `/sys/bus/ap/apmask`.
    pub apmask: Apm,
    /// `/sys/bus/ap/aqmask`.
    pub aqmask: Aqm,
    /// Queues that have a `driver_override` and are bound, and whether to a driver of the host's
    /// (kept, `true`) or to vfio_ap (`false`).
    pub overrides: BTreeMap<Apqn, bool>,
}

impl HostShare {
    /// Whether the host keeps `apqn`, so that no mdev may have it.
    pub fn keeps(&self, apqn: Apqn) -> bool {
        let by_masks = self.apmask.contains(apqn.apid) && self.aqmask.contains(apqn.apqi);
        self.overrides.get(&apqn).copied().unwrap_or(by_masks)
    }

    /// The queues of `matrix` that the host keeps, in sysfs' order.
    pub fn conflict(&self, matrix: &Matrix) -> impl Iterator<Item = Apqn> + use<'_> {
        // DEVNOTE: with overrides a queue outside the masks' product may be kept, so all of them are asked.
        let asked = if self.overrides.is_empty() {
            Matrix { apm: matrix.apm & self.apmask, aqm: matrix.aqm & self.aqmask, adm: Adm::EMPTY }
        } else {
            *matrix
        };
        asked.apqns().filter(|apqn| self.keeps(*apqn))
    }

    /// Whether the host keeps any queue of `matrix`.
    pub fn conflicts_with(&self, matrix: &Matrix) -> bool {
        self.conflict(matrix).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Apid, Apqi};
    use proptest::{collection::btree_set, prelude::*};

    fn matrix(apids: &[u8], apqis: &[u8]) -> Matrix {
        Matrix {
            apm: apids.iter().copied().map(Apid).collect(),
            aqm: apqis.iter().copied().map(Apqi).collect(),
            adm: Adm::EMPTY,
        }
    }

    fn any_matrix() -> impl Strategy<Value = Matrix> {
        // Few ids, so that matrices meet often enough.
        (btree_set(0_u8..12, 0..6), btree_set(0_u8..12, 0..6)).prop_map(|(apids, apqis)| {
            matrix(&apids.into_iter().collect::<Vec<_>>(), &apqis.into_iter().collect::<Vec<_>>())
        })
    }

    #[test]
    fn guests_that_share_an_adapter_but_no_domain_do_not_conflict() {
        let (one, other) = (matrix(&[1, 2], &[5, 6]), matrix(&[1, 2], &[7]));
        assert!(!one.conflicts_with(&other));
        assert_eq!(one.conflict(&other).count(), 0);
    }

    #[test]
    fn guests_that_share_an_apqn_conflict_on_it() {
        let (one, other) = (matrix(&[1, 2], &[5, 6]), matrix(&[1], &[6, 7]));
        assert!(one.conflicts_with(&other));
        assert_eq!(one.conflict(&other).collect::<Vec<_>>(), [Apqn::new(1, 6)]);
    }

    #[test]
    fn control_domains_are_shared_freely() {
        let one = Matrix { adm: Adm::ALL, ..matrix(&[1], &[1]) };
        assert!(!one.conflicts_with(&Matrix { adm: Adm::ALL, ..matrix(&[2], &[1]) }));
    }

    #[test]
    fn a_matrix_with_one_dimension_empty_has_no_queue() {
        assert!(!matrix(&[1, 2], &[]).has_queues());
        assert_eq!(matrix(&[], &[3]).apqns().count(), 0);
        assert!(matrix(&[1], &[3]).has_queues());
    }

    #[test]
    fn the_host_keeps_what_both_masks_say() {
        let mut share = HostShare { apmask: Apm::ALL, aqmask: Aqm::ALL, ..HostShare::default() };
        share.apmask.remove(Apid(5));
        share.aqmask.remove(Apqi(4));
        assert!(!share.keeps(Apqn::new(5, 9)), "adapter given up");
        assert!(!share.keeps(Apqn::new(9, 4)), "domain given up");
        assert!(share.keeps(Apqn::new(6, 5)));
        let kept: Vec<_> = share.conflict(&matrix(&[5, 6], &[4, 5])).collect();
        assert_eq!(kept, [Apqn::new(6, 5)]);
    }

    #[test]
    fn a_driver_override_decides_whatever_the_masks_say() {
        let overrides = [(Apqn::new(5, 4), false), (Apqn::new(6, 9), true)].into();
        let aqmask = [Apqi(4)].into_iter().collect();
        let share = HostShare { apmask: Apm::ALL, aqmask, overrides };
        let kept: Vec<_> = share.conflict(&matrix(&[5, 6], &[4, 9])).collect();
        assert_eq!(kept, [Apqn::new(6, 4), Apqn::new(6, 9)]);
        assert!(!share.conflicts_with(&matrix(&[5], &[4, 9])));
    }

    proptest! {
        #[test]
        fn a_matrix_is_the_cross_product_in_ascending_order(one in any_matrix()) {
            let apqns: Vec<Apqn> = one.apqns().collect();
            prop_assert!(apqns.is_sorted());
            prop_assert_eq!(apqns.len(), one.apm.count() * one.aqm.count());
            prop_assert!(apqns.iter().all(|apqn| one.contains(*apqn)));
            prop_assert_eq!(one.has_queues(), !apqns.is_empty());
        }

        #[test]
        fn conflicts_are_the_shared_queues_and_symmetric(one in any_matrix(), other in any_matrix()) {
            let (a, b): (BTreeSet<Apqn>, BTreeSet<Apqn>) = (one.apqns().collect(), other.apqns().collect());
            let shared: BTreeSet<Apqn> = one.conflict(&other).collect();
            prop_assert_eq!(&shared, &(&a & &b));
            prop_assert_eq!(&shared, &other.conflict(&one).collect());
            prop_assert_eq!(one.conflicts_with(&other), !shared.is_empty());
            prop_assert_eq!(other.conflicts_with(&one), !shared.is_empty());
        }

        #[test]
        fn the_hosts_conflicts_are_the_queues_it_keeps(
            one in any_matrix(),
            masks in any_matrix(),
            overrides in proptest::collection::btree_map((0_u8..12, 0_u8..12), any::<bool>(), 0..4),
        ) {
            let overrides = overrides.into_iter().map(|((a, q), kept)| (Apqn::new(a, q), kept)).collect();
            let share = HostShare { apmask: masks.apm, aqmask: masks.aqm, overrides };
            let kept: Vec<Apqn> = one.apqns().filter(|apqn| share.keeps(*apqn)).collect();
            prop_assert_eq!(share.conflicts_with(&one), !kept.is_empty());
            prop_assert_eq!(share.conflict(&one).collect::<Vec<_>>(), kept);
        }
    }
}
