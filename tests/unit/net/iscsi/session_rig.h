/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target server without a network: LUNs on files in memory, and initiators at the other ends of
 * socket pairs, which send what they are told and keep what comes.
 */
#ifndef TESTS_UNIT_NET_ISCSI_SESSION_RIG_H
#define TESTS_UNIT_NET_ISCSI_SESSION_RIG_H

#include <fcntl.h>
#include <sys/mman.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "net/iscsi/pdu.h"
#include "net/iscsi/server.h"
#include "storage/disk_priv.h"
#include "storage/lun_open.h"
#include "storage/scsi/scsi.h"
#include "tests/unit/check.h"

#define NAME   "iqn.2026-11.unit:t"
#define BLOCK  512u
#define BLOCKS 2048u
#define LIMIT  (10 * SEC_NS)
#define DISKS  3
#define PEERS  3
#define KEPT   64u /* bytes of what comes with a PDU */

/* An initiator, and what has come to it. */
struct peer {
	int fd; /* -1: closed */
	bool eof;
	struct loop_fd watch;
	uint32_t cmdsn, itt, statsn;
	uint8_t in[2 << 20];
	size_t len;
	struct came {
		uint8_t bhs[ISCSI_BHS], data[KEPT];
	} came[512];
	unsigned n;
};

static struct {
	struct loop *loop;
	struct disk_engine *engine;
	struct access *access;
	struct target_server *server;
	struct target *target;
	int disk[DISKS]; /* files */
	struct peer peer[PEERS];
	struct loop_timer guard;
	bool late, gone;
} rig;

static void rig_late(void *arg)
{
	(void)arg;
	rig.late = true;
	loop_stop(rig.loop, 0);
}

/* Runs the loop until a word of the peers comes. */
static inline void rig_turn(void)
{
	loop_timer_set(rig.loop, &rig.guard, LIMIT, rig_late, NULL);
	loop_run(rig.loop);
	loop_timer_del(rig.loop, &rig.guard);
}

static void rig_wake(void *arg)
{
	(void)arg;
	loop_stop(rig.loop, 0);
}

/* So long that what is under way in the loop has its turn. */
static inline void rig_pause(void)
{
	loop_timer_set(rig.loop, &rig.guard, 20 * MS_NS, rig_wake, NULL);
	loop_run(rig.loop);
	loop_timer_del(rig.loop, &rig.guard);
}

/* ---- an initiator ---- */

static void peer_take(struct peer *p)
{
	while (p->len >= ISCSI_BHS) {
		uint32_t data = get_be24(p->in + PDU_DATA_LEN);
		size_t size = ISCSI_BHS + ((data + 3) & ~3u);
		struct came *c = &p->came[p->n];
		if (p->len < size || p->n == ARRAY_SIZE(p->came))
			return;
		memcpy(c->bhs, p->in, ISCSI_BHS);
		memset(c->data, 0, KEPT);
		memcpy(c->data, p->in + ISCSI_BHS, MIN(data, KEPT));
		p->len -= size;
		memmove(p->in, p->in + size, p->len);
		p->n++;
	}
}

static void peer_readable(void *arg, unsigned events)
{
	struct peer *p = arg;
	ssize_t n = recv(p->fd, p->in + p->len, sizeof(p->in) - p->len, MSG_DONTWAIT);
	(void)events;
	if (n > 0)
		p->len += (size_t)n;
	peer_take(p);
	if (n == 0) {
		p->eof = true;
		loop_fd_del(rig.loop, &p->watch);
	}
	loop_stop(rig.loop, 0);
}

static inline void peer_send(struct peer *p, uint8_t *bhs, const void *data, uint32_t len)
{
	static const uint8_t zeros[4];
	put_be24(bhs + PDU_DATA_LEN, len);
	CHECK_EQ(send(p->fd, bhs, ISCSI_BHS, MSG_NOSIGNAL), ISCSI_BHS);
	if (len)
		CHECK_EQ(send(p->fd, data, len, MSG_NOSIGNAL), len);
	if (len % 4)
		CHECK_EQ(send(p->fd, zeros, 4 - len % 4, MSG_NOSIGNAL), 4 - len % 4);
}

/* A request with its tags and numbers; its task tag. */
static inline uint32_t peer_ask(struct peer *p, uint8_t *bhs, const void *data, uint32_t len)
{
	put_be32(bhs + PDU_ITT, ++p->itt);
	put_be32(bhs + PDU_CMDSN, p->cmdsn);
	put_be32(bhs + PDU_EXPSTATSN, p->statsn);
	if (!(bhs[0] & ISCSI_IMMEDIATE))
		p->cmdsn++;
	peer_send(p, bhs, data, len);
	return p->itt;
}

/* What has come for a task: its last PDU, once that is there; NULL: none comes. */
static inline const struct came *peer_await(struct peer *p, uint32_t itt)
{
	rig.late = false;
	for (;;) {
		for (unsigned i = 0; i < p->n; i++) {
			const uint8_t *h = p->came[i].bhs;
			bool part = (h[0] == ISCSI_DATA_IN && !(h[1] & ISCSI_DATA_IN_STATUS)) ||
				    h[0] == ISCSI_R2T;
			if (get_be32(h + PDU_ITT) == itt && !part) {
				p->statsn = get_be32(h + PDU_STATSN) + 1;
				return &p->came[i];
			}
		}
		if (p->eof || rig.late) {
			printf("# no answer to %u\n", itt);
			return NULL;
		}
		rig_turn();
	}
}

/* Of logins from now on. */
static const char *peer_type = "Normal";
static unsigned peer_segment = 262144;

static inline void peer_connect(struct peer *p)
{
	struct sock_addr peer = {.ss.ss_family = AF_INET, .len = sizeof(struct sockaddr_in)};
	int fds[2];
	*p = (struct peer){.fd = -1, .cmdsn = 1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		abort();
	p->fd = fds[0];
	target_server_take(rig.server, &rig.server->main, fds[1], &peer);
	loop_fd_add(rig.loop, &p->watch, p->fd, LOOP_READ, peer_readable, p);
}

/* As `initiator`, of whom each number has its own ISID. */
static inline bool peer_enter(struct peer *p, const char *initiator, uint8_t isid)
{
	uint8_t h[ISCSI_BHS] = {ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE,
				ISCSI_LOGIN_TRANSIT | ISCSI_STAGE_OPERATIONAL << 2 |
					ISCSI_STAGE_FULL,
				[LOGIN_ISID] = 0x80, [LOGIN_ISID + 5] = isid};
	const struct came *c;
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "InitiatorName=%s%cTargetName=" NAME
			 "%cSessionType=%s%cInitialR2T=Yes%cImmediateData=Yes%"
			 "cMaxRecvDataSegmentLength=%u%c",
			 initiator, 0, 0, peer_type, 0, 0, 0, peer_segment, 0);
	c = peer_await(p, peer_ask(p, h, text, (uint32_t)n));
	return c && get_be16(c->bhs + LOGIN_STATUS) == LOGIN_OK;
}

static inline bool peer_login(struct peer *p, const char *initiator, uint8_t isid)
{
	peer_connect(p);
	return peer_enter(p, initiator, isid);
}

static inline void peer_close(struct peer *p)
{
	if (p->fd < 0)
		return;
	loop_fd_del(rig.loop, &p->watch);
	close(p->fd);
	p->fd = -1;
}

static inline void put_lun(uint8_t *bhs, unsigned lun)
{
	bhs[PDU_LUN + 1] = (uint8_t)lun;
}

/* Sends a command. `sent` bytes of its data, of `expected`, go along. */
static inline uint32_t peer_command(struct peer *p, unsigned lun, const uint8_t *cdb,
				    size_t cdb_len, uint8_t flags, uint32_t expected,
				    const void *data, uint32_t sent)
{
	uint8_t h[ISCSI_BHS] = {ISCSI_SCSI_COMMAND, ISCSI_FINAL | flags | 1};
	put_lun(h, lun);
	put_be32(h + CMD_EDTL, expected);
	memcpy(h + CMD_CDB, cdb, cdb_len);
	return peer_ask(p, h, data, sent);
}

/* WRITE(10) of blocks full of one byte; without `whole` the target has to ask for them. */
static inline uint32_t peer_write(struct peer *p, unsigned lun, uint32_t lba, uint16_t n,
				  uint8_t byte, bool whole)
{
	uint8_t cdb[10] = {0x2a}, data[64 * BLOCK];
	put_be32(cdb + 2, lba);
	put_be16(cdb + 7, n);
	memset(data, byte, sizeof(data));
	return peer_command(p, lun, cdb, sizeof(cdb), ISCSI_CMD_WRITE, n * BLOCK, data,
			    whole ? n * BLOCK : 0);
}

static inline uint32_t peer_inquiry(struct peer *p, unsigned lun)
{
	uint8_t cdb[6] = {0x12, 0, 0, 0, 36};
	return peer_command(p, lun, cdb, sizeof(cdb), ISCSI_CMD_READ, 36, NULL, 0);
}

static inline uint32_t peer_ready(struct peer *p, unsigned lun)
{
	uint8_t cdb[6] = {0};
	return peer_command(p, lun, cdb, sizeof(cdb), 0, 0, NULL, 0);
}

/* A task management function; its response, or -1. */
static inline int peer_manage(struct peer *p, uint8_t function, unsigned lun, uint32_t rtt)
{
	uint8_t h[ISCSI_BHS] = {ISCSI_TMF_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL | function};
	const struct came *c;
	put_lun(h, lun);
	put_be32(h + TMF_RTT, rtt);
	c = peer_await(p, peer_ask(p, h, NULL, 0));
	return c ? c->bhs[TMF_RESPONSE] : -1;
}

/* 0: GOOD; CHECK CONDITION: the additional sense code; else minus the status. */
static inline int answer(struct peer *p, uint32_t itt)
{
	const struct came *c = peer_await(p, itt);
	if (!c)
		return -1;
	if (c->bhs[RESP_STATUS] == SCSI_CHECK_CONDITION)
		return get_be16(c->data + 2 + 12);
	return -c->bhs[RESP_STATUS];
}

/* What the next command will hear until it is heard no more. */
static inline void settle(struct peer *p, unsigned lun)
{
	for (unsigned i = 0; i < LUN_UA_MAX && answer(p, peer_ready(p, lun)); i++)
		;
}

/* ---- set-up ---- */

/* Serves file `disk` as this LUN. */
static inline struct lun *rig_add(unsigned disk, unsigned number)
{
	char path[64];
	struct lun_config c = {.path = path, .block_size = BLOCK, .target = NAME, .number = number};
	struct lun *l;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", rig.disk[disk]);
	if (lun_open(&l, &c) || target_add_lun(rig.server, rig.target, l))
		abort();
	return l;
}

static void rig_removed(void *arg, int rc)
{
	(void)arg;
	CHECK_EQ(rc, 0);
	rig.gone = true;
	loop_stop(rig.loop, 0);
}

static inline void rig_remove(unsigned number)
{
	rig.gone = false;
	CHECK_EQ(target_remove_lun(rig.server, rig.target, number, rig_removed, NULL), 0);
}

static inline void rig_remove_wait(unsigned number)
{
	rig_remove(number);
	while (!rig.gone)
		rig_turn();
}

static inline void rig_up(void)
{
	static const char *const all[] = {"0.0.0.0/0", "::/0"};
	struct target_server_config config = {.max_sessions = 16};
	memset(&rig, 0, sizeof(rig));
	config.loop = rig.loop = loop_new();
	config.engine = rig.engine = disk_engine_new(rig.loop, 2);
	config.access = rig.access = access_new(all, 2);
	rig.server = target_server_new(&config);
	rig.target = target_server_get(rig.server, NAME);
	if (!rig.engine || !rig.access || !rig.target)
		abort();
	for (unsigned i = 0; i < DISKS; i++) {
		rig.disk[i] = memfd_create("disk", MFD_CLOEXEC);
		if (ftruncate(rig.disk[i], BLOCKS * BLOCK))
			abort();
	}
	for (unsigned i = 0; i < PEERS; i++)
		rig.peer[i].fd = -1;
}

static void rig_drained(void *arg)
{
	(void)arg;
	rig.gone = true;
	loop_stop(rig.loop, 0);
}

static inline void rig_down(void)
{
	for (unsigned i = 0; i < PEERS; i++)
		peer_close(&rig.peer[i]);
	while (rig.target->luns_n)
		rig_remove_wait(rig.target->luns[0]->number);
	rig.gone = rig.late = false;
	target_server_drain(rig.server, rig_drained, NULL);
	while (!rig.gone && CHECK(!rig.late))
		rig_turn();
	target_server_free(rig.server);
	access_free(rig.access);
	disk_engine_free(rig.engine);
	loop_free(rig.loop);
	for (unsigned i = 0; i < DISKS; i++)
		close(rig.disk[i]);
}

static inline uint8_t on_disk(unsigned disk, uint32_t lba)
{
	uint8_t b = 0xff;
	CHECK_EQ(pread(rig.disk[disk], &b, 1, (off_t)lba * BLOCK), 1);
	return b;
}

#endif
