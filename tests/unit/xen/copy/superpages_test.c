/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/superpages.h"

#include <errno.h>

#include <xenctrl.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

#define BATCH 1024

static xen_pfn_t pfns[BATCH];

/* A batch from `first` on, without the page at `hole`. What the restore is told. */
static int batch(xen_pfn_t first, unsigned hole)
{
	unsigned long n = 0;

	for (unsigned i = 0; i < BATCH; i++)
		if (i != hole)
			pfns[n++] = first + i;
	fake.did[0] = 0;
	return xc_domain_populate_physmap_exact(NULL, 1, n, 0, 0, pfns);
}

static void plenty(void)
{
	fake_reset();
	fake.superpages_left = 100;
	fake.pages_left = 100000;
}

/* A PV guest, or none that Xen knows: what libxenguest says, word for word. */
static void test_left_alone(void)
{
	plenty();
	fake_domain_new(1, "g")->pv = true;
	superpages_start(1);
	CHECK_EQ(batch(0, BATCH), 0);
	CHECK_STR(fake.did, "1024 of 0 from 0, ");
	superpages_start(2);
	CHECK_EQ(batch(0, BATCH), 0);
	CHECK_STR(fake.did, "1024 of 0 from 0, ");
}

static void test_whole_batch(void)
{
	plenty();
	fake_domain_new(1, "g");
	superpages_start(1);
	CHECK_EQ(fake.open, 0);
	CHECK_EQ(batch(0x800, BATCH), 0);
	CHECK_STR(fake.did, "1 of 9 from 0x800, 1 of 9 from 0xa00, ");
	for (unsigned i = 0; i < BATCH; i++)
		CHECK_EQ(pfns[i], 0x800 + i); /* the caller's stay as they were */
}

static void test_holes(void)
{
	plenty();
	CHECK_EQ(batch(0x800, 600), 0);
	CHECK_STR(fake.did, "1 of 9 from 0x800, 511 of 0 from 0xa00, ");
	CHECK_EQ(batch(0x800, 0), 0);
	CHECK_STR(fake.did, "1 of 9 from 0xa00, 511 of 0 from 0x801, ");
	CHECK_EQ(batch(0x801, BATCH), 0); /* one superpage lies in it, from 0xa00 on */
	CHECK_STR(fake.did, "1 of 9 from 0xa00, 512 of 0 from 0x801, ");
}

static void test_no_whole_memory_left(void)
{
	plenty();
	fake.superpages_left = 1;
	CHECK_EQ(batch(0, BATCH), 0);
	CHECK_STR(fake.did, "1 of 9 from 0, 512 of 0 from 0x200, ");
}

static void test_no_memory_left(void)
{
	plenty();
	fake.superpages_left = 0;
	fake.pages_left = 1000;
	CHECK_EQ(batch(0, BATCH), -1);
	CHECK_EQ(errno, EBUSY);
}

int main(void)
{
	CHECK_RUN(test_left_alone);
	CHECK_RUN(test_whole_batch);
	CHECK_RUN(test_holes);
	CHECK_RUN(test_no_whole_memory_left);
	CHECK_RUN(test_no_memory_left);
	return CHECK_DONE();
}
