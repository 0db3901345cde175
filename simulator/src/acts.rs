//! What was done to the simulated host, act by act, what it still holds for the doer, and what shall go wrong.
//!
//! An act is a request that changes something: an ioctl that makes, sets, opens or resets, or a
//! write to sysfs. Questions (reads of attributes, `GET_INFO`) are not acts, so a program that only
//! looks leaves the list empty. Any act can be told to fail or to be late, which is how error paths are tested.

mod errno;
mod fault;

pub use fault::{Fault, ParseFaultError, Which};

use crate::Clock;
use adjunct_hypervisor::KernelError;
use fault::{Effect, Strike};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many acts are kept: the last.
const KEPT: usize = 16 * 1024;

#[derive(Debug, Default)]
struct State {
    acts: VecDeque<String>,
    /// How many there ever were.
    count: usize,
    held: Vec<String>,
    faults: Vec<Fault>,
    /// Who waits at a gate: its name, and a number of its own.
    waiting: Vec<(String, u64)>,
    /// Counts those who ever waited.
    arrivals: u64,
}

impl State {
    fn note(&mut self, act: String) {
        self.count += 1;
        if self.acts.len() == KEPT {
            self.acts.pop_front();
        }
        self.acts.push_back(act);
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Somebody came to a gate, or a gate was opened.
    gates: Condvar,
    clock: Clock,
}

/// The list of acts of one simulated host. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Acts(Arc<Shared>);

impl Acts {
    /// An empty list; an act that is late moves this clock.
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, ..Shared::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `request` was put to `target`, once all faults for it have had their way: the doer calls this first,
    /// with no lock held that others need meanwhile.
    ///
    /// # Errors
    /// The errno that a [`Fault`] has for this act. A refused act is not noted.
    pub fn act(&self, request: &'static str, target: impl Into<String>) -> Result<(), KernelError> {
        self.begin(request, target.into(), |late| {
            self.0.clock.advance(late);
        })
    }

    /// [`Acts::act`] for whoever knows better how time passes.
    pub(crate) fn begin(
        &self,
        request: &'static str,
        target: String,
        wait: impl FnOnce(Duration),
    ) -> Result<(), KernelError> {
        self.begin_for(request, &target, wait).map_err(|errno| KernelError::new(request, target, errno))
    }

    /// The same for a request whose name comes from elsewhere; the error is the errno.
    pub(crate) fn begin_for(
        &self,
        request: &str,
        target: &str,
        wait: impl FnOnce(Duration),
    ) -> Result<(), i32> {
        self.suffer(request, target, true, wait).map_or(Ok(()), Err)?;
        self.state().note(format!("{request} {target}"));
        Ok(())
    }

    /// A question: it is not noted, but a fault that names it can refuse it or make it late.
    pub(crate) fn ask(
        &self,
        request: &'static str,
        target: &str,
        wait: impl FnOnce(Duration),
    ) -> Result<(), i32> {
        self.suffer(request, target, false, wait).map_or(Ok(()), Err)
    }

    /// Lets all faults for this request happen: waits, and says with which errno it fails, if it does.
    fn suffer(&self, request: &str, target: &str, is_act: bool, wait: impl FnOnce(Duration)) -> Option<i32> {
        let mut state = self.state();
        let mut effects = Vec::new();
        state.faults.retain_mut(|fault| match fault.strikes(request, target, is_act) {
            Strike::Misses => true,
            strike => {
                effects.push(fault.effect().clone());
                strike == Strike::Hits
            }
        });
        let (mut late, mut refused) = (Duration::ZERO, None);
        for effect in effects {
            match effect {
                Effect::Fails(errno) => refused = refused.or(Some(errno)),
                Effect::Late(time) => late = late.saturating_add(time),
                Effect::Held(gate) => state = self.wait_at(state, gate),
            }
        }
        drop(state);
        if !late.is_zero() {
            wait(late);
        }
        refused
    }

    fn wait_at<'a>(&'a self, mut state: MutexGuard<'a, State>, gate: String) -> MutexGuard<'a, State> {
        let number = state.arrivals;
        state.arrivals += 1;
        state.waiting.push((gate, number));
        self.0.gates.notify_all();
        let waits = |state: &mut State| state.waiting.iter().any(|(_, other)| *other == number);
        self.0.gates.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner)
    }

    /// Has something go wrong from now on. Faults add up: an act that two of them are for is late by both, and refused by
    /// the first that refuses.
    pub fn plan(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// What is planned and has not happened yet.
    pub fn planned(&self) -> Vec<Fault> {
        self.state().faults.clone()
    }

    /// Forgets all that is planned, and lets everybody go who waits at a gate.
    pub fn forget_plans(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.waiting.clear();
        self.0.gates.notify_all();
    }

    /// Waits until somebody waits at `gate`: see [`Which::held_at`].
    pub fn wait_until_held(&self, gate: &str) {
        let nobody = |state: &mut State| !state.waiting.iter().any(|(at, _)| at == gate);
        drop(self.0.gates.wait_while(self.state(), nobody));
    }

    /// Opens `gate` for those who wait there; how many these were.
    pub fn release(&self, gate: &str) -> usize {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|(at, _)| at != gate);
        self.0.gates.notify_all();
        before - state.waiting.len()
    }

    /// Notes that the host holds `what` for the caller until the answer is dropped.
    pub fn hold(&self, what: impl Into<String>) -> Held {
        let what = what.into();
        self.state().held.push(what.clone());
        Held { acts: self.clone(), what }
    }

    /// The acts so far, or the last 16,384 of them, one a line: `KVM_CREATE_VM /dev/kvm`.
    pub fn text(&self) -> String {
        self.state().acts.iter().map(|act| format!("{act}\n")).collect()
    }

    /// How many acts there were, with those that [`Acts::text`] has no more.
    pub fn len(&self) -> usize {
        self.state().count
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the host still holds, oldest first: VMs, vCPUs, open files, mappings, devices.
    pub fn held(&self) -> Vec<String> {
        self.state().held.clone()
    }
}

/// Something the host holds; given back when dropped.
#[derive(Debug)]
pub struct Held {
    acts: Acts,
    what: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.acts.state();
        if let Some(at) = state.held.iter().rposition(|held| *held == self.what) {
            state.held.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_add_up_and_what_is_refused_is_not_noted() {
        let clock = Clock::default();
        let acts = Acts::new(clock.clone());
        let hour = Duration::from_secs(3600);
        acts.plan(Fault::of("a").late_by(hour));
        acts.plan(Fault::of_any().late_by(hour));
        acts.plan(Fault::of("a").fails_with(libc::EBUSY));
        acts.plan(Fault::of("a").fails_with(libc::EIO));
        let refused = acts.act("a", "x").expect_err("planned");
        assert_eq!((refused.request, refused.errno.errno()), ("a", libc::EBUSY));
        assert_eq!((clock.now(), acts.planned()), (7_200_000_000_000, Vec::new()));
        acts.act("a", "x").expect("not again");
        assert_eq!(acts.text(), "a x\n");
    }

    #[test]
    fn a_host_that_lives_long_keeps_the_last_acts_and_counts_all() {
        let acts = Acts::default();
        acts.plan(Fault::of("a").nth(KEPT + 2).fails_with(libc::EIO));
        (0..=KEPT).for_each(|n| acts.act("a", n.to_string()).expect("not yet"));
        assert_eq!(acts.len(), KEPT + 1);
        let text = acts.text();
        assert_eq!((text.lines().count(), text.lines().next()), (KEPT, Some("a 1")));
        assert!(acts.act("a", "x").is_err(), "the plan counted what was forgotten");
        assert_eq!(acts.len(), KEPT + 1);
    }

    #[test]
    fn a_question_is_struck_only_by_name() {
        let acts = Acts::default();
        acts.plan(Fault::of_any().always().fails_with(libc::EIO));
        assert_eq!(acts.ask("read", "/sys/x", |_| ()), Ok(()));
        acts.plan(Fault::of("read").on("/sys/x").fails_with(libc::ENODEV));
        assert_eq!(acts.ask("read", "/sys/y", |_| ()), Ok(()));
        assert_eq!(acts.ask("read", "/sys/x", |_| ()), Err(libc::ENODEV));
        assert!(acts.is_empty());
    }

    #[test]
    fn who_is_held_goes_on_when_the_gate_is_opened_or_all_is_forgotten() {
        let acts = Acts::default();
        for lets_go in [|acts: &Acts| assert_eq!(acts.release("door"), 1), Acts::forget_plans] {
            acts.plan(Fault::of("a").held_at("door"));
            std::thread::scope(|scope| {
                let held = scope.spawn(|| acts.act("a", "x"));
                acts.wait_until_held("door");
                acts.act("b", "y").expect("others can act");
                assert_eq!(acts.release("window"), 0);
                lets_go(&acts);
                held.join().expect("it ends").expect("only late");
            });
        }
        assert_eq!(acts.text(), "b y\na x\nb y\na x\n");
    }
}
