//! AP instructions of two guests of one host, on which adapters come and go and queues are assigned, taken and reset:
//! a guest reaches its own queues only, gets its own messages only, and only its operands and notification bytes are
//! stored to.
#![no_main]

use adjunct_ap::{
    Apid, Apqi, Apqn, Matrix, Sysfs, Uuid,
    host::{Bus, QueueDriver},
    mdev::Mdev,
};
use adjunct_fuzz::{Around, Ended, Few, Guest, Left, Place, Sparse, code::*};
use adjunct_hypervisor::{ApDevice, Vcpu};
use adjunct_simulator::{Card, HostFile, KernelProfile, SimHost};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock, time::Duration};

#[derive(Debug, Arbitrary)]
struct Input {
    kernel: u8,
    steps: Few<Step, 16>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Guest { second: bool, around: Around, instruction: Instruction },
    Host(Act),
    Handover(Handover),
}

/// A guest uses a queue, which then becomes the other's: chance would seldom make that.
#[derive(Debug, Arbitrary)]
struct Handover {
    to_second: bool,
    domain: u8,
    message: Buffer,
    byte: Place,
    buffer: Buffer,
    /// What else happens before the other guest uses it.
    between: Act,
}

#[derive(Debug, Arbitrary)]
enum Instruction {
    Pqap { function: u8, reserved: Sparse, queue: Queue, enable: bool, gr1: Sparse, gr2: Place },
    Nqap { queue: Queue, other: Sparse, registers: u8, message: Buffer },
    Dqap { queue: Queue, other: Sparse, registers: u8, buffer: Buffer },
}

/// Mostly one that there is.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Queue {
    known: u8,
    odd: u8,
    any: u16,
}

/// An operand, mostly a good one.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Buffer {
    page: u8,
    length: u16,
    odd: u8,
    place: Place,
    any: u64,
}

#[derive(Debug, Arbitrary)]
enum Act {
    Assign {
        mdev: u8,
        what: What,
        id: u8,
        gives: bool,
    },
    /// A domain goes from one guest to the other.
    Move {
        domain: u8,
        to_second: bool,
    },
    Mask {
        adapters: bool,
        id: u8,
        gives: bool,
    },
    Configure(bool, bool),
    Checkstop(bool, bool),
    Card(bool, bool),
    Domain(u8, bool),
    ServiceTime(u8),
    Announce,
    Wait(u16),
    Close(bool),
    Open(bool),
    Reset(bool),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum What {
    Adapter,
    Domain,
    ControlDomain,
}

const ADAPTERS: [u8; 2] = [5, 6];
const DOMAINS: [u8; 4] = [4, 0x47, 0xab, 0xff];
/// What each guest's storage is full of.
const FILLS: [u8; 2] = [0xa1, 0xb2];
/// So many bytes of the other guest in a row are its message.
const RUN: usize = 8;

impl Queue {
    fn apqn(self) -> u16 {
        let Self { known, odd, any } = self;
        if odd >= 0xe0 {
            return any;
        }
        // Most are of the adapter that both guests have.
        u16::from_be_bytes([ADAPTERS[usize::from(known >= 0xc0)], DOMAINS[usize::from(known & 3)]])
    }
}

impl Buffer {
    /// Its address and length.
    fn place(self) -> (u64, u64) {
        match self.odd {
            0xe0.. => (self.place.address(), self.any),
            0xc0.. => (self.place.address(), self.length.into()),
            _ => (0x2_0000 + u64::from(self.page) * 2048, u64::from(self.length & 0x3fff)),
        }
    }
}

static FILE: LazyLock<HostFile> =
    LazyLock::new(|| HostFile::three_guests().expect("the built-in host is right"));

fn uuid(n: usize) -> Uuid {
    format!("6c4a5d2e-0d3e-4c7a-9b0a-00000000000{}", n % 3 + 1).parse().expect("a UUID")
}

fn directory(n: usize) -> String {
    format!("devices/vfio_ap/matrix/{}", uuid(n))
}

struct Machine {
    host: SimHost,
    guests: [Guest; 2],
    /// Where queues of each guest notify.
    bytes: [BTreeMap<u16, u64>; 2],
    cards: BTreeMap<Apid, Card>,
}

fuzz_target!(|input: Input| {
    // Most have the reference.
    let kernel = KernelProfile::ALL.into_iter().nth(input.kernel.into()).unwrap_or_default();
    let host = SimHost::new(HostFile { kernel, ..FILE.clone() }).expect("the built-in host starts");
    let guests = [0, 1].map(|n| Guest::new(&host, 1, FILLS[n]));
    let cards = host.adapters().operate(|machine| machine.cards.clone());
    let mut machine = Machine { host, guests, bytes: Default::default(), cards };
    machine.open(0);
    machine.open(1);
    for step in input.steps.iter() {
        match step {
            Step::Guest { second, around, instruction } => {
                machine.execute(usize::from(*second), *around, instruction);
            }
            Step::Handover(handover) => machine.hand_over(handover),
            Step::Host(act) => {
                machine.act(act);
                machine.check();
            }
        }
    }
    machine.finish();
});

/// Whether an operand, or a notification byte, may be where the guest's next instructions and new PSWs are.
fn stores_to_needed(around: Around, text: &[u8; 4], gprs: &[u64; 16]) -> bool {
    let r2 = usize::from(text[3] & 15);
    let (at, length) = match text[1] {
        0xae => (gprs[r2], gprs[r2 | 1].min(12 * 1024)),
        _ => (gprs[2], 128),
    };
    // A notification byte is at an absolute address.
    let needed = |at: u64| Guest::is_needed(at) || Guest::is_needed(around.absolute(at));
    let at = at & around.address_mask();
    text[1] != 0xad
        && (at..at.saturating_add(length)).step_by(4096).chain([at.saturating_add(length)]).any(needed)
}

impl Machine {
    fn open(&mut self, n: usize) {
        if self.guests[n].device.is_none() {
            let path = PathBuf::from(format!("/sys/{}", directory(n)));
            self.guests[n].device = Some(self.guests[n].vm.open_ap(path.into()).expect("nobody has it"));
        }
    }

    fn act(&mut self, act: &Act) {
        let host = self.host.clone();
        let card = |first: bool| Apid(ADAPTERS[usize::from(!first)]);
        let changes = |first: bool, change: fn(&mut Card, bool), to: bool| {
            host.adapters()
                .operate(|machine| machine.cards.get_mut(&card(first)).map(|card| change(card, to)));
        };
        match *act {
            Act::Assign { mdev, what, id, gives } => {
                let (name, known) = match what {
                    What::Adapter => ("adapter", &ADAPTERS[..]),
                    What::Domain => ("domain", &DOMAINS[..]),
                    What::ControlDomain => ("control_domain", &DOMAINS[..]),
                };
                let id = if id < 0xf0 { known[usize::from(id) % known.len()] } else { id };
                let does = if gives { "assign" } else { "unassign" };
                // The kernel may refuse.
                let _ = host.write(&format!("{}/{does}_{name}", directory(mdev.into())), &id.to_string());
            }
            Act::Move { domain, to_second } => {
                let domain = DOMAINS[usize::from(domain & 3)].to_string();
                let (from, to) = (usize::from(!to_second), usize::from(to_second));
                let _ = host.write(&format!("{}/unassign_domain", directory(from)), &domain);
                let _ = host.write(&format!("{}/assign_domain", directory(to)), &domain);
            }
            Act::Mask { adapters, id, gives } => {
                let (name, known) =
                    if adapters { ("apmask", &ADAPTERS[..]) } else { ("aqmask", &DOMAINS[..]) };
                let sign = if gives { '+' } else { '-' };
                let _ = host.write(
                    &format!("bus/ap/{name}"),
                    &format!("{sign}{}", known[usize::from(id) % known.len()]),
                );
            }
            Act::Configure(first, to) => changes(first, |card, to| card.configured = to, to),
            Act::Checkstop(first, to) => changes(first, |card, to| card.checkstopped = to, to),
            Act::Card(first, is_there) => {
                let whole = self.cards.get(&card(first)).cloned();
                host.adapters().operate(|machine| match whole {
                    Some(whole) if is_there => machine.cards.insert(card(first), whole),
                    _ => machine.cards.remove(&card(first)),
                });
            }
            Act::Domain(n, is_there) => {
                let domain = Apqi(DOMAINS[usize::from(n & 3)]);
                host.adapters().operate(|machine| match is_there {
                    true => machine.usage_domains.insert(domain),
                    false => machine.usage_domains.remove(domain),
                });
            }
            Act::ServiceTime(milliseconds) => {
                let time = Duration::from_millis(u64::from(milliseconds & 0x3f));
                host.adapters().operate(|machine| machine.service_time = time);
            }
            Act::Announce => host.config_changed(),
            Act::Wait(milliseconds) => host.advance(Duration::from_millis(milliseconds.into())),
            Act::Close(second) => self.guests[usize::from(second)].device = None,
            Act::Open(second) => self.open(usize::from(second)),
            Act::Reset(second) => {
                if let Some(device) = &self.guests[usize::from(second)].device {
                    // EIO where an adapter can't be reset.
                    let _ = device.reset();
                }
            }
        }
    }

    fn hand_over(&mut self, handover: &Handover) {
        let Handover { to_second, domain, message, byte, buffer, ref between } = *handover;
        let (from, to) = (usize::from(!to_second), usize::from(to_second));
        let queue = Queue { known: domain & 3, odd: 0, any: 0 };
        let (other, around) = (Sparse::Zero, Around::default());
        let notify =
            Instruction::Pqap { function: 3, reserved: other, queue, enable: true, gr1: other, gr2: byte };
        let send = Instruction::Nqap { queue, other, registers: 0x46, message };
        let receive = Instruction::Dqap { queue, other, registers: 0x46, buffer };
        self.execute(from, around, &notify);
        self.execute(from, around, &send);
        self.act(&Act::Move { domain, to_second });
        self.check();
        self.act(between);
        self.check();
        for instruction in [&send, &receive, &receive] {
            self.execute(to, around, instruction);
        }
    }

    /// What is assigned to the guest's mdev, if the guest has it.
    fn assigned(&self, n: usize) -> Matrix {
        match &self.guests[n].device {
            Some(_) => {
                Mdev::open(&self.host, uuid(n)).expect("it is there").matrix().expect("it is readable")
            }
            None => Matrix::EMPTY,
        }
    }

    /// Up to 7.0 a guest keeps its masks when the last adapter or domain of them goes (`vfio_ap_mdev_hot_unplug_cfg`), and
    /// the simulated kernels do as those do.
    fn masks_may_be_stale(&self) -> bool {
        self.host.profile() < KernelProfile::V7_2
    }

    /// What the guests have is theirs, is vfio_ap's, and is nobody else's.
    fn check(&mut self) {
        let bound = Bus::new(&self.host).bound().expect("sysfs can be read");
        let has: Vec<Matrix> = self.guests.iter().map(|guest| guest.vm.apcb(0)).collect();
        let may_be_stale = self.masks_may_be_stale();
        assert!(may_be_stale || !has[0].conflicts_with(&has[1]), "{has:?}");
        for n in 0..2 {
            let assigned = self.assigned(n);
            let are_assigned = has[n].apm.is_subset(&assigned.apm)
                && has[n].aqm.is_subset(&assigned.aqm)
                && has[n].adm.is_subset(&assigned.adm);
            assert!(may_be_stale || are_assigned, "{:?} of {assigned:?}", has[n]);
            for apqn in has[n].apqns().filter(|_| !may_be_stale) {
                assert_eq!(bound.get(&apqn), Some(&QueueDriver::VfioAp), "{apqn} of guest {n}");
            }
            let Self { guests, bytes, .. } = self;
            let storage = &mut guests[n].storage;
            bytes[n].retain(|apqn, byte| {
                let [apid, apqi] = apqn.to_be_bytes();
                let stays = assigned.contains(Apqn::new(apid, apqi));
                if !stays {
                    // Up to now it might be stored to, and from now on not.
                    storage.permit(*byte, 1);
                }
                stays
            });
        }
    }

    fn execute(&mut self, n: usize, around: Around, instruction: &Instruction) {
        let (gr0, text) = self.prepare(n, instruction);
        self.guests[n].set(0, &[(0, gr0)]);
        let state = self.guests[n].vcpus[0].state();
        let (before, apqn) = (state.gprs, gr0 as u16);
        if stores_to_needed(around, &text, &before) {
            return;
        }
        let [apid, apqi] = apqn.to_be_bytes();
        let has = self.guests[n].vm.apcb(0);
        let is_its = has.contains(Apqn::new(apid, apqi));
        let ended = self.guests[n].execute(0, around, &text);
        let after = self.guests[n].vcpus[0].state().gprs;
        let condition = match ended {
            Ended::Done(condition) => condition,
            Ended::Program(PRIVILEGED) => return assert!(around.problem_state()),
            Ended::Program(SPECIFICATION | ADDRESSING) => return,
            Ended::Program(PROTECTION) => return assert_ne!(text[1], 0xad, "NQAP stores nothing"),
            // An adapter interruption, perhaps because AQIC has just enabled it.
            Ended::Before(_) => {
                if text[1] == 0xaf && gr0 >> 24 & 0xff == 3 {
                    self.remember_byte(n, apqn, &before);
                }
                return;
            }
            // CRYCB formats, or kernels, without AQIC.
            Ended::Left(Left::Unserved(what)) => panic!("{what}"),
            other => panic!("{other:?}"),
        };
        assert!(!around.problem_state());
        let response = after[1] >> 16 & 0xff;
        let function = gr0 >> 24 & 0xff;
        let pqap = text[1] == 0xaf;
        if !(pqap && [3, 4].contains(&function)) {
            if !is_its {
                assert!(condition == 3 && response == 1, "{apqn:04x} is not its: {condition} {response:#x}");
                return;
            }
            let known = [0, 1, 2, 3, 4, 0x10, 0x15];
            assert!(
                known.contains(&response) && (condition == 3) == (response != 0),
                "{condition} {response:#x}"
            );
        }
        match (text[1], function) {
            (0xaf, 3) => self.notifies(n, apqn, condition, (&before, &after)),
            (0xaf, 4) => {
                let at = around.absolute(before[2] & around.address_mask());
                assert!(condition == 0 && around.may_store());
                let storage = &mut self.guests[n].storage;
                storage.permit(at, 128);
                let block: [u8; 128] = storage.read(at);
                let ids = |from: usize| {
                    (0..=255_u8).filter(move |id| block[from + usize::from(id / 8)] & 0x80 >> (id % 8) != 0)
                };
                assert!(ids(16).eq(has.apm.iter().map(|id| id.0)), "adapters");
                assert!(ids(48).eq(has.aqm.iter().map(|id| id.0)), "domains");
                assert!(ids(80).eq(has.adm.iter().map(u8::from)), "control domains");
            }
            (0xae, _) => self.received(n, around, text[3], (&before, &after)),
            _ => {}
        }
        self.guests[n].mend();
    }

    /// The registers of an instruction; its GR0 and text.
    fn prepare(&mut self, n: usize, instruction: &Instruction) -> (u64, [u8; 4]) {
        let guest = &mut self.guests[n];
        let psmid = u64::from(FILLS[n]) << 24 | 0x11;
        match instruction {
            Instruction::Pqap { function, reserved, queue, enable, gr1, gr2 } => {
                let function = if *function < 0xe0 { function % 6 } else { *function };
                let enable = u64::from(*enable) << 47;
                guest.set(0, &[(1, u64::from(gr1.word()) | enable), (2, gr2.address())]);
                let reserved = u64::from(reserved.word()) << 16 & 0x00ff_0000;
                (u64::from(function) << 24 | reserved | u64::from(queue.apqn()), [0xb2, 0xaf, 0, 0])
            }
            Instruction::Nqap { queue, other, registers, message }
            | Instruction::Dqap { queue, other, registers, buffer: message } => {
                let sends = matches!(instruction, Instruction::Nqap { .. });
                // Most pairs are good ones.
                let registers = if *registers < 0xe0 { registers & 0xee } else { *registers };
                let (r1, r2) = (usize::from(registers >> 4), usize::from(registers & 15));
                let (address, length) = message.place();
                guest.set(0, &[(r1, psmid), (r1 | 1, psmid), (r2, address), (r2 | 1, length)]);
                let gr0 = if sends { 0x4000_0000 } else { 0x8000_0000 };
                let other = if message.odd < 0x80 { 0 } else { u64::from(other.word()) & 0xffff_0000 };
                (gr0 ^ other | u64::from(queue.apqn()), [0xb2, if sends { 0xad } else { 0xae }, 0, registers])
            }
        }
    }

    /// AQIC has ended.
    fn notifies(&mut self, n: usize, apqn: u16, condition: u8, (before, after): (&[u64; 16], &[u64; 16])) {
        let [apid, apqi] = apqn.to_be_bytes();
        let assigned = self.assigned(n).contains(Apqn::new(apid, apqi));
        if self.guests[n].device.is_none() {
            // The kernel copies the status to the wrong half.
            return assert!(condition == 3 && after[1] >> 48 & 0xff == 1);
        }
        if !assigned {
            return assert!(condition == 3 && after[1] >> 16 & 0xff == 1, "{apqn:04x} is not assigned");
        }
        if condition != 0 {
            return;
        }
        if before[1] >> 47 & 1 != 0 {
            assert!(before[2] != 0 && before[2] < 1 << 20);
        }
        self.remember_byte(n, apqn, before);
    }

    /// AQIC may have enabled interruptions, or disabled them.
    fn remember_byte(&mut self, n: usize, apqn: u16, gprs: &[u64; 16]) {
        let Self { guests, bytes, .. } = self;
        if let Some(byte) = bytes[n].remove(&apqn) {
            guests[n].storage.permit(byte, 1);
        }
        if gprs[1] >> 47 & 1 != 0 && gprs[2] < 1 << 20 {
            bytes[n].insert(apqn, gprs[2]);
        }
    }

    /// DQAP has ended: what it stored is within its buffer, and no message of the other guest.
    fn received(
        &mut self,
        n: usize,
        around: Around,
        registers: u8,
        (before, after): (&[u64; 16], &[u64; 16]),
    ) {
        if after[1] >> 16 & 0xff != 0 {
            return;
        }
        let r2 = usize::from(registers & 15);
        let real = before[r2] & around.address_mask();
        let length = before[r2 | 1].min(255 * 4096);
        let other = FILLS[1 - n];
        // No message is longer.
        let stored = length.min(12 * 1024);
        let bytes = self.guests[n].storage.bytes(around.absolute(real), stored);
        let foreign = bytes.windows(RUN).any(|run| run.iter().all(|byte| *byte == other));
        assert!(!foreign || self.masks_may_be_stale(), "a message of the other guest");
        let mut at = real;
        while at < real + stored {
            // To the end of the page.
            let part = (4096 - at % 4096).min(real + stored - at);
            self.guests[n].storage.permit(around.absolute(at), part);
            at += part;
        }
    }

    fn finish(self) {
        let Self { host, guests, bytes, .. } = self;
        for (mut guest, bytes) in guests.into_iter().zip(bytes) {
            bytes.values().for_each(|byte| guest.storage.permit(*byte, 1));
            guest.finish();
        }
        let held = host.acts().held();
        assert!(held.is_empty(), "{held:?}");
    }
}
