//! The host a guest runs on: this machine's KVM, or a simulated one.

use crate::config::HostChoice;
use adjunct_ap::{Sysfs, mdev::Mdev};
use adjunct_hypervisor::Hypervisor;
use adjunct_simulator::{HostFile, HostFileError, SimHost};
use std::{fmt, path::PathBuf};

/// A host: where VMs are made, and the sysfs that says what its AP bus has.
pub struct Host {
    /// Makes VMs.
    pub hypervisor: Box<dyn Hypervisor>,
    /// Its `/sys`.
    pub sysfs: Box<dyn Sysfs + Send + Sync>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("hypervisor", &self.hypervisor).finish_non_exhaustive()
    }
}

/// Why there is no such host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No KVM.
    #[error("--host kvm: {0}; leave --host out, or write --host sim, to use the simulated host")]
    NoKvm(&'static str),
    /// The file can't be read.
    #[error("--host sim:{}: the file can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
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
}

/// Why this machine's KVM can't be used.
const NO_KVM: &str = if cfg!(target_arch = "s390x") {
    "this version can't use KVM yet"
} else {
    "this is no IBM Z, so its KVM can't run s390x guests"
};

impl Host {
    /// Opens the host that `choice` names. Without a choice it is KVM where there is one, else the
    /// built-in simulated host, which is said on stderr.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn open(choice: Option<&HostChoice>) -> Result<Self, HostError> {
        match choice {
            Some(HostChoice::Kvm) => Err(HostError::NoKvm(NO_KVM)),
            None => {
                let host = Self::simulated(&builtin()?);
                eprintln!(
                    "adjunct: {NO_KVM}: using the built-in simulated host (--host sim), which has {}",
                    host.mdevs()
                );
                Ok(host)
            }
            Some(HostChoice::Simulated) => Ok(Self::simulated(&builtin()?)),
            Some(HostChoice::SimulatedFrom(path)) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| HostError::Unreadable { path: path.clone(), source })?;
                Ok(Self::simulated(&start(&text, &path.display().to_string())?))
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
        Self { hypervisor: Box::new(simulated.clone()), sysfs: Box::new(simulated.clone()) }
    }
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
