//! `adjunct run` and `adjunct serve`: a VMM from its configuration to its end.

use crate::{
    chain::chain,
    config::{Config, EventTarget, HostChoice},
    control::mailbox,
    event::{Event, Events, EventsError},
    exit_status::ExitStatus,
    host::{Host, HostError},
    logging::say,
    management::{Management, ManagementError, Servers},
    outcome::RunError,
    sandbox::{self, Files},
    signals::Signals,
    vmm::{After, Verdict, Vmm},
};
use std::sync::Arc;

/// Why there was no VMM, why its guest did not run, or what was lost of what they said.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No such host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The events can't be sent.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// A way in can't be opened.
    #[error(transparent)]
    Management(#[from] ManagementError),
    /// The guest did not run or not to its end, or what it said was lost.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl LaunchError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Host(_) => ExitStatus::Refused,
            Self::Events(_) => ExitStatus::Output,
            Self::Management(error) => error.status(),
            Self::Run(error) => error.status(),
        }
    }
}

/// Runs the guest that `config` describes until it ends, or as long as those want who come in by `management`.
///
/// # Errors
/// [`LaunchError`]: it never ran, or what it said was lost.
pub fn run(config: Config, management: &Management) -> Result<ExitStatus, LaunchError> {
    let events = Arc::new(Events::open(config.events.as_ref())?);
    let with_device = config.device.is_some();
    // They are told of the end too.
    let mut servers = None;
    let ended = Host::open(config.host.as_ref(), with_device)
        .map_err(LaunchError::from)
        .and_then(|host| on(&host, &events, management, &mut servers, |vmm| vmm.run(config, After::End)));
    tell(ended, events)
}

/// Waits without a guest for those who come in by `management`, and does what they order.
///
/// # Errors
/// [`LaunchError`]: nobody can come in.
pub fn serve(
    host: Option<&HostChoice>,
    events: Option<&EventTarget>,
    management: &Management,
) -> Result<ExitStatus, LaunchError> {
    let events = Arc::new(Events::open(events)?);
    // They are told of the end too.
    let mut servers = None;
    let ended = Host::open(host, true).map_err(LaunchError::from).and_then(|host| {
        on(&host, &events, management, &mut servers, |vmm| {
            // What guests will need nobody knows yet.
            sandbox::keep_to(Files::of_host(&host), false)?;
            vmm.serve(After::Stay)
        })
    });
    tell(ended, events)
}

/// What a VMM on `host` does, with the ways in open meanwhile and left open in `servers`.
fn on(
    host: &Host,
    events: &Arc<Events>,
    management: &Management,
    servers: &mut Option<Servers>,
    life: impl FnOnce(Vmm<'_>) -> Result<Verdict, RunError>,
) -> Result<Verdict, LaunchError> {
    // Before any thread is there, so that none takes a signal.
    let signals = Arc::new(Signals::watch().map_err(RunError::Loop)?);
    events.stop_waiting_at(signals.clone());
    let (handle, mailbox) = mailbox().map_err(RunError::Loop)?;
    *servers = Some(management.open(&handle, events)?);
    if !management.is_none() {
        sandbox::enter(sandbox::Thread::Manager).map_err(|refused| RunError::Sandbox(refused.into()))?;
    }
    Ok(life(Vmm::new(host, events, Some(signals), mailbox))?)
}

/// Tells everybody how it ended.
fn tell(ended: Result<Verdict, LaunchError>, events: Arc<Events>) -> Result<ExitStatus, LaunchError> {
    match &ended {
        Ok((status, reason)) => events.send(&Event::ended(*status, reason)),
        Err(error) => events.send(&Event::ended(error.status(), &chain(error))),
    }
    let written = events.all_written();
    match (ended, written) {
        (Ok((ExitStatus::Success, _)), written) => written.map(|()| ExitStatus::Success).map_err(Into::into),
        (failed, written) => {
            // What has failed comes before what was to be told of it.
            if let Err(lost) = written {
                say(chain(&lost));
            }
            let (status, reason) = failed?;
            say(format_args!("the guest: {reason}"));
            Ok(status)
        }
    }
}
