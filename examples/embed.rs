//! A VMM that is not adjunct gives its guest a vfio-ap device.
//!
//! It owns its /dev/kvm (through `kvm-ioctls`), its memory and its vCPU. From adjunct it takes three things: what a guest's
//! CPU must be told (`adjunct-cpu-model`), what the mediated device would bring and why not more (`adjunct-ap`), and the
//! device itself (`adjunct_hypervisor::vfio`, `adjunct_devices::vfio_ap`). Its guest is one instruction, PQAP(TAPQ), run
//! once for each queue.
//!
//! `cargo run --example embed -- /sys/devices/vfio_ap/matrix/UUID`, on IBM Z.
// UNSAFETY: kvm-ioctls and the VM's device attributes take addresses of this VMM's memory.
#![cfg_attr(
    target_arch = "s390x",
    expect(unsafe_code, reason = "a VMM gives KVM addresses of its own memory")
)]

#[cfg(not(target_arch = "s390x"))]
fn main() -> std::process::ExitCode {
    eprintln!("embed: this machine is no IBM Z, and its KVM can't run s390x guests");
    std::process::ExitCode::FAILURE
}

#[cfg(target_arch = "s390x")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mdev = std::env::args().nth(1).ok_or("which device? give /sys/devices/vfio_ap/matrix/UUID")?;
    vmm::run(&mdev)
}

#[cfg(target_arch = "s390x")]
mod vmm {
    use adjunct_ap::{Apqn, HostSysfs, mdev, why};
    use adjunct_cpu_model::{CpuSpec, kvm};
    use adjunct_devices::vfio_ap::VfioAp;
    use adjunct_hypervisor::vfio::{self, KvmVfio};
    use kvm_bindings::{
        KVM_S390_VM_CPU_MACHINE, KVM_S390_VM_CPU_MACHINE_FEAT, KVM_S390_VM_CPU_MACHINE_SUBFUNC,
        KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR, KVM_S390_VM_CPU_PROCESSOR_FEAT,
        KVM_S390_VM_CPU_PROCESSOR_SUBFUNC, KVM_S390_VM_CRYPTO, KVM_S390_VM_CRYPTO_ENABLE_APIE, KVMIO,
        kvm_device_attr, kvm_userspace_memory_region,
    };
    use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
    use std::{
        alloc::{self, Layout},
        error::Error,
        os::fd::{AsRawFd, BorrowedFd},
        path::Path,
        sync::Arc,
    };
    use vm_memory::{
        Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestRegionMmap, mmap::MmapRegionBuilder,
    };
    use vmm_sys_util::{
        ioctl::{ioctl_with_mut_ref, ioctl_with_ref},
        ioctl_iow_nr,
    };

    ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);
    ioctl_iow_nr!(KVM_GET_DEVICE_ATTR, KVMIO, 0xe2, kvm_device_attr);

    /// Where the guest's instructions are: PQAP, then LPSWE of a disabled wait.
    const CODE: u64 = 0x1000;
    const WAIT: u64 = 0x400;
    const MEBIBYTE: usize = 1 << 20;
    /// 64-bit addressing, all interruptions off.
    const PSW_MASK: u64 = 0x0000_0001_8000_0000;

    pub(crate) fn run(path: &str) -> Result<(), Box<dyn Error>> {
        // What would the guest get, and why not more? This needs no KVM and changes nothing.
        let diagnosis = why::diagnose(&HostSysfs::default(), mdev::parse_path(path)?)?;
        for (apqn, reason) in &diagnosis.withheld {
            println!("embed: the guest will not get {apqn}: {reason}");
        }

        // This VMM's own memory and VM. The VM goes first.
        let memory = memory()?;
        let vm = Kvm::new()?.create_vm()?;
        let region = kvm_userspace_memory_region {
            memory_size: memory.last_addr().0 + 1,
            userspace_addr: memory.get_host_address(GuestAddress(0))? as u64,
            ..Default::default()
        };
        // SAFETY: the region is all of `memory`, which outlives the VM.
        unsafe { vm.set_user_memory_region(region)? };
        give_cpu_model(&vm)?;
        let mut vcpu = vm.create_vcpu(0)?;

        // The device: told to KVM, opened, mapped for DMA; then checked, with its interrupts, and reset.
        // SAFETY: `vm` is open for longer than this borrow.
        let kvm = Arc::new(KvmVfio::create(unsafe { BorrowedFd::borrow_raw(vm.as_raw_fd()) })?);
        let device = vfio::open(Path::new(path).into(), &kvm, &memory)?;
        let attached = VfioAp::set_up(Box::new(device), path, "ap0")?;
        for warning in &attached.warnings {
            println!("embed: {warning}");
        }

        memory.write_slice(&[0xb2, 0xaf, 0, 0, 0xb2, 0xb2, 0x04, 0], GuestAddress(CODE))?;
        memory.write_obj((PSW_MASK | 1 << 49).to_be(), GuestAddress(WAIT))?;
        for apqn in &diagnosis.given {
            let status = test_queue(&mut vcpu, *apqn)?;
            println!("{apqn} TAPQ status {status:08x}");
        }
        println!("embed: {} queues", diagnosis.given.len());
        Ok(())
    }

    /// 1 MiB of guest memory at an address that is a multiple of 1 MiB, as kernels up to 6.12 want it.
    fn memory() -> Result<GuestMemoryMmap, Box<dyn Error>> {
        let layout = Layout::from_size_align(MEBIBYTE, MEBIBYTE)?;
        // SAFETY: the layout is not empty.
        let block = unsafe { alloc::alloc_zeroed(layout) };
        if block.is_null() {
            alloc::handle_alloc_error(layout);
        }
        let region = MmapRegionBuilder::new(MEBIBYTE).with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: the block is MEBIBYTE long and never freed.
        let region = unsafe { region.with_raw_mmap_pointer(block) }.build()?;
        let region = GuestRegionMmap::new(region, GuestAddress(0)).ok_or("the block is too long")?;
        Ok(GuestMemoryMmap::from_regions(vec![region])?)
    }

    /// Tells KVM what adjunct's CPU model makes of `host,ap=on`: facilities 12, 15 and 65 are off unless asked for.
    fn give_cpu_model(vm: &VmFd) -> Result<(), Box<dyn Error>> {
        let mut machine = kvm::MachineAttributes {
            machine: [0; kvm::MACHINE_LEN],
            feat: [0; kvm::FEAT_LEN],
            subfunc: [0; kvm::SUBFUNC_LEN],
            uv_feat: None,
        };
        get(vm, KVM_S390_VM_CPU_MACHINE, &mut machine.machine)?;
        get(vm, KVM_S390_VM_CPU_MACHINE_FEAT, &mut machine.feat)?;
        get(vm, KVM_S390_VM_CPU_MACHINE_SUBFUNC, &mut machine.subfunc)?;
        // This VMM has none of KVM's optional parts but AP; who asks for it must know that the host has it.
        let host = machine.decode(&kvm::Capabilities { apie: true, ..Default::default() })?;
        let resolved = "host,ap=on,apqci=on,apft=on,zpci=off,aen=off".parse::<CpuSpec>()?.resolve(&host)?;
        let processor = kvm::ProcessorAttributes::encode(&resolved.cpu);
        set(vm, KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR, &processor.processor)?;
        set(vm, KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR_FEAT, &processor.feat)?;
        set(vm, KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR_SUBFUNC, &processor.subfunc)?;
        Ok(set(vm, KVM_S390_VM_CRYPTO, KVM_S390_VM_CRYPTO_ENABLE_APIE, &[])?)
    }

    /// Sets an attribute of the VM whose value is `N` bytes.
    fn set<const N: usize>(vm: &VmFd, group: u32, attr: u32, value: &[u8; N]) -> std::io::Result<()> {
        let attribute =
            kvm_device_attr { group, attr: attr.into(), addr: value.as_ptr() as u64, ..Default::default() };
        // SAFETY: the kernel reads the attribute's value: `adjunct-cpu-model` gives its arrays the attributes' own sizes.
        match unsafe { ioctl_with_ref(vm, KVM_SET_DEVICE_ATTR(), &attribute) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// Reads an attribute of the CPU model whose value is `N` bytes.
    fn get<const N: usize>(vm: &VmFd, attr: u32, value: &mut [u8; N]) -> std::io::Result<()> {
        let mut attribute = kvm_device_attr {
            group: KVM_S390_VM_CPU_MODEL,
            attr: attr.into(),
            addr: value.as_mut_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the kernel writes the attribute's value: `adjunct-cpu-model` gives its arrays the attributes' own sizes.
        match unsafe { ioctl_with_mut_ref(vm, KVM_GET_DEVICE_ATTR(), &mut attribute) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// Runs PQAP(TAPQ) for one queue; the status word that the guest got.
    fn test_queue(vcpu: &mut VcpuFd, apqn: Apqn) -> Result<u32, Box<dyn Error>> {
        let mut registers = vcpu.get_regs()?;
        registers.gprs[0] = u64::from(apqn.raw());
        vcpu.set_regs(&registers)?;
        let run = vcpu.get_kvm_run();
        (run.psw_mask, run.psw_addr) = (PSW_MASK, CODE);
        match vcpu.run()? {
            VcpuExit::S390Sieic => {}
            other => return Err(format!("the guest left with {other:?}").into()),
        }
        if vcpu.get_kvm_run().psw_addr != 0 {
            return Err(format!("the guest ended at {:#x}", vcpu.get_kvm_run().psw_addr).into());
        }
        // The low word of general register 1.
        Ok(u32::try_from(vcpu.get_regs()?.gprs[1] & 0xffff_ffff)?)
    }
}
