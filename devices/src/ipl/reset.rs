//! Resets of the machine, as lists of steps.

/// Which reset (QEMU: `hw/s390x/ipl.h: enum s390_reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// From outside: power-on, or the user's wish.
    External,
    /// The guest loads itself again: DIAGNOSE 0x308 subcodes 3 and 4.
    ReIpl,
    /// DIAGNOSE 0x308 subcode 0, for example for a kernel dump: memory stays.
    ModifiedClear,
    /// DIAGNOSE 0x308 subcode 1, for example for kexec: memory stays.
    LoadNormal,
}

/// One step of a reset. All vCPUs are out of the guest meanwhile. "This CPU" is the one that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetStep {
    /// [`crate::css::Css::reset`].
    ChannelSubsystem,
    /// [`crate::sclp::Sclp::reset`].
    SclpEvents,
    /// [`adjunct_hypervisor::Vm::clear_interruptions`].
    FloatingInterruptions,
    /// [`crate::vfio_ap::VfioAp::reset`].
    ApQueues,
    /// [`adjunct_hypervisor::CpuReset::Clear`] of every CPU; all are stopped.
    ClearAllCpus,
    /// [`adjunct_hypervisor::CpuReset::Normal`] of every CPU but this; they are stopped.
    NormalOtherCpus,
    /// [`adjunct_hypervisor::CpuReset::Initial`] of this CPU.
    InitialThisCpu,
    /// Fresh wrapping keys, or none: [`adjunct_hypervisor::Vm::set_crypto`] as at the start.
    KeyWrapping,
    /// [`crate::ipl::Image::load`] into memory.
    LoadImage,
    /// CPU 0 gets the image's PSW and operates.
    StartIplCpu,
    /// This CPU gets the PSW [`crate::ipl::load_normal_psw`] and operates.
    LoadNormalThisCpu,
}

/// The subsystem reset comes first in every kind. AP is last in it, and before the CPUs, as a
/// protected guest would need it.
macro_rules! after_subsystem_reset {
    ($($step:ident),*) => {
        &[
            ResetStep::ChannelSubsystem,
            ResetStep::SclpEvents,
            ResetStep::FloatingInterruptions,
            ResetStep::ApQueues,
            $(ResetStep::$step),*
        ]
    };
}

impl ResetKind {
    /// What is done, in this order (QEMU: `hw/s390x/s390-virtio-ccw.c: s390_machine_reset`).
    pub const fn steps(self) -> &'static [ResetStep] {
        match self {
            Self::External | Self::ReIpl => {
                after_subsystem_reset![ClearAllCpus, KeyWrapping, LoadImage, StartIplCpu]
            }
            Self::ModifiedClear => after_subsystem_reset![KeyWrapping, ClearAllCpus, LoadNormalThisCpu],
            Self::LoadNormal => after_subsystem_reset![NormalOtherCpus, InitialThisCpu, LoadNormalThisCpu],
        }
    }
}
