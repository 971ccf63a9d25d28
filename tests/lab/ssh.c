/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lab-ssh HOST COMMAND...: a test tool that stands in for ssh, whose ciphers take minutes in an
 * emulated host. Sends the command as a line to tests/lab/dom0/rexec on HOST; from then on stdin
 * and stdout are those of the command, spliced without copying when they are pipes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 7022, CHUNK = 1 << 20 };

/* Moves what is there from one descriptor to the other: bytes moved, 0 at the end, -1 on error. */
static ssize_t move(int from, int to)
{
	static char buf[65536];
	ssize_t n = splice(from, NULL, to, NULL, CHUNK, 0);

	if (n >= 0 || errno != EINVAL)
		return n;
	n = read(from, buf, sizeof(buf));
	for (ssize_t done = 0; done < n;) {
		ssize_t m = write(to, buf + done, n - done);

		if (m < 0)
			return -1;
		done += m;
	}
	return n;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc < 3 || inet_pton(AF_INET, argv[1], &addr.sin_addr) != 1) {
		fprintf(stderr, "usage: lab-ssh ADDRESS COMMAND...\n");
		return 2;
	}
	if (s < 0 || connect(s, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		fprintf(stderr, "lab-ssh: %s: %s\n", argv[1], strerror(errno));
		return 255;
	}
	for (int i = 2; i < argc; i++)
		dprintf(s, "%s%c", argv[i], i + 1 < argc ? ' ' : '\n');
	fcntl(STDIN_FILENO, F_SETPIPE_SZ, CHUNK);
	fds[1].fd = s;
	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents) {
			ssize_t n = move(STDIN_FILENO, s);

			if (n < 0)
				return 255;
			if (n == 0) {
				shutdown(s, SHUT_WR);
				fds[0].fd = -1;
			}
		}
		if (fds[1].revents) {
			ssize_t n = move(s, STDOUT_FILENO);

			if (n <= 0)
				return n < 0 ? 255 : 0;
		}
	}
	return 255;
}
