//! What a vfio-ap device answers.

use super::{
    ACTION_TRIGGER as TRIGGER, ByGroup, CLOSED, DATA_EVENTFD as EVENTFD, FEATURE, Files, GET_INFO,
    GET_IRQ_INFO, GET_REGION_INFO, Place, Program, SET_IRQS, TYPE1_V2, by_each_way, event, eventually,
    removal, signed, words,
};
use std::{
    fs::File,
    os::fd::{AsRawFd, RawFd},
    thread,
};

const DATA_NONE: u32 = 1;
const DATA_BOOL: u32 = 2;
const MASK: u32 = 8;

// 146: vfio_ap_ops.c:vfio_ap_mdev_get_device_info
fn information_is_16_bytes_and_what_is_behind_them_stays(place: &impl Place) {
    by_each_way(place, |program, device| {
        for argsz in [16, 24, u32::MAX] {
            let answer = program.answer(device, GET_INFO, &words(&[argsz, 7, 7, 7, 7, 7]));
            assert_eq!(answer, words(&[argsz, 0x21, 0, place.irqs().end, 7, 7]));
        }
        assert_eq!(program.ioctl(device, GET_INFO, &words(&[15, 0, 0, 0])), Err(libc::EINVAL));
        assert_eq!(program.ioctl(device, GET_INFO, &words(&[16, 0, 0])), Err(libc::EFAULT));
    });
}

// 148: vfio_ap_ops.c:vfio_ap_get_irq_info
fn each_interrupt_is_one_that_an_eventfd_can_have(place: &impl Place) {
    by_each_way(place, |program, device| {
        for index in place.irqs() {
            let answer = program.answer(device, GET_IRQ_INFO, &words(&[16, 9, index, 9]));
            assert_eq!(answer, words(&[16, 1, index, 1]));
            assert_eq!(program.ioctl(device, GET_IRQ_INFO, &words(&[15, 0, index, 0])), Err(libc::EINVAL));
        }
        for index in [place.irqs().end, u32::MAX] {
            assert_eq!(program.ioctl(device, GET_IRQ_INFO, &words(&[16, 0, index, 0])), Err(libc::EINVAL));
        }
    });
}

// 149: vfio_ap_ops.c:vfio_ap_set_cfg_change_irq
fn an_eventfd_is_signalled_until_another_takes_its_place(place: &impl Place) {
    by_each_way(place, |program, device| {
        let [first, second] = [event(), event()];
        let set = |event: RawFd| program.set_irq(device, 1, event);
        if !place.irqs().contains(&1) {
            assert_eq!(set(first.as_raw_fd()), Err(libc::EINVAL), "nothing tells of changes");
            return;
        }
        let change = |how: &str| {
            place.write(&format!("bus/mdev/devices/{}/{how}_adapter", program.mdev(1).uuid), "6");
        };
        assert_eq!(set(first.as_raw_fd()), Ok(0));
        change("unassign");
        assert_eq!((first.read().ok(), second.read().ok()), (Some(1), None));
        assert_eq!(set(second.as_raw_fd()), Ok(0));
        change("assign");
        assert_eq!((first.read().ok(), second.read().ok()), (None, Some(1)));
        // The kernel has a reference of its own.
        let kept = second.try_clone().expect("a descriptor is free");
        drop(second);
        change("unassign");
        assert_eq!(kept.read().ok(), Some(1));
        assert_eq!(set(-1), Ok(0));
        change("assign");
        assert_eq!(kept.read().ok(), None);
    });
}

// 150: vfio_ap_ops.c:vfio_ap_set_request_irq
fn only_an_eventfd_or_minus_one_is_a_trigger(place: &impl Place) {
    by_each_way(place, |program, device| {
        let file = File::open("/dev/null").expect("it is there");
        for index in place.irqs() {
            let set = |fd| program.set_irq(device, index, fd);
            assert_eq!(set(event().as_raw_fd()), Ok(0));
            assert_eq!(set(-1), Ok(0));
            assert_eq!([set(-2), set(i32::MIN)], [Err(libc::EINVAL); 2]);
            assert_eq!([set(CLOSED), set(i32::MAX)], [Err(libc::EBADF); 2]);
            assert_eq!([set(file.as_raw_fd()), set(device)], [Err(libc::EINVAL); 2]);
        }
    });
}

// 152: drivers/vfio/vfio_main.c:vfio_set_irqs_validate_and_prepare
fn everything_else_about_setting_interrupts_is_einval(place: &impl Place) {
    by_each_way(place, |program, device| {
        let ours = event();
        let right = [24, EVENTFD | TRIGGER, 0, 0, 1, signed(ours.as_raw_fd())];
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
        wrong("another index", &[(2, place.irqs().end)]);
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
        assert_eq!(
            program.ioctl(device, SET_IRQS, &words(&none[..5])),
            Err(libc::EFAULT),
            "nothing is there"
        );
        none[5] = signed(CLOSED);
        assert_eq!(program.ioctl(device, SET_IRQS, &words(&none)), Err(libc::EBADF));
    });
}

// 154: drivers/vfio/vfio_main.c:vfio_get_region_info
fn a_device_has_no_regions_and_says_so_by_kernel(place: &impl Place) {
    let errno = if place.kernel() >= (7, 0) { libc::EINVAL } else { libc::EOPNOTSUPP };
    by_each_way(place, |program, device| {
        let argument = words(&[32, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(program.ioctl(device, GET_REGION_INFO, &argument), Err(errno));
        assert_eq!(program.ioctl(device, 0x3bff, &argument), Err(libc::EOPNOTSUPP), "unknown");
    });
}

// 156: drivers/vfio/vfio_main.c:vfio_ioctl_device_feature
fn a_device_has_none_of_vfios_features(place: &impl Place) {
    const GET: u32 = 1 << 16;
    const SET: u32 = 1 << 17;
    const PROBE: u32 = 1 << 18;
    by_each_way(place, |program, device| {
        let feature = |argsz, flags| program.ioctl(device, FEATURE, &words(&[argsz, flags, 0, 0]));
        for number in (0..12).chain([0xffff]) {
            for flags in [GET, SET, PROBE | GET, PROBE | SET | GET] {
                assert_eq!(feature(16, number | flags), Err(libc::ENOTTY), "{number:#x} {flags:#x}");
            }
            assert_eq!(feature(16, number | GET | SET), Err(libc::EINVAL));
        }
        assert_eq!(feature(7, 1 | GET), Err(libc::EINVAL), "argsz");
        assert_eq!(feature(16, 1 | GET | 1 << 19), Err(libc::EINVAL), "an unknown flag");
    });
}

// 157: drivers/vfio/vfio_main.c:vfio_device_fops_read
fn a_device_is_neither_read_nor_written_nor_mapped(place: &impl Place) {
    by_each_way(place, |program, device| {
        let mut devices = vec![device];
        if program.mdev(2).cdev.is_some() {
            devices.push(program.cdev(2)[0]);
        }
        for fd in devices {
            assert_eq!(program.files.read(fd, &mut [0; 8]), Err(libc::EINVAL));
            assert_eq!(program.files.write(fd, &[0; 8]), Err(libc::EINVAL));
            assert_eq!(program.files.mmap(fd, 4096), Err(libc::EINVAL));
        }
        assert_eq!(program.files.read(CLOSED, &mut []), Err(libc::EBADF));
    });
}

// 160: vfio_ap_ops.c: no reset in close_device
fn a_device_that_is_opened_again_signals_the_old_eventfds(place: &impl Place) {
    let program = Program::new(place);
    let ByGroup { group, device, .. } = program.open(1, TYPE1_V2).expect("it is free");
    let (told, asked, changed) = (place.irqs().contains(&1), event(), event());
    assert_eq!(program.set_irq(device, 0, asked.as_raw_fd()), Ok(0));
    if told {
        assert_eq!(program.set_irq(device, 1, changed.as_raw_fd()), Ok(0));
    }
    assert_eq!(program.files.close(device), Ok(()));
    assert!(changed.read().is_err(), "closing says nothing");
    let device = program.get_device(group, &program.mdev(1).uuid).expect("again");
    assert_eq!(changed.read().ok(), told.then_some(1), "opening does");
    thread::scope(|scope| {
        let removal = removal(scope, place, program.mdev(1));
        eventually(|| asked.read().is_ok());
        assert_eq!(program.files.close(device), Ok(()));
        removal.join().expect("it ends");
    });
}

crate::on_every_host! {
    information_is_16_bytes_and_what_is_behind_them_stays
    each_interrupt_is_one_that_an_eventfd_can_have
    an_eventfd_is_signalled_until_another_takes_its_place
    only_an_eventfd_or_minus_one_is_a_trigger
    everything_else_about_setting_interrupts_is_einval
    a_device_has_no_regions_and_says_so_by_kernel
    a_device_has_none_of_vfios_features
    a_device_is_neither_read_nor_written_nor_mapped
    a_device_that_is_opened_again_signals_the_old_eventfds
}
