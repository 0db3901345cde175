//! The signals that end a guest, as descriptors that an event loop can watch.

use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level,
};
use std::io;

/// Those signals, in the order of [`Signals::pipes`].
const ENDING: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// A handler for each writes to a pipe of its own.
pub(super) struct Signals {
    pipes: Vec<io::PipeReader>,
    handlers: Vec<SigId>,
}

impl Signals {
    /// Takes the signals over.
    pub(super) fn watch() -> io::Result<Self> {
        let mut all = Self { pipes: Vec::new(), handlers: Vec::new() };
        for signal in ENDING {
            let (reader, writer) = io::pipe()?;
            all.handlers.push(low_level::pipe::register(signal, writer)?);
            all.pipes.push(reader);
        }
        Ok(all)
    }

    /// Readable when a signal has come; one for each.
    pub(super) fn pipes(&self) -> impl Iterator<Item = &io::PipeReader> {
        self.pipes.iter()
    }

    /// The number of the signal whose pipe is the `nth`.
    pub(super) fn number(&self, nth: u32) -> Option<i32> {
        ENDING.get(usize::try_from(nth).ok()?).copied()
    }
}

/// Afterwards signals do again what they did before.
impl Drop for Signals {
    fn drop(&mut self) {
        self.handlers.drain(..).for_each(|handler| {
            low_level::unregister(handler);
        });
    }
}
