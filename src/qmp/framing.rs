//! Where one JSON value ends and the next begins, in a stream that may be cut anywhere. Knows brackets and quotes, and
//! nothing of what is between them.

/// The longest request, in bytes. QEMU takes 64 MiB, and no client needs a thousandth of that.
pub(super) const LONGEST: usize = 64 << 10;

/// One value as it came, or what came instead of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Text that begins and ends like a value.
    Text(Vec<u8>),
    /// More than [`LONGEST`] bytes without an end; what follows on the line is dropped.
    TooLong,
}

/// Cuts a stream of bytes into values.
#[derive(Debug, Default)]
pub(super) struct Framing {
    text: Vec<u8>,
    /// Brackets and braces that are open.
    depth: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Outside of strings, or of everything.
    #[default]
    Plain,
    /// In a string.
    Quoted,
    /// In a string, behind a backslash.
    Escaped,
    /// In what is dropped.
    Dropped,
}

impl Framing {
    /// Takes one byte; the value that it completes.
    pub(super) fn push(&mut self, byte: u8) -> Option<Frame> {
        match self.state {
            State::Dropped => {
                if byte == b'\n' {
                    self.state = State::Plain;
                }
                return None;
            }
            // Neither a line break nor what is no UTF-8 can be in a string: it ends what a client has left half done.
            State::Quoted | State::Escaped if !(b' '..=0xfd).contains(&byte) => return self.end_with(byte),
            State::Quoted => match byte {
                b'\\' => self.state = State::Escaped,
                b'"' => {
                    self.state = State::Plain;
                    if self.depth == 0 {
                        return self.end_with(byte);
                    }
                }
                _ => {}
            },
            State::Escaped => self.state = State::Quoted,
            State::Plain => return self.plain(byte),
        }
        self.keep(byte)
    }

    fn plain(&mut self, byte: u8) -> Option<Frame> {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return self.end(),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            // Clients send a control character, or 0xff, to begin anew whatever came before.
            0..b' ' | 0x7f.. => return self.end_with(byte),
            b'"' => self.state = State::Quoted,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return self.end_with(byte);
                }
            }
            _ => {}
        }
        self.keep(byte)
    }

    fn keep(&mut self, byte: u8) -> Option<Frame> {
        if self.text.len() == LONGEST {
            *self = Self { state: State::Dropped, ..Self::default() };
            // The byte belongs to what is dropped, and may be its end.
            return self.push(byte).or(Some(Frame::TooLong));
        }
        self.text.push(byte);
        None
    }

    fn end_with(&mut self, byte: u8) -> Option<Frame> {
        self.keep(byte).or_else(|| self.end())
    }

    fn end(&mut self) -> Option<Frame> {
        let text = std::mem::take(self).text;
        (!text.is_empty()).then_some(Frame::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        let mut framing = Framing::default();
        bytes.iter().filter_map(|byte| framing.push(*byte)).collect()
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        let text = |frame| match frame {
            Frame::Text(text) => String::from_utf8_lossy(&text).into_owned(),
            Frame::TooLong => "too long".to_owned(),
        };
        frames(bytes).into_iter().map(text).collect()
    }

    #[test]
    fn values_end_where_their_brackets_do_whatever_is_between_them() {
        assert_eq!(
            texts(b"{\"a\":[1,{}]}{}\r\n[]  {\"b\":\n2}"),
            ["{\"a\":[1,{}]}", "{}", "[]", "{\"b\":\n2}"]
        );
    }

    #[test]
    fn brackets_and_quotes_in_strings_are_text() {
        assert_eq!(texts(br#"{"}":"]\"}\\"}{}"#), [r#"{"}":"]\"}\\"}"#, "{}"]);
    }

    #[test]
    fn what_is_no_object_ends_at_the_next_blank() {
        assert_eq!(texts(b"null 3\n\"a b\" } garbage "), ["null", "3", "\"a b\"", "}", "garbage"]);
    }

    #[test]
    fn a_control_character_ends_what_a_client_has_left_half_done() {
        assert_eq!(texts(b"{\"execute\":\x01{}"), ["{\"execute\":\x01", "{}"]);
        assert_eq!(texts(b"{\"execute\":\"qu\n{}"), ["{\"execute\":\"qu\n", "{}"]);
        assert_eq!(frames(b"[\"\xff{}"), [Frame::Text(b"[\"\xff".to_vec()), Frame::Text(b"{}".to_vec())]);
        assert_eq!(frames(b"{{\xff{}"), [Frame::Text(b"{{\xff".to_vec()), Frame::Text(b"{}".to_vec())]);
    }

    #[test]
    fn a_request_without_an_end_is_dropped_up_to_the_end_of_its_line() {
        let mut stream = vec![b'['; LONGEST + 10];
        stream.extend_from_slice(b"]]]\n{}");
        assert_eq!(texts(&stream), ["too long", "{}"]);
        let longest = [b"\"", vec![b'x'; LONGEST - 2].as_slice(), b"\""].concat();
        assert_eq!(frames(&longest), [Frame::Text(longest.clone())]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_the_longest_request(
            parts in proptest::collection::vec(
                prop_oneof![
                    (any::<u8>(), 0_usize..100_000).prop_map(|(byte, count)| vec![byte; count]),
                    proptest::collection::vec(any::<u8>(), 0..100),
                    Just(b"{\"execute\":\"".to_vec()),
                    Just(b"[\"\\".to_vec()),
                    Just(b"\n".to_vec()),
                ],
                0..6,
            ),
        ) {
            let mut framing = Framing::default();
            for byte in parts.concat() {
                if let Some(Frame::Text(text)) = framing.push(byte) {
                    prop_assert!((1..=LONGEST).contains(&text.len()));
                }
                prop_assert!(framing.text.len() <= LONGEST && framing.text.capacity() <= 2 * LONGEST);
            }
            // Whatever came, a client that begins anew is understood.
            framing.push(b'\n');
            framing.push(0xff);
            let anew: Vec<_> = b"\n{}".iter().filter_map(|byte| framing.push(*byte)).collect();
            prop_assert_eq!(anew, [Frame::Text(b"{}".to_vec())]);
        }
    }
}
