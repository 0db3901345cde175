//! The line that a person types for a line-mode console: a guest gets it when it is finished, so nobody else can show
//! and mend it until then.

use adjunct_devices::sclp::LONGEST_LINE;

/// What has been typed of a line.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<u8>);

/// What comes of a key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    /// What the terminal shows.
    pub(super) seen: Vec<u8>,
    /// The line that it finishes, with its end.
    pub(super) finished: Option<Vec<u8>>,
}

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
/// Ctrl-U.
const KILL: u8 = 0x15;

/// Goes back over one character and leaves a blank there.
const RUB_OUT: &[u8] = b"\x08 \x08";

impl Line {
    /// Takes a key. Those that neither mean something here nor are part of a text are passed over, and so is what
    /// makes a line too long.
    pub(super) fn key(&mut self, key: u8) -> Typed {
        match key {
            b'\r' | b'\n' => {
                self.0.push(b'\n');
                Typed { seen: b"\n".to_vec(), finished: Some(std::mem::take(&mut self.0)) }
            }
            BACKSPACE | DELETE => Typed { seen: self.rub_out().to_vec(), finished: None },
            KILL => {
                let mut seen = Vec::new();
                while !self.0.is_empty() {
                    seen.extend(self.rub_out());
                }
                Typed { seen, finished: None }
            }
            b'\t' | b' '.. if self.0.len() < LONGEST_LINE => {
                self.0.push(key);
                Typed { seen: vec![key], finished: None }
            }
            _ => Typed::default(),
        }
    }

    /// Takes the last character back, all its bytes.
    fn rub_out(&mut self) -> &'static [u8] {
        const IS_CONTINUED: std::ops::RangeInclusive<u8> = 0x80..=0xbf;
        if self.0.is_empty() {
            return b"";
        }
        while self.0.pop().is_some_and(|byte| IS_CONTINUED.contains(&byte)) {}
        RUB_OUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen, and the lines that come of it.
    fn typed(keys: &[u8]) -> (String, Vec<String>) {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let mut line = Line::default();
        let (seen, finished): (Vec<_>, Vec<_>) = keys
            .iter()
            .map(|key| {
                let Typed { seen, finished } = line.key(*key);
                (seen, finished)
            })
            .unzip();
        (text(seen.concat()), finished.into_iter().flatten().map(text).collect())
    }

    #[test]
    fn a_line_is_seen_as_it_is_typed_and_is_finished_by_enter() {
        assert_eq!(typed(b"ab\rc\n\r"), ("ab\nc\n\n".into(), vec!["ab\n".into(), "c\n".into(), "\n".into()]));
        assert_eq!(typed(b"ab"), ("ab".into(), vec![]));
    }

    #[test]
    fn keys_that_mend_take_back_whole_characters_and_no_more_than_there_are() {
        assert_eq!(typed(b"ab\x7fc\r"), ("ab\x08 \x08c\n".into(), vec!["ac\n".into()]));
        assert_eq!(typed(b"\x08\x7f\x15\r"), ("\n".into(), vec!["\n".into()]));
        assert_eq!(typed("aö\x08b\r".as_bytes()).1, ["ab\n"]);
        assert_eq!(typed("aö\x15b\r".as_bytes()), ("aö\x08 \x08\x08 \x08b\n".into(), vec!["b\n".into()]));
    }

    #[test]
    fn keys_without_a_meaning_and_what_makes_a_line_too_long_are_passed_over() {
        assert_eq!(typed(b"\x03a\x1b\tb\x1a\r"), ("a\tb\n".into(), vec!["a\tb\n".into()]));
        let long = [b'x'; LONGEST_LINE + 9];
        let (seen, lines) = typed(&[&long[..], b"\x7fy\r"].concat());
        assert_eq!(lines, [format!("{}y\n", "x".repeat(LONGEST_LINE - 1))]);
        assert!(seen.starts_with(&format!("{}\x08 \x08y", "x".repeat(LONGEST_LINE))), "{seen}");
    }
}
