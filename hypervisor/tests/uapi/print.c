// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//
// What a C compiler for s390x makes of the kernel's headers: sizes and offsets in
// bytes, numbers as the kernel takes them. Its output is table.txt.
#include <linux/kvm.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("size %s %zu\n", #type, sizeof(struct type))
#define OFFSET(type, member) printf("offset %s %s %zu\n", #type, #member, offsetof(struct type, member))
#define NUMBER(name) printf("number %s 0x%llx\n", #name, (unsigned long long)(name))

int main(void)
{
	SIZE(kvm_run);
	SIZE(kvm_sync_regs);
	SIZE(kvm_device_attr);
	SIZE(kvm_create_device);
	SIZE(kvm_enable_cap);
	SIZE(kvm_mp_state);
	SIZE(kvm_s390_irq);
	SIZE(kvm_userspace_memory_region);
	SIZE(kvm_s390_vm_cpu_machine);
	SIZE(kvm_s390_vm_cpu_processor);
	SIZE(kvm_s390_vm_cpu_feat);
	SIZE(kvm_s390_vm_cpu_subfunc);

	OFFSET(kvm_run, immediate_exit);
	OFFSET(kvm_run, exit_reason);
	OFFSET(kvm_run, psw_mask);
	OFFSET(kvm_run, psw_addr);
	OFFSET(kvm_run, s390_sieic.icptcode);
	OFFSET(kvm_run, s390_sieic.ipa);
	OFFSET(kvm_run, s390_sieic.ipb);
	OFFSET(kvm_run, s390_reset_flags);
	OFFSET(kvm_run, s390_tsch.subchannel_id);
	OFFSET(kvm_run, s390_tsch.subchannel_nr);
	OFFSET(kvm_run, s390_tsch.io_int_parm);
	OFFSET(kvm_run, s390_tsch.io_int_word);
	OFFSET(kvm_run, s390_tsch.ipb);
	OFFSET(kvm_run, s390_tsch.dequeued);
	OFFSET(kvm_run, s390_stsi.addr);
	OFFSET(kvm_run, s390_stsi.ar);
	OFFSET(kvm_run, s390_stsi.fc);
	OFFSET(kvm_run, s390_stsi.sel1);
	OFFSET(kvm_run, s390_stsi.sel2);
	OFFSET(kvm_run, kvm_dirty_regs);
	OFFSET(kvm_run, s.regs);
	OFFSET(kvm_sync_regs, prefix);
	OFFSET(kvm_sync_regs, gprs);
	OFFSET(kvm_sync_regs, acrs);
	OFFSET(kvm_sync_regs, crs);
	OFFSET(kvm_device_attr, flags);
	OFFSET(kvm_device_attr, group);
	OFFSET(kvm_device_attr, attr);
	OFFSET(kvm_device_attr, addr);
	OFFSET(kvm_create_device, type);
	OFFSET(kvm_create_device, fd);
	OFFSET(kvm_create_device, flags);
	OFFSET(kvm_enable_cap, cap);
	OFFSET(kvm_s390_irq, type);
	OFFSET(kvm_s390_irq, u.ext.ext_params);
	OFFSET(kvm_s390_irq, u.mchk.cr14);
	OFFSET(kvm_s390_irq, u.mchk.mcic);
	OFFSET(kvm_s390_irq, u.pgm.code);
	OFFSET(kvm_userspace_memory_region, slot);
	OFFSET(kvm_userspace_memory_region, flags);
	OFFSET(kvm_userspace_memory_region, guest_phys_addr);
	OFFSET(kvm_userspace_memory_region, memory_size);
	OFFSET(kvm_userspace_memory_region, userspace_addr);

	NUMBER(KVM_RUN);
	NUMBER(KVM_S390_STORE_STATUS);
	NUMBER(KVM_S390_INITIAL_RESET);
	NUMBER(KVM_S390_NORMAL_RESET);
	NUMBER(KVM_S390_CLEAR_RESET);
	NUMBER(KVM_S390_IRQ);
	NUMBER(KVM_SET_DEVICE_ATTR);
	NUMBER(KVM_GET_DEVICE_ATTR);
	NUMBER(KVM_HAS_DEVICE_ATTR);
	NUMBER(KVM_GET_SREGS);
	NUMBER(KVM_SET_SREGS);
	NUMBER(KVM_S390_INTERRUPT);
	NUMBER(KVM_ENABLE_CAP);
	NUMBER(KVM_S390_MEM_OP);
	SIZE(kvm_sregs);
	SIZE(kvm_s390_interrupt);
	SIZE(kvm_s390_mem_op);

	NUMBER(KVM_API_VERSION);
	NUMBER(KVM_CAP_MAX_VCPUS);
	NUMBER(KVM_CAP_S390_USER_SIGP);
	NUMBER(KVM_CAP_S390_VECTOR_REGISTERS);
	NUMBER(KVM_CAP_S390_RI);
	NUMBER(KVM_CAP_S390_GS);
	NUMBER(KVM_CAP_S390_BPB);
	NUMBER(KVM_DEV_TYPE_FLIC);
	NUMBER(KVM_DEV_FLIC_ENQUEUE);
	NUMBER(KVM_DEV_FLIC_CLEAR_IRQS);
	NUMBER(KVM_S390_VM_MEM_CTRL);
	NUMBER(KVM_S390_VM_MEM_ENABLE_CMMA);
	NUMBER(KVM_S390_VM_MEM_LIMIT_SIZE);
	NUMBER(KVM_S390_VM_CRYPTO);
	NUMBER(KVM_S390_VM_CRYPTO_ENABLE_AES_KW);
	NUMBER(KVM_S390_VM_CRYPTO_ENABLE_DEA_KW);
	NUMBER(KVM_S390_VM_CRYPTO_DISABLE_AES_KW);
	NUMBER(KVM_S390_VM_CRYPTO_DISABLE_DEA_KW);
	NUMBER(KVM_S390_VM_CRYPTO_ENABLE_APIE);
	NUMBER(KVM_S390_VM_CRYPTO_DISABLE_APIE);
	NUMBER(KVM_S390_VM_CPU_MODEL);
	NUMBER(KVM_S390_VM_CPU_PROCESSOR);
	NUMBER(KVM_S390_VM_CPU_MACHINE);
	NUMBER(KVM_S390_VM_CPU_PROCESSOR_FEAT);
	NUMBER(KVM_S390_VM_CPU_MACHINE_FEAT);
	NUMBER(KVM_S390_VM_CPU_PROCESSOR_SUBFUNC);
	NUMBER(KVM_S390_VM_CPU_MACHINE_SUBFUNC);
	NUMBER(KVM_S390_PROGRAM_INT);
	NUMBER(KVM_S390_RESTART);
	NUMBER(KVM_S390_MCHK);
	NUMBER(KVM_S390_INT_SERVICE);
	NUMBER(KVM_MP_STATE_STOPPED);
	NUMBER(KVM_MP_STATE_OPERATING);
	NUMBER(KVM_SYNC_PREFIX);
	NUMBER(KVM_SYNC_GPRS);
	NUMBER(KVM_SYNC_ACRS);
	NUMBER(KVM_SYNC_CRS);
	NUMBER(KVM_EXIT_DEBUG);
	NUMBER(KVM_EXIT_INTR);
	NUMBER(KVM_EXIT_S390_SIEIC);
	NUMBER(KVM_EXIT_S390_RESET);
	NUMBER(KVM_EXIT_S390_TSCH);
	NUMBER(KVM_EXIT_S390_STSI);
	NUMBER(KVM_S390_STORE_STATUS_NOADDR);

	SIZE(kvm_s390_vm_tod_clock);
	OFFSET(kvm_s390_vm_tod_clock, epoch_idx);
	OFFSET(kvm_s390_vm_tod_clock, tod);
	NUMBER(KVM_S390_VM_TOD);
	NUMBER(KVM_S390_VM_TOD_LOW);
	NUMBER(KVM_S390_VM_TOD_HIGH);
	NUMBER(KVM_S390_VM_TOD_EXT);

	/* Since Linux 6.6. */
#ifdef KVM_S390_VM_CPU_MACHINE_UV_FEAT_GUEST
	SIZE(kvm_s390_vm_cpu_uv_feat);
	NUMBER(KVM_S390_VM_CPU_PROCESSOR_UV_FEAT_GUEST);
	NUMBER(KVM_S390_VM_CPU_MACHINE_UV_FEAT_GUEST);
#endif
	return 0;
}
