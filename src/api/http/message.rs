//! What is said: requests as they were understood, responses as they are written.

use std::io::{self, Write};

/// What is wanted of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    /// GET, and only the head of its answer.
    Head,
    Put,
    /// Some other.
    Other(String),
}

impl From<&str> for Method {
    fn from(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A request that was read to its end, or up to a body that is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path without query: `/api/v1/vm.info`.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// Whether the client will have another request on this connection.
    pub(crate) stays: bool,
}

/// A status of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Status(pub(crate) u16);

impl Status {
    /// Those that are used here, with their phrases (RFC 9110, 15).
    pub(crate) const ALL: [(Self, &'static str); 17] = [
        (Self(200), "OK"),
        (Self(204), "No Content"),
        (Self(400), "Bad Request"),
        (Self(404), "Not Found"),
        (Self(405), "Method Not Allowed"),
        (Self(408), "Request Timeout"),
        (Self(409), "Conflict"),
        (Self(411), "Length Required"),
        (Self(413), "Content Too Large"),
        (Self(417), "Expectation Failed"),
        (Self(431), "Request Header Fields Too Large"),
        (Self(500), "Internal Server Error"),
        (Self(501), "Not Implemented"),
        (Self(502), "Bad Gateway"),
        (Self(503), "Service Unavailable"),
        (Self(504), "Gateway Timeout"),
        (Self(505), "HTTP Version Not Supported"),
    ];

    fn phrase(self) -> &'static str {
        let found = Self::ALL.iter().find(|(status, _)| *status == self);
        found.map_or("", |(_, phrase)| phrase)
    }
}

/// A response with a body of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: Status,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    /// The methods that a resource has, when another was asked for.
    pub(crate) allow: Option<&'static str>,
}

impl Response {
    /// Nothing to say, and all well.
    pub(crate) fn empty() -> Self {
        Self { status: Status(204), content_type: "", body: Vec::new(), allow: None }
    }

    /// Writes it, at once so that it does not wait in pieces. `head_only` leaves the body out, `stays` tells the client
    /// that the connection can be used again.
    pub(crate) fn write(&self, to: &mut impl Write, head_only: bool, stays: bool) -> io::Result<()> {
        let mut text = head(self.status);
        if !self.content_type.is_empty() {
            text.extend(format!("Content-Type: {}\r\n", self.content_type).into_bytes());
        }
        if let Some(methods) = self.allow {
            text.extend(format!("Allow: {methods}\r\n").into_bytes());
        }
        // RFC 9110, 8.6: a 204 has none.
        if self.status != Status(204) {
            text.extend(format!("Content-Length: {}\r\n", self.body.len()).into_bytes());
        }
        text.extend(connection(stays));
        if !head_only {
            text.extend(&self.body);
        }
        to.write_all(&text)
    }
}

fn head(status: Status) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    format!("HTTP/1.1 {} {}\r\nServer: adjunct/{version}\r\n", status.0, status.phrase()).into_bytes()
}

/// The last header, and the end of the head.
fn connection(stays: bool) -> &'static [u8] {
    if stays { b"Connection: keep-alive\r\n\r\n" } else { b"Connection: close\r\n\r\n" }
}

/// The head of an answer that goes on for an unknown time, and is the last on its connection.
pub(crate) fn begin_chunks(to: &mut impl Write, content_type: &str) -> io::Result<()> {
    let mut text = head(Status(200));
    text.extend(format!("Content-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n").into_bytes());
    text.extend(connection(false));
    to.write_all(&text)
}

/// A piece of it. An empty one would be the end, and is not sent.
pub(crate) fn chunk(to: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    let mut text = format!("{:x}\r\n", piece.len()).into_bytes();
    text.extend(piece);
    text.extend(b"\r\n");
    to.write_all(&text)
}

/// Its end.
pub(crate) fn last_chunk(to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"0\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order_and_have_phrases() {
        assert!(Status::ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(Status(404).phrase(), "Not Found");
    }

    #[test]
    fn a_response_says_its_length_unless_it_can_have_no_body() {
        let mut text = Vec::new();
        let response = Response {
            status: Status(405),
            content_type: "application/json",
            body: b"[]".into(),
            allow: Some("GET"),
        };
        response.write(&mut text, false, true).expect("a vector takes it");
        Response::empty().write(&mut text, false, false).expect("a vector takes it");
        response.write(&mut text, true, true).expect("a vector takes it");
        let text = String::from_utf8(text).expect("text").replace(env!("CARGO_PKG_VERSION"), "V");
        let refused = "HTTP/1.1 405 Method Not Allowed\r\nServer: adjunct/V\r\nContent-Type: application/json\r\n\
                       Allow: GET\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n";
        let done = "HTTP/1.1 204 No Content\r\nServer: adjunct/V\r\nConnection: close\r\n\r\n";
        assert_eq!(text, format!("{refused}[]{done}{refused}"));
    }

    #[test]
    fn chunks_have_their_length_in_hexadecimal_and_an_empty_one_is_not_sent() {
        let mut text = Vec::new();
        chunk(&mut text, &[b'a'; 17]).expect("a vector takes it");
        chunk(&mut text, b"").expect("a vector takes it");
        last_chunk(&mut text).expect("a vector takes it");
        assert_eq!(text, b"11\r\naaaaaaaaaaaaaaaaa\r\n0\r\n\r\n");
    }
}
