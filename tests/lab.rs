//! In the lab (`tests/lab`) only: what needs its test module, which plays the AP hardware and shows what SIE was given.
//! `ADJUNCT_LAB` is the module's folder in debugfs; `tests/lab/README.md` says what its files mean.

use crate::{
    command::adjunct,
    lifecycle::{self, END_WELL, FOR_EVER},
    real_host::{
        guests::{Running, lines},
        mdev,
    },
    run::{assert_ran, assert_refused},
    watching::ctl,
};
use adjunct_ap::HostSysfs;
use adjunct_hypervisor::VfioBackend;
use adjunct_simulator::{
    HostFile, SimHost,
    capture::{MOMENTARY, Snapshot},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

fn file(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("ADJUNCT_LAB").expect("these tests run in tests/lab")).join(name)
}

/// Tells the test module to do something to the machine.
fn machine(order: &str) {
    fs::write(file("ctl"), order).unwrap_or_else(|e| panic!("{order}: {e}"));
}

/// Has the AP bus look at the machine.
fn scan() {
    fs::write("/sys/bus/ap/scans", "1").expect("writable");
}

/// One state description that SIE was given, as far as AP goes.
#[derive(Debug)]
struct Sie(BTreeMap<String, String>);

impl Sie {
    /// All that SIE was given since `sie-clear`, oldest first.
    fn all() -> Vec<Self> {
        let text = fs::read_to_string(file("sie")).expect("readable");
        let pairs = |line: &str| {
            let words = line.split_whitespace().filter_map(|word| word.split_once('='));
            Self(words.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
        };
        let mut all: Vec<_> = text.lines().skip(1).map(pairs).collect();
        all.sort_by_key(|sie| sie.0["last"].parse::<u64>().expect("a number"));
        all
    }

    fn latest() -> Option<Self> {
        Self::all().pop()
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_some_and(|have| have == value)
    }

    /// The masks: adapters, domains, control domains.
    fn masks(&self) -> [Vec<u8>; 3] {
        ["apm", "aqm", "adm"].map(|mask| {
            let ids = self.0[mask].split(',').filter(|id| !id.is_empty());
            ids.map(|id| u8::from_str_radix(id, 16).expect("hexadecimal")).collect()
        })
    }
}

/// What sysfs says that a guest of the mdev is given: adapters, domains, control domains.
fn given(mdev: &Path) -> [Vec<u8>; 3] {
    let hex = |text: &str| u8::from_str_radix(text, 16).expect("hexadecimal");
    let matrix = lines(mdev, "guest_matrix");
    let unique =
        |ids: Vec<u8>| ids.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    [
        unique(matrix.iter().map(|apqn| hex(&apqn[..2])).collect()),
        unique(matrix.iter().map(|apqn| hex(&apqn[3..])).collect()),
        lines(mdev, "control_domains").iter().map(|domain| hex(domain)).collect(),
    ]
}

/// Waits for what another process or the kernel is about to do.
#[track_caller]
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < give_up, "{what} did not happen; SIE was given {:?}", Sie::latest());
        thread::sleep(Duration::from_millis(5));
    }
}

fn device() -> String {
    format!("vfio-ap,sysfsdev={},id=ap0", mdev().display())
}

fn running() -> Running {
    machine("sie-clear");
    let running = Running::start(&device(), &[FOR_EVER], &[]);
    until("SIE with the mdev's masks", || masks_are(given(&mdev())));
    running
}

fn masks_are(wanted: [Vec<u8>; 3]) -> bool {
    Sie::latest().is_some_and(|sie| sie.masks() == wanted)
}

/// Whether this kernel is at least as young as Linux `major.minor`.
fn linux_is(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("readable");
    let mut numbers = release.split(['.', '-', '+']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

/// Whether this kernel tells a guest's VMM of a changed configuration.
fn tells_of_changes() -> bool {
    linux_is(6, 17)
}

fn write(attribute: &str, value: &str) {
    fs::write(mdev().join(attribute), value).unwrap_or_else(|e| panic!("{value} to {attribute}: {e}"));
}

// 188, 189: kvm-s390.c:kvm_arch_crypto_set_masks
#[test]
#[ignore = "needs tests/lab"]
fn sie_is_given_the_masks_of_the_mdev_and_apie() {
    machine("sie-clear");
    let ran = adjunct(&["run", "--host", "kvm", "--memory", "1M", "--device", &device()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let all = Sie::all();
    assert!(!all.is_empty());
    // 256 domains need the long masks of format 2.
    let most = fs::read_to_string("/sys/bus/ap/ap_max_domain_id").expect("readable");
    let format = if most.trim() == "15" { "1" } else { "2" };
    for sie in &all {
        assert!(sie.has("apie", "1") && sie.has("format", format), "{sie:?}");
        assert_eq!(sie.masks(), given(&mdev()), "{sie:?}");
    }
}

#[test]
#[ignore = "needs tests/lab"]
fn without_ap_sie_is_given_neither_apie_nor_masks() {
    machine("sie-clear");
    let ran = adjunct(&["run", "--host", "kvm", "--memory", "1M", "--cpu", "host,ap=off"]);
    assert_ran(&ran, &[]);
    let all = Sie::all();
    assert!(!all.is_empty());
    for sie in &all {
        assert!(sie.has("apie", "0") && sie.masks().iter().all(Vec::is_empty), "{sie:?}");
    }
}

#[test]
#[ignore = "needs tests/lab"]
fn sie_wraps_the_keys_that_are_not_switched_off() {
    for (option, aes, dea) in [
        ("aes-key-wrap=on,dea-key-wrap=on", "1", "1"),
        ("aes-key-wrap=off", "0", "1"),
        ("aes-key-wrap=on,dea-key-wrap=off", "1", "0"),
    ] {
        machine("sie-clear");
        let ran = adjunct(&["run", "--host", "kvm", "--memory", "1M", "--machine", option]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let all = Sie::all();
        assert!(
            !all.is_empty() && all.iter().all(|sie| sie.has("aes", aes) && sie.has("dea", dea)),
            "{all:?}"
        );
    }
}

#[test]
#[ignore = "needs tests/lab"]
fn an_adapter_that_the_host_loses_leaves_the_guest_and_comes_back() {
    let mut guest = running();
    let [adapters, domains, control] = given(&mdev());
    machine("card-del 6");
    scan();
    until("the loss", || masks_are([vec![5], domains.clone(), control.clone()]));
    assert_eq!(given(&mdev())[0], [5]);
    if tells_of_changes() {
        let event = guest.wait_for("ap-config-changed");
        assert!(event.contains(r#""removed":["06.0004","06.00ab"]"#), "{event}");
        assert!(event.contains(r#""apqns":["05.0004","05.00ab"],"added":[]"#), "{event}");
    }
    machine("card-add 6=cex8p");
    scan();
    until("the return", || masks_are([adapters.clone(), domains.clone(), control.clone()]));
    assert_eq!(guest.end_with("TERM"), Some(143));
}

#[test]
#[ignore = "needs tests/lab"]
fn domains_can_be_taken_and_given_while_the_guest_runs() {
    let mut guest = running();
    let whole = given(&mdev());
    write("unassign_domain", "4");
    write("unassign_control_domain", "0x47");
    until("the loss", || masks_are([vec![5, 6], vec![0xab], vec![4]]));
    if tells_of_changes() {
        let event = guest.wait_for("ap-config-changed");
        assert!(event.contains(r#""removed":["05.0004","06.0004"]"#), "{event}");
    }
    write("assign_domain", "4");
    write("assign_control_domain", "0x47");
    until("the return", || masks_are(whole.clone()));
    assert_eq!(guest.end_with("TERM"), Some(143));
}

#[test]
#[ignore = "needs tests/lab"]
fn an_adapter_that_is_checkstopped_is_told_with_its_queues_until_it_works_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("api");
    let path = format!("path={}", socket.display());
    let mut guest = Running::start(&device(), &[FOR_EVER], &["--api-socket", &path]);
    for (order, told) in [("cstop 6", r#""apqns":["06.0004","06.00ab"]"#), ("cstart 6", r#""apqns":[]"#)] {
        machine(order);
        scan();
        // The kernel tells nobody; adjunct looks when it is asked.
        ctl(&socket, &["counters"]);
        let event = guest.wait_for("ap-checkstopped");
        assert!(event.contains(told), "{event}");
    }
    assert_eq!(guest.end_with("TERM"), Some(143));
}

// 158: vfio_ap_ops.c:vfio_ap_mdev_request
#[test]
#[ignore = "needs tests/lab"]
fn removing_the_mdev_takes_the_device_from_the_running_guest() {
    let mut guest = running();
    let mdev = mdev();
    let had = lines(&mdev, "guest_matrix");
    let remove = mdev.join("remove");
    let administrator = thread::spawn(move || fs::write(remove, "1"));
    guest.wait_for("ap-release-requested");
    // Its attributes are gone by now: the event says what was seen before.
    let detached = guest.wait_for("ap-detached");
    assert!(detached.contains(r#""reason":"host-request""#), "{detached}");
    assert!(had.iter().all(|apqn| detached.contains(apqn.as_str())), "{detached}");
    administrator.join().expect("no panic").expect("removed");
    assert!(!mdev.exists());
    until("SIE without masks", || masks_are([vec![], vec![], vec![]]));
    assert_eq!(guest.child.try_wait().expect("a child"), None, "the guest goes on");
    assert_eq!(guest.end_with("TERM"), Some(143));
}

// 180: interrupt.c:__deliver_io
#[test]
#[ignore = "needs tests/lab"]
fn a_guest_takes_the_interruption_of_a_queue_that_has_a_reply() {
    for way in crate::real_host::vfio::ways() {
        let way = if way == VfioBackend::Group { "group" } else { "iommufd" };
        lifecycle::an_ap_interruption("kvm", &format!("{},backend={way}", device()));
    }
}

#[test]
#[ignore = "needs tests/lab"]
fn every_guest_reset_resets_each_queue_once() {
    let resets_of = |subcode: Option<u32>| {
        let (_dir, file) = match subcode {
            Some(subcode) => lifecycle::resets_once(subcode, END_WELL),
            None => lifecycle::image(&[END_WELL], &[]),
        };
        let before = resets();
        let ran = lifecycle::run_image("kvm", &file, &["--device", &device()]);
        assert_eq!(ran.status, 0, "{ran:?}");
        resets()
            .into_iter()
            .map(|(apqn, count)| (apqn.clone(), count - before[&apqn]))
            .collect::<BTreeMap<_, _>>()
    };
    let without = resets_of(None);
    for subcode in [0, 1, 3, 4] {
        for (apqn, count) in resets_of(Some(subcode)) {
            assert_eq!(count, without[&apqn] + 1, "{apqn}, subcode {subcode}");
        }
    }
}

#[test]
#[ignore = "needs tests/lab"]
fn a_named_model_runs_without_what_this_host_lacks() {
    let run =
        |cpu: &str| adjunct(&["run", "--host", "kvm", "--memory", "1M", "--cpu", cpu, "--device", &device()]);
    let refused = run("z14,ap=on,apqci=on,apft=on");
    assert_eq!(refused.status, 3, "{refused:?}");
    // "…: a b c"
    let lacks = refused.stderr.lines().last().and_then(|line| line.rsplit(": ").next()).expect("a list");
    let off: String = lacks.split_whitespace().map(|feature| format!(",{feature}=off")).collect();
    let ran = run(&format!("z14,ap=on,apqci=on,apft=on{off}"));
    let matrix = lines(&mdev(), "guest_matrix");
    assert_ran(&ran, &matrix.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(ran.stdout.contains("machine type 3906"), "{}", ran.stdout);
}

#[test]
#[ignore = "needs tests/lab"]
fn the_queues_of_a_guest_that_is_killed_are_reset() {
    let guest = running();
    let before = resets();
    assert_eq!(guest.end_with("KILL"), None);
    until("the reset", || {
        resets().iter().all(|(apqn, count)| before.get(apqn).is_none_or(|before| count > before))
    });
    let ran = adjunct(&["run", "--host", "kvm", "--memory", "1M", "--device", &device()]);
    let matrix = lines(&mdev(), "guest_matrix");
    assert_ran(&ran, &matrix.iter().map(String::as_str).collect::<Vec<_>>());
}

/// How often each queue of the mdev was zeroized.
fn resets() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(file("state")).expect("readable");
    let matrix = lines(&mdev(), "matrix");
    let count = |line: &str| {
        let apqn = line.strip_prefix("queue=")?.split_whitespace().next()?;
        let zapq = line.split_whitespace().find_map(|word| word.strip_prefix("zapq="))?;
        let ours = matrix.iter().any(|assigned| assigned == apqn);
        ours.then(|| (apqn.to_owned(), zapq.parse().expect("a number")))
    };
    let resets: BTreeMap<_, _> = text.lines().filter_map(count).collect();
    assert_eq!(resets.len(), matrix.len(), "{text}");
    resets
}

/// A copy of adjunct that asks for no page tables with guest storage keys: its PT_S390_PGSTE is made PT_NULL.
fn without_pgste() -> (tempfile::TempDir, PathBuf) {
    const PT_S390_PGSTE: u32 = 0x7000_0000;
    let mut program = fs::read(env!("CARGO_BIN_EXE_adjunct")).expect("readable");
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    // Elf64_Ehdr: e_phoff, e_phentsize, e_phnum; an entry begins with p_type.
    let (offset, size, count) =
        (number(&program[32..40]), number(&program[54..56]), number(&program[56..58]));
    let entry = (0..count)
        .map(|n| offset + n * size)
        .find(|at| program[*at..at + 4] == PT_S390_PGSTE.to_be_bytes())
        .expect("adjunct has the header");
    program[entry..entry + 4].fill(0);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("adjunct");
    fs::write(&path, program).expect("writable");
    make_executable(&path);
    (dir, path)
}

/// Has the kernel start a program: what a process starts inherits its kind of page tables, whatever the header says
/// (`arch/s390/include/asm/mmu_context.h: init_new_context`, 6.12). The kernel starts what it takes for modprobe when a
/// file system has no driver. Its exit status and what it wrote.
fn started_by_the_kernel(command_line: &str, dir: &Path) -> (i32, String) {
    const MODPROBE: &str = "/proc/sys/kernel/modprobe";
    let [script, said, status] = ["script", "said", "status"].map(|name| dir.join(name));
    let text = format!("#!/bin/sh\n{command_line} >{} 2>&1\necho $? >{}\n", said.display(), status.display());
    fs::write(&script, text).expect("writable");
    make_executable(&script);
    let before = fs::read_to_string(MODPROBE).expect("readable");
    fs::write(MODPROBE, script.as_os_str().as_encoded_bytes()).expect("writable");
    let mounted = Command::new("mount").args(["-t", "nosuchfs", "none", "/mnt"]).output();
    fs::write(MODPROBE, before.trim_end()).expect("writable");
    assert!(!mounted.expect("mount is there").status.success(), "there is no such file system");
    let status = fs::read_to_string(status).expect("the kernel has waited for it");
    (status.trim().parse().expect("a number"), fs::read_to_string(said).expect("readable"))
}

fn make_executable(file: &Path) {
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(file, executable).expect("ours");
}

#[test]
#[ignore = "needs tests/lab"]
fn a_program_without_pgste_runs_or_is_told_what_is_missing() {
    let (dir, program) = without_pgste();
    let command_line = format!("{} run --host kvm --memory 1M", program.display());
    let (status, said) = started_by_the_kernel(&command_line, dir.path());
    if linux_is(7, 0) {
        assert_eq!(status, 0, "{said}");
    } else {
        assert_eq!(status, 3, "{said}");
        assert!(said.contains("--s390-pgste") && said.contains("vm.allocate_pgste"), "{said}");
    }
}

#[test]
#[ignore = "needs tests/lab"]
fn more_memory_than_the_host_maps_for_a_guest_is_refused_before_anything_is_made() {
    let ran = adjunct(&["run", "--host", "kvm", "--memory", "8589934592G"]);
    assert_refused(&ran, 3, &["--memory 8589934592G", "at most"]);
}

#[test]
#[ignore = "needs tests/lab"]
fn a_capture_of_this_host_shows_the_same_on_a_simulated_one() {
    let ran = adjunct(&["sim", "capture"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let host = SimHost::new(HostFile::parse(&ran.stdout).expect("a host file")).expect("a host");
    let mut differences = Snapshot::of(&HostSysfs::default()).differences(&Snapshot::of(&host));
    differences.retain(|difference| !MOMENTARY.contains(&difference.name()));
    assert_eq!(differences, [], "{}", ran.stdout);
}
