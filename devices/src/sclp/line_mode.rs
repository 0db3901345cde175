//! The line-mode console: messages to the operator, and the operator's commands, in EBCDIC (QEMU:
//! `hw/char/sclpconsole-lm.c`, Linux: `drivers/s390/char/sclp_rw.c`, `sclp_tty.c`).

use super::{
    command::Response,
    ebcdic::{from_ebcdic, to_ebcdic},
    event::Output,
    output::Terminal,
};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct LineModeConsole {
    terminal: Terminal,
    /// The line that is being typed.
    partial: Vec<u8>,
    /// Finished lines that the guest has not read.
    lines: VecDeque<Vec<u8>>,
}

/// The message data block of an output event: `u16 length, u16 type, u32 tag, u32 revision`, then
/// objects of `u16 length, u16 type, ...`; those of type 4 are lines of text.
mod mdb {
    pub(super) const HEADER: usize = 12;
    pub(super) const OBJECT_HEADER: usize = 4;
    pub(super) const MESSAGE_TEXT: u16 = 4;
    /// Object header, line type flags (2), alarm control, reserved (3).
    pub(super) const TEXT: usize = 10;
}

/// The vectors around the text of an input event, from outside to inside; each length covers all that
/// is inside (`drivers/s390/char/sclp.h: GDS_*`).
mod gds {
    pub(super) const MDS_MESSAGE_UNIT: u16 = 0x1310;
    pub(super) const CP_MESSAGE_UNIT: u16 = 0x1212;
    pub(super) const TEXT_COMMAND: u16 = 0x1320;
    pub(super) const SELF_DEFINING_TEXT: u8 = 0x31;
    pub(super) const TEXT: u8 = 0x30;
    /// Three vectors of `u16 length, u16 id`, two subvectors of `u8 length, u8 key`.
    pub(super) const LENGTH: usize = 3 * 4 + 2 * 2;
}

/// The longest line that a line-mode console takes, in bytes: with two subvector headers it has to be counted in one byte.
pub const LONGEST_LINE: usize = 251;

impl LineModeConsole {
    /// How many lines wait at most.
    const LINES: usize = 16;

    pub(super) fn new(output: Output) -> Self {
        Self { terminal: Terminal::new(output), partial: Vec::new(), lines: VecDeque::new() }
    }

    pub(super) fn reset(&mut self) {
        self.partial.clear();
        self.lines.clear();
    }

    /// Writes the lines of text of a message data block; objects of other types are passed over.
    pub(super) fn write(&mut self, data: &[u8]) -> Response {
        let Some(text) = text_of(data) else {
            return Response::InconsistentLengths;
        };
        self.terminal.write(text.as_bytes())
    }

    pub(super) fn has_input(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Takes bytes until there are too many lines; says how many.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        for (index, &byte) in bytes.iter().enumerate() {
            if self.lines.len() == Self::LINES {
                return index;
            }
            match byte {
                b'\n' | b'\r' => self.lines.push_back(std::mem::take(&mut self.partial)),
                _ if self.partial.len() < LONGEST_LINE => self.partial.push(byte),
                _ => {}
            }
        }
        bytes.len()
    }

    /// Event data of at most `room` bytes with the first line that waits.
    pub(super) fn read(&mut self, room: usize) -> Option<Vec<u8>> {
        let text = to_ebcdic(&String::from_utf8_lossy(self.lines.front()?));
        if gds::LENGTH + text.len() > room {
            return None;
        }
        self.lines.pop_front();
        Some(command(&text))
    }
}

/// The text of all message text objects, a `\n` after each; none if a length leads out of `data`.
fn text_of(data: &[u8]) -> Option<String> {
    let length = usize::from(be16(data)?);
    let mut objects = data.get(mdb::HEADER..length)?;
    let mut text = String::new();
    while !objects.is_empty() {
        let length = usize::from(be16(objects)?);
        let kind = be16(objects.get(2..)?)?;
        let object = objects.get(..length).filter(|object| object.len() >= mdb::OBJECT_HEADER)?;
        if kind == mdb::MESSAGE_TEXT {
            text.push_str(&from_ebcdic(object.get(mdb::TEXT..)?));
            text.push('\n');
        }
        objects = &objects[length..];
    }
    Some(text)
}

/// An operator command with `text` in EBCDIC, of at most [`LONGEST_LINE`] characters.
fn command(text: &[u8]) -> Vec<u8> {
    let subvector =
        |key: u8, inside: &[u8]| [&[u8::try_from(inside.len() + 2).unwrap_or(u8::MAX), key], inside].concat();
    let vector = |id: u16, inside: &[u8]| {
        let length = u16::try_from(inside.len() + 4).unwrap_or(u16::MAX);
        [&length.to_be_bytes(), &id.to_be_bytes(), inside].concat()
    };
    let text = subvector(gds::SELF_DEFINING_TEXT, &subvector(gds::TEXT, text));
    let text = vector(gds::TEXT_COMMAND, &text);
    vector(gds::MDS_MESSAGE_UNIT, &vector(gds::CP_MESSAGE_UNIT, &text))
}

fn be16(data: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(..2)?.try_into().ok()?))
}
