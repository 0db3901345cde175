//! The files that clients send (SCM_RIGHTS), by the names that they give them: those of devices, and iommufd objects.
//!
//! They stay when their client goes, as in QEMU (`monitor/fds.c`, `backends/iommufd.c`). Knows no device.

use super::{
    command::done,
    message::{Arguments, Error},
};
use crate::{
    config::{DeviceId, DeviceIdError, SentFile},
    control::Handle,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

/// How many files are taken with one message; the kernel closes what is beyond.
const AT_ONCE: usize = 16;

/// How many are kept by name, and as many objects.
const MOST: usize = 64;

/// The one type of object.
const IOMMUFD: &str = "iommufd";

/// What clients have sent.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// What came last, until a command takes it or others come.
    latest: Option<OwnedFd>,
    named: BTreeMap<String, OwnedFd>,
    /// The iommufd objects. Without a file: the one that a host has at `/dev/iommu`.
    iommufds: BTreeMap<String, Option<OwnedFd>>,
}

impl Files {
    /// Reads from `stream`, and keeps the first of the files that come with that.
    ///
    /// # Errors
    /// As for any read.
    pub(super) fn receive(&mut self, stream: &UnixStream, bytes: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [IoSliceMut::new(bytes)];
        let received = recvmsg(stream, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut files) = message {
                self.latest = files.next();
            }
        }
        Ok(received.bytes)
    }

    /// Closes the file that no command has asked for: its client is gone.
    pub(super) fn forget_latest(&mut self) {
        self.latest = None;
    }

    /// Takes the file `name` out, for a device.
    pub(super) fn take(&mut self, name: String) -> Result<SentFile, Error> {
        match self.named.remove(&name) {
            Some(file) => Ok(SentFile::new(name, file)),
            None => Err(Error::generic(format!("File descriptor named '{name}' has not been found"))),
        }
    }

    /// The file of the iommufd object `id`, if it has one; the object keeps it too.
    pub(super) fn iommufd(&self, id: &str) -> Result<Option<SentFile>, Error> {
        let object = self.iommufds.get(id).ok_or_else(|| Error::device_not_found(id))?;
        let file = object.as_ref().map(OwnedFd::try_clone).transpose();
        let file = file.map_err(|error| Error::generic(format!("object '{id}': {error}")))?;
        Ok(file.map(|file| SentFile::new(id.to_owned(), file)))
    }
}

/// `getfd`: gives the file that came with the command, or before it, a name. One that has the name already is closed.
pub(super) fn get(_: &Handle, files: &mut Files, mut arguments: Arguments) -> Result<Value, Error> {
    let name = arguments.string("fdname")?;
    let name = arguments.required("fdname", name)?;
    arguments.finish()?;
    let file =
        files.latest.take().ok_or_else(|| Error::generic("No file descriptor supplied via SCM_RIGHTS"))?;
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Error::generic("Parameter 'fdname' expects a name not starting with a digit"));
    }
    if files.named.len() >= MOST && !files.named.contains_key(&name) {
        return Err(Error::generic(format!("{MOST} file descriptors have names already: close one first")));
    }
    files.named.insert(name, file);
    Ok(done())
}

/// `closefd`: closes a file that has a name.
pub(super) fn close(_: &Handle, files: &mut Files, mut arguments: Arguments) -> Result<Value, Error> {
    let name = arguments.string("fdname")?;
    let name = arguments.required("fdname", name)?;
    arguments.finish()?;
    match files.named.remove(&name) {
        Some(_) => Ok(done()),
        None => Err(Error::generic(format!("File descriptor named '{name}' not found"))),
    }
}

/// `object-add` of an iommufd.
pub(super) fn add_object(_: &Handle, files: &mut Files, mut arguments: Arguments) -> Result<Value, Error> {
    let kind = arguments.string("qom-type")?;
    let kind = arguments.required("qom-type", kind)?;
    if kind != IOMMUFD {
        return Err(Error::generic(format!("Parameter 'qom-type' does not accept value '{kind}'")));
    }
    let id = arguments.string("id")?;
    let id = arguments.required("id", id)?;
    let fd = arguments.string("fd")?;
    arguments.finish()?;
    id.parse::<DeviceId>()
        .map_err(|_: DeviceIdError| Error::generic("Parameter 'id' expects an identifier"))?;
    if files.iommufds.contains_key(&id) {
        let twice = format!("attempt to add duplicate property '{id}' to object (type 'container')");
        return Err(Error::generic(twice));
    }
    if files.iommufds.len() >= MOST {
        return Err(Error::generic(format!("there are {MOST} objects already: delete one first")));
    }
    let file = fd.map(|name| files.take(name)).transpose()?.and_then(|sent| sent.take());
    files.iommufds.insert(id, file);
    Ok(done())
}

/// `object-del`. A device that uses the object's file keeps it.
pub(super) fn delete_object(_: &Handle, files: &mut Files, mut arguments: Arguments) -> Result<Value, Error> {
    let id = arguments.string("id")?;
    let id = arguments.required("id", id)?;
    arguments.finish()?;
    match files.iommufds.remove(&id) {
        Some(_) => Ok(done()),
        None => Err(Error::generic(format!("object '{id}' not found"))),
    }
}
