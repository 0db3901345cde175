/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Entry, and the two interruptions C cannot take by itself.
 *
 * The loader starts CPU 0 here in z/Architecture mode, 64-bit addressing, no
 * DAT, all interruptions disabled (PSW mask 0x180000000).
 */
#include "lowcore.h"

	.section .text.start, "ax", @progbits
	.globl	_start
_start:
	# A loader may leave anything in .bss; its ends are 256 bytes aligned.
	larl	%r2, bss_start
	larl	%r3, bss_end
0:	xc	0(256,%r2), 0(%r2)
	la	%r2, 256(%r2)
	clgr	%r2, %r3
	jl	0b

	# 160 bytes: the register save area the ELF ABI gives to a callee.
	larl	%r15, stack_end - 160
	brasl	%r14, main
	j	.			# main does not return

	.text
/*
 * Program interruption. An expected one is noted and the program goes on
 * with the next instruction: that is where the old PSW of a suppressed
 * instruction points, and only such are expected. An unexpected one is the
 * end, and told from a fresh stack.
 */
	.globl	program_interruption
program_interruption:
	stg	%r1, LC_SCRATCH
	lrl	%r1, program_interruption_expected
	ltr	%r1, %r1
	jz	1f
	llgh	%r1, LC_PROGRAM_CODE
	strl	%r1, program_interruption_seen
	lhi	%r1, 0
	strl	%r1, program_interruption_expected
	lg	%r1, LC_SCRATCH
	lpswe	LC_PROGRAM_OLD_PSW
1:	larl	%r15, stack_end - 160
	brasl	%r14, unexpected_program_interruption
	j	.			# nor does this

/*
 * unsigned int wait_external(void)
 *
 * Waits with external interruptions enabled; the one that comes goes on
 * behind the LPSWE, with nothing but the PSW changed. Returns its code.
 */
	.globl	wait_external
wait_external:
	larl	%r1, 2f
	stg	%r1, LC_EXTERNAL_NEW_PSW + 8
	larl	%r1, wait_psw
	lpswe	0(%r1)
2:	llgh	%r2, LC_EXTERNAL_CODE
	br	%r14

/*
 * enum interruption wait_external_or_machine_check(void)
 *
 * The same, with machine checks enabled too: a machine check changes no
 * register either.
 */
	.globl	wait_external_or_machine_check
wait_external_or_machine_check:
	larl	%r1, 3f
	stg	%r1, LC_EXTERNAL_NEW_PSW + 8
	larl	%r1, 4f
	stg	%r1, LC_MACHINE_CHECK_NEW_PSW + 8
	larl	%r1, wait_for_both_psw
	lpswe	0(%r1)
3:	lghi	%r2, 0			# EXTERNAL_INTERRUPTION
	br	%r14
4:	lghi	%r2, 1			# MACHINE_CHECK
	br	%r14

	.section .rodata
	.balign	8
wait_psw:
	.quad	PSW_64BIT | PSW_WAIT | PSW_EXTERNAL, 0
wait_for_both_psw:
	.quad	PSW_64BIT | PSW_WAIT | PSW_EXTERNAL | PSW_MACHINE_CHECK, 0

	.section .note.GNU-stack, "", @progbits
