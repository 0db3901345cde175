# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# Sourced: where the lab keeps what it fetched and built.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/adjunct/lab
mkdir -p "$cache"

# lock NAME: until this process ends; two labs side by side must not fetch or
# build the same thing.
lock() {
	exec 9>"$cache/$1.lock"
	flock 9
}

# fingerprint: of standard input.
fingerprint() {
	sha256sum | cut -c1-12
}
