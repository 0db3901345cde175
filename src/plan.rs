//! From what was asked for to what will be built: reads the host, changes nothing.
//!
//! Everything that can be known to go wrong is said here, while it costs nothing.

mod image;

pub use image::ImageError;

use crate::{
    chain::chain,
    config::{Config, DeviceChoice, KeyWrapping, Loadparm, VfioApOption},
    host::Host,
    mounts::shown_at,
};
use adjunct_ap::{
    Apqn, Uuid,
    mdev::{self, OpenError, ParsePathError},
    why::{self, Diagnosis},
};
use adjunct_cpu_model::{
    Cpu, CpuSpec, Feature, FeatureSet, HostCpu, ModelChoice, Property, ResolveError, Setting,
    kvm::{MachineAttributes, ProcessorAttributes, UnknownMachine},
};
use adjunct_devices::ipl;
use adjunct_hypervisor::{KernelError, MemorySize};
use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    path::Path,
};

/// A guest that this host can run, as far as looking can tell. Only [`plan`] makes one.
#[derive(Debug)]
pub struct Plan {
    pub(crate) model: Model,
    pub(crate) attributes: ProcessorAttributes,
    pub(crate) memory: MemorySize,
    pub(crate) vcpus: u16,
    pub(crate) device: Option<PlannedDevice>,
    pub(crate) key_wrapping: KeyWrapping,
    pub(crate) loadparm: Loadparm,
    pub(crate) kernel: String,
    pub(crate) image: ipl::Image,
    warnings: Vec<String>,
}

impl Plan {
    /// The guest's CPU as `--cpu` took it.
    pub fn cpu_option(&self) -> String {
        self.model.spec.to_string()
    }

    /// What the user calls the AP device, and the UUID of its mediated device, if it is known.
    pub fn device_id(&self) -> Option<(String, Option<Uuid>)> {
        self.device.as_ref().map(|device| (device.id.clone(), device.uuid))
    }

    /// What the user should know although the guest can start, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The guest's CPU model, and how the user wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) cpu: Cpu,
    pub(crate) spec: CpuSpec,
}

/// The AP device that will be opened.
#[derive(Clone, Debug)]
pub(crate) struct PlannedDevice {
    /// Not known of a descriptor where `/sys` is not to be seen.
    pub(crate) uuid: Option<Uuid>,
    pub(crate) choice: DeviceChoice,
    pub(crate) id: String,
}

/// Why a guest can't run on this host.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The host did not answer.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The host's CPU can't be made out.
    #[error("the host's CPU model can't be understood")]
    HostCpu(#[from] UnknownMachine),
    /// The CPU can't be had.
    #[error("--cpu {spec} can't be had")]
    Cpu {
        /// As typed.
        spec: CpuSpec,
        /// Why not.
        #[source]
        source: ResolveError,
    },
    /// An AP device for a guest without AP instructions.
    #[error(
        "--device vfio-ap needs the CPU feature ap, which --cpu {spec} does not have: add ap=on to --cpu"
    )]
    ApOff {
        /// As typed.
        spec: CpuSpec,
    },
    /// An AP device on a host without AP instructions.
    #[error("--device vfio-ap: {host} gives a guest no AP instructions, so it has none itself")]
    NoAp {
        /// The host.
        host: String,
    },
    /// More vCPUs than the host makes.
    #[error("--smp {asked}: this host gives a guest at most {most} CPUs")]
    TooManyCpus {
        /// As typed.
        asked: u16,
        /// The host's limit.
        most: u16,
    },
    /// More memory than the host maps for a VM.
    #[error("--memory {asked}: this host gives a guest at most {most}M")]
    TooMuchMemory {
        /// As typed.
        asked: MemorySize,
        /// The host's limit, in MiB.
        most: u64,
    },
    /// The path is none of a mediated device.
    #[error("--device vfio-ap,{choice}")]
    Path {
        /// As typed.
        choice: DeviceChoice,
        /// What is accepted.
        #[source]
        source: ParsePathError,
    },
    /// The path leads into a mount of a simulated host, which a guest gets at by another name.
    #[error(
        "--device vfio-ap,{choice} is a simulated host's, which adjunct sim mount shows as files: give its socket \
         (--control PATH) as --host sim:@PATH, and the device as sysfsdev=/sys/…"
    )]
    Mounted {
        /// As typed.
        choice: DeviceChoice,
    },
    /// The mediated device can't be had.
    #[error("--device vfio-ap,{choice}: {}; this host has {others}", chain(why))]
    Mdev {
        /// As typed.
        choice: DeviceChoice,
        /// Why not.
        why: OpenError,
        /// The mediated devices that there are.
        others: String,
    },
    /// A simulated host has no such mediated device.
    #[error(
        "--device vfio-ap,{choice}: there is no mdev {uuid}: give a host file a [[mdev]] with this uuid (--host sim:FILE), or \
         write it to create where the host is mounted; this simulated host has {others}"
    )]
    NotSimulated {
        /// As typed.
        choice: DeviceChoice,
        /// The mediated device.
        uuid: Uuid,
        /// The mediated devices that there are.
        others: String,
    },
    /// Another guest has it.
    #[error(
        "--device vfio-ap,{choice}: mdev {uuid} is open already, a guest uses its queue {queue}; end that guest, \
         or take another mdev"
    )]
    InUse {
        /// As typed.
        choice: DeviceChoice,
        /// The mediated device.
        uuid: Uuid,
        /// A queue whose `status` in sysfs is `in use`.
        queue: Apqn,
    },
    /// A number that is no open file.
    #[error(
        "--device vfio-ap,{key}={number} is no open file descriptor: whoever starts adjunct must open it"
    )]
    Descriptor {
        /// Which of the two.
        key: &'static str,
        /// As typed.
        number: RawFd,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A simulated host, and a file of the real one.
    #[error(
        "--device vfio-ap,{0}: no file of this process is a device of the simulated host; give sysfsdev=PATH"
    )]
    Simulated(DeviceChoice),
    /// No file for the guest's program.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// What a host may offer but only a VMM can serve, and this one does not: PCI and its interruptions,
/// DIAGNOSE 0x318, CPU topology, protected guests, and collaborative memory management, whose states
/// would have to be cleared at each reset. A guest is not told of it, so that a facility bit is
/// never a lie.
const NOT_SERVED: FeatureSet = FeatureSet::of(&[
    Feature::Zpci,
    Feature::Aen,
    Feature::Ais,
    Feature::Diag318,
    Feature::Ctop,
    Feature::Unpack,
    Feature::Cmm,
    Feature::Cmmnt,
]);

/// Looks at `host` and says what running `config` on it will take.
///
/// # Errors
/// [`PlanError`]: what can't work, in the user's words, with the option or file to change.
pub fn plan(config: &Config, host: &Host) -> Result<Plan, PlanError> {
    let most = host.hypervisor.limits()?;
    if config.vcpus > most.vcpus {
        return Err(PlanError::TooManyCpus { asked: config.vcpus, most: most.vcpus });
    }
    if config.memory.bytes() > most.memory {
        return Err(PlanError::TooMuchMemory { asked: config.memory, most: most.memory >> 20 });
    }
    let machine = host.hypervisor.machine()?;
    let host_cpu = host_cpu(&machine, host)?;
    let (spec, left_out) = without_unserved(&config.cpu);
    let resolved =
        spec.resolve(&host_cpu).map_err(|source| PlanError::Cpu { spec: config.cpu.clone(), source })?;
    let mut warnings: Vec<String> = left_out.into_iter().collect();
    warnings.extend(resolved.warnings.iter().map(|w| format!("--cpu {}: {w} {}", config.cpu, w.hint())));
    let model = Model { cpu: resolved.cpu, spec: config.cpu.clone() };
    let device = match &config.device {
        Some(_) if !host_cpu.features.contains(Feature::Ap) => {
            return Err(PlanError::NoAp { host: host.hypervisor.name() });
        }
        Some(option) => {
            let (device, said) = device_for(&model, option, host)?;
            warnings.extend(said);
            Some(device)
        }
        None => None,
    };
    let attributes = ProcessorAttributes::encode(&model.cpu);
    let uv_feat = attributes.uv_feat;
    Ok(Plan {
        model,
        // A kernel without the attribute (before 6.6) refuses it.
        attributes: ProcessorAttributes {
            uv_feat: uv_feat.filter(|_| machine.uv_feat.is_some()),
            ..attributes
        },
        memory: config.memory,
        vcpus: config.vcpus,
        device,
        key_wrapping: config.key_wrapping,
        loadparm: config.loadparm.clone(),
        kernel: config.kernel.to_string(),
        image: image::read(config)?,
        warnings,
    })
}

/// A named model without what it has by default and adjunct does not serve (every model since zEC12 has zpci and
/// aen), and a word on what that is. What the user switches on by name is left on, and refused with the rest that
/// the host has not.
fn without_unserved(spec: &CpuSpec) -> (CpuSpec, Option<String>) {
    let ModelChoice::Named(model) = spec.model() else { return (spec.clone(), None) };
    let unserved = model.default_features().intersection(NOT_SERVED);
    let mut settings: Vec<_> =
        unserved.iter().map(|feature| Setting { property: Property::Feature(feature), on: false }).collect();
    let typed = |setting: &Setting| spec.settings().iter().any(|typed| typed.property == setting.property);
    let silent: Vec<_> = settings
        .iter()
        .filter(|setting| !typed(setting))
        .map(|setting| setting.property.to_string())
        .collect();
    let hint: Vec<_> = silent.iter().map(|name| format!("{name}=off")).collect();
    let warning = (!silent.is_empty()).then(|| {
        let names = silent.join(", ");
        format!(
            "--cpu {spec}: the guest goes without {names}, which adjunct does not have; write {}",
            hint.join(",")
        )
    });
    settings.extend_from_slice(spec.settings());
    (CpuSpec::new(spec.model(), settings), warning)
}

/// What a guest with an AP device misses without a facility (`drivers/s390/crypto/ap_bus.c`, 7.2).
fn facility_warnings(cpu: &Cpu) -> impl Iterator<Item = String> {
    let losses = [
        (Feature::Apft, "a Linux guest recognises no AP queue at all without facility 15"),
        (Feature::Apqci, "a guest sees no domain above 15 without facility 12"),
    ];
    losses
        .into_iter()
        .filter(|(feature, _)| !cpu.has(*feature))
        .map(|(feature, loss)| format!("--cpu has {feature}=off: {loss}; add {feature}=on"))
}

/// All that a guest's CPU can have of this host and of adjunct.
fn host_cpu(machine: &MachineAttributes, host: &Host) -> Result<HostCpu, PlanError> {
    let mut cpu = machine.decode(&host.hypervisor.capabilities()?)?;
    cpu.features = cpu.features.difference(NOT_SERVED);
    Ok(cpu)
}

/// The CPU of a guest with `--cpu host` here.
///
/// # Errors
/// [`PlanError`]: the host did not answer, or can't be understood.
pub fn cpu_of(host: &Host) -> Result<Cpu, PlanError> {
    let spec = CpuSpec::default();
    let resolved = spec.resolve(&host_cpu(&host.hypervisor.machine()?, host)?);
    resolved.map(|resolved| resolved.cpu).map_err(|source| PlanError::Cpu { spec, source })
}

/// The AP device for a guest of this model, there or still to be, and what the user should know of it.
pub(crate) fn device_for(
    model: &Model,
    option: &VfioApOption,
    host: &Host,
) -> Result<(PlannedDevice, Vec<String>), PlanError> {
    if !model.cpu.has(Feature::Ap) {
        return Err(PlanError::ApOff { spec: model.spec.clone() });
    }
    let mut warnings: Vec<String> = facility_warnings(&model.cpu).collect();
    let (device, diagnosis) = device(option, host)?;
    warnings.extend(diagnosis.iter().flat_map(withheld));
    Ok((device, warnings))
}

/// Finds the mediated device and looks at what a guest would get of it.
fn device(option: &VfioApOption, host: &Host) -> Result<(PlannedDevice, Option<Diagnosis>), PlanError> {
    let choice = option.choice.clone();
    let uuid = uuid(&choice, host)?;
    let diagnosis = uuid.map(|uuid| diagnose(&choice, uuid, host)).transpose()?;
    let name = || uuid.map_or_else(|| choice.to_string(), |uuid| uuid.to_string());
    let id = option.id.as_ref().map_or_else(name, ToString::to_string);
    Ok((PlannedDevice { uuid, choice, id }, diagnosis))
}

/// Which mediated device it is; of a descriptor that can't always be known.
fn uuid(choice: &DeviceChoice, host: &Host) -> Result<Option<Uuid>, PlanError> {
    match choice {
        DeviceChoice::Mdev { sysfsdev, .. } if is_of_a_mount(sysfsdev) => {
            Err(PlanError::Mounted { choice: choice.clone() })
        }
        DeviceChoice::Mdev { sysfsdev, .. } => mdev::parse_path(&sysfsdev.to_string_lossy())
            .map(Some)
            .map_err(|source| PlanError::Path { choice: choice.clone(), source }),
        DeviceChoice::Descriptors { fd, iommufd } => {
            let Some(files) = &host.files else { return Err(PlanError::Simulated(choice.clone())) };
            let look = |key, number| {
                files.mdev_of(number).map_err(|source| PlanError::Descriptor { key, number, source })
            };
            look("iommufd", *iommufd)?;
            look("fd", *fd)
        }
        DeviceChoice::Sent { fd, .. } => {
            let Some(files) = &host.files else { return Err(PlanError::Simulated(choice.clone())) };
            // What can't be seen here is found out when it is opened.
            let look = |file: &OwnedFd| files.mdev_of_file(&file.try_clone().ok()?.into()).ok()?;
            Ok(fd.look(look).flatten())
        }
    }
}

/// Whether a path leads into a mount of `adjunct sim mount` elsewhere than at `/sys`: there it is whose it seems to be.
fn is_of_a_mount(path: &Path) -> bool {
    !path.starts_with("/sys") && shown_at(path).is_some()
}

fn diagnose(choice: &DeviceChoice, uuid: Uuid, host: &Host) -> Result<Diagnosis, PlanError> {
    let diagnosis = why::diagnose(&*host.sysfs, uuid).map_err(|why| {
        let (choice, others) = (choice.clone(), host.mdevs());
        match why {
            OpenError::Missing { uuid } if host.files.is_none() => {
                PlanError::NotSimulated { choice, uuid, others }
            }
            why => PlanError::Mdev { choice, why, others },
        }
    })?;
    match diagnosis.in_use {
        Some(queue) => Err(PlanError::InUse { choice: choice.clone(), uuid, queue }),
        None => Ok(diagnosis),
    }
}

/// What the guest will not get although it is assigned, and what to change; one line for each reason.
fn withheld(diagnosis: &Diagnosis) -> Vec<String> {
    let uuid = diagnosis.uuid;
    let mut lines = Vec::new();
    if !diagnosis.assigned.has_queues() {
        lines.push(format!(
            "mdev {uuid} brings no queue: write an adapter to assign_adapter and a domain to assign_domain in \
             /sys/devices/vfio_ap/matrix/{uuid}"
        ));
    }
    for (reason, apqns) in diagnosis.reasons() {
        let names: Vec<_> = apqns.iter().map(ToString::to_string).collect();
        lines.push(format!("the guest will not get {}: {reason}", names.join(" ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_model_goes_without_what_adjunct_does_not_serve_and_says_so() {
        let (spec, said) = without_unserved(&"z14".parse().expect("a model"));
        let features = spec.expand().expect("a possible CPU").features;
        assert_eq!(features.intersection(NOT_SERVED), FeatureSet::default());
        let said = said.expect("some are gone");
        assert!(said.contains("zpci, aen, cmm") && said.ends_with("zpci=off,aen=off,cmm=off"), "{said}");
    }

    #[test]
    fn what_the_user_switched_is_left_as_it_is() {
        let (spec, said) = without_unserved(&"z14,zpci=off,aen=off,cmm=off".parse().expect("a model"));
        assert!(!spec.expand().expect("a possible CPU").has(Feature::Zpci));
        assert_eq!(said, None);
        let (spec, _) = without_unserved(&"z14,zpci=on".parse().expect("a model"));
        assert!(spec.expand().expect("a possible CPU").has(Feature::Zpci));
    }

    #[test]
    fn host_and_base_models_are_as_they_are() {
        for text in ["host", "max", "z14-base", "host,ap=off"] {
            let spec: CpuSpec = text.parse().expect("a model");
            assert_eq!(without_unserved(&spec), (spec, None));
        }
    }
}
