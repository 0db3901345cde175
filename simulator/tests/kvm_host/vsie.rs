//! Guests of guests: what SIE would be given for them while the masks of their host change.

use crate::support::{Guest, host, mdev};
use adjunct_ap::Sysfs;
use adjunct_hypervisor::{CryptoAttribute, Vcpu, Vm};
use adjunct_simulator::{SieBlock, Validity};

/// Where guest 2 has the CRYCB of guest 3.
const AT: u32 = 0x4000;

fn guest_3() -> SieBlock {
    SieBlock { eca: SieBlock::ECA_APIE, crycbd: AT | 3, ..SieBlock::default() }
}

// 201: vsie.c:shadow_crycb, kvm-s390.c:kvm_arch_crypto_set_masks
#[test]
fn a_guest_of_a_guest_loses_what_the_guest_loses_and_sie_is_left_for_that() {
    let host = host();
    let mut guest = Guest::with_mdev(&host);
    // Guest 2 gives all that there is.
    guest.write(AT.into(), &[0xff; 256]);
    let masks = |guest: &Guest| {
        let shadow = guest.vcpus[0].shadow_crycb(guest_3()).expect("a CRYCB");
        assert_eq!(shadow.sie.eca, SieBlock::ECA_APIE);
        assert_eq!(shadow.sie.crycbd & 3, 3);
        (shadow.crycb()[0x80], shadow)
    };
    let (apm, shadow) = masks(&guest);
    assert_eq!((apm, shadow.crycb()[0xa0], shadow.crycb()[0xa0 + 0x15]), (0x06, 0x08, 0x10));
    assert!(!guest.vcpus[0].leaves_vsie(&shadow));
    let attribute = mdev(1).join("unassign_adapter");
    let attribute = attribute.strip_prefix("/sys").expect("it is there").to_str().expect("text");
    host.write(attribute, "6").expect("it may be unassigned");
    assert!(guest.vcpus[0].leaves_vsie(&shadow));
    let (apm, shadow) = masks(&guest);
    assert_eq!(apm, 0x04);
    guest.vm.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
    assert!(guest.vcpus[0].leaves_vsie(&shadow));
    let (_, shadow) = masks(&guest);
    guest.device = None;
    assert!(guest.vcpus[0].leaves_vsie(&shadow));
    assert_eq!(masks(&guest).0, 0);
}

#[test]
fn the_block_is_at_a_real_address_of_guest_2() {
    let mut guest = Guest::with_mdev(&host());
    guest.vcpus[0].state_mut().prefix = 0x8000;
    // Real 0x200 is absolute 0x8200.
    guest.write(0x8200 + 0x80, &[0x02]);
    guest.write(0x8200 + 0xa0, &[0xff; 32]);
    let low = SieBlock { crycbd: 0x200 | 3, ..guest_3() };
    let shadow = guest.vcpus[0].shadow_crycb(low).expect("a CRYCB");
    assert_eq!((shadow.crycb()[0x80], shadow.crycb()[0xa0]), (0x02, 0x08));
    // And where the prefix area is, absolute 0 is.
    guest.write(0x200 + 0x80, &[0x04]);
    let high = SieBlock { crycbd: 0x8200 | 3, ..guest_3() };
    assert_eq!(guest.vcpus[0].shadow_crycb(high).expect("a CRYCB").crycb()[0x80], 0x04);
}

// 204: vsie.c:shadow_crycb
#[test]
fn a_block_outside_guest_2_is_a_validity_interception() {
    let guest = Guest::with_mdev(&host());
    let at = |address: u32| {
        let guest3 = SieBlock { crycbd: address | 3, ..guest_3() };
        guest.vcpus[0].shadow_crycb(guest3).map(|_| ())
    };
    assert_eq!(at(0), Err(Validity::NO_ADDRESS));
    assert_eq!(at(0x10_0000), Err(Validity::NO_STORAGE));
    assert_eq!(at(0x3f80), Err(Validity::CROSSES_PAGE));
    assert_eq!(at(0x8000_4000), Ok(()), "bit 0 is no part of the address");
    assert_eq!(at(AT), Ok(()));
}
