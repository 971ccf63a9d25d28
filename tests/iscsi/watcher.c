/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One session that does what its standard input says, a line each, and answers in a line: what an
 * initiator gets to see of a target that changes.
 *   ready N      TEST UNIT READY of LUN N: "good", or sense key and code: "6 2900"
 *   settle N     the same until it is good
 *   luns         REPORT LUNS to LUN 0: the numbers
 *   capacity N   READ CAPACITY(10): the number of blocks, or the sense
 *   write N      one block of LUN N: as ready
 *   sanitize N   SANITIZE, ten times over, in the background: as ready
 * usage: watcher HOST PORT IQN NUMBER      NUMBER: which initiator we are
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/iscsi/raw.h"

#define BLOCK 512

/* Runs a command once. The answer is `text`: "good", sense, or "lost"; data goes to `in`. */
static bool run(struct raw *r, unsigned lun, const uint8_t *cdb, size_t cdb_len, const void *out,
		uint8_t *in, size_t in_len, char text[16])
{
	struct buf b = {0};
	struct pdu p;
	uint8_t flags = ISCSI_FINAL;

	raw_target.lun = (uint8_t)lun;
	if (in_len)
		flags |= ISCSI_CMD_READ;
	if (out)
		flags |= ISCSI_CMD_WRITE;
	raw_put_command(r, &b, cdb, cdb_len, flags, (uint32_t)(out ? BLOCK : in_len), out,
			out ? BLOCK : 0);
	strcpy(text, "lost");
	if (!raw_send(r, &b))
		return false;
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
		}
		if (done && p.bhs[RESP_STATUS] == 0)
			strcpy(text, "good");
		else if (done && p.len >= 2 + 14)
			snprintf(text, 16, "%x %02x%02x", p.data[4] & 0xf, p.data[14], p.data[15]);
		raw_pdu_free(&p);
	}
	return true;
}

static void luns(struct raw *r)
{
	static const uint8_t cdb[12] = {0xa0, [8] = 0x08};
	uint8_t in[2048] = {0};
	char text[16];
	uint32_t n;

	run(r, 0, cdb, sizeof(cdb), NULL, in, sizeof(in), text);
	if (strcmp(text, "good")) {
		puts(text);
		return;
	}
	n = get_be32(in) / 8;
	for (uint32_t i = 0; i < n && i < 255; i++)
		printf("%s%u", i ? " " : "", in[8 + 8 * i + 1]);
	putchar('\n');
}

static void serve(struct raw *r, const char *verb, unsigned lun)
{
	static const uint8_t ready[6] = {0}, capacity[10] = {0x25};
	static const uint8_t block[BLOCK];
	uint8_t in[8], cdb[10];
	char text[16];

	if (strcmp(verb, "luns") == 0) {
		luns(r);
		return;
	}
	if (strcmp(verb, "capacity") == 0) {
		run(r, lun, capacity, sizeof(capacity), NULL, in, sizeof(in), text);
		if (strcmp(text, "good") == 0) {
			printf("%u\n", get_be32(in) + 1);
			return;
		}
	} else if (strcmp(verb, "write") == 0) {
		raw_rw10(cdb, true, 0, 1);
		run(r, lun, cdb, sizeof(cdb), block, NULL, 0, text);
	} else if (strcmp(verb, "sanitize") == 0) {
		/* SBC-3, 5.24.2.2: IMMED, overwrite ten times by a pattern of four bytes */
		static const uint8_t list[BLOCK] = {10, [3] = 4};
		static const uint8_t overwrite[10] = {0x48, 0x81, [8] = 8};
		run(r, lun, overwrite, sizeof(overwrite), list, NULL, 0, text);
	} else {
		bool settle = strcmp(verb, "settle") == 0;
		for (int i = 0; i < 16; i++) {
			run(r, lun, ready, sizeof(ready), NULL, NULL, 0, text);
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
		unsigned lun = 0;
		if (sscanf(line, "%15s %u", verb, &lun) < 1)
			continue;
		serve(&r, verb, lun);
		fflush(stdout);
	}
	raw_close(&r);
	return 0;
}
