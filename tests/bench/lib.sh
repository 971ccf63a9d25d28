# SPDX-License-Identifier: BSD-2-Clause
# Sourced by tests/bench/target: starts targets and their clients, runs one measurement. All that is
# started dies with the script, also when that is killed.

IQN=iqn.2026-11.local.vstor:bench
declare -A pid port lun        # of a target
declare -A load to from client # of a client: its process, the pipes, its arguments
TIED="setpriv --pdeathsig KILL"

say() { echo "bench-target: $*" >&2; }

# kill_wait PID...
kill_wait() {
	local p
	for p; do
		kill -KILL "$p"
		wait "$p"
	done 2> /dev/null
}

# free_port: sets PORT. Whoever cannot listen there ends, and another one is tried.
free_port() { PORT=$((20000 + RANDOM % 12000)); }

# listens PID PORT: waits until something accepts connections there; fails when PID ends before.
# HOST_DO is what runs a command where the target runs.
listens() {
	for _ in $(seq 250); do
		kill -0 "$1" 2> /dev/null || return 1
		$HOST_DO bash -c "exec 3<> /dev/tcp/127.0.0.1/$2" 2> /dev/null && return 0
		read -r -t 0.02 -u "$ready"
	done
	return 1
}

# Each start_NAME FILE runs that target on FILE at $ADDRESS and sets pid, port and lun.
start_vstor() {
	for _ in 1 2 3 4 5; do
		free_port
		# shellcheck disable=SC2086
		$HOST_DO $TIED "$VSTOR" target --state-dir none --lun "$1" --name $IQN --listen "$ADDRESS:$PORT" \
			--control "$tmp/control" --ready-fd 9 $BENCH_ARGS \
			9>&"$ready" < /dev/null 2> "$tmp/vstor.log" &
		pid[vstor]=$! port[vstor]=$PORT lun[vstor]=0
		until read -r -t 0.2 -u "$ready" && return 0; do
			kill -0 "${pid[vstor]}" 2> /dev/null || break
		done
	done
	cat "$tmp/vstor.log" >&2
	return 1
}
start_tgtd() {
	command -v tgtd tgtadm > /dev/null || { say "tgtd is missing (package tgt): measured without it"; return 1; }
	# Its clients find it by this; several may run at once.
	export TGT_IPC_SOCKET=$tmp/tgtd.sock
	adm() { $HOST_DO tgtadm --control-port 1 --lld iscsi "$@"; }
	for _ in 1 2 3 4 5; do
		free_port
		$HOST_DO $TIED tgtd -f --control-port 1 --iscsi portal="$ADDRESS:$PORT" < /dev/null > "$tmp/tgtd.log" 2>&1 &
		pid[tgtd]=$! port[tgtd]=$PORT lun[tgtd]=1
		for _ in $(seq 250); do
			adm --mode sys --op show > /dev/null 2>&1 && break
			read -r -t 0.02 -u "$ready"
		done
		grep -q 'failed to create' "$tmp/tgtd.log" || break
		kill_wait "${pid[tgtd]}"
	done
	adm --mode target --op new --tid 1 --targetname $IQN &&
		adm --mode logicalunit --op new --tid 1 --lun 1 --bstype rdwr --backing-store "$1" &&
		adm --mode target --op bind --tid 1 --initiator-address ALL
}
start_istgt() {
	command -v istgt > /dev/null || { say "istgt is missing (package istgt): measured without it"; return 1; }
	: > "$tmp/istgt.auth"
	for _ in 1 2 3 4 5; do
		free_port
		cat > "$tmp/istgt.conf" <<- END
			[Global]
			  NodeBase "${IQN%:*}"
			  PidFile "$tmp/istgt.pid"
			  AuthFile "$tmp/istgt.auth"
			  MediaDirectory "$tmp"
			  LogFacility local7
			  DiscoveryAuthMethod None
			  MaxSessions 64
			  MaxConnections 1
			  FirstBurstLength 262144
			  MaxBurstLength 1048576
			  MaxRecvDataSegmentLength 262144
			[UnitControl]
			  AuthMethod None
			  Netmask 127.0.0.1
			[PortalGroup1]
			  Portal DA1 $ADDRESS:$PORT
			[InitiatorGroup1]
			  InitiatorName "ALL"
			  Netmask 127.0.0.0/8
			[LogicalUnit1]
			  TargetName ${IQN#*:}
			  Mapping PortalGroup1 InitiatorGroup1
			  AuthMethod None
			  UseDigest Auto
			  UnitType Disk
			  QueueDepth 128
			  LUN0 Storage $1 Auto
		END
		$TIED istgt -D -c "$tmp/istgt.conf" < /dev/null > "$tmp/istgt.log" 2>&1 &
		pid[istgt]=$! port[istgt]=$PORT lun[istgt]=0
		listens "${pid[istgt]}" "$PORT" && return 0
		kill_wait "${pid[istgt]}"
	done
	cat "$tmp/istgt.log" >&2
	return 1
}
# The one given by NULLTGT, or ours.
start_floor() {
	for _ in 1 2 3 4 5; do
		free_port
		$TIED "${NULLTGT:-$tmp/floor}" "$PORT" "$1" < /dev/null > "$tmp/floor.log" 2>&1 &
		pid[floor]=$! port[floor]=$PORT lun[floor]=0
		listens "${pid[floor]}" "$PORT" && return 0
		kill_wait "${pid[floor]}"
	done
	cat "$tmp/floor.log" >&2
	return 1
}
stop_targets() {
	kill_wait "${load[@]}" "${pid[@]}"
	load=() pid=()
}

# start_client NAME TARGET [--digests]: a client for a target that runs
start_client() {
	local name=$1 target=$2
	shift 2
	client[$name]="$target $*"
	[ -p "$tmp/$name.to" ] || mkfifo "$tmp/$name.to" "$tmp/$name.from"
	[ -n "${to[$name]:-}" ] || { exec {in}<> "$tmp/$name.to" {out}<> "$tmp/$name.from"; to[$name]=$in from[$name]=$out; }
	$CLIENT_DO $TIED "$tmp/iload" "$@" --pid "${pid[$target]}" "$ADDRESS" "${port[$target]}" $IQN "${lun[$target]}" \
		< "$tmp/$name.to" > "$tmp/$name.from" 2> "$tmp/$name.log" &
	load[$name]=$!
}

# measure PART BACKING CLIENT REPEAT NAME  POINT CONNECTIONS DEPTH BYTES MODE: one line in the results.
# A client that has ended (its target broke the connection) is started once more.
measure() {
	local part=$1 backing=$2 how=$3 repeat=$4 name=$5 point=$6 try line
	shift 6
	[ -n "${load[$name]:-}" ] || return 1
	for try in 1 2; do
		echo "$* $how $WARM_MS $MEASURED_MS" >&"${to[$name]}"
		until read -r -t 1 -u "${from[$name]}" line; do
			kill -0 "${load[$name]}" 2> /dev/null || break
		done
		if [ -n "$line" ]; then
			# name=value ... to values, in the order of the results' first line
			line=$(sed 's/ *[a-z0-9_]*=/,/g' <<< "$line")
			echo "$part,$backing,$how,$point,$name,$repeat$line" >> "$RESULT"
			return 0
		fi
		say "$name at $point ($backing, $how): $(tail -n 1 "$tmp/$name.log")"
		# shellcheck disable=SC2086
		start_client "$name" ${client[$name]}
	done
	[ "${client[$name]%% *}" != vstor ] || failed=1
	return 1
}

# value NAME NUMBER: a result that is a single number
value() { echo "#$1=$2" >> "$RESULT"; }

# memory_of PID FIELD: KiB of it and the processes under it, as /proc/PID/status has it
memory_of() {
	local child sum
	sum=$(awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status")
	for child in $(cat /proc/"$1"/task/*/children); do
		sum=$((sum + $(memory_of "$child" "$2")))
	done
	echo "$sum"
}
