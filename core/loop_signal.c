/* SPDX-License-Identifier: BSD-2-Clause */
/* A loop's signals and child processes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop_priv.h"

/* Signal handlers have no argument, so one pipe serves the one loop that watches signals. It only
 * wakes: a full pipe must not lose a kind of signal, so a bit for each says which have come. */
static int signal_pipe[2] = {-1, -1};
static uint64_t signals_seen;

static void on_signal(int signo)
{
	int saved = errno;
	__atomic_fetch_or(&signals_seen, 1ull << (signo & 63), __ATOMIC_RELEASE);
	(void)!write(signal_pipe[1], "", 1); /* when full, a wake-up is pending anyway */
	errno = saved;
}

static void run_signals(void *arg, unsigned events)
{
	struct loop *l = arg;
	uint8_t b[64];
	uint64_t seen;
	(void)events;
	while (read(signal_pipe[0], b, sizeof(b)) > 0)
		;
	/* Several of a kind count once, as the kernel itself merges them. */
	seen = __atomic_exchange_n(&signals_seen, 0, __ATOMIC_ACQUIRE);
	for (int s = 1; s < 64; s++) {
		if (!(seen & 1ull << s))
			continue;
		for (struct loop_signal *w = l->signals; w; w = l->next_signal) {
			l->next_signal = w->next; /* loop_signal_del() moves it on */
			if (w->signo == s)
				w->fn(w->arg, s);
		}
	}
}

int loop_signal_add(struct loop *l, struct loop_signal *s, int signo, void (*fn)(void *, int),
		    void *arg)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int rc;
	if (!l->signal_watch.on) {
		if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		rc = loop_fd_add(l, &l->signal_watch, signal_pipe[0], LOOP_READ, run_signals, l);
		if (rc)
			return rc;
	}
	*s = (struct loop_signal){.signo = signo, .fn = fn, .arg = arg, .next = l->signals};
	if (sigaction(signo, &sa, NULL) < 0)
		return -errno;
	l->signals = s;
	return 0;
}

void loop_signal_del(struct loop *l, struct loop_signal *s)
{
	bool others = false;
	if (l->next_signal == s)
		l->next_signal = s->next;
	for (struct loop_signal **p = &l->signals; *p;) {
		if (*p == s) {
			*p = s->next;
			continue;
		}
		others |= (*p)->signo == s->signo;
		p = &(*p)->next;
	}
	if (s->signo && !others)
		signal(s->signo, SIG_DFL);
	s->signo = 0;
}

static void reap(void *arg, int signo)
{
	struct loop *l = arg;
	(void)signo;
restart:
	for (struct loop_child *c = l->children; c; c = c->next) {
		int status;
		/* By pid, never -1: other children have other owners. */
		pid_t r = waitpid(c->pid, &status, WNOHANG);
		if (r == 0 || (r < 0 && errno != ECHILD))
			continue;
		loop_child_del(l, c);
		/* ECHILD: reaped behind our back; all that is known is that it is gone. */
		c->fn(c->arg, r < 0 ? 255 << 8 : status);
		goto restart; /* fn may have changed the list */
	}
}

int loop_child_add(struct loop *l, struct loop_child *c, pid_t pid, void (*fn)(void *, int),
		   void *arg)
{
	if (!l->sigchld.signo) {
		int rc = loop_signal_add(l, &l->sigchld, SIGCHLD, reap, l);
		if (rc)
			return rc;
	}
	*c = (struct loop_child){.pid = pid, .fn = fn, .arg = arg, .next = l->children};
	l->children = c;
	/* It may have ended before it was watched. */
	on_signal(SIGCHLD);
	return 0;
}

void loop_child_del(struct loop *l, struct loop_child *c)
{
	for (struct loop_child **p = &l->children; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			return;
		}
	}
}

void loop_signals_end(struct loop *l)
{
	while (l->signals)
		loop_signal_del(l, l->signals);
	if (!l->signal_watch.on)
		return;
	close(signal_pipe[0]);
	close(signal_pipe[1]);
	signal_pipe[0] = signal_pipe[1] = -1;
}
