//! The interpreter against another implementation: the same programs under `qemu-s390x` must leave the same
//! registers, condition code, program mask and storage, and be interrupted for the same reasons.
//!
//! - Random programs over the whole table ([`generate`]), shrunk to the first instruction that differs.
//!   `ADJUNCT_SEED=0x… ADJUNCT_PROGRAMS=n` choose others than the usual ones.
//! - A recorded batch of them, `tests/data/corpus.txt`, compared without QEMU. `BLESS=1` rewrites it.
//! - Freestanding C programs, `tests/data/programs`, compared by what they print ([`c_programs`]).
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "machine code is made of cut-off numbers"
)]

mod c_programs;
mod compare;
mod corpus;
mod examples;
mod excluded;
mod generate;
mod image;
mod opcodes;
mod ours;
mod piece;
mod program;
mod qemu;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use adjunct_zarch::{Instruction, instructions};

use compare::{Culprit, culprit, differences};
use excluded::{EXCLUDED, REFUSED};
use generate::{pieces, single};
use ours::Machinery;
use piece::{Piece, assemble};
use program::{BATCH, End, Program, Signal};

/// Programs compared when `ADJUNCT_PROGRAMS` does not say.
const PROGRAMS: u64 = 20_000;
/// Where seeds begin when `ADJUNCT_SEED` does not say.
const SEED: u64 = 0x0001_0000_0000;
/// Programs in the recorded batch.
const RECORDED: usize = 1500;

fn compared() -> Vec<&'static Instruction> {
    let excluded: BTreeSet<_> =
        EXCLUDED.iter().map(|(mnemonic, _)| *mnemonic).chain(REFUSED.iter().copied()).collect();
    instructions().iter().filter(|row| !row.privileged && !excluded.contains(row.mnemonic)).collect()
}

/// The pieces of the program of that seed: every row comes first in one of as many successive seeds.
fn pieces_of(seed: u64, rows: &[&'static Instruction]) -> Vec<Piece> {
    let first = rows[(seed % rows.len() as u64) as usize];
    pieces(seed, rows, Some(first))
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

/// Compares a batch and adds what differs: by mnemonic, how often and the first time.
fn compare_batch(
    machinery: &mut Machinery,
    seeds: &[u64],
    rows: &[&'static Instruction],
    found: &mut BTreeMap<&'static str, (u32, String)>,
) -> Result<(), String> {
    let batch: Vec<Vec<Piece>> = seeds.iter().map(|&seed| pieces_of(seed, rows)).collect();
    let programs: Vec<Program> =
        seeds.iter().zip(&batch).map(|(&seed, pieces)| assemble(seed, pieces)).collect();
    let theirs = qemu::outcomes(&programs).map_err(|e| match qemu::fatal(&programs) {
        Some(index) => {
            let text: Vec<String> = batch[index].iter().map(Piece::text).collect();
            format!("ADJUNCT_SEED={:#x} kills it: {e}\n{}", seeds[index], text.join("\n"))
        }
        None => e,
    })?;
    for (slot, (program, theirs)) in programs.iter().zip(&theirs).enumerate() {
        let ours = machinery.outcome(slot, program);
        if matches!(&ours, Ok(ours) if differences(ours, theirs).is_empty()) {
            continue;
        }
        let culprit = culprit(machinery, program.seed, &batch[slot])?.unwrap_or_else(|| Culprit {
            mnemonic: "(only in its slot)",
            report: format!("ADJUNCT_SEED={:#x} in slot {slot}", program.seed),
        });
        found.entry(culprit.mnemonic).or_insert((0, culprit.report)).0 += 1;
    }
    Ok(())
}

#[test]
fn every_unprivileged_instruction_is_generated_or_excluded_with_a_reason() {
    let rows = compared();
    let generated: BTreeSet<_> =
        (0..rows.len() as u64).flat_map(|seed| pieces_of(seed, &rows)).map(|piece| piece.mnemonic).collect();
    let missing: Vec<_> =
        rows.iter().map(|row| row.mnemonic).filter(|mnemonic| !generated.contains(mnemonic)).collect();
    assert_eq!(missing, [""; 0]);
    let refused = REFUSED.iter().map(|mnemonic| (mnemonic, &"refused"));
    for (mnemonic, reason) in EXCLUDED.iter().map(|(mnemonic, reason)| (mnemonic, reason)).chain(refused) {
        assert!(!reason.is_empty(), "{mnemonic}");
        let row = instructions().iter().find(|row| row.mnemonic == *mnemonic);
        assert!(row.is_some_and(|row| !row.privileged), "{mnemonic} is excluded, but not in the table");
    }
}

#[test]
#[ignore = "needs qemu-s390x (Debian's qemu-user); ./check runs it"]
fn thousands_of_random_programs_end_as_under_qemu() {
    let rows = compared();
    let seed = number("ADJUNCT_SEED");
    let count = number("ADJUNCT_PROGRAMS").unwrap_or(if seed.is_some() { 1 } else { PROGRAMS });
    let seeds: Vec<u64> = (0..count).map(|n| seed.unwrap_or(SEED) + n).collect();
    let mut machinery = Machinery::new();
    let mut found = BTreeMap::new();
    for batch in seeds.chunks(BATCH) {
        compare_batch(&mut machinery, batch, &rows, &mut found).expect("qemu runs every batch");
    }
    let report: String = found
        .iter()
        .map(|(mnemonic, (count, first))| format!("{mnemonic} differs {count} times: {first}\n"))
        .collect();
    assert!(found.is_empty(), "{report}");
}

#[test]
#[ignore = "needs qemu-s390x (Debian's qemu-user); ./check runs it"]
fn privileged_and_semiprivileged_instructions_are_refused_to_a_program_as_under_qemu() {
    // Without adjunct processors, AP instructions go to the host in any state: it refuses them.
    let intercepted = ["NQAP", "DQAP", "PQAP"];
    let rows = instructions().iter().filter(|row| {
        row.privileged && !intercepted.contains(&row.mnemonic) || REFUSED.contains(&row.mnemonic)
    });
    let programs: Vec<Program> = rows.map(|row| assemble(1, &[single(1, row)])).collect();
    let theirs = qemu::outcomes(&programs).expect("qemu runs the batch");
    let mut machinery = Machinery::new();
    for (slot, (program, theirs)) in programs.iter().zip(&theirs).enumerate() {
        let ours = machinery.outcome(slot, program).expect("a program interruption");
        assert_eq!(ours.end, End::Signal(Signal::Ill), "{:02x?}", program.body);
        assert_eq!(differences(&ours, theirs), "", "{:02x?}", program.body);
    }
}

/// Programs that chance would hardly write: name, body, tail, signal.
const INTERRUPTED: &[(&str, &[u8], &[u8], Signal)] = &[
    ("unassigned, 2 bytes", &[0x00, 0x00], &[], Signal::Ill),
    ("unassigned, 4 bytes", &[0xb2, 0xfe, 0x00, 0x00], &[], Signal::Ill),
    ("unassigned, 6 bytes", &[0xe3, 0x00, 0x00, 0x00, 0x00, 0xff], &[], Signal::Ill),
    // LARL 1,tail; EX 0,0(1)
    (
        "EXECUTE of EXECUTE",
        &[0xc0, 0x10, 0x00, 0x00, 0x02, 0xc0, 0x44, 0x00, 0x10, 0x00],
        &[0x44, 0x00, 0x10, 0x00],
        Signal::Ill,
    ),
    // EXRL 0,tail
    (
        "EXECUTE RELATIVE of EXECUTE RELATIVE",
        &[0xc6, 0x00, 0x00, 0x00, 0x02, 0xc0],
        &[0xc6, 0x00, 0x00, 0x00, 0x00, 0x10],
        Signal::Ill,
    ),
    // EXRL 0,tail; the target has no operation
    ("EXECUTE of an unassigned code", &[0xc6, 0x00, 0x00, 0x00, 0x02, 0xc0], &[0x00, 0x00], Signal::Ill),
    // LLIHF 1,0x7fff0000; LG 2,0(1)
    (
        "fetch outside storage",
        &[0xc0, 0x1e, 0x7f, 0xff, 0x00, 0x00, 0xe3, 0x20, 0x10, 0x00, 0x00, 0x04],
        &[],
        Signal::Segv,
    ),
    // LLIHF 1,0x7fff0000; MVC 0(8,1),0(12)
    (
        "store outside storage",
        &[0xc0, 0x1e, 0x7f, 0xff, 0x00, 0x00, 0xd2, 0x07, 0x10, 0x00, 0xc0, 0x00],
        &[],
        Signal::Segv,
    ),
    // LLIHF 1,0x7fff0000; BR 1
    ("branch outside storage", &[0xc0, 0x1e, 0x7f, 0xff, 0x00, 0x00, 0x07, 0xf1], &[], Signal::Segv),
];

#[test]
#[ignore = "needs qemu-s390x (Debian's qemu-user); ./check runs it"]
fn impossible_instructions_are_interrupted_as_under_qemu() {
    let programs: Vec<Program> = INTERRUPTED
        .iter()
        .map(|(_, body, tail, _)| Program { seed: 1, body: body.to_vec(), tail: tail.to_vec() })
        .collect();
    let theirs = qemu::outcomes(&programs).expect("qemu runs the batch");
    let mut machinery = Machinery::new();
    for (slot, (program, theirs)) in programs.iter().zip(&theirs).enumerate() {
        let (name, _, _, signal) = INTERRUPTED[slot];
        let ours = machinery.outcome(slot, program).expect(name);
        assert_eq!(theirs.end, End::Signal(signal), "{name}");
        assert_eq!(differences(&ours, theirs), "", "{name}");
    }
}

fn recorded() -> Vec<corpus::Entry> {
    let text = fs::read_to_string(data("corpus.txt")).expect("the corpus is in the tree");
    let lines = text.lines().enumerate();
    lines
        .map(|(slot, line)| {
            corpus::entry(slot, line).unwrap_or_else(|| panic!("corpus.txt:{}: not an entry", slot + 1))
        })
        .collect()
}

#[test]
fn recorded_programs_end_as_they_did_under_qemu() {
    let entries = recorded();
    assert_eq!(entries.len(), RECORDED);
    let mut machinery = Machinery::new();
    for (slot, entry) in entries.iter().enumerate() {
        let ours = machinery
            .outcome(slot, &entry.program)
            .unwrap_or_else(|stop| panic!("corpus.txt:{}: {stop}", slot + 1));
        let text = differences(&ours, &entry.outcome);
        assert!(text.is_empty(), "corpus.txt:{}: {:02x?}\n{text}", slot + 1, entry.program.body);
    }
}

#[test]
#[ignore = "needs qemu-s390x (Debian's qemu-user); ./check runs it"]
fn the_recorded_answers_are_qemus() {
    if std::env::var_os("BLESS").is_some() {
        let rows = compared();
        let programs: Vec<Program> =
            (0..RECORDED as u64).map(|seed| assemble(seed, &pieces_of(seed, &rows))).collect();
        let outcomes = qemu::outcomes(&programs).expect("qemu runs the batch");
        let lines = programs.iter().zip(&outcomes).enumerate();
        let text: String =
            lines.map(|(slot, (program, outcome))| corpus::line(slot, program, outcome) + "\n").collect();
        fs::write(data("corpus.txt"), text).expect("the corpus can be written");
    }
    let entries = recorded();
    let programs: Vec<Program> = entries.iter().map(|entry| entry.program.clone()).collect();
    let outcomes = qemu::outcomes(&programs).expect("qemu runs the batch");
    for (slot, (entry, theirs)) in entries.iter().zip(&outcomes).enumerate() {
        assert_eq!(&entry.outcome, theirs, "corpus.txt:{}", slot + 1);
    }
}
