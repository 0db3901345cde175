//! READ SCP INFO and READ CPU INFO: the facts of the machine.

use super::{command::Response, sccb::Sccb};

/// The facts of a machine that SCLP tells its guest. A CPU model and the options of the VM decide
/// them; the byte blocks are in the architecture's bit order (bit 0 leftmost).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScpInfo {
    /// Guest memory in bytes, a multiple of 1 MiB.
    pub memory: u64,
    /// Number of CPUs, with the CPU addresses from 0; at most 248 make sense.
    pub cpus: u8,
    /// Instruction-blocking control: lowest level in the upper, unblocked level in the lower half.
    pub ibc: u32,
    /// Configuration characteristics, bytes 80 to 98 of the SCCB.
    pub conf_char: [u8; 19],
    /// Extended configuration characteristics, bytes 116 to 119.
    pub conf_char_ext: [u8; 4],
    /// Facilities in byte 134; only told with `extended_length`.
    pub fac134: u8,
    /// Facilities in byte 139; only told with `extended_length`.
    pub fac139: u8,
    /// CPU features, for every CPU.
    pub cpu_features: [u8; 6],
    /// Hypervisor-managed facilities.
    pub hmfai: u32,
    /// Log2 of the highest absolute address plus 1 that the machine could have.
    pub mha_pow: u8,
    /// Load parameter in EBCDIC; eight blanks (0x40) if there is none.
    pub loadparm: [u8; 8],
    /// The extended-length-SCCB facility (STFLE bit 140, feature `els`).
    pub extended_length: bool,
}

impl Default for ScpInfo {
    /// One CPU without any feature, 1 MiB of memory, no load parameter.
    fn default() -> Self {
        Self {
            memory: 1 << 20,
            cpus: 1,
            ibc: 0,
            conf_char: [0; 19],
            conf_char_ext: [0; 4],
            fac134: 0,
            fac139: 0,
            cpu_features: [0; 6],
            hmfai: 0,
            mha_pow: 0,
            loadparm: [0x40; 8],
            extended_length: false,
        }
    }
}

/// READ CPU INFO exists, and so does CONFIGURE I/O ADAPTER.
const FACILITIES: u64 = 0x0800_0000_0000_0000 | 0x4000_0000;
const CPU_ENTRY: usize = 16;

/// Offsets in the SCCB of READ SCP INFO (QEMU: `include/hw/s390x/sclp.h: struct ReadInfo`).
mod scp {
    pub(super) const RNMAX: usize = 8;
    pub(super) const RNSIZE: usize = 10;
    pub(super) const CPU_COUNT: usize = 16;
    pub(super) const CPU_OFFSET: usize = 18;
    pub(super) const LOADPARM: usize = 24;
    pub(super) const FACILITIES: usize = 48;
    pub(super) const IBC: usize = 76;
    pub(super) const CONF_CHAR: usize = 80;
    pub(super) const MHA_POW: usize = 99;
    pub(super) const RNMAX2: usize = 104;
    pub(super) const CONF_CHAR_EXT: usize = 116;
    pub(super) const HIGHEST_CPU: usize = 120;
    pub(super) const HMFAI: usize = 124;
    pub(super) const FAC134: usize = 134;
    pub(super) const FAC139: usize = 139;
    /// Where the CPU entries begin without and with the extended-length-SCCB facility. Without it
    /// they begin where byte 134 would be, which is why that byte needs the facility.
    pub(super) const ENTRIES: usize = 128;
    pub(super) const ENTRIES_EXTENDED: usize = 144;
}

/// Offsets in the SCCB of READ CPU INFO (`struct ReadCpuInfo`).
mod cpu {
    pub(super) const CONFIGURED_COUNT: usize = 8;
    pub(super) const CONFIGURED_OFFSET: usize = 10;
    pub(super) const STANDBY_COUNT: usize = 12;
    pub(super) const STANDBY_OFFSET: usize = 14;
    pub(super) const ENTRIES: usize = 24;
}

impl ScpInfo {
    pub(super) fn read_scp_info(&self, sccb: &mut Sccb) -> Response {
        if !self.is_long_enough(sccb, scp::ENTRIES_EXTENDED) {
            return Response::InsufficientLength;
        }
        let entries = if self.extended_length { scp::ENTRIES_EXTENDED } else { scp::ENTRIES };
        // Memory is counted in increments of 1 MiB; the old field is 0 when it can't hold the count.
        let increments = self.memory >> 20;
        match u16::try_from(increments) {
            Ok(count) => sccb.put(scp::RNMAX, &count.to_be_bytes()),
            Err(_) => {
                sccb.put(scp::RNMAX, &[0; 2]);
                sccb.put(scp::RNMAX2, &increments.to_be_bytes());
            }
        }
        sccb.put(scp::RNSIZE, &[1]);
        sccb.put(scp::CPU_COUNT, &u16::from(self.cpus).to_be_bytes());
        sccb.put(scp::CPU_OFFSET, &be16(entries));
        sccb.put(scp::LOADPARM, &self.loadparm);
        sccb.put(scp::FACILITIES, &FACILITIES.to_be_bytes());
        sccb.put(scp::IBC, &self.ibc.to_be_bytes());
        sccb.put(scp::CONF_CHAR, &self.conf_char);
        sccb.put(scp::MHA_POW, &[self.mha_pow]);
        sccb.put(scp::CONF_CHAR_EXT, &self.conf_char_ext);
        sccb.put(scp::HIGHEST_CPU, &u16::from(self.cpus.saturating_sub(1)).to_be_bytes());
        sccb.put(scp::HMFAI, &self.hmfai.to_be_bytes());
        if self.extended_length {
            sccb.put(scp::FAC134, &[self.fac134]);
            sccb.put(scp::FAC139, &[self.fac139]);
        }
        self.put_cpus(sccb, entries);
        Response::Read
    }

    pub(super) fn read_cpu_info(&self, sccb: &mut Sccb) -> Response {
        if !self.is_long_enough(sccb, cpu::ENTRIES) {
            return Response::InsufficientLength;
        }
        sccb.put(cpu::CONFIGURED_COUNT, &u16::from(self.cpus).to_be_bytes());
        sccb.put(cpu::CONFIGURED_OFFSET, &be16(cpu::ENTRIES));
        sccb.put(cpu::STANDBY_COUNT, &[0; 2]);
        sccb.put(cpu::STANDBY_OFFSET, &be16(self.length_with(cpu::ENTRIES)));
        self.put_cpus(sccb, cpu::ENTRIES);
        Response::Read
    }

    /// Whether the SCCB has room for `fixed` bytes and all CPUs. If not, a guest that allows it is told
    /// the length to come back with.
    fn is_long_enough(&self, sccb: &mut Sccb, fixed: usize) -> bool {
        let required = self.length_with(fixed);
        if sccb.bytes().len() >= required {
            return true;
        }
        if self.extended_length && sccb.has_variable_length() {
            sccb.set_length(u16::from_be_bytes(be16(required)));
        }
        false
    }

    fn length_with(&self, fixed: usize) -> usize {
        fixed + usize::from(self.cpus) * CPU_ENTRY
    }

    /// CPU entry: address, reserved, features (6), reserved (6), type, reserved.
    fn put_cpus(&self, sccb: &mut Sccb, offset: usize) {
        for address in 0..self.cpus {
            let mut entry = [0; CPU_ENTRY];
            entry[0] = address;
            entry[2..8].copy_from_slice(&self.cpu_features);
            sccb.put(offset + usize::from(address) * CPU_ENTRY, &entry);
        }
    }
}

/// An offset or length as the SCCB has it; with at most 255 CPUs, all of them fit.
fn be16(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes()
}
