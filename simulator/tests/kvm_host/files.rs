//! VFIO and KVM's VFIO device byte by byte: what a program gets for an argument that is wrong, and in which order.
//!
//! The numbers in comments are those of the project's conformance list.

use crate::{
    everywhere::{
        self, BIND, ByGroup, CLOSED, CREATE_DEVICE, FEATURE, Files as _, GET_INFO, GET_IRQ_INFO,
        GET_REGION_INFO, RESET, SET_CONTAINER, SET_IOMMU, SET_IRQS, TYPE1_V2, event, long, signed, words,
    },
    simulated::{OwnFiles, mdev as named, with_kernel},
    support::{Builder, Guest, host, mdev, op, uuid},
};
use adjunct_ap::Sysfs;
use adjunct_simulator::{SimHost, SimProtoVm, SimVm};
use std::{fs::File, ops::Deref, os::fd::AsRawFd, sync::Arc, time::Duration};

const CHECK_EXTENSION: u32 = 0x3b65;
const GET_STATUS: u32 = 0x3b67;
const UNSET_CONTAINER: u32 = 0x3b69;
const MAP_DMA: u32 = 0x3b71;
const UNMAP_DMA: u32 = 0x3b72;
const ATTACH: u32 = 0x3b77;
const DETACH: u32 = 0x3b78;
const DESTROY: u32 = 0x3b80;
const IOAS_ALLOC: u32 = 0x3b81;
const IOAS_MAP: u32 = 0x3b85;
const IOAS_UNMAP: u32 = 0x3b86;

const TYPE1: u64 = 1;
const KERNELS: [&str; 4] = ["6.12", "6.17", "7.0", "7.2"];

/// A program on the simulated host, and its VM.
struct Program {
    program: everywhere::Program<OwnFiles>,
    vm: Arc<SimVm>,
}

impl Deref for Program {
    type Target = everywhere::Program<OwnFiles>;

    fn deref(&self) -> &Self::Target {
        &self.program
    }
}

impl Program {
    fn new(host: &SimHost) -> Self {
        let (vm, _) = SimProtoVm::create(host).expect("a VM").build(0).expect("no vCPUs");
        Self::of(host, vm)
    }

    fn of(host: &SimHost, vm: Arc<SimVm>) -> Self {
        let files = OwnFiles::new(host);
        let kvm = files.files.vm(&vm);
        Self { program: everywhere::Program { files, kvm, mdevs: [1, 2].map(named) }, vm }
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
    let ByGroup { group, .. } = program.open(1, TYPE1_V2).expect("it was given back");
    let refused = guest.vm.open_ap(mdev(1).into()).expect_err("it is open");
    assert_eq!(refused.errno.errno(), libc::EBUSY);
    assert!(program.files.close(group).is_ok());
    drop(program);
    guest.vm.open_ap(mdev(1).into()).expect("the program has ended");
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
        let ByGroup { device, .. } = group.open(1, TYPE1_V2).expect("it is free");
        assert_eq!(group.ioctl(device, BIND, &words(&[16, 0, 0, 0])), Err(libc::EINVAL), "of a group");
        assert_eq!(group.ioctl(device, ATTACH, &words(&[12, 0, 1])), Err(libc::EOPNOTSUPP));
    }
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
        let ByGroup { device, .. } = program.open(1, TYPE1_V2).expect("it is free");
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

#[test]
fn other_files_are_not_there_and_a_vm_has_its_flic() {
    let program = Program::new(&host());
    assert_eq!(program.files.open("/dev/null"), Err(libc::ENOENT));
    assert_eq!(program.ioctl(program.kvm, CREATE_DEVICE, &words(&[6, 0, 0])), Err(libc::EINVAL));
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
    // No device of it is other than coherent; addresses can't be changed under an mdev.
    assert_eq!([1, 4, 10].map(extension), [Ok(1), Ok(1), Ok(0)]);
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
    let ByGroup { container, .. } = program.open(1, TYPE1_V2).expect("it is free");
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
fn what_wraps_around_is_eoverflow_since_6_18_whatever_the_flags_say() {
    for (kernel, overflow) in
        KERNELS.into_iter().zip([libc::EINVAL, libc::EINVAL, libc::EOVERFLOW, libc::EOVERFLOW])
    {
        let program = Program::new(&with_kernel(kernel));
        let ByGroup { container, .. } = program.open(1, TYPE1_V2).expect("it is free");
        for flags in [0, 3, 4, 7] {
            let map = |iova, size| program.map(container, flags, iova, size);
            assert_eq!(map(u64::MAX - 0xfff, 0x2000), Err(overflow), "{kernel} {flags}");
            assert_eq!(map(0, u64::MAX - 0xfff), Err(overflow), "{kernel} {flags}: the address");
            assert_eq!(map(0, 0), Err(libc::EINVAL), "{kernel} {flags}");
        }
        assert_eq!(program.unmap(container, 0, u64::MAX - 0xfff, 0x2000), Err(overflow), "{kernel}");
    }
}

// vfio_iommu_type1.c:vfio_dma_do_map
#[test]
fn only_an_existing_mapping_can_be_given_an_address_and_only_if_it_has_none() {
    let program = Program::new(&host());
    let ByGroup { container, .. } = program.open(1, TYPE1_V2).expect("it is free");
    assert_eq!(program.map(container, 4, 0x1000, 0x1000), Err(libc::ENOENT));
    assert_eq!(program.map(container, 4, 0x1001, 0x1000), Err(libc::EINVAL));
    assert_eq!(program.map(container, 3, 0x1000, 0x1000), Ok(0));
    assert_eq!(program.map(container, 4, 0x1000, 0x1000), Err(libc::EINVAL));
}

// group.c:vfio_device_remove_group
#[test]
fn a_group_whose_device_goes_leaves_its_container() {
    let host = host();
    let program = Program::new(&host);
    let group = program.group(1).expect("it is free");
    let container = program.container(group, TYPE1_V2);
    assert_eq!(program.map(container, 3, 0, 0x1000), Ok(0));
    host.write(&format!("bus/mdev/devices/{}/remove", uuid(1)), "1").expect("nobody has the device");
    assert_eq!(program.map(container, 3, 0x1000, 0x1000), Err(libc::EINVAL), "no group, no type");
    assert_eq!(program.ioctl(container, SET_IOMMU, &long(TYPE1_V2)), Err(libc::EINVAL));
    assert_eq!(program.ioctl(group, UNSET_CONTAINER, &[]), Err(libc::EINVAL));
    let set = |group| program.ioctl(group, SET_CONTAINER, &words(&[signed(container)]));
    assert_eq!(set(group), Err(libc::ENODEV));
    // The container is as good as new.
    let other = program.group(2).expect("it is free");
    assert_eq!(set(other), Ok(0));
    assert_eq!(program.ioctl(container, SET_IOMMU, &long(TYPE1_V2)), Ok(0));
    assert_eq!(program.files.close(group), Ok(()));
    assert_eq!(program.map(container, 3, 0, 0x1000), Ok(0), "the other stays");
}

// vfio_main.c:vfio_ioctl_device_feature
#[test]
fn the_feature_precopy_info_v2_is_einval_of_a_device_without_migration() {
    for kernel in KERNELS {
        let program = Program::new(&with_kernel(kernel));
        let ByGroup { device, .. } = program.open(1, TYPE1_V2).expect("it is free");
        let errno = if kernel == "7.2" { libc::EINVAL } else { libc::ENOTTY };
        for flags in [1 << 16, 1 << 17, 1 << 18 | 1 << 16] {
            assert_eq!(
                program.ioctl(device, FEATURE, &words(&[16, flags | 12, 0, 0])),
                Err(errno),
                "{kernel}"
            );
            assert_eq!(program.ioctl(device, FEATURE, &words(&[16, flags | 13, 0, 0])), Err(libc::ENOTTY));
        }
    }
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
        let ByGroup { container, device, .. } = program.open(1, kind).expect("it is free");
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
    let ByGroup { container, .. } = first.open(1, TYPE1_V2).expect("it is free");
    let second = first.files.files.vm(&two.vm);
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
    let ByGroup { device, kvm: vfio, .. } = program.open(1, TYPE1_V2).expect("it is free");
    let Program { program: everywhere::Program { files, kvm, .. }, vm } = program;
    files.close(kvm).expect("it is open");
    files.close(vfio).expect("KVM's VFIO device");
    drop(vm);
    assert!(host.acts().held().contains(&"VM".to_owned()));
    assert_eq!(files.ioctl(device, RESET, &mut []), Ok(0));
    files.close(device).expect("it is open");
    assert!(!host.acts().held().contains(&"VM".to_owned()), "{:?}", host.acts().held());
}
