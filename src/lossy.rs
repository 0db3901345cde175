//! Output that can get lost without ending anybody: a full disk is not the guest's fault. What was lost is said at the
//! end.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// Writes what can be written, and drops the rest.
#[derive(Debug)]
pub(crate) struct Lossy<W> {
    to: W,
    lost: Lost,
}

/// Why output was lost, if any was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<Mutex<Option<io::Error>>>);

impl Lost {
    /// Notes a failure.
    pub(crate) fn note(&self, why: io::Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// The first failure, once.
    pub(crate) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_first<T>(&self, result: io::Result<T>, otherwise: T) -> T {
        result.unwrap_or_else(|error| {
            self.note(error);
            otherwise
        })
    }
}

impl<W> Lossy<W> {
    /// Writes to `to`; the second answer says what became of it.
    pub(crate) fn new(to: W) -> (Self, Lost) {
        let lost = Lost::default();
        (Self { to, lost: lost.clone() }, lost)
    }
}

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.to.write(bytes) {
            // Whoever writes tries again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            written => Ok(self.lost.keep_first(written, bytes.len())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.to.flush();
        self.lost.keep_first(flushed, ());
        Ok(())
    }
}
