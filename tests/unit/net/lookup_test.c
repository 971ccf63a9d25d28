/* SPDX-License-Identifier: BSD-2-Clause */
/* Includes what it tests: the name server is one that answers when it is told to. */
#define sock_resolve fake_resolve
#include "net/lookup.c"
#undef sock_resolve

#include <arpa/inet.h>
#include <netinet/in.h>
#include <semaphore.h>

#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

static sem_t may_answer;
static const char *answer; /* an address, or NULL: there is no such host */

int fake_resolve(const char *text, uint16_t port, struct sock_addrs *out)
{
	(void)text;
	while (sem_wait(&may_answer) < 0)
		;
	return answer ? sock_resolve_numeric(answer, port, out) : -ENXIO;
}

static const char *first(const struct sock_addrs *a)
{
	static char text[SOCK_TEXT_MAX];
	return a->n ? sock_text(&a->v[0], text) : "";
}

/* Runs the loop until the thread has answered. */
static struct lookup u;
static struct loop_timer tick;

static void until_answered(void *arg)
{
	(void)arg;
	if (u.busy)
		loop_timer_set(l, &tick, MS_NS, until_answered, NULL);
	else
		loop_stop(l, 0);
}

static void let_answer(const char *what)
{
	answer = what;
	sem_post(&may_answer);
	until_answered(NULL);
	run();
}

static void test_nothing_waits_for_a_name(void)
{
	struct sock_addrs a;

	begin();
	memset(&u, 0, sizeof(u));
	CHECK_EQ(lookup(&u, l, "192.0.2.1", 3260, &a), 0);
	CHECK_STR(first(&a), "192.0.2.1:3260");
	CHECK_EQ(lookup(&u, l, "[2001:db8::1]:3261", 3260, &a), 0);
	CHECK_STR(first(&a), "[2001:db8::1]:3261");
	CHECK_EQ(lookup(&u, l, "a:b:c:x", 3260, &a), -EINPROGRESS);
	let_answer(NULL);
	CHECK_EQ(lookup(&u, l, "a:b:c:x", 3260, &a), -ENXIO);
	let_answer(NULL);

	CHECK_EQ(lookup(&u, l, "storage", 3260, &a), -EINPROGRESS);
	CHECK_EQ(lookup(&u, l, "storage", 3260, &a), -EINPROGRESS);
	let_answer("192.0.2.7");
	CHECK_EQ(lookup(&u, l, "storage", 3260, &a), 0);
	CHECK_STR(first(&a), "192.0.2.7:3260");
	/* the last answer stands while the name is asked for again, and when there is none */
	CHECK(u.busy);
	CHECK_EQ(lookup(&u, l, "storage", 3260, &a), 0);
	let_answer(NULL);
	CHECK_EQ(lookup(&u, l, "storage", 3260, &a), 0);
	CHECK_STR(first(&a), "192.0.2.7:3260");
	let_answer("192.0.2.8");
	CHECK_EQ(lookup(&u, l, "storage", 3260, &a), 0);
	CHECK_STR(first(&a), "192.0.2.8:3260");
	/* but not for another name */
	CHECK_EQ(lookup(&u, l, "elsewhere", 3260, &a), -EINPROGRESS);
	let_answer("192.0.2.9"); /* to the question before */
	CHECK_EQ(lookup(&u, l, "elsewhere", 3260, &a), -EINPROGRESS);
	let_answer("192.0.2.10");
	CHECK_EQ(lookup(&u, l, "elsewhere", 3260, &a), 0);
	CHECK_STR(first(&a), "192.0.2.10:3260");
	let_answer("192.0.2.10");
	workers_free(u.thread);
	end();
}

int main(void)
{
	sem_init(&may_answer, 0, 0);
	CHECK_RUN(test_nothing_waits_for_a_name);
	return CHECK_DONE();
}
