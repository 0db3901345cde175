//! Bits picked, counted and rotated into place.

use crate::execution::{Done, Execution};
use crate::general::logical::Operation;
use crate::instruction::Code;

/// A mask of bits `first` to `last` (0 is leftmost), wrapping around when `first` is beyond `last`.
fn range(first: u32, last: u32) -> u64 {
    let from = u64::MAX >> first;
    let to = u64::MAX << (63 - last);
    if first <= last { from & to } else { from | to }
}

/// I3, I4 and I5 of ROTATE THEN ... SELECTED BITS, and R2 rotated.
fn rotated(x: &Execution<'_>, code: Code) -> (u32, u32, u64) {
    let amount = u32::from(code.b32() & 63);
    (u32::from(code.b16()), u32::from(code.b24()), x.state.gprs[code.n12()].rotate_left(amount))
}

/// ROTATE THEN INSERT SELECTED BITS, with (`CC`) and without condition code.
pub(crate) fn insert<const CC: bool>(x: &mut Execution<'_>, code: Code) -> Done {
    let (first, last, value) = rotated(x, code);
    let mask = range(first & 63, last & 63);
    let gpr = &mut x.state.gprs[code.n8()];
    let kept = if last & 0x80 != 0 { 0 } else { *gpr & !mask };
    *gpr = kept | value & mask;
    if CC {
        let result = *gpr as i64;
        x.set_cc(if result == 0 {
            0
        } else if result < 0 {
            1
        } else {
            2
        });
    }
    Ok(())
}

/// ROTATE THEN INSERT SELECTED BITS HIGH (`SHIFT` 32) and LOW (0): only that half of R1 can change.
pub(crate) fn insert_half<const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let (first, last, value) = rotated(x, code);
    let half = 0xffff_ffff << SHIFT;
    let offset = 32 - SHIFT;
    let mask = range((first & 31) + offset, (last & 31) + offset) & half;
    let gpr = &mut x.state.gprs[code.n8()];
    let zeroed = if last & 0x80 != 0 { half } else { mask };
    *gpr = *gpr & !zeroed | value & mask;
    Ok(())
}

/// ROTATE THEN AND, OR, EXCLUSIVE OR SELECTED BITS; bit 0 of I3 asks for the condition code only.
pub(crate) fn combine<O: Operation>(x: &mut Execution<'_>, code: Code) -> Done {
    let (first, last, value) = rotated(x, code);
    let mask = range(first & 63, last & 63);
    let gpr = &mut x.state.gprs[code.n8()];
    let selected = O::apply(*gpr, value) & mask;
    if first & 0x80 == 0 {
        *gpr = *gpr & !mask | selected;
    }
    x.set_cc(u8::from(selected != 0));
    Ok(())
}

/// FIND LEFTMOST ONE.
pub(crate) fn find_leftmost_one(x: &mut Execution<'_>, code: Code) -> Done {
    let value = x.state.gprs[code.n28()];
    let position = value.leading_zeros();
    let even = crate::general::arithmetic::pair(code.n24())?;
    x.state.gprs[even] = u64::from(position);
    x.state.gprs[even + 1] = if value == 0 { 0 } else { value & !(1 << (63 - position)) };
    x.set_cc(if value == 0 { 0 } else { 2 });
    Ok(())
}

/// POPULATION COUNT: of each byte, or of the whole register when bit 0 of M3 is one and the machine has
/// miscellaneous-instruction extensions 3.
pub(crate) fn population_count(x: &mut Execution<'_>, code: Code) -> Done {
    let value = x.state.gprs[code.n28()];
    let result = if code.n16() & 8 != 0 && x.facility(61) {
        u64::from(value.count_ones())
    } else {
        u64::from_be_bytes(value.to_be_bytes().map(|byte| byte.count_ones() as u8))
    };
    x.state.gprs[code.n24()] = result;
    x.set_cc(u8::from(result != 0));
    Ok(())
}
