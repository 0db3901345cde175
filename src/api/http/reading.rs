//! Reading messages off a stream, bounded in memory. How long it may take is the stream's to say: a read that fails with
//! `WouldBlock` or `TimedOut` was not patient enough.

use super::message::Request;
use httparse::{EMPTY_HEADER, Error::TooManyHeaders, Header};
use std::io::{self, ErrorKind, Read, Write};

/// Bytes of a request line with its headers, or of a status line with its.
pub(crate) const LONGEST_HEAD: usize = 8 << 10;
/// Bytes of a request's body: a guest's configuration with a long kernel command line is a tenth.
pub(crate) const LONGEST_BODY: u64 = 64 << 10;
/// Bytes of a body that is too long and still read, to nowhere, so that the connection can go on.
const LONGEST_SKIPPED: u64 = 1 << 20;
/// Headers of a message.
const MOST_HEADERS: usize = 64;

/// Why there is no message.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The other side has closed the connection between two messages, as it should.
    Closed,
    /// It went away in the middle of one: there is nobody to answer.
    Gone,
    /// The rest did not come in time.
    TooSlow,
    /// No HTTP, or a part of it that we don't speak.
    Malformed(&'static str),
    /// Another version than 1.0 and 1.1.
    Version,
    /// More than [`LONGEST_HEAD`] bytes or 64 headers.
    LongHead,
    /// A body of more than [`LONGEST_BODY`]. The connection can go on if it `was_skipped`.
    LongBody {
        /// Whether the body was read to its end.
        was_skipped: bool,
    },
    /// A body without a length.
    NoLength,
    /// An expectation other than `100-continue`.
    Expectation,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TooSlow,
            _ => Self::Gone,
        }
    }
}

impl From<httparse::Error> for Unread {
    fn from(error: httparse::Error) -> Self {
        match error {
            TooManyHeaders => Self::LongHead,
            httparse::Error::Version => Self::Version,
            httparse::Error::HeaderName | httparse::Error::HeaderValue => {
                Self::Malformed("a header is malformed")
            }
            httparse::Error::Token => Self::Malformed("the request line is malformed"),
            _ => Self::Malformed("that is no HTTP"),
        }
    }
}

/// What headers say about the message they are of.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    /// Of HTTP/1.0.
    keep_alive: bool,
    waits: bool,
    /// How many `Host` headers there are.
    hosts: usize,
}

/// The head of an answer, as a client reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Length of its body.
    length: Option<u64>,
    /// It goes on, in chunks.
    pub(crate) chunked: bool,
}

/// A stream with what was read of it and not yet understood.
#[derive(Debug)]
pub(crate) struct Reading<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Reading<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What was sent and is not understood so far.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Waits for the first byte of a message.
    ///
    /// # Errors
    /// [`Unread::Closed`], [`Unread::Gone`], [`Unread::TooSlow`].
    pub(crate) fn wait(&mut self) -> Result<(), Unread> {
        if self.buffer.is_empty() && self.fill()? == 0 {
            return Err(Unread::Closed);
        }
        Ok(())
    }

    /// The next request.
    ///
    /// # Errors
    /// [`Unread`]. After [`Unread::LongBody`] with `was_skipped` there can be another; after all others it is not known
    /// where that would begin.
    pub(crate) fn request(&mut self) -> Result<Request, Unread> {
        let (head, request, framing) = loop {
            if let Some(understood) = parse_request(&self.buffer)? {
                break understood;
            }
            self.more_head()?;
        };
        self.buffer.drain(..head);
        if framing.chunked {
            return Err(Unread::NoLength);
        }
        let length = framing.length.unwrap_or(0);
        if length > LONGEST_BODY {
            return Err(self.refuse_body(length, framing.waits));
        }
        let missing = length.saturating_sub(self.buffered());
        if framing.waits && missing > 0 {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = self.take(length)?;
        Ok(Request { body, ..request })
    }

    /// The head of the answer to a request of ours; informational ones before it are passed over.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn answer(&mut self) -> Result<Answer, Unread> {
        loop {
            match parse_answer(&self.buffer)? {
                None => self.more_head()?,
                Some((head, answer)) => {
                    self.buffer.drain(..head);
                    if answer.status >= 200 {
                        return Ok(answer);
                    }
                }
            }
        }
    }

    /// The body of `answer`, which is at most `longest` bytes and not chunked.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn body(&mut self, answer: Answer, longest: u64) -> Result<Vec<u8>, Unread> {
        match answer.length.unwrap_or(0) {
            length if length > longest => Err(Unread::LongBody { was_skipped: false }),
            length => self.take(length),
        }
    }

    /// The next piece of an answer that goes on; `None` at its end.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn piece(&mut self) -> Result<Option<Vec<u8>>, Unread> {
        let (line, length) = loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) => self.more_head()?,
                Err(_) => return Err(Unread::Malformed("a chunk is malformed")),
            }
        };
        if length > LONGEST_BODY {
            return Err(Unread::LongBody { was_skipped: false });
        }
        self.buffer.drain(..line);
        let piece = self.take(length)?;
        if self.take(2)? != b"\r\n" {
            return Err(Unread::Malformed("a chunk is malformed"));
        }
        Ok((length > 0).then_some(piece))
    }

    /// Reads on in the middle of a head.
    fn more_head(&mut self) -> Result<(), Unread> {
        if self.buffer.len() >= LONGEST_HEAD {
            return Err(Unread::LongHead);
        }
        self.more()
    }

    /// Reads on in the middle of a message.
    fn more(&mut self) -> Result<(), Unread> {
        match self.fill()? {
            0 => Err(Unread::Gone),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.buffer.extend(&bytes[..count]);
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn buffered(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// The next `length` bytes.
    fn take(&mut self, length: u64) -> Result<Vec<u8>, Unread> {
        while self.buffered() < length {
            self.more()?;
        }
        // It is in memory, so it fits.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads a body that is too long to nowhere, unless the client waits for leave to send it or it is really long.
    fn refuse_body(&mut self, length: u64, waits: bool) -> Unread {
        if waits || length > LONGEST_SKIPPED {
            return Unread::LongBody { was_skipped: false };
        }
        let mut left = length;
        loop {
            let here = left.min(self.buffered());
            self.buffer.drain(..usize::try_from(here).unwrap_or(usize::MAX));
            left -= here;
            if left == 0 {
                return Unread::LongBody { was_skipped: true };
            }
            if let Err(unread) = self.more() {
                return unread;
            }
        }
    }
}

/// The request that `bytes` begin with, without its body, and the length of its head.
fn parse_request(bytes: &[u8]) -> Result<Option<(usize, Request, Framing)>, Unread> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else { return Ok(None) };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Unread::Malformed("the request line is malformed"));
    };
    let framing = framing(request.headers)?;
    // RFC 9112, 3.2.
    if framing.hosts > 1 || version == 1 && framing.hosts == 0 {
        return Err(Unread::Malformed("write one Host header, whatever it says"));
    }
    let stays = !framing.close && (version == 1 || framing.keep_alive);
    let request = Request { method: method.into(), path: path(target).to_owned(), body: Vec::new(), stays };
    Ok(Some((head, request, framing)))
}

fn parse_answer(bytes: &[u8]) -> Result<Option<(usize, Answer)>, Unread> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.ok_or(Unread::Malformed("the status line is malformed"))?;
    let framing = framing(response.headers)?;
    Ok(Some((head, Answer { status, length: framing.length, chunked: framing.chunked })))
}

/// The path of a target in origin or absolute form (RFC 9112, 3.2). No resource here takes a query.
fn path(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some(("http" | "https", rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    target.split(['?', '#']).next().unwrap_or(target)
}

fn framing(headers: &[Header<'_>]) -> Result<Framing, Unread> {
    let mut framing = Framing::default();
    for header in headers {
        let value = str::from_utf8(header.value).unwrap_or_default().trim();
        let has = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
        match header.name {
            name if name.eq_ignore_ascii_case("content-length") => {
                // Digits alone: `parse` takes a sign.
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let length = value.parse().ok().filter(|_| digits);
                let length = length.ok_or(Unread::Malformed("Content-Length is no number"))?;
                if framing.length.replace(length).is_some_and(|earlier| earlier != length) {
                    return Err(Unread::Malformed("there are two Content-Lengths"));
                }
            }
            name if name.eq_ignore_ascii_case("transfer-encoding") => framing.chunked = true,
            name if name.eq_ignore_ascii_case("host") => framing.hosts += 1,
            name if name.eq_ignore_ascii_case("connection") => {
                framing.close |= has("close");
                framing.keep_alive |= has("keep-alive");
            }
            name if name.eq_ignore_ascii_case("expect") => {
                if !value.eq_ignore_ascii_case("100-continue") {
                    return Err(Unread::Expectation);
                }
                framing.waits = true;
            }
            _ => {}
        }
    }
    Ok(framing)
}

#[cfg(test)]
mod tests {
    use super::{super::message, *};
    use proptest::prelude::*;

    /// A client that has sent all it will, in pieces of at most `piece` bytes, and then goes away.
    struct Sent {
        bytes: Vec<u8>,
        piece: usize,
        answered: Vec<u8>,
    }

    impl Read for Sent {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.piece.min(into.len()).min(self.bytes.len());
            into[..count].copy_from_slice(&self.bytes[..count]);
            self.bytes.drain(..count);
            Ok(count)
        }
    }

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.answered.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sent(bytes: impl Into<Vec<u8>>, piece: usize) -> Reading<Sent> {
        Reading::new(Sent { bytes: bytes.into(), piece, answered: Vec::new() })
    }

    fn request(text: &str) -> Result<Request, Unread> {
        sent(text, usize::MAX).request()
    }

    fn put(length: impl std::fmt::Display, more: &str, body: &str) -> String {
        format!("PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n{body}")
    }

    #[test]
    fn a_path_is_the_same_in_each_form_of_a_target() {
        for target in ["/a/b", "/a/b?c=d", "http://localhost/a/b", "https://[::1]:80/a/b?c"] {
            assert_eq!(
                request(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).expect("read").path,
                "/a/b",
                "{target}"
            );
        }
        assert_eq!(request("GET http://localhost HTTP/1.1\r\nHost: x\r\n\r\n").expect("read").path, "/");
    }

    #[test]
    fn a_connection_stays_unless_one_side_says_otherwise() {
        for (text, stays) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nhost:\r\nConnection: foo, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(request(text).expect("read").stays, stays, "{text}");
        }
    }

    #[test]
    fn a_request_of_version_1_1_names_one_host() {
        for hosts in ["", "Host: x\r\nhost: x\r\n"] {
            let refused = request(&format!("GET / HTTP/1.1\r\n{hosts}\r\n"));
            assert!(matches!(refused, Err(Unread::Malformed(_))), "{hosts}");
        }
        assert!(matches!(request("GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"), Err(Unread::Malformed(_))));
        assert!(request("GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn a_body_has_one_length_or_is_refused() {
        assert_eq!(request(&put(2, "Content-Length: 2\r\n", "hi")).expect("they agree").body, b"hi");
        assert!(matches!(request(&put(2, "Content-Length: 3\r\n", "hi!")), Err(Unread::Malformed(_))));
        for length in ["+2", "-2", "2, 2", "", "2x", "99999999999999999999"] {
            assert!(matches!(request(&put(length, "", "hi")), Err(Unread::Malformed(_))), "{length}");
        }
        let chunked = request("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert!(matches!(chunked, Err(Unread::NoLength)));
    }

    #[test]
    fn a_body_that_is_too_long_is_passed_over_and_the_next_request_is_read() {
        let long = "x".repeat(usize::try_from(LONGEST_BODY + 1).expect("small"));
        let mut reading = sent(put(long.len(), "", &long) + "GET /next HTTP/1.1\r\nHost: x\r\n\r\n", 1000);
        assert!(matches!(reading.request(), Err(Unread::LongBody { was_skipped: true })));
        assert!(reading.buffer.len() < 2 * 4096, "it is not kept");
        assert_eq!(reading.request().expect("it is read").path, "/next");
    }

    #[test]
    fn a_body_that_is_really_too_long_or_not_sent_yet_is_not_waited_for() {
        for (length, more) in
            [(LONGEST_SKIPPED + 1, ""), (u64::MAX, ""), (LONGEST_BODY + 1, "Expect: 100-continue\r\n")]
        {
            let mut reading = sent(put(length, more, "x"), 1000);
            assert!(matches!(reading.request(), Err(Unread::LongBody { was_skipped: false })), "{length}");
            assert_eq!(reading.stream.answered, b"", "nobody is told to go on");
        }
    }

    #[test]
    fn who_waits_for_leave_to_send_a_body_gets_it() {
        // The body comes after the head alone was read.
        let text = put(2, "Expect: 100-Continue\r\n", "hi");
        let mut reading = sent(text.clone(), text.len() - 2);
        assert_eq!(reading.request().expect("read").body, b"hi");
        assert_eq!(reading.stream.answered, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(matches!(request("GET / HTTP/1.1\r\nExpect: tea\r\n\r\n"), Err(Unread::Expectation)));
    }

    #[test]
    fn a_head_that_does_not_end_is_refused_before_it_fills_memory() {
        for text in [
            "GET /".to_owned() + &"x".repeat(1 << 20),
            "GET / HTTP/1.1\r\n".to_owned() + &"a: b\r\n".repeat(1 << 18),
        ] {
            let mut reading = sent(text, 100);
            assert!(matches!(reading.request(), Err(Unread::LongHead)));
            assert!(reading.buffer.len() < LONGEST_HEAD + 4096);
        }
    }

    #[test]
    fn who_goes_away_in_the_middle_of_a_request_has_asked_nothing() {
        let text = put(2, "", "hi");
        for length in 1..text.len() {
            let mut reading = sent(&text.as_bytes()[..length], 7);
            reading.wait().expect("it has begun");
            assert!(matches!(reading.request(), Err(Unread::Gone)), "{length}");
        }
        assert!(matches!(sent("", 7).wait(), Err(Unread::Closed)));
    }

    #[test]
    fn other_versions_and_other_protocols_are_told_apart() {
        assert!(matches!(request("GET / HTTP/2.0\r\n\r\n"), Err(Unread::Version)));
        for text in ["\u{16}\u{3}\u{1}", "{\"execute\":\"quit\"}\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n"] {
            assert!(matches!(request(text), Err(Unread::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn an_answer_that_goes_on_is_read_piece_by_piece() {
        let mut text = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
        message::begin_chunks(&mut text, "text/plain").expect("a vector takes it");
        for piece in ["one", "and\r\ntwo"] {
            message::chunk(&mut text, piece.as_bytes()).expect("a vector takes it");
        }
        message::last_chunk(&mut text).expect("a vector takes it");
        let mut reading = sent(text, 3);
        let answer = reading.answer().expect("a head");
        assert!(answer.status == 200 && answer.chunked);
        assert_eq!(reading.piece().expect("a piece").as_deref(), Some(&b"one"[..]));
        assert_eq!(reading.piece().expect("a piece").as_deref(), Some(&b"and\r\ntwo"[..]));
        assert_eq!(reading.piece().expect("the end"), None);
        assert!(matches!(sent("fffffff\r\n", 9).piece(), Err(Unread::LongBody { .. })));
        assert!(matches!(sent("1\r\nxyz", 9).piece(), Err(Unread::Malformed(_))));
    }

    proptest! {
        #[test]
        fn however_requests_arrive_they_are_the_same(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5),
            piece in 1_usize..400,
        ) {
            let mut text = Vec::new();
            for body in &bodies {
                text.extend(put(body.len(), "", "").into_bytes());
                text.extend(body);
            }
            let mut reading = sent(text, piece);
            for body in bodies {
                prop_assert_eq!(reading.request().expect("it is all there").body, body);
            }
            prop_assert!(matches!(reading.wait(), Err(Unread::Closed)));
        }

        #[test]
        fn however_much_is_sent_no_more_is_kept_than_a_request_may_have(
            sent_to_us in proptest::collection::vec(
                prop_oneof![
                    (any::<u8>(), 0_usize..150_000).prop_map(|(byte, count)| vec![byte; count]),
                    proptest::collection::vec(any::<u8>(), 0..300),
                    (0_u64..2_000_000).prop_map(|length| put(length, "", "").into_bytes()),
                    Just(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
                    Just(b"\r\n\r\n".to_vec()),
                ],
                0..6,
            ),
            piece in 1000_usize..5000,
        ) {
            const MOST: usize = 2 * (LONGEST_HEAD + (64 << 10) + 4096);
            let mut reading = sent(sent_to_us.concat(), piece);
            // As a server goes on.
            while matches!(reading.request(), Ok(_) | Err(Unread::LongBody { was_skipped: true })) {
                prop_assert!(reading.buffer.capacity() <= MOST, "{}", reading.buffer.capacity());
            }
            prop_assert!(reading.buffer.capacity() <= MOST, "{}", reading.buffer.capacity());
        }

        #[test]
        fn nothing_that_is_sent_makes_a_side_panic_or_hoard(
            head in "(GET|PUT|[A-Z]{0,9}) [/a-z?:]{0,20} HTTP/1[.][01]\r\n([A-Za-z-]{0,17}: ?[ -~]{0,20}\r\n){0,4}(\r\n)?|HTTP/1.1 [0-9]{1,4} x\r\n",
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            piece in 1_usize..100,
        ) {
            let text = [head.as_bytes(), &bytes].concat();
            let length = text.len();
            for mut reading in [sent(text.clone(), piece), sent(bytes.clone(), piece)] {
                while reading.request().is_ok() {}
                prop_assert!(reading.buffer.len() <= length);
            }
            let mut reading = sent(text, piece);
            if let Ok(answer) = reading.answer() {
                let _ = reading.body(answer, 100);
            }
            let _ = sent(bytes, piece).piece();
        }
    }
}
