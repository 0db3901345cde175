//! Where the guest's console goes, and where what it reads comes from.

pub mod input;
mod line;
pub(crate) mod terminal;

use crate::{
    config::ConsoleTarget,
    output::{AT_ONCE, Outlet, Output, Stop},
    sandbox::hint,
};

use adjunct_devices::sclp::Consoles;
use std::{
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// A console that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("--console {target}: it can't be written{}", hint(source))]
pub struct ConsoleError {
    target: ConsoleTarget,
    #[source]
    source: io::Error,
}

/// Opens `target`. The guest has one console alone, the ASCII console or the one of `line_mode`: Linux would write its
/// first messages to both, and a person would read them twice.
///
/// What the guest writes is kept until somebody waits for the reader with `Console::wait`. Once one of `stop` is
/// readable nobody waits for him any more: what he has not taken is lost.
///
/// # Errors
/// [`ConsoleError`].
pub fn open(
    target: &ConsoleTarget,
    line_mode: bool,
    stop: Vec<Stop>,
) -> Result<(Consoles, Console), ConsoleError> {
    let error = |source| ConsoleError { target: target.clone(), source };
    let output = match target {
        // Off is silence, not the lack of a console, which a guest might not want to live without.
        ConsoleTarget::Off => None,
        ConsoleTarget::Stdio => Some(stdout().map_err(error)?),
        // Without a reader so far, and the guest has to end: nobody will ever read what it says.
        ConsoleTarget::File(path) => Outlet::create(path, &stop).map_err(error)?,
    };
    let output = output.map(|outlet| Arc::new(Output::new(outlet, stop)));
    let guest_end = Box::new(GuestEnd(output.clone()));
    let console = Console { target: target.clone(), line_mode, output };
    let mut consoles = Consoles::default();
    let place = if line_mode { &mut consoles.line_mode } else { &mut consoles.ascii };
    *place = Some(guest_end);
    Ok((consoles, console))
}

/// Standard output. Its terminal is opened at the first call: later Landlock may forbid it.
///
/// # Errors
/// There is no descriptor to be had.
pub(crate) fn stdout() -> io::Result<Outlet> {
    static STDOUT: OnceLock<Outlet> = OnceLock::new();
    match STDOUT.get() {
        Some(outlet) => outlet.try_clone(),
        None => {
            let file = io::stdout().as_fd().try_clone_to_owned()?;
            STDOUT.get_or_init(|| Outlet::shared(file.into())).try_clone()
        }
    }
}

/// What a guest has written, on its way to a reader who may be slow. Clones are the same.
///
/// Writing and waiting are two things: a CPU that writes has the SCLP, which others need too, and whoever needs the
/// CPU must not have to wait for the reader.
#[derive(Clone, Debug)]
pub struct Console {
    target: ConsoleTarget,
    line_mode: bool,
    /// None: it goes nowhere.
    output: Option<Arc<Output>>,
}

impl Console {
    /// Waits until the reader has taken all that the guest has written, or until `wanted` is readable; whether he has.
    pub(crate) fn wait(&self, wanted: BorrowedFd<'_>) -> bool {
        self.output.as_ref().is_none_or(|output| output.wait(Some(wanted)))
    }

    /// Shows what was typed, in front of a reader who keeps up; nobody waits for him.
    fn echo(&self, typed: &[u8]) {
        let Some(output) = &self.output else { return };
        if output.keep_within(AT_ONCE, typed) {
            output.push_out();
        }
    }

    /// Waits for the reader once more, of a guest that has ended, and says whether all of it got there. A reader that has
    /// gone away has seen enough, and is no error.
    ///
    /// # Errors
    /// [`ConsoleError`] with the first failure.
    pub fn close(self) -> Result<(), ConsoleError> {
        let Some(output) = self.output else { return Ok(()) };
        output.wait(None);
        match output.lost() {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(ConsoleError { target: self.target, source })
            }
            _ => Ok(()),
        }
    }
}

/// The guest's end.
struct GuestEnd(Option<Arc<Output>>);

impl Write for GuestEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(output) = &self.0 {
            output.keep(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A console that is kept in memory.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// The ASCII console, ending here.
    pub fn consoles(&self) -> Consoles {
        Consoles { ascii: Some(Box::new(self.clone())), ..Consoles::default() }
    }

    /// What the guest has written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_disk_loses_is_said_at_the_end_and_not_to_the_guest() {
        let (consoles, written) =
            open(&ConsoleTarget::File("/dev/full".into()), false, Vec::new()).expect("it can be opened");
        let mut console = consoles.ascii.expect("a console");
        assert_eq!(console.write(b"lost").expect("the guest goes on"), 4);
        let said = written.close().expect_err("it is full");
        assert_eq!(said.to_string(), "--console file:/dev/full: it can't be written");
    }
}
