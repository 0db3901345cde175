//! Getting a vCPU out of `KVM_RUN` from another thread, so that no kick is lost.
//!
//! A kick sets `kvm_run.immediate_exit`, then signals the thread that is in `KVM_RUN`, if one is; a thread says so before it
//! enters. So either the kick finds the thread, and the signal ends `KVM_RUN` with EINTR; or the thread comes later, and
//! `KVM_RUN` sees `immediate_exit`, which stays set until the vCPU has said that it was kicked. A signal that comes late hits
//! a handler that does nothing; if the thread is in `KVM_RUN` again by then, that is one interruption more than there were
//! kicks.
//!
//! The signal is SIGRTMIN, as with other users of the rust-vmm crates. Its handler is installed when the first vCPU is made, without
//! SA_RESTART, and each thread that runs a vCPU unblocks it.
// UNSAFETY: immediate_exit is written while the kernel reads it, in memory that the kernel maps; a signal is sent to a
// thread by its number.
#![expect(unsafe_code, reason = "a byte that is shared with the kernel, and signals to threads")]

use crate::{Errno, Kick};
use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuFd;
use std::{
    ffi::{c_int, c_void},
    mem::offset_of,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    sync::{
        OnceLock, Weak,
        atomic::{AtomicI32, AtomicU8, Ordering, fence},
    },
};
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler, unblock_signal};

/// No thread: no thread has this number.
const NOBODY: i32 = 0;

/// Size of a page, which is where `immediate_exit` is in.
const PAGE: usize = 4096;

/// The line to one vCPU, shared by the thread that runs it and those that kick it.
#[derive(Debug)]
pub(super) struct Line {
    /// The first page of the vCPU's kvm_run, mapped once more: kvm-ioctls has the other mapping to itself.
    page: NonNull<c_void>,
    /// The thread that is in `KVM_RUN` or about to be, or [`NOBODY`].
    thread: AtomicI32,
}

// SAFETY: the page stays mapped as long as the line lives, in all threads, and is accessed atomically.
unsafe impl Send for Line {}
// SAFETY: as for Send.
unsafe impl Sync for Line {}

impl Line {
    /// The line to the vCPU `vcpu`.
    ///
    /// # Errors
    /// Those of mmap; EINVAL if the C library has no real-time signal left.
    pub(super) fn open(vcpu: &VcpuFd) -> Result<Self, Errno> {
        static HANDLER: OnceLock<Result<(), Errno>> = OnceLock::new();
        (*HANDLER.get_or_init(|| register_signal_handler(SIGRTMIN(), ignore)))?;

        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let page =
            unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, libc::MAP_SHARED, vcpu.as_raw_fd(), 0) };
        match NonNull::new(page) {
            Some(page) if page.as_ptr() != libc::MAP_FAILED => {
                Ok(Self { page, thread: AtomicI32::new(NOBODY) })
            }
            _ => Err(Errno::last()),
        }
    }

    /// `kvm_run.immediate_exit`.
    fn immediate_exit(&self) -> &AtomicU8 {
        // SAFETY: kvm_run lies at the start of the page and is smaller (tested in `super::vcpu`), so the member is inside.
        let byte = unsafe { self.page.as_ptr().cast::<u8>().add(offset_of!(kvm_run, immediate_exit)) };
        // SAFETY: the byte is mapped as long as `self` lives. Through this mapping it is only ever accessed atomically; nobody
        // accesses it through the other one, but for the kernel, which reads it.
        unsafe { AtomicU8::from_ptr(byte) }
    }

    /// Calls `run`, which enters `KVM_RUN`, so that kicks reach it.
    pub(super) fn reachable<R>(&self, run: impl FnOnce() -> R) -> R {
        self.thread.store(THREAD.with(|thread| *thread), Ordering::SeqCst);
        // The kernel must not have read immediate_exit before a kicker can see the thread.
        fence(Ordering::SeqCst);
        let returned = run();
        self.thread.store(NOBODY, Ordering::Release);
        returned
    }

    /// Takes the kicks that have come so far as answered.
    pub(super) fn answer(&self) {
        self.immediate_exit().store(0, Ordering::Release);
    }

    fn kick(&self) {
        self.immediate_exit().store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let thread = self.thread.load(Ordering::SeqCst);
        if thread != NOBODY {
            signal(thread);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // SAFETY: this is what mmap mapped, and references into it live no longer than `self`.
        unsafe { libc::munmap(self.page.as_ptr(), PAGE) };
    }
}

thread_local! {
    /// The number of this thread, which from now on takes the signal.
    static THREAD: i32 = {
        // A thread inherits what is blocked from the one that made it. It can't be refused: the number is a signal's.
        let _ = unblock_signal(SIGRTMIN());
        // SAFETY: it has no arguments.
        unsafe { libc::gettid() }
    };
}

/// Sends the signal to `thread` of this process. If the thread has ended, it is in no `KVM_RUN`.
fn signal(thread: i32) {
    let process = std::process::id().cast_signed();
    // SAFETY: it takes numbers; the handler does nothing, whichever thread of ours has the number by now.
    unsafe { libc::tgkill(process, thread, SIGRTMIN()) };
}

/// That a signal was handled is all it is for.
extern "C" fn ignore(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {}

/// Kicks one vCPU. It keeps neither the vCPU nor the VM alive.
#[derive(Debug)]
pub(super) struct Kicker(pub(super) Weak<Line>);

impl Kick for Kicker {
    fn kick(&self) {
        if let Some(line) = self.0.upgrade() {
            line.kick();
        }
    }
}
