//! `adjunct sim mount` as programs see it: what they read and write, what they are refused, how it ends.

use crate::{
    command::{Ran, Start, Started, adjunct, command, host_file},
    golden::assert_golden,
    patience::until,
};
use adjunct_ap::{HostSysfs, Sysfs};
use adjunct_simulator::{HostFile, SimHost, share::SharedHost};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::{
        fs::{FileExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

const MDEV: &str = "sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

/// A directory to mount on. Dropping it unmounts what a test that fails has left there.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if mounts_on(self.path()) > 0 {
            try_unmount(self.path());
        }
    }
}

/// The built-in host, mounted. Dropping it ends the process.
pub(crate) struct Mounted {
    dir: Place,
    process: Started,
    /// Where its socket is, if it has one.
    sockets: Option<tempfile::TempDir>,
}

impl Mounted {
    /// Returns when the files are there.
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let dir = Place::new();
        let (process, said) = start(dir.path(), options);
        let mounted = Self { dir, process, sockets: None };
        assert!(said.contains(&format!("{}/sys is there", mounted.dir.path().display())), "{said:?}");
        mounted
    }

    /// With a socket for orders.
    pub(crate) fn controlled() -> Self {
        let sockets = tempfile::tempdir().expect("a temporary directory");
        let mut mounted = Self::with(&["--control", &socket(&sockets)]);
        mounted.sockets = Some(sockets);
        mounted
    }

    fn socket(&self) -> String {
        socket(self.sockets.as_ref().expect("it was mounted with a socket"))
    }

    pub(crate) fn control(&self) -> SharedHost {
        SharedHost::connect(Path::new(&self.socket())).expect("it is served")
    }

    /// Carries an order out that is not refused.
    fn order(&self, words: &[&str]) -> String {
        let ran = adjunct(&[&["sim", "ctl", "--control", &self.socket()], words].concat());
        assert_eq!(ran.status, 0, "{words:?}: {}", ran.stderr);
        ran.stdout
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn read(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.path(path))
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> io::Result<usize> {
        OpenOptions::new().write(true).open(self.path(path))?.write(text.as_bytes())
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.process.id()).expect("a process id"));
        kill(process, signal).expect("it runs");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM);
            let _ = self.process.wait();
        }
    }
}

fn socket(dir: &tempfile::TempDir) -> String {
    dir.path().join("control").display().to_string()
}

/// The process, and what it says when it is ready.
fn start(dir: &Path, options: &[&str]) -> (Started, String) {
    let mut process = command().args(["sim", "mount"]).args(options).arg(dir).stderr(Stdio::piped()).start();
    let mut line = String::new();
    BufReader::new(process.stderr.take().expect("a pipe")).read_line(&mut line).expect("readable");
    (process, line)
}

fn mounts_on(dir: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    mounts.lines().filter(|line| line.split(' ').nth(4) == dir.to_str()).count()
}

/// Whether it could be unmounted.
fn try_unmount(dir: &Path) -> bool {
    let root = nix::unistd::geteuid().is_root();
    let mut command = Command::new(if root { "umount" } else { "fusermount3" });
    let ended = command.args(if root { &[][..] } else { &["-u"] }).arg(dir).status();
    ended.is_ok_and(|status| status.success())
}

fn unmount(dir: &Path) {
    assert!(try_unmount(dir), "umount {}", dir.display());
}

fn errno<T>(refused: io::Result<T>) -> Option<i32> {
    refused.err().and_then(|error| error.raw_os_error())
}

fn show(ran: Ran) -> (i32, String) {
    assert_eq!(ran.stdout, "");
    (ran.status, ran.stderr)
}

/// What a person types, and what the shell and coreutils answer.
#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn a_shell_gets_what_a_mainframe_gives() {
    let mounted = Mounted::new();
    let commands =
        include_str!("golden/mount-session.txt").lines().filter_map(|line| line.strip_prefix("$ "));
    let mut session = String::new();
    for line in commands {
        let ran = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\nm={MDEV}\n{line}"), "bash"])
            .current_dir(mounted.dir.path())
            .env("LC_ALL", "C")
            .output()
            .expect("bash starts");
        session += &format!("$ {line}\n{}", String::from_utf8(ran.stdout).expect("text"));
    }
    assert_golden("mount-session.txt", &session);
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn every_attribute_says_through_the_mount_what_the_host_says() {
    fn walk(files: &Path, below: &str, mounted: &HostSysfs, host: &SimHost, read: &mut usize) {
        let dir = files.join(below);
        let entries = fs::read_dir(&dir).expect("readable");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        assert_eq!(names, host.list(below).expect("a directory"), "{below}");
        for name in names {
            let path = format!("{below}/{name}");
            let metadata = fs::symlink_metadata(files.join(&path)).expect("it is there");
            let changes = path.ends_with("/reset") || path.ends_with("bindings_complete_count");
            if metadata.is_dir() {
                walk(files, &path, mounted, host, read);
            } else if metadata.is_file() && !changes {
                let (ours, theirs) = (mounted.read(&path), host.read(&path));
                match theirs {
                    Ok(text) => assert_eq!(ours.expect("readable"), text, "{path}"),
                    Err(error) => assert_eq!(errno(ours), error.raw_os_error(), "{path}"),
                }
                *read += 1;
            } else if metadata.is_symlink() {
                assert!(files.join(&path).exists(), "{path} leads nowhere");
            }
        }
    }
    let mounted = Mounted::new();
    let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
        .expect("the built-in host");
    let files = mounted.path("sys");
    let mut read = 0;
    for top in ["bus", "class", "devices", "kernel", "module"] {
        walk(&files, top, &HostSysfs::new(&files), &host, &mut read);
    }
    assert!(read > 200, "{read} attributes");
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn what_sysfs_refuses_is_refused_with_its_errno() {
    let mounted = Mounted::new();
    let bus = |name: &str| mounted.path("sys/bus/ap").join(name);
    let write = |path: PathBuf| OpenOptions::new().write(true).open(path);
    assert_eq!(errno(write(bus("features"))), Some(libc::EACCES), "even to root");
    assert_eq!(errno(OpenOptions::new().read(true).write(true).open(bus("features"))), Some(libc::EACCES));
    assert_eq!(errno(File::open(bus("drivers_probe"))), Some(libc::EACCES));
    assert_eq!(errno(File::create_new(bus("new"))), Some(libc::EACCES));
    assert_eq!(errno(File::create_new(bus("apmask"))), Some(libc::EEXIST));
    assert_eq!(errno(fs::create_dir(bus("new"))), Some(libc::EPERM));
    assert_eq!(errno(fs::remove_dir(bus("devices"))), Some(libc::EPERM));
    assert_eq!(errno(fs::remove_file(bus("apmask"))), Some(libc::EPERM));
    assert_eq!(errno(fs::rename(bus("apmask"), bus("new"))), Some(libc::EPERM));
    assert_eq!(errno(fs::hard_link(bus("apmask"), bus("new"))), Some(libc::EPERM));
    assert_eq!(errno(std::os::unix::fs::symlink("apmask", bus("new"))), Some(libc::EPERM));
    assert_eq!(errno(fs::read(bus("devices"))), Some(libc::EISDIR));
    assert_eq!(errno(write(bus("devices"))), Some(libc::EISDIR));
    assert_eq!(errno(fs::read(bus("new"))), Some(libc::ENOENT));
    assert_eq!(errno(fs::read(bus("apmask/new"))), Some(libc::ENOTDIR));
    // What chmod allows to open still takes nothing.
    fs::set_permissions(bus("features"), fs::Permissions::from_mode(0o666)).expect("root may");
    assert_eq!(fs::metadata(bus("features")).expect("there").permissions().mode() & 0o7777, 0o666);
    assert_eq!(errno(write(bus("features")).expect("allowed").write(b"1")), Some(libc::EIO));
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn a_write_takes_a_page_at_most_and_nothing_from_nothing() {
    let mounted = Mounted::new();
    let path = "sys/bus/ap/config_time";
    let mut long = "45".to_owned();
    long.push_str(&" ".repeat(4998));
    assert_eq!(mounted.write(path, &long).expect("taken"), 4096);
    assert_eq!(mounted.read(path).expect("readable"), "45\n");
    assert_eq!(mounted.write(path, "").expect("taken"), 0);
    let mut appending = OpenOptions::new().append(true).open(mounted.path(path)).expect("writable");
    assert_eq!(appending.write(b"46").expect("taken"), 2);
    assert_eq!(appending.write(b"47").expect("taken"), 2);
    fs::write(mounted.path(path), "48").expect("cut to nothing, then written");
    File::options().write(true).open(mounted.path(path)).expect("writable").set_len(0).expect("no matter");
    assert_eq!(mounted.read(path).expect("readable"), "48\n");
    assert_eq!(fs::metadata(mounted.path(path)).expect("there").len(), 4096);
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn what_was_begun_is_read_to_its_end_and_from_the_start_anew() {
    let mounted = Mounted::new();
    let mut file = File::open(mounted.path("sys/bus/ap/config_time")).expect("readable");
    let mut first = [0];
    file.read_exact(&mut first).expect("readable");
    mounted.write("sys/bus/ap/config_time", "115").expect("taken");
    let mut rest = String::new();
    file.read_to_string(&mut rest).expect("readable");
    assert_eq!((&first, rest.as_str()), (b"3", "0\n"));
    file.seek(SeekFrom::Start(0)).expect("seekable");
    let mut again = String::new();
    file.read_to_string(&mut again).expect("readable");
    assert_eq!(again, "115\n");
    let mut part = [0; 8];
    assert_eq!(file.read_at(&mut part, 1).expect("readable"), 3);
    assert_eq!(&part[..3], b"15\n");
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn an_mdev_that_is_removed_is_gone_for_who_has_its_files_open() {
    let mounted = Mounted::new();
    let mut matrix = File::open(mounted.path(MDEV).join("matrix")).expect("readable");
    let mut assign =
        OpenOptions::new().write(true).open(mounted.path(MDEV).join("assign_domain")).expect("writable");
    let uuid = MDEV.rsplit('/').next().expect("a name");
    mounted.write(&format!("{MDEV}/remove"), "1").expect("nobody has it open");
    assert!(!mounted.path(MDEV).exists());
    mounted
        .write("sys/class/mdev_bus/matrix/mdev_supported_types/vfio_ap-passthrough/create", uuid)
        .expect("the name is free");
    assert_eq!(mounted.read(&format!("{MDEV}/matrix")).expect("a new one"), "");
    assert_eq!(errno(matrix.read(&mut [0; 10])), Some(libc::ENODEV));
    assert_eq!(errno(assign.write(b"4")), Some(libc::ENODEV));
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn a_remove_that_waits_for_a_guest_holds_up_nobody() {
    let mounted = Mounted::controlled();
    let uuid = MDEV.rsplit('/').next().expect("a name");
    let guest = |what: &str| mounted.order(&["guest", what, uuid]);
    guest("open");
    let remove = mounted.path(MDEV).join("remove");
    thread::scope(|scope| {
        let removing = scope.spawn(|| fs::write(&remove, "1"));
        // A removal takes this file away first.
        until(|| !remove.exists());
        for _ in 0..16 {
            assert_eq!(mounted.read("sys/bus/ap/config_time").expect("readable"), "30\n");
        }
        mounted.write("sys/bus/ap/config_time", "31").expect("taken");
        assert!(!removing.is_finished());
        guest("close");
        removing.join().expect("no panic").expect("removed");
    });
    assert!(!mounted.path(MDEV).exists());
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn reads_that_a_plan_holds_hold_up_nobody() {
    let mounted = Mounted::controlled();
    const HELD: usize = 4;
    for n in 1..=HELD {
        mounted.order(&["fault", &format!("read on /sys/bus/ap/config_time nth {n}: held door")]);
    }
    thread::scope(|scope| {
        let read = || mounted.read("sys/bus/ap/config_time");
        let readers: Vec<_> = (0..HELD).map(|_| scope.spawn(read)).collect();
        // A plan that has struck is no plan any more.
        until(|| mounted.order(&["faults"]).is_empty());
        assert_eq!(mounted.read("sys/bus/ap/poll_thread").expect("readable"), "0\n");
        mounted.write("sys/bus/ap/config_time", "31").expect("taken");
        assert!(readers.iter().all(|reader| !reader.is_finished()));
        mounted.order(&["release", "door"]);
        for reader in readers {
            assert_eq!(reader.join().expect("no panic").expect("readable"), "31\n");
        }
    });
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn without_memory_for_a_thread_a_file_is_refused_and_the_mount_stays() {
    let mounted = Mounted::new();
    let process = mounted.process.id().to_string();
    let limit = |bytes: &str| {
        let limited = Command::new("prlimit").args(["--pid", &process, &format!("--as={bytes}:")]).status();
        assert!(limited.expect("util-linux is there").success());
    };
    let path = "sys/bus/ap/config_time";
    let (read, mut write) =
        (File::open(mounted.path(path)), OpenOptions::new().write(true).open(mounted.path(path)));
    // A thread's stack has 2 MiB.
    limit("4096");
    for _ in 0..4 {
        assert_eq!(errno(read.as_ref().expect("open").read_at(&mut [0], 0)), Some(libc::EIO));
        assert_eq!(errno(write.as_mut().expect("open").write(b"31")), Some(libc::EIO));
    }
    limit("unlimited");
    assert_eq!(mounted.read(path).expect("readable"), "30\n");
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn a_host_file_that_is_loaded_takes_all_old_files_along() {
    let mounted = Mounted::controlled();
    let path = mounted.path(MDEV).join("matrix");
    let mode = || fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777;
    let mut before = File::open(&path).expect("readable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("its owner may");
    assert_eq!(mode(), 0o400);
    let file = mounted.sockets.as_ref().expect("a folder").path().join("host.toml");
    fs::write(&file, mounted.order(&["dump"])).expect("writable");
    mounted.order(&["load", &file.display().to_string()]);
    assert_eq!(errno(before.read(&mut [0; 10])), Some(libc::ENODEV));
    assert_eq!(mode(), 0o444);
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn each_signal_that_ends_it_leaves_nothing_mounted() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut mounted = Mounted::new();
        let dir = mounted.dir.path().to_owned();
        assert_eq!(mounts_on(&dir), 1);
        // Somebody who is inside does not keep it.
        let inside = File::open(mounted.path("sys/bus/ap/features")).expect("readable");
        mounted.signal(signal);
        assert_eq!(mounted.process.wait().expect("it was started").code(), Some(0), "{signal}");
        assert_eq!(mounts_on(&dir), 0, "{signal}");
        drop(inside);
    }
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn who_unmounts_it_ends_it() {
    let mut mounted = Mounted::new();
    unmount(mounted.dir.path());
    assert_eq!(mounted.process.wait().expect("it was started").code(), Some(0));
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn what_a_killed_one_left_is_explained_and_cleared_away_by_the_next() {
    let mut mounted = Mounted::new();
    let dir = mounted.dir.path().to_owned();
    mounted.signal(Signal::SIGKILL);
    mounted.process.wait().expect("killed");
    assert_eq!(errno(fs::read_dir(&dir)), Some(libc::ENOTCONN));
    let ran = adjunct(&["sim", "mount", "--daemon", &dir.display().to_string()]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("an adjunct that was killed had left"), "{}", ran.stderr);
    assert_eq!(mounts_on(&dir), 1);
    assert!(dir.join("sys/bus/ap").exists());
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn with_daemon_it_returns_when_the_files_are_there() {
    let dir = Place::new();
    let name = dir.path().display().to_string();
    let ran = adjunct(&["sim", "mount", "--daemon", &name]);
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    assert_eq!(fs::read_to_string(dir.path().join("sys/bus/ap/config_time")).expect("readable"), "30\n");
    let (status, said) = show(adjunct(&["sim", "mount", "--daemon", &name]));
    assert_eq!(status, 3);
    assert!(said.contains("mounted already") && said.contains(&format!("umount {name}")), "{said}");
    unmount(dir.path());
    assert_eq!(mounts_on(dir.path()), 0);
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn time_passes_for_a_mounted_host_so_resets_end() {
    let mounted = Mounted::new();
    let reset = "sys/bus/ap/devices/05.0004/reset";
    until(|| mounted.read(reset).expect("readable") == "No Reset Timer set.\n");
}

/// What `sim mount` with `options` says of places that it can't mount on.
fn places_that_cannot_be_mounted_on(options: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = host_file(dir.path(), "");
    let mount = |place: &Path, more: &[&str]| {
        let place = place.display().to_string();
        show(adjunct(&[&["sim", "mount"], options, more, &[&place]].concat()))
    };
    let (status, said) = mount(&dir.path().join("none"), &[]);
    assert!(status == 3 && said.contains("none: there is no such directory"), "{status} {said}");
    assert_eq!(said.lines().count(), 1, "said once: {said}");
    let (status, said) = mount(&file, &[]);
    assert!(status == 3 && said.contains("is not a directory"), "{status} {said}");
    let (status, said) = mount(dir.path(), &[]);
    assert!(status == 3 && said.contains("is not empty"), "{status} {said}");
    let (status, said) = mount(dir.path(), &["--host-file", "/no/such/file"]);
    assert!(status == 3 && said.contains("/no/such/file"), "{status} {said}");
}

#[test]
fn a_place_that_cannot_be_mounted_on_is_named_with_the_reason() {
    places_that_cannot_be_mounted_on(&[]);
}

// Not as an emulated program, which can't start itself.
#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn a_daemon_too_names_the_place_that_cannot_be_mounted_on() {
    places_that_cannot_be_mounted_on(&["--daemon"]);
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn the_capture_of_a_mount_is_its_host_file_also_by_way_of_an_archive() {
    let mounted = Mounted::new();
    let sys = mounted.path("sys").display().to_string();
    let archive = tempfile::NamedTempFile::new().expect("a temporary file");
    let archive = archive.path().display().to_string();
    let tarred = Command::new("tar")
        .args(["--ignore-failed-read", "-czf", &archive, "-C"])
        .arg(mounted.dir.path())
        .args(["sys/bus/ap", "sys/devices/ap", "sys/devices/vfio_ap"])
        .stderr(Stdio::null())
        .status();
    assert!(matches!(tarred.expect("tar is there").code(), Some(0 | 1)));
    let file = HostFile::three_guests().expect("the built-in host is right");
    for source in [["--sys", &sys], ["--tar", &archive]] {
        let ran = adjunct(&[&["sim", "capture"], &source[..]].concat());
        assert_eq!(ran.status, 0, "{ran:?}");
        let mut captured = HostFile::parse(&ran.stdout).expect("a host file");
        // These the file leaves to the machine.
        (captured.ap.ap_interrupts, captured.ap.ap_domain) = (None, None);
        assert_eq!(captured, file, "{}", ran.stdout);
    }
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn in_the_foreground_it_says_where_files_and_socket_are() {
    let (dir, sockets) = (Place::new(), tempfile::tempdir().expect("a folder"));
    let control = socket(&sockets);
    let (process, said) = start(dir.path(), &["--control", &control]);
    let mounted = Mounted { dir, process, sockets: Some(sockets) };
    let path = mounted.dir.path().display();
    assert_eq!(
        said,
        format!(
            "{path}/sys is there until SIGTERM, or umount {path}, or adjunct sim ctl --control {control} quit\n"
        )
    );
    assert!(Path::new(&control).exists());
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn lists_of_processes_call_what_daemon_starts_adjunct() {
    let dir = Place::new();
    let name = dir.path().display().to_string();
    assert_eq!(adjunct(&["sim", "mount", "--daemon", &name]).status, 0);
    let processes = fs::read_dir("/proc").expect("readable").map(|entry| entry.expect("an entry").path());
    let ours: Vec<_> = processes
        .filter_map(|process| Some((fs::read_to_string(process.join("cmdline")).ok()?, process)))
        .filter(|(words, _)| words.contains(&name))
        .map(|(words, process)| (words, fs::read_to_string(process.join("comm")).expect("it runs")))
        .collect();
    let [(words, called)] = ours.as_slice() else { panic!("one process, not {ours:?}") };
    assert!(words.starts_with("adjunct\0sim\0mount\0"), "{words:?}");
    assert_eq!(called, "adjunct\n");
}

#[test]
fn a_socket_that_the_mount_would_hide_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = dir.path().display().to_string();
    for control in
        [format!("{name}/control"), format!("{name}/../{}/control", name.rsplit_once('/').expect("a path").1)]
    {
        let (status, said) = show(adjunct(&["sim", "mount", "--control", &control, &name]));
        assert_eq!(
            (status, said),
            (
                3,
                format!(
                    "adjunct: --control {control} is below {name}, and would be hidden by what is mounted there; take a path \
                 elsewhere\n"
                )
            )
        );
    }
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn the_path_of_a_device_in_a_mount_is_answered_with_what_to_write() {
    let mounted = Mounted::new();
    let device = format!("vfio-ap,sysfsdev={}", mounted.path(MDEV).display());
    let ran = adjunct(&["run", "--host", "sim", "--device", &device]);
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.stderr.contains("adjunct sim mount") && ran.stderr.contains("--host sim:@PATH"), "{ran:?}");
}

/// `drivers/vfio/vfio_main.c: vfio_unregister_group_dev` waits on after a signal, and so does FUSE.
#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn a_remove_that_waits_is_not_interrupted_by_a_signal() {
    let mounted = Mounted::controlled();
    let uuid = MDEV.rsplit('/').next().expect("a name");
    mounted.order(&["guest", "open", uuid]);
    let remove = mounted.path(MDEV).join("remove");
    let mut writer = Command::new("sh").args(["-c", "echo 1 > \"$0\""]).arg(&remove).start();
    until(|| !remove.exists());
    let process = Pid::from_raw(i32::try_from(writer.id()).expect("a process id"));
    kill(process, Signal::SIGINT).expect("it waits");
    for _ in 0..100 {
        assert_eq!(mounted.read("sys/bus/ap/config_time").expect("readable"), "30\n");
        assert_eq!(writer.try_wait().expect("a child"), None);
    }
    mounted.order(&["guest", "close", uuid]);
    assert_eq!(writer.wait().expect("it ends").signal(), Some(libc::SIGINT));
    assert!(!mounted.path(MDEV).exists());
}

/// `fs/kernfs/file.c: kernfs_fop_open` looks at the inode's mode and at what all files of the device can do;
/// `drivers/base/core.c: dev_attr_store` and `dev_attr_show` then find that this one can't.
#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn what_has_been_made_writable_can_be_opened_and_still_takes_nothing() {
    let mounted = Mounted::new();
    let chmod = |path: &str, mode| {
        fs::set_permissions(mounted.path(path), fs::Permissions::from_mode(mode)).expect("its owner may");
    };
    let (matrix, assign) = (format!("{MDEV}/matrix"), format!("{MDEV}/assign_adapter"));
    assert_eq!(errno(mounted.write(&matrix, "1")), Some(libc::EACCES));
    assert_eq!(errno(mounted.read(&assign)), Some(libc::EACCES));
    chmod(&matrix, 0o644);
    chmod(&assign, 0o600);
    assert!(OpenOptions::new().write(true).open(mounted.path(&matrix)).is_ok());
    assert_eq!(errno(mounted.write(&matrix, "1")), Some(libc::EIO));
    assert_eq!(errno(mounted.read(&assign)), Some(libc::EIO));
    // What was taken away is not there for its owner either.
    chmod(&matrix, 0o200);
    assert_eq!(errno(mounted.read(&matrix)), Some(libc::EACCES));
}

#[test]
#[ignore = "needs FUSE; ./check runs it"]
fn the_capture_of_a_mount_knows_machine_and_kernel() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = host_file(
        folder.path(),
        "machine = \"z14.2\"\nkernel = \"6.12\"\n[[ap.card]]\nid = 3\ntype = \"CEX6P\"\n",
    );
    let mounted = Mounted::with(&["--host-file", &file.display().to_string()]);
    let sys = mounted.path("sys").display().to_string();
    let ran = adjunct(&["sim", "capture", "--sys", &sys]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let (captured, of) = (HostFile::parse(&ran.stdout), HostFile::read(&file));
    let (captured, of) = (captured.expect("a host file"), of.expect("a host file"));
    assert_eq!((captured.machine.name, captured.kernel), (of.machine.name, of.kernel));
    assert!(!ran.stdout.contains("is taken for"), "{}", ran.stdout);
    let ran = adjunct(&["sim", "capture", "--sys", &sys, "--kernel", "7.0"]);
    assert_eq!(HostFile::parse(&ran.stdout).expect("a host file").kernel.name(), "7.0");
}
