//! KVM's VFIO device: where KVM is told of VFIO's files.

use super::{
    ByGroup, CLOSED, CREATE_DEVICE, FILE_ADD, FILE_DEL, Files, GET_ATTR, HAS_ATTR, Place, Program, RESET,
    SET_ATTR, TYPE1_V2, attribute, words,
};
use std::{fs::File, os::fd::AsRawFd};

// 161: virt/kvm/vfio.c:kvm_vfio_file_add, kvm_vfio_file_del
fn kvm_takes_each_vfio_file_once_and_forgets_only_what_it_knows(place: &impl Place) {
    let program = Program::new(place);
    let kvm = program.create_device().expect("a VM has one");
    let group = program.group(1).expect("it is free");
    let null = File::open("/dev/null").expect("it is there");
    let container = program.files.open("/dev/vfio/vfio").expect("anybody may");
    let (mut vfio, mut others) = (vec![group], vec![null.as_raw_fd(), container, program.kvm, kvm]);
    if program.mdev(2).cdev.is_some() {
        let [device, iommufd] = program.cdev(2);
        vfio.push(device);
        others.push(iommufd);
    }
    for fd in [CLOSED, -1, i32::MAX] {
        assert_eq!([program.add(kvm, fd), program.del(kvm, fd)], [Err(libc::EBADF); 2], "{fd}");
    }
    for fd in others {
        assert_eq!((program.add(kvm, fd), program.del(kvm, fd)), (Err(libc::EINVAL), Err(libc::ENOENT)));
    }
    for fd in vfio {
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
fn a_vm_has_one_vfio_device_of_kvm_at_a_time(place: &impl Place) {
    let program = Program::new(place);
    let create = |kind, flags| program.ioctl(program.kvm, CREATE_DEVICE, &words(&[kind, 0, flags]));
    assert_eq!([create(4, 1), create(6, 1)], [Ok(0); 2], "only asked");
    assert_eq!([create(3, 1), create(99, 0)], [Err(libc::ENODEV); 2]);
    let first = program.create_device().expect("none is there");
    assert_eq!([program.create_device(), program.create_device()], [Err(libc::EBUSY); 2]);
    assert_eq!(create(4, 1), Ok(0), "asking is always right");
    assert_eq!(program.files.close(first), Ok(()));
    program.create_device().expect("the first one is gone");
}

fn kvm_forgets_all_files_when_its_device_is_closed(place: &impl Place) {
    let program = Program::new(place);
    let ByGroup { group, kvm, device, .. } = program.open(1, TYPE1_V2).expect("it is free");
    assert_eq!(program.files.close(device), Ok(()));
    assert_eq!(program.files.close(kvm), Ok(()));
    assert_eq!(program.get_device(group, &program.mdev(1).uuid), Err(libc::EINVAL), "no VM");
}

crate::on_every_host! {
    kvm_takes_each_vfio_file_once_and_forgets_only_what_it_knows
    a_vm_has_one_vfio_device_of_kvm_at_a_time
    kvm_forgets_all_files_when_its_device_is_closed
}
