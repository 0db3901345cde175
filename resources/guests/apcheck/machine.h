/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The CPU apart from AP: interruptions, facilities, time. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define PGM_OPERATION	0x0001

/* Without this an interruption goes astray. */
void set_up_interruptions(void);

/* Waits for an external interruption; returns its code. */
unsigned int wait_external(void);

enum interruption { EXTERNAL_INTERRUPTION, MACHINE_CHECK };

/* Waits for one of both. */
enum interruption wait_external_or_machine_check(void);

/* Machine checks may come that say that a channel report is pending. */
void enable_channel_reports(void);

/*
 * Between these two, one program interruption that suppresses its instruction
 * may happen. The second returns its code, 0 if there was none.
 */
void expect_program_interruption(void);
unsigned int program_interruption_code(void);

/* Shows the latest program interruption and ends apcheck. */
_Noreturn void unexpected_program_interruption(void);

/* The CPU id: version (8 bits), identification (24), type (16), format (16). */
uint64_t stidp(void);

/* Whether facility `number`, below 256, is installed. */
bool test_facility(unsigned int number);

/*
 * How long something is tried again: five seconds, or, should the clock
 * stand still, very many times.
 */
struct patience {
	uint64_t	since;
	unsigned int	tries;
};

struct patience new_patience(void);
bool try_again(struct patience *patience);

#endif /* MACHINE_H */
