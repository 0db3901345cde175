//! The guest image in the tree is what its sources build, and it runs on a
//! machine that is not ours.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

fn apcheck() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("resources/guests/apcheck")
}

/// How a guest ended: what it printed, and the PSW address of its disabled wait.
struct Ended {
    console: String,
    psw_address: u64,
}

/// Boots apcheck in QEMU's own emulation with this console device, if any.
///
/// QEMU reports a disabled wait as GUEST_PANICKED over QMP. The guest starts
/// (`cont`) only when QMP is ready, so that the event can't be missed.
fn boot_in_qemu(console_device: Option<&str>) -> Ended {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let console = dir.path().join("console");
    let mut command = Command::new("timeout");
    command
        .args(["120", "qemu-system-s390x", "-machine", "s390-ccw-virtio"])
        .args(["-m", "128", "-nodefaults", "-display", "none", "-S"])
        .args(["-qmp", "stdio", "-action", "panic=shutdown", "-kernel"])
        .arg(apcheck().join("apcheck.elf"));
    if let Some(device) = console_device {
        command
            .arg("-chardev")
            .arg(format!("file,id=console,path={}", console.display()))
            .args(["-device", &format!("{device},chardev=console")]);
    }
    let mut qemu =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("qemu-system-s390x starts");

    let mut qmp = qemu.stdin.take().expect("stdin is a pipe");
    qmp.write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"cont\"}\n")
        .expect("QMP takes commands");
    let psw_address = BufReader::new(qemu.stdout.take().expect("stdout is a pipe"))
        .lines()
        .map(|line| line.expect("QMP is text"))
        .map(|line| serde_json::from_str::<Value>(&line).expect("QMP is JSON"))
        .filter(|message| message["event"] == "GUEST_PANICKED")
        .find_map(|event| event["data"]["info"]["psw-addr"].as_u64());
    // A QEMU that already ended on its own is no error.
    let _ = qmp.write_all(b"{\"execute\":\"quit\"}\n");
    qemu.wait().expect("qemu-system-s390x ends");

    Ended {
        console: fs::read_to_string(console).unwrap_or_default(),
        psw_address: psw_address.expect("apcheck ends in a disabled wait within two minutes"),
    }
}

const NOT_INSTALLED: &str = "AP instructions are not installed in this configuration (ap=off)";

#[test]
#[ignore = "needs s390x-linux-gnu-gcc 12; ./check runs it"]
fn apcheck_builds_to_the_bytes_in_the_tree() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let built = dir.path().join("apcheck.elf");
    let status = Command::new(apcheck().join("build")).arg(&built).status().expect("the build script starts");
    assert!(status.success(), "building apcheck: {status}");
    let read = |path| fs::read(path).expect("the image is there");
    assert!(
        read(built) == read(apcheck().join("apcheck.elf")),
        "apcheck.elf is not what its sources build with the compiler named in its README: run resources/guests/apcheck/build"
    );
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn apcheck_in_qemu_finds_no_ap_instructions_and_ends_well() {
    let ended = boot_in_qemu(Some("sclpconsole"));
    let lines: Vec<&str> = ended.console.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ended.console);
    assert!(lines[0].starts_with("apcheck "), "{}", lines[0]);
    assert!(lines[1].starts_with("cpu: machine type "), "{}", lines[1]);
    assert_eq!(lines[2], "facilities: 12 (apqci) off, 15 (apft) off, 65 (apqi) off");
    assert_eq!(lines[3], NOT_INSTALLED);
    assert_eq!(ended.psw_address, 0);
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn apcheck_writes_to_the_line_mode_console_where_there_is_no_other() {
    let ended = boot_in_qemu(Some("sclplmconsole"));
    assert!(ended.console.contains(&format!("\n{NOT_INSTALLED}")), "{}", ended.console);
    assert_eq!(ended.psw_address, 0);
}

#[test]
#[ignore = "needs qemu-system-s390x; ./check runs it"]
fn apcheck_without_a_console_ends_with_the_code_for_it() {
    assert_eq!(boot_in_qemu(None).psw_address, 0x30);
}
