//! The thread of one vCPU: runs it, serves what concerns it alone, and hands it back with the reason
//! when something concerns more.

use adjunct_devices::{
    ProgramInterruption,
    intercept::{self, Intercept, Sigp},
    ipl::{self, IplAction, ResetKind},
    sclp::Sclp,
};
use adjunct_hypervisor::{CpuState, Exit, GuestMemory, KernelError, Psw, Vcpu, Vm};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// What all vCPU threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) vm: Arc<dyn Vm>,
    pub(super) memory: GuestMemory,
    pub(super) sclp: Mutex<Sclp>,
}

/// Why a vCPU came back from its thread.
#[derive(Debug)]
pub(super) enum Why {
    /// Somebody wanted it back.
    Kicked,
    /// The guest asks for a reset.
    Reset(ResetKind),
    /// An order to another CPU.
    Sigp(Sigp),
    /// The CPU has stopped itself.
    Stopped,
    /// The CPU waits, and no interruption can wake it.
    DisabledWait(Psw),
    /// The CPU can't go on.
    Broken(Broken),
    /// The host refused to run it.
    Refused(KernelError),
}

/// How a CPU can end badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Program interruptions without end.
    ProgramLoop(Psw),
    /// External interruptions without end.
    ExternalLoop(Psw),
    /// Something the VMM can't serve, and the CPU's state then.
    Unserved(String, Box<CpuState>),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProgramLoop(psw) => {
                write!(f, "the new PSW for program interruptions leads to another one for ever; PSW {psw}")
            }
            Self::ExternalLoop(psw) => {
                write!(f, "the new PSW for external interruptions leads to another one for ever; PSW {psw}")
            }
            Self::Unserved(what, state) => {
                write!(f, "{what} can't be served; PSW {}; prefix {:x}", state.psw, state.prefix)?;
                write!(f, "; GPRs {:x?}; CRs {:x?}", state.gprs, state.crs)
            }
        }
    }
}

/// Function code of the DIAGNOSE for initial program load.
const DIAGNOSE_IPL: u16 = 0x308;

/// Runs `vcpu` until it must be handed back.
pub(super) fn run(vcpu: &mut dyn Vcpu, shared: &Shared) -> Why {
    loop {
        let served = match vcpu.run() {
            Ok(exit) => serve(exit, vcpu, shared),
            Err(refused) => return Why::Refused(refused),
        };
        match served {
            Ok(None) => {}
            Ok(Some(why)) => return why,
            Err(refused) => return Why::Refused(refused),
        }
    }
}

/// Serves one exit; `None`: the vCPU can go on.
fn serve(exit: Exit, vcpu: &mut dyn Vcpu, shared: &Shared) -> Result<Option<Why>, KernelError> {
    match exit {
        Exit::Sieic { icptcode, ipa, ipb } => {
            let intercept = intercept::decode(icptcode, ipa, ipb, vcpu.state());
            tracing::debug!("CPU {}: {intercept:x?}", vcpu.id());
            act(intercept, vcpu, shared)
        }
        // KVM makes this exit of DIAGNOSE 0x308 subcodes 3 and 4 only.
        Exit::Reset { .. } => Ok(Some(Why::Reset(ResetKind::ReIpl))),
        Exit::Interrupted => Ok(Some(Why::Kicked)),
        Exit::Tsch { .. } | Exit::Stsi { .. } | Exit::Debug => unserved(format!("the exit {exit:?}"), vcpu),
        Exit::Unknown { reason } => unserved(format!("KVM's exit {reason}"), vcpu),
    }
}

fn unserved(what: String, vcpu: &dyn Vcpu) -> Result<Option<Why>, KernelError> {
    Ok(Some(Why::Broken(Broken::Unserved(what, Box::new(vcpu.state().clone())))))
}

fn act(intercept: Intercept, vcpu: &mut dyn Vcpu, shared: &Shared) -> Result<Option<Why>, KernelError> {
    let psw = vcpu.state().psw;
    match intercept {
        Intercept::ServiceCall(call) => {
            let prefix = vcpu.state().prefix;
            let mut sclp = shared.sclp.lock().unwrap_or_else(PoisonError::into_inner);
            match sclp.service_call(call, prefix, &shared.memory) {
                Ok(signal) => {
                    shared.vm.inject(signal.into())?;
                    vcpu.state_mut().psw.set_condition_code(0);
                }
                Err(program) => vcpu.inject(program.into())?,
            }
        }
        Intercept::Diagnose { code: DIAGNOSE_IPL, r1, r3 } => {
            match ipl::diagnose_308(r1, r3, vcpu.state(), &shared.memory) {
                IplAction::Reset(kind) => return Ok(Some(Why::Reset(kind))),
                IplAction::Answer { register, rc } => vcpu.state_mut().gprs[usize::from(register)] = rc,
                IplAction::Exception(program) => vcpu.inject(program.into())?,
            }
        }
        Intercept::Diagnose { .. } => vcpu.inject(ProgramInterruption::Specification.into())?,
        Intercept::Sigp(order) => return Ok(Some(Why::Sigp(order))),
        Intercept::ChannelIo(_) => vcpu.state_mut().psw.set_condition_code(3),
        Intercept::Ap(_) => vcpu.inject(ProgramInterruption::Operation.into())?,
        Intercept::Program(program) => vcpu.inject(program.into())?,
        Intercept::DisabledWait => return Ok(Some(Why::DisabledWait(psw))),
        Intercept::ProgramLoop => return Ok(Some(Why::Broken(Broken::ProgramLoop(psw)))),
        Intercept::ExternalLoop => return Ok(Some(Why::Broken(Broken::ExternalLoop(psw)))),
        Intercept::Stopped => return Ok(Some(Why::Stopped)),
        Intercept::Unknown { icptcode, ipa, ipb } => {
            let what = format!("interception code {icptcode:#04x} (instruction {ipa:04x} {ipb:08x})");
            return unserved(what, vcpu);
        }
    }
    Ok(None)
}
