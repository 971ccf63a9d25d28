/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/kept_memory.h"

#include <stdlib.h>
#include <string.h>

#include <xencall.h>

#include "tests/unit/check.h"

/* Freed memory is looked at here: the sanitizer ends the test if it is no longer ours. */

static void test_block_is_kept(void)
{
	unsigned char *p = kept_malloc(2 * KEPT_MIN), *q;

	memset(p, 0x5a, 2 * KEPT_MIN);
	kept_free(p);
	CHECK_EQ(p[KEPT_MIN], 0x5a);
	q = kept_malloc(2 * KEPT_MIN - 100); /* a short batch's array */
	CHECK(q == p);
	CHECK(kept_malloc(2 * KEPT_MIN) != p); /* in use */
	kept_free(q);
	q = kept_calloc(2, KEPT_MIN);
	CHECK(q == p);
	for (unsigned i = 0; i < 2 * KEPT_MIN; i++)
		CHECK_EQ(q[i], 0);
	kept_free(q);
}

static void test_realloc(void)
{
	unsigned char *small = kept_malloc(10), *p, *q;

	memset(small, 1, 10);
	p = kept_realloc(small, 3 * KEPT_MIN); /* libc's becomes libc's */
	CHECK_EQ(p[9], 1);
	kept_free(p);

	p = kept_realloc(NULL, 3 * KEPT_MIN);
	kept_free(p);
	p = kept_malloc(3 * KEPT_MIN);
	memset(p, 2, 3 * KEPT_MIN);
	CHECK(kept_realloc(p, 4 * KEPT_MIN) == p); /* what the block has anyway */
	q = kept_realloc(p, KEPT_MAX + 1);
	CHECK(q != p);
	CHECK_EQ(q[3 * KEPT_MIN - 1], 2);
	CHECK_EQ(p[0], 2); /* kept */
	kept_free(q);
}

static void test_more_blocks_than_kept(void)
{
	void *p[2 * KEPT_BLOCKS];

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 2 * KEPT_BLOCKS; i++) {
			p[i] = kept_malloc(5 * KEPT_MIN);
			memset(p[i], (int)i, 5 * KEPT_MIN);
		}
		for (unsigned i = 0; i < 2 * KEPT_BLOCKS; i++) {
			CHECK_EQ(*(unsigned char *)p[i], i); /* each its own */
			kept_free(p[i]);
		}
	}
}

static void test_what_is_not_kept(void)
{
	void *p = kept_malloc(KEPT_MIN);

	free(p); /* libc's: the sanitizer would say so if not */
	free(kept_malloc(KEPT_MAX + 1));
	kept_free(malloc(2 * KEPT_MIN)); /* as asprintf's result is */
	kept_free(NULL);
}

static void test_hypercall_buffers(void)
{
	/* All ones: no lock, no buffer device, so that locked memory is taken instead. */
	unsigned char handle[4096], *p, *q;
	xencall_handle *xcall = (xencall_handle *)handle;

	memset(handle, 0xff, sizeof(handle));
	p = xencall_alloc_buffer(xcall, 3 * KEPT_MIN);
	CHECK(p);
	memset(p, 7, 3 * KEPT_MIN);
	xencall_free_buffer(xcall, p);
	CHECK_EQ(p[0], 7); /* still mapped */
	q = xencall_alloc_buffer(xcall, 4 * KEPT_MIN);
	CHECK(q == p);
	for (unsigned i = 0; i < 4 * KEPT_MIN; i++)
		CHECK_EQ(q[i], 0);
	xencall_free_buffer(xcall, q);
}

int main(void)
{
	free(kept_malloc(2 * KEPT_MIN)); /* not a helper yet: all is libc's */
	kept_memory_start();
	CHECK_RUN(test_block_is_kept);
	CHECK_RUN(test_realloc);
	CHECK_RUN(test_what_is_not_kept);
	CHECK_RUN(test_hypercall_buffers);
	CHECK_RUN(test_more_blocks_than_kept);
	return CHECK_DONE();
}
