//! The vfio-ap device of a guest, and the queues that it was last seen to have.
//!
//! The host can take queues away at any time, and when it wants the whole device back, its attributes are gone before
//! anybody can look: so what was seen last is kept.

use super::BuildError;
use crate::{chain::chain, config::DeviceChoice, plan::PlannedDevice};
use adjunct_ap::{Apid, Apqn, Matrix, Sysfs, Uuid, host::Bus, mdev::Mdev, text::Listing};
use adjunct_devices::vfio_ap::{ApBus, Attached, VfioAp, Warning};
use adjunct_hypervisor::{ApSource, Vm, descriptor};
use std::{collections::BTreeSet, io, os::fd::RawFd};

/// The place of a guest's vfio-ap device.
#[derive(Debug, Default)]
pub(crate) struct ApSlot {
    bus: ApBus,
    plugged: Option<Plugged>,
}

#[derive(Debug)]
struct Plugged {
    planned: PlannedDevice,
    /// As last seen; empty before the first [`ApSlot::look`], and where it is not known which mdev it is.
    queues: BTreeSet<Apqn>,
    /// Whether there was a first look.
    seen: bool,
    /// Those of them that were checkstopped when last looked at.
    checkstopped: BTreeSet<Apqn>,
}

/// Which queues came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) added: Vec<Apqn>,
    pub(crate) removed: Vec<Apqn>,
}

/// The AP device of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// What the user calls it.
    pub id: String,
    /// As it was asked for: `sysfsdev=…`, or `fd=…,iommufd=…`.
    pub choice: DeviceChoice,
    /// The mediated device, if it can be seen which it is.
    pub mdev: Option<Uuid>,
    /// The queues that the guest has through it.
    pub apqns: Vec<Apqn>,
}

/// A device that the guest has no more.
#[derive(Debug)]
pub(crate) struct Unplugged {
    pub(crate) device: VfioAp,
    pub(crate) info: DeviceInfo,
}

impl ApSlot {
    /// Opens the device for the VM.
    ///
    /// # Errors
    /// [`BuildError`]; the VM is as it was.
    pub(crate) fn plug(&mut self, vm: &dyn Vm, planned: PlannedDevice) -> Result<(), BuildError> {
        let (_, warnings) = self.bus.attach(vm, source(&planned.choice)?, planned.id.as_str())?;
        self.note(planned, &warnings);
        Ok(())
    }

    /// Takes in the device that was planned, and that is the VM's now: [`source`] said what to attach.
    pub(crate) fn take_in(&mut self, planned: PlannedDevice, Attached { device, warnings }: Attached) {
        self.bus.put_back(device);
        self.note(planned, &warnings);
    }

    fn note(&mut self, planned: PlannedDevice, warnings: &[Warning]) {
        warnings.iter().for_each(|warning| tracing::warn!("{}", chain(warning)));
        self.plugged =
            Some(Plugged { planned, queues: BTreeSet::new(), seen: false, checkstopped: BTreeSet::new() });
    }

    /// Takes the device out of its place; the guest loses its queues when it is dropped or detached.
    pub(crate) fn unplug(&mut self) -> Option<Unplugged> {
        let info = self.info()?;
        self.plugged = None;
        Some(Unplugged { device: self.bus.remove()?, info })
    }

    /// Looks which queues the guest has now, and what is different from the last look. `None`: that can't be seen, and
    /// the last look stands.
    pub(crate) fn look(&mut self, sysfs: &dyn Sysfs) -> Option<Change> {
        let Plugged { planned, queues, seen, .. } = self.plugged.as_mut()?;
        let now = queues_of(planned.uuid?, sysfs)?;
        *seen = true;
        let before = std::mem::replace(queues, now);
        let only =
            |some: &BTreeSet<Apqn>, others: &BTreeSet<Apqn>| some.difference(others).copied().collect();
        Some(Change { added: only(queues, &before), removed: only(&before, queues) })
    }

    /// The first look, if there was none: what is different after another would be told to nobody.
    pub(crate) fn look_first(&mut self, sysfs: &dyn Sysfs) {
        if self.plugged.as_ref().is_some_and(|plugged| !plugged.seen) {
            self.look(sysfs);
        }
    }

    /// Looks which of the queues are checkstopped, with their adapter, if these are others than at the last look.
    pub(crate) fn look_for_checkstops(&mut self, sysfs: &dyn Sysfs) -> Option<Vec<Apqn>> {
        let Plugged { queues, checkstopped, .. } = self.plugged.as_mut()?;
        let adapters: BTreeSet<Apid> = queues.iter().map(|apqn| apqn.apid).collect();
        // Of an adapter that is gone there is nothing to say but that.
        let stopped = |apid: &Apid| Bus::new(sysfs).is_checkstopped(*apid).unwrap_or(false);
        let stopped: BTreeSet<Apid> = adapters.into_iter().filter(stopped).collect();
        let now: BTreeSet<Apqn> =
            queues.iter().filter(|apqn| stopped.contains(&apqn.apid)).copied().collect();
        let others = *checkstopped != now;
        *checkstopped = now;
        others.then(|| checkstopped.iter().copied().collect())
    }

    /// The queues as last seen.
    pub(crate) fn queues(&self) -> Vec<Apqn> {
        self.plugged.as_ref().map(|plugged| plugged.queues.iter().copied().collect()).unwrap_or_default()
    }

    /// The device, for its interrupts.
    pub(crate) fn device(&self) -> Option<&VfioAp> {
        self.bus.device()
    }

    /// What there is to say of the device.
    pub(crate) fn info(&self) -> Option<DeviceInfo> {
        let Plugged { planned: PlannedDevice { uuid, choice, id }, queues, .. } = self.plugged.as_ref()?;
        let (id, choice) = (id.clone(), choice.clone());
        Some(DeviceInfo { id, choice, mdev: *uuid, apqns: queues.iter().copied().collect() })
    }

    /// Lends the device to whoever may have to wait for the host, until [`ApSlot::put_back`].
    pub(crate) fn lend(&mut self) -> Option<VfioAp> {
        self.bus.remove()
    }

    /// Takes the device back.
    pub(crate) fn put_back(&mut self, device: VfioAp) {
        self.bus.put_back(device);
    }
}

/// The queues that a guest has through this mdev; `None`: its attributes are gone.
fn queues_of(uuid: Uuid, sysfs: &dyn Sysfs) -> Option<BTreeSet<Apqn>> {
    let Listing { apm, aqm, .. } = Mdev::open(sysfs, uuid).ok()?.guest_matrix().ok()?;
    Some(Matrix { apm, aqm, ..Matrix::EMPTY }.apqns().collect())
}

/// Queues as events and sysfs write them.
pub(crate) fn names(queues: &[Apqn]) -> Vec<String> {
    queues.iter().map(ToString::to_string).collect()
}

/// Why the files of a device can't be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceFilesError {
    /// A file that somebody else should have opened.
    #[error("--device vfio-ap,{key}={number} is no file descriptor that adjunct inherited")]
    Descriptor {
        /// Which of the two.
        key: &'static str,
        /// As typed.
        number: RawFd,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file that somebody sent, and that is no longer there.
    #[error("vfio-ap,{0}: its files are taken already; send them anew")]
    Taken(DeviceChoice),
}

/// What to open. Descriptors are taken over: they close with the device.
pub(crate) fn source(choice: &DeviceChoice) -> Result<ApSource, DeviceFilesError> {
    let adopt = |key, number: RawFd| {
        descriptor::adopt(number).map_err(|source| DeviceFilesError::Descriptor { key, number, source })
    };
    Ok(match choice {
        DeviceChoice::Mdev { sysfsdev, backend } => {
            ApSource::Mdev { path: sysfsdev.clone(), backend: *backend }
        }
        DeviceChoice::Descriptors { fd, iommufd } => {
            ApSource::Descriptors { device: adopt("fd", *fd)?, iommufd: adopt("iommufd", *iommufd)? }
        }
        DeviceChoice::Sent { fd, iommufd } => match (fd.take(), iommufd.take()) {
            (Some(device), Some(iommufd)) => ApSource::Descriptors { device, iommufd },
            _ => return Err(DeviceFilesError::Taken(choice.clone())),
        },
    })
}
