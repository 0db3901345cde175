//! The names of mdevs.

use std::{fmt, str::FromStr};

/// The name of an mdev: 8-4-4-4-12 hex digits. Read in any case, printed in lower case, as the kernel does
/// (`lib/uuid.c: uuid_is_valid`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The UUID of these 16 bytes, in the order in which they are written.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes, in the order in which they are written.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a UUID; write 8-4-4-4-12 hex digits, for example 6c4a5d2e-0d3e-4c7a-9b0a-000000000001")]
pub struct ParseUuidError(String);

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        parse(text.as_bytes()).ok_or_else(|| ParseUuidError(text.to_owned()))
    }
}

fn parse(text: &[u8]) -> Option<Uuid> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    if text.len() != 36 || HYPHENS.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().enumerate().filter(|(at, _)| !HYPHENS.contains(at)).map(|(_, byte)| *byte);
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = crate::text::hex_digit(digits.next()?)? << 4 | crate::text::hex_digit(digits.next()?)?;
    }
    Some(Uuid(bytes))
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&at) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn upper_case_is_read_and_lower_case_is_printed() {
        let uuid: Uuid = "6C4A5D2E-0D3E-4C7A-9B0A-00000000000F".parse().expect("well formed");
        assert_eq!(uuid.to_string(), "6c4a5d2e-0d3e-4c7a-9b0a-00000000000f");
    }

    #[test]
    fn misplaced_hyphens_other_digits_and_other_lengths_are_refused() {
        for text in [
            "",
            "6c4a5d2e-0d3e-4c7a-9b0a-00000000001",
            "6c4a5d2e-0d3e-4c7a-9b0a-0000000000001",
            "6c4a5d2e-0d3e-4c7a-9b0a-00000000000g",
            "6c4a5d2e0-d3e-4c7a-9b0a-000000000001",
            "6c4a5d2e-0d3e-4c7a-9b0a-00000000-001",
            "6c4a5d2e-0d3e-4c7a-9b0a-+00000000001",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_uuid_reads_back(bytes: [u8; 16]) {
            let uuid = Uuid::from_bytes(bytes);
            prop_assert_eq!(uuid.to_string().parse(), Ok(uuid));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            if let Ok(uuid) = text.parse::<Uuid>() {
                prop_assert_eq!(uuid.to_string(), text.to_lowercase());
            }
        }
    }
}
