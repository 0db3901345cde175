//! What the user asked for. Pure: making a [`Config`] opens nothing and asks no host.

mod device;
mod machine;

pub use device::{DeviceChoice, DeviceError, DeviceId, DeviceIdError, SentFile, VfioApOption};
pub use machine::{KeyWrapping, Loadparm, MachineOption};

use crate::option::{OptionError, OptionString};
use adjunct_cpu_model::CpuSpec;
use adjunct_hypervisor::MemorySize;
use std::{
    fmt,
    os::fd::RawFd,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A guest can have this many CPUs, as QEMU's machine (`target/s390x/cpu.h`: `S390_MAX_CPUS`).
pub const MOST_CPUS: u16 = 248;

/// A guest as the user wants it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it runs; none: KVM where there is one, else the built-in simulated host.
    pub host: Option<HostChoice>,
    /// Its CPU.
    pub cpu: CpuSpec,
    /// Its AP device.
    pub device: Option<VfioApOption>,
    /// Which wrapping keys it has, if its CPU wraps keys.
    pub key_wrapping: KeyWrapping,
    /// What the program that it loads is told.
    pub loadparm: Loadparm,
    /// Its memory.
    pub memory: MemorySize,
    /// Number of vCPUs, at least 1.
    pub vcpus: u16,
    /// What it runs.
    pub kernel: Image,
    /// Initial ramdisk for a Linux kernel.
    pub initrd: Option<PathBuf>,
    /// Command line for a Linux kernel.
    pub append: Option<String>,
    /// Where its console goes.
    pub console: ConsoleTarget,
    /// Whether that is the line-mode console (operator messages and commands), not the ASCII console.
    pub line_mode: bool,
    /// Where events go.
    pub events: Option<EventTarget>,
}

impl Config {
    /// The smallest guest that runs apcheck, with `device`: one vCPU, 1 MiB, a console that nobody reads.
    pub fn apcheck(device: Option<VfioApOption>) -> Self {
        Self {
            host: None,
            cpu: CpuSpec::default(),
            device,
            key_wrapping: KeyWrapping::default(),
            loadparm: Loadparm::default(),
            memory: MemorySize::MEBIBYTE,
            vcpus: 1,
            kernel: Image::Apcheck,
            initrd: None,
            append: None,
            console: ConsoleTarget::Off,
            line_mode: false,
            events: None,
        }
    }
}

/// Which host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostChoice {
    /// This machine's KVM.
    Kvm,
    /// This machine's KVM by `/dev/kvm` that somebody else opened: a file descriptor that this process inherits.
    KvmFrom(RawFd),
    /// The built-in simulated host, `resources/hosts/three-guests.toml`.
    Simulated,
    /// A simulated host from a file.
    SimulatedFrom(PathBuf),
    /// A simulated host that another process serves at a socket.
    SimulatedAt(PathBuf),
}

impl FromStr for HostChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "kvm" => Ok(Self::Kvm),
            None if text == "sim" => Ok(Self::Simulated),
            Some(("sim", place)) if place.starts_with('@') => match &place[1..] {
                "" => Err("write sim:@SOCKET with the path of a simulated host's socket".into()),
                socket => Ok(Self::SimulatedAt(socket.into())),
            },
            Some(("sim", file)) if !file.is_empty() => Ok(Self::SimulatedFrom(file.into())),
            Some(("kvm", place)) => match place.strip_prefix("fd=").map(descriptor) {
                Some(Ok(number)) => Ok(Self::KvmFrom(number)),
                _ => Err("write kvm or kvm:fd=N, with the number of an open file descriptor".into()),
            },
            _ => Err("write kvm, kvm:fd=N, sim, sim:FILE.toml or sim:@SOCKET".into()),
        }
    }
}

/// What a guest runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// The guest program that comes with adjunct: `resources/guests/apcheck`.
    Apcheck,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apcheck => f.write_str("builtin:apcheck"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("builtin:") {
            Some("apcheck") => Ok(Self::Apcheck),
            Some(other) => Err(format!("there is no built-in guest {other:?}; there is builtin:apcheck")),
            None if text.is_empty() => Err("write a file name or builtin:apcheck".into()),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// Where the guest's console goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleTarget {
    /// Standard output; standard input is what the guest reads.
    Stdio,
    /// A file, made anew.
    File(PathBuf),
    /// Nowhere.
    Off,
}

impl ConsoleTarget {
    /// The file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdio | Self::Off => None,
        }
    }
}

impl fmt::Display for ConsoleTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio => f.write_str("stdio"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Off => f.write_str("off"),
        }
    }
}

impl FromStr for ConsoleTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "stdio" => Ok(Self::Stdio),
            None if text == "off" => Ok(Self::Off),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("write stdio, file:PATH or off".into()),
        }
    }
}

/// The number of a file descriptor that this process inherits; the error says what to write.
fn descriptor(text: &str) -> Result<RawFd, String> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| "write the number of an open file descriptor".to_owned())
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventTarget {
    /// A file, made anew.
    Path(PathBuf),
    /// A file descriptor that this process inherits.
    Descriptor(RawFd),
}

impl EventTarget {
    /// The file, if it has a name.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Descriptor(_) => None,
        }
    }

    const KEYS: &'static [&'static str] = &["path", "fd"];
    const FORM: &'static str = "path=PATH or fd=N";
}

impl fmt::Display for EventTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path={}", path.display()),
            Self::Descriptor(number) => write!(f, "fd={number}"),
        }
    }
}

impl FromStr for EventTarget {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let mut option = OptionString::parse(text)?;
        if option.head.is_some() {
            return Err(OptionError::Form(Self::FORM));
        }
        let (path, fd) = (option.take("path"), option.take("fd"));
        option.finish(Self::KEYS)?;
        match (path, fd) {
            (Some(path), None) if !path.is_empty() => Ok(Self::Path(path.into())),
            (None, Some(value)) => descriptor(&value)
                .map(Self::Descriptor)
                .map_err(|reason| OptionError::BadValue { key: "fd", value, reason }),
            (Some(value), Some(_)) => {
                let reason = "write path= or fd=, not both".into();
                Err(OptionError::BadValue { key: "path", value, reason })
            }
            _ => Err(OptionError::Form(Self::FORM)),
        }
    }
}

/// Where a management interface listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketTarget {
    /// A Unix socket, made for this user alone and removed at the end.
    Path(PathBuf),
    /// A listening Unix socket that this process inherits.
    Descriptor(RawFd),
}

impl fmt::Display for SocketTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path={}", path.display()),
            Self::Descriptor(number) => write!(f, "fd={number}"),
        }
    }
}

/// Typed as an [`EventTarget`] is.
impl FromStr for SocketTarget {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        text.parse().map(|target| match target {
            EventTarget::Path(path) => Self::Path(path),
            EventTarget::Descriptor(number) => Self::Descriptor(number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_consoles_images_and_event_targets_are_read_as_documented() {
        assert_eq!("sim:a:b.toml".parse(), Ok(HostChoice::SimulatedFrom("a:b.toml".into())));
        assert_eq!("kvm:fd=7".parse(), Ok(HostChoice::KvmFrom(7)));
        assert_eq!("sim:@/run/host".parse(), Ok(HostChoice::SimulatedAt("/run/host".into())));
        for bad in ["sim:", "sim:@", "kvm:", "kvm:7", "kvm:fd=-1", "kvm:fd=x"] {
            assert!(bad.parse::<HostChoice>().is_err(), "{bad}");
        }
        assert!("KVM".parse::<HostChoice>().is_err());
        assert_eq!("file:/tmp/x".parse(), Ok(ConsoleTarget::File("/tmp/x".into())));
        assert!("file:".parse::<ConsoleTarget>().is_err());
        assert_eq!("builtin:apcheck".parse(), Ok(Image::Apcheck));
        assert!("builtin:linux".parse::<Image>().expect_err("none").contains("builtin:apcheck"));
        assert_eq!("fd=3".parse(), Ok(EventTarget::Descriptor(3)));
        assert!("fd=-1".parse::<EventTarget>().is_err());
        assert!("path=/a,fd=3".parse::<EventTarget>().is_err());
        for bad in ["/a", "path=", "", "/a,fd=3"] {
            let said = bad.parse::<EventTarget>().expect_err(bad).to_string();
            assert_eq!(said, "write path=PATH or fd=N", "{bad}");
        }
        assert_eq!("path=/a".parse(), Ok(SocketTarget::Path("/a".into())));
        assert_eq!("fd=3".parse(), Ok(SocketTarget::Descriptor(3)));
    }

    proptest! {
        #[test]
        fn no_text_makes_an_option_parser_panic(text in ".{0,60}") {
            let _ = text.parse::<EventTarget>();
            let _ = text.parse::<HostChoice>();
            let _ = text.parse::<ConsoleTarget>();
            let _ = text.parse::<Image>();
        }
    }
}
