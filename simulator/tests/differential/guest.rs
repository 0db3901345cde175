//! VMs, and what a guest finds in its own hands: a few instructions that ask for it.

use adjunct_cpu_model::{
    Cpu, Feature,
    kvm::{FROM_USER_SPACE, ProcessorAttributes},
};
use adjunct_hypervisor::{
    Built, CpuReset, Exit, GuestMemory, Hypervisor, KernelError, MemorySize, Psw, RunState, Vcpu, Vm,
    allocate, apply_cpu_model,
};
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress};

/// PQAP, then SERVICE CALL, which is always left to user space.
const PROGRAM: [u8; 8] = [0xb2, 0xaf, 0, 0, 0xb2, 0x20, 0x00, 0x12];
const AT_SERVC: Exit = Exit::Sieic { icptcode: 4, ipa: 0xb220, ipb: 0x0012_0000 };
const START: u64 = 0x2000;
/// Where QCI stores.
const CONFIGURATION: u64 = 0x3000;
/// The notification-indicator byte.
const NIB: u64 = 0x4000;

/// Function codes of PQAP, as in general register 0.
const TAPQ: u64 = 0;
const AQIC: u64 = 3 << 24;
const QCI: u64 = 4 << 24;
/// AQIC's general register 1: enable, for the guest's subclass 6.
const ENABLE: u64 = 0x0000_8000_0000_0006;

/// The queues that a guest asks about.
const QUEUES: [u64; 3] = [0x0504, 0x0604, 0x05ab];

/// A VM with a MiB of memory and one vCPU that has all that the host's has.
pub(crate) struct Guest {
    vcpus: Vec<Box<dyn Vcpu>>,
    pub(crate) vm: Arc<dyn Vm>,
    memory: GuestMemory,
}

impl Guest {
    pub(crate) fn new(hypervisor: &dyn Hypervisor) -> Result<Self, KernelError> {
        let memory = allocate(MemorySize::MEBIBYTE).expect("1M can be had");
        let mut vm = hypervisor.create_vm()?;
        vm.set_memory(&memory)?;
        apply_cpu_model(&mut *vm, &processor(hypervisor)?)?;
        let Built { mut vcpus, vm } = vm.create_vcpus(1)?;
        memory.write_slice(&PROGRAM, GuestAddress(START)).expect("inside");
        vcpus[0].reset(CpuReset::Initial)?;
        vcpus[0].set_run_state(RunState::Operating)?;
        Ok(Self { vcpus, vm, memory })
    }

    /// General register 1 after PQAP, and what the exit was if it is not the one that was meant.
    fn pqap(&mut self, gprs: [u64; 3]) -> Result<u64, String> {
        let vcpu = &mut self.vcpus[0];
        vcpu.state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
        vcpu.state_mut().gprs[..3].copy_from_slice(&gprs);
        match vcpu.run() {
            Ok(AT_SERVC) => Ok(vcpu.state().gprs[1]),
            Ok(exit) => Err(format!("{exit:?}")),
            Err(error) => Err(format!("KVM_RUN: {}", error.errno)),
        }
    }

    /// The masks that QCI shows, and response codes: of TAPQ, of AQIC to enable interruptions, and to disable them. It
    /// enables none of a queue that does not work: if the machine refuses, kernels forget to release the page and
    /// the interruption subclass (`vfio_ap_ops.c: vfio_ap_irq_enable`), and a later end of the VM finds them.
    pub(crate) fn says(&mut self) -> Result<String, String> {
        self.pqap([QCI, 0, CONFIGURATION])?;
        let mut text = String::new();
        for (name, at) in [("apm", 16), ("aqm", 48), ("adm", 80)] {
            let mut mask = [0u8; 32];
            self.memory.read_slice(&mut mask, GuestAddress(CONFIGURATION + at)).expect("inside");
            let ids = (0..=255u8).filter(|id| mask[usize::from(id / 8)] & (0x80 >> (id % 8)) != 0);
            text += name;
            text.extend(ids.map(|id| format!(" {id:02x}")));
            text += "; ";
        }
        for queue in QUEUES {
            let code = |gr1: u64| gr1 >> 16 & 0xff;
            let test = code(self.pqap([TAPQ | queue, 0, 0])?);
            text += &format!("{queue:04x} {test:02x}");
            if test == 0 {
                let enable = code(self.pqap([AQIC | queue, ENABLE, NIB])?);
                let disable = code(self.pqap([AQIC | queue, 6, 0])?);
                text += &format!(" {enable:02x} {disable:02x}");
            }
            text += "; ";
        }
        Ok(text)
    }
}

/// What a guest's CPU is: all that the host has.
fn processor(hypervisor: &dyn Hypervisor) -> Result<ProcessorAttributes, KernelError> {
    let machine = hypervisor.machine()?;
    let host = machine.decode(&hypervisor.capabilities()?).expect("a model fits");
    let mut features = host.features.difference(FROM_USER_SPACE);
    features.remove(Feature::Cmm);
    let processor =
        ProcessorAttributes::encode(&Cpu { identity: host.identity, ..Cpu::new(host.model, features) });
    Ok(ProcessorAttributes { uv_feat: processor.uv_feat.filter(|_| machine.uv_feat.is_some()), ..processor })
}
