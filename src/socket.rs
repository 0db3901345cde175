//! Sockets that a management interface listens at: made by us, or by whoever started us. Knows no protocol.

use crate::{
    config::SocketTarget,
    wait::{Flag, until_readable},
};
use adjunct_hypervisor::descriptor;
use adjunct_simulator::share::SocketFile;
use nix::{
    poll::{PollFd, PollFlags, poll},
    sys::socket::{getsockopt, sockopt::AcceptConn},
};
use std::{
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::atomic::{AtomicBool, Ordering},
};

/// A socket that listens. Dropping it removes the file that it made.
#[derive(Debug)]
pub struct Listener {
    /// What it was opened as, with its dashes.
    option: &'static str,
    socket: UnixListener,
    closed: Flag,
    /// Whether it was said that clients can't be served.
    complained: AtomicBool,
    #[expect(dead_code, reason = "held for its drop")]
    file: Option<SocketFile>,
}

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody else does.
    #[error("{option} {target}: another program listens there; end it, or give this one another path")]
    InUse {
        /// The option, with its dashes.
        option: &'static str,
        /// As typed.
        target: SocketTarget,
    },
    /// It is no socket.
    #[error("{option} {target}: what is there is no socket; remove it, or give another path")]
    NoSocket {
        /// The option, with its dashes.
        option: &'static str,
        /// As typed.
        target: SocketTarget,
    },
    /// It is no Unix socket that listens.
    #[error("{option} {target}: that is no listening Unix socket that adjunct inherits")]
    Descriptor {
        /// The option, with its dashes.
        option: &'static str,
        /// As typed.
        target: SocketTarget,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file system refuses.
    #[error("{option} {target}: the socket can't be made")]
    File {
        /// The option, with its dashes.
        option: &'static str,
        /// As typed.
        target: SocketTarget,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Listener {
    /// Listens at `target`, which `option` (with its dashes) was given as.
    ///
    /// A file is made for this user alone (mode 0600). A socket there that nobody listens at, as it is left after SIGKILL, is
    /// replaced. An inherited socket is taken over.
    ///
    /// # Errors
    /// [`SocketError`]; nothing was changed.
    pub fn open(option: &'static str, target: &SocketTarget) -> Result<Self, SocketError> {
        let (socket, file) = match target {
            SocketTarget::Path(path) => {
                let (socket, file) =
                    SocketFile::listen(path).map_err(|source| refused(option, target, source))?;
                (socket, Some(file))
            }
            SocketTarget::Descriptor(number) => {
                let socket = descriptor::adopt(*number).and_then(listening);
                let refused = |source| SocketError::Descriptor { option, target: target.clone(), source };
                (socket.map_err(refused)?, None)
            }
        };
        let ready = socket.set_nonblocking(true).and_then(|()| Flag::new());
        match ready {
            Ok(closed) => Ok(Self { option, socket, closed, complained: AtomicBool::new(false), file }),
            Err(source) => Err(refused(option, target, source)),
        }
    }

    /// The next client, or `None` once [`Closer::close`] was called.
    pub fn accept(&self) -> Option<UnixStream> {
        loop {
            match until_readable([self.socket.as_fd(), self.closed.as_fd()]) {
                Ok([_, true]) => return None,
                Ok([_, false]) => {}
                Err(error) => self.pause(&error),
            }
            if let Some(client) = self.accept_now() {
                return Some(client);
            }
        }
    }

    /// The client that waits. `None` if there is none, for example because another process that has the same socket was faster;
    /// or if it can't be accepted, after a [`pause`](Self::pause).
    pub fn accept_now(&self) -> Option<UnixStream> {
        match self.socket.accept() {
            Ok((client, _)) => Some(client),
            Err(nobody) if matches!(nobody.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(error) => {
                self.pause(&error);
                None
            }
        }
    }

    /// A client can't be served, mostly for want of files. Waits a moment, because others that leave make room and who asked
    /// again at once would do nothing else; says so the first time, because it can go on for long.
    pub fn pause(&self, error: &io::Error) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "{}: clients can't be served now; that is not said again", self.option);
        }
        let mut closed = [PollFd::new(self.closed.as_fd(), PollFlags::POLLIN)];
        // Interrupted or not: it was a moment.
        let _ = poll(&mut closed, MOMENT);
    }

    /// What ends [`Listener::accept`] from another thread.
    pub fn closer(&self) -> Closer {
        Closer(self.closed.clone())
    }
}

/// Readable when a client waits.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Ends the listening of a [`Listener`].
#[derive(Debug)]
pub struct Closer(Flag);

/// Readable when nobody is accepted any more.
impl AsFd for Closer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Closer {
    /// Nobody is accepted any more. The socket itself stays as it is: whoever handed it to us may hand it to the next.
    pub fn close(&self) {
        self.0.raise();
    }
}

/// How long is waited when a client can't be served, in milliseconds.
const MOMENT: u16 = 100;

fn refused(option: &'static str, target: &SocketTarget, source: io::Error) -> SocketError {
    let target = target.clone();
    match source.raw_os_error() {
        Some(libc::EADDRINUSE) => SocketError::InUse { option, target },
        Some(libc::EEXIST) => SocketError::NoSocket { option, target },
        _ => SocketError::File { option, target, source },
    }
}

/// The descriptor as a listening Unix socket; EINVAL if it is something else.
fn listening(descriptor: OwnedFd) -> io::Result<UnixListener> {
    if !getsockopt(&descriptor.as_fd(), AcceptConn)? {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let socket = UnixListener::from(descriptor);
    // Fails for a socket of another family.
    socket.local_addr()?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use std::sync::{Arc, Mutex};

    #[test]
    fn that_clients_can_not_be_served_is_said_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let listener = Listener::open("--qmp", &SocketTarget::Path(path)).expect("nobody is there");
        // Nobody waits for a moment any more.
        listener.closer().close();
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = tracing_subscriber::fmt().with_writer(LogTo(Arc::clone(&said))).finish();
        tracing::subscriber::with_default(log, || {
            for _ in 0..3 {
                listener.pause(&Errno::EMFILE.into());
            }
        });
        let said = String::from_utf8(said.lock().expect("nobody panicked").clone()).expect("text");
        assert!(said.lines().count() == 1 && said.contains("--qmp: clients can't be served now"), "{said}");
    }

    /// A log in memory.
    struct LogTo(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogTo {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl tracing_subscriber::fmt::MakeWriter<'_> for LogTo {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    #[test]
    fn whose_client_another_process_has_taken_does_not_wait_for_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let listener = Listener::open("--qmp", &SocketTarget::Path(path.clone())).expect("nobody is there");
        let other = listener.socket.try_clone().expect("a descriptor");
        let _first = UnixStream::connect(&path).expect("it listens");
        other.accept().expect("somebody came");
        assert!(listener.accept_now().is_none());
        let _second = UnixStream::connect(&path).expect("it listens");
        assert!(listener.accept_now().is_some());
        listener.closer().close();
        assert!(listener.accept().is_none());
    }
}
