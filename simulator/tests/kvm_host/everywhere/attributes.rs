//! Attributes of a VM by group, number and bytes.

use super::{Place, Vm};
use adjunct_cpu_model::kvm::{FEAT_LEN, MACHINE_LEN, PROCESSOR_LEN, SUBFUNC_LEN};

const CRYPTO: u32 = 2;
const MODEL: u32 = 3;
const ENABLE_APIE: u64 = 4;
const DISABLE_APIE: u64 = 5;
const PROCESSOR: u64 = 0;
const MACHINE: u64 = 1;
const PROCESSOR_FEAT: u64 = 2;
const MACHINE_FEAT: u64 = 3;
const PROCESSOR_SUBFUNC: u64 = 4;
const MACHINE_SUBFUNC: u64 = 5;
const PROCESSOR_UV_FEAT: u64 = 6;
const MACHINE_UV_FEAT: u64 = 7;
/// Bytes of the attributes of the CPU model by their numbers.
const LENGTHS: [usize; 8] = [PROCESSOR_LEN, MACHINE_LEN, FEAT_LEN, FEAT_LEN, SUBFUNC_LEN, SUBFUNC_LEN, 8, 8];

fn get(vm: &impl Vm, attr: u64) -> Vec<u8> {
    let mut value = vec![0xee; LENGTHS[usize::try_from(attr).expect("small")]];
    vm.attribute(MODEL, attr, &mut value).expect("it is there");
    value
}

/// PROCESSOR with all that the machine has.
fn processor(vm: &impl Vm) -> Vec<u8> {
    let machine = get(vm, MACHINE);
    let mut processor = vec![0; PROCESSOR_LEN];
    processor[..8].copy_from_slice(&machine[..8]);
    processor[16..].copy_from_slice(&machine[16..PROCESSOR_LEN]);
    processor
}

fn facility(list: &[u8], number: usize) -> bool {
    list[number / 8] & 0x80 >> (number % 8) != 0
}

// 181: kvm-s390.c:kvm_s390_vm_has_attr
fn key_wrapping_and_on_a_machine_with_ap_instructions_their_interpretation_are_there(place: &impl Place) {
    for vcpus in [0, 1] {
        let vm = place.vm(vcpus);
        for attr in (0..4).chain([ENABLE_APIE, DISABLE_APIE]) {
            assert_eq!(vm.has_attribute(CRYPTO, attr), Ok(()), "{attr}");
        }
        for attr in [6, 7, u64::MAX] {
            assert_eq!(vm.has_attribute(CRYPTO, attr), Err(libc::ENXIO), "{attr}");
        }
    }
}

fn the_cpu_model_has_eight_attributes(place: &impl Place) {
    let vm = place.vm(0);
    for attr in 0..8 {
        assert_eq!(vm.has_attribute(MODEL, attr), Ok(()), "{attr}");
    }
    assert_eq!([vm.has_attribute(MODEL, 8), vm.has_attribute(9, 0)], [Err(libc::ENXIO); 2]);
}

// 182: kvm-s390.c:kvm_s390_vm_get_attr
fn no_crypto_attribute_can_be_read(place: &impl Place) {
    let vm = place.vm(0);
    for attr in 0..8 {
        assert_eq!(vm.attribute(CRYPTO, attr, &mut [0; 64]), Err(libc::ENXIO), "{attr}");
    }
    assert_eq!(vm.attribute(MODEL, 8, &mut [0; 64]), Err(libc::ENXIO));
}

fn an_attribute_fills_its_own_bytes_and_no_others(place: &impl Place) {
    let vm = place.vm(0);
    for (attr, length) in (0..).zip(LENGTHS) {
        assert_eq!(vm.attribute(MODEL, attr, &mut vec![0; length - 1]), Err(libc::EFAULT), "{attr}");
        let mut value = vec![0xee; length + 1];
        vm.attribute(MODEL, attr, &mut value).expect("there is room");
        assert_eq!(value[length], 0xee, "{attr}");
    }
}

// 185: kvm-s390.c:kvm_s390_vm_set_crypto
fn key_wrapping_needs_facility_76_in_the_guest(place: &impl Place) {
    let mut vm = place.vm(0);
    let mut blob = processor(&vm);
    blob[16 + 76 / 8] &= !(0x80 >> (76 % 8));
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR, &blob), Ok(()));
    for attr in 0..4 {
        assert_eq!(vm.set_attribute(CRYPTO, attr, &[]), Err(libc::EINVAL), "{attr}");
    }
    assert_eq!(vm.set_attribute(CRYPTO, 6, &[]), Err(libc::ENXIO));
}

// 184: kvm-s390.c:kvm_s390_vm_set_crypto
fn ap_interpretation_is_changed_before_and_after_vcpus(place: &impl Place) {
    for vcpus in [0, 3] {
        let mut vm = place.vm(vcpus);
        for attr in [ENABLE_APIE, ENABLE_APIE, DISABLE_APIE, ENABLE_APIE] {
            assert_eq!(vm.set_attribute(CRYPTO, attr, &[]), Ok(()), "{vcpus} vCPUs, {attr}");
        }
    }
}

// 192: kvm-s390.c:kvm_arch_init_vm
fn a_new_vm_has_the_default_model(place: &impl Place) {
    let vm = place.vm(0);
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
    assert_eq!(get(&vm, PROCESSOR_SUBFUNC), get(&vm, MACHINE_SUBFUNC));
    assert_eq!(get(&vm, PROCESSOR_UV_FEAT), [0; 8]);
}

// 193: kvm-s390.c:kvm_s390_set_processor, kvm_s390_set_processor_feat, kvm_s390_set_uv_feat
fn after_vcpus_the_cpu_model_is_ebusy_but_what_is_wrong_with_it_may_come_first(place: &impl Place) {
    let mut vm = place.vm(1);
    let mut set = |attr, value: &[u8]| vm.set_attribute(MODEL, attr, value);
    for (attr, length) in [(PROCESSOR, PROCESSOR_LEN), (PROCESSOR_SUBFUNC, SUBFUNC_LEN)] {
        assert_eq!([set(attr, &vec![0; length]), set(attr, &[])], [Err(libc::EBUSY); 2], "{attr}");
    }
    for (attr, length) in [(PROCESSOR_FEAT, FEAT_LEN), (PROCESSOR_UV_FEAT, 8)] {
        assert_eq!(set(attr, &vec![0; length]), Err(libc::EBUSY), "{attr}");
        assert_eq!(set(attr, &vec![0xff; length]), Err(libc::EINVAL), "{attr}");
        assert_eq!(set(attr, &vec![0; length - 1]), Err(libc::EFAULT), "{attr}");
    }
    for attr in [MACHINE, MACHINE_FEAT, MACHINE_SUBFUNC, MACHINE_UV_FEAT, 8] {
        assert_eq!(set(attr, &[0; MACHINE_LEN]), Err(libc::ENXIO), "{attr}");
    }
}

// 194: kvm-s390.c:kvm_s390_set_processor, test_kvm_facility
fn facilities_that_the_host_lacks_are_taken_and_only_shown(place: &impl Place) {
    let mut vm = place.vm(0);
    let mut blob = processor(&vm);
    blob[16..].fill(0xff);
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR, &blob), Ok(()));
    assert_eq!(get(&vm, PROCESSOR)[16..], [0xff; 2048]);
    // KVM itself goes by its own mask.
    let wrapping = if facility(&get(&vm, MACHINE)[16..], 76) { Ok(()) } else { Err(libc::EINVAL) };
    assert_eq!(vm.set_attribute(CRYPTO, 0, &[]), wrapping);
}

fn the_blocking_control_is_moved_into_the_machines_range(place: &impl Place) {
    let mut vm = place.vm(0);
    let machine = get(&vm, MACHINE);
    let range = u32::from_be_bytes(machine[8..12].try_into().expect("4 bytes"));
    let [lowest, unblocked] =
        [range >> 16 & 0xfff, range & 0xfff].map(|ibc| u16::try_from(ibc).expect("12 bits"));
    let mut now = get(&vm, PROCESSOR)[8..10].to_vec();
    for wanted in [1, 0xfff, lowest + 1, 0] {
        let mut blob = processor(&vm);
        blob[8..10].copy_from_slice(&u16::to_be_bytes(wanted));
        assert_eq!(vm.set_attribute(MODEL, PROCESSOR, &blob), Ok(()));
        if lowest != 0 && wanted != 0 {
            now = wanted.clamp(lowest, unblocked).to_be_bytes().to_vec();
        }
        assert_eq!(get(&vm, PROCESSOR)[8..10], now, "{wanted:#x}");
    }
}

// 196: kvm-s390.c:kvm_s390_get_machine_feat
fn a_feature_is_the_bit_of_its_number_from_the_left(place: &impl Place) {
    let mut vm = place.vm(0);
    let offered = get(&vm, MACHINE_FEAT);
    // KVM knows 15 features, KSS is the 14th.
    for bit in (0..15).chain([15, 64, 1023]) {
        let mut feat = [0; FEAT_LEN];
        feat[bit / 8] = 0x80 >> (bit % 8);
        let answer = if facility(&offered, bit) { Ok(()) } else { Err(libc::EINVAL) };
        assert_eq!(vm.set_attribute(MODEL, PROCESSOR_FEAT, &feat), answer, "{bit}");
        if answer.is_ok() {
            assert_eq!(get(&vm, PROCESSOR_FEAT), feat, "{bit}");
        }
    }
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR_FEAT, &offered), Ok(()));
    assert_eq!(get(&vm, PROCESSOR_FEAT), offered);
}

// 197: kvm-s390.c:kvm_s390_set_cpu_model
fn what_the_machine_is_cannot_be_set(place: &impl Place) {
    let mut vm = place.vm(0);
    for attr in [MACHINE, MACHINE_FEAT, MACHINE_SUBFUNC, MACHINE_UV_FEAT, 8] {
        assert_eq!(vm.set_attribute(MODEL, attr, &[0; MACHINE_LEN]), Err(libc::ENXIO), "{attr}");
    }
}

// 198: kvm-s390.c:kvm_s390_set_uv_feat
fn features_of_the_ultravisor_that_are_not_there_are_einval(place: &impl Place) {
    let mut vm = place.vm(0);
    assert_eq!(get(&vm, MACHINE_UV_FEAT), [0; 8], "there is no ultravisor");
    for bit in 0..64 {
        let feat = (1_u64 << 63 >> bit).to_be_bytes();
        assert_eq!(vm.set_attribute(MODEL, PROCESSOR_UV_FEAT, &feat), Err(libc::EINVAL), "{bit}");
    }
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR_UV_FEAT, &[0; 8]), Ok(()));
    assert_eq!(vm.set_attribute(MODEL, PROCESSOR_UV_FEAT, &[0; 7]), Err(libc::EFAULT));
}

crate::on_every_host! {
    key_wrapping_and_on_a_machine_with_ap_instructions_their_interpretation_are_there
    the_cpu_model_has_eight_attributes
    no_crypto_attribute_can_be_read
    an_attribute_fills_its_own_bytes_and_no_others
    key_wrapping_needs_facility_76_in_the_guest
    ap_interpretation_is_changed_before_and_after_vcpus
    a_new_vm_has_the_default_model
    after_vcpus_the_cpu_model_is_ebusy_but_what_is_wrong_with_it_may_come_first
    facilities_that_the_host_lacks_are_taken_and_only_shown
    the_blocking_control_is_moved_into_the_machines_range
    a_feature_is_the_bit_of_its_number_from_the_left
    what_the_machine_is_cannot_be_set
    features_of_the_ultravisor_that_are_not_there_are_einval
}
