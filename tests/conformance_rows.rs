//! docs/conformance.md says of every row of the conformance list which tests hold it, and where they run. It is held
//! against the tests' sources: the numbers in a comment before a test, or inside of it, are its rows.

use crate::golden::assert_matches_file;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Sources of tests with rows, below the workspace; what their names begin with; where those run that are not shared
/// by `on_every_host!`.
const SUITES: [(&str, &str, &str); 7] = [
    ("simulator/tests/conformance", "conformance", SIMULATOR),
    ("simulator/tests/kvm_host", "kvm_host", SIMULATOR),
    ("simulator/src/kvm", "kvm", SIMULATOR),
    ("hypervisor/tests/kvm", "hypervisor", LAB),
    ("tests/conformance.rs", "tests::conformance", BOTH),
    ("tests/lab.rs", "tests::lab", LAB),
    ("tests/real_host", "tests::real_host", LAB),
];
const SIMULATOR: &str = "simulator";
const LAB: &str = "lab";
const BOTH: &str = "simulator, lab";
/// The list's last row.
const LAST: u16 = 214;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.to_owned()];
    }
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut all: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.expect("readable").path();
            if path.is_dir() { sources(&path) } else { vec![path] }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    all.sort();
    all
}

/// The rows that a comment names: `// 6, 9: ap_bus.c:ap_hex2bitmap`.
fn rows_of(comment: &str) -> Vec<u16> {
    let numbers =
        comment.strip_prefix("// ").and_then(|text| text.split_once(':')).map(|(numbers, _)| numbers);
    let rows: Option<Vec<u16>> =
        numbers.and_then(|text| text.split(", ").map(|number| number.parse().ok()).collect());
    rows.unwrap_or_default()
}

fn dedented(text: &str) -> String {
    text.lines().flat_map(|line| [line.strip_prefix("    ").unwrap_or(line), "\n"]).collect()
}

/// For each row its tests and where they run, as the document writes it.
fn tests() -> BTreeMap<u16, Vec<(String, &'static str)>> {
    let mut tests: BTreeMap<u16, Vec<(String, &'static str)>> = BTreeMap::new();
    for (suite, prefix, alone) in SUITES {
        let folder = root().join(suite);
        for path in sources(&folder) {
            let text = fs::read_to_string(&path).expect("readable");
            let shared: Vec<&str> = text
                .split_once("on_every_host! {\n")
                .and_then(|(_, rest)| rest.split_once("\n}"))
                .map_or(Vec::new(), |(names, _)| names.split_whitespace().collect());
            let module = path.with_extension("");
            let module = module.strip_prefix(folder.with_extension("")).expect("inside");
            let module: String =
                module.iter().flat_map(|name| ["::".into(), name.to_string_lossy()]).collect();
            let mut rows = Vec::new();
            let mut current = None;
            // Unit tests stand one level deeper.
            let text = text.split_once("\nmod tests {\n").map_or(text.clone(), |(_, tests)| dedented(tests));
            for line in text.lines() {
                // Those of proptest stand deeper.
                let function = line.strip_prefix("fn ").or_else(|| line.strip_prefix("    fn "));
                if let Some(name) = function.and_then(|rest| rest.split('(').next()) {
                    let place = if shared.contains(&name) { BOTH } else { alone };
                    current = Some((format!("{prefix}{module}::{name}"), place));
                }
                // Before a test, or inside of it.
                match &current {
                    Some(test) if line.starts_with([' ', 'f']) => {
                        rows.append(&mut rows_of(line.trim_start()));
                        rows.drain(..).for_each(|row| tests.entry(row).or_default().push(test.clone()));
                    }
                    _ => rows.extend(rows_of(line)),
                }
            }
            assert!(rows.is_empty(), "{}: rows {rows:?} are before no test", path.display());
        }
    }
    tests
}

/// The number in the first cell of a row of the table.
fn row_of(line: &str) -> Option<u16> {
    line.strip_prefix("| ")?.split(' ').next()?.parse().ok()
}

#[test]
fn the_list_of_conformance_names_the_tests_that_hold_each_row() {
    let path = root().join("docs/conformance.md");
    let tests = tests();
    let mut listed = Vec::new();
    let mut now = String::new();
    for line in fs::read_to_string(&path).expect("readable").lines() {
        match row_of(line) {
            None => now += line,
            Some(row) => {
                listed.push(row);
                let cells: Vec<&str> = line.split(" | ").collect();
                let [number, area, case, expected, _, _] = cells[..] else { panic!("six cells: {line}") };
                let of_row = tests.get(&row).map(Vec::as_slice).unwrap_or_default();
                let names: Vec<String> = of_row.iter().map(|(name, _)| format!("`{name}`")).collect();
                let on = |wanted| of_row.iter().any(|(_, place)| [wanted, BOTH].contains(place));
                assert!(on(SIMULATOR), "{row}: nothing holds it on the simulator");
                let place = if on(LAB) { BOTH } else { SIMULATOR };
                now += &format!("{number} | {area} | {case} | {expected} | {} | {place} |", names.join(", "));
            }
        }
        now.push('\n');
    }
    assert_matches_file(&path, &now);
    assert!(listed.is_sorted_by(|a, b| a < b), "{listed:?}");
    assert_eq!(listed.last(), Some(&LAST));
    let without: Vec<&u16> = listed.iter().filter(|row| !tests.contains_key(*row)).collect();
    assert!(without.is_empty(), "rows without a test: {without:?}");
    let unknown: Vec<&u16> = tests.keys().filter(|row| !listed.contains(row)).collect();
    assert!(unknown.is_empty(), "rows that are not in the list: {unknown:?}");
}
