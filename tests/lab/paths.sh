# Where things lie. Sourced by every script of the lab.
# shellcheck shell=bash
# shellcheck disable=SC2034	# used by those who source this

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$LAB/../.." && pwd)
CACHE=$TOP/build/lab	# what is fetched or built once
XEN_RELEASE=4.17

USERLAND=$CACHE/userland		# Xen's daemons and their libraries, busybox
DOM0_KERNEL=$CACHE/dom0-kernel
GUEST_KERNEL=$CACHE/guest-kernel
BB=$USERLAND/bin/busybox
VSTOR=${LAB_VSTOR:-$TOP/build/vstor}
LAB_TOOL=${LAB_TOOL:-$TOP/build/lab-tool}

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
			file = $1; sub(/:$/, "", file); base = file; sub(/.*\//, "", base)
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

# Says what this machine lacks for a lab, if anything.
lacking() {
	local tool

	[ "$(id -u)" -eq 0 ] || { echo "a lab makes namespaces: run it as root"; return; }
	[ -c /dev/net/tun ] || { echo "there is no /dev/net/tun: load the module tun"; return; }
	for tool in qemu-system-x86_64 ip tc mke2fs debugfs flock nsenter setpriv readelf xz; do
		command -v "$tool" >/dev/null || { echo "$tool is missing: run make deps"; return; }
	done
	for tool in "$VSTOR" "$LAB_TOOL"; do
		[ -x "$tool" ] || { echo "${tool#"$TOP"/} is not built: run make ${tool#"$TOP"/}"; return; }
	done
}
