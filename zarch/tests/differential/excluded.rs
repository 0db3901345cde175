//! Unprivileged instructions that are not compared with QEMU, and why.

/// Mnemonic and reason.
pub(crate) const EXCLUDED: &[(&str, &str)] = &[
    ("SVC", "qemu-user executes the Linux system call; the C programs use it"),
    ("MC", "QEMU's TCG has no monitor event"),
    ("STCK", "the time of day differs"),
    ("STCKE", "the time of day differs"),
    ("STCKF", "the time of day differs"),
    ("STFLE", "the facilities of QEMU's CPU model are not those offered here"),
    ("EPSW", "shows PSW bits that a Linux process has on: DAT, I/O, external"),
];
