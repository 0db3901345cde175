/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apemu: the guest CPU that SIE runs: its registers and storage. Without
 * dynamic address translation, storage keys, PER, floating point and vectors.
 */
#ifndef GUEST_H
#define GUEST_H

#include <linux/kvm_host.h>
#include <asm/kvm_host.h>

struct guest {
	struct kvm_s390_sie_block *scb;
	struct kvm_vcpu *vcpu;
	u64 *rsa;		/* general registers 0 to 13 */
	u64 tod;		/* when it was entered, for the CPU timer */
	/* The instruction, and where it was: not where it is, under EXECUTE. */
	u64 ia;
	u8 insn[6];
	u8 ilen;
	/* A program interruption that it causes, 0: none. */
	u16 pgm;
};

/* What becomes of an instruction. */
enum outcome {
	DONE,			/* or g->pgm */
	INTERCEPTED,		/* the state description says why */
	UNKNOWN,		/* not here, whatever a real machine does */
	INVALID,		/* on no machine */
};

int guest_init(void);
struct kvm_vcpu *guest_running_vcpu(void);

int guest_access(struct guest *g, u64 addr, void *data, size_t n, bool write);
u64 guest_load(struct guest *g, u64 addr, unsigned int n);
void guest_store(struct guest *g, u64 addr, u64 value, unsigned int n);
/* An address as the addressing mode has it. */
u64 guest_wrap(const struct guest *g, u64 addr);
u64 guest_tod(const struct guest *g);
/* Brings the CPU timer in the state description up to date. */
void guest_run_timer(struct guest *g);

static inline u64 *guest_gr(struct guest *g, unsigned int nr)
{
	return nr < 14 ? &g->rsa[nr] : nr == 14 ? &g->scb->gg14 : &g->scb->gg15;
}

/* interpreter.c: executes g->insn. */
enum outcome interpret(struct guest *g);
enum outcome intercept_instruction(struct guest *g);
int interpreter_init(void);
/* sie.c: an AP instruction. */
enum outcome guest_ap_instruction(struct guest *g);

#endif /* GUEST_H */
