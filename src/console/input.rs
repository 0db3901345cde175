//! What a guest reads: standard input, and what of it is meant for adjunct.
//!
//! Nothing typed is lost while a guest is slow: what its console has no room for waits here, and beyond that in the pipe
//! or file it comes from. A terminal is always read, because the keys that end a guest must work then too.

use super::{
    Console,
    line::{Line, Typed},
    terminal::Raw,
};
use crate::{
    logging::say,
    wait::{Flag, is_ready_now},
};
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    unistd::read,
};
use std::{
    io::{self, Stdin, stdin},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Wakes whoever has input for a guest when the guest's console may have room for it.
#[derive(Debug)]
pub struct Room {
    wanted: AtomicBool,
    flag: Flag,
}

impl Room {
    /// Nobody waits for it yet.
    ///
    /// # Errors
    /// There is no eventfd to be had.
    pub fn new() -> io::Result<Self> {
        Ok(Self { wanted: AtomicBool::new(false), flag: Flag::new()? })
    }

    /// The guest has had its console: it may have read. To be called when that is free again.
    pub fn may_be_there(&self) {
        if self.wanted.load(Ordering::SeqCst) && self.wanted.swap(false, Ordering::SeqCst) {
            self.flag.raise();
        }
    }
}

/// How much waits here for a guest that does not read.
const CAPACITY: usize = 64 << 10;

/// What the input's epoll tells nobody: it is only for being waited for.
const ANY: u64 = 0;

/// The guest's input. Readable when there is something to do for [`Input::serve`].
#[derive(Debug)]
pub struct Input<F = Stdin> {
    from: F,
    /// None: no terminal, so that all bytes are the guest's.
    terminal: Option<Raw>,
    escape: Escape,
    /// The line that is typed for a line-mode console, and where it is seen.
    line: Option<(Line, Console)>,
    unread: Vec<u8>,
    source: Source,
    epoll: Epoll,
    room: Arc<Room>,
    said_lost: bool,
}

/// Where more comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It is watched.
    Watched,
    /// There was enough of it for now.
    Unwatched,
    /// A regular file: epoll does not take one, and it can always be read.
    File,
    /// Nothing comes any more.
    Ended,
}

impl Input {
    /// Takes standard input for a guest, and the terminal if it is one; what is typed there for a line-mode `console` is seen
    /// and edited.
    ///
    /// # Errors
    /// There is no epoll to be had.
    pub fn open(room: Arc<Room>, console: Option<&Console>) -> io::Result<Self> {
        let terminal = Raw::take();
        if terminal.is_some() {
            say("Ctrl-A x ends the guest, Ctrl-A h says what else there is");
        }
        let console = console.filter(|console| console.line_mode && terminal.is_some());
        let line = console.map(|console| (Line::default(), console.clone()));
        Ok(Self { line, ..Self::new(stdin(), terminal, room)? })
    }
}

/// What whoever types wants of adjunct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To end the guest and adjunct.
    End,
}

impl<F: AsFd> Input<F> {
    fn new(from: F, terminal: Option<Raw>, room: Arc<Room>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = || EpollEvent::new(EpollFlags::EPOLLIN, ANY);
        epoll.add(&room.flag, readable())?;
        let source = match epoll.add(&from, readable()) {
            Ok(()) => Source::Watched,
            Err(Errno::EPERM) => {
                // To be looked at once, as if there had been no room before.
                room.flag.raise();
                Source::File
            }
            // For example because there is no standard input.
            Err(_) => Source::Ended,
        };
        let escape = Escape::default();
        Ok(Self {
            from,
            terminal,
            escape,
            line: None,
            unread: Vec::new(),
            source,
            epoll,
            room,
            said_lost: false,
        })
    }

    /// Reads what is there and offers it to the guest. `push` takes bytes and says how many of them it took.
    pub fn serve(&mut self, mut push: impl FnMut(&[u8]) -> usize) -> Option<Wish> {
        self.room.flag.lower();
        loop {
            let wish = self.fill();
            let taken = self.offer(&mut push);
            if wish.is_some() || taken == 0 || self.source != Source::File {
                self.watch();
                return wish;
            }
        }
    }

    /// Reads until there is nothing more, or enough.
    fn fill(&mut self) -> Option<Wish> {
        let mut wish = None;
        while wish.is_none() && self.wants_more() && self.is_readable() {
            let mut typed = [0; 4096];
            match read(&self.from, &mut typed) {
                Ok(0) => self.source = Source::Ended,
                Ok(length) => wish = self.typed(&typed[..length]),
                // Another reader was faster, or a signal.
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                // A terminal that hung up (EIO) says nothing any more.
                Err(_) => self.source = Source::Ended,
            }
        }
        wish
    }

    fn wants_more(&self) -> bool {
        self.source != Source::Ended && (self.terminal.is_some() || self.unread.len() < CAPACITY)
    }

    fn is_readable(&self) -> bool {
        is_ready_now(self.from.as_fd(), PollFlags::POLLIN)
    }

    fn typed(&mut self, bytes: &[u8]) -> Option<Wish> {
        if self.terminal.is_none() {
            self.unread.extend(bytes);
            return None;
        }
        let mut wish = None;
        for key in bytes {
            match self.escape.key(*key) {
                Key::Guest(byte) => self.typed_for_guest(byte),
                Key::Nothing => {}
                Key::Help => HELP.into_iter().for_each(say),
                Key::End => wish = Some(Wish::End),
            }
        }
        wish
    }

    fn typed_for_guest(&mut self, byte: u8) {
        let Some((line, console)) = &mut self.line else { return self.keep(&[byte]) };
        let Typed { seen, finished } = line.key(byte);
        console.echo(&seen);
        if let Some(finished) = finished {
            self.keep(&finished);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.unread.len() < CAPACITY {
            self.unread.extend(bytes);
        } else {
            self.say_lost();
        }
    }

    fn say_lost(&mut self) {
        if !self.said_lost {
            tracing::warn!(
                "the guest does not read its console: what is typed beyond {CAPACITY} bytes is lost"
            );
        }
        self.said_lost = true;
    }

    fn offer(&mut self, push: &mut impl FnMut(&[u8]) -> usize) -> usize {
        if self.unread.is_empty() {
            return 0;
        }
        // Before: whoever takes what is there after this wakes us.
        self.room.wanted.store(true, Ordering::SeqCst);
        let taken = push(&self.unread);
        self.unread.drain(..taken);
        if self.unread.is_empty() && self.source != Source::File {
            self.room.wanted.store(false, Ordering::SeqCst);
        }
        taken
    }

    /// Watches where input comes from, or does not while there is enough.
    fn watch(&mut self) {
        let wanted = match self.source {
            Source::File => return,
            Source::Ended => Source::Ended,
            _ if self.wants_more() => Source::Watched,
            _ => Source::Unwatched,
        };
        // Whatever was watched before: adding or deleting twice changes nothing.
        let _ = match wanted {
            Source::Watched => self.epoll.add(&self.from, EpollEvent::new(EpollFlags::EPOLLIN, ANY)),
            _ => self.epoll.delete(&self.from),
        };
        self.source = wanted;
    }
}

/// Readable when [`Input::serve`] has something to do.
impl<F> AsFd for Input<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Ctrl-A, the prefix of keys that are for adjunct, as QEMU's (`chardev/char-mux.c`).
const PREFIX: u8 = 0x01;

const HELP: [&str; 3] = [
    "Ctrl-A h       says this",
    "Ctrl-A x       ends the guest, without asking it",
    "Ctrl-A Ctrl-A  sends Ctrl-A to the guest",
];

/// Tells keys for adjunct from those for the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Escape {
    after_prefix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Guest(u8),
    Nothing,
    Help,
    End,
}

impl Escape {
    fn key(&mut self, key: u8) -> Key {
        if !std::mem::take(&mut self.after_prefix) {
            self.after_prefix = key == PREFIX;
            return if self.after_prefix { Key::Nothing } else { Key::Guest(key) };
        }
        match key {
            PREFIX => Key::Guest(PREFIX),
            b'x' => Key::End,
            b'h' | b'?' => Key::Help,
            _ => Key::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::until_readable;
    use std::io::{PipeReader, PipeWriter, Write};

    fn piped() -> (Input<PipeReader>, PipeWriter, Arc<Room>) {
        let (from, to) = io::pipe().expect("a pipe");
        let room = Arc::new(Room::new().expect("an eventfd"));
        (Input::new(from, None, room.clone()).expect("an epoll"), to, room)
    }

    fn is_ready(input: &impl AsFd) -> bool {
        is_ready_now(input.as_fd(), PollFlags::POLLIN)
    }

    #[test]
    fn keys_after_ctrl_a_are_for_adjunct_and_ctrl_a_twice_is_for_the_guest() {
        let keys = |typed: &[u8]| {
            let mut escape = Escape::default();
            typed.iter().map(|key| escape.key(*key)).filter(|key| *key != Key::Nothing).collect::<Vec<_>>()
        };
        assert_eq!(keys(b"x\x01x\x01h\x01?"), [Key::Guest(b'x'), Key::End, Key::Help, Key::Help]);
        assert_eq!(keys(b"\x01\x01x"), [Key::Guest(1), Key::Guest(b'x')]);
        assert_eq!(keys(b"\x01zx"), [Key::Guest(b'x')], "what means nothing is dropped with its prefix");
        assert_eq!(keys(b"\x01\x01\x01x"), [Key::Guest(1), Key::End]);
    }

    #[test]
    fn without_a_terminal_ctrl_a_is_the_guests() {
        let (mut input, mut to, _) = piped();
        to.write_all(b"\x01x").expect("there is room");
        let mut guest = Vec::new();
        let wish = input.serve(|bytes| {
            guest.extend(bytes);
            bytes.len()
        });
        assert_eq!((wish, guest.as_slice()), (None, &b"\x01x"[..]));
        assert!(!is_ready(&input));
    }

    #[test]
    fn input_larger_than_the_guest_takes_waits_and_is_offered_when_the_guest_has_read() {
        let (mut input, mut to, room) = piped();
        let typed: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let text = typed.clone();
        let typist = std::thread::spawn(move || to.write_all(&text));
        let mut guest: Vec<u8> = Vec::new();
        while guest.len() < typed.len() {
            until_readable([input.as_fd()]).expect("pollable");
            let mut space = 4080;
            let wish = input.serve(|bytes| {
                let taken = bytes.len().min(space);
                space -= taken;
                guest.extend(&bytes[..taken]);
                taken
            });
            assert_eq!(wish, None);
            assert!(input.unread.len() <= CAPACITY + 4096);
            // The guest reads.
            room.may_be_there();
        }
        assert!(guest == typed, "all of it, in order");
        typist.join().expect("it ends").expect("all is written");
    }

    #[test]
    fn nothing_is_ready_while_the_guest_has_no_room_and_its_input_is_full() {
        let (mut input, mut to, room) = piped();
        to.write_all(&[b'x'; 65536]).expect("there is room");
        assert_eq!(input.serve(|_| 0), None);
        assert!(!is_ready(&input), "or whoever waits for it would turn round and round");
        room.may_be_there();
        assert!(is_ready(&input));
        room.may_be_there();
        assert_eq!(input.serve(<[u8]>::len), None);
        assert!(!is_ready(&input));
    }

    #[test]
    fn the_end_of_input_is_seen_once() {
        let (mut input, to, _) = piped();
        drop(to);
        assert!(is_ready(&input));
        assert_eq!(input.serve(<[u8]>::len), None);
        assert!(!is_ready(&input));
    }

    #[test]
    fn a_file_is_read_as_the_guest_takes_it() {
        let mut file = tempfile::tempfile().expect("a temporary file");
        let text = vec![b'y'; 100_000];
        file.write_all(&text).expect("writable");
        io::Seek::rewind(&mut file).expect("seekable");
        let room = Arc::new(Room::new().expect("an eventfd"));
        let mut input = Input::new(file, None, room.clone()).expect("an epoll");
        let mut guest = 0;
        while guest < text.len() {
            assert!(is_ready(&input), "after {guest}");
            let mut space = 4080;
            input.serve(|bytes| {
                let taken = bytes.len().min(space);
                (space, guest) = (space - taken, guest + taken);
                taken
            });
            room.may_be_there();
        }
        assert_eq!(guest, text.len());
    }
}
