//! `adjunct sim`: the simulated host for other people's programs.

pub mod capture;
pub mod control;
mod daemon;
pub mod mount;
pub mod serve;

use crate::exit_status::ExitStatus;
use clap::Subcommand;

/// What can be done with a simulated host.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// Show a simulated host's /sys as files
    Mount(mount::MountArgs),
    /// Keep a simulated host for other processes, without showing its /sys as files
    Serve(serve::ServeArgs),
    /// Change the hardware of a simulated host, and its guests
    #[command(after_help = control::orders())]
    Ctl(control::CtlArgs),
    /// Write down a real host as a host file
    Capture(capture::CaptureArgs),
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// `adjunct sim mount`.
    #[error(transparent)]
    Mount(#[from] mount::MountError),
    /// `adjunct sim serve`.
    #[error(transparent)]
    Serve(#[from] serve::ServeError),
    /// `adjunct sim ctl`.
    #[error(transparent)]
    Control(#[from] control::CtlError),
    /// `adjunct sim capture`.
    #[error(transparent)]
    Capture(#[from] capture::CaptureError),
}

impl SimError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Mount(error) => error.status(),
            Self::Serve(error) => error.status(),
            Self::Control(error) => error.status(),
            Self::Capture(error) => error.status(),
        }
    }
}

/// Does it.
///
/// # Errors
/// [`SimError`].
pub fn run(command: &SimCommand) -> Result<ExitStatus, SimError> {
    match command {
        SimCommand::Mount(args) => Ok(mount::run(args)?),
        SimCommand::Serve(args) => Ok(serve::run(args)?),
        SimCommand::Ctl(args) => Ok(control::run(args)?),
        SimCommand::Capture(args) => Ok(capture::run(args)?),
    }
}
