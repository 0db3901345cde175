//! The guest's program: what `--kernel`, `--initrd` and `--append` name.

use crate::{
    config::{Config, Image},
    sandbox::hint,
};
use adjunct_devices::ipl;
use adjunct_hypervisor::MemorySize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The guest program that comes with adjunct.
const APCHECK: &[u8] = include_bytes!("../../resources/guests/apcheck/apcheck.elf");

/// Why a file can't be a guest's program.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It can't be read.
    #[error("{option} {}: the file can't be read{}", .path.display(), hint(.source))]
    Unreadable {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A directory, a device, a pipe: it may have no end.
    #[error("{option} {}: it is no regular file: write what it gives to one", .path.display())]
    NoRegularFile {
        /// The option that names it.
        option: &'static str,
        /// What is named.
        path: PathBuf,
    },
    /// The guest could not hold it.
    #[error("{option} {}: it has {size} bytes, more than the guest's memory: give the guest more than {memory}M", .path.display())]
    TooLarge {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The guest's memory in MiB.
        memory: u64,
    },
}

/// Reads what `config` names.
pub(super) fn read(config: &Config) -> Result<ipl::Image, ImageError> {
    let kernel = match &config.kernel {
        Image::Apcheck => APCHECK.to_vec(),
        Image::File(path) => file("--kernel", path, config.memory)?,
    };
    let initrd = config.initrd.as_ref().map(|path| file("--initrd", path, config.memory)).transpose()?;
    Ok(ipl::Image { kernel, initrd, command_line: config.append.clone() })
}

fn file(option: &'static str, path: &Path, memory: MemorySize) -> Result<Vec<u8>, ImageError> {
    let unreadable = |source| ImageError::Unreadable { option, path: path.to_owned(), source };
    // Before it is opened: a pipe would wait for its writer.
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(ImageError::NoRegularFile { option, path: path.to_owned() });
    }
    if found.len() > memory.bytes() {
        let memory = memory.bytes() / MemorySize::UNIT;
        return Err(ImageError::TooLarge { option, path: path.to_owned(), size: found.len(), memory });
    }
    fs::read(path).map_err(unreadable)
}
