//! SIGNAL PROCESSOR: the orders that a host leaves to user space.
//!
//! The caller has the target vCPU in hand, out of the guest, so every order but one is carried out at once. A CPU that is
//! to stop takes the interruptions first that are pending, for which it must run: until it comes back stopped, and
//! [`complete`] has been called for it, it is busy. This module refuses to know threads and which CPUs there are.
//!
//! Orders and answers are QEMU's (`target/s390x/sigp.c`, `arch/s390/include/asm/sigp.h`).

mod additional_status;

use crate::intercept::Sigp;
use adjunct_hypervisor::{CpuReset, GuestMemory, Local, Psw, Result, RunState, Vcpu};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _};

/// What the CPU that gave the order is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Condition code 0.
    Accepted,
    /// Condition code 1, and these bits in the status register.
    Status(u32),
    /// Condition code 2: try again.
    Busy,
    /// Condition code 3: there is no such CPU.
    NotOperational,
}

impl Answer {
    /// The target is not in the state that the order needs.
    pub const INCORRECT_STATE: Self = Self::Status(0x200);
    /// The parameter is of no use.
    pub const INVALID_PARAMETER: Self = Self::Status(0x100);
    /// There is no such order.
    pub const INVALID_ORDER: Self = Self::Status(0x002);

    /// Tells the CPU that gave `order`: condition code, and with it the status in bits 32-63 of its
    /// register.
    pub fn tell(self, order: &Sigp, sender: &mut dyn Vcpu) {
        let state = sender.state_mut();
        state.psw.set_condition_code(match self {
            Self::Accepted => 0,
            Self::Status(_) => 1,
            Self::Busy => 2,
            Self::NotOperational => 3,
        });
        if let Self::Status(status) = self {
            let register = &mut state.gprs[usize::from(order.status_register & 0xf)];
            *register = *register & !0xffff_ffff | u64::from(status);
        }
    }
}

/// What a CPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Stopped,
    /// It is in the host's hands.
    Operating,
    /// It waits, and no interruption can wake it. For the guest it operates.
    DisabledWait,
    /// It has been ordered to stop and does so when the host has let it take its interruptions.
    Stopping(StopOrder),
}

/// Which order a CPU stops for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOrder {
    /// `SIGP_STOP`
    Stop,
    /// `SIGP_STOP_AND_STORE_STATUS`
    StopAndStoreStatus,
}

/// An order for which the target is needed in hand.
#[derive(Clone, Copy, Debug)]
enum Needed {
    Start,
    Stop(StopOrder),
    Restart,
    Reset(CpuReset),
    SetPrefix,
    StoreStatusAtAddress,
    StoreAdditionalStatusAtAddress,
}

/// `SIGP_SET_ARCHITECTURE`, which is for all CPUs.
const SET_ARCHITECTURE: u8 = 0x12;

impl Needed {
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            0x04 => Self::Start,
            0x05 => Self::Stop(StopOrder::Stop),
            0x06 => Self::Restart,
            0x09 => Self::Stop(StopOrder::StopAndStoreStatus),
            0x0b => Self::Reset(CpuReset::Initial),
            0x0c => Self::Reset(CpuReset::Normal),
            0x0d => Self::SetPrefix,
            0x0e => Self::StoreStatusAtAddress,
            0x17 => Self::StoreAdditionalStatusAtAddress,
            _ => return None,
        })
    }

    /// What is left to do of `order` for a target in this state, or the answer that it has without.
    fn by(order: &Sigp, target: Option<State>) -> core::result::Result<Self, Answer> {
        if order.order == SET_ARCHITECTURE {
            // z/Architecture is all there is.
            return Err(Answer::INVALID_PARAMETER);
        }
        match (Self::of(order.order), target) {
            (_, None) => Err(Answer::NotOperational),
            (Some(reset @ Self::Reset(_)), _) => Ok(reset),
            (_, Some(State::Stopping(_))) => Err(Answer::Busy),
            (needed, _) => needed.ok_or(Answer::INVALID_ORDER),
        }
    }
}

/// The answer to an order for which nobody needs the target in hand, which is in this state: one for all CPUs, one to a CPU
/// that is not there, or that can't take it now, or one that is none. Only resets break an order that is pending
/// (`target/s390x/sigp.c: handle_sigp_single_dst`). `None`: it is to be carried out.
pub fn at_once(order: &Sigp, target: Option<State>) -> Option<Answer> {
    Needed::by(order, target).err()
}

/// Carries out `order` on `target`, which is in the state `state`. Answers the state it is in
/// afterwards: one that is [`State::Stopping`] must be run until it comes back stopped, then comes [`complete`].
///
/// # Errors
/// What the host refuses; a store status that finds no storage is an answer, not an error.
pub fn carry_out(
    order: &Sigp,
    target: &mut dyn Vcpu,
    state: State,
    memory: &GuestMemory,
) -> Result<(Answer, State)> {
    let needed = match Needed::by(order, Some(state)) {
        Ok(needed) => needed,
        Err(answer) => return Ok((answer, state)),
    };
    let stopped = state == State::Stopped;
    match needed {
        Needed::Start if !stopped => Ok((Answer::Accepted, state)),
        Needed::Start => {
            target.set_run_state(RunState::Operating)?;
            Ok((Answer::Accepted, State::Operating))
        }
        Needed::Stop(order) => Ok((Answer::Accepted, stop(order, target, state)?)),
        Needed::Restart => {
            if stopped {
                // Comes before any other pending interruption, so it can't wait for the host's order of them.
                restart(target, memory);
                target.set_run_state(RunState::Operating)?;
            } else {
                target.inject(Local::Restart)?;
            }
            Ok((Answer::Accepted, State::Operating))
        }
        Needed::Reset(kind) => {
            target.reset(kind)?;
            target.set_run_state(RunState::Stopped)?;
            Ok((Answer::Accepted, State::Stopped))
        }
        Needed::SetPrefix => Ok((set_prefix(order, target, stopped, memory), state)),
        Needed::StoreStatusAtAddress if !stopped => Ok((Answer::INCORRECT_STATE, state)),
        Needed::StoreStatusAtAddress => {
            let address = order.parameter & 0x7fff_fe00;
            if !memory.check_range(GuestAddress(address), STATUS_AREA) {
                return Ok((Answer::INVALID_PARAMETER, state));
            }
            target.store_status(Some(address))?;
            Ok((Answer::Accepted, state))
        }
        Needed::StoreAdditionalStatusAtAddress => {
            Ok((additional_status::store(order.parameter, target, stopped, memory)?, state))
        }
    }
}

/// A CPU that waits for nothing is not in the host's hands, so it is stopped by whoever has it (`sigp.c: sigp_stop`).
fn stop(order: StopOrder, target: &mut dyn Vcpu, state: State) -> Result<State> {
    match state {
        State::Operating => {
            target.inject(Local::Stop)?;
            Ok(State::Stopping(order))
        }
        State::Stopped | State::DisabledWait | State::Stopping(_) => {
            complete(order, target)?;
            Ok(State::Stopped)
        }
    }
}

/// Stops `target`, which has come back for `order`. For the host it is stopped only when its status is stored, as in
/// `arch/s390/kvm/intercept.c: handle_stop`: from then on others are told so.
///
/// # Errors
/// What the host refuses.
pub fn complete(order: StopOrder, target: &mut dyn Vcpu) -> Result<()> {
    if order == StopOrder::StopAndStoreStatus {
        target.store_status(None)?;
    }
    target.set_run_state(RunState::Stopped)
}

/// Length of a status save area in bytes.
const STATUS_AREA: usize = 512;
/// Length of the prefix area in bytes.
const PREFIX_AREA: usize = 8192;

fn set_prefix(order: &Sigp, target: &mut dyn Vcpu, stopped: bool, memory: &GuestMemory) -> Answer {
    let prefix = order.parameter & 0x7fff_e000;
    if !memory.check_range(GuestAddress(prefix), PREFIX_AREA) {
        return Answer::INVALID_PARAMETER;
    }
    if !stopped {
        return Answer::INCORRECT_STATE;
    }
    // The mask leaves 31 bits.
    target.state_mut().prefix = u32::try_from(prefix).unwrap_or_default();
    Answer::Accepted
}

/// The restart interruption: swaps PSWs in the target's prefix area (restart old PSW at 0x120, new
/// at 0x1a0). A prefix area outside memory can't be: nobody may set one.
fn restart(target: &mut dyn Vcpu, memory: &GuestMemory) {
    let prefix = u64::from(target.state().prefix);
    let psw = target.state().psw;
    let word = |at: u64| {
        let mut bytes = [0; 8];
        let read = memory.read_slice(&mut bytes, GuestAddress(prefix + at));
        read.map_or(0, |()| u64::from_be_bytes(bytes))
    };
    let new = Psw { mask: word(0x1a0), address: word(0x1a8) };
    for (at, value) in [(0x120, psw.mask), (0x128, psw.address)] {
        // Checked by what was read before.
        let _ = memory.write_slice(&value.to_be_bytes(), GuestAddress(prefix + at));
    }
    target.state_mut().psw = new;
}

#[cfg(test)]
mod tests;
