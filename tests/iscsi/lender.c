/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large reads, whose data the target sends straight from the page cache, beside what changes the
 * disk meanwhile: an initiator that gets the wrong data of one must not exist. Each 8 bytes of a
 * disk hold their block's number and its generation.
 * usage: lender HOST PORT IQN LUN FILE WHAT
 *   mixed       reads of 1 to 8 MiB while other blocks, and these, are written
 *   truncated   FILE loses all its blocks while a read of it waits for its initiator
 *   removed     says "waiting" while a read waits for its initiator, who goes on when told to
 *   atomic      COMPARE AND WRITE while a read waits for its initiator, who takes all
 *   stalled     the same, but he never does
 *   deep        the same beside one who has 32 reads under way all the time
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/iscsi/raw.h"

#define BLOCK	512u
#define MIB	2048u	   /* blocks */
#define LONGEST (8u * MIB) /* more than a socket takes from a target whose peer does not read */

static uint8_t data[LONGEST * BLOCK];

static int fail(const char *what)
{
	printf("# %s\n", what);
	return 1;
}

static void stamp(uint8_t *p, uint32_t lba, uint32_t n, uint32_t generation)
{
	for (uint32_t i = 0; i < n * BLOCK; i += 8) {
		put_be32(p + i, lba + i / BLOCK);
		put_be32(p + i + 4, generation);
	}
}

/* Are n bytes from block lba on of these generations? */
static bool stamped(const uint8_t *p, size_t n, uint32_t lba, uint32_t oldest, uint32_t newest)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint32_t g = get_be32(p + i + 4);
		if (get_be32(p + i) == lba + i / BLOCK && g >= oldest && g <= newest)
			continue;
		printf("# block %zu at %zu: %u, generation %u, not %u to %u\n", lba + i / BLOCK,
		       i % BLOCK, get_be32(p + i), g, oldest, newest);
		return false;
	}
	return true;
}

/* Writes n blocks by way of the target, at most 64 KiB each. */
static bool write_blocks(struct raw *r, uint32_t lba, uint32_t n, uint32_t generation)
{
	static uint8_t out[128 * BLOCK];
	uint8_t cdb[10];
	while (n) {
		uint32_t step = n < 128 ? n : 128;
		stamp(out, lba, step, generation);
		raw_rw10(cdb, true, lba, (uint16_t)step);
		if (raw_run(r, cdb, sizeof(cdb), out, step * BLOCK, NULL, 0))
			return false;
		lba += step;
		n -= step;
	}
	return true;
}

/* Logs in; the unit attention is over. */
static bool open_ready(struct raw *r, unsigned n)
{
	static const uint8_t test_unit_ready[6];
	return raw_open(r, n) && raw_run(r, test_unit_ready, 6, NULL, 0, NULL, 0) == 0;
}

static bool ask(struct raw *r, uint32_t lba, uint32_t n)
{
	struct buf b = {0};
	uint8_t cdb[10];
	raw_rw10(cdb, false, lba, (uint16_t)n);
	raw_put_command(r, &b, cdb, sizeof(cdb), ISCSI_FINAL | ISCSI_CMD_READ, n * BLOCK, NULL, 0);
	return raw_send(r, &b);
}

/* The target asks what we have got. */
static bool answer_ping(struct raw *r)
{
	struct pdu p;
	bool ok = raw_recv(r, &p) == RAW_PDU && p.bhs[0] == ISCSI_NOP_IN && raw_answer_ping(r, &p);
	raw_pdu_free(&p);
	return ok;
}

/* Takes the data of one read, in order. How many bytes came before the end, which is at `want` if
 * all is well. */
static size_t take(struct raw *r, size_t want)
{
	size_t got = 0;
	struct pdu p;
	for (bool last = false; !last && raw_recv(r, &p) == RAW_PDU;) {
		if (p.bhs[0] != ISCSI_DATA_IN || get_be32(p.bhs + DATA_OFFSET) != got ||
		    got + p.len > want) {
			last = true;
		} else {
			memcpy(data + got, p.data, p.len);
			got += p.len;
			last = p.bhs[1] & ISCSI_DATA_IN_STATUS;
			if (last && p.bhs[RESP_STATUS])
				got = 0;
		}
		raw_pdu_free(&p);
	}
	return got;
}

/* A read of the first 8 MiB by r that the target cannot end, and that it has begun: what another
 * session asks after it has been answered. */
static bool begin_waiting(struct raw *r, struct raw *other)
{
	return open_ready(r, 1) && open_ready(other, 2) && write_blocks(other, 0, LONGEST, 1) &&
	       ask(r, 0, LONGEST) && raw_ping(other) && raw_ping(other);
}

static int mixed(void)
{
	static const uint32_t sizes[] = {MIB, 2 * MIB, 3 * MIB, LONGEST};
	uint32_t written = 1;
	struct raw r, w;
	if (!open_ready(&r, 1) || !open_ready(&w, 2) || !write_blocks(&w, 0, LONGEST, written))
		return fail("cannot begin");
	for (unsigned round = 0; round < 24; round++) {
		uint32_t n = sizes[round % 4], at = round * 37 % (LONGEST - n + 1);
		uint32_t oldest = written;
		if (!ask(&r, at, n) || !write_blocks(&w, at, MIB, ++written) ||
		    !write_blocks(&w, (at + MIB) % (LONGEST - MIB), MIB, written))
			return fail("a write fails");
		if (take(&r, n * BLOCK) != n * BLOCK)
			return fail("a read ends early");
		/* what was not written in this round may be of any before */
		if (!stamped(data, n * BLOCK, at, 1, written))
			return 1;
		/* and after it, nothing old is left of what was */
		if (!ask(&r, at, MIB) || take(&r, MIB * BLOCK) != MIB * BLOCK ||
		    !stamped(data, MIB * BLOCK, at, oldest + 1, written))
			return fail("old data after a write");
	}
	raw_close(&r);
	raw_close(&w);
	return 0;
}

static int truncated(const char *file)
{
	struct raw r, other;
	size_t got;
	if (!begin_waiting(&r, &other) || truncate(file, 0))
		return fail("cannot begin");
	got = take(&r, LONGEST * BLOCK);
	if (got == LONGEST * BLOCK)
		return fail("more was read than there is");
	if (!stamped(data, got, 0, 1, 1))
		return 1;
	return raw_ping(&other) ? 0 : fail("other sessions suffer");
}

static int removed(void)
{
	struct raw r, other;
	char line[16];
	if (!begin_waiting(&r, &other))
		return fail("cannot begin");
	puts("waiting");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	if (take(&r, LONGEST * BLOCK) != LONGEST * BLOCK)
		return fail("the read ends early");
	return stamped(data, LONGEST * BLOCK, 0, 1, 1) ? 0 : 1;
}

static int atomic(bool stall)
{
	static uint8_t out[2 * 255 * BLOCK];
	uint8_t cdb[16] = {0x89};
	uint32_t lba = LONGEST - 4000;
	struct raw r, w;
	struct buf b = {0};
	struct pdu p;
	if (!begin_waiting(&r, &w))
		return fail("cannot begin");
	put_be64(cdb + 2, lba);
	cdb[13] = 255;
	stamp(out, lba, 255, 1);
	stamp(out + 255 * BLOCK, lba, 255, 2);
	raw_put_command(&w, &b, cdb, sizeof(cdb), ISCSI_FINAL | ISCSI_CMD_WRITE, sizeof(out), out,
			0);
	if (!raw_send(&w, &b) || raw_recv(&w, &p) != RAW_PDU || p.bhs[0] != ISCSI_R2T)
		return fail("no R2T");
	{
		uint8_t *h = raw_put(&b, ISCSI_DATA_OUT, ISCSI_FINAL, out, sizeof(out));
		memcpy(h + PDU_LUN, p.bhs + PDU_LUN, 8);
		memcpy(h + PDU_ITT, p.bhs + PDU_ITT, 4);
		memcpy(h + PDU_TTT, p.bhs + PDU_TTT, 4);
	}
	raw_pdu_free(&p);
	if (!raw_send(&w, &b))
		return fail("the data are not taken");
	if (!stall) {
		if (take(&r, LONGEST * BLOCK) != LONGEST * BLOCK)
			return fail("the read ends early");
		if (!stamped(data, LONGEST * BLOCK, 0, 1, 1))
			return fail("the reader sees what was to wait for it");
		if (!answer_ping(&r))
			return fail("the target does not ask what the reader has got");
	}
	if (raw_recv(&w, &p) != RAW_PDU || p.bhs[0] != ISCSI_SCSI_RESPONSE || p.bhs[RESP_STATUS])
		return fail("COMPARE AND WRITE is not done");
	raw_pdu_free(&p);
	if (stall && !raw_drain(&r))
		return fail("who takes nothing is not dropped");
	return 0;
}

/* Keeps 32 reads of 256 KiB under way, of which it tells, until the other process is done. */
static int deep_reader(int ready, int done)
{
	unsigned under_way = 0, at = 0;
	struct raw r;
	bool last = false, told = false;
	if (!open_ready(&r, 1))
		return fail("cannot begin");
	while (!last || under_way) {
		struct pollfd end = {.fd = done, .events = POLLIN};
		struct pdu p;
		bool ok = true;
		last |= poll(&end, 1, 0) == 1;
		for (; !last && under_way < 32; under_way++)
			if (!ask(&r, at++ % 16 * 512, 512))
				return fail("the reader is dropped");
		if (raw_recv(&r, &p) != RAW_PDU)
			return fail("the reader is dropped");
		if (p.bhs[0] == ISCSI_NOP_IN)
			ok = raw_answer_ping(&r, &p);
		else if (p.bhs[0] != ISCSI_DATA_IN)
			ok = false;
		else if (p.bhs[1] & ISCSI_DATA_IN_STATUS)
			under_way--;
		if (!told && p.bhs[0] == ISCSI_DATA_IN)
			ok = told = write(ready, "", 1) == 1;
		raw_pdu_free(&p);
		if (!ok)
			return fail("the reader gets no data");
	}
	return 0;
}

static int deep(void)
{
	static uint8_t out[2 * BLOCK];
	uint8_t cdb[16] = {0x89};
	int ready[2], done[2], status = 1;
	char byte;
	struct raw w;
	pid_t pid;
	if (!open_ready(&w, 2) || !write_blocks(&w, 0, LONGEST, 1) || pipe(ready) || pipe(done))
		return fail("cannot begin");
	pid = fork();
	if (pid == 0) {
		close(ready[0]);
		close(done[1]);
		_exit(deep_reader(ready[1], done[0]));
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		return fail("no reader");
	put_be64(cdb + 2, 100);
	cdb[13] = 1;
	stamp(out, 100, 1, 1);
	stamp(out + BLOCK, 100, 1, 1);
	if (raw_run(&w, cdb, sizeof(cdb), out, sizeof(out), NULL, 0))
		return fail("COMPARE AND WRITE is not done");
	close(ready[0]);
	close(done[1]);
	return waitpid(pid, &status, 0) != pid || status;
}

int main(int argc, char **argv)
{
	const char *what = argc == 7 ? argv[6] : "";
	if (argc != 7) {
		fprintf(stderr, "usage: lender HOST PORT IQN LUN FILE WHAT\n");
		return 2;
	}
	raw_target = (struct raw_target){
		.host = argv[1], .port = argv[2], .iqn = argv[3], .lun = (uint8_t)atoi(argv[4])};
	if (!strcmp(what, "mixed"))
		return mixed();
	if (!strcmp(what, "truncated"))
		return truncated(argv[5]);
	if (!strcmp(what, "removed"))
		return removed();
	if (!strcmp(what, "deep"))
		return deep();
	if (!strcmp(what, "atomic") || !strcmp(what, "stalled"))
		return atomic(what[0] == 's');
	return 2;
}
