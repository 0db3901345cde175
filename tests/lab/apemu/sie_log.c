// SPDX-License-Identifier: GPL-2.0-only
/*
 * apemu: what SIE was given. One record for each distinct state description,
 * as far as AP goes; KVM made all of it, so it tells what KVM did.
 */
#include <linux/io.h>
#include <linux/kvm_host.h>
#include <linux/spinlock.h>
#include "apemu.h"

struct record {
	/* Compared. */
	u64 scb;
	u32 eca, crycbd, gd;
	u8 ecb3;
	struct ap_masks masks;
	/* Counted: numbers of SIE entries. */
	u64 first, last, count;
};

static struct record records[128];
static unsigned int used;
static u64 entries, lost;
static DEFINE_SPINLOCK(lock);

void sie_masks(const struct kvm_s390_sie_block *scb, struct ap_masks *masks)
{
	const struct kvm_s390_crypto_cb *crycb;

	memset(masks, 0, sizeof(*masks));
	crycb = phys_to_virt(scb->crycbd & 0x7ffffff8);
	if ((void *)crycb == phys_to_virt(0))
		return;
	if ((scb->crycbd & CRYCB_FORMAT_MASK) == CRYCB_FORMAT2) {
		memcpy(masks->apm, crycb->apcb1.apm, sizeof(masks->apm));
		memcpy(masks->aqm, crycb->apcb1.aqm, sizeof(masks->aqm));
		memcpy(masks->adm, crycb->apcb1.adm, sizeof(masks->adm));
	} else {
		/* 64 adapters, 16 domains. */
		masks->apm[0] = crycb->apcb0.apm[0];
		masks->aqm[0] = crycb->apcb0.aqm[0] & 0xffff000000000000;
		masks->adm[0] = crycb->apcb0.adm[0] & 0xffff000000000000;
	}
}

static struct record *find(const struct record *wanted)
{
	unsigned int i;

	for (i = used; i-- > 0;)
		if (!memcmp(&records[i], wanted, offsetof(struct record, first)))
			return &records[i];
	if (used == ARRAY_SIZE(records))
		return NULL;
	records[used] = *wanted;
	return &records[used++];
}

void sie_log(unsigned long phys, struct kvm_s390_sie_block *scb)
{
	struct record wanted, *record;
	unsigned long flags;

	/* All of it is compared, so also what lies between members. */
	memset(&wanted, 0, sizeof(wanted));
	wanted.scb = phys;
	wanted.eca = scb->eca;
	wanted.crycbd = scb->crycbd;
	wanted.gd = scb->gd;
	wanted.ecb3 = scb->ecb3;
	sie_masks(scb, &wanted.masks);

	spin_lock_irqsave(&lock, flags);
	entries++;
	record = find(&wanted);
	if (record) {
		record->first = record->first ?: entries;
		record->last = entries;
		record->count++;
	} else {
		lost++;
	}
	spin_unlock_irqrestore(&lock, flags);
}

void sie_log_clear(void)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	used = 0;
	entries = 0;
	lost = 0;
	spin_unlock_irqrestore(&lock, flags);
}

static void show_mask(struct seq_file *m, const char *name, const u64 *mask)
{
	const char *separator = "";
	unsigned int i;

	seq_printf(m, " %s=", name);
	for (i = 0; i < 256; i++) {
		if (!ap_mask_test(mask, i))
			continue;
		seq_printf(m, "%s%x", separator, i);
		separator = ",";
	}
}

static unsigned int crycb_format(u32 crycbd)
{
	switch (crycbd & CRYCB_FORMAT_MASK) {
	case CRYCB_FORMAT2: return 2;
	case CRYCB_FORMAT1: return 1;
	default: return 0;
	}
}

void sie_log_show(struct seq_file *m)
{
	unsigned int i;

	seq_printf(m, "entries=%llu lost=%llu\n", entries, lost);
	for (i = 0; i < used; i++) {
		const struct record *r = &records[i];

		seq_printf(m, "first=%llu last=%llu count=%llu scb=%llx eca=%08x apie=%d crycbd=%08x format=%u aes=%d dea=%d gd=%08x",
			   r->first, r->last, r->count, r->scb, r->eca,
			   !!(r->eca & ECA_APIE), r->crycbd,
			   crycb_format(r->crycbd), !!(r->ecb3 & ECB3_AES),
			   !!(r->ecb3 & ECB3_DEA), r->gd);
		show_mask(m, "apm", r->masks.apm);
		show_mask(m, "aqm", r->masks.aqm);
		show_mask(m, "adm", r->masks.adm);
		seq_puts(m, "\n");
	}
}
