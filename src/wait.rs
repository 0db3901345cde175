//! Files to wait for: one that another thread makes readable, and the first of several.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

/// A file that is readable while the flag is up, for whoever waits for more than this. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Flag(Arc<EventFd>);

impl Flag {
    /// It is down.
    ///
    /// # Errors
    /// There is no eventfd to be had.
    pub(crate) fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self(Arc::new(event)))
    }

    /// From any thread.
    pub(crate) fn raise(&self) {
        // Refused only if it is up so high that nothing can be added.
        let _ = self.0.write(1);
    }

    /// Whether it is up. Nobody waits.
    pub(crate) fn is_up(&self) -> bool {
        is_ready_now(self.0.as_fd(), PollFlags::POLLIN)
    }

    /// To be done before looking at what it stands for: what comes after this raises it again.
    pub(crate) fn lower(&self) {
        // Refused if it is down.
        let _ = self.0.read();
    }
}

/// Readable while the flag is up.
impl AsFd for Flag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a file is ready for what it is wanted for, or has an end or an error to tell. Nobody waits.
pub(crate) fn is_ready_now(file: BorrowedFd<'_>, wanted: PollFlags) -> bool {
    let mut file = [PollFd::new(file, wanted)];
    poll(&mut file, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Waits until one of `files` can be read without a wait, or has an end or an error to tell; which of them. One that is
/// not there never is.
///
/// # Errors
/// Nobody can be waited for; an interruption is no error.
pub(crate) fn until_readable<'a, const N: usize>(
    files: [impl Into<Option<BorrowedFd<'a>>>; N],
) -> io::Result<[bool; N]> {
    let files = files.map(Into::into);
    let mut there: Vec<_> =
        files.iter().flatten().map(|file| PollFd::new(*file, PollFlags::POLLIN)).collect();
    while let Err(errno) = poll(&mut there, PollTimeout::NONE) {
        if errno != Errno::EINTR {
            return Err(errno.into());
        }
    }
    let mut ready = there.iter().map(|file| file.any().unwrap_or(true));
    Ok(files.map(|file| file.is_some() && ready.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_readable_while_its_flag_is_up_and_one_that_is_not_there_is_not() {
        let (one, other) = (Flag::new().expect("an eventfd"), Flag::new().expect("an eventfd"));
        let readable = || until_readable([None, Some(one.as_fd()), Some(other.as_fd())]).expect("pollable");
        other.clone().raise();
        other.raise();
        assert_eq!(readable(), [false, false, true]);
        assert!(other.is_up() && !one.is_up());
        one.raise();
        assert_eq!(readable(), [false, true, true]);
        other.lower();
        assert_eq!(readable(), [false, true, false]);
    }
}
