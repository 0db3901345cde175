/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Names and layouts are those of Linux' drivers/s390/char/sclp.h and
 * sclp_rw.h, where the format is public.
 */
#include <stdbool.h>
#include <stdint.h>

#include "end.h"
#include "lowcore.h"
#include "machine.h"
#include "sclp.h"

#define CMDW_READ_SCP_INFO	0x00020001
#define CMDW_WRITE_EVENT_DATA	0x00760005
#define CMDW_READ_EVENT_DATA	0x00770005
#define CMDW_WRITE_EVENT_MASK	0x00780005

#define RESPONSE_READ		0x0010
#define RESPONSE_OK		0x0020

#define EVTYP_MSG		0x02
#define EVTYP_VT220MSG		0x1a
#define EVTYP_SIGQUIESCE	0x1d
#define EVTYP_MASK(type)	(1u << (32 - (type)))

#define EXT_IRQ_CPU_TIMER	0x1005
#define EXT_IRQ_SERVICE_SIG	0x2401
#define CR0_CPU_TIMER		0x400
#define CR0_SERVICE_SIGNAL	0x200
/* Of the parameter of a service signal, beside the address of an SCCB. */
#define EVENT_PENDING		0x1

/* CPU timer units: bit 51 is a microsecond. */
#define TEN_SECONDS		(10000000UL << 12)
#define MAX_BUSY		1000
#define MAX_OTHER_INTERRUPTIONS	100

struct sccb_header {
	uint16_t	length;
	uint8_t		function_code;
	uint8_t		control_mask[3];
	uint16_t	response_code;
};

struct read_info_sccb {
	struct sccb_header header;
	uint8_t		unused_08[0x18 - 0x08];
	uint8_t		loadparm[8];
	uint8_t		unused_20[0x1000 - 0x20];
};

struct event_mask_sccb {
	struct sccb_header header;
	uint16_t	reserved;
	uint16_t	mask_length;
	uint32_t	receive_mask;
	uint32_t	send_mask;
	uint32_t	sclp_receive_mask;
	uint32_t	sclp_send_mask;
};

struct event_header {
	uint16_t	length;
	uint8_t		type;
	uint8_t		flags;
	uint16_t	reserved;
} __attribute__((packed));

/* Events are read by the page. */
struct event_sccb {
	struct sccb_header header;
	struct event_header event;
	uint8_t		data[0x1000 - 14];
} __attribute__((packed));

/* ASCII console: the text as it is. */
struct ascii_sccb {
	struct sccb_header header;
	struct event_header event;
	char		text[SCLP_LINE_MAX + 1];
} __attribute__((packed));

/*
 * Line mode: a message data block (MDB) of a general object and, for each
 * line, a message text object (MTO) in EBCDIC.
 */
struct mdb_header {
	uint16_t	length;
	uint16_t	type;
	uint32_t	tag;
	uint32_t	revision_code;
} __attribute__((packed));

struct general_object {
	uint16_t	length;
	uint16_t	type;
	uint8_t		unused[52];
} __attribute__((packed));

struct message_text_object {
	uint16_t	length;
	uint16_t	type;
	uint16_t	line_type_flags;
	uint8_t		alarm_control;
	uint8_t		reserved[3];
	uint8_t		text[SCLP_LINE_MAX];
} __attribute__((packed));

struct line_mode_sccb {
	struct sccb_header header;
	struct event_header event;
	struct mdb_header mdb;
	struct general_object go;
	struct message_text_object mto;
} __attribute__((packed));

#define MDB_TYPE		1
#define MDB_TAG			0xd4c4c240	/* "MDB " in EBCDIC */
#define MDB_REVISION		1
#define GO_TYPE			1
#define MTO_TYPE		4
#define MTO_END_OF_TEXT		0x1000

/*
 * One SCCB for all. It must lie on an 8-byte boundary below 2 GiB, not in the
 * first 8 KiB, and not cross a page.
 */
static union {
	struct sccb_header header;
	struct read_info_sccb read_info;
	struct event_mask_sccb mask;
	struct event_sccb event;
	struct ascii_sccb ascii;
	struct line_mode_sccb line_mode;
} __attribute__((aligned(4096))) sccb;

_Static_assert(sizeof(sccb) == 4096, "an SCCB must not cross a page");
_Static_assert(offsetof(struct read_info_sccb, loadparm) == 24, "");
_Static_assert(sizeof(struct general_object) == 56, "");

static bool ascii_console;

/* The SCLP has said that an event waits to be read. */
static bool event_pending;

/* EBCDIC code page 500, from blank to tilde. */
static const uint8_t ebcdic[] = {
	0x40, 0x4f, 0x7f, 0x7b, 0x5b, 0x6c, 0x50, 0x7d,
	0x4d, 0x5d, 0x5c, 0x4e, 0x6b, 0x60, 0x4b, 0x61,
	0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
	0xf8, 0xf9, 0x7a, 0x5e, 0x4c, 0x7e, 0x6e, 0x6f,
	0x7c, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
	0xc8, 0xc9, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
	0xd7, 0xd8, 0xd9, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6,
	0xe7, 0xe8, 0xe9, 0x4a, 0xe0, 0x5a, 0x5f, 0x6d,
	0x79, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
	0x88, 0x89, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96,
	0x97, 0x98, 0x99, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6,
	0xa7, 0xa8, 0xa9, 0xc0, 0xbb, 0xd0, 0xa1,
};


static void load_cr0(uint64_t value)
{
	asm volatile("lctlg %%c0,%%c0,%0" : : "Q" (value));
}

static void set_cpu_timer(uint64_t value)
{
	asm volatile("spt %0" : : "Q" (value));
}

/* SERVICE CALL. Returns the condition code: 0 begun, 2 busy, 3 no SCLP. */
static unsigned int servc(uint32_t command)
{
	unsigned int cc;

	asm volatile(
		"	.insn	rre,0xb2200000,%[command],%[sccb]\n"
		"	ipm	%[cc]\n"
		"	srl	%[cc],28\n"
		: [cc] "=d" (cc)
		: [command] "d" (command), [sccb] "a" (&sccb)
		: "cc", "memory");
	return cc;
}

static void note_service_signal(void)
{
	if (lowcore.external_parameter & EVENT_PENDING)
		event_pending = true;
}

/*
 * The SCLP says by a service signal that it is done with our SCCB. Signals
 * for other reasons, and stray external interruptions, are passed over. The
 * CPU timer wakes us if none comes.
 */
static bool wait_for_service_signal(void)
{
	unsigned int i, code;

	set_cpu_timer(TEN_SECONDS);
	for (i = 0; i < MAX_OTHER_INTERRUPTIONS; i++) {
		code = wait_external();
		if (code == EXT_IRQ_CPU_TIMER)
			return false;
		if (code != EXT_IRQ_SERVICE_SIG)
			continue;
		note_service_signal();
		if ((lowcore.external_parameter & ~7u) == (uintptr_t)&sccb)
			return true;
	}
	return false;
}

/* Has the SCLP execute `command` on the SCCB. Whether it answers `response`. */
static bool try_call(uint32_t command, uint16_t response)
{
	unsigned int i, cc = 2;

	for (i = 0; i < MAX_BUSY && cc == 2; i++)
		cc = servc(command);
	return !cc && wait_for_service_signal() &&
	       sccb.header.response_code == response;
}

/* The same, for what nothing can be told without. */
static void call(uint32_t command)
{
	if (!try_call(command, RESPONSE_OK))
		end(END_CONSOLE);
}

/* Says what we send, which is text, and what we want to be told. */
static void write_event_mask(uint32_t receive_mask)
{
	sccb.mask = (struct event_mask_sccb) {
		.header.length = sizeof(sccb.mask),
		.mask_length = sizeof(sccb.mask.send_mask),
		.receive_mask = receive_mask,
		.send_mask = EVTYP_MASK(EVTYP_VT220MSG) | EVTYP_MASK(EVTYP_MSG),
	};
	call(CMDW_WRITE_EVENT_MASK);
}

void sclp_open_console(void)
{
	load_cr0(CR0_CPU_TIMER | CR0_SERVICE_SIGNAL);
	write_event_mask(0);

	ascii_console = sccb.mask.sclp_receive_mask & EVTYP_MASK(EVTYP_VT220MSG);
	if (!ascii_console &&
	    !(sccb.mask.sclp_receive_mask & EVTYP_MASK(EVTYP_MSG)))
		end(END_CONSOLE);
}

bool sclp_loadparm_is(const char *word)
{
	unsigned int i;

	sccb.header = (struct sccb_header) { .length = sizeof(sccb.read_info) };
	if (!try_call(CMDW_READ_SCP_INFO, RESPONSE_READ))
		return false;
	for (i = 0; i < sizeof(sccb.read_info.loadparm); i++) {
		unsigned int c = *word ? *word++ : ' ';

		if (sccb.read_info.loadparm[i] != ebcdic[c - ' '])
			return false;
	}
	return !*word;
}

void sclp_receive_quiesce(void)
{
	write_event_mask(EVTYP_MASK(EVTYP_SIGQUIESCE));
}

/* Whether the event that waits is the request to power off. */
static bool read_quiesce(void)
{
	event_pending = false;
	sccb.header = (struct sccb_header) { .length = sizeof(sccb.event) };
	return try_call(CMDW_READ_EVENT_DATA, RESPONSE_OK) &&
	       sccb.event.event.type == EVTYP_SIGQUIESCE;
}

enum sclp_woken sclp_wait(void)
{
	for (;;) {
		enum interruption interruption;

		if (event_pending && read_quiesce())
			return SCLP_QUIESCE;
		/* The timer is for calls; here it would have us wake for nothing. */
		load_cr0(CR0_SERVICE_SIGNAL);
		interruption = wait_external_or_machine_check();
		load_cr0(CR0_CPU_TIMER | CR0_SERVICE_SIGNAL);
		if (interruption == MACHINE_CHECK)
			return SCLP_MACHINE_CHECK;
		note_service_signal();
	}
}

static void write_ascii(const char *text, unsigned int length)
{
	struct ascii_sccb *s = &sccb.ascii;
	unsigned int unused = SCLP_LINE_MAX - length, i;

	*s = (struct ascii_sccb) {
		.header.length = sizeof(*s) - unused,
		.event.length = sizeof(*s) - unused - sizeof(s->header),
		.event.type = EVTYP_VT220MSG,
	};
	for (i = 0; i < length; i++)
		s->text[i] = text[i];
	/* No carriage return, as in Linux' early console: logs read better. */
	s->text[length] = '\n';
	call(CMDW_WRITE_EVENT_DATA);
}

static void write_line_mode(const char *text, unsigned int length)
{
	struct line_mode_sccb *s = &sccb.line_mode;
	unsigned int unused = SCLP_LINE_MAX - length, i;

	*s = (struct line_mode_sccb) {
		.header.length = sizeof(*s) - unused,
		.event.length = sizeof(*s) - unused - sizeof(s->header),
		.event.type = EVTYP_MSG,
		.mdb.length = sizeof(s->mdb) + sizeof(s->go) +
			      sizeof(s->mto) - unused,
		.mdb.type = MDB_TYPE,
		.mdb.tag = MDB_TAG,
		.mdb.revision_code = MDB_REVISION,
		.go.length = sizeof(s->go),
		.go.type = GO_TYPE,
		.mto.length = sizeof(s->mto) - unused,
		.mto.type = MTO_TYPE,
		.mto.line_type_flags = MTO_END_OF_TEXT,
	};
	for (i = 0; i < length; i++) {
		unsigned int c = text[i];

		/* What is not printable shows as a full stop. */
		s->mto.text[i] = c >= ' ' && c <= '~' ? ebcdic[c - ' '] : 0x4b;
	}
	call(CMDW_WRITE_EVENT_DATA);
}

void sclp_write_line(const char *text, unsigned int length)
{
	if (ascii_console)
		write_ascii(text, length);
	else
		write_line_mode(text, length);
}
