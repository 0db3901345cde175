//! The command line: what can be typed, and its help. Parsing opens nothing and asks no host.

use crate::{
    config::{Config, ConsoleTarget, EventTarget, HostChoice, Image, MOST_CPUS, MachineOption, VfioApOption},
    cpu::CpuCommand,
    ctl::CtlArgs,
    logging::{Logging, Verbosity},
    management::Management,
    sandbox::Sandbox,
    sim::SimCommand,
};
use adjunct_cpu_model::CpuSpec;
use adjunct_hypervisor::MemorySize;
use clap::{Args, Parser, Subcommand};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf, absolute},
    str::FromStr,
};

/// A VMM for s390x that gives IBM Z crypto adapters (vfio-ap) to a guest.
///
/// On IBM Z it uses KVM and VFIO. Everywhere it has a simulated host: AP bus, vfio_ap, KVM's crypto
/// half and a z/Architecture interpreter in memory; no cryptography is simulated.
#[derive(Debug, Parser)]
#[command(name = "adjunct", version, max_term_width = 80, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "Examples:
  adjunct demo
        three guests on a simulated host, each with its own crypto adapters
  adjunct run --device vfio-ap,sysfsdev=/sys/devices/vfio_ap/matrix/UUID
        one guest with one mediated matrix device; the built-in simulated host
        has 6c4a5d2e-0d3e-4c7a-9b0a-000000000001 to -000000000003
  adjunct cpu show z14
        what a z14 has, and what may be switched on";

const RUN_AFTER_HELP: &str = "\
Options that QEMU has are also taken as QEMU writes them, with one dash:
-append, -cpu, -device, -initrd, -kernel, -m, -machine, -memory, -smp. Their
values are those above; the type of -machine, which is s390-ccw-virtio, -smp
cpus=N and -m size=SIZE are taken too, and no other keys of QEMU.

The exit status is 0 when the guest ended as it should; the manual page lists all.";

const CTL_AFTER_HELP: &str = "\
The exit status is 3 when adjunct refuses (400 to 499 of HTTP), 4 when the
host does (500 and more) or adjunct goes away; the manual page lists all.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a guest until it ends
    #[command(after_help = RUN_AFTER_HELP)]
    Run(Box<RunArgs>),
    /// Wait for orders without a guest; they create one, run it and change it
    ///
    /// They come by --api-socket or --qmp, of which one must be given.
    Serve(ServeArgs),
    /// Show the example of the vfio-ap documentation: three guests, each with its own queues
    ///
    /// A simulated host with the adapters 5 and 6 and the domains 4, 0x47, 0xab and 0xff, three
    /// mediated matrix devices, three guests at once. Each guest is s390x machine code that looks
    /// for its crypto adapters and sends a message through each queue it finds. Last, a fourth
    /// mediated device asks for a queue that the first one has.
    Demo,
    /// Look at and steer the guest of an adjunct that listens at --api-socket
    #[command(after_help = CTL_AFTER_HELP)]
    Ctl(CtlArgs),
    /// Look at CPU models
    #[command(subcommand)]
    Cpu(CpuCommand),
    /// Show a simulated host to other programs, and change it
    #[command(subcommand)]
    Sim(SimCommand),
    /// Print a shell completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages (adjunct.1, adjunct-run.1, …) into a directory
    Man {
        /// The directory; it must exist
        directory: PathBuf,
    },
}

/// Options of `adjunct run`. Those that QEMU has are also taken with one dash: `-cpu`, `-device`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where the guest runs: kvm, sim (the built-in simulated host), sim:FILE.toml or sim:@SOCKET
    ///
    /// kvm needs IBM Z; kvm:fd=N is /dev/kvm opened by whoever started adjunct. sim:@SOCKET is the
    /// simulated host that adjunct sim mount --control or adjunct sim serve has in another process,
    /// which several guests can share. Without this option it is KVM where there is one, else the
    /// built-in simulated host.
    #[arg(long, value_name = "HOST")]
    host: Option<HostChoice>,

    /// CPU model and features, for example host or host,apqi=off
    ///
    /// host is all that the host has. vfio-ap needs ap=on; apqci (facility 12) lets the guest see
    /// domains above 15, apft (facility 15) lets it recognise queues at all. A simulated host can
    /// be no named model as it is: its interpreter lacks something of each.
    #[arg(long, value_name = "MODEL[,FEATURE=on|off]...", default_value = "host")]
    cpu: CpuSpec,

    /// A device; there is one kind, vfio-ap, and a guest can have one of it
    ///
    /// sysfsdev is the mediated matrix device: /sys/devices/vfio_ap/matrix/UUID or one of its other
    /// names in sysfs. id is what events call the device; the default is the UUID, or the descriptors.
    ///
    /// backend is VFIO's way to open it: group (/dev/vfio/N and /dev/vfio/vfio) or iommufd
    /// (/dev/vfio/devices/vfioN and /dev/iommu); without it, what the host has. fd=N,iommufd=N
    /// instead of sysfsdev are /dev/vfio/devices/vfioN and /dev/iommu, opened by whoever started
    /// adjunct.
    #[arg(long, value_name = "vfio-ap,sysfsdev=PATH[,backend=group|iommufd][,id=ID]")]
    device: Vec<VfioApOption>,

    /// Of the machine: aes-key-wrap=on|off, dea-key-wrap=on|off, loadparm=TEXT
    ///
    /// A guest whose CPU wraps keys gets new wrapping keys at each reset; both kinds are on unless
    /// switched off. loadparm is up to eight letters and digits for the program that is loaded:
    /// with WATCH, builtin:apcheck goes on and shows its queues anew whenever they have changed.
    #[arg(long, value_name = "KEY=VALUE[,KEY=VALUE]...")]
    machine: Option<MachineOption>,

    /// Guest memory, a multiple of 1M; a plain number is MiB
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory)]
    memory: MemorySize,

    #[arg(long, value_name = "N", default_value_t = 1, value_parser = cpus, help = format!("Number of CPUs, 1 to {MOST_CPUS}"))]
    smp: u16,

    /// What the guest runs: a file, or builtin:apcheck
    ///
    /// builtin:apcheck looks for AP queues, sends one message through each, and ends. A file is an
    /// ELF image, a Linux image, or a raw image that begins with an IPL PSW.
    #[arg(long, value_name = "FILE", default_value = "builtin:apcheck")]
    kernel: Image,

    /// Initial ramdisk for a Linux kernel
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,

    /// Command line for a Linux kernel
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,

    /// Where the guest's console goes: stdio, file:PATH or off
    #[arg(long, value_name = "CONSOLE", default_value = "stdio")]
    console: ConsoleTarget,

    /// Give the guest the line-mode console in place of the ASCII console
    ///
    /// It is QEMU's sclplmconsole, in Linux ttyS0: the guest's operator messages, and commands of a line each.
    #[arg(long)]
    line_mode: bool,

    #[command(flatten)]
    outside: OutsideArgs,
}

/// Options of `adjunct serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where guests run: kvm, sim (the built-in simulated host), sim:FILE.toml or sim:@SOCKET
    ///
    /// As for adjunct run. A simulated host is there from the start to the end, whatever guests come and go.
    #[arg(long, value_name = "HOST")]
    host: Option<HostChoice>,

    #[command(flatten)]
    outside: OutsideArgs,
}

/// What goes in and out besides a console, the same with a guest from the start and without.
#[derive(Debug, Args)]
struct OutsideArgs {
    #[command(flatten)]
    management: Management,

    #[command(flatten)]
    sandbox: Sandbox,

    /// Report what happens as one JSON object a line
    #[arg(long, value_name = "path=FILE|fd=N")]
    event_monitor: Option<EventTarget>,

    /// Say more on stderr; twice: each intercept
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Where warnings and what -v says go instead of stderr
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
}

/// A size, also as QEMU's `size=`; slots for more have no meaning here.
fn memory(text: &str) -> Result<MemorySize, <MemorySize as FromStr>::Err> {
    text.strip_prefix("size=").unwrap_or(text).parse()
}

/// A number of CPUs, also as QEMU's `cpus=`; topology has no meaning here.
fn cpus(text: &str) -> Result<u16, String> {
    let number = text
        .strip_prefix("cpus=")
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|number| (1..=MOST_CPUS).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {MOST_CPUS}"))
}

/// What makes a file the same by whatever name, or of one that is not there yet its name. A pipe, a terminal or a device
/// can have several writers, and has none.
#[derive(PartialEq, Eq)]
enum Identity {
    There { device: u64, inode: u64 },
    New(PathBuf),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(file) if file.is_file() => Some(Self::There { device: file.dev(), inode: file.ino() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = fs::canonicalize(absolute(path).ok()?.parent()?).ok()?;
                Some(Self::New(folder.join(path.file_name()?)))
            }
            _ => None,
        }
    }
}

/// Refuses outputs, each with the option before it, that are one file and would overwrite each other.
fn separate(outputs: &[(&str, Option<&Path>)]) -> Result<(), String> {
    let named = outputs.iter().filter_map(|(option, path)| path.map(|path| (option, path)));
    let files: Vec<_> =
        named.filter_map(|(option, path)| Some((option, path, Identity::of(path)?))).collect();
    for (n, (option, path, file)) in files.iter().enumerate() {
        if let Some((other, again, _)) = files[..n].iter().find(|(.., other)| other == file) {
            return Err(format!(
                "{other}{} and {option}{} are one file, and what goes there would be overwritten: name two",
                again.display(),
                path.display()
            ));
        }
    }
    Ok(())
}

impl OutsideArgs {
    fn logging(&self) -> Logging {
        let verbosity = match self.verbose {
            0 => Verbosity::Warn,
            1 => Verbosity::Info,
            _ => Verbosity::Debug,
        };
        Logging { verbosity, file: self.log_file.clone() }
    }

    /// Which ways in there shall be.
    fn management(&self) -> Management {
        self.management.clone()
    }
}

impl ServeArgs {
    /// What is given up.
    pub fn sandbox(&self) -> &Sandbox {
        &self.outside.sandbox
    }

    /// What messages are wanted.
    pub fn logging(&self) -> Logging {
        self.outside.logging()
    }

    /// Which ways in there shall be.
    pub fn management(&self) -> Management {
        self.outside.management()
    }

    /// Where guests run.
    pub fn host(&self) -> Option<&HostChoice> {
        self.host.as_ref()
    }

    /// Where events go.
    ///
    /// # Errors
    /// A sentence for the user: to the file of the log.
    pub fn events(&self) -> Result<Option<&EventTarget>, String> {
        let events = self.outside.event_monitor.as_ref();
        separate(&[
            ("--event-monitor path=", events.and_then(EventTarget::file)),
            ("--log-file ", self.outside.log_file.as_deref()),
        ])?;
        Ok(events)
    }
}

impl RunArgs {
    /// Where the guest runs.
    pub fn host(&self) -> Option<&HostChoice> {
        self.host.as_ref()
    }

    /// What is given up.
    pub fn sandbox(&self) -> &Sandbox {
        &self.outside.sandbox
    }

    /// What messages are wanted.
    pub fn logging(&self) -> Logging {
        self.outside.logging()
    }

    /// Which ways in there shall be.
    pub fn management(&self) -> Management {
        self.outside.management()
    }

    /// What was typed, as a configuration.
    ///
    /// # Errors
    /// A sentence for the user: a second device, options that need another one, or outputs that are one file.
    pub fn into_config(self) -> Result<Config, String> {
        let mut devices = self.device.into_iter();
        let device = devices.next();
        if let Some(second) = devices.next() {
            if device.as_ref().is_some_and(|first: &VfioApOption| first.choice == second.choice) {
                return Err(format!("--device vfio-ap,{} is given twice", second.choice));
            }
            return Err(format!(
                "--device is given twice: a guest can have one vfio-ap device (KVM has one AP control block \
                 for each VM); put all adapters and domains into one mediated device and drop {}",
                second.choice
            ));
        }
        let linux = [("--initrd", self.initrd.is_some()), ("--append", self.append.is_some())];
        if let Some((option, _)) = linux.iter().find(|(_, given)| *given && self.kernel == Image::Apcheck) {
            return Err(format!(
                "{option} is for a Linux kernel, and {} is none: name one with --kernel FILE",
                self.kernel
            ));
        }
        separate(&[
            ("--console file:", self.console.file()),
            ("--event-monitor path=", self.outside.event_monitor.as_ref().and_then(EventTarget::file)),
            ("--log-file ", self.outside.log_file.as_deref()),
        ])?;
        let machine = self.machine.unwrap_or_default();
        Ok(Config {
            host: self.host,
            cpu: self.cpu,
            device,
            key_wrapping: machine.key_wrapping,
            loadparm: machine.loadparm,
            memory: self.memory,
            vcpus: self.smp,
            kernel: self.kernel,
            initrd: self.initrd,
            append: self.append,
            console: self.console,
            line_mode: self.line_mode,
            events: self.outside.event_monitor,
        })
    }
}

/// QEMU's long options with one dash, as people have them in their scripts.
const SINGLE_DASH: [(&str, &str); 9] = [
    ("-append", "--append"),
    ("-cpu", "--cpu"),
    ("-device", "--device"),
    ("-initrd", "--initrd"),
    ("-kernel", "--kernel"),
    ("-m", "--memory"),
    ("-machine", "--machine"),
    ("-memory", "--memory"),
    ("-smp", "--smp"),
];

/// Turns `-cpu` and its kin into `--cpu`, for `adjunct run` only. The word after an option is that
/// option's value and left as it is.
pub fn with_double_dashes(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut normal: Vec<OsString> = words.by_ref().take(2).collect();
    if normal.get(1).is_none_or(|command| command != "run") {
        normal.extend(words);
        return normal;
    }
    while let Some(word) = words.next() {
        match SINGLE_DASH.iter().find(|(single, _)| word == *single) {
            Some((_, double)) => {
                normal.push(OsString::from(*double));
                normal.extend(words.next());
            }
            None => normal.push(word),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run(words: &[&str]) -> Result<Config, String> {
        let words = ["adjunct", "run"].iter().chain(words).map(OsString::from);
        match Cli::try_parse_from(with_double_dashes(words)).map_err(|e| e.to_string())?.command {
            Command::Run(args) => args.into_config(),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn single_dash_options_are_in_order() {
        assert!(SINGLE_DASH.is_sorted());
    }

    #[test]
    fn without_options_the_guest_is_apcheck_on_cpu_host_with_256_mebibytes() {
        let config = run(&[]).expect("all have defaults");
        assert_eq!(config.kernel, Image::Apcheck);
        assert_eq!(config.cpu.to_string(), "host");
        assert_eq!(config.memory.bytes(), 256 << 20);
        assert_eq!((config.vcpus, config.host, config.device), (1, None, None));
    }

    #[test]
    fn qemu_options_with_one_dash_mean_the_same() {
        let double = run(&["--cpu", "host,ap=on", "--device", "vfio-ap,sysfsdev=/sys/x", "--smp", "2"]);
        let single = run(&["-cpu", "host,ap=on", "-device", "vfio-ap,sysfsdev=/sys/x", "-smp", "2"]);
        assert_eq!(format!("{:?}", single.expect("taken")), format!("{:?}", double.expect("taken")));
    }

    #[test]
    fn values_that_people_have_in_scripts_for_qemu_mean_the_same() {
        let ours = run(&["--machine", "aes-key-wrap=off", "--smp", "2", "--memory", "64M"]);
        let qemus =
            run(&["-machine", "s390-ccw-virtio,aes-key-wrap=off", "-smp", "cpus=2", "-m", "size=64M"]);
        assert_eq!(format!("{:?}", qemus.expect("taken")), format!("{:?}", ours.expect("taken")));
        for refused in [["-smp", "cpus=2,maxcpus=4"], ["-m", "size=64M,slots=2"], ["-machine", "accel=kvm"]] {
            assert!(run(&refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_value_that_looks_like_an_option_stays_a_value() {
        let config = run(&["--kernel", "/k", "-append", "-cpu"]).expect("-cpu is the text");
        assert_eq!(config.append.as_deref(), Some("-cpu"));
    }

    #[test]
    fn a_second_vfio_ap_device_is_refused_with_the_reason() {
        let refused =
            run(&["--device", "vfio-ap,sysfsdev=/a", "--device", "vfio-ap,sysfsdev=/b"]).expect_err("two");
        assert!(refused.contains("one vfio-ap device") && refused.contains("/b"), "{refused}");
    }

    #[test]
    fn an_initial_ramdisk_without_a_kernel_is_refused() {
        assert!(run(&["--initrd", "/i"]).expect_err("no kernel").contains("--kernel"));
    }
}
