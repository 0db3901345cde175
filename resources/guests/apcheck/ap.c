/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ap.h"

/* The assembler does not know the mnemonics. */
#define PQAP	".insn rre,0xb2af0000,0,0\n"
#define NQAP	".insn rre,0xb2ad0000,%%r4,%%r6\n"
#define DQAP	".insn rre,0xb2ae0000,%%r4,%%r6\n"
#define GET_CC	"ipm %[cc]\n" "srl %[cc],28\n"

/* General register 0 of PQAP: function code, T bit, APQN. */
#define FC(code)	((code) << 24)
#define TAPQ		FC(0UL)
#define AQIC		FC(3UL)
#define QCI		FC(4UL)
#define T_BIT		0x00800000

/* General register 0 of NQAP and DQAP. */
#define NQAP_LAST_PART	0x40000000
#define DQAP_FIRST_PART	0x80000000

/* AQIC's general register 1. */
#define AQIC_ENABLE	(1UL << (63 - 16))

/* A part done is progress; so many parts are none. */
#define MAX_PARTS	1000

static struct ap_result pqap(uint64_t function, uint64_t *gr1, uint64_t *gr2)
{
	register uint64_t r0 asm("0") = function;
	register uint64_t r1 asm("1") = *gr1;
	register uint64_t r2 asm("2") = *gr2;
	struct ap_result result;

	asm volatile(PQAP GET_CC
		: [cc] "=&d" (result.cc), "+d" (r1), "+d" (r2)
		: "d" (r0)
		: "cc", "memory");
	*gr1 = r1;
	*gr2 = r2;
	result.status = r1;
	return result;
}

struct ap_result tapq(unsigned int apqn, bool t, uint64_t *info)
{
	uint64_t gr1 = 0;

	*info = 0;
	return pqap(TAPQ | (t ? T_BIT : 0) | apqn, &gr1, info);
}

struct ap_result qci(struct ap_config *config)
{
	uint64_t gr1 = 0, gr2 = (uintptr_t)config;

	return pqap(QCI, &gr1, &gr2);
}

struct ap_result aqic(unsigned int apqn, bool enable, unsigned int isc,
		      uint8_t *indicator)
{
	uint64_t gr1 = (enable ? AQIC_ENABLE : 0) | isc;
	uint64_t gr2 = (uintptr_t)indicator;

	return pqap(AQIC | apqn, &gr1, &gr2);
}

struct ap_result nqap(unsigned int apqn, uint64_t psmid, const void *message,
		      unsigned long length)
{
	register uint64_t r0 asm("0") = NQAP_LAST_PART | apqn;
	register uint64_t r1 asm("1") = 0;
	register uint64_t r4 asm("4") = psmid >> 32;
	register uint64_t r5 asm("5") = (uint32_t)psmid;
	register uint64_t r6 asm("6") = (uintptr_t)message;
	register uint64_t r7 asm("7") = length;
	struct ap_result result;
	unsigned int parts = 0;

	/* The registers keep how far it got: the same instruction goes on. */
	do {
		asm volatile(NQAP GET_CC
			: [cc] "=&d" (result.cc), "+d" (r1), "+d" (r6), "+d" (r7)
			: "d" (r0), "d" (r4), "d" (r5)
			: "cc", "memory");
	} while (result.cc == 2 && ++parts < MAX_PARTS);
	result.status = r1;
	return result;
}

struct ap_result dqap(unsigned int apqn, void *buffer, unsigned long size,
		      struct ap_reply *reply)
{
	register uint64_t r0 asm("0") = DQAP_FIRST_PART | apqn;
	register uint64_t r1 asm("1") = 0;
	register uint64_t r2 asm("2") = 0;	/* out: what is left */
	register uint64_t r4 asm("4") = 0;
	register uint64_t r5 asm("5") = 0;
	register uint64_t r6 asm("6") = (uintptr_t)buffer;
	register uint64_t r7 asm("7") = size;
	struct ap_result result;
	unsigned int parts = 0;

	do {
		asm volatile(DQAP GET_CC
			: [cc] "=&d" (result.cc), "+d" (r0), "+d" (r1), "+d" (r2),
			  "+d" (r4), "+d" (r5), "+d" (r6), "+d" (r7)
			:
			: "cc", "memory");
	} while ((result.cc == 1 || result.cc == 2) && r7 && ++parts < MAX_PARTS);
	result.status = r1;
	reply->psmid = r4 << 32 | (uint32_t)r5;
	reply->length = size - r7;
	reply->truncated = r2 != 0;
	return result;
}
