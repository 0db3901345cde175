//! Binary integers: add, subtract, multiply, divide, and what sets the sign.

use crate::execution::{Done, Execution, SPECIFICATION};
use crate::instruction::Code;
use crate::interruption::ProgramCode;
use crate::operand::{Address, Number, Operands};

/// Condition code of a signed result: zero, negative, positive.
#[inline(always)]
fn sign(value: i64) -> u8 {
    match value {
        0 => 0,
        i64::MIN..0 => 1,
        _ => 2,
    }
}

/// What is asked of a number to compute with: 32 or 64 bits, signed or not.
pub(crate) trait Integer: Number + Eq {
    fn adding(self, other: Self) -> (Self, bool);
    fn subtracting(self, other: Self) -> (Self, bool);
    fn multiplying(self, other: Self) -> (Self, bool);
}

macro_rules! integer {
    ($($type:ty)*) => { $(
        impl Integer for $type {
            #[inline(always)]
            fn adding(self, other: Self) -> (Self, bool) {
                self.overflowing_add(other)
            }
            #[inline(always)]
            fn subtracting(self, other: Self) -> (Self, bool) {
                self.overflowing_sub(other)
            }
            #[inline(always)]
            fn multiplying(self, other: Self) -> (Self, bool) {
                self.overflowing_mul(other)
            }
        }
    )* };
}
integer!(i32 u32 i64 u64);

/// Ends a signed operation: the result is put, then comes the condition code or the overflow.
#[inline(always)]
pub(crate) fn signed_result<T: Integer>(
    x: &mut Execution<'_>,
    target: usize,
    (value, overflow): (T, bool),
) -> Done {
    value.put(&mut x.state.gprs[target]);
    if overflow {
        return x.fixed_point_overflow();
    }
    x.set_cc(sign(value.into_bits() as i64));
    Ok(())
}

/// Ends a logical operation: condition code 0-3 by zero and carry.
#[inline(always)]
pub(crate) fn carry_result<T: Integer>(x: &mut Execution<'_>, target: usize, value: T, carry: bool) -> Done {
    value.put(&mut x.state.gprs[target]);
    x.set_cc(carry_code(value, carry));
    Ok(())
}

#[inline(always)]
pub(crate) fn carry_code<T: Integer>(value: T, carry: bool) -> u8 {
    u8::from(value.into_bits() != 0) | u8::from(carry) << 1
}

macro_rules! over_operands {
    ($( $(#[$doc:meta])* $name:ident($x:ident, $target:ident, $a:ident, $b:ident) $body:block )*) => { $(
        $(#[$doc])*
        pub(crate) fn $name<T: Integer, F: Operands>($x: &mut Execution<'_>, code: Code) -> Done {
            let $b = T::from_bits(F::second($x, code)?);
            let $a = T::from_bits(F::first($x, code));
            let $target = F::target(code);
            $body
        }
    )* };
}

over_operands! {
    /// ADD.
    add(x, target, a, b) { signed_result(x, target, a.adding(b)) }
    /// SUBTRACT.
    subtract(x, target, a, b) { signed_result(x, target, a.subtracting(b)) }
    /// ADD LOGICAL; of a signed immediate too: the sum is the same bits, the carry that of unsigned numbers.
    add_logical(x, target, a, b) {
        let (value, carry) = a.adding(b);
        carry_result(x, target, value, carry)
    }
    /// SUBTRACT LOGICAL.
    subtract_logical(x, target, a, b) {
        let (value, borrow) = a.subtracting(b);
        carry_result(x, target, value, !borrow)
    }
    /// ADD LOGICAL WITH CARRY.
    add_with_carry(x, target, a, b) {
        let carry_in = T::from_bits(u64::from(x.state.psw.condition_code() >> 1));
        let (sum, one) = a.adding(b);
        let (sum, two) = sum.adding(carry_in);
        carry_result(x, target, sum, one || two)
    }
    /// SUBTRACT LOGICAL WITH BORROW.
    subtract_with_borrow(x, target, a, b) {
        let borrow_in = T::from_bits(u64::from(x.state.psw.condition_code() < 2));
        let (difference, one) = a.subtracting(b);
        let (difference, two) = difference.subtracting(borrow_in);
        carry_result(x, target, difference, !(one || two))
    }
    /// MULTIPLY SINGLE, MULTIPLY HALFWORD: no condition code.
    multiply_single(x, target, a, b) {
        a.multiplying(b).0.put(&mut x.state.gprs[target]);
        Ok(())
    }
    /// MULTIPLY SINGLE of the miscellaneous-instruction extensions 2: with condition code and overflow.
    multiply_single_checked(x, target, a, b) { signed_result(x, target, a.multiplying(b)) }
    /// LOAD AND TEST.
    load_and_test(x, target, _a, b) { signed_result(x, target, (b, false)) }
    /// LOAD COMPLEMENT.
    load_complement(x, target, _a, b) { signed_result(x, target, T::from_bits(0).subtracting(b)) }
    /// LOAD POSITIVE.
    load_positive(x, target, _a, b) {
        let negative = (b.into_bits() as i64) < 0;
        signed_result(x, target, if negative { T::from_bits(0).subtracting(b) } else { (b, false) })
    }
    /// LOAD NEGATIVE.
    load_negative(x, target, _a, b) {
        let negative = (b.into_bits() as i64) < 0;
        let value = if negative { b } else { T::from_bits(0).subtracting(b).0 };
        signed_result(x, target, (value, false))
    }
}

/// ADD IMMEDIATE to storage: ASI, AGSI.
pub(crate) fn add_to_storage<T: Integer, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let (old, (value, overflow)) =
        update(x, A::address(x, code), |old: T| old.adding(T::from_bits(immediate(code))))?;
    let _ = old;
    if overflow {
        return x.fixed_point_overflow();
    }
    x.set_cc(sign(value.into_bits() as i64));
    Ok(())
}

/// ADD LOGICAL WITH SIGNED IMMEDIATE to storage: ALSI, ALGSI.
pub(crate) fn add_logical_to_storage<T: Integer, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let (_, (value, carry)) =
        update(x, A::address(x, code), |old: T| old.adding(T::from_bits(immediate(code))))?;
    x.set_cc(carry_code(value, carry));
    Ok(())
}

/// The signed immediate byte of SIY.
fn immediate(code: Code) -> u64 {
    i64::from(code.b8().cast_signed()) as u64
}

/// Replaces a number in storage, interlocked when it is aligned. Returns the old one and what `change` gave.
pub(crate) fn update<T: Integer, R: Copy>(
    x: &mut Execution<'_>,
    address: u64,
    change: impl Fn(T) -> (T, R),
) -> Result<(T, (T, R)), crate::execution::Trap> {
    loop {
        let old = x.load(address, T::WIDTH)?;
        let (new, result) = change(T::from_bits(old));
        if address & (T::WIDTH.bytes() as u64 - 1) != 0 {
            x.store(address, T::WIDTH, new.into_bits())?;
            return Ok((T::from_bits(old), (new, result)));
        }
        if x.swap_if_equal(address, T::WIDTH, old, new.into_bits())? == old {
            return Ok((T::from_bits(old), (new, result)));
        }
    }
}

/// The even register of a pair, or a specification exception.
pub(crate) fn pair(register: usize) -> Result<usize, crate::execution::Trap> {
    if register & 1 == 0 { Ok(register) } else { Err(SPECIFICATION) }
}

/// Puts 32 bits into the low half of a register.
pub(crate) fn put_word(x: &mut Execution<'_>, register: usize, value: u32) {
    value.put(&mut x.state.gprs[register]);
}

macro_rules! over_pairs {
    ($( $(#[$doc:meta])* $name:ident($x:ident, $even:ident, $b:ident) $body:block )*) => { $(
        $(#[$doc])*
        pub(crate) fn $name<F: Operands>($x: &mut Execution<'_>, code: Code) -> Done {
            let $even = pair(F::target(code))?;
            let $b = F::second($x, code)?;
            $body
        }
    )* };
}

over_pairs! {
    /// MULTIPLY: 32 x 32 bits into the low halves of a pair.
    multiply(x, even, b) {
        let product = i64::from(x.state.gprs[even + 1] as i32) * i64::from(b as i32);
        put_word(x, even, (product >> 32) as u32);
        put_word(x, even + 1, product as u32);
        Ok(())
    }
    /// MULTIPLY LOGICAL: 32 x 32 bits into the low halves of a pair.
    multiply_logical(x, even, b) {
        let product = (x.state.gprs[even + 1] & 0xffff_ffff) * (b & 0xffff_ffff);
        put_word(x, even, (product >> 32) as u32);
        put_word(x, even + 1, product as u32);
        Ok(())
    }
    /// MULTIPLY LOGICAL: 64 x 64 bits into a pair.
    multiply_logical_64(x, even, b) {
        let product = u128::from(x.state.gprs[even + 1]) * u128::from(b);
        x.state.gprs[even] = (product >> 64) as u64;
        x.state.gprs[even + 1] = product as u64;
        Ok(())
    }
    /// MULTIPLY of the miscellaneous-instruction extensions 2: signed, a register or storage into a pair.
    multiply_64(x, even, b) {
        let product = i128::from(x.state.gprs[even + 1] as i64) * i128::from(b as i64);
        x.state.gprs[even] = (product >> 64) as u64;
        x.state.gprs[even + 1] = product as u64;
        Ok(())
    }
    /// DIVIDE: 64 bits in the low halves of a pair by 32.
    divide(x, even, b) {
        let dividend = (x.state.gprs[even] << 32 | x.state.gprs[even + 1] & 0xffff_ffff) as i64;
        let divisor = i64::from(b as i32);
        let quotient = dividend.checked_div(divisor).and_then(|quotient| i32::try_from(quotient).ok());
        let Some(quotient) = quotient else {
            return Err(ProgramCode::FixedPointDivide.into());
        };
        put_word(x, even, dividend.wrapping_rem(divisor) as u32);
        put_word(x, even + 1, quotient as u32);
        Ok(())
    }
    /// DIVIDE SINGLE: the odd register by 64 bits (or 32, extended by the operand).
    divide_single(x, even, b) {
        let (dividend, divisor) = (x.state.gprs[even + 1] as i64, b as i64);
        let Some(quotient) = dividend.checked_div(divisor) else {
            return Err(ProgramCode::FixedPointDivide.into());
        };
        x.state.gprs[even] = dividend.wrapping_rem(divisor) as u64;
        x.state.gprs[even + 1] = quotient as u64;
        Ok(())
    }
    /// DIVIDE LOGICAL: 64 bits in the low halves of a pair by 32.
    divide_logical(x, even, b) {
        let dividend = x.state.gprs[even] << 32 | x.state.gprs[even + 1] & 0xffff_ffff;
        let divisor = b & 0xffff_ffff;
        let quotient = dividend.checked_div(divisor).and_then(|quotient| u32::try_from(quotient).ok());
        let Some(quotient) = quotient else {
            return Err(ProgramCode::FixedPointDivide.into());
        };
        put_word(x, even, (dividend % divisor) as u32);
        put_word(x, even + 1, quotient);
        Ok(())
    }
    /// DIVIDE LOGICAL: a pair of 128 bits by 64.
    divide_logical_64(x, even, b) {
        let dividend = u128::from(x.state.gprs[even]) << 64 | u128::from(x.state.gprs[even + 1]);
        let divisor = u128::from(b);
        let quotient = dividend.checked_div(divisor).and_then(|quotient| u64::try_from(quotient).ok());
        let Some(quotient) = quotient else {
            return Err(ProgramCode::FixedPointDivide.into());
        };
        x.state.gprs[even] = (dividend % divisor) as u64;
        x.state.gprs[even + 1] = quotient;
        Ok(())
    }
}

/// MULTIPLY (MGRK): R1 pair := R2 x R3, signed.
pub(crate) fn multiply_registers_64(x: &mut Execution<'_>, code: Code) -> Done {
    let even = pair(code.n24())?;
    let product = i128::from(x.state.gprs[code.n28()] as i64) * i128::from(x.state.gprs[code.n16()] as i64);
    x.state.gprs[even] = (product >> 64) as u64;
    x.state.gprs[even + 1] = product as u64;
    Ok(())
}
