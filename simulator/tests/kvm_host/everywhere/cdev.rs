//! The character device of a vfio-ap device. In the lab these run where VFIO has such devices.

use super::{Files, Place, Program};

// 144: drivers/vfio/group.c:vfio_device_block_group
fn a_device_whose_group_is_open_is_not_bound_and_one_that_is_bound_has_no_group(place: &impl Place) {
    let program = Program::new(place);
    let [device, iommufd] = program.cdev(1);
    let kvm = program.create_device().expect("a VM has one");
    assert_eq!(program.add(kvm, device), Ok(0));
    let group = program.group(1).expect("an open character device does not matter");
    assert_eq!(program.bind(device, iommufd), Err(libc::EBUSY));
    assert_eq!(program.bind(device, -1), Err(libc::EINVAL), "the argument is looked at before");
    assert_eq!(program.files.close(group), Ok(()));
    assert_eq!(program.bind(device, iommufd), Ok(0));
    assert_eq!(program.group(1), Err(libc::EBUSY));
    assert_eq!(program.files.close(device), Ok(()));
    assert_eq!(program.group(1), Err(libc::EBUSY), "KVM has the file");
    assert_eq!(program.files.close(kvm), Ok(()));
    program.group(1).expect("it is free");
}

crate::on_every_host! {
    a_device_whose_group_is_open_is_not_bound_and_one_that_is_bound_has_no_group
}
