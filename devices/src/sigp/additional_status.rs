//! STORE ADDITIONAL STATUS AT ADDRESS: the registers that a CPU has by facilities of its model, for who dumps a guest
//! (`target/s390x/sigp.c: sigp_store_adtl_status`, `target/s390x/helper.c: s390_store_adtl_status`).

use super::Answer;
use adjunct_hypervisor::{AdditionalState, GuestMemory, Result, Vcpu};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _};

/// The bits of the order's parameter that have the binary logarithm of the area's length.
const LENGTH: u64 = 0xf;
/// The length that 0 stands for, 1 KiB. Without guarded storage 0 is all that can be given.
const SHORTEST: u64 = 10;
/// The longest: 4 KiB.
const LONGEST: u64 = 12;
/// Where the area has the guarded-storage control block, if it is so long.
const GUARDED_STORAGE: u64 = 0x400;

/// Stores what `target` has at the address that `parameter` names; the rest of the area stays as it is.
///
/// # Errors
/// The host does not say what the guest's model is.
pub(super) fn store(
    parameter: u64,
    target: &mut dyn Vcpu,
    stopped: bool,
    memory: &GuestMemory,
) -> Result<Answer> {
    let AdditionalState { vrs, gscb } = target.additional_state()?;
    if vrs.is_none() && gscb.is_none() {
        return Ok(Answer::INVALID_ORDER);
    }
    if !stopped {
        return Ok(Answer::INCORRECT_STATE);
    }
    let Some((address, length)) = area(parameter, gscb.is_some(), memory) else {
        return Ok(Answer::INVALID_PARAMETER);
    };
    let registers = [
        (0, vrs.as_ref().map(|vrs| vrs.as_flattened())),
        (GUARDED_STORAGE, gscb.as_ref().map(<[u64; 4]>::as_slice)),
    ];
    for (offset, registers) in registers {
        if let Some(registers) = registers.filter(|_| offset < length) {
            let bytes: Vec<u8> = registers.iter().flat_map(|register| register.to_be_bytes()).collect();
            // Checked by `area`.
            let _ = memory.write_slice(&bytes, GuestAddress(address + offset));
        }
    }
    Ok(Answer::Accepted)
}

/// Address and length of the area that `parameter` names: a power of two that the model allows, on its own boundary, in
/// memory. (Outside of it QEMU accepts an order to store what is then lost: `system/physmem.c: address_space_map`.)
fn area(parameter: u64, guarded_storage: bool, memory: &GuestMemory) -> Option<(u64, u64)> {
    let (address, length) = (parameter & !LENGTH, parameter & LENGTH);
    let exponent = match length {
        0 => SHORTEST,
        SHORTEST..=LONGEST if guarded_storage => length,
        _ => return None,
    };
    let length = 1_u64 << exponent;
    let inside = memory.check_range(GuestAddress(address), 1_usize << exponent);
    (address.is_multiple_of(length) && inside).then_some((address, length))
}
