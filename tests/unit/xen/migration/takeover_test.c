/* SPDX-License-Identifier: BSD-2-Clause */
/* What is kept of guests elsewhere, and what a file with a configuration may look like. */
#include "xen/migration/takeover.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"
#include "xen/keepsake.h"

#define UUID  "01234567-89ab-cdef-0123-456789abcdef"
#define UUID2 "11234567-89ab-cdef-0123-456789abcdef"

static char dir[] = "/tmp/vstor-takeover-XXXXXX", kept[64];

static void keep(const char *name, const char *uuid, const char *json)
{
	struct keepsake k = {.peer = "192.0.2.7", .peer_id = 4000000000u, .json = (char *)json};

	snprintf(k.name, sizeof(k.name), "%s", name);
	snprintf(k.uuid, sizeof(k.uuid), "%s", uuid);
	CHECK_EQ(keepsake_put(&k), 0);
}

static void test_kept(void)
{
	struct keepsake k;

	CHECK_EQ(keepsake_find("g", &k), -ENOENT); /* not even a directory */
	keep("g", UUID, "{\n\"a\": 1\n}");
	keep("other", UUID2, "{}");
	CHECK_EQ(keepsake_find("g", &k), 0);
	CHECK_STR(k.uuid, UUID);
	CHECK_STR(k.peer, "192.0.2.7");
	CHECK_EQ(k.peer_id, 4000000000u);
	CHECK_STR(k.json, "{\n\"a\": 1\n}");
	keepsake_fini(&k);
	/* The last word counts. */
	keep("g", UUID, "{\"a\": 2}");
	CHECK_EQ(keepsake_find("g", &k), 0);
	CHECK_STR(k.json, "{\"a\": 2}");
	keepsake_fini(&k);
	CHECK_EQ(keepsake_find("nobody", &k), -ENOENT);
}

static void test_not_kept(void)
{
	struct keepsake k = {.name = "g", .uuid = "../../x", .json = (char *)"{}"};
	char path[128];
	FILE *f;

	CHECK_EQ(keepsake_put(&k), -EINVAL);
	/* Cut short. */
	snprintf(path, sizeof(path), "%s/%s", kept, UUID);
	f = fopen(path, "w");
	fputs("name=g\nuuid=" UUID "\n", f);
	fclose(f);
	CHECK_EQ(keepsake_find("g", &k), -ENOENT);
	/* Where nothing can be written. */
	snprintf(kept, sizeof(kept), "/proc/none");
	snprintf(k.uuid, sizeof(k.uuid), "%s", UUID);
	CHECK(keepsake_put(&k) < 0);
}

static void check_json(const char *text, const char *expected)
{
	char *json = takeover_json(text);

	CHECK_STR(json, expected);
	free(json);
}

static void test_json(void)
{
	check_json("{\"c_info\": {}}\n", "{\"c_info\": {}}");
	check_json(
		"\n[\n {\"domid\": 3, \"config\": {\"a\": \"}\\\"{\", \"b\": {}}, \"x\": 1}\n]\n",
		"{\"a\": \"}\\\"{\", \"b\": {}}");
	check_json("name=g\nuuid=1\n\n{\"a\": 1}", "{\"a\": 1}");
	check_json("", NULL);
	check_json("name = \"g\"\nmemory = 128\n", NULL); /* xl's own form */
	check_json("{\"a\": {", NULL);
	check_json("[{\"domid\": 3}]", NULL);
	check_json("[", NULL);
	check_json("name=g", NULL);
	check_json("{\"a\": \"\\", NULL);
}

/* ---- a file for xl, which the test plays ---- */

static char config[128], played[128];

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

static void check_xl(const char *xl, const char *expected)
{
	char *json;

	if (xl)
		write_file(played, xl, 0700);
	takeover_xl = xl ? played : "/nonexistent/xl";
	json = takeover_config(config);
	CHECK_STR(json, expected);
	free(json);
}

static void test_file_for_xl(void)
{
	snprintf(config, sizeof(config), "%s/g.cfg", dir);
	snprintf(played, sizeof(played), "%s/xl", dir);
	write_file(config, "name = \"g\"\nmemory = 128\n", 0600);
	check_xl("#!/bin/sh\n"
		 "[ \"$1 $2 $3\" = 'create -q -n' ] && grep -q 'name = \"g\"' \"$4\" || exit 1\n"
		 "echo '{\"c_info\": {\"name\": \"g\"}}'\n",
		 "{\"c_info\": {\"name\": \"g\"}}");
	/* It refuses it; prints SXP, as xl.conf may want; is killed; is not there. */
	check_xl("#!/bin/sh\necho '{}'\nexit 1\n", NULL);
	check_xl("#!/bin/sh\necho '(domain (domid -1))'\n", NULL);
	check_xl("#!/bin/sh\nkill -9 $$\n", NULL);
	check_xl(NULL, NULL);
	/* JSON needs no xl; what is not there, either. */
	write_file(config, "[{\"config\": {\"a\": 1}}]", 0600);
	check_xl(NULL, "{\"a\": 1}");
	snprintf(config, sizeof(config), "%s/none", dir);
	check_xl(NULL, NULL);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	log_set_level("error");
	snprintf(kept, sizeof(kept), "%s/a/guests", dir);
	keepsake_dir = kept;
	CHECK_RUN(test_kept);
	CHECK_RUN(test_not_kept);
	CHECK_RUN(test_json);
	log_set_destination("syslog"); /* all that is refused */
	CHECK_RUN(test_file_for_xl);
	return check_remove(dir) != 0 || CHECK_DONE();
}
