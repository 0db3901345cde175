//! What a host is: the traits that KVM and the simulated host implement.

use crate::{
    Access, Accessed, AdditionalState, ApDevice, ApSource, CpuReset, CpuState, CryptoAttribute, Exit,
    Floating, GuestMemory, Local, ModelAttribute, Operand, Result, RunState, Tod,
};
use adjunct_cpu_model::kvm::{Capabilities, MachineAttributes};
use std::{fmt::Debug, sync::Arc};

/// What a host allows a VM to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest number of vCPUs (`KVM_CAP_MAX_VCPUS`).
    pub vcpus: u16,
    /// Most guest memory, in bytes (`KVM_S390_VM_MEM_LIMIT_SIZE`).
    pub memory: u64,
}

/// A host that can make VMs. Asking it changes nothing.
pub trait Hypervisor: Debug + Send + Sync {
    /// What this host is, for people: `KVM`, `simulated z16 with kernel 7.2`.
    fn name(&self) -> String;

    /// What a VM may be here.
    fn limits(&self) -> Result<Limits>;

    /// What a guest's CPU may be here: the `MACHINE` attributes of group `KVM_S390_VM_CPU_MODEL`.
    fn machine(&self) -> Result<MachineAttributes>;

    /// The CPU features that do not show in [`Hypervisor::machine`] but in what KVM is capable of
    /// (`KVM_CHECK_EXTENSION`, `KVM_HAS_DEVICE_ATTR`): AP interpretation among them. A host that has no way to give a guest
    /// one of them says no.
    fn capabilities(&self) -> Result<Capabilities>;

    /// `KVM_CREATE_VM`.
    fn create_vm(&self) -> Result<Box<dyn ProtoVm>>;
}

/// A VM without vCPUs, whose CPU model may still change. Dropping it destroys the VM.
pub trait ProtoVm: Debug + Send {
    /// `KVM_SET_USER_MEMORY_REGION`: all of guest memory, at absolute address 0.
    fn set_memory(&mut self, memory: &GuestMemory) -> Result<()>;

    /// Sets one attribute of the CPU model. [`crate::apply_cpu_model`] sets all in the right order.
    fn set_model(&mut self, attribute: ModelAttribute<'_>) -> Result<()>;

    /// `KVM_HAS_DEVICE_ATTR` for group `KVM_S390_VM_CRYPTO`. The key wrapping attributes are always
    /// there; the AP ones iff the host has AP instructions.
    fn has_crypto(&self, attribute: CryptoAttribute) -> bool;

    /// Sets one attribute of group `KVM_S390_VM_CRYPTO`.
    fn set_crypto(&mut self, attribute: CryptoAttribute) -> Result<()>;

    /// `KVM_CREATE_VCPU` for the ids 0 to `count` - 1, all stopped. This freezes the CPU model.
    fn create_vcpus(self: Box<Self>, count: u16) -> Result<Built>;
}

/// A VM and its vCPUs.
#[derive(Debug)]
pub struct Built {
    /// The vCPUs by id, all stopped. First, so that they are dropped before the VM.
    pub vcpus: Vec<Box<dyn Vcpu>>,
    /// The VM.
    pub vm: Arc<dyn Vm>,
}

/// A VM whose CPU model is frozen. It is destroyed when this, its vCPUs and its devices are dropped.
pub trait Vm: Debug + Send + Sync {
    /// Sets one attribute of group `KVM_S390_VM_CRYPTO`: all vCPUs are taken out of SIE meanwhile.
    fn set_crypto(&self, attribute: CryptoAttribute) -> Result<()>;

    /// `KVM_DEV_FLIC_ENQUEUE`: makes an interruption pending for whichever vCPU takes it first.
    fn inject(&self, interruption: Floating) -> Result<()>;

    /// `KVM_DEV_FLIC_CLEAR_IRQS`: forgets all floating interruptions, as at a subsystem reset.
    fn clear_interruptions(&self) -> Result<()>;

    /// The guest's TOD clock: `KVM_S390_VM_TOD_EXT` of group `KVM_S390_VM_TOD`, or where the kernel does not know that
    /// `KVM_S390_VM_TOD_LOW` and `KVM_S390_VM_TOD_HIGH`.
    fn tod(&self) -> Result<Tod>;

    /// Sets the clock that all vCPUs have, likewise. It goes on from there.
    ///
    /// # Errors
    /// EINVAL for an epoch index other than 0 without facility 139 in the guest's model.
    fn set_tod(&self, tod: Tod) -> Result<()>;

    /// Opens a vfio-ap mediated device for this VM: tells KVM of it (`KVM_DEV_VFIO_FILE_ADD`), opens it,
    /// and maps all guest memory for it with IOVA = absolute address.
    ///
    /// # Errors
    /// EINVAL when KVM was not told; EPERM when this VM has a vfio-ap device; EBUSY when another
    /// program has it open; ENOENT and ENODEV when it does not exist. Nothing is left half-open.
    fn open_ap(&self, source: ApSource) -> Result<Box<dyn ApDevice>>;
}

/// One vCPU. It belongs to the thread that runs it.
///
/// SIGNAL PROCESSOR is shared as with `KVM_CAP_S390_USER_SIGP`: the host carries out sense, external
/// call, emergency signal, conditional emergency signal and sense running status itself; every other
/// order leaves as an instruction intercept (`arch/s390/kvm/sigp.c: handle_sigp_order_in_user_space`, 7.2).
///
/// Channel I/O instructions are shared as with `KVM_CAP_S390_CSS_SUPPORT`: the host carries out TEST PENDING
/// INTERRUPTION, TEST SUBCHANNEL leaves as [`Exit::Tsch`], and the others leave as instruction intercepts, unless the
/// guest is in the problem state (`arch/s390/kvm/priv.c: handle_io_inst`, 7.2).
pub trait Vcpu: Debug + Send {
    /// Its id, which is its CPU address.
    fn id(&self) -> u16;

    /// Its registers as of the last exit.
    fn state(&self) -> &CpuState;

    /// Its registers; changes take effect at the next [`Vcpu::run`].
    fn state_mut(&mut self) -> &mut CpuState;

    /// `KVM_RUN`: runs the guest until something happens that the host does not handle itself.
    /// EINVAL while the vCPU is stopped.
    fn run(&mut self) -> Result<Exit>;

    /// `KVM_S390_NORMAL_RESET`, `KVM_S390_INITIAL_RESET`, `KVM_S390_CLEAR_RESET`.
    fn reset(&mut self, kind: CpuReset) -> Result<()>;

    /// `KVM_SET_MP_STATE`.
    fn set_run_state(&mut self, state: RunState) -> Result<()>;

    /// `KVM_S390_STORE_STATUS`: stores the registers of this vCPU, which must not run, where the
    /// architecture wants them (`arch/s390/kvm/kvm-s390.c: kvm_s390_store_status_unloaded`, 7.2): into the 512
    /// bytes at absolute address `at`, or without one (`KVM_S390_STORE_STATUS_NOADDR`) at absolute 0x1200, whatever
    /// the prefix, with the architectural-mode identification 1 at absolute 163.
    ///
    /// # Errors
    /// EFAULT if there is no storage there.
    fn store_status(&mut self, at: Option<u64>) -> Result<()>;

    /// The registers that the guest's model has beyond those of [`Vcpu::state`], as of the last exit.
    ///
    /// # Errors
    /// KVM does not say what the model is (`KVM_S390_VM_CPU_PROCESSOR`).
    fn additional_state(&mut self) -> Result<AdditionalState>;

    /// `KVM_S390_MEM_OP` with `KVM_S390_MEMOP_F_INJECT_EXCEPTION`: does with an operand of the instruction that the vCPU
    /// has left the guest with what the CPU would.
    ///
    /// # Errors
    /// EINVAL for no byte at all, E2BIG for more than 64 KiB.
    fn access(&mut self, operand: Operand, access: Access<'_>) -> Result<Accessed>;

    /// `KVM_S390_IRQ`: makes an interruption pending for this vCPU alone.
    fn inject(&mut self, interruption: Local) -> Result<()>;

    /// What makes [`Vcpu::run`] return from another thread.
    fn kicker(&self) -> Arc<dyn Kick>;
}

/// Makes one vCPU's [`Vcpu::run`] return [`Exit::Interrupted`]: the one under way, or else the next.
pub trait Kick: Debug + Send + Sync {
    /// Kicks.
    fn kick(&self);
}
