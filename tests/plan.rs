//! What planning finds out about a host that somebody else has changed.

use crate::command::MDEV;
use adjunct::{
    chain::chain,
    config::{Config, Image},
    console::Kept,
    host::{Host, builtin},
    plan::{Plan, PlanError, plan},
};
use adjunct_ap::Sysfs;
use adjunct_simulator::SimHost;
use std::path::Path;

fn config(mdev: &str) -> Config {
    Config::apcheck(Some(format!("vfio-ap,sysfsdev={mdev}").parse().expect("well formed")))
}

fn plan_on(host: &SimHost, mdev: &str) -> Result<Plan, PlanError> {
    plan(&config(mdev), &Host::simulated(host))
}

#[test]
fn an_mdev_that_is_open_is_refused_with_a_queue_that_its_guest_uses() {
    let host = builtin().expect("the built-in host is right");
    let first = plan_on(&host, MDEV[1]).expect("it is free");
    let machine = first.build(&host, Kept::default().consoles()).expect("it can be built");
    let acts = host.acts().text();
    let said = chain(&plan_on(&host, MDEV[1]).expect_err("it is open"));
    assert_eq!(host.acts().text(), acts, "nothing is done to the host");
    for part in [MDEV[1], "is open already", "05.0047"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    plan_on(&host, MDEV[2]).expect("the others are free");
    drop(machine);
    plan_on(&host, MDEV[1]).expect("it is free again");
}

#[test]
fn a_queue_that_vfio_ap_lost_is_named_with_the_file_that_brings_it_back() {
    let host = builtin().expect("the built-in host is right");
    host.write("bus/ap/drivers/vfio_ap/unbind", "06.00ab").expect("it is bound");
    let plan = plan_on(&host, MDEV[0]).expect("adapter 5 is left");
    let said = plan.warnings().join("\n");
    for part in ["06.0004", "06.00ab", "/sys/bus/ap/drivers_probe"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    assert!(!said.contains("05.0004"), "{said}");
    host.write("bus/ap/drivers_probe", "06.00ab").expect("it is free");
    assert_eq!(plan_on(&host, MDEV[0]).expect("all are there").warnings(), [] as [String; 0]);
}

#[test]
fn an_adapter_that_left_the_host_is_said() {
    let host = builtin().expect("the built-in host is right");
    host.adapters().operate(|machine| machine.cards.remove(&adjunct_ap::Apid(6)));
    host.config_changed();
    let plan = plan_on(&host, MDEV[2]).expect("the guest can start");
    let said = plan.warnings().join("\n");
    assert!(said.contains("06.0047") && said.contains("06.00ff"), "{said}");
}

/// A host on which the mdevs are channel devices.
struct OfAnotherKind(SimHost);

impl Sysfs for OfAnotherKind {
    fn read(&self, path: &str) -> std::io::Result<String> {
        match path {
            path if path.ends_with("/device_api") => Ok("vfio-ccw\n".to_owned()),
            path if path.starts_with("devices/vfio_ap/matrix/") => Err(std::io::ErrorKind::NotFound.into()),
            path => self.0.read(path),
        }
    }

    fn write(&self, path: &str, value: &str) -> std::io::Result<()> {
        self.0.write(path, value)
    }

    fn list(&self, dir: &str) -> std::io::Result<Vec<String>> {
        self.0.list(dir)
    }
}

#[test]
fn an_mdev_of_another_kind_is_refused_by_what_it_is() {
    let simulated = builtin().expect("the built-in host is right");
    let mut host = Host::simulated(&simulated);
    host.sysfs = Box::new(OfAnotherKind(simulated));
    let said = chain(&plan(&config(MDEV[0]), &host).expect_err("it is no AP device"));
    for part in [MDEV[0], "no AP device", "vfio-ccw"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[test]
fn a_program_is_a_file_with_an_end_that_the_guest_can_hold() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (pipe, large) = (dir.path().join("pipe"), dir.path().join("large"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    std::fs::File::create(&large).and_then(|file| file.set_len((1 << 20) + 1)).expect("a file with a hole");
    let host = builtin().expect("the built-in host is right");
    for (path, part) in [
        (pipe.as_path(), "no regular file"),
        (Path::new("/dev/zero"), "no regular file"),
        (dir.path(), "no regular file"),
        (&large, "more than 1M"),
        (&dir.path().join("absent"), "can't be read"),
    ] {
        let kernel = Config { kernel: Image::File(path.to_owned()), ..Config::apcheck(None) };
        let initrd = Config { initrd: Some(path.to_owned()), ..Config::apcheck(None) };
        for (option, config) in [("--kernel", kernel), ("--initrd", initrd)] {
            let refused = plan(&config, &Host::simulated(&host)).expect_err("no program");
            let said = chain(&refused);
            for part in [option, &path.display().to_string(), part] {
                assert!(said.contains(part), "{part:?} is not in {said:?}");
            }
        }
    }
}
