# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=dash
#
# Sourced by init: runs each test in a process of its own, on a fresh host.
# shellcheck disable=SC2154 # what init sets

limit=180

# What the kernel must not say while a test runs.
complaints='WARNING:|BUG:|Oops|refcount_t|Unable to handle|Call Trace|INFO: task|list_(add|del) corruption'

# may_complain TEST: tests for which the kernel has a reason to.
may_complain() {
	case $1 in
	*without_pgste*) # KVM_CREATE_VM is refused, and 6.12 warns when it cleans up
		return 0 ;;
	esac
	return 1
}

# lab_tests PROGRAM: its tests that are for here. False: it has none, or does not tell.
lab_tests() {
	local all
	all=$("$1" --list --ignored --format terse) || return 1
	case $1 in
	hypervisor-tests) echo "$all" | sed -n 's/^\(.*\): test$/hypervisor::\1/p' ;;
	adjunct-tests) echo "$all" | sed -n 's/^\(\(.*::\)*\(real_host\|lab\)::.*\): test$/\1/p' ;;
	esac | grep .
}

# Tests named cdev are for hosts that have VFIO's character devices.
that_can_run() {
	if [ "$backend" = cdev ]; then cat; else grep -v '::cdev::'; fi
}

run_test() {
	local name="$1" program=adjunct-tests since verdict=failed seconds
	case $name in hypervisor::*) program=hypervisor-tests ;; esac
	dmesg -c >/dev/null
	since=$(now)
	timeout -s KILL $limit $program --exact "${name#hypervisor::}" --ignored --nocapture </dev/null >/tmp/output 2>&1
	case $? in
	0) ! grep -q '^test result: ok. 1 passed' /tmp/output || verdict=ok ;;
	137) verdict=timeout ;;
	esac
	# Whatever it started and left behind; not us, process 1.
	kill -9 -1
	if dmesg | grep -qE "$complaints" && ! may_complain "$name"; then
		[ $verdict = timeout ] || verdict=failed
		{ echo '--- the kernel'; dmesg | tail -n 40; } >>/tmp/output
	fi
	seconds=$(awk "BEGIN { print $(now) - $since }")
	if [ $verdict = ok ]; then
		report "\"test\":\"$name\",\"result\":\"ok\",\"seconds\":$seconds"
	else
		report "\"test\":\"$name\",\"result\":\"$verdict\",\"seconds\":$seconds,\"output\":\"$(tail -c 6000 /tmp/output | json_text)\""
	fi
}

run_tests() {
	local name list program
	for program in hypervisor-tests adjunct-tests; do
		list="$list $(lab_tests $program)" || {
			report "\"error\":\"$program lists no tests\""
			return
		}
	done
	# shellcheck disable=SC2086 # words
	list=$(printf '%s\n' $list | that_can_run)
	report "\"tests\":[$(echo "$list" | awk 'NF { printf "%s\"%s\"", separator, $0; separator = "," }')]"
	for name in $list; do
		run_test "$name"
		fresh_host || { report '"error":"the host cannot be made ready again"'; return; }
	done
}
