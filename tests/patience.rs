//! How long tests wait for what has to come: one that would wait for ever fails instead.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than any program lives that a test starts, in the lab too.
pub(crate) const LIFETIME: Duration = PATIENCE.saturating_mul(5);

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it is not so after {PATIENCE:?}");
        thread::yield_now();
    }
}
