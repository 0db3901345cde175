//! What SIE gives a guest CPU besides memory: the model, the clock, floating interruptions, and adjunct processors
//! as far as the CRYCB goes.

use super::{crypto::SieBlock, host::VmHost, vm::Shared};
use crate::Tested;
use adjunct_ap::Apqn;
use adjunct_zarch::ap::{Adjuncts, Apcb, Configuration, QueueStatus, ReplyPart};
use adjunct_zarch::environment::{Enabled, Environment, Floating, Machine};

/// Response code of a queue that the guest does not have.
const NOT_AVAILABLE: u8 = 0x01;

/// The environment of one vCPU, made for one run.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    vm: &'a Shared,
    id: u16,
    facilities: &'a [u8; 256],
    machine: &'a Machine,
    queues: Queues<'a>,
}

impl<'a> Guest<'a> {
    pub(super) fn new(vm: &'a Shared, id: u16, facilities: &'a [u8; 256], machine: &'a Machine) -> Self {
        Self { vm, id, facilities, machine, queues: Queues { vm, id } }
    }
}

impl Environment for Guest<'_> {
    fn facilities(&self) -> &[u8; 256] {
        self.facilities
    }

    fn machine(&self) -> &Machine {
        self.machine
    }

    fn cpu_address(&self) -> u16 {
        self.id
    }

    fn tod(&self) -> u64 {
        self.vm.clock.tod()
    }

    fn set_tod(&mut self, tod: u64) {
        self.vm.clock.set_tod(tod);
    }

    fn take_floating(&mut self, enabled: Enabled) -> Option<Floating> {
        self.vm.board.take_floating(enabled)
    }

    fn external_call_taken(&mut self) {
        self.vm.board.with(self.id, |slot| slot.external_call_pending = false);
    }

    fn adjuncts(&mut self) -> Option<&mut dyn Adjuncts> {
        let interpreted = self.queues.sie_block().interprets_ap();
        if interpreted { Some(&mut self.queues) } else { None }
    }
}

/// The queues behind one vCPU: the machine's adapters, seen through the masks in the CRYCB that the vCPU's SIE
/// block designates.
///
/// Each operation is in SIE from its look at the masks to its end, so that nobody takes a queue away in between.
#[derive(Debug)]
struct Queues<'a> {
    vm: &'a Shared,
    id: u16,
}

impl Queues<'_> {
    fn sie_block(&self) -> SieBlock {
        self.vm.crypto.enter().sie_block(self.id).unwrap_or_default()
    }

    /// Does something with a queue if the guest has it.
    fn queue<R>(&self, apqn: u16, operation: impl FnOnce(&dyn VmHost, Apqn) -> R) -> Option<R> {
        let apqn = Apqn::from_raw(apqn);
        let crypto = self.vm.crypto.enter();
        let masks = crypto.masks(crypto.sie_block(self.id)?);
        masks.contains(apqn).then(|| operation(&*self.vm.host, apqn))
    }

    fn status(
        &self,
        apqn: u16,
        operation: impl FnOnce(&dyn VmHost, Apqn) -> crate::QueueStatus,
    ) -> QueueStatus {
        self.queue(apqn, operation).map_or(QueueStatus::response(NOT_AVAILABLE), word)
    }

    fn tested(&self, apqn: u16, operation: impl FnOnce(&dyn VmHost, Apqn) -> Tested) -> (QueueStatus, u64) {
        match self.queue(apqn, operation) {
            Some(tested) => (word(tested.status), tested.info),
            None => (QueueStatus::response(NOT_AVAILABLE), 0),
        }
    }
}

fn word(status: crate::QueueStatus) -> QueueStatus {
    QueueStatus(status.word())
}

impl Adjuncts for Queues<'_> {
    fn apcb(&self) -> Apcb {
        let crypto = self.vm.crypto.enter();
        let masks = crypto.masks(crypto.sie_block(self.id).unwrap_or_default());
        Apcb { apm: *masks.apm.as_bytes(), aqm: *masks.aqm.as_bytes(), adm: *masks.adm.as_bytes() }
    }

    fn configuration(&self) -> Configuration {
        self.vm.host.configuration()
    }

    fn test(&mut self, apqn: u16) -> (QueueStatus, u64) {
        self.tested(apqn, |host, apqn| host.test(apqn))
    }

    fn reset(&mut self, apqn: u16) -> QueueStatus {
        self.status(apqn, |host, apqn| host.reset(apqn))
    }

    fn zeroize(&mut self, apqn: u16) -> QueueStatus {
        self.status(apqn, |host, apqn| host.zeroize(apqn))
    }

    fn query_type(&mut self, apqn: u16, query: u64) -> (QueueStatus, u64) {
        self.tested(apqn, |host, apqn| host.query_type(apqn, query))
    }

    fn enqueue(&mut self, apqn: u16, psmid: u64, message: &[u8], _special: bool) -> QueueStatus {
        self.status(apqn, |host, apqn| host.enqueue(apqn, psmid, message))
    }

    fn dequeue(&mut self, apqn: u16, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        match self.queue(apqn, |host, apqn| host.dequeue(apqn, room)) {
            None => (QueueStatus::response(NOT_AVAILABLE), None),
            Some((status, part)) => {
                let part = part.map(|part| ReplyPart {
                    psmid: part.psmid,
                    data: part.data,
                    residual: part.residual as u64,
                });
                (word(status), part)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostFile, SimHost, SimProtoVm};
    use adjunct_ap::Sysfs;
    use adjunct_hypervisor::{CryptoAttribute, ProtoVm};
    use std::path::Path;

    #[test]
    fn a_queue_that_is_taken_away_after_a_look_at_the_masks_is_not_reached() {
        const MDEV: &str = "devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001";
        let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts");
        let mut proto = SimProtoVm::create(&host).expect("KVM makes VMs");
        proto.set_crypto(CryptoAttribute::EnableApie).expect("the host has AP");
        let (vm, _vcpus) = proto.build(1).expect("KVM makes vCPUs");
        let _device = vm.open_ap(Path::new("/sys").join(MDEV).into()).expect("the mdev is free");

        let mut queues = Queues { vm: &vm.shared, id: 0 };
        assert!(queues.apcb().has(0x0604) && queues.apcb().has(0x0504));
        host.write(&format!("{MDEV}/unassign_adapter"), "6").expect("it may be unassigned");
        assert_eq!(queues.test(0x0604), (QueueStatus::response(NOT_AVAILABLE), 0));
        assert_eq!(queues.enqueue(0x0604, 1, b"message", false).code(), NOT_AVAILABLE);
        assert_eq!(queues.dequeue(0x0604, 9), (QueueStatus::response(NOT_AVAILABLE), None));
        assert_eq!(queues.test(0x0504).0.code(), 0);
    }
}
