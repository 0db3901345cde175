//! Where the guest's console goes, and where what it reads comes from.

pub mod input;
mod line;
pub(crate) mod terminal;

use crate::{config::ConsoleTarget, sandbox::hint};
use adjunct_devices::sclp::Consoles;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A console that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("--console {target}: it can't be written{}", hint(source))]
pub struct ConsoleError {
    target: ConsoleTarget,
    #[source]
    source: io::Error,
}

/// A file that becomes readable when nobody shall wait any more.
pub type Stop = Arc<dyn AsFd + Send + Sync>;

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
        ConsoleTarget::Stdio => Some(io::stdout().as_fd().try_clone_to_owned().map(File::from)),
        ConsoleTarget::File(path) => Some(File::create(path)),
    };
    let output = output.transpose().map_err(error)?.map(|output| Patient { output, stop });
    let console = Console { target: target.clone(), line_mode, shared: Arc::new(Output::new(output)) };
    let guest_end = Box::new(GuestEnd(console.shared.clone()));
    let mut consoles = Consoles::default();
    let place = if line_mode { &mut consoles.line_mode } else { &mut consoles.ascii };
    *place = Some(guest_end);
    Ok((consoles, console))
}

/// What a guest has written, on its way to a reader who may be slow. Clones are the same.
///
/// Writing and waiting are two things: a CPU that writes has the SCLP, which others need too, and whoever needs the
/// CPU must not have to wait for the reader.
#[derive(Clone, Debug)]
pub struct Console {
    target: ConsoleTarget,
    line_mode: bool,
    shared: Arc<Output<File>>,
}

impl Console {
    /// Waits until the reader has taken all that the guest has written, or until `wanted` is readable; whether he has.
    pub(crate) fn wait(&self, wanted: BorrowedFd<'_>) -> bool {
        self.shared.wait(Some(wanted))
    }

    /// Shows what was typed, in front of a reader who keeps up; nobody waits for him.
    fn echo(&self, typed: &[u8]) {
        let Some(file) = &self.shared.file else { return };
        let mut backlog = self.shared.backlog();
        if backlog.bytes.len() <= AT_ONCE {
            backlog.bytes.extend(typed);
            drop(backlog);
            self.shared.push_out(file);
        }
    }

    /// Waits for the reader once more, of a guest that has ended, and says whether all of it got there. A reader that has
    /// gone away has seen enough, and is no error.
    ///
    /// # Errors
    /// [`ConsoleError`] with the first failure.
    pub fn close(self) -> Result<(), ConsoleError> {
        self.shared.wait(None);
        match self.shared.backlog().lost.take() {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(ConsoleError { target: self.target, source })
            }
            _ => Ok(()),
        }
    }
}

/// A console's file, if it has one, and what waits for it.
#[derive(Debug)]
struct Output<W> {
    file: Option<Patient<W>>,
    backlog: Mutex<Backlog>,
}

/// What the reader has not taken yet. A CPU waits for him after each service call, so it is a block for each CPU at most.
#[derive(Debug, Default)]
struct Backlog {
    bytes: VecDeque<u8>,
    /// The first failure.
    lost: Option<io::Error>,
}

impl<W> Output<W> {
    fn new(file: Option<Patient<W>>) -> Self {
        Self { file, backlog: Mutex::default() }
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsFd> Output<W>
where
    for<'a> &'a W: Write,
{
    fn wait(&self, wanted: Option<BorrowedFd<'_>>) -> bool {
        let Some(file) = &self.file else { return true };
        loop {
            if self.push_out(file) {
                return true;
            }
            // Not with the lock: others may be wanted too.
            match file.wait(wanted) {
                Ok(Waited::Room) => {}
                Ok(Waited::Wanted) => return false,
                Err(error) => {
                    let mut backlog = self.backlog();
                    backlog.bytes.clear();
                    backlog.lost.get_or_insert(error);
                }
            }
        }
    }

    /// Writes what the file takes without a wait; whether that is all.
    fn push_out(&self, file: &Patient<W>) -> bool {
        let mut backlog = self.backlog();
        while !backlog.bytes.is_empty() && file.takes_now() {
            let next = backlog.bytes.as_slices().0;
            let next = &next[..next.len().min(AT_ONCE)];
            let written = match (&file.output).write(next) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let lost = next.len();
                    backlog.lost.get_or_insert(error);
                    lost
                }
                Ok(0) => {
                    let lost = next.len();
                    backlog.lost.get_or_insert(io::ErrorKind::WriteZero.into());
                    lost
                }
                Ok(written) => written,
            };
            backlog.bytes.drain(..written);
        }
        backlog.bytes.is_empty()
    }
}

/// The guest's end.
struct GuestEnd<W>(Arc<Output<W>>);

impl<W> Write for GuestEnd<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.file.is_some() {
            self.0.backlog().bytes.extend(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// Why a wait is over.
enum Waited {
    /// The output takes something, or would refuse it.
    Room,
    /// Somebody wants whoever waits.
    Wanted,
}

impl<W: AsFd> Patient<W> {
    /// Whether the output takes something without a wait, or would refuse it.
    pub(crate) fn takes_now(&self) -> bool {
        let mut file = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        poll(&mut file, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Waits until the output takes something, or until `wanted` is readable.
    fn wait(&self, wanted: Option<BorrowedFd<'_>>) -> io::Result<Waited> {
        let readable = |file| PollFd::new(file, PollFlags::POLLIN);
        let mut files = vec![PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        files.extend(self.stop.iter().map(|stop| readable(stop.as_fd())));
        files.extend(wanted.map(readable));
        while let Err(errno) = poll(&mut files, PollTimeout::NONE) {
            if errno != nix::errno::Errno::EINTR {
                return Err(errno.into());
            }
        }
        let is_ready = |file: &PollFd<'_>| file.any() == Some(true);
        if is_ready(&files[0]) {
            Ok(Waited::Room)
        } else if files[1..=self.stop.len()].iter().any(is_ready) {
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody waits for it any more"))
        } else {
            Ok(Waited::Wanted)
        }
    }
}

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(None)?;
        self.output.write(&bytes[..bytes.len().min(AT_ONCE)])
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
    use std::{io::Read, thread};

    /// An output to a pipe, which holds 64 KiB, with more than that to write; and what else there is to hold.
    struct Full {
        output: Output<io::PipeWriter>,
        reader: io::PipeReader,
        stop: io::PipeWriter,
    }

    impl Full {
        fn new() -> Self {
            let (reader, writer) = io::pipe().expect("a pipe");
            let (stopped, stop) = io::pipe().expect("another");
            let output = Output::new(Some(Patient { output: writer, stop: vec![Arc::new(stopped)] }));
            output.backlog().bytes.extend(vec![b'x'; 1 << 20]);
            Self { output, reader, stop }
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_who_sleeps_once_told_to_stop() {
        let Full { output, mut stop, reader } = Full::new();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| output.wait(None));
            stop.write_all(b"!").expect("there is room");
            assert!(waiting.join().expect("it ends"), "nothing is left to be written");
        });
        let lost = output.backlog().lost.take().expect("nobody read it");
        assert_eq!(lost.kind(), io::ErrorKind::BrokenPipe);
        output.backlog().bytes.extend(b"more");
        assert!(output.wait(None), "it stays stopped");
        drop(reader);
    }

    #[test]
    fn who_waits_for_a_reader_goes_when_wanted_and_nothing_is_lost() {
        let Full { output, mut reader, stop } = Full::new();
        let (wanted, mut want) = io::pipe().expect("a pipe");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| output.wait(Some(wanted.as_fd())));
            want.write_all(b"!").expect("there is room");
            assert!(!waiting.join().expect("it ends"), "the reader has not taken it");
            let waiting = scope.spawn(|| output.wait(None));
            let mut read = vec![0; 1 << 20];
            reader.read_exact(&mut read).expect("it is written");
            assert!(waiting.join().expect("it ends") && read.iter().all(|byte| *byte == b'x'));
        });
        assert!(output.backlog().lost.is_none());
        drop(stop);
    }

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
