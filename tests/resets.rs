//! Resets of a guest: what other CPUs do meanwhile, what comes of a signal meanwhile, and in which order the host hears.

use crate::{
    command::{MDEV, command},
    lifecycle::{END_WELL, FOR_EVER, image, resets_once, run_image},
    share::Shared,
};
use adjunct::{
    config::{Config, Image},
    console::Kept,
    event::Events,
    exit_status::ExitStatus,
    host::{Host, builtin},
    plan::plan,
    run::{self, Watch},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
    thread,
};
use tempfile::TempDir;

const END_BADLY: u32 = 0xb2b2_0410;
/// `LPSWE 0x420`: an enabled wait that nothing ends.
const WAIT: u32 = 0xb2b2_0420;

fn psw(mask: u64, address: u64) -> Vec<u8> {
    [mask.to_be_bytes(), address.to_be_bytes()].concat()
}

/// CPU 0 restarts CPU 1, which does `meanwhile` for ever, and resets the guest by DIAGNOSE 0x308; ends well if CPU 1 is
/// stopped afterwards.
fn resets_while_another(meanwhile: u32, subcode: u32) -> (TempDir, PathBuf) {
    let code = [
        0xa748_0001,           // 200 lhi  %r4,1
        0x5810_0800,           // 204 l    %r1,0x800
        0x1211_0000,           // 208 ltr  %r1,%r1
        0xa774_0012,           // 20a jnz  22e
        0xae24_0006,           // 20e sigp %r2,%r4,6     restart
        0x5810_0804,           // 212 l    %r1,0x804
        0x1211_0000,           // 216 ltr  %r1,%r1
        0xa784_fffd,           // 218 je   212
        0x5010_0800,           // 21c st   %r1,0x800
        0xa728_0000 | subcode, // 220 lhi  %r2,subcode
        0x8302_0308,           // 224 diag %r0,%r2,0x308
        END_BADLY,             // 228
        0x0700_0000,           // 22c nopr
        0xae24_0001,           // 22e sigp %r2,%r4,1     sense
        0xa744_0004,           // 232 jl   23a           status stored: not operating
        END_BADLY,             // 236
        0x9140_0000,           // 23a tm   0,0x40
        END_WELL,              // 23e
    ];
    let second = [0xa718_0001_u32, 0x5010_0804, meanwhile].map(u32::to_be_bytes).concat();
    image(
        &code,
        &[
            (0x1a0, &psw(0x0000_0001_8000_0000, 0x300)),
            (0x300, &second),
            (0x420, &psw(0x0302_0001_8000_0000, 0xa17)),
        ],
    )
}

#[test]
fn a_reset_stops_another_cpu_that_loops_or_waits_or_is_stopped() {
    for meanwhile in [FOR_EVER, WAIT, END_WELL] {
        for subcode in [0, 1, 3, 4] {
            let (_dir, file) = resets_while_another(meanwhile, subcode);
            let ran = run_image("sim", &file, &["--smp", "2"]);
            assert_eq!(ran.status, 0, "{meanwhile:#x}, subcode {subcode}: {ran:?}");
            assert!(ran.stdout.contains("guest-reset"), "{}", ran.stdout);
        }
    }
}

/// The acts of a run with a reset by DIAGNOSE 0x308 with this subcode, from that on.
fn acts_of_a_reset(subcode: u32) -> Vec<String> {
    let (_dir, file) = resets_once(subcode, END_WELL);
    let simulated = builtin().expect("the built-in host is right");
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]).parse().expect("well formed");
    let config = Config { vcpus: 2, kernel: Image::File(file), ..Config::apcheck(Some(device)) };
    let host = Host::simulated(&simulated);
    let machine = plan(&config, &host).expect("fits").build(&simulated, Kept::default().consoles());
    let before = simulated.acts().len();
    let machine = machine.expect("nothing is refused");
    let ended = run::run(machine, &host, &Events::default(), Watch::default()).expect("a loop can be set up");
    assert_eq!(ended.outcome.status(), ExitStatus::Success);
    let acts = simulated.acts().text();
    let acts = acts.lines().skip(before).map(str::to_owned);
    acts.take_while(|act| !act.starts_with("VFIO_DEVICE_SET_IRQS")).collect()
}

#[test]
fn each_reset_clears_interruptions_then_resets_the_ap_device_once_and_then_the_cpus() {
    let uuid = MDEV[0].rsplit('/').next().expect("a name");
    let first = ["KVM_DEV_FLIC_CLEAR_IRQS the VM".to_owned(), format!("VFIO_DEVICE_RESET {uuid}")];
    let cpu = |request: &str, cpu: u16| format!("{request} vCPU {cpu}");
    let clear = [0, 1].map(|n| [cpu("KVM_S390_CLEAR_RESET", n), cpu("KVM_SET_MP_STATE", n)]).concat();
    let load_normal = [
        cpu("KVM_S390_NORMAL_RESET", 1),
        cpu("KVM_SET_MP_STATE", 1),
        cpu("KVM_S390_INITIAL_RESET", 0),
        cpu("KVM_SET_MP_STATE", 0),
    ];
    let start = [cpu("KVM_SET_MP_STATE", 0)];
    for (subcode, cpus) in [(0, &clear[..]), (1, &load_normal[..]), (3, &clear[..]), (4, &clear[..])] {
        assert_eq!(acts_of_a_reset(subcode), [&first[..], cpus, &start].concat(), "subcode {subcode}");
    }
}

/// A guest that resets itself without end, on `host`, and the events from its first reset on.
fn resets_without_end(host: &str) -> (Child, std::io::Lines<BufReader<ChildStdout>>, TempDir) {
    let (dir, file) = image(&[0xa728_0001, 0x8302_0308], &[]);
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let mut child = command()
        .args(["run", "--host", host, "--smp", "2", "--device", &device, "--console", "off"])
        .args(["--event-monitor", "fd=1", "--kernel"])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("adjunct starts");
    let mut events = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(events.by_ref().map_while(Result::ok).any(|event| event.contains("guest-reset")));
    (child, events, dir)
}

fn terminate(child: &Child) {
    kill(Pid::from_raw(child.id().try_into().expect("small")), Signal::SIGTERM).expect("it is there");
}

#[test]
fn a_signal_ends_a_guest_that_resets_itself_without_end() {
    let (mut child, events, _dir) = resets_without_end("sim");
    terminate(&child);
    let last = events.map_while(Result::ok).last().expect("an event");
    assert!(last.contains("\"status\":143"), "{last}");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
}

#[test]
fn a_signal_ends_a_guest_whose_ap_queues_the_host_does_not_come_to_reset() {
    let shared = Shared::new();
    let (mut child, events, _dir) = resets_without_end(&shared.option());
    shared.order("queue stuck 05.0004");
    // Resets that were done before are reported; of the one that is not done nobody hears.
    terminate(&child);
    let last = events.map_while(Result::ok).last().expect("an event");
    assert!(last.contains("\"status\":143"), "{last}");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    shared.order("queue free 05.0004");
}

#[test]
fn a_second_signal_ends_adjunct_at_once_whatever_the_host_is_at() {
    let shared = Shared::new();
    shared.order("queue stuck 05.0004");
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let mut child = command()
        .args(["run", "--host", &shared.option(), "--device", &device, "--event-monitor", "fd=1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("adjunct starts");
    let mut events = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(events.by_ref().map_while(Result::ok).any(|event| event.contains("host-checked")));
    // The device is reset before the guest has it, and that does not end. Two signals can come as one.
    let status = loop {
        terminate(&child);
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        thread::yield_now();
    };
    assert_eq!(status.code(), Some(143));
    assert_eq!(events.map_while(Result::ok).last(), None, "it is gone in the middle of something");
    shared.order("queue free 05.0004");
}

#[test]
fn a_guest_that_fails_is_reported_with_the_cpu_its_psw_and_its_registers() {
    let (_dir, file) = image(&[0xa7f8_0123, END_BADLY], &[]);
    let ran = run_image("sim", &file, &[]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let event = ran.stdout.lines().find(|event| event.contains("guest-panicked")).expect("an event");
    let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
    assert_eq!((&event["cpu"], &event["reason"]), (&0.into(), &"disabled-wait".into()));
    assert_eq!(event["psw-mask"], "0x0002000180000000");
    assert_eq!(event["psw-addr"], "0x0000000000000bad");
    assert_eq!(event["gprs"][15], "0x0000000000000123");
    assert!(ran.stderr.contains("CPU 0: PSW 0002000180000000 0000000000000bad"), "{}", ran.stderr);
}
