// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debian builds kvm.ko without CONFIG_VFIO_AP, so newer kernels leave out the
 * one export that vfio_ap.ko needs. It is made of what kvm.ko has, as
 * arch/s390/kvm makes it. For the lab only.
 */
#include <linux/kprobes.h>
#include <linux/kvm_host.h>
#include <linux/module.h>

static unsigned long (*hva_of)(struct kvm *kvm, gfn_t gfn);

bool kvm_s390_is_gpa_in_memslot(struct kvm *kvm, gpa_t gpa)
{
	return !kvm_is_error_hva(hva_of(kvm, gpa_to_gfn(gpa)));
}
EXPORT_SYMBOL_GPL(kvm_s390_is_gpa_in_memslot);

static int __init kvm_export_init(void)
{
	struct kprobe probe = { .symbol_name = "gfn_to_hva" };
	int rc = register_kprobe(&probe);

	if (rc)
		return rc;
	hva_of = (void *)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}
module_init(kvm_export_init);

/* vfio_ap.ko calls into it, so it stays as long as that. */
static void __exit kvm_export_exit(void)
{
}
module_exit(kvm_export_exit);

MODULE_DESCRIPTION("An export of kvm.ko that Debian's lacks");
MODULE_LICENSE("GPL");
