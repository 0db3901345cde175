//! `--machine …`.

use crate::option::{OptionError, OptionString};
use adjunct_devices::sclp::to_ebcdic;
use std::{fmt, str::FromStr};

/// Whether a guest whose CPU wraps keys gets a new
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

/// The parameter of the load: up to eight capital letters, digits, full stops and blanks for the program that is loaded,
/// as on a mainframe's console. Written small they are taken as capitals (QEMU: `hw/s390x/ipl.c:
/// s390_ipl_fmt_loadparm`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loadparm(String);

impl Loadparm {
    const MOST: usize = 8;

    /// In EBCDIC, filled up with blanks.
    pub fn ebcdic(&self) -> [u8; Self::MOST] {
        let mut bytes = [0x40; Self::MOST];
        bytes.iter_mut().zip(to_ebcdic(&self.0)).for_each(|(byte, letter)| *byte = letter);
        bytes
    }
}

impl fmt::Display for Loadparm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Loadparm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let text = text.to_ascii_uppercase();
        let takes = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || ". ".contains(c);
        if text.len() <= Self::MOST && text.chars().all(takes) {
            Ok(Self(text))
        } else {
            Err("write up to 8 letters, digits, full stops and blanks")
        }
    }
}

/// `--machine [[type=]s390-ccw-virtio[-VERSION],]KEY=VALUE,…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineOption {
    /// `aes-key-wrap=on|off`, `dea-key-wrap=on|off`.
    pub key_wrapping: KeyWrapping,
    /// `loadparm=TEXT`.
    pub loadparm: Loadparm,
}

/// QEMU's name of the machine that every guest has. There it may have a version, and libvirt gives it one.
const KIND: &str = "s390-ccw-virtio";

fn is_ours(kind: &str) -> bool {
    kind.strip_prefix(KIND).is_some_and(|version| version.is_empty() || version.starts_with('-'))
}

const KEYS: &[&str] = &["aes-key-wrap", "dea-key-wrap", "loadparm"];

impl FromStr for MachineOption {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let mut option = OptionString::parse(text)?;
        match option.head.take() {
            Some(kind) if is_ours(&kind) => {}
            Some(key) if KEYS.contains(&key.as_str()) => return Err(OptionError::NoValue(key)),
            Some(key) => return Err(OptionError::Unknown { key, known: crate::option::Keys(KEYS) }),
            None => {}
        }
        if let Some(value) = option.take("type").filter(|kind| !is_ours(kind)) {
            let reason = format!("the machine is {KIND}");
            return Err(OptionError::BadValue { key: "type", value, reason });
        }
        let [aes, dea] = ["aes-key-wrap", "dea-key-wrap"].map(|key| (key, option.take(key)));
        let loadparm = option.take("loadparm");
        if let Some(value) = option.take("accel") {
            let reason = "--host says where the guest runs, for example --host kvm".into();
            return Err(OptionError::BadValue { key: "accel", value, reason });
        }
        option.finish(KEYS)?;
        let key_wrapping = KeyWrapping { aes: switch(aes)?, dea: switch(dea)? };
        let loadparm = loadparm.map_or(Ok(Loadparm::default()), |value| {
            value.parse().map_err(|reason: &str| OptionError::BadValue {
                key: "loadparm",
                value,
                reason: reason.into(),
            })
        })?;
        Ok(Self { key_wrapping, loadparm })
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
        let read = |text: &str| text.parse::<MachineOption>().expect(text).key_wrapping;
        assert_eq!(KeyWrapping::default(), KeyWrapping { aes: true, dea: true });
        assert_eq!(read("aes-key-wrap=off"), KeyWrapping { aes: false, dea: true });
        assert_eq!(read("dea-key-wrap=off,aes-key-wrap=on"), KeyWrapping { aes: true, dea: false });
    }

    #[test]
    fn the_type_of_machine_may_stand_first_as_qemu_has_it() {
        let read = |text: &str| text.parse::<MachineOption>().expect(text);
        for kind in
            ["s390-ccw-virtio", "s390-ccw-virtio-9.2", "type=s390-ccw-virtio", "type=s390-ccw-virtio-9.2"]
        {
            assert_eq!(read(kind), MachineOption::default());
        }
        assert_eq!(read("s390-ccw-virtio,aes-key-wrap=off"), read("aes-key-wrap=off"));
    }

    #[test]
    fn another_machine_type_and_other_switches_are_refused_with_what_is_known() {
        let refused = |text: &str| text.parse::<MachineOption>().expect_err(text).to_string();
        assert_eq!(
            refused("q35,aes-key-wrap=off"),
            "there is no option \"q35\"; known are aes-key-wrap, dea-key-wrap, loadparm"
        );
        assert_eq!(refused("type=q35"), "type=q35 can't be taken: the machine is s390-ccw-virtio");
        assert_eq!(
            refused("s390-ccw-virtio,accel=kvm"),
            "accel=kvm can't be taken: --host says where the guest runs, for example --host kvm"
        );
        assert_eq!(refused("aes-key-wrap"), "\"aes-key-wrap\" is not of the form key=value");
        assert_eq!(refused("aes-key-wrap=no"), "aes-key-wrap=no can't be taken: write on or off");
    }

    #[test]
    fn a_load_parameter_is_up_to_eight_ebcdic_capitals() {
        let read = |text: &str| text.parse::<MachineOption>().expect(text).loadparm;
        assert_eq!(read("aes-key-wrap=off").ebcdic(), [0x40; 8]);
        assert_eq!(read("loadparm=watch").ebcdic(), *b"\xe6\xc1\xe3\xc3\xc8\x40\x40\x40");
        assert_eq!(read("loadparm=A.9Z 123").to_string(), "A.9Z 123");
        for text in ["loadparm=123456789", "loadparm=no-way", "loadparm=größe"] {
            let refused = text.parse::<MachineOption>().expect_err(text).to_string();
            assert!(refused.contains("up to 8 letters"), "{refused}");
        }
    }
}
