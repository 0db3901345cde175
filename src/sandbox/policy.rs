//! Which thread may make which system call, and how: one table, for both kinds of machine.
//!
//! A call is allowed if one row allows it. Rows look at the low 32 bits of an argument only: what is compared here is an
//! `int` to the kernel, which ignores the rest, or flags that all lie there.

use super::calls::Machine;

/// A set of kinds of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Threads(u16);

impl Threads {
    /// The main thread, while a guest runs that nobody manages.
    pub(super) const LOOP: Self = Self(1);
    /// What the main thread does besides if others may plug devices and start guests.
    pub(super) const BUILD: Self = Self(1 << 1);
    /// A vCPU's.
    pub(super) const VCPU: Self = Self(1 << 2);
    /// The HTTP interface's.
    pub(super) const API: Self = Self(1 << 3);
    /// The QMP interface's.
    pub(super) const QMP: Self = Self(1 << 4);
    /// The one that takes signals.
    pub(super) const SIGNALS: Self = Self(1 << 5);
    /// Any thread that has no filter of its own (yet): setting up, and what libraries start.
    pub(super) const START: Self = Self(1 << 6);
    /// What the main thread and a vCPU's do besides if their host is another process's: ask it, by connections of their own.
    pub(super) const SHARED: Self = Self(1 << 7);
    /// All of them.
    pub(super) const EVERY: Self = Self(0xff);

    /// Those of either.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What must hold of a call's arguments. The first argument is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Nothing.
    Always,
    /// This one is that number.
    Is(u8, u32),
    /// This one has all of these bits.
    Has(u8, u32),
    /// This one has none of these bits.
    Lacks(u8, u32),
    /// This one is the number of this process.
    IsUs(u8),
    /// Nothing; but the kernel answers as one that does not know the call.
    Unknown,
    /// Never, and no fault of ours gets here: the kernel ends the program by itself, which no thread that was taken over can
    /// avert. Of another forbidden call the thread is told by a signal, and it is the thread that ends the program.
    Never,
}

/// One permission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) call: &'static str,
    pub(super) when: When,
    pub(super) threads: Threads,
    /// None: both.
    pub(super) machine: Option<Machine>,
}

/// What threads of one of the kinds in `threads` may do on `machine`.
pub(super) fn rows(threads: Threads, machine: Machine) -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .filter(move |row| row.threads.meets(threads) && row.machine.is_none_or(|only| only == machine))
}

const fn row(call: &'static str, when: When, threads: Threads) -> Row {
    Row { call, when, threads, machine: None }
}

const fn only(machine: Machine, call: &'static str, when: When, threads: Threads) -> Row {
    Row { call, when, threads, machine: Some(machine) }
}

const fn ioctl(request: u32, threads: Threads) -> Row {
    row("ioctl", Is(1, request), threads)
}

const fn fcntl(command: i32, threads: Threads) -> Row {
    row("fcntl", Is(1, command.cast_unsigned()), threads)
}

const fn prctl(option: i32, threads: Threads) -> Row {
    row("prctl", Is(0, option.cast_unsigned()), threads)
}

use When::{Always, Has, Is, IsUs, Lacks, Never, Unknown};

const S390X: Machine = Machine::S390x;
const X86_64: Machine = Machine::X86_64;
const EVERY: Threads = Threads::EVERY;
const START: Threads = Threads::START;
const SIGNALS: Threads = Threads::SIGNALS;
/// Who builds a VM, or plugs a device.
const BUILDERS: Threads = Threads::BUILD.or(START);
/// The main thread, whoever manages it.
const MAIN: Threads = Threads::LOOP.or(BUILDERS);
/// Who has the guest's vCPUs in hand.
const GUEST: Threads = Threads::VCPU.or(MAIN);
/// Who asks a simulated host of another process.
const SHARED: Threads = Threads::SHARED.or(START);
/// Who answers at a socket.
const SERVE: Threads = Threads::API.or(Threads::QMP).or(START);
/// Who makes threads, which begin with the filter of their maker.
const SPAWN: Threads = MAIN.or(SERVE);

const PROT_EXEC: u32 = libc::PROT_EXEC.cast_unsigned();
const AF_UNIX: u32 = libc::AF_UNIX.cast_unsigned();
const SIGBUS: u32 = libc::SIGBUS.cast_unsigned();
const SIGSEGV: u32 = libc::SIGSEGV.cast_unsigned();
/// What makes a thread of this process, and no process.
const A_THREAD: u32 = (libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_VM).cast_unsigned();
/// What does more than read a file that is there.
const CHANGES: u32 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC).cast_unsigned();

// include/uapi/asm-generic/ioctls.h, include/uapi/linux/kvm.h, vfio.h and iommufd.h; a test has a compiler work them out.
const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TIOCGPGRP: u32 = 0x540f;
const FIONBIO: u32 = 0x5421;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const KVM_GET_API_VERSION: u32 = 0xae00;
const KVM_CREATE_VM: u32 = 0xae01;
const KVM_CHECK_EXTENSION: u32 = 0xae03;
const KVM_GET_VCPU_MMAP_SIZE: u32 = 0xae04;
const KVM_CREATE_VCPU: u32 = 0xae41;
const KVM_SET_USER_MEMORY_REGION: u32 = 0x4020_ae46;
const KVM_RUN: u32 = 0xae80;
const KVM_S390_STORE_STATUS: u32 = 0x4008_ae95;
const KVM_S390_INITIAL_RESET: u32 = 0xae97;
const KVM_SET_MP_STATE: u32 = 0x4004_ae99;
const KVM_ENABLE_CAP: u32 = 0x4068_aea3;
const KVM_S390_MEM_OP: u32 = 0x4040_aeb1;
const KVM_S390_IRQ: u32 = 0x4048_aeb4;
const KVM_S390_NORMAL_RESET: u32 = 0xaec3;
const KVM_S390_CLEAR_RESET: u32 = 0xaec4;
const KVM_CREATE_DEVICE: u32 = 0xc00c_aee0;
const KVM_SET_DEVICE_ATTR: u32 = 0x4018_aee1;
const KVM_GET_DEVICE_ATTR: u32 = 0x4018_aee2;
const KVM_HAS_DEVICE_ATTR: u32 = 0x4018_aee3;
const VFIO_SET_IOMMU: u32 = 0x3b66;
const VFIO_GROUP_SET_CONTAINER: u32 = 0x3b68;
const VFIO_GROUP_GET_DEVICE_FD: u32 = 0x3b6a;
const VFIO_DEVICE_GET_INFO: u32 = 0x3b6b;
const VFIO_DEVICE_GET_IRQ_INFO: u32 = 0x3b6d;
const VFIO_DEVICE_SET_IRQS: u32 = 0x3b6e;
const VFIO_DEVICE_RESET: u32 = 0x3b6f;
const VFIO_IOMMU_MAP_DMA: u32 = 0x3b71;
const VFIO_DEVICE_BIND_IOMMUFD: u32 = 0x3b76;
const VFIO_DEVICE_ATTACH_IOMMUFD_PT: u32 = 0x3b77;
const IOMMU_DESTROY: u32 = 0x3b80;
const IOMMU_IOAS_ALLOC: u32 = 0x3b81;
const IOMMU_IOAS_MAP: u32 = 0x3b85;

/// The policy, by call.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("accept4",            Always,            SERVE),
    row("access",             Always,            START),
    row("bind",               Always,            START),
    row("bpf",                Never,             EVERY),
    row("brk",                Always,            EVERY),
    row("chroot",             Never,             EVERY),
    // Where the kernel alone can tell the time.
    row("clock_gettime",      Always,            EVERY),
    row("clock_nanosleep",    Always,            EVERY),
    // Its arguments are in another order there (`CLONE_BACKWARDS2`).
    only(S390X, "clone",      Has(1, A_THREAD),  SPAWN),
    only(X86_64, "clone",     Has(0, A_THREAD),  SPAWN),
    // What it makes is said in memory, where a filter does not see it. The C library goes on to clone.
    row("clone3",             Unknown,           SPAWN),
    row("close",              Always,            EVERY),
    row("connect",            Always,            SHARED),
    row("epoll_create1",      Always,            MAIN.or(SERVE)),
    row("epoll_ctl",          Always,            MAIN.or(SERVE)),
    row("epoll_pwait",        Always,            MAIN.or(SERVE)),
    row("epoll_wait",         Always,            MAIN.or(SERVE)),
    row("eventfd2",           Always,            MAIN.or(SERVE)),
    row("execve",             Never,             EVERY),
    row("execveat",           Never,             EVERY),
    row("exit",               Always,            EVERY),
    row("exit_group",         Always,            EVERY),
    row("fchmod",             Always,            START),
    fcntl(libc::F_DUPFD_CLOEXEC,                 EVERY),
    fcntl(libc::F_GETFD,                         EVERY),
    fcntl(libc::F_GETFL,                         EVERY),
    fcntl(libc::F_SETFD,                         BUILDERS),
    fcntl(libc::F_SETFL,                         EVERY),
    row("finit_module",       Never,             EVERY),
    row("flock",              Always,            START),
    row("fork",               Never,             EVERY),
    row("fstat",              Always,            EVERY),
    row("ftruncate",          Always,            BUILDERS),
    row("futex",              Always,            EVERY),
    row("getcwd",             Always,            BUILDERS),
    row("getdents64",         Always,            MAIN),
    row("geteuid",            Always,            START),
    row("getpgrp",            Always,            EVERY),
    row("getpid",             Always,            EVERY),
    row("getrandom",          Always,            EVERY),
    row("getsockname",        Always,            SERVE),
    row("getsockopt",         Always,            SERVE.or(SHARED)),
    row("gettid",             Always,            EVERY),
    row("init_module",        Never,             EVERY),
    row("io_uring_setup",     Never,             EVERY),
    // A terminal: whether it is one, its modes, whose it is. The last words of any thread give its modes back.
    ioctl(TCGETS,                            EVERY),
    ioctl(TCSETS,                            EVERY),
    ioctl(TIOCGPGRP,                         EVERY),
    // As the C library asks since glibc 2.42.
    ioctl(TCGETS2,                           EVERY),
    ioctl(TCSETS2,                           EVERY),
    ioctl(FIONBIO,                           MAIN.or(SERVE)),
    ioctl(KVM_GET_API_VERSION,                   BUILDERS),
    ioctl(KVM_CREATE_VM,                         BUILDERS),
    ioctl(KVM_CHECK_EXTENSION,                   BUILDERS),
    ioctl(KVM_GET_VCPU_MMAP_SIZE,                BUILDERS),
    ioctl(KVM_CREATE_VCPU,                       BUILDERS),
    ioctl(KVM_SET_USER_MEMORY_REGION,            BUILDERS),
    ioctl(KVM_RUN,                               GUEST),
    ioctl(KVM_S390_STORE_STATUS,                 MAIN),
    ioctl(KVM_S390_INITIAL_RESET,                MAIN),
    ioctl(KVM_SET_MP_STATE,                      MAIN),
    ioctl(KVM_ENABLE_CAP,                        BUILDERS),
    ioctl(KVM_S390_MEM_OP,                       GUEST),
    ioctl(KVM_S390_IRQ,                          GUEST),
    ioctl(KVM_S390_NORMAL_RESET,                 MAIN),
    ioctl(KVM_S390_CLEAR_RESET,                  MAIN),
    ioctl(KVM_CREATE_DEVICE,                     BUILDERS),
    // Interruptions, wrapping keys at a reset, the clock after a pause, and giving a device back.
    ioctl(KVM_SET_DEVICE_ATTR,                   GUEST),
    // The clock at a pause, and what a guest's CPU has.
    ioctl(KVM_GET_DEVICE_ATTR,                   MAIN),
    ioctl(KVM_HAS_DEVICE_ATTR,                   BUILDERS),
    ioctl(VFIO_SET_IOMMU,                        BUILDERS),
    ioctl(VFIO_GROUP_SET_CONTAINER,              BUILDERS),
    ioctl(VFIO_GROUP_GET_DEVICE_FD,              BUILDERS),
    ioctl(VFIO_DEVICE_GET_INFO,                  BUILDERS),
    ioctl(VFIO_DEVICE_GET_IRQ_INFO,              BUILDERS),
    ioctl(VFIO_DEVICE_SET_IRQS,                  MAIN),
    ioctl(VFIO_DEVICE_RESET,                     MAIN),
    ioctl(VFIO_IOMMU_MAP_DMA,                    BUILDERS),
    ioctl(VFIO_DEVICE_BIND_IOMMUFD,              BUILDERS),
    ioctl(VFIO_DEVICE_ATTACH_IOMMUFD_PT,         BUILDERS),
    ioctl(IOMMU_DESTROY,                         MAIN),
    ioctl(IOMMU_IOAS_ALLOC,                      BUILDERS),
    ioctl(IOMMU_IOAS_MAP,                        BUILDERS),
    row("kexec_file_load",    Never,             EVERY),
    row("kexec_load",         Never,             EVERY),
    // Stopping us, as a terminal's Ctrl-Z does.
    row("kill",               IsUs(0),           SIGNALS.or(START)),
    row("landlock_add_rule",  Always,            BUILDERS),
    row("landlock_create_ruleset", Always,       BUILDERS),
    row("landlock_restrict_self", Always,        BUILDERS),
    row("listen",             Always,            START),
    row("lseek",              Always,            MAIN),
    row("madvise",            Always,            EVERY),
    // Its arguments are in memory there (`__ARCH_WANT_SYS_OLD_MMAP`), where a filter does not see them.
    only(S390X, "mmap",       Always,            EVERY),
    only(X86_64, "mmap",      Lacks(2, PROT_EXEC), EVERY),
    row("mount",              Never,             EVERY),
    row("mprotect",           Lacks(2, PROT_EXEC), EVERY),
    row("mremap",             Always,            EVERY),
    row("munmap",             Always,            EVERY),
    row("newfstatat",         Always,            MAIN),
    row("open_by_handle_at",  Never,             EVERY),
    // sysfs says what queues the guest has now.
    row("openat",             Lacks(2, CHANGES), MAIN),
    row("openat",             Always,            BUILDERS),
    row("perf_event_open",    Never,             EVERY),
    row("pidfd_getfd",        Never,             EVERY),
    row("pivot_root",         Never,             EVERY),
    row("poll",               Always,            EVERY),
    row("ppoll",              Always,            EVERY),
    prctl(libc::PR_SET_NAME,                     SPAWN),
    prctl(libc::PR_GET_NAME,                     EVERY),
    prctl(libc::PR_SET_NO_NEW_PRIVS,             BUILDERS),
    prctl(libc::PR_SET_VMA,                      EVERY),
    row("prlimit64",          Always,            EVERY),
    row("process_vm_readv",   Never,             EVERY),
    row("process_vm_writev",  Never,             EVERY),
    row("ptrace",             Never,             EVERY),
    row("read",               Always,            EVERY),
    row("readlink",           Always,            BUILDERS),
    row("readlinkat",         Always,            BUILDERS),
    row("recvfrom",           Always,            EVERY),
    row("recvmsg",            Always,            EVERY),
    row("rename",             Always,            START),
    row("restart_syscall",    Always,            EVERY),
    row("rseq",               Always,            SPAWN),
    row("rt_sigaction",       Always,            BUILDERS.or(SIGNALS)),
    // Whoever makes a mistake with memory dies of it: the handler that looks for a full stack takes itself away.
    row("rt_sigaction",       Is(0, SIGBUS),     EVERY),
    row("rt_sigaction",       Is(0, SIGSEGV),    EVERY),
    row("rt_sigprocmask",     Always,            EVERY),
    row("rt_sigreturn",       Always,            EVERY),
    row("sched_getaffinity",  Always,            EVERY),
    row("sched_yield",        Always,            EVERY),
    row("seccomp",            Always,            BUILDERS),
    row("sendmsg",            Always,            EVERY),
    row("sendto",             Always,            EVERY),
    row("set_robust_list",    Always,            SPAWN),
    row("setns",              Never,             EVERY),
    row("setsockopt",         Always,            SERVE.or(SHARED)),
    row("shutdown",           Always,            EVERY),
    row("sigaltstack",        Always,            EVERY),
    row("signalfd4",          Always,            START),
    row("socket",             Is(0, AF_UNIX),    SHARED),
    row("socketpair",         Is(0, AF_UNIX),    BUILDERS),
    row("stat",               Always,            MAIN),
    row("statx",              Always,            EVERY),
    row("tgkill",             IsUs(0),           EVERY),
    row("timerfd_create",     Always,            MAIN),
    row("timerfd_settime",    Always,            MAIN),
    row("unlink",             Always,            BUILDERS),
    row("unlinkat",           Always,            BUILDERS),
    row("unshare",            Never,             EVERY),
    row("userfaultfd",        Never,             EVERY),
    row("vfork",              Never,             EVERY),
    row("write",              Always,            EVERY),
    row("writev",             Always,            EVERY),
];

#[cfg(test)]
mod tests {
    use super::{super::calls::Call, *};

    /// A guest that nobody manages.
    const GUEST_ALONE: Threads = Threads::VCPU.or(Threads::LOOP);

    #[test]
    fn rows_are_in_order_and_none_is_there_twice() {
        assert!(ROWS.is_sorted_by_key(|row| row.call));
        for (at, row) in ROWS.iter().enumerate() {
            let same =
                |other: &&Row| (other.call, other.when, other.machine) == (row.call, row.when, row.machine);
            assert!(!ROWS[..at].iter().any(|other| same(&other)), "{row:?}");
        }
    }

    #[test]
    fn every_call_exists_on_the_machines_of_its_row() {
        for row in ROWS {
            let call = Call::named(row.call).unwrap_or_else(|| panic!("{}", row.call));
            for machine in [X86_64, S390X] {
                let wanted = row.machine.is_none_or(|only| only == machine);
                assert!(!wanted || call.number(machine).is_some(), "{} on {machine:?}", row.call);
            }
        }
    }

    #[test]
    fn no_thread_may_start_a_program_look_into_another_or_talk_to_a_network() {
        let names: Vec<_> = ROWS.iter().filter(|row| row.when != Never).map(|row| row.call).collect();
        for forbidden in [
            "bpf",
            "execve",
            "execveat",
            "fork",
            "init_module",
            "io_uring_setup",
            "kexec_load",
            "mount",
            "open_by_handle_at",
            "perf_event_open",
            "pidfd_getfd",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
            "setns",
            "setuid",
            "socketcall",
            "unshare",
            "userfaultfd",
            "vfork",
        ] {
            assert!(!names.contains(&forbidden), "{forbidden}");
        }
        let sockets = ROWS.iter().filter(|row| row.call.starts_with("socket"));
        assert!(sockets.map(|row| row.when).all(|when| when == Is(0, AF_UNIX)));
    }

    #[test]
    fn only_who_builds_opens_for_writing_and_a_vcpu_opens_nothing() {
        let opens =
            |threads: Threads| rows(threads, X86_64).filter(|row| row.call == "openat").map(|row| row.when);
        assert_eq!(opens(Threads::VCPU).count(), 0);
        assert_eq!(opens(Threads::SIGNALS).count(), 0);
        assert_eq!(opens(Threads::LOOP).collect::<Vec<_>>(), [Lacks(2, CHANGES)]);
        assert!(opens(Threads::BUILD).any(|when| when == Always));
    }

    #[test]
    fn only_who_has_a_host_in_another_process_connects_and_only_who_builds_removes_files() {
        let may = |threads, call| rows(threads, X86_64).any(|row| row.call == call);
        for call in ["socket", "connect", "setsockopt"] {
            assert!(!may(GUEST_ALONE, call), "{call}");
            assert!(may(Threads::SHARED, call), "{call}");
        }
        for call in ["unlink", "unlinkat"] {
            assert!(!may(GUEST_ALONE.or(Threads::API).or(Threads::QMP).or(Threads::SIGNALS), call), "{call}");
            assert!(may(Threads::BUILD, call), "the main thread removes the files of sockets");
        }
    }

    #[test]
    fn a_thread_may_ask_no_more_than_the_thread_that_makes_it() {
        for machine in [X86_64, S390X] {
            let allowed =
                |threads| -> Vec<_> { rows(threads, machine).map(|row| (row.call, row.when)).collect() };
            let (start, manager) = (allowed(START), allowed(Threads::LOOP.or(Threads::BUILD)));
            assert!(allowed(EVERY).iter().all(|row| start.contains(row)));
            assert!(allowed(Threads::VCPU).iter().all(|row| manager.contains(row)));
        }
    }

    #[test]
    #[ignore = "needs s390x-linux-gnu-gcc and qemu-s390x; ./check runs it"]
    fn the_numbers_of_requests_are_those_of_the_kernels_headers() {
        use std::process::Command;
        let requests = [
            ("TCGETS", TCGETS),
            ("TCSETS", TCSETS),
            ("TIOCGPGRP", TIOCGPGRP),
            ("FIONBIO", FIONBIO),
            ("TCGETS2", TCGETS2),
            ("TCSETS2", TCSETS2),
            ("KVM_GET_API_VERSION", KVM_GET_API_VERSION),
            ("KVM_CREATE_VM", KVM_CREATE_VM),
            ("KVM_CHECK_EXTENSION", KVM_CHECK_EXTENSION),
            ("KVM_GET_VCPU_MMAP_SIZE", KVM_GET_VCPU_MMAP_SIZE),
            ("KVM_CREATE_VCPU", KVM_CREATE_VCPU),
            ("KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION),
            ("KVM_RUN", KVM_RUN),
            ("KVM_S390_STORE_STATUS", KVM_S390_STORE_STATUS),
            ("KVM_S390_INITIAL_RESET", KVM_S390_INITIAL_RESET),
            ("KVM_SET_MP_STATE", KVM_SET_MP_STATE),
            ("KVM_ENABLE_CAP", KVM_ENABLE_CAP),
            ("KVM_S390_MEM_OP", KVM_S390_MEM_OP),
            ("KVM_S390_IRQ", KVM_S390_IRQ),
            ("KVM_S390_NORMAL_RESET", KVM_S390_NORMAL_RESET),
            ("KVM_S390_CLEAR_RESET", KVM_S390_CLEAR_RESET),
            ("KVM_CREATE_DEVICE", KVM_CREATE_DEVICE),
            ("KVM_SET_DEVICE_ATTR", KVM_SET_DEVICE_ATTR),
            ("KVM_GET_DEVICE_ATTR", KVM_GET_DEVICE_ATTR),
            ("KVM_HAS_DEVICE_ATTR", KVM_HAS_DEVICE_ATTR),
            ("VFIO_SET_IOMMU", VFIO_SET_IOMMU),
            ("VFIO_GROUP_SET_CONTAINER", VFIO_GROUP_SET_CONTAINER),
            ("VFIO_GROUP_GET_DEVICE_FD", VFIO_GROUP_GET_DEVICE_FD),
            ("VFIO_DEVICE_GET_INFO", VFIO_DEVICE_GET_INFO),
            ("VFIO_DEVICE_GET_IRQ_INFO", VFIO_DEVICE_GET_IRQ_INFO),
            ("VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS),
            ("VFIO_DEVICE_RESET", VFIO_DEVICE_RESET),
            ("VFIO_IOMMU_MAP_DMA", VFIO_IOMMU_MAP_DMA),
        ];
        let mut source =
            "#include <stdio.h>\n#include <asm/termbits.h>\n#include <sys/ioctl.h>\n#include <linux/kvm.h>\n#include <linux/vfio.h>\n\
                          int main(void) {\n"
                .to_owned();
        for (name, _) in requests {
            source += &format!("printf(\"%08x\\n\", (unsigned){name});\n");
        }
        source += "return 0; }\n";
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (file, program) = (dir.path().join("requests.c"), dir.path().join("requests"));
        std::fs::write(&file, source).expect("writable");
        let compiled =
            Command::new("s390x-linux-gnu-gcc").arg("-static").arg("-o").arg(&program).arg(&file).status();
        assert!(compiled.expect("the compiler is there").success());
        let output = Command::new("qemu-s390x").arg(&program).output().expect("qemu-s390x is there");
        let theirs = String::from_utf8(output.stdout).expect("text");
        let ours: String = requests.iter().map(|(_, number)| format!("{number:08x}\n")).collect();
        assert_eq!(theirs, ours);
    }
}
