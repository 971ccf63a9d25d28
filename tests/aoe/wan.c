/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wire that loses frames: passes them between two tap devices in both directions, but for so many
 * of a hundred, each by chance. Kernels without netem have no other. Each line of its standard
 * input is a new percentage; it is answered by a line when it holds, with what was passed and lost
 * until then. Ends with its input. usage: wan TAP TAP [SEED]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FRAME_MAX 16384

static unsigned percent;
static unsigned long passed, lost;
static uint64_t seed = 88172645463325252ull;

static bool is_lost(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 20) % 10000 < percent * 100;
}

static int open_tap(const char *name)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0) {
		fprintf(stderr, "wan: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return fd;
}

/* What is there: without a vnet header the kernel cuts TCP into frames before it comes here. */
static void pass(int from, int to)
{
	static uint8_t frame[FRAME_MAX];
	ssize_t n;

	while ((n = read(from, frame, sizeof(frame))) > 0) {
		if (is_lost() || write(to, frame, (size_t)n) != n)
			lost++;
		else
			passed++;
	}
}

int main(int argc, char **argv)
{
	struct pollfd p[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	char line[32];

	if (argc < 3)
		return 2;
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 10) | 1;
	setvbuf(stdin, NULL, _IONBF, 0);
	p[1].fd = open_tap(argv[1]);
	p[2].fd = open_tap(argv[2]);
	while (poll(p, 3, -1) >= 0) {
		pass(p[1].fd, p[2].fd);
		pass(p[2].fd, p[1].fd);
		if (!p[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		percent = (unsigned)atoi(line);
		printf("passed=%lu lost=%lu\n", passed, lost);
		fflush(stdout);
		passed = lost = 0;
	}
	return 1;
}
