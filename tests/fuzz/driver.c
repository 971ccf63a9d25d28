/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target without libFuzzer: each file given, then as many mutations of them as asked
 * for, from a seed that is printed. usage: PROGRAM RUNS SEED FILE...
 * An input that ends the process is left in the file "crash-input".
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX 65536
#define FILES_MAX 256

static struct {
	uint8_t *data;
	size_t len;
} corpus[FILES_MAX];
static unsigned corpus_n;
static uint64_t state;
static uint8_t input[INPUT_MAX];

/* xorshift64*: the same inputs for the same seed, everywhere */
static uint32_t rnd(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * 0x2545f4914f6cdd1dull >> 33) % below;
}

static int load(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f || corpus_n == FILES_MAX) {
		fprintf(stderr, "%s: cannot read it, or too many files\n", path);
		return -1;
	}
	corpus[corpus_n].len = fread(input, 1, sizeof(input), f);
	corpus[corpus_n].data = malloc(corpus[corpus_n].len + 1);
	if (!corpus[corpus_n].data)
		abort();
	memcpy(corpus[corpus_n].data, input, corpus[corpus_n].len);
	corpus_n++;
	fclose(f);
	return 0;
}

static size_t mutate(size_t len)
{
	static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0x3f, 0x40, 0x20};
	uint32_t at = rnd((uint32_t)len);
	size_t n = rnd(64) + 1, to;
	n = MIN(n, len - at);
	switch (rnd(6)) {
	case 0: input[at] ^= (uint8_t)(1u << rnd(8)); break;
	case 1: input[at] = telling[rnd(sizeof(telling))]; break;
	case 2: input[at] = (uint8_t)rnd(256); break;
	case 3: /* a piece of another one */
		if (corpus_n) {
			unsigned i = rnd(corpus_n);
			n = MIN(n, corpus[i].len);
			memcpy(input + at, corpus[i].data + rnd((uint32_t)(corpus[i].len - n) + 1),
			       n);
		}
		break;
	case 4: /* twice */
		to = at + n;
		if (to + n <= sizeof(input)) {
			memmove(input + to + n, input + to, MIN(len - to, sizeof(input) - to - n));
			memcpy(input + to, input + at, n);
			len = MIN(len + n, sizeof(input));
		}
		break;
	default: /* gone */
		if (len > n) {
			memmove(input + at, input + at + n, len - at - n);
			len -= n;
		}
	}
	return len;
}

/* What runs now, for a look at it after the end. */
static void keep(size_t len)
{
	static int fd = -1;
	if (fd < 0)
		fd = open("crash-input", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || pwrite(fd, input, len, 0) != (ssize_t)len || ftruncate(fd, (off_t)len))
		abort();
}

int main(int argc, char **argv)
{
	unsigned long runs;
	if (argc < 4) {
		fprintf(stderr, "usage: %s RUNS SEED FILE...\n", argv[0]);
		return 2;
	}
	runs = strtoul(argv[1], NULL, 10);
	state = strtoull(argv[2], NULL, 10) | 1;
	for (int i = 3; i < argc; i++)
		if (load(argv[i]))
			return 2;
	for (unsigned i = 0; i < corpus_n; i++) {
		memcpy(input, corpus[i].data, corpus[i].len);
		keep(corpus[i].len);
		LLVMFuzzerTestOneInput(input, corpus[i].len);
	}
	for (unsigned long i = 0; i < runs; i++) {
		unsigned k = rnd(corpus_n);
		size_t len = corpus[k].len;
		memcpy(input, corpus[k].data, len);
		for (uint32_t m = 1 + rnd(8); m && len; m--)
			len = mutate(len);
		keep(len);
		LLVMFuzzerTestOneInput(input, len);
	}
	unlink("crash-input");
	printf("%u inputs and %lu mutations of them, seed %s\n", corpus_n, runs, argv[2]);
	return 0;
}
