//! A QEMU that is told what to do.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Lines, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio, id},
    sync::atomic::{AtomicU32, Ordering},
};

/// A directory that goes when it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("adjunct-devices-{}-{number}", id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file; returns its path.
    pub(crate) fn file(&self, name: &str, contents: &[u8]) -> io::Result<String> {
        let path = self.path(name);
        fs::write(&path, contents)?;
        Ok(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A machine that is reset and not started. It ends with this.
pub(crate) struct Qemu {
    process: Child,
    tell: ChildStdin,
    hear: Lines<BufReader<ChildStdout>>,
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
        let mut qemu = Self { process, tell, hear };
        qemu.wait_for("QMP")?;
        qemu.execute(r#""qmp_capabilities""#, "return")?;
        Ok(qemu)
    }

    /// Executes a command, given in JSON with its arguments, and waits for a line that contains `until`.
    pub(crate) fn execute(&mut self, command: &str, until: &str) -> io::Result<String> {
        writeln!(self.tell, r#"{{"execute":{command}}}"#)?;
        self.wait_for(until)
    }

    fn wait_for(&mut self, what: &str) -> io::Result<String> {
        loop {
            match self.hear.next() {
                Some(Ok(line)) if line.contains(what) => return Ok(line),
                Some(Ok(line)) if line.contains("\"error\"") => return Err(io::Error::other(line)),
                Some(line) => line.map(drop)?,
                None => return Err(io::Error::other(format!("QEMU ended without {what}"))),
            }
        }
    }

    /// The first `size` bytes of guest memory.
    pub(crate) fn memory(&mut self, size: usize, directory: &Directory) -> io::Result<Vec<u8>> {
        let path = directory.path("memory");
        let arguments = format!(r#"{{"val":0,"size":{size},"filename":"{path}"}}"#);
        self.execute(&format!(r#""pmemsave","arguments":{arguments}"#), "return")?;
        fs::read(path)
    }

    pub(crate) fn quit(mut self) -> io::Result<()> {
        self.execute(r#""quit""#, "SHUTDOWN")?;
        self.process.wait().map(drop)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
