/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks on the stream: where TCP cuts it, where it ends, what is no PDU at all. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/iscsi/hostile.h"

#define BLOCK 512

/* The sizes of the disk's blocks do not matter to what is tested: READ CAPACITY tells. */
static uint32_t block_size(struct raw *r)
{
	static const uint8_t cdb[10] = {0x25};
	uint8_t cap[8] = {0};

	return raw_run(r, cdb, sizeof(cdb), NULL, 0, cap, sizeof(cap)) == 0 ? get_be32(cap + 4) : 0;
}

/* Waits for the status of the one command under way. */
static bool finished_well(struct raw *r)
{
	struct pdu p;
	bool ok = raw_recv(r, &p) == RAW_PDU && p.bhs[0] == ISCSI_SCSI_RESPONSE &&
		  p.bhs[RESP_STATUS] == 0;

	raw_pdu_free(&p);
	return ok;
}

/* A bit of everything: login, commands without data, with data in, with data out both ways. */
static bool whole_session(unsigned cut, const char *const *keys)
{
	static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96};
	struct raw r;
	struct pdu answer = {0};
	struct buf b = {0};
	uint8_t cdb[10], in[4096], *out;
	bool ok;
	uint32_t bs;

	if (!raw_connect(&r))
		return false;
	r.cut = cut;
	r.pause = hostile_pause;
	ok = raw_login(&r, "iqn.2026-11.local.test:cut", keys, &answer);
	raw_pdu_free(&answer);
	if (!ok || !raw_ping(&r) || raw_run(&r, inquiry, sizeof(inquiry), NULL, 0, in, 96) != 0 ||
	    !(bs = block_size(&r))) {
		raw_close(&r);
		return hostile_fail("cut at %u: login or INQUIRY failed", cut);
	}
	out = malloc(8 * bs);
	for (uint32_t i = 0; i < 8 * bs; i++)
		out[i] = (uint8_t)hostile_random();
	raw_rw10(cdb, true, 64, 8);
	ok = raw_run(&r, cdb, 10, out, 8 * bs, NULL, 0) == 0;
	/* one block as immediate data over the second of them */
	raw_rw10(cdb, true, 65, 1);
	memset(out + bs, (int)cut, bs);
	raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_WRITE, bs, out + bs, bs);
	ok = raw_send(&r, &b) && finished_well(&r) && ok;
	if (bs == BLOCK) {
		raw_rw10(cdb, false, 64, 8);
		ok = raw_run(&r, cdb, 10, NULL, 0, in, 8 * BLOCK) == 0 &&
		     memcmp(in, out, 8 * BLOCK) == 0 && ok;
	}
	ok = raw_logout(&r) && ok;
	raw_close(&r);
	free(out);
	return ok || hostile_fail("cut at %u: data or logout went wrong", cut);
}

/* Each PDU in two segments: in the header, at its end, in the data, in the padding. */
static bool cut_everywhere(void)
{
	for (unsigned cut = 1; cut <= 640; cut++)
		if (!whole_session(cut, NULL))
			return false;
	return true;
}

static bool cut_with_digests(void)
{
	static const char *const keys[] = {"HeaderDigest=CRC32C,None", "DataDigest=CRC32C,None",
					   NULL};

	for (unsigned cut = 1; cut <= 640; cut += cut < 60 ? 1 : 7)
		if (!whole_session(cut, keys))
			return false;
	return true;
}

/* The bytes of a login, or of a WRITE with immediate data. */
static void some_pdus(struct raw *r, struct buf *b, bool login)
{
	static const char keys[] =
		"InitiatorName=iqn.2026-11.local.test:part\0SessionType=Discovery";
	uint8_t cdb[10], data[BLOCK] = {0}, *h;

	if (login) {
		h = raw_put(b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE,
			    ISCSI_LOGIN_TRANSIT | 1 << 2 | 3, keys, sizeof(keys));
		h[LOGIN_ISID] = 0x80;
		return;
	}
	raw_rw10(cdb, true, 128, 1);
	raw_put_command(r, b, cdb, 10, ISCSI_CMD_WRITE, BLOCK, data, BLOCK);
}

/* The peer is gone in the middle of a PDU, by turns with FIN and RST. */
static bool end_everywhere(bool login)
{
	size_t total = 1;

	for (size_t n = 0; n < total; n++) {
		struct buf b = {0};
		struct raw r;
		bool ok = login ? raw_connect(&r) : raw_open(&r, 2);

		if (!ok)
			return hostile_fail("no connection after %zu", n);
		some_pdus(&r, &b, login);
		total = b.len;
		ok = raw_send_bytes(&r, b.data, n);
		buf_free(&b);
		if (n % 2) {
			raw_reset(&r);
			continue;
		}
		shutdown(r.fd, SHUT_WR);
		ok = raw_drain(&r) && ok;
		raw_close(&r);
		if (!ok)
			return hostile_fail("ended after %zu bytes", n);
	}
	return true;
}

static bool end_in_login(void)
{
	return end_everywhere(true);
}

static bool end_in_command(void)
{
	return end_everywhere(false);
}

/* Sends random bytes; the target is to close once we have no more to say. */
static bool garbage(bool logged_in)
{
	static uint8_t noise[16384];

	for (int i = 0; i < 150; i++) {
		size_t n = 1 + hostile_random() % sizeof(noise);
		struct raw r;

		if (!(logged_in ? raw_open(&r, 2) : raw_connect(&r)))
			return hostile_fail("no connection in round %d", i);
		for (size_t k = 0; k < n; k++)
			noise[k] = (uint8_t)(hostile_random() >> 24);
		raw_send_bytes(&r, noise, n); /* the target may have closed already */
		shutdown(r.fd, SHUT_WR);
		if (!raw_drain(&r)) {
			raw_close(&r);
			return hostile_fail("in round %d", i);
		}
		raw_close(&r);
	}
	return true;
}

static bool garbage_first(void)
{
	return garbage(false);
}

static bool garbage_after_login(void)
{
	return garbage(true);
}

/* Good PDUs with some bytes of the header changed, the CDB excepted: other tests need the disk. */
static bool changed_headers(void)
{
	for (int i = 0; i < 1500; i++) {
		struct buf b = {0};
		struct raw r;
		bool ok;

		if (!raw_open(&r, 2))
			return hostile_fail("no login in round %d", i);
		some_pdus(&r, &b, i % 4 == 0);
		for (uint64_t k = 0, n = 1 + hostile_random() % 4; k < n; k++)
			b.data[hostile_random() % CMD_CDB] = (uint8_t)(hostile_random() >> 24);
		/* No reset of LUN or target: that would hit the others rightly. */
		if ((b.data[0] & ISCSI_OPCODE_MASK) == ISCSI_TMF_REQUEST)
			b.data[1] = ISCSI_FINAL | TMF_ABORT_TASK;
		raw_send_bytes(&r, b.data, b.len);
		buf_free(&b);
		shutdown(r.fd, SHUT_WR);
		ok = raw_drain(&r);
		raw_close(&r);
		if (!ok)
			return hostile_fail("in round %d", i);
	}
	return true;
}

/* A hundred READs in one segment. */
static bool many_at_once(void)
{
	struct buf b = {0};
	struct raw r;
	uint8_t cdb[10];
	unsigned answered = 0;

	if (!raw_open(&r, 2))
		return false;
	/* Not beyond MaxCmdSN: a small window would rightly ignore the rest. */
	for (unsigned i = 0; i < 16; i++) {
		raw_rw10(cdb, false, i, 1);
		raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_READ, BLOCK, NULL, 0);
	}
	raw_send(&r, &b);
	while (answered < 16) {
		struct pdu p;

		if (raw_recv(&r, &p) != RAW_PDU)
			break;
		answered += p.bhs[0] == ISCSI_SCSI_RESPONSE ||
			    (p.bhs[0] == ISCSI_DATA_IN && p.bhs[1] & ISCSI_DATA_IN_STATUS);
		raw_pdu_free(&p);
	}
	raw_close(&r);
	return answered == 16 || hostile_fail("%u of 16 commands were answered", answered);
}

/* Connections that say nothing, half a login, or nothing more after it. */
static bool half_open(void)
{
	struct raw r[96];
	bool ok = true;

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
		struct buf b = {0};

		/* A target may refuse so many; it may not refuse the one that means it. */
		if (!raw_connect(&r[i]))
			continue;
		some_pdus(&r[i], &b, true);
		raw_send_bytes(&r[i], b.data, i % 3 * 30);
		buf_free(&b);
	}
	for (int i = 0; i < 3 && ok; i++) {
		struct raw newcomer;

		ok = raw_open(&newcomer, 3) && raw_ping(&newcomer);
		raw_close(&newcomer);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		raw_close(&r[i]);
	return ok || hostile_fail("a good login does not come through");
}

static bool many_sessions(void)
{
	struct raw r[48];
	unsigned good = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		if (!raw_open(&r[i], 100 + i))
			hostile_fail("session %u is not let in", i);
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		good += r[i].fd >= 0 && raw_ping(&r[i]) && block_size(&r[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		raw_close(&r[i]);
	return good == ARRAY_SIZE(r) || hostile_fail("%u sessions are served", good);
}

const struct attack stream_attacks[] = {
	{"every PDU cut at every byte", cut_everywhere},
	{"every PDU cut, with digests", cut_with_digests},
	{"the peer ends inside a login", end_in_login},
	{"the peer ends inside a command", end_in_command},
	{"garbage", garbage_first},
	{"garbage after login", garbage_after_login},
	{"changed headers", changed_headers},
	{"many PDUs in one segment", many_at_once},
	{"half-open connections", half_open},
	{"many sessions", many_sessions},
	{NULL, NULL},
};
