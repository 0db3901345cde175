// SPDX-License-Identifier: GPL-2.0-only
/*
 * apemu: SIE. Runs a guest CPU from its state description until the host is
 * wanted, and says why in the description, as the machine does.
 */
#include <linux/io.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include <asm/ctlreg.h>
#include <asm/dis.h>
#include "apemu.h"
#include "guest.h"

/* ---- AP instructions of a guest ----------------------------------------- */

#define MAX_TRANSFER	0x3000

/* Between guest storage, whose access may sleep, and ap.c, which holds a lock. */
struct bounce {
	u64 addr;
	u32 have, written;
	u8 data[MAX_TRANSFER];
};

static int bounce_read(void *priv, u64 addr, void *to, size_t len)
{
	struct bounce *bounce = priv;

	if (len > bounce->have)
		return -EFAULT;
	memcpy(to, bounce->data, len);
	return 0;
}

static int bounce_write(void *priv, u64 addr, const void *from, size_t len)
{
	struct bounce *bounce = priv;

	if (len > sizeof(bounce->data))
		return -EFAULT;
	bounce->addr = addr;
	bounce->written = len;
	memcpy(bounce->data, from, len);
	return 0;
}

static void execute_ap(struct guest *g, u32 insn, struct bounce *bounce)
{
	struct ap_masks masks;
	struct ap_caller caller = {
		.limits = &masks,
		.read = bounce_read,
		.write = bounce_write,
		.priv = bounce,
	};
	unsigned int r2 = insn & 15, i;
	int cc;

	for (i = 0; i < 16; i++)
		caller.gr[i] = guest_gr(g, i);
	sie_masks(g->scb, &masks);
	if (g->insn[1] == 0xad) {
		bounce->have = min_t(u64, *guest_gr(g, r2 | 1), sizeof(bounce->data));
		if (guest_access(g, *guest_gr(g, r2), bounce->data, bounce->have, false))
			return;
	}
	cc = ap_execute(&caller, insn);
	if (cc == -EOPNOTSUPP)
		g->pgm = PGM_SPECIFICATION;
	else if (cc < 0)
		g->pgm = PGM_ADDRESSING;
	else
		g->scb->gpsw.mask = (g->scb->gpsw.mask & ~PSW_MASK_CC) | (u64)cc << 44;
	if (bounce->written)
		guest_access(g, bounce->addr, bounce->data, bounce->written, true);
}

enum outcome guest_ap_instruction(struct guest *g)
{
	bool aqic = g->insn[1] == 0xaf && (*guest_gr(g, 0) >> 24 & 0xff) == 3;
	struct bounce *bounce;

	/* Interruption control is always the host's: it knows where a guest's byte is. */
	if (!(g->scb->eca & ECA_APIE) || aqic)
		return intercept_instruction(g);
	if (g->scb->gpsw.mask & PSW_MASK_PSTATE) {
		g->pgm = PGM_PRIVILEGED_OP;
		return DONE;
	}
	bounce = kzalloc(sizeof(*bounce), GFP_KERNEL);
	if (!bounce)
		return intercept_instruction(g);
	execute_ap(g, get_unaligned_be32(g->insn), bounce);
	kfree(bounce);
	return DONE;
}

/* ---- the loop ----------------------------------------------------------- */

/* A host interruption ends SIE from time to time; so does this. */
#define MAX_INSTRUCTIONS	20000
/* Of a validity interception; from no list of IBM's. */
#define VALIDITY_UNKNOWN	0xffff

static enum outcome intercept(struct guest *g, u8 code)
{
	g->scb->icptcode = code;
	return INTERCEPTED;
}

/*
 * What this does not know a real machine might: not a program interruption,
 * which a guest may take as an answer, but the end of this guest.
 */
static enum outcome refuse(struct guest *g, const char *what)
{
	pr_err("apemu: guest PSW %016lx %016lx, instruction %*phN: %s\n",
	       g->scb->gpsw.mask, g->scb->gpsw.addr, g->ilen, g->insn, what);
	g->scb->ipb = VALIDITY_UNKNOWN << 16;
	return intercept(g, ICPT_VALIDITY);
}

/* Whether the host wants the CPU, as it says in the state description or elsewhere. */
static bool host_calls(const struct guest *g)
{
	return atomic_read(&g->scb->prog20) & (PROG_BLOCK_SIE | PROG_REQUEST) ||
	       signal_pending(current) || need_resched();
}

/*
 * Interruptions that a machine would take by itself, of the clocks and out of
 * the GISA. KVM presents them too, before it enters SIE again.
 */
static bool kvm_can_interrupt(struct guest *g)
{
	struct kvm_s390_sie_block *scb = g->scb;
	struct kvm_s390_gisa *gisa;

	if (scb->gd && scb->gpsw.mask & PSW_MASK_IO) {
		gisa = phys_to_virt(scb->gd & ~0xffU);
		if (READ_ONCE(gisa->ipm) & (u8)(scb->gcr[6] >> 24))
			return true;
	}
	if (!(scb->gpsw.mask & PSW_MASK_EXT))
		return false;
	if (scb->gcr[0] & CR0_CLOCK_COMPARATOR_SUBMASK && scb->ckc < guest_tod(g))
		return true;
	if (!(scb->gcr[0] & CR0_CPU_TIMER_SUBMASK))
		return false;
	guest_run_timer(g);
	return (s64)scb->cputm < 0;
}

/* What stands before the next instruction. DONE: nothing. */
static enum outcome before_instruction(struct guest *g)
{
	u32 flags = atomic_read(&g->scb->cpuflags);
	u64 psw = g->scb->gpsw.mask;

	if (flags & CPUSTAT_STOP_INT)
		return intercept(g, ICPT_STOP);
	if (flags & CPUSTAT_EXT_INT && psw & PSW_MASK_EXT)
		return intercept(g, ICPT_EXTREQ);
	if (flags & CPUSTAT_IO_INT && psw & PSW_MASK_IO)
		return intercept(g, ICPT_IOREQ);
	if (kvm_can_interrupt(g))
		return INTERCEPTED;
	if (psw & PSW_MASK_WAIT)
		return intercept(g, ICPT_WAIT);
	g->ilen = 0;
	if (psw & PSW_MASK_DAT)
		return refuse(g, "address translation is not there");
	if (psw & PSW_MASK_PER)
		return refuse(g, "PER is not there");
	return DONE;
}

/* Reads it, and moves the PSW behind it. */
static void fetch(struct guest *g)
{
	g->ia = g->scb->gpsw.addr;
	g->pgm = 0;
	g->ilen = 2;
	if (g->ia & 1) {
		g->pgm = PGM_SPECIFICATION;
		return;
	}
	/* Most instructions are read at once, but none beyond its page. */
	if (offset_in_page(g->ia) <= PAGE_SIZE - sizeof(g->insn)) {
		if (guest_access(g, g->ia, g->insn, sizeof(g->insn), false))
			return;
		g->ilen = insn_length(g->insn[0]);
	} else {
		if (guest_access(g, g->ia, g->insn, 2, false))
			return;
		g->ilen = insn_length(g->insn[0]);
		if (guest_access(g, g->ia + 2, g->insn + 2, g->ilen - 2, false))
			return;
	}
	g->scb->gpsw.addr = guest_wrap(g, g->ia + g->ilen);
}

static enum outcome step(struct guest *g)
{
	enum outcome outcome = DONE;

	fetch(g);
	if (!g->pgm)
		outcome = interpret(g);
	if (outcome == UNKNOWN)
		return refuse(g, "the instruction is not there");
	if (outcome == INVALID) {
		if (g->scb->ictl & ICTL_OPEREXC) {
			intercept_instruction(g);
			return intercept(g, ICPT_OPEREXC);
		}
		g->pgm = PGM_OPERATION;
	}
	if (g->pgm) {
		/* KVM presents it. */
		g->scb->iprcc = g->pgm;
		g->scb->pgmilc = g->ilen;
		g->scb->icptstatus = 0;
		return intercept(g, ICPT_PROGI);
	}
	return outcome;
}

static void run(struct guest *g)
{
	enum outcome outcome = DONE;
	unsigned int left = MAX_INSTRUCTIONS;

	while (outcome == DONE && left-- && !host_calls(g)) {
		outcome = before_instruction(g);
		if (outcome == DONE)
			outcome = step(g);
	}
}

int apemu_sie(unsigned long phys, struct kvm_s390_sie_block *scb, u64 *rsa,
	      unsigned long asce)
{
	struct guest g = { .scb = scb, .rsa = rsa, .tod = get_tod_clock_fast() };
	/* Newer kernels come with interruptions off: a machine takes them all the same. */
	bool off = irqs_disabled();

	if (off)
		local_irq_enable();
	sie_log(phys, scb);
	scb->prog0c |= PROG_IN_SIE;
	g.vcpu = guest_running_vcpu();
	if (g.vcpu)
		run(&g);
	else
		refuse(&g, "kvm is not one that apemu knows");
	guest_run_timer(&g);
	scb->prog0c &= ~PROG_IN_SIE;
	if (off)
		local_irq_disable();
	return 0;
}

int sie_init(void)
{
	return guest_init() ?: interpreter_init();
}
