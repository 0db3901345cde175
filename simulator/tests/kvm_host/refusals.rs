//! Requests that KVM refuses, with its errno.

use crate::support::{Builder, host, host_of, host_with, mdev, memory};
use adjunct_cpu_model::Feature;
use adjunct_cpu_model::kvm::Capabilities;
use adjunct_hypervisor::{
    ApDevice, ApIrq, CryptoAttribute, GuestMemory, GuestRegion, Hypervisor, KernelError, ModelAttribute,
    ProtoVm, Tod, Vcpu, Vm,
};
use adjunct_simulator::SimProtoVm;
use std::fmt::Debug;
use std::path::Path;
use vm_memory::GuestAddress;

fn errno<T: Debug>(result: Result<T, KernelError>) -> i32 {
    result.expect_err("it is refused").errno.errno()
}

fn proto(host: &adjunct_simulator::SimHost) -> SimProtoVm {
    SimProtoVm::create(host).expect("KVM makes VMs")
}

#[test]
fn key_wrapping_is_einval_without_facility_76_in_the_guest() {
    let host = host();
    let mut vm = proto(&host);
    // The interpreter has no PCKMO, so the host offers no facility 76; asking for it does not help.
    vm.set_model(ModelAttribute::Processor(&[0xff; 2064])).expect("any list is taken");
    for attribute in [
        CryptoAttribute::EnableAesKw,
        CryptoAttribute::EnableDeaKw,
        CryptoAttribute::DisableAesKw,
        CryptoAttribute::DisableDeaKw,
    ] {
        assert!(vm.has_crypto(attribute), "{attribute:?} exists on every host");
        assert_eq!(errno(vm.set_crypto(attribute)), libc::EINVAL, "{attribute:?}");
    }
}

#[test]
fn ap_interpretation_is_eopnotsupp_without_ap_instructions() {
    let host = host_of("machine = \"z900\"\n");
    assert!(!host.capabilities().expect("an answer").apie);
    let mut vm = proto(&host);
    for attribute in [CryptoAttribute::EnableApie, CryptoAttribute::DisableApie] {
        assert!(!vm.has_crypto(attribute));
        assert_eq!(errno(vm.set_crypto(attribute)), libc::EOPNOTSUPP);
    }
}

#[test]
fn a_clock_that_is_set_goes_on_from_there_and_has_one_epoch() {
    let guest = Builder::new(&host(), &[]).build(1);
    let set = |epoch_index, clock| guest.vm.set_tod(Tod { epoch_index, clock });
    set(0, 0x1234 << 48).expect("KVM takes it");
    assert_eq!(errno(set(1, 0)), libc::EINVAL);
    let Tod { epoch_index, clock } = guest.vm.tod().expect("KVM has it");
    assert_eq!(epoch_index, 0);
    assert!((0x1234 << 48..(0x1234 << 48) + 4096).contains(&clock), "{clock:#x}");
}

#[test]
fn a_host_without_cards_has_ap_instructions() {
    let host = host_of("machine = \"z14\"\n");
    assert!(host.capabilities().expect("an answer").apie);
    let mut vm = proto(&host);
    assert!(vm.has_crypto(CryptoAttribute::EnableApie));
    vm.set_crypto(CryptoAttribute::EnableApie).expect("AP instructions are there");
}

#[test]
fn ap_interpretation_may_be_switched_when_vcpus_exist() {
    let guest = Builder::new(&host(), &[]).build(2);
    guest.vm.set_crypto(CryptoAttribute::DisableApie).expect("never EBUSY");
    guest.vm.set_crypto(CryptoAttribute::EnableApie).expect("never EBUSY");
    let sie = guest.vm.sie_block(1).expect("two vCPUs");
    assert!(sie.interprets_ap());
    assert_eq!(guest.vm.sie_block(2), None);
}

#[test]
fn what_the_machine_lacks_is_refused_as_the_kernel_does() {
    let host = host();
    let mut vm = proto(&host);
    let mut feat = [0; 128];
    feat[0] = 0x80;
    assert_eq!(errno(vm.set_model(ModelAttribute::ProcessorFeat(&feat))), libc::EINVAL);
    let uv = 0x0800_0000_0000_0000_u64.to_be_bytes();
    assert_eq!(errno(vm.set_model(ModelAttribute::ProcessorUvFeatGuest(&uv))), libc::EINVAL);
    assert_eq!(errno(vm.set_model(ModelAttribute::EnableCmma)), libc::ENXIO);
    assert_eq!(host.acts().held(), ["VM"]);
}

#[test]
fn more_vcpus_than_slots_are_einval_and_nothing_stays() {
    let host = host();
    let limit = host.limits().expect("an answer").vcpus;
    let error = proto(&host).build(limit + 1).expect_err("one too many");
    assert_eq!((error.request, error.errno.errno()), ("KVM_CREATE_VCPU", libc::EINVAL));
    assert_eq!(error.target, format!("vCPU {limit}"));
    assert_eq!(host.acts().held(), [""; 0]);
    proto(&host).build(limit).expect("as many as there are slots");
}

fn memory_at(start: u64, len: usize) -> GuestMemory {
    let region = GuestRegion::new(GuestAddress(start), len).expect("memory can be had");
    GuestMemory::from_regions(vec![region]).expect("one region")
}

#[test]
fn memory_that_is_no_multiple_of_a_mebibyte_is_refused_by_old_kernels_only() {
    let odd = memory_at(0, 0x18_1000);
    for (kernel, accepted) in [("6.12", false), ("6.17", false), ("7.0", false), ("7.2", true)] {
        let host = host_with(&[("\"7.2\"", &format!("{kernel:?}"))]);
        let answer = proto(&host).set_memory(&odd);
        assert_eq!(answer.is_ok(), accepted, "{kernel}");
        assert!(answer.is_ok() || errno(answer) == libc::EINVAL);
    }
}

#[test]
fn a_memory_slot_is_set_once() {
    let host = host();
    let mut vm = proto(&host);
    vm.set_memory(&memory()).expect("the first");
    assert_eq!(errno(vm.set_memory(&memory())), libc::EINVAL);
    let elsewhere = memory_at(1 << 20, 1 << 20);
    assert_eq!(errno(proto(&host).set_memory(&elsewhere)), libc::EINVAL);
}

#[test]
fn a_stopped_vcpu_and_one_without_memory_do_not_run() {
    let host = host();
    let mut guest = Builder::new(&host, &[]).build(2);
    assert_eq!(errno(guest.vcpus[1].run()), libc::EINVAL);
    let (_vm, mut vcpus) = proto(&host).build(1).expect("memory is no condition");
    vcpus[0].set_run_state(adjunct_hypervisor::RunState::Operating).expect("a start");
    assert_eq!(errno(vcpus[0].run()), libc::EFAULT);
}

#[test]
fn a_vm_has_one_mdev_and_an_mdev_one_vm() {
    let host = host();
    let first = crate::support::Guest::with_mdev(&host);
    assert_eq!(errno(first.vm.open_ap(mdev(2).into())), libc::EPERM);
    let second = Builder::new(&host, &[]).build(1);
    assert_eq!(errno(second.vm.open_ap(mdev(1).into())), libc::EBUSY);
    // Neither refusal took anything.
    second.vm.open_ap(mdev(2).into()).expect("it is free");
    drop(first);
    second.vm.open_ap(mdev(1).into()).expect("it was given back");
}

#[test]
fn an_mdev_that_does_not_exist_is_not_opened() {
    let host = host();
    let guest = Builder::new(&host, &[]).build(1);
    let before = host.acts().len();
    assert_eq!(errno(guest.vm.open_ap(mdev(9).into())), libc::ENOENT);
    assert_eq!(errno(guest.vm.open_ap(Path::new("/sys/devices/vfio_ap/matrix").into())), libc::ENODEV);
    assert_eq!(host.acts().len(), before, "looking is no act");
}

#[test]
fn every_spelling_of_an_mdevs_path_opens_it() {
    let host = host();
    let guest = Builder::new(&host, &[]).build(1);
    let name = crate::support::uuid(1);
    for dir in [
        "/sys/devices/vfio_ap/matrix",
        "/sys/bus/mdev/devices",
        "/sys/class/mdev_bus/matrix",
        "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/devices",
    ] {
        guest.vm.open_ap(Path::new(dir).join(&name).into()).expect(dir);
    }
}

#[test]
fn old_kernels_have_one_interrupt_of_the_device() {
    let host = host_with(&[("\"7.2\"", "\"6.12\"")]);
    let (vm, _vcpus) = proto(&host).build(1).expect("a VM");
    let device = vm.open_ap(mdev(1).into()).expect("the mdev is free");
    assert_eq!(device.info().expect("an answer").num_irqs, 1);
    assert_eq!(errno(device.irq_info(ApIrq::ConfigChanged)), libc::EINVAL);
    let before = host.acts().len();
    assert_eq!(errno(device.set_irq(ApIrq::ConfigChanged, None)), libc::EINVAL);
    assert_eq!(host.acts().len(), before, "a refused request is no act");
}

#[test]
fn no_facility_is_offered_that_the_interpreter_lacks() {
    let host = host();
    let machine = host.machine().expect("an answer");
    let capabilities: Capabilities = host.capabilities().expect("an answer");
    let cpu = machine.decode(&capabilities).expect("z16 is known");
    let executed = adjunct_zarch::IMPLEMENTED_FACILITIES;
    for number in 0..2048_u16 {
        let offered = machine.machine[16 + usize::from(number / 8)] & 0x80 >> (number % 8) != 0;
        // z/Architecture mode, and the AP facilities, which the adapters have.
        let known = matches!(number, 2 | 12 | 15 | 65 | 138) || executed.contains(&number);
        assert!(known || !offered, "facility {number}");
    }
    for feature in [Feature::Ap, Feature::Apqci, Feature::Apft, Feature::Apqi] {
        assert!(cpu.features.contains(feature), "{feature:?}");
    }
    for feature in [Feature::Sief2, Feature::Cmm, Feature::Unpack, Feature::MsaBase, Feature::Msa3Base] {
        assert!(!cpu.features.contains(feature), "{feature:?}");
    }
}
