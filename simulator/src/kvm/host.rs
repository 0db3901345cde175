//! The host that a VM is on: one in this process, or one that another process serves.
//!
//! All that KVM's half here asks of its host goes through [`VmHost`], so that nothing above it can tell where the
//! adapters are. Memory, vCPUs and the CRYCB are always in this process.

use super::{clock::HostTime, machine, proto::MAX_VCPUS};
use crate::{
    ApFacilities, GuestCrypto, Held, KernelProfile, Notification, OpenMdev, QueueStatus, ReplyPart, SimHost,
    Tested, VmId,
    share::{RemoteHeld, RemoteMdev, Tenancy},
};
use adjunct_ap::{Apqn, Sysfs, Uuid};
use adjunct_cpu_model::{
    Model,
    kvm::{Capabilities, MachineAttributes},
};
use adjunct_hypervisor::{ApDeviceInfo, EventFd, IrqInfo, KernelError, Limits, Result};
use adjunct_zarch::ap::Configuration;
use std::{
    fmt::Debug,
    io,
    ops::Range,
    sync::{Arc, Weak},
    time::Duration,
};

/// What of a host the CPUs of its guests depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostFacts {
    /// The machine's CPU model.
    pub(crate) model: &'static Model,
    /// Whose behaviour the host shows.
    pub(crate) profile: KernelProfile,
    /// What instructions the machine has for AP.
    pub(crate) facilities: ApFacilities,
    /// APXA in the host's own AP configuration.
    pub(crate) apxa: bool,
}

/// What KVM answers about all its VMs.
impl HostFacts {
    /// What a VM may be.
    pub(crate) const LIMITS: Limits = Limits { vcpus: MAX_VCPUS, memory: u64::MAX };

    /// What the host is, for people.
    pub(crate) fn name(&self) -> String {
        format!("simulated {} with kernel {}", self.model.name, self.profile)
    }

    /// What a guest's CPU may be.
    pub(crate) fn machine(&self) -> MachineAttributes {
        MachineAttributes::encode(&machine::host_cpu(self))
    }

    /// What of that shows elsewhere.
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities::of(machine::host_cpu(self).features)
    }

    /// Of a host in this process.
    pub(crate) fn of(host: &SimHost) -> Self {
        Self {
            model: host.machine_model(),
            profile: host.profile(),
            facilities: host.adapters().operate(|machine| machine.facilities),
            apxa: host.adapters().query_configuration().is_some_and(|qci| qci.apxa()),
        }
    }
}

/// The host of one VM.
#[derive(Clone, Debug)]
pub(super) enum VmHost {
    /// In this process.
    Here(SimHost),
    /// In another one.
    Elsewhere(Arc<Tenancy>),
}

/// Something that the host holds for a VM until it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop")]
pub(super) enum VmHeld {
    Here(Held),
    Elsewhere(RemoteHeld),
}

/// An mdev that a VM has open. Dropping it closes it.
#[derive(Debug)]
pub(super) enum VmMdev {
    Here(Arc<OpenMdev>),
    Elsewhere(Arc<RemoteMdev>),
}

/// Who wants to know that the host is gone.
pub(crate) trait HostGone: Debug + Send + Sync {
    /// It is gone.
    fn host_gone(&self);
}

/// Who answers the PQAP(AQIC) of a VM (`kvm->arch.crypto.pqap_hook`).
pub(super) trait PqapHook: Debug + Send + Sync {
    /// [`OpenMdev::aqic`].
    fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus;
}

impl PqapHook for OpenMdev {
    fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus {
        Self::aqic(self, apqn, notification)
    }
}

impl PqapHook for RemoteMdev {
    fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus {
        Self::aqic(self, apqn, notification)
    }
}

impl VmHost {
    /// Notes an act.
    ///
    /// # Errors
    /// Those planned for it, and ECONNRESET when the host is gone.
    pub(super) fn act(&self, request: &'static str, target: impl Into<String>) -> Result<()> {
        match self {
            Self::Here(host) => host.acts().act(request, target),
            Self::Elsewhere(tenancy) => {
                let target = target.into();
                tenancy.act(request, &target).map_err(|errno| KernelError::new(request, target, errno))
            }
        }
    }

    /// Has the host hold something.
    pub(super) fn hold(&self, what: impl Into<String>) -> VmHeld {
        match self {
            Self::Here(host) => VmHeld::Here(host.acts().hold(what)),
            Self::Elsewhere(tenancy) => VmHeld::Elsewhere(tenancy.hold(what.into())),
        }
    }

    /// Its time.
    pub(super) fn time(&self) -> HostTime {
        match self {
            Self::Here(host) => HostTime::of_guests(host.clock().clone()),
            Self::Elsewhere(tenancy) => tenancy.time(),
        }
    }

    /// Whose behaviour it shows.
    pub(super) fn profile(&self) -> KernelProfile {
        match self {
            Self::Here(host) => host.profile(),
            Self::Elsewhere(tenancy) => tenancy.facts().profile,
        }
    }

    /// The names in a directory of its `/sys`.
    pub(super) fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        match self {
            Self::Here(host) => host.list(dir),
            Self::Elsewhere(tenancy) => tenancy.list(dir),
        }
    }

    /// [`SimHost::open_mdev`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn open_mdev(
        &self,
        uuid: Uuid,
        vm: VmId,
        crypto: Arc<dyn GuestCrypto>,
    ) -> std::result::Result<VmMdev, i32> {
        match self {
            Self::Here(host) => host.open_mdev(uuid, vm, crypto).map(Arc::new).map(VmMdev::Here),
            Self::Elsewhere(tenancy) => tenancy.open_mdev(uuid, crypto).map(Arc::new).map(VmMdev::Elsewhere),
        }
    }

    /// Has `whom` be told when the host is gone.
    pub(super) fn when_gone(&self, whom: Arc<dyn HostGone>) {
        if let Self::Elsewhere(tenancy) = self {
            tenancy.when_gone(whom);
        }
    }

    /// Whether the VM can go on.
    ///
    /// # Errors
    /// ECONNRESET when the host is gone.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Here(_) => Ok(()),
            Self::Elsewhere(tenancy) => tenancy.check(),
        }
    }

    /// How long an adapter takes for a message; `None` where time passes by itself.
    pub(super) fn service_time(&self) -> Option<Duration> {
        match self {
            Self::Here(host) => Some(host.adapters().operate(|machine| machine.service_time)),
            Self::Elsewhere(_) => None,
        }
    }

    /// [`SimHost::advance`], where guests move the time.
    pub(super) fn advance(&self, by: Duration) {
        if let Self::Here(host) = self {
            host.advance(by);
        }
    }
}

/// AP instructions. Once the host is gone there is no queue any more.
impl VmHost {
    /// What QCI says but for the masks.
    pub(super) fn configuration(&self) -> Configuration {
        match self {
            Self::Here(host) => host.adapters().operate(|machine| Configuration {
                flags: machine.flags,
                na: machine.max_adapter,
                nd: machine.max_domain,
            }),
            Self::Elsewhere(tenancy) => {
                let (flags, na, nd) = tenancy.configuration();
                Configuration { flags, na, nd }
            }
        }
    }

    pub(super) fn test(&self, apqn: Apqn) -> Tested {
        match self {
            Self::Here(host) => host.adapters().test(apqn),
            Self::Elsewhere(tenancy) => tenancy.test(apqn),
        }
    }

    pub(super) fn query_type(&self, apqn: Apqn, query: u64) -> Tested {
        match self {
            Self::Here(host) => host.adapters().query_type(apqn, query),
            Self::Elsewhere(tenancy) => tenancy.query_type(apqn, query),
        }
    }

    pub(super) fn reset(&self, apqn: Apqn) -> QueueStatus {
        match self {
            Self::Here(host) => host.adapters().reset(apqn),
            Self::Elsewhere(tenancy) => tenancy.reset(apqn),
        }
    }

    pub(super) fn zeroize(&self, apqn: Apqn) -> QueueStatus {
        match self {
            Self::Here(host) => host.adapters().zeroize(apqn),
            Self::Elsewhere(tenancy) => tenancy.zeroize(apqn),
        }
    }

    pub(super) fn enqueue(&self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus {
        match self {
            Self::Here(host) => host.adapters().enqueue(apqn, psmid, message),
            Self::Elsewhere(tenancy) => tenancy.enqueue(apqn, psmid, message),
        }
    }

    pub(super) fn dequeue(&self, apqn: Apqn, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        match self {
            Self::Here(host) => host.adapters().dequeue(apqn, room),
            Self::Elsewhere(tenancy) => tenancy.dequeue(apqn, room),
        }
    }
}

impl VmMdev {
    pub(super) fn info(&self) -> ApDeviceInfo {
        match self {
            Self::Here(mdev) => mdev.info(),
            Self::Elsewhere(mdev) => mdev.info(),
        }
    }

    pub(super) fn irq_info(&self, index: u32) -> std::result::Result<IrqInfo, i32> {
        match self {
            Self::Here(mdev) => mdev.irq_info(index),
            Self::Elsewhere(mdev) => mdev.irq_info(index),
        }
    }

    pub(super) fn set_irq(&self, index: u32, event: Option<EventFd>) -> std::result::Result<(), i32> {
        match self {
            Self::Here(mdev) => mdev.set_irq(index, event),
            Self::Elsewhere(mdev) => mdev.set_irq(index, event),
        }
    }

    pub(super) fn reset(&self) -> std::result::Result<(), i32> {
        match self {
            Self::Here(mdev) => mdev.reset(),
            Self::Elsewhere(mdev) => mdev.reset(),
        }
    }

    pub(super) fn map_dma(&self, memory: Range<u64>) -> std::result::Result<(), i32> {
        match self {
            Self::Here(mdev) => mdev.map_dma(memory),
            Self::Elsewhere(mdev) => mdev.map_dma(memory),
        }
    }

    /// For KVM to find the device by when the guest wants interruptions. It does not keep it open.
    pub(super) fn hook(&self) -> Weak<dyn PqapHook> {
        match self {
            Self::Here(mdev) => {
                let mdev: Weak<OpenMdev> = Arc::downgrade(mdev);
                mdev
            }
            Self::Elsewhere(mdev) => {
                let mdev: Weak<RemoteMdev> = Arc::downgrade(mdev);
                mdev
            }
        }
    }
}
