//! Reading, changing and explaining a host, against canned answers. What a kernel would make of a change is not
//! modelled here: each test says what it answers.

mod administration;
mod explaining;
mod mdevs;
mod reading;

use std::{cell::RefCell, collections::BTreeMap, io};

use adjunct_ap::{
    Adm, Apid, Apm, Apqi, Apqn, Aqm, ControlDomain, HostShare, Matrix, Sysfs, Uuid,
    admin::{AdminError, Release, Resource},
    host::{Bus, CardType, Mode, QueueDriver, QueueStatus},
    mdev::{self, Mdev, OpenError, ParsePathError},
    sysfs::ReadError,
    text::{format_ap_config, format_control_domains, format_matrix},
    why::{QueueFault, Reason, diagnose},
};

const TYPE: &str = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";

/// Attributes by path; a directory is there when something below it is.
#[derive(Default)]
struct Canned {
    attrs: BTreeMap<String, String>,
    refusals: BTreeMap<String, i32>,
    /// What was read or listed.
    looked_at: RefCell<Vec<String>>,
    writes: RefCell<Vec<(String, String)>>,
}

impl Canned {
    fn set(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.attrs.insert(path.into(), text.into());
    }

    fn refuse(&mut self, path: impl Into<String>, errno: i32) {
        self.refusals.insert(path.into(), errno);
    }

    fn check(&self, path: &str) -> io::Result<()> {
        self.refusals.get(path).map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(*errno)))
    }
}

fn absent() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

impl Sysfs for Canned {
    fn read(&self, path: &str) -> io::Result<String> {
        self.looked_at.borrow_mut().push(path.to_owned());
        self.check(path)?;
        self.attrs.get(path).cloned().ok_or_else(absent)
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        self.check(path)?;
        if !self.attrs.contains_key(path) {
            return Err(absent());
        }
        self.writes.borrow_mut().push((path.to_owned(), value.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.looked_at.borrow_mut().push(dir.to_owned());
        self.check(dir)?;
        let below = format!("{dir}/");
        let paths = self.attrs.keys().filter_map(|path| path.strip_prefix(&below));
        let mut names: Vec<String> =
            paths.filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        if names.is_empty() { Err(absent()) } else { Ok(names) }
    }
}

fn uuid(n: u8) -> Uuid {
    format!("6c4a5d2e-0d3e-4c7a-9b0a-{n:012x}").parse().expect("well formed")
}

fn matrix(apids: &[u8], apqis: &[u8]) -> Matrix {
    Matrix {
        apm: apids.iter().copied().map(Apid).collect(),
        aqm: apqis.iter().copied().map(Apqi).collect(),
        adm: Adm::EMPTY,
    }
}

const ADAPTERS: [u8; 2] = [5, 6];
const DOMAINS: [u8; 4] = [4, 0x47, 0xab, 0xff];

/// The host of the vfio-ap documentation: all queues of adapters 5 and 6 with vfio_ap, but no mdev yet.
fn host() -> Canned {
    let mut host = Canned::default();
    let all = matrix(&ADAPTERS, &DOMAINS);
    for (name, text) in [
        ("ap_max_adapter_id", "63\n".to_owned()),
        ("ap_max_domain_id", "255\n".to_owned()),
        ("ap_adapter_mask", format!("{}\n", all.apm)),
        ("ap_usage_domain_mask", format!("{}\n", all.aqm)),
        ("ap_control_domain_mask", format!("{}\n", Adm::EMPTY)),
        ("apmask", format!("{}\n", !all.apm)),
        ("aqmask", format!("{}\n", !all.aqm)),
        ("features", "APSC APXA QACT\n".to_owned()),
        ("scans", "3\n".to_owned()),
        ("drivers/cex4queue/bind", String::new()),
        ("drivers/vfio_ap/bind", String::new()),
    ] {
        host.set(format!("bus/ap/{name}"), text);
    }
    for apid in all.apm.iter() {
        for (name, text) in [
            ("hwtype", "11\n"),
            ("type", "CEX5C\n"),
            ("online", "1\n"),
            ("config", "1\n"),
            ("chkstop", "0\n"),
            ("depth", "8\n"),
            ("max_msg_size", "12288\n"),
        ] {
            host.set(format!("bus/ap/devices/card{apid}/{name}"), text);
        }
    }
    for apqn in all.apqns() {
        host.set(format!("bus/ap/devices/{apqn}/status"), "unassigned\n");
        host.set(format!("bus/ap/drivers/vfio_ap/{apqn}"), "");
    }
    host.set(format!("{TYPE}/create"), "");
    host.set(format!("{TYPE}/available_instances"), "65536\n");
    host
}

fn add_mdev(host: &mut Canned, uuid: Uuid, assigned: &Matrix, guest: &Matrix) {
    for (name, text) in [
        ("ap_config", format_ap_config(assigned)),
        ("matrix", format_matrix(&assigned.apm, &assigned.aqm)),
        ("guest_matrix", format_matrix(&guest.apm, &guest.aqm)),
        ("control_domains", format_control_domains(&assigned.adm)),
    ] {
        host.set(format!("devices/vfio_ap/matrix/{uuid}/{name}"), text);
    }
    for verb in ["assign", "unassign"] {
        for what in ["adapter", "domain", "control_domain"] {
            host.set(format!("devices/vfio_ap/matrix/{uuid}/{verb}_{what}"), "");
        }
    }
    host.set(format!("devices/vfio_ap/matrix/{uuid}/remove"), "");
    host.set(format!("{TYPE}/devices/{uuid}"), "");
    host.set(format!("bus/mdev/devices/{uuid}/mdev_type/device_api"), "vfio-ap\n");
}

fn unbind(host: &mut Canned, apqn: Apqn) {
    host.attrs.remove(&format!("bus/ap/drivers/vfio_ap/{apqn}"));
    host.attrs.remove(&format!("bus/ap/devices/{apqn}/status"));
    host.set(format!("bus/ap/devices/{apqn}/config"), "1\n");
}
