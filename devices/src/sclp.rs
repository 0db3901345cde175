//! The service-call logical processor (SCLP): what machine this is, and its consoles.
//!
//! A guest asks with SERVICE CALL, whose operands are a command word and the address of a service
//! call control block (SCCB). The answer is written into the SCCB, and a service-signal external
//! interruption says that it is there. The checks, their order and the response codes are QEMU's
//! (`hw/s390x/sclp.c: sclp_service_call`).
//!
//! [`Sclp`] works on a private copy of the SCCB and never trusts a length in it. It refuses to know
//! CPU models (give it [`ScpInfo`]), terminals and files (give it [`Consoles`]), and interruptions
//! other than as a value ([`ServiceSignal`]).

mod ascii;
mod command;
mod ebcdic;
mod event;
mod info;
mod line_mode;
mod output;
mod sccb;

pub use ebcdic::{from_ebcdic, to_ebcdic};
pub use event::{Consoles, Output};
pub use info::ScpInfo;
pub use line_mode::LONGEST_LINE;

use crate::ProgramInterruption;
use adjunct_hypervisor::{Floating, GuestMemory};
use command::{Command, Response};
use event::EventFacility;
use sccb::Sccb;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _};

/// The operands of SERVICE CALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCall {
    /// Command word.
    pub command: u32,
    /// Real address of the SCCB, all 64 bits of the register.
    pub sccb: u64,
}

/// The service signal that must be made pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceSignal {
    /// Interruption parameter: the address of the SCCB that is done, or 0; its lowest bit says that an
    /// event waits to be read.
    pub parameter: u32,
}

/// What [`adjunct_hypervisor::Vm::inject`] takes.
impl From<ServiceSignal> for Floating {
    fn from(signal: ServiceSignal) -> Self {
        Self::Service { parameter: signal.parameter }
    }
}

/// What became of console input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the signal must be injected, and what was not taken offered again"]
pub struct InputTaken {
    /// How many bytes were taken; the others found no room and may be offered again once the guest
    /// has read.
    pub taken: usize,
    /// The signal to make pending, if the guest wants to know.
    pub signal: Option<ServiceSignal>,
}

/// Size of the SCCBs that may not be exceeded: one page.
const PAGE: u64 = 4096;

/// The SCLP of one VM.
#[derive(Debug)]
pub struct Sclp {
    info: ScpInfo,
    events: EventFacility,
}

impl Sclp {
    /// An SCLP that describes the machine by `info` and has the consoles `consoles`.
    pub fn new(info: ScpInfo, consoles: Consoles) -> Self {
        Self { info, events: EventFacility::new(consoles) }
    }

    /// Carries out a service call that a CPU in supervisor state made; `prefix` is its prefix.
    ///
    /// The guest then gets condition code 0 and the service signal.
    ///
    /// # Errors
    /// The program interruption that the guest gets instead; memory is as it was.
    pub fn service_call(
        &mut self,
        call: ServiceCall,
        prefix: u32,
        memory: &GuestMemory,
    ) -> Result<ServiceSignal, ProgramInterruption> {
        let address = sccb_address(call.sccb, prefix, memory)?;
        let mut sccb = Sccb::read(memory, address)?;
        let response = self.execute(call, &mut sccb);
        tracing::trace!(command = format_args!("{:#010x}", call.command), ?response, "service call");
        sccb.respond(response);
        memory.write_slice(sccb.bytes(), address).map_err(|_| ProgramInterruption::Protection)?;
        Ok(self.signal(parameter(address)))
    }

    fn execute(&mut self, call: ServiceCall, sccb: &mut Sccb) -> Response {
        let Some(command) = Command::of(call.command) else {
            return Response::InvalidCommand;
        };
        let may_be_long = self.info.extended_length && command.reads_info();
        if call.sccb % PAGE + sccb.length() > PAGE && !may_be_long {
            return Response::BoundaryViolation;
        }
        match command {
            Command::ReadScpInfo | Command::ReadScpInfoForced => self.info.read_scp_info(sccb),
            Command::ReadCpuInfo => self.info.read_cpu_info(sccb),
            Command::ConfigureAdapter | Command::DeconfigureAdapter => configure_adapter(sccb),
            Command::WriteEventMask => self.events.write_mask(sccb),
            Command::WriteEventData => self.events.write_data(sccb),
            Command::ReadEventData => self.events.read_data(sccb),
        }
    }

    /// Offers bytes that someone typed. They go to the line-mode console if that is the one which
    /// the guest listens to (or the only one there is), else to the ASCII console. Without any console
    /// they are dropped.
    ///
    /// Line mode: a line is handed to the guest when its `\n` or `\r` has come, without it; characters
    /// beyond the 251 that a command can have are dropped.
    pub fn push_input(&mut self, bytes: &[u8]) -> InputTaken {
        let taken = self.events.push_input(bytes);
        InputTaken { taken, signal: self.unsolicited() }
    }

    /// Asks the guest to shut down, as the power button does (signal quiesce). A guest that does not
    /// listen yet is told when it does.
    pub fn signal_quiesce(&mut self) -> Option<ServiceSignal> {
        self.events.signal_quiesce();
        self.unsolicited()
    }

    /// Subsystem reset: the guest's event mask, and all input and requests that it has not read, are
    /// forgotten.
    pub fn reset(&mut self) {
        self.events.reset();
    }

    fn unsolicited(&self) -> Option<ServiceSignal> {
        self.events.pending().then(|| self.signal(0))
    }

    fn signal(&self, address: u32) -> ServiceSignal {
        ServiceSignal { parameter: address & !3 | u32::from(self.events.pending()) }
    }
}

/// Checks the address of an SCCB: in memory, then below 2 GiB, on a doubleword boundary, and neither
/// in the first 8 KiB nor in the prefix area.
fn sccb_address(
    address: u64,
    prefix: u32,
    memory: &GuestMemory,
) -> Result<GuestAddress, ProgramInterruption> {
    const UNUSED: u64 = !0x7fff_fff8;
    if !memory.address_in_range(GuestAddress(address)) {
        return Err(ProgramInterruption::Addressing);
    }
    let area = address & !0x1fff;
    if area == 0 || area == u64::from(prefix) || address & UNUSED != 0 {
        return Err(ProgramInterruption::Specification);
    }
    Ok(GuestAddress(address))
}

/// The address as the interruption parameter has it; [`sccb_address`] has seen that it fits.
fn parameter(address: GuestAddress) -> u32 {
    u32::try_from(address.0).unwrap_or_default()
}

/// CONFIGURE and DECONFIGURE I/O ADAPTER: there is no type of adapter that could be.
fn configure_adapter(sccb: &Sccb) -> Response {
    match sccb.length() {
        0..16 => Response::InsufficientLength,
        _ => Response::AdapterTypeNotRecognized,
    }
}

#[cfg(test)]
mod tests;
