//! The socket's file: made for this user alone, never over one that lives, and gone at the end.

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::{
        socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket},
        stat::{Mode, fchmod},
    },
};
use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

/// Only this user may connect.
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// The file of a listening socket. Dropping it removes the file, unless another one is there by now.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// What was at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A socket that nobody listens at.
    Stale,
}

impl SocketFile {
    /// Listens at `path`.
    ///
    /// # Errors
    /// EADDRINUSE when somebody listens there, EEXIST when something else than a socket is there, and what the file system
    /// says.
    pub fn listen(path: &Path) -> io::Result<(UnixListener, Self)> {
        // Until it listens it looks stale.
        let _turn = Turn::wait_for(path)?;
        look(path)?;
        // Made under another name while a stale one is still there: else it could get that one's inode, by which its owner
        // would take it for his.
        let hidden = beside(path, "")?;
        if look(&hidden)? == Found::Stale {
            fs::remove_file(&hidden)?;
        }
        let socket = bound(&hidden)?;
        let moved = listen(&socket, Backlog::MAXCONN)
            .map_err(io::Error::from)
            .and_then(|()| fs::rename(&hidden, path))
            .and_then(|()| fs::symlink_metadata(path));
        match moved {
            Ok(file) => Ok((socket.into(), Self { path: path.to_owned(), identity: identity(&file) })),
            Err(refused) => {
                // What is left is stale, and replaced by whoever comes next.
                let _ = fs::remove_file(&hidden);
                Err(refused)
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The turn of one of those who want to listen at the same path. Dropping it lets the next come.
struct Turn {
    /// Of the file that is locked. It is gone when nobody wants to listen.
    path: PathBuf,
    #[expect(dead_code, reason = "held for its drop, after the file is removed")]
    lock: Flock<File>,
}

impl Turn {
    fn wait_for(path: &Path) -> io::Result<Self> {
        let path = beside(path, ".lock")?;
        loop {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(MODE.bits())
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path)?;
            let lock = match Flock::lock(file, FlockArg::LockExclusive) {
                Err((_, Errno::EINTR)) => continue,
                other => other.map_err(|(_, errno)| errno)?,
            };
            // The one before us has removed the file that we waited for, and the next locks another.
            match fs::symlink_metadata(&path) {
                Ok(there) if identity(&there) == identity(&lock.metadata()?) => {
                    return Ok(Self { path, lock });
                }
                Ok(_) => {}
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // What is left is locked anew by whoever comes next.
        let _ = fs::remove_file(&self.path);
    }
}

/// A hidden file in the same directory.
fn beside(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EISDIR))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(ending);
    Ok(path.with_file_name(hidden))
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn unbound(flags: SockFlag) -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | flags, None)
}

/// A socket with a file at `path`, which has its mode from the beginning: what the socket has before
/// (`net/unix/af_unix.c: unix_bind_bsd`).
fn bound(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = unbound(SockFlag::empty())?;
    fchmod(&socket, MODE)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// Connects, if that can be done at once.
fn try_to_connect(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = unbound(SockFlag::SOCK_NONBLOCK)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// What is at `path`, if a socket may be put there.
fn look(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => Err(io::Error::from_raw_os_error(libc::EEXIST)),
        Ok(_) => match try_to_connect(path) {
            Err(Errno::ECONNREFUSED) => Ok(Found::Stale),
            // Who listens, has no time for us, or may not be asked is not replaced.
            _ => Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
        },
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.identity) {
            // There is nobody to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::umask;
    use std::{
        os::unix::{fs::PermissionsExt, net::UnixStream},
        sync::Barrier,
        thread,
    };
    use tempfile::TempDir;

    fn directory() -> TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
        result.expect_err("refused").raw_os_error()
    }

    #[test]
    fn the_file_is_for_this_user_alone_and_goes_with_the_server() {
        let dir = directory();
        let path = dir.path().join("mode");
        let (_listener, file) = SocketFile::listen(&path).expect("nothing is there");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).expect("it listens");
        drop(file);
        assert!(!path.exists());
        for ending in ["", ".lock"] {
            assert!(!beside(&path, ending).expect("a name").exists());
        }
    }

    #[test]
    fn nobody_else_can_connect_even_before_it_listens_and_without_a_umask() {
        let dir = directory();
        let path = dir.path().join("umask");
        let before = umask(Mode::empty());
        let socket = bound(&path);
        umask(before);
        socket.expect("nothing is there");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        fs::remove_file(&path).expect("ours");
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn of_many_who_want_a_stale_path_at_once_one_gets_it() {
        const MANY: usize = 8;
        let dir = directory();
        let path = dir.path().join("wanted");
        for _ in 0..50 {
            drop(bound(&path).expect("nothing is there"));
            let together = Barrier::new(MANY);
            let start = || {
                together.wait();
                SocketFile::listen(&path)
            };
            let all: Vec<_> = thread::scope(|scope| {
                let starters: Vec<_> = (0..MANY).map(|_| scope.spawn(start)).collect();
                starters.into_iter().map(|starter| starter.join().expect("it does not panic")).collect()
            });
            UnixStream::connect(&path).expect("who got it listens");
            assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 1);
            for refused in all.iter().filter_map(|one| one.as_ref().err()) {
                assert_eq!(refused.raw_os_error(), Some(libc::EADDRINUSE));
            }
        }
        assert!(!path.exists() && !beside(&path, ".lock").expect("a name").exists());
    }

    #[test]
    fn who_listens_and_accepts_nobody_is_neither_replaced_nor_waited_for() {
        let dir = directory();
        let path = dir.path().join("full");
        let socket = bound(&path).expect("nothing is there");
        listen(&socket, Backlog::new(0).expect("a number")).expect("a socket listens");
        let mut waiting = Vec::new();
        loop {
            match try_to_connect(&path) {
                Ok(client) => waiting.push(client),
                Err(full) => break assert_eq!(full, Errno::EAGAIN),
            }
        }
        assert_eq!(errno(SocketFile::listen(&path)), Some(libc::EADDRINUSE));
        fs::remove_file(&path).expect("ours");
    }

    #[test]
    fn a_live_socket_is_left_alone_and_a_stale_one_replaced() {
        let dir = directory();
        let path = dir.path().join("live");
        let (listener, file) = SocketFile::listen(&path).expect("nothing is there");
        assert_eq!(errno(SocketFile::listen(&path)), Some(libc::EADDRINUSE));
        UnixStream::connect(&path).expect("the first still listens");
        drop(listener);
        // As after SIGKILL: the file is there and nobody listens.
        let (_second, _file) = SocketFile::listen(&path).expect("it is stale");
        drop(file);
        UnixStream::connect(&path).expect("the end of the first leaves the second alone");
    }

    #[test]
    fn what_is_no_socket_is_not_replaced() {
        let dir = directory();
        let path = dir.path().join("file");
        fs::write(&path, "mine").expect("writable");
        assert_eq!(errno(SocketFile::listen(&path)), Some(libc::EEXIST));
        assert_eq!(fs::read(&path).expect("it is there"), b"mine");
    }
}
