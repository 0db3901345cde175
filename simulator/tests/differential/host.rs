//! A host that operations are done to: sysfs, a hypervisor and a machine whose adapters can be changed. The real one
//! and the simulated one are the same code here, down to what is counted from.

use crate::{
    guest::Guest,
    listed::{self, What},
    operation::{Answer, Operation, Tree},
};
use adjunct_ap::Sysfs;
use adjunct_hypervisor::{ApDevice, ApIrq, EventFd, Hypervisor, KernelError};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

/// How many VMs there are.
pub(crate) const VMS: usize = 3;

/// Where mdevs are opened from.
const MDEVS: &str = "bus/mdev/devices";

/// What counts on over the life of a kernel, and is told from the beginning of a sequence on.
const COUNTERS: [&str; 2] = ["bus/ap/scans", "bus/ap/bindings_complete_count"];

/// What zcrypt asks an adapter for. The lab's adapters answer with an error, and how many requests and scans it takes
/// zcrypt to believe that is its own affair. Where the adapter was taken away and no scan has seen it, the read waits
/// for the next scan.
const ASKED: [&str; 5] = ["API_ordinalnr", "FW_version", "mkvps", "op_modes", "serialnr"];

/// What is different about the hosts.
pub(crate) trait Machine {
    /// Carries out an order: `decfg 5`.
    fn order(&self, order: &str) -> std::io::Result<()>;

    /// Has the bus do now what it would do in its own time: it resets queues and enables their interruptions.
    fn settle(&self);

    /// Lets time pass, where it does not by itself.
    fn pass(&self, _: Duration) {}
}

/// An mdev that a VM has open.
struct Open {
    mdev: String,
    device: Box<dyn ApDevice>,
    request: EventFd,
    change: EventFd,
    /// How often it was asked for the device, as far as that was taken from `request`, and how often until somebody
    /// was told, and until a removal had asked.
    asked: u64,
    told: u64,
    first: u64,
    removal: Option<JoinHandle<Answer>>,
}

struct Vm {
    open: Option<Open>,
    guest: Guest,
}

pub(crate) struct Host {
    pub(crate) sysfs: Arc<dyn Sysfs + Send + Sync>,
    hypervisor: Arc<dyn Hypervisor>,
    machine: Box<dyn Machine>,
    vms: BTreeMap<usize, Vm>,
    base: BTreeMap<String, u64>,
    /// The bus knows all of the machine's changes.
    seen: bool,
}

fn refused<T>(answer: Result<T, KernelError>) -> Result<T, Answer> {
    answer.map_err(|error| Answer::Refused(error.errno.errno()))
}

impl Host {
    pub(crate) fn new(
        sysfs: Arc<dyn Sysfs + Send + Sync>,
        hypervisor: Arc<dyn Hypervisor>,
        machine: Box<dyn Machine>,
    ) -> Self {
        let mut host =
            Self { sysfs, hypervisor, machine, vms: BTreeMap::new(), base: BTreeMap::new(), seen: true };
        host.count_from_here();
        host
    }

    /// Counters are 0 from now on.
    pub(crate) fn count_from_here(&mut self) {
        self.seen = true;
        self.base = self.counts();
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let count = |path: &str| self.sysfs.read(path).ok()?.trim().parse().ok();
        COUNTERS.iter().filter_map(|path| Some(((*path).to_owned(), count(path)?))).collect()
    }

    pub(crate) fn order(&self, order: &str) -> Answer {
        Answer::of(self.machine.order(order), |()| Answer::Done)
    }

    /// Does it, when nothing is under way any more.
    pub(crate) fn apply(&mut self, operation: &Operation) -> Answer {
        self.machine.settle();
        match operation {
            Operation::Write { path, value } if path.ends_with("/remove") => self.remove(path, value),
            Operation::Write { path, value } => {
                if path == "bus/ap/apmask" || path == "bus/ap/aqmask" {
                    self.probe_all();
                    self.machine.settle();
                }
                self.seen |= path == "bus/ap/scans" && !value.is_empty();
                self.write(path, value)
            }
            Operation::Read { path } => self.read(path),
            Operation::List { path } => self.list(path),
            Operation::Hardware(order) => {
                self.seen = false;
                self.order(order)
            }
            Operation::Open { vm, mdev } => self.open(*vm, mdev).err().unwrap_or(Answer::Done),
            Operation::Close { vm } => self.close(*vm),
            Operation::Reset { vm } => match self.opened(*vm) {
                Some(open) => refused(open.device.reset()).err().unwrap_or(Answer::Done),
                None => Answer::Refused(libc::EBADF),
            },
            Operation::Events { vm } => self.events(*vm),
            Operation::Guest { vm } => self.guest(*vm).unwrap_or_else(|answer| answer),
            Operation::Tree => Answer::Tree(self.tree()),
        }
    }

    /// How often VMs were asked again for what is to be removed: every ten seconds, as time passes.
    pub(crate) fn asked_again(&mut self) -> u64 {
        let open =
            self.vms.values_mut().filter_map(|vm| vm.open.as_mut()).filter(|open| open.removal.is_some());
        open.map(|open| {
            open.asked += open.request.read().unwrap_or(0);
            open.asked - open.first
        })
        .sum()
    }

    /// Lets as much time pass as another host has needed until its VMs were asked so often.
    #[cfg_attr(not(target_arch = "s390x"), expect(dead_code, reason = "records do not last so long"))]
    pub(crate) fn keep_up(&mut self, asked_again: u64) {
        for _ in self.asked_again()..asked_again {
            self.machine.pass(Duration::from_secs(10));
        }
    }

    fn write(&self, path: &str, value: &str) -> Answer {
        Answer::of(self.sysfs.write(path, value), |()| Answer::Done)
    }

    /// Gives drivers to all queues that have none, where the kernel is of two minds about those when a mask changes:
    /// since 7.0 it takes the flags of a driver that is not there from a word of low core that is not always the same
    /// (`drivers/s390/crypto/ap_bus.c: __ap_revise_reserved`). Up to 6.12 the word is 0.
    fn probe_all(&self) {
        for queue in self.sysfs.list("bus/ap/devices").unwrap_or_default() {
            let file = |name: &str| self.sysfs.read(&format!("bus/ap/devices/{queue}/{name}"));
            if file("driver_override").is_ok() && file("uevent").is_ok_and(|text| !text.contains("DRIVER=")) {
                // A queue that no driver wants stays as it is.
                let _ = self.sysfs.write("bus/ap/drivers_probe", &queue);
            }
        }
    }

    fn read(&self, path: &str) -> Answer {
        let base = self.base.get(path).copied();
        Answer::of(self.sysfs.read(path), |text| match (base, text.trim().parse::<u64>()) {
            (Some(base), Ok(count)) => Answer::Text(format!("{}\n", count.wrapping_sub(base))),
            _ => Answer::Text(text),
        })
    }

    fn list(&self, path: &str) -> Answer {
        Answer::of(self.sysfs.list(path), Answer::Names)
    }

    fn opened(&self, vm: usize) -> Option<&Open> {
        self.vms.get(&vm)?.open.as_ref()
    }

    /// A write to `remove` of an mdev that is open ends when it is closed: the file is gone at once, whoever has it open
    /// is asked for it, and the writer is still there.
    fn remove(&mut self, path: &str, value: &str) -> Answer {
        let mdev = path.rsplit('/').nth(1).unwrap_or_default();
        let open = self.vms.values_mut().filter_map(|vm| vm.open.as_mut()).find(|open| open.mdev == mdev);
        let Some(open) = open else { return self.write(path, value) };
        let (sysfs, path, value) = (Arc::clone(&self.sysfs), path.to_owned(), value.to_owned());
        let there = path.clone();
        open.asked += open.request.read().unwrap_or(0);
        let before = open.asked;
        let writer = {
            let sysfs = Arc::clone(&sysfs);
            thread::spawn(move || Answer::of(sysfs.write(&path, &value), |()| Answer::Done))
        };
        loop {
            if writer.is_finished() {
                return writer.join().expect("the writer does not panic");
            }
            open.asked += open.request.read().unwrap_or(0);
            let gone = sysfs.read(&there).is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT));
            if gone && open.asked > before {
                open.first = open.asked;
                open.removal = Some(writer);
                return Answer::Waits;
            }
            thread::yield_now();
        }
    }

    fn vm(&mut self, number: usize) -> Result<&mut Vm, Answer> {
        if !self.vms.contains_key(&number) {
            let guest = refused(Guest::new(&*self.hypervisor))?;
            self.vms.insert(number, Vm { open: None, guest });
        }
        self.vms.get_mut(&number).ok_or(Answer::Done)
    }

    fn open(&mut self, number: usize, mdev: &str) -> Result<(), Answer> {
        let free = !self.vms.values().any(|vm| vm.open.as_ref().is_some_and(|open| open.mdev == mdev));
        let there = self.sysfs.list(&format!("{MDEVS}/{mdev}")).is_ok();
        let vm = self.vm(number)?;
        if vm.open.is_some() && free && there {
            // On a real host our own hypervisor refuses, in place of kernels that spoil the first device.
            return Err(Answer::Refused(libc::EPERM));
        }
        let device = refused(vm.guest.vm.open_ap(PathBuf::from(format!("/sys/{MDEVS}/{mdev}")).into()))?;
        let event = || EventFd::new(libc::EFD_NONBLOCK).expect("an eventfd");
        let (request, change) = (event(), event());
        let irqs = refused(device.info())?.num_irqs;
        refused(device.set_irq(ApIrq::ReleaseRequest, Some(&request)))?;
        if irqs > 1 {
            refused(device.set_irq(ApIrq::ConfigChanged, Some(&change)))?;
        }
        vm.open = Some(Open {
            mdev: mdev.to_owned(),
            device,
            request,
            change,
            asked: 0,
            told: 0,
            first: 0,
            removal: None,
        });
        Ok(())
    }

    fn close(&mut self, vm: usize) -> Answer {
        let Some(open) = self.vms.get_mut(&vm).and_then(|vm| vm.open.take()) else {
            return Answer::Refused(libc::EBADF);
        };
        drop(open.device);
        open.removal.map_or(Answer::Done, |removal| removal.join().expect("the writer does not panic"))
    }

    fn events(&mut self, vm: usize) -> Answer {
        let open = self.vms.get_mut(&vm).and_then(|vm| vm.open.as_mut());
        let Some(open) = open else { return Answer::Refused(libc::EBADF) };
        let count = |event: &EventFd| event.read().unwrap_or(0);
        open.asked += count(&open.request);
        let asked = open.asked - std::mem::replace(&mut open.told, open.asked);
        Answer::Text(format!("request {asked} change {}", count(&open.change)))
    }

    fn guest(&mut self, vm: usize) -> Result<Answer, Answer> {
        Ok(Answer::Text(self.vm(vm)?.guest.says().unwrap_or_else(|end| end)))
    }

    /// All that can be read of the bus, of vfio_ap and of its mdevs.
    fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        for dir in ["bus/ap", "devices/vfio_ap/matrix", "devices/vfio_ap/matrix/mdev_supported_types"] {
            self.add(&mut tree, dir);
        }
        self.add(&mut tree, "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough");
        for dir in ["bus/ap/devices", "bus/ap/drivers", "bus/mdev/devices", "kernel/iommu_groups"] {
            tree.insert(dir.to_owned(), self.list(dir));
            for name in self.sysfs.list(dir).unwrap_or_default() {
                self.add(&mut tree, &format!("{dir}/{name}"));
            }
        }
        if self.seen {
            self.ask(&mut tree);
        }
        tree
    }

    /// Adds what adapters say of themselves, and counts nothing of what that has taken.
    fn ask(&mut self, tree: &mut Tree) {
        // zcrypt may scan when it is asked. What such a scan finds is found before, on both hosts.
        let _ = self.sysfs.write("bus/ap/scans", "1");
        self.machine.settle();
        let before = self.counts();
        for device in self.sysfs.list("bus/ap/devices").unwrap_or_default() {
            let dir = format!("bus/ap/devices/{device}");
            for name in self.sysfs.list(&dir).unwrap_or_default() {
                if ASKED.contains(&name.as_str()) {
                    let path = format!("{dir}/{name}");
                    tree.insert(path.clone(), self.read(&path));
                }
            }
            if device.starts_with("card") {
                // Whatever is written sets it to 0, and that of the card's queues.
                let _ = self.sysfs.write(&format!("{dir}/request_count"), "0");
            }
        }
        for (path, count) in self.counts() {
            if let (Some(base), Some(before)) = (self.base.get_mut(&path), before.get(&path)) {
                *base = base.wrapping_add(count - before);
            }
        }
    }

    fn add(&self, tree: &mut Tree, dir: &str) {
        tree.insert(dir.to_owned(), self.list(dir));
        for name in self.sysfs.list(dir).unwrap_or_default() {
            if listed::listed(&name, What::Text) || ASKED.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{dir}/{name}");
            match self.read(&path) {
                Answer::Refused(libc::EISDIR) => {}
                answer => {
                    tree.insert(path, answer);
                }
            }
        }
    }
}
