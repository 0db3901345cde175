//! A guest that is told when its AP configuration has changed: apcheck with the load parameter WATCH, which looks at its
//! queues again when the machine says so, and at no other time.

use crate::{
    command::{MDEV, Start, Started, adjunct, command},
    patience::{PATIENCE, until},
    run::queues,
    share::Shared,
};
use adjunct_ap::Sysfs;
use adjunct_simulator::Fault;
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
    sync::mpsc::{self, Receiver},
    thread,
};

/// apcheck, which watches.
pub(crate) struct Watching {
    child: Started,
    console: Receiver<String>,
}

impl Watching {
    /// Starts it on `host`; it watches when this returns. Its first look.
    pub(crate) fn start(host: &str, words: &[&str]) -> (Self, String) {
        let mut child = command()
            .args(["run", "--host", host, "--memory", "1M", "--machine", "loadparm=WATCH"])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start();
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let (to_test, console) = mpsc::channel();
        thread::spawn(move || lines.map(|line| to_test.send(line)).all(|sent| sent.is_ok()));
        let watching = Self { child, console };
        let first = watching.look();
        (watching, first)
    }

    /// What it says until it watches again.
    pub(crate) fn look(&self) -> String {
        self.until("apcheck: watching")
    }

    fn until(&self, last: &str) -> String {
        let mut said = String::new();
        while !said.ends_with(&format!("{last}\n")) {
            match self.console.recv_timeout(PATIENCE) {
                Ok(line) => said.extend([&line, "\n"]),
                Err(error) => panic!("{error}: the guest has not said {last:?}, but {said:?}"),
            }
        }
        said
    }

    /// Ends it; what adjunct said.
    pub(crate) fn end(mut self) -> String {
        self.child.kill().expect("it runs");
        let mut stderr = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        stderr
    }
}

/// The one way by which a guest is told: machine check, channel report, event.
pub(crate) const TOLD: [&str; 3] = [
    "machine check: interruption code 00400f1d40330000",
    "channel report: 0b000000",
    "event: notification type 0, source 5, content 3",
];

/// Asserts that the guest was told once, and sees `expected` now.
#[track_caller]
pub(crate) fn assert_told(said: &str, expected: &[&str]) {
    assert_eq!(said.lines().take(3).collect::<Vec<_>>(), TOLD, "{said}");
    assert_eq!(said.matches("machine check").count(), 1, "{said}");
    let shown = queues(said.split("REQUESTS\n").nth(1).expect("a table"));
    let (table, asked) = shown.split_at(expected.len());
    assert_eq!(table, expected, "{said}");
    assert!(expected.iter().all(|apqn| said.contains(&format!("{apqn}: ok"))), "{said}");
    assert!(asked.iter().all(|apqn| expected.contains(apqn)), "{said}");
}

/// An order by `adjunct ctl` that is not refused.
pub(crate) fn ctl(socket: &Path, words: &[&str]) -> String {
    let socket = socket.display().to_string();
    let ran = adjunct(&[&["ctl", "--api-socket", &socket], words].concat());
    assert_eq!(ran.status, 0, "{words:?}: {ran:?}");
    ran.stdout
}

const ALL: [&str; 4] = ["05.0004", "05.00ab", "06.0004", "06.00ab"];

#[test]
fn a_guest_is_told_of_each_change_of_its_queues_and_looks_again() {
    let shared = Shared::new();
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let (guest, first) = Watching::start(&shared.option(), &["--device", &device]);
    assert!(ALL.iter().all(|apqn| first.contains(&format!("{apqn}: ok"))), "{first}");
    let write = |attribute: &str, text: &str| {
        let attribute = format!("{}/{attribute}", MDEV[0].trim_start_matches("/sys/"));
        shared.host.write(&attribute, text).expect("it may be changed");
    };
    for _ in 0..3 {
        write("unassign_adapter", "6");
        assert_told(&guest.look(), &["05.0004", "05.00ab"]);
        write("assign_adapter", "6");
        assert_told(&guest.look(), &ALL);
    }
    write("unassign_domain", "4");
    assert_told(&guest.look(), &["05.00ab", "06.00ab"]);
    guest.end();
}

#[test]
fn a_guest_that_the_host_kept_from_being_told_is_told_with_the_next_change() {
    let shared = Shared::new();
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let (guest, _) = Watching::start(&shared.option(), &["--device", &device]);
    let write = |attribute: &str| {
        let attribute = format!("{}/{attribute}", MDEV[0].trim_start_matches("/sys/"));
        shared.host.write(&attribute, "6").expect("it may be changed");
    };
    let acts = shared.host.acts();
    acts.plan(Fault::of("KVM_DEV_FLIC_ENQUEUE").fails_with(libc::EIO));
    write("unassign_adapter");
    until(|| acts.planned().is_empty());
    write("assign_adapter");
    assert_told(&guest.look(), &ALL);
    assert!(guest.end().contains("the guest is not told that its AP queues are others"));
}

#[test]
fn a_guest_is_told_of_a_device_that_is_plugged_and_unplugged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("api");
    let path = format!("path={}", socket.display());
    plugs_and_unplugs("sim", &["--api-socket", &path], &socket, MDEV[0], &ALL);
}

/// A guest that starts without a device is told when it gets `mdev` and sees `expected`, and when it loses it.
pub(crate) fn plugs_and_unplugs(host: &str, words: &[&str], socket: &Path, mdev: &str, expected: &[&str]) {
    let (guest, first) = Watching::start(host, words);
    assert!(first.contains("apcheck: 0 queues, nothing to ask\n"), "{first}");
    for _ in 0..2 {
        ctl(socket, &["add-device", &format!("vfio-ap,sysfsdev={mdev},id=ap0")]);
        assert_told(&guest.look(), expected);
        ctl(socket, &["remove-device", "ap0"]);
        assert_told(&guest.look(), &[]);
    }
    ctl(socket, &["power-button"]);
    guest.until("apcheck: told to power off");
}
