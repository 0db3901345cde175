//! adjunct as its users run it.

use crate::patience::LIFETIME;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::Read,
    ops::{Deref, DerefMut},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// The mediated devices of the built-in host.
pub(crate) const MDEV: [&str; 3] = [
    "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001",
    "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000002",
    "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000003",
];

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit status.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("not ended by a signal"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// A program that a test has started. It ends with the test: one that fails leaves none behind. One that would never end is
/// killed, so that its test fails.
#[derive(Debug)]
pub(crate) struct Started {
    child: Option<Child>,
    #[expect(dead_code, reason = "its drop ends the watch")]
    watched: Sender<()>,
}

impl Started {
    /// Waits for its end; with what it said, as far as nobody has taken the pipe.
    pub(crate) fn ended(mut self) -> Ran {
        let child = self.child.take().expect("it is only taken here");
        child.wait_with_output().expect("it ends").into()
    }
}

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.child.as_ref().expect("it is there until its end")
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is there until its end")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How tests start programs.
pub(crate) trait Start {
    fn start(&mut self) -> Started;

    /// Waits for its end, and takes what it says.
    fn ran(&mut self) -> Ran;
}

impl Start for Command {
    fn start(&mut self) -> Started {
        let child = self.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.get_program()));
        let (watched, ended) = mpsc::channel::<()>();
        let (pid, what) = (Pid::from_raw(child.id().cast_signed()), format!("{self:?}"));
        thread::spawn(move || {
            if ended.recv_timeout(LIFETIME) == Err(RecvTimeoutError::Timeout) {
                eprintln!("killed, since it does not end: {what}");
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Started { child: Some(child), watched }
    }

    fn ran(&mut self) -> Ran {
        self.stdout(Stdio::piped()).stderr(Stdio::piped()).start().ended()
    }
}

/// The command `adjunct`, in the folder of the README, without standard input.
pub(crate) fn command() -> Command {
    let adjunct = env!("CARGO_BIN_EXE_adjunct");
    // Code for another machine is started by what cargo starts the tests with.
    let mut command = match std::env::var_os("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER") {
        Some(runner) if cfg!(target_arch = "s390x") => {
            let mut command = Command::new(runner);
            command.arg(adjunct);
            command
        }
        _ => Command::new(adjunct),
    };
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// Runs adjunct with these words.
pub(crate) fn adjunct(words: &[&str]) -> Ran {
    command().args(words).ran()
}

/// Runs adjunct with these words on the simulated host that `toml` describes.
pub(crate) fn adjunct_on(toml: &str, words: &[&str]) -> Ran {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = host_file(dir.path(), toml);
    let host = format!("sim:{}", file.display());
    adjunct(&[&["run", "--host", &host], words].concat())
}

/// Writes a host file.
pub(crate) fn host_file(dir: &std::path::Path, toml: &str) -> PathBuf {
    let file = dir.join("host.toml");
    std::fs::write(&file, toml).expect("writable");
    file
}

/// What there is to say of an adjunct when a client of it has failed: that may be its fault. It is ended.
pub(crate) fn post_mortem(adjunct: &mut Child) -> String {
    // Or it ends a moment later: a client may be faster.
    let ended = (0..50).find_map(|_| {
        let ended = adjunct.try_wait().expect("it can be waited for");
        if ended.is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        ended
    });
    let _ = adjunct.kill();
    let mut said = String::new();
    adjunct.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    let how = ended.map_or_else(|| "still ran".to_owned(), |status| format!("had ended: {status}"));
    format!("adjunct {how}; it had said:\n{said}")
}
