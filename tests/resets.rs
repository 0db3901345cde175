//! Resets of a guest: what other CPUs do meanwhile, what comes of a signal meanwhile, and in which order the host hears.

use crate::{
    command::{MDEV, Start, Started, command},
    guest_code::{Answer, Code, ends_well},
    lifecycle::{END_WELL, FOR_EVER, image, resets_once, run_image},
    patience::until,
    share::Shared,
};
use adjunct::{
    config::{Config, Image},
    console::Kept,
    control::{Handle, mailbox},
    event::Events,
    exit_status::ExitStatus,
    host::{Host, builtin},
    plan::plan,
    run::{self, Managed, Watch},
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

/// Out of reach of an image: zero at first, and a reset leaves it alone.
const MARK: u32 = 0x5_0000;

/// CPU 0 restarts CPU 1, which resets the guest with this subcode. Afterwards `goes_on` runs alone, and looks whether
/// that is so.
fn reset_by_the_second_cpu(subcode: u32, goes_on: u16) -> (Code, Vec<u8>) {
    const SENSE: u8 = 0x01;
    const RESTART: u8 = 0x06;
    let other = 1 - goes_on;
    let code = Code::new().unless(MARK, 0, |code| {
        code.load(5, MARK + 0x10)
            .word(0xb212_5000) // stap
            .holds(MARK + 0x10, u32::from(goes_on) << 16)
            .sigp(goes_on, SENSE, 0, Answer::Accepted)
            .sigp(other, SENSE, 0, Answer::Status(0x40))
            .well()
    });
    let code = code.sigp(1, RESTART, 0, Answer::Accepted).jump(15, 0);
    let second = Code::new().store(MARK, 1).load(2, subcode).word(0x8302_0308).word(END_BADLY);
    (code, second.bytes)
}

/// Which CPU goes on after a reset by CPU 1: it is CPU 0 that an IPL starts, as under QEMU
/// (`hw/s390x/ipl.c: s390_ipl_reset_request`).
const GOES_ON: [(u32, u16); 4] = [(0, 1), (1, 1), (3, 0), (4, 0)];

/// A guest is reset by CPU 1 in each way.
pub(crate) fn by_the_second_cpu(host: &str) {
    for (subcode, goes_on) in GOES_ON {
        let (code, second) = reset_by_the_second_cpu(subcode, goes_on);
        let restart = psw(0x0000_0001_8000_0000, 0x500);
        let elsewhere: [(usize, &[u8]); 2] = [(0x1a0, &restart), (0x500, &second)];
        let ran = ends_well(host, &code, &elsewhere, &["--smp", "2"]);
        assert_eq!(ran.stdout.matches("guest-reset").count(), 1, "subcode {subcode}: {}", ran.stdout);
    }
}

/// DIAGNOSE 0x308 with what does not reset: there is nothing to load from, and other subcodes are none.
pub(crate) fn other_subcodes(host: &str) {
    const SPECIFICATION: u32 = 6;
    const ADDRESSING: u32 = 5;
    // %r6 is even, %r7 odd: the address and the return code.
    let diagnose = |code: Code, subcode: u32, address: u32| {
        code.step(format!("subcode {subcode:#x} with {address:#x}"))
            .load(2, subcode)
            .load(6, address)
            .load(7, 0x5a5a)
            .load(8, 0)
            .word(0x8362_0308)
    };
    let mut code = diagnose(Code::new(), 5, 0x4000).is(7, 0x402).is(8, 0);
    code = diagnose(code, 6, 0x4000).is(7, 0x102).is(8, 0);
    for (subcode, address, exception) in [
        (5, 0x4001, SPECIFICATION),
        (6, 0x10_0000, ADDRESSING),
        (2, 0x4000, SPECIFICATION),
        (7, 0x4000, SPECIFICATION),
        (8, 0x4000, SPECIFICATION),
        (10, 0x4000, SPECIFICATION),
        (0x1_0005, 0x4000, SPECIFICATION),
    ] {
        code = diagnose(code, subcode, address).is(8, exception).is(7, 0x5a5a);
    }
    // lh %r8,0x8e, and back behind the instruction.
    let handler = Code::new().word(0x4880_008e).load_psw(0x150);
    let new = psw(0x0000_0001_8000_0000, 0x500);
    ends_well(host, &code.well(), &[(0x1d0, &new), (0x500, &handler.bytes)], &[]);
}

#[test]
fn a_reset_by_another_cpu_than_the_first_starts_who_shall_go_on() {
    by_the_second_cpu("sim");
}

#[test]
fn each_other_subcode_of_diagnose_308_is_answered() {
    other_subcodes("sim");
}

/// The acts of a run of `file` with two CPUs and a device, from the first reset on; `meanwhile` may ask for
/// things.
fn acts_from_a_reset(file: PathBuf, meanwhile: impl FnOnce(&Handle) + Send) -> Vec<String> {
    let simulated = builtin().expect("the built-in host is right");
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]).parse().expect("well formed");
    let config = Config { vcpus: 2, kernel: Image::File(file), ..Config::apcheck(Some(device)) };
    let host = Host::simulated(&simulated);
    let machine = plan(&config, &host).expect("fits").build(&simulated, Kept::default().consoles());
    let machine = machine.expect("nothing is refused");
    let (handle, mailbox) = mailbox().expect("an eventfd");
    let watch = Watch { managed: Some(Managed { mailbox: &mailbox, config: &config }), ..Watch::default() };
    thread::scope(|scope| {
        scope.spawn(|| meanwhile(&handle));
        let ended = run::run(machine, &host, &Events::default(), watch).expect("a loop can be set up");
        assert_eq!(ended.outcome.status(), ExitStatus::Success, "{}", ended.outcome);
    });
    let acts = simulated.acts().text();
    let acts = acts.lines().skip_while(|act| !act.starts_with("KVM_DEV_FLIC_CLEAR_IRQS")).map(str::to_owned);
    acts.take_while(|act| !act.starts_with("VFIO_DEVICE_SET_IRQS")).collect()
}

fn on(request: &str, cpu: u16) -> String {
    format!("{request} vCPU {cpu}")
}

/// The acts of a reset, in QEMU's order (`hw/s390x/s390-virtio-ccw.c: s390_machine_reset`): the subsystem with AP last,
/// then the CPUs, then whoever goes on. The simulated machine wraps no keys.
fn acts_of(subcode: u32, caller: u16) -> Vec<String> {
    let uuid = MDEV[0].rsplit('/').next().expect("a name");
    let subsystem = vec!["KVM_DEV_FLIC_CLEAR_IRQS the VM".to_owned(), format!("VFIO_DEVICE_RESET {uuid}")];
    let reset = |kind: &str, cpu| vec![on(kind, cpu), on("KVM_SET_MP_STATE", cpu)];
    let clear = [0, 1].map(|cpu| reset("KVM_S390_CLEAR_RESET", cpu)).concat();
    let start = |cpu| vec![on("KVM_SET_MP_STATE", cpu)];
    match subcode {
        0 => [subsystem, clear, start(caller)].concat(),
        1 => {
            let others = reset("KVM_S390_NORMAL_RESET", 1 - caller);
            [subsystem, others, reset("KVM_S390_INITIAL_RESET", caller), start(caller)].concat()
        }
        _ => [subsystem, clear, start(0)].concat(),
    }
}

#[test]
fn each_reset_clears_interruptions_then_resets_the_ap_device_once_and_then_the_cpus() {
    for subcode in [0, 1, 3, 4] {
        let (_dir, file) = resets_once(subcode, END_WELL);
        assert_eq!(acts_from_a_reset(file, |_| ()), acts_of(subcode, 0), "subcode {subcode}");
    }
}

#[test]
fn a_reset_by_another_cpu_does_the_same_in_the_same_order() {
    for (subcode, goes_on) in GOES_ON {
        let (code, second) = reset_by_the_second_cpu(subcode, goes_on);
        let restart = psw(0x0000_0001_8000_0000, 0x500);
        let (_dir, file) = code.image(&[(0x1a0, &restart), (0x500, &second)]);
        assert_eq!(acts_from_a_reset(file, |_| ()), acts_of(subcode, 1), "subcode {subcode}");
    }
}

#[test]
fn a_reset_from_outside_does_what_a_load_does_each_time() {
    // What system_reset and vm.reboot ask for.
    let asks: [fn(&Handle); 2] =
        [|handle| handle.reset().expect("it runs"), |handle| handle.reboot().expect("it runs")];
    for ask in asks {
        let (_dir, file) = image(&[FOR_EVER], &[]);
        let acts = acts_from_a_reset(file, |handle| {
            ask(handle);
            ask(handle);
            // Nobody is left to answer.
            let _ = handle.shutdown();
        });
        assert_eq!(acts, [acts_of(3, 0), acts_of(3, 0)].concat());
    }
}

/// A guest that resets itself without end, on `host`, and the events from its first reset on.
fn resets_without_end(host: &str) -> (Started, std::io::Lines<BufReader<ChildStdout>>, TempDir) {
    let (dir, file) = image(&[0xa728_0001, 0x8302_0308], &[]);
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let mut child = command()
        .args(["run", "--host", host, "--smp", "2", "--device", &device, "--console", "off"])
        .args(["--event-monitor", "fd=1", "--kernel"])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .start();
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
        .start();
    let mut events = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(events.by_ref().map_while(Result::ok).any(|event| event.contains("host-checked")));
    // The device is reset before the guest has it, and that does not end. Two signals can come as one.
    let mut ended = None;
    until(|| {
        terminate(&child);
        ended = child.try_wait().expect("it is our child");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(143));
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
