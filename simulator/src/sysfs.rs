//! `/sys` of the host: which files there are, who may open them, and what a read or a write of one does.
//!
//! The rules of the file system are here (`fs/kernfs/file.c`, `fs/sysfs/file.c`, 7.2); what an attribute says and
//! accepts is with whoever owns it (`ap_bus`, `vfio_ap`).

mod attribute;
mod number;
mod tree;

pub(crate) use attribute::Attribute;
pub(crate) use number::{boolean, integer};
pub(crate) use tree::Dir;

use crate::host::State;
use adjunct_ap::text::IdError;
use tree::Entry;

/// A positive errno.
pub(crate) type Errno = i32;

/// What one write can hand to an attribute: a page.
pub(crate) const PAGE: usize = 4096;

/// An unsigned number in base 0, as `kstrtoul` reads it.
pub(crate) fn unsigned(text: &str) -> Result<u64, Errno> {
    adjunct_ap::text::parse_id(text.as_bytes()).map_err(IdError::errno)
}

/// What is at `path`, relative to `/sys`, links followed.
fn entry(state: &State, path: &str) -> Result<Entry, Errno> {
    let mut at = Entry::Dir(Dir::Root);
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        let Entry::Dir(dir) = at else { return Err(libc::ENOTDIR) };
        at = tree::entry(state, dir, name).ok_or(libc::ENOENT)?;
    }
    Ok(at)
}

/// Reads an attribute.
pub(crate) fn read(state: &State, path: &str) -> Result<String, Errno> {
    match entry(state, path)? {
        Entry::Dir(_) => Err(libc::EISDIR),
        Entry::File(file) => file.show.ok_or(libc::EACCES)?(state),
    }
}

/// Writes an attribute. Of more than a page only the first page reaches the store.
pub(crate) fn write(state: &mut State, path: &str, value: &str) -> Result<(), Errno> {
    let store = match entry(state, path)? {
        Entry::Dir(_) => return Err(libc::EISDIR),
        Entry::File(file) => file.store.ok_or(libc::EACCES)?,
    };
    match value.as_bytes() {
        [] => Ok(()),
        bytes if bytes.len() <= PAGE => store(state, value),
        bytes => store(state, &String::from_utf8_lossy(&bytes[..PAGE])),
    }
}

/// The names in a directory, sorted.
pub(crate) fn list(state: &State, path: &str) -> Result<Vec<String>, Errno> {
    match entry(state, path)? {
        Entry::Dir(dir) => Ok(tree::names(state, dir)),
        Entry::File(_) => Err(libc::ENOTDIR),
    }
}
