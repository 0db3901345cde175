//! The devices against QEMU's: the same guest, the same answers. Needs `qemu-system-s390x`; no mainframe.

mod channel_io;
mod diagnose;
mod loader;
mod qemu;
mod sclp;
