//! The signals that end a guest.
//!
//! A thread takes them, not the event loop: the loop may wait for a vCPU that waits for the reader of
//! its console, and a signal must end that wait too.

use adjunct_hypervisor::EventFd;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    iterator::{self, Handle},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    thread::{self, JoinHandle},
};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK};

/// Those signals.
const ENDING: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// Takes the signals for as long as it lives.
pub(super) struct Signals {
    came: Arc<Came>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// What signals do once this is set is what they do in a program that takes none.
    over: Arc<AtomicBool>,
}

struct Came {
    event: EventFd,
    number: AtomicI32,
}

impl Signals {
    /// Takes the signals from now on; each also ends the console's wait for its reader.
    pub(super) fn watch(stop_output: Option<Arc<EventFd>>) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        for signal in ENDING {
            flag::register_conditional_default(signal, over.clone())?;
        }
        let mut signals = iterator::Signals::new(ENDING)?;
        let came = Came { event: EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK)?, number: AtomicI32::new(0) };
        let came = Arc::new(came);
        let (handle, told) = (signals.handle(), came.clone());
        let take = move || {
            for number in signals.forever() {
                told.number.store(number, Ordering::Release);
                // Both have room for far more signals than a person sends.
                let _ = told.event.write(1);
                stop_output.iter().for_each(|stop| {
                    let _ = stop.write(1);
                });
            }
        };
        let thread = Some(thread::Builder::new().name("signals".to_owned()).spawn(take)?);
        Ok(Self { came, handle, thread, over })
    }

    /// Readable when a signal has come.
    pub(super) fn event(&self) -> &EventFd {
        &self.came.event
    }

    /// The number of the signal that came last.
    pub(super) fn number(&self) -> i32 {
        self.came.number.load(Ordering::Acquire)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic about.
            let _ = thread.join();
        }
        self.over.store(true, Ordering::Release);
    }
}
