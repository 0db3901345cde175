//! What happens to the vfio-ap device while the guest runs: the host changes its queues or wants it back, somebody
//! plugs or unplugs it.

use super::{Loop, token};
use crate::{
    chain::chain,
    config::VfioApOption,
    control::Refusal,
    counts::ApHappening,
    event::{DetachReason, Event},
    machine::{
        DeviceInfo,
        ap::{ApSlot, Change, Unplugged, names, source},
    },
    plan::{PlannedDevice, device_for},
};
use adjunct_devices::vfio_ap::{Attached, VfioAp};
use adjunct_hypervisor::{ApSource, EventFd, Vm};
use event_manager::{EventOps, EventSet, Events};
use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};
use std::{
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// How often the loop looks for what nobody tells: as often as the host's AP bus looks at its adapters
/// (`drivers/s390/crypto/ap_bus.c: AP_CONFIG_TIME`, 7.3).
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The interrupts of the device that the loop watches, and what they mean.
pub(super) fn watched(ap: &ApSlot) -> impl Iterator<Item = (&EventFd, u32)> {
    let release = ap.device().and_then(VfioAp::release_requests).map(|event| (event, token::AP_RELEASE));
    let changes = ap.device().and_then(VfioAp::config_changes).map(|event| (event, token::AP_CONFIG));
    release.into_iter().chain(changes)
}

/// Has the loop watch all of these, or none.
fn watch<'a>(
    ops: &mut EventOps,
    events: impl Iterator<Item = (&'a EventFd, u32)>,
) -> Result<(), event_manager::Error> {
    let mut added = Vec::new();
    for (event, what) in events {
        if let Err(error) = ops.add(Events::with_data(event, what, EventSet::IN)) {
            added.into_iter().for_each(|event| forget(ops, event));
            return Err(error);
        }
        added.push(event);
    }
    Ok(())
}

/// Has the loop watch this no more. To be called before it is closed: the next file can have its number.
fn forget(ops: &mut EventOps, event: &EventFd) {
    if let Err(error) = ops.remove(Events::empty(event)) {
        tracing::debug!(%error, "not watched");
    }
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
        // Of a guest that ends meanwhile there is nothing more to say.
        let _ = self.unplug_ap(DetachReason::HostRequest, ops);
    }

    /// Gives the guest an AP device. Files that came with `option` and are not the device's now are closed at the end.
    pub(super) fn add_device(
        &mut self,
        option: VfioApOption,
        ops: &mut EventOps,
    ) -> Result<DeviceInfo, Refusal> {
        if let Some(present) = self.ap.device() {
            let present = present.id().to_owned();
            return Err(Refusal::SecondDevice { asked: option.choice.to_string(), present });
        }
        let (planned, warnings) = device_for(&self.model, &option, self.host)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let attached = self.attach(&planned)?;
        self.ap.take_in(planned, attached);
        if let Err(error) = watch(ops, watched(&self.ap)) {
            // Unheard it would never go back to a host that wants it.
            self.close_ap();
            return Err(Refusal::Unwatched(io::Error::other(error)));
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

    fn attach(&mut self, planned: &PlannedDevice) -> Result<Attached, Refusal> {
        let source = source(&planned.choice).map_err(Refusal::DeviceFiles)?;
        let attach = |(vm, source, id): (Arc<dyn Vm>, ApSource, String)| {
            let attached = VfioAp::attach(&*vm, source, id);
            // The VM comes last: a device goes before the VM it is in.
            (attached, vm)
        };
        let on = (self.shared.vm.clone(), source, planned.id.to_string());
        let (attached, _vm) = self.send_on_errand("ap-plug", on, attach).ok_or(Refusal::Ended)?;
        Ok(attached?)
    }

    /// Takes the device `id` from the guest.
    pub(super) fn remove_device(&mut self, id: &str, ops: &mut EventOps) -> Result<(), Refusal> {
        match self.ap.device().map(VfioAp::id) {
            Some(present) if present == id => self.unplug_ap(DetachReason::Unplugged, ops),
            present => Err(Refusal::NoSuchDevice { id: id.to_owned(), present: present.map(str::to_owned) }),
        }
    }

    fn unplug_ap(&mut self, reason: DetachReason, ops: &mut EventOps) -> Result<(), Refusal> {
        watched(&self.ap).for_each(|(event, _)| forget(ops, event));
        // The last chance to see what it had: a kernel without the interrupt does not tell of changes.
        if reason == DetachReason::Unplugged {
            self.ap.look(&*self.host.sysfs);
        }
        let Some(info) = self.close_ap() else { return Err(Refusal::Ended) };
        self.look_regularly();
        self.tell_guest_of_ap();
        self.watch.counts.ap(ApHappening::Detached);
        self.events.send(&Event::ApDetached { id: info.id, apqns: names(&info.apqns), reason });
        Ok(())
    }

    /// Closes the device, upon which the host takes its queues from the guest and resets them. `None`: the guest ends.
    fn close_ap(&mut self) -> Option<DeviceInfo> {
        let Unplugged { device, info } = self.ap.unplug()?;
        for refused in self.send_on_errand("ap-unplug", device, VfioAp::detach)? {
            tracing::warn!("{}", chain(&refused));
        }
        Some(info)
    }

    /// Lets the guest look at its queues anew.
    fn tell_guest_of_ap(&self) {
        let css = || self.shared.css.lock().unwrap_or_else(PoisonError::into_inner);
        let report = css().ap_configuration_changed();
        if let Some(interruption) = report
            && let Err(refused) = self.shared.inject(interruption)
        {
            css().not_announced();
            tracing::warn!("the guest is not told that its AP queues are others: {}", chain(&refused));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_manager::{EventManager, MutEventSubscriber, SubscriberOps};

    /// Wants two files watched, and one of them twice, which is refused.
    struct Wants {
        files: [EventFd; 2],
        watched_again: Vec<bool>,
    }

    impl MutEventSubscriber for Wants {
        fn init(&mut self, ops: &mut EventOps) {
            let [one, other] = &self.files;
            assert!(watch(ops, [(one, 0), (other, 1), (other, 2)].into_iter()).is_err());
            self.watched_again =
                [one, other].map(|event| watch(ops, [(event, 0)].into_iter()).is_ok()).into();
        }

        fn process(&mut self, _: Events, _: &mut EventOps) {}
    }

    #[test]
    fn of_files_that_cannot_all_be_watched_none_is() {
        let files = [0, 0].map(|flags| EventFd::new(flags).expect("an eventfd"));
        let mut manager = EventManager::new().expect("an epoll");
        let id = manager.add_subscriber(Wants { files, watched_again: Vec::new() });
        assert_eq!(manager.subscriber_mut(id).expect("it is there").watched_again, [true, true]);
    }
}
