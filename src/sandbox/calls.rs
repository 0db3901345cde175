//! The system calls of Linux by name and number.

/// A system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    x86_64: Option<u32>,
    s390x: Option<u32>,
}

/// What kind of machine the kernel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    S390x,
}

impl Machine {
    /// The one that this program is for; none: there are no filters for it.
    pub(super) const OURS: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "s390x") {
        Some(Self::S390x)
    } else {
        None
    };

    /// What a filter is told the machine is (`include/uapi/linux/audit.h: AUDIT_ARCH_X86_64`, `AUDIT_ARCH_S390X`).
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::S390x => 0x8000_0016,
        }
    }

    /// Whether the half of a register that has the higher weight comes first in memory.
    pub(super) const fn is_big_endian(self) -> bool {
        matches!(self, Self::S390x)
    }
}

impl Call {
    /// Its number on `machine`, which may not have it.
    pub(super) const fn number(&self, machine: Machine) -> Option<u32> {
        match machine {
            Machine::X86_64 => self.x86_64,
            Machine::S390x => self.s390x,
        }
    }

    /// The call as the C library makes it on s390x: `socketcall` with one of these numbers as its first argument. The
    /// arguments are in memory then, where a filter does not see them (`include/uapi/linux/net.h`, `net/socket.c:
    /// socketcall`). `send` and `recv`, which other machines have only as `sendto` and `recvfrom`, are calls of their own.
    pub(super) fn as_socketcalls(&self, machine: Machine) -> impl Iterator<Item = u32> {
        let calls = (1..).zip(SOCKETCALLS).filter(move |_| machine == Machine::S390x);
        calls.filter(|(_, (_, row))| *row == self.name).map(|(number, _)| number)
    }

    /// The call of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        CALLS.binary_search_by_key(&name, |call| call.name).ok().map(|at| &CALLS[at])
    }
}

/// What `socketcall` can be asked for, from 1, and the call of the policy that it is.
const SOCKETCALLS: [(&str, &str); 20] = [
    ("socket", "socket"),
    ("bind", "bind"),
    ("connect", "connect"),
    ("listen", "listen"),
    ("accept", "accept4"),
    ("getsockname", "getsockname"),
    ("getpeername", "getpeername"),
    ("socketpair", "socketpair"),
    ("send", "sendto"),
    ("recv", "recvfrom"),
    ("sendto", "sendto"),
    ("recvfrom", "recvfrom"),
    ("shutdown", "shutdown"),
    ("setsockopt", "setsockopt"),
    ("getsockopt", "getsockopt"),
    ("sendmsg", "sendmsg"),
    ("recvmsg", "recvmsg"),
    ("accept4", "accept4"),
    ("recvmmsg", "recvmmsg"),
    ("sendmmsg", "sendmmsg"),
];

/// The names of this machine's system calls, by number; the empty text where there is none.
pub(super) static NAMES: [&str; 512] = names();

const fn names() -> [&'static str; 512] {
    let mut names = [""; 512];
    let Some(machine) = Machine::OURS else { return names };
    let mut at = 0;
    while at < CALLS.len() {
        if let Some(number) = CALLS[at].number(machine) {
            names[number as usize] = CALLS[at].name;
        }
        at += 1;
    }
    names
}

const fn call(name: &'static str, x86_64: Option<u32>, s390x: Option<u32>) -> Call {
    Call { name, x86_64, s390x }
}

/// All, by name (`arch/x86/entry/syscalls/syscall_64.tbl`, `arch/s390/kernel/syscalls/syscall.tbl`).
#[rustfmt::skip]
static CALLS: [Call; 404] = [
    call("_sysctl",                 Some(156),  Some(149)),
    call("accept",                  Some(43),   None),
    call("accept4",                 Some(288),  Some(364)),
    call("access",                  Some(21),   Some(33)),
    call("acct",                    Some(163),  Some(51)),
    call("add_key",                 Some(248),  Some(278)),
    call("adjtimex",                Some(159),  Some(124)),
    call("afs_syscall",             Some(183),  Some(137)),
    call("alarm",                   Some(37),   Some(27)),
    call("arch_prctl",              Some(158),  None),
    call("bdflush",                 None, Some(134)),
    call("bind",                    Some(49),   Some(361)),
    call("bpf",                     Some(321),  Some(351)),
    call("brk",                     Some(12),   Some(45)),
    call("cachestat",               Some(451),  Some(451)),
    call("capget",                  Some(125),  Some(184)),
    call("capset",                  Some(126),  Some(185)),
    call("chdir",                   Some(80),   Some(12)),
    call("chmod",                   Some(90),   Some(15)),
    call("chown",                   Some(92),   Some(212)),
    call("chroot",                  Some(161),  Some(61)),
    call("clock_adjtime",           Some(305),  Some(337)),
    call("clock_getres",            Some(229),  Some(261)),
    call("clock_gettime",           Some(228),  Some(260)),
    call("clock_nanosleep",         Some(230),  Some(262)),
    call("clock_settime",           Some(227),  Some(259)),
    call("clone",                   Some(56),   Some(120)),
    call("clone3",                  Some(435),  Some(435)),
    call("close",                   Some(3),    Some(6)),
    call("close_range",             Some(436),  Some(436)),
    call("connect",                 Some(42),   Some(362)),
    call("copy_file_range",         Some(326),  Some(375)),
    call("creat",                   Some(85),   Some(8)),
    call("create_module",           Some(174),  Some(127)),
    call("delete_module",           Some(176),  Some(129)),
    call("dup",                     Some(32),   Some(41)),
    call("dup2",                    Some(33),   Some(63)),
    call("dup3",                    Some(292),  Some(326)),
    call("epoll_create",            Some(213),  Some(249)),
    call("epoll_create1",           Some(291),  Some(327)),
    call("epoll_ctl",               Some(233),  Some(250)),
    call("epoll_ctl_old",           Some(214),  None),
    call("epoll_pwait",             Some(281),  Some(312)),
    call("epoll_pwait2",            Some(441),  Some(441)),
    call("epoll_wait",              Some(232),  Some(251)),
    call("epoll_wait_old",          Some(215),  None),
    call("eventfd",                 Some(284),  Some(318)),
    call("eventfd2",                Some(290),  Some(323)),
    call("execve",                  Some(59),   Some(11)),
    call("execveat",                Some(322),  Some(354)),
    call("exit",                    Some(60),   Some(1)),
    call("exit_group",              Some(231),  Some(248)),
    call("faccessat",               Some(269),  Some(300)),
    call("faccessat2",              Some(439),  Some(439)),
    call("fadvise64",               Some(221),  Some(253)),
    call("fallocate",               Some(285),  Some(314)),
    call("fanotify_init",           Some(300),  Some(332)),
    call("fanotify_mark",           Some(301),  Some(333)),
    call("fchdir",                  Some(81),   Some(133)),
    call("fchmod",                  Some(91),   Some(94)),
    call("fchmodat",                Some(268),  Some(299)),
    call("fchmodat2",               Some(452),  Some(452)),
    call("fchown",                  Some(93),   Some(207)),
    call("fchownat",                Some(260),  Some(291)),
    call("fcntl",                   Some(72),   Some(55)),
    call("fdatasync",               Some(75),   Some(148)),
    call("fgetxattr",               Some(193),  Some(229)),
    call("file_getattr",            Some(468),  Some(468)),
    call("file_setattr",            Some(469),  Some(469)),
    call("finit_module",            Some(313),  Some(344)),
    call("flistxattr",              Some(196),  Some(232)),
    call("flock",                   Some(73),   Some(143)),
    call("fork",                    Some(57),   Some(2)),
    call("fremovexattr",            Some(199),  Some(235)),
    call("fsconfig",                Some(431),  Some(431)),
    call("fsetxattr",               Some(190),  Some(226)),
    call("fsmount",                 Some(432),  Some(432)),
    call("fsopen",                  Some(430),  Some(430)),
    call("fspick",                  Some(433),  Some(433)),
    call("fstat",                   Some(5),    Some(108)),
    call("fstatfs",                 Some(138),  Some(100)),
    call("fstatfs64",               None, Some(266)),
    call("fsync",                   Some(74),   Some(118)),
    call("ftruncate",               Some(77),   Some(93)),
    call("futex",                   Some(202),  Some(238)),
    call("futex_requeue",           Some(456),  Some(456)),
    call("futex_wait",              Some(455),  Some(455)),
    call("futex_waitv",             Some(449),  Some(449)),
    call("futex_wake",              Some(454),  Some(454)),
    call("futimesat",               Some(261),  Some(292)),
    call("get_kernel_syms",         Some(177),  Some(130)),
    call("get_mempolicy",           Some(239),  Some(269)),
    call("get_robust_list",         Some(274),  Some(305)),
    call("get_thread_area",         Some(211),  None),
    call("getcpu",                  Some(309),  Some(311)),
    call("getcwd",                  Some(79),   Some(183)),
    call("getdents",                Some(78),   Some(141)),
    call("getdents64",              Some(217),  Some(220)),
    call("getegid",                 Some(108),  Some(202)),
    call("geteuid",                 Some(107),  Some(201)),
    call("getgid",                  Some(104),  Some(200)),
    call("getgroups",               Some(115),  Some(205)),
    call("getitimer",               Some(36),   Some(105)),
    call("getpeername",             Some(52),   Some(368)),
    call("getpgid",                 Some(121),  Some(132)),
    call("getpgrp",                 Some(111),  Some(65)),
    call("getpid",                  Some(39),   Some(20)),
    call("getpmsg",                 Some(181),  Some(188)),
    call("getppid",                 Some(110),  Some(64)),
    call("getpriority",             Some(140),  Some(96)),
    call("getrandom",               Some(318),  Some(349)),
    call("getresgid",               Some(120),  Some(211)),
    call("getresuid",               Some(118),  Some(209)),
    call("getrlimit",               Some(97),   Some(191)),
    call("getrusage",               Some(98),   Some(77)),
    call("getsid",                  Some(124),  Some(147)),
    call("getsockname",             Some(51),   Some(367)),
    call("getsockopt",              Some(55),   Some(365)),
    call("gettid",                  Some(186),  Some(236)),
    call("gettimeofday",            Some(96),   Some(78)),
    call("getuid",                  Some(102),  Some(199)),
    call("getxattr",                Some(191),  Some(227)),
    call("getxattrat",              Some(464),  Some(464)),
    call("idle",                    None, Some(112)),
    call("init_module",             Some(175),  Some(128)),
    call("inotify_add_watch",       Some(254),  Some(285)),
    call("inotify_init",            Some(253),  Some(284)),
    call("inotify_init1",           Some(294),  Some(324)),
    call("inotify_rm_watch",        Some(255),  Some(286)),
    call("io_cancel",               Some(210),  Some(247)),
    call("io_destroy",              Some(207),  Some(244)),
    call("io_getevents",            Some(208),  Some(245)),
    call("io_pgetevents",           Some(333),  Some(382)),
    call("io_setup",                Some(206),  Some(243)),
    call("io_submit",               Some(209),  Some(246)),
    call("io_uring_enter",          Some(426),  Some(426)),
    call("io_uring_register",       Some(427),  Some(427)),
    call("io_uring_setup",          Some(425),  Some(425)),
    call("ioctl",                   Some(16),   Some(54)),
    call("ioperm",                  Some(173),  None),
    call("iopl",                    Some(172),  None),
    call("ioprio_get",              Some(252),  Some(283)),
    call("ioprio_set",              Some(251),  Some(282)),
    call("ipc",                     None, Some(117)),
    call("kcmp",                    Some(312),  Some(343)),
    call("kexec_file_load",         Some(320),  Some(381)),
    call("kexec_load",              Some(246),  Some(277)),
    call("keyctl",                  Some(250),  Some(280)),
    call("kill",                    Some(62),   Some(37)),
    call("landlock_add_rule",       Some(445),  Some(445)),
    call("landlock_create_ruleset", Some(444),  Some(444)),
    call("landlock_restrict_self",  Some(446),  Some(446)),
    call("lchown",                  Some(94),   Some(198)),
    call("lgetxattr",               Some(192),  Some(228)),
    call("link",                    Some(86),   Some(9)),
    call("linkat",                  Some(265),  Some(296)),
    call("listen",                  Some(50),   Some(363)),
    call("listmount",               Some(458),  Some(458)),
    call("listxattr",               Some(194),  Some(230)),
    call("listxattrat",             Some(465),  Some(465)),
    call("llistxattr",              Some(195),  Some(231)),
    call("lookup_dcookie",          Some(212),  Some(110)),
    call("lremovexattr",            Some(198),  Some(234)),
    call("lseek",                   Some(8),    Some(19)),
    call("lsetxattr",               Some(189),  Some(225)),
    call("lsm_get_self_attr",       Some(459),  Some(459)),
    call("lsm_list_modules",        Some(461),  Some(461)),
    call("lsm_set_self_attr",       Some(460),  Some(460)),
    call("lstat",                   Some(6),    Some(107)),
    call("madvise",                 Some(28),   Some(219)),
    call("map_shadow_stack",        Some(453),  Some(453)),
    call("mbind",                   Some(237),  Some(268)),
    call("membarrier",              Some(324),  Some(356)),
    call("memfd_create",            Some(319),  Some(350)),
    call("memfd_secret",            Some(447),  Some(447)),
    call("migrate_pages",           Some(256),  Some(287)),
    call("mincore",                 Some(27),   Some(218)),
    call("mkdir",                   Some(83),   Some(39)),
    call("mkdirat",                 Some(258),  Some(289)),
    call("mknod",                   Some(133),  Some(14)),
    call("mknodat",                 Some(259),  Some(290)),
    call("mlock",                   Some(149),  Some(150)),
    call("mlock2",                  Some(325),  Some(374)),
    call("mlockall",                Some(151),  Some(152)),
    call("mmap",                    Some(9),    Some(90)),
    call("modify_ldt",              Some(154),  None),
    call("mount",                   Some(165),  Some(21)),
    call("mount_setattr",           Some(442),  Some(442)),
    call("move_mount",              Some(429),  Some(429)),
    call("move_pages",              Some(279),  Some(310)),
    call("mprotect",                Some(10),   Some(125)),
    call("mq_getsetattr",           Some(245),  Some(276)),
    call("mq_notify",               Some(244),  Some(275)),
    call("mq_open",                 Some(240),  Some(271)),
    call("mq_timedreceive",         Some(243),  Some(274)),
    call("mq_timedsend",            Some(242),  Some(273)),
    call("mq_unlink",               Some(241),  Some(272)),
    call("mremap",                  Some(25),   Some(163)),
    call("mseal",                   Some(462),  Some(462)),
    call("msgctl",                  Some(71),   Some(402)),
    call("msgget",                  Some(68),   Some(399)),
    call("msgrcv",                  Some(70),   Some(401)),
    call("msgsnd",                  Some(69),   Some(400)),
    call("msync",                   Some(26),   Some(144)),
    call("munlock",                 Some(150),  Some(151)),
    call("munlockall",              Some(152),  Some(153)),
    call("munmap",                  Some(11),   Some(91)),
    call("name_to_handle_at",       Some(303),  Some(335)),
    call("nanosleep",               Some(35),   Some(162)),
    call("newfstatat",              Some(262),  Some(293)),
    call("nfsservctl",              Some(180),  Some(169)),
    call("nice",                    None, Some(34)),
    call("open",                    Some(2),    Some(5)),
    call("open_by_handle_at",       Some(304),  Some(336)),
    call("open_tree",               Some(428),  Some(428)),
    call("open_tree_attr",          Some(467),  Some(467)),
    call("openat",                  Some(257),  Some(288)),
    call("openat2",                 Some(437),  Some(437)),
    call("pause",                   Some(34),   Some(29)),
    call("perf_event_open",         Some(298),  Some(331)),
    call("personality",             Some(135),  Some(136)),
    call("pidfd_getfd",             Some(438),  Some(438)),
    call("pidfd_open",              Some(434),  Some(434)),
    call("pidfd_send_signal",       Some(424),  Some(424)),
    call("pipe",                    Some(22),   Some(42)),
    call("pipe2",                   Some(293),  Some(325)),
    call("pivot_root",              Some(155),  Some(217)),
    call("pkey_alloc",              Some(330),  Some(385)),
    call("pkey_free",               Some(331),  Some(386)),
    call("pkey_mprotect",           Some(329),  Some(384)),
    call("poll",                    Some(7),    Some(168)),
    call("ppoll",                   Some(271),  Some(302)),
    call("prctl",                   Some(157),  Some(172)),
    call("pread64",                 Some(17),   Some(180)),
    call("preadv",                  Some(295),  Some(328)),
    call("preadv2",                 Some(327),  Some(376)),
    call("prlimit64",               Some(302),  Some(334)),
    call("process_madvise",         Some(440),  Some(440)),
    call("process_mrelease",        Some(448),  Some(448)),
    call("process_vm_readv",        Some(310),  Some(340)),
    call("process_vm_writev",       Some(311),  Some(341)),
    call("pselect6",                Some(270),  Some(301)),
    call("ptrace",                  Some(101),  Some(26)),
    call("putpmsg",                 Some(182),  Some(189)),
    call("pwrite64",                Some(18),   Some(181)),
    call("pwritev",                 Some(296),  Some(329)),
    call("pwritev2",                Some(328),  Some(377)),
    call("query_module",            Some(178),  Some(167)),
    call("quotactl",                Some(179),  Some(131)),
    call("quotactl_fd",             Some(443),  Some(443)),
    call("read",                    Some(0),    Some(3)),
    call("readahead",               Some(187),  Some(222)),
    call("readdir",                 None, Some(89)),
    call("readlink",                Some(89),   Some(85)),
    call("readlinkat",              Some(267),  Some(298)),
    call("readv",                   Some(19),   Some(145)),
    call("reboot",                  Some(169),  Some(88)),
    call("recvfrom",                Some(45),   Some(371)),
    call("recvmmsg",                Some(299),  Some(357)),
    call("recvmsg",                 Some(47),   Some(372)),
    call("remap_file_pages",        Some(216),  Some(267)),
    call("removexattr",             Some(197),  Some(233)),
    call("removexattrat",           Some(466),  Some(466)),
    call("rename",                  Some(82),   Some(38)),
    call("renameat",                Some(264),  Some(295)),
    call("renameat2",               Some(316),  Some(347)),
    call("request_key",             Some(249),  Some(279)),
    call("restart_syscall",         Some(219),  Some(7)),
    call("rmdir",                   Some(84),   Some(40)),
    call("rseq",                    Some(334),  Some(383)),
    call("rt_sigaction",            Some(13),   Some(174)),
    call("rt_sigpending",           Some(127),  Some(176)),
    call("rt_sigprocmask",          Some(14),   Some(175)),
    call("rt_sigqueueinfo",         Some(129),  Some(178)),
    call("rt_sigreturn",            Some(15),   Some(173)),
    call("rt_sigsuspend",           Some(130),  Some(179)),
    call("rt_sigtimedwait",         Some(128),  Some(177)),
    call("rt_tgsigqueueinfo",       Some(297),  Some(330)),
    call("s390_guarded_storage",    None, Some(378)),
    call("s390_pci_mmio_read",      None, Some(353)),
    call("s390_pci_mmio_write",     None, Some(352)),
    call("s390_runtime_instr",      None, Some(342)),
    call("s390_sthyi",              None, Some(380)),
    call("sched_get_priority_max",  Some(146),  Some(159)),
    call("sched_get_priority_min",  Some(147),  Some(160)),
    call("sched_getaffinity",       Some(204),  Some(240)),
    call("sched_getattr",           Some(315),  Some(346)),
    call("sched_getparam",          Some(143),  Some(155)),
    call("sched_getscheduler",      Some(145),  Some(157)),
    call("sched_rr_get_interval",   Some(148),  Some(161)),
    call("sched_setaffinity",       Some(203),  Some(239)),
    call("sched_setattr",           Some(314),  Some(345)),
    call("sched_setparam",          Some(142),  Some(154)),
    call("sched_setscheduler",      Some(144),  Some(156)),
    call("sched_yield",             Some(24),   Some(158)),
    call("seccomp",                 Some(317),  Some(348)),
    call("security",                Some(185),  None),
    call("select",                  Some(23),   Some(142)),
    call("semctl",                  Some(66),   Some(394)),
    call("semget",                  Some(64),   Some(393)),
    call("semop",                   Some(65),   None),
    call("semtimedop",              Some(220),  Some(392)),
    call("sendfile",                Some(40),   Some(187)),
    call("sendmmsg",                Some(307),  Some(358)),
    call("sendmsg",                 Some(46),   Some(370)),
    call("sendto",                  Some(44),   Some(369)),
    call("set_mempolicy",           Some(238),  Some(270)),
    call("set_mempolicy_home_node", Some(450),  Some(450)),
    call("set_robust_list",         Some(273),  Some(304)),
    call("set_thread_area",         Some(205),  None),
    call("set_tid_address",         Some(218),  Some(252)),
    call("setdomainname",           Some(171),  Some(121)),
    call("setfsgid",                Some(123),  Some(216)),
    call("setfsuid",                Some(122),  Some(215)),
    call("setgid",                  Some(106),  Some(214)),
    call("setgroups",               Some(116),  Some(206)),
    call("sethostname",             Some(170),  Some(74)),
    call("setitimer",               Some(38),   Some(104)),
    call("setns",                   Some(308),  Some(339)),
    call("setpgid",                 Some(109),  Some(57)),
    call("setpriority",             Some(141),  Some(97)),
    call("setregid",                Some(114),  Some(204)),
    call("setresgid",               Some(119),  Some(210)),
    call("setresuid",               Some(117),  Some(208)),
    call("setreuid",                Some(113),  Some(203)),
    call("setrlimit",               Some(160),  Some(75)),
    call("setsid",                  Some(112),  Some(66)),
    call("setsockopt",              Some(54),   Some(366)),
    call("settimeofday",            Some(164),  Some(79)),
    call("setuid",                  Some(105),  Some(213)),
    call("setxattr",                Some(188),  Some(224)),
    call("setxattrat",              Some(463),  Some(463)),
    call("shmat",                   Some(30),   Some(397)),
    call("shmctl",                  Some(31),   Some(396)),
    call("shmdt",                   Some(67),   Some(398)),
    call("shmget",                  Some(29),   Some(395)),
    call("shutdown",                Some(48),   Some(373)),
    call("sigaction",               None, Some(67)),
    call("sigaltstack",             Some(131),  Some(186)),
    call("signal",                  None, Some(48)),
    call("signalfd",                Some(282),  Some(316)),
    call("signalfd4",               Some(289),  Some(322)),
    call("sigpending",              None, Some(73)),
    call("sigprocmask",             None, Some(126)),
    call("sigreturn",               None, Some(119)),
    call("sigsuspend",              None, Some(72)),
    call("socket",                  Some(41),   Some(359)),
    call("socketcall",              None, Some(102)),
    call("socketpair",              Some(53),   Some(360)),
    call("splice",                  Some(275),  Some(306)),
    call("stat",                    Some(4),    Some(106)),
    call("statfs",                  Some(137),  Some(99)),
    call("statfs64",                None, Some(265)),
    call("statmount",               Some(457),  Some(457)),
    call("statx",                   Some(332),  Some(379)),
    call("swapoff",                 Some(168),  Some(115)),
    call("swapon",                  Some(167),  Some(87)),
    call("symlink",                 Some(88),   Some(83)),
    call("symlinkat",               Some(266),  Some(297)),
    call("sync",                    Some(162),  Some(36)),
    call("sync_file_range",         Some(277),  Some(307)),
    call("syncfs",                  Some(306),  Some(338)),
    call("sysfs",                   Some(139),  Some(135)),
    call("sysinfo",                 Some(99),   Some(116)),
    call("syslog",                  Some(103),  Some(103)),
    call("tee",                     Some(276),  Some(308)),
    call("tgkill",                  Some(234),  Some(241)),
    call("time",                    Some(201),  None),
    call("timer_create",            Some(222),  Some(254)),
    call("timer_delete",            Some(226),  Some(258)),
    call("timer_getoverrun",        Some(225),  Some(257)),
    call("timer_gettime",           Some(224),  Some(256)),
    call("timer_settime",           Some(223),  Some(255)),
    call("timerfd",                 None, Some(317)),
    call("timerfd_create",          Some(283),  Some(319)),
    call("timerfd_gettime",         Some(287),  Some(321)),
    call("timerfd_settime",         Some(286),  Some(320)),
    call("times",                   Some(100),  Some(43)),
    call("tkill",                   Some(200),  Some(237)),
    call("truncate",                Some(76),   Some(92)),
    call("tuxcall",                 Some(184),  None),
    call("umask",                   Some(95),   Some(60)),
    call("umount",                  None, Some(22)),
    call("umount2",                 Some(166),  Some(52)),
    call("uname",                   Some(63),   Some(122)),
    call("unlink",                  Some(87),   Some(10)),
    call("unlinkat",                Some(263),  Some(294)),
    call("unshare",                 Some(272),  Some(303)),
    call("uprobe",                  Some(336),  None),
    call("uretprobe",               Some(335),  None),
    call("uselib",                  Some(134),  Some(86)),
    call("userfaultfd",             Some(323),  Some(355)),
    call("ustat",                   Some(136),  Some(62)),
    call("utime",                   Some(132),  Some(30)),
    call("utimensat",               Some(280),  Some(315)),
    call("utimes",                  Some(235),  Some(313)),
    call("vfork",                   Some(58),   Some(190)),
    call("vhangup",                 Some(153),  Some(111)),
    call("vmsplice",                Some(278),  Some(309)),
    call("vserver",                 Some(236),  None),
    call("wait4",                   Some(61),   Some(114)),
    call("waitid",                  Some(247),  Some(281)),
    call("write",                   Some(1),    Some(4)),
    call("writev",                  Some(20),   Some(146)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_in_order_and_none_is_there_twice() {
        assert!(CALLS.is_sorted_by(|a, b| a.name < b.name));
        for machine in [Machine::X86_64, Machine::S390x] {
            let mut numbers: Vec<u32> = CALLS.iter().filter_map(|call| call.number(machine)).collect();
            numbers.sort_unstable();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{machine:?}");
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_c_library() {
        let ours = |name| Call::named(name).and_then(|call| call.number(Machine::OURS?)).map(i64::from);
        for (name, number) in [
            ("clone", libc::SYS_clone),
            ("epoll_pwait", libc::SYS_epoll_pwait),
            ("execve", libc::SYS_execve),
            ("futex", libc::SYS_futex),
            ("ioctl", libc::SYS_ioctl),
            ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
            ("mmap", libc::SYS_mmap),
            ("openat", libc::SYS_openat),
            ("rt_sigreturn", libc::SYS_rt_sigreturn),
            ("seccomp", libc::SYS_seccomp),
            ("socket", libc::SYS_socket),
            ("statx", libc::SYS_statx),
        ] {
            assert_eq!(ours(name), Some(number), "{name}");
            assert_eq!(NAMES[usize::try_from(number).expect("small")], name);
        }
    }

    // The crate does not build for s390x with a stable compiler, but knows its numbers.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_numbers_are_those_of_a_list_that_is_not_ours() {
        for call in &CALLS {
            let theirs =
                call.name.parse().ok().map(|found: syscalls::x86_64::Sysno| found.id().cast_unsigned());
            assert_eq!(call.x86_64, theirs, "{}", call.name);
            let theirs =
                call.name.parse().ok().map(|found: syscalls::s390x::Sysno| found.id().cast_unsigned());
            assert_eq!(call.s390x, theirs, "{}", call.name);
        }
        assert!(syscalls::x86_64::Sysno::iter().all(|theirs| Call::named(theirs.name()).is_some()));
        assert!(syscalls::s390x::Sysno::iter().all(|theirs| Call::named(theirs.name()).is_some()));
    }
}
