//! Changing the AP mdevs of a host: create, assign, unassign, replace, remove.
//!
//! The kernel decides and answers an errno; only after a refusal does this module read the host, to say which id,
//! which queue, who has it and what to change. It never changes more than it was asked to, and so never frees a
//! queue of the host's by itself.

use std::{fmt, io};

use crate::{
    ApMask, Apid, Apm, Apqi, Apqn, Aqm, ControlDomain, Matrix, Number, Sysfs, Uuid,
    host::Bus,
    mdev::{Mdev, PARENT, TYPE, driver_is_loaded},
    text::{format_ap_config, format_id, format_mask_change},
};

/// What can be put into a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// An adapter.
    Adapter(Apid),
    /// A usage domain.
    Domain(Apqi),
    /// A control domain.
    ControlDomain(ControlDomain),
}

impl Resource {
    /// The attribute that takes it, less `assign_` or `unassign_`, and its number.
    fn parts(self) -> (&'static str, u8) {
        match self {
            Resource::Adapter(id) => ("adapter", id.0),
            Resource::Domain(id) => ("domain", id.0),
            Resource::ControlDomain(id) => ("control_domain", id.0),
        }
    }

    fn insert_into(self, matrix: &mut Matrix) {
        match self {
            Resource::Adapter(id) => matrix.apm.insert(id),
            Resource::Domain(id) => matrix.aqm.insert(id),
            Resource::ControlDomain(id) => matrix.adm.insert(id),
        }
    }
}

/// `adapter 5`, `control domain 71 (0x47)`.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, number) = self.parts();
        write!(f, "{} {number}", name.replace('_', " "))?;
        if number < 10 { Ok(()) } else { write!(f, " ({number:#x})") }
    }
}

/// Why the kernel refused a change. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no vfio_ap driver on the host.
    #[error("/sys/{PARENT} does not exist: load the driver with modprobe vfio_ap")]
    NoDriver,
    /// The mdev is not there (any more).
    #[error("there is no mdev {uuid}; create it by writing its UUID to /sys/{TYPE}/create")]
    Missing {
        /// Its name.
        uuid: Uuid,
    },
    /// EEXIST: the name is taken, possibly by another driver's mdev.
    #[error("an mdev {uuid} exists already")]
    Exists {
        /// The name.
        uuid: Uuid,
    },
    /// EUSERS: as many mdevs as there can be.
    #[error(
        "the host has as many AP mdevs as it can have (/sys/{TYPE}/available_instances says 0): remove one"
    )]
    NoneLeft,
    /// ENODEV: the id is beyond what the machine can have.
    #[error("there is no {resource} on this machine: the highest id is {max} (/sys/bus/ap/{file})")]
    BeyondMax {
        /// The lowest such id.
        resource: Resource,
        /// The highest id of its kind.
        max: u8,
        /// The bus attribute that says so.
        file: &'static str,
    },
    /// EADDRNOTAVAIL: the host keeps queues that the mdev would get.
    #[error("{} kept for the host's own drivers: {release}", Queues(.apqns))]
    KeptForHost {
        /// The queues; none when they could not be found out.
        apqns: Vec<Apqn>,
        /// How the host can give them up.
        release: Release,
    },
    /// EADDRINUSE: another mdev has queues that the mdev would get.
    #[error("{}", Shared(.shared))]
    InAnotherMdev {
        /// The queues, and the mdev that has each; none when they could not be found out.
        shared: Vec<(Apqn, Uuid)>,
    },
    /// EINVAL or ERANGE: the kernel does not understand what was written.
    #[error("the kernel does not accept {value:?} for /sys/{path}")]
    Malformed {
        /// Path below `/sys`.
        path: String,
        /// What was written.
        value: String,
    },
    /// EACCES, EPERM or EROFS.
    #[error("writing to /sys/{path} is not permitted: become root, and check that /sys is writable")]
    Permission {
        /// Path below `/sys`.
        path: String,
    },
    /// Anything else.
    #[error("/sys/{path} can't be written")]
    Io {
        /// Path below `/sys`.
        path: String,
        /// As the kernel put it.
        #[source]
        source: io::Error,
    },
}

/// How the host can give up queues. Displayed as what to write where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Take these adapters out of `apmask`, or these domains out of `aqmask`.
    Masks {
        /// Adapters of the queues.
        adapters: Apm,
        /// Domains of the queues.
        domains: Aqm,
    },
    /// Some queue has a `driver_override`, so the kernel accepts no change of the masks: each queue needs its own.
    Overrides {
        /// The first of the queues.
        first: Apqn,
    },
    /// Not found out.
    Unknown,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Release::Masks { adapters, domains } => write!(
                f,
                "write {} to /sys/bus/ap/apmask or {} to /sys/bus/ap/aqmask",
                cleared(adapters),
                cleared(domains)
            ),
            Release::Overrides { first } => write!(
                f,
                "write vfio_ap to /sys/bus/ap/devices/{first}/driver_override, then {first} to \
                 /sys/bus/ap/drivers/cex4queue/unbind and to /sys/bus/ap/drivers_probe, and so for each"
            ),
            Release::Unknown => f.write_str("look at /sys/bus/ap/apmask and /sys/bus/ap/aqmask"),
        }
    }
}

/// The text that clears the bits of `mask` in a mask of the bus.
fn cleared<T: Number>(mask: &ApMask<T>) -> String {
    format_mask_change(mask, &ApMask::EMPTY)
}

/// How many queues a message names before it only counts.
const NAMED: usize = 8;

/// `queues 05.0004, 05.0047 are`.
struct Queues<'a>(&'a [Apqn]);

impl fmt::Display for Queues<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("a queue of the matrix is"),
            [one] => write!(f, "queue {one} is"),
            several => {
                let names: Vec<_> = several.iter().take(NAMED).map(Apqn::to_string).collect();
                write!(f, "queues {}", names.join(", "))?;
                match several.len().saturating_sub(NAMED) {
                    0 => f.write_str(" are"),
                    more => write!(f, " and {more} more are"),
                }
            }
        }
    }
}

/// `queues 05.0004, 05.0047 are in mdev X, queue 06.0004 is in mdev Y: …`.
struct Shared<'a>(&'a [(Apqn, Uuid)]);

impl fmt::Display for Shared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, owned) in self.0.chunk_by(|(_, a), (_, b)| a == b).enumerate() {
            let apqns: Vec<Apqn> = owned.iter().map(|(apqn, _)| *apqn).collect();
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} in mdev {}", Queues(&apqns), owned[0].1)?;
        }
        if self.0.is_empty() {
            write!(f, "{} in another mdev", Queues(&[]))?;
        }
        f.write_str(": unassign its adapter or its domain there")
    }
}

impl<'a> Mdev<'a> {
    /// Creates an mdev without any resources.
    ///
    /// # Errors
    ///
    /// [`AdminError`]; in particular `Exists`, `NoneLeft`, `NoDriver`.
    pub fn create(sysfs: &'a dyn Sysfs, uuid: Uuid) -> Result<Self, AdminError> {
        let path = format!("{TYPE}/create");
        let value = uuid.to_string();
        match sysfs.write(&path, &value) {
            Ok(()) => Ok(Self::known(sysfs, uuid)),
            Err(source) => Err(match source.raw_os_error() {
                Some(libc::EEXIST) => AdminError::Exists { uuid },
                Some(libc::EUSERS) => AdminError::NoneLeft,
                Some(libc::ENOENT | libc::ENODEV) if !driver_is_loaded(sysfs) => AdminError::NoDriver,
                _ => plain(path, value, source),
            }),
        }
    }

    /// Removes the mdev. While a guest has it, the kernel asks the guest's VMM to let go and this call waits.
    ///
    /// # Errors
    ///
    /// [`AdminError`]; in particular `Missing`.
    pub fn remove(self) -> Result<(), AdminError> {
        self.store("remove", "1", Matrix::default)
    }

    /// Assigns a resource. Assigned already is success. Queues need not exist for this.
    ///
    /// # Errors
    ///
    /// [`AdminError`]; in particular `BeyondMax`, `KeptForHost`, `InAnotherMdev`. A control domain meets only the first.
    pub fn assign(&self, resource: Resource) -> Result<(), AdminError> {
        let (name, number) = resource.parts();
        self.store(&format!("assign_{name}"), &format_id(number), || {
            // The kernel took the id back, but judged the whole matrix it would have been part of.
            let mut wanted = self.matrix().unwrap_or_default();
            resource.insert_into(&mut wanted);
            wanted
        })
    }

    /// Takes a resource out. Not assigned is success.
    ///
    /// # Errors
    ///
    /// [`AdminError`]; in particular `BeyondMax`.
    pub fn unassign(&self, resource: Resource) -> Result<(), AdminError> {
        let (name, number) = resource.parts();
        self.store(&format!("unassign_{name}"), &format_id(number), || {
            let mut named = Matrix::EMPTY;
            resource.insert_into(&mut named);
            named
        })
    }

    /// Replaces all that is assigned, in one go (`ap_config`, kernel 6.10 and later). All or nothing.
    ///
    /// # Errors
    ///
    /// [`AdminError`], as for [`Mdev::assign`].
    pub fn replace(&self, matrix: &Matrix) -> Result<(), AdminError> {
        self.store("ap_config", &format_ap_config(matrix), || *matrix)
    }

    /// Writes an attribute of the mdev. `wanted` is asked after a refusal: the matrix that the kernel judged.
    fn store(&self, name: &str, value: &str, wanted: impl FnOnce() -> Matrix) -> Result<(), AdminError> {
        let path = self.attr(name);
        let Err(source) = self.sysfs.write(&path, value) else { return Ok(()) };
        let gone = || self.sysfs.list(&format!("{PARENT}/{}", self.uuid())).is_err();
        Err(match source.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => self.kept_for_host(&wanted()),
            Some(libc::EADDRINUSE) => self.in_another_mdev(&wanted()),
            Some(libc::ENOENT | libc::ENODEV) if !driver_is_loaded(self.sysfs) => AdminError::NoDriver,
            Some(libc::ENOENT | libc::ENODEV) if gone() => AdminError::Missing { uuid: self.uuid() },
            Some(libc::ENODEV) => match beyond_max(&Bus::new(self.sysfs), &wanted()) {
                Some(error) => error,
                None => AdminError::Io { path, source },
            },
            _ => plain(path, value.to_owned(), source),
        })
    }

    fn kept_for_host(&self, wanted: &Matrix) -> AdminError {
        let Ok(share) = Bus::new(self.sysfs).share() else {
            return AdminError::KeptForHost { apqns: Vec::new(), release: Release::Unknown };
        };
        let apqns: Vec<Apqn> = share.conflict(wanted).collect();
        let release = match apqns.first() {
            None => Release::Unknown,
            Some(first) if !share.overrides.is_empty() => Release::Overrides { first: *first },
            Some(_) => Release::Masks {
                adapters: apqns.iter().map(|apqn| apqn.apid).collect(),
                domains: apqns.iter().map(|apqn| apqn.apqi).collect(),
            },
        };
        AdminError::KeptForHost { apqns, release }
    }

    fn in_another_mdev(&self, wanted: &Matrix) -> AdminError {
        let all = Mdev::list(self.sysfs).unwrap_or_default();
        let others = all.into_iter().filter(|other| other.uuid() != self.uuid());
        let claims = others.filter_map(|other| Some((other.uuid(), other.matrix().ok()?)));
        let shared = claims.flat_map(|(uuid, has)| wanted.conflict(&has).map(move |apqn| (apqn, uuid)));
        AdminError::InAnotherMdev { shared: shared.collect() }
    }
}

/// What an errno means whatever was written.
fn plain(path: String, value: String, source: io::Error) -> AdminError {
    match source.raw_os_error() {
        Some(libc::EINVAL | libc::ERANGE) => AdminError::Malformed { path, value },
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => AdminError::Permission { path },
        _ => AdminError::Io { path, source },
    }
}

/// The lowest id of `wanted` that the machine can't have.
fn beyond_max(bus: &Bus<'_>, wanted: &Matrix) -> Option<AdminError> {
    const ADAPTERS: &str = "ap_max_adapter_id";
    const DOMAINS: &str = "ap_max_domain_id";
    let (last_adapter, last_domain) = (bus.max_adapter().ok()?, bus.max_domain().ok()?);
    let above = |resource, max, file| AdminError::BeyondMax { resource, max, file };
    let adapter = wanted.apm.iter().find(|id| *id > last_adapter);
    let domain = wanted.aqm.iter().find(|id| *id > last_domain);
    let control = wanted.adm.iter().find(|id| id.0 > last_domain.0);
    adapter
        .map(|id| above(Resource::Adapter(id), last_adapter.0, ADAPTERS))
        .or_else(|| domain.map(|id| above(Resource::Domain(id), last_domain.0, DOMAINS)))
        .or_else(|| control.map(|id| above(Resource::ControlDomain(id), last_domain.0, DOMAINS)))
}
