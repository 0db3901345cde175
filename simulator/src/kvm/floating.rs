//! The floating interruptions of a VM: those that any of its vCPUs may take
//! (`arch/s390/kvm/interrupt.c: struct kvm_s390_float_interrupt`, and the GISA's pending mask).
//!
//! It knows priorities and how KVM merges what is enqueued twice; it does not wake anybody.

use adjunct_hypervisor::Floating;
use adjunct_zarch as zarch;

/// Event-pending bits of a service signal's parameter (`SCCB_EVENT_PENDING`).
const EVENT_PENDING: u32 = 0x3;
/// SCCB address of a service signal's parameter (`SCCB_MASK`).
const SCCB: u32 = 0xffff_fff8;
/// The machine-check subclass that may float: channel report (`1UL << CR_PENDING_SUBCLASS`).
const CHANNEL_REPORT: u64 = 1 << 28;
/// Bits of a machine-check code: vector registers and guarded-storage control block have been stored
/// (`arch/s390/include/asm/nmi.h: MCCK_CODE_VR_VALID, MCCK_CODE_GS_VALID`).
const EXTENDED_SAVE_AREA: u64 = 1 << (63 - 25) | 1 << (63 - 36);

/// What is pending.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// What service signals are to say: events, and the SCCB of a command. Zero: none is pending.
    service: u32,
    machine_check: Option<(u64, u64)>,
    /// Interruption subclasses with a pending adapter interruption, ISC 0 leftmost: GISA.IPM.
    adapter: u8,
}

impl Pending {
    /// `KVM_DEV_FLIC_ENQUEUE` (`__inject_service`, `__inject_float_mchk`, 7.2): of two service
    /// signals the first one's SCCB counts, and events of both are one; machine checks add up.
    pub(super) fn enqueue(&mut self, interruption: Floating) {
        match interruption {
            Floating::Service { parameter } => {
                self.service |= parameter & EVENT_PENDING;
                if self.service & SCCB == 0 {
                    self.service |= parameter & SCCB;
                }
            }
            Floating::MachineCheck { cr14, mcic } => {
                let (old_cr14, old_mcic) = self.machine_check.unwrap_or((0, 0));
                self.machine_check = Some((old_cr14 | cr14 & CHANNEL_REPORT, old_mcic | mcic));
            }
        }
    }

    /// An adapter interruption of subclass `isc` (its low three bits), as the machine sets it in the GISA.
    pub(super) fn set_adapter(&mut self, isc: u8) {
        self.adapter |= 0x80 >> (isc & 7);
    }

    /// Whether nothing is pending.
    pub(super) fn is_empty(&self) -> bool {
        self.service == 0 && self.machine_check.is_none() && self.adapter == 0
    }

    /// Takes the one of the highest priority that `enabled` lets through.
    pub(super) fn take(
        &mut self,
        enabled: zarch::environment::Enabled,
    ) -> Option<zarch::environment::Floating> {
        if let Some((cr14, code)) = self.machine_check
            && cr14 & enabled.machine_check != 0
        {
            self.machine_check = None;
            return Some(zarch::environment::Floating::MachineCheck {
                // `__write_machine_check` takes back what it doesn't store: the simulated machine has neither.
                code: code & !EXTENDED_SAVE_AREA,
                external_damage: 0,
                failing_storage: 0,
                fixed_logout: [0; 16],
            });
        }
        if enabled.service_signal && self.service != 0 {
            return Some(zarch::environment::Floating::ServiceSignal { parameter: self.take_service() });
        }
        let open = self.adapter & enabled.io_subclasses;
        if open == 0 {
            return None;
        }
        let isc = open.leading_zeros().to_le_bytes()[0];
        self.adapter &= !(0x80 >> isc);
        Some(zarch::environment::Floating::adapter(isc))
    }

    /// Events come first, and apart from an SCCB (`__deliver_service_ev`, `__deliver_service`).
    fn take_service(&mut self) -> u32 {
        let events = self.service & EVENT_PENDING;
        let parameter = if events == 0 { self.service } else { events };
        self.service &= !parameter;
        parameter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: zarch::environment::Enabled =
        zarch::environment::Enabled { machine_check: u64::MAX, service_signal: true, io_subclasses: 0xff };

    fn service(parameter: u32) -> Floating {
        Floating::Service { parameter }
    }

    #[test]
    fn an_event_is_a_service_signal_of_its_own_before_that_of_an_sccb() {
        // What is enqueued, and what is taken.
        let cases: [(&[u32], &[u32]); 6] = [
            (&[1], &[1]),
            (&[0x3001], &[1, 0x3000]),
            (&[0x1000, 0x2001], &[1, 0x1000]),
            (&[1, 0x3000], &[1, 0x3000]),
            (&[1, 1, 0x3000, 0x4000], &[1, 0x3000]),
            (&[0], &[]),
        ];
        for (enqueued, expected) in cases {
            let mut pending = Pending::default();
            enqueued.iter().for_each(|parameter| pending.enqueue(service(*parameter)));
            let expected: Vec<_> = expected
                .iter()
                .map(|parameter| zarch::environment::Floating::ServiceSignal { parameter: *parameter })
                .collect();
            let taken: Vec<_> = std::iter::from_fn(|| pending.take(ALL)).collect();
            assert_eq!(taken, expected, "{enqueued:x?}");
            assert!(pending.is_empty(), "{enqueued:x?}");
        }
    }

    #[test]
    fn machine_checks_come_first_then_service_signals_then_subclasses_in_order() {
        let mut pending = Pending::default();
        pending.set_adapter(6);
        pending.set_adapter(3);
        pending.enqueue(service(0x1000));
        pending.enqueue(Floating::MachineCheck { cr14: 0x1000_0000, mcic: 0x0040_0000_0000_0000 });
        let order: Vec<_> = std::iter::from_fn(|| pending.take(ALL)).collect();
        let expected = [
            zarch::environment::Floating::MachineCheck {
                code: 0x0040_0000_0000_0000,
                external_damage: 0,
                failing_storage: 0,
                fixed_logout: [0; 16],
            },
            zarch::environment::Floating::ServiceSignal { parameter: 0x1000 },
            zarch::environment::Floating::Io { subsystem: 0, parameter: 0, identification: 0x9800_0000 },
            zarch::environment::Floating::Io { subsystem: 0, parameter: 0, identification: 0xb000_0000 },
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_machine_check_does_not_claim_registers_that_the_machine_lacks() {
        let mut pending = Pending::default();
        pending.enqueue(Floating::MachineCheck { cr14: u64::MAX, mcic: 0x0040_0f5d_4833_0000 });
        let Some(zarch::environment::Floating::MachineCheck { code, .. }) = pending.take(ALL) else {
            panic!("it is pending");
        };
        assert_eq!(code, 0x0040_0f1d_4033_0000);
    }

    #[test]
    fn what_is_not_enabled_stays_pending() {
        let mut pending = Pending::default();
        pending.set_adapter(6);
        pending.enqueue(service(0x1000));
        pending.enqueue(Floating::MachineCheck { cr14: 0x1000_0000, mcic: 1 });
        let others = zarch::environment::Enabled {
            machine_check: !0x1000_0000,
            service_signal: false,
            io_subclasses: !0x02,
        };
        assert_eq!(pending.take(others), None);
        assert_eq!(std::iter::from_fn(|| (!pending.is_empty()).then(|| pending.take(ALL))).count(), 3);
    }
}
