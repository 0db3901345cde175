/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The console, through the service-call logical processor (SCLP): the ASCII
 * console where there is one, else the line-mode console.
 */
#ifndef SCLP_H
#define SCLP_H

#include <stdbool.h>

/* The longest line, without its end, that sclp_write_line takes. */
#define SCLP_LINE_MAX	256

/* Finds a console. Without one apcheck ends with END_CONSOLE. */
void sclp_open_console(void);

/* Writes a line; `text` is ASCII and has no newline. */
void sclp_write_line(const char *text, unsigned int length);

/* Whether the loader's parameter is `word`, of at most 8 capital letters. */
bool sclp_loadparm_is(const char *word);

/* From now on we want to be told to power off. */
void sclp_receive_quiesce(void);

enum sclp_woken { SCLP_QUIESCE, SCLP_MACHINE_CHECK };

/* Waits for a machine check, or to be told to power off. */
enum sclp_woken sclp_wait(void);

#endif /* SCLP_H */
