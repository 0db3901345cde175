//! Another host file for a host that runs: the machine is switched off and on again with other hardware.

use super::{SimHost, State};
use crate::{ApFacilities, Clock, HostFile, HostFileError, Machine};
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
        let mut state = self.locked();
        let open = |uuid: &Uuid| matches!(state.guest_masks(*uuid), Some(Some(_)));
        if let Some(uuid) = state.vfio.mdevs.keys().copied().find(open) {
            return Err(LoadError::Open(uuid));
        }
        if let Some(held) = self.acts().held().into_iter().next() {
            return Err(LoadError::Used(held));
        }
        // Made apart, by a clock of its own, so that nothing has changed when it is refused.
        let clock = Clock::default();
        clock.advance_to(self.clock().now());
        let mut fresh = State::boot(file, clock, state.births)?;
        self.take_over(&mut fresh);
        let told = std::mem::replace(&mut fresh.uevents, state.uevents.clone()).recent();
        *state = fresh;
        for event in told {
            state.uevents.send(event.action, event.devpath, event.subsystem, event.environment);
        }
        drop(state);
        self.clock().plan();
        Ok(())
    }

    /// Makes hardware and clock those that everybody has handles to.
    fn take_over(&self, fresh: &mut State) {
        self.clock().advance_to(fresh.clock.now());
        fresh.clock = self.clock().clone();
        let nothing = ApFacilities { qci: false, test: false, interruptions: false };
        let machine = fresh.adapters.operate(|machine| std::mem::replace(machine, Machine::new(nothing, 0)));
        self.adapters().operate(|ours| *ours = machine);
        fresh.adapters = self.adapters().clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuestCrypto;
    use adjunct_ap::{Matrix, Sysfs};
    use std::sync::Arc;

    /// A guest that is never run.
    #[derive(Debug)]
    struct Idle;

    impl GuestCrypto for Idle {
        fn set_masks(&self, _: &Matrix) {}

        fn clear_masks(&self) {}
    }

    const CREATE: &str = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
    const MDEV: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

    fn host() -> SimHost {
        SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts")
    }

    #[test]
    fn a_file_found_before_a_load_is_gone_after_it_though_another_has_its_name() {
        let host = host();
        let tree = host.tree();
        let paths = [
            "devices/ap/card05/online".to_owned(),
            "devices/ap/card05/05.0004/config".to_owned(),
            format!("devices/vfio_ap/matrix/{MDEV}/matrix"),
            "devices/virtual/vfio/0/dev".to_owned(),
        ];
        let find = |path: &String| tree.find(path).expect("it is there");
        let before: Vec<_> = paths.iter().map(find).collect();
        host.load(&HostFile::three_guests().expect("the built-in host is right"))
            .expect("nobody uses the host");
        for (path, before) in paths.iter().zip(before) {
            assert_eq!(tree.load(before), Err(libc::ENODEV), "{path}");
            assert_ne!(find(path).number(), before.number(), "{path}");
        }
    }

    #[test]
    fn a_load_makes_the_host_that_the_file_starts() {
        let host = host();
        let started = host.dump();
        host.write("bus/ap/config_time", "77").expect("writable");
        host.write(CREATE, "11111111-1111-1111-1111-111111111111").expect("a new one");
        host.load(&HostFile::three_guests().expect("the built-in host is right"))
            .expect("nobody uses the host");
        assert_eq!(host.dump(), started);
    }

    #[test]
    fn a_load_that_is_refused_changes_nothing_not_even_the_time() {
        let host = host();
        let mut refused = HostFile::three_guests().expect("the built-in host is right");
        (refused.ap.apmask, refused.ap.aqmask) = (None, None);
        let uuid: Uuid = MDEV.parse().expect("a UUID");
        let device = host.open_mdev(uuid, host.new_vm_id(), Arc::new(Idle)).expect("it is free");
        // A look at the hardware takes time too.
        let state = |host: &SimHost| (host.uevents().len(), host.log(), host.dump());
        let (before, at) = (state(&host), host.clock().now());
        assert!(
            matches!(host.load(&HostFile::three_guests().expect("the built-in host is right")), Err(LoadError::Open(open)) if open == uuid)
        );
        assert_eq!(host.clock().now(), at);
        assert_eq!(state(&host), before);
        drop(device);
        let at = host.clock().now();
        assert!(matches!(host.load(&refused), Err(LoadError::File(HostFileError::Refused { .. }))));
        assert_eq!(host.clock().now(), at);
        assert_eq!(state(&host), before);
        assert!(host.load(&HostFile::three_guests().expect("the built-in host is right")).is_ok());
    }
}
