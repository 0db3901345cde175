//! Storage keys, and moves and tests with keys other than the PSW's.

use crate::access::Access;
use crate::execution::{Done, Execution, Trap};
use crate::instruction::Code;
use crate::interruption::ProgramCode;
use crate::operand::{Address, Bd, Bd32, Number};
use crate::psw;
use crate::storage::StorageKeys;

/// The absolute block a register points to, as a real address.
fn block(x: &Execution<'_>, register: usize) -> u64 {
    x.prefixed(x.pointer(register) & !0xfff)
}

/// INSERT STORAGE KEY EXTENDED.
pub(crate) fn insert(x: &mut Execution<'_>, code: Code) -> Done {
    let key = x.storage.keys().get(block(x, code.n28()))?;
    key.put(&mut x.state.gprs[code.n24()]);
    Ok(())
}

/// SET STORAGE KEY EXTENDED, with the conditional form (facility 10): M3 bits MR and MC say that R and C alone are no
/// reason to set the key; GR1 gets the old key, and condition code 0 says that nothing was set.
pub(crate) fn set(x: &mut Execution<'_>, code: Code) -> Done {
    const MR: usize = 4;
    const MC: usize = 2;
    let block = block(x, code.n28());
    let new = x.state.gprs[code.n24()] as u8 & 0xfe;
    let condition = if x.facility(10) { code.n16() & (MR | MC) } else { 0 };
    if condition == 0 {
        x.storage.keys().set(block, new)?;
        return Ok(());
    }
    let old = x.storage.keys().get(block)?;
    let gpr = &mut x.state.gprs[code.n24()];
    *gpr = *gpr & !0xff00 | u64::from(old) << 8;
    let mut matters = 0xf8;
    if condition & MR == 0 {
        matters |= StorageKeys::REFERENCED;
    }
    if condition & MC == 0 {
        matters |= StorageKeys::CHANGED;
    }
    let differs = (old ^ new) & matters != 0;
    if differs {
        x.storage.keys().set(block, new)?;
    }
    x.set_cc(u8::from(differs));
    Ok(())
}

/// RESET REFERENCE BIT EXTENDED: the condition code tells the old reference and change bits.
pub(crate) fn reset_reference(x: &mut Execution<'_>, code: Code) -> Done {
    let block = block(x, code.n28());
    let key = x.storage.keys().get(block)?;
    x.storage.keys().set(block, key & !StorageKeys::REFERENCED)?;
    x.set_cc(key >> 1 & 3);
    Ok(())
}

/// INSERT VIRTUAL STORAGE KEY wants translation on: without, it is a special-operation exception. So are the other
/// instructions that only make sense with it (PC, PR, PT, SAC, SSAR, EPAR, MVCP, MVCOS, BAKR and so on).
pub(crate) fn needs_translation(_: &mut Execution<'_>, _: Code) -> Done {
    Err(ProgramCode::SpecialOperation.into())
}

/// TEST PROTECTION: what the key in the second-operand address may do to the first operand.
pub(crate) fn test_protection(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    let key = (Bd32::address(x, code) >> 4 & 0xf) as u8;
    let absolute = x.prefixed(address);
    if absolute >= x.storage.size() {
        return Err(ProgramCode::Addressing.into());
    }
    let fetch = x.check_key(absolute, Access::Fetch, key).is_ok();
    let store = x.check_key(absolute, Access::Store, key).is_ok() && x.check_low_address(address).is_ok();
    x.set_cc(match (fetch, store) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    });
    Ok(())
}

/// TEST BLOCK: clears the block that R2 points to. Its contents are always usable here.
pub(crate) fn test_block(x: &mut Execution<'_>, code: Code) -> Done {
    let real = x.pointer(code.n28()) & !0xfff;
    x.check_low_address(real)?;
    let absolute = x.prefixed(real);
    x.storage.write(absolute, &[0; 4096])?;
    x.state.gprs[0] = 0;
    x.set_cc(0);
    Ok(())
}

impl Execution<'_> {
    /// Does something with another access key in the PSW.
    fn with_key<R>(&mut self, key: u8, act: impl FnOnce(&mut Self) -> R) -> R {
        let own = self.state.psw.mask & psw::KEY;
        self.state.psw.mask = self.state.psw.mask & !psw::KEY | u64::from(key) << 52;
        let result = act(self);
        self.state.psw.mask = self.state.psw.mask & !psw::KEY | own;
        result
    }
}

fn checked_key(x: &Execution<'_>, register: usize) -> Result<u8, Trap> {
    let key = (x.state.gprs[register] >> 4 & 0xf) as u8;
    if x.may_use_key(key) { Ok(key) } else { Err(ProgramCode::PrivilegedOperation.into()) }
}

/// MOVE WITH KEY: up to 256 bytes of the length in R1, the source with the key in R3.
pub(crate) fn move_with_key(x: &mut Execution<'_>, code: Code) -> Done {
    let key = checked_key(x, code.n12())?;
    let length = x.count(code.n8());
    let now = length.min(256) as usize;
    let mut bytes = [0; 256];
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.with_key(key, |x| x.read(from, &mut bytes[..now]))?;
    x.write(to, &bytes[..now])?;
    x.set_cc(if length > 256 { 3 } else { 0 });
    Ok(())
}

/// MOVE WITH SOURCE KEY: GR0's low byte is the length less one, GR1 has the key of the second operand.
pub(crate) fn move_with_source_key(x: &mut Execution<'_>, code: Code) -> Done {
    let key = checked_key(x, 1)?;
    let length = usize::from(x.state.gprs[0] as u8) + 1;
    let mut bytes = [0; 256];
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.with_key(key, |x| x.read(from, &mut bytes[..length]))?;
    x.write(to, &bytes[..length])
}

/// MOVE WITH DESTINATION KEY: as before, with the key of the first operand.
pub(crate) fn move_with_destination_key(x: &mut Execution<'_>, code: Code) -> Done {
    let key = checked_key(x, 1)?;
    let length = usize::from(x.state.gprs[0] as u8) + 1;
    let mut bytes = [0; 256];
    let (to, from) = (Bd::address(x, code), Bd32::address(x, code));
    x.read(from, &mut bytes[..length])?;
    x.with_key(key, |x| x.write(to, &bytes[..length]))
}
