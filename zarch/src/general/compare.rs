//! Comparing, and the traps that follow from it.

use crate::execution::{Done, Execution, Trap};
use crate::general::floating_point::AFP_CONTROL;
use crate::instruction::Code;
use crate::interruption::{DXC_TRAP, ProgramCode};
use crate::operand::{Address, Number, Operands, Relative, Ril};

/// Condition code of a comparison: equal, first low, first high.
#[inline(always)]
pub(crate) fn order<T: Ord>(a: &T, b: &T) -> u8 {
    match a.cmp(b) {
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Greater => 2,
    }
}

/// Whether a comparison that gave this condition code meets the mask (bit 0 of four: equal, 1: low, 2: high).
#[inline(always)]
pub(crate) fn meets(mask: usize, cc: u8) -> bool {
    mask & (8 >> cc) != 0
}

/// COMPARE (signed `T`) and COMPARE LOGICAL (unsigned `T`).
pub(crate) fn compare<T: Number + Ord, F: Operands>(x: &mut Execution<'_>, code: Code) -> Done {
    let b = T::from_bits(F::second(x, code)?);
    let a = T::from_bits(F::first(x, code));
    x.set_cc(order(&a, &b));
    Ok(())
}

/// COMPARE RELATIVE LONG of words and doublewords, which have to be aligned; the storage operand is an `N`.
pub(crate) fn compare_aligned<T: Number + Ord, N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Relative::address(x, code);
    x.aligned(address, N::WIDTH)?;
    compare::<T, Ril<N>>(x, code)
}

/// Compares a number in storage with the immediate halfword of SIL, extended as `I` is.
pub(crate) fn compare_storage<T: Number + Ord, I: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let a = T::from_bits(x.load(x.base(code.n16(), code.d20()), T::WIDTH)?);
    let b = T::from_bits(I::from_bits(u64::from(code.h32())).into_bits());
    x.set_cc(order(&a, &b));
    Ok(())
}

/// COMPARE LOGICAL of a byte in storage: CLI, CLIY.
pub(crate) fn compare_byte<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let byte = x.byte(A::address(x, code))?;
    x.set_cc(order(&byte, &code.b8()));
    Ok(())
}

/// COMPARE LOGICAL CHARACTERS UNDER MASK; `SHIFT` is 0 for the low word of R1, 32 for the high.
pub(crate) fn compare_under_mask<A: Address, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = code.n12();
    let word = (x.state.gprs[code.n8()] >> SHIFT) as u32;
    let count = mask.count_ones() as usize;
    let mut storage = [0; 4];
    // A mask of zero still tests one byte for access.
    x.read(A::address(x, code), &mut storage[..count.max(1)])?;
    let mut register = [0; 4];
    let selected = word.to_be_bytes().into_iter().enumerate().filter(|(index, _)| mask & (8 >> index) != 0);
    for (slot, (_, byte)) in register.iter_mut().zip(selected) {
        *slot = byte;
    }
    x.set_cc(order(&register[..count].as_ref(), &storage[..count].as_ref()));
    Ok(())
}

/// COMPARE LOGICAL (CLC).
pub(crate) fn compare_bytes(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    let mut a = [0; 256];
    let mut b = [0; 256];
    x.read(x.base(code.n16(), code.d20()), &mut a[..length])?;
    x.read(x.base(code.n32(), code.d36()), &mut b[..length])?;
    x.set_cc(order(&a[..length].as_ref(), &b[..length].as_ref()));
    Ok(())
}

/// A data exception whose code says "trap".
pub(crate) fn trap(x: &mut Execution<'_>) -> Trap {
    x.data_exception(DXC_TRAP)
}

/// COMPARE AND TRAP: the second operand is R2 (`RRF-c`) or an immediate halfword (`RIE-a`).
pub(crate) fn compare_and_trap<T: Number + Ord, F: Operands>(x: &mut Execution<'_>, code: Code) -> Done {
    let b = T::from_bits(F::second(x, code)?);
    let a = T::from_bits(F::first(x, code));
    // RRF-c has the mask at bit 16, RIE-a at bit 32; in the other place each has something else.
    let mask = if code.0 >> 56 == 0xec { code.n32() } else { code.n16() };
    if meets(mask, order(&a, &b)) { Err(trap(x)) } else { Ok(()) }
}

/// COMPARE LOGICAL AND TRAP with storage: CLT, CLGT.
pub(crate) fn compare_storage_and_trap<T: Number + Ord, A: Address>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let b = T::from_bits(x.load(A::address(x, code), T::WIDTH)?);
    let a = T::from_bits(x.state.gprs[code.n8()]);
    if meets(code.n12(), order(&a, &b)) { Err(trap(x)) } else { Ok(()) }
}

/// LOAD AND TRAP: LAT, LGAT, LLGFAT, LLGTAT, by the mask the number gets; traps on zero, with the register loaded.
pub(crate) fn load_and_trap<T: Number, N: Number, const MASK: u64, F: Operands>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let value = N::from_bits(F::second(x, code)?).into_bits() & MASK;
    T::from_bits(value).put(&mut x.state.gprs[code.n8()]);
    if value == 0 { Err(trap(x)) } else { Ok(()) }
}

impl Execution<'_> {
    /// A data exception of this code (DXC).
    pub(crate) fn data_exception(&mut self, dxc: u32) -> Trap {
        self.pending.data_exception = dxc;
        if self.state.crs[0] & AFP_CONTROL != 0 {
            self.state.fpc = self.state.fpc & !0xff00 | dxc << 8;
        }
        ProgramCode::Data.into()
    }
}
