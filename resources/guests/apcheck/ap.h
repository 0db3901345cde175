/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The AP instructions. Registers, bits and response codes are those of Linux'
 * arch/s390/include/asm/ap.h; no other description of them is public.
 */
#ifndef AP_H
#define AP_H

#include <stdbool.h>
#include <stdint.h>

#define APQN(apid, apqi)	((apid) << 8 | (apqi))
#define APID(apqn)		((apqn) >> 8)
#define APQI(apqn)		((apqn) & 0xff)

/* Response codes. */
#define AP_NORMAL		0x00
#define AP_NOT_AVAILABLE	0x01
#define AP_RESET_IN_PROGRESS	0x02
#define AP_DECONFIGURED		0x03
#define AP_CHECKSTOPPED		0x04
#define AP_BUSY			0x05
/* NQAP: the queue is full. DQAP: there is no reply. */
#define AP_NOTHING_NOW		0x10

/* The status word an AP instruction leaves in general register 1. */
#define AP_STATUS_INTERRUPTS	0x01000000
#define AP_RC(status)		((status) >> 16 & 0xff)

struct ap_result {
	/* 0 done, 3 see the response code; 1 or 2 not all done, go on. */
	unsigned int	cc;
	unsigned int	status;
};

/* What TAPQ tells of a queue's adapter when asked with the T bit. */
#define AP_INFO_CCA		(1UL << (63 - 3))
#define AP_INFO_ACCEL		(1UL << (63 - 4))
#define AP_INFO_EP11		(1UL << (63 - 5))
#define AP_INFO_TYPE(info)	((info) >> 24 & 0xff)

/* The answer of QCI. */
struct ap_config {
	uint32_t	flags;
	uint8_t		max_adapter;
	uint8_t		max_domain;
	uint8_t		reserved_006[10];
	uint8_t		apm[32];
	uint8_t		aqm[32];
	uint8_t		adm[32];
	uint8_t		reserved_112[16];
} __attribute__((aligned(8)));

_Static_assert(sizeof(struct ap_config) == 128, "QCI stores 128 bytes");

#define AP_CONFIG_APSC		0x80000000
#define AP_CONFIG_APXA		0x40000000
#define AP_CONFIG_QACT		0x20000000
#define AP_CONFIG_RC8A		0x10000000
#define AP_CONFIG_APSB		0x00800000

/* Test AP queue. With `t` (needs facility 15) `info` is filled, else it is 0. */
struct ap_result tapq(unsigned int apqn, bool t, uint64_t *info);

/* Query AP configuration information (needs facility 12). */
struct ap_result qci(struct ap_config *config);

/*
 * AP-queue interruption control (needs facility 65). Enabled, the adapter sets
 * the byte `indicator` and raises an interruption of subclass `isc`.
 */
struct ap_result aqic(unsigned int apqn, bool enable, unsigned int isc,
		      uint8_t *indicator);

/* Enqueues a message; `psmid` comes back with its reply. */
struct ap_result nqap(unsigned int apqn, uint64_t psmid, const void *message,
		      unsigned long length);

struct ap_reply {
	uint64_t	psmid;
	unsigned long	length;
	/* The reply is longer than the buffer: `length` bytes of it are here. */
	bool		truncated;
};

/* Dequeues a reply into `size` bytes at `buffer`. */
struct ap_result dqap(unsigned int apqn, void *buffer, unsigned long size,
		      struct ap_reply *reply);

#endif /* AP_H */
