//! `--daemon`: the same command once more, in a session of its own, and word from it when it is ready.
//!
//! A process with threads can't be split in two, so a new one is started. Its standard output is the pipe on which it
//! says that it is ready; its errors are printed where ours would be.

use crate::exit_status::ExitStatus;
use nix::{
    sys::prctl,
    unistd::{dup2_stderr, dup2_stdout, setsid},
};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, absolute},
    process::{Command, Stdio},
};

/// What lists of processes call the new one.
const NAME: &str = "adjunct";
/// The option by which it knows that it is the one.
const IN_BACKGROUND: &str = "--in-background";

/// The process to be started: a command of `adjunct sim`, with its options.
#[derive(Debug)]
pub(super) struct Background(Command);

impl Background {
    /// `adjunct sim SUBCOMMAND`.
    pub(super) fn new(subcommand: &str) -> Self {
        // Also when the program's file has been replaced meanwhile. Its name would be that of the link.
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).args(["sim", subcommand, IN_BACKGROUND]).current_dir("/");
        Self(command)
    }

    /// `OPTION PATH`, if there is a path.
    ///
    /// # Errors
    /// When the current folder, to which it is relative, is unknown.
    pub(super) fn option(mut self, option: &str, path: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = path {
            self.0.arg(option).arg(absolute(path)?);
        }
        Ok(self)
    }

    /// The last word.
    ///
    /// # Errors
    /// As [`Background::option`].
    pub(super) fn operand(mut self, path: &Path) -> io::Result<Self> {
        self.0.arg("--").arg(absolute(path)?);
        Ok(self)
    }

    /// Starts it, and waits until it is ready or has given up.
    ///
    /// # Errors
    /// It could not be started. What it can't do itself it has said.
    pub(super) fn start(mut self) -> io::Result<ExitStatus> {
        let mut child = self.0.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut word = Vec::new();
        if let Some(mut pipe) = child.stdout.take() {
            pipe.read_to_end(&mut word)?;
        }
        if !word.is_empty() {
            return Ok(ExitStatus::Success);
        }
        let status = child.wait()?;
        let same = ExitStatus::ALL.into_iter().find(|same| Some(i32::from(same.code())) == status.code());
        Ok(same.filter(|same| *same != ExitStatus::Success).unwrap_or(ExitStatus::HostError))
    }
}

/// In the new process, before anything is done: it has its name, and no terminal is its any more.
pub(super) fn begin() {
    // Both can do without: a name is for people, and who may not leave a terminal has none.
    let _ = prctl::set_name(c"adjunct");
    let _ = setsid();
}

/// Says `line`, for whoever waits for what was started: a person at the terminal, or in the new process who started it.
/// From then on nobody hears that one.
///
/// # Errors
/// In the new process, when nobody waits for it.
pub(super) fn ready(in_background: bool, line: &str) -> io::Result<()> {
    if !in_background {
        // Who closed it does not want to know.
        let _ = writeln!(io::stderr(), "{line}");
        return Ok(());
    }
    writeln!(io::stdout(), "{line}")?;
    let nobody = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdout(&nobody)?;
    dup2_stderr(&nobody)?;
    Ok(())
}
