//! Adjunct processors: the trait an embedder gives its queues through, and the AP instructions against it.

use crate::execution::{Done, Execution, SPECIFICATION, Trap};
use crate::general::arithmetic::pair;
use crate::instruction::Code;
use crate::interruption::ProgramCode;

/// The AP masks of one guest as SIE finds them in its CRYCB; bit 0 is leftmost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apcb {
    /// Adapters.
    pub apm: [u8; 32],
    /// Usage domains.
    pub aqm: [u8; 32],
    /// Control domains.
    pub adm: [u8; 32],
}

impl Apcb {
    /// Whether the queue of this APQN (adapter in the high byte) is the guest's.
    #[must_use]
    pub const fn has(&self, apqn: u16) -> bool {
        const fn bit(mask: &[u8; 32], number: u8) -> bool {
            mask[(number >> 3) as usize] & 0x80 >> (number & 7) != 0
        }
        bit(&self.apm, (apqn >> 8) as u8) && bit(&self.aqm, (apqn & 0xff) as u8)
    }
}

/// What PQAP(QCI) tells of the machine besides the masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The flags word at offset 0 of the block: APSC 0x80000000, APXA 0x40000000, QACT 0x20000000, RC8A 0x10000000.
    pub flags: u32,
    /// Highest adapter number, offset 4.
    pub na: u8,
    /// Highest domain number, offset 5.
    pub nd: u8,
}

impl Configuration {
    /// Flag of the AP extended addressing facility.
    pub const APXA: u32 = 0x4000_0000;
    /// Flag of the function QACT.
    pub const QACT: u32 = 0x2000_0000;
}

/// The AP-queue status word, as the low half of GR1 has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus(pub u32);

impl QueueStatus {
    /// The queue is empty.
    pub const EMPTY: u32 = 0x8000_0000;
    /// Replies are waiting.
    pub const REPLIES_WAITING: u32 = 0x4000_0000;
    /// The queue is full.
    pub const FULL: u32 = 0x2000_0000;
    /// Interruptions are enabled.
    pub const INTERRUPTIONS: u32 = 0x0100_0000;

    /// A status of this response code and no flags.
    #[must_use]
    pub const fn response(code: u8) -> Self {
        Self((code as u32) << 16)
    }

    /// The response code, bits 8-15.
    #[must_use]
    pub const fn code(self) -> u8 {
        (self.0 >> 16 & 0xff) as u8
    }
}

/// What DQAP takes out of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyPart {
    /// The identifier of the request this replies to.
    pub psmid: u64,
    /// As many bytes of the reply as fit.
    pub data: Vec<u8>,
    /// Bytes of the reply that are still in the queue: the next DQAP goes on with them.
    pub residual: u64,
}

/// The AP queues behind a guest. Methods are asked only for APQNs within the masks of [`Adjuncts::apcb`]; the
/// rest the interpreter answers with response code 01 itself. An APQN has its adapter in the high byte.
pub trait Adjuncts {
    /// The guest's masks, read for each instruction.
    fn apcb(&self) -> Apcb;

    /// Flags and limits of the machine.
    fn configuration(&self) -> Configuration;

    /// TAPQ: the status, and what GR2 gets (0 where the response code says there is nothing to tell).
    fn test(&mut self, apqn: u16) -> (QueueStatus, u64);

    /// RAPQ.
    fn reset(&mut self, apqn: u16) -> QueueStatus;

    /// ZAPQ.
    fn zeroize(&mut self, apqn: u16) -> QueueStatus;

    /// QACT: `query` is GR1; the status, and what GR2 gets.
    fn query_type(&mut self, apqn: u16, query: u64) -> (QueueStatus, u64);

    /// NQAP: puts a request into the queue; `special` is the special-command bit of GR0.
    fn enqueue(&mut self, apqn: u16, psmid: u64, message: &[u8], special: bool) -> QueueStatus;

    /// DQAP: takes up to `room` bytes of the next reply. The part is there when the response code is 00.
    fn dequeue(&mut self, apqn: u16, room: usize) -> (QueueStatus, Option<ReplyPart>);
}

/// Function codes of PQAP, GR0 bits 32-39.
mod function {
    pub(super) const TAPQ: u8 = 0;
    pub(super) const RAPQ: u8 = 1;
    pub(super) const ZAPQ: u8 = 2;
    pub(super) const AQIC: u8 = 3;
    pub(super) const QCI: u8 = 4;
    pub(super) const QACT: u8 = 5;
}

/// GR0 bits 40-47 beside the function code: bit 40 (T) asks TAPQ for the type.
const T_BIT: u64 = 0x0080_0000;
const RESERVED: u64 = 0x007f_0000;
/// Bit 41: of RAPQ and ZAPQ, of no meaning to queues that are not bound; of NQAP, a special command.
const F_BIT: u64 = 0x0040_0000;
/// The queue's adapter or domain is not the guest's.
const NOT_AVAILABLE: QueueStatus = QueueStatus::response(0x01);

impl Execution<'_> {
    fn adjuncts(&mut self) -> Result<&mut dyn Adjuncts, Trap> {
        self.environment.adjuncts().ok_or(Trap::Intercept)
    }

    /// The APQN in GR0. Without APXA there are 64 adapters and 16 domains: bits beyond are a specification exception,
    /// as KVM has it for AQIC.
    fn apqn(&mut self) -> Result<u16, Trap> {
        let apqn = self.state.gprs[0] as u16;
        if self.adjuncts()?.configuration().flags & Configuration::APXA == 0 && apqn & 0xc0f0 != 0 {
            return Err(SPECIFICATION);
        }
        Ok(apqn)
    }

    /// AP instructions are privileged, but where there are none they are not even that.
    fn adjuncts_for_supervisor(&mut self) -> Done {
        self.adjuncts()?;
        if self.state.psw.problem_state() {
            return Err(ProgramCode::PrivilegedOperation.into());
        }
        Ok(())
    }

    fn queue_status(&mut self, status: QueueStatus) {
        self.state.gprs[1] = u64::from(status.0);
        self.set_cc(if status.code() == 0 { 0 } else { 3 });
    }
}

/// PROCESS ADJUNCT PROCESSOR QUEUE.
pub(crate) fn process_queue(x: &mut Execution<'_>, code: Code) -> Done {
    let gr0 = x.state.gprs[0];
    x.adjuncts()?;
    let function = (gr0 >> 24) as u8;
    if function == function::AQIC {
        return Err(Trap::Intercept);
    }
    x.adjuncts_for_supervisor()?;
    let (t_bit, f_bit) = (gr0 & T_BIT != 0, gr0 & F_BIT != 0);
    let reserved = gr0 & RESERVED & !F_BIT != 0;
    let f_allowed = matches!(function, function::RAPQ | function::ZAPQ | function::QACT);
    if reserved || f_bit && !f_allowed || t_bit && (function != function::TAPQ || !x.facility(15)) {
        return Err(SPECIFICATION);
    }
    match function {
        function::TAPQ => test_queue(x, t_bit),
        function::RAPQ => {
            let apqn = x.apqn()?;
            on_queue(x, apqn, |adjuncts| adjuncts.reset(apqn))
        }
        function::ZAPQ => {
            let apqn = x.apqn()?;
            on_queue(x, apqn, |adjuncts| adjuncts.zeroize(apqn))
        }
        function::QCI if x.facility(12) => query_configuration(x, code),
        function::QACT if x.adjuncts()?.configuration().flags & Configuration::QACT != 0 => query_type(x),
        _ => Err(SPECIFICATION),
    }
}

fn on_queue(x: &mut Execution<'_>, apqn: u16, act: impl FnOnce(&mut dyn Adjuncts) -> QueueStatus) -> Done {
    let adjuncts = x.adjuncts()?;
    let status = if adjuncts.apcb().has(apqn) { act(adjuncts) } else { NOT_AVAILABLE };
    x.queue_status(status);
    Ok(())
}

fn test_queue(x: &mut Execution<'_>, with_type: bool) -> Done {
    let apqn = x.apqn()?;
    let mut facts = 0;
    on_queue(x, apqn, |adjuncts| {
        let (status, gr2) = adjuncts.test(apqn);
        facts = gr2;
        status
    })?;
    // Without the T bit GR2 tells of the queue only: type, domains, length and depth, not the function bits.
    x.state.gprs[2] = if with_type { facts } else { facts & 0xffff_ffff };
    Ok(())
}

fn query_type(x: &mut Execution<'_>) -> Done {
    let apqn = x.apqn()?;
    let query = x.state.gprs[1];
    let mut answer = 0;
    on_queue(x, apqn, |adjuncts| {
        let (status, gr2) = adjuncts.query_type(apqn, query);
        answer = gr2;
        status
    })?;
    x.state.gprs[2] = answer;
    Ok(())
}

/// QCI: 128 bytes at GR2, on a doubleword boundary: the machine's flags and limits, the guest's masks.
fn query_configuration(x: &mut Execution<'_>, _: Code) -> Done {
    let address = x.pointer(2);
    if address & 7 != 0 {
        return Err(SPECIFICATION);
    }
    let adjuncts = x.adjuncts()?;
    let (configuration, apcb) = (adjuncts.configuration(), adjuncts.apcb());
    let mut block = [0; 128];
    block[..4].copy_from_slice(&configuration.flags.to_be_bytes());
    block[4] = configuration.na;
    block[5] = configuration.nd;
    block[16..48].copy_from_slice(&apcb.apm);
    block[48..80].copy_from_slice(&apcb.aqm);
    block[80..112].copy_from_slice(&apcb.adm);
    x.write(address, &block)?;
    x.state.gprs[1] = 0;
    x.set_cc(0);
    Ok(())
}

/// The largest message: 255 units of 4096 bytes is more than any TAPQ tells (`ml` has four bits).
const LARGEST_MESSAGE: u64 = 255 * 4096;

/// ENQUEUE TO ADJUNCT PROCESSOR QUEUE: R1 pair PSMID, R2 pair address and length of the message. GR0 bit 33 is one.
pub(crate) fn enqueue(x: &mut Execution<'_>, code: Code) -> Done {
    x.adjuncts_for_supervisor()?;
    let (psmid, message) = (pair(code.n24())?, pair(code.n28())?);
    let (address, length) = (x.pointer(message), x.state.gprs[message + 1]);
    let apqn = x.apqn()?;
    if !x.adjuncts()?.apcb().has(apqn) {
        x.queue_status(NOT_AVAILABLE);
        return Ok(());
    }
    if length > LARGEST_MESSAGE {
        x.queue_status(QueueStatus::response(0x15));
        return Ok(());
    }
    let mut bytes = vec![0; length as usize];
    x.read(address, &mut bytes)?;
    let number = x.state.gprs[psmid] << 32 | x.state.gprs[psmid + 1] & 0xffff_ffff;
    let special = x.state.gprs[0] & F_BIT != 0;
    let status = x.adjuncts()?.enqueue(apqn, number, &bytes, special);
    if status.code() == 0 {
        x.set_pointer(message, address.wrapping_add(length));
        x.state.gprs[message + 1] = 0;
    }
    x.queue_status(status);
    Ok(())
}

/// DEQUEUE FROM ADJUNCT PROCESSOR QUEUE: R1 pair gets the PSMID, R2 pair is address and length of the buffer, GR2 what
/// is left of the reply. Condition code 2: the buffer is full, and the next DQAP goes on.
pub(crate) fn dequeue(x: &mut Execution<'_>, code: Code) -> Done {
    x.adjuncts_for_supervisor()?;
    let (psmid, buffer) = (pair(code.n24())?, pair(code.n28())?);
    let (address, length) = (x.pointer(buffer), x.state.gprs[buffer + 1]);
    let room = length.min(LARGEST_MESSAGE);
    let apqn = x.apqn()?;
    if !x.adjuncts()?.apcb().has(apqn) {
        x.queue_status(NOT_AVAILABLE);
        return Ok(());
    }
    // Nothing may be taken out of the queue that cannot be stored.
    x.check_store(address, room as usize)?;
    let (status, part) = x.adjuncts()?.dequeue(apqn, room as usize);
    let Some(part) = part else {
        x.queue_status(status);
        return Ok(());
    };
    let stored = part.data.len().min(room as usize);
    x.write(address, &part.data[..stored])?;
    // The pairs may be the same one, or have GR1 or GR2 in them: what was there has been read, and the later wins.
    x.state.gprs[psmid] = part.psmid >> 32;
    x.state.gprs[psmid + 1] = part.psmid & 0xffff_ffff;
    x.set_pointer(buffer, address.wrapping_add(stored as u64));
    x.state.gprs[buffer + 1] = length - stored as u64;
    x.state.gprs[2] = part.residual;
    x.queue_status(status);
    if part.residual != 0 {
        x.set_cc(2);
    }
    Ok(())
}
