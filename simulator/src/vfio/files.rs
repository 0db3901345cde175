//! A process's open files: `open`, `ioctl`, `dup` and `close` by number.

use super::{
    abi::Argument, container::Container, device::Device, group::Group, iommufd::Iommufd, kvm_vfio::KvmVfio,
};
use crate::{Held, SimHost, SimVm, kvm::Kvm, sysfs::Errno};
use adjunct_ap::Uuid;
use adjunct_hypervisor::descriptor;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The files that a program has open on the simulated host, by the numbers that it knows them by.
///
/// It stands where a program otherwise calls the kernel for `/dev/vfio`, `/dev/iommu` and the descriptor of a VM: give
/// it the request and the bytes of its argument, and it answers with what `ioctl` would return, or with the errno.
///
/// - Numbers of simulated files begin with [`Files::FIRST`], which no descriptor of a process reaches; any other number is
///   that of this process's own descriptor. So an eventfd is passed by its own number.
/// - The argument is the caller's memory as far as the request can see it: what is not in it is EFAULT. A structure is
///   in this machine's byte order. Where a request takes a number instead of a structure, that is its 8 bytes.
/// - An address *in* a structure (only `struct kvm_device_attr` has one that the kernel follows) is an offset into the
///   argument, so what it points to is put behind the structure.
///
/// Dropping it closes all files, as the end of a process does.
///
/// ```
/// use adjunct_simulator::{HostFile, SimHost, vfio::Files};
/// # use adjunct_ap::Sysfs;
/// let host = SimHost::new(HostFile::three_guests()?)?;
/// let files = Files::new(&host);
/// let mdev = "/sys/bus/mdev/devices/6c4a5d2e-0d3e-4c7a-9b0a-000000000001";
/// let group = files.open("/dev/vfio/0").expect("nobody has it open");
/// assert_eq!(files.open("/dev/vfio/0"), Err(libc::EBUSY));
/// // VFIO_GROUP_GET_DEVICE_FD: the group is in no container yet.
/// let mut name = *b"6c4a5d2e-0d3e-4c7a-9b0a-000000000001\0";
/// assert_eq!(files.ioctl(group, 0x3b6a, &mut name), Err(libc::EINVAL));
/// # Ok::<(), adjunct_simulator::HostFileError>(())
/// ```
#[derive(Debug)]
pub struct Files {
    host: SimHost,
    open: Mutex<BTreeMap<i32, Arc<OpenFile>>>,
}

/// What an open file is. The same file can have several numbers, and KVM can know it.
#[derive(Debug)]
pub(crate) enum OpenFile {
    Container(Arc<Container>),
    Group(Arc<Group>),
    Device(Arc<Device>),
    Iommufd(Arc<Iommufd>),
    Vm(Kvm),
    KvmVfio(KvmVfio),
}

impl Files {
    /// The lowest number of a simulated file.
    pub const FIRST: i32 = 1 << 30;

    /// A program that has no file open.
    pub fn new(host: &SimHost) -> Self {
        Self { host: host.clone(), open: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<i32, Arc<OpenFile>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn host(&self) -> &SimHost {
        &self.host
    }

    /// Notes an act in the host's list.
    pub(crate) fn act(&self, request: &'static str, target: impl Into<String>) -> Result<(), Errno> {
        self.host.acts().act(request, target).map_err(|refused| refused.errno.errno())
    }

    pub(crate) fn hold(&self, what: impl Into<String>) -> Held {
        self.host.acts().hold(what)
    }

    /// Gives a file the lowest number that is free.
    pub(crate) fn add(&self, file: OpenFile) -> i32 {
        self.install(Arc::new(file))
    }

    fn install(&self, file: Arc<OpenFile>) -> i32 {
        let mut table = self.table();
        let free =
            (Self::FIRST..).zip(table.keys()).find_map(|(free, taken)| (free != *taken).then_some(free));
        let fd = free.unwrap_or_else(|| table.keys().next_back().map_or(Self::FIRST, |last| last + 1));
        table.insert(fd, file);
        fd
    }

    /// The file with a number; `None` for one of this process's own.
    ///
    /// # Errors
    /// EBADF when there is neither.
    pub(crate) fn get(&self, fd: i32) -> Result<Option<Arc<OpenFile>>, Errno> {
        match self.table().get(&fd) {
            Some(file) => Ok(Some(Arc::clone(file))),
            None if fd < Self::FIRST && descriptor::duplicate(fd).is_ok() => Ok(None),
            None => Err(libc::EBADF),
        }
    }

    /// The simulated file with a number.
    fn simulated(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.table().get(&fd).cloned().ok_or(libc::EBADF)
    }

    /// Opens `/dev/vfio/vfio`, `/dev/vfio/N`, `/dev/vfio/devices/vfioN` or `/dev/iommu` for reading and writing.
    ///
    /// # Errors
    /// ENOENT without such a file; EBUSY for a group that is open, or whose device is bound to an iommufd; ENODEV for
    /// a device that is being removed (`drivers/vfio/group.c: vfio_group_fops_open`, `device_cdev.c:
    /// vfio_device_fops_cdev_open`, 7.2); what was planned with [`Acts`](crate::Acts) for `open`.
    pub fn open(&self, path: &str) -> Result<i32, i32> {
        let held = || self.hold(path);
        let file = match path {
            "/dev/vfio/vfio" => OpenFile::Container(Arc::new(Container::new(held()))),
            "/dev/iommu" => OpenFile::Iommufd(Arc::new(Iommufd::new(held()))),
            _ => {
                let number = path.strip_prefix("/dev/vfio/").ok_or(libc::ENOENT)?;
                match number.strip_prefix("devices/vfio") {
                    Some(number) => {
                        let uuid = self.device(number)?;
                        OpenFile::Device(Arc::new(Device::open(self, uuid, held())?))
                    }
                    None => OpenFile::Group(Arc::new(Group::open(self, self.device(number)?, held())?)),
                }
            }
        };
        Ok(self.add(file))
    }

    /// The mdev whose group, and whose character device, has this number.
    fn device(&self, number: &str) -> Result<Uuid, Errno> {
        let state = self.host.state();
        let mut mdevs = state.vfio.mdevs.iter();
        let found = mdevs.find(|(_, mdev)| mdev.group.to_string() == number);
        found.map(|(uuid, _)| *uuid).ok_or(libc::ENOENT)
    }

    /// A descriptor of a VM, as `KVM_CREATE_VM` returns it.
    pub fn vm(&self, vm: &SimVm) -> i32 {
        self.add(OpenFile::Vm(Kvm::of(vm)))
    }

    /// Puts `request` to the file `fd`, and answers what `ioctl` returns: 0, or the number of a new file.
    ///
    /// # Errors
    /// The kernel's errno, in the kernel's order of checks; EBADF when `fd` is no simulated file; ENOTTY for what the
    /// file does not know, which from a vfio-ap device is EOPNOTSUPP.
    pub fn ioctl(&self, fd: i32, request: u32, argument: &mut [u8]) -> Result<i32, i32> {
        let file = self.simulated(fd)?;
        let argument = Argument::new(argument);
        match &*file {
            OpenFile::Container(container) => container.ioctl(self, request, argument),
            OpenFile::Group(group) => group.ioctl(self, request, argument),
            OpenFile::Device(device) => device.ioctl(self, request, argument),
            OpenFile::Iommufd(iommufd) => iommufd.ioctl(self, request, argument),
            OpenFile::Vm(vm) => KvmVfio::vm_ioctl(self, vm, request, argument),
            OpenFile::KvmVfio(kvm) => kvm.ioctl(self, request, argument),
        }
    }

    /// `read` of a file. There is nothing to read in any of them.
    ///
    /// # Errors
    /// EINVAL (`drivers/vfio/vfio_main.c: vfio_device_fops_read`, and for files that have no such operation); EBADF.
    pub fn read(&self, fd: i32, _buffer: &mut [u8]) -> Result<usize, i32> {
        self.simulated(fd).and(Err(libc::EINVAL))
    }

    /// `write` to a file. There is nothing to write in any of them.
    ///
    /// # Errors
    /// EINVAL (`vfio_device_fops_write`); EBADF.
    pub fn write(&self, fd: i32, _data: &[u8]) -> Result<usize, i32> {
        self.simulated(fd).and(Err(libc::EINVAL))
    }

    /// `mmap` of `length` bytes of a file.
    ///
    /// # Errors
    /// EINVAL of a device (`vfio_device_fops_mmap`), ENODEV of any other file; EBADF.
    pub fn mmap(&self, fd: i32, _length: usize) -> Result<(), i32> {
        match &*self.simulated(fd)? {
            OpenFile::Device(_) => Err(libc::EINVAL),
            _ => Err(libc::ENODEV),
        }
    }

    /// `dup`: another number for the same file.
    ///
    /// # Errors
    /// EBADF when `fd` is no simulated file.
    pub fn dup(&self, fd: i32) -> Result<i32, i32> {
        let file = self.simulated(fd)?;
        Ok(self.install(file))
    }

    /// `close`. The file goes with its last number, unless KVM knows it, or a device of it is open.
    ///
    /// # Errors
    /// EBADF when `fd` is no simulated file.
    pub fn close(&self, fd: i32) -> Result<(), i32> {
        let file = self.table().remove(&fd);
        // What a file does when it goes, it does without the table's lock.
        file.map(drop).ok_or(libc::EBADF)
    }
}
