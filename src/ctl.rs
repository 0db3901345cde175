//! `adjunct ctl`: looks at and steers an adjunct that listens at `--api-socket`.

mod show;

use crate::{
    api::{
        client::{Client, ClientError},
        http::LONGEST_BODY,
        types::{DeviceConfig, VmConfig, VmRemoveDevice},
    },
    config::VfioApOption,
    exit_status::ExitStatus,
};
use clap::{Args, Subcommand};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Options of `adjunct ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The socket of the adjunct to ask; also as that was given it, path=PATH
    #[arg(long, value_name = "PATH", value_parser = socket)]
    api_socket: PathBuf,

    /// Print answers as they came: JSON
    #[arg(long, global = true)]
    json: bool,

    /// What to do.
    #[command(subcommand)]
    command: CtlCommand,
}

/// What can be asked of an adjunct.
#[derive(Debug, Subcommand)]
enum CtlCommand {
    /// Say who answers
    Ping,
    /// Show the guest as it is
    Info,
    /// Create a guest that can be booted: a JSON file of a VmConfig, or - for standard input
    ///
    /// {} is the guest that adjunct run has without options. Members are cpus.boot_vcpus and .model,
    /// memory.size, payload.kernel, .cmdline and .initramfs, console.mode, .file and .line_mode,
    /// devices[].path (or .fd and .iommufd), .backend and .id, platform.aes_key_wrap, .dea_key_wrap
    /// and .loadparm.
    Create {
        /// The file, or -
        file: PathBuf,
    },
    /// Start the guest that was created, or that has ended
    Boot,
    /// Hold all CPUs of the guest
    Pause,
    /// Let a paused guest go on
    Resume,
    /// Reset the guest and load its program again; a paused one goes on
    Reboot,
    /// Ask the guest to shut down
    PowerButton,
    /// End the guest without asking it; adjunct stays, and the guest can be booted again
    Shutdown,
    /// Forget the guest; one that runs is ended first. adjunct stays
    Delete,
    /// Plug a device into the running guest
    AddDevice {
        /// The device, as --device of adjunct run takes it
        #[arg(value_name = "vfio-ap,sysfsdev=PATH[,backend=group|iommufd][,id=ID]")]
        device: VfioApOption,
    },
    /// Unplug a device from the running guest
    RemoveDevice {
        /// What info calls it
        id: String,
    },
    /// Show what has been counted
    Counters,
    /// Print what has been counted as OpenMetrics
    Metrics,
    /// Print all events from now on, one JSON object a line, until adjunct ends
    Events,
    /// End the guest and adjunct
    Quit,
}

/// The path alone, or as the other side was given it.
fn socket(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("path=").unwrap_or(text) {
        path if path.is_empty() || path.starts_with("fd=") => {
            Err("write the path of a socket; one that adjunct got as fd=N has it from whoever made it"
                .to_owned())
        }
        path => Ok(path.into()),
    }
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// The file can't be read.
    #[error("create {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What the file has is no configuration.
    #[error("create {}: {why}", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// Where, and why.
        why: String,
    },
    /// The adjunct did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer could not be written.
    #[error("standard output can't be written")]
    Output(#[source] io::Error),
}

impl CtlError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Config { .. } => ExitStatus::Usage,
            Self::Client(ClientError::Gone | ClientError::Answer(_)) => ExitStatus::HostError,
            Self::Client(ClientError::Refused { status, .. }) if *status >= 500 => ExitStatus::HostError,
            Self::Unreadable { .. } | Self::Client(_) => ExitStatus::Refused,
            // Whoever reads us has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Success,
            Self::Output(_) => ExitStatus::Output,
        }
    }
}

/// Asks, and prints what is answered.
///
/// # Errors
/// [`CtlError`]; one whose status is success needs no word.
pub fn run(args: &CtlArgs) -> Result<ExitStatus, CtlError> {
    // Before anybody is asked.
    let config = match &args.command {
        CtlCommand::Create { file } => Some(read(file)?),
        _ => None,
    };
    let mut client = Client::connect(&args.api_socket)?;
    let show = Show { json: args.json };
    match &args.command {
        CtlCommand::Ping => show.answer(&client.text("vmm.ping")?, show::ping),
        CtlCommand::Info => show.answer(&client.text("vm.info")?, show::info),
        CtlCommand::Counters => show.answer(&client.text("vm.counters")?, show::counters),
        CtlCommand::Metrics => print(client.text("vm.metrics")?.as_bytes()),
        CtlCommand::Events => client.follow("vm.events", print),
        CtlCommand::Create { .. } => Ok(client.put("vm.create", &config).map(drop)?),
        CtlCommand::AddDevice { device } => {
            show.answer(&client.put("vm.add-device", &DeviceConfig::from(device))?, show::device)
        }
        CtlCommand::RemoveDevice { id } => {
            Ok(client.put("vm.remove-device", &VmRemoveDevice { id: id.clone() }).map(drop)?)
        }
        CtlCommand::Boot => Ok(client.order("vm.boot")?),
        CtlCommand::Pause => Ok(client.order("vm.pause")?),
        CtlCommand::Resume => Ok(client.order("vm.resume")?),
        CtlCommand::Reboot => Ok(client.order("vm.reboot")?),
        CtlCommand::PowerButton => Ok(client.order("vm.power-button")?),
        CtlCommand::Shutdown => Ok(client.order("vm.shutdown")?),
        CtlCommand::Delete => Ok(client.order("vm.delete")?),
        CtlCommand::Quit => Ok(client.order("vmm.shutdown")?),
    }
    .map(|()| ExitStatus::Success)
}

/// A guest's configuration from a file.
fn read(path: &Path) -> Result<VmConfig, CtlError> {
    let text = json(path).map_err(|source| CtlError::Unreadable { path: path.to_owned(), source })?;
    let config = crate::api::read(&text);
    config.map_err(|why| CtlError::Config { path: path.to_owned(), why: why.to_string() })
}

/// What the file has, or standard input, which may never end: no more than adjunct takes.
fn json(path: &Path) -> io::Result<Vec<u8>> {
    let from: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut text = Vec::new();
    if from.take(LONGEST_BODY + 1).read_to_end(&mut text)? as u64 > LONGEST_BODY {
        return Err(io::Error::other(format!("it is longer than {} KiB", LONGEST_BODY >> 10)));
    }
    Ok(text)
}

/// How answers are shown.
#[derive(Clone, Copy, Debug)]
struct Show {
    json: bool,
}

impl Show {
    fn answer<T: serde::de::DeserializeOwned>(
        self,
        text: &str,
        for_people: impl FnOnce(&T) -> String,
    ) -> Result<(), CtlError> {
        if self.json {
            return print(text.as_bytes());
        }
        let answer = serde_json::from_str(text).map_err(|error| ClientError::Answer(error.to_string()))?;
        print(for_people(&answer).as_bytes())
    }
}

fn print(text: &[u8]) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(CtlError::Output)
}
