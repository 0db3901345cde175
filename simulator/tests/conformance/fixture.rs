//! A host to try things on, and short words for trying them.

#[cfg(target_arch = "s390x")]
pub(crate) mod lab;

use adjunct_ap::{Apid, Apqn, Matrix, Sysfs, Uuid};
use adjunct_hypervisor::{ApDeviceInfo, ApIrq, EventFd, IrqInfo};
use adjunct_simulator::{
    Card, GuestCrypto, HostFile, InterruptSink, KernelProfile, OpenMdev, SimHost, Uevent,
};
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

/// A host that a promise is put to: the simulated one, or in the lab (`tests/lab`) a real kernel's.
///
/// What a shell would do goes through `sysfs`, what an operator or a VMM would do through `beyond`.
pub(crate) struct Place {
    pub(crate) sysfs: Box<dyn Sysfs + Send + Sync>,
    pub(crate) beyond: Box<dyn Beyond>,
    /// Whose behaviour is expected.
    pub(crate) kernel: KernelProfile,
}

/// What can be done to a host beyond `/sys`.
pub(crate) trait Beyond: Send + Sync {
    /// Changes the hardware. The AP bus sees it when it next looks.
    fn order(&self, order: Order<'_>);
    /// Leaves a message in a queue, which a reset takes out.
    fn leave_message(&self, apqn: &str);
    fn queue_empty(&self, apqn: &str) -> bool;
    /// Lets a millisecond pass.
    fn pause(&self);
    /// The kernel's log since the place was made.
    fn log(&self) -> Vec<String>;
    /// What udev was told since the place was made.
    fn told(&self) -> Vec<News>;
    /// Opens an mdev for a new VM.
    fn open(&self, uuid: &str) -> Result<Box<dyn Opened>, i32>;
    /// The kernel has a reason to warn, of this function, and does.
    fn warns(&self, function: &str);
    /// The kernel has a reason to warn, of this function, and does the first time since it was booted.
    fn warns_once(&self, function: &str);
}

/// What an operator does to the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order<'a> {
    AddCard(u8, &'a str),
    /// Of a type by number, a CCA coprocessor.
    AddType(u8, u8),
    RemoveCard(u8),
    Configure(u8, bool),
    Checkstop(u8, bool),
    UsageDomain(u8, bool),
    ControlDomain(u8, bool),
    /// Whether an adapter has a queue for a domain of the configuration.
    Queue(u8, u8, bool),
    /// QCI's flags, and the highest adapter and domain.
    Qci(u32, u8, u8),
}

/// A uevent, without what every uevent of that device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) action: String,
    pub(crate) devpath: String,
    pub(crate) environment: Vec<String>,
}

impl News {
    pub(crate) fn says(&self, action: &str, devpath: &str, text: &str) -> bool {
        self.action == action
            && self.devpath == devpath
            && (text.is_empty() || self.environment.iter().any(|entry| entry == text))
    }
}

/// An mdev that a VM has open.
pub(crate) trait Opened: Send {
    fn reset(&self) -> Result<(), i32>;
    fn set_trigger(&self, irq: ApIrq, event: Option<&EventFd>) -> Result<(), i32>;
    fn info(&self) -> ApDeviceInfo;
    fn irq_info(&self, irq: ApIrq) -> Result<IrqInfo, i32>;
    /// What KVM was given, and how often, where that can be seen.
    fn masks(&self) -> Option<(Vec<String>, usize)>;
}

impl Place {
    pub(crate) fn read(&self, path: &str) -> String {
        self.sysfs.read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn read_errno(&self, path: &str) -> i32 {
        errno(self.sysfs.read(path))
    }

    /// What a write is answered: 0 or an errno.
    pub(crate) fn try_write(&self, path: &str, value: &str) -> i32 {
        match self.sysfs.write(path, value) {
            Ok(()) => 0,
            error => errno(error),
        }
    }

    pub(crate) fn write(&self, path: &str, value: &str) {
        assert_eq!(self.try_write(path, value), 0, "{value:?} to {path}");
    }

    /// What the kernel does in the background ends with `path` saying `text`.
    #[track_caller]
    pub(crate) fn becomes(&self, path: &str, text: &str) {
        let looks = (0..5000).map(|_| self.read(path)).take_while(|said| said != text);
        let wait = |_: &String| self.beyond.pause();
        assert!(looks.inspect(wait).count() < 5000, "{path} is never {text:?}");
    }

    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        self.sysfs.list(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn bound(&self, driver: &str) -> Vec<String> {
        let names = self.list(&format!("bus/ap/drivers/{driver}"));
        names.into_iter().filter(|name| name.contains('.')).collect()
    }

    /// Card devices.
    pub(crate) fn cards(&self) -> Vec<String> {
        self.list("devices/ap").into_iter().filter(|name| name.starts_with("card")).collect()
    }

    /// The mdevs there are.
    pub(crate) fn mdevs(&self) -> Vec<String> {
        self.list("bus/mdev/devices")
    }

    /// A file of the bus with one number.
    pub(crate) fn number(&self, path: &str) -> u64 {
        self.read(path).trim_end().parse().unwrap()
    }

    /// The highest ids, as the bus tells them: adapter, domain.
    pub(crate) fn highest(&self) -> (u64, u64) {
        (self.number("bus/ap/ap_max_adapter_id"), self.number("bus/ap/ap_max_domain_id"))
    }

    /// Gives all queues to the host.
    pub(crate) fn unmask(&self) {
        self.write("bus/ap/apmask", "+0-255");
    }

    pub(crate) fn scan(&self) {
        self.write("bus/ap/scans", "1");
    }

    pub(crate) fn order(&self, order: Order<'_>) {
        self.beyond.order(order);
    }

    /// Changes the hardware, and lets the bus look.
    pub(crate) fn order_and_scan(&self, order: Order<'_>) {
        self.order(order);
        self.scan();
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

    /// `status` of a queue that vfio_ap drives, without the newline.
    pub(crate) fn status(&self, apqn: &str) -> String {
        self.read(&format!("bus/ap/devices/{apqn}/status")).trim_end().to_owned()
    }

    pub(crate) fn leave_message(&self, apqn: &str) {
        self.beyond.leave_message(apqn);
        assert!(!self.queue_empty(apqn));
    }

    pub(crate) fn queue_empty(&self, apqn: &str) -> bool {
        self.beyond.queue_empty(apqn)
    }

    /// Which of these queues were reset since messages were left in them.
    pub(crate) fn reset_since<'a>(&self, queues: &[&'a str]) -> Vec<&'a str> {
        queues.iter().copied().filter(|apqn| self.queue_empty(apqn)).collect()
    }

    /// What udev is told while `action` runs, but for binding.
    pub(crate) fn told(&self, action: impl FnOnce()) -> Vec<News> {
        let before = self.beyond.told().len();
        action();
        let told = self.beyond.told().split_off(before);
        told.into_iter().filter(|event| !event.action.ends_with("bind")).collect()
    }

    /// Whether a line of the kernel's log has all of these words.
    pub(crate) fn logged(&self, words: &[&str]) -> bool {
        self.beyond.log().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    pub(crate) fn guest(&self, uuid: &str) -> Guest<'_> {
        let opened = self.beyond.open(uuid).unwrap();
        let changed = EventFd::new(libc::EFD_NONBLOCK).unwrap();
        let told = opened.set_trigger(ApIrq::ConfigChanged, Some(&changed)).is_ok();
        assert_eq!(told, self.kernel.num_irqs() == 2);
        let updates = opened.masks().map_or(0, |(_, updates)| updates);
        Guest { place: self, uuid: uuid.to_owned(), opened, changed: told.then_some(changed), updates }
    }
}

/// A VM that has an mdev open.
pub(crate) struct Guest<'a> {
    place: &'a Place,
    uuid: String,
    pub(crate) opened: Box<dyn Opened>,
    changed: Option<EventFd>,
    updates: usize,
}

impl Guest<'_> {
    /// The guest has these queues, and KVM was given them so often since the last question.
    #[track_caller]
    pub(crate) fn has(&mut self, queues: &[&str], changes: usize) {
        let matrix = self.place.mdev_read(&self.uuid, "guest_matrix");
        let shown: Vec<&str> = matrix.lines().filter(|line| line.len() == 7).collect();
        assert_eq!(shown, queues, "guest_matrix");
        self.changed(changes);
        if let Some((given, _)) = self.opened.masks() {
            assert_eq!(given, queues, "what KVM has");
        }
    }

    /// So often the guest was told of a change since the last question, whatever became of its masks.
    #[track_caller]
    pub(crate) fn told_of(&self, changes: usize) {
        if let Some(changed) = &self.changed {
            assert_eq!(changed.read().unwrap_or(0), changes as u64, "events");
        }
    }

    /// So often the guest was told of a change since the last question.
    #[track_caller]
    pub(crate) fn changed(&mut self, changes: usize) {
        if let Some((_, updates)) = self.opened.masks() {
            assert_eq!(updates - self.updates, changes, "updates of the masks");
            self.updates = updates;
        }
        self.told_of(changes);
    }
}

/// The simulated host, with what can only be seen there.
pub(crate) struct Host {
    pub(crate) host: SimHost,
    place: Place,
}

impl std::ops::Deref for Host {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::of(HOST)
    }

    pub(crate) fn of(text: &str) -> Self {
        Self::around(SimHost::new(HostFile::parse(text).unwrap()).unwrap())
    }

    pub(crate) fn with_kernel(text: &str, kernel: &str) -> Self {
        Self::of(&format!("kernel = \"{kernel}\"\n{text}"))
    }

    pub(crate) fn around(host: SimHost) -> Self {
        let place = Place {
            sysfs: Box::new(host.clone()),
            beyond: Box::new(Simulated(host.clone())),
            kernel: host.profile(),
        };
        Self { host, place }
    }

    /// Opens an mdev for a new VM.
    pub(crate) fn open(&self, uuid: &str) -> (OpenMdev, Arc<Vm>) {
        let vm = Arc::new(Vm::default());
        let open = self.host.open_mdev(id(uuid), self.host.new_vm_id(), vm.clone()).unwrap();
        (open, vm)
    }

    pub(crate) fn set_usage_domains(&self, domains: &[u8]) {
        let mask = domains.iter().copied().map(Into::into).collect();
        self.host.adapters().operate(|machine| machine.usage_domains = mask);
    }

    pub(crate) fn configure(&self, apid: u8, on: bool) {
        self.order(Order::Configure(apid, on));
    }
}

/// The simulated host, as a place.
struct Simulated(SimHost);

impl Beyond for Simulated {
    fn pause(&self) {
        self.0.advance(Duration::from_millis(1));
    }

    fn order(&self, order: Order<'_>) {
        self.0.adapters().operate(|machine| match order {
            Order::AddCard(id, kind) => {
                machine.cards.insert(Apid(id), Card::new(kind.parse().unwrap()));
            }
            Order::AddType(id, hardware_type) => {
                let card = Card { hardware_type, ..Card::new("CEX8C".parse().unwrap()) };
                machine.cards.insert(Apid(id), card);
            }
            Order::RemoveCard(id) => drop(machine.cards.remove(&Apid(id))),
            Order::Configure(id, on) => machine.cards.get_mut(&Apid(id)).unwrap().configured = on,
            Order::Checkstop(id, on) => machine.cards.get_mut(&Apid(id)).unwrap().checkstopped = on,
            Order::UsageDomain(id, true) => machine.usage_domains.insert(id.into()),
            Order::UsageDomain(id, false) => machine.usage_domains.remove(id.into()),
            Order::ControlDomain(id, true) => machine.control_domains.insert(id.into()),
            Order::ControlDomain(id, false) => machine.control_domains.remove(id.into()),
            Order::Queue(apid, apqi, there) => {
                let missing = &mut machine.cards.get_mut(&Apid(apid)).unwrap().missing;
                if there { missing.remove(apqi.into()) } else { missing.insert(apqi.into()) }
            }
            Order::Qci(flags, adapter, domain) => {
                (machine.flags, machine.max_adapter, machine.max_domain) = (flags, adapter, domain);
            }
        });
    }

    fn leave_message(&self, apqn: &str) {
        // Whatever reset is under way is over by then.
        self.0.advance(Duration::from_millis(1));
        assert_eq!(self.0.adapters().enqueue(queue(apqn), 1, b"left").code(), 0, "{apqn}");
    }

    fn queue_empty(&self, apqn: &str) -> bool {
        self.0.adapters().test(queue(apqn)).status.queue_empty()
    }

    fn log(&self) -> Vec<String> {
        self.0.log()
    }

    fn told(&self) -> Vec<News> {
        let told = |event: Uevent| News {
            action: event.action.to_owned(),
            devpath: event.devpath,
            environment: event.environment,
        };
        self.0.uevents().into_iter().map(told).collect()
    }

    fn open(&self, uuid: &str) -> Result<Box<dyn Opened>, i32> {
        let vm = Arc::new(Vm::default());
        let open = self.0.open_mdev(id(uuid), self.0.new_vm_id(), vm.clone())?;
        Ok(Box::new((open, vm)))
    }

    fn warns(&self, _: &str) {}

    fn warns_once(&self, _: &str) {}
}

impl Opened for (OpenMdev, Arc<Vm>) {
    fn reset(&self) -> Result<(), i32> {
        self.0.reset()
    }

    fn set_trigger(&self, irq: ApIrq, event: Option<&EventFd>) -> Result<(), i32> {
        self.0.set_irq(irq.index(), event.map(|event| event.try_clone().unwrap()))
    }

    fn info(&self) -> ApDeviceInfo {
        self.0.info()
    }

    fn irq_info(&self, irq: ApIrq) -> Result<IrqInfo, i32> {
        self.0.irq_info(irq.index())
    }

    fn masks(&self) -> Option<(Vec<String>, usize)> {
        Some((self.1.queues(), self.1.updates()))
    }
}

/// Puts promises to every kernel of the simulator, and in the lab to the one that runs there. A promise is a function over
/// a [`Place`] that is as the list supposes.
macro_rules! on_every_host {
    ($($promise:ident)*) => {
        mod simulator {
            $(#[test]
            fn $promise() {
                for kernel in adjunct_simulator::KernelProfile::ALL {
                    let host = crate::fixture::Host::with_kernel(crate::fixture::HOST, kernel.name());
                    super::$promise(&host);
                }
            })*
        }

        #[cfg(target_arch = "s390x")]
        mod lab {
            $(#[test]
            #[ignore = "needs the lab; ./check --lab runs it"]
            fn $promise() {
                super::$promise(&crate::fixture::lab::place());
            })*
        }
    };
}
pub(crate) use on_every_host;

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
