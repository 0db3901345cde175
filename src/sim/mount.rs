//! `adjunct sim mount`: a simulated host's `/sys` as files, for programs that know nothing of adjunct.

mod files;
mod nodes;
mod point;

use super::{
    control::{ControlError, serve},
    daemon::{self, Background},
};
use crate::{
    exit_status::ExitStatus,
    mounts::{NAME, Shown},
    signals::Signals,
    wait::until_readable,
};
use adjunct_simulator::{
    HostFile, HostFileError, SimHost,
    share::{Served, TimeKeeper},
};
use clap::Args;
use files::Files;
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::unistd::geteuid;
use point::MountPoint;
use std::{
    fs::File,
    io::{self, PipeReader},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

/// Options of `adjunct sim mount`.
#[derive(Debug, Args)]
pub struct MountArgs {
    /// An empty directory; the host's /sys will be DIR/sys
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// The host; without this option it is the built-in one
    #[arg(long, value_name = "FILE")]
    host_file: Option<PathBuf>,

    /// Make a Unix socket for adjunct sim ctl and for adjunct run --host sim:@PATH
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Return when the files are there; they stay until DIR is unmounted
    #[arg(long)]
    daemon: bool,

    /// What --daemon starts.
    #[arg(long, hide = true, conflicts_with = "daemon")]
    in_background: bool,
}

/// Why nothing is mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The host file describes no host.
    #[error("no host to show")]
    HostFile(#[from] HostFileError),
    /// There is no such directory.
    #[error("{}: there is no such directory; make it first", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// There is something in it.
    #[error("{} is not empty, and what is in it would be hidden; take an empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// A simulated host is mounted there.
    #[error("on {} a simulated host is mounted already; umount {} ends it", .0.display(), .0.display())]
    InUse(PathBuf),
    /// The process behind what is mounted there was killed.
    #[error(
        "on {} files are mounted whose process was killed; clear them away with: fusermount3 -u {} (as root: umount -l {})",
        .0.display(), .0.display(), .0.display()
    )]
    Dead(PathBuf),
    /// The directory can't be looked at.
    #[error("{} can't be mounted on", directory.display())]
    Unusable {
        /// Which.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// This system has no FUSE.
    #[error("there is no /dev/fuse; as root: modprobe fuse")]
    NoFuse,
    /// FUSE is not for this user.
    #[error("/dev/fuse can't be opened; ask root for the right to mount")]
    Forbidden(#[source] io::Error),
    /// Users that are not root need a helper.
    #[error("only root can mount without the program fusermount3; install fuse3")]
    NoHelper,
    /// Mounting was refused.
    #[error("nothing could be mounted on {}", directory.display())]
    Refused {
        /// Where.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It can't be served besides.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Its socket would be hidden by what is mounted.
    #[error(
        "--control {} is below {}, and would be hidden by what is mounted there; take a path elsewhere",
        control.display(), directory.display()
    )]
    Hidden {
        /// The socket.
        control: PathBuf,
        /// The directory to mount on.
        directory: PathBuf,
    },
    /// The background process can't be started.
    #[error("--daemon: the process in the background can't be started")]
    Daemon(#[source] io::Error),
    /// What it needs besides.
    #[error("the operating system refused what is needed to wait for the end")]
    Wait(#[source] io::Error),
}

impl MountError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Control(error) => error.status(),
            Self::Daemon(_) | Self::Wait(_) => ExitStatus::HostError,
            _ => ExitStatus::Refused,
        }
    }
}

/// Mounts, and stays until it is told to end or somebody unmounts; with `--daemon` another process stays.
///
/// # Errors
/// [`MountError`]: nothing is mounted.
pub fn run(args: &MountArgs) -> Result<ExitStatus, MountError> {
    if args.daemon {
        return in_background(args).map_err(MountError::Daemon);
    }
    if args.in_background {
        daemon::begin();
    }
    // Before any thread is there.
    let signals = Signals::watch().map_err(MountError::Wait)?;
    let host = SimHost::new(args.host_file.as_deref().map_or_else(HostFile::three_guests, HostFile::read)?)?;
    let mount_point = MountPoint::new(&args.directory)?;
    if let Some(control) = args.control.as_deref().filter(|control| mount_point.hides(control)) {
        return Err(MountError::Hidden { control: control.to_owned(), directory: args.directory.clone() });
    }
    let life = Life::of(&host, args.control.as_deref())?;
    let (session, mounted) = mount(&host, &mount_point)?;
    let mut line = format!("{}/sys is there until SIGTERM, or umount {0}", mount_point.path().display());
    if let Some(control) = &args.control {
        line += &format!(", or adjunct sim ctl --control {} quit", control.display());
    }
    daemon::ready(args.in_background, &line).map_err(MountError::Daemon)?;
    let waited = wait(&signals, &mounted, life.asked_to_end());
    mount_point.unmount();
    drop(session);
    waited.map(|()| ExitStatus::Success)
}

fn in_background(args: &MountArgs) -> io::Result<ExitStatus> {
    Background::new("mount")
        .option("--host-file", args.host_file.as_deref())?
        .option("--control", args.control.as_deref())?
        .operand(&args.directory)?
        .start()
}

/// What makes the host's time pass.
enum Life {
    Alone {
        #[expect(dead_code, reason = "held for what it does when dropped")]
        time: TimeKeeper,
    },
    Shared(Served),
}

impl Life {
    fn of(host: &SimHost, control: Option<&Path>) -> Result<Self, MountError> {
        match control {
            None => host.keep_time().map(|time| Self::Alone { time }).map_err(MountError::Wait),
            Some(path) => Ok(Self::Shared(serve(host, path)?)),
        }
    }

    /// Readable once a client has asked for the end.
    fn asked_to_end(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Alone { .. } => None,
            Self::Shared(served) => Some(served.as_fd()),
        }
    }
}

/// Mounts. The pipe ends when nothing is mounted any more.
fn mount(host: &SimHost, on: &MountPoint) -> Result<(BackgroundSession, PipeReader), MountError> {
    let root = geteuid().is_root();
    match File::options().read(true).write(true).open("/dev/fuse") {
        Ok(_) => {}
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            return Err(MountError::NoFuse);
        }
        Err(error) => return Err(MountError::Forbidden(error)),
    }
    let mut config = Config::default();
    // "fuse.adjunct" is how the next one knows that it was us.
    config.mount_options = vec![
        MountOption::FSName(Shown::source(host)),
        MountOption::CUSTOM(format!("subtype={NAME}")),
        MountOption::NoExec,
    ];
    config.n_threads = Some(THREADS);
    if root {
        // As in /sys: all may look, and permissions say what else.
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    let refused = |source| MountError::Refused { directory: on.path().to_owned(), source };
    let (mounted, end) = io::pipe().map_err(MountError::Wait)?;
    let session = Session::new(Files::new(host.tree(), end), on.path(), &config).map_err(|error| {
        if !root && error.kind() == io::ErrorKind::NotFound { MountError::NoHelper } else { refused(error) }
    })?;
    Ok((session.spawn().map_err(refused)?, mounted))
}

/// Requests that are served at once, besides writes: each of those has a thread of its own.
const THREADS: usize = 2;

/// Until a signal comes, it is unmounted, or a client asks for the end.
fn wait(signals: &Signals, mounted: &PipeReader, asked: Option<BorrowedFd<'_>>) -> Result<(), MountError> {
    until_readable([Some(signals.as_fd()), Some(mounted.as_fd()), asked]).map(drop).map_err(MountError::Wait)
}
