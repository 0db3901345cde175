//! An adapter as the machine has it: type, function bits, depth, state.

use adjunct_ap::Aqm;
use std::{fmt, str::FromStr};

/// What a Crypto Express adapter was configured as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Accelerator, `A`.
    Accelerator,
    /// CCA coprocessor, `C`.
    Cca,
    /// EP11 coprocessor, `P`.
    Ep11,
}

/// A type as lszcrypt and the host file write it: `CEX4A` to `CEX8P`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CardType {
    generation: u8,
    mode: Mode,
}

/// Not a type of adapter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a type of adapter; write CEX4 to CEX8 and C (CCA), A (accelerator) or P (EP11), as in CEX5C")]
pub struct UnknownCardType(String);

impl CardType {
    /// The hardware type that TAPQ shows: 10 for CEX4 to 14 for CEX8 (`arch/s390/include/asm/ap.h` and
    /// `drivers/s390/crypto/ap_bus.h: AP_DEVICE_TYPE_CEX*`).
    pub const fn hardware_type(self) -> u8 {
        self.generation + 6
    }

    /// What it was configured as.
    pub const fn mode(self) -> Mode {
        self.mode
    }
}

impl FromStr for CardType {
    type Err = UnknownCardType;

    fn from_str(text: &str) -> Result<Self, UnknownCardType> {
        let unknown = || UnknownCardType(text.to_owned());
        let [generation @ b'4'..=b'8', mode] = text.strip_prefix("CEX").ok_or_else(unknown)?.as_bytes() else {
            return Err(unknown());
        };
        let mode = match mode {
            b'A' => Mode::Accelerator,
            b'C' => Mode::Cca,
            b'P' => Mode::Ep11,
            _ => return Err(unknown()),
        };
        Ok(Self { generation: generation - b'0', mode })
    }
}

impl fmt::Display for CardType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Accelerator => 'A',
            Mode::Cca => 'C',
            Mode::Ep11 => 'P',
        };
        write!(f, "CEX{}{mode}", self.generation)
    }
}

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
            hardware_type: kind.hardware_type(),
            functions: functions | function::APXA,
            depth: 8,
            max_message: 0,
            configured: true,
            checkstopped: false,
            missing: Aqm::EMPTY,
        }
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
    fn a_type_reads_back_and_has_the_number_of_the_hardware() {
        for generation in 4..=8 {
            for mode in ["A", "C", "P"] {
                let text = format!("CEX{generation}{mode}");
                let kind: CardType = text.parse().expect("a type");
                assert_eq!(kind.to_string(), text);
                assert_eq!(kind.hardware_type(), generation + 6);
            }
        }
        for text in ["CEX9Q", "CEX3C", "CEX9C", "CEX5", "CEX5c", "cex5C", "", "CEX55C"] {
            assert!(text.parse::<CardType>().is_err(), "{text}");
        }
    }

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
