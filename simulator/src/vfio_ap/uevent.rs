//! What the kernel tells udev of mdevs and of what VFIO makes for each (`drivers/vfio/mdev/mdev_core.c`,
//! `drivers/vfio/group.c`, `drivers/vfio/vfio_main.c`, with `CONFIG_VFIO_DEVICE_CDEV`).

use crate::{
    host::State,
    sysfs::Errno,
    uevents::{Synthetic, Uevents},
};
use adjunct_ap::Uuid;

/// The matrix device.
const MATRIX_PATH: &str = "/devices/vfio_ap/matrix";

/// Major numbers of VFIO's groups and of its character devices. A kernel gives out what is free, from 254 down; these are
/// what Debian's has free.
const GROUP_MAJOR: u32 = 246;
const DEVICE_MAJOR: u32 = 245;

fn mdev_path(uuid: Uuid) -> String {
    format!("{MATRIX_PATH}/{uuid}")
}

/// What an event of a device with a node in `/dev` says.
fn node(major: u32, minor: u32, name: String) -> Vec<String> {
    vec![format!("MAJOR={major}"), format!("MINOR={minor}"), format!("DEVNAME={name}")]
}

fn tell_group(uevents: &Uevents, action: &'static str, number: u32) {
    let node = node(GROUP_MAJOR, number, format!("vfio/{number}"));
    uevents.send(action, format!("/devices/virtual/vfio/{number}"), "vfio", node);
}

fn tell_device(uevents: &Uevents, action: &'static str, uuid: Uuid, number: u32) {
    let node = node(DEVICE_MAJOR, number, format!("vfio/devices/vfio{number}"));
    uevents.send(action, format!("{}/vfio-dev/vfio{number}", mdev_path(uuid)), "vfio-dev", node);
}

impl State {
    /// An mdev was made, and has got its driver.
    pub(super) fn tell_made(&self, uuid: Uuid, number: u32) {
        let Self { uevents, .. } = self;
        uevents.send("add", mdev_path(uuid), "mdev", Vec::new());
        tell_group(uevents, "add", number);
        tell_device(uevents, "add", uuid, number);
        uevents.send("bind", mdev_path(uuid), "mdev", vec!["DRIVER=vfio_ap_mdev".to_owned()]);
    }

    /// An mdev is going to be removed: nobody can open it any more.
    pub(super) fn tell_going(&self, uuid: Uuid, number: u32) {
        tell_device(&self.uevents, "remove", uuid, number);
    }

    /// It is gone.
    pub(super) fn tell_gone(&self, uuid: Uuid, number: u32) {
        let Self { uevents, .. } = self;
        tell_group(uevents, "remove", number);
        uevents.send("unbind", mdev_path(uuid), "mdev", Vec::new());
        uevents.send("remove", mdev_path(uuid), "mdev", Vec::new());
    }

    /// A write to an mdev's `uevent`.
    pub(super) fn synthesize_mdev(&mut self, uuid: Uuid, text: &str) -> Result<(), Errno> {
        let Synthetic { action, mut environment } = Synthetic::parse(text)?;
        environment.push("DRIVER=vfio_ap_mdev".to_owned());
        self.uevents.send(action, mdev_path(uuid), "mdev", environment);
        Ok(())
    }

    /// A write to the matrix device's `uevent`.
    pub(super) fn synthesize_matrix(&mut self, text: &str) -> Result<(), Errno> {
        let Synthetic { action, mut environment } = Synthetic::parse(text)?;
        environment.push("DRIVER=vfio_ap".to_owned());
        self.uevents.send(action, MATRIX_PATH.to_owned(), "matrix", environment);
        Ok(())
    }
}
