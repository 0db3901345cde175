//! What the host can give a guest, and whether that is enough for a CPU. How a host is asked is for
//! [`kvm`](crate::kvm).

use std::fmt;

use crate::cpu::{Cpu, Identity};
use crate::features::FeatureSet;
use crate::models::Model;

/// The most a guest on this host can have.
///
/// Features may be far fewer than the model's base set: a nested or simulated host gives what it gives, and
/// `-cpu host` takes exactly that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCpu {
    /// The machine the host is, or the nearest that is known.
    pub model: &'static Model,
    /// What it can give.
    pub features: FeatureSet,
    /// Its serial number and the like.
    pub identity: Identity,
    /// How far it can be made to look like older machines.
    pub ibc: IbcRange,
}

impl HostCpu {
    /// A host of `model` that gives `features`, without a serial number and unable to block instructions: its
    /// IBC range is the model's own value.
    pub fn new(model: &'static Model, features: FeatureSet) -> HostCpu {
        let ibc = IbcRange { lowest: model.ibc, unblocked: model.ibc };
        HostCpu { model, features, identity: Identity::default(), ibc }
    }

    /// What keeps `cpu` from running here; empty if nothing does.
    ///
    /// Source: QEMU's `check_unavailable_features` (`target/s390x/cpu_models_system.c`), which fills
    /// `unavailable-features` of `query-cpu-definitions`.
    pub fn unavailable(&self, cpu: &Cpu) -> Unavailable {
        let (wanted, here) = (cpu.model.age(), self.model.age());
        let too_new = if wanted.generation > here.generation {
            Some(TooNew::Generation)
        } else if wanted > here {
            Some(TooNew::GaLevel)
        } else {
            None
        };
        Unavailable { too_new, missing: cpu.features.difference(self.features) }
    }
}

/// What a host lacks to run a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Set if the CPU's model is newer than the host's.
    pub too_new: Option<TooNew>,
    /// The features that the host cannot give.
    pub missing: FeatureSet,
}

impl Unavailable {
    /// Whether the CPU can run.
    pub fn is_empty(&self) -> bool {
        self.too_new.is_none() && self.missing.is_empty()
    }

    /// The same as names: `type` if the model is too new, then groups, then features.
    pub fn names(&self) -> Vec<&'static str> {
        let kind = self.too_new.map(|_| "type");
        kind.into_iter()
            .chain(self.missing.properties().into_iter().map(|property| property.name()))
            .collect()
    }
}

/// In what way a model is newer than the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooNew {
    /// It is of a later generation.
    Generation,
    /// It is of the same generation, but a later GA level.
    GaLevel,
}

impl fmt::Display for TooNew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TooNew::Generation => "generation",
            TooNew::GaLevel => "GA level",
        })
    }
}

/// Instruction blocking control: the models whose instruction set the host can limit a guest to. Values are a
/// model's [`ibc`](Model::ibc); a `lowest` of 0 says that the host has no IBC.
///
/// Source: `sclp.ibc` in `arch/s390/kvm/kvm-s390.c: kvm_s390_set_processor`; QEMU's `lowest_ibc` and
/// `unblocked_ibc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IbcRange {
    /// The oldest.
    pub lowest: u16,
    /// The newest: the host itself.
    pub unblocked: u16,
}

impl IbcRange {
    /// From the word of SCLP and of KVM's machine attribute: lowest in bits 4-15, unblocked in bits 20-31.
    pub fn from_word(word: u32) -> IbcRange {
        let [a, b, c, d] = word.to_be_bytes();
        IbcRange { lowest: u16::from_be_bytes([a, b]) & 0xfff, unblocked: u16::from_be_bytes([c, d]) & 0xfff }
    }

    /// The same as a word.
    pub fn to_word(self) -> u32 {
        u32::from(self.lowest & 0xfff) << 16 | u32::from(self.unblocked & 0xfff)
    }

    /// What KVM makes of a guest's IBC value: the nearest that the host has. A value of 0, and any value on a
    /// host without IBC, has no effect and comes back as `None`.
    ///
    /// Source: `arch/s390/kvm/kvm-s390.c: kvm_s390_set_processor`.
    pub fn limit(self, ibc: u16) -> Option<u16> {
        if self.lowest == 0 || ibc == 0 {
            return None;
        }
        Some(ibc.max(self.lowest).min(self.unblocked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ibc_word_holds_both_values_in_twelve_bits_each() {
        let z15 = IbcRange { lowest: 0x021, unblocked: 0x051 };
        assert_eq!((z15.to_word(), IbcRange::from_word(0xf021_f051)), (0x0021_0051, z15));
    }

    #[test]
    fn a_guest_is_limited_to_the_range_of_its_host() {
        let z15 = IbcRange { lowest: 0x021, unblocked: 0x051 };
        let limits = [0, 0x001, 0x021, 0x042, 0x051, 0x071].map(|ibc| z15.limit(ibc));
        assert_eq!(limits, [None, Some(0x021), Some(0x021), Some(0x042), Some(0x051), Some(0x051)]);
        assert_eq!(IbcRange::default().limit(0x051), None);
    }

    #[test]
    fn what_a_host_lacks_is_named_with_type_first() {
        let model = |name| Model::by_name(name).expect("a model");
        let host = HostCpu::new(model("z13"), model("z13").full());
        let unavailable = host.unavailable(&Cpu::new(model("z14"), model("z13").base()));
        assert_eq!((unavailable.too_new, unavailable.names()), (Some(TooNew::Generation), vec!["type"]));
        let unavailable = host.unavailable(&Cpu::new(model("z13"), model("z14").base()));
        assert_eq!(unavailable.names(), ["opc", "eec", "minste2", "sema", "tsi"]);
        assert!(host.unavailable(&Cpu::new(model("z13"), model("z13").default_features())).is_empty());
    }
}
