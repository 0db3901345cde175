//! What `adjunct` says to its caller when it ends.

use std::process::ExitCode;

/// Exit status of `adjunct`. The numbers are part of the interface; the table in
/// `docs/exit-status.md` is made from [`ExitStatus::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The guest ended as it should, or the command did what it was asked.
    Success = 0,
    /// The guest ended badly: a disabled wait that says neither success nor power off, a loop of interruptions, or
    /// something that this VMM does not serve. Or the demonstration did not go as it should.
    GuestFailed = 1,
    /// The command line can't be understood. Nothing was done.
    Usage = 2,
    /// What was asked for can't work on this host. Nothing was changed.
    Refused = 3,
    /// The host refused a request while the VM was built or running. Everything was given back.
    HostError = 4,
    /// An answer could not be written: console, log, events or standard output.
    Output = 5,
    /// Ended by SIGHUP.
    HungUp = 129,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
    /// A thread made a system call that its sandbox forbids.
    Forbidden = 159,
}

impl ExitStatus {
    /// All of them, by number.
    pub const ALL: [Self; 10] = [
        Self::Success,
        Self::GuestFailed,
        Self::Usage,
        Self::Refused,
        Self::HostError,
        Self::Output,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
        Self::Forbidden,
    ];

    /// The number the caller sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => {
                "the guest ended as it should (disabled wait at address 0, or power off), or the command did what it was asked"
            }
            Self::GuestFailed => {
                "the guest ended badly (disabled wait elsewhere, a loop of interruptions, or something that adjunct does not serve), or the demonstration did"
            }
            Self::Usage => "the command line can't be understood; nothing was done",
            Self::Refused => "what was asked for can't work on this host; nothing was changed",
            Self::HostError => "the host refused a request, or is gone; everything was given back",
            Self::Output => "console, log, events or standard output could not be written",
            Self::HungUp => "ended by SIGHUP",
            Self::Interrupted => "ended by SIGINT",
            Self::Terminated => "ended by SIGTERM",
            Self::Forbidden => {
                "a thread made a system call that its sandbox forbids (SIGSYS); the guest is gone"
            }
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_ascend_and_none_stands_for_two_things() {
        assert!(ExitStatus::ALL.is_sorted_by_key(|s| s.code()));
        assert!(ExitStatus::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
    }
}
