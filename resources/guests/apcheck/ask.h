/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What apcheck asks a queue to do. */
#ifndef ASK_H
#define ASK_H

#include <stdint.h>

#include "end.h"

/*
 * Sends one message through the queue, waits for the reply and judges it.
 * Prints how it went, to the end of the line; returns END_OK or the failure.
 */
enum end send_and_receive(unsigned int apqn, uint64_t psmid);

/*
 * Enables the queue's interruption and disables it again, and prints whether
 * that was accepted. None is taken: the PSW keeps I/O interruptions off. A
 * refusal is no failure: it depends on the host's interruption facilities too.
 */
void try_interrupts(unsigned int apqn);

#endif /* ASK_H */
