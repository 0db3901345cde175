//! `--qmp`: QEMU's monitor protocol, as far as clients need it that give a vfio-ap device to a guest.
//!
//! One thread, one client at a time, as with a server socket of QEMU's: others wait in the socket's queue until the first
//! has gone. It only holds a [`Handle`] and a [`Subscription`], so a client that does not read, or that goes away in the
//! middle of a word, costs the guest nothing: while an answer can't be written no request is read, and events beyond
//! what a subscription holds are lost. This module knows no vCPU and no device; `docs/qmp.md` says what is served.

mod command;
mod cpu_model;
mod device;
mod event;
mod files;
mod framing;
mod message;
mod query;

use crate::{
    control::Handle,
    event::Subscription,
    sandbox::{self, Thread},
    socket::{Closer, Listener},
    wait::until_readable,
};
use command::Session;
use files::Files;
use framing::Framing;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde_json::json;
use std::{
    cell::RefCell,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    thread::{self, JoinHandle},
};

/// How long a client that does not read is waited for at the end, in milliseconds.
const PATIENCE: u16 = 1000;

/// How much is read at once, in bytes.
const CHUNK: usize = 4096;

/// A monitor that serves. Dropping it tells the client what has happened until then, closes the connection and removes
/// the socket's file. The [`Mailbox`](crate::control::Mailbox) must be gone before: a request that nobody will answer any
/// more is then refused, else this would wait for it.
#[derive(Debug)]
pub struct Server {
    over: Closer,
    thread: Option<JoinHandle<Listener>>,
}

impl Server {
    /// Serves at `listener`: requests go to `handle`, what comes out of `events` to the client.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(listener: Listener, handle: Handle, events: Subscription) -> io::Result<Self> {
        let over = listener.closer();
        let monitor = Monitor { over: listener.closer(), handle, events, files: RefCell::default() };
        let serve = move || {
            match sandbox::enter(Thread::Qmp) {
                Ok(()) => monitor.serve(&listener),
                Err(error) => tracing::error!(%error, "nobody listens at --qmp"),
            }
            listener
        };
        let thread = thread::Builder::new().name("qmp".to_owned()).spawn(serve)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.close();
        // The socket's file goes here, with what the thread gives back.
        self.thread.take().map(JoinHandle::join);
    }
}

/// What the thread has.
struct Monitor {
    /// Readable at the end.
    over: Closer,
    handle: Handle,
    events: Subscription,
    /// What clients have sent.
    files: RefCell<Files>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    over: bool,
    events: bool,
    /// The listener or the client.
    socket: bool,
}

impl Monitor {
    fn serve(&self, listener: &Listener) {
        loop {
            match self.wait(listener.as_fd()) {
                Ok(Ready { over: true, .. }) => return,
                Ok(Ready { socket: true, .. }) => {
                    let Some(stream) = listener.accept_now() else { continue };
                    let gone = Client::new(self, stream).and_then(|mut client| client.serve());
                    self.files.borrow_mut().forget_latest();
                    if let Err(error) = gone {
                        tracing::debug!(%error, "the QMP client is gone");
                    }
                }
                // Nobody is there to be told.
                Ok(_) => while self.events.next_now().is_some() {},
                Err(error) => return tracing::error!("--qmp: clients can't be waited for: {error}"),
            }
        }
    }

    /// Waits for the end, an event, or who comes or says something at `socket`.
    fn wait(&self, socket: BorrowedFd<'_>) -> io::Result<Ready> {
        let [over, events, socket] = until_readable([self.over.as_fd(), self.events.as_fd(), socket])?;
        Ok(Ready { over, events, socket })
    }
}

/// A client that is connected.
struct Client<'a> {
    monitor: &'a Monitor,
    stream: UnixStream,
    framing: Framing,
    session: Session<'a>,
}

impl<'a> Client<'a> {
    fn new(monitor: &'a Monitor, stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let session = Session::new(&monitor.handle, &monitor.files);
        Ok(Self { monitor, stream, framing: Framing::default(), session })
    }

    /// Serves until the client or the program is gone.
    fn serve(&mut self) -> io::Result<()> {
        self.send(&json!({ "QMP": { "version": query::Version::OURS, "capabilities": [] } }))?;
        loop {
            let ready = self.monitor.wait(self.stream.as_fd())?;
            if ready.events || ready.over {
                self.send_events()?;
            }
            if ready.over {
                return Ok(());
            }
            if ready.socket && !self.read()? {
                return Ok(());
            }
        }
    }

    /// Reads what is there and answers it; whether there may be more.
    fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        let received = self.monitor.files.borrow_mut().receive(&self.stream, &mut chunk);
        let bytes = match received {
            Ok(0) => return Ok(false),
            Ok(length) => &chunk[..length],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        for byte in bytes {
            if let Some(frame) = self.framing.push(*byte) {
                let (id, request) = message::read(frame);
                // What a request brings about is told before it is answered, as QEMU does, but for a device that is
                // gone: there clients wait for the answer and then for the event.
                let answer_first = request.as_ref().is_ok_and(|request| request.command == "device_del");
                let answer = self.session.answer(id, request);
                if answer_first {
                    self.send(&answer)?;
                    self.send_events()?;
                } else {
                    self.send_events()?;
                    self.send(&answer)?;
                }
            }
        }
        Ok(true)
    }

    /// Tells what has happened meanwhile.
    fn send_events(&mut self) -> io::Result<()> {
        while let Some(event) = self.monitor.events.next_now() {
            if self.session.hears_events()
                && let Some(message) = event::Message::of(event)
            {
                self.send(&message)?;
            }
        }
        Ok(())
    }

    /// Writes one message as a line, and waits until that is done; at the end of the program not long.
    fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        // libvirt looks for both.
        line.extend_from_slice(b"\r\n");
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_reader()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_for_reader(&self) -> io::Result<()> {
        let mut files = [
            PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT),
            PollFd::new(self.monitor.over.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut files, PollTimeout::NONE)?;
        let [writable, over] = files.map(|file| file.any().unwrap_or(true));
        if over && !writable {
            let mut file = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
            if poll(&mut file, PATIENCE)? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }
}
