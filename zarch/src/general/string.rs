//! Bytes in storage, up to 256 or up to an ending character: MVC and its kind, MVST, CLST, SRST, CUSE, CKSM.

use crate::access::to_boundary;
use crate::execution::{Done, Execution, SPECIFICATION};
use crate::general::arithmetic::{pair, put_word};
use crate::general::compare::order;
use crate::general::logical::feeds_on_itself;
use crate::instruction::Code;
use crate::interruption::ProgramCode;
use crate::operand::{Address, Bd, Bd32};
use crate::storage::Width;

/// How many bytes the instructions without a length handle before they give up with condition code 3: the amount is
/// the CPU's own choice, and lets interruptions in.
pub(crate) const BYTES_AT_ONCE: u64 = 4096;

/// MOVE (MVC): as if byte by byte from left to right.
pub(crate) fn move_bytes(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    let mut bytes = [0; 256];
    if !feeds_on_itself(to, from, length) {
        x.read(from, &mut bytes[..length])?;
        return x.write(to, &bytes[..length]);
    }
    if to.wrapping_sub(from) == 1 {
        let first = x.byte(from)?;
        bytes[..length].fill(first);
        return x.write(to, &bytes[..length]);
    }
    x.check_store(to, length)?;
    for offset in 0..length as u64 {
        let byte = x.byte(from.wrapping_add(offset))?;
        x.set_byte(to.wrapping_add(offset), byte)?;
    }
    Ok(())
}

/// MOVE RIGHT TO LEFT (MVCRL): the length is in GR0.
pub(crate) fn move_right_to_left(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(x.state.gprs[0] as u8) + 1;
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.check_store(to, length)?;
    for offset in (0..length as u64).rev() {
        let byte = x.byte(from.wrapping_add(offset))?;
        x.set_byte(to.wrapping_add(offset), byte)?;
    }
    Ok(())
}

/// MOVE INVERSE: the second operand runs from right to left.
pub(crate) fn move_inverse(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.check_store(to, length)?;
    for offset in 0..length as u64 {
        let byte = x.byte(from.wrapping_sub(offset))?;
        x.set_byte(to.wrapping_add(offset), byte)?;
    }
    Ok(())
}

/// MOVE NUMERICS (`MASK` 0x0f) and MOVE ZONES (0xf0).
pub(crate) fn move_nibbles<const MASK: u8>(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.check_store(to, length)?;
    for offset in 0..length as u64 {
        let new = x.byte(from.wrapping_add(offset))? & MASK;
        let old = x.byte(to.wrapping_add(offset))? & !MASK;
        x.set_byte(to.wrapping_add(offset), old | new)?;
    }
    Ok(())
}

/// The ending character in GR0, whose bits 32-55 have to be zero.
fn ending(x: &Execution<'_>) -> Result<u8, crate::execution::Trap> {
    u8::try_from(x.state.gprs[0] as u32).map_err(|_| SPECIFICATION)
}

/// MOVE STRING.
pub(crate) fn move_string(x: &mut Execution<'_>, code: Code) -> Done {
    let end = ending(x)?;
    let (to, from) = (x.pointer(code.n24()), x.pointer(code.n28()));
    for offset in 0..BYTES_AT_ONCE {
        let byte = x.byte(from.wrapping_add(offset))?;
        x.set_byte(to.wrapping_add(offset), byte)?;
        if byte == end {
            x.set_pointer(code.n24(), to.wrapping_add(offset));
            x.set_cc(1);
            return Ok(());
        }
    }
    x.set_pointer(code.n24(), to.wrapping_add(BYTES_AT_ONCE));
    x.set_pointer(code.n28(), from.wrapping_add(BYTES_AT_ONCE));
    x.set_cc(3);
    Ok(())
}

/// COMPARE LOGICAL STRING: the shorter of two equal beginnings is low.
pub(crate) fn compare_string(x: &mut Execution<'_>, code: Code) -> Done {
    let end = ending(x)?;
    let (first, second) = (x.pointer(code.n24()), x.pointer(code.n28()));
    for offset in 0..BYTES_AT_ONCE {
        let a = x.byte(first.wrapping_add(offset))?;
        let b = x.byte(second.wrapping_add(offset))?;
        if a == b && a != end {
            continue;
        }
        if a == b {
            x.set_cc(0);
            return Ok(());
        }
        x.set_pointer(code.n24(), first.wrapping_add(offset));
        x.set_pointer(code.n28(), second.wrapping_add(offset));
        let low = a == end || (b != end && a < b);
        x.set_cc(if low { 1 } else { 2 });
        return Ok(());
    }
    x.set_pointer(code.n24(), first.wrapping_add(BYTES_AT_ONCE));
    x.set_pointer(code.n28(), second.wrapping_add(BYTES_AT_ONCE));
    x.set_cc(3);
    Ok(())
}

/// SEARCH STRING: R2 points to the bytes, R1 behind them.
pub(crate) fn search_string(x: &mut Execution<'_>, code: Code) -> Done {
    let wanted = ending(x)?;
    let (end, start) = (x.pointer(code.n24()), x.pointer(code.n28()));
    for offset in 0..BYTES_AT_ONCE {
        let here = start.wrapping_add(offset) & x.address_mask;
        if here == end {
            x.set_cc(2);
            return Ok(());
        }
        if x.byte(here)? == wanted {
            x.set_pointer(code.n24(), here);
            x.set_cc(1);
            return Ok(());
        }
    }
    x.set_pointer(code.n28(), start.wrapping_add(BYTES_AT_ONCE));
    x.set_cc(3);
    Ok(())
}

/// SEARCH STRING UNICODE: two-byte characters.
pub(crate) fn search_string_unicode(x: &mut Execution<'_>, code: Code) -> Done {
    let wanted = u16::try_from(x.state.gprs[0] as u32).map_err(|_| SPECIFICATION)?;
    let (end, start) = (x.pointer(code.n24()), x.pointer(code.n28()));
    // Operands that differ by an odd number never meet: the last odd byte does not count.
    for offset in (0..BYTES_AT_ONCE).step_by(2) {
        let here = start.wrapping_add(offset) & x.address_mask;
        if here == end || here.wrapping_add(1) & x.address_mask == end {
            x.set_cc(2);
            return Ok(());
        }
        if x.load(here, Width::Half)? == u64::from(wanted) {
            x.set_pointer(code.n24(), here);
            x.set_cc(1);
            return Ok(());
        }
    }
    x.set_pointer(code.n28(), start.wrapping_add(BYTES_AT_ONCE));
    x.set_cc(3);
    Ok(())
}

/// MOVE PAGE, without the key functions' privileged half: GR0 bits 48-51 have to be zero.
pub(crate) fn move_page(x: &mut Execution<'_>, code: Code) -> Done {
    let control = x.state.gprs[0];
    if control & 0xf000 != 0 || control & 0xc00 == 0xc00 {
        return Err(SPECIFICATION);
    }
    // Bits 52 and 53: the key in bits 56-59 is for the destination or the source.
    let key = (control >> 4 & 0xf) as u8;
    if control & 0xc00 != 0 && !x.may_use_key(key) {
        return Err(ProgramCode::PrivilegedOperation.into());
    }
    let (to, from) = (x.pointer(code.n24()) & !0xfff, x.pointer(code.n28()) & !0xfff);
    let own = x.state.psw.key();
    let (to_key, from_key) =
        (if control & 0x800 != 0 { key } else { own }, if control & 0x400 != 0 { key } else { own });
    let from = x.prefixed(from);
    x.check_low_address(to)?;
    let to = x.prefixed(to);
    x.check_key(from, crate::access::Access::Fetch, from_key)?;
    x.check_key(to, crate::access::Access::Store, to_key)?;
    let mut page = [0; 4096];
    x.storage.read(from, &mut page)?;
    x.storage.write(to, &page)?;
    x.set_cc(0);
    Ok(())
}

/// COMPARE UNTIL SUBSTRING EQUAL: GR0's low byte is the length of the substring, GR1's the padding byte.
pub(crate) fn compare_until_substring(x: &mut Execution<'_>, code: Code) -> Done {
    let (one, two) = (pair(code.n24())?, pair(code.n28())?);
    let wanted = u64::from(x.state.gprs[0] as u8);
    let pad = x.state.gprs[1] as u8;
    let (mut first, mut first_left) = (x.pointer(one), count_signed(x, one + 1));
    let (mut second, mut second_left) = (x.pointer(two), count_signed(x, two + 1));
    let mut run = 0;
    let mut start = (first, first_left, second, second_left);
    let mut last_equal = true;
    let mut done = 0;
    let cc = loop {
        if run == wanted {
            break 0;
        }
        if first_left == 0 && second_left == 0 {
            break if last_equal { 1 } else { 2 };
        }
        if done >= BYTES_AT_ONCE && run == 0 {
            break 3;
        }
        let a = if first_left > 0 { x.byte(first)? } else { pad };
        let b = if second_left > 0 { x.byte(second)? } else { pad };
        if run == 0 {
            start = (first, first_left, second, second_left);
        }
        last_equal = a == b;
        if first_left > 0 {
            (first, first_left) = (first.wrapping_add(1), first_left - 1);
        }
        if second_left > 0 {
            (second, second_left) = (second.wrapping_add(1), second_left - 1);
        }
        run = if last_equal { run + 1 } else { 0 };
        done += 1;
    };
    // Equal bytes at the end, or a whole substring: the registers point to the first of them.
    let ends = if cc < 2 && run > 0 { start } else { (first, first_left, second, second_left) };
    x.set_pointer(one, ends.0);
    x.set_count(one + 1, ends.1);
    x.set_pointer(two, ends.2);
    x.set_count(two + 1, ends.3);
    x.set_cc(cc);
    Ok(())
}

fn count_signed(x: &Execution<'_>, register: usize) -> u64 {
    x.count(register)
}

/// CHECKSUM: words added with end-around carry.
pub(crate) fn checksum(x: &mut Execution<'_>, code: Code) -> Done {
    let even = pair(code.n28())?;
    let (mut address, mut left) = (x.pointer(even), x.count(even + 1));
    let mut sum = u64::from(x.state.gprs[code.n24()] as u32);
    let mut done = 0;
    while left > 0 && done < BYTES_AT_ONCE {
        let now = left.min(4);
        let mut bytes = [0; 4];
        x.read(address, &mut bytes[..now as usize])?;
        sum += u64::from(u32::from_be_bytes(bytes));
        address = address.wrapping_add(now);
        left -= now;
        done += now;
    }
    while sum >> 32 != 0 {
        sum = (sum & 0xffff_ffff) + (sum >> 32);
    }
    put_word(x, code.n24(), sum as u32);
    x.set_pointer(even, address);
    x.set_count(even + 1, left);
    x.set_cc(if left == 0 { 0 } else { 3 });
    Ok(())
}

/// Compares up to a boundary of both operands; used by the long compares. Returns the number of equal bytes and,
/// where they end early, the order.
pub(crate) fn compare_run(
    x: &mut Execution<'_>,
    first: u64,
    second: u64,
    length: u64,
) -> Result<(u64, u8), crate::execution::Trap> {
    let length = (length as usize).min(to_boundary(first)).min(to_boundary(second)).min(256);
    let (mut a, mut b) = ([0; 256], [0; 256]);
    x.read(first, &mut a[..length])?;
    x.read(second, &mut b[..length])?;
    let equal = a[..length].iter().zip(&b[..length]).take_while(|(a, b)| a == b).count();
    let cc = if equal == length { 0 } else { order(&a[equal], &b[equal]) };
    Ok((equal as u64, cc))
}
