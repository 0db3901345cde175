//! The attributes of a VM by group, number and bytes: `KVM_HAS_DEVICE_ATTR`, `KVM_GET_DEVICE_ATTR` and
//! `KVM_SET_DEVICE_ATTR` of groups `KVM_S390_VM_CRYPTO` and `KVM_S390_VM_CPU_MODEL` (`arch/s390/kvm/kvm-s390.c:
//! kvm_s390_vm_{has,get,set}_attr`, 7.2).
//!
//! Nothing is kept here: it is what [`ProtoVm`] and [`Vm`](adjunct_hypervisor::Vm) set and the guest sees. Values are in KVM's layout and
//! in big-endian byte order on every machine, as those of the traits are. There are no other groups.

use super::{model::GuestModel, proto::SimProtoVm, vm::InSie, vm::SimVm};
use crate::sysfs::Errno;
use adjunct_hypervisor::{CryptoAttribute, ModelAttribute, ProtoVm, Vm};

/// `KVM_S390_VM_CRYPTO`.
const CRYPTO: u32 = 2;
/// `KVM_S390_VM_CPU_MODEL`.
const CPU_MODEL: u32 = 3;

/// Attributes of [`CPU_MODEL`]; the machine's, which can't be set, have the odd numbers.
const PROCESSOR: u64 = 0;
const MACHINE: u64 = 1;
const PROCESSOR_FEAT: u64 = 2;
const MACHINE_FEAT: u64 = 3;
const PROCESSOR_SUBFUNC: u64 = 4;
const MACHINE_SUBFUNC: u64 = 5;
const PROCESSOR_UV_FEAT_GUEST: u64 = 6;
const MACHINE_UV_FEAT_GUEST: u64 = 7;

/// Attributes of [`CRYPTO`], by their numbers.
const CRYPTO_ATTRIBUTES: [CryptoAttribute; 6] = [
    CryptoAttribute::EnableAesKw,
    CryptoAttribute::EnableDeaKw,
    CryptoAttribute::DisableAesKw,
    CryptoAttribute::DisableDeaKw,
    CryptoAttribute::EnableApie,
    CryptoAttribute::DisableApie,
];

fn crypto_attribute(attr: u64) -> Result<CryptoAttribute, Errno> {
    let number = usize::try_from(attr).map_err(|_| libc::ENXIO)?;
    CRYPTO_ATTRIBUTES.get(number).copied().ok_or(libc::ENXIO)
}

impl SimProtoVm {
    /// `KVM_HAS_DEVICE_ATTR`.
    ///
    /// # Errors
    /// ENXIO for what is not there.
    pub fn has_attribute(&self, group: u32, attr: u64) -> Result<(), i32> {
        has(self.crypto(), group, attr)
    }

    /// `KVM_GET_DEVICE_ATTR`: stores the attribute at the start of `value`; what is behind it stays.
    ///
    /// # Errors
    /// ENXIO for what is not there, as all of the crypto group is; EFAULT when `value` is too short.
    pub fn attribute(&self, group: u32, attr: u64, value: &mut [u8]) -> Result<(), i32> {
        get(self.model(), group, attr, value)
    }

    /// `KVM_SET_DEVICE_ATTR`. A crypto attribute has no value.
    ///
    /// # Errors
    /// ENXIO for what is not there, or is the machine's; EFAULT when `value` is too short; EINVAL for features that the
    /// machine lacks, and for key wrapping without facility 76 in the guest; EOPNOTSUPP for AP interpretation without AP
    /// instructions; what was planned for the act.
    pub fn set_attribute(&mut self, group: u32, attr: u64, value: &[u8]) -> Result<(), i32> {
        match group {
            CRYPTO => self.set_crypto(crypto_attribute(attr)?),
            CPU_MODEL => self.set_model(model_attribute(attr, value)?),
            _ => return Err(libc::ENXIO),
        }
        .map_err(|refused| refused.errno.errno())
    }
}

impl SimVm {
    /// [`SimProtoVm::has_attribute`].
    ///
    /// # Errors
    /// As there.
    pub fn has_attribute(&self, group: u32, attr: u64) -> Result<(), i32> {
        has(&self.shared.crypto, group, attr)
    }

    /// [`SimProtoVm::attribute`].
    ///
    /// # Errors
    /// As there.
    pub fn attribute(&self, group: u32, attr: u64, value: &mut [u8]) -> Result<(), i32> {
        get(&self.shared.model, group, attr, value)
    }

    /// [`SimProtoVm::set_attribute`] of a VM whose CPU model is frozen.
    ///
    /// # Errors
    /// As there; EBUSY for an attribute of the CPU model: for PROCESSOR and PROCESSOR_SUBFUNC before anything is looked
    /// at, for the others last (`kvm_s390_set_processor`, `kvm_s390_set_processor_feat`, 7.2).
    pub fn set_attribute(&self, group: u32, attr: u64, value: &[u8]) -> Result<(), i32> {
        match (group, attr) {
            (CRYPTO, _) => self.set_crypto(crypto_attribute(attr)?).map_err(|refused| refused.errno.errno()),
            (CPU_MODEL, PROCESSOR | PROCESSOR_SUBFUNC) => Err(libc::EBUSY),
            (CPU_MODEL, _) => {
                self.shared.model.check(model_attribute(attr, value)?)?;
                Err(libc::EBUSY)
            }
            _ => Err(libc::ENXIO),
        }
    }
}

/// `kvm_s390_vm_has_attr`: key wrapping is always there, AP interpretation with AP instructions.
fn has(crypto: &InSie, group: u32, attr: u64) -> Result<(), Errno> {
    let there = match group {
        CRYPTO => crypto.enter().has(crypto_attribute(attr)?),
        CPU_MODEL => attr <= MACHINE_UV_FEAT_GUEST,
        _ => false,
    };
    if there { Ok(()) } else { Err(libc::ENXIO) }
}

/// `kvm_s390_get_cpu_model`.
fn get(model: &GuestModel, group: u32, attr: u64, value: &mut [u8]) -> Result<(), Errno> {
    if group != CPU_MODEL {
        return Err(libc::ENXIO);
    }
    let (machine, guest) = (model.offered(), model.chosen());
    let bytes = match attr {
        PROCESSOR => &model.processor()[..],
        MACHINE => &machine.machine,
        PROCESSOR_FEAT => &guest.feat,
        MACHINE_FEAT => &machine.feat,
        PROCESSOR_SUBFUNC => &guest.subfunc[..],
        MACHINE_SUBFUNC => &machine.subfunc,
        PROCESSOR_UV_FEAT_GUEST => &guest.uv_feat,
        MACHINE_UV_FEAT_GUEST => machine.uv_feat.as_ref().map_or(&[0; 8], |feat| feat),
        _ => return Err(libc::ENXIO),
    };
    value.get_mut(..bytes.len()).ok_or(libc::EFAULT)?.copy_from_slice(bytes);
    Ok(())
}

/// The attribute of the CPU model that can be set by this number, from the start of `value`.
fn model_attribute(attr: u64, value: &[u8]) -> Result<ModelAttribute<'_>, Errno> {
    fn first<const N: usize>(value: &[u8]) -> Result<&[u8; N], Errno> {
        value.first_chunk().ok_or(libc::EFAULT)
    }
    Ok(match attr {
        PROCESSOR => ModelAttribute::Processor(first(value)?),
        PROCESSOR_FEAT => ModelAttribute::ProcessorFeat(first(value)?),
        PROCESSOR_SUBFUNC => ModelAttribute::ProcessorSubfunc(first(value)?),
        PROCESSOR_UV_FEAT_GUEST => ModelAttribute::ProcessorUvFeatGuest(first(value)?),
        _ => return Err(libc::ENXIO),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypto_attributes_are_in_the_order_of_their_numbers() {
        for (number, attribute) in (0_u8..).zip(CRYPTO_ATTRIBUTES) {
            assert_eq!(attribute as u8, number);
        }
    }
}
