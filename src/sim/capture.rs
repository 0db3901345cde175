//! `adjunct sim capture`: a host's `/sys` as a host file.

mod archive;

use crate::{
    exit_status::ExitStatus,
    mounts::{Shown, shown_at},
};
use adjunct_ap::{HostSysfs, Sysfs};
use adjunct_cpu_model::Model;
use adjunct_simulator::{
    KernelProfile,
    capture::{Capture, CaptureError as NoHost},
};
use archive::{Archive, ArchiveError};
use clap::Args;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Options of `adjunct sim capture`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct CaptureArgs {
    /// The sysfs to read: a real host's, or one that adjunct sim mount shows
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    sys: PathBuf,

    /// An archive of another machine's /sys instead, as tar makes it, with or without gzip
    #[arg(long, value_name = "FILE", conflicts_with = "sys")]
    tar: Option<PathBuf>,

    /// The CPU model of the host; without this option, what its /proc/cpuinfo says, or a mount of
    /// adjunct sim mount
    #[arg(long, value_name = "MODEL", value_parser = model)]
    machine: Option<&'static Model>,

    /// Its kernel: 6.12, 6.17, 7.0 or 7.2; without this option, the one next to what runs there
    #[arg(long, value_name = "VERSION")]
    kernel: Option<KernelProfile>,

    /// Where the host file goes; without this option, to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
An archive for --tar is made on the host, as root, with these two commands.
sysfs tells tar wrong sizes and has files that nobody can read, so it
complains, and may end with status 1:
  mkdir -p proc/sys/kernel && cat /proc/cpuinfo > proc/cpuinfo &&
    uname -r > proc/sys/kernel/osrelease
  tar --ignore-failed-read -czf ap.tgz -C / sys/bus/ap sys/devices/ap \\
    sys/devices/vfio_ap -C \"$PWD\" proc";

/// What is said of every host.
const NEVER: &str = "\
# What /sys does not show is not in here: messages in queues, guests that have an mdev open, counters, and adapters that
# are not in the host's configuration.
";

fn model(name: &str) -> Result<&'static Model, String> {
    Model::by_name(name).ok_or_else(|| "not a CPU model; see adjunct cpu list".to_owned())
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// There is no AP bus.
    #[error("{} can't be captured", of.display())]
    NoHost {
        /// What was read.
        of: PathBuf,
        /// Why not.
        source: NoHost,
    },
    /// The archive can't be read.
    #[error("{} can't be read", archive.display())]
    Archive {
        /// The file.
        archive: PathBuf,
        /// Why not.
        source: ArchiveError,
    },
    /// The host file can't be written.
    #[error("{to} can't be written")]
    Output {
        /// Where to.
        to: String,
        /// Why not.
        source: io::Error,
    },
}

impl CaptureError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::NoHost { .. } | Self::Archive { .. } => ExitStatus::Refused,
            Self::Output { .. } => ExitStatus::Output,
        }
    }
}

/// Does it.
///
/// # Errors
/// [`CaptureError`].
pub fn run(args: &CaptureArgs) -> Result<ExitStatus, CaptureError> {
    let text = match &args.tar {
        Some(path) => {
            let archive = Archive::read(path)
                .map_err(|source| CaptureError::Archive { archive: path.clone(), source })?;
            let about = About { cpuinfo: archive.cpuinfo, release: archive.release, shown: None };
            capture(args, &archive.sys, path, &about)?
        }
        None => {
            let sys = HostSysfs::new(&args.sys);
            capture(args, &sys, &args.sys, &About::beside(&args.sys))?
        }
    };
    write(args.output.as_deref(), &text)?;
    Ok(ExitStatus::Success)
}

/// What a host says of itself outside `/sys`.
struct About {
    cpuinfo: Option<String>,
    release: Option<String>,
    /// What a mount says of the simulated host that it shows.
    shown: Option<Shown>,
}

impl About {
    /// `proc` beside `sys`.
    fn beside(sys: &Path) -> Self {
        let proc = sys.parent().unwrap_or(Path::new("/")).join("proc");
        let read = |name: &str| fs::read_to_string(proc.join(name)).ok();
        Self { cpuinfo: read("cpuinfo"), release: read("sys/kernel/osrelease"), shown: shown_at(sys) }
    }
}

fn capture(args: &CaptureArgs, sys: &dyn Sysfs, of: &Path, about: &About) -> Result<String, CaptureError> {
    let mut said = Vec::new();
    let machine = args.machine.or_else(|| about.shown?.machine);
    let machine = machine.unwrap_or_else(|| machine_of(about.cpuinfo.as_deref(), &mut said));
    let kernel = args.kernel.or_else(|| about.shown?.kernel);
    let kernel = kernel.unwrap_or_else(|| kernel_of(about.release.as_deref(), &mut said));
    let captured = Capture::of(sys, machine, kernel)
        .map_err(|source| CaptureError::NoHost { of: of.to_owned(), source })?;
    let said: String = said.iter().map(|line| format!("# {line}\n")).collect();
    Ok(format!("# The AP bus of {}.\n{NEVER}{said}{}", of.display(), captured.to_toml()))
}

/// The newest model of the machine type that the host has.
fn machine_of(cpuinfo: Option<&str>, said: &mut Vec<String>) -> &'static Model {
    let kind = cpuinfo.and_then(|text| text.split("machine =").nth(1)).map(|rest| rest.trim_start());
    let kind = kind.and_then(|text| u16::from_str_radix(text.get(..4)?, 16).ok());
    let model = kind.and_then(|kind| Model::all().iter().rfind(|model| model.machine_type == kind));
    model.unwrap_or_else(|| {
        let why = match kind {
            Some(kind) => format!("machine type {kind:04x} is not known"),
            None => "there is no /proc/cpuinfo of IBM Z".to_owned(),
        };
        let default = adjunct_simulator::HostFile::MACHINE;
        said.push(format!("{why}: machine is taken for {}; --machine says better.", default.name));
        default
    })
}

/// The newest profile that is not newer than the host's kernel; else the oldest.
fn kernel_of(release: Option<&str>, said: &mut Vec<String>) -> KernelProfile {
    let Some(release) = release.map(str::trim) else {
        let default = KernelProfile::default();
        said.push(format!(
            "The kernel's release is not told: it is taken for {default}; --kernel says better."
        ));
        return default;
    };
    let version = |text: &str| {
        let mut numbers =
            text.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
        numbers.next().map(|major| (major, numbers.next().unwrap_or(0)))
    };
    let runs = version(release);
    let not_newer = |profile: &&KernelProfile| version(profile.name()) <= runs;
    let profile = KernelProfile::ALL.iter().rfind(not_newer).copied().unwrap_or(KernelProfile::ALL[0]);
    if version(profile.name()) != runs {
        said.push(format!(
            "The kernel is {release}; next to it among those that can be simulated is {profile}."
        ));
    }
    profile
}

fn write(to: Option<&Path>, text: &str) -> Result<(), CaptureError> {
    let written = match to {
        Some(path) => fs::write(path, text),
        None => io::stdout().lock().write_all(text.as_bytes()),
    };
    match written {
        // Whoever reads us has seen enough.
        Err(error) if to.is_none() && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|source| CaptureError::Output {
            to: to.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string()),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_that_of_the_processors_type() {
        let cpuinfo = "vendor_id       : IBM/S390\n# processors    : 1\n\
                       processor 0: version = FF,  identification = 123456,  machine = 3931\n";
        let mut said = Vec::new();
        assert_eq!(machine_of(Some(cpuinfo), &mut said).machine_type, 0x3931);
        assert_eq!(said, [""; 0]);
        for cpuinfo in [None, Some("model name : Other\n"), Some("machine = 1234\n"), Some("machine = 39")] {
            assert_eq!(machine_of(cpuinfo, &mut said).name, "gen16a");
        }
        assert_eq!(said.len(), 4);
        assert!(said[2].contains("1234") && said[0].contains("--machine"), "{said:?}");
    }

    #[test]
    fn the_kernel_is_the_newest_that_is_not_newer() {
        for (release, profile, word) in [
            ("6.12.107+deb13-s390x\n", "6.12", false),
            ("7.2.1", "7.2", false),
            ("5.14.0-570.el9.s390x", "6.12", true),
            ("6.16.3", "6.12", true),
            ("7.1.0-rc1", "7.0", true),
            ("10.0", "7.2", true),
            ("7", "7.0", false),
            ("rubbish", "6.12", true),
        ] {
            let mut said = Vec::new();
            assert_eq!(kernel_of(Some(release), &mut said).name(), profile, "{release}");
            assert_eq!(!said.is_empty(), word, "{release}: {said:?}");
        }
        let mut said = Vec::new();
        assert_eq!(kernel_of(None, &mut said), KernelProfile::default());
        assert!(said[0].contains("--kernel"), "{said:?}");
    }
}
