//! The CPU model in the form of KVM's attributes (group `KVM_S390_VM_CPU_MODEL`): what a host offers,
//! decoded, and what a guest is to have, encoded; and both the other way round for those who stand in for
//! KVM.
//!
//! The blobs are laid out as a big-endian kernel has them in memory, on hosts of either byte order. This
//! module knows no ioctl: it neither asks nor tells KVM anything.
//!
//! | blob | bytes | layout |
//! |---|---|---|
//! | MACHINE | 4112 | cpuid 0 (u64), ibc 8 (u32), fac_mask 16, fac_list 2064 (2048 each) |
//! | PROCESSOR | 2064 | cpuid 0 (u64), ibc 8 (u16), fac_list 16 (2048) |
//! | FEAT | 128 | feature n is bit n from the left |
//! | SUBFUNC | 2048 | a block for each instruction, function code n is bit n from the left |
//! | UV_FEAT | 8 | bit n from the left |
//!
//! Source: `arch/s390/include/uapi/asm/kvm.h` (7.2).

mod blobs;

use std::fmt;

use crate::cpu::{Cpu, Identity};
use crate::features::{Feature, FeatureSet};
use crate::host::{HostCpu, IbcRange};
use crate::models::{Model, Wanted};
use blobs::{
    facilities, functions, numbered, switch_on_facilities, to_functions, to_numbered, to_ultravisor, u32_at,
    u64_at, ultravisor,
};

/// Size of `struct kvm_s390_vm_cpu_machine`.
pub const MACHINE_LEN: usize = 4112;
/// Size of `struct kvm_s390_vm_cpu_processor`.
pub const PROCESSOR_LEN: usize = 2064;
/// Size of `struct kvm_s390_vm_cpu_feat`.
pub const FEAT_LEN: usize = 128;
/// Size of `struct kvm_s390_vm_cpu_subfunc`.
pub const SUBFUNC_LEN: usize = 2048;
/// Size of `struct kvm_s390_vm_cpu_uv_feat`.
pub const UV_FEAT_LEN: usize = 8;
/// Size of a facility list in either struct.
pub const FACILITIES_LEN: usize = 2048;

/// Where the first (MACHINE: `fac_mask`, PROCESSOR: `fac_list`) and the second list (MACHINE: `fac_list`)
/// begin.
const FIRST_LIST: usize = 16;
const SECOND_LIST: usize = FIRST_LIST + FACILITIES_LEN;

/// What a host says of its CPU: the attributes MACHINE, MACHINE_FEAT, MACHINE_SUBFUNC and
/// MACHINE_UV_FEAT_GUEST.
#[derive(Clone, PartialEq, Eq)]
pub struct MachineAttributes {
    /// MACHINE.
    pub machine: [u8; MACHINE_LEN],
    /// MACHINE_FEAT.
    pub feat: [u8; FEAT_LEN],
    /// MACHINE_SUBFUNC.
    pub subfunc: [u8; SUBFUNC_LEN],
    /// MACHINE_UV_FEAT_GUEST; `None` where the kernel (before 6.6) has no PROCESSOR_UV_FEAT_GUEST.
    pub uv_feat: Option<[u8; UV_FEAT_LEN]>,
}

/// The features that need nothing of KVM, because user space makes them: z/PCI with its adapter event
/// notification, and longer SCCBs. Every decoded host has them, as under QEMU; who does not make them takes
/// them out of [`HostCpu::features`].
///
/// Source: QEMU's `kvm_s390_get_host_cpu_model` (`target/s390x/kvm/kvm.c`, 11.1).
pub const FROM_USER_SPACE: FeatureSet = FeatureSet::of(&[Feature::Zpci, Feature::Aen, Feature::Els]);

/// What else a host is asked: features whose presence is no bit of the attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `KVM_S390_VM_MEM_CTRL` has `ENABLE_CMMA` and `CLR_CMMA`: the guest can have `cmm`.
    pub cmma: bool,
    /// `KVM_CAP_S390_BPB`: the guest can have `bpb`.
    pub bpb: bool,
    /// `KVM_CAP_S390_PROTECTED`: the guest can have `unpack`.
    pub protected: bool,
    /// `KVM_CAP_S390_CPU_TOPOLOGY`: the guest can have `ctop`.
    pub topology: bool,
    /// `KVM_CAP_S390_DIAG318`: the guest can have `diag318`.
    pub diag318: bool,
    /// `KVM_S390_VM_CRYPTO` has `ENABLE_APIE`: the guest can have `ap`.
    pub apie: bool,
}

impl Capabilities {
    /// The capabilities of a host that gives `features`.
    pub fn of(features: FeatureSet) -> Capabilities {
        Capabilities {
            cmma: features.contains(Feature::Cmm),
            bpb: features.contains(Feature::Bpb),
            protected: features.contains(Feature::Unpack),
            topology: features.contains(Feature::Ctop),
            diag318: features.contains(Feature::Diag318),
            apie: features.contains(Feature::Ap),
        }
    }
}

/// No model is known for a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("machine type {machine_type:#06x} is not known, and its features fit no CPU model")]
pub struct UnknownMachine {
    /// The machine type in the CPU identification.
    pub machine_type: u16,
}

impl MachineAttributes {
    /// The host that says this of itself.
    ///
    /// The facilities that count are those that a guest may be given (`fac_mask`). User space lends its own
    /// part to the features: [`FROM_USER_SPACE`] is always there. Whatever the model cannot have is left out.
    ///
    /// # Errors
    ///
    /// [`UnknownMachine`] if the machine type is not known and not even the oldest model's base set is there.
    ///
    /// Source: QEMU's `kvm_s390_get_host_cpu_model` (`target/s390x/kvm/kvm.c`, 11.1), whose order this is.
    pub fn decode(&self, capabilities: &Capabilities) -> Result<HostCpu, UnknownMachine> {
        let cpuid = u64_at(&self.machine, 0);
        let ibc = IbcRange::from_word(u32_at(&self.machine, 8));
        let mut features = self.instructions_and_facilities(capabilities);
        // The model is looked for before the rest is added, which is in no model's base set.
        let unblocked = if ibc.lowest == 0 { 0 } else { ibc.unblocked };
        let model = find_model(cpuid, unblocked, features)?;
        features.set(Feature::Ap, capabilities.apie);
        features.set(Feature::Diag318, capabilities.diag318);
        if let Some(uv_feat) = self.uv_feat.filter(|_| capabilities.apie) {
            features.extend(ultravisor(&uv_feat));
        }
        let features = features.intersection(model.full());
        Ok(HostCpu { model, features, identity: identity(cpuid), ibc })
    }

    /// What a machine is known by.
    fn instructions_and_facilities(&self, capabilities: &Capabilities) -> FeatureSet {
        let mut features = facilities(&self.machine[FIRST_LIST..SECOND_LIST]);
        features.set(Feature::Dateh2, features.contains(Feature::Stfle));
        features.extend(numbered(&self.feat));
        features = features.union(functions(&self.subfunc, features));
        if !features.contains(Feature::Mepoch) {
            features = features.difference(MULTIPLE_EPOCH_FUNCTIONS);
        }
        if capabilities.cmma {
            features.insert(Feature::Cmm);
        } else {
            features.remove(Feature::Cmmnt);
        }
        if !capabilities.bpb {
            features.remove(Feature::Bpb);
        }
        if capabilities.protected {
            features.insert(Feature::Unpack);
        }
        if capabilities.topology {
            features.insert(Feature::Ctop);
        }
        features.union(FROM_USER_SPACE)
    }

    /// What a host that gives `host.features` says of itself. Decoding it with [`Capabilities::of`] the same
    /// features gives them back, but for [`FROM_USER_SPACE`] and `dateh2`, which come with every host and with
    /// `stfle`, and `hpma2`, for which KVM has no word.
    ///
    /// `fac_mask` and `fac_list` are alike: what the host has, a guest may be given.
    ///
    /// Source: `arch/s390/kvm/kvm-s390.c: kvm_s390_get_machine`, `kvm_s390_get_machine_feat`,
    /// `kvm_s390_get_machine_subfunc`, `kvm_s390_get_uv_feat` (7.2).
    pub fn encode(host: &HostCpu) -> MachineAttributes {
        let mut machine = [0; MACHINE_LEN];
        let cpu = Cpu { model: host.model, features: host.features, identity: host.identity, lowest_ibc: 0 };
        machine[..8].copy_from_slice(&cpu.cpuid().to_be_bytes());
        machine[8..12].copy_from_slice(&host.ibc.to_word().to_be_bytes());
        switch_on_facilities(&mut machine[FIRST_LIST..SECOND_LIST], host.features);
        switch_on_facilities(&mut machine[SECOND_LIST..], host.features);
        let uv_feat = Some(to_ultravisor(host.features));
        MachineAttributes {
            machine,
            feat: to_numbered(host.features),
            subfunc: to_functions(host.features),
            uv_feat,
        }
    }
}

/// What a guest is to have: the attributes PROCESSOR, PROCESSOR_FEAT, PROCESSOR_SUBFUNC and
/// PROCESSOR_UV_FEAT_GUEST, and the two switches that are no attributes of the CPU model. They are to be set
/// in the order of the fields, all before the first vCPU is created.
///
/// Source: QEMU's `kvm_s390_apply_cpu_model` (`target/s390x/kvm/kvm.c`).
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessorAttributes {
    /// PROCESSOR.
    pub processor: [u8; PROCESSOR_LEN],
    /// PROCESSOR_FEAT.
    pub feat: [u8; FEAT_LEN],
    /// PROCESSOR_SUBFUNC; a host may lack the attribute, and then it is left out.
    pub subfunc: [u8; SUBFUNC_LEN],
    /// Whether to set `ENABLE_CMMA` of `KVM_S390_VM_MEM_CTRL`.
    pub cmma: bool,
    /// Whether to set `ENABLE_APIE` of `KVM_S390_VM_CRYPTO`. If not, nothing is sent: a VM starts without.
    pub apie: bool,
    /// PROCESSOR_UV_FEAT_GUEST, to be set if the host has the attribute; `None` without `ap`, the only
    /// feature it is about.
    pub uv_feat: Option<[u8; UV_FEAT_LEN]>,
}

impl ProcessorAttributes {
    /// What KVM is told to make `cpu` of its vCPUs.
    ///
    /// Source: QEMU's `kvm_s390_apply_cpu_model` (`target/s390x/kvm/kvm.c`, 11.1).
    pub fn encode(cpu: &Cpu) -> ProcessorAttributes {
        let mut processor = [0; PROCESSOR_LEN];
        processor[..8].copy_from_slice(&cpu.cpuid().to_be_bytes());
        processor[8..10].copy_from_slice(&cpu.model.ibc.to_be_bytes());
        switch_on_facilities(&mut processor[FIRST_LIST..], cpu.features);
        ProcessorAttributes {
            processor,
            feat: to_numbered(cpu.features),
            subfunc: to_functions(cpu.features),
            cmma: cpu.has(Feature::Cmm),
            apie: cpu.has(Feature::Ap),
            uv_feat: cpu.has(Feature::Ap).then(|| to_ultravisor(cpu.features)),
        }
    }

    /// The CPU that user space asked for, as far as KVM is told: `diag318` and `hpma2` stay between user
    /// space and the guest, and so does the lowest IBC value.
    ///
    /// # Errors
    ///
    /// [`UnknownMachine`] if the machine type is not known and not even the oldest model's base set is there.
    pub fn decode(&self) -> Result<Cpu, UnknownMachine> {
        let cpuid = u64_at(&self.processor, 0);
        let ibc = u16::from_be_bytes([self.processor[8], self.processor[9]]);
        let mut features = processor_facilities(&self.processor);
        features.set(Feature::Dateh2, features.contains(Feature::Stfle));
        features.extend(numbered(&self.feat));
        features = features.union(functions(&self.subfunc, features));
        features.set(Feature::Cmm, self.cmma);
        features.set(Feature::Ap, self.apie);
        if let Some(uv_feat) = &self.uv_feat {
            features.extend(ultravisor(uv_feat));
        }
        let model = find_model(cpuid, ibc, features)?;
        Ok(Cpu { identity: identity(cpuid), ..Cpu::new(model, features) })
    }

    /// The facility list that the guest's STFLE stores, bit 0 leftmost; 2048 bytes.
    pub fn facilities(&self) -> &[u8] {
        &self.processor[FIRST_LIST..]
    }
}

/// The features that are facilities, of what KVM says a guest's CPU is: the attribute PROCESSOR.
pub fn processor_facilities(processor: &[u8; PROCESSOR_LEN]) -> FeatureSet {
    facilities(&processor[FIRST_LIST..])
}

/// Of no use without `mepoch`, and yet hosts whose kernel does not support it may list them.
const MULTIPLE_EPOCH_FUNCTIONS: FeatureSet =
    FeatureSet::of(&[Feature::PtffQsie, Feature::PtffQtoue, Feature::PtffStoe, Feature::PtffStoue]);

fn find_model(cpuid: u64, ibc: u16, features: FeatureSet) -> Result<&'static Model, UnknownMachine> {
    let [_, _, _, _, high, low, _, _] = cpuid.to_be_bytes();
    let machine_type = u16::from_be_bytes([high, low]);
    let (generation, ec_ga) = generation(ibc);
    let wanted = if Model::is_known_type(machine_type) {
        // The exact model, even if some of its features are missing.
        Wanted { machine_type, generation, ec_ga, features: None }
    } else {
        Wanted { machine_type: 0, generation, ec_ga, features: Some(features) }
    };
    Model::find(&wanted).ok_or(UnknownMachine { machine_type })
}

/// Generation and GA level of an IBC value; zeros if it is 0.
///
/// Source: QEMU's `ibc_gen` and `ibc_ec_ga` (`target/s390x/cpu_models.h`).
fn generation(ibc: u16) -> (u8, u8) {
    let [high, low] = (ibc & 0xfff).to_be_bytes();
    if ibc == 0 { (0, 0) } else { ((high << 4 | low >> 4).saturating_add(10), low & 0xf) }
}

fn identity(cpuid: u64) -> Identity {
    let [_, a, b, c, _, _, format, _] = cpuid.to_be_bytes();
    Identity { version: 0xff, serial: u32::from_be_bytes([0, a, b, c]), format: format & 0x80 != 0 }
}

impl fmt::Debug for MachineAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineAttributes")
            .field("cpuid", &format_args!("{:#018x}", u64_at(&self.machine, 0)))
            .field("ibc", &format_args!("{:#010x}", u32_at(&self.machine, 8)))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ProcessorAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorAttributes")
            .field("cpuid", &format_args!("{:#018x}", u64_at(&self.processor, 0)))
            .field("cmma", &self.cmma)
            .field("apie", &self.apie)
            .finish_non_exhaustive()
    }
}
