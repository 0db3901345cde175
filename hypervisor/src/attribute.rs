//! VM attributes, named and ordered as KVM has them (`arch/s390/include/uapi/asm/kvm.h`).

use crate::{ProtoVm, Result};
use adjunct_cpu_model::kvm::ProcessorAttributes;

/// An attribute of the CPU model: frozen once a vCPU exists.
///
/// The blobs are in KVM's layout and in big-endian byte order on every machine; crate
/// `adjunct-cpu-model` makes and reads them.
#[derive(Clone, Copy, Debug)]
pub enum ModelAttribute<'a> {
    /// `KVM_S390_VM_CPU_PROCESSOR`: `struct kvm_s390_vm_cpu_processor`.
    Processor(&'a [u8; 2064]),
    /// `KVM_S390_VM_CPU_PROCESSOR_FEAT`: EINVAL unless a subset of the machine's.
    ProcessorFeat(&'a [u8; 128]),
    /// `KVM_S390_VM_CPU_PROCESSOR_SUBFUNC`.
    ProcessorSubfunc(&'a [u8; 2048]),
    /// `KVM_S390_VM_MEM_ENABLE_CMMA` of group `KVM_S390_VM_MEM_CTRL`.
    EnableCmma,
    /// `KVM_S390_VM_CPU_PROCESSOR_UV_FEAT_GUEST`: EINVAL unless a subset of the machine's.
    ProcessorUvFeatGuest(&'a [u8; 8]),
}

impl ModelAttribute<'_> {
    /// The attribute as error messages and the simulated host's log of acts name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Processor(_) => "KVM_S390_VM_CPU_MODEL/PROCESSOR",
            Self::ProcessorFeat(_) => "KVM_S390_VM_CPU_MODEL/PROCESSOR_FEAT",
            Self::ProcessorSubfunc(_) => "KVM_S390_VM_CPU_MODEL/PROCESSOR_SUBFUNC",
            Self::EnableCmma => "KVM_S390_VM_MEM_CTRL/ENABLE_CMMA",
            Self::ProcessorUvFeatGuest(_) => "KVM_S390_VM_CPU_MODEL/PROCESSOR_UV_FEAT_GUEST",
        }
    }
}

/// An attribute of group `KVM_S390_VM_CRYPTO`. The discriminants are the kernel's numbers.
///
/// These may be set before and after vCPUs exist: KVM takes every vCPU out of SIE and redoes its
/// crypto set-up (`kvm_s390_vcpu_crypto_reset_all`, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CryptoAttribute {
    /// A fresh random AES wrapping key. EINVAL without facility 76 in the guest's model.
    EnableAesKw = 0,
    /// A fresh random DEA wrapping key. EINVAL without facility 76.
    EnableDeaKw = 1,
    /// No AES key wrapping; the wrapping key is zeroed.
    DisableAesKw = 2,
    /// No DEA key wrapping; the wrapping key is zeroed.
    DisableDeaKw = 3,
    /// AP instructions are interpreted (ECA.28). EOPNOTSUPP without AP instructions on the host.
    EnableApie = 4,
    /// AP instructions are intercepted.
    DisableApie = 5,
}

impl CryptoAttribute {
    /// The attribute as error messages and the simulated host's log of acts name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EnableAesKw => "KVM_S390_VM_CRYPTO/ENABLE_AES_KW",
            Self::EnableDeaKw => "KVM_S390_VM_CRYPTO/ENABLE_DEA_KW",
            Self::DisableAesKw => "KVM_S390_VM_CRYPTO/DISABLE_AES_KW",
            Self::DisableDeaKw => "KVM_S390_VM_CRYPTO/DISABLE_DEA_KW",
            Self::EnableApie => "KVM_S390_VM_CRYPTO/ENABLE_APIE",
            Self::DisableApie => "KVM_S390_VM_CRYPTO/DISABLE_APIE",
        }
    }
}

/// Gives `vm` its CPU model, in QEMU's order (`target/s390x/kvm/kvm.c: kvm_s390_apply_cpu_model`):
/// processor, features, subfunctions, CMMA, AP interpretation, UV features.
///
/// AP interpretation is never switched off: a new VM starts without it
/// (`arch/s390/kvm/kvm-s390.c: kvm_s390_crypto_init`, 7.2).
///
/// # Errors
/// The first attribute that the host refuses; the later ones are not tried.
pub fn apply_cpu_model(vm: &mut dyn ProtoVm, cpu: &ProcessorAttributes) -> Result<()> {
    vm.set_model(ModelAttribute::Processor(&cpu.processor))?;
    vm.set_model(ModelAttribute::ProcessorFeat(&cpu.feat))?;
    vm.set_model(ModelAttribute::ProcessorSubfunc(&cpu.subfunc))?;
    if cpu.cmma {
        vm.set_model(ModelAttribute::EnableCmma)?;
    }
    if cpu.apie {
        vm.set_crypto(CryptoAttribute::EnableApie)?;
    }
    match &cpu.uv_feat {
        Some(uv) => vm.set_model(ModelAttribute::ProcessorUvFeatGuest(uv)),
        None => Ok(()),
    }
}
