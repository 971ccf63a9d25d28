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

	on i 'rm -f /tmp/written; writer /dev/sda >/dev/null 2>&1 &
		until [ -s /tmp/written ]; do usleep 50000; done'
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
