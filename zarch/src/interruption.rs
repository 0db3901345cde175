//! Interruptions: program exceptions and their codes, old and new PSWs in the lowcore, and the order in which what
//! is pending is taken.

use crate::environment::{Enabled, Floating};
use crate::execution::{Done, Execution, Trap};
use crate::psw::{self, Psw};
use crate::state::State;
use crate::storage::Width;

/// Program-interruption codes (Principles of Operation, figure 6-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ProgramCode {
    /// Operation exception.
    Operation = 0x01,
    /// Privileged-operation exception.
    PrivilegedOperation = 0x02,
    /// Execute exception.
    Execute = 0x03,
    /// Protection exception.
    Protection = 0x04,
    /// Addressing exception.
    Addressing = 0x05,
    /// Specification exception.
    Specification = 0x06,
    /// Data exception.
    Data = 0x07,
    /// Fixed-point-overflow exception.
    FixedPointOverflow = 0x08,
    /// Fixed-point-divide exception.
    FixedPointDivide = 0x09,
    /// Decimal-overflow exception.
    DecimalOverflow = 0x0a,
    /// Decimal-divide exception.
    DecimalDivide = 0x0b,
    /// Translation-specification exception.
    TranslationSpecification = 0x12,
    /// Special-operation exception.
    SpecialOperation = 0x13,
    /// Operand exception.
    Operand = 0x15,
    /// Monitor event.
    Monitor = 0x40,
}

/// Data-exception code of general operands, compare-and-trap and load-and-trap.
pub(crate) const DXC_TRAP: u32 = 0xff;

/// Real addresses in the lowcore (chapter 3, "Assigned Storage Locations").
mod lowcore {
    pub(super) const EXTERNAL_PARAMETER: u64 = 0x80;
    pub(super) const EXTERNAL_CPU: u64 = 0x84;
    pub(super) const EXTERNAL_CODE: u64 = 0x86;
    pub(super) const SVC_LENGTH: u64 = 0x88;
    pub(super) const SVC_CODE: u64 = 0x8a;
    pub(super) const PROGRAM_LENGTH: u64 = 0x8c;
    pub(super) const PROGRAM_CODE: u64 = 0x8e;
    pub(super) const DATA_EXCEPTION: u64 = 0x90;
    pub(super) const MONITOR_CLASS: u64 = 0x94;
    pub(super) const TRANSLATION_EXCEPTION: u64 = 0xa8;
    pub(super) const MONITOR_CODE: u64 = 0xb0;
    pub(super) const ARCHITECTURAL_MODE: u64 = 0xa3;
    pub(super) const IO_SUBSYSTEM: u64 = 0xb8;
    pub(super) const IO_PARAMETER: u64 = 0xbc;
    pub(super) const IO_IDENTIFICATION: u64 = 0xc0;
    pub(super) const MACHINE_CHECK_CODE: u64 = 0xe8;
    pub(super) const EXTERNAL_DAMAGE: u64 = 0xf4;
    pub(super) const FAILING_STORAGE: u64 = 0xf8;
    pub(super) const RESTART_OLD: u64 = 0x120;
    pub(super) const EXTERNAL_OLD: u64 = 0x130;
    pub(super) const SVC_OLD: u64 = 0x140;
    pub(super) const PROGRAM_OLD: u64 = 0x150;
    pub(super) const MACHINE_CHECK_OLD: u64 = 0x160;
    pub(super) const IO_OLD: u64 = 0x170;
    /// Each new PSW is this far above its old PSW.
    pub(super) const NEW: u64 = 0x80;
    pub(super) const SAVE_FPRS: u64 = 0x1200;
    pub(super) const SAVE_GPRS: u64 = 0x1280;
    pub(super) const FIXED_LOGOUT: u64 = 0x1300;
    pub(super) const SAVE_FPC: u64 = 0x131c;
    pub(super) const SAVE_TOD_PROGRAMMABLE: u64 = 0x1324;
    pub(super) const SAVE_CPU_TIMER: u64 = 0x1328;
    pub(super) const SAVE_CLOCK_COMPARATOR: u64 = 0x1331;
    pub(super) const SAVE_ACRS: u64 = 0x1340;
    pub(super) const SAVE_CRS: u64 = 0x1380;
}

/// Subclass masks of external interruptions in CR0, bits 49-54.
mod cr0 {
    pub(super) const EMERGENCY_SIGNAL: u64 = 0x4000;
    pub(super) const EXTERNAL_CALL: u64 = 0x2000;
    pub(super) const CLOCK_COMPARATOR: u64 = 0x0800;
    pub(super) const CPU_TIMER: u64 = 0x0400;
    pub(super) const SERVICE_SIGNAL: u64 = 0x0200;
}

/// Interruptions pending at one CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// A program interruption that the embedder asks for, such as the operation exception for an intercepted
    /// instruction that nobody has.
    pub(crate) program: Option<ProgramCode>,
    pub(crate) restart: bool,
    /// Addresses of the CPUs that sent an emergency signal, one each.
    pub(crate) emergency: Vec<u16>,
    pub(crate) external_call: Option<u16>,
    /// The code that goes with the data exception being recognised.
    pub(crate) data_exception: u32,
    /// Class and code of the monitor event being recognised.
    pub(crate) monitor: (u8, u64),
}

/// An interruption whose new PSW leads right back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loop {
    Specification,
    Operation,
    External,
}

impl State {
    pub(crate) fn clock_comparator_enabled(&self) -> bool {
        self.crs[0] & cr0::CLOCK_COMPARATOR != 0
    }

    pub(crate) fn cpu_timer_enabled(&self) -> bool {
        self.crs[0] & cr0::CPU_TIMER != 0
    }
}

/// A clock-comparator or CPU-timer interruption repeats as long as its condition lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Yes,
    No,
}

/// Whether a program-new PSW ends in the same exception again, for ever: no instruction can be fetched with it, or an
/// operation exception is at its address too (`arch/s390/kvm/intercept.c: handle_prog, handle_operexc`).
fn leads_back(code: ProgramCode, old: Psw, new: Psw) -> Option<Loop> {
    const SAME: u64 = psw::DAT | psw::ADDRESS_SPACE;
    let again = old.address.wrapping_sub(new.address) <= 6
        && new.mask & psw::WAIT == 0
        && !old.problem_state()
        && (new.mask ^ old.mask) & SAME == 0;
    match code {
        ProgramCode::Specification if !new.fetchable() => Some(Loop::Specification),
        ProgramCode::Operation if again => Some(Loop::Operation),
        _ => None,
    }
}

impl Execution<'_> {
    /// Stores into the lowcore, whose storage was seen to be there when the run began.
    fn lowcore(&self, real: u64, width: Width, value: u64) -> Done {
        Ok(self.storage.store(self.prefixed(real), width, value)?)
    }

    fn lowcore_psw(&self, real: u64) -> Result<Psw, Trap> {
        let mut bytes = [0; 16];
        self.storage.read(self.prefixed(real), &mut bytes)?;
        Ok(Psw::from_be_bytes(bytes))
    }

    /// Stores the old PSW, and makes the new one current.
    fn swap_psws(&mut self, old_at: u64) -> Result<Psw, Trap> {
        let old = self.state.psw;
        self.storage.write(self.prefixed(old_at), &old.to_be_bytes())?;
        let new = self.lowcore_psw(old_at + lowcore::NEW)?;
        self.set_psw(new);
        Ok(new)
    }

    /// After a swap: an invalid new PSW is a specification exception of its own, with a length of zero.
    fn enter(&mut self, new: Psw) -> Done {
        if new.valid() {
            return Ok(());
        }
        *self.length = 0;
        self.program_exception(ProgramCode::Specification)
    }

    /// A program exception that the CPU recognises: an interruption, unless that would be followed by the same
    /// exception for ever. Then nothing is stored, and the PSW stays as it is.
    pub(crate) fn program_exception(&mut self, code: ProgramCode) -> Done {
        let new = self.lowcore_psw(lowcore::PROGRAM_OLD + lowcore::NEW)?;
        match leads_back(code, self.state.psw, new) {
            Some(which) => Err(Trap::Loop(which)),
            None => self.program_interruption(code),
        }
    }

    /// A program interruption for the current instruction.
    fn program_interruption(&mut self, code: ProgramCode) -> Done {
        // DEVNOTE: every exception there is suppresses, terminates or completes the instruction, so the old PSW points
        // past it. Those of translation nullify: they will have to go back by this length first.
        let length = u64::from(*self.length);
        self.lowcore(lowcore::PROGRAM_LENGTH, Width::Half, length)?;
        self.lowcore(lowcore::PROGRAM_CODE, Width::Half, code as u64)?;
        match code {
            ProgramCode::Data => {
                self.lowcore(lowcore::DATA_EXCEPTION, Width::Word, self.pending.data_exception.into())?;
            }
            ProgramCode::Monitor => {
                let (class, monitor_code) = self.pending.monitor;
                self.lowcore(lowcore::MONITOR_CLASS, Width::Half, class.into())?;
                self.lowcore(lowcore::MONITOR_CODE, Width::Double, monitor_code)?;
            }
            // Which address was protected is not told: bit 61 zero says that the field is not valid.
            ProgramCode::Protection => self.lowcore(lowcore::TRANSLATION_EXCEPTION, Width::Double, 0)?,
            _ => {}
        }
        let new = self.swap_psws(lowcore::PROGRAM_OLD)?;
        self.enter(new)
    }

    pub(crate) fn supervisor_call_interruption(&mut self, number: u8) -> Done {
        self.lowcore(lowcore::SVC_LENGTH, Width::Half, u64::from(*self.length))?;
        self.lowcore(lowcore::SVC_CODE, Width::Half, u64::from(number))?;
        let new = self.swap_psws(lowcore::SVC_OLD)?;
        self.enter(new)
    }

    pub(crate) fn monitor_event(&mut self, class: u8, code: u64) -> Trap {
        self.pending.monitor = (class, code);
        ProgramCode::Monitor.into()
    }

    /// Takes the interruption of the highest priority that is pending and enabled; whether there was one. Order:
    /// program, machine check, external, input/output, restart.
    pub(crate) fn take_interruption(&mut self) -> Result<bool, Trap> {
        if let Some(code) = self.pending.program.take() {
            self.program_interruption(code)?;
            return Ok(true);
        }
        let enabled = self.enabled();
        if let Some(check) =
            self.floating(Enabled { machine_check: enabled.machine_check, ..Enabled::default() })
        {
            self.floating_interruption(check)?;
            return Ok(true);
        }
        if self.state.psw.mask & psw::EXTERNAL != 0 && self.take_external()? {
            return Ok(true);
        }
        if let Some(floating) = self.floating(Enabled { machine_check: 0, ..enabled }) {
            self.floating_interruption(floating)?;
            return Ok(true);
        }
        if std::mem::take(&mut self.pending.restart) {
            let new = self.swap_psws(lowcore::RESTART_OLD)?;
            self.enter(new)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn enabled(&self) -> Enabled {
        let psw = self.state.psw.mask;
        let cr0 = self.state.crs[0];
        Enabled {
            machine_check: if psw & psw::MACHINE_CHECK != 0 { self.state.crs[14] } else { 0 },
            service_signal: psw & psw::EXTERNAL != 0 && cr0 & cr0::SERVICE_SIGNAL != 0,
            io_subclasses: if psw & psw::IO != 0 { self.state.crs[6].to_be_bytes()[4] } else { 0 },
        }
    }

    fn floating(&mut self, enabled: Enabled) -> Option<Floating> {
        if enabled == Enabled::default() { None } else { self.environment.take_floating(enabled) }
    }

    /// External interruptions of this CPU, by priority: emergency signal, external call, clock comparator, CPU timer.
    fn take_external(&mut self) -> Result<bool, Trap> {
        let cr0 = self.state.crs[0];
        if cr0 & cr0::EMERGENCY_SIGNAL != 0 && !self.pending.emergency.is_empty() {
            let source = self.pending.emergency.remove(0);
            self.external_interruption(0x1201, source, None, Repeats::No)?;
        } else if cr0 & cr0::EXTERNAL_CALL != 0
            && let Some(source) = self.pending.external_call.take()
        {
            self.environment.external_call_taken();
            self.external_interruption(0x1202, source, None, Repeats::No)?;
        } else if self.state.clock_comparator_enabled()
            && self.environment.tod() > self.state.clock_comparator
        {
            self.external_interruption(0x1004, 0, None, Repeats::Yes)?;
        } else if self.state.cpu_timer_enabled() && self.cpu_timer().cast_signed() < 0 {
            self.external_interruption(0x1005, 0, None, Repeats::Yes)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn external_interruption(
        &mut self,
        code: u16,
        source: u16,
        parameter: Option<u32>,
        repeats: Repeats,
    ) -> Done {
        // As arch/s390/kvm/intercept.c: handle_external_interrupt has it.
        if repeats == Repeats::Yes
            && self.lowcore_psw(lowcore::EXTERNAL_OLD + lowcore::NEW)?.mask & psw::EXTERNAL != 0
        {
            return Err(Trap::Loop(Loop::External));
        }
        if let Some(parameter) = parameter {
            self.lowcore(lowcore::EXTERNAL_PARAMETER, Width::Word, parameter.into())?;
        }
        self.lowcore(lowcore::EXTERNAL_CPU, Width::Half, source.into())?;
        self.lowcore(lowcore::EXTERNAL_CODE, Width::Half, code.into())?;
        let new = self.swap_psws(lowcore::EXTERNAL_OLD)?;
        self.enter(new)
    }

    fn floating_interruption(&mut self, floating: Floating) -> Done {
        match floating {
            Floating::MachineCheck { code, external_damage, failing_storage, fixed_logout } => {
                self.save_registers()?;
                // z/Architecture.
                self.lowcore(lowcore::ARCHITECTURAL_MODE, Width::Byte, 1)?;
                self.lowcore(lowcore::MACHINE_CHECK_CODE, Width::Double, code)?;
                self.lowcore(lowcore::EXTERNAL_DAMAGE, Width::Word, external_damage.into())?;
                self.lowcore(lowcore::FAILING_STORAGE, Width::Double, failing_storage)?;
                for (at, byte) in (lowcore::FIXED_LOGOUT..).zip(fixed_logout) {
                    self.lowcore(at, Width::Byte, byte.into())?;
                }
                let new = self.swap_psws(lowcore::MACHINE_CHECK_OLD)?;
                self.enter(new)
            }
            Floating::ServiceSignal { parameter } => {
                self.external_interruption(0x2401, 0, Some(parameter), Repeats::No)
            }
            Floating::Io { subsystem, parameter, identification } => {
                self.lowcore(lowcore::IO_SUBSYSTEM, Width::Word, subsystem.into())?;
                self.lowcore(lowcore::IO_PARAMETER, Width::Word, parameter.into())?;
                self.lowcore(lowcore::IO_IDENTIFICATION, Width::Word, identification.into())?;
                let new = self.swap_psws(lowcore::IO_OLD)?;
                self.enter(new)
            }
        }
    }

    /// The register save areas that a machine check fills.
    fn save_registers(&mut self) -> Done {
        let timer = self.cpu_timer();
        for register in 0..16 {
            let offset = register as u64;
            self.lowcore(lowcore::SAVE_FPRS + 8 * offset, Width::Double, self.state.fprs[register])?;
            self.lowcore(lowcore::SAVE_GPRS + 8 * offset, Width::Double, self.state.gprs[register])?;
            self.lowcore(lowcore::SAVE_ACRS + 4 * offset, Width::Word, self.state.acrs[register].into())?;
            self.lowcore(lowcore::SAVE_CRS + 8 * offset, Width::Double, self.state.crs[register])?;
        }
        self.lowcore(lowcore::SAVE_FPC, Width::Word, self.state.fpc.into())?;
        self.lowcore(lowcore::SAVE_TOD_PROGRAMMABLE, Width::Word, self.state.tod_programmable.into())?;
        self.lowcore(lowcore::SAVE_CPU_TIMER, Width::Double, timer)?;
        // Bits 0-55 of the comparator, from the second byte of the field on.
        let comparator = self.state.clock_comparator >> 8;
        self.lowcore(lowcore::SAVE_CLOCK_COMPARATOR - 1, Width::Double, comparator)
    }
}
