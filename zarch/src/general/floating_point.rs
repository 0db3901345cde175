//! Floating-point registers as places that hold bits: loading, storing, and the control register. Nothing here
//! computes.

use crate::execution::{Done, Execution, SPECIFICATION};
use crate::instruction::Code;
use crate::operand::{Address, Number};
use crate::storage::Width;

/// CR0 bit 45, the AFP-register control.
pub(crate) const AFP_CONTROL: u64 = 0x0004_0000;
/// DXC of an additional register, and of a BFP instruction, without that control.
const DXC_AFP_REGISTER: u32 = 1;
const DXC_BFP_INSTRUCTION: u32 = 2;

impl Execution<'_> {
    fn fpr(&mut self, register: usize) -> Result<usize, crate::execution::Trap> {
        if self.state.crs[0] & AFP_CONTROL == 0 && !matches!(register, 0 | 2 | 4 | 6) {
            return Err(self.data_exception(DXC_AFP_REGISTER));
        }
        Ok(register)
    }

    fn bfp(&mut self) -> Done {
        if self.state.crs[0] & AFP_CONTROL == 0 {
            return Err(self.data_exception(DXC_BFP_INSTRUCTION));
        }
        Ok(())
    }
}

/// LOAD from storage, long.
pub(crate) fn load_long<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let register = x.fpr(code.n8())?;
    x.state.fprs[register] = x.load(A::address(x, code), Width::Double)?;
    Ok(())
}

/// LOAD from storage, short: the left half.
pub(crate) fn load_short<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let register = x.fpr(code.n8())?;
    let value = x.load(A::address(x, code), Width::Word)?;
    x.state.fprs[register] = x.state.fprs[register] & 0xffff_ffff | value << 32;
    Ok(())
}

/// STORE, long.
pub(crate) fn store_long<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let register = x.fpr(code.n8())?;
    x.store(A::address(x, code), Width::Double, x.state.fprs[register])
}

/// STORE, short.
pub(crate) fn store_short<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let register = x.fpr(code.n8())?;
    x.store(A::address(x, code), Width::Word, x.state.fprs[register] >> 32)
}

/// LDR.
pub(crate) fn load_register_long(x: &mut Execution<'_>, code: Code) -> Done {
    let (to, from) = (x.fpr(code.n8())?, x.fpr(code.n12())?);
    x.state.fprs[to] = x.state.fprs[from];
    Ok(())
}

/// LER.
pub(crate) fn load_register_short(x: &mut Execution<'_>, code: Code) -> Done {
    let (to, from) = (x.fpr(code.n8())?, x.fpr(code.n12())?);
    let high = x.state.fprs[from] & !0xffff_ffff;
    x.state.fprs[to] = x.state.fprs[to] & 0xffff_ffff | high;
    Ok(())
}

/// STORE FPC.
pub(crate) fn store_control(x: &mut Execution<'_>, code: Code) -> Done {
    x.bfp()?;
    x.store(x.base(code.n16(), code.d20()), Width::Word, x.state.fpc.into())
}

/// LOAD FPC.
pub(crate) fn load_control(x: &mut Execution<'_>, code: Code) -> Done {
    x.bfp()?;
    let value = x.load(x.base(code.n16(), code.d20()), Width::Word)?;
    set(x, value as u32)
}

/// SET FPC.
pub(crate) fn set_control(x: &mut Execution<'_>, code: Code) -> Done {
    x.bfp()?;
    set(x, x.state.gprs[code.n24()] as u32)
}

/// EXTRACT FPC.
pub(crate) fn extract_control(x: &mut Execution<'_>, code: Code) -> Done {
    x.bfp()?;
    x.state.fpc.put(&mut x.state.gprs[code.n24()]);
    Ok(())
}

/// Bits 5-7, 13-15, 24 and 28 have to be zero, and the BFP rounding mode 0-3 (7 with facility 37).
fn set(x: &mut Execution<'_>, value: u32) -> Done {
    let rounding = value & 7;
    if value & 0x0707_0088 != 0 || rounding > 3 && !(rounding == 7 && x.facility(37)) {
        return Err(SPECIFICATION);
    }
    x.state.fpc = value;
    Ok(())
}
