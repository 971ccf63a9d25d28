# The attach suite on a machine that starts as a real one does: the services, and dm-multipath.
# Sourced by tests/attach/run.
# shellcheck shell=bash

# boot INIT: the machine starts while the target is not there yet.
boot() {
	machine_start d noiscsi rdinit=/etc/rc root=/dev/vda net.ifnames=0 "init=$1"
	machine_wait d
	on d '[ -z "$(vstor attach --list)" ]' || return
	target_serve
	attached_by_service
}

target_serve() {
	mkdir -p "$RUN/state"
	target_start vstor --listen 10.78.0.1 --listen "$TESTER:3261" --listen 10.78.0.1:3271 --listen "$TESTER:3272" \
		--listen 10.78.0.1:3273 --listen "$TESTER:3274" --state-dir "$RUN/state" --lun "$RUN/disk.img" --lun "$RUN/data.img,serial=DATA" --lun "$RUN/shared.img,serial=SHARED"
}

# All the lines of attach.conf are disks, each session has its keeper.
attached_by_service() {
	ON_WAIT=180 on d "until [ \$(vstor attach --list | grep -c ' LOGGED_IN  *up .*$IQN\$') = 3 ]; do usleep 100000; done
		vstor attach --list
		[ \$(ls /sys/class/iscsi_session | wc -l) = 3 ] && [ \$(pidof vstor-keeper | wc -w) = 3 ]"
}

service_done() {
	on d 'until systemctl is-active vstor-attach; do
			systemctl is-failed vstor-attach && { systemctl status vstor-attach; exit 1; }; usleep 100000; done
		until mountpoint /data; do systemctl is-failed data.mount && exit 1; usleep 100000; done'
}

# The service is no more than the command: the disks outlive it.
service_stopped() {
	on d 'systemctl stop vstor-attach' && attached_by_service && on d 'systemctl start vstor-attach' && attached_by_service
}

# restart COMMAND: it shuts down and starts again, the disk in use.
restart() {
	local before

	on d 'date >/data/stamp; cp /data/stamp /tmp/stamp; cat /tmp/stamp' >"$RUN/stamp" || return
	before=$(on d 'cat /proc/sys/kernel/random/boot_id')
	on d "$1"
	# There is nothing that would tell of a machine's start: it is asked.
	until [ "$(ON_WAIT=2 on d 'cat /proc/sys/kernel/random/boot_id' 2>/dev/null || echo "$before")" != "$before" ]; do
		sleep 0.5
		machine_lives d || return
	done
	attached_by_service
}

data_is_there() {
	on d 'cat /data/stamp' | cmp - "$RUN/stamp"
}

openrc_restart() {
	on d 'mount -t ext4 "$(vstor attach '"$TESTER:3261 --target $IQN"' --lun 1)" /data' && restart reboot &&
		on d 'rc-service vstor-attach status && mount -t ext4 "$(vstor attach '"$TESTER:3261 --target $IQN"' --lun 1)" /data' &&
		data_is_there
}

# paths N: the map has so many that work.
paths() {
	on d "i=0; until [ \$(multipath -ll mpatha | grep -c ' active ready  *running') = $1 ]; do
			i=\$((i + 1)); [ \$i -lt 600 ] || { multipath -ll; exit 1; }; usleep 100000; done
		multipath -ll mpatha"
}

# Two devices, one identity, one map over both, and neither is detached beneath it.
one_map() {
	paths 2 && on d 'cd /sys/block/dm-0/slaves && set -- * && [ $# = 2 ] && cat $1/device/wwid &&
		[ "$(cat $1/device/wwid)" = "$(cat $2/device/wwid)" ] || exit
		vstor detach /dev/$1 2>&1 | grep "held by dm-0: stop using it"'
}

# One portal goes for good: the writer on the map goes on by the other, before the first is back.
one_portal() {
	on d 'writer /dev/mapper/mpatha >/dev/null 2>&1 &
		until [ -s /tmp/written ]; do usleep 50000; done' || return
	ip link set d9 down
	paths 1 && on d 'last=$(tail -n 1 /tmp/written | cut -d " " -f 1)
		until [ $(tail -n 1 /tmp/written | cut -d " " -f 1) -gt $((last + 50)) ]; do
			[ ! -e /tmp/writer ] || { cat /tmp/writer; exit 1; }; usleep 100000; done' || { ip link set d9 up; return 1; }
	ip link set d9 up
	paths 2 && writer_ends d "$RUN/disk.img"
}

# One LUN by four portals, two to each of two maps: multipathd takes the latter two for another disk. The
# maps are two hosts, with two nexuses each.
two_hosts() {
	on d "mkdir -p /etc/udev/rules.d
		echo 'KERNEL==\"sd[fg]\", ENV{ID_SERIAL}=\"3another\"' >/etc/udev/rules.d/99-another.rules
		udevadm control --reload
		for portal in 10.78.0.1:3271 $TESTER:3272 10.78.0.1:3273 $TESTER:3274; do
			vstor attach \$portal --target $IQN --lun 2 || exit
		done >/tmp/shared"' && set -- $(cat /tmp/shared) && [ "$*" = "/dev/sdd /dev/sde /dev/sdf /dev/sdg" ] || { cat /tmp/shared; exit 1; }
		i=0; until [ $(multipath -ll | grep -c " active ready  *running") = 6 ] && [ $(multipath -ll | grep -c " dm-") = 3 ]; do
			i=$((i + 1)); [ $i -lt 600 ] || { multipath -ll; exit 1; }; usleep 100000; done
		judge /dev/$(ls /sys/class/block/sdd/holders) /dev/$(ls /sys/class/block/sdf/holders) || { dmsetup status; exit 1; }
		rm /etc/udev/rules.d/99-another.rules
		multipath -f mpathb && multipath -f mpathc && for disk; do vstor detach $disk || exit; done' && attached_by_service
}

systemd() {
	check "systemd: attached at boot, the target late" boot /lib/systemd/systemd
	check "systemd: the service is done, the file system mounted" service_done
	check "multipath: two portals of a LUN are one map" one_map
	check "multipath: I/O goes on without one of the portals" one_portal
	check "multipath: reservations decide between two hosts with two paths each" two_hosts
	check "systemd: the disks outlive the service" service_stopped
	check "systemd: attached again after a reboot" restart "systemctl reboot"
	check "systemd: the file system is there again" eval "service_done && data_is_there && paths 2"
	machine_stop d
	target_kill
}

openrc() {
	check "OpenRC: attached at boot, the target late" boot /etc/openrc/init
	check "OpenRC: attached again after a reboot" openrc_restart
	machine_stop d
	target_kill
}

part_debian() {
	truncate -s 32M "$RUN/data.img"
	truncate -s 8M "$RUN/shared.img"
	mke2fs -q -t ext4 -L data -F "$RUN/data.img"
	systemd
	openrc
}
