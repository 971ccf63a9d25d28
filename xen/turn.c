/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"
#include "core/opts.h"

#define TURN_ENV "VSTOR_TURN"

int turn_open(struct turn *t)
{
	int fd = memfd_create("vstor-turn", MFD_CLOEXEC);

	if (fd < 0) {
		int err = errno;

		log_error("cannot make a lock for the migrations: %s", strerror(err));
		return -err;
	}
	snprintf(t->path, sizeof(t->path), "/proc/self/fd/%d", fd);
	return 0;
}

/* Opened anew by its name in /proc: another open file, and so another holder of the lock. */
int turn_hand(struct turn *t)
{
	int fd = open(t->path, O_RDWR);
	char number[16];

	if (fd < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", fd);
	if (setenv(TURN_ENV, number, 1)) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

void turn_handed(int fd)
{
	unsetenv(TURN_ENV);
	if (fd >= 0)
		close(fd);
}

void turn_close(struct turn *t)
{
	if (t->path[0])
		close(atoi(strrchr(t->path, '/') + 1));
	t->path[0] = 0;
}

/* What was handed to us, or -1. */
static int handed(void)
{
	const char *number = getenv(TURN_ENV);
	uint64_t fd;

	return number && !parse_u64(number, &fd) && fd < INT_MAX ? (int)fd : -1;
}

bool turn_try(void)
{
	int fd = handed();

	return fd < 0 || !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;
}

static void tick(int signal)
{
	(void)signal;
}

/* flock(2) has no time limit: a timer interrupts it, again and again, as it might come before. */
bool turn_wait(uint64_t ns)
{
	const struct itimerval off = {0};
	const struct timeval every = {.tv_sec = (time_t)(ns / SEC_NS),
				      .tv_usec = (suseconds_t)(ns % SEC_NS / 1000)};
	struct sigaction ticks = {.sa_handler = tick}, before;
	bool ours;

	if (turn_try())
		return true;
	sigaction(SIGALRM, &ticks, &before);
	setitimer(ITIMER_REAL, &(struct itimerval){every, every}, NULL);
	ours = !flock(handed(), LOCK_EX) || errno != EINTR;
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &before, NULL);
	return ours;
}

void turn_give(void)
{
	int fd = handed();

	if (fd >= 0)
		flock(fd, LOCK_UN);
}
