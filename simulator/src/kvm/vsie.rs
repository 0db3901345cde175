//! Guests of guests: the crypto control block that KVM makes when a guest (guest 2) executes START INTERPRETIVE
//! EXECUTION for a guest of its own (guest 3), so that guest 3 has no more than both allow (`arch/s390/kvm/vsie.c:
//! shadow_crycb`, 7.2).
//!
//! The simulated CPU has no such instruction. This is what KVM would do at one, for whoever has to know; it writes
//! nothing to guest 2's memory.

use super::{
    SieBlock,
    crycb::{Crycb, CrycbFormat, LENGTH},
    crypto::Crypto,
    vcpu::SimVcpu,
};
use adjunct_zarch::storage::{OutsideStorage, Storage};

/// Why guest 2's SIE block is no good: the reason code of the validity interception that guest 2 gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Validity(pub u16);

impl Validity {
    /// The format of guest 3's CRYCB is none, or one that guest 2 can't have.
    pub const FORMAT: Self = Self(0x0022);
    /// Guest 2 has no storage there.
    pub const NO_STORAGE: Self = Self(0x0035);
    /// The address is 0.
    pub const NO_ADDRESS: Self = Self(0x0039);
    /// It crosses a page.
    pub const CROSSES_PAGE: Self = Self(0x003c);
}

/// What SIE is given for guest 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The crypto part of the shadow SIE block. Its CRYCB designation is 0 when guest 3 has no use for one, and else of
    /// format 2, whatever guest 2 said.
    pub sie: SieBlock,
    /// The shadow CRYCB.
    crycb: Crycb,
    /// [`Crypto::generation`].
    generation: u64,
}

impl Shadow {
    /// The shadow CRYCB. Masks of formats 0 and 1 are in APCB1, unless the host itself has no format 2.
    pub fn crycb(&self) -> &[u8; LENGTH] {
        self.crycb.as_bytes()
    }
}

impl SimVcpu {
    /// What KVM gives SIE when this vCPU executes it with `guest3` as the crypto part of its operand.
    ///
    /// # Errors
    /// The validity interception that this vCPU gets instead.
    pub fn shadow_crycb(&self, guest3: SieBlock) -> Result<Shadow, Validity> {
        let (vm, id, prefix) = self.as_guest_2();
        let crypto = vm.crypto.enter();
        let guest2 = crypto.sie_block(id).unwrap_or_default();
        let ram = vm.memory.as_ref().and_then(|memory| memory.absolute());
        let read = |real: u64, buffer: &mut [u8]| {
            ram.as_ref().ok_or(OutsideStorage)?.read(absolute(real, prefix), buffer)
        };
        shadow(&crypto, guest2, guest3, read)
    }

    /// Whether this vCPU leaves SIE to make the shadow again: somebody has set or cleared the masks of its guest, or
    /// changed how keys are wrapped (`KVM_REQ_VSIE_RESTART`).
    pub fn leaves_vsie(&self, shadow: &Shadow) -> bool {
        let (vm, ..) = self.as_guest_2();
        vm.crypto.enter().generation() != shadow.generation
    }
}

/// `kvm_s390_real_to_abs`.
fn absolute(real: u64, prefix: u32) -> u64 {
    const LOWCORE: u64 = 0x2000;
    let prefix = u64::from(prefix);
    match real {
        0..LOWCORE => real + prefix,
        _ if (prefix..prefix + LOWCORE).contains(&real) => real - prefix,
        _ => real,
    }
}

/// Bits of [`SieBlock::ecd`] that wrap keys: `ECD_ECC`, `ECD_HMAC`.
const ECD_KEYS: u32 = 0x0020_0000 | 0x4000;
/// Where the wrapping keys are in a CRYCB, DEA's and AES', and how long they are together.
const KEYS: usize = 0x48;
const KEYS_LENGTH: usize = 56;
/// Where a CRYCB has its two APCBs.
const APCB0: usize = 0x00;
const APCB0_LENGTH: usize = 32;
const APCB1: usize = 0x80;
const APCB1_LENGTH: usize = 128;

/// `shadow_crycb`. `read` reads guest 2's storage by real addresses.
///
/// DEVNOTE: that a block *ends* with its page is refused like one that crosses it; the kernel looks one byte too far.
fn shadow(
    crypto: &Crypto,
    guest2: SieBlock,
    guest3: SieBlock,
    read: impl Fn(u64, &mut [u8]) -> Result<(), OutsideStorage>,
) -> Result<Shadow, Validity> {
    let mut sie = SieBlock::default();
    let mut crycb = [0; LENGTH];
    let done =
        |sie, crycb| Ok(Shadow { sie, crycb: Crycb::from_bytes(crycb), generation: crypto.generation() });
    let format = CrycbFormat::of_designation(guest3.crycbd);
    let interpret = guest2.eca & guest3.eca & SieBlock::ECA_APIE;
    if interpret == 0 && (!crypto.wraps() || format == Some(CrycbFormat::Format0)) {
        return done(sie, crycb);
    }
    let address = u64::from(guest3.crycbd & 0x7fff_fff8);
    if address == 0 {
        return Err(Validity::NO_ADDRESS);
    }
    let crosses = |length: u64| address >> 12 != (address + length) >> 12;
    if format == Some(CrycbFormat::Format1) && crosses(128) {
        return Err(Validity::CROSSES_PAGE);
    }
    let read = |at: usize, buffer: &mut [u8]| {
        read(address + at as u64, buffer).map_err(|OutsideStorage| Validity::NO_STORAGE)
    };
    if interpret != 0 {
        let length = match format {
            Some(CrycbFormat::Format2) => 256,
            Some(CrycbFormat::Format0) => 32,
            _ => 0,
        };
        if crosses(length) {
            return Err(Validity::CROSSES_PAGE);
        }
        let host = CrycbFormat::of_designation(guest2.crycbd);
        set_up_apcb(&mut crycb, crypto.crycb().as_bytes(), format, host, read)?;
        sie.eca = SieBlock::ECA_APIE;
    }
    let ecb3 = guest2.ecb3 & guest3.ecb3 & (SieBlock::ECB3_AES | SieBlock::ECB3_DEA);
    let ecd = guest2.ecd & guest3.ecd & ECD_KEYS;
    if ecb3 != 0 || ecd != 0 {
        let keys = &mut crycb[KEYS..KEYS + KEYS_LENGTH];
        read(KEYS, keys)?;
        let own = &crypto.crycb().as_bytes()[KEYS..KEYS + KEYS_LENGTH];
        keys.iter_mut().zip(own).for_each(|(key, own)| *key ^= own);
        (sie.ecb3, sie.ecd) = (ecb3, ecd);
    }
    sie.crycbd = crypto.shadow_crycbd();
    done(sie, crycb)
}

/// `setup_apcb`: what guest 2 gives guest 3 of what it has itself, in the format of the shadow.
fn set_up_apcb(
    shadow: &mut [u8; LENGTH],
    host: &[u8; LENGTH],
    guest3: Option<CrycbFormat>,
    guest2: Option<CrycbFormat>,
    read: impl Fn(usize, &mut [u8]) -> Result<(), Validity>,
) -> Result<(), Validity> {
    use CrycbFormat::{Format0, Format1, Format2};
    match (guest3.ok_or(Validity::FORMAT)?, guest2.ok_or(Validity::FORMAT)?) {
        (Format2, Format2) => and(shadow, host, APCB1, APCB1_LENGTH, read),
        (Format1, Format1) | (Format0, Format0 | Format1) => and(shadow, host, APCB0, APCB0_LENGTH, read),
        (Format0 | Format1, Format2) => {
            let mut own = [0; APCB0_LENGTH];
            read(APCB0, &mut own)?;
            // 64 adapters and 16 domains, each at the start of a mask of 256.
            for (from, to, length) in [(0x00, 0x80, 8), (0x08, 0xa0, 2), (0x10, 0xc0, 2)] {
                for byte in 0..length {
                    shadow[to + byte] = host[to + byte] & own[from + byte];
                }
            }
            Ok(())
        }
        (Format2, Format0 | Format1) | (Format1, Format0) => Err(Validity::FORMAT),
    }
}

/// An APCB of guest 3 and the same of guest 2, all of it.
fn and(
    shadow: &mut [u8; LENGTH],
    host: &[u8; LENGTH],
    at: usize,
    length: usize,
    read: impl Fn(usize, &mut [u8]) -> Result<(), Validity>,
) -> Result<(), Validity> {
    let apcb = &mut shadow[at..at + length];
    read(at, apcb)?;
    apcb.iter_mut().zip(&host[at..]).for_each(|(byte, own)| *byte &= own);
    Ok(())
}

#[cfg(test)]
mod tests;
