//! The signals that end a guest, as a file.
//!
//! Whoever may have to wait watches the file too: the event loop, and a console whose reader is asleep. It
//! stays readable until the signal is taken out, which is the last thing that is done with it.

use nix::sys::{
    signal::{SigSet, SigmaskHow, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
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
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HungUp => "SIGHUP",
            Self::Interrupted => "SIGINT",
            Self::Terminated => "SIGTERM",
        })
    }
}

const ENDING: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// Takes these signals for as long as it lives; afterwards they do what they did before.
#[derive(Debug)]
pub struct Signals {
    file: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Takes the signals from now on, in this thread and those that it makes. Other threads must not be there yet.
    ///
    /// # Errors
    /// The operating system has no such file to give.
    pub fn watch() -> io::Result<Self> {
        let ending: SigSet = ENDING.into_iter().collect();
        let before = ending.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let file = SignalFd::with_flags(&ending, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        match file {
            Ok(file) => Ok(Self { file, before }),
            Err(errno) => {
                before.thread_set_mask()?;
                Err(errno.into())
            }
        }
    }

    /// Takes the signal that has come out of the file.
    pub fn take(&self) -> Option<Ending> {
        let came = self.file.read_signal().ok().flatten()?;
        match Signal::try_from(i32::try_from(came.ssi_signo).ok()?).ok()? {
            Signal::SIGHUP => Some(Ending::HungUp),
            Signal::SIGINT => Some(Ending::Interrupted),
            _ => Some(Ending::Terminated),
        }
    }
}

/// Readable when a signal has come.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Who asks a second time has got what he wants.
        while self.take().is_some() {}
        // It was the mask of this thread, so it can be again.
        let _ = self.before.thread_set_mask();
    }
}
