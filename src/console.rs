//! Where the guest's console goes, and where what it reads comes from.

pub mod input;
pub(crate) mod terminal;

use crate::{
    config::ConsoleTarget,
    lossy::{Lossy, Lost},
};
use adjunct_devices::sclp::Consoles;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    fmt,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

/// A console that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("--console {target}: it can't be written")]
pub struct ConsoleError {
    target: ConsoleTarget,
    #[source]
    source: io::Error,
}

/// A file that becomes readable when nobody shall wait any more.
pub type Stop = Arc<dyn AsFd + Send + Sync>;

/// Opens `target`. The guest has the ASCII console alone: Linux would write its first messages to the
/// line-mode console too, and a person would read them twice.
///
/// Once one of `stop` is readable the console waits for its reader no more: what can't be written at once is lost. The second
/// answer says afterwards whether all that the guest wrote got there.
///
/// # Errors
/// [`ConsoleError`].
pub fn open(target: &ConsoleTarget, stop: Vec<Stop>) -> Result<(Consoles, Written), ConsoleError> {
    let error = |source| ConsoleError { target: target.clone(), source };
    let output: Box<dyn Write + Send> = match target {
        // Off is silence, not the lack of a console, which a guest might not want to live without.
        ConsoleTarget::Off => Box::new(io::sink()),
        ConsoleTarget::Stdio => Box::new(Patient { output: io::stdout(), stop }),
        ConsoleTarget::File(path) => Box::new(Patient { output: File::create(path).map_err(error)?, stop }),
    };
    let (lossy, lost) = Lossy::new(output);
    Ok((ascii(Box::new(lossy)), Written { target: target.clone(), lost }))
}

fn ascii(output: Box<dyn Write + Send>) -> Consoles {
    Consoles { ascii: Some(output), line_mode: None }
}

/// What became of a guest's output.
#[derive(Debug)]
pub struct Written {
    target: ConsoleTarget,
    lost: Lost,
}

impl Written {
    /// Whether all of it was written. A reader that has gone away has seen enough, and is no error.
    ///
    /// # Errors
    /// [`ConsoleError`] with the first failure.
    pub fn all(self) -> Result<(), ConsoleError> {
        match self.lost.take() {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(ConsoleError { target: self.target, source })
            }
            _ => Ok(()),
        }
    }
}

/// Waits for its reader, who may be slow or asleep, but only until it is told to stop: whoever ends the
/// guest must not wait for the reader too.
pub(crate) struct Patient<W> {
    pub(crate) output: W,
    /// One is readable: don't wait.
    pub(crate) stop: Vec<Stop>,
}

impl<W> fmt::Debug for Patient<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").finish_non_exhaustive()
    }
}

/// A pipe that can be written takes as much at once (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

impl<W: AsFd> Patient<W> {
    /// Whether the output takes something without a wait, or would refuse it.
    pub(crate) fn takes_now(&self) -> bool {
        let mut file = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        poll(&mut file, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Waits until the output takes something.
    fn wait(&self) -> io::Result<()> {
        let mut files = vec![PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        files.extend(self.stop.iter().map(|stop| PollFd::new(stop.as_fd(), PollFlags::POLLIN)));
        while let Err(errno) = poll(&mut files, PollTimeout::NONE) {
            if errno != nix::errno::Errno::EINTR {
                return Err(errno.into());
            }
        }
        match files[0].any() {
            Some(true) => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody waits for it any more")),
        }
    }
}

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait()?;
        let taken = self.output.write(&bytes[..bytes.len().min(AT_ONCE)])?;
        // Standard output keeps what is not a whole line.
        self.output.flush()?;
        Ok(taken)
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
        ascii(Box::new(self.clone()))
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
    use std::thread;

    #[test]
    fn nobody_waits_for_a_reader_who_sleeps_once_told_to_stop() {
        // Nobody reads: after 64 KiB the pipe is full, and this would wait for ever.
        let (reader, writer) = io::pipe().expect("a pipe");
        let (stop, mut tell) = io::pipe().expect("another");
        let mut patient = Patient { output: writer, stop: vec![Arc::new(stop)] };
        let writing = thread::spawn(move || {
            let written = patient.write_all(&[b'x'; 1 << 20]);
            (written, patient.write(b"more"))
        });
        tell.write_all(b"!").expect("there is room");
        let (first, second) = writing.join().expect("it ends");
        assert_eq!(first.expect_err("nobody read it").kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(second.expect_err("it stays stopped").kind(), io::ErrorKind::BrokenPipe);
        drop(reader);
    }

    #[test]
    fn what_a_full_disk_loses_is_said_at_the_end_and_not_to_the_guest() {
        let (consoles, written) =
            open(&ConsoleTarget::File("/dev/full".into()), Vec::new()).expect("it can be opened");
        let mut console = consoles.ascii.expect("a console");
        assert_eq!(console.write(b"lost").expect("the guest goes on"), 4);
        let said = written.all().expect_err("it is full");
        assert_eq!(said.to_string(), "--console file:/dev/full: it can't be written");
    }
}
