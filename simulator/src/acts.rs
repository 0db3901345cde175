//! What was done to the simulated host, act by act, and what it still holds for the doer.
//!
//! An act is a request that changes something: an ioctl that makes, sets, opens or resets, or a
//! write to sysfs. Questions (reads of attributes, `GET_INFO`) are not acts, so a program that only
//! looks leaves the list empty. Any act can be told to fail, which is how error paths are tested.

use adjunct_hypervisor::KernelError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    acts: Vec<String>,
    held: Vec<String>,
    refusals: Vec<(usize, i32)>,
}

/// The list of acts of one simulated host. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Acts(Arc<Mutex<State>>);

impl Acts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `request` was put to `target`.
    ///
    /// # Errors
    /// The errno that [`Acts::refuse`] planned for this act. A refused act is not noted.
    pub fn act(&self, request: &'static str, target: impl Into<String>) -> Result<(), KernelError> {
        let target = target.into();
        let mut state = self.state();
        let number = state.acts.len();
        if let Some(at) = state.refusals.iter().position(|(n, _)| *n == number) {
            let (_, errno) = state.refusals.swap_remove(at);
            return Err(KernelError::new(request, target, errno));
        }
        state.acts.push(format!("{request} {target}"));
        Ok(())
    }

    /// Notes that the host holds `what` for the caller until the answer is dropped.
    pub fn hold(&self, what: impl Into<String>) -> Held {
        let what = what.into();
        self.state().held.push(what.clone());
        Held { acts: self.clone(), what }
    }

    /// Makes act number `n`, counted from 0 over the life of the host, fail once with `errno`.
    pub fn refuse(&self, n: usize, errno: i32) {
        self.state().refusals.push((n, errno));
    }

    /// The acts so far, one a line: `KVM_CREATE_VM /dev/kvm`.
    pub fn text(&self) -> String {
        self.state().acts.iter().map(|act| format!("{act}\n")).collect()
    }

    /// How many acts there were.
    pub fn len(&self) -> usize {
        self.state().acts.len()
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
