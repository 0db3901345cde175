//! Shifting and rotating.

use crate::execution::{Done, Execution};
use crate::general::arithmetic::{Integer, pair, put_word, signed_result};
use crate::instruction::Code;
use crate::operand::{Address, Number};

/// Which registers a shift of one register uses.
pub(crate) trait Registers {
    /// The register that is shifted.
    fn source(code: Code) -> usize;
}

/// RS: R1 is shifted in place.
pub(crate) struct InPlace;
/// RSY: R1 gets R3 shifted.
pub(crate) struct Distinct;

impl Registers for InPlace {
    fn source(code: Code) -> usize {
        code.n8()
    }
}
impl Registers for Distinct {
    fn source(code: Code) -> usize {
        code.n12()
    }
}

/// The low six bits of the second-operand address.
#[inline(always)]
fn amount<A: Address>(x: &Execution<'_>, code: Code) -> u32 {
    (A::address(x, code) & 63) as u32
}

/// SHIFT LEFT SINGLE LOGICAL.
pub(crate) fn left_logical<T: Number, R: Registers, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = T::from_bits(x.state.gprs[R::source(code)]).into_bits() << amount::<A>(x, code);
    T::from_bits(value).put(&mut x.state.gprs[code.n8()]);
    Ok(())
}

/// SHIFT RIGHT SINGLE LOGICAL; `T` is unsigned.
pub(crate) fn right_logical<T: Number, R: Registers, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = T::from_bits(x.state.gprs[R::source(code)]).into_bits() >> amount::<A>(x, code);
    T::from_bits(value).put(&mut x.state.gprs[code.n8()]);
    Ok(())
}

/// SHIFT RIGHT SINGLE; `T` is signed.
pub(crate) fn right<T: Integer, R: Registers, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = T::from_bits(x.state.gprs[R::source(code)]).into_bits() as i64 >> amount::<A>(x, code);
    signed_result(x, code.n8(), (T::from_bits(value as u64), false))
}

/// SHIFT LEFT SINGLE of `BITS` bits: the sign stays, and a bit unlike it that is shifted out is an overflow.
pub(crate) fn left<T: Integer, R: Registers, A: Address, const BITS: u32>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let value = T::from_bits(x.state.gprs[R::source(code)]).into_bits();
    let (shifted, overflow) = shift_left_signed(u128::from(value), amount::<A>(x, code), BITS);
    signed_result(x, code.n8(), (T::from_bits(shifted as u64), overflow))
}

/// A signed number of `bits` bits (what is above them is ignored) shifted left under its sign.
fn shift_left_signed(value: u128, amount: u32, bits: u32) -> (u128, bool) {
    let sign = value >> (bits - 1) & 1;
    let magnitude_mask = (1 << (bits - 1)) - 1;
    let magnitude = value & magnitude_mask;
    let shifted = if amount >= bits { 0 } else { magnitude << amount };
    // The bits that leave, together with the sign, have to be all alike.
    let out = amount.min(bits - 1);
    let leaving = magnitude >> (bits - 1 - out);
    let alike = if sign == 0 { 0 } else { (1 << out) - 1 };
    // Zeros follow them when the amount exceeds the bits there are.
    let zeros_leave = amount > out && sign == 1;
    (sign << (bits - 1) | shifted & magnitude_mask, leaving != alike || zeros_leave)
}

/// ROTATE LEFT SINGLE LOGICAL of 32 bits.
pub(crate) fn rotate(x: &mut Execution<'_>, code: Code) -> Done {
    let amount = x.base(code.n16(), code.long_displacement()) & 31;
    let value = (x.state.gprs[code.n12()] as u32).rotate_left(amount as u32);
    put_word(x, code.n8(), value);
    Ok(())
}

/// ROTATE LEFT SINGLE LOGICAL of 64 bits.
pub(crate) fn rotate_64(x: &mut Execution<'_>, code: Code) -> Done {
    let amount = x.base(code.n16(), code.long_displacement()) & 63;
    x.state.gprs[code.n8()] = x.state.gprs[code.n12()].rotate_left(amount as u32);
    Ok(())
}

macro_rules! doubles {
    ($( $(#[$doc:meta])* $name:ident($x:ident, $even:ident, $value:ident, $amount:ident) $body:block )*) => { $(
        $(#[$doc])*
        pub(crate) fn $name($x: &mut Execution<'_>, code: Code) -> Done {
            let $even = pair(code.n8())?;
            let $amount = ($x.base(code.n16(), code.d20()) & 63) as u32;
            let $value = $x.state.gprs[$even] << 32 | $x.state.gprs[$even + 1] & 0xffff_ffff;
            $body
        }
    )* };
}

fn put_double(x: &mut Execution<'_>, even: usize, value: u64) {
    put_word(x, even, (value >> 32) as u32);
    put_word(x, even + 1, value as u32);
}

doubles! {
    /// SHIFT LEFT DOUBLE LOGICAL.
    left_double_logical(x, even, value, amount) {
        put_double(x, even, value << amount);
        Ok(())
    }
    /// SHIFT RIGHT DOUBLE LOGICAL.
    right_double_logical(x, even, value, amount) {
        put_double(x, even, value >> amount);
        Ok(())
    }
    /// SHIFT RIGHT DOUBLE.
    right_double(x, even, value, amount) {
        let shifted = value as i64 >> amount;
        put_double(x, even, shifted as u64);
        x.set_cc(if shifted == 0 { 0 } else if shifted < 0 { 1 } else { 2 });
        Ok(())
    }
    /// SHIFT LEFT DOUBLE.
    left_double(x, even, value, amount) {
        let (shifted, overflow) = shift_left_signed(u128::from(value), amount, 64);
        let shifted = shifted as i64;
        put_double(x, even, shifted as u64);
        if overflow {
            return x.fixed_point_overflow();
        }
        x.set_cc(if shifted == 0 { 0 } else if shifted < 0 { 1 } else { 2 });
        Ok(())
    }
}
