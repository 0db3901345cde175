//! Features in and out of KVM's blobs, block by block.

use super::{FEAT_LEN, SUBFUNC_LEN, UV_FEAT_LEN};
use crate::bits;
use crate::features::{Feature, FeatureSet, Home, Instruction};

/// Facilities of every z/Architecture guest that are no features: z/Architecture mode active, and a
/// configuration that knows no other mode.
///
/// Source: QEMU's `s390_fill_feat_block` (`target/s390x/cpu_features.c`).
const ALWAYS_ACTIVE: [usize; 2] = [2, 138];

/// The features that KVM knows by a number of their own, `KVM_S390_VM_CPU_FEAT_*`, and need not be
/// facilities.
///
/// Source: `arch/s390/include/uapi/asm/kvm.h` (7.2); QEMU's `kvm_to_feat` (`target/s390x/kvm/kvm.c`).
#[rustfmt::skip]
const NUMBERED: [(usize, Feature); 15] = [
    ( 0, Feature::Esop),
    ( 1, Feature::Sief2),
    ( 2, Feature::Bscao64),
    ( 3, Feature::Siif),
    ( 4, Feature::Gpereh),
    ( 5, Feature::Gsls),
    ( 6, Feature::Ib),
    ( 7, Feature::Cei),
    ( 8, Feature::Ibs),
    ( 9, Feature::Skey),
    (10, Feature::Cmma),
    (11, Feature::Pfmfi),
    (12, Feature::Sigpif),
    (13, Feature::Kss),
    (14, Feature::Astfleie2),
];

/// A block of SUBFUNC: whose function codes, where, and the feature that tells whether the instruction is
/// there.
#[derive(Debug)]
struct Block {
    instruction: Instruction,
    offset: usize,
    len: usize,
    needs: Option<Feature>,
}

impl Block {
    const fn at(offset: usize, len: usize, instruction: Instruction, needs: Option<Feature>) -> Block {
        Block { instruction, offset, len, needs }
    }

    fn is_there(&self, features: FeatureSet) -> bool {
        self.needs.is_none_or(|feature| features.contains(feature))
    }

    fn of<'a>(&self, subfunc: &'a [u8; SUBFUNC_LEN]) -> &'a [u8] {
        &subfunc[self.offset..self.offset + self.len]
    }

    fn of_mut<'a>(&self, subfunc: &'a mut [u8; SUBFUNC_LEN]) -> &'a mut [u8] {
        &mut subfunc[self.offset..self.offset + self.len]
    }
}

/// Source: `struct kvm_s390_vm_cpu_subfunc`; QEMU's `query_cpu_subfunc` (`target/s390x/kvm/kvm.c`).
#[rustfmt::skip]
const BLOCKS: [Block; 18] = [
    Block::at(  0, 32, Instruction::Plo,    None),
    Block::at( 32, 16, Instruction::Ptff,   Some(Feature::TodsBase)),
    Block::at( 48, 16, Instruction::Kmac,   Some(Feature::MsaBase)),
    Block::at( 64, 16, Instruction::Kmc,    Some(Feature::MsaBase)),
    Block::at( 80, 16, Instruction::Km,     Some(Feature::MsaBase)),
    Block::at( 96, 16, Instruction::Kimd,   Some(Feature::MsaBase)),
    Block::at(112, 16, Instruction::Klmd,   Some(Feature::MsaBase)),
    Block::at(128, 16, Instruction::Pckmo,  Some(Feature::Msa3Base)),
    Block::at(144, 16, Instruction::Kmctr,  Some(Feature::Msa4Base)),
    Block::at(160, 16, Instruction::Kmf,    Some(Feature::Msa4Base)),
    Block::at(176, 16, Instruction::Kmo,    Some(Feature::Msa4Base)),
    Block::at(192, 16, Instruction::Pcc,    Some(Feature::Msa4Base)),
    Block::at(208, 16, Instruction::Ppno,   Some(Feature::Msa5Base)),
    Block::at(224, 16, Instruction::Kma,    Some(Feature::Msa8Base)),
    Block::at(240, 16, Instruction::Kdsa,   Some(Feature::Msa9Base)),
    Block::at(256, 32, Instruction::Sortl,  Some(Feature::EsortBase)),
    Block::at(288, 32, Instruction::Dfltcc, Some(Feature::DeflateBase)),
    Block::at(320, 16, Instruction::Pfcr,   Some(Feature::CcfBase)),
];

pub(super) fn facilities(list: &[u8]) -> FeatureSet {
    let is_on = |feature: &Feature| match feature.home() {
        Home::Facility(number) => bits::is_on(list, number.into()),
        _ => false,
    };
    Feature::all().filter(is_on).collect()
}

pub(super) fn switch_on_facilities(list: &mut [u8], features: FeatureSet) {
    if features.contains(Feature::Zarch) {
        ALWAYS_ACTIVE.iter().for_each(|number| bits::switch_on(list, *number));
    }
    for feature in features.iter() {
        if let Home::Facility(number) = feature.home() {
            bits::switch_on(list, number.into());
        }
    }
}

pub(super) fn numbered(feat: &[u8; FEAT_LEN]) -> impl Iterator<Item = Feature> {
    NUMBERED.iter().filter(|(number, _)| bits::is_on(feat, *number)).map(|(_, feature)| *feature)
}

pub(super) fn to_numbered(features: FeatureSet) -> [u8; FEAT_LEN] {
    let mut feat = [0; FEAT_LEN];
    for (number, _) in NUMBERED.iter().filter(|(_, feature)| features.contains(*feature)) {
        bits::switch_on(&mut feat, *number);
    }
    feat
}

/// The function codes of the instructions that `unlocked` says are there.
pub(super) fn functions(subfunc: &[u8; SUBFUNC_LEN], unlocked: FeatureSet) -> FeatureSet {
    let is_on = |feature: &Feature| match feature.home() {
        Home::Function(instruction, code) => BLOCKS
            .iter()
            .filter(|block| block.instruction == instruction && block.is_there(unlocked))
            .any(|block| bits::is_on(block.of(subfunc), code.into())),
        _ => false,
    };
    Feature::all().filter(is_on).collect()
}

pub(super) fn to_functions(features: FeatureSet) -> [u8; SUBFUNC_LEN] {
    let mut subfunc = [0; SUBFUNC_LEN];
    for block in BLOCKS.iter().filter(|block| block.is_there(features)) {
        // Function code 0 is the query itself; for PLO it is a function like the others.
        if block.instruction != Instruction::Plo {
            bits::switch_on(block.of_mut(&mut subfunc), 0);
        }
        for feature in features.iter() {
            match feature.home() {
                Home::Function(instruction, code) if instruction == block.instruction => {
                    bits::switch_on(block.of_mut(&mut subfunc), code.into());
                }
                _ => {}
            }
        }
    }
    subfunc
}

pub(super) fn ultravisor(uv_feat: &[u8; UV_FEAT_LEN]) -> impl Iterator<Item = Feature> {
    Feature::all().filter(|feature| match feature.home() {
        Home::Ultravisor(bit) => bits::is_on(uv_feat, bit.into()),
        _ => false,
    })
}

pub(super) fn to_ultravisor(features: FeatureSet) -> [u8; UV_FEAT_LEN] {
    let mut uv_feat = [0; UV_FEAT_LEN];
    for feature in features.iter() {
        if let Home::Ultravisor(bit) = feature.home() {
            bits::switch_on(&mut uv_feat, bit.into());
        }
    }
    uv_feat
}

pub(super) fn u64_at(blob: &[u8], at: usize) -> u64 {
    blob[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

pub(super) fn u32_at(blob: &[u8], at: usize) -> u32 {
    blob[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}
