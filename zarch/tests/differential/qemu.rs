//! Runs executables under `qemu-s390x`, Debian's qemu-user.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::image;
use crate::program::{Outcome, Program};

/// What the emulator is called; it is looked up in `PATH`.
const QEMU: &str = "qemu-s390x";

/// Runs an executable and returns its standard output and exit code.
///
/// # Errors
/// The emulator is missing, or the executable died of a signal or wrote to standard error.
pub(crate) fn run(executable: &[u8]) -> Result<(Vec<u8>, i32), String> {
    // qemu-user wants the file to be executable, as a kernel would.
    let permissions = fs::Permissions::from_mode(0o700);
    let file = tempfile::Builder::new().permissions(permissions).tempfile();
    let mut file = file.map_err(|e| format!("temporary file: {e}"))?;
    file.write_all(executable).map_err(|e| format!("temporary file: {e}"))?;
    let output = Command::new(QEMU)
        .args(["-cpu", "max"])
        .arg(file.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{QEMU}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(code) if said.is_empty() => Ok((output.stdout, code)),
        _ => Err(format!("{QEMU}: {}\n{said}", output.status)),
    }
}

/// What each program of a batch leaves under QEMU.
///
/// # Errors
/// As [`run`], or the results are incomplete.
pub(crate) fn outcomes(programs: &[Program]) -> Result<Vec<Outcome>, String> {
    let (output, code) = run(&image::executable(programs))?;
    if code != 0 {
        return Err(format!("{QEMU}: exit code {code}"));
    }
    image::outcomes(&output, programs.len())
}

/// Which program of a batch QEMU does not survive, when there is one alone.
pub(crate) fn fatal(programs: &[Program]) -> Option<usize> {
    if outcomes(programs).is_ok() {
        return None;
    }
    if programs.len() == 1 {
        return Some(0);
    }
    let half = programs.len() / 2;
    let (first, second) = programs.split_at(half);
    fatal(first).or_else(|| fatal(second).map(|index| half + index))
}
