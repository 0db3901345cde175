//! `--device vfio-ap,…`.

use super::descriptor;
use crate::option::{OptionError, OptionString};
use adjunct_hypervisor::VfioBackend;
use std::{
    fmt,
    os::fd::{OwnedFd, RawFd},
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

/// `--device vfio-ap,…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioApOption {
    /// Which device, and how it is opened.
    pub choice: DeviceChoice,
    /// What events call the device.
    pub id: Option<DeviceId>,
}

/// A name that a user gives a device. It stands in logs, events and paths, so it is what QEMU takes for one
/// (`util/id.c: id_wellformed`): a letter, and then letters, digits, `-`, `.` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceId(String);

/// Not a name for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a letter, and then letters, digits, -, . and _; or leave it out")]
pub struct DeviceIdError;

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        let is_well_formed = text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if is_well_formed { Ok(Self(text.to_owned())) } else { Err(DeviceIdError) }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which vfio-ap device. Displayed as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A mediated matrix device that adjunct opens.
    Mdev {
        /// The device in sysfs, as typed.
        sysfsdev: PathBuf,
        /// By which of VFIO's ways; none: what the host has.
        backend: Option<VfioBackend>,
    },
    /// Files that somebody else opened and that this process inherits.
    Descriptors {
        /// The number of the device's character device.
        fd: RawFd,
        /// The number of `/dev/iommu`.
        iommufd: RawFd,
    },
    /// Files that a client of ours has opened and sent.
    Sent {
        /// The device's character device.
        fd: SentFile,
        /// `/dev/iommu`.
        iommufd: SentFile,
    },
}

/// A file that somebody has sent, by the name that he gave it. Clones are the same: who takes it first has it.
#[derive(Clone, Debug)]
pub struct SentFile(Arc<Sent>);

#[derive(Debug)]
struct Sent {
    name: String,
    file: Mutex<Option<OwnedFd>>,
}

impl SentFile {
    /// `file`, sent as `name`.
    pub fn new(name: String, file: OwnedFd) -> Self {
        Self(Arc::new(Sent { name, file: Mutex::new(Some(file)) }))
    }

    /// The file; none if somebody has it already.
    pub fn take(&self) -> Option<OwnedFd> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Looks at the file, unless somebody has it already.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }
}

impl PartialEq for SentFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SentFile {}

impl fmt::Display for SentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mdev { sysfsdev, .. } => write!(f, "sysfsdev={}", sysfsdev.display()),
            Self::Descriptors { fd, iommufd } => write!(f, "fd={fd},iommufd={iommufd}"),
            Self::Sent { fd, iommufd } => write!(f, "fd={fd},iommufd={iommufd}"),
        }
    }
}

/// Why a `--device` can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Another kind of device.
    #[error("there is no device {0:?}; adjunct has one: vfio-ap")]
    NoSuchDevice(String),
    /// No kind of device.
    #[error("which device? write vfio-ap,sysfsdev=PATH")]
    NoDevice,
    /// Both, or halves, of the two ways to name a device.
    #[error("{given}= is for {way}; give sysfsdev=PATH[,backend=group|iommufd], or fd=N,iommufd=N")]
    Mixed {
        /// The key that is too many.
        given: &'static str,
        /// What it is for.
        way: &'static str,
    },
    /// Its keys and values.
    #[error(transparent)]
    Option(#[from] OptionError),
}

/// What can be typed.
const KEYS: &[&str] = &["sysfsdev", "backend", "fd", "iommufd", "id"];

impl FromStr for VfioApOption {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let mut option = OptionString::parse(text)?;
        match option.head.as_deref() {
            Some("vfio-ap") => {}
            Some(other) => return Err(DeviceError::NoSuchDevice(other.to_owned())),
            None => return Err(DeviceError::NoDevice),
        }
        let id = option.take("id");
        let choice = choice(&mut option);
        // A word that nobody knows is the better thing to complain of.
        option.finish(KEYS)?;
        let id = id.map(read_id).transpose()?;
        Ok(Self { choice: choice?, id })
    }
}

fn read_id(value: String) -> Result<DeviceId, OptionError> {
    value.parse().map_err(|error: DeviceIdError| {
        // As a literal: it may be anything, and goes to a terminal.
        let value = format!("{value:?}");
        OptionError::BadValue { key: "id", value, reason: error.to_string() }
    })
}

fn choice(option: &mut OptionString) -> Result<DeviceChoice, DeviceError> {
    let [sysfsdev, backend, fd, iommufd] =
        ["sysfsdev", "backend", "fd", "iommufd"].map(|key| option.take(key));
    match (sysfsdev, fd, iommufd) {
        (None, Some(fd), Some(iommufd)) => match backend {
            Some(_) => Err(DeviceError::Mixed { given: "backend", way: "a device in sysfs" }),
            None => {
                Ok(DeviceChoice::Descriptors { fd: number("fd", fd)?, iommufd: number("iommufd", iommufd)? })
            }
        },
        (None, Some(_), None) => Err(OptionError::Missing("iommufd").into()),
        (None, None, Some(_)) => Err(OptionError::Missing("fd").into()),
        (Some(_), Some(_), _) => Err(DeviceError::Mixed { given: "fd", way: "a device that is open" }),
        (Some(_), _, Some(_)) => Err(DeviceError::Mixed { given: "iommufd", way: "a device that is open" }),
        (sysfsdev, None, None) => {
            let sysfsdev =
                sysfsdev.filter(|path| !path.is_empty()).ok_or(OptionError::Missing("sysfsdev"))?;
            let backend = backend.map(read_backend).transpose()?;
            Ok(DeviceChoice::Mdev { sysfsdev: sysfsdev.into(), backend })
        }
    }
}

fn number(key: &'static str, value: String) -> Result<RawFd, OptionError> {
    descriptor(&value).map_err(|reason| OptionError::BadValue { key, value, reason })
}

fn read_backend(value: String) -> Result<VfioBackend, OptionError> {
    match value.as_str() {
        "group" => Ok(VfioBackend::Group),
        "iommufd" => Ok(VfioBackend::Iommufd),
        _ => {
            let reason = "write group or iommufd, or leave it out".into();
            Err(OptionError::BadValue { key: "backend", value, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mdev(path: &str, backend: Option<VfioBackend>) -> DeviceChoice {
        DeviceChoice::Mdev { sysfsdev: path.into(), backend }
    }

    fn id(text: &str) -> DeviceId {
        text.parse().expect(text)
    }

    fn refusal(text: &str) -> String {
        text.parse::<VfioApOption>().expect_err(text).to_string()
    }

    #[test]
    fn a_device_is_read_with_its_path_and_id() {
        let option: VfioApOption = "vfio-ap,id=ap0,sysfsdev=/sys/x".parse().expect("well formed");
        assert_eq!(option, VfioApOption { choice: mdev("/sys/x", None), id: Some(id("ap0")) });
    }

    #[test]
    fn an_id_is_what_qemu_takes_for_one_and_nothing_that_a_terminal_obeys() {
        for good in ["a", "ap0", "Crypto-1.b_c"] {
            assert_eq!(id(good).to_string(), good);
        }
        for bad in ["", "0", "_a", "-a", "a b", "a/b", "a=b", "ä", "a\nb", "a\u{1b}[2J"] {
            assert_eq!(bad.parse::<DeviceId>(), Err(DeviceIdError), "{bad:?}");
            let refused = refusal(&format!("vfio-ap,sysfsdev=/x,id={bad}"));
            assert!(refused.contains("id=") && refused.contains("write a letter"), "{refused}");
            assert!(!refused.chars().any(char::is_control), "{refused:?}");
        }
    }

    #[test]
    fn the_way_to_open_a_device_can_be_chosen() {
        for (word, backend) in [("group", VfioBackend::Group), ("iommufd", VfioBackend::Iommufd)] {
            let option: VfioApOption =
                format!("vfio-ap,sysfsdev=/x,backend={word}").parse().expect("well formed");
            assert_eq!(option.choice, mdev("/x", Some(backend)));
        }
        assert_eq!(
            refusal("vfio-ap,sysfsdev=/x,backend=cdev"),
            "backend=cdev can't be taken: write group or iommufd, or leave it out"
        );
    }

    #[test]
    fn a_device_that_is_open_is_named_by_two_descriptors() {
        let option: VfioApOption = "vfio-ap,fd=5,iommufd=6".parse().expect("well formed");
        assert_eq!(option.choice, DeviceChoice::Descriptors { fd: 5, iommufd: 6 });
        assert_eq!(option.choice.to_string(), "fd=5,iommufd=6");
        assert_eq!(refusal("vfio-ap,fd=5"), "iommufd= is missing");
        assert_eq!(refusal("vfio-ap,iommufd=5"), "fd= is missing");
        assert!(refusal("vfio-ap,fd=-1,iommufd=3").starts_with("fd=-1 can't be taken"));
    }

    #[test]
    fn a_file_that_was_sent_is_taken_once_by_whichever_clone() {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let sent = SentFile::new("ap0-fd".into(), reader.into());
        let other = sent.clone();
        assert_eq!((sent.to_string().as_str(), &sent), ("ap0-fd", &other));
        assert!(other.look(|_| ()).is_some());
        assert!(other.take().is_some());
        assert!(sent.look(|_| ()).is_none() && sent.take().is_none());
    }

    #[test]
    fn the_two_ways_to_name_a_device_do_not_mix() {
        for text in ["sysfsdev=/x,fd=3", "sysfsdev=/x,fd=3,iommufd=4", "sysfsdev=/x,iommufd=3"] {
            let refused = refusal(&format!("vfio-ap,{text}"));
            assert!(refused.contains("is for a device that is open"), "{refused}");
        }
        let refused = refusal("vfio-ap,fd=3,iommufd=4,backend=group");
        assert!(refused.starts_with("backend= is for a device in sysfs"), "{refused}");
    }

    #[test]
    fn a_device_of_another_kind_is_refused_by_name() {
        // QEMU's documentation writes vfio_ap in one place; QEMU refuses it too.
        for kind in ["vfio_ap", "vfio-pci", "virtio-net"] {
            let refused = format!("{kind},sysfsdev=/x").parse::<VfioApOption>().expect_err("not vfio-ap");
            assert_eq!(refused, DeviceError::NoSuchDevice(kind.into()));
        }
    }

    #[test]
    fn a_device_without_its_path_or_with_unknown_or_doubled_keys_is_refused() {
        assert_eq!(refusal("vfio-ap"), "sysfsdev= is missing");
        assert_eq!(refusal("vfio-ap,sysfsdev="), "sysfsdev= is missing");
        assert_eq!(
            refusal("vfio-ap,sysdev=/x"),
            "there is no option \"sysdev\"; known are sysfsdev, backend, fd, iommufd, id"
        );
        assert_eq!(refusal("vfio-ap,sysfsdev=/x,sysfsdev=/y"), "\"sysfsdev\" is given twice");
        assert_eq!(refusal("sysfsdev=/x"), "which device? write vfio-ap,sysfsdev=PATH");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(vfio-ap,)?.{0,60}") {
            let _ = text.parse::<VfioApOption>();
        }
    }
}
