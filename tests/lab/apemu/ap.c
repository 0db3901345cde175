// SPDX-License-Identifier: GPL-2.0-only
/*
 * apemu: the adapters, their queues, and PQAP, NQAP and DQAP. An adapter does
 * no cryptography: a guest gets its message back as the reply, the host an
 * error reply, so that zcrypt does not take it for an answer.
 */
#include <linux/io.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include "apemu.h"

static char *cards = "5=cex8c,6=cex8p";
module_param(cards, charp, 0444);
MODULE_PARM_DESC(cards, "adapters: ID=cex4..8 and c (CCA), p (EP11) or a (accelerator)");
static char *domains = "4,0x47,0xab,0xff";
module_param(domains, charp, 0444);
MODULE_PARM_DESC(domains, "usage and control domains");
static bool apxa = true;
module_param(apxa, bool, 0444);
MODULE_PARM_DESC(apxa, "up to 256 adapters and domains, else 64 and 16");

enum response {
	RC_NORMAL = 0x00,
	RC_NOT_AVAILABLE = 0x01,
	RC_RESET_IN_PROGRESS = 0x02,
	RC_DECONFIGURED = 0x03,
	RC_CHECKSTOPPED = 0x04,
	RC_BUSY = 0x05,
	RC_OTHERWISE_CHANGED = 0x07,
	/* NQAP: the queue is full; DQAP: it has no reply. */
	RC_NOT_NOW = 0x10,
	RC_TOO_LONG = 0x15,
};

#define STATUS_EMPTY		0x80000000
#define STATUS_REPLIES_WAITING	0x40000000
#define STATUS_FULL		0x20000000
#define STATUS_INTERRUPTS	0x01000000

#define QCI_APXA		0x40000000

#define QUEUE_DEPTH		8
#define MAX_MESSAGE		0x3000
#define MIN_REPLY		16

struct message {
	struct list_head list;
	u64 psmid;
	u32 length;
	u32 taken;		/* of it, by DQAPs so far */
	u8 data[];
};

struct queue {
	struct list_head replies;
	unsigned int waiting;
	bool resetting;		/* the next TAPQ says so */
	bool irq;
	u64 indicator;		/* absolute address of the notification byte */
	u64 gisa;		/* absolute address; 0: the interruption is the host's */
	u8 isc;
	struct {
		u64 nqap, dqap, rapq, zapq, aqic;
	} count;
};

struct card {
	bool present;
	u8 type;		/* 10 for CEX4 to 14 for CEX8; also 9 and 15 */
	char mode;		/* 'c', 'p' or 'a' */
	bool deconfigured;
	bool checkstopped;
	u64 missing[4];		/* domains for which it has no queue */
	struct queue *queues[256];
};

static struct card all[256];
static struct ap_masks installed;
/* What QCI says besides the masks; the ids are the highest there can be. */
static struct {
	u32 flags;
	u8 max_adapter, max_domain;
} machine;
static DEFINE_SPINLOCK(lock);

static void mask_assign(u64 *mask, unsigned int nr, bool on)
{
	u64 bit = 1ULL << (63 - nr % 64);

	mask[nr / 64] = on ? mask[nr / 64] | bit : mask[nr / 64] & ~bit;
}

/* ---- what there is ------------------------------------------------------ */

static void drop_replies(struct queue *queue)
{
	struct message *message, *next;

	list_for_each_entry_safe(message, next, &queue->replies, list)
		kfree(message);
	INIT_LIST_HEAD(&queue->replies);
	queue->waiting = 0;
}

static void make_new(struct queue *queue)
{
	drop_replies(queue);
	queue->resetting = false;
	queue->irq = false;
	queue->indicator = 0;
	queue->gisa = 0;
}

/* Queues are made once, and kept when their adapter or domain goes. */
static int make_queues(struct card *card)
{
	struct queue *queue;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(card->queues); i++) {
		if (card->queues[i])
			continue;
		queue = kzalloc(sizeof(*queue), GFP_KERNEL);
		if (!queue)
			return -ENOMEM;
		INIT_LIST_HEAD(&queue->replies);
		card->queues[i] = queue;
	}
	return 0;
}

/*
 * What the AP bus read of QCI when it was loaded, and does not read again: for
 * it the machine is another from now on.
 */
static void tell_bus(const char *name, int id)
{
	int *maximum = apemu_symbol(name);

	if (maximum)
		*maximum = id;
}

/* "0xe0000000,63,84": QCI's flags, the highest adapter and domain. */
static int set_machine(char *arg)
{
	unsigned int flags, max_adapter, max_domain;
	unsigned long irq;
	bool extended;

	if (sscanf(arg, "%i,%i,%i", &flags, &max_adapter, &max_domain) != 3 ||
	    max_adapter > 255 || max_domain > 255)
		return -EINVAL;
	spin_lock_irqsave(&lock, irq);
	machine.flags = flags;
	machine.max_adapter = max_adapter;
	machine.max_domain = max_domain;
	spin_unlock_irqrestore(&lock, irq);
	extended = flags & QCI_APXA;
	tell_bus("ap_max_adapter_id", extended && max_adapter ? max_adapter : 63);
	tell_bus("ap_max_domain_id", extended && max_domain ? max_domain : 15);
	return 0;
}

/* "5=cex8c". An adapter that is there already stays as it is, but for its kind. */
static int add_card(char *arg)
{
	char *kind = strchr(arg, '=');
	unsigned long flags;
	struct card *card;
	unsigned int id, i;
	int rc;

	if (!kind)
		return -EINVAL;
	*kind++ = 0;
	if (kstrtouint(arg, 0, &id) || id >= ARRAY_SIZE(all) ||
	    strlen(kind) != 5 || strncmp(kind, "cex", 3) ||
	    kind[3] < '3' || kind[3] > '9' || !strchr("cpa", kind[4]))
		return -EINVAL;
	card = &all[id];
	rc = make_queues(card);
	if (rc)
		return rc;

	spin_lock_irqsave(&lock, flags);
	for (i = 0; i < ARRAY_SIZE(card->queues) && !card->present; i++)
		make_new(card->queues[i]);
	card->type = 10 + kind[3] - '4';
	card->mode = kind[4];
	card->present = true;
	card->deconfigured = false;
	card->checkstopped = false;
	mask_assign(installed.apm, id, true);
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static int add_domain(char *arg)
{
	unsigned long flags;
	unsigned int id;

	if (kstrtouint(arg, 0, &id) || id > 255)
		return -EINVAL;
	spin_lock_irqsave(&lock, flags);
	mask_assign(installed.aqm, id, true);
	mask_assign(installed.adm, id, true);
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static int for_each_word(const char *list, int (*fn)(char *word))
{
	char *copy = kstrdup(list, GFP_KERNEL), *rest = copy, *word;
	int rc = 0;

	if (!copy)
		return -ENOMEM;
	while (!rc && (word = strsep(&rest, ",")))
		if (*word)
			rc = fn(word);
	kfree(copy);
	return rc;
}

/* As the module parameters say; queues of adapters that were there all along keep their state. */
static int install(void)
{
	char qci[] = "0xc0000000,255,255", plain[] = "0x80000000,0,0";
	unsigned long flags;
	unsigned int i, j;
	int rc;

	rc = set_machine(apxa ? qci : plain);
	if (rc)
		return rc;
	spin_lock_irqsave(&lock, flags);
	memset(&installed, 0, sizeof(installed));
	for (i = 0; i < ARRAY_SIZE(all); i++)
		memset(all[i].missing, 0, sizeof(all[i].missing));
	for (i = 0; i < ARRAY_SIZE(all); i++)
		for (j = 0; j < ARRAY_SIZE(all[i].queues) && all[i].queues[j]; j++)
			memset(&all[i].queues[j]->count, 0,
			       sizeof(all[i].queues[j]->count));
	spin_unlock_irqrestore(&lock, flags);

	rc = for_each_word(domains, add_domain);
	rc = rc ?: for_each_word(cards, add_card);
	if (rc)
		return rc;

	spin_lock_irqsave(&lock, flags);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		all[i].present = ap_mask_test(installed.apm, i);
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

/* No adapters, no domains; what was in the queues is gone. */
static void clear(void)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&lock, flags);
	memset(&installed, 0, sizeof(installed));
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		all[i].present = false;
		memset(all[i].missing, 0, sizeof(all[i].missing));
	}
	spin_unlock_irqrestore(&lock, flags);
}

int ap_init(void)
{
	return install();
}

void ap_end_resets(void)
{
	unsigned long flags;
	unsigned int i, j;

	spin_lock_irqsave(&lock, flags);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		for (j = 0; j < ARRAY_SIZE(all[i].queues) && all[i].queues[j]; j++)
			all[i].queues[j]->resetting = false;
	spin_unlock_irqrestore(&lock, flags);
}

/* "05.0004", as the kernel names a queue; NULL if there is no such. */
static struct queue *queue_named(const char *name, unsigned int *apid,
				 unsigned int *apqi)
{
	if (sscanf(name, "%x.%x", apid, apqi) != 2 || *apid > 255 || *apqi > 255)
		return NULL;
	return all[*apid].queues[*apqi];
}

static int control_queue(const char *command, const char *name)
{
	struct message *message = NULL;
	unsigned int apid, apqi;
	unsigned long flags;
	struct queue *queue;

	queue = queue_named(name, &apid, &apqi);
	if (!queue)
		return -EINVAL;
	if (!strcmp(command, "queue-leave")) {
		message = kzalloc(sizeof(*message) + MIN_REPLY, GFP_KERNEL);
		if (!message)
			return -ENOMEM;
		message->length = MIN_REPLY;
	}
	spin_lock_irqsave(&lock, flags);
	if (message) {
		list_add_tail(&message->list, &queue->replies);
		queue->waiting++;
	} else {
		mask_assign(all[apid].missing, apqi, !strcmp(command, "queue-del"));
	}
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static int control_card(const char *command, unsigned int id)
{
	struct card *card = &all[id];

	if (!strcmp(command, "card-del")) {
		mask_assign(installed.apm, id, false);
		card->present = false;
	} else if (!strcmp(command, "dom-del")) {
		mask_assign(installed.aqm, id, false);
		mask_assign(installed.adm, id, false);
	} else if (!strcmp(command, "usage-add") || !strcmp(command, "usage-del")) {
		mask_assign(installed.aqm, id, command[6] == 'a');
	} else if (!strcmp(command, "ctrl-add") || !strcmp(command, "ctrl-del")) {
		mask_assign(installed.adm, id, command[5] == 'a');
	} else if (!strcmp(command, "decfg") || !strcmp(command, "cfg")) {
		card->deconfigured = *command == 'd';
	} else if (!strcmp(command, "cstop") || !strcmp(command, "cstart")) {
		card->checkstopped = !strcmp(command, "cstop");
	} else {
		return -EINVAL;
	}
	return 0;
}

int ap_control(char *command)
{
	char *arg = strchr(command, ' ');
	unsigned long flags;
	unsigned int id;
	int rc;

	if (!strcmp(command, "reset"))
		return install();
	if (!strcmp(command, "clear")) {
		clear();
		return 0;
	}
	if (!arg)
		return -EINVAL;
	*arg++ = 0;
	if (!strcmp(command, "machine"))
		return set_machine(arg);
	if (!strncmp(command, "queue-", 6))
		return control_queue(command, arg);
	if (!strcmp(command, "card-add"))
		return add_card(arg);
	if (!strcmp(command, "dom-add"))
		return add_domain(arg);
	if (kstrtouint(arg, 0, &id) || id > 255)
		return -EINVAL;
	spin_lock_irqsave(&lock, flags);
	rc = control_card(command, id);
	spin_unlock_irqrestore(&lock, flags);
	return rc;
}

static void show_queue(struct seq_file *m, unsigned int apid, unsigned int apqi)
{
	const struct queue *q = all[apid].queues[apqi];

	seq_printf(m, "queue=%02x.%04x messages=%u irq=%d gisa=%llx isc=%u nqap=%llu dqap=%llu rapq=%llu zapq=%llu aqic=%llu\n",
		   apid, apqi, q->waiting, q->irq, q->gisa, q->isc,
		   q->count.nqap, q->count.dqap, q->count.rapq, q->count.zapq,
		   q->count.aqic);
}

void ap_show(struct seq_file *m)
{
	const struct card *card;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		card = &all[i];
		if (!card->present)
			continue;
		seq_printf(m, "card=%02x type=%u mode=%c configured=%d checkstopped=%d\n",
			   i, card->type, card->mode, !card->deconfigured,
			   card->checkstopped);
		for (j = 0; j < ARRAY_SIZE(card->queues); j++)
			if (ap_mask_test(installed.aqm, j))
				show_queue(m, i, j);
	}
}

/* ---- the instructions --------------------------------------------------- */

/* An interruption to be made once the lock is free. */
struct interrupt {
	bool host;
	u64 gisa;
	u8 isc;
};

static int end(struct ap_caller *caller, const struct queue *queue,
	       enum response rc)
{
	u32 status = rc << 16;

	if (queue) {
		status |= queue->waiting ? STATUS_REPLIES_WAITING : STATUS_EMPTY;
		if (queue->waiting >= QUEUE_DEPTH)
			status |= STATUS_FULL;
		if (queue->irq)
			status |= STATUS_INTERRUPTS;
	}
	*caller->gr[1] = status;
	return rc ? 3 : 0;
}

/* The queue that general register 0 names, if the caller may see it. */
static struct queue *find_queue(struct ap_caller *caller, enum response *rc)
{
	u8 apid = *caller->gr[0] >> 8, apqi = *caller->gr[0];
	struct card *card = &all[apid];
	const struct ap_masks *limits = caller->limits ?: &installed;

	*rc = RC_NOT_AVAILABLE;
	if (!card->present || !ap_mask_test(installed.aqm, apqi) ||
	    ap_mask_test(card->missing, apqi))
		return NULL;
	if (!ap_mask_test(limits->apm, apid) || !ap_mask_test(limits->aqm, apqi))
		return NULL;
	*rc = card->deconfigured ? RC_DECONFIGURED :
	      card->checkstopped ? RC_CHECKSTOPPED : RC_NORMAL;
	return card->queues[apqi];
}

/* TAPQ's general register 2: functions, type, domains, depth. */
static u64 hardware_info(const struct card *card)
{
	u64 functions = card->mode == 'c' ? 0x92 : card->mode == 'p' ? 0x86 : 0x6a;

	/* Bit 6 is APXA. */
	if (!(machine.flags & QCI_APXA))
		functions &= ~0x02ULL;
	return functions << 56 | (u64)card->type << 24 | (u64)machine.max_domain << 16 |
	       0x0300 | (QUEUE_DEPTH - 1);
}

static int test_queue(struct ap_caller *caller)
{
	const struct card *card = &all[*caller->gr[0] >> 8 & 0xff];
	bool want_functions = *caller->gr[0] & 0x800000;
	struct queue *queue;
	enum response rc;
	u64 info;

	queue = find_queue(caller, &rc);
	if (!queue)
		return end(caller, NULL, rc);
	info = hardware_info(card);
	*caller->gr[2] = want_functions ? info : (u32)info;
	if (!rc && queue->resetting) {
		queue->resetting = false;
		rc = RC_RESET_IN_PROGRESS;
	}
	return end(caller, queue, rc);
}

static int reset_queue(struct ap_caller *caller, bool zeroize)
{
	struct queue *queue;
	enum response rc;

	queue = find_queue(caller, &rc);
	if (!queue || rc)
		return end(caller, queue, rc);
	make_new(queue);
	queue->resetting = true;
	if (zeroize)
		queue->count.zapq++;
	else
		queue->count.rapq++;
	return end(caller, queue, RC_NORMAL);
}

/* Interruption control. Register 1: IR 16, guest ISC 21-23, GISA 33-59, ISC 61-63. */
static int control_interrupts(struct ap_caller *caller)
{
	u64 control = *caller->gr[1];
	bool on = control >> 47 & 1;
	struct queue *queue;
	enum response rc;

	queue = find_queue(caller, &rc);
	if (!queue || rc)
		return end(caller, queue, rc);
	if (queue->resetting)
		return end(caller, queue, RC_RESET_IN_PROGRESS);
	queue->count.aqic++;
	if (on == queue->irq)
		return end(caller, queue, RC_OTHERWISE_CHANGED);
	queue->irq = on;
	queue->indicator = on ? *caller->gr[2] : 0;
	queue->gisa = on ? control & 0x7ffffff0 : 0;
	queue->isc = control >> 40 & 7;
	return end(caller, queue, RC_NORMAL);
}

static int query_configuration(struct ap_caller *caller)
{
	struct {
		u32 flags;
		u8 max_adapter, max_domain;
		u8 reserved_006[10];
		struct ap_masks masks;
		u8 reserved_112[16];
	} __packed info = {
		.flags = machine.flags,
		.max_adapter = machine.max_adapter,
		.max_domain = machine.max_domain,
		/* A guest is told its own masks, whatever has left the machine. */
		.masks = caller->limits ? *caller->limits : installed,
	};

	BUILD_BUG_ON(sizeof(info) != 128);
	return caller->write(caller->priv, *caller->gr[2], &info, sizeof(info));
}

/* Query adapter compatibility: the type it is, or the newest that the caller knows. */
static int query_compatibility(struct ap_caller *caller)
{
	const struct card *card = &all[*caller->gr[0] >> 8 & 0xff];
	struct queue *queue;
	enum response rc;

	queue = find_queue(caller, &rc);
	if (queue)
		*caller->gr[2] = (u64)min_t(u8, card->type, *caller->gr[1] >> 24) << 24;
	return end(caller, queue, rc);
}

static int pqap(struct ap_caller *caller)
{
	switch (*caller->gr[0] >> 24 & 0xff) {
	case 0: return test_queue(caller);
	case 1: return reset_queue(caller, false);
	case 2: return reset_queue(caller, true);
	case 3: return control_interrupts(caller);
	case 4: return query_configuration(caller);
	case 5: return query_compatibility(caller);
	default: return -EOPNOTSUPP;
	}
}

static void notify(struct queue *queue, struct interrupt *interrupt)
{
	if (!queue->irq)
		return;
	*(u8 *)phys_to_virt(queue->indicator) |= 0x80;
	interrupt->host = !queue->gisa;
	interrupt->gisa = queue->gisa;
	interrupt->isc = queue->isc;
}

static struct message *new_message(struct ap_caller *caller, u64 addr, u64 length)
{
	struct message *message;

	message = kzalloc(sizeof(*message) + max_t(u64, length, MIN_REPLY), GFP_ATOMIC);
	if (!message)
		return ERR_PTR(-ENOMEM);
	if (caller->read(caller->priv, addr, message->data, length)) {
		kfree(message);
		return ERR_PTR(-EFAULT);
	}
	message->length = length;
	if (!caller->limits) {
		/* Type 82, reason 82: zcrypt makes EINVAL of it. */
		memset(message->data, 0, MIN_REPLY);
		message->data[1] = 0x82;
		message->data[4] = 0x82;
		message->length = MIN_REPLY;
	}
	return message;
}

static int nqap(struct ap_caller *caller, unsigned int r1, unsigned int r2,
		struct interrupt *interrupt)
{
	u64 length = *caller->gr[r2 + 1];
	struct message *message;
	struct queue *queue;
	enum response rc;

	queue = find_queue(caller, &rc);
	if (!queue || rc)
		return end(caller, queue, rc);
	if (queue->resetting)
		return end(caller, queue, RC_RESET_IN_PROGRESS);
	if (queue->waiting >= QUEUE_DEPTH)
		return end(caller, queue, RC_NOT_NOW);
	if (length > MAX_MESSAGE)
		return end(caller, queue, RC_TOO_LONG);
	message = new_message(caller, *caller->gr[r2], length);
	if (message == ERR_PTR(-ENOMEM))
		return end(caller, queue, RC_BUSY);
	if (IS_ERR(message))
		return PTR_ERR(message);
	message->psmid = *caller->gr[r1] << 32 | (u32)*caller->gr[r1 + 1];
	list_add_tail(&message->list, &queue->replies);
	queue->waiting++;
	queue->count.nqap++;
	*caller->gr[r2] += length;
	*caller->gr[r2 + 1] = 0;
	notify(queue, interrupt);
	return end(caller, queue, RC_NORMAL);
}

static int dqap(struct ap_caller *caller, unsigned int r1, unsigned int r2)
{
	struct message *message;
	struct queue *queue;
	enum response rc;
	u64 n;

	queue = find_queue(caller, &rc);
	if (!queue || rc)
		return end(caller, queue, rc);
	if (queue->resetting)
		return end(caller, queue, RC_RESET_IN_PROGRESS);
	message = list_first_entry_or_null(&queue->replies, struct message, list);
	if (!message)
		return end(caller, queue, RC_NOT_NOW);
	n = min_t(u64, *caller->gr[r2 + 1], message->length - message->taken);
	if (n && caller->write(caller->priv, *caller->gr[r2],
			       message->data + message->taken, n))
		return -EFAULT;
	message->taken += n;
	*caller->gr[r2] += n;
	*caller->gr[r2 + 1] -= n;
	*caller->gr[2] = message->length - message->taken;
	if (message->taken < message->length) {
		end(caller, queue, RC_NORMAL);
		return 1;
	}
	*caller->gr[r1] = message->psmid >> 32;
	*caller->gr[r1 + 1] = (u32)message->psmid;
	list_del(&message->list);
	kfree(message);
	queue->waiting--;
	queue->count.dqap++;
	return end(caller, queue, RC_NORMAL);
}

/* The host's own handler, which KVM is not asked about. */
static void host_interrupt(void)
{
	static void (*handler)(void *airq, void *tpi);
	unsigned long flags;

	if (!handler)
		handler = apemu_symbol("ap_interrupt_handler");
	if (!handler)
		return;
	local_irq_save(flags);
	handler(NULL, NULL);
	local_irq_restore(flags);
}

int ap_execute(struct ap_caller *caller, u32 insn)
{
	unsigned int r1 = insn >> 4 & 15, r2 = insn & 15;
	struct interrupt interrupt = {};
	unsigned long flags;
	int cc;

	/* Pairs of registers, except for PQAP, which has none. */
	if ((r1 | r2) & 1)
		return -EOPNOTSUPP;
	spin_lock_irqsave(&lock, flags);
	switch (insn >> 16) {
	case 0xb2af:
		cc = pqap(caller);
		break;
	case 0xb2ad:
		cc = nqap(caller, r1, r2, &interrupt);
		break;
	case 0xb2ae:
		cc = dqap(caller, r1, r2);
		break;
	default:
		cc = -EOPNOTSUPP;
	}
	spin_unlock_irqrestore(&lock, flags);

	if (interrupt.gisa)
		guest_interrupt(interrupt.gisa, interrupt.isc);
	else if (interrupt.host)
		host_interrupt();
	return cc;
}
