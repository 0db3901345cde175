//! What the configuration around a CPU gives it: facilities, identity, clock, interruptions that any CPU may take,
//! adjunct processors.

use crate::ap::Adjuncts;

/// The configuration as one CPU sees it. Whoever embeds the interpreter implements it.
pub trait Environment {
    /// The facility list, bit 0 leftmost, exactly as STFL and STFLE show it. An instruction whose facility is
    /// off is an operation exception. Read once at the start of each [`Cpu::run`](crate::Cpu::run).
    fn facilities(&self) -> &[u8; 256];

    /// What STIDP and STSI tell.
    fn machine(&self) -> &Machine;

    /// The address of this CPU, as STAP stores it.
    fn cpu_address(&self) -> u16;

    /// The TOD clock: bit 51 is a microsecond. Must not run backward but through [`Environment::set_tod`].
    fn tod(&self) -> u64;

    /// SET CLOCK: the TOD clock has this value now.
    fn set_tod(&mut self, tod: u64);

    /// Takes the floating interruption of the highest priority that `enabled` lets through (machine check,
    /// service signal, then I/O by ascending subclass); it is pending no more.
    fn take_floating(&mut self, enabled: Enabled) -> Option<Floating>;

    /// The external call that was pending at this CPU is being taken: from now on another can be sent to it, before
    /// anything is stored that tells others of the interruption. For an embedder whose CPUs signal each other; one that
    /// goes away by a reset is not told of.
    fn external_call_taken(&mut self) {}

    /// The adjunct processors; `None` when AP instructions are not interpreted for this guest (ECA.28 off):
    /// PQAP, NQAP and DQAP are then intercepted.
    fn adjuncts(&mut self) -> Option<&mut dyn Adjuncts>;
}

/// Which floating interruptions the CPU is enabled for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// CR14 when PSW bit 13 is one, else zero: the machine-check subclasses.
    pub machine_check: u64,
    /// Service signal: PSW bit 7 and CR0 bit 54.
    pub service_signal: bool,
    /// I/O-interruption subclasses (CR6 bits 32-39) when PSW bit 6 is one, else zero. Leftmost bit is ISC 0.
    pub io_subclasses: u8,
}

/// An interruption that any CPU of the configuration may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floating {
    /// A machine check, for instance a channel report pending.
    MachineCheck {
        /// Machine-check-interruption code, stored at real 0xe8.
        code: u64,
        /// External-damage code, stored at real 0xf4.
        external_damage: u32,
        /// Failing-storage address, stored at real 0xf8.
        failing_storage: u64,
        /// Fixed-logout area, stored at real 0x1300. Zeros, where KVM was not told of any.
        fixed_logout: [u8; 16],
    },
    /// External interruption 0x2401.
    ServiceSignal {
        /// Stored at real 0x80.
        parameter: u32,
    },
    /// I/O interruption.
    Io {
        /// Subsystem-identification word, stored at real 0xb8. Zero for an adapter interruption.
        subsystem: u32,
        /// Interruption parameter, stored at real 0xbc.
        parameter: u32,
        /// Interruption-identification word, stored at real 0xc0: bit 0 adapter interruption, bits 2-4 ISC.
        identification: u32,
    },
}

impl Floating {
    /// The adapter interruption of a subclass (0-7; higher bits are ignored), as GISA-delivered AP
    /// interruptions have it.
    #[must_use]
    pub const fn adapter(subclass: u8) -> Self {
        Self::Io { subsystem: 0, parameter: 0, identification: 0x8000_0000 | ((subclass & 7) as u32) << 27 }
    }
}

/// What STIDP and STORE SYSTEM INFORMATION tell. Text is ASCII here, and stored as EBCDIC padded with blanks;
/// what is too long is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The CPU identification that STIDP stores.
    pub cpuid: u64,
    /// Manufacturer, 16 characters.
    pub manufacturer: String,
    /// Machine type, 4 characters, such as `3931`.
    pub machine_type: String,
    /// Model-capacity identifier and model, 16 characters.
    pub model: String,
    /// Sequence code (serial number), 16 characters.
    pub sequence: String,
    /// Plant of manufacture, 4 characters.
    pub plant: String,
    /// CPU capability, SYSIB 1.2.2.
    pub capability: u32,
    /// CPUs of the machine.
    pub cpus: CpuCounts,
    /// The logical partition; `None`: STSI has no level 2 (nor 3).
    pub partition: Option<Partition>,
    /// The virtual machine; `None`: STSI has no level 3.
    pub virtual_machine: Option<VirtualMachine>,
}

/// How many CPUs there are on some level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCounts {
    /// All.
    pub total: u16,
    /// In the configuration.
    pub configured: u16,
    /// Standby.
    pub standby: u16,
    /// Reserved.
    pub reserved: u16,
}

/// SYSIB 2.2.1 and 2.2.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Partition number.
    pub number: u16,
    /// Name, 8 characters.
    pub name: String,
    /// Capability adjustment, 1000 is the whole.
    pub capability_adjustment: u32,
    /// Logical CPUs.
    pub cpus: CpuCounts,
}

/// SYSIB 3.2.2, with one description block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualMachine {
    /// Name, 8 characters.
    pub name: String,
    /// Control program, 16 characters, such as `KVM/Linux`.
    pub control_program: String,
    /// UUID, zero for none.
    pub uuid: [u8; 16],
    /// Capability adjustment, 1000 is the whole.
    pub capability_adjustment: u32,
    /// Virtual CPUs.
    pub cpus: CpuCounts,
}
