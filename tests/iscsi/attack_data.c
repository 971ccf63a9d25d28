/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks in full feature phase: numbers, tags, lengths and data that are not what was agreed. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/iscsi/hostile.h"

#define BLOCK 512

/* After whatever was sent: the session answers a ping, or has been closed. */
static bool answers_or_closed(struct raw *r, const char *what)
{
	if (!raw_ping(r)) {
		shutdown(r->fd, SHUT_WR);
		if (!raw_drain(r))
			return hostile_fail("%s: hangs", what);
	}
	raw_close(r);
	return true;
}

/* Reserved opcodes, and those that only targets send. */
static bool opcodes(void)
{
	for (unsigned op = 0; op < 64; op++) {
		struct buf b = {0};
		struct raw r;

		if (op == ISCSI_TMF_REQUEST || op == ISCSI_LOGOUT_REQUEST)
			continue;
		if (!raw_open(&r, 2))
			return false;
		raw_put_next(&r, &b, (uint8_t)op | ISCSI_IMMEDIATE, ISCSI_FINAL, NULL, 0);
		raw_send(&r, &b);
		if (!answers_or_closed(&r, "opcode"))
			return hostile_fail("0x%02x", op);
	}
	return true;
}

/* Each field of a WRITE's header at its limits. */
static bool write_headers(void)
{
	static const struct {
		const char *name;
		unsigned at, width;
		uint32_t value;
	} cases[] = {
		{"AHS length", PDU_AHS_LEN, 1, 0xff},
		{"data length", PDU_DATA_LEN, 3, 0xffffff},
		{"data length beyond what was agreed", PDU_DATA_LEN, 3, 0x800000},
		{"no expected length", CMD_EDTL, 4, 0},
		{"short expected length", CMD_EDTL, 4, 1},
		{"huge expected length", CMD_EDTL, 4, 0xffffffff},
		{"reserved ITT", PDU_ITT, 4, ISCSI_NO_TAG},
		{"CmdSN before the window", PDU_CMDSN, 4, 0},
		{"CmdSN far before the window", PDU_CMDSN, 4, 0x80000000},
		{"CmdSN after the window", PDU_CMDSN, 4, 0x10000},
		{"ExpStatSN from nowhere", PDU_EXPSTATSN, 4, 0x12345678},
		{"LUN that does not exist", PDU_LUN, 2, 0x3fff},
		{"LUN of a reserved kind", PDU_LUN, 4, 0xffffffff},
		{"read and write at once", 1, 1, 0xe1},
		{"no flags", 1, 1, 0},
		{"blocks beyond the data", CMD_CDB + 7, 2, 0xffff},
		{"beyond the end of the disk", CMD_CDB + 2, 4, 0xffffffff},
		{"an unknown CDB", CMD_CDB, 1, 0xff},
		{"a variable-length CDB", CMD_CDB, 1, 0x7f},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t cdb[10], data[BLOCK] = {0}, *h;
		struct buf b = {0};
		struct raw r;

		if (!raw_open(&r, 2))
			return false;
		raw_rw10(cdb, true, 128, 1);
		h = raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_WRITE, BLOCK, data, BLOCK);
		for (unsigned k = 0; k < cases[i].width; k++)
			h[cases[i].at + k] =
				(uint8_t)(cases[i].value >> 8 * (cases[i].width - 1 - k));
		raw_send(&r, &b);
		/* What promises more bytes than came waits for them: end it. */
		if (cases[i].at == PDU_AHS_LEN || cases[i].at == PDU_DATA_LEN)
			shutdown(r.fd, SHUT_WR);
		if (!answers_or_closed(&r, cases[i].name))
			return false;
	}
	return true;
}

/* Starts a WRITE of some blocks without data; its R2T goes to *p. */
static bool start_write(struct raw *r, struct pdu *p, uint16_t blocks)
{
	struct buf b = {0};
	uint8_t cdb[10];

	raw_rw10(cdb, true, 128, blocks);
	raw_put_command(r, &b, cdb, 10, ISCSI_CMD_WRITE, blocks * BLOCK, NULL, 0);
	return raw_send(r, &b) && raw_recv(r, p) == RAW_PDU && p->bhs[0] == ISCSI_R2T;
}

/* Data-Out that answers no R2T, or not as it asked. */
static bool data_out(void)
{
	static const struct {
		const char *name;
		unsigned at;
		uint32_t value;
		uint8_t flags;
		uint16_t len;
	} cases[] = {
		{"unknown ITT", PDU_ITT, 0xdeadbeef, ISCSI_FINAL, 8 * BLOCK},
		{"unknown TTT", PDU_TTT, 0xdeadbeef, ISCSI_FINAL, 8 * BLOCK},
		{"unsolicited", PDU_TTT, ISCSI_NO_TAG, ISCSI_FINAL, 8 * BLOCK},
		{"DataSN not in order", DATA_SN, 7, ISCSI_FINAL, 8 * BLOCK},
		{"offset beyond the burst", DATA_OFFSET, 4 * BLOCK, ISCSI_FINAL, 8 * BLOCK},
		{"offset beyond everything", DATA_OFFSET, 0xffffff00, ISCSI_FINAL, 8 * BLOCK},
		{"more than was asked for", DATA_OFFSET, 0, ISCSI_FINAL, 9 * BLOCK},
		{"less, and final", DATA_OFFSET, 0, ISCSI_FINAL, BLOCK},
		{"no data, and final", DATA_OFFSET, 0, ISCSI_FINAL, 0},
		{"odd length", DATA_OFFSET, 0, ISCSI_FINAL, 7},
		{"all of it, not final", DATA_OFFSET, 0, 0, 8 * BLOCK},
	};
	static uint8_t data[9 * BLOCK];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = {0};
		struct pdu p = {0};
		struct raw r;
		uint8_t *h;

		if (!raw_open(&r, 2) || !start_write(&r, &p, 8))
			return hostile_fail("no R2T for a WRITE without data");
		h = raw_put(&b, ISCSI_DATA_OUT, cases[i].flags, data, cases[i].len);
		memcpy(h + PDU_LUN, p.bhs + PDU_LUN, 8);
		memcpy(h + PDU_ITT, p.bhs + PDU_ITT, 4);
		memcpy(h + PDU_TTT, p.bhs + PDU_TTT, 4);
		put_be32(h + PDU_EXPSTATSN, r.expstatsn);
		put_be32(h + cases[i].at, cases[i].value);
		raw_pdu_free(&p);
		/* Twice: the second one belongs to nothing any more. */
		raw_send_bytes(&r, b.data, b.len);
		raw_send(&r, &b);
		if (!answers_or_closed(&r, cases[i].name))
			return false;
	}
	return true;
}

/* WRITEs whose data never come keep nobody else from writing. */
static bool stalled_writers(void)
{
	struct raw r[8], other;
	uint8_t cdb[10], data[BLOCK] = {0};
	bool ok = true;

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
		struct buf b = {0};

		if (!raw_open(&r[i], 20 + i))
			return false;
		for (unsigned k = 0; k < 16; k++) {
			raw_rw10(cdb, true, 128, 1024);
			raw_put_command(&r[i], &b, cdb, 10, ISCSI_CMD_WRITE, 1024 * BLOCK, NULL, 0);
		}
		raw_send(&r[i], &b);
	}
	raw_rw10(cdb, true, 128, 1);
	ok = raw_open(&other, 3) && raw_run(&other, cdb, 10, data, BLOCK, NULL, 0) == 0;
	raw_close(&other);
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		raw_close(&r[i]);
	return ok || hostile_fail("another session cannot write");
}

/* A command of 8 MiB, and the first answer: TASK SET FULL (true), or else *begun. */
static bool refused(struct raw *r, bool write, bool *begun)
{
	struct pdu p = {0};
	struct buf b = {0};
	uint8_t cdb[16] = {write ? 0x8a : 0x88, [9] = 128, [12] = 0x40}; /* 0x4000 blocks */
	bool full;

	raw_put_command(r, &b, cdb, 16, write ? ISCSI_CMD_WRITE : ISCSI_CMD_READ, 8u << 20, NULL,
			0);
	if (!raw_send(r, &b) || raw_recv(r, &p) != RAW_PDU)
		return false;
	*begun = p.bhs[0] == (write ? ISCSI_R2T : ISCSI_DATA_IN);
	full = p.bhs[0] == ISCSI_SCSI_RESPONSE && p.bhs[RESP_STATUS] == 0x28;
	raw_pdu_free(&p);
	return full;
}

/* Initiators that begin what is large, as many as there is memory for, and move no data: others are
 * refused what is large, not what is small. Then the first are dropped, so that the others get
 * their turn. */
static bool clinging(bool write, unsigned max)
{
	static uint8_t data[1 << 20];
	struct raw r[40], other;
	unsigned n = 0, begun_n = 0, dropped = 0;
	bool begun = true, full = false;
	static const uint8_t ready[6] = {0};
	uint8_t cdb[10];

	for (; n < ARRAY_SIZE(r) && !full; n++) {
		if (!raw_open(&r[n], 20 + n) || raw_run(&r[n], ready, 6, NULL, 0, NULL, 0))
			return false;
		begun = false;
		full = refused(&r[n], write, &begun);
		/* Not yet, while sockets make room for more. */
		for (int i = 0; i < 10 && full; i++) {
			poll(NULL, 0, 100);
			full = refused(&r[n], write, &begun);
		}
		begun_n += begun;
	}
	if (!full || begun_n != n - 1 || begun_n > max)
		return hostile_fail("%u of %u commands of 8 MiB begun", begun_n, n);
	raw_rw10(cdb, true, 128, sizeof(data) / BLOCK);
	if (!raw_open(&other, 3) || raw_run(&other, cdb, 10, data, sizeof(data), NULL, 0))
		return hostile_fail("another session cannot write");
	do
		full = refused(&other, write, &begun);
	while (full && !poll(NULL, 0, 100));
	for (unsigned i = 0; i < n; i++) {
		dropped += !raw_ping(&r[i]);
		raw_close(&r[i]);
	}
	raw_close(&other);
	return (begun && dropped >= 1 && dropped <= begun_n) ||
	       hostile_fail("%u of %u dropped, and then %s begun", dropped, begun_n,
			    begun ? "one more is" : "none is");
}

static bool clinging_writers(void)
{
	return clinging(true, 8);
}

static bool clinging_readers(void)
{
	return clinging(false, 40);
}

/* The window bounds commands, but not those for immediate delivery (RFC 7143, 4.2.2.1): WRITEs of
 * one block each whose data never come. The target may reject them, or end the session. */
static bool immediate_without_end(void)
{
	unsigned long before = hostile_target_kib(), after;
	struct raw r;
	bool open;

	if (!raw_open(&r, 2))
		return false;
	open = true;
	for (int i = 0; i < 2000 && open; i++) {
		struct buf b = {0};

		for (int k = 0; k < 100; k++) {
			uint8_t cdb[10], *h;

			raw_rw10(cdb, true, 128, 1);
			h = raw_put_next(&r, &b, ISCSI_SCSI_COMMAND | ISCSI_IMMEDIATE,
					 ISCSI_FINAL | ISCSI_CMD_WRITE | 1, NULL, 0);
			h[PDU_LUN + 1] = raw_target.lun;
			put_be32(h + CMD_EDTL, BLOCK);
			memcpy(h + CMD_CDB, cdb, sizeof(cdb));
		}
		open = raw_send(&r, &b) && raw_skip(&r);
	}
	after = hostile_target_kib();
	raw_close(&r);
	return after < before + 65536 ||
	       hostile_fail("200,000 of them: memory grew from %lu to %lu KiB", before, after);
}

/* Half of a block each, behind and before data that is nobody's: it may not keep what lies around
 * it. */
static bool half_blocks(void)
{
	static uint8_t padding[200 << 10];
	unsigned long before = hostile_target_kib(), after;
	struct raw r;
	bool ok = raw_open(&r, 2);

	for (int i = 0; i < 120 && ok; i++) {
		struct buf b = {0};
		uint8_t cdb[10], *h;

		raw_rw10(cdb, true, 128, 1);
		raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_WRITE, BLOCK, padding, BLOCK / 2);
		for (int k = 0; k < 6; k++) {
			h = raw_put_next(&r, &b, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL,
					 padding, sizeof(padding));
			put_be32(h + PDU_ITT, ISCSI_NO_TAG);
			put_be32(h + PDU_TTT, ISCSI_NO_TAG);
		}
		ok = raw_send(&r, &b) && raw_skip(&r);
	}
	ok = ok && raw_ping(&r);
	after = hostile_target_kib();
	raw_reset(&r);
	return ok && (after < before + 32768 ||
		      hostile_fail("30 KiB: memory grew from %lu to %lu KiB", before, after));
}

/* A session whose commands may send all of their data unasked. */
static bool open_unasked(struct raw *r, unsigned n)
{
	char initiator[64], target[256];
	const char *keys[] = {initiator,
			      target,
			      "SessionType=Normal",
			      "InitialR2T=No",
			      "MaxBurstLength=262144",
			      "FirstBurstLength=262144",
			      NULL};
	struct pdu answer = {0};
	bool ok;

	snprintf(initiator, sizeof(initiator), "InitiatorName=iqn.2026-11.local.test:client%u", n);
	snprintf(target, sizeof(target), "TargetName=%s", raw_target.iqn);
	ok = raw_connect(r) && raw_login_step(r, ISCSI_LOGIN_TRANSIT | 1 << 2 | 3, keys, &answer) &&
	     raw_has_key(&answer, "FirstBurstLength=262144");
	raw_pdu_free(&answer);
	return ok;
}

/* Commands that promise data, and then, unasked, all of that but its last block: the data may not
 * be kept for all of them. */
static bool unsolicited_without_end(void)
{
	static uint8_t data[(256 << 10) - BLOCK];
	unsigned long before = hostile_target_kib(), after;
	uint32_t burst = sizeof(data) + BLOCK;
	struct raw r[5];
	bool ok = true;

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		ok = open_unasked(&r[i], 40 + i) && ok;
	for (unsigned i = 0; i < ARRAY_SIZE(r) && ok; i++) {
		uint32_t first = r[i].itt + 1;
		struct buf b = {0};

		for (unsigned k = 0; k < 100; k++) {
			uint8_t *h = raw_put_next(&r[i], &b, ISCSI_SCSI_COMMAND | ISCSI_IMMEDIATE,
						  ISCSI_CMD_WRITE | 1, NULL, 0);

			h[PDU_LUN + 1] = raw_target.lun;
			put_be32(h + CMD_EDTL, burst);
			raw_rw10(h + CMD_CDB, true, 128, (uint16_t)(burst / BLOCK));
		}
		ok = raw_send(&r[i], &b);
		for (unsigned k = 0; k < 100 && ok; k++) {
			uint8_t *h = raw_put(&b, ISCSI_DATA_OUT, 0, data, sizeof(data));

			h[PDU_LUN + 1] = raw_target.lun;
			put_be32(h + PDU_ITT, first + k);
			put_be32(h + PDU_TTT, ISCSI_NO_TAG);
			put_be32(h + PDU_EXPSTATSN, r[i].expstatsn);
			ok = raw_send(&r[i], &b) && raw_skip(&r[i]);
		}
		ok = ok && raw_ping(&r[i]);
	}
	after = hostile_target_kib();
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		raw_close(&r[i]);
	if (!ok)
		return hostile_fail("the target has closed");
	return after < before + 65536 ||
	       hostile_fail("125 MiB of it: memory grew from %lu to %lu KiB", before, after);
}

/* READs whose data nobody takes neither fill the memory nor delay others. */
static bool stalled_readers(void)
{
	unsigned long before = hostile_target_kib(), after;
	struct raw r[8];
	uint8_t cdb[10];

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
		struct buf b = {0};

		if (!raw_open(&r[i], 20 + i))
			return false;
		for (unsigned k = 0; k < 32; k++) {
			raw_rw10(cdb, false, 0, 8192);
			raw_put_command(&r[i], &b, cdb, 10, ISCSI_CMD_READ, 8192 * BLOCK, NULL, 0);
		}
		raw_send(&r[i], &b);
	}
	for (int i = 0; i < 50; i++)
		hostile_pause();
	after = hostile_target_kib();
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		raw_reset(&r[i]);
	return after < before + 131072 ||
	       hostile_fail("1 GiB that nobody reads: memory grew from %lu to %lu KiB", before,
			    after);
}

/* A task aborted before its data come; they come all the same. */
static bool aborted_write(void)
{
	static uint8_t data[8 * BLOCK];
	struct buf b = {0};
	struct pdu p = {0}, answer = {0};
	struct raw r;
	uint8_t *h;
	bool ok;

	if (!raw_open(&r, 2) || !start_write(&r, &p, 8))
		return false;
	h = raw_put_next(&r, &b, ISCSI_TMF_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL | TMF_ABORT_TASK,
			 NULL, 0);
	memcpy(h + PDU_LUN, p.bhs + PDU_LUN, 8);
	memcpy(h + TMF_RTT, p.bhs + PDU_ITT, 4);
	put_be32(h + TMF_REFCMDSN, r.cmdsn - 1);
	h = raw_put(&b, ISCSI_DATA_OUT, ISCSI_FINAL, data, sizeof(data));
	memcpy(h + PDU_LUN, p.bhs + PDU_LUN, 8);
	memcpy(h + PDU_ITT, p.bhs + PDU_ITT, 4);
	memcpy(h + PDU_TTT, p.bhs + PDU_TTT, 4);
	raw_pdu_free(&p);
	/* A target may wait for the data that it has asked for before it answers (4.2.3.3). */
	ok = raw_send(&r, &b) && raw_recv(&r, &answer) == RAW_PDU &&
	     answer.bhs[0] == ISCSI_TMF_RESPONSE && answer.bhs[TMF_RESPONSE] == TMF_COMPLETE;
	raw_pdu_free(&answer);
	if (!ok) {
		raw_close(&r);
		return hostile_fail("ABORT TASK is not answered by function complete");
	}
	return answers_or_closed(&r, "data after an abort");
}

static bool aborted_nothing(void)
{
	for (unsigned f = 0; f < 16; f++) {
		struct buf b = {0};
		struct raw r;
		uint8_t *h;

		/* resets would hit the others, and rightly */
		if (f >= TMF_LUN_RESET && f <= TMF_TARGET_COLD_RESET)
			continue;
		if (!raw_open(&r, 2))
			return false;
		h = raw_put_next(&r, &b, ISCSI_TMF_REQUEST | ISCSI_IMMEDIATE,
				 (uint8_t)(ISCSI_FINAL | f), NULL, 0);
		put_be32(h + TMF_RTT, 0xdeadbeef);
		raw_send(&r, &b);
		if (!answers_or_closed(&r, "task management"))
			return hostile_fail("function %u", f);
	}
	return true;
}

/* Digests: a wrong one is not taken: of a header, the connection ends; of data, a Reject or that
 * (RFC 7143, 7.8). */
static bool wrong_digest(void)
{
	static const char *const keys[] = {"HeaderDigest=CRC32C", "DataDigest=CRC32C", NULL};
	static const char data[] = "spoilt!";

	for (int in_data = 0; in_data < 2; in_data++) {
		struct buf b = {0};
		struct pdu p = {0};
		struct raw r;
		bool ok = raw_connect(&r) && raw_login(&r, "iqn.2026-11.local.test:crc", keys, &p);
		enum raw_event e;
		uint8_t *h;

		raw_pdu_free(&p);
		if (!ok || !r.header_digest || !r.data_digest || !raw_ping(&r)) {
			raw_close(&r);
			return hostile_fail("CRC32C is not agreed to, or does not work");
		}
		h = raw_put_next(&r, &b, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL, data,
				 sizeof(data));
		put_be32(h + PDU_TTT, ISCSI_NO_TAG);
		raw_add_digests(&r, &b);
		b.data[in_data ? ISCSI_BHS + 4 : PDU_ITT] ^= 1;
		raw_send_bytes(&r, b.data, b.len);
		buf_free(&b);
		e = raw_recv(&r, &p);
		ok = e == RAW_CLOSED || (in_data && e == RAW_PDU && p.bhs[0] == ISCSI_REJECT);
		raw_pdu_free(&p);
		raw_close(&r);
		if (!ok)
			return hostile_fail("a wrong %s digest is taken",
					    in_data ? "data" : "header");
	}
	return true;
}

const struct attack data_attacks[] = {
	{"every opcode after login", opcodes},
	{"headers of a WRITE at their limits", write_headers},
	{"Data-Out that nobody asked for", data_out},
	{"WRITEs whose data never come", stalled_writers},
	{"large WRITEs whose data never come", clinging_writers},
	{"large READs whose data nobody takes", clinging_readers},
	{"immediate commands without end", immediate_without_end},
	{"READs whose data nobody takes", stalled_readers},
	{"an aborted WRITE", aborted_write},
	{"task management of what is not there", aborted_nothing},
	{"wrong digests", wrong_digest},
	{"halves of blocks amid much else", half_blocks},
	{"unsolicited data of many commands", unsolicited_without_end},
	{NULL, NULL},
};
