use super::super::crypto::CryptoHost;
use super::*;
use adjunct_ap::{Adm, Apm, Aqm, Matrix};
use adjunct_hypervisor::CryptoAttribute;
use proptest::prelude::*;

const ORIGIN: u32 = 0x0123_4800;
const APIE: u32 = SieBlock::ECA_APIE;
/// Where guest 2 has guest 3's CRYCB.
const AT: usize = 0x3100;

/// What guest 2 is: which format its own CRYCB has, and whether it has facility 76.
fn guest_2(format: CrycbFormat, wrapping: bool) -> Crypto {
    let msax3 = format != CrycbFormat::Format0;
    let apxa = format == CrycbFormat::Format2;
    let mut crypto = Crypto::new(CryptoHost { ap: true, msax3, wrapping, apxa, aiv: true }, ORIGIN);
    crypto.add_vcpu();
    crypto.set(CryptoAttribute::EnableApie).expect("there is AP");
    crypto
}

fn matrix(apm: [u8; 32], aqm: [u8; 32], adm: [u8; 32]) -> Matrix {
    Matrix { apm: Apm::from_bytes(apm), aqm: Aqm::from_bytes(aqm), adm: Adm::from_bytes(adm) }
}

/// Guest 2's storage, with `crycb` for guest 3 at [`AT`].
fn storage(crycb: &[u8]) -> Vec<u8> {
    let mut storage = vec![0; 0x5000];
    storage[AT..AT + crycb.len()].copy_from_slice(crycb);
    storage
}

fn read(storage: &[u8]) -> impl Fn(u64, &mut [u8]) -> Result<(), OutsideStorage> {
    move |at, buffer| {
        let at = usize::try_from(at).map_err(|_| OutsideStorage)?;
        let found = storage.get(at..at + buffer.len()).ok_or(OutsideStorage)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// Guest 3 with its CRYCB at `address` in `format`, and what guest 2 wants for it.
fn guest_3(address: usize, format: u32, eca: u32, ecb3: u8) -> SieBlock {
    let address = u32::try_from(address).expect("below 2 GiB");
    SieBlock { eca, ecb3, crycbd: address | format, ecd: 0 }
}

fn shadow_of(crypto: &Crypto, guest3: SieBlock, storage: &[u8]) -> Result<Shadow, Validity> {
    shadow(crypto, crypto.sie_block(0).expect("one vCPU"), guest3, read(storage))
}

// 200: vsie.c:shadow_crycb
#[test]
fn ap_interpretation_is_passed_on_only_if_guest_2_has_it() {
    let storage = storage(&[0xff; LENGTH]);
    let mut crypto = guest_2(CrycbFormat::Format2, true);
    let wanted = guest_3(AT, 3, APIE, 0);
    assert_eq!(shadow_of(&crypto, wanted, &storage).map(|shadow| shadow.sie.eca), Ok(APIE));
    let unwanted = guest_3(AT, 3, 0, 0);
    assert_eq!(shadow_of(&crypto, unwanted, &storage).map(|shadow| shadow.sie.eca), Ok(0));
    crypto.set(CryptoAttribute::DisableApie).expect("there is AP");
    let shadow = shadow_of(&crypto, wanted, &storage).expect("a CRYCB without masks");
    assert_eq!((shadow.sie.eca, &shadow.crycb()[APCB1..]), (0, &[0; APCB1_LENGTH][..]));
}

#[test]
fn without_use_for_a_crycb_there_is_none_and_nothing_is_looked_at() {
    let storage = [];
    // Without facility 76, any; with it, format 0, which has no keys.
    for (wrapping, format) in [(false, 0), (false, 1), (false, 3), (true, 0)] {
        let crypto = guest_2(CrycbFormat::Format2, wrapping);
        let shadow = shadow_of(&crypto, guest_3(0, format, 0, 0x0c), &storage).expect("nothing to do");
        assert_eq!(shadow.sie, SieBlock::default(), "{wrapping} {format}");
    }
    let crypto = guest_2(CrycbFormat::Format2, true);
    assert_eq!(shadow_of(&crypto, guest_3(0, 1, 0, 0), &storage), Err(Validity::NO_ADDRESS));
}

// 204: vsie.c:shadow_crycb
#[test]
fn an_address_that_is_no_good_is_a_validity_interception_of_its_own() {
    let storage = storage(&[0; LENGTH]);
    let crypto = guest_2(CrycbFormat::Format2, true);
    let code = |address, format, eca, ecb3| match shadow_of(
        &crypto,
        guest_3(address, format, eca, ecb3),
        &storage,
    ) {
        Ok(_) => 0,
        Err(Validity(code)) => code,
    };
    for format in [0, 1, 3] {
        assert_eq!(code(0, format, APIE, 0), 0x0039, "{format}");
        assert_eq!(code(AT, format, APIE, 0), 0, "{format}");
        assert_eq!(code(0x6000, format, APIE, 0), 0x0035, "{format}: guest 2 has no such storage");
    }
    assert_eq!(code(AT, 2, APIE, 0), 0x0022, "there is no such format");
    // The block must end before its page does: format, and how many bytes are looked at.
    for (format, length) in [(0, 32), (1, 128), (3, 256)] {
        assert_eq!(code(0x4000 - length, format, APIE, 0), 0x003c, "{format}: it ends with the page");
        assert_eq!(code(0x4000 - length + 8, format, APIE, 0), 0x003c, "{format}");
        assert_eq!(code(0x4000 - length - 8, format, APIE, 0), 0, "{format}");
    }
    // Without masks only a block of format 1 is measured.
    assert_eq!(code(0x3f88, 1, 0, 0x0c), 0x003c);
    assert_eq!(code(0x3f88, 3, 0, 0x0c), 0);
    assert_eq!(code(0x4fe8, 3, 0, 0x0c), 0x0035, "its keys are beyond the storage");
    assert_eq!(code(0x4fe8, 3, 0, 0x00), 0, "nobody looks at them");
}

#[test]
fn the_crossing_of_a_page_is_seen_before_a_format_that_guest_2_has_not() {
    let storage = storage(&[]);
    let crypto = guest_2(CrycbFormat::Format1, true);
    assert_eq!(shadow_of(&crypto, guest_3(AT, 3, APIE, 0), &storage), Err(Validity::FORMAT));
    assert_eq!(shadow_of(&crypto, guest_3(0x3f80, 3, APIE, 0), &storage), Err(Validity::CROSSES_PAGE));
    assert_eq!(shadow_of(&crypto, guest_3(0, 3, APIE, 0), &storage), Err(Validity::NO_ADDRESS));
}

#[test]
fn each_format_of_guest_3_is_taken_from_guests_2_of_the_same_or_a_newer_one() {
    use CrycbFormat::{Format0, Format1, Format2};
    let storage = storage(&[0xff; LENGTH]);
    for host in [Format0, Format1, Format2] {
        let crypto = guest_2(host, host != Format0);
        for format in [Format0, Format1, Format2] {
            let answer = shadow_of(&crypto, guest_3(AT, format as u32, APIE, 0), &storage);
            assert_eq!(answer.is_ok(), format as u32 <= host as u32, "{format:?} on {host:?}");
            match answer {
                Ok(shadow) => assert_eq!(shadow.sie.crycbd & 3, 3, "always format 2"),
                Err(code) => assert_eq!(code, Validity::FORMAT),
            }
        }
    }
}

#[test]
fn wrapping_keys_are_those_of_both_guests_and_only_as_far_as_both_wrap() {
    let mut crycb = [0; LENGTH];
    crycb[KEYS..KEYS + KEYS_LENGTH].fill(0x5a);
    let storage = storage(&crycb);
    let mut crypto = guest_2(CrycbFormat::Format2, true);
    let own = crypto.crycb().as_bytes()[KEYS..KEYS + KEYS_LENGTH].to_vec();
    let expected: Vec<u8> = own.iter().map(|byte| byte ^ 0x5a).collect();
    for (wanted, given) in [(0x0c, 0x0c), (0x04, 0x04), (0x08, 0x08), (0xf3, 0)] {
        for format in [1, 3] {
            let shadow = shadow_of(&crypto, guest_3(AT, format, 0, wanted), &storage).expect("a CRYCB");
            let keys = &shadow.crycb()[KEYS..KEYS + KEYS_LENGTH];
            assert_eq!(shadow.sie.ecb3, given, "{wanted:#x}");
            assert_eq!(keys, if given == 0 { &[0; KEYS_LENGTH] } else { &expected[..] }, "{wanted:#x}");
            assert_eq!(shadow.sie.crycbd & 3, 3);
        }
    }
    crypto.set(CryptoAttribute::DisableAesKw).expect("facility 76");
    let shadow = shadow_of(&crypto, guest_3(AT, 3, 0, 0x0c), &storage).expect("a CRYCB");
    assert_eq!(shadow.sie.ecb3, SieBlock::ECB3_DEA);
    assert_eq!(shadow.crycb()[0x60..0x80], [0x5a; 32], "guest 2 has no key for AES");
}

#[test]
fn ecc_and_hmac_keys_are_wrapped_if_both_guests_wrap_them() {
    let storage = storage(&[0x5a; LENGTH]);
    let crypto = guest_2(CrycbFormat::Format2, true);
    let guest2 = |ecd| SieBlock { ecd, ecb3: 0, ..crypto.sie_block(0).expect("one vCPU") };
    for (two, three, both) in [
        (0x0020_4000, 0x0020_4000, 0x0020_4000),
        (0x0020_0000, 0x0020_4000, 0x0020_0000),
        (0x0000_4000, 0x0020_0000, 0),
        (0xffff_ffff, 0x0810_0000, 0),
    ] {
        let guest3 = SieBlock { ecd: three, ..guest_3(AT, 3, 0, 0) };
        let shadow = shadow(&crypto, guest2(two), guest3, read(&storage)).expect("a CRYCB");
        assert_eq!(shadow.sie.ecd, both);
        assert_eq!(shadow.crycb()[KEYS..KEYS + KEYS_LENGTH] == [0; KEYS_LENGTH], both == 0);
    }
}

#[test]
fn whatever_changes_for_guest_2_makes_the_shadow_stale() {
    let storage = storage(&[0xff; LENGTH]);
    let mut crypto = guest_2(CrycbFormat::Format2, true);
    let changes: [fn(&mut Crypto); 4] = [
        |crypto| crypto.set_masks(&Matrix::EMPTY),
        Crypto::clear_masks,
        |crypto| crypto.set(CryptoAttribute::EnableAesKw).expect("facility 76"),
        |crypto| crypto.set(CryptoAttribute::EnableApie).expect("there is AP"),
    ];
    for change in changes {
        let shadow = shadow_of(&crypto, guest_3(AT, 3, APIE, 0), &storage).expect("a CRYCB");
        assert_eq!(shadow.generation, crypto.generation());
        change(&mut crypto);
        assert_ne!(shadow.generation, crypto.generation());
    }
}

#[test]
fn real_addresses_are_prefixed() {
    for (real, at) in
        [(0, 0x8000), (0x1fff, 0x9fff), (0x8000, 0), (0x9fff, 0x1fff), (0x2000, 0x2000), (0xa000, 0xa000)]
    {
        assert_eq!(absolute(real, 0x8000), at, "{real:#x}");
    }
}

proptest! {
    #[test]
    fn a_guest_3_of_format_2_has_what_both_have_in_all_128_bytes(
        apm in any::<[u8; 32]>(), aqm in any::<[u8; 32]>(), adm in any::<[u8; 32]>(),
        own in proptest::collection::vec(any::<u8>(), APCB1_LENGTH),
    ) {
        // 201: vsie.c:setup_apcb11
        let mut crypto = guest_2(CrycbFormat::Format2, true);
        crypto.set_masks(&matrix(apm, aqm, adm));
        let mut crycb = [0xff; LENGTH];
        crycb[APCB1..].copy_from_slice(&own);
        let shadow = shadow_of(&crypto, guest_3(AT, 3, APIE, 0), &storage(&crycb)).expect("a CRYCB");
        let host = [&apm[..], &aqm, &adm, &[0; 32]].concat();
        let both: Vec<u8> = own.iter().zip(host).map(|(a, b)| a & b).collect();
        prop_assert_eq!(&shadow.crycb()[APCB1..], &both[..]);
        prop_assert_eq!(&shadow.crycb()[..APCB1], &[0; APCB1][..]);
    }

    #[test]
    fn a_guest_3_of_an_old_format_has_64_adapters_and_16_domains_of_what_guest_2_has(
        apm in any::<[u8; 32]>(), aqm in any::<[u8; 32]>(), adm in any::<[u8; 32]>(),
        own in any::<[u8; 32]>(), format in 0..2_u32,
    ) {
        // 202: vsie.c:setup_apcb10
        let mut crypto = guest_2(CrycbFormat::Format2, true);
        crypto.set_masks(&matrix(apm, aqm, adm));
        let shadow = shadow_of(&crypto, guest_3(AT, format, APIE, 0), &storage(&own)).expect("a CRYCB");
        let mut expected = [0; LENGTH];
        for byte in 0..8 {
            expected[0x80 + byte] = apm[byte] & own[byte];
        }
        for byte in 0..2 {
            expected[0xa0 + byte] = aqm[byte] & own[8 + byte];
            expected[0xc0 + byte] = adm[byte] & own[16 + byte];
        }
        prop_assert_eq!(shadow.crycb(), &expected);
    }

    // vsie.c:setup_apcb00
    #[test]
    fn on_an_old_host_the_whole_old_apcb_is_what_both_have(
        apm in any::<[u8; 32]>(), aqm in any::<[u8; 32]>(), adm in any::<[u8; 32]>(),
        own in any::<[u8; 32]>(), format in 0..2_u32,
    ) {
        let mut crypto = guest_2(CrycbFormat::Format1, true);
        crypto.set_masks(&matrix(apm, aqm, adm));
        let host = &crypto.crycb().as_bytes()[..APCB0_LENGTH].to_vec();
        let shadow = shadow_of(&crypto, guest_3(AT, format, APIE, 0), &storage(&own)).expect("a CRYCB");
        let both: Vec<u8> = own.iter().zip(host).map(|(a, b)| a & b).collect();
        prop_assert_eq!(&shadow.crycb()[..APCB0_LENGTH], &both[..]);
        prop_assert_eq!(&shadow.crycb()[APCB1..], &[0; APCB1_LENGTH][..]);
    }
}
