//! Which files a program is kept to, by Landlock.

use super::{SandboxError, refused};
use crate::{
    config::{Config, ConsoleTarget, Image},
    host::Host,
    option::OptionString,
};
use adjunct_hypervisor::Errno;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// The newest version of Landlock whose rights are given up; an older kernel knows fewer of them.
const VERSION: ABI = ABI::V6;

/// Where devices are. Without the container of VFIO's groups it is there only as long as one of them is.
const DEVICES: &str = "/dev/vfio";

/// What may be done with a file, or with all below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may be read, and a directory listed.
    Read,
    /// A file that is there may be written anew.
    Write,
    /// A device may be opened for reading and writing, and asked its requests.
    Use,
    /// What is below the directory may be removed.
    Remove,
    /// Files may be read, written, made and removed.
    Change,
}

impl Access {
    fn rights(self) -> BitFlags<AccessFs> {
        match self {
            Self::Read => make_bitflags!(AccessFs::{ReadFile | ReadDir}),
            Self::Write => make_bitflags!(AccessFs::{WriteFile | Truncate}),
            Self::Use => make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | IoctlDev}),
            Self::Remove => AccessFs::RemoveFile.into(),
            Self::Change => {
                Self::Read.rights()
                    | Self::Write.rights()
                    | Self::Use.rights()
                    | Self::Remove.rights()
                    | make_bitflags!(AccessFs::{MakeReg | MakeSock})
            }
        }
    }
}

/// A path and what may be done there, as `--landlock-rules` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A file or a directory.
    pub path: PathBuf,
    /// What may be done with it, or with what is below.
    pub access: Access,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let write = || "write path=PATH,access=r or access=rw".to_owned();
        let mut option = OptionString::parse(text).map_err(|error| error.to_string())?;
        let (path, access) = (option.take("path"), option.take("access"));
        if option.head.is_some() {
            return Err(write());
        }
        option.finish(&["path", "access"]).map_err(|error| error.to_string())?;
        let access = match access.as_deref() {
            Some("r") => Access::Read,
            Some("rw") => Access::Change,
            _ => return Err(write()),
        };
        match path.filter(|path| !path.is_empty()) {
            Some(path) => Ok(Self { path: path.into(), access }),
            None => Err(write()),
        }
    }
}

/// The files that a program keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<Rule>);

impl Files {
    /// What any guest on `host` may need: on a real one its devices, also those that are plugged later, and `/sys`.
    pub fn of_host(host: &Host) -> Self {
        let mut files = Self::default();
        if host.files.is_some() {
            for device in ["/dev/kvm", DEVICES, "/dev/iommu"] {
                files.keep_path(device, Access::Use);
            }
            files.keep_path("/sys", Access::Read);
        }
        files
    }

    /// What the guest that `config` describes may need on `host`, also when it is booted once more. Its console is open
    /// already, so that its file is there.
    pub fn of_guest(config: &Config, host: &Host) -> Self {
        let mut files = Self::of_host(host);
        if let Image::File(kernel) = &config.kernel {
            files.keep_path(kernel, Access::Read);
        }
        if let Some(initrd) = &config.initrd {
            files.keep_path(initrd, Access::Read);
        }
        if let ConsoleTarget::File(console) = &config.console {
            files.keep_path(console, Access::Write);
        }
        files
    }

    /// Says so if the directory of devices is not there: what appears there later can't be kept now.
    pub(super) fn warn_of_devices(&self) {
        if self.0.iter().any(|rule| rule.path == Path::new(DEVICES)) && !Path::new(DEVICES).exists() {
            tracing::warn!(
                "there is no {DEVICES}: a device that is plugged later can't be opened; \
                 load vfio_ap and make its mediated device before, or write --landlock false"
            );
        }
    }

    /// Keeps `path` too; where nothing is, nothing is kept.
    pub fn keep_path(&mut self, path: impl Into<PathBuf>, access: Access) {
        self.0.push(Rule { path: path.into(), access });
    }

    /// What is kept.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Access)> {
        self.0.iter().map(|rule| (rule.path.as_path(), rule.access))
    }

    /// Gives up all other files, connections by TCP, and signals and abstract sockets of other programs; false: the kernel has no
    /// Landlock.
    pub(super) fn keep(&self) -> Result<bool, SandboxError> {
        let rules = self.iter().filter_map(|(path, access)| {
            let file = PathFd::new(path).ok()?;
            // Rights to what is in a directory mean nothing for a file, and are refused.
            let in_directories = make_bitflags!(AccessFs::{ReadDir | RemoveFile | MakeReg | MakeSock});
            let rights = if path.is_dir() { access.rights() } else { access.rights() & !in_directories };
            Some(Ok::<_, RulesetError>(PathBeneath::new(file, rights)))
        });
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(VERSION))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(VERSION)))
            .and_then(|rules| rules.scope(Scope::from_all(VERSION)))
            .and_then(Ruleset::create)
            .and_then(|created| created.add_rules(rules))
            .and_then(|created| created.restrict_self())
            .map_err(|error: RulesetError| {
                let errno = Errno::last();
                tracing::debug!(%error, "Landlock");
                refused("landlock_restrict_self", errno)
            })?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_path_and_an_access() {
        let rule = "path=/a,,b,access=rw".parse();
        assert_eq!(rule, Ok(Rule { path: "/a,b".into(), access: Access::Change }));
        assert_eq!("access=r,path=/a".parse(), Ok(Rule { path: "/a".into(), access: Access::Read }));
        for text in ["", "/a", "path=/a", "path=,access=r", "path=/a,access=w", "path=/a,access=r,mode=1"] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_guest_on_a_simulated_host_keeps_what_its_options_name_and_no_device() {
        let simulated = crate::host::builtin().expect("it is built in");
        let mut config = Config::apcheck(None);
        config.kernel = Image::File("/k".into());
        config.initrd = Some("/i".into());
        config.console = ConsoleTarget::File("/c".into());
        let files = Files::of_guest(&config, &Host::simulated(&simulated));
        let kept: Vec<_> =
            files.iter().map(|(path, access)| (path.to_str().expect("text"), access)).collect();
        assert_eq!(kept, [("/k", Access::Read), ("/i", Access::Read), ("/c", Access::Write)]);
    }
}
