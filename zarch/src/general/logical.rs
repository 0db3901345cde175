//! AND, OR, EXCLUSIVE OR and their complements, over registers, immediates and storage.

use crate::execution::{Done, Execution};
use crate::instruction::Code;
use crate::operand::{Address, Number, Operands};

/// A logical operation on bits.
pub(crate) trait Operation {
    fn apply(a: u64, b: u64) -> u64;
}

macro_rules! operations {
    ($( $(#[$doc:meta])* $name:ident |$a:ident, $b:ident| $body:expr; )*) => { $(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Operation for $name {
            #[inline(always)]
            fn apply($a: u64, $b: u64) -> u64 {
                $body
            }
        }
    )* };
}

operations! {
    /// AND.
    And |a, b| a & b;
    /// OR.
    Or |a, b| a | b;
    /// EXCLUSIVE OR.
    Xor |a, b| a ^ b;
    /// NAND.
    Nand |a, b| !(a & b);
    /// NOR.
    Nor |a, b| !(a | b);
    /// NOT EXCLUSIVE OR.
    Nxor |a, b| !(a ^ b);
    /// AND WITH COMPLEMENT.
    AndComplement |a, b| a & !b;
    /// OR WITH COMPLEMENT.
    OrComplement |a, b| a | !b;
}

/// An operation on whole numbers.
pub(crate) fn logical<T: Number, O: Operation, F: Operands>(x: &mut Execution<'_>, code: Code) -> Done {
    let b = F::second(x, code)?;
    let value = T::from_bits(O::apply(F::first(x, code), b));
    value.put(&mut x.state.gprs[F::target(code)]);
    x.set_cc(u8::from(value.into_bits() != 0));
    Ok(())
}

/// An operation of an immediate on the bits of R1 that it stands for: `BITS` wide, `SHIFT` from the right.
pub(crate) fn immediate<const BITS: u32, const SHIFT: u32, O: Operation>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let mask = field_mask::<BITS, SHIFT>();
    let gpr = &mut x.state.gprs[code.n8()];
    let value = O::apply(*gpr, field::<BITS, SHIFT>(code)) & mask;
    *gpr = *gpr & !mask | value;
    x.set_cc(u8::from(value != 0));
    Ok(())
}

/// INSERT IMMEDIATE.
pub(crate) fn insert<const BITS: u32, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let gpr = &mut x.state.gprs[code.n8()];
    *gpr = *gpr & !field_mask::<BITS, SHIFT>() | field::<BITS, SHIFT>(code);
    Ok(())
}

/// LOAD LOGICAL IMMEDIATE.
pub(crate) fn load_immediate<const BITS: u32, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    x.state.gprs[code.n8()] = field::<BITS, SHIFT>(code);
    Ok(())
}

/// TEST UNDER MASK of 16 bits of a register.
pub(crate) fn test_register<const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = u64::from(code.h16());
    let selected = x.state.gprs[code.n8()] >> SHIFT & mask;
    let leftmost = 1u64.checked_shl(mask.checked_ilog2().unwrap_or(0)).unwrap_or(0);
    let cc = match selected {
        0 => 0,
        all if all == mask => 3,
        mixed if mixed & leftmost != 0 => 2,
        _ => 1,
    };
    x.set_cc(cc);
    Ok(())
}

const fn field_mask<const BITS: u32, const SHIFT: u32>() -> u64 {
    ((1 << BITS) - 1) << SHIFT
}

#[inline(always)]
fn field<const BITS: u32, const SHIFT: u32>(code: Code) -> u64 {
    (if BITS == 16 { u64::from(code.h16()) } else { u64::from(code.w16()) }) << SHIFT
}

/// NI, OI, XI and their long forms: an interlocked update of one byte (interlocked-access facility 2).
pub(crate) fn byte<O: Operation, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    loop {
        let old = x.load(address, u8::WIDTH)?;
        let new = O::apply(old, u64::from(code.b8())) & 0xff;
        if x.swap_if_equal(address, u8::WIDTH, old, new)? == old {
            x.set_cc(u8::from(new != 0));
            return Ok(());
        }
    }
}

/// TEST UNDER MASK of a byte in storage.
pub(crate) fn test_byte<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = code.b8();
    let selected = x.byte(A::address(x, code))? & mask;
    x.set_cc(if selected == 0 {
        0
    } else if selected == mask {
        3
    } else {
        1
    });
    Ok(())
}

/// NC, OC, XC: byte by byte from left to right, so that overlapping operands feed on results.
pub(crate) fn bytes<O: Operation>(x: &mut Execution<'_>, code: Code) -> Done {
    let length = usize::from(code.b8()) + 1;
    let (first, second) = (x.base(code.n16(), code.d20()), x.base(code.n32(), code.d36()));
    let mut a = [0; 256];
    let mut b = [0; 256];
    let (a, b) = (&mut a[..length], &mut b[..length]);
    x.check_store(first, length)?;
    if feeds_on_itself(first, second, length) {
        let mut any = 0;
        for offset in 0..length as u64 {
            let left = x.byte(first.wrapping_add(offset))?;
            let right = x.byte(second.wrapping_add(offset))?;
            let value = O::apply(u64::from(left), u64::from(right)) as u8;
            x.set_byte(first.wrapping_add(offset), value)?;
            any |= value;
        }
        x.set_cc(u8::from(any != 0));
        return Ok(());
    }
    x.read(first, a)?;
    x.read(second, b)?;
    let mut any = 0;
    for (left, right) in a.iter_mut().zip(b) {
        *left = O::apply(u64::from(*left), u64::from(*right)) as u8;
        any |= *left;
    }
    x.write(first, a)?;
    x.set_cc(u8::from(any != 0));
    Ok(())
}

/// Whether a left-to-right operation of the first operand reads, through the second, bytes it has stored before.
/// Operands that meet at the wrapping point of the address space count as such.
pub(crate) fn feeds_on_itself(first: u64, second: u64, length: usize) -> bool {
    let length = length as u64;
    (first > second && first - second < length) || first > u64::MAX - length || second > u64::MAX - length
}
