# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=dash
#
# Sourced in the guest: runs the commands of docs/ap-passthrough.md, files in /lab/commands, in one shell, as
# someone at a terminal would. Before the output of each: its number, after an RS character.
# shellcheck disable=SC2154 # what init sets

# What the lab has done for its tests and no administrator's host has: mediated devices, masks, the driver itself.
as_found() {
	local id
	remove_mdevs || return 1
	put "$ADJUNCT_LAB/ctl" reset || return 1
	for id in apmask aqmask; do
		put /sys/bus/ap/$id 0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff || return 1
	done
	put /sys/bus/ap/scans 1 || return 1
	rmmod vfio_ap || return 1
	dmesg -c >/dev/null
}

# What a real host has and the lab has not: users, /dev/kvm as udev leaves it, modprobe.
as_installed() {
	printf '%s\n' 'root:x:0:0::/:/bin/sh' 'vmm:x:1000:1000::/tmp:/bin/sh' >/etc/passwd
	printf '%s\n' 'root:x:0:' 'kvm:x:36:vmm' 'vmm:x:1000:' >/etc/group
	chown root:kvm /dev/kvm
	chmod 660 /dev/kvm
	chmod 1777 /tmp
}

modprobe() {
	load "/lab/$backend/$1.ko"
}

# What was left running has told its events, and the kernel what it had to say.
settle() {
	local tries=300
	case $1 in
	*'&')
		while [ $tries -gt 0 ] && ! grep -qs -e ap-attached -e '"ended"' /tmp/events; do
			sleep 0.1
			tries=$((tries - 1))
		done
		;;
	esac
	[ -z "$(jobs -p)" ] || sleep 1
}

as_found && as_installed || return 1
unset ADJUNCT_MDEV ADJUNCT_SECOND_MDEV
status=0
for file in /lab/commands/*; do
	line=$(cat "$file")
	command=${line#??}
	printf '\036%s\n' "${file##*/}"
	case $line in
	'$ '*)
		export vmm="$command"
		command='su vmm -s /bin/sh -c "$vmm"'
		;;
	esac
	case $command in *'&') rm -f /tmp/events ;; esac
	# Appended, because what still runs writes there too.
	: >/tmp/said
	(exit $status)
	eval "$command" >>/tmp/said 2>&1
	status=$?
	settle "$command"
	# The name of this script is nothing to the reader; nor whether a last line ended.
	sed 's/^[^ ]*: line [0-9]*: /sh: /' /tmp/said | awk 1
done
true
