//! What every host promises, put to every host there is.
//!
//! A promise is a function over a [`Place`]. On the simulated host it runs everywhere; on KVM it runs in the lab and
//! on real hosts, where a guest can be given AP queues.

use adjunct_cpu_model::kvm::ProcessorAttributes;
use adjunct_hypervisor::{
    ApDevice, ApDeviceInfo, ApIrq, CryptoAttribute, EventFd, Exit, GuestMemory, Hypervisor, MemorySize,
    ModelAttribute, ProtoVm, RunState, allocate, apply_cpu_model,
};
use std::path::{Path, PathBuf};

/// A host, and two mediated devices that nobody has open.
struct Place<'a> {
    host: &'a dyn Hypervisor,
    mdev: [PathBuf; 2],
}

macro_rules! promises {
    ($($promise:ident)*) => {
        mod simulator {
            $(#[test] fn $promise() {
                let host = adjunct::host::builtin().expect("the built-in host is right");
                let mdev = [crate::command::MDEV[0], crate::command::MDEV[1]].map(Into::into);
                super::$promise(&super::Place { host: &host, mdev });
                assert_eq!(host.acts().held(), Vec::<String>::new(), "something is still held");
            })*
        }

        mod shared {
            $(#[test] fn $promise() {
                let shared = crate::share::Shared::new();
                let mdev = [crate::command::MDEV[0], crate::command::MDEV[1]].map(Into::into);
                super::$promise(&super::Place { host: &shared.connect(), mdev });
                assert_eq!(shared.host.acts().held(), Vec::<String>::new(), "something is still held");
            })*
        }

        #[cfg(target_arch = "s390x")]
        mod real_host {
            $(#[test]
            #[ignore = "needs /dev/kvm, ADJUNCT_MDEV and ADJUNCT_SECOND_MDEV; the lab runs it"]
            fn $promise() {
                let host = crate::real_host::kvm();
                let mdev = [crate::real_host::mdev(), crate::real_host::second_mdev()];
                super::$promise(&super::Place { host: &host, mdev });
            })*
        }
    };
}

promises! {
    all_that_the_machine_offers_can_be_given_to_a_guest
    ap_interpretation_is_offered_by_attribute_and_capability_alike
    a_feature_the_machine_lacks_is_refused_with_einval
    key_wrapping_without_facility_76_is_refused_with_einval
    a_stopped_vcpu_does_not_run
    a_kick_before_the_run_is_not_lost
    an_mdev_can_be_open_once
    a_vm_can_have_one_vfio_ap_device
    a_path_without_an_mdev_is_refused
    the_device_is_an_ap_device_that_can_be_reset
    interrupts_can_be_registered_and_taken_back
    after_the_device_is_closed_another_vm_can_open_it
    a_guest_without_ap_interpretation_leaves_at_pqap
}

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;

fn memory() -> GuestMemory {
    allocate(MemorySize::MEBIBYTE).expect("1 MiB can be had")
}

fn vm_with_memory(host: &dyn Hypervisor) -> Box<dyn ProtoVm> {
    let mut vm = host.create_vm().expect("a VM");
    vm.set_memory(&memory()).expect("memory");
    vm
}

fn all_of(host: &dyn Hypervisor) -> ProcessorAttributes {
    let capabilities = host.capabilities().expect("the host knows");
    let cpu = host.machine().expect("the host knows").decode(&capabilities).expect("a model of ours");
    ProcessorAttributes::encode(
        &"host".parse::<adjunct_cpu_model::CpuSpec>().expect("host").resolve(&cpu).expect("fits").cpu,
    )
}

fn all_that_the_machine_offers_can_be_given_to_a_guest(place: &Place<'_>) {
    let host = place.host;
    let mut vm = vm_with_memory(host);
    apply_cpu_model(&mut *vm, &all_of(host)).expect("all of it");
    assert_eq!(vm.create_vcpus(2).expect("two vCPUs").vcpus.len(), 2);
}

// 181: kvm-s390.c:kvm_s390_vm_has_attr
fn ap_interpretation_is_offered_by_attribute_and_capability_alike(place: &Place<'_>) {
    let host = place.host;
    let vm = vm_with_memory(host);
    let offered = host.capabilities().expect("the host knows").apie;
    assert_eq!(vm.has_crypto(CryptoAttribute::EnableApie), offered);
    assert_eq!(vm.has_crypto(CryptoAttribute::DisableApie), offered);
    assert!(vm.has_crypto(CryptoAttribute::EnableAesKw));
}

fn a_feature_the_machine_lacks_is_refused_with_einval(place: &Place<'_>) {
    let host = place.host;
    let have = host.machine().expect("the host knows").feat;
    let mut more = have;
    let byte = more.iter().position(|byte| *byte != 0xff).expect("no machine has all 1,024 features");
    more[byte] = 0xff;
    let mut vm = vm_with_memory(host);
    let refused = vm.set_model(ModelAttribute::ProcessorFeat(&more)).expect_err("one too many");
    assert_eq!(refused.errno.errno(), EINVAL);
    vm.set_model(ModelAttribute::ProcessorFeat(&have)).expect("what it has");
}

// 185: kvm-s390.c:kvm_s390_vm_set_crypto
fn key_wrapping_without_facility_76_is_refused_with_einval(place: &Place<'_>) {
    let host = place.host;
    let mut attributes = all_of(host);
    // Facility 76 is bit 4 of byte 9 of the list, which begins at byte 16.
    attributes.processor[16 + 9] &= !0x08;
    let mut vm = vm_with_memory(host);
    apply_cpu_model(&mut *vm, &attributes).expect("less than all");
    let refused = vm.set_crypto(CryptoAttribute::EnableAesKw).expect_err("no facility 76");
    assert_eq!(refused.errno.errno(), EINVAL);
}

fn a_stopped_vcpu_does_not_run(place: &Place<'_>) {
    let host = place.host;
    let mut built = vm_with_memory(host).create_vcpus(1).expect("a vCPU");
    built.vcpus[0].set_run_state(RunState::Stopped).expect("it is");
    assert_eq!(built.vcpus[0].run().expect_err("stopped").errno.errno(), EINVAL);
}

fn a_kick_before_the_run_is_not_lost(place: &Place<'_>) {
    let host = place.host;
    let memory = memory();
    let mut vm = host.create_vm().expect("a VM");
    vm.set_memory(&memory).expect("memory");
    let mut vcpu = vm.create_vcpus(1).expect("a vCPU").vcpus.remove(0);
    // j . (a7f4 0000): for ever
    vm_memory::Bytes::write_slice(&memory, &[0xa7, 0xf4, 0, 0], vm_memory::GuestAddress(0x1000))
        .expect("inside");
    vcpu.state_mut().psw =
        adjunct_hypervisor::Psw { mask: adjunct_hypervisor::Psw::MASK_64BIT, address: 0x1000 };
    vcpu.set_run_state(RunState::Operating).expect("it can");
    vcpu.kicker().kick();
    assert_eq!(vcpu.run().expect("runs"), Exit::Interrupted);
}

// 141: drivers/vfio/group.c:vfio_group_fops_open
fn an_mdev_can_be_open_once(place: &Place<'_>) {
    let host = place.host;
    let (first, second) = (vm_with_memory(host), vm_with_memory(host));
    let (first, second) = (first.create_vcpus(1).expect("built"), second.create_vcpus(1).expect("built"));
    let _open = first.vm.open_ap(place.mdev[0].as_path().into()).expect("it is free");
    assert_eq!(
        second.vm.open_ap(place.mdev[0].as_path().into()).expect_err("it is open").errno.errno(),
        EBUSY
    );
}

// 138: vfio_ap_ops.c:vfio_ap_mdev_set_kvm
fn a_vm_can_have_one_vfio_ap_device(place: &Place<'_>) {
    let host = place.host;
    let built = vm_with_memory(host).create_vcpus(1).expect("built");
    let first = built.vm.open_ap(place.mdev[0].as_path().into()).expect("it is free");
    assert_eq!(built.vm.open_ap(place.mdev[1].as_path().into()).expect_err("a second").errno.errno(), EPERM);
    first.reset().expect("the first is as it was");
}

fn a_path_without_an_mdev_is_refused(place: &Place<'_>) {
    let host = place.host;
    let built = vm_with_memory(host).create_vcpus(1).expect("built");
    let nothing = "/sys/devices/vfio_ap/matrix/00000000-0000-0000-0000-000000000000";
    assert_eq!(built.vm.open_ap(Path::new(nothing).into()).expect_err("there is none").errno.errno(), ENOENT);
}

// 140: vfio_ap_ops.c:vfio_ap_mdev_set_kvm
fn the_device_is_an_ap_device_that_can_be_reset(place: &Place<'_>) {
    let host = place.host;
    let built = vm_with_memory(host).create_vcpus(1).expect("built");
    let device = built.vm.open_ap(place.mdev[0].as_path().into()).expect("it is free");
    let info = device.info().expect("it knows");
    assert_eq!(info.flags, ApDeviceInfo::FLAG_AP | ApDeviceInfo::FLAG_RESET);
    assert_eq!(info.num_regions, 0);
    device.reset().expect("all queues are fine");
}

fn interrupts_can_be_registered_and_taken_back(place: &Place<'_>) {
    let host = place.host;
    let built = vm_with_memory(host).create_vcpus(1).expect("built");
    let device = built.vm.open_ap(place.mdev[0].as_path().into()).expect("it is free");
    register_each_interrupt(&*device);
}

/// Each interrupt that the device has is described, registered and taken back; any other is refused.
pub(crate) fn register_each_interrupt(device: &dyn ApDevice) {
    let event = EventFd::new(0).expect("an eventfd");
    let offered = device.info().expect("it knows").num_irqs;
    for irq in [ApIrq::ReleaseRequest, ApIrq::ConfigChanged] {
        if irq.index() < offered {
            assert_eq!(device.irq_info(irq).map(|info| (info.flags, info.count)), Ok((1, 1)));
            device.set_irq(irq, Some(&event)).expect("offered");
            device.set_irq(irq, None).expect("taken back");
        } else {
            assert_eq!(device.irq_info(irq).expect_err("not offered").errno.errno(), EINVAL);
            assert_eq!(device.set_irq(irq, Some(&event)).expect_err("not offered").errno.errno(), EINVAL);
        }
    }
}

fn after_the_device_is_closed_another_vm_can_open_it(place: &Place<'_>) {
    let host = place.host;
    let built = vm_with_memory(host).create_vcpus(1).expect("built");
    drop(built.vm.open_ap(place.mdev[0].as_path().into()).expect("it is free"));
    drop(built);
    let built = vm_with_memory(host).create_vcpus(1).expect("built");
    built.vm.open_ap(place.mdev[0].as_path().into()).expect("it is free again");
}

// 178: priv.c:handle_pqap
fn a_guest_without_ap_interpretation_leaves_at_pqap(place: &Place<'_>) {
    let host = place.host;
    let memory = memory();
    let mut vm = host.create_vm().expect("a VM");
    vm.set_memory(&memory).expect("memory");
    let mut built = vm.create_vcpus(1).expect("a vCPU");
    // The device alone does not make KVM interpret AP instructions: ECA.28 does.
    let _device = built.vm.open_ap(place.mdev[0].as_path().into()).expect("it is free");
    vm_memory::Bytes::write_slice(&memory, &[0xb2, 0xaf, 0, 0], vm_memory::GuestAddress(0x1000))
        .expect("inside");
    let vcpu = &mut built.vcpus[0];
    vcpu.state_mut().psw =
        adjunct_hypervisor::Psw { mask: adjunct_hypervisor::Psw::MASK_64BIT, address: 0x1000 };
    vcpu.set_run_state(RunState::Operating).expect("it can");
    assert_eq!(vcpu.run().expect("runs"), Exit::Sieic { icptcode: 4, ipa: 0xb2af, ipb: 0 });
    assert_eq!(vcpu.state().psw.address, 0x1004);
}
