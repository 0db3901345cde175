//! The directories of `/sys` that have to do with AP, and where links lead.
//!
//! Nobody here asks where a link leads, so a link is just another name of the directory it leads to.

use super::attribute::{self, File};
use crate::{
    ap_bus::{self, DriverName},
    host::State,
    vfio_ap,
};
use adjunct_ap::{Apid, Apqn, Uuid};

/// A directory, under its one true name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Kernel,
    IommuGroups,
    IommuGroup(Uuid),
    IommuGroupDevices(Uuid),
}

/// What a name stands for.
pub(super) enum Entry {
    Dir(Dir),
    File(File),
}

/// Directories that are always there: where, name, what.
#[rustfmt::skip]
const STATIC: &[(Dir, &str, Dir)] = &[
    (Dir::Root, "bus", Dir::Bus),
    (Dir::Root, "class", Dir::Class),
    (Dir::Root, "devices", Dir::Devices),
    (Dir::Root, "kernel", Dir::Kernel),
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
    (Dir::BusMatrixDevices, "matrix", Dir::Matrix),
    (Dir::BusMatrixDrivers, "vfio_ap", Dir::BusMatrixDriver),
    (Dir::BusMatrixDriver, "matrix", Dir::Matrix),
    (Dir::BusMdev, "devices", Dir::BusMdevDevices),
    (Dir::BusMdev, "drivers", Dir::BusMdevDrivers),
    (Dir::BusMdevDrivers, "vfio_ap_mdev", Dir::BusMdevDriver),
    (Dir::Class, "mdev_bus", Dir::ClassMdevBus),
    (Dir::ClassMdevBus, "matrix", Dir::Matrix),
    (Dir::Devices, "ap", Dir::DevicesAp),
    (Dir::Devices, "vfio_ap", Dir::DevicesVfioAp),
    (Dir::DevicesVfioAp, "matrix", Dir::Matrix),
    (Dir::Matrix, "driver", Dir::BusMatrixDriver),
    (Dir::Matrix, "mdev_supported_types", Dir::MdevTypes),
    (Dir::Matrix, "subsystem", Dir::BusMatrix),
    (Dir::MdevTypes, "vfio_ap-passthrough", Dir::MdevType),
    (Dir::MdevType, "devices", Dir::MdevTypeDevices),
    (Dir::Kernel, "iommu_groups", Dir::IommuGroups),
];

/// Whether a directory is there at all: on a machine without AP instructions neither bus nor driver starts
/// (`drivers/s390/crypto/ap_bus.c: ap_module_init`, `vfio_ap_drv.c: vfio_ap_init`).
fn is_there(state: &State, dir: Dir) -> bool {
    let needs_ap =
        matches!(dir, Dir::BusAp | Dir::BusMatrix | Dir::ClassMdevBus | Dir::DevicesAp | Dir::DevicesVfioAp);
    state.has_ap || !needs_ap
}

/// What `name` stands for in `dir`.
pub(super) fn entry(state: &State, dir: Dir, name: &str) -> Option<Entry> {
    let fixed = STATIC.iter().find(|(of, n, to)| *of == dir && *n == name && is_there(state, *to));
    let fixed = fixed.map(|(_, _, to)| *to);
    if let Some(to) = fixed.or_else(|| changing(state, dir, name)) {
        return Some(Entry::Dir(to));
    }
    file(state, dir, name).map(Entry::File)
}

/// The names in `dir`, sorted.
pub(super) fn names(state: &State, dir: Dir) -> Vec<String> {
    let fixed = STATIC.iter().filter(|(of, _, to)| *of == dir && is_there(state, *to));
    let mut names: Vec<String> = fixed.map(|(_, name, _)| (*name).to_owned()).collect();
    names.extend(changing_names(state, dir));
    names.extend(file_names(state, dir));
    names.sort();
    names
}

fn file(state: &State, dir: Dir, name: &str) -> Option<File> {
    match dir {
        Dir::BusAp => attribute::find(ap_bus::BUS, state, (), name),
        Dir::BusApDriver(driver) => attribute::find(ap_bus::DRIVER, state, driver, name),
        Dir::Card(apid) => attribute::find(ap_bus::CARD, state, apid, name),
        Dir::Queue(apqn) => attribute::find(ap_bus::QUEUE, state, apqn, name),
        Dir::Matrix => attribute::find(vfio_ap::MATRIX, state, (), name),
        Dir::MdevType => attribute::find(vfio_ap::MDEV_TYPE, state, (), name),
        Dir::Mdev(uuid) => attribute::find(vfio_ap::MDEV, state, uuid, name),
        Dir::IommuGroup(uuid) => attribute::find(vfio_ap::IOMMU_GROUP, state, uuid, name),
        _ => None,
    }
}

fn file_names(state: &State, dir: Dir) -> Vec<String> {
    match dir {
        Dir::BusAp => attribute::names(ap_bus::BUS, state, ()),
        Dir::BusApDriver(driver) => attribute::names(ap_bus::DRIVER, state, driver),
        Dir::Card(apid) => attribute::names(ap_bus::CARD, state, apid),
        Dir::Queue(apqn) => attribute::names(ap_bus::QUEUE, state, apqn),
        Dir::Matrix => attribute::names(vfio_ap::MATRIX, state, ()),
        Dir::MdevType => attribute::names(vfio_ap::MDEV_TYPE, state, ()),
        Dir::Mdev(uuid) => attribute::names(vfio_ap::MDEV, state, uuid),
        Dir::IommuGroup(uuid) => attribute::names(vfio_ap::IOMMU_GROUP, state, uuid),
        _ => Vec::new(),
    }
}

/// A directory that comes and goes.
fn changing(state: &State, dir: Dir, name: &str) -> Option<Dir> {
    match dir {
        Dir::BusApDevices => card(state, name).or_else(|| queue(state, name)),
        Dir::DevicesAp => card(state, name),
        Dir::BusApDriver(DriverName::Cex4Card) => {
            card(state, name).filter(|dir| driver(state, *dir) == Some(DriverName::Cex4Card))
        }
        Dir::BusApDriver(of) => queue(state, name).filter(|dir| driver(state, *dir) == Some(of)),
        Dir::Card(apid) => match (name, queue(state, name)) {
            (_, Some(Dir::Queue(apqn))) if apqn.apid == apid => Some(Dir::Queue(apqn)),
            (_, Some(_)) => None,
            (name, None) => ap_link(state, dir, name),
        },
        Dir::Queue(_) => ap_link(state, dir, name),
        Dir::Matrix | Dir::MdevTypeDevices | Dir::BusMdevDevices | Dir::BusMdevDriver => mdev(state, name),
        Dir::Mdev(uuid) => match name {
            "driver" => Some(Dir::BusMdevDriver),
            "iommu_group" => Some(Dir::IommuGroup(uuid)),
            "mdev_type" => Some(Dir::MdevType),
            "subsystem" => Some(Dir::BusMdev),
            "vfio-dev" => Some(Dir::VfioDevs(uuid)),
            _ => None,
        },
        Dir::VfioDevs(uuid) => (name == vfio_dev(state, uuid)?).then_some(Dir::VfioDev(uuid)),
        Dir::IommuGroups => {
            let mut groups = state.vfio.mdevs.iter().map(|(uuid, mdev)| (*uuid, mdev.group));
            groups.find(|(_, group)| group.to_string() == name).map(|(uuid, _)| Dir::IommuGroup(uuid))
        }
        Dir::IommuGroup(uuid) => (name == "devices").then_some(Dir::IommuGroupDevices(uuid)),
        Dir::IommuGroupDevices(uuid) => mdev(state, name).filter(|dir| *dir == Dir::Mdev(uuid)),
        _ => None,
    }
}

fn changing_names(state: &State, dir: Dir) -> Vec<String> {
    let card = |apid: &Apid| format!("card{apid}");
    let bus = &state.bus;
    match dir {
        Dir::BusApDevices => {
            bus.cards.keys().map(card).chain(bus.queues.keys().map(Apqn::to_string)).collect()
        }
        Dir::DevicesAp => bus.cards.keys().map(card).collect(),
        Dir::BusApDriver(DriverName::Cex4Card) => {
            bus.cards.iter().filter(|(_, device)| device.bound).map(|(apid, _)| card(apid)).collect()
        }
        Dir::BusApDriver(of) => {
            let bound = bus
                .queues
                .iter()
                .filter(|(_, device)| device.driver.is_some_and(|driver| DriverName::from(driver) == of));
            bound.map(|(apqn, _)| apqn.to_string()).collect()
        }
        Dir::Card(apid) => {
            let queues = bus.queues.keys().filter(|apqn| apqn.apid == apid).map(Apqn::to_string);
            queues.chain(ap_links(state, dir)).collect()
        }
        Dir::Queue(_) => ap_links(state, dir),
        Dir::Matrix | Dir::MdevTypeDevices | Dir::BusMdevDevices | Dir::BusMdevDriver => {
            state.vfio.mdevs.keys().map(Uuid::to_string).collect()
        }
        Dir::Mdev(_) => {
            ["driver", "iommu_group", "mdev_type", "subsystem", "vfio-dev"].map(str::to_owned).into()
        }
        Dir::VfioDevs(uuid) => vfio_dev(state, uuid).into_iter().collect(),
        Dir::IommuGroups => state.vfio.mdevs.values().map(|mdev| mdev.group.to_string()).collect(),
        Dir::IommuGroup(_) => vec!["devices".to_owned()],
        Dir::IommuGroupDevices(uuid) => vec![uuid.to_string()],
        _ => Vec::new(),
    }
}

fn card(state: &State, name: &str) -> Option<Dir> {
    let apid = Apid(u8::from_str_radix(name.strip_prefix("card")?, 16).ok()?);
    (state.bus.cards.contains_key(&apid) && format!("card{apid}") == name).then_some(Dir::Card(apid))
}

fn queue(state: &State, name: &str) -> Option<Dir> {
    let apqn: Apqn = name.parse().ok()?;
    (state.bus.queues.contains_key(&apqn) && apqn.to_string() == name).then_some(Dir::Queue(apqn))
}

fn mdev(state: &State, name: &str) -> Option<Dir> {
    let uuid: Uuid = name.parse().ok()?;
    (state.vfio.mdevs.contains_key(&uuid) && uuid.to_string() == name).then_some(Dir::Mdev(uuid))
}

fn vfio_dev(state: &State, uuid: Uuid) -> Option<String> {
    state.vfio.mdevs.get(&uuid).map(|mdev| format!("vfio{}", mdev.group))
}

fn driver(state: &State, dir: Dir) -> Option<DriverName> {
    match dir {
        Dir::Card(apid) => state.bus.cards.get(&apid)?.bound.then_some(DriverName::Cex4Card),
        Dir::Queue(apqn) => Some(state.bus.queues.get(&apqn)?.driver?.into()),
        _ => None,
    }
}

fn ap_link(state: &State, dir: Dir, name: &str) -> Option<Dir> {
    match name {
        "driver" => driver(state, dir).map(Dir::BusApDriver),
        "subsystem" => Some(Dir::BusAp),
        _ => None,
    }
}

fn ap_links(state: &State, dir: Dir) -> Vec<String> {
    let driver = driver(state, dir).map(|_| "driver".to_owned());
    driver.into_iter().chain(["subsystem".to_owned()]).collect()
}
