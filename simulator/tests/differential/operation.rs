//! What is done to both hosts, and what they answer: one operation is one line of text, so that a sequence can be
//! printed, kept and repeated.

use std::{collections::BTreeMap, fmt};

/// One thing done to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Stores into an attribute, path below `/sys`.
    Write { path: String, value: String },
    /// Reads an attribute.
    Read { path: String },
    /// Lists a directory.
    List { path: String },
    /// Changes the machine: an order of the lab's, `decfg 5`.
    Hardware(String),
    /// A VM opens an mdev.
    Open { vm: usize, mdev: String },
    /// The VM closes what it has open.
    Close { vm: usize },
    /// `VFIO_DEVICE_RESET`.
    Reset { vm: usize },
    /// How often the VM was told of a request to give the device back, and of a change to its configuration.
    Events { vm: usize },
    /// What the VM's guest has: the masks that PQAP(QCI) shows it, and response codes.
    Guest { vm: usize },
    /// Everything that can be read.
    Tree,
}

/// What a host said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Text(String),
    Names(Vec<String>),
    Refused(i32),
    /// Less than all was taken.
    Short,
    /// A `remove` of an mdev that is open.
    Waits,
    Tree(Tree),
}

/// Paths of files and directories, and what is read there.
pub(crate) type Tree = BTreeMap<String, Answer>;

#[rustfmt::skip]
const ERRNO: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"), (libc::ENOENT, "ENOENT"), (libc::EIO, "EIO"), (libc::EACCES, "EACCES"),
    (libc::EBUSY, "EBUSY"), (libc::EEXIST, "EEXIST"), (libc::ENODEV, "ENODEV"), (libc::ENOTDIR, "ENOTDIR"),
    (libc::EISDIR, "EISDIR"), (libc::EINVAL, "EINVAL"), (libc::ERANGE, "ERANGE"), (libc::EUSERS, "EUSERS"),
    (libc::EADDRINUSE, "EADDRINUSE"), (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"), (libc::EAGAIN, "EAGAIN"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"), (libc::ENXIO, "ENXIO"), (libc::EBADF, "EBADF"), (libc::ENOMEM, "ENOMEM"),
    (libc::EFAULT, "EFAULT"),
];

/// Text in quotes; what is longer than a line and all the same is `"0"*5000`.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.chars().next();
        match first {
            Some(first) if self.0.len() > 300 && self.0.chars().all(|c| c == first) => {
                write!(f, "\"{}\"*{}", first.escape_default(), self.0.len())
            }
            _ => write!(f, "\"{}\"", self.0.escape_default()),
        }
    }
}

/// The other way; what is behind the closing quote is returned too.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    let mut out = String::new();
    let end = loop {
        match chars.next()? {
            (at, '"') => break at + 2,
            (_, '\\') => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'u' => {
                    let digits: String = chars.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                    let code = u32::from_str_radix(digits.strip_prefix('{')?, 16).ok()?;
                    out.push(char::from_u32(code)?);
                }
                c => out.push(c),
            },
            (_, c) => out.push(c),
        }
    };
    let rest = &text[end..];
    match rest.strip_prefix('*') {
        None => Some((out, rest)),
        Some(count) => {
            let digits = count.find(|c: char| !c.is_ascii_digit()).unwrap_or(count.len());
            Some((out.repeat(count[..digits].parse().ok()?), &count[digits..]))
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, value } => write!(f, "write {path} {}", Quoted(value)),
            Self::Read { path } => write!(f, "read {path}"),
            Self::List { path } => write!(f, "list {path}"),
            Self::Hardware(order) => write!(f, "machine {order}"),
            Self::Open { vm, mdev } => write!(f, "open {vm} {mdev}"),
            Self::Close { vm } => write!(f, "close {vm}"),
            Self::Reset { vm } => write!(f, "reset {vm}"),
            Self::Events { vm } => write!(f, "events {vm}"),
            Self::Guest { vm } => write!(f, "guest {vm}"),
            Self::Tree => write!(f, "tree"),
        }
    }
}

impl Operation {
    /// What it asks about.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Read { path } | Self::List { path } | Self::Write { path, .. } => path,
            _ => "",
        }
    }

    /// Reads one at the beginning of a line; what follows it is returned too.
    pub(crate) fn parse(line: &str) -> Option<(Self, &str)> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "write" {
            let (path, rest) = rest.split_once(' ')?;
            let (value, rest) = unquote(rest)?;
            return Some((Self::Write { path: path.to_owned(), value }, rest));
        }
        let (arguments, answer) = match rest.find(" = ") {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let own = || arguments.to_owned();
        let vm = || arguments.parse().ok();
        let operation = match word {
            "read" => Self::Read { path: own() },
            "list" => Self::List { path: own() },
            "machine" => Self::Hardware(own()),
            "open" => {
                let (vm, mdev) = arguments.split_once(' ')?;
                Self::Open { vm: vm.parse().ok()?, mdev: mdev.to_owned() }
            }
            "close" => Self::Close { vm: vm()? },
            "reset" => Self::Reset { vm: vm()? },
            "events" => Self::Events { vm: vm()? },
            "guest" => Self::Guest { vm: vm()? },
            "tree" => return Some((Self::Tree, rest)),
            _ => return None,
        };
        Some((operation, answer))
    }
}

impl Answer {
    pub(crate) fn of<T>(answer: std::io::Result<T>, value: impl FnOnce(T) -> Self) -> Self {
        match answer {
            Ok(answer) => value(answer),
            Err(error) if error.kind() == std::io::ErrorKind::WriteZero => Self::Short,
            Err(error) => Self::Refused(error.raw_os_error().unwrap_or(0)),
        }
    }

    /// Reads what its text form says. A tree is not one line.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ok" => Self::Done,
            "short" => Self::Short,
            "waits" => Self::Waits,
            _ if text.starts_with('"') => Self::Text(unquote(text)?.0),
            _ if text.starts_with('[') => {
                let names = text.strip_prefix('[')?.strip_suffix(']')?;
                Self::Names(names.split_whitespace().map(str::to_owned).collect())
            }
            _ => {
                let known = ERRNO.iter().find(|(_, name)| *name == text).map(|(errno, _)| *errno);
                Self::Refused(known.or_else(|| text.strip_prefix("errno")?.parse().ok())?)
            }
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(f, "ok"),
            Self::Short => write!(f, "short"),
            Self::Waits => write!(f, "waits"),
            Self::Text(text) => write!(f, "{}", Quoted(text)),
            Self::Names(names) => write!(f, "[{}]", names.join(" ")),
            Self::Refused(errno) => match ERRNO.iter().find(|(number, _)| number == errno) {
                Some((_, name)) => write!(f, "{name}"),
                None => write!(f, "errno{errno}"),
            },
            Self::Tree(tree) => write!(f, "{} entries", tree.len()),
        }
    }
}
