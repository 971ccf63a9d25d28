/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/turn.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/unit/check.h"

/* A migration's processes: what they inherit, and when to go on and to end. */
struct migration {
	pid_t pid;
	int in, out;
};

/* In the child: 't' tries, 'w' waits, 's' waits for a short time, 'g' gives. Answers each. */
static void obey(int in, int out)
{
	char c, answer;

	while (read(in, &c, 1) == 1) {
		answer = 'y';
		if (c == 't')
			answer = turn_try() ? 'y' : 'n';
		else if (c == 's')
			answer = turn_wait(MS_NS) ? 'y' : 'n';
		else if (c == 'w')
			while (!turn_wait(5 * MS_NS))
				;
		else
			turn_give();
		if (write(out, &answer, 1) != 1)
			break;
	}
	_exit(0);
}

static void start(struct turn *t, struct migration *m)
{
	int in[2], out[2], turn = turn_hand(t);

	CHECK(turn >= 0 && !pipe(in) && !pipe(out));
	m->pid = fork();
	if (m->pid == 0) {
		close(in[1]);
		obey(in[0], out[1]);
	}
	turn_handed(turn);
	close(in[0]);
	close(out[1]);
	m->in = in[1];
	m->out = out[0];
}

static void ask(struct migration *m, char c)
{
	CHECK_EQ(write(m->in, &c, 1), 1);
}

static char answer(struct migration *m)
{
	char c = '?';

	CHECK_EQ(read(m->out, &c, 1), 1);
	return c;
}

static void end(struct migration *m)
{
	close(m->in);
	close(m->out);
	kill(m->pid, SIGKILL);
	waitpid(m->pid, NULL, 0);
}

static void test_one_at_a_time(void)
{
	struct turn t;
	struct migration a, b;

	CHECK_EQ(turn_open(&t), 0);
	start(&t, &a);
	start(&t, &b);
	ask(&a, 't');
	CHECK_EQ(answer(&a), 'y');
	ask(&b, 't');
	CHECK_EQ(answer(&b), 'n');
	ask(&a, 'g');
	CHECK_EQ(answer(&a), 'y');
	ask(&b, 't');
	CHECK_EQ(answer(&b), 'y');
	ask(&a, 't');
	CHECK_EQ(answer(&a), 'n');
	end(&a);
	end(&b);
	turn_close(&t);
}

static void test_who_dies_gives_it_up(void)
{
	struct turn t;
	struct migration a, b;

	CHECK_EQ(turn_open(&t), 0);
	start(&t, &a);
	ask(&a, 't');
	CHECK_EQ(answer(&a), 'y');
	start(&t, &b);
	ask(&b, 't');
	CHECK_EQ(answer(&b), 'n');
	ask(&b, 's');
	CHECK_EQ(answer(&b), 'n');
	ask(&b, 'w');
	end(&a);
	CHECK_EQ(answer(&b), 'y');
	end(&b);
	turn_close(&t);
}

static void test_alone_there_is_no_waiting(void)
{
	CHECK(!getenv("VSTOR_TURN"));
	CHECK(turn_try());
	CHECK(turn_wait(60 * SEC_NS));
	turn_give();
	CHECK(turn_try());
	/* Nonsense is no turn. */
	setenv("VSTOR_TURN", "x", 1);
	CHECK(turn_try());
	unsetenv("VSTOR_TURN");
}

int main(void)
{
	CHECK_RUN(test_one_at_a_time);
	CHECK_RUN(test_who_dies_gives_it_up);
	CHECK_RUN(test_alone_there_is_no_waiting);
	return CHECK_DONE();
}
