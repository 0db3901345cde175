//! The table's mnemonics, opcodes and formats against binutils' disassembler.

use std::io::Write;
use std::process::Command;

use adjunct_zarch::{Format, Instruction, instructions};

use crate::generate::single;

const DISASSEMBLER: &str = "s390x-linux-gnu-objdump";

/// Names that binutils prefers, as beginnings: conditions follow them.
const ALSO_CALLED: &[(&str, &[&str])] = &[
    ("BC", &["b", "nop"]),
    ("BCR", &["b", "nopr"]),
    ("BIC", &["bi"]),
    ("BRC", &["j"]),
    ("BRCL", &["j"]),
    ("CU12", &["cutfu"]),
    ("CU21", &["cuutf"]),
];

/// Operations of the channel subsystem, SCLP and adjunct processors that binutils does not know.
const NOT_IN_BINUTILS: &[&str] = &["SERVC", "CHSC", "NQAP", "DQAP", "PQAP"];

/// One disassembled instruction for each row.
fn disassembled(seed: u64) -> Vec<String> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    for row in instructions() {
        // Many of these two have fewer operands than fields, and binutils insists on the zeros.
        let bytes = if matches!(row.format, Format::S | Format::RRE) {
            row.template().to_be_bytes()[..4].to_vec()
        } else {
            single(seed, row).bytes
        };
        file.write_all(&bytes).expect("the temporary file can be written");
    }
    let output = Command::new(DISASSEMBLER)
        .args(["-D", "-b", "binary", "-m", "s390:64-bit", "--no-show-raw-insn"])
        .arg(file.path())
        .output()
        .expect("the disassembler starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    lines.map(|(_, instruction)| instruction.to_owned()).collect()
}

/// Whether a condition or a flag may be part of the disassembler's name.
fn has_mask(row: &Instruction) -> bool {
    use Format::*;
    matches!(row.format, RIEa | RIEb | RIEc | RIEf | RIEg | RIS | RRS | RRFa | RRFc | RSYb)
}

#[test]
#[ignore = "needs s390x-linux-gnu-objdump; ./check runs it"]
fn binutils_calls_every_instruction_by_the_same_name() {
    for seed in 0..8 {
        let lines = disassembled(seed);
        for (row, line) in instructions().iter().zip(&lines) {
            let name = line.split_whitespace().next().unwrap_or_default();
            let ours = row.mnemonic.to_lowercase();
            let others = ALSO_CALLED.iter().find(|(mnemonic, _)| *mnemonic == row.mnemonic);
            let known = name == ours
                || NOT_IN_BINUTILS.contains(&row.mnemonic) && name == ".long"
                || has_mask(row) && name.starts_with(&ours)
                || others.is_some_and(|(_, stems)| stems.iter().any(|stem| name.starts_with(stem)));
            assert!(known, "{} {:#06x} {:?} is called {line}", row.mnemonic, row.opcode, row.format);
        }
        assert_eq!(lines.len(), instructions().len());
    }
}
