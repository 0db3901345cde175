//! The CPU: state, pending interruptions, and the loop that fetches and executes until something stops it.

use crate::environment::Environment;
use crate::execution::{Execution, Trap};
use crate::interruption::{Loop, Pending, ProgramCode};
use crate::psw;
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
    /// A specification exception whose new PSW, being invalid or odd, is one too (0x08). Nothing was stored; the
    /// PSW is that of the exception.
    ProgramLoop,
    /// An operation exception whose new PSW leads right back to it (0x2c). Nothing was stored; the PSW is past the
    /// instruction.
    OperationLoop {
        /// Bytes 0-1 of the instruction.
        ipa: u16,
        /// Bytes 2-5, zero where the instruction is shorter.
        ipb: u32,
    },
    /// A clock-comparator or CPU-timer interruption whose new PSW is open for the next (0x14). Nothing was stored.
    ExternalLoop,
    /// As many instructions as asked for were executed, or interruptions taken. Whether the CPU waits is for the next
    /// run to see.
    Budget,
    /// The guest wants something that this interpreter knowingly lacks. The PSW is past the instruction, if it was
    /// one, and nothing was changed otherwise.
    Unsupported {
        /// What.
        what: Absent,
    },
    /// The state cannot be run at all (0x20): the prefix area is outside storage, or the prefix is no multiple of
    /// 8192.
    Validity,
}

/// Parts of z/Architecture that this interpreter knowingly lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// PSW bit 5 is one.
    #[error("dynamic address translation")]
    Dat,
    /// PSW bit 1 is one.
    #[error("program-event recording")]
    Per,
    /// An instruction that every z/Architecture CPU has, and that is not in the table; its first two bytes.
    #[error("the instruction that begins with {0:#06x}")]
    Instruction(u16),
}

/// Instructions between two looks at clock and floating interruptions.
const POLL_INTERVAL: u32 = 128;

/// One CPU.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// The architected state. May be looked at and changed whenever the CPU does not run.
    pub state: State,
    pub(crate) pending: Pending,
    /// TOD clock at which `state.cpu_timer` was last right, while the timer goes on in an enabled wait.
    pub(crate) timer_stood_at: Option<u64>,
    /// Length of the instruction executed last, for a program interruption injected by the embedder.
    pub(crate) last_length: u8,
}

impl Cpu {
    /// A CPU after power-on.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::new(), ..Self::default() }
    }

    /// Executes at most `instructions` instructions; taking an interruption counts as one. The CPU timer runs from call
    /// to return, and on to the next call when that ended in [`Stop::EnabledWait`].
    pub fn run(
        &mut self,
        storage: &dyn Storage,
        environment: &mut dyn Environment,
        instructions: u64,
    ) -> Stop {
        let mut execution = Execution::new(self, storage, environment);
        let stop = execution.run(instructions);
        execution.finish(stop == Stop::EnabledWait);
        stop
    }

    /// Executes one instruction: [`Cpu::run`] with a budget of one.
    pub fn step(&mut self, storage: &dyn Storage, environment: &mut dyn Environment) -> Stop {
        self.run(storage, environment, 1)
    }

    /// Takes the interruptions that are pending and enabled, at most so many, and executes nothing. `None`: none is left.
    pub fn take_interruptions(
        &mut self,
        storage: &dyn Storage,
        environment: &mut dyn Environment,
        at_most: u64,
    ) -> Option<Stop> {
        let mut execution = Execution::new(self, storage, environment);
        let stop = execution.take_interruptions(at_most);
        execution.finish(false);
        stop
    }

    /// CPU reset ("normal" reset): what is pending at this CPU goes away, registers stay.
    pub fn normal_reset(&mut self) {
        self.pending = Pending::default();
        self.timer_stood_at = None;
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
    /// intercepted last: this is how an embedder says that it does not have an instruction.
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

    /// Whether an external call is pending: SIGP sense and external call tell others so.
    #[must_use]
    pub fn external_call_pending(&self) -> bool {
        self.pending.external_call.is_some()
    }

    /// How long until the clock comparator or the CPU timer interrupts, in TOD units from now; `None` when the CPU is
    /// enabled for neither. For sleeping after [`Stop::EnabledWait`].
    pub fn next_timer(&self, environment: &dyn Environment) -> Option<u64> {
        if self.state.psw.mask & psw::EXTERNAL == 0 {
            return None;
        }
        let tod = environment.tod();
        let comparator =
            self.state.clock_comparator_enabled().then(|| self.state.clock_comparator.saturating_sub(tod));
        let timer = self.state.cpu_timer_enabled().then(|| {
            let ran = self.timer_stood_at.map_or(0, |since| tod.wrapping_sub(since));
            u64::try_from(self.state.cpu_timer.wrapping_sub(ran).cast_signed()).unwrap_or(0)
        });
        match (comparator, timer) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

impl Execution<'_> {
    fn run(&mut self, instructions: u64) -> Stop {
        if !self.prefix_usable() {
            return Stop::Validity;
        }
        let mut left = instructions;
        let mut until_poll = 0;
        // An interruption can open the CPU for the next, over and over: those have to be paid for too.
        while left > 0 {
            left -= 1;
            if self.attention || until_poll == 0 {
                self.attention = false;
                until_poll = POLL_INTERVAL;
                match self.take_interruption() {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(trap) => match self.trapped(trap) {
                        Some(stop) => return stop,
                        None => continue,
                    },
                }
                if let Some(stop) = self.halted() {
                    return stop;
                }
            }
            until_poll -= 1;
            if let Err(trap) = self.next_instruction()
                && let Some(stop) = self.trapped(trap)
            {
                return stop;
            }
        }
        Stop::Budget
    }

    fn take_interruptions(&mut self, at_most: u64) -> Option<Stop> {
        if !self.prefix_usable() {
            return Some(Stop::Validity);
        }
        for _ in 0..at_most {
            match self.take_interruption() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(trap) => {
                    let stop = self.trapped(trap);
                    if stop.is_some() {
                        return stop;
                    }
                }
            }
        }
        Some(Stop::Budget)
    }

    /// Why the PSW does not let the CPU execute anything, with no interruption to take.
    fn halted(&self) -> Option<Stop> {
        let mask = self.state.psw.mask;
        if mask & psw::DAT != 0 {
            return Some(Stop::Unsupported { what: Absent::Dat });
        }
        if mask & psw::PER != 0 {
            return Some(Stop::Unsupported { what: Absent::Per });
        }
        if mask & psw::WAIT != 0 {
            return Some(if self.state.psw.disabled() { Stop::DisabledWait } else { Stop::EnabledWait });
        }
        None
    }

    fn trapped(&mut self, trap: Trap) -> Option<Stop> {
        match trap {
            Trap::Program(code) => match self.program_exception(code) {
                Ok(()) => None,
                Err(Trap::Loop(which)) => Some(self.looping(which)),
                // The lowcore was checked before, so only a concurrent change of storage gets here.
                Err(_) => Some(Stop::Validity),
            },
            Trap::Loop(which) => Some(self.looping(which)),
            Trap::Intercept => {
                let (ipa, ipb) = self.instruction_parameters();
                Some(Stop::Instruction { ipa, ipb })
            }
            Trap::Unsupported(what) => Some(Stop::Unsupported { what }),
        }
    }

    fn looping(&self, which: Loop) -> Stop {
        match which {
            Loop::Specification => Stop::ProgramLoop,
            Loop::Operation => {
                let (ipa, ipb) = self.instruction_parameters();
                Stop::OperationLoop { ipa, ipb }
            }
            Loop::External => Stop::ExternalLoop,
        }
    }

    /// The current instruction as SIE's ipa and ipb.
    fn instruction_parameters(&self) -> (u16, u32) {
        let bits = self.code.0;
        let ipa = u16::try_from(bits >> 48).unwrap_or_default();
        (ipa, u32::try_from(bits >> 16 & 0xffff_ffff).unwrap_or_default())
    }
}
