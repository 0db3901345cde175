// SPDX-License-Identifier: GPL-2.0-only
/*
 * apemu: patches of the running kernel. Facilities, what SCLP and CHSC tell of
 * the machine, the entry to SIE, and CHSC's "set guest information block".
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/alternative.h>
#include <asm/css_chars.h>
#include <asm/facility.h>
#include <asm/sclp.h>
#include "apemu.h"

u32 apemu_gib;

/* s390_kernel_write(): writes through write protection. */
static void *(*kernel_write_at)(void *to, const void *from, size_t n);

/*
 * A test for a constant facility is a branch that was patched before there was
 * a facility, so this does for its places what the boot did. Their list goes
 * with the init data: works only while initcalls run.
 */
static int redo_alternatives(unsigned int bit)
{
	struct alt_instr *a = apemu_symbol("__alt_instructions");
	struct alt_instr *end = apemu_symbol("__alt_instructions_end");

	if (!a || !end)
		return -ENOENT;
	for (; a < end; a++) {
		if (a->type != ALT_TYPE_FACILITY || a->data != bit)
			continue;
		kernel_write_at((u8 *)&a->instr_offset + a->instr_offset,
				(u8 *)&a->repl_offset + a->repl_offset,
				a->instrlen);
	}
	return 0;
}

static int set_facility(unsigned int bit)
{
	u64 word;

	if (bit >= BITS_PER_BYTE * sizeof(stfle_fac_list))
		return -EINVAL;
	word = stfle_fac_list[bit / 64] | 1ULL << (63 - bit % 64);
	kernel_write_at(&stfle_fac_list[bit / 64], &word, sizeof(word));
	return redo_alternatives(bit);
}

static int set_facilities(const char *list)
{
	char *copy = kstrdup(list, GFP_KERNEL), *rest = copy, *token;
	unsigned int bit;
	int rc = 0;

	if (!copy)
		return -ENOMEM;
	while (!rc && (token = strsep(&rest, ",")))
		if (*token)
			rc = kstrtouint(token, 0, &bit) ?: set_facility(bit);
	kfree(copy);
	return rc;
}

/* Makes a function begin with a branch to another. */
static int branch_from(const char *name, void *to)
{
	/* brcl 15,to: as far as 4 GiB. */
	struct {
		u16 opcode;
		s32 halfwords;
	} __packed near = { .opcode = 0xc0f4 };
	/* lgrl %r1,.+8; br %r1; .quad to: anywhere. */
	struct {
		u16 lgrl;
		s32 halfwords;
		u16 br;
		void *to;
	} __packed far = { 0xc418, 4, 0x07f1, to };
	void *from = apemu_symbol(name);
	s64 distance = (s64)to - (s64)from;

	if (!from)
		return -ENOENT;
	near.halfwords = distance / 2;
	if (near.halfwords == distance / 2)
		kernel_write_at(from, &near, sizeof(near));
	else if (IS_ALIGNED((unsigned long)from, 8))
		kernel_write_at(from, &far, sizeof(far));
	else
		return -EINVAL;
	return 0;
}

/* In place of chsc_sgib(). */
static int set_guest_information_block(u32 origin)
{
	apemu_gib = origin;
	return 0;
}

int apemu_patch_host(const char *facilities)
{
	struct css_general_char css = css_general_characteristics;
	struct sclp_info info = sclp;
	int rc;

	kernel_write_at = apemu_symbol("s390_kernel_write");
	if (!kernel_write_at)
		return -ENOENT;
	rc = set_facilities(facilities);
	rc = rc ?: branch_from("__sie64a", apemu_sie);
	rc = rc ?: branch_from("chsc_sgib", set_guest_information_block);
	if (rc)
		return rc;
	/* What KVM wants of a machine with SIE, and adapter interruptions for guests. */
	info.has_sief2 = 1;
	info.has_64bscao = 1;
	kernel_write_at(&sclp, &info, sizeof(info));
	css.aiv = 1;
	kernel_write_at(&css_general_characteristics, &css, sizeof(css));
	return 0;
}
