//! The host as a whole: one lock over AP bus and vfio_ap, and the way in for everybody else.
//!
//! Lock order: the host's lock, then a VM's ([`GuestCrypto`] is called with the host's held), then the adapters'.

mod boot;

use crate::{
    Acts, Adapters, Clock, GuestCrypto, HostFile, HostFileError, KernelProfile, OpenMdev, Uevent, VmId,
    ap_bus::ApBus,
    sysfs::{self, Errno, PAGE},
    vfio_ap::VfioAp,
};
use adjunct_ap::{Sysfs, Uuid};
use adjunct_cpu_model::{Feature, Model};
use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A simulated host. Clones are the same host.
#[derive(Clone, Debug)]
pub struct SimHost(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Some mdev was closed.
    closed: Condvar,
    acts: Acts,
    adapters: Adapters,
    clock: Clock,
    profile: KernelProfile,
    model: &'static Model,
    vms: AtomicU64,
}

/// What the host's lock protects: the AP bus and vfio_ap of one kernel.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) profile: KernelProfile,
    pub(crate) adapters: Adapters,
    pub(crate) clock: Clock,
    pub(crate) bus: ApBus,
    pub(crate) vfio: VfioAp,
    /// Whether the machine has AP instructions.
    pub(crate) has_ap: bool,
    log: Vec<String>,
    /// The store that has just run is done when this mdev is closed.
    pub(crate) waiting: Option<Uuid>,
}

impl State {
    /// Says something in the kernel's log.
    pub(crate) fn log(&mut self, line: String) {
        self.log.push(line);
    }
}

impl SimHost {
    /// Starts the host that `file` describes: hardware, then the AP bus, then what the file has written to the
    /// bus's masks, then its mdevs.
    ///
    /// # Errors
    /// [`HostFileError::Refused`] with the key of the file whose wish was refused.
    pub fn new(file: HostFile) -> Result<Self, HostFileError> {
        let clock = Clock::default();
        let adapters = Adapters::new(boot::machine(&file), clock.clone());
        let mut state = State::boot(&file, adapters.clone(), clock.clone());
        boot::apply(&mut state, &file)?;
        Ok(Self(Arc::new(Shared {
            state: Mutex::new(state),
            closed: Condvar::new(),
            acts: Acts::default(),
            adapters,
            clock,
            profile: file.kernel,
            model: file.machine,
            vms: AtomicU64::new(0),
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done to the host: one list for sysfs, VMs and devices.
    pub fn acts(&self) -> Acts {
        self.0.acts.clone()
    }

    /// The host's clock. To move it so that the host notices, use [`SimHost::advance`].
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Whose behaviour the host shows.
    pub fn profile(&self) -> KernelProfile {
        self.0.profile
    }

    /// The machine's CPU model.
    pub fn machine_model(&self) -> &'static Model {
        self.0.model
    }

    /// Whether the machine has AP instructions: else there is no AP bus, and no guest can be given any.
    pub fn has_ap(&self) -> bool {
        self.0.model.full().contains(Feature::Ap)
    }

    /// The crypto hardware, for what a guest's AP instructions do and for what an operator changes.
    pub fn adapters(&self) -> &Adapters {
        &self.0.adapters
    }

    /// A number for a new VM.
    pub fn new_vm_id(&self) -> VmId {
        VmId(self.0.vms.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets time pass: replies arrive, the AP bus scans when its timer says so, and guests are asked again for
    /// mdevs that shall be removed.
    pub fn advance(&self, by: Duration) {
        self.0.clock.advance(by);
        let mut state = self.state();
        state.scan_if_due();
        state.repeat_requests();
        drop(state);
        self.0.adapters.deliver();
    }

    /// The machine tells the host that its AP configuration has changed (a channel report,
    /// `drivers/s390/cio/chsc.c: chsc_process_sei_ap_cfg_chg`): the AP bus scans at once.
    pub fn config_changed(&self) {
        let mut state = self.state();
        if state.has_ap {
            state.scan();
        }
    }

    /// What udev was told since the start, oldest first.
    pub fn uevents(&self) -> Vec<Uevent> {
        self.state().bus.uevents.clone()
    }

    /// The kernel's log since the start, oldest first.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Opens the device of mdev `uuid` for a VM: the guest's masks are set.
    ///
    /// # Errors
    /// ENODEV without such an mdev (or when it is going away), EBUSY when somebody has it open, EPERM when this VM
    /// has a vfio-ap device already.
    pub fn open_mdev(&self, uuid: Uuid, vm: VmId, crypto: Arc<dyn GuestCrypto>) -> Result<OpenMdev, i32> {
        self.state().open(uuid, vm, crypto)?;
        Ok(OpenMdev::new(self.clone(), uuid, vm))
    }

    /// Wakes whoever waits for an mdev to be closed.
    pub(crate) fn closed(&self) {
        self.0.closed.notify_all();
    }

    fn store(&self, path: &str, value: &str) -> Result<(), Errno> {
        let mut state = self.state();
        sysfs::write(&mut state, path, value)?;
        if let Some(uuid) = state.waiting.take() {
            let going = |state: &mut State| state.vfio.is_being_removed(uuid);
            drop(self.0.closed.wait_while(state, going));
        }
        Ok(())
    }
}

/// `/sys` of the host. A write is an act, and waits as the kernel's does: for an open mdev to be closed when it is
/// to be removed.
impl Sysfs for SimHost {
    fn read(&self, path: &str) -> io::Result<String> {
        sysfs::read(&self.state(), path).map_err(io::Error::from_raw_os_error)
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let target = format!("/sys/{path} {}", value.trim_end_matches('\n'));
        self.0
            .acts
            .act("write", target)
            .map_err(|refused| io::Error::from_raw_os_error(refused.errno.errno()))?;
        self.store(path, value).map_err(io::Error::from_raw_os_error)?;
        if value.len() > PAGE {
            let cut = format!("only {PAGE} of {} bytes were taken", value.len());
            return Err(io::Error::new(io::ErrorKind::WriteZero, cut));
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        sysfs::list(&self.state(), dir).map_err(io::Error::from_raw_os_error)
    }
}
