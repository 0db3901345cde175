//! `adjunct run`: what a guest sees, and what is said when something can't work.

use crate::{
    command::{MDEV, Ran, Start, adjunct, adjunct_on, command},
    golden::assert_golden,
    share::Shared,
};
use serde_json::Value;
use std::{
    io::Write,
    process::{Command, Stdio},
};

const BUILTIN: &str = include_str!("../resources/hosts/three-guests.toml");

fn run_with_mdev(n: usize, words: &[&str]) -> Ran {
    let device = format!("vfio-ap,sysfsdev={}", MDEV[n - 1]);
    adjunct(&[&["run", "--host", "sim", "--device", &device], words].concat())
}

/// The queues in the guest's table: lines that begin with an APQN.
pub(crate) fn queues(console: &str) -> Vec<&str> {
    let is_apqn = |word: &&str| word.len() == 7 && word.as_bytes()[2] == b'.';
    console.lines().filter_map(|line| line.split_whitespace().next()).filter(is_apqn).collect()
}

#[track_caller]
pub(crate) fn assert_refused(ran: &Ran, status: i32, says: &[&str]) {
    assert_eq!(ran.status, status, "{ran:?}");
    assert_eq!(ran.stdout, "", "the guest never ran");
    for part in says {
        assert!(ran.stderr.contains(part), "{part:?} is not in {:?}", ran.stderr);
    }
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[track_caller]
pub(crate) fn assert_ran(ran: &Ran, sees: &[&str]) {
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(queues(&ran.stdout), sees, "{}", ran.stdout);
}

#[test]
fn each_guest_of_the_documentations_example_sees_exactly_its_own_queues() {
    assert_ran(&run_with_mdev(1, &[]), &["05.0004", "05.00ab", "06.0004", "06.00ab"]);
    assert_ran(&run_with_mdev(2, &[]), &["05.0047", "05.00ff"]);
    assert_ran(&run_with_mdev(3, &[]), &["06.0047", "06.00ff"]);
}

#[test]
fn the_guests_console_is_all_there_is_on_stdout() {
    assert_golden("run-guest-1.txt", &run_with_mdev(1, &[]).stdout);
}

#[test]
fn every_spelling_of_an_mdevs_path_is_the_same_mdev() {
    let uuid = "6c4a5d2e-0d3e-4c7a-9b0a-000000000002";
    for home in [
        "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/devices",
        "/sys/bus/mdev/devices",
        "/sys/bus/matrix/devices/matrix",
        "/sys/class/mdev_bus/matrix",
    ] {
        let ran = adjunct(&["run", "--host", "sim", "-device", &format!("vfio-ap,sysfsdev={home}/{uuid}")]);
        assert_ran(&ran, &["05.0047", "05.00ff"]);
    }
}

#[test]
fn a_guest_without_a_device_finds_no_queue_and_ends_well() {
    assert_ran(&adjunct(&["run", "--host", "sim"]), &[]);
}

#[test]
fn without_ap_the_guest_has_no_ap_instructions() {
    let ran = adjunct(&["run", "--host", "sim", "--cpu", "host,ap=off"]);
    assert_ran(&ran, &[]);
    assert!(ran.stdout.contains("AP instructions are not installed"), "{}", ran.stdout);
    for feature in ["apqci", "apft"] {
        assert!(
            ran.stderr.contains(&format!("'{feature}' requires 'ap'")),
            "said, not refused: {}",
            ran.stderr
        );
    }
}

#[test]
fn without_apft_no_queue_is_recognised_and_that_is_said_before() {
    let ran = run_with_mdev(1, &["--cpu", "host,apft=off"]);
    assert_ran(&ran, &[]);
    assert!(ran.stderr.contains("apft=off") && ran.stderr.contains("facility 15"), "{}", ran.stderr);
    assert!(ran.stdout.contains("15 (apft) off"), "{}", ran.stdout);
}

#[test]
fn without_apqci_no_domain_above_15_is_seen_and_that_is_said_before() {
    let ran = run_with_mdev(1, &["--cpu", "host,apqci=off"]);
    assert_ran(&ran, &["05.0004", "06.0004"]);
    assert!(ran.stderr.contains("apqci=off") && ran.stderr.contains("above 15"), "{}", ran.stderr);
    let ran = run_with_mdev(2, &["--cpu", "host,apqci=off"]);
    assert_ran(&ran, &[]);
}

#[test]
fn vfio_ap_without_ap_is_refused_with_the_flag_to_change() {
    let shared = Shared::new();
    let acts = || shared.host.acts().text();
    let before = acts();
    let run = |words: &[&str]| {
        let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
        adjunct(&[&["run", "--host", &shared.option(), "--device", &device], words].concat())
    };
    let ran = run(&["--cpu", "host,ap=off"]);
    assert_refused(&ran, 3, &["--device vfio-ap needs the CPU feature ap", "add ap=on to --cpu"]);
    assert_eq!(acts(), before, "nothing is done to the host");
    assert_eq!(run(&[]).status, 0);
    assert_ne!(acts(), before);
}

#[test]
fn ap_on_a_model_that_cannot_have_it_is_refused_with_the_first_that_can() {
    let ran = run_with_mdev(1, &["--cpu", "z196,ap=on"]);
    assert_refused(&ran, 3, &["--cpu z196,ap=on", "ap is not available for CPU model z196", "zEC12"]);
}

#[test]
fn a_named_model_is_refused_with_what_the_simulated_host_lacks() {
    let ran = adjunct(&["run", "--host", "sim", "--cpu", "z14,ap=on"]);
    assert_refused(&ran, 3, &["--cpu z14,ap=on", " vx", "host"]);
}

/// As `ulimit -f 0` has it. The signal would end adjunct without a word.
#[test]
#[cfg_attr(target_arch = "s390x", ignore = "qemu-user does not hold SIGXFSZ back, and dies of it")]
fn a_console_that_may_not_grow_any_more_is_said_at_the_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let console = format!("file:{}", dir.path().join("console").display());
    let adjunct = command();
    let mut limited = Command::new("prlimit");
    limited.stdin(Stdio::null()).arg("--fsize=0").arg(adjunct.get_program()).args(adjunct.get_args());
    let ran = limited.args(["run", "--host", "sim", "--console", &console]).ran();
    assert_eq!((ran.status, ran.stderr.lines().count()), (5, 1), "{ran:?}");
    assert!(
        ran.stderr.contains(&format!("--console {console}: it can't be written: File too large")),
        "{ran:?}"
    );
}

#[test]
fn a_file_that_never_ends_is_refused_in_one_sentence() {
    const LONG: &str = "it is longer than 16 MiB";
    let ran = adjunct(&["run", "--host", "sim:/dev/zero"]);
    assert_refused(&ran, 3, &["adjunct: --host sim:/dev/zero: the file can't be read", LONG]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("host");
    let socket = socket.to_str().expect("text");
    let ran = adjunct(&["sim", "serve", "--control", socket, "--host-file", "/dev/zero"]);
    assert_refused(&ran, 3, &["host file /dev/zero can't be used", LONG]);
    let mount = dir.path().to_str().expect("text");
    let ran = adjunct(&["sim", "mount", mount, "--host-file", "/dev/zero"]);
    assert_refused(&ran, 3, &["host file /dev/zero can't be used", LONG]);
    let ran = adjunct(&["sim", "ctl", "--control", socket, "load", "/dev/zero"]);
    assert_refused(&ran, 3, &["load /dev/zero", LONG]);
    let ran = adjunct(&["ctl", "--api-socket", socket, "create", "/dev/zero"]);
    assert_refused(&ran, 3, &["create /dev/zero", "it is longer than 64 KiB"]);
}

#[test]
fn a_host_file_can_come_from_a_pipe() {
    let (from, mut to) = std::io::pipe().expect("a pipe");
    to.write_all(BUILTIN.as_bytes()).expect("there is room");
    drop(to);
    let ran = command().args(["run", "--host", "sim:/dev/stdin"]).stdin(from).ran();
    assert_ran(&ran, &[]);
}

#[test]
fn two_outputs_into_one_file_are_refused_by_whatever_name_it_has() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let name = |name: &str| dir.path().join(name).display().to_string();
    let (console, events) = (format!("file:{}", name("out")), format!("path={}", name("./out")));
    for words in [
        ["--console", &console, "--event-monitor", &events],
        ["--console", &console, "--log-file", &name("out")],
        ["--event-monitor", &events, "--log-file", &name("out")],
    ] {
        let ran = adjunct(&[&["run", "--host", "sim"], &words[..]].concat());
        assert_refused(&ran, 2, &[words[0], words[2], &name("out"), "one file"]);
        std::fs::remove_file(name("out")).ok();
    }
    std::fs::write(name("first"), "").expect("writable");
    std::fs::hard_link(name("first"), name("second")).expect("the same folder");
    let words = [
        "--api-socket",
        &format!("path={}", name("api")),
        "--event-monitor",
        &format!("path={}", name("first")),
    ];
    let log = name("second");
    let ran = adjunct(&[&["serve", "--host", "sim", "--log-file", &log], &words[..]].concat());
    assert_refused(&ran, 2, &["--event-monitor", "--log-file", "one file"]);
    // A device has no end that could be overwritten.
    let ran = adjunct(&["run", "--host", "sim", "--console", "file:/dev/null", "--log-file", "/dev/null"]);
    assert_eq!(ran.status, 0, "{ran:?}");
}

#[test]
fn an_option_for_linux_is_refused_without_a_kernel_by_its_own_name() {
    let ran = adjunct(&["run", "--initrd", "/i"]);
    assert_refused(
        &ran,
        2,
        &["adjunct: --initrd is for a Linux kernel, and builtin:apcheck is none", "--kernel FILE"],
    );
    let ran = adjunct(&["run", "--append", "quiet"]);
    assert_refused(&ran, 2, &["adjunct: --append is for a Linux kernel", "--kernel FILE"]);
}

#[test]
fn features_are_not_switched_with_plus_and_minus() {
    let ran = adjunct(&["run", "--cpu", "host,+ap"]);
    assert_refused(&ran, 2, &["+ap", "ap=on"]);
}

#[test]
fn an_mdev_that_does_not_exist_is_refused_with_those_that_do_and_what_makes_one() {
    let path = "/sys/devices/vfio_ap/matrix/00000000-0000-0000-0000-00000000dead";
    let ran = adjunct(&["run", "--host", "sim", "--device", &format!("vfio-ap,sysfsdev={path}")]);
    assert_refused(
        &ran,
        3,
        &[
            path,
            ": there is no mdev",
            ": give a host file a [[mdev]]",
            "; this simulated host has the mediated devices",
        ],
    );
}

#[test]
fn a_path_that_is_no_mdevs_is_refused_with_those_that_could_be() {
    let says = |path: &str, says: &[&str]| {
        let ran = adjunct(&["run", "--host", "sim", "--device", &format!("vfio-ap,sysfsdev={path}")]);
        assert_refused(&ran, 3, says);
    };
    for path in ["/dev/vfio/vfio", "/sys/devices/vfio_ap/matrix"] {
        says(path, &[path, "/sys/devices/vfio_ap/matrix/UUID"]);
    }
    let bare = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";
    says(bare, &["is a UUID and no path", &format!("write /sys/devices/vfio_ap/matrix/{bare}")]);
    for name in ["UUID", "6c4a5d2e", "6c4a5d2e-0d3e-4c7a-9b0a-00000000000x"] {
        let what = format!("\"{name}\" is not a UUID; write 8-4-4-4-12 hex digits");
        says(&format!("/sys/devices/vfio_ap/matrix/{name}"), &[&what]);
    }
}

#[test]
fn two_devices_unknown_keys_and_doubled_keys_are_refused_as_misuse() {
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let two = adjunct(&["run", "--device", &device, "--device", &format!("vfio-ap,sysfsdev={}", MDEV[1])]);
    assert_refused(&two, 2, &["one vfio-ap device", MDEV[1]]);
    assert_refused(
        &adjunct(&["run", "--device", &device, "--device", &device]),
        2,
        &[MDEV[0], "given twice"],
    );
    assert_refused(&adjunct(&["run", "--device", &format!("{device},sysfsdev=/x")]), 2, &["given twice"]);
    assert_refused(
        &adjunct(&["run", "--device", &format!("{device},foo=1")]),
        2,
        &["no option \"foo\"", "sysfsdev"],
    );
    assert_refused(&adjunct(&["run", "--device", "vfio_ap,sysfsdev=/x"]), 2, &["vfio-ap"]);
    assert_refused(&adjunct(&["run", "--cpu", "host,ap=on,ap=off"]), 2, &["ap is given more than once"]);
    assert_refused(&adjunct(&["run", "--smp", "0"]), 2, &["--smp"]);
    assert_refused(&adjunct(&["run", "--memory", "1000K"]), 2, &["1000K", "multiple of 1M above zero"]);
}

#[test]
fn an_empty_mdev_is_said_and_the_guest_starts() {
    let toml = format!("{BUILTIN}\n[[mdev]]\nuuid = \"6c4a5d2e-0d3e-4c7a-9b0a-00000000000e\"\n");
    let device = "vfio-ap,sysfsdev=/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-00000000000e";
    let ran = adjunct_on(&toml, &["--device", device]);
    assert_ran(&ran, &[]);
    assert!(
        ran.stderr.contains("brings no queue") && ran.stderr.contains("assign_adapter"),
        "{}",
        ran.stderr
    );
}

/// A host on which queue 06.0047 does not exist, so that adapter 6 is filtered out of guest 3.
const ONE_QUEUE_MISSING: &str = r#"
machine = "z16"
[ap]
usage_domains = [0x47, 0xff]
apmask = "-5,-6"
[[ap.card]]
id = 5
type = "CEX8P"
[[ap.card]]
id = 6
type = "CEX7A"
missing_queues = [0x47]
[[mdev]]
uuid = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001"
adapters = [5, 6]
domains = [0x47, 0xff]
"#;

#[test]
fn an_adapter_filtered_out_by_one_queue_is_said_with_that_queues_name() {
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let ran = adjunct_on(ONE_QUEUE_MISSING, &["--device", &device]);
    assert_ran(&ran, &["05.0047", "05.00ff"]);
    assert!(ran.stderr.contains("06.0047") && ran.stderr.contains("06.00ff"), "{}", ran.stderr);
    assert!(ran.stdout.contains("CEX8P EP11-Coproc"), "{}", ran.stdout);
}

#[test]
fn a_queue_left_to_the_hosts_driver_keeps_its_adapter_from_the_guest_and_is_named() {
    // Assigned while free; the aqmask of the file is applied before, so the mdev must ask in time.
    let toml = ONE_QUEUE_MISSING.replace("apmask = \"-5,-6\"", "apmask = \"-6\"");
    let device = format!("vfio-ap,sysfsdev={}", MDEV[0]);
    let ran = adjunct_on(&toml, &["--device", &device]);
    assert_refused(&ran, 3, &["host.toml", "05.0047", "apmask"]);
}

#[test]
fn a_broken_host_file_is_refused_with_line_and_column() {
    for (toml, says) in [
        ("machine = \"z16\"\n[ap]\nmax_adaptor = 5\n", "line 3, column 1"),
        ("machine = z16\n", "line 1, column 11"),
        ("machine = \"z99\"\n[[ap.card]]\nid = 1\ntype = \"CEX5C\"\n", "z99"),
        ("machine = \"z16\"\n[[ap.card]]\nid = 1\ntype = \"CEX9Q\"\n", "CEX9Q"),
    ] {
        assert_refused(&adjunct_on(toml, &[]), 3, &["host.toml", says]);
    }
    assert_refused(&adjunct(&["run", "--host", "sim:/nowhere.toml"]), 3, &["/nowhere.toml"]);
}

#[test]
#[cfg(not(target_arch = "s390x"))]
fn kvm_is_refused_on_a_machine_that_is_no_mainframe_and_the_default_says_what_it_takes() {
    assert_refused(&adjunct(&["run", "--host", "kvm"]), 3, &["--host kvm", "no IBM Z", "--host sim"]);
    let default = adjunct(&["run"]);
    assert_ran(&default, &[]);
    assert_eq!(default.stderr.lines().count(), 1, "{}", default.stderr);
    assert!(default.stderr.contains("simulated host"), "{}", default.stderr);
}

#[test]
fn files_that_cannot_be_read_are_named_with_their_option() {
    assert_refused(
        &adjunct(&["run", "--host", "sim", "--kernel", "/no/kernel"]),
        3,
        &["--kernel /no/kernel"],
    );
    assert_refused(
        &adjunct(&["run", "--host", "sim", "--kernel", "README.md", "--initrd", "/no/initrd"]),
        3,
        &["--initrd /no/initrd"],
    );
    let log = adjunct(&["run", "--host", "sim", "--log-file", "/no/log"]);
    assert_refused(&log, 5, &["--log-file /no/log"]);
    let console = adjunct(&["run", "--host", "sim", "--console", "file:/no/console"]);
    assert_refused(&console, 5, &["--console file:/no/console"]);
    let events = adjunct(&["run", "--host", "sim", "--event-monitor", "path=/no/events"]);
    assert_refused(&events, 5, &["--event-monitor path=/no/events"]);
    let events = adjunct(&["run", "--host", "sim", "--event-monitor", "fd=77"]);
    assert_refused(&events, 5, &["--event-monitor fd=77"]);
    let text = adjunct(&["run", "--host", "sim", "--kernel", "README.md"]);
    assert_refused(&text, 3, &["--kernel README.md", "no ELF file"]);
}

#[test]
fn events_are_one_json_object_a_line_from_the_look_at_the_host_to_the_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("events");
    let ran = run_with_mdev(2, &["--event-monitor", &format!("path={}", file.display()), "--console", "off"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    let text = std::fs::read_to_string(file).expect("written");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<_> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(names, ["host-checked", "vm-built", "ap-attached", "guest-ended", "ended"]);
    assert_golden("events-guest-2.jsonl", &text);
}

#[test]
fn events_also_go_to_an_inherited_descriptor() {
    let words = ["run", "--host", "sim", "--console", "off", "--event-monitor", "fd=1"];
    let ran = command().args(words).ran();
    assert_eq!(ran.status, 0);
    assert!(
        ran.stdout.lines().last().expect("events").contains(r#""event":"ended","status":0"#),
        "{}",
        ran.stdout
    );
}

/// A raw image whose IPL PSW leads to a LPSWE of a disabled wait with this address.
fn waits_at(address: u64) -> Vec<u8> {
    let mut image = vec![0; 0x220];
    image[..8].copy_from_slice(&0x0008_0000_8000_0200_u64.to_be_bytes());
    // lpswe 0x210(0)
    image[0x200..0x204].copy_from_slice(&[0xb2, 0xb2, 0x02, 0x10]);
    image[0x210..0x218].copy_from_slice(&0x0002_0001_8000_0000_u64.to_be_bytes());
    image[0x218..0x220].copy_from_slice(&address.to_be_bytes());
    image
}

fn run_image(image: &[u8]) -> Ran {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("image");
    std::fs::write(&file, image).expect("writable");
    adjunct(&["run", "--host", "sim", "--kernel", &file.display().to_string()])
}

#[test]
fn a_guest_that_stops_at_another_address_makes_the_exit_status_non_zero_and_is_quoted() {
    assert_eq!(run_image(&waits_at(0)).status, 0);
    let ran = run_image(&waits_at(0xbad));
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("disabled wait at address 0xbad"), "{}", ran.stderr);
}

#[test]
fn a_guest_that_interrupts_itself_for_ever_is_ended_and_quoted() {
    // The program-new PSW leads to an opcode that does not exist.
    let mut image = waits_at(0);
    image[0x200..0x204].copy_from_slice(&[0, 0, 0, 0]);
    image[0x1d0..0x1d8].copy_from_slice(&0x0000_0001_8000_0000_u64.to_be_bytes());
    image[0x1d8..0x1e0].copy_from_slice(&0x200_u64.to_be_bytes());
    let ran = run_image(&image);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("program interruptions"), "{}", ran.stderr);
}

#[test]
fn several_cpus_are_there_and_all_of_them_end() {
    assert_ran(&run_with_mdev(3, &["--smp", "4"]), &["06.0047", "06.00ff"]);
}

#[test]
fn output_that_is_lost_is_said_and_is_not_the_guests_fault() {
    let console = adjunct(&["run", "--host", "sim", "--console", "file:/dev/full"]);
    assert_eq!(console.status, 5, "{console:?}");
    assert!(console.stderr.contains("--console file:/dev/full"), "{}", console.stderr);
    let events = adjunct(&["run", "--host", "sim", "--console", "off", "--event-monitor", "path=/dev/full"]);
    assert_eq!(events.status, 5, "{events:?}");
    assert!(events.stderr.contains("--event-monitor path=/dev/full"), "{}", events.stderr);
}

#[test]
fn lost_output_is_said_of_a_guest_that_fails_too_whose_failure_is_the_status() {
    let full = ["--event-monitor", "path=/dev/full", "--log-file", "/dev/full", "-v"];
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("image");
    std::fs::write(&file, waits_at(0xbad)).expect("writable");
    let file = file.display().to_string();
    let ran =
        adjunct(&[&["run", "--host", "sim", "--console", "off", "--kernel", &file], &full[..]].concat());
    assert_eq!(ran.status, 1, "{ran:?}");
    for said in ["--event-monitor path=/dev/full", "--log-file /dev/full", "disabled wait at address 0xbad"] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
    let refused = adjunct(&[&["run", "--host", "sim", "--kernel", "/no/kernel"], &full[..2]].concat());
    assert_eq!(refused.status, 3, "{refused:?}");
    for said in ["--event-monitor path=/dev/full", "--kernel /no/kernel"] {
        assert!(refused.stderr.contains(said), "{said}: {refused:?}");
    }
}

#[test]
fn descriptors_are_refused_on_the_simulated_host_which_has_none() {
    let ran = adjunct(&["run", "--host", "sim", "--device", "vfio-ap,fd=3,iommufd=4"]);
    assert_refused(&ran, 3, &["--device vfio-ap,fd=3,iommufd=4", "simulated host", "sysfsdev=PATH"]);
}

#[test]
fn a_device_can_be_opened_by_either_of_vfios_ways() {
    for backend in ["group", "iommufd"] {
        let device = format!("vfio-ap,sysfsdev={},backend={backend}", MDEV[1]);
        assert_ran(&adjunct(&["run", "--host", "sim", "--device", &device]), &["05.0047", "05.00ff"]);
    }
}

#[test]
fn key_wrapping_can_be_switched_off_as_in_qemu() {
    assert_ran(
        &run_with_mdev(2, &["-machine", "aes-key-wrap=off,dea-key-wrap=off"]),
        &["05.0047", "05.00ff"],
    );
    let refused = run_with_mdev(2, &["-machine", "aes-key-wrap=maybe"]);
    assert_refused(&refused, 2, &["aes-key-wrap=maybe", "on or off"]);
}
