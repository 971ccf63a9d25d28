/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What RFC 7143 and SAM-5 ask of a target at their edges, each a function that is told by its name.
 * LUN 0 has 64 MiB, of which the first 4 hold no zeros; LUN 1 is large and sparse.
 * usage: rules HOST PORT IQN LUN FILE     FILE: LUN 0's
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/iscsi/rules.h"

#define LONG	 6144u /* blocks of a read that takes its time: 3 MiB */
#define RESETS	 60
#define RESETTER 40u

static const char *file;

bool rules_fail(const char *what)
{
	printf("# %s\n", what);
	return false;
}

bool rules_log_in(struct raw *r, unsigned n, const char *const *keys)
{
	char initiator[64], target[256];
	const char *all[16] = {initiator, target};
	struct pdu p = {0};
	bool ok;

	snprintf(initiator, sizeof(initiator), "InitiatorName=iqn.2026-11.local.test:rules%u", n);
	snprintf(target, sizeof(target), "TargetName=%s", raw_target.iqn);
	for (size_t i = 2; keys && *keys; i++)
		all[i] = *keys++;
	ok = raw_connect(r) && raw_login_step(r, ISCSI_LOGIN_TRANSIT | 1 << 2 | 3, all, &p) &&
	     get_be16(p.bhs + LOGIN_STATUS) == 0;
	raw_pdu_free(&p);
	return ok;
}

bool rules_enter(struct raw *r, unsigned n, const char *const *keys)
{
	static const uint8_t test_unit_ready[6];
	return rules_log_in(r, n, keys) && raw_run(r, test_unit_ready, 6, NULL, 0, NULL, 0) == 0;
}

/* The next PDU is the response to `itt` with this status and, if there is sense, this key. */
static bool answered(struct raw *r, uint32_t itt, uint8_t status, uint8_t key)
{
	struct pdu p;
	bool ok;

	if (raw_recv(r, &p) != RAW_PDU)
		return rules_fail("no answer");
	ok = get_be32(p.bhs + PDU_ITT) == itt && p.bhs[0] == ISCSI_SCSI_RESPONSE &&
	     p.bhs[RESP_STATUS] == status && (!status || (p.len > 4 && (p.data[4] & 0xf) == key));
	if (!ok)
		printf("# opcode 0x%02x, status %u, sense key %d\n", p.bhs[0], p.bhs[RESP_STATUS],
		       p.len > 4 ? p.data[4] & 0xf : -1);
	raw_pdu_free(&p);
	return ok;
}

/* ---- data-in ---- */

/* No sequence of Data-In PDUs is longer than MaxBurstLength (13.13), no PDU than a segment. */
static bool sequences(void)
{
	static const struct {
		const char *segment, *burst;
		size_t segment_bytes, burst_bytes;
	} cases[] = {
		{"MaxRecvDataSegmentLength=98304", "MaxBurstLength=262144", 98304, 262144},
		{"MaxRecvDataSegmentLength=512", "MaxBurstLength=1000", 512, 1000},
		{"MaxRecvDataSegmentLength=100000", "MaxBurstLength=262144", 100000, 262144},
		{"MaxRecvDataSegmentLength=65536", "MaxBurstLength=65536", 65536, 65536},
		{"MaxRecvDataSegmentLength=262144", "MaxBurstLength=65540", 262144, 65540},
	};
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *keys[] = {cases[i].segment, cases[i].burst, "FirstBurstLength=512",
				      NULL};
		size_t sequence = 0, total = 0;
		struct buf b = {0};
		struct raw r;
		uint8_t cdb[10];
		bool ok = rules_enter(&r, 1, keys), last = false;

		raw_rw10(cdb, false, 0, 2048);
		raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_READ, 2048 * BLOCK, NULL, 0);
		ok = ok && raw_send(&r, &b);
		while (ok && !last) {
			struct pdu p;

			ok = raw_recv(&r, &p) == RAW_PDU && p.bhs[0] == ISCSI_DATA_IN;
			if (!ok)
				break;
			last = p.bhs[1] & ISCSI_DATA_IN_STATUS;
			total += p.len;
			sequence += p.len;
			ok = p.len <= cases[i].segment_bytes && sequence <= cases[i].burst_bytes;
			if (p.bhs[1] & ISCSI_FINAL)
				sequence = 0;
			raw_pdu_free(&p);
		}
		raw_close(&r);
		if (!ok || total != 2048 * BLOCK || sequence) {
			printf("# %s, %s: sequence of %zu, %zu in all\n", cases[i].segment,
			       cases[i].burst, sequence, total);
			good = false;
		}
	}
	return good;
}

/* The first 3 MiB of the file, which are out of the page cache then. */
static bool cold(uint8_t *want)
{
	int fd = open(file, O_RDONLY);
	bool ok = fd >= 0 && fdatasync(fd) == 0 &&
		  pread(fd, want, LONG * BLOCK, 0) == (ssize_t)(LONG * BLOCK);

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return ok;
}

/* MaxRecvDataSegmentLength is declared anew while a read waits for its disk (13.12). */
static bool text_amid_read(void)
{
	static const char *const cases[][2] = {
		{"MaxRecvDataSegmentLength=262144", "MaxRecvDataSegmentLength=512"},
		{"MaxRecvDataSegmentLength=512", "MaxRecvDataSegmentLength=262144"},
		{"MaxRecvDataSegmentLength=65536", "MaxRecvDataSegmentLength=8192"},
		{"MaxRecvDataSegmentLength=8192", "MaxRecvDataSegmentLength=65536"},
	};
	uint8_t *want = malloc(LONG * BLOCK), *got = malloc(LONG * BLOCK);
	bool good = want && got;

	for (size_t i = 0; good && i < ARRAY_SIZE(cases); i++) {
		const char *keys[] = {cases[i][0], NULL};
		bool ended = false;
		struct buf b = {0};
		struct raw r;
		uint8_t cdb[10], *h;

		good = rules_enter(&r, 2, keys) && cold(want);
		memset(got, 0, LONG * BLOCK);
		raw_rw10(cdb, false, 0, LONG);
		raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_READ, LONG * BLOCK, NULL, 0);
		h = raw_put_next(&r, &b, ISCSI_TEXT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL,
				 cases[i][1], strlen(cases[i][1]) + 1);
		put_be32(h + PDU_TTT, ISCSI_NO_TAG);
		good = good && raw_send(&r, &b);
		while (good && !ended) {
			struct pdu p;
			size_t at;

			good = raw_recv(&r, &p) == RAW_PDU;
			if (!good)
				break;
			at = get_be32(p.bhs + DATA_OFFSET);
			if (p.bhs[0] == ISCSI_DATA_IN) {
				good = at + p.len <= LONG * BLOCK;
				if (good)
					memcpy(got + at, p.data, p.len);
				ended = p.bhs[1] & ISCSI_DATA_IN_STATUS;
			} else {
				good = p.bhs[0] == ISCSI_TEXT_RESPONSE;
			}
			raw_pdu_free(&p);
		}
		raw_close(&r);
		if (!good || memcmp(want, got, LONG * BLOCK)) {
			printf("# %s, then %s\n", cases[i][0], cases[i][1]);
			good = false;
		}
	}
	free(want);
	free(got);
	return good;
}

/* A reader half-closes, and resets the connection with data on its way. */
static bool resets(void)
{
	for (unsigned n = 0; n < RESETS; n++) {
		static const useconds_t waits[] = {0, 500, 2000, 10000};
		static const size_t takes[] = {0, 1, 4096, 70000, 300000};
		static char sink[300000];
		struct buf b = {0};
		struct raw r;
		uint8_t cdb[10];

		if (!raw_open(&r, RESETTER + n))
			return rules_fail("no login");
		for (unsigned i = 0; i < 16; i++) {
			raw_rw10(cdb, false, i * 2048, 2048);
			raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_READ, 2048 * BLOCK, NULL, 0);
		}
		raw_send(&r, &b);
		if (takes[n % 5])
			recv(r.fd, sink, takes[n % 5], 0);
		if (n % 2)
			shutdown(r.fd, SHUT_WR);
		usleep(waits[n / 2 % 4]); /* anywhere amid it */
		raw_reset(&r);
	}
	return true;
}

/* ---- data-out ---- */

static bool has_number(const struct pdu *p, const char *key, unsigned *n)
{
	size_t len = strlen(key);

	for (size_t at = 0; at < p->len; at += strlen((const char *)p->data + at) + 1) {
		const char *s = (const char *)p->data + at;

		if (strncmp(s, key, len) == 0 && s[len] == '=') {
			*n = (unsigned)strtoul(s + len + 1, NULL, 10);
			return true;
		}
	}
	return false;
}

/* FirstBurstLength is at most MaxBurstLength (13.14), and what has been answered holds. */
static bool first_burst(void)
{
	static const char *const cases[][3] = {
		{"MaxBurstLength=32768", "FirstBurstLength=65536", NULL},
		{"FirstBurstLength=65536", "MaxBurstLength=32768", NULL},
		{"MaxBurstLength=0x2000", "FirstBurstLength=0X1000", NULL},
		{"MaxBurstLength=512", "FirstBurstLength=512", NULL},
	};
	static uint8_t out[262144];
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *keys[] = {cases[i][0], cases[i][1], NULL};
		char name[] = "iqn.2026-11.local.test:burst";
		unsigned first = 0, most = 0;
		struct buf b = {0};
		struct pdu p = {0};
		struct raw r;
		uint8_t cdb[16];
		bool ok = raw_connect(&r);

		ok = ok && raw_login(&r, name, keys, &p) &&
		     has_number(&p, "FirstBurstLength", &first) &&
		     has_number(&p, "MaxBurstLength", &most) && first && first <= most;
		raw_pdu_free(&p);
		memset(cdb, 0, sizeof(cdb));
		ok = ok && raw_run(&r, cdb, 6, NULL, 0, NULL, 0) == 0;
		raw_rw10(cdb, true, 3000, (uint16_t)(first / BLOCK));
		raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_WRITE, first, out, first);
		ok = ok && raw_send(&r, &b) && answered(&r, r.itt, 0, 0) && raw_ping(&r);
		raw_close(&r);
		if (!ok) {
			printf("# %s %s: answered %u and %u\n", cases[i][0], cases[i][1], first,
			       most);
			good = false;
		}
	}
	return good;
}

static void put_data(struct buf *b, const struct pdu *r2t, uint8_t flags, uint32_t sn, uint32_t at,
		     const void *data, size_t len)
{
	uint8_t *h = raw_put(b, ISCSI_DATA_OUT, flags, data, len);

	memcpy(h + PDU_LUN, r2t->bhs + PDU_LUN, 8);
	memcpy(h + PDU_ITT, r2t->bhs + PDU_ITT, 4);
	memcpy(h + PDU_TTT, r2t->bhs + PDU_TTT, 4);
	put_be32(h + DATA_SN, sn);
	put_be32(h + DATA_OFFSET, at);
}

/* Begins a write of n blocks whose data is to come; its R2T goes to *p. */
static bool begin_write(struct raw *r, uint32_t lba, uint16_t n, struct pdu *p)
{
	struct buf b = {0};
	uint8_t cdb[10];

	raw_rw10(cdb, true, lba, n);
	raw_put_command(r, &b, cdb, 10, ISCSI_CMD_WRITE, n * BLOCK, NULL, 0);
	return raw_send(r, &b) && (raw_recv(r, p) == RAW_PDU || rules_fail("no answer")) &&
	       (p->bhs[0] == ISCSI_R2T || rules_fail("no R2T"));
}

/* More data than an R2T has asked for ends the command (11.7), whatever the command would take. */
static bool overrun(void)
{
	static const char *const keys[] = {"MaxBurstLength=4096", "FirstBurstLength=512", NULL};
	static uint8_t out[16384];
	struct buf b = {0};
	struct pdu p = {0};
	struct raw r;
	bool ok = rules_enter(&r, 3, keys) && begin_write(&r, 4000, 32, &p) &&
		  get_be32(p.bhs + R2T_LENGTH) == 4096;

	put_data(&b, &p, 0, 0, 0, out, 3584);
	put_data(&b, &p, ISCSI_FINAL, 1, 3584, out, 1024);
	ok = ok && raw_send(&r, &b) && answered(&r, get_be32(p.bhs + PDU_ITT), 2, 0xb) &&
	     raw_ping(&r);
	raw_pdu_free(&p);
	raw_close(&r);
	return ok;
}

/* A unit attention that arises while a write waits for its data is the next command's
 * (SAM-5, 5.14); one that was there before is the write's. */
static bool attention_amid_write(void)
{
	static const uint8_t test_unit_ready[6];
	uint8_t sense[6] = {0x1a, 8, 0x0a, 0, 64, 0}, page[64], select[6] = {0x15, 0x10};
	static uint8_t out[BLOCK];
	struct raw a, b;
	struct pdu p = {0}, q = {0};
	struct buf o = {0};
	bool ok = rules_enter(&a, 4, NULL) && rules_enter(&b, 5, NULL) &&
		  begin_write(&a, 500, 1, &p) &&
		  raw_run(&b, sense, 6, NULL, 0, page, sizeof(page)) == 0;
	uint8_t len = (uint8_t)(page[0] + 1);

	page[0] = page[2] = 0;
	page[4] &= 0x3f;
	page[6] ^= 4; /* D_SENSE */
	select[4] = len;
	ok = ok && raw_run(&b, select, 6, page, len, NULL, 0) == 0;
	put_data(&o, &p, ISCSI_FINAL, 0, 0, out, BLOCK);
	ok = ok && raw_send(&a, &o) && answered(&a, get_be32(p.bhs + PDU_ITT), 0, 0);
	raw_put_command(&a, &o, test_unit_ready, 6, 0, 0, NULL, 0);
	page[6] ^= 4; /* as before, so that the sense key is where it is looked for */
	ok = ok && raw_run(&b, select, 6, page, len, NULL, 0) == 0 && raw_send(&a, &o) &&
	     answered(&a, a.itt, 2, 6);
	/* pending before it came */
	page[6] ^= 4;
	ok = ok && raw_run(&b, select, 6, page, len, NULL, 0) == 0;
	page[6] ^= 4;
	ok = ok && raw_run(&b, select, 6, page, len, NULL, 0) == 0 && begin_write(&a, 500, 1, &q);
	put_data(&o, &q, ISCSI_FINAL, 0, 0, out, BLOCK);
	ok = ok && raw_send(&a, &o) && answered(&a, get_be32(q.bhs + PDU_ITT), 2, 6);
	raw_pdu_free(&p);
	raw_pdu_free(&q);
	raw_close(&a);
	raw_close(&b);
	return ok;
}

/* What lies beyond MaxCmdSN is not there (4.2.2.1). */
static bool window(void)
{
	static const uint8_t test_unit_ready[6];
	struct buf b = {0};
	struct raw r;
	unsigned n = 0;
	uint32_t beyond;
	uint8_t cdb[10];
	bool ok = rules_enter(&r, 6, NULL), answer = false, pong = false;

	/* writes that wait for their data, until the window is shut */
	while (ok && n < 1000 && (int32_t)(r.maxcmdsn - r.cmdsn) >= 0) {
		raw_rw10(cdb, true, 4000, 1);
		raw_put_command(&r, &b, cdb, 10, ISCSI_CMD_WRITE, BLOCK, NULL, 0);
		ok = raw_send(&r, &b) && raw_ping(&r);
		n++;
	}
	ok = ok && n > 1 && n < 1000;
	raw_put_command(&r, &b, test_unit_ready, 6, 0, 0, NULL, 0);
	beyond = r.itt;
	raw_put_next(&r, &b, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL, NULL, 0);
	ok = ok && raw_send(&r, &b);
	while (ok && !pong) {
		struct pdu p;

		ok = raw_recv(&r, &p) == RAW_PDU;
		if (!ok)
			break;
		answer |= get_be32(p.bhs + PDU_ITT) == beyond;
		pong = p.bhs[0] == ISCSI_NOP_IN;
		raw_pdu_free(&p);
	}
	raw_close(&r);
	return ok && (!answer || rules_fail("a command beyond the window is answered"));
}

static unsigned check(const char *name, bool (*run)(void))
{
	bool ok = run();

	printf("%sok iscsi: rules: %s\n", ok ? "" : "not ", name);
	fflush(stdout);
	return !ok;
}

int main(int argc, char **argv)
{
	unsigned failed = 0;

	if (argc != 6)
		return 2;
	raw_target = (struct raw_target){argv[1], argv[2], argv[3], (uint8_t)atoi(argv[4]), 0};
	file = argv[5];
	failed += check("sequences of data-in keep to MaxBurstLength", sequences);
	failed += check("a segment length declared amid a read", text_amid_read);
	failed += check("FirstBurstLength is at most MaxBurstLength, and holds", first_burst);
	failed += check("more data than was asked for", overrun);
	failed += check("a unit attention amid a write is for the next command",
			attention_amid_write);
	failed += check("what is beyond the window is not there", window);
	failed += check("a session has one connection, which may come anew", second_connection);
	failed += check("a name in capitals is the same", name_in_capitals);
	failed += check("what is sent behind a logout does not cost its answer", ends_in_order);
	failed += check("what a session has reserved ends when it is reinstated", reservation_ends);
	failed += check("an aborted command has ended when that is said", abort_is_over);
	failed += check("so have those that a reset ends", reset_is_over);
	failed += check("what is aborted on another LUN is not waited for", functions_apart);
	failed += check("what another session ends is told of", aborted_are_told);
	failed += check("resets amid large reads", resets);
	return failed != 0;
}
