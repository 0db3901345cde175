//! The terminal that adjunct was started at: raw while a guest has it, and as it was whatever ends us.
//!
//! A process has one standard input, so what that was before is kept in one place, from which also the thread that
//! takes signals can give it back.

use nix::{
    sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
    unistd::{getpgrp, tcgetpgrp},
};
use std::{
    io::{IsTerminal, stdin, stdout},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The terminal's modes before we took it; none: it is not ours.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal, as a guest has it: every key is the guest's, and nothing is echoed. Dropped, it is as it was.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Takes the terminal; none if standard input or output is something else, or if we are in the background.
    pub(crate) fn take() -> Option<Self> {
        if !stdin().is_terminal() || !stdout().is_terminal() || !is_in_foreground() {
            return None;
        }
        let modes = tcgetattr(stdin()).ok()?;
        // Who gives it back meanwhile, because a signal has come, waits until there is something to give back.
        let mut before = before();
        make_raw(&modes)?;
        *before = Some(modes);
        Some(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        give_back();
        *before() = None;
    }
}

/// Gives the terminal back if it is ours, for example because we are stopped; [`take_again`] takes it anew.
pub(crate) fn give_back() {
    // A terminal that is somebody else's now has their modes, and changing them would stop us.
    if let Some(modes) = before().as_ref().filter(|_| is_in_foreground()) {
        // At once: whoever does not read a terminal's output must not keep us. One that hung up needs nothing.
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, modes);
    }
}

/// Takes the terminal again that was ours, if we are in the foreground: a shell has changed its modes meanwhile.
pub(crate) fn take_again() {
    if let Some(modes) = before().as_ref().filter(|_| is_in_foreground()) {
        make_raw(modes);
    }
}

/// As QEMU has it (`chardev/char-stdio.c: qemu_chr_set_echo_stdio`): output is still processed, so that a line feed alone
/// begins a line, ours on standard error too.
fn make_raw(modes: &Termios) -> Option<()> {
    let mut raw = modes.clone();
    cfmakeraw(&mut raw);
    raw.output_flags |= OutputFlags::OPOST;
    tcsetattr(stdin(), SetArg::TCSANOW, &raw).ok()
}

/// Whether the terminal is ours to change. One that controls nobody has no foreground.
fn is_in_foreground() -> bool {
    tcgetpgrp(stdin()).map_or(true, |group| group == getpgrp())
}
