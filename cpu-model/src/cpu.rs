//! A CPU as a guest will see it: a model and the features it has. Knows nothing of the host or of options,
//! except how to write itself down as one.

use crate::bits;
use crate::features::{Feature, FeatureSet, Home};
use crate::models::Model;
use crate::resolve::Warning;
use crate::spec::{CpuSpec, ModelChoice, Setting};

/// A CPU: a model, what it has, and what identifies it. All vCPUs of a guest are alike.
///
/// Source: `S390CPUModel` of QEMU's `target/s390x/cpu_models.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cpu {
    /// The machine it is modelled on.
    pub model: &'static Model,
    /// What it can do.
    pub features: FeatureSet,
    /// Serial number and the like; it comes from the host.
    pub identity: Identity,
    /// The lowest IBC value of the host, 0 if it has no IBC.
    pub lowest_ibc: u16,
}

impl Cpu {
    /// A CPU of `model` with `features`, on no host in particular: no serial number, no IBC.
    pub fn new(model: &'static Model, features: FeatureSet) -> Cpu {
        Cpu { model, features, identity: Identity::default(), lowest_ibc: 0 }
    }

    /// Whether it has `feature`.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(feature)
    }

    /// The CPU identification, as STIDP stores it: version in bits 0-7, serial number 8-31, machine type
    /// 32-47, format 48 (not before z990).
    ///
    /// Source: QEMU's `s390_cpuid_from_cpu_model` (`target/s390x/cpu_models.h`).
    pub fn cpuid(&self) -> u64 {
        let format = self.identity.format && self.model.generation > 7;
        u64::from(self.identity.version) << 56
            | u64::from(self.identity.serial & Identity::SERIAL_MASK) << 32
            | u64::from(self.model.machine_type) << 16
            | u64::from(format) << 15
    }

    /// The IBC word for SCLP: the host's lowest value in bits 4-15, the model's in bits 20-31; 0 if the host
    /// has none or the model is below it.
    ///
    /// Source: QEMU's `s390_get_ibc_val` (`target/s390x/cpu_models.c`).
    pub fn ibc_word(&self) -> u32 {
        if self.lowest_ibc == 0 || self.lowest_ibc > self.model.ibc {
            return 0;
        }
        u32::from(self.lowest_ibc) << 16 | u32::from(self.model.ibc)
    }

    /// What SCLP tells the guest about this CPU.
    pub fn sclp(&self) -> Sclp {
        let mut sclp = Sclp {
            ibc: self.ibc_word(),
            hmfai: self.model.hmfai,
            mha_pow: self.model.mha_pow,
            ..Sclp::default()
        };
        let els = self.has(Feature::Els);
        for feature in self.features.iter() {
            match feature.home() {
                Home::ConfChar(bit) => bits::switch_on(&mut sclp.conf_char, bit.into()),
                Home::ConfCharExt(bit) => bits::switch_on(&mut sclp.conf_char_ext, bit.into()),
                Home::Fac134(bit) if els => sclp.fac134 |= 0x80 >> bit,
                Home::Fac139(bit) if els => sclp.fac139 |= 0x80 >> bit,
                Home::CpuEntry(bit) => bits::switch_on(&mut sclp.cpu_features, bit.into()),
                _ => {}
            }
        }
        sclp
    }

    /// The features that lack another they require, in the features' order. None of this keeps a guest from
    /// starting.
    pub fn warnings(&self) -> Vec<Warning> {
        Feature::requirements()
            .iter()
            .filter(|(feature, requires)| self.has(*feature) && !self.has(*requires))
            .map(|(feature, requires)| Warning { feature: *feature, requires: *requires })
            .collect()
    }

    /// The features it has that are on their way out.
    pub fn deprecated(&self) -> FeatureSet {
        self.features.intersection(Feature::deprecated())
    }

    /// The same CPU as a static model and the differences to it: what goes on any host and never changes.
    /// Switched off first, then on; whole groups before single features.
    ///
    /// Source: QEMU's `query-cpu-model-expansion`, type static (`target/s390x/cpu_models_system.c`).
    pub fn static_expansion(&self) -> CpuSpec {
        let base = self.model.base();
        self.spelled_out(&[(base.difference(self.features), false), (self.features.difference(base), true)])
    }

    /// The same CPU with every feature said: what it has, then what it has not; whole groups before single
    /// features.
    ///
    /// Source: QEMU's `query-cpu-model-expansion`, type full (`target/s390x/cpu_models_system.c`).
    pub fn full_expansion(&self) -> CpuSpec {
        let lacks = FeatureSet::all().difference(self.features);
        self.spelled_out(&[(self.features, true), (lacks, false)])
    }

    fn spelled_out(&self, parts: &[(FeatureSet, bool)]) -> CpuSpec {
        let settings = parts.iter().flat_map(|(features, on)| {
            features.properties().into_iter().map(|property| Setting { property, on: *on })
        });
        CpuSpec::new(ModelChoice::Base(self.model), settings.collect())
    }
}

/// What tells one machine from another of its model.
///
/// Source: QEMU's `cpuid_ver`, `cpuid_id` and `cpuid_format` (`target/s390x/cpu_models.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The version byte; 0xff says "in a virtual machine".
    pub version: u8,
    /// The serial number: 24 bits.
    pub serial: u32,
    /// Whether the serial number is in the format of logical partitions.
    pub format: bool,
}

impl Identity {
    pub(crate) const SERIAL_MASK: u32 = 0x00ff_ffff;
}

impl Default for Identity {
    /// A virtual machine without a serial number.
    fn default() -> Identity {
        Identity { version: 0xff, serial: 0, format: true }
    }
}

/// What SCLP's Read SCP Info and Read CPU Info say of the CPU, each field as it goes into the SCCB (numbers
/// big-endian there).
///
/// Source: QEMU's `hw/s390x/sclp.c: read_SCP_info` and `prepare_cpu_entries`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sclp {
    /// Read SCP Info, bytes 80-98.
    pub conf_char: [u8; 19],
    /// Read SCP Info, bytes 116-119.
    pub conf_char_ext: [u8; 4],
    /// Read SCP Info, byte 134; 0 unless the CPU has `els`.
    pub fac134: u8,
    /// Read SCP Info, byte 139; 0 unless the CPU has `els`.
    pub fac139: u8,
    /// The six feature bytes of each CPU entry.
    pub cpu_features: [u8; 6],
    /// The IBC word; 0 for none.
    pub ibc: u32,
    /// Read SCP Info, bytes 124-127: the hypervisor-managed facilities.
    pub hmfai: u32,
    /// Read SCP Info, byte 99: the power of two that bounds host addresses.
    pub mha_pow: u8,
}
