//! The files of the matrix device, of its mdev type, of mdevs and of what VFIO makes for each.

use super::{
    Mdev,
    uevent::{DEVICE_MAJOR, GROUP_MAJOR, Known},
};
use crate::{
    host::State,
    sysfs::{Attribute, Errno},
};
use adjunct_ap::{Uuid, text};

/// `/sys/devices/vfio_ap/matrix`.
pub(crate) const MATRIX: &[Attribute<()>] = &[
    Attribute::ro("features", |_, ()| Ok("guest_matrix hotplug ap_config\n".to_owned())),
    Attribute::rw(
        "uevent",
        |_, ()| Ok(Known::matrix().uevent()),
        |state, (), text| Known::matrix().synthesize(&state.uevents, text),
    ),
];

/// `/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough`.
pub(crate) const MDEV_TYPE: &[Attribute<()>] = &[
    Attribute::ro("available_instances", |state, ()| Ok(format!("{}\n", state.vfio.available()))),
    Attribute::wo("create", |state, (), text| state.store_create(text)),
    Attribute::ro("device_api", |_, ()| Ok("vfio-ap\n".to_owned())),
    Attribute::ro("name", |_, ()| Ok("VFIO AP Passthrough Device\n".to_owned())),
];

/// An mdev.
#[rustfmt::skip]
pub(crate) const MDEV: &[Attribute<Uuid>] = &[
    Attribute::rw("ap_config", |state, uuid| Ok(text::format_ap_config(&mdev(state, uuid)?.matrix)), State::store_ap_config).when(stays),
    Attribute::wo("assign_adapter", State::store_assign_adapter).when(stays),
    Attribute::wo("assign_control_domain", State::store_assign_control_domain).when(stays),
    Attribute::wo("assign_domain", State::store_assign_domain).when(stays),
    Attribute::ro("control_domains", |state, uuid| Ok(text::format_control_domains(&mdev(state, uuid)?.matrix.adm))).when(stays),
    Attribute::ro("guest_matrix", |state, uuid| mdev(state, uuid).map(|mdev| text::format_matrix(&mdev.shadow.apm, &mdev.shadow.aqm))).when(stays),
    Attribute::ro("matrix", |state, uuid| mdev(state, uuid).map(|mdev| text::format_matrix(&mdev.matrix.apm, &mdev.matrix.aqm))).when(stays),
    Attribute::wo("remove", State::store_remove).when(stays),
    Attribute::rw("uevent", |_, uuid| Ok(Known::mdev(uuid).uevent()), |state, uuid, text| Known::mdev(uuid).synthesize(&state.uevents, text)).when(stays),
    Attribute::wo("unassign_adapter", State::store_unassign_adapter).when(stays),
    Attribute::wo("unassign_control_domain", State::store_unassign_control_domain).when(stays),
    Attribute::wo("unassign_domain", State::store_unassign_domain).when(stays),
];

/// `/sys/devices/vfio_ap/matrix/UUID/vfio-dev/vfioN`.
#[rustfmt::skip]
pub(crate) const VFIO_DEV: &[Attribute<Uuid>] = &[
    Attribute::ro("dev", |state, uuid| Ok(format!("{DEVICE_MAJOR}:{}\n", mdev(state, uuid)?.group))),
    Attribute::rw("uevent", |state, uuid| Ok(device(state, uuid)?.uevent()), |state, uuid, text| device(state, uuid)?.synthesize(&state.uevents, text)),
];

/// `/sys/devices/virtual/vfio/N`.
#[rustfmt::skip]
pub(crate) const VFIO_GROUP: &[Attribute<Uuid>] = &[
    Attribute::ro("dev", |state, uuid| Ok(format!("{GROUP_MAJOR}:{}\n", mdev(state, uuid)?.group))),
    Attribute::rw("uevent", |state, uuid| Ok(group(state, uuid)?.uevent()), |state, uuid, text| group(state, uuid)?.synthesize(&state.uevents, text)),
];

/// `/sys/kernel/iommu_groups/N`: a group without an IOMMU.
pub(crate) const IOMMU_GROUP: &[Attribute<Uuid>] = &[
    Attribute::ro("name", |_, _| Ok("vfio-noiommu\n".to_owned())),
    Attribute::ro("reserved_regions", |_, _| Ok(String::new())),
    Attribute::rw("type", |_, _| Ok("unknown\n".to_owned()), |_, _, _| Err(libc::EINVAL)),
];

/// A removal takes all files away, and then waits for whoever has the mdev open
/// (`drivers/base/dd.c: __device_release_driver`).
fn stays(state: &State, uuid: Uuid) -> bool {
    !state.vfio.is_being_removed(uuid)
}

fn mdev(state: &State, uuid: Uuid) -> Result<&Mdev, Errno> {
    state.vfio.mdev(uuid)
}

fn device(state: &State, uuid: Uuid) -> Result<Known, Errno> {
    Ok(Known::device(uuid, mdev(state, uuid)?.group))
}

fn group(state: &State, uuid: Uuid) -> Result<Known, Errno> {
    Ok(Known::group(mdev(state, uuid)?.group))
}
