//! A QEMU that is told what to do.

use std::{
    fs,
    io::{self, BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// A directory that goes when it is dropped.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Writes a file; returns its path.
    pub(crate) fn file(&self, name: &str, contents: &[u8]) -> io::Result<String> {
        let path = self.path(name);
        fs::write(&path, contents)?;
        Ok(path)
    }
}

/// A machine that is reset and not started. It ends with this.
pub(crate) struct Qemu {
    process: Child,
    tell: ChildStdin,
    hear: Lines<BufReader<ChildStdout>>,
    commands: u32,
}

impl Qemu {
    pub(crate) fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut process = Command::new("qemu-system-s390x")
            .args(["-M", "s390-ccw-virtio", "-nodefaults", "-display", "none", "-S"])
            .args(["-qmp", "stdio", "-action", "panic=pause"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let tell = process.stdin.take().expect("piped");
        let hear = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut qemu = Self { process, tell, hear, commands: 0 };
        qemu.line()?;
        qemu.execute(r#""qmp_capabilities""#)?;
        Ok(qemu)
    }

    /// Executes a command, given in JSON with its arguments; returns its answer.
    pub(crate) fn execute(&mut self, command: &str) -> io::Result<String> {
        self.execute_until(command, "return")
    }

    /// The same, and waits for an event too, which may come before the answer.
    pub(crate) fn execute_until(&mut self, command: &str, event: &str) -> io::Result<String> {
        self.commands += 1;
        let id = format!(r#""id": "{}""#, self.commands);
        writeln!(self.tell, r#"{{"execute":{command},{id}}}"#)?;
        let (mut answer, mut happened) = (None, false);
        loop {
            let line = self.line()?;
            happened |= line.contains(event);
            if line.contains(&id) {
                answer = Some(line);
            }
            match answer {
                Some(answer) if answer.contains("\"error\"") => return Err(io::Error::other(answer)),
                Some(answer) if happened => return Ok(answer),
                _ => {}
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        self.hear.next().unwrap_or_else(|| Err(io::Error::other("QEMU has ended")))
    }

    /// The first `size` bytes of guest memory.
    pub(crate) fn memory(&mut self, size: usize, directory: &Directory) -> io::Result<Vec<u8>> {
        let path = directory.path("memory");
        let arguments = format!(r#"{{"val":0,"size":{size},"filename":"{path}"}}"#);
        self.execute(&format!(r#""pmemsave","arguments":{arguments}"#))?;
        fs::read(path)
    }

    pub(crate) fn quit(mut self) -> io::Result<()> {
        self.execute(r#""quit""#)?;
        self.process.wait().map(drop)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
