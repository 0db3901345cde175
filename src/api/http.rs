//! HTTP/1.1 on a byte stream, for a server and its client: one message after the other, each with a bound on what it may
//! take of memory. Bodies have a length, but for an answer that goes on (chunked). Knows no paths and no JSON.

mod message;
mod reading;

pub(crate) use message::{Method, Request, Response, Status, begin_chunks, chunk, last_chunk};
pub(crate) use reading::{Answer, LONGEST_BODY, LONGEST_HEAD, Reading, Unread};
