/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/unit/check.h"
#include "xen/guest_claim.h"

static char dir[] = "/tmp/vstor-pause-XXXXXX";

static uint64_t ns(const char *host)
{
	struct pause p;

	pause_known(host, 0, &p);
	return p.fixed_ns;
}

static void learn(const char *host, uint64_t fixed_ns, uint64_t pages)
{
	pause_learn(host, &(struct pause){fixed_ns, pages});
}

static void test_learns(void)
{
	struct pause p;

	CHECK_EQ(ns("b"), PAUSE_PRIOR_NS);
	learn("b", 400 * MS_NS, 100);
	CHECK_EQ(ns("b"), 400 * MS_NS);
	learn("b", 200 * MS_NS, 300);
	pause_known("b", 5 * SEC_NS, &p);
	CHECK_EQ(p.fixed_ns, 300 * MS_NS);
	CHECK_EQ(p.pages, 200);
	CHECK_EQ(ns("c"), PAUSE_PRIOR_NS); /* another host is another pause */
	learn("b", 600 * SEC_NS, 7);	   /* somebody pulled a plug */
	CHECK_EQ(ns("b"), 300 * MS_NS);
}

/* Of a host of which nothing is known: as slow as it was so far. */
static void test_slow_host(void)
{
	struct pause p;

	pause_known("slow", 100 * MS_NS, &p);
	CHECK_EQ(p.fixed_ns, PAUSE_PRIOR_NS);
	pause_known("slow", 1200 * MS_NS, &p);
	CHECK_EQ(p.fixed_ns, 600 * MS_NS);
	pause_known("slow", 100 * SEC_NS, &p); /* a disk that did not answer */
	CHECK_EQ(p.fixed_ns, PAUSE_PRIOR_MOST_NS);
}

static void test_nonsense(void)
{
	char file[64];
	FILE *f;

	snprintf(file, sizeof(file), "%s/pause-d", dir);
	f = fopen(file, "w");
	fputs("7 rubbish\n", f);
	fclose(f);
	CHECK_EQ(ns("d"), PAUSE_PRIOR_NS);
	learn("d", 7, 8);
	CHECK_EQ(ns("d"), 7);
	learn("../d", 8, 8);
	CHECK_EQ(ns("../d"), PAUSE_PRIOR_NS);
	guest_claim_dir = "/dev/null/none";
	learn("d", 8, 8);
	CHECK_EQ(ns("d"), PAUSE_PRIOR_NS);
	guest_claim_dir = dir;
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	guest_claim_dir = dir;
	CHECK_RUN(test_learns);
	CHECK_RUN(test_slow_host);
	CHECK_RUN(test_nonsense);
	CHECK_EQ(check_remove(dir), 0);
	return CHECK_DONE();
}
