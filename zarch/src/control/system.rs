//! What leads out of the program: SUPERVISOR CALL, MONITOR CALL, and all that the host does.

use crate::execution::{Done, Execution, SPECIFICATION, Trap};
use crate::instruction::Code;
use crate::operand::{Address, Bd, Number};
use crate::storage::Width;

/// SUPERVISOR CALL.
pub(crate) fn supervisor_call(x: &mut Execution<'_>, code: Code) -> Done {
    x.supervisor_call_interruption(code.b8())
}

/// MONITOR CALL: an event when the monitor mask (CR8 bits 48-63) has the class.
pub(crate) fn monitor_call(x: &mut Execution<'_>, code: Code) -> Done {
    let class = code.b8();
    if class > 15 {
        return Err(SPECIFICATION);
    }
    if x.state.crs[8] & 0x8000 >> class == 0 {
        return Ok(());
    }
    let monitor_code = Bd::address(x, code);
    Err(x.monitor_event(class, monitor_code))
}

/// An instruction that the host does.
pub(crate) fn intercept(_: &mut Execution<'_>, _: Code) -> Done {
    Err(Trap::Intercept)
}

/// A privileged instruction for which nothing has to be done: there is no TLB or ALB that could be purged.
pub(crate) fn nothing_to_purge(_: &mut Execution<'_>, _: Code) -> Done {
    Ok(())
}

/// LOAD USING REAL ADDRESS of 32 (`N` = u32) or 64 bits.
pub(crate) fn load_real<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = x.pointer(code.n28());
    x.aligned(address, N::WIDTH)?;
    let value = x.storage.load(x.prefixed(address), N::WIDTH)?;
    N::from_bits(value).put(&mut x.state.gprs[code.n24()]);
    Ok(())
}

/// STORE USING REAL ADDRESS of 32 or 64 bits.
pub(crate) fn store_real<N: Number>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = x.pointer(code.n28());
    x.aligned(address, N::WIDTH)?;
    x.check_low_address(address)?;
    let absolute = x.prefixed(address);
    Ok(x.storage.store(absolute, N::WIDTH, x.state.gprs[code.n24()])?)
}

/// STORE REAL ADDRESS (STRAG): the second operand's address, which is real while translation is off.
pub(crate) fn store_real_address(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Double)?;
    let second = x.base(code.n32(), code.d36());
    x.store(address, Width::Double, second)
}
