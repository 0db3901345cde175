//! The way out of a console.

use super::{command::Response, event::Output};
use std::{fmt, io};

/// An output, and whether its first failure has been told.
pub(super) struct Terminal {
    output: Output,
    failed: bool,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Terminal {
    pub(super) fn new(output: Output) -> Self {
        Self { output, failed: false }
    }

    /// Writes and flushes. A failure is an equipment check for the guest; since it may try for ever, it
    /// is logged once.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Response {
        match self.output.write_all(bytes).and_then(|()| self.output.flush()) {
            Ok(()) => Response::Done,
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) -> Response {
        if !self.failed {
            tracing::warn!(%error, "console output is lost");
        }
        self.failed = true;
        Response::EquipmentCheck
    }
}
