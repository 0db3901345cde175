//! The numbers of adjunct processors: adapters, domains, queues.

use std::{fmt, hash::Hash, str::FromStr};

use crate::text::{self, IdError};

/// What an [`ApMask`](crate::ApMask) can number: [`Apid`], [`Apqi`] or [`ControlDomain`].
pub trait Number: Copy + Eq + Ord + Hash + fmt::Debug + From<u8> + Into<u8> + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

/// Not an id in the kernel's notation, or one above 255.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}; write 0 to 255, in decimal, hex with 0x or octal with a leading 0")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
}

fn parse(text: &str, what: &'static str) -> Result<u8, ParseIdError> {
    let bad = || ParseIdError { text: text.to_owned(), what };
    // A NUL would end the text for the kernel; here it is junk after the number.
    if text.contains('\0') {
        return Err(bad());
    }
    text::parse_id(text.as_bytes())
        .and_then(|id| u8::try_from(id).map_err(|_| IdError::Range))
        .map_err(|_| bad())
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $what:literal, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u8);

        impl From<u8> for $name {
            fn from(number: u8) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u8 {
            fn from(id: $name) -> u8 {
                id.0
            }
        }

        impl sealed::Sealed for $name {}
        impl Number for $name {}

        /// As sysfs prints it: hex of fixed width.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $width, "x}"), self.0)
            }
        }

        /// As the kernel reads it: decimal, `0x` hex or `0` octal ([`text::parse_id`]).
        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text, $what).map(Self)
            }
        }
    };
}

number!(
    /// Adapter (card) number, 0 to 255. Printed as `05`; read as the kernel reads ids (`5`, `0x5`, `05`).
    Apid, "an adapter id", 2
);
number!(
    /// AP queue index: the number of a usage domain, 0 to 255. Printed as `0047`; read as the kernel reads ids.
    Apqi, "a domain id", 4
);
number!(
    /// Number of a control domain, 0 to 255. Printed as `0047`; read as the kernel reads ids.
    ControlDomain, "a control domain id", 4
);

/// One AP queue: a usage domain on an adapter. Ordered as sysfs lists them. Written `05.0047`, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Apqn {
    /// The adapter.
    pub apid: Apid,
    /// The usage domain on that adapter.
    pub apqi: Apqi,
}

impl Apqn {
    /// The queue of domain `apqi` on adapter `apid`.
    pub const fn new(apid: u8, apqi: u8) -> Self {
        Self { apid: Apid(apid), apqi: Apqi(apqi) }
    }

    /// As in bits 48-63 of general register 0 of the AP instructions: APID, then APQI
    /// (`arch/s390/include/asm/ap.h: AP_MKQID`).
    pub const fn raw(self) -> u16 {
        u16::from_be_bytes([self.apid.0, self.apqi.0])
    }

    /// The queue that [`raw`](Self::raw) is the number of.
    pub const fn from_raw(raw: u16) -> Self {
        let [apid, apqi] = raw.to_be_bytes();
        Self::new(apid, apqi)
    }
}

impl fmt::Display for Apqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.apid, self.apqi)
    }
}

/// Not of the form `xx.yyyy`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a queue; write adapter.domain in hex as sysfs does, for example 05.0047")]
pub struct ParseApqnError(String);

impl FromStr for Apqn {
    type Err = ParseApqnError;

    fn from_str(text: &str) -> Result<Self, ParseApqnError> {
        text::parse_apqn(text.as_bytes()).ok_or_else(|| ParseApqnError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apqn_is_written_as_sysfs_writes_it() {
        let apqn: Apqn = "05.00ab".parse().expect("well formed");
        assert_eq!(apqn, Apqn::new(0x05, 0xab));
        assert_eq!(apqn.to_string(), "05.00ab");
        assert_eq!(apqn.raw(), 0x05ab);
        assert_eq!(Apqn::from_raw(0x05ab), apqn);
    }

    #[test]
    fn anything_but_two_and_four_hex_digits_is_no_apqn() {
        for text in
            ["", ".", "5.ab", "05.ab", "05.01ab", "05.00ab\n", "+5.00ab", "05.+0ab", "05.00ag", "é.0004"]
        {
            assert!(text.parse::<Apqn>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_are_read_as_the_kernel_reads_them_and_end_at_255() {
        assert_eq!("0x47".parse(), Ok(Apqi(0x47)));
        assert_eq!("010".parse(), Ok(Apid(8)));
        assert_eq!("255".parse(), Ok(ControlDomain(255)));
        let refused = "256".parse::<Apid>().expect_err("beyond a byte");
        assert!(refused.to_string().starts_with("\"256\" is not an adapter id"), "{refused}");
        assert!("5\0".parse::<Apid>().is_err());
    }

    #[test]
    fn queues_order_by_adapter_first() {
        assert!(Apqn::new(5, 0xff) < Apqn::new(6, 0));
    }
}
