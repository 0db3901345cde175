# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=dash
#
# Sourced by init: runs each test in a process of its own, on a fresh host.
# shellcheck disable=SC2154 # what init sets

limit=300

# What the kernel must not say while a test runs.
complaints='WARNING:|BUG:|Oops|refcount_t|Unable to handle|Call Trace|INFO: task|list_(add|del) corruption'

# What random operations have the kernel say with reason. A queue whose adapter is deconfigured or checkstopped is in
# an mdev: when the memory of its guest is unmapped, which begins at 0, the kernel disables the interruptions of every
# queue of which it knows no other address, and this one does not answer (vfio_ap_ops.c: unmap_iova). And 6.12 resets
# queues that the machine has no more.
surprises='vfio_ap_irq_disable|vfio_ap_mdev_reset_queue'

# What an idle CPU of Debian's 7.2.13 says in some boots in emulation (two of about six), once, and before any guest ran too: its count of
# interruptions is not what it should be (kernel/context_tracking.c: ct_kernel_exit, WARN_ON_ONCE). That needs neither adjunct nor KVM;
# the cause was not found. The line ends in the task, which on an idle CPU is swapper/N.
idle='ct_kernel_exit.*swapper'

# complained TEST: the kernel did, and has no reason to.
complained() {
	case $1 in
	*without_pgste*) # KVM_CREATE_VM is refused, and 6.12 warns when it cleans up
		false ;;
	simulator-differential::*) dmesg | without "$surprises|$idle" | grep -qE "$complaints" ;;
	*) dmesg | without "$idle" | grep -qE "$complaints" ;;
	esac
}

# without FUNCTIONS: the kernel's words but for the reports, from the first line to the last, of what these warn of.
without() {
	awk -v complaints="$complaints" -v surprises="WARNING:.*($1)" '
		function done() { if (!expected || worse) printf "%s", text; report = expected = worse = 0 }
		/------------\[ cut here \]------------/ { done(); report = 1; text = "" }
		!report { print; next }
		{ text = text $0 "\n" }
		$0 ~ surprises { expected = 1; next }
		$0 ~ complaints && !/Call Trace/ { worse = 1 }
		/---\[ end trace/ { done(); text = "" }
		END { done() }'
}

# lab_tests PROGRAM: its tests that are for here. False: it has none, or does not tell.
lab_tests() {
	local all
	all=$("$1" --list --ignored --format terse) || return 1
	case $1 in
	hypervisor-tests) echo "$all" | sed -n 's/^\(.*\): test$/hypervisor::\1/p' ;;
	simulator-*) echo "$all" | sed -n "s/^\(\(.*::\)*lab::.*\): test\$/$1::\1/p" ;;
	adjunct-tests) echo "$all" | sed -n 's/^\(\(.*::\)*\(real_host\|lab\)::.*\): test$/\1/p' ;;
	esac | grep .
}

# Tests named cdev are for hosts that have VFIO's character devices.
that_can_run() {
	if [ "$backend" = cdev ]; then cat; else grep -v '::cdev::'; fi
}

run_test() {
	local name="$1" program=adjunct-tests test="$1" since verdict=failed seconds
	case $name in
	hypervisor::*) program=hypervisor-tests test=${name#*::} ;;
	simulator-*) program=${name%%::*} test=${name#*::} ;;
	esac
	dmesg -c >/dev/null
	since=$(now)
	timeout -s KILL $limit "$program" --exact "$test" --ignored --nocapture </dev/null >/tmp/output 2>&1
	case $? in
	0) ! grep -q '^test result: ok. 1 passed' /tmp/output || verdict=ok ;;
	137) verdict=timeout ;;
	esac
	# Whatever it started and left behind; not us, process 1.
	kill -9 -1
	if complained "$name"; then
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

# What a test that ran with others had to say.
output_of() {
	awk -v from="---- $1 stdout ----" '
		$0 == from { mine = 1; next }
		/^---- .* ----$/ || /^failures:$/ { mine = 0 }
		mine' /tmp/output
}

# The conformance tests, which are many and short: all in one process, one after the other, each of which makes its
# host itself. Of those that a killed process did not come to nothing is reported, so they are missing.
run_conformance() {
	local name test since status cannot=""
	dmesg -c >/dev/null
	since=$(now)
	[ "$backend" = cdev ] || cannot='--skip ::cdev::'
	# shellcheck disable=SC2086 # words
	timeout -s KILL $limit simulator-conformance lab:: --ignored --test-threads=1 $cannot </dev/null >/tmp/output 2>&1
	status=$?
	echo "lab: the conformance tests took $(awk "BEGIN { print $(now) - $since }") s"
	kill -9 -1
	for name; do
		test=${name#*::}
		if grep -qF "test $test ... ok" /tmp/output; then
			report "\"test\":\"$name\",\"result\":\"ok\""
		elif grep -qF "test $test ... FAILED" /tmp/output; then
			report "\"test\":\"$name\",\"result\":\"failed\",\"output\":\"$(output_of "$test" | tail -c 6000 | json_text)\""
		elif grep -qF "test $test ... " /tmp/output; then
			[ $status = 137 ] && status=timeout || status=failed
			report "\"test\":\"$name\",\"result\":\"$status\",\"output\":\"$(tail -n 40 /tmp/output | json_text)\""
		fi
	done
}

run_tests() {
	local name list program conformance
	for program in hypervisor-tests adjunct-tests $(cd /bin && ls simulator-* 2>/dev/null); do
		list="$list $(lab_tests "$program")" || {
			report "\"error\":\"$program lists no tests\""
			return
		}
	done
	# shellcheck disable=SC2086 # words
	list=$(printf '%s\n' $list | that_can_run)
	report "\"tests\":[$(echo "$list" | awk 'NF { printf "%s\"%s\"", separator, $0; separator = "," }')]"
	conformance=$(echo "$list" | grep '^simulator-conformance::')
	if [ -n "$conformance" ]; then
		# shellcheck disable=SC2086 # words
		run_conformance $conformance
		fresh_host || { report '"error":"the host cannot be made ready again"'; return; }
	fi
	for name in $(echo "$list" | grep -v '^simulator-conformance::'); do
		run_test "$name"
		fresh_host || { report '"error":"the host cannot be made ready again"'; return; }
	done
}
