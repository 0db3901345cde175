//! Interruptions of AP queues, which a guest enables: the kernel pins the notification byte, and ends them with it.

use super::{AT_SERVC, Guest, SERVC, START, open};
use crate::{
    everywhere::{ByGroup, Place, Program, TYPE1_V2, long, words},
    lab::Lab,
};
use adjunct_hypervisor::{CryptoAttribute, Psw};
use std::{fs, os::fd::RawFd};
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
