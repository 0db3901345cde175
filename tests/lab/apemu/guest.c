// SPDX-License-Identifier: GPL-2.0-only
/* apemu: a guest's storage, clocks and AP interruptions. */
#include <linux/io.h>
#include <linux/module.h>
#include <asm/timex.h>
#include "apemu.h"
#include "guest.h"

/* Of kvm.ko, while it is loaded. */
static struct {
	int (*read_guest)(struct kvm_vcpu *vcpu, gpa_t gpa, void *to, unsigned long n);
	int (*write_guest)(struct kvm_vcpu *vcpu, gpa_t gpa, const void *from, unsigned long n);
	struct kvm_vcpu *(*get_running_vcpu)(void);
	void (*gib_alert)(void *airq, void *tpi);
} kvm;

static int module_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct module *module = data;

	if (strcmp(module->name, "kvm") || event != MODULE_STATE_COMING)
		return NOTIFY_DONE;
	kvm.read_guest = apemu_symbol("kvm_vcpu_read_guest");
	kvm.write_guest = apemu_symbol("kvm_vcpu_write_guest");
	kvm.get_running_vcpu = apemu_symbol("kvm_get_running_vcpu");
	kvm.gib_alert = apemu_symbol("gib_alert_irq_handler");
	if (!kvm.read_guest || !kvm.write_guest || !kvm.get_running_vcpu || !kvm.gib_alert)
		pr_err("apemu: kvm has changed, no guest can run\n");
	return NOTIFY_DONE;
}

static struct notifier_block module_nb = { .notifier_call = module_event };

int guest_init(void)
{
	return register_module_notifier(&module_nb);
}

/* NULL: this kvm is not one that we know. */
struct kvm_vcpu *guest_running_vcpu(void)
{
	if (!kvm.read_guest || !kvm.write_guest || !kvm.get_running_vcpu || !kvm.gib_alert)
		return NULL;
	return kvm.get_running_vcpu();
}

u64 guest_wrap(const struct guest *g, u64 addr)
{
	if (g->scb->gpsw.mask & PSW_MASK_EA)
		return addr;
	return addr & (g->scb->gpsw.mask & PSW_MASK_BA ? 0x7fffffff : 0xffffff);
}

static u64 real_to_absolute(const struct guest *g, u64 addr)
{
	/* Word 1. The kernel's field for it has 18 bits up to 6.12, and 19 in 7.2. */
	u64 prefix = ((const u32 *)g->scb)[1] & 0x7fffe000;

	if (addr < 2 * PAGE_SIZE)
		return addr + prefix;
	if (addr >= prefix && addr < prefix + 2 * PAGE_SIZE)
		return addr - prefix;
	return addr;
}

/* Sets g->pgm, too, on failure. May sleep. */
int guest_access(struct guest *g, u64 addr, void *data, size_t n, bool write)
{
	size_t part;
	u64 gpa;
	int idx, rc = 0;

	for (; n && !rc; n -= part, data += part, addr += part) {
		addr = guest_wrap(g, addr);
		part = min_t(size_t, n, PAGE_SIZE - offset_in_page(addr));
		gpa = real_to_absolute(g, addr);
		idx = srcu_read_lock(&g->vcpu->kvm->srcu);
		rc = write ? kvm.write_guest(g->vcpu, gpa, data, part) :
			     kvm.read_guest(g->vcpu, gpa, data, part);
		srcu_read_unlock(&g->vcpu->kvm->srcu, idx);
	}
	if (rc)
		g->pgm = PGM_ADDRESSING;
	return rc;
}

u64 guest_load(struct guest *g, u64 addr, unsigned int n)
{
	u64 value = 0;

	guest_access(g, addr, (u8 *)&value + sizeof(value) - n, n, false);
	return value;
}

void guest_store(struct guest *g, u64 addr, u64 value, unsigned int n)
{
	guest_access(g, addr, (u8 *)&value + sizeof(value) - n, n, true);
}

u64 guest_tod(const struct guest *g)
{
	return get_tod_clock_fast() + g->scb->epoch;
}

void guest_run_timer(struct guest *g)
{
	u64 now = get_tod_clock_fast();

	g->scb->cputm -= now - g->tod;
	g->tod = now;
}

/* The first word of a GISA, of either format: both sides change it atomically. */
union gisa_word {
	u64 word;
	struct {
		u32 next_alert;
		u8 ipm;
		u8 reserved[2];
		u8 iam;
	};
};

/*
 * Makes an interruption pending. If the alert mask has its subclass, the GISA
 * goes to the alert list, the mask is taken back, and the host is told.
 */
void guest_interrupt(u64 gisa, u8 isc)
{
	struct kvm_s390_gib *gib = phys_to_virt(apemu_gib);
	u64 *word = phys_to_virt(gisa);
	union gisa_word old, new;
	/* No directed interruption: all zero. */
	static u8 tpi_info[16];
	unsigned long flags;
	bool alert;
	u32 head;

	do {
		old.word = READ_ONCE(*word);
		new = old;
		new.ipm |= 0x80 >> isc;
		alert = old.iam & (0x80 >> isc);
		if (alert)
			new.iam = 0;
	} while (cmpxchg(word, old.word, new.word) != old.word);
	if (!alert || !apemu_gib || !kvm.gib_alert)
		return;

	do {
		head = READ_ONCE(gib->alert_list_origin);
		WRITE_ONCE(((union gisa_word *)word)->next_alert, head);
	} while (cmpxchg(&gib->alert_list_origin, head, (u32)gisa) != head);
	local_irq_save(flags);
	kvm.gib_alert(NULL, tpi_info);
	local_irq_restore(flags);
}
