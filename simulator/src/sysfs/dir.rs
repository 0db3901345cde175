//! The directories of `/sys` that have to do with AP: where each has its place, and which links are always there.

use super::driver_core::Module;
use crate::{ap_bus::DriverName, host::State};
use adjunct_ap::{Apid, Apqn, Uuid};

/// A directory, under its one true name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dir {
    Root,
    Bus,
    BusAp,
    BusApDevices,
    BusApDrivers,
    BusApDriver(DriverName),
    BusMatrix,
    BusMatrixDevices,
    BusMatrixDrivers,
    BusMatrixDriver,
    BusMdev,
    BusMdevDevices,
    BusMdevDrivers,
    BusMdevDriver,
    Class,
    ClassMdevBus,
    ClassVfio,
    ClassVfioDev,
    Devices,
    DevicesAp,
    Card(Apid),
    Queue(Apqn),
    DevicesVfioAp,
    Matrix,
    MdevTypes,
    MdevType,
    MdevTypeDevices,
    Mdev(Uuid),
    VfioDevs(Uuid),
    VfioDev(Uuid),
    DevicesVirtual,
    VfioGroups,
    VfioGroup(Uuid),
    Kernel,
    IommuGroups,
    IommuGroup(Uuid),
    IommuGroupDevices(Uuid),
    Modules,
    Module(Module),
    ModuleDrivers(Module),
    ModuleHolders(Module),
}

/// Directories that are always there: in which one, name, what.
#[rustfmt::skip]
pub(super) const DIRECTORIES: &[(Dir, &str, Dir)] = &[
    (Dir::Root, "bus", Dir::Bus),
    (Dir::Root, "class", Dir::Class),
    (Dir::Root, "devices", Dir::Devices),
    (Dir::Root, "kernel", Dir::Kernel),
    (Dir::Root, "module", Dir::Modules),
    (Dir::Bus, "ap", Dir::BusAp),
    (Dir::Bus, "matrix", Dir::BusMatrix),
    (Dir::Bus, "mdev", Dir::BusMdev),
    (Dir::BusAp, "devices", Dir::BusApDevices),
    (Dir::BusAp, "drivers", Dir::BusApDrivers),
    (Dir::BusApDrivers, "cex4card", Dir::BusApDriver(DriverName::Cex4Card)),
    (Dir::BusApDrivers, "cex4queue", Dir::BusApDriver(DriverName::Cex4Queue)),
    (Dir::BusApDrivers, "vfio_ap", Dir::BusApDriver(DriverName::VfioAp)),
    (Dir::BusMatrix, "devices", Dir::BusMatrixDevices),
    (Dir::BusMatrix, "drivers", Dir::BusMatrixDrivers),
    (Dir::BusMatrixDrivers, "vfio_ap", Dir::BusMatrixDriver),
    (Dir::BusMdev, "devices", Dir::BusMdevDevices),
    (Dir::BusMdev, "drivers", Dir::BusMdevDrivers),
    (Dir::BusMdevDrivers, "vfio_ap_mdev", Dir::BusMdevDriver),
    (Dir::Class, "mdev_bus", Dir::ClassMdevBus),
    (Dir::Class, "vfio", Dir::ClassVfio),
    (Dir::Class, "vfio-dev", Dir::ClassVfioDev),
    (Dir::Devices, "ap", Dir::DevicesAp),
    (Dir::Devices, "vfio_ap", Dir::DevicesVfioAp),
    (Dir::Devices, "virtual", Dir::DevicesVirtual),
    (Dir::DevicesVfioAp, "matrix", Dir::Matrix),
    (Dir::DevicesVirtual, "vfio", Dir::VfioGroups),
    (Dir::Matrix, "mdev_supported_types", Dir::MdevTypes),
    (Dir::MdevTypes, "vfio_ap-passthrough", Dir::MdevType),
    (Dir::MdevType, "devices", Dir::MdevTypeDevices),
    (Dir::Kernel, "iommu_groups", Dir::IommuGroups),
    (Dir::Modules, "ap", Dir::Module(Module::Ap)),
    (Dir::Modules, "mdev", Dir::Module(Module::Mdev)),
    (Dir::Modules, "vfio_ap", Dir::Module(Module::VfioAp)),
    (Dir::Modules, "zcrypt", Dir::Module(Module::Zcrypt)),
    (Dir::Modules, "zcrypt_cex4", Dir::Module(Module::ZcryptCex4)),
    (Dir::Module(Module::Mdev), "holders", Dir::ModuleHolders(Module::Mdev)),
    (Dir::Module(Module::VfioAp), "drivers", Dir::ModuleDrivers(Module::VfioAp)),
    (Dir::Module(Module::VfioAp), "holders", Dir::ModuleHolders(Module::VfioAp)),
    (Dir::Module(Module::Zcrypt), "holders", Dir::ModuleHolders(Module::Zcrypt)),
    (Dir::Module(Module::ZcryptCex4), "drivers", Dir::ModuleDrivers(Module::ZcryptCex4)),
    (Dir::Module(Module::ZcryptCex4), "holders", Dir::ModuleHolders(Module::ZcryptCex4)),
];

/// Links that are always there: in which directory, name, to which directory.
#[rustfmt::skip]
pub(super) const LINKS: &[(Dir, &str, Dir)] = &[
    (Dir::BusApDriver(DriverName::Cex4Card), "module", Dir::Module(Module::ZcryptCex4)),
    (Dir::BusApDriver(DriverName::Cex4Queue), "module", Dir::Module(Module::ZcryptCex4)),
    (Dir::BusApDriver(DriverName::VfioAp), "module", Dir::Module(Module::VfioAp)),
    (Dir::BusMatrixDevices, "matrix", Dir::Matrix),
    (Dir::BusMatrixDriver, "matrix", Dir::Matrix),
    (Dir::BusMdevDriver, "module", Dir::Module(Module::VfioAp)),
    (Dir::ClassMdevBus, "matrix", Dir::Matrix),
    (Dir::DevicesVfioAp, "module", Dir::Module(Module::VfioAp)),
    (Dir::Matrix, "driver", Dir::BusMatrixDriver),
    (Dir::Matrix, "subsystem", Dir::BusMatrix),
    (Dir::ModuleDrivers(Module::VfioAp), "ap:vfio_ap", Dir::BusApDriver(DriverName::VfioAp)),
    (Dir::ModuleDrivers(Module::VfioAp), "mdev:vfio_ap_mdev", Dir::BusMdevDriver),
    (Dir::ModuleDrivers(Module::ZcryptCex4), "ap:cex4card", Dir::BusApDriver(DriverName::Cex4Card)),
    (Dir::ModuleDrivers(Module::ZcryptCex4), "ap:cex4queue", Dir::BusApDriver(DriverName::Cex4Queue)),
    (Dir::ModuleHolders(Module::Mdev), "vfio_ap", Dir::Module(Module::VfioAp)),
    (Dir::ModuleHolders(Module::Zcrypt), "zcrypt_cex4", Dir::Module(Module::ZcryptCex4)),
];

/// Whether a directory is there at all: on a machine without AP instructions neither bus nor driver starts
/// (`drivers/s390/crypto/ap_bus.c: ap_module_init`, `vfio_ap_drv.c: vfio_ap_init`).
pub(super) fn is_there(state: &State, dir: Dir) -> bool {
    let needs_ap = matches!(
        dir,
        Dir::BusAp
            | Dir::BusMatrix
            | Dir::ClassMdevBus
            | Dir::DevicesAp
            | Dir::DevicesVfioAp
            | Dir::BusMdevDriver
            | Dir::Module(Module::VfioAp | Module::Zcrypt | Module::ZcryptCex4)
    );
    state.has_ap || !needs_ap
}

/// Where `dir` has its place: in which directory, under which name. `None` for the root, and for what is gone.
pub(super) fn place(state: &State, dir: Dir) -> Option<(Dir, String)> {
    if let Some((parent, name, _)) = DIRECTORIES.iter().find(|(_, _, of)| *of == dir) {
        return Some((*parent, (*name).to_owned()));
    }
    let group = |uuid: &Uuid| Some(state.vfio.mdevs.get(uuid)?.group);
    Some(match dir {
        Dir::Card(apid) => (Dir::DevicesAp, format!("card{apid}")),
        Dir::Queue(apqn) => (Dir::Card(apqn.apid), apqn.to_string()),
        Dir::Mdev(uuid) => (Dir::Matrix, uuid.to_string()),
        Dir::VfioDevs(uuid) => (Dir::Mdev(uuid), "vfio-dev".to_owned()),
        Dir::VfioDev(uuid) => (Dir::VfioDevs(uuid), format!("vfio{}", group(&uuid)?)),
        Dir::VfioGroup(uuid) => (Dir::VfioGroups, group(&uuid)?.to_string()),
        Dir::IommuGroup(uuid) => (Dir::IommuGroups, group(&uuid)?.to_string()),
        Dir::IommuGroupDevices(uuid) => (Dir::IommuGroup(uuid), "devices".to_owned()),
        _ => return None,
    })
}

/// Which of the devices that have had this name a directory belongs to; 0 for directories that are always there.
/// `None` for what is gone.
pub(super) fn device(state: &State, dir: Dir) -> Option<u64> {
    match dir {
        Dir::Card(apid) => state.bus.cards.get(&apid).map(|card| card.born),
        Dir::Queue(apqn) => state.bus.queues.get(&apqn).map(|queue| queue.born),
        Dir::Mdev(uuid)
        | Dir::VfioDevs(uuid)
        | Dir::VfioDev(uuid)
        | Dir::VfioGroup(uuid)
        | Dir::IommuGroup(uuid)
        | Dir::IommuGroupDevices(uuid) => state.vfio.mdevs.get(&uuid).map(|mdev| mdev.born),
        _ => Some(0),
    }
}

/// The directories from the root to `dir` with their names; without the root itself.
fn way(state: &State, dir: Dir) -> Vec<(Dir, String)> {
    let mut way = Vec::new();
    let mut at = dir;
    while let Some((parent, name)) = place(state, at) {
        way.push((at, name));
        at = parent;
    }
    way.reverse();
    way
}

/// The path of `dir` below `/sys`.
pub(super) fn path(state: &State, dir: Dir) -> String {
    let names: Vec<String> = way(state, dir).into_iter().map(|(_, name)| name).collect();
    names.join("/")
}

/// What a link in `from` to `to` says (`fs/kernfs/symlink.c: kernfs_get_target_path`): up to the nearest directory
/// that `to` is below, and down from there.
pub(super) fn target(state: &State, from: Dir, to: Dir) -> String {
    let (from, to) = (way(state, from), way(state, to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a.0 == b.0).count().min(to.len().saturating_sub(1));
    let up = std::iter::repeat_n("..", from.len() - common);
    let down = to[common..].iter().map(|(_, name)| name.as_str());
    up.chain(down).collect::<Vec<_>>().join("/")
}
