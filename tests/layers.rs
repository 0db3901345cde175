//! Which of our crates each may use, which modules those of `src`, and where `unsafe` may stand.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// An edge that is not here is a design change: say why in docs/architecture.md.
const LAYERS: &[(&str, &[&str])] = &[
    // It uses kvm-bindings in examples/embed.rs only, for a VMM that is not adjunct.
    (
        ".",
        &[
            "adjunct-ap",
            "adjunct-cpu-model",
            "adjunct-devices",
            "adjunct-hypervisor",
            "adjunct-simulator",
            "kvm-bindings",
        ],
    ),
    ("ap", &[]),
    ("cpu-model", &[]),
    ("devices", &["adjunct-hypervisor"]),
    ("hypervisor", &["adjunct-cpu-model", "kvm-bindings"]),
    // What bindgen makes of the kernel's headers, under the name that kvm-ioctls asks for.
    ("kvm-bindings", &[]),
    ("simulator", &["adjunct-ap", "adjunct-cpu-model", "adjunct-hypervisor", "adjunct-zarch"]),
    ("zarch", &[]),
];

/// The modules of `src` in rows: each uses modules of the rows below its own alone, so that there is no cycle. What they are
/// to each other says docs/architecture.md.
const ROWS: &[&[&str]] = &[
    &["manual"],
    &["cli", "launch"],
    &["cpu", "ctl", "demo", "management", "sim", "vmm"],
    &["api", "qmp", "run"],
    &["counts"],
    &["control"],
    &["outcome"],
    &["machine", "signals"],
    &["console", "plan"],
    &["sandbox"],
    &["event", "host", "socket"],
    &["config", "logging"],
    &["chain", "exit_status", "mounts", "option", "output"],
    &["lossy", "wait"],
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["base", "common", "helper", "helpers", "manager", "misc", "util", "utils"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Our crates among all kinds of dependencies of the crate in `folder`, on every target.
fn ours(folder: &str) -> BTreeSet<String> {
    let manifest = manifest(folder);
    let targets = manifest.get("target").and_then(|targets| targets.as_table());
    let places =
        targets.into_iter().flat_map(|targets| targets.values().filter_map(|place| place.as_table()));
    let names = std::iter::once(&manifest).chain(places).flat_map(|place| {
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        tables
            .into_iter()
            .filter_map(|table| place.get(table)?.as_table())
            .flat_map(|table| table.keys().cloned())
    });
    names.filter(|name| name.starts_with("adjunct") || name == "kvm-bindings").collect()
}

/// Every Rust source below `dir`.
fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Every Rust source below the crates' `src` folders.
fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    LAYERS.iter().for_each(|(folder, _)| collect(&root().join(folder).join("src"), &mut sources));
    assert!(sources.len() > LAYERS.len(), "the crates have sources");
    sources
}

#[test]
fn crates_use_only_the_layers_below_them() {
    for (folder, may_use) in LAYERS {
        for name in ours(folder) {
            assert!(may_use.contains(&name.as_str()), "{folder} must not use {name}");
        }
        assert_eq!(ours(folder).len(), may_use.len(), "{folder} does not use all that it may");
    }
}

const SUPER: &str = "super::";

/// The row of a module of `src`, from above.
fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The paths that begin here: `a::B` is one, `{a::{B, C}, d}` is `a::{B, C}` and `d`.
fn paths(code: &str) -> Vec<&str> {
    let Some(group) = code.strip_prefix('{') else { return vec![code] };
    let (mut paths, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                paths.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    paths
}

/// The paths in `code` after `root`.
fn below<'a>(code: &'a str, root: &str) -> Vec<&'a str> {
    code.match_indices(root).flat_map(|(at, _)| paths(&code[at + root.len()..])).collect()
}

/// The first names of paths. Behind the last comma of a group there is none.
fn first_names<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let first = |path: &&'a str| path.split(|c: char| !c.is_alphanumeric() && c != '_').next();
    paths.iter().filter_map(first).filter(|name| !name.is_empty()).collect()
}

/// What a file `depth` levels below `src` names of the crate's root. A module within it may need more of `super::`.
fn from_the_root(code: &str, depth: usize) -> Vec<&str> {
    let above = (1..depth).fold(below(code, SUPER), |up, _| {
        up.into_iter().filter_map(|path| path.strip_prefix(SUPER)).flat_map(paths).collect()
    });
    let mut names = first_names(&below(code, "crate::"));
    names.extend(first_names(&above).into_iter().filter(|name| row(name).is_some()));
    names
}

#[test]
fn what_a_module_names_of_the_root_is_found_however_it_is_written() {
    for (code, depth, names) in [
        ("use crate::{api::{A, b}, run, }; crate::qmp::c()", 1, &["api", "run", "qmp"][..]),
        ("super::api::x(); super::Other; super::other::y()", 1, &["api"]),
        ("mod tests { use super::super::{api, b}; }", 1, &["api"]),
        ("super::api", 2, &[]),
        ("super::super::api::x()", 2, &["api"]),
        ("use super::{a, super::{b, api}}; super::super::super::run::z()", 2, &["api", "run"]),
        ("super::super::api", 3, &[]),
        ("super::super::{super::api}", 3, &["api"]),
    ] {
        assert_eq!(from_the_root(code, depth), names, "{code}");
    }
}

#[test]
fn the_table_in_the_documentation_has_the_same_rows() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("readable");
    let (_, table) = text.split_once("| modules | what they are |\n|---|---|\n").expect("a table");
    let rows = table.lines().map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
    let names = |row: &str| {
        let mut names: Vec<_> = row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(rows.map(names).collect::<Vec<_>>(), ROWS);
}

#[test]
fn modules_use_only_those_of_the_rows_below_them() {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let mut edges = 0;
    for path in files {
        let below = path.strip_prefix(&src).expect("it is in src");
        let first = Path::new(below.components().next().expect("a name").as_os_str());
        let depth = below.components().count();
        let module = first.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let own = row(module).unwrap_or_else(|| panic!("{module} has no row"));
        let text = fs::read_to_string(&path).expect("readable");
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for other in from_the_root(&code, depth).into_iter().filter(|other| *other != module) {
            let row = row(other).unwrap_or_else(|| panic!("{}: {other} has no row", path.display()));
            assert!(row > own, "{}: {module} must not use {other}, which is not below it", path.display());
            edges += 1;
        }
    }
    assert!(edges > ROWS.len(), "what modules use is found");
}

#[test]
fn every_module_of_src_has_one_row() {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("readable");
    let declared = text.lines().filter_map(|line| {
        line.trim_start_matches("pub ").strip_prefix("mod ").map(|name| name.trim_end_matches(';'))
    });
    let declared: Vec<_> = declared.collect();
    let mut rows = ROWS.concat();
    rows.sort_unstable();
    assert_eq!(declared, rows);
}

#[test]
fn every_member_of_the_workspace_has_its_layer() {
    let members = manifest(".")["workspace"]["members"].as_array().expect("an array").clone();
    let members: BTreeSet<_> = members.iter().filter_map(|m| m.as_str()).map(str::to_owned).collect();
    let layers = LAYERS.iter().map(|(folder, _)| (*folder).to_owned()).filter(|f| f != ".");
    assert_eq!(members, layers.collect::<BTreeSet<_>>());
}

#[test]
fn only_hypervisor_opts_in_to_unsafe_code_and_says_why() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("readable");
        if !text.contains("expect(unsafe_code") && !text.contains("allow(unsafe_code") {
            continue;
        }
        assert!(path.starts_with(root().join("hypervisor")), "{} must not be unsafe", path.display());
        assert!(text.contains("// UNSAFETY:"), "{} does not say why", path.display());
    }
}

#[test]
fn shipped_code_knows_no_tests_outside_test_modules_and_no_empty_names() {
    for path in sources() {
        let name = path.file_stem().and_then(|n| n.to_str()).expect("UTF-8");
        assert!(!EMPTY_NAMES.contains(&name), "{} says nothing", path.display());
        assert_ne!(name, "mod", "{}: write foo.rs beside foo/", path.display());
        let text = fs::read_to_string(&path).expect("readable");
        let lines: Vec<_> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].trim_start().starts_with("#[cfg(test)]")) {
            assert!(pair[1].trim_start().starts_with("mod "), "{}: {}", path.display(), pair[1]);
        }
    }
}
