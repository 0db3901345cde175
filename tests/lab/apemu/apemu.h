/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apemu: what QEMU's emulation of a mainframe lacks and the kernel's AP bus,
 * vfio_ap and KVM need: AP instructions with adapters behind them, and SIE.
 * For a lab, not for a machine on which anything depends.
 */
#ifndef APEMU_H
#define APEMU_H

#include <linux/seq_file.h>
#include <linux/types.h>

struct kvm_s390_sie_block;

/* main.c: finds what is not exported; NULL if the kernel has no such symbol. */
void *apemu_symbol(const char *name);

/* host.c: the patches that make a host of this machine. */
int apemu_patch_host(const char *facilities);
/* Absolute address of the guest information block, 0: none was set. */
extern u32 apemu_gib;

/* ap.c: adapters, queues, and the instructions that reach them. */
struct ap_masks {
	u64 apm[4];
	u64 aqm[4];
	u64 adm[4];
};

static inline bool ap_mask_test(const u64 *mask, unsigned int nr)
{
	return mask[nr / 64] >> (63 - nr % 64) & 1;
}

/* Who executes an AP instruction. */
struct ap_caller {
	u64 *gr[16];
	/* NULL: the host, which may use all there is, and whose adapters answer errors. */
	const struct ap_masks *limits;
	/* Storage access, which must not sleep: 0, or -EFAULT. */
	int (*read)(void *priv, u64 addr, void *to, size_t len);
	int (*write)(void *priv, u64 addr, const void *from, size_t len);
	void *priv;
};

/* The condition code, -EOPNOTSUPP: no such function, -EFAULT: access failed. */
int ap_execute(struct ap_caller *caller, u32 insn);
int ap_init(void);
int ap_control(char *command);
/* Resets of queues are done, whether or not anybody has asked. */
void ap_end_resets(void);
void ap_show(struct seq_file *m);

/* guest.c: an AP interruption for a guest, by way of its GISA. */
void guest_interrupt(u64 gisa, u8 isc);

/* sie.c: called by KVM in place of __sie64a, with its arguments. */
int apemu_sie(unsigned long phys, struct kvm_s390_sie_block *scb, u64 *rsa,
	      unsigned long asce);
int sie_init(void);

/* sie_log.c: what SIE was given. */
void sie_log(unsigned long phys, struct kvm_s390_sie_block *scb);
void sie_log_clear(void);
void sie_log_show(struct seq_file *m);
/* The masks that the state description gives to a guest. */
void sie_masks(const struct kvm_s390_sie_block *scb, struct ap_masks *masks);

#endif /* APEMU_H */
