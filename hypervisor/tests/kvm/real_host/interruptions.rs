//! Interruptions of AP queues, which a guest enables: the kernel pins the notification byte, and ends them with it.

use super::{AT_SERVC, Guest, SERVC, START, open, processor};
use crate::{
    everywhere::{ByGroup, Place, Program, TYPE1_V2, long, words},
    lab::Lab,
};
use adjunct_cpu_model::Feature;
use adjunct_hypervisor::{CryptoAttribute, Exit, Psw, kvm::Kvm};
use std::{fs, os::fd::RawFd, path::PathBuf};
use vm_memory::{GuestAddress, GuestMemoryBackend};

const MAP_DMA: u32 = 0x3b71;
const UNMAP_DMA: u32 = 0x3b72;
const PAGE: u64 = 0x1000;
const PQAP: [u8; 4] = [0xb2, 0xaf, 0, 0];
/// The queue that is tried.
const QUEUE: u64 = 0x0504;

/// The number of the only VM that this process has.
fn vm_descriptor() -> RawFd {
    let entries =
        fs::read_dir("/proc/self/fd").expect("Linux has it").map(|entry| entry.expect("readable").path());
    let is_vm = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|file| file.as_os_str() == "anon_inode:kvm-vm")
    };
    let [vm] = &entries.filter(is_vm).collect::<Vec<_>>()[..] else { panic!("there is one VM") };
    vm.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("a number")
}

impl Guest {
    /// PQAP with these registers: register 1 afterwards.
    fn pqap(&mut self, registers: [u64; 3]) -> u64 {
        let vcpu = &mut self.vcpus[0];
        let state = vcpu.state_mut();
        state.gprs[..3].copy_from_slice(&registers);
        state.psw = Psw { mask: Psw::MASK_64BIT, address: START };
        assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
        vcpu.state().gprs[1]
    }

    /// Enables interruptions with a byte at `nib`: the response code.
    fn enable(&mut self, nib: u64) -> u64 {
        self.pqap([0x0300_0000 | QUEUE, 0x0000_8000_0000_0006, nib]) >> 16 & 0xff
    }

    /// Whether a reply would interrupt.
    fn enabled(&mut self) -> bool {
        self.pqap([QUEUE, 0, 0]) & 0x0100_0000 != 0
    }
}

// 164, 165, 168, 170: vfio_ap_ops.c:vfio_ap_irq_enable, vfio_ap_mdev_dma_unmap
#[test]
#[ignore = "needs KVM and vfio-ap mdevs in ADJUNCT_MDEV and ADJUNCT_SECOND_MDEV; tests/lab runs it"]
fn unmapping_a_notification_byte_disables_the_guests_interruptions() {
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&PQAP, &SERVC]);
    // 184: kvm-s390.c:kvm_s390_vcpu_crypto_reset_all: the vCPU is there already.
    guest.vm.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP instructions");
    let program = Program { files: Lab.files(), kvm: vm_descriptor(), mdevs: [1, 2].map(|n| Lab.mdev(n)) };
    let ByGroup { container, .. } = program.open(1, TYPE1_V2).expect("it is free");
    let host = |at| guest.memory.get_host_address(GuestAddress(at)).expect("inside") as u64;
    let addresses = [0x7000, 0x8000].map(|at| (at, host(at)));
    let map = |(iova, address): (u64, u64), flags| {
        let argument = [&words(&[32, flags])[..], &long(address), &long(iova), &long(PAGE)].concat();
        assert_eq!(program.ioctl(container, MAP_DMA, &argument), Ok(0));
    };
    let unmap = |iova| {
        let argument = [&words(&[24, 0])[..], &long(iova), &long(PAGE)].concat();
        assert_eq!(program.ioctl(container, UNMAP_DMA, &argument), Ok(0));
    };
    assert_eq!(guest.enable(0x7008), 6, "nothing is mapped there");
    assert_eq!([guest.enable(0), guest.enable(1 << 40)], [6; 2]);
    map(addresses[0], 3);
    map(addresses[1], 1);
    assert_eq!(guest.enable(0x8000), 6, "only for reading");
    unmap(0x8000);
    map(addresses[1], 3);
    assert!(!guest.enabled());
    assert_eq!((guest.enable(0x7000), guest.enabled()), (0, true));
    assert_eq!(guest.enable(0x8000), 7, "the first one stays");
    unmap(0x8000);
    assert!(guest.enabled(), "another page");
    unmap(0x7000);
    assert!(!guest.enabled());
    assert_eq!(guest.enable(0x7000), 6);
    map(addresses[0], 3);
    assert_eq!(guest.enable(0x7000), 0, "it was disabled");
    // 166: vfio_ap_ops.c:handle_pqap: the host has this queue, the mdev has it not.
    assert_eq!(guest.pqap([0x0300_0547, 0x0000_8000_0000_0006, 0x7000]) >> 16 & 0xff, 1);
}

/// A guest in which AP instructions are interpreted, and which lacks `without`.
fn guest(kvm: &Kvm, without: &[Feature]) -> Guest {
    let guest = Guest::of(kvm, 1, &[&PQAP, &SERVC], &processor(kvm, without)).started();
    guest.vm.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP instructions");
    guest
}

/// Where the new PSW of program interruptions is, where their code is stored, and where they lead.
const PROGRAM_NEW: u64 = 0x1d0;
const PROGRAM_CODE: u64 = 0x8e;
const TAKEN: u64 = 0x2800;

impl Guest {
    /// AQIC with this register 0, under a PSW with these bits too: the program interruption, 0 if there is none.
    fn interrupted(&mut self, mask: u64, register: u64) -> u64 {
        self.put(PROGRAM_NEW, &[Psw::MASK_64BIT.to_be_bytes(), TAKEN.to_be_bytes()].concat());
        self.put(TAKEN, &SERVC);
        self.put(PROGRAM_CODE, &[0; 2]);
        let vcpu = &mut self.vcpus[0];
        let state = vcpu.state_mut();
        state.gprs[..3].copy_from_slice(&[0x0300_0000 | register, 0, 0]);
        state.psw = Psw { mask: Psw::MASK_64BIT | mask, address: START };
        assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
        let taken = vcpu.state().psw.address >= TAKEN;
        let code = self.word::<2>(PROGRAM_CODE);
        assert_eq!(taken, code != 0);
        code
    }
}

// 173, 174, 177: priv.c:handle_pqap
#[test]
#[ignore = "needs KVM on a host with AP instructions; tests/lab runs it"]
fn the_checks_of_aqic_are_kvms_in_its_order() {
    const PRIVILEGED: u64 = 2;
    const SPECIFICATION: u64 = 6;
    const T_BIT: u64 = 0x0080_0000;
    let kvm = open();
    let mut all = guest(&kvm, &[]);
    assert_eq!(all.interrupted(Psw::PROBLEM_STATE, 0x0001_0000 | QUEUE), PRIVILEGED);
    for bit in [0x0001_0000, 0x0040_0000] {
        assert_eq!(all.interrupted(0, bit | QUEUE), SPECIFICATION, "GR0 bits 41-47");
    }
    assert_eq!(all.interrupted(0, T_BIT | QUEUE), 0, "facility 15 is there");
    assert_eq!(guest(&kvm, &[Feature::Apft]).interrupted(0, T_BIT | QUEUE), SPECIFICATION);
    assert_eq!(guest(&kvm, &[Feature::Apqi]).interrupted(0, QUEUE), SPECIFICATION);
}

// 176: priv.c:handle_pqap
#[test]
#[ignore = "needs KVM on a host with AP instructions; tests/lab runs it, without extended addressing too"]
fn ids_beyond_the_crycb_are_a_specification_exception() {
    let last = fs::read_to_string("/sys/bus/ap/ap_max_domain_id").expect("the AP bus is there");
    let extended = last.trim().parse::<u8>().expect("a number") > 15;
    let mut guest = guest(&open(), &[]);
    for queue in [0x4004, 0x0510] {
        assert_eq!(guest.interrupted(0, queue), if extended { 0 } else { 6 }, "{queue:04x}");
    }
    assert_eq!(guest.interrupted(0, 0x3f0f), 0);
}

/// KVM gives new VMs a GISA or not, as its parameter says, which is as it was when this goes.
struct WithoutGisa;

const USE_GISA: &str = "/sys/module/kvm/parameters/use_gisa";

impl WithoutGisa {
    fn new() -> Self {
        fs::write(USE_GISA, "0").expect("it can be changed");
        Self
    }
}

impl Drop for WithoutGisa {
    fn drop(&mut self) {
        fs::write(USE_GISA, "1").expect("it can be changed back");
    }
}

// 172: vfio_ap_ops.c:handle_pqap
#[test]
#[ignore = "needs KVM, root and a vfio-ap mdev in ADJUNCT_MDEV; tests/lab runs it"]
fn without_a_gisa_aqic_of_a_device_is_for_user_space() {
    let kvm = open();
    let mut guest = {
        let _gone = WithoutGisa::new();
        guest(&kvm, &[])
    };
    let mdev = PathBuf::from(std::env::var("ADJUNCT_MDEV").expect("the lab says where it is"));
    let _device = guest.vm.open_ap(mdev.into()).expect("it is free");
    let vcpu = &mut guest.vcpus[0];
    vcpu.state_mut().gprs[..3].copy_from_slice(&[0x0300_0000 | QUEUE, 0, 0]);
    assert_eq!(vcpu.run().expect("it is operating"), Exit::Sieic { icptcode: 4, ipa: 0xb2af, ipb: 0 });
}
