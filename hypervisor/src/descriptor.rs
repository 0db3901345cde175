//! File descriptors that somebody else opened and handed to us by number.
// UNSAFETY: a descriptor given as a number can't be borrowed in safe Rust.
#![expect(unsafe_code, reason = "BorrowedFd::borrow_raw for a number from the command line")]

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

/// A duplicate (close-on-exec) of the descriptor `number`, which this process inherited. The
/// original stays open and belongs to whoever opened it.
///
/// # Errors
/// EBADF if no such descriptor is open.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(EBADF));
    }
    // SAFETY: the borrow ends with this statement, in which it is only duplicated; `number` is not
    // -1, the one value that BorrowedFd must not hold. A number that is not open is answered by the
    // kernel with EBADF, and the duplicate is an owner of its own whatever becomes of the original.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// `include/uapi/asm-generic/errno-base.h`.
const EBADF: i32 = 9;

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
        let mut inherited = File::from(inherit(writer.as_raw_fd()).expect("open"));
        drop(writer);
        inherited.write_all(b"AP").expect("the pipe is open");
        drop(inherited);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "AP");
    }

    #[test]
    fn a_number_that_is_not_open_is_refused_with_ebadf() {
        for number in [-1, i32::MIN, 999_999] {
            assert_eq!(inherit(number).expect_err("not open").raw_os_error(), Some(EBADF));
        }
    }
}
