//! What adjunct gives up, tried by somebody who has taken a thread of it over.

use adjunct::sandbox::{self, Access, Files, Sandbox, Thread};
use clap::{Args, FromArgMatches};
use landlock::{ABI, Access as _, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use libc::{O_NONBLOCK, SYS_openat};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, raise},
        socket::{UnixAddr, connect},
    },
    unistd::getppid,
};
use std::{
    env,
    fs::{self, File},
    io::{ErrorKind, Read},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::{
            fs::OpenOptionsExt,
            net::{SocketAddr, UnixListener, UnixStream},
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Command, Output},
    thread,
};

/// What a test of ours says to itself when it starts itself as a program that was taken over.
const ATTACK: &str = "ADJUNCT_TEST_ATTACK";

/// A sandbox as the options make it.
fn sandbox_of(words: &[&str]) -> Sandbox {
    let command = Sandbox::augment_args(clap::Command::new("adjunct"));
    let words = ["adjunct"].iter().chain(words);
    Sandbox::from_arg_matches(&command.get_matches_from(words)).expect("the options are right")
}

/// Starts `test`, which is running now, once more, to do `attack`.
fn taken_over(test: &str, attack: &str) -> Output {
    let mut program = Command::new(env::current_exe().expect("a test has a program"));
    program.args(["--exact", test, "--include-ignored", "--nocapture"]).env(ATTACK, attack);
    program.output().expect("it starts")
}

/// The calls that make a socket and connect it, as the C library has them.
const SOCKET: &str = if cfg!(target_arch = "s390x") { "socketcall" } else { "socket" };
const CONNECT: &str = if cfg!(target_arch = "s390x") { "socketcall" } else { "connect" };

/// What the attacker does, what the call is named in the message, and which thread it has.
const ATTACKS: [(&str, &str, Thread); 19] = [
    ("open", "openat", Thread::Vcpu),
    ("create", "openat", Thread::Loop),
    ("execute", "execve", Thread::Manager),
    ("network", SOCKET, Thread::Manager),
    ("network", SOCKET, Thread::Vcpu),
    // None of these has a host in another process.
    ("meet", SOCKET, Thread::Vcpu),
    ("meet", SOCKET, Thread::Manager),
    ("connect", CONNECT, Thread::Vcpu),
    ("connect", CONNECT, Thread::Loop),
    ("connect", CONNECT, Thread::Api),
    ("kill", "kill", Thread::Vcpu),
    ("kill", "kill", Thread::Signals),
    ("mount", "mount", Thread::Api),
    ("open", "openat", Thread::Api),
    ("open", "openat", Thread::Qmp),
    ("remove", "unlink", Thread::Vcpu),
    ("remove", "unlink", Thread::Loop),
    ("remove", "unlink", Thread::Api),
    ("remove", "unlink", Thread::Qmp),
];

fn attack(what: &str) {
    let _ = match what {
        "open" => File::open("/etc/passwd").map(drop),
        "create" => File::create("/tmp/adjunct-was-here").map(drop),
        "execute" => Err(Command::new("/bin/true").exec()),
        "meet" => UnixStream::connect("/tmp/adjunct-is-not-here").map(drop),
        // It need not have a socket: the filter is asked first.
        "connect" => {
            let somebody = UnixAddr::new("/tmp/adjunct-is-not-here").expect("short");
            connect(-1, &somebody).map_err(Into::into)
        }
        "remove" => fs::remove_file("/tmp/adjunct-is-not-here"),
        "network" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "kill" => nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), None).map_err(Into::into),
        "mount" => {
            nix::mount::mount(Some("none"), "/tmp", Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
                .map_err(Into::into)
        }
        other => panic!("{other}"),
    };
}

/// Does `what` in a thread of this `kind`, sandboxed as `words` say.
fn in_a_thread(words: &[&str], kind: Thread, what: impl FnOnce() + Send) {
    sandbox_of(words).begin(&[], None).expect("the kernel has seccomp");
    thread::scope(|scope| {
        let taken = thread::Builder::new().name("taken".to_owned()).spawn_scoped(scope, move || {
            sandbox::enter(kind).expect("a filter that the kernel takes");
            what();
        });
        taken.expect("a thread").join().expect("it does not panic");
    });
}

/// How many filters this thread has.
fn filters() -> u32 {
    let status = fs::read_to_string("/proc/thread-self/status").expect("it is let pass");
    let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("{status}"))
}

/// What is only noted in the audit log.
fn forbidden_calls_pass_if_they_are_only_logged(test: &str) {
    if env::var_os(ATTACK).is_some() {
        let before = filters();
        return in_a_thread(&["--seccomp", "log"], Thread::Vcpu, || {
            // To open this is forbidden by the thread's own.
            assert_eq!(filters(), before + 2, "one of the program, one of the thread");
            assert!(fs::read_to_string("/proc/self/comm").is_ok_and(|name| !name.is_empty()));
            let refused = UnixStream::connect("/proc/self/comm").expect_err("that is no socket");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
        });
    }
    let output = taken_over(test, "log");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The note in the audit log, which is the kernel's own where nobody takes it out (`kernel/auditsc.c: audit_seccomp`,
/// `kernel/audit.c: kauditd_printk_skb`).
#[cfg_attr(
    not(target_arch = "s390x"),
    expect(dead_code, reason = "the kernel's log is others' too, and not everybody may read it")
)]
fn the_kernel_notes_forbidden_calls_that_it_lets_pass(test: &str) {
    if env::var_os(ATTACK).is_some() {
        return in_a_thread(&["--seccomp", "log"], Thread::Vcpu, || {
            let log =
                File::options().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").expect("readable");
            let ours = format!(" pid={} comm=\"taken\"", std::process::id());
            let openat = format!(" syscall={SYS_openat} ");
            // Notes come a moment later, and of many at once some are left out.
            let noted = (0..60).any(|_| {
                fs::read_to_string("/proc/self/comm").expect("it is let pass");
                let mut file = [PollFd::new(log.as_fd(), PollFlags::POLLIN)];
                poll(&mut file, PollTimeout::from(1000_u16)).expect("it can be waited for");
                lines_of(&log).any(|line| line.contains(&ours) && line.contains(&openat))
            });
            assert!(noted, "no line with{ours} and{openat}");
        });
    }
    let output = taken_over(test, "note");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the kernel's log has now that was not read yet.
fn lines_of(mut log: &File) -> impl Iterator<Item = String> {
    let mut line = [0; 8192];
    std::iter::from_fn(move || match log.read(&mut line) {
        Ok(length) => Some(String::from_utf8_lossy(&line[..length]).into_owned()),
        // Some were lost meanwhile.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Some(String::new()),
        Err(_) => None,
    })
}

/// Memory that was taken in pieces and is given back at once.
fn memory_goes_back_to_the_kernel_without_a_file(test: &str) {
    if env::var_os(ATTACK).is_some() {
        return in_a_thread(&["--seccomp", "true"], Thread::Vcpu, || {
            let pieces: Vec<_> = (0..32_u8).map(|piece| vec![piece; 32 << 10]).collect();
            assert!((0..32).all(|at| usize::from(pieces[at][at]) == at));
        });
    }
    let output = taken_over(test, "memory");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A thread that reads what is not there, which is a fault and no attack.
fn a_fault_is_told_as_one(test: &str) {
    if env::var_os(ATTACK).is_some() {
        return in_a_thread(&["--seccomp", "true"], Thread::Vcpu, || {
            // Rust's handler finds no full stack the first time, and leaves the second to the kernel.
            let _ = (raise(Signal::SIGSEGV), raise(Signal::SIGSEGV));
        });
    }
    let output = taken_over(test, "fault");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(Signal::SIGSEGV as i32), "{:?}: {said}", output.status);
}

/// Each of the attacks, by a thread of the kind that it names.
fn forbidden_calls_end_the_program(test: &str) {
    if let Ok(number) = env::var(ATTACK) {
        let (what, _, kind) = ATTACKS[number.parse::<usize>().expect("a number")];
        in_a_thread(&["--seccomp", "true"], kind, || attack(what));
        panic!("{what} was let pass");
    }
    for (number, (what, call, kind)) in ATTACKS.into_iter().enumerate() {
        let output = taken_over(test, &number.to_string());
        let said = String::from_utf8_lossy(&output.stderr);
        if ["execve", "mount"].contains(&call) {
            // Not even the thread that does it is asked.
            assert_eq!(output.status.signal(), Some(Signal::SIGSYS as i32), "{what} by {kind:?}: {said}");
            continue;
        }
        assert_eq!(output.status.code(), Some(159), "{what} by {kind:?}: {said}");
        let message = format!("adjunct: the thread taken made the system call {call} (");
        assert!(said.contains(&message) && said.contains("--seccomp log"), "{what} by {kind:?}: {said}");
    }
}

/// A thread that has a file and a directory, and tries others.
fn other_files_are_out_of_reach(test: &str) {
    if env::var_os(ATTACK).is_none() {
        let output = taken_over(test, "files");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().to_owned();
    let path = move |name: &str| root.join(name);
    for name in ["given", "other", "console"] {
        fs::write(path(name), name).expect("writable");
    }
    fs::create_dir(path("below")).expect("writable");
    fs::write(path("below/deep"), "deep").expect("writable");
    let sandbox = sandbox_of(&["--seccomp", "false", "--landlock", "true"]);
    sandbox.begin(&[], None).expect("nothing is refused");
    let mut files = Files::default();
    files.keep_path(path("given"), Access::Read);
    files.keep_path(path("console"), Access::Write);
    files.keep_path(path("below"), Access::Read);
    files.keep_path("/no/such/path", Access::Use);
    let kept = thread::spawn(move || {
        sandbox::keep_to(files, false).expect("the kernel has Landlock");
        let denied =
            |result: std::io::Result<File>| result.expect_err("denied").kind() == ErrorKind::PermissionDenied;
        assert_eq!(fs::read_to_string(path("given")).expect("it is kept"), "given");
        assert_eq!(fs::read_to_string(path("below/deep")).expect("it is kept"), "deep");
        assert!(File::create(path("console")).is_ok(), "it can be written anew");
        assert!(denied(File::open(path("other"))));
        assert!(denied(File::open("/proc/version")));
        assert!(denied(File::options().write(true).open(path("given"))));
        assert!(denied(File::create(path("new"))));
        assert!(denied(File::open(path("console"))), "to be written is not to be read");
        dir
    });
    drop(kept.join().expect("all went as it should"));
}

/// A thread that tries to talk to others, which no filter keeps from it.
fn others_are_out_of_reach_as_far_as_the_kernel_knows_how(test: &str) {
    if env::var_os(ATTACK).is_none() {
        let output = taken_over(test, "others");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let name = format!("adjunct-test-{}", std::process::id());
    let somebody = SocketAddr::from_abstract_name(name).expect("short");
    let _listens = UnixListener::bind_addr(&somebody).expect("nobody has that name");
    let denied = || {
        let tried = [
            TcpStream::connect("127.0.0.1:9").map(drop),
            TcpListener::bind("127.0.0.1:0").map(drop),
            UnixStream::connect_addr(&somebody).map(drop),
            nix::sys::signal::kill(getppid(), None).map_err(Into::into),
        ];
        tried.map(|result| result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied))
    };
    let sandbox = sandbox_of(&["--seccomp", "false", "--landlock", "true"]);
    sandbox.begin(&[], None).expect("nothing is refused");
    assert_eq!(denied(), [false; 4]);
    thread::scope(|scope| {
        let kept = scope.spawn(|| {
            sandbox::keep_to(Files::default(), false).expect("the kernel has Landlock");
            denied()
        });
        // TCP since Linux 6.7, the others since 6.12.
        let strictly = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let tcp = strictly().handle_access(AccessNet::from_all(ABI::V4)).is_ok();
        let scopes = strictly().scope(Scope::from_all(ABI::V6)).is_ok();
        assert_eq!(kept.join().expect("it does not panic"), [tcp, tcp, scopes, scopes]);
    });
}

#[cfg(target_arch = "x86_64")]
mod here {
    use crate::{
        command::{Ran, Start, Started, adjunct, command},
        lifecycle::{END_BADLY, END_WELL, FOR_EVER, image, run_image},
        share::Shared,
    };
    use command_fds::{CommandFdExt, FdMapping};
    use std::{
        fs,
        io::{BufRead, BufReader, Read, Write},
        os::unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
            process::CommandExt,
        },
        path::{Path, PathBuf},
        process::Stdio,
    };

    #[test]
    fn a_thread_that_is_taken_over_can_do_nothing_that_threads_of_its_kind_never_do() {
        let test =
            "sandbox::here::a_thread_that_is_taken_over_can_do_nothing_that_threads_of_its_kind_never_do";
        super::forbidden_calls_end_the_program(test);
    }

    #[test]
    fn files_that_were_not_given_are_out_of_reach() {
        super::other_files_are_out_of_reach("sandbox::here::files_that_were_not_given_are_out_of_reach");
    }

    #[test]
    fn others_are_out_of_reach_as_far_as_the_kernel_knows_how() {
        super::others_are_out_of_reach_as_far_as_the_kernel_knows_how(
            "sandbox::here::others_are_out_of_reach_as_far_as_the_kernel_knows_how",
        );
    }

    #[test]
    fn what_is_only_logged_passes() {
        super::forbidden_calls_pass_if_they_are_only_logged("sandbox::here::what_is_only_logged_passes");
    }

    #[test]
    fn a_thread_gives_memory_back_without_opening_a_file() {
        super::memory_goes_back_to_the_kernel_without_a_file(
            "sandbox::here::a_thread_gives_memory_back_without_opening_a_file",
        );
    }

    #[test]
    fn a_fault_of_a_kept_thread_is_told_as_one() {
        super::a_fault_is_told_as_one("sandbox::here::a_fault_of_a_kept_thread_is_told_as_one");
    }

    #[test]
    fn a_guest_runs_alike_with_and_without_a_sandbox() {
        let run = |words: &[&str]| -> Ran {
            adjunct(&[&["run", "--host", "sim", "--memory", "1M"], words].concat())
        };
        let kept = run(&["--seccomp", "true", "--landlock", "true"]);
        assert_eq!((kept.status, kept.stderr.as_str()), (0, ""));
        for words in [["--seccomp", "false"], ["--seccomp", "log"], ["--landlock", "false"]] {
            let ran = run(&words);
            assert_eq!(
                (ran.status, ran.stdout, ran.stderr),
                (0, kept.stdout.clone(), String::new()),
                "{words:?}"
            );
        }
    }

    /// A request to the HTTP interface; the answer.
    fn ask(socket: &Path, request: &str) -> String {
        ask_with(socket, request, "")
    }

    fn ask_with(socket: &Path, request: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(socket).expect("somebody listens");
        let length = body.len();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: vm\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it is read");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    }

    /// A line of `/proc/PID/task/TID/status`.
    fn line(status: &str, name: &str) -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name}: {status}")).trim().to_owned()
    }

    #[test]
    fn nobody_can_run_a_guest_with_what_was_handed_over_and_every_thread_of_it_is_kept() {
        const NOBODY: u32 = 65_534;
        let shared = Shared::new();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let open =
            |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        let host = shared.option();
        let host_socket = Path::new(host.strip_prefix("sim:@").expect("a socket"));
        open(host_socket, 0o666);
        open(host_socket.parent().expect("a folder"), 0o755);
        open(dir.path(), 0o755);
        // The program may be where nobody can go.
        let program = dir.path().join("adjunct");
        fs::copy(env!("CARGO_BIN_EXE_adjunct"), &program).expect("there is room");
        open(&program, 0o755);
        let (image_dir, kernel) = image(&[FOR_EVER], &[]);
        open(image_dir.path(), 0o755);
        open(&kernel, 0o644);
        let (api, qmp) = (dir.path().join("api"), dir.path().join("qmp"));
        let listeners = [(20, &api), (21, &qmp)].map(|(child_fd, path)| {
            let parent_fd = UnixListener::bind(path).expect("nobody listens there").into();
            FdMapping { parent_fd, child_fd }
        });
        let mut guest = std::process::Command::new(&program);
        guest
            .args(["run", "--host", &host, "--console", "off", "--memory", "1M", "--smp", "2"])
            .args(["--device", &format!("vfio-ap,id=ap0,sysfsdev={}", crate::command::MDEV[0])])
            .args(["--seccomp", "true", "--landlock", "true", "--event-monitor", "fd=1"])
            .args(["--api-socket", "fd=20", "--qmp", "fd=21", "--kernel"])
            .arg(&kernel)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if nix::unistd::geteuid().is_root() {
            guest.uid(NOBODY).gid(NOBODY);
        }
        guest.fd_mappings(listeners.into()).expect("no number twice");
        let mut guest = guest.start();
        let mut events = BufReader::new(guest.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        assert!(events.any(|line| line.contains("ap-attached")), "it ended before it had its device");
        let answer = ask(&api, "GET /api/v1/vm.info");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        // A thread takes its name and its filter after its start, which nobody waits for.
        let all_are_kept = || (0..100_000).map(|_| every_thread_is_kept(guest.id())).find(Result::is_ok);
        all_are_kept().unwrap_or_else(|| every_thread_is_kept(guest.id())).expect("in the end");
        let answer = ask(&api, "PUT /api/v1/vmm.shutdown");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        assert_eq!(guest.wait().expect("it ends").code(), Some(0));
    }

    /// Whether each thread is there, without rights, and with filters.
    fn every_thread_is_kept(process: u32) -> Result<(), String> {
        std::thread::yield_now();
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
        let mut threads = Vec::new();
        for task in tasks {
            let status = fs::read_to_string(task.expect("readable").path().join("status"));
            // A thread that has served its client.
            let Ok(status) = status else { continue };
            let filters: u32 = line(&status, "Seccomp_filters").parse().expect("a number");
            let name = line(&status, "Name");
            // What a library made has what the whole program has; all others have more of their own.
            let kept = line(&status, "NoNewPrivs") == "1"
                && line(&status, "Seccomp") == "2"
                && filters >= if name == "host" { 1 } else { 2 }
                && line(&status, "CapEff") == "0000000000000000";
            if !kept {
                return Err(status);
            }
            threads.push(name);
        }
        for name in ["adjunct", "vcpu0", "vcpu1", "signals", "api", "qmp", "host"] {
            if !threads.iter().any(|thread| thread == name) {
                return Err(format!("{name}: {threads:?}"));
            }
        }
        Ok(())
    }

    #[test]
    fn however_many_threads_there_are_the_allocator_opens_no_file() {
        let ran = adjunct(&["run", "--host", "sim", "--memory", "1M", "--smp", "24", "--seccomp", "true"]);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    }

    #[test]
    fn a_rule_for_files_that_is_none_or_names_none_is_refused() {
        for (rule, status, why) in
            [("path=/etc", 2, "access=rw"), ("path=/no/such/path,access=r", 3, "path=/no/such/path: ")]
        {
            let ran = adjunct(&["run", "--host", "sim", "--landlock-rules", rule]);
            assert_eq!(ran.status, status, "{ran:?}");
            assert!(ran.stderr.contains(why), "{ran:?}");
        }
    }

    #[test]
    fn sockets_in_the_current_directory_are_removed_at_the_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ran = command()
            .args(["run", "--host", "sim", "--memory", "1M", "--seccomp", "true", "--landlock", "true"])
            .args(["--qmp", "path=qmp", "--api-socket", "path=api"])
            .current_dir(&dir)
            .ran();
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
        assert_eq!(fs::read_dir(&dir).expect("it is there").count(), 0);
    }

    /// The program that adjunct is, after `before`, waiting for guests at a socket that this has made.
    fn serving(before: &[&str], dir: &Path, words: &[&str]) -> (Started, PathBuf) {
        let socket = dir.join("api");
        let parent_fd = UnixListener::bind(&socket).expect("nobody listens there").into();
        let program = [before, &[env!("CARGO_BIN_EXE_adjunct"), "serve", "--host", "sim"]].concat();
        let mut adjunct = std::process::Command::new(program[0]);
        adjunct.args(&program[1..]).args(["--api-socket", "fd=20"]).args(words).stderr(Stdio::piped());
        adjunct.fd_mappings(vec![FdMapping { parent_fd, child_fd: 20 }]).expect("no number twice");
        (adjunct.start(), socket)
    }

    #[test]
    fn a_client_has_adjunct_open_no_file_that_it_was_not_given() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (given, kernel) = image(&[FOR_EVER], &[]);
        let (other, other_kernel) = image(&[FOR_EVER], &[]);
        let rule = format!("path={},access=r", given.path().display());
        let words = ["--seccomp", "true", "--landlock", "true", "--landlock-rules", &rule];
        let (mut adjunct, socket) = serving(&[], dir.path(), &words);
        let boot = |kernel: &Path, console: &str| {
            let config = format!(r#"{{"payload":{{"kernel":"{}"}},"console":{console}}}"#, kernel.display());
            let answer = ask_with(&socket, "PUT /api/v1/vm.create", &config);
            assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
            let answer = ask(&socket, "PUT /api/v1/vm.boot");
            assert!(ask(&socket, "PUT /api/v1/vm.delete").starts_with("HTTP/1.1 204"));
            answer
        };
        let console = |dir: &Path| format!(r#"{{"mode":"File","file":"{}/console"}}"#, dir.display());
        let off = r#"{"mode":"Off"}"#.to_owned();
        for (kernel, console) in
            [(&other_kernel, &off), (&kernel, &console(other.path())), (&kernel, &console(given.path()))]
        {
            let answer = boot(kernel, console);
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("Permission denied"), "{answer}");
            assert!(answer.contains("--landlock-rules that name this one"), "{answer}");
        }
        let answer = boot(&kernel, &off);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        assert!(ask(&socket, "PUT /api/v1/vmm.shutdown").starts_with("HTTP/1.1 2"));
        assert_eq!(adjunct.wait().expect("it ends").code(), Some(0));
    }

    #[test]
    fn who_has_no_file_left_for_a_client_says_so_once_and_serves_the_others() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let few = ["sh", "-c", r#"ulimit -n 48 && exec "$0" "$@""#];
        let (mut adjunct, socket) = serving(&few, dir.path(), &[]);
        let mut said = BufReader::new(adjunct.stderr.take().expect("a pipe"));
        let mut clients: Vec<_> =
            (0..60).map(|_| UnixStream::connect(&socket).expect("there is a queue")).collect();
        let mut text = String::new();
        said.read_line(&mut text).expect("text");
        assert!(text.contains("--api-socket: clients can't be served now"), "{text}");
        let mut first = clients.swap_remove(0);
        let request = "PUT /api/v1/vmm.shutdown HTTP/1.1\r\nHost: vm\r\nConnection: close\r\n\r\n";
        first.write_all(request.as_bytes()).expect("it is read");
        let mut answer = String::new();
        first.read_to_string(&mut answer).expect("text");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        said.read_to_string(&mut text).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(adjunct.wait().expect("it ends").code(), Some(0));
    }

    /// CPU 0 starts CPU 1 and asks for the state of queue 05.0004 until CPU 1 has asked 1000 times for that of 06.0004.
    #[test]
    fn two_cpus_ask_a_host_elsewhere_at_once() {
        let shared = Shared::new();
        let code = [
            0xa748_0001, // 200 lhi   %r4,1
            0xae24_0006, // 204 sigp  %r2,%r4,6     restart
            0xa774_0011, // 208 jnz   22a
            0xa50e_0000, // 20c llilh %r0,0
            0xa503_0504, // 210 iill  %r0,0x0504
            0xb2af_0000, // 214 pqap
            0xa774_0009, // 218 jnz   22a
            0x5810_0800, // 21c l     %r1,0x800
            0x1211_0000, // 220 ltr   %r1,%r1
            0xa784_fff9, // 222 je    214
            END_WELL,    // 226
            END_BADLY,   // 22a
        ];
        let restart_psw = [0x0000_0001_8000_0000_u64.to_be_bytes(), 0x300_u64.to_be_bytes()].concat();
        let second = [
            0xa738_03e8_u32, // 300 lhi   %r3,1000
            0xa50e_0000,     // 304 llilh %r0,0
            0xa503_0604,     // 308 iill  %r0,0x0604
            0xb2af_0000,     // 30c pqap
            0xa774_000a,     // 310 jnz   324
            0xa736_fffc,     // 314 brct  %r3,30c
            0xa718_0001,     // 318 lhi   %r1,1
            0x5010_0800,     // 31c st    %r1,0x800
            END_WELL,        // 320
            END_BADLY,       // 324
        ];
        let second = second.map(u32::to_be_bytes).concat();
        let (_dir, file) = image(&code, &[(0x1a0, &restart_psw), (0x300, &second)]);
        let device = format!("vfio-ap,sysfsdev={}", crate::command::MDEV[0]);
        let ran = run_image(
            &shared.option(),
            &file,
            &["--smp", "2", "--device", &device, "--seccomp", "true", "--landlock", "true"],
        );
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    }
}

#[cfg(target_arch = "s390x")]
mod lab {
    #[test]
    #[ignore = "needs seccomp, which qemu-user has not; the lab runs it"]
    fn a_thread_that_is_taken_over_can_do_nothing_that_threads_of_its_kind_never_do() {
        let test =
            "sandbox::lab::a_thread_that_is_taken_over_can_do_nothing_that_threads_of_its_kind_never_do";
        super::forbidden_calls_end_the_program(test);
    }

    #[test]
    #[ignore = "needs Landlock, which qemu-user has not; the lab runs it"]
    fn files_that_were_not_given_are_out_of_reach() {
        super::other_files_are_out_of_reach("sandbox::lab::files_that_were_not_given_are_out_of_reach");
    }

    #[test]
    #[ignore = "needs Landlock, which qemu-user has not; the lab runs it"]
    fn others_are_out_of_reach_as_far_as_the_kernel_knows_how() {
        super::others_are_out_of_reach_as_far_as_the_kernel_knows_how(
            "sandbox::lab::others_are_out_of_reach_as_far_as_the_kernel_knows_how",
        );
    }

    #[test]
    #[ignore = "needs seccomp, which qemu-user has not; the lab runs it"]
    fn what_is_only_logged_passes() {
        super::forbidden_calls_pass_if_they_are_only_logged("sandbox::lab::what_is_only_logged_passes");
    }

    #[test]
    #[ignore = "needs seccomp and the kernel's log, which qemu-user has not; the lab runs it"]
    fn what_is_only_logged_is_noted_by_the_kernel() {
        super::the_kernel_notes_forbidden_calls_that_it_lets_pass(
            "sandbox::lab::what_is_only_logged_is_noted_by_the_kernel",
        );
    }

    #[test]
    #[ignore = "needs seccomp, which qemu-user has not; the lab runs it"]
    fn a_thread_gives_memory_back_without_opening_a_file() {
        super::memory_goes_back_to_the_kernel_without_a_file(
            "sandbox::lab::a_thread_gives_memory_back_without_opening_a_file",
        );
    }

    #[test]
    #[ignore = "needs seccomp, which qemu-user has not; the lab runs it"]
    fn a_fault_of_a_kept_thread_is_told_as_one() {
        super::a_fault_is_told_as_one("sandbox::lab::a_fault_of_a_kept_thread_is_told_as_one");
    }
}
