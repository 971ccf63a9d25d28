# One cell of the fault matrix: arms a gate, migrates, strikes, and looks at what has become of it all.
# Sourced by tests/fault/matrix, inside a lab.
# shellcheck shell=bash

FROM= TO=	# of the guest that is moved
AT=		# where it runs; empty: nowhere
DEAD=		# the host that has died and is not there again yet
STORY=		# what has become of the guest, in a line
LIMIT=30	# seconds until there is one guest
NOISE='libxl\|xc: \|xencall\| at=\|pages zero'	# in a log of vstor's that tells all

# Moments of the sender, of the receiver, and at random in the copy: what their logs say then.
declare -A MOMENT=(
	[greeting]='S:connecting, then greeting' [checking]='S:greeting, then checking'
	[copying]='S:checking, then copying' [random]='S:copying, round'
	[suspended]='S:copying, then restoring' [settled]='S:QUIET: '
	[go]='S:then handing over' [there]='S:handing over, then clearing'
	[checked]='R:checking, then waiting' [restoring]='R:waiting, then restoring'
	[ready]='R:restoring, then ready' [claiming]='R:ready, then claiming'
	[starting]='R:claiming, then starting' [running]='R:starting, then running'
)

fail() {
	echo "$*"
	return 1
}

# --- the hosts

# Its receiver listens, behind a gate.
receives() {
	on "$1" 'until pids lab-gate receive | grep -q . && netstat -ltn | grep -q ":7002 "; do usleep 50000; done'
}

host_dies() {
	host_stop "$1"
	DEAD=$1
}

# The dead one is there again, if it does not boot already.
host_back() {
	[ -e "$RUN/qemu$DEAD.pid" ] || host_start "$DEAD" "$TYPE"
	host_wait "$DEAD" && receives "$DEAD"
}

# Kills on HOST what ps shows with these words.
ends() {
	on "$1" "ps -o pid,args | grep -- '$2' | grep -v grep | while read -r pid rest; do kill -KILL \$pid; done"
}

# The main process: its guardian lives on.
ends_first() {
	on "$1" "kill -KILL \$(pids $2 | head -n 1)"
}

target_killed() {
	local pid

	pid=$(<"$RUN/target.pid")
	kill -KILL "$pid" && tail -s 0.1 --pid="$pid" -f /dev/null
}

# swallow HOST WORDS: what it sends, and an u32 filter finds, is gone.
swallow() {
	ip link show mute >/dev/null 2>&1 || ip link add mute type ifb || return # it is down
	tc qdisc add dev "tap$1" handle ffff: ingress &&
		tc filter add dev "tap$1" parent ffff: protocol ip u32 match ip "${@:2}" 0xffff \
			action mirred egress redirect dev mute
}

# The disk's network of one host, both ways; nothing else of it.
storage_cut() {
	swallow "$1" dport 3260 && ip rule add to "${ADDRESS[$1]}" ipproto tcp sport 3260 blackhole
}

storage_mended() {
	tc qdisc del dev "tap$1" ingress
	ip rule del to "${ADDRESS[$1]}" ipproto tcp sport 3260
}

# What the two vstors say to each other: neither is told that it is lost.
tcp_cut() {
	swallow "$FROM" dport 7002 && swallow "$TO" sport 7002
}

tcp_mended() {
	tc qdisc del dev "tap$FROM" ingress
	tc qdisc del dev "tap$TO" ingress
}

# --- the migration

# Which host stops at the moment, and under which name.
gate_of() {
	case ${MOMENT[${1%[0-9]}]} in
	S:*) echo "$FROM migrate" ;;
	R:*) echo "$TO receive" ;;
	esac
}

arm() { # HOST NAME WHEN COUNT
	on "$1" "rm -f /tmp/$2.held /tmp/status; printf '%s\n' '${MOMENT[${3%[0-9]}]#?:}' $4 >/tmp/$2.at"
}

# In the background on its host; its end is a status in a file.
begin() { # WHAT
	local way="--tcp 7002 --key-file /root/key"

	case $1 in
	ssh) way="--ssh lab-ssh" ;;
	data) way+=" --data ${SECOND[$TO]}" ;;
	esac
	[ "$ATTACH" != aoe ] || way+=" --no-fence"
	on "$FROM" "rm -f /tmp/status; { lab-gate migrate vstor migrate --log-level debug --json $way \
		$GUEST ${ADDRESS[$TO]} >/tmp/migrate.json 2>/tmp/migrate.log; echo \$? >/tmp/status.new
		mv /tmp/status.new /tmp/status; } >/dev/null 2>&1 &"
}

# held WHEN: begins, and waits for the moment. A copy may have less of its lines than chance asks for:
# then the guest has moved, and the first one is taken on its way back.
held() { # WHAT WHEN
	local host name count=1 status

	[[ $2 != random* ]] || count=$((1 + RANDOM % 3)) # a line a second
	while :; do
		read -r host name <<<"$(gate_of "$2")"
		arm "$host" "$name" "$2" "$count" && begin "$1" || return
		if [ "$host" = "$FROM" ]; then
			status=$(LAB_WAIT=120 on "$host" "lab-gate --until /tmp/$name.held /tmp/status")
		else
			status=$(LAB_WAIT=120 on "$host" "lab-gate --until /tmp/$name.held")
		fi
		[ "$status" != "/tmp/$name.held" ] || return 0
		on "$host" "rm -f /tmp/$name.at /tmp/$name.held"
		[ "$count" -gt 1 ] && [ "$(on "$FROM" cat /tmp/status)" = 0 ] || break
		count=1
		TO=$FROM
		FROM=$(other "$TO")
		echo "$FROM" >"$RUN/where"
	done
	fail "the moment did not come"
}

# strike WHAT: now. What is cut comes back in mend().
strike() {
	case $1 in
	migrate) ends_first "$FROM" 'vstor migrate' ;;
	receive) ends_first "$TO" 'vstor receive' ;;
	save-helper) ends "$FROM" '--save-domain' ;;
	restore-helper) ends "$TO" '--restore-domain' ;;
	ssh) on "$FROM" 'kill -KILL $(pids lab-ssh)' ;;
	tcp) tcp_cut ;;
	data) ip link set "tap2$TO" down ;;
	destination) host_dies "$TO" && host_start "$TO" "$TYPE" ;;
	source) host_dies "$FROM" && host_start "$FROM" "$TYPE" ;;
	destination-dead) host_dies "$TO" ;; # for good
	source-dead) host_dies "$FROM" ;;
	target) target_killed && target_start ;;
	storage-source) storage_cut "$FROM" ;;
	storage-destination) storage_cut "$TO" ;;
	esac
}

mend() {
	case $1 in
	data) ip link set "tap2$TO" up ;;
	tcp) tcp_mended ;;
	storage-source) storage_mended "$FROM" ;;
	storage-destination) storage_mended "$TO" ;;
	esac
}

# ended SECONDS: the exit status.
ended() {
	LAB_WAIT=$1 on "$FROM" 'lab-gate --until /tmp/status >/dev/null && cat /tmp/status'
}

# What the two ends have said of it, of late.
story() {
	[ "$DEAD" = "$FROM" ] || on "$FROM" "grep -v '$NOISE' /tmp/migrate.log | tail -n 25"
	[ "$DEAD" = "$TO" ] || on "$TO" "grep -v '$NOISE' /var/log/receive.log | tail -n 25"
	[ -z "$AT" ] || on "$AT" "tail -n 8 /var/log/xen/guest-$GUEST*.log; tail -n 4 /var/log/messages"
	true
}

# --- what must be

# The guests of a host, one that is not there has none: 0 none, 1 some, 2 one of its name runs; else unknown.
guests_on() {
	local list

	[ "$1" != "$DEAD" ] || return 0
	list=$(on "$1" lab-tool list) || return 3
	! grep -q "^$GUEST [0-9]* [r-][b-]---" <<<"$list" || return 2
	[ -z "$list" ]
}

# one_guest SECONDS: until it runs on one host, which is AT then, or there is nothing of it any more. Never
# on two.
one_guest() {
	local end=$((SECONDS + $1)) here there

	AT=
	while :; do
		guests_on "$FROM"
		here=$?
		guests_on "$TO"
		there=$?
		case $here$there in
		22) fail "TWO GUESTS"; return ;;
		2[01]) AT=$FROM; return ;;
		[01]2) AT=$TO; return ;;
		00) return ;;
		esac
		[ $SECONDS -lt $end ] || return 1
	done
}

# Pings ten times a second, the whole cell long; afterwards SILENT is the longest time without an answer.
answers() { # SECONDS
	local end=$((SECONDS + $1))

	until "$VSTOR" bench ping "${ADDRESS[guest]}" --count 1 >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { fail "the guest answers no ping"; return; }
	done
}

pings_start() {
	answers 30 || return
	"$VSTOR" bench ping "${ADDRESS[guest]}" --interval 0.1 --json >"$LOG/ping.json" 2>"$LOG/ping.log" &
	ping=$!
}

pings_stop() {
	ping_stop
	SILENT=$(field "$LOG/ping.json" longest_gap_ms)
	SILENT=${SILENT%.*}
}

# The guest writes; all that it has written before, whoever ran it, is on its disks, in order.
disks_sound() {
	local i lines known=()

	# So many lines of each log, at least, are there for certain.
	[ ! -e "$RUN/known" ] || read -r -a known <"$RUN/known"
	lines=$(on guest 'l() { tail -n 1 $1 | cut -d" " -f1; }
		n=$(l /data/log); until [ $(l /data/log) -gt $n ]; do usleep 50000; done
		for log in /data/log /data2/log; do [ ! -e $log ] || l $log; done') ||
		{ fail "the guest does not write"; return; }
	# shellcheck disable=SC2206	# a number for each disk
	lines=($lines)
	[ ${#lines[@]} = "$(disks_of "$TYPE")" ] || { fail "the guest has ${#lines[@]} disks"; return; }
	for i in "${!lines[@]}"; do
		# The last one may not be synced.
		[ "${lines[i]}" -ge "${known[i]:-0}" ] ||
			{ fail "lines are lost: ${lines[i]} of ${known[i]}"; return; }
		disk_check_now "${DISKS[i]}" $((lines[i] - 1)) $((lines[i] + 1000)) || return
		known[i]=$((lines[i] - 1))
	done
	echo "${known[@]}" >"$RUN/known"
}

disks_of() {
	[ "${1%2}" = "$1" ] && echo 1 || echo 2
}

# What there is on a host that is not the guest, after vstor recover has seen to it.
left_on() { # HOST
	local guest='^$'

	if [ "$1" = "$AT" ]; then guest="^$GUEST "; fi
	on "$1" "vstor recover 2>&1 | grep -v '^no migration was cut off\|: it \|its migration was killed'
		lab-tool list | grep -v '$guest'
		pids vstor migrate; pids lab-ssh; ps -o pid,args | grep -- '-domain ' | grep -v grep
		ps -o args | grep '^[v]stor receive' | grep -v -- --listen
		ls /var/lib/vstor | grep -- -; ls /run/vstor 2>/dev/null | grep -v '^keeper\|^pause-\|lock$\|monitor$'
		[ '$guest' != '^\$' ] || ls /sys/class/net | grep ^vif
		[ '$guest' = '^\$' ] || lab-tool state $GUEST | grep -v ', log-dirty off, cap 0, weight 256$'
		for one in monitor watch; do
			n=\$(pids vstor \$one | wc -l)
			[ \$n = 0 ] || [ \$n = 1 -a '$guest' != '^\$' ] || echo \"\$n times \$one\"
		done
		true"
}

# Of each disk of the guest: its host, and nobody else, is registered, and holds it. No host has two sessions.
left_on_target() {
	local status

	[ "$ATTACH" != aoe ] || return 0 # it knows nothing of either
	status=$("$VSTOR" status --control "$RUN/target.sock") || return
	awk -v host="$(tr AB ab <<<"$AT")" -v disks="$(disks_of "$TYPE")" '
		$2 == "LUN" { lun = $3 }
		$1 == "registered:" && $2 ~ ":host" host "," && /, holder$/ && lun < disks { held++; next }
		$1 == "registered:" { print "LUN " lun ": " $0 }
		$1 == "session" && n[$3]++ { print }
		END { if (held != (host == "" ? 0 : disks)) print held + 0 " disks held" }' <<<"$status"
}

nothing_left() {
	local rest end=$((SECONDS + 30))

	while :; do
		rest=$(left_on "$FROM" & left_on "$TO" & left_on_target; wait)
		[ -n "$rest" ] || return 0
		[ $SECONDS -lt $end ] || { fail "left: $rest"; return; }
	done
}

# What the status says of where it is, and what is said last. Its host may be gone.
status_true() {
	local said

	case $1:$AT in
	3:?) [ "$ATTACH" = aoe ] || fail "status 3, with a disk that decides"; return ;; # recover has found it out
	137: | 137:* | gone:*) return ;; # it was killed itself
	0:"$TO" | 0: | 1:"$FROM") ;;
	*) fail "status $1, and the guest is on host ${AT:-none}"; return ;;
	esac
	said=$(on "$FROM" "grep -o '\"result\":\"[^\"]*\",\"guest\":\"[^\"]*\"' /tmp/migrate.json
		grep -v '$NOISE' /tmp/migrate.log | tail -n 1")
	case $1 in
	0) grep -q "\"result\":\"moved\",\"guest\":\"\(runs on\|belongs to\) ${ADDRESS[$TO]}" <<<"$said" ;;
	1) grep -q '"result":"not moved","guest":"\(still runs here\|runs here again\)' <<<"$said" &&
		grep -q "^vstor migrate: domain $GUEST: not moved to .*, it \(still runs here\|runs here again\): ." <<<"$said" ;;
	esac || fail "status $1, and what was said: $said"
}

# taken_over: the host that is left takes the guest.
taken_over() {
	AT=$(other "$DEAD")
	: >"$RUN/events"
	LAB_WAIT=120 on "$AT" "vstor takeover $GUEST 2>&1" || { fail "it is not taken over"; return; }
	wait_line "$RUN/events" "GUEST READY" 120 || fail "the guest that was taken over does not start"
}

# brought_back WHAT: it ended with its host. If that is back, it is started there: its disk is held by that.
brought_back() {
	case $1 in
	*-dead) taken_over && STORY+=", taken over by host $AT" ;;
	*)
		[ -n "$DEAD" ] || { fail "no guest runs"; return; }
		host_back || return
		AT=$DEAD
		DEAD=
		guest_start "$AT" "$TYPE" "$MEMORY" && STORY+=", started again on host $AT"
		;;
	esac
}

# What is struck down at the moment, and all that must be afterwards.
strikes() { # WHAT WHEN
	local what=$1 when=$2 status=gone host name booting struck told=

	held "$what" "$when" && struck=$(now) && strike "$what" || return
	read -r host name <<<"$(gate_of "$when")"
	[ "$host" = "$DEAD" ] || on "$host" "rm -f /tmp/$name.held"
	case $what in
	storage-* | tcp) # so long it is cut, if the sender has not ended
		LAB_WAIT=8 on "$FROM" 'lab-gate --until /tmp/status' >/dev/null
		mend "$what"
		;;
	esac
	if [ "$DEAD" != "$FROM" ]; then
		status=$(ended 150) || { fail "vstor migrate does not end"; return; }
		told=$(since "$struck")
	fi
	[ "$what" != data ] || mend data
	one_guest "$LIMIT" || {
		on "$FROM" "vstor recover 2>&1"
		# Where the hosts alone decide, somebody may have to ask.
		[ "$status" = 3 ] && one_guest "$LIMIT" || {
			fail "after $LIMIT s the guest does not run on one host"
			return
		}
	}
	STORY="status $status${told:+ after $told s}, then on host ${AT:-none}"
	echo "$STORY"
	# A host that is gone for good cannot be waited for.
	if [ "$what" = destination-dead ] && awk -v told="$told" -v limit="$LIMIT" 'BEGIN { exit told <= limit }'; then
		fail "it was told too late"
		return
	fi
	status_true "$status" || return
	if [ -z "$AT" ]; then
		brought_back "$what" || return
	fi
	echo "$AT" >"$RUN/where"
	if [ -n "$DEAD" ]; then
		host_back &
		booting=$!
	fi
	answers "$LIMIT" && disks_sound || return
	if [ -n "$DEAD" ]; then
		wait "$booting" || { fail "host $DEAD does not come back"; return; }
		DEAD=
	fi
	nothing_left
}

cell() { # WHAT WHEN
	local status=0

	FROM=$(where)
	TO=$(other "$FROM")
	pings_start || return
	strikes "$@" || status=$?
	[ $status = 0 ] || story
	pings_stop
	# One that ended with its host had to be started.
	if [ $status = 0 ] && [[ $STORY != *none* ]] && [ "$SILENT" -ge $((LIMIT * 1000)) ]; then
		fail "it was silent for $SILENT ms"
		return
	fi
	echo "$STORY, silent for $SILENT ms"
	return $status
}

# No migration is under way: the guest's host dies for good, and the other one takes the guest over,
# by the configuration that a migration has left there.
takeover() {
	local said

	FROM=$(where)
	TO=$(other "$FROM")
	[ -n "$(on "$TO" 'ls /var/lib/vstor/guests')" ] ||
		{ fail "host $TO has heard of no guest: let a migration go before"; return; }
	! said=$(on "$TO" "vstor takeover $GUEST" 2>&1) || { fail "it is taken from a host that lives"; return; }
	echo "$said"
	host_dies "$FROM"
	taken_over || return
	echo "$AT" >"$RUN/where"
	answers "$LIMIT" && disks_sound && host_back || return
	DEAD=
	nothing_left && echo "taken over by host $AT"
}

# The same although its host lives: the guest ends there before it sees an error, and never do both run.
takeover_by_force() {
	local taker here there errors complains="cat /var/log/xen/guest-*.log | grep -ci 'I/O error\|read-only'"

	FROM=$(where)
	TO=$(other "$FROM")
	# So the taker knows the guest, whatever has become of earlier migrations.
	on "$FROM" "vstor migrate --check --tcp 7002 --key-file /root/key $GUEST ${ADDRESS[$TO]} 2>&1" ||
		{ fail "it cannot be checked"; return; }
	errors=$(on "$FROM" "$complains")
	: >"$RUN/events"
	LAB_WAIT=120 on "$TO" "vstor takeover --force $GUEST 2>&1" &
	taker=$!
	while kill -0 "$taker" 2>/dev/null; do
		guests_on "$FROM"
		here=$?
		guests_on "$TO"
		there=$?
		[ $here$there != 22 ] || { fail "TWO GUESTS"; return; }
	done
	wait "$taker" || { fail "it is not taken over"; return; }
	one_guest "$LIMIT" && [ "$AT" = "$TO" ] || { fail "it runs on host ${AT:-none}"; return; }
	echo "$AT" >"$RUN/where"
	wait_line "$RUN/events" "GUEST READY" 120 || { fail "the guest that was taken over does not start"; return; }
	[ "$(on "$FROM" "$complains")" = "$errors" ] || { fail "it has seen errors"; return; }
	answers "$LIMIT" && disks_sound && nothing_left && echo "taken from host $FROM, which lives, by host $AT"
}
