/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load for one AoE target, as tests/bench/iload.c is for iSCSI: operations of a number of bytes
 * under way, each cut into frames of as many sectors as the target takes. Runs what its standard
 * input says, a line DEPTH BYTES randread|randwrite WARM_MS MEASURED_MS at a time, and answers each
 * with a line of name=value: operations a second, latency, the CPU time of the target's process,
 * retransmits. It looks for answers all the time and never sleeps: whom a target has to wake costs
 * the target time.
 * usage: load INTERFACE SHELF SLOT PID
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/hist.h"
#include "core/loop.h"
#include "tests/aoe/wire.h"

#define OPS	  64u
#define FRAMES	  63u /* of one operation */
#define TIMEOUT	  (100 * MS_NS)
#define BATCH	  64u
#define PIECE_MAX 9216u

struct op {
	uint64_t began, lba;
	uint64_t waiting; /* a bit for each frame that has no answer */
	uint64_t sent;
};

static struct {
	unsigned depth, size, warm_ms, measured_ms;
	bool write;
} job;

static struct wire wire;
static unsigned per_frame; /* sectors */
static uint64_t sectors, seed = 88172645463325252ull, done, again;
static struct op ops[OPS];
static uint32_t round_number;
static bool measuring;
static struct hist latency;
static unsigned long pid;
static uint8_t out[BATCH][PIECE_MAX];
static struct iovec out_iov[BATCH];
static struct mmsghdr out_msg[BATCH];
static unsigned out_n;

static void die(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void flush(void)
{
	for (unsigned at = 0; at < out_n;) {
		int n = sendmmsg(wire.fd, out_msg + at, out_n - at, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
			die(strerror(errno));
		at += n > 0 ? (unsigned)n : 0;
	}
	out_n = 0;
}

static unsigned pieces(void)
{
	return (job.size / AOE_SECTOR + per_frame - 1) / per_frame;
}

static unsigned piece_sectors(unsigned i)
{
	return MIN(per_frame, job.size / AOE_SECTOR - i * per_frame);
}

/* A tag tells the round, the operation and its frame. */
static void send_piece(unsigned o, unsigned i)
{
	uint8_t *f = out[out_n];
	unsigned n = piece_sectors(i);
	wire_ata(&wire, f, job.write ? ATA_WRITE_EXT : ATA_READ_EXT,
		 ops[o].lba + (uint64_t)i * per_frame, n, round_number << 16 | o << 8 | i);
	out_iov[out_n] = (struct iovec){
		f, AOE_ATA_DATA + (job.write ? n * AOE_SECTOR : AOE_FRAME_MIN - AOE_ATA_DATA)};
	out_msg[out_n].msg_hdr = (struct msghdr){.msg_iov = &out_iov[out_n], .msg_iovlen = 1};
	if (++out_n == BATCH)
		flush();
}

static void begin(unsigned o)
{
	uint64_t places = sectors * AOE_SECTOR / job.size;
	ops[o] = (struct op){.began = clock_ns(),
			     .lba = random_number() % places * (job.size / AOE_SECTOR),
			     .waiting = (1ull << pieces()) - 1};
	ops[o].sent = ops[o].began;
	for (unsigned i = 0; i < pieces(); i++)
		send_piece(o, i);
}

static bool take(void *arg, const uint8_t *f, size_t len)
{
	uint32_t tag = get_be32(f + AOE_TAG);
	unsigned o = tag >> 8 & 0xff, i = tag & 0xff;
	(void)arg;
	if (!(f[AOE_FLAGS] & AOE_RESPONSE) || f[AOE_COMMAND] != AOE_ATA ||
	    tag >> 16 != (round_number & 0xffff) || o >= job.depth || i >= pieces() ||
	    !(ops[o].waiting & 1ull << i))
		return true;
	if (f[AOE_FLAGS] & AOE_IS_ERROR || f[AOE_ATA_COMMAND] & (ATA_ERR | ATA_DF))
		die("an operation failed");
	if (!job.write && len < AOE_ATA_DATA + piece_sectors(i) * AOE_SECTOR)
		die("data is missing");
	ops[o].waiting &= ~(1ull << i);
	if (ops[o].waiting)
		return true;
	if (measuring) {
		hist_add(&latency, clock_ns() - ops[o].began);
		done++;
	}
	begin(o);
	return true;
}

static void repeat_lost(uint64_t now)
{
	for (unsigned o = 0; o < job.depth; o++) {
		if (now - ops[o].sent < TIMEOUT)
			continue;
		ops[o].sent = now;
		for (unsigned i = 0; i < pieces(); i++)
			if (ops[o].waiting & 1ull << i) {
				send_piece(o, i);
				again++;
			}
	}
}

static void run_until(uint64_t end)
{
	uint64_t now;
	for (unsigned turn = 0;; turn++) {
		wire_poll(&wire, take, NULL);
		flush();
		if (turn % 64)
			continue;
		now = clock_ns();
		if (now >= end)
			return;
		repeat_lost(now);
	}
}

/* CPU time so far of the target's process, all its threads, in ns. */
static uint64_t cpu_of_target(void)
{
	uint64_t sum = 0;
	char command[128];
	unsigned long long ns;
	FILE *f;
	snprintf(command, sizeof(command), "cat /proc/%lu/task/*/schedstat", pid);
	f = popen(command, "re");
	while (f && fscanf(f, "%llu %*u %*u", &ns) == 1)
		sum += ns;
	if (!f || pclose(f) || !sum)
		die("no such target");
	return sum;
}

static uint64_t own_cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SEC_NS + (uint64_t)t.tv_nsec;
}

static void run_job(void)
{
	uint64_t start, target, own, ns;
	hist_reset(&latency);
	done = again = 0;
	measuring = false;
	round_number++;
	for (unsigned o = 0; o < job.depth; o++)
		begin(o);
	run_until(clock_ns() + job.warm_ms * MS_NS);
	target = cpu_of_target();
	own = own_cpu();
	start = clock_ns();
	measuring = true;
	run_until(start + job.measured_ms * MS_NS);
	ns = clock_ns() - start;
	own = own_cpu() - own;
	target = cpu_of_target() - target;
	printf("iops=%.0f mibs=%.1f mean_us=%.1f p50_us=%.1f p99_us=%.1f cpu_us_op=%.2f "
	       "target_cpu=%.2f client_cpu=%.2f again=%llu\n",
	       (double)done * 1e9 / (double)ns,
	       (double)done * job.size * 1e9 / (double)ns / (1 << 20), hist_mean(&latency) / 1e3,
	       (double)hist_quantile(&latency, 0.5) / 1e3,
	       (double)hist_quantile(&latency, 0.99) / 1e3,
	       done ? (double)target / 1e3 / (double)done : 0, (double)target / (double)ns,
	       (double)own / (double)ns, (unsigned long long)again);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[256], mode[16];
	struct wire_target t;
	if (argc != 5 || wire_open(&wire, argv[1]))
		die("usage: load INTERFACE SHELF SLOT PID");
	wire_address(&wire, (uint16_t)atoi(argv[2]), (uint8_t)atoi(argv[3]));
	pid = strtoul(argv[4], NULL, 10);
	if (wire_find(&wire, &t, 5 * SEC_NS))
		die("no target answers");
	sectors = t.sectors;
	per_frame = MIN(t.per_frame, wire.mtu_sectors);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%u %u %15s %u %u", &job.depth, &job.size, mode, &job.warm_ms,
			   &job.measured_ms) != 5 ||
		    job.depth > OPS || !job.depth || job.size % AOE_SECTOR || pieces() > FRAMES)
			die("an input line that makes no sense");
		job.write = strcmp(mode, "randwrite") == 0;
		run_job();
	}
	return 0;
}
