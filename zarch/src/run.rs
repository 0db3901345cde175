//! The CPU: state, pending interruptions, and the loop that fetches and executes until something stops it.

use crate::environment::Environment;
use crate::interruption::{Pending, ProgramCode};
use crate::state::State;
use crate::storage::Storage;

/// Why [`Cpu::run`] came back. In the terms of SIE: what a host has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An instruction for the host (KVM's icptcode 0x04). The PSW is already past it; when EXECUTE led to it,
    /// past EXECUTE, and these are the bits of the target.
    Instruction {
        /// Bytes 0-1 of the instruction.
        ipa: u16,
        /// Bytes 2-5, zero where the instruction is shorter.
        ipb: u32,
    },
    /// Wait state, disabled for all interruptions: the program has ended (0x1c).
    DisabledWait,
    /// Wait state, and nothing that is enabled is pending. Call again when something may be; see
    /// [`Cpu::next_timer`].
    EnabledWait,
    /// The program-new PSW leads right back to the same exception (0x08).
    ProgramLoop,
    /// The external-new PSW leads right back to the same interruption (0x14).
    ExternalLoop,
    /// As many instructions as asked for were executed.
    Budget,
    /// The guest wants something that this interpreter knowingly lacks. The PSW is past the instruction, if it was
    /// one, and nothing was changed otherwise.
    Unsupported {
        /// What.
        what: Absent,
    },
    /// The state cannot be run at all (0x20): the prefix area is outside storage, say.
    Validity,
}

/// Parts of z/Architecture that this interpreter knowingly lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// PSW bit 5 is one.
    #[error("dynamic address translation")]
    Dat,
    /// A floating-point instruction.
    #[error("floating point")]
    FloatingPoint,
    /// Program-event recording: PSW bit 1 is one.
    #[error("program-event recording")]
    Per,
    /// An instruction of every z/Architecture CPU that is not in the table; its first two bytes.
    #[error("the instruction that begins with {0:#06x}")]
    Instruction(u16),
}

/// One CPU.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// The architected state. May be looked at and changed whenever the CPU does not run.
    pub state: State,
    pending: Pending,
}

impl Cpu {
    /// A CPU after power-on.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::new(), pending: Pending::default() }
    }

    /// Executes at most `instructions` instructions; taking an interruption counts for none.
    pub fn run(
        &mut self,
        _storage: &dyn Storage,
        _environment: &mut dyn Environment,
        _instructions: u64,
    ) -> Stop {
        Stop::Budget
    }

    /// Executes one instruction: [`Cpu::run`] with a budget of one.
    pub fn step(&mut self, storage: &dyn Storage, environment: &mut dyn Environment) -> Stop {
        self.run(storage, environment, 1)
    }

    /// CPU reset ("normal" reset): pending interruptions of this CPU go away, registers stay.
    pub fn normal_reset(&mut self) {
        self.pending = Pending::default();
    }

    /// Initial CPU reset; see [`State::initial_reset`].
    pub fn initial_reset(&mut self) {
        self.normal_reset();
        self.state.initial_reset();
    }

    /// Clear reset; see [`State::clear_reset`].
    pub fn clear_reset(&mut self) {
        self.normal_reset();
        self.state.clear_reset();
    }

    /// Makes a program interruption pending that the next [`Cpu::run`] takes first, for the instruction that was
    /// intercepted last: an embedder says so that it does not have an instruction.
    pub fn inject_program(&mut self, code: ProgramCode) {
        self.pending.program = Some(code);
    }

    /// Makes a restart interruption pending (SIGP restart).
    pub fn inject_restart(&mut self) {
        self.pending.restart = true;
    }

    /// Makes an emergency signal from the CPU of that address pending (SIGP emergency signal).
    pub fn inject_emergency(&mut self, source: u16) {
        if !self.pending.emergency.contains(&source) {
            self.pending.emergency.push(source);
        }
    }

    /// Makes an external call from the CPU of that address pending (SIGP external call). `false`: one was pending
    /// already, which the sender sees as a status bit.
    #[must_use]
    pub fn inject_external_call(&mut self, source: u16) -> bool {
        if self.pending.external_call.is_some() {
            return false;
        }
        self.pending.external_call = Some(source);
        true
    }

    /// When the clock comparator or the CPU timer will next interrupt, in TOD units from now; `None` when the CPU is
    /// not enabled for either. For sleeping after [`Stop::EnabledWait`].
    pub fn next_timer(&self, _environment: &dyn Environment) -> Option<u64> {
        None
    }
}
