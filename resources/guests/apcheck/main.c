/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * apcheck: a guest that says which AP queues it has, and tries each.
 *
 * It looks for queues as Linux' AP bus does (drivers/s390/crypto/ap_bus.c),
 * shows them as lszcrypt does, sends one message through each and wants it
 * back. With the load parameter WATCH it then waits, and does it all again when
 * the machine says that the AP configuration has changed; else nothing in it
 * waits for ever.
 */
#include <stdbool.h>
#include <stdint.h>

#include "ap.h"
#include "ask.h"
#include "css.h"
#include "end.h"
#include "lowcore.h"
#include "machine.h"
#include "print.h"
#include "sclp.h"

#define APCHECK_VERSION		"1"

/* Without QCI Linux looks at these, and so do we. */
#define MAX_ADAPTER_WITHOUT_APXA	63
#define MAX_DOMAIN_WITHOUT_APXA		15

/* Hardware types; all before CEX4 are gone from Linux. */
#define TYPE_CEX4		10
#define TYPE_CEX8		14
#define CEX_GENERATION(type)	((type) - 6)

static struct {
	bool apqci, apft, apqi;
} facility;

static struct ap_config config;

static struct tally {
	unsigned int	queues;		/* that operate, so were asked */
	unsigned int	idle;		/* deconfigured or checkstopped */
	unsigned int	unknown;	/* of unknown type: not recognised */
	unsigned int	failures;
	enum end	first_failure;
	bool		interrupts_tried;
} tally;

/* ---- finding queues ---------------------------------------------------- */

struct queue {
	unsigned int	apqn;
	unsigned int	rc;		/* TAPQ's */
	uint64_t	info;
};

/* As Linux probes: a TAPQ of 00.0000, whatever it answers, must be executed. */
static bool ap_instructions_installed(void)
{
	uint64_t info;
	unsigned int code;

	expect_program_interruption();
	tapq(APQN(0, 0), false, &info);
	code = program_interruption_code();
	/* Only this one means that they are not; another is a fault. */
	if (code && code != PGM_OPERATION)
		unexpected_program_interruption();
	return !code;
}

/* The response codes with which TAPQ describes a queue, as a status. */
static const char *const states[] = {
	[AP_NORMAL] = "online",
	[AP_RESET_IN_PROGRESS] = "reset",
	[AP_DECONFIGURED] = "deconfig",
	[AP_CHECKSTOPPED] = "chkstop",
	[AP_BUSY] = "busy",
};

/* Fills `queue` for its APQN. False: there is no such queue for us. */
static bool find_queue(struct queue *queue)
{
	struct patience patience = new_patience();

	do {
		struct ap_result result;

		result = tapq(queue->apqn, facility.apft, &queue->info);
		queue->rc = AP_RC(result.status);
	} while ((queue->rc == AP_RESET_IN_PROGRESS || queue->rc == AP_BUSY) &&
		 try_again(&patience));

	return queue->rc < sizeof(states) / sizeof(states[0]) && states[queue->rc];
}

static bool test_mask(const uint8_t *mask, unsigned int id)
{
	return mask[id / 8] & 0x80 >> id % 8;
}

/* Calls `visit` for every queue of the configuration, by ascending APQN. */
static void for_each_queue(void (*visit)(const struct queue *queue))
{
	unsigned int apid, apqi;

	for (apid = 0; apid <= config.max_adapter; apid++) {
		if (!test_mask(config.apm, apid))
			continue;
		for (apqi = 0; apqi <= config.max_domain; apqi++) {
			struct queue queue = { .apqn = APQN(apid, apqi) };

			if (test_mask(config.aqm, apqi) && find_queue(&queue))
				visit(&queue);
		}
	}
}

/* ---- what there is ----------------------------------------------------- */

static void print_machine(void)
{
	uint64_t id = stidp();

	print("apcheck " APCHECK_VERSION ": which AP queues does this guest have?\n");
	print("cpu: machine type %04lx, version %02lx, id %06lx\n",
	      id >> 16 & 0xffff, id >> 56, id >> 32 & 0xffffff);
	print("facilities: 12 (apqci) %s, 15 (apft) %s, 65 (apqi) %s\n",
	      facility.apqci ? "on" : "off", facility.apft ? "on" : "off",
	      facility.apqi ? "on" : "off");
}

static void print_mask(const char *name, const uint8_t *mask)
{
	unsigned int i;

	print("%s 0x", name);
	for (i = 0; i < sizeof(config.apm); i++)
		print("%02x", mask[i]);
	print("\n");
}

static void print_config(void)
{
	print("configuration: flags %08x%s%s%s%s%s, max adapter %u, max domain %u\n",
	      config.flags,
	      config.flags & AP_CONFIG_APSC ? " APSC" : "",
	      config.flags & AP_CONFIG_APXA ? " APXA" : "",
	      config.flags & AP_CONFIG_QACT ? " QACT" : "",
	      config.flags & AP_CONFIG_RC8A ? " RC8A" : "",
	      config.flags & AP_CONFIG_APSB ? " APSB" : "",
	      config.max_adapter, config.max_domain);
	print_mask("APM", config.apm);
	print_mask("AQM", config.aqm);
	print_mask("ADM", config.adm);
}

/* Fills `config`, by QCI or, without it, by what Linux then assumes. */
static void read_config(void)
{
	unsigned int i;

	if (facility.apqci) {
		qci(&config);
		print_config();
	} else {
		print("facility 12 is off: no QCI, only adapters 0-%u and domains 0-%u are tried\n",
		      MAX_ADAPTER_WITHOUT_APXA, MAX_DOMAIN_WITHOUT_APXA);
		for (i = 0; i < sizeof(config.apm); i++)
			config.apm[i] = config.aqm[i] = 0xff;
	}
	/* Without APXA the maxima are not given, and the ids end here. */
	if (!(config.flags & AP_CONFIG_APXA)) {
		config.max_adapter = MAX_ADAPTER_WITHOUT_APXA;
		config.max_domain = MAX_DOMAIN_WITHOUT_APXA;
	}
}

static void print_row(const char *id, const struct queue *queue)
{
	unsigned int type = AP_INFO_TYPE(queue->info);
	const char *mode = "EP11-Coproc";
	char letter = 'P';

	/* As zcrypt_cex4_card_probe: the first of these that is there wins. */
	if (queue->info & AP_INFO_ACCEL) {
		mode = "Accelerator";
		letter = 'A';
	} else if (queue->info & AP_INFO_CCA) {
		mode = "CCA-Coproc";
		letter = 'C';
	}
	print("%-11s ", id);
	if (type >= TYPE_CEX4 && type <= TYPE_CEX8)
		print("CEX%u%c", CEX_GENERATION(type), letter);
	else
		print("%-5s", "-");
	/* No request has been sent yet; of a deconfigured one none is counted. */
	print(" %-11s %-7s %8s\n", mode, states[queue->rc],
	      queue->rc == AP_DECONFIGURED ? "-" : "0");
}

static void hex(char *to, unsigned int digits, unsigned int value)
{
	while (digits--) {
		to[digits] = "0123456789abcdef"[value & 0xf];
		value >>= 4;
	}
}

/*
 * Whether Linux would use the queue: zcrypt_cex4_card_probe wants to know what
 * the adapter can do, and only a TAPQ with the T bit (facility 15) tells.
 */
static bool is_recognised(const struct queue *queue)
{
	return queue->info & (AP_INFO_CCA | AP_INFO_ACCEL | AP_INFO_EP11);
}

/* A row of the table, and before an adapter's first queue one for itself. */
static unsigned int last_apid;

static void show(const struct queue *queue)
{
	char id[] = "xx.xxxx";

	if (!is_recognised(queue)) {
		tally.unknown++;
		return;
	}
	hex(id, 2, APID(queue->apqn));
	if (APID(queue->apqn) != last_apid) {
		last_apid = APID(queue->apqn);
		id[2] = '\0';
		print_row(id, queue);
		id[2] = '.';
	}
	hex(id + 3, 4, APQI(queue->apqn));
	print_row(id, queue);
}

static void print_table(void)
{
	last_apid = -1;
	print("%-11s %-5s %-11s %-7s %8s\n",
	      "CARD.DOMAIN", "TYPE", "MODE", "STATUS", "REQUESTS");
	print("----------------------------------------------\n");
	for_each_queue(show);
	if (tally.unknown)
		print("%u queues of unknown mode, not used%s\n",
		      tally.unknown,
		      facility.apft ? "" : ": facility 15 is off");
}

/* ---- asking them ------------------------------------------------------- */

static void fail(enum end how)
{
	if (!tally.failures++)
		tally.first_failure = how;
}

static void ask(const struct queue *queue)
{
	/* The letters of "apcheck", and a byte for the queue. */
	uint64_t psmid = 0x6170636865636b00 + tally.queues;
	enum end how;

	if (!is_recognised(queue))
		return;
	if (queue->rc == AP_DECONFIGURED || queue->rc == AP_CHECKSTOPPED) {
		tally.idle++;
		return;
	}
	tally.queues++;
	print("%02x.%04x: ", APID(queue->apqn), APQI(queue->apqn));
	if (queue->rc != AP_NORMAL) {
		print("FAILED, TAPQ: still response code %02x\n", queue->rc);
		fail(END_QUEUE_NOT_READY);
		return;
	}
	how = send_and_receive(queue->apqn, psmid);
	if (how != END_OK)
		fail(how);
	else if (facility.apqi && !tally.interrupts_tried) {
		tally.interrupts_tried = true;
		try_interrupts(queue->apqn);
	}
}

/* ---- the whole --------------------------------------------------------- */

/* Finds the queues there are now, shows and asks them, and sums up. */
static void check(void)
{
	tally = (struct tally) { 0 };
	read_config();
	print_table();
	for_each_queue(ask);

	if (tally.idle)
		print("%u queues are deconfigured or checkstopped and were not asked\n",
		      tally.idle);
	if (tally.failures)
		print("apcheck: FAILED: %u of %u queues\n",
		      tally.failures, tally.queues);
	else if (tally.queues)
		print("apcheck: %u queues, all answered\n", tally.queues);
	else
		print("apcheck: 0 queues, nothing to ask\n");
}

/* Checks again at each change, until we are told to power off. */
static void watch(void)
{
	sclp_receive_quiesce();
	enable_channel_reports();
	print("apcheck: watching\n");
	while (sclp_wait() != SCLP_QUIESCE) {
		print("machine check: interruption code %016lx\n",
		      lowcore.machine_check_code);
		if (css_ap_configuration_changed()) {
			check();
			print("apcheck: watching\n");
		}
	}
	print("apcheck: told to power off\n");
}

_Noreturn void main(void)
{
	bool watching;

	set_up_interruptions();
	sclp_open_console();
	watching = sclp_loadparm_is("WATCH");

	facility.apqci = test_facility(12);
	facility.apft = test_facility(15);
	facility.apqi = test_facility(65);
	print_machine();

	if (!ap_instructions_installed()) {
		print("AP instructions are not installed in this configuration (ap=off)\n");
		end(END_OK);
	}

	check();
	if (watching)
		watch();
	/* Of the last check; if all went well it is END_OK. */
	end(tally.first_failure);
}
