//! A VM whose CPU model may still change.
// UNSAFETY: KVM is given addresses in this process at which the guest then reads and writes, whatever lies there.
#![expect(unsafe_code, reason = "guest memory is given to KVM by its address")]

use super::{
    attributes::VmAttributes,
    refused,
    vcpu::KvmVcpu,
    vm::{KvmVm, THE_VM},
};
use crate::{Built, CryptoAttribute, GuestMemory, KernelError, ModelAttribute, ProtoVm, Result, Vcpu};
use kvm_bindings::{
    kvm_create_device, kvm_device_type_KVM_DEV_TYPE_FLIC as KVM_DEV_TYPE_FLIC, kvm_userspace_memory_region,
};
use kvm_ioctls::VmFd;
use std::sync::Arc;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress};

/// A VM of KVM, before its vCPUs.
#[derive(Debug)]
pub(super) struct KvmProtoVm {
    vm: VmFd,
    /// All memory that KVM was ever told of.
    memory: Vec<GuestMemory>,
}

impl KvmProtoVm {
    pub(super) fn new(vm: VmFd) -> Self {
        Self { vm, memory: Vec::new() }
    }
}

impl ProtoVm for KvmProtoVm {
    fn set_memory(&mut self, memory: &GuestMemory) -> Result<()> {
        const REQUEST: &str = "KVM_SET_USER_MEMORY_REGION";
        // Kept whatever KVM answers: the slots before the one that it refuses stay.
        self.memory.push(memory.clone());
        for (slot, region) in (0..).zip(memory.iter()) {
            let address = region
                .get_host_address(MemoryRegionAddress(0))
                .map_err(|_| KernelError::new(REQUEST, THE_VM, libc::EFAULT))?;
            let slot = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: address.expose_provenance() as u64,
            };
            // SAFETY: the region is mapped from its address on as far as it is long. It stays so as long as a guest can run
            // in it: every object that can make one run, from here to the last vCPU, holds `self.memory`. Nothing in this
            // process has a reference into the region; it is accessed through vm-memory's volatile accesses.
            unsafe { self.vm.set_user_memory_region(slot) }
                .map_err(|errno| refused(REQUEST, THE_VM, errno))?;
        }
        Ok(())
    }

    fn set_model(&mut self, attribute: ModelAttribute<'_>) -> Result<()> {
        VmAttributes::set_model(&self.vm, attribute)
    }

    fn has_crypto(&self, attribute: CryptoAttribute) -> bool {
        VmAttributes::has_crypto(&self.vm, attribute)
    }

    fn set_crypto(&mut self, attribute: CryptoAttribute) -> Result<()> {
        VmAttributes::set_crypto(&self.vm, attribute)
    }

    fn create_vcpus(self: Box<Self>, count: u16) -> Result<Built> {
        let mut device = kvm_create_device { type_: KVM_DEV_TYPE_FLIC, ..Default::default() };
        let flic = self
            .vm
            .create_device(&mut device)
            .map_err(|errno| refused("KVM_CREATE_DEVICE", "FLIC", errno))?;
        let vm = Arc::new(KvmVm::new(self.vm, flic, self.memory));
        let vcpus = (0..count).map(|id| Ok(Box::new(KvmVcpu::create(&vm, id)?) as Box<dyn Vcpu>));
        Ok(Built { vcpus: vcpus.collect::<Result<_>>()?, vm })
    }
}
