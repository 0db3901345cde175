//! What is done to the host, in which order, and that every act may be refused.

use crate::support::{host, mdev, memory, processor, uuid};
use adjunct_hypervisor::{
    ApIrq, Built, CpuReset, CryptoAttribute, EventFd, Floating, Hypervisor, ModelAttribute, Result, RunState,
};
use adjunct_simulator::{Fault, SimHost};

/// All that a VMM does to start a guest with guest 1's mdev and to reset it once.
fn life_of_a_vm(host: &SimHost) -> Result<()> {
    let event = EventFd::new(0).expect("an eventfd can be had");
    let memory = memory();
    let mut proto = host.create_vm()?;
    proto.set_memory(&memory)?;
    proto.set_model(ModelAttribute::Processor(&processor(host, &[])))?;
    proto.set_model(ModelAttribute::ProcessorFeat(&[0; 128]))?;
    proto.set_model(ModelAttribute::ProcessorSubfunc(&[0; 2048]))?;
    proto.set_crypto(CryptoAttribute::EnableApie)?;
    proto.set_model(ModelAttribute::ProcessorUvFeatGuest(&[0; 8]))?;
    let Built { mut vcpus, vm } = proto.create_vcpus(2)?;
    let device = vm.open_ap(mdev(1).into())?;
    device.info()?;
    device.irq_info(ApIrq::ConfigChanged)?;
    device.set_irq(ApIrq::ReleaseRequest, Some(&event))?;
    device.set_irq(ApIrq::ConfigChanged, Some(&event))?;
    device.reset()?;
    for vcpu in &mut vcpus {
        vcpu.reset(CpuReset::Clear)?;
    }
    vcpus[0].set_run_state(RunState::Operating)?;
    vm.set_crypto(CryptoAttribute::EnableApie)?;
    vm.clear_interruptions()?;
    vm.inject(Floating::Service { parameter: 1 })?;
    vm.inject(Floating::MachineCheck { cr14: 1 << 28, mcic: 1 })?;
    vm.set_tod(vm.tod()?)?;
    assert!(!host.acts().held().is_empty(), "a VM with a device holds something");
    Ok(())
}

#[test]
fn the_acts_are_the_kernels_requests_in_their_order() {
    let host = host();
    let before = host.acts().len();
    life_of_a_vm(&host).expect("nothing is refused");
    let uuid = uuid(1);
    let expected = [
        "KVM_CREATE_VM /dev/kvm".to_owned(),
        "KVM_SET_USER_MEMORY_REGION the VM".to_owned(),
        "KVM_S390_VM_CPU_MODEL/PROCESSOR the VM".to_owned(),
        "KVM_S390_VM_CPU_MODEL/PROCESSOR_FEAT the VM".to_owned(),
        "KVM_S390_VM_CPU_MODEL/PROCESSOR_SUBFUNC the VM".to_owned(),
        "KVM_S390_VM_CRYPTO/ENABLE_APIE the VM".to_owned(),
        "KVM_S390_VM_CPU_MODEL/PROCESSOR_UV_FEAT_GUEST the VM".to_owned(),
        "KVM_CREATE_DEVICE FLIC".to_owned(),
        "KVM_CREATE_VCPU vCPU 0".to_owned(),
        "KVM_CREATE_VCPU vCPU 1".to_owned(),
        "KVM_CREATE_DEVICE VFIO".to_owned(),
        format!("KVM_DEV_VFIO_FILE_ADD {uuid}"),
        format!("VFIO_DEVICE_BIND_IOMMUFD {uuid}"),
        format!("VFIO_DEVICE_ATTACH_IOMMUFD_PT {uuid}"),
        format!("IOMMU_IOAS_MAP {uuid}"),
        format!("VFIO_DEVICE_SET_IRQS {uuid} ReleaseRequest"),
        format!("VFIO_DEVICE_SET_IRQS {uuid} ConfigChanged"),
        format!("VFIO_DEVICE_RESET {uuid}"),
        "KVM_S390_CLEAR_RESET vCPU 0".to_owned(),
        "KVM_S390_CLEAR_RESET vCPU 1".to_owned(),
        "KVM_SET_MP_STATE vCPU 0".to_owned(),
        "KVM_S390_VM_CRYPTO/ENABLE_APIE the VM".to_owned(),
        "KVM_DEV_FLIC_CLEAR_IRQS the VM".to_owned(),
        "KVM_DEV_FLIC_ENQUEUE the VM".to_owned(),
        "KVM_S390_VM_TOD/EXT the VM".to_owned(),
    ];
    let acts = host.acts().text();
    assert_eq!(acts.lines().skip(before).collect::<Vec<_>>(), expected);
    assert_eq!(host.acts().held(), [""; 0]);
}

#[test]
fn whichever_act_is_refused_the_error_names_it_and_nothing_is_held() {
    let host = host();
    let first = host.acts().len();
    life_of_a_vm(&host).expect("nothing is refused");
    let count = host.acts().len() - first;
    let acts: Vec<String> = host.acts().text().lines().skip(first).map(str::to_owned).collect();
    for (n, act) in acts.iter().enumerate().take(count) {
        host.acts().plan(Fault::of_any().nth(n + 1).fails_with(libc::EMFILE));
        let error = life_of_a_vm(&host).expect_err(act);
        assert_eq!(format!("{} {}", error.request, error.target), *act);
        assert_eq!(error.errno.errno(), libc::EMFILE);
        assert_eq!(host.acts().held(), [""; 0], "after {act} was refused");
    }
    life_of_a_vm(&host).expect("the host is as before");
}

#[test]
fn asking_what_the_host_is_changes_nothing() {
    let host = host();
    let before = host.acts().len();
    host.machine().expect("an answer");
    host.capabilities().expect("an answer");
    host.limits().expect("an answer");
    assert_eq!(host.name(), "simulated gen16a with kernel 7.2");
    assert_eq!(host.acts().len(), before);
}
