//! The host that a VM is on: one in this process, or one that another process serves.
//!
//! All that KVM's half here asks of its host goes through [`VmHost`], so that nothing above it can tell where the
//! adapters are: [`SimHost`] is the one here, `share` has the other. Memory, vCPUs and the CRYCB are always in this process.

use super::{clock::HostTime, machine, proto::MAX_VCPUS};
use crate::{
    ApFacilities, GuestCrypto, KernelProfile, Notification, OpenMdev, QueueStatus, ReplyPart, SimHost,
    Tested, VmId,
};
use adjunct_ap::{Apqn, Sysfs, Uuid};
use adjunct_cpu_model::{
    Model,
    kvm::{Capabilities, MachineAttributes},
};
use adjunct_hypervisor::{ApDeviceInfo, EventFd, IrqInfo, Limits, Result};
use adjunct_zarch::ap::Configuration;
use std::{fmt::Debug, io, ops::Range, sync::Arc, time::Duration};

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

/// Who wants to know that the host is gone.
pub(crate) trait HostGone: Debug + Send + Sync {
    /// It is gone.
    fn host_gone(&self);
}

/// Something that the host holds for a VM until it is dropped.
pub(crate) type VmHeld = Box<dyn Debug + Send + Sync>;

/// The host of one VM.
pub(crate) trait VmHost: ApInstructions {
    /// Notes an act.
    ///
    /// # Errors
    /// Those planned for it, and ECONNRESET when the host is gone.
    fn act(&self, request: &'static str, target: &str) -> Result<()>;

    /// Has the host hold something.
    fn hold(&self, what: &str) -> VmHeld;

    /// Its time.
    fn time(&self) -> HostTime;

    /// Whose behaviour it shows.
    fn profile(&self) -> KernelProfile;

    /// The names in a directory of its `/sys`.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// [`SimHost::open_mdev`].
    ///
    /// # Errors
    /// As there.
    fn open_mdev(
        &self,
        uuid: Uuid,
        vm: VmId,
        crypto: Arc<dyn GuestCrypto>,
    ) -> std::result::Result<Arc<dyn VmMdev>, i32>;

    /// Has `whom` be told when the host is gone.
    fn when_gone(&self, whom: Arc<dyn HostGone>);

    /// Whether the VM can go on.
    ///
    /// # Errors
    /// ECONNRESET when the host is gone.
    fn check(&self) -> Result<()>;

    /// How long an adapter takes for a message; `None` where time passes by itself.
    fn service_time(&self) -> Option<Duration>;

    /// [`SimHost::advance`], where guests move the time.
    fn advance(&self, by: Duration);
}

/// AP instructions of a VM's guest. Once the host is gone there is no queue any more.
pub(crate) trait ApInstructions: Debug + Send + Sync {
    /// What QCI says but for the masks.
    fn configuration(&self) -> Configuration;
    /// PQAP(TAPQ).
    fn test(&self, apqn: Apqn) -> Tested;
    /// PQAP(QACT).
    fn query_type(&self, apqn: Apqn, query: u64) -> Tested;
    /// PQAP(RAPQ).
    fn reset(&self, apqn: Apqn) -> QueueStatus;
    /// PQAP(ZAPQ).
    fn zeroize(&self, apqn: Apqn) -> QueueStatus;
    /// NQAP.
    fn enqueue(&self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus;
    /// DQAP.
    fn dequeue(&self, apqn: Apqn, room: usize) -> (QueueStatus, Option<ReplyPart>);
}

/// An mdev that a VM has open. Dropping it closes it.
pub(crate) trait VmMdev: Debug + Send + Sync {
    /// [`OpenMdev::info`].
    fn info(&self) -> ApDeviceInfo;
    /// [`OpenMdev::irq_info`].
    fn irq_info(&self, index: u32) -> std::result::Result<IrqInfo, i32>;
    /// [`OpenMdev::set_irq`].
    fn set_irq(&self, index: u32, event: Option<EventFd>) -> std::result::Result<(), i32>;
    /// [`OpenMdev::reset`].
    fn reset(&self) -> std::result::Result<(), i32>;
    /// [`OpenMdev::map_dma`].
    fn map_dma(&self, memory: Range<u64>) -> std::result::Result<(), i32>;
    /// [`OpenMdev::aqic`]: the VM's PQAP(AQIC) (`kvm->arch.crypto.pqap_hook`).
    fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus;
}

impl VmHost for SimHost {
    fn act(&self, request: &'static str, target: &str) -> Result<()> {
        self.acts().act(request, target)
    }

    fn hold(&self, what: &str) -> VmHeld {
        Box::new(self.acts().hold(what))
    }

    fn time(&self) -> HostTime {
        HostTime::of_guests(self.clock().clone())
    }

    fn profile(&self) -> KernelProfile {
        self.profile()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        Sysfs::list(self, dir)
    }

    fn open_mdev(
        &self,
        uuid: Uuid,
        vm: VmId,
        crypto: Arc<dyn GuestCrypto>,
    ) -> std::result::Result<Arc<dyn VmMdev>, i32> {
        Ok(Arc::new(self.open_mdev(uuid, vm, crypto)?))
    }

    /// Nobody is told: whoever has a VM here has the host.
    fn when_gone(&self, _: Arc<dyn HostGone>) {}

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn service_time(&self) -> Option<Duration> {
        Some(self.adapters().operate(|machine| machine.service_time))
    }

    fn advance(&self, by: Duration) {
        self.advance(by);
    }
}

impl ApInstructions for SimHost {
    fn configuration(&self) -> Configuration {
        self.adapters().operate(|machine| Configuration {
            flags: machine.flags,
            na: machine.max_adapter,
            nd: machine.max_domain,
        })
    }

    fn test(&self, apqn: Apqn) -> Tested {
        self.adapters().test(apqn)
    }

    fn query_type(&self, apqn: Apqn, query: u64) -> Tested {
        self.adapters().query_type(apqn, query)
    }

    fn reset(&self, apqn: Apqn) -> QueueStatus {
        self.adapters().reset(apqn)
    }

    fn zeroize(&self, apqn: Apqn) -> QueueStatus {
        self.adapters().zeroize(apqn)
    }

    fn enqueue(&self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus {
        self.adapters().enqueue(apqn, psmid, message)
    }

    fn dequeue(&self, apqn: Apqn, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        self.adapters().dequeue(apqn, room)
    }
}

impl VmMdev for OpenMdev {
    fn info(&self) -> ApDeviceInfo {
        self.info()
    }

    fn irq_info(&self, index: u32) -> std::result::Result<IrqInfo, i32> {
        self.irq_info(index)
    }

    fn set_irq(&self, index: u32, event: Option<EventFd>) -> std::result::Result<(), i32> {
        self.set_irq(index, event)
    }

    fn reset(&self) -> std::result::Result<(), i32> {
        self.reset()
    }

    fn map_dma(&self, memory: Range<u64>) -> std::result::Result<(), i32> {
        self.map_dma(memory)
    }

    fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus {
        self.aqic(apqn, notification)
    }
}
