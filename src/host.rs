//! The host a guest runs on: this machine's KVM, or a simulated one.

use crate::{config::HostChoice, logging::say};
#[cfg(target_arch = "s390x")]
use adjunct_ap::HostSysfs;
use adjunct_ap::{Sysfs, Uuid, mdev::Mdev};
#[cfg(target_arch = "s390x")]
use adjunct_hypervisor::kvm::Kvm;
use adjunct_hypervisor::{Hypervisor, KernelError, descriptor};
use adjunct_simulator::{
    HostFile, HostFileError, SimHost,
    share::{ConnectError, SharedHost},
};
use std::{
    fmt, fs, io,
    os::{
        fd::RawFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::PathBuf,
};

/// A host: where VMs are made, and the sysfs that says what its AP bus has.
pub struct Host {
    /// Makes VMs.
    pub hypervisor: Box<dyn Hypervisor>,
    /// Its `/sys`.
    pub sysfs: Box<dyn Sysfs + Send + Sync>,
    /// This machine's kernel, to which our files mean something; a simulated host has none.
    pub files: Option<Files>,
}

/// The open files of this process.
#[derive(Clone, Copy, Debug)]
pub struct Files;

impl Files {
    /// The mediated device whose character device is open as descriptor `number`; none if the file is something
    /// else, or if `/sys` can't be seen.
    ///
    /// # Errors
    /// EBADF: no such descriptor is open.
    pub fn mdev_of(self, number: RawFd) -> io::Result<Option<Uuid>> {
        self.mdev_of_file(&fs::File::from(descriptor::inherit(number)?))
    }

    /// The same of an open file.
    ///
    /// # Errors
    /// The kernel does not say what it is.
    pub fn mdev_of_file(self, file: &fs::File) -> io::Result<Option<Uuid>> {
        let file = file.metadata()?;
        if !file.file_type().is_char_device() {
            return Ok(None);
        }
        let (major, minor) = (libc::major(file.rdev()), libc::minor(file.rdev()));
        // …/UUID/vfio-dev/vfioN
        let device = fs::canonicalize(format!("/sys/dev/char/{major}:{minor}")).ok();
        let mdev = device.as_deref().and_then(|device| device.ancestors().nth(2));
        Ok(mdev.and_then(|mdev| mdev.file_name()?.to_str()?.parse().ok()))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("hypervisor", &self.hypervisor).finish_non_exhaustive()
    }
}

/// Why there is no such host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// KVM can't be used.
    #[error("--host kvm: {0}; --host sim is the simulated host")]
    NoKvm(NoKvm),
    /// The file can't be read.
    #[error("--host sim:{}: the file can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is the socket of a host that somebody keeps, not a host file.
    #[error("--host sim:{}: that is a socket; for the host that is kept there write --host sim:@{}", path.display(), path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
    },
    /// The file describes no host.
    #[error("{name} describes no host")]
    File {
        /// The file, or `the built-in host`.
        name: String,
        /// What is wrong with it, and where.
        #[source]
        source: HostFileError,
    },
    /// Another process's host can't be used.
    #[error("--host")]
    Shared {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ConnectError,
    },
}

/// Why this machine's KVM can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NoKvm {
    /// Another architecture.
    #[error("this machine is no IBM Z, and its KVM can't run s390x guests")]
    Architecture,
    /// There is no `/dev/kvm`.
    #[error(
        "there is no /dev/kvm: load the module with modprobe kvm, or switch on the \"SIE\" of this machine"
    )]
    Absent,
    /// It answers no request of KVM, for example because this program itself is emulated.
    #[error("/dev/kvm here is no KVM for s390x guests")]
    Foreign,
    /// It can't be opened.
    #[error("{refused}: {}; members of the group kvm may use it", refused.errno)]
    Refused {
        /// The kernel's answer.
        refused: KernelError,
    },
    /// A number that is no file.
    #[error("fd={0} is no file descriptor that adjunct inherited")]
    Descriptor(RawFd),
}

impl Host {
    /// Opens the host that `choice` names. Without a choice it is KVM where there is one, else the
    /// built-in simulated host, which is said on stderr. On IBM Z nobody who has named a device (`with_device`) gets a
    /// simulation of it instead.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn open(choice: Option<&HostChoice>, with_device: bool) -> Result<Self, HostError> {
        match choice {
            Some(HostChoice::Kvm) => kvm(None).map_err(HostError::NoKvm),
            Some(HostChoice::KvmFrom(number)) => kvm(Some(*number)).map_err(HostError::NoKvm),
            None => match kvm(None) {
                Ok(host) => Ok(host),
                Err(none @ (NoKvm::Absent | NoKvm::Foreign)) if with_device => Err(HostError::NoKvm(none)),
                Err(absent @ (NoKvm::Architecture | NoKvm::Absent | NoKvm::Foreign)) => {
                    let host = Self::simulated(&builtin()?);
                    say(format_args!(
                        "{absent}: using the built-in simulated host (--host sim), which has {}",
                        host.mdevs()
                    ));
                    Ok(host)
                }
                // Who has KVM and may not use it does not want a simulation instead.
                Err(refused) => Err(HostError::NoKvm(refused)),
            },
            Some(HostChoice::Simulated) => Ok(Self::simulated(&builtin()?)),
            Some(HostChoice::SimulatedFrom(path)) => {
                if fs::metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
                    return Err(HostError::Socket { path: path.clone() });
                }
                let text = HostFile::text_of(path)
                    .map_err(|source| HostError::Unreadable { path: path.clone(), source })?;
                Ok(Self::simulated(&start(&text, &path.display().to_string())?))
            }
            Some(HostChoice::SimulatedAt(path)) => {
                let host = SharedHost::connect(path);
                let host = host.map_err(|source| HostError::Shared { path: path.clone(), source })?;
                Ok(Self { hypervisor: Box::new(host.clone()), sysfs: Box::new(host), files: None })
            }
        }
    }

    /// The mediated devices that there are, for people.
    pub fn mdevs(&self) -> String {
        let uuids = Mdev::list(&*self.sysfs).unwrap_or_default();
        let uuids: Vec<_> = uuids.iter().map(|mdev| mdev.uuid().to_string()).collect();
        match uuids.as_slice() {
            [] => "no mediated devices".to_owned(),
            uuids => format!("the mediated devices {}", uuids.join(", ")),
        }
    }

    /// The host `simulated`, for both seams.
    pub fn simulated(simulated: &SimHost) -> Self {
        Self { hypervisor: Box::new(simulated.clone()), sysfs: Box::new(simulated.clone()), files: None }
    }
}

/// This machine's KVM, opened by us or by whoever left it to us as a descriptor.
#[cfg(target_arch = "s390x")]
fn kvm(descriptor: Option<RawFd>) -> Result<Host, NoKvm> {
    let opened = match descriptor {
        None => Kvm::open(),
        Some(number) => {
            let file = descriptor::adopt(number).map_err(|_| NoKvm::Descriptor(number))?;
            Kvm::from_descriptor(file)
        }
    };
    let hypervisor = opened.map_err(|refused| match refused.errno.errno() {
        libc::ENOENT if descriptor.is_none() => NoKvm::Absent,
        libc::ENOTTY | libc::ENOSYS => NoKvm::Foreign,
        _ => NoKvm::Refused { refused },
    })?;
    Ok(Host { hypervisor: Box::new(hypervisor), sysfs: Box::new(HostSysfs::default()), files: Some(Files) })
}

/// Another architecture's KVM is no host for these guests.
#[cfg(not(target_arch = "s390x"))]
fn kvm(_: Option<RawFd>) -> Result<Host, NoKvm> {
    Err(NoKvm::Architecture)
}

/// The built-in simulated host, started anew.
///
/// # Errors
/// [`HostError::File`]; a test keeps the built-in file right.
pub fn builtin() -> Result<SimHost, HostError> {
    start(HostFile::THREE_GUESTS, "the built-in host")
}

fn start(text: &str, name: &str) -> Result<SimHost, HostError> {
    let file = |source| HostError::File { name: name.to_owned(), source };
    SimHost::new(HostFile::parse(text).map_err(file)?).map_err(file)
}
