//! vfio-ap devices by each way that this machine has: what is refused and how, and that nothing stays behind.
//!
//! The VMs here are only files of KVM, as a VMM that is not adjunct has them.

use super::{kvm, mdev, second_mdev};
use adjunct_hypervisor::{
    ApDevice, ApDeviceInfo, ApIrq, ApSource, EventFd, GuestMemory, Hypervisor, KernelError, MemorySize,
    Result, VfioBackend, allocate, descriptor,
    vfio::{self, KvmVfio, VfioApDevice},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    os::fd::{AsFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

const ENOENT: i32 = 2;
const EPERM: i32 = 1;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;

/// The files of this process by number, and what each is.
fn open_files() -> BTreeMap<RawFd, PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").expect("Linux has it");
    let names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name()).collect();
    // The listing was a file too, and is gone by now.
    let link = |name: &OsString| {
        Some((name.to_str()?.parse().ok()?, fs::read_link(Path::new("/proc/self/fd").join(name)).ok()?))
    };
    names.iter().filter_map(link).collect()
}

/// A VM: its file.
fn vm() -> OwnedFd {
    let kvm = kvm();
    let before = open_files();
    let _vm = kvm.create_vm().expect("a VM");
    let new = |(number, file): (&RawFd, &PathBuf)| {
        let is_vm = file.as_os_str() == "anon_inode:kvm-vm" && !before.contains_key(number);
        is_vm.then_some(*number)
    };
    let number = open_files().iter().find_map(new).expect("a VM is a file");
    descriptor::duplicate(number).expect("it is open")
}

fn kvm_vfio() -> Arc<KvmVfio> {
    Arc::new(KvmVfio::create(vm().as_fd()).expect("a VM has one"))
}

fn memory() -> GuestMemory {
    allocate(MemorySize::MEBIBYTE).expect("1 MiB can be had")
}

fn open(path: &Path, backend: Option<VfioBackend>, kvm: &Arc<KvmVfio>) -> Result<VfioApDevice> {
    vfio::open(ApSource::Mdev { path: path.to_owned(), backend }, kvm, &memory())
}

/// The ways that this machine has.
pub(crate) fn ways() -> Vec<VfioBackend> {
    let mut ways = Vec::new();
    if group().is_some_and(|path| path.exists()) {
        ways.push(VfioBackend::Group);
    }
    if character_device().is_some() {
        ways.push(VfioBackend::Iommufd);
    }
    assert!(!ways.is_empty(), "neither the group of the mdev nor a character device of it");
    ways
}

fn group() -> Option<PathBuf> {
    let link = fs::read_link(mdev().join("iommu_group")).ok()?;
    Some(Path::new("/dev/vfio").join(link.file_name()?))
}

fn character_device() -> Option<PathBuf> {
    let entry = fs::read_dir(mdev().join("vfio-dev")).ok()?.next()?.ok()?;
    // Without a number there is no character device: this kernel was built without them.
    entry.path().join("dev").exists().then(|| Path::new("/dev/vfio/devices").join(entry.file_name()))
}

fn file(path: &Path) -> OwnedFd {
    OpenOptions::new().read(true).write(true).open(path).expect("the caller may open it").into()
}

fn refused(answer: Result<VfioApDevice>) -> (&'static str, i32) {
    let KernelError { request, errno, .. } = answer.expect_err("it is refused");
    (request, errno.errno())
}

fn opens(way: VfioBackend) -> &'static str {
    match way {
        VfioBackend::Group => "VFIO_GROUP_GET_DEVICE_FD",
        VfioBackend::Iommufd => "VFIO_DEVICE_BIND_IOMMUFD",
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_device_opens_by_each_way_and_is_an_ap_device_that_can_be_reset() {
    for way in ways() {
        let device = open(&mdev(), Some(way), &kvm_vfio()).expect("it is free");
        let info = device.info().expect("it knows");
        assert_eq!(info.flags, ApDeviceInfo::FLAG_AP | ApDeviceInfo::FLAG_RESET, "{way:?}");
        assert_eq!(info.num_regions, 0);
        device.reset().expect("all queues are fine");
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn interrupts_are_described_registered_and_taken_back() {
    for way in ways() {
        let device = open(&mdev(), Some(way), &kvm_vfio()).expect("it is free");
        crate::conformance::register_each_interrupt(&device);
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn without_a_wish_the_device_opens_by_its_character_device_or_else_by_its_group() {
    let device = open(&mdev(), None, &kvm_vfio()).expect("it is free");
    let files = open_files();
    let has = |path: &Path| files.values().any(|file| file == path);
    match character_device() {
        Some(path) => assert!(has(&path) && has(Path::new("/dev/iommu")), "{files:?}"),
        None => assert!(has(&group().expect("one of the two")), "{files:?}"),
    }
    drop(device);
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_device_opens_by_the_name_that_the_mdev_bus_gives_it() {
    let path = Path::new("/sys/bus/mdev/devices").join(mdev().file_name().expect("a UUID"));
    open(&path, None, &kvm_vfio()).expect("it is free");
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_path_that_is_no_mdev_is_refused() {
    let kvm = kvm_vfio();
    let matrix = mdev().parent().expect("it has one").to_owned();
    for way in [None, Some(VfioBackend::Group), Some(VfioBackend::Iommufd)] {
        assert_eq!(refused(open(&matrix, way, &kvm)), ("open", ENODEV));
        let nothing = matrix.join("00000000-0000-0000-0000-000000000000");
        assert_eq!(refused(open(&nothing, way, &kvm)), ("open", ENOENT));
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn an_open_device_is_ebusy_to_everybody_else_and_stays_whole() {
    for first_way in ways() {
        for second_way in ways() {
            let (first_vm, second_vm) = (vm(), kvm_vfio());
            let first_vfio = Arc::new(KvmVfio::create(first_vm.as_fd()).expect("a VM has one"));
            let first = open(&mdev(), Some(first_way), &first_vfio).expect("it is free");
            let second = refused(open(&mdev(), Some(second_way), &second_vm));
            assert_eq!(second, ("open", EBUSY), "{first_way:?}, {second_way:?}");
            first.reset().expect("the first is as it was");
            // The first VM goes with its device, and its place is free for the second. Had the kernel lost the device's
            // reference to the first VM, this would hang.
            drop((first_vm, first_vfio, first));
            open(&mdev(), Some(second_way), &second_vm).expect("it is free again");
        }
    }
}

#[test]
#[ignore = "needs /dev/kvm, ADJUNCT_MDEV and ADJUNCT_SECOND_MDEV; the lab runs it"]
fn a_second_device_for_one_vm_is_eperm_before_the_kernel_is_asked_and_from_the_kernel_itself() {
    for way in ways() {
        let asked_once = kvm_vfio();
        let first = open(&mdev(), Some(way), &asked_once).expect("it is free");
        assert_eq!(refused(open(&second_mdev(), Some(way), &asked_once)), (opens(way), EPERM), "{way:?}");
        drop(first);
        drop(open(&second_mdev(), Some(way), &asked_once).expect("the place is free"));

        // Two that don't know of each other.
        let vm = vm();
        let device = KvmVfio::create(vm.as_fd()).expect("a VM has one");
        let number = open_files();
        let (number, _) =
            number.iter().rfind(|(_, file)| file.as_os_str() == "anon_inode:kvm-vfio").expect("it is a file");
        let again = Arc::new(KvmVfio::from_device(descriptor::duplicate(*number).expect("open")));
        let device = Arc::new(device);
        let first = open(&mdev(), Some(way), &device).expect("it is free");
        assert_eq!(refused(open(&second_mdev(), Some(way), &again)), (opens(way), EPERM), "{way:?}");
        first.reset().expect("the first is as it was");
        drop(first);
        open(&second_mdev(), Some(way), &again).expect("now it is the only one");
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_device_that_kvm_was_not_told_of_is_einval_and_can_be_opened_at_once() {
    for way in ways() {
        // Somebody hands over the VM in place of its VFIO device. What adds a file there sets the high byte of the guest's
        // TOD clock here, to the 0 that it is: the VM says yes, and KVM knows nothing of the device.
        let vm = vm();
        let not_told = Arc::new(KvmVfio::from_device(vm.try_clone().expect("a descriptor is free")));
        assert_eq!(refused(open(&mdev(), Some(way), &not_told)), (opens(way), EINVAL), "{way:?}");
        let told = Arc::new(KvmVfio::create(vm.as_fd()).expect("a VM has one"));
        open(&mdev(), Some(way), &told).expect("it is free");
    }
}

#[test]
#[ignore = "needs /dev/kvm, ADJUNCT_MDEV and ADJUNCT_SECOND_MDEV; the lab runs it"]
fn all_files_are_close_on_exec_and_none_is_left_after_a_drop_or_a_refusal() {
    for way in ways() {
        let kvm = kvm_vfio();
        let before = open_files();
        let first = open(&mdev(), Some(way), &kvm).expect("it is free");
        for (number, file) in open_files() {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("it is open");
            let flags =
                info.lines().find_map(|line| line.strip_prefix("flags:")).expect("it has flags").trim();
            let flags = u32::from_str_radix(flags, 8).expect("octal");
            assert!(
                before.contains_key(&number) || flags & 0o2_000_000 != 0,
                "{}: {flags:o}",
                file.display()
            );
        }
        let opened = open_files();
        assert_eq!(refused(open(&second_mdev(), Some(way), &kvm)).1, EPERM);
        assert_eq!(refused(open(&mdev(), Some(way), &kvm_vfio())).1, EBUSY);
        assert_eq!(open_files(), opened, "{way:?}: a refusal");
        drop(first);
        assert_eq!(open_files(), before, "{way:?}: a drop");
    }
}

/// The second mdev, removed by the host and made again with what was assigned to it.
fn remove_second() -> thread::JoinHandle<()> {
    let path = second_mdev();
    let assigned = fs::read(path.join("ap_config")).expect("Linux has it since 6.10");
    thread::spawn(move || {
        fs::write(path.join("remove"), "1").expect("the caller is root");
        let matrix = path.parent().expect("it has one");
        let uuid = path.file_name().expect("a UUID").as_encoded_bytes();
        fs::write(matrix.join("mdev_supported_types/vfio_ap-passthrough/create"), uuid)
            .expect("there was one");
        fs::write(path.join("ap_config"), assigned).expect("it was assigned before");
    })
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_SECOND_MDEV; the lab runs it"]
fn an_mdev_whose_device_was_dropped_can_be_removed_while_its_vm_lives() {
    for way in ways() {
        let kvm = kvm_vfio();
        drop(open(&second_mdev(), Some(way), &kvm).expect("it is free"));
        // Were a file of it still known to KVM, this would not return.
        remove_second().join().expect("removed and made");
        open(&second_mdev(), Some(way), &kvm).expect("the new one is free");
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_SECOND_MDEV; the lab runs it"]
fn removing_an_mdev_signals_the_release_request_and_is_done_when_the_device_is_dropped() {
    for way in ways() {
        let kvm = kvm_vfio();
        let device = open(&second_mdev(), Some(way), &kvm).expect("it is free");
        let event = EventFd::new(0).expect("an eventfd");
        device.set_irq(ApIrq::ReleaseRequest, Some(&event)).expect("Linux has it since 6.5");
        let removal = remove_second();
        assert_ne!(event.read().expect("signalled"), 0);
        drop(device);
        removal.join().expect("removed and made");
    }
}

#[test]
#[ignore = "needs /dev/kvm and ADJUNCT_MDEV; the lab runs it"]
fn a_vm_has_one_vfio_device_of_kvm() {
    let vm = vm();
    let _first = KvmVfio::create(vm.as_fd()).expect("a VM has one");
    let second = KvmVfio::create(vm.as_fd()).expect_err("only one");
    assert_eq!((second.request, second.errno.errno()), ("KVM_CREATE_DEVICE", EBUSY));
    let null: OwnedFd = File::open("/dev/null").expect("it is there").into();
    assert!(KvmVfio::create(null.as_fd()).is_err());
}

/// Files that somebody else has opened: on hosts that have VFIO's character devices.
mod cdev {
    use super::*;

    #[test]
    #[ignore = "needs /dev/kvm, ADJUNCT_MDEV and VFIO's character devices; the lab runs it"]
    fn a_device_opens_from_descriptors_and_the_iommufd_lives_on() {
        let kvm = kvm_vfio();
        let path = character_device().expect("a host with VFIO's character devices");
        let iommufd = file(Path::new("/dev/iommu"));
        for _ in 0..2 {
            let source =
                ApSource::Descriptors { device: file(&path), iommufd: iommufd.try_clone().expect("open") };
            let name = source.to_string();
            let device = vfio::open(source, &kvm, &memory()).expect("it is free");
            assert!(name.starts_with("descriptor "), "{name}");
            device.reset().expect("all queues are fine");
        }
    }

    #[test]
    #[ignore = "needs /dev/kvm, ADJUNCT_MDEV and VFIO's character devices; the lab runs it"]
    fn a_descriptor_of_a_device_that_is_bound_is_ebusy_and_the_first_stays_whole() {
        let kvm = kvm_vfio();
        let path = character_device().expect("a host with VFIO's character devices");
        let source =
            |device: OwnedFd| ApSource::Descriptors { device, iommufd: file(Path::new("/dev/iommu")) };
        let device = file(&path);
        let same_file = device.try_clone().expect("a descriptor is free");
        let first = vfio::open(source(device), &kvm, &memory()).expect("it is free");
        let second = vfio::open(source(same_file), &kvm_vfio(), &memory());
        assert_eq!(refused(second), ("VFIO_DEVICE_BIND_IOMMUFD", EBUSY));
        let second = vfio::open(source(file(&path)), &kvm_vfio(), &memory());
        assert_eq!(refused(second), ("open", EBUSY));
        first.reset().expect("the first is as it was");
        drop((kvm, first));
        open(&mdev(), None, &kvm_vfio()).expect("it is free again");
    }
}
