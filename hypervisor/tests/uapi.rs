//! The table that the KVM host is compared with comes from the kernel's own headers.

use std::{fs, process::Command};

/// Runs `command` to its end and returns what it printed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints ASCII")
}

/// Headers older than 6.6 lack the last lines.
#[test]
#[ignore = "needs s390x-linux-gnu-gcc and qemu-s390x; ./check runs it"]
fn the_table_of_sizes_offsets_and_numbers_is_what_the_c_program_prints() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/uapi");
    let program = tempfile::tempdir().expect("a folder");
    let program = program.path().join("print");
    output(
        Command::new("s390x-linux-gnu-gcc")
            .args(["-static", "-Wall", "-Werror", "-o"])
            .arg(&program)
            .arg(format!("{folder}/print.c")),
    );
    let printed = output(Command::new("qemu-s390x").arg(&program));
    let table = fs::read_to_string(format!("{folder}/table.txt")).expect("it is in the tree");
    for (printed, recorded) in printed.lines().zip(table.lines()) {
        assert_eq!(printed, recorded);
    }
    assert!(printed.lines().count() + 3 >= table.lines().count(), "the table has lines of its own");
}
