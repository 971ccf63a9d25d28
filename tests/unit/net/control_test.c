/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/control.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/vstor-control-XXXXXX", path[64];
static struct loop *loop;
static unsigned served;
static struct control_request *kept;

/* `later` is answered by the next request; `file` with what is in the file that came along; others
 * come back joined by a slash. */
static void serve(void *arg, struct control_request *r, char *const *words, unsigned n)
{
	(void)arg;
	served++;
	if (strcmp(words[0], "later") == 0) {
		kept = r;
		return;
	}
	if (kept) {
		fputs("at last", control_text(kept));
		control_reply(kept, 1);
		kept = NULL;
	}
	if (strcmp(words[0], "file") == 0) {
		char b[16];
		int fd = control_fd(r);
		ssize_t got = fd < 0 ? 0 : pread(fd, b, sizeof(b), 0);
		CHECK_EQ(control_fd(r), -1); /* it is ours by now */
		fprintf(control_text(r), "%d %.*s ", fd >= 0, (int)got, b);
		if (fd >= 0)
			close(fd);
	}
	for (unsigned i = 0; i < n; i++)
		fprintf(control_text(r), "%s%s", i ? "/" : "", words[i]);
	if (strcmp(words[0], "big") == 0)
		for (unsigned i = 0; i < 1000000; i++)
			putc('x', control_text(r));
	control_reply(r, 0);
}

/* The client blocks: it has a thread of its own, and the loop runs until it ends. */
struct client {
	const char *words[10];
	unsigned n;
	const char *raw; /* sent as it is instead */
	size_t raw_len;
	int file;
	struct buf text;
	int rc;
	pthread_t thread;
	struct loop_task done;
};

static unsigned running;

static void one_less(void *arg)
{
	(void)arg;
	if (--running == 0)
		loop_stop(loop, 0);
}

static int raw_connect(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void send_raw(struct client *c)
{
	int fd = raw_connect();
	char b[256];
	ssize_t n;
	c->rc = -1;
	if (fd < 0)
		return;
	(void)!send(fd, c->raw, c->raw_len, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	while ((n = recv(fd, b, sizeof(b), 0)) > 0)
		buf_put(&c->text, b, (size_t)n);
	close(fd);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	if (c->raw)
		send_raw(c);
	else
		c->rc = control_call(path, c->words, c->n, c->file ? c->file : -1, &c->text);
	buf_put_u8(&c->text, 0);
	c->done.fn = one_less;
	loop_post(loop, &c->done);
	return NULL;
}

static void start(struct client *c)
{
	running++;
	CHECK_EQ(pthread_create(&c->thread, NULL, client_main, c), 0);
}

static void finish(struct client *c, unsigned n)
{
	loop_run(loop);
	for (unsigned i = 0; i < n; i++)
		pthread_join(c[i].thread, NULL);
}

static struct control *open_control(void)
{
	struct control *c;
	CHECK_EQ(control_open(&c, loop, path, serve, NULL), 0);
	served = 0;
	return c;
}

static void test_words_come_and_text_goes(void)
{
	struct control *c = open_control();
	struct client ask = {.words = {"lun", "add", "/a path,size=1"}, .n = 3};
	struct stat st;

	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	start(&ask);
	finish(&ask, 1);
	CHECK_EQ(ask.rc, 0);
	CHECK_STR((char *)ask.text.data, "lun/add//a path,size=1");
	buf_free(&ask.text);
	control_close(c);
	CHECK(stat(path, &st) < 0);
}

static void test_a_long_reply_arrives(void)
{
	struct control *c = open_control();
	struct client ask = {.words = {"big"}, .n = 1};
	start(&ask);
	finish(&ask, 1);
	CHECK_EQ(ask.rc, 0);
	CHECK_EQ(ask.text.len, 3 + 1000000 + 1);
	buf_free(&ask.text);
	control_close(c);
}

static void tick(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

static void test_an_answer_may_come_later(void)
{
	struct control *c = open_control();
	struct client ask[2] = {{.words = {"later"}, .n = 1}, {.words = {"now"}, .n = 1}};
	start(&ask[0]);
	/* The first has been served before the second is sent. */
	while (!kept) {
		struct loop_timer t = {0};
		loop_timer_set(loop, &t, MS_NS, tick, NULL);
		loop_run(loop);
		loop_timer_del(loop, &t);
	}
	start(&ask[1]);
	finish(ask, 2);
	CHECK_EQ(ask[0].rc, 1);
	CHECK_STR((char *)ask[0].text.data, "at last");
	CHECK_EQ(ask[1].rc, 0);
	buf_free(&ask[0].text);
	buf_free(&ask[1].text);
	control_close(c);
}

static void test_nonsense_is_refused(void)
{
	static char many[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n", long_one[40000];
	struct control *c = open_control();
	struct client ask[] = {{.raw = "\n\n", .raw_len = 2},
			       {.raw = "", .raw_len = 0},
			       {.raw = "\0\n\n", .raw_len = 3},
			       {.raw = many, .raw_len = sizeof(many) - 1},
			       {.raw = long_one, .raw_len = sizeof(long_one)}};
	memset(long_one, 'x', sizeof(long_one));
	for (unsigned i = 0; i < ARRAY_SIZE(ask); i++)
		start(&ask[i]);
	finish(ask, ARRAY_SIZE(ask));
	CHECK_EQ(served, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ask); i++) {
		CHECK_STR((char *)ask[i].text.data, "1\nnot a request");
		buf_free(&ask[i].text);
	}
	control_close(c);
}

static void test_a_request_may_end_with_the_stream(void)
{
	struct control *c = open_control();
	struct client ask = {.raw = "one\ntwo", .raw_len = 7};
	start(&ask);
	finish(&ask, 1);
	CHECK_STR((char *)ask.text.data, "0\none/two");
	buf_free(&ask.text);
	control_close(c);
}

static void test_a_dead_socket_is_replaced_a_live_one_is_not(void)
{
	struct control *c = open_control(), *other;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct buf text = {0};
	const char *words[] = {"x"};
	int fd;

	CHECK_EQ(control_open(&other, loop, path, serve, NULL), -EADDRINUSE);
	control_close(c);
	CHECK_EQ(control_call(path, words, 1, -1, &text), -ENOENT);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd); /* as one that was killed leaves it */
	CHECK_EQ(control_call(path, words, 1, -1, &text), -ECONNREFUSED);
	c = open_control();
	control_close(c);
	/* What is no socket is not removed. */
	fclose(fopen(path, "w"));
	CHECK_EQ(control_open(&other, loop, path, serve, NULL), -EADDRINUSE);
	CHECK_EQ(unlink(path), 0);
}

static void test_words_that_cannot_be_sent(void)
{
	struct buf text = {0};
	const char *empty[] = {"a", ""}, *line[] = {"a\nb"};
	CHECK_EQ(control_call(path, empty, 2, -1, &text), -EINVAL);
	CHECK_EQ(control_call(path, line, 1, -1, &text), -EINVAL);
}

static unsigned descriptors(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 100; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_a_file_comes_along(void)
{
	struct control *c = open_control();
	FILE *f = tmpfile();
	unsigned before = descriptors();
	struct client with = {.words = {"file"}, .n = 1, .file = fileno(f)},
		      without = {.words = {"file"}, .n = 1},
		      unwanted = {.words = {"word"}, .n = 1, .file = fileno(f)};
	fputs("content", f);
	fflush(f);
	start(&with);
	finish(&with, 1);
	CHECK_STR((char *)with.text.data, "1 content file");
	start(&without);
	finish(&without, 1);
	CHECK_STR((char *)without.text.data, "0  file");
	start(&unwanted);
	finish(&unwanted, 1);
	CHECK_STR((char *)unwanted.text.data, "word");
	buf_free(&with.text);
	buf_free(&without.text);
	buf_free(&unwanted.text);
	fclose(f);
	control_close(c);
	CHECK_EQ(descriptors(), before - 2); /* the file, the socket */
}

int main(void)
{
	if (!mkdtemp(dir)) {
		puts("not ok net/control: no directory");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/new/socket", dir);
	loop = loop_new();
	CHECK_RUN(test_words_come_and_text_goes);
	CHECK_RUN(test_a_long_reply_arrives);
	CHECK_RUN(test_an_answer_may_come_later);
	CHECK_RUN(test_nonsense_is_refused);
	CHECK_RUN(test_a_request_may_end_with_the_stream);
	CHECK_RUN(test_a_dead_socket_is_replaced_a_live_one_is_not);
	CHECK_RUN(test_words_that_cannot_be_sent);
	CHECK_RUN(test_a_file_comes_along);
	loop_free(loop);
	unlink(path);
	path[strlen(path) - strlen("/socket")] = '\0';
	rmdir(path);
	rmdir(dir);
	return CHECK_DONE();
}
