//! Interlocked updates of storage: compare and swap in all its forms, load and operate, PERFORM LOCKED OPERATION.

use crate::execution::{Done, Execution, SPECIFICATION, Trap};
use crate::general::arithmetic::{Integer, carry_code, pair, update};
use crate::general::logical::Operation;
use crate::instruction::Code;
use crate::operand::{Address, Bd, Bd32, Number};
use crate::storage::Width;

impl Execution<'_> {
    /// One interlocked update of an aligned number: `new` goes where `expected` is. Returns what was there.
    pub(crate) fn swap_if_equal(
        &mut self,
        address: u64,
        width: Width,
        expected: u64,
        new: u64,
    ) -> Result<u64, Trap> {
        let absolute = self.update_address(address)?;
        let mask = u64::MAX >> (64 - 8 * width.bytes());
        Ok(self.storage.compare_and_swap(absolute, width, expected & mask, new & mask)?)
    }

    /// The same for 16 bytes.
    pub(crate) fn swap_16_if_equal(&mut self, address: u64, expected: u128, new: u128) -> Result<u128, Trap> {
        let absolute = self.update_address(address)?;
        Ok(self.storage.compare_and_swap_16(absolute, expected, new)?)
    }

    /// Fetches an aligned quadword, in one piece where the storage can.
    pub(crate) fn load_16(&mut self, address: u64) -> Result<u128, Trap> {
        let mut bytes = [0; 16];
        self.read(address, &mut bytes)?;
        Ok(u128::from_be_bytes(bytes))
    }

    /// An update fetches and stores: fetch protection cannot matter where storing is allowed.
    fn update_address(&self, address: u64) -> Result<u64, Trap> {
        self.translate(address, crate::access::Access::Store)
    }
}

/// COMPARE AND SWAP of 32 or 64 bits.
pub(crate) fn compare_and_swap<T: Number, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    x.aligned(address, T::WIDTH)?;
    let expected = T::from_bits(x.state.gprs[code.n8()]).into_bits();
    let old = x.swap_if_equal(address, T::WIDTH, expected, x.state.gprs[code.n12()])?;
    if old == expected {
        x.set_cc(0);
    } else {
        T::from_bits(old).put(&mut x.state.gprs[code.n8()]);
        x.set_cc(1);
    }
    Ok(())
}

/// A pair of registers as one number of twice `T`'s size, at most 64 bits each.
fn joined<T: Number>(x: &Execution<'_>, even: usize) -> u128 {
    let bits = 8 * T::WIDTH.bytes();
    u128::from(T::from_bits(x.state.gprs[even]).into_bits()) << bits
        | u128::from(T::from_bits(x.state.gprs[even + 1]).into_bits())
}

fn put_joined<T: Number>(x: &mut Execution<'_>, even: usize, value: u128) {
    T::from_bits((value >> (8 * T::WIDTH.bytes())) as u64).put(&mut x.state.gprs[even]);
    T::from_bits(value as u64).put(&mut x.state.gprs[even + 1]);
}

/// COMPARE DOUBLE AND SWAP: pairs of 32 (`T` = u32) or 64 bits (u64).
pub(crate) fn compare_double_and_swap<T: Number, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    let (one, three) = (pair(code.n8())?, pair(code.n12())?);
    if address & (2 * T::WIDTH.bytes() as u64 - 1) != 0 {
        return Err(SPECIFICATION);
    }
    let (expected, new) = (joined::<T>(x, one), joined::<T>(x, three));
    let old = if T::WIDTH == Width::Word {
        u128::from(x.swap_if_equal(address, Width::Double, expected as u64, new as u64)?)
    } else {
        x.swap_16_if_equal(address, expected, new)?
    };
    if old == expected {
        x.set_cc(0);
    } else {
        put_joined::<T>(x, one, old);
        x.set_cc(1);
    }
    Ok(())
}

/// TEST AND SET.
pub(crate) fn test_and_set(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    loop {
        let old = x.load(address, Width::Byte)?;
        if x.swap_if_equal(address, Width::Byte, old, 0xff)? == old {
            x.set_cc((old >> 7) as u8);
            return Ok(());
        }
    }
}

/// COMPARE AND SWAP AND STORE: a swap of 4, 8 or 16 bytes by GR0's function code, and a store of 1 to 16 by its store
/// characteristic, both from the parameter list that GR1 points to.
pub(crate) fn compare_and_swap_and_store(x: &mut Execution<'_>, code: Code) -> Done {
    let (function, characteristic) = (x.state.gprs[0] as u8, (x.state.gprs[0] >> 8) as u8);
    let most = if x.facility(33) { (2, 4) } else { (1, 3) };
    if function > most.0 || characteristic > most.1 {
        return Err(SPECIFICATION);
    }
    let (swap_length, store_length) = (4usize << function, 1usize << characteristic);
    let (first, second) = (Bd::address(x, code), Bd32::address(x, code));
    let list = x.pointer(1);
    let misaligned = |address: u64, length: usize| address & (length as u64 - 1) != 0;
    if misaligned(first, swap_length) || misaligned(second, store_length) || list & 15 != 0 {
        return Err(SPECIFICATION);
    }
    let register = code.n8();
    let expected = match function {
        0 => u128::from(x.state.gprs[register] as u32),
        1 => u128::from(x.state.gprs[register]),
        _ => joined::<u64>(x, pair(register)?),
    };
    let mut parameters = [0; 32];
    x.read(list, &mut parameters)?;
    let (replacement, stored) = parameters.split_at(16);
    let new = replacement[..swap_length].iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
    x.check_store(second, store_length)?;
    let old = match function {
        0 => u128::from(x.swap_if_equal(first, Width::Word, expected as u64, new as u64)?),
        1 => u128::from(x.swap_if_equal(first, Width::Double, expected as u64, new as u64)?),
        _ => x.swap_16_if_equal(first, expected, new)?,
    };
    if old == expected {
        x.write(second, &stored[..store_length])?;
        x.set_cc(0);
        return Ok(());
    }
    match function {
        0 => (old as u32).put(&mut x.state.gprs[register]),
        1 => x.state.gprs[register] = old as u64,
        _ => put_joined::<u64>(x, register, old),
    }
    x.set_cc(1);
    Ok(())
}

/// LOAD AND ADD.
pub(crate) fn load_and_add<T: Integer>(x: &mut Execution<'_>, code: Code) -> Done {
    let (addend, address) = operands::<T>(x, code)?;
    let (old, (sum, overflow)) = update(x, address, |old: T| old.adding(addend))?;
    old.put(&mut x.state.gprs[code.n8()]);
    if overflow {
        return x.fixed_point_overflow();
    }
    let sum = sum.into_bits() as i64;
    x.set_cc(if sum == 0 {
        0
    } else if sum < 0 {
        1
    } else {
        2
    });
    Ok(())
}

/// LOAD AND ADD LOGICAL.
pub(crate) fn load_and_add_logical<T: Integer>(x: &mut Execution<'_>, code: Code) -> Done {
    let (addend, address) = operands::<T>(x, code)?;
    let (old, (sum, carry)) = update(x, address, |old: T| old.adding(addend))?;
    old.put(&mut x.state.gprs[code.n8()]);
    x.set_cc(carry_code(sum, carry));
    Ok(())
}

/// LOAD AND AND, LOAD AND OR, LOAD AND EXCLUSIVE OR.
pub(crate) fn load_and<T: Integer, O: Operation>(x: &mut Execution<'_>, code: Code) -> Done {
    let (operand, address) = operands::<T>(x, code)?;
    let apply = |old: T| (T::from_bits(O::apply(old.into_bits(), operand.into_bits())), ());
    let (old, (new, ())) = update(x, address, apply)?;
    old.put(&mut x.state.gprs[code.n8()]);
    x.set_cc(u8::from(new.into_bits() != 0));
    Ok(())
}

fn operands<T: Integer>(x: &Execution<'_>, code: Code) -> Result<(T, u64), Trap> {
    let address = x.base(code.n16(), code.long_displacement());
    x.aligned(address, T::WIDTH)?;
    Ok((T::from_bits(x.state.gprs[code.n12()]), address))
}

/// LOAD PAIR DISJOINT of 32 or 64 bits: condition code 0 when both came in one piece, which interlocked updates by
/// other CPUs cannot be seen to break here only if nothing changed between two looks; else 3.
pub(crate) fn load_pair_disjoint<T: Number + PartialEq>(x: &mut Execution<'_>, code: Code) -> Done {
    let target = pair(code.n8())?;
    let (first, second) = (Bd::address(x, code), Bd32::address(x, code));
    x.aligned(first, T::WIDTH)?;
    x.aligned(second, T::WIDTH)?;
    let one = x.load(first, T::WIDTH)?;
    let two = x.load(second, T::WIDTH)?;
    let unchanged = x.load(first, T::WIDTH)? == one;
    T::from_bits(one).put(&mut x.state.gprs[target]);
    T::from_bits(two).put(&mut x.state.gprs[target + 1]);
    x.set_cc(if unchanged { 0 } else { 3 });
    Ok(())
}
