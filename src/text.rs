//! Text that a user gives: host files, configurations. It comes from a file, or from a pipe or device that never ends.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// More than a capture of the largest machine has.
const MOST_MIB: u64 = 16;

/// The text of the file at `path`.
///
/// # Errors
/// It can't be read, is no UTF-8, or is longer than 16 MiB.
pub(crate) fn read_file(path: &Path) -> io::Result<String> {
    read(File::open(path)?)
}

/// The same from an open file.
///
/// # Errors
/// As for [`read_file`].
pub(crate) fn read(from: impl Read) -> io::Result<String> {
    let most = MOST_MIB << 20;
    let mut bytes = Vec::new();
    if from.take(most + 1).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::Error::other(format!("it is longer than {MOST_MIB} MiB")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_have_16_mebibytes_and_no_more() {
        let of = |length| read(io::repeat(b' ').take(length)).map(|text| text.len());
        assert_eq!(of(16 << 20).expect("short enough"), 16 << 20);
        let long = of((16 << 20) + 1).expect_err("too long");
        assert_eq!(long.to_string(), "it is longer than 16 MiB");
        // One that never ends.
        assert!(read(io::repeat(0)).is_err());
    }
}
