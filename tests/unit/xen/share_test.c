/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"

static char dir[] = "/tmp/vstor-share-XXXXXX";

static void disk(const char *name, const char *file, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/statistics", dir, name);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/statistics/%s", dir, name, file);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static void test_requests(void)
{
	share_backends = "/nonexistent";
	CHECK_EQ(share_requests(5), 0);
	share_backends = dir;
	CHECK_EQ(share_requests(5), 0);
	disk("vbd-5-51712", "rd_req", "7\n");
	disk("vbd-5-51712", "wr_req", "30\n");
	disk("vbd-5-51712", "f_req", "1000\n"); /* flushes carry nothing */
	disk("vbd-5-51728", "wr_req", "500\n");
	disk("vbd-5-51744", "wr_req", "rubbish\n");
	disk("vbd-55-51712", "wr_req", "9000\n"); /* another guest's */
	disk("vif-5-0", "wr_req", "9000\n");
	CHECK_EQ(share_requests(5), 537);
}

int main(void)
{
	char command[64];

	if (!mkdtemp(dir))
		return 1;
	CHECK_RUN(test_requests);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK_EQ(system(command), 0);
	return CHECK_DONE();
}
