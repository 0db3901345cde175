//! Where the guest's console goes.

use crate::config::ConsoleTarget;
use adjunct_devices::sclp::Consoles;
use adjunct_hypervisor::EventFd;
use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
};
use vmm_sys_util::{
    epoll::{ControlOperation, Epoll, EpollEvent, EventSet},
    eventfd::{EFD_CLOEXEC, EFD_NONBLOCK},
};

/// A console that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("--console {target}: it can't be written")]
pub struct ConsoleError {
    target: ConsoleTarget,
    #[source]
    source: io::Error,
}

/// Opens `target`. The guest has the ASCII console alone: Linux would write its first messages to the
/// line-mode console too, and a person would read them twice.
///
/// The second answer says afterwards whether all that the guest wrote got there.
///
/// # Errors
/// [`ConsoleError`].
pub fn open(target: &ConsoleTarget) -> Result<(Consoles, Written), ConsoleError> {
    let error = |source| ConsoleError { target: target.clone(), source };
    let stop = Arc::new(EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK).map_err(error)?);
    let output: Box<dyn Write + Send> = match target {
        // Off is silence, not the lack of a console, which a guest might not want to live without.
        ConsoleTarget::Off => Box::new(io::sink()),
        ConsoleTarget::Stdio => Box::new(Patient::new(io::stdout(), stop.clone()).map_err(error)?),
        ConsoleTarget::File(path) => {
            let file = File::create(path).map_err(error)?;
            Box::new(Patient::new(file, stop.clone()).map_err(error)?)
        }
    };
    let lost = Arc::default();
    let lossy = Lossy { output, lost: Arc::clone(&lost) };
    Ok((ascii(Box::new(lossy)), Written { target: target.clone(), lost, stop }))
}

fn ascii(output: Box<dyn Write + Send>) -> Consoles {
    Consoles { ascii: Some(output), line_mode: None }
}

/// What became of a guest's output.
#[derive(Debug)]
pub struct Written {
    target: ConsoleTarget,
    lost: Arc<Mutex<Option<io::Error>>>,
    stop: Arc<EventFd>,
}

impl Written {
    /// Signal it, and the console waits for its reader no more: what can't be written at once is lost.
    pub fn stop(&self) -> Arc<EventFd> {
        self.stop.clone()
    }

    /// Whether all of it was written. A reader that has gone away has seen enough, and is no error.
    ///
    /// # Errors
    /// [`ConsoleError`] with the first failure.
    pub fn all(self) -> Result<(), ConsoleError> {
        match self.lost.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(ConsoleError { target: self.target, source })
            }
            _ => Ok(()),
        }
    }
}

/// Waits for its reader, who may be slow or asleep, but only until it is told to stop: whoever ends the
/// guest must not wait for the reader too.
struct Patient<W> {
    output: W,
    stop: Arc<EventFd>,
    /// Watches both; none where the output never makes anybody wait (regular files, /dev/null).
    epoll: Option<Epoll>,
}

/// A pipe that can be written takes as much at once (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

impl<W: Write + AsRawFd> Patient<W> {
    fn new(output: W, stop: Arc<EventFd>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let watch = |fd, events| epoll.ctl(ControlOperation::Add, fd, EpollEvent::new(events, 0));
        watch(stop.as_raw_fd(), EventSet::IN)?;
        let can_wait = match watch(output.as_raw_fd(), EventSet::OUT) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => false,
            Err(error) => return Err(error),
        };
        Ok(Self { output, stop, epoll: can_wait.then_some(epoll) })
    }

    /// Waits until the output takes something.
    fn wait(&self) -> io::Result<()> {
        let Some(epoll) = &self.epoll else { return Ok(()) };
        let mut ready = [EpollEvent::default(); 2];
        while let Err(error) = epoll.wait(-1, &mut ready) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        // Reading takes the signal; the next write shall see it too.
        match self.stop.read().and_then(|_| self.stop.write(1)) {
            Ok(()) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody waits for it any more")),
            Err(_) => Ok(()),
        }
    }
}

impl<W: Write + AsRawFd> Write for Patient<W> {
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

/// A full disk is not the guest's fault: what can't be written is dropped, and said at the end.
struct Lossy {
    output: Box<dyn Write + Send>,
    lost: Arc<Mutex<Option<io::Error>>>,
}

impl Lossy {
    fn keep_first<T>(&self, result: io::Result<T>, otherwise: T) -> T {
        result.unwrap_or_else(|error| {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            otherwise
        })
    }
}

impl Write for Lossy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes);
        Ok(self.keep_first(written, bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.output.flush();
        self.keep_first(flushed, ());
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
        let stop = Arc::new(EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK).expect("an eventfd"));
        let mut patient = Patient::new(writer, stop.clone()).expect("a pipe can be watched");
        let writing = thread::spawn(move || {
            let written = patient.write_all(&[b'x'; 1 << 20]);
            (written, patient.write(b"more"))
        });
        stop.write(1).expect("there is room");
        let (first, second) = writing.join().expect("it ends");
        assert_eq!(first.expect_err("nobody read it").kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(second.expect_err("it stays stopped").kind(), io::ErrorKind::BrokenPipe);
        drop(reader);
    }

    #[test]
    fn what_a_full_disk_loses_is_said_at_the_end_and_not_to_the_guest() {
        let (consoles, written) = open(&ConsoleTarget::File("/dev/full".into())).expect("it can be opened");
        let mut console = consoles.ascii.expect("a console");
        assert_eq!(console.write(b"lost").expect("the guest goes on"), 4);
        let said = written.all().expect_err("it is full");
        assert_eq!(said.to_string(), "--console file:/dev/full: it can't be written");
    }
}
