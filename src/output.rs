//! Output to a reader who may be slow or asleep: what he has no room for is kept, and whoever waits for him waits no
//! longer than until he is told to stop.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A file that becomes readable when nobody shall wait any more.
pub type Stop = Arc<dyn AsFd + Send + Sync>;

/// A pipe that can be written takes as much at once (`PIPE_BUF`, pipe(7)).
pub(crate) const AT_ONCE: usize = 4096;

/// A file, and what its reader has not taken yet.
pub(crate) struct Output<W> {
    file: W,
    /// One is readable: don't wait.
    stop: Vec<Stop>,
    backlog: Mutex<Backlog>,
}

#[derive(Debug, Default)]
struct Backlog {
    bytes: VecDeque<u8>,
    /// The first failure.
    lost: Option<io::Error>,
}

/// Why a wait is over.
enum Waited {
    /// The file takes something, or would refuse it.
    Room,
    /// Somebody wants whoever waits.
    Wanted,
}

impl<W> fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("backlog", &self.backlog).finish_non_exhaustive()
    }
}

impl<W> Output<W> {
    /// Once one of `stop` is readable nobody waits for the reader any more: what he has not taken is lost.
    pub(crate) fn new(file: W, stop: Vec<Stop>) -> Self {
        Self { file, stop, backlog: Mutex::default() }
    }

    /// One more of those files.
    pub(crate) fn stop_waiting_at(&mut self, stop: Stop) {
        self.stop.push(stop);
    }

    /// Keeps `bytes` for the reader.
    pub(crate) fn keep(&self, bytes: &[u8]) {
        self.backlog().bytes.extend(bytes);
    }

    /// Keeps `bytes` if no more than `most` wait then, or nothing waits yet; whether it does.
    pub(crate) fn keep_within(&self, most: usize, bytes: &[u8]) -> bool {
        let mut backlog = self.backlog();
        let fits = backlog.bytes.is_empty() || backlog.bytes.len() + bytes.len() <= most;
        if fits {
            backlog.bytes.extend(bytes);
        }
        fits
    }

    /// Notes that something is lost.
    pub(crate) fn lose(&self, why: io::Error) {
        self.backlog().lost.get_or_insert(why);
    }

    /// The first failure, once.
    pub(crate) fn lost(&self) -> Option<io::Error> {
        self.backlog().lost.take()
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsFd> Output<W>
where
    for<'a> &'a W: Write,
{
    /// Waits until the reader has taken all, or until `wanted` is readable; whether he has.
    pub(crate) fn wait(&self, wanted: Option<BorrowedFd<'_>>) -> bool {
        loop {
            if self.push_out() {
                return true;
            }
            // Not with the lock: others may be wanted too.
            match self.wait_for_room(wanted) {
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
    pub(crate) fn push_out(&self) -> bool {
        let mut backlog = self.backlog();
        while !backlog.bytes.is_empty() && self.takes_now() {
            let next = backlog.bytes.as_slices().0;
            let next = &next[..next.len().min(AT_ONCE)];
            let written = match (&self.file).write(next) {
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

    /// Whether the file takes something without a wait, or would refuse it.
    fn takes_now(&self) -> bool {
        let mut file = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        poll(&mut file, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn wait_for_room(&self, wanted: Option<BorrowedFd<'_>>) -> io::Result<Waited> {
        let readable = |file| PollFd::new(file, PollFlags::POLLIN);
        let mut files = vec![PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        files.extend(self.stop.iter().map(|stop| readable(stop.as_fd())));
        files.extend(wanted.map(readable));
        while let Err(errno) = poll(&mut files, PollTimeout::NONE) {
            if errno != Errno::EINTR {
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
            let output = Output::new(writer, vec![Arc::new(stopped)]);
            output.keep(&vec![b'x'; 1 << 20]);
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
        let lost = output.lost().expect("nobody read it");
        assert_eq!(lost.kind(), io::ErrorKind::BrokenPipe);
        output.keep(b"more");
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
        assert!(output.lost().is_none());
        drop(stop);
    }

    #[test]
    fn what_waits_is_bounded_but_one_thing_always_may() {
        let (_reader, writer) = io::pipe().expect("a pipe");
        let output = Output::new(writer, Vec::new());
        assert!(output.keep_within(2, b"one"), "nothing waits yet");
        assert!(!output.keep_within(3, b"!"));
        assert!(output.keep_within(4, b"!"));
        output.push_out();
        assert!(output.keep_within(2, b"one"), "nothing waits any more");
    }
}
