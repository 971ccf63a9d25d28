/* SPDX-License-Identifier: BSD-2-Clause */
/* LUNs that change while they are in use, and what is counted of them. */
#include "storage/lun_open.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "storage/scsi/scsi.h"
#include "tests/unit/check.h"

#define SIZE (1 << 20)

static char path[] = "build/lun-test-XXXXXX";
static struct loop *loop;
static struct disk_engine *engine;
static unsigned ended;
static int result;

static void on_end(void *arg, int rc)
{
	(void)arg;
	ended++;
	result = rc;
	loop_stop(loop, 0);
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

/* Lets everything that is due happen, and what workers have at hand. */
static void run_for_a_while(void)
{
	struct loop_timer t = {0};
	loop_timer_set(loop, &t, 50 * MS_NS, stop, NULL);
	loop_run(loop);
	loop_timer_del(loop, &t);
}

static struct lun *open_lun(void)
{
	struct lun_config c = {.path = path, .block_size = 512, .target = "iqn.2026-11.local:t"};
	struct lun *l = NULL;
	CHECK_EQ(truncate(path, SIZE), 0);
	CHECK_EQ(lun_open(&l, &c), 0);
	ended = 0;
	return l;
}

static bool pending(const struct lun_nexus *n, uint16_t code)
{
	for (unsigned i = 0; i < n->ua_n; i++)
		if (n->ua[i] == code)
			return true;
	return false;
}

/* Its state is found again wherever a disk is served, and no two have one. */
static void test_names_of_state(void)
{
	static const struct lun_config c[] = {
		{.path = "/a", .number = 1, .target = "iqn.x"},
		{.path = "/b", .number = 1, .target = "iqn.x"},
		{.path = "/a", .number = 1, .target = "iqn.x", .disk.readonly = true},
		{.path = "/a", .number = 2, .target = "iqn.x", .disk.readonly = true},
		{.path = "/a", .number = 1, .target = "iqn.y", .disk.readonly = true},
		{.path = "/a", .number = 1, .target = "iqn.x", .serial = "S"},
		{.path = "/a", .number = 1, .target = "iqn.x", .serial = "/a"},
	};
	static const struct lun_config moved[] = {
		{.path = "/a", .number = 2, .target = "iqn.y"},
		{.path = "/b", .number = 3, .target = "iqn.x"},
		{.path = "/a", .number = 1, .target = "iqn.x", .disk.readonly = true},
		{.path = "/a", .number = 2, .target = "iqn.x", .disk.readonly = true},
		{.path = "/a", .number = 1, .target = "iqn.y", .disk.readonly = true},
		{.path = "/b", .number = 7, .target = "iqn.y", .serial = "S"},
		{.path = "/c", .number = 2, .target = "iqn.x", .serial = "/a"},
	};
	char a[LUN_STATE_NAME], b[LUN_STATE_NAME];
	for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
		lun_state_name(a, &c[i]);
		for (unsigned j = 0; j < ARRAY_SIZE(c); j++) {
			lun_state_name(b, &moved[j]);
			CHECK_EQ(strcmp(a, b) == 0, i == j);
		}
	}
}

static void test_it_is_closed_when_the_last_nexus_has_gone(void)
{
	struct lun *l = open_lun(), *second;
	struct lun_config c = {.path = path, .block_size = 512, .target = "iqn.2026-11.local:t"};
	struct lun_nexus a, b;

	lun_nexus_add(l, &a, "iqn.2026-11.local:a,i,0x1", 1);
	lun_nexus_add(l, &b, "iqn.2026-11.local:b,i,0x1", 1);
	lun_retire(l, engine, on_end, NULL);
	run_for_a_while();
	CHECK_EQ(ended, 0);
	lun_nexus_remove(&a);
	run_for_a_while();
	CHECK_EQ(ended, 0);
	log_set_destination("syslog");	  /* the message is not what is tested */
	CHECK(lun_open(&second, &c) < 0); /* still locked */
	log_set_destination("stderr");
	lun_nexus_remove(&b);
	CHECK_EQ(ended, 0); /* never beneath the caller */
	loop_run(loop);
	CHECK_EQ(ended, 1);
	CHECK_EQ(result, 0);
	CHECK_EQ(lun_open(&second, &c), 0);
	CHECK_EQ(lun_close(second), 0);
}

static void test_without_a_nexus_it_is_closed_at_once(void)
{
	struct lun *l = open_lun();
	lun_retire(l, engine, on_end, NULL);
	loop_run(loop);
	CHECK_EQ(ended, 1);
	CHECK_EQ(result, 0);
}

static void test_it_takes_over_the_size_of_the_file(void)
{
	struct lun *l = open_lun();
	struct lun_nexus n;
	struct stat st;

	lun_nexus_add(l, &n, "iqn.2026-11.local:a,i,0x1", 1);
	CHECK_EQ(l->blocks, SIZE / 512);
	lun_resize(l, engine, 0, on_end, NULL);
	loop_run(loop);
	CHECK_EQ(result, 0);
	CHECK(!pending(&n, ASC_CAPACITY_CHANGED));

	CHECK_EQ(truncate(path, 2 * SIZE + 100), 0);
	lun_resize(l, engine, 0, on_end, NULL);
	loop_run(loop);
	CHECK_EQ(result, 0);
	CHECK_EQ(l->blocks, 2 * SIZE / 512);
	CHECK(pending(&n, ASC_CAPACITY_CHANGED));

	lun_resize(l, engine, 4 * SIZE, on_end, NULL);
	loop_run(loop);
	CHECK_EQ(result, 0);
	CHECK_EQ(l->blocks, 4 * SIZE / 512);
	CHECK(stat(path, &st) == 0 && st.st_size == 4 * SIZE);

	/* Nothing is cut off by it, and an empty file is not served. */
	log_set_destination("syslog");
	lun_resize(l, engine, SIZE, on_end, NULL);
	loop_run(loop);
	CHECK_EQ(result, -EINVAL);
	CHECK(stat(path, &st) == 0 && st.st_size == 4 * SIZE);
	CHECK_EQ(truncate(path, 100), 0);
	lun_resize(l, engine, 0, on_end, NULL);
	loop_run(loop);
	CHECK_EQ(result, -EINVAL);
	CHECK_EQ(l->blocks, 4 * SIZE / 512);
	log_set_destination("stderr");
	lun_nexus_remove(&n);
	CHECK_EQ(lun_close(l), 0);
}

static void test_an_attention_is_taken_back(void)
{
	struct lun *l = open_lun();
	struct lun_nexus n;
	lun_nexus_add(l, &n, "iqn.2026-11.local:a,i,0x1", 1);
	lun_attention(&n, ASC_REPORTED_LUNS_CHANGED);
	lun_attention(&n, ASC_CAPACITY_CHANGED);
	lun_attention_clear(&n, ASC_REPORTED_LUNS_CHANGED);
	CHECK_EQ(n.ua_n, 2);
	CHECK_EQ(n.ua[0], ASC_POWER_ON);
	CHECK_EQ(n.ua[1], ASC_CAPACITY_CHANGED);
	lun_nexus_remove(&n);
	CHECK_EQ(lun_close(l), 0);
}

/* An initiator that sends nothing misses none of the news, however much there is. */
static void test_no_attention_is_lost(void)
{
	static const uint16_t codes[] = {
		ASC_POWER_ON,
		ASC_BUS_DEVICE_RESET,
		ASC_MODE_PARAMETERS_CHANGED,
		ASC_RESERVATIONS_PREEMPTED,
		ASC_RESERVATIONS_RELEASED,
		ASC_REGISTRATIONS_PREEMPTED,
		ASC_CAPACITY_CHANGED,
		ASC_REPORTED_LUNS_CHANGED,
		ASC_MEDIUM_CHANGED,
	};
	struct lun *l = open_lun();
	struct lun_nexus n;
	lun_nexus_add(l, &n, "iqn.2026-11.local:a,i,0x1", 1);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
		lun_attention_all(l, NULL, codes[i]);
	CHECK_EQ(n.ua_n, ARRAY_SIZE(codes));
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
		CHECK(pending(&n, codes[i]));
	lun_nexus_remove(&n);
	CHECK_EQ(lun_close(l), 0);
}

static void test_operations_are_counted(void)
{
	static struct stats s;
	uint64_t began = clock_ns();

	for (unsigned i = 0; i < 100; i++)
		stats_add(&s, loop, STATS_READ, began, 4096, true);
	/* more beginnings than are kept apart in one turn of the loop */
	for (unsigned i = 0; i < 3 * STATS_PENDING; i++)
		stats_add(&s, loop, i % 2 ? STATS_WRITE : STATS_READ, began + i, 512, i % 3 != 0);
	run_for_a_while();
	CHECK_EQ(s.pending_n, 0);
	CHECK_EQ(s.of[STATS_READ].ops, 100 + 12);
	CHECK_EQ(s.of[STATS_WRITE].ops, 12);
	CHECK_EQ(s.of[STATS_READ].bytes, 100 * 4096 + 12 * 512);
	CHECK_EQ(s.of[STATS_READ].errors + s.of[STATS_WRITE].errors, 8);
	CHECK_EQ(s.of[STATS_READ].latency->n, 112);
	CHECK_EQ(s.of[STATS_WRITE].latency->n, 12);
	CHECK(s.of[STATS_FLUSH].latency == NULL);
	stats_add(&s, loop, STATS_FLUSH, began, 0, true);
	stats_fini(&s); /* with one still pending */
	run_for_a_while();
}

int main(void)
{
	int fd;
	mkdir("build", 0777);
	fd = mkstemp(path);
	if (fd < 0) {
		puts("not ok storage/lun: no file");
		return 1;
	}
	close(fd);
	loop = loop_new();
	engine = disk_engine_new(loop, 2);
	CHECK_RUN(test_names_of_state);
	CHECK_RUN(test_it_is_closed_when_the_last_nexus_has_gone);
	CHECK_RUN(test_without_a_nexus_it_is_closed_at_once);
	CHECK_RUN(test_it_takes_over_the_size_of_the_file);
	CHECK_RUN(test_an_attention_is_taken_back);
	CHECK_RUN(test_no_attention_is_lost);
	CHECK_RUN(test_operations_are_counted);
	disk_engine_free(engine);
	loop_free(loop);
	unlink(path);
	return CHECK_DONE();
}
