//! Random operations. Most of them are about few ids, so that they meet: the same adapters, domains and mdevs over and
//! over, in states that matter. What is asked for wrongly is wrong in one of the ways that people and programs know.

mod random;
mod text;

pub(crate) use random::Random;

use crate::{host::VMS, operation::Operation};
use std::collections::BTreeSet;

pub(crate) const MDEVS: [&str; 3] = [
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "a3333333-3333-3333-3333-33333333333c",
];
/// Adapters 5 and 6 are there at the start.
const ADAPTERS: &[(usize, u8)] = &[(10, 5), (10, 6), (3, 7), (1, 0x40)];
/// All but the last are there at the start.
const DOMAINS: &[(usize, u8)] = &[(10, 4), (6, 0x47), (10, 0xab), (2, 0xff), (3, 9)];

const MATRIX: &str = "devices/vfio_ap/matrix";
const TYPE: &str = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";

/// Every so many operations all is compared.
const TREE_EVERY: usize = 30;

#[rustfmt::skip]
const BUS_ATTRIBUTES: &[&str] = &[
    "ap_domain", "ap_control_domain_mask", "ap_usage_domain_mask", "ap_adapter_mask", "config_time", "poll_thread",
    "ap_interrupts", "poll_timeout", "ap_max_domain_id", "ap_max_adapter_id", "apmask", "aqmask", "scans", "bindings",
    "bindings_complete_count", "features", "drivers_autoprobe", "drivers_probe", "uevent",
];
#[rustfmt::skip]
const CARD_ATTRIBUTES: &[&str] = &[
    "hwtype", "raw_hwtype", "depth", "ap_functions", "request_count", "requestq_count", "pendingq_count", "modalias",
    "config", "chkstop", "max_msg_size", "type", "online", "load", "uevent",
];
#[rustfmt::skip]
const QUEUE_ATTRIBUTES: &[&str] = &[
    "request_count", "requestq_count", "pendingq_count", "reset", "interrupt", "config", "chkstop", "ap_functions",
    "driver_override", "online", "load", "status", "uevent", "se_bind",
];
#[rustfmt::skip]
const MDEV_ATTRIBUTES: &[&str] = &[
    "matrix", "matrix", "guest_matrix", "guest_matrix", "guest_matrix", "control_domains", "ap_config", "uevent",
    "assign_adapter", "assign_domain", "assign_control_domain", "unassign_adapter", "unassign_domain",
    "unassign_control_domain", "remove",
];

/// What kind of operation is next, and how often.
#[derive(Clone, Copy)]
enum Kind {
    Assign,
    Unassign,
    Control,
    Config,
    Create,
    Remove,
    Mask,
    Driver,
    Override,
    Machine,
    Scan,
    Open,
    Close,
    Reset,
    Events,
    Guest,
    BusStore,
    DeviceStore,
    ReadBus,
    ReadDevice,
    ReadMdev,
    List,
    Strange,
}

#[rustfmt::skip]
const KINDS: &[(usize, Kind)] = &[
    (16, Kind::Assign), (10, Kind::Unassign), (4, Kind::Control), (5, Kind::Config), (8, Kind::Create),
    (3, Kind::Remove), (7, Kind::Mask), (7, Kind::Driver), (2, Kind::Override), (5, Kind::Machine), (5, Kind::Scan),
    (6, Kind::Open), (4, Kind::Close), (2, Kind::Reset), (3, Kind::Events), (4, Kind::Guest), (2, Kind::BusStore),
    (4, Kind::DeviceStore), (4, Kind::ReadBus), (6, Kind::ReadDevice), (9, Kind::ReadMdev), (2, Kind::List),
    (2, Kind::Strange),
];

/// The same operations for the same seed: `count` of them, and those that set the scene.
pub(crate) fn operations(seed: u64, count: usize) -> Vec<Operation> {
    let mut generator = Generator { random: Random::new(seed), out: Vec::new(), guard: Guard::default() };
    generator.scene();
    for n in 1..=count {
        generator.next();
        if n % TREE_EVERY == 0 || n == count {
            if generator.random.chance(60) {
                generator.push(write("bus/ap/scans", "1"));
            }
            generator.out.push(Operation::Tree);
        }
    }
    generator.out
}

struct Generator {
    random: Random,
    out: Vec<Operation>,
    guard: Guard,
}

fn write(path: impl Into<String>, value: impl Into<String>) -> Operation {
    Operation::Write { path: path.into(), value: value.into() }
}

fn read(path: impl Into<String>) -> Operation {
    Operation::Read { path: path.into() }
}

impl Generator {
    /// What administrators do first: give vfio_ap queues, by masks or by overrides, and make mdevs.
    fn scene(&mut self) {
        if self.random.chance(80) {
            self.push(write("bus/ap/aqmask", "-4,-0xab\n"));
        } else {
            for _ in 0..4 {
                self.driver_override();
                self.driver();
            }
        }
        for mdev in &MDEVS[..2] {
            self.push(write(format!("{TYPE}/create"), *mdev));
        }
        if self.random.chance(50) {
            for (attribute, id) in [("adapter", 5), ("adapter", 6), ("domain", 4), ("domain", 0xab)] {
                self.push(write(format!("{MATRIX}/{}/assign_{attribute}", MDEVS[0]), format!("{id}\n")));
            }
        }
    }

    fn push(&mut self, operation: Operation) {
        for cleared in self.guard.before(&operation) {
            self.out.push(cleared);
        }
        self.out.push(operation);
    }

    fn adapter(&mut self) -> u8 {
        self.random.weighted(ADAPTERS)
    }

    fn domain(&mut self) -> u8 {
        self.random.weighted(DOMAINS)
    }

    fn queue(&mut self) -> String {
        format!("{:02x}.{:04x}", self.adapter(), self.domain())
    }

    fn mdev(&mut self) -> &'static str {
        self.random.weighted(&[(10, MDEVS[0]), (6, MDEVS[1]), (2, MDEVS[2])])
    }

    /// The directory of an mdev, by one of its names.
    fn mdev_dir(&mut self) -> String {
        let dir = if self.random.chance(80) { MATRIX } else { "bus/mdev/devices" };
        format!("{dir}/{}", self.mdev())
    }

    fn vm(&mut self) -> usize {
        self.random.below(VMS)
    }

    fn next(&mut self) {
        match self.random.weighted(KINDS) {
            Kind::Assign => self.assign("assign"),
            Kind::Unassign => self.assign("unassign"),
            Kind::Control => {
                let (dir, domain) = (self.mdev_dir(), self.domain());
                let (what, value) = (self.random.chance(60), text::number(&mut self.random, domain));
                let what = if what { "assign" } else { "unassign" };
                self.push(write(format!("{dir}/{what}_control_domain"), value));
            }
            Kind::Config => self.config(),
            Kind::Create => {
                let uuid = self.mdev();
                let value = text::uuid(&mut self.random, uuid);
                self.push(write(format!("{TYPE}/create"), value));
            }
            Kind::Remove => {
                let dir = self.mdev_dir();
                let value =
                    self.random.weighted(&[(8, "1"), (2, "1\n"), (2, "0"), (1, "x"), (1, ""), (1, "0x10")]);
                self.push(write(format!("{dir}/remove"), value));
            }
            Kind::Mask => self.mask(),
            Kind::Driver => self.driver(),
            Kind::Override => self.driver_override(),
            Kind::Machine => self.machine(),
            Kind::Scan => self.push(write("bus/ap/scans", "1")),
            Kind::Open => {
                let (vm, mdev) = (self.vm(), self.mdev().to_owned());
                self.push(Operation::Open { vm, mdev });
            }
            Kind::Close => {
                let vm = self.vm();
                self.push(Operation::Close { vm });
            }
            Kind::Reset => {
                let vm = self.vm();
                self.push(Operation::Reset { vm });
            }
            Kind::Events => {
                let vm = self.vm();
                self.push(Operation::Events { vm });
            }
            Kind::Guest => {
                let vm = self.vm();
                self.push(Operation::Guest { vm });
            }
            Kind::BusStore => self.bus_store(),
            Kind::DeviceStore => self.device_store(),
            Kind::ReadBus => {
                let attribute = self.random.pick(BUS_ATTRIBUTES);
                self.push(read(format!("bus/ap/{attribute}")));
            }
            Kind::ReadDevice => self.read_device(),
            Kind::ReadMdev => {
                let (dir, attribute) = (self.mdev_dir(), self.random.pick(MDEV_ATTRIBUTES));
                self.push(read(format!("{dir}/{attribute}")));
            }
            Kind::List => self.list(),
            Kind::Strange => self.strange(),
        }
    }

    fn assign(&mut self, what: &str) {
        let dir = self.mdev_dir();
        let (kind, id) =
            if self.random.chance(50) { ("adapter", self.adapter()) } else { ("domain", self.domain()) };
        let value = text::number(&mut self.random, id);
        self.push(write(format!("{dir}/{what}_{kind}"), value));
    }

    fn config(&mut self) {
        let dir = self.mdev_dir();
        let mut masks = Vec::new();
        for of in [ADAPTERS, DOMAINS, DOMAINS] {
            let ids: Vec<u8> = (0..self.random.below(3)).map(|_| self.random.weighted(of)).collect();
            masks.push(text::absolute(&mut self.random, &ids));
        }
        let value = text::ap_config(&mut self.random, masks);
        self.push(write(format!("{dir}/ap_config"), value));
    }

    fn mask(&mut self) {
        let (mask, of) = if self.random.chance(50) { ("apmask", ADAPTERS) } else { ("aqmask", DOMAINS) };
        let value = text::mask(&mut self.random, of);
        self.push(write(format!("bus/ap/{mask}"), value));
    }

    fn device(&mut self) -> String {
        if self.random.chance(10) { format!("card{:02x}", self.adapter()) } else { self.queue() }
    }

    fn driver(&mut self) {
        let device = self.device();
        let device = text::device(&mut self.random, device);
        let driver = if device.starts_with("card") {
            self.random.weighted(&[(1, "vfio_ap"), (1, "cex4queue")])
        } else {
            self.random.weighted(&[(8, "vfio_ap"), (5, "cex4queue"), (1, "cex4card")])
        };
        let path = match self.random.below(10) {
            0..4 => format!("bus/ap/drivers/{driver}/unbind"),
            4..7 => format!("bus/ap/drivers/{driver}/bind"),
            7..9 => "bus/ap/drivers_probe".to_owned(),
            _ => {
                let value = self.random.weighted(&[(4, "1"), (2, "0"), (1, "1\n"), (1, "x"), (1, "")]);
                return self.push(write("bus/ap/drivers_autoprobe", value));
            }
        };
        self.push(write(path, device));
    }

    fn driver_override(&mut self) {
        let queue = self.queue();
        let value = self.random.weighted(&[
            (6, "vfio_ap"),
            (3, "vfio_ap\n"),
            (4, "\n"),
            (2, "cex4queue"),
            (1, "nobody"),
            (1, ""),
        ]);
        self.push(write(format!("bus/ap/devices/{queue}/driver_override"), value));
    }

    fn machine(&mut self) {
        let (adapter, domain) = (self.adapter(), self.domain());
        let kind =
            self.random.weighted(&[(4, "cex8c"), (3, "cex8p"), (2, "cex7a"), (1, "cex4c"), (1, "cex5p")]);
        let order = match self.random.below(10) {
            0 => format!("card-del {adapter}"),
            1 | 2 => format!("card-add {adapter}={kind}"),
            // A card that has no domain at all would go, too.
            3 if domain != 0x47 => format!("dom-del {domain}"),
            4 | 5 => format!("dom-add {domain}"),
            6 => format!("decfg {adapter}"),
            7 => format!("cfg {adapter}"),
            8 => format!("cstop {adapter}"),
            _ => format!("cstart {adapter}"),
        };
        self.push(Operation::Hardware(order));
        if self.random.chance(50) {
            self.push(write("bus/ap/scans", "1"));
        }
    }

    fn bus_store(&mut self) {
        let (attribute, value) = text::bus_store(&mut self.random);
        self.push(write(format!("bus/ap/{attribute}"), value));
    }

    fn device_store(&mut self) {
        let device = self.device();
        let attribute = self.random.weighted(&[
            (4, "online"),
            (3, "reset"),
            (2, "request_count"),
            (2, "uevent"),
            (1, "config"),
        ]);
        let value = text::switch(&mut self.random);
        // An adapter of the lab is not switched by the SCLP.
        if attribute == "config" && device.starts_with("card") {
            return self.push(read(format!("bus/ap/devices/{device}/config")));
        }
        self.push(write(format!("bus/ap/devices/{device}/{attribute}"), value));
    }

    fn read_device(&mut self) {
        let device = self.device();
        let attributes = if device.starts_with("card") { CARD_ATTRIBUTES } else { QUEUE_ATTRIBUTES };
        let attribute = self.random.pick(attributes);
        self.push(read(format!("bus/ap/devices/{device}/{attribute}")));
    }

    fn list(&mut self) {
        let path = match self.random.below(8) {
            0 => "bus/ap/devices".to_owned(),
            1 => format!("bus/ap/drivers/{}", self.random.pick(&["vfio_ap", "cex4queue", "cex4card"])),
            2 => MATRIX.to_owned(),
            3 => self.mdev_dir(),
            4 => format!("{TYPE}/devices"),
            5 => "kernel/iommu_groups".to_owned(),
            6 => format!("devices/ap/card{:02x}", self.adapter()),
            _ => format!("bus/ap/devices/{}", self.device()),
        };
        self.push(Operation::List { path });
    }

    /// The wrong way into an attribute, and what is not there.
    fn strange(&mut self) {
        let (dir, queue) = (self.mdev_dir(), self.queue());
        let operation = match self.random.below(9) {
            0 => write(format!("{dir}/matrix"), "1"),
            1 => write("bus/ap/ap_max_domain_id", "1"),
            2 => read(format!("{TYPE}/create")),
            3 => read(format!("{TYPE}/{}", self.random.pick(&["available_instances", "name", "device_api"]))),
            4 => read(format!("{MATRIX}/{}", self.random.pick(&["features", "uevent", "nothing"]))),
            5 => read(format!("bus/ap/devices/{queue}")),
            6 => write(format!("bus/ap/devices/{queue}/chkstop"), ""),
            7 => write(format!("{dir}/assign_adapter"), "5".repeat(5000)),
            _ => write("bus/ap/apmask", "f".repeat(4096)),
        };
        self.push(operation);
    }
}

/// What would spoil the real host until its next boot, and is kept from happening.
///
/// The kernel counts the overrides that are set, and not down when a queue goes away that has one: from then on no
/// mask can be written. So overrides are taken away before their queues. And cex4queue follows a null pointer if it is
/// given a queue of a card that cex4card has not (`zcrypt_queue_register`), so new cards always get their driver.
#[derive(Default)]
struct Guard {
    overridden: BTreeSet<String>,
    /// New devices get no driver.
    unprobed: bool,
    /// Adapters and domains that have changed, which the bus may not know yet.
    changed: BTreeSet<(bool, u8)>,
}

fn ids(queue: &str) -> Option<[(bool, u8); 2]> {
    let (adapter, domain) = queue.split_once('.')?;
    Some([(true, u8::from_str_radix(adapter, 16).ok()?), (false, u8::from_str_radix(domain, 16).ok()?)])
}

/// The adapter or domain whose devices an order takes away, or makes anew.
fn changed_by(order: &str) -> Option<(bool, u8)> {
    let (order, argument) = order.split_once(' ')?;
    let id = argument.split('=').next()?.parse().ok()?;
    match order {
        "card-add" | "card-del" => Some((true, id)),
        "dom-del" => Some((false, id)),
        _ => None,
    }
}

impl Guard {
    fn before(&mut self, operation: &Operation) -> Vec<Operation> {
        match operation {
            Operation::Write { path, value } => self.before_write(path, value),
            Operation::Hardware(order) => self.before_change(order),
            _ => Vec::new(),
        }
    }

    fn scan(&mut self) -> Vec<Operation> {
        self.changed.clear();
        vec![write("bus/ap/scans", "1")]
    }

    fn before_write(&mut self, path: &str, value: &str) -> Vec<Operation> {
        if path == "bus/ap/scans" && !value.is_empty() {
            self.changed.clear();
        }
        // An empty text does not reach the attribute.
        if path == "bus/ap/drivers_autoprobe" && !value.is_empty() {
            self.unprobed = value.starts_with('0');
            let cards = self.changed.iter().any(|(adapter, _)| *adapter);
            return if self.unprobed && cards { self.scan() } else { Vec::new() };
        }
        let queue = path.strip_suffix("/driver_override").and_then(|dir| dir.rsplit('/').next());
        let Some(queue) = queue else { return Vec::new() };
        if value.trim().is_empty() {
            self.overridden.remove(queue);
        } else {
            self.overridden.insert(queue.to_owned());
        }
        let changed = ids(queue).is_some_and(|ids| ids.iter().any(|id| self.changed.contains(id)));
        if changed { self.scan() } else { Vec::new() }
    }

    fn before_change(&mut self, order: &str) -> Vec<Operation> {
        let Some(changed) = changed_by(order) else { return Vec::new() };
        self.changed.insert(changed);
        let (going, staying): (BTreeSet<String>, _) = std::mem::take(&mut self.overridden)
            .into_iter()
            .partition(|queue| ids(queue).is_some_and(|ids| ids.contains(&changed)));
        self.overridden = staying;
        let cleared =
            going.iter().map(|queue| write(format!("bus/ap/devices/{queue}/driver_override"), "\n"));
        let probe = std::mem::take(&mut self.unprobed).then(|| write("bus/ap/drivers_autoprobe", "1"));
        cleared.chain(probe).collect()
    }
}

/// Whether a sequence would spoil the real host.
pub(crate) fn spoils(operations: &[Operation]) -> bool {
    let mut guard = Guard::default();
    operations.iter().any(|operation| !guard.before(operation).is_empty())
}
