//! The structs that end in an array as long as one of their members says.

use super::bindings::{kvm_irq_routing, kvm_irq_routing_entry, kvm_reg_list};
use vmm_sys_util::{
    fam::{FamStruct, FamStructWrapper},
    generate_fam_struct_impl,
};

/// Most registers in a list: `KVM_GET_REG_LIST` does not exist on s390x, kvm-ioctls only names the type.
const REGISTERS: usize = 64;

/// Most interrupt routes of a VM (`include/linux/kvm_host.h: KVM_MAX_IRQ_ROUTES`).
pub const KVM_MAX_IRQ_ROUTES: usize = 4096;

generate_fam_struct_impl!(kvm_reg_list, u64, reg, u64, n, REGISTERS);
generate_fam_struct_impl!(kvm_irq_routing, kvm_irq_routing_entry, entries, u32, nr, KVM_MAX_IRQ_ROUTES);

/// The head alone: the wrapper compares the entries.
impl PartialEq for kvm_reg_list {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

/// The head alone: the wrapper compares the entries.
impl PartialEq for kvm_irq_routing {
    fn eq(&self, other: &Self) -> bool {
        (self.nr, self.flags) == (other.nr, other.flags)
    }
}

/// `struct kvm_reg_list` with room for its registers.
pub type RegList = FamStructWrapper<kvm_reg_list>;

/// `struct kvm_irq_routing` with room for its entries.
pub type KvmIrqRouting = FamStructWrapper<kvm_irq_routing>;
