//! Recorded answers of qemu-s390x, so that they can be compared with where there is no QEMU.
//!
//! A line is one program in the slot of its number, as space-separated fields: seed of its start, body, tail, end,
//! address, condition code and program mask, registers and data that changed.

use std::fmt::Write;

use crate::program::{End, Outcome, Program, Signal};

/// One recorded program.
pub(crate) struct Entry {
    pub(crate) program: Program,
    pub(crate) outcome: Outcome,
}

const ENDS: [(&str, End); 4] = [
    ("done", End::Done),
    ("ill", End::Signal(Signal::Ill)),
    ("fpe", End::Signal(Signal::Fpe)),
    ("segv", End::Signal(Signal::Segv)),
];

/// The line of a program that ran in `slot`.
pub(crate) fn line(slot: usize, program: &Program, outcome: &Outcome) -> String {
    let start = program.start(slot);
    let end = ENDS.iter().find(|(_, end)| *end == outcome.end).expect("all ends have names").0;
    let address = outcome.address.map_or("-".to_owned(), |a| format!("{a:x}"));
    let registers = (start.gprs.iter().zip(outcome.gprs).enumerate())
        .filter(|(_, (before, after))| *before != after)
        .map(|(r, (_, after))| format!("{r}:{after:x}"));
    let runs = (0..start.data.len()).filter(|&at| start.data[at] != outcome.data[at]);
    let mut data = String::new();
    let mut next = usize::MAX;
    for at in runs {
        if at != next {
            write!(data, "{}{at}:", if data.is_empty() { "" } else { "," }).expect("strings take everything");
        }
        write!(data, "{:02x}", outcome.data[at]).expect("strings take everything");
        next = at + 1;
    }
    let registers: Vec<_> = registers.collect();
    format!(
        "{:x} {} {} {end} {address} {:02x} {} {}",
        program.seed,
        hex(&program.body),
        hex(&program.tail),
        outcome.cc_pm,
        or_dash(registers.join(",")),
        or_dash(data),
    )
}

/// Reads what [`line`] wrote.
pub(crate) fn entry(slot: usize, line: &str) -> Option<Entry> {
    let mut fields = line.split(' ');
    let program = Program {
        seed: u64::from_str_radix(fields.next()?, 16).ok()?,
        body: bytes(fields.next()?)?,
        tail: bytes(fields.next()?)?,
    };
    let start = program.start(slot);
    let end = fields.next()?;
    let end = ENDS.iter().find(|(name, _)| *name == end)?.1;
    let address = fields.next()?;
    let address = if address == "-" { None } else { Some(u64::from_str_radix(address, 16).ok()?) };
    let cc_pm = u8::from_str_radix(fields.next()?, 16).ok()?;
    let mut outcome = Outcome { end, address, cc_pm, gprs: start.gprs, data: start.data };
    for (r, value) in changes(fields.next()?)? {
        *outcome.gprs.get_mut(r)? = u64::from_str_radix(value, 16).ok()?;
    }
    for (at, value) in changes(fields.next()?)? {
        let value = bytes(value)?;
        outcome.data.get_mut(at..at + value.len())?.copy_from_slice(&value);
    }
    Some(Entry { program, outcome })
}

fn changes(field: &str) -> Option<Vec<(usize, &str)>> {
    let changes = field.split(',').filter(|change| *change != "-");
    changes
        .map(|change| change.split_once(':').and_then(|(at, value)| Some((at.parse().ok()?, value))))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    or_dash(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if hex == "-" {
        return Some(Vec::new());
    }
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}
