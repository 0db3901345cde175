//! The life of a guest as those see it who steer it: created, booted, paused, plugged, reset, shut down.

use crate::{
    command::{MDEV, command},
    lifecycle::{FOR_EVER, FullPipe, UNTIL_IT_IS_GONE, image, talker},
    qmp::client::Guest,
};
use adjunct::{
    chain::chain,
    config::{Config, Image, VfioApOption},
    control::{Handle, Refusal, VcpuState, VmState, mailbox},
    event::{DetachReason, Event, Events, Reset, Subscription},
    exit_status::ExitStatus,
    host::{Host, builtin},
    vmm::{After, Vmm},
};
use adjunct_ap::Sysfs;
use adjunct_simulator::{Fault, SimHost};
use serde_json::json;
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Somebody who steers a VMM, and hears what happens.
pub(crate) struct Operator {
    pub(crate) handle: Handle,
    events: Subscription,
}

/// A test that fails leaves no VMM behind that waits for orders.
impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.handle.quit();
    }
}

impl Operator {
    /// The next event that `wanted` picks; others are passed over.
    pub(crate) fn hear<T>(&mut self, wanted: impl FnMut(Event) -> Option<T>) -> T {
        self.events.find_map(wanted).expect("it happens")
    }

    /// Forgets what has been.
    fn forget(&self) {
        while self.events.next_now().is_some() {}
    }

    fn state(&self) -> VmState {
        self.handle.info().expect("there is a guest").state
    }

    pub(crate) fn boot(&self, kernel: &Path, device: Option<&str>) {
        self.handle.create(config(kernel, device)).expect("there is no guest");
        self.handle.boot().expect("it boots");
    }
}

pub(crate) fn config(kernel: &Path, device: Option<&str>) -> Config {
    let device = device.map(option);
    Config { kernel: Image::File(kernel.to_owned()), ..Config::apcheck(device) }
}

fn option(mdev: &str) -> VfioApOption {
    format!("vfio-ap,sysfsdev={mdev},id=ap0").parse().expect("well formed")
}

/// A VMM on `host` without a guest, steered by `steer`; how it ended.
pub(crate) fn steered(host: &SimHost, steer: impl FnOnce(&mut Operator)) -> (ExitStatus, String) {
    let (handle, mailbox) = mailbox().expect("an eventfd");
    let events = Events::default();
    let mut operator = Operator { handle, events: events.subscribe().expect("an eventfd") };
    let host = Host::simulated(host);
    thread::scope(|scope| {
        let vmm = scope.spawn(|| Vmm::new(&host, &events, None, mailbox).serve(After::Stay));
        steer(&mut operator);
        drop(operator);
        vmm.join().expect("it does not panic").expect("nothing is lost")
    })
}

pub(crate) fn host() -> SimHost {
    builtin().expect("the built-in host is right")
}

fn queues(event: Event) -> Option<Vec<String>> {
    match event {
        Event::ApAttached { apqns, .. } => Some(apqns),
        _ => None,
    }
}

/// Every refusal is one line that says what is the matter, and what to do about it.
#[track_caller]
fn assert_says<T: std::fmt::Debug>(refused: Result<T, Refusal>, parts: &[&str]) {
    let said = chain(&refused.expect_err("it is refused"));
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    assert!(!said.contains('\n'), "{said}");
}

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
        assert_says(handle.add_device(option(MDEV[0])), &["boot it first"]);
        assert_says(handle.remove_device("ap0"), &["boot it first"]);
        handle.boot().expect("it boots");
        assert_says(handle.boot(), &["running", "shut it down first"]);
        assert_says(handle.resume(), &["running", "pause it first"]);
        assert_says(handle.create(config(&kernel, None)), &["running", "delete it first"]);
        handle.pause().expect("it runs");
        assert_says(handle.pause(), &["paused", "resume it first"]);
        assert_says(handle.boot(), &["paused"]);
        assert_eq!(operator.state(), VmState::Paused);
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

/// Resets itself without end, which is heard.
fn heartbeat() -> (tempfile::TempDir, std::path::PathBuf) {
    // lhi %r2,1; diag %r0,%r2,0x308: load normal, by the PSW at absolute 0.
    let psw = 0x0008_0000_8000_0200_u64.to_be_bytes();
    image(&[0xa728_0001, 0x8302_0308], &[(0, &psw)])
}

pub(crate) fn beat(event: Event) -> Option<()> {
    matches!(event, Event::GuestReset { kind: Reset::LoadNormal }).then_some(())
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

/// `lghi %r0,0x504`, then TAPQ until the queue 05.0004 is there; then until it is gone; over and over.
const WATCHES_A_QUEUE: [u32; 8] = [
    0xa709_0504, // lghi %r0,0x504
    0xb2af_0000, // pqap
    0xa774_fffe, // jnz  the pqap
    0xb2af_0000, // pqap
    0xa784_fffe, // jz   the pqap
    0xa728_0001, // lhi  %r2,1
    0x8302_0308, // diag %r0,%r2,0x308
    FOR_EVER,
];

#[test]
fn a_device_can_be_plugged_and_unplugged_while_the_guest_looks() {
    let host = host();
    let psw = 0x0008_0000_8000_0200_u64.to_be_bytes();
    let (_dir, kernel) = image(&WATCHES_A_QUEUE, &[(0, &psw)]);
    steered(&host, |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        for plugs in 1..=3 {
            let device = handle.add_device(option(MDEV[0])).expect("there is none");
            assert_eq!((device.id.as_str(), device.apqns.len()), ("ap0", 4));
            assert_eq!(operator.hear(queues), ["05.0004", "05.00ab", "06.0004", "06.00ab"]);
            assert_eq!(handle.info().expect("it runs").device, Some(device));
            handle.remove_device("ap0").expect("it is there");
            let (apqns, reason) = operator.hear(|event| match event {
                Event::ApDetached { apqns, reason, .. } => Some((apqns, reason)),
                _ => None,
            });
            assert_eq!((apqns.len(), reason), (4, DetachReason::Unplugged));
            assert_eq!(handle.info().expect("it runs").device, None);
            let counters = handle.counters().expect("always");
            assert_eq!((counters.ap_attached, counters.ap_detached, counters.queues), (plugs, plugs, 0));
        }
        // It is the guest who has seen both.
        handle.add_device(option(MDEV[0])).expect("there is none");
        handle.remove_device("ap0").expect("it is there");
    });
    assert_eq!(host.acts().held(), Vec::<String>::new());
}

/// Sends messages to the queue 05.0004 without end, whether it is there or not.
const USES_A_QUEUE: [u32; 8] = [
    0xa50e_4000, // llilh %r0,0x4000
    0xa503_0504, // iill  %r0,0x0504
    0xa749_0000, // lghi  %r4,0          PSMID
    0xa759_051d, // lghi  %r5,0x51d
    0xa769_0a00, // lghi  %r6,0xa00      message
    0xa779_0040, // lghi  %r7,64
    0xb2ad_0046, // nqap  %r4,%r6
    0xa7f4_fff2, // j     the beginning
];

#[test]
fn a_device_can_be_unplugged_while_the_guest_uses_its_queues() {
    let host = host();
    let (_dir, kernel) = image(&USES_A_QUEUE, &[(0xa00, &[0; 64])]);
    let status = || format!("{:?}", host.adapters().test("05.0004".parse().expect("a queue")).status);
    let empty = status();
    steered(&host, |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        for _ in 0..20 {
            handle.add_device(option(MDEV[0])).expect("there is none");
            while status() == empty {
                thread::yield_now();
            }
            handle.remove_device("ap0").expect("it is there");
            assert_eq!(operator.state(), VmState::Running);
            assert_eq!(status(), empty, "what the guest left in the queue is gone");
        }
    });
    assert_eq!(host.acts().held(), Vec::<String>::new());
}

#[test]
fn a_plug_that_cannot_be_is_refused_with_the_thing_and_the_remedy() {
    let host = host();
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    steered(&host, |other| {
        other.boot(&kernel, Some(MDEV[1]));
        steered(&host, |operator| {
            let handle = &operator.handle;
            operator.boot(&kernel, Some(MDEV[0]));
            assert_says(handle.add_device(option(MDEV[2])), &["\"ap0\"", "remove it first", MDEV[2]]);
            assert_says(handle.remove_device("ap1"), &["no device \"ap1\"", "it has \"ap0\""]);
            handle.remove_device("ap0").expect("it is there");
            assert_says(handle.remove_device("ap0"), &["no device \"ap0\"", "none"]);
            assert_says(handle.add_device(option(MDEV[1])), &[MDEV[1], "open already", "end that guest"]);
            let gone = "/sys/devices/vfio_ap/matrix/00000000-0000-0000-0000-00000000dead";
            assert_says(handle.add_device(option(gone)), &[gone, "there is no mdev"]);
            assert_says(handle.add_device(option("/dev/null")), &["/dev/null", "matrix/UUID"]);
            handle.delete().expect("it runs");
            let mut without = config(&kernel, None);
            without.cpu = "host,ap=off".parse().expect("well formed");
            handle.create(without).expect("there is none");
            handle.boot().expect("it boots");
            assert_says(handle.add_device(option(MDEV[0])), &["host,ap=off", "add ap=on to --cpu"]);
        });
    });
    assert_eq!(host.acts().held(), Vec::<String>::new());
}

#[test]
fn a_device_without_queues_that_another_has_is_refused_with_the_remedy() {
    let host = host();
    let uuid = "6c4a5d2e-0d3e-4c7a-9b0a-00000000000e";
    let create = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
    host.write(create, uuid).expect("it can be made");
    let empty = format!("/sys/devices/vfio_ap/matrix/{uuid}");
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    steered(&host, |other| {
        other.boot(&kernel, Some(&empty));
        steered(&host, |operator| {
            operator.boot(&kernel, None);
            let refused = operator.handle.add_device(option(&empty));
            assert_says(refused, &[uuid, "in use", "take another"]);
        });
    });
}

#[test]
fn the_host_gets_a_plugged_device_back_when_it_asks_and_another_can_come() {
    let host = host();
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    steered(&host, |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        handle.add_device(option(MDEV[0])).expect("there is none");
        operator.forget();
        host.write(&format!("{}/remove", &MDEV[0]["/sys/".len()..]), "1").expect("it is given back");
        operator.hear(|event| (event == Event::ApReleaseRequested { id: "ap0".into() }).then_some(()));
        let (apqns, reason) = operator.hear(|event| match event {
            Event::ApConfigChanged { .. } => panic!("of what is released nothing is told: {event:?}"),
            Event::ApDetached { apqns, reason, .. } => Some((apqns, reason)),
            _ => None,
        });
        assert_eq!(reason, DetachReason::HostRequest);
        assert_eq!(
            apqns,
            ["05.0004", "05.00ab", "06.0004", "06.00ab"],
            "what it had, not what is left to see"
        );
        assert_eq!(operator.state(), VmState::Running);
        handle.add_device(option(MDEV[1])).expect("there is none any more");
        let counters = handle.counters().expect("always");
        assert_eq!((counters.ap_release_requests, counters.ap_attached, counters.ap_detached), (1, 2, 1));
    });
    assert_eq!(host.acts().held(), Vec::<String>::new());
}

#[test]
fn each_change_of_the_host_is_an_event_with_what_came_and_went() {
    let host = host();
    let (_dir, kernel) = image(&[&UNTIL_IT_IS_GONE[..], &[FOR_EVER]].concat(), &[]);
    let mdev = &MDEV[0]["/sys/".len()..];
    let change = |event| match event {
        Event::ApConfigChanged { apqns, added, removed, .. } => Some([apqns, added, removed]),
        _ => None,
    };
    steered(&host, |operator| {
        operator.boot(&kernel, Some(MDEV[0]));
        operator.forget();
        // Nobody may be late: after each answer the loop has seen the change.
        let queues = |operator: &Operator| operator.handle.counters().expect("always").queues;
        host.write(&format!("{mdev}/unassign_domain"), "0xab").expect("assigned");
        assert_eq!(operator.hear(change), [vec!["05.0004", "06.0004"], vec![], vec!["05.00ab", "06.00ab"]]);
        assert_eq!(queues(operator), 2);
        host.write(&format!("{mdev}/assign_domain"), "0xab").expect("free");
        let all = vec!["05.0004", "05.00ab", "06.0004", "06.00ab"];
        assert_eq!(operator.hear(change), [all, vec!["05.00ab", "06.00ab"], vec![]]);
        // The host loses a card.
        host.adapters().operate(|machine| machine.cards.remove(&adjunct_ap::Apid(6)));
        host.config_changed();
        let gone = vec!["06.0004", "06.00ab"];
        assert_eq!(operator.hear(change), [vec!["05.0004", "05.00ab"], vec![], gone]);
        assert_eq!(operator.handle.counters().expect("always").ap_config_changes, 3);
    });
}

#[test]
fn adapters_that_are_checkstopped_are_told_with_their_queues_until_they_work_again() {
    let host = host();
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    let stopped = |event| match event {
        Event::ApCheckstopped { apqns, .. } => Some(apqns),
        _ => None,
    };
    steered(&host, |operator| {
        operator.boot(&kernel, Some(MDEV[0]));
        let set = |yes| {
            host.adapters().operate(|machine| {
                let card = machine.cards.get_mut(&adjunct_ap::Apid(5)).expect("it is there");
                card.checkstopped = yes;
            });
            host.write("bus/ap/scans", "1").expect("writable");
        };
        set(true);
        // The host's kernel tells nobody; who asks about the guest hears of it.
        assert_eq!(operator.state(), VmState::Running);
        assert_eq!(operator.hear(stopped), ["05.0004", "05.00ab"]);
        operator.forget();
        assert_eq!(operator.state(), VmState::Running);
        assert_eq!(operator.events.next_now(), None, "it is told once");
        set(false);
        assert_eq!(operator.state(), VmState::Running);
        assert_eq!(operator.hear(stopped), Vec::<String>::new());
    });
}

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

/// CPU 0 starts CPU 1 and writes to its console without end; CPU 1 waits until the queue 05.0004 is there, stops CPU 0,
/// and resets the guest.
fn talker_that_is_stopped() -> (tempfile::TempDir, std::path::PathBuf) {
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
        0xa728_0001,     // lhi  %r2,1
        0x8302_0308,     // diag %r0,%r2,0x308
    ];
    let mut sccb = vec![0, 214, 0, 0, 0, 0, 0, 0, 0, 206, 0x1a, 0, 0, 0];
    sccb.extend([b'x'; 200]);
    let restart = [0x0000_0001_8000_0000_u64.to_be_bytes(), 0x300_u64.to_be_bytes()].concat();
    image(&code, &[(0x1a0, &restart), (0x300, &second.map(u32::to_be_bytes).concat()), (0x3000, &sccb)])
}

#[test]
fn a_cpu_whose_console_nobody_reads_takes_orders() {
    let (_dir, kernel) = talker_that_is_stopped();
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

#[test]
fn an_end_that_is_ordered_does_not_wait_for_the_host_to_reset_queues() {
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    for (ask, device, request) in SLOW {
        let host = host();
        steered(&host, |operator| {
            let handle = &operator.handle;
            operator.boot(&kernel, device);
            thread::scope(|scope| {
                let door = Door::closed(&host, request);
                let asking = scope.spawn(|| ask(handle));
                door.wait();
                handle.shutdown().expect("it runs");
                assert_says(asking.join().expect("it does not panic"), &["the guest ended first"]);
                assert_eq!(host.acts().release("door"), 1, "the host is at it still");
            });
            assert_eq!(operator.state(), VmState::Shutdown);
        });
    }
}

#[test]
fn who_asks_about_a_guest_does_not_wait_for_the_host_to_reset_queues_and_who_changes_it_does() {
    let (_dir, kernel) = image(&[FOR_EVER], &[]);
    for (ask, device, request) in SLOW {
        let host = host();
        steered(&host, |operator| {
            let handle = &operator.handle;
            operator.boot(&kernel, device);
            thread::scope(|scope| {
                let door = Door::closed(&host, request);
                let asking = scope.spawn(|| ask(handle));
                door.wait();
                let exits = || handle.counters().expect("always").exits;
                let before = exits();
                let pausing = scope.spawn(|| handle.pause());
                for _ in 0..100 {
                    assert_eq!(operator.state(), VmState::Running);
                    assert_eq!(exits(), before, "no CPU is taken out of the guest yet");
                    handle.host().expect("always");
                }
                assert_eq!(host.acts().release("door"), 1, "the host was at it all the time");
                asking.join().expect("it does not panic").expect("it can be");
                pausing.join().expect("it does not panic").expect("it runs");
            });
            assert_eq!(operator.state(), VmState::Paused);
        });
    }
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
        while orders() < 1000 {}
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
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        operator.handle.info().expect("a guest runs");
                    }
                });
            }
            let events = &operator.events;
            let mut beats = 0;
            while beats < 100 {
                beats += usize::from(events.next_now().and_then(beat).is_some());
            }
            over.store(true, Ordering::Relaxed);
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
        while !is_out() {}
        let kicks = || handle.counters().expect("always").exits.get("kick").copied().unwrap_or_default();
        let comes = |kick: u64| (0..100_000).any(|_| kicks() == kick);
        assert!(comes(1), "something may have been pending when it went");
        handle.add_device(option(MDEV[0])).expect("there is none");
        assert!(comes(2), "a machine check is pending");
    });
}

/// What a process holds of the machine: open files, mappings, and memory in KiB.
fn held(process: u32) -> [usize; 3] {
    let file = |name: &str| format!("/proc/{process}/{name}");
    let status = std::fs::read_to_string(file("status")).expect("it runs");
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux 4.5 has it");
    let maps = std::fs::read_to_string(file("maps")).expect("it runs");
    [
        std::fs::read_dir(file("fd")).expect("it runs").count(),
        maps.lines().count(),
        anonymous.trim().trim_end_matches(" kB").parse().expect("a number"),
    ]
}

/// Plugs and unplugs `mdev` that many times; what the guest's process holds must not grow by it.
pub(crate) fn plugs_hold_nothing(host: &str, mdev: &str, words: &[&str], times: u32) {
    let guest = Guest::start(host, words);
    let mut client = guest.client();
    let device = json!({ "driver": "vfio-ap", "sysfsdev": mdev, "id": "ap0" });
    let mut plug = |times: u32| {
        for _ in 0..times {
            assert_eq!(client.execute("device_add", device.clone()), Ok(json!({})));
            assert_eq!(client.execute("device_del", json!({ "id": "ap0" })), Ok(json!({})));
            assert_eq!(client.event("DEVICE_DELETED")["data"]["device"], "ap0");
        }
    };
    // Behind an emulator it takes a tenth of a second.
    let is_emulated = command().get_args().next().is_some();
    let times = if is_emulated { times / 10 } else { times };
    // What is taken once and kept is no growth. A simulated host remembers its last 16,384 acts.
    plug(times);
    let before = held(guest.child.id());
    plug(times);
    let after = held(guest.child.id());
    assert_eq!(after[0], before[0], "files: {before:?}, {after:?}");
    // Else these are an emulator's, which keeps what it has translated.
    if !is_emulated {
        assert!(after[1] <= before[1] + 2, "mappings: {before:?}, {after:?}");
        assert!(after[2] <= before[2] + 2048, "memory: {before:?}, {after:?}");
    }
}

#[test]
fn a_thousand_plugs_and_unplugs_leave_nothing_behind() {
    plugs_hold_nothing("sim", MDEV[0], &[], 1000);
}
