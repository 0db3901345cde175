//! The directory to mount on: whether it can be, and what is mounted there already.

use super::MountError;
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What our mounts are called in `/proc/mounts`, as source and after `fuse.`
pub(super) const NAME: &str = "adjunct";

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
        if mounted_on(&directory).is_some_and(|kind| kind == format!("fuse.{NAME}")) {
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
    let ours = mounted_on(&absolute).is_some_and(|kind| kind == format!("fuse.{NAME}"));
    if !ours || detach(given).is_err() {
        return Err(MountError::Dead(given.to_owned()));
    }
    eprintln!(
        "adjunct: {}: an adjunct that was killed had left its files mounted; they are unmounted now",
        given.display()
    );
    Ok(())
}

/// The type of the file system that is mounted on `path`, if any is.
fn mounted_on(path: &Path) -> Option<String> {
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let lines = mounts.split(|byte| *byte == b'\n');
    // The last one hides those before it.
    lines.filter_map(parse).rfind(|(on, _)| on == path).map(|(_, kind)| kind)
}

/// Mount point and file system type of a line of mountinfo(5).
fn parse(line: &[u8]) -> Option<(PathBuf, String)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let on = unescaped(fields.nth(4)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some((on, String::from_utf8_lossy(kind).into_owned()))
}

/// Blanks, tabs, newlines and backslashes are written as `\ooo`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let octal = others.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_says_what_is_mounted_where() {
        let line =
            b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - fuse.adjunct adjunct rw,errors=continue";
        assert_eq!(parse(line), Some(("/mnt 2".into(), "fuse.adjunct".into())));
        assert_eq!(
            parse(b"36 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw"),
            Some(("/mnt2".into(), "ext3".into()))
        );
        assert_eq!(parse(b""), None);
        assert_eq!(unescaped(b"a\\134b\\"), PathBuf::from("a\\b\\"));
    }

    #[test]
    fn the_root_is_mounted_and_a_new_directory_is_not() {
        assert!(mounted_on(Path::new("/proc")).is_some_and(|kind| kind == "proc"));
        assert_eq!(mounted_on(Path::new("/no/such/directory")), None);
    }
}
