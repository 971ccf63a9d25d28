# The attach suite with AoE: the kernel's driver against vstor's target, and against vblade. Sourced by
# tests/attach/run.
# shellcheck shell=bash

DEVICE=/dev/etherd/e1.1

aoe_start() {
	target_start vstor --lun "$RUN/disk.img,serial=DISK-OF-AOE" --aoe br9,shelf=1,slot=1
}

aoe_basics() {
	on i "set -e
		[ \"\$(vstor attach --via aoe 1.1)\" = $DEVICE ]
		[ \"\$(vstor attach --via aoe e1.1 --json)\" = '{\"device\":\"$DEVICE\",\"aoe\":\"e1.1\",\"existed\":true}' ]
		vstor attach --list | grep '^$DEVICE .* up .* e1.1\$'
		vstor attach --list --json | grep '\"device\":\"$DEVICE\",\"aoe\":\"1.1\",\"serial\":\"${SERIAL:-DISK-OF-AOE}.*\"state\":\"up'
		dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
		dd if=/tmp/data of=$DEVICE bs=256k conv=fsync 2>/dev/null
		echo 3 >/proc/sys/vm/drop_caches
		head -c 4194304 $DEVICE | cmp - /tmp/data" &&
		[ "$(on i 'md5sum </tmp/data')" = "$(head -c 4194304 "$RUN/disk.img" | md5sum)" ]
}

aoe_in_use() {
	on i "mke2fs -q $DEVICE >/dev/null 2>&1 || mkfs.ext2 $DEVICE >/dev/null; mount $DEVICE /mnt
		vstor detach $DEVICE >/tmp/said 2>&1; status=\$?
		umount /mnt
		cat /tmp/said; [ \$status = 1 ] && grep -q '$DEVICE is mounted on /mnt: stop using it' /tmp/said"
}

aoe_detached() {
	on i "vstor detach $DEVICE && [ ! -e $DEVICE ] && vstor detach $DEVICE --if-attached"
}

# A writer goes on after an outage, and all that it has written is there.
aoe_outage() {
	local records

	on i "rm -f /tmp/written; writer $DEVICE >/dev/null 2>&1 &
		until [ -s /tmp/written ]; do usleep 50000; done" || return
	target_kill
	sleep "$1"
	aoe_start
	records=$(on i 'tail -n 1 /tmp/written | cut -d " " -f 1')
	on i "i=0; until [ \$(tail -n 1 /tmp/written | cut -d ' ' -f 1) -gt $((records + 20)) ]; do
		[ -e /tmp/writer ] && break; i=\$((i + 1)); [ \$i -gt 600 ] && break; usleep 100000; done
		awk 'NR > 1 && \$2 - p > gap { gap = \$2 - p } { p = \$2 } END { print \"longest pause\", gap }' /tmp/written"
	writer_ends i "$RUN/disk.img"
}

aoe_words() {
	on i "echo 'aoe=1.1' >/tmp/aoe.conf
		[ \"\$(vstor attach --config /tmp/aoe.conf)\" = $DEVICE ] || exit
		vstor attach --via aoe 1 2>&1 | grep 'takes SHELF.SLOT' && vstor attach --via aoe 1.1 --lun 2 2>&1 | grep 'none of iSCSI'
		vstor detach $DEVICE"
}

aoe_nobody() {
	refused 1 "vstor attach: e1.77: nobody answers for it: check shelf and slot, that an interface on its network is up, and whom the target lets in" \
		"vstor attach --via aoe 1.77"
}

part_aoe() {
	aoe_start
	check "AoE: attached, written and read" aoe_basics
	check "AoE: target killed, back after 1 s" aoe_outage 1
	check "AoE: detach refuses a mounted disk" aoe_in_use
	check "AoE: detached" aoe_detached
	check "AoE: the words of the block script" aoe_words
	target_kill
}

# power_cut KEY COUNT: the target's machine loses its power amid writes; COUNT takes how many records
# have been answered, and the image.
power_cut() {
	local written

	on s "vstor target --lun /dev/vda$1 --listen 127.0.0.1 --control /tmp/control --aoe eth1,shelf=2,slot=1 --ready-fd 3 \
		3>/tmp/ready >/tmp/target.log 2>&1 &
		until [ -s /tmp/ready ]; do usleep 50000; done" && on i 'vstor attach --via aoe 2.1' || return
	on i "rm -f /tmp/written; writer /dev/etherd/e2.1 >/dev/null 2>&1 &
		until [ \$(wc -l </tmp/written) -gt 50 ]; do usleep 50000; done" || return
	machine_stop s
	written=$(on i 'wc -l </tmp/written')
	on i 'kill $(pidof writer) 2>/dev/null; vstor detach /dev/etherd/e2.1 --force; true' >/dev/null 2>&1
	echo "$written records were answered"
	"$2" "$written"
}

# The records that are on the medium in a row from the first.
on_medium() {
	head -c $(($1 * 512)) "$RUN/s.img" | awk '$1 != NR - 1 { exit } { n = NR } END { print n + 0 }'
}

all_there() {
	[ "$(on_medium "$1")" = "$1" ]
}

some_lost() {
	[ "$(on_medium "$1")" -lt "$1" ]
}

# Each record is answered by whoever the words of the LUN make it be: on the medium or in memory.
part_power() {
	! machine_lives s 2>/dev/null || machine_stop s
	machine_start s
	machine_wait s
	check "AoE: the target's machine loses its power, and nothing that was answered" power_cut "" all_there
	truncate -s 0 "$RUN/s.img"
	truncate -s 64M "$RUN/s.img"
	machine_start s
	machine_wait s
	check "AoE: with cache=writeback what was in memory is lost" power_cut ",cache=writeback" some_lost
}

# KIB of data go to the disk and come back, over a wire that loses frames both ways.
aoe_lossy() {
	ON_WAIT=400 on i "set -e
		vstor attach --via aoe 1.1
		head -c $(($1 * 1024)) /dev/urandom >/tmp/data
		dd if=/tmp/data of=$DEVICE bs=64k conv=fsync 2>/dev/null
		echo 3 >/proc/sys/vm/drop_caches
		head -c $(($1 * 1024)) $DEVICE | cmp - /tmp/data
		vstor detach $DEVICE" &&
		[ "$(on i 'md5sum </tmp/data')" = "$(head -c $(($1 * 1024)) "$RUN/disk.img" | md5sum)" ] &&
		lossy_set 0 && echo "$LOSSY_SAID" && [[ $LOSSY_SAID = *lost=[1-9]* ]]
}

part_loss() {
	check "AoE: nobody there" aoe_nobody
	lossy_network
	lossy_attachable
	target_start vstor --lun "$RUN/disk.img" --listen "$LOSSY_TARGET" --aoe lossy,shelf=1,slot=1
	lossy_set 1
	check "AoE: 1 % of the frames lost, and no byte" aoe_lossy 4096
	lossy_set 10
	check "AoE: 10 % of the frames lost, and no byte" aoe_lossy 128
	target_kill
}

# As the control: the same driver and commands, another target.
vblade_start() {
	vblade 1 1 br9 "$RUN/disk.img" >>"$RUN/target.log" 2>&1 &
	echo $! >"$RUN/target.pid"
	disown
}

part_vblade() {
	command -v vblade >/dev/null || { echo "ok attach: vblade # skip it is not here: install vblade"; return; }
	vblade_start
	SERIAL=1.1: check "AoE: attached, written and read, vblade" aoe_basics
	check "AoE: detached, vblade" aoe_detached
	target_kill
}
