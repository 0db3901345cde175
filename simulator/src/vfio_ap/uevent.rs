//! What the kernel tells udev of the matrix device, of mdevs and of what VFIO makes for each
//! (`drivers/vfio/mdev/mdev_core.c`, `drivers/vfio/group.c`, `drivers/vfio/vfio_main.c`, with `CONFIG_VFIO_DEVICE_CDEV`).
//! Their `uevent` says the same.

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
pub(super) const GROUP_MAJOR: u32 = 246;
pub(super) const DEVICE_MAJOR: u32 = 245;

/// A device as udev knows it.
pub(super) struct Known {
    path: String,
    subsystem: &'static str,
    /// What each event of it says (`drivers/base/core.c: dev_uevent`).
    says: Vec<String>,
}

impl Known {
    /// The matrix device.
    pub(super) fn matrix() -> Self {
        Self::bound(MATRIX_PATH.to_owned(), "matrix", "vfio_ap")
    }

    /// An mdev, which has its driver.
    pub(super) fn mdev(uuid: Uuid) -> Self {
        Self::bound(mdev_path(uuid), "mdev", "vfio_ap_mdev")
    }

    /// The group of this number.
    pub(super) fn group(number: u32) -> Self {
        let path = format!("/devices/virtual/vfio/{number}");
        Self { path, subsystem: "vfio", says: node(GROUP_MAJOR, number, format!("vfio/{number}")) }
    }

    /// The character device of an mdev.
    pub(super) fn device(uuid: Uuid, number: u32) -> Self {
        let path = format!("{}/vfio-dev/vfio{number}", mdev_path(uuid));
        let says = node(DEVICE_MAJOR, number, format!("vfio/devices/vfio{number}"));
        Self { path, subsystem: "vfio-dev", says }
    }

    fn bound(path: String, subsystem: &'static str, driver: &str) -> Self {
        Self { path, subsystem, says: vec![format!("DRIVER={driver}")] }
    }

    /// Its attribute `uevent`.
    pub(super) fn uevent(&self) -> String {
        self.says.iter().map(|text| format!("{text}\n")).collect()
    }

    /// A write to its `uevent`: udev is told what it asks for, and then what the device says.
    ///
    /// # Errors
    /// EINVAL for what asks for nothing.
    pub(super) fn synthesize(self, uevents: &Uevents, text: &str) -> Result<(), Errno> {
        let Synthetic { action, mut environment } = Synthetic::parse(text)?;
        environment.extend(self.says);
        uevents.send(action, self.path, self.subsystem, environment);
        Ok(())
    }

    fn tell(self, uevents: &Uevents, action: &'static str) {
        uevents.send(action, self.path, self.subsystem, self.says);
    }

    /// Tells of an mdev that has no driver yet, or no longer.
    fn tell_unbound(self, uevents: &Uevents, action: &'static str) {
        uevents.send(action, self.path, self.subsystem, Vec::new());
    }
}

/// What a device says that has a node in `/dev`.
fn node(major: u32, minor: u32, name: String) -> Vec<String> {
    vec![format!("MAJOR={major}"), format!("MINOR={minor}"), format!("DEVNAME={name}")]
}

fn mdev_path(uuid: Uuid) -> String {
    format!("{MATRIX_PATH}/{uuid}")
}

impl State {
    /// An mdev was made, and has got its driver.
    pub(super) fn tell_made(&self, uuid: Uuid, number: u32) {
        let Self { uevents, .. } = self;
        Known::mdev(uuid).tell_unbound(uevents, "add");
        Known::group(number).tell(uevents, "add");
        Known::device(uuid, number).tell(uevents, "add");
        Known::mdev(uuid).tell(uevents, "bind");
    }

    /// An mdev is going to be removed: nobody can open it any more.
    pub(super) fn tell_going(&self, uuid: Uuid, number: u32) {
        Known::device(uuid, number).tell(&self.uevents, "remove");
    }

    /// It is gone.
    pub(super) fn tell_gone(&self, uuid: Uuid, number: u32) {
        let Self { uevents, .. } = self;
        Known::group(number).tell(uevents, "remove");
        Known::mdev(uuid).tell_unbound(uevents, "unbind");
        Known::mdev(uuid).tell_unbound(uevents, "remove");
    }
}

#[cfg(test)]
mod tests {
    use crate::{HostFile, SimHost};
    use adjunct_ap::Sysfs;

    const MDEV: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

    /// What `change` in the `uevent` of `path` has udev told, and what that `uevent` says.
    #[track_caller]
    fn assert_asked_for(path: &str, devpath: &str, says: &[&str]) {
        let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts");
        host.write(&format!("{path}/uevent"), "change\n").expect("udev is told");
        let event = host.uevents().pop().expect("there is one");
        assert_eq!((event.action, event.devpath.as_str()), ("change", devpath));
        assert_eq!(event.environment, [&["SYNTH_UUID=0"], says].concat());
        let text = host.read(&format!("{path}/uevent")).expect("readable");
        assert_eq!(text.lines().collect::<Vec<_>>(), says);
    }

    #[test]
    fn an_event_on_demand_says_what_the_device_says_of_itself() {
        assert_asked_for(
            "class/vfio/0",
            "/devices/virtual/vfio/0",
            &["MAJOR=246", "MINOR=0", "DEVNAME=vfio/0"],
        );
        let mdev = format!("/devices/vfio_ap/matrix/{MDEV}");
        let says = ["MAJOR=245", "MINOR=0", "DEVNAME=vfio/devices/vfio0"];
        assert_asked_for("class/vfio-dev/vfio0", &format!("{mdev}/vfio-dev/vfio0"), &says);
        assert_asked_for(&mdev[1..], &mdev, &["DRIVER=vfio_ap_mdev"]);
        assert_asked_for("devices/vfio_ap/matrix", "/devices/vfio_ap/matrix", &["DRIVER=vfio_ap"]);
    }
}
