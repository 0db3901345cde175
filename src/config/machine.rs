//! `--machine …`.

use crate::option::{OptionError, OptionString};
use std::str::FromStr;

/// `--machine [aes-key-wrap=on|off][,dea-key-wrap=on|off]`: whether a guest whose CPU wraps keys gets a new
/// wrapping key of each kind at every reset, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyWrapping {
    /// For AES keys.
    pub aes: bool,
    /// For DEA keys.
    pub dea: bool,
}

/// Both, as in QEMU.
impl Default for KeyWrapping {
    fn default() -> Self {
        Self { aes: true, dea: true }
    }
}

const KEYS: &[&str] = &["aes-key-wrap", "dea-key-wrap"];

impl FromStr for KeyWrapping {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let mut option = OptionString::parse(text)?;
        match option.head {
            Some(key) if KEYS.contains(&key.as_str()) => return Err(OptionError::NoValue(key)),
            Some(key) => return Err(OptionError::Unknown { key, known: crate::option::Keys(KEYS) }),
            None => {}
        }
        let [aes, dea] = ["aes-key-wrap", "dea-key-wrap"].map(|key| (key, option.take(key)));
        option.finish(KEYS)?;
        Ok(Self { aes: switch(aes)?, dea: switch(dea)? })
    }
}

/// A switch that is on unless it is said to be off.
fn switch((key, value): (&'static str, Option<String>)) -> Result<bool, OptionError> {
    match value.as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => {
            Err(OptionError::BadValue { key, value: other.to_owned(), reason: "write on or off".into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_are_there_unless_switched_off() {
        let read = |text: &str| text.parse::<KeyWrapping>().expect(text);
        assert_eq!(KeyWrapping::default(), KeyWrapping { aes: true, dea: true });
        assert_eq!(read("aes-key-wrap=off"), KeyWrapping { aes: false, dea: true });
        assert_eq!(read("dea-key-wrap=off,aes-key-wrap=on"), KeyWrapping { aes: true, dea: false });
    }

    #[test]
    fn a_machine_type_and_other_switches_are_refused_with_what_is_known() {
        let refused = |text: &str| text.parse::<KeyWrapping>().expect_err(text).to_string();
        assert_eq!(
            refused("s390-ccw-virtio,aes-key-wrap=off"),
            "there is no option \"s390-ccw-virtio\"; known are aes-key-wrap, dea-key-wrap"
        );
        assert_eq!(
            refused("accel=kvm"),
            "there is no option \"accel\"; known are aes-key-wrap, dea-key-wrap"
        );
        assert_eq!(refused("aes-key-wrap"), "\"aes-key-wrap\" is not of the form key=value");
        assert_eq!(refused("aes-key-wrap=no"), "aes-key-wrap=no can't be taken: write on or off");
    }
}
