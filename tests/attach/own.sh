# The attach suite with vstor's own target. Sourced by tests/attach/run.
# shellcheck shell=bash

in_use() {
	on i 'mke2fs -q /dev/sda >/dev/null 2>&1 || mkfs.ext2 /dev/sda >/dev/null; mount /dev/sda /mnt
		vstor detach /dev/sda; status=$?
		umount /mnt
		[ $status = 1 ]'
}

# What is wrong is said in one line, and leaves nothing.
wrong_things() {
	local login="vstor attach $TESTER"

	refused 1 "vstor attach: $TESTER:3261: Connection refused: check the port, and that the target runs" \
		"$login:3261" &&
		refused 1 "vstor attach: $TESTER:3260: no such target there: see \`vstor discover\` (login status 0203)" \
			"$login --target $IQN.not" &&
		refused 1 "vstor attach: $IQN: no LUN 77 there: choose another, or add it at the target" "$login --lun 77" &&
		refused 1 "vstor attach: $IQN: LUN 0 is not the disk that was meant: its serial is '*', not 'other'" \
			"$login --serial other" &&
		refused 1 "vstor attach: 10.79.0.77:3260: *: check the address, the network and that the host is up" \
			"vstor attach 10.79.0.77" &&
		refused 1 "vstor attach: nosuchhost: no answer from the name server" "vstor attach nosuchhost" &&
		refused 2 "vstor attach: wrong: not an iSCSI name (iqn.YYYY-MM.domain:name)" "$login --target wrong" &&
		refused 2 "vstor attach: --lun: 16384 is out of range: 0 to 16383" "$login --lun 16384" &&
		refused 2 "vstor attach: give a portal, HOST\[:PORT\], or --config, or --list, or --resume" "vstor attach" &&
		refused 1 "vstor attach: the kernel's initiator is root's alone: run vstor as root" \
			"su nobody -c '$login'" &&
		refused 1 "vstor detach: $IQN is not attached: see \`vstor attach --list\`" "vstor detach $IQN" &&
		refused 1 "vstor detach: /dev/sda: No such file or directory: see \`vstor attach --list\`" \
			"vstor detach /dev/sda"
}

# The portal by a name; then /etc/hosts keeps whoever opens it waiting, as a disk does that is away.
by_name() {
	on i "echo $TESTER storage >/etc/hosts; vstor attach storage --target $IQN && rm /etc/hosts && mkfifo /etc/hosts" &&
		outage 2 "$RUN/disk.img" target_kill "another_keeper; target_start vstor"
	local status=$?

	on i 'rm -f /etc/hosts'
	return $status
}

another_keeper() {
	on i 'kill -KILL $(pidof vstor-keeper)
		while pidof vstor-keeper >/dev/null; do usleep 20000; done
		vstor attach --resume'
}

# Nobody else can take the keeper's place.
keeper_private() {
	on i 'ls -la /run/vstor
		[ "$(stat -c %a:%u /run/vstor)" = 700:0 ] && [ "$(stat -c %a:%u /run/vstor/keeper-*)" = 700:0 ] &&
			! grep @vstor /proc/net/unix'
}

# The LUN becomes another disk beneath the device: what the kernel remembers of it does not count.
another_disk() {
	local was login="vstor attach $TESTER --target $IQN" list='vstor attach --list'

	attach_here && was=$(on i 'tail -c +5 /sys/block/sda/device/vpd_pg80' | tr -d ' \0') && [ -n "$was" ] &&
		on i "$login --serial $was" || return
	target_kill
	truncate -s 64M "$RUN/another.img"
	target_start vstor --lun "$RUN/another.img,serial=ANOTHER"
	on i "until $list | grep -qE ' LOGGED_IN +up +[0-9]+s +1 '; do usleep 100000; done
		$login --serial $was && exit 1
		$login && exit 1
		$login --serial $was 2>&1 | grep \"its serial is 'ANOTHER', not '$was'\" &&
			$login 2>&1 | grep \"become another disk (serial 'ANOTHER') beneath /dev/sda (serial '$was'): detach\" &&
			vstor detach /dev/sda && $login --serial ANOTHER && $login" && detach_all
	local status=$?

	target_kill
	target_start vstor
	return $status
}

part_quick() {
	target_start vstor
	check "the basics, vstor target" basics "$TESTER" 0
	check "wrong things" wrong_things
	check "attached for an outage" attach_here
	check "target killed, back after 5 s" outage 5 "$RUN/disk.img" target_kill "target_start vstor"
	check "connection reset" outage 0 "$RUN/disk.img" reset_connection :
	check "keeper killed, another takes over" outage 0 "$RUN/disk.img" keeper_killed :
	check "the keeper's socket is root's alone" keeper_private
	check "detach refuses a mounted disk" in_use
	check "detached" detach_all
	check "a name that cannot be looked up any more" by_name
	check "detached" detach_all
	check "another disk beneath the device" another_disk
	target_kill
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

several_targets() {
	refused 1 "vstor attach: $TESTER has several targets, choose with --target: $IQN $IQN.other" \
		"vstor attach $TESTER"
}

no_initiator() {
	machine_stop i
	machine_start i noiscsi
	machine_wait i
	refused 1 "vstor attach: no iscsi_tcp in the kernel: modprobe iscsi_tcp" "vstor attach $TESTER"
}

# Somebody listens there who says nothing, or nonsense.
no_target() {
	local silent chatty port status

	"$BB" nc -l -p 3270 -e "$BB" sleep 60 >/dev/null 2>&1 &
	silent=$!
	"$BB" nc -ll -p 3271 -e "$BB" yes >/dev/null 2>&1 &
	chatty=$!
	for port in 3270 3271; do	# nc does not tell when it listens
		until ss -Hltn "sport = :$port" | grep -q .; do
			sleep 0.1
		done
	done
	refused 1 "vstor attach: $TESTER:3270: no answer to the login in time: check that an iSCSI target listens there" \
		"vstor attach $TESTER:3270 --target $IQN" &&
		refused 1 "vstor attach: $TESTER:3271: not an iSCSI target: *" "vstor attach $TESTER:3271"
	status=$?
	kill $silent $chatty
	return $status
}

# Of what both sides know, the strongest.
chap_strongest() {
	on i "vstor attach $TESTER --target $IQN --chap-user us --chap-secret-file /tmp/us --log-level debug 2>&1 |
		grep 'CHAP algorithm 8$'" && detach_all
}

# The same in the words of the block script.
chap_words() {
	on i "echo 'portal=$TESTER,iqn=$IQN,lun=9,chap-user=us,chap-secret-file=/tmp/us,mutual-user=them,mutual-secret-file=/tmp/them' \
			>/tmp/chap.conf && vstor attach --config /tmp/chap.conf" && detach_all
}

# Recoveries cost the keeper neither descriptors nor memory, once the first has opened the log.
no_leak() {
	local held='pid=$(pidof vstor-keeper); echo $(ls /proc/$pid/fd | wc -l) $(awk "/VmData/ { print \$2 }" /proc/$pid/status)'
	local before='' after round

	for round in 1 2 3 4; do
		reset_connection && on i "until vstor attach --list | grep -qE ' LOGGED_IN +up +[0-9]+s +$round '; do usleep 100000; done" ||
			return
		[ $round != 1 ] || before=$(on i "$held")
	done
	after=$(on i "$held")
	echo "descriptors and KiB before: $before, after: $after"
	[ "${after% *}" = "${before% *}" ] && [ $((${after#* } - ${before#* })) -le 32 ]
}

# Who insists gets the disk away from beneath the file system; what was written before is there.
forced() {
	on i 'mke2fs -q /dev/sda >/dev/null 2>&1 || mkfs.ext2 /dev/sda >/dev/null; mount /dev/sda /mnt && echo kept >/mnt/file
		vstor detach /dev/sda --force; status=$?
		umount -l /mnt
		exit $status' && nothing_left && attach_here &&
		on i 'mount /dev/sda /mnt && cat /mnt/file; status=$?; umount /mnt; exit $status' && detach_all
}

# The list tells of an outage; the I/O that waits is over by then.
listed() {
	attach_here && attach_here --replacement-timeout 100 || return
	target_kill
	on i 'until vstor attach --list | grep -E "^/dev/sda +0 +FAILED +(waiting|connecting|login) +[0-9]+s +0 +[0-9]+s +'"$TESTER"':3260 +'"$IQN"'$"; do usleep 100000; done
		vstor attach --list --json >/tmp/list; cat /tmp/list
		grep -qE "\"replacement_timeout_s\":100,\"timeout_left_s\":[0-9]+,\"keeper\":\"(waiting|connecting|login)\",\"keeper_pid\":[0-9]+,\"since_s\":[0-9]+,\"recoveries\":0,\"error\":\"[^\"]+" /tmp/list' ||
		return
	target_start vstor
	on i 'until vstor attach --list | grep -qE " LOGGED_IN +up +[0-9]+s +1 +- "; do usleep 100000; done' && detach_all
}

# Each target by each of its addresses.
discovery() {
	[ "$(on i "vstor discover $TESTER" | tee "$RUN/found" | wc -l)" -ge 2 ] &&
		on i "vstor discover [$TESTER6] --json | grep '\"target\":\"$IQN.other\"'"
}

part_own() {
	target_start vstor
	check "IPv6, vstor target" basics "[$TESTER6]" 0
	check "two portals" two_portals
	check "no target there" no_target
	check "the list during an outage" listed
	check "attached" attach_here
	check "target killed, back after 20 s" outage 20 "$RUN/disk.img" target_kill "target_start vstor"
	check "link cut for 20 s" outage 20 "$RUN/disk.img" "link down" "link up"
	check "detached" detach_all
	check "attached" attach_here
	check "recoveries leak nothing" no_leak
	check "detached by force from a file system" forced
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
	check "discovery" discovery
	target_kill

	(umask 077; echo "$SECRET" >"$RUN/us"; echo "$OTHER_SECRET" >"$RUN/them")
	CHAP="--chap-user us --chap-secret-file $RUN/us --mutual-user them --mutual-secret-file $RUN/them"
	# shellcheck disable=SC2086
	target_start vstor --lun "$RUN/disk.img,lun=9" $CHAP
	check "CHAP, vstor target" chap "$TESTER" 9
	check "outage with CHAP, vstor target" outage 1 "$RUN/disk.img" target_kill \
		"target_start vstor --lun $RUN/disk.img,lun=9 $CHAP"
	check "detached" detach_all
	check "CHAP by the strongest digest" chap_strongest
	check "CHAP in the words of the block script" chap_words
	target_kill

	check "no initiator in the kernel" no_initiator
	machine_stop i
	machine_start i
	machine_wait i
}
