//! Files under `tests/golden` that say what adjunct answers.

use std::{env, fs, path::PathBuf};

/// Compares `got` with a file under `tests/golden`, which `BLESS=1` rewrites.
#[track_caller]
pub(crate) fn assert_golden(name: &str, got: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    assert_matches_file(&path, got);
}

/// Compares `got` with the file at `path`, which `BLESS=1` rewrites.
#[track_caller]
pub(crate) fn assert_matches_file(path: &std::path::Path, got: &str) {
    if env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        fs::write(path, got).expect("the golden can be written");
    }
    let want = fs::read_to_string(path)
        .unwrap_or_else(|e| panic!("{}: {e}; run with BLESS=1 and look at it", path.display()));
    assert!(got == want, "differs from {}; BLESS=1 rewrites it\n--- now ---\n{got}", path.display());
}
