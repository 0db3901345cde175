//! VFIO and KVM's VFIO device byte by byte: what a program gets for an argument that is wrong, and in which order.
//!
//! The numbers in comments are those of the project's conformance list.

use crate::support::{Builder, Guest, host, host_with, mdev, op, uuid};
use adjunct_ap::Sysfs;
use adjunct_hypervisor::EventFd;
use adjunct_simulator::{Files, SimHost, SimProtoVm, SimVm};
use std::{
    fs::File,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Duration,
};

const CHECK_EXTENSION: u32 = 0x3b65;
const SET_IOMMU: u32 = 0x3b66;
const GET_STATUS: u32 = 0x3b67;
const SET_CONTAINER: u32 = 0x3b68;
const UNSET_CONTAINER: u32 = 0x3b69;
const GET_DEVICE_FD: u32 = 0x3b6a;
const GET_INFO: u32 = 0x3b6b;
const GET_REGION_INFO: u32 = 0x3b6c;
const GET_IRQ_INFO: u32 = 0x3b6d;
const SET_IRQS: u32 = 0x3b6e;
const RESET: u32 = 0x3b6f;
const MAP_DMA: u32 = 0x3b71;
const UNMAP_DMA: u32 = 0x3b72;
const FEATURE: u32 = 0x3b75;
const BIND: u32 = 0x3b76;
const ATTACH: u32 = 0x3b77;
const DETACH: u32 = 0x3b78;
const DESTROY: u32 = 0x3b80;
const IOAS_ALLOC: u32 = 0x3b81;
const IOAS_MAP: u32 = 0x3b85;
const IOAS_UNMAP: u32 = 0x3b86;
const CREATE_DEVICE: u32 = 0xc00c_aee0;
const SET_ATTR: u32 = 0x4018_aee1;
const GET_ATTR: u32 = 0x4018_aee2;
const HAS_ATTR: u32 = 0x4018_aee3;

const FILE_ADD: u64 = 1;
const FILE_DEL: u64 = 2;
const TYPE1: u64 = 1;
const TYPE1_V2: u64 = 3;
/// A number that no process has as a descriptor.
const CLOSED: RawFd = 999_999;

/// A program with a VM, and its open files.
struct Program {
    files: Files,
    /// The descriptor of the VM.
    kvm: i32,
    vm: Arc<SimVm>,
}

/// Numbers as a structure has them.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn long(number: u64) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

fn signed(number: i32) -> u32 {
    number.cast_unsigned()
}

/// `struct kvm_device_attr`, its address that of what follows.
fn attribute(group: u32, attr: u64, value: &[u8]) -> Vec<u8> {
    [&words(&[0, group])[..], &long(attr), &long(24), value].concat()
}

impl Program {
    fn new(host: &SimHost) -> Self {
        let (vm, _) = SimProtoVm::create(host).expect("a VM").build(0).expect("no vCPUs");
        Self::of(host, vm)
    }

    fn of(host: &SimHost, vm: Arc<SimVm>) -> Self {
        let files = Files::new(host);
        Self { kvm: files.vm(&vm), files, vm }
    }

    fn ioctl(&self, fd: i32, request: u32, argument: &[u8]) -> Result<i32, i32> {
        self.files.ioctl(fd, request, &mut argument.to_vec())
    }

    /// The argument after a request that is not refused.
    fn answer(&self, fd: i32, request: u32, argument: &[u8]) -> Vec<u8> {
        let mut argument = argument.to_vec();
        assert_eq!(self.files.ioctl(fd, request, &mut argument), Ok(0), "{request:#x}");
        argument
    }

    /// KVM's VFIO device.
    fn create_device(&self) -> Result<i32, i32> {
        let mut argument = words(&[4, 0, 0]);
        self.files.ioctl(self.kvm, CREATE_DEVICE, &mut argument)?;
        Ok(i32::from_ne_bytes(argument[4..8].try_into().expect("4 bytes")))
    }

    fn add(&self, device: i32, fd: i32) -> Result<i32, i32> {
        self.ioctl(device, SET_ATTR, &attribute(1, FILE_ADD, &fd.to_ne_bytes()))
    }

    fn del(&self, device: i32, fd: i32) -> Result<i32, i32> {
        self.ioctl(device, SET_ATTR, &attribute(1, FILE_DEL, &fd.to_ne_bytes()))
    }

    /// A container with the group, of this type.
    fn container(&self, group: i32, kind: u64) -> i32 {
        let container = self.files.open("/dev/vfio/vfio").expect("anybody may");
        assert_eq!(self.ioctl(group, SET_CONTAINER, &words(&[signed(container)])), Ok(0));
        assert_eq!(self.ioctl(container, SET_IOMMU, &long(kind)), Ok(0));
        container
    }

    fn get_device(&self, group: i32, name: &str) -> Result<i32, i32> {
        self.ioctl(group, GET_DEVICE_FD, format!("{name}\0").as_bytes())
    }

    /// Opens the device of mdev `n` by its group; the group, the container and the device.
    fn open(&self, n: u8, kind: u64) -> Result<[i32; 3], i32> {
        let group = self.files.open(&format!("/dev/vfio/{}", n - 1))?;
        let container = self.container(group, kind);
        self.add(self.create_device()?, group)?;
        Ok([group, container, self.get_device(group, &uuid(n))?])
    }

    fn map(&self, container: i32, flags: u32, iova: u64, size: u64) -> Result<i32, i32> {
        let argument = [&words(&[32, flags])[..], &long(0x7000_0000), &long(iova), &long(size)].concat();
        self.ioctl(container, MAP_DMA, &argument)
    }

    /// How many bytes were unmapped.
    fn unmap(&self, container: i32, flags: u32, iova: u64, size: u64) -> Result<u64, i32> {
        let mut argument = [&words(&[24, flags])[..], &long(iova), &long(size)].concat();
        self.files.ioctl(container, UNMAP_DMA, &mut argument)?;
        Ok(u64::from_ne_bytes(argument[16..].try_into().expect("8 bytes")))
    }

    /// Opens the character device of mdev `n` and an iommufd.
    fn cdev(&self, n: u8) -> [i32; 2] {
        let device = self.files.open(&format!("/dev/vfio/devices/vfio{}", n - 1)).expect("it is there");
        [device, self.files.open("/dev/iommu").expect("anybody may")]
    }

    fn bind(&self, device: i32, iommufd: i32) -> Result<i32, i32> {
        self.ioctl(device, BIND, &words(&[16, 0, signed(iommufd), 0]))
    }

    /// An address space's number.
    fn ioas(&self, iommufd: i32) -> u32 {
        let answer = self.answer(iommufd, IOAS_ALLOC, &words(&[12, 0, 0]));
        u32::from_ne_bytes(answer[8..].try_into().expect("4 bytes"))
    }

    fn map_ioas(&self, iommufd: i32, id: u32, flags: u32, iova: u64, length: u64) -> Result<i32, i32> {
        let argument =
            [&words(&[40, flags, id, 0])[..], &long(0x7000_0000), &long(length), &long(iova)].concat();
        self.ioctl(iommufd, IOAS_MAP, &argument)
    }

    fn set_irq(&self, device: i32, index: u32, event: RawFd) -> Result<i32, i32> {
        self.ioctl(device, SET_IRQS, &words(&[24, EVENTFD | TRIGGER, index, 0, 1, signed(event)]))
    }
}

const DATA_NONE: u32 = 1;
const DATA_BOOL: u32 = 2;
const EVENTFD: u32 = 4;
const MASK: u32 = 8;
const TRIGGER: u32 = 0x20;

fn event() -> EventFd {
    EventFd::new(libc::EFD_NONBLOCK).expect("an eventfd")
}

fn with_kernel(kernel: &str) -> SimHost {
    host_with(&[("\"7.2\"", &format!("{kernel:?}"))])
}

const KERNELS: [&str; 4] = ["6.12", "6.17", "7.0", "7.2"];

// 136: drivers/vfio/group.c:vfio_device_get_from_name
#[test]
fn a_group_hands_out_its_own_device_and_no_other() {
    let program = Program::new(&host());
    let [group, _, _] = program.open(1, TYPE1_V2).expect("it is free");
    for name in [uuid(2), uuid(9), uuid(1).to_uppercase(), String::new(), "x".repeat(4095)] {
        assert_eq!(program.get_device(group, &name), Err(libc::ENODEV), "{name}");
    }
    assert_eq!(program.get_device(group, &"x".repeat(4096)), Err(libc::EINVAL), "strndup_user");
    assert_eq!(program.ioctl(group, GET_DEVICE_FD, uuid(1).as_bytes()), Err(libc::EFAULT), "it has no end");
}

// 137: vfio_ap_ops.c:vfio_ap_mdev_open_device
#[test]
fn a_device_opens_when_its_group_has_a_container_with_a_type_and_kvm_knows_it() {
    let program = Program::new(&host());
    let kvm = program.create_device().expect("a VM has one");
    let group = program.files.open("/dev/vfio/0").expect("it is free");
    let refused = |why| assert_eq!(program.get_device(group, &uuid(1)), Err(libc::EINVAL), "{why}");
    refused("no container");
    let container = program.files.open("/dev/vfio/vfio").expect("anybody may");
    assert_eq!(program.ioctl(container, SET_IOMMU, &long(TYPE1_V2)), Err(libc::EINVAL), "it has no group");
    assert_eq!(program.ioctl(group, SET_CONTAINER, &words(&[signed(container)])), Ok(0));
    refused("no type");
    assert_eq!(program.ioctl(container, SET_IOMMU, &long(TYPE1_V2)), Ok(0));
    refused("KVM knows nothing of it");
    assert_eq!(program.add(kvm, group), Ok(0));
    assert_eq!(program.del(kvm, group), Ok(0));
    refused("KVM has forgotten it");
    assert_eq!(program.add(kvm, group), Ok(0));
    // 140: vfio_ap_ops.c:vfio_ap_mdev_set_kvm: neither vCPUs nor AP interpretation.
    program.get_device(group, &uuid(1)).expect("now it opens");
    assert_eq!(program.vm.crycb()[0x80], 0x06, "and the masks are there");
}

// 138: vfio_ap_ops.c:vfio_ap_mdev_set_kvm
#[test]
fn a_second_device_of_a_vm_is_eperm_and_leaves_nothing() {
    for kernel in KERNELS {
        let program = Program::new(&with_kernel(kernel));
        let kvm = program.create_device().expect("a VM has one");
        let groups = ["/dev/vfio/0", "/dev/vfio/1"].map(|path| program.files.open(path).expect("free"));
        for group in groups {
            program.container(group, TYPE1_V2);
            assert_eq!(program.add(kvm, group), Ok(0));
        }
        let first = program.get_device(groups[0], &uuid(1)).expect("it is free");
        assert_eq!(program.get_device(groups[1], &uuid(2)), Err(libc::EPERM), "{kernel}");
        assert_eq!(program.vm.crycb()[0x80], 0x06, "{kernel}");
        assert_eq!(program.ioctl(first, RESET, &[]), Ok(0));
        assert_eq!(program.files.close(first), Ok(()));
        program.get_device(groups[1], &uuid(2)).expect("now it is the only one");
    }
}

// 141: drivers/vfio/group.c:vfio_group_fops_open
#[test]
fn a_group_is_open_once_until_its_last_number_and_its_last_device_are_closed() {
    let host = host();
    let program = Program::new(&host);
    let [group, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let other = Program::new(&host);
    let again = || other.files.open("/dev/vfio/0");
    assert_eq!(again(), Err(libc::EBUSY));
    let same = program.files.dup(group).expect("it is open");
    assert_eq!(program.files.close(group), Ok(()));
    assert_eq!(program.files.close(group), Err(libc::EBADF));
    assert_eq!(again(), Err(libc::EBUSY), "it has another number");
    // KVM holds it too.
    let kvm = Files::FIRST + 3;
    assert_eq!(program.del(kvm, same), Ok(0));
    assert_eq!(program.files.close(same), Ok(()));
    assert_eq!(again(), Err(libc::EBUSY), "a device of it is open");
    assert_eq!(program.ioctl(device, RESET, &[]), Ok(0));
    assert_eq!(program.files.close(device), Ok(()));
    again().expect("nobody has it");
    assert_eq!(other.files.open("/dev/vfio/99"), Err(libc::ENOENT));
    assert_eq!(other.files.open("/dev/null"), Err(libc::ENOENT));
}

#[test]
fn who_opens_a_device_in_one_way_keeps_all_others_out() {
    let host = host();
    let (guest, other) = (Builder::new(&host, &[]).build(1), Builder::new(&host, &[]).build(1));
    let program = Program::of(&host, other.vm.clone());
    // As a whole, by `Vm::open_ap`.
    let device = guest.vm.open_ap(mdev(1).into()).expect("it is free");
    assert_eq!(program.open(1, TYPE1_V2), Err(libc::EBUSY));
    let [cdev, iommufd] = program.cdev(1);
    assert_eq!(program.bind(cdev, iommufd), Err(libc::EBUSY));
    drop(device);
    // By the files of another program.
    let [group, ..] = program.open(1, TYPE1_V2).expect("it was given back");
    let refused = guest.vm.open_ap(mdev(1).into()).expect_err("it is open");
    assert_eq!(refused.errno.errno(), libc::EBUSY);
    assert!(program.files.close(group).is_ok());
    drop(program);
    guest.vm.open_ap(mdev(1).into()).expect("the program has ended");
}

// 142: drivers/vfio/vfio_main.c:vfio_df_open
#[test]
fn a_device_opened_twice_through_its_group_is_one_device() {
    let program = Program::new(&host());
    let [group, _, first] = program.open(1, TYPE1_V2).expect("it is free");
    let second = program.get_device(group, &uuid(1)).expect("the same again");
    assert_ne!(first, second);
    let (changed, masks) = (event(), || program.vm.crycb()[0x80]);
    assert_eq!(program.set_irq(first, 1, changed.as_raw_fd()), Ok(0));
    assert_eq!(program.files.close(first), Ok(()));
    assert_eq!((masks(), changed.read().ok()), (0x06, None), "it is open still");
    assert_eq!(program.ioctl(second, RESET, &[]), Ok(0));
    assert_eq!(program.files.close(second), Ok(()));
    assert_eq!(masks(), 0);
    program.get_device(group, &uuid(1)).expect("it can be opened again");
    assert_eq!((masks(), changed.read().ok()), (0x06, Some(1)), "vfio_ap opened it anew");
}

// 144: drivers/vfio/group.c:vfio_device_block_group
#[test]
fn a_device_whose_group_is_open_is_not_bound_and_one_that_is_bound_has_no_group() {
    let program = Program::new(&host());
    let [device, iommufd] = program.cdev(1);
    let kvm = program.create_device().expect("a VM has one");
    assert_eq!(program.add(kvm, device), Ok(0));
    let group = program.files.open("/dev/vfio/0").expect("an open character device does not matter");
    assert_eq!(program.bind(device, iommufd), Err(libc::EBUSY));
    assert_eq!(program.bind(device, -1), Err(libc::EINVAL), "the argument is looked at before");
    assert_eq!(program.files.close(group), Ok(()));
    assert_eq!(program.bind(device, iommufd), Ok(0));
    assert_eq!(program.files.open("/dev/vfio/0"), Err(libc::EBUSY));
    assert_eq!(program.files.close(device), Ok(()));
    assert_eq!(program.files.open("/dev/vfio/0"), Err(libc::EBUSY), "KVM has the file");
    assert_eq!(program.files.close(kvm), Ok(()));
    program.files.open("/dev/vfio/0").expect("it is free");
}

// 145: drivers/vfio/device_cdev.c:vfio_df_ioctl_bind_iommufd
#[test]
fn a_device_is_bound_once() {
    let program = Program::new(&host());
    let [device, iommufd] = program.cdev(1);
    assert_eq!(program.bind(device, iommufd), Err(libc::EINVAL), "KVM knows nothing of it");
    let kvm = program.create_device().expect("a VM has one");
    assert_eq!(program.add(kvm, device), Ok(0));
    let answer = program.answer(device, BIND, &words(&[16, 0, signed(iommufd), 0xffff]));
    assert_eq!(answer[12..], words(&[1]), "the device's number there");
    assert_eq!(program.bind(device, iommufd), Err(libc::EINVAL));
    let [second, _] = program.cdev(1);
    assert_eq!(program.add(kvm, second), Ok(0));
    assert_eq!(program.bind(second, iommufd), Err(libc::EINVAL), "by another file of it");
    assert_eq!(program.ioctl(second, RESET, &[]), Err(libc::EINVAL), "it is not bound");
    assert_eq!(program.ioctl(device, RESET, &[]), Ok(0));
}

#[test]
fn what_is_wrong_with_a_binding_is_found_in_the_kernels_order() {
    for kernel in KERNELS {
        let program = Program::new(&with_kernel(kernel));
        let [device, iommufd] = program.cdev(1);
        let null = File::open("/dev/null").expect("it is there");
        let bind = |argument: &[u32]| program.ioctl(device, BIND, &words(argument));
        let fd = signed(iommufd);
        assert_eq!(bind(&[15, 0, fd, 0]), Err(libc::EINVAL), "argsz");
        assert_eq!(bind(&[16, 0, fd]), Err(libc::EFAULT));
        assert_eq!(bind(&[]), Err(libc::EFAULT));
        for flags in [1, 2, 1 << 31] {
            assert_eq!(bind(&[24, flags, fd, 0, 0, 0]), Err(libc::EINVAL), "flags {flags:#x}");
        }
        assert_eq!(bind(&[16, 0, u32::MAX, 0]), Err(libc::EINVAL), "-1");
        assert_eq!(bind(&[16, 0, signed(CLOSED), 0]), Err(libc::EBADF));
        assert_eq!(bind(&[16, 0, signed(null.as_raw_fd()), 0]), Err(libc::EBADFD));
        assert_eq!(bind(&[16, 0, signed(device), 0]), Err(libc::EBADFD));
        let unknown = bind(&[28, 0, signed(CLOSED), 0, 0, 0, 1]);
        let looked_at = kernel != "6.12";
        assert_eq!(unknown, Err(if looked_at { libc::E2BIG } else { libc::EBADF }), "{kernel}");
        // Nothing can be asked before.
        for request in [GET_INFO, GET_IRQ_INFO, SET_IRQS, RESET, FEATURE, ATTACH, DETACH, GET_REGION_INFO] {
            assert_eq!(program.ioctl(device, request, &[0; 64]), Err(libc::EINVAL), "{request:#x}");
        }
        let group = Program::new(&with_kernel(kernel));
        let [_, _, device] = group.open(1, TYPE1_V2).expect("it is free");
        assert_eq!(group.ioctl(device, BIND, &words(&[16, 0, 0, 0])), Err(libc::EINVAL), "of a group");
        assert_eq!(group.ioctl(device, ATTACH, &words(&[12, 0, 1])), Err(libc::EOPNOTSUPP));
    }
}

// 146: vfio_ap_ops.c:vfio_ap_mdev_get_device_info
#[test]
fn information_is_16_bytes_and_what_is_behind_them_stays() {
    for (kernel, irqs) in [("6.12", 1), ("6.17", 2), ("7.0", 2), ("7.2", 2)] {
        let program = Program::new(&with_kernel(kernel));
        let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
        for argsz in [16, 24, u32::MAX] {
            let answer = program.answer(device, GET_INFO, &words(&[argsz, 7, 7, 7, 7, 7]));
            assert_eq!(answer, words(&[argsz, 0x21, 0, irqs, 7, 7]), "{kernel}");
        }
        assert_eq!(program.ioctl(device, GET_INFO, &words(&[15, 0, 0, 0])), Err(libc::EINVAL));
        assert_eq!(program.ioctl(device, GET_INFO, &words(&[16, 0, 0])), Err(libc::EFAULT));
    }
}

// 148: vfio_ap_ops.c:vfio_ap_get_irq_info
#[test]
fn each_interrupt_is_one_that_an_eventfd_can_have() {
    for (kernel, irqs) in [("6.12", 1), ("6.17", 2), ("7.0", 2), ("7.2", 2)] {
        let program = Program::new(&with_kernel(kernel));
        let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
        for index in 0..irqs {
            let answer = program.answer(device, GET_IRQ_INFO, &words(&[16, 9, index, 9]));
            assert_eq!(answer, words(&[16, 1, index, 1]), "{kernel}");
            assert_eq!(program.ioctl(device, GET_IRQ_INFO, &words(&[15, 0, index, 0])), Err(libc::EINVAL));
        }
        for index in [irqs, u32::MAX] {
            assert_eq!(program.ioctl(device, GET_IRQ_INFO, &words(&[16, 0, index, 0])), Err(libc::EINVAL));
        }
    }
}

// 149: vfio_ap_ops.c:vfio_ap_set_cfg_change_irq
#[test]
fn an_eventfd_is_signalled_until_another_takes_its_place() {
    let host = host();
    let program = Program::new(&host);
    let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let [first, second] = [event(), event()];
    assert_eq!(program.set_irq(device, 1, first.as_raw_fd()), Ok(0));
    let change = |apid: &str, how: &str| {
        let attribute = mdev(1).join(format!("{how}_adapter"));
        let attribute = attribute.strip_prefix("/sys").expect("it is there").to_str().expect("text");
        host.write(attribute, apid).expect("it may be");
    };
    change("6", "unassign");
    assert_eq!((first.read().ok(), second.read().ok()), (Some(1), None));
    assert_eq!(program.set_irq(device, 1, second.as_raw_fd()), Ok(0));
    change("6", "assign");
    assert_eq!((first.read().ok(), second.read().ok()), (None, Some(1)));
    // The kernel has a reference of its own.
    let kept = second.try_clone().expect("a descriptor is free");
    drop(second);
    change("6", "unassign");
    assert_eq!(kept.read().ok(), Some(1));
    assert_eq!(program.set_irq(device, 1, -1), Ok(0));
    change("6", "assign");
    assert_eq!(kept.read().ok(), None);
}

// 150: vfio_ap_ops.c:vfio_ap_set_request_irq
#[test]
fn only_an_eventfd_or_minus_one_is_a_trigger() {
    let program = Program::new(&host());
    let [group, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let file = File::open("/dev/null").expect("it is there");
    for index in [0, 1] {
        let set = |fd| program.set_irq(device, index, fd);
        assert_eq!(set(event().as_raw_fd()), Ok(0));
        assert_eq!(set(-1), Ok(0));
        assert_eq!([set(-2), set(i32::MIN)], [Err(libc::EINVAL); 2]);
        assert_eq!([set(CLOSED), set(i32::MAX)], [Err(libc::EBADF); 2]);
        assert_eq!([set(file.as_raw_fd()), set(group)], [Err(libc::EINVAL); 2]);
    }
}

// 152: drivers/vfio/vfio_main.c:vfio_set_irqs_validate_and_prepare
#[test]
fn everything_else_about_setting_interrupts_is_einval() {
    let program = Program::new(&host());
    let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let ours = event();
    let fd = signed(ours.as_raw_fd());
    let right = [24, EVENTFD | TRIGGER, 0, 0, 1, fd];
    assert_eq!(program.ioctl(device, SET_IRQS, &words(&right)), Ok(0));
    let wrong = |what: &str, changes: &[(usize, u32)]| {
        let mut argument = right;
        changes.iter().for_each(|(at, value)| argument[*at] = *value);
        assert_eq!(program.ioctl(device, SET_IRQS, &words(&argument)), Err(libc::EINVAL), "{what}");
    };
    wrong("argsz without the count", &[(0, 19)]);
    wrong("argsz without the eventfd", &[(0, 23)]);
    wrong("no trigger", &[(1, EVENTFD)]);
    wrong("another action", &[(1, EVENTFD | MASK)]);
    wrong("no data", &[(1, DATA_NONE | TRIGGER)]);
    wrong("no data, as others are torn down", &[(1, DATA_NONE | TRIGGER), (4, 0)]);
    wrong("a boolean", &[(1, DATA_BOOL | TRIGGER)]);
    wrong("no kind of data", &[(1, TRIGGER)]);
    wrong("two kinds of data", &[(1, EVENTFD | DATA_NONE | TRIGGER)]);
    wrong("an unknown flag", &[(1, EVENTFD | TRIGGER | 0x40)]);
    wrong("another index", &[(2, 2)]);
    wrong("start", &[(3, 1)]);
    wrong("start without count", &[(3, 1), (4, 0)]);
    wrong("count", &[(4, 2), (0, 28)]);
    wrong("a count that overflows", &[(3, 2), (4, u32::MAX - 1)]);
    // Other actions beside it don't matter.
    let mut more = right;
    more[1] |= MASK;
    assert_eq!(program.ioctl(device, SET_IRQS, &words(&more)), Ok(0));
    assert_eq!(program.ioctl(device, SET_IRQS, &words(&right[..4])), Err(libc::EFAULT));
    // 153: vfio_ap_ops.c:vfio_ap_set_request_irq: the eventfd is read whatever the count is.
    let mut none = right;
    (none[0], none[4]) = (20, 0);
    assert_eq!(program.ioctl(device, SET_IRQS, &words(&none)), Ok(0));
    assert_eq!(program.ioctl(device, SET_IRQS, &words(&none[..5])), Err(libc::EFAULT), "nothing is there");
    none[5] = signed(CLOSED);
    assert_eq!(program.ioctl(device, SET_IRQS, &words(&none)), Err(libc::EBADF));
}

// 154: drivers/vfio/vfio_main.c:vfio_get_region_info
#[test]
fn a_device_has_no_regions_and_says_so_by_kernel() {
    for (kernel, errno) in
        [("6.12", libc::EOPNOTSUPP), ("6.17", libc::EOPNOTSUPP), ("7.0", libc::EINVAL), ("7.2", libc::EINVAL)]
    {
        let program = Program::new(&with_kernel(kernel));
        let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
        let argument = words(&[32, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(program.ioctl(device, GET_REGION_INFO, &argument), Err(errno), "{kernel}");
        assert_eq!(program.ioctl(device, 0x3bff, &argument), Err(libc::EOPNOTSUPP), "{kernel}: unknown");
    }
}

// 156: drivers/vfio/vfio_main.c:vfio_ioctl_device_feature
#[test]
fn a_device_has_none_of_vfios_features() {
    const GET: u32 = 1 << 16;
    const SET: u32 = 1 << 17;
    const PROBE: u32 = 1 << 18;
    let program = Program::new(&host());
    let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let feature = |argsz, flags| program.ioctl(device, FEATURE, &words(&[argsz, flags, 0, 0]));
    for number in (0..12).chain([0xffff]) {
        for flags in [GET, SET, PROBE | GET, PROBE | SET | GET] {
            assert_eq!(feature(16, number | flags), Err(libc::ENOTTY), "{number:#x} {flags:#x}");
        }
        assert_eq!(feature(16, number | GET | SET), Err(libc::EINVAL));
    }
    assert_eq!(feature(7, 1 | GET), Err(libc::EINVAL), "argsz");
    assert_eq!(feature(16, 1 | GET | 1 << 19), Err(libc::EINVAL), "an unknown flag");
}

// 157: drivers/vfio/vfio_main.c:vfio_device_fops_read
#[test]
fn a_device_is_neither_read_nor_written_nor_mapped() {
    let program = Program::new(&host());
    let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let [unbound, _] = program.cdev(2);
    for fd in [device, unbound] {
        assert_eq!(program.files.read(fd, &mut [0; 8]), Err(libc::EINVAL));
        assert_eq!(program.files.write(fd, &[0; 8]), Err(libc::EINVAL));
        assert_eq!(program.files.mmap(fd, 4096), Err(libc::EINVAL));
    }
    assert_eq!(program.files.read(Files::FIRST + 99, &mut []), Err(libc::EBADF));
}

/// Another process that removes the mdev of guest `n`.
fn removal(host: &SimHost, n: u8) -> std::thread::JoinHandle<()> {
    let (host, attribute) = (host.clone(), format!("bus/mdev/devices/{}/remove", uuid(n)));
    std::thread::spawn(move || host.write(&attribute, "1").expect("in the end it is removed"))
}

/// Waits for what another thread does.
fn eventually(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

// 158: drivers/vfio/vfio_main.c:vfio_unregister_group_dev, vfio_ap_ops.c:vfio_ap_mdev_request
#[test]
fn a_device_that_is_to_be_removed_is_asked_for_at_once_and_every_ten_seconds_until_it_is_closed() {
    for kernel in KERNELS {
        let host = with_kernel(kernel);
        let program = Program::new(&host);
        let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
        let takes_at_once = kernel != "6.12";
        let (asked, changed) = (event(), event());
        assert_eq!(program.set_irq(device, 0, asked.as_raw_fd()), Ok(0));
        if takes_at_once {
            assert_eq!(program.set_irq(device, 1, changed.as_raw_fd()), Ok(0));
        }
        let removal = removal(&host, 1);
        let mut count = 0;
        eventually(|| asked.read().is_ok());
        count += 1;
        assert_eq!(program.vm.crycb()[0x80], if takes_at_once { 0 } else { 0x06 }, "{kernel}");
        assert_eq!(changed.read().ok(), takes_at_once.then_some(1), "{kernel}");
        // The attributes go before the driver lets the device go (`drivers/base/dd.c: device_remove`).
        let gone = host.read(&format!("bus/mdev/devices/{}/guest_matrix", uuid(1)));
        assert!(gone.is_err(), "{kernel}: {gone:?}");
        host.advance(Duration::from_millis(9_999));
        assert!(asked.read().is_err(), "{kernel}: {count}");
        host.advance(Duration::from_millis(1));
        assert_eq!(asked.read().ok(), Some(1), "{kernel}: after ten seconds");
        host.advance(Duration::from_secs(10));
        assert_eq!(asked.read().ok(), Some(1), "{kernel}: and again");
        assert!(!removal.is_finished());
        assert_eq!(program.files.close(device), Ok(()));
        removal.join().expect("it ends");
        assert!(host.list("bus/mdev/devices").expect("it is there").iter().all(|name| *name != uuid(1)));
    }
}

#[test]
fn a_character_device_that_is_only_open_holds_a_removal_up_and_a_group_does_not() {
    let host = host();
    let program = Program::new(&host);
    let [device, iommufd] = program.cdev(1);
    let kvm = program.create_device().expect("a VM has one");
    assert_eq!(program.add(kvm, device), Ok(0));
    let going = removal(&host, 1);
    eventually(|| host.log().iter().any(|line| line.contains("blocked until released")));
    assert_eq!(program.files.open("/dev/vfio/devices/vfio0"), Err(libc::ENODEV));
    // What was opened before can be bound even now, as long as nobody has closed it.
    assert_eq!(program.bind(device, iommufd), Ok(0));
    assert_eq!(program.vm.crycb()[0x80], 0x06);
    assert!(!going.is_finished());
    assert_eq!(program.del(kvm, device), Ok(0));
    assert_eq!(program.files.close(device), Ok(()));
    going.join().expect("it ends");

    let group = program.files.open("/dev/vfio/1").expect("it is free");
    removal(&host, 2).join().expect("an open group is no use of the device");
    assert_eq!(program.get_device(group, &uuid(2)), Err(libc::ENODEV));
    let container = program.files.open("/dev/vfio/vfio").expect("anybody may");
    assert_eq!(program.ioctl(group, GET_STATUS, &words(&[8, 0])), Err(libc::ENODEV));
    assert_eq!(program.ioctl(group, SET_CONTAINER, &words(&[signed(container)])), Err(libc::ENODEV));
    assert_eq!(program.files.open("/dev/vfio/1"), Err(libc::ENOENT));
    // Another of that name is another.
    host.write("class/mdev_bus/matrix/mdev_supported_types/vfio_ap-passthrough/create", &uuid(2))
        .expect("free");
    assert_eq!(program.get_device(group, &uuid(2)), Err(libc::ENODEV));
    assert_eq!(program.files.close(group), Ok(()));
}

// 160: vfio_ap_ops.c: no reset in close_device
#[test]
fn a_device_that_is_opened_again_signals_the_old_eventfds() {
    let host = host();
    let program = Program::new(&host);
    let [group, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let (asked, changed) = (event(), event());
    assert_eq!(program.set_irq(device, 0, asked.as_raw_fd()), Ok(0));
    assert_eq!(program.set_irq(device, 1, changed.as_raw_fd()), Ok(0));
    assert_eq!(program.files.close(device), Ok(()));
    assert!(changed.read().is_err(), "closing says nothing");
    let device = program.get_device(group, &uuid(1)).expect("again");
    assert_eq!(changed.read().ok(), Some(1), "opening does");
    let removal = removal(&host, 1);
    eventually(|| asked.read().is_ok());
    drop(changed);
    assert_eq!(program.files.close(device), Ok(()));
    removal.join().expect("it ends");
}

// 161: virt/kvm/vfio.c:kvm_vfio_file_add, kvm_vfio_file_del
#[test]
fn kvm_takes_each_vfio_file_once_and_forgets_only_what_it_knows() {
    let program = Program::new(&host());
    let kvm = program.create_device().expect("a VM has one");
    let group = program.files.open("/dev/vfio/0").expect("it is free");
    let [cdev, iommufd] = program.cdev(2);
    let null = File::open("/dev/null").expect("it is there");
    for fd in [CLOSED, -1, Files::FIRST + 99] {
        assert_eq!([program.add(kvm, fd), program.del(kvm, fd)], [Err(libc::EBADF); 2], "{fd}");
    }
    for fd in [null.as_raw_fd(), iommufd, program.kvm, kvm] {
        assert_eq!((program.add(kvm, fd), program.del(kvm, fd)), (Err(libc::EINVAL), Err(libc::ENOENT)));
    }
    for fd in [group, cdev] {
        assert_eq!(program.del(kvm, fd), Err(libc::ENOENT));
        assert_eq!(program.add(kvm, fd), Ok(0));
        let same = program.files.dup(fd).expect("it is open");
        assert_eq!([program.add(kvm, fd), program.add(kvm, same)], [Err(libc::EEXIST); 2]);
        assert_eq!(program.del(kvm, same), Ok(0), "by any of its numbers");
    }
    let has = |group, attr| program.ioctl(kvm, HAS_ATTR, &attribute(group, attr, &[]));
    assert_eq!([has(1, FILE_ADD), has(1, FILE_DEL)], [Ok(0); 2]);
    assert_eq!([has(1, 0), has(1, 3), has(0, 1), has(2, 1)], [Err(libc::ENXIO); 4]);
    assert_eq!(program.ioctl(kvm, SET_ATTR, &attribute(1, 3, &[0; 4])), Err(libc::ENXIO));
    assert_eq!(program.ioctl(kvm, SET_ATTR, &attribute(1, FILE_ADD, &[0; 3])), Err(libc::EFAULT));
    assert_eq!(program.ioctl(kvm, GET_ATTR, &attribute(1, FILE_ADD, &[0; 4])), Err(libc::EPERM));
    assert_eq!(program.ioctl(kvm, RESET, &[]), Err(libc::ENOTTY));
}

// 162: virt/kvm/vfio.c:kvm_vfio_create
#[test]
fn a_vm_has_one_vfio_device_of_kvm_at_a_time() {
    let program = Program::new(&host());
    let create = |kind, flags| program.ioctl(program.kvm, CREATE_DEVICE, &words(&[kind, 0, flags]));
    assert_eq!([create(4, 1), create(6, 1)], [Ok(0); 2], "only asked");
    assert_eq!([create(3, 1), create(99, 0)], [Err(libc::ENODEV); 2]);
    let first = program.create_device().expect("none is there");
    assert_eq!([program.create_device(), program.create_device()], [Err(libc::EBUSY); 2]);
    assert_eq!(create(4, 1), Ok(0), "asking is always right");
    assert_eq!(program.files.close(first), Ok(()));
    program.create_device().expect("the first one is gone");
    assert_eq!(create(6, 0), Err(libc::EINVAL), "the VM has its FLIC");
}

#[test]
fn kvm_forgets_all_files_when_its_device_is_closed() {
    let host = host();
    let program = Program::new(&host);
    let [group, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    assert_eq!(program.files.close(device), Ok(()));
    assert_eq!(program.files.close(Files::FIRST + 3), Ok(()), "KVM's VFIO device");
    assert_eq!(program.get_device(group, &uuid(1)), Err(libc::EINVAL), "no VM");
}

#[test]
fn containers_answer_before_and_after_they_have_a_type() {
    let program = Program::new(&host());
    let container = program.files.open("/dev/vfio/vfio").expect("anybody may");
    let extension = |number| program.ioctl(container, CHECK_EXTENSION, &long(number));
    let types = [1, 3, 9, 2, 4, 6, 8, 10].map(extension);
    assert_eq!(types, [Ok(1), Ok(1), Ok(1), Ok(0), Ok(0), Ok(0), Ok(0), Ok(0)]);
    assert_eq!(program.map(container, 3, 0, 0x1000), Err(libc::EINVAL), "no type");
    let group = program.files.open("/dev/vfio/0").expect("it is free");
    let status = |flags| assert_eq!(program.answer(group, GET_STATUS, &words(&[8, 9])), words(&[8, flags]));
    status(1);
    assert_eq!(program.ioctl(group, UNSET_CONTAINER, &[]), Err(libc::EINVAL));
    let set = |fd: i32| program.ioctl(group, SET_CONTAINER, &words(&[signed(fd)]));
    assert_eq!([set(CLOSED), set(-1)], [Err(libc::EBADF); 2]);
    let null = File::open("/dev/null").expect("it is there");
    assert_eq!([set(null.as_raw_fd()), set(group)], [Err(libc::EBADFD); 2]);
    assert_eq!(set(container), Ok(0));
    status(3);
    assert_eq!(set(container), Err(libc::EINVAL), "it has one");
    for (kind, errno) in [(0, libc::ENODEV), (2, libc::ENODEV), (9, libc::EINVAL), (10, libc::ENODEV)] {
        assert_eq!(program.ioctl(container, SET_IOMMU, &long(kind)), Err(errno), "{kind}");
    }
    assert_eq!(program.ioctl(container, SET_IOMMU, &long(TYPE1_V2)), Ok(0));
    assert_eq!(program.ioctl(container, SET_IOMMU, &long(TYPE1_V2)), Err(libc::EINVAL), "once");
    assert_eq!(program.ioctl(container, GET_INFO, &[]), Err(libc::ENOTTY));
    assert_eq!(program.ioctl(group, GET_INFO, &[]), Err(libc::ENOTTY));
    assert_eq!(program.map(container, 3, 0, 0x1000), Ok(0));
    // The last group to leave takes type and mappings with it.
    assert_eq!(program.ioctl(group, UNSET_CONTAINER, &[]), Ok(0));
    assert_eq!(program.map(container, 3, 0x1000, 0x1000), Err(libc::EINVAL));
    program.container(group, TYPE1_V2);
    let kvm = program.create_device().expect("a VM has one");
    assert_eq!(program.add(kvm, group), Ok(0));
    program.get_device(group, &uuid(1)).expect("it is free");
    assert_eq!(program.ioctl(group, UNSET_CONTAINER, &[]), Err(libc::EBUSY), "a device uses it");
}

#[test]
fn mappings_of_a_container_are_checked_as_type_1_checks_them() {
    let program = Program::new(&host());
    let [_, container, _] = program.open(1, TYPE1_V2).expect("it is free");
    assert_eq!(program.map(container, 3, 0x1000, 0x2000), Ok(0));
    assert_eq!(program.map(container, 3, 0x2000, 0x1000), Err(libc::EEXIST));
    for (flags, iova, size) in
        [(0, 0, 0x1000), (8, 0, 0x1000), (3, 1, 0x1000), (3, 0, 1), (3, 0, 0), (7, 0, 0x1000)]
    {
        assert_eq!(program.map(container, flags, iova, size), Err(libc::EINVAL), "{flags} {iova:x} {size:x}");
    }
    assert_eq!(program.map(container, 3, u64::MAX - 0xfff, 0x2000), Err(libc::EOVERFLOW));
    let short = [&words(&[31, 3])[..], &long(0), &long(0), &long(0x1000)].concat();
    assert_eq!(program.ioctl(container, MAP_DMA, &short), Err(libc::EINVAL));
    assert_eq!(program.ioctl(container, MAP_DMA, &short[..31]), Err(libc::EFAULT));
    assert_eq!(program.unmap(container, 0, 0x2000, 0x1000), Err(libc::EINVAL), "only a part");
    assert_eq!(program.unmap(container, 0, 0x8000, 0x1000), Ok(0), "nothing is there");
    assert_eq!(program.unmap(container, 4, 0x1000, 0x2000), Err(libc::EBUSY));
    assert_eq!(program.unmap(container, 1, 0x1000, 0x2000), Err(libc::EINVAL));
    assert_eq!(program.unmap(container, 2, 0, 0x2000), Err(libc::EINVAL), "all has no range");
    assert_eq!(program.unmap(container, 0, 0, 0x8000), Ok(0x2000));
    assert_eq!(program.map(container, 3, 0x1000, 0x2000), Ok(0));
    assert_eq!(program.unmap(container, 2, 0, 0), Ok(0x2000));
}

#[test]
fn an_iommufd_has_address_spaces_that_devices_attach_to() {
    let program = Program::new(&host());
    let [device, iommufd] = program.cdev(1);
    let kvm = program.create_device().expect("a VM has one");
    assert_eq!(program.add(kvm, device), Ok(0));
    assert_eq!(program.bind(device, iommufd), Ok(0));
    let [first, second] = [program.ioas(iommufd), program.ioas(iommufd)];
    assert_eq!((first, second), (2, 3), "the device has the first number");
    let attach = |id| program.ioctl(device, ATTACH, &words(&[12, 0, id]));
    assert_eq!([attach(1), attach(9), attach(0)], [Err(libc::ENOENT); 3]);
    assert_eq!(program.ioctl(device, ATTACH, &words(&[11, 0, first])), Err(libc::EINVAL));
    assert_eq!(program.ioctl(device, ATTACH, &words(&[12, 2, first])), Err(libc::EINVAL));
    assert_eq!(program.ioctl(device, ATTACH, &words(&[16, 1, first, 7])), Err(libc::EOPNOTSUPP));
    assert_eq!([attach(first), attach(first)], [Ok(0); 2]);
    let destroy = |id| program.ioctl(iommufd, DESTROY, &words(&[8, id]));
    assert_eq!([destroy(first), destroy(1)], [Err(libc::EBUSY); 2]);
    assert_eq!([destroy(second), destroy(second)], [Ok(0), Err(libc::ENOENT)]);
    let map = |flags, iova, length| program.map_ioas(iommufd, first, flags, iova, length);
    assert_eq!(map(7, 0, 0x10_0000), Ok(0));
    assert_eq!(map(7, 0x1000, 0x1000), Err(libc::EEXIST));
    assert_eq!(
        [map(1, 0x20_0000, 0x1000), map(7, 0x20_0001, 0x1000), map(7, 0x20_0000, 0)],
        [Err(libc::EINVAL); 3]
    );
    assert_eq!(map(0xf, 0x20_0000, 0x1000), Err(libc::EOPNOTSUPP));
    assert_eq!([map(7, u64::MAX, 0x1000), map(7, 0, u64::MAX)], [Err(libc::EOVERFLOW); 2]);
    assert_eq!(program.map_ioas(iommufd, 9, 7, 0, 0x1000), Err(libc::ENOENT));
    let unmap = |iova: u64, length: u64| {
        program.ioctl(iommufd, IOAS_UNMAP, &[&words(&[24, first])[..], &long(iova), &long(length)].concat())
    };
    assert_eq!([unmap(0x1000, 0x1000), unmap(0x20_0000, 0x1000)], [Err(libc::ENOENT); 2]);
    assert_eq!([unmap(0, 0x10_0000), unmap(0, u64::MAX)], [Ok(0); 2]);
    assert_eq!(program.ioctl(iommufd, IOAS_ALLOC, &words(&[11, 0, 0])), Err(libc::EINVAL));
    assert_eq!(program.ioctl(iommufd, IOAS_ALLOC, &words(&[12, 1, 0])), Err(libc::EOPNOTSUPP));
    assert_eq!(program.ioctl(iommufd, IOAS_ALLOC, &words(&[16, 0, 0, 1])), Err(libc::E2BIG));
    assert_eq!(program.ioctl(iommufd, IOAS_ALLOC, &words(&[16, 0, 0, 0])), Ok(0));
    assert_eq!(program.ioctl(iommufd, GET_INFO, &[0; 8]), Err(libc::ENOTTY));
    assert_eq!(program.ioctl(device, DETACH, &words(&[8, 0])), Ok(0));
    assert_eq!(destroy(first), Ok(0));
}

/// A guest whose device a program has opened by its own files.
struct Passed {
    guest: Guest,
    program: Program,
    /// Where mappings are made: a container, or an iommufd and the number of an address space there.
    container: i32,
    ioas: Option<u32>,
    /// The device.
    device: i32,
}

impl Passed {
    fn by_group(host: &SimHost, kind: u64) -> Self {
        let guest = Builder::new(host, &[]).build(1);
        let program = Program::of(host, guest.vm.clone());
        let [_, container, device] = program.open(1, kind).expect("it is free");
        Self { guest, program, container, ioas: None, device }
    }

    fn by_cdev(host: &SimHost) -> Self {
        let guest = Builder::new(host, &[]).build(1);
        let program = Program::of(host, guest.vm.clone());
        let [device, container] = program.cdev(1);
        let kvm = program.create_device().expect("a VM has one");
        assert_eq!(program.add(kvm, device), Ok(0));
        assert_eq!(program.bind(device, container), Ok(0));
        let ioas = program.ioas(container);
        Self { guest, program, container, ioas: Some(ioas), device }
    }

    fn attach(&self) {
        let id = self.ioas.expect("an iommufd");
        assert_eq!(self.program.ioctl(self.device, ATTACH, &words(&[12, 0, id])), Ok(0));
    }

    /// Makes the guest's page at `iova` reachable.
    fn map(&self, iova: u64, write: bool) {
        let answer = match self.ioas {
            None => self.program.map(self.container, if write { 3 } else { 1 }, iova, 0x1000),
            Some(id) => self.program.map_ioas(self.container, id, if write { 7 } else { 5 }, iova, 0x1000),
        };
        assert_eq!(answer, Ok(0));
    }

    fn unmap(&self, iova: u64) {
        let answer = match self.ioas {
            None => self.program.unmap(self.container, 0, iova, 0x1000).map(|_| 0),
            Some(id) => {
                let argument = [&words(&[24, id])[..], &long(iova), &long(0x1000)].concat();
                self.program.ioctl(self.container, IOAS_UNMAP, &argument)
            }
        };
        assert_eq!(answer, Ok(0));
    }

    /// The guest enables interruptions of 05.0004 with a byte at `nib`: the response code.
    fn enable(&mut self, nib: u64) -> u64 {
        self.guest.set(&[(0, 0x0300_0504), (1, 0x0000_8000_0000_0006), (2, nib)]);
        self.guest.ended(op::PQAP);
        self.guest.gpr(1) >> 16 & 0xff
    }

    /// Whether a reply would interrupt.
    fn enabled(&mut self) -> bool {
        self.guest.set(&[(0, 0x0504), (2, 0)]);
        self.guest.ended(op::PQAP);
        self.guest.gpr(1) & 0x0100_0000 != 0
    }
}

// 165: vfio_iommu_type1.c:vfio_iommu_type1_pin_pages, vfio_ap_ops.c:vfio_ap_irq_enable
#[test]
fn a_guest_gets_interruptions_if_its_notification_byte_can_be_pinned() {
    let host = host();
    let mut v1 = Passed::by_group(&host, TYPE1);
    v1.map(0x7000, true);
    assert_eq!(v1.enable(0x7000), 6, "of type 1 v1 nothing can be pinned");
    drop(v1);
    for passed in [|host: &SimHost| Passed::by_group(host, TYPE1_V2), Passed::by_cdev] {
        let mut passed = passed(&host);
        if passed.ioas.is_some() {
            passed.map(0x9000, true);
            assert_eq!(passed.enable(0x9000), 6, "the device is not attached");
            passed.attach();
        }
        assert_eq!(passed.enable(0x7008), 6, "nothing is mapped there");
        passed.map(0x7000, true);
        passed.map(0x8000, false);
        assert_eq!(passed.enable(0x8000), 6, "only for reading");
        assert_eq!(passed.enable(0x7fff), 0);
    }
}

// 170: vfio_ap_ops.c:vfio_ap_mdev_dma_unmap
#[test]
fn unmapping_a_notification_byte_disables_the_guests_interruptions() {
    let host = host();
    for passed in [|host: &SimHost| Passed::by_group(host, TYPE1_V2), Passed::by_cdev] {
        let mut passed = passed(&host);
        if passed.ioas.is_some() {
            passed.attach();
        }
        passed.map(0x7000, true);
        passed.map(0x8000, true);
        assert_eq!((passed.enable(0x7000), passed.enabled()), (0, true));
        passed.unmap(0x8000);
        assert!(passed.enabled(), "another page");
        passed.unmap(0x7000);
        assert!(!passed.enabled());
        assert_eq!(passed.enable(0x7000), 6);
        passed.map(0x7000, true);
        assert_eq!(passed.enable(0x7000), 0, "it was disabled");
    }
}

#[test]
fn detaching_a_device_or_attaching_it_elsewhere_disables_its_interruptions() {
    let host = host();
    let mut passed = Passed::by_cdev(&host);
    passed.attach();
    passed.map(0x7000, true);
    assert_eq!((passed.enable(0x7000), passed.enabled()), (0, true));
    assert_eq!(passed.program.ioctl(passed.device, DETACH, &words(&[8, 0])), Ok(0));
    assert!(!passed.enabled());
    assert_eq!(passed.enable(0x7000), 6);
    passed.attach();
    assert_eq!(passed.enable(0x7000), 0);
    passed.ioas = Some(passed.program.ioas(passed.container));
    passed.attach();
    assert!(!passed.enabled());
    assert_eq!(passed.enable(0x7000), 6, "nothing is mapped there");
}

#[test]
fn a_container_of_two_devices_serves_both() {
    let host = host();
    let guests = [1, 2].map(|_| Builder::new(&host, &[]).build(1));
    let [one, two] = guests;
    let first = Program::of(&host, one.vm.clone());
    let [_, container, _] = first.open(1, TYPE1_V2).expect("it is free");
    let second = first.files.vm(&two.vm);
    let group = first.files.open("/dev/vfio/1").expect("it is free");
    assert_eq!(first.ioctl(group, SET_CONTAINER, &words(&[signed(container)])), Ok(0));
    let mut argument = words(&[4, 0, 0]);
    first.files.ioctl(second, CREATE_DEVICE, &mut argument).expect("a VM has one");
    let kvm = i32::from_ne_bytes(argument[4..8].try_into().expect("4 bytes"));
    assert_eq!(first.add(kvm, group), Ok(0));
    first.get_device(group, &uuid(2)).expect("another VM's");
    assert_eq!([one.vm.crycb()[0x80], two.vm.crycb()[0x80]], [0x06, 0x04]);
}

#[test]
fn a_program_that_ends_leaves_nothing() {
    let host = host();
    let before = host.acts().held();
    let passed = Passed::by_cdev(&host);
    passed.attach();
    passed.map(0, true);
    assert!(host.acts().held().iter().any(|held| held.contains("vfio0")), "{:?}", host.acts().held());
    drop(passed);
    let passed = Passed::by_group(&host, TYPE1_V2);
    // In whatever order.
    passed.program.files.close(passed.container).expect("it is open");
    drop(passed);
    assert_eq!(host.acts().held(), before);
    Program::new(&host).open(1, TYPE1_V2).expect("it is free");
}

#[test]
fn a_device_keeps_its_vm_until_it_is_closed() {
    let host = host();
    let program = Program::new(&host);
    let [_, _, device] = program.open(1, TYPE1_V2).expect("it is free");
    let Program { files, kvm, vm } = program;
    files.close(kvm).expect("it is open");
    files.close(Files::FIRST + 3).expect("KVM's VFIO device");
    drop(vm);
    assert!(host.acts().held().contains(&"VM".to_owned()));
    assert_eq!(files.ioctl(device, RESET, &mut []), Ok(0));
    files.close(device).expect("it is open");
    assert!(!host.acts().held().contains(&"VM".to_owned()), "{:?}", host.acts().held());
}
