//! The attributes of a VM in the terms of this crate.

use super::{
    ioctls::{VmRequests, attribute},
    refused,
    vm::THE_VM,
};
use crate::{CryptoAttribute, Errno, ModelAttribute, Result, Tod};
use adjunct_cpu_model::{
    FeatureSet,
    kvm::{MachineAttributes, processor_facilities},
};
use kvm_ioctls::VmFd;

/// What KVM is asked of and told about the CPU of a VM.
pub(super) trait VmAttributes {
    /// What a guest's CPU may be.
    fn machine(&self) -> Result<MachineAttributes>;

    /// Those that the guest's CPU has.
    fn facilities(&self) -> Result<FeatureSet>;

    /// How much memory the VM may have, in bytes.
    fn most_memory(&self) -> Result<u64>;

    /// Sets one attribute of the CPU model.
    fn set_model(&self, attribute: ModelAttribute<'_>) -> Result<()>;

    /// Whether KVM knows `attribute`, on this host.
    fn has_crypto(&self, attribute: CryptoAttribute) -> bool;

    /// Sets `attribute`.
    fn set_crypto(&self, attribute: CryptoAttribute) -> Result<()>;

    /// The guest's TOD clock.
    fn tod(&self) -> Result<Tod>;

    /// Sets it.
    fn set_tod(&self, tod: Tod) -> Result<()>;
}

/// What errors call the attributes of the clock.
const TOD_EXT: &str = "KVM_S390_VM_TOD/EXT";
const TOD_LOW: &str = "KVM_S390_VM_TOD/LOW";
const TOD_HIGH: &str = "KVM_S390_VM_TOD/HIGH";

impl VmAttributes for VmFd {
    fn machine(&self) -> Result<MachineAttributes> {
        let refused = |request| move |errno| refused(request, THE_VM, errno);
        Ok(MachineAttributes {
            machine: self.attribute(attribute::MACHINE).map_err(refused("KVM_S390_VM_CPU_MODEL/MACHINE"))?,
            feat: self
                .attribute(attribute::MACHINE_FEAT)
                .map_err(refused("KVM_S390_VM_CPU_MODEL/MACHINE_FEAT"))?,
            subfunc: self
                .attribute(attribute::MACHINE_SUBFUNC)
                .map_err(refused("KVM_S390_VM_CPU_MODEL/MACHINE_SUBFUNC"))?,
            uv_feat: if_known(self.attribute(attribute::MACHINE_UV_FEAT_GUEST))
                .map_err(refused("KVM_S390_VM_CPU_MODEL/MACHINE_UV_FEAT_GUEST"))?,
        })
    }

    fn facilities(&self) -> Result<FeatureSet> {
        self.attribute(attribute::PROCESSOR)
            .map(|processor| processor_facilities(&processor))
            .map_err(|errno| refused("KVM_S390_VM_CPU_MODEL/PROCESSOR", THE_VM, errno))
    }

    fn most_memory(&self) -> Result<u64> {
        self.attribute(attribute::LIMIT_SIZE)
            .map(u64::from_be_bytes)
            .map_err(|errno| refused("KVM_S390_VM_MEM_CTRL/LIMIT_SIZE", THE_VM, errno))
    }

    fn set_model(&self, attribute: ModelAttribute<'_>) -> Result<()> {
        match attribute {
            ModelAttribute::Processor(value) => self.set_attribute(attribute::PROCESSOR, value),
            ModelAttribute::ProcessorFeat(value) => self.set_attribute(attribute::PROCESSOR_FEAT, value),
            ModelAttribute::ProcessorSubfunc(value) => {
                self.set_attribute(attribute::PROCESSOR_SUBFUNC, value)
            }
            ModelAttribute::EnableCmma => self.set_attribute(attribute::ENABLE_CMMA, &[]),
            ModelAttribute::ProcessorUvFeatGuest(value) => {
                self.set_attribute(attribute::PROCESSOR_UV_FEAT_GUEST, value)
            }
        }
        .map_err(|errno| refused(attribute.name(), THE_VM, errno))
    }

    fn has_crypto(&self, attribute: CryptoAttribute) -> bool {
        self.has_attribute(attribute::crypto(attribute))
    }

    fn set_crypto(&self, attribute: CryptoAttribute) -> Result<()> {
        self.set_attribute(attribute::crypto(attribute), &[])
            .map_err(|errno| refused(attribute.name(), THE_VM, errno))
    }

    fn tod(&self) -> Result<Tod> {
        let refused = |request| move |errno| refused(request, THE_VM, errno);
        if let Some([epoch_index, _, _, _, _, _, _, _, clock @ ..]) =
            if_known(self.attribute(attribute::TOD_EXT)).map_err(refused(TOD_EXT))?
        {
            return Ok(Tod { epoch_index, clock: u64::from_be_bytes(clock) });
        }
        let clock = self.attribute(attribute::TOD_LOW).map_err(refused(TOD_LOW))?;
        let [epoch_index] = self.attribute(attribute::TOD_HIGH).map_err(refused(TOD_HIGH))?;
        Ok(Tod { epoch_index, clock: u64::from_be_bytes(clock) })
    }

    fn set_tod(&self, Tod { epoch_index, clock }: Tod) -> Result<()> {
        let refused = |request| move |errno| refused(request, THE_VM, errno);
        let clock = clock.to_be_bytes();
        let mut both = [0; 16];
        both[0] = epoch_index;
        both[8..].copy_from_slice(&clock);
        if if_known(self.set_attribute(attribute::TOD_EXT, &both)).map_err(refused(TOD_EXT))?.is_some() {
            return Ok(());
        }
        self.set_attribute(attribute::TOD_LOW, &clock).map_err(refused(TOD_LOW))?;
        self.set_attribute(attribute::TOD_HIGH, &[epoch_index]).map_err(refused(TOD_HIGH))
    }
}

/// `None` for an attribute that is newer than the kernel.
fn if_known<T>(answer: std::result::Result<T, Errno>) -> std::result::Result<Option<T>, Errno> {
    match answer {
        Err(errno) if errno.errno() == libc::ENXIO => Ok(None),
        answer => answer.map(Some),
    }
}
