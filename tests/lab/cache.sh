# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# Sourced: where the lab keeps what it fetched and built, and what must not stay
# behind when one of its programs ends.

# A failure in $(…) is one too.
shopt -s inherit_errexit

cache=${XDG_CACHE_HOME:-$HOME/.cache}/adjunct/lab
mkdir -p "$cache/work"

# lock NAME: until this process ends; two labs side by side must not fetch or
# build the same thing.
lock() {
	exec 9>"$cache/$1.lock"
	flock -n 9 || {
		echo "${0##*/}: waiting for another one to be done with $1" >&2
		flock 9
	}
}

# fingerprint: of standard input.
fingerprint() {
	sha256sum | cut -c1-12
}

# sweep DIR PATTERN: removes what nobody has used for a day. Who uses something
# touches it.
sweep() {
	find "$1" -mindepth 1 -maxdepth 1 -name "$2" -mtime +0 -exec rm -rf {} +
}

# use NAME ID: $cache/NAME is the folder ID from now on. Others may be using the one
# before; it stays for a day.
use() {
	touch "$cache/$2"
	[ "$cache/$1" -ef "$cache/$2" ] || ln -sfnr "$cache/$2" "$cache/$1"
	sweep "$cache" "$1-*"
}

# temporary NAME: sets $work, a new folder that goes when this process ends, and so
# does all that was started. If the process is killed it goes the next day.
temporary() {
	sweep "$cache/work" '*'
	work=$(mktemp -d "$cache/work/$1.XXXXXX")
	chmod 755 "$work"
	trap leave EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# start COMMAND...: in the background, in a process group of its own, so that it
# can be ended with all it has started.
start() {
	set -m
	"$@" &
	set +m
}

leave() {
	local group
	for group in $(jobs -p); do
		kill -- "-$group" || true
	done 2>/dev/null
	wait 2>/dev/null
	rm -rf "$work"
}
