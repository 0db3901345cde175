//! What happens to the vfio-ap device while the guest runs: the host changes its queues or wants it back, somebody
//! plugs or unplugs it.

use super::{Loop, token};
use crate::{
    config::VfioApOption,
    control::{DeviceInfo, Refusal},
    counts::ApHappening,
    event::{DetachReason, Event},
    guest::RunError,
    machine::{
        BuildError,
        ap::{ApSlot, Change, Unplugged, names},
        chain,
    },
    plan::device_for,
};
use adjunct_devices::vfio_ap::VfioAp;
use adjunct_hypervisor::EventFd;
use event_manager::{EventOps, EventSet, Events};
use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};
use std::{io, sync::PoisonError, time::Duration};

/// How often the loop looks for what nobody tells: as often as the host's AP bus looks at its adapters
/// (`drivers/s390/crypto/ap_bus.c: AP_CONFIG_TIME`, 7.3).
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The interrupts of the device that the loop watches, and what they mean.
pub(super) fn watched(ap: &ApSlot) -> impl Iterator<Item = (&EventFd, u32)> {
    let release = ap.device().and_then(VfioAp::release_requests).map(|event| (event, token::AP_RELEASE));
    let changes = ap.device().and_then(VfioAp::config_changes).map(|event| (event, token::AP_CONFIG));
    release.into_iter().chain(changes)
}

/// Whether the interrupt has come; it is taken. It is a counter: how often it came does not matter. Of a device that
/// went while others were served, the loop may still hear, and the next device can have got the same descriptors.
fn is_signalled(event: &EventFd) -> bool {
    event.read().is_ok()
}

impl Loop<'_> {
    /// The host has changed the guest's queues.
    pub(super) fn ap_configuration_changed(&mut self, ops: &mut EventOps) {
        // A host that wants the device back takes the queues first and says both. What it says last counts: of the
        // queues its attributes tell no more, or tell what was.
        self.release_ap(ops);
        let Some(device) = self.ap.device() else { return };
        if !device.config_changes().is_some_and(is_signalled) {
            return;
        }
        let change = self.ap.look(&*self.host.sysfs).unwrap_or_default();
        self.ap_is_changed(&change);
    }

    fn ap_is_changed(&self, change: &Change) {
        let Some(id) = self.ap.device().map(|device| device.id().to_owned()) else { return };
        self.tell_guest_of_ap();
        self.watch.counts.ap(ApHappening::ConfigChanged);
        let (added, removed) = (names(&change.added), names(&change.removed));
        self.events.send(&Event::ApConfigChanged { id, apqns: names(&self.ap.queues()), added, removed });
    }

    /// Looks for what the host does not tell: adapters that are checkstopped, and before Linux 6.17 queues that came or
    /// went.
    pub(super) fn look_at_ap(&mut self) {
        let Some(device) = self.ap.device() else { return };
        let (id, is_told) = (device.id().to_owned(), device.config_changes().is_some());
        if !is_told
            && let Some(change) = self.ap.look(&*self.host.sysfs)
            && change != Change::default()
        {
            self.ap_is_changed(&change);
        }
        if let Some(apqns) = self.ap.look_for_checkstops(&*self.host.sysfs) {
            if !apqns.is_empty() {
                tracing::warn!("checkstopped, and of no use to the guest: {}", names(&apqns).join(" "));
            }
            self.events.send(&Event::ApCheckstopped { id, apqns: names(&apqns) });
        }
    }

    /// The time has come to look again.
    pub(super) fn look_on_time(&mut self) {
        let _ = self.look.wait();
        self.look_at_ap();
    }

    /// Has the loop look from time to time while there is a device.
    pub(super) fn look_regularly(&self) {
        let set = match self.ap.device() {
            Some(_) => self.look.set(Expiration::Interval(LOOK_EVERY.into()), TimerSetTimeFlags::empty()),
            None => self.look.unset(),
        };
        if let Err(error) = set {
            tracing::debug!(%error, "no timer");
        }
    }

    /// Gives the AP device back to the host, if that asks for it.
    pub(super) fn release_ap(&mut self, ops: &mut EventOps) {
        let Some(device) = self.ap.device() else { return };
        if !device.release_requests().is_some_and(is_signalled) {
            return;
        }
        let id = device.id().to_owned();
        tracing::warn!("the host wants vfio-ap device {id} back: the guest loses its AP queues");
        self.watch.counts.ap(ApHappening::ReleaseRequested);
        self.events.send(&Event::ApReleaseRequested { id });
        self.unplug_ap(DetachReason::HostRequest, ops);
    }

    /// Gives the guest an AP device.
    pub(super) fn add_device(
        &mut self,
        option: &VfioApOption,
        ops: &mut EventOps,
    ) -> Result<DeviceInfo, Refusal> {
        if let Some(present) = self.ap.device() {
            let present = present.id().to_owned();
            return Err(Refusal::SecondDevice { asked: option.choice.to_string(), present });
        }
        let (planned, warnings) = device_for(&self.model, option, self.host)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        self.ap.plug(&*self.shared.vm, planned).map_err(|error| match error {
            BuildError::Attach(error) => Refusal::Attach(error),
            other => Refusal::Boot(RunError::Build(other)),
        })?;
        let mut watch = |(event, what)| ops.add(Events::with_data(event, what, EventSet::IN));
        let all_watched = watched(&self.ap).try_for_each(&mut watch);
        if let Err(error) = all_watched {
            // Unheard it would never go back to a host that wants it.
            self.ap.unplug();
            return Err(Refusal::Boot(RunError::Loop(io::Error::other(error))));
        }
        self.ap.look(&*self.host.sysfs);
        self.look_regularly();
        self.tell_guest_of_ap();
        self.watch.counts.ap(ApHappening::Attached);
        let info = self.ap.info().ok_or(Refusal::Gone)?;
        let (id, mdev) = (info.id.clone(), info.mdev.map(|uuid| uuid.to_string()));
        self.events.send(&Event::ApAttached { id, mdev, apqns: names(&info.apqns) });
        Ok(info)
    }

    /// Takes the device `id` from the guest.
    pub(super) fn remove_device(&mut self, id: &str, ops: &mut EventOps) -> Result<(), Refusal> {
        match self.ap.device().map(|device| device.id()) {
            Some(present) if present == id => {
                self.unplug_ap(DetachReason::Unplugged, ops);
                Ok(())
            }
            present => Err(Refusal::NoSuchDevice { id: id.to_owned(), present: present.map(str::to_owned) }),
        }
    }

    fn unplug_ap(&mut self, reason: DetachReason, ops: &mut EventOps) {
        for (event, _) in watched(&self.ap) {
            if let Err(error) = ops.remove(Events::empty(event)) {
                tracing::debug!(%error, "not watched");
            }
        }
        // The last chance to see what it had: a kernel without the interrupt does not tell of changes.
        if reason == DetachReason::Unplugged {
            self.ap.look(&*self.host.sysfs);
        }
        let Some(Unplugged { device, info }) = self.ap.unplug() else { return };
        self.look_regularly();
        for refused in device.detach() {
            tracing::warn!("{}", chain(&refused));
        }
        self.tell_guest_of_ap();
        self.watch.counts.ap(ApHappening::Detached);
        self.events.send(&Event::ApDetached { id: info.id, apqns: names(&info.apqns), reason });
    }

    /// Lets the guest look at its queues anew.
    fn tell_guest_of_ap(&self) {
        let report =
            self.shared.css.lock().unwrap_or_else(PoisonError::into_inner).ap_configuration_changed();
        if let Some(interruption) = report
            && let Err(refused) = self.shared.vm.inject(interruption)
        {
            tracing::warn!("the guest is not told that its AP queues are others: {}", chain(&refused));
        }
    }
}
