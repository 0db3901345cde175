//! Another host file for a host that runs: the machine is switched off and on again with other hardware.

use super::{SimHost, State, boot};
use crate::{Adapters, ApFacilities, HostFile, HostFileError, Machine};
use adjunct_ap::Uuid;

/// Why a host file was not loaded. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// What programs were told of the host would no longer hold.
    #[error("the host is a {ours}, the file describes a {theirs}; start another host with it")]
    Other {
        /// This host.
        ours: String,
        /// The file's.
        theirs: String,
    },
    /// A VM has an mdev open.
    #[error("mdev {0} is open in a VM; end that first")]
    Open(Uuid),
    /// A program uses the host.
    #[error("a program uses the host ({0}); end that first")]
    Used(String),
    /// The file describes no host.
    #[error(transparent)]
    File(#[from] HostFileError),
}

impl SimHost {
    /// Replaces hardware, masks and mdevs by those of `file`, as if the machine was started anew with it. Time goes on,
    /// plans and the list of acts stay; udev is told of the new devices, and not of the end of the old ones.
    ///
    /// # Errors
    /// [`LoadError`]; nothing was changed.
    pub fn load(&self, file: &HostFile) -> Result<(), LoadError> {
        let name = |model: &str, kernel| format!("{model} with kernel {kernel}");
        let ours = name(self.machine_model().name, self.profile());
        let theirs = name(file.machine.name, file.kernel);
        if ours != theirs {
            return Err(LoadError::Other { ours, theirs });
        }
        // Made apart, so that nothing has changed when it is refused.
        let adapters = Adapters::new(boot::machine(file), self.clock().clone());
        let mut fresh = State::boot(file, adapters.clone(), self.clock().clone());
        boot::apply(&mut fresh, file)?;
        fresh.settle();
        let mut state = self.locked();
        let open = |uuid: &Uuid| matches!(state.guest_masks(*uuid), Some(Some(_)));
        if let Some(uuid) = state.vfio.mdevs.keys().copied().find(open) {
            return Err(LoadError::Open(uuid));
        }
        if let Some(held) = self.acts().held().into_iter().next() {
            return Err(LoadError::Used(held));
        }
        let nothing = ApFacilities { qci: false, test: false, interruptions: false };
        let machine = adapters.operate(|machine| std::mem::replace(machine, Machine::new(nothing, 0)));
        self.adapters().operate(|ours| *ours = machine);
        fresh.adapters = self.adapters().clone();
        let told = std::mem::replace(&mut fresh.uevents, state.uevents.clone()).recent();
        *state = fresh;
        for event in told {
            state.uevents.send(event.action, event.devpath, event.subsystem, event.environment);
        }
        Ok(())
    }
}
