/* SPDX-License-Identifier: BSD-2-Clause */
/* A configuration that is read again: which LUNs stay as they are, and which are others now. */
#include <fcntl.h>
#include <unistd.h>

#include "cmd/target_config.h"
#include "cmd/target_luns.h"
#include "core/log.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/vstor-luns-XXXXXX", conf[64], disk[64];
static struct loop *loop;
static struct target_luns luns;

static void on_done(void *arg, const char *error)
{
	(void)arg;
	CHECK_STR(error, NULL);
}

static void on_idle(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

static void look(void *arg)
{
	struct loop_timer *again = arg;

	if (luns.running || luns.first)
		loop_timer_set(loop, again, 5 * MS_NS, look, again);
	else
		loop_stop(loop, 0);
}

static struct target_config *configure(const char *keys)
{
	char *argv[] = {"target", "--config", conf, NULL};
	struct target_config *c = NULL;
	FILE *f = fopen(conf, "we");

	fprintf(f, "lun = %s%s\n", disk, keys);
	fclose(f);
	CHECK_EQ(target_config_read(&c, 3, argv, NULL), 0);
	c->luns[0].c.disk.fd = open(disk, O_RDWR | O_CLOEXEC);
	c->luns[0].c.disk.opened = true;
	return c;
}

/* True: it is the one that was served before. */
static bool stays(const char *before, const char *now)
{
	struct loop_timer again = {0};
	struct target_server_config config = {.max_sessions = 1};
	struct target_config *first = configure(before), *second;
	struct target_server *s;
	struct disk_engine *e;
	bool same;

	loop = loop_new();
	config.loop = loop;
	config.engine = e = disk_engine_new(loop, 1);
	config.access = first->access;
	s = target_server_new(&config);
	target_luns_init(&luns, s, e, NULL);
	target_luns_number(&luns, first->luns, first->luns_n);
	CHECK_EQ(target_luns_start(&luns, &first->luns[0]), 0);
	/* A mark that a LUN which is served anew has not got. */
	luns.list->setup.where[0] = '!';
	second = configure(now);
	target_luns_replace(&luns, second->luns, second->luns_n, NULL, on_done, NULL);
	loop_timer_set(loop, &again, 0, look, &again);
	loop_run(loop);
	CHECK_EQ(luns.n, 1);
	same = luns.list && luns.list->setup.where[0] == '!';
	target_luns_stop(&luns, on_idle, NULL);
	if (luns.list)
		lun_stop(luns.list->lun);
	disk_engine_free(e);
	target_server_free(s);
	CHECK_EQ(target_luns_close(&luns), 0);
	target_config_free(first);
	target_config_free(second);
	loop_free(loop);
	return same;
}

static void test_cache(void)
{
	static const char *const caches[] = {"", ",cache=writeback", ",cache=writethrough"};

	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			if (!CHECK_EQ(stays(caches[i], caches[k]), i == k))
				printf("# from '%s' to '%s'\n", caches[i], caches[k]);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(conf, sizeof(conf), "%s/conf", dir);
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	close(open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (truncate(disk, 1 << 20))
		return 1;
	log_set_level("error");
	CHECK_RUN(test_cache);
	return check_remove(dir) != 0 || CHECK_DONE();
}
