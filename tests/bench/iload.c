/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load for iSCSI targets: connections with a number of commands under way each, no SCSI midlayer
 * between. Prints one line of name=value: operations a second, latency, and the CPU time that the
 * target's process spent on each operation.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/hist.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/opts.h"
#include "tests/iscsi/raw.h"

#define RX_SIZE (1 << 18)
#define BATCH	256 /* PDUs in one send */
#define STALL	(10 * SEC_NS)

/* A PDU to be sent: its header, then data that belongs to the whole program. */
struct out {
	uint8_t bhs[ISCSI_BHS];
	const uint8_t *data;
	uint32_t len;
};

struct client {
	struct raw raw;
	struct loop_fd watch;
	uint64_t *sent_at; /* of command number ITT */
	uint32_t *idle;	   /* ITTs free for use */
	unsigned idle_n;
	struct out *out; /* a queue: [out_head, out_n) is still to be sent */
	unsigned out_head, out_n, out_cap;
	size_t out_off; /* bytes of the first one that have been sent */
	uint8_t *rx;
	size_t rx_pos, rx_len;
	uint64_t skip; /* payload bytes not yet received */
	uint64_t next; /* block, when sequential */
};

static uint64_t conns = 1, depth = 1, size = 4096, seconds = 2 * SEC_NS, warm_up = SEC_NS / 2, pid;
static const char *mode = "randread";
static bool one_by_one;

static struct loop *l;
static struct client *clients;
static struct loop_timer timer, stall_timer;
static uint8_t *payload;
static uint32_t block_size, max_recv = 8192, first_burst = 65536;
static uint64_t blocks, done, last_done, measured_ns, seed = 88172645463325252ull;
static bool is_write, is_random, measuring;
static struct hist latency;
static uint64_t cpu_before, cpu_after; /* of the target, ns */

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

static void flush(struct client *c)
{
	while (c->out_head < c->out_n) {
		struct iovec v[2 * BATCH];
		struct msghdr m = {.msg_iov = v};
		unsigned n = one_by_one ? 1 : BATCH;
		size_t off = c->out_off;
		ssize_t sent;

		for (unsigned i = c->out_head; i < c->out_n && i - c->out_head < n; i++) {
			struct out *o = &c->out[i];

			if (off < ISCSI_BHS)
				v[m.msg_iovlen++] = (struct iovec){o->bhs + off, ISCSI_BHS - off};
			off = off > ISCSI_BHS ? off - ISCSI_BHS : 0;
			if (o->len)
				v[m.msg_iovlen++] =
					(struct iovec){(uint8_t *)o->data + off, o->len - off};
			off = 0;
		}
		sent = sendmsg(c->raw.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			die("connection lost while sending");
		c->out_off += (size_t)sent;
		while (c->out_head < c->out_n &&
		       c->out_off >= ISCSI_BHS + c->out[c->out_head].len) {
			c->out_off -= ISCSI_BHS + c->out[c->out_head].len;
			c->out_head++;
		}
	}
	loop_fd_mod(l, &c->watch, LOOP_READ | (c->out_head < c->out_n ? LOOP_WRITE : 0));
}

/* Commands until the depth is reached. */
static void submit(struct client *c)
{
	uint32_t count = (uint32_t)size / block_size;

	while (c->idle_n && (int32_t)(c->raw.maxcmdsn - c->raw.cmdsn) >= 0) {
		struct out *o = push(c);
		uint32_t itt = c->idle[--c->idle_n];
		uint64_t lba = (is_random ? random_number() % (blocks / count) : c->next) * count;

		c->next = c->next + 1 < blocks / count ? c->next + 1 : 0;
		o->bhs[0] = ISCSI_SCSI_COMMAND;
		o->bhs[1] = ISCSI_FINAL | 1 | (is_write ? ISCSI_CMD_WRITE : ISCSI_CMD_READ);
		o->bhs[PDU_LUN + 1] = raw_target.lun;
		put_be32(o->bhs + PDU_ITT, itt);
		put_be32(o->bhs + CMD_EDTL, (uint32_t)size);
		put_be32(o->bhs + PDU_CMDSN, c->raw.cmdsn++);
		put_be32(o->bhs + PDU_EXPSTATSN, c->raw.expstatsn);
		raw_rw10(o->bhs + CMD_CDB, is_write, (uint32_t)lba, (uint16_t)count);
		if (is_write) { /* as much of it as may go along */
			o->data = payload;
			o->len = (uint32_t)MIN(size, (uint64_t)MIN(first_burst, max_recv));
			put_be24(o->bhs + PDU_DATA_LEN, o->len);
		}
		c->sent_at[itt] = clock_ns();
		if (one_by_one)
			flush(c);
	}
}

static void complete(struct client *c, uint32_t itt, uint8_t status)
{
	uint64_t now = clock_ns();

	if (status)
		die("the target reports an error");
	if (itt >= depth)
		die("the target answers what was not asked");
	c->idle[c->idle_n++] = itt;
	done++;
	if (measuring)
		hist_add(&latency, now - c->sent_at[itt]);
}

static void send_data(struct client *c, const uint8_t *r2t)
{
	uint32_t at = get_be32(r2t + R2T_OFFSET), left = get_be32(r2t + R2T_LENGTH), sn = 0;

	if ((uint64_t)at + left > size)
		die("the target asks for more than there is");
	while (left) {
		struct out *o = push(c);

		o->len = MIN(left, max_recv);
		o->data = payload + at;
		o->bhs[0] = ISCSI_DATA_OUT;
		o->bhs[1] = o->len == left ? ISCSI_FINAL : 0;
		put_be24(o->bhs + PDU_DATA_LEN, o->len);
		memcpy(o->bhs + PDU_LUN, r2t + PDU_LUN, 8);
		memcpy(o->bhs + PDU_ITT, r2t + PDU_ITT, 8); /* and the TTT behind it */
		put_be32(o->bhs + PDU_EXPSTATSN, c->raw.expstatsn);
		put_be32(o->bhs + DATA_SN, sn++);
		put_be32(o->bhs + DATA_OFFSET, at);
		at += o->len;
		left -= o->len;
	}
}

static void take(struct client *c, const uint8_t *h)
{
	uint32_t itt = get_be32(h + PDU_ITT);

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
	case ISCSI_NOP_IN: break;
	default: die("an unexpected PDU");
	}
	c->skip = (get_be24(h + PDU_DATA_LEN) + 3) & ~3u;
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
			if (c->skip || c->rx_len - c->rx_pos < ISCSI_BHS)
				break;
			c->rx_pos += ISCSI_BHS;
			take(c, c->rx + c->rx_pos - ISCSI_BHS);
		}
		if (c->rx_pos < c->rx_len && c->rx_pos) { /* a piece of a header */
			memmove(c->rx, c->rx + c->rx_pos, c->rx_len - c->rx_pos);
			c->rx_len -= c->rx_pos;
			c->rx_pos = 0;
		}
	}
}

static void on_event(void *arg, unsigned events)
{
	struct client *c = arg;

	if (events & LOOP_READ)
		readable(c);
	submit(c);
	flush(c);
}

/* CPU time of all threads of a process so far, in ns. */
static uint64_t cpu_of(int process)
{
	char path[300];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", process);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		unsigned long long ns;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", process, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return sum;
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
	if (pid)
		cpu_after = cpu_of((int)pid);
	measuring = false;
	loop_stop(l, 0);
}

static void on_warm(void *arg)
{
	(void)arg;
	if (pid)
		cpu_before = cpu_of((int)pid);
	measuring = true;
	measured_ns = clock_ns();
	loop_timer_set(l, &timer, seconds, on_end, NULL);
}

/* The number of a "key=" that the target has answered, or `otherwise`. */
static uint32_t answered(const struct pdu *p, const char *key, uint32_t otherwise)
{
	for (size_t at = 0; at < p->len; at += strlen((const char *)p->data + at) + 1)
		if (strncmp((const char *)p->data + at, key, strlen(key)) == 0)
			return (uint32_t)atoi((const char *)p->data + at + strlen(key));
	return otherwise;
}

static void open_client(struct client *c, unsigned n)
{
	static const char *const keys[] = {"FirstBurstLength=262144", "MaxBurstLength=16776192",
					   NULL};
	static const uint8_t capacity[10] = {0x25};
	uint8_t answer[8];
	struct pdu p;
	char name[64];

	snprintf(name, sizeof(name), "iqn.2026-11.local.test:load%u", n);
	if (!raw_connect(&c->raw) || !raw_login(&c->raw, name, keys, &p))
		die("no login");
	max_recv = answered(&p, "MaxRecvDataSegmentLength=", 8192);
	first_burst = answered(&p, "FirstBurstLength=", 65536);
	raw_pdu_free(&p);
	if (raw_run(&c->raw, capacity, sizeof(capacity), NULL, 0, answer, sizeof(answer)) != 0)
		die("no capacity");
	blocks = (uint64_t)get_be32(answer) + 1;
	block_size = get_be32(answer + 4);
	if (!block_size || size % block_size || size / block_size > 0xffff ||
	    blocks < size / block_size)
		die("--size does not fit the disk");
	c->sent_at = calloc(depth, sizeof(*c->sent_at));
	c->idle = calloc(depth, sizeof(*c->idle));
	c->rx = malloc(RX_SIZE);
	if (!c->sent_at || !c->idle || !c->rx)
		die("out of memory");
	while (c->idle_n < depth) {
		c->idle[c->idle_n] = c->idle_n;
		c->idle_n++;
	}
	/* Sequential clients begin apart from each other. */
	c->next = blocks / (size / block_size) * n / conns;
	if (loop_fd_add(l, &c->watch, c->raw.fd, LOOP_READ, on_event, c))
		die("cannot watch a socket");
}

static void print(void)
{
	double s = (double)measured_ns / (double)SEC_NS, ops = (double)latency.n;
	double cpu_us = (double)(cpu_after - cpu_before) / 1000;

	if (!latency.n)
		die("nothing was done in the measured time");
	printf("iops=%.0f mibs=%.2f mean_us=%.2f p50_us=%.2f p99_us=%.2f cpu_us_op=%.3f "
	       "cpu_us_mib=%.2f\n",
	       ops / s, ops * (double)size / 1048576 / s, hist_mean(&latency) / 1000,
	       (double)hist_quantile(&latency, 0.5) / 1000,
	       (double)hist_quantile(&latency, 0.99) / 1000, cpu_us / ops,
	       cpu_us / (ops * (double)size / 1048576));
}

int main(int argc, char **argv)
{
	const struct opt table[] = {
		{"connections", OPT_U64, &conns, "N", "connections (default 1)", 1, 256},
		{"depth", OPT_U64, &depth, "N", "commands under way on each (default 1)", 1, 128},
		{"size", OPT_SIZE, &size, "SIZE", "bytes a command (default 4k)", 512, 16 << 20},
		{"mode", OPT_STRING, &mode, "MODE", "randread, randwrite, read or write", 0, 0},
		{"duration", OPT_SECONDS, &seconds, "S", "measured time (default 2)", 1, 0},
		{"warm-up", OPT_SECONDS, &warm_up, "S", "time before it (default 0.5)", 0, 0},
		{"pid", OPT_U64, &pid, "PID", "the target's process", 1, 0},
		{"one-by-one", OPT_FLAG, &one_by_one, NULL, "one PDU a send", 0, 0},
		{0},
	};
	const struct opts o = {.name = "iload",
			       .synopsis = "[options] HOST PORT IQN LUN",
			       .description = "Loads an iSCSI target.",
			       .table = table,
			       .min_operands = 4,
			       .max_operands = 4};
	int n;

	log_init("iload");
	n = opts_parse(&o, argc, argv);
	if (n < 0)
		return opts_exit(n);
	raw_target = (struct raw_target){argv[1], argv[2], argv[3], (uint8_t)atoi(argv[4])};
	is_write = strstr(mode, "write") != NULL;
	is_random = strncmp(mode, "rand", 4) == 0;
	l = loop_new();
	clients = calloc(conns, sizeof(*clients));
	payload = malloc(size);
	if (!l || !clients || !payload)
		die("out of memory");
	for (uint64_t i = 0; i + 8 <= size; i += 8) {
		uint64_t r = random_number();

		memcpy(payload + i, &r, sizeof(r));
	}
	for (unsigned i = 0; i < conns; i++)
		open_client(&clients[i], i);
	for (unsigned i = 0; i < conns; i++)
		on_event(&clients[i], 0);
	loop_timer_set(l, &timer, warm_up, on_warm, NULL);
	loop_timer_set(l, &stall_timer, STALL, on_stall, NULL);
	loop_run(l);
	print();
	return 0;
}
