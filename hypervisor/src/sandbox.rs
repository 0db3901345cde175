//! Giving up the right to system calls: seccomp filters, and what becomes of a thread that breaks its own.
//!
//! What a filter allows is for others to say; this puts it to the kernel, and sees to it that a forbidden call ends the
//! program with a sentence instead of a bare signal.
// UNSAFETY: a filter is passed to the kernel by a pointer, and a signal handler is called between any two instructions.
#![expect(unsafe_code, reason = "a system call that libc has no function for, and a signal handler")]

use crate::Errno;
use libc::{sock_filter, sock_fprog};
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    io::Write,
    sync::OnceLock,
};
use vmm_sys_util::signal::register_signal_handler;

/// Whether the kernel knows `action`, one of `SECCOMP_RET_…`; false too if it has no seccomp.
pub fn has_action(action: u32) -> bool {
    // SAFETY: the kernel reads the number that the pointer leads to.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    answer == 0
}

/// Gives up what a program that is started could gain, for this thread and those that it makes. A filter needs it.
///
/// # Errors
/// None that the kernel knows of.
pub fn set_no_new_privileges() -> Result<(), Errno> {
    // SAFETY: it takes numbers.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

/// Keeps the C library's allocator to its first arena. Others would open files that a filter need not let them open: one that
/// counts the machine's processors when a ninth thread wants an arena, and `/proc/sys/vm/overcommit_memory` when an arena
/// first gives memory back (`malloc/arena.c: heap_trim`, `sysdeps/unix/sysv/linux/malloc-sysdep.h: check_may_shrink_heap`).
/// The first arena does that by `brk`. No other thread may be there yet.
pub fn bound_arenas() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes numbers, and no other thread allocates meanwhile.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

/// Installs `filter` in this thread and those that it makes, for good. Filters that are there already stay: a system call
/// needs the leave of all of them.
///
/// # Errors
/// EINVAL for a program that the kernel does not take; EACCES without [`set_no_new_privileges`]; ENOSYS without seccomp.
pub fn install(filter: &[sock_filter]) -> Result<(), Errno> {
    // BPF_MAXINSNS is 4096, so what does not fit here is refused there.
    let len = u16::try_from(filter.len()).unwrap_or(u16::MAX);
    // The kernel only reads it.
    let program = sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the pointer leads to `len` instructions, which the kernel copies.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    match answer {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

/// What is said when a thread makes a system call that its filter forbids. All of it is there beforehand: who says it is a
/// signal handler, which may neither allocate nor wait.
#[derive(Debug)]
pub struct LastWords {
    /// The names of system calls by their numbers; the empty text where there is none.
    pub names: &'static [&'static str],
    /// What the sentence goes on with after `the thread NAME made the system call NAME (NUMBER), `.
    pub then: &'static str,
    /// The modes that standard input has again afterwards, if it is a terminal.
    pub terminal: Option<libc::termios>,
    /// The exit status.
    pub status: u8,
}

static LAST_WORDS: OnceLock<LastWords> = OnceLock::new();

/// From now on a forbidden system call (`SECCOMP_RET_TRAP`) ends the program with `words` on stderr. Who asks a second time
/// keeps the first words.
///
/// # Errors
/// Those of sigaction.
pub fn end_with(words: LastWords) -> Result<(), Errno> {
    LAST_WORDS.get_or_init(|| words);
    register_signal_handler(libc::SIGSYS, forbidden)
}

/// `siginfo_t` up to `si_syscall`, in numbers of 32 bits: three and padding, a pointer, and that
/// (`include/uapi/asm-generic/siginfo.h`).
type UpToSyscall = [c_int; 7];

/// The handler of SIGSYS: says what happened and ends the program.
extern "C" fn forbidden(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a siginfo_t of 128 bytes, aligned for a pointer, and of SIGSYS this member is filled in.
    let [.., call] = unsafe { *info.cast::<UpToSyscall>() };
    // It is set before the handler is.
    let Some(words) = LAST_WORDS.get() else { exit(1) };
    let mut sentence = Sentence::default();
    // What does not fit is left out.
    let _ = sentence.tell(&thread_name(), call, words);
    if let Some(modes) = &words.terminal {
        give_back(modes);
    }
    write(libc::STDERR_FILENO, sentence.bytes());
    exit(words.status.into())
}

/// A text of bounded length, made without allocating.
struct Sentence {
    bytes: [u8; 512],
    len: usize,
}

impl Default for Sentence {
    fn default() -> Self {
        Self { bytes: [0; 512], len: 0 }
    }
}

impl Sentence {
    fn tell(&mut self, thread: &[u8; THREAD_NAME], call: c_int, words: &LastWords) -> std::io::Result<()> {
        let thread = CStr::from_bytes_until_nul(thread).map_or(&[][..], CStr::to_bytes);
        let name = usize::try_from(call).ok().and_then(|call| words.names.get(call)).copied().unwrap_or("");
        let mut rest = &mut self.bytes[..];
        let whole = rest.len();
        rest.write_all(b"adjunct: the thread ")?;
        rest.write_all(thread)?;
        rest.write_all(b" made the system call ")?;
        // Numbers are formatted into a buffer on the stack.
        match name {
            "" => write!(rest, "{call}, ")?,
            name => write!(rest, "{name} ({call}), ")?,
        }
        rest.write_all(words.then.as_bytes())?;
        rest.write_all(b"\n")?;
        self.len = whole - rest.len();
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Length of a thread's name with its final zero (`include/linux/sched.h: TASK_COMM_LEN`).
const THREAD_NAME: usize = 16;

/// The name of this thread.
fn thread_name() -> [u8; THREAD_NAME] {
    let mut name = [0; THREAD_NAME];
    // SAFETY: the kernel writes 16 bytes, which is what there is.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr().cast::<c_char>()) };
    name
}

/// Gives the terminal its modes back, if it is ours to change: who does that in the background is stopped.
fn give_back(modes: &libc::termios) {
    // SAFETY: it takes a number.
    let foreground = unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) };
    // SAFETY: it takes nothing.
    if foreground == unsafe { libc::getpgrp() } {
        // SAFETY: the kernel reads the structure.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, modes) };
    }
}

/// Writes to `file` if it has room now: the end of the program waits for no reader, and there is nobody to complain to.
fn write(file: c_int, bytes: &[u8]) {
    let mut room = libc::pollfd { fd: file, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the kernel reads and writes the one structure.
    unsafe { libc::poll(&raw mut room, 1, 0) };
    if room.revents & libc::POLLOUT == 0 {
        return;
    }
    // SAFETY: the kernel reads the slice; a file that is closed is answered with an error.
    unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
}

/// Ends the program without the C library's farewell, which is not for signal handlers.
fn exit(status: c_int) -> ! {
    // SAFETY: it takes a number.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Read,
        mem::{align_of, size_of},
        os::fd::AsRawFd,
    };

    fn told(call: c_int, then: &'static str) -> String {
        let words = LastWords { names: &["read", "", "open"], then, terminal: None, status: 1 };
        let mut sentence = Sentence::default();
        let _ = sentence.tell(b"vcpu0\0xxxxxxxxxx", call, &words);
        String::from_utf8(sentence.bytes().to_vec()).expect("text")
    }

    #[test]
    fn a_forbidden_call_is_told_by_thread_name_and_number() {
        assert_eq!(told(2, "no."), "adjunct: the thread vcpu0 made the system call open (2), no.\n");
        assert_eq!(told(1, "no."), "adjunct: the thread vcpu0 made the system call 1, no.\n");
        assert_eq!(told(999, "no."), "adjunct: the thread vcpu0 made the system call 999, no.\n");
        assert_eq!(told(-1, "no."), "adjunct: the thread vcpu0 made the system call -1, no.\n");
    }

    #[test]
    fn the_number_of_the_call_is_inside_of_the_structure_that_the_kernel_passes() {
        assert!(size_of::<UpToSyscall>() <= size_of::<libc::siginfo_t>());
        assert!(align_of::<libc::siginfo_t>() >= align_of::<UpToSyscall>());
    }

    #[test]
    fn last_words_wait_for_no_reader() {
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
        let descriptor = writer.as_raw_fd();
        let set = |flags: c_int| {
            // SAFETY: it takes numbers.
            assert_eq!(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) }, 0);
        };
        set(libc::O_NONBLOCK);
        let mut filled = 0;
        while let Ok(written) = writer.write(&[0; 4096]) {
            filled += written;
        }
        set(0);
        // Nobody has read, so a write would wait for ever.
        write(descriptor, b"first");
        reader.read_exact(&mut vec![0; filled]).expect("that much is there");
        write(descriptor, b"last");
        drop(writer);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).expect("the writer is gone");
        assert_eq!(rest, b"last");
    }

    #[test]
    fn a_program_that_is_no_filter_is_refused() {
        // Without instructions, before anything else is looked at.
        let refused = install(&[]).expect_err("an empty program");
        assert!([libc::EINVAL, libc::ENOSYS].contains(&refused.errno()), "{refused}");
    }
}
