//! What the AP bus prints of QCI, the machine's answer to "query AP configuration information".

use super::{Malformed, c_string, parse_mask};
use crate::{ApMask, Number};

/// The flags of QCI that have a name, in the order in which `features` prints them
/// (`arch/s390/include/asm/ap.h: struct ap_config_info`).
#[rustfmt::skip]
const FLAGS: [(u32, &str); 5] = [
    (0x8000_0000, "APSC"),
    (0x4000_0000, "APXA"),
    (0x2000_0000, "QACT"),
    (0x1000_0000, "RC8A"),
    (0x0080_0000, "APSB"),
];

/// The flags of QCI that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Features(u32);

impl Features {
    /// The named ones in QCI's first word; `None` for 0, which stands for a machine without QCI.
    pub fn from_word(word: u32) -> Option<Self> {
        let known = FLAGS.iter().fold(0, |known, (bit, _)| known | bit);
        (word != 0).then_some(Self(word & known))
    }

    /// The named flags, as they are in QCI's first word.
    pub const fn word(self) -> u32 {
        self.0
    }

    /// The flag of that name: `APSC`, `APXA`, `QACT`, `RC8A` or `APSB`.
    pub fn named(name: &str) -> Option<Self> {
        FLAGS.iter().find(|(_, known)| *known == name).map(|(bit, _)| Self(*bit))
    }

    /// Both sets of flags.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of the flags, in the order in which sysfs prints them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, name)| *name)
    }

    /// Whether adapters above 63 and domains above 15 can exist (APXA, AP extended addressing).
    pub const fn extended_addressing(self) -> bool {
        self.0 & 0x4000_0000 != 0
    }
}

/// What `/sys/bus/ap/features` prints: names with a blank between them; `-` without QCI; and nothing at all where
/// QCI has only flags without a name (`drivers/s390/crypto/ap_bus.c: features_show`).
pub fn format_features(features: Option<Features>) -> String {
    match features {
        None => "-\n".to_owned(),
        Some(Features(0)) => String::new(),
        Some(features) => features.names().collect::<Vec<_>>().join(" ") + "\n",
    }
}

/// Reads back what [`format_features`] prints. Names it does not know are left out: a newer kernel may have them.
///
/// # Errors
///
/// [`Malformed`] for what is no list of names.
pub fn parse_features(text: &[u8]) -> Result<Option<Features>, Malformed> {
    let line = match c_string(text) {
        b"" => return Ok(Some(Features(0))),
        text => text.strip_suffix(b"\n").ok_or(Malformed)?,
    };
    if line == b"-" {
        return Ok(None);
    }
    let mut features = Features(0);
    for name in line.split(|byte| *byte == b' ') {
        if name.is_empty() || !name.iter().all(u8::is_ascii_alphanumeric) {
            return Err(Malformed);
        }
        let name = std::str::from_utf8(name).map_err(|_| Malformed)?;
        features = Features::named(name).map_or(features, |flag| features.union(flag));
    }
    Ok(Some(features))
}

/// What `ap_adapter_mask`, `ap_usage_domain_mask` and `ap_control_domain_mask` print: a mask of QCI, or that there
/// is no QCI (`drivers/s390/crypto/ap_bus.c: ap_adapter_mask_show`).
pub fn format_qci_mask<T>(mask: Option<&ApMask<T>>) -> String {
    mask.map_or_else(|| "not supported\n".to_owned(), super::format_mask)
}

/// Reads back what [`format_qci_mask`] prints; `None` without QCI.
///
/// # Errors
///
/// [`Malformed`] for what is neither.
pub fn parse_qci_mask<T: Number>(text: &[u8]) -> Result<Option<ApMask<T>>, Malformed> {
    if text == b"not supported\n" { Ok(None) } else { parse_mask(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Apm;
    use proptest::prelude::*;

    #[test]
    fn flags_are_in_the_order_of_their_bits_and_named_once() {
        assert!(FLAGS.windows(2).all(|pair| pair[0].0 > pair[1].0));
        assert!(
            FLAGS
                .iter()
                .all(|(bit, name)| bit.count_ones() == 1 && Features::named(name) == Some(Features(*bit)))
        );
    }

    #[test]
    fn features_are_shown_as_the_bus_shows_them() {
        assert_eq!(format_features(Features::from_word(0xc000_0000)), "APSC APXA\n");
        assert_eq!(format_features(Features::from_word(0xf080_0000)), "APSC APXA QACT RC8A APSB\n");
        assert_eq!(format_features(Features::from_word(0)), "-\n");
        assert_eq!(format_features(Features::from_word(1)), "", "only flags without a name");
        assert!(Features::from_word(0x4000_0000).is_some_and(Features::extended_addressing));
        assert!(!Features::from_word(0x8000_0000).is_some_and(Features::extended_addressing));
    }

    #[test]
    fn names_of_newer_kernels_are_passed_over_and_other_text_refused() {
        assert_eq!(parse_features(b"APSC NEWF\n"), Ok(Features::from_word(0x8000_0000)));
        for text in ["APSC", "\n", "APSC  APXA\n", "APSC\nAPXA\n", "- APSC\n"] {
            assert_eq!(parse_features(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_host_without_qci_says_so_where_its_masks_would_be() {
        assert_eq!(format_qci_mask::<crate::Apid>(None), "not supported\n");
        assert_eq!(parse_qci_mask::<crate::Apid>(b"not supported\n"), Ok(None));
        assert_eq!(parse_qci_mask(format_qci_mask(Some(&Apm::ALL)).as_bytes()), Ok(Some(Apm::ALL)));
    }

    proptest! {
        #[test]
        fn shown_features_read_back(word: u32) {
            let features = Features::from_word(word);
            prop_assert_eq!(parse_features(format_features(features).as_bytes()), Ok(features));
        }
    }
}
