# The attach suite with other people's targets and iscsid. Sourced by tests/attach/run.
# shellcheck shell=bash

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

server_reboot() {
	machine_stop s
	machine_start s
	machine_wait s
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

# By open-iscsi each login is another nexus: its ISID is made of the session's number. What the one
# before has left is known, and replaced.
another_nexus() {
	local login="vstor attach $TESTER --target $IQN --via open-iscsi"

	start_iscsid || { echo "iscsid does not come up"; return 1; }
	on i "set -x
		[ \$($login) = /dev/sda ] || exit
		first=\$(judge hold /dev/sda) || { echo \$first; exit 1; }
		vstor detach /dev/sda --via open-iscsi || exit
		[ \$($login) = /dev/sda ] || exit
		second=\$(judge hold /dev/sda) || { echo \$second; exit 1; }
		echo \"\$first, then \$second\"
		[ \"\$first\" != \"\$second\" ] || exit
		dd if=/dev/zero of=/dev/sda bs=4k count=1 oflag=direct conv=notrunc || exit
		vstor detach /dev/sda --via open-iscsi || exit
		[ \$($login) = /dev/sda ] || exit
		judge release /dev/sda || exit
		vstor detach /dev/sda --via open-iscsi; status=\$?
		kill \$(pidof iscsid); rm /etc/iscsi/initiatorname.iscsi; exit \$status" && nothing_left
}

# redirected: tgtd at the portal that is named sends everybody on to a vstor target elsewhere.
redirect() { # PORT
	local key

	for key in "Address $TESTER" "Port $1" "Reason Temporary"; do
		# shellcheck disable=SC2086
		set -- ${key}
		tgtadm -C 7 --lld iscsi --mode target --op update --tid 1 --name "Redirect$1" --value "$2" || return
	done
}

# elsewhere PORT: a vstor target there, in the place of the one that was.
elsewhere() {
	local ready

	[ ! -e "$RUN/elsewhere.pid" ] || target_kill elsewhere
	exec {ready}< <(exec "$VSTOR" target --name "$IQN" --state-dir none --listen "$TESTER:$1" --lun "$RUN/disk.img,lun=1" \
		--ready-fd 3 3>&1 >>"$RUN/target.log" 2>&1)
	echo $! >"$RUN/elsewhere.pid"
	read -r -t 20 -u "$ready" || die "vstor target does not come up: see $RUN/target.log"
	exec {ready}<&-
}

connected_to() { # PORT
	on i "vstor attach --list | grep ' $TESTER:3260 '; netstat -tn | grep ESTABLISHED | grep '$TESTER:$1 '"
}

redirected() {
	redirect 3261 && elsewhere 3261 && attach_here --lun 1 && attach_here --lun 1 && connected_to 3261 || return
	echo "it moves on"
	outage 2 "$RUN/disk.img" "redirect 3262" "elsewhere 3262" && connected_to 3262 || return
	echo "the one that redirects is gone"
	outage 1 "$RUN/disk.img" "target_kill; target_kill elsewhere" "rm $RUN/elsewhere.pid; elsewhere 3262" &&
		connected_to 3262 || return
	echo "back to where it was"
	outage 1 "$RUN/disk.img" "target_kill elsewhere; rm $RUN/elsewhere.pid" "elsewhere 3260" &&
		connected_to 3260 && detach_all && target_kill elsewhere
}

with_tgtd() {
	command -v tgtd tgtadm >/dev/null || { echo "ok attach: tgtd # skip it is not here: install tgt"; return; }
	target_start tgtd
	check "the basics, tgtd" basics "$TESTER" 1
	check "IPv6, tgtd" basics "[$TESTER6]" 1
	check "attached" attach_here --lun 1
	check "tgtd killed, back after 5 s" outage 5 "$RUN/disk.img" target_kill "target_start tgtd"
	check "detached" detach_all
	check "a target that redirects" redirected
	target_start tgtd chap
	check "CHAP, tgtd" chap "$TESTER" 1
	check "outage with CHAP, tgtd" outage 1 "$RUN/disk.img" target_kill "target_start tgtd chap"
	check "detached" detach_all
	target_kill
}

# The disk decides between two hosts: by two portals, each with a name of its own.
judged() {
	on s 'mkdir -p /var/target/pr /etc/target/pr' || return
	on i "vstor attach 10.79.0.3 --target $IQN --lun 4 --initiator iqn.2026-11.test:a &&
		vstor attach 10.79.0.3:3261 --target $IQN --lun 4 --initiator iqn.2026-11.test:b &&
		judge /dev/sda /dev/sdb && vstor detach /dev/sda && vstor detach /dev/sdb" && nothing_left
}

with_lio() {
	lio_start 4
	check "the basics, LIO" basics 10.79.0.3 4
	check "reservations decide between two hosts, LIO" judged
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
}

part_peers() {
	machine_wait s
	target_start vstor
	check "by open-iscsi" open_iscsi
	target_kill
	mkdir -p "$RUN/state"
	target_start vstor --state-dir "$RUN/state" --lun "$RUN/disk.img"
	check "reservations outlive the nexus, open-iscsi" another_nexus
	target_kill
	with_tgtd
	with_lio
	machine_stop s
}
