//! The other side: asks an adjunct at its socket. One connection, one question after the other.

use super::{
    endpoint::ROOT,
    http::{Answer, Reading, Unread},
    types::Refused,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// Bytes of an answer: more than any has. The OpenAPI document, the longest, has 31 KiB.
const LONGEST_ANSWER: u64 = 1 << 20;

/// How QMP greets whoever connects (`qmp::framing`).
const QMP: &[u8] = b"{\"QMP\":";

/// A connection to an adjunct.
#[derive(Debug)]
pub struct Client(Reading<UnixStream>);

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or not for us.
    #[error("--api-socket path={}: {}", path.display(), unconnected(source))]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It was not done.
    #[error("{}", why.join(": "))]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What was refused, and behind it why.
        why: Vec<String>,
    },
    /// The connection ended without an answer.
    #[error("adjunct went away without an answer")]
    Gone,
    /// It is the other kind of socket.
    #[error("that is a socket of --qmp, where clients of QEMU are answered; name the one of --api-socket")]
    Qmp,
    /// What is there is no adjunct, or another version.
    #[error("the answer can't be understood: {0}")]
    Answer(String),
}

/// A socket is its user's alone.
fn unconnected(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "only the user whose adjunct listens there, and root, may connect to it"
        }
        _ => "no adjunct listens there",
    }
}

impl Client {
    /// Connects to the adjunct that listens at `path`.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path);
        stream
            .map(|stream| Self(Reading::new(stream)))
            .map_err(|source| ClientError::Connect { path: path.to_owned(), source })
    }

    /// Asks for `name`, for example `vm.info`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ClientError> {
        read(self.text(name)?.as_bytes())
    }

    /// Asks for `name`, whose answer is text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn text(&mut self, name: &str) -> Result<String, ClientError> {
        let answer = self.ask("GET", name, None)?;
        self.body(answer)
    }

    /// Orders `name`, which takes nothing and gives nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn order(&mut self, name: &str) -> Result<(), ClientError> {
        let answer = self.ask("PUT", name, None)?;
        self.body(answer).map(drop)
    }

    /// Orders `name` with `wish`; what is answered, as text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn put(&mut self, name: &str, wish: &impl Serialize) -> Result<String, ClientError> {
        let body = serde_json::to_vec(wish).map_err(|error| ClientError::Answer(error.to_string()))?;
        let answer = self.ask("PUT", name, Some(&body))?;
        self.body(answer)
    }

    /// Asks for `name`, whose answer goes on, and gives `each` piece of it to the caller until that has enough or the
    /// answer ends.
    ///
    /// # Errors
    /// [`ClientError`], and what the caller says.
    pub fn follow<E: From<ClientError>>(
        mut self,
        name: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let answer = self.ask("GET", name, None)?;
        if !answer.chunked {
            return Err(ClientError::Answer("it does not go on".into()).into());
        }
        while let Some(piece) = self.0.piece().map_err(not_read)? {
            each(&piece)?;
        }
        Ok(())
    }

    /// Sends a request; the head of the answer, if that is a good one.
    fn ask(&mut self, method: &str, name: &str, body: Option<&[u8]>) -> Result<Answer, ClientError> {
        let mut text = format!("{method} {ROOT}{name} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
        if let Some(body) = body {
            let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            text.extend(head.into_bytes());
        }
        text.extend(b"\r\n");
        text.extend(body.unwrap_or_default());
        // One that turns us away has an answer although it does not listen.
        let sent = self.0.stream().write_all(&text);
        let answer = self.0.answer().map_err(|unread| match self.0.unread().starts_with(QMP) {
            true => ClientError::Qmp,
            false => not_read(unread),
        })?;
        if answer.status < 400 {
            return sent.map(|()| answer).map_err(|_| ClientError::Gone);
        }
        let Refused(why) = read(self.body(answer)?.as_bytes())?;
        Err(ClientError::Refused { status: answer.status, why })
    }

    fn body(&mut self, answer: Answer) -> Result<String, ClientError> {
        let body = self.0.body(answer, LONGEST_ANSWER).map_err(not_read)?;
        String::from_utf8(body).map_err(|error| ClientError::Answer(error.to_string()))
    }
}

fn not_read(unread: Unread) -> ClientError {
    match unread {
        Unread::Closed | Unread::Gone | Unread::TooSlow => ClientError::Gone,
        Unread::Malformed(why) => ClientError::Answer(why.to_owned()),
        Unread::LongHead | Unread::LongBody { .. } => ClientError::Answer("it is too long".to_owned()),
        Unread::Version | Unread::NoLength | Unread::Expectation => {
            ClientError::Answer("that is no HTTP/1.1".to_owned())
        }
    }
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(text).map_err(|error| ClientError::Answer(error.to_string()))
}
