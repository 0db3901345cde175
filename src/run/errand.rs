//! Work that may take long, done by a thread that has what it works on meanwhile.

use super::{End, Loop, Managed, vcpu::Why};
use crate::{
    outcome::Outcome,
    wait::{Flag, until_readable},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::mpsc::{self, Receiver, Sender, TryRecvError},
    thread::{self, JoinHandle},
};

/// Work under way. Dropped, it goes on, and what it works on goes with its end.
#[derive(Debug)]
struct Errand<T, R> {
    give: Sender<T>,
    result: Receiver<R>,
    done: Flag,
    thread: JoinHandle<()>,
}

/// The work has panicked, and what it worked on went with it.
#[derive(Debug, PartialEq, Eq)]
struct Lost;

/// Says that the work is done, well or not.
struct Tell(Flag);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.raise();
    }
}

impl<T: Send + 'static, R: Send + 'static> Errand<T, R> {
    /// A thread that waits for something to do `work` on.
    ///
    /// # Errors
    /// There is no thread or eventfd to be had.
    fn prepare(name: &str, work: fn(T) -> R) -> io::Result<Self> {
        let done = Flag::new()?;
        let ((give, take), (answer, result)) = (mpsc::channel(), mpsc::channel());
        let tell = Tell(done.clone());
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped from right to left, also in a panic: who is told finds the answer, or that there will be none.
            let (_tell, answer) = (tell, answer);
            let Ok(on) = take.recv() else { return };
            // Nobody may wait for it any more: then it is dropped here.
            let _ = answer.send(work(on));
        })?;
        Ok(Self { give, result, done, thread })
    }

    /// Lets the work begin.
    fn start(&self, on: T) {
        // The thread waits for nothing else.
        let _ = self.give.send(on);
    }

    /// What came of it, once it is done.
    fn result(&self) -> Option<Result<R, Lost>> {
        match self.result.try_recv() {
            Ok(result) => Some(Ok(result)),
            Err(TryRecvError::Disconnected) => Some(Err(Lost)),
            Err(TryRecvError::Empty) => None,
        }
    }
}

/// Readable when the work is done.
impl<T, R> AsFd for Errand<T, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }
}

impl Loop<'_> {
    /// Has a thread called `name` do `work` on the AP device. The host may take its time, and neither the guest nor who wants
    /// to end it or to know of it must wait for that; resets and other orders do. `None`: the guest ends, and the thread
    /// keeps what it has.
    pub(super) fn send_on_errand<T, R>(&mut self, name: &str, on: T, work: fn(T) -> R) -> Option<R>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        let errand = match Errand::prepare(name, work) {
            Ok(errand) => errand,
            Err(error) => {
                tracing::debug!(%error, "no thread");
                return Some(work(on));
            }
        };
        errand.start(on);
        let result = self.wait_for(&errand);
        self.seats.look_again();
        if let Some(Managed { mailbox, .. }) = self.watch.managed {
            mailbox.look_again();
        }
        let Some(result) = result else {
            tracing::warn!("the host is not done with the guest's AP queues yet: it goes on with that alone");
            return None;
        };
        // It has nothing more to do. What it panics with it has said itself.
        let _ = errand.thread.join();
        if result.is_err() {
            self.end.note(End::By(Outcome::Fault("its thread for the vfio-ap device has broken off")));
        }
        result.ok()
    }

    fn wait_for<T, R>(&mut self, errand: &Errand<T, R>) -> Option<Result<R, Lost>>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        while !self.is_ending() {
            if let Some(result) = errand.result() {
                return Some(result);
            }
            self.wait_until_readable(errand.as_fd());
        }
        None
    }

    /// Waits until `done` is readable; serves meanwhile the guest, what ends it, and who only asks.
    fn wait_until_readable(&mut self, done: BorrowedFd<'_>) {
        let mailbox = self.watch.managed.map(|managed| managed.mailbox);
        let files = [
            Some(done),
            mailbox.map(|mailbox| mailbox.ends().as_fd()),
            Some(self.seats.ready().as_fd()),
            mailbox.map(AsFd::as_fd),
            self.watch.signals.map(AsFd::as_fd),
            self.input.as_ref().map(AsFd::as_fd),
        ];
        // Whoever asks is served when we are back in the loop.
        let [_, is_asked, ..] = until_readable(files).unwrap_or_default();
        if is_asked {
            self.end.note(End::Asked);
        }
        self.answer_question();
        // A reset is another such work.
        self.serve_reports_of(|why| !matches!(why, Why::Reset(_)));
        self.serve_input();
        self.look_at_signals();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `work`; it is there as soon as the errand is readable.
    fn result_of(work: fn(u8) -> u8) -> Option<Result<u8, Lost>> {
        let errand = Errand::prepare("errand", work).expect("a thread");
        assert_eq!(errand.result(), None);
        errand.start(1);
        until_readable([errand.as_fd()]).expect("pollable");
        errand.result()
    }

    #[test]
    fn work_that_is_done_and_work_that_panics_are_both_told() {
        assert_eq!(result_of(|one| one + 1), Some(Ok(2)));
        assert_eq!(result_of(|_| panic!("as planned")), Some(Err(Lost)));
    }
}
