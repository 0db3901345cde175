//! `/sys` as a file system shows it: nodes with numbers, links with targets, permissions, bytes.
//!
//! [`Sysfs`](adjunct_ap::Sysfs) is for programs of ours, which name files and follow links without asking. Whoever shows
//! the tree to others has to tell what each name is; it refuses to know how (FUSE, an archive, a test).

use super::{
    PAGE,
    dir::{self, Dir},
    tree::{self, Entry},
};
use crate::{SimHost, host::State};
use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

/// Something in `/sys`: a directory, a link or an attribute. It never comes to stand for something else: a device that
/// comes back under the same name is another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    dir: Dir,
    /// Which of the devices that had this name.
    device: u64,
    leaf: Leaf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Leaf {
    /// The directory itself.
    Directory,
    /// A link in the directory, by where it leads; no directory has two to the same.
    Link(Dir),
    /// An attribute in the directory.
    Attribute(&'static str),
}

/// What a [`Node`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A file that is read and written.
    Attribute,
}

impl Node {
    /// `/sys` itself.
    pub const ROOT: Self = Self { dir: Dir::Root, device: 0, leaf: Leaf::Directory };

    fn new(state: &State, dir: Dir, leaf: Leaf) -> Self {
        Self { dir, device: dir::device(state, dir).unwrap_or_default(), leaf }
    }

    /// What it is.
    pub fn kind(self) -> NodeKind {
        match self.leaf {
            Leaf::Directory => NodeKind::Directory,
            Leaf::Link(_) => NodeKind::Link,
            Leaf::Attribute(_) => NodeKind::Attribute,
        }
    }

    /// Its inode number: the same as long as it is there, at least 2, below 2^62.
    pub fn number(self) -> u64 {
        // Its keys are fixed.
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        (hasher.finish() >> 2) | 2
    }

    fn is_there(self, state: &State) -> bool {
        dir::device(state, self.dir) == Some(self.device)
    }

    fn directory(self, state: &State) -> Result<Dir, i32> {
        match self.leaf {
            Leaf::Directory if self.is_there(state) => Ok(self.dir),
            Leaf::Directory => Err(libc::ENOENT),
            _ => Err(libc::ENOTDIR),
        }
    }

    /// The attribute, if its device is still there.
    fn file(self, state: &State) -> Result<tree::File, i32> {
        let Leaf::Attribute(name) = self.leaf else { return Err(libc::EISDIR) };
        let there = self.is_there(state).then(|| tree::file(state, self.dir, name)).flatten();
        there.ok_or(libc::ENODEV)
    }
}

/// `/sys` of a host, node by node. All errors are errno values, those of Linux' sysfs.
#[derive(Clone, Debug)]
pub struct Tree {
    host: SimHost,
}

impl Tree {
    pub(crate) fn new(host: SimHost) -> Self {
        Self { host }
    }

    /// What `name` is in a directory.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR.
    pub fn lookup(&self, directory: Node, name: &str) -> Result<Node, i32> {
        let state = self.host.state();
        let dir = directory.directory(&state)?;
        let leaf = |file: &tree::File| Leaf::Attribute(file.name);
        Ok(match tree::entry(&state, dir, name).ok_or(libc::ENOENT)? {
            Entry::Directory(dir) => Node::new(&state, dir, Leaf::Directory),
            Entry::Link(to) => Node::new(&state, dir, Leaf::Link(to)),
            Entry::File(file) => Node::new(&state, dir, leaf(&file)),
        })
    }

    /// What is at `path` below `/sys`. Links are not followed.
    ///
    /// # Errors
    /// As [`Tree::lookup`].
    pub fn find(&self, path: &str) -> Result<Node, i32> {
        let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
        names.into_iter().try_fold(Node::ROOT, |node, name| self.lookup(node, name))
    }

    /// Everything in a directory by name, without `.` and `..`, in no order.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR.
    pub fn entries(&self, directory: Node) -> Result<Vec<(String, Node)>, i32> {
        let state = self.host.state();
        let dir = directory.directory(&state)?;
        let directories = tree::directories(&state, dir).into_iter();
        let directories = directories.map(|(name, dir)| (name, Node::new(&state, dir, Leaf::Directory)));
        let here = |leaf| Node { leaf, ..directory };
        let links = tree::links(&state, dir).into_iter().map(|(name, to)| (name, here(Leaf::Link(to))));
        let files = tree::files(&state, dir).into_iter();
        let files = files.map(|name| (name.to_owned(), here(Leaf::Attribute(name))));
        Ok(directories.chain(links).chain(files).collect())
    }

    /// How many directories a directory has.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR.
    pub fn subdirectories(&self, directory: Node) -> Result<usize, i32> {
        let state = self.host.state();
        let dir = directory.directory(&state)?;
        Ok(tree::count_directories(&state, dir))
    }

    /// Permissions: 0755, 0777, and of an attribute 0444, 0200 or 0644. To open one in the other direction is EACCES
    /// for everybody (`fs/kernfs/file.c: kernfs_fop_open`).
    ///
    /// # Errors
    /// ENOENT when it is not there any more.
    pub fn permissions(&self, node: Node) -> Result<u16, i32> {
        let state = self.host.state();
        match node.leaf {
            _ if !node.is_there(&state) => Err(libc::ENOENT),
            Leaf::Directory => Ok(0o755),
            Leaf::Link(_) => Ok(0o777),
            Leaf::Attribute(_) => node.file(&state).map(|file| file.mode()).map_err(|_| libc::ENOENT),
        }
    }

    /// What a link says: `../../../devices/ap/card05`.
    ///
    /// # Errors
    /// EINVAL for what is no link, ENOENT.
    pub fn target(&self, link: Node) -> Result<String, i32> {
        let Leaf::Link(to) = link.leaf else { return Err(libc::EINVAL) };
        let state = self.host.state();
        if !link.is_there(&state) || dir::device(&state, to).is_none() {
            return Err(libc::ENOENT);
        }
        Ok(dir::target(&state, link.dir, to))
    }

    /// The path of a node below `/sys`; of a link or an attribute that of its directory.
    ///
    /// # Errors
    /// ENOENT when it is not there any more.
    fn directory_path(&self, node: Node) -> Result<String, i32> {
        let state = self.host.state();
        if node.is_there(&state) { Ok(dir::path(&state, node.dir)) } else { Err(libc::ENOENT) }
    }

    /// What an attribute says now.
    ///
    /// # Errors
    /// ENODEV when its device is gone, EIO for one that says nothing, and what the attribute answers.
    pub fn load(&self, attribute: Node) -> Result<Vec<u8>, i32> {
        if let Leaf::Attribute(name) = attribute.leaf {
            let path = self.directory_path(attribute).map_err(|_| libc::ENODEV)?;
            self.host.ask("read", &format!("{path}/{name}"))?;
        }
        let state = self.host.state();
        let show = attribute.file(&state)?.show.ok_or(libc::EIO)?;
        show(&state).map(String::into_bytes)
    }

    /// Writes to an attribute, and waits as long as the kernel does. At most a page is taken; the answer is how many
    /// bytes were.
    ///
    /// # Errors
    /// ENODEV when its device is gone, EIO for one that takes nothing, and what the attribute answers.
    pub fn store(&self, attribute: Node, bytes: &[u8]) -> Result<usize, i32> {
        let Leaf::Attribute(name) = attribute.leaf else { return Err(libc::EISDIR) };
        let path = self.directory_path(attribute).map_err(|_| libc::ENODEV)?;
        let taken = &bytes[..bytes.len().min(PAGE)];
        if taken.is_empty() {
            return Ok(0);
        }
        let text = String::from_utf8_lossy(taken);
        self.host.store(&format!("{path}/{name}"), &text, |state| {
            attribute.file(state)?.store.ok_or(libc::EIO)?(state, &text)
        })?;
        Ok(taken.len())
    }
}
