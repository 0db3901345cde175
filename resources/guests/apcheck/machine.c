/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "end.h"
#include "lowcore.h"
#include "machine.h"
#include "print.h"

void program_interruption(void);

/* Between C and the handler in start.S. */
volatile uint32_t program_interruption_expected;
volatile uint32_t program_interruption_seen;

_Noreturn void end(enum end how)
{
	struct psw psw = { PSW_64BIT | PSW_WAIT, how };

	asm volatile("lpswe %0" : : "Q" (psw) : "memory");
	__builtin_unreachable();
}

void unexpected_program_interruption(void)
{
	/* One while this is printed would bring us here again. */
	lowcore.program_new.mask = PSW_64BIT | PSW_WAIT;
	lowcore.program_new.addr = END_PROGRAM_INTERRUPTION;

	print("\napcheck: FAILED: program interruption %04x at PSW %016lx %016lx\n",
	      lowcore.program_code, lowcore.program_old.mask,
	      lowcore.program_old.addr);
	end(END_PROGRAM_INTERRUPTION);
}

void set_up_interruptions(void)
{
	struct psw other = { PSW_64BIT | PSW_WAIT, END_OTHER_INTERRUPTION };

	lowcore.restart_new = other;
	lowcore.supervisor_call_new = other;
	lowcore.machine_check_new = other;
	lowcore.io_new = other;
	lowcore.program_new.mask = PSW_64BIT;
	lowcore.program_new.addr = (uintptr_t)program_interruption;
	/* Its address is wait_external's to set. */
	lowcore.external_new.mask = PSW_64BIT;
}

/* Of control register 14: what it is after a reset, and channel reports. */
#define CR14_RESET		0xc2000000UL
#define CR14_CHANNEL_REPORT	0x10000000UL

void enable_channel_reports(void)
{
	uint64_t cr14 = CR14_RESET | CR14_CHANNEL_REPORT;

	/* Its address is that of wait_external_or_machine_check. */
	lowcore.machine_check_new.mask = PSW_64BIT;
	asm volatile("lctlg %%c14,%%c14,%0" : : "Q" (cr14));
}

void expect_program_interruption(void)
{
	program_interruption_seen = 0;
	program_interruption_expected = true;
}

unsigned int program_interruption_code(void)
{
	program_interruption_expected = false;
	return program_interruption_seen;
}

uint64_t stidp(void)
{
	uint64_t id;

	asm volatile("stidp %0" : "=Q" (id));
	return id;
}

bool test_facility(unsigned int number)
{
	static uint64_t list[4];
	register uint64_t r0 asm("0") = sizeof(list) / sizeof(list[0]) - 1;

	asm volatile("stfle %1" : "+d" (r0), "=Q" (list) : : "cc");
	return list[number / 64] >> (63 - number % 64) & 1;
}

/* Time of day: bit 51 is a microsecond. */
static uint64_t tod(void)
{
	uint64_t clock;

	asm volatile("stck %0" : "=Q" (clock) : : "cc");
	return clock;
}

/* The limits of patience: five seconds, or very many tries. */
#define PATIENCE_TIME	(5000000UL << 12)
#define PATIENCE_TRIES	100000000

struct patience new_patience(void)
{
	return (struct patience){ .since = tod() };
}

bool try_again(struct patience *patience)
{
	return tod() - patience->since < PATIENCE_TIME &&
	       ++patience->tries < PATIENCE_TRIES;
}
