//! A device comes and goes while the guest runs, by order or because the host takes it; and what is told of that.

use crate::{
    command::{MDEV, command},
    lifecycle::{FOR_EVER, UNTIL_IT_IS_GONE, image},
    patience::until,
    qmp::client::Guest,
    steering::{Operator, assert_says, config, host, option, queues, steered},
};
use adjunct::{
    control::VmState,
    event::{DetachReason, Event},
};
use adjunct_ap::Sysfs;
use serde_json::json;

/// TAPQ until the queue 05.0004 is there, then until it is gone, over and over; each time with an order to a CPU that is not
/// there, which is counted.
const WATCHES_A_QUEUE: [u32; 9] = [
    0xa748_003f, // 200 lhi  %r4,63
    0xa709_0504, // 204 lghi %r0,0x504
    0xb2af_0000, // 208 pqap
    0xa774_fffe, // 20c jnz  208
    0xae24_0004, // 210 sigp %r2,%r4,4
    0xb2af_0000, // 214 pqap
    0xa784_fffe, // 218 jz   214
    0xae24_0004, // 21c sigp %r2,%r4,4
    0xa7f4_fff4, // 220 j    208
];

#[test]
fn a_device_can_be_plugged_and_unplugged_while_the_guest_looks() {
    let host = host();
    let (_dir, kernel) = image(&WATCHES_A_QUEUE, &[]);
    steered(&host, |operator| {
        let handle = operator.handle.clone();
        operator.boot(&kernel, None);
        let seen_by_the_guest = || handle.counters().expect("always").exits.get("sigp").copied().unwrap_or(0);
        for plugs in 1..=3 {
            let device = handle.add_device(option(MDEV[0])).expect("there is none");
            assert_eq!((device.id.as_str(), device.apqns.len()), ("ap0", 4));
            assert_eq!(operator.hear(queues), ["05.0004", "05.00ab", "06.0004", "06.00ab"]);
            assert_eq!(handle.info().expect("it runs").device, Some(device));
            until(|| seen_by_the_guest() >= 2 * plugs - 1);
            handle.remove_device("ap0").expect("it is there");
            let (apqns, reason) = operator.hear(|event| match event {
                Event::ApDetached { apqns, reason, .. } => Some((apqns, reason)),
                _ => None,
            });
            assert_eq!((apqns.len(), reason), (4, DetachReason::Unplugged));
            assert_eq!(handle.info().expect("it runs").device, None);
            let counters = handle.counters().expect("always");
            assert_eq!((counters.ap_attached, counters.ap_detached, counters.queues), (plugs, plugs, 0));
            until(|| seen_by_the_guest() >= 2 * plugs);
        }
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
            until(|| status() != empty);
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

/// Plugs and unplugs `mdev` so many times at first, as what is taken once and kept is no growth, and then so many in which what
/// the guest's process holds must not grow.
pub(crate) fn plugs_hold_nothing(host: &str, mdev: &str, words: &[&str], [first, then]: [u32; 2]) {
    // A warning for each plug, of queues that the guest does not get, would wait for its reader.
    let guest = Guest::start(host, &[words, &["--log-file", "/dev/null"]].concat());
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
    let [first, then] = [first, then].map(|times| if is_emulated { times / 10 } else { times });
    plug(first);
    let before = held(guest.child.id());
    plug(then);
    let after = held(guest.child.id());
    assert_eq!(after[0], before[0], "files: {before:?}, {after:?}");
    // Else these are an emulator's, which keeps what it has translated, and something for each thread that ever was. Run
    // natively and in the lab it is growth that is measured.
    if !is_emulated {
        assert!(after[1] <= before[1] + 2, "mappings: {before:?}, {after:?}");
        assert!(after[2] <= before[2] + 2048, "memory: {before:?}, {after:?}");
    }
}

#[test]
fn a_thousand_plugs_and_unplugs_leave_nothing_behind() {
    // A simulated host remembers its last 16,384 acts.
    plugs_hold_nothing("sim", MDEV[0], &[], [1000, 1000]);
}
