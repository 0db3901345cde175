//! Translating and testing bytes and two-byte characters through tables.

use crate::execution::{Done, Execution, SPECIFICATION};
use crate::general::arithmetic::pair;
use crate::general::string::BYTES_AT_ONCE;
use crate::instruction::Code;
use crate::operand::{Address, Bd, Bd32, Number};
use crate::storage::Width;

/// TRANSLATE: each byte is replaced by that of the table it counts into.
pub(crate) fn translate(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    let (operand, table) = (Bd::address(x, code), Bd32::address(x, code));
    x.check_store(operand, length)?;
    for offset in 0..length as u64 {
        let here = operand.wrapping_add(offset);
        let byte = x.byte(here)?;
        let new = x.byte(table.wrapping_add(u64::from(byte)))?;
        x.set_byte(here, new)?;
    }
    Ok(())
}

/// TRANSLATE AND TEST, from left to right or (`REVERSE`) right to left: the first byte whose function byte is not zero
/// goes to GR1 as an address, the function byte to the low byte of GR2.
pub(crate) fn translate_and_test<const REVERSE: bool>(x: &mut Execution<'_>, code: Code) -> Done {
    let length = u64::from(code.b8()) + 1;
    let (operand, table) = (Bd::address(x, code), Bd32::address(x, code));
    for offset in 0..length {
        let here = if REVERSE { operand.wrapping_sub(offset) } else { operand.wrapping_add(offset) };
        let here = here & x.address_mask;
        let byte = x.byte(here)?;
        let function = x.byte(table.wrapping_add(u64::from(byte)))?;
        if function != 0 {
            x.set_found(here);
            function.put(&mut x.state.gprs[2]);
            x.set_cc(if offset + 1 == length { 2 } else { 1 });
            return Ok(());
        }
    }
    x.set_cc(0);
    Ok(())
}

/// TRANSLATE EXTENDED: stops at the test byte in GR0.
pub(crate) fn translate_extended(x: &mut Execution<'_>, code: Code) -> Done {
    let even = pair(code.n24())?;
    let test = x.state.gprs[0] as u8;
    let table = x.pointer(code.n28()) & !7;
    let (mut address, mut left) = (x.pointer(even), x.count(even + 1));
    let mut cc = 0;
    for done in 0.. {
        if left == 0 {
            break;
        }
        if done == BYTES_AT_ONCE {
            cc = 3;
            break;
        }
        let byte = x.byte(address)?;
        if byte == test {
            cc = 1;
            break;
        }
        let new = x.byte(table.wrapping_add(u64::from(byte)))?;
        x.set_byte(address, new)?;
        address = address.wrapping_add(1) & x.address_mask;
        left -= 1;
    }
    x.set_pointer(even, address);
    x.set_count(even + 1, left);
    x.set_cc(cc);
    Ok(())
}

/// TRANSLATE ONE/TWO TO ONE/TWO: from characters of `FROM` bytes to characters of `TO` bytes, through the table that
/// GR1 points to, until one translates to the test character in GR0. Bit 3 of M3 takes the test away
/// (extended-translation facility 2 enhancement).
pub(crate) fn translate_characters<const FROM: u64, const TO: u64>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let even = pair(code.n24())?;
    let test = x.state.gprs[0] & (u64::MAX >> (64 - 8 * TO));
    let no_test = code.n16() & 1 != 0 && x.facility(24);
    // Tables of two-byte arguments were on 4096-byte boundaries; the enhancement made it 8, as TROO and TROT have.
    let boundary = if FROM == 2 && !x.facility(24) { 0xfff } else { 7 };
    let table = x.pointer(1) & !boundary;
    let (mut to, mut left) = (x.pointer(even), x.count(even + 1));
    let mut from = x.pointer(code.n28());
    if left % FROM != 0 {
        return Err(SPECIFICATION);
    }
    let width = |bytes| if bytes == 1 { Width::Byte } else { Width::Half };
    let mut cc = 0;
    for done in 0.. {
        if left == 0 {
            break;
        }
        if done == BYTES_AT_ONCE {
            cc = 3;
            break;
        }
        let character = x.load(from, width(FROM))?;
        let entry = table.wrapping_add(character * TO) & x.address_mask;
        let new = x.load(entry, width(TO))?;
        if !no_test && new == test {
            cc = 1;
            break;
        }
        x.store(to, width(TO), new)?;
        to = to.wrapping_add(TO) & x.address_mask;
        from = from.wrapping_add(FROM) & x.address_mask;
        left -= FROM;
    }
    x.set_pointer(even, to);
    x.set_count(even + 1, left);
    x.set_pointer(code.n28(), from);
    x.set_cc(cc);
    Ok(())
}

/// TRANSLATE AND TEST EXTENDED, and (`REVERSE`) REVERSE EXTENDED. M3: A, two-byte arguments; F, two-byte function
/// codes; L, arguments above 255 have a function code of zero.
pub(crate) fn translate_and_test_extended<const REVERSE: bool>(x: &mut Execution<'_>, code: Code) -> Done {
    let even = pair(code.n24())?;
    let argument = if code.n16() & 8 != 0 { 2 } else { 1 };
    let function = if code.n16() & 4 != 0 { 2 } else { 1 };
    let limited = code.n16() & 2 != 0 && argument == 2;
    let table = x.pointer(1) & !7;
    let (mut address, mut left) = (x.pointer(even), x.count(even + 1));
    if left % argument != 0 {
        return Err(SPECIFICATION);
    }
    let width = |bytes| if bytes == 1 { Width::Byte } else { Width::Half };
    let mut found = 0;
    let mut cc = 0;
    for done in 0.. {
        if left == 0 {
            break;
        }
        if done == BYTES_AT_ONCE {
            cc = 3;
            break;
        }
        let character = x.load(address, width(argument))?;
        found = if limited && character > 255 {
            0
        } else {
            x.load(table.wrapping_add(character * function) & x.address_mask, width(function))?
        };
        if found != 0 {
            cc = 1;
            break;
        }
        let step = if REVERSE { argument.wrapping_neg() } else { argument };
        address = address.wrapping_add(step) & x.address_mask;
        left -= argument;
    }
    if cc != 3 {
        x.set_count(code.n28(), found);
    }
    x.set_pointer(even, address);
    x.set_count(even + 1, left);
    x.set_cc(cc);
    Ok(())
}
