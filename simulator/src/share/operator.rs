//! Who carries orders out: the person at the machine's console, and the VMs made to hold an mdev.

use super::order::{CardChange, Change, GuestChange, Order, QueueChange};
use crate::{Card, GuestCrypto, HostFile, LoadError, Machine, OpenMdev, SimHost, Uevent};
use adjunct_ap::{Apid, Apqi, Apqn, ControlDomain, Matrix, Uuid, text::format_mask};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Why an order was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is such a thing.
    #[error("{0} is there already")]
    Exists(String),
    /// There is no such thing.
    #[error("there is no {0}")]
    Absent(String),
    /// The number is above the machine's highest.
    #[error("{what} is out of this machine's range; the highest is {highest}")]
    Range {
        /// The thing.
        what: String,
        /// The highest that the machine can have.
        highest: String,
    },
    /// It is as the order would have it.
    #[error("{0} already")]
    Already(String),
    /// Nobody has the mdev open, so there is nothing to look at.
    #[error("no VM has mdev {0} open")]
    NotOpen(Uuid),
    /// No VM that `guest open` made has the mdev open.
    #[error("no VM of \"guest open {0}\" has it open")]
    NotOurs(Uuid),
    /// The kernel refused to open the mdev.
    #[error("the host refused to open mdev {uuid}")]
    Refused {
        /// The mdev.
        uuid: Uuid,
        /// The kernel's answer.
        #[source]
        errno: adjunct_hypervisor::Errno,
    },
}

impl OrderError {
    /// The kernel's errno, where it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(errno.errno()),
            _ => None,
        }
    }
}

/// An operator of a host. Clones are the same one. The VMs that its orders made close their mdevs when it is dropped.
#[derive(Clone, Debug)]
pub struct Operator {
    host: SimHost,
    guests: Arc<Mutex<BTreeMap<Uuid, OpenMdev>>>,
}

/// A VM that has an mdev and does nothing with it.
#[derive(Debug)]
struct Idle;

impl GuestCrypto for Idle {
    fn set_masks(&self, _: &Matrix) {}

    fn clear_masks(&self) {}
}

impl Operator {
    /// An operator of `host`.
    pub fn new(host: SimHost) -> Self {
        Self { host, guests: Arc::default() }
    }

    /// The host.
    pub fn host(&self) -> &SimHost {
        &self.host
    }

    /// Carries `order` out. The answer is what the order asks to print: nothing, or whole lines.
    ///
    /// The machine reports what an operator does at its console (adapters, configuration, domains), and the AP bus scans
    /// at once. It reports no checkstop: the bus finds out when it scans next.
    ///
    /// # Errors
    /// [`OrderError`]; nothing was changed.
    pub fn order(&self, order: &Order) -> Result<String, OrderError> {
        match *order {
            Order::Card(id, change) => {
                self.host.adapters().operate(|machine| card(machine, id, change))?;
                if !matches!(change, CardChange::Checkstop | CardChange::Checkstart) {
                    self.host.config_changed();
                }
            }
            Order::Domain(id, change) => self.configure(|machine| domain(machine, id, change))?,
            Order::ControlDomain(id, change) => {
                self.configure(|machine| control_domain(machine, id, change))?;
            }
            Order::Queue(id, change) => {
                self.host.adapters().operate(|machine| queue(machine, id, change))?;
            }
            Order::Guest(uuid, GuestChange::Open) => self.open(uuid)?,
            Order::Guest(uuid, GuestChange::Close) => self.close(uuid)?,
            Order::Apcb(uuid) => return self.apcb(uuid),
            Order::Rescan => self.host.config_changed(),
            Order::Uevents => return Ok(self.host.uevents().iter().map(line).collect()),
            Order::Log => return Ok(self.host.log().iter().map(|line| format!("{line}\n")).collect()),
            Order::Acts => return Ok(self.host.acts().text()),
            Order::Fault(ref fault) => self.host.acts().plan(fault.clone()),
            Order::Faults => {
                return Ok(self.host.acts().planned().iter().map(|fault| format!("{fault}\n")).collect());
            }
            Order::ForgetFaults => self.host.acts().forget_plans(),
            Order::Release(ref gate) => {
                if self.host.acts().release(gate) == 0 {
                    return Err(OrderError::Absent(format!("act held at {gate}")));
                }
            }
            Order::Dump => return Ok(self.host.dump().to_toml()),
            Order::Held => {
                return Ok(self.host.acts().held().iter().map(|held| format!("{held}\n")).collect());
            }
        }
        Ok(String::new())
    }

    /// [`SimHost::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(&self, file: &HostFile) -> Result<(), LoadError> {
        self.host.load(file)
    }

    /// Changes the configuration; the machine says so.
    fn configure(
        &self,
        change: impl FnOnce(&mut Machine) -> Result<(), OrderError>,
    ) -> Result<(), OrderError> {
        self.host.adapters().operate(change)?;
        self.host.config_changed();
        Ok(())
    }

    fn open(&self, uuid: Uuid) -> Result<(), OrderError> {
        let vm = self.host.new_vm_id();
        let mdev = self
            .host
            .open_mdev(uuid, vm, Arc::new(Idle))
            .map_err(|errno| OrderError::Refused { uuid, errno: adjunct_hypervisor::Errno::new(errno) })?;
        self.guests.lock().unwrap_or_else(PoisonError::into_inner).insert(uuid, mdev);
        Ok(())
    }

    fn close(&self, uuid: Uuid) -> Result<(), OrderError> {
        let mdev = self.guests.lock().unwrap_or_else(PoisonError::into_inner).remove(&uuid);
        // Closed with no lock held.
        mdev.map(drop).ok_or(OrderError::NotOurs(uuid))
    }

    /// Has the VMs that orders made close their mdevs.
    pub(super) fn close_all(&self) {
        let guests = std::mem::take(&mut *self.guests.lock().unwrap_or_else(PoisonError::into_inner));
        // Closed with no lock held.
        drop(guests);
    }

    fn apcb(&self, uuid: Uuid) -> Result<String, OrderError> {
        let masks = self.host.guest_masks(uuid).ok_or_else(|| OrderError::Absent(format!("mdev {uuid}")))?;
        let Matrix { apm, aqm, adm } = masks.ok_or(OrderError::NotOpen(uuid))?;
        // Each ends with a newline, as in sysfs.
        Ok([format_mask(&apm), format_mask(&aqm), format_mask(&adm)].concat())
    }
}

/// A uevent on one line, as `udevadm monitor` has the first of each: action, device, and then what else it says.
pub(super) fn line(event: &Uevent) -> String {
    let mut words = vec![event.action.to_owned(), event.devpath.clone()];
    words.extend(event.environment.iter().cloned());
    words.join(" ") + "\n"
}

/// An adapter is called what it is called in sysfs, however the order writes its number. That is hexadecimal, and an order
/// may have been decimal.
fn called(id: Apid) -> String {
    let name = format!("card{id}");
    if id.0 < 10 { name } else { format!("{name} (decimal {})", id.0) }
}

fn card(machine: &mut Machine, id: Apid, change: CardChange) -> Result<(), OrderError> {
    let name = called(id);
    if id.0 > machine.max_adapter {
        return Err(OrderError::Range { what: name, highest: called(Apid(machine.max_adapter)) });
    }
    let there = machine.cards.get_mut(&id);
    let set = |what: &mut bool, wanted: bool, state: &str| {
        if *what == wanted {
            return Err(OrderError::Already(format!("{name} is {state}")));
        }
        *what = wanted;
        Ok(())
    };
    match (change, there) {
        (CardChange::Add(_), Some(_)) => Err(OrderError::Exists(name)),
        (CardChange::Add(kind), None) => {
            machine.cards.insert(id, Card::new(kind));
            Ok(())
        }
        (_, None) => Err(OrderError::Absent(name)),
        (CardChange::Remove, Some(_)) => {
            machine.cards.remove(&id);
            Ok(())
        }
        (CardChange::ConfigOn, Some(card)) => set(&mut card.configured, true, "configured on"),
        (CardChange::ConfigOff, Some(card)) => set(&mut card.configured, false, "configured off"),
        (CardChange::Checkstop, Some(card)) => set(&mut card.checkstopped, true, "checkstopped"),
        (CardChange::Checkstart, Some(card)) => set(&mut card.checkstopped, false, "working"),
    }
}

fn queue(machine: &mut Machine, id: Apqn, change: QueueChange) -> Result<(), OrderError> {
    let stuck = change == QueueChange::Stuck;
    if !machine.has_queue(id) {
        return Err(OrderError::Absent(format!("queue {id}")));
    }
    if machine.is_stuck(id) == stuck {
        let state = if stuck { "stuck" } else { "free" };
        return Err(OrderError::Already(format!("queue {id} is {state}")));
    }
    machine.set_stuck(id, stuck);
    Ok(())
}

fn domain(machine: &mut Machine, id: Apqi, change: Change) -> Result<(), OrderError> {
    let name = format!("domain {id}");
    in_range(machine, id.0, &name)?;
    let domains = &mut machine.usage_domains;
    comes_or_goes(domains.contains(id), change, name)?;
    match change {
        Change::Add => domains.insert(id),
        Change::Remove => domains.remove(id),
    };
    Ok(())
}

fn control_domain(machine: &mut Machine, id: ControlDomain, change: Change) -> Result<(), OrderError> {
    let name = format!("control domain {id}");
    in_range(machine, id.0, &name)?;
    let domains = &mut machine.control_domains;
    comes_or_goes(domains.contains(id), change, name)?;
    match change {
        Change::Add => domains.insert(id),
        Change::Remove => domains.remove(id),
    };
    Ok(())
}

fn in_range(machine: &Machine, id: u8, name: &str) -> Result<(), OrderError> {
    let highest = machine.max_domain;
    if id <= highest {
        return Ok(());
    }
    Err(OrderError::Range { what: name.to_owned(), highest: Apqi(highest).to_string() })
}

fn comes_or_goes(there: bool, change: Change, name: String) -> Result<(), OrderError> {
    match change {
        Change::Add if there => Err(OrderError::Exists(name)),
        Change::Remove if !there => Err(OrderError::Absent(name)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostFile;
    use adjunct_ap::Sysfs;

    const MDEV: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

    fn operator() -> Operator {
        Operator::new(
            SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
                .expect("the built-in host starts"),
        )
    }

    fn order(operator: &Operator, text: &str) -> Result<String, String> {
        operator.order(&text.parse().expect(text)).map_err(|error| error.to_string())
    }

    fn refused(operator: &Operator, text: &str) -> String {
        order(operator, text).expect_err(text)
    }

    fn read(operator: &Operator, path: &str) -> Option<String> {
        operator.host().read(path).ok()
    }

    #[test]
    fn the_bus_sees_at_once_what_the_machine_reports() {
        let operator = operator();
        let done = |text: &str| assert_eq!(order(&operator, text), Ok(String::new()), "{text}");
        done("card add 7 CEX8C");
        assert_eq!(read(&operator, "devices/ap/card07/type").as_deref(), Some("CEX8C\n"));
        done("card config-off 5");
        assert_eq!(read(&operator, "devices/ap/card05/config").as_deref(), Some("0\n"));
        done("card config-on 5");
        assert_eq!(read(&operator, "devices/ap/card05/config").as_deref(), Some("1\n"));
        done("domain add 5");
        assert!(read(&operator, "devices/ap/card05/05.0005/config").is_some());
        done("domain remove 5");
        assert!(read(&operator, "devices/ap/card05/05.0005/config").is_none());
        let before = read(&operator, "bus/ap/ap_control_domain_mask");
        done("control-domain add 5");
        assert_ne!(read(&operator, "bus/ap/ap_control_domain_mask"), before);
        done("control-domain remove 5");
        assert_eq!(read(&operator, "bus/ap/ap_control_domain_mask"), before);
        done("card remove 7");
        assert!(read(&operator, "devices/ap/card07/type").is_none());
    }

    #[test]
    fn an_act_that_is_held_goes_on_when_its_gate_is_released() {
        let operator = operator();
        assert_eq!(refused(&operator, "release door"), "there is no act held at door");
        order(&operator, "fault write: held door").expect("a plan");
        std::thread::scope(|scope| {
            let held = scope.spawn(|| operator.host().write("bus/ap/config_time", "77"));
            operator.host().acts().wait_until_held("door");
            assert_ne!(read(&operator, "bus/ap/config_time").as_deref(), Some("77\n"));
            assert_eq!(refused(&operator, "release window"), "there is no act held at window");
            order(&operator, "release door").expect("somebody waits");
            held.join().expect("it only writes").expect("only late");
        });
        assert_eq!(read(&operator, "bus/ap/config_time").as_deref(), Some("77\n"));
    }

    #[test]
    fn a_checkstop_is_found_by_the_next_scan() {
        let operator = operator();
        let stopped = |operator: &Operator| read(operator, "devices/ap/card05/chkstop");
        order(&operator, "card checkstop 5").expect("card 5 works");
        assert_eq!(stopped(&operator).as_deref(), Some("0\n"));
        order(&operator, "rescan").expect("it can scan");
        assert_eq!(stopped(&operator).as_deref(), Some("1\n"));
        order(&operator, "card checkstart 5").expect("it is checkstopped");
        order(&operator, "rescan").expect("it can scan");
        assert_eq!(stopped(&operator).as_deref(), Some("0\n"));
    }

    #[test]
    fn what_can_not_be_done_is_said_in_the_words_of_the_order() {
        let operator = operator();
        assert_eq!(refused(&operator, "card add 5 CEX8C"), "card05 is there already");
        assert_eq!(refused(&operator, "card remove 7"), "there is no card07");
        assert_eq!(refused(&operator, "card checkstop 7"), "there is no card07");
        assert_eq!(refused(&operator, "card remove 11"), "there is no card0b (decimal 11)");
        assert_eq!(
            refused(&operator, "card add 200 CEX8C"),
            "cardc8 (decimal 200) is out of this machine's range; the highest is card3f (decimal 63)"
        );
        assert_eq!(refused(&operator, "card config-on 5"), "card05 is configured on already");
        assert_eq!(refused(&operator, "card checkstart 5"), "card05 is working already");
        assert_eq!(refused(&operator, "domain add 0x47"), "domain 0047 is there already");
        assert_eq!(refused(&operator, "domain remove 3"), "there is no domain 0003");
        assert_eq!(refused(&operator, "control-domain remove 3"), "there is no control domain 0003");
        for queue in ["09.0004", "05.0003"] {
            let order = format!("queue stuck {queue}");
            assert_eq!(refused(&operator, &order), format!("there is no queue {queue}"));
        }
        assert_eq!(refused(&operator, "queue free 05.0004"), "queue 05.0004 is free already");
        assert_eq!(refused(&operator, &format!("apcb {MDEV}")), format!("no VM has mdev {MDEV} open"));
        let none = MDEV.replace("01", "09");
        assert_eq!(refused(&operator, &format!("apcb {none}")), format!("there is no mdev {none}"));
    }

    #[test]
    fn a_vm_that_only_holds_an_mdev_is_in_the_way_as_any_other() {
        let operator = operator();
        let open = format!("guest open {MDEV}");
        order(&operator, &open).expect("it is free");
        let again = operator.order(&open.parse().expect("an order")).expect_err("it is open");
        assert_eq!(again.errno(), Some(libc::EBUSY));
        let none = operator.order(&open.replace("01", "09").parse().expect("an order"));
        assert_eq!(none.expect_err("there is none").errno(), Some(libc::ENODEV));
        order(&operator, &format!("guest close {MDEV}")).expect("it is open");
        assert!(refused(&operator, &format!("guest close {MDEV}")).starts_with("no VM of"));
        order(&operator, &open).expect("it is free again");
        let host = operator.host().clone();
        drop(operator);
        host.open_mdev(MDEV.parse().expect("a UUID"), host.new_vm_id(), Arc::new(Idle)).expect("it is free");
    }

    #[test]
    fn the_apcb_follows_the_matrix_of_the_guest() {
        let operator = operator();
        order(&operator, &format!("guest open {MDEV}")).expect("it is free");
        let apcb = |operator: &Operator| order(operator, &format!("apcb {MDEV}")).expect("it is open");
        let lines =
            |apm: &str, aqm: &str, adm: &str| [apm, aqm, adm].map(|mask| format!("0x{mask:0<64}\n")).concat();
        // Adapters 5 and 6, domains 4 and 0xab, no control domain.
        let aqm = format!("08{}0000000000000010", "0".repeat(26));
        assert_eq!(apcb(&operator), lines("06", &aqm, ""));
        let unassign = format!("devices/vfio_ap/matrix/{MDEV}/unassign_adapter");
        operator.host().write(&unassign, "6").expect("it may be unassigned");
        assert_eq!(apcb(&operator), lines("04", &aqm, ""));
    }
}
