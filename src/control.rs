//! What others may ask of the guest, and the way in which it reaches whoever can answer: the main thread.
//!
//! A [`Handle`] can be cloned and given to any thread; a request goes through the [`Mailbox`] to the main thread, which
//! owns the host and the guest, and the answer comes back. So what a management interface can do is what is here, and
//! no such interface ever touches a vCPU or a device. Nothing here knows sockets or formats.

mod answer;

pub use answer::{Counters, HostInfo, VcpuInfo, VcpuState, VmInfo, VmState};

use crate::{
    config::{Config, VfioApOption},
    host::Host,
    machine::{DeviceFilesError, DeviceInfo},
    outcome::RunError,
    plan::{PlanError, cpu_of},
    wait::{Flag, is_ready_now},
};
use adjunct_devices::vfio_ap::AttachError;
use adjunct_hypervisor::KernelError;
use nix::{
    poll::PollFlags,
    sys::eventfd::{EfdFlags, EventFd},
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
};

/// Why a request was not carried out. Nothing has changed, unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No guest.
    #[error("there is no guest: create one first")]
    NotCreated,
    /// A second guest.
    #[error("there is a guest already, and it is {state}: delete it first")]
    AlreadyCreated {
        /// Where the guest is in its life.
        state: VmState,
    },
    /// The guest is so already.
    #[error("the guest is {state} already")]
    Already {
        /// Where it is in its life.
        state: VmState,
    },
    /// The guest is not in a state for that.
    #[error("the guest is {state}: {remedy}")]
    WrongState {
        /// Where it is in its life.
        state: VmState,
        /// What to do first.
        remedy: &'static str,
    },
    /// No device of this name.
    #[error("the guest has no device {id:?}: {}", has(present.as_deref()))]
    NoSuchDevice {
        /// As asked for.
        id: String,
        /// The device that it has.
        present: Option<String>,
    },
    /// A second AP device.
    #[error(
        "the guest has the vfio-ap device {present:?} already, and can have one: remove it first, or assign the \
         queues of {asked} to it"
    )]
    SecondDevice {
        /// As asked for.
        asked: String,
        /// The device that it has.
        present: String,
    },
    /// It can't work on this host; the message names the option to change.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The guest did not start.
    #[error(transparent)]
    Boot(#[from] RunError),
    /// The files of the device are not there.
    #[error(transparent)]
    DeviceFiles(DeviceFilesError),
    /// The host does not give the device to the guest.
    #[error("the device can't be plugged")]
    Attach(#[from] AttachError),
    /// The device would not be heard when the host wants it back.
    #[error("the device can't be plugged: its interrupts can't be waited for")]
    Unwatched(#[source] io::Error),
    /// The host refused.
    #[error("the host refused {}", .0.request)]
    Host(#[from] KernelError),
    /// It was under way, and somebody has ended the guest meanwhile.
    #[error("the guest ended first")]
    Ended,
    /// Nobody is there to answer.
    #[error("adjunct is ending")]
    Gone,
}

fn has(present: Option<&str>) -> String {
    present.map_or_else(|| "it has none".to_owned(), |id| format!("it has {id:?}"))
}

/// What [`Handle::host`] is answered, with or without a guest.
pub(crate) fn answer_for_host(host: &Host) -> Result<HostInfo, Refusal> {
    Ok(HostInfo { name: host.hypervisor.name(), cpu: cpu_of(host)? })
}

/// What is asked, with the way back of the answer.
#[derive(Debug)]
pub(crate) enum Request {
    Question(Question),
    AddDevice(VfioApOption, Reply<DeviceInfo>),
    RemoveDevice(String, Reply<()>),
    Create(Box<Config>, Reply<()>),
    Act(Act, Reply<()>),
}

/// What changes nothing, and can be answered at any time.
#[derive(Debug)]
pub(crate) enum Question {
    Info(Reply<VmInfo>),
    Host(Reply<HostInfo>),
    Counters(Reply<Counters>),
}

/// What is done or not, without anything more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Boot,
    Delete,
    Pause,
    Resume,
    Shutdown,
    Reset,
    Reboot,
    PowerDown,
    Quit,
}

impl Act {
    /// Whether a guest that runs ends by it.
    pub(crate) fn ends_a_guest(self) -> bool {
        matches!(self, Self::Delete | Self::Shutdown | Self::Quit)
    }
}

/// The way back of an answer. Dropped without one, it says that nobody is there.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    to: Sender<Result<T, Refusal>>,
    /// Until it is answered, whoever waits for something else is told.
    _end: Option<AskedToEnd>,
}

impl<T> Reply<T> {
    pub(crate) fn send(self, answer: Result<T, Refusal>) {
        // Who asked may have gone away meanwhile.
        let _ = self.to.send(answer);
    }
}

/// One request for the end of a guest that is not answered yet: the file, a semaphore, counts them.
#[derive(Debug)]
struct AskedToEnd(Arc<EventFd>);

impl AskedToEnd {
    fn new(ends: &Arc<EventFd>) -> Self {
        let _ = ends.write(1);
        Self(Arc::clone(ends))
    }
}

impl Drop for AskedToEnd {
    fn drop(&mut self) {
        let _ = self.0.read();
    }
}

/// A way to ask, for any thread. Each request waits for its answer, and any of them can be answered [`Refusal::Gone`]: the VMM
/// ends.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: Sender<Request>,
    ready: Flag,
    ends: Arc<EventFd>,
}

/// Where requests arrive.
#[derive(Debug)]
pub struct Mailbox {
    requests: Receiver<Request>,
    /// What [`Mailbox::next_of`] has passed over, in order.
    there: RefCell<VecDeque<Request>>,
    ready: Flag,
    ends: Arc<EventFd>,
}

/// A mailbox, and a way to it.
///
/// # Errors
/// There is no eventfd to be had.
pub fn mailbox() -> io::Result<(Handle, Mailbox)> {
    let ready = Flag::new()?;
    let counting = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_SEMAPHORE;
    let ends = Arc::new(EventFd::from_flags(counting)?);
    let (sender, requests) = mpsc::channel();
    let handle = Handle { requests: sender, ready: ready.clone(), ends: ends.clone() };
    Ok((handle, Mailbox { requests, there: RefCell::default(), ready, ends }))
}

impl Mailbox {
    /// The next request, if one is there.
    pub(crate) fn next(&self) -> Option<Request> {
        self.ready.lower();
        let next = self.there.borrow_mut().pop_front().or_else(|| self.requests.try_recv().ok());
        if next.is_some() {
            // There may be more behind it; whoever looks for one at a time must hear of it again.
            self.look_again();
        }
        next
    }

    /// The next question, for whoever can't do anything else now, as [`Mailbox::next_of`].
    pub(crate) fn next_question(&self) -> Option<Question> {
        self.next_of(|request| match request {
            Request::Question(question) => Ok(question),
            other => Err(other),
        })
    }

    /// The next request that `pick` takes, for whoever can't do all now. Others are passed over, and not forgotten:
    /// [`Mailbox::look_again`] when they can be done again.
    pub(crate) fn next_of<T>(&self, pick: impl Fn(Request) -> Result<T, Request>) -> Option<T> {
        self.ready.lower();
        let mut there = self.there.borrow_mut();
        there.extend(self.requests.try_iter());
        let mut picked = None;
        for request in std::mem::take(&mut *there) {
            match if picked.is_none() { pick(request) } else { Err(request) } {
                Ok(it) => picked = Some(it),
                Err(other) => there.push_back(other),
            }
        }
        if picked.is_some() {
            self.look_again();
        }
        picked
    }

    /// Makes the descriptor readable once more: there may be requests.
    pub(crate) fn look_again(&self) {
        self.ready.raise();
    }

    /// Readable from when somebody asks to end the guest until that is answered. Whoever waits for anything else that may
    /// take long watches it: the request itself is served only when he waits no more.
    pub(crate) fn ends(&self) -> &Arc<EventFd> {
        &self.ends
    }

    /// Whether somebody waits for the end of a guest; the request may be about to come.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        is_ready_now(self.ends.as_fd(), PollFlags::POLLIN)
    }
}

/// Readable when a request may be there.
impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

impl Handle {
    /// The guest as it is now.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]: there is none.
    pub fn info(&self) -> Result<VmInfo, Refusal> {
        self.question(Question::Info)
    }

    /// The host that guests run on; there is one, with or without a guest.
    ///
    /// # Errors
    /// [`Refusal::Plan`]: the host did not answer.
    pub fn host(&self) -> Result<HostInfo, Refusal> {
        self.question(Question::Host)
    }

    /// What has been counted since the VMM started.
    ///
    /// # Errors
    /// None but [`Refusal::Gone`].
    pub fn counters(&self) -> Result<Counters, Refusal> {
        self.question(Question::Counters)
    }

    /// Takes the configuration of a guest; nothing of the host is taken before it is booted.
    ///
    /// # Errors
    /// [`Refusal::AlreadyCreated`].
    pub fn create(&self, config: Config) -> Result<(), Refusal> {
        self.ask(|reply| Request::Create(Box::new(config), reply))
    }

    /// Builds the VM and starts the guest.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`], [`Refusal::WrongState`] if it runs; [`Refusal::Boot`] as the host says.
    pub fn boot(&self) -> Result<(), Refusal> {
        self.act(Act::Boot)
    }

    /// Forgets the guest; one that runs is ended first.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`].
    pub fn delete(&self) -> Result<(), Refusal> {
        self.act(Act::Delete)
    }

    /// Takes all vCPUs out of the guest and keeps them. Answered when none runs any more.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::Already`]; [`Refusal::WrongState`] unless it runs.
    pub fn pause(&self) -> Result<(), Refusal> {
        self.act(Act::Pause)
    }

    /// Lets a paused guest go on.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::Already`] if it runs; [`Refusal::WrongState`] unless it is paused.
    pub fn resume(&self) -> Result<(), Refusal> {
        self.act(Act::Resume)
    }

    /// Ends the guest at once, without asking it, and gives back all it had; the VMM stays.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::Already`] if it has ended; [`Refusal::WrongState`] if it was not booted.
    pub fn shutdown(&self) -> Result<(), Refusal> {
        self.act(Act::Shutdown)
    }

    /// Resets the guest and loads its program again, as [`Handle::reset`]; one that was paused goes on.
    ///
    /// # Errors
    /// As [`Handle::reset`].
    pub fn reboot(&self) -> Result<(), Refusal> {
        self.act(Act::Reboot)
    }

    /// Resets the guest from outside, clears nothing of its memory, and loads its program again; one that is
    /// paused stays so.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] if it does not run; [`Refusal::Ended`]; [`Refusal::Host`], upon which
    /// the guest ends.
    pub fn reset(&self) -> Result<(), Refusal> {
        self.act(Act::Reset)
    }

    /// Asks the guest to shut down, as a power button does: SCLP's signal quiesce. It may take its time, or not listen.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::Already`] if it has ended; [`Refusal::WrongState`] if it was not booted;
    /// [`Refusal::Host`] if the host does not let the guest be told.
    pub fn power_down(&self) -> Result<(), Refusal> {
        self.act(Act::PowerDown)
    }

    /// Ends the VMM, and its guest first.
    ///
    /// # Errors
    /// [`Refusal::Gone`]: somebody was faster.
    pub fn quit(&self) -> Result<(), Refusal> {
        self.act(Act::Quit)
    }

    /// Gives an AP device to the guest while it runs or is paused.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] if it does not run; [`Refusal::SecondDevice`];
    /// [`Refusal::DeviceFiles`]; [`Refusal::Plan`] and [`Refusal::Attach`] as the host says; [`Refusal::Unwatched`];
    /// [`Refusal::Ended`].
    pub fn add_device(&self, device: VfioApOption) -> Result<DeviceInfo, Refusal> {
        self.ask(|reply| Request::AddDevice(device, reply))
    }

    /// Takes the device `id` from the guest; the host has reset its queues when this is answered.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] if it does not run; [`Refusal::NoSuchDevice`]; [`Refusal::Ended`].
    pub fn remove_device(&self, id: &str) -> Result<(), Refusal> {
        self.ask(|reply| Request::RemoveDevice(id.to_owned(), reply))
    }

    fn act(&self, act: Act) -> Result<(), Refusal> {
        let end = act.ends_a_guest().then(|| AskedToEnd::new(&self.ends));
        self.ask_with(end, |reply| Request::Act(act, reply))
    }

    fn question<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, Refusal> {
        self.ask(|reply| Request::Question(question(reply)))
    }

    fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        self.ask_with(None, request)
    }

    fn ask_with<T>(
        &self,
        end: Option<AskedToEnd>,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, Refusal> {
        let (to, answer) = mpsc::channel();
        self.requests.send(request(Reply { to, _end: end })).map_err(|_| Refusal::Gone)?;
        self.ready.raise();
        answer.recv().unwrap_or(Err(Refusal::Gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::until_readable;
    use std::thread;

    /// The next request of somebody who is about to ask.
    fn next(mailbox: &Mailbox) -> (Act, Reply<()>) {
        loop {
            until_readable([mailbox.as_fd()]).expect("pollable");
            match mailbox.next() {
                Some(Request::Act(act, reply)) => return (act, reply),
                Some(other) => panic!("not an act: {other:?}"),
                // There may have been more behind the last.
                None => {}
            }
        }
    }

    #[test]
    fn who_waits_is_told_of_an_end_before_it_is_served_and_until_all_are_answered() {
        let (handle, mailbox) = mailbox().expect("eventfds");
        thread::scope(|scope| {
            let other = scope.spawn(|| handle.pause());
            let (act, reply) = next(&mailbox);
            assert_eq!((act, mailbox.is_asked_to_end()), (Act::Pause, false));
            let asking = [Handle::shutdown, Handle::delete, Handle::quit].map(|ask| {
                let asking = scope.spawn({
                    let handle = &handle;
                    move || ask(handle)
                });
                until_readable([mailbox.ends().as_fd()]).expect("pollable");
                asking
            });
            reply.send(Ok(()));
            other.join().expect("it does not panic").expect("it is answered");
            for _ in &asking {
                let (_, reply) = next(&mailbox);
                assert!(mailbox.is_asked_to_end());
                reply.send(Ok(()));
            }
            assert!(!mailbox.is_asked_to_end());
            for asking in asking {
                asking.join().expect("it does not panic").expect("it is answered");
            }
        });
    }

    #[test]
    fn a_reboot_is_one_request_so_that_nobody_comes_between() {
        let (handle, mailbox) = mailbox().expect("eventfds");
        thread::scope(|scope| {
            let asking = scope.spawn(|| handle.reboot());
            let (act, reply) = next(&mailbox);
            assert_eq!(act, Act::Reboot);
            reply.send(Ok(()));
            asking.join().expect("it does not panic").expect("it is answered");
        });
        assert!(mailbox.next().is_none());
    }

    #[test]
    fn a_question_is_answered_past_what_waits_which_keeps_its_order() {
        let (handle, mailbox) = mailbox().expect("eventfds");
        let is_readable = || is_ready_now(mailbox.as_fd(), PollFlags::POLLIN);
        let (to, _answer) = mpsc::channel();
        let act = |act| Request::Act(act, Reply { to: to.clone(), _end: None });
        let (to, answer) = mpsc::channel();
        let question = Request::Question(Question::Counters(Reply { to, _end: None }));
        for request in [act(Act::Pause), question, act(Act::Resume)] {
            handle.requests.send(request).expect("the mailbox is there");
            mailbox.look_again();
        }
        let Some(Question::Counters(reply)) = mailbox.next_question() else { panic!("there is one") };
        reply.send(Ok(Counters::default()));
        answer.recv().expect("it is answered").expect("it is not refused");
        assert!(is_readable(), "there may be another");
        assert!(mailbox.next_question().is_none());
        assert!(!is_readable(), "nobody waits for what can't be done now");
        mailbox.look_again();
        assert!(is_readable());
        for expected in [Act::Pause, Act::Resume] {
            assert!(matches!(mailbox.next(), Some(Request::Act(act, _)) if act == expected));
        }
    }
}
