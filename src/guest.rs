//! `adjunct run`: one guest from its configuration to its end.

use crate::{
    config::{Config, ConsoleTarget},
    console::{self, ConsoleError},
    event::{Event, Events, EventsError},
    exit_status::ExitStatus,
    host::{Host, HostError},
    machine::{BuildError, chain},
    plan::{PlanError, plan},
    run::{self, Watch},
    signals::Signals,
};
use std::{io, sync::Arc};

/// Why a guest did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No such host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It can't work on this host.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The console can't be opened.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// The events can't be sent.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// The host refused.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The event loop can't be set up.
    #[error("the event loop can't be set up")]
    Loop(#[source] io::Error),
}

impl RunError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Host(_)
            | Self::Plan(_)
            | Self::Build(BuildError::Load { .. } | BuildError::Memory(_) | BuildError::Descriptor { .. }) => {
                ExitStatus::Refused
            }
            Self::Console(_) | Self::Events(_) => ExitStatus::Output,
            Self::Build(BuildError::Kernel(_) | BuildError::Attach(_)) | Self::Loop(_) => {
                ExitStatus::HostError
            }
        }
    }
}

/// Runs the guest that `config` describes until it ends.
///
/// # Errors
/// [`RunError`]: it never ran, or what it said was lost.
pub fn run(config: &Config) -> Result<ExitStatus, RunError> {
    let events = Events::open(config.events.as_ref())?;
    let ended = Host::open(config.host.as_ref(), config.device.is_some())
        .map_err(RunError::from)
        .and_then(|host| run_on(&host, config, &events));
    match &ended {
        Ok((status, reason)) => events.send(&Event::ended(*status, reason)),
        Err(error) => events.send(&Event::ended(error.status(), &chain(error))),
    }
    let (status, reason) = ended?;
    if status != ExitStatus::Success {
        eprintln!("adjunct: the guest: {reason}");
        return Ok(status);
    }
    events.all_written()?;
    Ok(status)
}

/// Runs the guest on an open host; the status and why.
fn run_on(host: &Host, config: &Config, events: &Events) -> Result<(ExitStatus, String), RunError> {
    let plan = plan(config, host)?;
    plan.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    events.send(&Event::HostChecked { host: &host.hypervisor.name(), warnings: plan.warnings() });
    let (cpu, device) = (plan.cpu_option().to_owned(), plan.device_id());
    let signals = Arc::new(Signals::watch().map_err(RunError::Loop)?);
    let (consoles, written) = console::open(&config.console, Some(signals.clone()))?;
    let machine = plan.build(&*host.hypervisor, consoles)?;
    events.send(&Event::VmBuilt { cpu: &cpu, vcpus: config.vcpus, memory: config.memory.bytes() });
    if let Some((id, mdev)) = device.filter(|_| events.are_seen()) {
        let mdev = mdev.as_ref().map(ToString::to_string);
        let apqns = machine.apqns(&*host.sysfs);
        events.send(&Event::ApAttached { id: &id, mdev: mdev.as_deref(), apqns: &apqns });
    }
    let watch = Watch { input: config.console == ConsoleTarget::Stdio, signals: Some(&signals) };
    let outcome = run::run(machine, &*host.sysfs, events, watch).map_err(RunError::Loop)?;
    if outcome.status() == ExitStatus::Success {
        written.all()?;
    }
    Ok((outcome.status(), outcome.to_string()))
}
