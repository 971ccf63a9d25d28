# Where things lie. Sourced by every script of the lab.
# shellcheck shell=bash
# shellcheck disable=SC2034	# used by those who source this

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$LAB/../.." && pwd)
CACHE=$TOP/build/lab	# what is fetched or built once
# The releases of Xen on the hosts A and B, each with the hypervisor, the tools and the dom0 kernel of
# the Debian that has it. The guest, its kernel and busybox are Debian 12's on all of them.
XEN_RELEASE=${LAB_XEN:-4.17}
XEN_RELEASE_B=${LAB_XEN_B:-$XEN_RELEASE}

# What belongs to a release of Xen; 4.17's is beside what all have.
home_of() {
	case $1 in
	4.17) echo "$CACHE" ;;
	*) echo "$CACHE/$1" ;;
	esac
}
suite_of() {
	case $1 in
	4.14) echo bullseye ;;
	4.17) echo bookworm ;;
	4.20) echo trixie ;;
	esac
}

HOME_OF_XEN=$(home_of "$XEN_RELEASE")
USERLAND=$HOME_OF_XEN/userland		# Xen's daemons and their libraries, busybox
DOM0_KERNEL=$HOME_OF_XEN/dom0-kernel
GUEST_KERNEL=$CACHE/guest-kernel
BB=$CACHE/userland/bin/busybox
VSTOR=${LAB_VSTOR:-$TOP/build/vstor}
LAB_TOOL=${LAB_TOOL-$TOP/build/lab-tool}	# with the release behind it; empty: there is none

die() {
	echo "lab: $*" >&2
	exit 1
}

say() {
	echo "lab: $*" >&2
}

# Seconds since the epoch, with microseconds; no process started.
now() {
	echo "$EPOCHREALTIME"
}

# since START: seconds gone by, with one decimal.
since() {
	local us=$((${EPOCHREALTIME/./} - ${1/./}))

	printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10))
}

# The only version in a tree of kernel modules.
kernel_version() {
	ls "$1/lib/modules"
}

# module_files KERNEL NAME...: the files of modules and of what they need, in the order to load,
# below the KERNEL's folder of modules.
module_files() {
	local from name

	from=$1/lib/modules/$(kernel_version "$1")
	shift
	for name; do
		awk -v name="${name//-/_}.ko" '{
			file = $1; sub(/:$/, "", file); base = file; sub(/.*\//, "", base); sub(/\.xz$/, "", base)
			gsub(/-/, "_", base)
			if (base != name) next
			for (i = NF; i > 1; i--) print $i
			print file
		}' "$from/modules.dep"
	done | awk '!seen[$0]++'
}

# One of several scripts at a time: whoever comes second waits and finds the work done.
lock_cache() {
	mkdir -p "$CACHE"
	exec {cache_lock}>"$CACHE/$1.lock"
	flock "$cache_lock"
}

qemu_version() {
	qemu-system-x86_64 --version 2>/dev/null | sed -n '1s/.*version \([0-9.]*\).*/QEMU \1/p' | grep . || echo "no QEMU"
}

# The QEMU of the hosts. The SVM of 10.0 (Debian 13's) takes a guest's reading of CR2 for one of CR0, which
# Xen intercepts and answers with a CR2 of its own: the guest's first page fault is at address 0 to it, and
# a PVH guest stops before it says a word. What is not a 7 gives way to Debian 12's 7.2 (tests/lab/qemu).
qemu_program() {
	if [ -n "${LAB_QEMU:-}" ]; then
		echo "$LAB_QEMU"
	elif [[ $(qemu_version) == "QEMU 7."* ]]; then
		echo qemu-system-x86_64
	else
		echo "$CACHE/qemu/run"
	fi
}

# prepare_hosts [pv]: what the hosts are booted from, for each release that they have.
prepare_hosts() {
	local release

	for release in $(printf '%s\n' "$XEN_RELEASE" "$XEN_RELEASE_B" | sort -u); do
		LAB_XEN=$release LAB_XEN_B='' "$LAB/images" || return
		# Debian 11's hypervisor has shadow paging.
		[ "${1:-}" != pv ] || [ "$release" = 4.14 ] || LAB_XEN=$release "$LAB/hypervisor" || return
	done
}

# Says what this machine lacks for a lab, if anything.
lacking() {
	local tool release

	[ "$(id -u)" -eq 0 ] || { echo "a lab makes namespaces: run it as root"; return; }
	[ -c /dev/net/tun ] || { echo "there is no /dev/net/tun: load the module tun"; return; }
	tool=$(qemu_program)
	[ "$tool" = "$CACHE/qemu/run" ] || command -v "$tool" >/dev/null || { echo "LAB_QEMU=$tool is no program"; return; }
	for tool in ip tc mke2fs debugfs flock nsenter setpriv readelf xz; do
		command -v "$tool" >/dev/null || { echo "$tool is missing: run make deps"; return; }
	done
	[ -x "$VSTOR" ] || { echo "${VSTOR#"$TOP"/} is not built: run make"; return; }
	for release in "$XEN_RELEASE" "$XEN_RELEASE_B"; do
		[ -n "$(suite_of "$release")" ] || { echo "the lab has no Xen $release: 4.14, 4.17 or 4.20"; return; }
		for tool in vstor lab-tool; do
			[ -x "$TOP/build/$tool-$release" ] || {
				echo "build/$tool-$release is not built: run make XEN_VERSION=$release build/$tool-$release"
				return
			}
		done
	done
}
