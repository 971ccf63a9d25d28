# Starts and ends the target under test. Sourced by the scripts beside it, from the project's root.
# After target_start, PORT and TARGET hold where it listens and its process.
VSTOR=${VSTOR:-build/vstor}
IQN=iqn.2026-11.local.vstor:test
PORT= TARGET=
TMP=$(mktemp -d)

# target_end SIGNAL: ends it, if it runs, and sets STATUS to its exit status.
target_end() {
	[ -n "$TARGET" ] || return 0
	kill "-$1" "$TARGET" 2> /dev/null
	wait "$TARGET" 2> /dev/null
	STATUS=$?
	TARGET=
}

# What a script has started beside the target: ended with it, whatever happens.
CHILD=
cleanup() {
	[ -z "$CHILD" ] || kill -KILL "$CHILD" 2> /dev/null
	target_end KILL
	rm -rf "$TMP"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

target_running() { [ -n "$TARGET" ] && kill -0 "$TARGET" 2> /dev/null; }

# target_start ARGS...: on PORT if that is set, or on a free one; TARGET_ARGS go before the others.
# It keeps no state, unless told where; with TARGET_STATE= as by default.
# Its log goes to $TMP/target.log.
target_start() {
	local try fixed=$PORT
	[ -p "$TMP/ready" ] || mkfifo "$TMP/ready"
	exec {ready}<> "$TMP/ready"
	for try in 1 2 3 4 5; do
		PORT=${fixed:-$((20000 + RANDOM % 12000))}
		"$VSTOR" target --name "$IQN" --listen "127.0.0.1:$PORT" --ready-fd 9 \
			${TARGET_STATE---state-dir none} ${TARGET_ARGS:-} "$@" \
			9>&"$ready" {ready}>&- 2>> "$TMP/target.log" < /dev/null &
		TARGET=$!
		for _ in $(seq 100); do
			if read -r -t 0.2 -u "$ready"; then
				exec {ready}>&-
				return 0
			fi
			target_running || break
		done
		# Somebody else may have that port.
		target_end KILL
	done
	exec {ready}>&-
	echo "# $VSTOR target does not start; the end of its log:"
	tail -n 5 "$TMP/target.log" | sed 's/^/#   /'
	return 1
}

# url LUN
url() { echo "iscsi://127.0.0.1:$PORT/$IQN/$1"; }

# report NAME: the line for a test whose status is $?, which it returns
report() { local status=$?; if [ $status = 0 ]; then echo "ok iscsi: $1"; else echo "not ok iscsi: $1"; fi; return $status; }

# watcher_start NUMBER: a session of that initiator (watcher.c); $answer is "logged in"
watcher_start() {
	coproc watcher { timeout -k 2 300 "$CLIENTS/watcher" 127.0.0.1 "$PORT" "$IQN" "$1"; }
	# Bash forgets the array as soon as the process ends.
	watcher=("${watcher[@]}")
	read -r -t 30 -u "${watcher[0]}" answer
}
# say WORD...: to the watcher; its answer is in $answer
say() { echo "$*" >&"${watcher[1]}"; read -r -t 30 -u "${watcher[0]}" answer || answer="no answer"; }
# sees ANSWER WORD...
sees() { say "${@:2}"; [ "$answer" = "$1" ] || { echo "${*:2}: $answer, not $1"; return 1; }; }
watcher_end() { exec {watcher[1]}>&- {watcher[0]}<&-; }

# build_client NAME: one of the C programs beside this, into $CLIENTS
CLIENTS=build/test/iscsi
build_client() {
	local sources=(tests/iscsi/raw.c core/buf.c core/crc32c.c core/loop.c core/loop_signal.c core/standby.c)
	case $1 in
	hostile) sources+=(tests/iscsi/hostile.c tests/iscsi/attack_*.c) ;;
	visitor) sources+=(tests/iscsi/visitor.c net/iscsi/chap.c core/{digest,sha3,weak_digest}.c) ;;
	rules) sources+=(tests/iscsi/rules{,_session}.c) ;;
	iload) sources+=(tests/bench/iload.c core/{hist,log,opts}.c) ;;
	*) sources+=("tests/iscsi/$1.c") ;;
	esac
	mkdir -p "$CLIENTS"
	gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined \
		-pthread -I. -o "$CLIENTS/$1" "${sources[@]}"
}
