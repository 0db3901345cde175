//! Who sees events: a file, and subscribers. None of them can hold up the guest.

use super::Event;
use crate::{
    config::EventTarget,
    output::{Outlet, Output, Stop},
    wait::Flag,
};
use adjunct_hypervisor::descriptor;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
};

/// How many events a subscriber may leave unread: a guest that resets itself without end must not fill our memory.
const MOST_UNREAD: usize = 1024;

/// The events from the subscription on.
#[derive(Debug)]
pub struct Subscription {
    events: Receiver<Event>,
    ready: Flag,
}

impl Subscription {
    /// The next event, if one is there.
    pub fn next_now(&self) -> Option<Event> {
        self.ready.lower();
        let event = self.events.try_recv().ok()?;
        self.ready.raise();
        Some(event)
    }
}

/// Waits for each event; `None` once the program has sent its last.
impl Iterator for Subscription {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.recv().ok()
    }
}

/// Readable when an event may be there for [`Subscription::next_now`].
impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

#[derive(Debug)]
struct Subscriber {
    to: SyncSender<Event>,
    ready: Flag,
}

/// Events that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("--event-monitor {target}: it can't be written")]
pub struct EventsError {
    target: EventTarget,
    #[source]
    source: io::Error,
}

/// Where events go.
#[derive(Debug, Default)]
pub struct Events {
    monitor: Option<Monitor>,
    subscribers: Mutex<Vec<Subscriber>>,
}

#[derive(Debug)]
struct Monitor {
    target: EventTarget,
    output: Output,
}

impl Events {
    /// Opens `target`, or nothing.
    ///
    /// # Errors
    /// [`EventsError`] as opening the file or duplicating the descriptor says.
    pub fn open(target: Option<&EventTarget>) -> Result<Self, EventsError> {
        let Some(target) = target else { return Ok(Self::default()) };
        let outlet = match target {
            EventTarget::Path(path) => Outlet::create(path, &[]),
            EventTarget::Descriptor(number) => {
                descriptor::inherit(*number).map(|file| Some(Outlet::shared(file.into())))
            }
        };
        let outlet = outlet.map_err(|source| EventsError { target: target.clone(), source })?;
        let monitor =
            outlet.map(|outlet| Monitor { target: target.clone(), output: Output::new(outlet, Vec::new()) });
        Ok(Self { monitor, ..Self::default() })
    }

    /// Once `stop` is readable, a reader who sleeps is waited for no more: what he has no room for is lost.
    pub fn stop_waiting_at(&self, stop: Stop) {
        if let Some(monitor) = &self.monitor {
            monitor.output.stop_waiting_at(stop);
        }
    }

    /// Whether anybody sees what is sent: what costs something to find out need not be found out else.
    pub fn are_seen(&self) -> bool {
        self.monitor.is_some() || !self.lock().is_empty() || tracing::enabled!(tracing::Level::INFO)
    }

    /// All events from now on. One who does not read them loses those beyond the first 1024, not the guest its time.
    ///
    /// # Errors
    /// There is no eventfd to be had.
    pub fn subscribe(&self) -> io::Result<Subscription> {
        let ready = Flag::new()?;
        let (to, events) = mpsc::sync_channel(MOST_UNREAD);
        self.lock().push(Subscriber { to, ready: ready.clone() });
        Ok(Subscription { events, ready })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody of one event. A watcher that has gone away does not end the guest: that is said at the end.
    pub fn send(&self, event: &Event) {
        tracing::info!("{}", serde_json::to_string(event).unwrap_or_default());
        self.lock().retain(|subscriber| match subscriber.to.try_send(event.clone()) {
            Ok(()) | Err(TrySendError::Full(_)) => {
                subscriber.ready.raise();
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
        if let Some(monitor) = &self.monitor {
            monitor.send(event);
        }
    }

    /// Whether all events were written.
    ///
    /// # Errors
    /// [`EventsError`] with the first failure.
    pub fn all_written(&self) -> Result<(), EventsError> {
        let Some(monitor) = &self.monitor else { return Ok(()) };
        let lost = monitor.output.lost();
        lost.map_or(Ok(()), |source| Err(EventsError { target: monitor.target.clone(), source }))
    }
}

impl Monitor {
    /// Writes an event, or keeps it until there is room; waits for that only at the end.
    fn send(&self, event: &Event) {
        let output = &self.output;
        let push_out =
            || if matches!(event, Event::Ended { .. }) { output.wait(None) } else { output.push_out() };
        push_out();
        if !output.keep_within(MOST_BACKLOG, &event.line()) {
            output.lose(io::Error::other("its reader has left too many events unread"));
        }
        push_out();
    }
}

/// How many bytes of events wait for a reader who is slow; one event always may.
const MOST_BACKLOG: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_hears_all_from_then_on_and_the_end() {
        let events = Events::default();
        events.send(&Event::Paused);
        let mut subscription = events.subscribe().expect("an eventfd");
        assert_eq!(subscription.next_now(), None);
        events.send(&Event::Resumed);
        events.send(&Event::PowerDownRequested);
        assert_eq!(subscription.next_now(), Some(Event::Resumed));
        assert_eq!(subscription.next(), Some(Event::PowerDownRequested));
        drop(events);
        assert_eq!(subscription.next(), None);
    }

    #[test]
    fn a_subscriber_who_does_not_read_loses_events_and_nobody_waits_for_him() {
        let events = Events::default();
        let subscription = events.subscribe().expect("an eventfd");
        (0..2 * MOST_UNREAD).for_each(|_| events.send(&Event::Paused));
        drop(events);
        assert_eq!(subscription.count(), MOST_UNREAD);
    }
}
