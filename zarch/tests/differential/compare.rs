//! Finds where two answers differ, and which instruction is the first to make them differ.

use std::fmt::Write;

use crate::ours::Machinery;
use crate::piece::{Piece, assemble};
use crate::program::{End, Outcome, Program, Signal};
use crate::qemu;

/// A line for each thing that differs; empty when nothing does.
pub(crate) fn differences(ours: &Outcome, theirs: &Outcome) -> String {
    let mut text = String::new();
    let mut say = |what: &str, ours: &str, theirs: &str| {
        if ours != theirs {
            writeln!(text, "  {what}: ours {ours}, qemu's {theirs}").expect("strings take everything");
        }
    };
    say("end", &format!("{:?}", ours.end), &format!("{:?}", theirs.end));
    // What an access exception leaves half done is the CPU's business.
    if ours.end == End::Signal(Signal::Segv) && ours.end == theirs.end {
        return text;
    }
    say("address", &format!("{:x?}", ours.address), &format!("{:x?}", theirs.address));
    say("condition code and program mask", &format!("{:02x}", ours.cc_pm), &format!("{:02x}", theirs.cc_pm));
    for (r, (a, b)) in ours.gprs.iter().zip(theirs.gprs).enumerate() {
        say(&format!("r{r}"), &format!("{a:016x}"), &format!("{b:016x}"));
    }
    for (at, (a, b)) in ours.data.iter().zip(theirs.data).enumerate() {
        say(&format!("data+{at}"), &format!("{a:02x}"), &format!("{b:02x}"));
    }
    text
}

/// A difference, brought down to the first instruction that makes one.
pub(crate) struct Culprit {
    pub(crate) mnemonic: &'static str,
    pub(crate) report: String,
}

/// Runs every beginning of the program on both sides.
///
/// # Errors
/// QEMU does not run.
pub(crate) fn culprit(
    machinery: &mut Machinery,
    seed: u64,
    pieces: &[Piece],
) -> Result<Option<Culprit>, String> {
    let beginnings: Vec<Program> = (1..=pieces.len()).map(|count| assemble(seed, &pieces[..count])).collect();
    let theirs = qemu::outcomes(&beginnings)?;
    for (slot, (program, theirs)) in beginnings.iter().zip(&theirs).enumerate() {
        let text = match machinery.outcome(slot, program) {
            Ok(ours) => differences(&ours, theirs),
            Err(stop) => format!("  end: ours {stop}, qemu's {:?}\n", theirs.end),
        };
        if text.is_empty() {
            continue;
        }
        let mut report = format!("ADJUNCT_SEED={seed:#x}, instruction {} of {}:\n", slot + 1, pieces.len());
        for (index, piece) in pieces[..=slot].iter().enumerate() {
            let mark = if index == slot { '>' } else { ' ' };
            writeln!(report, " {mark} {}", piece.text()).expect("strings take everything");
        }
        let before = if slot == 0 { program.start(slot).gprs } else { theirs_before(&beginnings, slot)? };
        for (r, value) in before.iter().enumerate() {
            let end = if r % 4 == 3 { '\n' } else { ' ' };
            write!(report, "  r{r:<2} {value:016x}{end}").expect("strings take everything");
        }
        report.push_str(&text);
        return Ok(Some(Culprit { mnemonic: pieces[slot].mnemonic, report }));
    }
    Ok(None)
}

/// Registers before the last instruction of beginning `slot`, with the bases that this slot has.
fn theirs_before(beginnings: &[Program], slot: usize) -> Result<[u64; 16], String> {
    let mut moved = beginnings.to_vec();
    moved[slot] = beginnings[slot - 1].clone();
    Ok(qemu::outcomes(&moved)?[slot].gprs)
}
