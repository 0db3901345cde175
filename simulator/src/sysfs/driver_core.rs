//! Files that the kernel's driver core and the module loader put beside those of the AP bus and of vfio_ap
//! (`drivers/base/bus.c`, `kernel/module/sysfs.c`, 7.2).

use super::{Attribute, Errno};
use crate::{host::State, uevents::Synthetic};
use adjunct_ap::Uuid;

/// Whether the buses `matrix` and `mdev` ask their drivers for new devices. Neither minds: the one has a single device,
/// and mdevs are bound when they are made.
#[derive(Debug)]
pub(crate) struct Autoprobe {
    matrix: bool,
    mdev: bool,
}

impl Default for Autoprobe {
    fn default() -> Self {
        Self { matrix: true, mdev: true }
    }
}

/// `/sys/bus/matrix`.
#[rustfmt::skip]
pub(super) const BUS_MATRIX: &[Attribute<()>] = &[
    Attribute::rw("drivers_autoprobe", |state, ()| flag(state.autoprobe.matrix), |state, (), text| { state.autoprobe.matrix = !text.starts_with('0'); Ok(()) }),
    Attribute::wo("drivers_probe", |_, (), text| probe(name(text) == "matrix")),
    Attribute::wo("uevent", |state, (), text| synthesize(state, text, "/bus/matrix", "bus")),
];

/// `/sys/bus/matrix/drivers/vfio_ap`.
pub(super) const MATRIX_DRIVER: &[Attribute<()>] = &[Attribute::wo("uevent", |state, (), text| {
    synthesize(state, text, "/bus/matrix/drivers/vfio_ap", "drivers")
})];

/// `/sys/bus/mdev`.
#[rustfmt::skip]
pub(super) const BUS_MDEV: &[Attribute<()>] = &[
    Attribute::rw("drivers_autoprobe", |state, ()| flag(state.autoprobe.mdev), |state, (), text| { state.autoprobe.mdev = !text.starts_with('0'); Ok(()) }),
    Attribute::wo("drivers_probe", |state, (), text| probe(is_mdev(state, text))),
    Attribute::wo("uevent", |state, (), text| synthesize(state, text, "/bus/mdev", "bus")),
];

/// `/sys/bus/mdev/drivers/vfio_ap_mdev`. No device of the bus matches a driver (`drivers/vfio/mdev/mdev_driver.c:
/// mdev_match`), so nothing can be bound.
pub(super) const MDEV_DRIVER: &[Attribute<()>] = &[
    Attribute::wo("bind", |_, (), _| Err(libc::ENODEV)),
    Attribute::wo("uevent", |state, (), text| {
        synthesize(state, text, "/bus/mdev/drivers/vfio_ap_mdev", "drivers")
    }),
    Attribute::wo(
        "unbind",
        |state, (), text| if is_mdev(state, text) { Err(libc::EOPNOTSUPP) } else { Err(libc::ENODEV) },
    ),
];

/// `/sys/devices/vfio_ap`.
pub(super) const VFIO_AP: &[Attribute<()>] = &[Attribute::rw(
    "uevent",
    |_, ()| Ok(String::new()),
    // A root device has neither bus nor class, and udev is not told of such (`drivers/base/core.c: dev_uevent_filter`).
    |_, (), text| Synthetic::parse(text).map(|_| ()),
)];

/// A kernel module that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Module {
    /// Built in.
    Ap,
    Mdev,
    VfioAp,
    Zcrypt,
    ZcryptCex4,
}

/// `/sys/module/NAME`.
#[rustfmt::skip]
pub(super) const MODULE: &[Attribute<Module>] = &[
    Attribute::ro("initstate", |_, _| Ok("live\n".to_owned())).when(|_, module| module != Module::Ap),
    Attribute::ro("refcnt", |_, module| flag(matches!(module, Module::Mdev | Module::Zcrypt))).when(|_, module| module != Module::Ap),
    // udev is told of modules that come and go, but has nothing to do with them.
    Attribute::wo("uevent", |_, _, text| Synthetic::parse(text).map(|_| ())),
];

fn flag(on: bool) -> Result<String, Errno> {
    Ok(format!("{}\n", u8::from(on)))
}

/// What a write names; one trailing newline does not count (`lib/string_helpers.c: sysfs_streq`).
fn name(text: &str) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    text.strip_suffix('\n').unwrap_or(text)
}

/// Asking the drivers for a device that has one is nothing.
fn probe(is_there: bool) -> Result<(), Errno> {
    if is_there { Ok(()) } else { Err(libc::ENODEV) }
}

fn is_mdev(state: &State, text: &str) -> bool {
    let uuid: Option<Uuid> = name(text).parse().ok();
    uuid.is_some_and(|uuid| state.vfio.mdevs.contains_key(&uuid) && uuid.to_string() == name(text))
}

fn synthesize(state: &State, text: &str, devpath: &str, subsystem: &'static str) -> Result<(), Errno> {
    let Synthetic { action, environment } = Synthetic::parse(text)?;
    state.uevents.send(action, devpath.to_owned(), subsystem, environment);
    Ok(())
}
