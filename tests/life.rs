//! The life of a guest as those see it who steer it: created, booted, paused, reset, shut down.

use crate::{
    command::MDEV,
    lifecycle::{FOR_EVER, image},
    steering::{assert_says, beat, config, heartbeat, host, option, queues, steered},
};
use adjunct::{
    config::Config,
    control::{Refusal, VcpuState, VmState},
    event::{Event, Reset},
    exit_status::ExitStatus,
};
use std::path::Path;

#[test]
fn a_guest_is_created_booted_shut_down_booted_again_and_deleted() {
    let host = host();
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    let (status, reason) = steered(&host, |operator| {
        let handle = operator.handle.clone();
        assert!(matches!(handle.info(), Err(Refusal::NotCreated)));
        handle.create(config(&kernel, Some(MDEV[1]))).expect("there is none");
        assert_eq!(operator.state(), VmState::Created);
        assert_eq!(host.acts().held(), Vec::<String>::new(), "nothing of the host is taken yet");
        handle.boot().expect("it boots");
        assert_eq!(operator.state(), VmState::Running);
        assert_eq!(operator.hear(queues), ["05.0047", "05.00ff"]);
        handle.shutdown().expect("it runs");
        assert_eq!(operator.state(), VmState::Shutdown);
        assert_eq!(host.acts().held(), Vec::<String>::new());
        handle.boot().expect("it boots again");
        assert_eq!(operator.hear(queues), ["05.0047", "05.00ff"]);
        handle.delete().expect("it runs");
        assert!(matches!(handle.info(), Err(Refusal::NotCreated)));
        assert_eq!(host.acts().held(), Vec::<String>::new());
    });
    assert_eq!((status, reason.as_str()), (ExitStatus::Success, "ended by order"));
}

#[test]
fn what_does_not_fit_a_guests_state_is_refused_with_what_to_do_first() {
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    steered(&host(), |operator| {
        let handle = &operator.handle;
        for refused in [handle.boot(), handle.delete(), handle.pause(), handle.reset(), handle.shutdown()] {
            assert_says(refused, &["no guest", "create"]);
        }
        handle.create(config(&kernel, None)).expect("there is none");
        assert_says(handle.create(config(&kernel, None)), &["created", "delete it first"]);
        for refused in [handle.pause(), handle.resume(), handle.power_down(), handle.reboot()] {
            assert_says(refused, &["not booted", "boot it first"]);
        }
        assert_says(handle.shutdown(), &["not booted", "delete it"]);
        assert_says(handle.add_device(option(MDEV[0])), &["boot it first"]);
        assert_says(handle.remove_device("ap0"), &["boot it first"]);
        handle.boot().expect("it boots");
        assert_says(handle.boot(), &["running", "shut it down first"]);
        assert_says(handle.resume(), &["running already"]);
        assert_says(handle.create(config(&kernel, None)), &["running", "delete it first"]);
        handle.pause().expect("it runs");
        assert_says(handle.pause(), &["paused already"]);
        assert_says(handle.boot(), &["paused"]);
        assert_eq!(operator.state(), VmState::Paused);
        handle.shutdown().expect("it is paused");
        for refused in [handle.shutdown(), handle.power_down()] {
            assert_says(refused, &["shut down already"]);
        }
        assert_says(handle.pause(), &["shut down", "boot it first"]);
    });
}

#[test]
fn a_guest_that_cannot_boot_is_refused_with_the_reason_and_can_be_deleted() {
    let host = host();
    steered(&host, |operator| {
        let handle = &operator.handle;
        handle.create(config(Path::new("/no/kernel"), Some(MDEV[0]))).expect("nobody looks yet");
        assert_says(handle.boot(), &["--kernel /no/kernel"]);
        assert_eq!(operator.state(), VmState::Created);
        assert_eq!(host.acts().held(), Vec::<String>::new());
        handle.delete().expect("it is there");
    });
}

#[test]
fn a_paused_guest_does_nothing_until_it_is_resumed() {
    let (_dir, kernel) = heartbeat();
    steered(&host(), |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        for _ in 0..3 {
            operator.hear(beat);
            handle.pause().expect("it runs");
            operator.hear(|event| (event == Event::Paused).then_some(()));
            let counted = handle.counters().expect("always");
            assert_eq!(operator.state(), VmState::Paused);
            assert_eq!(handle.counters().expect("always"), counted);
            assert_eq!(operator.events.next_now(), None);
            handle.resume().expect("it is paused");
            operator.hear(|event| (event == Event::Resumed).then_some(()));
        }
        operator.hear(beat);
    });
}

#[test]
fn a_reset_loads_the_guest_again_and_leaves_it_paused_if_it_was() {
    // Waits at once; only a reset makes it count once more.
    let wait = 0x0202_0001_8000_0000_u64.to_be_bytes();
    let (_dir, kernel) = image(&[0xb2b2_0420], &[(0x420, &wait), (0x428, &[0; 8])]);
    let reset = |event| matches!(event, Event::GuestReset { kind: Reset::External }).then_some(());
    steered(&host(), |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        handle.reset().expect("it runs");
        operator.hear(reset);
        assert_eq!(operator.state(), VmState::Running);
        handle.pause().expect("it runs");
        handle.reset().expect("it may be paused");
        assert_eq!(operator.state(), VmState::Paused);
        // A CPU that ran after the first reset would have to be taken out of the guest for the second.
        let exits = handle.counters().expect("always").exits;
        handle.reset().expect("it may be paused");
        assert_eq!(handle.counters().expect("always").exits, exits);
        handle.reboot().expect("it may be paused");
        assert_eq!(operator.state(), VmState::Running);
        let resets = handle.counters().expect("always").resets;
        assert_eq!(resets["external"], 4, "{resets:?}");
    });
}

#[test]
fn cpus_are_shown_with_their_states_and_threads() {
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    steered(&host(), |operator| {
        let handle = operator.handle.clone();
        handle.create(Config { vcpus: 3, ..config(&kernel, Some(MDEV[2])) }).expect("there is none");
        assert_eq!(handle.info().expect("created").vcpus, []);
        handle.boot().expect("it boots");
        handle.pause().expect("it runs");
        let info = handle.info().expect("it runs");
        let states: Vec<_> = info.vcpus.iter().map(|cpu| (cpu.address, cpu.state)).collect();
        let stopped = VcpuState::Stopped;
        assert_eq!(states, [(0, VcpuState::Operating), (1, stopped), (2, stopped)]);
        assert!(info.vcpus[0].thread_id.is_some_and(|id| id > 0));
        let device = info.device.expect("it has one");
        assert_eq!(device.id, "ap0");
        assert_eq!(device.apqns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["06.0047", "06.00ff"]);
        let counters = handle.counters().expect("always");
        assert_eq!((counters.adapters, counters.domains, counters.queues), (1, 2, 2));
        assert_eq!(counters.exits["kick"], 1, "{counters:?}");
    });
}

/// Listens for the request to shut down, and ends well upon it.
fn listener() -> (tempfile::TempDir, std::path::PathBuf) {
    let code = [
        0xa51e_0078, // 200 llilh %r1,0x78
        0xa51b_0005, // 204 oill  %r1,5         WRITE EVENT MASK
        0xa728_3000, // 208 lhi   %r2,0x3000
        0xb220_0012, // 20c servc %r1,%r2
        0xb700_0430, // 210 lctl  %c0,%c0,0x430 service signals
        0xb2b2_0420, // 214 lpswe 0x420         enabled wait
    ];
    // The first signal says that the mask is written, the second that there is an event; then the guest resets
    // itself, so that whoever waits can tell that it listens.
    let psw = |mask: u64, address: u64| [mask.to_be_bytes(), address.to_be_bytes()].concat();
    let mut sccb = vec![0; 28];
    sccb[1] = 28;
    sccb[11] = 4;
    // The guest wants signal quiesce, type 0x1d.
    sccb[15] = 8;
    let taken = [
        0x9601_0800_u32, // 300 oi   0x800,1
        0x9101_0083,     // 304 tm   0x83,1      an event waits
        0xa784_0004,     // 308 jz   310
        0xb2b2_0400,     // 30c lpswe 0x400      end well
        0xb2b2_0420,     // 310 lpswe 0x420      wait for it
    ];
    image(
        &code,
        &[
            (0x1b0, &psw(0x0000_0001_8000_0000, 0x300)),
            (0x300, &taken.map(u32::to_be_bytes).concat()),
            (0x420, &psw(0x0102_0001_8000_0000, 0xdea0)),
            (0x430, &0x0000_0200_u32.to_be_bytes()),
            (0x3000, &sccb),
        ],
    )
}

#[test]
fn a_guest_that_listens_is_asked_to_shut_down_and_does() {
    let (_dir, kernel) = listener();
    steered(&host(), |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        // Asked before it listens it is told when it does.
        handle.power_down().expect("it runs");
        operator.hear(|event| (event == Event::PowerDownRequested).then_some(()));
        let end = operator.hear(|event| match event {
            Event::GuestEnded { status, reason, .. } => Some((status, reason)),
            _ => None,
        });
        assert_eq!(end, (0, "disabled wait at address 0x0".to_owned()));
        assert_eq!(operator.state(), VmState::Shutdown);
    });
}
