/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load for one iSCSI target, no SCSI midlayer between: connections with a number of commands
 *under way each. Runs what its standard input says, a line CONNECTIONS DEPTH BYTES
 *randread|randwrite|read|write batch|single WARM_MS MEASURED_MS at a time (single: one PDU in each
 *send), and answers each with a line of name=value: operations a second, latency, and the CPU time
 *of the target's process. Between two lines its connections stay open and nothing is under way:
 *several of it, each with its target, can be run by turns.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/hist.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/opts.h"
#include "tests/iscsi/raw.h"

#define RX_SIZE	  (1 << 18)
#define BATCH	  256 /* PDUs in one send */
#define MAX_CONNS 256
#define MAX_DEPTH 128
#define MAX_SIZE  (16 << 20)
#define STALL	  (10 * SEC_NS)
#define DIGEST	  4

/* A PDU to be sent: its header, then data that belongs to the whole program; digests behind each.
 */
struct out {
	uint8_t bhs[ISCSI_BHS + DIGEST];
	uint8_t crc[DIGEST];
	const uint8_t *data;
	uint32_t len;
};

struct client {
	struct raw raw;
	struct loop_fd watch;
	uint64_t sent_at[MAX_DEPTH]; /* of command number ITT */
	uint32_t idle[MAX_DEPTH];    /* ITTs free for use */
	unsigned idle_n;
	struct out *out; /* a queue: [out_head, out_n) is still to be sent */
	unsigned out_head, out_n, out_cap;
	size_t out_off; /* bytes of the first one that have been sent */
	uint8_t *rx;
	size_t rx_pos, rx_len;
	uint64_t skip; /* payload bytes not yet received */
	uint64_t next; /* block, when sequential */
};

/* What is to be done now. */
static struct {
	unsigned conns, depth, size, warm_ms, measured_ms;
	bool is_write, is_random, one_by_one;
} job;

static uint64_t pid;
static bool digests;
static size_t head_size = ISCSI_BHS, tail_size; /* with the digests */

static struct loop *l;
static struct loop_fd input;
static struct client *clients[MAX_CONNS];
static unsigned clients_n;
static struct loop_timer timer, stall_timer;
static uint8_t *payload;
static uint32_t block_size, max_recv = 8192, first_burst = 65536;
static uint64_t blocks, done, last_done, seed = 88172645463325252ull;
static bool submitting, measuring;
static struct hist latency;
/* At the start, and at the end how much since: the time, our CPU time, the target's; all ns. */
static uint64_t measured_ns, own_cpu, target_cpu;

static void die(const char *what)
{
	fprintf(stderr, "iload: %s\n", what);
	exit(1);
}

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static struct out *push(struct client *c)
{
	if (c->out_head == c->out_n)
		c->out_head = c->out_n = 0;
	if (c->out_n == c->out_cap) {
		c->out_cap = c->out_cap ? 2 * c->out_cap : 64;
		c->out = realloc(c->out, c->out_cap * sizeof(*c->out));
		if (!c->out)
			die("out of memory");
	}
	memset(&c->out[c->out_n], 0, sizeof(*c->out));
	return &c->out[c->out_n++];
}

/* Ends what push() has begun: no field of it changes any more. */
static void seal(struct out *o, const uint8_t *data, uint32_t len)
{
	uint32_t crc;

	o->data = data;
	o->len = len;
	put_be24(o->bhs + PDU_DATA_LEN, len);
	if (!digests)
		return;
	crc = crc32c(0, o->bhs, ISCSI_BHS);
	memcpy(o->bhs + ISCSI_BHS, &crc, DIGEST); /* little-endian on the wire (RFC 7143, 13.1) */
	crc = crc32c(0, data, len);
	memcpy(o->crc, &crc, DIGEST);
}

static size_t out_size(const struct out *o)
{
	return head_size + (o->len ? o->len + tail_size : 0);
}

static void flush(struct client *c)
{
	while (c->out_head < c->out_n) {
		struct iovec v[3 * BATCH];
		struct msghdr m = {.msg_iov = v};
		unsigned n = job.one_by_one ? 1 : BATCH;
		size_t off = c->out_off;
		ssize_t sent;

		for (unsigned i = c->out_head; i < c->out_n && i - c->out_head < n; i++) {
			struct out *o = &c->out[i];
			struct iovec part[] = {{o->bhs, head_size},
					       {(uint8_t *)o->data, o->len},
					       {o->crc, o->len ? tail_size : 0}};

			for (unsigned k = 0; k < ARRAY_SIZE(part); k++) {
				size_t gone = MIN(off, part[k].iov_len);

				off -= gone;
				if (part[k].iov_len > gone)
					v[m.msg_iovlen++] =
						(struct iovec){(char *)part[k].iov_base + gone,
							       part[k].iov_len - gone};
			}
		}
		sent = sendmsg(c->raw.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			die("connection lost while sending");
		c->out_off += (size_t)sent;
		while (c->out_head < c->out_n && c->out_off >= out_size(&c->out[c->out_head])) {
			c->out_off -= out_size(&c->out[c->out_head]);
			c->out_head++;
		}
	}
	loop_fd_mod(l, &c->watch, LOOP_READ | (c->out_head < c->out_n ? LOOP_WRITE : 0));
}

/* Commands until the depth is reached. */
static void submit(struct client *c)
{
	uint32_t count = job.size / block_size;

	while (submitting && MAX_DEPTH - c->idle_n < job.depth &&
	       (int32_t)(c->raw.maxcmdsn - c->raw.cmdsn) >= 0) {
		struct out *o = push(c);
		uint32_t itt = c->idle[--c->idle_n];
		uint64_t lba =
			(job.is_random ? random_number() % (blocks / count) : c->next) * count;

		c->next = c->next + 1 < blocks / count ? c->next + 1 : 0;
		o->bhs[0] = ISCSI_SCSI_COMMAND;
		o->bhs[1] = ISCSI_FINAL | 1 | (job.is_write ? ISCSI_CMD_WRITE : ISCSI_CMD_READ);
		o->bhs[PDU_LUN + 1] = raw_target.lun;
		put_be32(o->bhs + PDU_ITT, itt);
		put_be32(o->bhs + CMD_EDTL, job.size);
		put_be32(o->bhs + PDU_CMDSN, c->raw.cmdsn++);
		put_be32(o->bhs + PDU_EXPSTATSN, c->raw.expstatsn);
		raw_rw10(o->bhs + CMD_CDB, job.is_write, (uint32_t)lba, (uint16_t)count);
		/* As much data as may goes along. */
		seal(o, payload, job.is_write ? MIN(job.size, MIN(first_burst, max_recv)) : 0);
		c->sent_at[itt] = clock_ns();
		if (job.one_by_one)
			flush(c);
	}
}

static void complete(struct client *c, uint32_t itt, uint8_t status)
{
	uint64_t now = clock_ns();

	if (status && status != 0x28)
		die("the target reports an error");
	if (itt >= MAX_DEPTH || c->idle_n == MAX_DEPTH)
		die("the target answers what was not asked");
	c->idle[c->idle_n++] = itt;
	if (status) /* TASK SET FULL: another will be sent in its place */
		return;
	done++;
	if (measuring)
		hist_add(&latency, now - c->sent_at[itt]);
}

static void send_data(struct client *c, const uint8_t *r2t)
{
	uint32_t at = get_be32(r2t + R2T_OFFSET), left = get_be32(r2t + R2T_LENGTH), sn = 0;

	if ((uint64_t)at + left > job.size)
		die("the target asks for more than there is");
	while (left) {
		struct out *o = push(c);
		uint32_t n = MIN(left, max_recv);

		o->bhs[0] = ISCSI_DATA_OUT;
		o->bhs[1] = n == left ? ISCSI_FINAL : 0;
		memcpy(o->bhs + PDU_LUN, r2t + PDU_LUN, 8);
		memcpy(o->bhs + PDU_ITT, r2t + PDU_ITT, 8); /* and the TTT behind it */
		put_be32(o->bhs + PDU_EXPSTATSN, c->raw.expstatsn);
		put_be32(o->bhs + DATA_SN, sn++);
		put_be32(o->bhs + DATA_OFFSET, at);
		seal(o, payload + at, n);
		at += n;
		left -= n;
	}
}

static void answer_ping(struct client *c, const uint8_t *ping)
{
	struct out *o;

	if (get_be32(ping + PDU_TTT) == ISCSI_NO_TAG)
		return;
	o = push(c);
	o->bhs[0] = ISCSI_NOP_OUT | ISCSI_IMMEDIATE;
	o->bhs[1] = ISCSI_FINAL;
	memcpy(o->bhs + PDU_LUN, ping + PDU_LUN, 8);
	memcpy(o->bhs + PDU_TTT, ping + PDU_TTT, 4);
	put_be32(o->bhs + PDU_ITT, ISCSI_NO_TAG);
	put_be32(o->bhs + PDU_CMDSN, c->raw.cmdsn);
	put_be32(o->bhs + PDU_EXPSTATSN, c->raw.expstatsn);
	seal(o, payload, 0);
}

static void take(struct client *c, const uint8_t *h)
{
	uint32_t itt = get_be32(h + PDU_ITT), len = iscsi_pad(get_be24(h + PDU_DATA_LEN));

	c->raw.maxcmdsn = get_be32(h + PDU_MAXCMDSN);
	switch (h[0]) {
	case ISCSI_DATA_IN:
		if (!(h[1] & ISCSI_DATA_IN_STATUS))
			break;
		/* fall through */
	case ISCSI_SCSI_RESPONSE:
		c->raw.expstatsn = get_be32(h + PDU_STATSN) + 1;
		complete(c, itt, h[RESP_STATUS]);
		break;
	case ISCSI_R2T: send_data(c, h); break;
	case ISCSI_NOP_IN: answer_ping(c, h); break;
	default: die("an unexpected PDU");
	}
	c->skip = len ? len + tail_size : 0;
}

static void readable(struct client *c)
{
	for (;;) {
		ssize_t n;

		if (c->rx_pos == c->rx_len)
			c->rx_pos = c->rx_len = 0;
		n = recv(c->raw.fd, c->rx + c->rx_len, RX_SIZE - c->rx_len, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			die("connection lost");
		c->rx_len += (size_t)n;
		for (;;) {
			size_t k = MIN(c->skip, c->rx_len - c->rx_pos);

			c->rx_pos += k;
			c->skip -= k;
			if (c->skip || c->rx_len - c->rx_pos < head_size)
				break;
			c->rx_pos += head_size;
			take(c, c->rx + c->rx_pos - head_size);
		}
		if (c->rx_pos < c->rx_len && c->rx_pos) { /* a piece of a header */
			memmove(c->rx, c->rx + c->rx_pos, c->rx_len - c->rx_pos);
			c->rx_len -= c->rx_pos;
			c->rx_pos = 0;
		}
	}
}

/* CPU time so far of all threads of a process and of the processes under it, in ns. */
static uint64_t cpu_of(unsigned long process)
{
	char path[300];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%lu/task", process);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		unsigned long long ns;
		unsigned long child;
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%lu/task/%s/schedstat", process, e->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
		snprintf(path, sizeof(path), "/proc/%lu/task/%s/children", process, e->d_name);
		f = fopen(path, "r");
		while (f && fscanf(f, "%lu", &child) == 1)
			sum += cpu_of(child);
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return sum;
}

static uint64_t cpu_of_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SEC_NS + (uint64_t)t.tv_nsec;
}

static void print(void)
{
	double s = (double)measured_ns / (double)SEC_NS, ops = (double)latency.n;
	double mib = ops * job.size / 1048576, cpu_us = (double)target_cpu / 1000;

	if (!latency.n)
		die("nothing was done in the measured time");
	printf("iops=%.0f mibs=%.2f mean_us=%.2f p50_us=%.2f p99_us=%.2f cpu_us_op=%.3f "
	       "cpu_us_mib=%.2f target_cpu=%.1f client_cpu=%.1f\n",
	       ops / s, mib / s, hist_mean(&latency) / 1000,
	       (double)hist_quantile(&latency, 0.5) / 1000,
	       (double)hist_quantile(&latency, 0.99) / 1000, cpu_us / ops, cpu_us / mib,
	       100.0 * (double)target_cpu / (double)measured_ns,
	       100.0 * (double)own_cpu / (double)measured_ns);
	fflush(stdout);
}

/* When what was under way at the end has come back. */
static void finish_if_done(void)
{
	if (submitting)
		return;
	for (unsigned i = 0; i < clients_n; i++)
		if (clients[i]->idle_n < MAX_DEPTH)
			return;
	loop_timer_del(l, &stall_timer);
	print();
	loop_fd_mod(l, &input, LOOP_READ);
}

static void on_event(void *arg, unsigned events)
{
	struct client *c = arg;
	unsigned under_way = MAX_DEPTH - c->idle_n;

	if (events & LOOP_READ)
		readable(c);
	submit(c);
	flush(c);
	if (under_way && c->idle_n == MAX_DEPTH)
		finish_if_done();
}

static void on_stall(void *arg)
{
	(void)arg;
	if (done == last_done)
		die("the target has done nothing for 10 s");
	last_done = done;
	loop_timer_set(l, &stall_timer, STALL, on_stall, NULL);
}

static void on_end(void *arg)
{
	(void)arg;
	measured_ns = clock_ns() - measured_ns;
	own_cpu = cpu_of_us() - own_cpu;
	target_cpu = pid ? cpu_of(pid) - target_cpu : 0;
	measuring = submitting = false;
	finish_if_done();
}

static void on_warm(void *arg)
{
	(void)arg;
	hist_reset(&latency);
	target_cpu = pid ? cpu_of(pid) : 0;
	own_cpu = cpu_of_us();
	measured_ns = clock_ns();
	measuring = true;
	loop_timer_set(l, &timer, job.measured_ms * MS_NS, on_end, NULL);
}

/* The number of a "key=" that the target has answered, or `otherwise`. */
static uint32_t answered(const struct pdu *p, const char *key, uint32_t otherwise)
{
	for (size_t at = 0; at < p->len; at += strlen((const char *)p->data + at) + 1)
		if (strncmp((const char *)p->data + at, key, strlen(key)) == 0)
			return (uint32_t)atoi((const char *)p->data + at + strlen(key));
	return otherwise;
}

static void open_client(void)
{
	/* LIO proposes what is not said, and waits for an answer to each. */
	const char *keys[] = {"FirstBurstLength=262144",
			      "MaxBurstLength=16776192",
			      "DefaultTime2Wait=2",
			      "DefaultTime2Retain=20",
			      "MaxOutstandingR2T=1",
			      "ErrorRecoveryLevel=0",
			      digests ? "HeaderDigest=CRC32C" : "HeaderDigest=None",
			      digests ? "DataDigest=CRC32C" : "DataDigest=None",
			      NULL};
	static const uint8_t capacity[10] = {0x25};
	struct client *c = calloc(1, sizeof(*c));
	uint8_t answer[8];
	struct pdu p;
	char name[64];

	if (!c || !(c->rx = malloc(RX_SIZE)))
		die("out of memory");
	snprintf(name, sizeof(name), "iqn.2026-11.local.test:load%u", clients_n);
	if (!raw_connect(&c->raw) || !raw_login(&c->raw, name, keys, &p))
		die("no login");
	max_recv = answered(&p, "MaxRecvDataSegmentLength=", 8192);
	first_burst = answered(&p, "FirstBurstLength=", 65536);
	raw_pdu_free(&p);
	if (c->raw.header_digest != digests || c->raw.data_digest != digests)
		die("the target did not agree about the digests");
	if (raw_run(&c->raw, capacity, sizeof(capacity), NULL, 0, answer, sizeof(answer)) != 0)
		die("no capacity");
	blocks = (uint64_t)get_be32(answer) + 1;
	block_size = get_be32(answer + 4);
	while (c->idle_n < MAX_DEPTH) {
		c->idle[c->idle_n] = c->idle_n;
		c->idle_n++;
	}
	if (loop_fd_add(l, &c->watch, c->raw.fd, LOOP_READ, on_event, c))
		die("cannot watch a socket");
	clients[clients_n++] = c;
}

static void on_input(void *arg, unsigned events)
{
	char line[200], mode[20], client[20];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	(void)arg;
	(void)events;
	if (n <= 0) {
		loop_stop(l, 0);
		return;
	}
	line[n] = 0;
	/* Whoever writes waits for the answer: a read gives one line. */
	if (sscanf(line, "%u %u %u %19s %19s %u %u", &job.conns, &job.depth, &job.size, mode,
		   client, &job.warm_ms, &job.measured_ms) != 7)
		die("a line that cannot be understood");
	job.is_write = strstr(mode, "write") != NULL;
	job.is_random = strncmp(mode, "rand", 4) == 0;
	job.one_by_one = strcmp(client, "single") == 0;
	if (!job.conns || job.conns > MAX_CONNS || !job.depth || job.depth > MAX_DEPTH)
		die("too many connections or commands");
	while (clients_n < job.conns)
		open_client();
	if (!block_size || !job.size || job.size > MAX_SIZE || job.size % block_size ||
	    job.size / block_size > 0xffff || blocks < job.size / block_size)
		die("these operations do not fit the disk");
	loop_fd_mod(l, &input, 0);
	submitting = true;
	loop_timer_set(l, &timer, job.warm_ms * MS_NS, on_warm, NULL);
	loop_timer_set(l, &stall_timer, STALL, on_stall, NULL);
	for (unsigned i = 0; i < job.conns; i++) {
		/* Sequential clients begin apart from each other. */
		clients[i]->next = blocks / (job.size / block_size) * i / job.conns;
		on_event(clients[i], 0);
	}
}

int main(int argc, char **argv)
{
	const struct opt table[] = {
		{"pid", OPT_U64, &pid, "PID", "the target's process", 1, 0},
		{"digests", OPT_FLAG, &digests, NULL, "CRC32C over headers and data", 0, 0},
		{0},
	};
	const struct opts o = {.name = "iload",
			       .synopsis = "[options] HOST PORT IQN LUN",
			       .description = "Loads an iSCSI target as its standard input says.",
			       .table = table,
			       .min_operands = 4,
			       .max_operands = 4};
	int n;

	log_init("iload");
	n = opts_parse(&o, argc, argv);
	if (n < 0)
		return opts_exit(n);
	raw_target = (struct raw_target){argv[1], argv[2], argv[3], (uint8_t)atoi(argv[4]), 0};
	if (digests) {
		head_size = ISCSI_BHS + DIGEST;
		tail_size = DIGEST;
	}
	l = loop_new();
	payload = malloc(MAX_SIZE);
	if (!l || !payload)
		die("out of memory");
	for (uint64_t i = 0; i < MAX_SIZE; i += 8) {
		uint64_t r = random_number();

		memcpy(payload + i, &r, sizeof(r));
	}
	if (loop_fd_add(l, &input, STDIN_FILENO, LOOP_READ, on_input, NULL))
		die("standard input is no pipe");
	return loop_run(l);
}
