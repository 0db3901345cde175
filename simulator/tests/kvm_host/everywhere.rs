//! What KVM and VFIO answer byte by byte, wherever a program asks: the same tests on the simulated host, and on real
//! kernels, where `hypervisor/tests/kvm` is the program and `tests/lab` the machine.
//!
//! A test is a function of a [`Place`]; who includes this module makes it a test with its own `on_every_host!`.

// The paths are for those who include this from elsewhere.
#[path = "everywhere/attributes.rs"]
mod attributes;
#[path = "everywhere/cdev.rs"]
mod cdev;
#[path = "everywhere/device.rs"]
mod device;
#[path = "everywhere/group.rs"]
mod group;
#[path = "everywhere/kvm_vfio.rs"]
mod kvm_vfio;

use std::os::fd::RawFd;

pub(crate) const SET_IOMMU: u32 = 0x3b66;
pub(crate) const SET_CONTAINER: u32 = 0x3b68;
pub(crate) const GET_DEVICE_FD: u32 = 0x3b6a;
pub(crate) const GET_INFO: u32 = 0x3b6b;
pub(crate) const GET_REGION_INFO: u32 = 0x3b6c;
pub(crate) const GET_IRQ_INFO: u32 = 0x3b6d;
pub(crate) const SET_IRQS: u32 = 0x3b6e;
pub(crate) const RESET: u32 = 0x3b6f;
pub(crate) const FEATURE: u32 = 0x3b75;
pub(crate) const BIND: u32 = 0x3b76;
pub(crate) const CREATE_DEVICE: u32 = 0xc00c_aee0;
pub(crate) const SET_ATTR: u32 = 0x4018_aee1;
pub(crate) const GET_ATTR: u32 = 0x4018_aee2;
pub(crate) const HAS_ATTR: u32 = 0x4018_aee3;

const FILE_ADD: u64 = 1;
const FILE_DEL: u64 = 2;
pub(crate) const TYPE1_V2: u64 = 3;
const DATA_EVENTFD: u32 = 4;
const ACTION_TRIGGER: u32 = 0x20;
/// A number that no process has as a descriptor.
pub(crate) const CLOSED: RawFd = 999_999;

/// A host that a program runs on.
pub(crate) trait Place: Sync {
    type Files: Files;
    type Vm: Vm;

    /// Whose behaviour is expected, as `(6, 12)`.
    fn kernel(&self) -> (u32, u32);
    /// The files of a new program.
    fn files(&self) -> Self::Files;
    /// A VM of so many vCPUs.
    fn vm(&self, vcpus: u16) -> Self::Vm;
    /// The first or the second mdev.
    fn mdev(&self, n: u8) -> Mdev;
    /// The text of a file below `/sys`.
    fn read(&self, attribute: &str) -> String;
    /// Writes to a file below `/sys`.
    fn write(&self, attribute: &str, text: &str);

    /// Numbers of the interrupts of a device.
    fn irqs(&self) -> std::ops::Range<u32> {
        0..if self.kernel() >= (6, 17) { 2 } else { 1 }
    }

    /// Whether a guest has a queue of the first mdev.
    fn in_use(&self) -> bool {
        self.read("bus/ap/devices/05.0004/status") == "in use\n"
    }
}

/// A mediated device as programs find it.
#[derive(Clone, Debug)]
pub(crate) struct Mdev {
    pub(crate) uuid: String,
    /// `/dev/vfio/N`.
    pub(crate) group: String,
    /// `/dev/vfio/devices/vfioN`, where VFIO has character devices.
    pub(crate) cdev: Option<String>,
}

/// System calls of a program. Descriptors are numbers, errors are errno values.
pub(crate) trait Files {
    fn open(&self, path: &str) -> Result<i32, i32>;
    /// What is not in the argument is EFAULT. Where a request takes a number instead of a structure, that is its
    /// 8 bytes; an address in a structure is an offset into the argument.
    fn ioctl(&self, fd: i32, request: u32, argument: &mut [u8]) -> Result<i32, i32>;
    fn read(&self, fd: i32, buffer: &mut [u8]) -> Result<usize, i32>;
    fn write(&self, fd: i32, data: &[u8]) -> Result<usize, i32>;
    fn mmap(&self, fd: i32, length: usize) -> Result<(), i32>;
    fn dup(&self, fd: i32) -> Result<i32, i32>;
    fn close(&self, fd: i32) -> Result<(), i32>;
    /// A new VM without vCPUs.
    fn vm(&self) -> i32;
}

/// Attributes of a VM.
pub(crate) trait Vm {
    fn has_attribute(&self, group: u32, attr: u64) -> Result<(), i32>;
    fn attribute(&self, group: u32, attr: u64, value: &mut [u8]) -> Result<(), i32>;
    fn set_attribute(&mut self, group: u32, attr: u64, value: &[u8]) -> Result<(), i32>;
}

/// Numbers as a structure has them.
pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

pub(crate) fn long(number: u64) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

pub(crate) fn signed(number: i32) -> u32 {
    number.cast_unsigned()
}

/// `struct kvm_device_attr`, its address that of what follows.
pub(crate) fn attribute(group: u32, attr: u64, value: &[u8]) -> Vec<u8> {
    [&words(&[0, group])[..], &long(attr), &long(24), value].concat()
}

/// An eventfd nobody waits in.
pub(crate) fn event() -> adjunct_hypervisor::EventFd {
    adjunct_hypervisor::EventFd::new(libc::EFD_NONBLOCK).expect("an eventfd")
}

/// A program with a VM.
pub(crate) struct Program<F> {
    pub(crate) files: F,
    /// The descriptor of the VM.
    pub(crate) kvm: i32,
    pub(crate) mdevs: [Mdev; 2],
}

/// A device that a program has opened by its group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ByGroup {
    pub(crate) group: i32,
    pub(crate) container: i32,
    /// KVM's VFIO device.
    pub(crate) kvm: i32,
    pub(crate) device: i32,
}

impl<F: Files> Program<F> {
    pub(crate) fn new(place: &impl Place<Files = F>) -> Self {
        let files = place.files();
        Self { kvm: files.vm(), files, mdevs: [1, 2].map(|n| place.mdev(n)) }
    }

    pub(crate) fn mdev(&self, n: u8) -> &Mdev {
        &self.mdevs[usize::from(n) - 1]
    }

    pub(crate) fn ioctl(&self, fd: i32, request: u32, argument: &[u8]) -> Result<i32, i32> {
        self.files.ioctl(fd, request, &mut argument.to_vec())
    }

    /// The argument after a request that is not refused.
    pub(crate) fn answer(&self, fd: i32, request: u32, argument: &[u8]) -> Vec<u8> {
        let mut argument = argument.to_vec();
        assert_eq!(self.files.ioctl(fd, request, &mut argument), Ok(0), "{request:#x}");
        argument
    }

    /// KVM's VFIO device.
    pub(crate) fn create_device(&self) -> Result<i32, i32> {
        let mut argument = words(&[4, 0, 0]);
        self.files.ioctl(self.kvm, CREATE_DEVICE, &mut argument)?;
        Ok(i32::from_ne_bytes(argument[4..8].try_into().expect("4 bytes")))
    }

    pub(crate) fn add(&self, device: i32, fd: i32) -> Result<i32, i32> {
        self.ioctl(device, SET_ATTR, &attribute(1, FILE_ADD, &fd.to_ne_bytes()))
    }

    pub(crate) fn del(&self, device: i32, fd: i32) -> Result<i32, i32> {
        self.ioctl(device, SET_ATTR, &attribute(1, FILE_DEL, &fd.to_ne_bytes()))
    }

    /// The group of mdev `n`.
    pub(crate) fn group(&self, n: u8) -> Result<i32, i32> {
        self.files.open(&self.mdev(n).group)
    }

    /// A container with the group, of this type.
    pub(crate) fn container(&self, group: i32, kind: u64) -> i32 {
        let container = self.files.open("/dev/vfio/vfio").expect("anybody may");
        assert_eq!(self.ioctl(group, SET_CONTAINER, &words(&[signed(container)])), Ok(0));
        assert_eq!(self.ioctl(container, SET_IOMMU, &long(kind)), Ok(0));
        container
    }

    pub(crate) fn get_device(&self, group: i32, name: &str) -> Result<i32, i32> {
        self.ioctl(group, GET_DEVICE_FD, format!("{name}\0").as_bytes())
    }

    /// Opens the device of mdev `n` by its group.
    pub(crate) fn open(&self, n: u8, kind: u64) -> Result<ByGroup, i32> {
        let group = self.group(n)?;
        let container = self.container(group, kind);
        let kvm = self.create_device()?;
        self.add(kvm, group)?;
        let device = self.get_device(group, &self.mdev(n).uuid)?;
        Ok(ByGroup { group, container, kvm, device })
    }

    /// Opens the character device of mdev `n` and an iommufd.
    pub(crate) fn cdev(&self, n: u8) -> [i32; 2] {
        let path = self.mdev(n).cdev.as_deref().expect("VFIO has character devices");
        [path, "/dev/iommu"].map(|path| self.files.open(path).expect("it is there"))
    }

    pub(crate) fn bind(&self, device: i32, iommufd: i32) -> Result<i32, i32> {
        self.ioctl(device, BIND, &words(&[16, 0, signed(iommufd), 0]))
    }

    pub(crate) fn set_irq(&self, device: i32, index: u32, event: RawFd) -> Result<i32, i32> {
        let flags = DATA_EVENTFD | ACTION_TRIGGER;
        self.ioctl(device, SET_IRQS, &words(&[24, flags, index, 0, 1, signed(event)]))
    }
}

/// Does something with the device of the first mdev by each way that the host has.
fn by_each_way<P: Place>(place: &P, what: impl Fn(&Program<P::Files>, i32)) {
    let program = Program::new(place);
    let opened = program.open(1, TYPE1_V2).expect("it is free");
    what(&program, opened.device);
    drop(program);
    if place.mdev(1).cdev.is_some() {
        let program = Program::new(place);
        let [device, iommufd] = program.cdev(1);
        let kvm = program.create_device().expect("a VM has one");
        assert_eq!(program.add(kvm, device), Ok(0));
        assert_eq!(program.bind(device, iommufd), Ok(0));
        what(&program, device);
    }
}

/// Removes the mdev in the background; it waits while the device is open.
fn removal<'scope, P: Place>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    place: &'scope P,
    mdev: &Mdev,
) -> std::thread::ScopedJoinHandle<'scope, ()> {
    let attribute = format!("bus/mdev/devices/{}/remove", mdev.uuid);
    scope.spawn(move || place.write(&attribute, "1"))
}

/// Waits for what another thread does.
fn eventually(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}
