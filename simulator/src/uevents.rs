//! What the kernel tells udev: one numbered stream of events, and readers that follow it.
//!
//! It knows no device. What an event says is with whoever sends it, in the order of `lib/kobject_uevent.c:
//! kobject_uevent_env` (what the sender adds, then what the bus adds); its wire form and its number are made here.

use crate::sysfs::{Attribute, Errno};
use adjunct_ap::Uuid;
use adjunct_hypervisor::EventFd;
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

/// How many events are kept for those who read them late. A kernel keeps none: a reader has a buffer, and loses what
/// does not fit.
const KEPT: usize = 16 * 1024;

/// Of `/sys/kernel`: the number of the last event, by which a reader knows that it has seen all.
pub(crate) const KERNEL: &[Attribute<()>] =
    &[Attribute::ro("uevent_seqnum", |state, ()| Ok(format!("{}\n", state.uevents.last())))];

/// One uevent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `remove`, `change`, `bind` or `unbind`; also `move`, `online` and `offline` when asked for.
    pub action: &'static str,
    /// The device below `/sys`: `/devices/ap/card05/05.0004`.
    pub devpath: String,
    /// `ap`, `mdev`, `vfio`, …
    pub subsystem: &'static str,
    /// What else it says, in order: `CONFIG=0`, `DEVTYPE=ap_card`, …
    pub environment: Vec<String>,
    /// Its number; the first event of a host is 1.
    pub seqnum: u64,
}

impl Uevent {
    /// The event as it comes out of a netlink socket (`NETLINK_KOBJECT_UEVENT`, group 1): `ACTION@DEVPATH`, then
    /// `ACTION=`, `DEVPATH=`, `SUBSYSTEM=`, what else it says, and `SEQNUM=`, each ended by a NUL
    /// (`lib/kobject_uevent.c: kobject_uevent_env, alloc_uevent_skb`).
    pub fn message(&self) -> Vec<u8> {
        let Self { action, devpath, subsystem, environment, seqnum } = self;
        let mut message =
            format!("{action}@{devpath}\0ACTION={action}\0DEVPATH={devpath}\0SUBSYSTEM={subsystem}\0");
        for text in environment {
            message.push_str(text);
            message.push('\0');
        }
        message.push_str(&format!("SEQNUM={seqnum}\0"));
        message.into_bytes()
    }
}

/// The stream. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uevents(Arc<Stream>);

#[derive(Debug, Default)]
struct Stream {
    log: Mutex<Log>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    recent: VecDeque<Uevent>,
    /// The number of the last event.
    last: u64,
    /// To be signalled when there is an event.
    ready: Vec<Weak<EventFd>>,
}

impl Uevents {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event.
    pub(crate) fn send(
        &self,
        action: &'static str,
        devpath: String,
        subsystem: &'static str,
        environment: Vec<String>,
    ) {
        let mut log = self.log();
        log.last += 1;
        let seqnum = log.last;
        if log.recent.len() == KEPT {
            log.recent.pop_front();
        }
        log.recent.push_back(Uevent { action, devpath, subsystem, environment, seqnum });
        log.ready.retain(|ready| match ready.upgrade() {
            // A counter that is full has been signalled.
            Some(ready) => {
                let _ = ready.write(1);
                true
            }
            None => false,
        });
        self.0.told.notify_all();
    }

    /// The events that are kept, oldest first.
    pub(crate) fn recent(&self) -> Vec<Uevent> {
        self.log().recent.iter().cloned().collect()
    }

    /// The number of the last event (`/sys/kernel/uevent_seqnum`).
    pub(crate) fn last(&self) -> u64 {
        self.log().last
    }

    /// The events after the one of this number, oldest first; waits for one, in real time and at most so long. Those that
    /// are not kept any more are missing.
    pub(crate) fn wait_after(&self, seqnum: u64, at_most: Duration) -> Vec<Uevent> {
        let waited = self.0.told.wait_timeout_while(self.log(), at_most, |log| log.last <= seqnum);
        let (log, _) = waited.unwrap_or_else(PoisonError::into_inner);
        log.recent.iter().filter(|event| event.seqnum > seqnum).cloned().collect()
    }

    /// A reader of what is sent from now on.
    pub(crate) fn reader(&self) -> io::Result<UeventReader> {
        let ready = Arc::new(EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?);
        let mut log = self.log();
        log.ready.push(Arc::downgrade(&ready));
        let next = log.last + 1;
        drop(log);
        Ok(UeventReader { stream: self.clone(), next, ready })
    }
}

/// Events were sent faster than they were read, and the oldest are gone: what a netlink socket calls ENOBUFS. Reading
/// goes on with the oldest that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{lost} uevents were sent too fast to be read; read the state of the devices anew")]
pub struct UeventsLost {
    /// How many are gone.
    pub lost: u64,
}

/// Follows a host's uevents, as a netlink socket would: events that are sent after it was made, each once, in order.
///
/// Its file descriptor can be polled: it is readable when there is an event, and no longer after
/// [`UeventReader::try_next`] has answered `None`. It is for polling alone; don't read from it.
#[derive(Debug)]
pub struct UeventReader {
    stream: Uevents,
    /// The number of the next event to be read.
    next: u64,
    ready: Arc<EventFd>,
}

impl UeventReader {
    /// The next event, if there is one.
    ///
    /// # Errors
    /// [`UeventsLost`], once, when events that this reader has not read are not kept any more.
    pub fn try_next(&mut self) -> Result<Option<Uevent>, UeventsLost> {
        let log = self.stream.log();
        let next = Self::take(&mut self.next, &log);
        if next == Ok(None) {
            // With the lock held: what is sent after this signals again. That there is no signal is no error.
            let _ = self.ready.read();
        }
        next
    }

    /// Waits, in real time and at most so long, for the next event; `None` when there was none.
    ///
    /// # Errors
    /// As [`UeventReader::try_next`].
    pub fn wait_next(&mut self, at_most: Duration) -> Result<Option<Uevent>, UeventsLost> {
        let log = self.stream.log();
        let wanted = self.next;
        let waited = self.stream.0.told.wait_timeout_while(log, at_most, |log| log.last < wanted);
        let (log, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Self::take(&mut self.next, &log)
    }

    fn take(next: &mut u64, log: &Log) -> Result<Option<Uevent>, UeventsLost> {
        let Some(oldest) = log.recent.front().map(|event| event.seqnum) else { return Ok(None) };
        if *next < oldest {
            let lost = oldest - *next;
            *next = oldest;
            return Err(UeventsLost { lost });
        }
        let event = usize::try_from(*next - oldest).ok().and_then(|at| log.recent.get(at)).cloned();
        if event.is_some() {
            *next += 1;
        }
        Ok(event)
    }
}

impl AsRawFd for UeventReader {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_raw_fd()
    }
}

/// What a write to a `uevent` file asks for (`lib/kobject_uevent.c: kobject_synth_uevent`): an action, and with it
/// maybe a UUID and `KEY=VALUE` pairs, by which the writer knows its event again.
pub(crate) struct Synthetic {
    pub(crate) action: &'static str,
    pub(crate) environment: Vec<String>,
}

impl Synthetic {
    const ACTIONS: [&str; 8] = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"];
    const UUID: usize = 36;

    /// # Errors
    /// EINVAL for everything else.
    pub(crate) fn parse(text: &str) -> Result<Self, Errno> {
        let text = text.strip_suffix(['\n', '\0']).unwrap_or(text);
        let (action, arguments) = match text.split_once(' ') {
            None => (text, None),
            Some((action, arguments)) => (action, Some(arguments)),
        };
        let action = Self::ACTIONS.into_iter().find(|known| *known == action).ok_or(libc::EINVAL)?;
        let environment = match arguments {
            None => vec!["SYNTH_UUID=0".to_owned()],
            Some(arguments) => Self::arguments(arguments).ok_or(libc::EINVAL)?,
        };
        Ok(Self { action, environment })
    }

    fn arguments(text: &str) -> Option<Vec<String>> {
        let (uuid, mut rest) = text.split_at_checked(Self::UUID)?;
        uuid.parse::<Uuid>().ok()?;
        let mut environment = vec![format!("SYNTH_UUID={uuid}")];
        while !rest.is_empty() {
            let pair = rest.strip_prefix(' ')?;
            let end = pair.find(' ').unwrap_or(pair.len());
            let (key, value) = pair[..end].split_once('=')?;
            let word = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric());
            if !word(key) || !word(value) {
                return None;
            }
            environment.push(format!("SYNTH_ARG_{key}={value}"));
            rest = &pair[end..];
        }
        Some(environment)
    }
}

/// An `unbind` does not say by which name modules know the device (`zap_modalias_env`).
pub(crate) fn forget_alias(action: &str, environment: &mut Vec<String>) {
    if action == "unbind" {
        environment.retain(|text| !text.starts_with("MODALIAS="));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(events: &Uevents, devpath: &str) {
        events.send("change", devpath.to_owned(), "ap", vec!["CONFIG=0".to_owned()]);
    }

    #[test]
    fn a_message_has_the_form_of_the_kernel() {
        let events = Uevents::default();
        send(&events, "/devices/ap/card05");
        let message = events.recent()[0].message();
        let expected = "change@/devices/ap/card05\0ACTION=change\0DEVPATH=/devices/ap/card05\0SUBSYSTEM=ap\0\
                        CONFIG=0\0SEQNUM=1\0";
        assert_eq!(String::from_utf8(message).as_deref(), Ok(expected));
    }

    #[test]
    fn a_reader_gets_what_is_sent_from_now_on_each_once_and_can_be_polled() {
        let events = Uevents::default();
        send(&events, "/before");
        let mut reader = events.reader().expect("a descriptor");
        assert_eq!(reader.try_next(), Ok(None));
        send(&events, "/first");
        send(&events, "/second");
        assert_eq!(reader.ready.read().expect("it is readable"), 2);
        let read: Vec<_> = std::iter::from_fn(|| reader.try_next().expect("nothing is lost")).collect();
        assert_eq!(
            read.iter().map(|e| (e.devpath.as_str(), e.seqnum)).collect::<Vec<_>>(),
            [("/first", 2), ("/second", 3)]
        );
        assert!(reader.ready.read().is_err(), "it is not readable any more");
        send(&events, "/third");
        assert_eq!(reader.wait_next(Duration::ZERO).map(|e| e.map(|e| e.seqnum)), Ok(Some(4)));
        assert_eq!(reader.wait_next(Duration::ZERO), Ok(None));
    }

    #[test]
    fn a_waiting_reader_is_woken() {
        let events = Uevents::default();
        let mut reader = events.reader().expect("a descriptor");
        let sender = std::thread::spawn({
            let events = events.clone();
            move || send(&events, "/late")
        });
        let event = reader.wait_next(Duration::MAX).expect("nothing is lost").expect("it is sent");
        assert_eq!(event.devpath, "/late");
        sender.join().expect("it only sends");
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_once_how_much_it_lost() {
        let events = Uevents::default();
        let mut reader = events.reader().expect("a descriptor");
        (0..KEPT + 3).for_each(|n| send(&events, &format!("/{n}")));
        assert_eq!(events.recent().len(), KEPT);
        assert_eq!(reader.try_next(), Err(UeventsLost { lost: 3 }));
        assert_eq!(reader.try_next().map(|e| e.map(|e| e.devpath)), Ok(Some("/3".to_owned())));
    }

    #[test]
    fn readers_that_are_gone_are_forgotten() {
        let events = Uevents::default();
        drop(events.reader());
        send(&events, "/x");
        assert!(events.log().ready.is_empty());
    }
}
