/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Channel reports and event information as Linux fetches them: see
 * drivers/s390/cio/crw.c and chsc.c.
 */
#include <stddef.h>
#include <stdint.h>

#include "css.h"
#include "print.h"

/* Of a channel report word: its source, and the channel subsystem as that. */
#define CRW_SOURCE(word)	((word) >> 24 & 0xf)
#define CRW_SOURCE_CSS		0xb

#define CHSC_STORE_EVENT	0x000e
#define CHSC_DONE		0x0001
#define MORE_EVENTS		0x80

/* What an event of notification type 0 tells. */
#define SOURCE_ADAPTER		5
#define CONTENT_AP_CONFIG	3

static struct {
	uint16_t	length;
	uint16_t	command;
	uint8_t		reserved_004[4];
	uint64_t	notification_types;
	/* The answer. */
	uint16_t	response_length;
	uint16_t	response_code;
	uint8_t		reserved_014[3];
	uint8_t		notification_type;
	uint8_t		flags;
	uint8_t		validity;
	uint8_t		source;
	uint8_t		content;
	uint8_t		reserved_01c[4096 - 28];
} __attribute__((aligned(4096))) event;

_Static_assert(sizeof(event) == 4096, "it is a page");

/* STORE CHANNEL REPORT WORD. Returns the condition code: 0 there was one. */
static unsigned int stcrw(uint32_t *word)
{
	unsigned int cc;

	asm volatile(
		"	stcrw	%[word]\n"
		"	ipm	%[cc]\n"
		"	srl	%[cc],28\n"
		: [cc] "=d" (cc), [word] "=Q" (*word)
		:
		: "cc");
	return cc;
}

/* CHANNEL SUBSYSTEM CALL. Returns the condition code: 0 it is answered. */
static unsigned int chsc(void *block)
{
	unsigned int cc;

	asm volatile(
		"	.insn	rre,0xb25f0000,%[block],0\n"
		"	ipm	%[cc]\n"
		"	srl	%[cc],28\n"
		: [cc] "=d" (cc)
		: [block] "d" (block)
		: "cc", "memory");
	return cc;
}

/* Asks for an event. Returns the response code, 0 if there is no answer. */
static unsigned int store_event(void)
{
	event.length = offsetof(typeof(event), response_length);
	event.command = CHSC_STORE_EVENT;
	/* All types; type 0 can't be left out. */
	event.notification_types = ~0UL;
	event.response_code = 0;
	chsc(&event);
	return event.response_code;
}

/* Prints the events there are; returns whether the one was among them. */
static bool fetch_events(void)
{
	bool changed = false;
	unsigned int code;

	do {
		code = store_event();
		if (code != CHSC_DONE) {
			print("event information: response code %04x\n", code);
			break;
		}
		print("event: notification type %u, source %u, content %u\n",
		      event.notification_type, event.source, event.content);
		if (event.notification_type == 0 &&
		    event.source == SOURCE_ADAPTER &&
		    event.content == CONTENT_AP_CONFIG)
			changed = true;
	} while (event.flags & MORE_EVENTS);
	return changed;
}

bool css_ap_configuration_changed(void)
{
	bool changed = false;
	uint32_t word;

	while (!stcrw(&word)) {
		print("channel report: %08x\n", word);
		if (CRW_SOURCE(word) == CRW_SOURCE_CSS && fetch_events())
			changed = true;
	}
	return changed;
}
