//! SIGNAL PROCESSOR as the kernel does it (`arch/s390/kvm/sigp.c`, 7.2, without `KVM_CAP_S390_USER_SIGP`).
//!
//! Sense, external call, the emergency signals, stop, set prefix, store status and sense running are the kernel's;
//! start, restart and the CPU resets are user space's, and so is what the kernel does not know.

use super::{
    board::Slot,
    intercept::{Handled, Intercept},
    machine,
};
use adjunct_hypervisor::RunState;
use adjunct_zarch::{
    State, psw,
    storage::{OutsideStorage, Storage, Width},
};

/// Order codes (`arch/s390/include/asm/sigp.h`).
const SENSE: u64 = 0x01;
const EXTERNAL_CALL: u64 = 0x02;
const EMERGENCY_SIGNAL: u64 = 0x03;
const STOP: u64 = 0x05;
const STOP_AND_STORE_STATUS: u64 = 0x09;
const INITIAL_CPU_RESET: u64 = 0x0b;
const CPU_RESET: u64 = 0x0c;
const SET_PREFIX: u64 = 0x0d;
const STORE_STATUS_AT_ADDRESS: u64 = 0x0e;
const SET_ARCHITECTURE: u64 = 0x12;
const COND_EMERGENCY_SIGNAL: u64 = 0x13;
const SENSE_RUNNING: u64 = 0x15;

/// Status bits, which go into the low half of R1.
const INVALID_ORDER: u32 = 0x002;
const STOPPED: u32 = 0x040;
const EXTERNAL_CALL_PENDING: u32 = 0x080;
const INVALID_PARAMETER: u32 = 0x100;
const INCORRECT_STATE: u32 = 0x200;
const NOT_RUNNING: u32 = 0x400;

/// What the sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Condition code 0.
    Accepted,
    /// Condition code 1, with the status.
    Status(u32),
    /// Condition code 2.
    Busy,
    /// Condition code 3.
    NotOperational,
    /// The order is user space's.
    UserSpace,
}

/// `kvm_s390_handle_sigp`.
pub(super) fn handle(intercept: &mut Intercept<'_>) -> Handled {
    let (r1, r3) = intercept.registers();
    let order = intercept.second_operand() & 0xff;
    let parameter = intercept.gpr(if r1 % 2 == 1 { r1 } else { r1 + 1 });
    let [.., high, low] = intercept.gpr(r3).to_be_bytes();
    let target = u16::from_be_bytes([high, low]);
    let answer = match order {
        // A z/Architecture CPU is in the mode that is asked for, or the mode is none.
        SET_ARCHITECTURE => Answer::Status(INVALID_PARAMETER),
        _ => signal(intercept, order, target, parameter),
    };
    let code = match answer {
        Answer::UserSpace => return Handled::UserSpace,
        Answer::Accepted => 0,
        Answer::Status(status) => {
            let r1 = &mut intercept.cpu.state.gprs[r1];
            *r1 = *r1 & !0xffff_ffff | u64::from(status);
            1
        }
        Answer::Busy => 2,
        Answer::NotOperational => 3,
    };
    intercept.condition(code)
}

/// `handle_sigp_dst`.
fn signal(intercept: &Intercept<'_>, order: u64, target: u16, parameter: u64) -> Answer {
    let sender = intercept.id;
    let senses_running = intercept.vm.model.has(machine::SENSE_RUNNING);
    let visit = |slot: &mut Slot| {
        let resets = matches!(order, INITIAL_CPU_RESET | CPU_RESET);
        if !resets && (slot.mail.stop.is_some() || slot.mail.restart) {
            return Answer::Busy;
        }
        match order {
            SENSE => sense(slot),
            EXTERNAL_CALL if call_pending(slot) => Answer::Status(EXTERNAL_CALL_PENDING),
            EXTERNAL_CALL => {
                slot.mail.external_call = Some(sender);
                Answer::Accepted
            }
            EMERGENCY_SIGNAL => emergency(slot, sender),
            COND_EMERGENCY_SIGNAL => conditional_emergency(slot, sender, parameter),
            STOP => stop(slot, None, intercept),
            STOP_AND_STORE_STATUS => stop(slot, Some(()), intercept),
            SET_PREFIX => set_prefix(slot, parameter, intercept),
            STORE_STATUS_AT_ADDRESS => store_status_at(slot, parameter, intercept),
            SENSE_RUNNING if !senses_running => Answer::Status(INVALID_ORDER),
            SENSE_RUNNING if slot.running() => Answer::Accepted,
            SENSE_RUNNING => Answer::Status(NOT_RUNNING),
            _ => Answer::UserSpace,
        }
    };
    intercept.vm.board.with(target, visit).unwrap_or(Answer::NotOperational)
}

fn is_stopped(slot: &Slot) -> bool {
    slot.run_state == RunState::Stopped
}

fn call_pending(slot: &Slot) -> bool {
    slot.mail.external_call.is_some() || slot.external_call_pending
}

/// `__sigp_sense`.
fn sense(slot: &Slot) -> Answer {
    let call = if call_pending(slot) { EXTERNAL_CALL_PENDING } else { 0 };
    let stopped = if is_stopped(slot) { STOPPED } else { 0 };
    match call | stopped {
        0 => Answer::Accepted,
        status => Answer::Status(status),
    }
}

fn emergency(slot: &mut Slot, sender: u16) -> Answer {
    if !slot.mail.emergencies.contains(&sender) {
        slot.mail.emergencies.push(sender);
    }
    Answer::Accepted
}

/// `__sigp_conditional_emergency`: a running CPU always gets it; a stopped one unless it is enabled for I/O and
/// external interruptions and works in another address space than the one that `parameter` names.
fn conditional_emergency(slot: &mut Slot, sender: u16, parameter: u64) -> Answer {
    const ENABLED: u64 = psw::IO | psw::EXTERNAL;
    let asn = parameter & 0xffff;
    let [primary, secondary] = [4, 3].map(|cr: usize| slot.stopped.crs[cr] & 0xffff);
    let disabled = slot.stopped.psw.mask & ENABLED != ENABLED;
    if !is_stopped(slot) || disabled || asn == primary || asn == secondary {
        return emergency(slot, sender);
    }
    Answer::Status(INCORRECT_STATE)
}

/// `__sigp_stop`, `__sigp_stop_and_store_status`: user space learns of it by an exit of the target's.
fn stop(slot: &mut Slot, store_status: Option<()>, intercept: &Intercept<'_>) -> Answer {
    if is_stopped(slot) {
        if store_status.is_some() {
            self::store_status(&slot.stopped, intercept.ram, 0).ok();
        }
        return Answer::Accepted;
    }
    slot.mail.stop = Some(store_status.is_some());
    Answer::Accepted
}

/// `__sigp_set_prefix`.
fn set_prefix(slot: &mut Slot, parameter: u64, intercept: &Intercept<'_>) -> Answer {
    let [.., a, b, c, d] = parameter.to_be_bytes();
    let prefix = u32::from_be_bytes([a, b, c, d]) & 0x7fff_e000;
    if u64::from(prefix) >= intercept.ram.size() {
        return Answer::Status(INVALID_PARAMETER);
    }
    if !is_stopped(slot) {
        return Answer::Status(INCORRECT_STATE);
    }
    slot.mail.prefix = Some(prefix);
    Answer::Accepted
}

/// `__sigp_store_status_at_addr`.
fn store_status_at(slot: &Slot, parameter: u64, intercept: &Intercept<'_>) -> Answer {
    if !is_stopped(slot) {
        return Answer::Status(INCORRECT_STATE);
    }
    // The area's layout is that of the lowcore from 0x1200 on.
    let area = parameter & 0x7fff_fe00;
    match store_status(&slot.stopped, intercept.ram, area.wrapping_sub(SAVE_AREA)) {
        Ok(()) => Answer::Accepted,
        Err(OutsideStorage) => Answer::Status(INVALID_PARAMETER),
    }
}

/// Where the lowcore has the save areas.
const SAVE_AREA: u64 = 0x1200;

/// Stores the status of a CPU into the save areas of the lowcore at absolute `lowcore`
/// (`kvm_s390_store_status_unloaded`).
///
/// # Errors
/// Part of the areas is outside storage.
pub(super) fn store_status(state: &State, ram: &dyn Storage, lowcore: u64) -> Result<(), OutsideStorage> {
    let at = |offset: u64| lowcore.wrapping_add(offset);
    for (n, register) in (0_u64..).zip(state.fprs) {
        ram.store(at(0x1200 + 8 * n), Width::Double, register)?;
    }
    for (n, register) in (0_u64..).zip(state.gprs) {
        ram.store(at(0x1280 + 8 * n), Width::Double, register)?;
    }
    ram.write(at(0x1300), &state.psw.to_be_bytes())?;
    ram.store(at(0x1318), Width::Word, state.prefix.into())?;
    ram.store(at(0x131c), Width::Word, state.fpc.into())?;
    ram.store(at(0x1324), Width::Word, state.tod_programmable.into())?;
    ram.store(at(0x1328), Width::Double, state.cpu_timer)?;
    ram.store(at(0x1330), Width::Double, state.clock_comparator >> 8)?;
    for (n, register) in (0_u64..).zip(state.acrs) {
        ram.store(at(0x1340 + 4 * n), Width::Word, register.into())?;
    }
    for (n, register) in (0_u64..).zip(state.crs) {
        ram.store(at(0x1380 + 8 * n), Width::Double, register)?;
    }
    Ok(())
}
