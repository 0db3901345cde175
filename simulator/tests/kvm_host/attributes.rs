//! Attributes of a VM by group, number and bytes, as far as they are seen on the simulated host only.
//!
//! The numbers in comments are those of the project's conformance list.

use crate::support::{host, host_of, memory};
use adjunct_cpu_model::{
    Feature, FeatureSet, HostCpu,
    kvm::{MACHINE_LEN, MachineAttributes},
};
use adjunct_hypervisor::{Hypervisor, ProtoVm};
use adjunct_simulator::{SieBlock, SimHost, SimProtoVm, vfio::Files};

const CRYPTO: u32 = 2;
const MODEL: u32 = 3;
const ENABLE_APIE: u64 = 4;
const DISABLE_APIE: u64 = 5;
const PROCESSOR: u64 = 0;
const MACHINE: u64 = 1;

fn proto(host: &SimHost) -> SimProtoVm {
    let mut proto = SimProtoVm::create(host).expect("KVM makes VMs");
    proto.set_memory(&memory()).expect("1M is memory");
    proto
}

// 181: kvm-s390.c:kvm_s390_vm_has_attr
#[test]
fn key_wrapping_is_always_there_and_ap_interpretation_with_ap_instructions() {
    for (text, apie) in [("machine = \"z14\"\n", Ok(())), ("machine = \"z900\"\n", Err(libc::ENXIO))] {
        let host = host_of(text);
        let vm = proto(&host);
        let (frozen, _) = proto(&host).build(1).expect("a vCPU");
        for attr in 0..4 {
            assert_eq!(vm.has_attribute(CRYPTO, attr), Ok(()), "{text} {attr}");
        }
        for attr in [ENABLE_APIE, DISABLE_APIE] {
            assert_eq!(vm.has_attribute(CRYPTO, attr), apie, "{text} {attr}");
            assert_eq!(frozen.has_attribute(CRYPTO, attr), apie, "{text} {attr}");
        }
        for attr in [6, 7, u64::MAX] {
            assert_eq!(vm.has_attribute(CRYPTO, attr), Err(libc::ENXIO));
        }
    }
}

#[test]
fn crypto_attributes_are_refused_in_the_kernels_order() {
    let host = host();
    let mut vm = proto(&host);
    assert_eq!(vm.set_attribute(CRYPTO, 6, &[]), Err(libc::ENXIO));
    for attr in 0..4 {
        // 185: kvm-s390.c:kvm_s390_vm_set_crypto: no facility 76.
        assert_eq!(vm.set_attribute(CRYPTO, attr, &[]), Err(libc::EINVAL), "{attr}");
    }
    assert_eq!(vm.set_attribute(CRYPTO, ENABLE_APIE, &[]), Ok(()));
    let mut none = proto(&host_of("machine = \"z900\"\n"));
    assert_eq!(none.set_attribute(CRYPTO, ENABLE_APIE, &[]), Err(libc::EOPNOTSUPP));
    assert_eq!(none.set_attribute(CRYPTO, DISABLE_APIE, &[]), Err(libc::EOPNOTSUPP));
    assert_eq!(none.set_attribute(CRYPTO, 6, &[]), Err(libc::ENXIO));
}

// 184: kvm-s390.c:kvm_s390_vcpu_crypto_reset_all
#[test]
fn ap_interpretation_reaches_vcpus_that_exist() {
    let (vm, vcpus) = proto(&host()).build(3).expect("three vCPUs");
    let apie = |id| vm.sie_block(id).expect("it is there").eca & SieBlock::ECA_APIE;
    assert!((0..3).all(|id| apie(id) == 0));
    assert_eq!(vm.set_attribute(CRYPTO, ENABLE_APIE, &[]), Ok(()));
    assert!((0..3).all(|id| apie(id) == 0x8));
    drop(vcpus);
}

// 196: kvm-s390.c:kvm_s390_get_machine_feat
#[test]
fn a_feature_is_the_bit_of_its_number_from_the_left() {
    let host = host();
    // KSS is 13: bit 0x04 of byte 1.
    let cpu = HostCpu::new(host.machine_model(), FeatureSet::of(&[Feature::Kss]));
    let feat = MachineAttributes::encode(&cpu).feat;
    assert_eq!(feat.iter().position(|byte| *byte != 0), Some(1));
    assert_eq!(feat[1], 0x04);
}

#[test]
fn a_descriptor_of_a_vm_has_the_same_attributes() {
    const SET: u32 = 0x4018_aee1;
    const GET: u32 = 0x4018_aee2;
    const HAS: u32 = 0x4018_aee3;
    let host = host();
    let (vm, _vcpus) = proto(&host).build(1).expect("a vCPU");
    let files = Files::new(&host);
    let fd = files.vm(&vm);
    let argument = |group: u32, attr: u64, room: usize| {
        let head = [0_u32.to_ne_bytes(), group.to_ne_bytes()].concat();
        [head, attr.to_ne_bytes().to_vec(), 24_u64.to_ne_bytes().to_vec(), vec![0; room]].concat()
    };
    assert_eq!(files.ioctl(fd, HAS, &mut argument(CRYPTO, ENABLE_APIE, 0)), Ok(0));
    assert_eq!(files.ioctl(fd, HAS, &mut argument(CRYPTO, 6, 0)), Err(libc::ENXIO));
    assert_eq!(files.ioctl(fd, SET, &mut argument(CRYPTO, ENABLE_APIE, 0)), Ok(0));
    assert!(vm.sie_block(0).expect("a vCPU").interprets_ap());
    let mut machine = argument(MODEL, MACHINE, MACHINE_LEN);
    assert_eq!(files.ioctl(fd, GET, &mut machine), Ok(0));
    assert_eq!(machine[24..], host.machine().expect("it knows itself").machine);
    assert_eq!(files.ioctl(fd, GET, &mut argument(MODEL, MACHINE, 9)), Err(libc::EFAULT));
    assert_eq!(files.ioctl(fd, GET, &mut argument(CRYPTO, 0, 0)), Err(libc::ENXIO));
    assert_eq!(files.ioctl(fd, SET, &mut argument(MODEL, PROCESSOR, 0)), Err(libc::EBUSY));
    assert_eq!(files.ioctl(fd, SET, &mut argument(MODEL, PROCESSOR, 0)[..20]), Err(libc::EFAULT));
    assert_eq!(files.ioctl(fd, 0xae01, &mut []), Err(libc::ENOTTY));
}
