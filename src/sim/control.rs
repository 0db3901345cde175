//! The socket of a simulated host: `adjunct sim ctl` gives orders at it to a host in another process, and whoever keeps a
//! host serves it there.

use crate::exit_status::ExitStatus;
use adjunct_simulator::{
    SimHost,
    share::{self, ConnectError, Order, ParseOrderError, Served, SharedHost, SharedOrderError},
};
use clap::Args;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Why a host can't be served at `--control PATH`.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Somebody serves there.
    #[error("--control {}: a simulated host is served there already", .0.display())]
    InUse(PathBuf),
    /// The socket can't be made.
    #[error("--control {}: the socket can't be made", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl ControlError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::InUse(_) => ExitStatus::Refused,
            Self::Socket { .. } => ExitStatus::Output,
        }
    }
}

/// Serves `host` at the socket `path` until the answer is dropped.
///
/// # Errors
/// [`ControlError`].
pub fn serve(host: &SimHost, path: &Path) -> Result<Served, ControlError> {
    share::serve(host, path).map_err(|source| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => ControlError::InUse(path.to_owned()),
        _ => ControlError::Socket { path: path.to_owned(), source },
    })
}

/// Options of `adjunct sim ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The host's socket: what adjunct sim mount or adjunct sim serve was given as --control
    #[arg(long, value_name = "PATH")]
    control: PathBuf,

    /// What to do, for example: card config-off 5
    #[arg(value_name = "ORDER", required = true)]
    order: Vec<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// It is no order.
    #[error(transparent)]
    Order(#[from] ParseOrderError),
    /// The host file can't be read.
    #[error("load {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no such host.
    #[error("--control")]
    Connect(#[from] ConnectError),
    /// The host did not do it.
    #[error(transparent)]
    Refused(#[from] SharedOrderError),
    /// The answer could not be written.
    #[error("standard output can't be written")]
    Output(#[source] io::Error),
}

impl CtlError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Order(_) => ExitStatus::Usage,
            Self::Refused(SharedOrderError::Gone(_) | SharedOrderError::Unasked(_)) => ExitStatus::HostError,
            Self::Connect(_) | Self::Unreadable { .. } | Self::Refused(_) => ExitStatus::Refused,
            Self::Output(_) => ExitStatus::Output,
        }
    }
}

/// The order whose file is ours to read.
const LOAD: (&str, &str) = ("load FILE", "replace hardware, masks and mdevs by a host file's");

/// All orders, for the help.
pub fn orders() -> String {
    let forms = || Order::FORMS.into_iter().chain([LOAD]);
    let width = forms().map(|(form, _)| form.len()).max().unwrap_or_default();
    let lines = forms().map(|(form, meaning)| format!("\n  {form:width$}  {meaning}"));
    "Orders:".to_owned()
        + &lines.collect::<String>()
        + "\n\nAn ID is decimal, hex with 0x or octal with a leading 0, as in sysfs."
}

/// Gives the order and prints what is answered.
///
/// # Errors
/// [`CtlError`]; nothing was changed.
pub fn run(args: &CtlArgs) -> Result<ExitStatus, CtlError> {
    let answer = match args.order.as_slice() {
        [load, file] if load == "load" => {
            let unreadable = |source| CtlError::Unreadable { path: file.into(), source };
            let text = fs::read_to_string(file).map_err(unreadable)?;
            SharedHost::connect(&args.control)?.load(&text).map(|()| String::new())?
        }
        words => {
            let order: Order = words.join(" ").parse()?;
            SharedHost::connect(&args.control)?.order(&order)?
        }
    };
    let mut out = io::stdout().lock();
    match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitStatus::Success),
        Err(error) => Err(CtlError::Output(error)),
        Ok(()) => Ok(ExitStatus::Success),
    }
}
