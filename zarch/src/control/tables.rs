//! Translation tables as an operand: LOAD REAL ADDRESS looks through them even while translation is off, and
//! INVALIDATE PAGE TABLE ENTRY writes into them. Accesses by the program do not use them yet.

use crate::execution::{Done, Execution, Trap};
use crate::general::arithmetic::pair;
use crate::instruction::Code;
use crate::interruption::ProgramCode;
use crate::operand::Address;
use crate::storage::Width;

/// Bit 58 of a region- or segment-table entry, and bit 53 of a page-table entry: invalid.
const TABLE_ENTRY_INVALID: u64 = 0x20;
const PAGE_INVALID: u64 = 0x400;

/// Why there is no real address.
enum NoAddress {
    /// Condition code 3: an ASCE type, region or table-length exception. No entry address is told here.
    Region,
    /// Condition code 1, and the entry that is invalid.
    Segment(u64),
    /// Condition code 2, and the entry that is invalid.
    Page(u64),
    Trap(Trap),
}

impl From<Trap> for NoAddress {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

/// The real address that the tables of an address-space-control element give (Principles of Operation, chapter 3,
/// "Translation Process"), without enhanced DAT.
fn walk(x: &Execution<'_>, asce: u64, virtual_address: u64) -> Result<u64, NoAddress> {
    const REAL_SPACE: u64 = 0x20;
    if asce & REAL_SPACE != 0 {
        return Ok(virtual_address);
    }
    // Designation type 3 is a region-first table; each level down translates 11 bits less.
    let kind = asce >> 2 & 3;
    let covered = 31 + 11 * kind;
    if covered < 64 && virtual_address >> covered != 0 {
        return Err(NoAddress::Region);
    }
    let mut origin = asce & !0xfff;
    let (mut offset, mut length) = (0, asce & 3);
    for level in (0..=kind).rev() {
        let index = virtual_address >> (20 + 11 * level) & 0x7ff;
        // Offset and length count quarters of a table.
        if !(offset..=length).contains(&(index >> 9)) {
            return Err(NoAddress::Region);
        }
        let at = origin.wrapping_add(index * 8);
        let entry = fetch(x, at)?;
        if entry & TABLE_ENTRY_INVALID != 0 {
            return Err(if level == 0 { NoAddress::Segment(at) } else { NoAddress::Region });
        }
        if entry >> 2 & 3 != level {
            return Err(NoAddress::Trap(ProgramCode::TranslationSpecification.into()));
        }
        origin = if level == 0 { entry & !0x7ff } else { entry & !0xfff };
        (offset, length) = (entry >> 6 & 3, entry & 3);
    }
    let at = origin + (virtual_address >> 12 & 0xff) * 8;
    let entry = fetch(x, at)?;
    if entry & PAGE_INVALID != 0 {
        return Err(NoAddress::Page(at));
    }
    if entry & 0x900 != 0 {
        return Err(NoAddress::Trap(ProgramCode::TranslationSpecification.into()));
    }
    Ok(entry & !0xfff | virtual_address & 0xfff)
}

fn fetch(x: &Execution<'_>, real: u64) -> Result<u64, NoAddress> {
    x.storage.load(x.prefixed(real), Width::Double).map_err(|outside| NoAddress::Trap(outside.into()))
}

/// LOAD REAL ADDRESS: LRA and LRAY (`WIDE` false), LRAG. The address space is the one that PSW bits 16-17 name.
pub(crate) fn load_real_address<A: Address, const WIDE: bool>(x: &mut Execution<'_>, code: Code) -> Done {
    let address = A::address(x, code);
    let asce = match x.state.psw.mask >> 46 & 3 {
        0 => x.state.crs[1],
        // Access-register translation is part of what is missing with translation.
        1 => return Err(Trap::Unsupported(crate::run::Absent::Dat)),
        2 => x.state.crs[7],
        _ => x.state.crs[13],
    };
    let (value, cc) = match walk(x, asce, address) {
        Ok(real) => (real, 0),
        Err(NoAddress::Segment(entry)) => (entry, 1),
        Err(NoAddress::Page(entry)) => (entry, 2),
        Err(NoAddress::Region) => {
            // A program-interruption code: region-third translation.
            let gpr = &mut x.state.gprs[code.n8()];
            *gpr = *gpr & !0xffff_ffff | 0x8000_003b;
            x.set_cc(3);
            return Ok(());
        }
        Err(NoAddress::Trap(trap)) => return Err(trap),
    };
    if WIDE || x.address_mask == u64::MAX {
        x.state.gprs[code.n8()] = value;
    } else if value > 0x7fff_ffff {
        return Err(ProgramCode::SpecialOperation.into());
    } else {
        let gpr = &mut x.state.gprs[code.n8()];
        *gpr = *gpr & !0xffff_ffff | value;
    }
    x.set_cc(cc);
    Ok(())
}

/// INVALIDATE PAGE TABLE ENTRY: entry R2 of the table at R1, and with facility 13 as many after it as R3 says. There is
/// no TLB to clear.
pub(crate) fn invalidate_page(x: &mut Execution<'_>, code: Code) -> Done {
    let table = x.state.gprs[code.n24()] & !0x7ff;
    let first = x.state.gprs[code.n28()] >> 12 & 0xff;
    let more = if x.facility(13) && code.n16() != 0 { x.state.gprs[code.n16()] & 0xff } else { 0 };
    for index in first..=(first + more).min(0xff) {
        let absolute = x.prefixed(table + index * 8);
        let entry = x.storage.load(absolute, Width::Double)?;
        x.storage.store(absolute, Width::Double, entry | PAGE_INVALID)?;
    }
    Ok(())
}

/// COMPARE AND SWAP AND PURGE of 32 bits: R1 pair, and storage at R2.
pub(crate) fn compare_and_swap_and_purge(x: &mut Execution<'_>, code: Code) -> Done {
    let even = pair(code.n24())?;
    let address = x.pointer(code.n28()) & !3;
    let expected = x.state.gprs[even] & 0xffff_ffff;
    let old = x.swap_if_equal(address, Width::Word, expected, x.state.gprs[even + 1])?;
    if old == expected {
        x.set_cc(0);
    } else {
        x.state.gprs[even] = x.state.gprs[even] & !0xffff_ffff | old;
        x.set_cc(1);
    }
    Ok(())
}
