//! The only way in which this crate touches a host: three things one can do below `/sys`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    str::FromStr,
};

/// All that is ever done to sysfs. Object safe; `&self` throughout, so one host serves several threads where the
/// implementation is `Sync`.
///
/// Paths are relative to `/sys`, with `/` between names and none at either end (`bus/ap/apmask`). An implementation
/// follows symbolic links as the kernel does: `bus/mdev/devices/UUID/matrix` is an attribute. Errors carry the
/// kernel's errno ([`io::Error::raw_os_error`]): ENOENT where nothing is there, EACCES for reading a write-only
/// attribute, and whatever the attribute's store answers.
///
/// There is no `read_link`, because who drives a queue can be listed from the other end: `bus/ap/drivers/vfio_ap`
/// has an entry for each queue bound to it.
pub trait Sysfs {
    /// The whole content of an attribute, as the kernel prints it: newline included.
    fn read(&self, path: &str) -> io::Result<String>;

    /// Stores `value` into an attribute, in one write, as it is: no newline is added.
    ///
    /// Text and not bytes, because no attribute here accepts a byte that is not ASCII.
    fn write(&self, path: &str, value: &str) -> io::Result<()>;

    /// The names in a directory, sorted.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
}

/// Why a host could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel refused, or nothing is there.
    #[error("/sys/{path} can't be read")]
    Io {
        /// Path below `/sys`.
        path: String,
        /// As the kernel put it.
        #[source]
        source: io::Error,
    },
    /// What was read is not in the form that the kernel prints there.
    #[error("/sys/{path} says {text:?}, which is not what the kernel prints there")]
    Unexpected {
        /// Path below `/sys`.
        path: String,
        /// What was read.
        text: String,
    },
}

impl ReadError {
    pub(crate) fn io(path: &str) -> impl FnOnce(io::Error) -> Self + use<'_> {
        move |source| ReadError::Io { path: path.to_owned(), source }
    }

    /// Whether nothing is at that path: the device is gone, the driver not loaded, or the kernel too old.
    pub fn is_absent(&self) -> bool {
        matches!(self, ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads an attribute and makes a `T` of its bytes.
pub(crate) fn read<T, E>(
    sysfs: &dyn Sysfs,
    path: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, ReadError> {
    let text = sysfs.read(path).map_err(ReadError::io(path))?;
    parse(text.as_bytes()).map_err(|_| ReadError::Unexpected { path: path.to_owned(), text })
}

/// Reads an attribute that prints one word and a newline.
pub(crate) fn read_word<T: FromStr>(sysfs: &dyn Sysfs, path: &str) -> Result<T, ReadError> {
    read(sysfs, path, |text| {
        let text = std::str::from_utf8(text).map_err(|_| ())?;
        text.strip_suffix('\n').unwrap_or(text).parse().map_err(|_| ())
    })
}

/// `None` where nothing is at that path.
pub(crate) fn if_present<T>(read: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match read {
        Err(error) if error.is_absent() => Ok(None),
        read => read.map(Some),
    }
}

/// The names in a directory; none where there is no such directory.
pub(crate) fn list_if_present(sysfs: &dyn Sysfs, dir: &str) -> Result<Vec<String>, ReadError> {
    Ok(if_present(sysfs.list(dir).map_err(ReadError::io(dir)))?.unwrap_or_default())
}

/// The sysfs of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSysfs {
    root: PathBuf,
}

impl HostSysfs {
    /// The sysfs mounted at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `path` below the root. Refused with EINVAL's kind when it would lead out of it by its own text.
    fn below(&self, path: &str) -> io::Result<PathBuf> {
        if Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            Ok(self.root.join(path))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path:?} is not a path below /sys")))
        }
    }
}

/// All of an attribute, in one read where it is shorter than a page.
///
/// The kernel prints less than a page and gives of it what there is room for (`fs/sysfs/file.c: sysfs_kf_seq_show`),
/// so a read that leaves room has seen the end. [`fs::read`] would ask for a length, which sysfs does not know, and
/// read once more.
fn read_attribute(mut attribute: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut page = [0; 4096];
    loop {
        match attribute.read(&mut page) {
            Ok(length) => {
                text.extend_from_slice(&page[..length]);
                if length < page.len() {
                    return Ok(text);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `/sys`.
impl Default for HostSysfs {
    fn default() -> Self {
        Self::new("/sys")
    }
}

impl Sysfs for HostSysfs {
    fn read(&self, path: &str) -> io::Result<String> {
        // Some attributes print bytes that firmware made up (serial numbers): never refuse those.
        Ok(String::from_utf8_lossy(&read_attribute(File::open(self.below(path)?)?)?).into_owned())
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        // DEVNOTE: neither fs::write nor write_all. The first would try to create what is missing and answer EACCES
        // instead of ENOENT; the second would call the kernel's store again with the rest after a short write.
        let mut attr = OpenOptions::new().write(true).open(self.below(path)?)?;
        loop {
            match attr.write(value.as_bytes()) {
                Ok(taken) if taken == value.len() => return Ok(()),
                Ok(taken) => {
                    let cut = format!("only {taken} of {} bytes were taken", value.len());
                    return Err(io::Error::new(io::ErrorKind::WriteZero, cut));
                }
                // A signal came before the kernel changed anything.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(self.below(dir)?)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that stands in for `/sys`, with one attribute.
    fn sys() -> (tempfile::TempDir, HostSysfs) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["card06", "05.0004", "card05"] {
            fs::create_dir_all(dir.path().join("bus/ap/devices").join(name)).expect("writable");
        }
        fs::write(dir.path().join("bus/ap/apmask"), "0xff\n").expect("writable");
        let sysfs = HostSysfs::new(dir.path());
        (dir, sysfs)
    }

    #[test]
    fn an_attribute_is_read_with_its_newline() {
        let (_dir, sysfs) = sys();
        assert_eq!(sysfs.read("bus/ap/apmask").expect("readable"), "0xff\n");
    }

    /// Gives its texts one read after the other, EINTR for `None`; a read beyond them is refused.
    struct Reads(std::vec::IntoIter<Option<Vec<u8>>>);

    impl Read for Reads {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let text = self.0.next().ok_or_else(|| io::Error::from_raw_os_error(libc::EIO))?;
            let text = text.ok_or_else(|| io::Error::from_raw_os_error(libc::EINTR))?;
            (&text[..]).read(buffer)
        }
    }

    #[test]
    fn a_short_read_is_the_last() {
        for (reads, length) in [
            (vec![Some(vec![])], 0),
            (vec![Some(vec![b'0'; 201])], 201),
            (vec![None, Some(vec![b'0'; 4095])], 4095),
            (vec![Some(vec![b'0'; 4096]), None, Some(vec![])], 4096),
            (vec![Some(vec![b'0'; 4096]), Some(vec![b'0'; 4096]), Some(vec![b'0'; 8])], 8200),
        ] {
            let mut reads = Reads(reads.into_iter());
            let text = read_attribute(&mut reads).expect("no read beyond the last");
            assert_eq!(text, vec![b'0'; length]);
            assert_eq!(reads.0.len(), 0, "all was read");
        }
        let refused =
            read_attribute(Reads(vec![Some(vec![b'0'; 4096])].into_iter())).expect_err("refused later");
        assert_eq!(refused.raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn what_has_more_than_a_page_is_read_whole_and_a_directory_not_at_all() {
        let (dir, sysfs) = sys();
        let text = "05.0004\n".repeat(1500);
        fs::write(dir.path().join("bus/ap/matrix"), &text).expect("writable");
        assert_eq!(sysfs.read("bus/ap/matrix").expect("readable"), text);
        let error = sysfs.read("bus/ap/devices").expect_err("a directory");
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
    }

    #[test]
    fn a_store_writes_the_value_as_it_is_and_creates_nothing() {
        let (dir, sysfs) = sys();
        sysfs.write("bus/ap/apmask", "0xab").expect("writable");
        // A plain file keeps what was there beyond; only an attribute would not.
        assert_eq!(fs::read(dir.path().join("bus/ap/apmask")).expect("readable"), b"0xab\n");
        let error = sysfs.write("bus/ap/aqmask", "0xab").expect_err("no such attribute");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert!(!dir.path().join("bus/ap/aqmask").exists());
    }

    #[test]
    fn names_are_listed_in_order() {
        let (_dir, sysfs) = sys();
        assert_eq!(sysfs.list("bus/ap/devices").expect("readable"), ["05.0004", "card05", "card06"]);
        assert_eq!(sysfs.list("bus/cp").expect_err("nothing there").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_path_never_leads_out_of_sys() {
        let (_dir, sysfs) = sys();
        for path in ["/etc/hostname", "../hostname", "bus/../../hostname", "./bus"] {
            assert_eq!(sysfs.read(path).expect_err("refused").kind(), io::ErrorKind::InvalidInput, "{path}");
            assert_eq!(
                sysfs.write(path, "").expect_err("refused").kind(),
                io::ErrorKind::InvalidInput,
                "{path}"
            );
            assert_eq!(sysfs.list(path).expect_err("refused").kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn hosts_can_be_shared_between_threads() {
        fn shared<T: Sysfs + Send + Sync>(_: &T) {}
        let (_dir, sysfs) = sys();
        shared(&sysfs);
        let boxed: Box<dyn Sysfs + Send + Sync> = Box::new(sysfs);
        assert_eq!(boxed.read("bus/ap/apmask").expect("readable"), "0xff\n");
    }
}
