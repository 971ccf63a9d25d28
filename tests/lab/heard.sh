# A guest that says nothing of itself is found after a move only if its new host announces it.
# Sourced by tests/lab/test; the guest is on A. The bridge between the hosts is a switch that
# forgets after five minutes where it has seen an address.
# shellcheck shell=bash

# The guest asks nobody and announces nothing; it and the storage server know each other.
mute_guest() {
	ip neigh replace "${ADDRESS[guest]}" lladdr 00:16:3e:00:00:50 dev br0 nud permanent &&
		on guest "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
			ip neigh replace $STORAGE lladdr $(ip -o link show br0 | sed 's/.*ether \([^ ]*\).*/\1/') dev eth0 \
				nud permanent && ip link set eth0 arp off" &&
		on guest true
}

# It runs on B, where nobody but itself could know.
is_lost_without() {
	mute_guest || return
	on B 'vstor receive --listen 0.0.0.0:7003 --key-file /root/key --no-announce \
		>>/var/log/receive.log 2>&1 &
		until netstat -ltn | grep -q :7003; do usleep 50000; done' || return
	migrate B --tcp 7003 --key-file /root/key || return
	on B 'lab-tool list'
	if LAB_WAIT=10 on guest true; then
		echo "the guest is heard all the same"
		return 1
	fi
}

# It moves back, announced, and answers at once.
is_heard_with() {
	migrate A --tcp 7002 --key-file /root/key && ping_summary && runs_only_on A &&
		on guest 'ip link set eth0 arp on'
}

heard() {
	check "$1: a silent guest that is not announced is lost for the network" is_lost_without
	check "$1: announced, it is heard" is_heard_with
}
