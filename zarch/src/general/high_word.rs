//! The high-word facility: bits 0-31 of the general registers as registers of their own.

use crate::execution::{Done, Execution};
use crate::general::arithmetic::{Integer, carry_code};
use crate::general::compare::order;
use crate::general::movement::condition;
use crate::instruction::Code;
use crate::operand::{Address, Number};
use crate::storage::Width;

fn high(x: &Execution<'_>, register: usize) -> u64 {
    x.state.gprs[register] >> 32
}

fn set_high(x: &mut Execution<'_>, register: usize, value: u64) {
    let gpr = &mut x.state.gprs[register];
    *gpr = *gpr & 0xffff_ffff | value << 32;
}

/// The half of R3 that the third operand is: `SHIFT` from the right.
fn third<const SHIFT: u32>(x: &Execution<'_>, code: Code) -> u64 {
    x.state.gprs[code.n16()] >> SHIFT
}

fn signed_result(x: &mut Execution<'_>, register: usize, (value, overflow): (i32, bool)) -> Done {
    set_high(x, register, value.into_bits());
    if overflow {
        return x.fixed_point_overflow();
    }
    x.set_cc(if value == 0 {
        0
    } else if value < 0 {
        1
    } else {
        2
    });
    Ok(())
}

/// ADD HIGH: the third operand is the high (`SHIFT` 32) or low (0) half of R3.
pub(crate) fn add<const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let (a, b) = (i32::from_bits(high(x, code.n28())), i32::from_bits(third::<SHIFT>(x, code)));
    signed_result(x, code.n24(), a.overflowing_add(b))
}

/// SUBTRACT HIGH.
pub(crate) fn subtract<const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let (a, b) = (i32::from_bits(high(x, code.n28())), i32::from_bits(third::<SHIFT>(x, code)));
    signed_result(x, code.n24(), a.overflowing_sub(b))
}

/// ADD LOGICAL HIGH.
pub(crate) fn add_logical<const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let (a, b) = (u32::from_bits(high(x, code.n28())), u32::from_bits(third::<SHIFT>(x, code)));
    let (value, carry) = a.adding(b);
    set_high(x, code.n24(), value.into_bits());
    x.set_cc(carry_code(value, carry));
    Ok(())
}

/// SUBTRACT LOGICAL HIGH.
pub(crate) fn subtract_logical<const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let (a, b) = (u32::from_bits(high(x, code.n28())), u32::from_bits(third::<SHIFT>(x, code)));
    let (value, borrow) = a.subtracting(b);
    set_high(x, code.n24(), value.into_bits());
    x.set_cc(carry_code(value, !borrow));
    Ok(())
}

/// ADD IMMEDIATE HIGH.
pub(crate) fn add_immediate(x: &mut Execution<'_>, code: Code) -> Done {
    let a = i32::from_bits(high(x, code.n8()));
    signed_result(x, code.n8(), a.overflowing_add(code.w16().cast_signed()))
}

/// ADD LOGICAL WITH SIGNED IMMEDIATE HIGH, with (`CC`) and without condition code.
pub(crate) fn add_logical_immediate<const CC: bool>(x: &mut Execution<'_>, code: Code) -> Done {
    let (value, carry) = u32::from_bits(high(x, code.n8())).adding(code.w16());
    set_high(x, code.n8(), value.into_bits());
    if CC {
        x.set_cc(carry_code(value, carry));
    }
    Ok(())
}

/// COMPARE HIGH and COMPARE LOGICAL HIGH with a half of R2.
pub(crate) fn compare<T: Number + Ord, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let (a, b) = (T::from_bits(high(x, code.n24())), T::from_bits(x.state.gprs[code.n28()] >> SHIFT));
    x.set_cc(order(&a, &b));
    Ok(())
}

/// COMPARE HIGH and COMPARE LOGICAL HIGH with storage.
pub(crate) fn compare_storage<T: Number + Ord>(x: &mut Execution<'_>, code: Code) -> Done {
    let b = T::from_bits(x.load(address(x, code), Width::Word)?);
    x.set_cc(order(&T::from_bits(high(x, code.n8())), &b));
    Ok(())
}

/// COMPARE IMMEDIATE HIGH and COMPARE LOGICAL IMMEDIATE HIGH.
pub(crate) fn compare_immediate<T: Number + Ord>(x: &mut Execution<'_>, code: Code) -> Done {
    let b = T::from_bits(u64::from(code.w16()));
    x.set_cc(order(&T::from_bits(high(x, code.n8())), &b));
    Ok(())
}

/// BRANCH RELATIVE ON COUNT HIGH.
pub(crate) fn branch_on_count(x: &mut Execution<'_>, code: Code) -> Done {
    let count = (high(x, code.n8()) as u32).wrapping_sub(1);
    set_high(x, code.n8(), u64::from(count));
    if count != 0 {
        x.branch(crate::operand::Relative::address(x, code));
    }
    Ok(())
}

fn address(x: &Execution<'_>, code: Code) -> u64 {
    x.indexed(code.n16(), code.n12(), code.long_displacement())
}

/// LOAD BYTE HIGH, LOAD HALFWORD HIGH, LOAD LOGICAL ... HIGH, LOAD HIGH.
pub(crate) fn load<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = N::from_bits(x.load(address(x, code), N::WIDTH)?).into_bits();
    set_high(x, code.n8(), value);
    Ok(())
}

/// LOAD HIGH AND TRAP.
pub(crate) fn load_and_trap(x: &mut Execution<'_>, code: Code) -> Done {
    load::<u32>(x, code)?;
    if high(x, code.n8()) == 0 { Err(crate::general::compare::trap(x)) } else { Ok(()) }
}

/// STORE CHARACTER HIGH, STORE HALFWORD HIGH, STORE HIGH.
pub(crate) fn store<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    x.store(address(x, code), N::WIDTH, high(x, code.n8()))
}

/// LOAD HIGH ON CONDITION from storage.
pub(crate) fn load_on_condition(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n12()) {
        let value = x.load(x.base(code.n16(), code.long_displacement()), Width::Word)?;
        set_high(x, code.n8(), value);
    }
    Ok(())
}

/// STORE HIGH ON CONDITION.
pub(crate) fn store_on_condition(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n12()) {
        let address = x.base(code.n16(), code.long_displacement());
        return x.store(address, Width::Word, high(x, code.n8()));
    }
    Ok(())
}

/// LOAD HIGH ON CONDITION from a register.
pub(crate) fn load_register_on_condition(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n16()) {
        set_high(x, code.n24(), high(x, code.n28()));
    }
    Ok(())
}

/// LOAD HALFWORD HIGH IMMEDIATE ON CONDITION.
pub(crate) fn load_immediate_on_condition(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n12()) {
        set_high(x, code.n8(), i64::from(code.h16().cast_signed()) as u64);
    }
    Ok(())
}

/// SELECT HIGH.
pub(crate) fn select(x: &mut Execution<'_>, code: Code) -> Done {
    let source = if condition(x, code.n20()) { code.n28() } else { code.n16() };
    set_high(x, code.n24(), high(x, source));
    Ok(())
}
