//! What Rust has, in the words and the order of `tests/uapi/print.c`, whose output is `tests/uapi/table.txt`.

use super::super::requests::number::*;
use super::*;
use std::{fmt::Write, mem::offset_of};

/// The headers' names, with those that are spelt otherwise here.
mod uapi {
    pub(super) use kvm_bindings::*;
    pub(super) const KVM_DEV_TYPE_FLIC: u32 = kvm_device_type_KVM_DEV_TYPE_FLIC;
    pub(super) const KVM_S390_STORE_STATUS_NOADDR: u64 = super::STORE_STATUS_NOADDR;
}

macro_rules! sizes {
    ($out:ident: $($name:ident),+ $(,)?) => {
        $(writeln!($out, "size {} {}", stringify!($name), size_of::<uapi::$name>()).expect("a string");)+
    };
}

macro_rules! offsets {
    ($out:ident: $($name:ident { $($($member:ident).+),+ $(,)? })+) => {
        $($(
            // What has no name or another one in C.
            let member = stringify!($($member).+).replace("__bindgen_anon_1.", "").replace("type_", "type");
            let offset = offset_of!(uapi::$name, $($member).+);
            writeln!($out, "offset {} {member} {offset}", stringify!($name)).expect("a string");
        )+)+
    };
}

macro_rules! requests {
    ($out:ident: $($name:ident),+ $(,)?) => {
        $(writeln!($out, "number {} {:#x}", stringify!($name), $name()).expect("a string");)+
    };
}

macro_rules! numbers {
    ($out:ident: $($name:ident),+ $(,)?) => {
        $(writeln!($out, "number {} {:#x}", stringify!($name), uapi::$name).expect("a string");)+
    };
}

/// The table.
#[rustfmt::skip]
fn table() -> String {
    let mut out = String::new();
    sizes!(out:
        kvm_run, kvm_sync_regs, kvm_device_attr, kvm_create_device, kvm_enable_cap, kvm_mp_state,
        kvm_s390_irq, kvm_userspace_memory_region, kvm_s390_vm_cpu_machine, kvm_s390_vm_cpu_processor,
        kvm_s390_vm_cpu_feat, kvm_s390_vm_cpu_subfunc,
    );
    offsets!(out:
        kvm_run {
            immediate_exit, exit_reason, psw_mask, psw_addr, __bindgen_anon_1.s390_sieic.icptcode,
            __bindgen_anon_1.s390_sieic.ipa, __bindgen_anon_1.s390_sieic.ipb,
            __bindgen_anon_1.s390_reset_flags, __bindgen_anon_1.s390_tsch.subchannel_id,
            __bindgen_anon_1.s390_tsch.subchannel_nr, __bindgen_anon_1.s390_tsch.io_int_parm,
            __bindgen_anon_1.s390_tsch.io_int_word, __bindgen_anon_1.s390_tsch.ipb,
            __bindgen_anon_1.s390_tsch.dequeued, __bindgen_anon_1.s390_stsi.addr,
            __bindgen_anon_1.s390_stsi.ar, __bindgen_anon_1.s390_stsi.fc, __bindgen_anon_1.s390_stsi.sel1,
            __bindgen_anon_1.s390_stsi.sel2, kvm_dirty_regs, s.regs,
        }
        kvm_sync_regs { prefix, gprs, acrs, crs }
        kvm_device_attr { flags, group, attr, addr }
        kvm_create_device { type_, fd, flags }
        kvm_enable_cap { cap }
        kvm_s390_irq { type_, u.ext.ext_params, u.mchk.cr14, u.mchk.mcic, u.pgm.code }
        kvm_userspace_memory_region { slot, flags, guest_phys_addr, memory_size, userspace_addr }
    );
    requests!(out:
        KVM_RUN, KVM_S390_STORE_STATUS, KVM_S390_INITIAL_RESET, KVM_S390_NORMAL_RESET, KVM_S390_CLEAR_RESET,
        KVM_S390_IRQ, KVM_SET_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_GET_SREGS,
        KVM_SET_SREGS, KVM_S390_INTERRUPT, KVM_ENABLE_CAP, KVM_S390_MEM_OP,
    );
    sizes!(out: kvm_sregs, kvm_s390_interrupt, kvm_s390_mem_op);
    numbers!(out:
        KVM_API_VERSION, KVM_CAP_MAX_VCPUS, KVM_CAP_S390_USER_SIGP, KVM_CAP_S390_VECTOR_REGISTERS,
        KVM_CAP_S390_RI, KVM_CAP_S390_GS, KVM_CAP_S390_BPB, KVM_DEV_TYPE_FLIC, KVM_DEV_FLIC_ENQUEUE,
        KVM_DEV_FLIC_CLEAR_IRQS, KVM_S390_VM_MEM_CTRL, KVM_S390_VM_MEM_ENABLE_CMMA, KVM_S390_VM_MEM_LIMIT_SIZE,
        KVM_S390_VM_CRYPTO, KVM_S390_VM_CRYPTO_ENABLE_AES_KW,
        KVM_S390_VM_CRYPTO_ENABLE_DEA_KW, KVM_S390_VM_CRYPTO_DISABLE_AES_KW,
        KVM_S390_VM_CRYPTO_DISABLE_DEA_KW, KVM_S390_VM_CRYPTO_ENABLE_APIE, KVM_S390_VM_CRYPTO_DISABLE_APIE,
        KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR, KVM_S390_VM_CPU_MACHINE,
        KVM_S390_VM_CPU_PROCESSOR_FEAT, KVM_S390_VM_CPU_MACHINE_FEAT, KVM_S390_VM_CPU_PROCESSOR_SUBFUNC,
        KVM_S390_VM_CPU_MACHINE_SUBFUNC, KVM_S390_PROGRAM_INT, KVM_S390_RESTART, KVM_S390_MCHK,
        KVM_S390_INT_SERVICE, KVM_MP_STATE_STOPPED, KVM_MP_STATE_OPERATING, KVM_SYNC_PREFIX, KVM_SYNC_GPRS,
        KVM_SYNC_ACRS, KVM_SYNC_CRS, KVM_EXIT_DEBUG, KVM_EXIT_INTR, KVM_EXIT_S390_SIEIC,
        KVM_EXIT_S390_RESET, KVM_EXIT_S390_TSCH, KVM_EXIT_S390_STSI, KVM_S390_STORE_STATUS_NOADDR,
    );
    sizes!(out: kvm_s390_vm_tod_clock);
    offsets!(out: kvm_s390_vm_tod_clock { epoch_idx, tod });
    numbers!(out: KVM_S390_VM_TOD, KVM_S390_VM_TOD_LOW, KVM_S390_VM_TOD_HIGH, KVM_S390_VM_TOD_EXT);
    sizes!(out: kvm_s390_vm_cpu_uv_feat);
    numbers!(out: KVM_S390_VM_CPU_PROCESSOR_UV_FEAT_GUEST, KVM_S390_VM_CPU_MACHINE_UV_FEAT_GUEST);
    out
}

#[test]
fn sizes_offsets_and_numbers_are_what_a_c_compiler_for_s390x_makes_of_the_headers() {
    let (here, c) = (table(), include_str!("../../../tests/uapi/table.txt"));
    for (here, c) in here.lines().zip(c.lines()) {
        assert_eq!(here, c);
    }
    assert_eq!(here.lines().count(), c.lines().count());
}
