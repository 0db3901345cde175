//! What the documents say is what the program does.

use crate::{
    command::{Start, adjunct, command},
    golden::{assert_golden, assert_matches_file},
};
use adjunct::exit_status::ExitStatus;
use std::{collections::BTreeSet, fs, path::PathBuf, process::Stdio};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The commands of a document: lines in its fences that begin with `$ `.
fn commands(document: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).expect("readable");
    let lines = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    lines.filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let mut ran = 0;
    for line in commands("README.md") {
        let words: Vec<&str> = line.split_whitespace().collect();
        let words = match words.as_slice() {
            // This test is part of it; see below for who runs it.
            ["cargo", "test", "--workspace"] => continue,
            // The tests know where adjunct is.
            ["PATH=$PWD/target/release:$PATH"] => continue,
            ["cargo", "run", "--release", "--", words @ ..] | ["adjunct", words @ ..] => words,
            _ => panic!("{line}: the test does not know how to run this"),
        };
        let ended = command().args(words).ran();
        assert_eq!(ended.status, 0, "{line}: {ended:?}");
        assert!(!ended.stdout.is_empty(), "{line} says nothing");
        ran += 1;
    }
    assert!(ran >= 10, "the README has commands");
}

#[test]
fn ci_runs_the_test_command_of_the_readme() {
    let tests: Vec<_> = commands("README.md").into_iter().filter(|c| c.starts_with("cargo test")).collect();
    let [command] = tests.as_slice() else { panic!("one test command, not {tests:?}") };
    let ci = fs::read_to_string(root().join(".ci/run")).expect("readable");
    assert!(ci.lines().any(|line| line.trim_end().trim_end_matches(" </dev/null") == command), "{command}");
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut documents = vec![PathBuf::from("README.md"), "CONTRIBUTING.md".into()];
    for entry in fs::read_dir(root().join("docs")).expect("readable") {
        let name = entry.expect("readable").file_name();
        documents.push(PathBuf::from("docs").join(name));
    }
    for document in documents.iter().filter(|d| d.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(root().join(document)).expect("readable");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().expect("the part before");
            if target.is_empty() || target.starts_with("http") {
                continue;
            }
            let path = root().join(document).parent().expect("a folder").join(target);
            assert!(path.exists(), "{}: {target}", document.display());
        }
    }
}

#[test]
fn help_is_what_was_looked_at() {
    for (name, words) in [
        ("help.txt", vec!["--help"]),
        ("help-run.txt", vec!["run", "--help"]),
        ("help-ctl.txt", vec!["ctl", "--help"]),
        ("help-sim-mount.txt", vec!["sim", "mount", "--help"]),
    ] {
        let ran = adjunct(&words);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
        assert_golden(name, &ran.stdout);
    }
}

/// What comes of an answer that nobody reads, and of one that goes to a full disk.
#[test]
fn who_reads_no_more_of_the_help_has_seen_enough_and_a_full_disk_is_one_sentence_and_status_5() {
    for words in [vec!["--help"], vec!["--version"], vec!["run", "--help"], vec!["cpu", "list"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ran = command().args(&words).stdout(writer).stderr(Stdio::piped()).start().ended();
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{words:?}");
        let full = fs::File::create("/dev/full").expect("writable");
        let ran = command().args(&words).stdout(full).stderr(Stdio::piped()).start().ended();
        assert_eq!(ran.status, 5, "{words:?}: {ran:?}");
        assert_eq!(
            ran.stderr,
            "adjunct: standard output can't be written: No space left on device (os error 28)\n"
        );
    }
    // Of misuse it is told on standard error, and what can't be written there does not change what it was.
    let full = fs::File::create("/dev/full").expect("writable");
    let ran = command().arg("frobnicate").stderr(full).start().ended();
    assert_eq!(ran.status, 2);
}

#[test]
fn the_manual_pages_in_docs_are_those_of_the_program() {
    for (name, text) in adjunct::manual::pages().expect("rendered") {
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("EXIT STATUS") && !text.contains("EXTRA") && text.is_ascii(), "{name}");
        assert_matches_file(&root().join("docs/man").join(name), &text);
    }
}

#[test]
fn a_manual_page_shows_the_options_that_the_commands_before_its_own_need() {
    let pages = adjunct::manual::pages().expect("rendered");
    let mut seen = 0;
    for (name, text) in pages.iter().filter(|(name, _)| name.starts_with("adjunct-ctl-")) {
        let text = String::from_utf8_lossy(text);
        assert!(text.contains("\n\\fBadjunct\\fR ctl \\-\\-api\\-socket <PATH> "), "{name}: {text}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn manual_pages_and_completions_can_be_had_from_the_program() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ran = adjunct(&["man", &dir.path().display().to_string()]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let page = fs::read_to_string(dir.path().join("adjunct-run.1")).expect("written");
    assert!(page.contains("EXIT STATUS") && page.contains("sysfsdev"), "{page}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = adjunct(&["completions", shell]);
        assert!(ran.status == 0 && ran.stdout.contains("event-monitor"), "{shell}");
    }
    assert_eq!(adjunct(&["man", "/no/such/directory"]).status, 5);
}

#[test]
fn the_table_of_exit_statuses_is_that_of_the_program() {
    let mut text = "# Exit statuses of adjunct\n\nThis table is made from `src/exit_status.rs`.\n\n\
                    | status | meaning |\n|---:|---|\n"
        .to_owned();
    for status in ExitStatus::ALL {
        text += &format!("| {} | {} |\n", status.code(), status.meaning());
    }
    assert_matches_file(&root().join("docs/exit-status.md"), &text);
}

#[test]
fn misuse_is_answered_with_status_2_and_the_way_to_help() {
    for words in [vec![], vec!["frobnicate"], vec!["run", "--frobnicate"]] {
        let ran = adjunct(&words);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{words:?}");
        assert!(ran.stderr.contains("--help") || ran.stderr.contains("Usage"), "{}", ran.stderr);
    }
}

/// Names of what is run as a test: below `#[test]`, or listed for a macro that makes one of it for each host.
fn names_of_tests(dir: &std::path::Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() && !path.ends_with("target") {
            names_of_tests(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let (mut is_test, mut is_list) = (false, false);
            for line in fs::read_to_string(&path).expect("text").lines().map(str::trim) {
                if line == "#[test]" {
                    is_test = true;
                } else if line.ends_with("on_every_host! {") || line == "promises! {" {
                    is_list = true;
                } else if is_list && line != "}" {
                    into.insert(line.to_owned());
                } else if !line.starts_with(['#', '/']) {
                    let function = line.strip_prefix("fn ").filter(|_| is_test);
                    into.extend(function.and_then(|rest| rest.split('(').next()).map(str::to_owned));
                    (is_test, is_list) = (false, false);
                }
            }
        }
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let mut tests_there = BTreeSet::new();
    for folder in ["src", "tests", "ap", "cpu-model", "devices", "hypervisor", "simulator", "zarch"] {
        names_of_tests(&root().join(folder), &mut tests_there);
    }
    let document = |name| fs::read_to_string(root().join(name)).expect("readable");
    let (promises, threats) = (document("docs/promises.md"), document("docs/threat-model.md"));
    let mut named = 0;
    // Of the threats, the tables whose last column is for tests.
    let threats = threats
        .split("shown by |\n")
        .skip(1)
        .flat_map(|table| table.lines().take_while(|l| l.starts_with('|')));
    for row in promises.lines().chain(threats).filter(|l| l.starts_with("| ") && !l.starts_with("| promise"))
    {
        let tests = row.rsplit('|').nth(1).expect("a column of tests");
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(tests_there.contains(test), "no test {test}: {row}");
            named += 1;
        }
    }
    assert!(named > 200, "{named}: promises and threats name tests");
}
