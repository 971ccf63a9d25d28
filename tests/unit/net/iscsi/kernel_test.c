/* SPDX-License-Identifier: BSD-2-Clause */
/* Includes what it tests, with a netlink protocol on which programs may send to each other. */
#include <linux/netlink.h>
#undef NETLINK_ISCSI
#define NETLINK_ISCSI NETLINK_USERSOCK
#include "net/iscsi/kernel.c"

#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

static struct iscsi_events ev;
static unsigned missed, others;

static void on_any(void *arg, const struct iscsi_event *e)
{
	(void)arg;
	if (e->type == ISCSI_EVENT_MISSED)
		missed++;
	else
		others++;
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(l, 0);
}

/* What somebody may send who is not the kernel: "the session is gone". The error is that there is
 * no kernel's end, to which it goes as well. */
static void forge(size_t len)
{
	static struct {
		struct nlmsghdr h;
		struct uevent ev;
		uint8_t more[8192];
	} m;
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = 1u << (EVENT_GROUP - 1)};
	static int fd = -1;

	if (fd < 0)
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ISCSI);
	m.h = (struct nlmsghdr){.nlmsg_len = (uint32_t)len, .nlmsg_type = KEVENT_DESTROY_SESSION};
	m.ev.type = KEVENT_DESTROY_SESSION;
	CHECK(sendto(fd, &m, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0);
	CHECK_EQ(errno, ECONNREFUSED);
}

/* Runs until there is nothing more to be read. */
static void drain(void)
{
	struct loop_timer t = {0};
	char byte;

	do {
		loop_timer_set(l, &t, MS_NS, stop, NULL);
		run();
	} while (recv(ev.w.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0);
}

static void test_events_come_from_the_kernel(void)
{
	begin();
	missed = others = 0;
	CHECK_EQ(iscsi_events_open(&ev, l, on_any, NULL), 0);
	forge(sizeof(struct nlmsghdr) + sizeof(struct uevent));
	drain();
	CHECK_EQ(others, 0);
	CHECK_EQ(missed, 0);
	iscsi_events_close(&ev);
	end();
}

/* More than the socket holds: whoever listens is told, once they are all read or before. */
static void test_lost_events_are_told(void)
{
	begin();
	missed = others = 0;
	CHECK_EQ(iscsi_events_open(&ev, l, on_any, NULL), 0);
	for (int i = 0; i < 4 * EVENTS_RCVBUF / 8192; i++)
		forge(8192);
	drain();
	CHECK(missed > 0);
	CHECK_EQ(others, 0);
	iscsi_events_close(&ev);
	end();
}

int main(void)
{
	CHECK_RUN(test_events_come_from_the_kernel);
	CHECK_RUN(test_lost_events_are_told);
	return CHECK_DONE();
}
