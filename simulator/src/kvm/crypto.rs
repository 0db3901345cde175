//! KVM's crypto half of a VM: what user space allowed, the CRYCB, and what each vCPU's SIE block
//! says of it (`arch/s390/kvm/kvm-s390.c`, 7.2: `kvm_s390_crypto_init`, `kvm_s390_vm_set_crypto`,
//! `kvm_s390_vcpu_crypto_setup`, `kvm_arch_crypto_set_masks`).
//!
//! It does not know who decides on the masks (vfio_ap) nor what runs under them (the vCPUs).

use super::crycb::{Crycb, CrycbFormat};
use adjunct_ap::Matrix;
use adjunct_hypervisor::CryptoAttribute;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The crypto part of a vCPU's SIE control block (`struct kvm_s390_sie_block`), at its offsets there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SieBlock {
    /// 0x4c, execution controls A: [`SieBlock::ECA_APIE`], [`SieBlock::ECA_AIV`].
    pub eca: u32,
    /// 0x63, execution controls B, byte 3: [`SieBlock::ECB3_AES`], [`SieBlock::ECB3_DEA`].
    pub ecb3: u8,
    /// 0xfc, CRYCB designation: its address and, in the low two bits, its format. 0 without one.
    pub crycbd: u32,
    /// 0x1c8, execution controls D. Always 0: the simulated machine has no PCKMO function that wraps
    /// ECC or HMAC keys.
    pub ecd: u32,
}

impl SieBlock {
    /// AP instructions are interpreted.
    pub const ECA_APIE: u32 = 0x0000_0008;
    /// Adapter interruptions are virtualised: there is a GISA.
    pub const ECA_AIV: u32 = 0x0020_0000;
    /// AES key wrapping.
    pub const ECB3_AES: u8 = 0x04;
    /// DEA key wrapping.
    pub const ECB3_DEA: u8 = 0x08;

    /// Whether SIE interprets AP instructions.
    pub const fn interprets_ap(&self) -> bool {
        self.eca & Self::ECA_APIE != 0
    }
}

/// What the host brings to a VM's crypto setup.
#[derive(Clone, Copy, Debug)]
pub(super) struct CryptoHost {
    /// The host has AP instructions.
    pub(super) ap: bool,
    /// The machine has facility 76, MSA extension 3.
    pub(super) msax3: bool,
    /// KVM offers facility 76 to guests, in its default CPU model.
    pub(super) wrapping: bool,
    /// APXA in the host's own AP configuration.
    pub(super) apxa: bool,
    /// Adapter interruptions can be virtualised (AIV).
    pub(super) aiv: bool,
}

/// Why an attribute was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CryptoRefusal {
    /// EINVAL: key wrapping without facility 76 in the guest's model.
    NoWrapping,
    /// EOPNOTSUPP: AP interpretation without AP instructions on the host.
    NoAp,
}

/// The crypto state of one VM.
///
/// It lives behind a read-write lock: a vCPU reads while it executes an AP instruction (it is "in
/// SIE"), and a writer is what the kernel does when it takes all vCPUs out of SIE first.
#[derive(Debug)]
pub(super) struct Crypto {
    host: CryptoHost,
    /// Facility 76 in the guest's model.
    wrapping: bool,
    apie: bool,
    aes_kw: bool,
    dea_kw: bool,
    crycbd: u32,
    format: CrycbFormat,
    crycb: Crycb,
    vcpus: Vec<SieBlock>,
    generation: u64,
}

impl Crypto {
    /// A new VM's: no AP interpretation; both kinds of key wrapping with random keys where there is
    /// facility 76. `origin` is where the CRYCB is, a multiple of 256 below 2 GiB.
    ///
    /// DEVNOTE: KVM decides on the format and on key wrapping by one bit, facility 76 of its default
    /// model. Here they part: the machine has facility 76 and so the CRYCB has its format, but guests
    /// are not offered it while the interpreter lacks PCKMO. User space sees the same from a real host
    /// when it takes facility 76 from a guest.
    pub(super) fn new(host: CryptoHost, origin: u32) -> Self {
        let format = CrycbFormat::of_host(host.msax3, host.apxa);
        let mut crypto = Self {
            host,
            wrapping: host.wrapping,
            apie: false,
            aes_kw: false,
            dea_kw: false,
            crycbd: origin & !CrycbFormat::MASK | format as u32,
            format,
            crycb: Crycb::default(),
            vcpus: Vec::new(),
            generation: 0,
        };
        if host.wrapping {
            crypto.wrap_aes(true);
            crypto.wrap_dea(true);
        }
        crypto
    }

    /// Whether the attribute exists (`kvm_s390_vm_has_attr`).
    pub(super) fn has(&self, attribute: CryptoAttribute) -> bool {
        match attribute {
            CryptoAttribute::EnableApie | CryptoAttribute::DisableApie => self.host.ap,
            _ => true,
        }
    }

    /// Says whether [`Crypto::set`] may follow, without changing anything.
    pub(super) fn check(&self, attribute: CryptoAttribute) -> Result<(), CryptoRefusal> {
        match attribute {
            CryptoAttribute::EnableApie | CryptoAttribute::DisableApie if !self.host.ap => {
                Err(CryptoRefusal::NoAp)
            }
            CryptoAttribute::EnableApie | CryptoAttribute::DisableApie => Ok(()),
            _ if !self.wrapping => Err(CryptoRefusal::NoWrapping),
            _ => Ok(()),
        }
    }

    /// Sets an attribute, before or after vCPUs exist, and sets every vCPU up again.
    ///
    /// # Errors
    /// As [`Crypto::check`]; nothing changes then.
    pub(super) fn set(&mut self, attribute: CryptoAttribute) -> Result<(), CryptoRefusal> {
        self.check(attribute)?;
        match attribute {
            CryptoAttribute::EnableAesKw => self.wrap_aes(true),
            CryptoAttribute::EnableDeaKw => self.wrap_dea(true),
            CryptoAttribute::DisableAesKw => self.wrap_aes(false),
            CryptoAttribute::DisableDeaKw => self.wrap_dea(false),
            CryptoAttribute::EnableApie => self.apie = true,
            CryptoAttribute::DisableApie => self.apie = false,
        }
        for id in 0..self.vcpus.len() {
            self.vcpus[id] = self.set_up(self.vcpus[id]);
        }
        self.generation += 1;
        Ok(())
    }

    /// The guest's model has, or has not, facility 76.
    pub(super) fn set_guest_msax3(&mut self, msax3: bool) {
        self.wrapping = msax3;
    }

    /// vCPUs from now on have no GISA (`kvm_s390_gisa_init`).
    pub(super) fn without_gisa(&mut self) {
        self.host.aiv = false;
    }

    /// Adds a vCPU; its id is the number of those before it.
    pub(super) fn add_vcpu(&mut self) {
        let gisa = if self.host.aiv { SieBlock::ECA_AIV } else { 0 };
        let sie = self.set_up(SieBlock { eca: gisa, ..SieBlock::default() });
        self.vcpus.push(sie);
    }

    /// The SIE block of vCPU `id`.
    pub(super) fn sie_block(&self, id: u16) -> Option<SieBlock> {
        self.vcpus.get(usize::from(id)).copied()
    }

    /// The block at the VM's CRYCB designation.
    pub(super) fn crycb(&self) -> &Crycb {
        &self.crycb
    }

    /// Changes with everything that guests of the guest depend on.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the guest's model has facility 76, so that keys can be wrapped.
    pub(super) fn wraps(&self) -> bool {
        self.wrapping
    }

    /// The designation of a shadow CRYCB, which is always of format 2. Nobody reads the host's memory.
    pub(super) fn shadow_crycbd(&self) -> u32 {
        // Where `struct vsie_page` has it.
        self.crycbd & !0xfff | 0x6f8 | CrycbFormat::Format2 as u32
    }

    /// What the SIE block `sie` lets AP instructions have: nothing without a CRYCB.
    pub(super) fn masks(&self, sie: SieBlock) -> Matrix {
        match CrycbFormat::of_designation(sie.crycbd) {
            Some(format) if sie.crycbd != 0 => self.crycb.masks(format),
            _ => Matrix::EMPTY,
        }
    }

    /// Gives the guest `matrix`.
    pub(super) fn set_masks(&mut self, matrix: &Matrix) {
        self.crycb.set_masks(self.format, matrix);
        self.generation += 1;
    }

    /// Takes everything from the guest.
    pub(super) fn clear_masks(&mut self) {
        self.crycb.clear_masks();
        self.generation += 1;
    }

    /// DEVNOTE: without AP interpretation and facility 76 the kernel returns before it clears
    /// anything, so a vCPU keeps an ECA_APIE that it had: DISABLE_APIE does nothing then.
    fn set_up(&self, mut sie: SieBlock) -> SieBlock {
        if !self.apie && !self.wrapping {
            return sie;
        }
        sie.crycbd = self.crycbd;
        sie.eca &= !SieBlock::ECA_APIE;
        sie.ecb3 &= !(SieBlock::ECB3_AES | SieBlock::ECB3_DEA);
        if self.apie {
            sie.eca |= SieBlock::ECA_APIE;
        }
        if self.aes_kw {
            sie.ecb3 |= SieBlock::ECB3_AES;
        }
        if self.dea_kw {
            sie.ecb3 |= SieBlock::ECB3_DEA;
        }
        sie
    }

    fn wrap_aes(&mut self, on: bool) {
        self.aes_kw = on;
        self.crycb.set_aes_key(&if on { wrapping_key() } else { [0; 32] });
    }

    fn wrap_dea(&mut self, on: bool) {
        self.dea_kw = on;
        self.crycb.set_dea_key(&if on { wrapping_key() } else { [0; 24] });
    }
}

/// A fresh wrapping key mask. The standard library's hash seeds are random enough: the simulated
/// machine wraps no key with it, guests can't see it, it only has to differ every time.
fn wrapping_key<const N: usize>() -> [u8; N] {
    let mut key = [0; N];
    for chunk in key.chunks_mut(8) {
        let random = RandomState::new().build_hasher().finish().to_be_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const Z_HOST: CryptoHost = CryptoHost { ap: true, msax3: true, wrapping: true, apxa: true, aiv: true };
    const ORIGIN: u32 = 0x0123_4800;

    fn with_vcpu(host: CryptoHost) -> Crypto {
        let mut crypto = Crypto::new(host, ORIGIN);
        crypto.add_vcpu();
        crypto
    }

    #[test]
    fn a_new_vm_wraps_keys_and_leaves_ap_instructions_to_user_space() {
        let sie = with_vcpu(Z_HOST).sie_block(0).expect("one vCPU");
        let wrapping = SieBlock::ECB3_AES | SieBlock::ECB3_DEA;
        assert_eq!(sie, SieBlock { eca: SieBlock::ECA_AIV, ecb3: wrapping, crycbd: ORIGIN | 3, ecd: 0 });
    }

    #[test]
    fn ap_interpretation_may_be_switched_after_vcpus_exist() {
        let mut crypto = with_vcpu(Z_HOST);
        crypto.set(CryptoAttribute::EnableApie).expect("the host has AP");
        assert!(crypto.sie_block(0).expect("one vCPU").interprets_ap());
        crypto.set(CryptoAttribute::DisableApie).expect("the host has AP");
        assert!(!crypto.sie_block(0).expect("one vCPU").interprets_ap());
    }

    #[test]
    fn without_facility_76_there_is_no_crycb_until_ap_is_interpreted_and_disabling_does_nothing() {
        let mut crypto = with_vcpu(CryptoHost { msax3: false, wrapping: false, ..Z_HOST });
        crypto.set_masks(&Matrix { apm: adjunct_ap::Apm::ALL, ..Matrix::EMPTY });
        let sie = crypto.sie_block(0).expect("one vCPU");
        assert_eq!((sie.crycbd, sie.ecb3), (0, 0));
        assert_eq!(crypto.masks(sie), Matrix::EMPTY);
        crypto.set(CryptoAttribute::EnableApie).expect("the host has AP");
        assert_eq!(crypto.sie_block(0).expect("one vCPU").crycbd, ORIGIN);
        crypto.set(CryptoAttribute::DisableApie).expect("the host has AP");
        assert!(crypto.sie_block(0).expect("one vCPU").interprets_ap());
    }

    #[test]
    fn key_wrapping_needs_facility_76_in_the_guest_and_apie_needs_ap_on_the_host() {
        let mut crypto = Crypto::new(CryptoHost { ap: false, ..Z_HOST }, ORIGIN);
        assert_eq!(crypto.set(CryptoAttribute::EnableApie), Err(CryptoRefusal::NoAp));
        assert_eq!(crypto.set(CryptoAttribute::DisableApie), Err(CryptoRefusal::NoAp));
        assert!(!crypto.has(CryptoAttribute::EnableApie) && crypto.has(CryptoAttribute::EnableAesKw));
        crypto.set_guest_msax3(false);
        for attribute in [
            CryptoAttribute::EnableAesKw,
            CryptoAttribute::EnableDeaKw,
            CryptoAttribute::DisableAesKw,
            CryptoAttribute::DisableDeaKw,
        ] {
            assert_eq!(crypto.set(attribute), Err(CryptoRefusal::NoWrapping));
        }
    }

    // 186: kvm-s390.c:kvm_s390_vm_set_crypto
    #[test]
    fn every_enabling_of_key_wrapping_makes_a_new_key_and_disabling_zeroes_it() {
        let mut crypto = with_vcpu(Z_HOST);
        let keys = |crypto: &Crypto| crypto.crycb().as_bytes()[0x48..0x80].to_vec();
        let mut seen = vec![keys(&crypto)];
        for attribute in [CryptoAttribute::EnableAesKw, CryptoAttribute::EnableDeaKw] {
            crypto.set(attribute).expect("facility 76");
            assert!(!seen.contains(&keys(&crypto)), "{attribute:?}");
            seen.push(keys(&crypto));
        }
        crypto.set(CryptoAttribute::DisableAesKw).expect("facility 76");
        crypto.set(CryptoAttribute::DisableDeaKw).expect("facility 76");
        assert_eq!(keys(&crypto), [0; 56]);
        assert_eq!(crypto.sie_block(0).expect("one vCPU").ecb3, 0);
    }
}
