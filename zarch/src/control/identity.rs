//! What the machine is: CPU identification, facilities, system information.

use crate::environment::{CpuCounts, Machine};
use crate::execution::{Done, Execution, SPECIFICATION};
use crate::instruction::Code;
use crate::operand::{Address, Bd};
use crate::storage::Width;

/// Where STFL stores, a real address.
const FACILITY_LIST: u64 = 0xc8;

/// STORE CPU ID.
pub(crate) fn store_cpu_id(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Double)?;
    let cpuid = x.environment.machine().cpuid;
    x.store(address, Width::Double, cpuid)
}

/// STORE CPU ADDRESS.
pub(crate) fn store_cpu_address(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Half)?;
    let own = u64::from(x.environment.cpu_address());
    x.store(address, Width::Half, own)
}

/// STORE FACILITY LIST: the first word of the list.
pub(crate) fn store_facility_list(x: &mut Execution<'_>, _: Code) -> Done {
    let [a, b, c, d, ..] = *x.environment.facilities();
    let absolute = x.prefixed(FACILITY_LIST);
    Ok(x.storage.write(absolute, &[a, b, c, d])?)
}

/// STORE FACILITY LIST EXTENDED: as many doublewords as GR0 says, and the number there are into GR0.
pub(crate) fn store_facility_list_extended(x: &mut Execution<'_>, code: Code) -> Done {
    let address = Bd::address(x, code);
    x.aligned(address, Width::Double)?;
    let list = *x.environment.facilities();
    let there = list.iter().rposition(|&byte| byte != 0).map_or(1, |last| last / 8 + 1);
    let asked = usize::from(x.state.gprs[0] as u8) + 1;
    x.write(address, &list[..8 * asked.min(there)])?;
    x.state.gprs[0] = x.state.gprs[0] & !0xff | (there - 1) as u64;
    x.set_cc(if asked >= there { 0 } else { 3 });
    Ok(())
}

/// EXTRACT CPU ATTRIBUTE: there are no caches, so the topology summary is zero and every attribute is unknown.
pub(crate) fn extract_cpu_attribute(x: &mut Execution<'_>, code: Code) -> Done {
    let attribute = x.base(code.n16(), code.long_displacement()) >> 4 & 0xf;
    x.state.gprs[code.n8()] = if attribute == 0 { 0 } else { u64::MAX };
    Ok(())
}

/// STORE SYSTEM INFORMATION.
pub(crate) fn store_system_information(x: &mut Execution<'_>, code: Code) -> Done {
    let (gr0, gr1) = (x.state.gprs[0], x.state.gprs[1]);
    let function = gr0 as u32 >> 28;
    if function > 3 {
        x.set_cc(3);
        return Ok(());
    }
    if gr0 & 0x0fff_ff00 != 0 || gr1 & 0xffff_0000 != 0 {
        return Err(SPECIFICATION);
    }
    let machine = x.environment.machine();
    if function == 0 {
        let level = match (&machine.partition, &machine.virtual_machine) {
            (_, Some(_)) => 3,
            (Some(_), None) => 2,
            (None, None) => 1,
        };
        x.state.gprs[0] = gr0 & !0xffff_ffff | level << 28;
        x.set_cc(0);
        return Ok(());
    }
    let block = information(machine, x.environment.cpu_address(), (function, gr0 as u8, gr1 as u16));
    let address = Bd::address(x, code);
    if address & 0xfff != 0 {
        return Err(SPECIFICATION);
    }
    match block {
        Some(block) => {
            x.write(address, &block)?;
            x.set_cc(0);
        }
        None => x.set_cc(3),
    }
    Ok(())
}

/// A system-information block (SYSIB) being filled. Offsets are those of the Principles of Operation, chapter 10.
struct Block([u8; 4096]);

impl Block {
    fn text(&mut self, offset: usize, length: usize, text: &str) {
        let padded = text.chars().chain(std::iter::repeat(' '));
        for (slot, character) in self.0[offset..offset + length].iter_mut().zip(padded) {
            *slot = ebcdic(character);
        }
    }
    fn half(&mut self, offset: usize, value: u16) {
        self.0[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
    }
    fn word(&mut self, offset: usize, value: u32) {
        self.0[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
    }
    fn counts(&mut self, offset: usize, cpus: CpuCounts) {
        for (index, count) in
            [cpus.total, cpus.configured, cpus.standby, cpus.reserved].into_iter().enumerate()
        {
            self.half(offset + 2 * index, count);
        }
    }
}

/// The block of function code and selectors; `None` where there is none.
fn information(machine: &Machine, cpu_address: u16, selectors: (u32, u8, u16)) -> Option<[u8; 4096]> {
    let mut block = Block([0; 4096]);
    match selectors {
        (1, 1, 1) => {
            block.text(32, 16, &machine.manufacturer);
            block.text(48, 4, &machine.machine_type);
            block.text(64, 16, &machine.model);
            block.text(80, 16, &machine.sequence);
            block.text(96, 4, &machine.plant);
            block.text(100, 16, &machine.model);
        }
        (1, 2, 1) => {
            block.text(80, 16, &machine.sequence);
            block.text(96, 4, &machine.plant);
            block.half(102, cpu_address);
        }
        (1, 2, 2) => {
            block.word(32, machine.capability);
            block.counts(36, machine.cpus);
        }
        (2, 2, 1) => {
            machine.partition.as_ref()?;
            block.text(80, 16, &machine.sequence);
            block.text(96, 4, &machine.plant);
            block.half(100, cpu_address);
            block.half(102, cpu_address);
        }
        (2, 2, 2) => {
            let partition = machine.partition.as_ref()?;
            block.half(32, partition.number);
            block.counts(36, partition.cpus);
            block.text(44, 8, &partition.name);
            block.word(52, partition.capability_adjustment);
            block.half(74, partition.cpus.configured);
        }
        (3, 2, 2) => {
            let guest = machine.virtual_machine.as_ref()?;
            block.0[31] = 1;
            block.counts(36, guest.cpus);
            block.text(44, 8, &guest.name);
            block.word(52, guest.capability_adjustment);
            block.text(56, 16, &guest.control_program);
            block.0[80..96].copy_from_slice(&guest.uuid);
        }
        _ => return None,
    }
    Some(block.0)
}

/// EBCDIC (code page 1047) of the characters that names are made of; a blank for any other.
fn ebcdic(character: char) -> u8 {
    let from = |base: u8, first: char| base + (character as u32 - first as u32) as u8;
    match character {
        'A'..='I' => from(0xc1, 'A'),
        'J'..='R' => from(0xd1, 'J'),
        'S'..='Z' => from(0xe2, 'S'),
        'a'..='i' => from(0x81, 'a'),
        'j'..='r' => from(0x91, 'j'),
        's'..='z' => from(0xa2, 's'),
        '0'..='9' => from(0xf0, '0'),
        '/' => 0x61,
        '-' => 0x60,
        '.' => 0x4b,
        '_' => 0x6d,
        _ => 0x40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_ebcdic_that_iconv_makes() {
        let text: Vec<u8> = "KVM/Linux z9-a.b_C".chars().map(ebcdic).collect();
        // printf 'KVM/Linux z9-a.b_C' | iconv -t IBM1047 | xxd -p
        assert_eq!(
            text,
            [
                0xd2, 0xe5, 0xd4, 0x61, 0xd3, 0x89, 0x95, 0xa4, 0xa7, 0x40, 0xa9, 0xf9, 0x60, 0x81, 0x4b,
                0x82, 0x6d, 0xc3
            ]
        );
    }
}
