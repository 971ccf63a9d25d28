/* SPDX-License-Identifier: BSD-2-Clause */
/* The save and the restore helper's ends, as libxc uses them, with a file between. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/copy/compression.h"
#include "xen/copy/pagecodec.h"
#include "xen/copy/restore_pages.h"
#include "xen/copy/save_pages.h"

#define PAGES 100u

/* libxenctrl's: the linker puts ours in their place, here as in the helpers. */
int write_exact(int fd, const void *data, size_t size);
int writev_exact(int fd, const struct iovec *iov, int n);
int read_exact(int fd, void *data, size_t size);

static _Alignas(8) uint8_t memory[PAGES][PAGECODEC_PAGE];
static char complaint[128], told[128];

static struct save_pages_batch last;

static void on_sent(int fd, const struct save_pages_batch *b)
{
	(void)fd;
	last = *b;
}

static void complain(const char *text)
{
	snprintf(complaint, sizeof(complaint), "%s", text);
}

static void say(const char *text)
{
	snprintf(told, sizeof(told), "%s", text);
}

/* As write_record() in xg_sr_common.c. */
static int record(int fd, uint32_t type, const void *data, uint32_t length)
{
	static const uint8_t zeros[8];
	struct iovec iov[] = {{&type, 4},
			      {&length, 4},
			      {(void *)data, length},
			      {(void *)data, 0},
			      {(void *)zeros, pagecodec_padded(length) - length}};

	return writev_exact(fd, iov, ARRAY_SIZE(iov));
}

/* As write_batch() in xg_sr_save.c; every tenth page has no contents. */
static int page_data(int fd, uint64_t reserved)
{
	uint64_t pfns[PAGES];
	uint32_t type = 1, length, header[2] = {PAGES}, n = 0;
	struct iovec iov[4 + PAGES] = {{&type, 4}, {&length, 4}, {header, 8}, {pfns, sizeof(pfns)}};

	for (unsigned i = 0; i < PAGES; i++) {
		pfns[i] = i | reserved | (i % 10 ? 0 : 0xfull << 60);
		if (i % 10)
			iov[4 + n++] = (struct iovec){memory[i], PAGECODEC_PAGE};
	}
	length = 8 + sizeof(pfns) + n * PAGECODEC_PAGE;
	return writev_exact(fd, iov, (int)(4 + n));
}

/* What libxc writes of a guest, as the helper does with this plan. */
static int save(const char *plan)
{
	int fd = memfd_create("stream", MFD_CLOEXEC), other = memfd_create("other", MFD_CLOEXEC);
	struct compression_plan p;

	compression_plan_parse(plan, &p);
	save_pages_start(fd, &p, on_sent, say);
	CHECK_EQ(write_exact(fd, "image header, 24 bytes..", 24), 0);
	CHECK_EQ(write_exact(fd, "domain header...", 16), 0);
	CHECK_EQ(record(fd, 0x10, "", 0), 0);
	for (unsigned round = 0; round < 3; round++) {
		memory[round][round] ^= 1;
		CHECK_EQ(page_data(fd, 0), 0);
		CHECK_EQ(page_data(other, 0), 0); /* somebody else's */
	}
	CHECK_EQ(page_data(fd, 1ull << 55), 0); /* not one that can be encoded */
	CHECK_EQ(last.pages, 90);
	CHECK_EQ(last.bytes, 16 + PAGES * 8 + 90 * PAGECODEC_PAGE);
	CHECK_EQ(record(fd, 0xa, "context", 7), 0);
	CHECK_EQ(page_data(fd, 0), 0);
	CHECK_EQ(record(fd, 0, "", 0), 0);
	CHECK_EQ(lseek(other, 0, SEEK_END), 3 * (16 + PAGES * 8 + 90 * PAGECODEC_PAGE));
	close(other);
	return fd;
}

/* Reads it as xc_domain_restore() does, into `out`: bytes, or -1. */
static ssize_t restore(int fd, uint8_t *out)
{
	uint8_t *p = out;
	uint32_t header[2];

	complaint[0] = 0;
	lseek(fd, 0, SEEK_SET);
	restore_pages_start(fd, complain);
	if (read_exact(fd, p, 24) || read_exact(fd, p + 24, 16))
		return -1;
	p += 40;
	do {
		if (read_exact(fd, p, 8))
			return -1;
		memcpy(header, p, 8);
		p += 8;
		if (header[1] && read_exact(fd, p, pagecodec_padded(header[1])))
			return -1;
		p += pagecodec_padded(header[1]);
	} while (header[0]);
	return p - out;
}

static uint8_t whole[5 << 20], packed[5 << 20];

static void test_same_stream(void)
{
	static const char *const plans[] = {"level=0 cache=0", "level=3 cache=1000000", "off",
					    "nonsense"};
	int fd, plain;
	ssize_t n;

	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i / PAGECODEC_PAGE][i % PAGECODEC_PAGE] = (uint8_t)(i * i >> 7);
	for (unsigned i = 0; i < ARRAY_SIZE(plans); i++) {
		plain = save("off");
		for (unsigned round = 0; round < 3; round++)
			memory[round][round] ^= 1; /* as it was when that began */
		n = restore(plain, whole);
		CHECK_EQ(n, lseek(plain, 0, SEEK_END));
		fd = save(plans[i]);
		CHECK_EQ(restore(fd, packed), n);
		CHECK_MEM(whole, packed, (size_t)n);
		CHECK_STR(complaint, "");
		if (i < 2)
			CHECK(lseek(fd, 0, SEEK_END) < n / 2);
		close(plain);
		close(fd);
	}
}

/* Less memory than planned: the stream is the same to libxc, and it is said once. */
static void test_little_memory(void)
{
	const char *plan = "level=1 cache=4194304";
	int fd = save(plan);
	ssize_t n = restore(fd, whole);
	struct compression_report r;

	CHECK_STR(told, "");
	close(fd);
	for (unsigned round = 0; round < 3; round++)
		memory[round][round] ^= 1; /* as it was when that began */
	fake.cache_at_most = 2 << 20;
	fd = save(plan);
	CHECK_STR(told, "no memory for a delta cache of 4096 KiB: it gets 2048 KiB");
	CHECK(save_pages_report(&r) && r.cache_bytes == 2 << 20);
	CHECK_EQ(restore(fd, packed), n);
	CHECK_MEM(whole, packed, (size_t)n);
	close(fd);
	fake.cache_at_most = 100 << 10;
	fd = save(plan);
	CHECK_STR(told, "no memory for a delta cache of 4096 KiB: it gets 0 KiB");
	close(fd);
	fake.no_encoder = true;
	fd = save(plan);
	CHECK_STR(told, "no memory for compressing: its pages are sent as they are");
	CHECK(!save_pages_report(&r));
	CHECK_EQ(restore(fd, packed), lseek(fd, 0, SEEK_END));
	close(fd);
	fake_reset();
	told[0] = 0;
}

static void test_damaged_stream(void)
{
	int fd = save("level=1 cache=1000000");
	off_t end = lseek(fd, 0, SEEK_END);
	uint32_t type;

	/* Cut short: said by libxc itself. */
	CHECK_EQ(ftruncate(fd, end - 1), 0);
	CHECK_EQ(restore(fd, packed), -1);
	CHECK_STR(complaint, "");
	close(fd);

	/* Damaged in our records: the first of pages lies behind BEGIN. */
	fd = save("level=1 cache=1000000");
	type = PAGECODEC_BLOCK;
	CHECK_EQ(pwrite(fd, &type, 4, 40 + 8 + 24), 4);
	CHECK_EQ(restore(fd, packed), -1);
	CHECK_STR(complaint, "a record of compressed pages is damaged");
	type = PAGECODEC_BODY_MAX + 1;
	CHECK_EQ(pwrite(fd, &type, 4, 40 + 8 + 24 + 4), 4);
	CHECK_EQ(restore(fd, packed), -1);
	CHECK_STR(complaint, "a record of compressed pages is longer than allowed");
	CHECK_EQ(errno, EPROTO);
	close(fd);
}

/* A write that fails is seen, at the latest by what comes next. */
static void test_full(void)
{
	int fd = memfd_create("stream", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	save_pages_start(fd, &(struct compression_plan){.on = true}, on_sent, say);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	CHECK_EQ(page_data(fd, 0), 0);
	CHECK_EQ(record(fd, 0xa, "context", 7), -1);
	close(fd);
}

/* ---- what is left out ---- */

static uint64_t looked;

static bool look(void *arg, uint64_t pfns)
{
	looked = pfns;
	return *(bool *)arg;
}

static bool written(void *arg, uint64_t pfn)
{
	(void)arg;
	return pfn % 10 == 3 || (pfn >= 20 && pfn < 30);
}

/* How many pfns the PAGE_DATA at *p has; moves *p behind it. None that was left out is in it when
 * `filtered`. */
static uint32_t count_pfns(const uint8_t **p, bool filtered)
{
	uint32_t header[3]; /* type, length, count */

	memcpy(header, *p, sizeof(header));
	CHECK_EQ(header[0], 1);
	for (uint32_t i = 0; i < header[2]; i++) {
		uint64_t pfn;

		memcpy(&pfn, *p + 16 + 8 * (size_t)i, 8);
		CHECK(!filtered || !pagecodec_has_contents(pfn) || !written(NULL, pfn));
	}
	*p += 8 + pagecodec_padded(header[1]);
	return header[2];
}

static void test_left_out(void)
{
	bool known = true;
	struct save_pages_filter f = {look, written, &known};
	int fd = memfd_create("stream", MFD_CLOEXEC);
	const uint8_t *p = packed + 40;

	save_pages_start(fd, &(struct compression_plan){.on = true}, on_sent, say);
	CHECK_EQ(write_exact(fd, packed, 24), 0);
	CHECK_EQ(write_exact(fd, packed, 16), 0);
	save_pages_filter(&f);
	CHECK_EQ(page_data(fd, 0), 0);
	CHECK_EQ(looked, PAGES);
	CHECK_EQ(last.left_out, 9 + 9); /* those that end in 3, and the twenties with contents */
	CHECK_EQ(last.pages, 90 - 18);
	CHECK_EQ(last.pfns, PAGES); /* they are allocated there all the same */
	known = false;
	CHECK_EQ(page_data(fd, 0), 0);
	known = true;
	save_pages_filter(NULL);
	CHECK_EQ(page_data(fd, 0), 0);
	CHECK_EQ(record(fd, 0, "", 0), 0);
	CHECK(restore(fd, packed) > 0);
	CHECK_EQ(count_pfns(&p, true), PAGES);
	CHECK_EQ(count_pfns(&p, false), PAGES);
	CHECK_EQ(count_pfns(&p, false), PAGES);
	close(fd);
}

static int holes(int fd, uint64_t type)
{
	uint64_t pfns[PAGES];
	uint32_t page_data = 1, length = 8 + sizeof(pfns), header[2] = {PAGES};
	struct iovec iov[4] = {{&page_data, 4}, {&length, 4}, {header, 8}, {pfns, sizeof(pfns)}};

	for (unsigned i = 0; i < PAGES; i++)
		pfns[i] = (1000 + i) | type << 60;
	return writev_exact(fd, iov, 4);
}

/* Holes mean something in a PV guest's stream, and nothing in a PVH or HVM guest's. */
static void test_holes(void)
{
	static const struct {
		uint32_t guest; /* 1: PV, 2: HVM or PVH */
		uint64_t type;
		bool sent;
	} cases[] = {{1, 0xf, true}, {2, 0xf, false}, {2, 0xd, false}, {2, 0xe, true}};

	for (unsigned k = 0; k < 2 * ARRAY_SIZE(cases); k++) { /* with the encoder, and without */
		const unsigned i = k / 2;
		const struct compression_plan plan = {.on = k % 2};
		int fd = memfd_create("stream", MFD_CLOEXEC);
		uint32_t header[4] = {cases[i].guest};
		const uint8_t *p = packed + 40;
		uint32_t type;

		save_pages_start(fd, &plan, on_sent, say);
		CHECK_EQ(write_exact(fd, packed, 24), 0);
		CHECK_EQ(write_exact(fd, header, 16), 0);
		CHECK_EQ(holes(fd, cases[i].type), 0);
		CHECK_EQ(last.pages + last.left_out, 0);
		CHECK_EQ(record(fd, 0, "", 0), 0);
		CHECK(restore(fd, packed) > 0);
		if (cases[i].sent)
			CHECK_EQ(count_pfns(&p, false), PAGES);
		memcpy(&type, p, 4);
		CHECK_EQ(type, 0); /* the end */
		close(fd);
	}
}

/* libxl calls a save off by something that cannot be written in the stream's place: that is heard
 * of also where nothing is written. */
static void test_called_off_amid_holes(void)
{
	for (unsigned on = 0; on < 2; on++) {
		const uint32_t header[4] = {2};
		int fd = memfd_create("stream", MFD_CLOEXEC), deaf = open("/dev/null", O_RDONLY);
		unsigned n = 0;

		save_pages_start(fd, &(struct compression_plan){.on = on}, on_sent, say);
		CHECK_EQ(write_exact(fd, packed, 24), 0);
		CHECK_EQ(write_exact(fd, header, 16), 0);
		CHECK_EQ(holes(fd, 0xf), 0);
		CHECK_EQ(dup2(deaf, fd), fd);
		while (n < 1000 && holes(fd, 0xf) == 0)
			n++;
		CHECK(n < 100);
		close(deaf);
		close(fd);
	}
}

int main(void)
{
	CHECK_RUN(test_same_stream);
	CHECK_RUN(test_little_memory);
	CHECK_RUN(test_damaged_stream);
	CHECK_RUN(test_full);
	CHECK_RUN(test_left_out);
	CHECK_RUN(test_holes);
	CHECK_RUN(test_called_off_amid_holes);
	save_pages_start(-1, &(struct compression_plan){0}, NULL, say);
	restore_pages_start(-1, NULL);
	return CHECK_DONE();
}
