//! One simulated host for several processes: what each sees of the others, and of those that die.

use crate::{
    command::{MDEV, Ran, Start, Started, adjunct, command, host_file},
    lifecycle::{END_WELL, FOR_EVER, UNTIL_IT_IS_GONE, an_ap_interruption, image},
    patience::until,
};
use adjunct_ap::{Apid, Sysfs};
use adjunct_hypervisor::{CryptoAttribute, ProtoVm};
use adjunct_simulator::{
    HostFile, SimHost, SimProtoVm,
    share::{Served, SharedHost, serve},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    thread,
};
use tempfile::TempDir;

/// The built-in host, served.
pub(crate) struct Shared {
    pub(crate) host: SimHost,
    served: Option<Served>,
    dir: TempDir,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts");
        let served = serve(&host, &dir.path().join("host")).expect("nobody serves there");
        Self { host, served: Some(served), dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    pub(crate) fn connect(&self) -> SharedHost {
        SharedHost::connect(&self.path()).expect("it is served")
    }

    /// For `--host`.
    pub(crate) fn option(&self) -> String {
        format!("sim:@{}", self.path().display())
    }

    fn ctl(&self, order: &str) -> Ran {
        ctl(&self.path(), order)
    }

    /// Carries an order out that is not refused.
    pub(crate) fn order(&self, order: &str) -> String {
        let ran = self.ctl(order);
        assert_eq!(ran.status, 0, "{order}: {ran:?}");
        ran.stdout
    }

    /// A guest in a process of its own that has mdev `n` and runs `file`; it is there when this returns.
    fn start(&self, n: usize, file: &Path) -> Running {
        let mut child = command()
            .args(["run", "--host", &self.option(), "--console", "off", "--event-monitor", "fd=1"])
            .args(["--device", &device(n), "--kernel"])
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start();
        let mut events = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("\"ap-attached\"") {
            line.clear();
            assert_ne!(events.read_line(&mut line).expect("text"), 0, "it ended before it had its device");
        }
        Running { child, events }
    }
}

/// A guest that runs.
struct Running {
    child: Started,
    events: BufReader<ChildStdout>,
}

impl Running {
    /// Its end: status, the rest of its events, and what it said.
    fn end(mut self) -> Ran {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.events.read_to_string(&mut stdout).expect("text");
        self.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        let status = self.child.wait().expect("it ends").code().expect("not ended by a signal");
        Ran { status, stdout, stderr }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is dead");
    }
}

fn ctl(path: &Path, order: &str) -> Ran {
    let path = path.display().to_string();
    adjunct(&[&["sim", "ctl", "--control", &path], &order.split(' ').collect::<Vec<_>>()[..]].concat())
}

fn device(n: usize) -> String {
    format!("vfio-ap,sysfsdev={},id=ap0", MDEV[n])
}

/// An attribute of mdev `n`, below `/sys`.
fn attribute(n: usize, name: &str) -> String {
    format!("{}/{name}", &MDEV[n]["/sys/".len()..])
}

fn uuid(n: usize) -> &'static str {
    MDEV[n].rsplit('/').next().expect("a path")
}

#[test]
fn guests_in_two_processes_use_the_queues_of_their_own_mdevs() {
    let shared = Shared::new();
    let runs = [0, 1].map(|n| {
        let run = ["run", "--host", &shared.option(), "--device", &device(n)];
        command().args(run).stdout(Stdio::piped()).start()
    });
    let [first, second] = runs.map(|child| child.ended());
    assert_eq!((first.status, second.status), (0, 0), "{first:?} {second:?}");
    for (ran, has, has_not) in [(&first, "06.00ab", "05.00ff"), (&second, "05.00ff", "06.00ab")] {
        assert!(ran.stdout.contains(&format!("{has}: ok, reply equals message")), "{ran:?}");
        assert!(!ran.stdout.contains(has_not), "{ran:?}");
    }
    assert_eq!(shared.host.acts().held(), Vec::<String>::new());
}

#[test]
fn an_mdev_that_a_guest_has_is_refused_to_another_process_until_the_first_is_killed() {
    let shared = Shared::new();
    let (_dir, file) = image(&[FOR_EVER], &[]);
    let first = shared.start(0, &file);
    let second = || adjunct(&["run", "--host", &shared.option(), "--device", &device(0)]);
    let refused = second();
    assert_eq!(refused.status, 3, "{refused:?}");
    assert!(refused.stderr.contains("is open already"), "{refused:?}");
    // This write waits until the kernel has closed the files of the dead process.
    thread::scope(|scope| {
        let removing = scope.spawn(|| shared.host.write(&attribute(0, "remove"), "1"));
        first.kill();
        removing.join().expect("it only writes").expect("it is removed");
    });
    let create = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
    shared.host.write(create, uuid(0)).expect("its name is free");
    for (attribute_name, id) in [("assign_adapter", "5"), ("assign_domain", "4")] {
        shared.host.write(&attribute(0, attribute_name), id).expect("its queues are free");
    }
    assert_eq!(second().status, 0, "{:?}", second());
}

#[test]
fn what_ctl_changes_is_there_for_everybody_and_what_it_can_not_change_is_refused() {
    let shared = Shared::new();
    assert_eq!(shared.order("card add 7 CEX8C"), "");
    let client = shared.connect();
    assert_eq!(client.read("devices/ap/card07/type").expect("it is there"), "CEX8C\n");
    let again = shared.ctl("card add 7 CEX8C");
    assert_eq!((again.status, again.stderr.as_str()), (3, "adjunct: card07 is there already\n"));
    let unknown = shared.ctl("card eject 7");
    assert_eq!(unknown.status, 2, "{unknown:?}");
    assert!(unknown.stderr.starts_with("adjunct: write card add ID TYPE or "), "{unknown:?}");
    assert!(shared.order("acts").is_empty(), "an operator's changes are no program's");
    assert!(shared.order("uevents").contains("add /devices/ap/card07 "));
    let nowhere = ctl(&shared.dir.path().join("none"), "log");
    assert_eq!(nowhere.status, 3, "{nowhere:?}");
    assert!(nowhere.stderr.contains("nobody serves a simulated host there"), "{nowhere:?}");
}

#[test]
fn a_guest_that_ctl_opens_has_its_mdev_and_gives_it_back() {
    let shared = Shared::new();
    let run = || adjunct(&["run", "--host", &shared.option(), "--device", &device(0)]);
    shared.order(&format!("guest open {}", uuid(0)));
    assert_eq!(run().status, 3);
    let again = shared.ctl(&format!("guest open {}", uuid(0)));
    assert_eq!(again.status, 3);
    assert!(again.stderr.contains("refused to open") && again.stderr.contains("busy"), "{again:?}");
    shared.order(&format!("guest close {}", uuid(0)));
    assert_eq!(run().status, 0);
}

#[test]
fn the_apcb_of_a_running_guest_follows_the_host_and_the_guest_sees_it() {
    let shared = Shared::new();
    let (_dir, file) = image(&[&UNTIL_IT_IS_GONE[..], &[END_WELL]].concat(), &[]);
    let guest = shared.start(0, &file);
    let adapters = |n: u8| format!("0x{n:02x}{}\n", "0".repeat(62));
    assert!(shared.order(&format!("apcb {}", uuid(0))).starts_with(&adapters(0x06)));
    shared.connect().write(&attribute(0, "unassign_adapter"), "5").expect("it is assigned");
    let after = shared.ctl(&format!("apcb {}", uuid(0)));
    // The guest may be at its end by now.
    assert!(after.stdout.starts_with(&adapters(0x02)) || after.status == 3, "{after:?}");
    assert_eq!(guest.end().status, 0);
}

#[test]
fn the_crycb_has_changed_when_the_write_that_changes_it_returns() {
    let shared = Shared::new();
    let mut proto = SimProtoVm::create_on(&shared.connect()).expect("a VM");
    proto.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
    let (vm, _vcpus) = proto.build(1).expect("a vCPU");
    let device = vm.open_ap(PathBuf::from(MDEV[0]).into()).expect("it is free");
    let has = || vm.apcb(0).apm.contains(Apid(6));
    assert!(has());
    for _ in 0..50 {
        shared.host.write(&attribute(0, "unassign_adapter"), "6").expect("it is assigned");
        assert!(!has());
        shared.host.write(&attribute(0, "assign_adapter"), "6").expect("it is free");
        assert!(has());
    }
    drop(device);
    assert!(!has());
}

#[test]
fn a_guest_takes_the_interruption_of_a_queue_on_a_host_elsewhere() {
    an_ap_interruption(&Shared::new().option(), &device(0));
}

#[test]
fn a_guest_elsewhere_gives_its_mdev_back_when_the_host_asks() {
    let shared = Shared::new();
    let (_dir, file) = image(&[FOR_EVER], &[]);
    let guest = shared.start(0, &file);
    shared.connect().write(&attribute(0, "remove"), "1").expect("it is removed");
    // The guest runs on without.
    end(guest.child.id());
    let ran = guest.end();
    assert_eq!(ran.status, 143, "{ran:?}");
    assert!(ran.stdout.contains("{\"event\":\"ap-release-requested\",\"id\":\"ap0\"}\n"), "{ran:?}");
}

#[test]
fn a_guest_whose_host_is_gone_ends_and_says_so_whether_it_runs_or_waits() {
    let wait = [0x0202_0001_8000_0000_u64.to_be_bytes(), 0xdea0_u64.to_be_bytes()].concat();
    for (n, code) in [FOR_EVER, 0xb2b2_0870].into_iter().enumerate() {
        let mut shared = Shared::new();
        let (_dir, file) = image(&[code], &[(0x870, &wait)]);
        let guest = shared.start(n, &file);
        drop(shared.served.take());
        let ran = guest.end();
        assert_eq!(ran.status, 4, "{ran:?}");
        assert!(ran.stderr.contains("which is gone") && ran.stderr.lines().count() == 1, "{ran:?}");
        assert!(!shared.path().exists());
    }
}

#[test]
fn what_is_no_request_is_answered_and_the_connection_goes_on() {
    let shared = Shared::new();
    let mut stream = UnixStream::connect(shared.path()).expect("it is served");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert_eq!(next(), "{\"adjunct-host\":1}");
    let long = [vec![b'x'; 3 << 20], b"\n".to_vec()].concat();
    let malformed = [&b"hello\n"[..], b"\xff\xfe\n", b"{\"read\":1}\n", b"{\"order\":\"card\"}\n"];
    for (bad, kind) in malformed.map(|bad| (bad, "malformed")).into_iter().chain([(&long[..], "too-long")]) {
        stream.write_all(bad).expect("it is there");
        let answer = next();
        assert!(answer.starts_with(&format!("{{\"error\":{{\"kind\":\"{kind}\",\"text\":")), "{answer}");
    }
    stream.write_all(b"{\"read\":\"bus/ap/apmask\"}\n").expect("it is there");
    assert!(next().starts_with("{\"ok\":{\"text\":\"0x"));
    stream.write_all(b"{\"read\":\"bus/ap/none\"}\n").expect("it is there");
    assert!(next().contains("\"errno\":2"));
}

/// An mdev that a VMM has open; closed when dropped.
struct Opened<'a>(&'a Shared, &'static str);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.ctl(&format!("guest close {}", self.1));
    }
}

#[test]
fn a_client_that_waits_for_an_mdev_holds_up_nobody_else() {
    let shared = Shared::new();
    shared.order(&format!("guest open {}", uuid(0)));
    let client = shared.connect();
    thread::scope(|scope| {
        let removing = scope.spawn(|| client.write(&attribute(0, "remove"), "1"));
        // A test that fails closes it too: the removal waits for that.
        let opened = Opened(&shared, uuid(0));
        // Once it is going, nobody can open it.
        until(|| !shared.ctl(&format!("guest open {}", uuid(0))).stderr.contains("busy"));
        assert_eq!(client.read("bus/ap/bindings").ok(), shared.host.read("bus/ap/bindings").ok());
        let other = adjunct(&["run", "--host", &shared.option(), "--device", &device(1)]);
        assert_eq!(other.status, 0, "{other:?}");
        drop(opened);
        removing.join().expect("it only writes").expect("it is removed");
    });
}

#[test]
fn a_dump_loaded_again_is_the_same_host() {
    let shared = Shared::new();
    let dump = shared.order("dump");
    let file = host_file(shared.dir.path(), &dump);
    shared.order("card remove 5");
    assert_ne!(shared.order("dump"), dump);
    let load = format!("load {}", file.display());
    shared.order(&format!("guest open {}", uuid(0)));
    let refused = shared.ctl(&load);
    assert_eq!(refused.status, 3, "{refused:?}");
    assert!(refused.stderr.starts_with(&format!("adjunct: {load}: ")), "{refused:?}");
    assert!(refused.stderr.contains("is open in a VM"), "{refused:?}");
    shared.order(&format!("guest close {}", uuid(0)));
    shared.order(&load);
    assert_eq!(shared.order("dump"), dump);
    fs::write(&file, "kernel = \"6.12\"\n").expect("writable");
    let other = shared.ctl(&load);
    assert!(other.status == 3 && other.stderr.contains("start another host"), "{other:?}");
    fs::write(&file, "cards = 7\n").expect("writable");
    let bad = shared.ctl(&load);
    assert_eq!(bad.status, 3, "{bad:?}");
    assert!(bad.stderr.starts_with(&format!("adjunct: {load}: ")) && bad.stderr.contains("cards"), "{bad:?}");
}

#[test]
fn what_is_longer_than_a_request_can_be_printed_and_is_refused_as_a_host_file() {
    let shared = Shared::new();
    let long = "x".repeat(4000);
    for _ in 0..300 {
        shared.host.write("bus/ap/apmask", &long).expect_err("that is no mask");
    }
    let acts = shared.order("acts");
    assert!(acts.len() > 1 << 20, "{}", acts.len());
    assert_eq!(acts, shared.host.acts().text());
    let file = host_file(shared.dir.path(), &("#\n".repeat(3 << 17) + &shared.order("dump")));
    let load = shared.ctl(&format!("load {}", file.display()));
    assert_eq!(load.status, 3, "{load:?}");
    assert!(load.stderr.contains("the host file is too long"), "{load:?}");
    assert_eq!(shared.order("held"), "");
}

#[test]
fn a_control_socket_that_is_in_use_is_refused_in_the_same_words_by_all() {
    let shared = Shared::new();
    let (control, empty) = (shared.path().display().to_string(), tempfile::tempdir().expect("a directory"));
    let directory = empty.path().display().to_string();
    let serve = adjunct(&["sim", "serve", "--control", &control]);
    let mount = adjunct(&["sim", "mount", &directory, "--control", &control]);
    assert_eq!((serve.status, mount.status), (3, 3), "{serve:?} {mount:?}");
    assert_eq!(serve.stderr, mount.stderr);
    let said = format!("adjunct: --control {control}: a simulated host is served there already");
    assert!(serve.stderr.starts_with(&said), "{serve:?}");
    let file = empty.path().join("file");
    fs::write(&file, "mine").expect("writable");
    let unusable = adjunct(&["sim", "serve", "--control", file.to_str().expect("text")]);
    assert_eq!(unusable.status, 3, "{unusable:?}");
    assert!(unusable.stderr.contains("the socket can't be made"), "{unusable:?}");
}

#[test]
fn a_socket_given_as_a_host_file_is_said_to_be_one() {
    let shared = Shared::new();
    let ran = adjunct(&["run", "--host", &format!("sim:{}", shared.path().display())]);
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.stderr.contains(&shared.option()), "{ran:?}");
}

#[test]
fn an_act_that_is_held_goes_on_when_ctl_releases_it() {
    let shared = Shared::new();
    shared.order("fault write: held door");
    let client = shared.connect();
    thread::scope(|scope| {
        let held = scope.spawn(|| client.write("bus/ap/config_time", "77"));
        shared.host.acts().wait_until_held("door");
        assert_ne!(client.read("bus/ap/config_time").expect("it is there"), "77\n");
        shared.order("release door");
        held.join().expect("it only writes").expect("only late");
    });
    assert_eq!(client.read("bus/ap/config_time").expect("it is there"), "77\n");
    assert_eq!(shared.ctl("release door").status, 3);
}

#[test]
fn a_planned_fault_strikes_a_program_in_another_process() {
    let shared = Shared::new();
    shared.order("fault KVM_CREATE_VM: fails ENOMEM");
    assert_eq!(shared.order("faults").lines().count(), 1);
    let run = || adjunct(&["run", "--host", &shared.option()]);
    let ran = run();
    assert_eq!(ran.status, 4, "{ran:?}");
    assert!(ran.stderr.contains("the host refused KVM_CREATE_VM"), "{ran:?}");
    assert_eq!(run().status, 0);
}

#[test]
fn what_listens_but_is_no_host_of_this_version_is_told_apart() {
    for (greeting, said) in [
        ("{\"adjunct-host\":999}\n", "the host speaks version 999"),
        ("220 mail.example ESMTP\r\n", "no simulated host"),
        ("", "no simulated host"),
    ] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("other");
        let listener = UnixListener::bind(&path).expect("nothing is there");
        let greeter = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(greeting.as_bytes()).expect("it reads");
        });
        let ran = adjunct(&["run", "--host", &format!("sim:@{}", path.display())]);
        assert_eq!(ran.status, 3, "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
        greeter.join().expect("it greets");
    }
}

/// `adjunct sim serve`, which is there.
fn served_at(path: &Path) -> Started {
    let mut server = command().args(["sim", "serve", "--control"]).arg(path).stderr(Stdio::null()).start();
    until(|| {
        assert_eq!(server.try_wait().expect("a child"), None, "it serves");
        ctl(path, "acts").status == 0
    });
    server
}

#[test]
fn a_host_that_is_served_is_there_until_a_signal_ends_it_and_is_served_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("host");
    let mut server = served_at(&path);
    let second = adjunct(&["sim", "serve", "--control", path.to_str().expect("text")]);
    assert_eq!(second.status, 3, "{second:?}");
    assert!(second.stderr.contains("served there already"), "{second:?}");
    assert_eq!(ctl(&path, "held").status, 0);
    end(server.id());
    assert_eq!(server.wait().expect("it ends").code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn what_is_no_order_is_an_error_of_use_and_answered_with_what_to_write() {
    // Nobody is asked.
    let nowhere = Path::new("/nonexistent");
    for (order, said) in [
        ("load", "write load FILE"),
        ("load a b", "write load FILE"),
        ("log --follow", "--follow is for the order uevents"),
        (
            "eject",
            "there is no order \"eject\"; there are card, domain, control-domain, queue, guest, apcb, ",
        ),
        ("eject", ", dump, load"),
        ("fault write: fails EFOO", "or one of E2BIG, EACCES, EADDRINUSE, "),
        ("queue stuck 5.4", "\"5.4\" is not a queue"),
    ] {
        let ran = ctl(nowhere, order);
        assert_eq!(ran.status, 2, "{order}: {ran:?}");
        assert!(ran.stderr.starts_with("adjunct: ") && ran.stderr.contains(said), "{order}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn a_queue_that_is_not_there_can_not_be_stuck() {
    let shared = Shared::new();
    for (order, said) in [
        ("queue stuck 09.0004", "there is no queue 09.0004"),
        ("queue free 05.0003", "there is no queue 05.0003"),
        ("queue free 05.0004", "queue 05.0004 is free already"),
    ] {
        let ran = shared.ctl(order);
        assert_eq!((ran.status, ran.stderr), (3, format!("adjunct: {said}\n")), "{order}");
    }
    shared.order("queue stuck 05.0004");
    assert_eq!(shared.ctl("queue stuck 05.0004").status, 3);
    shared.order("queue free 05.0004");
}

#[test]
fn who_follows_uevents_is_told_what_was_and_what_comes_until_the_host_ends() {
    let mut shared = Shared::new();
    let before = shared.order("uevents");
    let path = shared.path().display().to_string();
    let mut follower = command()
        .args(["sim", "ctl", "--control", &path, "uevents", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .start();
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    for line in before.lines() {
        assert_eq!(next(), line);
    }
    // One after the other: each is told while it follows.
    for order in ["card add 7 CEX8C", "card remove 7"] {
        let known = shared.order("uevents").lines().count();
        shared.order(order);
        let told = shared.order("uevents");
        assert!(told.lines().count() > known, "{order}");
        for line in told.lines().skip(known) {
            assert_eq!(next(), line);
        }
    }
    drop(shared.served.take());
    assert!(lines.next().is_none());
    let ended = follower.ended();
    assert_eq!(ended.status, 4, "{ended:?}");
    assert!(ended.stderr.contains("the simulated host is gone"), "{ended:?}");
}

#[test]
fn what_is_served_says_so_on_stderr() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("host").display().to_string();
    let mut server = command().args(["sim", "serve", "--control", &path]).stderr(Stdio::piped()).start();
    let mut line = String::new();
    BufReader::new(server.stderr.take().expect("a pipe")).read_line(&mut line).expect("readable");
    assert_eq!(
        line,
        format!(
            "a simulated gen16a with kernel 7.2 is served at {path} until SIGTERM, or adjunct sim ctl quit\n"
        )
    );
    assert_eq!(ctl(Path::new(&path), "held").status, 0, "it is there by now");
    end(server.id());
    assert_eq!(server.wait().expect("it ends").code(), Some(0));
}

#[test]
fn the_order_quit_ends_the_process_that_has_the_host() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("host");
    let mut server = served_at(&path);
    let form = ctl(&path, "quit now");
    assert_eq!((form.status, form.stderr.as_str()), (2, "adjunct: write quit\n"));
    let quit = ctl(&path, "quit");
    assert_eq!((quit.status, quit.stdout.as_str(), quit.stderr.as_str()), (0, "", ""));
    let mut ended = None;
    until(|| {
        ended = server.try_wait().expect("a child");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|ended| ended.code()), Some(0));
    assert!(!path.exists());
    assert_eq!(ctl(&path, "quit").status, 3, "nobody is there any more");
}

/// The process that listens at a socket.
#[cfg(not(target_arch = "s390x"))]
fn server_of(path: &Path) -> u32 {
    let stream = UnixStream::connect(path).expect("it is served");
    let peer = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials);
    u32::try_from(peer.expect("a Unix socket").pid()).expect("a process")
}

// Not as an emulated program, which can't start itself.
#[cfg(not(target_arch = "s390x"))]
#[test]
fn a_host_is_served_in_the_background_by_a_process_called_adjunct() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("host");
    let serve = ["sim", "serve", "--daemon", "--control", path.to_str().expect("text")];
    let ran = adjunct(&serve);
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let server = server_of(&path);
    let called = fs::read_to_string(format!("/proc/{server}/comm"));
    let second = adjunct(&serve);
    let answer = ctl(&path, "held");
    end(server);
    until(|| !path.exists());
    assert_eq!(called.expect("it runs"), "adjunct\n");
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(second.status, 3);
    assert!(second.stderr.contains("served there already"), "{second:?}");
}

/// SIGTERM.
fn end(process: u32) {
    let kill = Command::new("kill").arg(process.to_string()).status();
    assert!(kill.expect("kill is there").success());
}
