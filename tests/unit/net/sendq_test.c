/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes on their way out: order, chunks, bounds. */
#include "net/sendq.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

/* Pieces of every kind of size come out as they went in, however little the reader takes. */
static void test_order(void)
{
	static const size_t sizes[] = {1, 7, 4096, 65536, SENDQ_CHUNK, SENDQ_CHUNK + 1, 1 << 20, 0};
	struct sendq q = {.keep = 2};
	uint8_t in = 0, out = 0, got[50000];
	int sv[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	for (unsigned round = 0; round < 20; round++) {
		size_t total = 0, seen = 0;
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint8_t *to = sendq_room(&q, sizes[i]);
			if (!CHECK(to != NULL))
				return;
			for (size_t k = 0; k < sizes[i]; k++)
				to[k] = in++;
			sendq_add(&q, sizes[i]);
			total += sizes[i];
		}
		CHECK_EQ(q.queued, total);
		while (seen < total) {
			ssize_t n = sendq_write(&q, sv[0]);
			CHECK(n >= 0 || n == -EAGAIN);
			n = recv(sv[1], got, sizeof(got), MSG_DONTWAIT);
			for (ssize_t k = 0; k < n; k++)
				if (got[k] != out++)
					seen = total + 1; /* and out of both loops */
			seen += n > 0 ? (size_t)n : 0;
		}
		if (!CHECK_EQ(seen, total))
			break;
		CHECK_EQ(q.queued, 0);
		CHECK(q.spares <= 2);
	}
	CHECK_EQ(sendq_write(&q, sv[0]), 0);
	close(sv[1]);
	CHECK(sendq_room(&q, 1) != NULL);
	sendq_add(&q, 1);
	CHECK_EQ(sendq_write(&q, sv[0]), -EPIPE);
	close(sv[0]);
	sendq_free(&q);
	CHECK_EQ(q.queued, 0);
	sendq_free(&q);
}

/* A place that is not used costs nothing, and a smaller part of it may be used. */
static void test_room_is_a_promise_only(void)
{
	struct sendq q = {0};
	char got[8];
	int sv[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK(sendq_room(&q, 1000) != NULL);
	CHECK_EQ(q.queued, 0);
	CHECK_EQ(sendq_write(&q, sv[0]), 0);
	memcpy(sendq_room(&q, 1000), "abc", 3);
	sendq_add(&q, 2);
	memcpy(sendq_room(&q, 2 * SENDQ_CHUNK), "de", 2);
	sendq_add(&q, 2);
	CHECK_EQ(sendq_write(&q, sv[0]), 4);
	CHECK_EQ(recv(sv[1], got, sizeof(got), 0), 4);
	CHECK_MEM(got, "abde", 4);
	close(sv[0]);
	close(sv[1]);
	sendq_free(&q);
}

int main(void)
{
	CHECK_RUN(test_order);
	CHECK_RUN(test_room_is_a_promise_only);
	return CHECK_DONE();
}
