//! How a guest ended, or why it did not run.

use crate::{
    console::ConsoleError,
    event::{EndCause, Event, PanicReason},
    exit_status::ExitStatus,
    machine::BuildError,
    plan::PlanError,
    sandbox::SandboxError,
    signals::Ending,
};
use adjunct_hypervisor::{CpuState, KernelError};
use std::{fmt, io};

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every CPU is stopped or in a disabled wait; this is the last word of the one that came to rest last, which waits.
    DisabledWait {
        /// CPU address.
        cpu: u16,
        /// As it waits.
        registers: Box<CpuState>,
    },
    /// Every CPU is stopped or in a disabled wait, and the one that came to rest last has stopped: the guest has powered
    /// off.
    Stopped,
    /// A CPU can't go on.
    Broken {
        /// How.
        how: Broken,
        /// CPU address.
        cpu: u16,
        /// As it was then.
        registers: Box<CpuState>,
    },
    /// The host refused a request.
    Refused(KernelError),
    /// A fault of adjunct's own: what went wrong.
    Fault(&'static str),
    /// A signal to us.
    Signal(Ending),
    /// Somebody ordered it, by one of the ways in.
    Ordered,
}

/// Why a guest did not run or not to its end, or that what it said was lost.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It can't work on this host.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The console can't be opened.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// Rights can't be given up.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The host refused.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The event loop can't be set up or go on: there is nothing to wait for the guest, signals and requests with.
    #[error("the event loop has failed")]
    Loop(#[source] io::Error),
}

impl RunError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Plan(_)
            | Self::Build(BuildError::Load { .. } | BuildError::Memory(_) | BuildError::DeviceFiles(_)) => {
                ExitStatus::Refused
            }
            Self::Sandbox(error) => error.status(),
            Self::Console(_) => ExitStatus::Output,
            Self::Build(BuildError::Kernel(_) | BuildError::Attach(_)) | Self::Loop(_) => {
                ExitStatus::HostError
            }
        }
    }
}

/// How a CPU can end badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Program interruptions without end.
    ProgramLoop,
    /// Operation exceptions without end.
    OperationLoop,
    /// External interruptions without end.
    ExternalLoop,
    /// Something the VMM can't serve.
    Unserved(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProgramLoop => {
                f.write_str("the new PSW for program interruptions leads to another one for ever")
            }
            Self::OperationLoop => {
                f.write_str("the new PSW for program interruptions leads to no instruction, for ever")
            }
            Self::ExternalLoop => {
                f.write_str("the new PSW for external interruptions leads to another one for ever")
            }
            Self::Unserved(what) => write!(f, "{what} can't be served"),
        }
    }
}

impl Outcome {
    /// PSW address bits of a power off by disabled wait, as QEMU takes it (`target/s390x/helper.c`).
    const POWER_OFF: u64 = 0xfff;

    /// What the caller of `adjunct run` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::DisabledWait { registers, .. } => match registers.psw.address {
                0 => ExitStatus::Success,
                address if address & 0xfff == Self::POWER_OFF => ExitStatus::Success,
                _ => ExitStatus::GuestFailed,
            },
            Self::Stopped | Self::Ordered => ExitStatus::Success,
            Self::Broken { .. } => ExitStatus::GuestFailed,
            Self::Refused(_) | Self::Fault(_) => ExitStatus::HostError,
            Self::Signal(ending) => (*ending).into(),
        }
    }

    /// Who wanted it.
    pub fn cause(&self) -> EndCause {
        match self {
            Self::DisabledWait { .. } | Self::Broken { .. } if self.status() == ExitStatus::GuestFailed => {
                EndCause::Panic
            }
            Self::DisabledWait { .. } | Self::Broken { .. } | Self::Stopped => EndCause::Guest,
            Self::Refused(_) | Self::Fault(_) => EndCause::HostError,
            Self::Signal(_) => EndCause::Signal,
            Self::Ordered => EndCause::Order,
        }
    }

    /// The event of a guest that ended badly, with the registers of the CPU that did; none if it did not.
    pub fn panic(&self) -> Option<Event> {
        let (cpu, reason, registers) = match self {
            Self::DisabledWait { cpu, registers } if self.status() == ExitStatus::GuestFailed => {
                (cpu, PanicReason::DisabledWait, registers)
            }
            Self::Broken { how, cpu, registers } => {
                let reason = match how {
                    Broken::ProgramLoop => PanicReason::PgmintLoop,
                    Broken::OperationLoop => PanicReason::OpintLoop,
                    Broken::ExternalLoop => PanicReason::ExtintLoop,
                    Broken::Unserved(_) => PanicReason::Unknown,
                };
                (cpu, reason, registers)
            }
            _ => return None,
        };
        Some(Event::guest_panicked(*cpu, reason, registers))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DisabledWait { registers, .. } if self.status() == ExitStatus::Success => {
                write!(f, "disabled wait at address {:#x}", registers.psw.address)
            }
            Self::DisabledWait { cpu, registers } => write!(
                f,
                "disabled wait at address {:#x}, which says that something went wrong in it; CPU {cpu}: {}",
                registers.psw.address,
                Registers(registers)
            ),
            Self::Stopped => f.write_str("the last CPU has stopped"),
            Self::Broken { how, cpu, registers } => write!(f, "{how}; CPU {cpu}: {}", Registers(registers)),
            Self::Refused(refused) => write!(f, "{refused}: {}", refused.errno),
            Self::Fault(what) => write!(f, "a fault of adjunct's own: {what}"),
            Self::Signal(signal) => write!(f, "ended by {signal}"),
            Self::Ordered => f.write_str("ended by order"),
        }
    }
}

/// Registers on one line.
struct Registers<'a>(&'a CpuState);

impl fmt::Display for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CpuState { psw, prefix, gprs, crs, .. } = self.0;
        write!(f, "PSW {psw}; prefix {prefix:x}; GPRs {gprs:x?}; CRs {crs:x?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_hypervisor::Psw;

    fn waiting_at(address: u64) -> Outcome {
        let mut registers = Box::<CpuState>::default();
        registers.psw = Psw { mask: 0x0002_0001_8000_0000, address };
        registers.gprs[15] = 0xfeed;
        Outcome::DisabledWait { cpu: 1, registers }
    }

    #[test]
    fn a_guest_ends_well_at_address_0_and_by_power_off_and_nowhere_else() {
        for address in [0, 0xfff, 0x1234_5fff] {
            assert_eq!(waiting_at(address).status(), ExitStatus::Success, "{address:#x}");
            assert_eq!(waiting_at(address).panic(), None);
        }
        for address in [1, 0xffe, 0xbad, 0x1000, 0xfff0] {
            assert_eq!(waiting_at(address).status(), ExitStatus::GuestFailed, "{address:#x}");
            assert!(waiting_at(address).to_string().contains(&format!("{address:#x}")));
        }
    }

    #[test]
    fn whatever_a_guest_fails_of_its_cpu_and_its_registers_are_named() {
        let registers = Box::new(CpuState { prefix: 0x2000, ..CpuState::default() });
        let broken = |how| Outcome::Broken { how, cpu: 3, registers: registers.clone() };
        let unserved = Broken::Unserved("an exit".into());
        for (outcome, reason, cpu, says) in [
            (waiting_at(0xbad), PanicReason::DisabledWait, 1, "CPU 1: PSW 0002000180000000 0000000000000bad"),
            (broken(Broken::ProgramLoop), PanicReason::PgmintLoop, 3, "CPU 3"),
            (broken(Broken::OperationLoop), PanicReason::OpintLoop, 3, "no instruction"),
            (broken(Broken::ExternalLoop), PanicReason::ExtintLoop, 3, "prefix 2000"),
            (broken(unserved), PanicReason::Unknown, 3, "an exit can't be served"),
        ] {
            assert!(outcome.to_string().contains(says), "{outcome}");
            let Some(Event::GuestPanicked { reason: why, cpu: which, .. }) = outcome.panic() else {
                panic!("{outcome} is no panic");
            };
            assert_eq!((why, which), (reason, cpu));
        }
        for outcome in
            [Outcome::Stopped, Outcome::Ordered, Outcome::Signal(Ending::HungUp), Outcome::Fault("x")]
        {
            assert_eq!(outcome.panic(), None);
        }
    }
}
