//! Signals, taken by a thread of their own.
//!
//! The first that ends a guest makes a file readable, and it stays so: whoever may have to wait watches it, the event
//! loop as well as a console whose reader is asleep. Ending gives back what the host gave, and a host can be slow: who
//! does not want to wait for that sends SIGINT or SIGTERM again, and the program is gone at once.
//!
//! Whatever stops or ends us, a terminal gets its modes back before.

use crate::{
    console::terminal,
    exit_status::ExitStatus,
    sandbox,
    wait::{Flag, until_readable},
};
use nix::{
    sys::{
        signal::{SigSet, SigmaskHow, Signal, raise},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::getpid,
};
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    process,
    sync::{Arc, OnceLock, mpsc},
    thread::{self, JoinHandle},
};

/// A signal that ends a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGHUP.
    HungUp,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// No signal: whoever types at the guest's console wants it.
    Asked,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HungUp => "SIGHUP",
            Self::Interrupted => "SIGINT",
            Self::Terminated => "SIGTERM",
            Self::Asked => "Ctrl-A x",
        })
    }
}

impl From<Ending> for ExitStatus {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::HungUp => Self::HungUp,
            Ending::Interrupted => Self::Interrupted,
            Ending::Terminated => Self::Terminated,
            Ending::Asked => Self::Success,
        }
    }
}

/// Those that end a guest, and those after which a terminal must be as it was: all that somebody else sends. Those of a
/// program's own faults (SIGSEGV, SIGABRT) come to the thread that is at fault and can't be taken here.
const TAKEN: [Signal; 15] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGXCPU,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSTKFLT,
];

/// Lets a file that has become as large as this user's files may be (`ulimit -f`) be an error of that file, EFBIG, in
/// this thread and those that it makes. Otherwise SIGXFSZ ends the program; programs that we start have it again.
pub fn survive_file_limit() {
    // It fails for wrong arguments alone. Whoever holds SIGXFSZ back need not ignore it.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
}

/// Takes these signals for as long as it lives; afterwards they do what they did before.
#[derive(Debug)]
pub struct Signals {
    came: Arc<Came>,
    thread: Option<JoinHandle<()>>,
    before: SigSet,
}

/// What the thread has seen.
#[derive(Debug)]
struct Came {
    file: SignalFd,
    /// The first signal that ends a guest.
    first: OnceLock<Ending>,
    /// Readable once that has come.
    ready: Flag,
    /// Readable once nobody takes signals any more.
    over: Flag,
}

impl Signals {
    /// Takes the signals from now on, in this thread and those that it makes. Other threads must not be there yet.
    ///
    /// # Errors
    /// The operating system has no such files or threads to give, or no filter for the thread.
    pub fn watch() -> io::Result<Self> {
        let taken: SigSet = TAKEN.into_iter().collect();
        let before = taken.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Self::start(&taken, before).inspect_err(|_| {
            // It was the mask of this thread, so it can be again.
            let _ = before.thread_set_mask();
        })
    }

    fn start(taken: &SigSet, before: SigSet) -> io::Result<Self> {
        let file = SignalFd::with_flags(taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let came = Arc::new(Came { file, first: OnceLock::new(), ready: Flag::new()?, over: Flag::new()? });
        let (begun, beginning) = mpsc::channel();
        let thread = {
            let came = came.clone();
            let attend = move || {
                let kept = sandbox::enter(sandbox::Thread::Signals);
                let goes_on = kept.is_ok();
                // Somebody waits for it below.
                let _ = begun.send(kept);
                if goes_on {
                    came.attend();
                }
            };
            thread::Builder::new().name("signals".into()).spawn(attend)?
        };
        let kept = beginning.recv().map_err(io::Error::other)?;
        kept.map_err(io::Error::other)?;
        Ok(Self { came, thread: Some(thread), before })
    }

    /// Ends the guest as the first signal does.
    pub fn ask(&self) {
        self.came.end(Ending::Asked);
    }

    /// The first signal that ends a guest, once it has come.
    pub fn came(&self) -> Option<Ending> {
        self.came.first.get().copied()
    }
}

/// Readable when a signal that ends a guest has come.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.came.ready.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.came.over.raise();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Who asks once more has got what he wants.
        while self.came.next().is_some() {}
        let _ = self.before.thread_set_mask();
    }
}

impl Came {
    fn attend(&self) {
        loop {
            let [_, is_over] = until_readable([self.file.as_fd(), self.over.as_fd()]).unwrap_or_default();
            if is_over {
                return;
            }
            while let Some(signal) = self.next() {
                self.act(signal);
            }
        }
    }

    fn next(&self) -> Option<Signal> {
        let came = self.file.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(came.ssi_signo).ok()?).ok()
    }

    fn act(&self, signal: Signal) {
        match signal {
            Signal::SIGHUP => self.end(Ending::HungUp),
            Signal::SIGINT => self.end(Ending::Interrupted),
            Signal::SIGTERM => self.end(Ending::Terminated),
            Signal::SIGTSTP => {
                terminal::give_back();
                // All threads stand still from here on; SIGCONT comes through the file.
                let _ = nix::sys::signal::kill(getpid(), Signal::SIGSTOP);
            }
            Signal::SIGCONT => terminal::take_again(),
            // SIGQUIT and the others: they do what they do to other programs, a core dump perhaps.
            other => {
                terminal::give_back();
                let _ = SigSet::from(other).thread_unblock();
                let _ = raise(other);
                // Whoever started us has it ignored.
                terminal::take_again();
            }
        }
    }

    fn end(&self, ending: Ending) {
        if self.first.set(ending).is_ok() {
            self.ready.raise();
        } else if matches!(ending, Ending::Interrupted | Ending::Terminated) {
            // A terminal that goes away can say so twice, by itself and by its shell; these are somebody's wish.
            terminal::give_back();
            process::exit(ExitStatus::from(ending).code().into());
        }
    }
}
