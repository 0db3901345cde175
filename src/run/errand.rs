//! Work that may take long, done by a thread that has what it works on meanwhile.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

/// Work under way. Dropped, it goes on, and what it works on goes with its end.
#[derive(Debug)]
pub(super) struct Errand<T, R> {
    give: Sender<T>,
    result: Receiver<(T, R)>,
    done: Arc<EventFd>,
}

impl<T: Send + 'static, R: Send + 'static> Errand<T, R> {
    /// A thread that waits for something to do `work` on.
    ///
    /// # Errors
    /// There is no thread or eventfd to be had.
    pub(super) fn prepare(name: &str, work: impl FnOnce(&T) -> R + Send + 'static) -> io::Result<Self> {
        let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let ((give, take), (answer, result)) = (mpsc::channel(), mpsc::channel());
        let tell = done.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let Ok(on) = take.recv() else { return };
            let worked = work(&on);
            // Nobody may wait for it any more: then it is dropped here.
            let _ = answer.send((on, worked));
            let _ = tell.write(1);
        })?;
        Ok(Self { give, result, done })
    }

    /// Lets the work begin.
    pub(super) fn start(&self, on: T) {
        // The thread waits for nothing else.
        let _ = self.give.send(on);
    }

    /// What came of it, once it is done.
    pub(super) fn result(&self) -> Option<(T, R)> {
        self.result.try_recv().ok()
    }
}

/// Readable when the work is done.
impl<T, R> AsFd for Errand<T, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }
}
