//! The vfio_ap driver: mediated matrix devices, what of them a guest is given, and the queues behind them
//! (`drivers/s390/crypto/vfio_ap_ops.c`, `vfio_ap_drv.c`; `drivers/vfio/mdev`; 7.2).
//!
//! Three matrices are apart here: what a person *assigned* to an mdev (`matrix`), what of it a guest *may have* now
//! (`guest_matrix`, in the kernel "shadow APCB"), and what a guest *has* (the masks given to KVM while the mdev is
//! open). The module knows KVM only as [`GuestCrypto`].

mod aqic;
mod assign;
mod attributes;
mod config;
mod filter;
mod mdev;
mod open;
mod queues;
mod reset;
mod uevent;

pub(crate) use attributes::{IOMMU_GROUP, MATRIX, MDEV, MDEV_TYPE, VFIO_DEV, VFIO_GROUP};
use mdev::Numbers;
use open::Given;
pub use open::{GuestCrypto, Notification, OpenMdev, VmId};
pub(crate) use open::{Trigger, device_info, irq_info};

use crate::{
    Qci,
    vfio::{AddressSpace, Users},
};
use adjunct_ap::{Apid, Apm, Apqi, Apqn, Aqm, Matrix, Uuid};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The driver's state.
#[derive(Debug)]
pub(crate) struct VfioAp {
    /// The host's configuration: what QCI said when the driver was loaded, kept up by the bus.
    config: HostConfig,
    pub(crate) mdevs: BTreeMap<Uuid, Mdev>,
    /// Queue devices bound to the driver.
    queues: BTreeMap<Apqn, BoundQueue>,
    /// Every queue that is linked, below its mdev.
    links: BTreeSet<(Uuid, Apqn)>,
    /// Which mdev answers the PQAP(AQIC) of a VM.
    hooks: BTreeMap<VmId, Uuid>,
    /// How many mdevs were ever made.
    made: u64,
    numbers: Numbers,
    /// Mdevs that somebody waits to remove.
    going: BTreeSet<Uuid>,
}

/// What the host has, and the highest ids that can be assigned.
#[derive(Clone, Copy, Debug)]
struct HostConfig {
    matrix: Matrix,
    max_adapter: u8,
    max_domain: u8,
}

impl HostConfig {
    /// Without APXA there are 64 adapters and 16 domains; without QCI the driver knows of none
    /// (`vfio_ap_matrix_init`).
    fn of(qci: Option<&Qci>) -> Self {
        let matrix = qci.map_or(Matrix::EMPTY, |qci| Matrix { apm: qci.apm, aqm: qci.aqm, adm: qci.adm });
        match qci.filter(|qci| qci.apxa()) {
            Some(qci) => Self { matrix, max_adapter: qci.max_adapter, max_domain: qci.max_domain },
            None => Self { matrix, max_adapter: 63, max_domain: 15 },
        }
    }
}

/// A mediated device.
#[derive(Debug)]
pub(crate) struct Mdev {
    /// Which of the mdevs that had this name.
    pub(crate) born: u64,
    /// What was assigned.
    matrix: Matrix,
    /// What of it a guest may have: `guest_matrix`.
    shadow: Matrix,
    /// What the host is just being given and was assigned already; filtered when the scan ends.
    adding: Matrix,
    /// Highest ids, as they were when the mdev was made.
    max_adapter: u8,
    max_domain: u8,
    /// The VM that has it open.
    guest: Option<Guest>,
    /// Whom interrupts are signalled to, by index. They stay when the device is closed.
    triggers: [Option<Box<dyn Trigger>>; 2],
    /// The guest memory that the device may reach.
    dma: Option<Arc<AddressSpace>>,
    /// Who has files of it.
    pub(crate) users: Users,
    /// Which it was of all that were ever made.
    pub(crate) made: u64,
    /// Number of its IOMMU group, and of its character device.
    pub(crate) group: u32,
    /// Somebody has asked to remove it.
    removing: Option<Removal>,
}

/// A `remove` that waits until the guest gives the mdev back.
#[derive(Clone, Copy, Debug)]
struct Removal {
    /// When the guest was last asked, in nanoseconds of the clock.
    asked: u64,
    /// How often it had been asked before.
    count: u32,
}

#[derive(Clone, Debug)]
struct Guest {
    vm: VmId,
    crypto: Arc<Given>,
}

/// A queue device bound to vfio_ap.
#[derive(Debug, Default)]
struct BoundQueue {
    /// The mdev it is assigned to: a linked queue.
    mdev: Option<Uuid>,
    /// Response code of its last reset.
    reset_code: u8,
    /// Where the guest wants to be told of replies.
    nib: Option<u64>,
}

impl VfioAp {
    /// How many mdevs there may be at once.
    const CAPACITY: usize = 65536;

    pub(crate) fn new(qci: Option<&Qci>) -> Self {
        Self {
            config: HostConfig::of(qci),
            mdevs: BTreeMap::new(),
            queues: BTreeMap::new(),
            links: BTreeSet::new(),
            hooks: BTreeMap::new(),
            made: 0,
            numbers: Numbers::default(),
            going: BTreeSet::new(),
        }
    }

    /// Whether somebody has the device of this mdev open.
    pub(crate) fn is_open(&self, uuid: Uuid) -> bool {
        self.mdevs.get(&uuid).is_some_and(|mdev| mdev.guest.is_some())
    }

    /// Whether `remove` of this mdev waits for its close.
    pub(crate) fn is_being_removed(&self, uuid: Uuid) -> bool {
        self.mdevs.get(&uuid).is_some_and(|mdev| mdev.removing.is_some())
    }

    /// Leaves a guest other adapters and domains than filtering has found.
    pub(crate) fn restore_guest(&mut self, uuid: Uuid, apm: Option<Apm>, aqm: Option<Aqm>) {
        if let Some(mdev) = self.mdevs.get_mut(&uuid) {
            mdev.shadow.apm = apm.unwrap_or(mdev.shadow.apm);
            mdev.shadow.aqm = aqm.unwrap_or(mdev.shadow.aqm);
        }
    }

    fn mdev(&self, uuid: Uuid) -> Result<&Mdev, i32> {
        self.mdevs.get(&uuid).ok_or(libc::ENODEV)
    }

    fn mdev_mut(&mut self, uuid: Uuid) -> Result<&mut Mdev, i32> {
        self.mdevs.get_mut(&uuid).ok_or(libc::ENODEV)
    }

    /// The mdev other than `uuid` that has queues of `matrix`, and which: the newest if there are several
    /// (`vfio_ap_mdev_verify_no_sharing`).
    pub(crate) fn user(&self, matrix: &Matrix, uuid: Option<Uuid>) -> Option<(Uuid, Vec<Apqn>)> {
        let others = self.mdevs.iter().filter(|(other, _)| Some(**other) != uuid);
        let users = others.filter(|(_, mdev)| mdev.matrix.conflicts_with(matrix));
        let (user, mdev) = users.max_by_key(|(_, mdev)| mdev.made)?;
        Some((*user, mdev.matrix.conflict(matrix).collect()))
    }

    /// The queues linked to an mdev for which `wanted` is so, in order.
    fn linked(&self, uuid: Uuid, wanted: impl Fn(Apqn) -> bool) -> Vec<Apqn> {
        let all = (uuid, Apqn { apid: Apid(0), apqi: Apqi(0) })
            ..=(uuid, Apqn { apid: Apid(u8::MAX), apqi: Apqi(u8::MAX) });
        self.links.range(all).map(|(_, apqn)| *apqn).filter(|apqn| wanted(*apqn)).collect()
    }

    /// Links a bound queue to an mdev, or to none.
    fn set_link(&mut self, apqn: Apqn, mdev: Option<Uuid>) {
        let Some(queue) = self.queues.get_mut(&apqn) else { return };
        if let Some(old) = std::mem::replace(&mut queue.mdev, mdev) {
            self.links.remove(&(old, apqn));
        }
        if let Some(new) = mdev {
            self.links.insert((new, apqn));
        }
    }
}
