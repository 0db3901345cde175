//! What SIE would be given: SIE blocks and the bytes of the CRYCB.

use crate::support::{Builder, Guest, host, host_with, mdev};
use adjunct_ap::{Apid, Apqi, Matrix};
use adjunct_hypervisor::{CryptoAttribute, Vm};
use adjunct_simulator::{SieBlock, SimHost, SimProtoVm};

/// Non-zero bytes with their offsets.
fn set_bytes(guest: &Guest) -> Vec<(usize, u8)> {
    guest.vm.crycb().into_iter().enumerate().filter(|(_, byte)| *byte != 0).collect()
}

// 188: kvm-s390.c:kvm_arch_crypto_set_masks
#[test]
fn guest_1_of_the_example_on_a_z16_has_format_2() {
    let guest = Guest::with_mdev(&host());
    // Adapters 5 and 6; domains 4 and 0xab; no control domains were assigned.
    assert_eq!(set_bytes(&guest), [(0x80, 0x06), (0xa0, 0x08), (0xa0 + 0x15, 0x10)]);
    let sie = guest.vm.sie_block(0).expect("one vCPU");
    assert_eq!((sie.crycbd & 3, sie.crycbd & 0x800), (3, 0x800));
    assert_eq!(sie.eca & SieBlock::ECA_APIE, SieBlock::ECA_APIE);
}

/// The example on an older machine, which has fewer domains.
fn old_host(machine: &str, features: &str) -> SimHost {
    host_with(&[
        ("machine = \"z16\"", &format!("machine = {machine:?}")),
        ("features = [\"APSC\", \"APXA\", \"QACT\"]", features),
        ("max_domain = 255", "max_domain = 15"),
        ("[4, 0x47, 0xab, 0xff]", "[4, 7, 11, 15]"),
        ("\"-4,-0x47,-0xab,-0xff\"", "\"-4,-7,-11,-15\""),
        ("domains = [4, 0xab]", "domains = [4, 11]"),
        ("domains = [0x47, 0xff]", "domains = [7, 15]"),
    ])
}

// 189: kvm-s390.c:kvm_arch_crypto_set_masks
#[test]
fn without_apxa_the_format_is_1() {
    // Every machine with AP instructions has MSA extension 3, so format 0 is for no model of today.
    for machine in ["z16", "zEC12"] {
        let guest = Guest::with_mdev(&old_host(machine, "features = [\"APSC\"]"));
        assert_eq!(set_bytes(&guest), [(0x00, 0x06), (0x08, 0x08), (0x09, 0x10)], "{machine}");
        assert_eq!(guest.vm.sie_block(0).expect("one vCPU").crycbd & 3, 1, "{machine}");
    }
}

#[test]
fn the_masks_come_with_the_mdev_and_go_with_it() {
    let host = host();
    let mut guest = Builder::new(&host, &[]).build(1);
    assert_eq!(set_bytes(&guest), []);
    guest.device = Some(guest.vm.open_ap(mdev(2).into()).expect("the mdev is free"));
    let seen = guest.vm.apcb(0);
    assert_eq!(seen.apm.iter().collect::<Vec<_>>(), [Apid(5)]);
    assert_eq!(seen.aqm.iter().collect::<Vec<_>>(), [Apqi(0x47), Apqi(0xff)]);
    guest.device = None;
    assert_eq!(set_bytes(&guest), []);
    assert_eq!(guest.vm.apcb(0), Matrix::EMPTY);
}

// 190: kvm-s390.c:kvm_s390_vcpu_crypto_setup
#[test]
fn masks_are_set_whether_or_not_ap_instructions_are_interpreted() {
    let host = host();
    let (vm, _vcpus) = SimProtoVm::create(&host).expect("a VM").build(1).expect("a vCPU");
    let _device = vm.open_ap(mdev(1).into()).expect("APIE is no condition");
    assert_eq!(vm.crycb()[0x80], 0x06);
    // Without APIE and facility 76 SIE has no CRYCB.
    assert_eq!(vm.sie_block(0).expect("one vCPU").crycbd, 0);
    assert_eq!(vm.apcb(0), Matrix::EMPTY);
    vm.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
    assert_eq!(vm.apcb(0).apqns().count(), 4);
}

#[test]
fn vms_have_control_blocks_of_their_own() {
    let host = host();
    let [one, two] = [1, 2].map(|n| {
        let mut guest = Builder::new(&host, &[]).build(1);
        guest.device = Some(guest.vm.open_ap(mdev(n).into()).expect("the mdev is free"));
        guest
    });
    let [a, b] = [&one, &two].map(|guest| guest.vm.sie_block(0).expect("one vCPU").crycbd);
    assert_ne!(a, b);
    assert!(!one.vm.apcb(0).conflicts_with(&two.vm.apcb(0)));
}

#[test]
fn what_is_unassigned_leaves_the_control_block_at_once() {
    use adjunct_ap::Sysfs;
    let host = host();
    let guest = Guest::with_mdev(&host);
    let attribute = mdev(1).join("unassign_adapter");
    let attribute = attribute.strip_prefix("/sys").expect("it is there").to_str().expect("text");
    host.write(attribute, "6").expect("it may be unassigned");
    assert_eq!(set_bytes(&guest), [(0x80, 0x04), (0xa0, 0x08), (0xa0 + 0x15, 0x10)]);
}
