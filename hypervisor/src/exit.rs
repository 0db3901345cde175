//! Why a vCPU stopped, and what can be made pending for it, in KVM's form.

/// Why [`crate::Vcpu::run`] returned: `kvm_run.exit_reason` and its payload
/// (`include/uapi/linux/kvm.h`, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `KVM_EXIT_S390_SIEIC` (13): SIE intercepted something that the kernel does not handle. The
    /// PSW is already past the instruction.
    Sieic {
        /// Interception code, for example 0x04 instruction, 0x1c wait.
        icptcode: u8,
        /// First halfword of the instruction.
        ipa: u16,
        /// Its next two halfwords.
        ipb: u32,
    },
    /// `KVM_EXIT_S390_RESET` (14): DIAGNOSE 0x308 subcode 3 or 4.
    Reset {
        /// `KVM_S390_RESET_*`: 1 POR, 2 CLEAR, 4 SUBSYSTEM, 8 CPU_INIT, 16 IPL.
        flags: u64,
    },
    /// `KVM_EXIT_S390_TSCH` (22): TEST SUBCHANNEL with an interruption dequeued by the kernel.
    Tsch {
        /// Subchannel id.
        subchannel_id: u16,
        /// Subchannel number.
        subchannel_nr: u16,
        /// Interruption parameter.
        io_int_parm: u32,
        /// Interruption identification word.
        io_int_word: u32,
        /// Instruction parameters.
        ipb: u32,
        /// Whether an interruption was dequeued.
        dequeued: bool,
    },
    /// `KVM_EXIT_S390_STSI` (25): STORE SYSTEM INFORMATION that user space shall fill in.
    Stsi {
        /// Address of the SYSIB.
        address: u64,
        /// Access register.
        ar: u8,
        /// Function code.
        fc: u8,
        /// Selector 1.
        sel1: u8,
        /// Selector 2.
        sel2: u16,
    },
    /// `KVM_EXIT_DEBUG` (4).
    Debug,
    /// `KVM_EXIT_INTR` (10), or KVM_RUN said EINTR: kicked, see [`crate::Kick`].
    Interrupted,
    /// Anything else; the number is the kernel's.
    Unknown {
        /// `kvm_run.exit_reason`.
        reason: u32,
    },
}

/// An interruption that any vCPU of the VM may take (`KVM_DEV_FLIC_ENQUEUE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floating {
    /// `KVM_S390_INT_SERVICE` (0xffff2401): SCLP is done with a command, or has an event pending.
    Service {
        /// SCCB address; bit 0 of the lowest two: an event is pending.
        parameter: u32,
    },
    /// `KVM_S390_MCHK` (0xfffe1000).
    MachineCheck {
        /// Which subclass of CR14 must be enabled, for example 0x1000_0000 channel report.
        cr14: u64,
        /// Machine-check interruption code.
        mcic: u64,
    },
}

/// An interruption of one vCPU (`KVM_S390_IRQ`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// `KVM_S390_PROGRAM_INT` (0xfffe0001): taken before the next instruction.
    Program {
        /// Interruption code, for example 1 operation, 6 specification.
        code: u16,
    },
    /// `KVM_S390_RESTART` (0xfffe0003).
    Restart,
    /// `KVM_S390_SIGP_STOP` (0xfffe0000): once the vCPU has taken what is pending and enabled, it leaves with interception
    /// code 0x28 and is to be stopped; that and resets forget the order. One that is stopped takes no notice, one that has
    /// the order already answers EBUSY (`arch/s390/kvm/interrupt.c: __inject_sigp_stop`, `intercept.c: handle_stop`, 6.12).
    Stop,
}
