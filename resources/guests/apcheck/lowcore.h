/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The first bytes of memory, where machine and program exchange PSWs on an
 * interruption: z/Architecture Principles of Operation, "Assigned Storage
 * Locations". Only what apcheck uses has a name.
 */
#ifndef LOWCORE_H
#define LOWCORE_H

#define LC_EXTERNAL_CODE	0x086
#define LC_PROGRAM_CODE		0x08e
#define LC_PROGRAM_OLD_PSW	0x150
#define LC_EXTERNAL_NEW_PSW	0x1b0
#define LC_MACHINE_CHECK_NEW_PSW	0x1e0
/* From here to 0x1200 the machine leaves memory to the program. */
#define LC_SCRATCH		0x200

/* EA and BA together: 64-bit addressing. All interruptions disabled. */
#define PSW_64BIT		0x0000000180000000
#define PSW_WAIT		0x0002000000000000
#define PSW_EXTERNAL		0x0100000000000000
#define PSW_MACHINE_CHECK	0x0004000000000000

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

struct psw {
	uint64_t mask;
	uint64_t addr;
};

struct lowcore {
	uint8_t		reserved_000[0x080];
	uint32_t	external_parameter;
	uint16_t	external_cpu;
	uint16_t	external_code;
	uint8_t		reserved_088[0x08e - 0x088];
	uint16_t	program_code;
	uint8_t		reserved_090[0x0e8 - 0x090];
	uint64_t	machine_check_code;
	uint8_t		reserved_0f0[0x150 - 0x0f0];
	struct psw	program_old;
	uint8_t		reserved_160[0x1a0 - 0x160];
	struct psw	restart_new;
	struct psw	external_new;
	struct psw	supervisor_call_new;
	struct psw	program_new;
	struct psw	machine_check_new;
	struct psw	io_new;
};

_Static_assert(offsetof(struct lowcore, external_code) == LC_EXTERNAL_CODE, "");
_Static_assert(offsetof(struct lowcore, program_code) == LC_PROGRAM_CODE, "");
_Static_assert(offsetof(struct lowcore, program_old) == LC_PROGRAM_OLD_PSW, "");
_Static_assert(offsetof(struct lowcore, external_new) == LC_EXTERNAL_NEW_PSW, "");
_Static_assert(offsetof(struct lowcore, machine_check_new) == LC_MACHINE_CHECK_NEW_PSW, "");
_Static_assert(offsetof(struct lowcore, io_new) == 0x1f0, "");

/*
 * At address 0, by the linker script: to the compiler a pointer made of 0 is
 * a null pointer, a symbol is not. Volatile, for the machine writes it too.
 */
extern volatile struct lowcore lowcore;

#endif /* __ASSEMBLER__ */
#endif /* LOWCORE_H */
