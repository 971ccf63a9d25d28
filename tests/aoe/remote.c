/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The initiator of `vstor bench` (net/aoe/remote.h): writes pieces of many sizes anywhere, and
 * reads back what it has to be, also over a wire that loses frames. Says how many frames it
 * repeated, or what went wrong. usage: remote URL OPERATIONS [SEED]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "net/aoe/remote.h"

#define SECTORS 4096u /* of the disk that are used */
#define PIECE	700u  /* sectors of an operation, at most: more than a window of frames */

static uint8_t should[SECTORS * AOE_SECTOR], is[PIECE * AOE_SECTOR];

static int die(const char *what, long err)
{
	printf("remote: %s: %ld %s\n", what, err, err < 0 ? strerror((int)-err) : "");
	return 1;
}

int main(int argc, char **argv)
{
	char error[AOE_REMOTE_ERROR];
	struct aoe_remote r;
	ssize_t n;

	if (argc < 3)
		return 2;
	if (aoe_remote_open(&r, argv[1], error)) {
		puts(error);
		return 1;
	}
	srandom(argc > 3 ? (unsigned)atoi(argv[3]) : 1);
	n = aoe_remote_read(&r, should, sizeof(should), 0);
	if (n != sizeof(should))
		return die("first read", n);
	for (int i = atoi(argv[2]); i > 0; i--) {
		unsigned sectors = 1 + (unsigned)random() % PIECE;
		unsigned at = (unsigned)random() % (SECTORS - sectors + 1);
		size_t bytes = sectors * AOE_SECTOR, where = at * AOE_SECTOR;

		if (random() % 2) {
			for (size_t k = 0; k < bytes; k += 4)
				put_be32(should + where + k, (uint32_t)random());
			n = aoe_remote_write(&r, should + where, bytes, where);
			if (n != (ssize_t)bytes)
				return die("write", n);
		} else {
			n = aoe_remote_read(&r, is, bytes, where);
			if (n != (ssize_t)bytes)
				return die("read", n);
			if (memcmp(is, should + where, bytes) != 0)
				return die("other data than were written, at sector", at);
		}
	}
	n = aoe_remote_flush(&r);
	if (n)
		return die("flush", n);
	n = aoe_remote_read(&r, is, AOE_SECTOR, r.sectors * AOE_SECTOR);
	if (n != -EIO)
		return die("read behind the end", n);
	printf("repeated=%llu\n", (unsigned long long)r.repeated);
	aoe_remote_close(&r);
	return 0;
}
