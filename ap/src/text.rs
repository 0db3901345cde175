//! The text forms of sysfs, in both directions: what the kernel's stores accept and what its shows print.
//!
//! Both sides of a host use them: a simulated kernel to answer, the administration to ask. Parsers take bytes and
//! treat them as the kernel does, as C strings: a NUL ends the text. They never panic. This module knows no path,
//! no file and no owner of a mask. Reference: kernel 7.2.

mod listing;
mod qci;

pub use listing::{
    AP_CONFIG_LEN, Listing, format_ap_config, format_control_domains, format_matrix, parse_ap_config,
    parse_control_domains, parse_matrix,
};
pub use qci::{Features, format_features, format_qci_mask, parse_features, parse_qci_mask};

use crate::{ApMask, Apqn, Number};

/// Why a store refused an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a number in the kernel's notation.
    #[error("not a number: write decimal, hex with 0x or octal with a leading 0, and no blanks")]
    Invalid,
    /// A number beyond 64 bits.
    #[error("the number has more than 64 bits")]
    Range,
}

impl IdError {
    /// What the store answers: EINVAL or ERANGE.
    pub const fn errno(self) -> i32 {
        match self {
            IdError::Invalid => libc::EINVAL,
            IdError::Range => libc::ERANGE,
        }
    }
}

/// The text is not in the form that the kernel reads or prints here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not in the form that the kernel reads or prints here")]
pub struct Malformed;

impl Malformed {
    /// What a store answers: EINVAL.
    pub const fn errno(self) -> i32 {
        libc::EINVAL
    }
}

/// An id as the mdev attributes take it (`lib/kstrtox.c: kstrtoul`, base 0).
///
/// `0x` or `0X` is hex, a leading `0` octal, else decimal; one leading `+` and one trailing newline are allowed.
///
/// # Errors
///
/// [`IdError::Range`] beyond 64 bits (whatever follows the digits), else [`IdError::Invalid`].
pub fn parse_id(text: &[u8]) -> Result<u64, IdError> {
    let text = c_string(text);
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let (value, rest) = scan_integer(digits).ok_or(IdError::Invalid)?;
    let value = value.ok_or(IdError::Range)?;
    match rest {
        b"" | b"\n" => Ok(value),
        _ => Err(IdError::Invalid),
    }
}

/// A whole mask in hex, as `apmask` and `aqmask` take and print it (`drivers/s390/crypto/ap_bus.c: ap_hex2bitmap`).
///
/// `0x`, `x` or nothing, then up to 64 hex digits, the first of them for bits 0 to 3; missing digits are 0. One
/// trailing newline is allowed. No digit at all is the empty mask.
///
/// # Errors
///
/// [`Malformed`] for anything else; `0X` is not accepted.
pub fn parse_mask<T: Number>(text: &[u8]) -> Result<ApMask<T>, Malformed> {
    let text = c_string(text);
    let text = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"x")).unwrap_or(text);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut bytes = [0; 32];
    for (at, digit) in text.iter().enumerate() {
        let value = hex_digit(*digit).ok_or(Malformed)?;
        let byte = bytes.get_mut(at / 2).ok_or(Malformed)?;
        *byte |= if at % 2 == 0 { value << 4 } else { value };
    }
    Ok(ApMask::from_bytes(bytes))
}

/// A mask as sysfs prints it, with its newline.
pub fn format_mask<T>(mask: &ApMask<T>) -> String {
    format!("{mask}\n")
}

/// Changes to a mask, applied to `old` (`drivers/s390/crypto/ap_bus.c: modify_bitmap`).
///
/// Terms `+n`, `-n`, `+a-b`, `-a-b` with ids up to 255 in base 0, each followed by any run of `,` and newlines,
/// also none. The last word on a bit wins. No term at all changes nothing.
///
/// # Errors
///
/// [`Malformed`] for anything else, also where a range ends before it starts.
pub fn modify_mask<T: Number>(old: ApMask<T>, text: &[u8]) -> Result<ApMask<T>, Malformed> {
    let mut mask = old;
    let mut rest = c_string(text);
    while let Some((sign, after)) = rest.split_first() {
        let (first, after) = scan_bit(after)?;
        let (last, after) = match after.strip_prefix(b"-") {
            Some(after) => scan_bit(after)?,
            None => (first, after),
        };
        match sign {
            _ if first > last => return Err(Malformed),
            b'+' => (first..=last).for_each(|bit| mask.insert(bit.into())),
            b'-' => (first..=last).for_each(|bit| mask.remove(bit.into())),
            _ => return Err(Malformed),
        }
        let separators = after.iter().take_while(|byte| matches!(byte, b',' | b'\n')).count();
        rest = &after[separators..];
    }
    Ok(mask)
}

/// The text for [`modify_mask`] that makes `new` of `old`: `-5,-6,+0x47-0x49`, without newline, empty when the masks
/// are equal.
pub fn format_mask_change<T: Number>(old: &ApMask<T>, new: &ApMask<T>) -> String {
    let mut runs: Vec<(char, u8, u8)> = Vec::new();
    for id in ((*old - *new) | (*new - *old)).iter() {
        let sign = if new.contains(id) { '+' } else { '-' };
        let bit: u8 = id.into();
        match runs.last_mut() {
            Some((of, _, last)) if *of == sign && last.checked_add(1) == Some(bit) => *last = bit,
            _ => runs.push((sign, bit, bit)),
        }
    }
    let text =
        |(sign, first, last): &(char, u8, u8)| match (format_id(*first), format_id(*last), last - first) {
            (only, _, 0) => format!("{sign}{only}"),
            (first, last, 1) => format!("{sign}{first},{sign}{last}"),
            (first, last, _) => format!("{sign}{first}-{last}"),
        };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

/// An id as a person writes it: decimal as long as that is the same in hex, else hex with `0x`, as in an APQN.
pub fn format_id(id: impl Into<u8>) -> String {
    match id.into() {
        id @ 0..10 => id.to_string(),
        id => format!("{id:#x}"),
    }
}

/// What a write of `text` to `apmask` or `aqmask` makes of `old`: relative when it starts with `+` or `-`, else
/// absolute (`drivers/s390/crypto/ap_bus.c: ap_parse_bitmap_str`).
///
/// # Errors
///
/// [`Malformed`]; the mask then stays as it was.
pub fn apply_mask_write<T: Number>(old: ApMask<T>, text: &[u8]) -> Result<ApMask<T>, Malformed> {
    match text {
        [b'+' | b'-', ..] => modify_mask(old, text),
        _ => parse_mask(text),
    }
}

/// A queue as sysfs writes it, `05.0047`, and nothing around it.
pub fn parse_apqn(text: &[u8]) -> Option<Apqn> {
    let [a, b, b'.', b'0', b'0', c, d] = text else { return None };
    let byte = |high: &u8, low: &u8| Some(hex_digit(*high)? << 4 | hex_digit(*low)?);
    Some(Apqn::new(byte(a, b)?, byte(c, d)?))
}

/// What a C string function sees of `text`.
fn c_string(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The value of a hex digit of either case.
pub(crate) fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A number in base 0 at the start of `text`, and what follows it. `None` where there is no digit; the value is
/// `None` where it has more than 64 bits (`lib/kstrtox.c: _parse_integer_fixup_radix, _parse_integer_limit`).
fn scan_integer(text: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let (base, text) = match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let mut value = Some(0_u64);
    let mut length = 0;
    for digit in text.iter().map_while(|byte| hex_digit(*byte)).take_while(|digit| *digit < base) {
        value = value.and_then(|v| v.checked_mul(base.into())?.checked_add(digit.into()));
        length += 1;
    }
    (length > 0).then(|| (value, &text[length..]))
}

/// A bit number at the start of `text`, and what follows it.
fn scan_bit(text: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let (value, rest) = scan_integer(text).ok_or(Malformed)?;
    let bit = value.and_then(|value| u8::try_from(value).ok()).ok_or(Malformed)?;
    Ok((bit, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Apid, Apm};
    use proptest::prelude::*;

    fn masks() -> impl Strategy<Value = Apm> {
        any::<[u8; 32]>().prop_map(Apm::from_bytes)
    }

    /// Mostly made of what the grammars are made of.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            proptest::collection::vec(proptest::sample::select(b"0123456789abxX+-,.\n\0 ".as_slice()), 0..60),
        ]
    }

    #[test]
    fn a_nul_ends_the_text() {
        assert_eq!(parse_id(b"5\0junk"), Ok(5));
        assert_eq!(parse_id(b"\0"), Err(IdError::Invalid));
        assert_eq!(parse_mask::<Apid>(b"0x8\0z"), Ok([Apid(0)].into_iter().collect()));
        assert_eq!(modify_mask(Apm::EMPTY, b"+0\0z"), Ok([Apid(0)].into_iter().collect()));
    }

    #[test]
    fn one_x_may_start_a_mask_and_not_two() {
        assert!(parse_mask::<Apid>(b"0xx4").is_err());
        assert!(parse_mask::<Apid>(b"xx4").is_err());
        assert!(parse_mask::<Apid>(b"x0x4").is_err());
    }

    #[test]
    fn an_id_beyond_64_bits_is_out_of_range_whatever_follows() {
        assert_eq!(parse_id(b"18446744073709551616junk"), Err(IdError::Range));
        assert_eq!((IdError::Invalid.errno(), IdError::Range.errno()), (libc::EINVAL, libc::ERANGE));
    }

    #[test]
    fn changes_are_written_as_a_person_would() {
        let old = Apm::ALL - [5, 6, 0x50].map(Apid).into_iter().collect();
        assert_eq!(format_mask_change(&Apm::ALL, &old), "-5,-6,-0x50");
        assert_eq!(format_mask_change(&old, &Apm::ALL), "+5,+6,+0x50");
        assert_eq!(format_mask_change(&Apm::ALL, &Apm::EMPTY), "-0-0xff");
        assert_eq!(format_mask_change(&old, &old), "");
    }

    proptest! {
        #[test]
        fn a_printed_mask_reads_back(mask in masks()) {
            prop_assert_eq!(parse_mask(format_mask(&mask).as_bytes()), Ok(mask));
            prop_assert_eq!(apply_mask_write(Apm::ALL, format_mask(&mask).as_bytes()), Ok(mask));
        }

        #[test]
        fn a_written_change_leads_from_one_mask_to_the_other(old in masks(), new in masks()) {
            let text = format_mask_change(&old, &new);
            prop_assert_eq!(modify_mask(old, text.as_bytes()), Ok(new));
        }

        #[test]
        fn every_id_reads_back(id: u8) {
            prop_assert_eq!(parse_id(format_id(id).as_bytes()), Ok(u64::from(id)));
        }

        #[test]
        fn every_number_is_read_in_three_bases(n: u64) {
            for text in [format!("{n}"), format!("+{n}\n"), format!("{n:#x}"), format!("0X{n:X}"), format!("0{n:o}")] {
                prop_assert_eq!(parse_id(text.as_bytes()), Ok(n), "{:?}", text);
            }
        }

        #[test]
        fn the_last_word_on_a_bit_wins(words in proptest::collection::vec((any::<bool>(), any::<u8>()), 1..20)) {
            let sign = |set: bool| if set { '+' } else { '-' };
            let text: String = words.iter().map(|(set, bit)| format!("{}{bit},", sign(*set))).collect();
            let mask = modify_mask(Apm::EMPTY, text.as_bytes()).expect("well formed");
            for bit in 0..=255 {
                let last = words.iter().rev().find(|(_, of)| *of == bit);
                prop_assert_eq!(mask.contains(Apid(bit)), last.is_some_and(|(set, _)| *set));
            }
        }

        #[test]
        fn any_bytes_are_answered_and_what_is_accepted_reads_back(text in texts(), old in masks()) {
            if let Ok(id) = parse_id(&text) {
                prop_assert_eq!(parse_id(id.to_string().as_bytes()), Ok(id));
            }
            if let Ok(mask) = apply_mask_write(old, &text) {
                prop_assert_eq!(parse_mask(format_mask(&mask).as_bytes()), Ok(mask));
            }
            if let Ok(matrix) = parse_ap_config(&text) {
                prop_assert_eq!(parse_ap_config(format_ap_config(&matrix).as_bytes()), Ok(matrix));
            }
            if let Ok(listing) = parse_matrix(&text) {
                prop_assert!(!listing.cut, "short text");
                let again = format_matrix(&listing.apm, &listing.aqm);
                prop_assert_eq!(parse_matrix(again.as_bytes()), Ok(listing));
            }
            if let Ok(adm) = parse_control_domains(&text) {
                prop_assert_eq!(parse_control_domains(format_control_domains(&adm).as_bytes()), Ok(adm));
            }
            if let Ok(features) = parse_features(&text) {
                prop_assert_eq!(parse_features(format_features(features).as_bytes()), Ok(features));
            }
            if let Ok(mask) = parse_qci_mask::<Apid>(&text) {
                prop_assert_eq!(parse_qci_mask(format_qci_mask(mask.as_ref()).as_bytes()), Ok(mask));
            }
        }
    }
}
