/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An initiator that reserves: one login, one command; prints the SCSI status.
 *
 * usage: reserver HOST PORT IQN LUN N COMMAND...
 *
 * N, 1 to 9, is the initiator. COMMAND is one of: register KEY NEW (with APTPL), reserve KEY (for
 * exclusive access), preempt KEY OLD, move KEY NEW TO (to initiator TO, and unregisters), read,
 * write.
 *
 * abort: N + 1 preempts N amid a write; prints the status of that, of the write, of another write
 * by N, and of a read by N + 1 with its first byte.
 *
 * swap: N and N + 1 hand the reservation to and fro until the connection ends; prints who had it
 * last and who, perhaps, has got it since.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "tests/iscsi/raw.h"

enum { REGISTER = 0, RESERVE = 1, PREEMPT = 4, PREEMPT_AND_ABORT = 5, MOVE = 7 };

#define EXCLUSIVE_ACCESS 3
#define ISID		 0x76737472

static bool log_in(struct raw *r, unsigned n)
{
	raw_target.isid = ISID;
	return raw_open(r, n);
}

static int pr_out(struct raw *r, uint8_t action, const uint8_t *list, uint32_t len)
{
	uint8_t cdb[10] = {0x5f, action, EXCLUSIVE_ACCESS};
	put_be32(cdb + 5, len);
	return raw_run(r, cdb, sizeof(cdb), list, len, NULL, 0);
}

static int simple(struct raw *r, uint8_t action, uint64_t key, uint64_t new_key)
{
	uint8_t list[24] = {0};
	put_be64(list, key);
	put_be64(list + 8, new_key);
	list[20] = action == REGISTER ? 0x01 : 0; /* APTPL */
	return pr_out(r, action, list, sizeof(list));
}

static int move(struct raw *r, uint64_t key, uint64_t new_key, unsigned to)
{
	uint8_t list[24 + 100] = {0};
	char *name = (char *)list + 28;
	int n = snprintf(name, 96, "iqn.2026-11.local.test:client%u,i,0x80%08x00", to, ISID);
	put_be64(list, key);
	put_be64(list + 8, new_key);
	list[17] = 0x02 | 0x01; /* UNREG, APTPL */
	put_be16(list + 18, 1);
	list[24] = 0x45; /* a port of iSCSI */
	put_be16(list + 26, (uint16_t)((n + 4) & ~3));
	put_be32(list + 20, 4 + ((uint32_t)(n + 4) & ~3u));
	return pr_out(r, MOVE, list, 24 + get_be32(list + 20));
}

static int rw(struct raw *r, bool write)
{
	uint8_t cdb[10], block[512] = {0};
	raw_rw10(cdb, write, 0, 1);
	return write ? raw_run(r, cdb, sizeof(cdb), block, sizeof(block), NULL, 0)
		     : raw_run(r, cdb, sizeof(cdb), NULL, 0, block, sizeof(block));
}

/* N + 1 preempts N, which has a write under way whose data the target waits for: the write is never
 * done, although its data comes after all. */
static int abort_write(unsigned first)
{
	uint8_t cdb[10], block[512];
	struct pdu r2t = {0}, end = {0};
	struct buf b = {0};
	struct raw r[2];
	uint8_t *h;
	int status;

	memset(block, 0xff, sizeof(block));
	for (unsigned i = 0; i < 2; i++)
		if (!log_in(&r[i], first + i))
			return 1;
	rw(&r[0], false); /* takes the unit attentions */
	raw_rw10(cdb, true, 0, 1);
	raw_put_command(&r[0], &b, cdb, sizeof(cdb), ISCSI_FINAL | ISCSI_CMD_WRITE, sizeof(block),
			NULL, 0);
	if (!raw_send(&r[0], &b) || raw_recv(&r[0], &r2t) != RAW_PDU || r2t.bhs[0] != ISCSI_R2T)
		return 1;
	status = simple(&r[1], PREEMPT_AND_ABORT, first + 1, first);
	if (raw_recv(&r[0], &end) != RAW_PDU || end.bhs[0] != ISCSI_SCSI_RESPONSE)
		return 1;
	h = raw_put(&b, ISCSI_DATA_OUT, ISCSI_FINAL, block, sizeof(block));
	memcpy(h + PDU_LUN, r2t.bhs + PDU_LUN, 8);
	memcpy(h + PDU_ITT, r2t.bhs + PDU_ITT, 4);
	memcpy(h + PDU_TTT, r2t.bhs + PDU_TTT, 4);
	if (!raw_send(&r[0], &b))
		return 1;
	printf("%d %d %d", status, end.bhs[RESP_STATUS], rw(&r[0], true));
	raw_rw10(cdb, false, 0, 1);
	status = raw_run(&r[1], cdb, sizeof(cdb), NULL, 0, block, sizeof(block));
	printf(" %d %d\n", status, block[0]);
	raw_pdu_free(&end);
	raw_pdu_free(&r2t);
	buf_free(&b);
	raw_close(&r[0]);
	raw_close(&r[1]);
	return 0;
}

/* Keys are the initiators' numbers. */
static int swap(unsigned first)
{
	struct raw r[2];
	unsigned has = 0;

	for (unsigned i = 0; i < 2; i++)
		if (!log_in(&r[i], first + i))
			return 1;
	for (unsigned n = 0;; n++) {
		if (n == 1) { /* somebody waits for the first one to know that it works */
			puts("started");
			fflush(stdout);
		}
		if (move(&r[has], first + has, first + !has, first + !has) != 0)
			break;
		has = !has;
	}
	printf("%u %u\n", first + has, first + !has);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t key = argc > 7 ? strtoull(argv[7], NULL, 0) : 0;
	uint64_t other = argc > 8 ? strtoull(argv[8], NULL, 0) : 0;
	unsigned n;
	struct raw r;

	if (argc < 7)
		return 2;
	raw_target.host = argv[1];
	raw_target.port = argv[2];
	raw_target.iqn = argv[3];
	raw_target.lun = (uint8_t)atoi(argv[4]);
	n = (unsigned)atoi(argv[5]);
	if (strcmp(argv[6], "swap") == 0)
		return swap(n);
	if (strcmp(argv[6], "abort") == 0)
		return abort_write(n);
	if (!log_in(&r, n)) {
		puts("no login");
		return 1;
	}
	if (strcmp(argv[6], "register") == 0)
		printf("%d\n", simple(&r, REGISTER, key, other));
	else if (strcmp(argv[6], "reserve") == 0)
		printf("%d\n", simple(&r, RESERVE, key, 0));
	else if (strcmp(argv[6], "preempt") == 0)
		printf("%d\n", simple(&r, PREEMPT, key, other));
	else if (strcmp(argv[6], "move") == 0 && argc > 9)
		printf("%d\n", move(&r, key, other, (unsigned)atoi(argv[9])));
	else
		printf("%d\n", rw(&r, strcmp(argv[6], "write") == 0));
	raw_close(&r);
	return 0;
}
