//! What is wrong with a host file, and where.

use std::{io, ops::Range, path::PathBuf};

/// Why a host file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HostFileError {
    /// The text is not a host file.
    #[error("line {line}, column {column}: {what}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The host that was started refused what the file asks for, as a kernel would.
    #[error("{key}: {why}")]
    Refused {
        /// The file's key: `ap.apmask`, `mdev[1].domains`.
        key: String,
        /// What was asked for, who stands in the way.
        why: String,
        /// The errno of the store.
        errno: i32,
    },
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is this file.
    #[error("host file {} can't be used", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: Box<HostFileError>,
    },
}

impl HostFileError {
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let what =
            error.message().replace("unknown field", "unknown key").replace("missing field", "missing key");
        let what = what.lines().collect::<Vec<_>>().join(", ");
        Wrong { span: error.span().unwrap_or_default(), what }.at(text)
    }
}

/// Something wrong with a part of the text.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Bytes of the text.
    pub(super) span: Range<usize>,
    pub(super) what: String,
}

impl Wrong {
    /// Says where that is in `text`.
    pub(super) fn at(self, text: &str) -> HostFileError {
        let before = &text.as_bytes()[..self.span.start.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        HostFileError::Malformed { line, column, what: self.what }
    }
}
