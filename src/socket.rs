//! Sockets that a management interface listens at: made by us, or by whoever started us. Knows no protocol.

use crate::{config::SocketTarget, exit_status::ExitStatus};
use adjunct_hypervisor::descriptor;
use adjunct_simulator::share::SocketFile;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        socket::{getsockopt, sockopt::AcceptConn},
    },
};
use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
};

/// A socket that listens. Dropping it removes the file that it made.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    closed: Arc<EventFd>,
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

impl SocketError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::InUse { .. } | Self::NoSocket { .. } | Self::Descriptor { .. } => ExitStatus::Refused,
            Self::File { .. } => ExitStatus::Output,
        }
    }
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
        let ready = socket.set_nonblocking(true).and_then(|()| Ok(Arc::new(EventFd::from_flags(FLAGS)?)));
        match ready {
            Ok(closed) => Ok(Self { socket, closed, file }),
            Err(source) => Err(refused(option, target, source)),
        }
    }

    /// The next client, or `None` once [`Closer::close`] was called.
    ///
    /// # Errors
    /// As `accept` says.
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            let watched = [self.socket.as_fd(), self.closed.as_fd()];
            let mut files = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut files, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            if files[1].any().unwrap_or_default() {
                return Ok(None);
            }
            match self.socket.accept() {
                // Another process that has the same socket was faster.
                Err(nobody) if nobody.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.map(|(stream, _)| Some(stream)),
            }
        }
    }

    /// What ends [`Listener::accept`] from another thread.
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.closed))
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
pub struct Closer(Arc<EventFd>);

impl Closer {
    /// Nobody is accepted any more. The socket itself stays as it is: whoever handed it to us may hand it to the next.
    pub fn close(&self) {
        let _ = self.0.write(1);
    }
}

const FLAGS: EfdFlags = EfdFlags::EFD_CLOEXEC.union(EfdFlags::EFD_NONBLOCK);

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
