/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * How apcheck ends: in a disabled wait whose PSW address says how it went.
 * The addresses are even, as a PSW's should be, and no code lies at any.
 */
#ifndef END_H
#define END_H

enum end {
	/* All went well, or there is nothing to check (no AP instructions). */
	END_OK = 0x00,
	/* A program interruption that was not expected; the console shows it. */
	END_PROGRAM_INTERRUPTION = 0x10,
	/* A reply is not the message, or carries another PSMID. */
	END_WRONG_REPLY = 0x20,
	/* No SCLP console, or it does not take what is written to it. */
	END_CONSOLE = 0x30,
	/* A queue took the message, but did not answer it in time. */
	END_NO_REPLY = 0x40,
	/* A queue refused NQAP or DQAP; the console shows the response code. */
	END_QUEUE_REFUSED = 0x50,
	/* TAPQ kept saying busy or reset in progress. */
	END_QUEUE_NOT_READY = 0x60,
	/* A restart, supervisor-call, machine-check or I/O interruption. */
	END_OTHER_INTERRUPTION = 0x70,
};

_Noreturn void end(enum end how);

#endif /* END_H */
