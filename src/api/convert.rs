//! What the wire says, as the program has it, and back. Here is decided which configurations make sense at all; whether
//! a host can have them is the plan's.

use super::types::{
    ApCounters, Backend, ConsoleConfig, ConsoleMode, CpuInfo, CpusConfig, DeviceConfig, DeviceNode,
    MemoryConfig, PayloadConfig, PlatformConfig, VcpuInfo, VcpuState, VmConfig, VmCounters, VmInfo, VmState,
};
use crate::{
    config::{
        Config, ConsoleTarget, DeviceChoice, DeviceIdError, Image, KeyWrapping, MOST_CPUS, VfioApOption,
    },
    control,
    machine::DeviceInfo,
};
use adjunct_cpu_model::{Cpu, Feature};
use adjunct_hypervisor::{MemorySize, VfioBackend};
use std::path::Path;

/// A member that can't be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {why}")]
pub struct BadMember {
    /// Its path: `payload.kernel`.
    member: &'static str,
    why: String,
}

fn bad(member: &'static str, why: impl ToString) -> BadMember {
    BadMember { member, why: why.to_string() }
}

impl TryFrom<VmConfig> for Config {
    type Error = BadMember;

    fn try_from(wire: VmConfig) -> Result<Self, BadMember> {
        let CpusConfig { boot_vcpus, max_vcpus, model } = wire.cpus;
        if !(1..=MOST_CPUS).contains(&boot_vcpus) {
            return Err(bad("cpus.boot_vcpus", format_args!("write a number from 1 to {MOST_CPUS}")));
        }
        if max_vcpus.is_some_and(|most| most != boot_vcpus) {
            return Err(bad(
                "cpus.max_vcpus",
                "CPUs are not plugged: write the number of boot_vcpus, or leave it out",
            ));
        }
        let PayloadConfig { kernel, cmdline, initramfs } = wire.payload;
        let kernel: Image = kernel.parse().map_err(|why| bad("payload.kernel", why))?;
        if kernel == Image::Apcheck && (initramfs.is_some() || cmdline.is_some()) {
            return Err(bad("payload.kernel", "cmdline and initramfs are for a Linux kernel: name one"));
        }
        let mut devices = wire.devices.into_iter();
        let device = devices.next().map(VfioApOption::try_from).transpose()?;
        if devices.next().is_some() {
            let why = "a guest can have one vfio-ap device (KVM has one AP control block for each VM): put all adapters \
                       and domains into one mediated device";
            return Err(bad("devices", why));
        }
        Ok(Self {
            host: None,
            cpu: model.parse().map_err(|why| bad("cpus.model", why))?,
            device,
            key_wrapping: KeyWrapping { aes: wire.platform.aes_key_wrap, dea: wire.platform.dea_key_wrap },
            loadparm: wire.platform.loadparm.parse().map_err(|why| bad("platform.loadparm", why))?,
            memory: memory(wire.memory.size)?,
            vcpus: boot_vcpus,
            kernel,
            initrd: initramfs.map(Into::into),
            append: cmdline,
            line_mode: wire.console.line_mode,
            console: wire.console.try_into()?,
            events: None,
        })
    }
}

fn memory(size: u64) -> Result<MemorySize, BadMember> {
    let count = u32::try_from(size / MemorySize::UNIT).ok().filter(|_| size.is_multiple_of(MemorySize::UNIT));
    let size = count.and_then(MemorySize::mebibytes);
    size.ok_or_else(|| {
        bad("memory.size", "write a number of bytes that is a multiple of 1048576 (1 MiB) above zero")
    })
}

impl TryFrom<ConsoleConfig> for ConsoleTarget {
    type Error = BadMember;

    fn try_from(wire: ConsoleConfig) -> Result<Self, BadMember> {
        match (wire.mode, wire.file) {
            (ConsoleMode::File, Some(file)) if !file.is_empty() => Ok(Self::File(file.into())),
            (ConsoleMode::File, _) => Err(bad("console.file", "mode File needs the name of one")),
            (_, Some(_)) => Err(bad("console.file", "it is for mode File")),
            (ConsoleMode::Tty, None) => Ok(Self::Stdio),
            (ConsoleMode::Off, None) => Ok(Self::Off),
        }
    }
}

impl TryFrom<DeviceConfig> for VfioApOption {
    type Error = BadMember;

    fn try_from(wire: DeviceConfig) -> Result<Self, BadMember> {
        let id = wire.id.map(|id| id.parse()).transpose();
        let id = id.map_err(|error: DeviceIdError| bad("device.id", error.to_string()))?;
        if [wire.fd, wire.iommufd].into_iter().flatten().any(|number| number < 0) {
            return Err(bad("device.fd", "write the numbers of open file descriptors"));
        }
        let choice = match (wire.path, wire.fd, wire.iommufd) {
            (Some(path), None, None) if !path.is_empty() => {
                let backend = wire.backend.map(|backend| match backend {
                    Backend::Group => VfioBackend::Group,
                    Backend::Iommufd => VfioBackend::Iommufd,
                });
                DeviceChoice::Mdev { sysfsdev: path.into(), backend }
            }
            (None, Some(fd), Some(iommufd)) if wire.backend.is_none() => {
                DeviceChoice::Descriptors { fd, iommufd }
            }
            _ => return Err(bad("device", "which? give path, with or without backend, or fd and iommufd")),
        };
        Ok(Self { choice, id })
    }
}

impl From<&VfioApOption> for DeviceConfig {
    fn from(option: &VfioApOption) -> Self {
        let id = option.id.as_ref().map(ToString::to_string);
        match &option.choice {
            DeviceChoice::Mdev { sysfsdev, backend } => {
                let backend = backend.map(|backend| match backend {
                    VfioBackend::Group => Backend::Group,
                    VfioBackend::Iommufd => Backend::Iommufd,
                });
                Self { path: Some(text(sysfsdev)), id, backend, ..Self::default() }
            }
            DeviceChoice::Descriptors { fd, iommufd } => {
                Self { id, fd: Some(*fd), iommufd: Some(*iommufd), ..Self::default() }
            }
            // Their names mean something to whoever has sent them only.
            DeviceChoice::Sent { .. } => Self { id, ..Self::default() },
        }
    }
}

/// JSON has no other file names.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl From<&Config> for VmConfig {
    fn from(config: &Config) -> Self {
        let (mode, file) = match &config.console {
            ConsoleTarget::Stdio => (ConsoleMode::Tty, None),
            ConsoleTarget::File(path) => (ConsoleMode::File, Some(text(path))),
            ConsoleTarget::Off => (ConsoleMode::Off, None),
        };
        Self {
            cpus: CpusConfig {
                boot_vcpus: config.vcpus,
                max_vcpus: Some(config.vcpus),
                model: config.cpu.to_string(),
            },
            memory: MemoryConfig { size: config.memory.bytes() },
            payload: PayloadConfig {
                kernel: config.kernel.to_string(),
                cmdline: config.append.clone(),
                initramfs: config.initrd.as_deref().map(text),
            },
            console: ConsoleConfig { mode, file, line_mode: config.line_mode },
            devices: config.device.iter().map(DeviceConfig::from).collect(),
            platform: PlatformConfig {
                aes_key_wrap: config.key_wrapping.aes,
                dea_key_wrap: config.key_wrapping.dea,
                loadparm: config.loadparm.to_string(),
            },
        }
    }
}

impl From<control::VmInfo> for VmInfo {
    fn from(info: control::VmInfo) -> Self {
        let mut config = VmConfig::from(&info.config);
        // What was plugged and unplugged since.
        if let Some(device) = &info.device {
            // One that nobody has named may be called what is no name to be given.
            let option = VfioApOption { choice: device.choice.clone(), id: device.id.parse().ok() };
            config.devices = vec![DeviceConfig::from(&option)];
        } else if info.cpu.is_some() {
            config.devices.clear();
        }
        let nodes = info.device.map(DeviceNode::from).into_iter();
        Self {
            config,
            state: info.state.into(),
            memory_actual_size: info.cpu.is_some().then(|| info.config.memory.bytes()),
            cpu: info.cpu.as_ref().map(CpuInfo::from),
            vcpus: info.vcpus.iter().map(VcpuInfo::from).collect(),
            device_tree: nodes.map(|node| (node.id.clone(), node)).collect(),
        }
    }
}

impl From<&Cpu> for CpuInfo {
    fn from(cpu: &Cpu) -> Self {
        let mut features: Vec<String> = Feature::all()
            .filter(|feature| cpu.has(*feature))
            .map(|feature| feature.name().to_owned())
            .collect();
        features.sort_unstable();
        Self { model: cpu.model.name.to_owned(), features }
    }
}

impl From<control::VmState> for VmState {
    fn from(state: control::VmState) -> Self {
        match state {
            control::VmState::Created => Self::Created,
            control::VmState::Running => Self::Running,
            control::VmState::Paused => Self::Paused,
            control::VmState::Shutdown => Self::Shutdown,
        }
    }
}

impl From<&control::VcpuInfo> for VcpuInfo {
    fn from(vcpu: &control::VcpuInfo) -> Self {
        let state = match vcpu.state {
            control::VcpuState::Operating => VcpuState::Operating,
            control::VcpuState::DisabledWait => VcpuState::DisabledWait,
            control::VcpuState::Stopped => VcpuState::Stopped,
        };
        Self { address: vcpu.address, state, thread_id: vcpu.thread_id }
    }
}

impl From<DeviceInfo> for DeviceNode {
    fn from(device: DeviceInfo) -> Self {
        Self {
            id: device.id,
            mdev: device.mdev.map(|uuid| uuid.to_string()),
            apqns: device.apqns.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<control::Counters> for VmCounters {
    fn from(counters: control::Counters) -> Self {
        let owned = |counts: std::collections::BTreeMap<&str, u64>| {
            counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
        };
        Self {
            exits: owned(counters.exits),
            resets: owned(counters.resets),
            ap: ApCounters {
                attached: counters.ap_attached,
                detached: counters.ap_detached,
                config_changes: counters.ap_config_changes,
                release_requests: counters.ap_release_requests,
                adapters: counters.adapters,
                domains: counters.domains,
                queues: counters.queues,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{option, prelude::*};

    fn device() -> impl Strategy<Value = DeviceConfig> {
        let backend = prop_oneof![Just(Backend::Group), Just(Backend::Iommufd)];
        let by_path = ("/[a-z,/]{1,20}", option::of(backend)).prop_map(|(path, backend)| DeviceConfig {
            path: Some(path),
            backend,
            ..DeviceConfig::default()
        });
        let by_descriptors = (0..100, 0..100).prop_map(|(fd, iommufd)| DeviceConfig {
            fd: Some(fd),
            iommufd: Some(iommufd),
            ..DeviceConfig::default()
        });
        (prop_oneof![by_path, by_descriptors], option::of("[a-z][a-z0-9]{0,8}"))
            .prop_map(|(device, id)| DeviceConfig { id, ..device })
    }

    fn console() -> impl Strategy<Value = ConsoleConfig> {
        prop_oneof![
            Just(ConsoleConfig { mode: ConsoleMode::Off, file: None, line_mode: true }),
            Just(ConsoleConfig { mode: ConsoleMode::Tty, file: None, line_mode: false }),
            ("/[a-z]{1,9}", any::<bool>()).prop_map(|(file, line_mode)| ConsoleConfig {
                mode: ConsoleMode::File,
                file: Some(file),
                line_mode
            }),
        ]
    }

    prop_compose! {
        fn config()(
            vcpus in 1..=MOST_CPUS,
            model in prop_oneof![Just("host"), Just("host,ap=on"), Just("gen16a,apqci=off,ap=on")],
            size in 1..1_u64 << 20,
            linux in option::of((option::of("[ -~]{0,20}"), option::of("/[a-z]{1,9}"))),
            console in console(),
            devices in proptest::collection::vec(device(), 0..=1),
            (aes_key_wrap, dea_key_wrap) in any::<(bool, bool)>(),
            loadparm in "[A-Z0-9]{0,8}",
        ) -> VmConfig {
            let payload = linux.map_or_else(PayloadConfig::default, |(cmdline, initramfs)| PayloadConfig {
                kernel: "/boot/image".into(),
                cmdline,
                initramfs,
            });
            VmConfig {
                cpus: CpusConfig { boot_vcpus: vcpus, max_vcpus: Some(vcpus), model: model.into() },
                memory: MemoryConfig { size: size << 20 },
                payload,
                console,
                devices,
                platform: PlatformConfig { aes_key_wrap, dea_key_wrap, loadparm },
            }
        }
    }

    proptest! {
        #[test]
        fn any_configuration_survives_the_wire_and_the_program(wire in config()) {
            let text = serde_json::to_vec(&wire).expect("it can be written");
            let read: VmConfig = crate::api::read(&text).expect("written by us");
            let config = Config::try_from(read).expect("it makes sense");
            prop_assert_eq!(VmConfig::from(&config), wire);
        }

        #[test]
        fn no_text_makes_the_reader_of_configurations_panic(text in "[{}\":,a-z0-9_ \\[\\]]{0,60}") {
            let _ = crate::api::read::<VmConfig>(text.as_bytes()).map(Config::try_from);
        }
    }

    #[test]
    fn a_configuration_without_members_is_the_guest_of_adjunct_run_without_options() {
        let config = Config::try_from(VmConfig::default()).expect("all have defaults");
        assert_eq!(config.kernel, Image::Apcheck);
        assert_eq!(config.cpu.to_string(), "host");
        assert_eq!(config.memory.bytes(), 256 << 20);
        assert_eq!((config.vcpus, config.device, config.console), (1, None, ConsoleTarget::Stdio));
        assert_eq!(crate::api::read::<VmConfig>(b"{}").expect("all have defaults"), VmConfig::default());
    }

    #[test]
    fn members_have_names() {
        for (text, said) in [
            ("[]", "invalid type: sequence, expected an object"),
            (r#"{"cpus":[2,null,"host"]}"#, "cpus: invalid type: sequence, expected an object"),
            (r#"{"devices":[["/x"]]}"#, "devices[0]: invalid type: sequence, expected an object"),
            (r#"{"devices":[{"path":"/x","pth":1}]}"#, "devices[0].pth: unknown field"),
        ] {
            let refused = crate::api::read::<VmConfig>(text.as_bytes()).expect_err(text).to_string();
            assert!(refused.starts_with(said), "{text}: {refused}");
        }
    }

    #[test]
    fn members_that_make_no_sense_are_refused_by_name() {
        let refused = |text: &str| {
            let wire: VmConfig = crate::api::read(text.as_bytes()).expect(text);
            Config::try_from(wire).expect_err(text).to_string()
        };
        for (text, member) in [
            (r#"{"cpus":{"boot_vcpus":249}}"#, "cpus.boot_vcpus: "),
            (r#"{"cpus":{"max_vcpus":2}}"#, "cpus.max_vcpus: "),
            (r#"{"memory":{"size":0}}"#, "memory.size: "),
            (r#"{"memory":{"size":18446744073709551615}}"#, "memory.size: "),
            (r#"{"payload":{"kernel":""}}"#, "payload.kernel: "),
            (r#"{"payload":{"cmdline":"x"}}"#, "payload.kernel: "),
            (r#"{"console":{"mode":"Off","file":"/x"}}"#, "console.file: "),
            (r#"{"devices":[{"path":"/x","fd":3,"iommufd":4}]}"#, "device: "),
            (r#"{"devices":[{"fd":3}]}"#, "device: "),
            (r#"{"devices":[{"fd":-1,"iommufd":4}]}"#, "device.fd: "),
            (r#"{"devices":[{"path":"/x","id":""}]}"#, "device.id: "),
            (r#"{"devices":[{"path":"/x","id":"a\u001b[2J"}]}"#, "device.id: "),
        ] {
            assert!(refused(text).starts_with(member), "{text}: {}", refused(text));
        }
    }
}
