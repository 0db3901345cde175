# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=dash
#
# Sourced: the guest of the lab as a host with AP queues for vfio_ap.

matrix=/sys/devices/vfio_ap/matrix
first=11111111-1111-1111-1111-111111111111
second=22222222-2222-2222-2222-222222222222
export ADJUNCT_LAB=/sys/kernel/debug/apemu
export ADJUNCT_MDEV=$matrix/$first ADJUNCT_SECOND_MDEV=$matrix/$second

load() {
	local module
	for module; do
		[ ! -e "$module" ] || insmod "$module" || return 1
	done
}

# load_modules BACKEND: those of Debian, and for cdev ours in their place.
load_modules() {
	local ours="/lab/$1" debian=/lab/modules vfio=/lab/modules
	[ "$1" != cdev ] || vfio=/lab/cdev
	[ -d "$ADJUNCT_LAB" ] || return 1
	# Adapters get no requests but those of tests: the kernel wants no random numbers of them.
	put /sys/class/misc/hw_random/rng_current none || return 1
	load $debian/zcrypt.ko $debian/zcrypt_cex4.ko $debian/irqbypass.ko \
		"$ours/iommufd.ko" $vfio/vfio.ko $vfio/vfio_iommu_type1.ko "$ours/mdev.ko" \
		$debian/kvm.ko "$ours/kvm_export.ko" "$ours/vfio_ap.ko"
}

put() {
	echo "$2" >"$1" || { echo "lab: cannot write $2 to $1"; return 1; }
}

remove_mdevs() {
	local mdev
	for mdev in "$matrix"/*-*-*-*-*/; do
		[ ! -e "$mdev/remove" ] || put "$mdev/remove" 1 || return 1
	done
}

# The host as every test finds it, whatever the last one did: domains 4 and 0xab
# are vfio_ap's, the first mdev has four queues, the second none. A machine without
# extended addressing (apemu: apxa=0) has no domains above 15; there it is 4 and 5.
fresh_host() {
	local id masks=/sys/bus/ap domain=0xab control=0x47
	local ours=f7ffffffffffffffffffffffffffffffffffffffffefffffffffffffffffffff
	if [ "$(cat $masks/ap_max_domain_id)" -le 15 ]; then
		domain=5 control=5
		ours=f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
	fi
	remove_mdevs || return 1
	put "$ADJUNCT_LAB/ctl" reset || return 1
	put $masks/apmask 0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
	put $masks/aqmask 0x$ours
	put $masks/scans 1
	put $matrix/mdev_supported_types/vfio_ap-passthrough/create $first || return 1
	put $matrix/mdev_supported_types/vfio_ap-passthrough/create $second || return 1
	for id in 5 6; do put "$ADJUNCT_MDEV/assign_adapter" $id || return 1; done
	for id in 4 $domain; do put "$ADJUNCT_MDEV/assign_domain" $id || return 1; done
	for id in 4 $control; do put "$ADJUNCT_MDEV/assign_control_domain" $id || return 1; done
}
