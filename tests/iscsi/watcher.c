/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One session that does what its standard input says, a line each, and answers in a line: what an
 * initiator gets to see of a target that changes.
 *   ready N      TEST UNIT READY of LUN N: "good", or sense key and code: "6 2900", and what
 *                INFORMATION says where that is valid: "3 1100 @17"
 *   settle N     INQUIRY, then the same until it is good
 *   luns         REPORT LUNS to LUN 0: the numbers
 *   capacity N   READ CAPACITY(10): the number of blocks, or the sense
 *   read, write, fua, verify, unmap N [LBA [COUNT]]
 *                up to 128 blocks of LUN N, one if not told: as ready; fua is a write, too
 *   atomic N [LBA [COUNT]]
 *                WRITE ATOMIC of other data than write's
 *   ask N        WRITE of block 0 without its data: "asked", for that, or as ready
 *   data         what was asked for: as ready
 *   sync N       SYNCHRONIZE CACHE: as ready
 *   ping         NOP-Out: "good" or "lost"
 *   sanitize N   SANITIZE, ten times over, in the background: as ready
 * usage: watcher HOST PORT IQN NUMBER      NUMBER: which initiator we are
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/iscsi/raw.h"

#define BLOCK  512
#define BLOCKS 128 /* of one command: what may come as immediate data */
#define ANSWER 40

static void sense_text(const struct pdu *p, char text[ANSWER])
{
	const uint8_t *sense = p->data + 2; /* behind its length */
	int n = snprintf(text, ANSWER, "%x %02x%02x", sense[2] & 0xf, sense[12], sense[13]);
	if (sense[0] & 0x80)
		snprintf(text + n, (size_t)(ANSWER - n), " @%u", get_be32(sense + 3));
}

static uint32_t asked_itt, asked_ttt;

/* What comes of a command, as in run(); "asked" when the target wants its data. */
static bool answered(struct raw *r, uint8_t *in, size_t in_len, char text[ANSWER])
{
	struct pdu p;

	strcpy(text, "lost");
	for (bool done = false; !done;) {
		uint8_t opcode;
		if (raw_recv(r, &p) != RAW_PDU)
			return false;
		opcode = p.bhs[0] & ISCSI_OPCODE_MASK;
		if (opcode == ISCSI_DATA_IN && in) {
			size_t at = get_be32(p.bhs + DATA_OFFSET);
			if (at < in_len)
				memcpy(in + at, p.data, p.len < in_len - at ? p.len : in_len - at);
			done = p.bhs[1] & ISCSI_DATA_IN_STATUS;
		} else if (opcode == ISCSI_SCSI_RESPONSE) {
			done = true;
		} else if (opcode == ISCSI_R2T) {
			asked_itt = get_be32(p.bhs + PDU_ITT);
			asked_ttt = get_be32(p.bhs + PDU_TTT);
			strcpy(text, "asked");
			raw_pdu_free(&p);
			return true;
		}
		if (done && p.bhs[RESP_STATUS] == 0)
			strcpy(text, "good");
		else if (done && p.len >= 2 + 14)
			sense_text(&p, text);
		raw_pdu_free(&p);
	}
	return true;
}

static void ask(struct raw *r, unsigned lun, char text[ANSWER])
{
	struct buf b = {0};
	uint8_t cdb[10];

	raw_rw10(cdb, true, 0, 1);
	raw_target.lun = (uint8_t)lun;
	raw_put_command(r, &b, cdb, sizeof(cdb), ISCSI_FINAL | ISCSI_CMD_WRITE, BLOCK, NULL, 0);
	strcpy(text, "lost");
	if (raw_send(r, &b))
		answered(r, NULL, 0, text);
}

static void give_data(struct raw *r, char text[ANSWER])
{
	static const uint8_t data[BLOCK] = {0xa5};
	struct buf b = {0};
	uint8_t *h = raw_put(&b, ISCSI_DATA_OUT, ISCSI_FINAL, data, sizeof(data));

	put_be32(h + PDU_ITT, asked_itt);
	put_be32(h + PDU_TTT, asked_ttt);
	strcpy(text, "lost");
	if (raw_send(r, &b))
		answered(r, NULL, 0, text);
}

/* Runs a command once. The answer is `text`: "good", sense, or "lost"; data goes to `in`. */
static bool run(struct raw *r, unsigned lun, const uint8_t *cdb, size_t cdb_len, const void *out,
		size_t out_len, uint8_t *in, size_t in_len, char text[ANSWER])
{
	struct buf b = {0};
	uint8_t flags = ISCSI_FINAL;

	raw_target.lun = (uint8_t)lun;
	if (in_len)
		flags |= ISCSI_CMD_READ;
	if (out)
		flags |= ISCSI_CMD_WRITE;
	raw_put_command(r, &b, cdb, cdb_len, flags, (uint32_t)(out ? out_len : in_len), out,
			out_len);
	strcpy(text, "lost");
	if (!raw_send(r, &b))
		return false;
	return answered(r, in, in_len, text);
}

static void luns(struct raw *r)
{
	static const uint8_t cdb[12] = {0xa0, [8] = 0x08};
	uint8_t in[2048] = {0};
	char text[ANSWER];
	uint32_t n;

	run(r, 0, cdb, sizeof(cdb), NULL, 0, in, sizeof(in), text);
	if (strcmp(text, "good")) {
		puts(text);
		return;
	}
	n = get_be32(in) / 8;
	for (uint32_t i = 0; i < n && i < 255; i++)
		printf("%s%u", i ? " " : "", in[8 + 8 * i + 1]);
	putchar('\n');
}

/* False: no command for blocks. */
static bool blocks(struct raw *r, const char *verb, unsigned lun, unsigned lba, unsigned count,
		   char text[ANSWER])
{
	static const struct {
		const char *verb;
		uint8_t opcode, flags;
	} verbs[] = {
		{"read", 0x28, 0},
		{"write", 0x2a, 0},
		{"fua", 0x2a, 0x08},
		{"verify", 0x2f, 0},
	};
	static uint8_t data[BLOCKS * BLOCK];
	uint8_t cdb[10], atomic[16] = {0x9c}, list[24] = {[1] = 22, [3] = 16};
	size_t len = (size_t)count * BLOCK, i = 0;

	if (strcmp(verb, "unmap") == 0) {
		static const uint8_t unmap[10] = {0x42, [8] = sizeof(list)};
		put_be64(list + 8, lba);
		put_be32(list + 16, count);
		run(r, lun, unmap, sizeof(unmap), list, sizeof(list), NULL, 0, text);
		return true;
	}
	if (strcmp(verb, "atomic") == 0 && count <= BLOCKS) {
		memset(data, 0x5a, len);
		put_be64(atomic + 2, lba);
		put_be16(atomic + 12, (uint16_t)count);
		run(r, lun, atomic, sizeof(atomic), data, len, NULL, 0, text);
		return true;
	}
	while (i < ARRAY_SIZE(verbs) && strcmp(verb, verbs[i].verb))
		i++;
	if (i == ARRAY_SIZE(verbs) || count > BLOCKS)
		return false;
	raw_rw10(cdb, false, lba, (uint16_t)count);
	cdb[0] = verbs[i].opcode;
	cdb[1] = verbs[i].flags;
	memset(data, 0xa5, len);
	if (cdb[0] == 0x28)
		run(r, lun, cdb, sizeof(cdb), NULL, 0, data, len, text);
	else
		run(r, lun, cdb, sizeof(cdb), cdb[0] == 0x2a ? data : NULL,
		    cdb[0] == 0x2a ? len : 0, NULL, 0, text);
	return true;
}

static void serve(struct raw *r, const char *verb, unsigned lun, unsigned lba, unsigned count)
{
	static const uint8_t ready[6] = {0}, capacity[10] = {0x25}, sync[10] = {0x35};
	uint8_t in[8];
	char text[ANSWER];

	if (strcmp(verb, "luns") == 0) {
		luns(r);
		return;
	}
	if (strcmp(verb, "ping") == 0) {
		strcpy(text, raw_ping(r) ? "good" : "lost");
	} else if (strcmp(verb, "capacity") == 0) {
		run(r, lun, capacity, sizeof(capacity), NULL, 0, in, sizeof(in), text);
		if (strcmp(text, "good") == 0) {
			printf("%u\n", get_be32(in) + 1);
			return;
		}
	} else if (strcmp(verb, "ask") == 0) {
		ask(r, lun, text);
	} else if (strcmp(verb, "data") == 0) {
		give_data(r, text);
	} else if (strcmp(verb, "sync") == 0) {
		run(r, lun, sync, sizeof(sync), NULL, 0, NULL, 0, text);
	} else if (strcmp(verb, "sanitize") == 0) {
		/* SBC-3, 5.24.2.2: IMMED, overwrite ten times by a pattern of four bytes */
		static const uint8_t list[BLOCK] = {10, [3] = 4};
		static const uint8_t overwrite[10] = {0x48, 0x81, [8] = 8};
		run(r, lun, overwrite, sizeof(overwrite), list, BLOCK, NULL, 0, text);
	} else if (!blocks(r, verb, lun, lba, count, text)) {
		static const uint8_t inquiry[6] = {0x12, [4] = sizeof(in)};
		bool settle = strcmp(verb, "settle") == 0;
		if (settle)
			run(r, lun, inquiry, sizeof(inquiry), NULL, 0, in, sizeof(in), text);
		for (int i = 0; i < 16; i++) {
			run(r, lun, ready, sizeof(ready), NULL, 0, NULL, 0, text);
			if (!settle || text[0] != '6')
				break;
		}
	}
	puts(text);
}

int main(int argc, char **argv)
{
	char line[80], verb[16];
	struct raw r;

	if (argc != 5) {
		fputs("usage: watcher HOST PORT IQN NUMBER\n", stderr);
		return 2;
	}
	raw_target.host = argv[1];
	raw_target.port = argv[2];
	raw_target.iqn = argv[3];
	if (!raw_open(&r, (unsigned)atoi(argv[4]))) {
		puts("no login");
		return 1;
	}
	puts("logged in");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned lun = 0, lba = 0, count = 1;
		if (sscanf(line, "%15s %u %u %u", verb, &lun, &lba, &count) < 1)
			continue;
		serve(&r, verb, lun, lba, count);
		fflush(stdout);
	}
	raw_close(&r);
	return 0;
}
