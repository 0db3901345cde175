//! Attributes of a VM by group, number and bytes.
//!
//! The numbers in comments are those of the project's conformance list.

use crate::support::{host, host_of, memory, processor};
use adjunct_cpu_model::kvm::{FEAT_LEN, MACHINE_LEN, PROCESSOR_LEN, SUBFUNC_LEN};
use adjunct_hypervisor::{Hypervisor, ProtoVm};
use adjunct_simulator::{Files, SieBlock, SimHost, SimProtoVm};

const CRYPTO: u32 = 2;
const MODEL: u32 = 3;
const ENABLE_APIE: u64 = 4;
const DISABLE_APIE: u64 = 5;
const PROCESSOR: u64 = 0;
const MACHINE: u64 = 1;
const PROCESSOR_FEAT: u64 = 2;
const PROCESSOR_SUBFUNC: u64 = 4;
const PROCESSOR_UV_FEAT: u64 = 6;
/// Bytes of the attributes of the CPU model by their numbers.
const LENGTHS: [usize; 8] = [PROCESSOR_LEN, MACHINE_LEN, FEAT_LEN, FEAT_LEN, SUBFUNC_LEN, SUBFUNC_LEN, 8, 8];

fn proto(host: &SimHost) -> SimProtoVm {
    let mut proto = SimProtoVm::create(host).expect("KVM makes VMs");
    proto.set_memory(&memory()).expect("1M is memory");
    proto
}

fn get(vm: &SimProtoVm, attr: u64) -> Vec<u8> {
    let mut value = vec![0xee; LENGTHS[usize::try_from(attr).expect("small")]];
    vm.attribute(MODEL, attr, &mut value).expect("it is there");
    value
}

fn facility(list: &[u8], number: usize) -> bool {
    list[number / 8] & 0x80 >> (number % 8) != 0
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
fn the_cpu_model_has_eight_attributes() {
    let vm = proto(&host());
    for attr in 0..8 {
        assert_eq!(vm.has_attribute(MODEL, attr), Ok(()));
    }
    assert_eq!([vm.has_attribute(MODEL, 8), vm.has_attribute(9, 0)], [Err(libc::ENXIO); 2]);
}

// 182: kvm-s390.c:kvm_s390_vm_get_attr
#[test]
fn no_crypto_attribute_can_be_read() {
    let vm = proto(&host());
    for attr in 0..8 {
        assert_eq!(vm.attribute(CRYPTO, attr, &mut [0; 64]), Err(libc::ENXIO), "{attr}");
    }
    assert_eq!(vm.attribute(MODEL, 8, &mut [0; 64]), Err(libc::ENXIO));
}

#[test]
fn an_attribute_fills_its_own_bytes_and_no_others() {
    let vm = proto(&host());
    for (attr, length) in (0..).zip(LENGTHS) {
        assert_eq!(vm.attribute(MODEL, attr, &mut vec![0; length - 1]), Err(libc::EFAULT), "{attr}");
        let mut value = vec![0xee; length + 1];
        vm.attribute(MODEL, attr, &mut value).expect("there is room");
        assert_eq!(value[length], 0xee, "{attr}");
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

// 192: kvm-s390.c:kvm_arch_init_vm
#[test]
fn a_new_vm_has_the_default_model() {
    let host = host();
    let vm = proto(&host);
    let (guest, machine) = (get(&vm, PROCESSOR), get(&vm, MACHINE));
    for number in [12, 15, 65] {
        assert!(facility(&machine[16..], number), "the machine has {number}");
        assert!(!facility(&guest[16..], number), "a guest has not {number}");
    }
    for number in 0..2048 {
        let given = facility(&guest[16..], number);
        assert_eq!(given, facility(&machine[16..], number) && ![12, 15, 65].contains(&number), "{number}");
    }
    assert_eq!(guest[0], 0xff, "the version says that it is a guest");
    assert_eq!(guest[1..8], machine[1..8]);
    assert_eq!(guest[8..10], machine[10..12], "the unblocked instructions");
    assert_eq!(get(&vm, PROCESSOR_FEAT), [0; FEAT_LEN], "none until they are asked for");
    assert_eq!(get(&vm, PROCESSOR_SUBFUNC), get(&vm, 5));
    assert_eq!(get(&vm, PROCESSOR_UV_FEAT), [0; 8]);
}

// 193: kvm-s390.c:kvm_s390_set_processor, kvm_s390_set_processor_feat, kvm_s390_set_uv_feat
#[test]
fn after_vcpus_the_cpu_model_is_ebusy_but_what_is_wrong_with_it_may_come_first() {
    let host = host();
    let (vm, _vcpus) = proto(&host).build(1).expect("a vCPU");
    let set = |attr, value: &[u8]| vm.set_attribute(MODEL, attr, value);
    for (attr, length) in [(PROCESSOR, PROCESSOR_LEN), (PROCESSOR_SUBFUNC, SUBFUNC_LEN)] {
        assert_eq!([set(attr, &vec![0; length]), set(attr, &[])], [Err(libc::EBUSY); 2], "{attr}");
    }
    for (attr, length) in [(PROCESSOR_FEAT, FEAT_LEN), (PROCESSOR_UV_FEAT, 8)] {
        assert_eq!(set(attr, &vec![0; length]), Err(libc::EBUSY));
        assert_eq!(set(attr, &vec![0xff; length]), Err(libc::EINVAL));
        assert_eq!(set(attr, &vec![0; length - 1]), Err(libc::EFAULT));
    }
    for attr in [MACHINE, 3, 5, 7, 8] {
        assert_eq!(set(attr, &[0; MACHINE_LEN]), Err(libc::ENXIO));
    }
}

// 194: kvm-s390.c:kvm_s390_set_processor, test_kvm_facility
#[test]
fn facilities_that_the_host_lacks_are_taken_and_only_shown() {
    let host = host();
    let mut vm = proto(&host);
    let mut blob = processor(&host, &[]);
    blob[16..].fill(0xff);
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR, &blob), Ok(()));
    assert_eq!(get(&vm, PROCESSOR)[16..], [0xff; 2048]);
    // KVM itself goes by its own mask: facility 76 is not in it.
    assert_eq!(vm.set_attribute(CRYPTO, 0, &[]), Err(libc::EINVAL));
}

#[test]
fn the_blocking_control_is_moved_into_the_machines_range() {
    let host = host();
    let mut vm = proto(&host);
    let machine = get(&vm, MACHINE);
    let range = u32::from_be_bytes(machine[8..12].try_into().expect("4 bytes"));
    let [lowest, unblocked] =
        [range >> 16 & 0xfff, range & 0xfff].map(|ibc| u16::try_from(ibc).expect("12 bits"));
    let mut now = get(&vm, PROCESSOR)[8..10].to_vec();
    for wanted in [1, 0xfff, lowest + 1, 0] {
        let mut blob = processor(&host, &[]);
        blob[8..10].copy_from_slice(&u16::to_be_bytes(wanted));
        assert_eq!(vm.set_attribute(MODEL, PROCESSOR, &blob), Ok(()));
        if lowest != 0 && wanted != 0 {
            now = wanted.clamp(lowest, unblocked).to_be_bytes().to_vec();
        }
        assert_eq!(get(&vm, PROCESSOR)[8..10], now, "{wanted:#x}");
    }
}

// 196: kvm-s390.c:kvm_s390_get_machine_feat
#[test]
fn a_feature_is_the_bit_of_its_number_from_the_left() {
    use adjunct_cpu_model::{Feature, FeatureSet, HostCpu, kvm::MachineAttributes};
    let host = host();
    // KSS is 13: bit 0x04 of byte 1.
    let cpu = HostCpu::new(host.machine_model(), FeatureSet::of(&[Feature::Kss]));
    let feat = MachineAttributes::encode(&cpu).feat;
    assert_eq!(feat.iter().position(|byte| *byte != 0), Some(1));
    assert_eq!(feat[1], 0x04);
    let mut vm = proto(&host);
    let mut kss = [0; FEAT_LEN];
    kss[1] = 0x04;
    let offered = get(&vm, 3);
    let answer = if offered[1] & 0x04 != 0 { Ok(()) } else { Err(libc::EINVAL) };
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR_FEAT, &kss), answer);
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR_FEAT, &offered), Ok(()));
    assert_eq!(get(&vm, PROCESSOR_FEAT), offered);
}

// 197: kvm-s390.c:kvm_s390_set_cpu_model
#[test]
fn what_the_machine_is_cannot_be_set() {
    let mut vm = proto(&host());
    for attr in [MACHINE, 3, 5, 7, 8] {
        assert_eq!(vm.set_attribute(MODEL, attr, &[0; MACHINE_LEN]), Err(libc::ENXIO), "{attr}");
    }
}

// 198: kvm-s390.c:kvm_s390_set_uv_feat
#[test]
fn features_of_the_ultravisor_that_are_not_there_are_einval() {
    let mut vm = proto(&host());
    let offered = get(&vm, 7);
    assert_eq!(offered, [0; 8], "there is no ultravisor");
    for bit in 0..64 {
        let feat = (1_u64 << 63 >> bit).to_be_bytes();
        assert_eq!(vm.set_attribute(MODEL, PROCESSOR_UV_FEAT, &feat), Err(libc::EINVAL), "{bit}");
    }
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR_UV_FEAT, &[0; 8]), Ok(()));
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR_UV_FEAT, &[0; 7]), Err(libc::EFAULT));
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
