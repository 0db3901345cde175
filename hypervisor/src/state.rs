//! The architected state of a vCPU that a VMM touches.

/// Program status word, 16 bytes, z/Architecture format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Psw {
    /// Bits 0-63.
    pub mask: u64,
    /// Instruction address.
    pub address: u64,
}

impl Psw {
    /// The condition code, bits 18-19.
    pub const CONDITION_CODE: u64 = 0x0000_3000_0000_0000;
    /// Problem state, bit 15.
    pub const PROBLEM_STATE: u64 = 0x0001_0000_0000_0000;
    /// 64-bit addressing, bits 31 and 32: what a Linux kernel is started with.
    pub const MASK_64BIT: u64 = 0x0000_0001_8000_0000;

    /// The condition code, 0 to 3.
    pub fn condition_code(&self) -> u8 {
        ((self.mask & Self::CONDITION_CODE) >> 44).to_le_bytes()[0]
    }

    /// The access key, 0 to 15: bits 8-11.
    pub fn key(&self) -> u8 {
        (self.mask >> 52).to_le_bytes()[0] & 0xf
    }

    /// Sets the condition code; only the low two bits of `cc` count.
    pub fn set_condition_code(&mut self, cc: u8) {
        self.mask = self.mask & !Self::CONDITION_CODE | u64::from(cc & 3) << 44;
    }
}

impl std::fmt::Display for Psw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x} {:016x}", self.mask, self.address)
    }
}

/// What KVM keeps in `struct kvm_sync_regs` and `kvm_run` for every exit (PSW, GPRS, ACRS, CRS and
/// PREFIX are always valid).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuState {
    /// Program status word.
    pub psw: Psw,
    /// General registers.
    pub gprs: [u64; 16],
    /// Access registers.
    pub acrs: [u32; 16],
    /// Control registers.
    pub crs: [u64; 16],
    /// Address of the prefix area (8 KiB).
    pub prefix: u32,
}

/// Registers that a CPU has by facilities of its model, as SIGP's STORE ADDITIONAL STATUS AT ADDRESS stores them: `None` is
/// what the guest's model is without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdditionalState {
    /// Vector registers, bits 0-63 first; facility 129. The left halves of the first 16 are the floating-point registers.
    pub vrs: Option<[[u64; 2]; 32]>,
    /// Guarded-storage control block; facility 133.
    pub gscb: Option<[u64; 4]>,
}

/// What a guest's TOD clock shows: `struct kvm_s390_vm_tod_clock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tod {
    /// How often the clock has come to its end: 0 without facility 139 (multiple epoch).
    pub epoch_index: u8,
    /// The clock, in units of 2^-12 microseconds.
    pub clock: u64,
}

/// How much a CPU reset clears (`KVM_S390_NORMAL_RESET` and its kin).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuReset {
    /// Pending interruptions of this CPU.
    Normal,
    /// Also PSW, prefix, timers; control registers to their initial values.
    Initial,
    /// Also general, access and vector registers.
    Clear,
}

/// `KVM_SET_MP_STATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// `KVM_MP_STATE_STOPPED` (5).
    Stopped,
    /// `KVM_MP_STATE_OPERATING` (7).
    Operating,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_code_is_bits_18_and_19_of_the_psw() {
        let mut psw = Psw { mask: u64::MAX, address: 0 };
        psw.set_condition_code(1);
        assert_eq!(psw.mask, !0x0000_2000_0000_0000);
        assert_eq!(psw.condition_code(), 1);
    }

    #[test]
    fn the_access_key_is_bits_8_to_11_of_the_psw() {
        assert_eq!(Psw { mask: 0x0090_0000_0000_0000, address: 0 }.key(), 9);
        assert_eq!(Psw { mask: !0x00f0_0000_0000_0000, address: u64::MAX }.key(), 0);
    }
}
