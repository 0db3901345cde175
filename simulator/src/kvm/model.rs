//! The CPU model of one VM as KVM keeps it: what user space wrote, and what KVM itself goes by.

use super::{host::HostFacts, machine};
use adjunct_cpu_model::kvm::{FEAT_LEN, MachineAttributes, PROCESSOR_LEN, SUBFUNC_LEN, UV_FEAT_LEN};
use adjunct_cpu_model::{HostCpu, IbcRange};
use adjunct_hypervisor::ModelAttribute;
use adjunct_zarch::environment::{CpuCounts, Machine, Partition, VirtualMachine};

/// Where the facility mask of MACHINE and the facility list of PROCESSOR begin.
const FACILITIES: usize = 16;
/// Facilities that KVM allows a guest and that are off until user space asks for them.
const OFF_BY_DEFAULT: [u16; 3] = [12, 15, 65];

/// Version of a CPU identification that says: a guest (`kvm_s390_get_initial_cpuid`).
const VERSION_OF_GUESTS: u8 = 0xff;

/// A VM's CPU model.
#[derive(Clone, Debug)]
pub(super) struct GuestModel {
    host: HostCpu,
    machine: MachineAttributes,
    processor: Box<[u8; PROCESSOR_LEN]>,
    ibc: u16,
    chosen: Chosen,
}

/// What user space chose besides PROCESSOR, as the attributes have it.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) feat: [u8; FEAT_LEN],
    pub(super) subfunc: Box<[u8; SUBFUNC_LEN]>,
    pub(super) uv_feat: [u8; UV_FEAT_LEN],
}

/// Whether bit `number` (0 is leftmost) is on.
fn is_on(list: &[u8], number: u16) -> bool {
    list.get(usize::from(number / 8)).is_some_and(|byte| byte & 0x80 >> (number % 8) != 0)
}

impl GuestModel {
    /// KVM's default: everything the host offers but the AP facilities
    /// (`arch/s390/kvm/kvm-s390.c: kvm_arch_init_vm`, 7.2).
    pub(super) fn new(host: &HostFacts) -> Self {
        let host = machine::host_cpu(host);
        let machine = MachineAttributes::encode(&host);
        let mut processor = Box::new([0; PROCESSOR_LEN]);
        processor[..8].copy_from_slice(&machine.machine[..8]);
        processor[0] = VERSION_OF_GUESTS;
        processor[FACILITIES..].copy_from_slice(&machine.machine[FACILITIES..PROCESSOR_LEN]);
        for number in OFF_BY_DEFAULT {
            processor[FACILITIES + usize::from(number / 8)] &= !(0x80 >> (number % 8));
        }
        let chosen =
            Chosen { feat: [0; FEAT_LEN], subfunc: Box::new(machine.subfunc), uv_feat: [0; UV_FEAT_LEN] };
        Self { host, machine, processor, ibc: host.ibc.unblocked, chosen }
    }

    /// Whether KVM would take the attribute, or the errno.
    pub(super) fn check(&self, attribute: ModelAttribute<'_>) -> Result<(), i32> {
        let subset = |bits: &[u8], of: &[u8]| bits.iter().zip(of).all(|(bit, of)| bit & !of == 0);
        match attribute {
            ModelAttribute::Processor(_) | ModelAttribute::ProcessorSubfunc(_) => Ok(()),
            ModelAttribute::ProcessorFeat(feat) if subset(feat, &self.machine.feat) => Ok(()),
            ModelAttribute::ProcessorUvFeatGuest(uv)
                if self.machine.uv_feat.as_ref().is_some_and(|of| subset(uv, of)) =>
            {
                Ok(())
            }
            ModelAttribute::ProcessorFeat(_) | ModelAttribute::ProcessorUvFeatGuest(_) => Err(libc::EINVAL),
            // The machine has no collaborative memory management (`sclp.has_cmma`).
            ModelAttribute::EnableCmma => Err(libc::ENXIO),
        }
    }

    /// Takes an attribute that [`GuestModel::check`] let pass. The facility list is taken as it is; KVM
    /// goes by what is also in its own mask (`kvm_s390_set_processor`). Function codes and numbered
    /// features are kept, and have nothing to switch here: the machine offers none.
    pub(super) fn set(&mut self, attribute: ModelAttribute<'_>) {
        match attribute {
            ModelAttribute::Processor(blob) => {
                self.processor.copy_from_slice(blob);
                let range: IbcRange = self.host.ibc;
                self.ibc = range.limit(u16::from_be_bytes([blob[8], blob[9]])).unwrap_or(self.ibc);
            }
            ModelAttribute::ProcessorFeat(feat) => self.chosen.feat = *feat,
            ModelAttribute::ProcessorSubfunc(subfunc) => *self.chosen.subfunc = *subfunc,
            ModelAttribute::ProcessorUvFeatGuest(uv_feat) => self.chosen.uv_feat = *uv_feat,
            // Never let pass.
            ModelAttribute::EnableCmma => {}
        }
    }

    /// What the machine offers.
    pub(super) fn offered(&self) -> &MachineAttributes {
        &self.machine
    }

    /// What user space chose of it, or the default.
    pub(super) fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// PROCESSOR as KVM answers it: what was written, with the instruction blocking control that KVM made of it.
    pub(super) fn processor(&self) -> [u8; PROCESSOR_LEN] {
        let mut processor = [0; PROCESSOR_LEN];
        processor[..8].copy_from_slice(&self.processor[..8]);
        processor[8..10].copy_from_slice(&self.ibc.to_be_bytes());
        processor[FACILITIES..].copy_from_slice(&self.processor[FACILITIES..]);
        processor
    }

    /// Whether the guest has facility `number` in KVM's eyes (`test_kvm_facility`): user space asked for it and KVM
    /// allows it.
    pub(super) fn has(&self, number: u16) -> bool {
        is_on(&self.processor[FACILITIES..], number) && is_on(&self.machine.machine[FACILITIES..], number)
    }

    /// The facility list that the guest's STFLE shows, exactly as user space wrote it: its first 256 bytes, which
    /// is all that STFLE can store.
    pub(super) fn facilities(&self) -> [u8; 256] {
        std::array::from_fn(|i| self.processor[FACILITIES + i])
    }

    /// The CPU identification.
    pub(super) fn cpuid(&self) -> u64 {
        self.processor[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    /// What STIDP and STSI show a guest of `vcpus` vCPUs: the machine, its one partition, and the VM as KVM
    /// describes it (`arch/s390/kvm/priv.c: handle_stsi_3_2_2`).
    pub(super) fn machine(&self, vcpus: u16) -> Machine {
        let model = self.host.model;
        let all = |count| CpuCounts { total: count, configured: count, standby: 0, reserved: 0 };
        Machine {
            cpuid: self.cpuid(),
            manufacturer: "IBM".to_owned(),
            machine_type: format!("{:04x}", model.machine_type),
            model: "400".to_owned(),
            sequence: "0000000000000000".to_owned(),
            plant: "00".to_owned(),
            capability: 1000,
            cpus: all(HOST_CPUS),
            partition: Some(Partition {
                number: 1,
                name: "SIMHOST".to_owned(),
                capability_adjustment: 1000,
                cpus: all(HOST_CPUS),
            }),
            virtual_machine: Some(VirtualMachine {
                name: "KVMguest".to_owned(),
                control_program: "KVM/Linux".to_owned(),
                uuid: [0; 16],
                capability_adjustment: 1000,
                cpus: all(vcpus),
            }),
        }
    }
}

/// CPUs that the simulated machine says it has.
const HOST_CPUS: u16 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostFile, SimHost};

    fn model() -> GuestModel {
        GuestModel::new(&HostFacts::of(
            &SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
                .expect("the built-in host starts"),
        ))
    }

    fn processor(model: &GuestModel, list: u8) -> [u8; PROCESSOR_LEN] {
        let mut blob = *model.processor;
        blob[FACILITIES..].fill(list);
        blob
    }

    #[test]
    fn a_new_model_has_what_the_host_offers_but_the_ap_facilities() {
        let model = model();
        for number in 0..256 {
            let offered = is_on(&model.machine.machine[FACILITIES..], number);
            assert_eq!(model.has(number), offered && !OFF_BY_DEFAULT.contains(&number), "facility {number}");
        }
        assert!(OFF_BY_DEFAULT.iter().all(|number| is_on(&model.machine.machine[FACILITIES..], *number)));
        assert_eq!(model.machine(2).machine_type, "3931");
    }

    #[test]
    fn the_guest_sees_every_facility_that_user_space_wrote_and_kvm_goes_by_its_own() {
        let mut model = model();
        let all = processor(&model, 0xff);
        assert_eq!(model.check(ModelAttribute::Processor(&all)), Ok(()));
        model.set(ModelAttribute::Processor(&all));
        assert_eq!(model.facilities(), [0xff; 256]);
        assert!(model.has(65) && !model.has(76) && !model.has(2047));
        let none = processor(&model, 0);
        model.set(ModelAttribute::Processor(&none));
        assert!((0..2048).all(|number| !model.has(number)));
    }
}
