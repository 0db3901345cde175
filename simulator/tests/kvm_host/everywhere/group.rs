//! A VFIO group, its container and its device.

use super::{
    ByGroup, Files, GET_DEVICE_FD, Place, Program, RESET, SET_CONTAINER, SET_IOMMU, TYPE1_V2, event, long,
    signed, words,
};
use std::os::fd::AsRawFd;

// 136: drivers/vfio/group.c:vfio_device_get_from_name
fn a_group_hands_out_its_own_device_and_no_other(place: &impl Place) {
    let program = Program::new(place);
    let ByGroup { group, .. } = program.open(1, TYPE1_V2).expect("it is free");
    let [own, other] = [1, 2].map(|n| program.mdev(n).uuid.clone());
    let unknown = "6c4a5d2e-0d3e-4c7a-9b0a-0000000000ff".to_owned();
    for name in [other, unknown.clone(), unknown.to_uppercase(), String::new(), "x".repeat(4095)] {
        assert_eq!(program.get_device(group, &name), Err(libc::ENODEV), "{name}");
    }
    assert_eq!(program.get_device(group, &"x".repeat(4096)), Err(libc::EINVAL), "strndup_user");
    assert_eq!(program.ioctl(group, GET_DEVICE_FD, own.as_bytes()), Err(libc::EFAULT), "it has no end");
}

// 137: vfio_ap_ops.c:vfio_ap_mdev_open_device
fn a_device_opens_when_its_group_has_a_container_with_a_type_and_kvm_knows_it(place: &impl Place) {
    let program = Program::new(place);
    let kvm = program.create_device().expect("a VM has one");
    let group = program.group(1).expect("it is free");
    let open = || program.get_device(group, &program.mdev(1).uuid);
    let refused = |why| assert_eq!(open(), Err(libc::EINVAL), "{why}");
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
    open().expect("now it opens");
    assert!(place.in_use(), "and the guest has the queues");
}

// 138: vfio_ap_ops.c:vfio_ap_mdev_set_kvm
fn a_second_device_of_a_vm_is_eperm_and_leaves_nothing(place: &impl Place) {
    let program = Program::new(place);
    let kvm = program.create_device().expect("a VM has one");
    let groups = [1, 2].map(|n| program.group(n).expect("it is free"));
    for group in groups {
        program.container(group, TYPE1_V2);
        assert_eq!(program.add(kvm, group), Ok(0));
    }
    let [first, second] = [1, 2].map(|n| program.mdev(n).uuid.clone());
    let device = program.get_device(groups[0], &first).expect("it is free");
    assert_eq!(program.get_device(groups[1], &second), Err(libc::EPERM));
    assert!(place.in_use());
    assert_eq!(program.ioctl(device, RESET, &[]), Ok(0));
    assert_eq!(program.files.close(device), Ok(()));
    program.get_device(groups[1], &second).expect("now it is the only one");
}

// 141: drivers/vfio/group.c:vfio_group_fops_open
fn a_group_is_open_once_until_its_last_number_and_its_last_device_are_closed(place: &impl Place) {
    let program = Program::new(place);
    let ByGroup { group, container, kvm, device } = program.open(1, TYPE1_V2).expect("it is free");
    let other = Program::new(place);
    let again = || other.group(1);
    assert_eq!(again(), Err(libc::EBUSY));
    let same = program.files.dup(group).expect("it is open");
    assert_eq!(program.files.close(group), Ok(()));
    assert_eq!(program.files.close(group), Err(libc::EBADF));
    assert_eq!(again(), Err(libc::EBUSY), "it has another number");
    // KVM holds it too.
    assert_eq!(program.del(kvm, same), Ok(0));
    assert_eq!(program.files.close(same), Ok(()));
    assert_eq!(program.files.close(container), Ok(()), "the group has it");
    assert_eq!(again(), Err(libc::EBUSY), "a device of it is open");
    assert_eq!(program.ioctl(device, RESET, &[]), Ok(0));
    assert_eq!(program.files.close(device), Ok(()));
    again().expect("nobody has it");
    assert_eq!(other.files.open("/dev/vfio/99"), Err(libc::ENOENT));
}

// 142: drivers/vfio/vfio_main.c:vfio_df_open
fn a_device_opened_twice_through_its_group_is_one_device(place: &impl Place) {
    let program = Program::new(place);
    let ByGroup { group, device: first, .. } = program.open(1, TYPE1_V2).expect("it is free");
    let open = || program.get_device(group, &program.mdev(1).uuid);
    let second = open().expect("the same again");
    assert_ne!(first, second);
    // Whoever opens it anew is told of its configuration.
    let (told, changed) = (place.irqs().contains(&1), event());
    let answer = program.set_irq(first, 1, changed.as_raw_fd());
    assert_eq!(answer, if told { Ok(0) } else { Err(libc::EINVAL) });
    assert_eq!(program.files.close(first), Ok(()));
    assert_eq!((place.in_use(), changed.read().ok()), (true, None), "it is open still");
    assert_eq!(program.ioctl(second, RESET, &[]), Ok(0));
    let third = open().expect("and again");
    assert_eq!(changed.read().ok(), None, "it was open already");
    for device in [second, third] {
        assert_eq!(program.files.close(device), Ok(()));
    }
    assert!(!place.in_use());
    open().expect("it can be opened again");
    assert_eq!((place.in_use(), changed.read().ok()), (true, told.then_some(1)), "vfio_ap opened it anew");
}

crate::on_every_host! {
    a_group_hands_out_its_own_device_and_no_other
    a_device_opens_when_its_group_has_a_container_with_a_type_and_kvm_knows_it
    a_second_device_of_a_vm_is_eperm_and_leaves_nothing
    a_group_is_open_once_until_its_last_number_and_its_last_device_are_closed
    a_device_opened_twice_through_its_group_is_one_device
}
