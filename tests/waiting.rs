//! Who steers a guest does not wait for those who are slow, nor the guest for those who ask too much.

use crate::{
    command::MDEV,
    lifecycle::{END_WELL, FOR_EVER, FullPipe, image, talker},
    patience::until,
    rest::HALF_PAST,
    steering::{Operator, assert_says, beat, config, heartbeat, host, option, steered},
};
use adjunct::{
    config::Config,
    control::{Handle, Refusal, VcpuState, VmState, mailbox},
    event::{EndCause, Event, Events},
    exit_status::ExitStatus,
    host::Host,
    vmm::{After, Vmm},
};
use adjunct_ap::Sysfs;
use adjunct_simulator::{Fault, SimHost};
use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::Arc,
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

/// As [`config`], with a console that nobody reads.
fn unread(pipe: &FullPipe, kernel: &Path, device: Option<&str>) -> Config {
    let console = format!("file:{}", pipe.path().display()).parse().expect("well formed");
    Config { console, ..config(kernel, device) }
}

#[test]
fn a_guest_whose_console_nobody_reads_can_be_steered_and_shut_down() {
    let (_dir, kernel) = talker();
    let nothing = |_: &Handle| Ok(());
    for steer in [nothing, Handle::power_down, Handle::pause, Handle::reset, Handle::reboot] {
        let pipe = FullPipe::new();
        steered(&host(), |operator| {
            operator.handle.create(unread(&pipe, &kernel, None)).expect("there is none");
            operator.handle.boot().expect("it boots");
            pipe.wait();
            steer(&operator.handle).expect("it runs");
            operator.handle.shutdown().expect("it runs");
            assert_eq!(operator.state(), VmState::Shutdown);
        });
    }
}

#[test]
fn the_host_gets_its_device_back_from_a_guest_whose_console_nobody_reads() {
    let host = host();
    let (_dir, kernel) = talker();
    let pipe = FullPipe::new();
    steered(&host, |operator| {
        operator.handle.create(unread(&pipe, &kernel, Some(MDEV[0]))).expect("there is none");
        operator.handle.boot().expect("it boots");
        pipe.wait();
        operator.handle.power_down().expect("it runs");
        host.write(&format!("{}/remove", &MDEV[0]["/sys/".len()..]), "1").expect("it is given back");
        assert_eq!(operator.state(), VmState::Running);
    });
}

/// CPU 0 starts CPU 1 and writes to its console without end; CPU 1 waits until the queue 05.0004 is there, stops CPU 0
/// (it is, though what it wrote is not read), and does `then`.
fn talker_that_is_stopped(then: [u32; 2]) -> (tempfile::TempDir, std::path::PathBuf) {
    let code = [
        0xa748_0001, // lhi   %r4,1
        0xae24_0006, // sigp  %r2,%r4,6     restart
        0xa51e_0076, // llilh %r1,0x76
        0xa51b_0005, // oill  %r1,5         WRITE EVENT DATA
        0xa728_3000, // lhi   %r2,0x3000
        0xb220_0012, // servc %r1,%r2
        0xa7f4_fffe, // j     the servc
    ];
    let second = [
        0xa709_0504_u32, // lghi %r0,0x504
        0xb2af_0000,     // pqap
        0xa774_fffe,     // jnz  the pqap
        0xa748_0000,     // lhi  %r4,0
        0xae24_0005,     // sigp %r2,%r4,5      stop
        0xa774_fffe,     // jnz  the sigp
        0xae24_0001,     // sigp %r2,%r4,1      sense
        0xa7b4_fffe,     // jnl  the sigp       until it is stopped
        then[0],
        then[1],
    ];
    let mut sccb = vec![b'x'; 4096];
    sccb[..14].copy_from_slice(&[0x10, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0xf8, 0x1a, 0, 0, 0]);
    let restart = [0x0000_0001_8000_0000_u64.to_be_bytes(), 0x300_u64.to_be_bytes()].concat();
    image(&code, &[(0x1a0, &restart), (0x300, &second.map(u32::to_be_bytes).concat()), (0x3000, &sccb)])
}

#[test]
fn a_cpu_whose_console_nobody_reads_takes_orders() {
    // lhi %r2,1; diag %r0,%r2,0x308
    let (_dir, kernel) = talker_that_is_stopped([0xa728_0001, 0x8302_0308]);
    let pipe = FullPipe::new();
    steered(&host(), |operator| {
        let config = Config { vcpus: 2, ..unread(&pipe, &kernel, None) };
        operator.handle.create(config).expect("there is none");
        operator.handle.boot().expect("it boots");
        pipe.wait();
        operator.handle.add_device(option(MDEV[0])).expect("there is none");
        operator.hear(beat);
        operator.handle.shutdown().expect("it runs");
    });
}

/// Has the guest of [`talker_that_is_stopped`] end by itself with its output unread; that it has ended is heard.
fn ends_unread(operator: &mut Operator) {
    // Each nearly a page, of which a pipe holds 16.
    let calls = || operator.handle.counters().expect("always").exits.get("service-call").copied();
    until(|| calls() >= Some(17));
    match operator.handle.add_device(option(MDEV[0])) {
        // It may have looked, and ended, before the plug was done.
        Ok(_) | Err(Refusal::Ended) => {}
        Err(refused) => panic!("{refused}"),
    }
    operator.hear(|event| matches!(event, Event::GuestEnded { cause: EndCause::Guest, .. }).then_some(()));
    assert_eq!(operator.state(), VmState::Shutdown);
    operator.handle.counters().expect("always");
}

#[test]
fn a_guest_that_ends_with_its_output_unread_has_ended_for_all_and_who_orders_that_waits_for_no_reader() {
    let (_dir, kernel) = talker_that_is_stopped([END_WELL; 2]);
    for order in [Handle::shutdown, Handle::delete, Handle::quit] {
        let pipes = [FullPipe::new(), FullPipe::new()];
        let [config, other] = pipes.each_ref().map(|pipe| Config { vcpus: 2, ..unread(pipe, &kernel, None) });
        // One that waits for orders then, and one that ends with its guest.
        let (status, reason) = steered(&host(), |operator| {
            operator.handle.create(config).expect("there is none");
            operator.handle.boot().expect("it boots");
            ends_unread(operator);
            order(&operator.handle).expect("its output is given up");
        });
        assert_eq!((status, reason.as_str()), (ExitStatus::Success, "ended by order"));
        let (status, reason) = runs(other, |operator| {
            ends_unread(operator);
            order(&operator.handle).expect("its output is given up");
        });
        assert_eq!((status, reason.as_str()), (ExitStatus::Success, "disabled wait at address 0x0"));
    }
}

#[test]
fn a_guest_that_has_ended_is_booted_again_when_its_output_is_read_or_given_up() {
    let (_dir, kernel) = talker_that_is_stopped([END_WELL; 2]);
    let pipe = FullPipe::new();
    steered(&host(), |operator| {
        let config = Config { vcpus: 2, ..unread(&pipe, &kernel, None) };
        operator.handle.create(config).expect("there is none");
        operator.handle.boot().expect("it boots");
        ends_unread(operator);
        let handle = operator.handle.clone();
        thread::scope(|scope| {
            let booting = scope.spawn(|| handle.boot());
            operator.handle.shutdown().expect("its output is given up");
            booting.join().expect("it does not panic").expect("it boots");
        });
        assert_eq!(operator.state(), VmState::Running);
    });
}

#[test]
fn what_a_guest_wrote_before_it_ended_is_all_there_for_a_reader_who_was_asleep() {
    let (_dir, kernel) = talker_that_is_stopped([END_WELL; 2]);
    let pipe = FullPipe::new();
    let config = Config { vcpus: 2, ..unread(&pipe, &kernel, None) };
    let mut reader = None;
    let (status, _) = runs(config, |operator| {
        ends_unread(operator);
        let mut from = File::open(pipe.path()).expect("a pipe");
        reader = Some(thread::spawn(move || {
            let mut read = Vec::new();
            from.read_to_end(&mut read).map(|_| read)
        }));
    });
    assert_eq!(status, ExitStatus::Success);
    drop(pipe);
    let read = reader.expect("it was begun").join().expect("it ends").expect("readable");
    // Whole messages, more than the pipe holds.
    assert!(read.len() > 65536 && read.len().is_multiple_of(4082) && read.iter().all(|byte| *byte == b'x'));
}

/// A VMM that runs a guest and ends with it, asked and watched by `steer`; how it ended.
fn runs(config: Config, steer: impl FnOnce(&mut Operator)) -> (ExitStatus, String) {
    let (handle, mailbox) = mailbox().expect("an eventfd");
    let (host, events) = (host(), Events::default());
    let mut operator = Operator { handle, events: events.subscribe().expect("an eventfd") };
    let host = Host::simulated(&host);
    thread::scope(|scope| {
        let vmm = scope.spawn(|| Vmm::new(&host, &events, None, mailbox).run(config, After::End));
        steer(&mut operator);
        vmm.join().expect("it does not panic").expect("nothing is lost")
    })
}

/// Keeps the host from an act; a test that fails keeps nobody waiting.
struct Door<'a>(&'a SimHost);

impl<'a> Door<'a> {
    fn closed(host: &'a SimHost, request: &str) -> Self {
        host.acts().plan(Fault::of(request).held_at("door"));
        Self(host)
    }

    fn wait(&self) {
        self.0.acts().wait_until_held("door");
    }

    /// Lets the host through that was there all the time.
    fn open(&self) {
        assert_eq!(self.0.acts().release("door"), 1, "the host is at it still");
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        self.0.acts().forget_plans();
    }
}

/// What has the host reset queues: asked of a guest that has `ap0`, or gets it by that.
type Slow = fn(&Handle) -> Result<(), Refusal>;

/// Each with whether the guest has a device before, and the act of the host that can take its time.
const SLOW: [(Slow, Option<&str>, &str); 4] = [
    (|handle| handle.add_device(option(MDEV[0])).map(drop), None, "VFIO_DEVICE_RESET"),
    (|handle| handle.remove_device("ap0"), Some(MDEV[0]), "VFIO_DEVICE_SET_IRQS"),
    (Handle::reset, Some(MDEV[0]), "VFIO_DEVICE_RESET"),
    (Handle::reboot, Some(MDEV[0]), "VFIO_DEVICE_RESET"),
];

/// Asks each of [`SLOW`] of a guest and does `meanwhile` when the host is at it; its last is what the guest was asked.
fn while_the_host_resets_queues(
    meanwhile: impl Fn(&Operator, Door<'_>, ScopedJoinHandle<'_, Result<(), Refusal>>),
) {
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    for (ask, device, request) in SLOW {
        let host = host();
        steered(&host, |operator| {
            operator.boot(&kernel, device);
            thread::scope(|scope| {
                let door = Door::closed(&host, request);
                let asking = scope.spawn(|| ask(&operator.handle));
                door.wait();
                meanwhile(operator, door, asking);
            });
        });
    }
}

#[test]
fn an_end_that_is_ordered_does_not_wait_for_the_host_to_reset_queues() {
    while_the_host_resets_queues(|operator, door, asking| {
        operator.handle.shutdown().expect("it runs");
        assert_says(asking.join().expect("it does not panic"), &["the guest ended first"]);
        door.open();
        assert_eq!(operator.state(), VmState::Shutdown);
    });
}

#[test]
fn how_a_guest_ends_is_told_while_the_host_resets_queues() {
    // stck 0x900; clc 0x900(8),0x910; jl the stck; lpswe 0x410: the bad end, once it is the time at 0x910
    let mut waits = vec![0xb2, 0x05, 0x09, 0x00, 0xd5, 0x07, 0x09, 0x00, 0x09, 0x10];
    waits.extend([0xa7, 0x44, 0xff, 0xfb, 0xb2, 0xb2, 0x04, 0x10]);
    let (_dir, kernel) = image(&[], &[(0x200, &waits), (0x910, &HALF_PAST.to_be_bytes())]);
    let host = host();
    steered(&host, |operator| {
        operator.boot(&kernel, Some(MDEV[0]));
        let handle = operator.handle.clone();
        thread::scope(|scope| {
            let door = Door::closed(&host, "VFIO_DEVICE_SET_IRQS");
            let asking = scope.spawn(move || handle.remove_device("ap0"));
            door.wait();
            host.advance(Duration::from_secs(3600));
            operator.hear(|event| matches!(event, Event::GuestPanicked { .. }).then_some(()));
            assert_says(asking.join().expect("it does not panic"), &["the guest ended first"]);
            door.open();
        });
    });
}

#[test]
fn nothing_is_begun_any_more_once_somebody_has_asked_for_the_end() {
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    let host = host();
    steered(&host, |operator| {
        operator.boot(&kernel, None);
        let handle = &operator.handle;
        thread::scope(|scope| {
            let door = Door::closed(&host, "VFIO_DEVICE_RESET");
            let first = scope.spawn(|| handle.add_device(option(MDEV[0])));
            door.wait();
            let second = scope.spawn(|| handle.add_device(option(MDEV[1])));
            // By then it has most likely asked.
            (0..100).for_each(|_| assert_eq!(operator.state(), VmState::Running));
            handle.shutdown().expect("it runs");
            assert_says(first.join().expect("it does not panic"), &["the guest ended first"]);
            second.join().expect("it does not panic").expect_err("there is no guest any more");
            let second = MDEV[1].rsplit('/').next().expect("a name");
            let acts = host.acts().text();
            assert!(!acts.contains(second), "{acts}");
            door.open();
        });
    });
}

#[test]
fn who_asks_about_a_guest_does_not_wait_for_the_host_to_reset_queues_and_who_changes_it_does() {
    while_the_host_resets_queues(|operator, door, asking| {
        let handle = &operator.handle;
        let exits = || handle.counters().expect("always").exits;
        let before = exits();
        thread::scope(|scope| {
            let door = door;
            let pausing = scope.spawn(|| handle.pause());
            for _ in 0..100 {
                assert_eq!(operator.state(), VmState::Running);
                assert_eq!(exits(), before, "no CPU is taken out of the guest yet");
                handle.host().expect("always");
            }
            door.open();
            asking.join().expect("it does not panic").expect("it can be");
            pausing.join().expect("it does not panic").expect("it runs");
        });
        assert_eq!(operator.state(), VmState::Paused);
    });
}

#[test]
fn a_device_that_is_being_unplugged_is_gone_for_the_next_who_asks_for_it() {
    let host = host();
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    steered(&host, |operator| {
        let handle = &operator.handle;
        operator.boot(&kernel, Some(MDEV[0]));
        thread::scope(|scope| {
            let door = Door::closed(&host, "VFIO_DEVICE_SET_IRQS");
            let first = scope.spawn(|| handle.remove_device("ap0"));
            door.wait();
            assert_eq!(handle.info().expect("it runs").device, None);
            let second = scope.spawn(|| handle.remove_device("ap0"));
            let other = scope.spawn(|| handle.add_device(option(MDEV[1])));
            operator.state();
            drop(door);
            first.join().expect("it does not panic").expect("it is there");
            // Whichever of the two was first.
            let refused = second.join().expect("it does not panic");
            let added = other.join().expect("it does not panic").expect("there is none any more");
            match refused {
                Ok(()) => assert_eq!(handle.info().expect("it runs").device, None),
                refused => {
                    assert_says(refused, &["no device \"ap0\"", "it has none"]);
                    assert_eq!(handle.info().expect("it runs").device, Some(added));
                }
            }
        });
    });
    assert_eq!(host.acts().held(), Vec::<String>::new());
}

#[test]
fn a_guest_can_be_asked_about_and_ended_while_the_host_takes_its_device_back() {
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    let detached = |event| matches!(event, Event::ApDetached { .. }).then_some(());
    for ends in [false, true] {
        let host = host();
        steered(&host, |operator| {
            operator.boot(&kernel, Some(MDEV[0]));
            thread::scope(|scope| {
                let door = Door::closed(&host, "VFIO_DEVICE_SET_IRQS");
                let remove = format!("{}/remove", &MDEV[0]["/sys/".len()..]);
                let removing = scope.spawn({
                    let host = &host;
                    move || host.write(&remove, "1")
                });
                door.wait();
                assert_eq!(operator.state(), VmState::Running);
                if ends {
                    operator.handle.shutdown().expect("it runs");
                }
                drop(door);
                removing.join().expect("it does not panic").expect("it is given back");
            });
            if !ends {
                operator.hear(detached);
            }
        });
    }
}

/// Each of eight CPUs gives orders to a CPU that is not there, without end.
fn orders_without_end() -> (tempfile::TempDir, std::path::PathBuf) {
    // lhi %r4,63; sigp %r2,%r4,4; j the sigp
    let orders = [0xa748_003f_u32, 0xae24_0004, 0xa7f4_fffe];
    let starts = (1..8).flat_map(|cpu| [0xa748_0000 | cpu, 0xae24_0006]);
    let code: Vec<u32> = starts.chain(orders).collect();
    let restart = [0x0000_0001_8000_0000_u64.to_be_bytes(), 0x300_u64.to_be_bytes()].concat();
    image(&code, &[(0x1a0, &restart), (0x300, &orders.map(u32::to_be_bytes).concat())])
}

#[test]
fn cpus_that_order_without_end_keep_nobody_from_steering_the_guest() {
    let (_dir, kernel) = orders_without_end();
    steered(&host(), |operator| {
        let handle = operator.handle.clone();
        handle.create(Config { vcpus: 8, ..config(&kernel, None) }).expect("there is none");
        handle.boot().expect("it boots");
        let orders = || handle.counters().expect("always").exits["sigp"];
        until(|| orders() >= 1000);
        for _ in 0..10 {
            handle.pause().expect("it runs");
            let given = orders();
            assert_eq!(orders(), given, "nobody orders while the guest is paused");
            handle.resume().expect("it is paused");
        }
        handle.shutdown().expect("it runs");
    });
}

#[test]
fn who_asks_without_end_does_not_keep_the_guest_waiting() {
    let (_dir, kernel) = heartbeat();
    steered(&host(), |operator| {
        operator.boot(&kernel, None);
        thread::scope(|scope| {
            // Dropped in a panic too, so that nobody asks on.
            let listening = Arc::new(());
            for _ in 0..8 {
                let listener = Arc::downgrade(&listening);
                let handle = &operator.handle;
                scope.spawn(move || {
                    while listener.strong_count() > 0 {
                        handle.info().expect("a guest runs");
                    }
                });
            }
            let events = &operator.events;
            let mut beats = 0;
            until(|| {
                beats += usize::from(events.next_now().and_then(beat).is_some());
                beats == 100
            });
            drop(listening);
        });
    });
}

#[test]
fn who_steers_a_guest_does_not_wait_for_the_reader_of_its_events() {
    let (_dir, kernel) = heartbeat();
    let pipe = FullPipe::new();
    let host = host();
    let target = format!("path={}", pipe.path().display()).parse().expect("well formed");
    let events = Events::open(Some(&target)).expect("a pipe");
    let (handle, mailbox) = mailbox().expect("an eventfd");
    let on = Host::simulated(&host);
    thread::scope(|scope| {
        let operator = Operator { handle, events: events.subscribe().expect("an eventfd") };
        let vmm = scope.spawn(|| Vmm::new(&on, &events, None, mailbox).serve(After::Stay));
        operator.boot(&kernel, None);
        pipe.wait();
        assert_eq!(operator.state(), VmState::Running);
        operator.handle.pause().expect("it runs");
        drop(operator);
        vmm.join().expect("it does not panic").expect("it is told to end");
    });
}

/// CPU 0 starts CPU 1 and waits for interruptions; CPU 1 waits for nothing.
fn one_is_out() -> (tempfile::TempDir, std::path::PathBuf) {
    let code = [
        0xa748_0001, // lhi   %r4,1
        0xae24_0006, // sigp  %r2,%r4,6     restart
        0xb2b2_0420, // lpswe 0x420         enabled wait
    ];
    let psw = |mask: u64, address: u64| [mask.to_be_bytes(), address.to_be_bytes()].concat();
    let restart = psw(0x0002_0000_8000_0000, 0xdead);
    image(&code, &[(0x1a0, &restart), (0x420, &psw(0x0306_0001_8000_0000, 0))])
}

#[test]
fn cpus_that_sleep_look_at_what_is_pending_while_another_waits_for_nothing() {
    let (_dir, kernel) = one_is_out();
    steered(&host(), |operator| {
        let handle = &operator.handle;
        handle.create(Config { vcpus: 2, ..config(&kernel, None) }).expect("there is none");
        handle.boot().expect("it boots");
        let is_out = || handle.info().expect("it runs").vcpus[1].state == VcpuState::DisabledWait;
        until(is_out);
        let kicks = || handle.counters().expect("always").exits.get("kick").copied().unwrap_or_default();
        // Something may have been pending when it went.
        until(|| kicks() >= 1);
        let before = kicks();
        handle.add_device(option(MDEV[0])).expect("there is none");
        // A machine check is pending.
        until(|| kicks() > before);
    });
}
