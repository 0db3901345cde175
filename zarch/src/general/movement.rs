//! Loading and storing: registers, immediates, under mask, on condition, several at once, reversed.

use crate::execution::{Done, Execution, SPECIFICATION};
use crate::instruction::Code;
use crate::operand::{Address, Number, Operands};
use crate::storage::Width;

/// LOAD: the operand, extended by itself, as a `T`.
pub(crate) fn load<T: Number, F: Operands>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = F::second(x, code)?;
    T::from_bits(value).put(&mut x.state.gprs[F::target(code)]);
    Ok(())
}

/// LOAD LOGICAL THIRTY ONE BITS.
pub(crate) fn load_31<F: Operands>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = F::second(x, code)?;
    x.state.gprs[F::target(code)] = value & 0x7fff_ffff;
    Ok(())
}

/// LOAD AND ZERO RIGHTMOST BYTE.
pub(crate) fn load_and_zero_byte<T: Number, F: Operands>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = F::second(x, code)? & !0xff;
    T::from_bits(value).put(&mut x.state.gprs[F::target(code)]);
    Ok(())
}

/// LOAD RELATIVE LONG of words and doublewords, which have to be aligned.
pub(crate) fn load_aligned<T: Number, A: Address, N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    x.aligned(address, N::WIDTH)?;
    let value = N::from_bits(x.load(address, N::WIDTH)?).into_bits();
    T::from_bits(value).put(&mut x.state.gprs[code.n8()]);
    Ok(())
}

/// LOAD ADDRESS.
pub(crate) fn load_address<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    x.set_pointer(code.n8(), A::address(x, code));
    Ok(())
}

/// STORE.
pub(crate) fn store<N: Number, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    x.store(A::address(x, code), N::WIDTH, x.state.gprs[code.n8()])
}

/// STORE RELATIVE LONG of words and doublewords, which have to be aligned.
pub(crate) fn store_aligned<N: Number, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    x.aligned(address, N::WIDTH)?;
    x.store(address, N::WIDTH, x.state.gprs[code.n8()])
}

/// MVI, MVIY.
pub(crate) fn move_byte<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    x.store(A::address(x, code), Width::Byte, u64::from(code.b8()))
}

/// MVHHI, MVHI, MVGHI: the sign-extended immediate of SIL.
pub(crate) fn move_immediate<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = i64::from(code.h32().cast_signed()) as u64;
    x.store(x.base(code.n16(), code.d20()), N::WIDTH, value)
}

/// INSERT CHARACTER.
pub(crate) fn insert_character<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let byte = x.byte(A::address(x, code))?;
    byte.put(&mut x.state.gprs[code.n8()]);
    Ok(())
}

/// INSERT CHARACTERS UNDER MASK; `SHIFT` is 0 for the low word of R1, 32 for the high.
pub(crate) fn insert_under_mask<A: Address, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = code.n12();
    let count = mask.count_ones() as usize;
    let mut bytes = [0; 4];
    x.read(A::address(x, code), &mut bytes[..count.max(1)])?;
    let mut word = ((x.state.gprs[code.n8()] >> SHIFT) as u32).to_be_bytes();
    let selected = (0..4).filter(|index| mask & (8 >> index) != 0);
    for (index, byte) in selected.zip(&bytes[..count]) {
        word[index] = *byte;
    }
    let gpr = &mut x.state.gprs[code.n8()];
    *gpr = *gpr & !(0xffff_ffff << SHIFT) | u64::from(u32::from_be_bytes(word)) << SHIFT;
    let inserted = bytes[..count].iter().any(|&byte| byte != 0);
    x.set_cc(match (inserted, bytes[0] & 0x80 != 0) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    });
    Ok(())
}

/// STORE CHARACTERS UNDER MASK; `SHIFT` as above.
pub(crate) fn store_under_mask<A: Address, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = code.n12();
    let word = ((x.state.gprs[code.n8()] >> SHIFT) as u32).to_be_bytes();
    let mut bytes = [0; 4];
    let selected = (0..4).filter(|index| mask & (8 >> index) != 0);
    let mut count = 0;
    for index in selected {
        bytes[count] = word[index];
        count += 1;
    }
    x.write(A::address(x, code), &bytes[..count])
}

/// LOAD REVERSED from storage or a register.
pub(crate) fn load_reversed<N: Number, F: Operands>(x: &mut Execution<'_>, code: Code) -> Done {
    let value = F::second(x, code)?;
    N::from_bits(reversed::<N>(value)).put(&mut x.state.gprs[F::target(code)]);
    Ok(())
}

/// STORE REVERSED.
pub(crate) fn store_reversed<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = x.indexed(code.n16(), code.n12(), code.long_displacement());
    x.store(address, N::WIDTH, reversed::<N>(x.state.gprs[code.n8()]))
}

fn reversed<N: Number>(value: u64) -> u64 {
    value.swap_bytes() >> (64 - 8 * N::WIDTH.bytes())
}

/// Registers from `first` to `last`, wrapping from 15 to 0.
pub(crate) fn registers(first: usize, last: usize) -> impl Iterator<Item = usize> {
    let count = (last.wrapping_sub(first) & 15) + 1;
    (0..count).map(move |offset| (first + offset) & 15)
}

/// LOAD MULTIPLE of 64 bits each.
pub(crate) fn load_multiple_64<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let mut bytes = [0; 128];
    let length = 8 * registers(code.n8(), code.n12()).count();
    x.read(A::address(x, code), &mut bytes[..length])?;
    let (values, _) = bytes.as_chunks::<8>();
    for (register, value) in registers(code.n8(), code.n12()).zip(values) {
        x.state.gprs[register] = u64::from_be_bytes(*value);
    }
    Ok(())
}

/// STORE MULTIPLE of 64 bits each.
pub(crate) fn store_multiple_64<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let mut bytes = [0; 128];
    let (slots, _) = bytes.as_chunks_mut::<8>();
    let mut length = 0;
    for (register, slot) in registers(code.n8(), code.n12()).zip(slots) {
        *slot = x.state.gprs[register].to_be_bytes();
        length += 8;
    }
    x.write(A::address(x, code), &bytes[..length])
}

/// LOAD MULTIPLE of 32 bits each, into bits `SHIFT` from the right.
pub(crate) fn load_multiple<A: Address, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let mut bytes = [0; 64];
    let length = 4 * registers(code.n8(), code.n12()).count();
    x.read(A::address(x, code), &mut bytes[..length])?;
    let (values, _) = bytes.as_chunks::<4>();
    for (register, value) in registers(code.n8(), code.n12()).zip(values) {
        let gpr = &mut x.state.gprs[register];
        *gpr = *gpr & !(0xffff_ffff << SHIFT) | u64::from(u32::from_be_bytes(*value)) << SHIFT;
    }
    Ok(())
}

/// STORE MULTIPLE of 32 bits each, from bits `SHIFT` from the right.
pub(crate) fn store_multiple<A: Address, const SHIFT: u32>(x: &mut Execution<'_>, code: Code) -> Done {
    let mut bytes = [0; 64];
    let (slots, _) = bytes.as_chunks_mut::<4>();
    let mut length = 0;
    for (register, slot) in registers(code.n8(), code.n12()).zip(slots) {
        *slot = ((x.state.gprs[register] >> SHIFT) as u32).to_be_bytes();
        length += 4;
    }
    x.write(A::address(x, code), &bytes[..length])
}

/// LOAD MULTIPLE DISJOINT: high halves from the second operand, low halves from the fourth.
pub(crate) fn load_multiple_disjoint(x: &mut Execution<'_>, code: Code) -> Done {
    let (mut high, mut low) = ([0; 64], [0; 64]);
    let length = 4 * registers(code.n8(), code.n12()).count();
    x.read(x.base(code.n16(), code.d20()), &mut high[..length])?;
    x.read(x.base(code.n32(), code.d36()), &mut low[..length])?;
    let words = high.as_chunks::<4>().0.iter().zip(low.as_chunks::<4>().0);
    for (register, (high, low)) in registers(code.n8(), code.n12()).zip(words) {
        x.state.gprs[register] =
            u64::from(u32::from_be_bytes(*high)) << 32 | u64::from(u32::from_be_bytes(*low));
    }
    Ok(())
}

/// LOAD PAIR FROM QUADWORD.
pub(crate) fn load_pair(x: &mut Execution<'_>, code: Code) -> Done {
    let address = x.indexed(code.n16(), code.n12(), code.long_displacement());
    let even = code.n8();
    if even & 1 != 0 || address & 15 != 0 {
        return Err(SPECIFICATION);
    }
    let value = x.load_16(address)?;
    x.state.gprs[even] = (value >> 64) as u64;
    x.state.gprs[even + 1] = value as u64;
    Ok(())
}

/// STORE PAIR TO QUADWORD.
pub(crate) fn store_pair(x: &mut Execution<'_>, code: Code) -> Done {
    let address = x.indexed(code.n16(), code.n12(), code.long_displacement());
    let even = code.n8();
    if even & 1 != 0 || address & 15 != 0 {
        return Err(SPECIFICATION);
    }
    let value = u128::from(x.state.gprs[even]) << 64 | u128::from(x.state.gprs[even + 1]);
    let mut expected = x.load_16(address)?;
    loop {
        let old = x.swap_16_if_equal(address, expected, value)?;
        if old == expected {
            return Ok(());
        }
        expected = old;
    }
}

/// Whether the condition code is one that the mask selects.
#[inline(always)]
pub(crate) fn condition(x: &Execution<'_>, mask: usize) -> bool {
    mask & (8 >> x.state.psw.condition_code()) != 0
}

/// LOAD ON CONDITION from storage; the mask is at bit 12.
pub(crate) fn load_on_condition<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n12()) {
        let value = x.load(x.base(code.n16(), code.long_displacement()), N::WIDTH)?;
        N::from_bits(value).put(&mut x.state.gprs[code.n8()]);
    }
    Ok(())
}

/// STORE ON CONDITION.
pub(crate) fn store_on_condition<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n12()) {
        let address = x.base(code.n16(), code.long_displacement());
        return x.store(address, N::WIDTH, x.state.gprs[code.n8()]);
    }
    Ok(())
}

/// LOAD ON CONDITION from a register; the mask is at bit 16.
pub(crate) fn load_register_on_condition<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n16()) {
        N::from_bits(x.state.gprs[code.n28()]).put(&mut x.state.gprs[code.n24()]);
    }
    Ok(())
}

/// LOAD HALFWORD IMMEDIATE ON CONDITION.
pub(crate) fn load_immediate_on_condition<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n12()) {
        let value = i64::from(code.h16().cast_signed()) as u64;
        N::from_bits(value).put(&mut x.state.gprs[code.n8()]);
    }
    Ok(())
}

/// SELECT: R2 where the condition is met, else R3; the mask is at bit 20.
pub(crate) fn select<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let source = if condition(x, code.n20()) { code.n28() } else { code.n16() };
    N::from_bits(x.state.gprs[source]).put(&mut x.state.gprs[code.n24()]);
    Ok(())
}

impl Execution<'_> {
    /// A specification exception unless the address is a multiple of the width.
    #[inline(always)]
    pub(crate) fn aligned(&self, address: u64, width: Width) -> Done {
        if address & (width.bytes() as u64 - 1) == 0 { Ok(()) } else { Err(SPECIFICATION) }
    }
}
