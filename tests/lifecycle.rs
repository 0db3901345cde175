//! What happens to a guest while it runs: resets, other CPUs, signals, and what the host does to its queues.

use crate::{
    command::{MDEV, Ran, Start, adjunct, command},
    patience::until,
};
use adjunct::{
    config::{Config, Image},
    console::Kept,
    event::Events,
    exit_status::ExitStatus,
    host::{Host, builtin},
    outcome::Outcome,
    plan::plan,
    run::{self, Watch},
};
use adjunct_ap::Sysfs;
use adjunct_simulator::SimHost;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::fd::AsFd,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};
use tempfile::TempDir;

/// A raw image: IPL PSW (31-bit addressing) leading to `code` at 0x200, which may use `LPSWE 0x400` to end well
/// and `LPSWE 0x410` to end at 0xbad. 0x800 is zero and lies outside, so that a reload leaves it alone.
pub(crate) fn image(code: &[u32], elsewhere: &[(usize, &[u8])]) -> (TempDir, PathBuf) {
    let mut image = vec![0; 0x420];
    image[..8].copy_from_slice(&0x0008_0000_8000_0200_u64.to_be_bytes());
    let mut at = 0x200;
    for word in code {
        // Instructions of two bytes stand in the upper half, with nothing in the lower.
        let bytes = word.to_be_bytes();
        let length = if bytes[0] >> 6 == 0 { 2 } else { 4 };
        image[at..at + length].copy_from_slice(&bytes[..length]);
        at += length;
    }
    for (n, address) in [(0x400, 0_u64), (0x410, 0xbad)] {
        image[n..n + 8].copy_from_slice(&0x0002_0001_8000_0000_u64.to_be_bytes());
        image[n + 8..n + 16].copy_from_slice(&address.to_be_bytes());
    }
    for (at, bytes) in elsewhere {
        image.resize(image.len().max(at + bytes.len()), 0);
        image[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("image");
    fs::write(&file, image).expect("writable");
    (dir, file)
}

pub(crate) const END_WELL: u32 = 0xb2b2_0400;
pub(crate) const END_BADLY: u32 = 0xb2b2_0410;

/// Asks for a reset by DIAGNOSE 0x308 the first time, and the second time does `then`.
pub(crate) fn resets_once(subcode: u32, then: u32) -> (TempDir, PathBuf) {
    let code = [
        0x5810_0800,           // l    %r1,0x800
        0x1211_0000,           // ltr  %r1,%r1
        0xa774_000a,           // jnz  then
        0xa718_0001,           // lhi  %r1,1
        0x5010_0800,           // st   %r1,0x800
        0xa728_0000 | subcode, // lhi  %r2,subcode
        0x8302_0308,           // diag %r0,%r2,0x308
        then,
    ];
    image(&code, &[])
}

pub(crate) fn run_image(host: &str, file: &std::path::Path, words: &[&str]) -> Ran {
    let kernel = file.display().to_string();
    let run = ["run", "--host", host, "--kernel", &kernel, "--console", "off", "--event-monitor", "fd=1"];
    adjunct(&[&run, words].concat())
}

/// A program for [`image`] that never ends: `j .`.
pub(crate) const FOR_EVER: u32 = 0xa7f4_0000;

/// Guests that need no AP device, on each host.
mod simulator {
    #[test]
    fn a_guest_can_reset_itself_in_each_way_and_goes_on() {
        super::each_reset("sim");
    }

    #[test]
    fn a_cpu_can_start_another_and_order_it_about() {
        super::each_order("sim");
    }

    #[test]
    fn a_cpu_that_orders_itself_is_answered() {
        super::an_order_to_itself("sim");
    }

    #[test]
    fn a_guest_takes_the_interruption_of_a_queue_that_has_a_reply() {
        super::an_ap_interruption("sim", &format!("vfio-ap,sysfsdev={}", crate::command::MDEV[0]));
    }

    #[test]
    fn signals_end_a_guest_that_never_ends_with_their_own_status() {
        super::each_signal("sim");
    }
}

/// The guest resets itself in each way, and goes on.
pub(crate) fn each_reset(host: &str) {
    for (subcode, kind) in [(0, "modified-clear"), (1, "load-normal"), (3, "re-ipl"), (4, "re-ipl")] {
        let (_dir, file) = resets_once(subcode, END_WELL);
        let ran = run_image(host, &file, &[]);
        assert_eq!(ran.status, 0, "{kind}: {ran:?}");
        let resets: Vec<_> = ran.stdout.lines().filter(|line| line.contains("guest-reset")).collect();
        assert_eq!(resets, [format!("{{\"event\":\"guest-reset\",\"kind\":\"{kind}\"}}")]);
    }
}

/// CPU 0 restarts CPU 1 and waits until it has been there; then gives it `order` and wants it accepted.
fn starts_another_cpu(order: u32) -> (TempDir, PathBuf) {
    let code = [
        0xa748_0001,         // 200 lhi  %r4,1
        0xae24_0006,         // 204 sigp %r2,%r4,6     restart
        0xa774_000f,         // 208 jnz  226
        0x5810_0800,         // 20c l    %r1,0x800
        0x1211_0000,         // 210 ltr  %r1,%r1
        0xa784_fffd,         // 212 je   20c
        0xae24_0000 | order, // 216 sigp %r2,%r4,order
        0xa774_0006,         // 21a jnz  226
        END_WELL,            // 21e
        END_WELL,            // 222
        END_BADLY,           // 226
    ];
    let restart_psw = [0x0000_0001_8000_0000_u64.to_be_bytes(), 0x300_u64.to_be_bytes()].concat();
    let second = [0xa718_0001_u32, 0x5010_0800, END_WELL].map(u32::to_be_bytes).concat();
    image(&code, &[(0x1a0, &restart_psw), (0x300, &second)])
}

/// A CPU starts another one and orders it about.
pub(crate) fn each_order(host: &str) {
    // Stop, stop and store status, start, and CPU reset: whether the other already waits or not, each is accepted.
    for order in [0x05, 0x09, 0x04, 0x0c] {
        let (_dir, file) = starts_another_cpu(order);
        let ran = run_image(host, &file, &["--smp", "2"]);
        assert_eq!(ran.status, 0, "order {order:#x}: {ran:?}");
    }
    let (_dir, file) = starts_another_cpu(0x05);
    assert_eq!(run_image(host, &file, &[]).status, 1, "without a second CPU the order is refused");
}

/// A CPU that orders itself is answered.
pub(crate) fn an_order_to_itself(host: &str) {
    // sigp %r2,%r4,4 with %r4 = 0: start; jnz to the bad end.
    let (_dir, file) = image(&[0xa748_0000, 0xae24_0004, 0xa774_0004, END_WELL, END_BADLY], &[]);
    assert_eq!(run_image(host, &file, &[]).status, 0);
}

/// Enables interruptions of queue 05.0004 for ISC 3 (PQAP(AQIC) with the notification byte at 0x900), sends it a message, and
/// waits; ends well if the interruption is for ISC 3 and the byte is set.
pub(crate) fn takes_an_ap_interruption() -> (TempDir, PathBuf) {
    let code = [
        0xa50e_0300, // 200 llilh %r0,0x0300
        0xa503_0504, // 204 iill  %r0,0x0504
        0xa51d_8000, // 208 llihl %r1,0x8000     IR
        0xa51b_0003, // 20c oill  %r1,3          ISC
        0xa729_0900, // 210 lghi  %r2,0x900      NIB
        0xb2af_0000, // 214 pqap
        0xa774_0016, // 218 jnz   244
        0xb766_0860, // 21c lctl  %c6,%c6,0x860  all ISCs
        0xa50e_4000, // 220 llilh %r0,0x4000
        0xa503_0504, // 224 iill  %r0,0x0504
        0xa749_0000, // 228 lghi  %r4,0          PSMID
        0xa759_051d, // 22c lghi  %r5,0x51d
        0xa769_0a00, // 230 lghi  %r6,0xa00      message
        0xa779_0040, // 234 lghi  %r7,64
        0xb2ad_0046, // 238 nqap  %r4,%r6
        0xa774_0004, // 23c jnz   244
        0xb2b2_0870, // 240 lpswe 0x870          enabled wait
        END_BADLY,   // 244
    ];
    let taken = [
        0x9500_0900_u32, // 300 cli 0x900,0
        0xa784_0008,     // 304 je  314
        0x9598_00c0,     // 308 cli 0xc0,0x98    adapter interruption, ISC 3
        0xa774_0004,     // 30c jne 314
        END_WELL,        // 310
        END_BADLY,       // 314
    ];
    let psw = |mask: u64, address: u64| [mask.to_be_bytes(), address.to_be_bytes()].concat();
    image(
        &code,
        &[
            (0x1f0, &psw(0x0000_0001_8000_0000, 0x300)),
            (0x300, &taken.map(u32::to_be_bytes).concat()),
            (0x860, &0xff00_0000_u32.to_be_bytes()),
            (0x870, &psw(0x0202_0001_8000_0000, 0xdea0)),
            (0xa00, &[0; 64]),
        ],
    )
}

/// A guest with the device takes an interruption of its queue 05.0004.
pub(crate) fn an_ap_interruption(host: &str, device: &str) {
    let (_dir, file) = takes_an_ap_interruption();
    let ran = run_image(host, &file, &["--device", device]);
    assert_eq!(ran.status, 0, "{ran:?}");
}

/// Signals end a guest that never ends, with their own status.
pub(crate) fn each_signal(host: &str) {
    for (signal, status) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        // The reset tells us that the loop runs, so that the signal meets its handler.
        let (_dir, file) = resets_once(1, FOR_EVER);
        let mut child = command()
            .args(["run", "--host", host, "--console", "off", "--event-monitor", "fd=1", "--kernel"])
            .arg(&file)
            .stdout(Stdio::piped())
            .start();
        let mut events = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        assert!(events.any(|line| line.contains("guest-reset")));
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(kill.expect("kill is there").success());
        let last = events.last().expect("an event");
        assert!(last.contains("\"ended\"") && last.contains(&format!("SIG{signal}")), "{last}");
        assert_eq!(child.wait().expect("it ends").code(), Some(status));
    }
}

/// Writes to its console without end.
pub(crate) fn talker() -> (TempDir, PathBuf) {
    let code = [
        0xa51e_0076, // llilh %r1,0x76
        0xa51b_0005, // oill  %r1,5         WRITE EVENT DATA
        0xa728_3000, // lhi   %r2,0x3000
        0xb220_0012, // servc %r1,%r2
        0xa7f4_fffe, // j     .-4
    ];
    let text = [b'x'; 200];
    let mut sccb = vec![0, 214, 0, 0, 0, 0, 0, 0, 0, 206, 0x1a, 0, 0, 0];
    sccb.extend(text);
    image(&code, &[(0x3000, &sccb)])
}

#[test]
fn a_signal_ends_a_guest_whose_console_nobody_reads() {
    let (_dir, file) = talker();
    let pipe = FullPipe::new();
    let console = fs::File::options().write(true).open(pipe.path()).expect("a pipe");
    let mut child = command().args(["run", "--host", "sim", "--kernel"]).arg(&file).stdout(console).start();
    pipe.wait();
    assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill is there").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
}

#[test]
fn a_signal_ends_a_guest_whose_events_nobody_reads() {
    // It resets itself without end.
    let psw = 0x0008_0000_8000_0200_u64.to_be_bytes();
    let (_dir, file) = image(&[0xa728_0001, 0x8302_0308], &[(0, &psw)]);
    let pipe = FullPipe::new();
    let mut child = command()
        .args(["run", "--host", "sim", "--console", "off", "--kernel"])
        .arg(&file)
        .arg("--event-monitor")
        .arg(format!("path={}", pipe.path().display()))
        .start();
    pipe.wait();
    assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill is there").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
}

#[test]
fn a_signal_ends_who_waits_for_the_reader_of_his_console_and_a_reader_who_comes_late_reads_all() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (pipe, log) = (dir.path().join("pipe"), dir.path().join("log"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let start = || {
        let console = format!("file:{}", pipe.display());
        let events = ["--log-file", log.to_str().expect("text"), "-v"];
        let child = command().args(["run", "--host", "sim", "--console", &console]).args(events).start();
        // The last that is said before the console is opened.
        until(|| fs::read_to_string(&log).is_ok_and(|log| log.contains("host-checked")));
        child
    };
    let mut child = start();
    assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill is there").success());
    let mut ended = None;
    until(|| {
        ended = child.try_wait().expect("a child");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|ended| ended.code()), Some(143));
    fs::remove_file(&log).expect("it is there");
    let mut child = start();
    let reader = std::thread::spawn(move || fs::read_to_string(pipe));
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let read = reader.join().expect("no panic").expect("text");
    assert!(
        read.starts_with("apcheck 1: ") && read.trim_end().ends_with("apcheck: 0 queues, nothing to ask"),
        "{read}"
    );
}

/// A named pipe that nobody reads.
pub(crate) struct FullPipe {
    dir: TempDir,
    ends: fs::File,
}

impl FullPipe {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        // Open at both ends, so that who writes need not wait for a reader to come.
        let ends = fs::File::options().read(true).write(true).open(path).expect("a pipe");
        Self { dir, ends }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("pipe")
    }

    /// Waits until nothing more goes in.
    pub(crate) fn wait(&self) {
        let mut end = [PollFd::new(self.ends.as_fd(), PollFlags::POLLOUT)];
        until(|| poll(&mut end, PollTimeout::ZERO).expect("pollable") == 0);
    }
}

/// Runs the image on `host` with the first mdev, while `meanwhile` does something to the host; the events.
fn run_while(host: &SimHost, file: PathBuf, meanwhile: impl FnOnce(&SimHost) + Send) -> (Outcome, String) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let monitor = dir.path().join("events");
    let device = format!("vfio-ap,sysfsdev={},id=ap0", MDEV[0]).parse().expect("well formed");
    let config = Config {
        kernel: Image::File(file),
        events: Some(format!("path={}", monitor.display()).parse().expect("well formed")),
        ..Config::apcheck(Some(device))
    };
    let events = Events::open(config.events.as_ref()).expect("writable");
    let on = Host::simulated(host);
    let machine = plan(&config, &on).expect("fits").build(host, Kept::default().consoles()).expect("built");
    let outcome = thread::scope(|scope| {
        scope.spawn(|| meanwhile(host));
        run::run(machine, &on, &events, Watch::default()).expect("a loop can be set up").outcome
    });
    events.all_written().expect("written");
    (outcome, fs::read_to_string(monitor).expect("readable"))
}

/// `lghi %r0,0x504`, then TAPQ until the queue 05.0004 is gone.
pub(crate) const UNTIL_IT_IS_GONE: [u32; 3] = [0xa709_0504, 0xb2af_0000, 0xa784_fffe];

#[test]
fn the_host_gets_its_device_back_when_it_asks_and_the_guest_runs_on() {
    let host = builtin().expect("the built-in host is right");
    let (_dir, file) = image(&[&UNTIL_IT_IS_GONE[..], &[END_WELL]].concat(), &[]);
    let remove = format!("{}/remove", &MDEV[0]["/sys/".len()..]);
    let (outcome, events) = run_while(&host, file, |host| host.write(&remove, "1").expect("it is removed"));
    assert_eq!(outcome.status(), ExitStatus::Success, "{outcome}");
    assert!(events.contains("{\"event\":\"ap-release-requested\",\"id\":\"ap0\"}\n"), "{events}");
    // The guest sees it before all is given back, and may end before that, which goes on alone.
    until(|| host.acts().held().is_empty());
    assert!(host.list(&MDEV[0]["/sys/".len()..]).is_err(), "the mdev is gone");
}

#[test]
fn queues_that_the_host_takes_are_reported_and_seen_by_the_guest() {
    let host = builtin().expect("the built-in host is right");
    // The guest ends after the second change, so the first one has been signalled by then.
    let until_6_is_gone = [0xa709_0604, 0xb2af_0000, 0xa784_fffe];
    let (_dir, file) = image(&[&UNTIL_IT_IS_GONE[..], &until_6_is_gone[..], &[END_WELL]].concat(), &[]);
    let mdev = &MDEV[0]["/sys/".len()..];
    let (outcome, events) = run_while(&host, file, |host| {
        for adapter in ["5", "6"] {
            host.write(&format!("{mdev}/unassign_adapter"), adapter).expect("assigned");
        }
    });
    assert_eq!(outcome.status(), ExitStatus::Success, "{outcome}");
    let mut changes = events.lines().filter(|line| line.contains("ap-config-changed"));
    let first = changes.next().expect("at least one change is reported");
    let first: serde_json::Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(first["id"], "ap0");
    let has = first["apqns"].as_array().expect("a list");
    assert!(!has.iter().any(|apqn| apqn == "05.0004"), "{first}");
}

#[test]
fn what_the_simulated_cpu_lacks_is_said_in_one_line_with_the_psw() {
    // adbr %f0,%f0
    let (_dir, file) = image(&[0xb31a_0000, END_WELL], &[]);
    let ran = run_image("sim", &file, &[]);
    assert_eq!(ran.status, 4, "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    for said in [&ran.stderr, ran.stdout.lines().last().expect("events")] {
        assert!(said.contains("the simulated CPU lacks") && said.contains("0xb31a"), "{said}");
        assert!(said.contains("(PSW 0000000180000000 0000000000000204)"), "{said}");
    }
}
