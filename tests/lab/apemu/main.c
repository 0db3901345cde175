// SPDX-License-Identifier: GPL-2.0-only
/* apemu: its start, its debugfs files, and the AP instructions of the host. */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kdebug.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <asm/ptrace.h>
#include "apemu.h"

static char *facilities = "12,15,65";
module_param(facilities, charp, 0444);
MODULE_PARM_DESC(facilities, "facilities to switch on");

static unsigned long (*lookup_name)(const char *name);
static atomic64_t ap_instructions;

void *apemu_symbol(const char *name)
{
	return (void *)lookup_name(name);
}

/* kallsyms_lookup_name() is not exported, but a kprobe finds it. */
static int find_lookup_name(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int rc = register_kprobe(&probe);

	if (rc)
		return rc;
	lookup_name = (void *)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}

static int host_read(void *priv, u64 addr, void *to, size_t len)
{
	memcpy(to, (void *)addr, len);
	return 0;
}

static int host_write(void *priv, u64 addr, const void *from, size_t len)
{
	memcpy((void *)addr, from, len);
	return 0;
}

static int host_ap_instruction(struct pt_regs *regs, u32 insn)
{
	struct ap_caller caller = { .read = host_read, .write = host_write };
	int i;

	for (i = 0; i < 16; i++)
		caller.gr[i] = (u64 *)&regs->gprs[i];
	atomic64_inc(&ap_instructions);
	return ap_execute(&caller, insn);
}

/*
 * PLO with the test bit asks which of its functions are there: KVM wants to
 * know, and QEMU has no PLO. Answered for the functions of every z/Architecture
 * machine; the others, and PLO itself, remain an operation exception.
 */
#define PLO_TEST_BIT	0x100
#define PLO_FUNCTIONS	24

static int plo_test(struct pt_regs *regs)
{
	if (!(regs->gprs[0] & PLO_TEST_BIT))
		return -EOPNOTSUPP;
	return (regs->gprs[0] & 0xff) < PLO_FUNCTIONS ? 0 : 3;
}

/*
 * An operation exception in kernel mode is reported as DIE_BPT, for kprobes,
 * with the PSW behind the instruction.
 */
static int operation_exception(struct notifier_block *nb, unsigned long event,
			       void *data)
{
	struct pt_regs *regs = ((struct die_args *)data)->regs;
	unsigned int length = regs->int_code >> 16;
	const u8 *insn = (u8 *)(regs->psw.addr - length);
	int cc;

	if (event != DIE_BPT || user_mode(regs))
		return NOTIFY_DONE;
	if (length == 4 && insn[0] == 0xb2 && insn[1] >= 0xad && insn[1] <= 0xaf)
		cc = host_ap_instruction(regs, *(u32 *)insn);
	else if (length == 6 && insn[0] == 0xee)
		cc = plo_test(regs);
	else
		return NOTIFY_DONE;
	if (cc < 0)
		return NOTIFY_DONE;
	regs->psw.mask = (regs->psw.mask & ~PSW_MASK_CC) | (u64)cc << 44;
	return NOTIFY_STOP;
}

static struct notifier_block operation_exception_nb = {
	.notifier_call = operation_exception,
};

static int state_show(struct seq_file *m, void *v)
{
	seq_printf(m, "host ap-instructions=%lld gib=%x\n",
		   atomic64_read(&ap_instructions), apemu_gib);
	ap_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static int sie_show(struct seq_file *m, void *v)
{
	sie_log_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sie);

/*
 * Lets the AP bus do now what it would do in the background, when its timer
 * comes: look at each queue that it brings up, again and again, until it wants
 * no other look. Queues that never get ready it would look at for ever; no
 * queue that does needs more than a few looks.
 */
static int settle_bus(void)
{
	struct hrtimer *timer = apemu_symbol("ap_poll_timer");
	struct tasklet_struct *tasklet = apemu_symbol("ap_tasklet");
	int looks;

	if (!timer || !tasklet)
		return -ENOENT;
	ap_end_resets();
	for (looks = 0; looks < 8; looks++) {
		if (hrtimer_cancel(timer))
			tasklet_schedule(tasklet);
		else if (!READ_ONCE(tasklet->state))
			break;
		while (READ_ONCE(tasklet->state))
			usleep_range(10, 50);
		ap_end_resets();
	}
	return 0;
}

static ssize_t ctl_write(struct file *file, const char __user *text, size_t n,
			 loff_t *pos)
{
	char buf[80], *command;
	int rc = 0;

	if (n >= sizeof(buf))
		return -EINVAL;
	if (copy_from_user(buf, text, n))
		return -EFAULT;
	buf[n] = 0;
	command = strim(buf);
	if (!strcmp(command, "settle"))
		return settle_bus() ?: n;
	if (!strcmp(command, "sie-clear") || !strcmp(command, "reset"))
		sie_log_clear();
	if (strcmp(command, "sie-clear"))
		rc = ap_control(command);
	return rc ?: n;
}

static const struct file_operations ctl_fops = {
	.owner = THIS_MODULE,
	.write = ctl_write,
};

static int __init apemu_init(void)
{
	struct dentry *dir;
	int rc;

	rc = find_lookup_name();
	rc = rc ?: ap_init();
	rc = rc ?: sie_init();
	rc = rc ?: register_die_notifier(&operation_exception_nb);
	/* Last, because text stays patched: from here on the module cannot go. */
	rc = rc ?: apemu_patch_host(facilities);
	if (rc) {
		pr_err("apemu: not ready: %d\n", rc);
		return rc;
	}
	dir = debugfs_create_dir("apemu", NULL);
	debugfs_create_file("state", 0400, dir, NULL, &state_fops);
	debugfs_create_file("sie", 0400, dir, NULL, &sie_fops);
	debugfs_create_file("ctl", 0200, dir, NULL, &ctl_fops);
	return 0;
}
module_init(apemu_init);
/* No module_exit: see above. */

MODULE_DESCRIPTION("AP instructions and SIE for a lab under QEMU's emulation");
MODULE_LICENSE("GPL");
