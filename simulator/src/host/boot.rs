//! Starting a host: what its file says becomes hardware, and what it has written to sysfs is written.

mod queues;

use super::{State, log::KernelLog};
use crate::{
    Adapters, ApFacilities, Card, Clock, HostFile, HostFileError, Machine,
    ap_bus::ApBus,
    host_file::{ApSection, CONFIG_TIME, CardEntry, MdevEntry, POLL_TIMEOUT},
    sysfs,
    uevents::Uevents,
    vfio_ap::VfioAp,
};
use adjunct_ap::{Matrix, text::Features};
use adjunct_cpu_model::{Feature, Model};
use std::fmt::Display;

/// The crypto hardware that a host file describes.
fn machine(file: &HostFile) -> Machine {
    let ap = &file.ap;
    let mut machine = Machine::new(facilities(file.machine), ap.features.map_or(0, Features::word));
    machine.max_adapter = ap.max_adapter;
    machine.max_domain = ap.max_domain;
    machine.usage_domains = ap.usage_domains;
    machine.control_domains = ap.control_domains;
    if let Some(interruptions) = ap.ap_interrupts {
        machine.facilities.interruptions = interruptions;
    }
    for entry in &ap.cards {
        machine.cards.insert(entry.id, card(entry));
        machine.firmware.insert(entry.id, entry.details.firmware.clone());
    }
    for apid in ap.silent_adapters.iter() {
        machine.cards.insert(apid, Card::silent());
    }
    machine
}

fn card(entry: &CardEntry) -> Card {
    let usual = Card::new(entry.kind);
    let details = &entry.details;
    Card {
        hardware_type: details.raw_hwtype.unwrap_or(usual.hardware_type),
        functions: details.ap_functions.unwrap_or(usual.functions),
        depth: details.depth.unwrap_or(usual.depth),
        max_message: details.max_msg_size.map_or(usual.max_message, Card::max_message_of),
        configured: entry.config,
        checkstopped: entry.chkstop,
        missing: entry.missing_queues,
    }
}

fn facilities(model: &Model) -> ApFacilities {
    let full = model.full();
    ApFacilities {
        qci: full.contains(Feature::Apqci),
        test: full.contains(Feature::Apft),
        interruptions: full.contains(Feature::Apqi),
    }
}

impl State {
    /// The host that `file` describes, as it is when it has booted. `clock` moves by what that takes. Devices are numbered
    /// on from `births`.
    ///
    /// # Errors
    /// [`HostFileError::Refused`] with the key of the file whose wish was refused.
    pub(super) fn boot(file: &HostFile, clock: Clock, births: u64) -> Result<Self, HostFileError> {
        let mut state = Self::start(file, clock, births);
        // The bus has brought up its queues long before anybody writes to it.
        state.settle();
        apply(&mut state, file)?;
        state.settle();
        Ok(state)
    }

    /// The kernel starts: first the bus with its own drivers, then vfio_ap, which finds all queues taken.
    fn start(file: &HostFile, clock: Clock, births: u64) -> Self {
        let adapters = Adapters::new(machine(file), clock.clone());
        let mut state = Self {
            profile: file.kernel,
            bus: ApBus::new(),
            vfio: VfioAp::new(adapters.query_configuration().as_ref()),
            autoprobe: crate::sysfs::Autoprobe::default(),
            births,
            has_ap: file.machine.full().contains(Feature::Ap),
            adapters,
            clock,
            uevents: Uevents::default(),
            log: KernelLog::default(),
            waiting: None,
        };
        if state.has_ap {
            state.scan();
        }
        state
    }
}

/// Writes what the file says, in the order of the file.
fn apply(state: &mut State, file: &HostFile) -> Result<(), HostFileError> {
    let mut boot = Boot { state };
    boot.bus(&file.ap)?;
    for (name, mask) in [("apmask", &file.ap.apmask), ("aqmask", &file.ap.aqmask)] {
        if let Some(text) = mask {
            boot.write(&format!("ap.{name}"), &format!("bus/ap/{name}"), text)?;
        }
    }
    for (n, card) in file.ap.cards.iter().enumerate().filter(|(_, card)| !card.online) {
        let path = format!("devices/ap/card{}/online", card.id);
        boot.write(&format!("ap.card[{n}].online"), &path, "0")?;
    }
    boot.lend_queues(file)?;
    file.mdevs.iter().enumerate().try_for_each(|(n, mdev)| boot.mdev(n, mdev))?;
    boot.settle_queues(file)?;
    boot.settle_the_rest(file)
}

struct Boot<'a> {
    state: &'a mut State,
}

impl Boot<'_> {
    fn store(&mut self, path: &str, value: impl Display) -> Result<(), i32> {
        sysfs::write(self.state, path, &format!("{value}\n"))
    }

    fn write(&mut self, key: &str, path: &str, value: &str) -> Result<(), HostFileError> {
        self.store(path, value).map_err(|errno| HostFileError::Refused {
            key: key.to_owned(),
            why: format!("the kernel refused {value:?} for /sys/{path}"),
            errno,
        })
    }

    /// The attributes of the bus, while all masks are as they were: the default domain must be the host's.
    fn bus(&mut self, ap: &ApSection) -> Result<(), HostFileError> {
        if let Some(domain) = ap.ap_domain {
            self.write("ap.ap_domain", "bus/ap/ap_domain", &domain.0.to_string())?;
        }
        let flag = |on: bool| u8::from(on).to_string();
        for (name, wanted, usual) in [
            ("config_time", ap.config_time.to_string(), CONFIG_TIME.to_string()),
            ("poll_timeout", ap.poll_timeout.to_string(), POLL_TIMEOUT.to_string()),
            ("poll_thread", flag(ap.poll_thread), flag(false)),
        ] {
            if wanted != usual {
                self.write(&format!("ap.{name}"), &format!("bus/ap/{name}"), &wanted)?;
            }
        }
        Ok(())
    }

    /// What stands in the way of everything else: cards without driver, and a bus that looks for none.
    fn settle_the_rest(&mut self, file: &HostFile) -> Result<(), HostFileError> {
        for (n, card) in file.ap.cards.iter().enumerate().filter(|(_, card)| !card.bound) {
            let name = format!("card{}", card.id);
            self.write(&format!("ap.card[{n}].driver"), "bus/ap/drivers/cex4card/unbind", &name)?;
        }
        for mdev in &file.mdevs {
            self.state.vfio.restore_guest(mdev.uuid, mdev.guest_adapters, mdev.guest_domains);
        }
        if !file.ap.drivers_autoprobe {
            self.write("ap.drivers_autoprobe", "bus/ap/drivers_autoprobe", "0")?;
        }
        Ok(())
    }

    fn mdev(&mut self, n: usize, mdev: &MdevEntry) -> Result<(), HostFileError> {
        let uuid = mdev.uuid;
        self.write(
            &format!("mdev[{n}].uuid"),
            "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create",
            &uuid.to_string(),
        )?;
        let adapters = mdev.adapters.iter().map(|id| ("adapters", "assign_adapter", id.0));
        let domains = mdev.domains.iter().map(|id| ("domains", "assign_domain", id.0));
        let control =
            mdev.control_domains.iter().map(|id| ("control_domains", "assign_control_domain", id.0));
        for (key, attribute, id) in adapters.chain(domains).chain(control) {
            let path = format!("devices/vfio_ap/matrix/{uuid}/{attribute}");
            self.store(&path, id).map_err(|errno| HostFileError::Refused {
                key: format!("mdev[{n}].{key}"),
                why: self.why(mdev, id, errno),
                errno,
            })?;
        }
        Ok(())
    }

    /// Who stands in the way of an mdev's matrix.
    fn why(&self, mdev: &MdevEntry, id: u8, errno: i32) -> String {
        let matrix = Matrix { apm: mdev.adapters, aqm: mdev.domains, adm: mdev.control_domains };
        match errno {
            libc::EADDRNOTAVAIL => {
                let kept: Vec<String> =
                    self.state.bus.share().conflict(&matrix).map(|apqn| apqn.to_string()).collect();
                format!(
                    "the host keeps {}; take the adapter out of ap.apmask or the domain out of ap.aqmask",
                    kept.join(", ")
                )
            }
            libc::EADDRINUSE => {
                let user = self.state.vfio.user(&matrix, Some(mdev.uuid));
                let said = user.into_iter().flat_map(|(other, queues)| {
                    queues.into_iter().map(move |apqn| format!("{apqn} is given to mdev {other}"))
                });
                said.collect::<Vec<_>>().join(", ")
            }
            _ => format!("the kernel refused {id} ({id:#x})"),
        }
    }
}
