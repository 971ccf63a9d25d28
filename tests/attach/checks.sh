# The checks of tests/attach/run, which sources this.
# shellcheck shell=bash

# basics PORTAL LUN [OPTION...]: found, attached, written, read, attached again, detached.
basics() {
	local portal=$1 lun=$2

	shift 2
	on i "set -e
		vstor discover $portal | grep -q '^$IQN '
		device=\$(vstor attach $portal --lun $lun $*)
		[ \"\$device\" = /dev/sda ] || { echo \"device: \$device\"; exit 1; }
		[ \"\$(vstor attach $portal --target $IQN --lun $lun)\" = /dev/sda ]
		[ \$(ls -d /sys/class/iscsi_session/session* | wc -l) = 1 ]
		[ \$(pidof vstor-keeper | wc -w) = 1 ]
		vstor attach --list | grep -q '^/dev/sda  *$lun  *LOGGED_IN  *up  *.*$IQN\$'
		vstor attach --list --json | grep -q '\"target\":\"$IQN\".*\"keeper\":\"up\"'
		dd if=/dev/urandom of=/tmp/data bs=1M count=8 2>/dev/null
		dd if=/tmp/data of=/dev/sda bs=256k conv=fsync 2>/dev/null
		echo 3 >/proc/sys/vm/drop_caches
		head -c 8388608 /dev/sda | cmp - /tmp/data
		vstor detach /dev/sda
		vstor detach /dev/sda --if-attached" && nothing_left
}

# outage NAME SECONDS IMAGE BREAK [MEND]: a writer on /dev/sda, records verified in IMAGE; it goes on
# after BREAK, so many seconds, and MEND, without an error or a lost record.
outage() {
	local seconds=$1 image=$2 break=$3 mend=$4 before records

	on i '[ -b /dev/sda ] || exit
		rm -f /tmp/written; writer /dev/sda >/dev/null 2>&1 &
		until [ -s /tmp/written ]; do usleep 50000; done' || return
	before=$(on i 'tail -n 1 /tmp/written | cut -d " " -f 1')
	eval "$break"
	sleep "$seconds"
	eval "$mend"
	# Fifty records that were not yet there when the target came back.
	records=$(on i 'tail -n 1 /tmp/written | cut -d " " -f 1')
	on i "i=0; until [ \$(tail -n 1 /tmp/written | cut -d ' ' -f 1) -gt $((records + 50)) ]; do
		[ -e /tmp/writer ] && break; i=\$((i + 1)); [ \$i -gt 600 ] && break; usleep 100000; done
		touch /tmp/stop; until [ -e /tmp/writer ]; do usleep 50000; done
		cat /tmp/writer; vstor attach --list; tail -n 3 /var/log
		awk 'NR > 1 && \$2 - p > gap { gap = \$2 - p } { p = \$2 } END { print \"longest pause\", gap }' /tmp/written
		grep -q ^done /tmp/writer" || return
	records=$(on i 'cut -d " " -f 2 /tmp/writer')
	[ "$records" -gt "$before" ] || return
	head -c $((records * 512)) "$image" |
		awk -v n="$records" '$1 != NR - 1 { print "record", NR - 1, "is", $1; bad = 1 }
			END { if (NR != n) { print NR, "records of", n; bad = 1 } exit bad }'
}

attach_here() { # [OPTION...]
	on i "vstor attach $TESTER --target $IQN $*"
}

detach_all() {
	on i "vstor detach $IQN --if-attached" && nothing_left
}

reset_connection() {
	ss -K sport = :3260 dst 10.79.0.2 2>&1 | grep 10.79.0.2
}

keeper_killed() {
	on i 'kill -KILL $(pidof vstor-keeper)
		while pidof vstor-keeper >/dev/null; do usleep 20000; done
		vstor attach --list | grep " none "
		vstor attach --resume
		vstor attach --list | grep " up "'
}

in_use() {
	on i 'mke2fs -q /dev/sda >/dev/null 2>&1 || mkfs.ext2 /dev/sda >/dev/null; mount /dev/sda /mnt
		vstor detach /dev/sda; status=$?
		umount /mnt
		[ $status = 1 ]'
}

# What is wrong is said in one line, and leaves nothing.
wrong_things() {
	refused 1 "Connection refused" "vstor attach $TESTER:3261" &&
		refused 1 "no such target there" "vstor attach $TESTER --target $IQN.not" &&
		refused 1 "no LUN 77 there" "vstor attach $TESTER --lun 77" &&
		refused 1 "not the disk that was meant" "vstor attach $TESTER --serial other" &&
		refused 1 "10.79.0.77" "vstor attach 10.79.0.77" &&
		refused 2 "not an iSCSI name" "vstor attach $TESTER --target wrong" &&
		refused 2 "--lun" "vstor attach $TESTER --lun 16384" &&
		refused 2 "HOST" "vstor attach" &&
		refused 1 "run vstor as root" "su nobody -c \"vstor attach $TESTER\"" &&
		refused 1 "not attached" "vstor detach $IQN" &&
		refused 1 "No such file" "vstor detach /dev/sda"
}

quick() {
	target_start vstor
	check "the basics, vstor target" basics "$TESTER" 0
	check "wrong things" wrong_things
	check "attached for an outage" attach_here
	check "target killed, back after 5 s" outage 5 "$RUN/disk.img" target_kill "target_start vstor"
	check "connection reset" outage 0 "$RUN/disk.img" reset_connection :
	check "keeper killed, another takes over" outage 0 "$RUN/disk.img" keeper_killed :
	check "detach refuses a mounted disk" in_use
	check "detached" detach_all
	target_kill
}

# --- the long part

# chap ADDRESS LUN: one way, both ways, and each wrong secret.
chap() {
	local login="vstor attach $1 --target $IQN --lun $2" user="--chap-user us --chap-secret-file /tmp/us"
	local mutual="--mutual-user them --mutual-secret-file"

	on i "umask 077; echo $SECRET >/tmp/us; echo $OTHER_SECRET >/tmp/them; echo wrongwrong12 >/tmp/wrong
		cp /tmp/us /tmp/open; chmod 644 /tmp/open"
	# LIO says nothing and hangs up.
	refused 1 "10.79.0." "$login" &&
		refused 1 "authentication failed" "$login --chap-user us --chap-secret-file /tmp/wrong" &&
		refused 1 "others can read it" "$login --chap-user us --chap-secret-file /tmp/open" &&
		refused 1 "No such file" "$login --chap-user us --chap-secret-file /tmp/none" &&
		refused 1 "not who it must be" "$login $user $mutual /tmp/wrong" &&
		refused 1 "must differ" "$login $user $mutual /tmp/us" &&
		on i "$login $user" && detach_all &&
		on i "$login $user $mutual /tmp/them"
}

lio_start() {
	on s "lio $IQN 10.79.0.3 $*"
}

# Both machines' ends agree on digests, also after the session has been renewed.
digests() {
	on i "vstor attach 10.79.0.3 --target $IQN --lun 4 --digests" && digests_on &&
		outage 1 "$RUN/s.img" "on s 'lio stop'" "lio_start 4 digests" && digests_on
}

digests_on() {
	on i '[ "$(cat /sys/class/iscsi_connection/*/header_digest)$(cat /sys/class/iscsi_connection/*/data_digest)" = 11 ]'
}

link() { # up|down
	ip link set i9 "$1"
}

server_reboot() {
	machine_stop s
	machine_start s
	machine_wait s
}

# The I/O fails when the user said so, and works again when the target is back.
replacement_timeout() {
	attach_here --replacement-timeout 3
	target_kill
	on i 'start=$(cut -d . -f 1 /proc/uptime)
		dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct && exit 1
		took=$(($(cut -d . -f 1 /proc/uptime) - start)); echo "failed after $took s"
		[ $took -ge 2 ] && [ $took -le 15 ]' || return
	target_start vstor
	on i 'i=0; until dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; do
		i=$((i + 1)); [ $i -lt 100 ] || exit 1; usleep 100000; done'
}

# Two LUNs share a session; the second stays when the first goes.
several_luns() {
	on i "set -e
		a=\$(vstor attach $TESTER --lun 0)
		b=\$(vstor attach $TESTER --lun 300)
		[ \$a != \$b ]
		[ \$(ls /sys/class/iscsi_session | wc -l) = 1 ]
		[ \$(blockdev --getsize64 \$a) = 67108864 ]
		[ \$(blockdev --getsize64 \$b) = 8388608 ]
		vstor detach \$a
		[ ! -e \$a ]
		dd if=\$b of=/dev/null bs=4k count=1
		[ \$(vstor attach $TESTER --lun 300) = \$b ]
		vstor detach \$b" && nothing_left
}

# A session whose target is away is not detached for nothing, but can be given up.
down() {
	attach_here
	target_kill
	on i 'i=0; until grep -q FAILED /sys/class/iscsi_session/*/state; do usleep 100000; done
		vstor detach /dev/sda; [ $? = 1 ] || exit
		echo attach again gives the same
		[ "$(vstor attach '"$TESTER --target $IQN"')" = /dev/sda ] || exit
		vstor detach /dev/sda --force' && nothing_left
	target_start vstor
}

# Two portals of one LUN are two devices with one identity.
two_portals() {
	on i "set -e
		a=\$(vstor attach $TESTER --target $IQN)
		b=\$(vstor attach [$TESTER6] --target $IQN)
		[ \$a != \$b ]
		[ \$(ls /sys/class/iscsi_session | wc -l) = 2 ]
		cat /sys/class/block/\${a#/dev/}/device/wwid /sys/class/block/\${b#/dev/}/device/wwid
		[ \$(cat /sys/class/block/\${a#/dev/}/device/wwid) = \$(cat /sys/class/block/\${b#/dev/}/device/wwid) ]
		vstor detach $IQN" && nothing_left
}

# As the service does at boot, with a target that is late and one that never comes.
config() {
	on i "cat >/tmp/attach.conf <<-END
			# disks of this host
			portal=$TESTER,iqn=$IQN,lun=0

			portal=$TESTER,iqn=$IQN,lun=300 # another
		END
		sed s/300/301/ /tmp/attach.conf >/tmp/wrong.conf" || return
	target_kill
	{ sleep 2; target_start vstor --lun "$RUN/disk.img,lun=0" --lun "$RUN/other.img,lun=300"; } &
	on i '[ "$(vstor attach --config /tmp/attach.conf --wait 60 | tr "\n" " ")" = "/dev/sda /dev/sdb " ]' || return
	wait $!
	on i 'out=$(vstor attach --config /tmp/wrong.conf 2>/dev/null)
		[ $? = 1 ] && [ "$out" = /dev/sda ] || exit
		vstor attach --config /tmp/none 2>/dev/null; [ $? = 1 ]' && detach_all
}

# iscsid makes and ends the session, and neither takes the other's.
open_iscsi() {
	local login="vstor attach $TESTER --target $IQN"

	start_iscsid || { echo "iscsid does not come up"; return 1; }
	on i "set -x
		[ \$($login --via open-iscsi) = /dev/sda ] || exit
		[ \$($login --via open-iscsi) = /dev/sda ] || exit
		[ -z \"\$(pidof vstor-keeper)\" ] || exit
		$login; [ \$? = 1 ] || exit
		vstor detach /dev/sda; [ \$? = 1 ] || exit
		dd if=/dev/sda of=/dev/null bs=4k count=1 || exit
		vstor detach /dev/sda --via open-iscsi || exit
		[ \$($login) = /dev/sda ] || exit
		$login --via open-iscsi; [ \$? = 1 ] || exit
		vstor detach /dev/sda --via open-iscsi; [ \$? = 1 ] || exit
		vstor detach /dev/sda; status=\$?
		kill \$(pidof iscsid); rm /etc/iscsi/initiatorname.iscsi; exit \$status" && nothing_left
}

several_targets() {
	refused 1 "several targets, choose with --target: " "vstor attach $TESTER"
}

no_initiator() {
	machine_stop i
	machine_start i noiscsi
	machine_wait i
	refused 1 "no iscsi_tcp in the kernel: modprobe iscsi_tcp" "vstor attach $TESTER"
}

full() {
	quick

	target_start vstor
	check "IPv6, vstor target" basics "[$TESTER6]" 0
	check "two portals" two_portals
	check "by open-iscsi" open_iscsi
	check "attached" attach_here
	check "target killed, back after 20 s" outage 20 "$RUN/disk.img" target_kill "target_start vstor"
	check "link cut for 20 s" outage 20 "$RUN/disk.img" "link down" "link up"
	check "detached" detach_all
	check "session down" down
	check "replacement timeout" replacement_timeout
	check "detached" detach_all
	target_kill
	truncate -s 8M "$RUN/other.img"
	target_start vstor --lun "$RUN/disk.img,lun=0" --lun "$RUN/other.img,lun=300"
	check "several LUNs, one beyond 255" several_luns
	check "a list of disks, the target late" config
	target_kill
	target_start vstor --lun "$RUN/disk.img" --lun "$RUN/other.img,name=$IQN.other"
	check "several targets" several_targets
	target_kill

	target_start tgtd
	check "the basics, tgtd" basics "$TESTER" 1
	check "IPv6, tgtd" basics "[$TESTER6]" 1
	check "attached" attach_here --lun 1
	check "tgtd killed, back after 5 s" outage 5 "$RUN/disk.img" target_kill "target_start tgtd"
	check "detached" detach_all
	target_kill
	target_start tgtd chap
	check "CHAP, tgtd" chap "$TESTER" 1
	check "outage with CHAP, tgtd" outage 1 "$RUN/disk.img" target_kill "target_start tgtd chap"
	check "detached" detach_all
	target_kill

	lio_start 4
	check "the basics, LIO" basics 10.79.0.3 4
	on s lio stop
	lio_start 4 "chap=us:$SECRET" "mutual=them:$OTHER_SECRET"
	check "CHAP, LIO" chap 10.79.0.3 4
	check "outage with CHAP, LIO" outage 1 "$RUN/s.img" "on s 'lio stop'" \
		"lio_start 4 chap=us:$SECRET mutual=them:$OTHER_SECRET"
	check "detached" detach_all
	on s lio stop
	lio_start 4 digests
	check "digests, LIO" digests
	check "the target's host reboots" outage 0 "$RUN/s.img" server_reboot "lio_start 4 digests"
	check "detached" detach_all

	check "no initiator in the kernel" no_initiator
}
