//! What goes over the socket: one JSON object a line, in both directions.
//!
//! The server greets whoever connects. Then the client asks, and each question has one answer; who asks for
//! [`Request::Guest`] gets a [`Push`] a line from then on, and confirms those that carry a number with [`Seen`]. Numbers
//! are JSON's, masks and ids are text as in sysfs, messages of queues are hex digits: nothing depends on a byte order.

use crate::{ApFacilities, QueueStatus, ReplyPart};
use adjunct_ap::{Adm, Apm, Apqn, Aqm, Matrix, Uuid, text};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt::Display, str::FromStr};

/// Which form of what is described here. Client and server must have the same.
pub(super) const VERSION: u32 = 1;

/// What the server says first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Greeting {
    /// [`VERSION`].
    pub(super) adjunct_host: u32,
}

/// What a client asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// An [`Order`](super::Order).
    Order(String),
    /// Loads the host file of this text.
    Load(String),
    /// Tells whoever serves the host that it shall end.
    Quit,
    /// Reads an attribute of `/sys`.
    Read(String),
    /// Writes one.
    Write { path: String, value: String },
    /// Lists a directory.
    List(String),
    /// The uevents after the one of this number, once there is one; none after a while.
    Uevents { after: u64 },
    /// What a client has to know of the machine.
    Facts,
    /// An act.
    Act { request: String, target: String },
    /// Makes this connection that of a new VM.
    Guest,
    /// Something for the VM that was given this token.
    Vm { token: u64, request: VmRequest },
}

/// What a VM asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum VmRequest {
    /// Hold something; the answer is its number.
    Hold(String),
    /// Hold it no more.
    Release(u64),
    /// Open an mdev.
    Open(#[serde(with = "as_text")] Uuid),
    /// Close it.
    Close(#[serde(with = "as_text")] Uuid),
    /// Reset it.
    Reset(#[serde(with = "as_text")] Uuid),
    /// Signal an interrupt of it, or don't.
    Irq {
        #[serde(with = "as_text")]
        mdev: Uuid,
        index: u32,
        on: bool,
    },
    /// Let it reach guest memory.
    MapDma {
        #[serde(with = "as_text")]
        mdev: Uuid,
        from: u64,
        to: u64,
    },
    /// PQAP(AQIC).
    Aqic {
        #[serde(with = "as_text")]
        mdev: Uuid,
        #[serde(with = "as_text")]
        queue: Apqn,
        enable: Option<Indicator>,
    },
    /// Another AP instruction.
    Ap {
        #[serde(with = "as_text")]
        queue: Apqn,
        instruction: Instruction,
    },
}

/// Where a guest wants to be told of replies.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Indicator {
    /// The notification-indicator byte; none if it is not in guest memory.
    pub(super) nib: Option<u64>,
    /// The interruption subclass.
    pub(super) isc: u8,
}

/// An AP instruction, by its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Instruction {
    Tapq,
    Qact(u64),
    Rapq,
    Zapq,
    Nqap { psmid: u64, message: Hex },
    Dqap { room: usize },
}

/// What a client is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    Ok(Answer),
    Error(Failure),
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// It is done.
    Done,
    Text(String),
    Names(Vec<String>),
    Number(u64),
    Uevents(Uevents),
    Facts(Facts),
    Status(Status),
}

/// Uevents, a line each, and the number of the last; of none the one that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Uevents {
    pub(super) text: String,
    pub(super) last: u64,
}

/// Why not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// For people.
    pub(super) text: String,
    /// The kernel's errno, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) errno: Option<i32>,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FailureKind {
    /// The request can't be understood.
    Malformed,
    /// The request is longer than [`LONGEST`](super::lines::LONGEST).
    TooLong,
    /// The order was refused, by the machine or the kernel.
    Refused,
    /// The kernel refused.
    Kernel,
    /// A write was done in part.
    Short,
}

/// What a client has to know of the machine and its kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Facts {
    /// The CPU model's name.
    pub(super) machine: String,
    /// The kernel profile's.
    pub(super) kernel: String,
    /// Facility 12.
    pub(super) qci: bool,
    /// Facility 15.
    pub(super) test: bool,
    /// Facility 65.
    pub(super) interruptions: bool,
    /// QCI's flags.
    pub(super) flags: u32,
    pub(super) max_adapter: u8,
    pub(super) max_domain: u8,
    /// APXA of QCI.
    pub(super) apxa: bool,
    /// Nanoseconds since the host was started.
    pub(super) now: u64,
}

impl Facts {
    pub(super) fn facilities(&self) -> ApFacilities {
        ApFacilities { qci: self.qci, test: self.test, interruptions: self.interruptions }
    }
}

/// What an AP instruction leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Status {
    /// The status word.
    pub(super) word: u32,
    /// TAPQ, QACT: GR2.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) info: u64,
    /// DQAP: what was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part>,
}

/// A part of a reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) psmid: u64,
    pub(super) data: Hex,
    pub(super) residual: usize,
}

impl Status {
    pub(super) fn new(status: QueueStatus) -> Self {
        Self { word: status.word(), info: 0, part: None }
    }
}

impl From<ReplyPart> for Part {
    fn from(part: ReplyPart) -> Self {
        Self { psmid: part.psmid, data: Hex(part.data), residual: part.residual }
    }
}

impl From<Part> for ReplyPart {
    fn from(part: Part) -> Self {
        Self { psmid: part.psmid, data: part.data.0, residual: part.residual }
    }
}

/// What the server tells a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Push {
    /// Its number, and what it says in requests to be known by. The first that it is told.
    Guest { vm: u64, token: u64 },
    /// The masks of its mdev, to be put into the CRYCB; all zero without one. To be confirmed with this number.
    Masks { number: u64, masks: Masks },
    /// A queue has a reply: the notification-indicator byte, and the subclass.
    Reply { nib: u64, isc: u8 },
    /// An interrupt of the device is to be signalled so often.
    Irq {
        #[serde(with = "as_text")]
        mdev: Uuid,
        index: u32,
        times: u64,
    },
}

/// A VM's confirmation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) seen: u64,
}

/// A matrix as sysfs writes masks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Masks {
    apm: String,
    aqm: String,
    adm: String,
}

impl From<&Matrix> for Masks {
    fn from(matrix: &Matrix) -> Self {
        let Matrix { apm, aqm, adm } = matrix;
        Self { apm: text::format_mask(apm), aqm: text::format_mask(aqm), adm: text::format_mask(adm) }
    }
}

impl Masks {
    /// The matrix, if that is what it is.
    pub(super) fn matrix(&self) -> Option<Matrix> {
        let apm: Apm = text::parse_mask(self.apm.as_bytes()).ok()?;
        let aqm: Aqm = text::parse_mask(self.aqm.as_bytes()).ok()?;
        let adm: Adm = text::parse_mask(self.adm.as_bytes()).ok()?;
        Some(Matrix { apm, aqm, adm })
    }
}

/// Bytes, as hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = |byte: &u8| {
            let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
            [digit(byte >> 4), digit(byte & 15)]
        };
        serializer.serialize_str(&self.0.iter().flat_map(digits).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let byte = |pair: &[u8]| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.map(Self).ok_or_else(|| D::Error::custom("bytes are pairs of lower-case hex digits"))
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Ids in the form that people write.
mod as_text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(id: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &impl Serialize) -> String {
        serde_json::to_string(message).expect("it has a form")
    }

    #[test]
    fn messages_have_the_same_bytes_on_every_machine() {
        let message = Hex(vec![0x00, 0x9f, 0xff]);
        let nqap = VmRequest::Ap {
            queue: Apqn::new(5, 4),
            instruction: Instruction::Nqap { psmid: 1 << 56, message },
        };
        assert_eq!(
            json(&Request::Vm { token: u64::MAX, request: nqap }),
            r#"{"vm":{"token":18446744073709551615,"request":{"ap":{"queue":"05.0004","instruction":{"nqap":{"psmid":72057594037927936,"message":"009fff"}}}}}}"#
        );
        let part = Some(Part { psmid: 1, data: Hex(vec![0xab]), residual: 2 });
        assert_eq!(
            json(&Reply::Ok(Answer::Status(Status { word: 0x8000_0000, info: 0, part }))),
            r#"{"ok":{"status":{"word":2147483648,"part":{"psmid":1,"data":"ab","residual":2}}}}"#
        );
        let masks = Masks::from(&Matrix::EMPTY);
        let push = json(&Push::Masks { number: 1, masks });
        assert!(push.starts_with(r#"{"masks":{"number":1,"masks":{"apm":"0x0000"#), "{push}");
    }

    #[test]
    fn masks_and_bytes_are_read_as_they_were_written_and_nothing_else_is() {
        let mut matrix = Matrix::EMPTY;
        matrix.apm.insert(adjunct_ap::Apid(5));
        matrix.aqm.insert(adjunct_ap::Apqi(0x47));
        matrix.adm.insert(adjunct_ap::ControlDomain(255));
        assert_eq!(Masks::from(&matrix).matrix(), Some(matrix));
        let all: Vec<u8> = (0..=255).collect();
        let read: Hex = serde_json::from_str(&json(&Hex(all.clone()))).expect("bytes");
        assert_eq!(read.0, all);
        for bad in [r#""0""#, r#""0g""#, r#""AB""#, r#""é0""#, "1"] {
            assert!(serde_json::from_str::<Hex>(bad).is_err(), "{bad}");
        }
    }
}
