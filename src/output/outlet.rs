//! A file to write to that makes nobody wait: it takes what it has room for.

use super::Stop;
use crate::wait::is_ready_now;
use libc::{O_NOCTTY, O_NONBLOCK, dev_t, makedev};
use nix::{
    poll::{PollFd, PollFlags, poll},
    sys::socket::{MsgFlags, send},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

/// A pipe that can be written takes as much (`PIPE_BUF`, pipe(7)) if nobody else writes to it at the same time. Files
/// take it as fast as they are; a terminal does not.
pub(crate) const AT_ONCE: usize = 4096;

/// As little as a terminal can be given. One that can be written takes it (`drivers/tty/n_tty.c: n_tty_poll`,
/// `tty_write_room`), unless a line feed becomes two characters there.
const LEAST: usize = 1;

/// After how many milliseconds to look again whether a pipe has a reader.
const LOOK_AGAIN: u8 = 20;

/// A file that takes what it has room for.
#[derive(Debug)]
pub(crate) struct Outlet {
    file: File,
    way: Way,
}

/// What keeps a write from waiting for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The open file is our own, and does not wait.
    NonBlocking,
    /// The file is a socket, which is told so with each write.
    Told,
    /// A file that can be written gets so many bytes, and no other gets any.
    AtMost(usize),
}

impl Outlet {
    /// Writes the file `path` anew. A named pipe can be written when its reader is there: nothing if one of `stop` is
    /// readable before he comes.
    ///
    /// # Errors
    /// As open(2) says.
    pub(crate) fn create(path: &Path, stop: &[Stop]) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(O_NOCTTY | O_NONBLOCK);
        loop {
            match options.open(path) {
                Ok(file) => return Ok(Some(Self { file, way: Way::NonBlocking })),
                // Nobody is told when a reader comes but who is asleep in open(2), and can't be woken by a file.
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_pipe(path) => {
                    let mut stop: Vec<_> =
                        stop.iter().map(|stop| PollFd::new(stop.as_fd(), PollFlags::POLLIN)).collect();
                    if poll(&mut stop, LOOK_AGAIN).is_ok_and(|ready| ready > 0) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `file`, which others have open too. That it waits for room is theirs, so that a terminal is opened once more.
    pub(crate) fn shared(file: File) -> Self {
        if file.is_terminal() {
            return match open_anew(&file) {
                Ok(file) => Self { file, way: Way::NonBlocking },
                Err(error) => {
                    tracing::debug!(%error, "the terminal can't be opened: it is written byte by byte");
                    Self { file, way: Way::AtMost(LEAST) }
                }
            };
        }
        let is_socket = file.metadata().is_ok_and(|file| file.file_type().is_socket());
        Self { file, way: if is_socket { Way::Told } else { Way::AtMost(AT_ONCE) } }
    }

    /// The same.
    ///
    /// # Errors
    /// There is no descriptor to be had.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, way: self.way })
    }

    /// Writes what of `bytes` there is room for.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is no room, and what the file says.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.way {
            Way::NonBlocking => (&self.file).write(bytes),
            Way::Told => {
                Ok(send(self.file.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
            }
            Way::AtMost(most) if is_ready_now(self.as_fd(), PollFlags::POLLOUT) => {
                (&self.file).write(&bytes[..bytes.len().min(most)])
            }
            Way::AtMost(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo())
}

/// `/dev/tty` and `/dev/ptmx`, which are another terminal for whoever opens them
/// (`Documentation/admin-guide/devices.txt`).
const ANOTHER_EACH_TIME: [dev_t; 2] = [makedev(5, 0), makedev(5, 2)];

/// Opens a terminal once more, so that it does not wait.
fn open_anew(terminal: &File) -> io::Result<File> {
    if ANOTHER_EACH_TIME.contains(&terminal.metadata()?.rdev()) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(O_NOCTTY | O_NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        fcntl::{FcntlArg, OFlag, fcntl},
        pty::openpty,
        sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr},
    };
    use std::os::{fd::OwnedFd, unix::net::UnixStream};

    /// A terminal, and the side of whoever looks at it.
    fn terminal() -> (OwnedFd, OwnedFd) {
        let pty = openpty(None, None).expect("a terminal");
        let mut modes = tcgetattr(&pty.slave).expect("it is one");
        cfmakeraw(&mut modes);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).expect("it can be set");
        (pty.slave, pty.master)
    }

    /// Writes until there is no room; how much that was.
    fn fill(outlet: &Outlet) -> usize {
        let mut written = 0;
        loop {
            match outlet.write(&[b'x'; AT_ONCE]) {
                Ok(more) => written += more,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "after {written}");
                    return written;
                }
            }
        }
    }

    #[test]
    fn who_writes_to_what_nobody_reads_does_not_wait_and_others_who_have_it_still_do() {
        let (terminal, _screen) = terminal();
        let (socket, _peer) = UnixStream::pair().expect("sockets");
        let (_reader, pipe) = io::pipe().expect("a pipe");
        for file in [terminal, socket.into(), pipe.into()].map(File::from) {
            let outlet = Outlet::shared(file.try_clone().expect("a descriptor"));
            assert!(fill(&outlet) > 0);
            let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL).expect("they can be read"));
            assert!(!flags.contains(OFlag::O_NONBLOCK), "{outlet:?}");
        }
    }

    #[test]
    fn a_terminal_that_is_opened_by_us_does_not_wait_either() {
        let (terminal, _screen) = terminal();
        let path = nix::unistd::ttyname(&terminal).expect("it has a name");
        let outlet = Outlet::create(&path, &[]).expect("it can be opened").expect("nobody stops it");
        assert!(fill(&outlet) > 0);
    }

    #[test]
    fn a_terminal_that_cant_be_opened_once_more_gets_one_byte_at_a_time() {
        // Whoever opens the other side gets another terminal.
        let (_terminal, screen) = terminal();
        let outlet = Outlet::shared(screen.into());
        assert_eq!(outlet.way, Way::AtMost(1));
        assert!(fill(&outlet) > 0);
    }
}
