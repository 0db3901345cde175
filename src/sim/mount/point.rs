//! The directory to mount on: whether it can be, and what is mounted there already.

use super::MountError;
use crate::{logging::say, mounts::mounted_on};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A directory that something can be mounted on.
#[derive(Debug)]
pub(super) struct MountPoint(PathBuf);

impl MountPoint {
    /// The directory `given`, if it is there, empty, and not in use. What an adjunct that was killed has left mounted
    /// there is cleared away first, and said so on stderr.
    pub(super) fn new(given: &Path) -> Result<Self, MountError> {
        let unusable = |source| MountError::Unusable { directory: given.to_owned(), source };
        let metadata = match fs::metadata(given) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
                clear_away(given)?;
                fs::metadata(given)
            }
            metadata => metadata,
        };
        let directory = match metadata {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(MountError::Missing(given.to_owned()));
            }
            Err(error) => return Err(unusable(error)),
            Ok(metadata) if !metadata.is_dir() => return Err(MountError::NotADirectory(given.to_owned())),
            Ok(_) => given.canonicalize().map_err(unusable)?,
        };
        if mounted_on(&directory).is_some_and(|mount| mount.is_ours()) {
            return Err(MountError::InUse(given.to_owned()));
        }
        if fs::read_dir(&directory).map_err(unusable)?.next().is_some() {
            return Err(MountError::NotEmpty(given.to_owned()));
        }
        Ok(Self(directory))
    }

    /// Without symbolic links.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether what is mounted there hides a file at `path`.
    pub(super) fn hides(&self, path: &Path) -> bool {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.canonicalize().is_ok_and(|folder| folder.starts_with(&self.0))
    }

    /// Takes away what is mounted there, at once: whoever still uses it keeps it, and nobody else finds it.
    pub(super) fn unmount(&self) {
        // It may have been unmounted by somebody else.
        let _ = detach(&self.0);
    }
}

/// Unmounts now, and for those who use it when they are done.
fn detach(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Err(Errno::EPERM) => {
            let mut helper = Command::new("fusermount3");
            helper.args(["-u", "-z", "-q", "--"]).arg(path).stdin(Stdio::null()).stderr(Stdio::null());
            if helper.status()?.success() { Ok(()) } else { Err(Errno::EPERM.into()) }
        }
        answer => Ok(answer?),
    }
}

/// A mount whose process has been killed: "Transport endpoint is not connected".
fn clear_away(given: &Path) -> Result<(), MountError> {
    let absolute = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
    let ours = mounted_on(&absolute).is_some_and(|mount| mount.is_ours());
    if !ours || detach(given).is_err() {
        return Err(MountError::Dead(given.to_owned()));
    }
    say(format_args!(
        "{}: an adjunct that was killed had left its files mounted; they are unmounted now",
        given.display()
    ));
    Ok(())
}
