//! DIAGNOSE, SIGNAL PROCESSOR and SERVICE CALL of guests with several CPUs, and the resets that they ask for: answers are
//! those that are documented, CPUs are in the state that they were told to be, and nothing is stored but what an
//! order or a DIAGNOSE says.
#![no_main]

use adjunct_devices::{
    intercept::Sigp,
    ipl::{self, ResetKind, ResetStep},
    sigp::{self, Answer, State},
};
use adjunct_fuzz::{Around, CODE, Ended, Few, Guest, HOST, LOWCORE, Left, Place, Sparse, code::*};
use adjunct_hypervisor::{CpuReset, CpuState, RunState, Vcpu, Vm};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const SIZE: u64 = 1 << 20;

#[derive(Debug, Arbitrary)]
struct Input {
    cpus: u8,
    steps: Few<Step, 12>,
}

#[derive(Debug, Arbitrary)]
struct Step {
    cpu: u8,
    around: Around,
    what: What,
    /// Whether interruptions lead to where they can be told apart; else anything may follow.
    mended: bool,
}

#[derive(Debug, Arbitrary)]
enum What {
    Diagnose {
        code: Code,
        registers: u8,
        x: Value,
        y: Value,
    },
    Signal {
        order: Order,
        registers: u8,
        to: To,
        parameter: Value,
    },
    Service {
        command: Sparse,
        sccb: Place,
        length: u16,
        body: Vec<u8>,
    },
    Store {
        place: Place,
        bytes: [u8; 16],
    },
    /// Console input.
    Input(Vec<u8>),
    Quiesce,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Code {
    Ipl,
    Known(u8),
    Any(u16),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Value {
    Small(u8),
    Place(Place),
    Page(u16),
    Any(u64),
    /// The block of DIAGNOSE 0x258.
    PageReference(Place),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Order {
    Known(u8),
    Any(u8),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum To {
    Cpu(u8),
    Any(u64),
}

impl Code {
    fn number(self) -> u16 {
        const KNOWN: [u16; 12] =
            [0x10, 0x44, 0x9c, 0x258, 0x500, 0x501, 0x308, 0x288, 0x318, 0x320, 0x2c4, 0xdeb];
        match self {
            Self::Ipl => 0x308,
            Self::Known(n) => KNOWN[usize::from(n) % KNOWN.len()],
            Self::Any(code) => code,
        }
    }
}

impl Value {
    fn bits(self) -> u64 {
        match self {
            Self::Small(n) => u64::from(n & 15),
            Self::Place(place) | Self::PageReference(place) => place.address(),
            Self::Page(n) => u64::from(n) << 12,
            Self::Any(bits) => bits,
        }
    }
}

impl Order {
    fn code(self) -> u8 {
        const KNOWN: [u8; 15] = [1, 2, 3, 4, 5, 6, 9, 0xb, 0xc, 0xd, 0xe, 0x12, 0x13, 0x15, 0x17];
        match self {
            Self::Known(n) => KNOWN[usize::from(n) % KNOWN.len()],
            Self::Any(code) => code,
        }
    }
}

struct Machine {
    guest: Guest,
    states: Vec<State>,
    /// Whether interruptions lead to where they can be told apart.
    tame: bool,
}

fuzz_target!(|input: Input| {
    let cpus = 1 + u16::from(input.cpus % 3);
    let mut states = vec![State::Stopped; cpus.into()];
    states[0] = State::Operating;
    let mut machine = Machine { guest: Guest::new(&HOST, cpus, 0), states, tame: true };
    for step in input.steps.iter() {
        machine.step(step);
    }
    machine.guest.finish();
});

impl Machine {
    fn step(&mut self, step: &Step) {
        let cpu = usize::from(step.cpu) % self.states.len();
        if step.mended {
            self.guest.mend();
        }
        self.tame = step.mended;
        match &step.what {
            What::Diagnose { code, registers, x, y } => {
                let (r1, r3) = (registers >> 4, registers & 0xf);
                for value in [x, y] {
                    if let Value::PageReference(place) = value {
                        let block = [0x0258_0000_0005_0002_u64, 0x9000, 0, 0, 1 << 63].map(u64::to_be_bytes);
                        self.put(step.around.absolute(place.address()), &block.concat());
                    }
                }
                self.guest.set(cpu, &[(r1.into(), x.bits()), (r3.into(), y.bits())]);
                let [high, low] = code.number().to_be_bytes();
                // The code is a displacement as far as it fits, else in a register that nobody else has.
                let free = (1..15).find(|r| ![r1, r3, r1 | 1].contains(r)).unwrap_or(0);
                self.guest.set(cpu, &[(free.into(), u64::from(high & 0xf0) << 8)]);
                self.execute(cpu, step, &[0x83, *registers, free << 4 | high & 0xf, low]);
            }
            What::Signal { order, registers, to, parameter } => {
                let (r1, r3) = (registers >> 4, registers & 0xf);
                let to = match to {
                    To::Cpu(n) => u64::from(n & 3),
                    To::Any(bits) => *bits,
                };
                self.guest.set(cpu, &[((r1 | 1).into(), parameter.bits()), (r3.into(), to)]);
                self.execute(cpu, step, &[0xae, *registers, 0, order.code()]);
            }
            What::Service { command, sccb, length, body } => {
                let at = sccb.address();
                let block = [&length.to_be_bytes()[..], &body[..body.len().min(256)]].concat();
                self.put(step.around.absolute(at), &block);
                self.guest.set(cpu, &[(1, command.word().into()), (2, at)]);
                self.execute(cpu, step, &[0xb2, 0x20, 0, 0x12]);
            }
            What::Store { place, bytes } => self.put(place.address(), bytes),
            What::Input(bytes) => {
                if let Some(signal) = self.guest.sclp.push_input(&bytes[..bytes.len().min(64)]).signal {
                    self.guest.vm.inject(signal.into()).expect("it is taken");
                }
            }
            What::Quiesce => {
                if let Some(signal) = self.guest.sclp.signal_quiesce() {
                    self.guest.vm.inject(signal.into()).expect("it is taken");
                }
            }
        }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.tame &= !Guest::is_needed(at) && !Guest::is_needed(at.saturating_add(bytes.len() as u64));
        self.guest.storage.put(at, bytes);
    }

    fn execute(&mut self, cpu: usize, step: &Step, text: &[u8; 4]) {
        let before = self.guest.vcpus[cpu].state().clone();
        let around = step.around;
        let mut ended = self.guest.execute(cpu, around, text);
        if self.states[cpu] == State::Stopped {
            let Ended::Left(Left::Refused(refused)) = ended else {
                panic!("a CPU that is stopped: {ended:?}")
            };
            assert_eq!(refused.errno.errno(), 22, "{refused}");
            return;
        }
        let mut status = None;
        if let Ended::Left(Left::Sigp(order)) = &ended {
            let order = *order;
            let end = CODE + 12;
            let (answer, register) = self.signal(cpu, &order);
            status = Some((answer, register));
            if self.states[cpu] == State::Stopped {
                return self.permit_all_unless(self.tame);
            }
            // A CPU that has ordered itself to begin elsewhere is there.
            let elsewhere = usize::from(order.cpu_address) == cpu;
            ended = self.guest.go_on(cpu, end);
            if elsewhere {
                return self.permit_all_unless(false);
            }
        }
        if let Ended::Left(Left::Reset(kind)) = ended {
            assert!(text[0] == 0x83 && !around.problem_state());
            return self.reset(cpu, kind);
        }
        if !self.tame {
            return self.permit_all_unless(false);
        }
        let after = self.guest.vcpus[cpu].state().clone();
        match text[0] {
            0x83 => self.diagnosed(text, around, &before, &after, &ended),
            0xae => signalled(around, &ended, status),
            _ => self.served(around, &before, &ended),
        }
    }

    /// After wild code anything may be anywhere.
    fn permit_all_unless(&mut self, tame: bool) {
        if !tame {
            self.guest.storage.permit(0, SIZE);
        }
    }

    fn diagnosed(
        &mut self,
        text: &[u8; 4],
        around: Around,
        before: &CpuState,
        after: &CpuState,
        ended: &Ended,
    ) {
        let [_, registers, base, low] = *text;
        let (r1, r3, base, high) = (registers >> 4, registers & 0xf, base >> 4, base & 0xf);
        let gpr = |r: u8| before.gprs[usize::from(r)];
        let second = if base == 0 { 0 } else { gpr(base) } + u64::from(high) * 256 + u64::from(low);
        let (x, y) = (gpr(r1), gpr(r3));
        // IPM's, and that of an answer.
        let mut may_change = vec![15];
        match (second & 0xffff, ended) {
            (_, Ended::Before(_)) => {}
            _ if around.problem_state() => assert!(matches!(ended, Ended::Program(PRIVILEGED)), "{ended:?}"),
            (0x10, Ended::Done(_)) => {
                assert!(x % 4096 == 0 && gpr(r3) % 4096 == 0 && x >= 0x2000);
                let end = gpr(r3).wrapping_add(4096);
                assert!(x < end);
                self.guest.storage.permit(x, end - x);
            }
            (0x10, Ended::Program(SPECIFICATION)) => {}
            (0x44 | 0x9c, Ended::Done(_)) => {}
            (0x258, Ended::Done(_)) => may_change.push(r3),
            (0x258, Ended::Program(SPECIFICATION | ADDRESSING)) => {}
            (0x308, Ended::Done(_)) => {
                assert!([5, 6].contains(&y) && r1 % 2 == 0 && x % 4096 == 0 && x <= SIZE - 4096);
                let answer = if y == 5 { 0x402 } else { 0x102 };
                if r1 | 1 != 15 {
                    assert_eq!(after.gprs[usize::from(r1 | 1)], answer);
                }
                may_change.push(r1 | 1);
            }
            (0x308, Ended::Program(SPECIFICATION)) => {
                assert!(![0, 1, 3, 4].contains(&y) && (![5, 6].contains(&y) || r1 % 2 != 0 || x % 4096 != 0));
            }
            (0x308, Ended::Program(ADDRESSING)) => assert!([5, 6].contains(&y) && x > SIZE - 4096),
            (0x10 | 0x44 | 0x9c | 0x308, _) => panic!("{second:#x}: {ended:?}"),
            (_, Ended::Program(SPECIFICATION)) => {}
            _ => panic!("{second:#x}: {ended:?}"),
        }
        for r in (0..16).filter(|r| !may_change.contains(r)) {
            assert_eq!(
                after.gprs[usize::from(r)],
                before.gprs[usize::from(r)],
                "GR{r} of DIAGNOSE {second:#x}"
            );
        }
    }

    fn served(&mut self, around: Around, before: &CpuState, ended: &Ended) {
        match ended {
            Ended::Program(PRIVILEGED) => assert!(around.problem_state()),
            // A service signal may come before the instruction, or right after it.
            Ended::Program(SPECIFICATION | ADDRESSING) | Ended::Before(_) | Ended::Done(0) => {
                let at = around.absolute(before.gprs[2] & 0x7fff_f000);
                assert!(!around.problem_state() || matches!(ended, Ended::Before(_)));
                self.guest.storage.permit(at, 0x3000);
            }
            other => panic!("{other:?}"),
        }
    }

    /// `src/run/sigp.rs`.
    fn signal(&mut self, from: usize, order: &Sigp) -> (Answer, u8) {
        let to = usize::from(order.cpu_address);
        let prefixes: Vec<u32> = self.guest.vcpus.iter().map(|vcpu| vcpu.state().prefix).collect();
        let (guest, states) = (&mut self.guest, &mut self.states);
        let answer = if to < states.len() {
            let (target, memory) = (&mut guest.vcpus[to], guest.storage.memory());
            let (answer, after) =
                sigp::carry_out(order, target, states[to], memory).expect("the host takes it");
            states[to] = after;
            answer
        } else {
            Answer::NotOperational
        };
        answer.tell(order, &mut guest.vcpus[from]);
        if let Some(State::Stopping(stop)) = states.get(to) {
            // It has taken what is pending when it stops, and executed nothing. Interruptions without end are one.
            match guest.go_on(to, CODE) {
                Ended::Left(Left::Stopped | Left::Loop | Left::Refused(_)) => {}
                other => panic!("a CPU that is to stop: {other:?}"),
            }
            sigp::complete(*stop, &mut guest.vcpus[to]).expect("the host takes it");
            states[to] = State::Stopped;
        }
        if to < states.len() {
            guest.storage.permit(prefixes[to].into(), LOWCORE);
            guest.storage.permit(0x1200, 512);
            guest.storage.permit(163, 1);
            if order.order == 0xe && answer == Answer::Accepted {
                let at = order.parameter & 0x7fff_fe00;
                guest.storage.permit(at, 512);
                self.tame &= !Guest::is_needed(at);
            }
        }
        for (id, vcpu) in guest.vcpus.iter().enumerate() {
            let prefix = vcpu.state().prefix;
            assert!(prefix % 8192 == 0 && u64::from(prefix) + LOWCORE <= SIZE, "{prefix:#x}");
            let changes = id == to && [0xb, 0xd].contains(&order.order);
            assert!(changes || prefix == prefixes[id], "the prefix of CPU {id}");
        }
        (answer, order.status_register)
    }

    /// `src/run/reset.rs`.
    fn reset(&mut self, cpu: usize, kind: ResetKind) {
        for step in kind.steps() {
            let guest = &mut self.guest;
            match step {
                ResetStep::ChannelSubsystem => guest.css.reset(),
                ResetStep::SclpEvents => guest.sclp.reset(),
                ResetStep::FloatingInterruptions => guest.vm.clear_interruptions().expect("it is taken"),
                ResetStep::ApQueues | ResetStep::KeyWrapping => {}
                ResetStep::ClearAllCpus => self.reset_cpus(CpuReset::Clear, |_| true),
                ResetStep::NormalOtherCpus => self.reset_cpus(CpuReset::Normal, |other| other != cpu),
                ResetStep::InitialThisCpu => self.reset_cpus(CpuReset::Initial, |other| other == cpu),
                ResetStep::LoadImage => guest.mend(),
                ResetStep::StartIplCpu => self.start(0),
                ResetStep::LoadNormalThisCpu => {
                    let psw = ipl::load_normal_psw(guest.storage.memory());
                    guest.vcpus[cpu].state_mut().psw = psw;
                    self.start(cpu);
                    // Whatever it does there, a kick ends it.
                    let _ = self.guest.go_on(cpu, CODE);
                    self.permit_all_unless(false);
                }
            }
        }
        assert_eq!(self.states.iter().filter(|state| **state == State::Operating).count(), 1);
    }

    fn reset_cpus(&mut self, reset: CpuReset, which: impl Fn(usize) -> bool) {
        for (id, vcpu) in self.guest.vcpus.iter_mut().enumerate().filter(|(id, _)| which(*id)) {
            vcpu.reset(reset).expect("a reset");
            vcpu.set_run_state(RunState::Stopped).expect("it stops");
            self.states[id] = State::Stopped;
        }
    }

    fn start(&mut self, cpu: usize) {
        self.guest.vcpus[cpu].set_run_state(RunState::Operating).expect("it starts");
        self.states[cpu] = State::Operating;
    }
}

fn signalled(around: Around, ended: &Ended, answer: Option<(Answer, u8)>) {
    match (ended, answer) {
        (Ended::Program(PRIVILEGED), None) => assert!(around.problem_state()),
        (Ended::Done(code), Some((answer, _))) => {
            let expected = match answer {
                Answer::Accepted => 0,
                Answer::Status(_) => 1,
                Answer::Busy => 2,
                Answer::NotOperational => 3,
            };
            assert!(*code == expected && !around.problem_state(), "{answer:?}: {code}");
        }
        // The kernel's orders.
        (Ended::Done(_) | Ended::Before(_), None) => {}
        (Ended::Before(_), Some(_)) => {}
        other => panic!("{other:?}"),
    }
}
