# The edges of a migration: however it is called off, the guest is as if nothing had been tried.
# Sourced by tests/lab/test; the guest is on A.
# shellcheck shell=bash

# as_before BEFORE: the same domain under its name, running, log-dirty off, its scheduler's cap and
# weight as they were (BEFORE is what lab-tool state said), nothing half-made on B, nor a device.
as_before() {
	local after

	after=$(on A lab-tool state $GUEST) || return
	echo "before: $1"
	echo "after:  $after"
	[ "$after" = "$1" ] && [[ $after = *", log-dirty off, cap 0,"* ]] || return
	LAB_WAIT=30 on B 'while { lab-tool list; ls /sys/class/net | grep ^vif; } | grep .; do
		usleep 100000; done' ||
		{ echo "something half-made stays on B"; return 1; }
	runs_only_on A
}

# stays COMMAND...: the migration that the command runs must fail with status 1, as one that
# changed nothing: the guest goes on on A, and nothing half-made stays on B.
stays() {
	local status=0 before

	before=$(on A lab-tool state $GUEST)
	"$@" || status=$?
	echo "exit status of vstor migrate: $status"
	[ "$status" -eq 1 ] || return 1
	as_before "$before"
}

# is_put_back COMMAND...: the command kills the sender; its guardian does the work.
is_put_back() {
	local before

	before=$(on A lab-tool state $GUEST)
	"$@"
	on A 'while pids vstor migrate | grep -q .; do usleep 50000; done'
	as_before "$before"
}

# in_mid_stream HOST COMMAND: migrates to B; when the guest's other half exists there, the command
# is run on HOST.
in_mid_stream() {
	local status=0 saboteur

	{
		on B 'until lab-tool list | grep -q .; do usleep 20000; done' && on "$1" "$2"
	} &
	saboteur=$!
	migrate B || status=$?
	wait "$saboteur"
	return "$status"
}

# ends_soon HOST COMMAND: the same, and the sender ends soon after the command: within a second, as is
# told; with five times that here, where one emulated processor does everything.
ends_soon() {
	local status=0 saboteur

	rm -f "$RUN/figure"
	{
		local pid start

		on B 'until lab-tool list | grep -q .; do usleep 20000; done'
		pid=$(on A 'pids vstor migrate | head -n 1')
		start=$(now)
		on "$1" "$2"
		LAB_WAIT=5 on A "while [ -e /proc/$pid ]; do usleep 20000; done" &&
			echo "figure: the sender ended after $(since "$start") s" >"$RUN/figure"
	} &
	saboteur=$!
	migrate B || status=$?
	wait "$saboteur"
	cat "$RUN/figure" || return 99
	return "$status"
}

# times_out: --timeout comes in mid-stream.
times_out() {
	local status=0 total

	migrate B --tcp 7002 --key-file /root/key --timeout 4 || status=$?
	total=$(field "$LOG/migrate.json" total_s)
	echo "figure: --timeout 4 ended it after $total s"
	awk -v total="$total" 'BEGIN { exit !(total >= 4 && total < 9) }' || return 99
	return "$status"
}

# when_asked COMMAND: migrates to B, but the guest is paused amid the copy. When it has been asked
# to suspend, which it cannot hear, the command is run on A; when the sender has ended, the guest
# goes on.
when_asked() {
	in_mid_stream A "lab-tool pause $GUEST; lab-tool asked $GUEST; $1
		while pids vstor migrate | grep -q .; do usleep 50000; done
		lab-tool unpause $GUEST"
}

# when_suspended HOST COMMAND: migrates to B, where xenconsoled is held: as the console is what
# libxl waits for last, the guest is suspended on A then. The command is run on HOST.
when_suspended() {
	local status=0

	on B 'kill -STOP $(pids xenconsoled)'
	{
		on A "until lab-tool list | grep -q '^$GUEST.* ...s'; do usleep 20000; done" &&
			on "$1" "$2"
	} &
	migrate B || status=$?
	wait $!
	on B 'kill -CONT $(pids xenconsoled)'
	return "$status"
}

# freed COMMAND...: the command stops the receiver, which is let go on again at last.
freed() {
	local status=0

	"$@" || status=$?
	on B 'kill -CONT $(pids vstor receive)'
	return "$status"
}

wrong_key() {
	on A 'echo "another key, as long as a key has to be" >/root/other && chmod 600 /root/other'
	migrate B --tcp 7002 --key-file /root/other
}

# has_no_network: migrates to B, where the guest's network card cannot be plugged.
has_no_network() {
	local status=0

	on B 'cd /etc/xen/scripts && mv vif-lab /tmp/ &&
		printf "%s\n" "#!/bin/sh" "[ \$1 != online ]" >vif-lab && chmod 755 vif-lab'
	migrate B || status=$?
	on B 'mv /tmp/vif-lab /etc/xen/scripts/'
	return "$status"
}

# recovers: vstor recover resumes a guest that is suspended, and leaves one that runs.
recovers() {
	local before

	before=$(on A lab-tool state $GUEST)
	on A "lab-tool suspend $GUEST && lab-tool state $GUEST && vstor recover $GUEST" || return
	as_before "$before" || return
	on A "vstor recover $GUEST" && as_before "$before"
}

# edges TYPE: what does not depend on the type of the guest, once; what the fault matrix shows of its chosen
# cells is left to that.
edges() {
	if [ "$1" = pvh ]; then
		check "$1: a wrong key is refused, the guest stays" stays wrong_key
		check "$1: a device cannot be plugged there, the guest stays" stays has_no_network
		check "$1: the receiver stops in mid-stream, the guest stays" \
			stays freed in_mid_stream B 'kill -STOP $(pids vstor receive)'
		check "$1: the sender is interrupted in mid-stream, the guest stays" \
			stays ends_soon A 'kill -INT $(pids vstor migrate)'
		check "$1: --timeout comes in mid-stream, the guest stays" stays times_out
	else
		check "$1: the receiver is killed in mid-stream, the guest stays" \
			stays ends_soon B 'kill -KILL $(pids vstor receive)'
		check "$1: the sender is killed in mid-stream, its guardian puts the guest back" \
			is_put_back in_mid_stream A 'kill -KILL $(pids vstor migrate | head -n 1)'
	fi
	check "$1: the sender is interrupted while the guest is asked to suspend, it stays" \
		stays when_asked 'kill -INT $(pids vstor migrate)'
	check "$1: the sender is interrupted while the guest is suspended, it stays" \
		stays when_suspended A 'kill -INT $(pids vstor migrate)'
	check "$1: the receiver stops while the guest is suspended, it stays" \
		stays freed when_suspended B 'kill -STOP $(pids vstor receive)'
	check "$1: the sender is killed while the guest is asked to suspend, its guardian puts it back" \
		is_put_back when_asked 'kill -KILL $(pids vstor migrate | head -n 1)'
	check "$1: vstor recover resumes a suspended guest" recovers
}
