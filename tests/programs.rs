//! Other people's programs, unmodified, on the `/sys` of a simulated host (`adjunct sim mount`). What they answer to the
//! commands under `tests/programs/sessions` is under `tests/programs/golden`, which `BLESS=1` rewrites;
//! `tests/programs/compare` runs the same sessions on a real kernel.

use crate::golden::assert_matches_file;
use std::{path::Path, process::Command};

/// Runs the session of that name and compares it with its golden.
#[track_caller]
fn answers_as_written(name: &str) {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let session = programs.join(format!("sessions/{name}.sh"));
    let output = Command::new(programs.join("run"))
        .arg(&session)
        .env("ADJUNCT", env!("CARGO_BIN_EXE_adjunct"))
        .output()
        .expect("the script can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}\n{complaint}", session.display(), output.status);
    assert_matches_file(
        &programs.join(format!("golden/{name}.txt")),
        &String::from_utf8_lossy(&output.stdout),
    );
}

#[test]
#[ignore = "needs FUSE, qemu-user and Debian's packages; ./check runs it"]
fn lszcrypt_lists_the_cards_and_queues_of_a_simulated_host() {
    answers_as_written("lszcrypt");
}

#[test]
#[ignore = "needs FUSE, qemu-user and Debian's packages; ./check runs it"]
fn chzcrypt_puts_cards_and_queues_online_and_offline_and_tunes_the_bus() {
    answers_as_written("chzcrypt");
}

#[test]
#[ignore = "needs FUSE, qemu-user and Debian's packages; ./check runs it"]
fn chzcrypt_configures_cards_off_and_on() {
    answers_as_written("config");
}

#[test]
#[ignore = "needs FUSE, qemu-user and Debian's packages; ./check runs it"]
fn chzdev_changes_the_masks_now_and_for_the_next_boot() {
    answers_as_written("zdev");
}

#[test]
#[ignore = "needs FUSE, qemu-user and Debian's packages; ./check runs it"]
fn mdevctl_defines_starts_stops_and_lists_mediated_devices() {
    answers_as_written("mdevctl");
}

/// Debian's s390-tools come without ap-check: `ADJUNCT_AP_CHECK` names one for s390x.
#[test]
#[ignore = "needs FUSE, qemu-user, Debian's packages and ADJUNCT_AP_CHECK; ./check runs it"]
fn ap_check_refuses_for_mdevctl_what_is_in_use_or_the_hosts() {
    answers_as_written("ap-check");
}

#[test]
#[ignore = "needs FUSE, qemu-user and Debian's packages; ./check runs it"]
fn the_steps_of_the_kernels_documentation_work_by_echo_and_cat() {
    answers_as_written("shell");
}
