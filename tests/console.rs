//! The guest's console at a real terminal, at pipes and at files: what is typed reaches the guest, the keys that are for
//! adjunct do not, and the terminal is as it was whatever ends the run.

use crate::{
    command::{Ran, Start, Started, command},
    lifecycle::{END_WELL, image},
    patience::until,
    watching::ctl,
};
use adjunct::console::input::{Input, Room};
use adjunct_devices::sclp::to_ebcdic;
use command_fds::{CommandFdExt, FdMapping};
use libc::{O_NOCTTY, O_NONBLOCK};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::openpty,
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, read, ttyname, write},
};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
};
use tempfile::TempDir;

/// Enables its console, writes what is at 0x3100, and calls for what has been typed until there is something: then it goes
/// on at 0x654, with the SCCB that has it at %r11.
#[rustfmt::skip]
const LISTENS: &[u16] = &[
    0xb700, 0x0800,                 // 600       lctl  %c0,%c0,0x800   service signals
    0xa7b8, 0x4000,                 // 604       lhi   %r11,0x4000     input
    0xa7c8, 0x5000,                 // 608       lhi   %r12,0x5000     output
    0x5810, 0x0804,                 // 60c       l     %r1,0x804       WRITE EVENT MASK
    0xa728, 0x3000,                 // 610       lhi   %r2,0x3000
    0xa7e5, 0x0041,                 // 614       bras  %r14,call
    0x5810, 0x0808,                 // 618       l     %r1,0x808       WRITE EVENT DATA
    0xa728, 0x3100,                 // 61c       lhi   %r2,0x3100
    0xa7e5, 0x003b,                 // 620       bras  %r14,call
    0x5810, 0x080c,                 // 624 read: l     %r1,0x80c       READ EVENT DATA
    0x182b,                         // 628       lr    %r2,%r11
    0xd705, 0xb002, 0xb002,         // 62a       xc    2(6,%r11),2(%r11)
    0xe544, 0xb000, 0x1000,         // 630       mvhhi 0(%r11),4096
    0xa7e5, 0x0030,                 // 636       bras  %r14,call
    0xd501, 0xb006, 0x0810,         // 63a       clc   6(2,%r11),0x810
    0xa784, 0x000a,                 // 640       je    got
    0x9101, 0x0083,                 // 644       tm    0x83,1          something waits
    0xa714, 0xffee,                 // 648       jo    read
    0xa7e5, 0x0027,                 // 64c       bras  %r14,wait
    0xa7f4, 0xffea,                 // 650       j     read
];

/// At 0x696.
#[rustfmt::skip]
const CALLS: &[u16] = &[
    0xb220, 0x0012,                 // 696 call: servc %r1,%r2
    0xb2b2, 0x0820,                 // 69a wait: lpswe 0x820           enabled wait
    0x07fe,                         // 69e       br    %r14            the interruption
];

/// A guest that listens to the events of `receives`, may write those of `sends`, and first writes `ready`.
fn listener(receives: u32, sends: u32, ready: &[u8], elsewhere: &[(usize, &[u8])]) -> (TempDir, PathBuf) {
    let code = |code: &[u16]| code.iter().flat_map(|halfword| halfword.to_be_bytes()).collect::<Vec<u8>>();
    let psw = |mask: u64, address: u64| [mask.to_be_bytes(), address.to_be_bytes()].concat();
    let words = [0x0000_0200_u32, 0x0078_0005, 0x0076_0005, 0x0077_0005, 0x0020_0000].map(u32::to_be_bytes);
    let mask = [0x001c_0000_u32, 0, 4, receives, sends, 0, 0].map(u32::to_be_bytes).concat();
    image(
        &[0xa7f4_0200], // j 600
        &[
            &[
                (0x1b0, &psw(0x0000_0001_8000_0000, 0x69e)[..]),
                (0x600, &code(LISTENS)),
                (0x696, &code(CALLS)),
                (0x800, &words.concat()),
                (0x820, &psw(0x0102_0001_8000_0000, 0xecc0)),
                (0x3000, &mask),
                (0x3100, ready),
            ],
            elsewhere,
        ]
        .concat(),
    )
}

/// Writes "ready", then whatever it reads at the ASCII console, until something that it reads begins with `q`.
fn echo() -> (TempDir, PathBuf) {
    #[rustfmt::skip]
    let got: &[u16] = &[
        0x4850, 0xb008,                 // 654 got:  lh    %r5,8(%r11)     length of the event
        0xa75a, 0xffff,                 // 658       ahi   %r5,-1
        0x4050, 0xc008,                 // 65c       sth   %r5,8(%r12)
        0xa75a, 0x0008,                 // 660       ahi   %r5,8
        0x4050, 0xc000,                 // 664       sth   %r5,0(%r12)
        0xa75a, 0xfff2,                 // 668       ahi   %r5,-14
        0x1895,                         // 66c       lr    %r9,%r5
        0x1875,                         // 66e       lr    %r7,%r5
        0x4160, 0xc00e,                 // 670       la    %r6,14(%r12)
        0x4180, 0xb00f,                 // 674       la    %r8,15(%r11)
        0xa868, 0x0000,                 // 678 more: mvcle %r6,%r8,0
        0xa714, 0xfffe,                 // 67c       jo    more
        0x5810, 0x0808,                 // 680       l     %r1,0x808
        0x182c,                         // 684       lr    %r2,%r12
        0xa7e5, 0x0008,                 // 686       bras  %r14,call
        0x9571, 0xb00f,                 // 68a       cli   15(%r11),'q'
        0xa774, 0xffcb,                 // 68e       jne   read
        0xb2b2, 0x0400,                 // 692       lpswe 0x400
    ];
    let got: Vec<u8> = got.iter().flat_map(|halfword| halfword.to_be_bytes()).collect();
    let ready = b"\0\x14\0\0\0\0\0\0\0\x0c\x1a\0\0\0ready\n";
    listener(0x40, 0x40, ready, &[(0x654, &got), (0x500a, &[0x1a])])
}

/// Writes "ready", then each line that it reads at the line-mode console, until one begins with `q`. All in EBCDIC, and where
/// the architecture has it (`drivers/s390/char/sclp.h`).
fn line_echo() -> (TempDir, PathBuf) {
    #[rustfmt::skip]
    let got: &[u16] = &[
        0xe350, 0xb01c, 0x0090,         // 6a0       llgc  %r5,28(%r11)    length of the text, and 2
        0xa75a, 0x0022,                 // 6a6       ahi   %r5,34
        0x4050, 0xc000,                 // 6aa       sth   %r5,0(%r12)     SCCB
        0xa75a, 0xfff8,                 // 6ae       ahi   %r5,-8
        0x4050, 0xc008,                 // 6b2       sth   %r5,8(%r12)     event
        0xa75a, 0xfffa,                 // 6b6       ahi   %r5,-6
        0x4050, 0xc00e,                 // 6ba       sth   %r5,14(%r12)    message data block
        0xa75a, 0xfff4,                 // 6be       ahi   %r5,-12
        0x4050, 0xc01a,                 // 6c2       sth   %r5,26(%r12)    its text
        0xa75a, 0xfff6,                 // 6c6       ahi   %r5,-10
        0x1895,                         // 6ca       lr    %r9,%r5
        0x1875,                         // 6cc       lr    %r7,%r5
        0x4160, 0xc024,                 // 6ce       la    %r6,36(%r12)
        0x4180, 0xb01e,                 // 6d2       la    %r8,30(%r11)
        0x1299,                         // 6d6       ltr   %r9,%r9
        0xa784, 0x000c,                 // 6d8       jz    there
        0x4320, 0x8000,                 // 6dc more: ic    %r2,0(%r8)
        0x4220, 0x6000,                 // 6e0       stc   %r2,0(%r6)
        0x4180, 0x8001,                 // 6e4       la    %r8,1(%r8)
        0x4160, 0x6001,                 // 6e8       la    %r6,1(%r6)
        0xa796, 0xfff8,                 // 6ec       brct  %r9,more
        0x5810, 0x0808,                 // 6f0 there: l    %r1,0x808
        0x182c,                         // 6f4       lr    %r2,%r12
        0xa7e5, 0xffd0,                 // 6f6       bras  %r14,call
        0x9598, 0xb01e,                 // 6fa       cli   30(%r11),'q'
        0xa774, 0xff93,                 // 6fe       jne   read
        0xb2b2, 0x0400,                 // 702       lpswe 0x400
    ];
    let got: Vec<u8> = got.iter().flat_map(|halfword| halfword.to_be_bytes()).collect();
    // A message with a message data block (1, "MDB " in EBCDIC, revision 1) with a text (4).
    let message = b"\0\0\x02\0\0\0\0\0\0\x01\xd4\xc4\xc2\x40\0\0\0\x01\0\0\0\x04";
    let mut ready = [&[0; 8][..], message, &[0; 6], &to_ebcdic("ready")].concat();
    for (at, length) in [(1, 41), (9, 33), (15, 27), (27, 15)] {
        ready[at] = length;
    }
    listener(
        0x8000_0000,
        0x4000_0000,
        &ready,
        &[(0x654, &[0xa7, 0xf4, 0, 0x26]), (0x6a0, &got), (0x5008, message)],
    )
}

/// adjunct at a terminal of its own.
struct Session {
    adjunct: Started,
    /// Our side; none after a hang-up.
    keyboard: Option<OwnedFd>,
    /// adjunct's side, to look at its modes.
    terminal: OwnedFd,
    before: Termios,
    screen: String,
}

impl Session {
    fn start(words: &[&str]) -> Self {
        let mut adjunct = command();
        adjunct.args(words);
        Self::of(&adjunct)
    }

    fn of(program: &Command) -> Self {
        let pty = openpty(None, None).expect("a terminal");
        // Or adjunct itself would keep its terminal from hanging up.
        fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it can be set");
        fcntl(&pty.slave, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it can be set");
        let before = tcgetattr(&pty.slave).expect("it is a terminal");
        let side = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .start();
        Self {
            adjunct: child,
            keyboard: Some(pty.master),
            terminal: pty.slave,
            before,
            screen: String::new(),
        }
    }

    /// A guest that echoes, and listens.
    fn with_echo() -> (Self, TempDir) {
        let (dir, file) = echo();
        let mut session = Self::start(&["run", "--host", "sim", "--kernel", &file.display().to_string()]);
        session.sees("ready");
        (session, dir)
    }

    /// Reads until this is on the screen.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let keyboard = self.keyboard.as_ref().expect("not hung up");
        while !self.screen.contains(text) {
            let mut file = [PollFd::new(keyboard.as_fd(), PollFlags::POLLIN)];
            // Only so that a fault is a failure and no test that never ends.
            let ready = poll(&mut file, PollTimeout::from(60_000_u16)).expect("it can be waited for");
            assert_ne!(ready, 0, "{text:?} is not seen in {:?}", self.screen);
            let mut bytes = [0; 4096];
            let length = read(keyboard, &mut bytes).expect("readable");
            self.screen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        let end = self.screen.find(text).expect("seen") + text.len();
        self.screen.drain(..end);
    }

    fn types(&self, keys: &str) {
        let keyboard = self.keyboard.as_ref().expect("not hung up");
        assert_eq!(write(keyboard, keys.as_bytes()), Ok(keys.len()));
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.adjunct.id().try_into().expect("small"))
    }

    fn signal(&self, signal: Signal) {
        // It would be the program's to ignore too, as under nohup, and nothing would come of it.
        let status = fs::read_to_string("/proc/self/status").expect("it is ours");
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
        let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a number");
        assert_eq!(
            ignored >> (signal as u32 - 1) & 1,
            0,
            "whoever runs these tests has them ignore {signal}"
        );
        kill(self.pid(), signal).expect("it is there");
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.terminal).expect("it is a terminal");
        !modes.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    #[track_caller]
    fn is_as_before(&self) {
        let modes = tcgetattr(&self.terminal).expect("it is a terminal");
        assert_eq!(modes, self.before);
    }

    /// How it ended; what it still writes is read, so that it does not wait for that.
    fn ends(mut self) -> (ExitStatus, Self) {
        let keyboard = self.keyboard.as_ref().map(|keyboard| keyboard.try_clone().expect("a descriptor"));
        let mut ended = None;
        while ended.is_none()
            && let Some(keyboard) = &keyboard
        {
            let mut file = [PollFd::new(keyboard.as_fd(), PollFlags::POLLIN)];
            if poll(&mut file, PollTimeout::from(10_u8)).expect("it can be waited for") > 0 {
                let mut bytes = [0; 4096];
                let length = read(keyboard, &mut bytes).expect("readable");
                self.screen.push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
            ended = self.adjunct.try_wait().expect("it is our child");
        }
        let ended = ended.unwrap_or_else(|| self.adjunct.wait().expect("it is our child"));
        (ended, self)
    }

    #[track_caller]
    fn ends_with(self, status: i32) -> Self {
        let (ended, session) = self.ends();
        assert_eq!(ended.code(), Some(status), "{}", session.screen);
        session
    }
}

#[test]
fn at_a_terminal_the_escape_is_told_and_all_other_keys_are_the_guests() {
    let (_dir, file) = echo();
    let mut session = Session::start(&["run", "--host", "sim", "--kernel", &file.display().to_string()]);
    session.sees("adjunct: Ctrl-A x ends the guest");
    session.sees("ready");
    assert!(session.is_raw());
    session.types("hello\r");
    session.sees("hello\r");
    // What a terminal would make signals and editing of.
    session.types("\x03\x04\x13\x11\x1a\x7f\x1c.");
    session.sees("\x03\x04\x13\x11\x1a\x7f\x1c.");
    session.types("\x01\x01.");
    session.sees("\x01.");
    session.types("\x01h");
    session.sees("Ctrl-A Ctrl-A  sends Ctrl-A to the guest");
    session.types("still there");
    session.sees("still there");
    session.types("\x01x");
    session.ends_with(0).is_as_before();
}

#[test]
fn at_a_terminal_a_line_is_seen_as_it_is_typed_and_goes_to_the_line_mode_console_when_it_is_finished() {
    let (_dir, file) = line_echo();
    let mut session =
        Session::start(&["run", "--host", "sim", "--line-mode", "--kernel", &file.display().to_string()]);
    session.sees("ready\r\n");
    assert!(session.is_raw());
    session.types("vary onn");
    // Only whoever types has it until now: the guest would have written it back as a line of its own.
    session.sees("vary onn");
    session.types("\x7f 3\r");
    session.sees("\x08 \x08 3\r\nvary on 3\r\n");
    session.types("\x01h");
    session.sees("Ctrl-A Ctrl-A  sends Ctrl-A to the guest");
    session.types("half a line\x01x");
    session.ends_with(0).is_as_before();
}

#[test]
fn lines_of_a_pipe_reach_the_line_mode_console_and_come_back_as_text() {
    lines_come_back("sim");
}

/// Lines that a guest on `host` reads and writes.
pub(crate) fn lines_come_back(host: &str) {
    let (_dir, file) = line_echo();
    let mut adjunct = command();
    adjunct.args(["run", "--host", host, "--memory", "1M", "--line-mode", "--kernel"]).arg(&file);
    let mut adjunct = adjunct.stdin(Stdio::piped()).stdout(Stdio::piped()).start();
    let mut to = adjunct.stdin.take().expect("a pipe");
    // More lines than wait in the console, one longer than it takes, one empty, and signs beyond ASCII.
    let lines: String = (0..40).map(|n| format!("line {n}\n")).collect();
    let text = format!("{lines}{}\n\nGröße [5] 10^3 {{|}}\nquit\n", "x".repeat(300));
    to.write_all(text.as_bytes()).expect("there is room");
    let ran = adjunct.ended();
    let want = format!("ready\n{lines}{}\n\nGröße [5] 10^3 {{|}}\nquit\n", "x".repeat(251));
    assert_eq!((ran.status, ran.stdout), (0, want));
}

#[test]
fn apcheck_writes_its_table_to_the_line_mode_console_too() {
    let table = |words: &[&str]| {
        let ran: Ran = command().args(["run", "--host", "sim"]).args(words).ran();
        assert_eq!(ran.status, 0, "{ran:?}");
        ran.stdout
    };
    let ascii = table(&[]);
    assert!(ascii.starts_with("apcheck "), "{ascii}");
    assert_eq!(table(&["--line-mode"]), ascii);
}

#[test]
fn the_terminal_is_as_it_was_however_the_guest_ends() {
    let (session, _dir) = Session::with_echo();
    session.types("q");
    session.ends_with(0).is_as_before();
    for (signal, status) in [(Signal::SIGHUP, 129), (Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (session, _dir) = Session::with_echo();
        assert!(session.is_raw());
        session.signal(signal);
        session.ends_with(status).is_as_before();
    }
    for signal in [
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGXCPU,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGSTKFLT,
    ] {
        let (session, _dir) = Session::with_echo();
        session.signal(signal);
        let (ended, session) = session.ends();
        assert_eq!(ended.signal(), Some(signal as i32), "{ended:?}");
        session.is_as_before();
    }
    // A guest that fails, and one that never runs.
    let (_dir, file) = image(&[0xb2b2_0410], &[]);
    Session::start(&["run", "--host", "sim", "--kernel", &file.display().to_string()])
        .ends_with(1)
        .is_as_before();
    Session::start(&["run", "--host", "sim", "--kernel", "/no/kernel"]).ends_with(3).is_as_before();
}

#[test]
#[ignore = "the next test runs it at a terminal"]
#[should_panic(expected = "on purpose")]
fn panics_at_a_terminal() {
    let room = Room::new().expect("an eventfd");
    let _input = Input::open(room.into(), None).expect("an epoll");
    panic!("on purpose");
}

#[test]
fn the_terminal_is_as_it_was_after_a_panic() {
    let exe = std::env::current_exe().expect("it has a name");
    let mut program = command();
    // In place of adjunct, behind whatever starts code for another machine.
    let runner = program.get_args().next().map(|_| program.get_program().to_owned());
    program = match runner {
        Some(runner) => {
            let mut program = Command::new(runner);
            program.arg(exe);
            program
        }
        None => Command::new(exe),
    };
    program.args(["--exact", "console::panics_at_a_terminal", "--ignored", "--nocapture"]);
    let mut session = Session::of(&program);
    session.sees("Ctrl-A x ends the guest");
    session.sees("on purpose");
    session.ends_with(0).is_as_before();
}

#[test]
fn who_is_stopped_gives_the_terminal_back_and_takes_it_again() {
    let (mut session, _dir) = Session::with_echo();
    session.signal(Signal::SIGTSTP);
    let stopped = waitpid(session.pid(), Some(WaitPidFlag::WUNTRACED)).expect("it is our child");
    assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    session.is_as_before();
    session.signal(Signal::SIGCONT);
    while !session.is_raw() {
        thread::yield_now();
    }
    session.types("on");
    session.sees("on");
    session.types("\x01x");
    session.ends_with(0).is_as_before();
}

#[test]
fn a_terminal_that_hangs_up_ends_the_guest() {
    let (mut session, _dir) = Session::with_echo();
    session.keyboard = None;
    assert_eq!(session.ends().0.code(), Some(129));
}

/// Writes to its console without end, as much at once as there can be.
fn shouter() -> (TempDir, PathBuf) {
    let code = [
        0xa51e_0076, // llilh %r1,0x76
        0xa51b_0005, // oill  %r1,5         WRITE EVENT DATA
        0xa728_3000, // lhi   %r2,0x3000
        0xb220_0012, // servc %r1,%r2
        0xa7f4_fffe, // j     the servc
    ];
    let mut sccb = vec![b'x'; 4096];
    sccb[..14].copy_from_slice(&[0x10, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0xf8, 0x1a, 0, 0, 0]);
    image(&code, &[(0x3000, &sccb)])
}

/// A terminal that nobody reads.
struct FullTerminal {
    terminal: OwnedFd,
    _screen: OwnedFd,
}

impl FullTerminal {
    fn new() -> Self {
        let pty = openpty(None, None).expect("a terminal");
        for side in [&pty.master, &pty.slave] {
            fcntl(side, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it can be set");
        }
        let mut modes = tcgetattr(&pty.slave).expect("it is a terminal");
        cfmakeraw(&mut modes);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).expect("it can be set");
        Self { terminal: pty.slave, _screen: pty.master }
    }

    fn path(&self) -> PathBuf {
        ttyname(&self.terminal).expect("it has a name")
    }

    /// Writes to it until nothing more goes in.
    fn fill(&self) {
        let mut options = fs::OpenOptions::new();
        let mut end =
            options.write(true).custom_flags(O_NOCTTY | O_NONBLOCK).open(self.path()).expect("it is there");
        // What is under way to the other side makes room once more.
        let mut refused = 0;
        while refused < 1000 {
            match end.write(&[b'.'; 64]) {
                Ok(_) => refused = 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => refused += 1,
                Err(error) => panic!("{error}"),
            }
            thread::yield_now();
        }
    }
}

#[test]
fn a_guest_whose_terminal_nobody_reads_can_be_steered_and_a_signal_ends_it() {
    let (dir, file) = shouter();
    let socket = dir.path().join("api");
    for is_inherited in [true, false] {
        let terminal = FullTerminal::new();
        terminal.fill();
        let mut adjunct = command();
        adjunct.args(["run", "--host", "sim", "--kernel"]).arg(&file);
        adjunct.arg("--api-socket").arg(format!("path={}", socket.display()));
        if is_inherited {
            adjunct.stdout(terminal.terminal.try_clone().expect("a descriptor"));
        } else {
            adjunct.arg("--console").arg(format!("file:{}", terminal.path().display()));
        }
        let mut child = adjunct.start();
        until(|| UnixStream::connect(&socket).is_ok());
        until(|| ctl(&socket, &["counters"]).contains("service-call"));
        ctl(&socket, &["pause"]);
        assert!(ctl(&socket, &["info"]).contains("paused"));
        ctl(&socket, &["resume"]);
        kill(Pid::from_raw(child.id().try_into().expect("small")), Signal::SIGTERM).expect("it is there");
        assert_eq!(child.wait().expect("it ends").code(), Some(143));
    }
}

/// A guest that echoes, at pipes.
fn at_pipes() -> (Started, TempDir) {
    let (dir, file) = echo();
    let mut adjunct = command();
    adjunct.args(["run", "--host", "sim", "--kernel"]).arg(&file);
    (adjunct.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).start(), dir)
}

/// Numbers, one a line.
fn long_text() -> String {
    (0..20_000).map(|n| format!("{n}\n")).collect()
}

#[test]
fn input_larger_than_any_buffer_reaches_the_guest_whole_and_in_order() {
    let (mut adjunct, _dir) = at_pipes();
    let mut to = adjunct.stdin.take().expect("a pipe");
    let mut from = BufReader::new(adjunct.stdout.take().expect("a pipe"));
    let mut line = String::new();
    from.read_line(&mut line).expect("readable");
    assert_eq!(line, "ready\n");
    let text = long_text();
    let typed = text.clone();
    let typist = thread::spawn(move || to.write_all(typed.as_bytes()).map(|()| to));
    let mut seen = vec![0; text.len()];
    from.read_exact(&mut seen).expect("all of it");
    assert!(seen == text.as_bytes());
    // It has no terminal, so the escape is the guest's.
    let mut to = typist.join().expect("it ends").expect("written");
    to.write_all(b"\x01x").expect("there is room");
    from.read_exact(&mut seen[..2]).expect("both");
    assert_eq!(&seen[..2], b"\x01x");
    to.write_all(b"q").expect("there is room");
    assert_eq!(adjunct.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_guest_can_read_a_file_and_goes_on_after_its_end() {
    let (dir, file) = echo();
    let text = long_text();
    let input = dir.path().join("input");
    fs::write(&input, &text).expect("writable");
    let mut adjunct = command()
        .args(["run", "--host", "sim", "--kernel"])
        .arg(&file)
        .stdin(File::open(&input).expect("readable"))
        .stdout(Stdio::piped())
        .start();
    let mut from = adjunct.stdout.take().expect("a pipe");
    let mut seen = vec![0; "ready\n".len() + text.len()];
    from.read_exact(&mut seen).expect("all of it");
    assert!(seen == format!("ready\n{text}").as_bytes());
    kill(Pid::from_raw(adjunct.id().try_into().expect("small")), Signal::SIGTERM).expect("it is there");
    assert_eq!(adjunct.wait().expect("it ends").code(), Some(143));
}

#[test]
fn who_closes_the_console_has_seen_enough_and_the_guest_goes_on_to_its_end() {
    let (mut adjunct, _dir) = at_pipes();
    let mut from = BufReader::new(adjunct.stdout.take().expect("a pipe"));
    from.read_line(&mut String::new()).expect("readable");
    drop(from);
    let mut to = adjunct.stdin.take().expect("a pipe");
    // Its echo finds nobody.
    to.write_all(b"q").expect("there is room");
    let ran = adjunct.ended();
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn who_stops_reading_events_ends_nobody_and_that_they_are_lost_is_said_at_the_end() {
    let (_dir, file) = echo();
    let (events, to_events) = std::io::pipe().expect("a pipe");
    let mut adjunct = command();
    adjunct.args(["run", "--host", "sim", "--event-monitor", "fd=5", "--kernel"]).arg(&file);
    adjunct
        .fd_mappings(vec![FdMapping { parent_fd: to_events.into(), child_fd: 5 }])
        .expect("no number twice");
    adjunct.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = adjunct.start();
    // It has our end too, as long as it is there.
    drop(adjunct);
    let mut from = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    from.read_line(&mut line).expect("readable");
    assert_eq!(line, "ready\n");
    drop(events);
    let mut to = child.stdin.take().expect("a pipe");
    to.write_all(b"q").expect("there is room");
    let mut echoed = String::new();
    from.read_to_string(&mut echoed).expect("text");
    assert_eq!(echoed, "q", "the guest goes on");
    let ran = child.ended();
    assert_eq!(ran.status, 5, "{ran:?}");
    assert!(ran.stderr.contains("--event-monitor fd=5: it can't be written: Broken pipe"), "{}", ran.stderr);
}

#[test]
fn a_console_that_is_lost_is_said_of_a_guest_that_fails_too() {
    let ready = b"\0\x14\0\0\0\0\0\0\0\x0c\x1a\0\0\0ready\n";
    let wait = [0x0002_0001_8000_0000_u64.to_be_bytes(), 0xbad_u64.to_be_bytes()].concat();
    // In place of its first look for what was typed: lpswe 0x840.
    let (_dir, file) = listener(0x40, 0x40, ready, &[(0x624, &[0xb2, 0xb2, 0x08, 0x40]), (0x840, &wait)]);
    let mut adjunct = command();
    adjunct.args(["run", "--host", "sim", "--console", "file:/dev/full", "--kernel"]).arg(file);
    let ran = adjunct.ran();
    assert_eq!(ran.status, 1, "{ran:?}");
    for said in ["--console file:/dev/full: it can't be written", "disabled wait at address 0xbad"] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
}

fn run_to(file: &Path, words: &[&str], stderr: Stdio) -> Ran {
    let mut adjunct = command();
    adjunct.args(["run", "--host", "sim", "--console", "off", "--kernel"]).arg(file).args(words);
    adjunct.stdout(Stdio::piped()).stderr(stderr).start().ended()
}

#[test]
fn a_full_disk_loses_messages_and_says_so_at_the_end_and_ends_nobody() {
    let (_dir, file) = image(&[END_WELL], &[]);
    let ran = run_to(&file, &["-v", "--log-file", "/dev/full"], Stdio::piped());
    assert_eq!(ran.status, 5, "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("--log-file /dev/full: it can't be written"), "{}", ran.stderr);
    // Nobody can be told that standard error is full.
    let full = || File::create("/dev/full").expect("writable").into();
    assert_eq!(run_to(&file, &["-v"], full()).status, 0);
    let (_dir, bad) = image(&[0xb2b2_0410], &[]);
    assert_eq!(run_to(&bad, &["-v"], full()).status, 1);
}
