//! Branching: on condition, on count, on index, relative, with linkage, with a change of the addressing mode.

use crate::execution::{Done, Execution, SPECIFICATION};
use crate::general::compare::{meets, order};
use crate::general::movement::condition;
use crate::instruction::Code;
use crate::operand::{Address, Number, Operands};
use crate::psw::{self, ADDRESSING_64, AddressingMode, BASIC_ADDRESSING};
use crate::storage::Width;

/// BRANCH ON CONDITION to a register; R2 = 0 goes nowhere.
pub(crate) fn on_condition_register(x: &mut Execution<'_>, code: Code) -> Done {
    if code.n12() != 0 && condition(x, code.n8()) {
        x.branch(x.state.gprs[code.n12()]);
    }
    Ok(())
}

/// BRANCH ON CONDITION to an address; the relative forms too.
pub(crate) fn on_condition<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n8()) {
        x.branch(A::address(x, code));
    }
    Ok(())
}

/// BRANCH INDIRECT ON CONDITION: the address is in storage.
pub(crate) fn indirect(x: &mut Execution<'_>, code: Code) -> Done {
    if condition(x, code.n8()) {
        let address = x.indexed(code.n16(), code.n12(), code.long_displacement());
        let target = x.load(address, Width::Double)?;
        x.branch(target);
    }
    Ok(())
}

/// RI and RIE: 16 bits of halfwords from the instruction.
pub(crate) struct Relative16;

impl Address for Relative16 {
    #[inline(always)]
    fn address(x: &Execution<'_>, code: Code) -> u64 {
        x.instruction_address.wrapping_add(code.relative16()) & x.address_mask
    }
}

/// BRANCH ON COUNT to a register; R2 = 0 only counts. `T` is what counts, the registers are at bit 8 and 12 or, in
/// RRE, at 24 and 28, as `F` says.
pub(crate) fn on_count_register<T: Number + PartialEq, F: Operands, const RRE: bool>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let target = F::second(x, code)?;
    let register = if RRE { code.n28() } else { code.n12() };
    if count_down::<T>(x, F::target(code)) && register != 0 {
        x.branch(target);
    }
    Ok(())
}

/// BRANCH ON COUNT and BRANCH RELATIVE ON COUNT.
pub(crate) fn on_count<T: Number + PartialEq, A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let target = A::address(x, code);
    if count_down::<T>(x, code.n8()) {
        x.branch(target);
    }
    Ok(())
}

#[inline(always)]
fn count_down<T: Number + PartialEq>(x: &mut Execution<'_>, register: usize) -> bool {
    let gpr = &mut x.state.gprs[register];
    let count = T::from_bits(gpr.wrapping_sub(1));
    count.put(gpr);
    count != T::from_bits(0)
}

/// BRANCH ON INDEX HIGH (`HIGH`) or LOW OR EQUAL, relative too.
pub(crate) fn on_index<T: Number + Ord, A: Address, const HIGH: bool>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let target = A::address(x, code);
    let increment = x.state.gprs[code.n12()];
    let limit = T::from_bits(x.state.gprs[code.n12() | 1]);
    let sum = T::from_bits(x.state.gprs[code.n8()].wrapping_add(increment));
    sum.put(&mut x.state.gprs[code.n8()]);
    if (sum > limit) == HIGH {
        x.branch(target);
    }
    Ok(())
}

/// Link information of BAS and its kind: the address after this instruction, with bit 32 telling 31-bit mode; 64-bit
/// mode fills the register.
fn link(x: &mut Execution<'_>, register: usize) {
    let next = x.state.psw.address;
    let gpr = &mut x.state.gprs[register];
    match x.state.psw.addressing_mode() {
        AddressingMode::Bits64 => *gpr = next,
        AddressingMode::Bits31 => *gpr = *gpr & !0xffff_ffff | 0x8000_0000 | next,
        AddressingMode::Bits24 => *gpr = *gpr & !0xffff_ffff | next,
    }
}

/// Link information of BAL: in 24-bit mode with instruction length, condition code and program mask in the high byte.
fn link_with_mask(x: &mut Execution<'_>, register: usize) {
    link(x, register);
    if x.state.psw.addressing_mode() == AddressingMode::Bits24 {
        let length_code = u64::from(*x.length / 2) << 30;
        let codes = (x.state.psw.mask >> 40 & 0x3f) << 24;
        x.state.gprs[register] |= length_code | codes;
    }
}

/// BRANCH AND SAVE to an address; BRANCH RELATIVE AND SAVE too.
pub(crate) fn and_save<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let target = A::address(x, code);
    link(x, code.n8());
    x.branch(target);
    Ok(())
}

/// BASR; R2 = 0 only links.
pub(crate) fn and_save_register(x: &mut Execution<'_>, code: Code) -> Done {
    let target = x.state.gprs[code.n12()];
    link(x, code.n8());
    if code.n12() != 0 {
        x.branch(target);
    }
    Ok(())
}

/// BRANCH AND LINK to an address.
pub(crate) fn and_link(x: &mut Execution<'_>, code: Code) -> Done {
    let target = x.indexed(code.n16(), code.n12(), code.d20());
    link_with_mask(x, code.n8());
    x.branch(target);
    Ok(())
}

/// BALR; R2 = 0 only links.
pub(crate) fn and_link_register(x: &mut Execution<'_>, code: Code) -> Done {
    let target = x.state.gprs[code.n12()];
    link_with_mask(x, code.n8());
    if code.n12() != 0 {
        x.branch(target);
    }
    Ok(())
}

/// Sets the addressing mode that a register asks for (bit 63: 64-bit, else bit 32: 31-bit), and branches there.
fn set_mode_and_branch(x: &mut Execution<'_>, target: u64) {
    let (mode, address) = if target & 1 != 0 {
        (ADDRESSING_64, target & !1)
    } else if target & 0x8000_0000 != 0 {
        (BASIC_ADDRESSING, target)
    } else {
        (0, target)
    };
    x.state.psw.mask = x.state.psw.mask & !ADDRESSING_64 | mode;
    x.addressing_mode_changed();
    x.branch(address);
}

/// BRANCH AND SAVE AND SET MODE.
pub(crate) fn and_save_and_set_mode(x: &mut Execution<'_>, code: Code) -> Done {
    let target = x.state.gprs[code.n12()];
    link(x, code.n8());
    if x.state.psw.addressing_mode() == AddressingMode::Bits64 {
        x.state.gprs[code.n8()] |= 1;
    }
    if code.n12() != 0 {
        set_mode_and_branch(x, target);
    }
    Ok(())
}

/// BRANCH AND SET MODE.
pub(crate) fn and_set_mode(x: &mut Execution<'_>, code: Code) -> Done {
    let target = x.state.gprs[code.n12()];
    if code.n8() != 0 {
        let gpr = &mut x.state.gprs[code.n8()];
        match x.state.psw.addressing_mode() {
            AddressingMode::Bits64 => *gpr |= 1,
            AddressingMode::Bits31 => *gpr |= 0x8000_0000,
            AddressingMode::Bits24 => *gpr &= !0x8000_0000,
        }
    }
    if code.n12() != 0 {
        set_mode_and_branch(x, target);
    }
    Ok(())
}

/// SET ADDRESSING MODE: SAM24, SAM31, SAM64 by the PSW bits they set.
pub(crate) fn set_addressing_mode<const MODE: u64>(x: &mut Execution<'_>, _: Code) -> Done {
    let mode = psw::Psw::new(MODE, 0).addressing_mode();
    // The address after this instruction must be one of the new mode.
    if x.instruction_address & !mode.address_mask() != 0 {
        return Err(SPECIFICATION);
    }
    x.state.psw.mask = x.state.psw.mask & !ADDRESSING_64 | MODE;
    x.addressing_mode_changed();
    x.branch(x.state.psw.address);
    Ok(())
}

/// TEST ADDRESSING MODE.
pub(crate) fn test_addressing_mode(x: &mut Execution<'_>, _: Code) -> Done {
    x.set_cc(match x.state.psw.addressing_mode() {
        AddressingMode::Bits24 => 0,
        AddressingMode::Bits31 => 1,
        AddressingMode::Bits64 => 3,
    });
    Ok(())
}

/// COMPARE AND BRANCH RELATIVE: CRJ and its kind (RIE-b).
pub(crate) fn compare_registers_relative<T: Number + Ord>(x: &mut Execution<'_>, code: Code) -> Done {
    let (a, b) = (T::from_bits(x.state.gprs[code.n8()]), T::from_bits(x.state.gprs[code.n12()]));
    if meets(code.n32(), order(&a, &b)) {
        x.branch(Relative16::address(x, code));
    }
    Ok(())
}

/// COMPARE AND BRANCH: CRB and its kind (RRS).
pub(crate) fn compare_registers<T: Number + Ord>(x: &mut Execution<'_>, code: Code) -> Done {
    let (a, b) = (T::from_bits(x.state.gprs[code.n8()]), T::from_bits(x.state.gprs[code.n12()]));
    if meets(code.n32(), order(&a, &b)) {
        x.branch(x.base(code.n16(), code.d20()));
    }
    Ok(())
}

/// COMPARE IMMEDIATE AND BRANCH, relative (RIE-c) and not (RIS); the immediate extends as `I` does.
pub(crate) fn compare_immediate<T: Number + Ord, I: Number, A: Address>(
    x: &mut Execution<'_>,
    code: Code,
) -> Done {
    let a = T::from_bits(x.state.gprs[code.n8()]);
    let b = T::from_bits(I::from_bits(u64::from(code.b32())).into_bits());
    if meets(code.n12(), order(&a, &b)) {
        x.branch(A::address(x, code));
    }
    Ok(())
}

/// EXECUTE and EXECUTE RELATIVE LONG.
pub(crate) fn execute<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let modifier = if code.n8() == 0 { 0 } else { x.state.gprs[code.n8()] };
    x.execute(A::address(x, code), modifier)
}

/// Instructions that only advise: PREFETCH DATA, BRANCH PREDICTION PRELOAD, NEXT INSTRUCTION ACCESS INTENT, PERFORM
/// PROCESSOR ASSIST.
pub(crate) fn advice(_: &mut Execution<'_>, _: Code) -> Done {
    Ok(())
}
