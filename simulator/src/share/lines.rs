//! The two ends of a connection: messages are sent and read line by line.
//!
//! It refuses to know what the messages say: that is [`protocol`](super::protocol)'s.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
};

/// The longest line that a server reads, in bytes, its end included: a message of 12 KiB and all that is written to sysfs
/// fit many times. What a VM asks for is answered with less, too: the names of all queues that there can be fit. Only an
/// operator reads whatever his server has to say: what `dump` and `uevents` print can be longer.
pub(super) const LONGEST: usize = 1 << 20;

/// What was not a line of the wanted kind. After [`Unread::Io`] nothing more can be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The other side is gone, or the socket broke.
    Io(io::Error),
    /// The line is none of those that are due; the next may be.
    Malformed(String),
    /// The line is longer than the limit, and was skipped; the next may be shorter.
    TooLong,
}

/// One end of a connection that writes lines.
pub(super) fn send(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// One end of a connection that reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    /// The longest line that is read, in bytes.
    longest: usize,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `longest` bytes.
    pub(super) fn new(stream: R, longest: usize) -> Self {
        Self { reader: BufReader::new(stream), longest }
    }

    /// What is read from.
    pub(super) fn stream(&self) -> &R {
        self.reader.get_ref()
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// [`Unread`].
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Unread> {
        self.next_within(self.longest)
    }

    /// The next line, of any length: the other side is trusted, or what it says can't be bounded.
    ///
    /// # Errors
    /// [`Unread`].
    pub(super) fn next_of_any_length<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Unread> {
        self.next_within(usize::MAX)
    }

    fn next_within<T: DeserializeOwned>(&mut self, longest: usize) -> Result<Option<T>, Unread> {
        let mut line = Vec::new();
        let most = u64::try_from(longest).unwrap_or(u64::MAX);
        (&mut self.reader).take(most).read_until(b'\n', &mut line).map_err(Unread::Io)?;
        if line.last() != Some(&b'\n') {
            if line.len() < longest {
                // The end, or a line that somebody died in.
                return Ok(None);
            }
            self.skip_line().map_err(Unread::Io)?;
            return Err(Unread::TooLong);
        }
        serde_json::from_slice(&line).map(Some).map_err(|error| Unread::Malformed(error.to_string()))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let (skipped, done) = match end {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(skipped);
            if done {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::protocol::Seen;

    /// A line of exactly `bytes` that says 7.
    fn line(bytes: usize) -> Vec<u8> {
        [b"{\"seen\":7".to_vec(), vec![b' '; bytes - 11], b"}\n".to_vec()].concat()
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_one_that_is_not_finished_is_none() {
        let text = [&line(64)[..], &line(65), &line(11), b"{\"seen\":8}"].concat();
        let mut lines = Lines::new(&text[..], 64);
        let mut next = || lines.next::<Seen>();
        assert!(matches!(next(), Ok(Some(Seen { seen: 7 }))));
        assert!(matches!(next(), Err(Unread::TooLong)));
        assert!(matches!(next(), Ok(Some(Seen { seen: 7 }))));
        assert!(matches!(next(), Ok(None)));
    }

    #[test]
    fn whom_one_trusts_may_say_more_than_a_server_reads() {
        let text = [line(11), line(LONGEST + 1), line(LONGEST + 1), line(11)].concat();
        let mut lines = Lines::new(&text[..], LONGEST);
        assert!(matches!(lines.next::<Seen>(), Ok(Some(_))));
        assert!(matches!(lines.next_of_any_length(), Ok(Some(Seen { seen: 7 }))));
        assert!(matches!(lines.next::<Seen>(), Err(Unread::TooLong)), "it was for that line only");
        assert!(matches!(lines.next(), Ok(Some(Seen { seen: 7 }))));
        assert!(matches!(lines.next_of_any_length::<Seen>(), Ok(None)));
    }
}
