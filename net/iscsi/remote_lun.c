/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/remote_lun.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "net/iscsi/initiator.h"
#include "net/iscsi/pdu.h"

#define ATTENTIONS 8 /* a new session is told of what has changed, one after the other */

enum {
	TEST_UNIT_READY = 0x00,
	SYNCHRONIZE_CACHE_10 = 0x35,
	READ_16 = 0x88,
	WRITE_16 = 0x8a,
	SERVICE_ACTION_IN_16 = 0x9e, /* SBC-4, 5.18: READ CAPACITY (16) */
	READ_CAPACITY_16 = 0x10,
};

/* A command under way: its data, one of the two. */
struct command {
	uint8_t cdb[16];
	uint8_t *in;
	const uint8_t *out;
	size_t n;
	size_t got; /* of the data that comes in */
	uint8_t status;
};

/* ---- bytes ---- */

static int receive(struct remote_lun *r, void *p, size_t n)
{
	uint8_t *at = p;

	while (n) {
		ssize_t got = recv(r->fd, at, n, MSG_WAITALL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

static int skip(struct remote_lun *r, size_t n)
{
	uint8_t sink[4096];
	int err = 0;

	while (n && !err) {
		size_t part = MIN(n, sizeof(sink));

		err = receive(r, sink, part);
		n -= part;
	}
	return err;
}

/* A PDU: its header, and n bytes of data. */
static int send_pdu(struct remote_lun *r, uint8_t *bhs, const uint8_t *data, size_t n)
{
	static const uint8_t padding[3];
	struct iovec v[3] = {
		{bhs, ISCSI_BHS}, {(void *)data, n}, {(void *)padding, iscsi_pad((uint32_t)n) - n}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
	size_t left = ISCSI_BHS + iscsi_pad((uint32_t)n);

	put_be24(bhs + PDU_DATA_LEN, (uint32_t)n);
	put_be32(bhs + PDU_EXPSTATSN, r->statsn);
	while (left) {
		ssize_t sent = sendmsg(r->fd, &m, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		left -= (size_t)sent;
		while (m.msg_iovlen && (size_t)sent >= m.msg_iov->iov_len) {
			sent -= (ssize_t)m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (m.msg_iovlen) {
			m.msg_iov->iov_base = (uint8_t *)m.msg_iov->iov_base + sent;
			m.msg_iov->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

/* ---- a command ---- */

static int send_command(struct remote_lun *r, const struct command *c)
{
	uint8_t bhs[ISCSI_BHS] = {ISCSI_SCSI_COMMAND, ISCSI_FINAL | 1 |
							      (c->in ? ISCSI_CMD_READ : 0) |
							      (c->out ? ISCSI_CMD_WRITE : 0)};
	size_t now = 0;

	/* Final: what does not go along waits for an R2T. */
	if (c->out && r->params.immediate_data)
		now = MIN(c->n, MIN(r->params.first_burst, r->params.max_send));
	iscsi_lun_put(bhs + PDU_LUN, r->lun);
	put_be32(bhs + PDU_ITT, ++r->itt);
	put_be32(bhs + CMD_EDTL, (uint32_t)c->n);
	put_be32(bhs + PDU_CMDSN, r->cmdsn++);
	memcpy(bhs + CMD_CDB, c->cdb, sizeof(c->cdb));
	return send_pdu(r, bhs, c->out, now);
}

/* What the target is ready to take. */
static int send_data(struct remote_lun *r, const struct command *c, const uint8_t *r2t)
{
	uint32_t at = get_be32(r2t + R2T_OFFSET), left = get_be32(r2t + R2T_LENGTH), sn = 0;
	int err = 0;

	if (!c->out || at > c->n || left > c->n - at || !left)
		return -EPROTO;
	while (left && !err) {
		uint32_t part = MIN(left, r->params.max_send);
		uint8_t bhs[ISCSI_BHS] = {ISCSI_DATA_OUT, part == left ? ISCSI_FINAL : 0};

		memcpy(bhs + PDU_LUN, r2t + PDU_LUN, 8);
		put_be32(bhs + PDU_ITT, r->itt);
		memcpy(bhs + PDU_TTT, r2t + PDU_TTT, 4);
		put_be32(bhs + DATA_SN, sn++);
		put_be32(bhs + DATA_OFFSET, at);
		err = send_pdu(r, bhs, c->out + at, part);
		at += part;
		left -= part;
	}
	return err;
}

static int take_data(struct remote_lun *r, struct command *c, const uint8_t *bhs, size_t n)
{
	uint32_t at = get_be32(bhs + DATA_OFFSET);
	int err;

	if (!c->in || at > c->n || n > c->n - at)
		return -EPROTO;
	err = receive(r, c->in + at, n);
	c->got += n;
	return err ? err : skip(r, iscsi_pad((uint32_t)n) - n);
}

static int answer_ping(struct remote_lun *r, const uint8_t *in)
{
	uint8_t bhs[ISCSI_BHS] = {ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL};

	if (get_be32(in + PDU_TTT) == ISCSI_NO_TAG)
		return 0;
	memcpy(bhs + PDU_LUN, in + PDU_LUN, 8);
	put_be32(bhs + PDU_ITT, ISCSI_NO_TAG);
	memcpy(bhs + PDU_TTT, in + PDU_TTT, 4);
	put_be32(bhs + PDU_CMDSN, r->cmdsn);
	return send_pdu(r, bhs, NULL, 0);
}

/* Takes one PDU. 1: the command has ended, with c->status; 0: it goes on; -errno. */
static int take_pdu(struct remote_lun *r, struct command *c)
{
	uint8_t bhs[ISCSI_BHS], opcode;
	size_t n;
	int err = receive(r, bhs, sizeof(bhs));

	if (err)
		return err;
	opcode = bhs[0] & ISCSI_OPCODE_MASK;
	n = get_be24(bhs + PDU_DATA_LEN);
	if (n > r->params.max_recv)
		return -EPROTO;
	/* R2T and Data-In without status carry none that counts (RFC 7143, 11.7.4, 11.8.3). */
	if (opcode != ISCSI_R2T && (opcode != ISCSI_DATA_IN || bhs[1] & ISCSI_DATA_IN_STATUS) &&
	    opcode != ISCSI_NOP_IN)
		r->statsn = get_be32(bhs + PDU_STATSN) + 1;
	err = skip(r, (size_t)bhs[PDU_AHS_LEN] * 4);
	if (!err && opcode == ISCSI_DATA_IN)
		err = take_data(r, c, bhs, n);
	else if (!err)
		err = skip(r, iscsi_pad((uint32_t)n));
	if (err)
		return err;
	switch (opcode) {
	case ISCSI_R2T: return send_data(r, c, bhs);
	case ISCSI_NOP_IN: return answer_ping(r, bhs);
	case ISCSI_ASYNC_MESSAGE: return 0;
	case ISCSI_DATA_IN:
		if (!(bhs[1] & ISCSI_DATA_IN_STATUS))
			return 0;
		c->status = bhs[RESP_STATUS];
		return 1;
	case ISCSI_SCSI_RESPONSE:
		c->status = bhs[RESP_RESPONSE] ? 0xff : bhs[RESP_STATUS];
		return 1;
	default: return -EPROTO;
	}
}

/* 0 with c->status, or -errno. */
static int run(struct remote_lun *r, struct command *c)
{
	int done = send_command(r, c);

	while (!done)
		done = take_pdu(r, c);
	return done < 0 ? done : 0;
}

static ssize_t transfer(struct remote_lun *r, struct command *c, uint64_t at)
{
	int err;

	put_be64(c->cdb + 2, at / r->block);
	put_be32(c->cdb + 10, (uint32_t)(c->n / r->block));
	err = run(r, c);
	if (err)
		return err;
	return c->status || (c->in && c->got != c->n) ? -EIO : (ssize_t)c->n;
}

ssize_t remote_lun_read(struct remote_lun *r, void *p, size_t n, uint64_t at)
{
	struct command c = {.cdb = {READ_16}, .in = p, .n = n};

	return transfer(r, &c, at);
}

ssize_t remote_lun_write(struct remote_lun *r, const void *p, size_t n, uint64_t at)
{
	struct command c = {.cdb = {WRITE_16}, .out = p, .n = n};

	return transfer(r, &c, at);
}

int remote_lun_flush(struct remote_lun *r)
{
	struct command c = {.cdb = {SYNCHRONIZE_CACHE_10}};
	int err = run(r, &c);

	return err ? err : c.status ? -EIO : 0;
}

/* ---- the session ---- */

static void on_done(void *arg, int err)
{
	loop_stop(arg, err);
}

/* HOST[:PORT], IQN and LUN of an address; false: it is none. */
static bool take_apart(const char *url, char host[SOCK_HOST_MAX], char iqn[ISCSI_NAME + 1],
		       unsigned *lun)
{
	const char *p = url + strlen(REMOTE_LUN_SCHEME), *slash, *last;
	char *end;
	unsigned long v;

	if (strncmp(url, REMOTE_LUN_SCHEME, strlen(REMOTE_LUN_SCHEME)) != 0)
		return false;
	slash = strchr(p, '/');
	last = strrchr(p, '/');
	if (!slash || slash == last || slash - p >= SOCK_HOST_MAX || last - slash > ISCSI_NAME)
		return false;
	memcpy(host, p, (size_t)(slash - p));
	host[slash - p] = '\0';
	memcpy(iqn, slash + 1, (size_t)(last - slash - 1));
	iqn[last - slash - 1] = '\0';
	v = strtoul(last + 1, &end, 10);
	*lun = (unsigned)v;
	return iscsi_name_valid(iqn) && last[1] >= '0' && last[1] <= '9' && !*end && v < 16384;
}

static int log_in(struct remote_lun *r, const struct initiator_id *id, const struct sock_addrs *to,
		  char error[REMOTE_LUN_ERROR])
{
	struct timeval limit = {.tv_sec = REMOTE_LUN_TIMEOUT / SEC_NS};
	struct initiator *i = calloc(1, sizeof(*i));
	struct loop *l = loop_new();
	int err = -ENOMEM;

	snprintf(error, REMOTE_LUN_ERROR, "out of memory");
	if (i && l) {
		i->fd = -1;
		initiator_start(i, l, id, to, REMOTE_LUN_TIMEOUT, on_done, l);
		err = loop_run(l);
		if (err)
			snprintf(error, REMOTE_LUN_ERROR, "%s", i->error);
		else {
			r->fd = i->fd;
			i->fd = -1;
			r->params = i->login.params;
			r->cmdsn = INITIATOR_CMDSN;
			r->statsn = i->login.exp_statsn;
			r->itt = 16;
			sock_nonblock(r->fd, false);
			sock_nodelay(r->fd);
			setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
			setsockopt(r->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		}
		initiator_fini(i);
	}
	free(i);
	loop_free(l);
	return err;
}

/* Waits for unit attentions to have been told, and asks how large it is. */
static int get_ready(struct remote_lun *r)
{
	uint8_t capacity[32];
	struct command size = {.cdb = {SERVICE_ACTION_IN_16, READ_CAPACITY_16},
			       .in = capacity,
			       .n = sizeof(capacity)};
	struct command ready = {.cdb = {TEST_UNIT_READY}};
	int err = 0;

	size.cdb[13] = sizeof(capacity);
	for (int i = 0; i < ATTENTIONS; i++) {
		ready.status = 0;
		err = run(r, &ready);
		if (err || !ready.status)
			break;
	}
	if (!err && !ready.status)
		err = run(r, &size);
	if (err)
		return err;
	if (ready.status || size.status || size.got < 12)
		return -EIO;
	r->blocks = get_be64(capacity) + 1;
	r->block = get_be32(capacity + 8);
	return r->block && r->blocks ? 0 : -EIO;
}

int remote_lun_open(struct remote_lun *r, const char *url, char error[REMOTE_LUN_ERROR])
{
	char host[SOCK_HOST_MAX], iqn[ISCSI_NAME + 1], me[ISCSI_NAME + 1];
	struct initiator_id id = {.initiator = me, .target = iqn};
	struct sock_addrs to;
	int err;

	*r = (struct remote_lun){.fd = -1};
	if (!take_apart(url, host, iqn, &r->lun)) {
		snprintf(error, REMOTE_LUN_ERROR, "%s: not of the form iscsi://HOST[:PORT]/IQN/LUN",
			 url);
		return -EINVAL;
	}
	err = sock_resolve(host, ISCSI_PORT, &to);
	if (err) {
		snprintf(error, REMOTE_LUN_ERROR, "%s: %s", host, sock_strerror(err));
		return err;
	}
	initiator_default_name(me);
	/* The random format (RFC 7143, 11.12.5). */
	if (getrandom(id.isid, sizeof(id.isid), 0) != sizeof(id.isid)) {
		snprintf(error, REMOTE_LUN_ERROR, "%s: no random numbers", url);
		return -EIO;
	}
	id.isid[0] = 0x80;
	err = log_in(r, &id, &to, error);
	if (err)
		return err;
	err = get_ready(r);
	if (err) {
		snprintf(error, REMOTE_LUN_ERROR,
			 "%s: is not ready (%s): does the target have such a LUN, and has nobody "
			 "reserved it?",
			 url, strerror(-err));
		remote_lun_close(r);
	}
	return err;
}

void remote_lun_close(struct remote_lun *r)
{
	uint8_t bhs[ISCSI_BHS] = {ISCSI_LOGOUT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL};

	if (r->fd < 0)
		return;
	put_be32(bhs + PDU_ITT, ++r->itt);
	put_be32(bhs + PDU_CMDSN, r->cmdsn);
	send_pdu(r, bhs, NULL, 0);
	close(r->fd);
	r->fd = -1;
}
