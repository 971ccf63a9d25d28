/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/yield.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "tests/unit/check.h"

#define LINK	12.5e6 /* bytes/s */
#define STEP_S	((double)YIELD_STEP_NS / 1e9)
#define LONGEST 150000 /* bytes of the link's queue: 12 ms of it */

/* A link with one queue for all; what comes when that is full is lost, and the sender sends less.
 */
struct way {
	double queue;
	double most; /* what TCP would send by itself */
};

/* One step with another sender of `other` bytes/s; what of ours got through. */
static double step(struct way *w, struct yield *y, double other)
{
	double sent = MIN(y->rate > 0 ? y->rate : w->most, w->most) * STEP_S, in, out, ours;

	in = sent + other * STEP_S;
	out = MIN(w->queue + in, LINK * STEP_S);
	ours = out * sent / in;
	w->queue = MIN(w->queue + in - out, LONGEST);
	yield_rate(y, w->queue / LINK * 1e6, ours / STEP_S);
	return ours / STEP_S;
}

static void test_alone(void)
{
	struct yield y = {.best = LINK};
	struct way w = {.most = 2 * LINK};
	double sum = 0, longest = 0;

	for (int i = 0; i < 400; i++) {
		double got = step(&w, &y, 0);

		if (i >= 200) {
			sum += got / 200;
			longest = MAX(longest, w.queue);
		}
	}
	CHECK(sum > 0.8 * LINK);
	CHECK(longest < LINK * 4 * YIELD_QUEUE_US / 1e6);
}

/* Another sender gets what it wants within a second, unless that is more than its share. */
static void test_yields(void)
{
	struct yield y = {.best = LINK};
	struct way w = {.most = 2 * LINK};
	double sum = 0;

	for (int i = 0; i < 200; i++)
		step(&w, &y, 0);
	for (int i = 0; i < 200; i++) {
		double got = step(&w, &y, LINK / 2);

		if (i >= 20)
			sum += got / 180;
	}
	CHECK(sum > 0.3 * LINK && sum < 0.55 * LINK);
	CHECK(w.queue < LINK * 4 * YIELD_QUEUE_US / 1e6);
	/* It keeps a quarter. */
	for (int i = 0; i < 200; i++)
		step(&w, &y, 3 * LINK);
	CHECK(y.rate > 0.2 * LINK);
}

/* The disks are busy before the first byte goes: the stream begins all the same, and gains. */
static void test_busy_from_the_start(void)
{
	struct yield y = {0};
	double rate = yield_rate(&y, 50000, 0), first = rate;

	CHECK(rate >= YIELD_LEAST);
	for (unsigned i = 0; i < 100; i++)
		rate = yield_rate(&y, 50000, 0); /* nothing arrives, and the delay is another's */
	CHECK(rate >= YIELD_LEAST);
	for (unsigned i = 0; i < 100; i++)
		rate = yield_rate(&y, 0, rate);
	CHECK(rate > 2 * first);
}

static void test_sockets(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), sv[2];
	static const uint8_t bytes[64 << 10];
	unsigned limit;
	socklen_t n = sizeof(limit);
	uint64_t now;
	struct yield y;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(yield_init(&y, sv[0]), -ENOTSUP); /* ssh's pipe */
	CHECK_EQ(bind(l, (struct sockaddr *)&a, len), 0);
	CHECK_EQ(listen(l, 1), 0);
	getsockname(l, (struct sockaddr *)&a, &len);
	CHECK_EQ(connect(c, (struct sockaddr *)&a, len), 0);
	CHECK_EQ(yield_init(&y, c), 0);
	now = y.at;
	y.best = 16000000;
	/* Its source is slower than the link. */
	for (unsigned i = 0; i < 20; i++)
		yield_step(&y, now += YIELD_STEP_NS, true);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_MAX_PACING_RATE, &limit, &n), 0);
	CHECK(limit == UINT32_MAX);
	/* Nobody takes what it sends. */
	while (send(c, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	for (unsigned i = 0; i < 20; i++)
		yield_step(&y, now += YIELD_STEP_NS, true);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_MAX_PACING_RATE, &limit, &n), 0);
	CHECK_EQ(limit, 4000000);
	yield_step(&y, now += YIELD_STEP_NS, false);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_MAX_PACING_RATE, &limit, &n), 0);
	CHECK(limit == UINT32_MAX);
	close(l);
	close(c);
	close(sv[0]);
	close(sv[1]);
}

int main(void)
{
	CHECK_RUN(test_alone);
	CHECK_RUN(test_yields);
	CHECK_RUN(test_busy_from_the_start);
	CHECK_RUN(test_sockets);
	return CHECK_DONE();
}
