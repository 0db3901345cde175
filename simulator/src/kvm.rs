//! KVM of the simulated host: its crypto half, and vCPUs that the interpreter runs.
//!
//! It answers the `hypervisor` traits as `arch/s390/kvm` of Linux 7.2 answers ioctls: the same refusals in the same
//! order, and what the guest may do with queues decided by the bytes of the CRYCB alone, which only vfio_ap fills.
//! It knows no device but the vfio-ap one, and of that only when it is opened and closed.
//!
//! # Acts
//!
//! Requests that make, set, open or reset something are acts in the host's list ([`Acts`](crate::Acts)), noted in the
//! order in which they are made, by the kernel's names: `KVM_CREATE_VM`, `KVM_SET_USER_MEMORY_REGION`,
//! `KVM_S390_VM_CPU_MODEL/...`, `KVM_S390_VM_CRYPTO/...`, `KVM_CREATE_DEVICE`, `KVM_CREATE_VCPU`,
//! `KVM_DEV_VFIO_FILE_ADD`, `VFIO_GROUP_GET_DEVICE_FD`, `VFIO_IOMMU_MAP_DMA`, `VFIO_DEVICE_SET_IRQS`,
//! `VFIO_DEVICE_RESET`, `KVM_S390_*_RESET`, `KVM_SET_MP_STATE`, `KVM_DEV_FLIC_CLEAR_IRQS`, `KVM_DEV_FLIC_ENQUEUE` of a
//! machine check. Running a vCPU and making any other interruption pending are not acts: a guest that prints a line
//! makes several of them, and they would drown the rest. Closing is not an act, because it can't be refused; what is still open shows in
//! [`Acts::held`](crate::Acts::held).
//!
//! # Locks
//!
//! Host, then [`vm::InSie`] (a VM's crypto state), then the adapters'; the board's lock is last and short. No lock of
//! this module is held while the host or an open mdev is called.

mod ap_device;
mod attributes;
mod board;
mod clock;
mod crycb;
mod crypto;
mod environment;
mod file;
mod floating;
mod host;
mod intercept;
mod machine;
mod model;
mod proto;
mod sigp;
mod status;
mod storage;
mod vcpu;
mod vm;
mod vsie;

pub use ap_device::SimApDevice;
pub(crate) use clock::HostTime;
pub use crypto::SieBlock;
pub(crate) use file::{Kvm, KvmRef};
pub(crate) use host::{ApInstructions, HostFacts, HostGone, VmHeld, VmHost, VmMdev};
pub use proto::SimProtoVm;
pub use vcpu::SimVcpu;
pub use vm::SimVm;
pub use vsie::{Shadow, Validity};

use crate::SimHost;
use adjunct_cpu_model::kvm::{Capabilities, MachineAttributes};
use adjunct_hypervisor::{Hypervisor, Limits, ProtoVm, Result};

impl Hypervisor for SimHost {
    fn name(&self) -> String {
        HostFacts::of(self).name()
    }

    fn limits(&self) -> Result<Limits> {
        Ok(HostFacts::LIMITS)
    }

    fn machine(&self) -> Result<MachineAttributes> {
        Ok(HostFacts::of(self).machine())
    }

    fn capabilities(&self) -> Result<Capabilities> {
        Ok(HostFacts::of(self).capabilities())
    }

    fn create_vm(&self) -> Result<Box<dyn ProtoVm>> {
        Ok(Box::new(SimProtoVm::create(self)?))
    }
}
