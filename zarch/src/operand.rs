//! Where an instruction's operands are. Most arithmetic, logical and comparing instructions are one operation over
//! many forms; the table puts the two together, as in `add::<i32, Rx<i16>>`.

use std::marker::PhantomData;

use crate::execution::{Execution, Trap};
use crate::instruction::Code;
use crate::storage::Width;

/// A number in a register or in storage.
pub(crate) trait Number: Copy {
    /// Its size in storage.
    const WIDTH: Width;
    /// Cuts it out of the low bits.
    fn from_bits(bits: u64) -> Self;
    /// Extends it to 64 bits, by sign or zero.
    fn into_bits(self) -> u64;
    /// Puts it into the low bits of a register; 32-bit numbers leave bits 0-31 alone.
    fn put(self, register: &mut u64);
}

macro_rules! number {
    ($type:ty, $width:ident, $wide:ty, $keep:expr) => {
        impl Number for $type {
            const WIDTH: Width = Width::$width;
            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                bits as Self
            }
            #[inline(always)]
            fn into_bits(self) -> u64 {
                <$wide>::from(self) as u64
            }
            #[inline(always)]
            fn put(self, register: &mut u64) {
                let mask: u64 = $keep;
                *register = *register & mask | self.into_bits() & !mask;
            }
        }
    };
}

number!(i8, Byte, i64, 0xffff_ffff_ffff_ff00);
number!(u8, Byte, u64, 0xffff_ffff_ffff_ff00);
number!(i16, Half, i64, 0xffff_ffff_ffff_0000);
number!(u16, Half, u64, 0xffff_ffff_ffff_0000);
number!(i32, Word, i64, 0xffff_ffff_0000_0000);
number!(u32, Word, u64, 0xffff_ffff_0000_0000);
number!(i64, Double, i64, 0);
number!(u64, Double, u64, 0);

/// A way to write a storage address.
pub(crate) trait Address {
    fn address(x: &Execution<'_>, code: Code) -> u64;
}

/// `D(X,B)` of RX: index at bit 12, base at 16, 12-bit displacement.
pub(crate) struct Bxd;
/// `D(X,B)` of RXY: the displacement has 20 bits.
pub(crate) struct Bxdl;
/// `D(B)` of RS, S, SI, SIL and the first of SS: base at bit 16.
pub(crate) struct Bd;
/// `D(B)` of RSY and SIY: the displacement has 20 bits.
pub(crate) struct Bdl;
/// The second `D(B)` of SS, SSE, SSF: base at bit 32.
pub(crate) struct Bd32;
/// RIL: 32 bits of halfwords from the instruction.
pub(crate) struct Relative;

impl Address for Bxd {
    #[inline(always)]
    fn address(x: &Execution<'_>, code: Code) -> u64 {
        x.indexed(code.n16(), code.n12(), code.d20())
    }
}
impl Address for Bxdl {
    #[inline(always)]
    fn address(x: &Execution<'_>, code: Code) -> u64 {
        x.indexed(code.n16(), code.n12(), code.long_displacement())
    }
}
impl Address for Bd {
    #[inline(always)]
    fn address(x: &Execution<'_>, code: Code) -> u64 {
        x.base(code.n16(), code.d20())
    }
}
impl Address for Bdl {
    #[inline(always)]
    fn address(x: &Execution<'_>, code: Code) -> u64 {
        x.base(code.n16(), code.long_displacement())
    }
}
impl Address for Bd32 {
    #[inline(always)]
    fn address(x: &Execution<'_>, code: Code) -> u64 {
        x.base(code.n32(), code.d36())
    }
}
impl Address for Relative {
    #[inline(always)]
    fn address(x: &Execution<'_>, code: Code) -> u64 {
        x.instruction_address.wrapping_add(code.relative32()) & x.address_mask
    }
}

/// The operands of an operation with one result: a register to put it into, and two numbers.
pub(crate) trait Operands {
    /// The register of the result.
    fn target(code: Code) -> usize;
    /// The first number, a whole register: by default the target's.
    #[inline(always)]
    fn first(x: &Execution<'_>, code: Code) -> u64 {
        x.state.gprs[Self::target(code)]
    }
    /// The second number, extended to 64 bits.
    fn second(x: &mut Execution<'_>, code: Code) -> Result<u64, Trap>;
}

/// RR: R1, R2.
pub(crate) struct Rr;
/// RRE: R1 and, as an `N`, R2.
pub(crate) struct Rre<N = u64>(PhantomData<N>);
/// RRF-a: R1 := R2 op R3.
pub(crate) struct Rrf<N = u64>(PhantomData<N>);
/// R1 and a number in storage.
pub(crate) struct Memory<A, N>(PhantomData<(A, N)>);
/// RX.
pub(crate) type Rx<N> = Memory<Bxd, N>;
/// RXY.
pub(crate) type Rxy<N> = Memory<Bxdl, N>;
/// RIL-b with a relative storage operand.
pub(crate) type Ril<N> = Memory<Relative, N>;
/// R1 and the immediate halfword at bit 16.
pub(crate) struct Imm16<N>(PhantomData<N>);
/// R1 and the immediate word at bit 16.
pub(crate) struct Imm32<N>(PhantomData<N>);
/// RIE-d: R1 := R3 op immediate halfword.
pub(crate) struct Rie<N>(PhantomData<N>);

impl Operands for Rr {
    #[inline(always)]
    fn target(code: Code) -> usize {
        code.n8()
    }
    #[inline(always)]
    fn second(x: &mut Execution<'_>, code: Code) -> Result<u64, Trap> {
        Ok(x.state.gprs[code.n12()])
    }
}
impl<N: Number> Operands for Rre<N> {
    #[inline(always)]
    fn target(code: Code) -> usize {
        code.n24()
    }
    #[inline(always)]
    fn second(x: &mut Execution<'_>, code: Code) -> Result<u64, Trap> {
        Ok(N::from_bits(x.state.gprs[code.n28()]).into_bits())
    }
}
impl<N: Number> Operands for Rrf<N> {
    #[inline(always)]
    fn target(code: Code) -> usize {
        code.n24()
    }
    #[inline(always)]
    fn first(x: &Execution<'_>, code: Code) -> u64 {
        x.state.gprs[code.n28()]
    }
    #[inline(always)]
    fn second(x: &mut Execution<'_>, code: Code) -> Result<u64, Trap> {
        Ok(N::from_bits(x.state.gprs[code.n16()]).into_bits())
    }
}
impl<A: Address, N: Number> Operands for Memory<A, N> {
    #[inline(always)]
    fn target(code: Code) -> usize {
        code.n8()
    }
    #[inline(always)]
    fn second(x: &mut Execution<'_>, code: Code) -> Result<u64, Trap> {
        let address = A::address(x, code);
        Ok(N::from_bits(x.load(address, N::WIDTH)?).into_bits())
    }
}
impl<N: Number> Operands for Imm16<N> {
    #[inline(always)]
    fn target(code: Code) -> usize {
        code.n8()
    }
    #[inline(always)]
    fn second(_: &mut Execution<'_>, code: Code) -> Result<u64, Trap> {
        Ok(N::from_bits(u64::from(code.h16())).into_bits())
    }
}
impl<N: Number> Operands for Imm32<N> {
    #[inline(always)]
    fn target(code: Code) -> usize {
        code.n8()
    }
    #[inline(always)]
    fn second(_: &mut Execution<'_>, code: Code) -> Result<u64, Trap> {
        Ok(N::from_bits(u64::from(code.w16())).into_bits())
    }
}
impl<N: Number> Operands for Rie<N> {
    #[inline(always)]
    fn target(code: Code) -> usize {
        code.n8()
    }
    #[inline(always)]
    fn first(x: &Execution<'_>, code: Code) -> u64 {
        x.state.gprs[code.n12()]
    }
    #[inline(always)]
    fn second(_: &mut Execution<'_>, code: Code) -> Result<u64, Trap> {
        Ok(N::from_bits(u64::from(code.h16())).into_bits())
    }
}
