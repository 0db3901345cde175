//! What is mounted where, and which of it a simulated host shows.

use adjunct_cpu_model::Model;
use adjunct_simulator::{KernelProfile, SimHost};
use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// What our mounts are called in `/proc/mounts`: at the beginning of the source, and after `fuse.`
pub(crate) const NAME: &str = "adjunct";

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
    pub(crate) fn source(host: &SimHost) -> String {
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
pub(crate) fn mounted_on(path: &Path) -> Option<Mount> {
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let lines = mounts.split(|byte| *byte == b'\n');
    // The last one hides those before it.
    lines.filter_map(Mount::parse).rfind(|mount| mount.on == path)
}

/// A line of mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
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

    pub(crate) fn is_ours(&self) -> bool {
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
