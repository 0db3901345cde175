//! Packed and zoned decimal numbers: arithmetic, packing, conversion from and to binary.

use crate::execution::{Done, Execution, SPECIFICATION, Trap};
use crate::general::compare::order;
use crate::instruction::Code;
use crate::interruption::ProgramCode;
use crate::operand::{Address, Bd, Bd32, Bxdl, Number};
use crate::psw;
use crate::storage::Width;

/// A packed number of up to 31 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    negative: bool,
    magnitude: u128,
}

const PLUS: u8 = 0xc;
const MINUS: u8 = 0xd;

/// Whether a sign code means minus.
pub(crate) fn is_minus(sign: u8) -> bool {
    matches!(sign, 0xb | 0xd)
}

impl Packed {
    /// Out of bytes; a bad digit or sign is a data exception.
    fn from_bytes(x: &mut Execution<'_>, bytes: &[u8]) -> Result<Self, Trap> {
        let mut magnitude = 0;
        let last = bytes.len() - 1;
        for (index, byte) in bytes.iter().enumerate() {
            let (high, low) = (byte >> 4, byte & 0xf);
            if high > 9 || (index == last) == (low < 10) {
                return Err(x.data_exception(0));
            }
            magnitude = magnitude * 10 + u128::from(high);
            if index < last {
                magnitude = magnitude * 10 + u128::from(low);
            }
        }
        Ok(Self { negative: is_minus(bytes[last] & 0xf), magnitude })
    }

    /// Into bytes; whether digits were lost on the left.
    fn put(self, bytes: &mut [u8]) -> bool {
        let mut rest = self.magnitude;
        let mut digit = || {
            let digit = (rest % 10) as u8;
            rest /= 10;
            digit
        };
        for (index, byte) in bytes.iter_mut().rev().enumerate() {
            let low = if index > 0 {
                digit()
            } else if self.negative {
                MINUS
            } else {
                PLUS
            };
            *byte = digit() << 4 | low;
        }
        rest != 0
    }

    fn value(self) -> i128 {
        let magnitude = self.magnitude.cast_signed();
        if self.negative { -magnitude } else { magnitude }
    }

    fn from_value(value: i128) -> Self {
        Self { negative: value < 0, magnitude: value.unsigned_abs() }
    }
}

/// The largest magnitude that fits into this many bytes, plus one.
fn limit(bytes: usize) -> u128 {
    10u128.pow(u32::try_from(2 * bytes - 1).unwrap_or(31))
}

/// L1 and L2 of SS-b: lengths in bytes.
fn lengths(code: Code) -> (usize, usize) {
    (code.n8() + 1, code.n12() + 1)
}

fn read_packed(x: &mut Execution<'_>, address: u64, length: usize) -> Result<Packed, Trap> {
    let mut bytes = [0; 16];
    x.read(address, &mut bytes[..length])?;
    Packed::from_bytes(x, &bytes[..length])
}

/// Stores a sum or shifted number, sets the condition code and, when digits were lost, the overflow.
fn finish(x: &mut Execution<'_>, address: u64, length: usize, result: Packed, lost: bool) -> Done {
    let overflow = lost || result.magnitude >= limit(length);
    let magnitude = result.magnitude % limit(length);
    // Zero is positive, unless digits were lost: then the sign stays.
    let negative = result.negative && (magnitude != 0 || overflow);
    let mut bytes = [0; 16];
    Packed { negative, magnitude }.put(&mut bytes[..length]);
    x.write(address, &bytes[..length])?;
    if overflow {
        x.set_cc(3);
        if x.state.psw.mask & psw::DECIMAL_OVERFLOW != 0 {
            return Err(ProgramCode::DecimalOverflow.into());
        }
        return Ok(());
    }
    x.set_cc(match (magnitude, negative) {
        (0, _) => 0,
        (_, true) => 1,
        _ => 2,
    });
    Ok(())
}

/// ADD DECIMAL (`SIGN` 1) and SUBTRACT DECIMAL (-1).
pub(crate) fn add<const SIGN: i128>(x: &mut Execution<'_>, code: Code) -> Done {
    let (first_length, second_length) = lengths(code);
    let first = Bd::address(x, code);
    x.check_store(first, first_length)?;
    let a = read_packed(x, first, first_length)?;
    let b = read_packed(x, Bd32::address(x, code), second_length)?;
    let sum = Packed::from_value(a.value() + SIGN * b.value());
    finish(x, first, first_length, sum, false)
}

/// ZERO AND ADD.
pub(crate) fn zero_and_add(x: &mut Execution<'_>, code: Code) -> Done {
    let (first_length, second_length) = lengths(code);
    let first = Bd::address(x, code);
    let b = read_packed(x, Bd32::address(x, code), second_length)?;
    finish(x, first, first_length, b, false)
}

/// COMPARE DECIMAL.
pub(crate) fn compare(x: &mut Execution<'_>, code: Code) -> Done {
    let (first_length, second_length) = lengths(code);
    let a = read_packed(x, Bd::address(x, code), first_length)?;
    let b = read_packed(x, Bd32::address(x, code), second_length)?;
    x.set_cc(order(&a.value(), &b.value()));
    Ok(())
}

/// MULTIPLY DECIMAL: the multiplicand has at least as many zero bytes on the left as the multiplier has bytes.
pub(crate) fn multiply(x: &mut Execution<'_>, code: Code) -> Done {
    let (first_length, second_length) = lengths(code);
    if second_length > 8 || second_length >= first_length {
        return Err(SPECIFICATION);
    }
    let first = Bd::address(x, code);
    let a = read_packed(x, first, first_length)?;
    let b = read_packed(x, Bd32::address(x, code), second_length)?;
    if a.magnitude >= limit(first_length - second_length) {
        return Err(x.data_exception(0));
    }
    // The sign follows the rules of algebra even for zero.
    let product = Packed { negative: a.negative != b.negative, magnitude: a.magnitude * b.magnitude };
    let mut bytes = [0; 16];
    product.put(&mut bytes[..first_length]);
    x.write(first, &bytes[..first_length])
}

/// DIVIDE DECIMAL: quotient left, remainder, as long as the divisor, right.
pub(crate) fn divide(x: &mut Execution<'_>, code: Code) -> Done {
    let (first_length, second_length) = lengths(code);
    if second_length > 8 || second_length >= first_length {
        return Err(SPECIFICATION);
    }
    let first = Bd::address(x, code);
    x.check_store(first, first_length)?;
    let a = read_packed(x, first, first_length)?;
    let b = read_packed(x, Bd32::address(x, code), second_length)?;
    let quotient_length = first_length - second_length;
    let quotient = a.magnitude.checked_div(b.magnitude).filter(|&quotient| quotient < limit(quotient_length));
    let Some(quotient) = quotient else {
        return Err(ProgramCode::DecimalDivide.into());
    };
    let mut bytes = [0; 16];
    let (left, right) = bytes[..first_length].split_at_mut(quotient_length);
    Packed { negative: a.negative != b.negative, magnitude: quotient }.put(left);
    Packed { negative: a.negative, magnitude: a.magnitude % b.magnitude }.put(right);
    x.write(first, &bytes[..first_length])
}

/// SHIFT AND ROUND DECIMAL: left by 0-31 or right by 32-1, which adds the rounding digit first.
pub(crate) fn shift_and_round(x: &mut Execution<'_>, code: Code) -> Done {
    let length = code.n8() + 1;
    let first = Bd::address(x, code);
    let amount = (Bd32::address(x, code) & 63) as u32;
    let rounding = code.n12() as u128;
    x.check_store(first, length)?;
    let a = read_packed(x, first, length)?;
    if rounding > 9 {
        return Err(x.data_exception(0));
    }
    if amount < 32 {
        let modulus = limit(length);
        let digits = u32::try_from(2 * length - 1).unwrap_or(31);
        // Digits that stay are shifted, the others are lost.
        let staying = if amount >= digits { 0 } else { a.magnitude % 10u128.pow(digits - amount) };
        let lost = if amount >= digits { a.magnitude != 0 } else { staying != a.magnitude };
        let magnitude = staying * 10u128.pow(amount.min(digits)) % modulus;
        return finish(x, first, length, Packed { negative: a.negative, magnitude }, lost);
    }
    let amount = 64 - amount;
    let dropped = a.magnitude / 10u128.pow(amount - 1);
    let magnitude = (dropped + rounding) / 10;
    finish(x, first, length, Packed { negative: a.negative, magnitude }, false)
}

/// TEST DECIMAL: condition code 1 for a bad sign, 2 for a bad digit, 3 for both.
pub(crate) fn test(x: &mut Execution<'_>, code: Code) -> Done {
    let length = code.n8() + 1;
    let mut bytes = [0; 16];
    x.read(Bd::address(x, code), &mut bytes[..length])?;
    let last = length - 1;
    let sign = u8::from(bytes[last] & 0xf < 10);
    let digit = (0..length).any(|index| bytes[index] >> 4 > 9 || index != last && bytes[index] & 0xf > 9);
    x.set_cc(sign | u8::from(digit) << 1);
    Ok(())
}

/// PACK: digits lose their zones, the last byte's halves are swapped; nothing is checked.
pub(crate) fn pack(x: &mut Execution<'_>, code: Code) -> Done {
    let (to_length, from_length) = lengths(code);
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.check_store(to, to_length)?;
    let mut left = from_length as u64;
    let mut next = |x: &mut Execution<'_>| -> Result<u8, Trap> {
        if left == 0 {
            return Ok(0);
        }
        left -= 1;
        x.byte(from.wrapping_add(left))
    };
    // Byte by byte from right to left: operands may overlap.
    for index in (0..to_length).rev() {
        let byte = if index == to_length - 1 {
            next(x)?.rotate_left(4)
        } else {
            let low = next(x)? & 0xf;
            low | (next(x)? & 0xf) << 4
        };
        x.set_byte(to.wrapping_add(index as u64), byte)?;
    }
    Ok(())
}

/// UNPACK: the reverse of PACK, with zones of F.
pub(crate) fn unpack(x: &mut Execution<'_>, code: Code) -> Done {
    let (to_length, from_length) = lengths(code);
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.check_store(to, to_length)?;
    let mut left = from_length as u64;
    let mut index = to_length as u64 - 1;
    let byte = x.byte(from.wrapping_add(left - 1))?;
    left -= 1;
    x.set_byte(to.wrapping_add(index), byte.rotate_left(4))?;
    while index > 0 {
        let byte = if left > 0 {
            left -= 1;
            x.byte(from.wrapping_add(left))?
        } else {
            0
        };
        index -= 1;
        x.set_byte(to.wrapping_add(index), byte & 0xf | 0xf0)?;
        if index > 0 {
            index -= 1;
            x.set_byte(to.wrapping_add(index), byte >> 4 | 0xf0)?;
        }
    }
    Ok(())
}

/// MOVE WITH OFFSET: the digits go one half to the left, the sign stays.
pub(crate) fn move_with_offset(x: &mut Execution<'_>, code: Code) -> Done {
    let (to_length, from_length) = lengths(code);
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.check_store(to, to_length)?;
    let mut left = from_length as u64;
    let mut carry = x.byte(to.wrapping_add(to_length as u64 - 1))? & 0xf;
    for index in (0..to_length as u64).rev() {
        let byte = if left > 0 {
            left -= 1;
            x.byte(from.wrapping_add(left))?
        } else {
            0
        };
        x.set_byte(to.wrapping_add(index), byte << 4 | carry)?;
        carry = byte >> 4;
    }
    Ok(())
}

/// PACK ASCII (`SIZE` 1) and PACK UNICODE (2): 16 bytes of packed number with a plus sign.
pub(crate) fn pack_characters<const SIZE: usize>(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    if length > 32 * SIZE || length % SIZE != 0 {
        return Err(SPECIFICATION);
    }
    let mut characters = [0; 64];
    x.read(Bd32::address(x, code), &mut characters[..length])?;
    let mut digits = characters[..length].chunks(SIZE).rev().map(|bytes| bytes[SIZE - 1] & 0xf);
    let mut packed = [0; 16];
    for (index, byte) in packed.iter_mut().rev().enumerate() {
        let low = if index == 0 { PLUS } else { digits.next().unwrap_or(0) };
        *byte = digits.next().unwrap_or(0) << 4 | low;
    }
    x.write(Bd::address(x, code), &packed)
}

/// UNPACK ASCII (`SIZE` 1) and UNPACK UNICODE (2): 31 digits out of 16 bytes; condition code by the sign.
pub(crate) fn unpack_characters<const SIZE: usize>(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    if length > 32 * SIZE || length % SIZE != 0 {
        return Err(SPECIFICATION);
    }
    let mut packed = [0; 16];
    x.read(Bd32::address(x, code), &mut packed)?;
    let count = length / SIZE;
    let mut characters = [0; 64];
    for position in 0..count {
        // Digit 0 is the rightmost, in the high half of the last byte.
        let half = position + 1;
        let byte = if half < 32 { packed[15 - half / 2] } else { 0 };
        let digit = if half % 2 == 1 { byte >> 4 } else { byte & 0xf };
        characters[(count - position) * SIZE - 1] = digit | 0x30;
    }
    x.write(Bd::address(x, code), &characters[..length])?;
    x.set_cc(match packed[15] & 0xf {
        0xa | 0xc | 0xe | 0xf => 0,
        0xb | 0xd => 1,
        _ => 3,
    });
    Ok(())
}

/// CONVERT TO BINARY from 8 bytes into 32 bits.
pub(crate) fn to_binary<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = read_packed(x, A::address(x, code), 8)?.value();
    (value as i32).put(&mut x.state.gprs[code.n8()]);
    if i32::try_from(value).is_err() {
        return Err(ProgramCode::FixedPointDivide.into());
    }
    Ok(())
}

/// CONVERT TO BINARY from 16 bytes into 64 bits; too large a number leaves the register alone.
pub(crate) fn to_binary_64(x: &mut Execution<'_>, code: Code) -> Done {
    let value = read_packed(x, Bxdl::address(x, code), 16)?.value();
    let Ok(value) = i64::try_from(value) else {
        return Err(ProgramCode::FixedPointDivide.into());
    };
    x.state.gprs[code.n8()] = value as u64;
    Ok(())
}

/// CONVERT TO DECIMAL: 32 bits into 8 bytes.
pub(crate) fn to_decimal<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = i32::from_bits(x.state.gprs[code.n8()]);
    let mut bytes = [0; 8];
    Packed::from_value(i128::from(value)).put(&mut bytes);
    x.store(A::address(x, code), Width::Double, u64::from_be_bytes(bytes))
}

/// CONVERT TO DECIMAL: 64 bits into 16 bytes.
pub(crate) fn to_decimal_64(x: &mut Execution<'_>, code: Code) -> Done {
    let value = x.state.gprs[code.n8()] as i64;
    let mut bytes = [0; 16];
    Packed::from_value(i128::from(value)).put(&mut bytes);
    x.write(Bxdl::address(x, code), &bytes)
}
