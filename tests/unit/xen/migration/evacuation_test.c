/* SPDX-License-Identifier: BSD-2-Clause */
/* Evacuating a host that the test plays. The `vstor migrate`s that it runs are this program again:
 * see migrate(). */
#include "xen/migration/evacuation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/message.h"

/* Where each vstor migrate notes how it was called: a line each. */
static char path[] = "/tmp/vstor-evacuation-XXXXXX";

/* ---- vstor migrate: a guest's name says what becomes of it ---- */

static int migrate(int argc, char **argv)
{
	const char *guest = argv[argc - 2], *host = argv[argc - 1];
	bool check = strcmp(argv[2], "--check") == 0;
	FILE *log = fopen(getenv("NOTES"), "a");

	for (int i = 1; i < argc; i++)
		fprintf(log, "%s%s", argv[i], i + 1 < argc ? " " : "");
	fprintf(log, "%s\n", check || getenv("VSTOR_TURN") ? "" : " without a turn");
	fclose(log);
	if (check && strcmp(guest, "paused") == 0) {
		fprintf(stderr, "vstor: domain paused: cannot be moved to %s: it is paused\n",
			host);
		return 1;
	}
	if (check)
		return 0;
	if (strcmp(guest, "dies") == 0)
		raise(SIGKILL);
	while (strcmp(guest, "long") == 0)
		pause(); /* until it is called off */
	return strcmp(guest, "stays") == 0;
}

/* ---- the other hosts ---- */

#define HOSTS 2

static struct world {
	struct loop *loop;
	struct toolstack *t;
	struct evacuation_options o;
	struct migration_way ways[HOSTS];
	struct channel *c[HOSTS]; /* the host's end */
	bool silent;		  /* the second host does not answer */
	unsigned int protocol;	  /* that the hosts speak */
	struct evacuation *e;
	struct evacuation_state s;
	bool planned;
	int ended; /* what done() was told; 1: not yet */
	void (*when_planned)(void);
	struct loop_timer timer;
} w;

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct channel **c = arg;
	struct buf b = {0};

	(void)p;
	(void)n;
	CHECK_EQ(type, MSG_HELLO);
	message_put(&b, "protocol", "%u", w.protocol);
	message_put(&b, "vstor", "7.8.9");
	message_put(&b, "free_kib", "1000000");
	message_put(&b, "total_kib", "4000000");
	message_put(&b, "cpus", "4");
	message_put(&b, "idle_ns", "0");
	message_put(&b, "at_ns", "%llu", (unsigned long long)clock_ns());
	CHECK_EQ(message_send(*c, MSG_HELLO, &b), 0);
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	struct channel **c = arg;

	(void)err;
	(void)text;
	channel_free(*c);
	*c = NULL;
}

static const struct channel_ops host_ops = {.on_frame = on_frame, .on_close = on_close};

static int open_way(void *arg, struct loop *l, const struct channel_config *cfg,
		    struct channel **out)
{
	struct channel **c = arg;
	const struct channel_config theirs = {
		.ops = &host_ops, .arg = c, .peer = "us", .server = true};
	int sv[2];

	if (w.silent && c == &w.c[1])
		return -EHOSTUNREACH;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	channel_free(*c);
	CHECK_EQ(channel_new(l, sv[1], sv[1], &theirs, c), 0);
	return channel_new(l, sv[0], sv[0], cfg, out);
}

/* ---- an evacuation ---- */

static void on_planned(void *arg)
{
	(void)arg;
	CHECK(!w.planned);
	w.planned = true;
	if (w.when_planned)
		w.when_planned();
}

static void on_done(void *arg, int err)
{
	(void)arg;
	CHECK_EQ(w.ended, 1);
	w.ended = err;
	loop_stop(w.loop, 0);
}

static void begin(const char *const *guests)
{
	static const char *const way_words[] = {"--tcp", "7002", NULL}, *const move_words[] = {
										"--max-downtime",
										"100", NULL};
	static const char *const names[] = {"b", "c"};

	fake_reset();
	CHECK_EQ(truncate(path, 0), 0);
	w = (struct world){.loop = loop_new(), .ended = 1, .protocol = MIGRATION_PROTOCOL};
	for (unsigned i = 0; guests[i]; i++)
		fake_domain_new(5 + i, guests[i]);
	for (unsigned i = 0; i < HOSTS; i++)
		w.ways[i] =
			(struct migration_way){.open = open_way, .arg = &w.c[i], .host = names[i]};
	w.o = (struct evacuation_options){.ways = w.ways,
					  .n_hosts = 1,
					  .way_words = way_words,
					  .move_words = move_words,
					  .silent = true,
					  .parallel = 2,
					  .sample_ns = MS_NS};
	CHECK_EQ(toolstack_open(w.loop, &w.t), 0);
}

static void evacuate(void)
{
	CHECK_EQ(evacuation_start(w.loop, w.t, &w.o, on_planned, on_done, NULL, &w.e), 0);
	CHECK(!w.planned && w.ended == 1);
	loop_run(w.loop);
	evacuation_state(w.e, &w.s);
}

static void end(void)
{
	evacuation_free(w.e);
	for (unsigned i = 0; i < HOSTS; i++)
		channel_free(w.c[i]);
	loop_timer_del(w.loop, &w.timer);
	toolstack_close(w.t);
	loop_free(w.loop);
	CHECK_EQ(fake.open, 0);
}

/* How often a vstor migrate was run in just this way. */
static unsigned ran(const char *words)
{
	char line[256];
	unsigned n = 0;
	FILE *f = fopen(path, "r");

	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		n += !words || strcmp(line, words) == 0;
	}
	fclose(f);
	return n;
}

static void test_all_move(void)
{
	begin((const char *const[]){"one", "two", "three", NULL});
	evacuate();
	CHECK_EQ(w.ended, 0);
	CHECK(w.planned);
	CHECK_EQ(w.s.n_guests, 3);
	CHECK_EQ(w.s.n_steps, 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(w.s.is[i], EVACUATE_MOVED);
	CHECK_EQ(ran("migrate --check --tcp 7002 -- two b"), 1);
	CHECK_EQ(ran("migrate --tcp 7002 --max-downtime 100 -- two b"), 1);
	CHECK_EQ(ran(NULL), 6);
	end();
}

/* Every guest is tried with every host; nothing moves. */
static void test_a_plan_only(void)
{
	begin((const char *const[]){"one", "paused", NULL});
	w.o.n_hosts = 2;
	w.o.plan_only = true;
	evacuate();
	CHECK_EQ(w.ended, 0);
	CHECK(w.planned);
	CHECK_EQ(w.s.n_steps, 1);
	CHECK_EQ(w.s.guests[0].accepted, 3);
	CHECK_EQ(w.s.guests[1].accepted, 0);
	CHECK_EQ(w.s.why[1], PLAN_NOT_ACCEPTED);
	CHECK_STR(w.s.refusals[1], "c: it is paused");
	CHECK_EQ(ran("migrate --check --tcp 7002 -- paused c"), 1);
	CHECK_EQ(ran(NULL), 4);
	end();
}

/* Whatever becomes of one, the others go. */
static void test_goes_on(void)
{
	begin((const char *const[]){"stays", "dies", "paused", "moves", NULL});
	w.o.parallel = 1;
	evacuate();
	CHECK_EQ(w.ended, 0);
	CHECK_EQ(w.s.is[0], EVACUATE_FAILED);
	CHECK_EQ(w.s.status[0], 1);
	CHECK_EQ(w.s.is[1], EVACUATE_FAILED);
	CHECK_EQ(w.s.status[1], 128 + SIGKILL);
	CHECK_EQ(w.s.is[2], EVACUATE_WAITS);
	CHECK_EQ(w.s.is[3], EVACUATE_MOVED);
	end();
}

/* A host with an older vstor, or a newer one: what it tells of itself is not taken for what it
 * would mean here. */
static void test_a_host_of_another_version(void)
{
	for (unsigned int p = MIGRATION_PROTOCOL - 1; p <= MIGRATION_PROTOCOL + 1; p += 2) {
		begin((const char *const[]){"one", NULL});
		w.protocol = p;
		evacuate();
		CHECK_EQ(w.ended, -EPROTO);
		CHECK(!w.planned);
		CHECK_EQ(ran(NULL), 0);
		end();
	}
}

/* A host that does not answer: nothing is planned, nothing is checked. */
static void test_a_host_is_silent(void)
{
	begin((const char *const[]){"one", NULL});
	w.o.n_hosts = 2;
	w.silent = true;
	evacuate();
	CHECK_EQ(w.ended, -EHOSTUNREACH);
	CHECK(!w.planned);
	CHECK_EQ(ran(NULL), 0);
	end();
}

static void test_the_hypervisor_is_silent(void)
{
	begin((const char *const[]){"one", NULL});
	fake.no_physinfo = true;
	CHECK_EQ(evacuation_start(w.loop, w.t, &w.o, on_planned, on_done, NULL, &w.e), -EIO);
	w.e = NULL;
	end();
}

static void cancel_when_it_moves(void *arg)
{
	(void)arg;
	if (!ran("migrate --tcp 7002 --max-downtime 100 -- long b"))
		loop_timer_set(w.loop, &w.timer, 5 * MS_NS, cancel_when_it_moves, NULL);
	else
		evacuation_cancel(w.e);
}

static void cancel_later(void)
{
	loop_timer_set(w.loop, &w.timer, 0, cancel_when_it_moves, NULL);
}

/* What is under way is called off, what has not begun does not begin. */
static void test_called_off(void)
{
	begin((const char *const[]){"long", "next", NULL});
	w.o.parallel = 1;
	w.when_planned = cancel_later;
	evacuate();
	CHECK_EQ(w.ended, 0);
	CHECK_EQ(w.s.is[0], EVACUATE_FAILED);
	CHECK_EQ(w.s.is[1], EVACUATE_WAITS);
	CHECK_EQ(ran("migrate --tcp 7002 --max-downtime 100 -- next b"), 0);
	end();
}

static void cancel_now(void *arg)
{
	(void)arg;
	evacuation_cancel(w.e);
}

static void test_called_off_before_the_plan(void)
{
	begin((const char *const[]){"one", NULL});
	loop_timer_set(w.loop, &w.timer, 0, cancel_now, NULL);
	evacuate();
	CHECK_EQ(w.ended, -ECANCELED);
	CHECK(!w.planned);
	end();
}

int main(int argc, char **argv)
{
	int fd;

	if (argc > 1 && strcmp(argv[1], "migrate") == 0)
		return migrate(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	fd = mkstemp(path);
	if (fd < 0)
		return 1;
	close(fd);
	setenv("NOTES", path, 1);
	CHECK_RUN(test_all_move);
	CHECK_RUN(test_a_plan_only);
	CHECK_RUN(test_goes_on);
	CHECK_RUN(test_a_host_of_another_version);
	CHECK_RUN(test_a_host_is_silent);
	CHECK_RUN(test_the_hypervisor_is_silent);
	CHECK_RUN(test_called_off);
	CHECK_RUN(test_called_off_before_the_plan);
	unlink(path);
	return CHECK_DONE();
}
