//! Conversion between UTF-8, UTF-16 and UTF-32: CU12, CU14, CU21, CU24, CU41, CU42.

use crate::execution::{Done, Execution, Trap};
use crate::general::arithmetic::pair;
use crate::general::string::BYTES_AT_ONCE;
use crate::instruction::Code;

/// How reading one character can fail.
pub(crate) enum Failure {
    /// The second operand ends before the character does.
    SourceEnds,
    /// No character: condition code 2.
    Invalid,
    /// The source cannot be fetched.
    Trap(Trap),
}

impl From<Trap> for Failure {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

/// An encoding, by the bytes of its smallest character.
pub(crate) trait Encoding {
    /// Reads one character: its value and its length. `checked` is the well-formedness check of M3.
    fn read(x: &mut Execution<'_>, address: u64, left: u64, checked: bool) -> Result<(u32, u64), Failure>;
    /// Writes one into `bytes`; its length.
    fn encode(character: u32, bytes: &mut [u8; 4]) -> usize;
}

/// UTF-8.
pub(crate) struct Utf8;
/// UTF-16, big-endian.
pub(crate) struct Utf16;
/// UTF-32, big-endian.
pub(crate) struct Utf32;

impl Encoding for Utf8 {
    fn read(x: &mut Execution<'_>, address: u64, left: u64, checked: bool) -> Result<(u32, u64), Failure> {
        if left < 1 {
            return Err(Failure::SourceEnds);
        }
        let first = x.byte(address)?;
        let (length, bits) = match first {
            0x00..=0x7f => return Ok((u32::from(first), 1)),
            0x80..=0xbf => return Err(Failure::Invalid),
            0xc0 | 0xc1 if checked => return Err(Failure::Invalid),
            0xc0..=0xdf => (2, first & 0x1f),
            0xe0..=0xef => (3, first & 0x0f),
            0xf5..=0xf7 if checked => return Err(Failure::Invalid),
            0xf0..=0xf7 => (4, first & 0x07),
            _ => return Err(Failure::Invalid),
        };
        if left < length {
            return Err(Failure::SourceEnds);
        }
        let mut character = u32::from(bits);
        for offset in 1..length {
            let byte = x.byte(address.wrapping_add(offset))?;
            if checked && byte & 0xc0 != 0x80 {
                return Err(Failure::Invalid);
            }
            character = character << 6 | u32::from(byte & 0x3f);
        }
        let malformed = match length {
            3 => character < 0x800 || (0xd800..0xe000).contains(&character),
            4 => !(0x1_0000..0x11_0000).contains(&character),
            _ => false,
        };
        if checked && malformed {
            return Err(Failure::Invalid);
        }
        Ok((character, length))
    }

    fn encode(character: u32, bytes: &mut [u8; 4]) -> usize {
        let tail = |shift: u32| 0x80 | (character >> shift & 0x3f) as u8;
        match character {
            0..0x80 => {
                bytes[0] = character as u8;
                1
            }
            0x80..0x800 => {
                bytes[..2].copy_from_slice(&[0xc0 | (character >> 6) as u8, tail(0)]);
                2
            }
            0x800..0x1_0000 => {
                bytes[..3].copy_from_slice(&[0xe0 | (character >> 12) as u8, tail(6), tail(0)]);
                3
            }
            _ => {
                *bytes = [0xf0 | (character >> 18 & 7) as u8, tail(12), tail(6), tail(0)];
                4
            }
        }
    }
}

impl Encoding for Utf16 {
    fn read(x: &mut Execution<'_>, address: u64, left: u64, checked: bool) -> Result<(u32, u64), Failure> {
        if left < 2 {
            return Err(Failure::SourceEnds);
        }
        let first = half(x, address)?;
        if checked && first & 0xfc00 == 0xdc00 {
            return Err(Failure::Invalid);
        }
        if first & 0xfc00 != 0xd800 {
            return Ok((first, 2));
        }
        if left < 4 {
            return Err(Failure::SourceEnds);
        }
        let second = half(x, address.wrapping_add(2))?;
        if checked && second & 0xfc00 != 0xdc00 {
            return Err(Failure::Invalid);
        }
        Ok((0x1_0000 + ((first & 0x3ff) << 10 | second & 0x3ff), 4))
    }

    fn encode(character: u32, bytes: &mut [u8; 4]) -> usize {
        if character < 0x1_0000 {
            bytes[..2].copy_from_slice(&(character as u16).to_be_bytes());
            return 2;
        }
        let offset = character - 0x1_0000;
        let pair = (0xd800 | offset >> 10 & 0x3ff) << 16 | 0xdc00 | offset & 0x3ff;
        *bytes = pair.to_be_bytes();
        4
    }
}

fn half(x: &mut Execution<'_>, address: u64) -> Result<u32, Trap> {
    let mut bytes = [0; 2];
    x.read(address, &mut bytes)?;
    Ok(u32::from(u16::from_be_bytes(bytes)))
}

impl Encoding for Utf32 {
    fn read(x: &mut Execution<'_>, address: u64, left: u64, _: bool) -> Result<(u32, u64), Failure> {
        if left < 4 {
            return Err(Failure::SourceEnds);
        }
        let mut bytes = [0; 4];
        x.read(address, &mut bytes)?;
        let character = u32::from_be_bytes(bytes);
        if character > 0x10_ffff || (0xd800..0xdc00).contains(&character) {
            return Err(Failure::Invalid);
        }
        Ok((character, 4))
    }

    fn encode(character: u32, bytes: &mut [u8; 4]) -> usize {
        *bytes = character.to_be_bytes();
        4
    }
}

/// CONVERT from one encoding into another: condition code 0 source used up, 1 no room, 2 no character, 3 more to do.
pub(crate) fn convert<S: Encoding, T: Encoding>(x: &mut Execution<'_>, code: Code) -> Done {
    let (to, from) = (pair(code.n24())?, pair(code.n28())?);
    let checked = code.n16() & 1 != 0 && x.facility(30);
    let (mut target, mut room) = (x.pointer(to), x.count(to + 1));
    let (mut source, mut left) = (x.pointer(from), x.count(from + 1));
    let mut done = 0;
    let result = loop {
        if done >= BYTES_AT_ONCE {
            break Ok(3);
        }
        let (character, length) = match S::read(x, source, left, checked) {
            Ok(read) => read,
            Err(Failure::SourceEnds) => break Ok(0),
            Err(Failure::Invalid) => break Ok(2),
            Err(Failure::Trap(trap)) => break Err(trap),
        };
        let mut bytes = [0; 4];
        let size = T::encode(character, &mut bytes);
        if room < size as u64 {
            break Ok(1);
        }
        if let Err(trap) = x.write(target, &bytes[..size]) {
            break Err(trap);
        }
        target = target.wrapping_add(size as u64) & x.address_mask;
        room -= size as u64;
        source = source.wrapping_add(length) & x.address_mask;
        left -= length;
        done += length;
    };
    x.set_pointer(to, target);
    x.set_count(to + 1, room);
    x.set_pointer(from, source);
    x.set_count(from + 1, left);
    x.set_cc(result?);
    Ok(())
}
