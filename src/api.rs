//! `--api-socket`: HTTP/1.1 with JSON at a Unix socket, by which a guest can be looked at and steered. Shapes are Cloud
//! Hypervisor's where it has the thing.
//!
//! ```text
//! bytes --http--> Request --endpoint--> Handle (the main thread) --> types --> bytes
//! ```
//!
//! It holds a [`Handle`] and nothing else: it refuses to know vCPUs, devices and hosts. [`client`] is the other side.

pub mod client;
pub(crate) mod convert;
mod endpoint;
pub(crate) mod http;
mod metrics;
pub mod openapi;
mod refusal;
mod server;
pub mod types;

pub use server::Served;

use crate::{control::Handle, event::Events, socket::Listener};
use serde::de::DeserializeOwned;
use std::{fmt, io, sync::Arc};

/// Serves `handle` and `events` at `listener` until the answer is dropped.
///
/// # Errors
/// There is no thread to be had.
pub fn serve(listener: Listener, handle: Handle, events: Arc<Events>) -> io::Result<Served> {
    server::serve(listener, endpoint::Api { handle, events }, server::Limits::default())
}

/// Reads JSON that must have no member but those that `T` knows.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Misread> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut at = serde_path_to_error::Track::new();
    let read = types::object(serde_path_to_error::Deserializer::new(&mut json, &mut at))
        .map_err(|why| Misread { member: at.path().to_string(), why })?;
    json.end().map_err(|why| Misread { member: String::new(), why })?;
    Ok(read)
}

/// JSON that is not what it should be.
#[derive(Debug)]
pub(crate) struct Misread {
    /// The path of the member that is wrong: `payload.kernel`; a point or a question mark for the whole.
    member: String,
    why: serde_json::Error,
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member.as_str() {
            "" | "." | "?" => write!(f, "{}", self.why),
            member => write!(f, "{member}: {}", self.why),
        }
    }
}

impl std::error::Error for Misread {}
