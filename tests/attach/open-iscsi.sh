# Debian's open-iscsi for the initiator's machine. Sourced after tests/lab/paths.sh.
# shellcheck shell=bash
OPEN=$TOP/build/attach/open-iscsi

fetch_open_iscsi() {
	[ -e "$OPEN/sbin/iscsid" ] && return
	. "$LAB/apt.sh"
	apt_prepare
	rm -rf "$OPEN"
	mkdir -p "$OPEN"
	(cd "$OPEN" && apt_download open-iscsi libopeniscsiusr libisns0 libmount1 libblkid1 libselinux1 \
		libpcre2-8-0 libsystemd0 libgcrypt20 libgpg-error0 libcap2 liblzma5 libzstd1 liblz4-1 \
		libkmod2 libssl3 zlib1g libc6 &&
		for deb in *.deb; do dpkg -x "$deb" . && rm "$deb"; done)
}

# A program and the libraries it needs, into the machine's root.
program() {
	cp "$1" "$RUN/tree/bin/"
	libraries "$1"
}

libraries() {
	local library path

	for library in $(readelf -d "$1" | awk '/NEEDED/ { gsub(/[][]/, "", $NF); print $NF }'); do
		[ -e "$RUN/tree/lib/$library" ] && continue
		path=$(find "$OPEN/lib" "$OPEN/usr/lib" -name "$library" | head -n 1)
		cp -L "$path" "$RUN/tree/lib/$library" || die "no $library for $1"
		libraries "$path"
	done
}

# Before the machine's root is packed.
pack_open_iscsi() {
	mkdir -p "$RUN/tree"/{bin,lib,lib64,etc/iscsi,var/lib/iscsi}
	program "$OPEN/sbin/iscsid"
	program "$OPEN/sbin/iscsiadm"
	cp -L "$OPEN"/lib64/ld-linux-x86-64.so.2 "$RUN/tree/lib64/"
	cp "$OPEN/etc/iscsi/iscsid.conf" "$RUN/tree/etc/iscsi/"
}

# In a process group of its own: it kills all of its group when it ends.
start_iscsid() {
	on i "echo InitiatorName=iqn.2026-11.local.open-iscsi:i >/etc/iscsi/initiatorname.iscsi
		mkdir -p /run/lock/iscsi
		setsid iscsid -f >/var/iscsid.log 2>&1 &
		i=0; until iscsiadm -m discovery -t st -p $TESTER >/dev/null 2>&1; do
			i=\$((i + 1)); [ \$i -lt 100 ] || exit; usleep 100000; done"
}
