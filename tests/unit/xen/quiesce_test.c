/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/quiesce.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"

static char dir[] = "/tmp/vstor-quiesce-XXXXXX";

static void put(const char *path, const char *text)
{
	char full[256], part[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	for (char *slash = strchr(full + strlen(dir) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - full), full);
		mkdir(part, 0700);
	}
	f = fopen(full, "w");
	if (!CHECK(f != NULL))
		return;
	fputs(text, f);
	fclose(f);
}

static void test_counts_the_guests_disks(void)
{
	CHECK_EQ(quiesce_inflight(3), 0); /* no such tree yet */
	put("bus/xen-backend/devices/vbd-3-51712/physical_device", "8:10\n");
	put("bus/xen-backend/devices/vbd-3-51728/physical_device", "fd:1\n");
	put("bus/xen-backend/devices/vbd-31-51712/physical_device", "8:20\n");
	put("bus/xen-backend/devices/vif-3-0/physical_device", "8:20\n");
	put("dev/block/8:16/inflight", "       1        2\n");
	put("dev/block/253:1/inflight", "       0        4\n");
	put("dev/block/8:32/inflight", "       9        9\n");
	CHECK_EQ(quiesce_inflight(3), 7);
	CHECK_EQ(quiesce_inflight(31), 18);
	CHECK_EQ(quiesce_inflight(1), 0);
}

struct waiting {
	struct loop *loop;
	struct loop_timer timer;
	int err;
	bool done;
};

static void on_done(void *arg, int err)
{
	struct waiting *w = arg;

	w->err = err;
	w->done = true;
	loop_stop(w->loop, 0);
}

static void calm_down(void *arg)
{
	(void)arg;
	put("dev/block/8:16/inflight", "0 0\n");
	put("dev/block/253:1/inflight", "0 0\n");
}

static void test_waits(void)
{
	struct waiting w = {.loop = loop_new()};
	struct quiesce q = {0};

	quiesce_stop(&q);
	quiesce_start(&q, w.loop, 3, 20 * MS_NS, on_done, &w);
	CHECK(!w.done);
	loop_run(w.loop);
	CHECK_EQ(w.err, -ETIMEDOUT);

	w.done = false;
	loop_timer_set(w.loop, &w.timer, 20 * MS_NS, calm_down, NULL);
	quiesce_start(&q, w.loop, 3, 10 * SEC_NS, on_done, &w);
	loop_run(w.loop);
	CHECK(w.done);
	CHECK_EQ(w.err, 0);
	quiesce_stop(&q);
	loop_free(w.loop);
}

int main(void)
{
	char command[64];

	if (!mkdtemp(dir))
		return 1;
	quiesce_sysfs = dir;
	CHECK_RUN(test_counts_the_guests_disks);
	CHECK_RUN(test_waits);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) != 0 || CHECK_DONE();
}
