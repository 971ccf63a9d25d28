/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the whole target, without a network and with a disk in memory: the input is what an
 * initiator sends. Its first byte chooses how, by its lowest two bits:
 *   0  the bytes as they are, from the first of the connection on
 *   1  the same after a login
 *   2  after a login, as SCSI commands: records of flags, CDB and data; some with a text request
 *      behind them, that declares another segment length
 *   3  as login requests: records of flags and text
 * In 2 and 3 the headers are right, so that the input gets to what lies behind them.
 *   4  beside these: the disk is a slow one, whose transfers are under way while more comes
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "net/iscsi/pdu.h"
#include "net/iscsi/server.h"
#include "storage/lun_open.h"
#include "storage/disk_priv.h"
#include "storage/scsi/scsi.h"

#define DISK_SIZE (4u << 20)
#define SENT_MAX  (1u << 20)
#define SLOW	  4u
#define QUIET	  (5 * MS_NS)
#define TEXT	  0x10u /* of a record's flags */
#define NAME	  "iqn.2026-11.fuzz:t"

static struct loop *loop;
static struct disk_engine *engine;
static struct access *anyone;
static char disk_path_text[64];

struct client {
	int fd;
	struct loop_fd watch;
	const struct buf *send;
	size_t sent;
	struct target_server *server;
	struct loop_timer quiet; /* with a slow disk: it waits for answers so long */
	bool slow;
};

static void setup(void)
{
	static const char *const all[] = {"0.0.0.0/0", "::/0"};
	int fd = memfd_create("disk", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0)
		abort();
	snprintf(disk_path_text, sizeof(disk_path_text), "/proc/self/fd/%d", fd);
	log_set_destination("syslog");
	log_threshold = LOG_LEVEL_ERROR;
	loop = loop_new();
	engine = disk_engine_new(loop, 1);
	anyone = access_new(all, 2);
	if (!loop || !engine || !anyone)
		abort();
}

static void put_pdu(struct buf *b, uint8_t *bhs, const void *data, uint32_t len)
{
	static const uint8_t zeros[4];
	put_be24(bhs + PDU_DATA_LEN, len);
	buf_put(b, bhs, ISCSI_BHS);
	buf_put(b, data, len);
	buf_put(b, zeros, iscsi_pad(len) - len);
}

static void put_login(struct buf *b, uint8_t flags, const void *text, uint32_t len)
{
	uint8_t h[ISCSI_BHS] = {ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE, flags};
	h[LOGIN_ISID] = 0x80;
	put_be32(h + PDU_ITT, 1);
	put_be32(h + PDU_CMDSN, 1);
	put_pdu(b, h, text, len);
}

static void put_full_login(struct buf *b)
{
	static const char text[] = "InitiatorName=iqn.2026-11.fuzz:i\0TargetName=" NAME
				   "\0SessionType=Normal\0InitialR2T=No\0ImmediateData=Yes";
	put_login(b, ISCSI_LOGIN_TRANSIT | ISCSI_STAGE_OPERATIONAL << 2 | ISCSI_STAGE_FULL, text,
		  sizeof(text));
}

/* Declares a segment length while the command before it may be under way. */
static void put_segment(struct buf *b, uint32_t tag, uint16_t length)
{
	uint8_t h[ISCSI_BHS] = {ISCSI_TEXT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL};
	char text[64];
	int n = snprintf(text, sizeof(text), "MaxRecvDataSegmentLength=%u", length);
	put_be32(h + PDU_ITT, tag);
	put_be32(h + PDU_TTT, ISCSI_NO_TAG);
	put_pdu(b, h, text, (uint32_t)n + 1);
}

/* Records: flags, 16 bytes of CDB, data length (2 bytes), expected length (2 bytes), data. */
static void put_commands(struct buf *b, struct reader r)
{
	for (uint32_t sn = 1; r.left >= 21; sn++) {
		uint8_t h[ISCSI_BHS] = {ISCSI_SCSI_COMMAND};
		uint16_t len, expected;
		uint8_t flags = read_u8(&r);
		const uint8_t *cdb, *data;
		h[1] = (uint8_t)(ISCSI_FINAL | (flags & 0x67));
		cdb = read_bytes(&r, SCSI_CDB_MAX);
		len = read_be16(&r) & 0x7ff;
		expected = read_be16(&r);
		len = (uint16_t)MIN((size_t)len, r.left);
		data = read_bytes(&r, len);
		if (len)
			h[1] |= ISCSI_CMD_WRITE;
		memcpy(h + CMD_CDB, cdb, SCSI_CDB_MAX);
		put_be32(h + PDU_ITT, sn);
		put_be32(h + PDU_CMDSN, sn);
		/* Mostly what was sent: a write that waits for more would block those behind it. */
		put_be32(h + CMD_EDTL, len && expected & 1 ? len
				       : flags & TEXT	   ? expected * 64u /* memory of its own */
							   : MAX(expected, len));
		put_pdu(b, h, data, len);
		if (flags & TEXT)
			put_segment(b, sn | 0x80000000u, expected >> (sn % 8));
	}
}

/* Records: flags, text length (1 byte), text. */
static void put_logins(struct buf *b, struct reader r)
{
	while (r.left >= 2) {
		uint8_t flags = read_u8(&r);
		size_t len = read_u8(&r);
		len = MIN(len, r.left);
		put_login(b, flags, read_bytes(&r, len), (uint32_t)len);
	}
}

static void drained(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

static void finish(void *arg)
{
	struct client *c = arg;
	shutdown(c->fd, SHUT_WR);
}

static void on_client(void *arg, unsigned events)
{
	struct client *c = arg;
	uint8_t sink[65536];
	ssize_t n;
	if (events & LOOP_READ) {
		n = recv(c->fd, sink, sizeof(sink), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			/* It has closed; its commands may still run. */
			shutdown(c->fd, SHUT_WR);
			loop_fd_del(loop, &c->watch);
			loop_timer_del(loop, &c->quiet);
			target_server_drain(c->server, drained, NULL);
			return;
		}
	}
	if (c->sent < c->send->len) {
		n = send(c->fd, c->send->data + c->sent, c->send->len - c->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		c->sent += n > 0 ? (size_t)n : 0;
		if (c->sent == c->send->len && !c->slow)
			shutdown(c->fd, SHUT_WR);
	}
	if (c->slow && c->sent == c->send->len)
		loop_timer_set(loop, &c->quiet, QUIET, finish, c);
	loop_fd_mod(loop, &c->watch, LOOP_READ | (c->sent < c->send->len ? LOOP_WRITE : 0));
}

static void retired(void *arg, int rc)
{
	bool *gone = arg;
	(void)rc;
	*gone = true;
	loop_stop(loop, 0);
}

/* One connection from its beginning until the target has let go of it. */
static void converse(const struct buf *send, bool slow)
{
	struct target_server_config config = {
		.loop = loop, .engine = engine, .access = anyone, .max_sessions = 4};
	struct lun_config lun_config = {.path = disk_path_text,
					.block_size = 512,
					.target = NAME,
					.thin = true,
					.removable = true};
	struct sock_addr peer = {.len = 0};
	struct client c = {.send = send, .slow = slow};
	struct lun *lun;
	bool gone = false;
	int fds[2];

	c.server = target_server_new(&config);
	if (!c.server || lun_open(&lun, &lun_config) ||
	    target_add_lun(c.server, target_server_get(c.server, NAME), lun) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		abort();
	if (slow) {
		lun->disk->in_memory = false;
		disk_set(&lun->disk->no_nowait);
	}
	c.fd = fds[0];
	target_server_take(c.server, &c.server->main, fds[1], &peer);
	loop_fd_add(loop, &c.watch, c.fd, LOOP_READ | LOOP_WRITE, on_client, &c);
	if (!send->len)
		shutdown(c.fd, SHUT_WR);
	loop_run(loop);
	loop_fd_del(loop, &c.watch);
	target_server_free(c.server);
	/* Work in the background (SANITIZE) ends before the LUN does. */
	lun_retire(lun, engine, retired, &gone);
	while (!gone)
		loop_run(loop);
	close(c.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = {0};
	if (!loop)
		setup();
	if (size < 1 || size > SENT_MAX)
		return 0;
	switch (data[0] & 3) {
	case 1: put_full_login(&b); /* fall through */
	case 0: buf_put(&b, data + 1, size - 1); break;
	case 2:
		put_full_login(&b);
		put_commands(&b, reader_of(data + 1, size - 1));
		break;
	case 3: put_logins(&b, reader_of(data + 1, size - 1)); break;
	}
	converse(&b, data[0] & SLOW);
	buf_free(&b);
	return 0;
}
