//! KVM on IBM Z: `/dev/kvm` behind the traits of this crate.
//!
//! Every request is put to the kernel as it is asked, in KVM's own names, and what the kernel answers is passed on; nothing
//! is decided here that the kernel decides. What little there is besides: a VM that was made to be asked for its CPU model is
//! handed out at the next [`Hypervisor::create_vm`], guest memory lives as long as anything that can run a vCPU, and
//! registers that KVM keeps apart are kept together ([`CpuState`](crate::CpuState)).
//!
//! It knows no instruction, no device but vfio-ap's way in, and no protected guests.
//!
//! # What goes when
//!
//! A VM of KVM lives until its last descriptor is closed: its own, those of its vCPUs, of the FLIC and of KVM's VFIO device. Each
//! object here holds what it needs, newest first in its fields, so they may be dropped in any order; guest memory goes with the
//! last object that can run a vCPU. The vfio-ap device keeps KVM's VFIO device, and with it the VM in the kernel, until it
//! is closed.

mod attributes;
mod ioctls;
mod kick;
mod proto;
pub mod requests;
mod vcpu;
mod vm;

use crate::{CryptoAttribute, Errno, Hypervisor, KernelError, Limits, ProtoVm, Result};
use adjunct_cpu_model::kvm::{Capabilities, MachineAttributes};
use attributes::VmAttributes;
use ioctls::adopt_kvm;
use kvm_bindings as uapi;
use kvm_ioctls::{Cap, VmFd};
use proto::KvmProtoVm;
use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Where KVM is.
const DEV_KVM: &str = "/dev/kvm";

/// The only version of KVM's interface that there is (`include/uapi/linux/kvm.h: KVM_API_VERSION`).
const API_VERSION: i32 = 12;

/// Most vCPUs of a VM here, however many KVM allows (`arch/s390/include/asm/kvm_host.h: KVM_S390_ESCA_CPU_SLOTS`): a CPU
/// address must fit the tables that guests keep by it.
const MOST_VCPUS: u16 = 248;

/// What the host is asked once.
#[derive(Debug)]
struct Host {
    machine: MachineAttributes,
    capabilities: Capabilities,
    most_memory: u64,
}

/// What the host has said, and the VM that it was asked of.
#[derive(Debug, Default)]
struct Known {
    host: Option<Host>,
    spare: Option<VmFd>,
}

/// KVM of this machine.
#[derive(Debug)]
pub struct Kvm {
    known: Mutex<Known>,
    kvm: kvm_ioctls::Kvm,
}

impl Kvm {
    /// Opens `/dev/kvm`.
    ///
    /// # Errors
    /// ENOENT without KVM, EACCES without the right to use it; as [`Kvm::from_descriptor`].
    pub fn open() -> Result<Self> {
        let kvm = kvm_ioctls::Kvm::new().map_err(|errno| refused("open", DEV_KVM, errno))?;
        Self::checked(kvm, DEV_KVM)
    }

    /// Takes `/dev/kvm` as somebody else has opened it, perhaps with more rights than we have.
    ///
    /// # Errors
    /// ENOTTY if it is something else; ENOTSUP if KVM speaks another version than 12, which no kernel does.
    pub fn from_descriptor(descriptor: OwnedFd) -> Result<Self> {
        let target = format!("descriptor {}", descriptor.as_raw_fd());
        Self::checked(adopt_kvm(descriptor), &target)
    }

    fn checked(kvm: kvm_ioctls::Kvm, target: &str) -> Result<Self> {
        const REQUEST: &str = "KVM_GET_API_VERSION";
        match kvm.get_api_version() {
            API_VERSION => Ok(Self { known: Mutex::default(), kvm }),
            version if version < 0 => Err(refused(REQUEST, target, Errno::last())),
            version => Err(KernelError::new(REQUEST, format!("{target}, version {version}"), libc::ENOTSUP)),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A VM as every guest here gets it: without a CPU model of its own, and with what changes the features that KVM then
    /// offers. These can't be enabled once a vCPU exists.
    fn new_vm(&self) -> Result<VmFd> {
        const REQUEST: &str = "KVM_CREATE_VM";
        let vm = self.kvm.create_vm().map_err(|errno| match errno.errno() {
            // The only reason for it (`arch/s390/mm/gmap.c: s390_enable_sie`, 6.12).
            libc::EINVAL => refused(REQUEST, NO_PGSTE, errno),
            _ => refused(REQUEST, DEV_KVM, errno),
        })?;
        for (capability, name, needed) in ENABLED {
            let request = uapi::kvm_enable_cap { cap: capability, ..Default::default() };
            match vm.enable_cap(&request) {
                // The host has no such facility.
                Err(errno) if errno.errno() == libc::EINVAL && !needed => {}
                answer => answer.map_err(|errno| refused("KVM_ENABLE_CAP", name, errno))?,
            }
        }
        Ok(vm)
    }

    /// Reads what the host says of itself, which takes a VM to ask.
    ///
    /// Of the capabilities that QEMU's `kvm_s390_get_host_cpu_model` asks for (`target/s390x/kvm/kvm.c`, 10.2), those that a
    /// guest can have through this crate. The others need requests that are not here: CMMA to be cleared at resets
    /// (`KVM_S390_VM_MEM_CLR_CMMA`), protected guests to be made (`KVM_S390_PV_COMMAND`), changes of the topology to be told
    /// (`KVM_S390_VM_CPU_TOPOLOGY`), DIAGNOSE 0x318 to be passed on (`KVM_SYNC_DIAG318`).
    fn host<R>(&self, read: impl FnOnce(&Host) -> R) -> Result<R> {
        let known = &mut *self.known();
        if let Some(host) = &known.host {
            return Ok(read(host));
        }
        let vm = self.new_vm()?;
        let capabilities = Capabilities {
            bpb: self.kvm.check_extension_raw(uapi::KVM_CAP_S390_BPB.into()) > 0,
            apie: vm.has_crypto(CryptoAttribute::EnableApie),
            cmma: false,
            protected: false,
            topology: false,
            diag318: false,
        };
        let host =
            known.host.insert(Host { machine: vm.machine()?, capabilities, most_memory: vm.most_memory()? });
        known.spare = Some(vm);
        Ok(read(host))
    }
}

/// What KVM_CREATE_VM is refused for with EINVAL.
const NO_PGSTE: &str =
    "a program linked without --s390-pgste (the sysctl vm.allocate_pgste=1 stands in for it)";

/// What is enabled in every VM: the capability, its name, and whether guests can't do without.
#[rustfmt::skip]
const ENABLED: [(u32, &str, bool); 4] = [
    (uapi::KVM_CAP_S390_USER_SIGP,        "KVM_CAP_S390_USER_SIGP",        true),
    (uapi::KVM_CAP_S390_VECTOR_REGISTERS, "KVM_CAP_S390_VECTOR_REGISTERS", false),
    (uapi::KVM_CAP_S390_RI,               "KVM_CAP_S390_RI",               false),
    (uapi::KVM_CAP_S390_GS,               "KVM_CAP_S390_GS",               false),
];

fn refused(request: &'static str, target: impl Into<String>, errno: Errno) -> KernelError {
    KernelError { request, target: target.into(), errno }
}

impl Hypervisor for Kvm {
    fn name(&self) -> String {
        "KVM".to_owned()
    }

    fn limits(&self) -> Result<Limits> {
        let most = self.kvm.check_extension_int(Cap::MaxVcpus);
        if most < 0 {
            return Err(refused("KVM_CHECK_EXTENSION", "KVM_CAP_MAX_VCPUS", Errno::last()));
        }
        let vcpus = u16::try_from(most).unwrap_or(MOST_VCPUS).min(MOST_VCPUS);
        Ok(Limits { vcpus, memory: self.host(|host| host.most_memory)? })
    }

    fn machine(&self) -> Result<MachineAttributes> {
        self.host(|host| host.machine.clone())
    }

    fn capabilities(&self) -> Result<Capabilities> {
        self.host(|host| host.capabilities)
    }

    fn create_vm(&self) -> Result<Box<dyn ProtoVm>> {
        let spare = self.known().spare.take();
        let vm = spare.map_or_else(|| self.new_vm(), Ok)?;
        Ok(Box::new(KvmProtoVm::new(vm)))
    }
}
