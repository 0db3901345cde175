//! `/sys` of the host: which files there are, who may open them, and what a read or a write of one does.
//!
//! The rules of the file system are here (`fs/kernfs/file.c`, `fs/sysfs/file.c`, 7.2); what an attribute says and
//! accepts is with whoever owns it (`ap_bus`, `vfio_ap`).

mod attribute;
mod dir;
mod driver_core;
mod number;
mod tree;
mod view;

pub(crate) use attribute::Attribute;
pub(crate) use driver_core::Autoprobe;
pub(crate) use number::{boolean, integer};
pub use view::{Node, NodeKind, Tree};

use dir::Dir;

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
    let mut at = Entry::Directory(Dir::Root);
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        let (Entry::Directory(dir) | Entry::Link(dir)) = at else { return Err(libc::ENOTDIR) };
        at = tree::entry(state, dir, name).ok_or(libc::ENOENT)?;
    }
    Ok(at)
}

/// Reads an attribute.
pub(crate) fn read(state: &State, path: &str) -> Result<String, Errno> {
    match entry(state, path)? {
        Entry::Directory(_) | Entry::Link(_) => Err(libc::EISDIR),
        Entry::File(file) => file.show.ok_or(libc::EACCES)?(state),
    }
}

/// Writes an attribute. Of more than a page only the first page reaches the store.
pub(crate) fn write(state: &mut State, path: &str, value: &str) -> Result<(), Errno> {
    let store = match entry(state, path)? {
        Entry::Directory(_) | Entry::Link(_) => return Err(libc::EISDIR),
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
        Entry::Directory(dir) | Entry::Link(dir) => {
            let entries = [tree::directories(state, dir), tree::links(state, dir)].concat();
            let mut names: Vec<String> = entries.into_iter().map(|(name, _)| name).collect();
            names.extend(tree::files(state, dir).into_iter().map(str::to_owned));
            names.sort();
            Ok(names)
        }
        Entry::File(_) => Err(libc::ENOTDIR),
    }
}
