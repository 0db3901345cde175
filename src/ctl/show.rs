//! Answers, for people.

use crate::api::types::{DeviceConfig, DeviceNode, VcpuState, VmCounters, VmInfo, VmState, VmmPingResponse};
use adjunct_hypervisor::MemorySize;
use std::collections::BTreeMap;

pub(super) fn ping(answer: &VmmPingResponse) -> String {
    format!("adjunct {}, process {}; guests run on {}\n", answer.version, answer.pid, answer.host)
}

pub(super) fn info(answer: &VmInfo) -> String {
    let config = &answer.config;
    let state = match answer.state {
        VmState::Created => "created",
        VmState::Running => "running",
        VmState::Shutdown => "shut down",
        VmState::Paused => "paused",
    };
    let mut rows = vec![
        ("state", state.to_owned()),
        ("kernel", config.payload.kernel.clone()),
        ("memory", format!("{} MiB", config.memory.size / MemorySize::UNIT)),
        ("--cpu", config.cpus.model.clone()),
    ];
    if let Some(cpu) = &answer.cpu {
        rows.push(("CPU model", format!("{} with {} features", cpu.model, cpu.features.len())));
    }
    if answer.vcpus.is_empty() {
        rows.push(("CPUs", config.cpus.boot_vcpus.to_string()));
        // It has none yet; this is what it will be booted with.
        rows.extend(config.devices.iter().map(|device| ("device", wanted(device))));
    }
    for vcpu in &answer.vcpus {
        let state = match vcpu.state {
            VcpuState::Operating => "operating",
            VcpuState::DisabledWait => "in a disabled wait",
            VcpuState::Stopped => "stopped",
        };
        rows.push(("CPU", format!("{} {state}", vcpu.address)));
    }
    rows.extend(answer.device_tree.values().map(|node| ("device", device_line(node))));
    table(rows)
}

pub(super) fn device(answer: &DeviceNode) -> String {
    table(vec![("device", device_line(answer))])
}

/// A device of a guest that does not run.
fn wanted(device: &DeviceConfig) -> String {
    let place = match (&device.path, device.fd) {
        (Some(path), _) => path.clone(),
        (None, fd) => format!("descriptor {}", fd.unwrap_or_default()),
    };
    device.id.as_ref().map_or(place.clone(), |id| format!("{id}: {place}"))
}

fn device_line(node: &DeviceNode) -> String {
    let mut line = node.id.clone();
    if let Some(mdev) = node.mdev.as_ref().filter(|mdev| **mdev != node.id) {
        line += &format!(" (mediated device {mdev})");
    }
    match node.apqns.as_slice() {
        [] => line + ": no queues",
        apqns => line + ": " + &apqns.join(" "),
    }
}

pub(super) fn counters(answer: &VmCounters) -> String {
    let ap = &answer.ap;
    let mut rows = vec![
        ("adapters", ap.adapters.to_string()),
        ("domains", ap.domains.to_string()),
        ("queues", ap.queues.to_string()),
        ("devices attached", ap.attached.to_string()),
        ("devices detached", ap.detached.to_string()),
        ("changes of queues", ap.config_changes.to_string()),
        ("release requests", ap.release_requests.to_string()),
    ];
    rows.extend(kinds("exit", &answer.exits));
    rows.extend(kinds("reset", &answer.resets));
    table(rows)
}

fn kinds<'a>(what: &'a str, counts: &'a BTreeMap<String, u64>) -> impl Iterator<Item = (&'a str, String)> {
    counts.iter().filter(|(_, count)| **count > 0).map(move |(kind, count)| (what, format!("{kind} {count}")))
}

fn table(rows: Vec<(&str, String)>) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
