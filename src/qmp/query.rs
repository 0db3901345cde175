//! What clients ask about the guest.

use super::{
    command::{answer, refused},
    message::{Arguments, Error},
};
use crate::{
    config::DeviceChoice,
    control::{Handle, Refusal, VcpuInfo, VcpuState, VmInfo, VmState},
};
use adjunct_ap::{Apid, Apqi};
use adjunct_cpu_model::{Cpu, Feature};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::PathBuf};

/// Whose answers these are: clients look here for what they can rely on.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Version {
    qemu: Triple,
    package: &'static str,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Triple {
    major: u32,
    minor: u32,
    micro: u32,
}

impl Version {
    /// The QEMU in whose form we answer, and who we are. Clients refuse what is too old for them by that number: Kata
    /// takes nothing before 5.
    pub(super) const OURS: Self = Self {
        qemu: Triple { major: 10, minor: 2, micro: 0 },
        package: concat!("adjunct ", env!("CARGO_PKG_VERSION"), ", which is not QEMU"),
    };
}

/// The guest; none if there is none, which is no error for who looks at QEMU's lists.
fn info(handle: &Handle) -> Result<Option<VmInfo>, Error> {
    match handle.info() {
        Ok(info) => Ok(Some(info)),
        Err(Refusal::NotCreated) => Ok(None),
        Err(refusal) => Err(refused(&refusal)),
    }
}

/// `query-status`.
pub(super) fn status(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    let state = info(handle)?.map(|info| info.state);
    let status = match state {
        None | Some(VmState::Created) => "prelaunch",
        Some(VmState::Running) => "running",
        Some(VmState::Paused) => "paused",
        Some(VmState::Shutdown) => "shutdown",
    };
    Ok(json!({ "running": state == Some(VmState::Running), "status": status }))
}

/// Where a CPU is in QEMU's tree of objects.
fn qom_path(address: u16) -> String {
    format!("/machine/unattached/device[{address}]")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Props {
    core_id: u16,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct CpuFast {
    cpu_index: u16,
    qom_path: String,
    thread_id: i32,
    props: Props,
    target: &'static str,
    cpu_state: &'static str,
}

/// `query-cpus-fast`.
pub(super) fn cpus(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    let cpu = |vcpu: &VcpuInfo| CpuFast {
        cpu_index: vcpu.address,
        qom_path: qom_path(vcpu.address),
        // As QEMU says before a thread is there.
        thread_id: vcpu.thread_id.unwrap_or(0),
        props: Props { core_id: vcpu.address },
        target: "s390x",
        cpu_state: match vcpu.state {
            // A CPU that waits is operating, whether or not it waits for something that may come.
            VcpuState::Operating | VcpuState::DisabledWait => "operating",
            VcpuState::Stopped => "stopped",
        },
    };
    let vcpus = info(handle)?.map(|info| info.vcpus).unwrap_or_default();
    answer(vcpus.iter().map(cpu).collect::<Vec<_>>())
}

/// `query-hotpluggable-cpus`: those that are there, as all CPUs are from the start.
pub(super) fn hotpluggable_cpus(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    let Some(info) = info(handle)? else { return Ok(json!([])) };
    let kind = format!("{}-s390x-cpu", info.config.cpu.model());
    let cpu = |vcpu: &VcpuInfo| {
        json!({
            "type": kind,
            "vcpus-count": 1,
            "props": Props { core_id: vcpu.address },
            "qom-path": qom_path(vcpu.address),
        })
    };
    Ok(info.vcpus.iter().map(cpu).collect())
}

/// The answer to `x-query-ap`.
#[derive(Debug, Serialize)]
struct Ap {
    /// What the guest's CPU has of AP; none while there is no VM.
    features: Option<Features>,
    /// Its device, while it has one.
    device: Option<Device>,
}

#[derive(Debug, Serialize)]
struct Features {
    ap: bool,
    apft: bool,
    apqci: bool,
    apqi: bool,
}

impl From<&Cpu> for Features {
    fn from(cpu: &Cpu) -> Self {
        Self {
            ap: cpu.has(Feature::Ap),
            apft: cpu.has(Feature::Apft),
            apqci: cpu.has(Feature::Apqci),
            apqi: cpu.has(Feature::Apqi),
        }
    }
}

#[derive(Debug, Serialize)]
struct Device {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sysfsdev: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mdev: Option<String>,
    matrix: Matrix,
}

/// What the guest has through its device, as numbers and as queues.
#[derive(Debug, Serialize)]
struct Matrix {
    adapters: BTreeSet<u8>,
    domains: BTreeSet<u8>,
    /// As sysfs writes them: `05.0004`.
    apqns: Vec<String>,
}

/// `x-query-ap`: what QEMU has no command for.
pub(super) fn ap(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    let info = info(handle)?;
    let features = info.as_ref().and_then(|info| info.cpu.as_ref()).map(Features::from);
    let device = info.and_then(|info| info.device).map(|device| Device {
        id: device.id,
        sysfsdev: match device.choice {
            DeviceChoice::Mdev { sysfsdev, .. } => Some(sysfsdev),
            DeviceChoice::Descriptors { .. } | DeviceChoice::Sent { .. } => None,
        },
        mdev: device.mdev.map(|uuid| uuid.to_string()),
        matrix: Matrix {
            adapters: device.apqns.iter().map(|apqn| number(apqn.apid)).collect(),
            domains: device.apqns.iter().map(|apqn| domain(apqn.apqi)).collect(),
            apqns: device.apqns.iter().map(ToString::to_string).collect(),
        },
    });
    answer(Ap { features, device })
}

fn number(Apid(number): Apid) -> u8 {
    number
}

fn domain(Apqi(number): Apqi) -> u8 {
    number
}
