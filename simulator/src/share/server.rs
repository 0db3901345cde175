//! Serving: a thread for each connection, each of which does one thing after the other.
//!
//! So a request that waits (`remove` of an mdev that a VM has open) holds up only whoever made it. What VMs in other
//! processes have of the host is in [`guest`].

mod guest;

use super::{
    lines::{LONGEST, Lines, Unread, send},
    operator::{Operator, line},
    protocol::{Answer, Facts, Failure, FailureKind, Greeting, Reply, Request, Uevents, VERSION},
    socket::SocketFile,
    time::TimeKeeper,
};
use crate::{HostFile, LoadError, SimHost, lock::lock};
use adjunct_ap::Sysfs;
use guest::Guest;
use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, PipeReader, PipeWriter, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long who follows uevents waits for an answer without any: so long a client that is gone is not noticed.
const PATIENCE: Duration = Duration::from_secs(1);

/// A host that is being served. Dropping it ends that: the socket is removed, mdevs that clients have open are closed,
/// and clients see that the host is gone.
#[derive(Debug)]
pub struct Served {
    server: Arc<Server>,
    /// A second handle of the listening socket, to end the first with.
    listener: UnixStream,
    accepting: Option<JoinHandle<()>>,
    /// The other end of the server's `quits`.
    quit: PipeReader,
    file: SocketFile,
    #[expect(dead_code, reason = "held for its drop")]
    time: TimeKeeper,
}

/// Serves `host` at a new Unix socket `path`, which only this user can connect to, and lets its time pass by the real
/// clock ([`SimHost::keep_time`]).
///
/// A socket there that nobody listens at is replaced.
///
/// # Errors
/// EADDRINUSE when somebody listens there, EEXIST when something else than a socket is there, and what the file system
/// says.
pub fn serve(host: &SimHost, path: &Path) -> io::Result<Served> {
    let (listener, file) = SocketFile::listen(path)?;
    let (quit, quits) = io::pipe()?;
    let server = Arc::new(Server {
        operator: Operator::new(host.clone()),
        guests: Mutex::default(),
        connections: Mutex::default(),
        count: AtomicU64::new(0),
        ending: AtomicBool::new(false),
        quits,
    });
    let handle = UnixStream::from(OwnedFd::from(listener.try_clone()?));
    let time = host.keep_time()?;
    let accepting = thread::Builder::new().name("host-accept".to_owned()).spawn({
        let server = Arc::clone(&server);
        move || server.accept(&listener)
    })?;
    Ok(Served { server, listener: handle, accepting: Some(accepting), quit, file, time })
}

impl Served {
    /// The operator who carries clients' orders out.
    pub fn operator(&self) -> &Operator {
        &self.server.operator
    }

    /// Where.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Readable once a client has asked that the host end ([`SharedHost::quit`](super::SharedHost::quit)). Whoever serves it
/// may then drop this.
impl AsFd for Served {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.quit.as_fd()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.ending.store(true, Ordering::Release);
        // Ends `accept`; on Linux that goes for listening sockets too.
        let _ = self.listener.shutdown(Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for connection in lock(&self.server.connections).values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // As if their processes had died.
        let guests = std::mem::take(&mut *lock(&self.server.guests));
        guests.into_values().for_each(|guest| guest.end());
        self.server.operator.close_all();
    }
}

/// What all connections share.
#[derive(Debug)]
struct Server {
    operator: Operator,
    guests: Mutex<BTreeMap<u64, Arc<Guest>>>,
    /// The open connections, to be ended with the server.
    connections: Mutex<BTreeMap<u64, UnixStream>>,
    /// Connections so far.
    count: AtomicU64,
    ending: AtomicBool,
    /// Has something in it when a client has asked that the host end.
    quits: PipeWriter,
}

/// A connection's entry in the list of them, as long as somebody attends to it. Without an entry nothing keeps it open.
#[derive(Debug)]
struct Connected {
    server: Arc<Server>,
    number: u64,
}

impl Connected {
    fn new(server: &Arc<Server>, stream: &UnixStream) -> io::Result<Self> {
        let number = server.count.fetch_add(1, Ordering::Relaxed);
        lock(&server.connections).insert(number, stream.try_clone()?);
        Ok(Self { server: Arc::clone(server), number })
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        lock(&self.server.connections).remove(&self.number);
    }
}

/// A VM of a client. What it has is given back with this.
#[derive(Debug)]
struct RegisteredGuest<'a> {
    server: &'a Server,
    guest: Arc<Guest>,
}

impl Drop for RegisteredGuest<'_> {
    fn drop(&mut self) {
        lock(&self.server.guests).remove(&self.guest.token());
        self.guest.end();
    }
}

impl Server {
    fn host(&self) -> &SimHost {
        self.operator.host()
    }

    fn accept(self: &Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.ending.load(Ordering::Acquire) {
                return;
            }
            match stream.and_then(|stream| self.begin(stream)) {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "a client of the simulated host was turned away");
                    // Mostly too many open files: a client that leaves makes room.
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }

    fn begin(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let connected = Connected::new(self, &stream)?;
        let attend = move || {
            // However it ends, the client is gone.
            let _ = connected.server.attend(&stream);
        };
        thread::Builder::new().name("host-client".to_owned()).spawn(attend).map(drop)
    }

    /// Answers one client until it is gone.
    fn attend(&self, stream: &UnixStream) -> io::Result<()> {
        send(stream, &Greeting { adjunct_host: VERSION })?;
        let mut lines = Lines::new(stream, LONGEST);
        loop {
            let reply = match lines.next() {
                Ok(None) => return Ok(()),
                Err(Unread::Io(error)) => return Err(error),
                Err(Unread::Malformed(text)) => failure(FailureKind::Malformed, text, None),
                Err(Unread::TooLong) => {
                    failure(FailureKind::TooLong, format!("a request has at most {LONGEST} bytes"), None)
                }
                Ok(Some(Request::Guest)) => return self.attend_guest(stream, lines),
                Ok(Some(Request::Quit)) => {
                    // Answered before the connection ends with the host.
                    let answered = send(stream, &Reply::Ok(Answer::Done));
                    // Nobody hears it who has not kept what is served.
                    let _ = (&self.quits).write_all(b"q");
                    answered?;
                    continue;
                }
                Ok(Some(request)) => self.answer(request).map_or_else(Reply::Error, Reply::Ok),
            };
            send(stream, &reply)?;
        }
    }

    /// Keeps a VM's connection until the VM is gone; then all that it had is given back.
    fn attend_guest(&self, stream: &UnixStream, mut lines: Lines<&UnixStream>) -> io::Result<()> {
        let guest = Arc::new(Guest::new(self.host().clone()));
        lock(&self.guests).insert(guest.token(), Arc::clone(&guest));
        let registered = RegisteredGuest { server: self, guest };
        registered.guest.attend(stream, &mut lines)
    }

    fn answer(&self, request: Request) -> Result<Answer, Failure> {
        let host = self.host();
        match request {
            Request::Order(text) => self.order(&text),
            Request::Load(text) => self.load(&text),
            Request::Read(path) => host.read(&path).map(Answer::Text).map_err(|error| of_sysfs(&error)),
            Request::Write { path, value } => {
                host.write(&path, &value).map(|()| Answer::Done).map_err(|error| of_sysfs(&error))
            }
            Request::List(dir) => host.list(&dir).map(Answer::Names).map_err(|error| of_sysfs(&error)),
            Request::Uevents { after } => {
                let events = host.wait_for_uevents(after, PATIENCE);
                let last = events.last().map_or(after, |event| event.seqnum);
                Ok(Answer::Uevents(Uevents { text: events.iter().map(line).collect(), last }))
            }
            Request::Facts => Ok(Answer::Facts(facts(host))),
            Request::Act { request, target } => {
                if request.contains(char::is_whitespace) || target.contains('\n') {
                    return Err(malformed("an act is one line, its request one word"));
                }
                let acted = host.acts().begin_for(&request, &target, |late| host.advance(late));
                acted.map(|()| Answer::Done).map_err(of_errno)
            }
            Request::Vm { token, request } => {
                let guest = lock(&self.guests).get(&token).cloned();
                guest.ok_or_else(|| malformed("there is no such guest"))?.answer(request)
            }
            // Answered by whoever attends to the connection.
            Request::Quit => Err(malformed("the host is asked to end outside of everything else")),
            Request::Guest => Err(malformed("this connection is a guest's already")),
        }
    }

    fn load(&self, text: &str) -> Result<Answer, Failure> {
        let loaded =
            HostFile::parse(text).map_err(LoadError::from).and_then(|file| self.operator.load(&file));
        loaded.map(|()| Answer::Text(String::new())).map_err(|refused| {
            let text = match refused.source() {
                Some(why) => format!("{refused}: {why}"),
                None => refused.to_string(),
            };
            Failure { kind: FailureKind::Refused, text, errno: None }
        })
    }

    fn order(&self, text: &str) -> Result<Answer, Failure> {
        let order = text.parse().map_err(|error: super::ParseOrderError| malformed(error.to_string()))?;
        self.operator.order(&order).map(Answer::Text).map_err(|refused| {
            let errno = refused.errno();
            Failure { kind: FailureKind::Refused, text: refused.to_string(), errno }
        })
    }
}

fn facts(host: &SimHost) -> Facts {
    let apxa = host.adapters().query_configuration().is_some_and(|qci| qci.apxa());
    host.adapters().operate(|machine| Facts {
        machine: host.machine_model().name.to_owned(),
        kernel: host.profile().name().to_owned(),
        qci: machine.facilities.qci,
        test: machine.facilities.test,
        interruptions: machine.facilities.interruptions,
        flags: machine.flags,
        max_adapter: machine.max_adapter,
        max_domain: machine.max_domain,
        apxa,
        now: host.clock().now(),
    })
}

fn failure(kind: FailureKind, text: String, errno: Option<i32>) -> Reply {
    Reply::Error(Failure { kind, text, errno })
}

fn malformed(text: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Malformed, text: text.into(), errno: None }
}

fn of_errno(errno: i32) -> Failure {
    let text = io::Error::from_raw_os_error(errno).to_string();
    Failure { kind: FailureKind::Kernel, text, errno: Some(errno) }
}

/// Without an errno it is a write that was cut short.
fn of_sysfs(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(errno) => of_errno(errno),
        None => Failure { kind: FailureKind::Short, text: error.to_string(), errno: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuestCrypto;
    use adjunct_ap::{Matrix, Uuid};
    use std::io::{BufRead, BufReader, Write};

    /// A VM that has a bug.
    #[derive(Debug, Default)]
    struct Panics(AtomicBool);

    impl GuestCrypto for Panics {
        fn set_masks(&self, matrix: &Matrix) {
            assert!(!self.0.load(Ordering::Acquire), "{matrix:?}");
        }

        fn clear_masks(&self) {}
    }

    #[test]
    fn a_client_whose_request_panics_is_let_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("host");
        let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts");
        let served = serve(&host, &path).expect("nobody serves there");
        let uuid: Uuid = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001".parse().expect("a UUID");
        let bug = Arc::new(Panics::default());
        let crypto: Arc<Panics> = Arc::clone(&bug);
        let _mdev = host.open_mdev(uuid, host.new_vm_id(), crypto).expect("it is free");
        let mut stream = UnixStream::connect(&path).expect("it is served");
        // Only for when nobody lets it go.
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
        lines.next().expect("a greeting").expect("text");
        bug.0.store(true, Ordering::Release);
        let unassign = format!(
            "{{\"write\":{{\"path\":\"devices/vfio_ap/matrix/{uuid}/unassign_adapter\",\"value\":\"6\"}}}}\n"
        );
        stream.write_all(unassign.as_bytes()).expect("it is there");
        assert!(lines.next().is_none(), "the connection ends");
        bug.0.store(false, Ordering::Release);
        assert!(lock(&served.server.connections).is_empty());
    }
}
