//! How a guest ended.

use crate::{exit_status::ExitStatus, run::Broken, signals::Ending};
use adjunct_hypervisor::{KernelError, Psw};
use std::fmt;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every CPU is stopped or in a disabled wait; this is the last word of the first that waits.
    DisabledWait(Psw),
    /// Every CPU is stopped: the guest has powered off.
    Stopped,
    /// A CPU can't go on.
    Broken {
        /// CPU address.
        cpu: u16,
        /// How.
        how: Broken,
    },
    /// The host refused a request.
    Refused(KernelError),
    /// A signal to us.
    Signal(Ending),
}

impl Outcome {
    /// PSW address bits of a power off by disabled wait, as QEMU takes it (`target/s390x/helper.c`).
    const POWER_OFF: u64 = 0xfff;

    /// What the caller of `adjunct run` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::DisabledWait(psw) if psw.address == 0 || psw.address & 0xfff == Self::POWER_OFF => {
                ExitStatus::Success
            }
            Self::Stopped => ExitStatus::Success,
            Self::DisabledWait(_) | Self::Broken { .. } => ExitStatus::GuestFailed,
            Self::Refused(_) => ExitStatus::HostError,
            Self::Signal(Ending::HungUp) => ExitStatus::HungUp,
            Self::Signal(Ending::Interrupted) => ExitStatus::Interrupted,
            Self::Signal(Ending::Terminated) => ExitStatus::Terminated,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DisabledWait(psw) if self.status() == ExitStatus::Success => {
                write!(f, "disabled wait at address {:#x}", psw.address)
            }
            Self::DisabledWait(psw) => write!(
                f,
                "disabled wait at address {:#x}, which says that something went wrong in it; PSW {psw}",
                psw.address
            ),
            Self::Stopped => f.write_str("all CPUs are stopped"),
            Self::Broken { cpu, how } => write!(f, "CPU {cpu}: {how}"),
            Self::Refused(refused) => write!(f, "{refused}: {}", refused.errno),
            Self::Signal(signal) => write!(f, "ended by {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_ends_well_at_address_0_and_by_power_off_and_nowhere_else() {
        let at = |address| Outcome::DisabledWait(Psw { mask: 0x0002_0001_8000_0000, address });
        for address in [0, 0xfff, 0x1234_5fff] {
            assert_eq!(at(address).status(), ExitStatus::Success, "{address:#x}");
        }
        for address in [1, 0xffe, 0xbad, 0x1000, 0xfff0] {
            assert_eq!(at(address).status(), ExitStatus::GuestFailed, "{address:#x}");
            assert!(at(address).to_string().contains(&format!("{address:#x}")));
        }
    }
}
