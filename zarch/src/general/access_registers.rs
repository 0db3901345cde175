//! Access registers. Without translation they only hold values: no access goes through them.

use crate::execution::{Done, Execution};
use crate::general::movement::registers;
use crate::instruction::Code;
use crate::operand::{Address, Number};
use crate::storage::Width;

/// EXTRACT ACCESS.
pub(crate) fn extract(x: &mut Execution<'_>, code: Code) -> Done {
    x.state.acrs[code.n28()].put(&mut x.state.gprs[code.n24()]);
    Ok(())
}

/// SET ACCESS.
pub(crate) fn set(x: &mut Execution<'_>, code: Code) -> Done {
    x.state.acrs[code.n24()] = x.state.gprs[code.n28()] as u32;
    Ok(())
}

/// COPY ACCESS.
pub(crate) fn copy(x: &mut Execution<'_>, code: Code) -> Done {
    x.state.acrs[code.n24()] = x.state.acrs[code.n28()];
    Ok(())
}

/// LOAD ACCESS MULTIPLE.
pub(crate) fn load_multiple<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    x.aligned(address, Width::Word)?;
    let mut bytes = [0; 64];
    let length = 4 * registers(code.n8(), code.n12()).count();
    x.read(address, &mut bytes[..length])?;
    for (register, value) in registers(code.n8(), code.n12()).zip(bytes.as_chunks::<4>().0) {
        x.state.acrs[register] = u32::from_be_bytes(*value);
    }
    Ok(())
}

/// STORE ACCESS MULTIPLE.
pub(crate) fn store_multiple<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    x.aligned(address, Width::Word)?;
    let mut bytes = [0; 64];
    let mut length = 0;
    for (register, slot) in registers(code.n8(), code.n12()).zip(bytes.as_chunks_mut::<4>().0) {
        *slot = x.state.acrs[register].to_be_bytes();
        length += 4;
    }
    x.write(address, &bytes[..length])
}

/// LOAD ADDRESS EXTENDED: the access register tells the address space, by PSW bits 16-17.
pub(crate) fn load_address_extended<A: Address>(x: &mut Execution<'_>, code: Code) -> Done {
    x.set_pointer(code.n8(), A::address(x, code));
    x.state.acrs[code.n8()] = match x.state.psw.mask >> 46 & 3 {
        0 => 0,
        // Access-register mode: that of the base register, where there is one.
        1 if code.n16() == 0 => 0,
        1 => x.state.acrs[code.n16()],
        2 => 1,
        _ => 2,
    };
    Ok(())
}
