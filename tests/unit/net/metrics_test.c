/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/metrics.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "net/sock.h"
#include "tests/unit/check.h"

#define ASKERS 64

static struct loop *loop;
static struct metrics *metrics;
static unsigned pages;

static void page(void *arg, FILE *f)
{
	(void)arg;
	pages++;
	fputs("answer 42\n", f);
}

/* A client in the same loop: sends what it has, reads until the end. */
struct asker {
	int fd;
	struct loop_fd watch;
	struct buf got;
	bool ended;
};
static unsigned waiting;

static void on_event(void *arg, unsigned events)
{
	struct asker *a = arg;
	char b[1024];
	ssize_t n = recv(a->fd, b, sizeof(b), MSG_DONTWAIT);
	(void)events;
	if (n > 0) {
		buf_put(&a->got, b, (size_t)n);
		return;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	a->ended = true;
	loop_fd_del(loop, &a->watch);
	if (--waiting == 0)
		loop_stop(loop, 0);
}

static bool ask(struct asker *a, const void *request, size_t len)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(metrics_port(metrics)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	*a = (struct asker){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (!CHECK_EQ(connect(a->fd, (struct sockaddr *)&to, sizeof(to)), 0))
		return false;
	if (len && !CHECK_EQ(send(a->fd, request, len, MSG_NOSIGNAL), (long long)len))
		return false;
	return CHECK_EQ(loop_fd_add(loop, &a->watch, a->fd, LOOP_READ, on_event, a), 0);
}

static void leave(struct asker *a)
{
	loop_fd_del(loop, &a->watch);
	close(a->fd);
	buf_free(&a->got);
}

/* The reply to a request, in a static buffer. */
static const char *reply_to(const char *request)
{
	static char text[4096];
	struct asker a;
	waiting = 1;
	text[0] = '\0';
	if (ask(&a, request, strlen(request))) {
		loop_run(loop);
		snprintf(text, sizeof(text), "%.*s", (int)a.got.len, (char *)a.got.data);
	}
	leave(&a);
	return text;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void test_a_page(void)
{
	const char *text;
	pages = 0;
	text = reply_to("GET /metrics HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n");
	CHECK(begins(text, "HTTP/1.0 200 OK\r\n"));
	CHECK(strstr(text, "\r\nContent-Length: 10\r\n") != NULL);
	CHECK(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4") != NULL);
	CHECK(strstr(text, "\r\n\r\nanswer 42\n") != NULL);
	CHECK(begins(reply_to("GET /metrics?a=b HTTP/1.0\n\n"), "HTTP/1.0 200 OK\r\n"));
	text = reply_to("HEAD /metrics HTTP/1.1\r\n\r\n");
	CHECK(begins(text, "HTTP/1.0 200 OK\r\n"));
	CHECK(strstr(text, "answer") == NULL);
	CHECK_EQ(pages, 3);
}

static void test_what_is_no_page(void)
{
	static char longest[8000];
	pages = 0;
	CHECK(begins(reply_to("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.0 404 "));
	CHECK(begins(reply_to("GET /metricsx HTTP/1.1\r\n\r\n"), "HTTP/1.0 404 "));
	CHECK(begins(reply_to("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
		     "HTTP/1.0 405 "));
	CHECK(begins(reply_to("\r\n\r\n"), "HTTP/1.0 400 "));
	CHECK(begins(reply_to("GET\r\n\r\n"), "HTTP/1.0 400 "));
	CHECK(begins(reply_to("GET /metrics\r\n\r\n"), "HTTP/1.0 400 "));
	CHECK(begins(reply_to("GET /metrics FTP/1.1\r\n\r\n"), "HTTP/1.0 400 "));
	memset(longest, 'x', sizeof(longest) - 1);
	CHECK(begins(reply_to(longest), "HTTP/1.0 431 "));
	CHECK_EQ(pages, 0);
}

static void test_who_says_nothing_makes_room(void)
{
	static struct asker silent[ASKERS], last;
	static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
	unsigned ended = 0;

	waiting = UINT32_MAX; /* the silent ones' ends do not count */
	for (unsigned i = 0; i < ASKERS; i++)
		if (!ask(&silent[i], "GET /me", i % 2 ? 7 : 0))
			return;
	if (!ask(&last, request, sizeof(request) - 1))
		return;
	while (!last.ended) {
		waiting = 1; /* whoever ends next stops the loop */
		loop_run(loop);
	}
	CHECK(last.got.len > 100);
	for (unsigned i = 0; i < ASKERS; i++) {
		ended += silent[i].ended;
		leave(&silent[i]);
	}
	leave(&last);
	CHECK(ended >= ASKERS - 16);
}

static void test_a_port_serves_one(void)
{
	struct metrics *second;
	char address[32];
	snprintf(address, sizeof(address), "127.0.0.1:%u", metrics_port(metrics));
	CHECK_EQ(log_set_destination("syslog"), 0); /* the message is not what is tested */
	CHECK_EQ(metrics_open(&second, loop, address, page, NULL), -EADDRINUSE);
	CHECK(second == NULL);
}

int main(void)
{
	loop = loop_new();
	if (metrics_open(&metrics, loop, "127.0.0.1:0", page, NULL)) {
		puts("not ok net/metrics: cannot listen");
		return 1;
	}
	CHECK_RUN(test_a_page);
	CHECK_RUN(test_what_is_no_page);
	CHECK_RUN(test_who_says_nothing_makes_room);
	CHECK_RUN(test_a_port_serves_one);
	metrics_close(metrics);
	loop_free(loop);
	return CHECK_DONE();
}
