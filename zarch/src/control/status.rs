//! PSW, control registers and prefix.

use crate::execution::{Done, Execution, SPECIFICATION};
use crate::general::movement::registers;
use crate::instruction::Code;
use crate::interruption::ProgramCode;
use crate::operand::{Address, Bd, Number};
use crate::psw::{self, Psw};
use crate::storage::Width;

/// LOAD PSW: the short form.
pub(crate) fn load_psw(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Double)?;
    let short = x.load(address, Width::Double)?;
    let Some(psw) = Psw::from_short(short) else {
        return Err(SPECIFICATION);
    };
    x.load_psw(psw)
}

/// LOAD PSW EXTENDED.
pub(crate) fn load_psw_extended(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Double)?;
    let mut bytes = [0; 16];
    x.read(address, &mut bytes)?;
    x.load_psw(Psw::from_be_bytes(bytes))
}

impl Execution<'_> {
    /// Replaces the PSW; an invalid one is in place when its specification exception comes, with a length of zero.
    pub(crate) fn load_psw(&mut self, psw: Psw) -> Done {
        self.set_psw(psw);
        if !psw.valid() {
            *self.length = 0;
            return Err(SPECIFICATION);
        }
        Ok(())
    }

    /// Replaces the PSW's system mask (bits 0-7).
    fn set_system_mask(&mut self, mask: u8) -> Done {
        let kept = self.state.psw.mask & !(0xff << 56);
        let psw = Psw::new(kept | u64::from(mask) << 56, self.state.psw.address);
        let length = *self.length;
        let result = self.load_psw(psw);
        *self.length = length;
        result
    }

    /// Whether the program may use an access key: the PSW-key mask (CR3 bits 32-47) binds the problem state.
    pub(crate) fn may_use_key(&self, key: u8) -> bool {
        !self.state.psw.problem_state() || self.state.crs[3] & 0x8000_0000 >> key != 0
    }
}

/// SET SYSTEM MASK. CR0 bit 33 (SSM suppression) makes it a special-operation exception.
pub(crate) fn set_system_mask(x: &mut Execution<'_>, code: Code) -> Done {
    if x.state.crs[0] & 0x4000_0000 != 0 {
        return Err(ProgramCode::SpecialOperation.into());
    }
    let mask = x.byte(Bd::address(x, code))?;
    x.set_system_mask(mask)
}

/// STORE THEN AND SYSTEM MASK.
pub(crate) fn store_then_and(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = (x.state.psw.mask >> 56) as u8;
    x.set_byte(Bd::address(x, code), mask)?;
    x.set_system_mask(mask & code.b8())
}

/// STORE THEN OR SYSTEM MASK.
pub(crate) fn store_then_or(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = (x.state.psw.mask >> 56) as u8;
    x.set_byte(Bd::address(x, code), mask)?;
    x.set_system_mask(mask | code.b8())
}

/// SET PROGRAM MASK: condition code and program mask from bits 34-39 of R1.
pub(crate) fn set_program_mask(x: &mut Execution<'_>, code: Code) -> Done {
    let bits = x.state.gprs[code.n8()] >> 24 & 0x3f;
    let mask = &mut x.state.psw.mask;
    *mask = *mask & !(psw::CONDITION_CODE | psw::PROGRAM_MASK) | bits << 40;
    Ok(())
}

/// INSERT PROGRAM MASK.
pub(crate) fn insert_program_mask(x: &mut Execution<'_>, code: Code) -> Done {
    let bits = x.state.psw.mask >> 40 & 0x3f;
    let gpr = &mut x.state.gprs[code.n24()];
    *gpr = *gpr & !0xff00_0000 | bits << 24;
    Ok(())
}

/// EXTRACT PSW: bits 0-31 into R1, 32-63 into R2 unless that is register 0.
pub(crate) fn extract_psw(x: &mut Execution<'_>, code: Code) -> Done {
    let mask = x.state.psw.mask;
    ((mask >> 32) as u32).put(&mut x.state.gprs[code.n24()]);
    if code.n28() != 0 {
        (mask as u32).put(&mut x.state.gprs[code.n28()]);
    }
    Ok(())
}

/// SET PSW KEY FROM ADDRESS.
pub(crate) fn set_key(x: &mut Execution<'_>, code: Code) -> Done {
    let key = (Bd::address(x, code) >> 4 & 0xf) as u8;
    if !x.may_use_key(key) {
        return Err(ProgramCode::PrivilegedOperation.into());
    }
    x.state.psw.mask = x.state.psw.mask & !psw::KEY | u64::from(key) << 52;
    Ok(())
}

/// INSERT PSW KEY into GR2. In the problem state CR0 bit 36 (extraction authority) has to be one.
pub(crate) fn insert_key(x: &mut Execution<'_>, _: Code) -> Done {
    if x.state.psw.problem_state() && x.state.crs[0] & 0x0800_0000 == 0 {
        return Err(ProgramCode::PrivilegedOperation.into());
    }
    let key = u64::from(x.state.psw.key());
    x.state.gprs[2] = x.state.gprs[2] & !0xff | key << 4;
    Ok(())
}

/// LOAD CONTROL of 32 bits each.
pub(crate) fn load_control(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Word)?;
    let mut bytes = [0; 64];
    let length = 4 * registers(code.n8(), code.n12()).count();
    x.read(address, &mut bytes[..length])?;
    for (register, value) in registers(code.n8(), code.n12()).zip(bytes.as_chunks::<4>().0) {
        u32::from_be_bytes(*value).put(&mut x.state.crs[register]);
    }
    x.attention = true;
    Ok(())
}

/// LOAD CONTROL of 64 bits each.
pub(crate) fn load_control_64(x: &mut Execution<'_>, code: Code) -> Done {
    let address = x.base(code.n16(), code.long_displacement());
    x.aligned(address, Width::Double)?;
    let mut bytes = [0; 128];
    let length = 8 * registers(code.n8(), code.n12()).count();
    x.read(address, &mut bytes[..length])?;
    for (register, value) in registers(code.n8(), code.n12()).zip(bytes.as_chunks::<8>().0) {
        x.state.crs[register] = u64::from_be_bytes(*value);
    }
    x.attention = true;
    Ok(())
}

/// STORE CONTROL of 32 bits each.
pub(crate) fn store_control(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Word)?;
    let mut bytes = [0; 64];
    let mut length = 0;
    for (register, slot) in registers(code.n8(), code.n12()).zip(bytes.as_chunks_mut::<4>().0) {
        *slot = (x.state.crs[register] as u32).to_be_bytes();
        length += 4;
    }
    x.write(address, &bytes[..length])
}

/// STORE CONTROL of 64 bits each.
pub(crate) fn store_control_64(x: &mut Execution<'_>, code: Code) -> Done {
    let address = x.base(code.n16(), code.long_displacement());
    x.aligned(address, Width::Double)?;
    let mut bytes = [0; 128];
    let mut length = 0;
    for (register, slot) in registers(code.n8(), code.n12()).zip(bytes.as_chunks_mut::<8>().0) {
        *slot = x.state.crs[register].to_be_bytes();
        length += 8;
    }
    x.write(address, &bytes[..length])
}

/// SET PREFIX: both new blocks have to be there.
pub(crate) fn set_prefix(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Word)?;
    let prefix = x.load(address, Width::Word)? & 0x7fff_e000;
    if prefix + 0x2000 > x.storage.size() {
        return Err(ProgramCode::Addressing.into());
    }
    x.state.prefix = prefix as u32;
    Ok(())
}

/// STORE PREFIX.
pub(crate) fn store_prefix(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Word)?;
    x.store(address, Width::Word, u64::from(x.state.prefix))
}
