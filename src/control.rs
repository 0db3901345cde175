//! What others may ask of the guest, and the way in which it reaches whoever can answer: the main thread.
//!
//! A [`Handle`] can be cloned and given to any thread; a request goes through the [`Mailbox`] to the main thread, which
//! owns the host and the guest, and the answer comes back. So what a management interface can do is what is here, and
//! no such interface ever touches a vCPU or a device. Nothing here knows sockets or formats.

use crate::{
    config::{Config, VfioApOption},
    guest::RunError,
    host::Host,
    plan::{PlanError, cpu_of},
};
use adjunct_ap::{Apqn, Uuid};
use adjunct_cpu_model::Cpu;
use adjunct_devices::vfio_ap::AttachError;
use adjunct_hypervisor::KernelError;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
};

/// Where a guest is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmState {
    /// Its configuration is there; no VM, nothing of the host is held.
    Created,
    /// Its vCPUs run, or wait for interruptions.
    Running,
    /// Its vCPUs are held.
    Paused,
    /// It has ended; nothing of the host is held. It can be booted again.
    Shutdown,
}

/// In the middle of a sentence.
impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created and not booted",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Shutdown => "shut down",
        })
    }
}

/// The guest, as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VmInfo {
    /// Where in its life.
    pub state: VmState,
    /// As it was asked for. [`VmInfo::device`] is the device that it has now.
    pub config: Config,
    /// Its CPU model with all features, while there is a VM.
    pub cpu: Option<Cpu>,
    /// Its CPUs by address, while there is a VM.
    pub vcpus: Vec<VcpuInfo>,
    /// Its AP device, while it has one.
    pub device: Option<DeviceInfo>,
}

/// One CPU of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VcpuInfo {
    /// CPU address.
    pub address: u16,
    /// What it does; that of a paused guest is what it will do on.
    pub state: VcpuState,
    /// Thread ID of its thread, once that runs.
    pub thread_id: Option<i32>,
}

/// What a CPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VcpuState {
    /// It executes instructions, or waits for an interruption that may come.
    Operating,
    /// It is in a disabled wait: only an order of another CPU or a reset changes that.
    DisabledWait,
    /// It is in the stopped state.
    Stopped,
}

/// The AP device of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// What the user calls it.
    pub id: String,
    /// As it was asked for: `sysfsdev=…`, or `fd=…,iommufd=…`.
    pub choice: crate::config::DeviceChoice,
    /// The mediated device, if it can be seen which it is.
    pub mdev: Option<Uuid>,
    /// The queues that the guest has through it.
    pub apqns: Vec<Apqn>,
}

/// The host that guests run on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostInfo {
    /// What it is, for people.
    pub name: String,
    /// All that a guest's CPU can have on it: `--cpu host`.
    pub cpu: Cpu,
}

/// What has been counted since the VMM started, over all its guests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// How often vCPUs came out of the guest, by what for: `service-call`, `diagnose`, `sigp`, …
    pub exits: BTreeMap<&'static str, u64>,
    /// Resets of the guest by kind: `external`, `re-ipl`, `modified-clear`, `load-normal`.
    pub resets: BTreeMap<&'static str, u64>,
    /// Changes of the guest's queues that the host has signalled.
    pub ap_config_changes: u64,
    /// How often the host wanted the AP device back.
    pub ap_release_requests: u64,
    /// AP devices that a guest got: at its start, and by hot plug.
    pub ap_attached: u64,
    /// AP devices that were taken from a running guest, by whoever.
    pub ap_detached: u64,
    /// Adapters that the guest has now.
    pub adapters: u64,
    /// Domains that the guest has now.
    pub domains: u64,
    /// Queues that the guest has now.
    pub queues: u64,
}

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
    /// A configuration for another host.
    #[error("guests of this adjunct run on {host}: leave the host out, or start another adjunct")]
    OtherHost {
        /// The host.
        host: String,
    },
    /// It can't work on this host; the message names the option to change.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The guest did not start.
    #[error(transparent)]
    Boot(#[from] RunError),
    /// The host does not give the device to the guest.
    #[error("the device can't be plugged")]
    Attach(#[from] AttachError),
    /// The host refused.
    #[error("the host refused {}", .0.request)]
    Host(#[from] KernelError),
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
    Info(Reply<VmInfo>),
    Host(Reply<HostInfo>),
    Counters(Reply<Counters>),
    AddDevice(VfioApOption, Reply<DeviceInfo>),
    RemoveDevice(String, Reply<()>),
    Create(Box<Config>, Reply<()>),
    Act(Act, Reply<()>),
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
    PowerDown,
    Quit,
}

/// The way back of an answer. Dropped without one, it says that nobody is there.
#[derive(Debug)]
pub(crate) struct Reply<T>(Sender<Result<T, Refusal>>);

impl<T> Reply<T> {
    pub(crate) fn send(self, answer: Result<T, Refusal>) {
        // Who asked may have gone away meanwhile.
        let _ = self.0.send(answer);
    }
}

/// A way to ask, for any thread. Each request waits for its answer.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: Sender<Request>,
    ready: Arc<EventFd>,
}

/// Where requests arrive.
#[derive(Debug)]
pub struct Mailbox {
    requests: Receiver<Request>,
    ready: Arc<EventFd>,
}

/// A mailbox, and a way to it.
///
/// # Errors
/// There is no eventfd to be had.
pub fn mailbox() -> io::Result<(Handle, Mailbox)> {
    let ready = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    let (sender, requests) = mpsc::channel();
    Ok((Handle { requests: sender, ready: ready.clone() }, Mailbox { requests, ready }))
}

impl Mailbox {
    /// The next request, if one is there.
    pub(crate) fn next(&self) -> Option<Request> {
        // Before looking: what comes after this makes the descriptor readable again.
        let _ = self.ready.read();
        match self.requests.try_recv() {
            Ok(request) => {
                // There may be more behind it; whoever looks for one at a time must hear of it again.
                let _ = self.ready.write(1);
                Some(request)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
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
        self.ask(Request::Info)
    }

    /// The host that guests run on; there is one, with or without a guest.
    ///
    /// # Errors
    /// The host did not answer.
    pub fn host(&self) -> Result<HostInfo, Refusal> {
        self.ask(Request::Host)
    }

    /// What has been counted since the VMM started.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub fn counters(&self) -> Result<Counters, Refusal> {
        self.ask(Request::Counters)
    }

    /// Takes the configuration of a guest; nothing of the host is taken before it is booted.
    ///
    /// # Errors
    /// [`Refusal::AlreadyCreated`], [`Refusal::OtherHost`].
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
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] unless it runs.
    pub fn pause(&self) -> Result<(), Refusal> {
        self.act(Act::Pause)
    }

    /// Lets a paused guest go on.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] unless it is paused.
    pub fn resume(&self) -> Result<(), Refusal> {
        self.act(Act::Resume)
    }

    /// Ends the guest at once, without asking it, and gives back all it had; the VMM stays.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] if it does not run.
    pub fn shutdown(&self) -> Result<(), Refusal> {
        self.act(Act::Shutdown)
    }

    /// Resets the guest and loads its program again, as [`Handle::reset`]; one that was paused goes on.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] if it does not run.
    pub fn reboot(&self) -> Result<(), Refusal> {
        self.reset()?;
        match self.resume() {
            // It was not paused.
            Err(Refusal::WrongState { .. }) => Ok(()),
            other => other,
        }
    }

    /// Resets the guest from outside, clears nothing of its memory, and loads its program again; one that is
    /// paused stays so.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] if it does not run.
    pub fn reset(&self) -> Result<(), Refusal> {
        self.act(Act::Reset)
    }

    /// Asks the guest to shut down, as a power button does: SCLP's signal quiesce. It may take its time, or not listen.
    ///
    /// # Errors
    /// [`Refusal::NotCreated`]; [`Refusal::WrongState`] if it does not run.
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
    /// [`Refusal::SecondDevice`], [`Refusal::WrongState`]; [`Refusal::Plan`] and [`Refusal::Attach`] as the host says.
    pub fn add_device(&self, device: VfioApOption) -> Result<DeviceInfo, Refusal> {
        self.ask(|reply| Request::AddDevice(device, reply))
    }

    /// Takes the device `id` from the guest; the host has reset its queues when this is answered.
    ///
    /// # Errors
    /// [`Refusal::NoSuchDevice`], [`Refusal::WrongState`].
    pub fn remove_device(&self, id: &str) -> Result<(), Refusal> {
        self.ask(|reply| Request::RemoveDevice(id.to_owned(), reply))
    }

    fn act(&self, act: Act) -> Result<(), Refusal> {
        self.ask(|reply| Request::Act(act, reply))
    }

    fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        let (sender, answer) = mpsc::channel();
        self.requests.send(request(Reply(sender))).map_err(|_| Refusal::Gone)?;
        let _ = self.ready.write(1);
        answer.recv().unwrap_or(Err(Refusal::Gone))
    }
}
