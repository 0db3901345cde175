//! What adjunct gives up, tried by somebody who has taken a thread of it over.

use adjunct::sandbox::{self, Access, Files, Sandbox, Thread};
use clap::{Args, FromArgMatches};
use std::{
    env,
    fs::{self, File},
    io::ErrorKind,
    net::{TcpStream, UdpSocket},
    os::unix::process::CommandExt,
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

/// The call that makes a socket, as the C library has it, and threads that may make none of a network. On s390x a filter
/// does not see the family, so there those that may connect to another process's simulated host are not among them.
const SOCKET: (&str, [Thread; 2]) = if cfg!(target_arch = "s390x") {
    ("socketcall", [Thread::Signals, Thread::Api])
} else {
    ("socket", [Thread::Manager, Thread::Vcpu])
};

/// What the attacker does, what the call is named in the message, and which thread it has.
const ATTACKS: [(&str, &str, Thread); 10] = [
    ("open", "openat", Thread::Vcpu),
    ("create", "openat", Thread::Loop),
    ("execute", "execve", Thread::Manager),
    ("network", SOCKET.0, SOCKET.1[0]),
    ("network", SOCKET.0, SOCKET.1[1]),
    ("kill", "kill", Thread::Vcpu),
    ("kill", "kill", Thread::Signals),
    ("mount", "mount", Thread::Api),
    ("open", "openat", Thread::Api),
    ("open", "openat", Thread::Qmp),
];

fn attack(what: &str) {
    let _ = match what {
        "open" => File::open("/etc/passwd").map(drop),
        "create" => File::create("/tmp/adjunct-was-here").map(drop),
        "execute" => Err(Command::new("/bin/true").exec()),
        "network" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "kill" => nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), None).map_err(Into::into),
        "mount" => {
            nix::mount::mount(Some("none"), "/tmp", Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
                .map_err(Into::into)
        }
        other => panic!("{other}"),
    };
}

/// Each of the attacks, by a thread of the kind that it names.
fn forbidden_calls_end_the_program(test: &str) {
    if let Ok(number) = env::var(ATTACK) {
        let (what, _, kind) = ATTACKS[number.parse::<usize>().expect("a number")];
        sandbox_of(&["--seccomp", "true"]).begin(&[]).expect("the kernel has seccomp");
        let taken = thread::Builder::new().name("taken".to_owned()).spawn(move || {
            sandbox::enter(kind).expect("a filter that the kernel takes");
            attack(what);
        });
        taken.expect("a thread").join().expect("it does not panic");
        panic!("{what} was let pass");
    }
    for (number, (what, call, kind)) in ATTACKS.into_iter().enumerate() {
        let output = taken_over(test, &number.to_string());
        let said = String::from_utf8_lossy(&output.stderr);
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
    sandbox_of(&["--seccomp", "false", "--landlock", "true"]).begin(&[]).expect("nothing is refused");
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
        let refused = TcpStream::connect("127.0.0.1:9").expect_err("nobody is there");
        // Landlock knows of networks since Linux 6.7.
        assert!(
            [ErrorKind::PermissionDenied, ErrorKind::ConnectionRefused].contains(&refused.kind()),
            "{refused}"
        );
        dir
    });
    drop(kept.join().expect("all went as it should"));
}

#[cfg(target_arch = "x86_64")]
mod here {
    use crate::{
        command::{Ran, adjunct, command},
        lifecycle::{FOR_EVER, image},
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
        path::Path,
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
        let mut stream = UnixStream::connect(socket).expect("somebody listens");
        write!(stream, "{request} HTTP/1.1\r\nHost: vm\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
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
        let mut guest = guest.spawn().expect("it starts");
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
    fn a_rule_for_files_that_is_none_is_refused() {
        let ran: Ran = command()
            .args(["run", "--host", "sim", "--landlock-rules", "path=/etc"])
            .output()
            .expect("adjunct starts")
            .into();
        assert_eq!(ran.status, 2);
        assert!(ran.stderr.contains("access=rw"), "{}", ran.stderr);
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
}
