//! `--daemon`: the same command once more, in a session of its own, and word from it when the files are there.
//!
//! A process with threads can't be split in two, so a new one is started. Its standard output is the pipe on which it
//! says that it is ready; its errors are printed where ours would be.

use super::{MountArgs, MountError};
use crate::exit_status::ExitStatus;
use nix::unistd::{dup2_stderr, dup2_stdout, setsid};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, absolute},
    process::{Command, Stdio},
};

/// Starts the process that does it, and waits until it is ready or has given up.
///
/// # Errors
/// It could not be started. What it can't do itself it has said.
pub(super) fn start(args: &MountArgs) -> Result<ExitStatus, MountError> {
    let launched = MountError::Daemon;
    let whole = |path: &Path| absolute(path).map_err(launched);
    let mut command = Command::new("/proc/self/exe");
    command.args(["sim", "mount", "--in-background"]);
    for (option, path) in [("--host-file", &args.host_file), ("--control", &args.control)] {
        if let Some(path) = path {
            command.arg(option).arg(whole(path)?);
        }
    }
    command.arg("--").arg(whole(&args.directory)?);
    let mut child =
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(launched)?;
    let mut word = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut word).map_err(launched)?;
    }
    if word.is_empty() {
        let status = child.wait().map_err(launched)?;
        let same = ExitStatus::ALL.into_iter().find(|same| Some(i32::from(same.code())) == status.code());
        return Ok(same.filter(|same| *same != ExitStatus::Success).unwrap_or(ExitStatus::HostError));
    }
    Ok(ExitStatus::Success)
}

/// In the new process, before anything is done: no terminal is ours any more.
pub(super) fn leave_terminal() {
    // It can only be refused to who leads a group, and then there is no terminal to leave.
    let _ = setsid();
}

/// In the new process, when it has said that the files are there: from now on nobody hears us.
pub(super) fn leave_outputs() -> io::Result<()> {
    let nobody = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdout(&nobody)?;
    dup2_stderr(&nobody)?;
    Ok(())
}
