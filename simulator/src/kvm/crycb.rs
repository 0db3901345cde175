//! The crypto control block: the 256 bytes in which KVM tells SIE what a guest may do with crypto
//! hardware, in the machine's own layout (`arch/s390/include/asm/kvm_host.h: struct
//! kvm_s390_crypto_cb`).
//!
//! ```text
//! 0x00  APCB0: APM 8 bytes, AQM 8, ADM 8, reserved 8        formats 0 and 1
//! 0x48  DEA wrapping key mask, 24 bytes
//! 0x60  AES wrapping key mask, 32 bytes
//! 0x80  APCB1: APM 32 bytes, AQM 32, ADM 32, reserved 32    format 2
//! ```
//!
//! It knows nothing of mdevs and queues: it is bytes that one side writes and the other obeys.

use adjunct_ap::{Adm, Apm, Aqm, Matrix};

/// Length of the block in bytes.
pub(super) const LENGTH: usize = 256;

const APCB0: usize = 0x00;
const APCB0_LENGTH: usize = 32;
const DEA_KEY: usize = 0x48;
const DEA_KEY_LENGTH: usize = 24;
const AES_KEY: usize = 0x60;
const AES_KEY_LENGTH: usize = 32;
const APCB1: usize = 0x80;
const APCB1_LENGTH: usize = 128;

/// How SIE reads the block: the two low bits of its designation
/// (`arch/s390/include/asm/kvm_host.h: CRYCB_FORMAT*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CrycbFormat {
    /// No wrapping keys; APCB0. For machines without MSA extension 3.
    Format0 = 0b00,
    /// Wrapping keys; APCB0. For machines with MSA extension 3 and without APXA.
    Format1 = 0b01,
    /// Wrapping keys; APCB1, that is 256 adapters and domains. MSA extension 3 and APXA.
    Format2 = 0b11,
}

impl CrycbFormat {
    /// The bits of the designation that say the format.
    pub(crate) const MASK: u32 = 0b11;

    /// The format of a VM (`arch/s390/kvm/kvm-s390.c: kvm_s390_set_crycb_format`): `msax3` is
    /// facility 76 of the default model, `apxa` what QUERY AP CONFIGURATION says on the host.
    pub(crate) const fn of_host(msax3: bool, apxa: bool) -> Self {
        match (msax3, apxa) {
            (false, _) => Self::Format0,
            (true, false) => Self::Format1,
            (true, true) => Self::Format2,
        }
    }

    /// The format that a designation says; `None` for the unassigned 0b10.
    pub(crate) const fn of_designation(crycbd: u32) -> Option<Self> {
        match crycbd & Self::MASK {
            0b00 => Some(Self::Format0),
            0b01 => Some(Self::Format1),
            0b11 => Some(Self::Format2),
            _ => None,
        }
    }
}

/// A crypto control block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crycb([u8; LENGTH]);

impl Default for Crycb {
    fn default() -> Self {
        Self([0; LENGTH])
    }
}

impl Crycb {
    /// A block of these bytes.
    pub(super) fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// The block as the machine sees it.
    pub(crate) fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Puts `matrix` where `format` has it; what the format can't hold (adapters from 64 on, domains
    /// from 16 on) is left out. Nothing else changes
    /// (`arch/s390/kvm/kvm-s390.c: kvm_arch_crypto_set_masks`, 7.2).
    pub(crate) fn set_masks(&mut self, format: CrycbFormat, matrix: &Matrix) {
        let (base, stride, ids) = places(format);
        let masks = [matrix.apm.as_bytes(), matrix.aqm.as_bytes(), matrix.adm.as_bytes()];
        for (n, (mask, length)) in masks.into_iter().zip(ids).enumerate() {
            self.put(base + n * stride, &mask[..length]);
        }
    }

    /// Zeroes both APCBs, whatever the format (`kvm_arch_crypto_clear_masks`).
    pub(crate) fn clear_masks(&mut self) {
        self.put(APCB0, &[0; APCB0_LENGTH]);
        self.put(APCB1, &[0; APCB1_LENGTH]);
    }

    /// What SIE lets the guest have, read as `format` says.
    pub(crate) fn masks(&self, format: CrycbFormat) -> Matrix {
        let (base, stride, ids) = places(format);
        let mask = |n: usize| {
            let mut bytes = [0; 32];
            let start = base + n * stride;
            bytes[..ids[n]].copy_from_slice(&self.0[start..start + ids[n]]);
            bytes
        };
        Matrix { apm: Apm::from_bytes(mask(0)), aqm: Aqm::from_bytes(mask(1)), adm: Adm::from_bytes(mask(2)) }
    }

    /// Sets the AES wrapping key mask; zero disables.
    pub(crate) fn set_aes_key(&mut self, key: &[u8; AES_KEY_LENGTH]) {
        self.put(AES_KEY, key);
    }

    /// Sets the DEA wrapping key mask; zero disables.
    pub(crate) fn set_dea_key(&mut self, key: &[u8; DEA_KEY_LENGTH]) {
        self.put(DEA_KEY, key);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Where a format has its APCB, how far its masks are apart, and how many bytes of APM, AQM and ADM
/// count.
const fn places(format: CrycbFormat) -> (usize, usize, [usize; 3]) {
    match format {
        CrycbFormat::Format2 => (APCB1, 32, [32, 32, 32]),
        CrycbFormat::Format0 | CrycbFormat::Format1 => (APCB0, 8, [8, 2, 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjunct_ap::{Apid, Apqi, ControlDomain};

    /// Guest 1 of the vfio-ap documentation's example: adapters 5 and 6, domains 4 and 0xab.
    fn guest_1() -> Matrix {
        let mut matrix = Matrix::EMPTY;
        for apid in [5, 6] {
            matrix.apm.insert(Apid(apid));
        }
        for apqi in [4, 0xab] {
            matrix.aqm.insert(Apqi(apqi));
            matrix.adm.insert(ControlDomain(apqi));
        }
        matrix
    }

    /// Non-zero bytes with their offsets.
    fn set_bytes(crycb: &Crycb) -> Vec<(usize, u8)> {
        crycb.as_bytes().iter().copied().enumerate().filter(|(_, byte)| *byte != 0).collect()
    }

    #[test]
    fn format_2_has_guest_1_in_apcb1() {
        let mut crycb = Crycb::default();
        crycb.set_masks(CrycbFormat::Format2, &guest_1());
        let expected = [(0x80, 0x06), (0xa0, 0x08), (0xa0 + 21, 0x10), (0xc0, 0x08), (0xc0 + 21, 0x10)];
        assert_eq!(set_bytes(&crycb), expected);
        assert_eq!(crycb.masks(CrycbFormat::Format2), guest_1());
    }

    #[test]
    fn formats_0_and_1_have_guest_1_in_apcb0_without_its_high_domain() {
        for format in [CrycbFormat::Format0, CrycbFormat::Format1] {
            let mut crycb = Crycb::default();
            crycb.set_masks(format, &guest_1());
            assert_eq!(set_bytes(&crycb), [(0x00, 0x06), (0x08, 0x08), (0x10, 0x08)]);
            let seen = crycb.masks(format);
            assert_eq!(seen.apm, guest_1().apm);
            assert_eq!(seen.aqm.iter().collect::<Vec<_>>(), [Apqi(4)]);
        }
    }

    #[test]
    fn formats_0_and_1_cut_at_adapter_63_and_domain_15() {
        let all = Matrix { apm: Apm::ALL, aqm: Aqm::ALL, adm: Adm::ALL };
        let mut crycb = Crycb::default();
        crycb.set_masks(CrycbFormat::Format1, &all);
        let expected: Vec<_> = (0..8).chain(0x08..0x0a).chain(0x10..0x12).map(|at| (at, 0xff)).collect();
        assert_eq!(set_bytes(&crycb), expected);
        let seen = crycb.masks(CrycbFormat::Format1);
        assert_eq!((seen.apm.count(), seen.aqm.count(), seen.adm.count()), (64, 16, 16));
    }

    #[test]
    fn clearing_zeroes_both_apcbs_and_leaves_the_wrapping_keys() {
        let mut crycb = Crycb::default();
        crycb.set_aes_key(&[0xae; 32]);
        crycb.set_dea_key(&[0xde; 24]);
        crycb.set_masks(CrycbFormat::Format1, &guest_1());
        crycb.set_masks(CrycbFormat::Format2, &guest_1());
        crycb.clear_masks();
        let keys = (0x48..0x60).map(|at| (at, 0xde)).chain((0x60..0x80).map(|at| (at, 0xae)));
        assert_eq!(set_bytes(&crycb), keys.collect::<Vec<_>>());
    }

    #[test]
    fn the_format_follows_from_facility_76_and_apxa() {
        for (msax3, apxa, bits) in [(false, false, 0), (false, true, 0), (true, false, 1), (true, true, 3)] {
            let format = CrycbFormat::of_host(msax3, apxa);
            assert_eq!(format as u32, bits);
            assert_eq!(CrycbFormat::of_designation(0x1234_5600 | bits), Some(format));
        }
        assert_eq!(CrycbFormat::of_designation(2), None);
    }
}
