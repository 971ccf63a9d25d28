/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NETLINK_ISCSI. Requests are answered within the sending system call, so they go over a socket of
 * their own and wait; events come to another socket, a member of the group that iscsid uses.
 */
#include "net/iscsi/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/bytes.h"

#define TRANSPORT     "/sys/class/iscsi_transport/tcp/handle"
#define EVENT_GROUP   1 /* ISCSI_NL_GRP_ISCSID */
#define BHS_LEN	      48
#define EVENT_MAX     16384 /* a login or text answer: 8 KiB of data at most */
#define EVENTS_RCVBUF (1 << 20)

/* enum iscsi_uevent_e */
enum {
	UEVENT_CREATE_SESSION = 11,
	UEVENT_DESTROY_SESSION = 12,
	UEVENT_CREATE_CONN = 13,
	UEVENT_DESTROY_CONN = 14,
	UEVENT_BIND_CONN = 15,
	UEVENT_SET_PARAM = 16,
	UEVENT_START_CONN = 17,
	UEVENT_STOP_CONN = 18,
	UEVENT_SEND_PDU = 19,
	KEVENT_RECV_PDU = 101,
	KEVENT_CONN_ERROR = 102,
	KEVENT_IF_ERROR = 103,
	KEVENT_DESTROY_SESSION = 104,
};

/* STOP_CONN_* */
enum { STOP_TERM = 1, STOP_RECOVER = 3 };

/* What open-iscsi gives a session too: commands in flight, and those of one LUN. */
enum { CMDS_MAX = 128, QUEUE_DEPTH = 32 };

/* struct iscsi_uevent, of its unions only what is used here */
struct uevent {
	uint32_t type;
	uint32_t iferror;
	uint64_t transport;
	union {
		struct {
			uint32_t initial_cmdsn;
			uint16_t cmds_max, queue_depth;
		} create_session;
		struct {
			uint32_t sid, cid;
		} conn; /* create, destroy, start; for sessions the sid */
		struct {
			uint32_t sid, cid;
			uint64_t fd;
			uint32_t is_leading;
		} bind;
		struct {
			uint32_t sid, cid, hdr_size, data_size;
		} send;
		struct {
			uint32_t sid, cid, param, len;
		} set;
		struct {
			uint32_t sid, cid;
			uint64_t handle;
			uint32_t flag;
		} stop;
	} u;
	union {
		int32_t retcode;
		struct {
			uint32_t sid, host_no;
		} session;
		struct {
			uint32_t sid, cid;
			uint64_t handle;
		} pdu;
		struct {
			uint32_t sid, cid, error;
		} error;
		struct {
			uint32_t host_no, sid;
		} destroyed;
	} r;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct uevent) == 56, "struct iscsi_uevent has 56 bytes");

int kernel_module_load(const char *name)
{
	char *argv[] = {"modprobe", "-q", (char *)name, NULL};
	char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status, err;

	if (posix_spawn_file_actions_init(&fa))
		return -ENOMEM;
	/* A missing module is told by the caller, better than modprobe does. */
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	err = posix_spawnp(&pid, "modprobe", &fa, NULL, argv, env);
	posix_spawn_file_actions_destroy(&fa);
	if (err)
		return -ENODEV;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENODEV;
}

static int read_transport(uint64_t *handle)
{
	FILE *f = fopen(TRANSPORT, "re");
	unsigned long long v;
	int n;

	/* The file is root's. */
	if (!f)
		return errno == EACCES ? -EPERM : -ENODEV;
	n = fscanf(f, "%llu", &v);
	fclose(f);
	if (n != 1)
		return -ENODEV;
	*handle = v;
	return 0;
}

static int netlink_open(unsigned groups)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ISCSI);
	int err;

	if (fd < 0)
		return errno == EPROTONOSUPPORT ? -ENODEV : -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int iscsi_kernel_open(struct iscsi_kernel *k)
{
	int err = read_transport(&k->transport);

	k->fd = -1;
	if (err == -ENODEV) {
		if (geteuid() != 0)
			return -EPERM;
		kernel_module_load("iscsi_tcp");
		err = read_transport(&k->transport);
	}
	if (err)
		return err;
	k->fd = netlink_open(0);
	return k->fd < 0 ? k->fd : 0;
}

void iscsi_kernel_close(struct iscsi_kernel *k)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
}

const char *iscsi_kernel_strerror(int err)
{
	switch (err) {
	case -ENODEV: return "no iscsi_tcp in the kernel: modprobe iscsi_tcp";
	case -EPERM: return "the kernel's initiator is root's alone: run vstor as root";
	default: return strerror(-err);
	}
}

/* Sends the request and waits for its answer, which takes its place. 0 or -errno. */
static int call(const struct iscsi_kernel *k, uint32_t type, struct uevent *ev, const void *a,
		size_t a_len, const void *b, size_t b_len)
{
	struct nlmsghdr h = {
		.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(*ev)) + a_len + b_len),
		.nlmsg_type = (uint16_t)type,
		.nlmsg_flags = NLM_F_REQUEST,
	};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	char pad[NLMSG_ALIGNTO] = {0};
	struct iovec iov[] = {
		{&h, sizeof(h)},
		{ev, sizeof(*ev)},
		{(void *)a, a_len},
		{(void *)b, b_len},
		{pad, NLMSG_ALIGN(h.nlmsg_len) - h.nlmsg_len},
	};
	struct msghdr m = {.msg_name = &to,
			   .msg_namelen = sizeof(to),
			   .msg_iov = iov,
			   .msg_iovlen = ARRAY_SIZE(iov)};
	struct {
		struct nlmsghdr h;
		struct uevent ev;
	} reply;
	ssize_t n;

	ev->type = type;
	ev->transport = k->transport;
	do
		n = sendmsg(k->fd, &m, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	do
		n = recv(k->fd, &reply, sizeof(reply), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(reply) || reply.h.nlmsg_type != type)
		return -EPROTO;
	*ev = reply.ev;
	if (ev->type == KEVENT_IF_ERROR)
		return (int32_t)ev->iferror < 0 ? (int32_t)ev->iferror : -EPROTO;
	return 0;
}

/* For requests whose answer carries the result in r.retcode. */
static int call_retcode(const struct iscsi_kernel *k, uint32_t type, struct uevent *ev,
			const void *a, size_t a_len, const void *b, size_t b_len)
{
	int err = call(k, type, ev, a, a_len, b, b_len);

	if (!err && ev->r.retcode)
		err = ev->r.retcode < 0 ? ev->r.retcode : -EPROTO;
	return err;
}

static int call_conn(const struct iscsi_kernel *k, uint32_t type, uint32_t sid)
{
	struct uevent ev = {.u.conn.sid = sid};

	return type == UEVENT_START_CONN ? call_retcode(k, type, &ev, NULL, 0, NULL, 0)
					 : call(k, type, &ev, NULL, 0, NULL, 0);
}

int iscsi_kernel_create(const struct iscsi_kernel *k, uint32_t cmdsn, uint32_t *sid)
{
	struct uevent ev = {.u.create_session = {cmdsn, CMDS_MAX, QUEUE_DEPTH}};
	int err = call(k, UEVENT_CREATE_SESSION, &ev, NULL, 0, NULL, 0);

	if (err)
		return err;
	*sid = ev.r.session.sid;
	err = call_conn(k, UEVENT_CREATE_CONN, *sid);
	if (err)
		call_conn(k, UEVENT_DESTROY_SESSION, *sid);
	return err;
}

int iscsi_kernel_bind(const struct iscsi_kernel *k, uint32_t sid, int sock)
{
	struct uevent ev = {.u.bind = {.sid = sid, .fd = (uint64_t)sock, .is_leading = 1}};

	return call_retcode(k, UEVENT_BIND_CONN, &ev, NULL, 0, NULL, 0);
}

int iscsi_kernel_set(const struct iscsi_kernel *k, uint32_t sid, enum iscsi_param param,
		     const char *value)
{
	size_t len = strlen(value) + 1;
	struct uevent ev = {.u.set = {sid, 0, param, (uint32_t)len}};

	return call(k, UEVENT_SET_PARAM, &ev, value, len, NULL, 0);
}

int iscsi_kernel_set_u32(const struct iscsi_kernel *k, uint32_t sid, enum iscsi_param param,
			 uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	return iscsi_kernel_set(k, sid, param, text);
}

int iscsi_kernel_set_login(const struct iscsi_kernel *k, uint32_t sid,
			   const struct iscsi_login *login)
{
	const struct iscsi_params *p = &login->params;
	const struct {
		enum iscsi_param param;
		uint32_t value;
	} set[] = {
		{ISCSI_PARAM_MAX_RECV_DLENGTH, p->max_recv},
		{ISCSI_PARAM_MAX_XMIT_DLENGTH, p->max_send},
		{ISCSI_PARAM_HDRDGST_EN, p->header_digest},
		{ISCSI_PARAM_DATADGST_EN, p->data_digest},
		{ISCSI_PARAM_INITIAL_R2T_EN, p->initial_r2t},
		{ISCSI_PARAM_MAX_R2T, p->max_outstanding_r2t},
		{ISCSI_PARAM_IMM_DATA_EN, p->immediate_data},
		{ISCSI_PARAM_FIRST_BURST, p->first_burst},
		{ISCSI_PARAM_MAX_BURST, p->max_burst},
		{ISCSI_PARAM_PDU_INORDER_EN, p->data_pdu_in_order},
		{ISCSI_PARAM_DATASEQ_INORDER_EN, p->data_sequence_in_order},
		{ISCSI_PARAM_ERL, p->error_recovery_level},
		{ISCSI_PARAM_EXP_STATSN, login->exp_statsn},
		{ISCSI_PARAM_TPGT, login->tpgt},
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(set) && !err; i++)
		err = iscsi_kernel_set_u32(k, sid, set[i].param, set[i].value);
	return err;
}

int iscsi_kernel_start(const struct iscsi_kernel *k, uint32_t sid)
{
	return call_conn(k, UEVENT_START_CONN, sid);
}

int iscsi_kernel_stop(const struct iscsi_kernel *k, uint32_t sid, bool recover)
{
	struct uevent ev = {.u.stop = {.sid = sid, .flag = recover ? STOP_RECOVER : STOP_TERM}};

	return call(k, UEVENT_STOP_CONN, &ev, NULL, 0, NULL, 0);
}

int iscsi_kernel_send(const struct iscsi_kernel *k, uint32_t sid, const uint8_t *bhs,
		      const void *data, size_t len)
{
	struct uevent ev = {.u.send = {sid, 0, BHS_LEN, (uint32_t)len}};

	return call_retcode(k, UEVENT_SEND_PDU, &ev, bhs, BHS_LEN, data, len);
}

int iscsi_kernel_destroy(const struct iscsi_kernel *k, uint32_t sid)
{
	int err = iscsi_kernel_stop(k, sid, false);

	if (!err)
		err = call_conn(k, UEVENT_DESTROY_CONN, sid);
	/* -EINVAL: a connection that is gone already, or was never made */
	if (!err || err == -EINVAL)
		err = call_conn(k, UEVENT_DESTROY_SESSION, sid);
	return err;
}

static void on_event(void *arg, unsigned events)
{
	struct iscsi_events *ev = arg;
	union {
		struct nlmsghdr h;
		uint8_t bytes[EVENT_MAX];
	} msg;
	const struct uevent *u = NLMSG_DATA(&msg.h);
	struct iscsi_event e;
	struct sockaddr_nl from = {0};
	socklen_t from_len = sizeof(from);
	ssize_t n;

	(void)events;
	memset(&e, 0, sizeof(e));
	n = recvfrom(ev->w.fd, &msg, sizeof(msg), MSG_DONTWAIT, (struct sockaddr *)&from,
		     &from_len);
	if (n < 0 && errno == ENOBUFS) {
		e.type = ISCSI_EVENT_MISSED;
		ev->fn(ev->arg, &e);
		return;
	}
	/* Programs can send here, too; the kernel's own messages come from port 0. */
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*u)) || from.nl_pid != 0)
		return;
	switch (u->type) {
	case KEVENT_RECV_PDU:
		if (n < (ssize_t)(NLMSG_LENGTH(sizeof(*u)) + BHS_LEN))
			return;
		e.type = ISCSI_EVENT_PDU;
		e.sid = u->r.pdu.sid;
		e.bhs = (const uint8_t *)(u + 1);
		e.len = get_be24(e.bhs + 5);
		if (e.len > (size_t)n - NLMSG_LENGTH(sizeof(*u)) - BHS_LEN)
			return;
		break;
	case KEVENT_CONN_ERROR:
		e.type = ISCSI_EVENT_ERROR;
		e.sid = u->r.error.sid;
		e.error = u->r.error.error;
		break;
	case KEVENT_DESTROY_SESSION:
		e.type = ISCSI_EVENT_DESTROYED;
		e.sid = u->r.destroyed.sid;
		break;
	default: return;
	}
	ev->fn(ev->arg, &e);
}

int iscsi_events_open(struct iscsi_events *ev, struct loop *l,
		      void (*fn)(void *arg, const struct iscsi_event *e), void *arg)
{
	int size = EVENTS_RCVBUF, err;
	int fd = netlink_open(1u << (EVENT_GROUP - 1));

	if (fd < 0)
		return fd;
	/* Best effort: other sessions' events share this queue. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	ev->loop = l;
	ev->fn = fn;
	ev->arg = arg;
	err = loop_fd_add(l, &ev->w, fd, LOOP_READ, on_event, ev);
	if (err)
		close(fd);
	return err;
}

void iscsi_events_close(struct iscsi_events *ev)
{
	if (!ev->w.on)
		return;
	loop_fd_del(ev->loop, &ev->w);
	close(ev->w.fd);
}
