# A second way to this machine's target, over a wire that loses frames (tests/aoe/wan.c): the target's end is
# the interface `lossy`, the machines' end is on the bridge br9. Sourced by tests/attach/run and loss.
# shellcheck shell=bash

LOSSY_TARGET=10.79.9.1 LOSSY_AOE=/dev/etherd/e1.1

lossy_network() {
	local end

	gcc -std=gnu11 -D_GNU_SOURCE -O2 -o "$RUN/wan" "$TOP/tests/aoe/wan.c" || die "tests/aoe/wan.c cannot be built"
	for end in lossy faraway; do
		ip tuntap add $end mode tap
		ip link set $end up
	done
	ip link set faraway master br9
	ip addr add $LOSSY_TARGET/24 dev lossy
	# Who asks on the bridge is to be answered over the wire only.
	echo 1 >/proc/sys/net/ipv4/conf/br9/arp_ignore
	coproc WAN { exec "$RUN/wan" lossy faraway; }
}

# The initiator's machine gets an address there.
lossy_attachable() {
	on i "ip addr add 10.79.9.2/24 dev eth1"
}

# lossy_set PERCENT [RATE|off]: sets LOSSY_SAID to what was passed and lost before.
lossy_set() {
	local end

	for end in lossy faraway; do
		tc qdisc del dev $end root 2>/dev/null
		[ "${2:-off}" = off ] || tc qdisc add dev $end root tbf rate "$2" burst 32k latency 50ms ||
			die "no tc, or the kernel has no token bucket filter (sch_tbf)"
	done
	echo "$1" >&"${WAN[1]}"
	read -r -t 20 -u "${WAN[0]}" LOSSY_SAID || die "tests/aoe/wan.c does not answer"
}

# Somebody else on the wire, towards the initiator's machine, as much as TCP gives.
lossy_competitor_start() {
	on i "tail -f /dev/null | nc -l -p 9999 >/dev/null 2>&1 &
		until grep -q ':270F ' /proc/net/tcp /proc/net/tcp6 2>/dev/null; do usleep 20000; done"
	"$BB" nc 10.79.9.2 9999 </dev/zero >/dev/null 2>&1 &
	COMPETITOR=$!
	disown
}

# What it has got through until now, in bytes; 0: there is none.
lossy_competitor_bytes() {
	local said

	said=$(ss -tinH dst 10.79.9.2 dport = :9999 | grep -o 'bytes_acked:[0-9]*')
	said=${said#*:}
	echo "${said:-0}"
}

lossy_competitor_end() {
	kill -KILL $COMPETITOR
	tail -s 0.1 --pid=$COMPETITOR -f /dev/null
}
