//! `adjunct sim serve`: a simulated host for other processes, by its socket alone.

use super::control::{ControlError, serve};
use crate::{exit_status::ExitStatus, signals::Signals};
use adjunct_simulator::{HostFile, HostFileError, SimHost};
use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{io, os::fd::AsFd, path::PathBuf};

/// Options of `adjunct sim serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The Unix socket to make, for adjunct sim ctl and for adjunct run --host sim:@PATH
    ///
    /// Only the user who makes it can connect to it. It is there when the host is ready, and gone
    /// when the host is.
    #[arg(long, value_name = "PATH")]
    control: PathBuf,

    /// The host; without this option it is the built-in one
    #[arg(long, value_name = "FILE")]
    host_file: Option<PathBuf>,
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The host file describes none.
    #[error("no host to serve")]
    HostFile(#[from] HostFileError),
    /// It can't be served there.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// What it needs besides.
    #[error("the operating system refused what is needed to wait for the end")]
    Wait(#[source] io::Error),
}

impl ServeError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::HostFile(_) => ExitStatus::Refused,
            Self::Control(error) => error.status(),
            Self::Wait(_) => ExitStatus::HostError,
        }
    }
}

/// Serves until a signal ends it.
///
/// # Errors
/// [`ServeError`]: nothing is served.
pub fn run(args: &ServeArgs) -> Result<ExitStatus, ServeError> {
    // Before any thread is there.
    let signals = Signals::watch().map_err(ServeError::Wait)?;
    let file = args.host_file.as_deref().map_or_else(|| Ok(HostFile::default()), HostFile::read)?;
    let _served = serve(&SimHost::new(file)?, &args.control)?;
    let mut file = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut file, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(ExitStatus::Success),
            Err(errno) => return Err(ServeError::Wait(errno.into())),
        }
    }
}
