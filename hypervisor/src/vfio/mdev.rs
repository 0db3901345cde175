//! A mediated device in sysfs, and the files under `/dev` that lead to it.

use crate::{KernelError, Result};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

/// A mediated device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mdev {
    /// Its directory, by the name that the user gave it.
    path: PathBuf,
    /// Its UUID, which is its name everywhere.
    name: String,
}

impl Mdev {
    /// The mediated device whose directory is `path`, or whose directory a symbolic link `path` leads to.
    ///
    /// # Errors
    /// ENOENT if there is nothing, ENODEV if it is something else.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let refused = |error| refused("open", path, &error);
        let uuid = |path: &Path| path.file_name()?.to_str().filter(|name| is_uuid(name)).map(str::to_owned);
        if !fs::metadata(path).map_err(refused)?.is_dir() {
            return Err(no_device(path));
        }
        // Only a link with a name of its own has to be followed for the name.
        let name = match uuid(path) {
            Some(name) => name,
            None => uuid(&fs::canonicalize(path).map_err(refused)?).ok_or_else(|| no_device(path))?,
        };
        Ok(Self { path: path.to_owned(), name })
    }

    /// Its UUID.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file of its group, `/dev/vfio/N`.
    ///
    /// # Errors
    /// ENODEV if it has none: the kernel was built without groups.
    pub(super) fn group(&self) -> Result<PathBuf> {
        let link = self.path.join("iommu_group");
        group_of(&link).ok_or_else(|| no_device(&link))
    }

    /// Its character device, `/dev/vfio/devices/vfioN`.
    ///
    /// # Errors
    /// ENODEV if it has none: the kernel is older than 6.6, or was built without them. Such a kernel can have the directory
    /// `vfio-dev/vfioN` all the same, but no device number in it.
    pub(super) fn character_device(&self) -> Result<PathBuf> {
        let directory = self.path.join("vfio-dev");
        let entry = fs::read_dir(&directory).ok().and_then(|mut entries| entries.next()?.ok());
        let numbered = entry.filter(|entry| entry.path().join("dev").exists());
        let path = numbered.map(|entry| Path::new("/dev/vfio/devices").join(entry.file_name()));
        path.ok_or_else(|| no_device(&directory))
    }
}

/// The file of the group whose device has the character device `device`, if it is one and its sysfs can be seen.
pub(super) fn group_of_device(device: &OwnedFd) -> Option<PathBuf> {
    let number = File::from(device.as_fd().try_clone_to_owned().ok()?).metadata().ok()?.rdev();
    let (major, minor) = (libc::major(number), libc::minor(number));
    group_of(Path::new(&format!("/sys/dev/char/{major}:{minor}/device/iommu_group")))
}

/// Where the link `iommu_group` leads to is named after the group, and so is the group's file: AP devices have groups
/// without an IOMMU, but not the kind of them that is called `noiommu-N`.
fn group_of(link: &Path) -> Option<PathBuf> {
    let target = fs::read_link(link).ok()?;
    Some(Path::new("/dev/vfio").join(target.file_name()?))
}

/// Opens a device file for reading and writing, close-on-exec.
///
/// # Errors
/// The kernel's, with the path.
pub(super) fn open_file(path: &Path) -> Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map(OwnedFd::from).map_err(|error| refused("open", path, &error))
}

fn refused(request: &'static str, path: &Path, error: &io::Error) -> KernelError {
    KernelError::new(request, path.display().to_string(), error.raw_os_error().unwrap_or(libc::EIO))
}

fn no_device(path: &Path) -> KernelError {
    KernelError::new("open", path.display().to_string(), libc::ENODEV)
}

/// Five groups of hexadecimal digits: nothing else in sysfs is named so.
fn is_uuid(name: &str) -> bool {
    let hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && name.split('-').all(hexadecimal)
}

#[cfg(test)]
mod tests;
