//! The simulated host's tree as a FUSE file system: `sys` in an otherwise empty directory.
//!
//! Who may do what to a file is decided as Linux' sysfs decides it (`fs/kernfs`, 7.2); what a file says and takes is the
//! simulated host's. Nothing is cached, neither here nor by the kernel, so a change by one program is seen by all.

mod requests;

use super::nodes::{Changed, Nodes, Place};
use adjunct_simulator::{Node, NodeKind, Tree};
use fuser::{FileAttr, FileHandle, FileType, INodeNo, OpenAccMode, OpenFlags, ReplyDirectory};
use std::{
    collections::HashMap,
    ffi::OsStr,
    io::PipeWriter,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// For how long the kernel may believe what it was told.
const TTL: Duration = Duration::ZERO;
/// What a page has, and so what `ls` calls the size of an attribute.
const PAGE: u16 = 4096;

/// What [`Session`](fuser::Session) asks.
#[derive(Debug)]
pub(super) struct Files {
    tree: Tree,
    nodes: Mutex<Nodes>,
    open: Mutex<HashMap<u64, Arc<Mutex<Open>>>>,
    next: AtomicU64,
    born: SystemTime,
    /// Closed when nothing is mounted any more.
    #[expect(dead_code, reason = "held until it is dropped")]
    mounted: PipeWriter,
}

/// What is open, and how far it was read.
#[derive(Debug)]
enum Open {
    /// An attribute: what it said when reading began, and where the next read goes on (`fs/seq_file.c`).
    Attribute { node: Node, text: Vec<u8>, next: u64 },
    /// A directory: what was in it when reading began.
    Directory { inode: u64, entries: Vec<(String, u64, FileType)> },
}

impl Open {
    /// What was said when reading began is read to its end; from the start, or elsewhere, the attribute is asked anew.
    fn read(&mut self, tree: &Tree, offset: u64, size: u32) -> Result<Vec<u8>, i32> {
        let Self::Attribute { node, text, next } = self else { return Err(libc::EISDIR) };
        if offset == 0 || offset != *next {
            *text = tree.load(*node)?;
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let part = text[start..].iter().copied().take(size).collect::<Vec<u8>>();
        *next = offset + part.len() as u64;
        Ok(part)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::Directory => FileType::Directory,
        NodeKind::Link => FileType::Symlink,
        NodeKind::Attribute => FileType::RegularFile,
    }
}

impl Files {
    /// The files of `tree`. `mounted` is closed when the session is over.
    pub(super) fn new(tree: Tree, mounted: PipeWriter) -> Self {
        Self {
            tree,
            nodes: Mutex::default(),
            open: Mutex::default(),
            next: AtomicU64::new(1),
            born: SystemTime::now(),
            mounted,
        }
    }

    fn place(&self, inode: INodeNo) -> Result<Place, i32> {
        locked(&self.nodes).place(inode.0).ok_or(libc::ESTALE)
    }

    fn node(&self, inode: INodeNo) -> Result<Node, i32> {
        match self.place(inode)? {
            Place::Node(node) => Ok(node),
            Place::Top => Err(libc::EISDIR),
        }
    }

    /// Its own permissions, or those somebody gave it.
    fn mode(&self, node: Node) -> Result<u16, i32> {
        let mode = self.tree.permissions(node)?;
        Ok(locked(&self.nodes).changed(node.number()).mode.unwrap_or(mode))
    }

    fn attributes(&self, place: Place) -> Result<FileAttr, i32> {
        let (inode, kind, subdirectories, mode) = match place {
            Place::Top => (INodeNo::ROOT.0, FileType::Directory, 1, 0o755),
            Place::Node(node) => {
                let directory = node.kind() == NodeKind::Directory;
                let subdirectories = if directory { self.tree.subdirectories(node)? } else { 0 };
                (node.number(), file_type(node.kind()), subdirectories, self.mode(node)?)
            }
        };
        let changed = locked(&self.nodes).changed(inode);
        let (size, links) = match kind {
            FileType::Directory => (0, u32::try_from(2 + subdirectories).unwrap_or(u32::MAX)),
            FileType::RegularFile => (PAGE.into(), 1),
            _ => (0, 1),
        };
        Ok(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: 0,
            atime: self.born,
            mtime: self.born,
            ctime: self.born,
            crtime: self.born,
            kind,
            perm: mode,
            nlink: links,
            uid: changed.user.unwrap_or(0),
            gid: changed.group.unwrap_or(0),
            rdev: 0,
            blksize: PAGE.into(),
            flags: 0,
        })
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<Place, i32> {
        let name = name.to_str().ok_or(libc::ENOENT)?;
        match self.place(parent)? {
            Place::Top if name == "sys" => Ok(Place::Node(Node::ROOT)),
            Place::Top => Err(libc::ENOENT),
            Place::Node(node) => self.tree.lookup(node, name).map(Place::Node),
        }
    }

    fn keep(&self, open: Open) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.open).insert(handle, Arc::new(Mutex::new(open)));
        FileHandle(handle)
    }

    fn opened(&self, handle: FileHandle) -> Result<Arc<Mutex<Open>>, i32> {
        locked(&self.open).get(&handle.0).cloned().ok_or(libc::EBADF)
    }

    /// Opening in a direction that the file does not have is refused to everybody (`fs/kernfs/file.c:
    /// kernfs_fop_open`).
    fn open_attribute(&self, inode: INodeNo, flags: OpenFlags) -> Result<FileHandle, i32> {
        let node = self.node(inode)?;
        let mode = self.mode(node)?;
        let (reads, writes) = match flags.acc_mode() {
            OpenAccMode::O_RDONLY => (true, false),
            OpenAccMode::O_WRONLY => (false, true),
            OpenAccMode::O_RDWR => (true, true),
        };
        if (reads && mode & 0o444 == 0) || (writes && mode & 0o222 == 0) {
            return Err(libc::EACCES);
        }
        Ok(self.keep(Open::Attribute { node, text: Vec::new(), next: 0 }))
    }

    /// Gives other permissions or another owner to what is there.
    fn change(&self, inode: INodeNo, change: Changed) -> Result<FileAttr, i32> {
        let place = self.place(inode)?;
        self.attributes(place)?;
        locked(&self.nodes).change(inode.0, change);
        self.attributes(place)
    }

    /// The kernel has dropped references. What is found again is as it was changed, as long as its device is there.
    fn forgotten(&self, inode: INodeNo, lookups: u64) {
        let changed = locked(&self.nodes).forget(inode.0, lookups);
        if changed.is_some_and(|node| self.tree.permissions(node).is_err()) {
            locked(&self.nodes).drop_changes(inode.0);
        }
    }

    fn snapshot(&self, inode: u64) -> Result<Vec<(String, u64, FileType)>, i32> {
        let mut entries = vec![
            (".".to_owned(), inode, FileType::Directory),
            ("..".to_owned(), INodeNo::ROOT.0, FileType::Directory),
        ];
        match self.place(INodeNo(inode))? {
            Place::Top => entries.push(("sys".to_owned(), Node::ROOT.number(), FileType::Directory)),
            Place::Node(node) => {
                let inside = self.tree.entries(node)?.into_iter();
                entries.extend(inside.map(|(name, node)| (name, node.number(), file_type(node.kind()))));
            }
        }
        Ok(entries)
    }

    fn list(&self, handle: FileHandle, offset: u64, reply: &mut ReplyDirectory) -> Result<(), i32> {
        let open = self.opened(handle)?;
        let mut open = locked(&open);
        let Open::Directory { inode, entries } = &mut *open else { return Err(libc::ENOTDIR) };
        if offset == 0 {
            *entries = self.snapshot(*inode)?;
        }
        let first = usize::try_from(offset).unwrap_or(usize::MAX);
        for (number, (name, inode, kind)) in (offset + 1..).zip(entries.iter().skip(first)) {
            if reply.add(INodeNo(*inode), number, *kind, name) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_ap::Sysfs;
    use adjunct_simulator::{HostFile, SimHost};
    use std::io;

    const MDEV: &str = "devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

    fn files() -> (SimHost, Files) {
        let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts");
        let (_, mounted) = io::pipe().expect("a pipe");
        let files = Files::new(host.tree(), mounted);
        (host, files)
    }

    fn look_up(files: &Files, path: &str) -> INodeNo {
        let node = files.tree.find(path).expect("it is there");
        locked(&files.nodes).looked_up(Place::Node(node));
        INodeNo(node.number())
    }

    const CHMOD: Changed = Changed { mode: Some(0o600), user: None, group: None };

    #[test]
    fn what_was_changed_is_kept_until_the_device_is_gone_and_the_kernel_has_forgotten_it() {
        let (host, files) = files();
        let path = format!("{MDEV}/matrix");
        let inode = look_up(&files, &path);
        assert_eq!(files.change(inode, CHMOD).map(|attributes| attributes.perm), Ok(0o600));
        files.forgotten(inode, 1);
        assert_eq!(look_up(&files, &path), inode);
        assert_eq!(locked(&files.nodes).changed(inode.0), CHMOD);
        host.write(&format!("{MDEV}/remove"), "1").expect("nobody has it open");
        files.forgotten(inode, 1);
        assert_eq!(locked(&files.nodes).changed(inode.0), Changed::default());
    }

    #[test]
    fn what_is_not_there_is_not_changed() {
        let (host, files) = files();
        let unknown = INodeNo(4711);
        assert_eq!(files.change(unknown, CHMOD).map(|_| ()), Err(libc::ESTALE));
        assert_eq!(locked(&files.nodes).changed(unknown.0), Changed::default());
        let gone = look_up(&files, &format!("{MDEV}/matrix"));
        host.write(&format!("{MDEV}/remove"), "1").expect("nobody has it open");
        assert_eq!(files.change(gone, CHMOD).map(|_| ()), Err(libc::ENOENT));
        assert_eq!(locked(&files.nodes).changed(gone.0), Changed::default());
    }
}
