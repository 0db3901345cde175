//! The simulated host's tree as a FUSE file system: `sys` in an otherwise empty directory.
//!
//! Who may do what to a file is decided as Linux' sysfs decides it (`fs/kernfs`, 7.2); what a file says and takes is the
//! simulated host's. Nothing is cached, neither here nor by the kernel, so a change by one program is seen by all.

use super::nodes::{Nodes, Place};
use adjunct_simulator::{Node, NodeKind, Tree};
use fuser::{
    AccessFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{self, PipeWriter},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
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

    /// What was said when reading began is read to its end; from the start, or elsewhere, the attribute is asked anew.
    fn read_attribute(&self, handle: FileHandle, offset: u64, size: u32) -> Result<Vec<u8>, i32> {
        let open = self.opened(handle)?;
        let mut open = locked(&open);
        let Open::Attribute { node, text, next } = &mut *open else { return Err(libc::EISDIR) };
        if offset == 0 || offset != *next {
            *text = self.tree.load(*node)?;
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let part = text[start..].iter().copied().take(size).collect::<Vec<u8>>();
        *next = offset + part.len() as u64;
        Ok(part)
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

/// Answers with what there is, or with the error.
macro_rules! answer {
    ($reply:expr, $answer:expr, |$value:pat_param| $give:expr) => {
        match $answer {
            Ok($value) => $give,
            Err(errno) => $reply.error(Errno::from_i32(errno)),
        }
    };
}

impl Filesystem for Files {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A file is not cut to nothing before it is written. What a kernel lacks it does without.
        let _ = config.add_capabilities(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.find(parent, name).and_then(|place| Ok((place, self.attributes(place)?)));
        answer!(reply, found, |(place, attributes)| {
            locked(&self.nodes).looked_up(place);
            reply.entry(&TTL, &attributes, Generation(0));
        });
    }

    fn forget(&self, _: &Request, inode: INodeNo, lookups: u64) {
        locked(&self.nodes).forget(inode.0, lookups);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = self.place(inode).and_then(|place| self.attributes(place));
        answer!(reply, attributes, |attributes| reply.attr(&TTL, &attributes));
    }

    /// Owner and permissions are kept; a size is accepted and means nothing, as do times.
    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mode = mode.and_then(|mode| u16::try_from(mode & 0o7777).ok());
        locked(&self.nodes).change(inode.0, mode, uid, gid);
        let attributes = self.place(inode).and_then(|place| self.attributes(place));
        answer!(reply, attributes, |attributes| reply.attr(&TTL, &attributes));
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        let target = self.node(inode).and_then(|node| self.tree.target(node));
        answer!(reply, target, |target| reply.data(target.as_bytes()));
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        // Writes to one file may be under way at the same time: one may wait for long.
        let flagged = FopenFlags::FOPEN_DIRECT_IO
            | FopenFlags::FOPEN_NOFLUSH
            | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
        answer!(reply, self.open_attribute(inode, flags), |handle| reply.opened(handle, flagged));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        answer!(reply, self.read_attribute(handle, offset, size), |text| reply.data(&text));
    }

    /// In a thread of its own: a write may wait for as long as a guest runs.
    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let node = match self.node(inode) {
            Ok(node) => node,
            Err(errno) => return reply.error(Errno::from_i32(errno)),
        };
        let data = data[..data.len().min(PAGE.into())].to_vec();
        let tree = self.tree.clone();
        thread::spawn(move || {
            let written = tree.store(node, &data).map(|written| u32::try_from(written).unwrap_or(u32::MAX));
            answer!(reply, written, |written| reply.written(written));
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        locked(&self.open).remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let handle = self.keep(Open::Directory { inode: inode.0, entries: Vec::new() });
        reply.opened(handle, FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        answer!(reply, self.list(handle, offset, &mut reply), |()| reply.ok());
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        locked(&self.open).remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, PAGE.into(), 255, PAGE.into());
    }

    /// Asked only when whoever mounted it is not root, and owns all of it: he is its root.
    fn access(&self, _: &Request, inode: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let attributes = self.place(inode).and_then(|place| self.attributes(place));
        answer!(reply, attributes, |attributes| {
            if mask.contains(AccessFlags::X_OK) && attributes.perm & 0o111 == 0 {
                reply.error(Errno::EACCES);
            } else {
                reply.ok();
            }
        });
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    // What sysfs has no operation for. A file can't be created (EACCES); directories and names can't be changed (EPERM).

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::EACCES);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EPERM);
    }
}
