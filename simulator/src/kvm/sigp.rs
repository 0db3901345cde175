//! SIGNAL PROCESSOR as the kernel does it with `KVM_CAP_S390_USER_SIGP` (`arch/s390/kvm/sigp.c`, 7.2).
//!
//! Sense, external call, the emergency signals and sense running are the kernel's; every other order leaves for user
//! space before anybody looks whether there is such a CPU.

use super::{
    board::Slot,
    intercept::{Handled, Intercept},
    machine,
};
use adjunct_hypervisor::RunState;

/// Order codes (`arch/s390/include/asm/sigp.h`).
const SENSE: u8 = 0x01;
const EXTERNAL_CALL: u8 = 0x02;
const EMERGENCY_SIGNAL: u8 = 0x03;
const COND_EMERGENCY_SIGNAL: u8 = 0x13;
const SENSE_RUNNING: u8 = 0x15;

/// Status bits, which go into the low half of R1.
const INVALID_ORDER: u32 = 0x002;
const STOPPED: u32 = 0x040;
const EXTERNAL_CALL_PENDING: u32 = 0x080;
const NOT_RUNNING: u32 = 0x400;

/// An order that the kernel carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Sense,
    ExternalCall,
    EmergencySignal,
    SenseRunning,
}

impl Order {
    /// `None`: the order is user space's (`handle_sigp_order_in_user_space`).
    fn of(code: u8) -> Option<Self> {
        match code {
            SENSE => Some(Self::Sense),
            EXTERNAL_CALL => Some(Self::ExternalCall),
            // The kernel signals unless the *sender* is stopped (`__sigp_conditional_emergency`), and a CPU that
            // executes an instruction is not: the condition never holds a signal back.
            EMERGENCY_SIGNAL | COND_EMERGENCY_SIGNAL => Some(Self::EmergencySignal),
            SENSE_RUNNING => Some(Self::SenseRunning),
            _ => None,
        }
    }
}

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
}

/// `kvm_s390_handle_sigp`.
pub(super) fn handle(intercept: &mut Intercept<'_>) -> Handled {
    let (r1, r3) = intercept.registers();
    let [.., code] = intercept.second_operand().to_be_bytes();
    let [.., high, low] = intercept.gpr(r3).to_be_bytes();
    let Some(order) = Order::of(code) else { return Handled::UserSpace };
    let code = match signal(intercept, order, u16::from_be_bytes([high, low])) {
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
fn signal(intercept: &Intercept<'_>, order: Order, target: u16) -> Answer {
    let sender = intercept.id;
    let senses_running = intercept.vm.model.has(machine::SENSE_RUNNING);
    let visit = |slot: &mut Slot| {
        if slot.mail.restart || slot.stop_ordered {
            return Answer::Busy;
        }
        match order {
            Order::Sense => sense(slot),
            Order::ExternalCall if call_pending(slot) => Answer::Status(EXTERNAL_CALL_PENDING),
            Order::ExternalCall => {
                slot.mail.external_call = Some(sender);
                Answer::Accepted
            }
            Order::EmergencySignal => {
                if !slot.mail.emergencies.contains(&sender) {
                    slot.mail.emergencies.push(sender);
                }
                Answer::Accepted
            }
            Order::SenseRunning if !senses_running => Answer::Status(INVALID_ORDER),
            Order::SenseRunning if slot.running() => Answer::Accepted,
            Order::SenseRunning => Answer::Status(NOT_RUNNING),
        }
    };
    intercept.vm.board.with(target, visit).unwrap_or(Answer::NotOperational)
}

fn call_pending(slot: &Slot) -> bool {
    slot.mail.external_call.is_some() || slot.external_call_pending
}

/// `__sigp_sense`.
fn sense(slot: &Slot) -> Answer {
    let call = if call_pending(slot) { EXTERNAL_CALL_PENDING } else { 0 };
    let stopped = if slot.run_state == RunState::Stopped { STOPPED } else { 0 };
    match call | stopped {
        0 => Answer::Accepted,
        status => Answer::Status(status),
    }
}
