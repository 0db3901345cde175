//! From a plan to a machine that is ready to run: the one build order, and what a reset needs again.

pub(crate) mod ap;

use crate::{
    config::KeyWrapping,
    plan::{Model, Plan},
};
use adjunct_ap::Sysfs;
use adjunct_cpu_model::{Cpu, Feature};
use adjunct_devices::{
    ipl::{Image, LoadError},
    sclp::{Consoles, Sclp, ScpInfo},
    vfio_ap::AttachError,
};
use adjunct_hypervisor::{
    Built, CpuReset, CryptoAttribute, GuestMemory, Hypervisor, KernelError, MemoryError, Psw, RunState, Vcpu,
    Vm, allocate, apply_cpu_model,
};
use ap::ApSlot;
pub use ap::{DeviceFilesError, DeviceInfo};
use std::{fmt, sync::Arc};

/// A VM with its devices, built and loaded.
pub struct Machine {
    // Fields drop in this order: a device goes before the VM it is in, vCPUs before the VM.
    pub(crate) ap: ApSlot,
    pub(crate) vcpus: Vec<Box<dyn Vcpu>>,
    pub(crate) vm: Arc<dyn Vm>,
    pub(crate) sclp: Sclp,
    pub(crate) reload: Reload,
    pub(crate) model: Model,
}

/// What a reset needs again.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    pub(crate) memory: GuestMemory,
    pub(crate) image: Image,
    /// None: its CPU wraps no keys.
    pub(crate) key_wrapping: Option<KeyWrapping>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("ap", &self.ap).field("vcpus", &self.vcpus).finish_non_exhaustive()
    }
}

/// Why a machine could not be built. Nothing is held.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No memory for the guest.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The guest's program does not fit or is none.
    #[error("--kernel {kernel} can't be loaded")]
    Load {
        /// As typed.
        kernel: String,
        /// Why not.
        #[source]
        source: LoadError,
    },
    /// The files of the AP device are not there.
    #[error(transparent)]
    DeviceFiles(#[from] DeviceFilesError),
    /// The host refused.
    #[error("the VM can't be built")]
    Kernel(#[from] KernelError),
    /// The AP device.
    #[error("--device vfio-ap")]
    Attach(#[from] AttachError),
}

impl Plan {
    /// Builds the machine on `host`, in the one order that KVM allows.
    ///
    /// # Errors
    /// [`BuildError`]; what was built by then is gone again.
    pub fn build(self, host: &dyn Hypervisor, consoles: Consoles) -> Result<Machine, BuildError> {
        // What needs no host comes first, so that it can't fail later.
        let memory = allocate(self.memory)?;
        let load = |source| BuildError::Load { kernel: self.kernel.clone(), source };
        let psw = self.image.load(&memory).map_err(load)?;

        let mut proto = host.create_vm()?;
        proto.set_memory(&memory)?;
        apply_cpu_model(&mut *proto, &self.attributes)?;
        let key_wrapping = self.model.cpu.has(Feature::Msa3Base).then_some(self.key_wrapping);
        if let Some(keys) = key_wrapping {
            set_wrapping_keys(keys, |attribute| proto.set_crypto(attribute))?;
        }
        // --- the CPU model is frozen from here on ---
        let Built { mut vcpus, vm } = proto.create_vcpus(self.vcpus)?;
        let mut ap = ApSlot::default();
        if let Some(device) = &self.device {
            ap.plug(&*vm, device.clone())?;
        }
        for vcpu in &mut vcpus {
            let first = vcpu.id() == 0;
            // A vCPU of KVM is born with zeros where a reset CPU has CR0 and CR14.
            vcpu.reset(CpuReset::Clear)?;
            vcpu.set_run_state(if first { RunState::Operating } else { RunState::Stopped })?;
            if first {
                vcpu.state_mut().psw = psw;
            }
        }
        let sclp = Sclp::new(scp_info(&self.model.cpu, &self), consoles);
        let reload = Reload { memory, image: self.image, key_wrapping };
        Ok(Machine { ap, vcpus, vm, sclp, reload, model: self.model })
    }
}

/// What the SCLP tells the guest of its machine.
fn scp_info(cpu: &Cpu, plan: &Plan) -> ScpInfo {
    let bytes = cpu.sclp();
    ScpInfo {
        memory: plan.memory.bytes(),
        loadparm: plan.loadparm.ebcdic(),
        // --smp is at most 248.
        cpus: u8::try_from(plan.vcpus).unwrap_or(u8::MAX),
        ibc: bytes.ibc,
        conf_char: bytes.conf_char,
        conf_char_ext: bytes.conf_char_ext,
        fac134: bytes.fac134,
        fac139: bytes.fac139,
        cpu_features: bytes.cpu_features,
        hmfai: bytes.hmfai,
        mha_pow: bytes.mha_pow,
        extended_length: cpu.has(Feature::Els),
    }
}

/// Fresh wrapping keys or none, first AES, then DEA, as at every reset
/// (QEMU: `target/s390x/kvm/kvm.c: kvm_s390_crypto_reset`).
fn set_wrapping_keys(
    keys: KeyWrapping,
    mut set: impl FnMut(CryptoAttribute) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    set(if keys.aes { CryptoAttribute::EnableAesKw } else { CryptoAttribute::DisableAesKw })?;
    set(if keys.dea { CryptoAttribute::EnableDeaKw } else { CryptoAttribute::DisableDeaKw })
}

impl Reload {
    /// Loads the guest's program again, as at the start.
    pub(crate) fn image(&self) -> Result<Psw, LoadError> {
        self.image.load(&self.memory)
    }

    /// Fresh wrapping keys, if the guest's CPU wraps keys.
    pub(crate) fn renew_wrapping_keys(&self, vm: &dyn Vm) -> Result<(), KernelError> {
        match self.key_wrapping {
            Some(keys) => set_wrapping_keys(keys, |attribute| vm.set_crypto(attribute)),
            None => Ok(()),
        }
    }
}

impl Machine {
    /// The queues that the guest has now, as sysfs writes them.
    pub fn apqns(&mut self, sysfs: &dyn Sysfs) -> Vec<String> {
        self.ap.look_first(sysfs);
        ap::names(&self.ap.queues())
    }
}
