//! A host to try things on, and short words for trying them.

use adjunct_ap::{Apid, Apqn, Matrix, Sysfs, Uuid};
use adjunct_simulator::{GuestCrypto, HostFile, InterruptSink, OpenMdev, SimHost, Uevent};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The host that the list supposes: adapters 4 to 6, domains 4 and 0x47, and 5 and 6 left to vfio_ap.
pub(crate) const HOST: &str = r#"
machine = "z16"
[ap]
features = ["APSC", "APXA", "QACT"]
max_adapter = 63
max_domain = 84
usage_domains = [4, 0x47]
control_domains = [4, 5, 0x47]
apmask = "-5,-6"
[[ap.card]]
id = 4
type = "CEX8A"
[[ap.card]]
id = 5
type = "CEX8P"
[[ap.card]]
id = 6
type = "CEX8C"
"#;

/// Its first lines without masks: all queues are the host's.
pub(crate) fn unmasked() -> String {
    HOST.replace("apmask = \"-5,-6\"\n", "")
}

pub(crate) const A: &str = "6c4a5d2e-0d3e-4c7a-9b0a-00000000000a";
pub(crate) const B: &str = "6c4a5d2e-0d3e-4c7a-9b0a-00000000000b";
pub(crate) const TYPE: &str = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";

pub(crate) const EPERM: i32 = libc::EPERM;

/// A host, spoken to as a shell would.
pub(crate) struct Host {
    pub(crate) host: SimHost,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::of(HOST)
    }

    pub(crate) fn of(text: &str) -> Self {
        Self { host: SimHost::new(HostFile::parse(text).unwrap()).unwrap() }
    }

    pub(crate) fn with_kernel(text: &str, kernel: &str) -> Self {
        Self::of(&format!("kernel = \"{kernel}\"\n{text}"))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        self.host.read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn read_errno(&self, path: &str) -> i32 {
        errno(self.host.read(path))
    }

    /// What a write is answered: 0 or an errno.
    pub(crate) fn try_write(&self, path: &str, value: &str) -> i32 {
        match self.host.write(path, value) {
            Ok(()) => 0,
            error => errno(error),
        }
    }

    pub(crate) fn write(&self, path: &str, value: &str) {
        assert_eq!(self.try_write(path, value), 0, "{value:?} to {path}");
    }

    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        self.host.list(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn bound(&self, driver: &str) -> Vec<String> {
        let names = self.list(&format!("bus/ap/drivers/{driver}"));
        names.into_iter().filter(|name| name.contains('.')).collect()
    }

    /// Makes an mdev with these adapters, then these domains.
    pub(crate) fn mdev(&self, uuid: &str, adapters: &[u8], domains: &[u8]) {
        self.write(&format!("{TYPE}/create"), uuid);
        adapters.iter().for_each(|id| self.write(&attr(uuid, "assign_adapter"), &id.to_string()));
        domains.iter().for_each(|id| self.write(&attr(uuid, "assign_domain"), &id.to_string()));
    }

    pub(crate) fn mdev_write(&self, uuid: &str, attribute: &str, value: &str) -> i32 {
        self.try_write(&attr(uuid, attribute), value)
    }

    pub(crate) fn mdev_read(&self, uuid: &str, attribute: &str) -> String {
        self.read(&attr(uuid, attribute))
    }

    /// Opens an mdev for a new VM.
    pub(crate) fn open(&self, uuid: &str) -> (OpenMdev, Arc<Vm>) {
        let vm = Arc::new(Vm::default());
        let open = self.host.open_mdev(id(uuid), self.host.new_vm_id(), vm.clone()).unwrap();
        (open, vm)
    }

    /// What udev is told while `action` runs, but for binding.
    pub(crate) fn uevents(&self, action: impl FnOnce()) -> Vec<Uevent> {
        let before = self.host.uevents().len();
        action();
        let events = self.host.uevents().split_off(before);
        events.into_iter().filter(|event| !event.action.ends_with("bind")).collect()
    }

    pub(crate) fn set_usage_domains(&self, domains: &[u8]) {
        let mask = domains.iter().copied().map(Into::into).collect();
        self.host.adapters().operate(|machine| machine.usage_domains = mask);
    }

    pub(crate) fn configure(&self, apid: u8, on: bool) {
        self.host.adapters().operate(|machine| machine.cards.get_mut(&Apid(apid)).unwrap().configured = on);
    }

    pub(crate) fn queue_empty(&self, apqn: &str) -> bool {
        self.host.adapters().test(queue(apqn)).status.queue_empty()
    }

    /// Leaves a message in a queue, which a reset takes out.
    pub(crate) fn leave_message(&self, apqn: &str) {
        // Whatever reset is under way is over by then.
        self.host.advance(Duration::from_millis(1));
        assert_eq!(self.host.adapters().enqueue(queue(apqn), 1, b"left").code(), 0, "{apqn}");
        assert!(!self.queue_empty(apqn));
    }
}

pub(crate) fn attr(uuid: &str, attribute: &str) -> String {
    format!("devices/vfio_ap/matrix/{uuid}/{attribute}")
}

pub(crate) fn id(uuid: &str) -> Uuid {
    uuid.parse().unwrap()
}

pub(crate) fn queue(apqn: &str) -> Apqn {
    apqn.parse().unwrap()
}

pub(crate) fn errno<T>(answer: io::Result<T>) -> i32 {
    answer.err().and_then(|error| error.raw_os_error()).expect("an errno")
}

/// KVM's end of an open mdev: what was written to the guest's APCB, oldest first; `None` is cleared.
#[derive(Debug, Default)]
pub(crate) struct Vm {
    pub(crate) history: Mutex<Vec<Option<Matrix>>>,
}

impl Vm {
    pub(crate) fn updates(&self) -> usize {
        self.history.lock().unwrap().len()
    }

    pub(crate) fn now(&self) -> Option<Matrix> {
        self.history.lock().unwrap().last().copied().flatten()
    }

    /// The queues that the guest has.
    pub(crate) fn queues(&self) -> Vec<String> {
        self.now().into_iter().flat_map(|matrix| matrix.apqns()).map(|apqn| apqn.to_string()).collect()
    }
}

impl GuestCrypto for Vm {
    fn set_masks(&self, matrix: &Matrix) {
        self.history.lock().unwrap().push(Some(*matrix));
    }

    fn clear_masks(&self) {
        self.history.lock().unwrap().push(None);
    }
}

/// A guest that is told of replies.
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<(u64, u8)>>);

impl InterruptSink for Told {
    fn notify(&self, nib: u64, isc: u8) {
        self.0.lock().unwrap().push((nib, isc));
    }
}
