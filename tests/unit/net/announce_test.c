/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

static const uint8_t mac[6] = {0x00, 0x16, 0x3e, 1, 2, 3};

/* Written out by hand from the RFCs. */
static void test_frames(void)
{
	static const uint8_t rarp[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 1,
					 2,    3,    0x80, 0x35, 0,    1,    8,	   0,	 6,    4,
					 0,    3,    0x00, 0x16, 0x3e, 1,    2,	   3,	 0,    0,
					 0,    0,    0x00, 0x16, 0x3e, 1,    2,	   3};
	static const uint8_t arp[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 1,  2,
					3,    0x08, 0x06, 0,	1,    8,    0,	  6,	4,    0,  1,
					0x00, 0x16, 0x3e, 1,	2,    3,    10,	  77,	0,    50, 0,
					0,    0,    0,	  0,	0,    10,   77,	  0,	50};
	static const uint8_t ip4[4] = {10, 77, 0, 50};
	static const uint8_t ip6[16] = {0xfe, 0x80, [15] = 0x50};
	static const uint8_t na[32] = {136, 0,	  0, 0, 0x20, 0,    0,	  0, 0xfe, 0x80, 0,
				       0,   0,	  0, 0, 0,    0,    0,	  0, 0,	   0,	 0,
				       0,   0x50, 2, 1, 0x00, 0x16, 0x3e, 1, 2,	   3};
	uint8_t frame[ANNOUNCE_FRAME_MAX];
	uint32_t sum = 58 + 32;

	CHECK_EQ(announce_rarp(mac, frame), 60);
	CHECK(memcmp(frame, rarp, 60) == 0);
	CHECK_EQ(announce_arp(mac, ip4, frame), 60);
	CHECK(memcmp(frame, arp, 60) == 0);
	CHECK_EQ(announce_na(mac, ip6, frame), 14 + 40 + 32);
	/* With the checksum in place everything adds up to all ones. */
	for (int i = 14 + 8; i < 14 + 40 + 32; i += 2)
		sum += get_be16(frame + i);
	sum = (sum & 0xffff) + (sum >> 16);
	CHECK_EQ((sum & 0xffff) + (sum >> 16), 0xffff);
	frame[54 + 2] = frame[54 + 3] = 0;
	CHECK(memcmp(frame + 54, na, 32) == 0);
	CHECK_EQ(frame[14 + 7], 255); /* or nobody listens (RFC 4861, 7.1.2) */
}

static void test_addresses(void)
{
	struct announce_nic nic = {0};

	CHECK_EQ(announce_add_address(&nic, "10.77.0.50/24"), 0);
	CHECK_EQ(announce_add_address(&nic, "fe80::50"), 0);
	CHECK_EQ(announce_add_address(&nic, "dhcp"), -EINVAL);
	CHECK_EQ(nic.n_addresses, 2);
	CHECK_EQ(nic.addresses[0].ip[3], 50);
	CHECK_EQ(nic.addresses[1].family, AF_INET6);
	while (nic.n_addresses < ANNOUNCE_ADDRESSES)
		CHECK_EQ(announce_add_address(&nic, "10.0.0.1"), 0);
	CHECK_EQ(announce_add_address(&nic, "10.0.0.1"), -ENOSPC);
}

/* ---- in a network of its own: a bridge with the guest's port and a wire to a switch ---- */

static int listen_on(const char *name)
{
	const struct sockaddr_ll at = {.sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));

	CHECK_EQ(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* Frames from the guest's address that have come, by type. */
static unsigned heard(int fd, uint16_t type)
{
	uint8_t frame[2048];
	ssize_t n;
	unsigned found = 0;

	while ((n = recv(fd, frame, sizeof(frame), 0)) > 0)
		found += n >= 14 && memcmp(frame + 6, mac, 6) == 0 && get_be16(frame + 12) == type;
	return found;
}

/* The port of br0 at which it believes the guest to be; 0: it does not know (Linux: struct
 * __fdb_entry, read from brforward). */
static unsigned believed(void)
{
	uint8_t e[16];
	unsigned port = 0;
	int fd = open("/sys/class/net/br0/brforward", O_RDONLY | O_CLOEXEC);

	while (read(fd, e, sizeof(e)) == sizeof(e))
		if (memcmp(e, mac, 6) == 0 && !e[7])
			port = e[6];
	close(fd);
	return port;
}

static unsigned port_number(const char *name)
{
	char path[64], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/brport/port_no", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return (unsigned)strtoul(text, NULL, 16);
}

static bool make_network(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && unshare(CLONE_NEWNS) == 0 &&
	       system("{ mount --make-rprivate / && mount -t sysfs sys /sys &&"
		      "ip link add br0 type bridge forward_delay 0 && ip link set br0 up &&"
		      "ip link add vif1.0 type veth peer name guest && ip link add wire type veth "
		      "peer name switch &&"
		      "ip link set vif1.0 master br0 up && ip link set wire master br0 up &&"
		      "ip link set switch up; } >/dev/null 2>&1") == 0;
}

static struct loop *loop;
static struct loop_timer timer;

static void on_done(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop, 0);
}

static unsigned ups;
static bool before_done;

static void on_up(void *arg)
{
	ups++;
	before_done = !*(bool *)arg;
}

static void guest_connects(void *arg)
{
	(void)arg;
	CHECK_EQ(ups, 0);
	CHECK_EQ(believed(), port_number("wire")); /* its link is still down */
	CHECK_EQ(system("ip link set guest up"), 0);
}

static void test_on_a_bridge(void)
{
	struct announce_nic nic = {.port = "vif1.0"};
	struct announce a = {0};
	uint8_t frame[ANNOUNCE_FRAME_MAX];
	bool done = false;
	int at_switch, wire;

	if (!make_network()) {
		printf("# not root, or no ip: nothing to announce on\n");
		return;
	}
	memcpy(nic.mac, mac, 6);
	CHECK_EQ(announce_add_address(&nic, "10.77.0.50"), 0);
	CHECK_EQ(announce_add_address(&nic, "fe80::50"), 0);
	/* It was elsewhere until now: the bridge has heard of it from outside. */
	wire = listen_on("switch");
	CHECK(send(wire, frame, announce_rarp(mac, frame), 0) > 0);
	at_switch = listen_on("switch");
	CHECK_EQ(believed(), port_number("wire"));

	loop = loop_new();
	announce_stop(&a);
	CHECK_EQ(announce_start(&a, loop, &nic, 1, on_done, &done), 0);
	announce_when_up(&a, on_up);
	CHECK(!done);
	CHECK_EQ(heard(at_switch, ETH_P_RARP), 0);
	loop_timer_set(loop, &timer, 20 * MS_NS, guest_connects, NULL);
	loop_run(loop);
	CHECK(done);
	CHECK_EQ(ups, 1);
	CHECK(before_done);
	CHECK_EQ(believed(), port_number("vif1.0"));
	CHECK(heard(wire, ETH_P_ARP) >= 6);
	CHECK(heard(at_switch, ETH_P_RARP) >= 6);

	/* A port without a bridge does no harm. */
	snprintf(nic.port, sizeof(nic.port), "vif9.9");
	done = false;
	CHECK_EQ(announce_start(&a, loop, &nic, 1, on_done, &done), 0);
	announce_when_up(&a, on_up);
	loop_run(loop);
	CHECK(done);
	CHECK_EQ(ups, 2);
	CHECK_EQ(heard(at_switch, ETH_P_RARP), 0);
	announce_stop(&a);
	loop_free(loop);
	close(wire);
	close(at_switch);
}

int main(void)
{
	CHECK_RUN(test_frames);
	CHECK_RUN(test_addresses);
	CHECK_RUN(test_on_a_bridge);
	return CHECK_DONE();
}
