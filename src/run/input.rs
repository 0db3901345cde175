//! What is typed at the guest's console.

use super::{End, Loop};
use crate::{chain::chain, console::input::Wish, outcome::Outcome, signals::Ending};
use adjunct_devices::sclp::InputTaken;

impl Loop<'_> {
    /// Passes on what was typed.
    pub(super) fn serve_input(&mut self) {
        let Some(input) = &mut self.input else { return };
        let shared = &self.shared;
        let wish = input.serve(|typed| {
            // While a vCPU is at the SCLP input can wait: it says when it is done.
            let Ok(mut sclp) = shared.sclp.try_lock() else { return 0 };
            let InputTaken { taken, signal } = sclp.push_input(typed);
            if let Some(signal) = signal
                && let Err(refused) = shared.inject(signal.into())
            {
                tracing::warn!("console input is lost: {}", chain(&refused));
            }
            taken
        });
        if wish == Some(Wish::End) {
            match self.watch.signals {
                // A console that waits for its reader hears of it too.
                Some(signals) => signals.ask(),
                None => self.end.note(End::By(Outcome::Signal(Ending::Asked))),
            }
        }
    }
}
