/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender asks a receiver, played here, what became of its guest. */
#include "xen/migration/inquiry.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "tests/unit/check.h"
#include "xen/message.h"

#define ID "0123456789abcdef0123456789abcdef"

/* Answers one channel after the other with the next of these words; NULL hangs up instead. */
struct oracle {
	struct loop *loop;
	const char *const *words;
	unsigned int opened, asked;
	struct channel *c;
	enum handover_is is;
	bool done;
	struct inquiry *q; /* who asks */
	const struct migration_way *way;
};

static void on_done(void *arg, enum handover_is is);

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct oracle *o = arg;
	const char *word = o->words[o->asked++];
	struct buf b = {0};
	char id[40], mode[16];

	CHECK_EQ(type, MSG_HELLO);
	CHECK_EQ(message_get(p, n, "id", id, sizeof(id)), 0);
	CHECK_STR(id, ID);
	CHECK_EQ(message_get(p, n, "mode", mode, sizeof(mode)), 0);
	CHECK_STR(mode, "ask");
	if (word && strcmp(word, "silence") == 0)
		return true;
	if (word && strcmp(word, "anew") == 0) {
		inquiry_start(o->q, o->loop, o->way, ID, 30 * SEC_NS, 30 * SEC_NS, on_done, o);
		return true;
	}
	if (!word) {
		channel_free(o->c);
		o->c = NULL;
		return true;
	}
	message_put(&b, "is", "%s", word);
	CHECK_EQ(message_send(o->c, MSG_ANSWER, &b), 0);
	channel_finish(o->c);
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	struct oracle *o = arg;

	(void)err;
	(void)text;
	channel_free(o->c);
	o->c = NULL;
}

static const struct channel_ops oracle_ops = {.on_frame = on_frame, .on_close = on_close};

static int open_way(void *arg, struct loop *l, const struct channel_config *cfg,
		    struct channel **out)
{
	struct oracle *o = arg;
	const struct channel_config mine = {
		.ops = &oracle_ops, .arg = o, .peer = "sender", .server = true};
	int sv[2];

	o->opened++;
	if (o->words[o->asked] && strcmp(o->words[o->asked], "unreachable") == 0) {
		o->asked++;
		return -EHOSTUNREACH;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	channel_free(o->c);
	CHECK_EQ(channel_new(l, sv[1], sv[1], &mine, &o->c), 0);
	return channel_new(l, sv[0], sv[0], cfg, out);
}

static void on_done(void *arg, enum handover_is is)
{
	struct oracle *o = arg;

	CHECK(!o->done);
	o->done = true;
	o->is = is;
	loop_stop(o->loop, 0);
}

static enum handover_is asked_for(const char *const *words, uint64_t silence_ns, uint64_t limit_ns,
				  unsigned int *opened)
{
	struct oracle o = {.loop = loop_new(), .words = words, .is = HANDOVER_BUSY};
	const struct migration_way way = {.open = open_way, .arg = &o, .host = "oracle"};
	struct inquiry q = {0};

	o.q = &q;
	o.way = &way;
	inquiry_stop(&q);
	inquiry_start(&q, o.loop, &way, ID, silence_ns, limit_ns, on_done, &o);
	CHECK(!o.done);
	loop_run(o.loop);
	inquiry_stop(&q);
	channel_free(o.c);
	loop_free(o.loop);
	*opened = o.opened;
	return o.is;
}

static enum handover_is answer_to(const char *const *words, uint64_t limit_ns, unsigned int *opened)
{
	return asked_for(words, limit_ns, limit_ns, opened);
}

static void test_answers(void)
{
	static const char *const running[] = {"running", NULL}, *const gone[] = {"gone", NULL},
				 *const unknown[] = {"unknown", NULL};
	unsigned int opened;

	CHECK_EQ(answer_to(running, 30 * SEC_NS, &opened), HANDOVER_RUNNING);
	CHECK_EQ(opened, 1);
	CHECK_EQ(answer_to(gone, 30 * SEC_NS, &opened), HANDOVER_GONE);
	CHECK_EQ(answer_to(unknown, 30 * SEC_NS, &opened), HANDOVER_UNKNOWN);
}

static void test_asks_again(void)
{
	static const char *const words[] = {"unreachable", NULL, "busy", "running", NULL};
	unsigned int opened;

	CHECK_EQ(answer_to(words, 60 * SEC_NS, &opened), HANDOVER_RUNNING);
	CHECK_EQ(opened, 4);
}

/* By whoever asks: the question before is given up. */
static void test_asked_anew(void)
{
	static const char *const words[] = {"anew", "anew", "running", NULL};
	unsigned int opened;

	CHECK_EQ(answer_to(words, 1 * SEC_NS, &opened), HANDOVER_RUNNING);
	CHECK_EQ(opened, 3);
}

static void test_gives_up(void)
{
	static const char *const words[] = {"nonsense", "nonsense", "nonsense", NULL};
	unsigned int opened;

	CHECK_EQ(answer_to(words, 3 * SEC_NS, &opened), HANDOVER_UNKNOWN);
	CHECK(opened >= 1);
}

/* A peer that takes the question, and lives, but gives no answer does not hold us. */
static void test_silence(void)
{
	static const char *const words[] = {"silence", NULL};
	unsigned int opened;

	CHECK_EQ(answer_to(words, SEC_NS / 2, &opened), HANDOVER_UNKNOWN);
	CHECK_EQ(opened, 1);
}

/* Who says that it is at it is asked for longer than who says nothing; but not for ever. */
static void test_at_it(void)
{
	static const char *const at_it[] = {"busy", "busy", "gone", NULL},
				 *const unreachable[] = {"unreachable", "unreachable",
							 "unreachable", "gone", NULL},
				 *const for_ever[] = {"busy", "busy", "busy", "busy", NULL};
	unsigned int opened;

	CHECK_EQ(asked_for(at_it, 3 * SEC_NS, 60 * SEC_NS, &opened), HANDOVER_GONE);
	CHECK_EQ(opened, 3);
	CHECK_EQ(asked_for(unreachable, 3 * SEC_NS, 60 * SEC_NS, &opened), HANDOVER_UNKNOWN);
	CHECK(opened < 4);
	CHECK_EQ(asked_for(for_ever, 3 * SEC_NS, 3 * SEC_NS, &opened), HANDOVER_UNKNOWN);
	CHECK(opened < 4);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	CHECK_RUN(test_answers);
	CHECK_RUN(test_asks_again);
	CHECK_RUN(test_asked_anew);
	CHECK_RUN(test_gives_up);
	CHECK_RUN(test_silence);
	CHECK_RUN(test_at_it);
	return CHECK_DONE();
}
