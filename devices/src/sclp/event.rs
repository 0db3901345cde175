//! The event facility: which events the guest wants, and the commands that carry them.
//!
//! An event buffer is `u16 length, u8 type, u8 flags, u16 reserved`, then data. The sources and sinks
//! of events are few and fixed: the two consoles and the request to shut down.

use super::{PAGE, ascii::AsciiConsole, command::Response, line_mode::LineModeConsole, sccb::Sccb};
use std::{fmt, io::Write};

/// Where a console's output goes, as the guest sends it. Errors are answered with an equipment check.
pub type Output = Box<dyn Write + Send>;

/// The consoles that a guest is offered: those that have an output.
#[derive(Default)]
pub struct Consoles {
    /// ASCII console (VT220, Linux: `ttysclp0`): bytes pass unchanged in both directions.
    pub ascii: Option<Output>,
    /// Line-mode console (operator messages and commands, Linux: `ttyS0`): lines in EBCDIC, which
    /// come out as UTF-8 with `\n` after each.
    pub line_mode: Option<Output>,
}

impl fmt::Debug for Consoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consoles")
            .field("ascii", &self.ascii.is_some())
            .field("line_mode", &self.line_mode.is_some())
            .finish()
    }
}

/// Event types (QEMU: `include/hw/s390x/event-facility.h`, Linux: `drivers/s390/char/sclp.h`).
mod kind {
    pub(super) const OPERATOR_COMMAND: u8 = 0x01;
    pub(super) const MESSAGE: u8 = 0x02;
    pub(super) const PRIORITY_MESSAGE: u8 = 0x09;
    pub(super) const ASCII_CONSOLE: u8 = 0x1a;
    pub(super) const SIGNAL_QUIESCE: u8 = 0x1d;
}

/// The bit of an event type in a mask: type 1 is leftmost.
const fn mask(kind: u8) -> u64 {
    1 << (64 - kind)
}

const HEADER: usize = 6;
const ACCEPTED: u8 = 0x80;
/// Data of a signal-quiesce event: timeout (2 bytes) and its unit, none given.
const QUIESCE_DATA: [u8; 3] = [0; 3];
/// Length of a mask until the guest chooses another.
const INITIAL_MASK_LENGTH: usize = 4;
/// Four masks of this length fill a page together with the 12 bytes before them.
const MAX_MASK_LENGTH: usize = 1021;

#[derive(Debug)]
pub(super) struct EventFacility {
    ascii: Option<AsciiConsole>,
    line_mode: Option<LineModeConsole>,
    quiesce: bool,
    /// Events that the guest wants to be told of.
    wanted: u64,
    mask_length: usize,
}

impl EventFacility {
    pub(super) fn new(consoles: Consoles) -> Self {
        Self {
            ascii: consoles.ascii.map(AsciiConsole::new),
            line_mode: consoles.line_mode.map(LineModeConsole::new),
            quiesce: false,
            wanted: 0,
            mask_length: INITIAL_MASK_LENGTH,
        }
    }

    pub(super) fn reset(&mut self) {
        if let Some(console) = &mut self.ascii {
            console.reset();
        }
        if let Some(console) = &mut self.line_mode {
            console.reset();
        }
        self.quiesce = false;
        self.wanted = 0;
        self.mask_length = INITIAL_MASK_LENGTH;
    }

    pub(super) fn signal_quiesce(&mut self) {
        self.quiesce = true;
    }

    /// Takes input for the console that the guest listens to; says how many bytes.
    pub(super) fn push_input(&mut self, bytes: &[u8]) -> usize {
        let hears_lines_only =
            self.wants(kind::OPERATOR_COMMAND) && !self.wants(kind::ASCII_CONSOLE) || self.ascii.is_none();
        match (&mut self.ascii, &mut self.line_mode) {
            (_, Some(console)) if hears_lines_only => console.push(bytes),
            (Some(console), _) => console.push(bytes),
            // Nobody will ever read it.
            (None, _) => bytes.len(),
        }
    }

    /// Whether an event waits that the guest wants.
    pub(super) fn pending(&self) -> bool {
        self.waiting() & self.wanted != 0
    }

    fn wants(&self, kind: u8) -> bool {
        self.wanted & mask(kind) != 0
    }

    /// The types of the events that wait.
    fn waiting(&self) -> u64 {
        let mut waiting = 0;
        if self.quiesce {
            waiting |= mask(kind::SIGNAL_QUIESCE);
        }
        if self.ascii.as_ref().is_some_and(AsciiConsole::has_input) {
            waiting |= mask(kind::ASCII_CONSOLE);
        }
        if self.line_mode.as_ref().is_some_and(LineModeConsole::has_input) {
            waiting |= mask(kind::OPERATOR_COMMAND);
        }
        waiting
    }

    /// The events that the SCLP takes from a guest.
    fn receive_mask(&self) -> u64 {
        let ascii = self.ascii.as_ref().map_or(0, |_| mask(kind::ASCII_CONSOLE));
        let lines = self.line_mode.as_ref().map_or(0, |_| mask(kind::MESSAGE) | mask(kind::PRIORITY_MESSAGE));
        ascii | lines
    }

    /// The events that the SCLP sends to a guest.
    fn send_mask(&self) -> u64 {
        let ascii = self.ascii.as_ref().map_or(0, |_| mask(kind::ASCII_CONSOLE));
        let lines = self.line_mode.as_ref().map_or(0, |_| mask(kind::OPERATOR_COMMAND));
        ascii | lines | mask(kind::SIGNAL_QUIESCE)
    }

    /// WRITE EVENT MASK: `u16 reserved, u16 mask length`, then four masks of that length: what the guest
    /// receives and sends (its own words), what the SCLP receives and sends (the answer).
    pub(super) fn write_mask(&mut self, sccb: &mut Sccb) -> Response {
        const MASKS: usize = 12;
        let Some(&[high, low]) = sccb.get(10, 2) else {
            return Response::InsufficientLength;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(1..=MAX_MASK_LENGTH).contains(&length) {
            return Response::InvalidMaskLength;
        }
        if sccb.get(MASKS, 4 * length).is_none() {
            return Response::InsufficientLength;
        }
        self.wanted = sccb.get(MASKS, length).map_or(0, mask_of);
        self.mask_length = length;
        sccb.put(MASKS + 2 * length, &mask_bytes(self.receive_mask(), length));
        sccb.put(MASKS + 3 * length, &mask_bytes(self.send_mask(), length));
        Response::Done
    }

    /// WRITE EVENT DATA: event buffers from the guest. After the first that fails, none is accepted.
    pub(super) fn write_data(&mut self, sccb: &mut Sccb) -> Response {
        if sccb.function_code() != 0 {
            return Response::InvalidFunction;
        }
        if !is_chain(sccb.data_mut()) {
            return Response::EventBufferSyntax;
        }
        let mut response = Response::Done;
        let mut rest = sccb.data_mut();
        while let Some(length) = buffer_length(rest) {
            let (buffer, behind) = rest.split_at_mut(length);
            if response == Response::Done {
                response = self.take(buffer[2], &buffer[HEADER..]);
            }
            if response == Response::Done {
                buffer[3] |= ACCEPTED;
            } else {
                buffer[3] &= !ACCEPTED;
            }
            rest = behind;
        }
        response
    }

    fn take(&mut self, kind: u8, data: &[u8]) -> Response {
        match (kind, &mut self.ascii, &mut self.line_mode) {
            (kind::ASCII_CONSOLE, Some(console), _) => console.write(data),
            (kind::MESSAGE | kind::PRIORITY_MESSAGE, _, Some(console)) => console.write(data),
            _ => Response::InvalidFunction,
        }
    }

    /// READ EVENT DATA: all waiting events that the guest selects and that fit.
    pub(super) fn read_data(&mut self, sccb: &mut Sccb) -> Response {
        if sccb.length() != PAGE {
            return Response::InsufficientLength;
        }
        let selected = match sccb.function_code() {
            0 => self.wanted,
            1 => {
                let selected = sccb.get(Sccb::HEADER, self.mask_length).map_or(0, mask_of);
                if self.wanted == 0 || selected & !self.wanted != 0 {
                    return Response::InvalidSelectionMask;
                }
                selected
            }
            _ => return Response::InvalidFunction,
        };
        let used = self.fill(selected, sccb.data_mut());
        if sccb.has_variable_length() {
            sccb.clear_variable_length();
            sccb.set_length(u16::try_from(Sccb::HEADER + used).unwrap_or(u16::MAX));
        } else {
            // The guest finds the end of the events by a length of 0.
            sccb.put(Sccb::HEADER + used, &[0; 2]);
        }
        if used == 0 { Response::NoEventBuffers } else { Response::Done }
    }

    /// Puts the waiting events of the types `selected` into `data`; says how many bytes they take.
    fn fill(&mut self, selected: u64, data: &mut [u8]) -> usize {
        let mut used = 0;
        for kind in [kind::SIGNAL_QUIESCE, kind::ASCII_CONSOLE, kind::OPERATOR_COMMAND] {
            let free = data.get_mut(used..).unwrap_or_default();
            let Some(room) = free.len().checked_sub(HEADER) else { break };
            if selected & mask(kind) == 0 {
                continue;
            }
            let Some(event) = self.next(kind, room) else { continue };
            let length = HEADER + event.len();
            let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            free[..HEADER].copy_from_slice(&[high, low, kind, ACCEPTED, 0, 0]);
            free[HEADER..length].copy_from_slice(&event);
            used += length;
        }
        used
    }

    /// Takes the next event of type `kind` if its data has at most `room` bytes.
    fn next(&mut self, kind: u8, room: usize) -> Option<Vec<u8>> {
        match kind {
            kind::SIGNAL_QUIESCE if room < QUIESCE_DATA.len() => None,
            kind::SIGNAL_QUIESCE => std::mem::take(&mut self.quiesce).then(|| QUIESCE_DATA.to_vec()),
            kind::ASCII_CONSOLE => self.ascii.as_mut()?.read(room),
            kind::OPERATOR_COMMAND => self.line_mode.as_mut()?.read(room),
            _ => None,
        }
    }
}

/// The length of the event buffer that `data` begins with, if it covers its header and fits.
fn buffer_length(data: &[u8]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes(data.get(..2)?.try_into().ok()?));
    (HEADER..=data.len()).contains(&length).then_some(length)
}

/// Whether `data` is event buffers from end to end.
fn is_chain(mut data: &[u8]) -> bool {
    while !data.is_empty() {
        match buffer_length(data) {
            Some(length) => data = &data[length..],
            None => return false,
        }
    }
    true
}

/// The mask that `bytes` begin; we know no event beyond bit 63.
fn mask_of(bytes: &[u8]) -> u64 {
    let mut mask = [0; 8];
    let length = bytes.len().min(mask.len());
    mask[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(mask)
}

/// `mask`, cut or filled up with zeros to `length` bytes.
fn mask_bytes(mask: u64, length: usize) -> Vec<u8> {
    let mut bytes = mask.to_be_bytes().to_vec();
    bytes.resize(length, 0);
    bytes
}
