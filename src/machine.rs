//! From a plan to a machine that is ready to run: the one build order, and what a reset needs again.

use crate::plan::{Plan, PlannedDevice};
use adjunct_ap::{Matrix, Sysfs, Uuid, mdev::Mdev, text::Listing};
use adjunct_cpu_model::{Cpu, Feature};
use adjunct_devices::{
    ipl::{Image, LoadError},
    sclp::{Consoles, Sclp, ScpInfo},
    vfio_ap::{ApBus, AttachError},
};
use adjunct_hypervisor::{
    Built, CpuReset, CryptoAttribute, GuestMemory, Hypervisor, KernelError, MemoryError, Psw, RunState, Vcpu,
    Vm, allocate, apply_cpu_model,
};
use std::{error::Error, fmt, sync::Arc};

/// A VM with its devices, built and loaded.
pub struct Machine {
    // Fields drop in this order: a device goes before the VM it is in, vCPUs before the VM.
    pub(crate) ap: ApBus,
    pub(crate) vcpus: Vec<Box<dyn Vcpu>>,
    pub(crate) vm: Arc<dyn Vm>,
    pub(crate) sclp: Sclp,
    pub(crate) reload: Reload,
}

/// What a reset needs again, and whose queues to report.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    pub(crate) memory: GuestMemory,
    pub(crate) image: Image,
    pub(crate) wraps_keys: bool,
    pub(crate) mdev: Option<Uuid>,
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
    /// The host refused.
    #[error("the VM can't be built")]
    Kernel(#[from] KernelError),
    /// The AP device.
    #[error(transparent)]
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
        let wraps_keys = self.cpu.has(Feature::Msa3Base);
        if wraps_keys {
            new_wrapping_keys(|attribute| proto.set_crypto(attribute))?;
        }
        // --- the CPU model is frozen from here on ---
        let Built { mut vcpus, vm } = proto.create_vcpus(self.vcpus)?;
        let mut ap = ApBus::default();
        if let Some(PlannedDevice { path, id, .. }) = &self.device {
            let (_, warnings) = ap.attach(&*vm, path.as_path().into(), id.as_str())?;
            warnings.iter().for_each(|warning| tracing::warn!("{}", chain(warning)));
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
        let sclp = Sclp::new(scp_info(&self.cpu, &self), consoles);
        let mdev = self.device.map(|device| device.uuid);
        Ok(Machine { ap, vcpus, vm, sclp, reload: Reload { memory, image: self.image, wraps_keys, mdev } })
    }
}

/// What the SCLP tells the guest of its machine.
fn scp_info(cpu: &Cpu, plan: &Plan) -> ScpInfo {
    let bytes = cpu.sclp();
    ScpInfo {
        memory: plan.memory.bytes(),
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
        ..ScpInfo::default()
    }
}

/// Fresh wrapping keys, first AES, then DEA, as at every reset
/// (QEMU: `hw/s390x/s390-virtio-ccw.c: s390_crypto_reset`).
fn new_wrapping_keys(
    mut set: impl FnMut(CryptoAttribute) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    set(CryptoAttribute::EnableAesKw)?;
    set(CryptoAttribute::EnableDeaKw)
}

impl Reload {
    /// Loads the guest's program again, as at the start.
    pub(crate) fn image(&self) -> Result<Psw, LoadError> {
        self.image.load(&self.memory)
    }

    /// Fresh wrapping keys, if the guest's CPU wraps keys.
    pub(crate) fn renew_wrapping_keys(&self, vm: &dyn Vm) -> Result<(), KernelError> {
        if self.wraps_keys { new_wrapping_keys(|attribute| vm.set_crypto(attribute)) } else { Ok(()) }
    }

    /// The queues that the guest has now, as sysfs writes them.
    pub(crate) fn apqns(&self, sysfs: &dyn Sysfs) -> Vec<String> {
        let given = |uuid| Mdev::open(sysfs, uuid).ok()?.guest_matrix().ok();
        match self.mdev.and_then(given) {
            Some(Listing { apm, aqm, .. }) => {
                Matrix { apm, aqm, ..Matrix::EMPTY }.apqns().map(|apqn| apqn.to_string()).collect()
            }
            None => Vec::new(),
        }
    }
}

impl Machine {
    /// The queues that the guest has now, as sysfs writes them.
    pub fn apqns(&self, sysfs: &dyn Sysfs) -> Vec<String> {
        self.reload.apqns(sysfs)
    }
}

/// An error and its sources on one line: `what: why: why`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(why) = source {
        // An error that passes its source on says the same once.
        let why_text = why.to_string();
        if !text.ends_with(&why_text) {
            text.push_str(": ");
            text.push_str(&why_text);
        }
        source = why.source();
    }
    text
}
