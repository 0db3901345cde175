//! An adapter as the machine has it: type, function bits, depth, state.

use adjunct_ap::{
    Aqm,
    host::{CardType, Mode},
};

/// The function bits of TAPQ's GR2, its upper half (`arch/s390/include/asm/ap.h: struct ap_tapq_hwinfo`).
pub(crate) mod function {
    /// AP special command facility.
    pub(crate) const APSC: u32 = 0x8000_0000;
    /// 4096-bit modular exponentiation.
    pub(crate) const MEX4K: u32 = 0x4000_0000;
    /// 4096-bit Chinese remainder theorem.
    pub(crate) const CRT4K: u32 = 0x2000_0000;
    /// CCA coprocessor.
    pub(crate) const CCA: u32 = 0x1000_0000;
    /// Accelerator.
    pub(crate) const ACCELERATOR: u32 = 0x0800_0000;
    /// EP11 coprocessor.
    pub(crate) const EP11: u32 = 0x0400_0000;
    /// AP extended addressing.
    pub(crate) const APXA: u32 = 0x0200_0000;
}

/// One adapter of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The type that TAPQ shows: 10 (CEX4) to 14 (CEX8); others can be had to try what drivers make of them.
    pub hardware_type: u8,
    /// The function bits, the upper half of TAPQ's GR2.
    pub functions: u32,
    /// How many messages a queue holds, 1 to 16.
    pub depth: u8,
    /// The longest message in units of 4 KiB; 0 stands for 12 KiB.
    pub max_message: u8,
    /// Whether the adapter is configured on. Else its queues answer response code 03.
    pub configured: bool,
    /// Whether the adapter is checkstopped. Then its queues answer response code 04.
    pub checkstopped: bool,
    /// Usage domains for which this adapter has no queue: response code 01.
    pub missing: Aqm,
}

impl Card {
    /// An adapter of that type, configured on, with queues 8 deep. The function bits are those that lszcrypt shows
    /// for such adapters: `S--D--N`, `-MC-A-N`, `S----XN`.
    pub fn new(kind: CardType) -> Self {
        let functions = match kind.mode() {
            Mode::Accelerator => function::MEX4K | function::CRT4K | function::ACCELERATOR,
            Mode::Cca => function::APSC | function::CCA,
            Mode::Ep11 => function::APSC | function::EP11,
        };
        Self {
            hardware_type: kind.hwtype(),
            functions: functions | function::APXA,
            depth: 8,
            max_message: 0,
            configured: true,
            checkstopped: false,
            missing: Aqm::EMPTY,
        }
    }

    /// An adapter of the configuration that has no queue.
    pub(crate) fn silent() -> Self {
        Self {
            hardware_type: 0,
            functions: 0,
            depth: 1,
            max_message: 0,
            configured: true,
            checkstopped: false,
            missing: Aqm::ALL,
        }
    }

    /// The [`Card::max_message`] of messages of up to that many bytes.
    pub(crate) fn max_message_of(bytes: u32) -> u8 {
        if bytes == 12 * 1024 { 0 } else { u8::try_from(bytes / 4096).unwrap_or(0xf).min(0xf) }
    }

    /// The longest message in bytes (`drivers/s390/crypto/ap_card.c: max_msg_size_show`, 7.2).
    pub fn max_message_bytes(&self) -> usize {
        match self.max_message {
            0 => 12 * 1024,
            units => usize::from(units) * 4096,
        }
    }

    /// What TAPQ leaves in GR2: functions in bits 0-31, type in 32-39, highest domain in 40-47, longest message in
    /// 52-55, depth less one in 60-63.
    pub(super) fn tapq_info(&self, max_domain: u8) -> u64 {
        u64::from(self.functions) << 32
            | u64::from(self.hardware_type) << 24
            | u64::from(max_domain) << 16
            | u64::from(self.max_message & 0xf) << 8
            | u64::from(self.depth.saturating_sub(1) & 0xf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tapq_shows_functions_type_domains_and_depth_where_the_machine_does() {
        let card = Card::new("CEX8P".parse().expect("a type"));
        assert_eq!(card.tapq_info(84), 0x8600_0000_0e54_0007);
        assert_eq!(Card::new("CEX5C".parse().expect("a type")).tapq_info(255), 0x9200_0000_0bff_0007);
        assert_eq!(Card::new("CEX6A".parse().expect("a type")).tapq_info(15), 0x6a00_0000_0c0f_0007);
        let card = Card { max_message: 6, depth: 16, ..card };
        assert_eq!(card.tapq_info(84), 0x8600_0000_0e54_060f);
        assert_eq!(card.max_message_bytes(), 24 * 1024);
    }
}
