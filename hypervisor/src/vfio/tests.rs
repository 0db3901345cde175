use super::*;
use std::{fs::File, path::Path};

fn refused(target: &str, errno: i32) -> KernelError {
    KernelError::new("open", target, errno)
}

#[test]
fn without_a_wish_the_character_device_is_taken_before_the_group() {
    assert_eq!(choose(None, || Ok(3), || Ok(5)), Ok(Files::Iommufd(3)));
    assert_eq!(choose(None, || Err::<u8, _>(refused("cdev", libc::EACCES)), || Ok(5)), Ok(Files::Group(5)));
    assert_eq!(choose(None, || Err::<u8, _>(refused("cdev", libc::ENODEV)), || Ok(5)), Ok(Files::Group(5)));
}

#[test]
fn a_wish_is_followed_and_the_other_way_not_tried() {
    let not_tried = || -> Result<u8> { panic!("it was tried") };
    assert_eq!(choose(Some(VfioBackend::Group), not_tried, || Ok(5)), Ok(Files::Group(5)));
    assert_eq!(choose(Some(VfioBackend::Iommufd), || Ok(3), not_tried), Ok(Files::Iommufd(3)));
    let missing = refused("/dev/iommu", libc::ENOENT);
    assert_eq!(choose(Some(VfioBackend::Iommufd), || Err::<u8, _>(missing.clone()), not_tried), Err(missing));
}

#[test]
fn of_two_refusals_the_one_that_can_be_acted_upon_is_reported() {
    let (denied, missing, none) = (libc::EACCES, libc::ENOENT, libc::ENODEV);
    for (first, second, reported) in [
        (denied, denied, "cdev"),
        (denied, missing, "cdev"),
        (denied, none, "cdev"),
        (missing, denied, "group"),
        (missing, missing, "group"),
        (missing, none, "cdev"),
        (none, none, "group"),
        (none, libc::EBUSY, "group"),
    ] {
        let error =
            choose(None, || Err::<u8, _>(refused("cdev", first)), || Err::<u8, _>(refused("group", second)))
                .expect_err("both are refused");
        assert_eq!(error.target, reported, "{first} {second}");
    }
}

/// Not KVM, but enough for what fails before KVM is asked.
fn no_kvm() -> Arc<KvmVfio> {
    Arc::new(KvmVfio::from_device(File::open("/dev/null").expect("it is there").into()))
}

fn memory() -> crate::GuestMemory {
    crate::allocate(crate::MemorySize::MEBIBYTE).expect("1 MiB can be had")
}

#[test]
fn a_path_without_an_mdev_is_refused_by_name() {
    let open = |path: &str| open(Path::new(path).into(), &no_kvm(), &memory()).expect_err("no mdev");
    let nothing = "/sys/devices/vfio_ap/matrix/00000000-0000-0000-0000-000000000000";
    assert_eq!(open(nothing), refused(nothing, libc::ENOENT));
    assert_eq!(open("/sys/devices"), refused("/sys/devices", libc::ENODEV));
}

#[test]
fn a_descriptor_that_is_no_vfio_device_is_refused_before_kvm_is_told() {
    let null = || File::open("/dev/null").expect("it is there").into();
    let source = ApSource::Descriptors { device: null(), iommufd: null() };
    let name = source.to_string();
    let error = open(source, &no_kvm(), &memory()).expect_err("no device");
    // ENOTTY, and ENOSYS from an emulator that does not know the request.
    assert_eq!((error.request, error.target), ("VFIO_DEVICE_GET_INFO", name));
}
