//! A VM whose CPU model may still change.

use super::{
    crypto::Crypto,
    host::{HostFacts, VmHeld, VmHost},
    machine,
    model::GuestModel,
    storage::Memory,
    vcpu::SimVcpu,
    vm::{InSie, Parts, SimVm, THE_VM, set_crypto},
};
use crate::{KernelProfile, SimHost, VmId, share::SharedHost};
use adjunct_hypervisor::{
    Built, CryptoAttribute, GuestMemory, KernelError, MemorySize, ModelAttribute, ProtoVm, Result, Vcpu,
};
use std::sync::Arc;

/// Most vCPUs of a VM (`KVM_S390_ESCA_CPU_SLOTS`).
pub(super) const MAX_VCPUS: u16 = 248;

/// A VM of the simulated host, before its vCPUs.
#[derive(Debug)]
pub struct SimProtoVm {
    host: Arc<dyn VmHost>,
    id: VmId,
    model: GuestModel,
    memory: Option<Arc<Memory>>,
    crypto: Arc<InSie>,
    /// Oldest first.
    held: Vec<VmHeld>,
}

/// Newest first, as the kernel's objects go.
impl Drop for SimProtoVm {
    fn drop(&mut self) {
        while self.held.pop().is_some() {}
    }
}

impl SimProtoVm {
    /// `KVM_CREATE_VM`.
    ///
    /// # Errors
    /// Only those planned with [`Acts::plan`](crate::Acts::plan).
    pub fn create(host: &SimHost) -> Result<Self> {
        Self::on(Arc::new(host.clone()), host.new_vm_id(), &HostFacts::of(host))
    }

    /// The same on a host that another process serves.
    ///
    /// # Errors
    /// Those planned there, and ECONNRESET when it is gone.
    pub fn create_on(host: &SharedHost) -> Result<Self> {
        let (host, id, facts) = host.register_vm()?;
        Self::on(Arc::new(host), id, &facts)
    }

    fn on(host: Arc<dyn VmHost>, id: VmId, facts: &HostFacts) -> Result<Self> {
        host.act("KVM_CREATE_VM", "/dev/kvm")?;
        let held = vec![host.hold("VM")];
        let crypto = Crypto::new(machine::crypto_host(facts), crycb_origin(id));
        Ok(Self {
            model: GuestModel::new(facts),
            host,
            id,
            memory: None,
            crypto: Arc::new(InSie::new(crypto)),
            held,
        })
    }

    /// Leaves the VM without a GISA, as KVM's module parameter `use_gisa=0` does: adapter interruptions are not
    /// virtualised, and PQAP(AQIC) of its guest's queues goes to user space.
    pub fn without_gisa(&mut self) {
        self.crypto.change(Crypto::without_gisa);
    }

    pub(super) fn model(&self) -> &GuestModel {
        &self.model
    }

    pub(super) fn crypto(&self) -> &InSie {
        &self.crypto
    }

    /// [`ProtoVm::create_vcpus`], with the types of the simulated host.
    ///
    /// # Errors
    /// As there.
    pub fn build(mut self, count: u16) -> Result<(Arc<SimVm>, Vec<SimVcpu>)> {
        let host = self.host.clone();
        host.act("KVM_CREATE_DEVICE", "FLIC")?;
        self.held.push(host.hold("KVM device FLIC"));
        let mut vcpus = Vec::new();
        for id in 0..count {
            let name = format!("vCPU {id}");
            if id >= MAX_VCPUS {
                return Err(KernelError::new("KVM_CREATE_VCPU", name, libc::EINVAL));
            }
            host.act("KVM_CREATE_VCPU", &name)?;
            vcpus.push(host.hold(&name));
            self.crypto.change(Crypto::add_vcpu);
        }
        let vm = SimVm::new(Parts {
            host: self.host.clone(),
            id: self.id,
            model: self.model.clone(),
            memory: self.memory.clone(),
            crypto: Arc::clone(&self.crypto),
            vcpus: count,
            held: std::mem::take(&mut self.held),
        });
        let ids = 0..count;
        let vcpus = ids.zip(vcpus).map(|(id, held)| SimVcpu::new(id, Arc::clone(&vm.shared), held)).collect();
        Ok((Arc::new(vm), vcpus))
    }
}

/// Where the CRYCB of a VM is: in the second half of the kernel's own page for it (`struct sie_page2`), below
/// 2 GiB. Nobody reads the host's memory, so any address does that no other VM has.
fn crycb_origin(id: VmId) -> u32 {
    const PAGES: u64 = 0x7_0000;
    let page = u32::try_from(id.0 % PAGES).unwrap_or(0) + 0x100;
    page << 12 | 0x800
}

/// `kvm_arch_prepare_memory_region`: before 7.2 a slot's size must be a multiple of 1 MiB, later of a page, as that
/// of every mapping is.
///
/// DEVNOTE: those kernels want the same of its address in the VMM. That is not asked here: where memory lies in the
/// process that simulates the host is chance.
fn suits(profile: KernelProfile, memory: &Memory) -> bool {
    profile.has_memory_slots_of_pages() || memory.size().is_multiple_of(MemorySize::UNIT)
}

impl ProtoVm for SimProtoVm {
    fn set_memory(&mut self, memory: &GuestMemory) -> Result<()> {
        const REQUEST: &str = "KVM_SET_USER_MEMORY_REGION";
        let invalid = || KernelError::new(REQUEST, THE_VM, libc::EINVAL);
        let memory = Memory::new(memory).ok_or_else(invalid)?;
        // An existing slot can't get another address.
        if self.memory.is_some() || !suits(self.host.profile(), &memory) {
            return Err(invalid());
        }
        self.host.act(REQUEST, THE_VM)?;
        self.held.push(self.host.hold("memory slot 0"));
        self.memory = Some(Arc::new(memory));
        Ok(())
    }

    fn set_model(&mut self, attribute: ModelAttribute<'_>) -> Result<()> {
        let refused = |errno| KernelError::new(attribute.name(), THE_VM, errno);
        self.model.check(attribute).map_err(refused)?;
        self.host.act(attribute.name(), THE_VM)?;
        self.model.set(attribute);
        let msax3 = self.model.has(machine::MSAX3);
        self.crypto.change(|crypto| crypto.set_guest_msax3(msax3));
        Ok(())
    }

    fn has_crypto(&self, attribute: CryptoAttribute) -> bool {
        self.crypto.enter().has(attribute)
    }

    fn set_crypto(&mut self, attribute: CryptoAttribute) -> Result<()> {
        set_crypto(&*self.host, &self.crypto, attribute)
    }

    fn create_vcpus(self: Box<Self>, count: u16) -> Result<Built> {
        let (vm, vcpus) = self.build(count)?;
        Ok(Built { vcpus: vcpus.into_iter().map(|vcpu| Box::new(vcpu) as Box<dyn Vcpu>).collect(), vm })
    }
}
