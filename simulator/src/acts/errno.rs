//! The errno that a plan can name.

/// Names and numbers (`include/uapi/asm-generic/errno-base.h`, `errno.h`), in the order of the names.
#[rustfmt::skip]
const NAMES: &[(&str, i32)] = &[
    ("E2BIG", libc::E2BIG),
    ("EACCES", libc::EACCES),
    ("EADDRINUSE", libc::EADDRINUSE),
    ("EADDRNOTAVAIL", libc::EADDRNOTAVAIL),
    ("EAGAIN", libc::EAGAIN),
    ("EBADF", libc::EBADF),
    ("EBUSY", libc::EBUSY),
    ("EEXIST", libc::EEXIST),
    ("EFAULT", libc::EFAULT),
    ("EINTR", libc::EINTR),
    ("EINVAL", libc::EINVAL),
    ("EIO", libc::EIO),
    ("EMFILE", libc::EMFILE),
    ("ENFILE", libc::ENFILE),
    ("ENODEV", libc::ENODEV),
    ("ENOENT", libc::ENOENT),
    ("ENOMEM", libc::ENOMEM),
    ("ENOSPC", libc::ENOSPC),
    ("ENOSYS", libc::ENOSYS),
    ("ENOTTY", libc::ENOTTY),
    ("ENXIO", libc::ENXIO),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
    ("EPERM", libc::EPERM),
    ("ERANGE", libc::ERANGE),
    ("ETIMEDOUT", libc::ETIMEDOUT),
    ("EUSERS", libc::EUSERS),
];

/// The number of `EBUSY`, or a number itself.
pub(super) fn number(text: &str) -> Option<i32> {
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok().filter(|number| (1..4096).contains(number)))
}

/// All names, for people.
pub(super) fn names() -> String {
    NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// `EBUSY`, or the number where it has no name here.
pub(super) fn name(number: i32) -> String {
    let named = NAMES.iter().find(|(_, other)| *other == number);
    named.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_each_stands_for_one_number() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (text, errno) in NAMES {
            assert_eq!((number(text), name(*errno).as_str()), (Some(*errno), *text));
        }
    }

    #[test]
    fn a_number_without_a_name_stands_for_itself() {
        assert_eq!((number("71"), name(71)), (Some(71), "71".to_owned()));
        for text in ["", "0", "-1", "4096", "EFOO", "ebusy"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }
}
