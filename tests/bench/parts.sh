# SPDX-License-Identifier: BSD-2-Clause
# Sourced by tests/bench/target: what is measured.

# point, connections, depth, bytes, mode; those of BENCH_POINTS
points() {
	local m
	{
		for m in rr:randread rw:randwrite; do
			echo "${m%:*}4k-1x1 1 1 4096 ${m#*:}"
			echo "${m%:*}4k-1x32 1 32 4096 ${m#*:}"
			echo "${m%:*}4k-1x128 1 128 4096 ${m#*:}"
			echo "${m%:*}4k-4x8 4 8 4096 ${m#*:}"
			echo "${m%:*}4k-4x32 4 32 4096 ${m#*:}"
		done
		for m in rd:read wr:write; do
			echo "${m%:*}64k-1x16 1 16 65536 ${m#*:}"
			echo "${m%:*}256k-1x8 1 8 262144 ${m#*:}"
			echo "${m%:*}1m-1x8 1 8 1048576 ${m#*:}"
		done
	} | grep -E -- "$POINTS"
}

# make_disks DIR NAME...: a file for each, written, so that nothing is read from holes
make_disks() {
	local name
	disks=$(mktemp -d "$1/vstor-bench.XXXXXX") || return 1
	shift
	for name; do
		head -c "${SIZE}M" /dev/zero | tr '\0' x > "$disks/$name.img" ||
			{ say "no room for $# files of $SIZE MiB in ${disks%/*}: give a smaller BENCH_SIZE"; return 1; }
	done
	sync -f "$disks"
}

progress() { [ ! -t 2 ] || printf '\r\033[K%s' "$*" >&2; }

# compare BACKING DIR CLIENT: all points, each repetition of each by all targets in turn
compare() {
	local name names=() repeat point
	make_disks "$2" vstor tgtd istgt floor || return 1
	start_vstor "$disks/vstor.img" || { say "$VSTOR does not start"; return 1; }
	for name in vstor tgtd istgt floor; do
		[ $name = vstor ] || start_$name "$disks/$name.img" || continue
		start_client $name $name
		names+=($name)
	done
	for repeat in $(seq "$REPS"); do
		while read -r point; do
			# At depth 1 every client sends one PDU at a time, and with 1 MiB hardly more.
			case $3:$point in single:*-1x1\ * | single:*1m-*) continue ;; esac
			progress "$1, $3, $repeat of $REPS, ${point%% *}"
			for name in "${names[@]}"; do
				# shellcheck disable=SC2086
				measure speed "$1" "$3" "$repeat" $name $point
			done
		done < <(points)
	done
	progress
	return 0
}

# A link between two network namespaces, as wide as a rate says in either direction. What the shaper
# counts is an Ethernet frame from its addresses to its data: 1514 bytes for 1448 of payload.
links() {
	local host side rate repeat mode name names=(vstor)
	[ "$(id -u)" = 0 ] || { say "links need root: left out"; return 0; }
	command -v ip tc nsenter > /dev/null || { say "links need ip and tc (package iproute2): left out"; return 0; }
	for side in 0 1; do
		$TIED unshare --net sh -c "echo; exec sleep infinity" >&"$ready" &
		holders[side]=$!
		read -r -t 10 -u "$ready"
	done
	HOST_DO="nsenter --net=/proc/${holders[0]}/ns/net" CLIENT_DO="nsenter --net=/proc/${holders[1]}/ns/net"
	$HOST_DO ip link add link0 type veth peer name link1 netns "${holders[1]}" || return 1
	for side in "0 $HOST_DO" "1 $CLIENT_DO"; do
		host=${side#* } side=${side%% *}
		$host ip link set lo up
		$host ip address add 192.0.2.$((side + 1))/24 dev "link$side"
		$host ip link set "link$side" up
		$host tc qdisc add dev "link$side" root tbf rate 1gbit burst 128k limit 4m ||
			{ say "the kernel has no token bucket filter (sch_tbf): links are left out"; return 0; }
	done
	ADDRESS=192.0.2.1
	make_disks /dev/shm vstor tgtd || return 1
	start_vstor "$disks/vstor.img" || { say "$VSTOR does not start"; return 1; }
	start_client vstor vstor
	start_tgtd "$disks/tgtd.img" && start_client tgtd tgtd && names+=(tgtd)
	for rate in 1gbit 100mbit; do
		$HOST_DO tc qdisc change dev link0 root tbf rate $rate burst 128k limit 4m
		$CLIENT_DO tc qdisc change dev link1 root tbf rate $rate burst 128k limit 4m
		for repeat in 1 2 3; do
			for mode in rd:read wr:write; do
				progress "links, $rate, $repeat of 3, ${mode#*:}"
				for name in "${names[@]}"; do
					WARM_MS=500 MEASURED_MS=2000 measure links $rate batch $repeat $name \
						"${mode%:*}64k-1x16" 1 16 65536 "${mode#*:}"
				done
			done
		done
	done
	progress
}

# Digests on and off, memory, and how long it takes until it listens.
extra() {
	local repeat point step before times=()
	make_disks /dev/shm vstor floor || return 1
	for repeat in $(seq 9); do
		before=${EPOCHREALTIME/[.,]/}
		start_vstor "$disks/vstor.img" || { say "$VSTOR does not start"; return 1; }
		times+=($((${EPOCHREALTIME/[.,]/} - before)))
		[ "$repeat" = 9 ] || stop_targets
	done
	value idle_kib "$(memory_of "${pid[vstor]}" VmRSS)"
	value ready_us "$(printf '%s\n' "${times[@]}" | sort -n | sed -n 5p)"

	start_client plain vstor
	start_client digests vstor --digests
	start_floor "$disks/floor.img" && start_client bare floor --digests
	for repeat in $(seq "$REPS"); do
		while read -r point; do
			progress "extra, digests, $repeat of $REPS, ${point%% *}"
			# shellcheck disable=SC2086
			measure digests memory batch "$repeat" plain $point
			# shellcheck disable=SC2086
			measure digests memory batch "$repeat" digests $point
			# shellcheck disable=SC2086
			measure digests memory batch "$repeat" bare $point
		done < <(POINTS='4k-1x32|256k' points)
	done
	stop_targets

	start_vstor "$disks/vstor.img" || return 1
	start_client crowd vstor
	for step in "rr4k 4096 randread" "rw4k 4096 randwrite" "rd64k 65536 read" "wr64k 65536 write"; do
		point=${step%% *}
		progress "extra, memory, $point"
		# shellcheck disable=SC2086
		measure crowd memory batch 1 crowd "$point-32x128" 32 128 ${step#* } || return 1
		# At most so far: the steps come in the order of their size.
		value "crowd_kib_$point" "$(memory_of "${pid[vstor]}" VmHWM)"
	done
	progress
}
