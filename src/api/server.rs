//! Serving: a thread for each connection, which answers one request after the other.
//!
//! Requests wait for the main thread, which does one thing at a time, so two at once are one after the other. A client that
//! goes away in the middle of a request has asked nothing; one that goes away while its request is carried out loses the
//! answer, and nothing else.

use super::{
    endpoint::{Api, JSON_LINES, Reply},
    http::{Method, Reading, begin_chunks, chunk, last_chunk},
    refusal::{Failure, answer_to},
};
use crate::{
    event::Subscription,
    sandbox::{self, Thread},
    socket::{Closer, Listener},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time.
    pub(super) connections: usize,
    /// How long a connection is kept on which nothing is asked.
    pub(super) idle: Duration,
    /// How long a request may take from its first byte to its last, and how long a client may take to read an answer.
    pub(super) request: Duration,
    /// How long answers that are due may take at the end.
    pub(super) end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            idle: Duration::from_secs(5 * 60),
            request: Duration::from_secs(10),
            end: Duration::from_secs(2),
        }
    }
}

/// An interface that is being served. Dropping it ends that: answers that are due are given first.
#[derive(Debug)]
pub struct Served {
    server: Arc<Server>,
    closer: Closer,
    accepting: Option<JoinHandle<Listener>>,
}

#[derive(Debug)]
struct Server {
    api: Api,
    limits: Limits,
    /// The open connections, to be ended with the server.
    connections: Mutex<BTreeMap<u64, UnixStream>>,
    /// A connection is gone.
    left: Condvar,
    /// Connections so far.
    count: AtomicU64,
    ending: AtomicBool,
}

pub(super) fn serve(listener: Listener, api: Api, limits: Limits) -> io::Result<Served> {
    let server = Arc::new(Server {
        api,
        limits,
        connections: Mutex::default(),
        left: Condvar::new(),
        count: AtomicU64::new(0),
        ending: AtomicBool::new(false),
    });
    let closer = listener.closer();
    let accepting = thread::Builder::new().name("api".to_owned()).spawn({
        let server = Arc::clone(&server);
        // What it makes for clients begins as it is.
        move || {
            match sandbox::enter(Thread::Api) {
                Ok(()) => server.accept(&listener),
                Err(error) => tracing::error!(%error, "nobody listens at --api-socket"),
            }
            listener
        }
    })?;
    Ok(Served { server, closer, accepting: Some(accepting) })
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.ending.store(true, Ordering::Release);
        self.closer.close();
        if let Some(accepting) = self.accepting.take() {
            // The socket's file goes here, with what the thread gives back: it may remove none itself.
            let _ = accepting.join();
        }
        self.server.end();
    }
}

/// A connection's entry in the list of them, as long as somebody attends to it.
#[derive(Debug)]
struct Connected {
    server: Arc<Server>,
    number: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.server.connections().remove(&self.number);
        self.server.left.notify_all();
    }
}

impl Server {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, UnixStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &Listener) {
        while let Some(client) = listener.accept() {
            if let Err(error) = self.begin(client) {
                listener.pause(&error);
            }
        }
    }

    fn begin(self: &Arc<Self>, mut stream: UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(self.limits.request))?;
        if self.connections().len() >= self.limits.connections {
            let busy = Failure::new(
                503,
                format!("{} clients are connected, more can't be", self.limits.connections),
            );
            // There is room for that in the socket.
            let _ = busy.response().write(&mut stream, false, false);
            return Ok(());
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.connections().insert(number, stream.try_clone()?);
        let connected = Connected { server: Arc::clone(self), number };
        let attend = move || {
            // However it ends, the client is gone.
            let _ = connected.server.attend(stream);
        };
        thread::Builder::new().name("api-client".to_owned()).spawn(attend).map(drop)
    }

    /// Answers one client until it is gone.
    fn attend(&self, stream: UnixStream) -> io::Result<()> {
        let mut reading = Reading::new(Deadline { stream, until: Instant::now() });
        while !self.ending.load(Ordering::Acquire) {
            reading.stream().wait_for(self.limits.idle);
            if reading.wait().is_err() {
                return Ok(());
            }
            reading.stream().wait_for(self.limits.request);
            let request = match reading.request() {
                Ok(request) => request,
                Err(unread) => match answer_to(&unread) {
                    Some((response, true)) => {
                        response.write(reading.stream(), false, true)?;
                        continue;
                    }
                    Some((response, false)) => return response.write(reading.stream(), false, false),
                    None => return Ok(()),
                },
            };
            tracing::debug!(method = ?request.method, path = request.path, "a request at --api-socket");
            let head_only = request.method == Method::Head;
            match self.api.answer(&request) {
                Reply::Events(_) if head_only => return begin_chunks(reading.stream(), JSON_LINES),
                Reply::Events(events) => return pass_on(&events, &mut reading.stream().stream),
                Reply::Whole(response) => {
                    let stays = request.stays && !self.ending.load(Ordering::Acquire);
                    response.write(reading.stream(), head_only, stays)?;
                    if !stays {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets no connection ask anything more, and waits for those that are still being answered.
    fn end(&self) {
        let mut connections = self.connections();
        for connection in connections.values() {
            let _ = connection.shutdown(Shutdown::Read);
        }
        let until = Instant::now() + self.limits.end;
        while !connections.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.left.wait_timeout(connections, left);
            connections = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        for connection in connections.values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Passes events on until the client hangs up, or we end.
fn pass_on(events: &Subscription, client: &mut UnixStream) -> io::Result<()> {
    begin_chunks(client, JSON_LINES)?;
    loop {
        let mut files = [events.as_fd(), client.as_fd()].map(|file| PollFd::new(file, PollFlags::POLLIN));
        match poll(&mut files, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        let hung_up = files[1].any().unwrap_or_default();
        while let Some(event) = events.next_now() {
            let mut line = serde_json::to_vec(&event)?;
            line.push(b'\n');
            chunk(client, &line)?;
        }
        // Whatever else it sends, it gets no answer.
        if hung_up && client.read(&mut [0; 256])? == 0 {
            return last_chunk(client);
        }
    }
}

/// A stream whose reads all have to be done by one moment.
#[derive(Debug)]
struct Deadline {
    stream: UnixStream,
    until: Instant,
}

impl Deadline {
    fn wait_for(&mut self, time: Duration) {
        self.until = Instant::now() + time;
    }
}

impl Read for Deadline {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(into)
    }
}

impl Write for Deadline {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::SocketTarget,
        control::{Mailbox, mailbox},
        event::Events,
    };
    use std::io::{BufRead, BufReader};

    /// A server with a mailbox that nobody reads.
    fn serving(limits: Limits) -> (Served, Mailbox, UnixStream) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let listener =
            Listener::open("--api-socket", &SocketTarget::Path(path.clone())).expect("nobody is there");
        let (handle, mailbox) = mailbox().expect("an eventfd");
        let api = Api { handle, events: Arc::new(Events::default()) };
        let served = serve(listener, api, limits).expect("a thread");
        (served, mailbox, UnixStream::connect(path).expect("it is served"))
    }

    fn rest(mut client: &UnixStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).expect("text");
        text
    }

    /// Waits until a question is where nobody answers it.
    fn arrived(mailbox: &Mailbox) {
        let mut file = [PollFd::new(mailbox.as_fd(), PollFlags::POLLIN)];
        poll(&mut file, PollTimeout::NONE).expect("it arrives");
    }

    #[test]
    fn a_request_that_does_not_end_is_answered_with_408() {
        let limits = Limits { request: Duration::from_millis(50), ..Limits::default() };
        let (_served, _mailbox, mut client) = serving(limits);
        client.write_all(b"GET /api/v1/vm.info HTTP/1.1\r\nHost:").expect("it is there");
        assert!(rest(&client).starts_with("HTTP/1.1 408 "));
    }

    #[test]
    fn a_connection_on_which_nothing_is_asked_is_closed() {
        let limits = Limits { idle: Duration::from_millis(50), ..Limits::default() };
        let (_served, _mailbox, client) = serving(limits);
        assert_eq!(rest(&client), "");
    }

    #[test]
    fn at_the_end_who_waits_for_an_answer_gets_one_and_who_asks_nothing_is_let_go() {
        let (served, mailbox, mut client) = serving(Limits::default());
        client.write_all(b"GET /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is there");
        arrived(&mailbox);
        drop(mailbox);
        drop(served);
        let text = rest(&client);
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("adjunct is ending"), "{text}");
        let (served, _mailbox, mut client) = serving(Limits::default());
        // Only who was accepted before the end is let go, and others are turned away.
        client.write_all(b"HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is there");
        let head = BufReader::new(&client).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        assert!(head.count() > 1);
        drop(served);
        assert_eq!(rest(&client), "");
    }

    #[test]
    fn who_is_not_answered_holds_up_the_end_only_for_a_moment() {
        let limits = Limits { end: Duration::from_millis(50), ..Limits::default() };
        let (served, mailbox, mut client) = serving(limits);
        client.write_all(b"GET /api/v1/vm.info HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is there");
        arrived(&mailbox);
        drop(served);
        assert_eq!(rest(&client), "");
    }
}
