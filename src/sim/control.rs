//! The socket of a simulated host: `adjunct sim ctl` gives orders at it to a host in another process, and whoever keeps a
//! host serves it there.

use crate::{exit_status::ExitStatus, logging::say};
use adjunct_simulator::{
    HostFile, SimHost,
    share::{self, ConnectError, Order, ParseOrderError, Served, SharedHost, SharedOrderError},
};
use clap::Args;
use std::{
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
            Self::InUse(_) | Self::Socket { .. } => ExitStatus::Refused,
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

    /// With the order uevents: go on with what udev is told from now on, until the host ends
    #[arg(long)]
    follow: bool,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// It is no order.
    #[error(transparent)]
    Order(#[from] ParseOrderError),
    /// It begins with no word that orders begin with.
    #[error("there is no order {name:?}; there are {}", names())]
    Unknown {
        /// The word.
        name: String,
    },
    /// It is not of the form of orders that begin so.
    #[error("write {0}")]
    Form(&'static str),
    /// Nothing follows from this order.
    #[error("--follow is for the order uevents")]
    Follow,
    /// The host does not take the host file.
    #[error("load {}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: SharedOrderError,
    },
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
    /// Whoever has the host goes on.
    #[error(
        "the host was asked to end, and has not in {PATIENCE} seconds: the program that has it does not end it"
    )]
    Stays,
    /// The answer could not be written.
    #[error("standard output can't be written")]
    Output(#[source] io::Error),
}

impl CtlError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Order(_) | Self::Unknown { .. } | Self::Form(_) | Self::Follow => ExitStatus::Usage,
            Self::Refused(error) | Self::Load { source: error, .. } => match error {
                SharedOrderError::Gone(_) | SharedOrderError::Unasked(_) => ExitStatus::HostError,
                _ => ExitStatus::Refused,
            },
            Self::Connect(_) | Self::Unreadable { .. } | Self::Stays => ExitStatus::Refused,
            Self::Output(_) => ExitStatus::Output,
        }
    }
}

/// The order whose file is ours to read.
const LOAD: (&str, &str) = ("load FILE", "replace hardware, masks and mdevs by a host file's");

/// The order to the process that has the host.
const QUIT: (&str, &str) = ("quit", "end the host, as SIGTERM does");

/// What follows uevents.
const FOLLOW: (&str, &str) = ("uevents --follow", "print that, and go on until the host ends");

fn forms() -> impl Iterator<Item = (&'static str, &'static str)> {
    let with_follow = |form: (&'static str, &'static str)| {
        let follow = (form.0 == "uevents").then_some(FOLLOW);
        [form].into_iter().chain(follow)
    };
    Order::FORMS.into_iter().flat_map(with_follow).chain([LOAD, QUIT])
}

/// The words that orders begin with.
fn names() -> String {
    let mut names: Vec<_> = forms().filter_map(|(form, _)| form.split(' ').next()).collect();
    names.dedup();
    names.join(", ")
}

/// All orders, for the help.
pub fn orders() -> String {
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
    let words: Vec<&str> = args.order.iter().map(String::as_str).collect();
    if args.follow && words != ["uevents"] {
        return Err(CtlError::Follow);
    }
    let answer = match words.as_slice() {
        ["load", file] => load(&args.control, Path::new(file)).map(|()| String::new())?,
        ["load", ..] => return Err(CtlError::Form(LOAD.0)),
        ["quit"] => quit(&SharedHost::connect(&args.control)?).map(|()| String::new())?,
        ["quit", ..] => return Err(CtlError::Form(QUIT.0)),
        ["uevents"] if args.follow => return follow(&SharedHost::connect(&args.control)?),
        words => {
            let order = words.join(" ").parse().map_err(|error| match error {
                ParseOrderError::Unknown(name) => CtlError::Unknown { name },
                error => CtlError::Order(error),
            })?;
            SharedHost::connect(&args.control)?.order(&order)?
        }
    };
    print(&answer).map(|_| ExitStatus::Success)
}

fn load(control: &Path, file: &Path) -> Result<(), CtlError> {
    let unreadable = |source| CtlError::Unreadable { path: file.to_owned(), source };
    let text = HostFile::text_of(file).map_err(unreadable)?;
    let loaded = SharedHost::connect(control)?.load(&text);
    loaded.map_err(|source| CtlError::Load { path: file.to_owned(), source })
}

/// How long a host may take to end, in seconds.
const PATIENCE: u32 = 30;

/// Ends the host, and waits until it is gone: then another can be served there.
fn quit(host: &SharedHost) -> Result<(), CtlError> {
    host.quit()?;
    for _ in 0..PATIENCE {
        // There is no such uevent, so this waits a second.
        match host.uevents_after(u64::MAX) {
            Ok(_) => {}
            Err(SharedOrderError::Gone(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(CtlError::Stays)
}

/// Prints uevents, those so far and those to come, until nobody reads them any more.
fn follow(host: &SharedHost) -> Result<ExitStatus, CtlError> {
    let mut last = 0;
    loop {
        let (text, now) = host.uevents_after(last)?;
        // The host of another process says these numbers.
        let lost = now.saturating_sub(last).saturating_sub(text.lines().count() as u64);
        if lost > 0 {
            say(format_args!("{lost} uevents before these are not kept any more"));
        }
        if !print(&text)? {
            return Ok(ExitStatus::Success);
        }
        last = now;
    }
}

/// Whether somebody reads it: who does not has seen enough.
fn print(text: &str) -> Result<bool, CtlError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CtlError::Output(error)),
        Ok(()) => Ok(true),
    }
}
