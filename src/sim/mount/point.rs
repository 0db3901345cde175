//! The directory to mount on: whether it can be, and what is mounted there already.

use super::MountError;
use crate::logging::say;
use adjunct_cpu_model::Model;
use adjunct_simulator::{KernelProfile, SimHost};
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

/// What our mounts are called in `/proc/mounts`: at the beginning of the source, and after `fuse.`
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

/// The host whose files are mounted at `path` or above it.
pub(crate) fn shown_at(path: &Path) -> Option<Shown> {
    let path = path.canonicalize().ok()?;
    let mount = path.ancestors().find_map(mounted_on).filter(Mount::is_ours)?;
    Some(Shown::of_source(&mount.source))
}

/// What a mount's source says of the host: `adjunct:gen16a:7.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) machine: Option<&'static Model>,
    pub(crate) kernel: Option<KernelProfile>,
}

impl Shown {
    /// The source of a mount of `host`.
    pub(super) fn source(host: &SimHost) -> String {
        format!("{NAME}:{}:{}", host.machine_model().name, host.profile())
    }

    fn of_source(source: &str) -> Self {
        let mut words = source.split(':').skip(1);
        Self {
            machine: words.next().and_then(Model::by_name),
            kernel: words.next().and_then(|word| word.parse().ok()),
        }
    }
}

/// What is mounted on `path`, if anything is.
fn mounted_on(path: &Path) -> Option<Mount> {
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let lines = mounts.split(|byte| *byte == b'\n');
    // The last one hides those before it.
    lines.filter_map(Mount::parse).rfind(|mount| mount.on == path)
}

/// A line of mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    on: PathBuf,
    /// The type of the file system.
    kind: String,
    source: String,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let on = unescaped(fields.nth(4)?);
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let mut text = || Some(String::from_utf8_lossy(fields.next()?).into_owned());
        Some(Self { on, kind: text()?, source: text()? })
    }

    fn is_ours(&self) -> bool {
        self.kind == format!("fuse.{NAME}")
    }
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
    use adjunct_simulator::HostFile;

    #[test]
    fn a_line_of_mountinfo_says_what_is_mounted_where() {
        let line =
            b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - fuse.adjunct adjunct:z14.2:6.12 rw,errors=continue";
        let mount = |line| Mount::parse(line).map(|Mount { on, kind, source }| (on, kind, source));
        let is = |on: &str, kind: &str, source: &str| Some((on.into(), kind.to_owned(), source.to_owned()));
        assert_eq!(mount(line), is("/mnt 2", "fuse.adjunct", "adjunct:z14.2:6.12"));
        let other = b"36 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw";
        assert_eq!(mount(other), is("/mnt2", "ext3", "/dev/root"));
        assert_eq!(mount(b""), None);
        assert_eq!(unescaped(b"a\\134b\\"), PathBuf::from("a\\b\\"));
    }

    #[test]
    fn a_mount_says_what_host_it_shows() {
        for file in ["", "machine = 'z14.2'\nkernel = '6.12'\n"] {
            let host = SimHost::new(HostFile::parse(file).expect("a host file")).expect("it starts");
            let shown = Shown { machine: Some(host.machine_model()), kernel: Some(host.profile()) };
            assert_eq!(Shown::of_source(&Shown::source(&host)), shown);
        }
        assert_eq!(Shown::of_source("adjunct"), Shown { machine: None, kernel: None });
        assert_eq!(shown_at(Path::new("/proc/self")), None);
    }

    #[test]
    fn the_root_is_mounted_and_a_new_directory_is_not() {
        assert!(mounted_on(Path::new("/proc")).is_some_and(|mount| mount.kind == "proc"));
        assert_eq!(mounted_on(Path::new("/no/such/directory")), None);
    }
}
