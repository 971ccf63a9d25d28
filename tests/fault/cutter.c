/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cutter MODE FLAG COMMAND...: stands between `vstor migrate --ssh` and COMMAND (which reaches the
 * other host), passes everything on, and cuts the line at one exact message, once: when FLAG
 * exists already, it only passes on. Modes:
 *   before-TYPE  everything up to, but not with, the first frame of that type from the sender
 *   after-TYPE   everything up to and with it; then nothing more, either way
 * Types as numbers, see xen/message.h; framing as in net/channel.h, without a key.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELLO  48
#define HEADER 8

static void put(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			exit(1);
		p += k;
		n -= (size_t)k;
	}
}

struct walk {
	uint8_t header[HEADER];
	size_t have;
	uint64_t skip; /* bytes until the next header */
};

/* How many of p[0..n) may pass, and whether the line is to be cut behind them. */
static size_t pass(struct walk *w, const uint8_t *p, size_t n, int type, bool after, bool *cut)
{
	size_t at = 0;

	while (at < n && !*cut) {
		if (w->skip) {
			size_t k = w->skip < n - at ? (size_t)w->skip : n - at;

			w->skip -= k;
			at += k;
			continue;
		}
		w->header[w->have++] = p[at++];
		if (w->have < HEADER)
			continue;
		w->have = 0;
		w->skip = (uint64_t)w->header[4] << 24 | w->header[5] << 16 | w->header[6] << 8 |
			  w->header[7];
		if (w->header[0] != type)
			continue;
		*cut = true;
		/* The frame's payload is what has come with it: such messages are short. */
		if (after)
			at += w->skip < n - at ? (size_t)w->skip : n - at;
		else
			at -= at < HEADER ? at : HEADER;
	}
	return at;
}

int main(int argc, char **argv)
{
	static uint8_t b[65536];
	int in[2], out[2], type, flag;
	struct walk w = {.skip = HELLO};
	struct pollfd p[2];
	bool after, cut = false;

	if (argc < 4 || (strncmp(argv[1], "before-", 7) && strncmp(argv[1], "after-", 6)))
		return 2;
	after = argv[1][0] == 'a';
	type = atoi(strchr(argv[1], '-') + 1);
	flag = open(argv[2], O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (flag < 0) {
		execvp(argv[3], argv + 3);
		return 127;
	}
	if (pipe(in) || pipe(out))
		return 1;
	if (fork() == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	signal(SIGPIPE, SIG_IGN);
	p[0] = (struct pollfd){.fd = 0, .events = POLLIN};
	p[1] = (struct pollfd){.fd = out[0], .events = POLLIN};
	while (!cut && poll(p, 2, -1) > 0) {
		for (int i = 0; i < 2 && !cut; i++) {
			ssize_t n;

			if (!p[i].revents)
				continue;
			n = read(p[i].fd, b, sizeof(b));
			if (n <= 0)
				return 0;
			if (i == 0)
				n = (ssize_t)pass(&w, b, (size_t)n, type, after, &cut);
			put(i == 0 ? in[1] : 1, b, (size_t)n);
		}
	}
	return 0;
}
