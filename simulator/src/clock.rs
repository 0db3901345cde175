//! The host's clock. It moves only when told, so nothing that waits on the host ever sleeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Time since the host was started, in nanoseconds. Clones share it.
///
/// Whoever waits in the host (a driver for the reset of a queue) moves the clock forward instead of waiting. Each
/// AP instruction moves it by [`Adapters::INSTRUCTION`](crate::Adapters::INSTRUCTION), so a guest that polls for
/// the end of a reset gets there.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// Nanoseconds since the host was started.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves the clock forward; the answer is the new time in nanoseconds. It stops at the end of u64.
    pub fn advance(&self, by: Duration) -> u64 {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let forward = |now: u64| Some(now.saturating_add(by));
        // The update never refuses, so both arms hold the time before.
        let before =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, forward).unwrap_or_else(|before| before);
        before.saturating_add(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_told_and_clones_share_it() {
        let clock = Clock::default();
        let clone = clock.clone();
        assert_eq!(clock.now(), 0);
        assert_eq!(clone.advance(Duration::from_micros(3)), 3_000);
        assert_eq!(clock.now(), 3_000);
        assert_eq!(clock.advance(Duration::MAX), u64::MAX);
    }
}
