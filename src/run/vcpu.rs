//! The thread of one vCPU: runs it, serves what concerns it alone, and hands it back with the reason
//! when something concerns more.

use crate::{
    console::{Console, input::Room},
    counts::{Counts, ExitKind},
    outcome::Broken,
    wait::Flag,
};
use adjunct_devices::{
    ProgramInterruption,
    css::Css,
    intercept::{self, Intercept, Sigp},
    ipl::{self, IplAction, ResetKind},
    sclp::Sclp,
};
use adjunct_hypervisor::{Exit, Floating, GuestMemory, KernelError, Kick, Vcpu, Vm};
use std::{
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What all vCPU threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) vm: Arc<dyn Vm>,
    pub(super) memory: GuestMemory,
    pub(super) sclp: Mutex<Sclp>,
    pub(super) css: Mutex<Css>,
    pub(super) room: Arc<Room>,
    /// Where the guest's output waits for its reader; none: it is kept.
    pub(super) console: Option<Console>,
    pub(super) counts: Counts,
    /// All vCPUs.
    pub(super) kickers: Vec<Arc<dyn Kick>>,
    /// Whether a CPU waits that no interruption can wake: it is not in `KVM_RUN`, but the host thinks that it operates.
    pub(super) one_is_out: AtomicBool,
}

impl Shared {
    /// Makes an interruption pending for the first CPU that takes it.
    pub(super) fn inject(&self, interruption: Floating) -> Result<(), KernelError> {
        self.vm.inject(interruption)?;
        if self.one_is_out.load(Ordering::SeqCst) {
            self.have_all_look();
        }
        Ok(())
    }

    /// Has each CPU in `KVM_RUN` look what is pending. KVM wakes one CPU for a floating interruption and leaves it to that
    /// one. It takes the last that slept and is not stopped (`arch/s390/kvm/s390/interrupt.c: __floating_irq_kick`, 7.3);
    /// if that is one that is out, those that sleep are not woken. Older kernels take one that sleeps; if none does, the next
    /// in turn, and while that is out the others look when they leave SIE for something else (6.12).
    pub(super) fn have_all_look(&self) {
        self.kickers.iter().for_each(|kicker| kicker.kick());
    }
}

/// What a vCPU's thread has for itself.
#[derive(Debug)]
pub(super) struct Own {
    /// Up while somebody wants the vCPU back. A kick alone ends `KVM_RUN` only.
    pub(super) wanted: Flag,
    /// Whether this CPU has had the SCLP, and what it wrote there may not have been taken yet.
    pub(super) owes: bool,
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
    /// The CPU has been ordered to stop, and has taken what was pending.
    Stopped,
    /// The CPU waits, and no interruption can wake it.
    DisabledWait,
    /// The CPU can't go on.
    Broken(Broken),
    /// The host refused to run it.
    Refused(KernelError),
}

/// Function code of the DIAGNOSE for initial program load.
const DIAGNOSE_IPL: u16 = 0x308;

/// Runs `vcpu` until it must be handed back.
pub(super) fn run(vcpu: &mut dyn Vcpu, shared: &Shared, own: &mut Own) -> Why {
    loop {
        // Here and not at the SCLP, which others need meanwhile. Whoever wants this CPU has kicked it too.
        if own.owes {
            let console = shared.console.as_ref();
            own.owes = console.is_some_and(|console| !console.wait(own.wanted.as_fd()));
        }
        let served = match vcpu.run() {
            Ok(exit) => serve(exit, vcpu, shared, own),
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
fn serve(
    exit: Exit,
    vcpu: &mut dyn Vcpu,
    shared: &Shared,
    own: &mut Own,
) -> Result<Option<Why>, KernelError> {
    if let Some(kind) = ExitKind::told_by(&exit) {
        shared.counts.exit(kind);
    }
    match exit {
        Exit::Sieic { icptcode, ipa, ipb } => {
            let intercept = intercept::decode(icptcode, ipa, ipb, vcpu.state());
            tracing::debug!("CPU {}: {intercept:x?}", vcpu.id());
            shared.counts.exit(ExitKind::of(&intercept));
            own.owes |= matches!(intercept, Intercept::ServiceCall(_));
            act(intercept, vcpu, shared)
        }
        // KVM makes this exit of DIAGNOSE 0x308 subcodes 3 and 4 only.
        Exit::Reset { .. } => Ok(Some(Why::Reset(ResetKind::ReIpl))),
        // By a kick that only has it look what is pending, it goes on.
        Exit::Interrupted => Ok(own.wanted.is_up().then_some(Why::Kicked)),
        // Nobody makes interruptions of subchannels pending, so none was dequeued that would have to be put back.
        Exit::Tsch { ipb, .. } => {
            act(Intercept::ChannelIo(intercept::test_subchannel(ipb, vcpu.state())), vcpu, shared)
        }
        Exit::Stsi { .. } | Exit::Debug => Ok(unserved(format!("the exit {exit:?}"))),
        Exit::Unknown { reason } => Ok(unserved(format!("KVM's exit {reason}"))),
    }
}

fn unserved(what: String) -> Option<Why> {
    Some(Why::Broken(Broken::Unserved(what)))
}

fn act(intercept: Intercept, vcpu: &mut dyn Vcpu, shared: &Shared) -> Result<Option<Why>, KernelError> {
    match intercept {
        Intercept::ServiceCall(call) => {
            let prefix = vcpu.state().prefix;
            let served = shared.sclp.lock().unwrap_or_else(PoisonError::into_inner).service_call(
                call,
                prefix,
                &shared.memory,
            );
            shared.room.may_be_there();
            match served {
                Ok(signal) => {
                    shared.inject(signal.into())?;
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
        Intercept::ChannelIo(io) => {
            shared.css.lock().unwrap_or_else(PoisonError::into_inner).execute(io, vcpu)?;
        }
        Intercept::Ap(_) => vcpu.inject(ProgramInterruption::Operation.into())?,
        Intercept::Program(program) => vcpu.inject(program.into())?,
        Intercept::DisabledWait => return Ok(Some(Why::DisabledWait)),
        Intercept::ProgramLoop => return Ok(Some(Why::Broken(Broken::ProgramLoop))),
        Intercept::OperationLoop => return Ok(Some(Why::Broken(Broken::OperationLoop))),
        Intercept::ExternalLoop => return Ok(Some(Why::Broken(Broken::ExternalLoop))),
        Intercept::Stopped => return Ok(Some(Why::Stopped)),
        Intercept::Unknown { icptcode, ipa, ipb } => {
            let what = format!("interception code {icptcode:#04x} (instruction {ipa:04x} {ipb:08x})");
            return Ok(unserved(what));
        }
    }
    Ok(None)
}
