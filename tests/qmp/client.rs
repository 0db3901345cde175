//! A QMP client, and guests to talk to.

use crate::{
    command::{Start, Started, command},
    lifecycle::{FOR_EVER, image},
    patience::PATIENCE,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, ErrorKind, IoSlice, Lines, Read, Write},
    mem::MaybeUninit,
    os::{fd::BorrowedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{ChildStdout, Stdio},
};
use tempfile::TempDir;

/// A guest that runs until it is told to end, with a monitor.
pub(crate) struct Guest {
    pub(crate) child: Started,
    pub(crate) socket: PathBuf,
    /// Open as long as it runs: events that can't be written would be its exit status.
    _events: Lines<BufReader<ChildStdout>>,
    _dir: TempDir,
}

impl Guest {
    /// One that does nothing, on `host`; the monitor listens when this returns.
    pub(crate) fn start(host: &str, words: &[&str]) -> Self {
        Self::of(&[FOR_EVER], host, words)
    }

    /// One that runs `code`.
    pub(crate) fn of(code: &[u32], host: &str, words: &[&str]) -> Self {
        let (dir, kernel) = image(code, &[]);
        let socket = dir.path().join("qmp");
        let mut child = command()
            .args(["run", "--host", host, "--memory", "1M", "--console", "off", "--event-monitor", "fd=1"])
            .arg("--kernel")
            .arg(kernel)
            .arg("--qmp")
            .arg(format!("path={}", socket.display()))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start();
        let mut events = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let built = events.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"vm-built\"")));
        if built.is_none() {
            let mut complaint = String::new();
            child.stderr.take().expect("a pipe").read_to_string(&mut complaint).expect("text");
            panic!("it did not start: {complaint}");
        }
        Self { child, socket, _events: events, _dir: dir }
    }

    /// A client that may give orders.
    pub(crate) fn client(&self) -> Client {
        Client::negotiated(&self.socket)
    }

    /// Its exit status, once it has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().expect("it can be waited for").code()
    }
}

/// Somebody at a monitor.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    /// What came before it was asked for.
    events: VecDeque<Value>,
    pub(crate) greeting: Value,
}

impl Client {
    /// Connects, and reads the greeting.
    pub(crate) fn connect(socket: &Path) -> Self {
        Self::greeted(UnixStream::connect(socket).expect("somebody listens"))
    }

    /// Reads the greeting.
    pub(crate) fn greeted(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let stream = BufReader::new(stream);
        let mut client = Self { stream, events: VecDeque::new(), greeting: Value::Null };
        client.greeting = client.line().expect("a greeting");
        client
    }

    /// Connects, and begins.
    pub(crate) fn negotiated(socket: &Path) -> Self {
        let mut client = Self::connect(socket);
        assert_eq!(client.execute("qmp_capabilities", json!({})), Ok(json!({})));
        client
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("it is read");
    }

    /// Sends files, with an order.
    pub(crate) fn send_with(&mut self, order: &Value, files: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(files)), "at most four");
        let order = order.to_string();
        let sent = sendmsg(
            self.stream.get_mut(),
            &[IoSlice::new(order.as_bytes())],
            &mut control,
            SendFlags::empty(),
        );
        assert_eq!(sent, Ok(order.len()));
    }

    /// Gives a file a name there.
    pub(crate) fn hand_over(&mut self, name: &str, file: BorrowedFd<'_>) -> Value {
        self.send_with(&json!({ "execute": "getfd", "arguments": { "fdname": name } }), &[file]);
        self.answer()
    }

    /// The next line; none at the end.
    pub(crate) fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => return None,
            // It went without having read all that was sent.
            Err(gone) if gone.kind() == ErrorKind::ConnectionReset => return None,
            read => read.expect("text in time"),
        };
        assert!(line.ends_with("\r\n"), "{line:?}");
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    /// The next event that was passed over, or line; none at the end.
    pub(crate) fn message(&mut self) -> Option<Value> {
        self.events.pop_front().or_else(|| self.line())
    }

    /// Sends bytes to somebody who may be gone.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    /// The next line that is no event.
    pub(crate) fn answer(&mut self) -> Value {
        loop {
            let line = self.line().expect("an answer");
            if line.get("event").is_none() {
                return line;
            }
            self.events.push_back(line);
        }
    }

    /// Gives an order: what is returned, or the error.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Value> {
        let id = json!({ "of": command });
        let request = json!({ "execute": command, "arguments": arguments, "id": id });
        self.send(format!("{request}\n"));
        let mut answer = self.answer();
        assert_eq!(answer["id"], id, "{answer}");
        match answer["return"].take() {
            Value::Null => Err(answer["error"].take()),
            returned => Ok(returned),
        }
    }

    /// The next event of that name; others are passed over.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.message().expect("an event");
            if event["event"] == name {
                assert!(event["timestamp"]["seconds"].is_u64(), "{event}");
                return event;
            }
        }
    }
}
