//! The socket's file: made for this user alone, never over one that lives, and gone at the end.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// Only this user may connect.
const MODE: u32 = 0o600;

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
        // Made under another name: nobody can connect before it has its mode, and of several who want the same path at
        // once only one gets past here.
        let hidden = hidden(path)?;
        if look(&hidden)? == Found::Stale {
            fs::remove_file(&hidden)?;
        }
        let listener = UnixListener::bind(&hidden)?;
        let moved = look(path).and_then(|_| {
            fs::set_permissions(&hidden, fs::Permissions::from_mode(MODE))?;
            fs::rename(&hidden, path)?;
            identity(path)
        });
        match moved {
            Ok(identity) => Ok((listener, Self { path: path.to_owned(), identity })),
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

fn hidden(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EISDIR))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    Ok(path.with_file_name(hidden))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// What is at `path`, if a socket may be put there.
fn look(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => Err(io::Error::from_raw_os_error(libc::EEXIST)),
        Ok(_) => match UnixStream::connect(path) {
            Err(nobody) if nobody.kind() == io::ErrorKind::ConnectionRefused => Ok(Found::Stale),
            // Who listens, or may not be asked, is not replaced.
            _ => Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
        },
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // There is nobody to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> PathBuf {
        let dir = std::env::temp_dir().join(format!(
            "adjunct-socket-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
        result.expect_err("refused").raw_os_error()
    }

    #[test]
    fn the_file_is_for_this_user_alone_and_goes_with_the_server() {
        let path = directory().join("mode");
        let (_listener, file) = SocketFile::listen(&path).expect("nothing is there");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).expect("it listens");
        drop(file);
        assert!(!path.exists());
        assert!(!hidden(&path).expect("a name").exists());
    }

    #[test]
    fn a_live_socket_is_left_alone_and_a_stale_one_replaced() {
        let path = directory().join("live");
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
        let path = directory().join("file");
        fs::write(&path, "mine").expect("writable");
        assert_eq!(errno(SocketFile::listen(&path)), Some(libc::EEXIST));
        assert_eq!(fs::read(&path).expect("it is there"), b"mine");
    }
}
