/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many initiators at once, each in a process of its own, that write, read and compare what they
 * find, while sessions break off, come anew, are reset and dropped, and LUNs come and go.
 *
 * Each has a part of the disk to itself and knows what it must hold: what was acknowledged last or,
 * after its session has ended amid a write, what that write brought. Counters that all of them
 * raise by COMPARE AND WRITE tell whether one of these ever came between another's two halves.
 *
 * With 0 rounds: one session that ends amid long writes, and the next one's write beneath them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/iscsi/raw.h"

#define BLOCK	 512u
#define SLOTS	 6u   /* commands under way, each in a slot of its own */
#define SLOT	 640u /* blocks: more than the target copies */
#define BLOCKS	 (SLOTS * SLOT)
#define COUNTERS 4u
#define OTHER	 2 /* a LUN that comes and goes */

/* What the processes share. */
static struct shared {
	unsigned resets; /* times that commands of all were aborted */
	unsigned raised[COUNTERS], perhaps[COUNTERS];
} * shared;

static unsigned self, others;
static struct raw conn;
static uint32_t acked[BLOCKS], maybe[BLOCKS]; /* generations; maybe 0: none */
static uint32_t generation;

static struct command {
	enum { NONE, READ, WRITE, RAISE, TASK, STRAY } kind; /* STRAY: whatever becomes of it */
	uint32_t itt, at, n, gen;			     /* blocks */
	uint8_t data[SLOT * BLOCK];
} command[SLOTS + 3];
#define EXTRA SLOTS /* the first of those beside the slots */
static unsigned pending;
static bool counter_known, told; /* told: something else than the answer */
static uint64_t counter;

__attribute__((noreturn)) static void die(const char *what)
{
	printf("# storm: initiator %u: %s\n", self, what);
	exit(1);
}

static unsigned below(unsigned n)
{
	return (unsigned)random() % n;
}

static uint32_t counter_lba(void)
{
	return others * BLOCKS + self % COUNTERS;
}

/* ---- what is in a block ---- */

static void make_block(uint8_t *p, uint32_t block, uint32_t gen)
{
	for (unsigned i = 0; i < BLOCK; i += 16) {
		put_be32(p + i, gen ? self : 0);
		put_be32(p + i + 4, gen ? block : 0);
		put_be32(p + i + 8, gen);
		put_be32(p + i + 12, gen ? ~gen ^ i : 0);
	}
}

static void check_block(const uint8_t *p, uint32_t block)
{
	uint8_t want[BLOCK];
	uint32_t gen = get_be32(p + 8);

	make_block(want, block, gen);
	if (memcmp(p, want, BLOCK))
		die("a block that nobody has written so");
	if (gen != acked[block] && gen != maybe[block]) {
		printf("# block %u: generation %u, not %u or %u\n", block, gen, acked[block],
		       maybe[block]);
		die("a write is lost, or comes too late");
	}
	acked[block] = gen; /* what an ended session had under way is over */
	maybe[block] = 0;
}

/* ---- commands ---- */

static uint8_t *put(struct buf *b, struct command *c, const uint8_t *cdb, size_t len, bool write)
{
	uint32_t bytes = c->n * BLOCK;
	bool along = write && bytes <= 8192;
	uint8_t *h = raw_put_command(&conn, b, cdb, len, write ? ISCSI_CMD_WRITE : ISCSI_CMD_READ,
				     bytes, along ? c->data : NULL, along ? bytes : 0);
	c->itt = conn.itt;
	pending++;
	return h;
}

static void put_rw(struct buf *b, unsigned slot, bool write, uint32_t at, uint32_t n)
{
	struct command *c = &command[slot];
	uint8_t cdb[10];

	c->kind = write ? WRITE : READ;
	c->at = slot * SLOT + at;
	c->n = n;
	c->gen = ++generation;
	for (uint32_t i = 0; write && i < n; i++)
		make_block(c->data + i * BLOCK, c->at + i, c->gen);
	raw_rw10(cdb, write, self * BLOCKS + c->at, (uint16_t)n);
	put(b, c, cdb, sizeof(cdb), write);
}

/* Raises the counter from what it was when it was last read, or reads it. */
static void put_counter(struct buf *b)
{
	struct command *c = &command[EXTRA];
	uint8_t cdb[16] = {0x89};

	c->kind = RAISE;
	if (!counter_known) {
		c->n = 1;
		c->gen = 0;
		raw_rw10(cdb, false, counter_lba(), 1);
		put(b, c, cdb, 10, false);
		return;
	}
	memset(c->data, 0, 2 * BLOCK);
	put_be64(c->data, counter);
	put_be64(c->data + BLOCK, counter + 1);
	put_be32(cdb + 6, counter_lba());
	cdb[13] = 1;
	c->n = 2;
	c->gen = 1;
	put(b, c, cdb, sizeof(cdb), true);
}

static void put_stray(struct buf *b)
{
	uint8_t cdb[10];

	command[EXTRA + 1].kind = STRAY;
	command[EXTRA + 1].n = 16;
	raw_rw10(cdb, false, below(1024), 16);
	put(b, &command[EXTRA + 1], cdb, sizeof(cdb), false)[PDU_LUN + 1] = OTHER;
}

static void put_task(struct buf *b, uint8_t function)
{
	uint8_t *h = raw_put_next(&conn, b, ISCSI_TMF_REQUEST | ISCSI_IMMEDIATE,
				  (uint8_t)(ISCSI_FINAL | function), NULL, 0);

	h[PDU_LUN + 1] = raw_target.lun;
	put_be32(h + TMF_RTT, ISCSI_NO_TAG);
	command[EXTRA + 2].kind = TASK;
	command[EXTRA + 2].itt = conn.itt;
	pending++;
	__atomic_fetch_add(&shared->resets, 1, __ATOMIC_SEQ_CST);
}

static void ended(struct command *c, uint8_t status, uint8_t key)
{
	enum { CHECK_CONDITION = 2, TASK_ABORTED = 0x40, UNIT_ATTENTION = 6, MISCOMPARE = 14 };

	if (c->kind == STRAY || (status == CHECK_CONDITION && key == UNIT_ATTENTION) ||
	    (status == TASK_ABORTED && shared->resets)) {
		told = true; /* and not done */
	} else if (c->kind == RAISE) {
		if (status && key != MISCOMPARE)
			die("a counter cannot be raised");
		if (c->gen && status == 0)
			__atomic_fetch_add(&shared->raised[self % COUNTERS], 1, __ATOMIC_SEQ_CST);
		counter_known = !c->gen;
		counter = get_be64(c->data);
	} else if (status) {
		printf("# status %u, sense key %u\n", status, key);
		die("a command fails");
	} else if (c->kind == READ) {
		for (uint32_t i = 0; i < c->n; i++)
			check_block(c->data + i * BLOCK, c->at + i);
	} else {
		for (uint32_t i = 0; i < c->n; i++) {
			acked[c->at + i] = c->gen;
			maybe[c->at + i] = 0;
		}
	}
	c->kind = NONE;
	pending--;
}

static bool take(struct pdu *p)
{
	struct command *c = command, *end = command + ARRAY_SIZE(command);

	while (c < end && (c->kind == NONE || c->itt != get_be32(p->bhs + PDU_ITT)))
		c++;
	if (p->bhs[0] == ISCSI_NOP_IN)
		return raw_answer_ping(&conn, p);
	if (c == end) {
		printf("# opcode 0x%02x, flags 0x%02x, tag %u\n", p->bhs[0], p->bhs[1],
		       get_be32(p->bhs + PDU_ITT));
		die("an answer to nothing");
	}
	switch (p->bhs[0]) {
	case ISCSI_R2T: return raw_send_data(&conn, p, c->data, c->n * BLOCK);
	case ISCSI_DATA_IN:
		if ((uint64_t)get_be32(p->bhs + DATA_OFFSET) + p->len > c->n * BLOCK)
			die("more data than was asked for");
		memcpy(c->data + get_be32(p->bhs + DATA_OFFSET), p->data, p->len);
		if (p->bhs[1] & ISCSI_DATA_IN_STATUS)
			ended(c, p->bhs[RESP_STATUS], 0);
		return true;
	case ISCSI_SCSI_RESPONSE:
		ended(c, p->bhs[RESP_STATUS], p->len > 4 ? p->data[4] & 0xf : 0);
		return true;
	case ISCSI_TMF_RESPONSE:
		if (p->bhs[TMF_RESPONSE])
			die("a task management function fails");
		c->kind = NONE;
		pending--;
		return true;
	default: die("an unexpected PDU");
	}
}

/* False: the session has ended. */
static bool answers(void)
{
	while (pending) {
		struct pdu p;
		bool ok;

		switch (raw_recv(&conn, &p)) {
		case RAW_PDU: break;
		case RAW_CLOSED: return false;
		case RAW_TIMEOUT: die("no answer");
		}
		ok = take(&p);
		raw_pdu_free(&p);
		if (!ok)
			return false;
	}
	return true;
}

static void give_up(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(command); i++) {
		struct command *c = &command[i];

		for (uint32_t j = 0; c->kind == WRITE && j < c->n; j++)
			maybe[c->at + j] = c->gen;
		if (c->kind == RAISE && c->gen)
			__atomic_fetch_add(&shared->perhaps[self % COUNTERS], 1, __ATOMIC_SEQ_CST);
		c->kind = NONE;
	}
	counter_known = false;
	pending = 0;
}

/* ---- sessions ---- */

static bool log_in(struct raw *r)
{
	static const char *const digests[] = {"HeaderDigest=CRC32C", "DataDigest=CRC32C", NULL};
	struct pdu answer = {0};
	char name[64];
	bool ok;

	snprintf(name, sizeof(name), "iqn.2026-11.local.test:storm%u", self);
	ok = raw_connect(r) && raw_login(r, name, self % 2 ? digests : NULL, &answer);
	raw_pdu_free(&answer);
	if (!ok)
		raw_close(r);
	return ok;
}

static bool send_batch(struct buf *b)
{
	return raw_send(&conn, b) && answers();
}

static bool read_all(void)
{
	do {
		struct buf b = {0};

		told = false;
		for (unsigned i = 0; i < SLOTS; i++)
			put_rw(&b, i, false, 0, SLOT);
		if (!send_batch(&b))
			return false;
	} while (told);
	return true;
}

/* The connection ends, anywhere amid what comes: by a reset or in order, half-closed before or not.
 */
static void break_off(void)
{
	static char sink[1 << 20];

	if (conn.fd < 0)
		return;
	if (below(2))
		shutdown(conn.fd, SHUT_WR);
	if (below(2))
		recv(conn.fd, sink, 1 + below(below(2) ? 4096 : sizeof(sink)), MSG_DONTWAIT);
	if (below(2))
		usleep(below(3000));
	if (below(3))
		raw_reset(&conn);
	else
		raw_close(&conn);
}

/* A new session, with the old one still there (it takes that one's place), or cut off before. All
 * that was under way is over then: what is there now stays. */
static void log_in_anew(void)
{
	give_up();
	if (below(4))
		break_off();
	for (int i = 0;; i++) {
		struct raw old = conn;

		if (i == 100)
			die("no login");
		if (!log_in(&conn)) {
			conn = old;
			continue;
		}
		if (old.fd >= 0 && !raw_drain(&old))
			die("its old session stays");
		raw_close(&old);
		if (read_all())
			return;
		give_up(); /* dropped again */
	}
}

static bool batch(unsigned round)
{
	struct buf b = {0};

	for (unsigned i = 0; i < SLOTS; i++) {
		uint32_t n = below(4) ? 1 + below(16) : 1 + below(SLOT);

		put_rw(&b, i, below(8) < 5, below(SLOT - n + 1), n);
	}
	put_counter(&b);
	if (self % 4 == 3)
		put_stray(&b);
	if (self == 0 && round % 8 == 7) {
		struct pdu p;
		static const uint8_t functions[] = {TMF_LUN_RESET, TMF_CLEAR_TASK_SET,
						    TMF_ABORT_TASK_SET};

		/* Its own commands are among those that go without an answer. */
		put_task(&b, functions[below(ARRAY_SIZE(functions))]);
		if (!raw_send(&conn, &b))
			return false;
		while (command[EXTRA + 2].kind == TASK && raw_recv(&conn, &p) == RAW_PDU) {
			take(&p);
			raw_pdu_free(&p);
		}
		return false;
	}
	if (below(12) == 0) { /* breaks off amid it */
		raw_add_digests(&conn, &b);
		raw_send_bytes(&conn, b.data, below(3) ? b.len : 1 + below((unsigned)b.len));
		buf_free(&b);
		return false;
	}
	return send_batch(&b);
}

static int initiator(unsigned rounds)
{
	srandom((unsigned)getpid());
	conn.fd = -1;
	log_in_anew();
	for (unsigned i = 0; i < rounds; i++)
		if (!batch(i))
			log_in_anew();
	while (!read_all())
		log_in_anew();
	return 0;
}

/* ---- after the storm ---- */

/* It may be dropped once more. */
static uint64_t read_counter(unsigned i)
{
	uint8_t cdb[10], block[BLOCK];

	raw_rw10(cdb, false, others * BLOCKS + i, 1);
	for (int n = 0; n < 100; n++) {
		if (conn.fd >= 0 && raw_run(&conn, cdb, sizeof(cdb), NULL, 0, block, BLOCK) == 0)
			return get_be64(block);
		raw_close(&conn);
		log_in(&conn);
	}
	die("cannot read a counter");
}

static void check_counters(void)
{
	conn.fd = -1;
	for (unsigned i = 0; i < COUNTERS; i++) {
		uint64_t n = read_counter(i);

		printf("# counter %u: %llu of %u raised and %u perhaps\n", i, (unsigned long long)n,
		       shared->raised[i], shared->perhaps[i]);
		if (n < shared->raised[i] || n > shared->raised[i] + shared->perhaps[i])
			die("a counter is wrong");
	}
}

/* ---- instead of a storm: a session that ends amid long writes ---- */

#define LATE 32768u /* blocks, behind the counters */

static uint32_t late_lba(void)
{
	return others * BLOCKS + COUNTERS;
}

static void begin_session(void)
{
	uint8_t cdb[10], block[BLOCK];

	raw_rw10(cdb, false, 0, 1); /* takes the attention that is pending */
	if (!log_in(&conn) || raw_run(&conn, cdb, sizeof(cdb), NULL, 0, block, BLOCK))
		die("no session");
}

/* What the next session writes must not be overwritten. */
static void overtake(void)
{
	uint8_t cdb[10], barrier[16] = {0x89}, block[BLOCK], want[2 * BLOCK];
	struct buf b = {0};
	struct raw old;

	begin_session();
	memset(block, 'a', BLOCK);
	raw_rw10(cdb, true, late_lba(), LATE);
	cdb[0] = 0x41; /* WRITE SAME */
	for (int i = 0; i < 4; i++)
		raw_put_command(&conn, &b, cdb, sizeof(cdb), ISCSI_CMD_WRITE, BLOCK, block, BLOCK);
	raw_send(&conn, &b);
	old = conn;
	begin_session();
	memset(want, 'b', sizeof(want));
	raw_rw10(cdb, true, late_lba() + LATE - 1, 1);
	if (raw_run(&conn, cdb, sizeof(cdb), want, BLOCK, NULL, 0))
		die("cannot write");
	/* COMPARE AND WRITE waits for all that runs. */
	barrier[13] = 1;
	if (raw_run(&conn, barrier, sizeof(barrier), want, 2 * BLOCK, NULL, 0) < 0)
		die("cannot compare");
	raw_rw10(cdb, false, late_lba() + LATE - 1, 1);
	if (raw_run(&conn, cdb, sizeof(cdb), NULL, 0, block, BLOCK) || memcmp(block, want, BLOCK))
		die("an ended session's write comes after the next one's");
	if (!raw_drain(&old))
		die("its old session stays");
	raw_close(&old);
	raw_close(&conn);
}

int main(int argc, char **argv)
{
	unsigned failed = 0, rounds;

	if (argc != 7) {
		fprintf(stderr, "usage: storm HOST PORT IQN LUN INITIATORS ROUNDS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	raw_target = (struct raw_target){argv[1], argv[2], argv[3], (uint8_t)atoi(argv[4]), 0};
	others = (unsigned)atoi(argv[5]);
	rounds = (unsigned)atoi(argv[6]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("out of memory");
	self = others;
	if (rounds == 0) {
		overtake();
		return 0;
	}
	for (self = 0; self < others; self++) {
		pid_t pid = fork();

		if (pid == 0)
			return initiator(rounds);
		failed += pid < 0;
	}
	for (int status; wait(&status) > 0;)
		failed += status != 0;
	if (!failed)
		check_counters();
	return failed != 0;
}
