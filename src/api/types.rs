//! What goes over the wire, as JSON. Names and shapes are Cloud Hypervisor's where it has the thing.
//!
//! Nothing here acts; `convert` says what a configuration means. What is sent to us must have no member
//! that we don't know: a guest that lacks half of what was asked for is worse than none.

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// Reads a `T` from an object alone. What serde derives also takes an array, of the members in their order, whose
/// names nobody could check.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(members))
        }
    }
    from.deserialize_map(Object(PhantomData))
}

fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent, bound = "T: Deserialize<'de>")]
    struct Object<T>(#[serde(deserialize_with = "object")] T);
    let objects: Vec<Object<T>> = Deserialize::deserialize(from)?;
    Ok(objects.into_iter().map(|Object(object)| object).collect())
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VmmPingResponse {
    /// Version of adjunct.
    pub version: String,
    /// The same; Cloud Hypervisor has more to say here.
    pub build_version: String,
    /// Process ID.
    pub pid: u32,
    /// Where guests run.
    pub host: String,
    /// What this adjunct can do that another might not.
    pub features: Vec<String>,
}

/// A guest as it is wanted. Everything has the default that adjunct run has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VmConfig {
    /// Its CPUs.
    #[serde(deserialize_with = "object")]
    pub cpus: CpusConfig,
    /// Its memory.
    #[serde(deserialize_with = "object")]
    pub memory: MemoryConfig,
    /// What it runs.
    #[serde(deserialize_with = "object")]
    pub payload: PayloadConfig,
    /// Its console.
    #[serde(deserialize_with = "object")]
    pub console: ConsoleConfig,
    /// Its devices: at most one, because KVM has one AP control block for each VM.
    #[serde(deserialize_with = "objects")]
    #[schemars(length(max = 1))]
    pub devices: Vec<DeviceConfig>,
    /// What a machine has besides.
    #[serde(deserialize_with = "object")]
    pub platform: PlatformConfig,
}

/// The guest's CPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CpusConfig {
    /// How many.
    #[schemars(range(min = 1, max = 248))]
    pub boot_vcpus: u16,
    /// How many there can be: as many as boot_vcpus. CPUs are not plugged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 248))]
    pub max_vcpus: Option<u16>,
    /// CPU model and features, as --cpu takes them: host,ap=on.
    pub model: String,
}

impl Default for CpusConfig {
    fn default() -> Self {
        Self { boot_vcpus: 1, max_vcpus: None, model: "host".into() }
    }
}

/// The guest's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// In bytes, a multiple of 1 MiB.
    #[schemars(range(min = 1048576), extend("multipleOf" = 1048576))]
    pub size: u64,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { size: 256 << 20 }
    }
}

/// What the guest runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PayloadConfig {
    /// A file, or builtin:apcheck: as --kernel takes it.
    pub kernel: String,
    /// Command line for a Linux kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Initial ramdisk for a Linux kernel: a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initramfs: Option<String>,
}

impl Default for PayloadConfig {
    fn default() -> Self {
        Self { kernel: "builtin:apcheck".into(), cmdline: None, initramfs: None }
    }
}

/// The guest's console (SCLP).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Where it goes.
    pub mode: ConsoleMode,
    /// Which file, for File.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whether it is the line-mode console, not the ASCII console.
    pub line_mode: bool,
}

/// Where a console goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsoleMode {
    /// Nowhere.
    Off,
    /// To adjunct's standard output; standard input is what the guest reads.
    #[default]
    Tty,
    /// To a file, made anew.
    File,
}

/// A vfio-ap device: the path of a mediated device, or the numbers of files that adjunct inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceConfig {
    /// The mediated matrix device in sysfs: /sys/devices/vfio_ap/matrix/UUID, or one of its other names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What answers and events call it: a letter, and then letters, digits, -, . and _. Without one it is the UUID, or the descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z][A-Za-z0-9._-]*$"))]
    pub id: Option<String>,
    /// Which of VFIO's ways to open it; without one, what the host has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// Instead of path: the device's character device, a descriptor that adjunct inherits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub fd: Option<i32>,
    /// With fd: /dev/iommu, a descriptor that adjunct inherits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub iommufd: Option<i32>,
}

/// A way to open a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// /dev/vfio/N and /dev/vfio/vfio.
    Group,
    /// /dev/vfio/devices/vfioN and /dev/iommu.
    Iommufd,
}

/// Which wrapping keys a guest gets whose CPU wraps keys, and its load parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlatformConfig {
    /// For AES keys.
    pub aes_key_wrap: bool,
    /// For DEA keys.
    pub dea_key_wrap: bool,
    /// What the program that is loaded is told: up to eight letters and digits.
    pub loadparm: String,
}

impl Default for PlatformConfig {
    fn default() -> Self {
        Self { aes_key_wrap: true, dea_key_wrap: true, loadparm: String::new() }
    }
}

/// Which device is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmRemoveDevice {
    /// Its id.
    pub id: String,
}

/// The guest as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VmInfo {
    /// As it was asked for, with the device that it has now.
    pub config: VmConfig,
    /// Where in its life it is.
    pub state: VmState,
    /// Its memory in bytes, while there is a VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_actual_size: Option<u64>,
    /// Its CPU model, while there is a VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuInfo>,
    /// Its CPUs, while there is a VM.
    pub vcpus: Vec<VcpuInfo>,
    /// Its devices by id, while it has any.
    pub device_tree: BTreeMap<String, DeviceNode>,
}

/// Where in its life a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VmState {
    /// It has not been booted yet.
    Created,
    /// Its CPUs run, or wait for interruptions.
    Running,
    /// It has ended, and can be booted again.
    Shutdown,
    /// Its CPUs are held.
    Paused,
}

/// A CPU model with all its features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CpuInfo {
    /// Name of the model.
    pub model: String,
    /// Names of all features that it has.
    pub features: Vec<String>,
}

/// One CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VcpuInfo {
    /// CPU address.
    pub address: u16,
    /// What it does; that of a paused guest is what it will do on.
    pub state: VcpuState,
    /// Thread ID of its thread, once that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<i32>,
}

/// What a CPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VcpuState {
    /// It executes instructions, or waits for an interruption that may come.
    Operating,
    /// It is in a disabled wait.
    DisabledWait,
    /// It is in the stopped state.
    Stopped,
}

/// The vfio-ap device of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceNode {
    /// What the user calls it.
    pub id: String,
    /// UUID of the mediated device, if it can be seen which it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mdev: Option<String>,
    /// The queues that the guest has through it, as sysfs writes them: 05.0004.
    pub apqns: Vec<String>,
}

/// What has been counted since adjunct started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VmCounters {
    /// How often CPUs came out of the guest, by what for.
    pub exits: BTreeMap<String, u64>,
    /// Resets of the guest, by kind.
    pub resets: BTreeMap<String, u64>,
    /// Adjunct processors.
    pub ap: ApCounters,
}

/// What has happened to AP devices and queues, and what there is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApCounters {
    /// Devices that a guest got, at its start or later.
    pub attached: u64,
    /// Devices that were taken from a guest, by whoever.
    pub detached: u64,
    /// Changes of the guest's queues that the host has signalled.
    pub config_changes: u64,
    /// How often the host wanted the device back.
    pub release_requests: u64,
    /// Adapters that the guest has now.
    pub adapters: u64,
    /// Domains that the guest has now.
    pub domains: u64,
    /// Queues that the guest has now.
    pub queues: u64,
}

/// Why something was not done: what, and behind it why, each a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Refused(pub Vec<String>);
