//! `adjunct sim serve`: a simulated host for other processes, by its socket alone.

use super::{
    control::{ControlError, serve},
    daemon::{self, Background},
};
use crate::{exit_status::ExitStatus, signals::Signals, wait::until_readable};
use adjunct_hypervisor::Hypervisor;
use adjunct_simulator::{HostFile, HostFileError, SimHost};
use clap::Args;
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

    /// Return when the host is there; it stays until SIGTERM, or adjunct sim ctl quit
    #[arg(long)]
    daemon: bool,

    /// What --daemon starts.
    #[arg(long, hide = true, conflicts_with = "daemon")]
    in_background: bool,
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
    /// The background process can't be started.
    #[error("--daemon: the process in the background can't be started")]
    Daemon(#[source] io::Error),
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
            Self::Daemon(_) | Self::Wait(_) => ExitStatus::HostError,
        }
    }
}

fn in_background(args: &ServeArgs) -> io::Result<ExitStatus> {
    Background::new("serve")
        .option("--control", Some(&args.control))?
        .option("--host-file", args.host_file.as_deref())?
        .start()
}

/// Serves until a signal or a client ends it; with `--daemon` another process does.
///
/// # Errors
/// [`ServeError`]: nothing is served.
pub fn run(args: &ServeArgs) -> Result<ExitStatus, ServeError> {
    if args.daemon {
        return in_background(args).map_err(ServeError::Daemon);
    }
    if args.in_background {
        daemon::begin();
    }
    // Before any thread is there.
    let signals = Signals::watch().map_err(ServeError::Wait)?;
    let host = SimHost::new(args.host_file.as_deref().map_or_else(HostFile::three_guests, HostFile::read)?)?;
    let served = serve(&host, &args.control)?;
    let line = format!(
        "a {} is served at {} until SIGTERM, or adjunct sim ctl quit",
        host.name(),
        args.control.display()
    );
    daemon::ready(args.in_background, &line).map_err(ServeError::Daemon)?;
    until_readable([signals.as_fd(), served.as_fd()]).map_err(ServeError::Wait)?;
    Ok(ExitStatus::Success)
}
