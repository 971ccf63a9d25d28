/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/xenstore_wire.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

#define HEADER sizeof(struct xsd_sockmsg)

static int sv[2];

/* As libxenstore's xs_talkv(): the header, then each part. */
static void ask(const struct xsd_sockmsg *h, const char *const *parts, unsigned n)
{
	CHECK(__wrap_xs_write_all(sv[0], h, HEADER));
	for (unsigned i = 0; i < n; i++)
		CHECK(__wrap_xs_write_all(sv[0], parts[i], (unsigned)strlen(parts[i]) + 1));
}

static void test_one_write_a_request(void)
{
	static const char *const parts[] = {"/local/domain/1/name", "guest"};
	const struct xsd_sockmsg read = {.type = XS_READ, .req_id = 1, .len = 21},
				 write = {.type = XS_WRITE, .req_id = 2, .len = 27},
				 none = {.type = XS_TRANSACTION_START, .req_id = 3};
	uint8_t got[HEADER + XENSTORE_PAYLOAD_MAX];

	/* Of such a socket one read takes what one write has given. */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	ask(&read, parts, 1);
	ask(&write, parts, 2);
	ask(&none, NULL, 0);
	CHECK_EQ(recv(sv[1], got, sizeof(got), MSG_DONTWAIT), HEADER + 21);
	CHECK_MEM(got, &read, HEADER);
	CHECK_MEM(got + HEADER, parts[0], 21);
	CHECK_EQ(recv(sv[1], got, sizeof(got), MSG_DONTWAIT), HEADER + 27);
	CHECK_MEM(got, &write, HEADER);
	CHECK_MEM(got + HEADER, "/local/domain/1/name\0guest", 27);
	CHECK_EQ(recv(sv[1], got, sizeof(got), MSG_DONTWAIT), HEADER);
	CHECK_MEM(got, &none, HEADER);
	CHECK_EQ(recv(sv[1], got, sizeof(got), MSG_DONTWAIT), -1);
	close(sv[0]);
	close(sv[1]);
}

static void test_largest_request(void)
{
	static uint8_t body[XENSTORE_PAYLOAD_MAX + 1], got[HEADER + sizeof(body)];
	struct xsd_sockmsg h = {.type = XS_WRITE, .len = XENSTORE_PAYLOAD_MAX};

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	CHECK(__wrap_xs_write_all(sv[0], &h, HEADER));
	CHECK(__wrap_xs_write_all(sv[0], body, XENSTORE_PAYLOAD_MAX));
	CHECK_EQ(recv(sv[1], got, sizeof(got), MSG_DONTWAIT), HEADER + XENSTORE_PAYLOAD_MAX);
	/* More than the header has told: nothing of it goes out, and the next one begins afresh. */
	h.len = 4;
	CHECK(__wrap_xs_write_all(sv[0], &h, HEADER));
	CHECK(!__wrap_xs_write_all(sv[0], body, 5));
	CHECK_EQ(errno, EINVAL);
	CHECK(__wrap_xs_write_all(sv[0], &h, HEADER));
	CHECK(__wrap_xs_write_all(sv[0], "abc", 4));
	CHECK_EQ(recv(sv[1], got, sizeof(got), MSG_DONTWAIT), HEADER + 4);
	CHECK_MEM(got + HEADER, "abc", 4);
	/* What cannot be written fails with its last part. */
	close(sv[1]);
	signal(SIGPIPE, SIG_IGN);
	CHECK(__wrap_xs_write_all(sv[0], &h, HEADER));
	CHECK(!__wrap_xs_write_all(sv[0], "abc", 4));
	CHECK_EQ(errno, EPIPE);
	close(sv[0]);
}

static volatile sig_atomic_t seen;

static void on_signal(int signo)
{
	seen = signo;
}

/* As xs_talkv() does it around a request. */
static void around(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction old;

	CHECK_EQ(sigaction(SIGPIPE, &ignore, &old), 0);
	raise(SIGPIPE);
	CHECK_EQ(seen, 0);
	CHECK_EQ(sigaction(SIGPIPE, &old, NULL), 0);
}

static void test_sigpipe(void)
{
	const struct sigaction handle = {.sa_handler = on_signal};
	struct sigaction now;

	signal(SIGPIPE, SIG_IGN);
	around();
	around();
	CHECK_EQ(sigaction(SIGPIPE, NULL, &now), 0);
	CHECK(now.sa_handler == SIG_IGN);
	/* Who wants it gets it, and has it again after a request. */
	CHECK_EQ(sigaction(SIGPIPE, &handle, &now), 0);
	CHECK(now.sa_handler == SIG_IGN);
	around();
	around();
	raise(SIGPIPE);
	CHECK_EQ(seen, SIGPIPE);
	CHECK_EQ(sigaction(SIGUSR1, &handle, NULL), 0);
	raise(SIGUSR1);
	CHECK_EQ(seen, SIGUSR1);
}

int main(void)
{
	CHECK_RUN(test_one_write_a_request);
	CHECK_RUN(test_largest_request);
	CHECK_RUN(test_sigpipe);
	return CHECK_DONE();
}
