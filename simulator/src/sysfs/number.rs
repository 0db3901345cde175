//! Numbers as attributes of the AP bus read them that don't use `kstrtoul`.

use super::Errno;

/// The first number in `text`, whatever follows it: `sscanf` with `%d`, or with `%i` when `any_base` (`0x` hex,
/// leading 0 octal). Blanks before it and a sign are allowed. `None` where there is no digit, or too many.
pub(crate) fn integer(text: &str, any_base: bool) -> Option<i32> {
    let text = text.split('\0').next().unwrap_or_default();
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (base, text) = match hex {
        Some(digits) if any_base && digits.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, digits),
        _ if any_base && text.starts_with('0') => (8, text),
        _ => (10, text),
    };
    let end = text.find(|c: char| !c.is_digit(base)).unwrap_or(text.len());
    let value = i64::from_str_radix(&text[..end], base).ok()?;
    i32::try_from(if negative { -value } else { value }).ok()
}

/// Yes or no (`lib/kstrtox.c: kstrtobool`): `y`, `t`, `1`, `on` and `n`, `f`, `0`, `off`, in either case, whatever
/// follows.
pub(crate) fn boolean(text: &str) -> Result<bool, Errno> {
    match text.as_bytes() {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..] => Ok(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..] => Ok(false),
        _ => Err(libc::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sscanf_stops_at_junk_and_skips_blanks() {
        assert_eq!(integer("30junk", false), Some(30));
        assert_eq!(integer(" \n-1", false), Some(-1));
        assert_eq!(integer("0x47", false), Some(0));
        assert_eq!(integer("0x47", true), Some(0x47));
        assert_eq!(integer("010", true), Some(8));
        assert_eq!(integer("010", false), Some(10));
        assert_eq!(integer("+5\0", true), Some(5));
        for text in ["", "x", "-", "99999999999", " "] {
            assert_eq!(integer(text, true), None, "{text:?}");
        }
    }

    #[test]
    fn yes_and_no_are_told_by_their_first_letters() {
        for (text, value) in
            [("1\n", true), ("yes", true), ("ON", true), ("0", false), ("off", false), ("No", false)]
        {
            assert_eq!(boolean(text), Ok(value), "{text}");
        }
        for text in ["", "2", "o", "ox", " 1"] {
            assert_eq!(boolean(text), Err(libc::EINVAL), "{text:?}");
        }
    }
}
