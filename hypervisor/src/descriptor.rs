//! File descriptors that somebody else opened and handed to us by number.
// UNSAFETY: a descriptor given as a number can't be borrowed or owned in safe Rust.
#![expect(unsafe_code, reason = "a file descriptor that is a number on the command line")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};
use vmm_sys_util::eventfd::EventFd;

/// A duplicate (close-on-exec) of the descriptor `number` of this process. The original stays open and belongs to
/// whoever opened it.
///
/// # Errors
/// EBADF if no such descriptor is open.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(EBADF));
    }
    // SAFETY: the borrow ends with this statement, in which it is only duplicated; `number` is not
    // -1, the one value that BorrowedFd must not hold. A number that is not open is answered by the
    // kernel with EBADF, and the duplicate is an owner of its own whatever becomes of the original.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// [`duplicate`] of a descriptor which this process inherited: one that it opened itself is close-on-exec, and not meant
/// by a number that somebody has typed.
///
/// # Errors
/// EBADF if no such descriptor is open, or if it was not inherited.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    inherited(number)?;
    duplicate(number)
}

/// The flags of the descriptor `number`; EBADF if it is not open or close-on-exec.
fn inherited(number: RawFd) -> io::Result<i32> {
    // SAFETY: F_GETFD takes no argument and touches no memory; a number that is not open is EBADF.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        ..0 => Err(io::Error::last_os_error()),
        flags if flags & libc::FD_CLOEXEC != 0 => Err(io::Error::from_raw_os_error(EBADF)),
        flags => Ok(flags),
    }
}

/// Takes the descriptor `number`, which this process inherited, over: it is close-on-exec from now on,
/// and closed when the result is dropped.
///
/// Only what was inherited can be taken over. Everything that this process opens itself is close-on-exec,
/// an inherited descriptor is not; and once taken over it is, so nobody can take it a second time.
///
/// # Errors
/// EBADF if no such descriptor is open, if it is standard input, output or error, or if it was not
/// inherited.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number <= STDERR {
        return Err(io::Error::from_raw_os_error(EBADF));
    }
    let flags = inherited(number)?;
    // SAFETY: F_SETFD takes an int and touches no memory.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and nothing in this process owns it: the standard library and the
    // crates that open files here set FD_CLOEXEC on all that they open, and this one had it not.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A duplicate (close-on-exec) of the eventfd `number` of this process, as the kernel takes one when it is told a number:
/// whoever stands in for the kernel needs that.
///
/// # Errors
/// EBADF if no such descriptor is open, EINVAL if it is no eventfd (`fs/eventfd.c: eventfd_ctx_fdget`).
pub fn event(number: RawFd) -> io::Result<EventFd> {
    let file = duplicate(number)?;
    let kind = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if kind.as_os_str() != "anon_inode:[eventfd]" {
        return Err(io::Error::from_raw_os_error(EINVAL));
    }
    // SAFETY: the descriptor is ours alone: it was made above, and its owner gives it up here.
    Ok(unsafe { EventFd::from_raw_fd(file.into_raw_fd()) })
}

/// The last of the three descriptors that belong to the standard library.
const STDERR: RawFd = 2;

/// `include/uapi/asm-generic/errno-base.h`.
const EBADF: i32 = 9;
const EINVAL: i32 = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::{Read, Write},
        os::fd::AsRawFd,
    };

    #[test]
    fn an_inherited_descriptor_is_the_same_file_and_outlives_the_original() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let number = as_inherited(&writer);
        let mut inherited = File::from(inherit(number).expect("open"));
        drop((writer, adopt(number).expect("nobody's")));
        inherited.write_all(b"AP").expect("the pipe is open");
        drop(inherited);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "AP");
    }

    /// A descriptor of `file` as a process inherits it: not close-on-exec, and nobody's.
    fn as_inherited(file: &impl AsRawFd) -> RawFd {
        // SAFETY: F_DUPFD takes an int and touches no memory.
        let number = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 3) };
        assert!(number > STDERR);
        number
    }

    #[test]
    fn what_is_taken_over_is_close_on_exec_and_closed_at_the_end() {
        let number = as_inherited(&File::open("/dev/null").expect("it is there"));
        let owned = adopt(number).expect("it was inherited");
        // SAFETY: F_GETFD takes no argument and touches no memory.
        assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) }, libc::FD_CLOEXEC);
        assert_eq!(adopt(number).expect_err("it is taken").raw_os_error(), Some(EBADF));
        assert_eq!(owned.as_raw_fd(), number);
    }

    #[test]
    fn what_this_process_opened_and_the_standard_streams_are_not_taken_over() {
        let file = File::open("/dev/null").expect("it is there");
        for number in [file.as_raw_fd(), 0, 1, 2, -1, 999_999] {
            assert_eq!(adopt(number).expect_err("not inherited").raw_os_error(), Some(EBADF));
        }
        assert_eq!(inherit(file.as_raw_fd()).expect_err("not inherited").raw_os_error(), Some(EBADF));
    }

    #[test]
    fn an_eventfd_is_taken_by_its_number_and_nothing_else_is() {
        let ours = EventFd::new(0).expect("an eventfd");
        let theirs = event(ours.as_raw_fd()).expect("it is one");
        theirs.write(3).expect("there is room");
        assert_eq!(ours.read().expect("something was written"), 3);
        let file = File::open("/dev/null").expect("it is there");
        assert_eq!(event(file.as_raw_fd()).expect_err("no eventfd").raw_os_error(), Some(EINVAL));
        assert_eq!(event(999_999).expect_err("not open").raw_os_error(), Some(EBADF));
    }

    #[test]
    fn a_number_that_is_not_open_is_refused_with_ebadf() {
        for number in [-1, i32::MIN, 999_999] {
            assert_eq!(inherit(number).expect_err("not open").raw_os_error(), Some(EBADF));
            assert_eq!(duplicate(number).expect_err("not open").raw_os_error(), Some(EBADF));
        }
    }
}
