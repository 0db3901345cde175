//! What happened to a guest, for whoever watches: one JSON object a line in a file, or a subscription.

use crate::{
    config::EventTarget,
    console::{Patient, Stop},
    exit_status::ExitStatus,
};
use adjunct_hypervisor::{CpuState, descriptor};
use nix::sys::eventfd::{EfdFlags, EventFd};
use serde::{Serialize, Serializer};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
};

/// Something that happened. The shape is part of the interface and pinned by a test; new events and
/// new members may come, what is here stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The host was looked at and can do what was asked for. Nothing has been changed yet.
    HostChecked {
        /// What the host is.
        host: String,
        /// What was worth a warning.
        warnings: Vec<String>,
    },
    /// The VM and its vCPUs exist; the CPU model is frozen.
    VmBuilt {
        /// CPU model as `--cpu` takes it.
        cpu: String,
        /// Number of vCPUs.
        vcpus: u16,
        /// Guest memory in bytes.
        memory: u64,
    },
    /// The AP device is open: the guest has these queues. At its start, or by hot plug.
    ApAttached {
        /// What the user calls the device.
        id: String,
        /// UUID of the mediated device, if it is known.
        mdev: Option<String>,
        /// The guest's queues as sysfs writes them: `05.0004`.
        apqns: Vec<String>,
    },
    /// The host changed the guest's queues (`VFIO_AP_CFG_CHG_IRQ_INDEX`).
    ApConfigChanged {
        /// What the user calls the device.
        id: String,
        /// The queues the guest has now.
        apqns: Vec<String>,
        /// Those that it did not have before.
        added: Vec<String>,
        /// Those that it had before.
        removed: Vec<String>,
    },
    /// Adapters of the guest are checkstopped, or work again. The host's kernel tells nobody: adjunct looks every 30
    /// seconds, at resets, and when it is asked about the guest.
    ApCheckstopped {
        /// What the user calls the device.
        id: String,
        /// All of the guest's queues that are checkstopped now.
        apqns: Vec<String>,
    },
    /// The host wants the AP device back (`VFIO_AP_REQ_IRQ_INDEX`).
    ApReleaseRequested {
        /// What the user calls the device.
        id: String,
    },
    /// The AP device is gone from a guest that goes on.
    ApDetached {
        /// What the user calls the device.
        id: String,
        /// The queues that the guest has lost.
        apqns: Vec<String>,
        /// Who wanted it.
        reason: DetachReason,
    },
    /// All vCPUs are held.
    Paused,
    /// The vCPUs go on.
    Resumed,
    /// The guest was asked to shut down (SCLP signal quiesce).
    PowerDownRequested,
    /// The guest was reset.
    GuestReset {
        /// Which: `external`, `re-ipl`, `modified-clear`, `load-normal`.
        kind: String,
    },
    /// The guest can't go on, by its own fault. It has ended.
    GuestPanicked {
        /// Address of the CPU that says so.
        cpu: u16,
        /// How that is known.
        reason: PanicReason,
        /// That CPU's registers; numbers are hexadecimal.
        #[serde(flatten)]
        registers: Registers,
    },
    /// A guest ended, or did not start; the next one may come.
    GuestEnded {
        /// Who wanted it.
        cause: EndCause,
        /// Exit status that the program has if it ends with this guest.
        status: u8,
        /// Why, for people.
        reason: String,
    },
    /// The program ends. Always the last event.
    Ended {
        /// Exit status of the program.
        status: u8,
        /// Why, for people.
        reason: String,
    },
}

/// Why a device is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DetachReason {
    /// It was unplugged.
    Unplugged,
    /// The host wanted it back.
    HostRequest,
}

/// Who ended a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndCause {
    /// The guest: it has powered off.
    Guest,
    /// The guest, which can't go on.
    Panic,
    /// Somebody who steers it.
    Order,
    /// A signal to the program.
    Signal,
    /// The host, which refused something.
    HostError,
}

/// How a guest says that it can't go on, as QEMU calls it (`qapi/run-state.json: S390CrashReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PanicReason {
    /// Its CPUs wait, and no interruption can wake one.
    DisabledWait,
    /// Program interruptions without end.
    PgmintLoop,
    /// External interruptions without end.
    ExtintLoop,
    /// Something else; the end of the guest says what.
    Unknown,
}

/// The registers of a CPU; written as `0x…`: JSON's numbers don't hold all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Registers {
    /// Bits 0-63 of the PSW.
    #[serde(serialize_with = "hex")]
    pub psw_mask: u64,
    /// Bits 64-127 of the PSW: the instruction address.
    #[serde(serialize_with = "hex")]
    pub psw_addr: u64,
    /// Address of the prefix area.
    #[serde(serialize_with = "hex_of_a_word")]
    pub prefix: u32,
    /// General registers.
    #[serde(serialize_with = "hex_of_each")]
    pub gprs: [u64; 16],
    /// Control registers.
    #[serde(serialize_with = "hex_of_each")]
    pub crs: [u64; 16],
}

fn hex<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#018x}"))
}

fn hex_of_a_word<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#010x}"))
}

fn hex_of_each<S: Serializer>(values: &[u64; 16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| format!("{value:#018x}")))
}

impl From<&CpuState> for Registers {
    fn from(cpu: &CpuState) -> Self {
        let CpuState { psw, gprs, crs, prefix, .. } = cpu;
        Self { psw_mask: psw.mask, psw_addr: psw.address, prefix: *prefix, gprs: *gprs, crs: *crs }
    }
}

impl Event {
    /// A CPU's last word.
    pub fn guest_panicked(cpu: u16, reason: PanicReason, registers: &CpuState) -> Self {
        Self::GuestPanicked { cpu, reason, registers: registers.into() }
    }

    /// The last event.
    pub fn ended(status: ExitStatus, reason: &str) -> Self {
        Self::Ended { status: status.code(), reason: reason.to_owned() }
    }
}

/// How many events a subscriber may leave unread: a guest that resets itself without end must not fill our memory.
const MOST_UNREAD: usize = 1024;

/// The events from the subscription on.
#[derive(Debug)]
pub struct Subscription {
    events: Receiver<Event>,
    ready: Arc<EventFd>,
}

impl Subscription {
    /// The next event, if one is there.
    pub fn next_now(&self) -> Option<Event> {
        // Before looking: what comes after this makes the descriptor readable again.
        let _ = self.ready.read();
        let event = self.events.try_recv().ok()?;
        let _ = self.ready.write(1);
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
    ready: Arc<EventFd>,
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
    sink: Mutex<Sink>,
}

impl Events {
    /// Opens `target`, or nothing.
    ///
    /// # Errors
    /// [`EventsError`] as opening the file or duplicating the descriptor says.
    pub fn open(target: Option<&EventTarget>) -> Result<Self, EventsError> {
        let Some(target) = target else { return Ok(Self::default()) };
        let file = match target {
            EventTarget::Path(path) => File::create(path),
            EventTarget::Descriptor(number) => descriptor::inherit(*number).map(File::from),
        };
        let file = file.map_err(|source| EventsError { target: target.clone(), source })?;
        let file = Patient { output: file, stop: Vec::new() };
        let sink = Mutex::new(Sink { file, backlog: VecDeque::new(), lost: None });
        let monitor = Monitor { target: target.clone(), sink };
        Ok(Self { monitor: Some(monitor), ..Self::default() })
    }

    /// Once `stop` is readable, a reader who sleeps is waited for no more: what he has no room for is lost.
    pub fn stop_waiting_at(&self, stop: Stop) {
        if let Some(monitor) = &self.monitor {
            monitor.lock().file.stop.push(stop);
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
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let ready = Arc::new(EventFd::from_flags(flags)?);
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
                let _ = subscriber.ready.write(1);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
        if let Some(monitor) = &self.monitor {
            monitor.lock().send(event);
        }
    }

    /// Whether all events were written.
    ///
    /// # Errors
    /// [`EventsError`] with the first failure.
    pub fn all_written(&self) -> Result<(), EventsError> {
        let Some(monitor) = &self.monitor else { return Ok(()) };
        let lost = monitor.lock().lost.take();
        lost.map_or(Ok(()), |source| Err(EventsError { target: monitor.target.clone(), source }))
    }
}

impl Monitor {
    fn lock(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many bytes of events wait for a reader who is slow; one event always may.
const MOST_BACKLOG: usize = 1 << 20;

/// The file that events are written to.
#[derive(Debug)]
struct Sink {
    file: Patient<File>,
    /// What its reader had no room for.
    backlog: VecDeque<u8>,
    lost: Option<io::Error>,
}

impl Sink {
    /// Writes an event, or keeps it until there is room; waits for that only at the end.
    fn send(&mut self, event: &Event) {
        let is_last = matches!(event, Event::Ended { .. });
        self.push_out(is_last);
        let line = line(event);
        if !self.backlog.is_empty() && self.backlog.len() + line.len() > MOST_BACKLOG {
            self.lost.get_or_insert_with(|| io::Error::other("its reader has left too many events unread"));
            return;
        }
        self.backlog.extend(line);
        self.push_out(is_last);
    }

    fn push_out(&mut self, wait: bool) {
        while !self.backlog.is_empty() && (wait || self.file.takes_now()) {
            match self.file.write(self.backlog.as_slices().0) {
                Ok(written) => drop(self.backlog.drain(..written)),
                Err(error) => {
                    self.lost.get_or_insert(error);
                    self.backlog.clear();
                }
            }
        }
    }
}

/// One event as one line.
fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_hypervisor::Psw;

    #[test]
    fn an_event_is_one_json_object_on_one_line() {
        let apqns = vec!["05.0004".to_owned(), "05.00ab".to_owned()];
        let (id, added, removed) = ("ap0".to_owned(), vec!["05.00ab".to_owned()], vec!["06.0004".to_owned()]);
        let psw = Psw { mask: 0x0002_0001_8000_0000, address: 0xbad };
        let cpu = CpuState { psw, gprs: [1; 16], prefix: 0x2000, ..CpuState::default() };
        let events = [
            Event::HostChecked { host: "KVM".to_owned(), warnings: vec!["two\nlines".to_owned()] },
            Event::VmBuilt { cpu: "host".to_owned(), vcpus: 2, memory: 1 << 28 },
            Event::ApAttached { id: id.clone(), mdev: Some("6c4a".to_owned()), apqns: apqns.clone() },
            Event::ApConfigChanged { id: id.clone(), apqns: apqns.clone(), added, removed },
            Event::ApCheckstopped { id: id.clone(), apqns: vec!["05.0004".to_owned()] },
            Event::ApReleaseRequested { id: id.clone() },
            Event::ApDetached { id: id.clone(), apqns, reason: DetachReason::HostRequest },
            Event::ApDetached { id, apqns: Vec::new(), reason: DetachReason::Unplugged },
            Event::Paused,
            Event::Resumed,
            Event::PowerDownRequested,
            Event::GuestReset { kind: "load-normal".to_owned() },
            Event::guest_panicked(1, PanicReason::DisabledWait, &cpu),
            Event::GuestEnded { cause: EndCause::Panic, status: 1, reason: "disabled wait".to_owned() },
            Event::ended(ExitStatus::GuestFailed, "disabled wait"),
        ];
        let mut text = Vec::new();
        for event in &events {
            text.extend(line(event));
        }
        let want = [
            r#"{"event":"host-checked","host":"KVM","warnings":["two\nlines"]}"#,
            r#"{"event":"vm-built","cpu":"host","vcpus":2,"memory":268435456}"#,
            r#"{"event":"ap-attached","id":"ap0","mdev":"6c4a","apqns":["05.0004","05.00ab"]}"#,
            r#"{"event":"ap-config-changed","id":"ap0","apqns":["05.0004","05.00ab"],"added":["05.00ab"],"removed":["06.0004"]}"#,
            r#"{"event":"ap-checkstopped","id":"ap0","apqns":["05.0004"]}"#,
            r#"{"event":"ap-release-requested","id":"ap0"}"#,
            r#"{"event":"ap-detached","id":"ap0","apqns":["05.0004","05.00ab"],"reason":"host-request"}"#,
            r#"{"event":"ap-detached","id":"ap0","apqns":[],"reason":"unplugged"}"#,
            r#"{"event":"paused"}"#,
            r#"{"event":"resumed"}"#,
            r#"{"event":"power-down-requested"}"#,
            r#"{"event":"guest-reset","kind":"load-normal"}"#,
            concat!(
                r#"{"event":"guest-panicked","cpu":1,"reason":"disabled-wait","psw-mask":"0x0002000180000000","#,
                r#""psw-addr":"0x0000000000000bad","prefix":"0x00002000","gprs":["#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001","#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001","#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001","#,
                r#""0x0000000000000001","0x0000000000000001","0x0000000000000001","0x0000000000000001"],"crs":["#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000","#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000","#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000","#,
                r#""0x0000000000000000","0x0000000000000000","0x0000000000000000","0x0000000000000000"]}"#,
            ),
            r#"{"event":"guest-ended","cause":"panic","status":1,"reason":"disabled wait"}"#,
            r#"{"event":"ended","status":1,"reason":"disabled wait"}"#,
        ];
        assert_eq!(String::from_utf8(text).expect("JSON is UTF-8").lines().collect::<Vec<_>>(), want);
    }

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
