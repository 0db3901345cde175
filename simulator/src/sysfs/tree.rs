//! What is in each directory of `/sys`: directories, links and attributes.

use super::{
    attribute,
    dir::{DIRECTORIES, Dir, LINKS, is_there},
    driver_core,
};
use crate::{
    ap_bus::{self, DriverName},
    host::State,
    uevents, vfio_ap,
};
use adjunct_ap::{Apid, Apqi, Apqn, Uuid};

pub(super) use attribute::File;

/// What a name stands for.
pub(super) enum Entry {
    Directory(Dir),
    Link(Dir),
    File(File),
}

/// What `name` stands for in `dir`.
pub(super) fn entry(state: &State, dir: Dir, name: &str) -> Option<Entry> {
    directory(state, dir, name)
        .map(Entry::Directory)
        .or_else(|| link(state, dir, name).map(Entry::Link))
        .or_else(|| file(state, dir, name).map(Entry::File))
}

fn fixed(table: &[(Dir, &str, Dir)], state: &State, dir: Dir, name: &str) -> Option<Dir> {
    let row = table.iter().find(|(of, n, to)| *of == dir && *n == name && is_there(state, *to));
    row.map(|(_, _, to)| *to)
}

fn all_fixed(table: &[(Dir, &str, Dir)], state: &State, dir: Dir) -> Vec<(String, Dir)> {
    let rows = table.iter().filter(|(of, _, to)| *of == dir && is_there(state, *to));
    rows.map(|(_, name, to)| ((*name).to_owned(), *to)).collect()
}

/// The directory `name` that has its place in `dir`.
fn directory(state: &State, dir: Dir, name: &str) -> Option<Dir> {
    if let Some(dir) = fixed(DIRECTORIES, state, dir, name) {
        return Some(dir);
    }
    match dir {
        Dir::DevicesAp => card(state, name),
        Dir::Card(apid) => queue(state, name).filter(|dir| matches!(dir, Dir::Queue(q) if q.apid == apid)),
        Dir::Matrix => mdev(state, name),
        Dir::Mdev(uuid) => (name == "vfio-dev" && stays(state, &uuid)).then_some(Dir::VfioDevs(uuid)),
        Dir::VfioDevs(uuid) => (name == vfio_dev(state, uuid)?).then_some(Dir::VfioDev(uuid)),
        Dir::VfioGroups => group(state, name).map(Dir::VfioGroup),
        Dir::IommuGroups => group(state, name).map(Dir::IommuGroup),
        Dir::IommuGroup(uuid) => (name == "devices").then_some(Dir::IommuGroupDevices(uuid)),
        _ => None,
    }
}

/// The directories that have their place in `dir`.
pub(super) fn directories(state: &State, dir: Dir) -> Vec<(String, Dir)> {
    let mut all = all_fixed(DIRECTORIES, state, dir);
    match dir {
        Dir::DevicesAp => all.extend(state.bus.cards.keys().map(named_card)),
        Dir::Card(apid) => all.extend(queues_of(state, apid).map(|apqn| named_queue(&apqn))),
        Dir::Matrix => all.extend(state.vfio.mdevs.keys().map(named_mdev)),
        Dir::Mdev(uuid) if stays(state, &uuid) => all.push(("vfio-dev".to_owned(), Dir::VfioDevs(uuid))),
        Dir::VfioDevs(uuid) => all.extend(vfio_dev(state, uuid).map(|name| (name, Dir::VfioDev(uuid)))),
        Dir::VfioGroups => all.extend(groups(state, "").map(|(name, uuid)| (name, Dir::VfioGroup(uuid)))),
        Dir::IommuGroups => all.extend(groups(state, "").map(|(name, uuid)| (name, Dir::IommuGroup(uuid)))),
        Dir::IommuGroup(uuid) => all.push(("devices".to_owned(), Dir::IommuGroupDevices(uuid))),
        _ => {}
    }
    all
}

/// How many [`directories`] there are, without their names: asked at each step of each path.
pub(super) fn count_directories(state: &State, dir: Dir) -> usize {
    let fixed = DIRECTORIES.iter().filter(|(of, _, to)| *of == dir && is_there(state, *to)).count();
    fixed
        + match dir {
            Dir::DevicesAp => state.bus.cards.len(),
            Dir::Card(apid) => queues_of(state, apid).count(),
            Dir::Matrix | Dir::VfioGroups | Dir::IommuGroups => state.vfio.mdevs.len(),
            Dir::Mdev(uuid) => usize::from(stays(state, &uuid)),
            Dir::VfioDevs(uuid) => usize::from(state.vfio.mdevs.contains_key(&uuid)),
            Dir::IommuGroup(_) => 1,
            _ => 0,
        }
}

/// Where the link `name` in `dir` leads.
fn link(state: &State, dir: Dir, name: &str) -> Option<Dir> {
    if let Some(to) = fixed(LINKS, state, dir, name) {
        return Some(to);
    }
    match dir {
        Dir::BusApDevices => card(state, name).or_else(|| queue(state, name)),
        Dir::BusApDriver(of) => card(state, name)
            .or_else(|| queue(state, name))
            .filter(|device| driver(state, *device) == Some(of)),
        Dir::MdevTypeDevices | Dir::BusMdevDevices | Dir::BusMdevDriver => {
            mdev(state, name).filter(|dir| matches!(dir, Dir::Mdev(uuid) if stays(state, uuid)))
        }
        Dir::IommuGroupDevices(uuid) => mdev(state, name).filter(|dir| *dir == Dir::Mdev(uuid)),
        Dir::ClassVfio => group(state, name).map(Dir::VfioGroup),
        Dir::ClassVfioDev => {
            group(state, name.strip_prefix("vfio")?).filter(|uuid| stays(state, uuid)).map(Dir::VfioDev)
        }
        Dir::Card(_) | Dir::Queue(_) | Dir::Mdev(_) | Dir::VfioDev(_) | Dir::VfioGroup(_) => {
            device_links(state, dir).into_iter().find(|(n, _)| *n == name).map(|(_, to)| to)
        }
        _ => None,
    }
}

/// The links in `dir` and where they lead.
pub(super) fn links(state: &State, dir: Dir) -> Vec<(String, Dir)> {
    let mut all = all_fixed(LINKS, state, dir);
    let bus = &state.bus;
    match dir {
        Dir::BusApDevices => {
            all.extend(bus.cards.keys().map(named_card));
            all.extend(bus.queues.keys().map(named_queue));
        }
        Dir::BusApDriver(DriverName::Cex4Card) => {
            all.extend(bus.cards.iter().filter(|(_, card)| card.bound).map(|(apid, _)| named_card(apid)));
        }
        Dir::BusApDriver(of) => {
            let bound = bus.queues.iter().filter(|(_, queue)| queue.driver.map(DriverName::from) == Some(of));
            all.extend(bound.map(|(apqn, _)| named_queue(apqn)));
        }
        Dir::MdevTypeDevices | Dir::BusMdevDevices | Dir::BusMdevDriver => {
            all.extend(state.vfio.mdevs.keys().filter(|uuid| stays(state, uuid)).map(named_mdev));
        }
        Dir::IommuGroupDevices(uuid) => all.push(named_mdev(&uuid)),
        Dir::ClassVfio => all.extend(groups(state, "").map(|(name, uuid)| (name, Dir::VfioGroup(uuid)))),
        Dir::ClassVfioDev => {
            let devices = groups(state, "vfio").filter(|(_, uuid)| stays(state, uuid));
            all.extend(devices.map(|(name, uuid)| (name, Dir::VfioDev(uuid))));
        }
        Dir::Card(_) | Dir::Queue(_) | Dir::Mdev(_) | Dir::VfioDev(_) | Dir::VfioGroup(_) => {
            all.extend(device_links(state, dir).into_iter().map(|(name, to)| (name.to_owned(), to)));
        }
        _ => {}
    }
    all
}

/// What devices say of themselves by links.
fn device_links(state: &State, device: Dir) -> Vec<(&'static str, Dir)> {
    match device {
        Dir::Card(_) | Dir::Queue(_) => {
            let driver = driver(state, device).map(|driver| ("driver", Dir::BusApDriver(driver)));
            driver.into_iter().chain([("subsystem", Dir::BusAp)]).collect()
        }
        Dir::Mdev(uuid) if !stays(state, &uuid) => vec![("iommu_group", Dir::IommuGroup(uuid))],
        Dir::Mdev(uuid) => vec![
            ("driver", Dir::BusMdevDriver),
            ("iommu_group", Dir::IommuGroup(uuid)),
            ("mdev_type", Dir::MdevType),
            ("subsystem", Dir::BusMdev),
        ],
        Dir::VfioDev(uuid) => vec![("device", Dir::Mdev(uuid)), ("subsystem", Dir::ClassVfioDev)],
        Dir::VfioGroup(_) => vec![("subsystem", Dir::ClassVfio)],
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

fn queues_of(state: &State, apid: Apid) -> impl Iterator<Item = Apqn> {
    let all = Apqn { apid, apqi: Apqi(0) }..=Apqn { apid, apqi: Apqi(u8::MAX) };
    state.bus.queues.range(all).map(|(apqn, _)| *apqn)
}

fn mdev(state: &State, name: &str) -> Option<Dir> {
    let uuid: Uuid = name.parse().ok()?;
    (state.vfio.mdevs.contains_key(&uuid) && uuid.to_string() == name).then_some(Dir::Mdev(uuid))
}

/// A removal that waits for whoever has the mdev open has taken away what leads to it, and all but its group
/// (`drivers/base/core.c: device_del`).
fn stays(state: &State, uuid: &Uuid) -> bool {
    !state.vfio.is_being_removed(*uuid)
}

/// The mdev of the group with this number.
fn group(state: &State, name: &str) -> Option<Uuid> {
    let number: u32 = name.parse().ok()?;
    let uuid = state.vfio.mdevs.iter().find(|(_, mdev)| mdev.group == number).map(|(uuid, _)| *uuid);
    uuid.filter(|_| number.to_string() == name)
}

/// The numbers of all groups, after `prefix`.
fn groups(state: &State, prefix: &'static str) -> impl Iterator<Item = (String, Uuid)> {
    state.vfio.mdevs.iter().map(move |(uuid, mdev)| (format!("{prefix}{}", mdev.group), *uuid))
}

fn vfio_dev(state: &State, uuid: Uuid) -> Option<String> {
    state.vfio.mdevs.get(&uuid).map(|mdev| format!("vfio{}", mdev.group))
}

fn named_card(apid: &Apid) -> (String, Dir) {
    (format!("card{apid}"), Dir::Card(*apid))
}

fn named_queue(apqn: &Apqn) -> (String, Dir) {
    (apqn.to_string(), Dir::Queue(*apqn))
}

fn named_mdev(uuid: &Uuid) -> (String, Dir) {
    (uuid.to_string(), Dir::Mdev(*uuid))
}

fn driver(state: &State, device: Dir) -> Option<DriverName> {
    match device {
        Dir::Card(apid) => state.bus.cards.get(&apid)?.bound.then_some(DriverName::Cex4Card),
        Dir::Queue(apqn) => Some(state.bus.queues.get(&apqn)?.driver?.into()),
        _ => None,
    }
}

/// Looks something up in the table of attributes of `dir`.
macro_rules! attributes {
    ($of:path, $state:expr, $dir:expr $(, $name:expr)?) => {
        match $dir {
            Dir::BusAp => $of(ap_bus::BUS, $state, () $(, $name)?),
            Dir::BusApDriver(driver) => $of(ap_bus::DRIVER, $state, driver $(, $name)?),
            Dir::BusMatrix => $of(driver_core::BUS_MATRIX, $state, () $(, $name)?),
            Dir::BusMatrixDriver => $of(driver_core::MATRIX_DRIVER, $state, () $(, $name)?),
            Dir::BusMdev => $of(driver_core::BUS_MDEV, $state, () $(, $name)?),
            Dir::BusMdevDriver => $of(driver_core::MDEV_DRIVER, $state, () $(, $name)?),
            Dir::DevicesAp => $of(ap_bus::ROOT_DEVICE, $state, () $(, $name)?),
            Dir::DevicesVfioAp => $of(driver_core::VFIO_AP, $state, () $(, $name)?),
            Dir::VfioDev(uuid) => $of(vfio_ap::VFIO_DEV, $state, uuid $(, $name)?),
            Dir::VfioGroup(uuid) => $of(vfio_ap::VFIO_GROUP, $state, uuid $(, $name)?),
            Dir::Module(module) => $of(driver_core::MODULE, $state, module $(, $name)?),
            Dir::Card(apid) => $of(ap_bus::CARD, $state, apid $(, $name)?),
            Dir::Queue(apqn) => $of(ap_bus::QUEUE, $state, apqn $(, $name)?),
            Dir::Matrix => $of(vfio_ap::MATRIX, $state, () $(, $name)?),
            Dir::MdevType => $of(vfio_ap::MDEV_TYPE, $state, () $(, $name)?),
            Dir::Mdev(uuid) => $of(vfio_ap::MDEV, $state, uuid $(, $name)?),
            Dir::IommuGroup(uuid) => $of(vfio_ap::IOMMU_GROUP, $state, uuid $(, $name)?),
            Dir::Kernel => $of(uevents::KERNEL, $state, () $(, $name)?),
            _ => Default::default(),
        }
    };
}

/// The attribute `name` of `dir`.
pub(super) fn file(state: &State, dir: Dir, name: &str) -> Option<File> {
    attributes!(attribute::find, state, dir, name)
}

/// The attributes of `dir`.
pub(super) fn files(state: &State, dir: Dir) -> Vec<&'static str> {
    attributes!(attribute::names, state, dir)
}
