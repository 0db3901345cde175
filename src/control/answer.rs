//! What a guest, its host and what has been counted are to those who ask.

use crate::{config::Config, machine::DeviceInfo};
use adjunct_cpu_model::Cpu;
use std::{collections::BTreeMap, fmt};

/// Where a guest is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmState {
    /// Its configuration is there; no VM, nothing of the host is held.
    Created,
    /// Its vCPUs run, or wait for interruptions.
    Running,
    /// Its vCPUs are held.
    Paused,
    /// It has ended; nothing of the host is held. It can be booted again.
    Shutdown,
}

/// In the middle of a sentence.
impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created and not booted",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Shutdown => "shut down",
        })
    }
}

/// The guest, as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VmInfo {
    /// Where in its life.
    pub state: VmState,
    /// As it was asked for. [`VmInfo::device`] is the device that it has now.
    pub config: Config,
    /// Its CPU model with all features, while there is a VM.
    pub cpu: Option<Cpu>,
    /// Its CPUs by address, while there is a VM.
    pub vcpus: Vec<VcpuInfo>,
    /// Its AP device, while it has one.
    pub device: Option<DeviceInfo>,
}

/// One CPU of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VcpuInfo {
    /// CPU address.
    pub address: u16,
    /// What it does; that of a paused guest is what it will do on.
    pub state: VcpuState,
    /// Thread ID of its thread, once that runs.
    pub thread_id: Option<i32>,
}

/// What a CPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VcpuState {
    /// It executes instructions, or waits for an interruption that may come.
    Operating,
    /// It is in a disabled wait: only an order of another CPU or a reset changes that.
    DisabledWait,
    /// It is in the stopped state.
    Stopped,
}

/// The host that guests run on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostInfo {
    /// What it is, for people.
    pub name: String,
    /// All that a guest's CPU can have on it: `--cpu host`.
    pub cpu: Cpu,
}

/// What has been counted since the VMM started, over all its guests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// How often vCPUs came out of the guest, by what for: `service-call`, `diagnose`, `sigp`, …
    pub exits: BTreeMap<&'static str, u64>,
    /// Resets of the guest by kind: `external`, `re-ipl`, `modified-clear`, `load-normal`.
    pub resets: BTreeMap<&'static str, u64>,
    /// Changes of the guest's queues that the host has signalled.
    pub ap_config_changes: u64,
    /// How often the host wanted the AP device back.
    pub ap_release_requests: u64,
    /// AP devices that a guest got: at its start, and by hot plug.
    pub ap_attached: u64,
    /// AP devices that were taken from a running guest, by whoever.
    pub ap_detached: u64,
    /// Adapters that the guest has now.
    pub adapters: u64,
    /// Domains that the guest has now.
    pub domains: u64,
    /// Queues that the guest has now.
    pub queues: u64,
}
