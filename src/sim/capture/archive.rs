//! An archive of `/sys`, as people make them: with or without gzip, with or without `sys/` before the names, with files
//! that end in zeros because sysfs told tar a page and gave less.

use adjunct_simulator::capture::Snapshot;
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::{Component, Path, PathBuf},
};
use tar::EntryType;

/// No attribute has more: some print more than a page, none as much as this.
const LONGEST: u64 = 1 << 20;

/// What was in an archive.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// Below `sys`.
    pub(super) sys: Snapshot,
    /// `proc/cpuinfo`.
    pub(super) cpuinfo: Option<String>,
    /// `proc/sys/kernel/osrelease`.
    pub(super) release: Option<String>,
}

/// Why an archive can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file system, gzip or tar says so.
    #[error(transparent)]
    Io(io::Error),
    /// What is there does not begin as a tar archive does, or goes wrong later. What the reader says of it has parts of the
    /// file in it.
    #[error("it is no tar archive, or a damaged one")]
    NoArchive,
    /// There is nothing of `/sys` in it.
    #[error("it has no sys/bus/ap and no sys/devices/ap; adjunct sim capture --help tells how to make it")]
    NoSys,
}

/// What a name in the archive is for.
enum Place {
    Sys(String),
    Proc(String),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        // The kind that tar has for what it can't read.
        if error.kind() == io::ErrorKind::Other { Self::NoArchive } else { Self::Io(error) }
    }
}

impl Archive {
    /// Reads the archive at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, ArchiveError> {
        let (reader, zipped) = peek(File::open(path)?)?;
        let archive = if zipped { Self::of(MultiGzDecoder::new(reader)) } else { Self::of(reader) }?;
        if archive.sys.attributes().next().is_none() {
            return Err(ArchiveError::NoSys);
        }
        Ok(archive)
    }

    fn of(reader: impl Read) -> io::Result<Self> {
        let mut archive = Self::default();
        for entry in tar::Archive::new(reader).entries()? {
            let entry = entry?;
            let (kind, name) = (entry.header().entry_type(), entry.path()?.into_owned());
            let Some(place) = place(&name) else { continue };
            match (kind, place) {
                (EntryType::Symlink | EntryType::Link, Place::Sys(path)) => {
                    let to = entry.link_name()?.map(std::borrow::Cow::into_owned);
                    if let Some(to) = to.and_then(|to| target(&path, &to)) {
                        archive.sys.link(path, to);
                    }
                }
                (EntryType::Regular | EntryType::GNUSparse, place) => archive.add(place, text(entry)?),
                _ => {}
            }
        }
        Ok(archive)
    }

    fn add(&mut self, place: Place, text: String) {
        match place {
            Place::Sys(path) => self.sys.file(path, text),
            Place::Proc(path) if path == "cpuinfo" => self.cpuinfo = Some(text),
            Place::Proc(path) if path == "sys/kernel/osrelease" => self.release = Some(text),
            Place::Proc(_) => {}
        }
    }
}

/// Whether this is gzip: its first two bytes (RFC 1952, 2.3.1).
fn peek(file: File) -> io::Result<(impl Read, bool)> {
    let mut file = BufReader::new(file);
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    let zipped = magic == [0x1f, 0x8b];
    Ok((Cursor::new(magic).chain(file), zipped))
}

fn text(entry: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    entry.take(LONGEST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end_matches('\0').to_owned())
}

/// Where a name belongs: below the first `proc` or `sys`, or itself if somebody archived `/sys` from within.
fn place(name: &Path) -> Option<Place> {
    let names: Vec<&str> = name
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    let below = |at: usize| names[at..].join("/");
    match names.iter().position(|name| matches!(*name, "proc" | "sys")) {
        Some(at) if names[at] == "proc" => Some(Place::Proc(below(at + 1))),
        Some(at) if at + 1 < names.len() => Some(Place::Sys(below(at + 1))),
        None if matches!(names[..], ["bus" | "devices" | "class" | "kernel", _, ..]) => {
            Some(Place::Sys(below(0)))
        }
        _ => None,
    }
}

/// Where a link at `path` below `/sys` leads, if that is below `/sys`.
fn target(path: &str, to: &Path) -> Option<String> {
    let mut at: PathBuf = match to.strip_prefix("/sys") {
        Ok(below) => return Some(below.to_str()?.to_owned()),
        Err(_) if to.is_absolute() => return None,
        Err(_) => Path::new(path).parent()?.to_owned(),
    };
    for part in to.components() {
        match part {
            Component::ParentDir if !at.pop() => return None,
            Component::Normal(name) => at.push(name),
            _ => {}
        }
    }
    at.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_ap::Sysfs;

    /// An archive of files and links.
    fn archive(files: &[(&str, &str)], links: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o444);
            builder.append_data(&mut header, name, text.as_bytes()).expect("in memory");
        }
        for (name, to) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, name, to).expect("in memory");
        }
        builder.into_inner().expect("in memory")
    }

    #[test]
    fn names_are_found_however_people_archive_them() {
        let padded = format!("63\n{}", "\0".repeat(4093));
        for before in ["sys/", "./sys/", "tmp/copy/sys/", ""] {
            let name = |path: &str| format!("{before}{path}");
            let bytes = archive(
                &[
                    (&name("bus/ap/ap_max_adapter_id"), padded.as_str()),
                    (&name("devices/ap/card05/depth"), "8\n"),
                ],
                &[(&name("bus/ap/devices/card05"), "../../../devices/ap/card05")],
            );
            let archive = Archive::of(&bytes[..]).expect("well formed");
            assert_eq!(archive.sys.read("bus/ap/ap_max_adapter_id").expect("there"), "63\n", "{before}");
            assert_eq!(archive.sys.read("bus/ap/devices/card05/depth").expect("there"), "8\n", "{before}");
        }
    }

    #[test]
    fn the_machine_and_the_kernel_may_be_in_it() {
        let files = [("proc/cpuinfo", "machine = 3931\n"), ("proc/sys/kernel/osrelease", "6.12.1\n")];
        let archive = Archive::of(&archive(&files, &[])[..]).expect("well formed");
        assert_eq!(archive.cpuinfo.as_deref(), Some("machine = 3931\n"));
        assert_eq!(archive.release.as_deref(), Some("6.12.1\n"));
        assert!(archive.sys.attributes().next().is_none());
    }

    #[test]
    fn a_link_that_leads_out_of_sys_leads_nowhere() {
        assert_eq!(target("bus/ap/x", Path::new("../../../etc/passwd")), None);
        assert_eq!(target("bus/ap/x", Path::new("/etc/passwd")), None);
        assert_eq!(target("bus/ap/x", Path::new("/sys/devices/ap")).as_deref(), Some("devices/ap"));
        assert_eq!(target("bus/ap/x", Path::new("../../devices/ap")).as_deref(), Some("devices/ap"));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("a");
        std::fs::write(&file, [0; 1024]).expect("writable");
        assert!(matches!(Archive::read(&file), Err(ArchiveError::NoSys)));
        std::fs::write(&file, "no archive at all\n".repeat(99)).expect("writable");
        assert!(matches!(Archive::read(&file), Err(ArchiveError::NoArchive)));
        std::fs::write(&file, [0x1f, 0x8b, 1]).expect("writable");
        assert!(matches!(Archive::read(&file), Err(ArchiveError::Io(_))));
    }
}
