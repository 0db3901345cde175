//! What the targets share: a guest of the simulated host that executes one instruction at a time, and a copy of its
//! storage, so that a store to where nothing may be stored shows.
//!
//! Exits are served as the program's vCPU threads serve them (`src/run/vcpu.rs`), but by the caller's thread; what takes
//! more than one vCPU is the target's.
#![forbid(unsafe_code)]

mod input;
mod storage;
mod watch;

pub use input::{Around, Few, Place, Sparse};
pub use storage::Storage;

use adjunct_cpu_model::kvm::PROCESSOR_LEN;
use adjunct_devices::{
    ProgramInterruption,
    css::Css,
    intercept::{self, Intercept, Sigp},
    ipl::{self, IplAction, ResetKind},
    sclp::{Consoles, Sclp, ScpInfo},
};
use adjunct_hypervisor::{
    CpuReset, CryptoAttribute, Exit, Hypervisor, KernelError, Local, ModelAttribute, ProtoVm, Psw, RunState,
    Vcpu, Vm,
};
use adjunct_simulator::{HostFile, SimApDevice, SimHost, SimProtoVm, SimVcpu, SimVm};
use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

/// Where an instruction is put; behind it are IPM and LPSWE.
pub const CODE: u64 = 0x1_0000;
/// A disabled wait PSW in the lowcore, for LPSWE.
const END_PSW: u64 = 0x200;
/// Each interruption leads to a disabled wait at this address plus that of its new PSW.
const TAKEN: u64 = 0xe_0000;
const WAIT: u64 = 0x0002_0000_0000_0000;
/// Where the prefix area may be: the lowcore is set up at each.
pub const PREFIXES: [u32; 2] = [0, 0x8000];
/// Program interruptions.
pub mod code {
    pub const OPERATION: u16 = 1;
    pub const PRIVILEGED: u16 = 2;
    pub const PROTECTION: u16 = 4;
    pub const ADDRESSING: u16 = 5;
    pub const SPECIFICATION: u16 = 6;
    pub const OPERAND: u16 = 0x15;
}

/// Length of the prefix area.
pub const LOWCORE: u64 = 0x2000;
/// `IPM r15`, `LPSWE 0x200`.
const REST: [u8; 8] = [0xb2, 0x22, 0x00, 0xf0, 0xb2, 0xb2, 0x02, 0x00];

/// Exits of one instruction that are served. Interruptions make it some more than one.
const MOST_EXITS: usize = 16;
/// So often it is kicked before it is taken for one that does not end.
const MOST_KICKS: u8 = 6;

/// An interruption that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Restart = 0x1a0,
    External = 0x1b0,
    Program = 0x1d0,
    MachineCheck = 0x1e0,
    Io = 0x1f0,
}

impl Class {
    const ALL: [Self; 5] = [Self::Restart, Self::External, Self::Program, Self::MachineCheck, Self::Io];
}

/// What became of an instruction.
#[derive(Debug)]
pub enum Ended {
    /// It ended, with this condition code.
    Done(u8),
    /// It ended with this program interruption.
    Program(u16),
    /// Another interruption came first; it was not executed.
    Before(Class),
    /// It is for more than its vCPU.
    Left(Left),
    /// It was kicked out of the guest: without that it would not have ended.
    Kicked,
}

/// What a vCPU leaves its thread for.
#[derive(Debug)]
pub enum Left {
    Reset(ResetKind),
    Sigp(Sigp),
    /// A disabled wait of the guest's own.
    DisabledWait(Psw),
    Stopped,
    Loop,
    Unserved(String),
    Refused(KernelError),
}

/// The host of guests that need none in particular.
pub static HOST: LazyLock<SimHost> = LazyLock::new(|| {
    SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
        .expect("the built-in host starts")
});

/// A guest, and what the VMM has for it. Fields in the order in which they must go.
pub struct Guest {
    pub vcpus: Vec<SimVcpu>,
    pub device: Option<SimApDevice>,
    pub vm: Arc<SimVm>,
    pub storage: Storage,
    pub css: Css,
    pub sclp: Sclp,
}

impl Guest {
    /// A guest with 1 MiB whose bytes are all `fill`, but for two lowcores. CPU 0 operates, others are stopped.
    pub fn new(host: &SimHost, cpus: u16, fill: u8) -> Self {
        let mut proto = SimProtoVm::create(host).expect("KVM makes VMs");
        let mut storage = Storage::take(fill);
        proto.set_memory(storage.memory()).expect("1M is memory");
        proto.set_model(ModelAttribute::Processor(&processor(host))).expect("before vCPUs");
        proto.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
        let (vm, mut vcpus) = proto.build(cpus).expect("KVM makes vCPUs");
        set_up_lowcores(&mut storage);
        for vcpu in &mut vcpus {
            vcpu.reset(CpuReset::Clear).expect("a reset");
        }
        vcpus[0].set_run_state(RunState::Operating).expect("a start");
        let info = ScpInfo { memory: 1 << 20, cpus: cpus.to_le_bytes()[0], ..ScpInfo::default() };
        let sclp = Sclp::new(info, Consoles::default());
        Self { vcpus, device: None, vm, storage, css: Css::default(), sclp }
    }

    /// Gives the registers of CPU `cpu`, numbered, to the next instruction.
    pub fn set(&mut self, cpu: usize, gprs: &[(usize, u64)]) {
        for (r, value) in gprs {
            self.vcpus[cpu].state_mut().gprs[r & 15] = *value;
        }
    }

    /// Lets CPU `cpu`, which operates, execute one instruction. It may use what it likes, but `LPSWE` and GR15 follow.
    /// Stores to the prefix area are let through.
    pub fn execute(&mut self, cpu: usize, around: Around, text: &[u8]) -> Ended {
        self.storage.put(CODE, text);
        self.storage.put(CODE + text.len() as u64, &REST);
        let state = self.vcpus[cpu].state_mut();
        state.psw = around.psw();
        state.crs[0] = around.cr0();
        state.crs[6] = 0xff00_0000;
        state.prefix = around.prefix();
        let ended = self.go_on(cpu, CODE + (text.len() + REST.len()) as u64);
        self.storage.permit(around.prefix().into(), LOWCORE);
        ended
    }

    /// Runs CPU `cpu` until what it began is over; `end` is behind its last instruction.
    pub fn go_on(&mut self, cpu: usize, end: u64) -> Ended {
        let mut kicked = 0;
        for _ in 0..MOST_EXITS {
            let begun = Instant::now();
            let exit = watch::run(&mut self.vcpus[cpu]);
            match exit {
                Ok(Exit::Interrupted) => {
                    // A kick that came late is that of the last run, and this thread may have had no time to run in.
                    kicked += u8::from(begun.elapsed() >= watch::AT_MOST);
                    if kicked == MOST_KICKS {
                        return Ended::Kicked;
                    }
                }
                Ok(Exit::Sieic { icptcode: 0x1c, .. }) => return self.how_it_ended(cpu, end),
                Ok(exit) => match self.serve(cpu, exit) {
                    Ok(None) => {}
                    Ok(Some(left)) => return Ended::Left(left),
                    Err(refused) => return Ended::Left(Left::Refused(refused)),
                },
                Err(refused) => return Ended::Left(Left::Refused(refused)),
            }
        }
        Ended::Kicked
    }

    fn how_it_ended(&self, cpu: usize, end: u64) -> Ended {
        let state = self.vcpus[cpu].state();
        let done = Ended::Done((state.gprs[15] >> 28 & 3) as u8);
        if state.psw.address == 0 {
            return done;
        }
        let taken = Class::ALL.into_iter().find(|class| state.psw.address == TAKEN + *class as u64);
        let prefix = u64::from(state.prefix);
        match taken {
            // In the problem state LPSWE ends with one, and it ends a program as well.
            Some(Class::Program) if self.storage.read::<8>(prefix + 0x158) == end.to_be_bytes() => done,
            Some(Class::Program) => Ended::Program(u16::from_be_bytes(self.storage.read(prefix + 0x8e))),
            Some(class) => Ended::Before(class),
            None => Ended::Left(Left::DisabledWait(state.psw)),
        }
    }

    /// `src/run/vcpu.rs: serve` and `act`.
    fn serve(&mut self, cpu: usize, exit: Exit) -> Result<Option<Left>, KernelError> {
        let vcpu = &mut self.vcpus[cpu];
        let intercept = match exit {
            Exit::Sieic { icptcode, ipa, ipb } => intercept::decode(icptcode, ipa, ipb, vcpu.state()),
            Exit::Reset { .. } => return Ok(Some(Left::Reset(ResetKind::ReIpl))),
            Exit::Tsch { ipb, .. } => Intercept::ChannelIo(intercept::test_subchannel(ipb, vcpu.state())),
            other => return Ok(Some(Left::Unserved(format!("{other:?}")))),
        };
        match intercept {
            Intercept::ServiceCall(call) => {
                match self.sclp.service_call(call, vcpu.state().prefix, self.storage.memory()) {
                    Ok(signal) => {
                        self.vm.inject(signal.into())?;
                        vcpu.state_mut().psw.set_condition_code(0);
                    }
                    Err(program) => vcpu.inject(program.into())?,
                }
            }
            Intercept::Diagnose { code: 0x308, r1, r3 } => {
                match ipl::diagnose_308(r1, r3, vcpu.state(), self.storage.memory()) {
                    IplAction::Reset(kind) => return Ok(Some(Left::Reset(kind))),
                    IplAction::Answer { register, rc } => vcpu.state_mut().gprs[usize::from(register)] = rc,
                    IplAction::Exception(program) => vcpu.inject(program.into())?,
                }
            }
            Intercept::Diagnose { .. } => vcpu.inject(ProgramInterruption::Specification.into())?,
            Intercept::Sigp(order) => return Ok(Some(Left::Sigp(order))),
            Intercept::ChannelIo(io) => self.css.execute(io, vcpu)?,
            Intercept::Ap(_) => vcpu.inject(ProgramInterruption::Operation.into())?,
            Intercept::Program(program) => vcpu.inject(Local::from(program))?,
            Intercept::DisabledWait => return Ok(Some(Left::DisabledWait(vcpu.state().psw))),
            Intercept::ProgramLoop | Intercept::OperationLoop | Intercept::ExternalLoop => {
                return Ok(Some(Left::Loop));
            }
            Intercept::Stopped => return Ok(Some(Left::Stopped)),
            unknown @ Intercept::Unknown { .. } => return Ok(Some(Left::Unserved(format!("{unknown:?}")))),
        }
        Ok(None)
    }

    /// Whether a store to the page at the absolute address `at` can change what is executed there.
    pub fn is_needed(at: u64) -> bool {
        let lowcores =
            PREFIXES.map(u64::from).into_iter().any(|prefix| (prefix..prefix + LOWCORE).contains(&at));
        lowcores || at & !0xfff == CODE
    }

    /// Makes the lowcores what they were.
    pub fn mend(&mut self) {
        set_up_lowcores(&mut self.storage);
    }

    /// Ends the guest: what it stored where it might not shows here.
    pub fn finish(self) {
        let Self { vcpus, device, vm, storage, .. } = self;
        drop((device, vcpus, vm));
        storage.finish();
    }
}

fn set_up_lowcores(storage: &mut Storage) {
    for prefix in PREFIXES {
        storage.put(prefix.into(), &LOWCORE_BYTES[..]);
    }
}

/// A lowcore in which each interruption leads to a disabled wait.
static LOWCORE_BYTES: LazyLock<[u8; LOWCORE as usize]> = LazyLock::new(|| {
    let mut bytes = [0; LOWCORE as usize];
    let mut put = |at: u64, address: u64| {
        let at = at as usize;
        bytes[at..at + 8].copy_from_slice(&(WAIT | Psw::MASK_64BIT).to_be_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&address.to_be_bytes());
    };
    Class::ALL.into_iter().for_each(|class| put(class as u64, TAKEN + class as u64));
    put(END_PSW, 0);
    bytes
});

/// PROCESSOR with all that the host offers.
fn processor(host: &SimHost) -> [u8; PROCESSOR_LEN] {
    let machine = host.machine().expect("the host knows itself").machine;
    let mut processor = [0; PROCESSOR_LEN];
    processor[..8].copy_from_slice(&machine[..8]);
    processor[16..].copy_from_slice(&machine[16..PROCESSOR_LEN]);
    processor
}
