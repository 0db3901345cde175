//! `adjunct demo`: the example of the kernel's vfio-ap documentation, run.
//!
//! Nothing here knows what a guest will find. The host is the built-in one, the guests are what
//! `adjunct run` would start, all three at once on the same host, and what they print is theirs.

use crate::{
    chain::chain,
    config::{Config, DeviceChoice, VfioApOption},
    console::Kept,
    event::Events,
    exit_status::ExitStatus,
    host::{Host, HostError, builtin},
    machine::{BuildError, Machine},
    outcome::Outcome,
    plan::{PlanError, plan},
    run::{self, Watch},
};
use adjunct_ap::{
    Apid, Apqi, Apqn, ParseUuidError, Uuid,
    admin::{AdminError, Resource},
    host::Bus,
    mdev::Mdev,
    sysfs::ReadError,
    text::Listing,
};
use adjunct_simulator::SimHost;
use std::{
    io::{self, Write},
    thread,
};

/// Why the demonstration could not be shown to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The built-in host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Its AP bus can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A guest can't run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A guest can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A mediated device can't be created.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The fourth mediated device's UUID.
    #[error(transparent)]
    Uuid(#[from] ParseUuidError),
    /// Standard output, or the event loop.
    #[error("the demonstration can't be shown")]
    Io(#[from] io::Error),
    /// The demonstration shows something else than it should.
    #[error("{0}")]
    Unexpected(String),
}

impl DemoError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            // Whoever reads us has seen enough.
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Success,
            Self::Io(_) => ExitStatus::Output,
            Self::Unexpected(_) => ExitStatus::GuestFailed,
            _ => ExitStatus::HostError,
        }
    }
}

/// Shows the demonstration on `out`.
///
/// # Errors
/// [`DemoError`].
pub fn show(out: &mut impl Write) -> Result<ExitStatus, DemoError> {
    show_on(&builtin()?, out)
}

/// [`show`], on a host that is started as the built-in one is.
///
/// # Errors
/// [`DemoError`].
pub fn show_on(host: &SimHost, out: &mut impl Write) -> Result<ExitStatus, DemoError> {
    let host = Host::simulated(host);
    let mdevs = Mdev::list(&*host.sysfs)?;
    let uuids: Vec<Uuid> = mdevs.iter().map(Mdev::uuid).collect();

    writeln!(out, "A host: {}.", host.hypervisor.name())?;
    writeln!(out, "Its crypto adapters, and who has which queue:\n")?;
    show_shares(out, &host, &mdevs)?;

    // All guests are there before the first one runs: they share the host as they would a mainframe.
    let consoles: Vec<Kept> = uuids.iter().map(|_| Kept::default()).collect();
    let machines = uuids.iter().zip(&consoles).map(|(uuid, console)| build(&host, *uuid, console));
    let machines = machines.collect::<Result<Vec<_>, _>>()?;
    let outcomes = run_all(&host, machines)?;
    for (n, (uuid, (console, outcome))) in uuids.iter().zip(consoles.iter().zip(&outcomes)).enumerate() {
        writeln!(out, "\nGuest {} has the mediated device {uuid}. It says:\n", n + 1)?;
        for line in console.text().lines() {
            writeln!(out, "    {line}")?;
        }
        if outcome.status() != ExitStatus::Success {
            return Err(DemoError::Unexpected(format!("guest {}: {outcome}", n + 1)));
        }
    }
    show_conflict(out, &host)?;
    Ok(ExitStatus::Success)
}

/// A table: adapters down, domains across, in each place whose the queue is.
fn show_shares(out: &mut impl Write, host: &Host, mdevs: &[Mdev<'_>]) -> Result<(), DemoError> {
    let queues = Bus::new(&*host.sysfs).queues()?;
    let guests = mdevs.iter().map(|mdev| mdev.guest_matrix()).collect::<Result<Vec<_>, _>>()?;
    let owner = |apqn: Apqn| {
        let has = |given: &Listing| given.apm.contains(apqn.apid) && given.aqm.contains(apqn.apqi);
        let guest = guests.iter().position(has);
        guest.map_or_else(|| "-".to_owned(), |n| format!("guest {}", n + 1))
    };
    let mut domains: Vec<Apqi> = queues.iter().map(|queue| queue.apqn.apqi).collect();
    domains.sort_unstable();
    domains.dedup();
    write!(out, "    {:<12}", "")?;
    for apqi in &domains {
        write!(out, "{:<10}", format!("domain {apqi}").replace("domain 00", "dom. "))?;
    }
    writeln!(out)?;
    for card in Bus::new(&*host.sysfs).cards()? {
        write!(out, "    {:<12}", format!("adapter {}", card.apid))?;
        for apqi in &domains {
            write!(out, "{:<10}", owner(Apqn { apid: card.apid, apqi: *apqi }))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn build(host: &Host, uuid: Uuid, console: &Kept) -> Result<Machine, DemoError> {
    let sysfsdev = format!("/sys/devices/vfio_ap/matrix/{uuid}").into();
    let choice = DeviceChoice::Mdev { sysfsdev, backend: None };
    let config = Config::apcheck(Some(VfioApOption { choice, id: None }));
    Ok(plan(&config, host)?.build(&*host.hypervisor, console.consoles())?)
}

/// Runs all machines at once, each with a loop of its own.
fn run_all(host: &Host, machines: Vec<Machine>) -> io::Result<Vec<Outcome>> {
    let events = Events::default();
    thread::scope(|scope| {
        let run_one = |machine| run::run(machine, host, &events, Watch::default()).map(|ended| ended.outcome);
        let start = |machine| scope.spawn(move || run_one(machine));
        let loops: Vec<_> = machines.into_iter().map(start).collect();
        let ended = loops
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err(io::Error::other("the thread of a guest broke"))));
        ended.collect()
    })
}

/// Writes `text` in indented lines that fit on a terminal of 80 columns.
fn write_wrapped(out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > 76 {
            writeln!(out, "    {line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    writeln!(out, "    {line}")
}

/// A fourth mediated device asks for a queue that the first one has.
fn show_conflict(out: &mut impl Write, host: &Host) -> Result<(), DemoError> {
    let uuid: Uuid = "6c4a5d2e-0d3e-4c7a-9b0a-000000000004".parse()?;
    let fourth = Mdev::create(&*host.sysfs, uuid)?;
    fourth.assign(Resource::Adapter(Apid(5)))?;
    writeln!(out, "\nA fourth mediated device, {uuid},")?;
    writeln!(out, "has adapter 5 and asks for domain 4:\n")?;
    match fourth.assign(Resource::Domain(Apqi(4))) {
        Err(refused @ AdminError::InAnotherMdev { .. }) => {
            write_wrapped(out, &format!("refused: {}", chain(&refused)))?;
            fourth.remove()?;
            Ok(())
        }
        Err(other) => Err(other.into()),
        Ok(()) => Err(DemoError::Unexpected("05.0004 was given to two mediated devices".to_owned())),
    }
}
