//! What adjunct gives up before a guest can try to have it: a guest, a client or another process's host that took adjunct over
//! would have no more than this leaves.
//!
//! First the whole program gives up what it never does ([`Sandbox::begin`]): starting programs, looking into other
//! processes, networks. Then, when everything that is written to is open, it gives up all files but those that it may need
//! ([`keep_to`]). Last each thread keeps what threads of its kind do ([`enter`]); the policy is one table
//! (`sandbox/policy.rs`), the same on x86_64 and s390x. A thread that breaks it ends the program with a sentence.
//!
//! It refuses to know why a thread does what it does.

mod calls;
mod files;
mod filter;
mod policy;

pub use files::{Access, Files, Rule};

use crate::{
    config::{HostChoice, SocketTarget},
    exit_status::ExitStatus,
};
use adjunct_hypervisor::{
    Errno, KernelError,
    sandbox::{self, LastWords},
};
use calls::Machine;
use clap::ValueEnum;
use libc::{SECCOMP_RET_LOG, SECCOMP_RET_TRAP};
use nix::sys::termios::tcgetattr;
use policy::Threads;
use std::{
    cell::Cell,
    fs, io,
    path::{self, PathBuf},
    sync::OnceLock,
};

/// What a forbidden system call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Seccomp {
    /// It ends adjunct
    True,
    /// Nothing is forbidden
    False,
    /// The kernel's audit log has it, and adjunct goes on
    Log,
}

/// Whether files are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Landlock {
    /// All but those that are needed
    True,
    /// None
    False,
}

/// What is given up, as the command line says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Sandbox {
    /// What becomes of a thread that makes a system call for which threads of its kind have no use
    ///
    /// true ends adjunct with a message and exit status 159; log lets the call pass and notes it in the kernel's audit
    /// log; false forbids nothing. Without this option it is true where the kernel has seccomp.
    #[arg(long, value_name = "true|false|log", hide_possible_values = true)]
    seccomp: Option<Seccomp>,

    /// Whether the kernel keeps adjunct to the files that it was given
    ///
    /// These are what the options name, /sys for reading, and of the KVM host /dev/kvm, /dev/vfio and /dev/iommu. Without
    /// this option it is true for adjunct run where the kernel has Landlock, and false for adjunct serve, whose guests
    /// are not known yet.
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    landlock: Option<Landlock>,

    /// A file or directory that is needed besides, for example by a guest that is created later
    #[arg(long, value_name = "path=PATH,access=r|rw")]
    landlock_rules: Vec<Rule>,
}

/// Why nothing was given up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no seccomp, or no filter for this machine.
    #[error("--seccomp {0}: this kernel has no filters for system calls; --seccomp false does without")]
    NoSeccomp(&'static str),
    /// There is no Landlock.
    #[error("--landlock true: this kernel has no Landlock; --landlock false does without")]
    NoLandlock,
    /// Nothing is there that could be kept.
    #[error("--landlock-rules path={}: nothing there can be kept", path.display())]
    Rule {
        /// As typed.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses.
    #[error("the sandbox can't be set up")]
    Refused(#[from] KernelError),
}

impl SandboxError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::NoSeccomp(_) | Self::NoLandlock | Self::Rule { .. } => ExitStatus::Refused,
            Self::Refused(_) => ExitStatus::HostError,
        }
    }
}

/// A kind of thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// The main one, from the moment on when its only guest is built.
    Loop,
    /// The main one, if it may plug devices and start guests later.
    Manager,
    /// A vCPU's.
    Vcpu,
    /// Those of the HTTP interface.
    Api,
    /// Those of the QMP interface.
    Qmp,
    /// The one that takes signals.
    Signals,
}

impl Thread {
    /// What it is to the policy, if the host is another process's (`shared`) or not.
    fn kinds(self, shared: bool) -> Threads {
        let asks_the_host = |kinds: Threads| if shared { kinds.or(Threads::SHARED) } else { kinds };
        match self {
            Self::Loop => asks_the_host(Threads::LOOP),
            Self::Manager => asks_the_host(Threads::LOOP.or(Threads::BUILD)),
            Self::Vcpu => asks_the_host(Threads::VCPU),
            Self::Api => Threads::API,
            Self::Qmp => Threads::QMP,
            Self::Signals => Threads::SIGNALS,
        }
    }
}

/// What this process gives up; unset: nothing.
static GIVEN_UP: OnceLock<GivenUp> = OnceLock::new();

#[derive(Debug)]
struct GivenUp {
    /// What a forbidden call is answered with; none: nothing is forbidden.
    answer: Option<u32>,
    /// Whether files are given up, if somebody said so.
    landlock: Option<bool>,
    rules: Vec<Rule>,
    /// Whether devices may be plugged and guests be started later.
    managed: bool,
    /// Whether the host is another process's.
    shared: bool,
    /// Whether Landlock keeps them; unset: nobody has decided yet.
    by_landlock: OnceLock<bool>,
}

/// What the sentence about a forbidden call ends with.
const FORBIDDEN: &str = "which its sandbox forbids: a fault of adjunct's own, or somebody tried to take it over. \
                         The guest is gone. --seccomp log lets such calls pass and leaves a note in the audit log";

impl Sandbox {
    /// Gives up for the whole program what it never does, and new privileges. No other thread may be there yet. A process has
    /// one sandbox: who begins a second keeps the first.
    ///
    /// Whoever comes in by `sockets` may start guests later. The directories of those that are to be made, and removed at the
    /// end, stay open to removing; and a `host` that another process serves may be connected to at any time.
    ///
    /// # Errors
    /// [`SandboxError`].
    pub fn begin(&self, sockets: &[&SocketTarget], host: Option<&HostChoice>) -> Result<(), SandboxError> {
        sandbox::set_no_new_privileges().map_err(|errno| refused("PR_SET_NO_NEW_PRIVS", errno))?;
        let answer = self.answer()?;
        let landlock = self.landlock.map(|wanted| wanted == Landlock::True);
        for Rule { path, .. } in &self.landlock_rules {
            fs::metadata(path).map_err(|source| SandboxError::Rule { path: path.clone(), source })?;
        }
        // The directory of a name alone is the current one.
        let made = sockets.iter().filter_map(|socket| match socket {
            SocketTarget::Path(path) => path::absolute(path).ok(),
            SocketTarget::Descriptor(_) => None,
        });
        let directories = made.filter_map(|socket| socket.parent().map(ToOwned::to_owned));
        let removed = directories.map(|path| Rule { path, access: Access::Remove });
        let rules = self.landlock_rules.iter().cloned().chain(removed).collect();
        let (managed, shared) = (!sockets.is_empty(), matches!(host, Some(HostChoice::SimulatedAt(_))));
        let given_up = GivenUp { answer, landlock, rules, managed, shared, by_landlock: OnceLock::new() };
        if GIVEN_UP.set(given_up).is_err() || answer.is_none() {
            return Ok(());
        }
        let words = LastWords {
            names: &calls::NAMES,
            then: FORBIDDEN,
            terminal: tcgetattr(std::io::stdin()).ok().map(Into::into),
            status: ExitStatus::Forbidden.code(),
        };
        sandbox::bound_arenas();
        sandbox::end_with(words).map_err(|errno| refused("sigaction", errno))?;
        Ok(install(Threads::START)?)
    }

    /// What a forbidden call is answered with.
    fn answer(&self) -> Result<Option<u32>, SandboxError> {
        let (answer, typed) = match self.seccomp {
            Some(Seccomp::False) => return Ok(None),
            Some(Seccomp::Log) => (SECCOMP_RET_LOG, "log"),
            Some(Seccomp::True) | None => (SECCOMP_RET_TRAP, "true"),
        };
        if Machine::OURS.is_some() && sandbox::has_action(answer) {
            return Ok(Some(answer));
        }
        if self.seccomp.is_some() {
            return Err(SandboxError::NoSeccomp(typed));
        }
        tracing::info!("this kernel has no filters for system calls: adjunct runs without");
        Ok(None)
    }
}

/// Gives up all files but `files` and those of `--landlock-rules`, for this thread and those that it makes; `by_default` if
/// nobody said whether. The first call decides, and others do nothing.
///
/// # Errors
/// [`SandboxError`].
pub fn keep_to(files: Files, by_default: bool) -> Result<(), SandboxError> {
    let Some(given_up) = GIVEN_UP.get() else { return Ok(()) };
    let mut answer = Ok(());
    given_up.by_landlock.get_or_init(|| {
        given_up.keep_to(files, by_default).unwrap_or_else(|error| {
            answer = Err(error);
            false
        })
    });
    answer
}

impl GivenUp {
    /// Whether Landlock keeps this thread to `files` and the rules' now.
    fn keep_to(&self, mut files: Files, by_default: bool) -> Result<bool, SandboxError> {
        if !self.landlock.unwrap_or(by_default) {
            return Ok(false);
        }
        if self.managed {
            files.warn_of_devices();
        }
        self.rules.iter().for_each(|rule| files.keep_path(&rule.path, rule.access));
        match (self.landlock, files.keep()?) {
            (Some(true), false) => Err(SandboxError::NoLandlock),
            (_, kept) => Ok(kept),
        }
    }
}

/// What to write if a file was refused because files are given up; nothing if it can't be for that.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    let is_kept = GIVEN_UP.get().is_some_and(|given_up| given_up.by_landlock.get() == Some(&true));
    match error.kind() {
        io::ErrorKind::PermissionDenied if is_kept => {
            "; Landlock keeps adjunct to the files it was given: start it with --landlock-rules that name this one (to \
             make one, its directory with access=rw), or with --landlock false"
        }
        _ => "",
    }
}

thread_local! {
    /// What this thread is.
    static ENTERED: Cell<Option<Thread>> = const { Cell::new(None) };
}

/// Gives up for this thread, for good, what threads of its kind never do. A thread stays of the kind that it was first.
/// Without [`Sandbox::begin`], as in a program that only uses parts of this one, nothing is given up.
///
/// # Errors
/// As the kernel says; a thread that can't be kept must not go on.
pub fn enter(thread: Thread) -> Result<(), KernelError> {
    if ENTERED.get().is_none() {
        install(thread.kinds(GIVEN_UP.get().is_some_and(|given_up| given_up.shared)))?;
        ENTERED.set(Some(thread));
    }
    Ok(())
}

fn install(threads: Threads) -> Result<(), KernelError> {
    let answer = GIVEN_UP.get().and_then(|given_up| given_up.answer);
    let (Some(answer), Some(machine)) = (answer, Machine::OURS) else { return Ok(()) };
    let program = filter::compile(threads, machine, answer, std::process::id());
    sandbox::install(&program).map_err(|errno| refused("seccomp", errno))
}

fn refused(request: &'static str, errno: Errno) -> KernelError {
    KernelError { request, target: "this process".to_owned(), errno }
}
