# The parts of a lab, for scripts that run inside its namespaces (tests/lab/inside).
# shellcheck shell=bash
. "${BASH_SOURCE[0]%/*}/paths.sh"

RUN=$CACHE/run/${LAB_ID:?}
LOG=$RUN/log
STORAGE=10.77.0.1
IQN=iqn.2026-11.local.vstor:lab
GUEST=guest1
HOST_MEMORY=${LAB_HOST_MEMORY:-512}	# MiB of a QEMU, of which dom0 has 256
VCPUS=${LAB_VCPUS:-1}		# of the guest
EXTRA=${LAB_EXTRA:-}		# words for its kernel's command line
# The LUNs 0, 1: with LAB_DISKS=2 there are two. The identity of the second one is the lower one.
DISKS=("$RUN/disk.img" "$RUN/disk2.img")
SERIALS=(LAB2 LAB3)
DISKS=("${DISKS[@]:0:${LAB_DISKS:-1}}")
TARGET=${LAB_TARGET:-vstor}	# vstor | tgtd
ATTACH=${LAB_ATTACH:-vstor}	# vstor | aoe | iscsistart
declare -A ADDRESS=([A]=10.77.0.11 [B]=10.77.0.12 [guest]=10.77.0.50)
declare -A SECOND=([A]=10.78.0.11 [B]=10.78.0.12)	# on a network of the hosts' own
export TGT_IPC_SOCKET=/run/tgtd

# on HOST COMMAND...: as tests/lab/on, but never longer than LAB_WAIT seconds (124).
on() {
	timeout "${LAB_WAIT:-60}" "$LAB/on" "$@"
}

# wait_line FILE PATTERN SECONDS [PID]: until a line of a growing file matches; not longer than
# the process PID lives.
wait_line() {
	touch "$1"
	timeout "$3" grep -m 1 -q -- "$2" \
		< <(exec tail -n +1 -s 0.1 ${4:+--pid="$4"} -F "$1" 2>/dev/null)
}

# --- storage

# New disks, of which nobody has heard: what the target kept of those before, which guest holds them above
# all, goes by the file's name.
storage_start() {
	local disk

	rm -rf "$RUN/state"
	for disk in "${DISKS[@]}"; do
		truncate -s 256M "$disk"
		mke2fs -q -t ext4 -F "$disk"
	done
	case $TARGET in
	vstor) target_start ;;
	tgtd)
		tgtd -f -C 7 --iscsi "portal=$STORAGE:3260" >"$LOG/target.log" 2>&1 &
		echo $! >"$RUN/target.pid"
		tgtd_configure
		;;
	*) die "LAB_TARGET=$TARGET: vstor or tgtd" ;;
	esac
}

target_start() {
	local ready options=() i

	mkdir -p "$RUN/state"
	for i in "${!DISKS[@]}"; do
		options+=(--lun "${DISKS[i]},serial=${SERIALS[i]}")
	done
	[ "$ATTACH" = aoe ] && options+=(--aoe "br0,shelf=1,slot=0")
	exec {ready}< <(exec "$VSTOR" target "${options[@]}" --name "$IQN" \
		--state-dir "$RUN/state" --listen "$STORAGE" --control "$RUN/target.sock" --ready-fd 3 3>&1 >"$LOG/target.log" 2>&1)
	echo $! >"$RUN/target.pid"
	read -r -t 20 -u "$ready" || {
		tail -n 3 "$LOG/target.log" >&2
		die "vstor target does not come up: see $LOG/target.log"
	}
	exec {ready}<&-
}

# No more hosts may be there.
storage_stop() {
	local pid

	pid=$(<"$RUN/target.pid")
	kill "$pid"	# vstor ends by itself; tgtd has to be told otherwise while it has targets
	[ "$TARGET" = tgtd ] && kill -KILL "$pid"
	tail -s 0.1 --pid="$pid" -f /dev/null
	rm "${DISKS[@]}" "$RUN/target.pid"
}

tgtd_configure() {
	until tgtadm -C 7 --op show --mode sys >/dev/null 2>&1; do
		sleep 0.1
	done
	tgtadm -C 7 --lld iscsi --op new --mode target --tid 1 -T "$IQN"
	tgtadm -C 7 --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b "$RUN/disk.img"
	tgtadm -C 7 --lld iscsi --op bind --mode target --tid 1 -I ALL
}

# disk_check IMAGE FROM TO: a file system without a complaint, whose log holds so many lines at least and
# so many at most, in order. Prints a line.
disk_check() {
	local fsck=0 lines wrong

	e2fsck -fn "$1" >"$LOG/fsck.log" 2>&1 || fsck=$?
	read -r lines wrong < <(debugfs -R 'cat /log' "$1" 2>/dev/null |
		awk '$1 != NR { n++ } END { print NR, n + 0 }')
	echo "disk: e2fsck exit $fsck, $lines of $2 lines, $wrong out of order"
	[ "$fsck" -eq 0 ] && [ "$lines" -ge "$2" ] && [ "$lines" -le "$3" ] && [ "$wrong" -eq 0 ]
}

# disk_check_now IMAGE FROM TO: the same of a disk at this moment, while its guest goes on: of a copy, as after
# a power failure. What is in its journal is replayed, and the sums in the superblock, which Linux keeps in
# memory alone, are made up; that is done without a word, and no other repair may be.
disk_check_now() {
	local copy=$RUN/copy.img target repaired

	target=$(<"$RUN/target.pid")
	kill -STOP "$target"
	cp --sparse=always "$1" "$copy"
	kill -CONT "$target"
	e2fsck -p -E journal_only "$copy" >/dev/null
	repaired=$(e2fsck -fp "$copy" | grep -v ': [0-9]*/[0-9]* files ([0-9.]*% non-contiguous), [0-9]*/[0-9]* blocks$')
	[ -z "$repaired" ] || { echo "disk: $repaired"; return 1; }
	disk_check "$copy" "${@:2}"
}

# --- hosts

# release_of HOST
release_of() {
	[ "$1" = A ] && echo "$XEN_RELEASE" || echo "$XEN_RELEASE_B"
}

# One initramfs out of several: the kernel unpacks cpio archives that follow one another. For hosts with
# the Xen release $1.
pack_overlay() {
	local tree=$RUN/overlay images parts fitting=$TOP/build/vstor-$1

	images=$(home_of "$1")/images
	parts=("$images/dom0.cpio")
	rm -rf "$tree"
	mkdir -p "$tree"/{bin,root,lib/vstor,etc/xen/scripts,guest/bin}
	# As on a host that had another release before: vstor finds the binary that fits.
	[ "$1" = 4.17 ] || cp "$fitting" "$tree/lib/vstor/"
	if [ -x "$VSTOR" ]; then
		strip -o "$tree/bin/vstor" "$VSTOR"
		cp "$tree/bin/vstor" "$tree/guest/bin/vstor"
		ln -s /bin/vstor "$tree/etc/xen/scripts/block-vstor"
	fi
	[ -x "$LAB_TOOL-$1" ] && strip -o "$tree/bin/lab-tool" "$LAB_TOOL-$1"
	pack_cpio "$tree/guest"
	cat "$CACHE/images/guest.cpio" "$tree/guest.cpio" >"$tree/root/guest.cpio"
	rm -rf "$tree/guest" "$tree/guest.cpio"
	pack_cpio "$tree"
	[ -n "${LAB_XL:-}" ] || [ "$ATTACH" = iscsistart ] && parts+=("$images/xl.cpio")
	cat "${parts[@]}" "$tree.cpio" >"$RUN/host-$1.cpio"
	rm -rf "$tree" "$tree.cpio"
}

pack_cpio() {
	(cd "$1" && find . | LC_ALL=C sort | "$BB" cpio -o -H newc -R 0:0 2>/dev/null) >"$1.cpio"
}

# host_start HOST TYPE: PV live migration needs the hypervisor with shadow paging, where there is one.
host_start() {
	local host=$1 lun=0 own=() release home hypervisor

	release=$(release_of "$host")
	home=$(home_of "$release")
	hypervisor=$home/xen
	[[ $2 = pv* ]] && [[ $2 != pvh* ]] && [ -e "$home/xen-shadow" ] && hypervisor=$home/xen-shadow
	[ "$TARGET" = tgtd ] && lun=1
	# One that is no part of the lab: its flushes count, as those of the target's disk do.
	if [ -n "${LAB_LOCAL_DISK:-}" ]; then
		truncate -s "${LAB_LOCAL_DISK}M" "$RUN/local$host.img"
		mke2fs -q -t ext4 -F "$RUN/local$host.img"
		own=(-drive "if=virtio,format=raw,cache=writeback,file=$RUN/local$host.img")
	fi
	rm -f "$LOG/console$host.log"
	# What a host keeps over a restart: /var/lib/vstor.
	if [ ! -e "$RUN/var$host.img" ]; then
		truncate -s 8M "$RUN/var$host.img"
		mke2fs -q -t ext4 -F "$RUN/var$host.img"
	fi
	"$(qemu_program)" -name "host$host" -machine pc -accel tcg,thread=multi,tb-size=128 \
		-cpu qemu64,+svm,+npt -smp 1 -m "$HOST_MEMORY" -display none -vga none \
		-nodefaults -no-reboot -serial "file:$LOG/console$host.log" \
		-kernel "$hypervisor" \
		-append "xen console=com1 com1=115200,8n1 loglvl=warning dom0_mem=256M,max:256M dom0_max_vcpus=1" \
		-initrd "$home/vmlinux console=hvc0 quiet swiotlb=2048 host=$host ip=${ADDRESS[$host]} attach=$ATTACH iqn=$IQN lun=$lun gated=${LAB_GATED:-},$RUN/host-$release.cpio" \
		-netdev "tap,id=n0,ifname=tap$host,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:1$host" \
		-netdev "tap,id=n1,ifname=tap2$host,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=n1,romfile=,mac=52:54:00:00:00:2$host" \
		-drive "if=virtio,format=raw,cache=unsafe,file=$RUN/var$host.img" \
		"${own[@]}" \
		>"$LOG/qemu$host.log" 2>&1 </dev/null &
	echo $! >"$RUN/qemu$host.pid"
}

host_wait() {
	if ! wait_line "$LOG/console$1.log" "HOST $1 READY" 120 "$(<"$RUN/qemu$1.pid")"; then
		tail -n 5 "$LOG/qemu$1.log" "$LOG/console$1.log" >&2
		die "host $1 does not come up: see $LOG/console$1.log"
	fi
	if grep "HOST $1 FAILED" "$LOG/console$1.log" >&2; then
		die "host $1 has no disk: see $LOG/console$1.log and $LOG/target.log"
	fi
	# Its shell for us starts to listen at about the time that it says so.
	until on "$1" true 2>/dev/null; do
		kill -0 "$(<"$RUN/qemu$1.pid")" || die "host $1 has ended: see $LOG/console$1.log"
		sleep 0.1
	done
}

# Pulls the plug.
host_stop() {
	local pid

	[ -e "$RUN/qemu$1.pid" ] || return 0
	pid=$(<"$RUN/qemu$1.pid")
	rm "$RUN/qemu$1.pid"
	kill -KILL "$pid" 2>/dev/null || return 0
	tail -s 0.1 --pid="$pid" -f /dev/null
}

# hosts_start TYPE: both at once.
hosts_start() {
	local release

	for release in $(printf '%s\n' "$XEN_RELEASE" "$XEN_RELEASE_B" | sort -u); do
		pack_overlay "$release"
	done
	host_start A "$1"
	host_start B "$1"
	host_wait A
	host_wait B
	echo "$1" >"$RUN/type"
	echo "$HOST_MEMORY" >"$RUN/memory"
}

# --- guest

# Everything the machines report of their own accord ends up in a file, a line each.
events_start() {
	"$BB" nc -ll -p 7001 -e /bin/sh -c "cat >>'$RUN/events'" &
	echo $! >"$RUN/events.pid"
}

# guest_start HOST pv|pvh|pv2|pvh2 MIB: 2 with two disks
guest_start() {
	local create="lab-tool create"

	[ -x "$LAB_TOOL-$(release_of "$1")" ] || create="xl create"
	: >"$RUN/events"
	on "$1" "sed 's/^memory=.*/memory=$3/; s/^vcpus=.*/vcpus=$VCPUS/
		s/quiet/quiet $EXTRA/' /root/$2.cfg >/tmp/guest.cfg &&
		$create /tmp/guest.cfg" >"$LOG/create.log" 2>&1 || {
		cat "$LOG/create.log" >&2
		die "the guest is not created on host $1: see also /var/log/xen there"
	}
	wait_line "$RUN/events" "GUEST READY" 120 || {
		on "$1" 'tail -n 20 /var/log/xen/guest-*.log' >&2
		die "the guest on host $1 does not answer"
	}
	echo "$1" >"$RUN/where"
}

# --- network

# shape RATE|off [LINK...]: both ways on both hosts' links, or these. What matters is there in small kernels too (no
# netem, no police).
shape() {
	local rate=$1 link

	shift
	[ $# -gt 0 ] || set -- tapA tapB
	for link; do
		# What may not be there.
		tc qdisc del dev "$link" root 2>/dev/null || :
		tc qdisc del dev "$link" ingress 2>/dev/null || :
		ip link del "ifb$link" 2>/dev/null || :
		[ "$rate" = off ] && continue
		tc qdisc add dev "$link" root handle 1: htb default 10 r2q 1000 &&
			tc class add dev "$link" parent 1: classid 1:10 \
				htb rate "$rate" ceil "$rate" burst 32k cburst 32k &&
			ip link add "ifb$link" type ifb &&
			ip link set "ifb$link" up &&
			tc qdisc add dev "$link" handle ffff: ingress &&
			tc filter add dev "$link" parent ffff: protocol all u32 match u32 0 0 \
				action mirred egress redirect dev "ifb$link" &&
			tc qdisc add dev "ifb$link" root tbf rate "$rate" burst 64k latency 50ms ||
			die "the network cannot be limited to $rate"
	done
	return 0
}

# --- moving a guest

other() {
	[ "$1" = A ] && echo B || echo A
}

where() {
	cat "$RUN/where" 2>/dev/null || die "there is no guest: tests/lab/lab create pv|pvh"
}

# Pings the guest a hundred times a second; ping_stop leaves what was lost in LOG/ping.json.
ping_start() {
	"$VSTOR" bench ping "${ADDRESS[guest]}" --interval 0.01 --json >"$LOG/ping.json" \
		2>"$LOG/ping.log" &
	ping=$!
}

ping_stop() {
	kill "$ping"
	wait "$ping" || :
}

# field FILE KEY: the first number of that name in a JSON file.
field() {
	sed -n "s/.*\"$2\": *\([-0-9.]*\).*/\1/p;T;q" <(tr ',' '\n' <"$1")
}

ping_summary() {
	echo "pings: $(field "$LOG/ping.json" sent) sent, $(field "$LOG/ping.json" lost) lost," \
		"longest gap $(field "$LOG/ping.json" longest_gap_ms) ms"
}

# migrate HOST [OPTION...]: prints the progress of vstor migrate, leaves its report in
# LOG/migrate.json and that of the ping around it in LOG/ping.json.
migrate() {
	local to=$1 from status=0

	from=$(where)
	[ "$from" != "$to" ] || die "the guest is on host $to already"
	shift
	[ $# -gt 0 ] || set -- --tcp 7002 --key-file /root/key
	# Disks without reservations, or that forget them.
	[ "$ATTACH" != aoe ] && [ "$TARGET" != tgtd ] || set -- "$@" --no-fence
	ping_start
	LAB_WAIT=600 on "$from" "vstor migrate --json $* $GUEST ${ADDRESS[$to]} >/tmp/migrate.json" ||
		status=$?
	[ $status -eq 0 ] && echo "$to" >"$RUN/where"
	on guest true || say "the guest does not answer"
	ping_stop
	on "$from" cat /tmp/migrate.json >"$LOG/migrate.json"
	return $status
}

xl_migrate() {
	local to=$1 from start status=0

	from=$(where)
	[ "$from" != "$to" ] || die "the guest is on host $to already"
	ping_start
	start=$(now)
	LAB_WAIT=600 on "$from" "xl migrate -s '' $GUEST 'lab-ssh ${ADDRESS[$to]} xl migrate-receive'" \
		>"$LOG/xl-migrate.log" 2>&1 || status=$?
	if [ $status -eq 0 ]; then
		echo "$to" >"$RUN/where"
		echo "xl migrate: $(since "$start") s"
	else
		cat "$LOG/xl-migrate.log"
	fi
	on guest true || say "the guest does not answer"
	ping_stop
	return $status
}

guest_destroy() {
	local destroy="lab-tool destroy"

	[ -x "$LAB_TOOL-$XEN_RELEASE" ] || destroy="xl destroy"
	on "$(where)" "$destroy $GUEST" && rm "$RUN/where"
}
