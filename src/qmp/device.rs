//! `device_add` and its kin: one kind of device, one of it.

use super::{
    command::{done, refused},
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
pub(super) fn add(handle: &Handle, mut arguments: Arguments) -> Result<Value, Error> {
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
    let choice = choice(arguments.rest())?;
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

/// Which device the properties mean: those of QEMU's that are about a device in sysfs, and ours, as `--device` has them.
fn choice(properties: Map<String, Value>) -> Result<DeviceChoice, Error> {
    let (mut sysfsdev, mut backend) = (None, None);
    for (name, value) in properties {
        let place = match name.as_str() {
            "sysfsdev" => &mut sysfsdev,
            "backend" => &mut backend,
            _ => return Err(Error::generic(format!("Property '{DRIVER}.{name}' not found"))),
        };
        let Value::String(value) = value else { return Err(Error::wrong_type(&name, "string")) };
        *place = Some(value);
    }
    let sysfsdev = sysfsdev.ok_or_else(|| Error::generic("Parameter 'sysfsdev' is missing"))?;
    let backend = match backend.as_deref() {
        None => None,
        Some("group") => Some(VfioBackend::Group),
        Some("iommufd") => Some(VfioBackend::Iommufd),
        Some(other) => {
            return Err(Error::generic(format!("Parameter 'backend' does not accept value '{other}'")));
        }
    };
    Ok(DeviceChoice::Mdev { sysfsdev: sysfsdev.into(), backend })
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
