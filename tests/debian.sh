# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# Sourced: Debian packages of any architecture and suite, fetched and unpacked but
# not installed. apt runs with the machine's settings, but with sources and lists
# of its own, without root, and the machine stays as it is. ADJUNCT_DEBIAN_MIRROR,
# in the environment, is the URL of Debian's archive where apt does not know it.

# A failure in $(…) is one too.
shopt -s inherit_errexit

# find_archive: sets $archive, a URL, and $security, that of the security updates
# or empty.
find_archive() {
	local uris
	archive=${ADJUNCT_DEBIAN_MIRROR-}
	security=
	[ -z "$archive" ] || return 0
	uris=$(apt-get update --print-uris)
	archive=$(sed -n "s|^'\(.*/debian\)/*/dists/.*|\1|p;T;q" <<<"$uris")
	# shellcheck disable=SC2034 # for who asked
	security=$(sed -n "s|^'\(.*\)/dists/[a-z]*-security/.*|\1|p;T;q" <<<"$uris")
	[ -z "$archive" ] || return 0
	echo "${0##*/}: apt on this machine uses no Debian archive; ADJUNCT_DEBIAN_MIRROR=URL names one" >&2
	return 1
}

# configure_apt DIR ARCHITECTURE SOURCE...: an apt that keeps all it has in DIR and
# knows of no installed package. A source is a URL and a suite, such as
# "$archive trixie"; it prefers the first.
configure_apt() {
	local dir=$1 arch=$2 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	shift 2
	[ -e "$keyring" ] || { echo "${0##*/}: $keyring is missing: install debian-archive-keyring" >&2; return 1; }
	mkdir -p "$dir"/{lists,archives}/partial
	touch "$dir/status"
	cat >"$dir/apt.conf" <<-END
		APT::Architecture "$arch";
		#clear APT::Architectures;
		APT::Architectures { "$arch"; };
		APT::Default-Release "${1#* }";
		APT::Sandbox::User "";
		Dir::Etc::SourceList "$dir/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State "$dir";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		END
	# Neither translations nor what graphical installers show.
	printf "deb [signed-by=$keyring target=Packages] %s main\n" "$@" >"$dir/sources.list"
}

# apt DIR WORDS...: apt-get or apt-cache.
apt() {
	local dir=$1 program=apt-get
	shift
	case $1 in show | madison) program=apt-cache ;; esac
	"$program" -qq -c "$dir/apt.conf" "$@"
}

# with_dependencies DIR PACKAGE...: all that an installation would take, a line
# with PACKAGE=VERSION each.
with_dependencies() {
	local dir=$1
	shift
	apt "$dir" --no-install-recommends -s install "$@" | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p'
}

# download DIR TO PACKAGE=VERSION...
download() {
	local dir=$1 to=$2
	shift 2
	# A list of yesterday may name what is no longer there.
	(cd "$to" && apt "$dir" download "$@") || {
		apt "$dir" update
		(cd "$to" && apt "$dir" download "$@")
	}
}

# unpack DIR TO PACKAGE=VERSION...: fetches these and unpacks them in TO. Not for
# conditions: there the shell would go on after a failure.
unpack() {
	local dir=$1 to=$2 deb
	shift 2
	mkdir "$to/debs"
	download "$dir" "$to/debs" "$@"
	for deb in "$to"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner -C "$to"
	done
	rm -r "$to/debs"
}
