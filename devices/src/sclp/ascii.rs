//! The ASCII console: bytes in, bytes out (QEMU: `hw/char/sclpconsole.c`).

use super::{command::Response, event::Output, output::Terminal};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct AsciiConsole {
    terminal: Terminal,
    input: VecDeque<u8>,
}

impl AsciiConsole {
    /// How much input waits at most: about one SCCB.
    const CAPACITY: usize = 4080;
    /// First data byte of input: a character string follows.
    const STRING: u8 = 0;

    pub(super) fn new(output: Output) -> Self {
        Self { terminal: Terminal::new(output), input: VecDeque::new() }
    }

    pub(super) fn reset(&mut self) {
        self.input.clear();
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Response {
        self.terminal.write(data)
    }

    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Takes what there is room for; says how many bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(Self::CAPACITY - self.input.len());
        self.input.extend(&bytes[..taken]);
        taken
    }

    /// Event data of at most `room` bytes with the input that waits.
    pub(super) fn read(&mut self, room: usize) -> Option<Vec<u8>> {
        let length = self.input.len().min(room.saturating_sub(1));
        if length == 0 {
            return None;
        }
        Some([Self::STRING].into_iter().chain(self.input.drain(..length)).collect())
    }
}
