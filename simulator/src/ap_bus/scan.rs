//! The bus scan: devices come, go and change as the machine does (`drivers/s390/crypto/ap_bus.c: ap_scan_bus`, 7.2).

use super::{ApBus, CardDevice, QueueDevice, QueueState, Step};
use crate::{Qci, Response, Tested, host::State};
use adjunct_ap::{Apid, Apqi, Apqn};

/// Types that drivers know: CEX4 to CEX8.
const CEX4: u8 = 10;
const CEX8: u8 = 14;
/// The QCI flag of PQAP(QACT).
const QACT: u32 = 0x2000_0000;

/// What TAPQ's GR2 says of a card.
#[derive(Clone, Copy)]
struct Hardware {
    functions: u32,
    kind: u8,
    max_message: u8,
    depth: u8,
}

impl Hardware {
    fn of(info: u64) -> Self {
        let [f0, f1, f2, f3, kind, _, ml, qd] = info.to_be_bytes();
        let functions = u32::from_be_bytes([f0, f1, f2, f3]);
        Self { functions, kind, max_message: ml & 0xf, depth: (qd & 0xf) + 1 }
    }
}

/// Whether a queue is there for the bus: done, or one of the conditions that pass.
fn is_there(tested: &Tested) -> bool {
    matches!(tested.status.code(), 0x00 | 0x02..=0x05)
}

impl State {
    /// Looks at all adapters and domains the machine may have.
    pub(crate) fn scan(&mut self) {
        // A flags word of zero is taken for no QCI at all.
        let qci = self.adapters.query_configuration().filter(|qci| qci.flags != 0);
        let old = std::mem::replace(&mut self.bus.qci, qci);
        let changed = self.bus.scans > 0 && old != qci;
        if let (true, Some(new), Some(old)) = (changed, qci, old) {
            if !(new.apm - old.apm).is_empty() || !(new.aqm - old.aqm).is_empty() {
                self.bus.bindings_armed = true;
            }
            self.vfio_config_changed(&new, &old);
        }
        self.select_domain();
        for apid in 0..=self.bus.max_adapter() {
            self.scan_adapter(Apid(apid));
        }
        if changed {
            self.vfio_scan_complete();
        }
        self.bus.scans += 1;
        if self.bus.scans == 1 {
            self.tell_root(vec!["INITSCAN=done".to_owned()]);
        }
        self.check_bindings();
        self.arm_scan_timer();
    }

    pub(super) fn arm_scan_timer(&mut self) {
        let wait = u64::from(self.bus.config_time.unsigned_abs()) * 1_000_000_000;
        self.bus.next_scan = self.clock.now().saturating_add(wait);
        self.clock.plan();
    }

    /// When the bus does something next by itself, in nanoseconds of the clock.
    pub(crate) fn next_on_bus(&self) -> u64 {
        self.bus.next_scan.min(self.next_poll().unwrap_or(u64::MAX))
    }

    /// Scans if the time has come.
    pub(crate) fn scan_if_due(&mut self) {
        if self.has_ap && self.clock.now() >= self.bus.next_scan {
            self.scan();
        }
    }

    /// Without QCI every id that may be is tried.
    fn configured(&self, of: impl Fn(&Qci) -> bool) -> bool {
        self.bus.qci.as_ref().is_none_or(of)
    }

    fn configured_domains(&self) -> Vec<Apqi> {
        let all = (0..=self.bus.max_domain()).map(Apqi);
        all.filter(|apqi| self.configured(|qci| qci.aqm.contains(*apqi))).collect()
    }

    fn scan_adapter(&mut self, apid: Apid) {
        let found = if self.configured(|qci| qci.apm.contains(apid)) { self.find_card(apid) } else { None };
        let Some((tested, hardware, compatible)) = found else {
            self.remove_card(apid);
            return;
        };
        let same = |card: &CardDevice| {
            card.raw_hardware_type == hardware.kind && card.functions == hardware.functions
        };
        if self.bus.cards.get(&apid).is_some_and(|card| !same(card)) {
            self.remove_card(apid);
        }
        if self.bus.cards.contains_key(&apid) {
            self.update_card(apid, &tested);
        } else {
            self.create_card(apid, &tested, hardware, compatible);
        }
        for apqi in 0..=self.bus.max_domain() {
            self.scan_queue(Apqn { apid, apqi: Apqi(apqi) });
        }
    }

    /// The first domain that says something decides what a card is.
    fn find_card(&self, apid: Apid) -> Option<(Tested, Hardware, u8)> {
        let tests = self.configured_domains().into_iter().map(|apqi| {
            let apqn = Apqn { apid, apqi };
            (apqn, self.adapters.test(apqn))
        });
        let (apqn, tested) = tests.into_iter().find(|(_, tested)| is_there(tested) && tested.info != 0)?;
        let hardware = Hardware::of(tested.info);
        let compatible = self.compatible_type(apqn, hardware.kind)?;
        Some((tested, hardware, compatible))
    }

    /// The type that drivers take a card for: older ones are not driven, newer ones are asked what they can stand
    /// for (`ap_get_compatible_type`).
    fn compatible_type(&self, apqn: Apqn, kind: u8) -> Option<u8> {
        match kind {
            ..CEX4 => None,
            CEX4..=CEX8 => Some(kind),
            _ if self.bus.qci.is_none_or(|qci| qci.flags & QACT == 0) => None,
            _ => {
                let answer = self.adapters.query_type(apqn, u64::from(CEX8) << 24);
                let compatible = Hardware::of(answer.info).kind;
                (answer.status.is(Response::Normal) && (CEX4..=CEX8).contains(&compatible))
                    .then_some(compatible)
            }
        }
    }

    fn create_card(&mut self, apid: Apid, tested: &Tested, hardware: Hardware, compatible: u8) {
        let card = CardDevice {
            born: self.birth(),
            hardware_type: compatible,
            raw_hardware_type: hardware.kind,
            functions: hardware.functions,
            depth: hardware.depth,
            max_message: hardware.max_message,
            config: !tested.status.is(Response::Deconfigured),
            checkstop: tested.status.is(Response::Checkstopped),
            bound: false,
            online: false,
        };
        self.bus.cards.insert(apid, card);
        self.tell_card("add", apid, None);
        if self.bus.autoprobe {
            self.bind_card(apid);
        }
    }

    fn update_card(&mut self, apid: Apid, tested: &Tested) {
        let Some(card) = self.bus.cards.get_mut(&apid) else { return };
        let config = !tested.status.is(Response::Deconfigured);
        let changed = card.config != config;
        card.config = config;
        card.checkstop = tested.status.is(Response::Checkstopped);
        if changed {
            self.tell_card("change", apid, Some(format!("CONFIG={}", u8::from(config))));
        }
    }

    fn scan_queue(&mut self, apqn: Apqn) {
        let tested = self.configured(|qci| qci.aqm.contains(apqn.apqi)).then(|| self.adapters.test(apqn));
        let Some(tested) = tested.filter(is_there) else {
            self.remove_queue(apqn);
            return;
        };
        if self.bus.queues.contains_key(&apqn) {
            self.update_queue(apqn, &tested);
        } else {
            self.create_queue(apqn, &tested);
        }
    }

    fn create_queue(&mut self, apqn: Apqn, tested: &Tested) {
        let place = self.bus.next_place();
        let queue = QueueDevice {
            born: self.birth(),
            registered: place,
            bound: place,
            driver: None,
            driver_override: None,
            state: QueueState::Uninitiated,
            step: Step::ResetStart,
            config: !tested.status.is(Response::Deconfigured),
            checkstop: tested.status.is(Response::Checkstopped),
            online: false,
        };
        let works = queue.config && !queue.checkstop;
        self.bus.queues.insert(apqn, queue);
        self.tell_queue("add", apqn, None);
        if self.bus.autoprobe {
            self.attach(apqn);
        }
        // Whoever drives it, and also when nobody does; again, when the host's driver has just done it.
        if works {
            self.initiate(apqn);
        }
    }

    /// What became of a queue device: a scan takes notice of one change. A queue that comes back is reset by the bus,
    /// whoever drives it, and also when a guest uses it.
    fn update_queue(&mut self, apqn: Apqn, tested: &Tested) {
        let Some(queue) = self.bus.queues.get_mut(&apqn) else { return };
        let config = !tested.status.is(Response::Deconfigured);
        let checkstop = tested.status.is(Response::Checkstopped);
        let initiated = queue.state != QueueState::Uninitiated;
        let (back, told) = if queue.checkstop != checkstop {
            queue.checkstop = checkstop;
            (!checkstop, false)
        } else if queue.config != config {
            queue.config = config;
            (config, true)
        } else {
            if config && queue.state == QueueState::Error {
                self.initiate(apqn);
            }
            return;
        };
        if initiated && back {
            self.initiate(apqn);
        } else if initiated {
            queue.state = QueueState::Error;
        }
        if told {
            self.tell_queue("change", apqn, Some(format!("CONFIG={}", u8::from(config))));
        }
    }

    fn remove_card(&mut self, apid: Apid) {
        let queues = ApBus::registered(self.bus.queues_of(apid));
        queues.into_iter().for_each(|apqn| self.remove_queue(apqn));
        let Some(card) = self.bus.cards.get_mut(&apid) else { return };
        if std::mem::take(&mut card.bound) {
            self.tell_card("unbind", apid, None);
        }
        self.tell_card("remove", apid, None);
        self.bus.cards.remove(&apid);
    }

    fn remove_queue(&mut self, apqn: Apqn) {
        if !self.bus.queues.contains_key(&apqn) {
            return;
        }
        self.unbind(apqn);
        self.tell_queue("remove", apqn, None);
        self.bus.queues.remove(&apqn);
        self.bus.starting.remove(&apqn);
    }

    /// The default domain, unless there is one: the first on which an adapter answers, both of them the host's
    /// (`ap_select_domain`).
    fn select_domain(&mut self) {
        if self.bus.domain.is_some() {
            return;
        }
        let adapters = (0..=self.bus.max_adapter()).map(Apid);
        let adapters: Vec<Apid> = adapters
            .filter(|apid| self.bus.apmask.contains(*apid) && self.configured(|qci| qci.apm.contains(*apid)))
            .collect();
        let answers = |apqi: &Apqi| {
            adapters.iter().any(|apid| {
                let apqn = Apqn { apid: *apid, apqi: *apqi };
                self.adapters.test(apqn).status.is(Response::Normal)
            })
        };
        let domains = self.configured_domains().into_iter().filter(|apqi| self.bus.aqmask.contains(*apqi));
        self.bus.domain = domains.into_iter().find(answers);
    }
}
