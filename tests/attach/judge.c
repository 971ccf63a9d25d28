/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * judge A B: two hosts, a and b, that see one disk as the devices A and B, each by a nexus of its
 * own, or as maps by several. They hand it over, race for it and take it back, by the rules of
 * xen/fence/referee.h. Says what went wrong, if anything. judge hold A, judge release A: this host,
 * for a guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xen/fence/referee.h"
#include "xen/fence/reservation.h"

static const char *device[2];
static struct referee r[2];

static void be(int who)
{
	referee_host_name = who ? "iqn.2026-11.test:b" : "iqn.2026-11.test:a";
}

static void must(const char *what, int is, int wanted, const char *why)
{
	if (is == wanted)
		return;
	printf("%s: %d, not %d: %s\n", what, is, wanted, why);
	exit(1);
}

/* Whether it may write, past every cache. */
static int writes(int who)
{
	int fd = open(device[who], O_WRONLY | O_DIRECT), rc;
	void *block;

	if (fd < 0 || posix_memalign(&block, 4096, 4096))
		exit(1);
	memset(block, who, 4096);
	rc = pwrite(fd, block, 4096, 0) == 4096 ? 0 : errno;
	close(fd);
	free(block);
	return rc;
}

static void owner(const char *what, int who)
{
	must(what, writes(who), 0, "the owner cannot write");
	must(what, writes(!who), EBADE, "the other can write");
}

static void prepare(int from)
{
	int to = !from;

	be(from);
	must("begin", referee_begin(&r[from]), REFEREE_WON, r[from].why);
	be(to);
	r[to].theirs = r[from].mine;
	must("join", referee_join(&r[to]), REFEREE_WON, r[to].why);
	r[from].theirs = r[to].mine;
}

static void claim(int who, int wanted)
{
	be(who);
	must(who ? "b claims" : "a claims", referee_claim(&r[who], false), wanted, r[who].why);
}

/* For a guest that starts here; then tells by which nexus. */
static int hold(const char *path)
{
	struct reservation *seen = calloc(1, sizeof(*seen));
	char why[REFEREE_TEXT];

	must("hold", referee_hold(path, 0, why), REFEREE_WON, why);
	must("read", seen ? reservation_read(path, seen) : -ENOMEM, 0, path);
	must("keys", (int)seen->n, 1, "another nexus has one");
	printf("%s\n", seen->keys[0].initiator);
	free(seen);
	return 0;
}

int main(int argc, char **argv)
{
	char why[REFEREE_TEXT], name[RESERVATION_NAME_MAX];
	uint64_t key;

	if (argc == 3 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2]);
	if (argc == 3 && strcmp(argv[1], "release") == 0)
		return referee_release(argv[2], NULL, NULL) != 0;
	if (argc != 3)
		return 2;
	for (int i = 0; i < 2; i++) {
		device[i] = argv[i + 1];
		r[i].n = 1;
		snprintf(r[i].disk[0].path, sizeof(r[i].disk[0].path), "%s", device[i]);
		must("capabilities", referee_check(device[i]), 0, device[i]);
	}
	prepare(0);
	owner("before the hand-over", 0);
	claim(1, REFEREE_WON);
	claim(0, REFEREE_LOST);
	owner("after it", 1);
	prepare(1);
	claim(1, REFEREE_WON); /* the source was quicker */
	claim(0, REFEREE_LOST);
	owner("after the source has taken it back", 1);
	be(0);
	must("a starts the guest", referee_hold(device[0], 0, why), REFEREE_LOST, why);
	must("holder", referee_holder(device[0], &key, name, sizeof(name)), 0, device[0]);
	must("a takes it over", referee_hold(device[0], key, why), REFEREE_WON, why);
	owner("after b's death", 0);
	must("a gives it up", referee_release(device[0], NULL, NULL), 0, "");
	must("then", writes(1), 0, "nobody holds it");
	return 0;
}
