//! `device_add` and its kin: one kind of device, one of it.

use super::{
    command::{done, refused},
    files::Files,
    message::{Arguments, Error},
};
use crate::{
    config::{DeviceChoice, DeviceIdError, VfioApOption},
    control::{Handle, Refusal},
    plan::PlanError,
};
use adjunct_hypervisor::VfioBackend;
use serde_json::{Map, Value, json};

/// The one kind.
const DRIVER: &str = "vfio-ap";

/// Where it is plugged.
const BUS: &str = "ap-bus";

/// Where QEMU keeps the devices that a user has named.
const PERIPHERAL: &str = "/machine/peripheral";

/// Where the device `id` is in QEMU's tree of objects.
pub(super) fn path(id: &str) -> String {
    format!("{PERIPHERAL}/{id}")
}

/// `device_add`.
pub(super) fn add(handle: &Handle, files: &mut Files, mut arguments: Arguments) -> Result<Value, Error> {
    let driver = arguments.string("driver")?;
    let driver = arguments.required("driver", driver)?;
    if driver != DRIVER {
        return Err(Error::generic(format!("'{driver}' is not a valid device model name")));
    }
    if let Some(bus) = arguments.string("bus")?.filter(|bus| bus != BUS) {
        return Err(Error::generic(format!("Bus '{bus}' not found")));
    }
    let id = arguments.string("id")?;
    let id = id.map(|id| id.parse()).transpose();
    let id = id.map_err(|_: DeviceIdError| Error::generic("Parameter 'id' expects an identifier"))?;
    let choice = Properties::read(arguments.rest())?.choice(files)?;
    match handle.add_device(VfioApOption { choice, id }) {
        Ok(_) => Ok(done()),
        Err(Refusal::Plan(PlanError::ApOff { .. })) => Err(no_bus("the guest's CPU has ap=off")),
        Err(Refusal::Plan(PlanError::NoAp { host })) => {
            Err(no_bus(&format!("{host} gives a guest no AP instructions")))
        }
        Err(refusal) => Err(refused(&refusal)),
    }
}

/// A guest without AP instructions has nowhere to plug it.
fn no_bus(why: &str) -> Error {
    Error::generic(format!("No '{BUS}' bus found for device '{DRIVER}': {why}"))
}

/// The properties that say which device: QEMU's that are about a device in sysfs or an open one, and ours, as `--device`
/// has them.
#[derive(Debug, Default)]
struct Properties {
    sysfsdev: Option<String>,
    backend: Option<String>,
    fd: Option<String>,
    iommufd: Option<String>,
}

impl Properties {
    fn read(properties: Map<String, Value>) -> Result<Self, Error> {
        let mut read = Self::default();
        for (name, value) in properties {
            let place = match name.as_str() {
                "sysfsdev" => &mut read.sysfsdev,
                "backend" => &mut read.backend,
                "fd" => &mut read.fd,
                "iommufd" => &mut read.iommufd,
                _ => return Err(Error::generic(format!("Property '{DRIVER}.{name}' not found"))),
            };
            let Value::String(value) = value else { return Err(Error::wrong_type(&name, "string")) };
            *place = Some(value);
        }
        Ok(read)
    }

    /// Which device they mean. A file that `fd` names is taken out of `files`, whatever becomes of the device, as in QEMU.
    fn choice(self, files: &mut Files) -> Result<DeviceChoice, Error> {
        let Self { sysfsdev, backend, fd, iommufd } = self;
        match (sysfsdev, fd, iommufd) {
            (Some(_), Some(_), _) => Err(Error::generic("Parameter 'fd' is for a device without 'sysfsdev'")),
            (None, Some(_), None) => Err(Error::generic("Use FD passing only with iommufd backend")),
            (None, Some(fd), Some(iommufd)) => {
                if backend.is_some() {
                    return Err(Error::generic("Parameter 'backend' is for a device with 'sysfsdev'"));
                }
                let iommufd = files.iommufd(&iommufd)?.ok_or_else(|| {
                    Error::generic(format!("object '{iommufd}' has no 'fd', which a device with 'fd' needs"))
                })?;
                Ok(DeviceChoice::Sent { fd: files.take(fd)?, iommufd })
            }
            (Some(sysfsdev), None, Some(iommufd)) => match (files.iommufd(&iommufd)?, backend.as_deref()) {
                (None, None | Some("iommufd")) => {
                    Ok(DeviceChoice::Mdev { sysfsdev: sysfsdev.into(), backend: Some(VfioBackend::Iommufd) })
                }
                (None, Some(_)) => Err(Error::generic("Parameter 'backend' contradicts 'iommufd'")),
                (Some(_), _) => Err(Error::generic(format!(
                    "object '{iommufd}' has an 'fd', which a device with 'sysfsdev' does not take"
                ))),
            },
            (sysfsdev, None, _) => {
                let sysfsdev = sysfsdev.ok_or_else(|| Error::generic("Parameter 'sysfsdev' is missing"))?;
                Ok(DeviceChoice::Mdev {
                    sysfsdev: sysfsdev.into(),
                    backend: read_backend(backend.as_deref())?,
                })
            }
        }
    }
}

fn read_backend(backend: Option<&str>) -> Result<Option<VfioBackend>, Error> {
    match backend {
        None => Ok(None),
        Some("group") => Ok(Some(VfioBackend::Group)),
        Some("iommufd") => Ok(Some(VfioBackend::Iommufd)),
        Some(other) => Err(Error::generic(format!("Parameter 'backend' does not accept value '{other}'"))),
    }
}

/// `device_del`, by name or by path. When it is answered the device is gone; the event says so once more.
pub(super) fn delete(handle: &Handle, mut arguments: Arguments) -> Result<Value, Error> {
    let id = arguments.string("id")?;
    let name = arguments.required("id", id)?;
    arguments.finish()?;
    let id = name.strip_prefix(PERIPHERAL).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&name);
    match handle.remove_device(id) {
        Ok(()) => Ok(done()),
        // As the client has written it. A guest that is not there has no devices.
        Err(Refusal::NoSuchDevice { .. } | Refusal::NotCreated) => Err(Error::device_not_found(&name)),
        Err(refusal) => Err(refused(&refusal)),
    }
}

/// `qom-list`, of the one branch that clients look at: the devices.
pub(super) fn list(handle: &Handle, mut arguments: Arguments) -> Result<Value, Error> {
    let path = arguments.string("path")?;
    let path = arguments.required("path", path)?;
    arguments.finish()?;
    if path.trim_end_matches('/') != PERIPHERAL {
        return Err(Error::device_not_found(&path));
    }
    let device = match handle.info() {
        Ok(info) => info.device,
        Err(Refusal::NotCreated) => None,
        Err(refusal) => return Err(refused(&refusal)),
    };
    let own = json!({ "name": "type", "type": "string" });
    let device = device.map(|device| json!({ "name": device.id, "type": format!("child<{DRIVER}>") }));
    Ok([own].into_iter().chain(device).collect())
}
