//! Output to a reader who may be slow or asleep: what he has no room for is kept, and whoever waits for him waits no
//! longer than until he is told to stop.

mod outlet;

use crate::lossy::Lost;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
pub(crate) use outlet::{AT_ONCE, Outlet};
use std::{
    collections::VecDeque,
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A file that becomes readable when nobody shall wait any more.
pub type Stop = Arc<dyn AsFd + Send + Sync>;

/// How long whoever waits lets a file alone that can be written, as it says, and takes nothing: a terminal with room for one
/// character and a line feed that becomes two.
const RESPITE: u8 = 10;

/// A file, and what its reader has not taken yet.
pub(crate) struct Output {
    to: Outlet,
    /// One is readable: don't wait.
    stop: Mutex<Vec<Stop>>,
    backlog: Mutex<VecDeque<u8>>,
    lost: Lost,
}

/// What came of a try to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushed {
    All,
    Some,
    Nothing,
}

/// Why a wait is over.
enum Waited {
    /// The file takes something, or would refuse it.
    Room,
    /// It may take something by now.
    Respite,
    /// Somebody wants whoever waits.
    Wanted,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Output {
    /// Once one of `stop` is readable nobody waits for the reader any more: what he has not taken is lost.
    pub(crate) fn new(to: Outlet, stop: Vec<Stop>) -> Self {
        Self { to, stop: Mutex::new(stop), backlog: Mutex::default(), lost: Lost::default() }
    }

    /// One more of those files, for whoever waits from now on.
    pub(crate) fn stop_waiting_at(&self, stop: Stop) {
        lock(&self.stop).push(stop);
    }

    /// Keeps `bytes` for the reader.
    pub(crate) fn keep(&self, bytes: &[u8]) {
        lock(&self.backlog).extend(bytes);
    }

    /// Keeps `bytes` if no more than `most` wait then, or nothing waits yet; whether it does.
    pub(crate) fn keep_within(&self, most: usize, bytes: &[u8]) -> bool {
        let mut backlog = lock(&self.backlog);
        let fits = backlog.is_empty() || backlog.len() + bytes.len() <= most;
        if fits {
            backlog.extend(bytes);
        }
        fits
    }

    /// Notes that something is lost.
    pub(crate) fn lose(&self, why: io::Error) {
        self.lost.note(why);
    }

    /// The first failure, once.
    pub(crate) fn lost(&self) -> Option<io::Error> {
        self.lost.take()
    }

    /// Waits until the reader has taken all, or until `wanted` is readable; whether he has.
    pub(crate) fn wait(&self, wanted: Option<BorrowedFd<'_>>) -> bool {
        let mut has_room = false;
        loop {
            let pushed = self.push();
            if pushed == Pushed::All {
                return true;
            }
            // Not with the lock: others may be wanted too.
            match self.wait_for_room(wanted, has_room && pushed == Pushed::Nothing) {
                Ok(waited @ (Waited::Room | Waited::Respite)) => has_room = matches!(waited, Waited::Room),
                Ok(Waited::Wanted) => return false,
                Err(error) => {
                    lock(&self.backlog).clear();
                    self.lose(error);
                }
            }
        }
    }

    /// Writes what the file takes without a wait; whether that is all.
    pub(crate) fn push_out(&self) -> bool {
        self.push() == Pushed::All
    }

    fn push(&self) -> Pushed {
        let mut pushed = Pushed::Nothing;
        let mut backlog = lock(&self.backlog);
        while !backlog.is_empty() {
            let next = backlog.as_slices().0;
            let next = &next[..next.len().min(AT_ONCE)];
            let gone = match self.to.write(next) {
                Ok(0) => {
                    self.lose(io::ErrorKind::WriteZero.into());
                    next.len()
                }
                Ok(written) => written,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => return pushed,
                    _ => {
                        self.lose(error);
                        next.len()
                    }
                },
            };
            backlog.drain(..gone);
            pushed = Pushed::Some;
        }
        Pushed::All
    }

    /// Waits until there is room; of a file that only says so, for a while.
    fn wait_for_room(&self, wanted: Option<BorrowedFd<'_>>, only_says_so: bool) -> io::Result<Waited> {
        let stop = lock(&self.stop).clone();
        let readable = |file| PollFd::new(file, PollFlags::POLLIN);
        let (room, time) = match only_says_so {
            true => (PollFlags::empty(), PollTimeout::from(RESPITE)),
            false => (PollFlags::POLLOUT, PollTimeout::NONE),
        };
        let mut files = vec![PollFd::new(self.to.as_fd(), room)];
        files.extend(stop.iter().map(|stop| readable(stop.as_fd())));
        files.extend(wanted.map(readable));
        let ready = loop {
            match poll(&mut files, time) {
                Err(Errno::EINTR) => {}
                ready => break ready?,
            }
        };
        let is_ready = |file: &PollFd<'_>| file.any() == Some(true);
        if ready == 0 {
            Ok(Waited::Respite)
        } else if is_ready(&files[0]) {
            Ok(Waited::Room)
        } else if files[1..=stop.len()].iter().any(is_ready) {
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody waits for it any more"))
        } else {
            Ok(Waited::Wanted)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use std::{
        fs::File,
        io::{Read, Write},
        os::fd::OwnedFd,
        thread,
    };

    fn pipe() -> (io::PipeReader, io::PipeWriter) {
        io::pipe().expect("a pipe")
    }

    fn shared(file: impl Into<OwnedFd>) -> Outlet {
        Outlet::shared(File::from(file.into()))
    }

    /// An output to a pipe, which holds 64 KiB, with more than that to write; and what else there is to hold.
    struct Full {
        output: Output,
        reader: io::PipeReader,
        stop: io::PipeWriter,
    }

    impl Full {
        fn new() -> Self {
            let (reader, writer) = pipe();
            let (stopped, stop) = pipe();
            let output = Output::new(shared(writer), vec![Arc::new(stopped)]);
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
        let (wanted, mut want) = pipe();
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
        let (_reader, writer) = pipe();
        let output = Output::new(shared(writer), Vec::new());
        assert!(output.keep_within(2, b"one"), "nothing waits yet");
        assert!(!output.keep_within(3, b"!"));
        assert!(output.keep_within(4, b"!"));
        output.push_out();
        assert!(output.keep_within(2, b"one"), "nothing waits any more");
    }

    #[test]
    fn a_file_that_says_it_has_room_and_takes_nothing_keeps_nobody_who_is_wanted() {
        // It takes two numbers of such bytes, has room for smaller ones then, and none for the third.
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let (numbers, (wanted, mut want)) = (EventFd::from_flags(flags).expect("an eventfd"), pipe());
        let output =
            Output::new(shared(numbers.as_fd().try_clone_to_owned().expect("a descriptor")), Vec::new());
        for _ in 0..2 {
            output.keep(&[b'x'; 8]);
            assert!(output.push_out());
        }
        output.keep(&[b'x'; 8]);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| output.wait(Some(wanted.as_fd())));
            want.write_all(b"!").expect("there is room");
            assert!(!waiting.join().expect("it ends"), "the third waits");
            let waiting = scope.spawn(|| output.wait(None));
            assert_eq!(numbers.read(), Ok(2 * u64::from_ne_bytes([b'x'; 8])));
            assert!(waiting.join().expect("it ends"), "there is room again");
        });
        assert!(output.lost().is_none());
    }
}
