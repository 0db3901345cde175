//! The TOD clock of a guest: the host's clock plus an epoch of the guest's own.

use crate::Clock;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The TOD clock when the simulated host is started: the beginning of 2026 in UTC. A fixed one, so that a run can
/// be repeated to the bit. 126 years since 1900 with 31 leap days, in units of 2^-12 microseconds.
const HOST_START: u64 = (126 * 365 + 31) * 86_400 * 1_000_000 * 4096;

/// How far one instruction moves the host's clock.
const INSTRUCTION: Duration = Duration::from_nanos(4);
/// How far an instruction that the kernel or user space handles moves it.
const EXIT: Duration = Duration::from_micros(1);

/// The time of the host that a VM is on, and who moves it.
///
/// On a host in this process guests move it: instructions take their time, and a wait of all is a jump. On a host that
/// other processes use too it passes by itself, and a guest that waits waits.
#[derive(Clone, Debug)]
pub(crate) struct HostTime {
    clock: Clock,
    /// Where time passes by itself: since when, and the host's time then.
    real: Option<(Instant, u64)>,
}

impl HostTime {
    /// Time that guests move.
    pub(crate) fn of_guests(clock: Clock) -> Self {
        Self { clock, real: None }
    }

    /// Time that passes by itself, from `now` on.
    pub(crate) fn real(now: u64) -> Self {
        Self { clock: Clock::default(), real: Some((Instant::now(), now)) }
    }

    /// Nanoseconds since the host was started.
    pub(super) fn now(&self) -> u64 {
        match self.real {
            None => self.clock.now(),
            Some((start, at)) => {
                let passed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.clock.advance_to(at.saturating_add(passed))
            }
        }
    }

    /// Whether it passes by itself.
    pub(super) fn passes(&self) -> bool {
        self.real.is_some()
    }

    /// Something took so long, where that moves the time.
    fn spend(&self, time: Duration) {
        if !self.passes() {
            self.clock.advance(time);
        }
    }

    /// The time, which nobody else sees.
    fn look(&self) -> u64 {
        self.now();
        self.clock.advance(Duration::from_nanos(1))
    }
}

/// The guest's TOD clock. It moves with the instructions that vCPUs execute, with AP instructions, and when all
/// vCPUs wait; never by itself.
#[derive(Debug)]
pub(super) struct GuestClock {
    host: HostTime,
    /// What is added to the host's time, modulo 2^64.
    epoch: AtomicU64,
}

/// TOD units in so many nanoseconds: 4.096 in each.
fn units(nanoseconds: u64) -> u64 {
    let units = u128::from(nanoseconds) * 512 / 125;
    // Beyond 142 years of simulated time the clock stands still.
    u64::try_from(units).unwrap_or(u64::MAX)
}

/// Nanoseconds in so many TOD units, rounded up: after them at least so many units have gone by.
fn nanoseconds(units: u64) -> u64 {
    u64::try_from((u128::from(units) * 125).div_ceil(512)).unwrap_or(u64::MAX)
}

impl GuestClock {
    pub(super) fn new(host: HostTime) -> Self {
        Self { host, epoch: AtomicU64::new(HOST_START) }
    }

    /// The TOD clock. Every look moves it by a nanosecond: no two looks see the same time.
    pub(super) fn tod(&self) -> u64 {
        let now = self.host.look();
        self.epoch.load(Ordering::Acquire).wrapping_add(units(now))
    }

    /// SET CLOCK, for all vCPUs of the VM (`arch/s390/kvm/priv.c: handle_set_clock`).
    pub(super) fn set_tod(&self, tod: u64) {
        self.epoch.store(tod.wrapping_sub(units(self.host.now())), Ordering::Release);
    }

    /// The host's time, in nanoseconds since it was started.
    pub(super) fn now(&self) -> u64 {
        self.host.now()
    }

    /// When so many TOD units have gone by, in nanoseconds of the host's clock.
    pub(super) fn after(&self, units: u64) -> u64 {
        self.host.now().saturating_add(nanoseconds(units))
    }

    /// So many instructions were executed.
    pub(super) fn executed(&self, instructions: u32) {
        self.host.spend(INSTRUCTION * instructions);
    }

    /// The guest has left SIE for the host to do something.
    pub(super) fn left(&self) {
        self.host.spend(EXIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_microsecond_is_4096_units_and_a_look_is_a_nanosecond() {
        let host = Clock::default();
        let clock = GuestClock::new(HostTime::of_guests(host.clone()));
        host.advance(Duration::from_nanos(999));
        assert_eq!(clock.tod(), HOST_START + 4096);
        assert!(clock.tod() > HOST_START + 4096);
    }

    #[test]
    fn a_clock_that_was_set_goes_on_from_there() {
        let host = Clock::default();
        let clock = GuestClock::new(HostTime::of_guests(host.clone()));
        host.advance(Duration::from_secs(1));
        clock.set_tod(0x1000);
        host.advance(Duration::from_nanos(124));
        assert_eq!(clock.tod(), 0x1000 + 512);
    }

    #[test]
    fn time_that_passes_by_itself_never_stands_or_goes_back_and_is_not_moved_by_instructions() {
        let clock = GuestClock::new(HostTime::real(1_000_000_000));
        let first = clock.tod();
        assert!(first >= HOST_START + units(1_000_000_000));
        clock.executed(u32::MAX);
        clock.left();
        let second = clock.tod();
        assert!(second > first && second - first < units(60_000_000_000), "{second} {first}");
    }

    #[test]
    fn after_a_wait_the_units_have_gone_by() {
        let host = Clock::default();
        let clock = GuestClock::new(HostTime::of_guests(host.clone()));
        for wait in [0, 1, 5, 4096, 12_345_678_901] {
            let before = units(host.now());
            host.advance(Duration::from_nanos(clock.after(wait) - host.now()));
            assert!(units(host.now()) - before >= wait, "{wait}");
        }
    }
}
