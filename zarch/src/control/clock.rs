//! TOD clock, clock comparator, CPU timer.

use crate::execution::{Done, Execution, SPECIFICATION};
use crate::instruction::Code;
use crate::operand::{Address, Bd, Bd32};
use crate::storage::Width;

/// STORE CLOCK and STORE CLOCK FAST.
pub(crate) fn store(x: &mut Execution<'_>, code: Code) -> Done {
    let tod = x.environment.tod();
    x.store(Bd::address(x, code), Width::Double, tod)?;
    x.set_cc(0);
    Ok(())
}

/// STORE CLOCK EXTENDED: epoch index zero, the clock, a one that keeps the low bits from being zero, and the
/// programmable field.
pub(crate) fn store_extended(x: &mut Execution<'_>, code: Code) -> Done {
    let tod = u128::from(x.environment.tod()) << 56;
    let value = tod | 1 << 16 | u128::from(x.state.tod_programmable & 0xffff);
    x.write(Bd::address(x, code), &value.to_be_bytes())?;
    x.set_cc(0);
    Ok(())
}

/// SET CLOCK.
pub(crate) fn set(x: &mut Execution<'_>, code: Code) -> Done {
    let tod = operand(x, code)?;
    // The CPU timer goes on from here, not from before the jump.
    x.cpu_timer();
    x.environment.set_tod(tod);
    x.restart_cpu_timer();
    x.attention = true;
    x.set_cc(0);
    Ok(())
}

/// SET CLOCK COMPARATOR.
pub(crate) fn set_comparator(x: &mut Execution<'_>, code: Code) -> Done {
    x.state.clock_comparator = operand(x, code)?;
    x.attention = true;
    Ok(())
}

/// STORE CLOCK COMPARATOR.
pub(crate) fn store_comparator(x: &mut Execution<'_>, code: Code) -> Done {
    let comparator = x.state.clock_comparator;
    put(x, code, comparator)
}

/// SET CPU TIMER.
pub(crate) fn set_timer(x: &mut Execution<'_>, code: Code) -> Done {
    let timer = operand(x, code)?;
    x.restart_cpu_timer();
    x.state.cpu_timer = timer;
    x.attention = true;
    Ok(())
}

/// STORE CPU TIMER.
pub(crate) fn store_timer(x: &mut Execution<'_>, code: Code) -> Done {
    let timer = x.cpu_timer();
    put(x, code, timer)
}

/// SET CLOCK PROGRAMMABLE FIELD from GR0.
pub(crate) fn set_programmable(x: &mut Execution<'_>, _: Code) -> Done {
    let value = x.state.gprs[0] as u32;
    if value >> 16 != 0 {
        return Err(SPECIFICATION);
    }
    x.state.tod_programmable = value;
    Ok(())
}

/// EXTRACT CPU TIME: GR0 the first operand less the CPU timer, GR1 the second operand, R3 what it points to.
pub(crate) fn extract_cpu_time(x: &mut Execution<'_>, code: Code) -> Done {
    let first = x.load(Bd::address(x, code), Width::Double)?;
    let second = x.load(Bd32::address(x, code), Width::Double)?;
    let third = x.load(x.pointer(code.n8()), Width::Double)?;
    let timer = x.cpu_timer();
    x.state.gprs[0] = first.wrapping_sub(timer);
    x.state.gprs[1] = second;
    x.state.gprs[code.n8()] = third;
    Ok(())
}

fn operand(x: &mut Execution<'_>, code: Code) -> Result<u64, crate::execution::Trap> {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Double)?;
    x.load(address, Width::Double)
}

fn put(x: &mut Execution<'_>, code: Code, value: u64) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Double)?;
    x.store(address, Width::Double, value)
}
