/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes numbered blocks, one command after the other, with a SYNCHRONIZE CACHE after each 16,
 * until the connection ends. Prints the number of the last block that was acknowledged before a
 * SYNCHRONIZE CACHE that succeeded: up to there nothing may be lost. With `check`, verifies that in
 * a file.
 * usage: sequencer write HOST PORT IQN LUN      sequencer check FILE LAST
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/iscsi/raw.h"

#define BLOCK  512
#define BLOCKS 65536u
#define FLUSH  16

static void fill(uint8_t block[BLOCK], uint32_t n)
{
	for (unsigned i = 0; i < BLOCK; i += 4)
		put_be32(block + i, n);
}

/* Block n goes to n mod BLOCKS. */
static int write_blocks(void)
{
	static const uint8_t sync[10] = {0x35};
	uint32_t safe = 0;
	struct raw r;

	if (!raw_open(&r, 50)) {
		fputs("sequencer: no login\n", stderr);
		return 1;
	}
	for (uint32_t n = 1;; n++) {
		uint8_t cdb[10], block[BLOCK];

		fill(block, n);
		raw_rw10(cdb, true, n % BLOCKS, 1);
		if (raw_run(&r, cdb, sizeof(cdb), block, BLOCK, NULL, 0) != 0)
			break;
		if (n % FLUSH == 0) {
			if (raw_run(&r, sync, sizeof(sync), NULL, 0, NULL, 0) != 0)
				break;
			safe = n;
			/* Somebody waits for the first one to know that it works. */
			if (n == FLUSH) {
				puts("started");
				fflush(stdout);
			}
		}
	}
	printf("%u\n", safe);
	raw_close(&r);
	return 0;
}

/* Every place holds the last number up to `last` that belongs there, or a later one. */
static int check(const char *path, uint32_t last)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint32_t from = last > BLOCKS ? last - BLOCKS + 1 : 1;

	if (fd < 0 || last == 0) {
		printf("# %s: nothing to check\n", path);
		return 1;
	}
	for (uint32_t n = from; n <= last; n++) {
		uint8_t block[BLOCK], want[BLOCK];
		uint32_t found;

		if (pread(fd, block, BLOCK, (off_t)(n % BLOCKS) * BLOCK) != BLOCK)
			return 1;
		found = get_be32(block);
		fill(want, found);
		if (found < n || found % BLOCKS != n % BLOCKS || memcmp(block, want, BLOCK) != 0) {
			printf("# block %u of %u acknowledged ones holds %u\n", n, last, found);
			return 1;
		}
	}
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "write") == 0) {
		raw_target = (struct raw_target){.host = argv[2],
						 .port = argv[3],
						 .iqn = argv[4],
						 .lun = (uint8_t)atoi(argv[5])};
		return write_blocks();
	}
	if (argc == 4 && strcmp(argv[1], "check") == 0)
		return check(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
	return 2;
}
