//! What the kernel asks of a FUSE file system, request by request, and how each is answered.

use super::{Files, Open, PAGE, TTL, locked};
use crate::sim::mount::nodes::Changed;
use fuser::{
    AccessFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::{ffi::OsStr, io, path::Path, thread, time::SystemTime};

/// Answers with what there is, or with the error.
macro_rules! answer {
    ($reply:expr, $answer:expr, |$value:pat_param| $give:expr) => {
        match $answer {
            Ok($value) => $give,
            Err(errno) => $reply.error(Errno::from_i32(errno)),
        }
    };
}

/// Does what may take long in a thread of its own, so that nobody else waits for it. Without a thread the reply, which
/// goes with it, is EIO.
fn aside(work: impl FnOnce() + Send + 'static) {
    // Dropping a reply sends that.
    let _ = thread::Builder::new().spawn(work);
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
        self.forgotten(inode, lookups);
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
        let attributes = self.change(inode, Changed { mode, user: uid, group: gid });
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

    /// In a thread of its own: a plan may hold it.
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
        let open = match self.opened(handle) {
            Ok(open) => open,
            Err(errno) => return reply.error(Errno::from_i32(errno)),
        };
        let tree = self.tree.clone();
        aside(move || answer!(reply, locked(&open).read(&tree, offset, size), |text| reply.data(&text)));
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
        aside(move || {
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
