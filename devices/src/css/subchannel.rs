//! Operands of instructions for subchannels and channel paths, none of which is there: what is looked at before that is
//! found out. Functions and masks are those of QEMU's `target/s390x/ioinst.c` and `include/hw/s390x/ioinst.h`.

use crate::ProgramInterruption;

/// Bytes of a subchannel-information block.
pub(super) const SCHIB: u32 = 52;
/// Bytes of an interruption-response block without extended measurements.
pub(super) const IRB: u32 = 64;

/// The image of the channel subsystem that there is; no image 0 is, which stands for it (QEMU: `VIRTUAL_CSSID`).
pub(super) const IMAGE: u8 = 0xfe;

type Checked = Result<(), ProgramInterruption>;

/// An operand exception unless `valid`.
fn operand(valid: bool) -> Checked {
    if valid { Ok(()) } else { Err(ProgramInterruption::Operand) }
}

/// A subchannel-identification word: bit 15 of the word one, and no image named unless it says so
/// (`ioinst_disassemble_sch_ident`).
pub(super) fn check_id(gr1: u64) -> Checked {
    const ONE: u64 = 0x0001_0000;
    const IMAGE_IS_GIVEN: u64 = 0x0008_0000;
    const IMAGE_ID: u64 = 0xff00_0000;
    operand(gr1 & ONE != 0 && (gr1 & IMAGE_IS_GIVEN != 0 || gr1 & IMAGE_ID == 0))
}

/// RESET CHANNEL PATH: the image must be there; with one image only it is image 0 (`ioinst_handle_rchp` and
/// `hw/s390x/css.c: css_do_rchp`).
pub(super) fn check_path(gr1: u64, images: bool) -> Checked {
    const RESERVED: u64 = 0xff00_ff00;
    let [.., image, _, _] = gr1.to_be_bytes();
    operand(gr1 & RESERVED == 0 && image == if images { IMAGE } else { 0 })
}

/// SET ADDRESS LIMIT (`ioinst_handle_sal`).
pub(super) fn check_limit(gr1: u64) -> Checked {
    operand(gr1 & 0x8000_ffff == 0)
}

/// SET CHANNEL MONITOR: where it measures must be aligned, if that is set (`ioinst_handle_schm`).
pub(super) fn check_monitor(gr1: u64, gr2: u64) -> Checked {
    const RESERVED: u64 = 0x0fff_fffc;
    const MEASURE: u64 = 2;
    operand(gr1 & RESERVED == 0 && (gr1 & MEASURE == 0 || gr2 & 0x1f == 0))
}

/// A subchannel-information block, of which MODIFY SUBCHANNEL looks at the path-management-control word and the
/// measurement-block address.
pub(super) struct Schib(pub(super) [u8; SCHIB as usize]);

impl Schib {
    /// `ioinst_schib_valid`.
    pub(super) fn check(&self) -> Checked {
        const FLAGS_RESERVED: u16 = 0xc300;
        const RESERVED: u32 = 0xff1f_fff8;
        /// An address of a measurement block, which is 64 bytes.
        const MEASUREMENT_BLOCK: u32 = 4;
        const EXTENDED_MEASUREMENT: u32 = 2;
        let [_, _, _, _, flags @ ..] = self.0;
        let flags = u16::from_be_bytes([flags[0], flags[1]]);
        let word = |at: usize| self.0[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let characteristics = word(24);
        operand(
            flags & FLAGS_RESERVED == 0
                && characteristics & (RESERVED | EXTENDED_MEASUREMENT) == 0
                && (characteristics & MEASUREMENT_BLOCK == 0 || word(44) & 0x3f == 0),
        )
    }
}

/// The first three words of an operation-request block.
pub(super) struct Orb(pub(super) [u8; 12]);

impl Orb {
    /// `ioinst_orb_valid`.
    pub(super) fn check(&self) -> Checked {
        const CONTROL_RESERVED: u8 = 0x04;
        /// Reserved, and modified indirect data addressing, which is not there.
        const CONTROL_2_RESERVED: u8 = 0x3e | 0x40;
        const ADDRESS_RESERVED: u8 = 0x80;
        let [_, _, _, _, _, control, _, control_2, address, ..] = self.0;
        operand(
            control & CONTROL_RESERVED == 0
                && control_2 & CONTROL_2_RESERVED == 0
                && address & ADDRESS_RESERVED == 0,
        )
    }
}
