//! Operands whose lengths are in registers: MVCL, CLCL and the extended and Unicode forms.

use crate::access::to_boundary;
use crate::execution::{Done, Execution, Trap};
use crate::general::arithmetic::pair;
use crate::general::compare::order;
use crate::general::string::{BYTES_AT_ONCE, compare_run};
use crate::instruction::Code;

/// An operand whose address is in an even register and whose length is in the odd one after it.
#[derive(Clone, Copy)]
struct Operand {
    register: usize,
    address: u64,
    left: u64,
}

impl Operand {
    fn advance(&mut self, x: &Execution<'_>, bytes: u64) {
        self.address = self.address.wrapping_add(bytes) & x.address_mask;
        self.left -= bytes;
    }
}

/// MVCL and CLCL have 24-bit lengths beside other bits of the odd register.
fn short_operand(x: &Execution<'_>, register: usize) -> Result<Operand, Trap> {
    let register = pair(register)?;
    Ok(Operand { register, address: x.pointer(register), left: x.state.gprs[register + 1] & 0xff_ffff })
}

fn put_short(x: &mut Execution<'_>, operand: Operand) {
    x.set_pointer(operand.register, operand.address);
    let gpr = &mut x.state.gprs[operand.register + 1];
    *gpr = *gpr & !0xff_ffff | operand.left;
}

fn long_operand(x: &Execution<'_>, register: usize) -> Result<Operand, Trap> {
    let register = pair(register)?;
    Ok(Operand { register, address: x.pointer(register), left: x.count(register + 1) })
}

fn put_long(x: &mut Execution<'_>, operand: Operand) {
    x.set_pointer(operand.register, operand.address);
    x.set_count(operand.register + 1, operand.left);
}

/// Moves and pads a piece of the first operand; stops at 4096-byte boundaries.
fn move_piece(x: &mut Execution<'_>, to: &mut Operand, from: &mut Operand, pad: &[u8]) -> Done {
    let mut bytes = [0; 256];
    let mut length = to.left.min(256).min(to_boundary(to.address) as u64);
    if from.left > 0 {
        length = length.min(from.left).min(to_boundary(from.address) as u64);
        x.read(from.address, &mut bytes[..length as usize])?;
    } else {
        // Pieces of padding begin with its first byte: boundaries are even, and so are odd-length operands' pieces.
        let phase = if pad.len() == 2 { (to.left & 1) as usize } else { 0 };
        for (index, byte) in bytes[..length as usize].iter_mut().enumerate() {
            *byte = pad[(index + phase) % pad.len()];
        }
    }
    x.write(to.address, &bytes[..length as usize])?;
    to.advance(x, length);
    if from.left > 0 {
        from.advance(x, length);
    }
    Ok(())
}

/// MOVE LONG. Interruptible in the architecture; here it is done in one go, unless an exception ends it.
pub(crate) fn move_long(x: &mut Execution<'_>, code: Code) -> Done {
    let (mut to, mut from) = (short_operand(x, code.n8())?, short_operand(x, code.n12())?);
    let pad = [(x.state.gprs[from.register + 1] >> 24) as u8];
    let cc = order(&to.left, &from.left);
    if overlaps_destructively(x, &to, &from) {
        put_short(x, to);
        put_short(x, from);
        x.set_cc(3);
        return Ok(());
    }
    let mut result = Ok(());
    while to.left > 0 && result.is_ok() {
        result = move_piece(x, &mut to, &mut from, &pad);
    }
    put_short(x, to);
    put_short(x, from);
    result?;
    x.set_cc(cc);
    Ok(())
}

/// Whether some byte of the first operand would be fetched after it was stored into: nothing is moved then.
fn overlaps_destructively(x: &Execution<'_>, to: &Operand, from: &Operand) -> bool {
    let moved = to.left.min(from.left);
    let distance = to.address.wrapping_sub(from.address) & x.address_mask;
    moved > 1 && distance > 0 && distance < moved
}

/// MOVE LONG EXTENDED: part of the work for each time it is executed.
pub(crate) fn move_long_extended(x: &mut Execution<'_>, code: Code) -> Done {
    let pad = [x.base(code.n16(), code.d20()) as u8];
    move_extended(x, code, &pad)
}

/// MOVE LONG UNICODE: two-byte characters and padding.
pub(crate) fn move_long_unicode(x: &mut Execution<'_>, code: Code) -> Done {
    let pad = (x.base(code.n16(), code.long_displacement()) as u16).to_be_bytes();
    let (to, from) = (long_operand(x, code.n8())?, long_operand(x, code.n12())?);
    if (to.left | from.left) & 1 != 0 {
        return Err(crate::execution::SPECIFICATION);
    }
    move_extended(x, code, &pad)
}

fn move_extended(x: &mut Execution<'_>, code: Code, pad: &[u8]) -> Done {
    let (mut to, mut from) = (long_operand(x, code.n8())?, long_operand(x, code.n12())?);
    let cc = order(&to.left, &from.left);
    let stop_at = to.left.saturating_sub(BYTES_AT_ONCE);
    let mut result = Ok(());
    while to.left > stop_at && result.is_ok() {
        result = move_piece(x, &mut to, &mut from, pad);
    }
    put_long(x, to);
    put_long(x, from);
    result?;
    x.set_cc(if to.left > 0 { 3 } else { cc });
    Ok(())
}

/// COMPARE LOGICAL LONG.
pub(crate) fn compare_long(x: &mut Execution<'_>, code: Code) -> Done {
    let (mut first, mut second) = (short_operand(x, code.n8())?, short_operand(x, code.n12())?);
    let pad = [(x.state.gprs[second.register + 1] >> 24) as u8];
    let result = compare(x, &mut first, &mut second, &pad, u64::MAX);
    put_short(x, first);
    put_short(x, second);
    x.set_cc(result?);
    Ok(())
}

/// COMPARE LOGICAL LONG EXTENDED.
pub(crate) fn compare_long_extended(x: &mut Execution<'_>, code: Code) -> Done {
    let pad = [x.base(code.n16(), code.d20()) as u8];
    compare_extended(x, code, &pad)
}

/// COMPARE LOGICAL LONG UNICODE.
pub(crate) fn compare_long_unicode(x: &mut Execution<'_>, code: Code) -> Done {
    let pad = (x.base(code.n16(), code.long_displacement()) as u16).to_be_bytes();
    let (first, second) = (long_operand(x, code.n8())?, long_operand(x, code.n12())?);
    if (first.left | second.left) & 1 != 0 {
        return Err(crate::execution::SPECIFICATION);
    }
    compare_extended(x, code, &pad)
}

fn compare_extended(x: &mut Execution<'_>, code: Code, pad: &[u8]) -> Done {
    let (mut first, mut second) = (long_operand(x, code.n8())?, long_operand(x, code.n12())?);
    let result = compare(x, &mut first, &mut second, pad, BYTES_AT_ONCE);
    put_long(x, first);
    put_long(x, second);
    x.set_cc(result?);
    Ok(())
}

/// Compares until the operands differ or end, or `most` bytes are done (condition code 3). Characters are as long as
/// the padding.
fn compare(
    x: &mut Execution<'_>,
    first: &mut Operand,
    second: &mut Operand,
    pad: &[u8],
    most: u64,
) -> Result<u8, Trap> {
    let mut done = 0;
    let size = pad.len() as u64;
    while first.left > 0 || second.left > 0 {
        if done >= most {
            return Ok(3);
        }
        let both = first.left.min(second.left);
        let (equal, cc) = if both > 0 {
            compare_run(x, first.address, second.address, both)?
        } else {
            compare_padding(x, first, second, pad)?
        };
        // A character that differs in its last byte is not passed.
        let equal = equal / size * size;
        done += equal;
        if first.left > 0 {
            first.advance(x, equal.min(first.left));
        }
        if second.left > 0 {
            second.advance(x, equal.min(second.left));
        }
        if cc != 0 {
            return Ok(cc);
        }
        if equal == 0 {
            // A character across a boundary: one by one.
            let cc = compare_character(x, first, second, size)?;
            if cc != 0 {
                return Ok(cc);
            }
            first.advance(x, size.min(first.left));
            second.advance(x, size.min(second.left));
            done += size;
        }
    }
    Ok(0)
}

fn compare_character(
    x: &mut Execution<'_>,
    first: &Operand,
    second: &Operand,
    size: u64,
) -> Result<u8, Trap> {
    let (mut a, mut b) = ([0; 2], [0; 2]);
    x.read(first.address, &mut a[..size as usize])?;
    x.read(second.address, &mut b[..size as usize])?;
    Ok(order(&a, &b))
}

fn compare_padding(
    x: &mut Execution<'_>,
    first: &Operand,
    second: &Operand,
    pad: &[u8],
) -> Result<(u64, u8), Trap> {
    let longer = if first.left > 0 { first } else { second };
    let length = longer.left.min(256) as usize;
    let mut bytes = [0; 256];
    x.read(longer.address, &mut bytes[..length])?;
    let padding = || pad.iter().cycle();
    let equal = bytes[..length].iter().zip(padding()).take_while(|(byte, pad)| byte == pad).count();
    let cc = if equal == length { 0 } else { order(&bytes[equal], &pad[equal % pad.len()]) };
    let swapped = [0, 2, 1];
    Ok((equal as u64, if first.left > 0 { cc } else { swapped[usize::from(cc)] }))
}
