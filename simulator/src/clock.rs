//! The host's clock. It moves only when told, so nothing that waits on the host ever sleeps, unless somebody keeps
//! real time for it.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Time since the host was started, in nanoseconds. Clones share it.
///
/// Whoever waits in the host (a driver for the reset of a queue) moves the clock forward instead of waiting, unless
/// somebody keeps real time ([`SimHost::keep_time`](crate::SimHost::keep_time)): then it sleeps. Each
/// AP instruction moves it by [`Adapters::INSTRUCTION`](crate::Adapters::INSTRUCTION), so a guest that polls for
/// the end of a reset gets there.
///
/// A host that keeps real time is never behind it, and ahead of it by what was waited for in the host.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    now: AtomicU64,
    /// How often something was planned for a time to come.
    plans: Mutex<u64>,
    planned: Condvar,
    real: Mutex<Real>,
}

/// How the clock follows real time.
#[derive(Debug, Default)]
struct Real {
    /// How many see to it that it does.
    keepers: usize,
    /// Up to when it has.
    followed: Option<Instant>,
}

impl Clock {
    /// Nanoseconds since the host was started.
    pub fn now(&self) -> u64 {
        self.follow();
        self.0.now.load(Ordering::Acquire)
    }

    /// Moves the clock forward; the answer is the new time in nanoseconds. It stops at the end of u64.
    pub fn advance(&self, by: Duration) -> u64 {
        self.follow();
        self.add(by)
    }

    /// Adds the real time that has passed since the clock was looked at last, if somebody keeps that.
    fn follow(&self) {
        if let Some(by) = self.passed() {
            self.add(by);
        }
    }

    fn add(&self, by: Duration) -> u64 {
        let by = nanoseconds(by);
        let forward = |now: u64| Some(now.saturating_add(by));
        // The update never refuses, so both arms hold the time before.
        let before = self
            .0
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, forward)
            .unwrap_or_else(|before| before);
        before.saturating_add(by)
    }

    /// Moves the clock to `time`, unless it is there or beyond; the answer is the time that it then shows.
    pub(crate) fn advance_to(&self, time: u64) -> u64 {
        self.follow();
        self.0.now.fetch_max(time, Ordering::AcqRel).max(time)
    }

    /// When the clock will show `by` more than now.
    pub(crate) fn after(&self, by: Duration) -> u64 {
        self.now().saturating_add(nanoseconds(by))
    }

    fn real(&self) -> MutexGuard<'_, Real> {
        self.0.real.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on somebody keeps real time.
    pub(crate) fn keep(&self) {
        let mut real = self.real();
        real.keepers += 1;
        real.followed.get_or_insert_with(Instant::now);
    }

    /// Somebody keeps real time no more.
    pub(crate) fn unkeep(&self) {
        let mut real = self.real();
        real.keepers = real.keepers.saturating_sub(1);
        if real.keepers == 0 {
            real.followed = None;
        }
    }

    /// How much real time has passed since somebody asked last, who has moved the clock by that; `None` when nobody
    /// keeps it.
    pub(crate) fn passed(&self) -> Option<Duration> {
        let followed = &mut self.real().followed;
        let before = (*followed)?;
        let now = Instant::now();
        *followed = Some(now);
        Some(now - before)
    }

    /// A driver of the host waits: in real time when somebody keeps that, else by moving the clock.
    pub(crate) fn wait(&self, time: Duration) {
        let kept = self.real().followed.is_some();
        if kept {
            self.sleep(time);
        } else {
            self.advance(time);
        }
    }

    /// Waits in real time; the clock moves as far.
    pub(crate) fn sleep(&self, time: Duration) {
        thread::sleep(time);
        self.advance(self.passed().unwrap_or(time));
    }

    /// How often something was planned: to be handed to [`Clock::wait_for_plan`].
    pub(crate) fn plans(&self) -> u64 {
        *self.0.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is going to be due that was not before.
    pub(crate) fn plan(&self) {
        let mut plans = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        *plans = plans.wrapping_add(1);
        self.0.planned.notify_all();
    }

    /// Sleeps, in real time, until something was planned since [`Clock::plans`] gave `plans`, or for `at_most`.
    /// Whether something was.
    pub(crate) fn wait_for_plan(&self, plans: u64, at_most: Duration) -> bool {
        let lock = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.planned.wait_timeout_while(lock, at_most, |now| *now == plans);
        let (now, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *now != plans
    }
}

/// Beyond 584 years the clock stands still.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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

    #[test]
    fn the_clock_never_goes_back() {
        let clock = Clock::default();
        assert_eq!(clock.advance_to(5), 5);
        assert_eq!(clock.advance_to(3), 5);
        assert_eq!(clock.now(), 5);
        assert_eq!(clock.after(Duration::from_nanos(2)), 7);
    }

    #[test]
    fn a_sleeper_is_woken_by_a_plan_and_not_by_one_that_it_has_seen() {
        let clock = Clock::default();
        clock.plan();
        let seen = clock.plans();
        assert!(!clock.wait_for_plan(seen, Duration::ZERO));
        let planner = std::thread::spawn({
            let clock = clock.clone();
            move || clock.plan()
        });
        assert!(clock.wait_for_plan(seen, Duration::MAX));
        planner.join().expect("it only plans");
    }
}
