# What the parts of tests/attach/run have in common. They wait by short polls: a shell in the machines has
# nothing that tells it of a line in a file or a process gone.
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
		vstor attach --list
		awk 'NR > 1 && \$2 - p > gap { gap = \$2 - p } { p = \$2 } END { print \"longest pause\", gap }' /tmp/written"
	writer_ends i "$image" "$before"
}

# writer_ends MACHINE IMAGE [RECORDS]: it has written all the time, more than so many records, and all of
# them are in IMAGE.
writer_ends() {
	local records

	on "$1" 'touch /tmp/stop; until [ -e /tmp/writer ]; do usleep 50000; done; cat /tmp/writer; grep -q ^done /tmp/writer' ||
		return
	records=$(on "$1" 'cut -d " " -f 2 /tmp/writer')
	[ "$records" -gt "${3:-0}" ] || return
	head -c $((records * 512)) "$2" |
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

# chap ADDRESS LUN: one way, both ways, and each wrong secret.
chap() {
	local login="vstor attach $1 --target $IQN --lun $2" user="--chap-user us --chap-secret-file /tmp/us"
	local mutual="--mutual-user them --mutual-secret-file"

	on i "umask 077; echo $SECRET >/tmp/us; echo $OTHER_SECRET >/tmp/them; echo wrongwrong12 >/tmp/wrong
		cp /tmp/us /tmp/open; chmod 644 /tmp/open"
	# LIO says nothing and hangs up.
	refused 1 "vstor attach: 10.79.0.*:3260: *: *give *CHAP user and secret*" "$login" &&
		refused 1 "vstor attach: 10.79.0.*:3260: authentication failed: check user and secret on both sides (login status 0201)" \
			"$login --chap-user us --chap-secret-file /tmp/wrong" &&
		refused 1 "vstor attach: /tmp/open: others can read it: chmod 600" \
			"$login --chap-user us --chap-secret-file /tmp/open" &&
		refused 1 "vstor attach: /tmp/none: No such file or directory" \
			"$login --chap-user us --chap-secret-file /tmp/none" &&
		refused 1 "vstor attach: 10.79.0.*:3260: the target is not who it must be: check the mutual user and secret" \
			"$login $user $mutual /tmp/wrong" &&
		refused 1 "vstor attach: the CHAP secrets of both ways must differ" "$login $user $mutual /tmp/us" &&
		on i "$login $user" && detach_all &&
		on i "$login $user $mutual /tmp/them"
}

link() { # up|down
	ip link set i9 "$1"
}
