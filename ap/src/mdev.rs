//! The vfio-ap mediated devices of a host: where they are and what they say.
//!
//! An [`Mdev`] is known by its UUID. This module only reads; changing one is [`admin`](crate::admin)'s. Groups,
//! containers and file descriptors are none of its business.

use std::fmt;

use crate::{
    Adm, Matrix, ParseUuidError, Uuid,
    sysfs::{ReadError, Sysfs, if_present, list_if_present, read, read_word},
    text::{self, Listing},
};

/// The parent of all AP mdevs.
pub(crate) const PARENT: &str = "devices/vfio_ap/matrix";
/// The only type of mdev that vfio_ap has.
pub(crate) const TYPE: &str = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";
/// The mdevs of all drivers.
const MDEVS: &str = "bus/mdev/devices";

/// Every directory in which a path of an AP mdev can lie: the parent by its three names, and its type's list, and
/// the mdev bus (`Documentation/arch/s390/vfio-ap.rst`, and what sysfs links to the same place).
#[rustfmt::skip]
const HOMES: [&str; 7] = [
    "sys/devices/vfio_ap/matrix",
    "sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/devices",
    "sys/bus/mdev/devices",
    "sys/bus/matrix/devices/matrix",
    "sys/bus/matrix/devices/matrix/mdev_supported_types/vfio_ap-passthrough/devices",
    "sys/class/mdev_bus/matrix",
    "sys/class/mdev_bus/matrix/mdev_supported_types/vfio_ap-passthrough/devices",
];

/// Not a path under which sysfs shows an AP mdev.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePathError {
    /// The UUID alone.
    #[error("\"{0}\" is a UUID and no path; write /sys/devices/vfio_ap/matrix/{0}")]
    Bare(Uuid),
    /// What stands for the UUID is none.
    #[error("{path:?} is not the path of an AP mdev")]
    Name {
        /// As typed.
        path: String,
        /// What is wrong with its last part.
        source: ParseUuidError,
    },
    /// No directory of mdevs.
    #[error(
        "{0:?} is not the path of an AP mdev; write /sys/devices/vfio_ap/matrix/UUID, /sys/bus/mdev/devices/UUID, \
         /sys/bus/matrix/devices/matrix/UUID or /sys/class/mdev_bus/matrix/UUID (mdev_supported_types/\
         vfio_ap-passthrough/devices/ may stand before UUID where it exists)"
    )]
    Place(String),
}

/// The UUID in the path of an mdev, by any of the names that sysfs has for it. Upper case and slashes at the end
/// are accepted. Nothing is opened.
///
/// # Errors
///
/// [`ParsePathError`] for any other path, which says what is accepted.
pub fn parse_path(path: &str) -> Result<Uuid, ParsePathError> {
    if let Ok(uuid) = path.parse() {
        return Err(ParsePathError::Bare(uuid));
    }
    let place = || ParsePathError::Place(path.to_owned());
    let below_root = path.strip_prefix('/').ok_or_else(place)?.trim_end_matches('/');
    let (home, name) = below_root.rsplit_once('/').ok_or_else(place)?;
    if !HOMES.contains(&home) {
        return Err(place());
    }
    name.parse().map_err(|source| ParsePathError::Name { path: path.to_owned(), source })
}

/// Why an mdev can't be given to a guest as an AP device.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The host has no mdev of that name.
    #[error("there is no mdev {uuid}; create it by writing its UUID to /sys/{TYPE}/create")]
    Missing {
        /// Its name.
        uuid: Uuid,
    },
    /// As [`OpenError::Missing`], because vfio_ap is not there.
    #[error("there is no mdev {uuid}, and no /sys/{PARENT}: load the driver with modprobe vfio_ap")]
    NoDriver {
        /// Its name.
        uuid: Uuid,
    },
    /// The mdev is some other driver's.
    #[error("mdev {uuid} is no AP device: its device_api is {device_api}, not vfio-ap")]
    NotAp {
        /// Its name.
        uuid: Uuid,
        /// What it is instead, for example `vfio-ccw`.
        device_api: String,
    },
    /// The host could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// An AP mdev of the host.
#[derive(Clone, Copy)]
pub struct Mdev<'a> {
    pub(crate) sysfs: &'a dyn Sysfs,
    uuid: Uuid,
}

impl<'a> Mdev<'a> {
    /// The mdev named `uuid`, which must exist and be an AP device.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(sysfs: &'a dyn Sysfs, uuid: Uuid) -> Result<Self, OpenError> {
        let device_api = format!("{MDEVS}/{uuid}/mdev_type/device_api");
        match if_present(sysfs.read(&device_api).map_err(ReadError::io(&device_api)))? {
            Some(api) if api.trim_end() == "vfio-ap" => Ok(Self { sysfs, uuid }),
            Some(api) => Err(OpenError::NotAp { uuid, device_api: api.trim_end().to_owned() }),
            None if driver_is_loaded(sysfs) => Err(OpenError::Missing { uuid }),
            None => Err(OpenError::NoDriver { uuid }),
        }
    }

    /// The mdev named `uuid`, which is known to exist.
    pub(crate) fn known(sysfs: &'a dyn Sysfs, uuid: Uuid) -> Self {
        Self { sysfs, uuid }
    }

    /// All AP mdevs of the host, in the order of their names; none where vfio_ap is not loaded.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every reading method.
    pub fn list(sysfs: &'a dyn Sysfs) -> Result<Vec<Self>, ReadError> {
        let names = list_if_present(sysfs, &format!("{TYPE}/devices"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).map(|uuid| Self { sysfs, uuid }).collect())
    }

    /// Its name.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Where it is: `/sys/devices/vfio_ap/matrix/UUID`.
    pub fn path(&self) -> String {
        format!("/sys/{PARENT}/{}", self.uuid)
    }

    /// An attribute of it, below `/sys`.
    pub(crate) fn attr(&self, name: &str) -> String {
        format!("{PARENT}/{}/{name}", self.uuid)
    }

    /// All that is assigned to it.
    ///
    /// From `ap_config`; where the kernel has none (before 6.10) from `matrix` and `control_domains`.
    ///
    /// # Errors
    ///
    /// Also [`ReadError::Unexpected`] when such an old kernel cut the list of queues.
    pub fn matrix(&self) -> Result<Matrix, ReadError> {
        if let Some(matrix) = if_present(read(self.sysfs, &self.attr("ap_config"), text::parse_ap_config))? {
            return Ok(matrix);
        }
        let whole = |text: &[u8]| match text::parse_matrix(text) {
            Ok(Listing { apm, aqm, cut: false }) => Ok((apm, aqm)),
            _ => Err(text::Malformed),
        };
        let (apm, aqm) = read(self.sysfs, &self.attr("matrix"), whole)?;
        Ok(Matrix { apm, aqm, adm: self.control_domains()? })
    }

    /// What a guest has of it, or would have: the queues left after filtering. Without control domains, which the
    /// kernel does not show.
    pub fn guest_matrix(&self) -> Result<Listing, ReadError> {
        read(self.sysfs, &self.attr("guest_matrix"), text::parse_matrix)
    }

    /// The control domains assigned to it.
    pub fn control_domains(&self) -> Result<Adm, ReadError> {
        read(self.sysfs, &self.attr("control_domains"), text::parse_control_domains)
    }
}

impl fmt::Debug for Mdev<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mdev").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

/// How many AP mdevs can still be created.
///
/// # Errors
///
/// [`ReadError`]; [`ReadError::is_absent`] where vfio_ap is not loaded.
pub fn available_instances(sysfs: &dyn Sysfs) -> Result<u32, ReadError> {
    read_word(sysfs, &format!("{TYPE}/available_instances"))
}

/// Whether the vfio_ap driver is there.
pub(crate) fn driver_is_loaded(sysfs: &dyn Sysfs) -> bool {
    sysfs.list(PARENT).is_ok()
}
