//! A host, a VM on it, and guest programs written in machine code.

use adjunct_cpu_model::kvm::PROCESSOR_LEN;
use adjunct_hypervisor::{
    CpuReset, CryptoAttribute, Exit, GuestMemory, Hypervisor, MemorySize, ModelAttribute, ProtoVm, Psw,
    RunState, Vcpu, allocate,
};
use adjunct_simulator::{HostFile, SimApDevice, SimHost, SimProtoVm, SimVcpu, SimVm};
use std::{path::PathBuf, sync::Arc};
use vm_memory::{Bytes, GuestAddress};

/// The vfio-ap documentation's example.
pub(crate) fn host() -> SimHost {
    host_of(HostFile::THREE_GUESTS)
}

pub(crate) fn host_of(text: &str) -> SimHost {
    SimHost::new(HostFile::parse(text).expect("a host file")).expect("it starts")
}

/// The host of the example with another machine, kernel, or whatever `from` names.
pub(crate) fn host_with(replacements: &[(&str, &str)]) -> SimHost {
    let mut text = HostFile::THREE_GUESTS.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "the host file has no {from:?}");
        text = text.replace(from, to);
    }
    host_of(&text)
}

/// The mdev of guest `n`, 1 to 3.
pub(crate) fn mdev(n: u8) -> PathBuf {
    format!("/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-00000000000{n}").into()
}

pub(crate) fn uuid(n: u8) -> String {
    format!("6c4a5d2e-0d3e-4c7a-9b0a-00000000000{n}")
}

pub(crate) fn memory() -> GuestMemory {
    allocate(MemorySize::mebibytes(1).expect("not zero")).expect("1M can be had")
}

/// PROCESSOR with all that the host offers, but for the facilities `without`.
pub(crate) fn processor(host: &SimHost, without: &[u16]) -> [u8; PROCESSOR_LEN] {
    let machine = host.machine().expect("the host knows itself").machine;
    let mut processor = [0; PROCESSOR_LEN];
    processor[..8].copy_from_slice(&machine[..8]);
    processor[16..].copy_from_slice(&machine[16..PROCESSOR_LEN]);
    for number in without {
        processor[16 + usize::from(number / 8)] &= !(0x80 >> (number % 8));
    }
    processor
}

/// Where programs begin.
pub(crate) const START: u64 = 0x1_0000;
/// A disabled wait PSW, for LPSWE.
pub(crate) const END_PSW: u64 = 0x200;
/// Where each interruption leads: a disabled wait at this address plus that of its new PSW.
pub(crate) const TAKEN: u64 = 0xe_0000;

pub(crate) const PROGRAM_NEW: u64 = 0x1d0;
pub(crate) const EXTERNAL_NEW: u64 = 0x1b0;
pub(crate) const IO_NEW: u64 = 0x1f0;
pub(crate) const RESTART_NEW: u64 = 0x1a0;
pub(crate) const MACHINE_CHECK_NEW: u64 = 0x1e0;

const WAIT: u64 = 0x0002_0000_0000_0000;
pub(crate) const EXTERNAL: u64 = 0x0100_0000_0000_0000;
pub(crate) const IO: u64 = 0x0200_0000_0000_0000;
pub(crate) const MACHINE_CHECK: u64 = 0x0004_0000_0000_0000;

/// Instructions; operands are registers and 12-bit displacements without base.
pub(crate) mod op {
    /// PQAP.
    pub(crate) const PQAP: &[u8] = &[0xb2, 0xaf, 0, 0];
    /// `NQAP r2,r4`.
    pub(crate) const NQAP: &[u8] = &[0xb2, 0xad, 0x00, 0x24];
    /// `DQAP r6,r8`.
    pub(crate) const DQAP: &[u8] = &[0xb2, 0xae, 0x00, 0x68];
    /// `IPM r15`.
    pub(crate) const IPM: &[u8] = &[0xb2, 0x22, 0x00, 0xf0];
    /// `LPSWE 0x200`.
    pub(crate) const END: &[u8] = &[0xb2, 0xb2, 0x02, 0x00];
    /// `LPSWE 0x210`, the PSW of [`super::Guest::wait_psw`].
    pub(crate) const WAIT: &[u8] = &[0xb2, 0xb2, 0x02, 0x10];
    /// `SERVC r1,r2`.
    pub(crate) const SERVC: &[u8] = &[0xb2, 0x20, 0x00, 0x12];
    /// `J *`.
    pub(crate) const LOOP: &[u8] = &[0xa7, 0xf4, 0, 0];

    /// `DIAG r1,r3,code`.
    pub(crate) fn diag(r1: u8, r3: u8, code: u16) -> [u8; 4] {
        let [high, low] = code.to_be_bytes();
        [0x83, r1 << 4 | r3, high, low]
    }

    /// `SIGP r1,r3,order`.
    pub(crate) fn sigp(r1: u8, r3: u8, order: u8) -> [u8; 4] {
        [0xae, r1 << 4 | r3, 0, order]
    }
}

/// A VM in the making and its memory.
pub(crate) struct Builder {
    pub(crate) proto: SimProtoVm,
    pub(crate) memory: GuestMemory,
}

impl Builder {
    /// A VM with 1 MiB of memory and every facility, but for those of `without`; AP instructions are interpreted.
    pub(crate) fn new(host: &SimHost, without: &[u16]) -> Self {
        let mut proto = SimProtoVm::create(host).expect("KVM makes VMs");
        let memory = memory();
        proto.set_memory(&memory).expect("1M is memory");
        proto.set_model(ModelAttribute::Processor(&processor(host, without))).expect("before vCPUs");
        proto.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
        Self { proto, memory }
    }

    pub(crate) fn build(self, count: u16) -> Guest {
        let (vm, mut vcpus) = self.proto.build(count).expect("KVM makes vCPUs");
        for new in [RESTART_NEW, EXTERNAL_NEW, PROGRAM_NEW, MACHINE_CHECK_NEW, IO_NEW] {
            write_psw(&self.memory, new, Psw { mask: WAIT | Psw::MASK_64BIT, address: TAKEN + new });
        }
        write_psw(&self.memory, END_PSW, Psw { mask: WAIT | Psw::MASK_64BIT, address: 0 });
        for vcpu in &mut vcpus {
            vcpu.reset(CpuReset::Clear).expect("a reset");
            vcpu.state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
        }
        vcpus[0].set_run_state(RunState::Operating).expect("a start");
        Guest { vcpus, device: None, vm, memory: self.memory }
    }
}

/// A VM that can run programs. Fields in the order in which they must go.
pub(crate) struct Guest {
    pub(crate) vcpus: Vec<SimVcpu>,
    pub(crate) device: Option<SimApDevice>,
    pub(crate) vm: Arc<SimVm>,
    pub(crate) memory: GuestMemory,
}

fn write_psw(memory: &GuestMemory, at: u64, psw: Psw) {
    memory.write_slice(&psw.mask.to_be_bytes(), GuestAddress(at)).expect("inside");
    memory.write_slice(&psw.address.to_be_bytes(), GuestAddress(at + 8)).expect("inside");
}

/// Where a disabled wait was entered, and what a program left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// At the program's end: IPM's condition code.
    Program { condition: u64 },
    /// By a program interruption.
    Interruption { code: u16 },
}

impl Guest {
    /// A guest with one vCPU, all facilities and the mdev of guest 1.
    pub(crate) fn with_mdev(host: &SimHost) -> Self {
        let mut guest = Builder::new(host, &[]).build(1);
        guest.device = Some(guest.vm.open_ap(mdev(1).into()).expect("the mdev is free"));
        guest
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(at)).expect("inside");
    }

    pub(crate) fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).expect("inside");
        bytes
    }

    /// Where [`op::WAIT`] leads: an enabled wait.
    pub(crate) fn wait_psw(&self, enabled: u64) {
        write_psw(&self.memory, 0x210, Psw { mask: WAIT | enabled | Psw::MASK_64BIT, address: 0 });
    }

    /// Puts a program at [`START`].
    pub(crate) fn load(&self, program: &[&[u8]]) {
        self.write(START, &program.concat());
    }

    /// The registers that vCPU 0 starts the next program with.
    pub(crate) fn set(&mut self, gprs: &[(usize, u64)]) {
        for (r, value) in gprs {
            self.vcpus[0].state_mut().gprs[*r] = *value;
        }
    }

    pub(crate) fn gpr(&self, r: usize) -> u64 {
        self.vcpus[0].state().gprs[r]
    }

    /// Runs a program on vCPU 0 from its start in supervisor state to the next exit.
    pub(crate) fn exit_of(&mut self, program: &[&[u8]]) -> Exit {
        self.load(program);
        self.vcpus[0].state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
        self.vcpus[0].run().expect("it runs")
    }

    /// Runs one instruction and says how it ended.
    pub(crate) fn ended(&mut self, instruction: &[u8]) -> Ended {
        let exit = self.exit_of(&[instruction, op::IPM, op::END]);
        self.how_it_ended(exit)
    }

    /// The same in problem state.
    pub(crate) fn ended_in_problem_state(&mut self, instruction: &[u8]) -> Ended {
        self.load(&[instruction]);
        self.vcpus[0].state_mut().psw = Psw { mask: Psw::MASK_64BIT | Psw::PROBLEM_STATE, address: START };
        let exit = self.vcpus[0].run().expect("it runs");
        self.how_it_ended(exit)
    }

    fn how_it_ended(&self, exit: Exit) -> Ended {
        assert_eq!(exit, WAITING, "{}", self.vcpus[0].state().psw);
        match self.vcpus[0].state().psw.address {
            0 => Ended::Program { condition: self.gpr(15) >> 28 & 3 },
            at => {
                assert_eq!(at, TAKEN + PROGRAM_NEW, "another interruption");
                Ended::Interruption { code: u16::from_be_bytes(self.read(0x8e)) }
            }
        }
    }

    /// One instruction that is for user space: its exit.
    pub(crate) fn for_user_space(&mut self, instruction: &[u8]) -> Exit {
        self.exit_of(&[instruction, op::END])
    }
}

/// The exit of a disabled wait.
pub(crate) const WAITING: Exit = Exit::Sieic { icptcode: 0x1c, ipa: 0, ipb: 0 };

/// The exit of an instruction.
pub(crate) fn instruction(bytes: &[u8]) -> Exit {
    let mut text = [0; 6];
    text[..bytes.len()].copy_from_slice(bytes);
    let [a, b, c, d, e, f] = text;
    Exit::Sieic { icptcode: 4, ipa: u16::from_be_bytes([a, b]), ipb: u32::from_be_bytes([c, d, e, f]) }
}

/// A guest with one vCPU and guest 1's mdev whose AP instructions are not interpreted.
pub(crate) fn without_apie(host: &SimHost) -> Guest {
    let mut proto = SimProtoVm::create(host).expect("KVM makes VMs");
    let memory = memory();
    proto.set_memory(&memory).expect("1M is memory");
    proto.set_model(ModelAttribute::Processor(&processor(host, &[]))).expect("before vCPUs");
    let mut guest = Builder { proto, memory }.build(1);
    guest.device = Some(guest.vm.open_ap(mdev(1).into()).expect("the mdev is free"));
    guest
}
