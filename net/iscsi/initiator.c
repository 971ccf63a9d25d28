/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/initiator.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"

#define MAX_FOUND (1u << 20) /* bytes of text that a discovery may give */
#define MAX_MOVES 4
#define RECV_STEP 16384

/* what our requests are called */
enum { ITT_TEXT = 2, ITT_LOGOUT = 3 };

/* Leaves the loop, which may end before initiator_fini(). */
static void unhook(struct initiator *i)
{
	if (!i->loop)
		return;
	loop_timer_del(i->loop, &i->timer);
	loop_fd_del(i->loop, &i->w);
	sock_connect_cancel(&i->connect);
	i->loop = NULL;
}

static void end(struct initiator *i, int err)
{
	unhook(i);
	if (i->fd >= 0 && (err || i->state != INITIATOR_LOGIN)) {
		close(i->fd);
		i->fd = -1;
	}
	i->done(i->arg, err);
}

/* Ends with the cause, prefixed by the portal. */
static void end_with(struct initiator *i, int err, const char *cause)
{
	snprintf(i->error, sizeof(i->error), "%s: %s", i->portal, cause);
	end(i, err);
}

static int flush(struct initiator *i)
{
	while (i->out.len) {
		ssize_t n = send(i->fd, i->out.data, i->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0)
			return -errno;
		buf_drop(&i->out, (size_t)n);
	}
	return loop_fd_mod(i->loop, &i->w, LOOP_READ | (i->out.len ? LOOP_WRITE : 0));
}

static int send_pdu(void *arg, const uint8_t *bhs, const void *data, size_t len)
{
	static const uint8_t zero[3];
	struct initiator *i = arg;

	buf_put(&i->out, bhs, ISCSI_BHS);
	buf_put(&i->out, data, len);
	buf_put(&i->out, zero, iscsi_pad((uint32_t)len) - len);
	return i->out.failed ? -ENOMEM : flush(i);
}

/* SendTargets=All, or the rest of the answer to it (RFC 7143, 11.10.4). */
static int send_targets(struct initiator *i, uint32_t ttt, const uint8_t *lun)
{
	uint8_t bhs[ISCSI_BHS] = {ISCSI_TEXT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL};
	struct buf b = {0};
	int err;

	if (ttt == ISCSI_NO_TAG)
		text_put(&b, "SendTargets", "All");
	else
		memcpy(bhs + PDU_LUN, lun, 8);
	put_be24(bhs + PDU_DATA_LEN, (uint32_t)b.len);
	put_be32(bhs + PDU_ITT, ITT_TEXT);
	put_be32(bhs + PDU_TTT, ttt);
	put_be32(bhs + PDU_CMDSN, i->login.cmdsn);
	put_be32(bhs + PDU_EXPSTATSN, i->login.exp_statsn);
	err = b.failed ? -ENOMEM : send_pdu(i, bhs, b.data, b.len);
	buf_free(&b);
	return err;
}

static int send_logout(struct initiator *i)
{
	uint8_t bhs[ISCSI_BHS] = {ISCSI_LOGOUT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL};

	put_be32(bhs + PDU_ITT, ITT_LOGOUT);
	put_be32(bhs + PDU_CMDSN, i->login.cmdsn);
	put_be32(bhs + PDU_EXPSTATSN, i->login.exp_statsn);
	return send_pdu(i, bhs, NULL, 0);
}

static void found_put(struct initiator *i, const char *portal)
{
	buf_printf(&i->found, "%s", i->found_name);
	buf_put_u8(&i->found, 0);
	buf_printf(&i->found, "%s", portal);
	buf_put_u8(&i->found, 0);
}

/* The whole answer is in login.text: names, each followed by its addresses. */
static int take_targets(struct initiator *i)
{
	struct reader r = reader_of(i->login.text.data, i->login.text.len);
	char portal[SOCK_HOST_MAX];
	bool addressed = true;
	struct text_pair p;
	int n;

	while ((n = text_next(&r, &p)) > 0) {
		if (text_is(&p, "TargetName")) {
			/* Without an address it is reached by the portal that told of it. */
			if (!addressed)
				found_put(i, i->portal);
			if (!iscsi_name_valid(p.val))
				return -EPROTO;
			snprintf(i->found_name, sizeof(i->found_name), "%s", p.val);
			addressed = false;
		} else if (text_is(&p, "TargetAddress") && i->found_name[0]) {
			snprintf(portal, sizeof(portal), "%.*s", (int)strcspn(p.val, ","), p.val);
			found_put(i, portal);
			addressed = true;
		}
	}
	if (!addressed)
		found_put(i, i->portal);
	return n < 0 ? -EPROTO : i->found.failed ? -ENOMEM : 0;
}

/* 0: goes on; 1: done; -errno */
static int take_text_response(struct initiator *i, const uint8_t *bhs, const uint8_t *data,
			      size_t len)
{
	int err;

	if ((bhs[0] & ISCSI_OPCODE_MASK) != ISCSI_TEXT_RESPONSE)
		return -EPROTO;
	i->login.exp_statsn = get_be32(bhs + PDU_STATSN) + 1;
	buf_put(&i->login.text, data, len);
	if (i->login.text.failed || i->login.text.len > MAX_FOUND)
		return -EPROTO;
	if (!(bhs[1] & ISCSI_FINAL))
		return send_targets(i, get_be32(bhs + PDU_TTT), bhs + PDU_LUN);
	err = take_targets(i);
	if (err)
		return err;
	i->state = INITIATOR_LOGOUT;
	return send_logout(i);
}

static void again(struct initiator *i, int why);

/* Takes one PDU; false when this was the last (i may be gone). */
static bool take_pdu(struct initiator *i, const uint8_t *bhs, const uint8_t *data, size_t len)
{
	int err;

	switch (i->state) {
	case INITIATOR_LOGIN:
		err = iscsi_login_input(&i->login, bhs, data, len);
		if (!err)
			return true;
		if (err == -EREMOTE || err == -ERESTART) {
			again(i, err);
			return false;
		}
		if (err < 0) {
			end_with(i, err, i->login.error);
			return false;
		}
		if (i->login.chap.algorithm)
			log_debug("%s: CHAP algorithm %u", i->portal, i->login.chap.algorithm);
		if (i->login.id.target) {
			end(i, 0);
			return false;
		}
		i->state = INITIATOR_SENDTARGETS;
		err = send_targets(i, ISCSI_NO_TAG, NULL);
		break;
	case INITIATOR_SENDTARGETS: err = take_text_response(i, bhs, data, len); break;
	default: /* the answer to our logout, whatever it says */ end(i, 0); return false;
	}
	if (err)
		end_with(i, err,
			 err == -EPROTO ? "no proper answer to SendTargets" : strerror(-err));
	return !err;
}

/* Takes the PDUs that have come whole. */
static void take_input(struct initiator *i)
{
	size_t data_len, at, total;
	const uint8_t *bhs;

	while (i->in.len >= ISCSI_BHS) {
		bhs = i->in.data;
		data_len = get_be24(bhs + PDU_DATA_LEN);
		at = ISCSI_BHS + bhs[PDU_AHS_LEN] * 4u;
		total = at + iscsi_pad((uint32_t)data_len);
		if (data_len > INITIATOR_MAX_RECV) {
			end_with(i, -EPROTO, "not an iSCSI target: a PDU of senseless length");
			return;
		}
		if (i->in.len < total)
			return;
		if (!take_pdu(i, bhs, bhs + at, data_len))
			return;
		buf_drop(&i->in, total);
	}
}

static void on_socket(void *arg, unsigned events)
{
	struct initiator *i = arg;
	uint8_t *p;
	ssize_t n;
	int err;

	if (events & LOOP_WRITE) {
		err = flush(i);
		if (err) {
			end_with(i, err, strerror(-err));
			return;
		}
	}
	if (!(events & LOOP_READ))
		return;
	p = buf_reserve(&i->in, RECV_STEP);
	if (!p) {
		end_with(i, -ENOMEM, "out of memory");
		return;
	}
	n = recv(i->fd, p, RECV_STEP, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		err = n ? -errno : -ECONNRESET;
		/* A target may close the connection in place of its answer to the logout. */
		if (i->state == INITIATOR_LOGOUT)
			end(i, 0);
		else
			end_with(i, err,
				 n ? strerror(errno)
				   : "the target closed the connection: let this "
				     "initiator in there, or give CHAP user and secret");
		return;
	}
	i->in.len += (size_t)n;
	take_input(i);
}

static void on_timeout(void *arg)
{
	struct initiator *i = arg;

	end_with(i, -ETIMEDOUT,
		 "no answer to the login in time: check that an iSCSI target listens there");
}

/* The way out when nobody could be reached. */
static const char *connect_hint(int err)
{
	switch (err) {
	case -ECONNREFUSED: return "check the port, and that the target runs";
	case -ENETUNREACH: return "check the address and this host's routes";
	default: return "check the address, the network and that the host is up";
	}
}

static void on_connected(void *arg, int fd, const char *error)
{
	struct initiator *i = arg;
	uint64_t now = clock_ns();
	int err;

	if (fd < 0) {
		snprintf(i->error, sizeof(i->error), "%s: %s", error, connect_hint(fd));
		end(i, fd);
		return;
	}
	i->fd = fd;
	sock_nodelay(fd);
	sock_peer_text(fd, i->portal);
	loop_timer_set(i->loop, &i->timer, i->deadline > now ? i->deadline - now : 0, on_timeout,
		       i);
	err = loop_fd_add(i->loop, &i->w, fd, LOOP_READ, on_socket, i);
	if (!err)
		err = iscsi_login_start(&i->login);
	if (err)
		end_with(i, err, strerror(-err));
}

static void connect_to(struct initiator *i, const struct sock_addrs *to)
{
	const struct initiator_id id = i->login.id;
	uint64_t now = clock_ns();

	iscsi_login_free(&i->login);
	memset(&i->login, 0, sizeof(i->login));
	i->login.id = id;
	i->login.cmdsn = INITIATOR_CMDSN;
	i->login.send = send_pdu;
	i->login.arg = i;
	i->in.len = i->out.len = 0;
	i->state = INITIATOR_LOGIN;
	sock_connect(i->loop, &i->connect, to, i->deadline > now ? i->deadline - now : 1,
		     on_connected, i);
}

/* The login starts again, there where the target has moved to (RFC 7143, 6.3.1 and 11.13.5), or in
 * another way. */
static void again(struct initiator *i, int why)
{
	struct sock_addrs to = i->connect.addrs;
	int err = 0;

	loop_fd_del(i->loop, &i->w);
	close(i->fd);
	i->fd = -1;
	if (++i->moves > MAX_MOVES) {
		end_with(i, -ELOOP, "the target sends us round in a circle");
		return;
	}
	if (why == -EREMOTE) {
		err = sock_resolve(i->login.moved_to, ISCSI_PORT, &to);
		log_info("%s: %s has moved to %s", i->portal, i->login.id.target,
			 i->login.moved_to);
	}
	if (err) {
		snprintf(i->error, sizeof(i->error), "%s: the target has moved to %s: %s",
			 i->portal, i->login.moved_to, sock_strerror(err));
		end(i, err);
		return;
	}
	connect_to(i, &to);
}

void initiator_start(struct initiator *i, struct loop *l, const struct initiator_id *id,
		     const struct sock_addrs *to, uint64_t timeout_ns,
		     void (*done)(void *arg, int err), void *arg)
{
	memset(i, 0, sizeof(*i));
	i->loop = l;
	i->started = true;
	i->fd = -1;
	i->login.id = *id;
	i->deadline = clock_ns() + timeout_ns;
	i->done = done;
	i->arg = arg;
	connect_to(i, to);
}

void initiator_fini(struct initiator *i)
{
	if (!i->started)
		return;
	unhook(i);
	if (i->fd >= 0)
		close(i->fd);
	iscsi_login_free(&i->login);
	buf_free(&i->found);
	buf_free(&i->in);
	buf_free(&i->out);
	memset(i, 0, sizeof(*i));
	i->fd = -1;
}

bool initiator_found_next(const struct initiator *i, size_t *at, struct found_target *t)
{
	if (*at >= i->found.len)
		return false;
	t->name = (const char *)i->found.data + *at;
	*at += strlen(t->name) + 1;
	t->portal = (const char *)i->found.data + *at;
	*at += strlen(t->portal) + 1;
	return true;
}
