//! Unprivileged instructions that are not compared with QEMU, and why.

const TIME: &str = "the time differs";
/// These have examples instead, see `examples.rs`.
pub(crate) const NOT_IN_QEMU: &str = "QEMU 7.2's TCG does not have it";

/// Mnemonic and reason.
pub(crate) const EXCLUDED: &[(&str, &str)] = &[
    ("SVC", "qemu-user executes the Linux system call; the C programs use it"),
    ("STCK", TIME),
    ("STCKE", TIME),
    ("STCKF", TIME),
    ("ECTG", TIME),
    ("STFLE", "the facilities of QEMU's CPU model are not those offered here"),
    ("EPSW", "shows PSW bits that a Linux process has on: translation, I/O, external"),
    ("ECAG", "the caches differ"),
    ("MVPG", "moves 4 KiB; a program here has 1 KiB"),
    ("CSST", "qemu-user 7.2 dies of an assertion when the comparison is equal"),
    ("STMH", "QEMU 7.2 stores zeros"),
    ("AP", NOT_IN_QEMU),
    ("BASSM", NOT_IN_QEMU),
    ("BSM", NOT_IN_QEMU),
    ("CP", NOT_IN_QEMU),
    ("CPYA", NOT_IN_QEMU),
    ("CUSE", NOT_IN_QEMU),
    ("CVB", NOT_IN_QEMU),
    ("CVBG", NOT_IN_QEMU),
    ("CVBY", NOT_IN_QEMU),
    ("CVDG", NOT_IN_QEMU),
    ("DP", NOT_IN_QEMU),
    ("ED", NOT_IN_QEMU),
    ("EDMK", NOT_IN_QEMU),
    ("LMD", NOT_IN_QEMU),
    ("MP", NOT_IN_QEMU),
    ("SP", NOT_IN_QEMU),
    ("SRP", NOT_IN_QEMU),
    ("TRTE", NOT_IN_QEMU),
    ("TRTRE", NOT_IN_QEMU),
    ("ZAP", NOT_IN_QEMU),
];

/// Semiprivileged instructions that the control registers of a Linux process, or qemu-user, refuse altogether: compared
/// once each, with the privileged ones, as they would end every random program.
pub(crate) const REFUSED: &[&str] = &[
    "BAKR", "EPAR", "EREG", "EREGG", "ESAR", "ESTA", "IAC", "IPK", "IVSK", "MSTA", "MVCDK", "MVCK", "MVCOS",
    "MVCP", "MVCS", "MVCSK", "PC", "PR", "PT", "SAC", "SACF", "SPKA", "SSAR",
];
