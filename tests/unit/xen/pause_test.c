/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/unit/check.h"
#include "xen/handover.h"

static char dir[] = "/tmp/vstor-pause-XXXXXX";

static void test_learns(void)
{
	CHECK_EQ(pause_known("b"), PAUSE_PRIOR_NS);
	pause_learn("b", 400 * MS_NS);
	CHECK_EQ(pause_known("b"), 400 * MS_NS);
	pause_learn("b", 200 * MS_NS);
	CHECK_EQ(pause_known("b"), 300 * MS_NS);
	CHECK_EQ(pause_known("c"), PAUSE_PRIOR_NS); /* another host is another pause */
	pause_learn("b", 600 * SEC_NS);		    /* somebody pulled a plug */
	CHECK_EQ(pause_known("b"), 300 * MS_NS);
}

static void test_nonsense(void)
{
	char file[64];
	FILE *f;

	snprintf(file, sizeof(file), "%s/pause-d", dir);
	f = fopen(file, "w");
	fputs("rubbish\n", f);
	fclose(f);
	CHECK_EQ(pause_known("d"), PAUSE_PRIOR_NS);
	pause_learn("d", 7);
	CHECK_EQ(pause_known("d"), 7);
	pause_learn("../d", 8);
	CHECK_EQ(pause_known("../d"), PAUSE_PRIOR_NS);
	handover_dir = "/nonexistent";
	pause_learn("d", 8);
	CHECK_EQ(pause_known("d"), PAUSE_PRIOR_NS);
	handover_dir = dir;
}

int main(void)
{
	char command[64];

	if (!mkdtemp(dir))
		return 1;
	handover_dir = dir;
	CHECK_RUN(test_learns);
	CHECK_RUN(test_nonsense);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK_EQ(system(command), 0);
	return CHECK_DONE();
}
