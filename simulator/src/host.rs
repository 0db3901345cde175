//! The host as a whole: one lock over AP bus and vfio_ap, and the way in for everybody else.
//!
//! Lock order: the host's lock, then a VM's ([`GuestCrypto`] is called with the host's held), then the adapters'.

mod boot;
mod load;
mod log;
mod report;
mod time;

use crate::{
    Acts, Adapters, Clock, GuestCrypto, HostFile, HostFileError, KernelProfile, OpenMdev, Uevent,
    UeventReader, VmId,
    ap_bus::ApBus,
    sysfs::{self, Errno, PAGE, Tree},
    uevents::Uevents,
    vfio_ap::VfioAp,
};
use adjunct_ap::{Matrix, Sysfs, Uuid};
use adjunct_cpu_model::{Feature, Model};
pub use load::LoadError;
use log::KernelLog;
pub use report::EventInformation;
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
    pub(crate) uevents: Uevents,
    pub(crate) autoprobe: sysfs::Autoprobe,
    /// How many devices have come, also before the last [`SimHost::load`].
    births: u64,
    /// Whether the machine has AP instructions.
    pub(crate) has_ap: bool,
    log: KernelLog,
    /// The store that has just run is done when this mdev is closed.
    pub(crate) waiting: Option<Uuid>,
}

impl State {
    /// A number for a device that comes.
    pub(crate) fn birth(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

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
        let state = State::boot(&file, clock.clone(), 0)?;
        Ok(Self(Arc::new(Shared {
            adapters: state.adapters.clone(),
            state: Mutex::new(state),
            closed: Condvar::new(),
            acts: Acts::new(clock.clone()),
            clock,
            profile: file.kernel,
            model: file.machine,
            vms: AtomicU64::new(0),
        })))
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host as it is now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.locked();
        state.catch_up();
        state
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

    /// The machine tells the host that its AP configuration has changed (a channel report,
    /// `drivers/s390/cio/chsc.c: chsc_process_sei_ap_cfg_chg`): the AP bus scans at once.
    pub fn config_changed(&self) {
        let mut state = self.state();
        if state.has_ap {
            state.scan();
        }
    }

    /// What udev was told, oldest first: the last 16,384 events.
    pub fn uevents(&self) -> Vec<Uevent> {
        self.state().uevents.recent()
    }

    /// Follows what udev is told from now on, as its netlink socket would.
    ///
    /// # Errors
    /// When there is no file descriptor for it.
    pub fn watch_uevents(&self) -> io::Result<UeventReader> {
        self.state().uevents.reader()
    }

    /// [`Uevents::wait_after`]: nobody else waits meanwhile.
    pub(crate) fn wait_for_uevents(&self, after: u64, at_most: Duration) -> Vec<Uevent> {
        let uevents = self.state().uevents.clone();
        uevents.wait_after(after, at_most)
    }

    /// The kernel's log, oldest first: the last 128 KiB.
    pub fn log(&self) -> Vec<String> {
        self.state().log.lines()
    }

    /// Opens the device of mdev `uuid` for a VM: the guest's masks are set.
    ///
    /// # Errors
    /// ENODEV without such an mdev (or when it is going away), EBUSY when somebody has it open, EPERM when this VM
    /// has a vfio-ap device already.
    pub fn open_mdev(&self, uuid: Uuid, vm: VmId, crypto: Arc<dyn GuestCrypto>) -> Result<OpenMdev, i32> {
        OpenMdev::alone(self, uuid, vm, crypto)
    }

    /// The masks of the guest that has an mdev open: `None` without such an mdev, `Some(None)` when nobody has it open.
    pub(crate) fn guest_masks(&self, uuid: Uuid) -> Option<Option<Matrix>> {
        self.state().guest_masks(uuid)
    }

    /// Whether vfio_ap has the device of mdev `uuid` open for somebody.
    pub(crate) fn is_open(&self, uuid: Uuid) -> bool {
        self.state().vfio.is_open(uuid)
    }

    /// Wakes whoever waits for an mdev to be closed.
    pub(crate) fn closed(&self) {
        self.0.closed.notify_all();
    }

    /// A question to sysfs, which a plan may have fail.
    pub(crate) fn ask(&self, request: &'static str, path: &str) -> Result<(), Errno> {
        self.0.acts.ask(request, &format!("/sys/{path}"), |late| self.advance(late))
    }

    /// `/sys` as a file system shows it.
    pub fn tree(&self) -> Tree {
        Tree::new(self.clone())
    }

    /// Notes that `value` is written to `path`, has it done, and waits if the kernel would.
    pub(crate) fn store(
        &self,
        path: &str,
        value: &str,
        store: impl FnOnce(&mut State) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let target = format!("/sys/{path} {}", value.trim_end_matches('\n'));
        let begun = self.0.acts.begin("write", target, |late| self.advance(late));
        begun.map_err(|refused| refused.errno.errno())?;
        let mut state = self.state();
        store(&mut state)?;
        if let Some(uuid) = state.waiting.take() {
            let going = |state: &mut State| state.vfio.is_being_removed(uuid);
            drop(self.0.closed.wait_while(state, going));
        }
        Ok(())
    }
}

/// `/sys` of a host for whoever only looks, whatever is planned for reads.
#[derive(Debug)]
pub(crate) struct Quietly<'a>(&'a SimHost);

impl SimHost {
    pub(crate) fn quietly(&self) -> Quietly<'_> {
        Quietly(self)
    }
}

impl Sysfs for Quietly<'_> {
    fn read(&self, path: &str) -> io::Result<String> {
        sysfs::read(&self.0.state(), path).map_err(io::Error::from_raw_os_error)
    }

    /// EROFS.
    fn write(&self, _path: &str, _value: &str) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EROFS))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        sysfs::list(&self.0.state(), dir).map_err(io::Error::from_raw_os_error)
    }
}

/// `/sys` of the host. A write is an act, and waits as the kernel's does: for an open mdev to be closed when it is
/// to be removed.
impl Sysfs for SimHost {
    fn read(&self, path: &str) -> io::Result<String> {
        self.ask("read", path).map_err(io::Error::from_raw_os_error)?;
        sysfs::read(&self.state(), path).map_err(io::Error::from_raw_os_error)
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        self.store(path, value, |state| sysfs::write(state, path, value))
            .map_err(io::Error::from_raw_os_error)?;
        if value.len() > PAGE {
            let cut = format!("only {PAGE} of {} bytes were taken", value.len());
            return Err(io::Error::new(io::ErrorKind::WriteZero, cut));
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.ask("list", dir).map_err(io::Error::from_raw_os_error)?;
        sysfs::list(&self.state(), dir).map_err(io::Error::from_raw_os_error)
    }
}
