//! The status of a CPU in memory: what `KVM_S390_STORE_STATUS` stores, and where
//! (`arch/s390/kvm/kvm-s390.c: kvm_s390_store_status_unloaded`, 7.2).

use adjunct_zarch::{
    State,
    storage::{OutsideStorage, Storage, Width},
};

/// Where the lowcore has the save areas; an area elsewhere has the layout of the lowcore from there on.
const SAVE_AREA: u64 = 0x1200;
/// Where the lowcore has the architectural-mode identification.
const ARCHITECTURAL_MODE: u64 = 163;

/// Stores the status of a CPU into the 512 bytes at absolute `at`, or without it into the lowcore at absolute 0
/// (`KVM_S390_STORE_STATUS_NOADDR`), which is then also told that this is z/Architecture.
///
/// # Errors
/// Part of the area is outside storage.
pub(super) fn store(state: &State, ram: &dyn Storage, at: Option<u64>) -> Result<(), OutsideStorage> {
    if at.is_none() {
        ram.store(ARCHITECTURAL_MODE, Width::Byte, 1)?;
    }
    let area = at.unwrap_or(SAVE_AREA);
    let field = |lowcore: u64| area.wrapping_add(lowcore - SAVE_AREA);
    for (n, register) in (0_u64..).zip(state.fprs) {
        ram.store(field(0x1200 + 8 * n), Width::Double, register)?;
    }
    for (n, register) in (0_u64..).zip(state.gprs) {
        ram.store(field(0x1280 + 8 * n), Width::Double, register)?;
    }
    ram.write(field(0x1300), &state.psw.to_be_bytes())?;
    ram.store(field(0x1318), Width::Word, state.prefix.into())?;
    ram.store(field(0x131c), Width::Word, state.fpc.into())?;
    ram.store(field(0x1324), Width::Word, state.tod_programmable.into())?;
    ram.store(field(0x1328), Width::Double, state.cpu_timer)?;
    ram.store(field(0x1330), Width::Double, state.clock_comparator >> 8)?;
    for (n, register) in (0_u64..).zip(state.acrs) {
        ram.store(field(0x1340 + 4 * n), Width::Word, register.into())?;
    }
    for (n, register) in (0_u64..).zip(state.crs) {
        ram.store(field(0x1380 + 8 * n), Width::Double, register)?;
    }
    Ok(())
}
