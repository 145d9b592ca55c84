#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs the Debian packages that are missing, and says which before it does.
#
#	tests/deps.sh demo     what building and "make demo" need
#	tests/deps.sh check    that, and what "make check" needs
#	tests/deps.sh vm       what building and "make check-vm" need
#	tests/deps.sh bench    what building and "make bench" need, the other proxies too
#
# No service is started by it.  Called by "make deps", "make demo", "make check-vm" and
# "make bench-deps".
set -euo pipefail

demo=(
	gcc libc6-dev make libevent-dev libsystemd-dev libinih-dev
	curl systemd
)
check=(
	clang libclang-rt-14-dev clang-format clang-tidy cppcheck shellcheck mandoc man-db
	g++ libcmocka-dev valgrind python3 python3-pytest python3-pytest-xdist pyflakes3
	gdb socat strace iproute2 netbase procps
	musl-tools libglib2.0-dev pkg-config
	redis-server redis-tools postgresql nginx-light haproxy openssh-server openssh-client
	varnish dovecot-imapd dbus dnsmasq-base logrotate prometheus chromium pngquant
	zsh fish debhelper dpkg-dev lintian rpm rpmlint
)

# For builds for other processors, whose libraries tests/sysroot.py fetches.  The package
# gcc-multilib itself, which adds one link to this one, cannot be there beside the other compiler.
if [[ $(uname -m) == x86_64 ]]; then
	check+=(gcc-12-multilib gcc-aarch64-linux-gnu qemu-user)
fi

# The kernel is none of them: tests/vm/boot fetches one, which is not installed.
vm=(
	qemu-system-x86 kmod systemd iproute2 procps util-linux python3 socat
	redis-server redis-tools openssh-server openssh-client dbus dbus-user-session polkitd
	debhelper dpkg-dev libcmocka-dev libglib2.0-dev pkg-config
)

bench=(
	haproxy nginx-light libnginx-mod-stream socat gnuplot-nox iproute2 systemd python3
)

case "${1-}" in
demo) wanted=("${demo[@]}") ;;
check) wanted=("${demo[@]}" "${check[@]}") ;;
vm) wanted=("${demo[@]}" "${vm[@]}") ;;
bench) wanted=("${demo[@]}" "${bench[@]}") ;;
*)
	echo "usage: $0 demo|check|vm|bench" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "deps: not a Debian system; what is needed there is called: ${wanted[*]}"
	exit 0
fi

missing=()
for package in "${wanted[@]}"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
	exit 0
fi

as_root=()
if ((EUID != 0)); then
	as_root=(sudo)
	if ! command -v sudo >/dev/null; then
		echo "deps: these packages are missing; as root, run:" >&2
		echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
		exit 1
	fi
fi

echo "deps: installing ${#missing[@]} missing package(s): ${missing[*]}"

# A freshly installed server would start at once; 101 from policy-rc.d says no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	trap '"${as_root[@]}" rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
fi

install() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null
}

# The package lists may be missing or out of date: fetch them, once, if so.
log=$(mktemp)
if ! install >"$log" 2>&1; then
	echo "deps: fetching the package lists first"
	if ! "${as_root[@]}" apt-get update -q >"$log" 2>&1 || ! install >>"$log" 2>&1; then
		tail -n 40 "$log" >&2
		echo "deps: apt-get could not install ${missing[*]}" >&2
		rm -f "$log"
		exit 1
	fi
fi
rm -f "$log"
echo "deps: done"
