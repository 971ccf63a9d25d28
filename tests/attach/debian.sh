# A machine with Debian's systemd, udev, multipath-tools and OpenRC, for the attach tests. Sourced
# after tests/lab/paths.sh.
# shellcheck shell=bash
DEBIAN=$TOP/build/attach/debian
DEBIAN_MODULES=(iscsi_tcp sd_mod dm_multipath dm_service_time scsi_dh_alua
	crc32c_generic)
DEBIAN_PACKAGES=(systemd systemd-sysv udev kmod mount util-linux multipath-tools kpartx dmsetup openrc
	libacl1 libaio1 libapparmor1 libaudit1 libblkid1 libbsd0 libc6 libcap-ng0 libcap2 libcrypt1
	libdevmapper1.02.1 libedit2 libeinfo1 libfdisk1 libgcc-s1 libgcrypt20 libgpg-error0 libip4tc2
	libjson-c5 libkmod2 liblz4-1 liblzma5 libmd0 libmount1 libpam0g libpcre2-8-0 librc1 libreadline8
	libseccomp2 libselinux1 libsmartcols1 libssl3 libsystemd-shared libsystemd0 libtinfo6 libudev1
	liburcu8 libuuid1 libzstd1 zlib1g)

# The tree without vstor, once.
debian_fetch() {
	local version name

	lock_cache debian
	[ -e "$DEBIAN/etc/fstab" ] && [ -z "$(find "$HERE/debian" "$HERE/debian.sh" -newer "$DEBIAN/etc/fstab")" ] &&
		return
	. "$LAB/apt.sh"
	apt_prepare
	rm -rf "$DEBIAN" "$DEBIAN.debs"
	mkdir -p "$DEBIAN"/{dev,proc,sys,run,tmp,root,mnt,data,usr/local,var/lib,var/log,etc/multipath} "$DEBIAN.debs"
	(cd "$DEBIAN.debs" && apt_download "${DEBIAN_PACKAGES[@]}") || return
	for name in "$DEBIAN.debs"/*.deb; do
		dpkg -x "$name" "$DEBIAN"
	done
	rm -rf "$DEBIAN.debs"
	cp "$BB" "$DEBIAN/bin/busybox"
	"$BB" --list | while read -r name; do
		[ -n "$(find "$DEBIAN"/{,usr/}{bin,sbin} -name "$name")" ] || ln -s busybox "$DEBIAN/bin/$name"
	done
	install -m 755 "$LAB/agent" "$HERE/inside/writer" "$DEBIAN/bin/"
	version=$(kernel_version "$DOM0_KERNEL")
	mkdir -p "$DEBIAN/lib/modules/$version"
	module_files "$DOM0_KERNEL" "${DEBIAN_MODULES[@]}" | while read -r name; do
		strip -g -o "$DEBIAN/lib/modules/$version/${name##*/}" "$DOM0_KERNEL/lib/modules/$version/$name"
	done
	# It misses files that only tell of modules that are not here.
	depmod -b "$DEBIAN" "$version" 2>/dev/null
	debian_configure
}

# enable TARGET UNIT...: as systemctl does
enable() {
	mkdir -p "$DEBIAN/etc/systemd/system/$1.wants"
	ln -s "${@:2}" "$DEBIAN/etc/systemd/system/$1.wants/"
}

debian_configure() {
	local etc=$DEBIAN/etc runlevel

	: >"$etc/machine-id"
	: >"$etc/insserv.conf"	# OpenRC in Debian looks for it
	echo debian >"$etc/hostname"
	cp "$HERE"/debian/*.service "$etc/systemd/system/"
	enable multi-user.target /etc/systemd/system/agent.service
	enable network-online.target /etc/systemd/system/network.service
	enable multi-user.target /lib/systemd/system/remote-fs.target
	enable sysinit.target /lib/systemd/system/multipathd.service
	# The tests' shell comes by the network.
	ln -s /dev/null "$etc/systemd/system/getty.target"
	cp "$HERE/debian/multipath.conf" "$HERE/debian/inittab" "$HERE/debian/passwd" "$HERE/debian/group" "$etc/"
	for runlevel in sysinit boot default shutdown; do
		mkdir -p "$etc/runlevels/$runlevel"
	done
	rm -f "$etc"/init.d/*
	install -m 755 "$HERE/debian/network.openrc" "$etc/init.d/network"
	ln -s /etc/init.d/network "$etc/runlevels/boot/"
	install -m 755 "$HERE/debian/agent.openrc" "$etc/init.d/agent"
	ln -s /etc/init.d/agent "$etc/runlevels/default/"
	mkdir -p "$DEBIAN/etc/openrc"
	ln -s /bin/busybox "$DEBIAN/etc/openrc/init"
	cp "$HERE/debian/fstab" "$etc/fstab"	# last: it says that the tree is whole
}

# The machine's disk: vstor as `make install` puts it, its services enabled.
debian_image() {
	local tree=$RUN/debian

	cp -a "$DEBIAN" "$tree"
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$TOP" install DESTDIR="$tree" >"$RUN/install.log" 2>&1 ||
		die "make install: $(<"$RUN/install.log")"
	cp "$TOP/build/judge" "$tree/usr/bin/"
	mkdir -p "$tree/etc/vstor" "$tree/etc/systemd/system/multi-user.target.wants"
	ln -s /usr/local/lib/systemd/system/vstor-attach.service "$tree/etc/systemd/system/multi-user.target.wants/"
	ln -s /etc/init.d/vstor-attach "$tree/etc/runlevels/default/"
	cat >"$tree/etc/vstor/attach.conf" <<-END
		# one disk by two ways, and another one by a session of its own, as its I/O shall wait
		portal=10.78.0.1,iqn=$IQN,lun=0,replacement-timeout=3
		portal=$TESTER,iqn=$IQN,lun=0,replacement-timeout=3
		portal=$TESTER:3261,iqn=$IQN,lun=1,serial=DATA
	END
	truncate -s 512M "$RUN/d.img"
	mke2fs -q -t ext4 -d "$tree" "$RUN/d.img" && rm -rf "$tree"
}
