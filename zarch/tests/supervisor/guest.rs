//! A machine of one CPU to try things on.

use std::cell::Cell;
use std::collections::VecDeque;

use adjunct_zarch::ap::{Adjuncts, Apcb, Configuration, QueueStatus, ReplyPart};
use adjunct_zarch::environment::{CpuCounts, Enabled, Floating, Machine, Partition, VirtualMachine};
use adjunct_zarch::psw::{ADDRESSING_64, Psw, WAIT};
use adjunct_zarch::storage::{FlatStorage, Width};
use adjunct_zarch::{Cpu, Environment, IMPLEMENTED_FACILITIES, Stop, Storage};

/// Where programs begin.
pub(crate) const START: u64 = 0x1_0000;
/// Each new PSW is a disabled wait at this address plus the offset of its old PSW.
pub(crate) const CAUGHT: u64 = 0xcafe_0000;

/// One queue, 05.0004, that answers with what it was sent.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) apcb: Apcb,
    pub(crate) configuration: Configuration,
    pub(crate) queue: VecDeque<(u64, Vec<u8>)>,
    pub(crate) resets: Vec<(&'static str, u16)>,
    pub(crate) special: Vec<bool>,
}

/// TAPQ's answer for every queue of [`Echo`].
pub(crate) const FACTS: u64 = 0x9200_0000_0b00_0307;

impl Adjuncts for Echo {
    fn apcb(&self) -> Apcb {
        self.apcb
    }
    fn configuration(&self) -> Configuration {
        self.configuration
    }
    fn test(&mut self, _: u16) -> (QueueStatus, u64) {
        (QueueStatus(if self.queue.is_empty() { QueueStatus::EMPTY } else { 0x4000_0000 }), FACTS)
    }
    fn reset(&mut self, apqn: u16) -> QueueStatus {
        self.resets.push(("reset", apqn));
        QueueStatus::response(0x02)
    }
    fn zeroize(&mut self, apqn: u16) -> QueueStatus {
        self.resets.push(("zeroize", apqn));
        QueueStatus(QueueStatus::EMPTY)
    }
    fn query_type(&mut self, _: u16, query: u64) -> (QueueStatus, u64) {
        (QueueStatus(0), query | 1)
    }
    fn enqueue(&mut self, _: u16, psmid: u64, message: &[u8], special: bool) -> QueueStatus {
        if self.queue.len() == 2 {
            return QueueStatus::response(0x10);
        }
        self.queue.push_back((psmid, message.to_vec()));
        self.special.push(special);
        QueueStatus(0)
    }
    fn dequeue(&mut self, _: u16, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        let Some((psmid, mut message)) = self.queue.pop_front() else {
            return (QueueStatus(QueueStatus::response(0x10).0 | QueueStatus::EMPTY), None);
        };
        let rest = message.split_off(room.min(message.len()));
        let residual = rest.len() as u64;
        if residual != 0 {
            self.queue.push_front((psmid, rest));
        }
        (QueueStatus(0), Some(ReplyPart { psmid, data: message, residual }))
    }
}

/// What is around the CPU.
pub(crate) struct Around {
    pub(crate) facilities: [u8; 256],
    pub(crate) machine: Machine,
    /// Moves on by one with every look.
    pub(crate) tod: Cell<u64>,
    pub(crate) floating: Vec<Floating>,
    pub(crate) adjuncts: Option<Echo>,
    /// The last mask the CPU asked with.
    pub(crate) asked: Enabled,
    /// How often the CPU has said so.
    pub(crate) external_calls_taken: u32,
}

impl Around {
    pub(crate) fn set_facility(&mut self, number: u16, on: bool) {
        let (byte, bit) = (usize::from(number / 8), 0x80 >> (number % 8));
        self.facilities[byte] = self.facilities[byte] & !bit | if on { bit } else { 0 };
    }
}

impl Environment for Around {
    fn facilities(&self) -> &[u8; 256] {
        &self.facilities
    }
    fn machine(&self) -> &Machine {
        &self.machine
    }
    fn cpu_address(&self) -> u16 {
        3
    }
    fn tod(&self) -> u64 {
        let now = self.tod.get();
        self.tod.set(now + 1);
        now
    }
    fn set_tod(&mut self, tod: u64) {
        self.tod.set(tod);
    }
    fn take_floating(&mut self, enabled: Enabled) -> Option<Floating> {
        self.asked = enabled;
        let open = |floating: &Floating| match floating {
            Floating::MachineCheck { .. } => enabled.machine_check & 0x1000_0000 != 0,
            Floating::ServiceSignal { .. } => enabled.service_signal,
            Floating::Io { identification, .. } => {
                enabled.io_subclasses & 0x80 >> (identification >> 27 & 7) != 0
            }
        };
        let first = self.floating.iter().position(open)?;
        Some(self.floating.remove(first))
    }
    fn external_call_taken(&mut self) {
        self.external_calls_taken += 1;
    }
    fn adjuncts(&mut self) -> Option<&mut dyn Adjuncts> {
        self.adjuncts.as_mut().map(|echo| echo as &mut dyn Adjuncts)
    }
}

/// CPU, storage and surroundings.
pub(crate) struct Guest {
    pub(crate) cpu: Cpu,
    pub(crate) storage: FlatStorage,
    pub(crate) around: Around,
}

impl Guest {
    /// A supervisor in 64-bit mode, disabled for everything, about to execute these bytes (written in hexadecimal,
    /// blanks allowed). Every new PSW is a disabled wait of its own.
    pub(crate) fn new(program: &str) -> Self {
        let storage = FlatStorage::new(0x10_0000);
        let mut guest = Self {
            cpu: Cpu::new(),
            storage,
            around: Around {
                facilities: [0; 256],
                machine: machine(),
                tod: Cell::new(1000),
                floating: Vec::new(),
                adjuncts: None,
                asked: Enabled::default(),
                external_calls_taken: 0,
            },
        };
        for &number in IMPLEMENTED_FACILITIES {
            guest.around.set_facility(number, true);
        }
        for old in [0x120, 0x130, 0x140, 0x150, 0x160, 0x170] {
            guest.new_psw(old, Psw::new(WAIT | ADDRESSING_64, CAUGHT + old));
        }
        guest.put(START, program);
        guest.cpu.state.psw = Psw::new(ADDRESSING_64, START);
        guest.cpu.state.clock_comparator = u64::MAX;
        guest.cpu.state.cpu_timer = 1 << 50;
        guest
    }

    /// Sets the new PSW that belongs to the old one at this address.
    pub(crate) fn new_psw(&mut self, old: u64, psw: Psw) {
        self.storage.write(old + 0x80, &psw.to_be_bytes()).expect("the lowcore is there");
    }

    pub(crate) fn put(&mut self, address: u64, hex: &str) {
        let digits: Vec<u8> = hex
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| u8::try_from(c.to_digit(16).expect("a hexadecimal digit")).expect("below 16"))
            .collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        self.storage.write(address, &bytes).expect("inside");
    }

    pub(crate) fn run(&mut self, instructions: u64) -> Stop {
        self.cpu.run(&self.storage, &mut self.around, instructions)
    }

    pub(crate) fn take_interruptions(&mut self, at_most: u64) -> Option<Stop> {
        self.cpu.take_interruptions(&self.storage, &mut self.around, at_most)
    }

    /// Runs until an interruption's disabled wait; the address of its old PSW, and that PSW.
    pub(crate) fn caught(&mut self) -> (u64, Psw) {
        assert_eq!(self.run(100), Stop::DisabledWait, "{:x?}", self.cpu.state);
        let old = self.cpu.state.psw.address - CAUGHT;
        (old, self.psw_at(old))
    }

    /// Runs into a program interruption: its code, the length stored with it, and how far the old PSW is from START.
    pub(crate) fn program_check(&mut self) -> (u16, u16, u64) {
        let (old, psw) = self.caught();
        assert_eq!(old, 0x150, "not a program interruption");
        (self.half(0x8e), self.half(0x8c), psw.address.wrapping_sub(START))
    }

    pub(crate) fn psw_at(&self, address: u64) -> Psw {
        Psw::new(self.double(address), self.double(address + 8))
    }

    pub(crate) fn half(&self, address: u64) -> u16 {
        u16::try_from(self.storage.load(address, Width::Half).expect("inside")).expect("two bytes")
    }

    pub(crate) fn word(&self, address: u64) -> u32 {
        u32::try_from(self.storage.load(address, Width::Word).expect("inside")).expect("four bytes")
    }

    pub(crate) fn double(&self, address: u64) -> u64 {
        self.storage.load(address, Width::Double).expect("inside")
    }

    pub(crate) fn cc(&self) -> u8 {
        self.cpu.state.psw.condition_code()
    }
}

fn machine() -> Machine {
    let cpus = CpuCounts { total: 2, configured: 2, standby: 0, reserved: 0 };
    Machine {
        cpuid: 0xff12_3456_3931_8000,
        manufacturer: "IBM".into(),
        machine_type: "3931".into(),
        model: "A01".into(),
        sequence: "00000000000ABCDE".into(),
        plant: "02".into(),
        capability: 77,
        cpus,
        partition: Some(Partition { number: 1, name: "LPAR1".into(), capability_adjustment: 1000, cpus }),
        virtual_machine: Some(VirtualMachine {
            name: "GUEST".into(),
            control_program: "KVM/Linux".into(),
            uuid: [7; 16],
            capability_adjustment: 1000,
            cpus,
        }),
    }
}
