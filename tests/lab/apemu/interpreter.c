// SPDX-License-Identifier: GPL-2.0-only
/*
 * apemu: general instructions, as many as a compiler makes for a z10, and the
 * few control instructions that a machine executes without its host. Operands
 * must be as the Principles of Operation want them; alignment is not looked at.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <asm/dis.h>
#include <asm/lowcore.h>
#include "apemu.h"
#include "guest.h"

/* Where an instruction has its operands. */
enum format {
	E, RR, RRE, RX, RXY, RI, RIL,
	RI_REL, RIL_REL,	/* the immediate is an address relative to the instruction */
	RS, RSY, S, SI, SIY, SIL, SS,
	RIE_R, RIE_I,		/* compare and branch */
	RIE_ROT,		/* rotate then */
};

/* The second operand; of instructions that write storage: how much. */
enum kind {
	NONE,
	REG, REG_U1, REG_U2, REG_U4, REG_S1, REG_S2, REG_S4,
	MEM_1, MEM_2, MEM_4, MEM_8, MEM_S1, MEM_S2, MEM_S4,
	IMM, IMM_U,		/* signed, unsigned */
	ADDR,
	/* A part of the first operand, whose halfword or word this is. */
	HH, HL, LH, LL, HF, LF,
};

enum operation {
	LOAD, LOAD_TEST, LOAD_COMPLEMENT, LOAD_NEGATIVE, LOAD_POSITIVE,
	LOAD_REVERSED, LOAD_ADDRESS, INSERT_BYTE, STORE, STORE_REVERSED,
	ADD, SUB, ADD_LOGICAL, SUB_LOGICAL, ADD_CARRY, SUB_BORROW, MULTIPLY,
	DIVIDE_SINGLE, DIVIDE_LOGICAL, MULTIPLY_LOGICAL,
	AND, OR, XOR, COMPARE, COMPARE_LOGICAL,
	PART_LOAD, PART_INSERT, PART_AND, PART_OR, PART_XOR, PART_TEST,
	SHIFT_LEFT, SHIFT_RIGHT, SHIFT_LEFT_SIGNED, SHIFT_RIGHT_SIGNED, ROTATE,
	ROTATE_INSERT, ROTATE_AND, ROTATE_OR, ROTATE_XOR,
	BRANCH, BRANCH_SAVE, BRANCH_COUNT, COMPARE_BRANCH, COMPARE_LOGICAL_BRANCH,
	LOAD_MULTIPLE, STORE_MULTIPLE, FIND_LEFTMOST_ONE,
	INSERT_UNDER_MASK, STORE_UNDER_MASK, COMPARE_UNDER_MASK,
	MOVE_IMM, ADD_IMM, ADD_LOGICAL_IMM, AND_IMM, OR_IMM, XOR_IMM, TEST_IMM, COMPARE_IMM, COMPARE_LOGICAL_IMM,
	MOVE_CHARS, AND_CHARS, OR_CHARS, XOR_CHARS, COMPARE_CHARS,
	INSERT_PROGRAM_MASK, SET_PROGRAM_MASK, SUPERVISOR_CALL, SET_ADDRESSING_MODE,
	SET_SYSTEM_MASK, AND_SYSTEM_MASK, OR_SYSTEM_MASK,
	STORE_CLOCK, STORE_CLOCK_EXTENDED, SET_COMPARATOR, STORE_COMPARATOR,
	SET_TIMER, STORE_TIMER, STORE_FACILITIES,
	LOAD_FLOAT,
	EXECUTE, NOTHING, AP, HOST,
};

struct row {
	u16 opcode;		/* as opcode_of() has it */
	u8 format, kind, operation, width;
};

static const struct row rows[] = {
	/* load */
	{ 0x1800, RR, REG, LOAD, 32 },			/* lr */
	{ 0x5800, RX, MEM_4, LOAD, 32 },		/* l */
	{ 0xe358, RXY, MEM_4, LOAD, 32 },		/* ly */
	{ 0xc40d, RIL_REL, MEM_4, LOAD, 32 },		/* lrl */
	{ 0x4800, RX, MEM_S2, LOAD, 32 },		/* lh */
	{ 0xe378, RXY, MEM_S2, LOAD, 32 },		/* lhy */
	{ 0xc405, RIL_REL, MEM_S2, LOAD, 32 },		/* lhrl */
	{ 0xe376, RXY, MEM_S1, LOAD, 32 },		/* lb */
	{ 0xe394, RXY, MEM_1, LOAD, 32 },		/* llc */
	{ 0xe395, RXY, MEM_2, LOAD, 32 },		/* llh */
	{ 0xc402, RIL_REL, MEM_2, LOAD, 32 },		/* llhrl */
	{ 0xa708, RI, IMM, LOAD, 32 },			/* lhi */
	{ 0xb926, RRE, REG_S1, LOAD, 32 },		/* lbr */
	{ 0xb927, RRE, REG_S2, LOAD, 32 },		/* lhr */
	{ 0xb994, RRE, REG_U1, LOAD, 32 },		/* llcr */
	{ 0xb995, RRE, REG_U2, LOAD, 32 },		/* llhr */
	{ 0xb904, RRE, REG, LOAD, 64 },			/* lgr */
	{ 0xb914, RRE, REG_S4, LOAD, 64 },		/* lgfr */
	{ 0xb906, RRE, REG_S1, LOAD, 64 },		/* lgbr */
	{ 0xb907, RRE, REG_S2, LOAD, 64 },		/* lghr */
	{ 0xb916, RRE, REG_U4, LOAD, 64 },		/* llgfr */
	{ 0xb984, RRE, REG_U1, LOAD, 64 },		/* llgcr */
	{ 0xb985, RRE, REG_U2, LOAD, 64 },		/* llghr */
	{ 0xe304, RXY, MEM_8, LOAD, 64 },		/* lg */
	{ 0xe314, RXY, MEM_S4, LOAD, 64 },		/* lgf */
	{ 0xe315, RXY, MEM_S2, LOAD, 64 },		/* lgh */
	{ 0xe377, RXY, MEM_S1, LOAD, 64 },		/* lgb */
	{ 0xe316, RXY, MEM_4, LOAD, 64 },		/* llgf */
	{ 0xe391, RXY, MEM_2, LOAD, 64 },		/* llgh */
	{ 0xe390, RXY, MEM_1, LOAD, 64 },		/* llgc */
	{ 0xc408, RIL_REL, MEM_8, LOAD, 64 },		/* lgrl */
	{ 0xc40c, RIL_REL, MEM_S4, LOAD, 64 },		/* lgfrl */
	{ 0xc404, RIL_REL, MEM_S2, LOAD, 64 },		/* lghrl */
	{ 0xc40e, RIL_REL, MEM_4, LOAD, 64 },		/* llgfrl */
	{ 0xc406, RIL_REL, MEM_2, LOAD, 64 },		/* llghrl */
	{ 0xa709, RI, IMM, LOAD, 64 },			/* lghi */
	{ 0xc001, RIL, IMM, LOAD, 64 },			/* lgfi */
	{ 0x6800, RX, MEM_8, LOAD_FLOAT, 64 },		/* ld */
	{ 0x4100, RX, ADDR, LOAD_ADDRESS, 64 },		/* la */
	{ 0xe371, RXY, ADDR, LOAD_ADDRESS, 64 },	/* lay */
	{ 0xc000, RIL_REL, ADDR, LOAD_ADDRESS, 64 },	/* larl */
	{ 0x1200, RR, REG, LOAD_TEST, 32 },		/* ltr */
	{ 0xe312, RXY, MEM_4, LOAD_TEST, 32 },		/* lt */
	{ 0xb902, RRE, REG, LOAD_TEST, 64 },		/* ltgr */
	{ 0xb912, RRE, REG_S4, LOAD_TEST, 64 },		/* ltgfr */
	{ 0xe302, RXY, MEM_8, LOAD_TEST, 64 },		/* ltg */
	{ 0xe332, RXY, MEM_S4, LOAD_TEST, 64 },		/* ltgf */
	{ 0x1300, RR, REG, LOAD_COMPLEMENT, 32 },	/* lcr */
	{ 0xb903, RRE, REG, LOAD_COMPLEMENT, 64 },	/* lcgr */
	{ 0xb913, RRE, REG_S4, LOAD_COMPLEMENT, 64 },	/* lcgfr */
	{ 0x1100, RR, REG, LOAD_NEGATIVE, 32 },		/* lnr */
	{ 0xb901, RRE, REG, LOAD_NEGATIVE, 64 },	/* lngr */
	{ 0xb911, RRE, REG_S4, LOAD_NEGATIVE, 64 },	/* lngfr */
	{ 0x1000, RR, REG, LOAD_POSITIVE, 32 },		/* lpr */
	{ 0xb900, RRE, REG, LOAD_POSITIVE, 64 },	/* lpgr */
	{ 0xb910, RRE, REG_S4, LOAD_POSITIVE, 64 },	/* lpgfr */
	{ 0xb91f, RRE, REG, LOAD_REVERSED, 32 },	/* lrvr */
	{ 0xb90f, RRE, REG, LOAD_REVERSED, 64 },	/* lrvgr */
	{ 0xe31e, RXY, MEM_4, LOAD_REVERSED, 32 },	/* lrv */
	{ 0xe30f, RXY, MEM_8, LOAD_REVERSED, 64 },	/* lrvg */
	{ 0x4300, RX, MEM_1, INSERT_BYTE, 64 },		/* ic */
	{ 0xe373, RXY, MEM_1, INSERT_BYTE, 64 },	/* icy */
	{ 0xbf00, RS, NONE, INSERT_UNDER_MASK, 32 },	/* icm */
	{ 0xb983, RRE, REG, FIND_LEFTMOST_ONE, 64 },	/* flogr */
	{ 0x9800, RS, MEM_4, LOAD_MULTIPLE, 32 },	/* lm */
	{ 0xeb98, RSY, MEM_4, LOAD_MULTIPLE, 32 },	/* lmy */
	{ 0xeb04, RSY, MEM_8, LOAD_MULTIPLE, 64 },	/* lmg */

	/* store */
	{ 0x5000, RX, MEM_4, STORE, 32 },		/* st */
	{ 0xe350, RXY, MEM_4, STORE, 32 },		/* sty */
	{ 0xe324, RXY, MEM_8, STORE, 64 },		/* stg */
	{ 0x4000, RX, MEM_2, STORE, 32 },		/* sth */
	{ 0xe370, RXY, MEM_2, STORE, 32 },		/* sthy */
	{ 0x4200, RX, MEM_1, STORE, 32 },		/* stc */
	{ 0xe372, RXY, MEM_1, STORE, 32 },		/* stcy */
	{ 0xc40f, RIL_REL, MEM_4, STORE, 32 },		/* strl */
	{ 0xc40b, RIL_REL, MEM_8, STORE, 64 },		/* stgrl */
	{ 0xc407, RIL_REL, MEM_2, STORE, 32 },		/* sthrl */
	{ 0xe33f, RXY, MEM_2, STORE_REVERSED, 32 },	/* strvh */
	{ 0xe33e, RXY, MEM_4, STORE_REVERSED, 32 },	/* strv */
	{ 0xe32f, RXY, MEM_8, STORE_REVERSED, 64 },	/* strvg */
	{ 0xbe00, RS, NONE, STORE_UNDER_MASK, 32 },	/* stcm */
	{ 0x9000, RS, MEM_4, STORE_MULTIPLE, 32 },	/* stm */
	{ 0xeb90, RSY, MEM_4, STORE_MULTIPLE, 32 },	/* stmy */
	{ 0xeb24, RSY, MEM_8, STORE_MULTIPLE, 64 },	/* stmg */

	/* add, subtract */
	{ 0x1a00, RR, REG, ADD, 32 },			/* ar */
	{ 0x5a00, RX, MEM_4, ADD, 32 },			/* a */
	{ 0xe35a, RXY, MEM_4, ADD, 32 },		/* ay */
	{ 0x4a00, RX, MEM_S2, ADD, 32 },		/* ah */
	{ 0xe37a, RXY, MEM_S2, ADD, 32 },		/* ahy */
	{ 0xa70a, RI, IMM, ADD, 32 },			/* ahi */
	{ 0xc209, RIL, IMM, ADD, 32 },			/* afi */
	{ 0xb908, RRE, REG, ADD, 64 },			/* agr */
	{ 0xb918, RRE, REG_S4, ADD, 64 },		/* agfr */
	{ 0xe308, RXY, MEM_8, ADD, 64 },		/* ag */
	{ 0xe318, RXY, MEM_S4, ADD, 64 },		/* agf */
	{ 0xa70b, RI, IMM, ADD, 64 },			/* aghi */
	{ 0xc208, RIL, IMM, ADD, 64 },			/* agfi */
	{ 0x1e00, RR, REG, ADD_LOGICAL, 32 },		/* alr */
	{ 0x5e00, RX, MEM_4, ADD_LOGICAL, 32 },		/* al */
	{ 0xe35e, RXY, MEM_4, ADD_LOGICAL, 32 },	/* aly */
	{ 0xc20b, RIL, IMM_U, ADD_LOGICAL, 32 },	/* alfi */
	{ 0xb90a, RRE, REG, ADD_LOGICAL, 64 },		/* algr */
	{ 0xb91a, RRE, REG_U4, ADD_LOGICAL, 64 },	/* algfr */
	{ 0xe30a, RXY, MEM_8, ADD_LOGICAL, 64 },	/* alg */
	{ 0xe31a, RXY, MEM_4, ADD_LOGICAL, 64 },	/* algf */
	{ 0xc20a, RIL, IMM_U, ADD_LOGICAL, 64 },	/* algfi */
	{ 0xb998, RRE, REG, ADD_CARRY, 32 },		/* alcr */
	{ 0xe398, RXY, MEM_4, ADD_CARRY, 32 },		/* alc */
	{ 0xb988, RRE, REG, ADD_CARRY, 64 },		/* alcgr */
	{ 0xe388, RXY, MEM_8, ADD_CARRY, 64 },		/* alcg */
	{ 0x1b00, RR, REG, SUB, 32 },			/* sr */
	{ 0x5b00, RX, MEM_4, SUB, 32 },			/* s */
	{ 0xe35b, RXY, MEM_4, SUB, 32 },		/* sy */
	{ 0x4b00, RX, MEM_S2, SUB, 32 },		/* sh */
	{ 0xe37b, RXY, MEM_S2, SUB, 32 },		/* shy */
	{ 0xb909, RRE, REG, SUB, 64 },			/* sgr */
	{ 0xb919, RRE, REG_S4, SUB, 64 },		/* sgfr */
	{ 0xe309, RXY, MEM_8, SUB, 64 },		/* sg */
	{ 0xe319, RXY, MEM_S4, SUB, 64 },		/* sgf */
	{ 0x1f00, RR, REG, SUB_LOGICAL, 32 },		/* slr */
	{ 0x5f00, RX, MEM_4, SUB_LOGICAL, 32 },		/* sl */
	{ 0xe35f, RXY, MEM_4, SUB_LOGICAL, 32 },	/* sly */
	{ 0xc205, RIL, IMM_U, SUB_LOGICAL, 32 },	/* slfi */
	{ 0xb90b, RRE, REG, SUB_LOGICAL, 64 },		/* slgr */
	{ 0xb91b, RRE, REG_U4, SUB_LOGICAL, 64 },	/* slgfr */
	{ 0xe30b, RXY, MEM_8, SUB_LOGICAL, 64 },	/* slg */
	{ 0xe31b, RXY, MEM_4, SUB_LOGICAL, 64 },	/* slgf */
	{ 0xc204, RIL, IMM_U, SUB_LOGICAL, 64 },	/* slgfi */
	{ 0xb999, RRE, REG, SUB_BORROW, 32 },		/* slbr */
	{ 0xe399, RXY, MEM_4, SUB_BORROW, 32 },		/* slb */
	{ 0xb989, RRE, REG, SUB_BORROW, 64 },		/* slbgr */
	{ 0xe389, RXY, MEM_8, SUB_BORROW, 64 },		/* slbg */

	/* multiply, divide */
	{ 0xb252, RRE, REG, MULTIPLY, 32 },		/* msr */
	{ 0x7100, RX, MEM_4, MULTIPLY, 32 },		/* ms */
	{ 0xe351, RXY, MEM_4, MULTIPLY, 32 },		/* msy */
	{ 0x4c00, RX, MEM_S2, MULTIPLY, 32 },		/* mh */
	{ 0xa70c, RI, IMM, MULTIPLY, 32 },		/* mhi */
	{ 0xc201, RIL, IMM, MULTIPLY, 32 },		/* msfi */
	{ 0xb90c, RRE, REG, MULTIPLY, 64 },		/* msgr */
	{ 0xb91c, RRE, REG_S4, MULTIPLY, 64 },		/* msgfr */
	{ 0xe30c, RXY, MEM_8, MULTIPLY, 64 },		/* msg */
	{ 0xe31c, RXY, MEM_S4, MULTIPLY, 64 },		/* msgf */
	{ 0xa70d, RI, IMM, MULTIPLY, 64 },		/* mghi */
	{ 0xc200, RIL, IMM, MULTIPLY, 64 },		/* msgfi */
	{ 0xb996, RRE, REG_U4, MULTIPLY_LOGICAL, 32 },	/* mlr */
	{ 0xb986, RRE, REG, MULTIPLY_LOGICAL, 64 },	/* mlgr */
	{ 0xe386, RXY, MEM_8, MULTIPLY_LOGICAL, 64 },	/* mlg */
	{ 0xb90d, RRE, REG, DIVIDE_SINGLE, 64 },	/* dsgr */
	{ 0xb91d, RRE, REG_S4, DIVIDE_SINGLE, 64 },	/* dsgfr */
	{ 0xe30d, RXY, MEM_8, DIVIDE_SINGLE, 64 },	/* dsg */
	{ 0xe31d, RXY, MEM_S4, DIVIDE_SINGLE, 64 },	/* dsgf */
	{ 0xb997, RRE, REG_U4, DIVIDE_LOGICAL, 32 },	/* dlr */
	{ 0xe397, RXY, MEM_4, DIVIDE_LOGICAL, 32 },	/* dl */
	{ 0xb987, RRE, REG, DIVIDE_LOGICAL, 64 },	/* dlgr */
	{ 0xe387, RXY, MEM_8, DIVIDE_LOGICAL, 64 },	/* dlg */

	/* and, or, exclusive or */
	{ 0x1400, RR, REG, AND, 32 },			/* nr */
	{ 0x5400, RX, MEM_4, AND, 32 },			/* n */
	{ 0xe354, RXY, MEM_4, AND, 32 },		/* ny */
	{ 0xb980, RRE, REG, AND, 64 },			/* ngr */
	{ 0xe380, RXY, MEM_8, AND, 64 },		/* ng */
	{ 0x1600, RR, REG, OR, 32 },			/* or */
	{ 0x5600, RX, MEM_4, OR, 32 },			/* o */
	{ 0xe356, RXY, MEM_4, OR, 32 },			/* oy */
	{ 0xb981, RRE, REG, OR, 64 },			/* ogr */
	{ 0xe381, RXY, MEM_8, OR, 64 },			/* og */
	{ 0x1700, RR, REG, XOR, 32 },			/* xr */
	{ 0x5700, RX, MEM_4, XOR, 32 },			/* x */
	{ 0xe357, RXY, MEM_4, XOR, 32 },		/* xy */
	{ 0xb982, RRE, REG, XOR, 64 },			/* xgr */
	{ 0xe382, RXY, MEM_8, XOR, 64 },		/* xg */
	{ 0xa500, RI, HH, PART_INSERT, 64 },		/* iihh */
	{ 0xa501, RI, HL, PART_INSERT, 64 },		/* iihl */
	{ 0xa502, RI, LH, PART_INSERT, 64 },		/* iilh */
	{ 0xa503, RI, LL, PART_INSERT, 64 },		/* iill */
	{ 0xa504, RI, HH, PART_AND, 64 },		/* nihh */
	{ 0xa505, RI, HL, PART_AND, 64 },		/* nihl */
	{ 0xa506, RI, LH, PART_AND, 64 },		/* nilh */
	{ 0xa507, RI, LL, PART_AND, 64 },		/* nill */
	{ 0xa508, RI, HH, PART_OR, 64 },		/* oihh */
	{ 0xa509, RI, HL, PART_OR, 64 },		/* oihl */
	{ 0xa50a, RI, LH, PART_OR, 64 },		/* oilh */
	{ 0xa50b, RI, LL, PART_OR, 64 },		/* oill */
	{ 0xa50c, RI, HH, PART_LOAD, 64 },		/* llihh */
	{ 0xa50d, RI, HL, PART_LOAD, 64 },		/* llihl */
	{ 0xa50e, RI, LH, PART_LOAD, 64 },		/* llilh */
	{ 0xa50f, RI, LL, PART_LOAD, 64 },		/* llill */
	{ 0xc006, RIL, HF, PART_XOR, 64 },		/* xihf */
	{ 0xc007, RIL, LF, PART_XOR, 64 },		/* xilf */
	{ 0xc008, RIL, HF, PART_INSERT, 64 },		/* iihf */
	{ 0xc009, RIL, LF, PART_INSERT, 64 },		/* iilf */
	{ 0xc00a, RIL, HF, PART_AND, 64 },		/* nihf */
	{ 0xc00b, RIL, LF, PART_AND, 64 },		/* nilf */
	{ 0xc00c, RIL, HF, PART_OR, 64 },		/* oihf */
	{ 0xc00d, RIL, LF, PART_OR, 64 },		/* oilf */
	{ 0xc00e, RIL, HF, PART_LOAD, 64 },		/* llihf */
	{ 0xc00f, RIL, LF, PART_LOAD, 64 },		/* llilf */
	{ 0xa700, RI, LH, PART_TEST, 64 },		/* tmlh */
	{ 0xa701, RI, LL, PART_TEST, 64 },		/* tmll */
	{ 0xa702, RI, HH, PART_TEST, 64 },		/* tmhh */
	{ 0xa703, RI, HL, PART_TEST, 64 },		/* tmhl */

	/* compare */
	{ 0x1900, RR, REG, COMPARE, 32 },		/* cr */
	{ 0x5900, RX, MEM_4, COMPARE, 32 },		/* c */
	{ 0xe359, RXY, MEM_4, COMPARE, 32 },		/* cy */
	{ 0x4900, RX, MEM_S2, COMPARE, 32 },		/* ch */
	{ 0xe379, RXY, MEM_S2, COMPARE, 32 },		/* chy */
	{ 0xa70e, RI, IMM, COMPARE, 32 },		/* chi */
	{ 0xc20d, RIL, IMM, COMPARE, 32 },		/* cfi */
	{ 0xc60d, RIL_REL, MEM_4, COMPARE, 32 },	/* crl */
	{ 0xc605, RIL_REL, MEM_S2, COMPARE, 32 },	/* chrl */
	{ 0xb920, RRE, REG, COMPARE, 64 },		/* cgr */
	{ 0xb930, RRE, REG_S4, COMPARE, 64 },		/* cgfr */
	{ 0xe320, RXY, MEM_8, COMPARE, 64 },		/* cg */
	{ 0xe330, RXY, MEM_S4, COMPARE, 64 },		/* cgf */
	{ 0xe334, RXY, MEM_S2, COMPARE, 64 },		/* cgh */
	{ 0xa70f, RI, IMM, COMPARE, 64 },		/* cghi */
	{ 0xc20c, RIL, IMM, COMPARE, 64 },		/* cgfi */
	{ 0xc608, RIL_REL, MEM_8, COMPARE, 64 },	/* cgrl */
	{ 0xc60c, RIL_REL, MEM_S4, COMPARE, 64 },	/* cgfrl */
	{ 0xc604, RIL_REL, MEM_S2, COMPARE, 64 },	/* cghrl */
	{ 0x1500, RR, REG, COMPARE_LOGICAL, 32 },	/* clr */
	{ 0x5500, RX, MEM_4, COMPARE_LOGICAL, 32 },	/* cl */
	{ 0xe355, RXY, MEM_4, COMPARE_LOGICAL, 32 },	/* cly */
	{ 0xc20f, RIL, IMM_U, COMPARE_LOGICAL, 32 },	/* clfi */
	{ 0xc60f, RIL_REL, MEM_4, COMPARE_LOGICAL, 32 },	/* clrl */
	{ 0xc607, RIL_REL, MEM_2, COMPARE_LOGICAL, 32 },	/* clhrl */
	{ 0xb921, RRE, REG, COMPARE_LOGICAL, 64 },	/* clgr */
	{ 0xb931, RRE, REG_U4, COMPARE_LOGICAL, 64 },	/* clgfr */
	{ 0xe321, RXY, MEM_8, COMPARE_LOGICAL, 64 },	/* clg */
	{ 0xe331, RXY, MEM_4, COMPARE_LOGICAL, 64 },	/* clgf */
	{ 0xc20e, RIL, IMM_U, COMPARE_LOGICAL, 64 },	/* clgfi */
	{ 0xc60a, RIL_REL, MEM_8, COMPARE_LOGICAL, 64 },	/* clgrl */
	{ 0xc60e, RIL_REL, MEM_4, COMPARE_LOGICAL, 64 },	/* clgfrl */
	{ 0xc606, RIL_REL, MEM_2, COMPARE_LOGICAL, 64 },	/* clghrl */
	{ 0xbd00, RS, NONE, COMPARE_UNDER_MASK, 32 },	/* clm */

	/* shift, rotate */
	{ 0x8800, RS, NONE, SHIFT_RIGHT, 32 },		/* srl */
	{ 0x8900, RS, NONE, SHIFT_LEFT, 32 },		/* sll */
	{ 0x8a00, RS, NONE, SHIFT_RIGHT_SIGNED, 32 },	/* sra */
	{ 0x8b00, RS, NONE, SHIFT_LEFT_SIGNED, 32 },	/* sla */
	{ 0xeb0c, RSY, NONE, SHIFT_RIGHT, 64 },		/* srlg */
	{ 0xeb0d, RSY, NONE, SHIFT_LEFT, 64 },		/* sllg */
	{ 0xeb0a, RSY, NONE, SHIFT_RIGHT_SIGNED, 64 },	/* srag */
	{ 0xeb0b, RSY, NONE, SHIFT_LEFT_SIGNED, 64 },	/* slag */
	{ 0xeb1d, RSY, NONE, ROTATE, 32 },		/* rll */
	{ 0xeb1c, RSY, NONE, ROTATE, 64 },		/* rllg */
	{ 0xec55, RIE_ROT, NONE, ROTATE_INSERT, 64 },	/* risbg */
	{ 0xec54, RIE_ROT, NONE, ROTATE_AND, 64 },	/* rnsbg */
	{ 0xec56, RIE_ROT, NONE, ROTATE_OR, 64 },	/* rosbg */
	{ 0xec57, RIE_ROT, NONE, ROTATE_XOR, 64 },	/* rxsbg */

	/* branch */
	{ 0x0700, RR, REG, BRANCH, 64 },		/* bcr */
	{ 0x4700, RX, ADDR, BRANCH, 64 },		/* bc */
	{ 0xa704, RI_REL, ADDR, BRANCH, 64 },		/* brc */
	{ 0xc004, RIL_REL, ADDR, BRANCH, 64 },		/* brcl */
	{ 0x0d00, RR, REG, BRANCH_SAVE, 64 },		/* basr */
	{ 0x4d00, RX, ADDR, BRANCH_SAVE, 64 },		/* bas */
	{ 0xa705, RI_REL, ADDR, BRANCH_SAVE, 64 },	/* bras */
	{ 0xc005, RIL_REL, ADDR, BRANCH_SAVE, 64 },	/* brasl */
	{ 0x0600, RR, REG, BRANCH_COUNT, 32 },		/* bctr */
	{ 0x4600, RX, ADDR, BRANCH_COUNT, 32 },		/* bct */
	{ 0xa706, RI_REL, ADDR, BRANCH_COUNT, 32 },	/* brct */
	{ 0xb946, RRE, REG, BRANCH_COUNT, 64 },		/* bctgr */
	{ 0xe346, RXY, ADDR, BRANCH_COUNT, 64 },	/* bctg */
	{ 0xa707, RI_REL, ADDR, BRANCH_COUNT, 64 },	/* brctg */
	{ 0xec76, RIE_R, REG, COMPARE_BRANCH, 32 },	/* crj */
	{ 0xec64, RIE_R, REG, COMPARE_BRANCH, 64 },	/* cgrj */
	{ 0xec77, RIE_R, REG, COMPARE_LOGICAL_BRANCH, 32 },	/* clrj */
	{ 0xec65, RIE_R, REG, COMPARE_LOGICAL_BRANCH, 64 },	/* clgrj */
	{ 0xec7e, RIE_I, IMM, COMPARE_BRANCH, 32 },	/* cij */
	{ 0xec7c, RIE_I, IMM, COMPARE_BRANCH, 64 },	/* cgij */
	{ 0xec7f, RIE_I, IMM_U, COMPARE_LOGICAL_BRANCH, 32 },	/* clij */
	{ 0xec7d, RIE_I, IMM_U, COMPARE_LOGICAL_BRANCH, 64 },	/* clgij */
	{ 0x4400, RX, ADDR, EXECUTE, 64 },		/* ex */
	{ 0xc600, RIL_REL, ADDR, EXECUTE, 64 },		/* exrl */

	/* storage and an immediate */
	{ 0x9200, SI, MEM_1, MOVE_IMM, 64 },		/* mvi */
	{ 0xeb52, SIY, MEM_1, MOVE_IMM, 64 },		/* mviy */
	{ 0xe544, SIL, MEM_2, MOVE_IMM, 64 },		/* mvhhi */
	{ 0xe54c, SIL, MEM_4, MOVE_IMM, 64 },		/* mvhi */
	{ 0xe548, SIL, MEM_8, MOVE_IMM, 64 },		/* mvghi */
	{ 0xeb6a, SIY, MEM_4, ADD_IMM, 32 },		/* asi */
	{ 0xeb7a, SIY, MEM_8, ADD_IMM, 64 },		/* agsi */
	{ 0xeb6e, SIY, MEM_4, ADD_LOGICAL_IMM, 32 },	/* alsi */
	{ 0xeb7e, SIY, MEM_8, ADD_LOGICAL_IMM, 64 },	/* algsi */
	{ 0x9400, SI, MEM_1, AND_IMM, 64 },		/* ni */
	{ 0xeb54, SIY, MEM_1, AND_IMM, 64 },		/* niy */
	{ 0x9600, SI, MEM_1, OR_IMM, 64 },		/* oi */
	{ 0xeb56, SIY, MEM_1, OR_IMM, 64 },		/* oiy */
	{ 0x9700, SI, MEM_1, XOR_IMM, 64 },		/* xi */
	{ 0xeb57, SIY, MEM_1, XOR_IMM, 64 },		/* xiy */
	{ 0x9100, SI, MEM_1, TEST_IMM, 64 },		/* tm */
	{ 0xeb51, SIY, MEM_1, TEST_IMM, 64 },		/* tmy */
	{ 0x9500, SI, MEM_1, COMPARE_LOGICAL_IMM, 64 },	/* cli */
	{ 0xeb55, SIY, MEM_1, COMPARE_LOGICAL_IMM, 64 },	/* cliy */
	{ 0xe555, SIL, MEM_2, COMPARE_LOGICAL_IMM, 64 },	/* clhhsi */
	{ 0xe55d, SIL, MEM_4, COMPARE_LOGICAL_IMM, 64 },	/* clfhsi */
	{ 0xe559, SIL, MEM_8, COMPARE_LOGICAL_IMM, 64 },	/* clghsi */
	{ 0xe554, SIL, MEM_S2, COMPARE_IMM, 64 },	/* chhsi */
	{ 0xe55c, SIL, MEM_S4, COMPARE_IMM, 64 },	/* chsi */
	{ 0xe558, SIL, MEM_8, COMPARE_IMM, 64 },	/* cghsi */

	/* storage and storage */
	{ 0xd200, SS, NONE, MOVE_CHARS, 64 },		/* mvc */
	{ 0xd400, SS, NONE, AND_CHARS, 64 },		/* nc */
	{ 0xd600, SS, NONE, OR_CHARS, 64 },		/* oc */
	{ 0xd700, SS, NONE, XOR_CHARS, 64 },		/* xc */
	{ 0xd500, SS, NONE, COMPARE_CHARS, 64 },	/* clc */

	/* control */
	{ 0xb222, RRE, NONE, INSERT_PROGRAM_MASK, 64 },	/* ipm */
	{ 0x0400, RR, NONE, SET_PROGRAM_MASK, 64 },	/* spm */
	{ 0x0a00, RR, NONE, SUPERVISOR_CALL, 64 },	/* svc */
	{ 0x010c, E, NONE, SET_ADDRESSING_MODE, 24 },	/* sam24 */
	{ 0x010d, E, NONE, SET_ADDRESSING_MODE, 31 },	/* sam31 */
	{ 0x010e, E, NONE, SET_ADDRESSING_MODE, 64 },	/* sam64 */
	{ 0x8000, SI, MEM_1, SET_SYSTEM_MASK, 64 },	/* ssm */
	{ 0xac00, SI, MEM_1, AND_SYSTEM_MASK, 64 },	/* stnsm */
	{ 0xad00, SI, MEM_1, OR_SYSTEM_MASK, 64 },	/* stosm */
	{ 0xb205, S, MEM_8, STORE_CLOCK, 64 },		/* stck */
	{ 0xb27c, S, MEM_8, STORE_CLOCK, 64 },		/* stckf */
	{ 0xb278, S, NONE, STORE_CLOCK_EXTENDED, 64 },	/* stcke */
	{ 0xb206, S, MEM_8, SET_COMPARATOR, 64 },	/* sckc */
	{ 0xb207, S, MEM_8, STORE_COMPARATOR, 64 },	/* stckc */
	{ 0xb208, S, MEM_8, SET_TIMER, 64 },		/* spt */
	{ 0xb209, S, MEM_8, STORE_TIMER, 64 },		/* stpt */
	{ 0xb2b0, S, NONE, STORE_FACILITIES, 64 },	/* stfle */
	{ 0xb20d, S, NONE, NOTHING, 64 },		/* ptlb */
	{ 0xb2ad, RRE, NONE, AP, 64 },			/* nqap */
	{ 0xb2ae, RRE, NONE, AP, 64 },			/* dqap */
	{ 0xb2af, RRE, NONE, AP, 64 },			/* pqap */

	/* the host's, here and on a machine: KVM or the VMM knows them */
	{ 0x0104, E, NONE, HOST, 64 },			/* ptff */
	{ 0x0107, E, NONE, HOST, 64 },			/* sckpf */
	{ 0x8200, SI, NONE, HOST, 64 },			/* lpsw */
	{ 0x8300, RS, NONE, HOST, 64 },			/* diag */
	{ 0xae00, RS, NONE, HOST, 64 },			/* sigp */
	{ 0xb600, RS, NONE, HOST, 64 },			/* stctl */
	{ 0xb700, RS, NONE, HOST, 64 },			/* lctl */
	{ 0xeb25, RSY, NONE, HOST, 64 },		/* stctg */
	{ 0xeb2f, RSY, NONE, HOST, 64 },		/* lctlg */
	{ 0xb202, S, NONE, HOST, 64 },			/* stidp */
	{ 0xb204, S, NONE, HOST, 64 },			/* sck */
	{ 0xb210, S, NONE, HOST, 64 },			/* spx */
	{ 0xb211, S, NONE, HOST, 64 },			/* stpx */
	{ 0xb212, S, NONE, HOST, 64 },			/* stap */
	{ 0xb220, RRE, NONE, HOST, 64 },		/* servc */
	{ 0xb229, RRE, NONE, HOST, 64 },		/* iske */
	{ 0xb22a, RRE, NONE, HOST, 64 },		/* rrbe */
	{ 0xb22b, RRE, NONE, HOST, 64 },		/* sske */
	{ 0xb22c, RRE, NONE, HOST, 64 },		/* tb */
	{ 0xb230, S, NONE, HOST, 64 },			/* csch */
	{ 0xb231, S, NONE, HOST, 64 },			/* hsch */
	{ 0xb232, S, NONE, HOST, 64 },			/* msch */
	{ 0xb233, S, NONE, HOST, 64 },			/* ssch */
	{ 0xb234, S, NONE, HOST, 64 },			/* stsch */
	{ 0xb235, S, NONE, HOST, 64 },			/* tsch */
	{ 0xb236, S, NONE, HOST, 64 },			/* tpi */
	{ 0xb237, S, NONE, HOST, 64 },			/* sal */
	{ 0xb238, S, NONE, HOST, 64 },			/* rsch */
	{ 0xb239, S, NONE, HOST, 64 },			/* stcrw */
	{ 0xb23a, S, NONE, HOST, 64 },			/* stcps */
	{ 0xb23b, S, NONE, HOST, 64 },			/* rchp */
	{ 0xb23c, S, NONE, HOST, 64 },			/* schm */
	{ 0xb25f, RRE, NONE, HOST, 64 },		/* chsc */
	{ 0xb274, S, NONE, HOST, 64 },			/* siga */
	{ 0xb276, S, NONE, HOST, 64 },			/* xsch */
	{ 0xb27d, S, NONE, HOST, 64 },			/* stsi */
	{ 0xb2b1, S, NONE, HOST, 64 },			/* stfl */
	{ 0xb2b2, S, NONE, HOST, 64 },			/* lpswe */
	{ 0xb98d, RRE, NONE, HOST, 64 },		/* epsw */
	{ 0xb9af, RRE, NONE, HOST, 64 },		/* pfmf */
};

/* Of an opcode: its row and one, 0 if it has none. */
static u16 row_of[1 << 16];

/* The bits that tell instructions apart. */
static u16 opcode_of(const u8 *insn)
{
	switch (insn[0]) {
	case 0x01: case 0xb2: case 0xb9: case 0xe5:
		return insn[0] << 8 | insn[1];
	case 0xa5: case 0xa7: case 0xc0: case 0xc2: case 0xc4: case 0xc6:
		return insn[0] << 8 | (insn[1] & 0xf);
	case 0xe3: case 0xeb: case 0xec:
		return insn[0] << 8 | insn[5];
	default:
		return insn[0] << 8;
	}
}

int interpreter_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (row_of[rows[i].opcode]) {
			pr_err("apemu: two rows for %04x\n", rows[i].opcode);
			return -EINVAL;
		}
		row_of[rows[i].opcode] = i + 1;
	}
	return 0;
}

/* ---- operands ----------------------------------------------------------- */

struct operands {
	unsigned int r1, r2, r3;
	u64 addr, addr2;	/* of storage, or a branch's target */
	u64 imm;
};

static u64 base(struct guest *g, unsigned int nr)
{
	return nr ? *guest_gr(g, nr) : 0;
}

/* Base and 12 bits of displacement, which begin at the byte. */
static u64 short_address(struct guest *g, const u8 *at)
{
	return base(g, at[0] >> 4) + (get_unaligned_be16(at) & 0xfff);
}

static void decode(struct guest *g, const struct row *row, struct operands *o)
{
	const u8 *insn = g->insn;
	/* 20 bits, signed: the upper eight are behind the lower twelve. */
	s64 displacement = (s8)insn[4] * 0x1000LL + (get_unaligned_be16(insn + 2) & 0xfff);
	s64 imm16 = (s16)get_unaligned_be16(insn + 2);
	s64 imm32 = (s32)get_unaligned_be32(insn + 2);

	o->r1 = insn[1] >> 4;
	o->r2 = o->r3 = insn[1] & 0xf;
	switch (row->format) {
	case E:
	case RR:
		break;
	case RRE:
		o->r1 = insn[3] >> 4;
		o->r2 = insn[3] & 0xf;
		break;
	case RX:
		o->addr = short_address(g, insn + 2) + base(g, o->r2);
		break;
	case RXY:
		o->addr = base(g, insn[2] >> 4) + base(g, o->r2) + displacement;
		break;
	case RI:
		o->imm = imm16;
		break;
	case RIL:
		o->imm = imm32;
		break;
	case RI_REL:
		o->addr = g->ia + 2 * imm16;
		break;
	case RIL_REL:
		o->addr = g->ia + 2 * imm32;
		break;
	case RS:
	case S:
		o->addr = short_address(g, insn + 2);
		break;
	case RSY:
		o->addr = base(g, insn[2] >> 4) + displacement;
		break;
	case SI:
		o->addr = short_address(g, insn + 2);
		o->imm = insn[1];
		break;
	case SIY:
		o->addr = base(g, insn[2] >> 4) + displacement;
		o->imm = insn[1];
		break;
	case SIL:
		o->addr = short_address(g, insn + 2);
		o->imm = (s16)get_unaligned_be16(insn + 4);
		break;
	case SS:
		o->addr = short_address(g, insn + 2);
		o->addr2 = guest_wrap(g, short_address(g, insn + 4));
		break;
	case RIE_R:
		o->addr = g->ia + 2 * imm16;
		o->r3 = insn[4] >> 4;
		break;
	case RIE_I:
		o->addr = g->ia + 2 * imm16;
		o->imm = row->kind == IMM ? (s8)insn[4] : insn[4];
		break;
	case RIE_ROT:
		break;
	}
	o->addr = guest_wrap(g, o->addr);
}

static unsigned int size_of(enum kind kind)
{
	switch (kind) {
	case MEM_1: case MEM_S1: return 1;
	case MEM_2: case MEM_S2: return 2;
	case MEM_4: case MEM_S4: return 4;
	default: return 8;
	}
}

static u64 value_of(struct guest *g, enum kind kind, const struct operands *o)
{
	switch (kind) {
	case REG: return *guest_gr(g, o->r2);
	case REG_U1: return (u8)*guest_gr(g, o->r2);
	case REG_U2: return (u16)*guest_gr(g, o->r2);
	case REG_U4: return (u32)*guest_gr(g, o->r2);
	case REG_S1: return (s64)(s8)*guest_gr(g, o->r2);
	case REG_S2: return (s64)(s16)*guest_gr(g, o->r2);
	case REG_S4: return (s64)(s32)*guest_gr(g, o->r2);
	case MEM_1: case MEM_2: case MEM_4: case MEM_8:
		return guest_load(g, o->addr, size_of(kind));
	case MEM_S1: return (s64)(s8)guest_load(g, o->addr, 1);
	case MEM_S2: return (s64)(s16)guest_load(g, o->addr, 2);
	case MEM_S4: return (s64)(s32)guest_load(g, o->addr, 4);
	case IMM: return o->imm;
	case IMM_U: return (u32)o->imm;
	case ADDR: return o->addr;
	case HH: case HL: case LH: case LL: return (u16)o->imm;
	case HF: case LF: return (u32)o->imm;
	case NONE: break;
	}
	return 0;
}

/* ---- condition codes ---------------------------------------------------- */

static unsigned int get_cc(struct guest *g)
{
	return g->scb->gpsw.mask >> 44 & 3;
}

static void set_cc(struct guest *g, unsigned int cc)
{
	g->scb->gpsw.mask = (g->scb->gpsw.mask & ~PSW_MASK_CC) | (u64)cc << 44;
}

static void set_cc_sign(struct guest *g, s64 value)
{
	set_cc(g, value < 0 ? 1 : value > 0 ? 2 : 0);
}

static unsigned int compare(u64 a, u64 b, bool logical)
{
	if (a == b)
		return 0;
	if (logical)
		return a < b ? 1 : 2;
	return (s64)a < (s64)b ? 1 : 2;
}

/* TEST UNDER MASK: the cc of selected bits, of which `top` is leftmost to be. */
static unsigned int cc_under_mask(u64 value, u64 mask, bool from_register)
{
	u64 selected = value & mask;

	if (!selected)
		return 0;
	if (selected == mask)
		return 3;
	/* In storage, mixed is mixed; in a register the leftmost selected bit decides. */
	return from_register && selected & 1ULL << (fls64(mask) - 1) ? 2 : 1;
}

/* ---- operations --------------------------------------------------------- */

static void set(struct guest *g, unsigned int nr, unsigned int width, u64 value)
{
	u64 *gr = guest_gr(g, nr);

	*gr = width == 64 ? value : (*gr & ~0xffffffffULL) | (u32)value;
}

/* As a number of the row's width. */
static s64 sign(unsigned int width, u64 value)
{
	return width == 64 ? (s64)value : (s32)value;
}

static u64 unsign(unsigned int width, u64 value)
{
	return width == 64 ? value : (u32)value;
}

/* Sum or difference, and its cc: 3 on overflow. */
static u64 add(struct guest *g, unsigned int width, u64 a, u64 b, bool subtract)
{
	bool overflow;
	s32 sum32;
	s64 sum;

	if (width == 64) {
		overflow = subtract ? __builtin_sub_overflow((s64)a, (s64)b, &sum) :
				      __builtin_add_overflow((s64)a, (s64)b, &sum);
	} else {
		overflow = subtract ? __builtin_sub_overflow((s32)a, (s32)b, &sum32) :
				      __builtin_add_overflow((s32)a, (s32)b, &sum32);
		sum = sum32;
	}
	if (overflow)
		set_cc(g, 3);
	else
		set_cc_sign(g, sum);
	return sum;
}

/* Sum, and its cc, which knows the carry. A difference is the sum with the complement and a carry. */
static u64 add_logical(struct guest *g, unsigned int width, u64 a, u64 b, bool carry)
{
	u64 sum = a + b + carry;
	bool out = width == 64 ? sum < a || (carry && sum == a) : sum >> 32;

	sum = unsign(width, sum);
	set_cc(g, !!sum + 2 * out);
	return sum;
}

static u64 first(struct guest *g, const struct row *row, const struct operands *o)
{
	return unsign(row->width, *guest_gr(g, o->r1));
}

static void arithmetic(struct guest *g, const struct row *row, const struct operands *o, u64 b)
{
	unsigned int width = row->width;
	u64 a = first(g, row, o), complement = unsign(width, ~b), result;

	b = unsign(width, b);
	switch (row->operation) {
	case ADD:
		result = add(g, width, a, b, false);
		break;
	case SUB:
		result = add(g, width, a, b, true);
		break;
	case LOAD_COMPLEMENT:
		result = add(g, width, 0, b, true);
		break;
	case LOAD_POSITIVE:
		result = add(g, width, 0, b, sign(width, b) < 0);
		break;
	case LOAD_NEGATIVE:
		result = add(g, width, 0, b, sign(width, b) > 0);
		break;
	case ADD_LOGICAL:
		result = add_logical(g, width, a, b, false);
		break;
	case SUB_LOGICAL:
		result = add_logical(g, width, a, complement, true);
		break;
	case ADD_CARRY:
		result = add_logical(g, width, a, b, get_cc(g) & 2);
		break;
	case SUB_BORROW:
		result = add_logical(g, width, a, complement, get_cc(g) & 2);
		break;
	default:
		result = a * b;
		break;
	}
	set(g, o->r1, width, result);
}

static void bitwise(struct guest *g, const struct row *row, const struct operands *o, u64 b)
{
	u64 a = first(g, row, o);
	u64 result = row->operation == AND ? a & b : row->operation == OR ? a | b : a ^ b;

	set(g, o->r1, row->width, result);
	set_cc(g, !!unsign(row->width, result));
}

/* A halfword or word of the first operand, with an immediate. */
static void part(struct guest *g, const struct row *row, const struct operands *o, u64 imm)
{
	static const u8 shifts[] = {
		[HH] = 48, [HL] = 32, [LH] = 16, [LL] = 0, [HF] = 32, [LF] = 0,
	};
	unsigned int shift = shifts[row->kind];
	u64 mask = row->kind == HF || row->kind == LF ? 0xffffffff : 0xffff;
	u64 *gr = guest_gr(g, o->r1), old = *gr >> shift & mask, new = imm;

	switch (row->operation) {
	case PART_TEST:
		set_cc(g, cc_under_mask(old, imm, true));
		return;
	case PART_LOAD:
		*gr = imm << shift;
		return;
	case PART_AND:
		new = old & imm;
		set_cc(g, !!new);
		break;
	case PART_OR:
		new = old | imm;
		set_cc(g, !!new);
		break;
	case PART_XOR:
		new = old ^ imm;
		set_cc(g, !!new);
		break;
	}
	*gr = (*gr & ~(mask << shift)) | new << shift;
}

/* Left, with cc 3 if a bit other than the sign is lost. */
static void shift_left_signed(struct guest *g, unsigned int r1, unsigned int width,
			      u64 value, unsigned int n)
{
	u64 sign_bit = 1ULL << (width - 1), digits = value & (sign_bit - 1);
	bool negative = value & sign_bit, overflow = false;

	while (n--) {
		overflow |= !!(digits & sign_bit >> 1) != negative;
		digits = digits << 1 & (sign_bit - 1);
	}
	value = (value & sign_bit) | digits;
	set(g, r1, width, value);
	if (overflow)
		set_cc(g, 3);
	else
		set_cc_sign(g, sign(width, value));
}

static void shift(struct guest *g, const struct row *row, const struct operands *o)
{
	unsigned int width = row->width, n = o->addr & 63;
	/* The 32-bit shifts have one register, but for ROTATE. */
	unsigned int from = row->format == RS ? o->r1 : o->r3;
	u64 value = unsign(width, *guest_gr(g, from));
	s64 result;

	switch (row->operation) {
	case SHIFT_LEFT:
		set(g, o->r1, width, value << n);
		break;
	case SHIFT_RIGHT:
		set(g, o->r1, width, value >> n);
		break;
	case SHIFT_RIGHT_SIGNED:
		result = sign(width, value) >> n;
		set(g, o->r1, width, result);
		set_cc_sign(g, result);
		break;
	case SHIFT_LEFT_SIGNED:
		shift_left_signed(g, o->r1, width, value, n);
		break;
	case ROTATE:
		set(g, o->r1, width, width == 64 ? rol64(value, n) : rol32(value, n & 31));
		break;
	}
}

/* The second operand is rotated; of it bits I3 to I4, which may wrap, are used. */
static void rotate_then(struct guest *g, const struct row *row, const struct operands *o)
{
	unsigned int from = g->insn[2] & 63, to = g->insn[3] & 63;
	bool flag = g->insn[row->operation == ROTATE_INSERT ? 3 : 2] & 0x80;
	u64 mask = from <= to ? (~0ULL >> from) & (~0ULL << (63 - to)) :
				(~0ULL >> from) | (~0ULL << (63 - to));
	u64 value = rol64(*guest_gr(g, o->r2), g->insn[4] & 63);
	u64 *gr = guest_gr(g, o->r1), result;

	switch (row->operation) {
	case ROTATE_INSERT:
		/* With the flag the other bits become zero. */
		*gr = (flag ? 0 : *gr & ~mask) | (value & mask);
		set_cc_sign(g, *gr);
		return;
	case ROTATE_AND:
		result = *gr & (value | ~mask);
		break;
	case ROTATE_OR:
		result = *gr | (value & mask);
		break;
	default:
		result = *gr ^ (value & mask);
		break;
	}
	set_cc(g, !!(result & mask));
	/* With the flag only the condition code is wanted. */
	if (!flag)
		*gr = result;
}

/* 128 bits by 64, one bit at a time. False: the quotient has more than 64. */
static bool divide(u64 high, u64 low, u64 by, u64 *quotient, u64 *remainder)
{
	unsigned int i;
	bool carry;

	if (high >= by)
		return false;
	for (i = 0; i < 64; i++) {
		carry = high >> 63;
		high = high << 1 | low >> 63;
		low <<= 1;
		if (carry || high >= by) {
			high -= by;
			low |= 1;
		}
	}
	*quotient = low;
	*remainder = high;
	return true;
}

/* On an even and odd pair of registers. */
static void divide_logical(struct guest *g, const struct row *row, const struct operands *o, u64 by)
{
	u64 high = first(g, row, o), low, quotient, remainder;

	if (o->r1 & 1) {
		g->pgm = PGM_SPECIFICATION;
		return;
	}
	low = unsign(row->width, *guest_gr(g, o->r1 + 1));
	if (row->width == 32) {
		low |= high << 32;
		high = 0;
	}
	if (!divide(high, low, by, &quotient, &remainder) || unsign(row->width, quotient) != quotient) {
		g->pgm = PGM_FIXED_POINT_DIVIDE;
		return;
	}
	set(g, o->r1, row->width, remainder);
	set(g, o->r1 + 1, row->width, quotient);
}

/* Signed; the dividend is the odd register of the pair. */
static void divide_single(struct guest *g, const struct operands *o, s64 by)
{
	s64 dividend;

	if (o->r1 & 1) {
		g->pgm = PGM_SPECIFICATION;
		return;
	}
	dividend = *guest_gr(g, o->r1 + 1);
	if (!by || (by == -1 && dividend == S64_MIN)) {
		g->pgm = PGM_FIXED_POINT_DIVIDE;
		return;
	}
	*guest_gr(g, o->r1) = dividend % by;
	*guest_gr(g, o->r1 + 1) = dividend / by;
}

static void multiply_logical(struct guest *g, const struct row *row, const struct operands *o, u64 b)
{
	unsigned __int128 product;

	if (o->r1 & 1) {
		g->pgm = PGM_SPECIFICATION;
		return;
	}
	product = (unsigned __int128)unsign(row->width, *guest_gr(g, o->r1 + 1)) * b;
	set(g, o->r1, row->width, product >> row->width);
	set(g, o->r1 + 1, row->width, product);
}

static void jump(struct guest *g, u64 to)
{
	g->scb->gpsw.addr = guest_wrap(g, to);
}

/* The address of the next instruction, as the addressing mode has it. */
static void set_link(struct guest *g, unsigned int r1)
{
	u64 next = g->scb->gpsw.addr;

	if (g->scb->gpsw.mask & PSW_MASK_EA)
		set(g, r1, 64, next);
	else
		set(g, r1, 32, next | (g->scb->gpsw.mask & PSW_MASK_BA ? 0x80000000 : 0));
}

static bool selects(unsigned int mask, unsigned int cc)
{
	return mask & 8 >> cc;
}

static void branch(struct guest *g, const struct row *row, const struct operands *o, u64 to)
{
	/* Register 0 means: no branch. */
	bool nowhere = row->format == RR && !o->r2;
	u64 count;

	if (row->format == RRE)
		nowhere = !o->r2;
	switch (row->operation) {
	case BRANCH:
		if (!nowhere && selects(o->r1, get_cc(g)))
			jump(g, to);
		break;
	case BRANCH_SAVE:
		set_link(g, o->r1);
		if (!nowhere)
			jump(g, to);
		break;
	case BRANCH_COUNT:
		count = unsign(row->width, *guest_gr(g, o->r1) - 1);
		set(g, o->r1, row->width, count);
		if (!nowhere && count)
			jump(g, to);
		break;
	}
}

static void compare_branch(struct guest *g, const struct row *row, const struct operands *o, u64 b)
{
	bool logical = row->operation == COMPARE_LOGICAL_BRANCH;
	u64 a = *guest_gr(g, o->r1);

	a = logical ? unsign(row->width, a) : sign(row->width, a);
	b = logical ? unsign(row->width, b) : sign(row->width, b);
	if (selects(o->r3, compare(a, b, logical)))
		jump(g, o->addr);
}

static void multiple(struct guest *g, const struct row *row, const struct operands *o)
{
	unsigned int nr = o->r1, size = size_of(row->kind);
	u64 addr = o->addr, value;

	for (;; nr = (nr + 1) & 15, addr += size) {
		if (row->operation == LOAD_MULTIPLE) {
			value = guest_load(g, addr, size);
			if (!g->pgm)
				set(g, nr, row->width, value);
		} else {
			guest_store(g, addr, *guest_gr(g, nr), size);
		}
		if (g->pgm || nr == o->r3)
			return;
	}
}

/* The bytes of a word that the mask selects, with as many bytes of storage. */
static void under_mask(struct guest *g, const struct row *row, const struct operands *o)
{
	u64 word = first(g, row, o), mine = 0, theirs;
	unsigned int n = hweight8(o->r3), i, shift;

	theirs = n ? guest_load(g, o->addr, n) : 0;
	if (g->pgm)
		return;
	/* From the right: the last byte of storage belongs to the last that is selected. */
	for (i = 0; i < 4; i++) {
		if (!(o->r3 & 1 << i))
			continue;
		shift = 8 * hweight8(o->r3 & ((1 << i) - 1));
		mine |= (word >> 8 * i & 0xff) << shift;
		if (row->operation == INSERT_UNDER_MASK)
			word = (word & ~(0xffULL << 8 * i)) | (theirs >> shift & 0xff) << 8 * i;
	}
	switch (row->operation) {
	case STORE_UNDER_MASK:
		if (n)
			guest_store(g, o->addr, mine, n);
		break;
	case COMPARE_UNDER_MASK:
		set_cc(g, compare(mine, theirs, true));
		break;
	case INSERT_UNDER_MASK:
		set(g, o->r1, 32, word);
		/* 1: the leftmost bit that was inserted is one. */
		set_cc(g, !theirs ? 0 : theirs >> (8 * n - 1) ? 1 : 2);
		break;
	}
}

static void find_leftmost_one(struct guest *g, const struct operands *o, u64 value)
{
	unsigned int zeros = 64 - fls64(value);

	if (o->r1 & 1) {
		g->pgm = PGM_SPECIFICATION;
		return;
	}
	*guest_gr(g, o->r1) = zeros;
	*guest_gr(g, o->r1 + 1) = value ? value & ~(1ULL << (63 - zeros)) : 0;
	set_cc(g, value ? 2 : 0);
}

static void storage_immediate(struct guest *g, const struct row *row, const struct operands *o)
{
	unsigned int size = size_of(row->kind);
	u64 value, imm = o->imm;

	if (row->operation == MOVE_IMM) {
		guest_store(g, o->addr, imm, size);
		return;
	}
	value = value_of(g, row->kind, o);
	if (g->pgm)
		return;
	switch (row->operation) {
	case TEST_IMM:
		set_cc(g, cc_under_mask(value, imm, false));
		return;
	case COMPARE_IMM:
		set_cc(g, compare(value, imm, false));
		return;
	case COMPARE_LOGICAL_IMM:
		set_cc(g, compare(value, (u16)imm, true));
		return;
	case ADD_IMM:
		guest_store(g, o->addr, add(g, row->width, value, (s8)imm, false), size);
		return;
	case ADD_LOGICAL_IMM:
		value = add_logical(g, row->width, value, unsign(row->width, (s64)(s8)imm), false);
		guest_store(g, o->addr, value, size);
		return;
	case AND_IMM:
		value &= imm;
		break;
	case OR_IMM:
		value |= imm;
		break;
	case XOR_IMM:
		value ^= imm;
		break;
	}
	set_cc(g, !!value);
	guest_store(g, o->addr, value, size);
}

/* Byte by byte, left to right: operands may overlap. */
static void characters(struct guest *g, const struct row *row, const struct operands *o)
{
	unsigned int n = g->insn[1] + 1, i;
	/* Of the first operand, as far as the second reads what was just written. */
	u64 ahead = guest_wrap(g, o->addr - o->addr2);
	u8 a[256], b[256];
	bool any = false;

	if (guest_access(g, o->addr2, b, n, false))
		return;
	if (row->operation != MOVE_CHARS && guest_access(g, o->addr, a, n, false))
		return;
	for (i = 0; i < n; i++) {
		/* The second operand's byte is one that this instruction has made. */
		if (ahead && ahead <= i && row->operation != COMPARE_CHARS)
			b[i] = a[i - ahead];
		switch (row->operation) {
		case COMPARE_CHARS:
			if (a[i] == b[i])
				continue;
			set_cc(g, a[i] < b[i] ? 1 : 2);
			return;
		case MOVE_CHARS: a[i] = b[i]; break;
		case AND_CHARS: a[i] &= b[i]; break;
		case OR_CHARS: a[i] |= b[i]; break;
		case XOR_CHARS: a[i] ^= b[i]; break;
		}
		any |= a[i];
	}
	if (row->operation == COMPARE_CHARS) {
		set_cc(g, 0);
		return;
	}
	if (guest_access(g, o->addr, a, n, true))
		return;
	if (row->operation != MOVE_CHARS)
		set_cc(g, any);
}

/*
 * Floating-point registers are the processor's: KVM has put the guest's there.
 * Those that a guest has without the AFP-register control.
 */
static enum outcome load_float(unsigned int r, u64 value)
{
	switch (r) {
	case 0: asm volatile("ld	0,%0" : : "R" (value)); break;
	case 2: asm volatile("ld	2,%0" : : "R" (value)); break;
	case 4: asm volatile("ld	4,%0" : : "R" (value)); break;
	case 6: asm volatile("ld	6,%0" : : "R" (value)); break;
	default: return UNKNOWN;
	}
	return DONE;
}

static void supervisor_call(struct guest *g)
{
	psw_t *psw = &g->scb->gpsw, new;

	if (guest_access(g, offsetof(struct lowcore, svc_new_psw), &new, sizeof(new), false))
		return;
	guest_store(g, offsetof(struct lowcore, svc_int_code), g->ilen << 16 | g->insn[1], 4);
	guest_access(g, offsetof(struct lowcore, svc_old_psw), psw, sizeof(*psw), true);
	*psw = new;
}

static void set_addressing_mode(struct guest *g, unsigned int width)
{
	psw_t *psw = &g->scb->gpsw;

	psw->mask &= ~(PSW_MASK_EA | PSW_MASK_BA);
	if (width == 64)
		psw->mask |= PSW_MASK_EA | PSW_MASK_BA;
	else if (width == 31)
		psw->mask |= PSW_MASK_BA;
	psw->addr = guest_wrap(g, psw->addr);
}

static void system_mask(struct guest *g, const struct row *row, const struct operands *o)
{
	unsigned long *mask = &g->scb->gpsw.mask;
	u64 imm = o->imm << 56, rest = ~(0xffULL << 56), value;

	if (row->operation == SET_SYSTEM_MASK) {
		value = guest_load(g, o->addr, 1);
		if (!g->pgm)
			*mask = (*mask & rest) | value << 56;
		return;
	}
	guest_store(g, o->addr, *mask >> 56, 1);
	if (g->pgm)
		return;
	if (row->operation == AND_SYSTEM_MASK)
		*mask &= imm | rest;
	else
		*mask |= imm;
}

static void clocks(struct guest *g, const struct row *row, const struct operands *o)
{
	u64 value = 0;

	if (row->operation == SET_COMPARATOR || row->operation == SET_TIMER) {
		value = guest_load(g, o->addr, 8);
		if (g->pgm)
			return;
	}
	guest_run_timer(g);
	switch (row->operation) {
	case STORE_CLOCK:
		guest_store(g, o->addr, guest_tod(g), 8);
		set_cc(g, 0);
		break;
	case STORE_CLOCK_EXTENDED:
		/* Epoch index, then the clock, then nothing. */
		guest_store(g, o->addr, guest_tod(g) >> 8, 8);
		guest_store(g, o->addr + 8, guest_tod(g) << 56, 8);
		set_cc(g, 0);
		break;
	case SET_COMPARATOR:
		g->scb->ckc = value;
		break;
	case STORE_COMPARATOR:
		guest_store(g, o->addr, g->scb->ckc, 8);
		break;
	case SET_TIMER:
		g->scb->cputm = value;
		break;
	case STORE_TIMER:
		guest_store(g, o->addr, g->scb->cputm, 8);
		break;
	}
}

/* Out of the list that the state description names. */
static enum outcome store_facilities(struct guest *g, const struct operands *o)
{
	u64 *list = phys_to_virt(g->scb->fac & 0x7ffffff8), *gr = guest_gr(g, 0);
	unsigned int room = (*gr & 0xff) + 1, have = 1, i;

	if (!g->scb->fac)
		return intercept_instruction(g);
	for (i = 0; i < 32; i++)
		if (list[i])
			have = i + 1;
	if (guest_access(g, o->addr, list, min(room, have) * sizeof(*list), true))
		return DONE;
	*gr = (*gr & ~0xffULL) | (have - 1);
	set_cc(g, room >= have ? 0 : 3);
	return DONE;
}

/* The host finds it where a machine leaves it. */
enum outcome intercept_instruction(struct guest *g)
{
	g->scb->icptcode = ICPT_INST;
	g->scb->icptstatus = 0;
	g->scb->ipa = get_unaligned_be16(g->insn);
	g->scb->ipb = get_unaligned_be32(g->insn + 2);
	/* What follows a shorter instruction is none of it. */
	if (g->ilen == 2)
		g->scb->ipb = 0;
	else if (g->ilen == 4)
		g->scb->ipb &= 0xffff0000;
	return INTERCEPTED;
}

/* Another instruction, its second byte changed, that does not move the PSW. */
static enum outcome execute(struct guest *g, const struct operands *o)
{
	u8 byte = o->r1 ? *guest_gr(g, o->r1) : 0;
	unsigned int length;

	if (o->addr & 1) {
		g->pgm = PGM_SPECIFICATION;
		return DONE;
	}
	g->ia = o->addr;
	memset(g->insn, 0, sizeof(g->insn));
	if (guest_access(g, o->addr, g->insn, 2, false))
		return DONE;
	length = insn_length(g->insn[0]);
	if (guest_access(g, o->addr + 2, g->insn + 2, length - 2, false))
		return DONE;
	g->insn[1] |= byte;
	switch (opcode_of(g->insn)) {
	case 0x4400: case 0xc600:
		g->pgm = PGM_EXECUTE;
		return DONE;
	}
	return interpret(g);
}

static enum outcome dispatch(struct guest *g, const struct row *row, const struct operands *o)
{
	u64 b;

	switch (row->operation) {
	case HOST:
		return intercept_instruction(g);
	case AP:
		return guest_ap_instruction(g);
	case EXECUTE:
		return execute(g, o);
	case STORE_FACILITIES:
		return store_facilities(g, o);
	case STORE:
		guest_store(g, o->addr, *guest_gr(g, o->r1), size_of(row->kind));
		return DONE;
	case INSERT_UNDER_MASK: case STORE_UNDER_MASK: case COMPARE_UNDER_MASK:
		under_mask(g, row, o);
		return DONE;
	case STORE_REVERSED:
		guest_store(g, o->addr, swab64(*guest_gr(g, o->r1)) >> (64 - 8 * size_of(row->kind)),
			    size_of(row->kind));
		return DONE;
	case LOAD_MULTIPLE: case STORE_MULTIPLE:
		multiple(g, row, o);
		return DONE;
	case MOVE_IMM: case ADD_IMM: case ADD_LOGICAL_IMM: case AND_IMM: case OR_IMM: case XOR_IMM:
	case TEST_IMM: case COMPARE_IMM: case COMPARE_LOGICAL_IMM:
		storage_immediate(g, row, o);
		return DONE;
	case MOVE_CHARS: case AND_CHARS: case OR_CHARS: case XOR_CHARS: case COMPARE_CHARS:
		characters(g, row, o);
		return DONE;
	case SHIFT_LEFT: case SHIFT_RIGHT: case SHIFT_LEFT_SIGNED: case SHIFT_RIGHT_SIGNED: case ROTATE:
		shift(g, row, o);
		return DONE;
	case ROTATE_INSERT: case ROTATE_AND: case ROTATE_OR: case ROTATE_XOR:
		rotate_then(g, row, o);
		return DONE;
	case SET_SYSTEM_MASK: case AND_SYSTEM_MASK: case OR_SYSTEM_MASK:
		system_mask(g, row, o);
		return DONE;
	case STORE_CLOCK: case STORE_CLOCK_EXTENDED: case SET_COMPARATOR: case STORE_COMPARATOR:
	case SET_TIMER: case STORE_TIMER:
		clocks(g, row, o);
		return DONE;
	case SUPERVISOR_CALL:
		supervisor_call(g);
		return DONE;
	case SET_ADDRESSING_MODE:
		set_addressing_mode(g, row->width);
		return DONE;
	case SET_PROGRAM_MASK:
		g->scb->gpsw.mask = (g->scb->gpsw.mask & ~(PSW_MASK_CC | PSW_MASK_PM)) |
				    (*guest_gr(g, o->r1) & 0x3f000000) << 16;
		return DONE;
	case INSERT_PROGRAM_MASK:
		*guest_gr(g, o->r1) = (*guest_gr(g, o->r1) & ~0xff000000ULL) |
				      (g->scb->gpsw.mask & (PSW_MASK_CC | PSW_MASK_PM)) >> 16;
		return DONE;
	case NOTHING:
		return DONE;
	}

	b = value_of(g, row->kind, o);
	if (g->pgm)
		return DONE;
	switch (row->operation) {
	case LOAD:
		set(g, o->r1, row->width, b);
		break;
	case LOAD_TEST:
		set(g, o->r1, row->width, b);
		set_cc_sign(g, sign(row->width, b));
		break;
	case LOAD_REVERSED:
		set(g, o->r1, row->width, swab64(b) >> (64 - row->width));
		break;
	case LOAD_ADDRESS:
		/* Bits 0 to 31 stay, where addresses do not reach them. */
		set(g, o->r1, g->scb->gpsw.mask & PSW_MASK_EA ? 64 : 32, b);
		break;
	case LOAD_FLOAT:
		return load_float(o->r1, b);
	case INSERT_BYTE:
		*guest_gr(g, o->r1) = (*guest_gr(g, o->r1) & ~0xffULL) | b;
		break;
	case COMPARE:
		set_cc(g, compare(sign(row->width, first(g, row, o)), sign(row->width, b), false));
		break;
	case COMPARE_LOGICAL:
		set_cc(g, compare(first(g, row, o), unsign(row->width, b), true));
		break;
	case AND: case OR: case XOR:
		bitwise(g, row, o, b);
		break;
	case PART_LOAD: case PART_INSERT: case PART_AND: case PART_OR: case PART_XOR: case PART_TEST:
		part(g, row, o, b);
		break;
	case BRANCH: case BRANCH_SAVE: case BRANCH_COUNT:
		branch(g, row, o, b);
		break;
	case COMPARE_BRANCH: case COMPARE_LOGICAL_BRANCH:
		compare_branch(g, row, o, b);
		break;
	case FIND_LEFTMOST_ONE:
		find_leftmost_one(g, o, b);
		break;
	case DIVIDE_SINGLE:
		divide_single(g, o, b);
		break;
	case DIVIDE_LOGICAL:
		divide_logical(g, row, o, b);
		break;
	case MULTIPLY_LOGICAL:
		multiply_logical(g, row, o, b);
		break;
	default:
		arithmetic(g, row, o, b);
		break;
	}
	return DONE;
}

static bool is_privileged(enum operation operation)
{
	switch (operation) {
	case SET_SYSTEM_MASK: case AND_SYSTEM_MASK: case OR_SYSTEM_MASK:
	case SET_COMPARATOR: case STORE_COMPARATOR: case SET_TIMER: case STORE_TIMER: case NOTHING:
		return true;
	default:
		return false;
	}
}

enum outcome interpret(struct guest *g)
{
	unsigned int index = row_of[opcode_of(g->insn)];
	struct operands o = {};
	const struct row *row;

	if (!index)
		return g->insn[0] ? UNKNOWN : INVALID;
	row = &rows[index - 1];
	if (g->scb->gpsw.mask & PSW_MASK_PSTATE && is_privileged(row->operation)) {
		g->pgm = PGM_PRIVILEGED_OP;
		return DONE;
	}
	decode(g, row, &o);
	return dispatch(g, row, &o);
}
