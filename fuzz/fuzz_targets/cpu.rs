//! The interpreter: whatever registers, PSW and storage a guest has, no panic, and a run ends.
#![no_main]

use adjunct_zarch::ap::{Adjuncts, Apcb, Configuration, QueueStatus, ReplyPart};
use adjunct_zarch::environment::{Enabled, Environment, Floating, Machine};
use adjunct_zarch::psw::Psw;
use adjunct_zarch::storage::FlatStorage;
use adjunct_zarch::{Cpu, ProgramCode, Stop, Storage};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::cell::Cell;
use std::collections::VecDeque;

const STORAGE: usize = 64 * 1024;
/// Instructions and interruptions for each call of the CPU, and calls.
const SLICE: u64 = 256;
const SLICES: usize = 8;

/// A guest as the fuzzer makes it.
#[derive(Debug, Arbitrary)]
struct Guest {
    /// Bits 0-31 of the PSW, the addressing mode, and where it points.
    psw: (u32, u8, u16),
    gprs: [u64; 16],
    /// A bit for each general register that is cut to an address in storage.
    pointers: u16,
    /// What is at the PSW's address: instructions by number, which of their bits are operands, and these.
    program: Vec<(u16, u8, u64)>,
    control: Control,
    fpc: u32,
    facilities: [u8; 32],
    around: Around,
    /// What is in storage: address (in units of 16 bytes) and bytes.
    pieces: Vec<(u16, Vec<u8>)>,
    /// Storage keys of the blocks.
    keys: [u8; 16],
    signals: Vec<Signal>,
}

#[derive(Debug, Arbitrary)]
struct Control {
    crs: [u64; 16],
    acrs: [u32; 16],
    prefix: u8,
    cpu_timer: i32,
    clock_comparator: u32,
}

#[derive(Debug, Arbitrary)]
struct Around {
    tod: u32,
    tick: u8,
    floating: Vec<(u8, u32, u64)>,
    queues: Option<(Configured, Vec<Reply>)>,
}

#[derive(Debug, Arbitrary)]
struct Configured {
    lacking_flags: u32,
    lacking_adapters: [u8; 2],
    lacking_domains: [u8; 2],
    response: u8,
}

type Reply = (u64, Vec<u8>);

/// What the host does between two calls of the CPU.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Signal {
    Nothing,
    Operation,
    Specification,
    Restart,
    Emergency(u16),
    Call(u16),
    Reset,
    InitialReset,
}

/// Queues that answer with what they were sent, each to everybody.
struct Queues {
    apcb: Apcb,
    configuration: Configuration,
    status: QueueStatus,
    replies: VecDeque<Reply>,
}

impl Queues {
    fn new(configured: &Configured, replies: &[Reply]) -> Self {
        let mut apcb = Apcb::default();
        // Most adapters and domains are the guest's, and most machines have APXA.
        for (byte, lacking) in apcb.apm.iter_mut().zip(configured.lacking_adapters.iter().cycle()) {
            *byte = !lacking;
        }
        for (byte, lacking) in apcb.aqm.iter_mut().zip(configured.lacking_domains.iter().cycle()) {
            *byte = !lacking;
        }
        Self {
            apcb,
            configuration: Configuration { flags: !configured.lacking_flags, na: 255, nd: 255 },
            status: QueueStatus::response(configured.response & 0x13),
            replies: replies.iter().cloned().collect(),
        }
    }
}

impl Adjuncts for Queues {
    fn apcb(&self) -> Apcb {
        self.apcb
    }
    fn configuration(&self) -> Configuration {
        self.configuration
    }
    fn test(&mut self, apqn: u16) -> (QueueStatus, u64) {
        assert!(self.apcb.has(apqn));
        (self.status, 0x9200_0000_0b00_0307)
    }
    fn reset(&mut self, apqn: u16) -> QueueStatus {
        assert!(self.apcb.has(apqn));
        self.replies.clear();
        self.status
    }
    fn zeroize(&mut self, apqn: u16) -> QueueStatus {
        self.reset(apqn)
    }
    fn query_type(&mut self, apqn: u16, query: u64) -> (QueueStatus, u64) {
        assert!(self.apcb.has(apqn));
        (self.status, query)
    }
    fn enqueue(&mut self, apqn: u16, psmid: u64, message: &[u8], _: bool) -> QueueStatus {
        assert!(self.apcb.has(apqn));
        if self.replies.len() > 8 {
            return QueueStatus::response(0x10);
        }
        self.replies.push_back((psmid, message.to_vec()));
        self.status
    }
    fn dequeue(&mut self, apqn: u16, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        assert!(self.apcb.has(apqn));
        let Some((psmid, mut data)) = self.replies.pop_front() else {
            return (QueueStatus::response(0x10), None);
        };
        let rest = data.split_off(room.min(data.len()));
        let residual = rest.len() as u64;
        if residual != 0 {
            self.replies.push_front((psmid, rest));
        }
        (QueueStatus::default(), Some(ReplyPart { psmid, data, residual }))
    }
}

struct Host {
    facilities: Box<[u8; 256]>,
    machine: Machine,
    tod: Cell<u64>,
    tick: u64,
    floating: Vec<Floating>,
    queues: Option<Queues>,
}

impl Host {
    fn new(guest: &Guest) -> Self {
        let mut facilities = Box::new([0; 256]);
        // Most guests have most facilities.
        for (byte, random) in facilities.iter_mut().zip(guest.facilities) {
            *byte = !random;
        }
        let around = &guest.around;
        let floating = around.floating.iter().map(|&(kind, word, double)| match kind % 3 {
            0 => Floating::MachineCheck {
                code: double,
                external_damage: word,
                failing_storage: double,
                fixed_logout: [word.to_be_bytes()[0]; 16],
            },
            1 => Floating::ServiceSignal { parameter: word },
            _ => Floating::Io { subsystem: word, parameter: word, identification: word },
        });
        Self {
            facilities,
            machine: Machine::default(),
            tod: Cell::new(around.tod.into()),
            tick: around.tick.into(),
            floating: floating.collect(),
            queues: around.queues.as_ref().map(|(configured, replies)| Queues::new(configured, replies)),
        }
    }
}

impl Environment for Host {
    fn facilities(&self) -> &[u8; 256] {
        &self.facilities
    }
    fn machine(&self) -> &Machine {
        &self.machine
    }
    fn cpu_address(&self) -> u16 {
        0
    }
    fn tod(&self) -> u64 {
        self.tod.set(self.tod.get().wrapping_add(self.tick));
        self.tod.get()
    }
    fn set_tod(&mut self, tod: u64) {
        self.tod.set(tod);
    }
    fn take_floating(&mut self, enabled: Enabled) -> Option<Floating> {
        let open = |floating: &Floating| match floating {
            Floating::MachineCheck { .. } => enabled.machine_check != 0,
            Floating::ServiceSignal { .. } => enabled.service_signal,
            Floating::Io { identification, .. } => {
                enabled.io_subclasses & 0x80 >> (identification >> 27 & 7) != 0
            }
        };
        let first = self.floating.iter().position(open)?;
        Some(self.floating.remove(first))
    }
    fn adjuncts(&mut self) -> Option<&mut dyn Adjuncts> {
        self.queues.as_mut().map(|queues| queues as &mut dyn Adjuncts)
    }
}

/// An instruction of the table with other operands. Which bits of it are the opcode is the fuzzer's guess. One in eight
/// is NQAP or DQAP with register pairs, which chance would hardly make.
fn instruction(number: u16, operands: u8, bits: u64) -> Vec<u8> {
    const OPERANDS: [u64; 4] =
        [0x00ff_ffff_ffff_0000, 0x00f0_ffff_ffff_0000, 0x0000_ffff_ffff_0000, 0x00ff_ffff_ff00_0000];
    if number >> 13 == 7 {
        return vec![0xb2, 0xad + (number & 1) as u8, 0, (bits & 0xee) as u8];
    }
    let table = adjunct_zarch::instructions();
    let instruction = &table[usize::from(number) % table.len()];
    let bits = instruction.template() | bits & OPERANDS[usize::from(operands % 4)];
    bits.to_be_bytes()[..instruction.length().into()].to_vec()
}

fn storage(guest: &Guest) -> FlatStorage {
    let storage = FlatStorage::new(STORAGE);
    for (at, bytes) in &guest.pieces {
        let _ = storage.write(u64::from(*at) * 16 % STORAGE as u64, bytes);
    }
    let mut at = u64::from(guest.psw.2 & !1);
    for &(number, operands, bits) in &guest.program {
        let code = instruction(number, operands, bits);
        let _ = storage.write(at, &code);
        at += code.len() as u64;
    }
    for (block, key) in (0..).zip(guest.keys) {
        storage.keys().set(block * 4096, key).expect("inside");
    }
    storage
}

fn cpu(guest: &Guest) -> Cpu {
    let mut cpu = Cpu::new();
    let (mask, mode, address) = guest.psw;
    // Without what ends a run at once: PER and translation.
    let mask = u64::from(mask & !0x4400_0000) << 32 | u64::from(mode & 1) << 32 | u64::from(mode & 2) << 30;
    let state = &mut cpu.state;
    state.psw = Psw::new(mask, u64::from(address & !1));
    state.gprs = guest.gprs;
    for (number, gpr) in state.gprs.iter_mut().enumerate() {
        if guest.pointers >> number & 1 != 0 {
            *gpr %= STORAGE as u64;
        }
    }
    state.crs = guest.control.crs;
    state.acrs = guest.control.acrs;
    state.prefix = u32::from(guest.control.prefix % 9) * 8192;
    state.fpc = guest.fpc;
    state.cpu_timer = i64::from(guest.control.cpu_timer).cast_unsigned();
    state.clock_comparator = guest.control.clock_comparator.into();
    cpu
}

fn signal(cpu: &mut Cpu, signal: Signal) {
    match signal {
        Signal::Nothing => {}
        Signal::Operation => cpu.inject_program(ProgramCode::Operation),
        Signal::Specification => cpu.inject_program(ProgramCode::Specification),
        Signal::Restart => cpu.inject_restart(),
        Signal::Emergency(source) => cpu.inject_emergency(source),
        Signal::Call(source) => {
            let was_pending = cpu.external_call_pending();
            assert_eq!(cpu.inject_external_call(source), !was_pending);
        }
        Signal::Reset => cpu.normal_reset(),
        Signal::InitialReset => cpu.initial_reset(),
    }
}

fuzz_target!(|guest: Guest| {
    let storage = storage(&guest);
    let mut host = Host::new(&guest);
    let mut cpu = cpu(&guest);
    let signals = guest.signals.iter().copied().chain(std::iter::repeat(Signal::Nothing));
    for next in signals.take(SLICES) {
        signal(&mut cpu, next);
        let stop = cpu.run(&storage, &mut host, SLICE);
        let _ = cpu.next_timer(&host);
        if matches!(stop, Stop::Validity) {
            break;
        }
    }
});
