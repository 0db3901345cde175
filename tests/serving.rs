//! An adjunct that waits for orders, and a client of its HTTP that says what it likes.

use crate::command::{Ran, Start, Started, command};
use command_fds::{CommandFdExt, FdMapping};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Stdio,
};
use tempfile::TempDir;

/// An adjunct without a guest that waits for orders at sockets that this test has made: so it can be asked at once.
pub(crate) struct Serving {
    pub(crate) child: Started,
    dir: TempDir,
}

impl Serving {
    /// With `--api-socket`.
    pub(crate) fn new() -> Self {
        Self::at(&[("--api-socket", "api")])
    }

    /// With a socket of each name for the option before it.
    pub(crate) fn at(sockets: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = command();
        command.args(["serve", "--host", "sim"]).stderr(Stdio::piped());
        let mappings = (20..).zip(sockets).map(|(child_fd, (option, name))| {
            command.arg(option).arg(format!("fd={child_fd}"));
            let listener = UnixListener::bind(dir.path().join(name)).expect("nobody is there");
            FdMapping { parent_fd: listener.into(), child_fd }
        });
        let mappings = mappings.collect();
        let child = command.fd_mappings(mappings).expect("no number twice").start();
        Self { child, dir }
    }

    /// What has this name in its directory: a socket, or a file of the test's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn connect(&self) -> Http {
        Http::connect(&self.file("api"))
    }

    pub(crate) fn ctl(&self, words: &[&str]) -> Ran {
        ctl(&self.file("api"), words)
    }

    /// Does what is not refused; what is printed.
    pub(crate) fn order(&self, words: &[&str]) -> String {
        let ran = self.ctl(words);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{words:?}");
        ran.stdout
    }

    /// A file with the configuration of a guest.
    pub(crate) fn config(&self, config: &Value) -> String {
        let file = self.file("guest.json");
        fs::write(&file, config.to_string()).expect("writable");
        file.display().to_string()
    }

    pub(crate) fn info(&self) -> Value {
        serde_json::from_str(&self.order(&["info", "--json"])).expect("JSON")
    }

    /// Ends it; its exit status and what it said.
    pub(crate) fn end(mut self) -> Ran {
        self.order(&["quit"]);
        let mut stderr = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        let status = self.child.wait().expect("it ends").code().expect("not ended by a signal");
        Ran { status, stdout: String::new(), stderr }
    }
}

pub(crate) fn ctl(socket: &Path, words: &[&str]) -> Ran {
    let mut command = command();
    command.arg("ctl").arg("--api-socket").arg(socket).args(words);
    command.ran()
}

/// A client that says what it likes.
pub(crate) struct Http {
    pub(crate) stream: BufReader<UnixStream>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The sentences of a refusal.
    pub(crate) fn why(&self) -> String {
        assert!(self.body.ends_with("]\n"), "it is a line in a terminal: {self:?}");
        let why: Vec<String> = serde_json::from_str(&self.body).expect("an array of sentences");
        assert!(!why.is_empty() && why.iter().all(|sentence| !sentence.is_empty()), "{self:?}");
        why.join(": ")
    }
}

impl Http {
    pub(crate) fn connect(path: &Path) -> Self {
        Self { stream: BufReader::new(UnixStream::connect(path).expect("somebody listens")) }
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(text.as_ref()).expect("it is there");
    }

    /// The head of an answer and its status.
    pub(crate) fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).expect("text"), 0, "it ended: {head}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), head)
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let (status, head) = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        self.stream.read_exact(&mut body).expect("as long as it says");
        Answer { status, head, body: String::from_utf8(body).expect("text") }
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"));
        self.answer()
    }

    pub(crate) fn put(&mut self, name: &str, body: &str) -> Answer {
        self.ask("PUT", &format!("/api/v1/{name}"), body)
    }

    pub(crate) fn get(&mut self, name: &str) -> Answer {
        self.ask("GET", &format!("/api/v1/{name}"), "")
    }

    /// Everything that still comes until the other side ends the connection.
    pub(crate) fn rest(mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).expect("text");
        rest
    }

    /// Listens to events; those from now on are heard.
    pub(crate) fn events(mut self) -> Events {
        self.send("GET /api/v1/vm.events HTTP/1.1\r\nHost: x\r\n\r\n");
        let (status, head) = self.head();
        assert!(status == 200 && head.contains("Transfer-Encoding: chunked"), "{head}");
        Events(self.stream)
    }
}

/// Events of an adjunct, one chunk each.
pub(crate) struct Events(BufReader<UnixStream>);

impl Iterator for Events {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let mut length = String::new();
        self.0.read_line(&mut length).expect("text");
        if length.trim_end() == "0" {
            let mut rest = String::new();
            self.0.read_to_string(&mut rest).expect("text");
            assert_eq!(rest, "\r\n", "the end is the end");
            return None;
        }
        let mut line = String::new();
        self.0.read_line(&mut line).expect("text");
        assert_eq!(usize::from_str_radix(length.trim_end(), 16), Ok(line.len()));
        let mut end = String::new();
        self.0.read_line(&mut end).expect("text");
        Some(serde_json::from_str(&line).expect("a line of JSON"))
    }
}

impl Events {
    pub(crate) fn hear(&mut self, name: &str) -> Value {
        self.find(|event| event["event"] == name).unwrap_or_else(|| panic!("{name} does not come"))
    }
}
